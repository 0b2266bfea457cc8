//! One connection to a backend: who it is logged in as, what state it is in, which replies are still to come.
//!
//! ```text
//!  Dialing ─► Greeting ─► Login ─► Setup ─► Idle ◄─────────────┐
//!                            ▲                │ lease          │ release (clean, reply complete)
//!                            └─ change user ──┤                │
//!                                           Leased ─► Cleaning ┘   (reset first when something was left behind)
//!                                             └──────► Closing     (after any doubt)
//! ```
//! Invariant: `expects` holds one entry for every command sent whose reply has not ended, in order; the scan belongs to
//! the first. A link goes back to the pool only in `Idle`, with `expects` empty (S32).

pub mod errands;
pub mod expect;
pub mod login;
pub mod of_slots;
pub mod reply;
pub mod trail;

use crate::link::errands::Errand;
use crate::link::expect::Expect;
use crate::link::trail::Trail;
use crate::queue::Queue;
use crate::session::account::AccountId;
use crate::session::named;
use crate::session::overtime::Hunt;
use crate::session::user_variables::OnLink;
use crate::session::{ClassId, Session};
use crate::slots::Key;
use crate::snapshot::BackendId;
use crate::state::{SchemaId, StateId};
use crate::time::Instant;
use crate::timers::Deadline;
use crate::wire::Wire;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::rc::Rc;
use weir_net::auth::ClientAuth;
use weir_net::compress::Agreed;
use weir_net::flags::{Capabilities, Status};
use weir_net::flavour::Flavour;
use weir_net::scan::ReplyScan;
use weir_pool::SlotId;

/// Whose trackers it has on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    #[default]
    Gates,
    /// Its session's own.
    Sessions,
    /// The same, but that of GTIDs is the gate's: the server refuses to change it inside a transaction.
    SessionsButGtids,
    /// Nobody's: the account's password has expired.
    Refused,
}

pub struct Link {
    pub wire: Key<Wire>,
    pub slot: SlotId,
    pub backend: BackendId,
    pub account: AccountId,
    pub class: ClassId,
    pub caps: Capabilities,
    /// Of its server, from the greeting on.
    pub flavour: Flavour,
    /// MariaDB's alone: its last user's warnings or errors may still be there, which most statements leave as they are.
    pub has_conditions: bool,
    /// The last statement there counted changed rows: a `CALL` that counts none answers with that number, whoever's it was.
    pub has_count: bool,
    pub phase: LinkPhase,
    /// The server's own id of this connection.
    pub thread_id: u32,
    pub nonce: [u8; 20],
    /// Told to the server as an attribute, so that its thread can be known again.
    pub token: u64,
    pub schema: SchemaId,
    pub state: StateId,
    pub status: Status,
    pub statements: FxHashMap<u64, Prepared>,
    pub expects: VecDeque<Expect>,
    pub scan: ReplyScan,
    /// Bytes of handshake packets that have not come whole.
    pub inbound: Queue,
    pub lessee: Option<Lessee>,
    /// The session that used it last: what the server knows of "the previous statement" is about it.
    pub last_session: Option<Key<Session>>,
    /// `LAST_INSERT_ID()` may not be 0 here, by whatever session.
    pub numbered: bool,
    /// Nothing but that session's own statements ran since.
    pub undisturbed: bool,
    /// Nothing but its session's statements ran between its last two commands.
    pub goes_on: bool,
    /// A statement failed that may have committed before: its GTID, which no ERR carries, makes the next OK say that something changed.
    pub owes_gtid: bool,
    /// The character set that a new session has by the server's default.
    pub charset: u8,
    /// When a backend last confirmed the account's password here.
    pub proved_at: Instant,
    pub opened_at: Instant,
    /// When it last came to rest: its server was there.
    pub rested_at: Instant,
    /// Its server was seen to take writes on this very connection, so that a fence since then has ended it.
    pub saw_writable: bool,
    pub user_variables: OnLink,
    pub named: named::OnLink,
    /// What its login has agreed on.
    pub compression: Option<Agreed>,
    pub tracking: Tracking,
    /// Something holds on it that not even a reset removes: it is closed instead of shared.
    pub spoiled: bool,
    /// Its session was told that the transaction on it is lost: it ends with the reply that said so.
    pub void: bool,
    /// A kill is meant for the statement that runs here.
    pub hunt: Option<Hunt>,
    pub deadline: Deadline,
    /// What its thread has committed.
    pub trail: Trail,
    /// Bytes of the reply under way that have gone to the client.
    pub forwarded: u64,
    /// What the reply to one of the gate's own statements has brought so far.
    pub captured: Vec<u8>,
}

pub enum LinkPhase {
    Dialing,
    Greeting,
    Login {
        auth: Box<ClientAuth>,
        cause: LoginCause,
    },
    /// Statements of the gate's own that every connection needs first (trackers).
    Setup {
        cause: LoginCause,
    },
    Idle,
    Leased,
    /// It tells a last insert id before everything is taken off it.
    Cleaning,
    /// The pool has given it up; it tells a last insert id before it is closed.
    Retiring,
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginCause {
    /// A new connection: it becomes idle for whoever waits.
    Open,
    /// `COM_CHANGE_USER` for the session that leases it.
    Change,
}

/// Who uses a leased link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lessee {
    Session(Key<Session>),
    /// A statement or a thread of that server is to be ended.
    Kill(Errand),
    /// The read index.
    Index,
}

/// A statement prepared on this connection.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub id: u32,
    pub used_at: Instant,
    /// The parameter types bound last on this connection.
    pub types: Option<Rc<[u8]>>,
}

impl Link {
    /// It has not the gate's trackers.
    pub fn is_bare(&self) -> bool {
        self.tracking != Tracking::Gates
    }

    /// A statement or a transaction may still be open there, with locks.
    pub fn may_hold(&self) -> bool {
        matches!(self.phase, LinkPhase::Leased) && (!self.expects.is_empty() || self.status.contains(Status::IN_TRANS))
    }

    pub fn leaves_nothing(&mut self) {
        self.expects.clear();
        self.status = self.status.minus(Status::IN_TRANS);
    }

    /// Nothing but this session's statements ran there since its last one.
    pub fn is_as_left_by(&self, session: Key<Session>) -> bool {
        self.undisturbed && self.last_session == Some(session)
    }
}
