//! The noise: a second session of the same account that changes everything a shared connection may remember.
//!
//! Invariant: it never waits longer than `wait` for a connection, since the tested session may rightly have
//! pinned every one, and between two turns it pins nothing: a turn that got a connection goes on to its end.
//! What it does follows from where it began, so that a failing run can be repeated.

use std::io;
use std::time::Duration;

use weir_net::command::Command;

use super::bind;
use super::limits;
use super::reply::{self, Kind};
use super::wire::{Account, Address, Wire};

/// The database that it works in.
pub const DATABASE: &str = "weir_noise";

/// What `DATABASE` is made by.
pub const SETUP: [&str; 4] = [
    "CREATE DATABASE IF NOT EXISTS weir_noise",
    "CREATE DATABASE IF NOT EXISTS weir_noise_2",
    "CREATE TABLE IF NOT EXISTS weir_noise.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20)) AUTO_INCREMENT=7000001",
    "CREATE TABLE IF NOT EXISTS weir_noise_2.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20)) AUTO_INCREMENT=8000001",
];

pub struct Noise {
    address: Address,
    account: Account,
    /// How long it waits for a connection.
    pub wait: Duration,
    wire: Option<Wire>,
    is_waiting: bool,
    group: usize,
    /// Statements of the turn that have been sent, the `PROBE` among them.
    sent: usize,
    /// Statements that were answered.
    pub answered: usize,
}

impl Noise {
    /// `group` is where it begins, so that sessions hear different noise.
    pub fn new(address: Address, mut account: Account, group: usize) -> Noise {
        account.schema = Some(DATABASE.to_owned());
        Noise { address, account, wait: limits::NOISE_WAIT, wire: None, is_waiting: false, group, sent: 0, answered: 0 }
    }

    /// Makes noise once, if there is room for it. Its own errors are nobody's business: a gate may refuse it when
    /// all connections are pinned.
    pub fn turn(&mut self) {
        loop {
            if self.attempt().is_err() {
                self.wire = None;
                (self.is_waiting, self.sent) = (false, 0);
                return;
            }
            if self.is_waiting {
                return;
            }
            if self.sent > GROUPS[self.group % GROUPS.len()].len() {
                (self.group, self.sent) = (self.group + 1, 0);
                return;
            }
        }
    }

    fn attempt(&mut self) -> io::Result<()> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            None => self.wire.insert(Wire::login(&self.address, &self.account)?),
        };
        if !self.is_waiting {
            let statement = match self.sent.checked_sub(1) {
                None => PROBE,
                Some(at) => GROUPS[self.group % GROUPS.len()][at],
            };
            match statement {
                RESET => wire.command(&[Command::ResetConnection.to_byte()])?,
                sql => wire.command(&bind::query(&[], sql.as_bytes(), wire.capabilities))?,
            }
            self.sent += 1;
            self.is_waiting = true;
        }
        let is_probe = self.sent == 1;
        let wait = if is_probe { self.wait } else { limits::WIRE_WAIT };
        if wire.is_readable(wait)? {
            // A query's reply may also be the lone OK of a reset.
            reply::read(wire, Kind::Query, false, None)?;
            self.is_waiting = false;
            self.answered += 1;
        }
        Ok(())
    }
}

/// Begins every turn: it asks for a connection and keeps none, so it may be answered whenever one is free. What follows
/// must not wait long for a lock that the tested session has on everything: it holds the only other connection.
const PROBE: &str = "SET lock_wait_timeout=1";

/// Stands for `COM_RESET_CONNECTION`.
const RESET: &str = "";

/// One group is made in one turn. None leaves anything that pins: a second pin on two connections would stop the tested
/// session's other half for ever.
const GROUPS: [&[&str]; 13] = [
    &[
        "SET sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone='-11:00', lc_time_names='de_DE'",
        "INSERT INTO t (v) VALUES ('a'),('b'),('c')",
    ],
    &["SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1", "USE weir_noise_2"],
    &["INSERT INTO t (v) VALUES ('x')", "SELECT 'noise' + 1, 1/0, CAST('zz' AS SIGNED)"],
    &["SET NAMES latin1", "SELECT * FROM no_such_table"],
    &["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "UPDATE t SET v='y' WHERE id < 0"],
    &["SET autocommit=0", "SELECT COUNT(*) FROM t", "ROLLBACK", "SET autocommit=1"],
    &["USE weir_noise", "SET @a=99, @b='noise', @x=-1, @v=1234", "SELECT 7.5, 'n' INTO @c, @y"],
    &["CREATE TEMPORARY TABLE t (noise INT)", "DROP TEMPORARY TABLE t"],
    &["SELECT LAST_INSERT_ID(424242)", "SET NAMES utf8mb4 COLLATE utf8mb4_bin"],
    &["SET SESSION auto_increment_increment=7, sql_select_limit=1, group_concat_max_len=5, div_precision_increment=1"],
    &["SET insert_id=9000001, timestamp=1000", RESET, "SET sql_safe_updates=1, unique_checks=0, foreign_key_checks=0"],
    // Where the write fails for a lock, the gate can't know whether the next transaction is still to be read-only.
    &["SET TRANSACTION READ ONLY", "SELECT COUNT(*) FROM t", "DELETE FROM t WHERE id > 0 LIMIT 3", RESET],
    &["BEGIN", "INSERT INTO t (v) VALUES ('gone')", "ROLLBACK", RESET],
];
