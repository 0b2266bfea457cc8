//! The gate's figures as a table: each summed over all cores, and what each core has of it.

use super::row;
use crate::status::{LATENCIES, Picture};
use weir_core::show::Shown;
use weir_core::stats::Counters;

pub fn table(picture: &Picture) -> Shown {
    let status = picture.status();
    let mut rows = vec![
        row([&"version", &status.version, &""]),
        row([&"uptime_ms", &status.uptime_ms, &""]),
        row([&"ready", &u8::from(status.ready), &""]),
        row([&"draining", &u8::from(status.draining), &""]),
        row([&"topology_generation", &status.generation, &""]),
        row([&"cores", &status.cores, &""]),
        row([&"cores_reporting", &picture.reports.len(), &""]),
    ];
    for (at, (name, ..)) in Counters::default().each().into_iter().enumerate() {
        let each: Vec<u64> = picture.reports.iter().map(|report| report.counters.each()[at].1).collect();
        let texts: Vec<String> = each.iter().map(u64::to_string).collect();
        rows.push(row([&name, &each.iter().sum::<u64>(), &texts.join(" ")]));
    }
    rows.extend(picture.own.iter().map(|(name, value, _)| row([name, value, &""])));
    for (latency, (name, ..)) in status.latencies.iter().zip(LATENCIES) {
        for (part, ns) in [("p50", latency.p50_ns), ("p99", latency.p99_ns), ("p999", latency.p999_ns)] {
            rows.push(row([&format!("{name}_{part}_us"), &(ns / 1_000), &""]));
        }
    }
    Shown { columns: vec!["name", "value", "by_core"], rows, note: None }
}
