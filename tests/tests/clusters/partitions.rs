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
    /// What errors that clients may see say; no others may be seen.
    errors: &'static [&'static str],
}

/// Clients go on while it lasts.
const CALM: Duration = HOLD;

/// A lease that ends, the failover, and a machine with two busy cores.
const MOVES: Duration = Duration::from_secs(25);

/// The partition itself, and until lost packets are sent again: TCP doubles its pauses, so that may take as long once more.
const WAITS: Duration = Duration::from_secs(30);

/// Longer than a lease and a failover, shorter than statements wait for a primary.
const HOLD: Duration = Duration::from_secs(5);

/// An open transaction is gone with its connection, and its client is told so.
const RESTART: &str = "restart the transaction";

/// A write or commit whose answer was lost, and what could be found out.
const LOST: &[&str] =
    &[RESTART, "It committed as", "Nothing of it is on the primary", "whether it ran is unknown", "nothing was sent"];

/// Machines that stall for the time of a lease lose their leases, and open transactions with them, whatever is cut.
const STALLS: &[&str] = &[RESTART];

const ENDS: &[End] = &[
    // The tablet fences its server when the lease ends. Replicas still receive from it, but it tells gates that it is read-only.
    End { harm: "part:primary/controller", fate: Fate::Moved, gap: MOVES, errors: LOST },
    End { harm: "part:controller>primary", fate: Fate::Moved, gap: MOVES, errors: LOST },
    // Nobody acknowledges commits.
    End { harm: "part:primary/replicas", fate: Fate::Stayed, gap: WAITS, errors: LOST },
    // The other one does.
    End { harm: "part:primary/one-replica", fate: Fate::Stayed, gap: CALM, errors: STALLS },
    // A primary that is well for all but one gate is no reason to move the role.
    End { harm: "part:primary/gate", fate: Fate::Stayed, gap: WAITS, errors: LOST },
    End { harm: "part:primary>gate", fate: Fate::Stayed, gap: WAITS, errors: LOST },
    End { harm: "part:controller/replicas", fate: Fate::Stayed, gap: CALM, errors: STALLS },
    End { harm: "part:gate/controller", fate: Fate::Stayed, gap: CALM, errors: STALLS },
    End { harm: "part:gate/replicas", fate: Fate::Stayed, gap: CALM, errors: STALLS },
    // From all others: another one is primary.
    End { harm: "cut", fate: Fate::Moved, gap: MOVES, errors: LOST },
];

#[test]
fn every_partition_has_its_end() {
    if !hosts::is_inside() {
        let mut again = Command::new(std::env::current_exe().expect("a test is a file"));
        again.args(["partitions::every_partition_has_its_end", "--exact", "--nocapture", "--test-threads=1"]);
        let status = hosts::run_inside(again).unwrap_or_else(|fault| panic!("{fault}"));
        assert!(status.success(), "{status}: see above");
        return;
    }
    let plan = Plan {
        rounds: ENDS.len(),
        harms: ENDS.iter().map(|end| end.harm.parse::<Harm>().unwrap_or_else(|why| panic!("{why}"))).collect(),
        durability: Durability::SemiSync,
        terrain: Terrain::Namespaces,
        hold: HOLD,
        workers: 2,
        pause: Duration::from_millis(300),
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_weir-under-test"))),
        cores: 1,
        sysbench_threads: 0,
        sysbench_rate: None,
        think: Duration::from_millis(5),
        limit: None,
        visitors: 0,
        renews_after: None,
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
