//! The tables that a statement names, from `sqlparser`'s tree: for permissions and filters, off the hot path.
//!
//! Invariant: an answer is complete. What does not parse, what the walk does not know, and what `sqlparser` might read
//! differently from MySQL (executed comments, quotes that depend on `sql_mode`, characters that depend on the character
//! set) gives None. Names of common table expressions are no tables where they are visible.
//! Covered are reads, row writes, `TRUNCATE` and `DROP TABLE`; a view is reported as a table, since only the server knows.
//!
//! Costs 4 µs for a point select and milliseconds for long lists, so texts are limited. The walk keeps a list of what is
//! left to do; it does not recurse.

use crate::facts::{Charset, Facts};
use crate::limits::{PARSED_DEPTH_MAX, PARSED_TEXT_BYTES_MAX};
use sqlparser::ast::{
    Delete, FromTable, Insert, ObjectName, ObjectType, OnInsert, Statement, TableObject, TableWithJoins, Update,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

#[cfg(test)]
mod tests;
mod walk;

use walk::{Node, OUTERMOST, Use, Walk};

/// One table that a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUse {
    /// None: the current schema.
    pub schema: Option<Box<str>>,
    pub name: Box<str>,
    /// The statement may change its rows, or the table itself. All tables joined in an `UPDATE` or `DELETE` count.
    pub write: bool,
}

/// The tables of one statement, each in the order of the text's tree and as often as it is named.
pub fn tables(sql: &[u8], facts: &Facts) -> Option<Vec<TableUse>> {
    if sql.len() > PARSED_TEXT_BYTES_MAX || !is_unambiguous(sql, facts) {
        return None;
    }
    let text = std::str::from_utf8(sql).ok()?;
    let mut parser = Parser::new(&MySqlDialect {}).with_recursion_limit(PARSED_DEPTH_MAX).try_with_sql(text).ok()?;
    let statements = parser.parse_statements().ok()?;
    let [statement] = statements.as_slice() else { return None };
    let mut walk = Walk::default();
    start(&mut walk, statement)?;
    walk.finish()
}

/// True when `sqlparser`'s MySQL dialect cuts the text into the tokens that the server sees.
fn is_unambiguous(sql: &[u8], facts: &Facts) -> bool {
    let holds = |part: &[u8]| sql.windows(part.len()).any(|window| window == part);
    let ascii = sql.is_ascii() || facts.charset == Charset::Utf8;
    let quotes = !facts.ansi_quotes || !holds(b"\"");
    let escapes = !facts.no_backslash_escapes || !holds(b"\\");
    ascii && quotes && escapes && !holds(b"/*!") && !holds(b"\0")
}

fn start<'a>(walk: &mut Walk<'a>, statement: &'a Statement) -> Option<()> {
    match statement {
        Statement::Query(query) => walk.push(Node::Query(query, OUTERMOST)),
        Statement::Insert(insert) => start_insert(walk, insert)?,
        Statement::Update(update) => start_update(walk, update)?,
        Statement::Delete(delete) => start_delete(walk, delete)?,
        Statement::Truncate(truncate) => {
            for target in &truncate.table_names {
                walk.found(&target.name, Use::Write, OUTERMOST)?;
            }
        }
        Statement::Drop { object_type: ObjectType::Table, names, .. } => written(walk, names)?,
        _ => return None,
    }
    Some(())
}

fn written(walk: &mut Walk<'_>, names: &[ObjectName]) -> Option<()> {
    names.iter().try_for_each(|name| walk.found(name, Use::Write, OUTERMOST))
}

fn start_insert<'a>(walk: &mut Walk<'a>, insert: &'a Insert) -> Option<()> {
    let TableObject::TableName(name) = &insert.table else { return None };
    if insert.returning.is_some() || insert.output.is_some() || insert.partitioned.is_some() {
        return None;
    }
    walk.found(name, Use::Write, OUTERMOST)?;
    if let Some(source) = &insert.source {
        walk.push(Node::Query(source, OUTERMOST));
    }
    for assignment in &insert.assignments {
        walk.push(Node::Expr(&assignment.value, OUTERMOST));
    }
    match &insert.on {
        None => (),
        Some(OnInsert::DuplicateKeyUpdate(assignments)) => {
            assignments.iter().for_each(|a| walk.push(Node::Expr(&a.value, OUTERMOST)));
        }
        Some(_) => return None,
    }
    Some(())
}

fn start_update<'a>(walk: &mut Walk<'a>, update: &'a Update) -> Option<()> {
    if update.from.is_some() || update.returning.is_some() || update.output.is_some() {
        return None;
    }
    joined(walk, std::slice::from_ref(&update.table));
    for assignment in &update.assignments {
        walk.push(Node::Expr(&assignment.value, OUTERMOST));
    }
    walk.exprs(update.selection.iter().chain(&update.limit), OUTERMOST);
    walk.order(&update.order_by, OUTERMOST)
}

fn start_delete<'a>(walk: &mut Walk<'a>, delete: &'a Delete) -> Option<()> {
    if delete.returning.is_some() || delete.output.is_some() {
        return None;
    }
    // `DELETE a FROM t AS a`: the names before FROM are among the tables behind it.
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    joined(walk, delete.using.as_deref().unwrap_or(from));
    walk.exprs(delete.selection.iter().chain(&delete.limit), OUTERMOST);
    walk.order(&delete.order_by, OUTERMOST)
}

fn joined<'a>(walk: &mut Walk<'a>, tables: &'a [TableWithJoins]) {
    for table in tables {
        walk.push(Node::Joined(table, Use::Write, OUTERMOST));
    }
}
