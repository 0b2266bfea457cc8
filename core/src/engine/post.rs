//! What does not follow from a client's bytes: connections that are lost or cleaned, kills on servers, the drain, deadlines.

use super::{Action, Engine};
use crate::link::{Lessee, Link, LinkPhase};
use crate::mail::{ControlMail, Sign};
use crate::session::refuse::Refusal;
use crate::session::{Greet, Phase, Session};
use crate::slots::Key;
use crate::snapshot::BackendId;
use crate::timers::Owner as TimerOwner;
use weir_net::command::Command;

impl Engine {
    /// A backend connection is gone or not to be trusted any more.
    pub(crate) fn link_lost(&mut self, link: Key<Link>, why: &'static str) {
        let Some(l) = self.links.get(link) else { return };
        let (lessee, backend, idle) = (l.lessee, l.backend, matches!(l.phase, LinkPhase::Idle));
        if !idle && !matches!(l.phase, LinkPhase::Closing) {
            self.backend_suspect(backend, why, Sign::Silent);
            self.traffic[backend.0 as usize].broke();
        }
        if let Some(Lessee::Session(session)) = lessee {
            self.lease_lost(session, link);
        }
        self.forget_link(link);
    }

    /// The same, without a word of the server: it may be there, and not know.
    pub(crate) fn link_silent(&mut self, link: Key<Link>, why: &'static str) {
        let Some(backend) = self.links.get(link).map(|l| l.backend) else { return };
        self.orphan(link);
        self.link_lost(link, why);
        self.send_errands(backend);
    }

    /// Takes the connection from a session that has something open on it, perhaps, and gives it up.
    pub(crate) fn cut_lease(&mut self, session: Key<Session>, link: Key<Link>) {
        // First, as long as the session knows what it was doing.
        if self.links[link].may_hold() {
            self.orphan(link);
        }
        self.lease_lost(session, link);
        self.forget_link(link);
    }

    /// What is open there was seen to, or the server knows of its end.
    pub(crate) fn forget_link(&mut self, link: Key<Link>) {
        if let Some(l) = self.links.get_mut(link) {
            l.leaves_nothing();
        }
        self.drop_link(link);
    }

    /// Closes a link's wire and forgets it. Whoever leased it has been told.
    pub(crate) fn drop_link(&mut self, link: Key<Link>) {
        if self.links.get(link).is_some_and(Link::may_hold) {
            // Its server may not hear of the end.
            self.orphan(link);
        }
        let Some(mut gone) = self.links.remove(link) else { return };
        self.insert_ids_gone(link, &gone);
        self.index_link_gone(link, gone.backend);
        gone.inbound.clear(&mut self.blocks);
        if let Some(Lessee::Kill(errand)) = gone.lessee {
            self.errand_lost(errand);
        }
        self.slot_links.remove(gone.slot.index);
        self.accounts.let_go(gone.account);
        if matches!(gone.phase, LinkPhase::Idle) {
            // The pool must not hand it out any more; a slot in any other state is given back with the wire.
            self.wires[gone.wire].slot = None;
            self.pool.closed(self.now.0, gone.slot);
        }
        self.close_wire(gone.wire);
    }

    /// Gives up those that rest and were not heard from since: their server was seen to lose others.
    pub(crate) fn shed_idle(&mut self, backend: BackendId, since: crate::time::Instant) {
        let is_old = |l: &Link| l.backend == backend && matches!(l.phase, LinkPhase::Idle) && l.rested_at <= since;
        let old: Vec<Key<Link>> = self.links.iter().filter(|(_, l)| is_old(l)).map(|(key, _)| key).collect();
        self.counters.connections_shed += old.len() as u64;
        for link in old {
            self.drop_link(link);
        }
    }

    /// A connection that nobody has, and that the pool wants closed or that cannot be shared any more: says goodbye properly, after it
    /// has told what it alone knows.
    pub(crate) fn retire(&mut self, link: Key<Link>) {
        if self.ask_unsaid_insert_id(link) {
            self.links[link].phase = LinkPhase::Retiring;
            return self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        }
        let Some(gone) = self.links.remove(link) else { return };
        self.slot_links.remove(gone.slot.index);
        self.accounts.let_go(gone.account);
        self.say(gone.wire, &[1, 0, 0, 0, Command::Quit as u8]);
        self.close_wire_when_sent(gone.wire);
    }

