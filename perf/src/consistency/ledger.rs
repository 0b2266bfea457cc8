//! `Ledger`: what is known to be written, by whom, and what was seen: the bounds that reads are judged by.
//!
//! ```text
//!        begin ───────────────► acknowledge
//! begun: 8                      8            versions that may exist
//! acked: 6      floor = 6 + 1   7            versions that do exist
//! ```
//! The version that a write makes is not told by the server. But a write that begins when `n` are acknowledged makes
//! one above `n`: the row's lock puts it behind all of them. So `n + 1` is a floor for every read that must see it: exact
//! for a register with a single writer, a little low for a shared one, never too high.
//!
//! Invariant: all counts only grow; a bound that is read before a statement is sent holds for that statement.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::register::{Layout, Register};

#[derive(Debug)]
pub struct Ledger {
    layout: Layout,
    entries: Vec<Entry>,
    /// The register that was acknowledged last: the best one to look for stale reads at.
    latest: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    begun: AtomicU64,
    acked: AtomicU64,
    /// Floors of what came through each gate.
    by_gate: Vec<AtomicU64>,
    seen: AtomicU64,
}

/// A write under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub index: usize,
    /// What reads may not be below once it is acknowledged; of a log, the version itself.
    pub floor: u64,
}

/// What a read that is sent now may not be below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    pub gate: u64,
    pub any: u64,
    pub seen: u64,
}

impl Ledger {
    pub fn new(layout: Layout, gates: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let entry =
            || Entry { begun: zero(), acked: zero(), by_gate: (0..gates).map(|_| zero()).collect(), seen: zero() };
        let entries = (0..layout.count()).map(|_| entry()).collect();
        Self { layout, entries, latest: AtomicUsize::new(0) }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub fn latest(&self) -> usize {
        self.latest.load(Ordering::SeqCst)
    }

    /// Before a write's first statement is sent.
    pub fn begin(&self, index: usize) -> Claim {
        let entry = &self.entries[index];
        let acked = entry.acked.load(Ordering::SeqCst);
        let begun = entry.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let floor = match self.layout.register(index) {
            // A number that was tried and perhaps not taken is never tried again.
            Register::Log(_) => begun,
            _ => acked + 1,
        };
        Claim { index, floor }
    }

    /// When its OK has come. `gate` is the one that it came through.
    pub fn acknowledge(&self, claim: Claim, gate: Option<usize>) {
        let entry = &self.entries[claim.index];
        if let Some(gate) = gate {
            entry.by_gate[gate].fetch_max(claim.floor, Ordering::SeqCst);
        }
        match self.layout.register(claim.index) {
            Register::Log(_) => entry.acked.fetch_max(claim.floor, Ordering::SeqCst),
            _ => entry.acked.fetch_add(1, Ordering::SeqCst),
        };
        self.latest.store(claim.index, Ordering::SeqCst);
    }

    /// Before a read is sent.
    pub fn floors(&self, index: usize, gate: Option<usize>) -> Floors {
        let entry = &self.entries[index];
        Floors {
            gate: gate.map_or(0, |gate| entry.by_gate[gate].load(Ordering::SeqCst)),
            any: entry.acked.load(Ordering::SeqCst),
            seen: entry.seen.load(Ordering::SeqCst),
        }
    }

    /// When a read's answer has come.
    pub fn saw(&self, index: usize, version: u64) {
        self.entries[index].seen.fetch_max(version, Ordering::SeqCst);
    }

    /// The highest version that may exist now.
    pub fn begun(&self, index: usize) -> u64 {
        self.entries[index].begun.load(Ordering::SeqCst)
    }

    pub fn acked(&self, index: usize) -> u64 {
        self.entries[index].acked.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { sessions: 1, shared: 1, pairs: 0 };

    #[test]
    fn a_shared_registers_floor_is_never_too_high() {
        let ledger = Ledger::new(LAYOUT, 2);
        let index = LAYOUT.index(Register::Shared(0));
        let (a, b) = (ledger.begin(index), ledger.begin(index));
        assert_eq!((a.floor, b.floor, ledger.begun(index)), (1, 1, 2));
        ledger.acknowledge(b, Some(1));
        assert_eq!(ledger.floors(index, Some(0)), Floors { gate: 0, any: 1, seen: 0 });
        ledger.acknowledge(a, None);
        assert_eq!(ledger.floors(index, Some(1)), Floors { gate: 1, any: 2, seen: 0 });
        let c = ledger.begin(index);
        assert_eq!(c.floor, 3);
        ledger.saw(index, 3);
        ledger.saw(index, 2);
        assert_eq!(ledger.floors(index, None), Floors { gate: 0, any: 2, seen: 3 });
        assert_eq!(ledger.latest(), index);
    }

    /// One whose outcome is unknown may have left its number behind.
    #[test]
    fn a_logs_numbers_are_used_once() {
        let ledger = Ledger::new(LAYOUT, 1);
        let index = LAYOUT.index(Register::Log(0));
        let _lost = ledger.begin(index);
        let next = ledger.begin(index);
        ledger.acknowledge(next, Some(0));
        assert_eq!(ledger.floors(index, Some(0)), Floors { gate: 2, any: 2, seen: 0 });
    }
}
