//! Traffic: what one core has seen of one backend lately, for the choice among replicas.
//!
//! Invariant: numbers move with what this core itself sends and receives, and once a second with [`Traffic::tick`];
//! nothing here comes from another core or another host.

use crate::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Commands sent since the last tick, and per second in the time before it.
    sent: u32,
    pub per_second: u32,
    /// Time from sending to the end of the reply: a moving mean, in µs; 0 while nothing was measured.
    pub answer_us: u32,
    /// Replies measured since the last tick, and the sum of their times.
    answers: u32,
    answers_us: u64,
    /// Connections that broke since the last tick, dials that failed among them.
    broken: u32,
    /// No reads until then: an outlier.
    pub ejected_until: Instant,
    ejections: u32,
    /// When it was last seen to come up: reads grow from there.
    pub up_since: Option<Instant>,
}

impl Traffic {
    pub fn sent(&mut self) {
        self.sent = self.sent.saturating_add(1);
    }

    pub fn answered(&mut self, us: u64) {
        let us = u32::try_from(us).unwrap_or(u32::MAX).max(1);
        self.answers = self.answers.saturating_add(1);
        self.answers_us = self.answers_us.saturating_add(u64::from(us));
        // One sixteenth of the difference: half of the weight lies on the last 11 answers.
        let difference = i64::from(us) - i64::from(self.answer_us);
        let moved = if self.answer_us == 0 { i64::from(us) } else { i64::from(self.answer_us) + difference / 16 };
        self.answer_us = u32::try_from(moved.max(1)).unwrap_or(u32::MAX);
    }

    pub fn broke(&mut self) {
        self.broken = self.broken.saturating_add(1);
    }

    /// Mean time of an answer since the last tick, if there were enough of them to tell.
    fn recent_us(&self) -> Option<u64> {
        (self.answers >= ANSWERS_MIN).then(|| self.answers_us / u64::from(self.answers))
    }

    /// The part of its weight that it gets now, in percent: what comes back starts slowly.
    pub fn share_percent(&self, now: Instant, slow_start_ms: u64) -> u32 {
        let Some(since) = self.up_since.filter(|_| slow_start_ms > 0) else { return 100 };
        let share = now.since_ms(since).saturating_mul(100) / slow_start_ms;
        u32::try_from(share).unwrap_or(100).clamp(SHARE_PERCENT_MIN, 100)
    }
}

/// Once a second, over the replicas: rates, and who is out of line with the others. At most half of them are ejected.
pub fn tick(now: Instant, replicas: &mut [&mut Traffic]) -> u32 {
    let fastest = replicas.iter().filter_map(|t| t.recent_us()).min();
    let mut out = replicas.iter().filter(|t| t.ejected_until > now).count();
    let mut ejected = 0;
    let may_go = replicas.len() / 2;
    for traffic in replicas.iter_mut() {
        let slow = match (fastest, traffic.recent_us()) {
            (Some(fastest), Some(own)) => own > (fastest * SLOW_TIMES).max(SLOW_US_MIN),
            _ => false,
        };
        let is_out = slow || traffic.broken >= BROKEN_MAX;
        if is_out && out < may_go && traffic.ejected_until <= now {
            traffic.ejections = (traffic.ejections + 1).min(EJECTIONS_MAX);
            traffic.ejected_until = now.plus_ms(EJECTED_MS * u64::from(traffic.ejections));
            out += 1;
            ejected += 1;
        } else if !is_out && traffic.answers > 0 {
            traffic.ejections = 0;
        }
        traffic.per_second = (traffic.per_second + traffic.sent).div_ceil(2);
        (traffic.sent, traffic.answers, traffic.answers_us, traffic.broken) = (0, 0, 0, 0);
    }
    ejected
}

/// Answers in a second below which their mean tells nothing.
const ANSWERS_MIN: u32 = 20;
/// A replica is an outlier when it takes this many times as long as the fastest, and longer than this many µs.
const SLOW_TIMES: u64 = 5;
const SLOW_US_MIN: u64 = 20_000;
/// Broken connections in a second that make an outlier.
const BROKEN_MAX: u32 = 5;
/// How long an outlier gets no reads, in ms: once, twice … as long each time in a row.
const EJECTED_MS: u64 = 3_000;
const EJECTIONS_MAX: u32 = 10;
/// The least part of its weight that a replica gets while it starts: enough to warm it and to see how it does.
const SHARE_PERCENT_MIN: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(us: u64) -> Traffic {
        let mut traffic = Traffic::default();
        for _ in 0..100 {
            traffic.sent();
            traffic.answered(us);
        }
        traffic
    }

    #[test]
    fn the_mean_follows_and_rates_are_per_second() {
        let mut traffic = busy(1_000);
        assert_eq!(traffic.answer_us, 1_000);
        (0..100).for_each(|_| traffic.answered(9_000));
        assert!(traffic.answer_us > 8_500);
        tick(Instant(0), &mut [&mut traffic]);
        assert_eq!(traffic.per_second, 50);
    }

    #[test]
    fn an_outlier_goes_for_a_while_and_never_more_than_half() {
        let (mut a, mut b, mut c) = (busy(500), busy(600), busy(90_000));
        assert_eq!(tick(Instant(0), &mut [&mut a, &mut b, &mut c]), 1);
        assert!(c.ejected_until > Instant(0).plus_ms(2_000) && a.ejected_until == Instant::default());
        let (mut a, mut b) = (busy(90_000), busy(500));
        (0..10).for_each(|_| b.broke());
        assert_eq!(tick(Instant(0), &mut [&mut a, &mut b]), 1, "one of two stays, however bad");
        // Slow together is no outlier, and neither is five times nothing.
        assert_eq!(tick(Instant(0), &mut [&mut busy(90_000), &mut busy(80_000)]), 0);
        assert_eq!(tick(Instant(0), &mut [&mut busy(90), &mut busy(900)]), 0);
    }

    #[test]
    fn what_comes_back_starts_slowly() {
        let mut traffic = Traffic::default();
        assert_eq!(traffic.share_percent(Instant(0), 10_000), 100, "it was there from the beginning");
        traffic.up_since = Some(Instant(0));
        assert_eq!(traffic.share_percent(Instant(0), 10_000), 5);
        assert_eq!(traffic.share_percent(Instant(0).plus_ms(5_000), 10_000), 50);
        assert_eq!(traffic.share_percent(Instant(0).plus_ms(50_000), 10_000), 100);
        assert_eq!(traffic.share_percent(Instant(0), 0), 100);
    }
}
