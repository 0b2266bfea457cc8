//! Runs the cases of `cases/*.txt` and throws broken texts at the planner.
//!
//! A line of a case file: `statement => Route Kind FLAG … ?ASK … [n=2] [reason=Name] [{assignments}] [<local answer>]`.
//! A statement that begins with `~` has escapes (`\n`, `\t`, `\\`, `\x5c`). `@ fact …` sets the facts for the lines below,
//! `@` alone resets them, `#` begins a comment. Flags, asks, assignments and the local answer are compared exactly.

use crate::{Asks, Charset, Effects, Facts, Local, Plan, SessionValue, plan};
use std::fmt::Write;

mod broken;
pub(crate) mod cases;

/// A plan in the words of the case files, without its reason.
fn shown(plan: &Plan) -> String {
    let mut out = format!("{:?} {:?}", plan.route, plan.kind);
    for name in plan.effects.names() {
        let _ = write!(out, " {name}");
    }
    for name in plan.asks.names() {
        let _ = write!(out, " ?{name}");
    }
    if plan.statements != 1 {
        let _ = write!(out, " n={}", plan.statements);
    }
    if let Some(hint) = plan.hint {
        let _ = write!(out, " hint={:?}/{:?}", hint.target, hint.consistency);
    }
    if !plan.assigns.is_empty() {
        let list: Vec<String> = plan
            .assigns
            .iter()
            .map(|a| {
                assert_eq!(a.literal, a.value.is_some());
                let value = a.value.as_ref().map_or("?".into(), |v| String::from_utf8_lossy(v));
                format!("{:?} {}={value}", a.scope, a.name)
            })
            .collect();
        let _ = write!(out, " {{{}}}", list.join("; "));
    }
    if let Some(pattern) = &plan.listing {
        let _ = write!(out, " listing={}", String::from_utf8_lossy(pattern));
    }
    if plan.dropped > 0 {
        let _ = write!(out, " dropped={}", plan.dropped);
    }
    for name in &plan.locks {
        let _ = write!(out, " lock={}", String::from_utf8_lossy(name));
    }
    for span in &plan.values {
        let value = match span.value {
            SessionValue::ConnectionId => "id",
            SessionValue::RowCount => "count",
        };
        let column = if span.names_column { "=column" } else { "" };
        let _ = write!(out, " {value}@{}..{}{column}", span.start, span.end);
    }
    if let Some(local) = &plan.local {
        let _ = write!(out, " <{}>", shown_local(local));
    }
    out
}

fn shown_local(local: &Local) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match local {
        Local::ExplainRoute(sql) => format!("route {}", text(sql)),
        Local::ShowWeir(words) => format!("weir {words}"),
        Local::FlushDigests => "flush digests".to_string(),
        Local::Kill { id, query_only } => format!("kill {id} {query_only}"),
        Local::ConnectionId { column } => format!("connection id as {}", text(column)),
        Local::RowCount { column } => format!("row count as {}", text(column)),
        Local::FoundRows { column } => format!("found rows as {}", text(column)),
        Local::ShowConditions { .. } => "conditions".to_string(),
        Local::SetGate(sets) => {
            let one = |s: &crate::plan::GateSet| format!("global={} {}={}", s.global, s.name, text(&s.value));
            format!("set {}", sets.iter().map(one).collect::<Vec<_>>().join("; "))
        }
        Local::ShowGate(shows) => {
            let one = |s: &crate::plan::GateShow| format!("global={} {} as {}", s.global, s.name, text(&s.column));
            format!("show {}", shows.iter().map(one).collect::<Vec<_>>().join("; "))
        }
        Local::Filter(read) => format!("filter {}", if read.is_ok() { "read" } else { "wrong" }),
        Local::ExplainFilter(sql) => format!("explain filter {}", text(sql)),
        Local::UseRole { schema, role } => format!("use {} {role:?}", text(schema)),
    }
}
