//! The verdict: what is to be done to the server now, from what the record says and what the server is.
//!
//! Invariant: pure, and one deed at a time: the first that is due, in the order of how much harm waiting does. Nothing is
//! done without a record that names this member.
//!
//! ```text
//!   record            this member      the server is brought to
//!   Steady, Handover  the primary      lease holds: stop receiving, apply all, end replication, writable
//!                                      lease ends: read-only, clients cut
//!   Steady, Handover  another          read-only, clients cut; follows the primary, unless it has diverged
//!   Interregnum       heir None        read-only, clients cut; receives nothing, applies what it has
//!   Interregnum       heir Some        read-only, clients cut; the former one's replicas receive on
//!   Forming, none     –                as it is
//!   any               in a group       as the group has it; the heir of a planned move has the group elect it
//!   any               left its group   read-only, clients cut
//! ```
//! **When the fence begins.** A lease of length L is held until `until`, by this machine's clock from before it was asked for;
//! the controllers take it as over 5 % of L later, which is for clocks that tick apart and not ours to use. The fence begins at
//! `until` − L/4 and has L/4 to end. A renewal is asked for every L/3 (a tenth more or less) and may take L/3 before it is
//! given up: then 1 − 0.37 − 0.33 = 0.30 L is left and it is asked for again within a tenth of a second, so one lost renewal fences
//! nobody (from L = 2 s on). Not covered: a tablet that is itself frozen or has died fences nobody. Then replicas that receive
//! nothing from the former primary keep semi-sync commits from being acknowledged, gates cut it off, and the tablet fences
//! as soon as it runs again.

use super::super::hands::replication::Role;
use super::super::hands::view::{OwnGroup, SemiSync, View};
use super::super::hands::{Obstacle, Source, peer};
use super::trouble::Trouble;
use crate::config::tablet::SemiSyncWish;
use crate::controller::record::{Phase, Record};
use crate::monitor::facts::Receiver;
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::{GNO_MAX, GtidSet};

/// All that a verdict depends on.
pub struct Case<'a> {
    pub now: Instant,
    /// This member's.
    pub name: &'a str,
    pub record: Option<&'a Record>,
    /// When the lease is so near its end that a primary must begin to make itself read-only.
    pub fence_at: Instant,
    /// A lease was given to this tablet since it started, not only the time to ask for one.
    pub has_lease: bool,
    pub own: &'a Own,
    /// What this server has executed and the primary has not, as far as that is known.
    pub extra: &'a GtidSet,
    /// What looked like that and is on the primary.
    pub cleared: &'a GtidSet,
    pub semi_sync: SemiSyncWish,
    /// The account for replication is known.
    pub can_replicate: bool,
    /// At the last look it belonged to a replication group, which fences itself.
    pub is_in_group: bool,
    /// The server has lost transactions that it had, as its agent remembers.
    pub is_wiped: bool,
    pub trouble: &'a Trouble,
}

