use super::*;
use crate::controller::record::Member;
use crate::controller::record::tests::record as of_two;
use crate::tablet::hands::view::Channel;
use crate::tablet::steward::trouble::Again;

const A: &str = "10000000-0000-1000-8000-000000000001";
const B: &str = "10000000-0000-1000-8000-000000000002";
const C: &str = "10000000-0000-1000-8000-000000000003";

fn set(text: &str) -> GtidSet {
    GtidSet::parse(text.replace('a', A).replace('b', B).replace('c', C).as_bytes()).unwrap()
}

/// Members a, b and c; `promoted` as in [`set`].
fn record(phase: Phase, promoted: &str) -> Record {
    let mut record = of_two(7, phase);
    for (name, uuid) in [("a", A), ("b", B), ("c", C)] {
        let address = format!("{name}:3306");
        record.members.insert(name.to_string(), Member { server_uuid: uuid.to_string(), address, ..Member::default() });
    }
    record.promoted_gtid_executed = set(promoted).to_string();
    record
}

fn steady(primary: &str) -> Phase {
    Phase::Steady { primary: primary.to_string() }
}

fn handover(primary: &str, heir: &str) -> Phase {
    Phase::Handover { primary: primary.to_string(), heir: heir.to_string() }
}

fn interregnum(former: &str, heir: Option<&str>) -> Phase {
    Phase::Interregnum { former: former.to_string(), heir: heir.map(str::to_string) }
}

/// A server that was persisted, has executed a:1-5, is writable and replicates from nobody.
fn writable() -> View {
    View { is_persisted: true, executed: set("a:1-5"), ..View::default() }
}

fn read_only() -> View {
    View { read_only: true, super_read_only: true, ..writable() }
}

fn from(uuid: &str, received: &str) -> Channel {
    Channel {
        name: String::new(),
        host: ["a", "b", "c"][usize::from(uuid.as_bytes()[uuid.len() - 1] - b'1')].to_string(),
        port: 3306,
        source_uuid: uuid.to_string(),
        receiver: Receiver::Connected,
        applier_runs: true,
        received: set(received),
        last_error: String::new(),
        is_purged: false,
    }
}

/// Follows that server, has received a:1-`received`, and executed a:1-5.
fn replica(uuid: &str, received: u64) -> View {
    View { channels: vec![from(uuid, &format!("a:1-{received}"))], ..read_only() }
}

fn with(mut view: View, change: impl FnOnce(&mut View)) -> View {
    change(&mut view);
    view
}

fn channel(view: View, change: impl FnOnce(&mut Channel)) -> View {
    with(view, |view| change(&mut view.channels[0]))
}

fn stopped(view: View) -> View {
    channel(view, |channel| channel.receiver = Receiver::Stopped)
}

/// How this test's member stands beside the record.
struct Given {
    record: Option<Record>,
    name: &'static str,
    lease: Lease,
    extra: &'static str,
    cleared: &'static str,
    semi_sync: SemiSyncWish,
    can_replicate: bool,
    is_in_group: bool,
    is_wiped: bool,
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq)]
enum Lease {
    Held,
    Over,
    /// It has just begun, and may ask for one.
    NoneYet,
}

fn given(name: &'static str, phase: Phase) -> Given {
    Given {
        record: Some(record(phase, "")),
        name,
        lease: Lease::Held,
        extra: "",
        cleared: "",
        semi_sync: SemiSyncWish::Keep,
        can_replicate: true,
        is_in_group: false,
        is_wiped: false,
        trouble: Trouble::default(),
    }
}

fn over(given: Given) -> Given {
    Given { lease: Lease::Over, ..given }
}

fn verdict(given: &Given, own: Own) -> Verdict {
    let now = Instant::now();
    let fence_at = if given.lease == Lease::Over { now } else { now + Duration::from_millis(1) };
    next_deed(&Case {
        now,
        name: given.name,
        record: given.record.as_ref(),
        fence_at,
        has_lease: given.lease != Lease::NoneYet,
        own: &own,
        extra: &set(given.extra),
        cleared: &set(given.cleared),
        semi_sync: given.semi_sync,
        can_replicate: given.can_replicate,
        is_in_group: given.is_in_group,
        is_wiped: given.is_wiped,
        trouble: &given.trouble,
    })
}

