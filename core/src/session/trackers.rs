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
use crate::link::expect::Purpose;
use crate::link::{Link, Tracking};
use crate::session::pins::Reasons;
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use std::rc::Rc;
use weir_net::column::cells;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::flavour::Flavour;
use weir_net::outcome::OkPacket;
use weir_net::packet::{HEADER_BYTES, Header};
use weir_net::scan::ReplyKind;
use weir_net::track::{Track, Tracks, put_track};
use weir_planner::{Asks, Effects, Kind, Scope, VariableKind};

/// What a client has asked to be told. As a new connection has it by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trackers {
    schema: bool,
    state: bool,
    gtids: bool,
    variables: Names,
    /// `SET …` that gives a connection these; None: the server's defaults.
    text: Option<Rc<[u8]>>,
    /// News that came with the end of rows, where a client that gets EOFs is told nothing: the next OK tells it.
    owed: News,
    /// The transaction's state as the client was told it last; a new session has none.
    transaction: [u8; 8],
}

/// What an OK says about the session: that something has changed, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub tracks: Vec<u8>,
    pub flagged: bool,
}

impl News {
    /// Both, but for what is told anew. In the server's order, which is by type.
    fn with(self, newer: News) -> News {
        let new: Vec<Track<'_>> = Tracks::new(&newer.tracks).flatten().collect();
        let is_newer = |old: &Track<'_>| match old {
            Track::Variable { name, .. } => {
                new.iter().any(|new| matches!(new, Track::Variable { name: other, .. } if other == name))
            }
            _ => new.iter().any(|new| std::mem::discriminant(new) == std::mem::discriminant(old)),
        };
        let mut all: Vec<Track<'_>> = Tracks::new(&self.tracks).flatten().filter(|old| !is_newer(old)).collect();
        all.extend(new.iter().copied());
        all.sort_by_key(|track| match track {
            Track::Variable { .. } => 0,
            Track::Schema(_) => 1,
            Track::StateChanged(_) => 2,
            Track::Gtids(_) => 3,
            Track::TransactionCharacteristics(_) => 4,
            Track::TransactionState(_) | Track::Unknown(..) => 5,
        });
        let mut tracks = Vec::new();
        all.iter().for_each(|track| put_track(&mut tracks, track));
        News { tracks, flagged: self.flagged || newer.flagged }
    }
}

/// "you need (at least one of) the … privilege(s)".
const ACCESS_DENIED: u16 = 1227;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    ByDefault,
    All,
    Listed(Rc<[Box<[u8]>]>),
}

