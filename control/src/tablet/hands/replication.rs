//! Replication: a server stops receiving, applies what it has received, becomes the source, or follows another.
//!
//! MySQL's manual, "Replication Statements" and "Semisynchronous Replication".

use super::peer::NO_ACCOUNT;
use super::view::{Channel, SemiSync, View};
use super::{Hands, Obstacle, Source, WORK, ask, cells, quoted, sessions};
use crate::client::AsyncClient;
use crate::config::tablet::SemiSyncWish;
use crate::monitor::facts::Receiver;
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

/// How far the applier has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Transactions received and not yet executed.
    pub left: u64,
}

impl Hands {
    /// A restart comes up read-only and replicates from nobody, until the steward has read the record. Otherwise a primary
    /// that crashed would take writes again before anybody knows whether it still is the primary, and a replica would
    /// acknowledge to a source that is none any more.
    pub async fn persist_read_only(&self) -> Result<(), Obstacle> {
        let mut client = self.connect(WORK).await?;
        ask(&mut client, "SET PERSIST_ONLY super_read_only=ON, PERSIST_ONLY skip_replica_start=ON").await?;
        Ok(())
    }

    /// Receives nothing more, and so acknowledges nothing more, from whomever.
    pub async fn stop_receiving(&self) -> Result<(), Obstacle> {
        let mut client = self.connect(WORK).await?;
        ask(&mut client, "STOP REPLICA IO_THREAD").await?;
        Ok(())
    }

    /// Receives again from whom it knows.
    pub async fn start_receiving(&self) -> Result<(), Obstacle> {
        let mut client = self.connect(WORK).await?;
        ask(&mut client, "START REPLICA").await?;
        Ok(())
    }

    /// Waits until all that was received is executed, but no longer than so. Again and again it is the whole wait.
    pub async fn apply_received(&self, view: &View, wait: Duration) -> Result<Applied, Obstacle> {
        let mut client = self.connect(WORK).await?;
        if view.channels.iter().any(|channel| !channel.applier_runs) {
            ask(&mut client, "START REPLICA SQL_THREAD").await?;
        }
        let wanted = view.received();
        let limit = wait + self.options.timeout.unwrap_or(wait);
        let wait =
            format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {})", quoted(&wanted.to_string()), wait.as_secs_f64());
        client.query_within(limit, &wait).await?.success()?;
        let executed = executed(&mut client).await?;
        Ok(Applied { left: super::peer::extra(&wanted, &executed).count() })
    }

    /// Ends replication and, last of all, makes the server writable, if that happens before `until`. The statement that does
    /// so looks at the server's clock itself: one that was given up here, and is run by a server that hung, does nothing.
    pub async fn become_source(&self, wish: SemiSyncWish, until: Instant) -> Result<(), Obstacle> {
        let mut client = self.connect(WORK).await?;
        let view = self.view(&mut client).await?;
        if view.is_receiving() {
            return Err(Obstacle::NotYet("it still receives".to_string()));
        }
        if !view.channels.is_empty() {
            let left = stop_all(&mut client, self).await?;
            if !left.is_empty() {
                return Err(Obstacle::NotYet(format!("{} received transactions are not executed", left.count())));
            }
            for channel in &view.channels {
                let (host, port, name) = (&channel.host, channel.port, &channel.name);
                tracing::info!(
                    event = "replication_reset",
                    host,
                    port,
                    channel = name,
                    "it replicates from {host}:{port} no more"
                );
            }
            ask(&mut client, "RESET REPLICA ALL").await?;
        }
        let wanted = SemiSync::wanted(wish, Role::Source);
        apply_semi_sync(&mut client, view.semi_sync, wanted).await?;
        make_writable(&mut client, until).await
    }

    /// Replicates from this source, unless it has executed what that one has not. The server must be read-only.
    pub async fn follow(&self, source: &Source, wish: SemiSyncWish) -> Result<(), Obstacle> {
        let Some(account) = &self.replication else { return Err(Obstacle::Needs(NO_ACCOUNT.to_string())) };
        let mut client = self.connect(WORK).await?;
        let view = self.view(&mut client).await?;
        let channel = view.channels.first();
        let follows = channel.is_some_and(|channel| channel.is_from(source));
        if !follows {
            // What was received of another source and not executed is fetched from this one.
            if view.channels.iter().any(|channel| channel.applier_runs) {
                stop_appliers(&mut client).await?;
            }
            // Only now it is final what this server has executed.
            let view = self.view(&mut client).await?;
            let peer = self.judge(source, &view).await?;
            let tls = if peer.has_tls { "SOURCE_SSL=1" } else { "SOURCE_SSL=0" };
            let (host, port) = (quoted(&source.host), source.port);
            let (user, password) =
                (quoted(&account.user), String::from_utf8_lossy(account.password.as_bytes()).into_owned());
            let name = quoted(channel.map_or("", |channel| &channel.name));
            let change = format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={port}, SOURCE_USER={user}, \
                 SOURCE_PASSWORD={}, SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY={CONNECT_RETRY_S}, \
                 SOURCE_RETRY_COUNT={RETRIES}, SOURCE_HEARTBEAT_PERIOD={HEARTBEAT_S}, GET_SOURCE_PUBLIC_KEY=1, {tls} FOR CHANNEL {name}",
                quoted(&password)
            );
            set_up(&mut client, &change, channel).await?;
        }
        // Not kept over a restart of the server.
        ask(&mut client, NET_TIMEOUT).await?;
        let wanted = SemiSync::wanted(wish, Role::Replica);
        let changed = apply_semi_sync(&mut client, view.semi_sync, wanted).await?;
        let receives = channel.is_some_and(|channel| channel.receiver != Receiver::Stopped);
        if changed && follows && receives {
            // A receiver acknowledges, or does not, as it was told when it started.
            ask(&mut client, "STOP REPLICA IO_THREAD").await?;
        }
        set_up(&mut client, "START REPLICA", channel).await
    }

    async fn view(&self, client: &mut AsyncClient) -> Result<View, Obstacle> {
        Ok(View::read(ask(client, super::view::QUESTION).await?)?)
    }
}

