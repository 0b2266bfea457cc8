//! Every input that is known, held against its property: seeds, and what once failed. And some noise around the seeds,
//! which is the same each time.

use weir_fuzz::meter::Meter;
use weir_fuzz::seeds;
use weir_fuzz::target::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Meter = Meter;

/// Mutations of seeds per target: a second of work, not a search.
const MUTATIONS: usize = 1_500;

fn replay(name: &str) {
    let target = Target::named(name).unwrap_or_else(|| panic!("no target {name}"));
    for (path, bytes) in seeds::regressions(name) {
        eprintln!("{}", path.display());
        target.run(&bytes);
    }
    let corpus = target.corpus();
    assert!(corpus.len() >= 5, "{name} has hardly any seeds");
    for bytes in &corpus {
        run(target, bytes);
    }
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        (noise >> 20) as usize % bound.max(1)
    };
    for _ in 0..MUTATIONS {
        let mut bytes = corpus[below(corpus.len())].clone();
        for _ in 0..=below(4) {
            let at = below(bytes.len() + 1);
            match below(4) {
                0 => bytes.insert(at, below(256) as u8),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] = below(256) as u8,
                _ => {
                    let other = &corpus[below(corpus.len())];
                    let from = below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        run(target, &bytes);
    }
}

/// Shows the input of a failure, so that it can be kept in `regressions`.
fn run(target: &Target, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| target.run(bytes));
    if let Err(panic) = outcome {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("target {}: the input is {hex}", target.name);
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_target_has_a_test() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, ["frames", "handshake", "reply", "sql", "gtid", "binlog", "compress", "proxy", "engine"]);
}

#[test]
fn frames() {
    replay("frames");
}

#[test]
fn handshake() {
    replay("handshake");
}

#[test]
fn reply() {
    replay("reply");
}

#[test]
fn sql() {
    replay("sql");
}

#[test]
fn gtid() {
    replay("gtid");
}

#[test]
fn binlog() {
    replay("binlog");
}

#[test]
fn compress() {
    replay("compress");
}

#[test]
fn proxy() {
    replay("proxy");
}

#[test]
fn engine() {
    replay("engine");
}
