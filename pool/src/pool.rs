//! The pool: every backend connection of one core, who may have it, and who waits for one.
//!
//! Invariant: a connection is leased to one session at a time, and no session waits while a connection that it may
//! have is idle. The caller drains the polls, in this order, after each batch of calls:
//!
//! ```text
//!   acquire  release  opened  closed  cancel …       what happened
//!        │
//!        ▼
//!   poll_ready ─► poll_evict ─► poll_dial            until all three have nothing
//!        │
//!        ▼
//!   poll_ceded   poll_quota_wanted                   then what goes to and comes from the other cores
//! ```
//! What a session gets, best first: the connection that it used last, one in the same state, one in the same schema, the
//! one of its account that was used longest ago (its session is the least likely to ask more of it), one of another account
//! (a change of user), a new one, a place in line. The first four cost no round trip, a change of user one or two, a new
//! connection those of TCP, TLS and a login.

mod check;
mod evict;
mod hand;
mod share;

use crate::backend::Backend;
use crate::limits::Limits;
use crate::line::{LineFull, Ticket, Waiters};
use crate::marks::Marks;
use crate::shelf::{Description, LEVELS, Shelves};
use crate::slot::{SlotId, SlotState, SlotView, Slots};
use std::collections::{BTreeSet, VecDeque};

/// What a session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub account: u32,
    /// What was agreed on at login (capabilities, character set): it cannot be changed on an open connection.
    pub class: u32,
    pub schema: u32,
    /// The effective session state; 0 is the server's defaults.
    pub fingerprint: u32,
    /// The slot that this session used last.
    pub prefer: Option<SlotId>,
    /// The account's turns in line, relative to others'; at least 1.
    pub weight: u32,
}

/// How far a leased connection is from what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Same,
    /// Another fingerprint or schema.
    State,
    /// Another account: needs a change of user.
    Account,
}

/// The answer to [`Pool::acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    Lease {
        slot: SlotId,
        fit: Fit,
    },
    /// The ticket comes back from `poll_ready`, or ends with `cancel` or `fail_line`.
    Wait(Ticket),
    Refused(LineFull),
}

/// How a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Served,
    Unserved,
}

#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    slots: Slots,
    shelves: Shelves,
    backends: Vec<Backend>,
    waiters: Waiters,
    /// Backends that each of the polls has to look at.
    to_hand: Marks,
    to_evict: Marks,
    to_dial: Marks,
    to_cede: Marks,
    to_want: Marks,
    /// Slots in `Closing` that the caller has not been told of.
    evictions: VecDeque<SlotId>,
    /// When each open slot is over age, and its index.
    ages: BTreeSet<(u64, u32)>,
    /// Nothing is due by time alone before this moment.
    alarm: u64,
    /// Connections opened so far: what spreads their ages.
    opened: u32,
}

impl Pool {
    /// A pool for backends `0..backends`, each with a quota of 0 until `set_quota`.
    pub fn new(backends: usize, limits: Limits) -> Pool {
        let mut pool = Pool {
            limits,
            slots: Slots::default(),
            shelves: Shelves::default(),
            backends: Vec::new(),
            waiters: Waiters::default(),
            to_hand: Marks::default(),
            to_evict: Marks::default(),
            to_dial: Marks::default(),
            to_cede: Marks::default(),
            to_want: Marks::default(),
            evictions: VecDeque::new(),
            ages: BTreeSet::new(),
            alarm: u64::MAX,
            opened: 0,
        };
        for _ in 0..backends {
            pool.add_backend();
        }
        pool
    }

    /// The next backend, usable and with a quota of 0.
    pub fn add_backend(&mut self) {
        assert!(self.backends.len() < usize::from(u16::MAX), "backends are numbered with 16 bits");
        self.backends.push(Backend::new());
    }

