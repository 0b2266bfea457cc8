//! A replication group of the nodes of a cluster, in single-primary mode.
//!
//! Invariant: when it is formed, all members are online and node 0 is the primary. A server that is started again does not join by
//! itself: the test says when.

use super::cluster::each;
use super::ports::{self, Port};
use super::template::REPLICATION;
use super::{LabError, Server, limits};
use std::fmt::Write as _;
use std::thread;
use std::time::Instant;

/// Where the members hear each other.
#[derive(Debug)]
pub struct Membership {
    /// Kept while the servers start, so that nobody else takes them.
    ports: Vec<Port>,
}

impl Membership {
    pub fn new(members: usize) -> Result<Membership, LabError> {
        Ok(Membership { ports: ports::free(members)? })
    }

    /// Lines for one member's `my.cnf`.
    pub fn extra_cnf(&self, node: usize) -> String {
        let address = |port: &Port| format!("127.0.0.1:{}", port.number());
        let seeds: Vec<String> = self.ports.iter().map(address).collect();
        let own = seeds.get(node).cloned().unwrap_or_default();
        let mut text = String::from("plugin-load-add=group_replication.so\n");
        for (name, value) in [
            ("group-name", NAME),
            ("start-on-boot", "OFF"),
            ("local-address", &own),
            ("group-seeds", &seeds.join(",")),
            ("recovery-get-public-key", "ON"),
            ("member-expel-timeout", "0"),
            ("unreachable-majority-timeout", "10"),
            // A server that left stays there for tests to ask.
            ("exit-state-action", "READ_ONLY"),
            ("consistency", "BEFORE_ON_PRIMARY_FAILOVER"),
        ] {
            let _ = writeln!(text, "loose-group-replication-{name}={value}");
        }
        text
    }
}

pub(super) fn form(nodes: &[Server]) -> Result<(), LabError> {
    let (user, password) = REPLICATION;
    each(nodes.iter(), |node| {
        node.sql(&format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_USER='{user}', SOURCE_PASSWORD='{password}' \
             FOR CHANNEL 'group_replication_recovery'"
        ))
        .map(drop)
    })?;
    let Some((first, others)) = nodes.split_first() else { return Ok(()) };
    first.sql(
        "SET GLOBAL group_replication_bootstrap_group=ON; START GROUP_REPLICATION; \
         SET GLOBAL group_replication_bootstrap_group=OFF",
    )?;
    // One after the other: each joins the members that are there.
    others.iter().try_for_each(join)
}

pub(super) fn join(node: &Server) -> Result<(), LabError> {
    let deadline = Instant::now() + limits::GROUP_WAIT;
    let look = "SELECT COALESCE(MAX(MEMBER_STATE), '') FROM performance_schema.replication_group_members \
                WHERE MEMBER_ID=@@GLOBAL.server_uuid";
    loop {
        // While the group still has its former self as a member, it is refused.
        let refused = node.sql("STOP GROUP_REPLICATION; START GROUP_REPLICATION").err();
        loop {
            let state = node.sql(look)?.into_iter().flatten().next().unwrap_or_default();
            match state.as_str() {
                "ONLINE" => return Ok(()),
                "RECOVERING" if Instant::now() < deadline => thread::sleep(limits::LOOK_PAUSE),
                _ => break,
            }
        }
        if Instant::now() >= deadline {
            let why = refused.map_or(String::new(), |error| error.to_string());
            let what = format!("The server at {} did not join its group: {why}", node.address());
            return Err(LabError::Server { what, log: node.error_log(), lines: node.last_log_lines() });
        }
        thread::sleep(limits::GROUP_PAUSE);
    }
}

/// The group's, and that of its transactions.
pub const NAME: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
