//! The coordinator in worlds that the tests move by hand.

mod followed;

use super::*;
use crate::controller::failover::events::Kind;
use crate::controller::failover::sight::tests::{primary, replica, set, uuid};
use crate::controller::failover::sight::{GateSight, MemberSight, Receiving};
use crate::controller::outlook::Reach;
use crate::controller::record::MemberState;
use crate::controller::record::tests::{member, record};
use crate::monitor::Standing;
use std::sync::Arc;

/// `a` is primary, `b` and `c` its replicas, all well.
struct World {
    now: Instant,
    sight: Sight,
    coordinator: Coordinator,
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        let mut record = record(7, Phase::Steady { primary: "a".to_string() });
        record.members.insert("c".to_string(), member(3));
        let mut members = std::collections::BTreeMap::new();
        for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
            let mut seen = if number == 1 { primary(now, 9) } else { replica(now, 1, 9) };
            (seen.server_uuid, seen.settled) = (uuid(number), 7);
            members.insert(name.to_string(), seen);
        }
        let sight = Sight { record: Arc::new(record), members, gates: Vec::new() };
        let mut world = World { now, sight, coordinator: Coordinator::new(Settings::default()) };
        assert_eq!(world.step(), None);
        world
    }

    fn step(&mut self) -> Option<Move> {
        self.coordinator.step(self.now, &self.sight)
    }

    /// Steps, and makes the change. Returns its phase.
    fn moved(&mut self) -> Option<Phase> {
        let Move { phase, promoted, members, reason } = self.step()?;
        let mut next = (*self.sight.record).clone();
        next.epoch = next.epoch.next().unwrap();
        next.phase = phase.clone();
        next.promoted_gtid_executed = promoted.unwrap_or(next.promoted_gtid_executed);
        next.reason = reason;
        for (name, state, note) in members {
            let member = next.members.get_mut(&name).unwrap();
            (member.state, member.note) = (state, note);
        }
        self.sight.record.check_next(&next).unwrap();
        let epoch = next.epoch.number();
        self.sight.members.values_mut().filter(|seen| seen.is_live).for_each(|seen| seen.heard = epoch);
        self.sight.record = Arc::new(next);
        Some(phase)
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn of(&mut self, name: &str) -> &mut MemberSight {
        self.sight.members.get_mut(name).unwrap()
    }

    /// Its steward has done what the record wants.
    fn settle(&mut self, name: &str) {
        let (epoch, phase) = (self.sight.epoch(), self.sight.record.phase.clone());
        let seen = self.of(name);
        seen.settled = epoch;
        seen.is_writable = false;
        match phase {
            Phase::Interregnum { heir: None, .. } if seen.receiver != Receiving::Nothing => {
                seen.receiver = Receiving::Stopped(uuid(1));
            }
            Phase::Steady { primary } if primary == name => {
                (seen.is_writable, seen.receiver) = (true, Receiving::Nothing);
            }
            _ => {}
        }
    }

    fn kill(&mut self, name: &str) {
        let now = self.now;
        let seen = self.of(name);
        (seen.standing, seen.since) = (Standing::ServerStopped, now);
        if name == "a" {
            for other in ["b", "c"] {
                self.of(other).receiver = Receiving::Seeking(uuid(1));
            }
        }
    }

    fn settle_all(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.settle(name));
    }

    fn kill_all(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.kill(name));
    }

    fn kinds(&mut self) -> Vec<Kind> {
        std::iter::from_fn(|| self.coordinator.poll_event()).map(|event| event.kind).collect()
    }
}

fn steady(name: &str) -> Option<Phase> {
    Some(Phase::Steady { primary: name.to_string() })
}

fn vacant() -> Option<Phase> {
    Some(Phase::Interregnum { former: "a".to_string(), heir: None })
}

fn order(heir: &str) -> Order {
    Order { heir: heir.to_string(), drain: Duration::from_millis(1_000), epoch: None }
}

