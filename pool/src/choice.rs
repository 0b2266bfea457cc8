//! The choice among replicas: pure functions, with the randomness as an argument.
//!
//! Invariant: a candidate of weight 0 is never chosen; the answer depends on the arguments alone.

/// A backend that may serve the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub backend: u16,
    /// Its part of the load, relative to the others'.
    pub weight: u32,
    /// Requests of this core that it has under way, or that wait for it.
    pub outstanding: u32,
}

/// One by weight. `random` is uniform over all values.
pub fn weighted_random(candidates: &[Candidate], random: u64) -> Option<u16> {
    let drawn = draw(candidates, None, random)?;
    Some(candidates[drawn].backend)
}

/// Two different ones by weight, then the one with less under way for its weight; the first draw when they are equal.
///
/// The shares still follow the weights: what is compared is `outstanding / weight`, so replicas that answer equally
/// fast are in balance exactly when their loads are as their weights, and then every choice is the first draw, which is
/// by weight. Comparing `outstanding` alone would give a replica of weight 1 as much as one of weight 9, and adding the
/// request to be placed (`outstanding + 1`) would starve the lighter one while there is little load.
pub fn two_choices(candidates: &[Candidate], random: u64) -> Option<u16> {
    let first = draw(candidates, None, random)?;
    let Some(second) = draw(candidates, Some(first), scramble(random)) else {
        return Some(candidates[first].backend);
    };
    let (a, b) = (&candidates[first], &candidates[second]);
    let load_a = u64::from(a.outstanding) * u64::from(b.weight);
    let load_b = u64::from(b.outstanding) * u64::from(a.weight);
    Some(if load_b < load_a { b.backend } else { a.backend })
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
