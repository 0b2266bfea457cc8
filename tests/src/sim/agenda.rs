//! The agenda: what happens when, in virtual time.
//!
//! Invariant: events of one moment come out in the order in which they were put in, so a run depends on its seed alone.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::sim::cable::Sock;

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// Something that happens to a part of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes, an end or a reset have reached this end of a connection.
    Arrive(Sock),
    /// What was written before has made room.
    Room(Sock),
    /// The core looks at what has completed.
    Core(usize),
    /// The oldest letter to this core arrives.
    Letter(usize),
    /// A dial of this core's wire is decided.
    Dialed {
        core: usize,
        index: u32,
        generation: u32,
        server: usize,
    },
    /// The socket of a closed wire is gone.
    Closed {
        core: usize,
        index: u32,
        generation: u32,
    },
    /// A server goes on with a connection.
    Server {
        server: usize,
        conn: u32,
    },
    /// A replica receives or applies the next transaction.
    Replicate(usize),
    Client(usize),
    /// Somebody commits on the primary without the gate.
    Outside,
    /// The control thread looks at the servers.
    Control,
    /// The fault of this number begins.
    Fault(usize),
    /// It ends.
    Mend(usize),
    /// The move of the primary's role that is under way goes on.
    Move,
}

#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Entry>,
    count: u64,
}

impl Agenda {
    pub fn put(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.heap.push(Entry { at, order: self.count, event });
    }

    /// The next event and its time.
    pub fn take(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// The time of the next event.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    order: u64,
    event: Event,
}

impl Ord for Entry {
    /// The earliest is the greatest: the heap gives the greatest first.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_first_then_order() {
        let mut agenda = Agenda::default();
        for (at, client) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            agenda.put(at, Event::Client(client));
        }
        assert_eq!(agenda.next_at(), Some(3));
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).collect();
        let expected = [(3, 2), (3, 4), (5, 1), (5, 3)].map(|(at, client)| (at, Event::Client(client)));
        assert_eq!(order, expected);
    }
}
