//! Shares and choices over many draws from a fixed seed.

use super::*;

fn candidates(of: &[(u32, u32)]) -> Vec<Candidate> {
    of.iter()
        .enumerate()
        .map(|(backend, (weight, outstanding))| Candidate {
            backend: backend as u16,
            weight: *weight,
            load: *outstanding,
        })
        .collect()
}

fn randoms(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(scramble)
}

fn per_weight(candidates: &[Candidate], random: u64) -> Option<u16> {
    two_choices(candidates, Measure::PerWeight, random)
}

fn alone(candidates: &[Candidate], random: u64) -> Option<u16> {
    two_choices(candidates, Measure::Alone, random)
}

fn soft(candidates: &[Candidate], random: u64) -> Option<u16> {
    soft_choice(candidates, Measure::PerWeight, random)
}

fn soft_alone(candidates: &[Candidate], random: u64) -> Option<u16> {
    soft_choice(candidates, Measure::Alone, random)
}

/// How often each candidate is chosen in 100,000 draws, in percent.
fn shares(choose: fn(&[Candidate], u64) -> Option<u16>, of: &[(u32, u32)]) -> Vec<f64> {
    let candidates = candidates(of);
    let mut counts = vec![0.0; of.len()];
    for random in randoms(100_000) {
        counts[usize::from(choose(&candidates, random).unwrap())] += 0.001;
    }
    counts
}

fn assert_near(found: &[f64], expected: &[f64], percent: f64) {
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < percent, "{found:?} instead of {expected:?}");
    }
}

#[test]
fn weights_decide_the_shares() {
    assert_near(&shares(weighted_random, &[(1, 0), (2, 50), (7, 9)]), &[10.0, 20.0, 70.0], 0.6);
    assert_near(&shares(weighted_random, &[(u32::MAX, 0), (u32::MAX, 0)]), &[50.0, 50.0], 0.6);
}

#[test]
fn equal_loads_leave_the_shares_to_the_weights() {
    assert_near(&shares(per_weight, &[(1, 0), (2, 0), (7, 0)]), &[10.0, 20.0, 70.0], 0.6);
    assert_near(&shares(per_weight, &[(1, 3), (2, 6), (7, 21)]), &[10.0, 20.0, 70.0], 0.6);
}

#[test]
fn the_less_loaded_of_two_is_taken() {
    assert_eq!(shares(per_weight, &[(1, 1), (1, 0)])[0], 0.0);
    assert_eq!(shares(per_weight, &[(1, 2), (3, 3)])[0], 0.0, "2/1 is more than 3/3");
    let worst = shares(per_weight, &[(1, 9), (1, 0), (1, 0)])[0];
    assert_eq!(worst, 0.0, "the two draws differ, so the worst is never alone");
}

#[test]
fn times_are_compared_alone_and_small_differences_are_none() {
    assert_near(&shares(alone, &[(1, 500), (2, 520), (7, 510)]), &[10.0, 20.0, 70.0], 0.6);
    let slow = shares(alone, &[(1, 500), (1, 510), (1, 9_000)]);
    assert_eq!(slow[2], 0.0);
    // With a figure that says nothing runs there, nobody gets more than two of three.
    assert!(shares(alone, &[(1, 0), (1, 100), (1, 100)])[0] < 67.5);
}

#[test]
fn a_soft_choice_leans_and_starves_nobody() {
    assert_near(&shares(soft, &[(1, 0), (2, 0), (7, 0)]), &[10.0, 20.0, 70.0], 0.6);
    assert_near(&shares(soft, &[(1, 3), (2, 6), (7, 21)]), &[10.0, 20.0, 70.0], 0.6);
    assert_near(&shares(soft, &[(1, 99), (1, 99)]), &[50.0, 50.0], 0.6);
    assert_near(&shares(soft, &[(1, 199), (1, 99)]), &[33.3, 66.7], 0.6);
    assert_near(&shares(soft_alone, &[(1, 199), (1, 99)]), &[33.3, 66.7], 0.6);
    assert_near(&shares(soft, &[(1, 0), (1, 9)]), &[90.9, 9.1], 0.6);
    assert_near(&shares(soft, &[(1, u32::MAX), (1, u32::MAX)]), &[50.0, 50.0], 0.6);
}

/// The rate that each choice is made on is one that was counted in the second before: what herds then swings.
#[test]
fn a_soft_choice_does_not_swing_on_old_figures() {
    let peak = |choose: fn(&[Candidate], u64) -> Option<u16>| {
        let mut all = candidates(&[(1, 0), (1, 0), (1, 0)]);
        let mut highest = 0;
        let mut randoms = randoms(100_000);
        for second in 0..100 {
            let mut counts = [0u32; 3];
            for random in randoms.by_ref().take(1_000) {
                counts[usize::from(choose(&all, random).unwrap())] += 1;
            }
            all.iter_mut().zip(counts).for_each(|(candidate, count)| candidate.load = count);
            if second > 5 {
                highest = highest.max(*counts.iter().max().unwrap());
            }
        }
        highest
    };
    let (soft, hard) = (peak(soft), peak(per_weight));
    assert!(soft < 420, "a third is 333, the peak was {soft}");
    assert!(hard > 550, "the comparison that this one replaces no longer swings: {hard}");
}

#[test]
fn nobody_and_nothing() {
    for choose in [weighted_random, per_weight, soft] {
        assert_eq!(choose(&[], 7), None);
        for random in randoms(1000).chain([0, u64::MAX]) {
            assert_eq!(choose(&candidates(&[(0, 0), (0, 0)]), random), None);
            assert_eq!(choose(&candidates(&[(0, 0), (3, 9), (0, 0)]), random), Some(1));
        }
    }
}

/// A closed loop: so many requests under way, any of them equally likely to end next. Returns the shares in percent.
fn closed_loop(weights: &[u32], under_way: u32, speed: &[u32]) -> Vec<f64> {
    let mut all = candidates(&weights.iter().map(|w| (*w, 0)).collect::<Vec<_>>());
    let mut counts = vec![0u32; weights.len()];
    let mut flying = 0;
    for (turn, random) in randoms(200_000).enumerate() {
        if flying == under_way {
            let total: u64 = all.iter().zip(speed).map(|(c, s)| u64::from(c.load * s)).sum();
            let mut point = scramble(random ^ 0x55) % total;
            for (candidate, speed) in all.iter_mut().zip(speed) {
                let part = u64::from(candidate.load * speed);
                if point < part {
                    candidate.load -= 1;
                    break;
                }
                point -= part;
            }
            flying -= 1;
        }
        let chosen = usize::from(per_weight(&all, random).unwrap());
        all[chosen].load += 1;
        flying += 1;
        if turn > 1000 {
            counts[chosen] += 1;
        }
    }
    let total: u32 = counts.iter().sum();
    counts.iter().map(|c| f64::from(*c) * 100.0 / f64::from(total)).collect()
}

#[test]
fn long_run_shares_stay_with_the_weights_when_all_are_equally_fast() {
    assert_near(&closed_loop(&[1, 1, 1], 12, &[1, 1, 1]), &[33.3, 33.3, 33.3], 1.0);
    assert_near(&closed_loop(&[1, 3], 64, &[1, 1]), &[25.0, 75.0], 1.5);
    assert_near(&closed_loop(&[1, 2, 7], 200, &[1, 1, 1]), &[10.0, 20.0, 70.0], 1.5);
}

#[test]
fn a_slow_replica_gets_less_than_its_weight() {
    let shares = closed_loop(&[1, 1, 1], 30, &[10, 10, 1]);
    assert!(shares[2] < 12.0, "{shares:?}");
}
