//! `Findings`: what a check saw, as a table, as JSON, and what of it must not be.
//!
//! Invariant: a level is judged by what it promises, and the checker by what it finds where nothing is promised: a check
//! at `EVENTUAL` with late replicas that finds nothing stale proves nothing, and says so.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::carry::Carried;
use super::delay::Delay;
use super::level::{Level, Wrong};
use super::tally::Tally;
use crate::json::Json;
use crate::load::new_histogram;
use crate::table::{Table, number};

#[derive(Clone, Debug)]
pub struct Findings {
    /// One per delay and level, in the order in which they were first made.
    pub rows: Vec<Finding>,
    pub carried: Carried,
    /// Registers whose last version is none that the acknowledged writes allow.
    pub miscounted: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub level: Level,
    pub delay: Delay,
    pub tally: Tally,
    pub time: Duration,
    /// CPU time of the gates, if their processes are known.
    pub cpu_ns: Option<u64>,
    /// How late the replicas were, in microseconds.
    pub lag_us: Histogram<u64>,
}

impl Finding {
    pub fn new(level: Level, delay: Delay) -> Self {
        let (tally, lag_us) = (Tally::default(), new_histogram());
        Self { level, delay, tally, time: Duration::ZERO, cpu_ns: Some(0), lag_us }
    }

    pub fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.time += other.time;
        self.cpu_ns = self.cpu_ns.zip(other.cpu_ns).map(|(sum, more)| sum + more);
        // Both have the same bounds, so nothing can be out of them.
        let added = self.lag_us.add(&other.lag_us);
        debug_assert!(added.is_ok());
    }

    /// For a line of progress.
    pub fn summary(&self) -> String {
        let count = |wrong: Wrong| format!("{} {}", self.tally.wrong(wrong), wrong.name());
        let found: Vec<String> =
            (Wrong::ALL.into_iter()).filter(|wrong| self.tally.wrong(*wrong) > 0).map(count).collect();
        let (reads, errors, seconds) = (self.tally.reads, self.tally.errors, self.time.as_secs_f64());
        format!("{reads} reads in {seconds:.1} s, {errors} errors; {}", found.join(", "))
    }

    /// What must not be.
    pub fn wrong(&self) -> Vec<String> {
        let (level, delay) = (self.level, self.delay);
        let mut wrong: Vec<String> = (Wrong::ALL.into_iter())
            .filter(|wrong| level.excludes(*wrong) && self.tally.wrong(*wrong) > 0)
            .map(|wrong| format!("{level}, {delay}: {} reads were {}", self.tally.wrong(wrong), wrong.name()))
            .collect();
        if self.tally.errors > 0 {
            wrong.push(format!("{level}, {delay}: {} errors", self.tally.errors));
        }
        if self.tally.reads == 0 {
            wrong.push(format!("{level}, {delay}: nothing was read"));
        }
        wrong
    }

    /// Whether replicas served enough where they were in time; `None` where they were not.
    pub fn too_few_on_replicas(&self) -> Option<bool> {
        let share = self.tally.replica_share()?;
        let in_time = !self.delay.is_made() && !self.lag_us.is_empty();
        let in_time = in_time && self.lag_us.value_at_quantile(0.9) < LAG_US_MAX;
        in_time.then_some(share < REPLICA_SHARE_MIN)
    }

    /// What of it the level excludes, or what is an error, in the words of the first ones.
    fn excluded_samples(&self) -> impl Iterator<Item = &str> {
        let is_excluded = |wrong: Option<Wrong>| wrong.is_none_or(|wrong| self.level.excludes(wrong));
        self.tally.samples.iter().filter(move |(wrong, _)| is_excluded(*wrong)).map(|(_, text)| text.as_str())
    }

    fn cells(&self) -> Vec<String> {
        let tally = &self.tally;
        let ms = |share| number(tally.latency_us(share).map(|us| us / 1e3), 2);
        let lag = |share| {
            let known = (!self.lag_us.is_empty()).then(|| self.lag_us.value_at_quantile(share) as f64 / 1e3);
            number(known, 1)
        };
        let mut cells = vec![
            self.level.to_string(),
            self.delay.to_string(),
            tally.reads.to_string(),
            number(Some(tally.reads as f64 / self.time.as_secs_f64()), 0),
            number(tally.replica_share().map(|share| share * 100.0), 1),
        ];
        cells.extend(Wrong::ALL.map(|wrong| {
            let count = tally.wrong(wrong);
            if count > 0 && self.level.excludes(wrong) { format!("{count} !") } else { count.to_string() }
        }));
        cells.extend([
            tally.errors.to_string(),
            tally.writes.to_string(),
            tally.writes_direct.to_string(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            number(self.cpu_us(), 1),
            lag(0.5),
            lag(0.9),
        ]);
        cells
    }

    /// CPU of the gates per statement that they answered.
    fn cpu_us(&self) -> Option<f64> {
        let statements = self.tally.statements.max(1) as f64;
        self.cpu_ns.map(|cpu_ns| cpu_ns as f64 / 1e3 / statements)
    }

    fn to_json(&self) -> Json {
        let tally = &self.tally;
        let count = |count: u64| Json::Number(count as f64);
        let wrong = Wrong::ALL.map(|wrong| (wrong.name().to_owned(), count(tally.wrong(wrong))));
        Json::object([
            ("level", Json::text(self.level.name())),
            ("delay", Json::text(self.delay.name())),
            ("reads", count(tally.reads)),
            ("seconds", Json::Number(self.time.as_secs_f64())),
            ("replica share", Json::maybe(tally.replica_share())),
            ("wrong", Json::Object(wrong.into())),
            ("errors", count(tally.errors)),
            ("writes", count(tally.writes)),
            ("direct writes", count(tally.writes_direct)),
            ("p50 us", Json::maybe(tally.latency_us(0.5))),
            ("p99 us", Json::maybe(tally.latency_us(0.99))),
            ("p99.9 us", Json::maybe(tally.latency_us(0.999))),
            ("cpu us per statement", Json::maybe(self.cpu_us())),
            ("lag p50 us", count(self.lag_us.value_at_quantile(0.5))),
            ("lag p90 us", count(self.lag_us.value_at_quantile(0.9))),
            ("samples", Json::List(self.excluded_samples().map(Json::text).collect())),
        ])
    }
}

