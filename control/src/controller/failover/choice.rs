//! The choice of the next primary, when the former one is lost.
//!
//! Invariant: whoever is chosen has received all that any other candidate has, or the difference is told as lost. Under
//! semi-synchronous replication nobody is chosen while a replica that may have acknowledged something is not seen.

use super::sight::{MemberSight, Sight};
use crate::controller::record::{Member, MemberState, Wanted};
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub name: String,
    /// All that it will have.
    pub has: GtidSet,
    /// What the former primary was seen to have executed, or another replica has, and this one lacks.
    pub lost: GtidSet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Chosen(Chosen),
    /// Somebody is not ready yet who may have more; who.
    Wait(String),
    /// Nobody can be chosen; why.
    Nobody(String),
}

/// What is asked of the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Those who are not settled yet, or were not heard yet, are waited for.
    pub waits_for_late: bool,
    /// With semi-synchronous replication: an acknowledged transaction must not be lost.
    pub loses_nothing: bool,
}

/// `former` lacks nothing and may be chosen too, when it is back and fenced.
pub fn choose(sight: &Sight, former: &str, demands: Demands) -> Choice {
    let epoch = sight.epoch();
    let seen: Vec<(&str, &Member, &MemberSight)> = sight
        .record
        .members
        .iter()
        .filter_map(|(name, member)| Some((name.as_str(), member, sight.member(name)?)))
        .filter(|(_, member, seen)| seen.is_sound() && member.state != MemberState::Diverged)
        .collect();
    let is_late = |seen: &MemberSight| seen.settled < epoch;
    // A leader that has just begun has not heard everybody yet.
    let unheard = || sight.record.members.keys().find(|name| *name != former && sight.member(name).is_none());
    if demands.waits_for_late
        && let Some(late) =
            seen.iter().find(|(_, _, seen)| is_late(seen)).map(|(name, ..)| *name).or(unheard().map(String::as_str))
    {
        return Choice::Wait(late.to_string());
    }
    let ready: Vec<_> = seen.iter().filter(|(_, _, seen)| !is_late(seen) && seen.extra.is_empty()).collect();
    if demands.loses_nothing
        && let Some(why) = may_miss_something(sight, former, &ready)
    {
        return Choice::Nobody(why);
    }
    let mut all = GtidSet::default();
    ready.iter().for_each(|(_, _, seen)| all.merge(&seen.has()));
    if let Some(former) = sight.member(former) {
        all.merge(&former.executed);
    }
    let may_lead = |member: &Member| member.wanted == Wanted::Any;
    let newest = ready.iter().map(|(_, _, seen)| seen.version_number).min().unwrap_or(0);
    let best = ready.iter().filter(|(_, member, _)| may_lead(member)).max_by_key(|(name, member, seen)| {
        let backlog = {
            let mut backlog = seen.has();
            backlog.subtract(&seen.executed);
            backlog.count()
        };
        // Most transactions first; then one that is in service, of a version that the others can follow, and near its end.
        let is_active = member.state == MemberState::Active;
        let is_followed = seen.version_number <= newest;
        let by_name = std::cmp::Reverse(*name);
        (seen.has().count(), is_active, is_followed, std::cmp::Reverse(backlog), by_name)
    });
    let Some((name, _, seen)) = best else { return Choice::Nobody(nobody(sight)) };
    let has = seen.has();
    let mut lost = all;
    lost.subtract(&has);
    if demands.loses_nothing && !lost.is_empty() {
        return Choice::Nobody(format!(
            "'{name}' has most, and lacks {} transactions that '{former}' or another has: start the others, or accept the loss \
             with: weir ctl failover --accept-loss",
            lost.count()
        ));
    }
    Choice::Chosen(Chosen { name: (*name).to_string(), has, lost })
}

/// A transaction is acknowledged by one replica at least: if all that acknowledged to the former primary are here, or the
/// former itself is, nothing is missed.
fn may_miss_something(sight: &Sight, former: &str, ready: &[&(&str, &Member, &MemberSight)]) -> Option<String> {
    if ready.iter().any(|(name, ..)| *name == former) {
        return None;
    }
    let uuid = sight.record.members.get(former).map_or("", |member| &member.server_uuid);
    let acknowledged = sight.member(former).map_or(u32::MAX, |former| former.semi_sync_clients);
    let here = ready.iter().filter(|(_, _, seen)| seen.follows(uuid)).count();
    let replicas = sight.record.members.len().saturating_sub(1);
    let wanted = replicas.min(acknowledged as usize);
    (here < wanted).then(|| {
        format!(
            "{wanted} replicas may hold transactions that '{former}' has acknowledged, and {here} are here: start the others, \
             or accept the loss with: weir ctl failover --accept-loss"
        )
    })
}

