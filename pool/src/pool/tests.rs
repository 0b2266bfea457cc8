//! The pool case by case; `model` and `cores` play it at random.

mod cores;
mod fair;
mod model;

use super::*;

const MS: u64 = 1_000_000;

pub(super) fn limits() -> Limits {
    Limits {
        waiters_max: 8,
        warm_min: 1,
        idle_ns_max: 1_000 * MS,
        age_ns_max: u64::MAX,
        dials_max: 4,
        overtaken_ns_max: 100 * MS,
        cede_idle_ns_min: 20 * MS,
        scatter: false,
    }
}

pub(super) fn want(account: u32, class: u32) -> Want {
    Want { account, class, schema: 0, fingerprint: 0, prefer: None, weight: 100 }
}

fn pool(quota: u32) -> Pool {
    let mut pool = Pool::new(1, limits());
    pool.set_quota(0, quota);
    pool
}

fn wait(pool: &mut Pool, now: u64, want: &Want) -> Ticket {
    match pool.acquire(now, 0, want) {
        Grant::Wait(ticket) => ticket,
        other => panic!("{other:?} instead of a place in line"),
    }
}

fn lease(pool: &mut Pool, now: u64, want: &Want) -> (SlotId, Fit) {
    match pool.acquire(now, 0, want) {
        Grant::Lease { slot, fit } => (slot, fit),
        other => panic!("{other:?} instead of a lease"),
    }
}

/// A new connection, dialed for this want and leased to it.
fn dialed(pool: &mut Pool, now: u64, want: &Want) -> SlotId {
    let ticket = wait(pool, now, want);
    let (slot, backend, for_want) = pool.poll_dial().expect("a dial");
    assert_eq!((backend, for_want), (0, *want));
    pool.opened(now, slot);
    let (served, given, fit) = pool.poll_ready(now).expect("a hand-over");
    assert_eq!((served, given), (ticket, slot));
    assert_eq!(fit == Fit::Same, want.fingerprint == 0);
    pool.check();
    slot
}

fn give_back(pool: &mut Pool, now: u64, slot: SlotId, want: &Want) {
    pool.release(now, slot, want.account, want.class, want.schema, want.fingerprint);
    pool.check();
}

/// `count` connections, all leased first so that each want dials, then given back in order, 1 ns apart from `now` on.
fn idle_slots(pool: &mut Pool, now: u64, wants: &[Want]) -> Vec<SlotId> {
    let slots: Vec<SlotId> = wants.iter().map(|want| dialed(pool, now, want)).collect();
    for (at, (slot, want)) in slots.iter().zip(wants).enumerate() {
        give_back(pool, now + at as u64, *slot, want);
    }
    slots
}

fn evicted(pool: &mut Pool, now: u64) -> Vec<SlotId> {
    let mut all = Vec::new();
    while let Some(slot) = pool.poll_evict(now) {
        pool.check();
        all.push(slot);
    }
    for slot in &all {
        pool.closed(now, *slot);
    }
    pool.check();
    all
}

#[test]
fn the_best_idle_connection_is_leased() {
    let like = |schema, fingerprint| Want { account: 1, class: 0, schema, fingerprint, prefer: None, weight: 100 };
    let have = [like(5, 7), like(5, 8), like(6, 7), like(5, 7)];
    let get = |want: Want| {
        let mut pool = pool(8);
        let slots = idle_slots(&mut pool, 0, &have);
        let want = Want { prefer: want.prefer.map(|id| slots[id.index as usize]), ..want };
        let (slot, fit) = lease(&mut pool, 9, &want);
        pool.check();
        (slots.iter().position(|s| *s == slot).unwrap(), fit)
    };
    let preferred = |index| Some(SlotId { index, generation: 0 });
    assert_eq!(get(like(5, 7)), (3, Fit::Same), "the most recently used of two");
    assert_eq!(get(like(5, 8)), (1, Fit::Same));
    assert_eq!(get(like(6, 9)), (2, Fit::State), "the same schema");
    assert_eq!(get(like(9, 7)), (0, Fit::State), "the least recently used of the account");
    assert_eq!(get(Want { prefer: preferred(0), ..like(5, 7) }), (0, Fit::Same), "the one used last");
    assert_eq!(get(Want { prefer: preferred(2), ..like(5, 7) }), (2, Fit::State), "the one used last, in any state");
    let (slot, fit) = get(Want { account: 2, prefer: preferred(3), ..like(5, 7) });
    assert_eq!((slot, fit), (0, Fit::Account), "of another account, the least recently used");
}

