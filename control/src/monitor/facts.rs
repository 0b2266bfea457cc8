//! Facts: what one look at a backend has brought, as the server says it.

use super::dialect::{self, Dialect, version_number};
use super::fault::Fault;
use super::group::{Group, Place};
use super::standing::Standing;
use super::vitals::Vitals;
use crate::client::{ClientError, Outcome, Reply, Rows, ServerError, Session};
use std::sync::Arc;
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// As in the handshake.
    pub version: String,
    pub version_number: u32,
    /// Number of the server's default collation.
    pub charset: u8,
    pub native_password: bool,
    /// `read_only` or `super_read_only`.
    pub read_only: bool,
    pub server_uuid: String,
    pub executed: Arc<GtidSet>,
    /// What it replicates from; Err: the server does not tell us.
    pub channels: Result<Vec<Channel>, ServerError>,
    /// Of its replication group, if it has one.
    pub group: Option<Group>,
    /// Age of the oldest transaction being applied, by its commit on the source.
    pub applying_ms: Option<u64>,
    /// Age of the newest transaction received.
    pub received_ms: Option<u64>,
    /// Taken once a second, so up to that much older than the rest.
    pub vitals: Vitals,
    /// By the agent's memory: serving, restarted or wiped.
    pub standing: Standing,
    /// Transactions that a wiped server once had and has not.
    pub lost: u64,
    /// Restarts that its agent has seen.
    pub restarts: u64,
}

/// One source of replication.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub name: String,
    /// Its source's `server_uuid`; empty before the first connection.
    pub source_uuid: String,
    pub receiver: Receiver,
    pub applier_runs: bool,
    pub received: GtidSet,
    pub seconds_behind: Option<u64>,
    /// Of receiver or applier; empty when all is well.
    pub last_error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    Connected,
    Connecting,
    Stopped,
}

impl Facts {
    /// From the reply to [`Dialect::look`].
    pub fn read(dialect: Dialect, session: &Session, reply: Reply) -> Result<Facts, Fault> {
        let mut results = reply.outcomes.into_iter();
        let basics = rows(results.next()).map_err(Fault::of)?;
        let cell = |at: usize| basics.rows.first().and_then(|row| row.get(at)).and_then(|value| value.as_text());
        let is_on = |at: usize| cell(at).is_some_and(|value| value != "0");
        let executed = dialect.executed(&cell(2).unwrap_or_default(), cell(4).as_deref());
        let executed = executed.map_err(|error| Fault::of(error.into()))?;
        let mut facts = Facts {
            version: session.version.clone(),
            version_number: version_number(&session.version),
            charset: session.charset,
            native_password: false,
            read_only: is_on(0) || is_on(1),
            server_uuid: cell(3).unwrap_or_default(),
            executed: Arc::new(executed),
            channels: Ok(Vec::new()),
            group: None,
            applying_ms: None,
            received_ms: None,
            vitals: Vitals::default(),
            standing: Standing::Serving,
            lost: 0,
            restarts: 0,
        };
        let plugins = rows(results.next()).map_err(Fault::of)?;
        facts.native_password = plugins.rows.first().is_some_and(|row| row[0].as_text().as_deref() != Some("0"));
        facts.channels = match rows(results.next()) {
            Ok(status) => Ok(channels(dialect, &status)),
            Err(ClientError::Server(error)) => Err(error),
            Err(error) => return Err(Fault::of(error)),
        };
        if dialect == Dialect::Replica {
            facts.read_performance_schema(results);
        }
        Ok(facts)
    }

    /// Without the privilege these stay unknown, and `Seconds_Behind_Source` has to do.
    fn read_performance_schema(&mut self, mut results: impl Iterator<Item = Outcome>) {
        if let Ok(members) = rows(results.next()) {
            self.group = Group::read(&members, &self.server_uuid);
        }
        if let Ok(ages) = rows(results.next())
            && let Some(row) = ages.rows.first()
        {
            // Clocks that disagree make ages below zero.
            let age = |at: usize| {
                let text = row.get(at).and_then(|value| value.as_text())?;
                text.parse::<i64>().ok().map(|age| age.max(0) as u64)
            };
            (self.applying_ms, self.received_ms) = (age(0), age(1));
        }
    }

    /// Whose transactions will come next, as far as this server tells: its source's, or its own.
    pub fn next_source(&self) -> Option<[u8; 16]> {
        let group = self.group.as_ref().filter(|group| group.place != Place::Offline).map(|group| group.name.as_str());
        let channel = self.channels.iter().flatten().next().filter(|_| self.is_replicating());
        let uuid = channel.map(|channel| channel.source_uuid.as_str()).filter(|uuid| !uuid.is_empty());
        let first = format!("{}:1", group.or(uuid).unwrap_or(&self.server_uuid));
        GtidSet::parse(first.as_bytes()).ok()?.iter().next().map(|(sid, ..)| sid.uuid)
    }

