//! Sessions: who is connected, and whom a fence cuts off.
//!
//! Cut off is everybody who could write or holds a lock: clients, events under way, operators' statements. Spared are the
//! server's own threads, replication's threads, the dumps that replicas read, and our own agents, who only look. An agent is
//! told by its account *and* its program name; the name alone anybody may give himself.

use super::view::text;
use super::{LOOK, WATCHER, ask};
use crate::client::{AsyncClient, ClientError, Rows};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRow {
    pub id: u64,
    pub user: String,
    pub command: String,
    pub state: String,
    /// The thread's instrument.
    pub thread: String,
    pub program: String,
    /// It sets `read_only` or `super_read_only`, and waits for others to end.
    pub is_setter: bool,
}

pub async fn list(client: &mut AsyncClient) -> Result<Vec<SessionRow>, ClientError> {
    let reply = ask(client, QUESTION).await?;
    let Some(rows) = reply.rows() else {
        return Err(ClientError::Shape("sessions were asked for, and there are none"));
    };
    Ok((0..rows.rows.len()).map(|row| SessionRow::read(rows, row)).collect())
}

/// Ends connections. Those that are gone already are none of our business; `spared` are those that we may not end, which
/// takes SYSTEM_USER.
pub async fn kill(client: &mut AsyncClient, ids: &[u64]) -> Result<Killed, ClientError> {
    let mut killed = Killed::default();
    let mut left = ids;
    while !left.is_empty() {
        let (batch, _) = left.split_at(left.len().min(BATCH));
        let text: Vec<String> = batch.iter().map(|id| format!("KILL {id}")).collect();
        let reply = client.query(&text.join(";")).await?;
        // An error ends the batch; the next one begins behind it.
        let done = reply.outcomes.len().clamp(1, batch.len());
        killed.count += done;
        match reply.error().map(|error| error.code) {
            None => {}
            Some(NO_SUCH_THREAD) => killed.count -= 1,
            Some(NOT_OWNER | ACCESS_DENIED | SPECIFIC_ACCESS_DENIED) => {
                killed.count -= 1;
                killed.spared.extend(batch.get(done - 1));
            }
            Some(_) => return Err(reply.success().err().unwrap_or(ClientError::Closed)),
        }
        left = &left[done..];
    }
    Ok(killed)
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Killed {
    pub count: usize,
    pub spared: Vec<u64>,
}

impl SessionRow {
    fn read(rows: &Rows, row: usize) -> SessionRow {
        let text = |column: usize| text(rows, row, column);
        let id = text(0).parse().unwrap_or(0);
        let (user, command, state, thread, program) = (text(1), text(2), text(3), text(4), text(5));
        let is_setter = text(6) == "1" && SETTERS_STATES.contains(&state.as_str());
        SessionRow { id, user, command, state, thread, program, is_setter }
    }

    /// Whether a fence ends it. `own_users`: the accounts of our agents.
    pub fn is_cut(&self, own_users: &[String]) -> bool {
        let is_agent = own_users.contains(&self.user) && [WATCHER, LOOK].contains(&self.program.as_str());
        let is_servers = SERVERS_USERS.contains(&self.user.as_str())
            || SERVERS_THREADS.iter().any(|thread| self.thread.starts_with(thread));
        let is_dump = self.command.starts_with("Binlog Dump");
        !(is_agent || is_servers || is_dump || self.command == "Daemon")
    }
}

const QUESTION: &str = "SELECT t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_COMMAND, t.PROCESSLIST_STATE, t.NAME, \
       (SELECT a.ATTR_VALUE FROM performance_schema.session_connect_attrs a \
          WHERE a.PROCESSLIST_ID=t.PROCESSLIST_ID AND a.ATTR_NAME='program_name' LIMIT 1), \
       t.PROCESSLIST_INFO LIKE '%read_only%' \
     FROM performance_schema.threads t WHERE t.PROCESSLIST_ID IS NOT NULL AND t.TYPE='FOREGROUND'";

/// It is first in line for these locks: nothing new begins to write.
const SETTERS_STATES: [&str; 2] = ["Waiting for global read lock", "Waiting for commit lock"];

const SERVERS_USERS: [&str; 2] = ["system user", "event_scheduler"];
const SERVERS_THREADS: [&str; 5] = [
    "thread/sql/replica_",
    "thread/sql/slave_",
    "thread/sql/event_scheduler",
    "thread/sql/compress_gtid_table",
    "thread/group_rpl/",
];

/// Statements in one packet.
const BATCH: usize = 500;

pub(super) const NO_SUCH_THREAD: u16 = 1094;
const NOT_OWNER: u16 = 1095;
const ACCESS_DENIED: u16 = 1045;
const SPECIFIC_ACCESS_DENIED: u16 = 1227;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off() {
        let own = ["adm".to_string(), "weir".to_string()];
        let check = |user: &str, command: &str, thread: &str, program: &str, expected: bool| {
            let row = SessionRow {
                user: user.to_string(),
                command: command.to_string(),
                thread: thread.to_string(),
                program: program.to_string(),
                ..SessionRow::default()
            };
            assert_eq!(row.is_cut(&own), expected, "{row:?}");
        };
        let client = "thread/sql/one_connection";
        check("app", "Sleep", client, "", true);
        check("root", "Query", client, "mysql", true);
        check("app", "Query", "thread/sql/event_worker", "", true);
        check("unauthenticated user", "Connect", client, "", true);
        check("weir", "Query", client, WATCHER, false);
        check("adm", "Query", client, LOOK, false);
        // A gate's agent finds its way back; an operator's statement may hold a lock; a stranger may call himself anything.
        check("weir", "Query", client, "weir-gate", true);
        check("adm", "Query", client, "weir-tablet-admin", true);
        check("app", "Query", client, WATCHER, true);
        check("repl", "Binlog Dump GTID", client, "mysqld", false);
        check("system user", "Connect", "thread/sql/replica_io", "", false);
        check("", "Query", "thread/sql/replica_worker", "", false);
        check("event_scheduler", "Daemon", "thread/sql/event_scheduler", "", false);
        check("", "Daemon", "thread/sql/compress_gtid_table", "", false);
    }
}
