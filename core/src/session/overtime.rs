//! Overtime: statements that run for too long, and transactions that stay open or idle for too long.
//!
//! ```text
//!   Relaying ── statement_ms_max, transaction_ms_max ──► KILL QUERY ─► the server's 1317 becomes 3024; a transaction ends with it
//!   Ready ───── transaction_ms_max, transaction_idle_ms_max ──────────► rolled back; 1213 for the next command
//! ```
//! A statement is ended by the server, so what it answers is true, whatever the kill came too late for. One that ends its transaction
//! (`COMMIT`) is no transaction's overtime: it would be asked to stop at the very end. How a kill
//! goes there: `link/errands.rs`.
//!
//! Invariant: a connection whose thread a kill may still hit is nobody else's, and runs nothing, until the kill is known to be over;
//! a kill that has not left when the statement ends never leaves (S30).
//! Cost: off, a branch per command; on, a compare (`timers.rs`).

use crate::engine::Engine;
use crate::limits::HUNT_AGAIN_MS;
use crate::link::Link;
use crate::link::errands::{Aim, Errand};
use crate::session::farewell::Parting;
use crate::session::refuse::Refusal;
use crate::session::{Body, Phase, Request, Session};
use crate::slots::Key;
use crate::time::Instant;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_planner::Effects;

/// As set by operators, in ms; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    pub statement_ms_max: u64,
    pub transaction_ms_max: u64,
    pub transaction_idle_ms_max: u64,
}

impl TimeLimits {
    fn is_any(&self) -> bool {
        *self != TimeLimits::default()
    }

    fn is_of_transactions(&self) -> bool {
        (self.transaction_ms_max, self.transaction_idle_ms_max) != (0, 0)
    }
}

/// What has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overtime {
    Statement { ms: u64 },
    Transaction { ms: u64 },
    Idle { ms: u64 },
}

impl Overtime {
    fn refusal(self) -> Refusal {
        match self {
            Overtime::Statement { ms } => Refusal::StatementTimeout { ms },
            Overtime::Transaction { ms } => Refusal::TransactionTimeout { ms, setting: "transaction_ms_max" },
            Overtime::Idle { ms } => Refusal::TransactionTimeout { ms, setting: "transaction_idle_ms_max" },
        }
    }
}

/// A kill that is meant for the statement on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// None: a client's `KILL QUERY`, and the server's words for it are right.
    pub why: Option<Overtime>,
    pub stage: HuntStage,
    /// The client has been told of it in the place of the server's error.
    pub is_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HuntStage {
    /// It waits for a connection to be sent on.
    Coming,
    Sent,
    Over,
}

impl Engine {
    /// A command has been sent: when it takes too long.
    #[inline]
    pub(crate) fn arm_overtime(&mut self, session: Key<Session>, link: Key<Link>) {
        let s = &self.sessions[session];
        // At the end of a drain all are cut anyway, by the deadline that this would take the place of.
        if !s.times.is_any() || s.leaving {
            return;
        }
        if let Phase::Relaying(request) = &s.phase
            && let Some((at, _)) = self.overtime_of(session, link, request)
        {
            self.arm_session(session, at);
        }
    }

    /// When the resting session's transaction has taken too long; never, without one or a limit.
    #[inline]
    pub(crate) fn transaction_ends_at(&mut self, session: Key<Session>) -> Instant {
        let s = &self.sessions[session];
        if !s.times.is_of_transactions() || s.leaving {
            return Instant::NEVER;
        }
        self.resting_overtime(session).map_or(Instant::NEVER, |(at, _)| at)
    }

    /// The transaction that this command was in is over, whatever follows.
    pub(crate) fn note_transaction_end(&mut self, session: Key<Session>, request: &Request) {
        if self.sessions[session].times.is_of_transactions()
            && request.outcome.error.is_none()
            && request.plan.as_ref().is_some_and(|plan| plan.effects.intersects(ENDS))
        {
            self.sessions[session].transaction_since = Instant::NEVER;
        }
    }

