//! The permissions' file: TOML or JSON into [`Rules`], with every mistake and its place.
//!
//! JSON is read when the name ends with `.json`; its mistakes are told by where they are in the tree, because its values
//! have no lines.

use crate::config::mistake::{Lines, Mistakes, Place, suggestion};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};
use weir_core::permissions::{EVERYBODY, Group, Pattern, Rules};

pub fn read(path: &Path) -> Result<Rules, Mistakes> {
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(path, &text),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            let text = format!("cannot be read ({error}): name a readable file of table permissions");
            mistakes.add(&Place::WholeFile(path.to_path_buf()), text);
            Err(mistakes)
        }
    }
}

pub fn read_text(path: &Path, text: &str) -> Result<Rules, Mistakes> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    // One reader for both: what JSON says can be said in TOML.
    let (text, is_rewritten) = match is_json {
        true => (from_json(path, text)?, true),
        false => (text.to_string(), false),
    };
    let mut walk = Walk {
        lines: Lines::new(path, &text),
        whole: is_rewritten.then(|| Place::WholeFile(path.to_path_buf())),
        mistakes: Mistakes::default(),
        rules: Rules::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let message = format!("{}: correct it, see https://toml.io for the form", error.message().trim());
        walk.wrong(error.span().unwrap_or(0..0), message);
    }
    walk.root(root.get_ref());
    match walk.mistakes.is_empty() {
        true => Ok(walk.rules),
        false => Err(walk.mistakes),
    }
}

fn from_json(path: &Path, text: &str) -> Result<String, Mistakes> {
    let wrong = |place: Place, text: String| {
        let mut mistakes = Mistakes::default();
        mistakes.add(&place, text);
        mistakes
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let place = Place::File { path: path.into(), line: error.line(), column: error.column() };
        wrong(place, format!("{error}: correct it, it is no JSON"))
    })?;
    toml::to_string(&value)
        .map_err(|error| wrong(Place::WholeFile(path.to_path_buf()), format!("{error}: write an object with 'groups'")))
}

struct Walk<'a> {
    lines: Lines<'a>,
    /// Of a file whose lines are not those that were typed.
    whole: Option<Place>,
    mistakes: Mistakes,
    rules: Rules,
}

