//! `SHOW WEIR FILTERS`: each filter with what it has counted since the gate's start, and who runs and waits by it now.

use super::Shown;
use crate::filters::{Entry, Filters};
use std::sync::Arc;

pub fn table(filters: Option<&Filters>) -> Shown {
    let entries = filters.map_or(&[][..], |filters| &filters.entries);
    Shown { columns: COLUMNS.to_vec(), rows: entries.iter().map(row).collect(), note: None }
}

fn row(entry: &Arc<Entry>) -> Vec<String> {
    let value = |key: &str| entry.rule.filter.value(key).to_string();
    let mut row = vec![entry.rule.filter.name.to_string(), value("priority"), value("status"), value("action")];
    row.extend(entry.counts.each().map(|(_, count, _)| count.to_string()));
    row.extend([entry.usage.running(), entry.usage.waiting()].map(|now| now.to_string()));
    row.extend(entry.copies.each().map(|(_, count, _)| count.to_string()));
    row.push(entry.copies.under_way().to_string());
    row
}

const COLUMNS: [&str; 17] = [
    "name",
    "priority",
    "status",
    "action",
    "matched",
    "failed",
    "queued",
    "rejected",
    "rewritten",
    "running",
    "waiting",
    "mirrored",
    "mirror_failed",
    "mirror_dropped",
    "mirror_unfit",
    "mirror_ms",
    "mirroring",
];
