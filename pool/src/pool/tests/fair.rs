//! Accounts take turns: how long the only waiter of one waits beside a thousand of another's.

use super::model::Random;
use super::*;
use std::collections::BTreeMap;

fn crowded(quota: u32) -> Pool {
    let mut pool = Pool::new(1, Limits { waiters_max: 10_000, ..limits() });
    pool.set_quota(0, quota);
    pool
}

/// All connections of a full pool are leased to one account, as many of whose sessions wait.
fn flooded(quota: u32, waiters: u32) -> (Pool, VecDeque<SlotId>) {
    let mut pool = crowded(quota);
    let leased = (0..quota).map(|_| dialed(&mut pool, 0, &want(1, 0))).collect();
    for _ in 0..waiters {
        wait(&mut pool, 1, &want(1, 0));
    }
    (pool, leased)
}

/// One connection comes back: who gets it.
fn serve(pool: &mut Pool, leased: &mut VecDeque<SlotId>, now: u64) -> Ticket {
    let slot = leased.pop_front().expect("somebody has one");
    let is = pool.slots().find(|view| view.slot == slot).expect("it lives");
    pool.release(now, slot, is.account, is.class, 0, 0);
    let (ticket, slot, _) = pool.poll_ready(now).expect("somebody waits");
    leased.push_back(slot);
    ticket
}

#[test]
fn one_waiter_is_next_but_one_beside_a_thousand_of_anothers() {
    let (mut pool, mut leased) = flooded(4, 1_000);
    for round in 0..50 {
        let small = wait(&mut pool, 2 + round, &want(2, 0));
        let served = (0..2).position(|_| serve(&mut pool, &mut leased, 2 + round) == small);
        assert!(served.is_some(), "round {round}");
        pool.check();
    }
    assert!((900..1_000).contains(&pool.waiting(0)), "the flood goes on, too: {}", pool.waiting(0));
}

#[test]
fn weights_share_a_full_pool() {
    let mut pool = crowded(3);
    let mut leased: VecDeque<SlotId> = (0..3).map(|_| dialed(&mut pool, 0, &want(1, 0))).collect();
    let mut tickets = BTreeMap::new();
    for (account, weight) in [(1, 100), (2, 300), (3, 50)] {
        for _ in 0..500 {
            tickets.insert(wait(&mut pool, 1, &Want { weight, ..want(account, 0) }), account);
        }
    }
    let mut served: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..450 {
        *served.entry(tickets[&serve(&mut pool, &mut leased, 2)]).or_default() += 1;
    }
    let shares: Vec<u32> = served.into_values().collect();
    assert!(shares.iter().zip([100, 300, 50]).all(|(is, due)| is.abs_diff(due) <= 2), "{shares:?}");
}

/// Whatever comes, goes and gives up: while an account waits without a break, no other one is served more than its own
/// share allows, and one turn.
#[test]
fn nobody_who_waits_falls_behind_by_more_than_a_turn() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let (mut pool, mut leased) = flooded(2, 0);
        let mut waiting: BTreeMap<Ticket, u32> = BTreeMap::new();
        // Served since the pair has waited together.
        let mut since: BTreeMap<(u32, u32), (u32, u32)> = BTreeMap::new();
        for now in 0..1_500 {
            let account = 1 + random.below(4) as u32;
            match random.below(5) {
                0 | 1 => drop(waiting.insert(wait(&mut pool, now, &want(account, 0)), account)),
                2 if !waiting.is_empty() => {
                    let at = random.below(waiting.len() as u64) as usize;
                    let ticket = *waiting.keys().nth(at).unwrap();
                    waiting.remove(&ticket);
                    assert!(pool.cancel(ticket));
                }
                _ if !waiting.is_empty() => {
                    let account = waiting.remove(&serve(&mut pool, &mut leased, now)).expect("it waited");
                    for (pair, count) in &mut since {
                        count.0 += u32::from(pair.0 == account);
                        count.1 += u32::from(pair.1 == account);
                    }
                }
                _ => {}
            }
            pool.check();
            let waits = |account: u32| waiting.values().any(|other| *other == account);
            for pair in (1..5).flat_map(|a| (1..5).map(move |b| (a, b))).filter(|(a, b)| a != b) {
                match waits(pair.0) && waits(pair.1) {
                    true => drop(since.entry(pair).or_default()),
                    false => drop(since.remove(&pair)),
                }
            }
            for (pair, (one, other)) in &since {
                assert!(one.abs_diff(*other) <= 2, "seed {seed}: {pair:?} were served {one} and {other} times");
            }
        }
    }
}
