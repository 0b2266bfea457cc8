//! A lane: one mirror's queue, its workers and its connections.
//!
//! Invariant: at most `connections_max` connections are open, held by workers or idle. One is used again where it means the same: its
//! variables, its character set and its time limit are the copy's; its schema is changed. A mirror that cannot be connected to is left
//! alone for [`AWAY`], and copies fail at once meanwhile; so is one where a copy's time ends in the handshake.

use super::drain::{self, Kind};
use crate::client::{AsyncClient, ClientError, Options, request};
use crate::config::{MirrorConfig, address};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use weir_core::mirror::{Copied, Fate, Home};
use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::statement::put_statement_command;

pub struct Lane {
    pub config: MirrorConfig,
    queue: UnboundedSender<Box<Copied>>,
    /// They end with it.
    _workers: JoinSet<()>,
}

impl Lane {
    pub fn open(config: MirrorConfig, options: Options) -> Lane {
        let (queue, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            name: config.name.clone(),
            place: address::show(&config.address),
            options,
            inbox: tokio::sync::Mutex::new(inbox),
            places: Arc::new(Semaphore::new(config.connections_max as usize)),
            idle: Mutex::default(),
            away_until: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for _ in 0..config.connections_max {
            workers.spawn(work(shared.clone()));
        }
        Lane { config, queue, _workers: workers }
    }

    pub fn offer(&self, copied: Box<Copied>) {
        // The workers end with the lane only; a copy that comes back ends by itself.
        let _ = self.queue.send(copied);
    }
}

/// Of all workers.
struct Shared {
    name: String,
    place: String,
    options: Options,
    inbox: tokio::sync::Mutex<UnboundedReceiver<Box<Copied>>>,
    places: Arc<Semaphore>,
    /// Used last: last.
    idle: Mutex<Vec<Ready>>,
    away_until: Mutex<Option<Instant>>,
}

/// A connection.
struct Ready {
    client: AsyncClient,
    home: Home,
    ms_max: u32,
    _place: OwnedSemaphorePermit,
}

async fn work(shared: Arc<Shared>) {
    loop {
        let next = shared.inbox.lock().await.recv().await;
        let Some(copied) = next else { return };
        if !copied.is_wanted() {
            continue;
        }
        let (began, limit) = (Instant::now(), Duration::from_millis(copied.mirror().ms_max.into()));
        let fate = match timeout(limit, shared.run(&copied)).await {
            Ok(Ok(())) => Fate::Answered { us: began.elapsed().as_micros() as u64 },
            Ok(Err(error)) => {
                tracing::debug!(event = "copy_failed", mirror = shared.name, "a copy failed: {error}");
                Fate::Failed
            }
            // Its connection went with it; the server ends the statement by itself.
            Err(_) => Fate::Failed,
        };
        copied.end(fate);
    }
}

impl Shared {
    async fn run(&self, copied: &Copied) -> Result<(), ClientError> {
        while let Some(mut ready) = self.take_idle(copied) {
            match ready.run(copied).await {
                // The server has closed it while nobody looked: reads may be sent again.
                Err(ClientError::Closed | ClientError::Io(_)) => {}
                outcome => return self.settle(ready, outcome),
            }
        }
        let mut ready = self.connect(copied).await?;
        let outcome = ready.run(copied).await;
        self.settle(ready, outcome)
    }

    /// The server's own errors leave a connection as it is.
    fn settle(&self, ready: Ready, outcome: Result<(), ClientError>) -> Result<(), ClientError> {
        if matches!(outcome, Ok(()) | Err(ClientError::Server(_))) {
            locked(&self.idle).push(ready);
        }
        outcome
    }

    /// One that means the same. Of the others one goes when there is no place for a new one.
    fn take_idle(&self, copied: &Copied) -> Option<Ready> {
        let mut idle = locked(&self.idle);
        let found = idle.iter().rposition(|ready| ready.is_fit(copied));
        if let Some(at) = found {
            return Some(idle.remove(at));
        }
        if self.places.available_permits() == 0 && !idle.is_empty() {
            idle.remove(0);
        }
        None
    }

