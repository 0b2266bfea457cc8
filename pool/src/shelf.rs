//! The shelves: idle slots in order of use, findable by ever coarser descriptions.
//!
//! Every slot holds its four shelves for its whole life, also while it is leased, so a slot that comes back as it left
//! costs no look-up. A shelf goes when no slot holds it.
//!
//! ```text
//!   EXACT    backend, class, account, schema, fingerprint     most recently used first on every shelf
//!   SCHEMA   backend, class, account, schema
//!   ACCOUNT  backend, class, account
//!   CLASS    backend, class
//! ```
//! Invariant: a slot is on all of its shelves while it is idle, and on none otherwise.

use crate::list::List;
use crate::slot::Slot;
use rustc_hash::FxHashMap;

pub(crate) const EXACT: usize = 0;
pub(crate) const SCHEMA: usize = 1;
pub(crate) const ACCOUNT: usize = 2;
pub(crate) const CLASS: usize = 3;
pub(crate) const LEVELS: usize = 4;

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub backend: u16,
    pub class: u32,
    pub account: u32,
    pub schema: u32,
    pub fingerprint: u32,
}

pub(crate) type ShelfId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Label {
    level: u8,
    backend: u16,
    class: u32,
    account: u32,
    schema: u32,
    fingerprint: u32,
}

impl Description {
    fn label(&self, level: usize) -> Label {
        Label {
            level: level as u8,
            backend: self.backend,
            class: self.class,
            account: if level <= ACCOUNT { self.account } else { 0 },
            schema: if level <= SCHEMA { self.schema } else { 0 },
            fingerprint: if level == EXACT { self.fingerprint } else { 0 },
        }
    }
}

#[derive(Debug)]
struct Shelf {
    label: Label,
    holders: u32,
    list: List,
}

#[derive(Debug, Default)]
pub(crate) struct Shelves {
    table: Vec<Shelf>,
    free: Vec<ShelfId>,
    by_label: FxHashMap<Label, ShelfId>,
}

impl Shelves {
    pub fn hold(&mut self, what: &Description) -> [ShelfId; LEVELS] {
        std::array::from_fn(|level| self.hold_one(what.label(level)))
    }

    fn hold_one(&mut self, label: Label) -> ShelfId {
        if let Some(&id) = self.by_label.get(&label) {
            self.table[id as usize].holders += 1;
            return id;
        }
        let shelf = Shelf { label, holders: 1, list: List::EMPTY };
        let id = match self.free.pop() {
            Some(id) => {
                self.table[id as usize] = shelf;
                id
            }
            None => {
                self.table.push(shelf);
                self.table.len() as ShelfId - 1
            }
        };
        self.by_label.insert(label, id);
        id
    }

    pub fn let_go(&mut self, shelves: [ShelfId; LEVELS]) {
        for id in shelves {
            let shelf = &mut self.table[id as usize];
            shelf.holders -= 1;
            if shelf.holders == 0 {
                assert!(shelf.list.is_empty(), "whoever is on a shelf holds it");
                self.by_label.remove(&shelf.label);
                self.free.push(id);
            }
        }
    }

    /// Puts a slot on all of its shelves, as the most recently used.
    pub fn put(&mut self, slots: &mut [Slot], index: u32) {
        for (level, id) in slots[index as usize].shelves.into_iter().enumerate() {
            self.table[id as usize].list.push_front(slots, level, index);
        }
    }

    pub fn take(&mut self, slots: &mut [Slot], index: u32) {
        for (level, id) in slots[index as usize].shelves.into_iter().enumerate() {
            self.table[id as usize].list.remove(slots, level, index);
        }
    }

    pub fn list(&self, id: ShelfId) -> &List {
        &self.table[id as usize].list
    }

    /// The idle slots that are like `what` at a level; None when there are none.
    pub fn find(&self, what: &Description, level: usize) -> Option<&List> {
        let id = self.by_label.get(&what.label(level))?;
        Some(&self.table[*id as usize].list).filter(|list| !list.is_empty())
    }

    /// Shelves held and the sum of their holders, for `check`.
    pub fn census(&self) -> (usize, u32) {
        (self.by_label.len(), self.by_label.values().map(|id| self.table[*id as usize].holders).sum())
    }
}
