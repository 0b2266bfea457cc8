//! The waiting lines: sessions that wait for a connection, first come, first served.
//!
//! A backend's line has a lane per capability class, because a connection of one class is of no use to a session of
//! another. Lanes that have neither waiters nor connections don't exist.
//!
//! Invariant: a ticket is in exactly one lane from `join` to `leave`; a lane is in order of arrival.

use crate::list::{Linked, Links, List};
use crate::pool::Want;

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
    pub waiting: List,
    /// Connections being opened.
    pub opening: u32,
    /// Connections in any state but `Closing`.
    pub live: u32,
}

impl Lane {
    pub fn new(class: u32) -> Lane {
        Lane { class, waiting: List::EMPTY, opening: 0, live: 0 }
    }

    /// Waiters for whom no connection is being opened.
    pub fn uncovered(&self) -> u32 {
        self.waiting.len().saturating_sub(self.opening)
    }

    pub fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.live == 0
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

    pub fn join(&mut self, now: u64, backend: u16, want: Want, lane: &mut Lane) -> Ticket {
        let index = self.free.pop().unwrap_or(self.table.len() as u32);
        let generation = self.table.get(index as usize).map_or(0, |waiter| waiter.generation);
        self.arrivals += 1;
        let waiter =
            Waiter { generation, present: true, links: Links::NONE, backend, want, since: now, arrival: self.arrivals };
        match self.table.get_mut(index as usize) {
            Some(entry) => *entry = waiter,
            None => self.table.push(waiter),
        }
        lane.waiting.push_back(&mut self.table, 0, index);
        self.ticket(index)
    }

    pub fn leave(&mut self, index: u32, lane: &mut Lane) {
        lane.waiting.remove(&mut self.table, 0, index);
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

    pub fn in_lane(&self, lane: &Lane) -> impl Iterator<Item = u32> {
        lane.waiting.iter(&self.table, 0)
    }

    pub fn nth(&self, lane: &Lane, position: u32) -> Option<u32> {
        lane.waiting.nth(&self.table, 0, position)
    }
}

impl std::ops::Index<u32> for Waiters {
    type Output = Waiter;
    fn index(&self, index: u32) -> &Waiter {
        &self.table[index as usize]
    }
}
