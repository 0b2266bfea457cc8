//! Which idle connections are closed: over age, over their idle time, more than the quota, in another class's way.
//!
//! Invariant: an idle slot that is closed here is `Closing` from the decision on, so nobody is given it, and it is named
//! to the caller exactly once.

use super::Pool;
use crate::limits::Limits;
use crate::shelf::{ACCOUNT, LEVELS};
use crate::slot::{SlotId, SlotState};

impl Pool {
    /// New settings; they hold for the connections that are open, too.
    pub fn set_limits(&mut self, limits: Limits) {
        if self.limits == limits {
            return;
        }
        self.limits = limits;
        for backend in 0..self.backends.len() {
            // Whoever is settled is older than whoever is fresh: the order of use is kept.
            while let Some(index) = self.backends[backend].settled.first() {
                let at = &mut self.backends[backend];
                at.settled.remove(&mut self.slots.table, LEVELS, index);
                at.fresh.push_back(&mut self.slots.table, LEVELS, index);
                self.slots[index].settled = false;
            }
            self.touch(backend as u16);
        }
        self.ages.clear();
        for index in 0..self.slots.table.len() as u32 {
            if matches!(self.slots[index].state, Some(SlotState::Idle | SlotState::Leased)) {
                self.begin_age(self.slots[index].opened_at, index);
            }
        }
        self.alarm = 0;
    }

    /// An idle connection to close; the caller answers with `closed`, at once or later.
    pub fn poll_evict(&mut self, now_ns: u64) -> Option<SlotId> {
        if now_ns >= self.alarm {
            self.sweep(now_ns);
        }
        loop {
            while let Some(slot) = self.evictions.pop_front() {
                // It may have been closed from outside before the caller could be told.
                if self.slots.find(slot).is_some() {
                    return Some(slot);
                }
            }
            let backend = self.to_evict.first()?;
            match self.surplus(now_ns, backend) {
                Some(index) => self.evict(now_ns, index),
                None => self.to_evict.clear(backend),
            }
        }
    }

    /// When `poll_evict` may have something by time alone. It may turn out to have nothing.
    pub fn poll_timeout(&self) -> Option<u64> {
        (self.alarm != u64::MAX).then_some(self.alarm)
    }

    /// The idle slot that has to go, whatever its age.
    fn surplus(&mut self, now: u64, backend: u16) -> Option<u32> {
        let at = &self.backends[usize::from(backend)];
        let oldest = at.least_recent()?;
        if !at.usable || at.live() > at.quota {
            return Some(oldest);
        }
        if at.live() > at.target(at.demand()) {
            if at.waiting == 0 && at.quota <= at.fair {
                let settles_at = self.slots[oldest].idle_since.saturating_add(self.limits.cede_idle_ns_min);
                if settles_at > now {
                    self.alarm = self.alarm.min(settles_at);
                    return None;
                }
            }
            return Some(oldest);
        }
        // Of no use to anybody in line, and in the way of a connection that would be.
        (at.shortage() > 0 && self.next_hand_over(backend).is_none()).then_some(oldest)
    }

    pub(super) fn evict(&mut self, now: u64, index: u32) {
        self.change(now, index, Some(SlotState::Closing));
        self.evictions.push_back(self.slots[index].id);
    }

    /// What is due by time alone, and when the next such thing is.
    fn sweep(&mut self, now: u64) {
        while let Some((_, index)) = self.ages.first().copied().filter(|(ends_at, _)| *ends_at <= now) {
            self.ages.pop_first();
            match self.slots[index].state {
                Some(SlotState::Idle) => self.evict(now, index),
                _ => self.slots[index].overdue = true,
            }
        }
        self.alarm = self.ages.first().map_or(u64::MAX, |(ends_at, _)| *ends_at);
        for backend in 0..self.backends.len() {
            self.settle(now, backend);
            if let Some(index) = self.backends[backend].fresh.last() {
                let due = self.slots[index].idle_since.saturating_add(self.limits.idle_ns_max);
                self.alarm = self.alarm.min(due);
            }
            self.to_evict.set(backend as u16);
        }
    }

    /// Idle slots whose time is over are closed, or settle when their account would have too few.
    fn settle(&mut self, now: u64, backend: usize) {
        while let Some(index) = self.backends[backend].fresh.last() {
            let slot = &self.slots[index];
            if slot.idle_since.saturating_add(self.limits.idle_ns_max) > now {
                return;
            }
            if self.shelves.list(slot.shelves[ACCOUNT]).len() as usize > self.limits.warm_min {
                self.evict(now, index);
                continue;
            }
            let at = &mut self.backends[backend];
            at.fresh.remove(&mut self.slots.table, LEVELS, index);
            at.settled.push_front(&mut self.slots.table, LEVELS, index);
            self.slots[index].settled = true;
        }
    }

    /// A slot has become idle: one of its account that was only kept as the last one may go.
    pub(super) fn unsettle(&mut self, now: u64, index: u32) {
        let account = self.shelves.list(self.slots[index].shelves[ACCOUNT]);
        let Some(oldest) = account.last() else { return };
        if self.slots[oldest].settled && account.len() as usize > self.limits.warm_min {
            self.evict(now, oldest);
        }
    }

    /// Sets when an open slot is over age: up to an eighth early, by how many were opened before it.
    pub(super) fn begin_age(&mut self, opened_at: u64, index: u32) {
        let age = self.limits.age_ns_max;
        let spread = u128::from(self.opened.wrapping_add(index).wrapping_mul(GOLDEN));
        let early = ((u128::from(age / 8) * spread) >> 32) as u64;
        let ends_at = if age == u64::MAX { u64::MAX } else { opened_at.saturating_add(age - early) };
        let slot = &mut self.slots[index];
        slot.opened_at = opened_at;
        slot.ends_at = ends_at;
        slot.overdue = false;
        if ends_at != u64::MAX {
            self.ages.insert((ends_at, index));
            self.alarm = self.alarm.min(ends_at);
        }
    }
}

/// 2³² divided by the golden ratio: its multiples spread evenly.
const GOLDEN: u32 = 0x9e37_79b9;
