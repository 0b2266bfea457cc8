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
