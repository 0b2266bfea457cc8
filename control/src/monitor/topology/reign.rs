//! The reign: who is primary, where no controllers decide it, as a mandate for the cores.
//!
//! ```text
//!   nobody ──► A (epoch 1) ── A is seen, and not as primary, for GRACE_MS ──► nobody (2) ──► B (3)
//!                     └────── B is primary, whatever A says ─────────────────────────────► B (2)
//! ```
//! Invariant: its epochs are this gate's own and grow with each change, so that cores cut the connections of the one before and
//! tell clients of their transactions (S73). Who is only not seen stays: perhaps it is we who are cut off. Nobody begins anything on
//! one that is seen as no primary; what runs there has a moment to end, committed or refused, so that nothing is left in doubt.

use weir_core::snapshot::{BackendId, Mandate};

#[derive(Debug, Default)]
pub struct Reign {
    epoch: u64,
    holder: Option<(BackendId, Option<[u8; 16]>)>,
    /// Since when it is seen, and not as primary.
    vacant_since_ms: Option<u64>,
}

impl Reign {
    /// `primary`: by all evidence, with the uuid of what it writes. `is_seen`: whether a backend answers at all.
    pub fn handle(
        &mut self,
        now_ms: u64,
        primary: Option<(BackendId, Option<[u8; 16]>)>,
        is_seen: impl Fn(BackendId) -> bool,
    ) {
        let is_vacant = primary.is_none() && self.holder.is_some_and(|(before, _)| is_seen(before));
        self.vacant_since_ms = is_vacant.then(|| self.vacant_since_ms.unwrap_or(now_ms));
        let next = match (primary, self.vacant_since_ms) {
            (Some(primary), _) => Some(primary),
            (None, Some(since)) if now_ms >= since + GRACE_MS => None,
            (None, _) => self.holder,
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

/// Statements that take longer than that are cut off.
const GRACE_MS: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_seen_stays_and_who_is_seen_otherwise_goes() {
        let (a, b) = ((BackendId(0), None), (BackendId(1), None));
        let mut reign = Reign::default();
        let mut check = |now_ms, primary, a_is_seen: bool, expected: (u64, Option<u16>)| {
            reign.handle(now_ms, primary, |_| a_is_seen);
            let mandate = reign.mandate();
            assert_eq!((mandate.epoch, mandate.holder.map(|backend| backend.0)), expected);
        };
        check(0, None, false, (0, None));
        check(1, Some(a), true, (1, Some(0)));
        check(2, None, false, (1, Some(0)));
        check(9_000, None, false, (1, Some(0)));
        check(9_000, None, true, (1, Some(0)));
        check(9_200, Some(a), true, (1, Some(0)));
        check(9_300, None, true, (1, Some(0)));
        check(9_600, None, true, (2, None));
        check(9_900, None, true, (2, None));
        check(9_900, Some(a), true, (3, Some(0)));
        check(9_901, None, true, (3, Some(0)));
        check(9_902, Some(b), true, (4, Some(1)));
    }
}
