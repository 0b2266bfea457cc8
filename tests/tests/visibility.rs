//! How soon every core of a gate knows that a transaction can be read on a replica, and that it never knows too early.
//!
//! The histograms are printed (`cargo test -p weir-tests --test visibility -- --nocapture --test-threads=1`); the bounds here
//! are for a machine that other tests share, the numbers of a quiet one stand in ARCHITECTURE.md.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_control::client::Client;
use weir_control::config::tablet::TabletConfig;
use weir_control::config::{BackendConfig, Config};
use weir_control::gate::{self, GateHandle};
use weir_control::lab::template::{MONITOR, REPLICATION};
use weir_control::tablet;
use weir_net::gtid::GtidSet;
use weir_tests::real::lone::Lone;

/// One at a time: they measure.
static ALONE: Mutex<()> = Mutex::new(());

const SETUP: [&str; 3] = [
    "CREATE DATABASE weir_seen",
    "CREATE TABLE weir_seen.t (id INT PRIMARY KEY, v BIGINT)",
    "INSERT INTO weir_seen.t VALUES (1, 0)",
];

fn pair(source_id: u32, replica_cnf: &str) -> (Lone, Lone) {
    let source = Lone::start(source_id, "").unwrap();
    let replica = Lone::start(source_id + 1, replica_cnf).unwrap();
    source.sql(&SETUP).unwrap();
    let (user, password) = REPLICATION;
    let port = source.server().port();
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='{user}', \
         SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
    );
    replica.sql(&[&change, "START REPLICA", "SET GLOBAL super_read_only=ON"]).unwrap();
    wait_for(&replica, 3);
    (source, replica)
}

