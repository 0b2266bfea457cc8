//! The books: what clients began, and what they were told of it.
//!
//! Invariant: a write is in the books before it is sent, and its outcome is the answer's, never a guess.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One row of the ledger: who wrote it and the how manieth of theirs it is.
pub type Entry = (u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent, not answered.
    Begun,
    Acknowledged,
    /// The answer says that it did not run.
    NotRun,
    /// The answer says that it committed, and that its own answer is lost.
    Found,
    /// The answer says that nobody knows.
    Unknown,
}

#[derive(Default)]
pub struct Books {
    entries: Mutex<BTreeMap<Entry, Outcome>>,
    /// Errors by their first words.
    errors: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
    /// Writes, transfers, prepared reads, GLOBAL reads.
    pub done: [AtomicU64; 4],
    /// Of visitors.
    pub visits: AtomicU64,
    /// The last version of the clock that was acknowledged.
    clock: AtomicU64,
    windows_may_end: AtomicBool,
    gap: Mutex<Gap>,
    written: Condvar,
}

#[derive(Default)]
struct Gap {
    harm_at: Option<Instant>,
    /// The first write that was begun after the harm and acknowledged.
    ends: Option<Instant>,
    acknowledged: u64,
    /// The last acknowledged write, and the longest time between two since the harm began.
    last: Option<Instant>,
    longest: Duration,
}

impl Books {
    pub fn begin(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, Outcome::Begun);
    }

    pub fn end(&self, entry: Entry, outcome: Outcome) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, outcome);
    }

    pub fn entries(&self) -> BTreeMap<Entry, Outcome> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A write that was begun at this moment has been acknowledged.
    pub fn wrote(&self, begun: Instant) {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        gap.acknowledged += 1;
        let now = Instant::now();
        if let Some(last) = gap.last.replace(now) {
            gap.longest = gap.longest.max(now - last);
        }
        if gap.harm_at.is_some_and(|harm| begun > harm) && gap.ends.is_none() {
            gap.ends = Some(Instant::now());
        }
        self.written.notify_all();
    }

    pub fn harm_begins(&self, at: Instant) {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        (gap.harm_at, gap.ends, gap.longest) = (Some(at), None, Duration::ZERO);
    }

    /// The longest time without an acknowledged write since the harm began.
    pub fn longest_gap(&self) -> Duration {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner).longest
    }

    /// The harm is done from now on: what was written meanwhile does not end the gap.
    pub fn harm_is_done(&self) {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        (gap.harm_at, gap.ends) = (Some(Instant::now()), None);
    }

    /// Waits for the first acknowledged write that was begun after the harm. False: there was none.
    pub fn wait_first_write(&self, most: Duration) -> bool {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + most;
        loop {
            if gap.ends.is_some() {
                return true;
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            gap = self.written.wait_timeout(gap, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn wait_progress(&self, most: Duration) -> Result<(), String> {
        let until = Instant::now() + most;
        while self.gap.lock().unwrap_or_else(PoisonError::into_inner).acknowledged < 20 {
            if Instant::now() > until {
                return Err(format!("no load: {:?} {:?}", self.errors(), self.wrong()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether statements may have waited for the primary for longer than they wait, since the last harm.
    pub fn windows_may_end(&self, may: bool) {
        self.windows_may_end.store(may, Ordering::Relaxed);
    }

    pub fn may_windows_end(&self) -> bool {
        self.windows_may_end.load(Ordering::Relaxed)
    }

    pub fn clock(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub fn clock_is(&self, version: u64) {
        self.clock.fetch_max(version, Ordering::SeqCst);
    }

    /// An error that a client may get; its numbers are left out, so that alike ones are counted together.
    pub fn error(&self, what: &str) {
        let words: String = what.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).take(160).collect();
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(words).or_default() += 1;
    }

    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < WRONG_MAX {
            wrong.push(what);
        }
    }
}

/// More tell no more.
const WRONG_MAX: usize = 50;
