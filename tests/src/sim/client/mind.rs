//! What a client knows about its session: the model that every answer is held against.
//!
//! Invariant: it changes only by answers; what an answer leaves open, the client gives up (it starts a new session).

use std::collections::{BTreeMap, BTreeSet};

use weir_core::snapshot::Consistency;

use crate::sim::oracle::horizon::Promise;
use crate::sim::oracle::{Expected, Fate, Oracle, with_values};
use crate::sim::server::variables::{Given, Variables};

#[derive(Debug, Default)]
pub struct Mind {
    pub user: String,
    pub schema: Option<String>,
    pub variables: Variables,
    pub user_variables: BTreeMap<String, Option<String>>,
    pub temporary: BTreeMap<String, Vec<i64>>,
    pub locks: BTreeSet<String>,
    pub insert_id: u64,
    pub connection_id: u32,
    pub transaction: Option<Open>,
    /// An error has left open whether the transaction still is.
    pub transaction_unsure: bool,
    /// The values that this session gave its keys, oldest first, by schema and key.
    pub values: BTreeMap<(String, i64), Vec<String>>,
    pub statements: Vec<Slot>,
    /// The highest count that this session has seen on the clock.
    pub clock: i64,
    /// How much of the log this session has written or seen, above EVENTUAL.
    pub horizon: usize,
    /// The level that it has set; None: the gate's.
    pub level: Option<Consistency>,
    pub multi_statements: bool,
    /// A number read under a lock in the open transaction.
    pub remembered: i64,
    /// Something a lost connection takes along without a trace in this model (an open cursor, long data).
    pub fragile: bool,
}

/// The transaction under way.
#[derive(Debug)]
pub struct Open {
    pub number: u64,
    pub read_only: bool,
    /// Rows put into the ledger: their fate is the transaction's.
    pub ledger: Vec<i64>,
    /// `values` as they were before it.
    pub values_before: BTreeMap<(String, i64), Vec<String>>,
    /// Of its first statement: it holds for all of them.
    pub promise: Promise,
}

/// A statement that this client has prepared.
#[derive(Clone, Debug)]
pub struct Slot {
    pub id: u32,
    pub kind: Prepared,
    pub schema: Option<String>,
    /// Types were sent with an execute.
    pub bound: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    ReadKv,
    ReplaceKv,
    Ledger,
    Big,
    Home,
}

impl Prepared {
    pub const ALL: &'static [Prepared] =
        &[Prepared::ReadKv, Prepared::ReplaceKv, Prepared::Ledger, Prepared::Big, Prepared::Home];

    /// Text, columns, parameters.
    pub fn text(self) -> (&'static str, u16, u16) {
        match self {
            Prepared::ReadKv => ("SELECT ?, v FROM db1.kv WHERE k=?", 2, 2),
            Prepared::ReplaceKv => ("REPLACE INTO db1.kv VALUES (?,?)", 0, 2),
            Prepared::Ledger => ("INSERT INTO db1.ledger VALUES (?,?)", 0, 2),
            Prepared::Big => ("SELECT ?, pad FROM db1.big LIMIT ?", 2, 2),
            Prepared::Home => ("SELECT ?, v FROM kv WHERE k=0", 2, 1),
        }
    }
}

/// What a successful answer does to the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    Level(Option<Consistency>),
    Set { variables: Vec<(String, Given)>, user: Vec<(String, Option<String>)> },
    Use(String),
    Begin { number: u64, read_only: bool },
    Commit,
    Rollback,
    Write { schema: String, key: i64, value: String },
    Ledger(i64),
    AutoInsert,
    CreateTemporary(String),
    FillTemporary(String, i64),
    DropTemporary(String),
    Lock(String),
    Unlock(String),
    Prepare(Prepared),
    CloseStatement(u32),
    SetOption(bool),
    Reset,
    ChangeUser { user: String, schema: Option<String> },
    CursorOpened,
    CursorClosed,
}

impl Mind {
    pub fn autocommit(&self) -> bool {
        self.variables.is_on("autocommit")
    }

    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// State that lives on one connection only and dies with it.
    pub fn is_pinned(&self) -> bool {
        !self.temporary.is_empty() || !self.locks.is_empty() || self.fragile
    }

    pub fn expected(&self, repeatable: bool, transaction: Option<u64>) -> Expected {
        Expected {
            user: self.user.clone(),
            schema: self.schema.clone(),
            variables: self.variables.comparable(),
            user_variables: with_values(&self.user_variables),
            temporary: self.temporary.keys().cloned().collect(),
            locks: self.locks.clone(),
            in_transaction: if self.transaction_unsure { None } else { Some(self.in_transaction()) },
            repeatable,
            transaction,
        }
    }