    /// Asks for a connection to `backend`. Nobody is served out of line: `pool/hand.rs` says who may have what.
    pub fn acquire(&mut self, now_ns: u64, backend: u16, want: &Want) -> Grant {
        if let Some((index, fit)) = self.for_newcomer(now_ns, backend, want) {
            self.change(now_ns, index, Some(SlotState::Leased));
            return Grant::Lease { slot: self.slots[index].id, fit };
        }
        if self.waiters.len() >= self.limits.waiters_max {
            return Grant::Refused(LineFull { waiters_max: self.limits.waiters_max });
        }
        let at = &mut self.backends[usize::from(backend)];
        at.waiting += 1;
        let place = at.turns.join(want.account, want.weight, self.waiters.next_arrival());
        let ticket = self.waiters.join(now_ns, backend, *want, (at.lane_mut(want.class), place));
        self.touch(backend);
        Grant::Wait(ticket)
    }

    /// Leases this very slot if it is idle and nobody in line may have it. False for an id that is dead.
    pub fn acquire_exactly(&mut self, slot: SlotId) -> bool {
        let Some(found) = self.slots.find(slot) else {
            return false;
        };
        if found.state != Some(SlotState::Idle) || !self.is_free_of_claims(slot.index) {
            return false;
        }
        self.change(0, slot.index, Some(SlotState::Leased));
        true
    }

    /// A leased slot comes back, described as it is now. The class must be what it was.
    pub fn release(&mut self, now_ns: u64, slot: SlotId, account: u32, class: u32, schema: u32, fingerprint: u32) {
        let found = self.slots.find(slot).expect("only a slot that lives is released");
        assert!(found.state == Some(SlotState::Leased), "only a leased slot is released");
        assert!(found.what.class == class, "a connection's class does not change");
        let (overdue, backend) = (found.overdue, found.what.backend);
        self.describe(slot.index, Description { backend, class, account, schema, fingerprint });
        if overdue {
            return self.evict(now_ns, slot.index);
        }
        self.change(now_ns, slot.index, Some(SlotState::Idle));
        self.unsettle(now_ns, slot.index);
    }

    /// A dialed slot is logged in: it is idle, in the schema that was dialed with and in the default state.
    pub fn opened(&mut self, now_ns: u64, slot: SlotId) {
        let found = self.slots.find(slot).expect("only a slot that lives is opened");
        assert!(found.state == Some(SlotState::Opening), "a slot is opened once");
        self.opened = self.opened.wrapping_add(1);
        self.begin_age(now_ns, slot.index);
        self.change(now_ns, slot.index, Some(SlotState::Idle));
        self.unsettle(now_ns, slot.index);
    }

    /// The connection is gone, whatever it was doing. Nothing happens for an id that is dead.
    pub fn closed(&mut self, now_ns: u64, slot: SlotId) {
        if self.slots.find(slot).is_some() {
            self.change(now_ns, slot.index, None);
        }
    }

