//! User variables: those whose values are known travel with their session from connection to connection (S24).
//!
//! ```text
//!   SET @a=5 ────────────────────────► known ───► any connection: SET @a=5,@b=NULL in front (@b is its last user's)
//!   SELECT … INTO @a, SET @a=@b+1 ──► untold: the session keeps its connection until others wait; then the server is asked
//!   CALL, a trigger that sets some ─► unknown: it keeps its connection until a reset
//! ```
//! Invariant: a connection runs a session's statement only while its user variables are that session's, as of their last
//! change. What is replayed is what the statements of the session said, under the character set and SQL mode that they
//! were said in, or what the server said they are (`user_values.rs`).

use crate::link::Link;
use crate::link::expect::Purpose;
use crate::session::pins::{Reasons, of_plan};
use crate::session::user_values::{Literal, answer, question};
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::state::StateId;
use std::collections::{BTreeMap, BTreeSet};
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::scan::ReplyKind;
use weir_planner::named::NamedSource;
use weir_planner::{Effects, Kind, Plan, Scope};

/// A session's.
#[derive(Debug, Default)]
pub struct UserVariables {
    /// By name, in lower case.
    values: BTreeMap<Box<str>, Literal>,
    /// Those that only the connection knows.
    untold: BTreeSet<Box<str>>,
    /// Others may be set, too.
    is_unknown: bool,
    /// Counts changes.
    version: u32,
}

/// Those that were set on a connection.
#[derive(Debug, Default)]
pub struct OnLink {
    /// All that exist there, with or without a value, in lower case.
    names: Vec<Box<str>>,
    /// Whose they are, as of which change.
    of: Option<(Key<Session>, u32)>,
}

impl UserVariables {
    /// A statement has ended, under these variables. One that failed may have set some of what it was to set. True: it
    /// set some.
    pub fn handle(&mut self, plan: &Plan, state: StateId, failed: bool) -> bool {
        /// What may set more than the text names.
        const UNSEEN: Effects =
            Effects::UNKNOWN.union(Effects::CALL).union(Effects::UNKNOWN_FUNCTION).union(Effects::TEXT_EXECUTE);
        if !plan.effects.contains(Effects::SET_USER_VARIABLE) {
            return self.handle_reads(plan);
        }
        self.version = self.version.wrapping_add(1);
        if plan.user_variables.is_empty() || plan.effects_on_session().intersects(UNSEEN) {
            self.disown();
            return true;
        }
        let is_plain = plan.kind == Kind::Set
            && plan.statements == 1
            && !failed
            && !plan.effects.contains(Effects::READS_USER_VARIABLE);
        if !is_plain {
            plan.user_variables.iter().for_each(|name| self.is_untold(name));
            return true;
        }
        for assign in plan.assigns.iter().filter(|assign| assign.scope == Scope::User) {
            let before = self.values.get(&assign.name);
            let was_told = !self.untold.contains(&assign.name);
            let value = (assign.value.as_ref())
                .filter(|value| value.is_ascii() && (was_told || !value.eq_ignore_ascii_case(b"NULL")))
                .map(|value| Literal::written(value, state, before))
                .filter(|value| value.under.is_none() || self.under().is_none_or(|under| under == state));
            match value {
                Some(value) => {
                    self.untold.remove(&assign.name);
                    self.values.insert(assign.name.clone(), value);
                }
                None => self.is_untold(&assign.name),
            }
        }
        self.check_size();
        true
    }

    /// What a write reads, for the log's sake the server makes if it is not there (seen on 9.7): a NULL of some type.
    fn handle_reads(&mut self, plan: &Plan) -> bool {
        const LOGGED: Effects = Effects::READS_USER_VARIABLE.union(Effects::WRITES);
        if !plan.effects.contains(LOGGED) {
            return false;
        }
        let is_new = |name: &str| !self.values.contains_key(name) && !self.untold.contains(name);
        let made: Vec<Box<str>> = plan.user_variables.iter().filter(|name| is_new(name)).cloned().collect();
        self.version = self.version.wrapping_add(u32::from(!made.is_empty()));
        self.untold.extend(made.iter().cloned());
        !made.is_empty()
    }

    fn is_untold(&mut self, name: &str) {
        self.values.remove(name);
        self.untold.insert(name.into());
    }

    fn check_size(&mut self) {
        let bytes: usize = self.values.iter().map(|(name, value)| name.len() + value.bytes()).sum();
        if bytes > BYTES_MAX || self.values.len() + self.untold.len() > NAMES_MAX {
            self.disown();
        }
    }

