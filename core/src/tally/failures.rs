//! Failed logins: who has failed how often in a row, and how long the next claim is put off for it.
//!
//! ```text
//!   failures    0 … failures_max − 1      failures_max      + 1      + 2   …
//!   delay             none               delay_ms_min       × 2      × 4   …  delay_ms_max
//! ```
//! Three rows count: the address (guesses at many accounts), the account (guesses from many addresses), and both together. A claim is
//! put off *before* a backend is asked, whether it is right or not: who were let in at once with the right password could hang up on
//! every delay and lose nothing by it. An account that has come in from an address before is trusted there: only the two
//! together count then, so that neither a guesser elsewhere nor a neighbour can hold up those who belong there.
//! Invariant: at most `LOGIN_ENTRIES_MAX` rows; a success ends the rows of all three.
//!
//! Rule: MySQL's plugin `connection_control`, which knows accounts with their hosts alone, and delays them evenly.

use super::Origin;
use crate::limits::{LOGIN_ENTRIES_MAX, LOGIN_FAILURES_KEPT_MS, LOGIN_NAME_BYTES_MAX, LOGINS_HELD_PER_ADDRESS_MAX};
use crate::time::Instant;
use std::collections::BTreeMap;

/// As set by operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginSettings {
    /// Failures in a row before the next login is put off; 0: none ever is.
    pub failures_max: u32,
    pub delay_ms_min: u64,
    pub delay_ms_max: u64,
}

impl Default for LoginSettings {
    fn default() -> LoginSettings {
        LoginSettings { failures_max: 0, delay_ms_min: 1_000, delay_ms_max: 10_000 }
    }
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Now,
    /// Later; answered with `released`. `is_first`: nobody was told of this row of failures yet.
    After {
        ms: u64,
        failures: u32,
        is_first: bool,
    },
    /// As many of this address as may be put off are so already.
    Refused {
        ms: u64,
    },
}

// A tree: names are the clients' own, and no choice of them makes it slow.
#[derive(Debug, Default)]
pub struct Failures {
    rows: BTreeMap<Who, Row>,
    held: BTreeMap<Origin, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Account(Box<[u8]>),
    Address(Origin),
    Both(Box<[u8]>, Origin),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    at: Instant,
    /// `Both`: it has come in from there.
    is_trusted: bool,
    is_told: bool,
}

impl Failures {
    /// A claim of `user`'s password from `origin` is about to be put to a backend.
    pub fn admit(&mut self, now: Instant, user: &[u8], origin: Origin, settings: &LoginSettings) -> Admission {
        let Some((worst, failures)) = self.worst(now, user, origin) else { return Admission::Now };
        let Some(beyond) = failures.checked_sub(settings.failures_max) else { return Admission::Now };
        let ms = settings.delay_ms_min.saturating_mul(1 << beyond.min(40)).min(settings.delay_ms_max);
        if ms == 0 {
            return Admission::Now;
        }
        let held = self.held.entry(origin).or_default();
        if *held >= LOGINS_HELD_PER_ADDRESS_MAX && origin != Origin::Local {
            return Admission::Refused { ms };
        }
        *held += 1;
        let is_first = self.rows.get_mut(&worst).is_some_and(|row| !std::mem::replace(&mut row.is_told, true));
        Admission::After { ms, failures, is_first }
    }

    /// One that was put off goes on now, or has gone.
    pub fn released(&mut self, origin: Origin) {
        if let Some(held) = self.held.get_mut(&origin) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&origin);
            }
        }
    }

    pub fn failed(&mut self, now: Instant, user: &[u8], origin: Origin) {
        for who in [Some(Who::Account(name(user))), address_of(origin), Some(Who::Both(name(user), origin))] {
            let Some(who) = who else { continue };
            let row = self.rows.entry(who).or_insert(Row { failures: 0, at: now, is_trusted: false, is_told: false });
            if !row.is_recent(now) {
                (row.failures, row.is_told) = (0, false);
            }
            row.failures = row.failures.saturating_add(1);
            row.at = now;
        }
        self.make_room();
    }

    pub fn succeeded(&mut self, now: Instant, user: &[u8], origin: Origin) {
        self.rows.remove(&Who::Account(name(user)));
        address_of(origin).and_then(|who| self.rows.remove(&who));
        let row = Row { failures: 0, at: now, is_trusted: true, is_told: false };
        self.rows.insert(Who::Both(name(user), origin), row);
        self.make_room();
    }

    /// The longest row that counts for it.
    fn worst(&self, now: Instant, user: &[u8], origin: Origin) -> Option<(Who, u32)> {
        let both = Who::Both(name(user), origin);
        let is_trusted = self.rows.get(&both).is_some_and(|row| row.is_trusted);
        let others = [Some(Who::Account(name(user))), address_of(origin)].into_iter().flatten();
        let counted = std::iter::once(both).chain(others.filter(|_| !is_trusted));
        let failures = |who: &Who| self.rows.get(who).filter(|row| row.is_recent(now)).map_or(0, |row| row.failures);
        counted.map(|who| (failures(&who), who)).max().filter(|(row, _)| *row > 0).map(|(row, who)| (who, row))
    }

    /// The half that was touched longest ago goes when there are too many.
    fn make_room(&mut self) {
        if self.rows.len() <= LOGIN_ENTRIES_MAX {
            return;
        }
        let mut ages: Vec<Instant> = self.rows.values().map(|row| row.at).collect();
        let (_, middle, _) = ages.select_nth_unstable(LOGIN_ENTRIES_MAX / 2);
        let middle = *middle;
        self.rows.retain(|_, row| row.at > middle);
    }
}

impl Row {
    fn is_recent(&self, now: Instant) -> bool {
        self.at.plus_ms(LOGIN_FAILURES_KEPT_MS) > now
    }
}

fn name(user: &[u8]) -> Box<[u8]> {
    user[..user.len().min(LOGIN_NAME_BYTES_MAX)].into()
}

/// Who comes by a Unix socket has none: all of the machine would be held up for one of its users.
fn address_of(origin: Origin) -> Option<Who> {
    (origin != Origin::Local).then_some(Who::Address(origin))
}

#[cfg(test)]
mod tests;
