//! The fence: nobody may write to this server any more, and nobody who might is connected.
//!
//! `SET GLOBAL super_read_only=ON` waits for statements and commits under way and for LOCK TABLES, and while it waits nothing
//! new begins to write. What does not end by itself at once is killed.
//!
//! ```text
//!   setter   SET super_read_only=ON ──── waits ─────────────────────────► through ─┐
//!   killer   older works ─► … kill all ─► … kill all ─► (semi-sync off) ─►          └► kill all ─► look ─► done
//! ```
//! Invariant: a commit that a replica has not acknowledged is told to no client as done. Commits that wait for a replica
//! may not be ended by KILL; they are let go by switching semi-sync off for a moment, and only when the setter is first
//! in line (so nothing new begins to write) and after all others' connections were cut (so nobody hears of their end).
//!
//! Not ended: XA transactions that are prepared (they stay prepared, and hold their locks).

use super::sessions::{self, SessionRow};
use super::{FENCE, Hands, Obstacle, WORK, ask, cells, set};
use crate::client::{AsyncClient, ClientError};
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

/// What a fence has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Fenced {
    /// All that this server will ever have written by itself. None: its process was killed.
    pub executed: Option<GtidSet>,
    /// Connections that were cut.
    pub cut: usize,
}

impl Hands {
    /// Fences within the limit, by killing the process if that is allowed and nothing else helps.
    pub async fn fence(&self, limit: Duration, last_resort: LastResort) -> Result<Fenced, Obstacle> {
        let began = Instant::now();
        let (asked, identity) = match last_resort {
            LastResort::None => (limit, None),
            LastResort::KillProcess => (limit * ASKED_PERMILLE / 1_000, self.identity()),
        };
        let outcome = match tokio::time::timeout(asked, self.fence_by_statement()).await {
            Ok(Ok(fenced)) => return Ok(fenced),
            Ok(Err(obstacle)) => obstacle,
            Err(_) => Obstacle::NotYet(format!("it was not read-only after {} ms", began.elapsed().as_millis())),
        };
        match (last_resort, identity) {
            (LastResort::None, _) => Err(outcome),
            (LastResort::KillProcess, None) => {
                Err(Obstacle::NotYet(format!("{outcome}; and its process is not known, so it cannot be killed")))
            }
            (LastResort::KillProcess, Some(identity)) => {
                // One that refuses at once gets the same time as one that hangs: it may come round.
                let why = outcome.to_string();
                tracing::error!(event = "server_killed", pid = identity.pid(), why, "the server is killed: {why}");
                identity
                    .kill(limit.saturating_sub(began.elapsed()).max(GONE_MIN))
                    .await
                    .map_err(|error| Obstacle::NotYet(format!("{why}; {error}")))?;
                Ok(Fenced { executed: None, cut: 0 })
            }
        }
    }