#[test]
fn a_dead_primary_is_followed_by_the_best_replica() {
    let mut world = World::new();
    world.of("c").executed = Arc::new(set(1, 8));
    world.of("c").received = Arc::new(set(1, 8));
    world.kill("a");
    assert_eq!(world.moved(), None, "not yet");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    assert_eq!(world.moved(), None, "nobody has stopped receiving");
    world.settle("b");
    assert_eq!(world.moved(), None, "c may have more");
    world.settle("c");
    assert_eq!(world.moved(), steady("b"));
    assert_eq!(world.sight.record.promoted_gtid_executed, set(1, 9).to_string());
    world.pass(40);
    world.settle("b");
    assert_eq!(world.moved(), None);
    assert_eq!(world.kinds(), [Kind::FailoverBegan(Cause::Stopped), Kind::Fenced, Kind::Chosen, Kind::Opened]);
}

#[test]
fn a_short_absence_moves_nothing() {
    let mut world = World::new();
    world.kill("a");
    world.pass(400);
    assert_eq!(world.moved(), None);
    let now = world.now;
    (world.of("a").standing, world.of("a").since) = (Standing::ServerRestarted, now);
    world.pass(400);
    assert_eq!(world.moved(), None);
}

#[test]
fn a_primary_that_cannot_be_fenced_is_waited_for() {
    let mut world = World::new();
    // Its machine is cut off: nobody hears its tablet, replicas have lost it.
    let now = world.now;
    (world.of("a").is_live, world.of("a").since) = (false, now);
    for name in ["b", "c"] {
        world.of(name).receiver = Receiving::Seeking(uuid(1));
    }
    world.pass(2_000);
    assert_eq!(world.moved(), None, "its lease holds");
    world.of("a").lease_left = Duration::ZERO;
    assert_eq!(world.moved(), vacant());
    world.settle_all(&["b", "c"]);
    assert_eq!(world.moved(), steady("b"));

    // A process that is stopped, its tablet alive and unable to do anything about it.
    let mut world = World::new();
    let now = world.now;
    (world.of("a").standing, world.of("a").since) = (Standing::ServerSilent, now);
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    world.settle_all(&["b", "c"]);
    assert_eq!(world.moved(), None, "it may still be fenced");
    assert!(world.coordinator.due().is_some());
    world.pass(1_000);
    assert_eq!(world.moved(), steady("b"), "it answers nobody, and replicas take nothing from it");
}

#[test]
fn with_nobody_to_follow_the_primary_stays() {
    let mut world = World::new();
    world.kill("a");
    world.kill_all(&["b", "c"]);
    world.pass(10_000);
    assert_eq!(world.moved(), None);
    assert_eq!(world.kinds(), [Kind::Waits]);
    // All are back.
    let now = world.now;
    for name in ["a", "b", "c"] {
        (world.of(name).standing, world.of(name).since) = (Standing::Serving, now);
    }
    assert_eq!(world.moved(), None);
}

/// Tablets that only look would never open a next primary: an epoch without one would have no end.
#[test]
fn nobody_is_deposed_for_servers_that_nobody_manages() {
    let mut world = World::new();
    for name in ["b", "c"] {
        world.of(name).is_managed = false;
    }
    let why = world.coordinator.order(world.now, &world.sight, order("b")).unwrap_err();
    assert!(why.contains("does not manage"), "{why}");
    world.kill("a");
    world.pass(10_000);
    assert_eq!(world.moved(), None);
    assert_eq!(world.kinds(), [Kind::Waits]);
}

#[test]
fn all_die_in_the_middle_and_the_former_primary_comes_back_first() {
    let mut world = World::new();
    world.kill("a");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    world.kill_all(&["b", "c"]);
    world.pass(10_000);
    assert_eq!(world.moved(), None);
    world.of("a").standing = Standing::Serving;
    assert_eq!(world.moved(), None, "it is not settled");
    world.settle("a");
    assert_eq!(world.moved(), steady("a"));
}

#[test]
fn a_second_primary_dies_while_it_is_promoted() {
    let mut world = World::new();
    world.kill("a");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    world.settle_all(&["b", "c"]);
    assert_eq!(world.moved(), steady("b"));
    world.kill("b");
    world.pass(500);
    assert_eq!(world.moved(), Some(Phase::Interregnum { former: "b".to_string(), heir: None }));
    world.settle("c");
    assert_eq!(world.moved(), steady("c"));
    world.settle("c");
    assert_eq!(world.moved(), None);
    let opened: Vec<Kind> = world.kinds().into_iter().filter(|kind| *kind == Kind::Opened).collect();
    assert_eq!(opened, [Kind::Opened], "to those who wait it is one move");
}

