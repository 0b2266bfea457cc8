//! What a reply that is still to come is for.

use crate::session::Session;
use crate::session::prepared::Text;
use crate::slots::Key;
use crate::state::{SchemaId, StateId};
use std::rc::Rc;
use weir_net::scan::ReplyKind;

pub struct Expect {
    pub kind: ReplyKind,
    pub purpose: Purpose,
}

pub enum Purpose {
    /// The client's own command: the reply goes to the client.
    Client,
    /// The gate's own `SET session_track_…` after a login.
    Setup,
    /// The connection takes a session's variables on.
    Variables(StateId),
    /// … and its schema.
    Schema(SchemaId),
    /// … and a prepared statement.
    Prepare(Rc<Text>),
    /// `SELECT LAST_INSERT_ID()` before another session's statements forget it.
    InsertId(Key<Session>),
    /// … and an insert id or user variables, or lets go of a name: nothing is to be noted when that is done.
    Given,
    /// The session's own trackers, or the gate's again.
    Trackers,
    /// What a statement left of the session's trackers and of these variables.
    TrackersAsked(Key<Session>, Box<[Box<str>]>),
    /// MariaDB's switches, of which one was changed.
    Switches(Key<Session>),
    /// Which of its user locks a session has left.
    LocksAsked(Key<Session>),
    /// The text that a session has prepared out of a user variable, by this name.
    NamedText(Key<Session>, Box<str>),
    /// What a session's user variables are that only its connection knows.
    UserVariables(Key<Session>),
    /// How many conditions the session's failed statement has left.
    Conditions(Key<Session>),
    /// Leads to the state that the gate's own answer would have left behind; it may be meant to fail.
    Lead,
    Kill,
    /// How long the server has been up, before a thread is ended that lost its connection.
    Uptime,
    /// … and what that thread does.
    OrphanAsked,
    /// What the primary has executed, for all reads that wait.
    Index,
    /// Whether the primary takes writes, before a read at `GLOBAL` believes it.
    Writable,
}
