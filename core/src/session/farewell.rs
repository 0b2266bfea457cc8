//! The end of a session: what it holds goes back, is cleaned, or is cut off (S32, S50).
//!
//! Invariant: after it nothing refers to the session: no ticket, no lease, no account use; its wire closes by itself.

use crate::engine::Engine;
use crate::link::errands::runs_an_end;
use crate::session::refuse::Refusal;
use crate::session::{Greet, Phase, Session, Wait};
use crate::slots::Key;

impl Engine {
    /// Says why and ends the session once that has been sent.
    pub(crate) fn part_with(&mut self, session: Key<Session>, seq: u8, why: &Refusal) {
        if matches!(self.sessions[session].phase, Phase::Greet(_) | Phase::Verify(_)) {
            self.count_refused_login(why);
        }
        self.say_packet(session, seq, &why.payload());
        self.end_session(session, Parting::AfterSending);
    }

    /// Those that a limit or a password keeps out are counted where that is decided.
    fn count_refused_login(&mut self, why: &Refusal) {
        let counters = &mut self.counters;
        match why {
            Refusal::TooManyClients { .. } | Refusal::AccessDenied { .. } => {}
            Refusal::Draining => counters.clients_refused_draining += 1,
            Refusal::HandshakeTimeout => counters.logins_timed_out += 1,
            Refusal::BadHandshake(_)
            | Refusal::MalformedCommand(_)
            | Refusal::OutOfOrder
            | Refusal::AuthUnsupported(_)
            | Refusal::Uncompress
            | Refusal::WrongCompression(_) => counters.logins_broken += 1,
            _ => counters.logins_unserved += 1,
        }
    }

    /// The client is gone, or said `COM_QUIT`.
    pub(crate) fn client_gone(&mut self, session: Key<Session>) {
        self.end_session(session, Parting::Now);
    }

    pub(crate) fn end_session(&mut self, session: Key<Session>, parting: Parting) {
        let Some(mut gone) = self.sessions.remove(session) else { return };
        self.ids.end(gone.id);
        self.buffer.remove(session);
        let ends = runs_an_end(&gone);
        match std::mem::replace(&mut gone.phase, Phase::Farewell) {
            Phase::Waiting(mut request, wait) => {
                if let Wait::Line(ticket) = wait {
                    self.pool.cancel(ticket);
                    self.waiters.remove(&ticket);
                }
                request.kept.clear(&mut self.blocks);
                self.log_cut_off(&gone, &mut request);
            }
            Phase::Verify(verify) => {
                if let Some(ticket) = verify.ticket {
                    self.pool.cancel(ticket);
                    self.waiters.remove(&ticket);
                }
            }
            Phase::Aligning(mut request)
            | Phase::Relaying(mut request)
            | Phase::Feeding(mut request, _)
            | Phase::Killing(mut request, _)
            | Phase::Setting(mut request, _)
            | Phase::Showing(mut request) => {
                request.kept.clear(&mut self.blocks);
                self.log_cut_off(&gone, &mut request);
            }
            Phase::Unresolved(mut request, unresolved) => {
                self.unresolved.remove(&unresolved.token);
                request.kept.clear(&mut self.blocks);
                self.log_cut_off(&gone, &mut request);
            }
            Phase::Greet(Greet::Held(_)) => self.tally.failures().released(gone.peer.origin()),
            Phase::Greet(_) | Phase::Ready | Phase::Asking | Phase::Farewell => {}
        }
        gone.inbound.clear(&mut self.blocks);
        if let Some(lanes) = gone.lanes.take() {
            self.leave_lanes(session, *lanes);
        }
        if let Some(seat) = gone.seat.take() {
            self.seat_left(session, &seat);
        }
        if let Some(link) = gone.lease.take() {
            self.abandon_lease(link, &gone, ends);
        }
        self.audit_logout(&gone);
        if !gone.pins.is_empty() {
            self.counters.sessions_pinned -= 1;
        }
        self.accounts.let_go(gone.account);
        self.counters.clients_open -= 1;
        match parting {
            Parting::AfterSending => self.close_wire_when_sent(gone.wire),
            Parting::Now => self.close_wire(gone.wire),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    Now,
    AfterSending,
}
