//! The board: the GTIDs that clients of this gate have written, whichever core served them (S60, `INSTANCE`).
//!
//! Invariant: a write is on the board before its client hears that it succeeded, so whoever reads after that answer, on
//! any core, finds it there.
//!
//! The one memory that cores share: mail would come too late, since the client may ask another core as soon as it has its
//! answer. The lock is held for one merge, by writers; readers look at the version and take the lock when it has moved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weir_net::gtid::GtidSet;

#[derive(Debug, Default)]
pub struct Board {
    version: AtomicU64,
    written: Mutex<GtidSet>,
}

/// What one core has last seen of the board.
#[derive(Debug, Default)]
pub struct Glance {
    version: u64,
    written: Arc<GtidSet>,
}

impl Board {
    /// `executed`: what the primary is known to have, which mends a set that others' transactions have torn (see [`keep_whole`]).
    pub fn note(&self, set: &GtidSet, executed: &GtidSet) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.merge(set);
        keep_whole(&mut written, executed);
        // Within the lock: a reader that sees the version finds the set.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes off what a new primary, whose uuid is `own`, does not have and did not write (S64).
    pub fn forget_lost(&self, executed: &GtidSet, own: [u8; 16]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = lost(&written, executed, own);
        if !lost.is_empty() {
            written.subtract(&lost);
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// All that is on the board now.
    pub fn written(&self, glance: &mut Glance) -> Arc<GtidSet> {
        let version = self.version.load(Ordering::Acquire);
        if version != glance.version {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            glance.version = self.version.load(Ordering::Acquire);
            glance.written = Arc::new(written.clone());
        }
        glance.written.clone()
    }
}

/// A set of transactions that replicas are to have, between which others wrote theirs, has a gap for each: for months of writes it
/// would grow without end. Torn too much, it takes in all that the primary has executed. That asks for a little more than was
/// promised, and for nothing that a replica does not get anyway.
pub fn keep_whole(set: &mut GtidSet, executed: &GtidSet) {
    if set.iter().nth(INTERVALS_MAX).is_some() {
        set.merge(executed);
    }
}

/// Intervals of a set that is not torn: a compare costs as much as a few hundred instructions then.
const INTERVALS_MAX: usize = 64;

/// What of `set` is neither executed nor from the server `own`.
pub fn lost(set: &GtidSet, executed: &GtidSet, own: [u8; 16]) -> GtidSet {
    let mut lost = set.clone();
    lost.subtract(executed);
    lost.without_server(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_set_is_mended_by_what_the_primary_has() {
        let board = Board::default();
        let set = |numbers: String| {
            GtidSet::parse(format!("3aecbfe0-e779-11f1-be4c-02fc00000001:{numbers}").as_bytes()).unwrap()
        };
        let mut glance = Glance::default();
        for number in 1..10_000_u64 {
            // Another gate writes as much; the primary is known to have all but the last hundred.
            board.note(&set((2 * number).to_string()), &set(format!("1-{}", (2 * number).max(101) - 100)));
            assert!(board.written(&mut glance).iter().count() <= INTERVALS_MAX + 1);
        }
        let written = board.written(&mut glance);
        assert!(written.contains(&set("1-19000".to_owned())) && written.contains(&set("19998".to_owned())));
        assert!(!written.contains(&set("19999".to_owned())), "nothing that is not there");
    }

    #[test]
    fn what_is_noted_is_seen_by_all() {
        let board = Board::default();
        let (mut one, mut other) = (Glance::default(), Glance::default());
        assert!(board.written(&mut one).is_empty());
        let set = GtidSet::parse(b"3e11fa47-71ca-11e1-9e33-c80aa9429562:5").unwrap();
        board.note(&set, &GtidSet::new());
        assert_eq!(*board.written(&mut one), set);
        assert_eq!(*board.written(&mut other), set);
        assert!(Arc::ptr_eq(&board.written(&mut one), &board.written(&mut one)));
    }

    #[test]
    fn what_a_new_primary_lacks_is_forgotten_and_what_it_writes_is_not() {
        let parse = |text: &str| GtidSet::parse(text.as_bytes()).unwrap();
        let (old, new) = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "3e11fa47-71ca-11e1-9e33-c80aa9429563");
        let own: [u8; 16] = *b"\x3e\x11\xfa\x47\x71\xca\x11\xe1\x9e\x33\xc8\x0a\xa9\x42\x95\x63";
        let board = Board::default();
        board.note(&parse(&format!("{old}:1-9,{new}:1-2")), &GtidSet::new());
        board.forget_lost(&parse(&format!("{old}:1-7")), own);
        assert_eq!(*board.written(&mut Glance::default()), parse(&format!("{old}:1-7,{new}:1-2")));
    }
}