    /// Nobody knows which of them are set; their connection still has them.
    fn disown(&mut self) {
        self.values.clear();
        self.untold.clear();
        self.is_unknown = true;
    }

    /// Some were set, and no text says which.
    pub fn handle_unseen(&mut self) {
        self.version = self.version.wrapping_add(1);
        self.disown();
    }

    /// The session has none.
    pub fn forget(&mut self) {
        let version = self.version.wrapping_add(1);
        *self = UserVariables { version, ..UserVariables::default() };
    }

    /// They can be set on any connection.
    pub fn are_known(&self) -> bool {
        !self.is_unknown && self.untold.is_empty()
    }

    /// Their connection can tell what they are.
    pub fn can_be_asked(&self) -> bool {
        !self.is_unknown && !self.untold.is_empty()
    }

    /// What the literals must be understood under, where that matters.
    pub fn under(&self) -> Option<StateId> {
        self.values.values().find_map(|value| value.under)
    }

    /// The statement that makes a connection's variables these.
    fn statement(&self, there: &OnLink) -> Vec<u8> {
        let mut text = b"SET ".to_vec();
        let mut put = |name: &str, value: &Literal| {
            if text.len() > 4 {
                text.push(b',');
            }
            value.put(&written(name), &mut text);
        };
        self.values.iter().for_each(|(name, value)| put(name, value));
        let null = Literal::null();
        (there.names.iter()).filter(|name| !self.values.contains_key(*name)).for_each(|name| put(name, &null));
        text
    }

    /// The server's answer to the question about those that are untold.
    fn told(&mut self, captured: &[u8]) {
        let untold = std::mem::take(&mut self.untold);
        match answer(captured).filter(|values| values.len() == untold.len()) {
            Some(values) => {
                let told = untold.into_iter().zip(values);
                self.values.extend(told.filter_map(|(name, value)| Some((name, value?))));
                self.check_size();
            }
            None => self.disown(),
        }
    }
}

/// A statement that the server says has changed the session, though its text does not: a trigger or a function has set a
/// user variable. (A session variable is named by its tracker; what `SELECT … INTO` sets in there is not told at all.)
pub(crate) fn is_by_trigger(plan: &Plan) -> bool {
    let touches_rows = matches!(
        plan.kind,
        Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Load | Kind::Select | Kind::Do
    );
    // And one that is vouched for, against what the operator says.
    (touches_rows || plan.calls_vouched()) && plan.statements == 1 && !plan.effects.contains(Effects::SET_USER_VARIABLE)
}

/// As it stands in a statement.
fn written(name: &str) -> Vec<u8> {
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$.".contains(&byte)) && !name.is_empty() {
        true => format!("@{name}").into_bytes(),
        false => format!("@`{}`", name.replace('`', "``")).into_bytes(),
    }
}

impl OnLink {
    /// A statement of the session has set these, or all of the session's were set again.
    fn note<'a>(&mut self, session: Key<Session>, version: u32, names: impl Iterator<Item = &'a Box<str>>) {
        for name in names {
            if let Err(at) = self.names.binary_search(name) {
                self.names.insert(at, name.clone());
            }
        }
        self.of = Some((session, version));
    }

    /// So many that a reset is due: the server keeps one that is set to NULL.
    pub fn are_many(&self) -> bool {
        self.names.len() > NAMES_MAX
    }
}

impl Session {
    /// What is lost with its connection and cannot be made again on another.
    pub(crate) fn pins_for_good(&self) -> Reasons {
        self.pins.reasons().without(Reasons::SOFT)
    }

    /// The connection's user variables are not the session's.
    pub(crate) fn lacks_user_variables(&self, key: Key<Session>, link: &Link) -> bool {
        let (own, there) = (&self.user_variables, &link.user_variables);
        !(own.values.is_empty() && there.names.is_empty()) && there.of != Some((key, own.version))
    }

    /// A variable that the statement names exists on the connection, without a value, and the session never had it: it keeps
    /// the type that another session gave it. Who computes one will stay, as will who is pinned, and may read another later: none
    /// may be left. False where nothing can be done about it: in a transaction, or pinned.
    pub(crate) fn could_tell_leftovers(&self, link: &Link, plan: &Plan) -> bool {
        self.pins.reasons().without(Reasons::SOFT).is_empty() && self.meets_leftovers(link, Some(plan))
    }

