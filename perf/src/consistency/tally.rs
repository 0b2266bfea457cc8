//! `Tally`: what reads and writes did, counted, with the first of what went wrong in words.
//!
//! Invariant: its size does not depend on how many reads were made.

use hdrhistogram::Histogram;

use super::level::Wrong;
use crate::limits::{LATENCY_NS_MAX, NODES_MAX, SAMPLES_MAX};
use crate::load::new_histogram;

#[derive(Clone, Debug)]
pub struct Tally {
    pub reads: u64,
    /// Reads that each node answered.
    by_node: [u64; NODES_MAX],
    wrong: [u64; Wrong::ALL.len()],
    /// Writes that were acknowledged through gates, and past them.
    pub writes: u64,
    pub writes_direct: u64,
    /// Statements that the gates answered, reads included.
    pub statements: u64,
    pub errors: u64,
    pub reconnects: u64,
    /// Of reads, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The first ones of each kind of what is wrong, and of errors.
    pub samples: Vec<(Option<Wrong>, String)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            reads: 0,
            by_node: [0; NODES_MAX],
            wrong: [0; Wrong::ALL.len()],
            writes: 0,
            writes_direct: 0,
            statements: 0,
            errors: 0,
            reconnects: 0,
            latency: new_histogram(),
            samples: Vec::new(),
        }
    }
}

impl Tally {
    pub fn count_read(&mut self, node: u64, latency_ns: u64) {
        self.reads += 1;
        self.statements += 1;
        if let Some(count) = self.by_node.get_mut(node as usize) {
            *count += 1;
        }
        self.latency.saturating_record(latency_ns.min(LATENCY_NS_MAX));
    }

    /// `say` is asked for words while there is room for them.
    pub fn count_wrong(&mut self, wrong: Wrong, say: impl FnOnce() -> String) {
        self.wrong[wrong as usize] += 1;
        self.sample(Some(wrong), say);
    }

    pub fn count_error(&mut self, say: impl FnOnce() -> String) {
        self.errors += 1;
        self.sample(None, say);
    }

    pub fn wrong(&self, wrong: Wrong) -> u64 {
        self.wrong[wrong as usize]
    }

    /// The share of the reads that replicas answered; node 0 is the primary.
    pub fn replica_share(&self) -> Option<f64> {
        let replicas: u64 = self.by_node.iter().skip(1).sum();
        (self.reads > 0).then(|| replicas as f64 / self.reads as f64)
    }

    pub fn latency_us(&self, share: f64) -> Option<f64> {
        (self.reads > 0).then(|| self.latency.value_at_quantile(share) as f64 / 1e3)
    }

    pub fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        for (sum, more) in self.by_node.iter_mut().zip(other.by_node) {
            *sum += more;
        }
        for (sum, more) in self.wrong.iter_mut().zip(other.wrong) {
            *sum += more;
        }
        self.writes += other.writes;
        self.writes_direct += other.writes_direct;
        self.statements += other.statements;
        self.errors += other.errors;
        self.reconnects += other.reconnects;
        // Both have the same bounds, so nothing can be out of them.
        let added = self.latency.add(&other.latency);
        debug_assert!(added.is_ok());
        for (wrong, text) in &other.samples {
            self.sample(*wrong, || text.clone());
        }
    }

    fn sample(&mut self, wrong: Option<Wrong>, say: impl FnOnce() -> String) {
        if self.samples.iter().filter(|(known, _)| *known == wrong).count() < SAMPLES_MAX {
            self.samples.push((wrong, say()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_samples_are_bounded() {
        let mut tally = Tally::default();
        assert_eq!((tally.replica_share(), tally.latency_us(0.5)), (None, None));
        for n in 0..100 {
            tally.count_read(n % 4, 1_000);
            tally.count_wrong(Wrong::Back, || format!("{n}"));
            tally.count_error(|| format!("{n}"));
        }
        let other = tally.clone();
        tally.add(&other);
        assert_eq!((tally.reads, tally.wrong(Wrong::Back), tally.errors), (200, 200, 200));
        assert_eq!(tally.wrong(Wrong::Torn), 0);
        assert_eq!(tally.replica_share(), Some(0.75));
        assert_eq!(tally.latency.len(), 200);
        assert_eq!(tally.samples.len(), 2 * SAMPLES_MAX);
    }
}
