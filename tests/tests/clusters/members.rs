//! A cluster with a controller on real MySQL: a gate that is told of its backends, and goes on when nobody tells any more.

use std::path::Path;
use std::time::{Duration, Instant};

use weir_control::client::Client;
use weir_control::config::tablet::{MembershipConfig, TabletConfig};
use weir_control::config::{Config, ControllersConfig};
use weir_control::ctl;
use weir_control::ctl::cluster::{self, Ask, Edit};
use weir_control::ctl::tablets::{self, TabletView};
use weir_control::gate::{self, GateHandle};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::ports;
use weir_control::lab::template::{MONITOR, REPLICATION};
use weir_control::status::BackendStatus;
use weir_control::tablet::{self, TabletHandle};
use weir_tests::keep::process::{Controller, folder, text};
use weir_tests::keep::tablet::Tablet;
use weir_tests::real::lone::Lone;

mod renewal;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// S75, S78: members are found, the record's primary is the only one, and the last word outlives controllers and gates.
#[test]
fn a_gate_is_told_of_its_backends_and_goes_on_alone() {
    let (source, replica) = (Lone::start(61, "").unwrap(), Lone::start(62, "").unwrap());
    source
        .sql(&[
            "CREATE DATABASE weir_cluster",
            "CREATE TABLE weir_cluster.t (id INT PRIMARY KEY, v INT)",
            "GRANT ALL ON weir_cluster.* TO app",
        ])
        .unwrap();
    replicate(&replica, &source);
    let folder = folder("cluster");
    let mut controller = controller(&folder);
    let controllers = vec![controller.address()];
    let tablets = [("m1", &source), ("m2", &replica)].map(|(name, lone)| member(name, lone, &controllers));
    let cache = Some(folder.join("word"));
    let start = || {
        let mut config = Config::local(&[], "nobody", "nothing");
        config.controllers = Some(ControllersConfig { addresses: controllers.clone(), cache: cache.clone() });
        config.cores.truncate(1);
        gate::start(config).unwrap_or_else(|error| panic!("{error}"))
    };
    let gate = start();
    shown(&gate, "both by role", |all| roles(all) == ["m1 primary", "m2 replica"] && all[1].lag_ms == Some(0));
    let mut client = connect(&gate);
    client.run("INSERT INTO weir_cluster.t VALUES (1, 10)").unwrap();
    assert_eq!(client.cell("SELECT v FROM weir_cluster.t").unwrap().as_deref(), Some("10"));

    // Operators see all of them, and what they set arrives.
    let ask = Ask { controllers: controllers.clone(), tls: TlsFiles::default() };
    let seen = |what: &str, table: &dyn Fn() -> String, wanted: &str| {
        until(what, || table().contains(wanted).then_some(()).ok_or_else(table));
    };
    seen("a primary", &|| cluster::topology(&ask).unwrap().table(), "primary m1");
    seen("a tablet", &|| tablets::table(&tablets::tablets(&ask).unwrap()), "m2");
    let address = gate.address().unwrap().to_string();
    seen("the gate", &|| cluster::gates_table(&cluster::gates(&ask).unwrap()), &address);
    cluster::set(&ask, "m2", &Edit { weight: Some(7), ..Edit::default() }).unwrap();
    shown(&gate, "a new weight", |all| all[1].weight == 7);
    let refused = cluster::forget(&ask, "m1").err().unwrap();
    assert!(refused.contains("'m1' is the primary"), "{refused}");

    // A replica that somebody made writable is no primary, whatever it looks like.
    replica.sql(&["STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL super_read_only=0, read_only=0"]).unwrap();
    shown(&gate, "a primary that nobody named", |all| {
        roles(all) == ["m1 primary", "m2 unknown"] && all[1].note.contains("name m1 as primary")
    });
    client.run("UPDATE weir_cluster.t SET v=11").unwrap();

    // All controllers are gone: the gate goes on, and another starts by the word that was kept.
    controller.kill9();
    std::thread::sleep(Duration::from_secs(4));
    client.run("UPDATE weir_cluster.t SET v=12").unwrap();
    assert_eq!(client.cell("SELECT v FROM weir_cluster.t").unwrap().as_deref(), Some("12"));
    drop(client);
    gate.stop();
    let second = start();
    shown(&second, "the kept word", |all| roles(all) == ["m1 primary", "m2 unknown"] && all[1].weight == 7);
    let mut client = connect(&second);
    assert_eq!(client.cell("SELECT v FROM weir_cluster.t").unwrap().as_deref(), Some("12"));
    drop((client, second, tablets));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Controllers that come late, die, return and lose their store; tablets that die, return, join and clash: each state is
/// told and left by itself, and the gate goes on through all of it (S78).
#[test]
fn the_fleet_goes_on_without_any_part_of_it() {
    let (source, replica) = (Lone::start(63, "").unwrap(), Lone::start(64, "").unwrap());
    source
        .sql(&[
            "CREATE DATABASE weir_fleet",
            "CREATE TABLE weir_fleet.t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO weir_fleet.t VALUES (1, 0)",
            "GRANT ALL ON weir_fleet.* TO app",
        ])
        .unwrap();
    replicate(&replica, &source);
    let folder = folder("fleet");
    let store = folder.join("store.db");
    let args = ["--store".to_owned(), text(&store), "--lease-ms".to_owned(), "1000".to_owned()];
    let mut controller = Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &args);
    let (controllers, cache) = (controller.address(), text(&folder.join("m1")));
    let with = |name: &str, lone: &Lone, more: &[&str]| {
        let args = [&["--controller", controllers.as_str()][..], more].concat();
        Tablet::new(PROGRAM, name, &lone.server().address(), &args)
    };
    let (mut one, mut two) = (with("m1", &source, &["--controller-cache", &cache]), with("m2", &replica, &[]));
    let ask = Ask { controllers: vec![controllers.clone()], tls: TlsFiles::default() };

    // No controller is there yet.
    [&mut one, &mut two].into_iter().for_each(Tablet::start);
    let waits = |view: &TabletView| view.enrolment == "not registered" && !view.enrolment_why.is_empty();
    told(&one, "waiting", |view| view.state == "serving" && waits(view));
    controller.start();
    let registered = |view: &TabletView| view.enrolment == "registered" && view.enrolment_why.is_empty();
    [&one, &two]
        .into_iter()
        .for_each(|tablet| told(tablet, "registered", |view| registered(view) && view.primary == "m1"));

    let mut config = Config::local(&[], "nobody", "nothing");
    config.controllers = Some(ControllersConfig { addresses: vec![controllers.clone()], cache: None });
    config.cores.truncate(1);
    let gate = gate::start(config).unwrap_or_else(|error| panic!("{error}"));
    let is_whole = |all: &[BackendStatus]| roles(all) == ["m1 primary", "m2 replica"] && all[1].lag_ms == Some(0);
    shown(&gate, "both by role", is_whole);
    let mut client = connect(&gate);
    let mut v = 0;
    let mut goes_on = |why: &str| {
        v += 1;
        client.run(format!("UPDATE weir_fleet.t SET v={v}")).unwrap_or_else(|error| panic!("{why}: {error}"));
        let seen = client.cell("SELECT v FROM weir_fleet.t").unwrap_or_else(|error| panic!("{why}: {error}"));
        assert_eq!(seen, Some(v.to_string()), "{why}");
    };
    goes_on("all are there");

    // A tablet is killed: its server keeps its role and gets no reads; its lease ends. It comes back at the same place.
    two.kill9();
    shown(&gate, "m2 unknown", |all| roles(all) == ["m1 primary", "m2 replica"] && all[1].lag_ms.is_none());
    goes_on("a tablet is gone");
    listed(&ask, "m2 without a lease", |all| all[1].lease_left_ms == Some(0) && all[1].state == "silent");
    two.start();
    shown(&gate, "m2 back", is_whole);
    listed(&ask, "m2 with a lease", |all| all[1].lease_left_ms != Some(0) && all[1].wanted == "any");

    // The controller is killed and comes back: leases end and are given again, and nothing else has changed.
    let before = cluster::json(&cluster::topology(&ask).unwrap()).unwrap();
    controller.kill9();
    told(&one, "lease over", |view| waits(view) && view.primary == "m1");
    goes_on("the controller is gone");
    controller.start();
    [&one, &two].into_iter().for_each(|tablet| told(tablet, "registered again", registered));
    assert_eq!(cluster::json(&cluster::topology(&ask).unwrap()).unwrap(), before);

    // A third one joins the rotation, and nobody has told the gate.
    let third = Lone::start(65, "").unwrap();
    replicate(&third, &source);
    let mut three = with("m3", &third, &["--zone", "z", "--weight", "300"]);
    three.start();
    shown(&gate, "a third one", |all| {
        let share = |at: usize| (all[at].weight, all[at].zone.as_str(), all[at].read_share_permille);
        all.len() == 3 && share(1) == (100, "", 250) && share(2) == (300, "z", 750)
    });
    // The server itself tells that reads arrive.
    let mut root = third.root().unwrap();
    let count = "SELECT COALESCE(SUM(COUNT_STAR), 0) FROM performance_schema.events_statements_summary_by_digest \
                 WHERE DIGEST_TEXT LIKE 'SELECT `v` FROM `weir_fleet`%'";
    until("a read on the third", || {
        connect(&gate).cell("SELECT v FROM weir_fleet.t").unwrap();
        let count = root.cell(count).unwrap().unwrap();
        if count != "0" { Ok(()) } else { Err(count) }
    });
    clashes(&with, &replica, &third, &ask);

    // A controller with an empty store tells of another past: nobody believes it.
    controller.kill9();
    std::fs::remove_file(&store).unwrap();
    controller.start();
    [&one, &two]
        .into_iter()
        .for_each(|tablet| told(tablet, "suspicious", |view| view.enrolment_why.contains("another past")));
    goes_on("the controller tells of another past");

    // Nobody is left who could tell anything, for longer than any lease.
    controller.kill9();
    [&mut one, &mut two, &mut three].into_iter().for_each(Tablet::kill9);
    shown(&gate, "nobody told of", |all| {
        roles(all) == ["m1 primary", "m2 replica", "m3 replica"] && all[1..].iter().all(|one| one.lag_ms.is_none())
    });
    std::thread::sleep(Duration::from_secs(4));
    goes_on("all are gone");
    let cluster = ctl::status(&gate.addresses().grpc.unwrap().to_string()).unwrap().cluster.unwrap();
    assert_eq!((cluster.primary.as_str(), cluster.why.is_empty()), ("m1", false), "{cluster:?}");
    assert_eq!(connect(&gate).cell("SELECT COUNT(*) FROM weir_fleet.t").unwrap().as_deref(), Some("1"));

    // The first tablet finds the last word in its file, and holds no lease by it.
    one.start();
    told(&one, "the kept word", |view| waits(view) && view.primary == "m1" && view.epoch == cluster.epoch);
    drop((client, gate));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// S30: an id of one gate is good at every gate of the cluster, and what nobody can say is not said to be done.
#[test]
fn a_client_is_killed_from_any_gate() {
    let source = Lone::start(66, "").unwrap();
    let schema = ["CREATE DATABASE weir_kill", "CREATE TABLE weir_kill.t (id INT PRIMARY KEY, v INT)"];
    let rows = ["INSERT INTO weir_kill.t VALUES (1, 0)", "GRANT ALL ON weir_kill.* TO app"];
    source.sql(&[&schema[..], &rows, &["CREATE USER stranger IDENTIFIED BY 'stranger'"]].concat()).unwrap();
    let folder = folder("kill");
    let mut controller = controller(&folder);
    let controllers = vec![controller.address()];
    let tablet = member("m1", &source, &controllers);
    let start = || {
        let mut config = Config::local(&[], "nobody", "nothing");
        config.controllers = Some(ControllersConfig { addresses: controllers.clone(), cache: None });
        config.cores.truncate(2);
        gate::start(config).unwrap_or_else(|error| panic!("{error}"))
    };
    let (own, other) = (start(), start());
    let ids = || (connect(&own).connection_id(), connect(&other).connection_id());
    assert_ne!(ids().0 >> 24, ids().1 >> 24, "two gates have one tag");

    // The statement waits for a row that somebody else has.
    let mut holder = source.root().unwrap();
    holder.run("BEGIN").unwrap();
    holder.run("UPDATE weir_kill.t SET v=1").unwrap();
    let waiting = || {
        let mut victim = connect(&own);
        let id = victim.connection_id();
        let victim = std::thread::spawn(move || {
            let outcome = victim.run("UPDATE weir_kill.t SET v=2").map(|_| ()).map_err(|error| error.code());
            (outcome, victim.run("DO 0").is_ok())
        });
        let waits = "SELECT COUNT(*) FROM performance_schema.data_lock_waits";
        let look = || source.root().unwrap().cell(waits).unwrap();
        until("a statement that waits", || look().filter(|count| count == "1").map(|_| ()).ok_or("nobody waits"));
        (id, victim)
    };
    let mut killer = connect(&other);
    let mut kill = |what: &str, id: u32| killer.run(format!("{what} {id}")).map(|_| ()).map_err(|error| error.code());
    let (id, victim) = waiting();
    let mut stranger = Client::connect(&other.client_options("stranger", "stranger").unwrap()).unwrap();
    assert_eq!(stranger.run(format!("KILL {id}")).map(|_| ()).map_err(|error| error.code()), Err(Some(1095)));
    assert_eq!(kill("KILL QUERY", id), Ok(()));
    assert_eq!(victim.join().unwrap(), (Err(Some(1317)), true));
    assert_eq!(kill("KILL QUERY", id), Err(Some(1094)), "it has left");
    let (id, victim) = waiting();
    assert_eq!(kill("KILL", id), Ok(()));
    assert_eq!(victim.join().unwrap(), (Err(None), false), "its connection ends");
    assert_eq!(kill("KILL", id), Err(Some(1094)));
    holder.run("ROLLBACK").unwrap();

    // Without the controller nobody knows whose it is; with it again all is as before.
    let mut victim = connect(&own);
    controller.kill9();
    let soon = Instant::now();
    assert_eq!(kill("KILL", victim.connection_id()), Err(Some(1105)));
    assert!(soon.elapsed() < Duration::from_secs(5), "a program that kills waits for {:?}", soon.elapsed());
    assert!(victim.run("DO 0").is_ok());
    controller.start();
    until("killed by another leader's word", || {
        kill("KILL", victim.connection_id()).map_err(|code| format!("{code:?}"))
    });
    assert!(victim.run("DO 0").is_err());

    // A gate that is stopped: first its clients may be cut off only, then there are none.
    let id = connect(&own).connection_id();
    drop(own);
    let first = kill("KILL", id);
    assert!(matches!(first, Err(Some(1094 | 1105))), "{first:?}");
    until("gone", || if kill("KILL", id) == Err(Some(1094)) { Ok(()) } else { Err("its gate is still waited for") });
    drop((other, tablet));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Two tablets of one name, two names of one server: the second is told what is wrong, and the first has its place.
fn clashes(with: &dyn Fn(&str, &Lone, &[&str]) -> Tablet, replica: &Lone, third: &Lone, ask: &Ask) {
    let before = cluster::json(&cluster::topology(ask).unwrap()).unwrap();
    let mut namesake = with("m2", third, &[]);
    let mut copy = with("copy", replica, &["--advertise", "127.0.0.1:1"]);
    let mut alias = with("alias", replica, &[]);
    for (tablet, expected) in [
        (&mut namesake, format!("another one of this name is alive, for {}", replica.server().address())),
        (&mut copy, "'copy' and 'm2' are the same server, with the uuid".to_owned()),
        (&mut alias, "'alias' and 'm2' are the same server, at".to_owned()),
    ] {
        tablet.start();
        told(tablet, &expected, |view| view.why.contains(&expected));
    }
    assert_eq!(cluster::json(&cluster::topology(ask).unwrap()).unwrap(), before);
    listed(ask, "the three", |all| all.iter().map(|one| one.name.as_str()).eq(["m1", "m2", "m3"]));
}

/// In this process.
/// One that keeps its record there, and answers.
pub(super) fn controller(folder: &Path) -> Controller {
    let args = ["--store".to_owned(), text(&folder.join("store.db"))];
    let mut controller = Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &args);
    controller.start();
    runtime().block_on(controller.wait(LIMIT));
    controller
}

pub(super) fn member(name: &str, lone: &Lone, controllers: &[String]) -> TabletHandle {
    let mut config = TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1);
    let controllers = ControllersConfig { addresses: controllers.to_vec(), cache: None };
    let membership = MembershipConfig { controllers, advertise_grpc: None, zone: String::new(), weight: 100 };
    (config.name, config.membership) = (name.to_owned(), Some(membership));
    tablet::start(config).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn replicate(replica: &Lone, source: &Lone) {
    let ((user, password), port) = (REPLICATION, source.server().port());
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='{user}', \
         SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
    );
    replica.sql(&[&change, "SET GLOBAL super_read_only=1", "START REPLICA"]).unwrap();
}