fn follow_of(name: &str) -> String {
    format!("follow {name}")
}

/// `settled`, `idle`, `stuck`, `resting DEED`, or the deed's name.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Idle(_) => "idle".to_string(),
        Verdict::Stuck(_) => "stuck".to_string(),
        Verdict::Settled(_) => "settled".to_string(),
        Verdict::Due(Deed::Follow(source)) => follow_of(&source.name),
        Verdict::Due(deed) => deed.name().to_string(),
        Verdict::Resting { deed, .. } => format!("resting {}", deed.name()),
    }
}

#[track_caller]
fn check(given: Given, view: View, expected: &str) {
    let verdict = verdict(&given, Own::Seen(Box::new(view)));
    assert_eq!(word(&verdict), expected, "{verdict:?}");
}

#[test]
fn nothing_is_done_without_a_record_that_names_a_role() {
    for view in [writable(), read_only(), replica(A, 9), with(writable(), |view| view.is_persisted = false)] {
        check(Given { record: None, ..given("a", Phase::Forming) }, view.clone(), "idle");
        check(over(given("a", Phase::Forming)), view.clone(), "idle");
        check(over(given("stranger", steady("a"))), view.clone(), "stuck");
        check(over(given("b", steady("a"))), with(view, |view| view.group = in_group("a")), "idle");
    }
}

#[test]
fn the_named_one_with_a_lease_becomes_writable_when_it_has_all() {
    for phase in [steady("b"), handover("b", "c")] {
        let given = || given("b", phase.clone());
        check(given(), writable(), "settled");
        // It was restarted.
        check(given(), read_only(), "lead");
        check(given(), with(writable(), |view| view.read_only = true), "lead");
        check(given(), with(read_only(), |view| view.is_persisted = false), "persist_read_only");
        // It was a replica: first nothing more comes in, then all is applied, then replication ends.
        check(given(), replica(A, 9), "stop_receiving");
        check(given(), channel(replica(A, 9), |channel| channel.receiver = Receiver::Connecting), "stop_receiving");
        check(given(), stopped(replica(A, 9)), "apply");
        check(given(), channel(stopped(replica(A, 9)), |channel| channel.applier_runs = false), "apply");
        check(given(), stopped(replica(A, 5)), "lead");
        check(given(), with(stopped(replica(A, 5)), |view| view.super_read_only = false), "lead");
        // Of the second source too.
        let second = with(stopped(replica(A, 5)), |view| {
            view.channels.push(Channel { receiver: Receiver::Stopped, ..from(C, "c:1") });
        });
        check(given(), second, "apply");
        check(Given { is_wiped: true, ..given() }, read_only(), "stuck");
        check(Given { record: Some(record(phase.clone(), "a:1-7")), ..given() }, read_only(), "stuck");
        check(Given { record: Some(record(phase.clone(), "a:1-7")), ..given() }, stopped(replica(A, 6)), "stuck");
        check(Given { record: Some(record(phase.clone(), "a:1-7")), ..given() }, stopped(replica(A, 7)), "apply");
        check(Given { record: Some(record(phase.clone(), "a:1-5")), ..given() }, read_only(), "lead");
    }
}

#[test]
fn a_lease_that_ends_makes_the_named_one_read_only_and_nothing_else() {
    for phase in [steady("b"), handover("b", "c")] {
        let given = || over(given("b", phase.clone()));
        check(given(), writable(), "fence");
        check(given(), with(writable(), |view| view.is_persisted = false), "fence");
        check(given(), with(writable(), |view| view.read_only = true), "fence");
        check(given(), read_only(), "stuck");
        check(given(), replica(A, 9), "stuck");
        check(given(), with(read_only(), |view| view.is_persisted = false), "persist_read_only");
    }
    // Of all others the lease says nothing.
    check(over(given("b", steady("a"))), replica(A, 9), "settled");
}

