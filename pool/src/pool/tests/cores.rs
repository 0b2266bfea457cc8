//! The budget among cores: what moves, who gives, and that the sum never exceeds it.

use super::model::Random;
use super::*;
use std::collections::VecDeque;

#[test]
fn unused_share_is_given_at_once() {
    let mut pool = pool(4);
    assert_eq!(pool.cede(0, 0, 3, 4), 3);
    assert_eq!(pool.quota(0), 1);
    assert_eq!(pool.cede(0, 0, 3, 4), 1, "nobody is here: all of it");
    assert_eq!((pool.quota(0), pool.poll_ceded()), (0, None));
}

#[test]
fn an_idle_connection_is_closed_for_another_core() {
    let mut pool = pool(2);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0)]);
    assert_eq!(pool.cede(10, 0, 1, 2), 0, "both are open");
    assert_eq!(pool.poll_evict(10), None, "it was used a moment ago");
    assert_eq!(pool.poll_timeout(), Some(20 * MS));
    assert_eq!(pool.poll_evict(20 * MS), Some(slots[0]));
    assert_eq!(pool.poll_ceded(), None, "it is still open");
    pool.closed(20 * MS, slots[0]);
    assert_eq!((pool.poll_ceded(), pool.poll_ceded()), (Some((0, 1)), None));
    assert_eq!((pool.quota(0), pool.poll_evict(99 * MS)), (1, None));
}

#[test]
fn the_last_connection_stays_where_somebody_uses_it() {
    let mut pool = pool(1);
    let slot = dialed(&mut pool, 0, &want(1, 0));
    assert_eq!(pool.cede(1, 0, 1, 1), 0);
    give_back(&mut pool, 2, slot, &want(1, 0));
    assert_eq!(pool.poll_evict(MS), None);
    assert_eq!(lease(&mut pool, MS, &want(1, 0)).0, slot, "used again before it was idle for long");
    pool.rearm_quota(0);
    give_back(&mut pool, MS, slot, &want(1, 0));
    assert_eq!(pool.poll_evict(900 * MS), None, "the debt is forgotten");
}

#[test]
fn a_busy_core_gives_only_what_exceeds_its_fair_share() {
    let mut pool = pool(3);
    let slots = [0; 3].map(|_| dialed(&mut pool, 0, &want(1, 0)));
    let tickets = [wait(&mut pool, 1, &want(1, 0)), wait(&mut pool, 1, &want(1, 0))];
    assert_eq!(pool.cede(1, 0, 5, 2), 0, "all are leased");
    give_back(&mut pool, 2, slots[0], &want(1, 0));
    assert_eq!(pool.poll_ready(2), None, "owed to the other core");
    assert_eq!(evicted(&mut pool, 2), [slots[0]]);
    assert_eq!((pool.poll_dial(), pool.poll_ceded()), (None, Some((0, 1))));
    give_back(&mut pool, 3, slots[1], &want(1, 0));
    assert_eq!(pool.poll_ready(3), Some((tickets[0], slots[1], Fit::Same)), "the rest is its fair share");
    assert_eq!((pool.poll_ceded(), pool.quota(0)), (None, 2));
    assert_eq!(pool.waiting(0), 1);
}

#[test]
fn share_is_wanted_once() {
    let mut pool = pool(1);
    let slot = dialed(&mut pool, 0, &want(1, 0));
    assert_eq!(pool.poll_quota_wanted(), None);
    wait(&mut pool, 1, &want(1, 0));
    assert_eq!((pool.poll_quota_wanted(), pool.poll_quota_wanted()), (Some(0), None));
    wait(&mut pool, 1, &want(1, 0));
    assert_eq!(pool.poll_quota_wanted(), None, "asked, not answered");
    pool.rearm_quota(0);
    assert_eq!(pool.poll_quota_wanted(), Some(0));
    pool.grant(0, 1);
    assert!(pool.poll_dial().is_some());
    assert_eq!(pool.poll_quota_wanted(), Some(0), "the second waiter");
    pool.grant(0, 1);
    assert!(pool.poll_dial().is_some());
    assert_eq!(pool.poll_quota_wanted(), None);
    give_back(&mut pool, 2, slot, &want(1, 0));
}

/// Cores that ask and give by mail, as the engine does it.
struct Gate {
    pools: Vec<Pool>,
    budget: u32,
    /// To which core, and what: a wish of another core, or share.
    mail: VecDeque<(usize, Letter)>,
    debts: Vec<VecDeque<usize>>,
    leased: Vec<Vec<SlotId>>,
    closing: Vec<Vec<SlotId>>,
}

enum Letter {
    Wanted(usize),
    Granted(u32),
}

impl Gate {
    fn new(cores: usize, budget: u32) -> Gate {
        let each = budget / cores as u32;
        let limits = Limits { waiters_max: 1_000, dials_max: 100, ..limits() };
        let mut pools: Vec<Pool> = (0..cores).map(|_| Pool::new(1, limits)).collect();
        pools.iter_mut().for_each(|pool| pool.set_quota(0, each));
        Gate {
            pools,
            budget: each * cores as u32,
            mail: VecDeque::new(),
            debts: vec![VecDeque::new(); cores],
            leased: vec![Vec::new(); cores],
            closing: vec![Vec::new(); cores],
        }
    }

    fn deliver(&mut self, now: u64) {
        let Some((core, letter)) = self.mail.pop_front() else {
            return;
        };
        match letter {
            Letter::Granted(count) => self.pools[core].grant(0, count),
            Letter::Wanted(from) => {
                let fair = self.budget / self.pools.len() as u32;
                match self.pools[core].cede(now, 0, 1, fair) {
                    0 => self.debts[core].push_back(from),
                    count => self.mail.push_back((from, Letter::Granted(count))),
                }
            }
        }
    }

