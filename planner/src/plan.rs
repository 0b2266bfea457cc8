//! The plan of one command text: where it may run, what it does, what it asks for.

use crate::effects::{Asks, Effects, STORED_FUNCTION};
use crate::facts::Facts;
use crate::filter;
use crate::hint::{Hint, Target};
use crate::named::Named;
use crate::reason::Reason;
use crate::tables::{Memo, Unknown, Uses, tables};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub route: Route,
    pub effects: Effects,
    pub asks: Asks,
    pub kind: Kind,
    pub reason: Reason,
    /// From a comment `/*vt+ … */`. It never turns a write into a read: `route` stands.
    pub hint: Option<Hint>,
    /// Statements in the packet; an empty one counts, since the server answers it.
    pub statements: u16,
    /// Which of the first 64 statements are `CALL`s, whose end is told behind all their results: bit 0 is the first.
    pub calls: u64,
    /// What `SET` statements assign, in their order; at most `limits::ASSIGNS_MAX`, beyond which the plan is UNKNOWN.
    pub assigns: Box<[Assign]>,
    /// The answer that the gate gives, when `route` is `Local`.
    pub local: Option<Local>,
    /// Where the text asks for what the gate knows of the session, in order, at most `limits::VALUES_MAX`. No `ConnectionId` with `Asks::CONNECTION_ID`: the statement is about the server's own lists, where the backend's id is meant.
    pub values: Box<[ValueSpan]>,
    /// `SHOW [SESSION] VARIABLES [LIKE 'pattern']`: the pattern, which the gate's own variables may match.
    pub listing: Option<Box<[u8]>>,
    /// What it makes of `FOUND_ROWS()` when it succeeds.
    pub found_rows: FoundRows,
    /// Tables that a `DROP TEMPORARY TABLE` names.
    pub dropped: u16,
    /// The names of the locks that `GET_LOCK` is called for, as written; empty when one is no literal.
    pub locks: Box<[Box<[u8]>]>,
    /// The user variables that the text names, in lower case, sorted. Empty with an effect on user variables: they are not known.
    pub user_variables: Box<[Box<str>]>,
    /// What a `PREPARE`, `EXECUTE` or `DEALLOCATE PREPARE` names, if it is the only statement and its name is plain.
    pub named: Option<Box<Named>>,
    /// The procedure that `CALL` names, without its schema, if it is the only statement.
    pub called: Option<Box<[u8]>>,
    /// The tables of the text, once somebody has asked for them.
    pub memo: Memo,
}

impl Plan {
    /// Whether the statement with so many in front of it is a `CALL`.
    pub fn is_call(&self, before: u16) -> bool {
        self.calls.checked_shr(before.into()).is_some_and(|calls| calls & 1 == 1)
    }

    /// The tables of the text that this is the plan of, under the same facts. Read at the first call, then remembered.
    pub fn tables(&self, sql: &[u8], facts: &Facts) -> &Result<Uses, Unknown> {
        self.memo.uses(|| self.may_be_known().and_then(|()| tables(sql, facts)))
    }

    /// Its effects on the session, by which what it leaves there is judged: procedures that are vouched for leave nothing.
    pub fn effects_on_session(&self) -> Effects {
        match self.effects.contains(Effects::VOUCHED_CALL) {
            true => self.effects.without(Effects::CALL),
            false => self.effects,
        }
    }

    /// It calls a stored routine that the operator vouches for.
    pub fn calls_vouched(&self) -> bool {
        self.effects.intersects(Effects::VOUCHED_CALL | Effects::VOUCHED_FUNCTION)
    }

    /// Err: it does what no text tells the tables of.
    fn may_be_known(&self) -> Result<(), Unknown> {
        if self.effects.intersects(STORED_FUNCTION) {
            return Err(Unknown("it calls a stored function, which may use any table"));
        }
        if self.effects.contains(Effects::UNKNOWN) {
            return Err(Unknown("the gate does not understand it"));
        }
        Ok(())
    }
}

/// A call in the text for what the gate itself knows of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueSpan {
    pub start: u32,
    pub end: u32,
    /// It is a column of the result by itself, and its text is the column's name.
    pub names_column: bool,
    pub value: SessionValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionValue {
    /// `CONNECTION_ID()`, `@@pseudo_thread_id`.
    ConnectionId,
    /// `ROW_COUNT()`, of the statement before this packet. When there is one, all of the packet's questions about it are among
    /// these.
    RowCount,
}

/// Where a statement may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Primary,
    /// May run on a replica when the session allows it.
    Read,
    /// Touches only session state that can be carried elsewhere: any server.
    Any,
    /// The gate answers.
    Local,
}

