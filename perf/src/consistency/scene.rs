//! `Scene`: the servers and the gates that a check uses, prepared.
//!
//! Invariant: nodes are asked directly, the primary first, with an account that may do everything. A node's number is
//! what its row of `who` says, and no write of replication changes that row.

use std::time::Duration;

use super::level::Level;
use super::register::{Layout, SCHEMA};
use crate::client::{Account, Client};
use crate::error::Fault;
use crate::limits::NODES_MAX;

#[derive(Clone, Debug)]
pub struct Scene {
    pub nodes: Vec<Account>,
    /// How each level that is checked is had, in the order of the check.
    pub ways: Vec<Way>,
}

/// How the sessions of a level get in.
#[derive(Clone, Debug)]
pub struct Way {
    pub level: Level,
    pub gates: Vec<Gate>,
    /// What each session says first: `SET SESSION …`, unless the gate is configured so.
    pub preamble: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Gate {
    /// The same gate has the same number in all ways.
    pub number: usize,
    pub account: Account,
    /// Its process, if what it costs is of interest.
    pub pid: Option<u32>,
}

impl Way {
    /// Each session says which level it wants, and how many seconds its reads may wait for a replica.
    pub fn by_session(level: Level, gates: Vec<Gate>, timeout: Option<f64>) -> Self {
        let timeout = timeout.map(|seconds| format!("SET read_after_write_timeout={seconds}"));
        let level_set = format!("SET SESSION read_after_write_consistency='{level}'");
        Self { level, gates, preamble: std::iter::once(level_set).chain(timeout).collect() }
    }
}

impl Scene {
    pub fn gates(&self) -> usize {
        let numbers = self.ways.iter().flat_map(|way| &way.gates).map(|gate| gate.number + 1);
        numbers.max().unwrap_or(0)
    }

    /// A direct session on a node.
    pub fn node(&self, number: usize) -> Result<Client, Fault> {
        let account = self.nodes.get(number);
        Client::connect(account.ok_or_else(|| Fault::Usage(format!("there is no node {number}")))?)
    }

    pub fn replicas(&self) -> std::ops::Range<usize> {
        1..self.nodes.len()
    }

    /// Makes the tables, and a large one aside for slow changes of schema.
    pub fn prepare(&self, layout: Layout, side_rows: u64) -> Result<(), Fault> {
        if self.nodes.len() < 2 || self.nodes.len() > NODES_MAX {
            return Err(Fault::Usage(format!("a check needs 2 to {NODES_MAX} nodes")));
        }
        // The schema may not be there yet.
        let mut primary = Client::connect(&Account { schema: None, ..self.nodes[0].clone() })?;
        for statement in layout.setup() {
            primary.query(&statement)?;
        }
        self.fill_side(&mut primary, side_rows)?;
        self.wait_until_caught_up()?;
        for number in self.replicas() {
            let mut replica = self.node(number)?;
            for statement in [
                "SET GLOBAL super_read_only=OFF",
                "SET sql_log_bin=0",
                &format!("UPDATE {SCHEMA}.who SET node={number}"),
                "SET GLOBAL super_read_only=ON",
            ] {
                replica.query(statement)?;
            }
        }
        Ok(())
    }

    /// Waits until every replica shows what the primary has executed by now.
    pub fn wait_until_caught_up(&self) -> Result<(), Fault> {
        let executed = self.node(0)?.query("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')")?;
        let executed = executed.into_iter().flatten().flatten().next().unwrap_or_default();
        for number in self.replicas() {
            let mut replica = self.node(number)?;
            let wait = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', {})", CATCH_UP_WAIT.as_secs());
            let answer = replica.query(&wait)?;
            if answer.into_iter().flatten().flatten().next().as_deref() != Some("0") {
                return Err(Fault::Program(format!("node {number} does not catch up")));
            }
        }
        Ok(())
    }

    fn fill_side(&self, primary: &mut Client, rows: u64) -> Result<(), Fault> {
        primary.query(&format!("USE {SCHEMA}"))?;
        primary.query("CREATE TABLE side (id INT AUTO_INCREMENT PRIMARY KEY, pad CHAR(200) NOT NULL)")?;
        primary.query("INSERT INTO side (pad) VALUES (REPEAT('x', 200))")?;
        let mut count = 1;
        while count < rows {
            let more = count.min(rows - count);
            primary.query(&format!("INSERT INTO side (pad) SELECT pad FROM side LIMIT {more}"))?;
            count += more;
        }
        Ok(())
    }
}

/// Below what a blocking client waits for one reply.
const CATCH_UP_WAIT: Duration = Duration::from_secs(50);
