//! Where others decide who is primary: a replication group by its election, or an operator, a script, a cloud. The record follows
//! what is seen.
//!
//! ```text
//!   a group   Steady{a}           b elected ────────────────────────────────► Interregnum{}
//!                                 nobody elected for `detect`, and a not open ► Interregnum{}
//!                                 an order ────────────────────────────────────► Handover{heir} ─ drained ─► Interregnum{heir}
//!             Interregnum         somebody elected ────────────────────────────► Steady{elected}
//!             Interregnum{heir}   the former one still elected: waits for the heir's tablet, until the time is over
//!   others    Steady{a}           a seen as no primary, or dead for `detect` ──► Interregnum{}
//!             Interregnum         one alone writable for a moment ─────────────► Steady{that one}
//! ```
//! Invariant: an epoch without a primary is between two, in which gates leave the former one. Fencing is the affair of who decides:
//! a group's minority cannot commit; an operator makes the former one read-only first. While two are writable nothing moves.

use super::super::group;
use super::super::sight::Sight;
use super::super::verdict::{Cause, Verdict, verdict};
use super::{Coordinator, Move, back, vacancy};
use crate::controller::record::{MemberState, Phase, Wanted};
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

impl Coordinator {
    pub(super) fn follow_group(&mut self, now: Instant, since: Instant, sight: &Sight) -> Option<Move> {
        let elected = group::elected(sight);
        match (sight.record.phase.clone(), elected) {
            (Phase::Forming, _) => None,
            (Phase::Steady { primary }, Ok(elected)) if elected == primary => {
                self.complaint.clear();
                self.lost_at = None;
                self.begin_order(&primary)
            }
            (Phase::Handover { primary, heir }, Ok(elected)) if elected == primary => {
                self.lost_at = None;
                self.drain(now, since, sight, &primary, &heir)
            }
            (Phase::Steady { primary } | Phase::Handover { primary, .. }, Ok(elected)) => {
                let sign = self.lost_at.take().unwrap_or(now);
                self.timeline.begin(now, sign, sight, &primary, Cause::Deposed);
                Some(vacancy(&primary, format!("the group has elected '{elected}' after '{primary}'")))
            }
            (Phase::Steady { primary } | Phase::Handover { primary, .. }, Err(why)) => {
                self.lose_election(now, sight, &primary, why)
            }
            (Phase::Interregnum { former, heir: Some(heir) }, Ok(elected)) if elected == former => {
                let limit = since + self.settings.catch_up;
                if now < limit {
                    self.wake(limit);
                    return None;
                }
                let trouble = sight.member(&heir).map_or("", |heir| &heir.trouble);
                let why = format!("the group did not make '{heir}' its primary in time: {trouble}");
                Some(back(&former, format!("the switchover was given up: {why}")))
            }
            (Phase::Interregnum { former, .. }, Ok(elected)) => self.crown(now, sight, &former, elected),
            (Phase::Interregnum { .. }, Err(why)) => {
                self.wake(since + self.settings.settle);
                if now >= since + self.settings.settle {
                    self.complain(now, why);
                }
                None
            }
        }
    }

    /// Nobody is seen to be elected: the primary may be at work all the same, if it is we who see too little.
    fn lose_election(&mut self, now: Instant, sight: &Sight, primary: &str, why: String) -> Option<Move> {
        if sight.member(primary).is_none_or(|seen| !seen.is_live || seen.is_primary) {
            self.lost_at = None;
            self.complain(now, why);
            return None;
        }
        let sign = *self.lost_at.get_or_insert(now);
        let limit = sign + self.settings.detect;
        if now < limit {
            self.wake(limit);
            return None;
        }
        self.lost_at = None;
        let cause = match verdict(now, sight, primary, self.settings.disk_full) {
            Verdict::Dead { cause, .. } => cause,
            Verdict::Alive | Verdict::Doubt(_) => Cause::Deposed,
        };
        self.timeline.begin(now, sign, sight, primary, cause);
        Some(vacancy(primary, format!("'{primary}' is not its group's primary any more: {why}")))
    }

    fn crown(&mut self, now: Instant, sight: &Sight, former: &str, elected: &str) -> Option<Move> {
        let member = sight.record.members.get(elected)?;
        if member.wanted == Wanted::Replica {
            self.complain(
                now,
                format!(
                    "the group has elected '{elected}', which is wanted as replica only: weir ctl set {elected} --wanted any, or \
                     have another elected (group_replication_set_as_primary; group_replication_member_weight=0 for this one)"
                ),
            );
            return None;
        }
        self.timeline.chosen(now, elected, &GtidSet::default());
        // Who is in the group has what the group has.
        let members = match member.state {
            MemberState::Diverged => vec![(elected.to_string(), MemberState::Active, String::new())],
            MemberState::Active | MemberState::Drained => Vec::new(),
        };
        let reason = match elected == former {
            true => format!("the group has '{elected}' for its primary again"),
            false => format!("the group has elected '{elected}' after '{former}'"),
        };
        let phase = Phase::Steady { primary: elected.to_string() };
        Some(Move { phase, promoted: Some(String::new()), members, reason })
    }

