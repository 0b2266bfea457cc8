//! A gate's metrics.
//!
//! Per core: every counter of the engine, as `weir_…_total` or, where its documentation says gauge, `weir_…`. Per core and
//! backend: the pools. Per backend: what the monitor knows. Times are histograms in seconds, per core.
//!
//! Invariant: labels are cores, backends, filters, reasons that the code names, and bounds; nothing that a client chooses. A counter is never
//! summed over cores here: one that does not answer in time would look like a restart.

use super::exposition::{head, line, put, put_certificates, put_process};
use crate::config::address;
use crate::monitor::topology::role_name;
use crate::status::{LATENCIES, Picture, sum_ns};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::Display;
use weir_core::filters::Counts;
use weir_core::mirror::Copies;
use weir_core::snapshot::{BackendView, Health, Role};
use weir_core::stats::{Counters, PoolReport, Report};
use weir_core::tally::usage::Usage;

pub fn render(picture: &Picture) -> String {
    let mut out = String::with_capacity(32 << 10);
    put_gate(&mut out, picture);
    put_counters(&mut out, picture);
    put_refused_logins(&mut out, picture);
    put_pins(&mut out, picture);
    put_own(&mut out, picture);
    put_certificates(&mut out, &picture.certificates);
    put_filters(&mut out, picture);
    put_backends(&mut out, picture);
    put_pools(&mut out, picture);
    put_times(&mut out, picture);
    out
}

fn put_gate(out: &mut String, picture: &Picture) {
    put_process(out, picture.uptime_ms, picture.ready);
    let gauges = [
        (
            "weir_draining",
            "The gate takes no new clients and waits for open transactions.",
            u64::from(picture.draining),
        ),
        ("weir_topology_generation", "Number of the topology that the cores have.", picture.generation),
        ("weir_cores", "Cores that serve clients.", picture.cores as u64),
        ("weir_cores_reporting", "Cores whose report is in this answer.", picture.reports.len() as u64),
        ("weir_clients_max", "Clients that are let in (clients_max).", picture.clients_max.into()),
        ("weir_primary_available", "There is a primary that takes writes.", u64::from(picture.has_primary)),
    ];
    for (name, help, value) in gauges {
        put(out, name, "gauge", help, value);
    }
    let Some(record) = picture.cluster.as_ref().and_then(|cluster| cluster.record.as_deref()) else { return };
    put(out, "weir_cluster_epoch", "gauge", "Epoch of the controllers' last word.", record.epoch);
}

fn put_counters(out: &mut String, picture: &Picture) {
    for (at, (name, _, help)) in Counters::default().each().into_iter().enumerate() {
        if REFUSED.iter().any(|(counter, _)| *counter == name) {
            continue;
        }
        let (name, kind) = match help.contains("(gauge)") {
            true => (format!("weir_{name}"), "gauge"),
            false => (format!("weir_{}_total", with_unit_last(name)), "counter"),
        };
        head(out, &name, kind, &help.replace(" (gauge)", ""));
        for report in &picture.reports {
            let (_, value, _) = report.counters.each()[at];
            line(out, &name, &[("core", &report.core.to_string())], value);
        }
    }
}

/// As Prometheus wants it.
fn with_unit_last(name: &str) -> &str {
    match name {
        "bytes_from_clients" => "received_bytes",
        "bytes_to_clients" => "sent_bytes",
        other => other,
    }
}

/// Clients that were not let in: one family of several counters.
fn put_refused_logins(out: &mut String, picture: &Picture) {
    let name = "weir_logins_refused_total";
    head(
        out,
        name,
        "counter",
        "Clients that were not let in: denied (password or account), limit (clients_max), draining, timeout, protocol, no_backend.",
    );
    for report in &picture.reports {
        let core = report.core.to_string();
        for (counter, value, _) in report.counters.each() {
            if let Some((_, reason)) = REFUSED.iter().find(|(of, _)| *of == counter) {
                line(out, name, &[("core", &core), ("reason", reason)], value);
            }
        }
    }
}

