//! Admission by latency: while everybody has to wait for a connection for too long, some of what comes new is refused at once.
//!
//! ```text
//!   every 100 ms   the shortest wait in it > target ──► a tenth more of what comes is refused, the lowest weight first
//!                                        otherwise ──► half as much
//! ```
//! The *shortest* wait, as CoDel has it (Nichols and Jacobson, 2012): a burst makes the longest ones long and is over, but a queue that stands makes
//! even the shortest long, and all that it does is to make everybody late. Refused is by a draw and not by the length of the line, so that
//! who comes often is refused often. Of the last weight a twentieth always passes: that is how a core learns that the time is over.
//!
//! Invariant: what is in a line already, or in a transaction, is never refused here. Each core judges its own lines.

use crate::time::Instant;

/// As set by operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    pub is_on: bool,
    pub target_ms: u64,
}

impl Default for AdmissionSettings {
    fn default() -> AdmissionSettings {
        AdmissionSettings { is_on: false, target_ms: 50 }
    }
}

#[derive(Debug, Default)]
pub struct Admission {
    /// As the settings say: here, where commands pass.
    pub is_on: bool,
    interval_ends: Instant,
    /// Of those that were given a connection in this interval; None: nobody was.
    shortest_ns: Option<u64>,
    /// Thousandths of what comes that are refused, summed over the weights: 1,000 is all of the lowest.
    shed: u32,
    /// Of accounts, different ones in order.
    pub weights: Vec<u32>,
}

impl Admission {
    /// A command was given a connection, after so long in line (0: at once).
    pub fn served(&mut self, now: Instant, waited_ns: u64, is_waited_for: bool, target_ms: u64) {
        self.advance(now, is_waited_for, target_ms);
        self.shortest_ns = Some(self.shortest_ns.map_or(waited_ns, |shortest| shortest.min(waited_ns)));
    }

    /// Whether a command that comes now is refused. `class`: how many weights are lower than its account's, of `classes` in all;
    /// `dice`: any number.
    pub fn refuses(
        &mut self,
        now: Instant,
        is_waited_for: bool,
        target_ms: u64,
        (class, classes): (u32, u32),
        dice: u64,
    ) -> bool {
        self.advance(now, is_waited_for, target_ms);
        self.shed = self.shed.min(classes.max(1) * ALL - PROBES);
        let share = self.shed.saturating_sub(class * ALL).min(ALL);
        dice % u64::from(ALL) < u64::from(share)
    }

    /// Thousandths that are refused, over all weights.
    pub fn shed(&self) -> u32 {
        self.shed
    }

    fn advance(&mut self, now: Instant, is_waited_for: bool, target_ms: u64) {
        if now < self.interval_ends {
            return;
        }
        let is_first = self.interval_ends == Instant::ZERO;
        let missed = now.since_ms(self.interval_ends) / INTERVAL_MS;
        self.interval_ends = now.plus_ms(INTERVAL_MS);
        let shortest = self.shortest_ns.take();
        if is_first {
            return;
        }
        // When nobody was served, whoever waits has waited for all of it.
        let is_late = shortest.map_or(is_waited_for, |ns| ns > target_ms.saturating_mul(1_000_000));
        self.shed = if is_late { self.shed + STEP } else { self.shed / 2 };
        // What was late then is old: nobody has come since.
        if !is_waited_for {
            self.shed >>= missed.min(31);
        }
    }
}

const INTERVAL_MS: u64 = 100;
/// All of one weight.
const ALL: u32 = 1_000;
const STEP: u32 = 100;
/// Of the highest weight these pass.
const PROBES: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET_MS: u64 = 50;

    /// Serves one each 10 ms with this wait.
    fn serve(admission: &mut Admission, from_ms: u64, to_ms: u64, waited_ms: u64) {
        for ms in (from_ms..to_ms).step_by(10) {
            admission.served(Instant::ZERO.plus_ms(ms), waited_ms * 1_000_000, true, TARGET_MS);
        }
    }

    /// Of a thousand that come at once.
    fn refused(admission: &mut Admission, at_ms: u64, class: (u32, u32)) -> usize {
        let now = Instant::ZERO.plus_ms(at_ms);
        (0..1_000).filter(|dice| admission.refuses(now, true, TARGET_MS, class, *dice)).count()
    }

    #[test]
    fn a_queue_that_stands_sheds_more_and_more_and_one_that_drains_ends_it() {
        let mut admission = Admission::default();
        serve(&mut admission, 0, 500, 40);
        assert_eq!(refused(&mut admission, 499, (0, 1)), 0);
        serve(&mut admission, 500, 1_000, 60);
        let early = refused(&mut admission, 999, (0, 1));
        assert!((300..=500).contains(&early), "{early}");
        serve(&mut admission, 1_000, 5_000, 60);
        assert_eq!(refused(&mut admission, 4_999, (0, 1)), 950, "some always pass");
        serve(&mut admission, 5_000, 5_500, 10);
        let late = refused(&mut admission, 5_499, (0, 1));
        assert!(late < 100, "{late}");
    }

    #[test]
    fn one_short_wait_in_each_interval_is_no_overload() {
        let mut admission = Admission::default();
        for ms in (0..5_000).step_by(10) {
            let waited_ms = if ms % 100 == 0 { 0 } else { 500 };
            admission.served(Instant::ZERO.plus_ms(ms), waited_ms * 1_000_000, true, TARGET_MS);
        }
        assert_eq!(admission.shed(), 0);
    }

    #[test]
    fn the_lowest_weight_is_refused_first() {
        let mut admission = Admission::default();
        serve(&mut admission, 0, 800, 60);
        let [low, high] = [0, 1].map(|class| refused(&mut admission, 799, (class, 2)));
        assert!(low >= 500 && high == 0, "{low} {high}");
        serve(&mut admission, 800, 1_600, 60);
        let [low, high] = [0, 1].map(|class| refused(&mut admission, 1_599, (class, 2)));
        assert!(low == 1_000 && (300..900).contains(&high), "{low} {high}");
    }

    #[test]
    fn what_was_late_before_a_pause_counts_no_more() {
        let mut admission = Admission::default();
        serve(&mut admission, 0, 3_000, 60);
        assert!(admission.shed() >= 900);
        let after = Instant::ZERO.plus_ms(4_500);
        assert!((0..1_000).all(|dice| !admission.refuses(after, false, TARGET_MS, (0, 1), dice)));
    }

    #[test]
    fn nobody_served_is_late_only_while_somebody_waits() {
        let mut admission = Admission::default();
        for ms in (0..1_000).step_by(10) {
            admission.refuses(Instant::ZERO.plus_ms(ms), true, TARGET_MS, (0, 1), 0);
        }
        assert!(admission.shed() >= 700, "{}", admission.shed());
        // Long after, in one step.
        assert!(!admission.refuses(Instant::ZERO.plus_ms(60_000), false, TARGET_MS, (0, 1), 0));
    }
}
