//! Running one statement under a session.
//!
//! Invariant: a statement that fails or waits for a lock has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::sim::mutation::Mutation;
use crate::sim::oracle::Tag;
use crate::sim::scene::Scene;
use crate::sim::server::data::{
    Locked, Logged, RowKey, Rows, SCHEMAS, TABLES, Transaction, UUID_TEXT, is_numeric, row,
};
use crate::sim::server::reply::Cell;
use crate::sim::server::session::Session;
use crate::sim::server::sql::{Expr, SetScope, Statement, TableName};
use crate::sim::server::values;
use crate::sim::server::variables::{Fault, Given};

/// What a server holds besides connections.
#[derive(Debug)]
pub struct Store {
    pub server: usize,
    pub replica: bool,
    /// It was primary once: writes may still reach it, and are refused.
    pub deposed: bool,
    /// Of a replica: transactions of the log that are visible here.
    pub applied: usize,
    pub rows: Rows,
    /// Names of `GET_LOCK` and their holders.
    pub user_locks: BTreeMap<String, u32>,
    pub auto_last: u64,
    /// A transaction has ended: whoever waits for a row may look again.
    pub unlocked: bool,
    /// Connections to be ended, or to have their statement ended (true), by `KILL`.
    pub kills: Vec<(u32, bool)>,
    /// The connections that exist.
    pub threads: BTreeSet<u32>,
}

impl Store {
    /// Transactions of the log that are visible here.
    pub fn executed(&self, scene: &Scene) -> usize {
        if self.replica { self.applied } else { scene.log.len() }
    }

    /// Commits a transaction of nobody's who is known here.
    pub fn write_outside(&mut self, scene: &mut Scene) {
        let text = format!("{} from outside", scene.log.len());
        let changes = BTreeMap::from([(row("db1", "kv", OUTSIDE), text)]);
        self.rows.apply(&changes);
        scene.log.push(Logged { changes, at: scene.now, by: (self.server, 0) });
    }
}

pub enum Answer {
    Ok {
        affected: u64,
        insert_id: u64,
        info: &'static str,
    },
    Rows {
        names: Vec<String>,
        rows: Vec<Vec<Cell>>,
    },
    /// A procedure's results, and the OK of the call itself.
    Many(Vec<Answer>),
}

pub enum Stop {
    Fault(Fault),
    /// Try again when a transaction has ended.
    Wait,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl From<Locked> for Stop {
    fn from(_: Locked) -> Stop {
        Stop::Wait
    }
}

/// One statement at work.
pub struct Work<'a> {
    pub scene: &'a mut Scene,
    pub store: &'a mut Store,
    pub session: &'a mut Session,
    pub conn: u32,
    pub params: &'a [Cell],
    pub tag: Option<Tag>,
}

/// The key that is written outside: no client's.
const OUTSIDE: i64 = -1;

const DONE: Answer = Answer::Ok { affected: 0, insert_id: 0, info: "" };

/// True when only the primary may run it.
pub fn needs_primary(statement: &Statement) -> bool {
    match statement {
        Statement::Insert { .. } | Statement::Update { .. } => true,
        Statement::Select { items, locking, .. } => {
            let takes_lock = |item: &Expr| matches!(item, Expr::Call(name, _) if name.ends_with("_LOCK"));
            *locking || items.iter().any(takes_lock)
        }
        _ => false,
    }
}

