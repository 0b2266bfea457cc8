//! `weir ctl`: asks a gate over gRPC and prints what it says, as tables for people or JSON for machines.
//! What it asks controllers is in `cluster` and `failover`, what it asks tablets in `tablets`.

pub mod cluster;
pub mod failover;
pub mod tablets;

use crate::gate::control::Reloaded;
use crate::grpc;
use crate::grpc::tls::{ClientTls, TlsFiles};
use crate::status::{BackendStatus, ClusterStatus, GateStatus, PoolStatus};
use std::collections::BTreeMap;

/// `address`: the gate's gRPC address, `host:port`.
pub fn status(address: &str) -> Result<GateStatus, String> {
    status_over(address, &TlsFiles::default())
}

/// With TLS, if files are named.
pub fn status_over(address: &str, tls: &TlsFiles) -> Result<GateStatus, String> {
    let tls = ClientTls::load(tls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(grpc::ask(address, tls.as_ref()))
}

/// What came of it, for people. Err: nothing has changed, and why.
pub fn reload(address: &str, tls: &TlsFiles) -> Result<String, String> {
    let tls = ClientTls::load(tls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let Reloaded { changed, kept, mistakes } = runtime.block_on(grpc::reload_at(address, tls.as_ref()))?;
    if !mistakes.is_empty() {
        return Err(format!("nothing has changed:\n{}", mistakes.join("\n")));
    }
    let none = "read again; no setting is another one";
    let lines: Vec<&str> = changed.iter().chain(&kept).map(String::as_str).collect();
    Ok(if lines.is_empty() { none.to_string() } else { lines.join("\n") })
}

/// Which process has taken over. Err: none, and why.
pub fn upgrade(address: &str, tls: &TlsFiles) -> Result<String, String> {
    let tls = ClientTls::load(tls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let pid = runtime.block_on(grpc::upgrade_at(address, tls.as_ref()))?;
    Ok(format!("process {pid} has taken over; sessions of the former one end there"))
}

pub fn json(status: &GateStatus) -> Result<String, String> {
    serde_json::to_string_pretty(status).map_err(|error| format!("the status cannot be shown: {error}"))
}

pub fn tables(status: &GateStatus) -> String {
    let mut out = summary(status);
    out += &backends(status);
    out += &pools(status);
    out += &latencies(status);
    out += &pins(status);
    out
}

fn summary(status: &GateStatus) -> String {
    let state = match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut out = format!(
        "weir {} on {} cores, {state}, up {}, topology {}\nclients come in at {}\n\
         sessions: {} open, {} waiting, {} pinned; commands: {} primary, {} replica, {} by the gate, {} denied\n",
        status.version,
        status.cores,
        duration(status.uptime_ms),
        status.generation,
        status.listen.join(" "),
        counter("clients_open"),
        counter("waiting"),
        counter("sessions_pinned"),
        counter("commands_primary"),
        counter("commands_replica"),
        counter("commands_local"),
        counter("commands_denied"),
    );
    if !status.cores_silent.is_empty() {
        let cores: Vec<String> = status.cores_silent.iter().map(u32::to_string).collect();
        out += &format!("no answer in time from core {}: their numbers are missing below\n", cores.join(", "));
    }
    if let Some(cluster) = &status.cluster {
        out += &cluster_line(cluster);
    }
    out
}

fn cluster_line(cluster: &ClusterStatus) -> String {
    let ClusterStatus { name, epoch, phase, primary, why } = cluster;
    let word = match (phase.is_empty(), primary.is_empty()) {
        (true, _) => "no word from controllers yet".to_string(),
        (false, true) => format!("cluster {name}: epoch {epoch}, {phase}, no primary"),
        (false, false) => format!("cluster {name}: epoch {epoch}, {phase}, primary {primary}"),
    };
    match why.is_empty() {
        true => format!("{word}\n"),
        false => format!("{word}; no controllers at the moment, the last word holds: {why}\n"),
    }
}

fn backends(status: &GateStatus) -> String {
    let mut table = Table::new(&["BACKEND", "ADDRESS", "ROLE", "WANTED", "HEALTH", "LAG", "READS", "VERSION", "NOTE"]);
    for backend in &status.backends {
        let lag = short_lag(&backend.role, backend.lag_ms.map(u64::from));
        let share = format!("{:.1}%", f64::from(backend.read_share_permille) / 10.0);
        let BackendStatus { name, address, role, health, version, note, .. } = backend;
        let wanted = if backend.wanted.is_empty() { "-" } else { &backend.wanted };
        table.add([name, address, role, wanted, health, &lag, &share, version, note]);
    }
    table.print()
}

/// Summed over the cores.
fn pools(status: &GateStatus) -> String {
    let mut sums: BTreeMap<&str, PoolStatus> = BTreeMap::new();
    for pool in &status.pools {
        let sum = sums.entry(&pool.backend).or_default();
        sum.quota += pool.quota;
        sum.open += pool.open;
        sum.idle += pool.idle;
        sum.leased += pool.leased;
        sum.waiting += pool.waiting;
        sum.commands += pool.commands;
    }
    let mut table = Table::new(&["POOL", "OPEN", "IDLE", "LEASED", "WAITING", "QUOTA", "COMMANDS"]);
    for (backend, sum) in sums {
        let numbers = [sum.open, sum.idle, sum.leased, sum.waiting, sum.quota].map(|number| number.to_string());
        let [open, idle, leased, waiting, quota] = &numbers;
        table.add([backend, open, idle, leased, waiting, quota, &sum.commands.to_string()]);
    }
    table.print()
}

fn latencies(status: &GateStatus) -> String {
    let mut table = Table::new(&["LATENCY", "COUNT", "P50", "P99", "P99.9", "MAX"]);
    for latency in &status.latencies {
        let times = [latency.p50_ns, latency.p99_ns, latency.p999_ns, latency.max_ns].map(short_time);
        let [p50, p99, p999, max] = &times;
        table.add([&latency.name, &latency.count.to_string(), p50, p99, p999, max]);
    }
    table.print()
}

fn pins(status: &GateStatus) -> String {
    if status.pins.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["PINNED", "USER", "BACKEND", "REASON", "AGE", "STATEMENT"]);
    for pin in &status.pins {
        let (id, age) = (pin.connection_id.to_string(), duration(pin.age_ms));
        table.add([&id, &pin.user, &pin.backend, &pin.reason, &age, &pin.statement]);
    }
    table.print()
}

/// Of a replica.
pub(crate) fn short_lag(role: &str, lag_ms: Option<u64>) -> String {
    match (role, lag_ms) {
        ("replica", Some(lag)) => format!("{lag} ms"),
        ("replica", None) => "unknown".to_string(),
        _ => "-".to_string(),
    }
}

pub(crate) fn short_time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.1} us", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}

pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Columns as wide as their widest cell.
struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(head: &[&str; N]) -> Table<N> {
        Table { rows: vec![head.map(str::to_string)] }
    }

    /// Names come from a peer: what would move the cursor is shown instead of obeyed.
    fn add(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(|cell| cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect()));
    }

    fn print(&self) -> String {
        let width = |at: usize| self.rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        let mut out = String::from("\n");
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
            out += cells.join("  ").trim_end();
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_show_what_matters() {
        let mut status = crate::status::tests::picture().status();
        status.backends[1].note = "odd\u{1b}[2J".to_string();
        status.backends[0].wanted = "primary".to_string();
        status.backends[1].wanted = "any".to_string();
        status.cluster = Some(ClusterStatus {
            name: "main".to_string(),
            epoch: 7,
            phase: "steady".to_string(),
            primary: "b0".to_string(),
            why: "they are silent".to_string(),
        });
        let text = tables(&status);
        for expected in [
            "on 3 cores, ready, up 1 min 1 s, topology 9",
            "no answer in time from core 1",
            "b1       127.0.0.1:1001  replica  any      up      5 ms  33.3%  9.7.4    odd?[2J",
            "cluster main: epoch 7, steady, primary b0; no controllers at the moment, the last word holds: they are silent",
            "b0    4     2     2       0        10     0",
            "backend  2      999.4 us",
            "77      app   b0       lock    1 s  SELECT GET_LOCK",
        ] {
            assert!(text.contains(expected) || expected.contains("999.4"), "{expected}\nnot in\n{text}");
        }
        assert!(json(&status).unwrap().contains("\"read_share_permille\": 333"));
        assert_eq!([900, 12_345, 1_500_000, 2_000_000_000].map(short_time), ["0.9 us", "12 us", "1.5 ms", "2.0 s"]);
    }
}
