//! Who gets which connection: a newcomer at once, a waiter in line, and for whom a new one is dialed.
//!
//! Invariant: a connection goes to the first in line who may have it, in the order of accounts' turns. A waiter may have an idle connection of its own
//! class that is of its own account, or that its account can spare: it has more than `warm_min` idle, or the backend
//! has more waiters than dials and room. Classes overtake each other, since no waiter can use another class's
//! connection, but only as far as `overtakes` lets them.

use super::{Fit, Leaving, Pool, Want};
use crate::backend::Demand;
use crate::limits::SPARE_SCAN_MAX;
use crate::line::{Lane, Ticket};
use crate::shelf::{ACCOUNT, CLASS, Description, EXACT, SCHEMA};
use crate::slot::{SlotId, SlotState};
use crate::turns::Place;

/// Whether an account must give away the connections that are kept warm for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warm {
    Kept,
    Given,
}

impl Pool {
    /// A waiter gets a connection; it is leased from here on.
    pub fn poll_ready(&mut self, now_ns: u64) -> Option<(Ticket, SlotId, Fit)> {
        while let Some(backend) = self.to_hand.first() {
            if let Some((waiter, slot, fit)) = self.next_hand_over(backend) {
                self.change(now_ns, slot, Some(SlotState::Leased));
                return Some((self.leave(waiter, Leaving::Served), self.slots[slot].id, fit));
            }
            self.to_hand.clear(backend);
        }
        None
    }

    /// A connection to open for this account and class, logged in to this schema. Answered with `opened` or `closed`.
    /// The want is that of the waiter that it is opened for, but whoever is first then gets it.
    pub fn poll_dial(&mut self) -> Option<(SlotId, u16, Want)> {
        while let Some(backend) = self.to_dial.first() {
            if let Some(want) = self.next_dial(backend) {
                let Want { account, class, schema, .. } = want;
                let what = Description { backend, class, account, schema, fingerprint: 0 };
                let index = self.slots.insert(what, self.shelves.hold(&what));
                let at = &mut self.backends[usize::from(backend)];
                at.opening += 1;
                let lane = at.lane_mut(class);
                lane.opening += 1;
                lane.live += 1;
                self.touch(backend);
                return Some((self.slots[index].id, backend, want));
            }
            self.to_dial.clear(backend);
        }
        None
    }

    /// The idle slot that somebody who comes now may have at once.
    pub(super) fn for_newcomer(&self, now: u64, backend: u16, want: &Want) -> Option<(u32, Fit)> {
        let at = &self.backends[usize::from(backend)];
        if at.idle == 0 || at.is_stopped(Demand::Present) {
            return None;
        }
        if at.waiting > 0 {
            if self.overtakes(backend, want.class, now, None) {
                return None;
            }
            if at.lane(want.class).is_some_and(|lane| lane.waiting > 0) {
                return self.own(backend, want).filter(|(index, _)| self.is_free_of_claims(*index));
            }
        }
        let warm = if at.uncovered() < at.room(Demand::Present) { Warm::Kept } else { Warm::Given };
        self.own(backend, want).or_else(|| self.anothers(backend, want.class, warm))
    }

    /// Nobody who waits in the lane of this idle slot may have it.
    pub(super) fn is_free_of_claims(&self, index: u32) -> bool {
        let slot = &self.slots[index];
        let at = &self.backends[usize::from(slot.what.backend)];
        if at.is_stopped(Demand::Present) {
            return false;
        }
        let Some(lane) = at.lane(slot.what.class).filter(|lane| lane.waiting > 0) else {
            return true;
        };
        let spare = self.shelves.list(slot.shelves[ACCOUNT]).len() as usize > self.limits.warm_min;
        let given = self.warm(at.shortage(), lane) == Warm::Given;
        !spare && !given && !lane.lists.contains_key(&slot.what.account)
    }

    /// The next waiter to be served, with what, and how well it fits.
    pub(super) fn next_hand_over(&self, backend: u16) -> Option<(u32, u32, Fit)> {
        let at = &self.backends[usize::from(backend)];
        if at.waiting == 0 || at.idle == 0 || at.is_stopped(Demand::Present) {
            return None;
        }
        let shortage = at.shortage();
        at.lanes
            .iter()
            .filter_map(|lane| self.hand_over_in(backend, lane, self.warm(shortage, lane)))
            .filter(|(index, ..)| {
                let waiter = &self.waiters[*index];
                !self.overtakes(backend, waiter.want.class, waiter.since, Some(self.rank(backend, *index)))
            })
            .min_by_key(|(index, ..)| self.rank(backend, *index))
    }

    /// The first in a lane who may have an idle slot of its class.
    fn hand_over_in(&self, backend: u16, lane: &Lane, warm: Warm) -> Option<(u32, u32, Fit)> {
        let head = lane.first()?;
        self.shelves.find(&class_of(backend, lane.class), CLASS)?;
        if let Some((slot, fit)) = self.own(backend, &self.waiters[head].want) {
            return Some((head, slot, fit));
        }
        if let Some((slot, fit)) = self.anothers(backend, lane.class, warm) {
            return Some((head, slot, fit));
        }
        // What is left is kept warm for its own accounts: their turn may come later.
        lane.heads().skip(1).find_map(|waiter| {
            let (slot, fit) = self.own(backend, &self.waiters[waiter].want)?;
            Some((waiter, slot, fit))
        })
    }

