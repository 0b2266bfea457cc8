//! The waiting lines: sessions that wait for a connection. Accounts take turns (`turns.rs`); of one account first come, first served.
//!
//! A backend's line has a lane per capability class, because a connection of one class is of no use to a session of
//! another, and a lane has a list per account. Lanes that have neither waiters nor connections don't exist, nor do empty lists.
//!
//! Invariant: a ticket is in exactly one lane from `join` to `leave`; a list is in order of arrival, a lane's `order` in that of turns.

use crate::list::{Linked, Links, List};
use crate::pool::Want;
use crate::turns::Place;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// One session's place in a waiting line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Nobody else may wait on this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull {
    /// The limit, in waiters.
    pub waiters_max: usize,
}

/// The waiters and the connections of one class at one backend.
#[derive(Debug)]
pub(crate) struct Lane {
    pub class: u32,
    pub lists: FxHashMap<u32, List>,
    /// The accounts of `lists`.
    pub order: BTreeSet<Place>,
    pub waiting: u32,
    /// Connections being opened.
    pub opening: u32,
    /// Connections in any state but `Closing`.
    pub live: u32,
}

impl Lane {
    pub fn new(class: u32) -> Lane {
        Lane { class, lists: FxHashMap::default(), order: BTreeSet::new(), waiting: 0, opening: 0, live: 0 }
    }

    /// Waiters for whom no connection is being opened.
    pub fn uncovered(&self) -> u32 {
        self.waiting.saturating_sub(self.opening)
    }

    pub fn is_unused(&self) -> bool {
        self.waiting == 0 && self.live == 0
    }

    /// Who is served next if any connection will do.
    pub fn first(&self) -> Option<u32> {
        self.heads().next()
    }

    /// The first of each account, in the order of turns.
    pub fn heads(&self) -> impl Iterator<Item = u32> {
        self.order.iter().filter_map(|place| self.lists[&place.account].first())
    }

    /// An account's turn has moved.
    pub fn moved(&mut self, before: Place, after: Option<Place>) {
        if self.order.remove(&before)
            && let Some(after) = after.filter(|after| self.lists.contains_key(&after.account))
        {
            self.order.insert(after);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Waiter {
    generation: u32,
    present: bool,
    links: Links,
    pub backend: u16,
    pub want: Want,
    pub since: u64,
    /// The order of arrival on this core.
    pub arrival: u64,
}

impl Linked for Waiter {
    fn links(&self, _: usize) -> &Links {
        &self.links
    }
    fn links_mut(&mut self, _: usize) -> &mut Links {
        &mut self.links
    }
}

/// Everybody who waits on this core.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    table: Vec<Waiter>,
    free: Vec<u32>,
    arrivals: u64,
}

impl Waiters {
    pub fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    /// The number of the next one to come.
    pub fn next_arrival(&self) -> u64 {
        self.arrivals + 1
    }

    pub fn join(&mut self, now: u64, backend: u16, want: Want, (lane, place): (&mut Lane, Place)) -> Ticket {
        let index = self.free.pop().unwrap_or(self.table.len() as u32);
        let generation = self.table.get(index as usize).map_or(0, |waiter| waiter.generation);
        self.arrivals += 1;
        let waiter =
            Waiter { generation, present: true, links: Links::NONE, backend, want, since: now, arrival: self.arrivals };
        match self.table.get_mut(index as usize) {
            Some(entry) => *entry = waiter,
            None => self.table.push(waiter),
        }
        lane.lists.entry(want.account).or_insert(List::EMPTY).push_back(&mut self.table, 0, index);
        lane.order.insert(place);
        lane.waiting += 1;
        self.ticket(index)
    }

    pub fn leave(&mut self, index: u32, lane: &mut Lane) {
        let account = self.table[index as usize].want.account;
        let list = lane.lists.get_mut(&account).expect("who waits is on the list of its account");
        list.remove(&mut self.table, 0, index);
        if list.is_empty() {
            lane.lists.remove(&account);
        }
        lane.waiting -= 1;
        let waiter = &mut self.table[index as usize];
        assert!(std::mem::replace(&mut waiter.present, false), "a ticket ends once");
        waiter.generation = waiter.generation.wrapping_add(1);
        self.free.push(index);
    }

    pub fn ticket(&self, index: u32) -> Ticket {
        Ticket(u64::from(self.table[index as usize].generation) << 32 | u64::from(index))
    }

    /// The index of a ticket that still waits.
    pub fn find(&self, ticket: Ticket) -> Option<u32> {
        let index = ticket.0 as u32;
        let waiter = self.table.get(index as usize)?;
        (waiter.present && u64::from(waiter.generation) == ticket.0 >> 32).then_some(index)
    }

    /// Everybody in a lane, account by account.
    pub fn in_lane(&self, lane: &Lane) -> impl Iterator<Item = u32> {
        lane.lists.values().flat_map(|list| list.iter(&self.table, 0))
    }

    /// When those of a list came.
    pub fn arrivals(&self, list: &List) -> impl Iterator<Item = u64> {
        list.iter(&self.table, 0).map(|index| self.table[index as usize].arrival)
    }

    /// Who is at this position when each account that waits is served once in a round. Costs as many steps.
    pub fn nth(&self, lane: &Lane, position: u32) -> Option<u32> {
        if position >= lane.waiting {
            return None;
        }
        if let (1, Some(list)) = (lane.lists.len(), lane.lists.values().next()) {
            return list.nth(&self.table, 0, position);
        }
        let mut left = position;
        for round in 0..lane.waiting {
            for list in lane.order.iter().map(|place| &lane.lists[&place.account]).filter(|list| list.len() > round) {
                match left.checked_sub(1) {
                    Some(fewer) => left = fewer,
                    None => return list.nth(&self.table, 0, round),
                }
            }
        }
        None
    }
}

impl std::ops::Index<u32> for Waiters {
    type Output = Waiter;
    fn index(&self, index: u32) -> &Waiter {
        &self.table[index as usize]
    }
}
