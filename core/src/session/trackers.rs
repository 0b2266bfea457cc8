//! Trackers: which news about its session a client wants from the server, as opposed to those that the gate has on (S45).
//!
//! A connection has the gate's trackers on. A statement that reads or sets them (`session_track_…`, a listing of session
//! variables) must see the client's own, so its connection is given these first and the gate's again afterwards:
//!
//! ```text
//!   SET session_track_…=⟨client's⟩ ; the client's statement ; SELECT @@session_track_…, @@⟨assigned⟩ ; SET …=⟨gate's⟩
//!            pipelined                                        only behind a SET            pipelined
//! ```
//! What the `SELECT` says is believed: the server's trackers were not the gate's while the statement ran.

use crate::engine::Engine;
use crate::link::Link;
use crate::link::expect::Purpose;
use crate::session::pins::Reasons;
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use std::rc::Rc;
use weir_net::column::cells;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::packet::{HEADER_BYTES, Header};
use weir_net::scan::ReplyKind;
use weir_net::track::Track;
use weir_planner::{Asks, Kind, Scope, VariableKind};

/// What a client has asked to be told. As a new connection has it by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trackers {
    schema: bool,
    state: bool,
    gtids: bool,
    variables: Names,
    /// `SET …` that gives a connection these; None: the server's defaults.
    text: Option<Rc<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    ByDefault,
    All,
    Listed(Rc<[Box<[u8]>]>),
}

impl Default for Trackers {
    fn default() -> Trackers {
        Trackers { schema: true, state: false, gtids: false, variables: Names::ByDefault, text: None }
    }
}

impl Trackers {
    /// Whether the client is shown this.
    pub fn shows(&self, track: &Track<'_>) -> bool {
        match track {
            Track::Schema(_) => self.schema,
            Track::StateChanged(_) => self.state,
            Track::Gtids(_) => self.gtids,
            Track::Variable { name, .. } => match &self.variables {
                Names::ByDefault => BY_DEFAULT.contains(name),
                Names::All => true,
                Names::Listed(names) => names.iter().any(|n| n.eq_ignore_ascii_case(name)),
            },
            // The gate never touches these two: they come as the client has them.
            Track::TransactionCharacteristics(_) | Track::TransactionState(_) => true,
            Track::Unknown(..) => false,
        }
    }

    fn text(&self, in_transaction: bool) -> Vec<u8> {
        let mut text = self.text.as_deref().unwrap_or(DEFAULTS).to_vec();
        if let (false, Some(gtids)) = (in_transaction, self.gtids_value()) {
            text.extend_from_slice(b",session_track_gtids=");
            text.extend_from_slice(gtids);
        }
        text
    }

    /// The server refuses a change of this one inside a transaction.
    fn gtids_value(&self) -> Option<&'static [u8]> {
        match (&self.text, self.gtids) {
            (None, _) => Some(b"DEFAULT"),
            (Some(_), false) => Some(b"OFF"),
            // The gate's own setting.
            (Some(_), true) => None,
        }
    }

    /// Reads the answer to [`QUESTION`]: schema, state, GTIDs, variables.
    fn learn(&mut self, values: &[Vec<u8>]) {
        let [schema, state, gtids, variables, ..] = values else { return };
        self.schema = schema == b"1";
        self.state = state == b"1";
        self.gtids = gtids != b"OFF";
        let names = || variables.split(|b| *b == b',').map(|name| Box::from(name.trim_ascii()));
        self.variables = if variables == b"*" { Names::All } else { Names::Listed(names().collect()) };
        let mut text = b"SET session_track_schema=".to_vec();
        text.extend_from_slice(schema);
        text.extend_from_slice(b",session_track_state_change=");
        text.extend_from_slice(state);
        text.extend_from_slice(b",session_track_system_variables='");
        text.extend(variables.iter().filter(|b| !matches!(b, b'\'' | b'\\')));
        text.push(b'\'');
        self.text = Some(text.into());
    }
}

impl Engine {
    /// Whether this command must find the client's own trackers on its connection.
    pub(crate) fn wants_own_trackers(&self, request: &Request) -> bool {
        matches!(request.command, Command::Query | Command::StmtExecute)
            && request.plan.as_ref().is_some_and(|p| p.asks.contains(Asks::TRACKERS))
    }

    pub(crate) fn give_trackers(&mut self, session: Key<Session>, link: Key<Link>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let text = self.sessions[session].trackers.text(in_transaction);
        self.inject(link, ReplyKind::Query, Purpose::Trackers, Command::Query, &text);
        self.links[link].bare = true;
    }

    /// After a statement that ran with the client's own trackers: asks what it has changed, then the gate's again.
    /// The session is in `Relaying`; it goes on when the last answer is here.
    pub(crate) fn take_trackers_back(&mut self, session: Key<Session>, link: Key<Link>) {
        let Phase::Relaying(request) = &self.sessions[session].phase else { return };
        let plan = request.plan.clone();
        let sets = plan.as_ref().is_some_and(|p| p.kind != Kind::Show && p.kind != Kind::Select);
        if let Some(plan) = plan.filter(|_| sets) {
            let mut text = QUESTION.to_vec();
            let mut names = Vec::new();
            for assign in plan.assigns.iter().filter(|a| a.scope == Scope::Session) {
                if weir_planner::variable_is_replayable(&assign.name).is_some() && !names.contains(&assign.name) {
                    text.extend_from_slice(b",@@SESSION.");
                    text.extend_from_slice(assign.name.as_bytes());
                    names.push(assign.name.clone());
                }
            }
            self.links[link].captured.clear();
            let purpose = Purpose::TrackersAsked(session, names.into());
            return self.inject(link, ReplyKind::Query, purpose, Command::Query, &text);
        }
        self.give_gates_trackers(session, link);
    }

