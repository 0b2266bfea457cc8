//! The view: what a steward must know of its server, from one round trip over a connection that stays.
//!
//! It is not the watcher's: that one looks with another account and at its own times, and what a deed has changed must be
//! seen before the next one is chosen.

use super::process::Identity;
use super::{Hands, LOOK, Source, ask, cells, fitness, set};
use crate::client::{AsyncClient, ClientError, Outcome, Reply, Rows};
use crate::monitor::facts::Receiver;
use std::time::Duration;
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub uuid: String,
    pub read_only: bool,
    /// Nobody at all may write but replication. Not so while it is being set: the variable says ON as soon as somebody
    /// begins to set it, while commits still go through (seen with 9.7), and OFF again if that is given up.
    pub super_read_only: bool,
    /// A restart comes up read-only and replicates from nobody.
    pub is_persisted: bool,
    pub executed: GtidSet,
    pub channels: Vec<Channel>,
    pub semi_sync: SemiSync,
    pub group: OwnGroup,
    /// What keeps it from being managed wholly.
    pub missing: Vec<String>,
}

/// The server's place in its replication group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnGroup {
    /// It has none.
    #[default]
    No,
    /// It has one, and is not in it.
    Left,
    /// It is in one, which elects its primary itself: the uuid of that.
    In { primary: String },
}

/// A source, as the server has been told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Empty before the first connection.
    pub source_uuid: String,
    pub receiver: Receiver,
    pub applier_runs: bool,
    pub received: GtidSet,
    pub last_error: String,
    /// Its source no longer has the binary logs that it would need.
    pub is_purged: bool,
}

/// What is enabled; None: the plugin is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemiSync {
    pub source: Option<bool>,
    pub replica: Option<bool>,
}

impl View {
    /// All that any source has sent, executed or not.
    pub fn received(&self) -> GtidSet {
        let mut all = GtidSet::new();
        self.channels.iter().for_each(|channel| all.merge(&channel.received));
        all
    }

    /// Received and not yet executed.
    pub fn backlog(&self) -> GtidSet {
        let mut left = self.received();
        left.subtract(&self.executed);
        left
    }

    pub fn is_receiving(&self) -> bool {
        self.channels.iter().any(|channel| channel.receiver != Receiver::Stopped)
    }