/// With semi-synchronous replication: the second one died before anybody else had what it alone had acknowledged.
#[test]
fn two_that_die_one_after_the_other_lose_nothing() {
    let mut world = World::new();
    (world.of("a").semi_sync_on, world.of("a").semi_sync_clients) = (true, 2);
    assert_eq!(world.moved(), None);
    world.of("c").executed = Arc::new(set(1, 8));
    world.of("c").received = Arc::new(set(1, 8));
    world.kill("a");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    world.settle_all(&["b", "c"]);
    assert_eq!(world.moved(), steady("b"));
    world.kill("b");
    world.pass(500);
    assert!(world.moved().is_some());
    world.settle("c");
    world.pass(5_000);
    assert_eq!(world.moved(), None, "c lacks what b had");
    world.of("b").standing = Standing::Serving;
    world.settle("b");
    assert_eq!(world.moved(), steady("b"));
}

#[test]
fn those_that_take_turns_in_dying_are_slowed_down() {
    let mut world = World::new();
    let mut moves = 0;
    let mut primary = "a".to_string();
    for _ in 0..20 {
        world.kill(&primary);
        for other in ["a", "b", "c"].into_iter().filter(|other| *other != primary) {
            let now = world.now;
            (world.of(other).standing, world.of(other).since) = (Standing::Serving, now);
            world.of(other).receiver = Receiving::Nothing;
        }
        world.pass(500);
        if !matches!(world.moved(), Some(Phase::Interregnum { .. })) {
            continue;
        }
        world.settle_all(&["a", "b", "c"]);
        if let Some(Phase::Steady { primary: next }) = world.moved() {
            moves += 1;
            primary = next;
        }
    }
    assert_eq!(moves, 3, "in ten seconds");
    world.kill(&primary);
    world.pass(60_000);
    assert!(world.moved().is_some(), "and later again");
}

#[test]
fn a_switchover_drains_fences_and_catches_up() {
    let mut world = World::new();
    world.sight.gates = vec![GateSight { name: "g".to_string(), epoch_seen: 7, drained: 0, view: None }];
    world.coordinator.order(world.now, &world.sight, order("c")).unwrap();
    assert!(world.coordinator.order(world.now, &world.sight, order("b")).unwrap_err().contains("another switchover"));
    assert_eq!(world.moved(), Some(Phase::Handover { primary: "a".to_string(), heir: "c".to_string() }));
    assert_eq!(world.moved(), None, "something is open");
    world.sight.gates[0].drained = 8;
    world.of("a").executed = Arc::new(set(1, 12));
    let between = Some(Phase::Interregnum { former: "a".to_string(), heir: Some("c".to_string()) });
    assert_eq!(world.moved(), between);
    world.of("c").executed = Arc::new(set(1, 12));
    assert_eq!(world.moved(), None, "a may still write");
    world.settle("a");
    world.of("c").executed = Arc::new(set(1, 11));
    assert_eq!(world.moved(), None, "c is not there");
    world.of("c").executed = Arc::new(set(1, 12));
    assert_eq!(world.moved(), steady("c"));
    world.settle("c");
    world.step();
    assert_eq!(world.coordinator.take_order_end(), Some(OrderEnd::Done));
    assert_eq!(world.kinds(), [Kind::SwitchoverBegan, Kind::Opened]);
}

#[test]
fn a_drain_has_an_end() {
    let mut world = World::new();
    world.sight.gates = vec![GateSight::default()];
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    world.moved();
    world.step();
    assert_eq!(world.coordinator.due(), Some(world.now + Duration::from_millis(1_000)));
    world.pass(1_000);
    assert!(matches!(world.moved(), Some(Phase::Interregnum { .. })));
}

#[test]
fn a_switchover_that_cannot_be_done_is_given_up() {
    // The heir dies while gates drain.
    let mut world = World::new();
    world.sight.gates = vec![GateSight::default()];
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    world.moved();
    world.kill("b");
    assert_eq!(world.moved(), steady("a"));
    world.step();
    let Some(OrderEnd::GivenUp(why)) = world.coordinator.take_order_end() else { panic!("done") };
    assert!(why.contains("server_stopped"), "{why}");

    // It never catches up.
    let mut world = World::new();
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    world.moved();
    world.moved();
    world.settle("a");
    world.of("b").executed = Arc::new(set(1, 3));
    assert_eq!(world.moved(), None);
    world.pass(10_000);
    assert_eq!(world.moved(), steady("a"));

    // The controller that began it is gone: another one finds the record.
    let mut world = World::new();
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    world.moved();
    world.coordinator = Coordinator::new(Settings::default());
    assert_eq!(world.moved(), steady("a"));

    // The primary dies in the middle: a failover follows.
    let mut world = World::new();
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    world.moved();
    world.moved();
    world.kill("a");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    world.settle_all(&["b", "c"]);
    assert_eq!(world.moved(), steady("b"));
}

