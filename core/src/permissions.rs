//! Table permissions: which users may read, write and change which tables, beside MySQL's own grants and never instead
//! of them; groups compiled for looking up a table.
//!
//! Invariant: a table belongs to one group at most: to the one that names it, else to the one with the longest prefix. So
//! a group for one table is not widened by a group for its schema. Names are compared byte by byte, as MySQL does on Linux
//! with `lower_case_table_names = 0`. `information_schema` is nobody's: it shows to each what MySQL's grants let see.
//! It knows no SQL: which tables a statement touches is the planner's word.
//!
//! Cost of a check: per table one hash of its name, then a binary search among the prefixes of its schema for each shorter
//! prefix; per group one hash of the user. Nothing is allocated unless it is denied.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use weir_planner::Access;

/// The rules that hold now. Another file has another version, and a verdict is kept for one version.
#[derive(Clone, Debug)]
pub struct Permissions {
    pub rules: Arc<Rules>,
    pub version: u64,
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
    /// Users for whom all of it does not count.
    exempt: HashSet<String>,
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

    pub fn exempt(&mut self, users: HashSet<String>) {
        self.exempt = users;
    }

    /// `user` and `host` are for the message.
    pub fn check(&self, user: &str, host: &str, table: &Table<'_>, access: Access) -> Result<(), Denied> {
        if self.exempt.contains(user) || table.schema.eq_ignore_ascii_case("information_schema") {
            return Ok(());
        }
        let may = |right| match self.group(table) {
            Some(group) => group.may(user, right),
            None => !self.denies_unlisted,
        };
        let missing = Access::ALL.iter().map(|(one, _)| *one).filter(|one| access.contains(*one) && !may(right(*one)));
        let missing = missing.fold(Access::empty(), Access::union);
        if missing.is_empty() { Ok(()) } else { Err(denied(user, host, table, missing)) }
    }

    /// Whether the user may do everything to every table of this schema, those that are not there yet included.
    pub fn may_change_schema(&self, user: &str, schema: &str) -> bool {
        let exact = self.exact.get(schema).into_iter().flat_map(HashMap::values);
        let prefixes = self.prefixes.get(schema);
        let is_whole = prefixes.is_some_and(|prefixes| prefixes.contains_key(""));
        let mut groups = exact.chain(prefixes.into_iter().flat_map(BTreeMap::values));
        let is_admin = |at: &usize| self.groups.get(*at).is_some_and(|group| group.may(user, Right::Admin));
        self.exempt.contains(user) || ((is_whole || !self.denies_unlisted) && groups.all(is_admin))
    }

