//! S77 on hosts in network namespaces: each pair of parties is cut off from each other once while clients work, and has the
//! end that README's table says. `weir-perf moves --hosts namespaces --harms part:…` is the same with as many rounds as
//! one likes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use weir_perf::moves::ground::Terrain;
use weir_perf::moves::harm::Harm;
use weir_perf::moves::stage::Durability;
use weir_perf::moves::{Fate, Plan, Round, hosts, play};

/// What must come of one partition.
struct End {
    harm: &'static str,
    fate: Fate,
    /// The longest time without an acknowledged write.
    gap: Duration,
    /// How an error that clients may see begins, behind what got it; each lost answer is also allowed where the role moves.
    errors: &'static [&'static str],
}

/// While it lasts, nothing happens that a client could see.
const CALM: Duration = Duration::from_millis(2_500);

/// A lease that ends, the failover, and a machine with two busy cores.
const MOVES: Duration = Duration::from_secs(15);

/// The partition itself, and until lost packets are sent again.
const WAITS: Duration = Duration::from_secs(20);

const ENDS: &[End] = &[End { harm: "part:controller/replicas", fate: Fate::Stayed, gap: CALM, errors: &[] }];

#[test]
fn every_partition_has_its_end() {
    if !hosts::is_inside() {
        let mut again = Command::new(std::env::current_exe().expect("a test is a file"));
        again.args(["every_partition_has_its_end", "--exact", "--nocapture", "--test-threads=1"]);
        let status = hosts::run_inside(again).unwrap_or_else(|fault| panic!("{fault}"));
        assert!(status.success(), "{status}: see above");
        return;
    }
    let plan = Plan {
        rounds: ENDS.len(),
        harms: ENDS.iter().map(|end| end.harm.parse::<Harm>().unwrap_or_else(|why| panic!("{why}"))).collect(),
        durability: Durability::SemiSync,
        terrain: Terrain::Namespaces,
        hold: Duration::from_secs(5),
        workers: 2,
        pause: Duration::from_millis(300),
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_weir-under-test"))),
        cores: 1,
        sysbench_threads: 0,
        sysbench_rate: None,
        think: Duration::from_millis(5),
    };
    let report = play(&plan, &mut |line| println!("{line}")).unwrap_or_else(|fault| panic!("{fault}"));
    print!("{}", report.show());
    let mut faults = report.wrong.clone();
    assert_eq!(report.rounds.len(), ENDS.len());
    for (end, round) in ENDS.iter().zip(&report.rounds) {
        check(end, round, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(report.done.iter().all(|done| *done > 50), "too little was done to tell: {:?}", report.done);
}

fn check(end: &End, round: &Round, faults: &mut Vec<String>) {
    let harm = end.harm;
    if round.fate != end.fate {
        faults.push(format!("{harm}: {:?}, and it should have been {:?}", round.fate, end.fate));
    }
    if round.gap > end.gap {
        faults.push(format!("{harm}: no write for {:?}, and {:?} is the most", round.gap, end.gap));
    }
    let may = |error: &str| end.errors.iter().any(|known| error.contains(known));
    for (error, times) in round.errors.iter().filter(|(error, _)| !may(error)) {
        faults.push(format!("{harm}: {times} times an error that it does not explain: {error}"));
    }
}