    /// Tries until it is so.
    async fn fence_by_statement(&self) -> Result<Fenced, Obstacle> {
        let (mut killer, mut cut) = (self.connect_when_full(None).await?, 0);
        let mut setter = self.connect_when_full(Some(&mut killer)).await?;
        let own = [&setter, &killer].map(|client| u64::from(client.session().connection_id));
        loop {
            self.end_older(&mut killer, own).await?;
            let let_go;
            (let_go, cut) = self.set(&mut setter, &mut killer, own, cut).await?;
            let rows = sessions::list(&mut killer).await?;
            cut += self.cut(&mut killer, &rows, own).await?;
            if let_go {
                ask(&mut killer, "SET GLOBAL rpl_semi_sync_source_enabled=ON").await?;
            }
            let reply = ask(&mut killer, "SELECT @@GLOBAL.super_read_only; SELECT @@GLOBAL.gtid_executed").await?;
            let has_rival = sessions::list(&mut killer).await?.iter().any(|row| row.is_setter);
            match cells(&reply).as_slice() {
                [on, executed] if on == "1" && !has_rival => return Ok(Fenced { executed: Some(set(executed)?), cut }),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A server whose connections are all taken has one more for an admin account; with that one, others are made free.
    async fn connect_when_full(&self, mut killer: Option<&mut AsyncClient>) -> Result<AsyncClient, ClientError> {
        loop {
            match self.connect(FENCE).await {
                Err(error) if error.code() == Some(TOO_MANY_CONNECTIONS) => {}
                outcome => return outcome,
            }
            if let Some(killer) = &mut killer {
                let own = u64::from(killer.session().connection_id);
                let rows = sessions::list(killer).await?;
                self.cut(killer, &rows, [own; 2]).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Works that were given up may have a statement under way that makes the server writable, and a fence that was given up
    /// one that waits: while it does, the variable says ON, so that another SET would be through at once and mean nothing.
    async fn end_older(&self, killer: &mut AsyncClient, own: [u64; 2]) -> Result<(), ClientError> {
        loop {
            let rows = sessions::list(killer).await?;
            let older: Vec<u64> = rows.iter().filter(|row| self.is_older(row, own)).map(|row| row.id).collect();
            if older.is_empty() {
                return Ok(());
            }
            sessions::kill(killer, &older).await?;
            tokio::time::sleep(OLDER_PAUSE).await;
        }
    }

    /// No work that was given up is under way any more.
    pub async fn end_works(&self) -> Result<(), ClientError> {
        let mut killer = self.connect(FENCE).await?;
        let own = u64::from(killer.session().connection_id);
        self.end_older(&mut killer, [own; 2]).await
    }

    /// Sets `super_read_only`; whether semi-sync was switched off for that, and how many connections were cut by now.
    async fn set(
        &self,
        setter: &mut AsyncClient,
        killer: &mut AsyncClient,
        own: [u64; 2],
        mut cut: usize,
    ) -> Result<(bool, usize), Obstacle> {
        let (mut let_go, mut round) = (false, 0_u32);
        let mut setting = std::pin::pin!(setter.query_within(SET_LIMIT, "SET GLOBAL super_read_only=ON"));
        loop {
            tokio::select! {
                reply = &mut setting => {
                    reply?.success()?;
                    return Ok((let_go, cut));
                }
                () = tokio::time::sleep(PAUSE) => {}
            }
            let rows = sessions::list(killer).await?;
            cut += self.cut(killer, &rows, own).await?;
            // All who were there before it waited are cut off now, and those who came later cannot begin to write.
            let waits = rows.iter().any(|row| row.id == own[0] && row.is_setter);
            if waits && round > 0 && !let_go {
                let_go = let_commits_go(killer).await?;
            }
            round += 1;
        }
    }

    async fn cut(&self, killer: &mut AsyncClient, rows: &[SessionRow], own: [u64; 2]) -> Result<usize, ClientError> {
        let ids: Vec<u64> =
            rows.iter().filter(|row| row.is_cut(&self.own_users) && !own.contains(&row.id)).map(|row| row.id).collect();
        let killed = sessions::kill(killer, &ids).await?;
        self.tally.handle_cut(killed.count, killed.spared.len());
        if !killed.spared.is_empty() {
            let (count, grant) = (killed.spared.len(), "GRANT SYSTEM_USER ON *.* TO the admin account");
            tracing::warn!(event = "connections_spared", count, "{count} connections may not be ended: {grant}");
        }
        Ok(killed.count)
    }

    fn is_older(&self, row: &SessionRow, own: [u64; 2]) -> bool {
        self.own_users.contains(&row.user) && [WORK, FENCE].contains(&row.program.as_str()) && !own.contains(&row.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastResort {
    None,
    KillProcess,
}

/// Commits that wait for a replica's acknowledgement end. True: it was on, and is off now.
async fn let_commits_go(killer: &mut AsyncClient) -> Result<bool, ClientError> {
    let on = "SELECT COUNT(*) FROM performance_schema.global_variables \
              WHERE VARIABLE_NAME='rpl_semi_sync_source_enabled' AND VARIABLE_VALUE='ON'";
    let is_on = cells(&ask(killer, on).await?).first().is_some_and(|count| count != "0");
    if is_on {
        ask(killer, "SET GLOBAL rpl_semi_sync_source_enabled=OFF").await?;
        tracing::warn!(event = "commits_let_go", "commits that no replica acknowledged end, and nobody is told");
    }
    Ok(is_on)
}

/// What ends by itself ends within this: a commit takes a millisecond, with a slow disk some ten.
const PAUSE: Duration = Duration::from_millis(25);

/// A connection that was killed is gone within a millisecond.
const OLDER_PAUSE: Duration = Duration::from_millis(2);

const TOO_MANY_CONNECTIONS: u16 = 1040;

/// Above every limit of a fence.
const SET_LIMIT: Duration = Duration::from_secs(3_600);

/// Of a fence's limit, what the server gets to do it by itself when its process may be killed.
const ASKED_PERMILLE: u32 = 500;

/// A process that was killed is gone within this; it is waited for even when the limit is over.
const GONE_MIN: Duration = Duration::from_millis(500);
