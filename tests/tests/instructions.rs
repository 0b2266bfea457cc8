//! What the hot paths cost in instructions and allocations, beside the numbers that are checked in (`perf/paths/counted.txt`): a
//! change that makes one more than 2 % dearer, or cheaper, says so in that file.
//!
//! ```text
//!   WEIR_BLESS=1 cargo test -p weir-tests --test instructions     writes the file anew
//! ```
//! Counted by valgrind's callgrind within the walk alone (`perf/paths/src/main.rs`), in a release build. The C library's copies are
//! held to those of the plainest processor, so that machines agree.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use weir_control::lab::tool::Tool;

const ROUNDS: u64 = 300;
const WORKERS: usize = 2;
/// Collecting goes off where a session goes on with the connection that it was leased, and on again behind.
const BEHIND_THE_LEASE: &str = "--toggle-collect=*Engine>::proceed*";
/// Most instructions from a client's frame to the lease of a connection: the plan cached, and not.
const TO_LEASE_MAX: [(&str, f64); 2] = [("select_to_lease", 1_500.0), ("miss_to_lease", 15_000.0)];
/// Of what was counted before, in thousandths.
const TOLERANCE: f64 = 0.02;

#[derive(Debug, PartialEq)]
struct Cost {
    name: String,
    instructions: f64,
    allocations: f64,
}

#[test]
fn hot_paths_cost_what_they_did() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the project");
    let program = build(root);
    let costs = count_all(&program);
    let mut shown = String::from("# path, instructions, allocations; see tests/tests/instructions.rs\n");
    for Cost { name, instructions, allocations } in &costs {
        let _ = writeln!(shown, "{name} {instructions:.0} {allocations:.2}");
    }
    println!("{shown}");
    let file = root.join("perf/paths/counted.txt");
    if env::var_os("WEIR_BLESS").is_some() {
        fs::write(&file, &shown).expect("the file can be written");
    }
    let before = read(&fs::read_to_string(&file).expect("the numbers are checked in"));
    let names = |costs: &[Cost]| costs.iter().map(|cost| cost.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&costs), names(&before), "other paths than in {}: bless them", file.display());
    let faults: Vec<String> = costs.iter().zip(&before).filter_map(|(now, before)| fault(now, before)).collect();
    assert!(faults.is_empty(), "{}\nIf that is meant: WEIR_BLESS=1, and say why in the commit.", faults.join("\n"));
    // What the design promises, whatever is in the file.
    let parts = ["plan_hit", "acquire_release", "select_to_lease", "execute_to_lease", "reply_100_rows"];
    let wholes = ["select_to_backend", "execute_to_backend", "point_select", "point_execute"];
    for free in parts.into_iter().chain(wholes) {
        let cost = costs.iter().find(|cost| cost.name == free).expect("it is counted");
        assert!(cost.allocations == 0.0, "{free} allocates {} times", cost.allocations);
    }
    for (name, most) in TO_LEASE_MAX {
        let cost = costs.iter().find(|cost| cost.name == name).expect("it is counted");
        assert!(cost.instructions <= most, "{name} takes {} instructions, more than {most}", cost.instructions);
    }
}

fn fault(now: &Cost, before: &Cost) -> Option<String> {
    let share = now.instructions / before.instructions - 1.0;
    // As exact as they stand in the file.
    let more = (now.allocations - before.allocations).abs() > 0.005;
    (share.abs() > TOLERANCE || more).then(|| {
        format!(
            "{}: {:.0} instructions ({:+.1} %) and {:.2} allocations, {:.0} and {:.2} before",
            now.name,
            now.instructions,
            share * 100.0,
            now.allocations,
            before.instructions,
            before.allocations
        )
    })
}

/// In a release build, since nothing else is what runs.
fn build(root: &Path) -> PathBuf {
    let target = env::current_exe().expect("a test is a file");
    let target = target.ancestors().nth(3).expect("target/debug/deps/test").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--release", "-p", "weir-paths", "--target-dir"]).arg(&target);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "weir-paths does not build: {status}");
    target.join("release/weir-paths")
}

fn count_all(program: &Path) -> Vec<Cost> {
    let valgrind = Tool::find("valgrind", &mut |line| println!("{line}")).unwrap_or_else(|error| panic!("{error}"));
    let list = Command::new(program).output().expect("weir-paths runs");
    let list = String::from_utf8(list.stdout).expect("names are text");
    let names: Vec<&str> = list.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(names.len() > 10, "{list}");
    // Each is a process of its own, which counts the same whatever runs beside it.
    let count_some = |some: &[&str]| some.iter().map(|name| count(&valgrind, program, name)).collect::<Vec<_>>();
    let parts = names.chunks(names.len().div_ceil(WORKERS));
    thread::scope(|scope| {
        let threads: Vec<_> = parts.map(|some| scope.spawn(|| count_some(some))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("see above")).collect()
    })
}

fn count(valgrind: &Tool, program: &Path, name: &str) -> Cost {
    let out = env::temp_dir().join(format!("weir-callgrind-{}-{name}", std::process::id()));
    let mut command = valgrind.command();
    command
        .args(["--tool=callgrind", "--toggle-collect=weir_counted", "--zero-before=weir_armed"])
        .args(name.ends_with("_to_lease").then_some(BEHIND_THE_LEASE))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([name, &ROUNDS.to_string()])
        .env("GLIBC_TUNABLES", PLAIN);
    let output = command.output().expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let profile = fs::read_to_string(&out).expect("callgrind writes its file");
    let _ = fs::remove_file(&out);
    let sum = profile.lines().find_map(|line| line.strip_prefix("summary: ")).expect("callgrind sums up");
    let sum: f64 = sum.trim().parse().expect("one number");
    let mut counts = said.split_whitespace().map(|word| word.parse::<f64>().expect("three numbers"));
    let (rounds, allocations) = (counts.next().expect("rounds"), counts.next().expect("allocations"));
    Cost { name: name.to_owned(), instructions: sum / rounds, allocations: allocations / rounds }
}

fn read(text: &str) -> Vec<Cost> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let cost = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let (instructions, allocations) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Cost { name, instructions, allocations })
    };
    lines.map(|line| cost(line).unwrap_or_else(|| panic!("'{line}' is no name and two numbers"))).collect()
}

/// No copies and compares for newer processors. What a version of the library does not know it passes over.
const PLAIN: &str = "glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-AVX512F,-AVX512VL,-AVX512BW,-BMI2,-SSE4_2,-SSSE3";
