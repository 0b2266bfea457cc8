//! `Report`: the samples of a comparison, their medians, and the ratios that it is made for.
//!
//! Invariant: a ratio compares doors of the same number of clients; what was not measured is a dash, never a zero.

use std::fmt;

use hdrhistogram::Histogram;

use crate::door::Kind;
use crate::json::Json;
use crate::load::Outcome;
use crate::median::median;
use crate::meter;
use crate::sysbench::Summary;
use crate::table::{Table, number};

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub queries_per_second: f64,
    /// The median, which sysbench does not tell.
    pub p50_us: Option<f64>,
    pub p99_us: f64,
    pub p999_us: Option<f64>,
    /// CPU microseconds per query; of the direct way there is no proxy's.
    pub proxy_cpu_us: Option<f64>,
    pub backend_cpu_us: Option<f64>,
    /// The most memory that the proxy has had resident so far, in bytes.
    pub proxy_peak_bytes: Option<u64>,
    pub errors: u64,
    /// All latencies, in nanoseconds, which sysbench does not tell.
    pub latency: Option<Histogram<u64>>,
}

/// All samples of one door with so many clients.
#[derive(Clone, Debug)]
pub struct Cell {
    pub kind: Kind,
    pub clients: usize,
    pub samples: Vec<Sample>,
    /// Syscalls of the proxy per query, if they were counted.
    pub syscalls: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub title: String,
    pub cells: Vec<Cell>,
    /// What has to be said about the numbers.
    pub notes: Vec<String>,
}

impl Sample {
    /// The outcome's meters are those of the processes that there are: proxy, backend.
    pub fn of_own(outcome: &Outcome, proxy: Option<u32>, backend: Option<u32>) -> Self {
        let proxies = usize::from(proxy.is_some());
        Self {
            queries_per_second: outcome.per_second(),
            p50_us: Some(outcome.latency_us(0.5)),
            p99_us: outcome.latency_us(0.99),
            p999_us: Some(outcome.latency_us(0.999)),
            proxy_cpu_us: proxy.map(|_| outcome.cpu_us(0)),
            backend_cpu_us: backend.map(|_| outcome.cpu_us(proxies)),
            proxy_peak_bytes: proxy.and_then(|pid| meter::peak_bytes(pid).ok()),
            errors: outcome.errors + outcome.unanswered,
            latency: Some(outcome.latency.clone()),
        }
    }

    pub fn of_sysbench(summary: &Summary, cpu_ns: &[u64], proxy: Option<u32>, backend: Option<u32>) -> Self {
        let proxies = usize::from(proxy.is_some());
        let cpu_us = |at: usize| {
            let cpu_ns = cpu_ns.get(at).copied().unwrap_or(0);
            cpu_ns as f64 / 1e3 / summary.queries.max(1) as f64
        };
        Self {
            queries_per_second: summary.queries_per_second,
            p50_us: None,
            p99_us: summary.latency_ms_p99 * 1e3,
            p999_us: None,
            proxy_cpu_us: proxy.map(|_| cpu_us(0)),
            backend_cpu_us: backend.map(|_| cpu_us(proxies)),
            proxy_peak_bytes: proxy.and_then(|pid| meter::peak_bytes(pid).ok()),
            errors: summary.ignored_errors + summary.reconnects,
            latency: None,
        }
    }
}

impl Cell {
    pub fn new(kind: Kind, clients: usize) -> Self {
        Self { kind, clients, samples: Vec::new(), syscalls: None }
    }

    pub fn queries_per_second(&self) -> Option<f64> {
        self.median(|sample| Some(sample.queries_per_second))
    }

    pub fn proxy_cpu_us(&self) -> Option<f64> {
        self.median(|sample| sample.proxy_cpu_us)
    }

    /// The latencies of all rounds together, if all have them.
    pub fn latency(&self) -> Option<Histogram<u64>> {
        let (first, rest) = self.samples.split_first()?;
        let mut sum = first.latency.clone()?;
        for sample in rest {
            // All have the same bounds, so nothing can be out of them.
            let added = sum.add(sample.latency.as_ref()?);
            debug_assert!(added.is_ok());
        }
        Some(sum)
    }

    /// The median over rounds of what was measured in all of them.
    fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self.samples.iter().map(field).collect();
        median(values?)
    }
}

impl Report {
    /// CPU per query of a cell beside that of another door with as many clients.
    fn cpu_ratio(&self, cell: &Cell, to: Kind) -> Option<f64> {
        let is_other = |other: &&Cell| other.kind == to && other.clients == cell.clients;
        let other = self.cells.iter().find(is_other)?;
        Some(cell.proxy_cpu_us()? / other.proxy_cpu_us()?)
    }

    /// What a door adds to the median latency of the direct way with as many clients.
    fn added_us(&self, cell: &Cell) -> Option<f64> {
        let direct = self.cells.iter().find(|other| other.kind == Kind::Direct && other.clients == cell.clients)?;
        let p50 = |cell: &Cell| cell.median(|sample| sample.p50_us);
        (cell.kind != Kind::Direct).then_some(p50(cell)? - p50(direct)?)
    }