/// Of each report, summed over users.
fn put_pins(out: &mut String, picture: &Picture) {
    let by_reason = |out: &mut String, name: &str, of: &dyn Fn(&Report) -> Vec<(&'static str, u64)>| {
        for report in &picture.reports {
            let mut sums = BTreeMap::<&str, u64>::new();
            of(report).into_iter().for_each(|(reason, times)| *sums.entry(reason).or_default() += times);
            for (reason, sum) in sums {
                line(out, name, &[("core", &report.core.to_string()), ("reason", reason)], sum);
            }
        }
    };
    let help = "Sessions that keep their connection now, by reason; one with two reasons counts twice.";
    head(out, "weir_pinned_sessions", "gauge", help);
    by_reason(out, "weir_pinned_sessions", &|report| report.pins.iter().map(|pin| (pin.reason, 1)).collect());
    head(out, "weir_pins_total", "counter", "Times that a session began to keep its connection, by reason.");
    by_reason(out, "weir_pins_total", &|report| {
        report.pins_ever.iter().map(|(_, reason, times)| (*reason, *times)).collect()
    });
}

/// What the control thread counts itself.
fn put_own(out: &mut String, picture: &Picture) {
    for (name, value, help) in &picture.own {
        match name.strip_suffix("_ms") {
            Some(name) => {
                let value = format!("{:.3}", *value as f64 / 1e3);
                put(out, &format!("weir_{name}_seconds_total"), "counter", help, value);
            }
            None => put(out, &format!("weir_{name}_total"), "counter", help, value),
        }
    }
}

/// Of the whole gate: its cores count them together. Who is gone is counted no more.
fn put_filters(out: &mut String, picture: &Picture) {
    let entries = picture.filters.as_ref().map_or(&[][..], |filters| &filters.entries);
    for (at, (name, _, help)) in Counts::default().each().into_iter().enumerate() {
        let name = format!("weir_filter_{name}_total");
        head(out, &name, "counter", help);
        for entry in entries {
            line(out, &name, &[("filter", &*entry.rule.filter.name)], entry.counts.each()[at].1);
        }
    }
    for (at, (name, _, help)) in Copies::default().each().into_iter().enumerate() {
        let (name, is_time) = match name.strip_suffix("_ms") {
            Some(name) => (format!("weir_filter_{name}_seconds_total"), true),
            None => (format!("weir_filter_{name}_total"), false),
        };
        head(out, &name, "counter", help);
        for entry in entries {
            let value = entry.copies.each()[at].1;
            let value = if is_time { format!("{:.3}", value as f64 / 1e3) } else { value.to_string() };
            line(out, &name, &[("filter", &*entry.rule.filter.name)], value);
        }
    }
    let name = "weir_filter_mirroring";
    head(out, name, "gauge", "Copies on their way to a mirror, or there (MIRROR).");
    entries.iter().for_each(|entry| line(out, name, &[("filter", &*entry.rule.filter.name)], entry.copies.under_way()));
    let gauges: [(&str, &str, fn(&Usage) -> u32); 2] = [
        ("weir_filter_running", "Statements that run by a filter's leave (CONCURRENCY_CONTROL).", Usage::running),
        (
            "weir_filter_waiting",
            "Statements that wait for their turn at a filter (CONCURRENCY_CONTROL).",
            Usage::waiting,
        ),
    ];
    for (name, help, value) in gauges {
        head(out, name, "gauge", help);
        entries.iter().for_each(|entry| line(out, name, &[("filter", &*entry.rule.filter.name)], value(&entry.usage)));
    }
}

