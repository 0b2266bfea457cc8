//! One client's session: what it is, what it holds, and the phase it is in.
//!
//! ```text
//!            ┌──────────────────────────── next command ◄───────────────────────────┐
//!   Greet ─► Verify ─► Ready ─► (decide) ─► Waiting ─► Aligning ─► Relaying ─► (settle)
//!     │        │         │                     │           │           │  ▲
//!     └────────┴─────────┴──────────┬──────────┴───────────┘           ▼  │ LOCAL INFILE
//!                                Farewell                            Feeding
//! ```
//! (Relaying ─► Unresolved ─► answered, or decided again, when its connection died: `unresolved.rs`.)
//! (Relaying ─► Asking ─► settle, when the gate has a question of its own about what the command did.)
//! Invariant: `lease` is set from the grant on, in Verify, Aligning, Relaying, Feeding and Asking, and stays set in Ready exactly
//! when there is a reason to hold it: a transaction or a pin. The request lives in the phase that works on it.

pub mod account;
pub mod acquire;
pub mod admin;
pub mod admitted;
pub mod align;
pub mod audited;
pub mod claim;
mod collation;
pub mod command;
pub mod conditions;
pub mod decide;
pub mod digested;
pub mod expired;
pub mod explain;
pub mod farewell;
pub mod filtered;
pub mod filters;
pub mod freshness;
pub mod global;
pub mod greet;
pub(crate) mod ids;
pub(crate) mod insert_id;
pub mod kill;
pub mod lanes;
pub mod listing;
pub mod local;
pub mod logged;
pub mod mirrored;
pub mod named;
pub mod overtime;
pub mod peer;
pub mod permit;
pub mod pin_ledger;
pub mod pins;
pub mod prepared;
pub mod previous;
pub mod proxied;
pub mod refuse;
pub mod relay;
pub mod replica;
pub mod roles;
pub mod ruled;
pub mod seat;
pub mod secure;
pub mod settle;
pub mod show;
pub mod statements;
mod step;
mod substitute;
mod switches;
mod traced;
pub mod trackers;
pub mod unresolved;
pub mod user_values;
pub mod user_variables;
pub mod verify;
pub mod wishes;

pub use peer::{ListenerId, Peer};

use crate::link::Link;
use crate::queue::Queue;
use crate::session::account::AccountId;
use crate::session::freshness::Freshness;
use crate::session::global::Wanted;
use crate::session::insert_id::InsertId;
use crate::session::overtime::TimeLimits;
use crate::session::pins::{Held, Pins, Reasons};
use crate::session::prepared::Statement;
use crate::session::previous::Previous;
use crate::session::trackers::Trackers;
use crate::session::unresolved::Unresolved;
use crate::session::wishes::Wishes;
use crate::slots::Key;
use crate::snapshot::BackendId;
use crate::state::{SchemaId, StateId};
use crate::time::Instant;
use crate::timers::Deadline;
use crate::wire::Wire;
use rustc_hash::FxHashMap;
use std::rc::Rc;
use std::sync::Arc;
use weir_net::auth::ServerAuth;
use weir_net::command::Command;
use weir_net::compress::Agreed;
use weir_net::flags::{Capabilities, Status};
use weir_net::gtid::GtidSet;
use weir_net::login::Login;
use weir_planner::{Asks, Effects, Facts, Plan, Route};
use weir_pool::Ticket;

