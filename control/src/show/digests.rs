//! The digests as a table, merged over all cores: what takes the most time stands first.

use super::row;
use crate::status::Picture;
use crate::utc;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use weir_core::digest::{Latency, Tally};
use weir_core::show::Shown;

/// One statement of the whole gate.
#[derive(Default)]
struct Line {
    tally: Tally,
    first_ago_ms: u64,
    last_ago_ms: u64,
    running: u32,
    waiting: u32,
}

pub fn table(picture: &Picture, now: SystemTime) -> Shown {
    let mut lines: BTreeMap<(&str, &str), Line> = BTreeMap::new();
    for report in picture.reports.iter().flat_map(|report| &report.digests) {
        let key = (report.schema.as_str(), report.text.as_str());
        let is_new = !lines.contains_key(&key);
        let line = lines.entry(key).or_default();
        line.tally.merge(&report.tally);
        // Each core tells of all of them, a moment apart.
        (line.running, line.waiting) = (report.running, report.waiting);
        line.first_ago_ms = line.first_ago_ms.max(report.first_ago_ms);
        line.last_ago_ms = if is_new { report.last_ago_ms } else { line.last_ago_ms.min(report.last_ago_ms) };
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.tally.total_us()));
    let ago = |ms: u64| utc::show(now.checked_sub(Duration::from_millis(ms)).unwrap_or(now));
    let rows = lines.into_iter().map(|((schema, text), line)| {
        let tally = &line.tally;
        let mut cells = row([
            &format!("{:016x}", fnv(text)),
            &schema,
            &text,
            &tally.count,
            &tally.errors,
            &tally.rows_sent,
            &tally.rows_affected,
            &tally.bytes,
            &(tally.on_replica * 100 / tally.count.max(1)),
            &tally.total_us(),
        ]);
        for latency in [&tally.gate, &tally.wait, &tally.backend] {
            cells.extend(percentiles(latency));
        }
        cells.extend([ago(line.first_ago_ms), ago(line.last_ago_ms)]);
        cells.extend([line.running, line.waiting].map(|now| now.to_string()));
        cells
    });
    Shown { columns: COLUMNS.to_vec(), rows: rows.collect(), note: None }
}

fn percentiles(latency: &Latency) -> impl Iterator<Item = String> {
    [500, 950, 990].map(|permille| latency.permille_us(permille).to_string()).into_iter()
}

/// FNV-1a: the same in every process and version, so that a digest can be looked for elsewhere.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

const COLUMNS: [&str; 23] = [
    "digest",
    "schema_name",
    "digest_text",
    "count",
    "errors",
    "rows_sent",
    "rows_affected",
    "bytes",
    "replica_percent",
    "total_time_us",
    "gate_p50_us",
    "gate_p95_us",
    "gate_p99_us",
    "wait_p50_us",
    "wait_p95_us",
    "wait_p99_us",
    "backend_p50_us",
    "backend_p95_us",
    "backend_p99_us",
    "first_seen",
    "last_seen",
    "running",
    "waiting",
];