    /// The order in which waiters are served, as far as connections of their class and account come back.
    fn rank(&self, backend: u16, waiter: u32) -> (Option<Place>, u64) {
        let waiter = &self.waiters[waiter];
        (self.backends[usize::from(backend)].turns.place(waiter.want.account), waiter.arrival)
    }

    /// True when a slot of `class` must not go to who came at `since` and has this rank (None: who comes now), because somebody before them waits for another
    /// class's connection in vain: that class has none at all, or has been overtaken for too long. Such a slot is closed,
    /// and that is all until the room it leaves is used: one at a time, or the classes would take turns at closing.
    fn overtakes(&self, backend: u16, class: u32, since: u64, rank: Option<(Option<Place>, u64)>) -> bool {
        let at = &self.backends[usize::from(backend)];
        if at.lanes.len() < 2 || at.room(Demand::Present) > 0 {
            return false;
        }
        at.lanes.iter().filter(|lane| lane.class != class && lane.opening == 0).any(|lane| {
            let Some(index) = lane.first() else { return false };
            let first = &self.waiters[index];
            let served = self.shelves.find(&class_of(backend, lane.class), CLASS).is_some();
            let for_long = first.since.saturating_add(self.limits.overtaken_ns_max) <= since;
            let is_before = rank.is_none_or(|rank| self.rank(backend, index) < rank);
            !served && is_before && (lane.live == 0 || for_long)
        })
    }

    /// The waiter that a new connection is opened for: the first for whom none is being opened yet.
    fn next_dial(&self, backend: u16) -> Option<Want> {
        let at = &self.backends[usize::from(backend)];
        let may = at.usable
            && at.waiting > 0
            && at.open() < at.target(Demand::Present)
            && at.opening < self.limits.dials_max
            && self.next_hand_over(backend).is_none();
        if !may {
            return None;
        }
        let uncovered = at.lanes.iter().filter_map(|lane| self.waiters.nth(lane, lane.opening));
        uncovered.min_by_key(|index| self.rank(backend, *index)).map(|index| self.waiters[index].want)
    }

    fn warm(&self, shortage: u32, lane: &Lane) -> Warm {
        if shortage > 0 && lane.uncovered() > 0 { Warm::Given } else { Warm::Kept }
    }

    /// The best idle slot of the account and class that is wanted.
    fn own(&self, backend: u16, want: &Want) -> Option<(u32, Fit)> {
        let Want { account, class, schema, fingerprint, .. } = *want;
        let what = Description { backend, class, account, schema, fingerprint };
        let fit = |index: u32| {
            let found = &self.slots[index].what;
            if *found == what { Fit::Same } else { Fit::State }
        };
        if self.limits.scatter {
            return self.farthest(backend, want).map(|index| (index, fit(index)));
        }
        let preferred = want.prefer.and_then(|id| self.slots.find(id)).filter(|slot| {
            let is = slot.what;
            slot.state == Some(SlotState::Idle) && (is.backend, is.account, is.class) == (backend, account, class)
        });
        if let Some(slot) = preferred {
            return Some((slot.id.index, fit(slot.id.index)));
        }
        let of_account = self.shelves.find(&what, ACCOUNT)?;
        // One slot is the best whatever it is like.
        let alone = of_account.first().filter(|_| of_account.len() == 1);
        let better = || self.shelves.find(&what, EXACT).or_else(|| self.shelves.find(&what, SCHEMA))?.first();
        // Where none is like it, the one whose last session is the least likely to ask about its previous statement.
        alone.or_else(better).or_else(|| of_account.last()).map(|index| (index, fit(index)))
    }

    /// The idle slot of the account that was used longest ago; the session's last one when there is no other and no room.
    fn farthest(&self, backend: u16, want: &Want) -> Option<u32> {
        let what = Description { backend, class: want.class, account: want.account, schema: 0, fingerprint: 0 };
        let list = self.shelves.find(&what, ACCOUNT)?;
        let is_last = |index: &u32| Some(self.slots[*index].id) == want.prefer;
        let another = list.iter_back(&self.slots.table, ACCOUNT).find(|index| !is_last(index));
        let at = &self.backends[usize::from(backend)];
        let may_dial = at.room(Demand::Present) > 0 || at.opening > 0;
        another.or_else(|| list.last().filter(|_| !may_dial))
    }

    /// The idle slot of a class that was used longest ago and that its account can spare.
    fn anothers(&self, backend: u16, class: u32, warm: Warm) -> Option<(u32, Fit)> {
        let list = self.shelves.find(&class_of(backend, class), CLASS)?;
        let spares = |index: &u32| {
            let account = self.shelves.list(self.slots[*index].shelves[ACCOUNT]);
            warm == Warm::Given || account.len() as usize > self.limits.warm_min
        };
        let slot = list.iter_back(&self.slots.table, CLASS).take(SPARE_SCAN_MAX).find(spares)?;
        Some((slot, Fit::Account))
    }
}

/// Only backend and class matter for the shelf of a class.
fn class_of(backend: u16, class: u32) -> Description {
    Description { backend, class, account: 0, schema: 0, fingerprint: 0 }
}
