use super::*;
use crate::client::ServerError;
use crate::monitor::facts::{Channel, Receiver};
use crate::monitor::group::{Place, tests::group};
use weir_core::snapshot::{Address, Health};

const UUID: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";

fn set(last: u64) -> GtidSet {
    GtidSet::parse(format!("{UUID}:1-{last}").as_bytes()).unwrap()
}

fn primary(executed: u64) -> Facts {
    Facts {
        version: "9.7.4".to_string(),
        version_number: 90_704,
        charset: 255,
        native_password: false,
        read_only: false,
        server_uuid: UUID.to_string(),
        executed: Arc::new(set(executed)),
        channels: Ok(Vec::new()),
        group: None,
        applying_ms: None,
        received_ms: None,
        vitals: crate::monitor::vitals::Vitals::default(),
        standing: Standing::Serving,
        lost: 0,
        restarts: 0,
    }
}

fn replica(received: u64, executed: u64) -> Facts {
    let channel = Channel {
        name: String::new(),
        source_uuid: String::new(),
        receiver: Receiver::Connected,
        applier_runs: true,
        received: set(received),
        seconds_behind: Some(0),
        last_error: String::new(),
    };
    Facts { read_only: true, channels: Ok(vec![channel]), ..primary(executed) }
}

fn with_channel(mut facts: Facts, change: impl Fn(&mut Channel)) -> Facts {
    facts.channels.as_mut().unwrap().iter_mut().for_each(change);
    facts
}

fn topology(roles: &[Option<Role>]) -> Topology {
    let addresses: Vec<Address> =
        (0..roles.len()).map(|at| Address::Tcp(format!("127.0.0.1:{}", 1000 + at).parse().unwrap())).collect();
    let mut config = Config::local(&addresses, "weir", "");
    for (backend, role) in config.backends.iter_mut().zip(roles) {
        backend.role = *role;
    }
    Topology::new(&config, crate::gate::keys::make(&crate::config::Tls::Off, None).unwrap())
}

fn look(topology: &mut Topology, now_ms: u64, backend: usize, facts: Facts) -> Vec<String> {
    texts(topology.handle_look(now_ms, backend, Ok(Box::new(facts))))
}

fn fall(topology: &mut Topology, backend: usize) -> Vec<String> {
    texts(topology.handle_look(0, backend, Err(Fault::of(crate::client::ClientError::Closed))))
}

fn texts(events: Vec<Event>) -> Vec<String> {
    events.into_iter().map(|event| event.text).collect()
}

fn roles(topology: &Topology) -> Vec<(Role, Health)> {
    topology.views().iter().map(|view| (view.role, view.health)).collect()
}

#[test]
fn roles_follow_evidence_and_only_news_make_snapshots() {
    let mut topology = topology(&[None, None]);
    assert_eq!(topology.news().unwrap().generation, 1);
    assert!(topology.news().is_none());
    let events = look(&mut topology, 0, 0, primary(10));
    assert_eq!(events, ["is up, version 9.7.4", "is primary"]);
    assert_eq!(look(&mut topology, 0, 1, replica(10, 10)), ["is up, version 9.7.4", "is replica"]);
    let snapshot = topology.news().unwrap();
    assert_eq!((snapshot.generation, snapshot.primary()), (2, Some(BackendId(0))));
    assert_eq!((snapshot.face.version.as_str(), snapshot.backends[1].lag_ms), ("9.7.4", Some(0)));
    // The same again says nothing.
    assert!(look(&mut topology, 9, 1, replica(10, 10)).is_empty());
    assert!(topology.news().is_none());
    topology.handle_executed(10, 0, Arc::new(set(11)));
    assert_eq!(*topology.news().unwrap().backends[0].executed, set(11));
    assert!(topology.source().is_some());

    assert_eq!(fall(&mut topology, 0), ["is down: the server closed the connection"]);
    assert_eq!(roles(&topology)[0], (Role::Primary, Health::Down));
    assert_eq!(topology.news().unwrap().primary(), None);
    assert!(fall(&mut topology, 0).is_empty());
    assert!(topology.is_usable());
    assert_eq!(look(&mut topology, 0, 0, primary(12)), ["is up, version 9.7.4", "is primary"]);
}

