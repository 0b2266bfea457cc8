//! The steward: it brings the tablet's own server to what the topology's record says, one deed at a time.
//!
//! ```text
//!   record, lease ─┐
//!   Look ── Own ───┴► next_deed ─► Deed ─► Hands ─► server        again from the top, until there is nothing to do
//!                         └► Care ─► Hub ─► the tablet's word
//! ```
//! Invariant: nobody sends it orders. Each turn looks at the server anew and decides from what is so then, so a turn that was
//! cut short, a tablet that was restarted, a record that was replaced in the middle are nothing special. A deed that could make
//! the server writable is given up when the record changes or the lease comes near its end; a fence never is.
//! The end of a lease is found by this task's own timer; no message is needed for it.

pub mod trouble;
pub mod verdict;

use super::hands::fence::LastResort;
use super::hands::view::{Channel, OwnGroup};
use super::hands::{Hands, Look, Obstacle, View, peer};
use super::hub::Hub;
use super::word::{Care, Word};
use crate::client::ClientError;
use crate::config::tablet::SemiSyncWish;
use crate::controller::client::Lease;
use crate::controller::record::Record;
use crate::monitor::facts::Receiver;
use crate::monitor::{Fault, Standing};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use trouble::{Again, Trouble};
use verdict::{Case, Deed, Own, Verdict, margin, next_deed, suspect};
use weir_net::gtid::GtidSet;

/// What a steward is made of.
pub struct Setup {
    /// The member's name.
    pub name: String,
    pub hands: Hands,
    pub record: watch::Receiver<Option<Arc<Record>>>,
    pub lease: watch::Receiver<Lease>,
    pub hub: Hub,
    /// The watcher looks at once.
    pub nudge: Arc<Notify>,
    pub semi_sync: SemiSyncWish,
    pub last_resort: LastResort,
    /// For one look.
    pub timeout: Duration,
}

pub struct Steward {
    setup: Setup,
    look: Option<Look>,
    own: Own,
    trouble: Trouble,
    /// When the first record was known: from then on a lease is waited for.
    began: Option<Instant>,
    /// Of the record that the last turn followed.
    epoch: u64,
    extra: GtidSet,
    cleared: GtidSet,
    /// The first view in which all was as the record wants it, since something was done: the word is settled when it shows
    /// no less.
    witness: Option<Box<View>>,
    settled: u64,
    /// At the last look it belonged to a replication group.
    is_in_group: bool,
    /// A deed was given up, and its statement may still be under way.
    is_unsure: bool,
    last_looked: Instant,
}

/// Why a deed was given up.
enum Ended {
    Done(Result<(), Obstacle>),
    GivenUp,
}

impl Steward {
    pub fn new(setup: Setup) -> Steward {
        let own = Own::Silent { why: "it has not been looked at yet".to_string(), may_be_writable: true };
        Steward {
            setup,
            look: None,
            own,
            trouble: Trouble::default(),
            began: None,
            epoch: 0,
            extra: GtidSet::new(),
            cleared: GtidSet::new(),
            witness: None,
            settled: 0,
            is_in_group: false,
            is_unsure: false,
            last_looked: Instant::now(),
        }
    }

    /// Never ends.
    pub async fn run(mut self) {
        self.setup.hub.handle_care(Care { is_managed: true, ..Care::default() });
        loop {
            let record = self.setup.record.borrow_and_update().clone();
            self.setup.lease.borrow_and_update();
            let epoch = record.as_ref().map_or(0, |record| record.epoch.number());
            if epoch != self.epoch {
                (self.epoch, self.witness) = (epoch, None);
                self.trouble.clear();
            }
            let Some(record) = record else {
                self.rest(None, None).await;
                continue;
            };
            self.began.get_or_insert_with(Instant::now);
            self.see(&record).await;
            let verdict = self.judge(&record);
            self.tell(&record, &verdict);
            match verdict {
                Verdict::Due(deed) => self.perform(&record, deed).await,
                Verdict::Resting { until, .. } => self.rest(Some(&record), Some(until)).await,
                Verdict::Idle(_) | Verdict::Stuck(_) | Verdict::Settled(_) => self.rest(Some(&record), None).await,
            }
        }
    }

