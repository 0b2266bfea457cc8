//! The mind: what a steward knows of its server, and what follows from it. The steward is the mind with hands and a clock.
//!
//! ```text
//!   begin_turn ─► look_limit ─► handle_view | handle_fault ─► judge ─► care
//!                                                              └─► deed ─► handle_done | handle_obstacle | handle_given_up
//! ```
//! Invariant: pure; time is an argument. `settled` is raised only by [`Mind::care`], after a turn that found nothing to do under
//! the record of that turn, and when the watcher's word shows no less than what was seen then.

use super::super::hands::view::{Channel, OwnGroup};
use super::super::hands::{Obstacle, View, peer};
use super::super::word::{Care, Word};
use super::trouble::{Again, Trouble};
use super::verdict::{Case, Deed, Own, Verdict, margin, next_deed, suspect};
use crate::config::tablet::SemiSyncWish;
use crate::controller::client::Lease;
use crate::controller::record::Record;
use crate::monitor::facts::Receiver;
use crate::monitor::{Fault, Standing};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

/// What never changes about a steward.
#[derive(Clone, Debug)]
pub struct Nature {
    /// The member's name.
    pub name: String,
    pub semi_sync: SemiSyncWish,
    /// The account for replication is known.
    pub can_replicate: bool,
}

#[derive(Debug)]
pub struct Mind {
    nature: Nature,
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
}

impl Mind {
    pub fn new(nature: Nature) -> Mind {
        let own = Own::Silent { why: "it has not been looked at yet".to_string(), may_be_writable: true };
        Mind {
            nature,
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
        }
    }

