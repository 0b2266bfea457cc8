//! Deadlines of sessions, connections and the core itself, earliest first.
//!
//! An entry is a reminder, not the deadline: who it belongs to says, when it comes, whether the deadline still stands
//! or has moved. So setting a deadline for each command costs one compare, and the heap holds about one entry per owner.

use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Core,
    Session { index: u32, generation: u32 },
    Link { index: u32, generation: u32 },
}

#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Owner)>>,
}

/// One owner's deadline and the earliest reminder that it has in the heap.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    reminder: Instant,
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline { at: Instant::NEVER, reminder: Instant::NEVER }
    }
}

impl Timers {
    pub fn set(&mut self, deadline: &mut Deadline, at: Instant, owner: Owner) {
        deadline.at = at;
        if at < deadline.reminder {
            deadline.reminder = at;
            self.heap.push(Reverse((at, owner)));
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next reminder that is due. The caller asks the owner with [`Timers::is_due`].
    pub fn pop_due(&mut self, now: Instant) -> Option<Owner> {
        match self.heap.peek() {
            Some(Reverse((at, _))) if *at <= now => self.heap.pop().map(|Reverse((_, owner))| owner),
            _ => None,
        }
    }

    /// After a reminder: true when the deadline itself has come; else it is set again if it still stands.
    pub fn is_due(&mut self, now: Instant, deadline: &mut Deadline, owner: Owner) -> bool {
        if deadline.reminder <= now {
            deadline.reminder = Instant::NEVER;
        }
        if deadline.at <= now {
            deadline.at = Instant::NEVER;
            return true;
        }
        if deadline.at != Instant::NEVER {
            self.set(deadline, deadline.at, owner);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_moves_away_costs_no_entries_and_still_comes() {
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        for at in 10..1000 {
            timers.set(&mut deadline, Instant(at), Owner::Core);
        }
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.pop_due(Instant(9)), None);
        let owner = timers.pop_due(Instant(10)).unwrap();
        assert!(!timers.is_due(Instant(10), &mut deadline, owner));
        assert_eq!(timers.next(), Some(Instant(999)));
        timers.set(&mut deadline, Instant(500), Owner::Core);
        let owner = timers.pop_due(Instant(500)).unwrap();
        assert!(timers.is_due(Instant(500), &mut deadline, owner));
        let owner = timers.pop_due(Instant(999)).unwrap();
        assert!(!timers.is_due(Instant(999), &mut deadline, owner));
        assert_eq!(timers.next(), None);
    }
}