    /// The session's time is up in a phase that has no limit but these. False: it is not about them.
    pub(crate) fn overtime_due(&mut self, session: Key<Session>) -> bool {
        let s = &self.sessions[session];
        let is_timed = |link: &Key<Link>| s.times.is_any() || self.links[*link].hunt.is_some();
        let Some(link) = s.lease.filter(is_timed) else { return false };
        match &s.phase {
            Phase::Relaying(request) | Phase::Feeding(request, _) => {
                if let Some((at, why)) = self.overtime_of(session, link, request) {
                    let is_whole = request.body == Body::Whole;
                    if at <= self.now && is_whole {
                        self.hunt(session, link, Some(why));
                    }
                    let next = if at > self.now { at } else { self.now.plus_ms(HUNT_AGAIN_MS) };
                    self.arm_session(session, next);
                }
            }
            Phase::Ready => match self.resting_overtime(session) {
                Some((at, why)) if at <= self.now => self.end_transaction(session, link, why),
                Some((at, _)) => self.arm_session(session, at),
                None => return false,
            },
            Phase::Asking if self.links[link].hunt.is_some() => {
                // What became of the kill nobody says any more.
                self.links[link].hunt = None;
                self.links[link].spoiled = true;
                self.conclude(link);
            }
            _ => return false,
        }
        true
    }

