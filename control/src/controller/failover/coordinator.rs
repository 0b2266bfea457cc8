//! The coordinator: what the record should be next.
//!
//! ```text
//!   Steady      dead for `detect` ───────────────────────────► Interregnum{}            a failover begins
//!               an order ────────────────────────────────────► Handover{heir}           a switchover begins
//!   Handover    the primary is dead ─────────────────────────► Interregnum{}
//!               no order, or the heir is unfit ──────────────► Steady{primary}          given up; nobody noticed
//!               gates drained, or the drain's time is over ──► Interregnum{heir}
//!   Interregnum{heir}   former settled, heir has all ────────► Steady{heir}
//!               former or heir is dead ──────────────────────► Interregnum{}
//!               the time to catch up is over ────────────────► Steady{former}           given up
//!   Interregnum{}       former fenced, somebody chosen ──────► Steady{chosen}
//! ```
//! Members of a replication group elect their primary themselves, and with `failover = "off"` others move the role: then the
//! record follows (`followed.rs`).
//!
//! Invariant: it is pure, and its state is the record; what it keeps beside is how long a phase has lasted, the order of a
//! switchover and what was told already. A coordinator that starts in any phase goes on from there.

mod followed;

use super::choice::{Choice, Demands, choose};
use super::events::{Event, Timeline};
use super::group;
use super::order::{self, Order, OrderEnd, short, unfit};
use super::settings::Settings;
use super::sight::Sight;
use super::verdict::{Cause, Verdict, verdict};
use crate::controller::record::{MemberState, Phase, Record, Wanted};
use crate::monitor::Standing;
use std::time::Duration;
use tokio::time::Instant;

/// The next record, as a change of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub phase: Phase,
    /// What the new primary has; None: as it is.
    pub promoted: Option<String>,
    /// State and note of members that change.
    pub members: Vec<(String, MemberState, String)>,
    pub reason: String,
}

impl Move {
    /// The record that it makes of this one, whose epoch is not the next one yet.
    pub fn edit(self, record: &Record) -> Record {
        let mut next = record.clone();
        next.phase = self.phase;
        next.promoted_gtid_executed = self.promoted.unwrap_or(next.promoted_gtid_executed);
        next.reason = self.reason;
        for (name, state, note) in self.members {
            if let Some(member) = next.members.get_mut(&name) {
                (member.state, member.note) = (state, note);
            }
        }
        next
    }
}

pub struct Coordinator {
    settings: Settings,
    /// The phase's record, and when we first saw it.
    phase: Option<(Phase, Instant)>,
    order: Option<Order>,
    order_end: Option<OrderEnd>,
    accepts_loss: bool,
    /// Commits of the last primary that was seen at work waited for an acknowledgement: nothing that one of them held may be
    /// lost, also when the next one dies before it was seen to be like that.
    was_semi_sync: Option<bool>,
    /// Since when the primary has been seen to take writes, without a break.
    writable_since: Option<Instant>,
    /// When failovers began, the last few.
    began: Vec<Instant>,
    timeline: Timeline,
    /// What was told last about why nothing moves.
    complaint: String,
    /// Where others decide: since when the phase no longer fits what is seen.
    lost_at: Option<Instant>,
    /// When the next step may be due though nothing changes.
    due: Option<Instant>,
}