    fn judge(&self, record: &Record) -> Verdict {
        next_deed(&Case {
            now: Instant::now(),
            name: &self.setup.name,
            record: Some(record),
            fence_at: self.fence_at(record),
            own: &self.own,
            extra: &self.extra,
            cleared: &self.cleared,
            semi_sync: self.setup.semi_sync,
            can_replicate: self.setup.hands.can_replicate(),
            is_in_group: self.is_in_group,
            is_wiped: self.setup.hub.word().standing == Standing::ServerWiped,
            trouble: &self.trouble,
        })
    }

    /// Until when the lease holds. A tablet that has just begun has not had one yet, and gets the time to ask for it: that of
    /// the tablet before it may still hold, and each restart of a tablet must not cut off all clients.
    fn lease_until(&self, record: &Record) -> Instant {
        let began = self.began.unwrap_or(self.last_looked);
        self.setup.lease.borrow().until.unwrap_or(began + 2 * margin(record.lease_ms))
    }

    fn fence_at(&self, record: &Record) -> Instant {
        let until = self.lease_until(record);
        until.checked_sub(margin(record.lease_ms)).unwrap_or(until)
    }

    /// Looks at the server, but no longer than until a fence may be due. When it is due, it is not looked at: a server that
    /// hangs would take the fence's time.
    async fn see(&mut self, record: &Record) {
        // A group fences itself: it is looked at as ever.
        let is_tried = self.is_in_group || !self.trouble.why(&Deed::Fence { why: String::new() }).is_empty();
        if Instant::now() >= self.fence_at(record) && self.may_be_writable() && !is_tried {
            return;
        }
        let left = self.fence_at(record).saturating_duration_since(Instant::now());
        let limit = if left.is_zero() { self.setup.timeout } else { self.setup.timeout.min(left) }.max(LOOK_MIN);
        let outcome = match tokio::time::timeout(limit, self.view(limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} ms", limit.as_millis()),
            )
            .into()),
        };
        self.last_looked = Instant::now();
        let error = match outcome {
            Ok(own) => {
                if let Own::Seen(view) = &own {
                    self.is_in_group = view.group != OwnGroup::No;
                    // Data that were cloned anew have it no more.
                    let mut gone = self.extra.clone();
                    gone.subtract(&view.executed);
                    self.extra.subtract(&gone);
                }
                self.own = own;
                return;
            }
            Err(error) => error,
        };
        self.look = None;
        let fault = Fault::of(error);
        self.own = match (fault.standing, &self.own) {
            (Standing::ServerStopped, _) => Own::Stopped(fault.why),
            // What was read-only when it was last seen comes up read-only.
            (_, Own::Seen(view)) => {
                Own::Silent { why: fault.why, may_be_writable: !(view.super_read_only && view.is_persisted) }
            }
            (_, Own::Silent { may_be_writable, .. }) => {
                Own::Silent { why: fault.why, may_be_writable: *may_be_writable }
            }
            (_, Own::Stopped(_)) => Own::Silent { why: fault.why, may_be_writable: true },
        };
    }

    fn may_be_writable(&self) -> bool {
        match &self.own {
            Own::Seen(view) => !view.super_read_only,
            Own::Silent { may_be_writable, .. } => *may_be_writable,
            Own::Stopped(_) => false,
        }
    }

    async fn view(&mut self, limit: Duration) -> Result<Own, ClientError> {
        if self.is_unsure {
            self.setup.hands.end_works().await?;
            self.is_unsure = false;
        }
        let look = match &mut self.look {
            Some(look) => look,
            none => none.insert(self.setup.hands.open().await?),
        };
        Ok(Own::Seen(Box::new(look.view(limit).await?)))
    }

    /// Does it, and remembers how that went. Looks again afterwards, and so does the watcher.
    async fn perform(&mut self, record: &Arc<Record>, deed: Deed) {
        let began = Instant::now();
        let ended = match &deed {
            Deed::Fence { .. } => {
                // A server takes one connection beyond its limit, and we may have it.
                self.look = None;
                Ended::Done(self.carry_out(record, &deed).await)
            }
            _ => {
                let (mut news, fence_at) = (self.setup.record.clone(), self.fence_at(record));
                // A lease that is over already limits only what takes a lease.
                let is_limited = Instant::now() < fence_at;
                tokio::select! {
                    outcome = self.carry_out(record, &deed) => Ended::Done(outcome),
                    Ok(()) = news.changed() => Ended::GivenUp,
                    () = tokio::time::sleep_until(fence_at), if is_limited => Ended::GivenUp,
                }
            }
        };
        self.witness = None;
        self.setup.nudge.notify_one();
        let (now, ms, epoch, name) = (Instant::now(), began.elapsed().as_millis() as u64, self.epoch, deed.name());
        match ended {
            Ended::GivenUp => {
                self.is_unsure = true;
                tracing::info!(event = "steward_deed", deed = name, epoch, ms, outcome = "given up");
            }
            Ended::Done(Ok(())) => {
                tracing::info!(event = "steward_deed", deed = name, epoch, ms, outcome = "done");
                self.handle_done(record, &deed);
                self.trouble.handle_success(now, &deed);
            }
            Ended::Done(Err(obstacle)) => {
                let why = obstacle.to_string();
                // A fence is tried ten times a second: the same news once is enough.
                if self.trouble.why(&deed) != why {
                    tracing::warn!(
                        event = "steward_deed",
                        deed = name,
                        epoch,
                        ms,
                        outcome = "failed",
                        why,
                        "{name}: {why}"
                    );
                }
                let again = if matches!(obstacle, Obstacle::NotYet(_)) { Again::Soon } else { Again::Later };
                match obstacle {
                    Obstacle::Diverged(extra) => self.extra = extra,
                    Obstacle::Client(_) => self.is_unsure = true,
                    Obstacle::NotYet(_) | Obstacle::Needs(_) => {}
                }
                self.trouble.handle_failure(now, &deed, why, again);
            }
        }
    }

    fn handle_done(&mut self, record: &Record, deed: &Deed) {
        match (deed, &self.own) {
            (Deed::Fence { .. }, _) => {
                self.own = Own::Silent { why: "it has just been fenced".to_string(), may_be_writable: false };
                self.is_unsure = false;
            }
            // The primary has all of it.
            (Deed::Follow(_) | Deed::Compare(_), Own::Seen(view)) => {
                (self.extra, self.cleared) = (GtidSet::new(), suspect(record, &view.executed));
            }
            // What a primary has is what there is.
            (Deed::Lead, _) => (self.extra, self.cleared) = (GtidSet::new(), GtidSet::new()),
            _ => {}
        }
    }

    async fn carry_out(&self, record: &Record, deed: &Deed) -> Result<(), Obstacle> {
        let Setup { hands, semi_sync, last_resort, .. } = &self.setup;
        match deed {
            Deed::Fence { why } => {
                let limit = self.fence_limit(record);
                let fenced = hands.fence(limit, *last_resort).await?;
                let executed = fenced.executed.map_or("unknown: it was killed".to_string(), |set| set.to_string());
                tracing::warn!(
                    event = "fenced",
                    epoch = self.epoch,
                    cut = fenced.cut,
                    executed,
                    why,
                    "no writes any more: {why}"
                );
                Ok(())
            }
            Deed::Persist => hands.persist_read_only().await,
            Deed::StopReceiving => hands.stop_receiving().await,
            Deed::Receive => hands.start_receiving().await,
            Deed::Apply => {
                let Own::Seen(view) = &self.own else { return Err(Obstacle::NotYet("it is not seen".to_string())) };
                let applied = hands.apply_received(view, APPLY_WAIT).await?;
                match view.channels.iter().find(|channel| !channel.last_error.is_empty() && applied.left > 0) {
                    Some(channel) => Err(Obstacle::Needs(channel.last_error.clone())),
                    None => Ok(()),
                }
            }
            Deed::Lead => hands.become_source(*semi_sync, self.fence_at(record)).await,
            Deed::Follow(source) => hands.follow(source, *semi_sync).await,
            Deed::Elect => hands.elect().await,
            Deed::Compare(source) => {
                let Own::Seen(view) = &self.own else { return Err(Obstacle::NotYet("it is not seen".to_string())) };
                hands.compare(source, view).await
            }
        }
    }

    /// To the end of the lease, if that is what ends.
    fn fence_limit(&self, record: &Record) -> Duration {
        let is_named = record.primary() == Some(&self.setup.name);
        let left = self.lease_until(record).saturating_duration_since(Instant::now());
        if is_named && left > FENCE_LIMIT_MIN { left } else { FENCE_LIMIT }
    }

    /// The word of what this turn has found.
    fn tell(&mut self, record: &Record, verdict: &Verdict) {
        let mut trouble = match verdict {
            Verdict::Idle(_) => String::new(),
            Verdict::Stuck(why) | Verdict::Settled(why) => why.clone(),
            Verdict::Due(deed) => self.trouble.why(deed).to_string(),
            Verdict::Resting { deed, why, .. } => format!("{}: {why}", deed.name()),
        };
        match (verdict, &self.own) {
            (Verdict::Settled(_), Own::Seen(view)) => {
                let witness = self.witness.get_or_insert_with(|| view.clone());
                if shows(&self.setup.hub.word(), witness) {
                    self.settled = self.epoch;
                }
            }
            _ => self.witness = None,
        }
        let mut extra = self.extra.clone();
        if let Own::Seen(view) = &self.own {
            if trouble.is_empty() {
                trouble = view.missing.join("; ");
            }
            if record.primary() != Some(&self.setup.name) {
                // Nobody can be asked while there is no primary.
                extra.merge(&peer::extra(&suspect(record, &view.executed), &self.cleared));
            }
        }
        self.setup.hub.handle_care(Care { is_managed: true, settled: self.settled, trouble, extra: Arc::new(extra) });
    }

    /// Until there is something new, or it is time to look again.
    async fn rest(&mut self, record: Option<&Record>, until: Option<Instant>) {
        let now = Instant::now();
        let mut wake = now + LOOK_PAUSE;
        if let Some(until) = until {
            wake = wake.min(until);
        }
        if let Some(record) = record {
            let fence_at = self.fence_at(record);
            if fence_at > now {
                wake = wake.min(fence_at);
            }
        }
        let mut words = self.setup.hub.subscribe();
        let before = words.borrow().mark();
        let witness = self.witness.as_deref().filter(|_| self.settled < self.epoch);
        let is_other = async {
            // Executed sets come by the thousand and are no news here. The hub outlives us.
            let _ = words.wait_for(|word| word.mark() != before || witness.is_some_and(|view| shows(word, view))).await;
        };
        tokio::select! {
            // Whoever held the other end has gone: nothing new will come from there.
            Ok(()) = self.setup.record.changed() => {}
            Ok(()) = self.setup.lease.changed() => {}
            () = is_other => {}
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Whether the word, which the watcher makes, shows no less than the view: then who reads the word and the epoch that it is
/// settled for sees all that was received and executed by then. An older look of the watcher's shows less.
fn shows(word: &Word, view: &View) -> bool {
    let Some((facts, channels)) = word.facts.as_ref().and_then(|facts| Some((facts, facts.channels.as_ref().ok()?)))
    else {
        return false;
    };
    let has = |channel: &Channel| {
        channels.iter().any(|shown| {
            let is_stopped = shown.receiver == Receiver::Stopped;
            shown.name == channel.name
                && is_stopped == (channel.receiver == Receiver::Stopped)
                && (channel.source_uuid.is_empty() || shown.source_uuid == channel.source_uuid)
                && shown.received.contains(&channel.received)
        })
    };
    facts.read_only == (view.read_only || view.super_read_only)
        && facts.server_uuid == view.uuid
        && word.executed.contains(&view.executed)
        && channels.len() == view.channels.len()
        && view.channels.iter().all(has)
}

/// Between two looks when nothing happens.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// A look gets at least so long, however near the end of a lease is: a fence that begins so much later still has most of
/// its time.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// One turn of applying; longer waits are several turns.
const APPLY_WAIT: Duration = Duration::from_millis(500);

/// For a fence that no lease limits.
const FENCE_LIMIT: Duration = Duration::from_secs(2);

/// A lease that has less left is as good as over.
const FENCE_LIMIT_MIN: Duration = Duration::from_millis(20);
