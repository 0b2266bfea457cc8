//! Primaries that Weir does not choose, on real MySQL: a replication group's election, and an operator who moves the role.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_control::client::{Client, ClientError, Options};
use weir_control::config::tablet::{MembershipConfig, TabletConfig};
use weir_control::config::{Config, ControllersConfig};
use weir_control::ctl;
use weir_control::ctl::cluster::{self, Ask};
use weir_control::gate::{self, GateHandle};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::template::MONITOR;
use weir_control::lab::{Cluster, ClusterOptions, Kind, Mysql, ports};
use weir_control::status::BackendStatus;
use weir_control::tablet;
use weir_core::snapshot::Address;
use weir_tests::keep::load::{Load, TABLE};
use weir_tests::keep::process::{Controller, folder, text};
use weir_tests::real::lone::{Lone, root};

use super::members::replicate;

/// One after the other: eight servers at once are slow to elect anybody on two CPUs.
static ALONE: Mutex<()> = Mutex::new(());

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// A gate without agents and controllers, in front of a group of three: S70, S73, S75.
#[test]
fn a_group_is_followed_by_its_own_word() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (group, gate) = start_group();
    let load = Load::start(&session(&gate, "weir_group"), 4);
    load.goes_on(20, LIMIT);

    // The group moves the role in order.
    let uuid = group.sql(1, "SELECT @@server_uuid").unwrap()[0][0].clone();
    group.sql(1, &format!("SELECT group_replication_set_as_primary('{uuid}')")).unwrap();
    shown(&gate, "led by the second", |all| roles(all) == ["replica", "primary", "replica"]);
    let gap = load.goes_on(20, LIMIT);
    println!("set_as_primary: writes again {} ms after it returned", gap.as_millis());

    // Its primary dies, and another one is elected.
    group.node(1).kill9();
    let gap = load.goes_on(20, LIMIT);
    println!("kill -9: first write after {} ms", gap.as_millis());
    let led = |all: &[BackendStatus]| roles(all).iter().filter(|role| *role == "primary").count() == 1;
    shown(&gate, "led again", |all| led(all) && roles(all)[1] == "down");

    // Restarted it is writable, replicates from nobody, and has left its group: a stray.
    group.node(1).start().unwrap();
    assert_eq!(group.sql(1, "SELECT @@super_read_only").unwrap()[0][0], "0");
    shown(&gate, "without the stray", |all| {
        led(all) && roles(all)[1] == "unknown" && all[1].note.contains("left its replication group")
    });
    load.goes_on(20, LIMIT);
    let primary = ctl_backends(&gate).iter().position(|one| one.role == "primary").unwrap();
    let [done, not_run, unknown] = load.judge(&mut root(group.node(primary)).unwrap(), "weir_group");
    println!("{done} writes acknowledged, {not_run} transactions begun again, {unknown} of unknown outcome");
    assert!(done > 60);
}

/// In a group of its own: who has slept may be put out of it, at once or later.
#[test]
fn who_hears_no_majority_gets_no_traffic() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (group, gate) = start_group();
    group.sql(0, "INSERT INTO weir_group.load_t VALUES (1, 1)").unwrap();
    shown(&gate, "in step", |all| all[1..].iter().all(|one| one.lag_ms == Some(0)));
    a_minority_gets_nothing(&group, &gate);
}

/// Three members, and a gate that knows the first as their primary.
fn start_group() -> (Cluster, GateHandle) {
    let mysql = Mysql::find(None, &mut |_| {}).unwrap();
    let options = ClusterOptions { kind: Kind::Group, ..ClusterOptions::default() };
    let group = Cluster::start(&mysql, options, &mut |_| {}).unwrap();
    group.sql(0, &format!("CREATE DATABASE weir_group; USE weir_group; {}", keyed(TABLE))).unwrap();
    let addresses: Vec<Address> = group.nodes().iter().map(|node| tcp(node.port())).collect();
    let gate = start(Config::local(&addresses, MONITOR.0, MONITOR.1));
    shown(&gate, "led by the first", |all| {
        roles(all) == ["primary", "replica", "replica"] && all[1..].iter().all(|one| one.lag_ms == Some(0))
    });
    (group, gate)
}

