//! The tally: what the cores of a gate count together, for limits that hold for the gate as a whole.
//!
//! ```text
//!   failures   logins that failed, by account and by address      looked at by each claim of a password, while that limit is on
//!   rates      connections that came, in all and by address       by each accept, while that limit is on
//!   usage      clients and statements of each account with one    by each login and statement of those
//!   forms      statements of one normal form that run             by each statement, while digest_running_max is set
//! ```
//! Invariant: nothing here is touched for a limit that is off, and no lock is held beyond one look or one note.
//!
//! Beside the board it is the only memory that cores share. A limit that were divided among them would refuse a client on one core
//! while another has room, and a guesser would have as many first tries as there are cores.

pub mod failures;
pub mod forms;
pub mod rates;
pub mod usage;

use failures::Failures;
use forms::Forms;
use rates::Rates;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use usage::Usage;

#[derive(Debug, Default)]
pub struct Tally {
    failures: Mutex<Failures>,
    rates: Mutex<Rates>,
    usage: Mutex<BTreeMap<Box<[u8]>, Arc<Usage>>>,
    forms: Mutex<Forms>,
    audit_stuck: AtomicBool,
}

impl Tally {
    pub fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The audit log cannot be written now; said by its writer.
    pub fn is_audit_stuck(&self) -> bool {
        self.audit_stuck.load(Ordering::Relaxed)
    }

    pub fn set_audit_stuck(&self, is_stuck: bool) {
        self.audit_stuck.store(is_stuck, Ordering::Relaxed);
    }

    /// Of this user. Those that nobody has any more are forgotten, when there are many.
    pub fn usage(&self, user: &[u8]) -> Arc<Usage> {
        let mut all = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = all.get(user) {
            return usage.clone();
        }
        if all.len() >= USAGES_SWEPT && all.len().is_power_of_two() {
            all.retain(|_, usage| Arc::strong_count(usage) > 1);
        }
        all.entry(user.into()).or_default().clone()
    }
}

/// Where a client comes from, as far as limits tell clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    V4(u32),
    /// The first 64 bits: who has one address has them all.
    V6(u64),
    /// A Unix socket: no address at all.
    Local,
}

impl Origin {
    /// `None` for a Unix socket.
    pub fn of(address: Option<IpAddr>) -> Origin {
        match address.map(|address| address.to_canonical()) {
            None => Origin::Local,
            Some(IpAddr::V4(address)) => Origin::V4(u32::from(address)),
            Some(IpAddr::V6(address)) => Origin::V6((u128::from(address) >> 64) as u64),
        }
    }
}

/// Below it a map of users that are gone costs less than a look through it.
const USAGES_SWEPT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_network_are_one_origin() {
        let of = |text: &str| Origin::of(Some(text.parse().unwrap()));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(Origin::of(None), Origin::Local);
    }
}
