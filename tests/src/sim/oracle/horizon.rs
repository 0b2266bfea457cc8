//! The horizons: how much of the log each read has to show at its level, and how much it did (S60 to S66).
//!
//! ```text
//!   a read is sent ──► floors: what its session knew, what any client was told, all that was committed
//!   a server runs it ──► shown: the prefix of the log that it had
//!   it is answered ──► level + floors against what was shown, and against the session's floor by now
//! ```
//! Invariant: floors are taken as the read is sent, and a write counts for others once its answer has reached its client:
//! both are the latest moments that could be meant, so nothing is asked for that was not promised.
//! EVENTUAL promises nothing, and what it shows obliges nobody.

use std::collections::BTreeMap;

use weir_core::snapshot::Consistency;

use crate::sim::oracle::{Oracle, Tag};

/// What was there as a read was sent, as lengths of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// The session's own writes that were answered, and what its reads have shown.
    pub session: usize,
    /// Writes of which any client of this gate was told.
    pub told: usize,
    /// Everything, also what never went through a gate.
    pub committed: usize,
}

/// The promise that a read was made: its own, or that of the transaction that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    pub level: Consistency,
    pub floors: Floors,
}

impl Default for Promise {
    fn default() -> Promise {
        Promise { level: Consistency::Eventual, floors: Floors::default() }
    }
}

/// Where a statement has run: the shortest and the longest prefix of the log, if more than once.
#[derive(Clone, Copy, Debug)]
struct Shown {
    low: usize,
    high: usize,
    on_replica: bool,
}

#[derive(Debug, Default)]
pub struct Horizons {
    commits: BTreeMap<Tag, usize>,
    shown: BTreeMap<Tag, Shown>,
    told: usize,
}

impl Horizons {
    /// The primary commits for this statement: its place in the log.
    pub fn committed(&mut self, tag: Tag, at: usize) {
        self.commits.insert(tag, at);
    }

    /// A server runs a statement with this much of the log.
    pub fn ran(&mut self, tag: Tag, at: usize, on_replica: bool) {
        let shown = self.shown.entry(tag).or_insert(Shown { low: at, high: at, on_replica });
        shown.low = shown.low.min(at);
        shown.high = shown.high.max(at);
        shown.on_replica &= on_replica;
    }

    /// A client is told that its statement has succeeded: what of it is in the log.
    pub fn tell(&mut self, tag: Tag) -> usize {
        let at = self.commits.get(&tag).copied().unwrap_or(0);
        self.told = self.told.max(at);
        at
    }

    pub fn floors(&self, session: usize, committed: usize) -> Floors {
        Floors { session, told: self.told, committed }
    }
}

impl Oracle {
    /// A read is answered. `said`: the length of the log in its own words, if it asked for that. Returns what the session
    /// has seen by it.
    pub fn read(&mut self, tag: Tag, promise: &Promise, said: Option<usize>) -> usize {
        let Some(shown) = self.horizons.shown.get(&tag).copied() else { return 0 };
        let Promise { level, floors } = *promise;
        if shown.on_replica {
            self.counts.judged[level as usize] += 1;
        }
        let high = said.unwrap_or(shown.high);
        let promised = match level {
            Consistency::Eventual => return 0,
            Consistency::Session => &[(floors.session, SESSION)][..],
            Consistency::Instance => &[(floors.session, SESSION), (floors.told, INSTANCE)],
            Consistency::Global => &[(floors.session, SESSION), (floors.told, INSTANCE), (floors.committed, GLOBAL)],
        };
        if let Some((floor, whose)) = promised.iter().find(|(floor, _)| high < *floor) {
            self.violate(format!("the read {tag} at {level:?} shows {high} transactions, but {floor} {whose}"));
        }
        said.unwrap_or(shown.low)
    }
}

const SESSION: &str = "were seen or written by its session";
const INSTANCE: &str = "were told to clients of its gate";
const GLOBAL: &str = "were committed before it began";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_held_against_its_own_floor() {
        let check = |level: Consistency, shown: usize| {
            let mut oracle = Oracle::default();
            let tag = Tag { client: 1, n: 1 };
            oracle.horizons.ran(tag, shown, true);
            let floors = Floors { session: 2, told: 4, committed: 6 };
            let seen = oracle.read(tag, &Promise { level, floors }, None);
            let words = oracle.violation().unwrap_or_default().to_string();
            (seen, words.rsplit_once(", but ").map(|(_, why)| why.to_string()))
        };
        let fault = |floor: usize, whose: &str| Some(format!("{floor} {whose}"));
        assert_eq!(check(Consistency::Eventual, 0), (0, None));
        assert_eq!(check(Consistency::Session, 1).1, fault(2, SESSION));
        assert_eq!(check(Consistency::Session, 2), (2, None));
        assert_eq!(check(Consistency::Instance, 1).1, fault(2, SESSION));
        assert_eq!(check(Consistency::Instance, 3).1, fault(4, INSTANCE));
        assert_eq!(check(Consistency::Instance, 4), (4, None));
        assert_eq!(check(Consistency::Global, 3).1, fault(4, INSTANCE));
        assert_eq!(check(Consistency::Global, 5).1, fault(6, GLOBAL));
        assert_eq!(check(Consistency::Global, 7), (7, None));
    }

    #[test]
    fn of_several_runs_the_best_is_judged_and_the_worst_is_seen() {
        let mut oracle = Oracle::default();
        let tag = Tag { client: 1, n: 1 };
        oracle.horizons.ran(tag, 9, true);
        oracle.horizons.ran(tag, 3, false);
        let floors = Floors { session: 5, ..Floors::default() };
        assert_eq!(oracle.read(tag, &Promise { level: Consistency::Session, floors }, None), 3);
        assert_eq!((oracle.violation(), oracle.counts.judged), (None, [0; 4]));
        assert_eq!(oracle.read(tag, &Promise { level: Consistency::Session, floors }, Some(4)), 4);
        assert!(oracle.violation().is_some_and(|words| words.contains("shows 4")));
    }

    #[test]
    fn a_write_counts_for_others_once_its_client_was_told() {
        let mut horizons = Horizons::default();
        let tag = Tag { client: 1, n: 1 };
        horizons.committed(tag, 5);
        assert_eq!(horizons.floors(1, 6), Floors { session: 1, told: 0, committed: 6 });
        assert_eq!(horizons.tell(tag), 5);
        assert_eq!(horizons.floors(1, 6).told, 5);
        assert_eq!(horizons.tell(Tag { client: 1, n: 2 }), 0);
    }
}