#[test]
fn everybody_else_is_read_only() {
    let phases =
        [steady("a"), handover("a", "b"), interregnum("a", None), interregnum("b", None), interregnum("a", Some("b"))];
    for phase in phases {
        for view in [
            writable(),
            with(replica(A, 9), |view| view.super_read_only = false),
            with(writable(), |view| view.is_persisted = false),
        ] {
            check(given("b", phase.clone()), view.clone(), "fence");
            check(over(given("b", phase.clone())), view, "fence");
        }
        check(given("b", phase), with(read_only(), |view| view.is_persisted = false), "persist_read_only");
    }
}

#[test]
fn who_is_not_the_primary_follows_it() {
    for phase in [steady("a"), handover("a", "b")] {
        let given = || given("b", phase.clone());
        check(given(), replica(A, 9), "settled");
        check(given(), channel(replica(A, 9), |channel| channel.receiver = Receiver::Connecting), "settled");
        check(given(), read_only(), "follow a");
        check(given(), stopped(replica(A, 9)), "follow a");
        check(given(), channel(replica(A, 9), |channel| channel.applier_runs = false), "follow a");
        // From another one nothing more is taken, before anything else is tried.
        check(given(), replica(C, 9), "stop_receiving");
        check(given(), stopped(replica(C, 9)), "follow a");
        // It was never connected: the address tells.
        let unconnected = |host: &'static str| {
            channel(replica(A, 5), move |channel| {
                (channel.host, channel.source_uuid) = (host.to_string(), String::new())
            })
        };
        check(given(), unconnected("a"), "settled");
        check(given(), unconnected("c"), "stop_receiving");
        // The same server under another address.
        check(given(), channel(replica(A, 5), |channel| channel.host = "10.0.0.7".to_string()), "settled");
        let without = || Given { can_replicate: false, ..given() };
        check(without(), replica(A, 9), "settled");
        check(without(), stopped(replica(A, 9)), "receive");
        check(without(), read_only(), "stuck");
        check(without(), replica(C, 9), "stop_receiving");
        check(without(), stopped(replica(C, 9)), "stuck");
        let purged = channel(stopped(replica(A, 9)), |channel| channel.is_purged = true);
        check(given(), purged, "stuck");
        let several = with(replica(A, 9), |view| view.channels.push(from(C, "c:1")));
        check(given(), several, "stuck");
    }
    let mut socket = record(steady("a"), "");
    socket.members.get_mut("a").unwrap().address = "unix:/run/mysqld.sock".to_string();
    check(Given { record: Some(socket), ..given("b", steady("a")) }, read_only(), "stuck");
    // Drained ones replicate on: they only get no traffic. What has diverged is judged by its own set, not by the record.
    for state in [crate::controller::record::MemberState::Drained, crate::controller::record::MemberState::Diverged] {
        let mut record = record(steady("a"), "");
        record.members.get_mut("b").unwrap().state = state;
        check(Given { record: Some(record.clone()), ..given("b", steady("a")) }, replica(A, 9), "settled");
        check(Given { record: Some(record), ..given("b", steady("a")) }, read_only(), "follow a");
    }
}

#[test]
fn without_a_primary_nothing_is_received_and_what_was_received_is_applied() {
    for former in ["a", "b"] {
        let given = || given("b", interregnum(former, None));
        check(given(), read_only(), "settled");
        check(given(), replica(A, 9), "stop_receiving");
        check(given(), channel(replica(A, 9), |channel| channel.receiver = Receiver::Connecting), "stop_receiving");
        check(
            given(),
            with(replica(A, 5), |view| view.channels.insert(0, Channel { receiver: Receiver::Stopped, ..from(C, "") })),
            "stop_receiving",
        );
        check(given(), stopped(replica(A, 9)), "settled");
        check(given(), channel(stopped(replica(A, 9)), |channel| channel.applier_runs = false), "apply");
        check(given(), channel(stopped(replica(A, 5)), |channel| channel.applier_runs = false), "settled");
    }
}

