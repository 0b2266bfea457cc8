//! The watcher: one task per backend that holds a connection and looks at it again and again.
//!
//! Between two looks it waits on the server for the next transaction (`WAIT_FOR_EXECUTED_GTID_SET`), so that a new
//! executed set is known a few milliseconds after it exists, at no cost while nothing is written. Where the server can't
//! do that it asks every [`POLL_MS`].

use super::dialect::Dialect;
use super::facts::Facts;
use super::fault::Fault;
use crate::client::{AsyncClient, ClientError, Options};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use weir_net::gtid::{GtidSet, Sid};

/// What a watcher has seen.
pub enum Sight {
    Look { backend: usize, outcome: Result<Box<Facts>, Fault> },
    Executed { backend: usize, executed: Arc<GtidSet> },
}

pub struct Watcher {
    pub backend: usize,
    pub options: Options,
    pub interval: Duration,
    pub sights: mpsc::Sender<Sight>,
    /// Look at once.
    pub nudge: Arc<Notify>,
    pub last_nudge: Option<Instant>,
    /// The primary's uuid, so that everyone waits for its next transaction.
    pub source: watch::Receiver<Option<[u8; 16]>>,
}

impl Watcher {
    /// Ends when nobody wants sights any more.
    pub async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        while !self.sights.is_closed() {
            match self.connect().await {
                Ok(mut client) => {
                    pause = PAUSE_MIN;
                    let error = self.watch(&mut client).await;
                    // A connection that was cut (killed, idle too long) says little; the next one tells. One that hangs
                    // says that the server does.
                    if !error.is_timeout() {
                        continue;
                    }
                    self.report(Fault::of(error)).await;
                }
                Err(fault) => self.report(fault).await,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = nudged(&self.nudge, &mut self.last_nudge) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect(&self) -> Result<AsyncClient, Fault> {
        let connected = async {
            let mut client = AsyncClient::connect(&self.options).await?;
            let dialect = Dialect::of(&client.session().version);
            client.query(dialect.prepare()).await?.success()?;
            Ok::<_, ClientError>(client)
        };
        connected.await.map_err(|error| Fault::of(error).for_user(&self.options.user))
    }

    /// Looks until something fails.
    async fn watch(&mut self, client: &mut AsyncClient) -> ClientError {
        let dialect = Dialect::of(&client.session().version);
        loop {
            let next_look = Instant::now() + self.interval;
            let reply = match client.query(dialect.look()).await {
                Ok(reply) => reply,
                Err(error) => return error,
            };
            let outcome = Facts::read(dialect, client.session(), reply).map(Box::new);
            let outcome = outcome.map_err(|fault| fault.for_user(&self.options.user));
            let executed =
                outcome.as_ref().ok().filter(|_| dialect.has_gtid_sets()).map(|facts| facts.executed.clone());
            if self.sights.send(Sight::Look { backend: self.backend, outcome }).await.is_err() {
                return ClientError::Closed;
            }
            match executed {
                Some(executed) => {
                    if let Err(error) = self.follow(client, executed, next_look).await {
                        return error;
                    }
                }
                None => {
                    self.rest(next_look).await;
                }
            }
        }
    }

    /// Reports each new executed set until the next look is due.
    async fn follow(
        &mut self,
        client: &mut AsyncClient,
        mut executed: Arc<GtidSet>,
        next_look: Instant,
    ) -> Result<(), ClientError> {
        loop {
            let left = next_look.saturating_duration_since(Instant::now());
            if left < FOLLOW_MIN {
                self.rest(next_look).await;
                return Ok(());
            }
            let source = *self.source.borrow_and_update();
            let limit = self.options.timeout.unwrap_or(left) + left;
            let question = question(source, &executed, left);
            if !question.waits {
                let until = next_look.min(Instant::now() + Duration::from_millis(POLL_MS));
                if self.rest(until).await {
                    return Ok(());
                }
            }
            let reply = tokio::select! {
                reply = client.query_within(limit, &question.sql) => reply?,
                // Half a reply is under way on this connection: a new one looks at once.
                () = nudged(&self.nudge, &mut self.last_nudge) => return Err(ClientError::Closed),
            };
            let Some(text) = reply.success()?.outcomes.last().and_then(last_cell) else { return Ok(()) };
            let now = GtidSet::parse(text.as_bytes())?;
            if now != *executed {
                executed = Arc::new(now);
                let sight = Sight::Executed { backend: self.backend, executed: executed.clone() };
                self.sights.send(sight).await.map_err(|_| ClientError::Closed)?;
                tokio::time::sleep(FOLLOW_MIN).await;
            }
        }
    }

    /// True when a nudge came first.
    async fn rest(&mut self, until: Instant) -> bool {
        tokio::select! {
            () = tokio::time::sleep_until(until) => false,
            () = nudged(&self.nudge, &mut self.last_nudge) => true,
        }
    }

    async fn report(&self, fault: Fault) {
        // A receiver that is gone ends the loop of the caller.
        let _ = self.sights.send(Sight::Look { backend: self.backend, outcome: Err(fault) }).await;
    }
}

/// Many cores may suspect a backend at once, and again and again: one look answers them all.
async fn nudged(nudge: &Notify, last: &mut Option<Instant>) {
    nudge.notified().await;
    if let Some(last) = *last {
        tokio::time::sleep_until(last + NUDGE_MIN).await;
    }
    *last = Some(Instant::now());
}

struct Question {
    sql: String,
    /// The server itself waits.
    waits: bool,
}

/// Asks for the executed set; if the source is known, after its next transaction or `left`.
fn question(source: Option<[u8; 16]>, executed: &GtidSet, left: Duration) -> Question {
    let ask = "SELECT @@GLOBAL.gtid_executed".to_string();
    let Some(uuid) = source else { return Question { sql: ask, waits: false } };
    let last = executed.iter().filter(|(sid, ..)| sid.uuid == uuid && sid.tag.is_none()).map(|(_, _, last)| last).max();
    let Some(last) = last else { return Question { sql: ask, waits: false } };
    let mut next = GtidSet::new();
    next.add(Sid::of(uuid), last + 1, last + 1);
    // Two statements: in one, the variable would be read before the wait.
    let wait = left.as_secs_f64();
    Question { sql: format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{next}', {wait:.3}); {ask}"), waits: true }
}

fn last_cell(outcome: &crate::client::Outcome) -> Option<String> {
    match outcome {
        crate::client::Outcome::Rows(rows) => rows.rows.first()?.first()?.as_text(),
        _ => None,
    }
}

/// Between two questions to a server that can't wait.
const POLL_MS: u64 = 50;

/// Between two reports of one backend: 100 per second are fresh enough, and cheap.
const FOLLOW_MIN: Duration = Duration::from_millis(10);

/// Between two looks that cores asked for.
const NUDGE_MIN: Duration = Duration::from_millis(50);

/// Between attempts to reach a backend that is down.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_the_next_transaction_of_the_source() {
        let uuid = "3aecbfe0-e779-11f1-be4c-02fc00000001";
        let executed = GtidSet::parse(format!("{uuid}:1-48:tag:1-90").as_bytes()).unwrap();
        let source = executed.iter().next().map(|(sid, ..)| sid.uuid);
        let question_known = question(source, &executed, Duration::from_millis(250));
        let sql = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{uuid}:49', 0.250); SELECT @@GLOBAL.gtid_executed");
        assert_eq!((question_known.sql, question_known.waits), (sql, true));
        for source in [None, Some([7; 16])] {
            assert!(!question(source, &executed, Duration::from_millis(250)).waits);
        }
    }
}
