//! A slot: one backend connection of this core, from the decision to dial it to its end.
//!
//! ```text
//!            poll_dial          opened          acquire, poll_ready
//!   (free) ───────────► Opening ──────► Idle ◄────────────────────► Leased
//!      ▲                   │             │  release                   │ │
//!      │ closed            │             └─► Closing ◄── over age ────┘ │
//!      └───────────────────┴────────────────────┴───────────────────────┘
//! ```
//! Invariant: an id finds its slot or nothing, never a later tenant of the same index.

use crate::list::{Linked, Links};
use crate::shelf::{Description, LEVELS, ShelfId};

/// One backend connection of this core, open or being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId {
    pub index: u32,
    pub generation: u32,
}

impl SlotId {
    /// Of a connection that no pool has.
    pub const NOWHERE: SlotId = SlotId { index: u32::MAX, generation: u32::MAX };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// The caller dials and logs in.
    Opening,
    Idle,
    Leased,
    /// Nobody gets it any more; the caller closes it, or is about to be told so.
    Closing,
}

/// What can be shown of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    pub slot: SlotId,
    pub backend: u16,
    pub state: SlotState,
    pub account: u32,
    pub class: u32,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub id: SlotId,
    /// None: free.
    pub state: Option<SlotState>,
    pub what: Description,
    /// The shelves that it is on while idle; held from its beginning to its end.
    pub shelves: [ShelfId; LEVELS],
    /// One pair per shelf, and the last for the backend's list of idle slots.
    pub links: [Links; LEVELS + 1],
    pub idle_since: u64,
    /// Its idle time was over when its account could not spare it: it is on the backend's `settled` list.
    pub settled: bool,
    pub opened_at: u64,
    /// When it is over age; `u64::MAX` before it is open.
    pub ends_at: u64,
    /// Its age was over while it was leased: it is closed when it comes back.
    pub overdue: bool,
}

impl Linked for Slot {
    fn links(&self, level: usize) -> &Links {
        &self.links[level]
    }
    fn links_mut(&mut self, level: usize) -> &mut Links {
        &mut self.links[level]
    }
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub table: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A slot that begins its life in `Opening`.
    pub fn insert(&mut self, what: Description, shelves: [ShelfId; LEVELS]) -> u32 {
        let index = self.free.pop().unwrap_or(self.table.len() as u32);
        let generation = self.table.get(index as usize).map_or(0, |slot| slot.id.generation);
        let slot = Slot {
            id: SlotId { index, generation },
            state: Some(SlotState::Opening),
            what,
            shelves,
            links: [Links::NONE; LEVELS + 1],
            idle_since: 0,
            settled: false,
            opened_at: 0,
            ends_at: u64::MAX,
            overdue: false,
        };
        match self.table.get_mut(index as usize) {
            Some(entry) => *entry = slot,
            None => self.table.push(slot),
        }
        index
    }

    /// Its id is dead from here on.
    pub fn free(&mut self, index: u32) {
        let slot = &mut self.table[index as usize];
        slot.state = None;
        slot.id.generation = slot.id.generation.wrapping_add(1);
        self.free.push(index);
    }

    /// The slot of an id that is alive.
    pub fn find(&self, id: SlotId) -> Option<&Slot> {
        self.table.get(id.index as usize).filter(|slot| slot.id == id && slot.state.is_some())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.table.iter().filter(|slot| slot.state.is_some())
    }
}

impl std::ops::Index<u32> for Slots {
    type Output = Slot;
    fn index(&self, index: u32) -> &Slot {
        &self.table[index as usize]
    }
}

impl std::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.table[index as usize]
    }
}
