//! Time as the engine knows it: nanoseconds since the gate started, given by whoever drives it.
//!
//! The engine never reads a clock. A driver passes the kernel's monotonic clock, the simulator a number that it moves.

/// A moment, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    pub const ZERO: Instant = Instant(0);
    /// Later than every moment that can be reached.
    pub const NEVER: Instant = Instant(u64::MAX);

    pub fn plus_ms(self, ms: u64) -> Instant {
        Instant(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Nanoseconds from `earlier` to `self`, 0 when `earlier` is later.
    pub fn since_ns(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds from `earlier` to `self`.
    pub fn since_ms(self, earlier: Instant) -> u64 {
        self.since_ns(earlier) / 1_000_000
    }
}