    /// The session no longer waits. False: the ticket has ended before.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        match self.waiters.find(ticket) {
            Some(index) => {
                self.leave(index, Leaving::Unserved);
                true
            }
            None => false,
        }
    }

    /// Empties a backend's line and says who stood in it, in order of arrival.
    pub fn fail_line(&mut self, backend: u16) -> Vec<Ticket> {
        let lanes = &self.backends[usize::from(backend)].lanes;
        let mut failed: Vec<u32> = lanes.iter().flat_map(|lane| self.waiters.in_lane(lane)).collect();
        failed.sort_by_key(|index| self.waiters[*index].arrival);
        failed.into_iter().map(|index| self.leave(index, Leaving::Unserved)).collect()
    }

    /// The backend whose line a ticket stands in.
    pub fn backend_of(&self, ticket: Ticket) -> Option<u16> {
        self.waiters.find(ticket).map(|index| self.waiters[index].backend)
    }

    /// An unusable backend gives nothing: no lease, no hand-over, no dial. Its idle connections are closed, because
    /// nobody knows what they are worth after it was down; its line stays until `fail_line`.
    pub fn set_usable(&mut self, backend: u16, usable: bool) {
        let at = &mut self.backends[usize::from(backend)];
        if std::mem::replace(&mut at.usable, usable) != usable {
            self.touch(backend);
        }
    }

    /// Connections leased.
    pub fn outstanding(&self, backend: u16) -> u32 {
        self.backends[usize::from(backend)].leased
    }

    pub fn idle(&self, backend: u16) -> u32 {
        self.backends[usize::from(backend)].idle
    }

    /// Connections in any state, those being opened and closed included: what counts against the quota.
    pub fn open(&self, backend: u16) -> u32 {
        self.backends[usize::from(backend)].open()
    }

    pub fn waiting(&self, backend: u16) -> u32 {
        self.backends[usize::from(backend)].waiting
    }

    /// Every connection, by index.
    pub fn slots(&self) -> impl Iterator<Item = SlotView> {
        self.slots.iter().filter_map(|slot| {
            let Description { backend, account, class, .. } = slot.what;
            Some(SlotView { slot: slot.id, backend, state: slot.state?, account, class })
        })
    }

    /// Every change of a slot's state goes through here; None is the end.
    fn change(&mut self, now: u64, index: u32, to: Option<SlotState>) {
        let slot = &self.slots[index];
        let (from, what) = (slot.state.expect("a slot that lives"), slot.what);
        use SlotState::{Closing, Idle, Leased, Opening};
        let may = match (from, to) {
            (_, None) | (Opening | Leased, Some(Idle)) | (Idle, Some(Leased)) | (Idle | Leased, Some(Closing)) => true,
            (_, Some(_)) => false,
        };
        assert!(may, "a slot goes from {from:?} to {to:?}");
        let at = &mut self.backends[usize::from(what.backend)];
        *at.count_mut(from) -= 1;
        if let Some(to) = to {
            *at.count_mut(to) += 1;
        }
        let ends = matches!(to, None | Some(Closing));
        if from == Opening {
            at.lane_mut(what.class).opening -= 1;
        }
        if ends && from != Closing {
            at.lane_mut(what.class).live -= 1;
            at.drop_unused_lane(what.class);
            self.ages.remove(&(self.slots[index].ends_at, index));
        }
        if from == Idle {
            self.take_off(index);
        }
        self.slots[index].state = to;
        match to {
            Some(Idle) => self.lay_down(now, index),
            None => {
                self.shelves.let_go(self.slots[index].shelves);
                self.slots.free(index);
            }
            Some(_) => {}
        }
        if ends || from == Opening || !self.backends[usize::from(what.backend)].is_calm() {
            self.touch(what.backend);
        }
    }

    /// An idle slot goes on the shelves and on its backend's list.
    fn lay_down(&mut self, now: u64, index: u32) {
        let slot = &mut self.slots[index];
        slot.idle_since = now;
        slot.settled = false;
        let backend = usize::from(slot.what.backend);
        self.shelves.put(&mut self.slots.table, index);
        self.backends[backend].fresh.push_front(&mut self.slots.table, LEVELS, index);
        self.alarm = self.alarm.min(now.saturating_add(self.limits.idle_ns_max));
    }

    fn take_off(&mut self, index: u32) {
        let slot = &self.slots[index];
        let (backend, settled) = (&mut self.backends[usize::from(slot.what.backend)], slot.settled);
        let list = if settled { &mut backend.settled } else { &mut backend.fresh };
        list.remove(&mut self.slots.table, LEVELS, index);
        self.shelves.take(&mut self.slots.table, index);
    }

    /// A slot that is on no shelf is something else from here on.
    fn describe(&mut self, index: u32, what: Description) {
        let slot = &mut self.slots[index];
        if slot.what != what {
            let before = std::mem::replace(&mut slot.shelves, self.shelves.hold(&what));
            slot.what = what;
            self.shelves.let_go(before);
        }
    }

    /// Takes a waiter out of its line.
    fn leave(&mut self, index: u32, leaving: Leaving) -> Ticket {
        let ticket = self.waiters.ticket(index);
        let (backend, Want { class, account, .. }) = (self.waiters[index].backend, self.waiters[index].want);
        let at = &mut self.backends[usize::from(backend)];
        at.waiting -= 1;
        self.waiters.leave(index, at.lane_mut(class));
        let (before, after) = at.turns.leave(account, leaving == Leaving::Served);
        at.lanes.iter_mut().for_each(|lane| lane.moved(before, after));
        at.drop_unused_lane(class);
        self.touch(backend);
        ticket
    }

    /// Something has changed at a backend: every poll looks there again.
    fn touch(&mut self, backend: u16) {
        self.to_hand.set(backend);
        self.to_evict.set(backend);
        self.to_dial.set(backend);
        self.to_cede.set(backend);
        self.to_want.set(backend);
    }
}

#[cfg(test)]
mod tests;
