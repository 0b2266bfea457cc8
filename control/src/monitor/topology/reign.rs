//! The reign: who is primary, where no controllers decide it, as a mandate for the cores.
//!
//! ```text
//!   nobody ──► A (epoch 1) ── A is seen, and not as primary ──► nobody (2) ──► B (3)
//!                     └────── A is not seen, B is primary ────────────────────► B (2)
//! ```
//! Invariant: its epochs are this gate's own and grow with each change, so that cores cut the connections of the one before and
//! tell clients of their transactions (S73). Who is only not seen stays: perhaps it is we who are cut off.

use weir_core::snapshot::{BackendId, Mandate};

#[derive(Debug, Default)]
pub struct Reign {
    epoch: u64,
    holder: Option<(BackendId, Option<[u8; 16]>)>,
}

impl Reign {
    /// `primary`: by all evidence, with the uuid of what it writes. `is_seen`: whether a backend answers at all.
    pub fn handle(&mut self, primary: Option<(BackendId, Option<[u8; 16]>)>, is_seen: impl Fn(BackendId) -> bool) {
        let next = match (primary, self.holder) {
            (Some(primary), _) => Some(primary),
            (None, Some((before, _))) if is_seen(before) => None,
            (None, before) => before,
        };
        let holder = |of: Option<(BackendId, _)>| of.map(|(backend, _)| backend);
        if holder(next) != holder(self.holder) {
            self.epoch += 1;
        }
        self.holder = next;
    }

    pub fn mandate(&self) -> Mandate {
        Mandate {
            epoch: self.epoch,
            holder: self.holder.map(|(backend, _)| backend),
            uuid: self.holder.and_then(|(_, uuid)| uuid),
            ..Mandate::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_seen_stays_and_who_is_seen_otherwise_goes() {
        let (a, b) = ((BackendId(0), None), (BackendId(1), None));
        let mut reign = Reign::default();
        let mut check = |primary, a_is_seen: bool, expected: (u64, Option<u16>)| {
            reign.handle(primary, |_| a_is_seen);
            let mandate = reign.mandate();
            assert_eq!((mandate.epoch, mandate.holder.map(|backend| backend.0)), expected);
        };
        check(None, false, (0, None));
        check(Some(a), true, (1, Some(0)));
        check(Some(a), true, (1, Some(0)));
        check(None, false, (1, Some(0)));
        check(Some(a), true, (1, Some(0)));
        check(None, true, (2, None));
        check(None, true, (2, None));
        check(Some(a), true, (3, Some(0)));
        check(Some(b), false, (4, Some(1)));
    }
}
