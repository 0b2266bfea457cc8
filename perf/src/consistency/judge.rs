//! The judgement of one read: the rows that came, beside what was known when it was sent.
//!
//! Invariant: it depends on its arguments alone. It judges by every bound; whether the level promises that bound is
//! asked afterwards, so that what a level does not promise is counted, too.

use super::level::Wrong;
use super::register::Register;
use crate::talk::Row;

/// What was known when the read was sent; `begun` when its answer had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// What the session itself had written, and had seen.
    pub own: u64,
    pub seen: u64,
    /// What was acknowledged through the session's gate, and anywhere.
    pub gate: u64,
    pub any: u64,
    /// What anybody had seen.
    pub seen_any: u64,
    /// Versions that may exist.
    pub begun: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The older one of a pair.
    pub version: u64,
    pub node: u64,
    pub wrong: Vec<Wrong>,
}

/// `None`: the rows are not those of a register.
pub fn judge(register: Register, rows: &[Row], bounds: &Bounds) -> Option<Judgement> {
    let first = rows.first().filter(|_| rows.len() == register.rows())?;
    let versions = || rows.iter().map(|row| row.version);
    let (oldest, newest) = (versions().min()?, versions().max()?);
    let one_node = rows.iter().all(|row| row.node == first.node);
    let holds = |wrong: &Wrong| match wrong {
        Wrong::StaleOwn => oldest < bounds.own,
        Wrong::StaleGate => oldest < bounds.gate,
        Wrong::StaleAny => oldest < bounds.any,
        Wrong::Back => oldest < bounds.seen,
        Wrong::Inverted => oldest < bounds.seen_any,
        Wrong::Torn => oldest != newest || !one_node,
        Wrong::Impossible => newest > bounds.begun,
    };
    Some(Judgement { version: oldest, node: first.node, wrong: Wrong::ALL.into_iter().filter(holds).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_told_apart() {
        let good = Bounds { own: 5, seen: 5, gate: 5, any: 5, seen_any: 5, begun: 5 };
        let row = |version| Row { version, node: 2 };
        for (bounds, expected) in [
            (good, vec![]),
            (Bounds { own: 6, ..good }, vec![Wrong::StaleOwn]),
            (Bounds { seen: 6, ..good }, vec![Wrong::Back]),
            (Bounds { gate: 6, any: 7, ..good }, vec![Wrong::StaleGate, Wrong::StaleAny]),
            (Bounds { seen_any: 6, ..good }, vec![Wrong::Inverted]),
            (Bounds { begun: 4, ..good }, vec![Wrong::Impossible]),
        ] {
            let judgement = judge(Register::Own(1), &[row(5)], &bounds).unwrap();
            assert_eq!(judgement, Judgement { version: 5, node: 2, wrong: expected });
        }
        let pair = |rows: &[Row]| judge(Register::Pair(0), rows, &Bounds { begun: 5, ..Bounds::default() });
        assert_eq!(pair(&[row(5), row(5)]).unwrap().wrong, []);
        assert_eq!(pair(&[row(5), row(4)]).unwrap().wrong, [Wrong::Torn]);
        assert_eq!(pair(&[row(5), Row { version: 5, node: 1 }]).unwrap().wrong, [Wrong::Torn]);
        assert_eq!((pair(&[row(5)]), judge(Register::Own(0), &[], &good)), (None, None));
    }
}
