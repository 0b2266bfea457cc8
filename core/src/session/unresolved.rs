//! A command whose connection died before its answer: what is certain at once, and what somebody has to look up (S70 to S73).
//!
//! ```text
//!   lost ─┬─ nothing was sent, or it changes nothing ─► decided again
//!         ├─ inside a transaction that it does not end ─► 1213: the transaction is gone
//!         └─ it may have committed ─► Unresolved ── control asks what the primary has, and its source for our thread id
//!                                       ├─ committed ─► COMMIT: OK; else 2013: it committed, don't repeat it
//!                                       ├─ absent ────► COMMIT: 1213; a plain write: decided again; else 2013: repeat it
//!                                       └─ unknown ───► 2013: unknown, and why
//! ```
//! Invariant: "committed" and "absent" are about the primary that answered. A transaction of our thread that nobody told us of is
//! the command's only when all earlier ones are known (`link/trail.rs`); that there is none needs no such knowledge.
//! Never looked up: what may hide its thread id or name its GTID itself (procedures, `XA`, `gtid_next`, `pseudo_thread_id`).

use crate::engine::Engine;
use crate::link::Link;
use crate::mail::{ControlMail, Finding, Lost};
use crate::session::pins::Reasons;
use crate::session::refuse::Refusal;
use crate::session::{Body, Phase, Request, Session};
use crate::slots::Key;
use crate::snapshot::BackendId;
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::gtid::GtidSet;
use weir_net::outcome::OkPacket;
use weir_net::track::{Track, put_track};
use weir_planner::{Effects, Kind, Plan, Route};

pub struct Unresolved {
    pub token: u64,
    /// Where it was sent.
    backend: String,
    then: Then,
    /// Of the thread's earlier transactions all are known.
    is_complete: bool,
    /// One transaction is all that there is of it.
    is_one: bool,
    /// The session ends with whatever is told: state was lost with the connection that nobody can make again (S25).
    ends: bool,
}

/// What the client is owed, beyond the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// A plain `COMMIT`: its OK, when it is there.
    Commit,
    /// It stands for itself: it is sent again when it is not there.
    Again,
    /// It ended a transaction, which is to be begun again when it is not there.
    Restart,
    Tell,
}

impl Request {
    pub(crate) fn has_failed_on(&self, backend: BackendId) -> bool {
        self.failed.is_some_and(|(on, _)| on == backend)
    }

    /// Also one that only the primary may answer: what changes nothing may run twice (S71).
    pub(crate) fn may_run_twice(&self, in_transaction: bool) -> bool {
        let changes_nothing = self.plan.as_ref().is_some_and(|p| match p.kind {
            Kind::Select => only_reads(p),
            Kind::Begin | Kind::Commit | Kind::Rollback => p.statements == 1 && !in_transaction,
            _ => false,
        });
        match self.command {
            Command::Query | Command::StmtExecute => self.route == Route::Read || changes_nothing,
            Command::StmtPrepare | Command::InitDb | Command::FieldList | Command::Statistics => true,
            _ => false,
        }
    }

    /// What changes nothing commits nothing, wherever it stands.
    pub(crate) fn may_commit(&self) -> bool {
        match &self.plan {
            Some(plan) => {
                self.route != Route::Read && plan.kind != Kind::Show && !(plan.kind == Kind::Select && only_reads(plan))
            }
            None => !matches!(
                self.command,
                Command::Ping | Command::InitDb | Command::FieldList | Command::Statistics | Command::StmtClose
            ),
        }
    }
}

impl Engine {
    /// Of the reply nothing has gone to the client.
    pub(crate) fn lost_unanswered(&mut self, session: Key<Session>, link: Key<Link>, request: Box<Request>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let backend = self.snapshot.backend(self.links[link].backend).name.clone();
        let s = &self.sessions[session];
        let pinned = !s.pins_for_good().is_empty();
        let plan = request.plan.as_ref();
        let read = request.may_run_twice(in_transaction);
        let unsent = request.progress == crate::session::Progress::Unsent;
        let can_repeat = unsent || !request.kept.is_empty();
        if !in_transaction && !pinned && (read || unsent) && can_repeat && request.resends < crate::limits::RESENDS_MAX
        {
            return self.send_lost_again(session, link, request);
        }
        let ends = self.has_lost_state(session);
        let why = if unsent || read {
            if in_transaction { Refusal::TransactionLost { backend } } else { Refusal::BackendLost { backend } }
        } else if in_transaction && !plan.is_some_and(|p| p.effects.intersects(ENDS)) {
            Refusal::TransactionLost { backend }
        } else {
            return self.resolve(session, link, request, in_transaction, (backend, ends));
        };
        self.forget_server_state(session);
        self.refuse_lost(session, request, &why, ends);
    }

