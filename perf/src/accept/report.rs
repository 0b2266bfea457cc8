//! `Report`: how each door let its clients in, as medians over rounds.
//!
//! Invariant: errors are the sum over rounds, and `served` is that of the worst round, so that no failure is averaged
//! away. What was not measured is a dash.

use std::fmt;

use super::rush::Outcome;
use crate::door::Kind;
use crate::json::Json;
use crate::median::median;
use crate::table::{Table, number};

/// One round of one door.
#[derive(Clone, Debug)]
pub struct Sample {
    pub outcome: Outcome,
    /// CPU time of the door's process in it; the direct way has none.
    pub cpu_ns: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub title: String,
    pub clients: usize,
    pub rows: Vec<Row>,
    /// What has to be said about the numbers.
    pub notes: Vec<String>,
}

impl Sample {
    /// Nobody was served: nothing was measured.
    fn measured(&self) -> Option<&Outcome> {
        (self.outcome.served > 0).then_some(&self.outcome)
    }

    fn seconds(&self) -> Option<f64> {
        Some(self.measured()?.time.as_secs_f64())
    }

    fn per_second(&self) -> Option<f64> {
        Some(self.measured()?.latency.len() as f64 / self.seconds()?)
    }

    /// What this share of the clients did not wait longer than.
    fn latency_ms(&self, share: f64) -> Option<f64> {
        Some(self.measured()?.latency.value_at_quantile(share) as f64 / 1e6)
    }

    fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_ns? as f64 / 1e3 / self.measured()?.latency.len() as f64)
    }
}

impl Row {
    fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self.samples.iter().map(field).collect();
        median(values?)
    }

    fn served(&self) -> usize {
        self.samples.iter().map(|sample| sample.outcome.served).min().unwrap_or(0)
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.outcome.errors).sum()
    }

    fn first_error(&self) -> Option<&str> {
        self.samples.iter().find_map(|sample| sample.outcome.first_error.as_deref())
    }
}

impl Report {
    /// True if every client was served in every round.
    pub fn is_whole(&self) -> bool {
        self.rows.iter().all(|row| row.errors() == 0 && row.served() == self.clients)
    }

    pub fn to_json(&self) -> Json {
        let rows = self.rows.iter().map(|row| {
            let median = |field: fn(&Sample) -> Option<f64>| Json::maybe(row.median(field));
            Json::object([
                ("door", Json::text(row.kind.name())),
                ("clients", Json::Number(self.clients as f64)),
                ("rounds", Json::Number(row.samples.len() as f64)),
                ("served", Json::Number(row.served() as f64)),
                ("seconds", median(Sample::seconds)),
                ("clients_per_second", median(Sample::per_second)),
                ("p50_ms", median(|sample| sample.latency_ms(0.5))),
                ("p99_ms", median(|sample| sample.latency_ms(0.99))),
                ("max_ms", median(|sample| sample.latency_ms(1.0))),
                ("cpu_us_per_login", median(Sample::cpu_us)),
                ("errors", Json::Number(row.errors() as f64)),
                ("first_error", row.first_error().map_or(Json::Null, Json::text)),
            ])
        });
        Json::object([
            ("title", Json::text(&self.title)),
            ("doors", Json::List(rows.collect())),
            ("notes", Json::List(self.notes.iter().map(Json::text).collect())),
        ])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "door",
            "clients",
            "served",
            "seconds",
            "clients/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "cpu µs/login",
            "errors",
        ]);
        for row in &self.rows {
            table.add(vec![
                row.kind.name().to_owned(),
                self.clients.to_string(),
                row.served().to_string(),
                number(row.median(Sample::seconds), 3),
                number(row.median(Sample::per_second), 0),
                number(row.median(|sample| sample.latency_ms(0.5)), 2),
                number(row.median(|sample| sample.latency_ms(0.99)), 2),
                number(row.median(|sample| sample.latency_ms(1.0)), 2),
                number(row.median(Sample::cpu_us), 1),
                row.errors().to_string(),
            ]);
        }
        writeln!(f, "{}", self.title)?;
        write!(f, "{table}")?;
        for row in &self.rows {
            if let Some(error) = row.first_error() {
                writeln!(f, "{}: the first error: {error}", row.kind.name())?;
            }
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        match self.is_whole() {
            true => writeln!(f, "all clients were served, and all at the same time"),
            false => writeln!(f, "not all clients were served"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::new_histogram;
    use std::time::Duration;

    fn sample(served: usize, errors: u64, seconds: u64) -> Sample {
        let mut latency = new_histogram();
        for _ in 0..served {
            latency.saturating_record(2_000_000);
        }
        let first_error = (errors > 0).then(|| "full".to_owned());
        let outcome = Outcome { served, errors, first_error, time: Duration::from_secs(seconds), latency };
        Sample { outcome, cpu_ns: Some(served as u64 * 50_000) }
    }

    fn report(samples: Vec<Sample>) -> Report {
        let rows = vec![Row { kind: Kind::Weir, samples }];
        Report { title: "title".to_owned(), clients: 10, rows, notes: vec!["noisy".to_owned()] }
    }

    #[test]
    fn whole_rounds() {
        let report = report(vec![sample(10, 0, 1), sample(10, 0, 5), sample(10, 0, 2)]);
        let (text, json) = (report.to_string(), report.to_json().to_string());
        assert!(
            report.is_whole() && text.ends_with("\nnoisy\nall clients were served, and all at the same time\n"),
            "{text}"
        );
        assert!(json.contains(r#""served":10,"seconds":2,"clients_per_second":5,"#), "{json}");
        assert!(json.contains(r#""cpu_us_per_login":50,"errors":0,"first_error":null"#), "{json}");
    }

    #[test]
    fn failures_are_not_averaged_away() {
        let report = report(vec![sample(10, 0, 1), sample(8, 2, 1), sample(10, 0, 1)]);
        let (text, json) = (report.to_string(), report.to_json().to_string());
        assert!(!report.is_whole() && text.contains("weir: the first error: full\n"), "{text}");
        assert!(json.contains(r#""served":8,"#) && json.contains(r#""errors":2,"first_error":"full""#), "{json}");
        // A round that served nobody has no times.
        let nobody = self::report(vec![sample(0, 10, 0)]).to_json().to_string();
        assert!(nobody.contains(r#""seconds":null,"clients_per_second":null,"p50_ms":null"#), "{nobody}");
    }
}