    fn turn(&mut self, now: u64, core: usize) {
        let pool = &mut self.pools[core];
        loop {
            if let Some((_, slot, _)) = pool.poll_ready(now) {
                self.leased[core].push(slot);
            } else if let Some(slot) = pool.poll_evict(now) {
                self.closing[core].push(slot);
            } else if let Some((slot, ..)) = pool.poll_dial() {
                pool.opened(now, slot);
            } else {
                break;
            }
        }
        while let Some((_, count)) = pool.poll_ceded() {
            match self.debts[core].pop_front() {
                Some(to) => self.mail.push_back((to, Letter::Granted(count))),
                None => pool.grant(0, count),
            }
        }
        while pool.poll_quota_wanted().is_some() {
            let others = (0..self.debts.len()).filter(|to| *to != core);
            self.mail.extend(others.map(|to| (to, Letter::Wanted(core))));
        }
        pool.check();
    }

    fn check(&self) {
        let granted = |letter: &Letter| {
            if let Letter::Granted(count) = letter { *count } else { 0 }
        };
        let in_mail: u32 = self.mail.iter().map(|(_, letter)| granted(letter)).sum();
        let held: u32 = self.pools.iter().map(|pool| pool.quota(0)).sum();
        assert_eq!(held + in_mail, self.budget, "share is neither made nor lost");
        let open: u32 = self.pools.iter().map(|pool| pool.open(0)).sum();
        assert!(open <= self.budget, "{open} connections, a budget of {}", self.budget);
    }

    fn rearm(&mut self, core: usize) {
        self.pools[core].rearm_quota(0);
        self.debts[core].clear();
    }
}

#[test]
fn the_sum_over_cores_is_the_budget_whatever_happens() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let cores = 2 + random.below(3) as usize;
        let mut gate = Gate::new(cores, 12);
        let mut now = 0;
        for _ in 0..2_000 {
            now += random.below(8) * MS;
            let core = random.below(cores as u64) as usize;
            // The load moves: at any time one core is asked more than the others.
            let hot = (now / (300 * MS)) as usize % cores == core;
            match random.below(if hot { 10 } else { 16 }) {
                0..=5 => {
                    let class = random.below(2) as u32;
                    if let Grant::Lease { slot, .. } = gate.pools[core].acquire(now, 0, &want(1, class)) {
                        gate.leased[core].push(slot);
                    }
                }
                6 => gate.rearm(core),
                7 if !gate.closing[core].is_empty() => {
                    let slot = gate.closing[core].swap_remove(0);
                    gate.pools[core].closed(now, slot);
                }
                8 => gate.deliver(now),
                _ if !gate.leased[core].is_empty() => {
                    let at = random.below(gate.leased[core].len() as u64) as usize;
                    let slot = gate.leased[core].swap_remove(at);
                    let class = gate.pools[core].slots().find(|view| view.slot == slot).unwrap().class;
                    gate.pools[core].release(now, slot, 1, class, 0, 0);
                }
                _ => gate.deliver(now),
            }
            gate.turn(now, core);
            gate.check();
        }
    }
}

/// Lets mail and closings come through, without time or new sessions.
fn settle(gate: &mut Gate, now: u64) {
    for _ in 0..500 {
        gate.deliver(now);
        for core in 0..gate.pools.len() {
            for slot in std::mem::take(&mut gate.closing[core]) {
                gate.pools[core].closed(now, slot);
            }
            gate.turn(now, core);
        }
        gate.check();
    }
}

#[test]
fn a_busy_core_gets_what_an_idle_one_holds() {
    let mut gate = Gate::new(4, 12);
    for core in 0..4 {
        for _ in 0..3 {
            gate.pools[core].acquire(0, 0, &want(1, 0));
        }
        gate.turn(0, core);
        for slot in std::mem::take(&mut gate.leased[core]) {
            gate.pools[core].release(0, slot, 1, 0, 0, 0);
        }
    }
    let now = 50 * MS;
    for _ in 0..20 {
        if let Grant::Lease { slot, .. } = gate.pools[0].acquire(now, 0, &want(1, 0)) {
            gate.leased[0].push(slot);
        }
    }
    settle(&mut gate, now);
    assert_eq!(gate.pools.iter().map(|pool| pool.quota(0)).collect::<Vec<_>>(), [12, 0, 0, 0]);
    assert_eq!((gate.pools[0].outstanding(0), gate.pools[0].waiting(0)), (12, 8));

    // Another core gets busy, too: it comes back to its fair share, no further.
    for _ in 0..20 {
        gate.pools[1].acquire(now, 0, &want(1, 0));
    }
    for round in 0..40 {
        // Once a second in life: who wants asks again, and what was asked before is forgotten.
        (0..2).for_each(|core| gate.rearm(core));
        settle(&mut gate, now + round * MS);
        for core in 0..2 {
            if let Some(slot) = gate.leased[core].pop() {
                gate.pools[core].release(now, slot, 1, 0, 0, 0);
            }
            while gate.pools[core].waiting(0) < 8 {
                gate.pools[core].acquire(now, 0, &want(1, 0));
            }
        }
        settle(&mut gate, now + round * MS);
    }
    let quotas: Vec<u32> = gate.pools.iter().map(|pool| pool.quota(0)).collect();
    assert_eq!(quotas[0] + quotas[1], 12);
    assert!(quotas[0] >= 3 && quotas[1] >= 3, "{quotas:?}");
}
