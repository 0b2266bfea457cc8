//! Random sessions on real MySQL, directly and through a gate, from fixed seeds (S20 to S51). More of them: `--example random`.

use weir_tests::real::random::{self, Order, Sharing};

/// Each compares so many steps; a run of both takes well under a minute on two cores.
const STEPS: usize = 1_500;

#[test]
fn random_sessions_are_equal_under_the_worst_sharing() {
    check(Sharing::Worst, 1);
}

#[test]
fn random_sessions_are_equal_when_each_statement_finds_another_connection() {
    check(Sharing::Scatter, 50_000);
}

fn check(sharing: Sharing, seed: u64) {
    let report = random::check(Order { sharing, seed, steps: STEPS, failures_max: 2 });
    eprintln!("{sharing:?}: {}", report.words());
    assert!(report.compared >= STEPS || !report.failures.is_empty(), "too little was compared");
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
}
