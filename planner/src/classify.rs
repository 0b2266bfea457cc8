//! The classifier: tokens to a plan, in one pass over the whole text.
//!
//! ```text
//!   first word ─► its family (read, write, set, transaction, schema, …), which reads the head of the statement
//!             ─► Cursor::scan over the rest, to its end: locks, INTO, calls, variables, wherever they stand
//! ```
//! Invariant: every token of the text is looked at, except the body of a routine; the first word alone decides nothing
//! but the family (S02). Parts of a packet with several statements are planned one by one and joined (S07).
//! Nothing here recurses on the input's depth.

use crate::effects::{Asks, Effects, STORED_FUNCTION};
use crate::facts::Facts;
use crate::filter::explained;
use crate::lexer::TokenKind;
use crate::named::Named;
use crate::plan::{Assign, FoundRows, Kind, Local, Plan, Route, SessionValue, ValueSpan};
use crate::reason::Reason;
use crate::routines::Routines;
use crate::tables::Memo;
use crate::user_variables::mentioned;
use crate::word::kw;

mod account;
mod admin;
mod cursor;
mod gate;
mod read;
mod scan;
mod schema;
mod set;
mod set_value;
mod show;
mod transaction;
mod write;

use cursor::Cursor;

/// The names of the gate's own variables, sorted.
pub fn gate_variables() -> impl Iterator<Item = &'static str> {
    gate::GATE_VARIABLES.iter().copied()
}

/// Plans one command text. Never fails: what is not understood goes to the primary, with `Effects::UNKNOWN`.
pub fn plan(sql: &[u8], facts: &Facts) -> Plan {
    plan_with(sql, facts, &Routines::default())
}

/// The same where some stored routines are known.
pub fn plan_with(sql: &[u8], facts: &Facts, routines: &Routines) -> Plan {
    if let Some(inner) = explained(sql) {
        let local = Some(Local::ExplainFilter(inner.into()));
        return Draft { kind: Some(Kind::Explain), local, ..Draft::default() }.into_plan(None, 1);
    }
    let mut cursor = Cursor::new(sql, facts, routines);
    let mut joined: Option<Draft> = None;
    let (mut statements, mut calls): (u16, u64) = (0, 0);
    loop {
        let mut draft = cursor.statement();
        if draft.kind == Some(Kind::Call) {
            calls |= 1u64.checked_shl(statements.into()).unwrap_or_default();
        }
        statements = statements.saturating_add(1);
        let end = cursor.peek().end;
        if draft.recuts() && may_be_recut(sql.get(end..).unwrap_or_default()) {
            draft.give_up();
        }
        joined = Some(match joined {
            None => draft,
            Some(before) => before.join(draft),
        });
        let ended = cursor.next();
        let rest = sql.get(ended.end..).unwrap_or_default();
        if ended.kind != TokenKind::Semicolon || cursor.at_end() || rest.iter().all(is_cut_off) {
            break;
        }
    }
    let mut draft = joined.unwrap_or_default();
    if statements > 1 {
        draft.settle_several(facts);
    }
    let mut plan = Plan { calls, ..cursor.finish(draft, statements) };
    if plan.effects.intersects(Effects::SET_USER_VARIABLE | Effects::READS_USER_VARIABLE) {
        plan.user_variables = mentioned(sql, facts);
    }
    plan
}

/// What the server takes off a packet's end before it reads it.
fn is_cut_off(byte: &u8) -> bool {
    matches!(byte, b';' | b' ' | b'\t'..=b'\r')
}

/// True for bytes that `sql_mode` or the character set can make into something else.
fn may_be_recut(rest: &[u8]) -> bool {
    rest.iter().any(|b| matches!(b, b'"' | b'\\' | 0x80..))
}

/// What is known of the statement so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    kind: Option<Kind>,
    class: Class,
    /// The first thing that insists on the primary.
    reason: Option<Reason>,
    effects: Effects,
    asks: Asks,
    assigns: Vec<Assign>,
    local: Option<Local>,
    values: Vec<ValueSpan>,
    /// `ROW_COUNT()` is asked for where no number can take its place.
    needs_row_count: bool,
    listing: Option<Box<[u8]>>,
    dropped: u16,
    /// Its rows are not counted, though its kind's usually are.
    uncounted: bool,
    /// There is a `SELECT` in it.
    selects: bool,
    locks: Vec<Box<[u8]>>,
    /// A `GET_LOCK` whose name is no literal.
    nameless_lock: bool,
    named: Option<Box<Named>>,
    called: Option<Box<[u8]>>,
    /// Names the server's own lists or locks, where connections have the server's ids.
    about_server: bool,
}

