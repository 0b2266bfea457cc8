//! What one account may use of a gate, as `[[accounts]]` has it, and how long its statements and transactions may take.
//!
//! Invariant: an account without a row of its own has that of `"*"`, if there is one: each for itself, not all together.

use crate::session::overtime::TimeLimits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of one user, whatever its password and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Clients at a time; 0: no limit but the gate's.
    pub connections_max: u32,
    /// Statements at a time; 0: no limit.
    pub running_max: u32,
    /// Statements that may wait until fewer run; 0: none may.
    pub waiting_max: u32,
    /// How long one may wait; None: as long as for a connection.
    pub wait_ms_max: Option<u64>,
    /// Its turns in the lines for connections, relative to other accounts'.
    pub weight: u32,
    /// In the place of the gate's limits.
    pub statement_ms_max: Option<u64>,
    pub transaction_ms_max: Option<u64>,
    pub transaction_idle_ms_max: Option<u64>,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            connections_max: 0,
            running_max: 0,
            waiting_max: 1_000,
            wait_ms_max: None,
            weight: WEIGHT_USUAL,
            statement_ms_max: None,
            transaction_ms_max: None,
            transaction_idle_ms_max: None,
        }
    }
}

impl Allowance {
    pub fn times(&self, usual: TimeLimits) -> TimeLimits {
        TimeLimits {
            statement_ms_max: self.statement_ms_max.unwrap_or(usual.statement_ms_max),
            transaction_ms_max: self.transaction_ms_max.unwrap_or(usual.transaction_ms_max),
            transaction_idle_ms_max: self.transaction_idle_ms_max.unwrap_or(usual.transaction_idle_ms_max),
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowances {
    pub by_user: BTreeMap<Box<[u8]>, Arc<Allowance>>,
    /// Of `"*"`.
    pub others: Option<Arc<Allowance>>,
}

impl Allowances {
    pub fn of(&self, user: &[u8]) -> Option<&Arc<Allowance>> {
        self.by_user.get(user).or(self.others.as_ref())
    }

    pub fn is_empty(&self) -> bool {
        self.by_user.is_empty() && self.others.is_none()
    }
}

/// Of who has no row.
pub const WEIGHT_USUAL: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_its_own_is_stronger_than_the_stars() {
        let row = |running_max| Arc::new(Allowance { running_max, ..Allowance::default() });
        let mut all = Allowances { others: Some(row(1)), ..Allowances::default() };
        all.by_user.insert(b"app"[..].into(), row(2));
        assert_eq!(
            [&b"app"[..], b"App", b""].map(|user| all.of(user).map(|a| a.running_max)),
            [Some(2), Some(1), Some(1)]
        );
        all.others = None;
        assert_eq!(all.of(b"other"), None);
        let usual = TimeLimits { statement_ms_max: 5, ..TimeLimits::default() };
        let own = Allowance { statement_ms_max: Some(0), transaction_ms_max: Some(7), ..Allowance::default() };
        assert_eq!(own.times(usual), TimeLimits { transaction_ms_max: 7, ..TimeLimits::default() });
        assert_eq!(Allowance::default().times(usual), usual);
    }
}