fn put_backends(out: &mut String, picture: &Picture) {
    let mut each = |name: &str, help: &str, value: &dyn Fn(usize, &BackendView) -> Option<String>| {
        head(out, name, "gauge", help);
        for (at, (view, _)) in picture.backends.iter().enumerate() {
            if let Some(value) = value(at, view) {
                line(out, name, &[("backend", &view.name)], value);
            }
        }
    };
    fn some(value: impl Display) -> Option<String> {
        Some(value.to_string())
    }
    let shares = picture.read_shares_permille();
    each("weir_backend_up", "The monitor reaches it.", &|_, view| some(u8::from(view.health == Health::Up)));
    each(
        "weir_backend_lag_seconds",
        "Replication delay; absent while unknown, and then it gets no reads.",
        &|_, view| some(format_args!("{:.3}", f64::from(view.lag_ms?) / 1e3)),
    );
    each("weir_backend_read_share", "Share of the reads that may go to a replica.", &|at, _| {
        some(format_args!("{:.3}", f64::from(*shares.get(at)?) / 1e3))
    });
    each("weir_backend_read_only", "It says that it is read-only.", &|_, view| some(u8::from(view.read_only)));
    each("weir_backend_weight", "Its share of reads beside the others', as configured.", &|_, view| some(view.weight));
    each("weir_backend_threads_connected", "Connections that it has from everybody.", &|_, view| {
        some(view.threads_connected)
    });
    each("weir_backend_threads_running", "Its threads that do something.", &|_, view| some(view.threads_running));
    head(out, "weir_backend_role", "gauge", "What it is to the gate: 1 for the role that holds.");
    for (view, _) in &picture.backends {
        for role in [Role::Primary, Role::Replica, Role::Unknown] {
            let labels = [("backend", view.name.as_str()), ("role", role_name(role))];
            line(out, "weir_backend_role", &labels, u8::from(view.role == role));
        }
    }
    head(out, "weir_backend_info", "gauge", "What is known of it; always 1.");
    for (view, _) in &picture.backends {
        let address = address::show(&view.address);
        let labels = [("backend", &view.name), ("address", &address), ("zone", &view.zone), ("version", &view.version)];
        line(out, "weir_backend_info", &labels.map(|(label, text)| (label, text.as_str())), 1);
    }
}

fn put_pools(out: &mut String, picture: &Picture) {
    type Row = (&'static str, &'static str, &'static str, fn(&PoolReport) -> u64);
    let rows: [Row; 6] = [
        ("weir_pool_quota", "gauge", "Connections that this core may open to the backend.", |pool| pool.quota.into()),
        ("weir_pool_open", "gauge", "Connections open.", |pool| pool.open.into()),
        ("weir_pool_idle", "gauge", "Connections idle.", |pool| pool.idle.into()),
        ("weir_pool_leased", "gauge", "Connections leased to a session.", |pool| pool.leased.into()),
        ("weir_pool_waiting", "gauge", "Sessions waiting for a connection.", |pool| pool.waiting.into()),
        ("weir_pool_commands_total", "counter", "Commands sent to the backend.", |pool| pool.commands),
    ];
    for (name, kind, help, value) in rows {
        head(out, name, kind, help);
        for report in &picture.reports {
            for pool in &report.pools {
                line(out, name, &[("core", &report.core.to_string()), ("backend", &pool.backend)], value(pool));
            }
        }
    }
}

fn put_times(out: &mut String, picture: &Picture) {
    for (name, help, pick) in LATENCIES {
        let name = format!("weir_{name}_seconds");
        head(out, &name, "histogram", help);
        for report in &picture.reports {
            put_histogram(out, &name, &report.core.to_string(), pick(report));
        }
    }
}

fn put_histogram(out: &mut String, name: &str, core: &str, histogram: &Histogram<u64>) {
    let mut below = [0; BOUNDS_US.len()];
    for step in histogram.iter_recorded() {
        // A step of the histogram is 1 % wide, and belongs where its lower end lies.
        let us = step.value_iterated_to().saturating_sub(step.value_iterated_to() >> 7).div_ceil(1_000);
        let first = BOUNDS_US.partition_point(|bound| *bound < us);
        below.iter_mut().skip(first).for_each(|count| *count += step.count_since_last_iteration());
    }
    let bucket = format!("{name}_bucket");
    for (bound, count) in BOUNDS_US.iter().zip(below) {
        let bound = (*bound as f64 / 1e6).to_string();
        line(out, &bucket, &[("core", core), ("le", &bound)], count);
    }
    line(out, &bucket, &[("core", core), ("le", "+Inf")], histogram.len());
    let sum = sum_ns(histogram) as f64 / 1e9;
    line(out, &format!("{name}_sum"), &[("core", core)], format_args!("{sum:.9}"));
    line(out, &format!("{name}_count"), &[("core", core)], histogram.len());
}

/// Counters of the engine, and the reason under which each is a part of `weir_logins_refused_total`.
const REFUSED: [(&str, &str); 6] = [
    ("logins_refused", "denied"),
    ("clients_refused", "limit"),
    ("clients_refused_draining", "draining"),
    ("logins_timed_out", "timeout"),
    ("logins_broken", "protocol"),
    ("logins_unserved", "no_backend"),
];

/// Upper bounds of the histograms: from what the gate itself takes to what a client gives up for.
const BOUNDS_US: [u64; 18] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000,
    10_000_000,
];

