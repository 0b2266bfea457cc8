//! Who answered what: each server asked directly, past the gate, once a second.
//!
//! The numbers are the server's own count of the shop account's statements (`performance_schema`, by user), so what
//! the gate itself asks, and what this module asks, is not among them.

use std::sync::atomic::AtomicBool;

use super::session::Session;
use super::shop;
use crate::lab::Cluster;

/// One server's second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub address: String,
    /// `None` while it doesn't answer.
    pub facts: Option<Facts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub is_read_only: bool,
    /// Since the last look.
    pub reads: u64,
    pub writes: u64,
    /// Connections of the shop's account.
    pub connections: u64,
    /// From the commit on the primary to the end of its application here, of the last transaction; `None` where none
    /// was applied.
    pub lag_us: Option<u64>,
}

/// Counters since a server's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Totals {
    reads: u64,
    writes: u64,
}

pub struct Watch {
    nodes: Vec<(Option<Session>, Option<Totals>)>,
    never: AtomicBool,
}

impl Watch {
    pub fn start(cluster: &Cluster) -> Watch {
        let mut watch =
            Watch { nodes: cluster.nodes().iter().map(|_| (None, None)).collect(), never: AtomicBool::new(false) };
        // The first look sets the totals that the next one is compared with.
        watch.look(cluster);
        watch
    }

    pub fn look(&mut self, cluster: &Cluster) -> Vec<Sight> {
        let mut sights = Vec::with_capacity(self.nodes.len());
        for (node, (session, totals)) in cluster.nodes().iter().zip(&mut self.nodes) {
            let mut row = None;
            // A server that ended is not asked: the answer could only come late.
            if node.is_running() {
                if session.is_none() {
                    let opened = Session::open(cluster.mysql(), &node.root_login(), "performance_schema");
                    (*session, *totals) = (opened.ok(), None);
                }
                let answer = session.as_mut().and_then(|session| session.ask(&question(), 1, &self.never).ok());
                row = answer.and_then(|lines| parse(lines.first()?));
            }
            if row.is_none() {
                (*session, *totals) = (None, None);
            }
            let facts = row.map(|(mut facts, now)| {
                let before = totals.replace(now).unwrap_or(now);
                facts.reads = now.reads.saturating_sub(before.reads);
                facts.writes = now.writes.saturating_sub(before.writes);
                facts
            });
            sights.push(Sight { address: node.address(), facts });
        }
        sights
    }
}

fn question() -> String {
    let user = shop::USER;
    let count = |events: &str| {
        format!(
            "(SELECT COALESCE(SUM(COUNT_STAR), 0) FROM events_statements_summary_by_user_by_event_name \
             WHERE USER='{user}' AND EVENT_NAME IN ({events}))"
        )
    };
    let reads = count("'statement/sql/select'");
    let writes = count("'statement/sql/insert','statement/sql/update','statement/sql/delete'");
    format!(
        "SELECT @@GLOBAL.read_only, {reads}, {writes}, \
         (SELECT COUNT(*) FROM threads WHERE PROCESSLIST_USER='{user}'), \
         (SELECT TIMESTAMPDIFF(MICROSECOND, LAST_APPLIED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP, \
          LAST_APPLIED_TRANSACTION_END_APPLY_TIMESTAMP) FROM replication_applier_status_by_worker \
          WHERE LAST_APPLIED_TRANSACTION <> '' ORDER BY LAST_APPLIED_TRANSACTION_END_APPLY_TIMESTAMP DESC LIMIT 1);"
    )
}

fn parse(line: &str) -> Option<(Facts, Totals)> {
    let mut fields = line.split('\t');
    let is_read_only = fields.next()? == "1";
    let mut number = || fields.next()?.parse::<u64>().ok();
    let totals = Totals { reads: number()?, writes: number()? };
    let connections = number()?;
    // Clocks of one machine can still go back: then there is no lag to tell.
    let lag_us = fields.next()?.parse().ok();
    Some((Facts { is_read_only, reads: 0, writes: 0, connections, lag_us }, totals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_facts_and_totals() {
        let (facts, totals) = parse("1\t1234\t56\t4\t890").unwrap();
        assert_eq!(totals, Totals { reads: 1234, writes: 56 });
        assert_eq!((facts.is_read_only, facts.connections, facts.lag_us), (true, 4, Some(890)));
        let (facts, _) = parse("0\t1\t2\t3\tNULL").unwrap();
        assert_eq!((facts.is_read_only, facts.lag_us), (false, None));
        assert!(parse("0\t1").is_none() && parse("").is_none());
    }
}