#[test]
fn with_an_heir_the_replicas_of_the_former_one_receive_on() {
    let given = |name| given(name, interregnum("a", Some("b")));
    for name in ["b", "c"] {
        check(given(name), replica(A, 9), "settled");
        check(given(name), stopped(replica(A, 9)), "receive");
        check(given(name), channel(replica(A, 9), |channel| channel.applier_runs = false), "apply");
        check(given(name), stopped(replica(if name == "b" { C } else { B }, 5)), "settled");
        check(given(name), read_only(), "settled");
    }
    check(given("a"), read_only(), "settled");
}

#[test]
fn what_the_primary_has_not_keeps_a_server_out() {
    let promoted = |given: Given, promoted: &str| {
        let phase = given.record.as_ref().unwrap().phase.clone();
        Given { record: Some(record(phase, promoted)), ..given }
    };
    // a:1-5 is executed; b was promoted with a:1-4 and has made none of it itself.
    check(promoted(given("c", steady("b")), "a:1-4"), replica(B, 9), "compare");
    check(promoted(given("c", steady("b")), "a:1-5"), replica(B, 9), "settled");
    check(promoted(given("c", steady("a")), "b:1"), replica(A, 9), "settled");
    check(Given { cleared: "a:5", ..promoted(given("c", steady("b")), "a:1-4") }, replica(B, 9), "settled");
    check(promoted(given("c", steady("b")), ""), replica(B, 9), "settled");
    // It was compared.
    let out = || Given { extra: "a:5", ..promoted(given("c", steady("b")), "a:1-4") };
    check(out(), replica(B, 9), "stop_receiving");
    check(out(), stopped(replica(B, 5)), "compare");
    // Nobody replicates it until it is tried again; then it is as settled as it can be.
    let tried = |deed: Deed| {
        let mut trouble = Trouble::default();
        (0..9)
            .for_each(|_| trouble.handle_failure(Instant::now(), &deed, "it has executed 1".to_string(), Again::Later));
        trouble
    };
    let source = Source::new("b", "b:3306", B).unwrap();
    check(Given { trouble: tried(Deed::Compare(source.clone())), ..out() }, stopped(replica(B, 5)), "settled");
    check(Given { trouble: tried(Deed::Follow(source.clone())), ..out() }, read_only(), "settled");
    check(Given { trouble: tried(Deed::Follow(source)), ..given("c", steady("b")) }, read_only(), "resting follow");
    assert_eq!(suspect(&record(interregnum("a", None), "b:1-3"), &set("a:1-9,b:1-4,c:1")), set("b:4,c:1"));
    assert!(suspect(&record(Phase::Forming, ""), &set("a:1-9")).is_empty());
}

#[test]
fn semi_sync_follows_the_role_where_that_is_wanted() {
    let on = |phase| Given { semi_sync: SemiSyncWish::On, ..given("b", phase) };
    let both = |source, replica| SemiSync { source: Some(source), replica: Some(replica) };
    check(on(steady("b")), with(writable(), |view| view.semi_sync = both(true, false)), "settled");
    check(on(steady("b")), with(writable(), |view| view.semi_sync = both(false, false)), "lead");
    check(on(steady("b")), writable(), "lead");
    check(on(steady("a")), with(replica(A, 9), |view| view.semi_sync = both(false, true)), "settled");
    check(on(steady("a")), with(replica(A, 9), |view| view.semi_sync = both(true, true)), "follow a");
    check(Given { semi_sync: SemiSyncWish::Off, ..given("b", steady("b")) }, writable(), "settled");
    check(given("b", steady("b")), with(writable(), |view| view.semi_sync = both(false, true)), "settled");
}

