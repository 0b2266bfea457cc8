//! The watcher: the agent of one server. It looks at the server again and again over one connection, and runs the
//! [`Stream`] of executed sets over another. It runs in `weir tablet` and in the gate's control thread alike.
//!
//! Invariant: every end of a connection is followed by another attempt, so that no state of the server needs anybody's
//! help to be left; each failed attempt is reported, with its standing.

use super::dialect::Dialect;
use super::discover::Replica;
use super::facts::{Facts, Receiver};
use super::fault::Fault;
use super::group::{Place, View};
use super::memory::{Memory, Order, Seen};
use super::stream::{Stream, remembered};
use super::vitals::{self, Vitals};
use crate::client::{AsyncClient, ClientError, Options};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use weir_core::snapshot::Address;
use weir_net::gtid::GtidSet;

/// What a watcher has seen.
pub enum Sight {
    Look {
        backend: usize,
        outcome: Result<Box<Facts>, Fault>,
    },
    Executed {
        backend: usize,
        executed: Arc<GtidSet>,
    },
    /// Who told us of this server has gone: the last word holds, but says no longer how late it is.
    Stale {
        backend: usize,
    },
    /// Where gates find the server, as its tablet says.
    Found {
        backend: usize,
        address: Address,
    },
    /// Who replicates from this server, as it says itself.
    Replicas {
        backend: usize,
        outcome: Result<Vec<Replica>, String>,
    },
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
    /// Ask servers that are no replicas for theirs.
    pub discovers: bool,
    pub memory: Arc<Mutex<Memory>>,
    pub began: Instant,
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
            let [needed, wished] = dialect.prepare();
            client.query(needed).await?.success()?;
            // Servers without the variable refuse it.
            client.query(wished).await?;
            Ok::<_, ClientError>(client)
        };
        connected.await.map_err(|error| Fault::of(error).for_user(&self.options.user))
    }

    /// Looks until something fails.
    async fn watch(&mut self, client: &mut AsyncClient) -> ClientError {
        let dialect = Dialect::of(&client.session().version);
        let mut pulse = Pulse::default();
        let first = match self.look(client, dialect, &mut pulse, Order::First).await {
            Ok(facts) => facts,
            Err(error) => return error,
        };
        let own_aim = first.as_ref().and_then(|facts| facts.next_source());
        let mut alert = Alert::default();
        alert.handle_look(Instant::now(), first.as_deref());
        let stream = Stream {
            backend: self.backend,
            options: self.options.clone(),
            sights: self.sights.clone(),
            source: self.source.clone(),
            own_aim,
            memory: self.memory.clone(),
            dialect,
        };
        tokio::select! {
            error = self.looks(client, dialect, pulse, alert) => error,
            error = stream.run() => error,
        }
    }

    async fn looks(
        &mut self,
        client: &mut AsyncClient,
        dialect: Dialect,
        mut pulse: Pulse,
        mut alert: Alert,
    ) -> ClientError {
        loop {
            let now = Instant::now();
            self.rest(now + alert.interval(now, self.interval)).await;
            match self.look(client, dialect, &mut pulse, Order::BesideStream).await {
                Ok(facts) => alert.handle_look(Instant::now(), facts.as_deref()),
                Err(error) => return error,
            }
        }
    }

    /// One look, reported. None: the server does not let itself be looked at.
    async fn look(
        &mut self,
        client: &mut AsyncClient,
        dialect: Dialect,
        pulse: &mut Pulse,
        order: Order,
    ) -> Result<Option<Box<Facts>>, ClientError> {
        let reply = client.query(dialect.look()).await?;
        if pulse.is_due() {
            pulse.handle(Vitals::read(client.query(vitals::QUESTION).await?));
        }
        let outcome = Facts::read(dialect, client.session(), reply)
            .map(|facts| self.believe(facts, (dialect, client.session().connection_id), pulse, order));
        let outcome = outcome.map_err(|fault| fault.for_user(&self.options.user));
        let facts = outcome.as_ref().ok().cloned();
        let replicas = match &facts {
            Some(facts) if self.discovers && pulse.is_fresh() && !facts.is_replicating() => {
                Some(super::discover::ask(client, dialect, &self.options.target).await?)
            }
            _ => None,
        };
        self.send(Sight::Look { backend: self.backend, outcome }).await?;
        if let Some(outcome) = replicas {
            self.send(Sight::Replicas { backend: self.backend, outcome }).await?;
        }
        Ok(facts)
    }

    /// The facts with what is remembered of the server.
    fn believe(&self, mut facts: Facts, of: (Dialect, u32), pulse: &Pulse, order: Order) -> Box<Facts> {
        let (dialect, connection) = of;
        facts.vitals = pulse.vitals.clone();
        let now_ms = self.began.elapsed().as_millis() as i64;
        // Late by the age of the vitals; at a new connection they are new.
        let started_ms = facts.vitals.uptime_s.map(|uptime| now_ms - uptime as i64 * 1_000);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let executed = remembered(dialect, &facts.executed);
        let seen = Seen { uuid: &facts.server_uuid, started_ms, connection, executed };
        let (standing, believed) = memory.handle_look(seen, order);
        facts.standing = standing;
        if dialect != Dialect::MariaDb {
            facts.executed = believed;
        }
        (facts.lost, facts.restarts) = (memory.lost_count(), memory.restarts());
        Box::new(facts)
    }

    async fn send(&self, sight: Sight) -> Result<(), ClientError> {
        self.sights.send(sight).await.map_err(|_| ClientError::Closed)
    }

    /// Until then, or until a nudge.
    async fn rest(&mut self, until: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = nudged(&self.nudge, &mut self.last_nudge) => {}
        }
    }

    async fn report(&self, fault: Fault) {
        // A receiver that is gone ends the loop of the caller.
        let _ = self.sights.send(Sight::Look { backend: self.backend, outcome: Err(fault) }).await;
    }
}