pub(super) fn connect(gate: &GateHandle) -> Client {
    Client::connect(&gate.client_options("app", "app").unwrap()).unwrap()
}

pub(super) fn roles(all: &[BackendStatus]) -> Vec<String> {
    all.iter().map(|backend| format!("{} {}", backend.name, backend.role)).collect()
}

pub(super) fn shown(gate: &GateHandle, what: &str, holds: impl Fn(&[BackendStatus]) -> bool) {
    let grpc = gate.addresses().grpc.unwrap().to_string();
    until(what, || {
        let backends = ctl::status(&grpc).unwrap().backends;
        if holds(&backends) { Ok(()) } else { Err(format!("{backends:?}")) }
    });
}

fn told(tablet: &Tablet, what: &str, holds: impl Fn(&TabletView) -> bool) {
    until(what, || {
        let view = tablet.view()?;
        if holds(&view) { Ok(()) } else { Err(format!("{view:?}")) }
    });
}

fn listed(ask: &Ask, what: &str, holds: impl Fn(&[TabletView]) -> bool) {
    until(what, || {
        let all = tablets::tablets(ask)?;
        if holds(&all) { Ok(()) } else { Err(format!("{all:?}")) }
    });
}

pub(super) fn until<T, E: std::fmt::Display>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < deadline, "not {what}: {why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) const LIMIT: Duration = Duration::from_secs(30);
