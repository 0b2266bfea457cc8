//! The rules: groups compiled for looking up a table.
//!
//! Cost of a check: per table one hash of its name, then a binary search among the prefixes of its schema for each shorter
//! prefix; per group one hash of the user. Nothing is allocated unless it is denied.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// What a statement does to a table, in the words of MySQL's error 1142. `LOCK TABLES` is none: the server has it as a
/// right on a schema (1044), and whoever locks a table names what it may do to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Select,
    Insert,
    Update,
    Delete,
    Create,
    Alter,
    Drop,
    Index,
    Trigger,
    CreateView,
    References,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Read,
    Write,
    Admin,
}

/// A table as a statement names it, with the schema that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    pub schema: &'a str,
    pub name: &'a str,
}

/// What the client gets: MySQL's own error, as the server words it for an account without the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub message: String,
}

impl Denied {
    pub const CODE: u16 = 1142;
    pub const STATE: &'static str = "42000";
}

/// Immutable; replaced whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    groups: Vec<Group>,
    denies_unlisted: bool,
    exact: HashMap<String, HashMap<String, usize>>,
    /// Per schema, by prefix.
    prefixes: HashMap<String, BTreeMap<String, usize>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub readers: HashSet<String>,
    pub writers: HashSet<String>,
    pub admins: HashSet<String>,
}

/// `shop.orders` or, with its `%` taken off, `shop.item%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Table { schema: String, name: String },
    Prefix { schema: String, prefix: String },
}

impl Rules {
    pub fn new(denies_unlisted: bool) -> Rules {
        Rules { denies_unlisted, ..Rules::default() }
    }

    /// A pattern that another group has is that group's; then its name comes back.
    pub fn add(&mut self, group: Group, patterns: Vec<Pattern>) -> Vec<(Pattern, String)> {
        let at = self.groups.len();
        let mut taken = Vec::new();
        for pattern in patterns {
            let before = match &pattern {
                Pattern::Table { schema, name } => {
                    self.exact.entry(schema.clone()).or_default().insert(name.clone(), at)
                }
                Pattern::Prefix { schema, prefix } => {
                    self.prefixes.entry(schema.clone()).or_default().insert(prefix.clone(), at)
                }
            };
            if let Some(before) = before {
                let name = self.groups.get(before).map_or(group.name.clone(), |group| group.name.clone());
                taken.push((pattern, name));
            }
        }
        self.groups.push(group);
        taken
    }

    /// Groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// `user` and `host` are those of `CURRENT_USER()`; the first table that is denied is named.
    pub fn check(&self, user: &str, host: &str, tables: &[Table<'_>], access: Access) -> Result<(), Denied> {
        for table in tables {
            let may = match self.group(table) {
                Some(group) => group.may(user, access.right()),
                None => !self.denies_unlisted,
            };
            if !may {
                return Err(denied(user, host, table, access));
            }
        }
        Ok(())
    }

    fn group(&self, table: &Table<'_>) -> Option<&Group> {
        let exact = self.exact.get(table.schema).and_then(|tables| tables.get(table.name));
        let at = exact.or_else(|| {
            let prefixes = self.prefixes.get(table.schema)?;
            let mut lens = (0..=table.name.len()).rev().filter(|len| table.name.is_char_boundary(*len));
            lens.find_map(|len| prefixes.get(&table.name[..len]))
        })?;
        self.groups.get(*at)
    }
}

impl Group {
    fn may(&self, user: &str, right: Right) -> bool {
        let holds = |users: &HashSet<String>| users.contains(user) || users.contains(EVERYBODY);
        holds(&self.admins)
            || (right <= Right::Write && holds(&self.writers))
            || (right == Right::Read && holds(&self.readers))
    }
}

impl Access {
    fn right(self) -> Right {
        match self {
            Access::Select => Right::Read,
            Access::Insert | Access::Update | Access::Delete => Right::Write,
            Access::Create
            | Access::Alter
            | Access::Drop
            | Access::Index
            | Access::Trigger
            | Access::CreateView
            | Access::References => Right::Admin,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Select => "SELECT",
            Access::Insert => "INSERT",
            Access::Update => "UPDATE",
            Access::Delete => "DELETE",
            Access::Create => "CREATE",
            Access::Alter => "ALTER",
            Access::Drop => "DROP",
            Access::Index => "INDEX",
            Access::Trigger => "TRIGGER",
            Access::CreateView => "CREATE VIEW",
            Access::References => "REFERENCES",
        })
    }
}

fn denied(user: &str, host: &str, table: &Table<'_>, access: Access) -> Denied {
    let Table { schema, name } = table;
    // The server names the schema for this one alone.
    let shown = if access == Access::References { format!("{schema}.{name}") } else { (*name).to_string() };
    Denied { message: format!("{access} command denied to user '{user}'@'{host}' for table '{shown}'") }
}

pub const EVERYBODY: &str = "%";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::file;
    use std::path::Path;

    const FILE: &str = r#"
        [[groups]]
        name = "orders"
        tables = ["shop.orders", "shop.item%"]
        readers = ["report"]
        writers = ["web"]
        admins = ["owner"]
        [[groups]]
        name = "shop"
        tables = ["shop.%"]
        readers = ["%"]
        [[groups]]
        name = "prices"
        tables = ["shop.item_price%"]
        admins = ["owner"]
    "#;

    fn rules(text: &str) -> Rules {
        file::read_text(Path::new("acl.toml"), text).unwrap()
    }

    #[test]
    fn the_narrowest_pattern_decides() {
        use Access::{Delete, Drop, Select};
        let rules = rules(FILE);
        let cases = [
            ("report", "shop.orders", Select, true),
            ("report", "shop.orders", Delete, false),
            ("web", "shop.orders", Select, true),
            ("web", "shop.items", Delete, true),
            ("web", "shop.items", Drop, false),
            ("owner", "shop.items", Drop, true),
            ("somebody", "shop.orders", Select, false),
            ("somebody", "shop.orders2", Select, true),
            ("somebody", "shop.orders2", Delete, false),
            // A prefix within a prefix: the longer one alone.
            ("web", "shop.item_prices", Select, false),
            ("owner", "shop.item_prices", Select, true),
            ("somebody", "elsewhere.t", Drop, true),
            ("somebody", "shop.naïve", Select, true),
        ];
        for (user, table, access, may) in cases {
            let (schema, name) = table.split_once('.').unwrap();
            let found = rules.check(user, "%", &[Table { schema, name }], access).is_ok();
            assert_eq!(found, may, "{user} {access} {table}");
        }
    }

    #[test]
    fn every_table_counts_and_the_first_denied_one_is_named() {
        let rules = rules(FILE);
        let tables = ["other", "orders", "items"].map(|name| Table { schema: "shop", name });
        let denied = rules.check("somebody", "localhost", &tables, Access::Select).unwrap_err();
        assert_eq!(denied.message, "SELECT command denied to user 'somebody'@'localhost' for table 'orders'");
    }

    #[test]
    fn tables_that_no_group_names_can_be_closed() {
        let strict = rules(&format!("unlisted = \"deny\"\n{FILE}"));
        let table = [Table { schema: "elsewhere", name: "t" }];
        assert!(strict.check("owner", "%", &table, Access::Select).is_err());
        assert!(Rules::default().check("anyone", "%", &table, Access::Drop).is_ok());
    }
}