    /// On another server if one will do. Two connections that die under one command are no accident: the others of that server
    /// that nobody has heard from since are taken for dead, too. One that was there when the first of them died may die for the same
    /// reason, so it counts for nothing against the command; there are only so many (S71).
    fn send_lost_again(&mut self, session: Key<Session>, link: Key<Link>, mut request: Box<Request>) {
        let l = &self.links[link];
        let (backend, opened_at) = (l.backend, l.opened_at);
        match request.failed {
            Some((on, since)) if on == backend => {
                request.resends += u32::from(opened_at > since);
                self.shed_idle(backend, request.sent_at);
            }
            _ => {
                request.resends += 1;
                request.failed = Some((backend, self.now));
            }
        }
        request.since = self.now;
        self.counters.reads_resent += 1;
        self.forget_server_state(session);
        self.decide(session, request);
    }

    /// What was lost with the connection would be missed in silence: a temporary table, a lock, a variable that cannot be carried. What
    /// ends with a statement or a transaction is told with that one's error.
    fn has_lost_state(&self, session: Key<Session>) -> bool {
        const SCOPED: Reasons =
            Reasons(Reasons::CURSOR.0 | Reasons::LONG_DATA.0 | Reasons::TRANSACTION_ONCE.0 | Reasons::SAVEPOINT.0);
        !self.sessions[session].pins_for_good().without(SCOPED).is_empty()
    }

    /// As a server that closes the connection, if need be.
    fn refuse_lost(&mut self, session: Key<Session>, mut request: Box<Request>, why: &Refusal, ends: bool) {
        if !ends {
            return self.refuse(session, request, why);
        }
        self.counters.commands_refused += 1;
        self.log_answered(session, &mut request, &why.payload());
        request.kept.clear(&mut self.blocks);
        self.part_with(session, 1, why);
    }

    /// Has it looked up, or says why it can't be.
    fn resolve(
        &mut self,
        session: Key<Session>,
        link: Key<Link>,
        request: Box<Request>,
        in_transaction: bool,
        (backend, ends): (String, bool),
    ) {
        let l = &self.links[link];
        let (at, thread_id) = (l.backend, l.thread_id);
        let outcome = match self.may_look(session, &request) {
            Ok(()) => l.trail.known().ok_or("which server it was is not known, or it is in a replication group"),
            Err(why) => Err(why),
        };
        let mut known = match outcome {
            Ok(known) => known,
            Err(why) => {
                self.forget_server_state(session);
                return self.stays_unknown(session, request, (backend, ends), why.to_string());
            }
        };
        let then = self.then(session, &request, in_transaction);
        let is_one = request
            .plan
            .as_ref()
            .is_some_and(|p| p.statements == 1 && (!in_transaction || p.kind == Kind::Commit) && p.kind != Kind::Load);
        self.forget_server_state(session);
        // What any client of this gate was told is somebody else's.
        known.others.merge(&self.board.written(&mut self.glance));
        self.unresolved_next += 1;
        let token = self.unresolved_next;
        let sent_ms = self.now.since_ms(request.sent_at);
        let lost = Lost { token, backend: at, source: known.uuid, thread_id, others: known.others, sent_ms };
        self.actions.push_back(crate::engine::Action::Tell(ControlMail::Lost(Box::new(lost))));
        self.unresolved.insert(token, session);
        let unresolved = Unresolved { token, backend, then, is_complete: known.is_complete, is_one, ends };
        self.sessions[session].phase = Phase::Unresolved(request, Box::new(unresolved));
        // Control answers within the window; this is for the case that it does not.
        let window_ms = self.snapshot.settings.buffer_window_ms;
        self.arm_session(session, self.now.plus_ms(window_ms.saturating_add(GRACE_MS)));
    }

