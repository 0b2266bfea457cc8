//! Runs of the simulator of moves: fixed seeds, changing ones, one given by `WEIR_SEED` (or `WEIR_SEEDS` of them, from that one
//! on), and mistakes that must be caught.

use std::time::{Duration, Instant};
use weir_tests::moves::oracle::Counts;
use weir_tests::moves::plan::{Mutation, Plan};
use weir_tests::moves::run::{check, run, run_long};

/// Seeds that once showed a mistake: a tablet that was restarted beside a dead primary, and knew of nothing that it had; a new
/// leader that chose before it had heard everybody; a late answer that was true; a primary that was restarted and died again, whose
/// tablet had told that its commits wait for nobody, as of before; a clone of a server whose replica was slow (the model); packets that
/// were late until a lease was over.
const KNOWN_SEEDS: [u64; 7] = [115, 10_497, 11_282, 20_726, 500_228, 700_022, 1_795_730_455_087];

/// Seeds from `first` on until the time is up. Every failure's report, up to three.
fn run_seeds(first: u64, count: u64, within: Duration) -> Counts {
    let (started, mut failures, mut all, mut done) = (Instant::now(), Vec::new(), Counts::default(), 0);
    for seed in first..first + count {
        if started.elapsed() > within || failures.len() == 3 {
            break;
        }
        done += 1;
        match check(&Plan::of_seed(seed)) {
            Ok(counts) => all.add(counts),
            Err(report) => failures.push(report),
        }
    }
    println!("{done} seeds from {first} in {:?}: {all:?}", started.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    all
}

/// The same seeds in every run; together they do all kinds of things.
#[test]
fn fixed_seeds() {
    let Counts { acknowledged, failed, failovers, orders, switchovers, diverged, lost, .. } =
        run_seeds(0, 120, Duration::from_secs(60));
    for count in [acknowledged, failed, failovers, orders, switchovers, diverged, lost] {
        assert!(count > 0);
    }
}

#[test]
fn seeds_that_once_failed() {
    for seed in KNOWN_SEEDS {
        run_seeds(seed, 1, Duration::from_secs(60));
    }
}

/// Other seeds in every run: the first one is printed, and every failing one.
#[test]
fn changing_seeds() {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    run_seeds(since.as_secs() * 1_000, 100, Duration::from_secs(4));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let plan = Plan::of_seed(seed);
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let count = std::env::var("WEIR_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    run_seeds(seed, count, Duration::from_secs(36_000));
}

/// A cluster that lives for ten minutes, or for `WEIR_HOURS` if that is set: one world, through all of its faults.
#[test]
fn a_cluster_lives_for_hours() {
    let hours: Option<u64> = std::env::var("WEIR_HOURS").ok().and_then(|hours| hours.parse().ok());
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(24);
    let (started, lasts) = (Instant::now(), hours.map_or(600_000, |hours| hours * 3_600_000));
    let say = |now, counts: &_| println!("{} s of seed {seed} in {:?}: {counts:?}", now / 1_000, started.elapsed());
    let plan = Plan::of_seed(seed);
    println!("{} members, semi-synchronous: {}, fence_kill: {}", plan.members, plan.semi_sync, plan.fence_kill);
    match run_long(&plan, lasts, say) {
        Ok(counts) => println!("{} s of seed {seed} in {:?}: {counts:?}", lasts / 1_000, started.elapsed()),
        Err(why) => {
            panic!("seed {seed}: {why}\nagain: WEIR_SEED={seed} WEIR_HOURS={} WEIR_STORY=1", hours.unwrap_or(1))
        }
    }
}

/// An oracle that cannot fail is none: each mistake is caught in some seed that passes without it, by the right words.
#[test]
fn mistakes_are_caught() {
    let cases = [
        (Mutation::NoLeases, "two primaries"),
        (Mutation::NewLeaderForgets, "two primaries"),
        (Mutation::FenceSkipped, ""),
        (Mutation::SettledEarly, "and is not"),
        (Mutation::ReceiversRun, "and is not"),
        (Mutation::OlderEpochs, "goes back"),
        (Mutation::EarlyAck, "lost"),
        (Mutation::Untold, "hidden"),
        (Mutation::Asleep, "not well"),
        (Mutation::Restless, "times in 10 s"),
        (Mutation::Forgetful, "forgets what"),
        (Mutation::Undrained, "nothing but switchovers"),
        (Mutation::StaleSettle, "forgets what"),
    ];
    let mut blind = Vec::new();
    for (mutation, words) in cases {
        let mut reports = Vec::new();
        let caught = (0..SEEDS_TO_TRY).find(|seed| {
            let Err(report) = run(&Plan::of_mutation(*seed, mutation)) else { return false };
            let is_it =
                report.contains(words) && run(&Plan { mutation: None, ..Plan::of_mutation(*seed, mutation) }).is_ok();
            reports.push(report);
            is_it
        });
        println!("{mutation:?}: {caught:?}: {:?}", reports.last());
        if caught.is_none() {
            blind.push((mutation, reports));
        }
    }
    assert!(blind.is_empty(), "{blind:#?}");
}

const SEEDS_TO_TRY: u64 = 200;
