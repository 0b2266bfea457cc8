//! Filters: what operators want done with statements that match a pattern, in the grammar that WeScale's users know.
//!
//! ```text
//!   CREATE FILTER … ─► statement.rs ─► Filter (as it was typed) ─► rule.rs: Rule (what it means: expressions compiled, names known)
//!                                          └─► print: SHOW CREATE FILTER, the store      └─► seen.rs: a statement, as rules look at it
//! ```
//! Invariant: a [`Filter`] keeps each value as it was typed, so that what is printed reads back as the same filter; a [`Rule`] exists
//! only of one that means something. It knows nothing of sessions, counters and queues.

mod action;
mod comments;
mod expression;
mod packet;
mod plans;
mod rule;
mod seen;
mod statement;

pub use action::{Action, Concurrency, Mirror, Rewrite};
pub use packet::{Packet, parameters};
pub use rule::{Rule, Status};
pub use seen::Seen;
pub use statement::Statement;
use statement::parse;
pub(crate) use statement::{explained, read};

use std::fmt;

/// As it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub name: Box<str>,
    /// In the order of [`KEYS`].
    values: Vec<Box<str>>,
}

/// The three parenthesised parts of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head,
    Pattern,
    Execute,
}

/// Every key with its part and what holds when it is not given. They are the columns of `SHOW FILTERS`, too.
pub(crate) const KEYS: [(Part, &str, &str); 14] = [
    (Part::Head, "desc", ""),
    (Part::Head, "priority", "1000"),
    (Part::Head, "status", "ACTIVE"),
    (Part::Pattern, "plans", ""),
    (Part::Pattern, "fully_qualified_table_names", ""),
    (Part::Pattern, "query_regex", ""),
    (Part::Pattern, "query_template", ""),
    (Part::Pattern, "request_ip_regex", ""),
    (Part::Pattern, "user_regex", ""),
    (Part::Pattern, "leading_comment_regex", ""),
    (Part::Pattern, "trailing_comment_regex", ""),
    (Part::Pattern, "bind_var_conds", ""),
    (Part::Execute, "action", ""),
    (Part::Execute, "action_args", ""),
];

/// The columns of `SHOW FILTERS`.
pub fn columns() -> Vec<&'static str> {
    let key = |(_, key, _): &(Part, &'static str, &'static str)| if *key == "desc" { "description" } else { *key };
    std::iter::once("name").chain(KEYS.iter().map(key)).collect()
}

impl Filter {
    /// It does nothing yet: its action is to be set.
    pub fn new(name: &str) -> Filter {
        Filter { name: name.into(), values: KEYS.iter().map(|(_, _, usual)| Box::from(*usual)).collect() }
    }

    /// Empty for what is no key.
    pub fn value(&self, key: &str) -> &str {
        let at = KEYS.iter().position(|(_, known, _)| *known == key);
        at.and_then(|at| self.values.get(at)).map_or("", |value| value)
    }

    /// `key` is one of [`KEYS`].
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let at = KEYS.iter().position(|(_, known, _)| *known == key);
        if let Some(place) = at.and_then(|at| self.values.get_mut(at)) {
            *place = value.into();
        }
    }

    /// Its row in `SHOW FILTERS`.
    pub fn row(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.values).map(|cell| cell.to_string()).collect()
    }

    /// The filters of a text of `CREATE FILTER` statements, as a file keeps it. Err: one sentence about the first mistake.
    pub fn read_all(text: &str) -> Result<Vec<Filter>, String> {
        let filters = Filter::parse_all(text)?;
        filters.iter().try_for_each(|filter| Rule::of(filter).map(drop))?;
        Ok(filters)
    }

    /// The same of filters that somebody has looked at when they were made: what their values mean is left to [`Rule::of`].
    pub fn parse_all(text: &str) -> Result<Vec<Filter>, String> {
        let mut filters: Vec<Filter> = Vec::new();
        for part in packet::parts(text.as_bytes(), &crate::Facts::default()) {
            let filter = match parse(part, &crate::Facts::default()) {
                Ok(Statement::Create { filter, .. }) => filter,
                Ok(_) => return Err("only CREATE FILTER statements may stand there".to_string()),
                Err(why) => return Err(why),
            };
            if filters.iter().any(|known| known.name == filter.name) {
                return Err(format!("the filter '{}' stands there twice: remove one of the two", filter.name));
            }
            filters.push(filter);
        }
        Ok(filters)
    }
}

/// The statement that makes it: `SHOW CREATE FILTER`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "create filter `{}`", self.name)?;
        put_definition(f, &|key| Some(self.value(key)))
    }
}

/// `( … ) with_pattern ( … ) execute ( … )` of the keys that have a value here.
fn put_definition<'a>(f: &mut fmt::Formatter<'_>, value: &dyn Fn(&str) -> Option<&'a str>) -> fmt::Result {
    for (part, opening) in [(Part::Head, " ("), (Part::Pattern, " with_pattern ("), (Part::Execute, " execute (")] {
        f.write_str(opening)?;
        let of_part = KEYS.iter().filter(|(of, _, _)| *of == part);
        let given = of_part.filter_map(|(_, key, _)| value(key).map(|value| (key, value)));
        for (at, (key, value)) in given.enumerate() {
            let comma = if at == 0 { " " } else { ", " };
            write!(f, "{comma}{key}='{}'", value.replace('\\', "\\\\").replace('\'', "''"))?;
        }
        f.write_str(" )")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