#[test]
fn two_writable_servers_are_both_disbelieved_unless_one_is_pinned() {
    let mut open = topology(&[None, None]);
    look(&mut open, 0, 0, primary(10));
    let events = look(&mut open, 0, 1, primary(10));
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[1].contains("make all but one read-only"));
    assert_eq!(roles(&open), [(Role::Unknown, Health::Up); 2]);
    assert!(!open.is_usable());
    // One of them gone, the other is right again.
    fall(&mut open, 0);
    assert_eq!(roles(&open)[1], (Role::Primary, Health::Up));

    let mut pinned = topology(&[None, Some(Role::Primary)]);
    look(&mut pinned, 0, 0, primary(10));
    assert_eq!(roles(&pinned)[0].0, Role::Unknown);
    look(&mut pinned, 0, 1, primary(10));
    assert_eq!((roles(&pinned)[0].0, roles(&pinned)[1].0), (Role::Unknown, Role::Primary));
}

#[test]
fn odd_servers_get_no_traffic_and_a_reason() {
    let denied = ServerError { code: 1227, state: "42000".to_string(), message: "denied".to_string() };
    let cases = [
        (Facts { read_only: true, ..primary(1) }, Role::Unknown, "replicates from nobody"),
        (Facts { channels: Err(denied), ..primary(1) }, Role::Unknown, "REPLICATION CLIENT"),
        (
            Facts { group: Some(group(Place::Offline, 7, "")), ..primary(1) },
            Role::Unknown,
            "left its replication group",
        ),
        (Facts { group: Some(group(Place::Secondary, 7, "a")), read_only: true, ..primary(1) }, Role::Replica, ""),
        (Facts { group: Some(group(Place::Primary, 7, UUID)), ..primary(1) }, Role::Primary, ""),
        // A writable replica is a replica all the same.
        (Facts { read_only: false, ..replica(1, 1) }, Role::Replica, ""),
        (with_channel(replica(1, 1), |channel| channel.applier_runs = false), Role::Replica, "applier has stopped"),
        (
            with_channel(replica(1, 1), |channel| {
                (channel.applier_runs, channel.receiver) = (false, Receiver::Stopped)
            }),
            Role::Replica,
            "has stopped",
        ),
        // Promoted by hand, its old channel still configured.
        (
            with_channel(Facts { read_only: false, ..replica(1, 1) }, |channel| {
                (channel.applier_runs, channel.receiver) = (false, Receiver::Stopped);
            }),
            Role::Primary,
            "",
        ),
    ];
    for (facts, role, note) in cases {
        let mut topology = topology(&[None]);
        look(&mut topology, 0, 0, facts.clone());
        assert_eq!(topology.views()[0].role, role, "{facts:?}");
        assert!(
            topology.note(0).contains(note) && topology.note(0).is_empty() == note.is_empty(),
            "{}",
            topology.note(0)
        );
    }
}

/// S66
#[test]
fn lag_is_what_was_received_and_what_the_primary_has() {
    let cases = [
        // Executed all that it received and all that the primary has.
        (replica(10, 10), Some(0)),
        // Received and being applied: the age of that transaction.
        (Facts { applying_ms: Some(700), ..replica(10, 9) }, Some(700)),
        // Nothing being applied at this moment.
        (Facts { received_ms: Some(30), ..replica(10, 9) }, Some(30)),
        // Seconds_Behind_Source says 0, but the applier has stopped.
        (with_channel(replica(10, 10), |channel| channel.applier_runs = false), None),
        // No sets: only Seconds_Behind_Source is left.
        (
            with_channel(replica(10, 10), |channel| {
                (channel.received, channel.seconds_behind) = (GtidSet::new(), Some(3));
            }),
            Some(3_000),
        ),
        (
            with_channel(replica(10, 10), |channel| {
                (channel.received, channel.seconds_behind) = (GtidSet::new(), None);
            }),
            None,
        ),
        (Facts { channels: Ok(Vec::new()), read_only: true, ..replica(10, 10) }, None),
    ];
    for (facts, lag) in cases {
        let mut topology = topology(&[None, None]);
        look(&mut topology, 0, 0, primary(10));
        look(&mut topology, 0, 1, facts.clone());
        assert_eq!(topology.views()[1].lag_ms, lag, "{facts:?}");
    }
}