#[test]
fn scattered_leases_take_what_was_used_longest_ago_and_never_the_last_one() {
    let like = |fingerprint| Want { account: 1, class: 0, schema: 5, fingerprint, prefer: None, weight: 100 };
    let mut pool = pool(3);
    let slots = idle_slots(&mut pool, 0, &[like(7), like(8), like(7)]);
    pool.set_limits(Limits { scatter: true, ..limits() });
    let (slot, _) = lease(&mut pool, 9, &Want { prefer: Some(slots[0]), ..like(7) });
    assert_eq!(slot, slots[1], "the first is the session's last one");
    let (slot, fit) = lease(&mut pool, 9, &like(7));
    assert_eq!((slot, fit), (slots[0], Fit::Same), "used longest ago");
    let (slot, _) = lease(&mut pool, 9, &Want { prefer: Some(slots[2]), ..like(7) });
    assert_eq!(slot, slots[2], "there is no other, and no room");
    pool.check();
}

#[test]
fn a_preferred_slot_that_is_leased_or_dead_is_no_preference() {
    let mut pool = pool(8);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0)]);
    let mine = Want { prefer: Some(slots[0]), ..want(1, 0) };
    assert_eq!(lease(&mut pool, 5, &mine).0, slots[0]);
    assert_eq!(lease(&mut pool, 5, &mine).0, slots[1]);
    pool.closed(6, slots[0]);
    give_back(&mut pool, 6, slots[1], &want(1, 0));
    assert_eq!(lease(&mut pool, 7, &mine).0, slots[1]);
}

#[test]
fn another_class_is_never_leased() {
    let mut pool = pool(2);
    idle_slots(&mut pool, 0, &[want(1, 0)]);
    let ticket = wait(&mut pool, 1, &want(1, 9));
    assert_eq!(pool.poll_ready(1), None);
    let (slot, ..) = pool.poll_dial().expect("room for a connection of that class");
    pool.opened(2, slot);
    assert_eq!(pool.poll_ready(2), Some((ticket, slot, Fit::Same)));
}

#[test]
fn warm_connections_stay_with_their_account_while_there_is_room() {
    let mut pool = pool(2);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0)]);
    let second = dialed(&mut pool, 1, &want(2, 0));
    // No room is left: a change of user, out of what was warm.
    assert_eq!(lease(&mut pool, 2, &want(3, 0)), (slots[0], Fit::Account));
    give_back(&mut pool, 3, second, &want(2, 0));
    assert_eq!(lease(&mut pool, 4, &want(2, 0)), (second, Fit::Same));
}

#[test]
fn an_account_keeps_its_warm_connection_from_those_before_its_session_in_line() {
    let mut pool = pool(8);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0)]);
    let before = wait(&mut pool, 1, &want(2, 0));
    assert_eq!(pool.poll_ready(1), None, "it is kept warm, and there is room");
    assert_eq!(lease(&mut pool, 1, &want(1, 0)), (slots[0], Fit::Same), "nobody in line may have it");
    let behind = wait(&mut pool, 1, &want(1, 0));
    give_back(&mut pool, 2, slots[0], &want(1, 0));
    assert_eq!(pool.poll_ready(2), Some((behind, slots[0], Fit::Same)));
    let (dial, _, for_want) = pool.poll_dial().unwrap();
    assert_eq!(for_want.account, 2);
    assert_eq!(pool.poll_dial(), None, "one waiter, one dial");
    pool.opened(3, dial);
    assert_eq!(pool.poll_ready(3), Some((before, dial, Fit::Same)));
}

