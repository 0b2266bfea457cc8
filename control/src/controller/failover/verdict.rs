//! The verdict on a primary: alive, dead, or not seen well enough to say.
//!
//! Four views together: its tablet's (local), its replicas' (do they receive from it), the lease, and the gates' (does it answer
//! their clients). One that sees nothing is no proof; one that sees the primary at work
//! outweighs those that don't.
//!
//! | tablet says | replicas | lease | verdict |
//! |---|---|---|---|
//! | serving | | | alive |
//! | stopped | most have lost it | | dead: stopped |
//! | stopped | most receive from it | | doubt: the tablet looks at the wrong place |
//! | silent | none received anything since | | dead: silent |
//! | wiped | | | dead: wiped |
//! | disk full, for long | | | dead: it hangs |
//! | wrong password, refused | | | doubt: says nothing about the server's clients |
//! | nothing | most have lost it | over | dead: cut off |
//! | nothing | most have lost it, but most gates that try get answers | over | doubt: its tablet is dead, it is not |
//! | nothing | receive from it, but gates are told that it is read-only | over | dead: cut off, and its tablet has fenced it |
//! | nothing | otherwise, or none is seen | | doubt |

use super::sight::{MemberSight, Sight};
use super::witness;
use crate::monitor::Standing;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Alive,
    /// Why nothing can be said.
    Doubt(&'static str),
    Dead {
        cause: Cause,
        /// When it was first seen so.
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Stopped,
    Silent,
    Wiped,
    DiskFull,
    CutOff,
    /// It is no longer what the record calls it: its group has another primary, or somebody has made it read-only.
    Deposed,
}

impl Cause {
    /// For events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Stopped => "stopped",
            Cause::Silent => "silent",
            Cause::Wiped => "wiped",
            Cause::DiskFull => "disk_full",
            Cause::CutOff => "cut_off",
            Cause::Deposed => "deposed",
        }
    }
}

pub fn verdict(now: Instant, sight: &Sight, name: &str, disk_full_limit: Duration) -> Verdict {
    let uuid = sight.record.members.get(name).map_or("", |member| &member.server_uuid);
    let Some(primary) = sight.member(name) else { return Verdict::Doubt("its tablet was not seen yet") };
    let dead = |cause| Verdict::Dead { cause, since: primary.since };
    if !primary.is_live {
        return match cut_off(now, sight, name, uuid, primary) {
            Ok(()) => dead(Cause::CutOff),
            Err(why) => Verdict::Doubt(why),
        };
    }
    match primary.standing {
        Standing::Serving | Standing::ServerRestarted if !primary.disk_full => Verdict::Alive,
        Standing::Serving | Standing::ServerRestarted if now.duration_since(primary.since) < disk_full_limit => {
            Verdict::Doubt("its disk is full")
        }
        Standing::Serving | Standing::ServerRestarted => dead(Cause::DiskFull),
        Standing::ServerStopped if most_have_lost(sight, name, uuid) => dead(Cause::Stopped),
        Standing::ServerStopped => Verdict::Doubt("its tablet cannot reach it, but replicas do: look at the tablet"),
        Standing::ServerSilent if has_worked_since(sight, name, uuid, primary.since) => {
            Verdict::Doubt("its tablet gets no answer, but replicas receive from it")
        }
        Standing::ServerSilent => dead(Cause::Silent),
        Standing::ServerWiped => dead(Cause::Wiped),
        Standing::Connecting => Verdict::Doubt("its tablet has not looked yet"),
        Standing::BadCredentials => Verdict::Doubt("its tablet's account is refused: mend the account"),
        Standing::Refused => Verdict::Doubt("its tablet is refused, which says nothing about its clients"),
    }
}