/// S66: the receiver has lost the primary and `Seconds_Behind_Source` is blind, but the primary goes on.
#[test]
fn a_cut_off_replica_gets_later_while_the_primary_lives() {
    let mut topology = topology(&[None, None]);
    let cut = || with_channel(replica(10, 10), |channel| channel.receiver = Receiver::Connecting);
    look(&mut topology, 0, 0, primary(10));
    look(&mut topology, 0, 1, cut());
    topology.news();
    look(&mut topology, 1_000, 0, primary(11));
    look(&mut topology, 4_000, 1, cut());
    assert_eq!(topology.views()[1].lag_ms, Some(3_000));
    assert!(topology.news().is_some());
    look(&mut topology, 12_000, 1, cut());
    assert_eq!(topology.views()[1].lag_ms, Some(11_000));
    assert!(topology.news().is_some(), "it is over the limit now, which cores must know");
    // Without a primary nobody gets later: what replicas have is all there is (S09).
    fall(&mut topology, 0);
    look(&mut topology, 20_000, 1, cut());
    assert_eq!(topology.views()[1].lag_ms, Some(0));
}

/// S49
#[test]
fn the_face_is_the_lowest_of_those_that_are_up() {
    let mut topology = topology(&[None, None]);
    look(&mut topology, 0, 0, primary(1));
    let old = Facts {
        version: "8.0.40".to_string(),
        version_number: 80_040,
        charset: 33,
        native_password: true,
        ..replica(1, 1)
    };
    look(&mut topology, 0, 1, old);
    let face = topology.news().unwrap().face.clone();
    assert_eq!((face.version.as_str(), face.charset, face.native_password), ("8.0.40", 33, false));
    fall(&mut topology, 0);
    fall(&mut topology, 1);
    assert_eq!(topology.news().unwrap().face.version, "8.0.40");
}

#[test]
fn a_wiped_server_is_no_primary_and_a_replica_again_when_it_replicates() {
    let mut topology = topology(&[None, None]);
    look(&mut topology, 0, 0, Facts { standing: Standing::ServerWiped, lost: 9, ..primary(0) });
    assert_eq!(topology.views()[0].role, Role::Unknown);
    assert!(topology.note(0).contains("has lost 9 transactions"));
    look(&mut topology, 0, 0, Facts { standing: Standing::ServerWiped, lost: 9, ..replica(5, 0) });
    assert_eq!(topology.views()[0].role, Role::Replica);
    let texts = look(&mut topology, 0, 0, Facts { standing: Standing::ServerRestarted, ..primary(9) });
    assert!(texts.contains(&"was restarted".to_string()), "{texts:?}");
}

/// S66, S78: roles hold when nobody tells of a replica any more, and it gets no reads until somebody does.
#[test]
fn a_stale_replica_keeps_its_role_and_gets_no_reads() {
    let mut topology = topology(&[None, None]);
    look(&mut topology, 0, 0, primary(9));
    look(&mut topology, 0, 1, replica(9, 9));
    assert_eq!(topology.views()[1].lag_ms, Some(0));
    for backend in [0, 1] {
        assert_eq!(topology.handle_stale(5, backend).len(), 1);
        assert!(topology.handle_stale(6, backend).is_empty(), "told once");
    }
    let views = topology.views();
    assert_eq!((views[0].role, views[0].health, views[0].lag_ms), (Role::Primary, Health::Up, Some(0)));
    assert_eq!((views[1].role, views[1].health, views[1].lag_ms), (Role::Replica, Health::Up, None));
    look(&mut topology, 7, 1, replica(9, 9));
    assert_eq!(topology.views()[1].lag_ms, Some(0));
}