    /// The earlier of the limits that hold for a command that runs.
    fn overtime_of(&self, session: Key<Session>, link: Key<Link>, request: &Request) -> Option<(Instant, Overtime)> {
        if !matches!(request.command, Command::Query | Command::StmtExecute | Command::StmtFetch) {
            return None;
        }
        let s = &self.sessions[session];
        let statement = match s.times.statement_ms_max {
            0 => None,
            ms => Some((request.sent_at.plus_ms(ms), Overtime::Statement { ms })),
        };
        let ends = request.plan.as_ref().is_some_and(|plan| plan.effects.intersects(ENDS));
        let is_open = self.links[link].status.contains(Status::IN_TRANS) && s.transaction_since != Instant::NEVER;
        let transaction = match s.times.transaction_ms_max {
            ms @ 1.. if is_open && !ends => Some((s.transaction_since.plus_ms(ms), Overtime::Transaction { ms })),
            _ => None,
        };
        [statement, transaction].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn resting_overtime(&mut self, session: Key<Session>) -> Option<(Instant, Overtime)> {
        let s = &mut self.sessions[session];
        let in_transaction = s.lease.is_some_and(|link| self.links[link].status.contains(Status::IN_TRANS));
        if !in_transaction {
            s.transaction_since = Instant::NEVER;
            return None;
        }
        if s.transaction_since == Instant::NEVER {
            s.transaction_since = self.now;
        }
        let limit = |ms: u64, from: Instant, why: Overtime| (ms > 0).then(|| (from.plus_ms(ms), why));
        let TimeLimits { transaction_ms_max: open, transaction_idle_ms_max: idle, .. } = s.times;
        let open = limit(open, s.transaction_since, Overtime::Transaction { ms: open });
        let idle = limit(idle, s.rested_at, Overtime::Idle { ms: idle });
        [open, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Rolls the transaction of a resting session back; its next command hears of it.
    fn end_transaction(&mut self, session: Key<Session>, link: Key<Link>, why: Overtime) {
        match why {
            Overtime::Idle { .. } => self.counters.transactions_idle_ended += 1,
            _ => self.counters.transactions_timed_out += 1,
        }
        if !self.sessions[session].pins_for_good().is_empty() {
            // What else it has on the connection would be missed in silence, as when a server closes it.
            return self.part_with(session, 0, &why.refusal());
        }
        self.roll_back(session, link);
        self.sessions[session].lost = Some(why.refusal());
        self.rest(session);
    }

    /// By a change of user, which ends all that is open on the connection.
    fn roll_back(&mut self, session: Key<Session>, link: Key<Link>) {
        self.forget_server_state(session);
        let s = &mut self.sessions[session];
        s.lease = None;
        s.transaction_since = Instant::NEVER;
        let l = &mut self.links[link];
        l.lessee = None;
        l.hunt = None;
        if l.expects.is_empty() { self.clean(link) } else { self.drop_link(link) }
    }

    /// Has the server end the statement on this connection (`link/errands.rs`).
    pub(crate) fn hunt(&mut self, session: Key<Session>, link: Key<Link>, why: Option<Overtime>) {
        let l = &mut self.links[link];
        // One that was answered may have come before the statement began at the server.
        if l.hunt.is_some_and(|hunt| hunt.stage == HuntStage::Sent) {
            return;
        }
        let is_told = l.hunt.is_some_and(|hunt| hunt.is_told);
        if l.hunt.is_none() {
            match why {
                Some(Overtime::Statement { .. }) => self.counters.statements_timed_out += 1,
                Some(Overtime::Transaction { .. } | Overtime::Idle { .. }) => self.counters.transactions_timed_out += 1,
                None => {}
            }
        }
        l.hunt = Some(Hunt { why, stage: HuntStage::Coming, is_told });
        let (backend, thread_id, account, class) = (l.backend, l.thread_id, l.account, self.sessions[session].class);
        self.send_hunt(Errand { backend, thread_id, account, class, aim: Aim::Statement(link) });
    }

    pub(crate) fn is_hunted(&self, victim: Key<Link>, stage: HuntStage) -> bool {
        self.links.get(victim).and_then(|l| l.hunt).is_some_and(|hunt| hunt.stage == stage)
    }

    /// The kill is about to leave. False: its statement has ended.
    pub(crate) fn hunt_leaves(&mut self, victim: Key<Link>) -> bool {
        let is_wanted = self.is_hunted(victim, HuntStage::Coming);
        if let (true, Some(hunt)) = (is_wanted, self.links[victim].hunt.as_mut()) {
            hunt.stage = HuntStage::Sent;
        }
        is_wanted
    }

    /// The server has answered the kill.
    pub(crate) fn hunt_over(&mut self, victim: Key<Link>) {
        if !self.is_hunted(victim, HuntStage::Sent) {
            return;
        }
        if let Some(hunt) = self.links[victim].hunt.as_mut() {
            hunt.stage = HuntStage::Over;
        }
        self.conclude(victim);
    }

    /// The server's word that it ended the statement, as the gate wanted: what the client is told in its place.
    pub(crate) fn hunt_told(&mut self, link: Key<Link>, code: u16) -> Option<Refusal> {
        let hunt = self.links[link].hunt.as_mut().filter(|_| INTERRUPTED.contains(&code))?;
        hunt.is_told = true;
        hunt.why.map(Overtime::refusal)
    }

    /// Behind a reply on a hunted connection. False: there is nothing more to wait for, and the session goes on.
    pub(crate) fn waits_for_hunt(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        let Some(hunt) = self.links[link].hunt else { return false };
        if hunt.stage == HuntStage::Sent {
            self.sessions[session].phase = Phase::Asking;
            self.arm_session(session, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
            return true;
        }
        self.links[link].hunt = None;
        if !hunt.is_told || !matches!(hunt.why, Some(Overtime::Transaction { .. })) {
            return false;
        }
        if !self.sessions[session].pins_for_good().is_empty() {
            self.end_session(session, Parting::AfterSending);
            return true;
        }
        self.roll_back(session, link);
        self.rest(session);
        true
    }
}

/// After these another transaction is open, or none. What runs others' statements may do so too, and is no exception all the same.
const ENDS: Effects = Effects::COMMIT
    .union(Effects::ROLLBACK)
    .union(Effects::IMPLICIT_COMMIT)
    .union(Effects::BEGIN)
    .union(Effects::SET_AUTOCOMMIT);

/// `ER_QUERY_INTERRUPTED`, and `ER_FILSORT_ABORT`, which says the same of a sort.
const INTERRUPTED: [u16; 2] = [1317, 1028];
