//! S70 to S77 on real servers: the primary's role moves while clients work, and what they were told is compared with what
//! the servers hold. `weir-perf moves` is the same with as many rounds as one likes.

use std::path::PathBuf;
use std::time::Duration;

use weir_perf::moves::ground::Terrain;
use weir_perf::moves::harm::Harm;
use weir_perf::moves::stage::Durability;
use weir_perf::moves::{Plan, play};

/// One round of each kind, with commits that wait for an acknowledgement: nothing is lost, nothing runs twice, no read is
/// stale, no client loses its connection, and each error is one that had to be.
#[test]
fn the_primary_moves_and_clients_go_on() {
    let plan = Plan {
        rounds: 4,
        harms: vec![Harm::Switchover, Harm::Kill, Harm::Stop, Harm::Switchover],
        durability: Durability::SemiSync,
        terrain: Terrain::Ways,
        hold: Duration::ZERO,
        workers: 3,
        pause: Duration::from_millis(500),
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_weir-under-test"))),
        cores: 1,
        sysbench_threads: 0,
        sysbench_rate: None,
        think: Duration::from_millis(3),
        limit: None,
        visitors: 0,
        renews_after: None,
    };
    let report = play(&plan, &mut |line| println!("{line}")).unwrap_or_else(|fault| panic!("{fault}"));
    print!("{}", report.show());
    assert!(report.wrong.is_empty(), "{}", report.wrong.join("\n"));
    assert_eq!(report.rounds.len(), 4);
    assert!(report.done.iter().all(|done| *done > 50), "too little was done to tell: {:?}", report.done);
}
