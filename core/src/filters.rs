//! The filters that hold: an immutable set of one version, with what is counted of each and its queue.
//!
//! Invariant: the entries stand in the order in which they are looked at: by priority, then by name. What is counted and who waits
//! outlives a set: the next one takes over both by the filter's name, so that an `ALTER` loses nothing.
//!
//! Counters and queues are shared by all cores, as in the tally: a limit that were divided among them would hold back a statement on one
//! core while another may run more. Nothing here is touched while there are no filters.

use crate::mirror::Copies;
use crate::tally::usage::Usage;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use weir_planner::filter::{Action, Filter, Rule, Status};

#[derive(Clone, Debug)]
pub struct Filters {
    /// Verdicts are remembered for one version.
    pub version: u64,
    pub entries: Arc<[Arc<Entry>]>,
}

#[derive(Debug)]
pub struct Entry {
    pub rule: Rule,
    pub counts: Arc<Counts>,
    /// Of its statements, when they are limited.
    pub usage: Arc<Usage>,
    /// Of its statements, when they are mirrored.
    pub copies: Arc<Copies>,
}

/// What became of the statements that matched.
#[derive(Debug, Default)]
pub struct Counts {
    pub matched: AtomicU64,
    /// Refused by `FAIL`.
    pub failed: AtomicU64,
    /// Had to wait for their turn.
    pub queued: AtomicU64,
    /// Refused by `CONCURRENCY_CONTROL`: the queue was full, or the wait too long.
    pub rejected: AtomicU64,
    pub rewritten: AtomicU64,
}

impl Counts {
    pub fn add(count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
    }

    /// Name, value and explanation.
    pub fn each(&self) -> [(&'static str, u64, &'static str); 5] {
        let value = |count: &AtomicU64| count.load(Relaxed);
        [
            ("matched", value(&self.matched), "Statements that a filter matched."),
            ("failed", value(&self.failed), "Statements that a filter refused (FAIL, or a rewriting that cannot be)."),
            ("queued", value(&self.queued), "Statements that waited for their turn at a filter (CONCURRENCY_CONTROL)."),
            (
                "rejected",
                value(&self.rejected),
                "Statements that found a filter's queue full, or waited too long in it.",
            ),
            ("rewritten", value(&self.rewritten), "Statements that a filter rewrote."),
        ]
    }
}

impl Filters {
    /// The set that follows `former`. Err: one of them means nothing, as a sentence.
    pub fn following(former: Option<&Filters>, filters: &[Filter]) -> Result<Filters, String> {
        let before = |name: &str| former.and_then(|former| former.find(name));
        let mut entries = Vec::with_capacity(filters.len());
        for filter in filters {
            let known = before(&filter.name);
            // Expressions take long to compile.
            let rule = match known.filter(|known| known.rule.filter == *filter) {
                Some(known) => known.rule.clone(),
                None => Rule::of(filter).map_err(|why| format!("the filter '{}': {why}", filter.name))?,
            };
            let counts = known.map_or_else(Arc::default, |entry| entry.counts.clone());
            let usage = known.map_or_else(Arc::default, |entry| entry.usage.clone());
            let copies = known.map_or_else(Arc::default, |entry| entry.copies.clone());
            copies.set_wanted(matches!(rule.action, Action::Mirror(_)) && rule.status == Status::Active);
            usage.set_running_max(match &rule.action {
                Action::Concurrency(limit) => limit.running_max,
                // Whoever waits still may run.
                Action::Continue | Action::Fail | Action::Rewrite(_) | Action::Mirror(_) => 0,
            });
            entries.push(Arc::new(Entry { rule, counts, usage, copies }));
        }
        entries.sort_by(|a, b| (a.rule.priority, &a.rule.filter.name).cmp(&(b.rule.priority, &b.rule.filter.name)));
        let filters = Filters { version: former.map_or(1, |former| former.version + 1), entries: entries.into() };
        let gone = former.into_iter().flat_map(|former| former.entries.iter());
        for entry in gone.filter(|entry| filters.find(&entry.rule.filter.name).is_none()) {
            entry.usage.set_running_max(0);
            entry.copies.set_wanted(false);
        }
        Ok(filters)
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| *entry.rule.filter.name == *name)
    }

    pub fn filters(&self) -> Vec<Filter> {
        self.entries.iter().map(|entry| entry.rule.filter.clone()).collect()
    }
}

/// Filters of one gate: each statement that the plan cache does not know is held against all of them.
pub const FILTERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(name: &str, priority: u32, execute: &str) -> Filter {
        let sql = format!("CREATE FILTER {name} (priority='{priority}') WITH_PATTERN () EXECUTE ({execute})");
        Filter::read_all(&sql).unwrap().remove(0)
    }

    #[test]
    fn sets_are_in_order_and_keep_what_was_counted() {
        let limit = "action='CONCURRENCY_CONTROL', action_args='max_concurrency=2; max_queue_size=5'";
        let all = [filter("c", 5, "action='FAIL'"), filter("b", 5, limit), filter("a", 90, "action='CONTINUE'")];
        let first = Filters::following(None, &all).unwrap();
        let names = |of: &Filters| of.entries.iter().map(|e| e.rule.filter.name.to_string()).collect::<Vec<_>>();
        assert_eq!((names(&first), first.version), (vec!["b".into(), "c".into(), "a".into()], 1));
        Counts::add(&first.find("b").unwrap().counts.matched);
        let usage = first.find("b").unwrap().usage.clone();
        assert!(usage.begin() && usage.begin() && !usage.begin());
        let second = Filters::following(Some(&first), &all[1..]).unwrap();
        assert_eq!((names(&second), second.version), (vec!["b".into(), "a".into()], 2));
        assert_eq!(second.find("b").unwrap().counts.each()[0].1, 1);
        assert!(!second.find("b").unwrap().usage.begin());
        // Nobody waits for one that is gone.
        Filters::following(Some(&second), &[]).unwrap();
        assert!(usage.begin());
    }
}
