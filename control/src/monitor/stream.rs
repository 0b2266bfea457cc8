//! The stream: a connection of its own on which the server is waited on for its next transaction, so that each new
//! executed set is known as soon as it exists.
//!
//! ```text
//!   SELECT WAIT_FOR_EXECUTED_GTID_SET(next, 1 s); SELECT @@GLOBAL.gtid_executed ──► Follow ──► Sight::Executed
//!        ▲ one round trip; the server wakes us when the transaction is committed, and reads the set after that │
//!        └──────────────────────────────── at once, or GAP later when it never rests ◄─────────────────────────┘
//! ```
//! Invariant: what is reported was read from `gtid_executed`, so it is never ahead of what a reader can see. The binlog
//! has a transaction earlier than that (before the engines have committed it), and is not looked at.
//! Cost: while nothing is written one question a second; while much is written one per [`GAP`], however much it is.
//! The connection is not the look's, whose statements take milliseconds in which a set would wait.

use super::dialect::Dialect;
use super::follow::Follow;
use super::memory::Memory;
use super::watch::Sight;
use crate::client::{AsyncClient, ClientError, Options, Outcome};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

pub struct Stream {
    pub backend: usize,
    pub options: Options,
    pub sights: mpsc::Sender<Sight>,
    /// The primary's uuid, where somebody knows it better than this server.
    pub source: watch::Receiver<Option<[u8; 16]>>,
    /// Whom this server's own word says to wait for.
    pub own_aim: Option<[u8; 16]>,
    pub memory: Arc<Mutex<Memory>>,
    pub dialect: Dialect,
}

impl Stream {
    /// Returns when nobody wants sights any more; whether the server can be reached at all is the look's affair.
    pub async fn run(mut self) -> ClientError {
        while !self.sights.is_closed() {
            let outcome = match AsyncClient::connect(&self.options).await {
                Ok(mut client) => self.follow(&mut client).await,
                Err(error) => Err(error),
            };
            let pause = match outcome {
                Ok(Ended::Redirected) => continue,
                Ok(Ended::Deaf) => PAUSE_DEAF,
                Err(error) => {
                    tracing::debug!(event = "stream_ended", backend = self.backend, %error);
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
        ClientError::Closed
    }

    async fn follow(&mut self, client: &mut AsyncClient) -> Result<Ended, ClientError> {
        let began = Instant::now();
        let now_ms = || began.elapsed().as_millis() as u64;
        let mut source = self.source.clone();
        let hint = *source.borrow_and_update();
        let first = set(self.dialect, client.query(self.dialect.ask()).await?.success()?)?;
        let mut follow = Follow::new(Arc::default(), hint.or(self.own_aim));
        self.report(&mut follow, now_ms(), first).await?;
        // What it had before is nobody's growth.
        let mut follow = Follow::new(follow.executed().clone(), hint.or(self.own_aim));
        let mut asked = Instant::now();
        loop {
            let Some(question) = follow.question(now_ms()) else { return Ok(Ended::Deaf) };
            let limit = self.options.timeout.unwrap_or(GRACE) + Duration::from_millis(question.wait_ms);
            let sql = question.sql(self.dialect);
            // Beside a server alone nobody knows better, and there is no sender.
            let has_source = source.has_changed().is_ok();
            let reply = tokio::select! {
                reply = client.query_within(limit, &sql) => reply?,
                // Another primary: the wait under way is for one who will write no more. A new connection is quicker.
                changed = source.changed(), if has_source => match changed {
                    Ok(()) => return Ok(Ended::Redirected),
                    Err(_) => return Err(ClientError::Closed),
                },
            };
            let executed = match reply.success() {
                Ok(reply) => set(self.dialect, reply)?,
                // GTIDs are off, say.
                Err(ClientError::Server(_)) => return Ok(Ended::Deaf),
                Err(error) => return Err(error),
            };
            self.report(&mut follow, now_ms(), executed).await?;
            // A server that answers before the time is over, for whatever reason, is not asked without end.
            tokio::time::sleep_until(asked + GAP).await;
            asked = Instant::now();
        }
    }

    /// True if it was something new.
    async fn report(&self, follow: &mut Follow, now_ms: u64, executed: GtidSet) -> Result<bool, ClientError> {
        if !follow.handle_executed(now_ms, executed) {
            return Ok(false);
        }
        let executed = follow.executed().clone();
        let compared = remembered(self.dialect, &executed);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).handle_executed(&compared);
        let sight = Sight::Executed { backend: self.backend, executed };
        self.sights.send(sight).await.map_err(|_| ClientError::Closed)?;
        Ok(true)
    }
}

/// Why a connection that works is left.
enum Ended {
    Redirected,
    /// The server can't be waited on.
    Deaf,
}

/// What the memory compares: of MariaDB the last numbers of domains, since who wrote what may be forgotten there with the log.
pub fn remembered(dialect: Dialect, executed: &Arc<GtidSet>) -> Arc<GtidSet> {
    match dialect {
        Dialect::Replica | Dialect::Slave => executed.clone(),
        Dialect::MariaDb => Arc::new(executed.domain_heads()),
    }
}

fn set(dialect: Dialect, reply: crate::client::Reply) -> Result<GtidSet, ClientError> {
    let cell = |at: usize| match reply.outcomes.last() {
        Some(Outcome::Rows(rows)) => rows.rows.first()?.get(at)?.as_text(),
        _ => None,
    };
    let text = cell(0);
    let text = text.ok_or(ClientError::Shape("the executed set was asked for, and there is none"))?;
    Ok(dialect.executed(&text, cell(1).as_deref())?)
}

/// Between two questions while there is always something new: 500 a second are fresh enough, and bound the cost.
const GAP: Duration = Duration::from_millis(2);

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// Before a server that can't be waited on is tried again; its looks go on.
const PAUSE_DEAF: Duration = Duration::from_secs(5);

/// For an answer beyond the wait, where the options give no limit.
const GRACE: Duration = Duration::from_secs(2);
