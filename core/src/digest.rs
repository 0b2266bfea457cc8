//! Digests: what one core has counted of each statement's normal form and schema.
//!
//! ```text
//!   a plan's memo ── number of its text ─► (text, schema) ─► a tally: counts, sums, three histograms
//! ```
//! Invariant: at most [`DIGESTS_MAX`] pairs of text and schema are kept apart, and as many texts; what comes later is counted together as
//! [`OTHERS`]. A text is made once for a plan and holds no literal (`weir_planner::digest`); a statement that is known costs one look
//! into a hash map and some additions. Off, nothing is made and nothing is counted.
//!
//! Memory: a tally has about 0.9 KiB and a text at most [`TEXT_BYTES_MAX`] and a little, so about 4 MiB of a core at most.

use crate::state::SchemaId;
use crate::time::Instant;
use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub struct Digests {
    /// By number, from 1 on; 0 is none.
    texts: Vec<Box<str>>,
    numbers: FxHashMap<Box<str>, u32>,
    /// By text's number and schema.
    tallies: FxHashMap<(u32, SchemaId), Box<Tally>>,
    others: Box<Tally>,
}

/// How one statement ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    pub is_error: bool,
    pub on_replica: bool,
    pub rows_sent: u64,
    pub rows_affected: u64,
    pub bytes: u64,
    /// In the gate, without a wait for a connection.
    pub gate_us: Option<u64>,
    /// With one.
    pub wait_us: Option<u64>,
    pub backend_us: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub errors: u64,
    pub on_replica: u64,
    pub rows_sent: u64,
    pub rows_affected: u64,
    pub bytes: u64,
    pub first: Instant,
    pub last: Instant,
    pub gate: Latency,
    pub wait: Latency,
    pub backend: Latency,
}

/// Microseconds in buckets that grow by half an octave: a percentile is right within a fifth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    pub sum_us: u64,
    pub max_us: u64,
    buckets: [u32; BUCKETS],
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestReport {
    pub schema: String,
    pub text: String,
    pub first_ago_ms: u64,
    pub last_ago_ms: u64,
    /// Of its text, on all cores, while there is a `digest_running_max`: those that run, and those that wait for their turn.
    pub running: u32,
    pub waiting: u32,
    pub tally: Box<Tally>,
}

impl Digests {
    /// The number of a text; that of all others when there are too many.
    pub fn number(&mut self, text: String) -> u32 {
        if let Some(number) = self.numbers.get(text.as_str()) {
            return *number;
        }
        if self.texts.len() >= DIGESTS_MAX {
            return OTHERS_NUMBER;
        }
        let text: Box<str> = text.into();
        self.texts.push(text.clone());
        let number = self.texts.len() as u32;
        self.numbers.insert(text, number);
        number
    }

    pub fn text(&self, number: u32) -> Option<&str> {
        self.texts.get((number as usize).checked_sub(1)?).map(|text| &**text)
    }

    pub fn count(&mut self, now: Instant, number: u32, schema: SchemaId, ended: &Ended) {
        let is_full = self.tallies.len() >= DIGESTS_MAX;
        let tally = match self.tallies.get_mut(&(number, schema)) {
            Some(tally) => tally,
            None if is_full || number == OTHERS_NUMBER => &mut self.others,
            None => self.tallies.entry((number, schema)).or_default(),
        };
        tally.add(now, ended);
    }

    /// What was counted; the texts' numbers stay, since plans hold them.
    pub fn forget(&mut self) {
        self.tallies.clear();
        *self.others = Tally::default();
    }

    /// Those that a report names.
    pub fn schemas(&self) -> impl Iterator<Item = SchemaId> + '_ {
        self.tallies.keys().map(|(_, schema)| *schema)
    }

    /// All of them, the schemas' names by `name`.
    pub fn report(&self, now: Instant, name: impl Fn(SchemaId) -> String) -> Vec<DigestReport> {
        let line = |text: &str, schema: String, tally: &Tally| DigestReport {
            schema,
            text: text.to_string(),
            first_ago_ms: now.since_ms(tally.first),
            last_ago_ms: now.since_ms(tally.last),
            running: 0,
            waiting: 0,
            tally: Box::new(tally.clone()),
        };
        let known = self.tallies.iter().filter_map(|((number, schema), tally)| {
            let text = self.texts.get((*number as usize).checked_sub(1)?)?;
            Some(line(text, name(*schema), tally))
        });
        let others = (self.others.count > 0).then(|| line(OTHERS, String::new(), &self.others));
        known.chain(others).collect()
    }
}

impl Tally {
    fn add(&mut self, now: Instant, ended: &Ended) {
        if self.count == 0 {
            self.first = now;
        }
        self.last = now;
        self.count += 1;
        self.errors += u64::from(ended.is_error);
        self.on_replica += u64::from(ended.on_replica);
        self.rows_sent += ended.rows_sent;
        self.rows_affected += ended.rows_affected;
        self.bytes += ended.bytes;
        ended.gate_us.into_iter().for_each(|us| self.gate.record(us));
        ended.wait_us.into_iter().for_each(|us| self.wait.record(us));
        ended.backend_us.into_iter().for_each(|us| self.backend.record(us));
    }

