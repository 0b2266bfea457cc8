//! Spans: one traced statement in OpenTelemetry's words.
//!
//! ```text
//!   server   SELECT orders ├────────────────────────────────────────┤   what the gate made of the statement
//!   internal weir.wait       ├──────────┤                               for a connection, when none was there at once
//!   client   SELECT orders                 ├─────────────────────┤      at the backend, as sent for the last time
//! ```
//! Invariant: spans nest, and what is neither wait nor backend is the gate's own time. No literal, parameter or comment is in them: a text
//! is shown as its digest, and beyond it there are names of schemas, tables and backends, and numbers.
//!
//! Source: OpenTelemetry's semantic conventions 1.33, "Database client spans" (stable); keys of our own begin with `weir.`.

use super::Told;
use super::proto::any_value::Value;
use super::proto::{
    AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, Span,
    SpanKind, Status, StatusCode,
};
use crate::querylog::line::may_hold_password;
use std::time::UNIX_EPOCH;
use weir_core::snapshot::Address;
use weir_core::time::Instant;
use weir_core::trace::{self, Times};
use weir_planner::Facts;

/// Of a gate that listens there.
pub fn resource(gate: &str) -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Resource {
        attributes: vec![
            text("service.name", "weir"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            // The same after a restart, and another one's for each gate.
            text("service.instance.id", format!("{host}/{gate}")),
            text("host.name", host),
        ],
    }
}

pub fn request(resource: &Resource, batch: Vec<Told>) -> ExportTraceServiceRequest {
    let spans = batch.iter().flat_map(spans_of).collect();
    let scope = InstrumentationScope { name: "weir".to_string(), version: env!("CARGO_PKG_VERSION").to_string() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_string() }];
    let resource = Some(resource.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: SCHEMA.to_string() }],
    }
}

