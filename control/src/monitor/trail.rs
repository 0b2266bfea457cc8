//! The trail: when the primary first showed which executed set, so that a replica's lag can be told without trusting
//! anybody's clock but ours.
//!
//! Invariant: sets are kept in the order in which they were seen, each with the time of its first sight; a set equal to
//! the last is not kept again. The number of marks is bounded: when it is reached, neighbours become one, with the time of
//! the first and the set of the second, so that lags get coarser and never too small.

use std::collections::VecDeque;
use std::sync::Arc;
use weir_net::gtid::GtidSet;

#[derive(Debug, Default)]
pub struct Trail {
    marks: VecDeque<(u64, Arc<GtidSet>)>,
}

impl Trail {
    pub fn handle_primary(&mut self, now_ms: u64, executed: &Arc<GtidSet>) {
        if self.marks.back().is_some_and(|(_, last)| last == executed) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            let marks = self.marks.make_contiguous();
            self.marks = marks.chunks(2).map(|pair| (pair[0].0, pair[pair.len() - 1].1.clone())).collect();
        }
        self.marks.push_back((now_ms, executed.clone()));
    }

    /// Another server is the primary now: what the old one showed says nothing about how late anyone is.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// How long ago the primary showed the first transaction that `executed` lacks; 0 if it lacks none.
    pub fn behind_ms(&self, now_ms: u64, executed: &GtidSet) -> u64 {
        let covered = self.marks.partition_point(|(_, set)| executed.contains(set));
        match self.marks.get(covered) {
            Some((first_seen, _)) => now_ms.saturating_sub(*first_seen),
            None => 0,
        }
    }
}

const MARKS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(last: u64) -> Arc<GtidSet> {
        Arc::new(GtidSet::parse(format!("3aecbfe0-e779-11f1-be4c-02fc00000001:1-{last}").as_bytes()).unwrap())
    }

    #[test]
    fn lag_counts_from_the_first_sight_of_what_is_missing() {
        let mut trail = Trail::default();
        assert_eq!(trail.behind_ms(5, &set(1)), 0);
        for (now, last) in [(100, 10), (200, 20), (300, 20), (400, 40)] {
            trail.handle_primary(now, &set(last));
        }
        let cases = [(40, 0), (50, 0), (39, 100), (20, 100), (19, 300), (10, 300), (9, 400), (1, 400)];
        for (last, behind) in cases {
            assert_eq!(trail.behind_ms(500, &set(last)), behind, "{last}");
        }
        trail.clear();
        assert_eq!(trail.behind_ms(500, &set(1)), 0);
    }

    #[test]
    fn it_stays_small_and_never_tells_too_little() {
        let mut trail = Trail::default();
        for n in 1..10_000 {
            trail.handle_primary(n, &set(n));
        }
        assert!(trail.marks.len() <= MARKS_MAX);
        for n in (1..10_000).step_by(37) {
            // The first missing one, n + 1, was seen at n + 1.
            assert!(trail.behind_ms(10_000, &set(n)) + (n + 1) >= 10_000 || n == 9_999);
        }
    }
}
