//! `Ruler`: an axis with its ends and ticks: where along it a value lies.
//!
//! Invariant: all values that it was made of lie from 0 to 1, and so do its ticks, in rising order.

use super::number::{grouped, nice_above, nice_below};

#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// From zero, so that heights can be compared.
    Linear,
    Log,
    /// Logarithmic, with ticks at these very values.
    Steps(Vec<f64>),
    /// Percent of all queries, stretched towards 100 as HdrHistogram's plots are: each further nine takes as much room.
    Percentile,
}

impl Scale {
    pub fn can_show(&self, value: f64) -> bool {
        match self {
            Self::Linear => value.is_finite() && value >= 0.0,
            Self::Log | Self::Steps(_) => value.is_finite() && value > 0.0,
            Self::Percentile => (0.0..=PERCENT_MAX).contains(&value),
        }
    }

    /// Where a value lies if the axis had no ends.
    fn stretch(&self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log | Self::Steps(_) => value.log10(),
            Self::Percentile => -(1.0 - value / 100.0).log10(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// From 0 to 1.
    pub place: f64,
    pub label: String,
}

#[derive(Clone, Debug)]
pub struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    pub ticks: Vec<Tick>,
}

impl Ruler {
    /// For these values, which the scale can show. `None` if there are none.
    pub fn of(scale: &Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let (min, max) = values.fold(None, |ends: Option<(f64, f64)>, value| match ends {
            None => Some((value, value)),
            Some((min, max)) => Some((min.min(value), max.max(value))),
        })?;
        let (low, high, ticks) = match scale {
            Scale::Linear => linear(max),
            Scale::Log => log(min, max),
            Scale::Steps(steps) => between(steps, min, max),
            Scale::Percentile => (0.0, PERCENT_MAX, PERCENTS.to_vec()),
        };
        let mut ruler = Self { scale: scale.clone(), low, high, ticks: Vec::new() };
        ruler.ticks = ticks.iter().map(|tick| Tick { place: ruler.place(*tick), label: grouped(*tick) }).collect();
        Some(ruler)
    }

    /// From 0 at the low end to 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let [low, high, value] = [self.low, self.high, value].map(|value| self.scale.stretch(value));
        (value - low) / (high - low)
    }
}

type Ends = (f64, f64, Vec<f64>);

/// From zero to a round number above all, in about five steps.
fn linear(max: f64) -> Ends {
    let step = match max > 0.0 {
        true => nice_above(max / LINEAR_STEPS),
        false => 1.0,
    };
    let count = (max / step - 1e-9).ceil().max(1.0);
    (0.0, count * step, (0..=count as u32).map(|n| f64::from(n) * step).collect())
}

/// Ends at 1, 2 or 5 times a power of ten. Ticks at all of these while there are few; at powers of ten otherwise.
fn log(min: f64, max: f64) -> Ends {
    let (low, mut high) = (nice_below(min), nice_above(max));
    if high <= low {
        high = nice_above(low * 1.5);
    }
    let mut ticks = vec![low];
    while let Some(last) = ticks.last().filter(|last| **last < high * 0.999) {
        ticks.push(nice_above(last * 1.5));
    }
    if (high / low).log10() > LOG_DECADES_FULL {
        ticks.retain(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9);
    }
    (low, high, ticks)
}

/// A little room at either side, so that no mark lies on the frame.
fn between(steps: &[f64], min: f64, max: f64) -> Ends {
    let room = (max / min).powf(0.05).max(1.1);
    let (low, high) = (min / room, max * room);
    let mut ticks: Vec<f64> = steps.iter().copied().filter(|step| (low..=high).contains(step)).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    (low, high, ticks)
}

const LINEAR_STEPS: f64 = 6.0;
/// So many powers of ten have room for all ticks between them.
const LOG_DECADES_FULL: f64 = 4.1;
/// The end of the scale: at four nines, what a run of seconds still has enough samples of.
pub const PERCENT_MAX: f64 = 99.99;
const PERCENTS: [f64; 6] = [0.0, 50.0, 90.0, 99.0, 99.9, PERCENT_MAX];

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, values: &[f64]) -> Vec<String> {
        let ruler = Ruler::of(scale, values.iter().copied()).unwrap();
        let places: Vec<f64> = ruler.ticks.iter().map(|tick| tick.place).collect();
        assert!(places.is_sorted() && places.iter().all(|place| (-1e-9..=1.0 + 1e-9).contains(place)), "{places:?}");
        assert!(values.iter().all(|value| (-1e-9..=1.0 + 1e-9).contains(&ruler.place(*value))), "{values:?}");
        ruler.ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks() {
        for (scale, values, expected) in [
            (Scale::Linear, vec![3.0, 26.2], "0 5 10 15 20 25 30"),
            (Scale::Linear, vec![30_100.0], "0 10,000 20,000 30,000 40,000"),
            (Scale::Linear, vec![0.5], "0 0.1 0.2 0.3 0.4 0.5"),
            (Scale::Linear, vec![0.0], "0 1"),
            (Scale::Log, vec![0.13, 4.0], "0.1 0.2 0.5 1 2 5"),
            (Scale::Log, vec![0.03, 900.0], "0.1 1 10 100 1,000"),
            (Scale::Log, vec![1.0], "1 2"),
            (Scale::Log, vec![0.002, 0.7], "0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1"),
            (Scale::Steps(vec![64.0, 1.0, 8.0, 8.0]), vec![1.0, 64.0], "1 8 64"),
            (Scale::Steps(vec![8.0]), vec![8.0], "8"),
            (Scale::Percentile, vec![0.0, 99.0], "0 50 90 99 99.9 99.99"),
        ] {
            assert_eq!(labels(&scale, &values).join(" "), expected, "{scale:?} {values:?}");
        }
        assert!(Ruler::of(&Scale::Log, std::iter::empty()).is_none());
    }

    #[test]
    fn each_nine_takes_as_much_room() {
        let ruler = Ruler::of(&Scale::Percentile, [0.0].into_iter()).unwrap();
        for (percent, place) in [(0.0, 0.0), (90.0, 0.25), (99.0, 0.5), (99.9, 0.75), (99.99, 1.0)] {
            assert!((ruler.place(percent) - place).abs() < 1e-6, "{percent}");
        }
    }

    #[test]
    fn what_a_scale_cannot_show() {
        assert!(Scale::Linear.can_show(0.0) && !Scale::Linear.can_show(-1.0) && !Scale::Linear.can_show(f64::NAN));
        assert!(!Scale::Log.can_show(0.0) && Scale::Log.can_show(1e-6));
        assert!(Scale::Percentile.can_show(99.99) && !Scale::Percentile.can_show(100.0));
    }
}
