//! Rates of connections: how many may come in a second, in all and from one address.
//!
//! Each is a bucket that holds a second's worth and fills evenly, so a burst of that many passes and the rate holds over any longer
//! time. A connection takes from both buckets or from none.
//! Invariant: at most `RATE_ADDRESSES_MAX` addresses are known; the half that came longest ago goes, and an address that is forgotten
//! has a full bucket. An attacker with more addresses than that meets the limit of the whole gate.

use super::Origin;
use crate::limits::RATE_ADDRESSES_MAX;
use crate::time::Instant;
use std::collections::BTreeMap;

/// As set by operators: connections in a second; 0: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectSettings {
    pub per_s_max: u32,
    pub per_address_per_s_max: u32,
}

/// Which of the two is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooFast {
    Gate,
    Address,
}

#[derive(Debug, Default)]
pub struct Rates {
    all: Option<Bucket>,
    by_address: BTreeMap<Origin, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it is full again. What is missing until then is what was taken.
    full_at: u64,
}

impl Bucket {
    /// Whether one more of `per_s` fits now; None: no, else the bucket with it.
    fn with_one(self, now: Instant, per_s: u32) -> Option<Bucket> {
        let each = NS_PER_S / u64::from(per_s);
        let full_at = self.full_at.max(now.0) + each;
        // At least one, however slow.
        (full_at <= now.0 + NS_PER_S.max(each)).then_some(Bucket { full_at })
    }
}

impl Rates {
    /// A connection has come. A Unix socket has no address: `per_address_per_s_max` does not count there.
    pub fn come(&mut self, now: Instant, origin: Origin, settings: ConnectSettings) -> Result<(), TooFast> {
        let all = match settings.per_s_max {
            0 => None,
            per_s => {
                let bucket = self.all.unwrap_or(Bucket { full_at: now.0 });
                Some(bucket.with_one(now, per_s).ok_or(TooFast::Gate)?)
            }
        };
        if let (1.., false) = (settings.per_address_per_s_max, origin == Origin::Local) {
            let bucket = self.by_address.get(&origin).copied().unwrap_or(Bucket { full_at: now.0 });
            let bucket = bucket.with_one(now, settings.per_address_per_s_max).ok_or(TooFast::Address)?;
            self.by_address.insert(origin, bucket);
            self.make_room(now);
        }
        self.all = all;
        Ok(())
    }

    fn make_room(&mut self, now: Instant) {
        if self.by_address.len() <= RATE_ADDRESSES_MAX {
            return;
        }
        self.by_address.retain(|_, bucket| bucket.full_at > now.0);
        if self.by_address.len() > RATE_ADDRESSES_MAX / 2 {
            let mut ages: Vec<u64> = self.by_address.values().map(|bucket| bucket.full_at).collect();
            let middle = ages.len() / 2;
            let (_, middle, _) = ages.select_nth_unstable(middle);
            let middle = *middle;
            self.by_address.retain(|_, bucket| bucket.full_at > middle);
        }
    }
}

const NS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Origin = Origin::V4(1);

    /// How many of those that come evenly in this time are let in.
    fn let_in(rates: &mut Rates, from_ms: u64, to_ms: u64, origin: Origin, settings: ConnectSettings) -> usize {
        let times = (from_ms..to_ms).map(|ms| Instant::ZERO.plus_ms(ms));
        times.filter(|now| rates.come(*now, origin, settings).is_ok()).count()
    }

    #[test]
    fn a_second_holds_a_burst_and_the_rate() {
        let settings = ConnectSettings { per_s_max: 10, per_address_per_s_max: 0 };
        let mut rates = Rates::default();
        let burst = (0..100).filter(|_| rates.come(Instant::ZERO, HERE, settings).is_ok()).count();
        assert_eq!(burst, 10);
        assert_eq!(rates.come(Instant::ZERO, HERE, settings), Err(TooFast::Gate));
        assert_eq!(let_in(&mut rates, 1, 2_001, HERE, settings), 20);
        // Slower than one a second.
        assert_eq!(let_in(&mut Rates::default(), 0, 3_000, HERE, ConnectSettings { per_s_max: 1, ..settings }), 3);
    }

    #[test]
    fn each_address_has_its_own_and_takes_nothing_from_the_gate_when_refused() {
        let settings = ConnectSettings { per_s_max: 15, per_address_per_s_max: 10 };
        let mut rates = Rates::default();
        let mut come = |origin| rates.come(Instant(1), origin, settings);
        (0..10).for_each(|_| come(HERE).unwrap());
        (0..10).for_each(|_| assert_eq!(come(HERE), Err(TooFast::Address)));
        (0..5).for_each(|_| come(Origin::V4(2)).unwrap());
        assert_eq!(come(Origin::V4(3)), Err(TooFast::Gate));
        let settings = ConnectSettings { per_s_max: 0, ..settings };
        assert_eq!(let_in(&mut Rates::default(), 0, 500, Origin::Local, settings), 500);
    }

    #[test]
    fn addresses_are_forgotten() {
        let settings = ConnectSettings { per_s_max: 0, per_address_per_s_max: 1 };
        let mut rates = Rates::default();
        for number in 0..3 * RATE_ADDRESSES_MAX as u32 {
            rates.come(Instant(u64::from(number)), Origin::V4(number), settings).unwrap();
            assert!(rates.by_address.len() <= RATE_ADDRESSES_MAX);
        }
    }
}
