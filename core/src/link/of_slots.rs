//! The link behind each of the pool's slots, whose indices are dense.

use super::Link;
use crate::slots::Key;

#[derive(Debug, Default)]
pub struct OfSlots(Vec<Option<Key<Link>>>);

impl OfSlots {
    pub fn get(&self, slot: u32) -> Option<Key<Link>> {
        self.0.get(slot as usize).copied().flatten()
    }

    pub fn put(&mut self, slot: u32, link: Key<Link>) {
        let at = slot as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(link);
    }

    pub fn remove(&mut self, slot: u32) {
        if let Some(entry) = self.0.get_mut(slot as usize) {
            *entry = None;
        }
    }
}
