//! The shell around the coordinator: while this controller leads, it looks, lets the coordinator judge, and makes the
//! changes.
//!
//! Invariant: a coordinator lives as long as one leadership. A change that the store refuses is thought of anew on the
//! record that holds then.

use super::coordinator::{Coordinator, Move};
use super::events::{Event, Parts};
use super::order::{self, Order, OrderEnd};
use super::scout::Scouts;
use super::settings::Settings;
use super::sight::{GateSight, Sight};
use crate::controller::epoch::Epoch;
use crate::controller::head::{Head, Refusal};
use crate::controller::leases::Kind;
use crate::controller::record::{Phase, Record};
use crate::grpc::tls::ClientTls;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What operators ask the leader.
pub enum Ask {
    Switchover {
        /// None: the nearest one.
        heir: Option<String>,
        drain: Duration,
        is_dry_run: bool,
        /// Whether it can be done.
        answer: oneshot::Sender<Result<String, String>>,
        /// Its steps; ends with it.
        progress: mpsc::Sender<Progress>,
    },
    AcceptLoss {
        answer: oneshot::Sender<Result<(), String>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Step(String),
    Done(String),
    GivenUp(String),
}

/// An event with its time, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub unix_ms: u64,
    pub epoch: u64,
    pub kind: &'static str,
    pub text: String,
    pub parts: Option<Parts>,
}

/// What the service and the shell share.
#[derive(Clone)]
pub struct Desk {
    asks: mpsc::Sender<Ask>,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

impl Desk {
    /// False: nobody takes it.
    pub async fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).await.is_ok()
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

pub struct Shell {
    head: Arc<Head>,
    settings: Settings,
    tls: Option<ClientTls>,
    desk: Desk,
    asks: mpsc::Receiver<Ask>,
}

/// One leadership.
struct Term {
    since: Instant,
    coordinator: Coordinator,
    scouts: Scouts,
    /// Who waits for the order's end.
    progress: Option<mpsc::Sender<Progress>>,
}

impl Shell {
    pub fn new(head: Arc<Head>, settings: Settings, tls: Option<ClientTls>) -> (Shell, Desk) {
        let (sender, asks) = mpsc::channel(ASKS_MAX);
        let desk = Desk { asks: sender, entries: Arc::default() };
        (Shell { head, settings, tls, desk: desk.clone(), asks }, desk)
    }

