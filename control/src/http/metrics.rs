//! A gate's metrics.
//!
//! Per core: every counter of the engine, as `weir_…_total` or, where its documentation says gauge, `weir_…`. Per core and
//! backend: the pools. Per backend: what the monitor knows. Histograms are summaries in seconds, per core.

use super::exposition::{head, line, put_certificates, put_process};
use crate::monitor::topology::role_name;
use crate::status::{LATENCIES, Picture, sum_ns};
use weir_core::snapshot::Health;
use weir_core::stats::{Counters, PoolReport};

pub fn render(picture: &Picture) -> String {
    let mut out = String::with_capacity(16 << 10);
    put_gate(&mut out, picture);
    put_counters(&mut out, picture);
    put_own(&mut out, picture);
    put_certificates(&mut out, &picture.certificates);
    put_backends(&mut out, picture);
    put_pools(&mut out, picture);
    put_latencies(&mut out, picture);
    out
}

fn put_gate(out: &mut String, picture: &Picture) {
    put_process(out, picture.uptime_ms, picture.ready);
    let flags = [
        (
            "weir_draining",
            "The gate takes no new clients and waits for open transactions.",
            u64::from(picture.draining),
        ),
        ("weir_topology_generation", "Number of the topology that the cores have.", picture.generation),
        ("weir_cores", "Cores that serve clients.", picture.cores as u64),
        ("weir_cores_reporting", "Cores whose report is in this answer.", picture.reports.len() as u64),
    ];
    for (name, help, value) in flags {
        head(out, name, "gauge", help);
        line(out, name, &[], value);
    }
}

fn put_counters(out: &mut String, picture: &Picture) {
    for (at, (name, _, help)) in Counters::default().each().into_iter().enumerate() {
        let (name, kind) = match help.contains("(gauge)") {
            true => (format!("weir_{name}"), "gauge"),
            false => (format!("weir_{name}_total"), "counter"),
        };
        head(out, &name, kind, &help.replace(" (gauge)", ""));
        for report in &picture.reports {
            let (_, value, _) = report.counters.each()[at];
            line(out, &name, &[("core", &report.core.to_string())], value);
        }
    }
}

/// What the control thread counts itself.
fn put_own(out: &mut String, picture: &Picture) {
    for (name, value, help) in &picture.own {
        let name = format!("weir_{name}_total");
        head(out, &name, "counter", help);
        line(out, &name, &[], value);
    }
}

fn put_backends(out: &mut String, picture: &Picture) {
    let shares = picture.read_shares_permille();
    head(out, "weir_backend_up", "gauge", "The monitor reaches it; its role is a label.");
    for (view, _) in &picture.backends {
        let labels = [("backend", view.name.as_str()), ("role", role_name(view.role)), ("version", &view.version)];
        line(out, "weir_backend_up", &labels, u64::from(view.health == Health::Up));
    }
    head(
        out,
        "weir_backend_lag_seconds",
        "gauge",
        "Replication delay; absent while unknown, and then it gets no reads.",
    );
    for (view, _) in &picture.backends {
        if let Some(lag_ms) = view.lag_ms {
            let value = f64::from(lag_ms) / 1e3;
            line(out, "weir_backend_lag_seconds", &[("backend", &view.name)], format_args!("{value:.3}"));
        }
    }
    head(out, "weir_backend_read_share", "gauge", "Share of the reads that may go to a replica.");
    for ((view, _), share) in picture.backends.iter().zip(shares) {
        let value = f64::from(share) / 1e3;
        line(out, "weir_backend_read_share", &[("backend", &view.name)], format_args!("{value:.3}"));
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

fn put_latencies(out: &mut String, picture: &Picture) {
    for (name, help, pick) in LATENCIES {
        let name = format!("weir_{name}_seconds");
        head(out, &name, "summary", help);
        for report in &picture.reports {
            let (core, histogram) = (report.core.to_string(), pick(report));
            for quantile in ["0.5", "0.9", "0.99", "0.999", "1"] {
                let value = histogram.value_at_quantile(quantile.parse().unwrap_or(1.0)) as f64 / 1e9;
                line(out, &name, &[("core", &core), ("quantile", quantile)], format_args!("{value:.9}"));
            }
            let sum = sum_ns(histogram) as f64 / 1e9;
            line(out, &format!("{name}_sum"), &[("core", &core)], format_args!("{sum:.9}"));
            line(out, &format!("{name}_count"), &[("core", &core)], histogram.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::tests::parsed;
    use super::*;
    use crate::status::tests::picture;

    /// Each family is described once, before its samples; each sample has a value and is there once.
    #[test]
    fn the_text_obeys_the_format() {
        let mut picture = picture();
        picture.backends[1].0.name = "odd \"name\"\\".to_string();
        let text = render(&picture);
        let kinds = parsed(&text).kinds;
        for expected in [
            "weir_commands_total{core=\"0\"} 10",
            "weir_clients_open{core=\"2\"} 2",
            "weir_backend_up{backend=\"odd \\\"name\\\"\\\\\",role=\"replica\",version=\"9.7.4\"} 1",
            "weir_backend_read_share{backend=\"b2\"} 0.666",
            "weir_pool_idle{core=\"2\",backend=\"b0\"} 1",
            "weir_backend_seconds_count{core=\"0\"} 1",
            "weir_cores_reporting 2",
            "weir_certificate_expiry_timestamp_seconds{used_for=\"clients\",file=\"c.pem\"} 2214172800",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        assert_eq!(kinds["weir_clients_open"], "gauge");
        assert_eq!(kinds["weir_wait_seconds"], "summary");
    }
}