    async fn connect(&self, copied: &Copied) -> Result<Ready, ClientError> {
        if locked(&self.away_until).is_some_and(|until| Instant::now() < until) {
            return Err(ClientError::Unsupported("a while, since it could not be connected to".to_string()));
        }
        let place = self.places.clone().acquire_owned().await.map_err(|_| ClientError::Closed)?;
        let (home, ms_max) = (&copied.home, copied.mirror().ms_max);
        let mut options = self.options.clone().without(UNWANTED).attribute("program_name", "weir-mirror");
        options.charset = home.charset;
        options.timeout = Some(limit(ms_max));
        options.schema = (!home.schema.is_empty()).then(|| String::from_utf8_lossy(&home.schema).into_owned());
        if home.ignores_space {
            options = options.with(Capabilities::IGNORE_SPACE);
        }
        let dial = Dial { shared: self, began: Instant::now(), limit: limit(ms_max), is_over: false };
        let outcome = AsyncClient::connect(&options).await;
        dial.end(outcome.as_ref().err());
        let mut client = outcome?;
        let time = match client.session().version.contains("MariaDB") {
            true => format!("SET SESSION max_statement_time={}.{:03}", ms_max / 1_000, ms_max % 1_000),
            false => format!("SET SESSION max_execution_time={ms_max}"),
        };
        for text in [&home.variables[..], READ_ONLY, time.as_bytes()].into_iter().filter(|text| !text.is_empty()) {
            drain::run(&mut client, limit(ms_max), &request::command(Command::Query, text), Kind::Result).await?;
        }
        Ok(Ready { client, home: home.clone(), ms_max, _place: place })
    }

    /// How an attempt to connect went. That a schema is not there is the copy's fault.
    fn note(&self, error: Option<&ClientError>) {
        let (name, place) = (&self.name, &self.place);
        match error {
            None => {
                if locked(&self.away_until).take().is_some() {
                    tracing::info!(event = "mirror_back", mirror = name, "{name} runs copies again");
                }
            }
            Some(error) if error.code().is_some_and(|code| OF_SCHEMA.contains(&code)) => {}
            Some(error) => {
                if locked(&self.away_until).replace(Instant::now() + AWAY).is_none() {
                    tracing::warn!(
                        event = "mirror_away",
                        mirror = name,
                        "the mirror {name} ({place}) cannot be used, and copies for it fail: {error}"
                    );
                }
            }
        }
    }
}

/// An attempt to connect. It is given up with its copy's time (`work`); a mirror that took most of that for itself hangs.
struct Dial<'a> {
    shared: &'a Shared,
    began: Instant,
    limit: Duration,
    is_over: bool,
}

impl Dial<'_> {
    fn end(mut self, error: Option<&ClientError>) {
        self.is_over = true;
        self.shared.note(error);
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.began.elapsed() * 2 > self.limit {
            self.shared.note(Some(&ClientError::Io(io::ErrorKind::TimedOut.into())));
        }
    }
}

impl Ready {
    /// "No schema" cannot be chosen.
    fn is_fit(&self, copied: &Copied) -> bool {
        let (own, other) = (&self.home, &copied.home);
        let may_have_schema = own.schema == other.schema || !other.schema.is_empty();
        let understands = (own.charset, own.ignores_space) == (other.charset, other.ignores_space);
        understands && may_have_schema && own.variables == other.variables && self.ms_max == copied.mirror().ms_max
    }

    async fn run(&mut self, copied: &Copied) -> Result<(), ClientError> {
        let limit = limit(self.ms_max);
        let client = &mut self.client;
        if self.home.schema != copied.home.schema {
            let command = request::command(Command::InitDb, &copied.home.schema);
            drain::run(client, limit, &command, Kind::Result).await?;
            self.home.schema.clone_from(&copied.home.schema);
        }
        let Some(execute) = &copied.execute else {
            let command = request::command(Command::Query, &copied.text);
            return drain::run(client, limit, &command, Kind::Result).await.map(drop);
        };
        let prepare = request::command(Command::StmtPrepare, &copied.text);
        let prepared = drain::run(client, limit, &prepare, Kind::Prepare).await?;
        let id = prepared.ok_or(ClientError::Shape("no statement in the reply of a prepare"))?.statement_id;
        let mut execute = execute.to_vec();
        if let Some(place) = execute.get_mut(ID) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        let outcome = drain::run(client, limit, &execute, Kind::Result).await;
        if matches!(outcome, Ok(_) | Err(ClientError::Server(_))) {
            let mut close = Vec::new();
            put_statement_command(&mut close, Command::StmtClose, id);
            client.tell(limit, &close).await?;
        }
        outcome.map(drop)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of one step: all together obey the copy's own.
fn limit(ms_max: u32) -> Duration {
    Duration::from_millis(ms_max.into())
}

/// One statement has one result, and nothing is told beside it.
const UNWANTED: Capabilities = Capabilities::MULTI_STATEMENTS
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::SESSION_TRACK);

/// Whatever a statement turns out to do, it changes nothing there.
const READ_ONLY: &[u8] = b"SET SESSION TRANSACTION READ ONLY";

/// Where an execute has its statement's id: behind the command byte.
const ID: std::ops::Range<usize> = 1..5;

/// There is no such schema, or not for this account.
const OF_SCHEMA: [u16; 2] = [1049, 1044];

/// How long a mirror that cannot be connected to is left alone.
const AWAY: Duration = Duration::from_secs(1);
