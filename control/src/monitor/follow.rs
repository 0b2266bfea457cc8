//! The follow: which transaction an agent lets the server wait for next, so that it learns of every new one at once and
//! asks nothing while nothing happens.
//!
//! `WAIT_FOR_EXECUTED_GTID_SET` waits for named transactions, not for "any". So the follow guesses: the next number of the
//! source that grew last. It guesses wrong in two cases, and then takes short turns for as long as something happens:
//! - **several live sources** (multi-source replication, tags, a group's members): turns of [`TURN_MS`] while more than
//!   one of them has grown within [`LIVE_MS`];
//! - **holes** (appliers that commit out of order): a hole that has just appeared is waited for in the same short turns,
//!   until it is filled or has stood for [`HOLE_MS`]; from then on it is a skipped transaction and costs nothing.
//!
//! Considered and left: a binlog dump as a hint. It needs `REPLICATION SLAVE`, sends every row a second time, exists only
//! with `log_replica_updates`, and shows a transaction before its rows are visible, so the set has to be asked for anyway.

use super::dialect::Dialect;
use std::sync::Arc;
use weir_net::gtid::{GtidSet, Sid};

#[derive(Debug)]
pub struct Follow {
    executed: Arc<GtidSet>,
    /// Those that have grown, the last one first, with the time.
    live: Vec<(Sid, u64)>,
    /// Whom to wait for until somebody has grown.
    aim: Option<Sid>,
    /// When the aimed source's number of intervals last changed, while it has a hole.
    hole_ms: Option<u64>,
}

/// What the server is asked: to wait for this transaction, at most so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub sid: Sid,
    pub number: u64,
    pub wait_ms: u64,
}

impl Follow {
    pub fn new(executed: Arc<GtidSet>, aim: Option<[u8; 16]>) -> Follow {
        Follow { executed, live: Vec::new(), aim: aim.map(Sid::of), hole_ms: None }
    }

    pub fn executed(&self) -> &Arc<GtidSet> {
        &self.executed
    }

    /// True if the set is another one than before.
    pub fn handle_executed(&mut self, now_ms: u64, executed: GtidSet) -> bool {
        if executed == *self.executed {
            return false;
        }
        let mut grown = executed.clone();
        grown.subtract(&self.executed);
        let mut sids: Vec<&Sid> = grown.iter().map(|(sid, ..)| sid).collect();
        sids.dedup();
        for sid in sids {
            self.live.retain(|(known, _)| known != sid);
            self.live.insert(0, (sid.clone(), now_ms));
            let before = intervals(&self.executed, sid);
            match intervals(&executed, sid) {
                0 | 1 => self.hole_ms = None,
                now if now != before => self.hole_ms = Some(now_ms),
                _ => {}
            }
        }
        self.live.truncate(LIVE_MAX);
        self.executed = Arc::new(executed);
        true
    }

    /// None: there is nobody to wait for.
    pub fn question(&mut self, now_ms: u64) -> Option<Question> {
        let is_past = |then: u64, limit: u64| now_ms.saturating_sub(then) > limit;
        // The last one stays: it is the best guess.
        let live = self.live.iter().filter(|(_, grown)| !is_past(*grown, LIVE_MS)).count();
        self.live.truncate(live.max(1));
        self.hole_ms = self.hole_ms.filter(|since| !is_past(*since, HOLE_MS));
        let sid = self.live.first().map(|(sid, _)| sid.clone()).or_else(|| self.aim.clone())?;
        let mut spans = self.executed.iter().filter(|(known, ..)| **known == sid).map(|(_, first, last)| (first, last));
        let (mut before_hole, mut end) = (None, 0);
        if let Some((_, last)) = spans.next() {
            end = last;
            for (_, last) in spans {
                (before_hole, end) = (Some(end), last);
            }
        }
        let hole = before_hole.filter(|_| self.hole_ms.is_some());
        let wait_ms = if hole.is_some() || self.live.len() > 1 { TURN_MS } else { WAIT_MS };
        Some(Question { sid, number: hole.unwrap_or(end) + 1, wait_ms })
    }
}

