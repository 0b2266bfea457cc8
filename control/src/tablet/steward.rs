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

pub mod mind;
pub mod trouble;
pub mod verdict;

use super::hands::fence::LastResort;
use super::hands::{Hands, Look, Obstacle};
use super::hub::Hub;
use super::tally::End;
use super::word::Care;
use crate::client::ClientError;
use crate::config::tablet::SemiSyncWish;
use crate::controller::client::Lease;
use crate::controller::record::Record;
use crate::monitor::Fault;
use mind::{Mind, Nature, shows};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use verdict::{Deed, Own, Verdict};

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
    mind: Mind,
    look: Option<Look>,
}

/// Why a deed was given up.
enum Ended {
    Done(Result<(), Obstacle>),
    GivenUp,
}

impl Steward {
    pub fn new(setup: Setup) -> Steward {
        let nature =
            Nature { name: setup.name.clone(), semi_sync: setup.semi_sync, can_replicate: setup.hands.can_replicate() };
        Steward { setup, mind: Mind::new(nature), look: None }
    }

    /// Never ends.
    pub async fn run(mut self) {
        self.setup.hub.handle_care(Care { is_managed: true, ..Care::default() });
        loop {
            let record = self.setup.record.borrow_and_update().clone();
            self.setup.lease.borrow_and_update();
            self.mind.begin_turn(Instant::now(), record.as_deref());
            let Some(record) = record else {
                self.rest(None, None).await;
                continue;
            };
            self.see(&record).await;
            let word = self.setup.hub.word();
            let verdict = self.mind.judge(Instant::now(), &record, &self.lease(), &word);
            self.setup.hub.handle_care(self.mind.care(&record, &verdict, &word));
            match verdict {
                Verdict::Due(deed) => self.perform(&record, deed).await,
                Verdict::Resting { until, .. } => self.rest(Some(&record), Some(until)).await,
                Verdict::Idle(_) | Verdict::Stuck(_) | Verdict::Settled(_) => self.rest(Some(&record), None).await,
            }
        }
    }

    fn lease(&self) -> Lease {
        self.setup.lease.borrow().clone()
    }

    /// Looks at the server, unless a fence is due.
    async fn see(&mut self, record: &Record) {
        let Some(limit) = self.mind.look_limit(Instant::now(), record, &self.lease(), self.setup.timeout) else {
            return;
        };
        let outcome = match tokio::time::timeout(limit, self.view(limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} ms", limit.as_millis()),
            )
            .into()),
        };
        if let Err(error) = outcome {
            self.look = None;
            self.mind.handle_fault(Fault::of(error));
        }
    }

    async fn view(&mut self, limit: Duration) -> Result<(), ClientError> {
        if self.mind.is_unsure() {
            self.setup.hands.end_works().await?;
            self.mind.handle_sure();
        }
        let look = match &mut self.look {
            Some(look) => look,
            none => none.insert(self.setup.hands.open().await?),
        };
        let view = look.view(limit).await?;
        self.mind.handle_view(view);
        Ok(())
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
                let mut news = self.setup.record.clone();
                let until = self.mind.deed_until(began, record, &self.lease());
                tokio::select! {
                    outcome = self.carry_out(record, &deed) => Ended::Done(outcome),
                    Ok(()) = news.changed() => Ended::GivenUp,
                    () = tokio::time::sleep_until(until.unwrap_or(began)), if until.is_some() => Ended::GivenUp,
                }
            }
        };
        self.setup.nudge.notify_one();
        let (now, ms, epoch, name) =
            (Instant::now(), began.elapsed().as_millis() as u64, self.mind.epoch(), deed.name());
        let end = match &ended {
            Ended::GivenUp => End::GivenUp,
            Ended::Done(Ok(())) => End::Done,
            Ended::Done(Err(_)) => End::Failed,
        };
        self.setup.hands.tally().handle_deed(name, end, now.saturating_duration_since(began));
        match ended {
            Ended::GivenUp => {
                self.mind.handle_given_up();
                tracing::info!(event = "steward_deed", deed = name, epoch, ms, outcome = "given up");
            }
            Ended::Done(Ok(())) => {
                tracing::info!(event = "steward_deed", deed = name, epoch, ms, outcome = "done");
                self.mind.handle_done(now, record, &deed);
            }
            Ended::Done(Err(obstacle)) => {
                let why = obstacle.to_string();
                // A fence is tried ten times a second: the same news once is enough.
                if self.mind.why(&deed) != why {
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
                self.mind.handle_obstacle(now, &deed, obstacle);
            }
        }
    }

    async fn carry_out(&self, record: &Record, deed: &Deed) -> Result<(), Obstacle> {
        let Setup { hands, semi_sync, last_resort, .. } = &self.setup;
        match deed {
            Deed::Fence { why } => {
                let limit = self.mind.fence_limit(Instant::now(), record, &self.lease());
                let fenced = hands.fence(limit, *last_resort).await?;
                let executed = fenced.executed.map_or("unknown: it was killed".to_string(), |set| set.to_string());
                tracing::warn!(
                    event = "fenced",
                    epoch = self.mind.epoch(),
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
                let Own::Seen(view) = self.mind.own() else {
                    return Err(Obstacle::NotYet("it is not seen".to_string()));
                };
                let applied = hands.apply_received(view, APPLY_WAIT).await?;
                match view.channels.iter().find(|channel| !channel.last_error.is_empty() && applied.left > 0) {
                    Some(channel) => Err(Obstacle::Needs(channel.last_error.clone())),
                    None => Ok(()),
                }
            }
            Deed::Lead => {
                hands.become_source(*semi_sync, self.mind.fence_at(Instant::now(), record, &self.lease())).await
            }
            Deed::Follow(source) => hands.follow(source, *semi_sync).await,
            Deed::Elect => hands.elect().await,
            Deed::Compare(source) => {
                let Own::Seen(view) = self.mind.own() else {
                    return Err(Obstacle::NotYet("it is not seen".to_string()));
                };
                hands.compare(source, view).await
            }
        }
    }

    /// Until there is something new, or it is time to look again.
    async fn rest(&mut self, record: Option<&Record>, until: Option<Instant>) {
        let now = Instant::now();
        let mut wake = now + LOOK_PAUSE;
        if let Some(until) = until {
            wake = wake.min(until);
        }
        if let Some(record) = record {
            let fence_at = self.mind.fence_at(now, record, &self.lease());
            if fence_at > now {
                wake = wake.min(fence_at);
            }
        }
        let mut words = self.setup.hub.subscribe();
        let before = words.borrow().mark();
        let witness = self.mind.awaited();
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

/// Between two looks when nothing happens.
pub const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// One turn of applying; longer waits are several turns.
pub const APPLY_WAIT: Duration = Duration::from_millis(500);