/// What is known of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Own {
    Seen(Box<View>),
    /// Nobody listens: nobody writes.
    Stopped(String),
    /// It was not seen, and may be alive.
    Silent {
        why: String,
        may_be_writable: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing is wanted of us.
    Idle(&'static str),
    /// Somebody must change something: what.
    Stuck(String),
    /// The server is as the record wants it, as far as it lies with us; what is odd about it.
    Settled(String),
    Due(Deed),
    /// It is due, was tried, and rests.
    Resting {
        deed: Deed,
        until: Instant,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Fence {
        why: String,
    },
    Persist,
    StopReceiving,
    Receive,
    Apply,
    /// Become the source, and writable.
    Lead,
    Follow(Source),
    /// Have the replication group make this server its primary.
    Elect,
    /// Ask this primary whether it has what looks like our own.
    Compare(Source),
}

impl Deed {
    pub fn name(&self) -> &'static str {
        match self {
            Deed::Fence { .. } => "fence",
            Deed::Persist => "persist_read_only",
            Deed::StopReceiving => "stop_receiving",
            Deed::Receive => "receive",
            Deed::Apply => "apply",
            Deed::Lead => "lead",
            Deed::Follow(_) => "follow",
            Deed::Elect => "elect",
            Deed::Compare(_) => "compare",
        }
    }

    /// The same kind of deed, whatever its particulars.
    pub fn is_like(&self, other: &Deed) -> bool {
        self.name() == other.name()
    }
}

/// What the record makes of this member now.
enum Duty<'a> {
    Lead,
    /// It is named, and its lease ends.
    LeaseOver,
    /// Of this primary.
    Follow(&'a str),
    /// There is no primary, and nothing is taken from the former one.
    Wait,
    /// A planned move: who replicates from the former one goes on.
    CatchUp {
        former: &'a str,
    },
}

pub fn next_deed(case: &Case<'_>) -> Verdict {
    let Some(record) = case.record else { return Verdict::Idle("no topology is known") };
    if !record.members.contains_key(case.name) {
        return Verdict::Stuck(format!("the topology has no member '{}'", case.name));
    }
    let duty = match &record.phase {
        Phase::Forming => return Verdict::Idle("the cluster has no primary yet"),
        Phase::Steady { primary } | Phase::Handover { primary, .. } if primary != case.name => Duty::Follow(primary),
        Phase::Steady { .. } | Phase::Handover { .. } if case.now < case.fence_at => Duty::Lead,
        Phase::Steady { .. } | Phase::Handover { .. } => Duty::LeaseOver,
        Phase::Interregnum { heir: None, .. } => Duty::Wait,
        Phase::Interregnum { former, .. } => Duty::CatchUp { former },
    };
    match case.own {
        Own::Seen(view) => judge(case, record, &duty, view),
        Own::Silent { may_be_writable: true, why } if !matches!(duty, Duty::Lead) && !case.is_in_group => {
            due(case, Deed::Fence { why: format!("{}, and the server does not answer: {why}", reason(&duty)) })
        }
        Own::Stopped(why) | Own::Silent { why, .. } => Verdict::Stuck(format!("the server cannot be reached: {why}")),
    }
}

fn judge(case: &Case<'_>, record: &Record, duty: &Duty<'_>, view: &View) -> Verdict {
    match &view.group {
        OwnGroup::No => {}
        OwnGroup::Left if !view.super_read_only => {
            return due(case, Deed::Fence { why: "it has left its replication group".to_string() });
        }
        OwnGroup::Left => return stuck("it has left its replication group: START GROUP_REPLICATION"),
        OwnGroup::In { primary } => {
            let is_heir = matches!(duty, Duty::CatchUp { .. }) && record.heir() == Some(case.name);
            return match is_heir && *primary != view.uuid {
                true => due(case, Deed::Elect),
                false => Verdict::Idle("its replication group elects the primary itself"),
            };
        }
    }
    if !view.super_read_only && !matches!(duty, Duty::Lead) {
        return due(case, Deed::Fence { why: reason(duty) });
    }
    if !view.is_persisted && case.trouble.why(&Deed::Persist).is_empty() {
        return due(case, Deed::Persist);
    }
    let verdict = match duty {
        Duty::Lead => lead(case, record, view),
        Duty::LeaseOver => Verdict::Stuck(reason(duty)),
        Duty::Follow(primary) => follow(case, record, primary, view),
        Duty::Wait => wait(case, view),
        Duty::CatchUp { former } => catch_up(case, record, former, view),
    };
    // What could not be persisted is tried again when there is nothing better to do.
    match verdict {
        Verdict::Settled(_) if !view.is_persisted => match due(case, Deed::Persist) {
            Verdict::Resting { why, .. } => {
                Verdict::Settled(format!("after a restart it would not be read-only: {why}"))
            }
            verdict => verdict,
        },
        verdict => verdict,
    }
}

fn lead(case: &Case<'_>, record: &Record, view: &View) -> Verdict {
    if case.is_wiped {
        return stuck(
            "it has lost transactions that it had: it does not become writable; restore it, or let another one be primary",
        );
    }
    let mut has = view.received();
    has.merge(&view.executed);
    match GtidSet::parse(record.promoted_gtid_executed.as_bytes()) {
        Ok(promoted) if has.contains(&promoted) => {}
        Ok(promoted) => {
            let lacks = peer::extra(&promoted, &has);
            return Verdict::Stuck(format!(
                "it lacks {} transactions that the primary must have ({lacks}): it does not become writable",
                lacks.count()
            ));
        }
        Err(_) => return stuck("the topology's GTID set cannot be read"),
    }
    if view.is_receiving() {
        return due(case, Deed::StopReceiving);
    }
    if !view.backlog().is_empty() {
        return due(case, Deed::Apply);
    }
    let wanted = SemiSync::wanted(case.semi_sync, Role::Source);
    match view.channels.is_empty() && !view.read_only && !view.super_read_only && view.semi_sync.is_as(wanted) {
        true => Verdict::Settled(String::new()),
        // The record may be an old one, of a controller that is cut off: only whoever gives leases knows better.
        false if view.super_read_only && !case.has_lease => {
            stuck("it becomes writable with a lease, and has had none yet")
        }
        false => due(case, Deed::Lead),
    }
}

fn follow(case: &Case<'_>, record: &Record, primary: &str, view: &View) -> Verdict {
    let Some(member) = record.members.get(primary) else { return stuck("the topology's primary is no member") };
    let Some(source) = Source::new(primary, &member.address, &member.server_uuid) else {
        return Verdict::Stuck(format!(
            "'{primary}' is at {}, and replication needs host:port: set its --advertise",
            member.address
        ));
    };
    let [channel] = view.channels.as_slice() else {
        return match view.channels.is_empty() {
            true if case.can_replicate => follow_or_diverged(case, source),
            true => stuck(peer::NO_ACCOUNT),
            false => stuck("it has several sources: which of them is to follow the primary must be set by hand"),
        };
    };
    if !channel.is_from(&source) {
        return match (channel.receiver, case.can_replicate) {
            // Whoever it is, nothing of his may be acknowledged any more; also when the primary cannot be reached yet.
            (Receiver::Connected | Receiver::Connecting, _) => due(case, Deed::StopReceiving),
            (Receiver::Stopped, true) => follow_or_diverged(case, source),
            (Receiver::Stopped, false) => stuck(peer::NO_ACCOUNT),
        };
    }
    if !case.extra.is_empty() {
        return diverged(case, view, source);
    }
    let mut suspect = suspect(record, &view.executed);
    suspect.subtract(case.cleared);
    if !suspect.is_empty()
        && case.can_replicate
        && !matches!(due(case, Deed::Compare(source.clone())), Verdict::Resting { .. })
    {
        return due(case, Deed::Compare(source));
    }
    let wanted = SemiSync::wanted(case.semi_sync, Role::Replica);
    let runs = channel.receiver != Receiver::Stopped && channel.applier_runs;
    match (runs && view.semi_sync.is_as(wanted), channel.is_purged) {
        (true, _) => Verdict::Settled(channel.last_error.clone()),
        (false, true) => {
            Verdict::Stuck(format!("'{primary}' no longer has the binary logs that it lacks: {}", peer::RECLONE))
        }
        (false, false) if !case.can_replicate => due(case, Deed::Receive),
        (false, false) => due(case, Deed::Follow(source)),
    }
}

/// The deed itself asks the primary. What has diverged is as settled as it can be.
fn follow_or_diverged(case: &Case<'_>, source: Source) -> Verdict {
    match due(case, Deed::Follow(source)) {
        Verdict::Resting { why, .. } if !case.extra.is_empty() => Verdict::Settled(why),
        verdict => verdict,
    }
}

/// It replicates from the primary, and has what that one has not. That may mend itself: the primary may be given empty
/// transactions with these GTIDs, or this server may be cloned anew.
fn diverged(case: &Case<'_>, view: &View, source: Source) -> Verdict {
    if view.is_receiving() {
        return due(case, Deed::StopReceiving);
    }
    match due(case, Deed::Compare(source)) {
        Verdict::Resting { .. } => Verdict::Settled(Obstacle::Diverged(case.extra.clone()).to_string()),
        verdict => verdict,
    }
}

/// What this server has executed and, by the record alone, the primary may not have: neither did that one have it when it was
/// promoted, nor has it made it itself. A primary that takes transactions from elsewhere has more than the record tells, so
/// it is asked before anything is believed. Empty while no primary was ever promoted.
pub fn suspect(record: &Record, executed: &GtidSet) -> GtidSet {
    let primary = record.primary().or(record.former()).and_then(|name| record.members.get(name));
    let own =
        primary.and_then(|primary| GtidSet::parse(format!("{}:1-{GNO_MAX}", primary.server_uuid).as_bytes()).ok());
    let promoted = GtidSet::parse(record.promoted_gtid_executed.as_bytes()).unwrap_or_default();
    match own {
        Some(own) if !promoted.is_empty() => peer::extra(&peer::extra(executed, &promoted), &own),
        Some(_) | None => GtidSet::new(),
    }
}

fn wait(case: &Case<'_>, view: &View) -> Verdict {
    match view.is_receiving() {
        true => due(case, Deed::StopReceiving),
        false => apply_or_settled(case, view),
    }
}

fn catch_up(case: &Case<'_>, record: &Record, former: &str, view: &View) -> Verdict {
    let source =
        record.members.get(former).and_then(|member| Source::new(former, &member.address, &member.server_uuid));
    let stopped = view.channels.iter().find(|channel| channel.receiver == Receiver::Stopped);
    match (stopped, source) {
        (Some(channel), Some(source)) if case.name != former && !channel.is_purged && channel.is_from(&source) => {
            due(case, Deed::Receive)
        }
        _ => apply_or_settled(case, view),
    }
}

fn apply_or_settled(case: &Case<'_>, view: &View) -> Verdict {
    let is_stopped = view.channels.iter().any(|channel| !channel.applier_runs);
    match is_stopped && !view.backlog().is_empty() {
        true => due(case, Deed::Apply),
        false => Verdict::Settled(String::new()),
    }
}

fn reason(duty: &Duty<'_>) -> String {
    match duty {
        Duty::Lead => "it is the primary".to_string(),
        Duty::LeaseOver => "its lease ends".to_string(),
        Duty::Follow(primary) => format!("'{primary}' is the primary"),
        Duty::Wait | Duty::CatchUp { .. } => "there is no primary".to_string(),
    }
}

fn due(case: &Case<'_>, deed: Deed) -> Verdict {
    match case.trouble.rest(case.now, &deed) {
        Some((until, why)) => Verdict::Resting { until, why: why.to_string(), deed },
        None => Verdict::Due(deed),
    }
}

fn stuck(why: &str) -> Verdict {
    Verdict::Stuck(why.to_string())
}

/// Before a lease ends: the time that a fence has.
pub fn margin(lease_ms: u32) -> Duration {
    Duration::from_millis(u64::from(lease_ms) / 4)
}

#[cfg(test)]
mod tests;