#[test]
fn backends_come_and_go_and_keep_their_index() {
    let mut topology = topology(&[None]);
    let address = Address::Tcp("127.0.0.1:2000".parse().unwrap());
    assert!(!topology.is_known(&address, "u"));
    assert_eq!(topology.add(BackendConfig::at(&address), Some("another".to_string())), 1);
    assert!(topology.is_known(&address, "u") && topology.is_known(&Address::Unix("/x".into()), "another"));
    look(&mut topology, 0, 0, primary(9));
    look(&mut topology, 0, 1, replica(9, 9));
    assert_eq!(topology.views()[1].role, Role::Unknown);
    assert!(topology.note(1).contains("another server"));
    topology.remove(0);
    assert_eq!(look(&mut topology, 0, 0, primary(9)), [""; 0]);
    let healths: Vec<Health> = topology.views().iter().map(|view| view.health).collect();
    assert_eq!(healths, [Health::Gone, Health::Up]);
}

/// S75: the controllers' word decides among servers that are writable, and none is primary by their word alone.
#[test]
fn the_ordained_primary_is_the_only_one() {
    let mut topology = topology(&[None, None]);
    let names: Vec<String> = topology.views().into_iter().map(|view| view.name).collect();
    let roles = |topology: &Topology| topology.views().iter().map(|view| view.role).collect::<Vec<_>>();
    let ordained = |epoch, at: Option<usize>| Ordained {
        epoch,
        primary: at.map(|at: usize| names[at].clone()),
        is_ending: false,
        is_planned: false,
        promoted: Arc::default(),
    };
    topology.ordain(ordained(1, Some(1)));
    look(&mut topology, 0, 0, primary(5));
    look(&mut topology, 0, 1, replica(5, 5));
    assert_eq!(roles(&topology), [Role::Unknown, Role::Replica]);
    assert!(topology.note(0).contains("in epoch 1 the controllers name"), "{}", topology.note(0));
    // Both are writable: without a word nobody would be believed.
    look(&mut topology, 0, 1, primary(5));
    assert_eq!(roles(&topology), [Role::Unknown, Role::Primary]);
    topology.ordain(ordained(2, None));
    assert_eq!(roles(&topology), [Role::Unknown, Role::Unknown]);
    topology.ordain(ordained(3, Some(0)));
    assert_eq!(roles(&topology), [Role::Primary, Role::Unknown]);
}

#[test]
fn changed_terms_are_news() {
    let mut topology = topology(&[None]);
    look(&mut topology, 0, 0, primary(5));
    assert!(topology.news().is_some() && topology.news().is_none());
    let config = BackendConfig::at(&topology.views()[0].address);
    topology.set_terms(0, &BackendConfig { weight: 7, ..config.clone() });
    assert_eq!(topology.news().unwrap().backends[0].weight, 7);
    topology.set_terms(0, &BackendConfig { weight: 7, zone: "z".to_string(), ..config });
    assert_eq!(topology.news().unwrap().backends[0].zone, "z");
}

#[test]
fn who_is_wanted_as_replica_only_is_no_primary_and_makes_no_conflict() {
    let mut topology = topology(&[None, None]);
    look(&mut topology, 0, 0, primary(5));
    look(&mut topology, 0, 1, primary(5));
    assert_eq!(roles(&topology).iter().map(|(role, _)| *role).collect::<Vec<_>>(), [Role::Unknown, Role::Unknown]);
    let config = BackendConfig::at(&topology.views()[1].address);
    topology.set_terms(1, &BackendConfig { wanted: Wanted::Replica, ..config });
    assert_eq!(roles(&topology).iter().map(|(role, _)| *role).collect::<Vec<_>>(), [Role::Primary, Role::Unknown]);
    assert!(topology.note(1).contains("replica only"), "{}", topology.note(1));
}

