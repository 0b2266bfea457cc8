//! Where others decide who is primary.

use super::*;
use crate::controller::failover::group::tests::{says, sight};
use crate::controller::record::Wanted;

fn in_group() -> World {
    let now = Instant::now();
    let mut world = World { now, sight: sight(now), coordinator: Coordinator::new(Settings::default()) };
    assert_eq!(world.step(), None);
    world
}

/// Tablets that do nothing to their servers.
fn unmanaged(is_on: bool) -> World {
    let mut world = World::new();
    world.sight.members.values_mut().for_each(|seen| (seen.is_managed, seen.settled) = (false, 0));
    world.coordinator.settings.is_on = is_on;
    assert_eq!(world.step(), None);
    world
}

fn steady(name: &str) -> Option<Phase> {
    Some(Phase::Steady { primary: name.to_string() })
}

fn vacant(former: &str) -> Option<Phase> {
    Some(Phase::Interregnum { former: former.to_string(), heir: None })
}

fn complaints(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = world.coordinator.poll_event() {
        if event.kind == Kind::Waits {
            all.push(event.text);
        }
    }
    all
}

#[test]
fn a_groups_election_is_followed_through_an_epoch_without_a_primary() {
    let mut world = in_group();
    let gone = world.of("a");
    (gone.standing, gone.is_primary) = (Standing::ServerStopped, false);
    assert_eq!(world.moved(), None, "for how long?");
    world.pass(500);
    assert_eq!(world.moved(), vacant("a"));
    // Nobody is chosen for the group, whatever was received.
    world.pass(60_000);
    assert_eq!(world.moved(), None);
    ["b", "c"].iter().for_each(|name| says(&mut world.sight, name, 4, 2));
    assert_eq!(world.moved(), steady("b"));
    assert_eq!(world.moved(), None);
    // The former one wakes up and takes itself for what it was.
    says(&mut world.sight, "a", 3, 1);
    world.pass(60_000);
    assert_eq!(world.moved(), None);
}

#[test]
fn another_elected_one_is_followed_at_once() {
    let mut world = in_group();
    ["a", "b", "c"].iter().for_each(|name| says(&mut world.sight, name, 3, 3));
    assert_eq!(world.moved(), vacant("a"));
    assert_eq!(world.moved(), steady("c"));
    // With failover = "off" too: it is not we who decide.
    world.coordinator.settings.is_on = false;
    ["a", "b", "c"].iter().for_each(|name| says(&mut world.sight, name, 3, 2));
    assert_eq!((world.moved(), world.moved()), (vacant("c"), steady("b")));
}

#[test]
fn a_primary_that_says_so_is_not_dropped_because_others_are_not_seen() {
    let mut world = in_group();
    ["b", "c"].iter().for_each(|name| world.of(name).is_live = false);
    world.pass(60_000);
    assert_eq!(world.moved(), None);
    assert!(complaints(&mut world)[0].contains("no majority"));
    // In a minority it says so itself.
    let seen = world.of("a");
    (seen.is_primary, seen.group.as_mut().unwrap().reachable) = (false, 1);
    assert_eq!(world.moved(), None);
    world.pass(500);
    assert_eq!(world.moved(), vacant("a"));
}

#[test]
fn one_that_may_not_be_primary_is_complained_of() {
    let mut world = in_group();
    let mut record = (*world.sight.record).clone();
    record.members.get_mut("b").unwrap().wanted = Wanted::Replica;
    world.sight.record = Arc::new(record);
    ["a", "b", "c"].iter().for_each(|name| says(&mut world.sight, name, 4, 2));
    assert_eq!((world.moved(), world.moved()), (vacant("a"), None));
    assert!(complaints(&mut world)[0].contains("weir ctl set b --wanted any"));
    ["a", "b", "c"].iter().for_each(|name| says(&mut world.sight, name, 5, 1));
    assert_eq!(world.moved(), steady("a"));
}

