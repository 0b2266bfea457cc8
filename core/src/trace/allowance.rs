//! The allowance: how many spans a core may still make, as a bucket that fills evenly and holds one second's.

use crate::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// What was taken so far, as time: a second behind when the bucket was empty, so that it is full at the beginning.
    spent_to: Instant,
}

impl Allowance {
    /// True: one more, and it is taken.
    pub fn take(&mut self, now: Instant, per_s_max: u32) -> bool {
        let Some(each_ns) = SECOND_NS.checked_div(u64::from(per_s_max)) else { return false };
        let from = self.spent_to.0.max(now.0);
        let is_free = from.saturating_add(each_ns) <= now.0.saturating_add(SECOND_NS);
        if is_free {
            self.spent_to = Instant(from.saturating_add(each_ns));
        }
        is_free
    }
}

const SECOND_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_share_and_no_more() {
        let mut allowance = Allowance::default();
        let mut taken =
            |at_ms: u64, tries: u32| (0..tries).filter(|_| allowance.take(Instant(at_ms * 1_000_000), 100)).count();
        assert_eq!((taken(0, 60), taken(0, 60)), (60, 40), "it begins full");
        assert_eq!(taken(5_000, 1_000), 100, "a second's worth at once");
        assert_eq!(taken(5_005, 1_000), 0);
        assert_eq!(taken(5_010, 1_000), 1, "then evenly");
        assert_eq!(taken(5_500, 1_000), 49);
        assert_eq!(taken(60_000, 1_000), 100, "what was not used for longer is gone");
        assert!(!Allowance::default().take(Instant(9_000_000_000), 0));
    }
}
