//! The tally: what a tablet has done to its server, counted from its start on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Tally {
    deeds: Mutex<BTreeMap<(&'static str, End), Done>>,
    cut: AtomicU64,
    spared: AtomicU64,
}

/// How a deed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Done,
    Failed,
    GivenUp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub count: u64,
    pub time: Duration,
}

impl Tally {
    pub fn handle_deed(&self, deed: &'static str, end: End, took: Duration) {
        let mut deeds = self.deeds.lock().unwrap_or_else(PoisonError::into_inner);
        let done = deeds.entry((deed, end)).or_default();
        done.count += 1;
        done.time += took;
    }

    /// A fence has cut off so many, and could not end so many others.
    pub fn handle_cut(&self, cut: usize, spared: usize) {
        self.cut.fetch_add(cut as u64, Ordering::Relaxed);
        self.spared.store(spared as u64, Ordering::Relaxed);
    }

    /// By kind and end.
    pub fn deeds(&self) -> BTreeMap<(&'static str, End), Done> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// In the last round of cutting.
    pub fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Failed => "failed",
            End::GivenUp => "given_up",
        }
    }
}