    /// Received and not yet executed.
    pub fn lag_transactions(&self) -> u64 {
        let mut missing = GtidSet::new();
        for channel in self.channels.iter().flatten() {
            missing.merge(&channel.received);
        }
        if let Some(group) = &self.group {
            missing.merge(&group.received);
        }
        missing.subtract(&self.executed);
        missing.count()
    }

    /// From a source, or as a secondary of a group.
    pub fn is_replicating(&self) -> bool {
        if self.group.as_ref().is_some_and(|group| matches!(group.place, Place::Secondary | Place::Recovering)) {
            return true;
        }
        let runs = |channel: &Channel| channel.receiver != Receiver::Stopped || channel.applier_runs;
        self.channels.as_ref().is_ok_and(|channels| channels.iter().any(runs))
    }
}

/// The next result's rows. A result that is missing follows an error that was told already.
fn rows(outcome: Option<Outcome>) -> Result<Rows, ClientError> {
    match outcome {
        Some(Outcome::Rows(rows)) => Ok(rows),
        Some(Outcome::Err(error)) => Err(error.into()),
        Some(Outcome::Ok(_)) | None => Err(ClientError::Shape("the server gave fewer results than it was asked for")),
    }
}

fn channels(dialect: Dialect, status: &Rows) -> Vec<Channel> {
    (0..status.rows.len()).map(|row| channel(dialect, status, row)).collect()
}

fn channel(dialect: Dialect, status: &Rows, row: usize) -> Channel {
    // New words first, then those of before 8.0.22 and of MariaDB.
    let text = |names: [&str; 2]| names.iter().find_map(|name| status.text(row, name)).unwrap_or_default();
    let receiver = match text(["Replica_IO_Running", "Slave_IO_Running"]).as_str() {
        "Yes" => Receiver::Connected,
        "Connecting" | "Preparing" => Receiver::Connecting,
        _ => Receiver::Stopped,
    };
    let received = text(["Retrieved_Gtid_Set", "Gtid_IO_Pos"]);
    let errors = ["Last_SQL_Error", "Last_IO_Error"].map(|name| text([name, name]));
    Channel {
        name: text(["Channel_Name", "Connection_name"]),
        source_uuid: match dialect {
            Dialect::MariaDb => dialect::uuid_of(&text(["Master_Server_Id", "Master_Server_Id"])),
            Dialect::Replica | Dialect::Slave => text(["Source_UUID", "Master_UUID"]),
        },
        receiver,
        applier_runs: text(["Replica_SQL_Running", "Slave_SQL_Running"]) == "Yes",
        received: GtidSet::parse(received.as_bytes()).unwrap_or_default(),
        seconds_behind: text(["Seconds_Behind_Source", "Seconds_Behind_Master"]).parse().ok(),
        last_error: errors.into_iter().find(|error| !error.is_empty()).unwrap_or_default(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Of a server that says nothing remarkable: writable, without sources.
    pub fn facts() -> Facts {
        Facts {
            version: String::new(),
            version_number: 0,
            charset: 255,
            native_password: false,
            read_only: false,
            server_uuid: String::new(),
            executed: Arc::default(),
            channels: Ok(Vec::new()),
            group: None,
            applying_ms: None,
            received_ms: None,
            vitals: Vitals::default(),
            standing: Standing::Serving,
            lost: 0,
            restarts: 0,
        }
    }

    #[test]
    fn the_delay_in_transactions_is_what_was_received_and_not_executed() {
        const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";
        let channel = |received: &str| Channel {
            name: String::new(),
            source_uuid: A.to_string(),
            receiver: Receiver::Connected,
            applier_runs: true,
            received: GtidSet::parse(received.as_bytes()).unwrap(),
            seconds_behind: None,
            last_error: String::new(),
        };
        let executed = Arc::new(GtidSet::parse(format!("{A}:1-6").as_bytes()).unwrap());
        let channels = vec![channel(&format!("{A}:1-9")), channel(&format!("{A}:8-12"))];
        let replica = Facts { channels: Ok(channels), executed, ..facts() };
        assert_eq!((replica.lag_transactions(), facts().lag_transactions()), (6, 0));
        let source = GtidSet::parse(format!("{A}:1").as_bytes()).unwrap().iter().next().map(|(sid, ..)| sid.uuid);
        assert_eq!((replica.next_source(), facts().next_source()), (source, None));
    }
}
