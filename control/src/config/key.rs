//! One key of the configuration file: where it stands, what it says, and how it is read and written.

use crate::config::Config;

pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// Comment in the printed file. Sentences.
    pub doc: &'static str,
    pub kind: Kind,
}

pub enum Kind {
    Number {
        min: u64,
        max: u64,
        read: fn(&Config) -> u64,
        write: fn(&mut Config, u64),
    },
    Switch {
        read: fn(&Config) -> bool,
        write: fn(&mut Config, bool),
    },
    Word {
        words: &'static [&'static str],
        read: fn(&Config) -> &'static str,
        write: fn(&mut Config, &str),
    },
    /// A name of somebody's choice; empty for none.
    Name {
        read: fn(&Config) -> &str,
        write: fn(&mut Config, &str),
    },
    Own,
}

// One row of the table, by what it says and which field of the configuration holds it.

macro_rules! number {
    ($section:literal, $name:literal, $min:expr, $max:expr, $($field:ident).+ : $int:ty, $doc:literal) => {
        Key {
            section: $section,
            name: $name,
            doc: $doc,
            kind: Kind::Number {
                min: $min,
                max: $max,
                read: |config| config.$($field).+ as u64,
                write: |config, value| config.$($field).+ = value as $int,
            },
        }
    };
}

macro_rules! switch {
    ($section:literal, $name:literal, $($field:ident).+, $doc:literal) => {
        Key {
            section: $section,
            name: $name,
            doc: $doc,
            kind: Kind::Switch {
                read: |config| config.$($field).+,
                write: |config, value| config.$($field).+ = value,
            },
        }
    };
}

macro_rules! name {
    ($section:literal, $name:literal, $($field:ident).+, $doc:literal) => {
        Key {
            section: $section,
            name: $name,
            doc: $doc,
            kind: Kind::Name {
                read: |config| &config.$($field).+,
                write: |config, name| config.$($field).+ = name.to_string(),
            },
        }
    };
}

macro_rules! own {
    ($section:literal, $name:literal, $doc:literal) => {
        Key { section: $section, name: $name, doc: $doc, kind: Kind::Own }
    };
}

pub(super) use {name, number, own, switch};
