//! Connection ids of a core's clients (S30): the gate's tag, then a count in which each core has its own residue.
//!
//! Invariant: no two live sessions of a gate have one id, also when the count has come round, after some million logins.

use crate::mail::CoreId;
use crate::session::Session;
use crate::slots::Key;
use rustc_hash::FxHashMap;

pub struct Ids {
    core: u32,
    cores: u32,
    given: u32,
    live: FxHashMap<u32, Key<Session>>,
}

impl Ids {
    /// The count begins anywhere, so that two gates that drew one tag hardly give one id.
    pub fn new(core: CoreId, cores: u16, seed: u64) -> Ids {
        let cores = u32::from(cores.max(1));
        let given = (seed >> 24) as u32 % room(cores);
        Ids { core: u32::from(core.0), cores, given, live: FxHashMap::default() }
    }

    /// For the next client, which [`Ids::live`] is to be told of. There are fewer sessions than ids.
    pub fn next(&mut self, tag: u8) -> u32 {
        loop {
            self.given = (self.given + 1) % room(self.cores);
            let count = self.given.max(1) * self.cores + self.core;
            let id = (u32::from(tag) << 24) | (count & COUNT_MASK);
            if !self.live.contains_key(&id) {
                return id;
            }
        }
    }

    pub fn begin(&mut self, id: u32, session: Key<Session>) {
        self.live.insert(id, session);
    }

    pub fn end(&mut self, id: u32) {
        self.live.remove(&id);
    }

    pub fn find(&self, id: u32) -> Option<Key<Session>> {
        self.live.get(&id).copied()
    }
}

/// Ids of one core. A count of 0 is left out: its id may be a whole tag's zero.
fn room(cores: u32) -> u32 {
    (COUNT_MASK + 1) / cores
}

const COUNT_MASK: u32 = 0xff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_still_here_keeps_its_id_alone() {
        let cores = 4_096;
        let mut ids = Ids::new(CoreId(7), cores, 0x1234_5678_9abc_def0);
        let key = Key::new(5, 1);
        let old = ids.next(3);
        ids.begin(old, key);
        let room = (COUNT_MASK + 1) / u32::from(cores);
        for _ in 0..3 * room {
            let id = ids.next(3);
            assert_ne!(id, old);
            assert_eq!((id >> 24, (id & COUNT_MASK) % u32::from(cores)), (3, 7));
        }
        assert_eq!(ids.find(old), Some(key));
        ids.end(old);
        assert_eq!(ids.find(old), None);
        assert!((0..room).any(|_| ids.next(3) == old), "it is given again when it is free");
    }
}