impl Findings {
    /// What must not be. Empty is a good end.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.rows.iter().flat_map(Finding::wrong).collect();
        for row in &self.rows {
            if row.too_few_on_replicas() == Some(true) {
                let share = row.tally.replica_share().unwrap_or(0.0) * 100.0;
                wrong.push(format!("{}: replicas in time served {share:.1} % of the reads", row.level));
            }
        }
        for sum in self.sums() {
            if sum.level > Level::Eventual && sum.tally.replica_share().unwrap_or(0.0) < PROVING_SHARE_MIN {
                let share = sum.tally.replica_share().unwrap_or(0.0) * 100.0;
                wrong
                    .push(format!("{}: replicas served only {share:.1} % of the reads: this proves little", sum.level));
            }
        }
        wrong.extend(self.unproved());
        if self.carried.stale > 0 {
            let Carried { times, stale, .. } = self.carried;
            wrong.push(format!("{stale} of {times} reads behind a carried token were stale"));
        }
        wrong.extend(self.miscounted.iter().cloned());
        wrong
    }

    /// What the checker has not shown that it can find, though another level is judged by it.
    fn unproved(&self) -> Vec<String> {
        let late = |row: &&Finding| row.level == Level::Eventual && row.delay.is_made();
        if !self.rows.iter().any(|row| late(&row)) {
            return Vec::new();
        }
        let found = |wrong| self.rows.iter().filter(late).map(|row| row.tally.wrong(wrong)).sum::<u64>();
        let highest = self.rows.iter().map(|row| row.level).max().unwrap_or(Level::Eventual);
        let should_be_found =
            |wrong: &Wrong| wrong.since() > Level::Eventual && highest.max(Level::Session) >= wrong.since();
        let missing = Wrong::ALL.into_iter().filter(should_be_found).filter(|wrong| found(*wrong) == 0);
        missing
            .map(|wrong| format!("EVENTUAL with late replicas shows nothing {}: this run proves nothing", wrong.name()))
            .collect()
    }

    /// Over all delays, per level.
    fn sums(&self) -> Vec<Finding> {
        let mut sums: Vec<Finding> = Vec::new();
        for row in &self.rows {
            match sums.iter_mut().find(|sum| sum.level == row.level) {
                Some(sum) => sum.add(row),
                None => sums.push(row.clone()),
            }
        }
        // How late replicas were under one delay and under another has no common figure.
        sums.iter_mut().for_each(|sum| sum.lag_us.reset());
        sums
    }

    pub fn to_json(&self) -> Json {
        let texts = |texts: &[String]| Json::List(texts.iter().map(Json::text).collect());
        Json::object([
            ("rows", Json::List(self.rows.iter().map(Finding::to_json).collect())),
            ("tokens carried", Json::Number(self.carried.times as f64)),
            ("stale behind a token", Json::Number(self.carried.stale as f64)),
            ("wrong", texts(&self.wrong())),
        ])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = vec!["level", "delay", "reads", "reads/s", "replicas %"];
        heading.extend(Wrong::ALL.map(Wrong::name));
        heading.extend([
            "errors",
            "writes",
            "direct",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "cpu µs/q",
            "lag p50",
            "lag p90 ms",
        ]);
        let mut table = Table::new(&heading);
        self.rows.iter().for_each(|row| table.add(row.cells()));
        let sums = self.sums();
        for sum in sums.iter().filter(|_| sums.len() < self.rows.len()) {
            let mut cells = sum.cells();
            cells[1] = "sum".to_owned();
            table.add(cells);
        }
        write!(f, "{table}")?;
        let Carried { times, stale, stale_without } = self.carried;
        if times > 0 {
            writeln!(
                f,
                "{times} tokens carried to the other gate: {stale} stale reads ({stale_without} without the token)"
            )?;
        }
        for row in &self.rows {
            for text in row.excluded_samples() {
                writeln!(f, "{}, {}: {text}", row.level, row.delay)?;
            }
        }
        Ok(())
    }
}

