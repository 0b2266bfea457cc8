//! Values of expressions: what a statement's items, keys and parameters come to under its session.

use crate::sim::agenda::MS;
use crate::sim::mutation::Mutation;
use crate::sim::server::data::UUID_TEXT;
use crate::sim::server::execute::{Stop, Work, fault};
use crate::sim::server::reply::Cell;
use crate::sim::server::sql::Expr;

impl Work<'_> {
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Cell, Stop> {
        Ok(match expr {
            Expr::Text(text) => Some(text.clone()),
            Expr::Number(number) => Some(number.to_string()),
            Expr::Global(name) if name == "gtid_executed" => {
                let last = self.last_executed();
                Some(if last == 0 { String::new() } else { format!("{UUID_TEXT}:1-{last}") })
            }
            Expr::Global(name) if name == "read_only" => {
                let is_on = self.store.replica && !self.scene.errs(Mutation::HiddenFence);
                Some(if is_on { "1" } else { "0" }.to_string())
            }
            Expr::Null | Expr::Default | Expr::Global(_) => None,
            Expr::Param(at) => self.params.get(*at).cloned().flatten(),
            Expr::User(name) => self.session.user_variables.get(name).cloned().flatten(),
            Expr::System(name) if name == "autocommit" || name.ends_with("_checks") => {
                Some(if self.session.variables.is_on(name) { "1" } else { "0" }.to_string())
            }
            Expr::System(name) => match self.session.variables.value(name) {
                Some(value) => Some(value.to_string()),
                None => return Err(fault(1193, "HY000", format!("Unknown system variable '{name}'"))),
            },
            Expr::DivideByZero => {
                let modes = self.session.variables.value("sql_mode").unwrap_or_default();
                if modes.contains("ERROR_FOR_DIVISION_BY_ZERO") {
                    let tag = self.tag.map(|tag| tag.to_string()).unwrap_or_default();
                    self.session.warnings.push((1365, format!("Division by 0 {tag}")));
                }
                None
            }
            Expr::Word(name) => return Err(fault(1054, "42S22", format!("Unknown column '{name}' in 'field list'"))),
            Expr::Plus(name, _) => return Err(fault(1054, "42S22", format!("Unknown column '{name}'"))),
            Expr::Call(name, arguments) => self.call(name, arguments)?,
        })
    }

    /// What `@@GLOBAL.gtid_executed` ends with.
    fn last_executed(&self) -> usize {
        let log = &self.scene.log;
        match self.scene.mutation {
            _ if self.store.replica => self.store.applied,
            Some(Mutation::KnownIndex) => self.scene.looked_at,
            Some(Mutation::EarlyIndex) => log.partition_point(|logged| logged.at + EARLY_NS <= self.scene.now),
            _ => log.len(),
        }
    }

    fn call(&mut self, name: &str, arguments: &[Expr]) -> Result<Cell, Stop> {
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.value(argument)?.unwrap_or_default());
        }
        let first = values.first().cloned().unwrap_or_default();
        Ok(match name {
            "LAST_INSERT_ID" => {
                if !arguments.is_empty() {
                    self.session.insert_id = first.parse().unwrap_or(0);
                }
                Some(self.session.insert_id.to_string())
            }
            "=" => Some(u8::from(values.first() == values.get(1)).to_string()),
            "IS_USED_LOCK" => self.store.user_locks.get(&first).map(|holder| holder.to_string()),
            "NULLIF" => Some(first).filter(|first| values.get(1) != Some(first)),
            "COALESCE" => values.into_iter().find(|value| !value.is_empty()),
            "ROW_COUNT" => Some(self.session.row_count.to_string()),
            "FOUND_ROWS" => Some(self.session.found_rows.to_string()),
            "DATABASE" => self.session.schema.clone(),
            "CONNECTION_ID" => Some(self.conn.to_string()),
            "CURRENT_USER" => Some(format!("{}@%", self.session.user)),
            "CONCAT" => Some(values.concat()),
            "COLLATION" => Some("utf8mb4_0900_ai_ci".to_string()),
            "HEX" => Some(first.bytes().map(|byte| format!("{byte:02X}")).collect()),
            "SLEEP" => Some("0".to_string()),
            "REPEAT" => {
                let times = values.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                Some(first.repeat(times))
            }
            "GET_LOCK" => {
                let holder = *self.store.user_locks.entry(first.clone()).or_insert(self.conn);
                if holder == self.conn {
                    self.session.locks.insert(first);
                }
                Some(u8::from(holder == self.conn).to_string())
            }
            "RELEASE_LOCK" => {
                let held = self.session.locks.remove(&first);
                if held {
                    self.store.user_locks.remove(&first);
                }
                Some(u8::from(held).to_string())
            }
            other => return Err(fault(1305, "42000", format!("FUNCTION {other} does not exist"))),
        })
    }
}

/// How much older than its question an answer is that came too early.
const EARLY_NS: u64 = 3 * MS;

/// What `big` holds in its row of this number.
pub fn pad(at: i64) -> String {
    format!("r{at}-{}", "x".repeat(at as usize % 60))
}

pub(super) fn column_name(item: &Expr) -> String {
    match item {
        Expr::Text(text) => text.clone(),
        Expr::Number(number) => number.to_string(),
        Expr::Word(name) => name.clone(),
        Expr::System(name) => format!("@@{name}"),
        Expr::User(name) => format!("@{name}"),
        Expr::Call(name, _) => format!("{name}()"),
        Expr::DivideByZero => "1/0".to_string(),
        Expr::Null => "NULL".to_string(),
        Expr::Param(_) => "?".to_string(),
        Expr::Default | Expr::Global(_) | Expr::Plus(..) => "expr".to_string(),
    }
}
