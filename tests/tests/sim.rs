//! Runs of the simulator: fixed seeds, changing ones, one given by `WEIR_SEED`, and mistakes that must be caught.

use std::time::{Duration, Instant};

use weir_tests::sim::mutation::Mutation;
use weir_tests::sim::plan::{Mode, Plan};
use weir_tests::sim::{check, run};

/// Seeds from `first` on until the time is up; at least one. Every failure's report, up to three.
fn run_seeds(mode: Mode, first: u64, count: u64, within: Duration) {
    let started = Instant::now();
    let mut failures = Vec::new();
    let mut done = 0;
    for seed in first..first + count {
        if done > 0 && started.elapsed() > within {
            break;
        }
        done += 1;
        if let Err(report) = check(&Plan::of_seed(seed, mode)) {
            failures.push(report);
            if failures.len() == 3 {
                break;
            }
        }
    }
    println!("{done} seeds from {first} in {:?}", started.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The world without a gate: clients and servers must agree, or the oracles are wrong.
#[test]
fn direct() {
    run_seeds(Mode::Direct, 0, 300, Duration::from_secs(20));
}

/// The same seeds in every run.
#[test]
fn fixed_seeds() {
    run_seeds(Mode::Gate, 0, 2_000, Duration::from_secs(20));
}

/// Other seeds in every run: the first one is printed, and every failing one.
#[test]
fn changing_seeds() {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    let first = since.as_secs() * 1_000;
    println!("seeds from {first}");
    run_seeds(Mode::Gate, first, 2_000, Duration::from_secs(10));
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let mode = if std::env::var("WEIR_DIRECT").is_ok() { Mode::Direct } else { Mode::Gate };
    match check(&Plan::of_seed(seed, mode)) {
        Ok(counts) => println!("seed {seed}: {counts:?}"),
        Err(report) => panic!("{report}"),
    }
}

/// An oracle that cannot fail is none: each mistake is caught in at least one of a few seeds, and by the right words.
#[test]
fn mistakes_are_caught_directly() {
    let cases = [
        (Mutation::WrongClient, ""),
        (Mutation::LostWrite, ""),
        (Mutation::DoubleWrite, "is there 2 times"),
        (Mutation::SecondRun, "runs for the 2. time"),
        (Mutation::LeakedState, "runs under another state"),
        (Mutation::KeptTransaction, ""),
        (Mutation::TornTransaction, ""),
        (Mutation::SplitTransaction, "is split"),
        (Mutation::StaleRead, "the answer to"),
        (Mutation::WrongSequence, "sequence number"),
        (Mutation::SwappedReplies, ""),
        (Mutation::NoAnswer, "waits for"),
        (Mutation::WrongStatus, "the flag"),
        (Mutation::LostRow, "the answer to"),
    ];
    must_be_caught(Mode::Direct, &cases);
}

/// The same for what only a gate can do wrong.
#[test]
fn mistakes_of_a_gate_are_caught() {
    let cases = [
        (Mutation::LostBlock, "blocks at home"),
        (Mutation::WrongOutbox, ""),
        (Mutation::OverBudget, "the budget is"),
        (Mutation::WrongClient, ""),
        (Mutation::LeakedState, ""),
        (Mutation::DoubleWrite, "is there 2 times"),
    ];
    must_be_caught(Mode::Gate, &cases);
}

fn must_be_caught(mode: Mode, cases: &[(Mutation, &str)]) {
    for (mutation, words) in cases {
        let reports: Vec<String> =
            (0..6).filter_map(|seed| run(&Plan::of_mutation(seed, mode, *mutation)).err()).collect();
        let caught = reports.iter().filter(|report| report.contains(words)).count();
        println!("{mutation:?}: {caught} of 6: {:?}", reports.first());
        assert!(caught >= 1, "{mutation:?} was not caught: {reports:?}");
    }
}