#[test]
fn a_switchover_of_a_group_drains_and_has_the_heir_elected() {
    let mut world = in_group();
    world.sight.gates.push(GateSight { name: "g".to_string(), epoch_seen: 7, drained: 0, view: None });
    let order = |heir: &str| Order { heir: heir.to_string(), drain: Duration::from_secs(5), epoch: None };
    let refused = |world: &mut World, order| world.coordinator.order(world.now, &world.sight, order).unwrap_err();
    world.of("c").group.as_mut().unwrap().place = crate::monitor::group::Place::Recovering;
    assert!(refused(&mut world, order("c")).contains("not online in the replication group"));
    world.coordinator.order(world.now, &world.sight, order("b")).unwrap();
    let handover = Phase::Handover { primary: "a".to_string(), heir: "b".to_string() };
    assert_eq!((world.moved(), world.moved()), (Some(handover), None));
    world.sight.gates[0].drained = world.sight.epoch();
    assert_eq!(world.moved(), Some(Phase::Interregnum { former: "a".to_string(), heir: Some("b".to_string()) }));
    assert_eq!(world.moved(), None, "its tablet has it elected");
    ["a", "b", "c"].iter().for_each(|name| says(&mut world.sight, name, 3, 2));
    assert_eq!(world.moved(), steady("b"));
    assert_eq!(world.coordinator.take_order_end(), None);
    world.step();
    assert_eq!(world.coordinator.take_order_end(), Some(OrderEnd::Done));
}

#[test]
fn a_switchover_that_the_group_does_not_make_is_given_up() {
    let mut world = in_group();
    let order = Order { heir: "b".to_string(), drain: Duration::ZERO, epoch: None };
    world.coordinator.order(world.now, &world.sight, order).unwrap();
    (0..2).for_each(|_| drop(world.moved()));
    world.of("b").trouble = "elect: access denied".to_string();
    assert_eq!(world.moved(), None);
    world.pass(10_000);
    assert_eq!(world.moved(), steady("a"));
    world.step();
    let Some(OrderEnd::GivenUp(why)) = world.coordinator.take_order_end() else { panic!("done") };
    assert!(why.contains("access denied"), "{why}");
}

#[test]
fn whom_others_make_primary_is_followed_when_it_is_alone() {
    for is_on in [false, true] {
        let mut world = unmanaged(is_on);
        let open = |world: &mut World, name: &str, is_primary: bool| {
            let seen = world.of(name);
            (seen.is_primary, seen.is_writable) = (is_primary, is_primary);
        };
        open(&mut world, "b", true);
        world.pass(60_000);
        assert_eq!(world.moved(), None, "the record's one is still writable");
        assert!(complaints(&mut world)[0].contains("both writable"));
        open(&mut world, "a", false);
        assert_eq!(world.moved(), vacant("a"));
        open(&mut world, "c", true);
        world.pass(60_000);
        assert_eq!(world.moved(), None, "two of them");
        open(&mut world, "c", false);
        assert_eq!(world.moved(), None, "for a moment only?");
        world.pass(100);
        assert_eq!(world.moved(), steady("b"));
        assert_eq!(world.moved(), None);
    }
}

#[test]
fn a_dead_primary_is_left_when_others_have_made_another() {
    let mut world = unmanaged(false);
    for name in ["b", "c"] {
        world.of(name).receiver = Receiving::Seeking(uuid(1));
    }
    let gone = world.of("a");
    (gone.standing, gone.is_primary) = (Standing::ServerStopped, false);
    world.pass(60_000);
    assert_eq!(world.moved(), None, "nobody else is writable");
    (world.of("c").is_primary, world.of("c").is_writable) = (true, true);
    assert_eq!(world.moved(), vacant("a"));
    assert_eq!(world.moved(), None);
    world.pass(100);
    assert_eq!(world.moved(), steady("c"));
}

#[test]
fn a_tablet_that_manages_its_server_is_not_followed() {
    let mut world = World::new();
    world.coordinator.settings.is_on = false;
    let a = world.of("a");
    (a.is_primary, a.is_writable) = (false, false);
    (world.of("b").is_primary, world.of("b").is_writable) = (true, true);
    world.pass(60_000);
    assert_eq!(world.moved(), None);
}