impl Work<'_> {
    pub fn run(&mut self, statement: &Statement) -> Result<Answer, Stop> {
        if !matches!(statement, Statement::ShowWarnings) {
            self.session.warnings.clear();
        }
        let answer = self.statement(statement)?;
        match &answer {
            Answer::Ok { affected, .. } => self.session.row_count = *affected as i64,
            Answer::Rows { rows, .. } => {
                self.session.row_count = -1;
                self.session.found_rows = rows.len() as u64;
            }
            Answer::Many(_) => {}
        }
        Ok(answer)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Answer, Stop> {
        match statement {
            Statement::Select { items, from, key, limit, locking } => {
                self.select(items, from.as_ref(), key.as_ref(), limit.as_ref(), *locking)
            }
            Statement::Insert { into, values, replace } => self.insert(into, values, *replace),
            Statement::Update { table, value, key } => self.update(table, value, key),
            Statement::Set(list) => self.set(list),
            Statement::Use(name) => self.use_schema(name),
            Statement::Begin { read_only } => {
                self.commit();
                self.session.transaction = Some(Transaction { read_only: *read_only, ..Transaction::default() });
                Ok(DONE)
            }
            Statement::Commit => {
                self.commit();
                Ok(DONE)
            }
            Statement::Rollback => {
                self.rollback();
                Ok(DONE)
            }
            Statement::CreateTemporary(name) => self.create_temporary(name),
            Statement::DropTemporary(name) => self.drop_temporary(name),
            Statement::Kill { query_only, id } => {
                self.store.kills.push((*id, *query_only));
                Ok(DONE)
            }
            Statement::ShowWarnings => {
                let row = |(code, message): &(u16, String)| {
                    vec![Some("Warning".to_string()), Some(code.to_string()), Some(message.clone())]
                };
                let names = ["Level", "Code", "Message"].map(str::to_string).to_vec();
                Ok(Answer::Rows { names, rows: self.session.warnings.iter().map(row).collect() })
            }
            Statement::Do => Ok(DONE),
            Statement::Signal(code, text) => {
                self.session.row_count = -1;
                Err(fault(*code, "HY000", text.clone()))
            }
            Statement::Call(name) if name == "two" => {
                let one = |text: &str| Answer::Rows {
                    names: vec![text.to_string()],
                    rows: vec![vec![Some(text.to_string())]],
                };
                Ok(Answer::Many(vec![one("first"), one("second"), DONE]))
            }
            Statement::Call(name) => Err(fault(1305, "42000", format!("PROCEDURE {name} does not exist"))),
        }
    }

    pub fn use_schema(&mut self, name: &str) -> Result<Answer, Stop> {
        if !SCHEMAS.contains(&name) {
            return Err(fault(1049, "42000", format!("Unknown database '{name}'")));
        }
        self.session.schema = Some(name.to_string());
        self.session.news.schema = true;
        self.session.news.state = true;
        Ok(DONE)
    }

    fn set(&mut self, list: &[(SetScope, String, Expr)]) -> Result<Answer, Stop> {
        let mut wanted = Vec::new();
        let mut user = Vec::new();
        let mut insert_id = None;
        for (scope, name, expr) in list {
            match scope {
                SetScope::User => user.push((name.clone(), self.value(expr)?)),
                SetScope::Session if name == "last_insert_id" => {
                    insert_id = self.value(expr)?.and_then(|value| value.parse().ok());
                }
                SetScope::Session => wanted.push((name.clone(), self.given(expr)?)),
            }
        }
        let autocommit_before = self.session.variables.is_on("autocommit");
        let told = self.session.variables.set(&wanted)?;
        if told.contains(&"autocommit") && !autocommit_before && self.session.variables.is_on("autocommit") {
            self.commit();
        }
        self.session.news.variables.extend(told);
        self.session.news.state = true;
        self.session.user_variables.extend(user);
        if let Some(id) = insert_id {
            self.session.insert_id = id;
        }
        Ok(DONE)
    }

    fn given(&mut self, expr: &Expr) -> Result<Given, Stop> {
        Ok(match expr {
            Expr::Number(number) => Given::Number(*number),
            Expr::Default | Expr::Global(_) => Given::Default,
            Expr::Word(word) => Given::Text(word.clone()),
            other => match self.value(other)? {
                Some(text) => Given::Text(text),
                None => Given::Null,
            },
        })
    }

    fn create_temporary(&mut self, name: &str) -> Result<Answer, Stop> {
        let name = self.local_name(name)?;
        if self.session.temporary.contains_key(&name) {
            return Err(fault(1050, "42S01", format!("Table '{name}' already exists")));
        }
        self.session.temporary.insert(name, Vec::new());
        self.session.news.state = true;
        Ok(DONE)
    }

    fn drop_temporary(&mut self, name: &str) -> Result<Answer, Stop> {
        let name = self.local_name(name)?;
        if self.session.temporary.remove(&name).is_none() {
            return Err(fault(1051, "42S02", format!("Unknown table '{name}'")));
        }
        self.session.news.state = true;
        Ok(DONE)
    }

    fn local_name(&self, name: &str) -> Result<String, Stop> {
        match &self.session.schema {
            Some(schema) => Ok(format!("{schema}.{name}")),
            None => Err(fault(1046, "3D000", "No database selected".into())),
        }
    }

    fn insert(&mut self, into: &TableName, values: &[Expr], replace: bool) -> Result<Answer, Stop> {
        let mut cells = Vec::new();
        for value in values {
            cells.push(self.value(value)?.unwrap_or_default());
        }
        if into.schema.is_none()
            && let Ok(name) = self.local_name(&into.table)
            && let Some(rows) = self.session.temporary.get_mut(&name)
        {
            rows.extend(cells.iter().filter_map(|cell| cell.parse::<i64>().ok()));
            return Ok(Answer::Ok { affected: 1, insert_id: 0, info: "" });
        }
        let (schema, table) = self.table(into)?;
        let is_auto = table == "auto";
        let key = if is_auto { self.store.auto_last as i64 + 1 } else { cells[0].parse().unwrap_or(0) };
        let key = row(&schema, &table, key);
        let text = cells.last().cloned().unwrap_or_default();
        let old = self.store.rows.read(self.session.transaction.as_ref(), &key).map(str::to_string);
        if old.is_some() && !replace {
            return Err(fault(1062, "23000", format!("Duplicate entry '{}' for key '{table}.PRIMARY'", key.key)));
        }
        self.write(&key, text)?;
        if is_auto {
            self.store.auto_last += 1;
            self.session.insert_id = self.store.auto_last;
        }
        let insert_id = if is_auto { self.session.insert_id } else { 0 };
        Ok(Answer::Ok { affected: 1 + u64::from(old.is_some()), insert_id, info: "" })
    }

    fn update(&mut self, table: &TableName, value: &Expr, key: &Expr) -> Result<Answer, Stop> {
        let (schema, table) = self.table(table)?;
        let key = row(&schema, &table, self.integer(key)?);
        let mut probe = self.session.transaction.clone().unwrap_or_default();
        self.store.rows.lock(self.conn, &mut probe, &key)?;
        if self.session.transaction.is_none() {
            self.store.rows.unlock(&probe);
        }
        let Some(old) = self.store.rows.read(self.session.transaction.as_ref(), &key).map(str::to_string) else {
            return Ok(Answer::Ok { affected: 0, insert_id: 0, info: "Rows matched: 0  Changed: 0  Warnings: 0" });
        };
        let new = match value {
            Expr::Plus(_, n) => (old.parse::<i64>().unwrap_or(0) + n).to_string(),
            other => self.value(other)?.unwrap_or_default(),
        };
        let changed = u64::from(new != old);
        self.write(&key, new)?;
        let info = if changed == 1 {
            "Rows matched: 1  Changed: 1  Warnings: 0"
        } else {
            "Rows matched: 1  Changed: 0  Warnings: 0"
        };
        Ok(Answer::Ok { affected: changed, insert_id: 0, info })
    }

    /// Puts a row into the open transaction, or into one of its own that commits at once.
    fn write(&mut self, key: &RowKey, text: String) -> Result<(), Stop> {
        if self.store.replica {
            let text = "The MySQL server is running with the --read-only option so it cannot execute this statement";
            return Err(fault(1290, "HY000", text.into()));
        }
        let mut transaction = match self.session.transaction.take() {
            Some(transaction) if transaction.read_only => {
                self.session.transaction = Some(transaction);
                return Err(fault(1792, "25006", "Cannot execute statement in a READ ONLY transaction.".into()));
            }
            open => open,
        };
        let autocommit = self.session.variables.is_on("autocommit") && transaction.is_none();
        let mut work = transaction.take().unwrap_or_default();
        let locked = self.store.rows.lock(self.conn, &mut work, key);
        if locked.is_ok() {
            if key.table == "ledger" {
                work.ledger.push(key.key);
            }
            work.changes.insert(key.clone(), text);
        }
        if !autocommit {
            self.session.transaction = Some(work);
            return Ok(locked?);
        }
        locked?;
        self.session.transaction = Some(work);
        self.commit();
        Ok(())
    }

    pub fn commit(&mut self) {
        let Some(mut transaction) = self.session.transaction.take() else { return };
        self.store.rows.unlock(&transaction);
        self.store.unlocked = true;
        if transaction.changes.is_empty() {
            return;
        }
        if self.scene.mistake(Mutation::LostWrite) {
            return;
        }
        if transaction.changes.len() > 1 && self.scene.mistake(Mutation::TornTransaction) {
            transaction.changes.pop_first();
        }
        let twice = !transaction.ledger.is_empty() && self.scene.mistake(Mutation::DoubleWrite);
        for id in &transaction.ledger {
            (0..1 + usize::from(twice)).for_each(|_| self.scene.oracle.commits(*id));
        }
        self.store.rows.apply(&transaction.changes);
        self.scene.log.push(Logged {
            changes: transaction.changes,
            at: self.scene.now,
            by: (self.store.server, self.conn),
        });
        if let Some(tag) = self.tag {
            self.scene.oracle.horizons.committed(tag, self.scene.log.len());
        }
        self.session.news.gtid = Some(format!("{UUID_TEXT}:{}", self.scene.log.len()));
    }

    pub fn rollback(&mut self) {
        if let Some(transaction) = self.session.transaction.take() {
            self.store.rows.unlock(&transaction);
            self.store.unlocked = true;
        }
    }

    fn select(
        &mut self,
        items: &[Expr],
        from: Option<&TableName>,
        key: Option<&Expr>,
        limit: Option<&Expr>,
        locking: bool,
    ) -> Result<Answer, Stop> {
        let names: Vec<String> = items.iter().map(values::column_name).collect();
        let Some(from) = from else {
            let mut cells = Vec::new();
            for item in items {
                cells.push(self.value(item)?);
            }
            let rows = match limit.map(|limit| self.integer(limit)).transpose()? {
                Some(0) => Vec::new(),
                _ => vec![cells],
            };
            return Ok(Answer::Rows { names, rows });
        };
        let found = self.found(from, key, limit, locking)?;
        if items.iter().any(|item| matches!(item, Expr::Call(name, _) if name == "SUM")) {
            let sum: i64 = found.values().filter_map(|value| value.parse::<i64>().ok()).sum();
            let mut cells = Vec::new();
            for item in items {
                let is_sum = matches!(item, Expr::Call(name, _) if name == "SUM");
                cells.push(if is_sum { Some(sum.to_string()) } else { self.value(item)? });
            }
            return Ok(Answer::Rows { names, rows: vec![cells] });
        }
        let mut rows = Vec::new();
        for (key, value) in &found {
            let mut cells = Vec::new();
            for item in items {
                cells.push(match item {
                    Expr::Word(name) if matches!(name.as_str(), "id" | "k") => Some(key.to_string()),
                    Expr::Word(_) => Some(value.clone()),
                    other => self.value(other)?,
                });
            }
            rows.push(cells);
        }
        Ok(Answer::Rows { names, rows })
    }

    /// The rows that a `FROM … WHERE … LIMIT` finds.
    fn found(
        &mut self,
        from: &TableName,
        key: Option<&Expr>,
        limit: Option<&Expr>,
        locking: bool,
    ) -> Result<BTreeMap<i64, String>, Stop> {
        if from.schema.is_none()
            && let Ok(name) = self.local_name(&from.table)
            && let Some(rows) = self.session.temporary.get(&name)
        {
            return Ok(rows.iter().enumerate().map(|(at, value)| (at as i64, value.to_string())).collect());
        }
        let (schema, table) = self.table(from)?;
        if !self.session.variables.is_on("autocommit") && self.session.transaction.is_none() {
            self.session.transaction = Some(Transaction::default());
        }
        if table == "big" {
            let count = match limit {
                Some(limit) => self.integer(limit)?,
                None => 1,
            };
            return Ok((0..count).map(|at| (at, values::pad(at))).collect());
        }
        if table == "horizon" {
            return Ok(BTreeMap::from([(1, self.store.executed(self.scene).to_string())]));
        }
        let Some(key) = key else {
            return Ok(self.store.rows.scan(self.session.transaction.as_ref(), &schema, &table));
        };
        let key = row(&schema, &table, self.integer(key)?);
        if locking && let Some(transaction) = &mut self.session.transaction {
            self.store.rows.lock(self.conn, transaction, &key)?;
        }
        if table == "kv" && key.key > 0 && self.scene.mistake(Mutation::StaleRead) {
            return Ok(BTreeMap::from([(key.key, "stale".to_string())]));
        }
        let value = self.store.rows.read(self.session.transaction.as_ref(), &key);
        let default = if is_numeric(&table) { Some("0") } else { None };
        Ok(value.or(default).map(|value| (key.key, value.to_string())).into_iter().collect())
    }

    fn table(&self, name: &TableName) -> Result<(String, String), Stop> {
        let schema = match (&name.schema, &self.session.schema) {
            (Some(schema), _) | (None, Some(schema)) => schema.clone(),
            (None, None) => return Err(fault(1046, "3D000", "No database selected".into())),
        };
        if !SCHEMAS.contains(&schema.as_str()) {
            return Err(fault(1049, "42000", format!("Unknown database '{schema}'")));
        }
        if TABLES.iter().all(|(known, _)| *known != name.table) {
            return Err(fault(1146, "42S02", format!("Table '{schema}.{}' doesn't exist", name.table)));
        }
        Ok((schema, name.table.clone()))
    }

    fn integer(&mut self, expr: &Expr) -> Result<i64, Stop> {
        Ok(self.value(expr)?.and_then(|value| value.parse().ok()).unwrap_or(0))
    }
}

pub(super) fn fault(code: u16, state: &'static str, message: String) -> Stop {
    Stop::Fault((code, state, message))
}
