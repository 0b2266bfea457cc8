//! How many completions a core waits for before it wakes: the knob that lets one wake-up serve many sessions.
//!
//! Waking costs more than the work that one query causes. With many sessions active the next few completions are only
//! microseconds away, so a core that waits for several at once sleeps less often (Linux 6.12: wanted number, and a time
//! after which one is enough). With few sessions the next completion is what everybody waits for: then the number is 1.
//!
//! How many: a quarter of the commands that are under way, by the world's own count and by the wires that were active lately,
//! whichever is less; 1 when those are few. A command that is one of 64 under way has waited for the server's CPUs many
//! times longer than for this; one that comes when few are under way, however many clients there are, waits for nothing.
//!
//! Invariant: 1 <= wanted <= WANTED_MAX, and wanted is 1 unless UNDER_WAY_MIN commands are under way.

use crate::time::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Wake for each completion.
    Off,
    /// Follow the load. The default, for the CPU it saves.
    #[default]
    Adaptive,
}

#[derive(Debug)]
pub struct Batch {
    mode: BatchMode,
    window: u32,
    window_ends: Instant,
    /// Wires that were active in this window and in the one before.
    active: usize,
    active_before: usize,
}

impl Batch {
    pub fn new(mode: BatchMode) -> Batch {
        Batch { mode, window: 1, window_ends: Instant::ZERO, active: 0, active_before: 0 }
    }

    /// Receives to wait for while so many commands are with backends.
    pub fn wanted(&self, outstanding: usize) -> usize {
        // A client and its backend connection are two.
        let active = self.active.max(self.active_before) / 2;
        match active.min(outstanding) {
            _ if self.mode == BatchMode::Off => 1,
            few if few < UNDER_WAY_MIN => 1,
            under_way => (under_way / UNDER_WAY_PER_WANTED).clamp(1, WANTED_MAX),
        }
    }

    /// Bytes have arrived on a wire that was last active in window `last`: which becomes the present one.
    pub fn touch(&mut self, last: &mut u32) {
        if *last != self.window {
            *last = self.window;
            self.active += 1;
        }
    }

    /// A turn begins.
    pub fn observe(&mut self, now: Instant) {
        if now >= self.window_ends {
            self.window_ends = Instant(now.0 + WINDOW_NS);
            self.window = self.window.wrapping_add(1);
            self.active_before = self.active;
            self.active = 0;
        }
    }
}

/// After this long one completion is enough, in µs: what a query may lose at most by our waiting for company.
pub const MIN_WAIT_US: u32 = 50;

/// A wire is active when bytes arrived on it in the last one or two windows.
const WINDOW_NS: u64 = 5_000_000;

/// With fewer commands under way, waiting for company only costs time.
const UNDER_WAY_MIN: usize = 16;

/// The wait is for at most one of so many: the rest are busy elsewhere (in mysqld, on their way).
const UNDER_WAY_PER_WANTED: usize = 4;

/// Receives per wake-up beyond which nothing more is saved.
const WANTED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is waited for after a while in which so many wires were active and so many commands with backends.
    fn wanted(mode: BatchMode, wires: usize, outstanding: usize) -> usize {
        let mut batch = Batch::new(mode);
        run(&mut batch, Instant::ZERO, wires);
        batch.wanted(outstanding)
    }

    fn run(batch: &mut Batch, from: Instant, wires: usize) {
        let mut windows = vec![0; wires];
        for turn in 0..1_000 {
            batch.observe(Instant(from.0 + turn * 50_000));
            windows.iter_mut().for_each(|window| batch.touch(window));
        }
    }

    #[test]
    fn few_commands_are_never_kept_waiting() {
        assert_eq!(wanted(BatchMode::Adaptive, 2, 1), 1);
        assert_eq!(wanted(BatchMode::Adaptive, 2 * (UNDER_WAY_MIN - 1), 1_000), 1, "others hold connections and rest");
        assert_eq!(wanted(BatchMode::Adaptive, 10_000, UNDER_WAY_MIN - 1), 1, "many clients, short commands");
    }

    #[test]
    fn with_many_it_is_a_share_of_them() {
        assert_eq!(wanted(BatchMode::Adaptive, 128, 64), 64 / UNDER_WAY_PER_WANTED);
        assert_eq!(wanted(BatchMode::Adaptive, 10_000, 10_000), WANTED_MAX);
    }

    #[test]
    fn it_falls_to_one_within_two_windows_of_the_load_ending() {
        let mut batch = Batch::new(BatchMode::Adaptive);
        run(&mut batch, Instant::ZERO, 1_000);
        assert!(batch.wanted(500) > 1);
        for turn in 0..3 {
            batch.observe(Instant(1_000_000_000 + turn * WINDOW_NS));
        }
        assert_eq!(batch.wanted(500), 1);
    }

    #[test]
    fn switched_off_it_stays_at_one() {
        assert_eq!(wanted(BatchMode::Off, 10_000, 10_000), 1);
    }
}