#[test]
fn first_come_first_served() {
    let mut pool = pool(1);
    let slot = dialed(&mut pool, 0, &want(9, 0));
    let tickets: Vec<Ticket> = (0..5).map(|account| wait(&mut pool, 1, &want(account, 0))).collect();
    assert_eq!(pool.poll_dial(), None, "the quota is used");
    assert!(pool.cancel(tickets[2]));
    assert!(!pool.cancel(tickets[2]), "a ticket ends once");
    assert_eq!((pool.backend_of(tickets[1]), pool.backend_of(tickets[2])), (Some(0), None));
    for account in [0, 1, 3, 4] {
        give_back(&mut pool, 2, slot, &want(account, 0));
        assert_eq!(pool.acquire(2, 0, &want(account, 0)), Grant::Wait(wait_ticket(&pool)), "not out of line");
        let (ticket, given, _) = pool.poll_ready(2).unwrap();
        assert_eq!((ticket, given), (tickets[account as usize], slot));
        assert_eq!(pool.poll_ready(2), None);
    }
    let left = pool.fail_line(0);
    assert_eq!(left.len(), 4);
    assert!(left.iter().all(|ticket| !tickets.contains(ticket) && !pool.cancel(*ticket)));
    assert_eq!(pool.waiting(0), 0);
    pool.check();
}

/// The ticket of whoever joined last.
fn wait_ticket(pool: &Pool) -> Ticket {
    let lane = &pool.backends[0].lanes[0];
    let last = pool.waiters.in_lane(lane).max_by_key(|index| pool.waiters[*index].arrival);
    pool.waiters.ticket(last.unwrap())
}

#[test]
fn a_line_has_an_end() {
    let mut pool = pool(1);
    dialed(&mut pool, 0, &want(1, 0));
    for _ in 0..8 {
        wait(&mut pool, 0, &want(1, 0));
    }
    assert_eq!(pool.acquire(0, 0, &want(1, 0)), Grant::Refused(LineFull { waiters_max: 8 }));
    assert_eq!(pool.waiting(0), 8);
}

#[test]
fn dials_are_bounded_by_waiters_quota_and_limit() {
    for (waiters, quota, expected) in [(2, 8, 2), (8, 3, 3), (8, 8, 4), (0, 8, 0), (3, 0, 0)] {
        let mut pool = pool(quota);
        for account in 0..waiters {
            wait(&mut pool, 0, &want(account, 0));
        }
        let dials: Vec<u32> = std::iter::from_fn(|| pool.poll_dial()).map(|(_, _, want)| want.account).collect();
        assert_eq!(dials, (0..expected).collect::<Vec<_>>(), "{waiters} waiters, a quota of {quota}");
        assert_eq!(pool.open(0), expected);
    }
}

#[test]
fn a_failed_dial_is_tried_again_for_who_still_waits() {
    let mut pool = pool(4);
    let ticket = wait(&mut pool, 0, &want(1, 0));
    let (first, ..) = pool.poll_dial().unwrap();
    pool.closed(1, first);
    let (second, ..) = pool.poll_dial().unwrap();
    assert_ne!(first, second, "an id does not come back");
    pool.closed(1, first);
    assert_eq!(pool.open(0), 1, "a dead id closes nothing");
    pool.cancel(ticket);
    pool.closed(2, second);
    assert_eq!(pool.poll_dial(), None);
}

#[test]
fn an_exact_slot_or_nothing() {
    let mut pool = pool(1);
    let slot = idle_slots(&mut pool, 0, &[want(1, 0)])[0];
    assert!(pool.acquire_exactly(slot));
    assert!(!pool.acquire_exactly(slot), "it is leased");
    wait(&mut pool, 1, &want(2, 0));
    give_back(&mut pool, 1, slot, &want(1, 0));
    assert!(!pool.acquire_exactly(slot), "somebody waits for it");
    let (_, served, fit) = pool.poll_ready(1).unwrap();
    assert_eq!((served, fit), (slot, Fit::Account));
    pool.closed(2, slot);
    assert!(!pool.acquire_exactly(slot), "it is gone");
}

#[test]
fn an_idle_connection_of_another_class_makes_way() {
    let mut pool = pool(2);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0)]);
    let ticket = wait(&mut pool, 5, &want(1, 9));
    assert_eq!((pool.poll_ready(5), pool.poll_dial()), (None, None));
    assert_eq!(evicted(&mut pool, 5), [slots[0]], "one, the least recently used");
    let (slot, ..) = pool.poll_dial().unwrap();
    pool.opened(6, slot);
    assert_eq!(pool.poll_ready(6), Some((ticket, slot, Fit::Same)));
}

