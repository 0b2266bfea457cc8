//! `Register`: one thing that has a version, and the statements that raise and read it.
//!
//! ```text
//! reg (id, v)         Own: one session writes it    Shared: everybody does    Pair: two rows, one transaction
//! entries (owner, n)  Log: a row more for each version
//! carried (id, v)     not a register: what follows a token from gate to gate
//! who (id, node)      one row, with another number on every node: a read tells who answered it
//! ```
//! Invariant: a register's version starts at 0 and every write that takes effect makes it larger.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// Written by the session with this number alone, so that the version which each of its writes makes is known.
    Own(usize),
    Shared(usize),
    Pair(usize),
    /// Rows that the session with this number inserts.
    Log(usize),
}

/// How many there are of each kind; their order is the order of their indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub sessions: usize,
    pub shared: usize,
    pub pairs: usize,
}

impl Layout {
    pub fn count(self) -> usize {
        2 * self.sessions + self.shared + self.pairs
    }

    pub fn index(self, register: Register) -> usize {
        match register {
            Register::Own(number) => number,
            Register::Log(number) => self.sessions + number,
            Register::Shared(number) => 2 * self.sessions + number,
            Register::Pair(number) => 2 * self.sessions + self.shared + number,
        }
    }

    /// # Panics
    /// If there is no such register: a mistake of the caller's.
    pub fn register(self, index: usize) -> Register {
        assert!(index < self.count(), "register {index}");
        let (sessions, shared) = (self.sessions, self.shared);
        match index {
            _ if index < sessions => Register::Own(index),
            _ if index < 2 * sessions => Register::Log(index - sessions),
            _ if index < 2 * sessions + shared => Register::Shared(index - 2 * sessions),
            _ => Register::Pair(index - 2 * sessions - shared),
        }
    }

    /// Tables and rows, at version 0, for the primary.
    pub fn setup(self) -> Vec<String> {
        let all = (0..self.count()).map(|index| self.register(index));
        let (mut rows, mut owners) = (Vec::new(), Vec::new());
        for register in all {
            match register {
                Register::Log(owner) => owners.push(format!("({owner}, 0)")),
                _ => rows.extend(register.ids().map(|id| format!("({id}, 0)"))),
            }
        }
        vec![
            format!("DROP DATABASE IF EXISTS {SCHEMA}"),
            format!("CREATE DATABASE {SCHEMA}"),
            format!("CREATE TABLE {SCHEMA}.reg (id INT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)"),
            format!("CREATE TABLE {SCHEMA}.entries (owner INT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (owner, n))"),
            format!("CREATE TABLE {SCHEMA}.who (id INT NOT NULL PRIMARY KEY, node INT NOT NULL)"),
            format!("CREATE TABLE {SCHEMA}.carried (id INT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)"),
            format!("INSERT INTO {SCHEMA}.who VALUES (1, 0)"),
            format!("INSERT INTO {SCHEMA}.carried VALUES (1, 0)"),
            format!("INSERT INTO {SCHEMA}.reg VALUES {}", rows.join(", ")),
            format!("INSERT INTO {SCHEMA}.entries VALUES {}", owners.join(", ")),
        ]
    }
}

impl Register {
    /// The read, as a text: rows of version and node.
    pub fn read(self) -> String {
        match self {
            Self::Log(owner) => {
                format!("SELECT (SELECT MAX(n) FROM entries WHERE owner={owner}), w.node FROM who w WHERE w.id=1")
            }
            Self::Pair(_) => {
                let ids: Vec<String> = self.ids().map(|id| id.to_string()).collect();
                format!("SELECT r.v, w.node FROM reg r, who w WHERE r.id IN ({}) AND w.id=1", ids.join(", "))
            }
            Self::Own(_) | Self::Shared(_) => {
                let id = self.id();
                format!("SELECT r.v, w.node FROM reg r, who w WHERE r.id={id} AND w.id=1")
            }
        }
    }

    /// Rows that a read has.
    pub fn rows(self) -> usize {
        if matches!(self, Self::Pair(_)) { 2 } else { 1 }
    }

    /// The statements of a write that makes this version; the last one's OK acknowledges it. Pairs are always written
    /// in the same order, so that no two transactions wait for each other.
    pub fn write(self, version: u64) -> Vec<String> {
        let raise = |id: u32| format!("UPDATE reg SET v=v+1 WHERE id={id}");
        match self {
            Self::Log(owner) => vec![format!("INSERT INTO entries VALUES ({owner}, {version})")],
            Self::Own(_) | Self::Shared(_) => vec![raise(self.id())],
            Self::Pair(_) => {
                let raises = self.ids().map(raise);
                std::iter::once("BEGIN".to_owned()).chain(raises).chain(["COMMIT".to_owned()]).collect()
            }
        }
    }

    /// Its row in `reg`; of a pair the first one. A log has none.
    pub fn id(self) -> u32 {
        let (base, number) = match self {
            Self::Own(number) | Self::Log(number) => (1, number),
            Self::Shared(number) => (100_001, number),
            Self::Pair(number) => (200_001, 2 * number),
        };
        base + number as u32
    }

    fn ids(self) -> impl Iterator<Item = u32> {
        self.id()..self.id() + self.rows() as u32
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(number) => write!(f, "own {number}"),
            Self::Shared(number) => write!(f, "shared {number}"),
            Self::Pair(number) => write!(f, "pair {number}"),
            Self::Log(number) => write!(f, "log {number}"),
        }
    }
}

/// What a session prepares once to read any row of `reg`.
pub const PREPARED_READ: &str = "SELECT r.v, w.node FROM reg r, who w WHERE r.id=? AND w.id=1";

pub const SCHEMA: &str = "weir_check";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_and_registers_are_one_to_one() {
        let layout = Layout { sessions: 3, shared: 2, pairs: 2 };
        let mut ids = Vec::new();
        for index in 0..layout.count() {
            let register = layout.register(index);
            assert_eq!(layout.index(register), index);
            if !matches!(register, Register::Log(_)) {
                ids.extend(register.ids());
            }
        }
        assert_eq!(ids.len(), 3 + 2 + 4);
        ids.dedup();
        assert_eq!(ids.len(), 9, "{ids:?}");
        assert_eq!(layout.setup().len(), 10);
    }

    #[test]
    fn statements() {
        assert_eq!(Register::Log(4).write(7), ["INSERT INTO entries VALUES (4, 7)"]);
        let pair = Register::Pair(1).write(1);
        let (first, second) =
            ("UPDATE reg SET v=v+1 WHERE id=200003".to_owned(), "UPDATE reg SET v=v+1 WHERE id=200004".to_owned());
        assert_eq!(pair, ["BEGIN".to_owned(), first, second, "COMMIT".to_owned()]);
        assert!(Register::Pair(1).read().contains("IN (200003, 200004)"));
        assert!(Register::Own(1).read().contains("r.id=2 AND"));
    }
}