impl Question {
    /// Two statements: in one, the variable would be read before the wait. The set is read when the wait is over, from
    /// the server's own account of what has been committed, so it never names what a reader can't see yet.
    pub fn sql(&self, dialect: Dialect) -> String {
        let mut next = GtidSet::new();
        next.add(self.sid.clone(), self.number, self.number);
        let seconds = self.wait_ms as f64 / 1_000.0;
        format!("SELECT {}('{next}', {seconds:.3}); {}", dialect.wait(), dialect.ask())
    }
}

fn intervals(set: &GtidSet, sid: &Sid) -> usize {
    set.iter().filter(|(known, ..)| *known == sid).count()
}

/// A turn while the next transaction may be one of several.
const TURN_MS: u64 = 2;

/// A wait while nothing happens: once a second the connection proves that it lives, and a wrong guess ends.
pub const WAIT_MS: u64 = 1_000;

/// A source that has not grown for this long is quiet.
const LIVE_MS: u64 = 3_000;

/// A hole of this age is not about to be filled.
const HOLE_MS: u64 = 1_000;

/// Sources that are told apart; with more alive at once the turns are the same.
const LIVE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";
    const B: &str = "3aecbfe0-e779-11f1-be4c-02fc00000002";

    fn set(text: &str) -> GtidSet {
        GtidSet::parse(text.as_bytes()).unwrap()
    }

    fn uuid(text: &str) -> [u8; 16] {
        set(&format!("{text}:1")).iter().next().unwrap().0.uuid
    }

    fn asked(follow: &mut Follow, now_ms: u64) -> String {
        let sql = follow.question(now_ms).unwrap().sql(Dialect::Replica);
        sql.replace(&format!("; {}", Dialect::Replica.ask()), "")
    }

    fn wait(gtid: &str, seconds: &str) -> String {
        format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{gtid}', {seconds})")
    }

    #[test]
    fn it_waits_for_the_next_of_the_source_that_grew_last() {
        let mut follow = Follow::new(Arc::new(set(&format!("{A}:1-48,{B}:1-3"))), Some(uuid(A)));
        assert_eq!(asked(&mut follow, 0), wait(&format!("{A}:49"), "1.000"));
        assert!(!follow.handle_executed(5, set(&format!("{A}:1-48,{B}:1-3"))));
        assert!(follow.handle_executed(9, set(&format!("{A}:1-48,{B}:1-4:tag:1"))));
        // Two that have just grown, a tag is one of its own: short turns until one is quiet.
        assert_eq!(follow.question(10).unwrap().wait_ms, TURN_MS);
        assert!(follow.handle_executed(2_000, set(&format!("{A}:1-48,{B}:1-4:tag:1-2"))));
        assert_eq!(asked(&mut follow, 9 + LIVE_MS + 1), wait(&format!("{B}:tag:3"), "1.000"));
    }

    #[test]
    fn it_waits_for_a_fresh_hole_in_short_turns_and_forgets_an_old_one() {
        let mut follow = Follow::new(Arc::new(set(&format!("{A}:1-5:7-10"))), Some(uuid(A)));
        assert_eq!(asked(&mut follow, 0), wait(&format!("{A}:11"), "1.000"), "a hole from before");
        follow.handle_executed(100, set(&format!("{A}:1-5:7-10:12-13")));
        assert_eq!(asked(&mut follow, 100), wait(&format!("{A}:11"), "0.002"));
        follow.handle_executed(101, set(&format!("{A}:1-5:7-13")));
        follow.handle_executed(150, set(&format!("{A}:1-5:7-13:15")));
        assert_eq!(asked(&mut follow, 151), wait(&format!("{A}:14"), "0.002"));
        assert_eq!(asked(&mut follow, 151 + HOLE_MS), wait(&format!("{A}:16"), "1.000"));
    }

    #[test]
    fn nobody_is_waited_for_where_there_is_no_one() {
        assert_eq!(Follow::new(Arc::default(), None).question(0), None);
        let mut empty = Follow::new(Arc::default(), Some(uuid(A)));
        assert_eq!(asked(&mut empty, 0), wait(&format!("{A}:1"), "1.000"));
    }
}
