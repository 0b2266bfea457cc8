//! The head: what one controller knows, and the one place that changes the record.
//!
//! ```text
//!   store.leadership ─┐                        ┌─► view: streams, followers' answers
//!   store.heard ──────┴─► run ─► Guard ────────┤
//!   change (one at a time, leader only) ─ swap ┘    leases: the book of our leadership
//! ```
//! Invariant: the record that is shown is always one that the store has had. Changes are made one at a time, on the
//! record of the known revision; after a swap of unknown outcome the store is asked before anything else is written.

use super::epoch::{Admission, Epoch, Guard};
use super::leases::Leases;
use super::limits;
use super::record::Record;
use super::tally::Tally;
use super::wire;
use crate::store::{Leadership, Peer, Revision, Store, StoreError, Stored, Swap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

pub struct Head {
    store: Arc<dyn Store>,
    cluster: String,
    lease_ms: u32,
    state: Mutex<State>,
    /// Held by whoever changes the record.
    turn: tokio::sync::Mutex<()>,
    view: watch::Sender<View>,
    tally: Tally,
}

/// What anybody may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub record: Option<Arc<Record>>,
    /// Why news is missed.
    pub cut: Option<String>,
}

struct State {
    guard: Guard,
    /// Of the guard's record; None: the store must be asked first.
    revision: Option<Revision>,
    leadership: Leadership,
    /// While we lead, and have read the store since.
    leases: Option<Leases>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Ask the leader, if one is known.
    NotLeader(Option<String>),
    /// We lead, and have not read the store yet.
    Starting,
    /// The record has another epoch than the expected one.
    Conflict(Epoch),
    /// It may not be done, whoever asks and whenever.
    Wrong(String),
    /// It may not be done now.
    NotNow(String),
    /// Register again.
    UnknownLease,
    Store(StoreError),
}

impl Head {
    /// `lease_ms` is for a new cluster; a known one has its own.
    pub fn new(store: Arc<dyn Store>, cluster: &str, lease_ms: u32) -> Arc<Head> {
        let state =
            State { guard: Guard::default(), revision: None, leadership: Leadership::Theirs(None), leases: None };
        Arc::new(Head {
            store,
            cluster: cluster.to_string(),
            lease_ms,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            view: watch::channel(View::default()).0,
            tally: Tally::default(),
        })
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub fn record(&self) -> Option<Arc<Record>> {
        self.state().guard.record().cloned()
    }

    pub async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.store.peers().await
    }

