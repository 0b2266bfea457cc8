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
    pub fn note(&self, set: &GtidSet) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.merge(set);
        // Within the lock: a reader that sees the version finds the set.
        self.version.fetch_add(1, Ordering::Release);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_seen_by_all() {
        let board = Board::default();
        let (mut one, mut other) = (Glance::default(), Glance::default());
        assert!(board.written(&mut one).is_empty());
        let set = GtidSet::parse(b"3e11fa47-71ca-11e1-9e33-c80aa9429562:5").unwrap();
        board.note(&set);
        assert_eq!(*board.written(&mut one), set);
        assert_eq!(*board.written(&mut other), set);
        assert!(Arc::ptr_eq(&board.written(&mut one), &board.written(&mut one)));
    }
}