/// What a statement is when nothing insists on the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Class {
    #[default]
    Primary,
    Read,
    SessionState,
    Nothing,
}

impl Draft {
    /// The primary is needed, for this reason unless an earlier one stands.
    fn insist(&mut self, reason: Reason) {
        self.reason = self.reason.or(Some(reason));
    }

    /// Not understood.
    fn give_up(&mut self) {
        self.effects |= Effects::UNKNOWN;
        if self.reason != Some(Reason::Malformed) {
            self.reason = Some(Reason::Unknown);
        }
        self.local = None;
    }

    /// The lexer found no token.
    fn malformed(&mut self) {
        self.reason = Some(Reason::Malformed);
        self.give_up();
    }

    /// True when it sets what decides how the server cuts the statements behind it into tokens.
    fn recuts(&self) -> bool {
        self.assigns.iter().any(|a| matches!(&*a.name, "sql_mode" | "character_set_client"))
    }

    fn join(mut self, after: Draft) -> Draft {
        self.class = match (self.class, after.class) {
            (class, Class::Nothing) | (Class::Nothing, class) => class,
            (Class::Read, Class::Read) => Class::Read,
            _ => Class::Primary,
        };
        self.kind = Some(Kind::Multi);
        self.reason = match (self.reason, after.reason) {
            (Some(Reason::Empty), other) | (other, Some(Reason::Empty)) => other,
            (one, other) => one.or(other),
        };
        let is_vouched = |effects: Effects| !effects.contains(Effects::CALL) || effects.contains(Effects::VOUCHED_CALL);
        let both = is_vouched(self.effects) && is_vouched(after.effects);
        self.effects |= after.effects;
        self.effects = if both { self.effects } else { self.effects.without(Effects::VOUCHED_CALL) };
        // Behind another statement these are about that one.
        self.asks |= after.asks.without(Asks::ROW_COUNT | Asks::DIAGNOSTICS);
        if after.asks.contains(Asks::DIAGNOSTICS) {
            self.asks |= Asks::CONDITIONS_WITHIN;
        }
        self.assigns.extend(after.assigns);
        self.values.extend(after.values.into_iter().filter(|span| span.value == SessionValue::ConnectionId));
        // Of several statements some may fail: none is counted.
        self.nameless_lock = true;
        self.about_server |= after.about_server;
        self
    }

    fn settle_several(&mut self, facts: &Facts) {
        self.local = None;
        if self.effects.contains(Effects::UNKNOWN) {
            return;
        }
        let reads = self.class == Class::Read && self.reason.is_none();
        self.reason = if reads && facts.multi_statements { None } else { Some(Reason::Several) };
    }
}

