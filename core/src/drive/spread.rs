//! How many clients each core has, and which core gets the next one.
//!
//! The kernel deals new connections to the cores' listeners by a hash: 16 clients easily become 12 and 4. So a core that
//! accepts one looks at all counts and hands it to the core with the fewest. Invariant: a client is counted from the moment
//! a core was chosen for it until its socket is closed, so those under way to a core count too, and bursts spread as well.

use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Spread {
    counts: Vec<Count>,
}

/// Alone on its cache lines: each core changes its own.
#[repr(align(128))]
#[derive(Default)]
struct Count(AtomicUsize);

impl Spread {
    pub fn new(cores: usize) -> Spread {
        Spread { counts: (0..cores).map(|_| Count::default()).collect() }
    }

    /// The core for a client that core `own` has accepted; it is counted there. On a tie it stays.
    pub fn choose(&self, own: usize) -> usize {
        loop {
            let (mut best, mut fewest) = (own, self.count(own));
            for core in 0..self.counts.len() {
                let count = self.count(core);
                if count < fewest {
                    (best, fewest) = (core, count);
                }
            }
            // If the chosen core's count has moved meanwhile, others may have it less: look again.
            let count = &self.counts[best].0;
            if count.compare_exchange(fewest, fewest + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return best;
            }
        }
    }

    pub fn leave(&self, core: usize) {
        let before = self.counts[core].0.fetch_sub(1, Ordering::AcqRel);
        assert!(before > 0, "a client leaves once");
    }

    pub fn count(&self, core: usize) -> usize {
        self.counts[core].0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_they_arrive_clients_spread_evenly() {
        let spread = Spread::new(3);
        for n in 0..301 {
            // All arrive at core 0, as through a Unix socket.
            spread.choose(0);
            let counts: Vec<usize> = (0..3).map(|core| spread.count(core)).collect();
            assert_eq!(counts.iter().sum::<usize>(), n + 1);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_tie_stays_and_a_gap_is_filled() {
        let spread = Spread::new(2);
        assert_eq!(spread.choose(1), 1);
        assert_eq!(spread.choose(1), 0);
        assert_eq!(spread.choose(1), 1);
        spread.leave(1);
        spread.leave(1);
        assert_eq!(spread.choose(0), 1);
    }

    #[test]
    fn two_cores_that_accept_at_once_still_spread_evenly() {
        let spread = Spread::new(2);
        std::thread::scope(|scope| {
            for own in 0..2 {
                let spread = &spread;
                scope.spawn(move || (0..5_000).for_each(|_| assert!(spread.choose(own) < 2)));
            }
        });
        assert!(spread.count(0).abs_diff(spread.count(1)) <= 1);
        assert_eq!(spread.count(0) + spread.count(1), 10_000);
    }
}