pub struct Session {
    pub wire: Key<Wire>,
    /// What `CONNECTION_ID()` is for this client (S30).
    pub id: u32,
    pub peer: Peer,
    pub listener: ListenerId,
    pub nonce: [u8; 20],
    pub caps: Capabilities,
    pub charset: u8,
    pub attributes: Rc<[(Vec<u8>, Vec<u8>)]>,
    /// From its login's OK on (S46).
    pub compression: Option<Agreed>,
    pub account: AccountId,
    pub class: ClassId,
    pub schema: SchemaId,
    pub state: StateId,
    /// Flags of the last OK or EOF that the client was shown.
    pub status: Status,
    pub facts: Facts,
    /// `NO_BACKSLASH_ESCAPES` is the server's default, to which a reset leads back.
    pub escapes_off_by_default: bool,
    /// Bytes from the client that no command has used up yet.
    pub inbound: Queue,
    pub phase: Phase,
    pub lease: Option<Key<Link>>,
    pub pins: Pins,
    pub held: Held,
    pub user_variables: user_variables::UserVariables,
    /// It has chosen roles: replicas may not know them yet.
    pub has_role: bool,
    /// Prepared by `PREPARE name FROM …`.
    pub named: named::NamedStatements,
    pub statements: FxHashMap<u32, Statement>,
    pub statement_next: u32,
    /// The statement that was prepared last, which MariaDB's clients may call -1; 0: that failed.
    pub prepared_last: u32,
    pub freshness: Freshness,
    pub wishes: Wishes,
    pub wrote: Wrote,
    pub insert_id: InsertId,
    pub trackers: Trackers,
    pub previous: Previous,
    /// `USE db@replica` or `USE db@primary` (S08).
    pub target: Option<weir_planner::Target>,
    /// The connection used last: it may be aligned already.
    pub last_link: Option<weir_pool::SlotId>,
    pub deadline: Deadline,
    /// What its account may use; None: no limit is set for it.
    pub seat: Option<Box<seat::Seat>>,
    /// What its statement holds, or waits for, of filters' queues.
    pub lanes: Option<Box<lanes::Lanes>>,
    /// How long its statements and transactions may take.
    pub times: TimeLimits,
    /// Since when its transaction is open; never: there is none, or it has not rested since it began.
    pub transaction_since: Instant,
    /// When it last had nothing in hand.
    pub rested_at: Instant,
    /// That its status says "in a transaction" is a guess, after an error without autocommit.
    pub transaction_unsure: bool,
    /// What the next command is told, since it was lost while the client rested.
    pub lost: Option<refuse::Refusal>,
    /// Its password was right once.
    pub has_logged_in: bool,
    /// The gate is draining: ends with the transaction.
    pub leaving: bool,
}

impl Session {
    /// The class of connections that fits: as at the login, but for multi-statements, which `COM_SET_OPTION` switches
    /// and neither a reset nor a change of user switches back (seen on 9.7).
    pub(crate) fn class_wanted(&self) -> crate::engine::Class {
        let mut class = crate::engine::Class::of_client(self.caps, self.charset);
        let flag = Capabilities::MULTI_STATEMENTS;
        class.caps = if self.facts.multi_statements { class.caps | flag } else { class.caps.minus(flag) };
        class
    }

    /// The flags that say something about the session, not about one reply.
    pub(crate) fn lasting_status(&self) -> Status {
        let of_transaction = Status::AUTOCOMMIT | Status::IN_TRANS | Status::IN_TRANS_READONLY;
        self.status.intersect(of_transaction | Status::NO_BACKSLASH_ESCAPES | Status::ANSI_QUOTES)
    }

    /// True when results will follow the one whose columns go by. The server says so behind the columns already, and a client that
    /// throws rows away unread (libmariadb) believes that word alone. Never said in vain: each statement has one result at least, and
    /// a procedure's own end comes behind all its rows.
    pub(crate) fn more_results_follow(&self) -> bool {
        let Phase::Relaying(request) = &self.phase else { return false };
        let Some(plan) = request.plan.as_ref().filter(|_| request.command != Command::StmtPrepare) else {
            return false;
        };
        let ended = request.outcome.statements;
        plan.is_call(ended) || ended.saturating_add(1) < plan.statements || self.named.is_call(plan)
    }

    /// True when it has rested since that moment on a connection that it keeps for nothing but questions, or for user
    /// variables that it can be asked for: others who wait may have it.
    pub(crate) fn could_give_up(&self, since: Instant) -> bool {
        let reasons = self.pins.reasons();
        let for_questions =
            !reasons.is_empty() && reasons.without(Reasons::SOFT).is_empty() && !self.status.contains(Status::IN_TRANS);
        matches!(self.phase, Phase::Ready) && self.rested_at == since && (for_questions || self.is_held_by_untold())
    }
}

/// Which class of backend connection a session needs: what cannot be changed on an open one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassId(pub u32);

/// Whether the open transaction (or statement) may have changed data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrote {
    #[default]
    Nothing,
    Something,
}