    pub fn own(&self) -> &Own {
        &self.own
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last failure of such a deed.
    pub fn why(&self, deed: &Deed) -> &str {
        self.trouble.why(deed)
    }

    /// A view that is taken now is of use only when no statement of a deed that was given up is under way any more.
    pub fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// None is under way any more.
    pub fn handle_sure(&mut self) {
        self.is_unsure = false;
    }

    /// The first thing in each turn.
    pub fn begin_turn(&mut self, now: Instant, record: Option<&Record>) {
        let epoch = record.map_or(0, |record| record.epoch.number());
        if epoch != self.epoch {
            (self.epoch, self.witness) = (epoch, None);
            self.trouble.clear();
        }
        if record.is_some() {
            self.began.get_or_insert(now);
        }
    }

    /// Until when the lease holds. A tablet that has just begun has not had one yet, and gets the time to ask for it: that of
    /// the tablet before it may still hold, and each restart of a tablet must not cut off all clients.
    fn lease_until(&self, now: Instant, record: &Record, lease: &Lease) -> Instant {
        lease.until.unwrap_or(self.began.unwrap_or(now) + 2 * margin(record.lease_ms))
    }

    pub fn fence_at(&self, now: Instant, record: &Record, lease: &Lease) -> Instant {
        let until = self.lease_until(now, record, lease);
        until.checked_sub(margin(record.lease_ms)).unwrap_or(until)
    }

    /// How long a look may take: no longer than until a fence may be due. None: it is due, and the server is not looked at,
    /// since one that hangs would take the fence's time.
    pub fn look_limit(&self, now: Instant, record: &Record, lease: &Lease, most: Duration) -> Option<Duration> {
        let fence_at = self.fence_at(now, record, lease);
        // A group fences itself: it is looked at as ever.
        let is_tried = self.is_in_group || !self.trouble.why(&Deed::Fence { why: String::new() }).is_empty();
        if now >= fence_at && self.may_be_writable() && !is_tried {
            return None;
        }
        let left = fence_at.saturating_duration_since(now);
        Some(if left.is_zero() { most } else { most.min(left) }.max(LOOK_MIN))
    }

    pub fn handle_view(&mut self, view: View) {
        self.is_in_group = view.group != OwnGroup::No;
        // Data that were cloned anew have it no more.
        let mut gone = self.extra.clone();
        gone.subtract(&view.executed);
        self.extra.subtract(&gone);
        self.own = Own::Seen(Box::new(view));
    }

    pub fn handle_fault(&mut self, fault: Fault) {
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

    /// `word`: what the watcher knows.
    pub fn judge(&self, now: Instant, record: &Record, lease: &Lease, word: &Word) -> Verdict {
        next_deed(&Case {
            now,
            name: &self.nature.name,
            record: Some(record),
            fence_at: self.fence_at(now, record, lease),
            has_lease: lease.until.is_some(),
            own: &self.own,
            extra: &self.extra,
            cleared: &self.cleared,
            semi_sync: self.nature.semi_sync,
            can_replicate: self.nature.can_replicate,
            is_in_group: self.is_in_group,
            is_wiped: word.standing == Standing::ServerWiped,
            trouble: &self.trouble,
        })
    }

    /// What the word is to say of what this turn has found.
    pub fn care(&mut self, record: &Record, verdict: &Verdict, word: &Word) -> Care {
        let mut trouble = match verdict {
            Verdict::Idle(_) => String::new(),
            Verdict::Stuck(why) | Verdict::Settled(why) => why.clone(),
            Verdict::Due(deed) => self.trouble.why(deed).to_string(),
            Verdict::Resting { deed, why, .. } => format!("{}: {why}", deed.name()),
        };
        match (verdict, &self.own) {
            (Verdict::Settled(_), Own::Seen(view)) => {
                let witness = self.witness.get_or_insert_with(|| view.clone());
                if shows(word, witness) {
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
            if record.primary() != Some(&self.nature.name) {
                // Nobody can be asked while there is no primary.
                extra.merge(&peer::extra(&suspect(record, &view.executed), &self.cleared));
            }
        }
        Care { is_managed: true, settled: self.settled, trouble, extra: Arc::new(extra) }
    }

    /// What a word must show before this epoch is settled; None: nothing is waited for.
    pub fn awaited(&self) -> Option<&View> {
        self.witness.as_deref().filter(|_| self.settled < self.epoch)
    }

    /// A deed that may not be finished when the record changes or the lease ends; until when, if its lease is not over yet.
    /// A lease that is over already limits only what takes a lease.
    pub fn deed_until(&self, now: Instant, record: &Record, lease: &Lease) -> Option<Instant> {
        Some(self.fence_at(now, record, lease)).filter(|fence_at| now < *fence_at)
    }

    /// How long a fence may take: to the end of the lease, if that is what ends.
    pub fn fence_limit(&self, now: Instant, record: &Record, lease: &Lease) -> Duration {
        let is_named = record.primary() == Some(&self.nature.name);
        let left = self.lease_until(now, record, lease).saturating_duration_since(now);
        if is_named && left > FENCE_LIMIT_MIN { left } else { FENCE_LIMIT }
    }

    pub fn handle_given_up(&mut self) {
        (self.witness, self.is_unsure) = (None, true);
    }

    pub fn handle_done(&mut self, now: Instant, record: &Record, deed: &Deed) {
        self.witness = None;
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
        self.trouble.handle_success(now, deed);
    }

    pub fn handle_obstacle(&mut self, now: Instant, deed: &Deed, obstacle: Obstacle) {
        self.witness = None;
        let why = obstacle.to_string();
        let again = if matches!(obstacle, Obstacle::NotYet(_)) { Again::Soon } else { Again::Later };
        match obstacle {
            Obstacle::Diverged(extra) => self.extra = extra,
            Obstacle::Client(_) => self.is_unsure = true,
            Obstacle::NotYet(_) | Obstacle::Needs(_) => {}
        }
        self.trouble.handle_failure(now, deed, why, again);
    }
}

/// Whether the word, which the watcher makes, shows no less than the view: then who reads the word and the epoch that it is
/// settled for sees all that was received and executed by then. An older look of the watcher's shows less.
pub fn shows(word: &Word, view: &View) -> bool {
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

/// A look gets at least so long, however near the end of a lease is: a fence that begins so much later still has most of
/// its time.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// For a fence that no lease limits.
const FENCE_LIMIT: Duration = Duration::from_secs(2);

/// A lease that has less left is as good as over.
const FENCE_LIMIT_MIN: Duration = Duration::from_millis(20);