/// The tablet is silent: the machine may be gone, or only the way to it.
fn cut_off(now: Instant, sight: &Sight, name: &str, uuid: &str, primary: &MemberSight) -> Result<(), &'static str> {
    if !primary.lease_left.is_zero() {
        return Err("its tablet is silent, and its lease holds");
    }
    if sight.others(name).next().is_none() {
        return Err("its tablet is silent, and nobody else is seen: perhaps we are cut off");
    }
    match most_have_lost(sight, name, uuid) {
        // See `witness`: it serves clients, and nothing fences it.
        true if witness::contradict(now, sight, name, primary.since) => {
            Err("its tablet is silent, but gates get answers from it: restart its tablet")
        }
        true => Ok(()),
        // Its tablet lives, and did what it has to do without us; nobody else takes writes until another is primary.
        false if witness::is_fenced(sight, name, primary.since) => Ok(()),
        false => Err("its tablet is silent, but replicas receive from it: look at the tablet"),
    }
}

/// More than half of those that are seen do not receive from it; with nobody to ask, nobody contradicts.
fn most_have_lost(sight: &Sight, name: &str, uuid: &str) -> bool {
    let (mut lost, mut all) = (0, 0);
    for (_, _, other) in sight.others(name) {
        all += 1;
        lost += usize::from(!other.receives_from(uuid));
    }
    lost * 2 >= all
}

fn has_worked_since(sight: &Sight, name: &str, uuid: &str, since: Instant) -> bool {
    sight.others(name).any(|(_, _, other)| other.receives_from(uuid) && other.received_at > since)
}

#[cfg(test)]
mod tests {
    use super::super::sight::Receiving;
    use super::super::sight::tests::{primary, replica, uuid};
    use super::*;
    use crate::controller::outlook::Reach;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;
    use std::sync::Arc;

    const DISK: Duration = Duration::from_millis(5_000);

    /// `a` is primary, `b` its replica.
    fn sight(now: Instant, change: impl FnOnce(&mut MemberSight, &mut MemberSight)) -> Sight {
        let (mut a, mut b) = (primary(now, 9), replica(now, 1, 9));
        change(&mut a, &mut b);
        let record = Arc::new(record(7, Phase::Steady { primary: "a".to_string() }));
        Sight { record, members: [("a".to_string(), a), ("b".to_string(), b)].into(), gates: Vec::new() }
    }

    fn lost(member: &mut MemberSight) {
        member.receiver = Receiving::Seeking(uuid(1));
    }

    #[test]
    fn the_table_holds() {
        let now = Instant::now();
        let say = |change: &dyn Fn(&mut MemberSight, &mut MemberSight)| match verdict(
            now,
            &sight(now, |a, b| change(a, b)),
            "a",
            DISK,
        ) {
            Verdict::Alive => "alive",
            Verdict::Doubt(_) => "doubt",
            Verdict::Dead { cause, .. } => cause.name(),
        };
        assert_eq!(say(&|_, _| {}), "alive");
        assert_eq!(say(&|_, b| lost(b)), "alive", "one replica that lost it proves nothing while it is seen at work");
        assert_eq!(say(&|a, _| a.standing = Standing::ServerStopped), "doubt");
        let stopped = |a: &mut MemberSight, b: &mut MemberSight| {
            a.standing = Standing::ServerStopped;
            lost(b);
        };
        assert_eq!(say(&stopped), "stopped");
        assert_eq!(say(&|a, _| a.standing = Standing::ServerSilent), "silent");
        let at_work = |a: &mut MemberSight, b: &mut MemberSight| {
            a.standing = Standing::ServerSilent;
            a.since = now - Duration::from_millis(500);
            b.received_at = now;
        };
        assert_eq!(say(&at_work), "doubt");
        assert_eq!(say(&|a, _| a.standing = Standing::ServerWiped), "wiped");
        for standing in [Standing::BadCredentials, Standing::Refused, Standing::Connecting] {
            let refused = |a: &mut MemberSight, b: &mut MemberSight| {
                a.standing = standing;
                lost(b);
            };
            assert_eq!(say(&refused), "doubt", "{standing}");
        }
        assert_eq!(say(&|a, _| a.disk_full = true), "doubt");
        let for_long = |a: &mut MemberSight, _: &mut MemberSight| {
            a.disk_full = true;
            a.since = now - DISK;
        };
        assert_eq!(say(&for_long), "disk_full");
    }