/// Two of three hang: the third can commit nothing, and gets neither writes nor reads, though it answers.
fn a_minority_gets_nothing(group: &Cluster, gate: &GateHandle) {
    let primary = ctl_backends(gate).iter().position(|one| one.role == "primary").unwrap();
    let (third, other) = ((primary + 1) % 3, (primary + 2) % 3);
    let mut client = Client::connect(&session(gate, "weir_group")).unwrap();
    client.run("SET read_after_write_consistency='EVENTUAL'").unwrap();
    let read = "SELECT COUNT(*) FROM load_t WHERE session=0";
    client.run(read).unwrap();
    [primary, other].into_iter().for_each(|node| group.node(node).sigstop());
    shown(gate, "a minority", |all| all[third].role == "unknown" && all[third].note.contains("no majority"));
    // It answers, to those who ask it directly.
    assert_ne!(group.sql(third, "SELECT COUNT(*) FROM weir_group.load_t").unwrap()[0][0], "0");
    let thread = std::thread::spawn(move || (client.run(read).map(drop), client));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!thread.is_finished(), "a read was answered by nobody who may");
    [primary, other].into_iter().for_each(|node| group.node(node).sigcont());
    let (outcome, mut client) = thread.join().unwrap();
    outcome.unwrap_or_else(|error| panic!("{error}"));
    shown(gate, "a group again", |all| roles(all).iter().filter(|role| *role == "primary").count() == 1);
    // Who slept may be put out of the group still, with the write under way: then nobody knows, and one looks.
    client.run("SET read_after_write_consistency='GLOBAL'").unwrap();
    while client.cell("SELECT COUNT(*) FROM load_t WHERE session=99").unwrap().as_deref() == Some("0") {
        match client.run("INSERT INTO load_t VALUES (99, 1)") {
            Err(ClientError::Server(error)) if error.code == 2013 => {}
            outcome => drop(outcome.unwrap()),
        }
    }
}

/// Nobody manages anything: a script moves the role while sessions write.
#[test]
fn an_operator_moves_the_role_without_controllers() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::start(81);
    let gate = start(Config::local(&pair.addresses(), MONITOR.0, MONITOR.1));
    let [.., unknown] = moved_by_hand(&pair, &gate);
    assert_eq!(unknown, 0, "an orderly move leaves nothing in doubt");
}

/// The same with tablets that only look and a controller that decides nothing: its record follows.
#[test]
fn an_operator_moves_the_role_and_the_record_follows() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::start(83);
    let folder = folder("external");
    let args = ["--store".to_owned(), text(&folder.join("store.db")), "--failover".to_owned(), "off".to_owned()];
    let mut controller = Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &args);
    controller.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(controller.wait(LIMIT));
    let controllers = ControllersConfig { addresses: vec![controller.address()], cache: None };
    let tablets = [("m1", &pair.one), ("m2", &pair.two)].map(|(name, lone)| {
        let mut config = TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1);
        let controllers = controllers.clone();
        let membership = MembershipConfig { controllers, advertise_grpc: None, zone: String::new(), weight: 100 };
        (config.name, config.membership) = (name.to_owned(), Some(membership));
        tablet::start(config).unwrap_or_else(|error| panic!("{error}"))
    });
    let mut config = Config::local(&[], "nobody", "nothing");
    config.controllers = Some(controllers);
    let gate = start(config);
    let ask = Ask { controllers: vec![controller.address()], tls: TlsFiles::default() };
    let named = |name: &str| {
        let wanted = format!("primary {name}");
        until("named", || {
            let table = cluster::topology(&ask)?.table();
            if table.contains(&wanted) { Ok(()) } else { Err(table) }
        });
    };
    named("m1");
    moved_by_hand(&pair, &gate);
    named("m2");
    drop((gate, tablets));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// How many writes were told as done, not run, unknown.
