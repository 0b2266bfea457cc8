//! The exposition: metrics as Prometheus reads them, text format 0.0.4.
//!
//! Invariant: each family is described once, before its samples. Times are seconds, counters end in `_total`.

use crate::expiry::Expiry;
use std::fmt::{Display, Write};
use std::time::Duration;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What all our processes say of themselves.
pub fn put_process(out: &mut String, uptime_ms: u64, is_ready: bool) {
    head(out, "weir_build_info", "gauge", "What runs here; always 1.");
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("arch", std::env::consts::ARCH)];
    line(out, "weir_build_info", &labels, 1);
    head(out, "weir_uptime_seconds", "gauge", "Since the start of the process.");
    line(out, "weir_uptime_seconds", &[], format_args!("{:.3}", uptime_ms as f64 / 1e3));
    put(out, "weir_ready", "gauge", "As /readyz says.", u64::from(is_ready));
    super::process::put_all(out);
}

/// A family with one sample.
pub fn put(out: &mut String, name: &str, kind: &str, help: &str, value: impl Display) {
    head(out, name, kind, help);
    line(out, name, &[], value);
}

/// A state set: each state is a sample, and the one that holds is 1.
pub fn put_states<'a>(
    out: &mut String,
    (name, label, help): (&str, &str, &str),
    all: impl IntoIterator<Item = &'a str>,
    now: &str,
) {
    head(out, name, "gauge", help);
    all.into_iter().for_each(|state| line(out, name, &[(label, state)], u64::from(state == now)));
}

pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", help.replace('\\', "\\\\").replace('\n', "\\n"));
}

pub fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    out.push_str(name);
    for (at, (label, text)) in labels.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
    }
    let end = if labels.is_empty() { " " } else { "} " };
    let _ = writeln!(out, "{end}{value}");
}

/// Without a sample where no certificate is in a file.
pub fn put_certificates(out: &mut String, ends: &[Expiry]) {
    const NAME: &str = "weir_certificate_expiry_timestamp_seconds";
    head(out, NAME, "gauge", "When the first certificate of a file ends, in seconds since 1970.");
    for Expiry { used_for, file, not_after } in ends {
        line(out, NAME, &[("use", used_for), ("file", file)], not_after);
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Times by their size: what a move of the primary's role is made of takes from some milliseconds to a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// By bound, without those above the last one.
    counts: [u64; BOUNDS_MS.len()],
    count: u64,
    sum_ms: u64,
}

impl Times {
    pub fn add(&mut self, ms: u64) {
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
        if let Some(count) = BOUNDS_MS.iter().position(|bound| ms <= *bound).and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
    }

    /// As a histogram's samples; its family is described by the caller.
    pub fn put(&self, out: &mut String, name: &str, label: (&str, &str)) {
        let (bucket, mut below) = (format!("{name}_bucket"), 0);
        for (bound, count) in BOUNDS_MS.iter().zip(self.counts) {
            below += count;
            line(out, &bucket, &[label, ("le", &(*bound as f64 / 1e3).to_string())], below);
        }
        line(out, &bucket, &[label, ("le", "+Inf")], self.count);
        line(out, &format!("{name}_sum"), &[label], format_args!("{:.3}", self.sum_ms as f64 / 1e3));
        line(out, &format!("{name}_count"), &[label], self.count);
    }
}

const BOUNDS_MS: [u64; 12] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A text that obeys the format.
    pub struct Parsed {
        /// By family.
        pub kinds: HashMap<String, String>,
        /// By name with labels, as written.
        pub samples: HashMap<String, f64>,
    }

    /// Each family is described once, before its samples; each sample has a value and is there once.
    pub fn parsed(text: &str) -> Parsed {
        let (mut kinds, mut samples) = (HashMap::<String, String>::new(), HashMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(name.to_string(), kind.to_string()).is_none(), "{line}");
            } else if !line.starts_with("# HELP ") {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
                let name = sample.split('{').next().unwrap();
                let ends = ["_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
                let is_part = ends
                    .and_then(|family| kinds.get(family))
                    .is_some_and(|kind| kind == "histogram" || (kind == "summary" && !name.ends_with("_bucket")));
                let kind = kinds.get(name);
                assert!(kind.is_some() || is_part, "{line}");
                assert_eq!(kind.is_some_and(|kind| kind == "counter"), name.ends_with("_total"), "{line}");
                assert!(samples.insert(sample.to_string(), value).is_none(), "{line}");
            }
        }
        Parsed { kinds, samples }
    }

    #[test]
    fn a_histogram_counts_what_is_below_each_bound() {
        let mut times = Times::default();
        [10, 11, 400, 100_000].into_iter().for_each(|ms| times.add(ms));
        let mut out = String::new();
        head(&mut out, "x_seconds", "histogram", "x");
        times.put(&mut out, "x_seconds", ("part", "a"));
        let samples = parsed(&out).samples;
        let below = |le: &str| samples[&format!("x_seconds_bucket{{part=\"a\",le=\"{le}\"}}")];
        assert_eq!(["0.01", "0.025", "0.25", "0.5", "60", "+Inf"].map(below), [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
        assert_eq!((samples["x_seconds_sum{part=\"a\"}"], samples["x_seconds_count{part=\"a\"}"]), (100.421, 4.0));
    }
}
