//! The query log as the cores know it: which statements it wants, and what is told about one. It writes nothing: events
//! are mail, and the control thread has the file.
//!
//! ```text
//!   command complete ─► begin: a draft of every n-th, of all when slow ones are wanted ─► end: sampled or slow? ─► event
//! ```
//! Invariant: while the log is off no draft exists, and nothing is copied, unless the statement is traced: a trace has the same draft
//! (`trace.rs`). A draft costs one copy of the text, at most
//! [`STATEMENT_BYTES_MAX`], since the command's own bytes are gone when its reply ends. Parameters are read only when
//! literals may be shown.

use crate::engine::next_random;
use crate::snapshot::Settings;
use crate::stats::Counters;
use crate::time::Instant;
use crate::trace::{Allowance, Context, Ids, TraceSettings};
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

/// A statement under way that may be logged, or is traced.
#[derive(Clone, Debug, Default)]
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
    /// None: it has no span.
    pub trace: Option<Ids>,
    /// What came with its caller's context.
    pub trace_state: Option<Box<str>>,
}

/// A statement that begins.
pub struct Begun<'a> {
    pub at: Instant,
    pub command: &'static str,
    pub text: &'a [u8],
    pub facts: &'a Facts,
    pub in_transaction: bool,
    pub context: Context,
}

/// Which statements of a core get a draft.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Somebody wants some: the one thing that is looked at while nobody does.
    is_on: bool,
    /// Since the last one that was sampled.
    seen: u32,
    allowance: Allowance,
}

impl Sampler {
    pub fn obey(&mut self, settings: &Settings) {
        self.is_on = settings.query_log.is_on() || settings.traces.is_on;
    }

    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// None: neither the log nor a trace wants it, whatever becomes of it.
    pub fn begin(
        &mut self,
        settings: &Settings,
        begun: Begun<'_>,
        random: &mut u64,
        counters: &mut Counters,
    ) -> Option<Box<Draft>> {
        let is_sampled = self.samples(&settings.query_log);
        let trace = if settings.traces.is_on { self.trace(&settings.traces, &begun, random, counters) } else { None };
        if !is_sampled && settings.query_log.slow_ms == 0 && trace.is_none() {
            return None;
        }
        let trace_state = match begun.context {
            Context::Sampled(_, state) if trace.is_some() => state,
            _ => None,
        };
        let kept = begun.text.get(..STATEMENT_BYTES_MAX).unwrap_or(begun.text);
        Some(Box::new(Draft {
            began: begun.at,
            command: begun.command,
            statement: kept.to_vec(),
            is_cut: kept.len() < begun.text.len(),
            params: Vec::new(),
            param_count: 0,
            facts: *begun.facts,
            in_transaction: begun.in_transaction,
            is_sampled,
            trace,
            trace_state,
        }))
    }

    /// Every n-th: cheap, and exact in the long run.
    fn samples(&mut self, settings: &QueryLogSettings) -> bool {
        self.seen = self.seen.saturating_add(1);
        let is_sampled = settings.sample > 0 && self.seen >= settings.sample;
        if is_sampled {
            self.seen = 0;
        }
        is_sampled
    }

    /// By its caller's word, or by a draw: a client that always does the same ten things would have the same one traced by every tenth.
    fn trace(
        &mut self,
        settings: &TraceSettings,
        begun: &Begun<'_>,
        random: &mut u64,
        counters: &mut Counters,
    ) -> Option<Ids> {
        let parent = match &begun.context {
            Context::Sampled(parent, _) => Some(*parent),
            Context::Unsampled => return None,
            Context::None | Context::Wrong => None,
        };
        counters.trace_contexts_wrong += u64::from(begun.context == Context::Wrong);
        let mut is_drawn = || settings.sample > 0 && next_random(random).is_multiple_of(u64::from(settings.sample));
        if parent.is_none() && !is_drawn() {
            return None;
        }
        if !self.allowance.take(begun.at, settings.per_s_max) {
            counters.traces_limited += 1;
            return None;
        }
        Some(Ids::draw(parent, || next_random(random)))
    }
}