    /// The same of another core; moments are told otherwise there.
    pub fn merge(&mut self, other: &Tally) {
        self.count += other.count;
        self.errors += other.errors;
        self.on_replica += other.on_replica;
        self.rows_sent += other.rows_sent;
        self.rows_affected += other.rows_affected;
        self.bytes += other.bytes;
        self.gate.merge(&other.gate);
        self.wait.merge(&other.wait);
        self.backend.merge(&other.backend);
    }

    pub fn total_us(&self) -> u64 {
        self.gate.sum_us + self.wait.sum_us + self.backend.sum_us
    }
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { sum_us: 0, max_us: 0, buckets: [0; BUCKETS] }
    }
}

impl Latency {
    pub fn record(&mut self, us: u64) {
        self.sum_us += us;
        self.max_us = self.max_us.max(us);
        let bucket = &mut self.buckets[bucket_of(us)];
        *bucket = bucket.saturating_add(1);
    }

    fn merge(&mut self, other: &Latency) {
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
        for (own, more) in self.buckets.iter_mut().zip(other.buckets) {
            *own = own.saturating_add(more);
        }
    }

    /// The upper end of the bucket in which so many of a thousand lie, never above the longest one.
    pub fn permille_us(&self, permille: u64) -> u64 {
        let all: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let wanted = (all * permille).div_ceil(1_000);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return end_of(at).min(self.max_us);
            }
        }
        self.max_us
    }
}

/// ```text
///   us      0   1   2   3   4-5   6-7   8-11   12-15   16-23 …
///   bucket  0   1   2   3    4     5     6       7       8
/// ```
fn bucket_of(us: u64) -> usize {
    if us < 2 {
        return us as usize;
    }
    let octave = us.ilog2();
    let upper_half = us >> (octave - 1) & 1;
    (2 * octave as usize + upper_half as usize).min(BUCKETS - 1)
}

/// The largest number of a bucket.
fn end_of(bucket: usize) -> u64 {
    match bucket {
        0 | 1 => bucket as u64,
        _ => {
            let (octave, half) = (bucket as u32 / 2, bucket as u64 % 2);
            (1 << octave) + (half + 1) * (1 << (octave - 1)) - 1
        }
    }
}

/// 2^32 microseconds, over an hour, is the last one's begin.
const BUCKETS: usize = 64;

/// Pairs of text and schema that one core counts apart: an application has some hundred.
pub const DIGESTS_MAX: usize = 2_000;

/// Bytes of a digest's text, as MySQL's `max_digest_length`.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Of the texts that found no room.
const OTHERS_NUMBER: u32 = u32::MAX;

pub const OTHERS: &str = "(others)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_bucket() {
        for us in (0..5_000).chain([1 << 31, u64::MAX]) {
            let bucket = bucket_of(us);
            assert!(bucket == BUCKETS - 1 || us <= end_of(bucket), "{us}");
            assert!(bucket == 0 || bucket == BUCKETS - 1 || us > end_of(bucket - 1), "{us} in {bucket}");
        }
        let mut latency = Latency::default();
        (1..=1_000).for_each(|us| latency.record(us));
        let near = |found: u64, right: u64| found >= right && found <= right * 3 / 2;
        assert!(near(latency.permille_us(500), 500) && near(latency.permille_us(950), 950));
        assert_eq!((latency.permille_us(1_000), latency.max_us, latency.sum_us), (1_000, 1_000, 500_500));
        assert_eq!(Latency::default().permille_us(990), 0);
    }

    #[test]
    fn statements_are_counted_apart_up_to_a_bound() {
        let mut digests = Digests::default();
        let ended = Ended { rows_sent: 2, backend_us: Some(7), is_error: true, ..Ended::default() };
        let one = digests.number("SELECT ?".to_string());
        assert_eq!((one, digests.number("SELECT ?".to_string())), (1, 1));
        digests.count(Instant(5), one, SchemaId(0), &ended);
        digests.count(Instant(9_000_000), one, SchemaId(0), &ended);
        digests.count(Instant(9_000_000), one, SchemaId(1), &ended);
        for n in 0..2 * DIGESTS_MAX {
            let number = digests.number(n.to_string());
            digests.count(Instant(1), number, SchemaId(0), &ended);
        }
        let report = digests.report(Instant(10_000_000), |schema| schema.0.to_string());
        assert_eq!(report.len(), DIGESTS_MAX + 1);
        assert_eq!(report.iter().map(|line| line.tally.count).sum::<u64>(), 2 * DIGESTS_MAX as u64 + 3);
        let first = report.iter().find(|line| line.text == "SELECT ?" && line.schema == "0").unwrap();
        assert_eq!(
            (first.tally.count, first.tally.errors, first.tally.rows_sent, first.tally.total_us()),
            (2, 2, 4, 14)
        );
        assert_eq!((first.first_ago_ms, first.last_ago_ms), (9, 1));
        let others = report.iter().find(|line| line.text == OTHERS).unwrap();
        assert!(others.tally.count >= DIGESTS_MAX as u64, "{others:?}");
        digests.forget();
        assert!(digests.report(Instant(0), |_| String::new()).is_empty());
    }
}
