//! A cluster with a controller on real MySQL: a gate that is told of its backends, and goes on when nobody tells any more.

use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use weir_control::client::Client;
use weir_control::config::tablet::TabletConfig;
use weir_control::config::{Config, ControllersConfig};
use weir_control::controller::client::{Controllers, Lease, Told, register};
use weir_control::controller::leases::{Kind, Presence};
use weir_control::controller::roll::Registration;
use weir_control::ctl;
use weir_control::ctl::cluster::{self, Ask, Edit};
use weir_control::gate::{self, GateHandle};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::ports;
use weir_control::lab::template::{MONITOR, REPLICATION};
use weir_control::status::BackendStatus;
use weir_control::tablet::{self, TabletHandle};
use weir_tests::keep::process::{Controller, folder, text};
use weir_tests::real::lone::Lone;

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

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
    let args = ["--store".to_owned(), text(&folder.join("store.db"))];
    let mut controller = Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &args);
    controller.start();
    runtime().block_on(controller.wait(LIMIT));
    let tablets = [("m1", &source), ("m2", &replica)].map(|(name, lone)| Member::start(name, lone, &controller));
    let controllers = vec![controller.address()];
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
    seen("a tablet", &|| cluster::registered_table("TABLET", &cluster::tablets(&ask).unwrap()), "m2");
    let address = gate.address().unwrap().to_string();
    seen("the gate", &|| cluster::registered_table("GATE", &cluster::gates(&ask).unwrap()), &address);
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

/// A tablet, registered as `weir tablet` does it.
struct Member {
    _tablet: TabletHandle,
    /// Dropped: it is not registered any more.
    _end: oneshot::Sender<()>,
}

impl Member {
    fn start(name: &str, lone: &Lone, controller: &Controller) -> Member {
        let mut config = TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1);
        config.name = name.to_owned();
        let tablet = tablet::start(config).unwrap_or_else(|error| panic!("{error}"));
        let role = until("a role", || {
            let word = tablet.word();
            let facts = word.facts.as_ref().filter(|_| word.is_serving()).ok_or_else(|| "no facts".to_owned())?;
            let role = if facts.is_replicating() { "replica" } else { "primary" };
            Ok::<_, String>((role, facts.server_uuid.clone()))
        });
        let presence =
            Presence { role: role.0.to_owned(), is_serving: true, server_uuid: role.1, ..Presence::default() };
        let registration = Registration {
            kind: Kind::Tablet,
            name: name.to_owned(),
            address: lone.server().address(),
            grpc: tablet.address().to_string(),
            zone: String::new(),
            tags: [].into(),
            presence,
        };
        let controllers = Controllers::new(&[controller.address()], None);
        let told = Told::open(None).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let (_sender, receiver) = watch::channel(registration);
            runtime().block_on(async {
                tokio::select! {
                    () = register(controllers, receiver, told, watch::channel(Lease::default()).0) => {}
                    _ = ended => {}
                }
            });
        });
        Member { _tablet: tablet, _end: end }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn replicate(replica: &Lone, source: &Lone) {
    let ((user, password), port) = (REPLICATION, source.server().port());
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='{user}', \
         SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
    );
    replica.sql(&[&change, "SET GLOBAL super_read_only=1", "START REPLICA"]).unwrap();
}

fn connect(gate: &GateHandle) -> Client {
    Client::connect(&gate.client_options("app", "app").unwrap()).unwrap()
}

fn roles(all: &[BackendStatus]) -> Vec<String> {
    all.iter().map(|backend| format!("{} {}", backend.name, backend.role)).collect()
}

fn shown(gate: &GateHandle, what: &str, holds: impl Fn(&[BackendStatus]) -> bool) {
    let grpc = gate.addresses().grpc.unwrap().to_string();
    until(what, || {
        let backends = ctl::status(&grpc).unwrap().backends;
        if holds(&backends) { Ok(()) } else { Err(format!("{backends:?}")) }
    });
}

fn until<T, E: std::fmt::Display>(what: &str, look: impl Fn() -> Result<T, E>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < deadline, "not {what}: {why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

const LIMIT: Duration = Duration::from_secs(30);