    fn peak_mib(cell: &Cell) -> Option<f64> {
        cell.median(|sample| sample.proxy_peak_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)))
    }

    pub fn to_json(&self) -> Json {
        let cells = self.cells.iter().map(|cell| {
            let median = |field: fn(&Sample) -> Option<f64>| Json::maybe(cell.median(field));
            Json::object([
                ("door", Json::text(cell.kind.name())),
                ("clients", Json::Number(cell.clients as f64)),
                ("rounds", Json::Number(cell.samples.len() as f64)),
                ("queries_per_second", Json::maybe(cell.queries_per_second())),
                ("p50_us", median(|sample| sample.p50_us)),
                ("p99_us", median(|sample| Some(sample.p99_us))),
                ("p999_us", median(|sample| sample.p999_us)),
                ("proxy_cpu_us", Json::maybe(cell.proxy_cpu_us())),
                ("backend_cpu_us", median(|sample| sample.backend_cpu_us)),
                ("cpu_to_relay", Json::maybe(self.cpu_ratio(cell, Kind::Relay))),
                ("cpu_to_haproxy", Json::maybe(self.cpu_ratio(cell, Kind::HaProxy))),
                ("added_p50_us", Json::maybe(self.added_us(cell))),
                ("proxy_peak_mib", Json::maybe(Self::peak_mib(cell))),
                ("syscalls_per_query", Json::maybe(cell.syscalls)),
                ("errors", Json::Number(errors(cell) as f64)),
            ])
        });
        Json::object([
            ("title", Json::text(&self.title)),
            ("cells", Json::List(cells.collect())),
            ("notes", Json::List(self.notes.iter().map(Json::text).collect())),
        ])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "door",
            "clients",
            "queries/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "added µs",
            "cpu µs/q",
            "/relay",
            "/haproxy",
            "backend µs/q",
            "syscalls/q",
            "peak MiB",
            "errors",
        ]);
        for cell in &self.cells {
            table.add(vec![
                cell.kind.name().to_owned(),
                cell.clients.to_string(),
                number(cell.queries_per_second(), 0),
                number(cell.median(|sample| sample.p50_us), 0),
                number(cell.median(|sample| Some(sample.p99_us)), 0),
                number(cell.median(|sample| sample.p999_us), 0),
                number(self.added_us(cell), 1),
                number(cell.proxy_cpu_us(), 2),
                number(self.cpu_ratio(cell, Kind::Relay), 2),
                number(self.cpu_ratio(cell, Kind::HaProxy), 2),
                number(cell.median(|sample| sample.backend_cpu_us), 2),
                number(cell.syscalls, 2),
                number(Self::peak_mib(cell), 1),
                errors(cell).to_string(),
            ]);
        }
        writeln!(f, "{}", self.title)?;
        write!(f, "{table}")?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn errors(cell: &Cell) -> u64 {
    cell.samples.iter().map(|sample| sample.errors).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::new_histogram;

    fn cell(kind: Kind, clients: usize, cpu: &[Option<f64>]) -> Cell {
        let samples = cpu.iter().map(|cpu| Sample {
            queries_per_second: 100.0,
            proxy_cpu_us: *cpu,
            errors: 1,
            ..Sample::default()
        });
        Cell { samples: samples.collect(), ..Cell::new(kind, clients) }
    }

    #[test]
    fn ratios_are_of_the_same_clients() {
        let report = Report {
            title: "title".to_owned(),
            cells: vec![
                cell(Kind::Relay, 1, &[Some(10.0), Some(30.0), Some(20.0)]),
                cell(Kind::Weir, 1, &[Some(30.0); 3]),
                cell(Kind::Relay, 8, &[Some(5.0); 3]),
                cell(Kind::Weir, 8, &[Some(15.0); 3]),
                cell(Kind::Direct, 8, &[None; 3]),
            ],
            notes: Vec::new(),
        };
        let ratios: Vec<_> = (report.cells.iter()).map(|cell| report.cpu_ratio(cell, Kind::Relay)).collect();
        assert_eq!(ratios, [Some(1.0), Some(1.5), Some(1.0), Some(3.0), None]);
        assert_eq!(report.cpu_ratio(&report.cells[0], Kind::HaProxy), None);
        let json = report.to_json().to_string();
        assert!(json.contains(r#""door":"weir","clients":1,"#) && json.contains(r#""errors":3"#));
        assert_eq!(report.to_string().lines().count(), 7);
    }

    #[test]
    fn syscalls_and_notes_are_shown() {
        let mut report = Report {
            title: "title".to_owned(),
            cells: vec![cell(Kind::Weir, 8, &[Some(5.0)]), cell(Kind::Relay, 8, &[Some(5.0)])],
            notes: vec!["counted by hand".to_owned()],
        };
        report.cells[0].syscalls = Some(1.25);
        let (text, json) = (report.to_string(), report.to_json().to_string());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("  1.25  ") && lines[3].ends_with("-       1"), "{text}");
        assert_eq!(lines.last(), Some(&"counted by hand"));
        assert!(json.contains(r#""syscalls_per_query":1.25"#) && json.contains(r#""syscalls_per_query":null"#));
        assert!(json.ends_with(r#""notes":["counted by hand"]}"#), "{json}");
    }

    #[test]
    fn latencies_of_all_rounds_are_one() {
        let sample = |value: Option<u64>| {
            let latency = value.map(|value| {
                let mut latency = new_histogram();
                latency.saturating_record(value);
                latency
            });
            Sample { latency, ..Sample::default() }
        };
        let mut cell = Cell::new(Kind::Weir, 1);
        assert!(cell.latency().is_none());
        cell.samples = vec![sample(Some(1000)), sample(Some(9000))];
        let sum = cell.latency().unwrap();
        assert_eq!((sum.len(), sum.min(), sum.max() / 1000), (2, 1000, 9));
        cell.samples.push(sample(None));
        assert!(cell.latency().is_none());
    }
}
