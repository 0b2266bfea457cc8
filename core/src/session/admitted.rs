//! Admission where commands pass: the waits that are noted, and who is refused by them.
//!
//! Cost: off, a branch for each command and one for each lease.

use crate::allowance::WEIGHT_USUAL;
use crate::engine::Engine;
use crate::session::refuse::Refusal;
use crate::session::{Request, Session};
use crate::slots::Key;
use weir_net::command::Command;

impl Engine {
    pub(crate) fn note_wait(&mut self, waited_ns: u64) {
        let target_ms = self.snapshot.settings.admission.target_ms;
        self.restraint.admission.served(self.now, waited_ns, !self.waiters.is_empty(), target_ms);
    }

    /// The command, if it may go on now: its account's turn has come, those of filters and of its form, and not too much waits. None: it waits for a turn, or was refused.
    #[cold]
    pub(crate) fn restrain(&mut self, session: Key<Session>, request: Box<Request>) -> Option<Box<Request>> {
        let request = match self.sessions[session].seat.is_some() {
            false => request,
            true => self.take_turn(session, request)?,
        };
        if self.restraint.limits_forms {
            self.want_form(session, &request);
        }
        let request = self.take_lanes(session, request)?;
        let refused = self.restraint.admission.is_on.then(|| self.not_admitted(session, &request)).flatten();
        match refused {
            None => Some(request),
            Some(why) => {
                self.refuse(session, request, &why);
                None
            }
        }
    }

    /// Why a command is refused; None: it may go on. What has waited already, or holds a connection, always may.
    pub(crate) fn not_admitted(&mut self, session: Key<Session>, request: &Request) -> Option<Refusal> {
        let s = &self.sessions[session];
        let is_new = request.since == self.now && request.resends == 0 && request.failed.is_none();
        let counts = matches!(request.command, Command::Query | Command::StmtExecute);
        if !is_new || !counts || s.lease.is_some() {
            return None;
        }
        let weight = s.seat.as_ref().map_or(WEIGHT_USUAL, |seat| seat.weight());
        let class = self.restraint.admission.weights.partition_point(|other| *other < weight) as u32;
        let classes = (class + 1).max(self.restraint.admission.weights.len() as u32);
        let target_ms = self.snapshot.settings.admission.target_ms;
        let (dice, is_waited_for) = (self.random(), !self.waiters.is_empty());
        if !self.restraint.admission.refuses(self.now, is_waited_for, target_ms, (class, classes), dice) {
            return None;
        }
        self.counters.statements_shed += 1;
        Some(Refusal::Overloaded { target_ms })
    }

    /// All weights that accounts may have, in order.
    pub(crate) fn adopt_weights(&mut self) {
        let allowances = &self.snapshot.settings.allowances;
        let rows = allowances.by_user.values().chain(allowances.others.as_ref());
        let usual = allowances.others.is_none().then_some(WEIGHT_USUAL);
        self.restraint.admission.weights = rows.map(|row| row.weight).chain(usual).collect();
        self.restraint.admission.weights.sort_unstable();
        self.restraint.admission.weights.dedup();
    }
}