    /// The same of one that may be pinned.
    pub(crate) fn meets_leftovers(&self, link: &Link, plan: Option<&Plan>) -> bool {
        let Some(plan) = plan.filter(|_| !link.user_variables.names.is_empty()) else { return false };
        if link.status.contains(Status::IN_TRANS) {
            return false;
        }
        let (read, own) = (&plan.user_variables, &self.user_variables);
        let is_own = |name: &str| own.values.contains_key(name) || own.untold.contains(name);
        let is_literal = |assign: &weir_planner::Assign| assign.scope != Scope::User || assign.value.is_some();
        let travels = plan.kind == Kind::Set && plan.assigns.iter().all(is_literal);
        let computes = plan.effects.contains(Effects::SET_USER_VARIABLE) && !travels;
        let pins = of_plan(plan).without(Reasons::SOFT).without(Reasons::USER_VARIABLE);
        // What is prepared keeps the type that a variable has then.
        let source = plan.named.as_ref().map(|named| &named.source);
        let keeps = matches!(source, Some(NamedSource::Literal(text)) if text.contains(&b'@'));
        let stays = computes || keeps || !pins.is_empty();
        let reads = plan.effects.contains(Effects::READS_USER_VARIABLE);
        let is_named = |name: &str| read.binary_search_by(|read| (**read).cmp(name)).is_ok();
        let may_be_read = |name: &str| stays || (reads && read.is_empty()) || is_named(name);
        link.user_variables.names.iter().any(|name| !is_own(name) && may_be_read(name))
    }

    /// Its connection is gone: what cannot be set again is lost.
    pub(crate) fn user_variables_lost(&mut self) {
        if !self.user_variables.are_known() {
            self.user_variables.forget();
        }
    }

    /// True when nothing but user variables that it can be asked for keep its connection.
    pub(crate) fn is_held_by_untold(&self) -> bool {
        self.user_variables.can_be_asked()
            && self.pins.reasons().without(Reasons::SOFT) == Reasons::USER_VARIABLE
            && !self.status.contains(Status::IN_TRANS)
    }
}

impl crate::engine::Engine {
    /// A statement has set some on the connection.
    pub(crate) fn note_user_variables(&mut self, session: Key<Session>, link: Key<Link>, plan: &Plan) {
        let version = self.sessions[session].user_variables.version;
        self.links[link].user_variables.note(session, version, plan.user_variables.iter());
    }

    /// What makes the user variables of the connection those of the session that has got it.
    pub(crate) fn give_user_variables(&mut self, session: Key<Session>, link: Key<Link>) -> Vec<u8> {
        debug_assert!(matches!(self.sessions[session].phase, Phase::Aligning(_)), "it is about to send");
        let own = &self.sessions[session].user_variables;
        let there = &mut self.links[link].user_variables;
        let text = own.statement(there);
        there.note(session, own.version, own.values.keys());
        text
    }

    /// Asks the session's connection for the values that only it knows. The session is in `Asking`, or has a command in hand
    /// that runs elsewhere.
    pub(crate) fn ask_user_variables(&mut self, session: Key<Session>, link: Key<Link>) {
        let names: Vec<Vec<u8>> =
            self.sessions[session].user_variables.untold.iter().map(|name| written(name)).collect();
        let text = question(names.iter().map(|name| &name[..]));
        self.unpin(session, Reasons::SOFT);
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, Purpose::UserVariables(session), Command::Query, &text);
    }

    pub(crate) fn user_variables_told(&mut self, session: Key<Session>, link: Key<Link>) {
        let captured = std::mem::take(&mut self.links[link].captured);
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.user_variables.told(&captured);
        if s.user_variables.are_known() {
            self.unpin(session, Reasons::USER_VARIABLE);
        }
        let s = &mut self.sessions[session];
        match std::mem::replace(&mut s.phase, Phase::Asking) {
            Phase::Aligning(request) => {
                if s.pins.is_empty() {
                    self.give_back(session);
                }
                self.sessions[session].phase = Phase::Ready;
                self.decide(session, request);
            }
            other => {
                s.phase = other;
                self.conclude(link);
            }
        }
    }
}

/// Values of a session that are kept beside those on its connection.
const BYTES_MAX: usize = 16 << 10;

