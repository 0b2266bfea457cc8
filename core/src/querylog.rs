//! The query log as the cores know it: which statements it wants, and what is told about one. It writes nothing: events
//! are mail, and the control thread has the file.
//!
//! ```text
//!   command complete ─► begin: a draft of every n-th, of all when slow ones are wanted ─► end: sampled or slow? ─► event
//! ```
//! Invariant: while the log is off no draft exists, and nothing is copied. A draft costs one copy of the text, at most
//! [`STATEMENT_BYTES_MAX`], since the command's own bytes are gone when its reply ends. Parameters are read only when
//! literals may be shown.

use crate::time::Instant;
use weir_planner::Facts;

pub mod params;

/// What an operator wants logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryLogSettings {
    /// One of so many statements; 0: none but the slow ones.
    pub sample: u32,
    /// A statement that took so long is always logged; 0: none is slow.
    pub slow_ms: u64,
    /// Literals and parameters may be shown.
    pub shows_literals: bool,
}

impl QueryLogSettings {
    pub fn is_on(&self) -> bool {
        self.sample > 0 || self.slow_ms > 0
    }
}

/// One statement that has ended. Times are microseconds.
#[derive(Clone, Debug, Default)]
pub struct QueryEvent {
    pub core: u16,
    /// As the client knows it.
    pub connection_id: u32,
    pub user: String,
    pub schema: String,
    /// `query`, `prepare` or `execute`.
    pub command: &'static str,
    /// As the client sent it, or as it was prepared; cut by the core to its limit.
    pub statement: Vec<u8>,
    /// The statement was longer.
    pub is_cut: bool,
    /// Of an execute: each parameter as text, NULL as None. Empty when they may not be shown.
    pub params: Vec<Option<String>>,
    /// How many there were.
    pub param_count: u16,
    /// Of the session: they say what in the text is a literal.
    pub facts: Facts,
    /// The backend that ran it; empty if none did.
    pub backend: String,
    /// `primary`, `replica`, `gate`.
    pub route: &'static str,
    /// Why it went there, as `EXPLAIN ROUTE` says.
    pub reason: &'static str,
    /// From the command to its sending, or to its end when it was sent nowhere.
    pub wait_us: u64,
    /// From there to the end of its reply.
    pub backend_us: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The error's number, if it ended in one; 2013 when the reply has no end.
    pub error: Option<u16>,
    /// It was in a transaction, or has begun one.
    pub in_transaction: bool,
    /// It took as long as a slow one does; otherwise it is a sample.
    pub is_slow: bool,
}

impl QueryEvent {
    pub fn total_us(&self) -> u64 {
        self.wait_us.saturating_add(self.backend_us)
    }
}

/// A statement under way that may be logged.
#[derive(Clone, Debug)]
pub struct Draft {
    pub began: Instant,
    pub command: &'static str,
    pub statement: Vec<u8>,
    pub is_cut: bool,
    pub params: Vec<Option<String>>,
    pub param_count: u16,
    pub facts: Facts,
    /// It was in a transaction when it came.
    pub in_transaction: bool,
    pub is_sampled: bool,
}

/// Which statements of a core get a draft.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Since the last one that was sampled.
    seen: u32,
}

impl Sampler {
    /// None: the log does not want it, whatever becomes of it. Every n-th is sampled: cheap, and exact in the long run.
    pub fn begin(
        &mut self,
        settings: &QueryLogSettings,
        began: Instant,
        command: &'static str,
        text: &[u8],
        facts: &Facts,
        in_transaction: bool,
    ) -> Option<Box<Draft>> {
        if !settings.is_on() {
            return None;
        }
        self.seen = self.seen.saturating_add(1);
        let is_sampled = settings.sample > 0 && self.seen >= settings.sample;
        if is_sampled {
            self.seen = 0;
        }
        if !is_sampled && settings.slow_ms == 0 {
            return None;
        }
        let kept = text.get(..STATEMENT_BYTES_MAX).unwrap_or(text);
        Some(Box::new(Draft {
            began,
            command,
            statement: kept.to_vec(),
            is_cut: kept.len() < text.len(),
            params: Vec::new(),
            param_count: 0,
            facts: *facts,
            in_transaction,
            is_sampled,
        }))
    }
}

/// Of one statement in the log.
pub const STATEMENT_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(settings: QueryLogSettings) -> Vec<Option<bool>> {
        let mut sampler = Sampler::default();
        let mut begin = || sampler.begin(&settings, Instant(0), "query", b"SELECT 1", &Facts::default(), false);
        (0..6).map(|_| begin().map(|draft| draft.is_sampled)).collect()
    }

    #[test]
    fn what_nobody_wants_has_no_draft() {
        let (off, sampled) = (QueryLogSettings::default(), QueryLogSettings { sample: 3, ..Default::default() });
        assert_eq!(kept(off), [None; 6]);
        assert_eq!(kept(sampled), [None, None, Some(true), None, None, Some(true)]);
        let slow = QueryLogSettings { slow_ms: 10, ..off };
        assert_eq!(kept(slow), [Some(false); 6]);
        assert_eq!(kept(QueryLogSettings { slow_ms: 10, sample: 6, ..off })[4..], [Some(false), Some(true)]);
    }

    #[test]
    fn long_texts_are_cut() {
        let settings = QueryLogSettings { sample: 1, ..Default::default() };
        let begin = |len| {
            Sampler::default()
                .begin(&settings, Instant(0), "query", &vec![b'x'; len], &Facts::default(), false)
                .unwrap()
        };
        let (whole, cut) = (begin(STATEMENT_BYTES_MAX), begin(STATEMENT_BYTES_MAX + 1));
        assert!(!whole.is_cut && cut.is_cut && cut.statement == whole.statement);
    }
}