fn nobody(sight: &Sight) -> String {
    let why = |(name, member): (&String, &Member)| {
        let why = match sight.member(name) {
            _ if member.wanted == Wanted::Replica => "is wanted as replica only",
            _ if member.state == MemberState::Diverged => "has diverged",
            None => "was not seen",
            Some(seen) if !seen.is_live => "its tablet is silent",
            Some(seen) if !seen.standing.is_sound() => "its server is down",
            Some(seen) if !seen.extra.is_empty() => "has transactions of its own",
            Some(_) => "its steward is not ready",
        };
        format!("'{name}' {why}")
    };
    let all: Vec<String> = sight.record.members.iter().map(why).collect();
    format!("no member can become primary: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::sight::tests::{primary, replica, set, uuid};
    use super::super::sight::{MemberSight, Receiving};
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::{member, record};
    use crate::monitor::Standing;
    use std::sync::Arc;
    use tokio::time::Instant;

    const EASY: Demands = Demands { waits_for_late: false, loses_nothing: false };
    const STRICT: Demands = Demands { waits_for_late: false, loses_nothing: true };

    /// `a` was primary and is gone; `b` and `c` are its replicas with so many transactions.
    fn sight(b: u64, c: u64, change: impl FnOnce(&mut Sight)) -> Sight {
        let now = Instant::now();
        let mut record = record(8, Phase::Interregnum { former: "a".to_string(), heir: None });
        record.members.insert("c".to_string(), member(3));
        let replica = |last| MemberSight { settled: 8, receiver: Receiving::Stopped(uuid(1)), ..replica(now, 1, last) };
        let gone = MemberSight { is_live: false, standing: Standing::ServerStopped, ..primary(now, 9) };
        let members = [("a", gone), ("b", replica(b)), ("c", replica(c))];
        let members = members.into_iter().map(|(name, seen)| (name.to_string(), seen)).collect();
        let mut sight = Sight { record: Arc::new(record), members, gates: Vec::new() };
        change(&mut sight);
        sight
    }

    fn chosen(choice: &Choice) -> (&str, u64) {
        match choice {
            Choice::Chosen(chosen) => (&chosen.name, chosen.lost.count()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_one_with_most_is_chosen_and_what_it_lacks_is_told() {
        assert_eq!(chosen(&choose(&sight(9, 9, |_| {}), "a", EASY)), ("b", 0));
        assert_eq!(chosen(&choose(&sight(7, 8, |_| {}), "a", EASY)), ("c", 1));
        let received = |sight: &mut Sight| sight.members.get_mut("b").unwrap().received = Arc::new(set(1, 9));
        assert_eq!(chosen(&choose(&sight(2, 8, received), "a", EASY)), ("b", 0), "what was received counts");
        let drained = |sight: &mut Sight| {
            let mut record = (*sight.record).clone();
            record.members.get_mut("b").unwrap().state = MemberState::Drained;
            sight.record = Arc::new(record);
        };
        assert_eq!(chosen(&choose(&sight(9, 9, drained), "a", EASY)), ("c", 0));
        assert_eq!(chosen(&choose(&sight(9, 8, drained), "a", EASY)), ("b", 0), "loss is worse");
    }

    #[test]
    fn those_who_must_not_are_not() {
        let unfit: [fn(&mut Sight); 4] = [
            |sight| sight.members.get_mut("b").unwrap().standing = Standing::ServerStopped,
            |sight| sight.members.get_mut("b").unwrap().is_live = false,
            |sight| sight.members.get_mut("b").unwrap().settled = 7,
            |sight| sight.members.get_mut("b").unwrap().extra = Arc::new(set(2, 1)),
        ];
        for change in unfit {
            assert_eq!(chosen(&choose(&sight(9, 8, change), "a", EASY)).0, "c");
        }
        let replicas_only = |sight: &mut Sight| {
            let mut record = (*sight.record).clone();
            record.members.values_mut().for_each(|member| member.wanted = Wanted::Replica);
            sight.record = Arc::new(record);
        };
        let Choice::Nobody(why) = choose(&sight(9, 9, replicas_only), "a", EASY) else { panic!("somebody") };
        assert!(why.contains("'b' is wanted as replica only"), "{why}");
    }

    #[test]
    fn late_ones_are_waited_for() {
        let late = |sight: &mut Sight| sight.members.get_mut("c").unwrap().settled = 7;
        let demands = Demands { waits_for_late: true, ..EASY };
        assert_eq!(choose(&sight(9, 9, late), "a", demands), Choice::Wait("c".to_string()));
        let unheard = |sight: &mut Sight| drop(sight.members.remove("c"));
        assert_eq!(choose(&sight(9, 9, unheard), "a", demands), Choice::Wait("c".to_string()));
        assert_eq!(chosen(&choose(&sight(9, 9, unheard), "a", EASY)).0, "b");
    }

    #[test]
    fn under_semi_sync_nobody_is_chosen_who_may_lack_something() {
        let two = |sight: &mut Sight| sight.members.get_mut("a").unwrap().semi_sync_clients = 2;
        assert_eq!(chosen(&choose(&sight(9, 9, two), "a", STRICT)).0, "b");
        assert!(matches!(choose(&sight(8, 8, two), "a", STRICT), Choice::Nobody(_)), "the former one had 9");
        let one_gone = |sight: &mut Sight| {
            two(sight);
            sight.members.get_mut("c").unwrap().is_live = false;
        };
        assert!(matches!(choose(&sight(9, 9, one_gone), "a", STRICT), Choice::Nobody(_)));
        let long_gone = |sight: &mut Sight| {
            sight.members.get_mut("a").unwrap().semi_sync_clients = 1;
            sight.members.get_mut("c").unwrap().is_live = false;
        };
        assert_eq!(
            chosen(&choose(&sight(9, 9, long_gone), "a", STRICT)).0,
            "b",
            "only one acknowledged, and it is here"
        );
        let back = |sight: &mut Sight| {
            one_gone(sight);
            let a = sight.members.get_mut("a").unwrap();
            (a.is_live, a.standing, a.settled) = (true, Standing::Serving, 8);
        };
        assert_eq!(chosen(&choose(&sight(9, 8, back), "a", STRICT)).0, "a");
    }
}
