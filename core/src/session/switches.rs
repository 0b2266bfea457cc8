//! Switches that MariaDB keeps in one word (`autocommit`, `unique_checks` and their like, S22): since 11 its tracker may name
//! another one of them than the one that was changed (seen on 11.8: whichever it named first on that connection).
//!
//! ```text
//!   a switch is named ─┬─ autocommit ─────────────────────────► the status flag of the same OK
//!                      ├─ `SET x=1` with that one's value ────► what the statement says: the server has taken it
//!                      └─ anything else that may have set one ► the server is asked for all, before the next command
//! ```
//! Invariant: which one the tracker names, and its value, are believed of none.

use crate::engine::Engine;
use crate::link::Link;
use crate::link::expect::Purpose;
use crate::session::collation::unquoted;
use crate::session::trackers::{ONE_ROW, last_row};
use crate::session::{Phase, Session};
use crate::slots::Key;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::scan::ReplyKind;
use weir_net::track::Track;
use weir_planner::{Assign, Effects, Kind, Plan, Scope};

const AUTOCOMMIT: &str = "autocommit";

/// Those that are carried to other connections; what else lives in that word pins by its name.
const OTHERS: [&str; 13] = [
    "check_constraint_checks",
    "explicit_defaults_for_timestamp",
    "foreign_key_checks",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_buffer_result",
    "sql_if_exists",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "sql_warnings",
    "system_versioning_insert_history",
    "unique_checks",
];

/// MariaDB's first that is not believed.
const SINCE: u32 = 110_000;

impl Engine {
    /// Whether this news may be about any of the switches.
    pub(crate) fn is_switch(&self, session: Key<Session>, track: &Track<'_>) -> bool {
        let Track::Variable { name, .. } = track else { return false };
        let facts = &self.sessions[session].facts;
        facts.is_mariadb()
            && facts.server_version >= SINCE
            && (*name == AUTOCOMMIT.as_bytes() || OTHERS.iter().any(|known| known.as_bytes() == *name))
    }

    /// What the client is told in its place: a server that reports `autocommit` names that one first.
    pub(crate) fn switch_shown<'a>(&self, link: Key<Link>, track: Track<'a>) -> Track<'a> {
        if self.links[link].is_bare() {
            return track;
        }
        Track::Variable {
            name: AUTOCOMMIT.as_bytes(),
            value: word(self.links[link].status.contains(Status::AUTOCOMMIT)),
        }
    }

    /// The server has named one; it had `before` as its status.
    pub(crate) fn switched(&mut self, session: Key<Session>, link: Key<Link>, before: Status) {
        let Phase::Relaying(request) = &mut self.sessions[session].phase else { return };
        let plan = request.plan.clone();
        let said = plan.as_deref().filter(|plan| plan.kind == Kind::Set && plan.statements == 1).map(said);
        let runs_others = plan.as_deref().is_some_and(|plan| plan.effects.contains(Effects::UNKNOWN_FUNCTION));
        request.outcome.switched |=
            runs_others || said.as_ref().is_none_or(|said| said.is_empty() || said.iter().any(|one| one.1.is_none()));
        let (was, is) = (before.contains(Status::AUTOCOMMIT), self.links[link].status.contains(Status::AUTOCOMMIT));
        let names_it = |plan: &Plan| plan.assigns.iter().any(|assign| &*assign.name == AUTOCOMMIT);
        if was != is || plan.as_deref().is_some_and(names_it) {
            self.variable_changed(session, link, AUTOCOMMIT.as_bytes(), word(is));
        }
        for (name, is_on) in said.unwrap_or_default() {
            if let Some(is_on) = is_on.filter(|_| name != AUTOCOMMIT) {
                self.variable_changed(session, link, name.as_bytes(), word(is_on));
            }
        }
    }

    /// Behind a command that may have set any: the server is asked.
    pub(crate) fn ask_switches(&mut self, session: Key<Session>, link: Key<Link>) {
        let mut text = b"SELECT ".to_vec();
        for (n, name) in OTHERS.iter().enumerate() {
            text.extend_from_slice(if n > 0 { b",@@SESSION." } else { b"@@SESSION." });
            text.extend_from_slice(name.as_bytes());
        }
        text.extend_from_slice(ONE_ROW);
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, Purpose::Switches(session), Command::Query, &text);
    }

    pub(crate) fn switches_told(&mut self, session: Key<Session>, link: Key<Link>) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        if self.sessions.get(session).is_some() {
            for (name, value) in OTHERS.iter().zip(values) {
                let is_on = value == b"1";
                let known = self.states.variable(self.links[link].state, name);
                // What it never set it has as every connection has it.
                if known.map_or(is_on != is_usual(name), |known| known != word(is_on)) {
                    self.variable_changed(session, link, name.as_bytes(), word(is_on));
                }
            }
        }
        self.conclude(link);
    }
}

fn word(is_on: bool) -> &'static [u8] {
    if is_on { b"ON" } else { b"OFF" }
}

/// The server's default; where an operator has another, the session carries it.
fn is_usual(name: &str) -> bool {
    !matches!(
        name,
        "sql_auto_is_null"
            | "sql_buffer_result"
            | "sql_if_exists"
            | "sql_safe_updates"
            | "sql_warnings"
            | "system_versioning_insert_history"
    )
}

/// The switches that a `SET` names, and what it says of each; None: something that only the server can compute.
fn said(plan: &Plan) -> Vec<(&str, Option<bool>)> {
    let is_switch = |assign: &&Assign| {
        assign.scope == Scope::Session && (&*assign.name == AUTOCOMMIT || OTHERS.contains(&&*assign.name))
    };
    let value = |assign: &Assign| {
        let bare = unquoted(assign.value.as_deref()?);
        let is = |words: [&[u8]; 3]| words.iter().any(|word| bare.eq_ignore_ascii_case(word));
        match (is([b"1", b"on", b"true"]), is([b"0", b"off", b"false"])) {
            (false, false) => None,
            (is_on, _) => Some(is_on),
        }
    };
    plan.assigns.iter().filter(is_switch).map(|assign| (&*assign.name, value(assign))).collect()
}
