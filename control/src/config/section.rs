//! A file with one section: TOML into texts by key, with every mistake of form on the way.
//!
//! The tablet's and the controller's configuration are such files; their keys are few and plain.

use super::mistake::{Given, Lines, Mistakes, Place, suggestion};
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Name, default as it would be typed, and meaning of each key. A default in quotes means that the value is a text.
pub type Keys = [(&'static str, &'static str, &'static str)];

/// What was typed, wherever, by key.
pub type Typed = BTreeMap<&'static str, Given<String>>;

pub struct Section {
    pub name: &'static str,
    pub keys: &'static Keys,
    /// Of these keys, relative paths are relative to the file.
    pub paths: &'static [&'static str],
}

impl Section {
    pub fn read_file(&self, path: &Path, typed: &mut Typed, mistakes: &mut Mistakes) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.read(path, &text, typed, mistakes),
            Err(error) => mistakes.add(
                &Place::WholeFile(path.to_path_buf()),
                format!("cannot be read ({error}): name a readable file with --config, or leave it out and use flags"),
            ),
        }
    }

    pub fn read(&self, path: &Path, text: &str, typed: &mut Typed, mistakes: &mut Mistakes) {
        let lines = Lines::new(path, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let place = lines.place(error.span().unwrap_or(0..0));
            mistakes.add(&place, format!("{}: correct it, see https://toml.io for the form", error.message().trim()));
        }
        let name = self.name;
        for (section, value) in root.get_ref() {
            if section.get_ref() != name {
                let text = format!("there is no section '{}'; a {name}'s keys stand in [{name}]", section.get_ref());
                mistakes.add(&lines.place(section.span()), text);
                continue;
            }
            match value.get_ref().as_table() {
                Some(table) => self.read_table(path, &lines, table, typed, mistakes),
                None => {
                    let text = format!("'{name}' is a section: write it as [{name}], with its keys below");
                    mistakes.add(&lines.place(value.span()), text);
                }
            }
        }
    }

    fn read_table(
        &self,
        path: &Path,
        lines: &Lines<'_>,
        table: &DeTable<'_>,
        typed: &mut Typed,
        mistakes: &mut Mistakes,
    ) {
        for (key, value) in table {
            let place = lines.place(value.span());
            let Some((name, default, _)) = self.keys.iter().find(|(name, ..)| *name == key.get_ref()) else {
                let near = suggestion(key.get_ref(), self.keys.iter().map(|(name, ..)| *name));
                let text = format!("[{}] has no key '{}'; {near}", self.name, key.get_ref());
                mistakes.add(&lines.place(key.span()), text);
                continue;
            };
            let value = match (value.get_ref(), default.starts_with('"')) {
                (DeValue::String(text), true) => text.to_string(),
                (DeValue::Integer(number), false) => number.as_str().replace('_', ""),
                (_, is_text) => {
                    let wanted = if is_text { "a text in quotes" } else { "a whole number" };
                    mistakes.add(&place, format!("{name} must be {wanted}"));
                    continue;
                }
            };
            let is_path = self.paths.contains(name) && !value.is_empty();
            let value = match path.parent().filter(|_| is_path) {
                Some(folder) => folder.join(value).display().to_string(),
                None => value,
            };
            typed.insert(name, Given::new(value, place));
        }
    }
}