impl Default for Trackers {
    fn default() -> Trackers {
        Trackers {
            schema: true,
            state: false,
            gtids: false,
            variables: Names::ByDefault,
            text: None,
            owed: News::default(),
            transaction: NO_TRANSACTION,
        }
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

    /// What this packet tells of the news: all, what is owed included, or nothing, and then the next one owes it.
    pub fn tell(&mut self, news: News, is_eof: bool) -> News {
        if !self.owed.flagged && !is_eof {
            self.note_transaction(&news.tracks);
            return news;
        }
        let mut all = std::mem::take(&mut self.owed).with(news);
        if is_eof {
            self.owed = all;
            return News::default();
        }
        // One that has ended and begun unseen is where it was: that something changed is told, and not what (seen on 9.7).
        let is_told = |track: &Track<'_>| matches!(track, Track::TransactionState(now) if **now == self.transaction);
        if Tracks::new(&all.tracks).flatten().any(|track| is_told(&track)) {
            let mut tracks = Vec::new();
            Tracks::new(&all.tracks).flatten().filter(|track| !is_told(track)).for_each(|t| put_track(&mut tracks, &t));
            all.tracks = tracks;
        }
        self.note_transaction(&all.tracks);
        all
    }

    fn note_transaction(&mut self, tracks: &[u8]) {
        for track in Tracks::new(tracks).flatten() {
            if let Track::TransactionState(now) = track
                && let Ok(now) = now.try_into()
            {
                self.transaction = now;
            }
        }
    }

    /// The next OK is to tell this too.
    pub fn owe(&mut self, track: &Track<'_>) {
        let mut tracks = Vec::new();
        put_track(&mut tracks, track);
        self.owed = std::mem::take(&mut self.owed).with(News { tracks, flagged: true });
    }

    fn text(&self, in_transaction: bool, flavour: Flavour) -> Vec<u8> {
        let mut text = self.text.as_deref().unwrap_or(DEFAULTS).to_vec();
        let has_tracker = flavour.gtid_variable().is_none();
        if let (false, true, Some(gtids)) = (in_transaction, has_tracker, self.gtids_value()) {
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

    /// Asks for the client's trackers. That of GTIDs only if the statement has set it: otherwise the connection may have the gate's own,
    /// which cannot be taken off inside a transaction.
    fn question(&self, sets_gtids: bool) -> Vec<u8> {
        let gtids = match (sets_gtids, self.gtids) {
            (true, _) => "@@session_track_gtids",
            (false, true) => "'OWN_GTID'",
            (false, false) => "'OFF'",
        };
        let text = format!(
            "SELECT @@session_track_schema,@@session_track_state_change,{gtids},@@session_track_system_variables,\
             @@session_track_transaction_info"
        );
        text.into_bytes()
    }

    /// Reads the answer to [`Trackers::question`]: schema, state, GTIDs, variables.
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

    /// Whether the server says that something changed without saying what, as it does when a transaction ends and the
    /// next begins at once. The gate's trackers may have put a GTID there that this client does not see: it comes when a transaction
    /// ends, so one that is open behind it is another.
    pub(crate) fn changed_without_news(&mut self, session: Key<Session>, link: Key<Link>, ok: &OkPacket<'_>) -> bool {
        let kind = match &self.sessions[session].phase {
            Phase::Relaying(request) => request.plan.as_ref().map(|plan| plan.kind),
            _ => None,
        };
        // It is the GTID that this client does not see; but a transaction that is begun is told to all, also one that follows another. One
        // that begins by itself, without autocommit, is not.
        let begins = match kind {
            Some(Kind::Begin) => true,
            Some(Kind::Xa | Kind::Commit | Kind::Rollback | Kind::Call) => ok.status.contains(Status::IN_TRANS),
            _ => false,
        };
        if std::mem::take(&mut self.links[link].owes_gtid) && ok.track.is_empty() && !begins {
            return false;
        }
        let ends_one = || Tracks::new(ok.track).flatten().any(|track| matches!(track, Track::Gtids(_)));
        // What `LOCK TABLES` begins is not told.
        let begins_another = || ok.status.contains(Status::IN_TRANS) && ends_one() && kind != Some(Kind::Lock);
        ok.status.contains(Status::SESSION_STATE_CHANGED) && (ok.track.is_empty() || begins_another())
    }

    /// Whether this news goes to the client.
    pub(crate) fn shows_track(&self, session: Key<Session>, link: Key<Link>, track: &Track<'_>) -> bool {
        match (self.links[link].tracking, track) {
            (Tracking::Sessions, _) => true,
            (Tracking::SessionsButGtids, track) if !matches!(track, Track::Gtids(_)) => true,
            _ => self.sessions[session].trackers.shows(track),
        }
    }

    pub(crate) fn give_trackers(&mut self, session: Key<Session>, link: Key<Link>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let text = self.sessions[session].trackers.text(in_transaction, self.links[link].flavour);
        self.inject(link, ReplyKind::Query, Purpose::Trackers, Command::Query, &text);
        self.links[link].tracking = match in_transaction {
            true => Tracking::SessionsButGtids,
            false => Tracking::Sessions,
        };
    }

    /// After a statement that ran with the client's own trackers: asks what it has changed, then the gate's again.
    /// The session is in `Relaying`; it goes on when the last answer is here.
    pub(crate) fn take_trackers_back(&mut self, session: Key<Session>, link: Key<Link>) {
        let Phase::Relaying(request) = &self.sessions[session].phase else { return };
        let plan = request.plan.clone();
        // What it may not set it has not set, nor what stands beside that: its value is the server's own, which the account could not
        // give to another connection either.
        let is_refused = request.outcome.error == Some(ACCESS_DENIED);
        let sets = !is_refused && plan.as_ref().is_some_and(|p| p.kind != Kind::Show && p.kind != Kind::Select);
        if let Some(plan) = plan.filter(|_| sets) {
            let has_tracker = self.links[link].flavour.gtid_variable().is_none();
            let sets_gtids = has_tracker
                && (plan.effects.contains(Effects::UNKNOWN)
                    || plan.assigns.iter().any(|assign| &*assign.name == "session_track_gtids"));
            let mut text = self.sessions[session].trackers.question(sets_gtids);
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
            text.extend_from_slice(ONE_ROW);
            return self.inject(link, ReplyKind::Query, purpose, Command::Query, &text);
        }
        self.give_gates_trackers(session, link);
    }

    fn give_gates_trackers(&mut self, session: Key<Session>, link: Key<Link>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let all = self.sessions[session].trackers.variables == Names::All;
        let text = setup_text(in_transaction, all, self.links[link].flavour);
        self.inject(link, ReplyKind::Query, Purpose::Trackers, Command::Query, &text);
        self.links[link].tracking = Tracking::Gates;
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

/// What every connection is told first, by the flavour of its server.
#[derive(Debug, Default)]
pub(crate) struct Setup([Vec<u8>; 2]);

impl Setup {
    pub(crate) fn new() -> Setup {
        Setup([Flavour::Mysql, Flavour::MariaDb].map(|flavour| setup_text(false, false, flavour)))
    }

    pub(crate) fn of(&self, flavour: Flavour) -> &[u8] {
        match flavour {
            Flavour::Mysql => &self.0[0],
            Flavour::MariaDb => &self.0[1],
        }
    }
}

/// The words of it: report what statements change (design: "Believe the server").
///
/// The variables are named, not `'*'`: with the star, 9.x reports `statement_id` after every statement, so that each OK
/// would have to be rewritten. A variable that is not in the list cannot be carried either, and pins its session by plan.
///
/// MariaDB refuses a list with a name that it does not know, and reports nothing with the star that nobody has set; its GTIDs
/// are a variable among others there (`last_gtid`).
fn setup_text(in_transaction: bool, all: bool, flavour: Flavour) -> Vec<u8> {
    let mut text = b"SET session_track_schema=ON,session_track_state_change=ON,".to_vec();
    let has_tracker = flavour.gtid_variable().is_none();
    let all = all || !has_tracker;
    if !in_transaction && has_tracker {
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

/// Behind each question of the gate's own: the session's `sql_select_limit` would leave it unanswered.
pub(crate) const ONE_ROW: &[u8] = b" LIMIT 1";

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

const NO_TRANSACTION: [u8; 8] = *b"________";

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
        let text = String::from_utf8(trackers.text(false, Flavour::Mysql)).unwrap();
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
