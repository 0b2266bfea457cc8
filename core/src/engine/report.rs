//! What a core tells about itself: counters, histograms, pools, pins.

use super::{Action, Engine};
use crate::digest::DigestReport;
use crate::mail::ControlMail;
use crate::session::Session;
use crate::show::{Detail, SESSIONS_TOLD_MAX};
use crate::snapshot::BackendId;
use crate::stats::{Counters, PinReport, PoolReport, Report, SessionReport};
use crate::tally::forms::form_of;

impl Engine {
    pub(crate) fn report(&mut self, token: u64, detail: Detail) {
        self.wait_ns.saturating_record_n(0, std::mem::take(&mut self.waits_none));
        let of = detail.of.as_deref();
        let report = Report {
            core: self.core.0,
            counters: self.counters_now(),
            wait_ns: self.wait_ns.clone(),
            backend_ns: self.backend_ns.clone(),
            gate_ns: self.gate_ns.clone(),
            pools: self.pool_reports(),
            pins: self.pin_reports(of),
            digests: if detail.digests { self.digest_reports() } else { Vec::new() },
            pins_ever: if detail.pins { self.pins_ever(of) } else { Vec::new() },
            sessions_untold: if detail.sessions { self.sessions_of(of).skip(SESSIONS_TOLD_MAX).count() } else { 0 },
            sessions: if detail.sessions { self.session_reports(of) } else { Vec::new() },
        };
        if detail.forgets_digests {
            self.digests.forget();
        }
        self.actions.push_back(Action::Tell(ControlMail::Report { token, report: Box::new(report) }));
    }

    /// The counters, with those that other parts keep filled in.
    pub(crate) fn counters_now(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.plans_cached = self.plans.hits();
        counters.plans_made = self.plans.misses();
        (counters.buffering, counters.buffer_bytes) = (self.buffer.len() as u64, self.buffer.bytes() as u64);
        counters.waiting = (self.waiters.len() + self.buffer.len()) as u64;
        counters.orphans_waiting = self.restraint.errands.orphans() as u64;
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

    fn digest_reports(&self) -> Vec<DigestReport> {
        let name = |schema| String::from_utf8_lossy(self.states.schema_name(schema)).into_owned();
        let mut reports = self.digests.report(self.now, name);
        if self.restraint.limits_forms {
            let forms = self.tally.forms();
            for report in &mut reports {
                let usage = forms.find(form_of(&report.text));
                (report.running, report.waiting) = usage.map_or((0, 0), |usage| (usage.running(), usage.waiting()));
            }
        }
        reports
    }

    fn pins_ever(&self, of: Option<&[u8]>) -> Vec<(String, &'static str, u64)> {
        let of = of.map(String::from_utf8_lossy);
        let is_asked = |(user, ..): &(&str, &str, u64)| of.as_ref().is_none_or(|of| of == user);
        self.pin_ledger.each().filter(is_asked).map(|(user, reason, times)| (user.to_string(), reason, times)).collect()
    }

    /// Of one user, or of all. Who has not logged in yet is nobody's.
    fn sessions_of(&self, of: Option<&[u8]>) -> impl Iterator<Item = &Session> {
        let user = |s: &Session| self.accounts.find(s.account).map(|account| &*account.user);
        let is_asked = move |s: &&Session| of.is_none_or(|of| user(s) == Some(of));
        self.sessions.iter().map(|(_, s)| s).filter(is_asked)
    }

    fn session_reports(&self, of: Option<&[u8]>) -> Vec<SessionReport> {
        let report = |s: &Session| {
            let link = s.lease.and_then(|link| self.links.get(link));
            SessionReport {
                connection_id: s.id,
                user: self.user_of(s),
                peer: s.peer.to_string(),
                listener: s.listener,
                schema: String::from_utf8_lossy(self.states.schema_name(s.schema)).into_owned(),
                phase: s.phase.name(),
                backend: link.map(|link| self.snapshot.backend(link.backend).name.clone()).unwrap_or_default(),
                pins: s.pins.reasons().words().collect::<Vec<_>>().join(", "),
            }
        };
        self.sessions_of(of).take(SESSIONS_TOLD_MAX).map(report).collect()
    }

    pub(crate) fn pin_reports(&self, of: Option<&[u8]>) -> Vec<PinReport> {
        let mut all = Vec::new();
        for s in self.sessions_of(of).filter(|s| !s.pins.is_empty()) {
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
