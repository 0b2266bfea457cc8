//! `Part`: a partition, between whom and which way nothing passes.
//!
//! Its name is `part:primary/gate` when it is cut in both directions, and `part:primary>gate` when what the first one sends
//! is lost and what the other one sends arrives.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub from: Party,
    pub to: Party,
    pub is_one_way: bool,
}

/// Hosts, by what is on them when the partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Primary,
    /// All of them.
    Replicas,
    /// The first one.
    OneReplica,
    Controller,
    /// Replicas and controller: all but the gate.
    Cluster,
    Gate,
}

const ALL: [(Party, &str); 6] = [
    (Party::Primary, "primary"),
    (Party::Replicas, "replicas"),
    (Party::OneReplica, "one-replica"),
    (Party::Controller, "controller"),
    (Party::Cluster, "cluster"),
    (Party::Gate, "gate"),
];

pub const PREFIX: &str = "part:";

impl Part {
    /// One side is the primary.
    pub fn is_of_primary(self) -> bool {
        self.from == Party::Primary || self.to == Party::Primary
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.is_one_way { '>' } else { '/' };
        write!(f, "{PREFIX}{}{between}{}", self.from, self.to)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(party, _)| party == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        let pair = text.strip_prefix(PREFIX).unwrap_or(text);
        let (from, to, is_one_way) = match (pair.split_once('/'), pair.split_once('>')) {
            (Some((from, to)), None) => (from, to, false),
            (None, Some((from, to))) => (from, to, true),
            _ => return Err(format!("{text} is no partition: part:A/B, or part:A>B for one direction")),
        };
        let (from, to): (Party, Party) = (from.parse()?, to.parse()?);
        // One replica of all replicas is cut off from the others.
        match from == to {
            true => Err(format!("{text}: nobody is cut off from itself")),
            false => Ok(Part { from, to, is_one_way }),
        }
    }
}

impl FromStr for Party {
    type Err = String;

    fn from_str(text: &str) -> Result<Party, String> {
        let found = ALL.iter().find(|(_, name)| *name == text).map(|(party, _)| *party);
        found.ok_or_else(|| format!("there is no party {text}: {}", ALL.map(|(_, name)| name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["part:primary/gate", "part:replicas>controller", "part:one-replica/replicas"] {
            assert_eq!(name.parse::<Part>().unwrap().to_string(), name);
        }
        for name in ["part:gate/gate", "part:gate", "part:gate/moon", "part:gate/primary>gate"] {
            assert!(name.parse::<Part>().is_err(), "{name}");
        }
    }
}