#[test]
fn a_class_without_a_connection_is_not_starved_by_one_with_many() {
    let mut pool = pool(2);
    let slots = [dialed(&mut pool, 0, &want(1, 0)), dialed(&mut pool, 0, &want(1, 0))];
    let stranger = wait(&mut pool, 1, &want(1, 9));
    let resident = wait(&mut pool, 2, &want(1, 0));
    give_back(&mut pool, 3, slots[0], &want(1, 0));
    assert_eq!(pool.poll_ready(3), None, "the stranger came before");
    assert_eq!(evicted(&mut pool, 3), [slots[0]]);
    let (dial, _, for_want) = pool.poll_dial().unwrap();
    assert_eq!(for_want.class, 9);
    give_back(&mut pool, 4, slots[1], &want(1, 0));
    assert_eq!(pool.poll_ready(4), Some((resident, slots[1], Fit::Same)));
    pool.opened(5, dial);
    assert_eq!(pool.poll_ready(5), Some((stranger, dial, Fit::Same)));
}

#[test]
fn classes_overtake_each_other_only_so_long() {
    let served_first = |gap_ms: u64| {
        let mut pool = pool(3);
        dialed(&mut pool, 0, &want(1, 9));
        let slot = dialed(&mut pool, 0, &want(1, 0));
        dialed(&mut pool, 0, &want(1, 0));
        let early = wait(&mut pool, 0, &want(1, 9));
        let late = wait(&mut pool, gap_ms * MS, &want(1, 0));
        give_back(&mut pool, gap_ms * MS, slot, &want(1, 0));
        if let Some((ticket, ..)) = pool.poll_ready(gap_ms * MS) {
            assert_eq!(ticket, late);
            return 0;
        }
        assert_eq!(evicted(&mut pool, gap_ms * MS), [slot]);
        let (dial, ..) = pool.poll_dial().unwrap();
        pool.opened(gap_ms * MS, dial);
        assert_eq!(pool.poll_ready(gap_ms * MS).map(|ready| ready.0), Some(early));
        9
    };
    assert_eq!(served_first(99), 0, "its own connection will come back");
    assert_eq!(served_first(100), 9);
}

#[test]
fn idle_time_closes_what_is_not_kept_warm() {
    let mut pool = pool(8);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0), want(2, 0)]);
    assert_eq!(pool.poll_timeout(), Some(1_000 * MS));
    assert_eq!(evicted(&mut pool, 1_000 * MS - 1), []);
    assert_eq!(evicted(&mut pool, 1_000 * MS + 9), [slots[0]], "each account keeps one");
    assert_eq!(pool.poll_timeout(), None, "what is kept warm needs no time");
    // A second one comes: the one that was kept only for being the last goes.
    let young = [lease(&mut pool, 2_000 * MS, &want(1, 0)).0, dialed(&mut pool, 2_000 * MS, &want(1, 0))];
    assert_eq!(young[0], slots[1]);
    give_back(&mut pool, 2_000 * MS, young[0], &want(1, 0));
    assert_eq!(evicted(&mut pool, 3_000 * MS), []);
    give_back(&mut pool, 3_000 * MS, young[1], &want(1, 0));
    assert_eq!(evicted(&mut pool, 3_000 * MS), [young[0]]);
    pool.set_limits(Limits { warm_min: 0, ..limits() });
    assert_eq!(evicted(&mut pool, 3_000 * MS), [slots[2]]);
    assert_eq!(evicted(&mut pool, 4_000 * MS), [young[1]]);
}

#[test]
fn age_closes_idle_ones_at_once_and_leased_ones_when_they_come_back() {
    let mut pool = Pool::new(1, Limits { age_ns_max: 800 * MS, idle_ns_max: u64::MAX, ..limits() });
    pool.set_quota(0, 8);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0)]);
    let leased = lease(&mut pool, 1, &want(1, 0)).0;
    assert_eq!(leased, slots[1]);
    let due = pool.poll_timeout().unwrap();
    assert!((700 * MS..=800 * MS).contains(&due));
    assert_eq!(evicted(&mut pool, 700 * MS - 1), []);
    assert_eq!(evicted(&mut pool, 800 * MS), [slots[0]]);
    let ticket = wait(&mut pool, 800 * MS, &want(1, 0));
    give_back(&mut pool, 801 * MS, leased, &want(1, 0));
    assert_eq!(pool.poll_ready(801 * MS), None, "whoever waits gets a young one");
    assert_eq!(evicted(&mut pool, 801 * MS), [leased]);
    let (dial, ..) = pool.poll_dial().unwrap();
    pool.opened(802 * MS, dial);
    assert_eq!(pool.poll_ready(802 * MS), Some((ticket, dial, Fit::Same)));
}

