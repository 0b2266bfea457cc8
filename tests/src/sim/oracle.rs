//! The oracle: it sees both ends of everything and says when something happened that never may.
//!
//! ```text
//!   client: "I am sending w3x17, my state is …" ─► expected ─┐
//!   server: "w3x17 runs here, under state …"    ─► ran ──────┴─► equal, once, on the transaction's connection
//!   client: "w3x17 was answered …"              ─► ledger fates ─► counted at the end
//! ```
//! Invariant: the first violation is kept; the world stops at it. It changes nothing in the world.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::sim::oracle::horizon::Horizons;
use crate::sim::server::session::Session;

pub mod horizon;

/// The name of one statement of one client: every text that a client sends and every answer carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub client: u32,
    pub n: u32,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}x{}", self.client, self.n)
    }
}

impl Tag {
    /// The first tag in a text.
    pub fn find(text: &str) -> Option<Tag> {
        text.match_indices('w').find_map(|(at, _)| {
            let rest = &text[at + 1..];
            let (client, rest) = leading_number(rest)?;
            let (n, _) = leading_number(rest.strip_prefix('x')?)?;
            Some(Tag { client, n })
        })
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..len].parse().ok()?, &text[len..]))
}

/// User variables that have a value: one that is NULL is as one that was never set.
pub fn with_values(all: &BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    all.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
}

/// What a client knows about its session as it sends a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub user: String,
    pub schema: Option<String>,
    pub variables: BTreeMap<&'static str, String>,
    /// Those with a value.
    pub user_variables: BTreeMap<String, String>,
    pub temporary: BTreeSet<String>,
    pub locks: BTreeSet<String>,
    /// None: an error has left it open.
    pub in_transaction: Option<bool>,
    /// A plain read outside a transaction: it may run more than once.
    pub repeatable: bool,
    /// Statements of one transaction share a number.
    pub transaction: Option<u64>,
}

/// What became of a row that a client put into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer yet, or one that leaves it open: at most once.
    Unknown,
    /// Exactly once.
    Acknowledged,
    /// The answer says that it did not happen: never.
    Refused,
}

#[derive(Debug, Default)]
pub struct Oracle {
    violation: Option<String>,
    expected: BTreeMap<Tag, Expected>,
    runs: BTreeMap<Tag, u32>,
    homes: BTreeMap<u64, (usize, u32)>,
    fates: BTreeMap<i64, Fate>,
    committed: BTreeMap<i64, u32>,
    connections: BTreeMap<usize, u32>,
    /// By core and server.
    messengers: BTreeSet<(usize, usize)>,
    /// Connections that each server may see.
    pub budget: Option<u32>,
    /// Faults or tight limits make errors of the gate's own legitimate.
    pub errors_excused: bool,
    /// Connections break without their server's knowing, so that a client may wait for itself.
    pub locks_linger: bool,
    pub horizons: Horizons,
    /// Figures for the tests of the simulator itself.
    pub counts: Counts,
}

/// What a run did, so that tests can see that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub statements: u64,
    pub on_replicas: u64,
    pub errors: u64,
    pub logins: u64,
    pub lost: u64,
    pub commits: u64,
    /// Reads on replicas that were held against their promise, by level.
    pub judged: [u64; 4],
}

/// Bytes of a violation's words: a wrong result may be long.
const TEXT_MAX: usize = 1000;

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.statements += other.statements;
        self.on_replicas += other.on_replicas;
        self.errors += other.errors;
        self.logins += other.logins;
        self.lost += other.lost;
        self.commits += other.commits;
        self.judged.iter_mut().zip(other.judged).for_each(|(all, judged)| *all += judged);
    }
}

impl Oracle {
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub fn violate(&mut self, what: impl Into<String>) {
        let mut what = what.into();
        what.truncate(what.floor_char_boundary(TEXT_MAX));
        self.violation.get_or_insert(what);
    }

    /// A client sends a statement.
    pub fn sends(&mut self, tag: Tag, expected: Expected) {
        self.expected.insert(tag, expected);
    }

    /// A server is about to run a statement.
    pub fn ran(&mut self, tag: Tag, (server, conn): (usize, u32), replica: bool, writes: bool, session: &Session) {
        self.counts.statements += 1;
        self.counts.on_replicas += u64::from(replica);
        let Some(expected) = self.expected.get(&tag) else {
            return self.violate(format!("server {server} runs {tag}, which nobody sent"));
        };
        let seen = session.as_expected(expected);
        if seen != *expected {
            let what = difference(expected, &seen);
            return self
                .violate(format!("{tag} runs under another state (server {server}, connection {conn}): {what}"));
        }
        if replica && writes {
            return self.violate(format!("the write {tag} reached replica {server}"));
        }
        let (repeatable, transaction) = (expected.repeatable, expected.transaction);
        let runs = self.runs.entry(tag).or_default();
        *runs += 1;
        let runs = *runs;
        if runs > 1 && !repeatable {
            return self.violate(format!("{tag} runs for the {runs}. time (server {server}, connection {conn})"));
        }
        if let Some(number) = transaction {
            if runs > 1 {
                self.homes.remove(&number);
            }
            let home = *self.homes.entry(number).or_insert((server, conn));
            if home != (server, conn) {
                self.violate(format!("the transaction of {tag} is split: {home:?} and {:?}", (server, conn)));
            }
        }
    }