    fn may_look(&self, session: Key<Session>, request: &Request) -> Result<(), &'static str> {
        const STRANGE: Reasons = Reasons(
            Reasons::VARIABLE.0 | Reasons::CALL.0 | Reasons::UNKNOWN.0 | Reasons::XA.0 | Reasons::TEXT_PREPARE.0,
        );
        let settings = &self.snapshot.settings;
        let Some(plan) = &request.plan else { return Err("its kind is not looked up") };
        if plan.effects.intersects(HIDES) || request.body != Body::Whole {
            return Err("a statement of this kind is not looked up");
        }
        if self.sessions[session].pins.reasons().intersects(STRANGE) {
            return Err("the session had set variables, or called what may have set them, that hide its transactions");
        }
        match (settings.buffer, self.unresolved.len() < settings.buffer_size as usize) {
            (false, _) => Err("nothing waits for a primary here: enable_buffer is off"),
            (true, false) => Err("too many are looked up already: buffer_size"),
            (true, true) => Ok(()),
        }
    }

    fn then(&self, session: Key<Session>, request: &Request, in_transaction: bool) -> Then {
        let s = &self.sessions[session];
        let Some(plan) = &request.plan else { return Then::Tell };
        let is_free = s.pins_for_good().is_empty();
        let again = is_free && !request.kept.is_empty() && request.resends < crate::limits::RESENDS_MAX;
        let completion = self.states.variable(s.state, "completion_type");
        let chains = plan.effects.intersects(Effects::CHAIN | Effects::RELEASE)
            || completion.is_some_and(|kind| kind != b"NO_CHAIN" && kind != b"0");
        match (plan.kind, in_transaction) {
            (Kind::Commit, true) if is_free && !chains => Then::Commit,
            (_, true) => Then::Restart,
            (_, false) if again && stands_alone(plan) => Then::Again,
            (_, false) => Then::Tell,
        }
    }

    /// Control's answer.
    pub(crate) fn outcome_found(&mut self, token: u64, finding: Finding) {
        let Some(session) = self.unresolved.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        let Phase::Unresolved(request, unresolved) = std::mem::replace(&mut s.phase, Phase::Ready) else {
            unreachable!("who is listed there waits");
        };
        self.arm_session(session, crate::time::Instant::NEVER);
        let Unresolved { backend, then, is_complete, is_one, ends, .. } = *unresolved;
        match finding {
            Finding::Committed(_) if !is_complete => {
                let why = "an earlier statement of its connection may have committed what was found";
                self.stays_unknown(session, request, (backend, ends), why.to_string());
            }
            Finding::Committed(gtids) => {
                self.counters.outcomes_found += 1;
                self.board.note(&gtids, &GtidSet::new());
                self.sessions[session].freshness.needs.merge(&gtids);
                let is_whole = is_one && gtids.count() == 1;
                match then {
                    Then::Commit if is_whole => self.answer_committed(session, request, &gtids),
                    Then::Commit | Then::Again | Then::Restart | Then::Tell => {
                        let why = Refusal::Committed { backend, gtids: gtids.to_string(), is_whole };
                        self.refuse_lost(session, request, &why, ends);
                    }
                }
            }
            Finding::Absent => {
                self.counters.outcomes_absent += 1;
                match then {
                    Then::Again => self.send_absent_again(session, request),
                    Then::Commit | Then::Restart => {
                        self.refuse_lost(session, request, &Refusal::TransactionLost { backend }, ends)
                    }
                    Then::Tell => self.refuse_lost(session, request, &Refusal::Absent { backend }, ends),
                }
            }
            Finding::Unknown(why) => self.stays_unknown(session, request, (backend, ends), why),
        }
    }

    pub(crate) fn outcome_timed_out(&mut self, session: Key<Session>) {
        let Phase::Unresolved(_, unresolved) = &self.sessions[session].phase else { return };
        let token = unresolved.token;
        self.outcome_found(token, Finding::Unknown("nobody has found out in time".to_string()));
    }

    fn stays_unknown(
        &mut self,
        session: Key<Session>,
        request: Box<Request>,
        (backend, ends): (String, bool),
        why: String,
    ) {
        self.counters.outcomes_unknown += 1;
        self.sessions[session].freshness.primary_only = true;
        self.refuse_lost(session, request, &Refusal::UnknownOutcome { backend, why }, ends);
    }

    fn send_absent_again(&mut self, session: Key<Session>, mut request: Box<Request>) {
        self.counters.outcomes_resent += 1;
        request.resends += 1;
        request.since = self.now;
        request.outcome = Default::default();
        self.decide(session, request);
    }

    /// The OK that the server would have sent.
    fn answer_committed(&mut self, session: Key<Session>, mut request: Box<Request>, gtids: &GtidSet) {
        request.kept.clear(&mut self.blocks);
        let s = &mut self.sessions[session];
        s.freshness.primary_only = false;
        s.previous.done();
        let text = gtids.to_string();
        let told = Track::Gtids(text.as_bytes());
        let mut track = Vec::new();
        if s.caps.contains(Capabilities::SESSION_TRACK) && s.trackers.shows(&told) {
            put_track(&mut track, &told);
        }
        let changed = if track.is_empty() { Status::default() } else { Status::SESSION_STATE_CHANGED };
        let status = s.lasting_status() | changed;
        let mut payload = Vec::with_capacity(16);
        OkPacket { status, track: &track, ..OkPacket::default() }.encode(&mut payload, s.caps);
        self.log_answered(session, &mut request, &payload);
        self.say_packet(session, 1, &payload);
        self.rest(session);
    }
}

/// One statement that is a transaction of its own, and that the log shows if it changed anything.
fn stands_alone(plan: &Plan) -> bool {
    let is_write = matches!(plan.kind, Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Ddl);
    is_write && plan.statements == 1 && !plan.effects.intersects(Effects::TEMP_TABLE_CREATE | Effects::TEMP_TABLE_DROP)
}

fn only_reads(plan: &Plan) -> bool {
    plan.effects.without(Effects::READS_USER_VARIABLE).is_empty()
}

/// What may end an open transaction.
const ENDS: Effects = Effects::COMMIT
    .union(Effects::IMPLICIT_COMMIT)
    .union(Effects::BEGIN)
    .union(Effects::SET_AUTOCOMMIT)
    .union(Effects::LOCK_TABLES)
    .union(HIDES);

/// What may commit under a name or a thread id that nobody knows, or any number of times.
const HIDES: Effects = Effects::CALL
    .union(Effects::UNKNOWN)
    .union(Effects::TEXT_EXECUTE)
    .union(Effects::XA_START)
    .union(Effects::XA_END)
    .union(Effects::XA_OTHER);

/// Beyond the time in which control answers.
const GRACE_MS: u64 = 2_000;
