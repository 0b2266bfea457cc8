//! What cores say to each other and to the control thread: values, never shared memory.

use crate::audit::AuditEvent;
use crate::mirror::Copied;
use crate::querylog::QueryEvent;
use crate::session::Session;
use crate::show::{Detail, Show, Shown};
use crate::slots::Key;
use crate::snapshot::{BackendId, Snapshot};
use crate::stats::Report;
use crate::tally::usage::Usage;
use crate::trace::Span;
use std::sync::Arc;
use weir_net::gtid::GtidSet;
use weir_net::secret::Secret;
use weir_planner::filter::Statement as FilterStatement;

/// A core's number within the gate, 0 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CoreId(pub u16);

/// To a core, from the control thread or another core.
#[derive(Debug)]
pub enum Mail {
    /// From control: the world has changed.
    Snapshot(Arc<Snapshot>),
    /// From control: no new clients; sessions end when their transaction does, at the latest after `within_ms`.
    Drain { within_ms: u64 },
    /// From control: answer with [`ControlMail::Report`].
    Report { token: u64, detail: Detail },
    /// From another core: sessions wait there for a connection to this backend.
    QuotaWanted { from: CoreId, backend: BackendId },
    /// From another core: this many connections of the budget are now yours. `budget`: its version.
    QuotaGranted { backend: BackendId, count: u32, budget: u32 },
    /// From another core: a session's turn to run a statement has come (`session/seat.rs`).
    Turn { session: Key<Session>, number: u64, usage: Arc<Usage> },
    /// From another core: a password that a backend has just accepted (None: refused, forget it).
    Credential { user: Box<[u8]>, password: Option<Secret> },
    /// From another core, or from control for another gate's client. Is answered at once, to whom it is from.
    Kill { from: Asker, token: u64, kill: Kill },
    /// The answer to `Kill` of a core, or to [`ControlMail::Kill`].
    Killed { token: u64, outcome: KillOutcome },
    /// From control: how the ids of new clients begin from now on. Who is here keeps its id.
    Tag(u8),
    /// From control: the answer to [`ControlMail::SetGlobal`]; the snapshot that has it came before.
    GlobalSet { token: u64 },
    /// From control: the answer to [`ControlMail::Show`]; Err: why there is none, as a sentence.
    Shown { token: u64, answer: Result<Shown, String> },
    /// From control: the answer to [`ControlMail::Filter`]; the snapshot that has it came before. Err: why it was not done.
    Filtered { token: u64, outcome: Result<(), String> },
    /// From control: the answer to [`ControlMail::Lost`].
    Found { token: u64, finding: Finding },
}

/// What became of a transaction whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The primary has it.
    Committed(GtidSet),
    /// The primary does not have it, and nothing can bring it there.
    Absent,
    /// Why it cannot be known.
    Unknown(String),
}

/// A command that may have committed, and whose connection died before it was answered (S72).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub token: u64,
    pub backend: BackendId,
    /// The server's uuid.
    pub source: [u8; 16],
    /// The connection's own id there.
    pub thread_id: u32,
    /// Transactions that are not this one.
    pub others: GtidSet,
    /// How long ago it was sent.
    pub sent_ms: u64,
}

/// End a session, or its statement, if the asker's account may (S30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// As the gate said it in its greeting.
    pub connection_id: u32,
    pub query_only: bool,
    /// The user who asks: only its own sessions are ended for it, at whichever gate they are, unless that gate has it among its
    /// `admin_users`. None: an operator, who may end any.
    pub asker: Option<Box<[u8]>>,
}

/// Who wants to hear what came of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Core(CoreId),
    Control,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillOutcome {
    Done,
    /// 1094
    NoSuchThread,
    /// 1095
    NotOwner,
    /// No gate gives ids that begin so: it may be a server's own.
    NotOfAGate,
    /// Somebody who may have this client did not answer; why.
    Unknown(Box<str>),
}

/// What was seen of a backend that is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// No answer, or a connection that broke.
    Silent,
    /// It answered, and took no connection.
    Refuses,
    /// It refused a write since it takes none.
    ReadOnly,
}

/// From a core to the control thread.
#[derive(Debug)]
pub enum ControlMail {
    Report {
        token: u64,
        report: Box<Report>,
    },
    /// A backend refused or broke connections here: look at it now.
    Suspect {
        backend: BackendId,
        why: &'static str,
        sign: Sign,
    },
    /// What has become of this? Is answered with [`Mail::Found`], in time limits of the buffer's.
    Lost(Box<Lost>),
    /// An admin sets the gate's variables for all. Is answered with [`Mail::GlobalSet`].
    SetGlobal {
        token: u64,
        user: Box<[u8]>,
        /// Name and value.
        values: Vec<(Box<str>, String)>,
    },
    /// An admin changes the filters. Is answered with [`Mail::Filtered`], in a limit of time.
    Filter {
        token: u64,
        user: Box<[u8]>,
        statement: Box<FilterStatement>,
    },
    /// A client wants a table of the whole gate. Is answered with [`Mail::Shown`].
    Show {
        token: u64,
        show: Box<Show>,
    },
    /// No session of this gate has this id: is it another gate's? Is answered with [`Mail::Killed`], in a limit of time.
    Kill {
        token: u64,
        kill: Kill,
    },
    /// The answer to [`Mail::Kill`] of control.
    Killed {
        token: u64,
        outcome: KillOutcome,
    },
    /// Something that the audit log wants.
    Audit(Box<AuditEvent>),
    /// A statement that the query log wants.
    Statement(Box<QueryEvent>),
    /// A statement that was traced.
    Span(Box<Span>),
    /// A statement that a mirror is to run, too.
    Copied(Box<Copied>),
    /// All sessions have ended after a drain.
    Drained,
    /// Nothing of this core's is open on the primary whose mandate ends with this epoch.
    HandedOver {
        epoch: u64,
    },
    /// Something that operators should read: structured, rate-limited by the engine.
    Log {
        level: Level,
        event: &'static str,
        detail: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}
