//! The data: committed rows, row locks, the primary's log, and what an open transaction has on top.
//!
//! Invariant: a transaction's rows are locked by its connection from the first write to the end; nobody else sees them
//! before it commits; a commit is applied whole. A replica's rows are those of a prefix of the primary's log.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub schema: String,
    pub table: String,
    pub key: i64,
}

/// One committed transaction of the primary; its number is its place in the log, from 1.
#[derive(Clone, Debug)]
pub struct Logged {
    pub changes: BTreeMap<RowKey, String>,
    pub at: u64,
    /// The server and the connection that committed it.
    pub by: (usize, u32),
}

#[derive(Debug, Default)]
pub struct Rows {
    committed: BTreeMap<RowKey, String>,
    locks: BTreeMap<RowKey, u32>,
}

/// What a transaction has changed so far.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub changes: BTreeMap<RowKey, String>,
    /// Ids put into the ledger: counted, since a key would hide a second one.
    pub ledger: Vec<i64>,
    pub locked: BTreeSet<RowKey>,
    pub read_only: bool,
}

/// Another connection's transaction has the row.
#[derive(Debug)]
pub struct Locked;

impl Rows {
    /// Accounts with 1000 each, the tables that exist in each schema.
    pub fn new(accounts: i64) -> Rows {
        let mut rows = Rows::default();
        for id in 0..accounts {
            rows.committed.insert(row("db1", "acct", id), "1000".to_string());
        }
        rows.committed.insert(row("db1", "clock", 1), "0".to_string());
        for schema in SCHEMAS {
            rows.committed.insert(row(schema, "kv", 0), format!("home of {schema}"));
        }
        rows
    }

    pub fn read<'a>(&'a self, transaction: Option<&'a Transaction>, key: &RowKey) -> Option<&'a str> {
        let own = transaction.and_then(|transaction| transaction.changes.get(key));
        own.or_else(|| self.committed.get(key)).map(String::as_str)
    }

    /// All rows of a table, with the transaction's own changes.
    pub fn scan(&self, transaction: Option<&Transaction>, schema: &str, table: &str) -> BTreeMap<i64, String> {
        let range = row(schema, table, i64::MIN)..=row(schema, table, i64::MAX);
        let mut all: BTreeMap<i64, String> =
            self.committed.range(range.clone()).map(|(key, value)| (key.key, value.clone())).collect();
        if let Some(transaction) = transaction {
            all.extend(transaction.changes.range(range).map(|(key, value)| (key.key, value.clone())));
        }
        all
    }

    pub fn lock(&mut self, conn: u32, transaction: &mut Transaction, key: &RowKey) -> Result<(), Locked> {
        match self.locks.get(key) {
            Some(holder) if *holder != conn => Err(Locked),
            _ => {
                self.locks.insert(key.clone(), conn);
                transaction.locked.insert(key.clone());
                Ok(())
            }
        }
    }

    pub fn unlock(&mut self, transaction: &Transaction) {
        for key in &transaction.locked {
            self.locks.remove(key);
        }
    }

    pub fn apply(&mut self, changes: &BTreeMap<RowKey, String>) {
        for (key, value) in changes {
            self.committed.insert(key.clone(), value.clone());
        }
    }
}

pub fn row(schema: &str, table: &str, key: i64) -> RowKey {
    RowKey { schema: schema.to_string(), table: table.to_string(), key }
}

pub const SCHEMAS: &[&str] = &["db1", "db2"];

/// Columns of each table: the key and the value. The one row of `horizon` has the number of transactions that this server
/// shows, as if every transaction had counted it up.
pub const TABLES: &[(&str, [&str; 2])] = &[
    ("kv", ["k", "v"]),
    ("ledger", ["id", "who"]),
    ("acct", ["id", "n"]),
    ("clock", ["id", "n"]),
    ("auto", ["id", "who"]),
    ("big", ["id", "pad"]),
    ("horizon", ["id", "n"]),
];

/// Tables of whole numbers.
pub fn is_numeric(table: &str) -> bool {
    matches!(table, "acct" | "clock")
}

/// The uuid of the primary in GTIDs, as bytes and as MySQL writes it.
pub const UUID: [u8; 16] = [0x11; 16];
pub const UUID_TEXT: &str = "11111111-1111-1111-1111-111111111111";