    pub(super) fn read(reply: Reply) -> Result<View, ClientError> {
        let mut results = reply.outcomes.into_iter();
        let mut next = || match results.next() {
            Some(Outcome::Rows(rows)) => Ok(rows),
            Some(Outcome::Err(error)) => Err(error.into()),
            Some(Outcome::Ok(_)) | None => {
                Err(ClientError::Shape("the server gave fewer results than it was asked for"))
            }
        };
        // What was received is asked for first: what has been executed by then is in the later answer.
        let channels = next()?;
        let channels = (0..channels.rows.len()).map(|row| Channel::read(&channels, row)).collect::<Result<_, _>>()?;
        let basics = next()?;
        let is_on = |at: usize| matches!(text(&basics, 0, at).as_str(), "1" | "ON");
        let mut view = View {
            uuid: text(&basics, 0, 0),
            read_only: is_on(1),
            super_read_only: is_on(2) && !is_on(6),
            executed: set(&text(&basics, 0, 3))?,
            channels,
            is_persisted: is_on(4),
            group: match (text(&basics, 0, 7).as_str(), is_on(5)) {
                ("", _) => OwnGroup::No,
                (_, true) => OwnGroup::In { primary: text(&basics, 0, 8) },
                (_, false) => OwnGroup::Left,
            },
            ..View::default()
        };
        let plugins = next()?;
        for row in 0..plugins.rows.len() {
            let enabled = Some(text(&plugins, row, 1) == "ON");
            match text(&plugins, row, 0).to_ascii_lowercase().as_str() {
                "rpl_semi_sync_source_enabled" => view.semi_sync.source = enabled,
                "rpl_semi_sync_replica_enabled" => view.semi_sync.replica = enabled,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl Channel {
    /// Whether this is the channel from that server, wherever it was reached. A uuid is known after the first connection.
    pub fn is_from(&self, source: &Source) -> bool {
        match self.source_uuid.is_empty() || source.uuid.is_empty() {
            true => self.host == source.host && self.port == source.port,
            false => self.source_uuid == source.uuid,
        }
    }

    fn read(status: &Rows, row: usize) -> Result<Channel, ClientError> {
        let text = |name: &str| status.text(row, name).unwrap_or_default();
        let errors = ["Last_SQL_Error", "Last_IO_Error"].map(text);
        Ok(Channel {
            name: text("Channel_Name"),
            host: text("Source_Host"),
            port: text("Source_Port").parse().unwrap_or(0),
            source_uuid: text("Source_UUID"),
            receiver: match text("Replica_IO_Running").as_str() {
                "Yes" => Receiver::Connected,
                "Connecting" | "Preparing" => Receiver::Connecting,
                _ => Receiver::Stopped,
            },
            applier_runs: text("Replica_SQL_Running") == "Yes",
            received: set(&text("Retrieved_Gtid_Set"))?,
            last_error: errors.into_iter().find(|error| !error.is_empty()).unwrap_or_default(),
            is_purged: PURGED.contains(&text("Last_IO_Errno").as_str()),
        })
    }
}

/// The connection that looks.
pub struct Look {
    client: AsyncClient,
    missing: Vec<String>,
}

impl Hands {
    /// Connects, and learns what changes only with a restart.
    pub async fn open(&self) -> Result<Look, ClientError> {
        let mut client = self.connect(LOOK).await?;
        let missing = fitness::missing(&mut client, &self.options.user).await?;
        let reply = ask(&mut client, "SELECT @@GLOBAL.pid_file; SELECT @@GLOBAL.datadir").await?;
        let [pid_file, folder] = <[String; 2]>::try_from(cells(&reply)).unwrap_or_default();
        let identity = Identity::prove(&self.server, &std::path::Path::new(&folder).join(pid_file)).await;
        if let Err(why) = &identity {
            tracing::debug!(event = "server_process_unknown", "{why}");
        }
        self.remember(identity.ok());
        Ok(Look { client, missing })
    }
}

impl Look {
    pub async fn view(&mut self, limit: Duration) -> Result<View, ClientError> {
        let view = View::read(self.client.query_within(limit, QUESTION).await?.success()?)?;
        Ok(View { missing: self.missing.clone(), ..view })
    }
}

/// A cell as text; NULL and cells that are not there are empty.
pub(super) fn text(rows: &Rows, row: usize, column: usize) -> String {
    rows.rows.get(row).and_then(|row| row.get(column)).and_then(|value| value.as_text()).unwrap_or_default()
}

pub(super) const QUESTION: &str = "SHOW REPLICA STATUS; \
     SELECT @@GLOBAL.server_uuid, @@GLOBAL.read_only, @@GLOBAL.super_read_only, @@GLOBAL.gtid_executed, \
       (SELECT COUNT(*)=2 FROM performance_schema.persisted_variables \
          WHERE VARIABLE_NAME IN ('super_read_only','skip_replica_start') AND VARIABLE_VALUE='ON'), \
       (SELECT COUNT(*)>0 FROM performance_schema.replication_group_members \
          WHERE MEMBER_ID=@@GLOBAL.server_uuid AND MEMBER_STATE<>'OFFLINE'), \
       (SELECT COUNT(*)>0 FROM performance_schema.threads \
          WHERE PROCESSLIST_STATE IN ('Waiting for global read lock','Waiting for commit lock') \
            AND PROCESSLIST_INFO LIKE '%read_only%'), \
       (SELECT (SELECT VARIABLE_VALUE FROM performance_schema.global_variables \
           WHERE VARIABLE_NAME='group_replication_group_name') \
          FROM performance_schema.replication_group_members LIMIT 1), \
       (SELECT GROUP_CONCAT(MEMBER_ID) FROM performance_schema.replication_group_members WHERE MEMBER_ROLE='PRIMARY'); \
     SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables \
       WHERE VARIABLE_NAME IN ('rpl_semi_sync_source_enabled','rpl_semi_sync_replica_enabled')";

/// `ER_SERVER_SOURCE_FATAL_ERROR_READING_BINLOG`, and its name of before 8.0 on the wire.
const PURGED: [&str; 2] = ["13114", "1236"];