/// What counts as replicas that are in time, at the ninth of ten looks; and what they must then serve.
const LAG_US_MAX: u64 = 5_000;
const REPLICA_SHARE_MIN: f64 = 0.9;

/// A run in which the primary answers nearly everything says nothing about replicas.
const PROVING_SHARE_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(level: Level, delay: Delay, wrong: &[Wrong]) -> Finding {
        let mut row = Finding::new(level, delay);
        row.tally.count_read(1, 1_000);
        row.time = Duration::from_secs(1);
        wrong.iter().for_each(|wrong| row.tally.count_wrong(*wrong, || "so it was".to_owned()));
        row
    }

    fn findings(rows: Vec<Finding>) -> Findings {
        Findings { rows, carried: Carried::default(), miscounted: Vec::new() }
    }

    #[test]
    fn only_what_is_promised_is_wrong() {
        let all = [Wrong::StaleOwn, Wrong::StaleGate, Wrong::StaleAny, Wrong::Back, Wrong::Inverted];
        let proof = || row(Level::Eventual, Delay::Applier, &all);
        for (wrong, excluded) in [
            (Wrong::StaleAny, [false, false, true]),
            (Wrong::StaleGate, [false, true, true]),
            (Wrong::Back, [true; 3]),
            (Wrong::Torn, [true; 3]),
        ] {
            for (level, excluded) in [Level::Session, Level::Instance, Level::Global].into_iter().zip(excluded) {
                let findings = findings(vec![proof(), row(level, Delay::Busy, &[wrong])]);
                assert_eq!(!findings.wrong().is_empty(), excluded, "{level} {wrong:?}");
                assert_eq!(findings.to_string().contains("so it was"), excluded);
            }
        }
    }

    #[test]
    fn a_check_that_finds_nothing_at_eventual_says_so() {
        let session = || row(Level::Session, Delay::Applier, &[]);
        let blind = findings(vec![row(Level::Eventual, Delay::Applier, &[Wrong::StaleOwn]), session()]);
        assert_eq!(blind.wrong(), ["EVENTUAL with late replicas shows nothing back: this run proves nothing"]);
        let seeing = row(Level::Eventual, Delay::Applier, &[Wrong::StaleOwn, Wrong::Back]);
        assert!(findings(vec![seeing, session()]).wrong().is_empty());
        assert!(findings(vec![row(Level::Eventual, Delay::Busy, &[])]).wrong().is_empty());
    }

    #[test]
    fn replicas_in_time_must_serve() {
        let mut late = row(Level::Global, Delay::Busy, &[]);
        for _ in 0..9 {
            late.tally.count_read(0, 1_000);
        }
        assert_eq!(late.too_few_on_replicas(), None, "nobody knows how late they are");
        late.lag_us.record(1_000).unwrap();
        assert_eq!(late.too_few_on_replicas(), Some(true));
        late.lag_us.record(6_000).unwrap();
        assert_eq!(late.too_few_on_replicas(), None);
    }
}
