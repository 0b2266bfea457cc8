//! The group's election, as its members tell of it.
//!
//! Invariant: somebody is elected only by the words of more than half of one view's members, all of them with a majority, and by
//! the server's own evidence. One that was frozen, or is cut off, is outvoted by those who went on.

use super::sight::{MemberSight, Sight};
use crate::monitor::group::{Place, View};
use std::collections::BTreeMap;

/// The members elect their primary themselves.
pub fn is_group(sight: &Sight) -> bool {
    sight.members.values().any(|seen| seen.group.is_some())
}

/// Who is primary by the group's own election; Err: why nobody is to be believed now.
pub fn elected(sight: &Sight) -> Result<&str, String> {
    let mut votes: BTreeMap<(&View, &str), (u32, u32)> = BTreeMap::new();
    let words = sight.members.values().filter(|seen| seen.is_sound()).filter_map(|seen| seen.group.as_ref());
    for group in words.filter(|group| group.is_sound() && !group.primary.is_empty()) {
        let (count, members) = votes.entry((&group.view, &group.primary)).or_default();
        (*count, *members) = (*count + 1, group.members);
    }
    let mut agreed = votes.iter().filter(|(_, (count, members))| count * 2 > *members);
    let (uuid, is_only) = match (agreed.next(), agreed.next()) {
        (Some(((_, uuid), _)), other) => (*uuid, other.is_none()),
        (None, _) => return Err("no majority of its replication group is seen that agrees on a primary".to_string()),
    };
    if !is_only {
        return Err("two groups of one name have a primary each: stop one of them".to_string());
    }
    let mut names = sight.record.members.iter().filter(|(_, member)| member.server_uuid == uuid);
    let Some((name, _)) = names.next() else {
        return Err(format!("the group has elected the server {uuid}, which has no tablet here: start one beside it"));
    };
    match sight.member(name) {
        Some(seen) if seen.is_sound() && seen.is_primary => Ok(name),
        Some(seen) if seen.is_sound() => Err(format!("the group has elected '{name}', which is not open yet")),
        _ => Err(format!("the group has elected '{name}', whose tablet does not see it at work")),
    }
}

/// Why it cannot be the group's next primary by an order.
pub fn unfit(seen: &MemberSight) -> Option<&'static str> {
    match &seen.group {
        None => Some("is not in the replication group"),
        Some(group) if !group.is_sound() => Some("is not online in the replication group: see weir ctl tablets"),
        Some(group) if group.is_multi_primary => {
            Some("is in a group in multi-primary mode: SELECT group_replication_switch_to_single_primary_mode()")
        }
        Some(group) if group.place == Place::Secondary && !group.applier_runs => Some("has a stopped applier"),
        Some(_) => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::sight::tests::{primary, replica, uuid};
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::{member, record};
    use crate::monitor::Standing;
    use crate::monitor::group::Group;
    use crate::monitor::group::tests::group;
    use std::sync::Arc;
    use tokio::time::Instant;

    /// `a`, `b`, `c`; in the third view `a` is primary.
    pub fn sight(now: Instant) -> Sight {
        let mut record = record(7, Phase::Steady { primary: "a".to_string() });
        record.members.insert("c".to_string(), member(3));
        let mut sight = Sight { record: Arc::new(record), members: BTreeMap::new(), gates: Vec::new() };
        for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
            let seen = MemberSight { server_uuid: uuid(number), ..replica(now, 1, 9) };
            sight.members.insert(name.to_string(), seen);
        }
        ["a", "b", "c"].iter().for_each(|name| says(&mut sight, name, 3, 1));
        sight
    }

    /// In this view, the member takes the server with this number for the primary.
    pub fn says(sight: &mut Sight, name: &str, view: u64, number: u64) {
        let seen = sight.members.get_mut(name).unwrap();
        let is_primary = seen.server_uuid == uuid(number);
        let place = if is_primary { Place::Primary } else { Place::Secondary };
        let of = if is_primary { primary(seen.since, 9) } else { replica(seen.since, 1, 9) };
        *seen =
            MemberSight { server_uuid: seen.server_uuid.clone(), group: Some(group(place, view, &uuid(number))), ..of };
    }

    #[test]
    fn a_majority_of_one_view_elects() {
        let check = |change: fn(&mut Sight), expected: Result<&str, &str>| {
            let mut sight = sight(Instant::now());
            change(&mut sight);
            match (elected(&sight), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name, expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}, not {expected}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        };
        check(|_| {}, Ok("a"));
        check(|sight| says(sight, "b", 4, 2), Ok("a"));
        let moved = |sight: &mut Sight| ["b", "c"].iter().for_each(|name| says(sight, name, 4, 2));
        // The former one wakes up in its old view.
        check(moved, Ok("b"));
        check(
            |sight| {
                says(sight, "b", 4, 2);
                sight.members.get_mut("c").unwrap().is_live = false;
            },
            Err("no majority"),
        );
        let gone = |sight: &mut Sight| sight.members.get_mut("a").unwrap().standing = Standing::ServerStopped;
        check(gone, Err("'a', whose tablet does not see it"));
        check(
            |sight| {
                for name in ["a", "b"] {
                    let group = sight.members.get_mut(name).unwrap().group.as_mut().unwrap();
                    *group = Group { reachable: 1, ..group.clone() };
                }
            },
            Err("no majority"),
        );
        check(|sight| sight.members.get_mut("a").unwrap().is_primary = false, Err("'a', which is not open yet"));
        check(|sight| ["b", "c"].iter().for_each(|name| says(sight, name, 4, 9)), Err("has no tablet here"));
    }
}