fn spans_of(told: &Told) -> Vec<Span> {
    let span = &*told.span;
    let [began, waits, waited, sent, ended] = moments(&span.times).map(|at| unix_ns(told, at));
    let said = Said::of(span);
    let own = Span {
        trace_id: span.ids.trace.to_vec(),
        span_id: span.ids.span.to_vec(),
        trace_state: span.draft.trace_state.as_deref().unwrap_or_default().to_string(),
        parent_span_id: span.ids.parent.map(|id| id.to_vec()).unwrap_or_default(),
        name: said.name(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: ended,
        attributes: said.attributes(span).into_iter().chain(of_gate(span)).collect(),
        status: status(span.error),
        flags: SAMPLED | span.ids.parent.map_or(0, |_| IS_REMOTE_KNOWN | IS_REMOTE),
    };
    let child = |number: u64, kind: SpanKind, name: String, start: u64, end: u64| Span {
        trace_id: own.trace_id.clone(),
        trace_state: own.trace_state.clone(),
        span_id: u64::from_be_bytes(span.ids.span).wrapping_add(number).max(1).to_be_bytes().to_vec(),
        parent_span_id: own.span_id.clone(),
        name,
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        flags: SAMPLED | IS_REMOTE_KNOWN,
        ..Span::default()
    };
    let mut all = Vec::with_capacity(3);
    if waited > waits {
        all.push(child(1, SpanKind::Internal, "weir.wait".to_string(), waits, waited));
    }
    if let (Some(server), Some(_)) = (&span.backend, span.times.sent) {
        let mut backend = child(2, SpanKind::Client, said.name(), sent, ended);
        backend.attributes = said.attributes(span);
        backend.attributes.extend(of_server(&server.address));
        backend.attributes.push(text("weir.backend", &server.name));
        backend.status = status(span.error);
        all.push(backend);
    }
    all.insert(0, own);
    all
}

/// Began, began to wait, ended to wait, sent, ended: each not before the one before it.
fn moments(times: &Times) -> [Instant; 5] {
    let ended = times.ended.max(times.began);
    let sent = times.sent.unwrap_or(ended).clamp(times.began, ended);
    let waits = times.wait_from.clamp(times.began, sent);
    let waited = Instant(waits.0.saturating_add(times.wait_ns)).min(sent);
    [times.began, waits, waited, sent, ended]
}

fn unix_ns(told: &Told, at: Instant) -> u64 {
    let now = told.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    now.saturating_sub(told.clock.since_ns(at)).saturating_add(at.since_ns(told.clock))
}

/// What the statement's text says without its literals.
struct Said {
    system: &'static str,
    operation: Option<String>,
    /// The operation and its tables.
    summary: Option<String>,
    digest: String,
}

impl Said {
    fn of(span: &trace::Span) -> Said {
        let draft = &*span.draft;
        let is_secret = may_hold_password(&draft.statement);
        // In double quotes it may be a name for us and a password for who wrote it.
        let facts = Facts { ansi_quotes: draft.facts.ansi_quotes && !is_secret, ..draft.facts };
        let mut digest = weir_planner::digest(&draft.statement, &facts, DIGEST_BYTES_MAX);
        if draft.is_cut && !digest.ends_with('…') {
            digest.push('…');
        }
        let first = digest.split(' ').next().filter(|word| span.is_plain && is_word(word)).map(str::to_string);
        let summary = first.as_ref().map(|word| match is_secret || draft.is_cut {
            true => word.clone(),
            false => summary(word.clone(), &draft.statement, &facts),
        });
        let is_prepare = draft.command == "prepare";
        Said {
            system: if facts.is_mariadb() { "mariadb" } else { "mysql" },
            operation: if is_prepare { Some("PREPARE".to_string()) } else { first },
            summary: if is_prepare { summary.map(|rest| format!("PREPARE {rest}")) } else { summary },
            digest,
        }
    }

    fn name(&self) -> String {
        self.summary.as_ref().or(self.operation.as_ref()).map_or(self.system, String::as_str).to_string()
    }

    /// Those that a database's client gives.
    fn attributes(&self, span: &trace::Span) -> Vec<KeyValue> {
        let mut all = vec![text("db.system.name", self.system), text("db.query.text", &self.digest)];
        all.extend((!span.schema.is_empty()).then(|| text("db.namespace", &span.schema)));
        all.extend(self.operation.as_ref().map(|word| text("db.operation.name", word)));
        all.extend(self.summary.as_ref().map(|summary| text("db.query.summary", summary)));
        if let Some(code) = span.error {
            all.push(text("db.response.status_code", code.to_string()));
            all.push(text("error.type", code.to_string()));
        }
        all.push(number("db.response.returned_rows", span.rows));
        all
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// `SELECT orders customers`, by the planner's own reading; the operation alone where that does not know the tables.
fn summary(mut summary: String, statement: &[u8], facts: &Facts) -> String {
    let Ok(uses) = weir_planner::tables(statement, facts) else { return summary };
    let mut named: Vec<String> = Vec::new();
    for table in uses.tables {
        let schema = table.schema.map(|schema| format!("{schema}.")).unwrap_or_default();
        let name = format!("{schema}{}", table.name);
        let is_new = !named.contains(&name);
        if is_new && summary.len() + name.len() < SUMMARY_BYTES_MAX {
            summary.push(' ');
            summary.push_str(&name);
            named.push(name);
        }
    }
    summary
}

fn of_gate(span: &trace::Span) -> Vec<KeyValue> {
    let mut all = vec![
        text("weir.command", span.draft.command),
        text("weir.route", span.route),
        text("weir.reason", span.reason),
        number("weir.wait_us", span.times.wait_ns / 1_000),
        number("weir.connection_id", span.connection_id.into()),
        number("weir.core", span.core.into()),
        value("weir.in_transaction", Value::BoolValue(span.draft.in_transaction)),
    ];
    all.extend(span.backend.as_ref().map(|server| text("weir.backend", &server.name)));
    all
}

fn of_server(address: &Address) -> Vec<KeyValue> {
    match address {
        Address::Tcp(address) => {
            vec![text("server.address", address.ip().to_string()), number("server.port", address.port().into())]
        }
        Address::Unix(path) => vec![text("server.address", path.display().to_string())],
    }
}

/// Unset where there was no error, as the conventions want it.
fn status(error: Option<u16>) -> Option<Status> {
    let code = error?;
    Some(Status { message: format!("MySQL error {code}"), code: StatusCode::Error.into() })
}

fn text(key: &str, text: impl Into<String>) -> KeyValue {
    value(key, Value::StringValue(text.into()))
}

fn number(key: &str, number: u64) -> KeyValue {
    value(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_string(), value: Some(AnyValue { value: Some(value) }) }
}

/// Of the words that are used here.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.33.0";

/// As the digests of `SHOW WEIR DIGESTS`.
const DIGEST_BYTES_MAX: usize = weir_core::digest::TEXT_BYTES_MAX;

/// By the conventions.
const SUMMARY_BYTES_MAX: usize = 255;

const SAMPLED: u32 = 1;
const IS_REMOTE_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

#[cfg(test)]
pub mod tests;