    /// Follows the store until its task is dropped.
    pub async fn run(self: Arc<Head>) {
        let (mut heard, mut leadership) = (self.store.heard(), self.store.leadership());
        loop {
            let next = leadership.borrow_and_update().clone();
            self.handle_leadership(next);
            let stored = heard.borrow_and_update().clone();
            if let Some(stored) = stored {
                self.handle_heard(&stored);
            }
            let pause = match self.is_starting() {
                true if self.take_over().await => continue,
                true => RETRY,
                false => IDLE,
            };
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                changed = heard.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn handle_leadership(&self, next: Leadership) {
        let mut state = self.state();
        let is_same_term = match (&state.leadership, &next) {
            (Leadership::Ours { since: before, .. }, Leadership::Ours { since, .. }) => before == since,
            _ => false,
        };
        if !is_same_term && state.leadership != next {
            tell(&next);
            match &next {
                Leadership::Ours { .. } => self.tally.elected(),
                Leadership::Cut(_) => self.tally.store_failed(),
                Leadership::Theirs(_) => {}
            }
            // What was known of the store may be old by now.
            (state.revision, state.leases) = (None, None);
        }
        let cut = match &next {
            Leadership::Cut(why) => Some(why.clone()),
            Leadership::Ours { .. } | Leadership::Theirs(_) => None,
        };
        state.leadership = next;
        drop(state);
        self.view.send_if_modified(|view| std::mem::replace(&mut view.cut, cut.clone()) != cut);
    }

    /// Our own swaps are heard too, later than we know of them.
    fn handle_heard(&self, stored: &Stored) {
        let (known, seen) = {
            let state = self.state();
            (state.revision, state.guard.epoch())
        };
        let is_news = known.is_none_or(|known| known < stored.revision);
        // After a time without the store, what was heard last may be older than what was read.
        let is_old = wire::decode(&stored.bytes).is_ok_and(|record| record.epoch < seen);
        if is_news && !is_old {
            // What is not believed was logged; the record that was known holds.
            let _ = self.admit(stored);
        }
    }

    fn is_starting(&self) -> bool {
        let state = self.state();
        state.leadership.is_ours(Instant::now()) && state.leases.is_none()
    }

    /// The first thing that a new leader does: reads the record, or makes the first one.
    async fn take_over(&self) -> bool {
        let _turn = self.turn.lock().await;
        let read = match self.reload().await {
            Ok(None) => self.found().await,
            Ok(Some(_)) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        let mut state = self.state();
        match (read, state.guard.record().cloned(), &state.leadership) {
            (Ok(()), Some(record), Leadership::Ours { since, .. }) => {
                let leases = Leases::new(*since, record.lease_ms, unix_ms());
                state.leases = Some(leases);
                tracing::info!(event = "leading", epoch = record.epoch.number(), "this controller leads");
                true
            }
            (Err(refusal), ..) => {
                tracing::error!(event = "store_failed", "this controller cannot lead: {refusal}");
                false
            }
            _ => false,
        }
    }

    /// The store holds nothing: a cluster begins.
    async fn found(&self) -> Result<(), Refusal> {
        if let Some(seen) = self.record() {
            let why = format!("the store is empty, and epoch {} was seen before: restore it from a copy", seen.epoch);
            return Err(Refusal::NotNow(why));
        }
        let mut first = Record::forming(&self.cluster, self.lease_ms);
        first.changed_unix_ms = unix_ms();
        first.check().map_err(Refusal::Wrong)?;
        self.swap(Revision::default(), first).await.map(drop)
    }

    /// Asks the store. Some: the record and its revision.
    async fn reload(&self) -> Result<Option<(Arc<Record>, Revision)>, Refusal> {
        let Some(stored) = self.store.load().await.map_err(|error| self.failed(error))? else { return Ok(None) };
        self.admit(&stored).map(|record| Some((record, stored.revision))).map_err(Refusal::NotNow)
    }

    /// Believes what the store holds, or says why not.
    fn admit(&self, stored: &Stored) -> Result<Arc<Record>, String> {
        let doubt = |why: String| {
            tracing::error!(event = "record_refused", "what the store holds is not believed: {why}");
            why
        };
        let record = wire::decode(&stored.bytes).map_err(doubt)?;
        if record.cluster != self.cluster {
            return Err(doubt(format!("it is of the cluster '{}', this is '{}'", record.cluster, self.cluster)));
        }
        let mut state = self.state();
        match state.guard.admit(record) {
            Admission::News(record) => {
                state.revision = Some(stored.revision);
                drop(state);
                tracing::info!(event = "topology_changed", epoch = record.epoch.number(), reason = record.reason);
                self.show(&record);
                Ok(record)
            }
            Admission::Known => {
                state.revision = Some(stored.revision);
                state.guard.record().cloned().ok_or_else(String::new)
            }
            Admission::Refused(refused) => Err(doubt(refused.to_string())),
        }
    }

    fn show(&self, record: &Arc<Record>) {
        self.view.send_if_modified(|view| {
            let is_news = view.record.as_ref().is_none_or(|shown| shown.epoch < record.epoch);
            if is_news {
                view.record = Some(record.clone());
            }
            is_news
        });
    }

    /// Makes the next record of the one that holds. `edit` gives None when nothing need change.
    pub async fn change(
        &self,
        by: &str,
        expected: Option<Epoch>,
        edit: impl FnOnce(&Record) -> Result<Option<Record>, Refusal>,
    ) -> Result<Arc<Record>, Refusal> {
        let _turn = self.turn.lock().await;
        let (record, revision) = self.base().await?;
        if expected.is_some_and(|expected| expected != record.epoch) {
            return Err(Refusal::Conflict(record.epoch));
        }
        let Some(mut next) = edit(&record)? else { return Ok(record) };
        next.epoch = record.epoch.next().ok_or_else(|| Refusal::Wrong("no epoch is left".to_string()))?;
        (next.changed_by, next.changed_unix_ms) = (by.to_string(), unix_ms());
        record.check_next(&next).map_err(Refusal::Wrong)?;
        self.swap(revision, next).await
    }

    async fn base(&self) -> Result<(Arc<Record>, Revision), Refusal> {
        self.check_leader(Instant::now())?;
        let known = {
            let state = self.state();
            state.guard.record().cloned().zip(state.revision)
        };
        match known {
            Some(base) => Ok(base),
            None => self.reload().await?.ok_or(Refusal::Starting),
        }
    }

    async fn swap(&self, revision: Revision, next: Record) -> Result<Arc<Record>, Refusal> {
        let bytes = wire::encode(&next);
        if bytes.len() > limits::RECORD_BYTES_MAX {
            let most = limits::RECORD_BYTES_MAX;
            return Err(Refusal::Wrong(format!("the topology would have {} bytes: {most} at most", bytes.len())));
        }
        match self.store.swap(revision, &bytes).await {
            Ok(Swap::Done(revision)) => self.admit(&Stored { revision, bytes }).map_err(Refusal::NotNow),
            Ok(Swap::Lost) => {
                self.state().revision = None;
                let now = self.reload().await?;
                Err(Refusal::Conflict(now.map_or(Epoch::NONE, |(record, _)| record.epoch)))
            }
            Ok(Swap::Deposed) => {
                self.state().revision = None;
                Err(Refusal::NotLeader(None))
            }
            Err(error @ StoreError::Failed(_)) => Err(self.failed(error)),
            Err(StoreError::Unknown(why)) => {
                self.tally.store_failed();
                self.state().revision = None;
                self.settle(revision, &bytes, why).await
            }
        }
    }

    /// A swap was sent and not answered: the store may tell what came of it.
    async fn settle(&self, before: Revision, bytes: &[u8], why: String) -> Result<Arc<Record>, Refusal> {
        match self.store.load().await {
            Ok(Some(stored)) if stored.bytes == bytes => self.admit(&stored).map_err(Refusal::NotNow),
            // Another's swap came first, so ours, which expected what was before, never will be made.
            Ok(Some(stored)) if stored.revision != before => {
                let record = self.admit(&stored).map_err(Refusal::NotNow)?;
                Err(Refusal::Conflict(record.epoch))
            }
            // It may still be on its way.
            Ok(_) | Err(_) => Err(Refusal::Store(StoreError::Unknown(why))),
        }
    }

    /// Since when we lead, as the store says it at this moment.
    pub fn check_leader(&self, now: Instant) -> Result<Instant, Refusal> {
        match &*self.store.leadership().borrow() {
            Leadership::Ours { since, until } if now < *until => Ok(*since),
            Leadership::Ours { .. } => Err(Refusal::NotLeader(None)),
            Leadership::Theirs(leader) => Err(Refusal::NotLeader(leader.clone())),
            Leadership::Cut(why) => Err(Refusal::Store(StoreError::Failed(why.clone()))),
        }
    }

    /// The book of leases, if we lead now.
    pub fn with_leases<T>(&self, now: Instant, work: impl FnOnce(&mut Leases) -> T) -> Result<T, Refusal> {
        let since = self.check_leader(now)?;
        // The book of an earlier leadership of ours knows nothing of what others gave since.
        self.state().leases.as_mut().filter(|leases| leases.since() == since).map(work).ok_or(Refusal::Starting)
    }

    fn failed(&self, error: StoreError) -> Refusal {
        self.tally.store_failed();
        Refusal::Store(error)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes of it; a poisoned lock would still hold a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(leadership: &Leadership) {
    match leadership {
        Leadership::Ours { .. } => tracing::info!(event = "elected", "this controller was elected"),
        Leadership::Theirs(Some(leader)) => tracing::info!(event = "following", leader, "{leader} leads"),
        Leadership::Theirs(None) => tracing::info!(event = "no_leader", "no controller leads"),
        Leadership::Cut(why) => tracing::warn!(event = "store_cut", "the store cannot be reached: {why}"),
    }
}

/// For people, and to make ids of two leaderships differ.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NotLeader(Some(leader)) => write!(f, "this controller follows: ask the leader, {leader}"),
            Refusal::NotLeader(None) => {
                f.write_str("this controller does not lead, and knows nobody who does: try again")
            }
            Refusal::Starting => f.write_str("this controller has just begun to lead: try again"),
            Refusal::Conflict(epoch) => write!(f, "the topology has epoch {epoch} by now: look at it again"),
            Refusal::Wrong(why) | Refusal::NotNow(why) => f.write_str(why),
            Refusal::UnknownLease => f.write_str("this lease is not known here: register again"),
            Refusal::Store(error) => error.fmt(f),
        }
    }
}

/// Between two attempts to read the store at the start of a leadership.
const RETRY: Duration = Duration::from_millis(100);

/// Without anything to do: any long time.
const IDLE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