    /// Takes everything off a connection that its last user left on it, then it goes back to the pool.
    pub(crate) fn clean(&mut self, link: Key<Link>) {
        if self.links[link].spoiled {
            return self.retire(link);
        }
        if self.ask_unsaid_insert_id(link) {
            self.links[link].phase = LinkPhase::Cleaning;
            return self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        }
        // Not by a reset: that leaves the roles active, and leads to the server's character set instead of that of the login
        // (both seen on 9.7).
        let l = &self.links[link];
        let (account, schema) = (l.account, l.schema);
        self.change_user(link, account, schema);
    }

    /// No new clients; those at rest end now, the others with their transaction, all of them after the limit.
    pub(crate) fn drain(&mut self, within_ms: u64) {
        self.draining = true;
        let limit = self.now.plus_ms(within_ms);
        for session in self.sessions.keys() {
            let Some(s) = self.sessions.get_mut(session) else { continue };
            s.leaving = true;
            let resting = matches!(s.phase, Phase::Ready) && s.lease.is_none() && s.inbound.is_empty();
            if resting || matches!(s.phase, Phase::Greet(_)) {
                self.part_with(session, 0, &Refusal::Draining);
            } else {
                self.arm_session(session, limit);
            }
        }
    }

    pub(crate) fn tell_drained(&mut self) {
        if self.draining && !self.drained_told && self.sessions.is_empty() {
            self.drained_told = true;
            self.actions.push_back(Action::Tell(ControlMail::Drained));
        }
    }

    pub(crate) fn session_due(&mut self, session: Key<Session>, owner: TimerOwner) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        if !self.timers.is_due(self.now, &mut s.deadline, owner) {
            return;
        }
        let leaving = s.leaving && self.draining;
        if !leaving && self.overtime_due(session) {
            return;
        }
        let s = &self.sessions[session];
        match &s.phase {
            Phase::Verify(verify) => {
                let seq = verify.seq;
                self.part_with(session, seq, &Refusal::HandshakeTimeout);
            }
            Phase::Greet(Greet::Proxy) => {
                self.proxy_header_refused(session, "it did not come in time (handshake_ms_max)");
            }
            Phase::Greet(Greet::Held(_)) => self.claim_due(session),
            Phase::Greet(_) => self.part_with(session, 1, &Refusal::HandshakeTimeout),
            Phase::Waiting(..) => self.wait_timed_out(session),
            Phase::Unresolved(..) => self.outcome_timed_out(session),
            _ if leaving => self.part_with(session, 0, &Refusal::Draining),
            Phase::Ready if s.lease.is_none() || !s.inbound.is_empty() => self.client_gone(session),
            // The server's own wait_timeout rules over a connection that the session holds.
            _ => {}
        }
    }

    pub(crate) fn link_due(&mut self, link: Key<Link>, owner: TimerOwner) {
        let Some(l) = self.links.get_mut(link) else { return };
        if !self.timers.is_due(self.now, &mut l.deadline, owner) {
            return;
        }
        match l.phase {
            LinkPhase::Dialing if !self.wires[l.wire].known => self.dial_after_pause(link),
            LinkPhase::Dialing | LinkPhase::Greeting | LinkPhase::Login { .. } | LinkPhase::Setup { .. } => {
                self.link_silent(link, "the login at the backend took too long");
            }
            LinkPhase::Cleaning | LinkPhase::Retiring => self.link_silent(link, "cleaning a connection took too long"),
            LinkPhase::Leased if matches!(l.lessee, Some(Lessee::Kill(_) | Lessee::Index)) => {
                self.link_silent(link, "a question of the gate's own took too long");
            }
            LinkPhase::Idle | LinkPhase::Leased | LinkPhase::Closing => {}
        }
    }
}
