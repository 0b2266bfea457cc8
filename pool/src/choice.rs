//! The choice among replicas: pure functions, with the randomness as an argument.
//!
//! Invariant: a candidate of weight 0 is never chosen; the answer depends on the arguments alone.

/// A backend that may serve the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub backend: u16,
    /// Its part of the load, relative to the others'.
    pub weight: u32,
    /// How busy it is, in whatever the policy counts.
    pub load: u32,
}

/// How loads are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A replica of twice the weight may have twice the load.
    PerWeight,
    /// A time is a time.
    Alone,
}

/// One by weight. `random` is uniform over all values.
pub fn weighted_random(candidates: &[Candidate], random: u64) -> Option<u16> {
    let drawn = draw(candidates, None, random)?;
    Some(candidates[drawn].backend)
}

/// Two different ones by weight, then the one with clearly less load; the first draw when they are about equal.
///
/// The shares still follow the weights: what is compared is `load / weight`, so replicas that answer equally
/// fast are in balance exactly when their loads are as their weights, and then every choice is the first draw, which is
/// by weight. Comparing `outstanding` alone would give a replica of weight 1 as much as one of weight 9, and adding the
/// request to be placed (`outstanding + 1`) would starve the lighter one while there is little load.
/// A difference below an eighth is none: with figures that are old, a small one would send half of the load over.
pub fn two_choices(candidates: &[Candidate], measure: Measure, random: u64) -> Option<u16> {
    let (a, b) = match pair(candidates, random)? {
        (only, None) => return Some(only.backend),
        (a, Some(b)) => (a, b),
    };
    let (load_a, load_b) = match measure {
        Measure::PerWeight => (u64::from(a.load) * u64::from(b.weight), u64::from(b.load) * u64::from(a.weight)),
        Measure::Alone => (u64::from(a.load), u64::from(b.load)),
    };
    Some(if load_b.saturating_add(load_b / 8) < load_a { b.backend } else { a.backend })
}

/// Two different ones by weight; the second, if it has less load, with the probability `(a - b) / (a + b)` of their loads.
///
/// For figures that are a second old, or that the choice itself does not change at once: whoever takes the lesser of two then
/// sends everything there until the next figure, which is a herd, and sends the other one nothing, which keeps its figure
/// as it is. Here a replica with twice the load gets half as much as the other one; nobody gets nothing, and a choice made
/// on an old figure is wrong by as little as the figure is. Equal loads leave the shares to the weights.
pub fn soft_choice(candidates: &[Candidate], measure: Measure, random: u64) -> Option<u16> {
    let (a, b) = match pair(candidates, random)? {
        (only, None) => return Some(only.backend),
        (a, Some(b)) => (a, b),
    };
    // As if one more ran there for each unit of weight: something beside nothing is not infinitely more.
    let unit = a.weight.min(b.weight);
    let load = |c: &Candidate| match measure {
        Measure::PerWeight => f64::from(c.load) / f64::from(c.weight) + 1.0 / f64::from(unit),
        Measure::Alone => f64::from(c.load) + 1.0,
    };
    let (load_a, load_b) = (load(a), load(b));
    let point = scramble(scramble(random)) as f64 / u64::MAX as f64;
    Some(if point * (load_a + load_b) < load_a - load_b { b.backend } else { a.backend })
}

/// The first draw, and the second one when there is another candidate.
fn pair(candidates: &[Candidate], random: u64) -> Option<(&Candidate, Option<&Candidate>)> {
    let first = draw(candidates, None, random)?;
    let second = draw(candidates, Some(first), scramble(random));
    Some((&candidates[first], second.map(|at| &candidates[at])))
}

/// The position of one candidate by weight, the one at `without` left out.
fn draw(candidates: &[Candidate], without: Option<usize>, random: u64) -> Option<usize> {
    let weights = || candidates.iter().map(|c| u64::from(c.weight)).enumerate().filter(|(at, _)| Some(*at) != without);
    let total: u64 = weights().map(|(_, weight)| weight).sum();
    // The high half of the product spreads 64 random bits over the total without a division or a noticeable bias.
    let mut point = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    for (at, weight) in weights() {
        if point < weight {
            return Some(at);
        }
        point -= weight;
    }
    None
}

/// A second random number out of the first (the finalizer of SplitMix64).
fn scramble(random: u64) -> u64 {
    let mut z = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