    /// Until its task is dropped.
    pub async fn run(mut self) {
        let mut view = self.head.view();
        let mut term: Option<Term> = None;
        loop {
            view.borrow_and_update();
            let pause = match self.check_term(&mut term) {
                Some(record) => {
                    let Some(term) = &mut term else { continue };
                    term.scouts.follow(&record);
                    self.turn(term, record).await
                }
                None => IDLE,
            };
            let hear = async {
                match &mut term {
                    Some(term) => term.scouts.hear().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = hear => {}
                changed = view.changed() => if changed.is_err() { return },
                Some(ask) = self.asks.recv() => self.handle_ask(&mut term, ask),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins a term when a leadership has begun, and ends it with it. Some: the record that is led by.
    fn check_term(&self, term: &mut Option<Term>) -> Option<Arc<Record>> {
        let now = Instant::now();
        // The book is there when the store has been read.
        let since = self.head.with_leases(now, |leases| leases.since()).ok();
        if term.as_ref().map(|term| term.since) != since {
            self.head.tally().end_term();
            *term = since.map(|since| Term {
                since,
                coordinator: Coordinator::new(self.settings.clone()),
                scouts: Scouts::new(self.tls.clone()),
                progress: None,
            });
        }
        since.and_then(|_| self.head.record())
    }

    /// Looks, judges, changes. Returns when to do so again at the latest.
    async fn turn(&self, term: &mut Term, record: Arc<Record>) -> Duration {
        let now = Instant::now();
        let Some(sight) = self.look(now, term, record) else { return IDLE };
        let next = term.coordinator.step(now, &sight);
        self.tell(term);
        if let Some(next) = next {
            let reason = next.reason.clone();
            match self.change(sight.epoch(), next).await {
                Ok(()) => return Duration::ZERO,
                Err(refusal) => {
                    tracing::warn!(event = "move_refused", reason, "the topology was not changed: {refusal}");
                    return AGAIN;
                }
            }
        }
        let busy = matches!(sight.record.phase, Phase::Handover { .. });
        let due = term.coordinator.due().map_or(IDLE, |due| due.saturating_duration_since(now));
        due.min(if busy { AGAIN } else { IDLE })
    }

    fn look(&self, now: Instant, term: &Term, record: Arc<Record>) -> Option<Sight> {
        let look = |leases: &mut crate::controller::leases::Leases| {
            let members = term.scouts.members(|name| leases.left(now, Kind::Tablet, name));
            let gates = leases.held(now, Kind::Gate).map(|(name, holder, _)| GateSight::of(name, holder));
            (members, gates.collect::<Vec<_>>())
        };
        let (members, gates) = self.head.with_leases(now, look).ok()?;
        Some(Sight { record, members, gates })
    }

    async fn change(&self, epoch: u64, next: Move) -> Result<(), Refusal> {
        let edit = |record: &Record| Ok(Some(next.edit(record)));
        self.head.change("the controller", Some(Epoch::new(epoch)), edit).await.map(drop)
    }

    fn tell(&self, term: &mut Term) {
        while let Some(event) = term.coordinator.poll_event() {
            self.head.tally().handle_event(&event);
            let Event { kind, epoch, text, parts } = event;
            match kind.is_trouble() {
                true => tracing::warn!(event = "failover", kind = kind.name(), epoch, "{text}"),
                false => tracing::info!(event = "failover", kind = kind.name(), epoch, "{text}"),
            }
            if let Some(progress) = &term.progress {
                let _ = progress.try_send(Progress::Step(format!("{}: {text}", kind.name())));
            }
            let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            self.desk.add(Entry { unix_ms, epoch, kind: kind.name(), text, parts });
        }
        if let Some(end) = term.coordinator.take_order_end()
            && let Some(progress) = term.progress.take()
        {
            let _ = progress.try_send(match end {
                OrderEnd::Done => Progress::Done("the primary has moved".to_string()),
                OrderEnd::GivenUp(why) => Progress::GivenUp(why),
            });
        }
    }

    fn handle_ask(&self, term: &mut Option<Term>, ask: Ask) {
        let now = Instant::now();
        let sight = term.as_ref().and_then(|term| self.look(now, term, self.head.record()?));
        let (Some(term), Some(sight)) = (term.as_mut(), sight) else {
            // Whoever asks hears that nobody answers; the service has sent it to the leader before.
            return;
        };
        match ask {
            Ask::Switchover { heir, drain, is_dry_run, answer, progress } => {
                let outcome = begin(now, term, &sight, heir, drain, is_dry_run);
                if outcome.is_ok() && !is_dry_run {
                    term.progress = Some(progress);
                }
                let _ = answer.send(outcome);
            }
            Ask::AcceptLoss { answer } => {
                let outcome = match sight.record.phase {
                    Phase::Interregnum { heir: None, .. } => Ok(()),
                    _ => Err("no failover waits for anybody: see weir ctl topology".to_string()),
                };
                if outcome.is_ok() {
                    term.coordinator.accept_loss();
                }
                let _ = answer.send(outcome);
            }
        }
    }
}

/// Ok: who is to follow.
fn begin(
    now: Instant,
    term: &mut Term,
    sight: &Sight,
    heir: Option<String>,
    drain: Duration,
    is_dry_run: bool,
) -> Result<String, String> {
    let heir = match heir {
        Some(heir) => heir,
        None => order::nearest(sight, term.coordinator.settings())
            .ok_or("no replica can follow now: see weir ctl tablets")?,
    };
    let order = Order { heir: heir.clone(), drain, epoch: None };
    match is_dry_run {
        true => order::check(now, sight, term.coordinator.settings(), &order)?,
        false => term.coordinator.order(now, sight, order)?,
    }
    Ok(heir)
}

/// Without anything new: leases and the store may have changed.
const IDLE: Duration = Duration::from_millis(200);

/// After a change that was refused, and while gates drain: their word comes with a lease, which nothing else tells of.
const AGAIN: Duration = Duration::from_millis(5);

/// Questions that wait.
const ASKS_MAX: usize = 16;

/// Events that are kept for operators.
const ENTRIES_MAX: usize = 1_000;