impl Cursor<'_> {
    /// Plans one statement, up to its end, which stays the next token.
    fn statement(&mut self) -> Draft {
        self.draft = Draft::default();
        self.open();
        if !self.peek().ends_statement() {
            // A family that has left something over has not understood the statement.
            self.draft.give_up();
            self.scan_rest();
        }
        std::mem::take(&mut self.draft)
    }

    /// Reads the first word and hands over to its family.
    fn open(&mut self) {
        let start = self.peek();
        if start.is_punct(b'(') {
            return self.parenthesised();
        }
        if start.ends_statement() {
            self.draft.kind = Some(Kind::Empty);
            self.draft.class = Class::Nothing;
            return self.draft.insist(Reason::Empty);
        }
        if start.kind != TokenKind::Word {
            return self.draft.give_up();
        }
        self.next();
        match start.word {
            kw::CREATE | kw::ALTER | kw::DROP | kw::SHOW if self.is_about_filters() => self.filter(start.start),
            kw::SELECT => self.select(),
            kw::TABLE | kw::VALUES => self.read_rest(),
            kw::WITH => self.with(),
            kw::INSERT => self.insert(Kind::Insert),
            kw::REPLACE => self.insert(Kind::Replace),
            kw::UPDATE => self.write_rest(Kind::Update),
            kw::DELETE => self.write_rest(Kind::Delete),
            kw::SET => self.set(),
            kw::USE => self.use_schema(),
            kw::BEGIN => self.begin(),
            kw::START => self.start(),
            kw::COMMIT => self.end_transaction(Kind::Commit),
            kw::ROLLBACK => self.end_transaction(Kind::Rollback),
            kw::SAVEPOINT => self.savepoint(),
            kw::RELEASE => self.release(),
            kw::XA => self.xa(),
            kw::LOCK => self.lock(),
            kw::UNLOCK => self.unlock(),
            kw::HANDLER => self.handler(),
            kw::CALL => self.call(),
            kw::DO => self.evaluate(),
            kw::LOAD => self.load(),
            kw::PREPARE | kw::EXECUTE | kw::DEALLOCATE => self.text_prepare(start.word),
            kw::SHOW => self.show(),
            kw::EXPLAIN | kw::DESCRIBE | kw::DESC => self.explain(start.word),
            kw::HELP => self.help(),
            kw::GET | kw::SIGNAL | kw::RESIGNAL => self.diagnostics(start.word),
            kw::KILL => self.kill(),
            kw::CREATE => self.create(),
            kw::ALTER => self.alter(),
            kw::DROP => self.drop_object(),
            kw::RENAME => self.rename(),
            kw::TRUNCATE => self.schema_change(Effects::IMPLICIT_COMMIT),
            kw::GRANT | kw::REVOKE => self.account_rest(),
            _ => self.administrative(start.word),
        }
    }
}

impl Draft {
    fn route(&self) -> (Route, Reason) {
        match (&self.local, self.reason, self.class) {
            (Some(_), _, _) => (Route::Local, Reason::Gate),
            (None, Some(reason), _) => (Route::Primary, reason),
            (None, None, Class::Read) if self.kind == Some(Kind::Multi) => (Route::Read, Reason::SeveralReads),
            (None, None, Class::Read) => (Route::Read, Reason::PlainRead),
            (None, None, Class::SessionState) => (Route::Any, Reason::SessionState),
            (None, None, Class::Primary | Class::Nothing) => (Route::Primary, Reason::Unknown),
        }
    }

    fn found_rows(&self) -> FoundRows {
        match self.kind.unwrap_or(Kind::Other) {
            Kind::Select | Kind::Do => FoundRows::Shown,
            Kind::Show | Kind::Explain if !self.uncounted => FoundRows::Shown,
            Kind::Insert | Kind::Replace if !self.selects => FoundRows::Kept,
            // What its subquery counted shows behind a later statement (seen on 9.7).
            Kind::Set if self.selects => FoundRows::Unsure,
            Kind::Insert
            | Kind::Replace
            | Kind::Update
            | Kind::Delete
            | Kind::Load
            | Kind::Call
            | Kind::Prepare
            | Kind::Multi
            | Kind::Other => FoundRows::Unsure,
            _ => FoundRows::Kept,
        }
    }

    fn into_plan(self, hint: Option<crate::hint::Hint>, statements: u16) -> Plan {
        let (route, reason) = self.route();
        let found_rows = self.found_rows();
        // A definition is evaluated by whoever uses it later.
        let keeps_calls = self.about_server || matches!(self.kind, Some(Kind::Ddl | Kind::Account | Kind::Prepare));
        let mut values = if keeps_calls { Vec::new() } else { self.values };
        // What a stored function runs changes `ROW_COUNT()` behind it in the same statement (seen on 9.7).
        let needs_row_count = self.needs_row_count || self.effects.intersects(STORED_FUNCTION);
        values.retain(|span| span.value == SessionValue::ConnectionId || !needs_row_count);
        Plan {
            route,
            effects: self.effects,
            asks: self.asks,
            kind: self.kind.unwrap_or(Kind::Other),
            reason,
            hint,
            statements,
            calls: 0,
            assigns: self.assigns.into(),
            local: self.local,
            values: values.into(),
            found_rows,
            listing: self.listing.filter(|_| statements == 1),
            dropped: if statements == 1 { self.dropped } else { 0 },
            locks: if self.nameless_lock { Box::default() } else { self.locks.into() },
            user_variables: Box::default(),
            named: self.named.filter(|_| statements == 1),
            called: self.called.filter(|_| statements == 1),
            memo: Memo::default(),
        }
    }
}