fn wait_for(replica: &Lone, count: u64) {
    let mut root = replica.root().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while executed(&mut root).count() < count {
        assert!(Instant::now() < deadline, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn executed(client: &mut Client) -> GtidSet {
    let text = client.cell("SELECT @@GLOBAL.gtid_executed").unwrap().unwrap_or_default();
    GtidSet::parse(text.as_bytes()).unwrap()
}

fn cell(client: &mut Client) -> u64 {
    client.cell("SELECT v FROM weir_seen.t WHERE id=1").unwrap().unwrap().parse().unwrap()
}

/// A client on each core of the gate.
fn one_on_each_core(gate: &GateHandle, cores: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..200 {
        let client = Client::connect(&gate.client_options("app", "app").unwrap()).unwrap();
        clients.push(client);
        let rows = clients[0].rows("SHOW WEIR SESSIONS").unwrap();
        let mut seen = Vec::new();
        clients.retain(|client| {
            let id = client.connection_id().to_string();
            let own = rows.iter().find(|row| row[0].as_deref() == Some(id.as_str())).unwrap();
            let core = own.last().cloned().unwrap();
            let is_new = !seen.contains(&core);
            seen.push(core);
            is_new
        });
        if clients.len() == cores {
            return clients;
        }
    }
    panic!("{} of {cores} cores", clients.len());
}

/// What this core knows of the replica, the second backend.
fn known(client: &mut Client) -> GtidSet {
    let reply = client.query("SHOW WEIR BACKENDS").unwrap();
    let text = reply.rows().and_then(|rows| rows.text(1, "executed")).unwrap();
    GtidSet::parse(text.as_bytes()).unwrap()
}

/// Microseconds from the moment when a transaction can be read on the replica to that when all cores know it.
fn measure(source: &Lone, replica: &Lone, gate: &GateHandle, cores: usize, times: u64) -> Vec<u64> {
    let mut writer = source.root().unwrap();
    let mut clients = one_on_each_core(gate, cores);
    let mut reader = replica.root().unwrap();
    let mut taken = Vec::new();
    let base = (cell(&mut reader), executed(&mut reader).count());
    for n in 1..=times {
        std::thread::sleep(Duration::from_millis(20 + n * 7 % 13));
        writer.run("UPDATE weir_seen.t SET v=v+1").unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // Both look without a pause, so each is late by one question at most.
        while cell(&mut reader) < base.0 + n {
            assert!(Instant::now() < deadline, "the replica does not follow");
        }
        let visible = Instant::now();
        for client in &mut clients {
            while known(client).count() < base.1 + n {
                assert!(Instant::now() < deadline, "a core does not learn of it");
            }
        }
        taken.push(visible.elapsed().as_micros() as u64);
    }
    taken.sort_unstable();
    taken
}

fn show(what: &str, taken: &[u64]) {
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: from visible to known by every core, µs: min {} p25 {} median {} p75 {} p90 {} p99 {} max {}",
        at(0.0),
        at(0.25),
        at(0.5),
        at(0.75),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// Agents in the gate, then tablets: the same bound for both.
#[test]
fn every_core_knows_a_transaction_soon_after_it_is_visible() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let (source, replica) = pair(61, "");
    let mut config = Config::local(&[source.address(), replica.address()], MONITOR.0, MONITOR.1);
    config.cores.truncate(2);
    let cores = config.cores.len();
    let gate = gate::start(config).unwrap();
    let taken = measure(&source, &replica, &gate, cores, 200);
    show("agents in the gate", &taken);
    let median = taken[taken.len() / 2];
    assert!(median < MEDIAN_US_MAX, "{median} µs");
    drop(gate);

    let beside = |lone: &Lone| tablet::start(TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1)).unwrap();
    let tablets = [&source, &replica].map(beside);
    let mut config = Config::local(&[], "nobody", "nothing");
    config.backends = tablets.iter().map(|tablet| BackendConfig::behind(&tablet.address().to_string())).collect();
    config.cores.truncate(2);
    let gate = gate::start(config).unwrap();
    let taken = measure(&source, &replica, &gate, cores, 200);
    show("tablets", &taken);
    let median = taken[taken.len() / 2];
    assert!(median < MEDIAN_US_MAX, "{median} µs");
}

/// The trap: the binlog has a transaction before its rows can be read. With semi-synchronous replication and nobody who
/// acknowledges, a replica that writes a binlog of its own stands still exactly there, for as long as we like.
#[test]
fn a_transaction_in_the_binlog_is_not_yet_known() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let (source, replica) = pair(63, "plugin-load-add=semisync_source.so\n");
    replica
        .sql(&[
            "SET GLOBAL rpl_semi_sync_source_timeout=600000",
            "SET GLOBAL rpl_semi_sync_source_wait_no_replica=ON",
            "SET GLOBAL rpl_semi_sync_source_enabled=ON",
        ])
        .unwrap();
    let tablet = tablet::start(TabletConfig::local(&replica.address(), MONITOR.0, MONITOR.1)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let patient = |what: &str| {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    };
    while tablet.word().executed.count() < 3 {
        patient("the tablet does not look");
    }
    source.sql(&["UPDATE weir_seen.t SET v=1"]).unwrap();
    let mut root = replica.root().unwrap();
    // One status file of the server says which GTIDs its binlog holds: the log itself.
    let logged = |root: &mut Client| {
        let status = root.query("SHOW BINARY LOG STATUS").unwrap();
        let file = status.rows().and_then(|rows| rows.text(0, "File")).unwrap();
        let events = root.rows(format!("SHOW BINLOG EVENTS IN '{file}'")).unwrap();
        events.iter().flatten().flatten().filter(|cell| cell.starts_with("SET @@SESSION.GTID_NEXT")).count()
    };
    while logged(&mut root) < 4 {
        patient("the replica's binlog has not the transaction");
    }
    // Long enough for many looks and many turns of the stream.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        assert_eq!((cell(&mut root), tablet.word().executed.count()), (0, 3), "it is known and cannot be read");
        std::thread::sleep(Duration::from_millis(10));
    }
    replica.sql(&["SET GLOBAL rpl_semi_sync_source_enabled=OFF"]).unwrap();
    while tablet.word().executed.count() < 4 {
        patient("the tablet does not learn of it");
    }
    assert_eq!(cell(&mut root), 1);
}

/// Whatever a core knows, a reader sees, while several appliers commit as fast as they can; and what that costs.
#[test]
fn what_is_known_can_be_read_and_a_storm_costs_little() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let (source, replica) = pair(65, "replica-parallel-workers=4\nreplica-preserve-commit-order=OFF\n");
    let tablets = [&source, &replica]
        .map(|lone| tablet::start(TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1)).unwrap());
    let mut config = Config::local(&[], "nobody", "nothing");
    config.backends = tablets.iter().map(|tablet| BackendConfig::behind(&tablet.address().to_string())).collect();
    config.cores.truncate(1);
    let gate = gate::start(config).unwrap();
    source.sql(&["CREATE TABLE weir_seen.log (n BIGINT PRIMARY KEY AUTO_INCREMENT, gno BIGINT)"]).unwrap();
    wait_for(&replica, 4);
    let (over, written, checked) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (cpu_before, began) = (cpu_ms(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = source.root().unwrap();
                while !over.load(Ordering::Relaxed) {
                    client.run("INSERT INTO weir_seen.log (gno) VALUES (0)").unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut core = one_on_each_core(&gate, 1).remove(0);
            let mut reader = replica.root().unwrap();
            while !over.load(Ordering::Relaxed) {
                // Every transaction since the fourth is one row.
                let known = known(&mut core).count().saturating_sub(4);
                let seen: u64 = reader.cell("SELECT COUNT(*) FROM weir_seen.log").unwrap().unwrap().parse().unwrap();
                assert!(seen >= known, "{known} transactions are known and {seen} can be read");
                checked.fetch_add(1, Ordering::Relaxed);
            }
        });
        std::thread::sleep(Duration::from_secs(5));
        over.store(true, Ordering::Relaxed);
    });
    let (elapsed, cpu) = (began.elapsed(), cpu_ms());
    let share = |name: &str| {
        let used = cpu.get(name).copied().unwrap_or(0) - cpu_before.get(name).copied().unwrap_or(0);
        100.0 * used as f64 / elapsed.as_millis() as f64
    };
    let rate = written.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
    println!(
        "{rate:.0} transactions/s, {} checks: two tablets use {:.1} % of a CPU, the gate's control thread {:.1} %",
        checked.load(Ordering::Relaxed),
        share("weir-tablet"),
        share("weir-control")
    );
    assert!(checked.load(Ordering::Relaxed) > 20 && rate > 50.0);
    assert!(share("weir-tablet") < CPU_SHARE_MAX, "the tablets use {} %", share("weir-tablet"));
}

/// Milliseconds of CPU by the names of this process's threads.
fn cpu_ms() -> std::collections::HashMap<String, u64> {
    let mut sums = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread may end while we read.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else { continue };
        let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // 100 ticks a second, on every Linux of today.
        *sums.entry(name.to_string()).or_default() += ticks * 10;
    }
    sums
}

/// The requirement is 2 ms on an idle machine; other tests may run beside this one.
const MEDIAN_US_MAX: u64 = 6_000;

/// Both tablets together, in an unoptimised build.
const CPU_SHARE_MAX: f64 = 60.0;
