//! What a server keeps for one connection: everything that a statement's meaning depends on.
//!
//! Rules: MySQL "COM_RESET_CONNECTION", "Server Tracking of Client Session State".

use std::collections::{BTreeMap, BTreeSet};

use weir_net::flags::{Capabilities, Status};
use weir_net::track::{Track, put_track};

use crate::sim::oracle::{Expected, with_values};
use crate::sim::server::data::Transaction;
use crate::sim::server::reply::Cell;
use crate::sim::server::sql::Statement;
use crate::sim::server::variables::Variables;

#[derive(Debug, Default)]
pub struct Session {
    pub user: String,
    pub schema: Option<String>,
    pub variables: Variables,
    pub user_variables: BTreeMap<String, Cell>,
    /// Temporary tables and their rows.
    pub temporary: BTreeMap<String, Vec<i64>>,
    /// Names of `GET_LOCK`.
    pub locks: BTreeSet<String>,
    pub insert_id: u64,
    pub row_count: i64,
    pub found_rows: u64,
    /// Code and message of the previous statement's.
    pub warnings: Vec<(u16, String)>,
    pub transaction: Option<Transaction>,
    pub statements: BTreeMap<u32, Prepared>,
    pub statement_last: u32,
    pub multi_statements: bool,
    pub news: News,
}

/// A statement prepared on this connection.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub statement: Statement,
    pub text: String,
    pub params: u16,
    /// The schema in which its names were looked up.
    pub schema: Option<String>,
    /// Types of the last execute that brought some.
    pub types: Vec<u16>,
    pub long: BTreeMap<u16, Vec<u8>>,
    /// Rows of an open cursor that were not fetched yet.
    pub cursor: Option<Vec<Vec<Cell>>>,
}

/// What the next OK tells about.
#[derive(Debug, Default)]
pub struct News {
    pub variables: Vec<&'static str>,
    pub schema: bool,
    pub state: bool,
    pub gtid: Option<String>,
}

impl Session {
    pub fn status(&self) -> Status {
        let mut status = Status::empty();
        if self.variables.is_on("autocommit") {
            status = status | Status::AUTOCOMMIT;
        }
        if let Some(transaction) = &self.transaction {
            status = status | Status::IN_TRANS;
            if transaction.read_only {
                status = status | Status::IN_TRANS_READONLY;
            }
        }
        let modes = self.variables.value("sql_mode").unwrap_or_default();
        if modes.contains("NO_BACKSLASH_ESCAPES") {
            status = status | Status::NO_BACKSLASH_ESCAPES;
        }
        status
    }

    /// The trackers for an OK to a client of these capabilities.
    pub fn take_tracks(&mut self, caps: Capabilities) -> Vec<u8> {
        let news = std::mem::take(&mut self.news);
        let mut block = Vec::new();
        if !caps.contains(Capabilities::SESSION_TRACK) {
            return block;
        }
        for name in news.variables {
            if self.variables.tracks(name) {
                let value = self.variables.value(name).unwrap_or_default();
                put_track(&mut block, &Track::Variable { name: name.as_bytes(), value: value.as_bytes() });
            }
        }
        if news.schema && self.variables.is_on("session_track_schema") {
            put_track(&mut block, &Track::Schema(self.schema.as_deref().unwrap_or_default().as_bytes()));
        }
        if news.state && self.variables.is_on("session_track_state_change") {
            put_track(&mut block, &Track::StateChanged(true));
        }
        if let Some(gtid) = news.gtid
            && self.variables.value("session_track_gtids") == Some("OWN_GTID")
        {
            put_track(&mut block, &Track::Gtids(gtid.as_bytes()));
        }
        block
    }

    /// As `COM_RESET_CONNECTION` leaves it: the account and the schema stay. The caller has rolled back.
    pub fn reset(&mut self) {
        assert!(self.transaction.is_none() && self.locks.is_empty(), "rolled back and unlocked before a reset");
        *self = Session {
            user: std::mem::take(&mut self.user),
            schema: self.schema.take(),
            statement_last: self.statement_last,
            multi_statements: self.multi_statements,
            ..Session::default()
        };
    }

    /// This session in the words of the oracle; what only the client knows is taken from `expected`.
    pub fn as_expected(&self, expected: &Expected) -> Expected {
        Expected {
            user: self.user.clone(),
            schema: self.schema.clone(),
            variables: self.variables.comparable(),
            // What others have left behind is NULL, as what was never set.
            user_variables: with_values(&self.user_variables),
            temporary: self.temporary.keys().cloned().collect(),
            locks: self.locks.clone(),
            in_transaction: expected.in_transaction.map(|_| self.transaction.is_some()),
            repeatable: expected.repeatable,
            transaction: expected.transaction,
        }
    }
}
