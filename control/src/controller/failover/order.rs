//! An order to move the primary's role while it is well: whether it can be carried out, and by whom.

use super::group;
use super::settings::Settings;
use super::sight::{MemberSight, Sight};
use super::verdict::{Verdict, verdict};
use crate::controller::record::{MemberState, Phase, Wanted};
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

/// A switchover that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub heir: String,
    pub drain: Duration,
    /// The epoch that its Handover has; None: it has not begun.
    pub epoch: Option<u64>,
}

/// How an order ended, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    Done,
    GivenUp(String),
}

/// Whether a switchover could begin now. The reason says what to do.
pub fn check(now: Instant, sight: &Sight, settings: &Settings, order: &Order) -> Result<(), String> {
    if !settings.is_on {
        return Err("this controller moves no roles (failover = \"off\"): switch it on, or move them elsewhere".into());
    }
    if !group::is_group(sight) && sight.is_unmanaged() {
        return Err("no tablet manages its server (manage = \"off\", or no admin account): move the role yourself, and the topology follows".into());
    }
    let Phase::Steady { primary } = &sight.record.phase else {
        return Err("the primary is being moved already, or was not found yet: wait, see weir ctl topology".to_string());
    };
    if *primary == order.heir {
        return Err(format!("'{primary}' is primary already"));
    }
    let is_well = match group::is_group(sight) {
        true => group::elected(sight).is_ok_and(|elected| elected == primary),
        false => verdict(now, sight, primary, settings.disk_full) == Verdict::Alive,
    };
    if !is_well {
        return Err(format!("the primary '{primary}' is not seen to be well: a failover will follow if it is dead"));
    }
    // A group's primary does nothing for it.
    if let Some(why) = unmanaged(sight, primary).filter(|_| !group::is_group(sight)) {
        return Err(why);
    }
    let Some(member) = sight.record.members.get(&order.heir) else {
        return Err(format!("'{}' is no member: see weir ctl topology", order.heir));
    };
    if member.wanted == Wanted::Replica {
        return Err(format!("'{0}' is wanted as replica only: weir ctl set {0} --wanted any", order.heir));
    }
    let uuid = sight.record.members.get(primary).map_or("", |member| &member.server_uuid);
    unfit(sight, &order.heir, uuid, settings.catch_up).map_or(Ok(()), Err)
}

/// Why the primary's tablet would not make its server read-only: clients would wait for nothing.
fn unmanaged(sight: &Sight, primary: &str) -> Option<String> {
    let seen = sight.member(primary)?;
    match (seen.is_managed, seen.settled < sight.epoch() && !seen.trouble.is_empty()) {
        (false, _) => Some(not_managed(primary)),
        (true, true) => Some(format!("the tablet of '{primary}' has trouble with its server: {}", seen.trouble)),
        (true, false) => None,
    }
}

fn not_managed(name: &str) -> String {
    format!("the tablet of '{name}' does not manage its server: it needs admin_user and replication_user")
}

/// The best heir, for an order without one.
pub fn nearest(sight: &Sight, settings: &Settings) -> Option<String> {
    let primary = sight.record.primary()?;
    let uuid = sight.record.members.get(primary).map_or("", |member| &member.server_uuid);
    let fit = sight.others(primary).filter(|(name, member, _)| {
        member.wanted == Wanted::Any
            && member.state == MemberState::Active
            && unfit(sight, name, uuid, settings.catch_up).is_none()
    });
    fit.max_by_key(|(name, _, seen)| (seen.executed.count(), std::cmp::Reverse(*name)))
        .map(|(name, ..)| name.to_string())
}

/// Why it cannot be the heir of a living primary.
pub fn unfit(sight: &Sight, heir: &str, uuid: &str, catch_up: Duration) -> Option<String> {
    let is_group = group::is_group(sight);
    let seen: &MemberSight = match sight.member(heir) {
        Some(seen) if seen.is_sound() => seen,
        Some(seen) if seen.is_live => return Some(format!("the server of '{heir}' is {}", seen.standing)),
        _ => return Some(format!("the tablet of '{heir}' is not heard")),
    };
    if !seen.is_managed {
        return Some(not_managed(heir));
    }
    if !seen.extra.is_empty() {
        return Some(format!("'{heir}' has transactions that the primary never had: {}", short(&seen.extra)));
    }
    if is_group {
        if let Some(why) = group::unfit(seen) {
            return Some(format!("'{heir}' {why}"));
        }
    } else if !seen.receives_from(uuid) {
        return Some(format!("'{heir}' does not receive from the primary: see weir ctl tablets"));
    } else if !seen.applier_runs {
        return Some(format!("the applier of '{heir}' does not run: START REPLICA there"));
    }
    let mut backlog = seen.has();
    backlog.subtract(&seen.executed);
    // A replica applies thousands in a second; one that is behind by more would miss the limit.
    let most = BACKLOG_PER_S * catch_up.as_secs().max(1);
    (backlog.count() > most)
        .then(|| format!("'{heir}' has {} transactions to apply: wait until it is near", backlog.count()))
}

/// At most so much of a set as a record's texts hold.
pub fn short(set: &GtidSet) -> String {
    let text = set.to_string();
    match text.len() > TEXT_MAX {
        true => format!("{}…", text.chars().take(TEXT_MAX).collect::<String>()),
        false => text,
    }
}

/// Transactions that a replica surely applies in a second.
const BACKLOG_PER_S: u64 = 1_000;

/// Bytes of a GTID set in a text for people.
const TEXT_MAX: usize = 600;
