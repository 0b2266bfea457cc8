//! A clock: virtual time as one process counts it.
//!
//! Invariant: it ticks 2.4 % faster or slower than true time at most, so two of them are within the 5 % that leases allow.

use std::time::Duration;
use tokio::time::Instant;

/// True time, in ms from the beginning of the run.
pub type Ms = u64;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    ppm: i64,
}

impl Clock {
    pub fn new(base: Instant, ppm: i64) -> Clock {
        assert!(ppm.abs() <= PPM_MAX, "{ppm}");
        Clock { base, ppm }
    }

    /// What it shows at this moment.
    pub fn shows(&self, at: Ms) -> Instant {
        self.base + Duration::from_micros(at * (1_000_000 + self.ppm) as u64 / 1_000)
    }

    /// The first true ms at which it shows that, or more.
    pub fn when(&self, shown: Instant) -> Ms {
        let shown = shown.saturating_duration_since(self.base).as_micros() as u64;
        (shown * 1_000).div_ceil((1_000_000 + self.ppm) as u64)
    }
}

pub const PPM_MAX: i64 = 24_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for ppm in [-PPM_MAX, 0, PPM_MAX] {
            let clock = Clock::new(Instant::now(), ppm);
            for at in [0, 1, 999, 12_345] {
                assert_eq!(clock.when(clock.shows(at)), at);
            }
        }
    }
}