fn moved_by_hand(pair: &Pair, gate: &GateHandle) -> [usize; 3] {
    let (one, two) = (&pair.one, &pair.two);
    shown(gate, "led by the first", |all| roles(all) == ["primary", "replica"] && all[1].lag_ms == Some(0));
    let load = Load::start(&session(gate, "weir_ext"), 4);
    load.goes_on(20, LIMIT);
    // The classic steps.
    let began = Instant::now();
    one.sql(&["SET GLOBAL super_read_only=1"]).unwrap();
    let executed = one.root().unwrap().cell("SELECT @@GLOBAL.gtid_executed").unwrap().unwrap();
    two.sql(&[&format!("DO WAIT_FOR_EXECUTED_GTID_SET('{executed}', 20)"), "STOP REPLICA", "RESET REPLICA ALL"])
        .unwrap();
    two.sql(&["SET GLOBAL super_read_only=0", "SET GLOBAL read_only=0"]).unwrap();
    replicate(one, two);
    println!("the script took {} ms", began.elapsed().as_millis());
    let gap = load.goes_on(20, LIMIT);
    println!("and writes went on {} ms later", gap.as_millis());
    shown(gate, "led by the second", |all| roles(all) == ["replica", "primary"]);

    // A careless one: the next primary is writable while this one still is. Whoever writes then writes to one server alone.
    load.goes_on(20, LIMIT);
    one.sql(&["STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL super_read_only=0", "SET GLOBAL read_only=0"]).unwrap();
    shown(gate, "in conflict", |all| roles(all)[0] == "unknown");
    std::thread::sleep(Duration::from_millis(300));
    let stray = one.root().unwrap().cell("SELECT @@GLOBAL.gtid_executed").unwrap().unwrap();
    one.sql(&["SET GLOBAL super_read_only=1"]).unwrap();
    assert_eq!(one.root().unwrap().cell("SELECT @@GLOBAL.gtid_executed").unwrap().unwrap(), stray, "it was written to");
    replicate(one, two);
    shown(gate, "led by the second again", |all| roles(all) == ["replica", "primary"]);
    load.goes_on(20, LIMIT);
    let counts @ [done, not_run, unknown] = load.judge(&mut two.root().unwrap(), "weir_ext");
    println!("{done} writes acknowledged, {not_run} transactions begun again, {unknown} of unknown outcome");
    assert!(done > 60);
    counts
}

/// A source and its replica, which nobody manages.
struct Pair {
    one: Lone,
    two: Lone,
}

impl Pair {
    fn start(server_id: u32) -> Pair {
        let (one, two) = (Lone::start(server_id, "").unwrap(), Lone::start(server_id + 1, "").unwrap());
        one.sql(&["CREATE DATABASE weir_ext", "USE weir_ext", TABLE]).unwrap();
        replicate(&two, &one);
        Pair { one, two }
    }

    fn addresses(&self) -> Vec<Address> {
        vec![self.one.address(), self.two.address()]
    }
}

/// A group wants a primary key.
fn keyed(table: &str) -> String {
    table.replacen("(session", "(id BIGINT AUTO_INCREMENT PRIMARY KEY INVISIBLE, session", 1)
}

fn tcp(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

fn start(mut config: Config) -> GateHandle {
    config.cores.truncate(1);
    // A group needs longer than a statement usually waits, on a machine that others use too.
    (config.settings.buffer_window_ms, config.settings.buffer_failover_ms_max) = (25_000, 40_000);
    gate::start(config).unwrap_or_else(|error| panic!("{error}"))
}

fn session(gate: &GateHandle, schema: &str) -> Options {
    gate.client_options("app", "app").unwrap().schema(schema).timeout(Some(Duration::from_secs(60)))
}

fn ctl_backends(gate: &GateHandle) -> Vec<BackendStatus> {
    ctl::status(&gate.addresses().grpc.unwrap().to_string()).unwrap().backends
}

fn roles(all: &[BackendStatus]) -> Vec<String> {
    // What is down is shown as what it was.
    all.iter().map(|one| if one.health == "up" { one.role.clone() } else { one.health.clone() }).collect()
}

fn shown(gate: &GateHandle, what: &str, holds: impl Fn(&[BackendStatus]) -> bool) {
    until(what, || {
        let all = ctl_backends(gate);
        if holds(&all) { Ok(()) } else { Err(format!("{all:?}")) }
    });
}

fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + LIMIT;
    while let Err(why) = look() {
        assert!(Instant::now() < deadline, "not {what}: {why}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const LIMIT: Duration = Duration::from_secs(30);
