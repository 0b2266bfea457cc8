//! The scene: what all parts of the world share. Time, the agenda, the cables, the log, the oracle, the trace.

use std::collections::{BTreeMap, VecDeque};

use crate::sim::agenda::{Agenda, Event};
use crate::sim::cable::{Cables, Got, Sock};
use crate::sim::mutation::Mutation;
use crate::sim::oracle::Oracle;
use crate::sim::random::Random;
use crate::sim::server::data::Logged;

/// Events kept for the report of a failing seed.
const TRACE_MAX: usize = 120;

pub struct Scene {
    pub now: u64,
    pub agenda: Agenda,
    pub random: Random,
    pub cables: Cables,
    /// Transactions that the primary has committed, in order.
    pub log: Vec<Logged>,
    /// Users and their passwords: the same on every server.
    pub passwords: BTreeMap<String, String>,
    pub oracle: Oracle,
    pub mutation: Option<Mutation>,
    /// Statements until the mutation happens.
    pub mutation_in: u64,
    /// Of the log, what the control thread saw on the primary when it last looked.
    pub looked_at: usize,
    traced: bool,
}

impl Scene {
    pub fn new(seed: u64, traced: bool) -> Scene {
        Scene {
            now: 0,
            agenda: Agenda::default(),
            random: Random::new(seed),
            cables: Cables::default(),
            log: Vec::new(),
            passwords: BTreeMap::new(),
            oracle: Oracle::default(),
            mutation: None,
            mutation_in: 0,
            looked_at: 0,
            traced,
        }
    }

    /// Puts an event `after_ns` from now.
    pub fn later(&mut self, after_ns: u64, event: Event) {
        self.agenda.put(self.now + after_ns, event);
    }

    pub fn read(&mut self, sock: Sock, max: usize) -> Got {
        self.cables.read(self.now, &mut self.agenda, sock, max)
    }

    /// See [`Cables::write`].
    pub fn write(&mut self, sock: Sock, bytes: &[u8]) -> Option<usize> {
        self.cables.write(self.now, &mut self.agenda, &mut self.random, sock, bytes)
    }

    pub fn close(&mut self, sock: Sock) {
        self.cables.close(self.now, &mut self.agenda, sock);
    }

    pub fn half_close(&mut self, sock: Sock) {
        self.cables.half_close(self.now, &mut self.agenda, sock);
    }

    pub fn abort(&mut self, sock: Sock) {
        self.cables.abort(self.now, &mut self.agenda, sock);
    }

    /// See [`Cables::lose`].
    pub fn lose(&mut self, sock: Sock) {
        self.cables.lose(self.now, &mut self.agenda, sock);
    }

    /// Tells the trace, if there is one. The words are made only then.
    pub fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.traced {
            let entry = (self.now, words());
            LAST.with_borrow_mut(|last| {
                last.push_back(entry);
                if last.len() > TRACE_MAX {
                    last.pop_front();
                }
            });
        }
    }

    /// True throughout a run with this mistake: for those that show only now and then.
    pub fn errs(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// True once, when this run's mistake is due here.
    pub fn mistake(&mut self, mutation: Mutation) -> bool {
        if self.mutation != Some(mutation) {
            return false;
        }
        if self.mutation_in > 0 {
            self.mutation_in -= 1;
            return false;
        }
        self.mutation = None;
        self.tell(|| format!("MUTATION {mutation:?}"));
        true
    }
}

thread_local! {
    /// The trace of the run under way, where it outlives a panic.
    static LAST: std::cell::RefCell<VecDeque<(u64, String)>> = const { std::cell::RefCell::new(VecDeque::new()) };
}

/// The last events of a traced run on this thread, and clears them.
pub fn take_trace() -> Vec<(u64, String)> {
    LAST.with_borrow_mut(|last| last.drain(..).collect())
}