/// Of one statement in the log.
pub const STATEMENT_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Parent;

    fn begin(sampler: &mut Sampler, settings: &Settings, text: &[u8], context: Context) -> Option<Box<Draft>> {
        let facts = Facts::default();
        let begun = Begun { at: Instant(0), command: "query", text, facts: &facts, in_transaction: false, context };
        sampler.begin(settings, begun, &mut 7, &mut Counters::default())
    }

    fn log(query_log: QueryLogSettings) -> Settings {
        Settings { query_log, ..Settings::default() }
    }

    fn kept(settings: QueryLogSettings) -> Vec<Option<bool>> {
        let mut sampler = Sampler::default();
        let settings = log(settings);
        let mut one = || begin(&mut sampler, &settings, b"SELECT 1", Context::None).map(|draft| draft.is_sampled);
        (0..6).map(|_| one()).collect()
    }

    #[test]
    fn what_nobody_wants_has_no_draft() {
        let (off, sampled) = (QueryLogSettings::default(), QueryLogSettings { sample: 3, ..Default::default() });
        assert_eq!(kept(off), [None; 6]);
        assert_eq!(kept(sampled), [None, None, Some(true), None, None, Some(true)]);
        let slow = QueryLogSettings { slow_ms: 10, ..off };
        assert_eq!(kept(slow), [Some(false); 6]);
        assert_eq!(kept(QueryLogSettings { slow_ms: 10, sample: 6, ..off })[4..], [Some(false), Some(true)]);
        let mut sampler = Sampler::default();
        for (settings, is_on) in [(Settings::default(), false), (log(slow), true), (traced(0), true)] {
            sampler.obey(&settings);
            assert_eq!(sampler.is_on(), is_on);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let settings = log(QueryLogSettings { sample: 1, ..Default::default() });
        let of = |len| begin(&mut Sampler::default(), &settings, &vec![b'x'; len], Context::None).unwrap();
        let (whole, cut) = (of(STATEMENT_BYTES_MAX), of(STATEMENT_BYTES_MAX + 1));
        assert!(!whole.is_cut && cut.is_cut && cut.statement == whole.statement);
    }

    fn traced(sample: u32) -> Settings {
        Settings { traces: TraceSettings { is_on: true, sample, per_s_max: 100 }, ..Settings::default() }
    }

    /// Contexts of statements, one a millisecond: how many have a span, and what was counted.
    fn spans(sample: u32, context: &Context, count: u64) -> (usize, Counters) {
        let (mut sampler, mut counters, mut random, facts) =
            (Sampler::default(), Counters::default(), 1, Facts::default());
        let mut one = |ms: u64| {
            let begun = Begun {
                at: Instant::ZERO.plus_ms(ms + 5_000),
                command: "query",
                text: b"SELECT 1",
                facts: &facts,
                in_transaction: false,
                context: context.clone(),
            };
            sampler.begin(&traced(sample), begun, &mut random, &mut counters)
        };
        let drafts: Vec<Box<Draft>> = (0..count).filter_map(&mut one).collect();
        let is_heir = |draft: &Draft| {
            assert_eq!(draft.trace_state.is_some(), draft.trace.is_some_and(|ids| ids.parent.is_some()));
            draft.trace_state.is_some()
        };
        assert!(drafts.iter().all(|draft| is_heir(draft) == matches!(context, Context::Sampled(..))));
        assert!(drafts.iter().all(|draft| draft.trace.is_some() && !draft.is_sampled));
        (drafts.len(), counters)
    }

    #[test]
    fn who_is_traced_follows_from_the_context_and_the_draw() {
        let sampled = Context::Sampled(Parent { trace: [1; 16], span: [2; 8] }, Some("a=1".into()));
        assert_eq!(spans(0, &Context::None, 1_000).0, 0);
        assert_eq!(spans(1, &Context::Unsampled, 1_000).0, 0, "its caller does not want it, whatever the share");
        assert_eq!(spans(0, &sampled, 50).0, 50);
        let (drawn, counters) = spans(20, &Context::None, 10_000);
        assert!((400..600).contains(&drawn) && counters.traces_limited == 0, "{drawn} of 10,000");
        let (wrong, counters) = spans(0, &Context::Wrong, 30);
        assert_eq!((wrong, counters.trace_contexts_wrong), (0, 30));
        assert!(spans(1, &Context::Wrong, 30).0 == 30, "it counts as none");
        // A hundred at once, then a hundred a second.
        let (taken, counters) = spans(0, &sampled, 3_000);
        assert!((398..=402).contains(&taken), "{taken}");
        assert_eq!(counters.traces_limited, 3_000 - taken as u64);
    }
}