/// What family of statement it is: for metrics and for `EXPLAIN ROUTE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Select,
    Insert,
    Replace,
    Update,
    Delete,
    Ddl,
    Show,
    Set,
    Use,
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Call,
    Do,
    /// `EXPLAIN`, `DESCRIBE`, `DESC`, `HELP`.
    Explain,
    /// `PREPARE`, `EXECUTE`, `DEALLOCATE PREPARE`.
    Prepare,
    Load,
    Lock,
    Admin,
    /// Users, roles, grants, passwords.
    Account,
    Xa,
    Handler,
    Kill,
    /// `GET DIAGNOSTICS`, `SIGNAL`, `RESIGNAL`.
    Diagnostics,
    /// More than one statement.
    Multi,
    Empty,
    Other,
}

/// What a statement makes of `FOUND_ROWS()` (seen on 9.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FoundRows {
    /// It stays what it was: also behind rows that come from no table (`SHOW CREATE`, `EXPLAIN`, `CHECK TABLE`).
    #[default]
    Kept,
    /// The number of rows of its result; without a result only the server knows (`SELECT … INTO @v`, `DO`).
    Shown,
    /// Only the server knows, if it is another: some that look for rows count them, others don't (`UPDATE`, `INSERT … SELECT`, `CALL`).
    Unsure,
}

/// One assignment of a `SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    pub scope: Scope,
    /// Lower case: `sql_mode`, or a user variable's name without `@`. `SET NAMES` gives four assignments.
    pub name: Box<str>,
    /// The right side is a single literal, `DEFAULT` or a bare word.
    pub literal: bool,
    /// Its raw text when it is literal, quotes included.
    pub value: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Session,
    Global,
    Persist,
    PersistOnly,
    /// A user variable `@name`.
    User,
    /// `SET ROLE …`; the value is what stands behind it.
    Role,
    /// Holds for the next transaction only: `SET TRANSACTION …`, `SET @@transaction_isolation=…`.
    Once,
}

/// What the gate answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// `EXPLAIN ROUTE <sql>`, with the inner text.
    ExplainRoute(Box<[u8]>),
    /// `SHOW WEIR …`: the words behind it, in upper case, one space between.
    ShowWeir(Box<str>),
    /// `FLUSH WEIR DIGESTS`.
    FlushDigests,
    /// `CREATE|ALTER|DROP|SHOW FILTER …`; Err: what is wrong with it, as a sentence.
    Filter(Box<Result<filter::Statement, String>>),
    /// `/*explain filter*/ <sql>`, with the text behind it.
    ExplainFilter(Box<[u8]>),
    /// `KILL [CONNECTION|QUERY] id`. A `KILL` of an expression is not local and goes nowhere by itself: `Effects::KILL`.
    Kill { id: u64, query_only: bool },
    /// Exactly `SELECT CONNECTION_ID() [[AS] alias]`; `column` as MySQL would name it.
    ConnectionId { column: Box<[u8]> },
    /// Exactly `SELECT ROW_COUNT() [[AS] alias]`.
    RowCount { column: Box<[u8]> },
    /// Exactly `SELECT FOUND_ROWS() [[AS] alias]`.
    FoundRows { column: Box<[u8]> },
    /// Exactly `SHOW WARNINGS` or `SHOW ERRORS`: the gate knows when there are none.
    ShowConditions { errors_only: bool },
    /// `SET` of the gate's own variables only, with literal values (raw text).
    SetGate(Box<[GateSet]>),
    /// `SELECT @@read_after_write_… [[AS] alias], …` of the gate's own variables only.
    ShowGate(Box<[GateShow]>),
    /// `USE db@replica`, `USE db@primary`; an empty schema keeps the current one.
    UseRole { schema: Box<[u8]>, role: Target },
}

impl Local {
    /// A server would not understand it, or another thing: its prepared form is the gate's, too.
    pub fn is_gates_alone(&self) -> bool {
        match self {
            Local::ExplainRoute(_)
            | Local::ShowWeir(_)
            | Local::FlushDigests
            | Local::Filter(_)
            | Local::ExplainFilter(_)
            | Local::Kill { .. }
            | Local::SetGate(_)
            | Local::ShowGate(_) => true,
            // `USE` has no prepared form at a server.
            Local::UseRole { .. }
            | Local::ConnectionId { .. }
            | Local::RowCount { .. }
            | Local::FoundRows { .. }
            | Local::ShowConditions { .. } => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSet {
    pub global: bool,
    pub name: Box<str>,
    /// Raw text: `'SESSION'`, `EVENTUAL`, `1.5`, `DEFAULT`.
    pub value: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateShow {
    pub global: bool,
    pub name: Box<str>,
    pub column: Box<[u8]>,
}
