//! How many completions a core waits for before it wakes: the knob that lets one wake-up serve many sessions.
//!
//! Waking costs more than the work that one query causes. With many sessions active the next few completions are only
//! microseconds away, so a core that waits for several at once sleeps less often (Linux 6.12: wanted number, and a time
//! after which one is enough). With few sessions the next completion is what everybody waits for: then the number is 1.
//!
//! Measured with a blind relay and sysbench's point selects from 64 clients, on and off in turn, on a machine with two CPUs
//! that others kept busy (load 9 to 39): 46 instead of 55 µs of CPU per query, medians of nine runs each (33 to 57, 40 to
//! 70). Throughput differed by less than its noise. The numbers below were not tuned: that wants a quiet machine. With 8
//! clients (16 wires) it stays at 1.
//!
//! Invariant: 1 <= wanted <= WANTED_MAX, and wanted is 1 unless ACTIVE_MIN wires were active lately. It grows by one when
//! a wait was filled in time, and halves when it was not: additive up, multiplicative down.

use crate::time::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Wake for each completion.
    Off,
    /// Follow the load. The default, for the CPU it saves: see the measurement above.
    #[default]
    Adaptive,
}

#[derive(Debug)]
pub struct Batch {
    mode: BatchMode,
    wanted: usize,
    window: u32,
    window_ends: Instant,
    /// Wires that were active in this window and in the one before.
    active: usize,
    active_before: usize,
}

impl Batch {
    pub fn new(mode: BatchMode) -> Batch {
        Batch { mode, wanted: 1, window: 1, window_ends: Instant::ZERO, active: 0, active_before: 0 }
    }

    /// Receives to wait for.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Bytes have arrived on a wire that was last active in window `last`: which becomes the present one.
    pub fn touch(&mut self, last: &mut u32) {
        if *last != self.window {
            *last = self.window;
            self.active += 1;
        }
    }

    /// A turn has ended its sleep with so many receives, having waited for `wanted()`.
    pub fn observe(&mut self, now: Instant, received: usize) {
        if self.mode == BatchMode::Off {
            return;
        }
        if now >= self.window_ends {
            self.window_ends = Instant(now.0 + WINDOW_NS);
            self.window = self.window.wrapping_add(1);
            self.active_before = self.active;
            self.active = 0;
        }
        let active = self.active.max(self.active_before);
        let most = if active < ACTIVE_MIN { 1 } else { (active / ACTIVE_PER_WANTED).clamp(1, WANTED_MAX) };
        let next = match received {
            n if n < self.wanted => self.wanted / 2,
            n if n > self.wanted || self.wanted > 1 => self.wanted + 1,
            _ => self.wanted,
        };
        self.wanted = next.clamp(1, most);
    }
}

/// After this long one completion is enough, in µs: what a query may lose at most by our waiting for company.
pub const MIN_WAIT_US: u32 = 50;

/// A wire is active when bytes arrived on it in the last one or two windows.
const WINDOW_NS: u64 = 5_000_000;

/// Below this number of active wires (a client and its backend connection are two) waiting for company only costs time.
const ACTIVE_MIN: usize = 32;

/// The wait is for at most one of so many active wires: the rest are busy elsewhere (in mysqld, on their way).
const ACTIVE_PER_WANTED: usize = 4;

/// Receives per wake-up beyond which nothing more is saved.
const WANTED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A load in which `wires` are active and each sleep ends with `received(wanted)` receives; where the number settles.
    fn settle(mode: BatchMode, wires: usize, received: impl Fn(usize) -> usize) -> usize {
        let mut batch = Batch::new(mode);
        run(&mut batch, Instant::ZERO, wires, received)
    }

    fn run(batch: &mut Batch, from: Instant, wires: usize, received: impl Fn(usize) -> usize) -> usize {
        let mut windows = vec![0; wires];
        for turn in 0..1_000 {
            windows.iter_mut().for_each(|window| batch.touch(window));
            batch.observe(Instant(from.0 + turn * 50_000), received(batch.wanted()));
            assert!((1..=WANTED_MAX).contains(&batch.wanted()));
        }
        batch.wanted()
    }

    #[test]
    fn few_wires_are_never_kept_waiting() {
        assert_eq!(settle(BatchMode::Adaptive, ACTIVE_MIN - 1, |_| 16), 1);
        assert_eq!(settle(BatchMode::Adaptive, 1, |wanted| wanted), 1);
    }

    #[test]
    fn with_many_wires_it_grows_to_a_share_of_them() {
        assert_eq!(settle(BatchMode::Adaptive, 64, |wanted| wanted + 3), 64 / ACTIVE_PER_WANTED);
        assert_eq!(settle(BatchMode::Adaptive, 10_000, |wanted| wanted + 3), WANTED_MAX);
    }

    #[test]
    fn it_does_not_grow_while_completions_come_one_by_one() {
        assert_eq!(settle(BatchMode::Adaptive, 1_000, |_| 1), 1);
    }

    #[test]
    fn a_wait_that_was_not_filled_halves_it() {
        let highest = settle(BatchMode::Adaptive, 1_000, |wanted| wanted.clamp(2, 10));
        assert!((5..=11).contains(&highest), "{highest}");
    }

    #[test]
    fn it_falls_to_one_within_two_windows_of_the_load_ending() {
        let mut batch = Batch::new(BatchMode::Adaptive);
        assert!(run(&mut batch, Instant::ZERO, 1_000, |_| 64) > 1);
        let after = Instant(1_000_000_000);
        for turn in 0..3 {
            batch.observe(Instant(after.0 + turn * WINDOW_NS), 64);
        }
        assert_eq!(batch.wanted(), 1);
    }

    #[test]
    fn switched_off_it_stays_at_one() {
        assert_eq!(settle(BatchMode::Off, 10_000, |_| 64), 1);
    }
}
