//! The screen of `weir top` as lines of text: what it says, in which order, cut to a terminal's size.
//!
//! Invariant: pure, and without a control character in any line: names, notes and statements come from others.

use super::ask::{Answer, Digest};
use super::since::Since;
use crate::ctl::{duration, short_lag, short_time};
use crate::status::{BackendStatus, GateStatus};
use std::cmp::Reverse;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub address: &'a str,
    pub before: &'a Answer,
    pub now: &'a Answer,
    /// Why what is shown is old.
    pub trouble: Option<&'a str>,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub backends: BackendOrder,
    pub digests: DigestOrder,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendOrder {
    /// The primary first, then by name.
    #[default]
    Role,
    Rate,
    Lag,
    Leased,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestOrder {
    #[default]
    Time,
    Count,
    Errors,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// Of the whole screen.
    Title,
    /// Of a table.
    Head,
    Trouble,
}

impl Order {
    /// Another key than these changes nothing.
    pub fn with_key(self, key: u8) -> Order {
        let backends = |backends| Order { backends, ..self };
        let digests = |digests| Order { digests, ..self };
        match key {
            b'n' => backends(BackendOrder::Role),
            b'r' => backends(BackendOrder::Rate),
            b'l' => backends(BackendOrder::Lag),
            b'c' => backends(BackendOrder::Leased),
            b't' => digests(DigestOrder::Time),
            b'o' => digests(DigestOrder::Count),
            b'e' => digests(DigestOrder::Errors),
            _ => self,
        }
    }
}

impl View<'_> {
    /// All of it, as wide and as long as it is.
    pub fn lines(&self) -> Vec<Line> {
        let since = Since::new(&self.before.status, &self.now.status);
        let mut lines = self.summary(&since);
        lines.extend(self.backends(&since));
        lines.extend(self.pins());
        lines.extend(self.events());
        lines.extend(self.digests());
        lines
    }

    fn status(&self) -> &GateStatus {
        &self.now.status
    }

    fn summary(&self, since: &Since<'_>) -> Vec<Line> {
        let status = self.status();
        let state = match (status.draining, status.ready) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "not ready",
        };
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        let per = |names: &[&str]| rate(since.per_second(names));
        let mut lines = vec![
            line(
                Style::Title,
                format!(
                    "weir {} at {}: {state}, up {}, {} cores, clients come in at {}",
                    status.version,
                    self.address,
                    duration(status.uptime_ms),
                    status.cores,
                    status.listen.join(" ")
                ),
            ),
            line(
                Style::Plain,
                format!(
                    "statements {}/s: primary {}, replicas {}, the gate itself {}; errors of its own {}/s, of backends {}/s",
                    per(&["commands"]),
                    per(&["commands_primary"]),
                    per(&["commands_replica"]),
                    per(&["commands_local"]),
                    per(&["commands_refused", "waits_failed"]),
                    per(&["errors_answered"]),
                ),
            ),
            line(
                Style::Plain,
                format!(
                    "clients {} of {}; waiting {}, of them for a primary {}; pinned {}; connections {} open, {} leased; \
                     logins refused {}",
                    counter("clients_open"),
                    status.clients_max,
                    counter("waiting"),
                    counter("buffering"),
                    counter("sessions_pinned"),
                    counter("connections_open"),
                    counter("connections_leased"),
                    counter("logins_refused"),
                ),
            ),
            line(Style::Plain, percentiles(since)),
        ];
        lines.extend(self.troubles().into_iter().map(|text| line(Style::Trouble, text)));
        lines
    }

    fn troubles(&self) -> Vec<String> {
        let status = self.status();
        let mut all: Vec<String> = self.trouble.map(ToString::to_string).into_iter().collect();
        if !status.cores_silent.is_empty() {
            let cores: Vec<String> = status.cores_silent.iter().map(u32::to_string).collect();
            all.push(format!("no answer in time from core {}: its numbers are missing", cores.join(", ")));
        }
        if !status.backends.iter().any(|backend| backend.role == "primary" && backend.health == "up") {
            all.push("no primary: writes wait, then fail".to_string());
        }
        if let Some(cluster) = status.cluster.as_ref().filter(|cluster| !cluster.why.is_empty()) {
            all.push(format!("no controller answers, the last word holds: {}", cluster.why));
        }
        all
    }

    fn backends(&self, since: &Since<'_>) -> Vec<Line> {
        let status = self.status();
        let pool = |backend: &BackendStatus| {
            status.pools.iter().filter(|pool| pool.backend == backend.name).fold([0; 4], |sum, pool| {
                let each = [pool.leased, pool.idle, pool.quota, pool.waiting];
                std::array::from_fn(|at| sum[at] + u64::from(each[at]))
            })
        };
        let mut all: Vec<_> = status.backends.iter().map(|backend| (backend, pool(backend))).collect();
        let per_second = |backend: &BackendStatus| since.commands_per_second(&backend.name);
        all.sort_by_key(|(backend, _)| (backend.role != "primary", backend.name.clone()));
        match self.order.backends {
            BackendOrder::Role => {}
            BackendOrder::Rate => all.sort_by_key(|(backend, _)| Reverse(per_second(backend).map(|rate| rate as u64))),
            // Unknown is worse than any number.
            BackendOrder::Lag => {
                all.sort_by_key(|(b, _)| Reverse((b.role == "replica", b.lag_ms.map_or(u64::MAX, u64::from))));
            }
            BackendOrder::Leased => all.sort_by_key(|(_, [leased, ..])| Reverse(*leased)),
        }
        let rows = all.into_iter().map(|(backend, numbers)| {
            let mut row = vec![
                backend.name.clone(),
                backend.role.clone(),
                backend.health.clone(),
                short_lag(&backend.role, backend.lag_ms.map(u64::from)),
                format!("{:.1}%", f64::from(backend.read_share_permille) / 10.0),
                rate(per_second(backend)),
            ];
            row.extend(numbers.map(|number| number.to_string()));
            row.push(backend.note.clone());
            row
        });
        let heads =
            ["BACKEND", "ROLE", "HEALTH", ">LAG", ">READS", ">STMTS/S", ">LEASED", ">IDLE", ">LIMIT", ">WAIT", "NOTE"];
        table(&heads, rows.collect())
    }

    fn pins(&self) -> Vec<Line> {
        let rows = self.status().pins.iter().take(PINS_SHOWN).map(|pin| {
            let (id, age) = (pin.connection_id.to_string(), duration(pin.age_ms));
            [&id, &pin.user, &pin.backend, &pin.reason, &age, &pin.statement].map(Clone::clone).to_vec()
        });
        table(&[">PINNED", "USER", "BACKEND", "REASON", ">AGE", "STATEMENT"], rows.collect())
    }

    fn events(&self) -> Vec<Line> {
        let events = self.now.slow.iter().flat_map(|slow| slow.events.iter().rev()).take(EVENTS_SHOWN);
        let rows = events.map(|event| {
            let time = event.time.get(11..19).unwrap_or(&event.time).to_string();
            vec![time, event.kind.clone(), event.subject.clone(), event.text.clone()]
        });
        table(&["EVENT AT", "KIND", "OF", "WHAT"], rows.collect())
    }

    fn digests(&self) -> Vec<Line> {
        let mut all: Vec<&Digest> = self.now.slow.iter().flat_map(|slow| &slow.digests).collect();
        all.sort_by_key(|digest| {
            Reverse(match self.order.digests {
                DigestOrder::Time => digest.total_time_us,
                DigestOrder::Count => digest.count,
                DigestOrder::Errors => digest.errors,
            })
        });
        let time = |us: u64| short_time(us.saturating_mul(1_000));
        let rows = all.into_iter().take(DIGESTS_SHOWN).map(|digest| {
            vec![
                time(digest.total_time_us),
                digest.count.to_string(),
                digest.errors.to_string(),
                format!("{}%", digest.replica_percent),
                time(digest.backend_p50_us),
                time(digest.backend_p99_us),
                digest.schema_name.clone(),
                digest.digest_text.clone(),
            ]
        });
        let heads = [">TIME", ">COUNT", ">ERRORS", ">REPLICAS", ">P50", ">P99", "SCHEMA", "STATEMENT"];
        table(&heads, rows.collect())
    }
}