#[test]
fn a_server_that_is_not_seen_is_fenced_if_it_may_be_writable() {
    let silent = |may_be_writable| Own::Silent { why: "no answer".to_string(), may_be_writable };
    let check = |given: Given, own: Own, expected: &str| assert_eq!(word(&verdict(&given, own)), expected);
    for phase in [steady("a"), interregnum("a", None), interregnum("b", None), interregnum("b", Some("a"))] {
        check(given("b", phase.clone()), silent(true), "fence");
        check(given("b", phase.clone()), silent(false), "stuck");
        check(given("b", phase), Own::Stopped("nobody listens".to_string()), "stuck");
    }
    check(given("b", steady("b")), silent(true), "stuck");
    check(over(given("b", steady("b"))), silent(true), "fence");
    check(over(given("b", Phase::Forming)), silent(true), "idle");
}

#[test]
fn what_fails_rests_and_says_why() {
    let mut trouble = Trouble::default();
    trouble.handle_failure(Instant::now(), &Deed::Apply, "a duplicate key".to_string(), Again::Later);
    let resting = Given { trouble: trouble.clone(), ..given("b", steady("b")) };
    let found = verdict(&resting, Own::Seen(Box::new(stopped(replica(A, 9)))));
    assert!(matches!(&found, Verdict::Resting { deed: Deed::Apply, why, .. } if why == "a duplicate key"), "{found:?}");
    // Another deed does not wait for it.
    check(Given { trouble, ..given("b", steady("a")) }, writable(), "fence");
    // What cannot be persisted keeps nothing else from being done, and is told.
    let mut trouble = Trouble::default();
    trouble.handle_failure(Instant::now(), &Deed::Persist, "denied".to_string(), Again::Later);
    let given = || Given { trouble: trouble.clone(), ..given("b", steady("a")) };
    check(given(), with(read_only(), |view| view.is_persisted = false), "follow a");
    let found = verdict(&given(), Own::Seen(Box::new(with(replica(A, 9), |view| view.is_persisted = false))));
    assert!(matches!(&found, Verdict::Settled(why) if why.contains("denied")), "{found:?}");
}

#[test]
fn a_fence_has_a_quarter_of_the_lease() {
    assert_eq!(margin(5_000), Duration::from_millis(1_250));
    assert_eq!(margin(500), Duration::from_millis(125));
}

/// The record may be an old one: nobody becomes writable on it before a lease was given.
#[test]
fn nobody_becomes_writable_before_its_first_lease() {
    let fresh = || Given { lease: Lease::NoneYet, ..given("a", steady("a")) };
    assert_eq!(word(&verdict(&fresh(), Own::Seen(Box::new(read_only())))), "stuck");
    assert_eq!(word(&verdict(&fresh(), Own::Seen(Box::new(writable())))), "settled", "who is writable stays so");
    assert_eq!(word(&verdict(&given("a", steady("a")), Own::Seen(Box::new(read_only())))), "lead");
}

fn in_group(primary: &str) -> OwnGroup {
    OwnGroup::In { primary: primary.to_string() }
}

/// A group elects and fences itself; only an order makes a member ask for the role.
#[test]
fn a_member_of_a_group_is_left_alone() {
    let member = |primary: &str| with(writable(), |view| (view.group, view.uuid) = (in_group(primary), B.to_string()));
    for phase in [steady("a"), handover("a", "b"), interregnum("a", None), interregnum("a", Some("c"))] {
        check(given("b", phase.clone()), member(A), "idle");
        check(over(given("b", phase)), member(B), "idle");
    }
    check(given("b", interregnum("a", Some("b"))), member(A), "elect");
    check(given("b", interregnum("a", Some("b"))), member(B), "idle");
    // One that has left it is a stray.
    let left = |view: View| with(view, |view| view.group = OwnGroup::Left);
    for phase in [steady("a"), steady("b"), interregnum("a", None)] {
        check(given("b", phase.clone()), left(writable()), "fence");
        check(given("b", phase), left(read_only()), "stuck");
    }
    let silent = || Own::Silent { why: "no answer".to_string(), may_be_writable: true };
    let in_group = Given { is_in_group: true, ..given("b", steady("a")) };
    assert_eq!(word(&verdict(&in_group, silent())), "stuck");
    assert_eq!(word(&verdict(&given("b", steady("a")), silent())), "fence");
}
