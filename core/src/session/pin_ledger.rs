//! How often each account's sessions were pinned, by reason: what a team looks at to find what keeps connections from being shared.
//!
//! Invariant: bounded; accounts beyond the bound are counted together. What ends with the next statement is not counted.

use crate::session::pins::Reasons;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct PinLedger {
    /// By user and reason's words.
    times: BTreeMap<(Box<str>, &'static str), u64>,
}

impl PinLedger {
    /// A session of this user has these reasons, which it had not before.
    pub fn note(&mut self, user: &str, reasons: Reasons) {
        for reason in reasons.without(Reasons::SOFT).words() {
            let is_full = self.times.len() >= ENTRIES_MAX && !self.times.contains_key(&(user.into(), reason));
            let user = if is_full { OTHERS } else { user };
            *self.times.entry((user.into(), reason)).or_default() += 1;
        }
    }

    /// User, reason, times.
    pub fn each(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.times.iter().map(|((user, reason), times)| (&**user, *reason, *times))
    }
}

/// Pairs of user and reason that are counted apart.
const ENTRIES_MAX: usize = 1000;
const OTHERS: &str = "(others)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_counted_apart_up_to_a_bound() {
        let mut ledger = PinLedger::default();
        ledger.note("a", Reasons(Reasons::CALL.0 | Reasons::SOFT.0));
        ledger.note("a", Reasons::CALL);
        assert_eq!(ledger.each().collect::<Vec<_>>().len(), 1);
        assert_eq!(ledger.each().next().map(|(user, _, times)| (user, times)), Some(("a", 2)));
        for n in 0..2 * ENTRIES_MAX {
            ledger.note(&n.to_string(), Reasons::XA);
        }
        assert!(ledger.each().count() <= ENTRIES_MAX + 1);
        assert!(ledger.each().any(|(user, _, times)| user == OTHERS && times > 1));
    }
}