impl Walk<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        let unlisted = root.get("unlisted").map(|value| (value.span(), value.get_ref().as_str()));
        match unlisted {
            None | Some((_, Some("allow"))) => {}
            Some((_, Some("deny"))) => self.rules = Rules::new(true),
            Some((span, _)) => self.wrong(span, "unlisted must be \"allow\" or \"deny\"".to_string()),
        }
        for (key, value) in root {
            match key.get_ref().as_ref() {
                "unlisted" => {}
                "exempt" => {
                    let users = self.users("exempt", value.span(), value.get_ref());
                    self.rules.exempt(users);
                }
                "groups" => match value.get_ref().as_array() {
                    Some(groups) => groups.iter().for_each(|group| self.group(group.span(), group.get_ref())),
                    None => self.wrong(value.span(), "'groups' is a list: write [[groups]] above each".to_string()),
                },
                other => {
                    let text =
                        format!("there is no key '{other}'; {}", suggestion(other, ["unlisted", "exempt", "groups"]));
                    self.wrong(key.span(), text);
                }
            }
        }
    }

    fn group(&mut self, span: Range<usize>, value: &DeValue<'_>) {
        let Some(table) = value.as_table() else {
            return self.wrong(span, "a group is a table: write [[groups]] above its keys".to_string());
        };
        let (mut group, mut patterns) = (Group::default(), Vec::new());
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => match value.get_ref().as_str() {
                    Some(name) if !name.is_empty() => group.name = name.to_string(),
                    _ => self.wrong(value.span(), "name must be a text in quotes".to_string()),
                },
                "tables" => patterns = self.patterns(value.span(), value.get_ref()),
                "readers" => group.readers = self.users("readers", value.span(), value.get_ref()),
                "writers" => group.writers = self.users("writers", value.span(), value.get_ref()),
                "admins" => group.admins = self.users("admins", value.span(), value.get_ref()),
                other => {
                    let text = format!("a group has no key '{other}'; {}", suggestion(other, KEYS));
                    self.wrong(key.span(), text);
                }
            }
        }
        if group.name.is_empty() {
            self.wrong(span.clone(), "this group has no name: add name = \"…\"".to_string());
        }
        if !table.contains_key("tables") {
            self.wrong(
                span.clone(),
                "this group has no tables: add tables = [\"schema.table\", \"schema.%\"]".to_string(),
            );
        }
        for (pattern, owner) in self.rules.add(group, patterns) {
            let text = format!("'{}' stands in group '{owner}' already: remove one of the two", show(&pattern));
            self.wrong(span.clone(), text);
        }
    }

    fn patterns(&mut self, span: Range<usize>, value: &DeValue<'_>) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for (span, text) in self.texts("tables", span, value) {
            match pattern(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => self.wrong(span, why),
            }
        }
        patterns
    }

    fn users(&mut self, name: &str, span: Range<usize>, value: &DeValue<'_>) -> HashSet<String> {
        let mut users = HashSet::new();
        for (span, user) in self.texts(name, span, value) {
            if user.contains('@') {
                self.wrong(span, format!("'{user}': a user is named without its host"));
            } else if user.is_empty() || (user.contains(EVERYBODY) && user != EVERYBODY) {
                self.wrong(span, format!("'{user}' is no user: write a whole name, or \"%\" for everybody"));
            } else {
                users.insert(user);
            }
        }
        users
    }

    fn texts(&mut self, name: &str, span: Range<usize>, value: &DeValue<'_>) -> Vec<(Range<usize>, String)> {
        let Some(items) = value.as_array() else {
            self.wrong(span, format!("{name} must be a list of texts in quotes"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((item.span(), text.to_string())),
                None => self.wrong(item.span(), format!("{name} must be a list of texts in quotes")),
            }
        }
        texts
    }

    fn wrong(&mut self, span: Range<usize>, text: String) {
        let place = self.whole.clone().unwrap_or_else(|| self.lines.place(span));
        self.mistakes.add(&place, text);
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let wrong = |why: &str| {
        Err(format!("'{text}' is no table: {why}; write \"schema.table\", \"schema.start%\" or \"schema.%\""))
    };
    let Some((schema, name)) = text.split_once('.') else { return wrong("it has no schema") };
    if schema.is_empty() || schema.contains('%') {
        return wrong("its schema must be a whole name");
    }
    match name.split_once('%') {
        Some((prefix, "")) => Ok(Pattern::Prefix { schema: schema.to_string(), prefix: prefix.to_string() }),
        Some(_) => wrong("'%' may only stand at the end"),
        None if name.is_empty() => wrong("it has no name"),
        None => Ok(Pattern::Table { schema: schema.to_string(), name: name.to_string() }),
    }
}

fn show(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Table { schema, name } => format!("{schema}.{name}"),
        Pattern::Prefix { schema, prefix } => format!("{schema}.{prefix}%"),
    }
}

const KEYS: [&str; 5] = ["name", "tables", "readers", "writers", "admins"];

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(name: &str, text: &str) -> Vec<String> {
        read_text(Path::new(name), text).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let found = mistakes(
            "a.toml",
            "unlisted = 1
[[groups]]
name = \"one\"
table = []
tables = [\"t\", \"s.%x\", \"%.t\", \"s.t\", 5]
readers = [\"a@b\", \"a%\"]
writers = \"w\"
[[groups]]
tables = [\"s.t\"]
[[groups]]
name = \"three\"
",
        );
        let expected = [
            "a.toml:1:12: unlisted must be",
            "a.toml:4:1: a group has no key 'table'; did you mean 'tables'?",
            "a.toml:5:38: tables must be a list",
            "a.toml:5:11: 't' is no table: it has no schema",
            "a.toml:5:16: 's.%x' is no table: '%' may only",
            "a.toml:5:24: '%.t' is no table: its schema",
            "a.toml:6:12: 'a@b': a user is named without its host",
            "a.toml:6:19: 'a%' is no user",
            "a.toml:7:11: writers must be a list",
            "a.toml:8:1: this group has no name",
            "a.toml:8:1: 's.t' stands in group 'one' already",
            "a.toml:10:1: this group has no tables",
        ];
        for expected in expected {
            assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}\n{found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn json_says_the_same() {
        let text =
            r#"{"unlisted": "deny", "exempt": ["a"], "groups": [{"name": "g", "tables": ["s.%"], "readers": ["r"]}]}"#;
        let toml =
            "unlisted = \"deny\"\nexempt = [\"a\"]\n[[groups]]\nname = \"g\"\ntables = [\"s.%\"]\nreaders = [\"r\"]\n";
        assert_eq!(read_text(Path::new("a.json"), text), read_text(Path::new("a.toml"), toml));
        assert!(mistakes("a.json", "{\"groups\": [}")[0].starts_with("a.json:1:13: "));
        assert!(
            mistakes("a.json", r#"{"groups": [{"name": "g"}]}"#)[0].starts_with("a.json: this group has no tables")
        );
    }
}