/// The vitals of one connection, asked for less often than the look.
#[derive(Default)]
struct Pulse {
    taken: Option<Instant>,
    vitals: Vitals,
    is_fresh: bool,
}

impl Pulse {
    fn is_due(&mut self) -> bool {
        self.is_fresh = false;
        self.taken.is_none_or(|taken| taken.elapsed() >= vitals::PAUSE)
    }

    fn handle(&mut self, mut vitals: Vitals) {
        if let Some(taken) = self.taken {
            vitals.count_since(&self.vitals, taken.elapsed());
        }
        *self = Pulse { taken: Some(Instant::now()), vitals, is_fresh: true };
    }

    /// Taken with the look under way.
    fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// After a sign that roles are moving, looks are nearer to each other for a while.
#[derive(Default)]
struct Alert {
    last: Option<Signs>,
    until: Option<Instant>,
}

/// What a move of the primary's role shows in.
#[derive(PartialEq)]
struct Signs {
    read_only: bool,
    receivers: Vec<Receiver>,
    group: Option<(Place, View, String, u32)>,
}

impl Alert {
    fn handle_look(&mut self, now: Instant, facts: Option<&Facts>) {
        let signs = facts.map(|facts| Signs {
            read_only: facts.read_only,
            receivers: facts.channels.iter().flatten().map(|channel| channel.receiver).collect(),
            group: facts
                .group
                .as_ref()
                .map(|group| (group.place, group.view.clone(), group.primary.clone(), group.reachable)),
        });
        // A member that is not heard is about to be put out, and another primary may be elected.
        let is_short =
            facts.and_then(|facts| facts.group.as_ref()).is_some_and(|group| group.reachable < group.members);
        if is_short || (self.last.is_some() && self.last != signs) {
            self.until = Some(now + ALERT);
        }
        self.last = signs;
    }

    fn interval(&self, now: Instant, usual: Duration) -> Duration {
        if self.until.is_some_and(|until| now < until) { usual.min(ALERT_INTERVAL) } else { usual }
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

/// How long a sign counts, and the interval meanwhile.
const ALERT: Duration = Duration::from_secs(3);
const ALERT_INTERVAL: Duration = Duration::from_millis(50);

/// Between two looks that cores asked for.
const NUDGE_MIN: Duration = Duration::from_millis(50);

/// Between attempts to reach a backend that is down.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