    /// A server has run it before.
    pub fn has_run(&self, tag: Tag) -> bool {
        self.runs.get(&tag).is_some_and(|runs| *runs > 0)
    }

    /// A server has refused a statement before it did anything: it may be sent again.
    pub fn refused_before_running(&mut self, tag: Tag) {
        if let Some(runs) = self.runs.get_mut(&tag) {
            *runs -= 1;
        }
    }

    /// The primary commits a row of the ledger.
    pub fn commits(&mut self, id: i64) {
        self.counts.commits += 1;
        let count = self.committed.entry(id).or_default();
        *count += 1;
        if *count > 1 {
            let count = *count;
            self.violate(format!("ledger row {id} is there {count} times"));
        }
    }

    /// A client learns what became of its ledger row, or puts one in.
    pub fn fate(&mut self, id: i64, fate: Fate) {
        let known = self.fates.insert(id, fate);
        assert!(known.is_none_or(|known| known == Fate::Unknown), "a fate is learnt once");
    }

    pub fn connected(&mut self, server: usize) {
        let count = self.connections.entry(server).or_default();
        *count += 1;
        let count = *count;
        if self.budget.is_some_and(|budget| count > budget) {
            self.violate(format!("server {server} has {count} connections, the budget is {:?}", self.budget));
        }
    }

    /// One beyond the budget, for a kill.
    pub fn messenger_sent(&mut self, core: usize, server: usize) {
        if !self.messengers.insert((core, server)) {
            self.violate(format!("core {core} has two messengers at server {server}"));
        }
    }

    pub fn messenger_back(&mut self, core: usize, server: usize) {
        assert!(self.messengers.remove(&(core, server)), "a messenger ends once");
    }

    pub fn disconnected(&mut self, server: usize) {
        let count = self.connections.entry(server).or_default();
        assert!(*count > 0, "a connection ends once");
        *count -= 1;
    }

    /// Everything has come to rest: what was promised must be there.
    pub fn check_ledger(&mut self) {
        for (id, fate) in &self.fates {
            let count = self.committed.get(id).copied().unwrap_or(0);
            let right = match fate {
                Fate::Unknown => count <= 1,
                Fate::Acknowledged => count == 1,
                Fate::Refused => count == 0,
            };
            if !right {
                let what = format!("ledger row {id} is {fate:?} for its client and is there {count} times");
                self.violation.get_or_insert(what);
                return;
            }
        }
        if let Some(id) = self.committed.keys().find(|id| !self.fates.contains_key(id)) {
            let what = format!("ledger row {id} was put in by nobody");
            self.violation.get_or_insert(what);
        }
    }
}

fn difference(expected: &Expected, seen: &Expected) -> String {
    let mut all = Vec::new();
    let mut tell = |name: &str, expected: &dyn fmt::Debug, seen: &dyn fmt::Debug| {
        let (expected, seen) = (format!("{expected:?}"), format!("{seen:?}"));
        if expected != seen {
            all.push(format!("{name} should be {expected} and is {seen}"));
        }
    };
    tell("user", &expected.user, &seen.user);
    tell("schema", &expected.schema, &seen.schema);
    tell("user variables", &expected.user_variables, &seen.user_variables);
    tell("temporary tables", &expected.temporary, &seen.temporary);
    tell("locks", &expected.locks, &seen.locks);
    tell("in a transaction", &expected.in_transaction, &seen.in_transaction);
    for (name, value) in &expected.variables {
        tell(name, &Some(value), &seen.variables.get(name));
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found() {
        assert_eq!(Tag::find("SELECT 'w3x17'"), Some(Tag { client: 3, n: 17 }));
        assert_eq!(Tag::find("/* was w12x1*/ww"), Some(Tag { client: 12, n: 1 }));
        assert_eq!(Tag::find("wx w1 w1x"), None);
    }

    #[test]
    fn fates_are_counted() {
        let check = |fate: Fate, commits: usize| {
            let mut oracle = Oracle::default();
            oracle.fate(1, fate);
            (0..commits).for_each(|_| oracle.commits(1));
            oracle.check_ledger();
            oracle.violation().is_none()
        };
        assert!(check(Fate::Unknown, 0) && check(Fate::Unknown, 1) && !check(Fate::Unknown, 2));
        assert!(!check(Fate::Acknowledged, 0) && check(Fate::Acknowledged, 1));
        assert!(check(Fate::Refused, 0) && !check(Fate::Refused, 1));
    }
}