    /// With `failover = "off"`.
    pub(super) fn follow_others(&mut self, now: Instant, sight: &Sight) -> Option<Move> {
        match sight.record.phase.clone() {
            Phase::Forming => None,
            Phase::Steady { primary } | Phase::Handover { primary, .. } => self.watch_primary(now, sight, &primary),
            Phase::Interregnum { former, .. } => self.find_primary(now, sight, &former),
        }
    }

    fn watch_primary(&mut self, now: Instant, sight: &Sight, primary: &str) -> Option<Move> {
        // A tablet that manages its server makes it read-only for reasons of its own, and writable again.
        let seen = sight.member(primary).filter(|seen| !seen.is_managed)?;
        if seen.is_sound() && seen.is_primary {
            self.lost_at = None;
            if let Some((other, ..)) = sight.others(primary).find(|(_, _, other)| other.is_primary) {
                self.complain(now, format!("'{primary}' and '{other}' are both writable: make one of them read-only"));
            }
            return None;
        }
        if seen.is_sound() {
            self.timeline.begin(now, now, sight, primary, Cause::Deposed);
            return Some(vacancy(primary, format!("'{primary}' was made read-only, or a replica")));
        }
        let Verdict::Dead { cause, since } = verdict(now, sight, primary, self.settings.disk_full) else { return None };
        let limit = since + self.settings.detect;
        if now < limit {
            self.wake(limit);
            return None;
        }
        // Nobody is held up while nobody else can be primary.
        sight.others(primary).find(|(_, _, other)| other.is_primary)?;
        self.timeline.begin(now, since, sight, primary, cause);
        Some(vacancy(primary, format!("the primary '{primary}' is dead ({}), and another is writable", cause.name())))
    }

    fn find_primary(&mut self, now: Instant, sight: &Sight, former: &str) -> Option<Move> {
        let writable: Vec<&str> = sight
            .record
            .members
            .keys()
            .map(String::as_str)
            .filter(|name| sight.member(name).is_some_and(|seen| seen.is_sound() && seen.is_primary))
            .collect();
        let [name] = writable.as_slice() else {
            self.lost_at = None;
            if !writable.is_empty() {
                self.complain(now, format!("{} are writable: make all but one read-only", writable.join(" and ")));
            }
            return None;
        };
        if *name != former
            && let Some(why) = still_open(sight, former)
        {
            self.wake(now + AGAIN);
            self.complain(now, why);
            return None;
        }
        if let Some(why) = sight.record.members.get(*name).and_then(|member| may_not(name, member.wanted, member.state))
        {
            self.complain(now, why);
            return None;
        }
        if sight.member(name).is_some_and(|seen| seen.is_managed) {
            let why = format!(
                "'{name}' is writable, and its tablet will undo that: set manage = \"off\" there, or failover = \"on\" here"
            );
            self.complain(now, why);
            return None;
        }
        // A careless moment passes.
        let sign = *self.lost_at.get_or_insert(now);
        if now < sign + MOMENT {
            self.wake(sign + MOMENT);
            return None;
        }
        self.lost_at = None;
        self.timeline.chosen(now, name, &GtidSet::default());
        let reason = format!("'{name}' was made primary by others");
        let phase = Phase::Steady { primary: (*name).to_string() };
        Some(Move { phase, promoted: Some(String::new()), members: Vec::new(), reason })
    }
}

/// Why the former primary may still take writes.
fn still_open(sight: &Sight, former: &str) -> Option<String> {
    let seen = sight.member(former)?;
    match seen.is_live {
        // It is seen, and it is not among those that are writable; or its server is gone, or answers nobody.
        true => None,
        false if seen.lease_left.is_zero() => None,
        false => Some(format!("the tablet of '{former}' is silent, and its lease holds")),
    }
}

fn may_not(name: &str, wanted: Wanted, state: MemberState) -> Option<String> {
    match (wanted, state) {
        (Wanted::Replica, _) => {
            Some(format!("'{name}' is writable and wanted as replica only: weir ctl set {name} --wanted any"))
        }
        (_, MemberState::Diverged) => Some(format!("'{name}' is writable, and has diverged")),
        _ => None,
    }
}

/// How long one must be the only writable one.
const MOMENT: Duration = Duration::from_millis(100);

/// A lease ends without anybody saying so.
const AGAIN: Duration = Duration::from_millis(50);