#[test]
fn unsafe_orders_are_refused_with_the_reason() {
    let refused = |change: &dyn Fn(&mut World), heir: &str, expected: &str| {
        let mut world = World::new();
        change(&mut world);
        let why = world.coordinator.order(world.now, &world.sight, order(heir)).unwrap_err();
        assert!(why.contains(expected), "{why}, not {expected}");
    };
    refused(&|_| {}, "a", "primary already");
    refused(&|_| {}, "x", "no member");
    refused(&|world| world.kill("b"), "b", "server_stopped");
    refused(&|world| world.kill("a"), "b", "not seen to be well");
    refused(&|world| world.of("a").is_managed = false, "b", "'a' does not manage its server");
    let untold = |world: &mut World| (world.of("a").settled, world.of("a").trouble) = (6, "access denied".to_string());
    refused(&untold, "b", "'a' has trouble with its server: access denied");
    refused(&|world| world.of("b").is_live = false, "b", "not heard");
    refused(&|world| world.of("b").extra = Arc::new(set(2, 1)), "b", "never had");
    refused(&|world| world.of("b").applier_runs = false, "b", "applier");
    refused(&|world| world.of("b").receiver = Receiving::Seeking(uuid(1)), "b", "does not receive");
    refused(&|world| world.of("b").received = Arc::new(set(1, 90_000)), "b", "to apply");
    refused(&|world| world.coordinator.settings.is_on = false, "b", "moves no roles");
    let world = World::new();
    assert_eq!(order::nearest(&world.sight, &Settings::default()), Some("b".to_string()));
}

#[test]
fn who_has_something_of_its_own_stays_out_until_it_has_not() {
    let mut world = World::new();
    world.of("c").extra = Arc::new(set(2, 3));
    assert_eq!(world.moved(), steady("a"));
    assert_eq!(world.sight.record.members["c"].state, MemberState::Diverged);
    assert!(world.sight.record.members["c"].note.contains(":1-3"));
    world.settle_all(&["a", "b", "c"]);
    assert_eq!(world.moved(), None);
    world.of("c").extra = Arc::default();
    assert_eq!(world.moved(), steady("a"));
    assert_eq!(world.sight.record.members["c"].state, MemberState::Active);
}

/// Who saw what is told with the beginning; the gates that get answers keep a failover from beginning, not from going on.
#[test]
fn what_gates_see_is_told_and_can_be_a_doubt() {
    let mut world = World::new();
    let gate = crate::controller::failover::witness::tests::gate;
    let lost_at = world.now + Duration::from_millis(70);
    world.sight.gates = vec![gate("g", Reach::Silent, lost_at, None), gate("h", Reach::Silent, lost_at, None)];
    world.sight.gates.push(GateSight::default());
    world.kill("a");
    world.pass(500);
    assert_eq!(world.moved(), vacant());
    let event = world.coordinator.poll_event().unwrap();
    assert_eq!(event.text, "'a' is dead (stopped), first seen 500 ms ago; 2 of 3 gates lost it, the first 430 ms ago");

    let mut world = World::new();
    let (now, lease) = (world.now, Duration::from_millis(u64::from(world.sight.record.lease_ms)));
    let a = world.of("a");
    (a.is_live, a.since, a.lease_left) = (false, now, Duration::ZERO);
    for other in ["b", "c"] {
        world.of(other).receiver = Receiving::Seeking(uuid(1));
    }
    world.pass(lease.as_millis() as u64 + 100);
    world.sight.gates = vec![gate("g", Reach::Answers, now, Some(world.now))];
    assert_eq!(world.moved(), None);
    assert!(world.coordinator.poll_event().unwrap().text.contains("gates get answers from it"));
    assert!(world.coordinator.due().is_some(), "it is looked at again");
    // Nothing new is heard.
    world.pass(lease.as_millis() as u64 * 2 / 3 + 1);
    assert_eq!(world.moved(), vacant());
}
