//! `KILL` of clients (S30): by the ids that gates gave them, whichever gate's and core's they are.
//!
//! ```text
//!   KILL id ─┬─ begins with 0: a server's own ────────────────────────► the primary
//!            └─► the core that gave it ── nobody here ──► control ──► the other gates
//!                      └─ done, 1095                         ├─ done, 1094, 1095, unknown (1105)
//!                                                            └─ no gate's ──► the primary
//! ```
//! Invariant: it is answered only by the outcome, and OK only when it was done. An id is looked for as a whole, so that one of a
//! client that is gone hits nobody. Control answers within a limit of time, whatever became of the other gates.

use crate::audit::AuditKind;
use crate::engine::{Action, Engine};
use crate::link::Lessee;
use crate::mail::{Asker, ControlMail, CoreId, Kill, KillOutcome, Mail};
use crate::session::refuse::Refusal;
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use weir_net::flavour::Flavour;

/// A kill that others were asked for.
#[derive(Debug)]
pub struct Killing {
    kill: Kill,
    asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The core of this gate that gives such ids.
    Core,
    /// Control, which asks other gates.
    Control,
}

impl Engine {
    /// `KILL n` from a client.
    pub(crate) fn kill_asked(&mut self, session: Key<Session>, request: Box<Request>, id: u64, query_only: bool) {
        let Some(connection_id) = u32::try_from(id).ok().filter(|id| tag(*id) != 0) else {
            // Not an id that gates give: one of the primary's own, as `SHOW PROCESSLIST` lists them there.
            return self.decide(session, request.to(weir_planner::Route::Primary));
        };
        if connection_id == self.sessions[session].id {
            return self.kill_itself(session, request, query_only);
        }
        let asker = Some(Box::from(&*self.accounts.get(self.sessions[session].account).user));
        let kill = Kill { connection_id, query_only, asker };
        // An older tag of this gate is looked for here like the one of now.
        let core = (connection_id & 0xff_ffff) % u32::from(self.cores);
        if core == u32::from(self.core.0) {
            let outcome = self.kill_here(&kill);
            return self.kill_judged(session, request, Killing { kill, asked: Asked::Core }, outcome);
        }
        let mail = Mail::Kill { from: Asker::Core(self.core), token: self.kill_next + 1, kill: kill.clone() };
        self.await_kill(session, request, Killing { kill, asked: Asked::Core });
        self.post(CoreId(core as u16), mail);
    }

    /// For a session of another core, or of another gate.
    pub(crate) fn kill_for(&mut self, from: Asker, token: u64, kill: &Kill) {
        let outcome = self.kill_here(kill);
        self.actions.push_back(match from {
            Asker::Core(core) => Action::Post { core, mail: Mail::Killed { token, outcome } },
            Asker::Control => Action::Tell(ControlMail::Killed { token, outcome }),
        });
    }

    pub(crate) fn killed(&mut self, token: u64, outcome: KillOutcome) {
        let Some(session) = self.kills.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Killing(request, killing) => self.kill_judged(session, request, *killing, outcome),
            other => s.phase = other,
        }
    }

    /// `COM_PROCESS_KILL`, which servers since 9.0 do not know.
    pub(crate) fn kill_command(&mut self, session: Key<Session>, request: Box<Request>) {
        if self.server_flavour() == Flavour::Mysql && self.server_version() >= 90_000 {
            return self.refuse(session, request, &Refusal::UnknownCommand);
        }
        let mut copy = Vec::new();
        let id = match self.command_bytes(session, request.len, &mut copy) {
            &[a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        self.kill_asked(session, request, u64::from(id), false);
    }

    /// The statement that is interrupted is the `KILL`.
    fn kill_itself(&mut self, session: Key<Session>, request: Box<Request>, query_only: bool) {
        if query_only {
            return self.refuse(session, request, &Refusal::Interrupted);
        }
        self.use_up(session, &request);
        self.part_with(session, 1, &Refusal::Interrupted);
    }

    /// Kills a session of this core, if the asker's user is the same, or one of the gate's admins. Another's would need the server's
    /// `CONNECTION_ADMIN`, which the gate cannot judge: refused as the server refuses it. The victim's gate decides, by its own list.
    fn kill_here(&mut self, kill: &Kill) -> KillOutcome {
        let Some(victim) = self.ids.find(kill.connection_id) else { return KillOutcome::NoSuchThread };
        let account = self.sessions[victim].account;
        let Some(owner) = self.accounts.find(account) else { return KillOutcome::NoSuchThread };
        let is_foreign = |asker: &[u8]| *owner.user != *asker && !self.snapshot.settings.is_admin(asker);
        if kill.asker.as_deref().is_some_and(is_foreign) {
            return KillOutcome::NotOwner;
        }
        let s = &self.sessions[victim];
        if let (Some(link), true) = (s.lease, kill.query_only) {
            let l = &self.links[link];
            let running = l.lessee == Some(Lessee::Session(victim)) && !l.expects.is_empty();
            if running && matches!(s.phase, Phase::Relaying(_) | Phase::Feeding(..)) {
                self.hunt(victim, link, None);
            }
        }
        if !kill.query_only {
            self.client_gone(victim);
        }
        KillOutcome::Done
    }

    fn kill_judged(&mut self, session: Key<Session>, request: Box<Request>, killing: Killing, outcome: KillOutcome) {
        let id = u64::from(killing.kill.connection_id);
        self.audit_kill(session, &killing, &outcome);
        match outcome {
            KillOutcome::Done => self.answer_statement(session, request),
            KillOutcome::NoSuchThread if killing.asked == Asked::Core => {
                self.kill_elsewhere(session, request, killing.kill)
            }
            KillOutcome::NoSuchThread => self.refuse(session, request, &Refusal::NoSuchThread(id)),
            KillOutcome::NotOwner => self.refuse(session, request, &Refusal::NotOwner(id)),
            KillOutcome::NotOfAGate => self.decide(session, request.to(weir_planner::Route::Primary)),
            KillOutcome::Unknown(why) => {
                self.refuse(session, request, &Refusal::KillUnanswered { id, why: why.into() });
            }
        }
    }

    /// Once it is known what came of it, here or at another gate. What goes on to a server is that one's to tell.
    fn audit_kill(&mut self, session: Key<Session>, killing: &Killing, outcome: &KillOutcome) {
        let error = match outcome {
            KillOutcome::Done => None,
            KillOutcome::NoSuchThread if killing.asked == Asked::Core => return,
            KillOutcome::NotOfAGate => return,
            KillOutcome::NoSuchThread => Some(1094),
            KillOutcome::NotOwner => Some(1095),
            KillOutcome::Unknown(_) => Some(1105),
        };
        let what = if killing.kill.query_only { "query" } else { "connection" };
        self.audit(session, AuditKind::Kill, error, &format!("{what} {}", killing.kill.connection_id));
    }

    fn kill_elsewhere(&mut self, session: Key<Session>, request: Box<Request>, kill: Kill) {
        let mail = ControlMail::Kill { token: self.kill_next + 1, kill: kill.clone() };
        self.await_kill(session, request, Killing { kill, asked: Asked::Control });
        self.actions.push_back(Action::Tell(mail));
    }

    /// Under the next token.
    fn await_kill(&mut self, session: Key<Session>, request: Box<Request>, killing: Killing) {
        self.kill_next += 1;
        self.kills.insert(self.kill_next, session);
        self.sessions[session].phase = Phase::Killing(request, Box::new(killing));
    }
}

/// How an id begins: by which gate it is.
fn tag(id: u32) -> u8 {
    (id >> 24) as u8
}