/// A step towards following. A server that was cloned, or has lost its relay logs, remembers files that are not there: what it had
/// received is fetched from the primary again.
async fn set_up(client: &mut AsyncClient, sql: &str, channel: Option<&Channel>) -> Result<(), Obstacle> {
    match ask(client, sql).await {
        Err(error) if error.code() == Some(METADATA_UNREADABLE) => {
            let name = quoted(channel.map_or("", |channel| &channel.name));
            ask(client, &format!("RESET REPLICA ALL FOR CHANNEL {name}")).await?;
            Err(Obstacle::NotYet(
                "its relay logs are not those that it remembers: replication is set up anew".to_string(),
            ))
        }
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Stops the appliers; what is received and not executed.
async fn stop_all(client: &mut AsyncClient, hands: &Hands) -> Result<GtidSet, Obstacle> {
    let view = hands.view(client).await?;
    if !view.backlog().is_empty() {
        return Ok(view.backlog());
    }
    stop_appliers(client).await?;
    Ok(hands.view(client).await?.backlog())
}

/// What was received wholly is executed, or will be fetched again. An applier may have begun a transaction whose end was never received: the
/// source died in the middle of sending it. Told to stop, it would wait for that end for a minute (the server's
/// `SLAVE_WAIT_GROUP_DONE`); when its thread is killed, it rolls back what it began at once.
async fn stop_appliers(client: &mut AsyncClient) -> Result<(), Obstacle> {
    let begun = ask(client, BEGUN).await?;
    let mut may_kill = true;
    for row in begun.rows().map(|rows| rows.texts()).unwrap_or_default() {
        let Some(Some(id)) = row.into_iter().next() else { continue };
        let reply = client.query(&format!("KILL {id}")).await?;
        let refused = reply.error().filter(|error| error.code != sessions::NO_SUCH_THREAD);
        if let Some(error) = refused {
            may_kill = false;
            tracing::warn!(
                event = "applier_not_killed",
                "stopping may take a minute: {error}; GRANT SYSTEM_USER to the admin account"
            );
        }
    }
    // STOP REPLICA before it has seen the KILL would make it wait all the same.
    let deadline = Instant::now() + GONE_WAIT;
    while may_kill && ask(client, BEGUN).await?.rows().is_some_and(|rows| !rows.rows.is_empty()) {
        if Instant::now() >= deadline {
            return Err(Obstacle::NotYet("its applier does not end".to_string()));
        }
        tokio::time::sleep(GONE_PAUSE).await;
    }
    ask(client, "STOP REPLICA").await?;
    Ok(())
}

async fn make_writable(client: &mut AsyncClient, until: Instant) -> Result<(), Obstacle> {
    let now = cells(&ask(client, "SELECT UTC_TIMESTAMP(6)").await?).remove(0);
    // Its clock was read before this moment, so by its clock the end comes no later than by ours.
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Obstacle::NotYet("its lease ends".to_string()));
    }
    let (end, micros) =
        (format!("TIMESTAMPADD(MICROSECOND, {}, {})", left.as_micros(), quoted(&now)), "UTC_TIMESTAMP(6)");
    ask(client, &format!("SET GLOBAL read_only = IF({micros} < {end}, 0, 1)")).await?;
    match cells(&ask(client, "SELECT @@GLOBAL.read_only + @@GLOBAL.super_read_only").await?).remove(0).as_str() {
        "0" => Ok(()),
        _ => Err(Obstacle::NotYet("its lease ended meanwhile".to_string())),
    }
}