pub enum Phase {
    Greet(Greet),
    Verify(Box<Verify>),
    Ready,
    Waiting(Box<Request>, Wait),
    Aligning(Box<Request>),
    Relaying(Box<Request>),
    /// The backend has asked for the client's file; packets flow from the client until an empty one.
    Feeding(Box<Request>, Feed),
    /// Another core, or control for the other gates, was asked to kill a session.
    Killing(Box<Request>, Box<kill::Killing>),
    /// The control thread was asked to set the gate's variables for all.
    Setting(Box<Request>, Box<Wanted>),
    /// The control thread was asked for a table of the whole gate.
    Showing(Box<Request>),
    /// Its connection died when it may have been committed: somebody looks whether it was (S72).
    Unresolved(Box<Request>, Box<Unresolved>),
    /// The command has been answered; the gate still asks the connection something about it.
    Asking,
    Farewell,
}

impl Phase {
    /// The phase's name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Greet(_) => "greet",
            Phase::Verify(_) => "verify",
            Phase::Ready => "ready",
            Phase::Waiting(..) => "waiting",
            Phase::Aligning(_) => "aligning",
            Phase::Relaying(_) => "relaying",
            Phase::Feeding(..) => "feeding",
            Phase::Killing(..) => "killing",
            Phase::Setting(..) => "setting",
            Phase::Showing(_) => "showing",
            Phase::Unresolved(..) => "unresolved",
            Phase::Asking => "asking",
            Phase::Farewell => "farewell",
        }
    }
}

/// Before authentication: the next packet expected from the client.
pub enum Greet {
    /// A balancer's word on who the client is.
    Proxy,
    Login,
    TlsHandshake,
    /// Its claim is put off, since too many before it were wrong.
    Held(claim::Claim),
    Proof {
        login: Box<Login>,
        auth: Box<ServerAuth>,
    },
    /// The same for a `COM_CHANGE_USER`.
    NewUser {
        user: Vec<u8>,
        auth: Box<ServerAuth>,
    },
}

/// A claimed password that a backend has to confirm.
pub struct Verify {
    pub seq: u8,
    /// The client was told nothing yet and the scramble matched: it wants the "fast" byte before its OK.
    pub fast: bool,
    pub cause: VerifyCause,
    pub claimed_at: Instant,
    pub ticket: Option<Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyCause {
    Login,
    ChangeUser,
}

impl VerifyCause {
    pub fn word(self) -> &'static str {
        match self {
            VerifyCause::Login => "login",
            VerifyCause::ChangeUser => "change of user",
        }
    }
}

/// What a waiting session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Line(Ticket),
    /// Fewer statements of its account are to run.
    Turn,
    /// No primary is known (S74).
    Primary,
    /// A replica that has executed enough (S63).
    Stream,
    /// The primary's word on what it has executed.
    Index(BackendId),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Feed {
    /// Payload bytes of the current packet still to come from the client.
    pub left: usize,
    /// What the backend expects the next packet to count, where the client counts otherwise: it has seen packets of the gate's own,
    /// or goes by frames, as MySQL's client does when it compresses and its server ignores.
    pub renumbered: Option<u8>,
}

/// The command in hand. Its bytes are the first `len` of `inbound` until they are sent, then `kept`.
pub struct Request {
    pub command: Command,
    /// Bytes with headers, as far as they are (to be) buffered.
    pub len: usize,
    pub body: Body,
    pub route: Route,
    /// For commands that carry or name a statement.
    pub plan: Option<Rc<Plan>>,
    /// The client's statement id, for the commands on prepared statements.
    pub statement: Option<u32>,
    pub since: Instant,
    /// When it came into the line for a connection that it stands in, or stood in last.
    pub lined_at: Instant,
    pub sent_at: Instant,
    /// For a connection; 0: one was there at once.
    pub waited_ns: u64,
    pub resends: u32,
    /// Bytes of the command kept for sending them again, until the reply starts.
    pub kept: Queue,
    /// The session's schema is gone, in the server's words: the command runs without one, as it would on a server whose
    /// schema was dropped under it.
    pub schemaless: Option<Rc<[u8]>>,
    /// A name of `PREPARE` that it might use could not be had on this connection, and an `EXECUTE` there would fail alike.
    pub without_names: bool,
    /// What the primary had executed when it was asked for this read.
    pub index: Option<Arc<GtidSet>>,
    /// The replica that the session read on before has said what it may have shown.
    pub left: Option<BackendId>,
    /// The backend that failed it last, and when that began: another serves it if there is one.
    pub failed: Option<(BackendId, Instant)>,
    /// The time to wait for a replica is over.
    pub primary_only: bool,
    pub progress: Progress,
    pub outcome: Outcome,
    /// What the query log and the traces may want of it; None while both are off, and once it was told.
    pub draft: Option<Box<crate::querylog::Draft>>,
}