#[test]
fn connections_opened_together_are_not_closed_together() {
    let mut pool = Pool::new(1, Limits { age_ns_max: 8_000 * MS, idle_ns_max: u64::MAX, ..limits() });
    pool.set_quota(0, 8);
    idle_slots(&mut pool, 0, &[want(1, 0); 8]);
    let closed_ms: Vec<u64> = (7_000..=8_000).filter(|ms| !evicted(&mut pool, ms * MS).is_empty()).collect();
    assert_eq!(closed_ms.len(), 8, "{closed_ms:?}");
    assert!(closed_ms.windows(2).all(|pair| pair[1] - pair[0] > 20), "{closed_ms:?}");
}

#[test]
fn a_slot_closed_from_outside_is_not_evicted() {
    let mut pool = pool(4);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0), want(1, 0)]);
    let ends = 1_000 * MS + 9;
    assert_eq!(pool.poll_evict(ends), Some(slots[0]));
    pool.closed(ends, slots[1]);
    assert_eq!(pool.poll_evict(ends), None);
    assert_eq!((pool.open(0), pool.idle(0)), (2, 1), "one idle, one still to be closed by the caller");
    pool.check();
}

#[test]
fn a_smaller_quota_closes_idle_ones_and_those_that_come_back() {
    let mut pool = pool(4);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0); 4]);
    for expected in [slots[3], slots[2], slots[1]] {
        assert_eq!(lease(&mut pool, 5, &want(1, 0)).0, expected);
    }
    pool.set_quota(0, 1);
    assert_eq!(evicted(&mut pool, 5), [slots[0]]);
    let ticket = wait(&mut pool, 5, &want(1, 0));
    for slot in [slots[1], slots[2]] {
        give_back(&mut pool, 6, slot, &want(1, 0));
        assert_eq!(pool.poll_ready(6), None);
        assert_eq!(evicted(&mut pool, 6), [slot]);
    }
    give_back(&mut pool, 7, slots[3], &want(1, 0));
    assert_eq!(pool.poll_ready(7), Some((ticket, slots[3], Fit::Same)));
}

#[test]
fn an_unusable_backend_gives_nothing_and_keeps_its_line() {
    let mut pool = pool(4);
    let slots = idle_slots(&mut pool, 0, &[want(1, 0), want(1, 0)]);
    let leased = lease(&mut pool, 5, &want(1, 0)).0;
    pool.set_usable(0, false);
    assert!(!pool.acquire_exactly(slots[0]));
    let ticket = wait(&mut pool, 6, &want(1, 0));
    assert_eq!((pool.poll_ready(6), pool.poll_dial(), pool.poll_quota_wanted()), (None, None, None));
    assert_eq!(evicted(&mut pool, 6), [slots[0]]);
    give_back(&mut pool, 7, leased, &want(1, 0));
    assert_eq!(pool.poll_ready(7), None);
    assert_eq!(evicted(&mut pool, 7), [leased]);
    pool.set_usable(0, true);
    let (dial, ..) = pool.poll_dial().unwrap();
    pool.opened(8, dial);
    assert_eq!(pool.poll_ready(8), Some((ticket, dial, Fit::Same)));
}

#[test]
fn slots_can_be_shown() {
    let mut pool = pool(4);
    let slot = dialed(&mut pool, 0, &want(3, 2));
    let view = SlotView { slot, backend: 0, state: SlotState::Leased, account: 3, class: 2 };
    assert_eq!(pool.slots().collect::<Vec<_>>(), [view]);
    assert_eq!((pool.open(0), pool.outstanding(0), pool.idle(0), pool.waiting(0)), (1, 1, 0, 0));
}

#[test]
#[should_panic(expected = "only a leased slot is released")]
fn a_slot_is_not_released_twice() {
    let mut pool = pool(4);
    let slot = idle_slots(&mut pool, 0, &[want(1, 0)])[0];
    pool.release(1, slot, 1, 0, 0, 0);
}

#[test]
#[should_panic(expected = "class does not change")]
fn a_slot_keeps_its_class() {
    let mut pool = pool(4);
    let slot = dialed(&mut pool, 0, &want(1, 0));
    pool.release(1, slot, 1, 1, 0, 0);
}
