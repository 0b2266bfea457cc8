//! Round numbers, 1, 2 or 5 times a power of ten, and how a tick writes a number.
//!
//! Invariant: a number that is round already is its own neighbour, whatever rounding did to its last bit.

/// The largest round number that is not above this one, which is positive.
pub fn nice_below(value: f64) -> f64 {
    let (power, head) = parts(value);
    let head = [5, 2, 1].into_iter().find(|round| f64::from(*round) <= head * NEAR).unwrap_or(1);
    times(head, power)
}

/// The smallest round number that is not below this one, which is positive.
pub fn nice_above(value: f64) -> f64 {
    let (power, head) = parts(value);
    let head = [1, 2, 5].into_iter().find(|round| f64::from(*round) * NEAR >= head).unwrap_or(10);
    times(head, power)
}

/// A power of ten, and how many times it the number is: from 1 to 10.
fn parts(value: f64) -> (i32, f64) {
    let power = (value * NEAR).log10().floor() as i32;
    (power, value / 10f64.powi(power))
}

/// Divided by a power of ten rather than multiplied by a fraction, as 0.1 is not a sum of halves.
fn times(head: i32, power: i32) -> f64 {
    match power < 0 {
        true => f64::from(head) / 10f64.powi(-power),
        false => f64::from(head) * 10f64.powi(power),
    }
}

/// `12,000`, `0.05`: as many decimals as it has, six at most.
pub fn grouped(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, decimals) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{out}.{decimals}"),
        None => out,
    }
}

const NEAR: f64 = 1.0 + 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        for (value, below, above) in [
            (1.0, 1.0, 1.0),
            (3.0, 2.0, 5.0),
            (7.0, 5.0, 10.0),
            (0.3, 0.2, 0.5),
            (0.1 + 0.2, 0.2, 0.5),
            (0.05, 0.05, 0.05),
            (2000.0, 2000.0, 2000.0),
            (99_999.0, 50_000.0, 100_000.0),
            (0.000_9, 0.000_5, 0.001),
        ] {
            assert_eq!((nice_below(value), nice_above(value)), (below, above), "{value}");
        }
    }

    #[test]
    fn texts() {
        for (value, expected) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (99.99, "99.99"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_234_567.5, "1,234,567.5"),
            (3.0 * 0.1, "0.3"),
        ] {
            assert_eq!(grouped(value), expected);
        }
    }
}