#[cfg(test)]
pub mod tests {
    use super::super::exposition::tests::parsed;
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;
    use crate::status::ClusterPicture;
    use crate::status::tests::picture;
    use std::sync::Arc;

    /// With a sample of each family.
    pub fn full() -> String {
        let mut picture = picture();
        let word = record(7, Phase::Steady { primary: "b0".to_string() });
        picture.cluster = Some(ClusterPicture { record: Some(Arc::new(word)), why: String::new() });
        picture.reports[0].pins_ever = vec![("a".to_string(), "lock", 2)];
        picture.own.clear();
        picture.own.extend(crate::gate::files::counted((0, 0), (0, 0), 0, [0; 3]));
        picture.own.extend(crate::gate::events::Events::default().counters());
        render(&picture)
    }

    /// Each family is described once, before its samples; each sample has a value and is there once.
    #[test]
    fn the_text_obeys_the_format() {
        let mut picture = picture();
        picture.backends[1].0.name = "odd \"name\"\\".to_string();
        picture.reports[0].counters.logins_refused = 3;
        picture.reports[0].pins_ever = vec![("a".to_string(), "lock", 2), ("b".to_string(), "lock", 3)];
        let text = render(&picture);
        let kinds = parsed(&text).kinds;
        for expected in [
            "weir_commands_total{core=\"0\"} 10",
            "weir_clients_open{core=\"2\"} 2",
            "weir_backend_up{backend=\"odd \\\"name\\\"\\\\\"} 1",
            "weir_backend_role{backend=\"b0\",role=\"primary\"} 1",
            "weir_backend_role{backend=\"b0\",role=\"replica\"} 0",
            "weir_backend_info{backend=\"b2\",address=\"127.0.0.1:1002\",zone=\"\",version=\"9.7.4\"} 1",
            "weir_logins_refused_total{core=\"0\",reason=\"denied\"} 3",
            "weir_pinned_sessions{core=\"2\",reason=\"lock\"} 1",
            "weir_pins_total{core=\"0\",reason=\"lock\"} 5",
            "weir_received_bytes_total{core=\"0\"} 0",
            "weir_backend_seconds_bucket{core=\"0\",le=\"0.0005\"} 0",
            "weir_backend_seconds_bucket{core=\"0\",le=\"0.001\"} 1",
            "weir_backend_seconds_bucket{core=\"0\",le=\"+Inf\"} 1",
            "weir_backend_read_share{backend=\"b2\"} 0.666",
            "weir_pool_idle{core=\"2\",backend=\"b0\"} 1",
            "weir_backend_seconds_count{core=\"0\"} 1",
            "weir_cores_reporting 2",
            "weir_certificate_expiry_timestamp_seconds{use=\"clients\",file=\"c.pem\"} 2214172800",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        assert_eq!(kinds["weir_clients_open"], "gauge");
        assert_eq!(kinds["weir_wait_seconds"], "histogram");
        assert!(!kinds.contains_key("weir_clients_refused_total"));
    }
}
