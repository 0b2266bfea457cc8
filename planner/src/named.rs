//! Statements prepared by name in SQL text: `PREPARE name FROM …`, `EXECUTE name USING @a`, `DEALLOCATE PREPARE name`.
//!
//! Invariant: a name or a text is told only if it is plain ASCII without escapes, so that it means the same under every SQL
//! mode and character set; else the statement is one whose doings nobody knows.

use crate::effects::{Asks, Effects};
use crate::plan::{Kind, Plan, Route, SessionValue};
use crate::reason::Reason;
use crate::tables::Memo;

/// What such a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// In lower case, as the server compares it.
    pub name: Box<str>,
    pub source: NamedSource,
}

/// Where the text behind `PREPARE name FROM` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSource {
    /// It is no `PREPARE`.
    Earlier,
    Literal(Box<[u8]>),
    /// A user variable, in lower case.
    Variable(Box<str>),
    /// Not to be read here.
    Unread,
}

/// The text of a string literal, quotes undone.
pub(crate) fn literal(raw: &[u8]) -> Option<Box<[u8]>> {
    let [open @ (b'\'' | b'"'), inside @ .., close] = raw else { return None };
    if open != close || !is_plain(inside) {
        return None;
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        text.push(*byte);
        if byte == open {
            // Doubled, or the lexer would have ended there.
            bytes.next();
        }
    }
    Some(text.into())
}

/// It means the same wherever it is read.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii() && !matches!(byte, 0 | b'\\'))
}

/// The plan of `EXECUTE`, given that of the text behind its name. None: what that does is not told by its plan here.
pub fn executed(execute: &Plan, text: &Plan) -> Option<Plan> {
    let is_told = text.statements == 1
        && text.local.is_none()
        && text.values.iter().all(|span| span.value == SessionValue::RowCount)
        && !text.asks.contains(Asks::CONNECTION_ID)
        && !text.effects.intersects(Effects::UNKNOWN | Effects::KILL)
        && text.kind != Kind::Prepare;
    if !is_told || execute.statements != 1 {
        return None;
    }
    let reads = execute.effects.contains(Effects::READS_USER_VARIABLE);
    const VARIABLES: Effects = Effects::READS_USER_VARIABLE.union(Effects::SET_USER_VARIABLE);
    let names_all = |plan: &Plan| !plan.user_variables.is_empty() || !plan.effects.intersects(VARIABLES);
    let mut user_variables = Vec::new();
    if names_all(execute) && names_all(text) {
        user_variables.extend(execute.user_variables.iter().chain(&text.user_variables).cloned());
        user_variables.sort();
        user_variables.dedup();
    }
    Some(Plan {
        route: Route::Primary,
        reason: Reason::TextPrepare,
        effects: text.effects
            | if reads { Effects::READS_USER_VARIABLE } else { Effects::empty() }
            | Effects::TEXT_NAMED,
        hint: execute.hint,
        listing: None,
        // Places in the other text.
        values: Box::default(),
        user_variables: user_variables.into(),
        named: execute.named.clone(),
        memo: Memo::default(),
        ..text.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, plan};

    fn of(sql: &str) -> Plan {
        plan(sql.as_bytes(), &Facts::default())
    }

    fn named(sql: &str) -> Option<Named> {
        of(sql).named.map(|named| *named)
    }

    #[test]
    fn names_and_texts_are_told() {
        let check = |sql: &str, name: &str, source: NamedSource| {
            assert_eq!(named(sql), Some(Named { name: name.into(), source }), "{sql}");
        };
        let text = |text: &str| NamedSource::Literal(text.as_bytes().into());
        check("PREPARE s FROM 'SELECT ?'", "s", text("SELECT ?"));
        check("prepare `S t` from 'SELECT ''a'', \"b\"'", "s t", text("SELECT 'a', \"b\""));
        check("PREPARE s FROM \"SELECT 'a', \"\"b\"\"\"", "s", text("SELECT 'a', \"b\""));
        check("PREPARE s FROM @Sql", "s", NamedSource::Variable("sql".into()));
        check("PREPARE s FROM 'SELECT ''\\\\'''", "s", NamedSource::Unread);
        check("PREPARE s FROM 'SELECT ''ä'''", "s", NamedSource::Unread);
        check("EXECUTE S USING @a, @b", "s", NamedSource::Earlier);
        check("DEALLOCATE PREPARE s", "s", NamedSource::Earlier);
        check("PREPARE s FROM", "s", NamedSource::Unread);
        check("DROP PREPARE s", "s", NamedSource::Earlier);
        for other in ["PREPARE ä FROM 'SELECT 1'", "SELECT 1", "EXECUTE s; SELECT 1"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn an_execute_does_what_its_text_does() {
        let execute = |sql: &str, text: &str| executed(&of(sql), &of(text));
        let plan = execute("EXECUTE s USING @b", "INSERT INTO t VALUES (?, @a)").unwrap();
        assert_eq!((plan.kind, plan.route), (Kind::Insert, Route::Primary));
        assert!(plan.effects.contains(Effects::READS_USER_VARIABLE | Effects::WRITES));
        assert!(!plan.effects.intersects(Effects::TEXT_EXECUTE | Effects::UNKNOWN));
        assert_eq!(plan.user_variables.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
        let plan = execute("EXECUTE s", "SELECT LAST_INSERT_ID(), FOUND_ROWS()").unwrap();
        assert!(plan.asks.contains(Asks::LAST_INSERT_ID) && plan.effects == Effects::TEXT_NAMED);
        let plan = execute("EXECUTE s", "INSERT INTO t SELECT ROW_COUNT()").unwrap();
        assert!(plan.asks.contains(Asks::ROW_COUNT) && plan.values.is_empty());
        for untold in [
            "SELECT CONNECTION_ID()",
            "SELECT CONNECTION_ID() + 1 FROM t",
            "FROBNICATE",
            "KILL 5",
            "SELECT 1; SELECT 2",
        ] {
            assert_eq!(execute("EXECUTE s", untold), None, "{untold}");
        }
    }
}