/// What runs statements that cannot be seen from outside.
pub(crate) const UNSEEN: Effects =
    Effects::TEXT_EXECUTE.union(Effects::CALL).union(Effects::UNKNOWN_FUNCTION).union(Effects::UNKNOWN);

impl Request {
    /// One of which nothing is known but its command.
    pub fn new(command: Command, len: usize, body: Body, now: Instant) -> Request {
        Request {
            command,
            len,
            body,
            route: Route::Primary,
            plan: None,
            statement: None,
            since: now,
            lined_at: now,
            sent_at: now,
            waited_ns: 0,
            resends: 0,
            kept: Queue::default(),
            schemaless: None,
            without_names: false,
            index: None,
            left: None,
            failed: None,
            primary_only: false,
            progress: Progress::Unsent,
            outcome: Outcome::default(),
            draft: None,
        }
    }

    pub fn to(mut self: Box<Self>, route: Route) -> Box<Self> {
        self.route = route;
        self
    }

    pub fn on(mut self: Box<Self>, statement: Option<u32>) -> Box<Self> {
        self.statement = statement;
        self
    }

    /// What it asks about the session's earlier statements; what cannot be seen from outside may ask for the insert id.
    pub fn asks(&self) -> Asks {
        let Some(plan) = &self.plan else { return Asks::empty() };
        if plan.effects.intersects(UNSEEN) { plan.asks | Asks::LAST_INSERT_ID } else { plan.asks }
    }

    /// It may run a procedure that counts nothing: MySQL's OK then has the count of the statement before.
    pub fn echoes_count(&self) -> bool {
        let runs = Effects::CALL | Effects::TEXT_EXECUTE;
        self.command != Command::StmtPrepare && self.plan.as_ref().is_some_and(|plan| plan.effects.intersects(runs))
    }

    /// Conditions that may be in the diagnostics area behind it, and were not there before, as far as is known.
    pub fn conditions(&self) -> u16 {
        let keeps_some = self.plan.as_ref().is_some_and(|plan| plan.asks.contains(Asks::CONDITIONS_WITHIN));
        let Outcome { warnings, most_warnings, .. } = self.outcome;
        if keeps_some { warnings.max(most_warnings) } else { warnings }
    }
}

/// What the reply has said so far, over all of its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The code of the ERR that ended it.
    pub error: Option<u16>,
    /// Results that have ended, those without rows too.
    pub results: u16,
    /// Statements of the text that have ended: the results of a `CALL` are one's.
    pub statements: u16,
    /// Of the last result.
    pub warnings: u16,
    /// Of the result that had most.
    pub most_warnings: u16,
    pub affected_rows: u64,
    /// Of the last result alone.
    pub last_affected: u64,
    /// Rows of the last result, if it had rows.
    pub rows: Option<u64>,
    /// Rows of all results.
    pub all_rows: u64,
    pub insert_id: u64,
    /// A GTID came with it.
    pub gtid: bool,
    /// The server said that the session's state changed.
    pub state_changed: bool,
    /// It may have set a switch that nobody has named (`switches.rs`).
    pub switched: bool,
    /// The procedure that it calls does not exist: nothing ran.
    pub ran_nothing: bool,
}

/// Whether all of the command has come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Whole,
    /// Sent through as it comes: payload bytes left of the current packet, and whether another packet follows it.
    Streaming {
        left: usize,
        continued: bool,
        seq: u8,
    },
}

/// How far the reply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has been sent to a backend.
    Unsent,
    Sent,
    /// Bytes of the reply have gone to the client.
    Answering,
}