    /// A table was touched: without autocommit that begins a transaction.
    pub fn touch(&mut self, number: u64) {
        if !self.autocommit() && self.transaction.is_none() {
            self.begin(number, false);
        }
    }

    fn begin(&mut self, number: u64, read_only: bool) {
        let values_before = self.values.clone();
        self.transaction =
            Some(Open { number, read_only, ledger: Vec::new(), values_before, promise: Promise::default() });
    }

    /// Ends the transaction, as an answer said.
    pub fn commit(&mut self, oracle: &mut Oracle) {
        self.transaction_unsure = false;
        for id in self.transaction.take().map(|open| open.ledger).unwrap_or_default() {
            oracle.fate(id, Fate::Acknowledged);
        }
    }

    /// The transaction was undone, or its connection died before a commit was sent.
    pub fn rollback(&mut self, oracle: &mut Oracle) {
        self.transaction_unsure = false;
        if let Some(open) = self.transaction.take() {
            self.values = open.values_before;
            for id in open.ledger {
                oracle.fate(id, Fate::Refused);
            }
        }
    }

    /// The connection was lost, and with it what lived there; the session goes on, with what was set to literals.
    pub fn lose_connection(&mut self, oracle: &mut Oracle) {
        self.rollback(oracle);
        self.temporary.clear();
        self.locks.clear();
    }

    /// Applies what a successful answer means.
    pub fn apply(&mut self, oracle: &mut Oracle, effect: &Effect) {
        match effect {
            Effect::None => {}
            Effect::Level(level) => self.level = *level,
            Effect::Set { variables, user } => self.set(oracle, variables, user),
            Effect::Use(schema) => self.schema = Some(schema.clone()),
            Effect::Begin { number, read_only } => {
                self.commit(oracle);
                self.begin(*number, *read_only);
            }
            Effect::Commit => self.commit(oracle),
            Effect::Rollback => self.rollback(oracle),
            Effect::Write { schema, key, value } => {
                self.values.entry((schema.clone(), *key)).or_default().push(value.clone());
            }
            Effect::Ledger(id) => match &mut self.transaction {
                Some(open) => open.ledger.push(*id),
                None => oracle.fate(*id, Fate::Acknowledged),
            },
            Effect::AutoInsert => {}
            Effect::CreateTemporary(name) => {
                self.temporary.insert(name.clone(), Vec::new());
            }
            Effect::FillTemporary(name, value) => self.temporary.entry(name.clone()).or_default().push(*value),
            Effect::DropTemporary(name) => {
                self.temporary.remove(name);
            }
            Effect::Lock(name) => {
                self.locks.insert(name.clone());
            }
            Effect::Unlock(name) => {
                self.locks.remove(name);
            }
            // The id comes with the answer: see `prepared`.
            Effect::Prepare(_) => {}
            Effect::CloseStatement(id) => self.statements.retain(|slot| slot.id != *id),
            Effect::SetOption(on) => self.multi_statements = *on,
            Effect::Reset => {
                let (user, schema) = (std::mem::take(&mut self.user), self.schema.take());
                self.start_over(oracle, user, schema);
            }
            Effect::ChangeUser { user, schema } => self.start_over(oracle, user.clone(), schema.clone()),
            Effect::CursorOpened => self.fragile = true,
            Effect::CursorClosed => self.fragile = false,
        }
    }

    fn set(&mut self, oracle: &mut Oracle, variables: &[(String, Given)], user: &[(String, Option<String>)]) {
        let autocommit_before = self.autocommit();
        self.variables.set(variables).expect("a client sets what can be set");
        if !autocommit_before && self.autocommit() {
            self.commit(oracle);
        }
        self.user_variables.extend(user.iter().cloned());
    }

    pub fn prepared(&mut self, id: u32, kind: Prepared) {
        self.statements.push(Slot { id, kind, schema: self.schema.clone(), bound: false });
    }

    fn start_over(&mut self, oracle: &mut Oracle, user: String, schema: Option<String>) {
        self.rollback(oracle);
        *self = Mind {
            user,
            schema,
            connection_id: self.connection_id,
            values: std::mem::take(&mut self.values),
            clock: self.clock,
            horizon: self.horizon,
            multi_statements: self.multi_statements,
            ..Mind::default()
        };
    }
}
