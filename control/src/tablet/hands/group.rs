//! What is asked of the server's replication group.

use super::{Hands, Obstacle, WORK, ask, cells, quoted};
use crate::monitor::dialect::version_number;

impl Hands {
    /// Has the group make this server its primary. The group waits for what runs on the former one, but not for long: gates have
    /// ended theirs before.
    pub async fn elect(&self) -> Result<(), Obstacle> {
        let mut client = self.connect(WORK).await?;
        let uuid = cells(&ask(&mut client, "SELECT @@GLOBAL.server_uuid").await?).remove(0);
        let limit = match version_number(&client.session().version) {
            // The number of seconds after which connections that have something open are ended.
            version if version >= LIMITED_SINCE => format!(", {OPEN_S}"),
            _ => String::new(),
        };
        ask(&mut client, &format!("SELECT group_replication_set_as_primary({}{limit})", quoted(&uuid))).await?;
        Ok(())
    }
}

/// `running_transactions_timeout`
const LIMITED_SINCE: u32 = 80_029;

const OPEN_S: u32 = 1;