    #[test]
    fn a_silent_tablet_alone_is_no_proof() {
        let now = Instant::now();
        let gone = |a: &mut MemberSight| {
            a.is_live = false;
            a.lease_left = Duration::ZERO;
        };
        let say = |change: &dyn Fn(&mut MemberSight, &mut MemberSight)| match verdict(
            now,
            &sight(now, |a, b| change(a, b)),
            "a",
            DISK,
        ) {
            Verdict::Doubt(why) => why.to_string(),
            verdict => format!("{verdict:?}"),
        };
        assert!(say(&|a, _| gone(a)).contains("replicas receive"));
        let held = |a: &mut MemberSight, b: &mut MemberSight| {
            a.is_live = false;
            lost(b);
        };
        assert!(say(&held).contains("lease holds"));
        let nobody = |a: &mut MemberSight, b: &mut MemberSight| {
            gone(a);
            b.is_live = false;
        };
        assert!(say(&nobody).contains("perhaps we are cut off"));
        let cut = |a: &mut MemberSight, b: &mut MemberSight| {
            gone(a);
            lost(b);
        };
        assert!(say(&cut).contains("CutOff"));
        // The same, and what gates see.
        let with = |reach: Reach| {
            let mut sight = sight(now, cut);
            sight.members.get_mut("a").unwrap().since = now - Duration::from_millis(5_300);
            sight.gates = vec![witness::tests::gate("g", reach, now, Some(now - Duration::from_millis(20)))];
            verdict(now, &sight, "a", DISK)
        };
        assert!(matches!(with(Reach::Answers), Verdict::Doubt(why) if why.contains("gates get answers")));
        assert!(matches!(with(Reach::Silent), Verdict::Dead { cause: Cause::CutOff, .. }));
    }

    /// Its replicas receive from it, and it takes no writes: its tablet has fenced it where nobody hears the tablet.
    #[test]
    fn a_primary_that_was_fenced_out_of_hearing_is_cut_off() {
        let now = Instant::now() + Duration::from_millis(60_000);
        let said = |reach: Reach, lease: Duration| {
            let mut sight = sight(now, |a, _| {
                (a.is_live, a.since, a.lease_left) = (false, now - Duration::from_millis(5_300), lease);
            });
            sight.gates = vec![witness::tests::gate("g", reach, now - Duration::from_millis(200), None)];
            verdict(now, &sight, "a", DISK)
        };
        assert!(matches!(said(Reach::ReadOnly, Duration::ZERO), Verdict::Dead { cause: Cause::CutOff, .. }));
        assert!(matches!(said(Reach::ReadOnly, DISK), Verdict::Doubt(why) if why.contains("lease holds")));
        assert!(matches!(said(Reach::Silent, Duration::ZERO), Verdict::Doubt(why) if why.contains("replicas receive")));
        assert!(matches!(said(Reach::Refuses, Duration::ZERO), Verdict::Doubt(_)));
    }

    /// No gate makes a primary dead, and none makes one alive that its tablet sees stopped.
    #[test]
    fn gates_alone_decide_nothing() {
        let now = Instant::now() + Duration::from_millis(60_000);
        let gates = |reach: Reach| vec![witness::tests::gate("g", reach, now - DISK, Some(now))];
        let unseen = Sight { gates: gates(Reach::Silent), ..sight(now, |_, _| {}) };
        assert_eq!(verdict(now, &unseen, "a", DISK), Verdict::Alive);
        let stopped = |a: &mut MemberSight, b: &mut MemberSight| {
            a.standing = Standing::ServerStopped;
            lost(b);
        };
        let heard = Sight { gates: gates(Reach::Answers), ..sight(now, stopped) };
        assert!(matches!(verdict(now, &heard, "a", DISK), Verdict::Dead { cause: Cause::Stopped, .. }));
    }
}
