//! The pool against a naive model, at random: no slot is leased twice, nobody is overtaken within an account, the quota holds, nobody
//! waits beside a connection that would do, every ticket ends.

use super::*;
use std::collections::BTreeMap;

/// SplitMix64.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Opening,
    Idle,
    Leased,
    Closing,
}

/// One connection as the caller knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    seen: Seen,
    backend: u16,
    is: Want,
    /// The order of release.
    used: u64,
}

struct Model {
    random: Random,
    pool: Pool,
    now: u64,
    limits: Limits,
    quota: Vec<u32>,
    usable: Vec<bool>,
    asked: Vec<bool>,
    slots: BTreeMap<SlotId, Known>,
    /// In order of arrival.
    line: Vec<(Ticket, u16, Want)>,
    joined: u64,
    ended: u64,
    used: u64,
}

const BACKENDS: u64 = 2;

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random(seed);
        let limits = Limits {
            waiters_max: 10,
            warm_min: random.below(3) as usize,
            idle_ns_max: [50, 500, u64::MAX][random.below(3) as usize],
            age_ns_max: [300, u64::MAX][random.below(2) as usize],
            dials_max: 1 + random.below(5) as u32,
            overtaken_ns_max: 1 + random.below(60),
            cede_idle_ns_min: 5,
            scatter: false,
        };
        let mut model = Model {
            pool: Pool::new(BACKENDS as usize, limits),
            now: 0,
            limits,
            quota: vec![0; BACKENDS as usize],
            usable: vec![true; BACKENDS as usize],
            asked: vec![false; BACKENDS as usize],
            slots: BTreeMap::new(),
            line: Vec::new(),
            joined: 0,
            ended: 0,
            used: 0,
            random,
        };
        for backend in 0..BACKENDS as u16 {
            model.set_quota(backend, 6);
        }
        model
    }

    fn set_quota(&mut self, backend: u16, most: u64) {
        let quota = self.random.below(most + 1) as u32;
        self.pool.set_quota(backend, quota);
        self.quota[usize::from(backend)] = quota;
        self.asked[usize::from(backend)] = false;
    }

    /// What the caller thinks idle may already be on its way out; the pool's own word counts.
    fn is_idle(&self, slot: SlotId) -> bool {
        self.slots[&slot].seen == Seen::Idle
            && self.pool.slots().any(|view| view.slot == slot && view.state == SlotState::Idle)
    }

    fn idle_at(&self, backend: u16, class: u32) -> Vec<(SlotId, Known)> {
        let of = self.slots.iter().filter(|(_, known)| known.backend == backend && known.is.class == class);
        of.filter(|(slot, _)| self.is_idle(**slot)).map(|(slot, known)| (*slot, *known)).collect()
    }

    /// Connections of a backend (and class) in a state, by the pool's word.
    fn count(&self, backend: u16, class: Option<u32>, states: &[SlotState]) -> u32 {
        let of = self.pool.slots().filter(|v| v.backend == backend && class.is_none_or(|c| v.class == c));
        of.filter(|view| states.contains(&view.state)).count() as u32
    }

    fn live(&self, backend: u16, class: Option<u32>) -> u32 {
        self.count(backend, class, &[SlotState::Opening, SlotState::Idle, SlotState::Leased])
    }

    fn waiting(&self, backend: u16, class: u32) -> u32 {
        self.line.iter().filter(|(_, at, want)| (*at, want.class) == (backend, class)).count() as u32
    }

    fn uncovered(&self, backend: u16, class: u32) -> u32 {
        self.waiting(backend, class).saturating_sub(self.count(backend, Some(class), &[SlotState::Opening]))
    }

    fn shortage(&self, backend: u16) -> u32 {
        let room = self.quota[usize::from(backend)].saturating_sub(self.live(backend, None));
        (0..CLASSES).map(|class| self.uncovered(backend, class)).sum::<u32>().saturating_sub(room)
    }

    /// Whether somebody who waits may have an idle slot.
    fn may_have(&self, backend: u16, want: &Want, slot: &Known) -> bool {
        let class = want.class;
        let like = self.idle_at(backend, class).iter().filter(|(_, k)| k.is.account == slot.is.account).count();
        slot.is.class == class
            && (slot.is.account == want.account
                || like > self.limits.warm_min
                || (self.shortage(backend) > 0 && self.uncovered(backend, class) > 0))
    }

    fn fit(want: &Want, is: &Want) -> Fit {
        if want.account != is.account {
            Fit::Account
        } else if (want.schema, want.fingerprint) == (is.schema, is.fingerprint) {
            Fit::Same
        } else {
            Fit::State
        }
    }

    /// What a newcomer gets when nobody waits; None is a new connection.
    fn expected(&self, backend: u16, want: &Want) -> Option<SlotId> {
        let mut idle = self.idle_at(backend, want.class);
        idle.sort_by_key(|(_, known)| std::cmp::Reverse(known.used));
        let own: Vec<_> = idle.iter().filter(|(_, known)| known.is.account == want.account).collect();
        let first = |test: &dyn Fn(&Want) -> bool| own.iter().find(|(_, known)| test(&known.is)).map(|(slot, _)| *slot);
        let preferred = want.prefer.filter(|slot| own.iter().any(|(own, _)| own == slot));
        let found = preferred
            .or_else(|| first(&|is| (is.schema, is.fingerprint) == (want.schema, want.fingerprint)))
            .or_else(|| first(&|is| is.schema == want.schema))
            .or_else(|| own.last().map(|(slot, _)| *slot));
        let room = self.live(backend, None) < self.quota[usize::from(backend)];
        found.or_else(|| {
            let like = |account| idle.iter().filter(|(_, k)| k.is.account == account).count();
            let spare = |known: &Known| !room || like(known.is.account) > self.limits.warm_min;
            idle.iter().rev().find(|(_, known)| spare(known)).map(|(slot, _)| *slot)
        })
    }

    fn acquire(&mut self) {
        let backend = self.random.below(BACKENDS) as u16;
        let known: Vec<SlotId> = self.slots.keys().copied().collect();
        let prefer = (!known.is_empty()).then(|| known[self.random.below(known.len() as u64) as usize]);
        let want = Want {
            account: self.random.below(3) as u32,
            class: u32::from(self.random.below(4) == 0),
            schema: self.random.below(2) as u32,
            fingerprint: self.random.below(2) as u32,
            prefer: prefer.filter(|_| self.random.below(3) == 0),
            weight: [100, 25, 400][self.random.below(3) as usize],
        };
        let at = usize::from(backend);
        let alone = self.line.iter().all(|(_, other, _)| *other != backend);
        let stopped = !self.usable[at] || self.live(backend, None) > self.quota[at];
        let expected = self.expected(backend, &want).filter(|_| !stopped);
        match self.pool.acquire(self.now, backend, &want) {
            Grant::Lease { slot, fit } => {
                if alone {
                    assert_eq!(Some(slot), expected, "the best for {want:?}");
                }
                assert!(!stopped);
                self.leased_to(slot, backend, &want, fit, self.line.len());
            }
            Grant::Wait(ticket) => {
                assert!(!alone || expected.is_none(), "{expected:?} was there for {want:?}");
                assert!(self.line.len() < self.limits.waiters_max);
                self.joined += 1;
                self.line.push((ticket, backend, want));
            }
            Grant::Refused(_) => assert_eq!(self.line.len(), self.limits.waiters_max),
        }
    }

    /// A lease for who stands (or would stand) at a position of the line: nobody before them may have that slot.
    fn leased_to(&mut self, slot: SlotId, backend: u16, want: &Want, fit: Fit, position: usize) {
        let known = self.slots[&slot];
        assert_eq!((known.seen, known.backend, known.is.class), (Seen::Idle, backend, want.class));
        assert_eq!(fit, Model::fit(want, &known.is));
        self.slots.get_mut(&slot).unwrap().seen = Seen::Leased;
        for (ticket, at, other) in &self.line[..position] {
            if *at != backend || other.class != want.class {
                continue;
            }
            assert!(
                other.account != want.account || position == self.line.len(),
                "{ticket:?} of its account came before"
            );
            // Among those who wait, accounts take turns; a newcomer is behind all of them.
            if position < self.line.len() {
                continue;
            }
            assert_ne!(other.account, known.is.account, "{ticket:?} of that account came before");
            // One less than a moment ago: the slot itself is leased by now.
            let mut like = self.idle_at(backend, want.class);
            like.retain(|(_, other)| other.is.account == known.is.account);
            assert!(like.len() < self.limits.warm_min, "{ticket:?} came before, and the account has spare ones");
            let given = self.shortage(backend) > 0 && self.uncovered(backend, want.class) > 0;
            assert!(!given, "{ticket:?} came before, and there is no room");
        }
    }

    fn drain(&mut self) {
        loop {
            if let Some((ticket, slot, fit)) = self.pool.poll_ready(self.now) {
                let position = self.line.iter().position(|(other, ..)| *other == ticket).expect("somebody waits so");
                let (_, backend, want) = self.line[position];
                self.leased_to(slot, backend, &want, fit, position);
                self.line.remove(position);
                self.ended += 1;
            } else if let Some(slot) = self.pool.poll_evict(self.now) {
                let known = self.slots.get_mut(&slot).expect("it lives");
                assert_eq!(known.seen, Seen::Idle);
                known.seen = Seen::Closing;
            } else if let Some((slot, backend, want)) = self.pool.poll_dial() {
                let is = Want { fingerprint: 0, prefer: None, ..want };
                let known = Known { seen: Seen::Opening, backend, is, used: 0 };
                assert!(self.slots.insert(slot, known).is_none(), "a new id");
                assert!(self.usable[usize::from(backend)]);
                let open = self.slots.values().filter(|known| known.backend == backend).count() as u32;
                assert!(open <= self.quota[usize::from(backend)], "the quota holds");
                let opening = self.count(backend, Some(want.class), &[SlotState::Opening]);
                assert!(opening <= self.waiting(backend, want.class), "a dial for each waiter at most");
            } else {
                break;
            }
            self.pool.check();
        }
        while let Some(backend) = self.pool.poll_quota_wanted() {
            assert!(!std::mem::replace(&mut self.asked[usize::from(backend)], true), "asked once");
        }
        assert_eq!(self.pool.poll_ceded(), None, "nobody asks for share here");
        self.check_rest();
    }

    /// What holds when all polls are empty.
    fn check_rest(&self) {
        for backend in 0..BACKENDS as u16 {
            let at = usize::from(backend);
            let open = self.pool.open(backend);
            let idle = self.pool.idle(backend);
            let of = |seen: Seen| self.slots.values().filter(|k| k.backend == backend && k.seen == seen).count() as u32;
            assert_eq!(of(Seen::Idle), idle);
            assert_eq!(of(Seen::Leased), self.pool.outstanding(backend));
            assert_eq!(of(Seen::Opening) + of(Seen::Idle) + of(Seen::Leased) + of(Seen::Closing), open);
            if !self.usable[at] || self.live(backend, None) > self.quota[at] {
                assert_eq!(idle, 0);
                continue;
            }
            for (ticket, other, want) in self.line.iter().filter(|(_, other, _)| *other == backend) {
                for (slot, known) in self.idle_at(*other, want.class) {
                    assert!(!self.may_have(backend, want, &known), "{ticket:?} waits beside {slot:?}");
                }
            }
            let short = self.shortage(backend) > 0;
            assert!(!short || idle == 0, "an idle connection stands in the way");
            assert!(!short || self.asked[at], "the other cores were asked");
            let opening = self.count(backend, None, &[SlotState::Opening]);
            if open < self.quota[at] && opening < self.limits.dials_max {
                let uncovered: u32 = (0..CLASSES).map(|class| self.uncovered(backend, class)).sum();
                assert_eq!(uncovered, 0, "a connection could be opened");
            }
        }
    }

    /// A slot that is seen in a state, at random.
    fn any(&mut self, seen: Seen) -> Option<SlotId> {
        let all: Vec<SlotId> = self.slots.iter().filter(|(_, k)| k.seen == seen).map(|(slot, _)| *slot).collect();
        (!all.is_empty()).then(|| all[self.random.below(all.len() as u64) as usize])
    }

    fn make_idle(&mut self, slot: SlotId, is: Want) {
        self.used += 1;
        let known = self.slots.get_mut(&slot).unwrap();
        *known = Known { seen: Seen::Idle, is, used: self.used, ..*known };
    }

    fn open_one(&mut self) {
        if let Some(slot) = self.any(Seen::Opening) {
            self.pool.opened(self.now, slot);
            self.make_idle(slot, self.slots[&slot].is);
        }
    }

    fn release_one(&mut self) {
        if let Some(slot) = self.any(Seen::Leased) {
            let [account, schema, fingerprint] = [3, 2, 2].map(|bound| self.random.below(bound) as u32);
            let is = Want { account, schema, fingerprint, ..self.slots[&slot].is };
            self.pool.release(self.now, slot, account, is.class, schema, fingerprint);
            self.make_idle(slot, is);
        }
    }

    fn close_one(&mut self, seen: Seen) {
        if let Some(slot) = self.any(seen) {
            self.pool.closed(self.now, slot);
            self.slots.remove(&slot);
        }
    }

    fn step(&mut self) {
        let backend = self.random.below(BACKENDS) as u16;
        match self.random.below(100) {
            0..=39 => self.acquire(),
            40..=61 => self.release_one(),
            62..=74 => self.open_one(),
            75..=81 => self.close_one(Seen::Closing),
            82 => self.close_one(Seen::Opening),
            83 => self.close_one(Seen::Idle),
            84 => self.close_one(Seen::Leased),
            85..=88 if !self.line.is_empty() => {
                let at = self.random.below(self.line.len() as u64) as usize;
                let (ticket, ..) = self.line.remove(at);
                assert!(self.pool.cancel(ticket));
                assert!(!self.pool.cancel(ticket));
                self.ended += 1;
            }
            89 => self.set_quota(backend, 6),
            90 => {
                let usable = self.random.below(3) > 0;
                self.pool.set_usable(backend, usable);
                self.usable[usize::from(backend)] = usable;
            }
            91 if self.random.below(4) == 0 => {
                let (failed, left): (Vec<_>, Vec<_>) = self.line.drain(..).partition(|(_, at, _)| *at == backend);
                self.line = left;
                let failed: Vec<Ticket> = failed.into_iter().map(|(ticket, ..)| ticket).collect();
                assert_eq!(self.pool.fail_line(backend), failed);
                self.ended += failed.len() as u64;
            }
            92 => {
                if let Some(slot) = self.any(Seen::Idle) {
                    let was_idle = self.is_idle(slot);
                    if self.pool.acquire_exactly(slot) {
                        assert!(was_idle);
                        let known = self.slots[&slot];
                        self.leased_to(slot, known.backend, &known.is, Fit::Same, self.line.len());
                    }
                }
            }
            93 => {
                self.pool.rearm_quota(backend);
                self.asked[usize::from(backend)] = false;
            }
            _ => {
                self.now += self.random.below(40);
                if let Some(due) = self.pool.poll_timeout().filter(|_| self.random.below(3) == 0) {
                    self.now = self.now.max(due);
                }
            }
        }
        self.pool.check();
        // The caller may do several things before it asks what follows from them.
        if self.random.below(4) > 0 {
            self.drain();
        }
    }

    /// Faults stop, everybody gives back what they have: everybody who waits is served.
    fn finish(&mut self) {
        for backend in 0..BACKENDS as u16 {
            self.pool.set_usable(backend, true);
            self.usable[usize::from(backend)] = true;
            self.pool.set_quota(backend, 1);
            self.quota[usize::from(backend)] = 1;
            self.asked[usize::from(backend)] = false;
        }
        for _ in 0..400 {
            self.drain();
            if self.line.is_empty() {
                break;
            }
            self.now += 1;
            self.open_one();
            self.close_one(Seen::Closing);
            self.release_one();
        }
        assert!(self.line.is_empty(), "{:?} still wait", self.line);
        assert_eq!(self.joined, self.ended, "every ticket has ended, once");
        while let Some(slot) = self.slots.keys().next().copied() {
            self.pool.closed(self.now, slot);
            self.slots.remove(&slot);
        }
        self.pool.check();
        assert_eq!(self.pool.slots().count(), 0);
    }
}

const CLASSES: u32 = 2;

#[test]
fn the_pool_does_what_the_naive_model_says() {
    let mut served = 0;
    for seed in 0..120 {
        let mut model = Model::new(seed);
        for _ in 0..1_500 {
            model.step();
        }
        model.finish();
        served += model.ended;
    }
    assert!(served > 20_000, "only {served} tickets: the model must wait and be served");
}