/// A member of a group of three, `number`, that takes `primary` for the primary.
fn member(number: usize, view: u64, primary: usize) -> Facts {
    let uuid = |number: usize| format!("3aecbfe0-e779-11f1-be4c-02fc0000000{number}");
    let place = if number == primary { Place::Primary } else { Place::Secondary };
    Facts {
        server_uuid: uuid(number),
        read_only: number != primary,
        group: Some(group(place, view, &uuid(primary))),
        ..self::primary(9)
    }
}

fn holder(topology: &Topology) -> (u64, Option<u16>) {
    let mandate = topology.snapshot().mandate;
    (mandate.epoch, mandate.holder.map(|backend| backend.0))
}

#[test]
fn a_group_is_followed_and_an_older_view_is_not_believed() {
    let mut topology = topology(&[None; 3]);
    (0..3).for_each(|at| drop(look(&mut topology, 0, at, member(at, 3, 0))));
    let roles = |topology: &Topology| topology.views().iter().map(|view| view.role).collect::<Vec<_>>();
    assert_eq!(roles(&topology), [Role::Primary, Role::Replica, Role::Replica]);
    assert_eq!(holder(&topology), (1, Some(0)));
    assert_eq!(topology.views()[1].lag_ms, Some(0));
    // The primary hangs; it is put out, and another is elected.
    topology.handle_look(1, 0, Err(Fault::of(crate::client::ClientError::Closed)));
    assert_eq!(holder(&topology), (1, Some(0)), "nobody has followed it yet");
    look(&mut topology, 2, 1, member(1, 4, 1));
    look(&mut topology, 2, 2, member(2, 4, 1));
    assert_eq!(holder(&topology), (2, Some(1)));
    // It wakes up, and takes itself for what it was.
    look(&mut topology, 3, 0, member(0, 3, 0));
    assert_eq!(roles(&topology), [Role::Unknown, Role::Primary, Role::Replica]);
    assert!(topology.note(0).contains("older view"), "{}", topology.note(0));
    // Cut off with it, the gate does not go back either.
    (1..3).for_each(|at| drop(topology.handle_look(4, at, Err(Fault::of(crate::client::ClientError::Closed)))));
    look(&mut topology, 5, 0, member(0, 3, 0));
    assert_eq!((roles(&topology)[0], holder(&topology)), (Role::Unknown, (2, Some(1))));
    // Its transactions are the group's.
    assert_eq!(topology.snapshot().mandate.uuid.map(|uuid| uuid[0]), Some(0xaa));
}

#[test]
fn no_pin_gives_a_member_without_a_majority_any_traffic() {
    let mut topology = topology(&[Some(Role::Primary), Some(Role::Replica)]);
    let cut_off = |number: usize| {
        let mut facts = member(number, 3, 0);
        facts.group.as_mut().unwrap().reachable = 1;
        facts
    };
    look(&mut topology, 0, 0, cut_off(0));
    look(&mut topology, 0, 1, cut_off(1));
    let shown: Vec<_> = topology.views().iter().map(|view| (view.role, view.lag_ms)).collect();
    assert_eq!(shown, [(Role::Unknown, None), (Role::Unknown, None)]);
    look(&mut topology, 1, 0, member(0, 3, 0));
    assert_eq!(topology.views()[0].role, Role::Primary);
}

#[test]
fn whom_others_move_is_followed_once_it_is_alone() {
    let mut topology = topology(&[None, None]);
    look(&mut topology, 0, 0, primary(9));
    look(&mut topology, 0, 1, replica(9, 9));
    assert_eq!(holder(&topology), (1, Some(0)));
    // A careless operator: both are writable. Nobody gets writes, and what was open on the former one ends.
    look(&mut topology, 1, 1, primary(9));
    assert_eq!(topology.snapshot().primary(), None);
    assert_eq!(holder(&topology), (1, Some(0)), "what runs there may end");
    look(&mut topology, 301, 1, primary(9));
    assert_eq!(holder(&topology), (2, None));
    look(&mut topology, 302, 0, Facts { read_only: true, ..primary(9) });
    assert_eq!(holder(&topology), (3, Some(1)));
}