/// Variables of a session that travel, and that may exist on a connection before it is reset.
const NAMES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use weir_planner::Facts;

    fn after(statements: &[&str]) -> UserVariables {
        let mut variables = UserVariables::default();
        for statement in statements {
            variables.handle(&weir_planner::plan(statement.as_bytes(), &Facts::default()), StateId(3), false);
        }
        variables
    }

    fn statement(own: &UserVariables, there: &OnLink) -> String {
        String::from_utf8(own.statement(there)).unwrap()
    }

    fn plan(sql: &str) -> Plan {
        weir_planner::plan(sql.as_bytes(), &Facts::default())
    }

    #[test]
    fn a_statement_that_failed_may_have_set_some() {
        let mut variables = after(&["SET @a=5"]);
        assert!(!variables.handle(&plan("SELECT 1 FROM nowhere"), StateId(3), true));
        assert!(variables.are_known());
        assert!(variables.handle(&plan("SET @a=6, @b=(SELECT 1 UNION SELECT 2)"), StateId(3), true));
        assert!(variables.can_be_asked() && variables.values.is_empty() && variables.untold.len() == 2);
    }

    #[test]
    fn literals_are_known_and_what_is_computed_is_asked_for() {
        let known = after(&["SET @a=5, @`b c`='x\'\'y'", "SET @A := -7", "SELECT 1"]);
        assert!(known.are_known() && known.under() == Some(StateId(3)));
        assert_eq!(statement(&known, &OnLink::default()), "SET @a=-7,@`b c`='x\'\'y'");
        assert_eq!(after(&["SET @a=5"]).under(), None, "a number is a number");
        for asked in
            ["SET @a=@b", "SET @a=NOW()", "SELECT 1 INTO @a", "SELECT @a:=1", "SET @a=1; SET @b=2", "SET @a='ä'"]
        {
            let variables = after(&["SET @x=1", asked]);
            assert!(variables.can_be_asked() && variables.values.contains_key("x"), "{asked}");
        }
        assert!(after(&["SET @a=@b", "SET @a=1, @b=2"]).are_known());
        assert!(!after(&["SET @a=@b", "SET @a=NULL, @b=2"]).are_known(), "NULL of a type that is not known");
        for unknown in ["CALL p(@a)", "SET @a=f()", "SET @ä=1"] {
            let variables = after(&["SET @x=1", unknown]);
            assert!(!variables.are_known() && !variables.can_be_asked(), "{unknown}");
        }
    }

    #[test]
    fn a_write_makes_what_it_reads() {
        let mut variables = after(&["SET @a=1", "SELECT @a, @b", "INSERT INTO t VALUES (@a)"]);
        assert!(variables.are_known());
        assert!(variables.handle(&plan("INSERT INTO t VALUES (@a, @b)"), StateId(3), false));
        assert!(variables.can_be_asked() && variables.untold.contains("b") && variables.values.contains_key("a"));
    }

    #[test]
    fn what_the_server_tells_is_known() {
        let mut variables = after(&["SET @a=@b"]);
        variables.told(b"nonsense");
        assert!(variables.is_unknown);
    }

    #[test]
    fn a_value_that_changes_often_is_counted_once() {
        let mut variables = UserVariables::default();
        for n in 0..10_000 {
            variables.handle(&plan(&format!("SET @counter={n}")), StateId(3), false);
        }
        assert!(variables.are_known());
        for name in 0..NAMES_MAX {
            variables.handle(&plan(&format!("SET @v{name}='{}'", "x".repeat(1000))), StateId(3), false);
        }
        assert!(!variables.are_known() && !variables.can_be_asked());
    }

    #[test]
    fn a_text_under_another_state_is_asked_for() {
        let mut variables = after(&["SET @a='x'"]);
        variables.handle(&plan("SET @b=1"), StateId(4), false);
        assert!(variables.are_known());
        variables.handle(&plan("SET @b='y'"), StateId(4), false);
        assert!(variables.can_be_asked() && variables.under() == Some(StateId(3)));
    }

    #[test]
    fn what_is_left_of_another_goes() {
        let own = after(&["SET @b=2"]);
        let names: [Box<str>; 3] = ["c d".into(), "b".into(), "a".into()];
        let mut there = OnLink::default();
        there.note(Key::new(1, 0), 7, names.iter());
        assert_eq!(statement(&own, &there), "SET @b=2,@a=NULL,@`c d`=NULL");
        there.note(Key::new(2, 0), own.version, own.values.keys());
        assert!(there.names.len() == 3 && !there.are_many());
    }
}
