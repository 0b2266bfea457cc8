//! One line of the log: JSON, with fields in a fixed order.

use super::event::QueryEvent;
use super::redact::BYTES_MAX;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether literals and parameters may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    Redacted,
    Shown,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, with milliseconds.
    time: f64,
    core: u16,
    connection_id: u32,
    user: &'a str,
    schema: &'a str,
    statement: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a [Option<String>]>,
    /// How many parameters there were.
    param_count: usize,
    backend: &'a str,
    route: &'a str,
    wait_us: u64,
    backend_us: u64,
    total_us: u64,
    rows: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<u16>,
    in_transaction: bool,
    slow: bool,
    /// Of how many like it this one stands for; 1 for a slow one.
    sampled_from: u32,
    /// Events that were lost since the line before.
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
}

/// What a line says beside its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    pub at: SystemTime,
    pub is_slow: bool,
    pub sampled_from: u32,
    pub dropped: u64,
}

/// Ends with a newline and holds no other.
pub fn write(event: &QueryEvent, literals: Literals, beside: Beside) -> String {
    let statement = match literals {
        Literals::Redacted => weir_planner::redact(&event.statement, &event.facts, BYTES_MAX),
        Literals::Shown => {
            let cut = event.statement.get(..BYTES_MAX).unwrap_or(&event.statement);
            let mark = if event.is_cut || cut.len() < event.statement.len() { "…" } else { "" };
            format!("{}{mark}", String::from_utf8_lossy(cut))
        }
    };
    let since = beside.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = Line {
        time: since.as_millis() as f64 / 1_000.0,
        core: event.core,
        connection_id: event.connection_id,
        user: &event.user,
        schema: &event.schema,
        statement: &statement,
        params: (literals == Literals::Shown && !event.params.is_empty()).then_some(event.params.as_slice()),
        param_count: event.params.len(),
        backend: &event.backend,
        route: event.route,
        wait_us: event.wait_us,
        backend_us: event.backend_us,
        total_us: event.total_us(),
        rows: event.rows,
        bytes: event.bytes,
        error: event.error,
        in_transaction: event.in_transaction,
        slow: beside.is_slow,
        sampled_from: beside.sampled_from,
        dropped: beside.dropped,
    };
    // Numbers and texts: there is nothing in it that JSON can't hold.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
