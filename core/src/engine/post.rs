//! What does not follow from a client's bytes: connections that are lost or cleaned, kills, the drain, deadlines.

use super::{Action, Engine, Waiter};
use crate::link::expect::Purpose;
use crate::link::{Errand, Lessee, Link, LinkPhase};
use crate::mail::{ControlMail, CoreId, KillOutcome, Mail, Sign};
use crate::session::account::AccountId;
use crate::session::refuse::Refusal;
use crate::session::{ClassId, Phase, Request, Session};
use crate::slots::Key;
use crate::snapshot::BackendId;
use crate::state::{SchemaId, StateId};
use crate::timers::Owner as TimerOwner;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;
use weir_pool::{Fit, Grant, SlotId, Want};

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
        self.drop_link(link);
    }

    /// Closes a link's wire and forgets it. Whoever leased it has been told.
    pub(crate) fn drop_link(&mut self, link: Key<Link>) {
        let Some(mut gone) = self.links.remove(link) else { return };
        self.index_link_gone(link, gone.backend);
        gone.inbound.clear(&mut self.blocks);
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

    /// An idle connection that the pool wants closed: says goodbye properly.
    pub(crate) fn retire(&mut self, link: Key<Link>) {
        let Some(gone) = self.links.remove(link) else { return };
        self.slot_links.remove(gone.slot.index);
        self.accounts.let_go(gone.account);
        self.say(gone.wire, &[1, 0, 0, 0, Command::Quit as u8]);
        self.close_wire_when_sent(gone.wire);
    }

    /// Takes everything off a connection that its last user left on it, then it goes back to the pool.
    pub(crate) fn clean(&mut self, link: Key<Link>) {
        if self.links[link].spoiled {
            return self.drop_link(link);
        }
        let l = &mut self.links[link];
        if self.classes.get(l.class).charset != l.charset {
            // A reset leads to the server's character set, not back to that of the login (seen on 9.7).
            let (account, schema) = (l.account, l.schema);
            return self.change_user(link, account, schema);
        }
        l.phase = LinkPhase::Cleaning;
        l.statements.clear();
        l.state = StateId(0);
        l.dirty = false;
        l.bare = false;
        self.inject(link, ReplyKind::Simple, Purpose::Reset, Command::ResetConnection, &[]);
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
    }

    /// Ends a backend's thread (or its statement) from another connection of the same account.
    pub(crate) fn start_kill(
        &mut self,
        backend: BackendId,
        thread_id: u32,
        query_only: bool,
        account: AccountId,
        class: ClassId,
    ) {
        let errand = Errand { backend, thread_id, query_only, account };
        let want = Want { account: account.0, class: class.0, schema: 0, fingerprint: 0, prefer: None };
        if self.accounts.find(account).is_none_or(|a| !a.proven) {
            return;
        }
        match self.pool.acquire(self.now.0, backend.0, &want) {
            Grant::Lease { slot, fit } => self.errand_granted(errand, slot, fit),
            Grant::Wait(ticket) => {
                self.waiters.insert(ticket, Waiter::Errand(errand));
            }
            Grant::Refused(_) => {}
        }
    }

    pub(crate) fn errand_granted(&mut self, errand: Errand, slot: SlotId, _fit: Fit) {
        let link = self.slot_links.get(slot.index).expect("a slot that is leased has a link");
        let l = &mut self.links[link];
        l.phase = LinkPhase::Leased;
        l.lessee = Some(Lessee::Kill(errand));
        self.prepare_kill(link, errand);
    }

    /// Makes the connection one of the account, or kills with it.
    pub(crate) fn prepare_kill(&mut self, link: Key<Link>, errand: Errand) {
        let l = &mut self.links[link];
        if l.account == errand.account {
            return self.send_kill(link, errand);
        }
        if self.accounts.find(errand.account).is_none() {
            l.lessee = None;
            return self.to_pool(link);
        }
        if !self.keep_insert_id(link, None) {
            self.change_user(link, errand.account, SchemaId(0));
        }
    }

    pub(crate) fn send_kill(&mut self, link: Key<Link>, errand: Errand) {
        let what = if errand.query_only { "QUERY" } else { "CONNECTION" };
        let text = format!("KILL {what} {}", errand.thread_id);
        self.links[link].last_session = None;
        // Nobody waits for it who could lose patience, and a backend that is silent may be why it was sent.
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        self.inject(link, ReplyKind::Query, Purpose::Kill, Command::Query, text.as_bytes());
    }

    pub(crate) fn kill_sent(&mut self, link: Key<Link>) {
        self.links[link].lessee = None;
        self.arm_link(link, crate::time::Instant::NEVER);
        self.to_pool(link);
    }

    /// `KILL n` from a client: `n` is a connection id of a gate (S30).
    pub(crate) fn kill_asked(&mut self, session: Key<Session>, request: Box<Request>, id: u64, query_only: bool) {
        let asker = self.sessions[session].account;
        let asker: Box<[u8]> = Box::from(&*self.accounts.get(asker).user);
        let ours = u32::try_from(id).ok().filter(|id| id >> 24 == u32::from(self.tag & 0xff));
        let Some(id) = ours else {
            // Not an id that this gate gives: one of the primary's own, as `SHOW PROCESSLIST` lists them there.
            return self.decide(session, request.to(weir_planner::Route::Primary));
        };
        if id == self.sessions[session].id {
            return self.kill_itself(session, request, query_only);
        }
        let core = (id & 0xff_ffff) % u32::from(self.cores);
        if core == u32::from(self.core.0) {
            let outcome = self.kill_here(id, query_only, &asker);
            return self.kill_answered(session, request, id, outcome);
        }
        self.kill_next += 1;
        let token = self.kill_next;
        self.kills.insert(token, session);
        self.sessions[session].phase = Phase::Killing(request, id);
        let mail = Mail::Kill { from: self.core, token, connection_id: id, query_only, asker };
        self.post(CoreId(core as u16), mail);
    }

    /// The statement that is interrupted is the `KILL`.
    fn kill_itself(&mut self, session: Key<Session>, request: Box<Request>, query_only: bool) {
        if query_only {
            return self.refuse(session, request, &Refusal::Interrupted);
        }
        self.use_up(session, &request);
        self.part_with(session, 1, &Refusal::Interrupted);
    }

    /// `COM_PROCESS_KILL`, which servers since 9.0 do not know.
    pub(crate) fn kill_command(&mut self, session: Key<Session>, request: Box<Request>) {
        if self.server_version() >= 90_000 {
            return self.refuse(session, request, &Refusal::UnknownCommand);
        }
        let mut copy = Vec::new();
        let id = match self.command_bytes(session, request.len, &mut copy) {
            &[a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        self.kill_asked(session, request, u64::from(id), false);
    }

    /// Kills a session of this core, if the asker's account is the same. Another account's would need the server's
    /// `CONNECTION_ADMIN`, which the gate cannot judge: refused as the server refuses it.
    pub(crate) fn kill_here(&mut self, id: u32, query_only: bool, asker: &[u8]) -> KillOutcome {
        let found = self.sessions.iter().find(|(_, s)| s.id == id).map(|(key, s)| (key, s.account));
        let Some((victim, account)) = found else { return KillOutcome::NoSuchThread };
        let Some(owner) = self.accounts.find(account) else { return KillOutcome::NoSuchThread };
        if &*owner.user != asker {
            return KillOutcome::NotOwner;
        }
        if let (Some(link), true) = (self.sessions[victim].lease, query_only) {
            let l = &self.links[link];
            let running = l.lessee == Some(Lessee::Session(victim)) && !l.expects.is_empty();
            if running {
                let (backend, thread) = (l.backend, l.thread_id);
                let (account, class) = (self.sessions[victim].account, self.sessions[victim].class);
                self.start_kill(backend, thread, true, account, class);
            }
        }
        if !query_only {
            self.client_gone(victim);
        }
        KillOutcome::Done
    }

    pub(crate) fn killed(&mut self, token: u64, outcome: KillOutcome) {
        let Some(session) = self.kills.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Killing(request, id) => self.kill_answered(session, request, id, outcome),
            other => s.phase = other,
        }
    }

    fn kill_answered(&mut self, session: Key<Session>, request: Box<Request>, id: u32, outcome: KillOutcome) {
        if self.sessions.get(session).is_none() {
            return; // It killed itself.
        }
        match outcome {
            KillOutcome::Done => self.answer_statement(session, request),
            KillOutcome::NoSuchThread => self.refuse(session, request, &Refusal::NoSuchThread(u64::from(id))),
            KillOutcome::NotOwner => self.refuse(session, request, &Refusal::NotOwner(u64::from(id))),
        }
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
        match &s.phase {
            Phase::Verify(verify) => {
                let seq = verify.seq;
                self.part_with(session, seq, &Refusal::HandshakeTimeout);
            }
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
                self.link_lost(link, "the login at the backend took too long");
            }
            LinkPhase::Cleaning => self.link_lost(link, "cleaning a connection took too long"),
            LinkPhase::Leased if matches!(l.lessee, Some(Lessee::Kill(_) | Lessee::Index)) => {
                self.link_lost(link, "a question of the gate's own took too long")
            }
            LinkPhase::Idle | LinkPhase::Leased | LinkPhase::Closing => {}
        }
    }
}