    fn give_gates_trackers(&mut self, session: Key<Session>, link: Key<Link>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let all = self.sessions[session].trackers.variables == Names::All;
        let text = setup_text(in_transaction, all);
        self.inject(link, ReplyKind::Query, Purpose::Trackers, Command::Query, &text);
        self.links[link].bare = false;
    }

    /// The client's trackers and the variables that its statement assigned.
    pub(crate) fn trackers_told(&mut self, session: Key<Session>, link: Key<Link>, names: &[Box<str>]) {
        let captured = std::mem::take(&mut self.links[link].captured);
        if self.sessions.get(session).is_none() {
            return;
        }
        let values = last_row(&captured);
        self.sessions[session].trackers.learn(&values);
        let transaction_info = values.get(4).is_some_and(|info| info != b"OFF");
        if transaction_info || self.sessions[session].trackers.variables == Names::All {
            // What these report depends on all that ran on the connection before.
            self.pin(session, Reasons::VARIABLE);
        }
        for (name, value) in names.iter().zip(values.iter().skip(5)) {
            let value: &[u8] = match (weir_planner::variable_is_replayable(name), value.as_slice()) {
                (Some(VariableKind::Bool), b"1") => b"ON",
                (Some(VariableKind::Bool), b"0") => b"OFF",
                (_, value) => value,
            };
            self.variable_changed(session, link, name.as_bytes(), value);
        }
        self.give_gates_trackers(session, link);
    }
}

/// What every connection is told first: report what statements change (design: "Believe the server").
///
/// The variables are named, not `'*'`: with the star, 9.x reports `statement_id` after every statement, so that each OK
/// would have to be rewritten. A variable that is not in the list cannot be carried either, and pins its session by plan.
pub(crate) fn setup_text(in_transaction: bool, all: bool) -> Vec<u8> {
    let mut text = b"SET session_track_schema=ON,session_track_state_change=ON,".to_vec();
    if !in_transaction {
        text.extend_from_slice(b"session_track_gtids=OWN_GTID,");
    }
    text.extend_from_slice(b"session_track_system_variables='");
    if all {
        text.extend_from_slice(b"*'");
        return text;
    }
    for (n, name) in weir_planner::variables::replayable_names().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
    }
    text.push(b'\'');
    text
}

/// The cells of the last packet of a small result; NULL is empty, as in the server's trackers.
pub(crate) fn last_row(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut last: &[u8] = &[];
    while let Some(header) = Header::at_front(rest) {
        let end = HEADER_BYTES + header.payload_len as usize;
        let (Some(payload), Some(behind)) = (rest.get(HEADER_BYTES..end), rest.get(end..)) else { break };
        (last, rest) = (payload, behind);
    }
    cells(last).map_while(|cell| Some(cell.ok()?.unwrap_or_default().to_vec())).collect()
}

const DEFAULTS: &[u8] =
    b"SET session_track_schema=DEFAULT,session_track_state_change=DEFAULT,session_track_system_variables=DEFAULT";

const QUESTION: &[u8] = b"SELECT @@session_track_schema,@@session_track_state_change,@@session_track_gtids,\
@@session_track_system_variables,@@session_track_transaction_info";

/// System variables that a server reports by default (`session_track_system_variables`).
const BY_DEFAULT: &[&[u8]] =
    &[b"time_zone", b"autocommit", b"character_set_client", b"character_set_results", b"character_set_connection"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_shown_follows_its_own_settings() {
        let mut trackers = Trackers::default();
        let variable = |name| Track::Variable { name, value: b"x" };
        assert!(trackers.shows(&variable(b"time_zone")) && !trackers.shows(&variable(b"sql_mode")));
        assert!(trackers.shows(&Track::Schema(b"s")) && !trackers.shows(&Track::Gtids(b"u:1")));
        let values = ["0", "1", "OWN_GTID", "sql_mode, SQL_SELECT_LIMIT"].map(|v| v.as_bytes().to_vec());
        trackers.learn(&values);
        assert!(!trackers.shows(&variable(b"time_zone")) && trackers.shows(&variable(b"sql_select_limit")));
        assert!(!trackers.shows(&Track::Schema(b"s")) && trackers.shows(&Track::Gtids(b"u:1")));
        assert!(trackers.shows(&Track::StateChanged(true)));
        let text = String::from_utf8(trackers.text(false)).unwrap();
        assert_eq!(
            text,
            "SET session_track_schema=0,session_track_state_change=1,\
             session_track_system_variables='sql_mode, SQL_SELECT_LIMIT'"
        );
    }

    #[test]
    fn the_last_row_is_read() {
        assert!(last_row(b"").is_empty());
        let two = b"\x01\x00\x00\x01\x02\x04\x00\x00\x02\x01a\x01b\x03\x00\x00\x03\x01c\xfb";
        assert_eq!(last_row(two), [b"c".to_vec(), Vec::new()]);
    }
}