impl Coordinator {
    pub fn new(settings: Settings) -> Coordinator {
        Coordinator {
            settings,
            phase: None,
            order: None,
            order_end: None,
            accepts_loss: false,
            was_semi_sync: None,
            writable_since: None,
            began: Vec::new(),
            timeline: Timeline::default(),
            complaint: String::new(),
            lost_at: None,
            due: None,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When to step again, if nothing changes before.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.timeline.poll()
    }

    /// How the last order ended, once.
    pub fn take_order_end(&mut self) -> Option<OrderEnd> {
        self.order_end.take()
    }

    /// Until the next primary: whoever has most may be chosen, whatever is lost.
    pub fn accept_loss(&mut self) {
        self.accepts_loss = true;
    }

    /// Err: why it would be unsafe.
    pub fn order(&mut self, now: Instant, sight: &Sight, order: Order) -> Result<(), String> {
        if self.order.is_some() {
            return Err("another switchover is under way: wait for its end".to_string());
        }
        order::check(now, sight, &self.settings, &order)?;
        self.order = Some(order);
        Ok(())
    }

    /// What should be changed now.
    pub fn step(&mut self, now: Instant, sight: &Sight) -> Option<Move> {
        self.due = None;
        self.notice_phase(now, sight);
        let since = self.phase.as_ref().map_or(now, |(_, since)| *since);
        if group::is_group(sight) {
            return self.follow_group(now, since, sight);
        }
        if !self.settings.is_on || sight.is_unmanaged() {
            return self.follow_others(now, sight);
        }
        let next = match sight.record.phase.clone() {
            Phase::Forming => None,
            Phase::Steady { primary } => self.steady(now, sight, &primary),
            Phase::Handover { primary, heir } => self.handover(now, since, sight, &primary, &heir),
            Phase::Interregnum { former, heir: Some(heir) } => self.catching_up(now, since, sight, &former, &heir),
            Phase::Interregnum { former, heir: None } => self.vacant(now, since, sight, &former),
        };
        next.or_else(|| self.mend_members(sight))
    }

    fn notice_phase(&mut self, now: Instant, sight: &Sight) {
        if self.phase.as_ref().is_some_and(|(phase, _)| *phase == sight.record.phase) {
            return self.timeline.handle_sight(now, sight);
        }
        if self.phase.is_some() {
            self.timeline.handle_phase(now, sight);
        }
        self.complaint.clear();
        self.lost_at = None;
        self.phase = Some((sight.record.phase.clone(), now));
        self.writable_since = None;
        let is_mine = |order: &Order| order.epoch.is_none() || sight.record.heir() == Some(&order.heir);
        if let Phase::Steady { primary } = &sight.record.phase
            && let Some(order) = self.order.take_if(|order| order.epoch.is_some() || *primary == order.heir)
        {
            let end = match *primary == order.heir {
                true => OrderEnd::Done,
                false => OrderEnd::GivenUp(sight.record.reason.clone()),
            };
            self.order_end = Some(end);
        } else if let Some(order) = self.order.take_if(|order| !is_mine(order)) {
            let why = format!("the move to '{}' was overtaken: {}", order.heir, sight.record.reason);
            self.order_end = Some(OrderEnd::GivenUp(why));
        }
        if let (Phase::Handover { .. }, Some(order)) = (&sight.record.phase, &mut self.order) {
            order.epoch = Some(sight.epoch());
        }
        if matches!(sight.record.phase, Phase::Steady { .. }) {
            self.accepts_loss = false;
        }
        self.timeline.handle_sight(now, sight);
    }

    fn steady(&mut self, now: Instant, sight: &Sight, primary: &str) -> Option<Move> {
        match verdict(now, sight, primary, self.settings.disk_full) {
            Verdict::Alive => {
                self.notice_durability(now, sight, primary);
                self.complaint.clear();
                self.begin_order(primary)
            }
            Verdict::Doubt(why) => {
                self.writable_since = None;
                // The disk and the lease change with time alone.
                self.wake(now + RETRY);
                self.complain(now, format!("'{primary}': {why}"));
                None
            }
            Verdict::Dead { cause, since } => {
                self.writable_since = None;
                self.lose(now, sight, primary, cause, since)
            }
        }
    }

    /// A tablet tells of semi-synchronous replication a little later than of the rest: of a server that has just begun to take writes it
    /// says what was before, and after a restart that is "off".
    fn notice_durability(&mut self, now: Instant, sight: &Sight, primary: &str) {
        let Some(seen) = sight.member(primary).filter(|seen| seen.is_writable) else {
            self.writable_since = None;
            return;
        };
        let since = *self.writable_since.get_or_insert(now);
        let has_lasted = now.duration_since(since) > VITALS_AGE;
        if seen.semi_sync_on || has_lasted {
            self.was_semi_sync = Some(seen.semi_sync_on);
        }
    }

    fn begin_order(&mut self, primary: &str) -> Option<Move> {
        let order = self.order.as_ref().filter(|order| order.epoch.is_none())?;
        let reason = format!("a switchover from '{primary}' to '{}' was ordered", order.heir);
        let phase = Phase::Handover { primary: primary.to_string(), heir: order.heir.clone() };
        Some(Move { phase, promoted: None, members: Vec::new(), reason })
    }

    /// The primary is dead: long enough, and is there anybody to follow it?
    fn lose(&mut self, now: Instant, sight: &Sight, primary: &str, cause: Cause, since: Instant) -> Option<Move> {
        let limit = since + self.settings.detect;
        if now < limit {
            self.wake(limit);
            return None;
        }
        if !sight.others(primary).any(|(_, member, seen)| {
            member.wanted == Wanted::Any && member.state != MemberState::Diverged && seen.is_managed
        }) {
            let cause = cause.name();
            let why = format!(
                "'{primary}' is dead ({cause}), and nobody is seen who could follow it: a tablet needs controllers, admin_user \
                 and replication_user to manage its server"
            );
            self.complain(now, why);
            return None;
        }
        self.began.retain(|began| now.duration_since(*began) < WINDOW);
        if let Some(first) = self.began.first().filter(|_| self.began.len() >= self.settings.most) {
            let until = *first + WINDOW;
            self.wake(until);
            let why = format!("'{primary}' is dead, and {} others were in a minute: waiting", self.began.len());
            self.complain(now, why);
            return None;
        }
        self.began.push(now);
        self.timeline.begin(now, since, sight, primary, cause);
        let reason = format!("the primary '{primary}' is dead: {}", cause.name());
        Some(vacancy(primary, reason))
    }

    fn handover(&mut self, now: Instant, since: Instant, sight: &Sight, primary: &str, heir: &str) -> Option<Move> {
        if let Verdict::Dead { cause, since } = verdict(now, sight, primary, self.settings.disk_full) {
            return self.lose(now, sight, primary, cause, since);
        }
        self.drain(now, since, sight, primary, heir)
    }

    /// A primary that is well is about to be followed by another.
    fn drain(&mut self, now: Instant, since: Instant, sight: &Sight, primary: &str, heir: &str) -> Option<Move> {
        let uuid = sight.record.members.get(primary).map_or("", |member| &member.server_uuid);
        let Some(drain) = self.order.as_ref().map(|order| order.drain) else {
            return Some(back(
                primary,
                "the switchover was given up: the controller that began it is gone".to_string(),
            ));
        };
        if let Some(why) = unfit(sight, heir, uuid, self.settings.catch_up) {
            return Some(back(primary, format!("the switchover was given up: {why}")));
        }
        let epoch = sight.epoch();
        let is_drained = sight.gates.iter().all(|gate| gate.drained >= epoch);
        if !is_drained && now < since + drain {
            self.wake(since + drain);
            return None;
        }
        let reason = match is_drained {
            true => format!("nothing is open on '{primary}'"),
            false => format!("the drain's time is over: what is still open on '{primary}' ends"),
        };
        let phase = Phase::Interregnum { former: primary.to_string(), heir: Some(heir.to_string()) };
        Some(Move { phase, promoted: None, members: Vec::new(), reason })
    }

    fn catching_up(&mut self, now: Instant, since: Instant, sight: &Sight, former: &str, heir: &str) -> Option<Move> {
        let epoch = sight.epoch();
        let limit = since + self.settings.catch_up;
        if let Verdict::Dead { cause, since } = verdict(now, sight, former, self.settings.disk_full) {
            if now < since + self.settings.detect {
                self.wake(since + self.settings.detect);
                return None;
            }
            self.timeline.begin(now, since, sight, former, cause);
            return Some(vacancy(former, format!("'{former}' died before '{heir}' had all: {}", cause.name())));
        }
        let (Some(former_seen), Some(heir_seen)) = (sight.member(former), sight.member(heir)) else {
            self.wake(limit);
            return None;
        };
        let is_fenced = former_seen.is_sound() && former_seen.settled >= epoch && !former_seen.is_writable;
        if is_fenced && heir_seen.is_sound() && heir_seen.executed.contains(&former_seen.executed) {
            return Some(Move {
                phase: Phase::Steady { primary: heir.to_string() },
                promoted: Some(heir_seen.executed.to_string()),
                members: Vec::new(),
                reason: format!("'{heir}' has all that '{former}' had"),
            });
        }
        if now >= limit {
            let why = match is_fenced {
                true => format!("'{heir}' did not get all in {} ms", self.settings.catch_up.as_millis()),
                false => {
                    format!("'{former}' was not seen to be read-only in {} ms", self.settings.catch_up.as_millis())
                }
            };
            return Some(back(former, format!("the switchover was given up: {why}")));
        }
        self.wake(limit);
        None
    }

    fn vacant(&mut self, now: Instant, since: Instant, sight: &Sight, former: &str) -> Option<Move> {
        if let Some(why) = self.unfenced(now, since, sight, former) {
            self.wake(now + RETRY);
            self.complain(now, why);
            return None;
        }
        self.timeline.fenced(now);
        let limit = since + self.settings.settle;
        // Who never saw it at work does not know, and takes care.
        let was_semi_sync = self.was_semi_sync.unwrap_or(true);
        let demands = Demands { waits_for_late: now < limit, loses_nothing: was_semi_sync && !self.accepts_loss };
        match choose(sight, former, demands) {
            Choice::Wait(_) => {
                self.wake(limit);
                None
            }
            Choice::Nobody(why) => {
                self.wake(limit.max(now + RETRY));
                if now >= limit {
                    self.complain(now, why);
                }
                None
            }
            Choice::Chosen(chosen) => {
                self.timeline.chosen(now, &chosen.name, &chosen.lost);
                let reason = match chosen.lost.is_empty() {
                    true => format!("'{}' follows '{former}' and has all that was seen", chosen.name),
                    false => format!(
                        "'{}' follows '{former}'; {} transactions are lost: {}",
                        chosen.name,
                        chosen.lost.count(),
                        short(&chosen.lost)
                    ),
                };
                Some(Move {
                    phase: Phase::Steady { primary: chosen.name },
                    promoted: Some(chosen.has.to_string()),
                    members: Vec::new(),
                    reason,
                })
            }
        }
    }

    /// Why the former primary may still take writes; None: it does not.
    fn unfenced(&self, now: Instant, since: Instant, sight: &Sight, former: &str) -> Option<String> {
        let Some(seen) = sight.member(former).filter(|seen| seen.is_live) else {
            let left = sight.member(former).map_or(Duration::ZERO, |seen| seen.lease_left);
            let why = || format!("the lease of '{former}' holds for another {} ms", left.as_millis());
            // Its tablet makes it read-only when the lease ends, with or without us.
            return (!left.is_zero()).then(why);
        };
        if seen.settled >= sight.epoch() && !seen.is_writable {
            return None;
        }
        let knows = seen.heard >= sight.epoch();
        match seen.standing {
            // It comes up read-only, whenever that is, and its steward knows that nothing else is wanted.
            Standing::ServerStopped if knows => None,
            // Nobody gets an answer from it, and gates have left it: with the time over, it is as good as gone. What it
            // says later is not believed; its steward fences it at its first answer.
            Standing::ServerSilent if knows && now >= since + self.settings.fence => None,
            _ => Some(format!("'{former}' is not fenced yet ({}) {}", seen.standing, seen.trouble)),
        }
    }

    /// Whoever has transactions that the primary never had stays out until it has them no more.
    fn mend_members(&mut self, sight: &Sight) -> Option<Move> {
        let primary = sight.record.primary()?;
        let uuid = &sight.record.members.get(primary)?.server_uuid;
        let mut members = Vec::new();
        for (name, member) in sight.record.members.iter().filter(|(name, _)| *name != primary) {
            let Some(seen) = sight.member(name).filter(|seen| seen.is_sound() && seen.settled >= sight.epoch()) else {
                continue;
            };
            match (member.state, seen.extra.is_empty()) {
                (MemberState::Active | MemberState::Drained, false) => {
                    self.timeline.diverged(name, &seen.extra);
                    members.push((name.clone(), MemberState::Diverged, format!("only here: {}", short(&seen.extra))));
                }
                (MemberState::Diverged, true) if seen.receives_from(uuid) => {
                    members.push((name.clone(), MemberState::Active, String::new()));
                }
                _ => {}
            }
        }
        let reason = match members.first()? {
            (name, MemberState::Diverged, _) => format!("'{name}' has transactions that the primary never had"),
            (name, ..) => format!("'{name}' has nothing of its own any more"),
        };
        Some(Move { phase: sight.record.phase.clone(), promoted: None, members, reason })
    }

    fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn complain(&mut self, now: Instant, why: String) {
        if self.complaint != why {
            self.timeline.complaint(now, &why);
            self.complaint = why;
        }
    }
}

fn vacancy(former: &str, reason: String) -> Move {
    let phase = Phase::Interregnum { former: former.to_string(), heir: None };
    Move { phase, promoted: None, members: Vec::new(), reason }
}

fn back(primary: &str, reason: String) -> Move {
    Move { phase: Phase::Steady { primary: primary.to_string() }, promoted: None, members: Vec::new(), reason }
}

/// Over which failovers are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// What a tablet tells once a second is not older than this.
const VITALS_AGE: Duration = Duration::from_secs(3);

/// What changes with time alone is looked at again after this.
const RETRY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
