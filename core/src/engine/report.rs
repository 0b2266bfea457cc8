//! What a core tells about itself: counters, histograms, pools, pins.

use super::{Action, Engine};
use crate::mail::ControlMail;
use crate::snapshot::BackendId;
use crate::stats::{Counters, PinReport, PoolReport, Report};

impl Engine {
    pub(crate) fn report(&mut self, token: u64) {
        self.wait_ns.saturating_record_n(0, std::mem::take(&mut self.waits_none));
        let report = Report {
            core: self.core.0,
            counters: self.counters_now(),
            wait_ns: self.wait_ns.clone(),
            backend_ns: self.backend_ns.clone(),
            gate_ns: self.gate_ns.clone(),
            pools: self.pool_reports(),
            pins: self.pin_reports(),
        };
        self.actions.push_back(Action::Tell(ControlMail::Report { token, report: Box::new(report) }));
    }

    /// The counters, with those that other parts keep filled in.
    pub(crate) fn counters_now(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.plans_cached = self.plans.hits();
        counters.plans_made = self.plans.misses();
        counters.waiting = (self.waiters.len() + self.buffer.len()) as u64;
        counters.connections_open = self.links.len() as u64;
        counters.connections_leased = self.links.iter().filter(|(_, l)| l.lessee.is_some()).count() as u64;
        counters
    }

    pub(crate) fn pool_reports(&self) -> Vec<PoolReport> {
        let report = |view: &crate::snapshot::BackendView| {
            let at = view.id.0;
            PoolReport {
                backend: view.name.clone(),
                quota: self.pool.quota(at),
                open: self.pool.open(at),
                idle: self.pool.idle(at),
                leased: self.pool.outstanding(at),
                waiting: self.pool.waiting(at),
                commands: self.commands_by_backend.get(at as usize).copied().unwrap_or(0),
            }
        };
        self.snapshot.backends.iter().map(report).collect()
    }

    pub(crate) fn pin_reports(&self) -> Vec<PinReport> {
        let mut all = Vec::new();
        for (_, s) in self.sessions.iter().filter(|(_, s)| !s.pins.is_empty()) {
            let backend = s.lease.and_then(|l| self.links.get(l)).map(|l| l.backend).unwrap_or(BackendId(0));
            for reason in s.pins.reasons().words() {
                all.push(PinReport {
                    connection_id: s.id,
                    user: self.user_of(s),
                    backend: self.snapshot.backend(backend).name.clone(),
                    reason,
                    statement: s.pins.statement().to_string(),
                    age_ms: self.now.since_ms(s.pins.since()),
                });
            }
        }
        all
    }
}