async fn executed(client: &mut AsyncClient) -> Result<GtidSet, Obstacle> {
    let text = cells(&ask(client, "SELECT @@GLOBAL.gtid_executed").await?).remove(0);
    Ok(super::set(&text)?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Replica,
}

impl SemiSync {
    /// None: as it is.
    pub fn wanted(wish: SemiSyncWish, role: Role) -> SemiSync {
        match (wish, role) {
            (SemiSyncWish::Keep, _) => SemiSync { source: None, replica: None },
            (SemiSyncWish::Off, _) => SemiSync { source: Some(false), replica: Some(false) },
            (SemiSyncWish::On, Role::Source) => SemiSync { source: Some(true), replica: Some(false) },
            (SemiSyncWish::On, Role::Replica) => SemiSync { source: Some(false), replica: Some(true) },
        }
    }

    /// Whether these settings are what is wanted. A plugin that is not there is switched off.
    pub fn is_as(self, wanted: SemiSync) -> bool {
        let is =
            |found: Option<bool>, wanted: Option<bool>| wanted.is_none_or(|wanted| found.unwrap_or(false) == wanted);
        is(self.source, wanted.source) && is(self.replica, wanted.replica)
    }
}

/// True if something was changed. A plugin that is wanted and missing is installed, which only a writable server can: there
/// is no moment at which a replica may be one, so its my.cnf must load the plugin.
async fn apply_semi_sync(client: &mut AsyncClient, found: SemiSync, wanted: SemiSync) -> Result<bool, Obstacle> {
    let sides = [("source", found.source, wanted.source), ("replica", found.replica, wanted.replica)];
    let mut changed = false;
    for (side, found, wanted) in sides {
        let Some(wanted) = wanted.filter(|wanted| found.unwrap_or(false) != *wanted) else { continue };
        if found.is_none()
            && let Err(error) =
                ask(client, &format!("INSTALL PLUGIN rpl_semi_sync_{side} SONAME 'semisync_{side}.so'")).await
        {
            return Err(Obstacle::Needs(format!(
                "semi_sync = \"on\" needs the plugin rpl_semi_sync_{side} ({error}): put \
                 plugin-load-add=semisync_{side}.so into the server's my.cnf and restart it"
            )));
        }
        let value = if wanted { "ON" } else { "OFF" };
        ask(client, &format!("SET GLOBAL rpl_semi_sync_{side}_enabled={value}")).await?;
        changed = true;
    }
    Ok(changed)
}

/// Coordinators with something begun.
const BEGUN: &str = "SELECT t.PROCESSLIST_ID FROM performance_schema.threads t WHERE t.NAME='thread/sql/replica_sql' AND EXISTS \
     (SELECT 1 FROM performance_schema.replication_applier_status_by_worker w WHERE w.APPLYING_TRANSACTION<>'' \
      UNION ALL SELECT 1 FROM performance_schema.replication_applier_status_by_coordinator c WHERE c.PROCESSING_TRANSACTION<>'')";

/// A coordinator that was killed ends within this.
const GONE_WAIT: Duration = Duration::from_millis(500);
const GONE_PAUSE: Duration = Duration::from_millis(5);

/// A source that comes back is found within a second; it is tried for ever.
const CONNECT_RETRY_S: u32 = 1;
const RETRIES: u32 = u32::MAX;

/// A source that has nothing to send says so this often, and one that is silent for longer than the timeout is left.
const HEARTBEAT_S: u32 = 1;
const NET_TIMEOUT: &str = "SET GLOBAL replica_net_timeout=CAST(LEAST(@@GLOBAL.replica_net_timeout, 3) AS UNSIGNED)";

/// `ER_REPLICA_RLI_INIT_REPOSITORY`.
const METADATA_UNREADABLE: u16 = 1872;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semi_sync_follows_the_role() {
        let on = |source: bool, replica: bool| SemiSync { source: Some(source), replica: Some(replica) };
        let wanted = |wish, role| SemiSync::wanted(wish, role);
        assert!(on(true, false).is_as(wanted(SemiSyncWish::On, Role::Source)));
        assert!(!on(true, true).is_as(wanted(SemiSyncWish::On, Role::Source)));
        assert!(on(false, true).is_as(wanted(SemiSyncWish::On, Role::Replica)));
        assert!(!SemiSync::default().is_as(wanted(SemiSyncWish::On, Role::Replica)));
        assert!(SemiSync::default().is_as(wanted(SemiSyncWish::Off, Role::Source)));
        assert!(on(true, true).is_as(wanted(SemiSyncWish::Keep, Role::Replica)));
    }
}