    /// Whether the user may do everything to every table there is.
    pub fn may_change_all(&self, user: &str) -> bool {
        self.exempt.contains(user)
            || (!self.denies_unlisted && self.groups.iter().all(|group| group.may(user, Right::Admin)))
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

fn right(access: Access) -> Right {
    match access {
        Access::SELECT | Access::SHOW => Right::Read,
        Access::INSERT | Access::UPDATE | Access::DELETE | Access::LOCK_TABLES => Right::Write,
        _ => Right::Admin,
    }
}

fn denied(user: &str, host: &str, table: &Table<'_>, access: Access) -> Denied {
    let Table { schema, name } = table;
    // The server names the schema for this one alone.
    let shown = if access == Access::REFERENCES { format!("{schema}.{name}") } else { (*name).to_string() };
    // Who may not read it is told so, whatever the lock.
    let access = if access.contains(Access::SELECT) { access.without(Access::LOCK_TABLES) } else { access };
    let words: Vec<String> = access.names().map(|name| name.replace('_', " ")).collect();
    Denied { message: format!("{} command denied to user '{user}'@'{host}' for table '{shown}'", words.join(", ")) }
}

pub const EVERYBODY: &str = "%";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HashSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn group(rules: &mut Rules, tables: &[&str], readers: &[&str], writers: &[&str], admins: &[&str]) {
        let pattern = |text: &&str| {
            let (schema, name) = text.split_once('.').unwrap();
            match name.strip_suffix('%') {
                Some(prefix) => Pattern::Prefix { schema: schema.to_string(), prefix: prefix.to_string() },
                None => Pattern::Table { schema: schema.to_string(), name: name.to_string() },
            }
        };
        let (readers, writers, admins) = (names(readers), names(writers), names(admins));
        let group = Group { name: tables[0].to_string(), readers, writers, admins };
        assert!(rules.add(group, tables.iter().map(pattern).collect()).is_empty());
    }

    fn rules(denies_unlisted: bool) -> Rules {
        let mut rules = Rules::new(denies_unlisted);
        group(&mut rules, &["shop.orders", "shop.item%"], &["report"], &["web"], &["owner"]);
        group(&mut rules, &["shop.%"], &["%"], &[], &["owner"]);
        group(&mut rules, &["shop.item_price%"], &[], &[], &["owner"]);
        rules.exempt(names(&["root"]));
        rules
    }

    #[test]
    fn the_narrowest_pattern_decides() {
        const SELECT: Access = Access::SELECT;
        const DELETE: Access = Access::DELETE;
        const DROP: Access = Access::DROP;
        let rules = rules(false);
        let cases = [
            ("report", "shop.orders", SELECT, true),
            ("report", "shop.orders", DELETE, false),
            ("web", "shop.orders", SELECT, true),
            ("web", "shop.items", DELETE, true),
            ("web", "shop.items", DROP, false),
            ("owner", "shop.items", DROP, true),
            ("root", "shop.items", DROP, true),
            ("somebody", "shop.orders", SELECT, false),
            ("somebody", "shop.orders2", SELECT, true),
            ("somebody", "shop.orders2", DELETE, false),
            // A prefix within a prefix: the longer one alone.
            ("web", "shop.item_prices", SELECT, false),
            ("owner", "shop.item_prices", SELECT, true),
            ("somebody", "elsewhere.t", DROP, true),
            ("somebody", "shop.na\u{ef}ve", SELECT, true),
        ];
        for (user, table, access, may) in cases {
            let (schema, name) = table.split_once('.').unwrap();
            let found = rules.check(user, "%", &Table { schema, name }, access).is_ok();
            assert_eq!(found, may, "{user} {access:?} {table}");
        }
    }

    #[test]
    fn what_is_missing_is_named_in_the_servers_order() {
        let rules = rules(false);
        let orders = Table { schema: "shop", name: "orders" };
        let cases = [
            ("somebody", Access::SELECT, "SELECT"),
            ("somebody", Access::DELETE | Access::INSERT, "INSERT, DELETE"),
            ("report", Access::SELECT | Access::LOCK_TABLES, "LOCK TABLES"),
            ("web", Access::CREATE_VIEW | Access::SELECT, "CREATE VIEW"),
        ];
        for (user, access, words) in cases {
            let denied = rules.check(user, "localhost", &orders, access).unwrap_err();
            let expected = format!("{words} command denied to user '{user}'@'localhost' for table 'orders'");
            assert_eq!(denied.message, expected);
        }
    }

    #[test]
    fn tables_that_no_group_names_can_be_closed() {
        let (open, strict) = (rules(false), rules(true));
        let table = Table { schema: "elsewhere", name: "t" };
        assert!(strict.check("owner", "%", &table, Access::SELECT).is_err());
        assert!(strict.check("root", "%", &table, Access::SELECT).is_ok());
        let listing = Table { schema: "INFORMATION_SCHEMA", name: "TABLES" };
        assert!(strict.check("owner", "%", &listing, Access::SELECT).is_ok());
        assert!(Rules::default().check("anyone", "%", &table, Access::DROP).is_ok());
        for (user, schema, all) in
            [("owner", (true, true), true), ("web", (false, false), false), ("root", (true, true), true)]
        {
            assert_eq!(open.may_change_schema(user, "shop"), schema.0, "{user}");
            assert_eq!(strict.may_change_schema(user, "shop"), schema.1, "{user}");
            assert_eq!(open.may_change_all(user), all, "{user}");
        }
        assert!(open.may_change_schema("web", "elsewhere") && !strict.may_change_schema("owner", "elsewhere"));
        assert!(!strict.may_change_all("owner") && strict.may_change_all("root"));
        assert!(Rules::default().may_change_all("anyone"));
    }
}