fn percentiles(since: &Since<'_>) -> String {
    let time = |name, quantile| match since.quantile_ns(name, quantile) {
        None => "-".to_string(),
        Some(0) => "<1 us".to_string(),
        Some(ns) => short_time(ns),
    };
    let of = |name| format!("{name} {}", [0.5, 0.99, 0.999].map(|quantile| time(name, quantile)).join(", "));
    format!("p50, p99, p99.9: {}", ["backend", "wait", "gate"].map(of).join("; "))
}

/// The lines that a terminal of this size has room for, the last one for the keys.
pub fn fitted(lines: Vec<Line>, width: usize, height: usize, is_paused: bool) -> Vec<Line> {
    let mut fitted: Vec<Line> = lines.into_iter().take(height.saturating_sub(1)).collect();
    fitted.resize(height.saturating_sub(1), line(Style::Plain, ""));
    fitted.push(line(Style::Head, format!("{}{KEYS}", if is_paused { "PAUSED  " } else { "" })));
    for Line { text, style } in &mut fitted {
        *text = text.chars().take(width).collect();
        if matches!(style, Style::Head | Style::Title) {
            let blank = width.saturating_sub(text.chars().count());
            text.extend(std::iter::repeat_n(' ', blank));
        }
    }
    fitted
}

/// An empty line, the heads and the rows; nothing without rows. A head that begins with `>` stands at the right.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> Vec<Line> {
    if rows.is_empty() {
        return Vec::new();
    }
    let titles = heads.iter().map(|head| head.trim_start_matches('>').to_string()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles)
        .chain(rows)
        .map(|row: Vec<String>| row.iter().map(|cell| shown(cell)).collect())
        .collect();
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let text = |row: &Vec<String>| {
        let cells = row.iter().zip(heads).zip(&widths).map(|((cell, head), width)| match head.starts_with('>') {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let style = |at| if at == 0 { Style::Head } else { Style::Plain };
    let lines = rows.iter().enumerate().map(|(at, row)| line(style(at), text(row)));
    std::iter::once(line(Style::Plain, "")).chain(lines).collect()
}

fn line(style: Style, text: impl Into<String>) -> Line {
    Line { text: shown(&text.into()), style }
}

/// What would move the cursor is shown instead of obeyed.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_string(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

const KEYS: &str =
    "q quit  p pause  backends by: n name r rate l lag c connections  statements by: t time o count e errors";

const PINS_SHOWN: usize = 5;
const EVENTS_SHOWN: usize = 5;
const DIGESTS_SHOWN: usize = 50;

#[cfg(test)]
mod tests;
