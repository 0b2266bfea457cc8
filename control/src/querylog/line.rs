//! One line of the log: JSON, with fields in a fixed order.

use super::redact::BYTES_MAX;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_core::querylog::QueryEvent;
use weir_planner::Facts;

/// Whether literals and parameters may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    Redacted,
    Shown,
    /// Whatever the setting: it may hold a password.
    Hidden,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, with milliseconds.
    time: f64,
    core: u16,
    connection_id: u32,
    user: &'a str,
    schema: &'a str,
    command: &'a str,
    statement: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a [Option<String>]>,
    /// How many parameters there were.
    param_count: u16,
    backend: &'a str,
    route: &'a str,
    reason: &'a str,
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
    pub sampled_from: u32,
    pub dropped: u64,
}

/// Ends with a newline and holds no other.
pub fn write(event: &QueryEvent, literals: Literals, beside: Beside) -> String {
    let literals = if may_hold_password(&event.statement) { Literals::Hidden } else { literals };
    let cut = event.statement.get(..BYTES_MAX).unwrap_or(&event.statement);
    let is_cut = event.is_cut || cut.len() < event.statement.len();
    let shown = match literals {
        Literals::Hidden => {
            // In double quotes it may be a name for us and a password for who wrote it.
            let facts = Facts { ansi_quotes: false, ..event.facts };
            weir_planner::redact(cut, &facts, BYTES_MAX)
        }
        Literals::Redacted => weir_planner::redact(cut, &event.facts, BYTES_MAX),
        Literals::Shown => String::from_utf8_lossy(cut).into_owned(),
    };
    let statement = if is_cut && !shown.ends_with('…') { format!("{shown}…") } else { shown };
    let since = beside.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = Line {
        time: since.as_millis() as f64 / 1_000.0,
        core: event.core,
        connection_id: event.connection_id,
        user: &event.user,
        schema: &event.schema,
        command: event.command,
        statement: &statement,
        params: (literals == Literals::Shown && !event.params.is_empty()).then_some(event.params.as_slice()),
        param_count: event.param_count,
        backend: &event.backend,
        route: event.route,
        reason: event.reason,
        wait_us: event.wait_us,
        backend_us: event.backend_us,
        total_us: event.total_us(),
        rows: event.rows,
        bytes: event.bytes,
        error: event.error,
        in_transaction: event.in_transaction,
        slow: event.is_slow,
        sampled_from: beside.sampled_from,
        dropped: beside.dropped,
    };
    // Numbers and texts: there is nothing in it that JSON can't hold.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// Any statement in which a password may stand says one of these words: `CREATE USER … IDENTIFIED BY`, `SET PASSWORD`,
/// `SOURCE_PASSWORD`, `OPTIONS (PASSWORD …)`, also inside of a text that is to be prepared.
pub fn may_hold_password(statement: &[u8]) -> bool {
    let holds = |word: &[u8]| statement.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    holds(b"identified") || holds(b"password")
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
