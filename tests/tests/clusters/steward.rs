//! Stewards on real MySQL: servers become what a record says, without a controller. The test is the controller: it writes
//! records and leases by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_control::client::{Client, Options};
use weir_control::config::tablet::{SemiSyncWish, StewardConfig, TabletConfig};
use weir_control::controller::client::Lease;
use weir_control::controller::epoch::Epoch;
use weir_control::controller::record::{Member, Phase, Record};
use weir_control::lab::template::{APP, MONITOR, REPLICATION};
use weir_control::tablet::word::Word;
use weir_control::tablet::{self, Guide, TabletHandle};
use weir_net::gtid::GtidSet;
use weir_net::secret::Secret;
use weir_tests::real::lone::Lone;

const SEMI_SYNC: &str = "plugin-load-add=semisync_source.so;semisync_replica.so\nrpl-semi-sync-source-timeout=600000\n";

/// A cluster without a controller.
struct Fleet {
    nodes: Vec<Node>,
    record: watch::Sender<Option<Arc<Record>>>,
}

struct Node {
    name: String,
    lone: Lone,
    tablet: TabletHandle,
    lease: watch::Sender<Lease>,
}

impl Fleet {
    /// Named a, b, c …; a is the primary of the first record.
    fn start(first_id: u32, count: u32, cnf: &str, lease_ms: u32, change: impl Fn(&mut StewardConfig)) -> Fleet {
        let record = watch::channel(None).0;
        let nodes: Vec<Node> = (0..count)
            .map(|at| {
                let name = char::from(b'a' + at as u8).to_string();
                let lone = Lone::start(first_id + at, cnf).unwrap();
                // Exactly the documented rights; not in the binary log, so that nobody has it from another.
                lone.sql(&["SET sql_log_bin=0; CREATE USER steward IDENTIFIED BY 'steward'; \
                     GRANT REPLICATION CLIENT, PROCESS, RELOAD, SYSTEM_VARIABLES_ADMIN, PERSIST_RO_VARIABLES_ADMIN, CONNECTION_ADMIN, \
                       REPLICATION_SLAVE_ADMIN, SYSTEM_USER ON *.* TO steward; \
                     GRANT SELECT ON performance_schema.* TO steward"])
                .unwrap();
                let lease = watch::channel(Lease::default()).0;
                let mut config = TabletConfig::local(&lone.address(), MONITOR.0, MONITOR.1);
                config.name = name.clone();
                (config.interval_ms, config.timeout_ms) = (50, 1_000);
                (config.admin_user, config.admin_password) = ("steward".to_owned(), Secret::from(&b"steward"[..]));
                config.steward.replication_user = REPLICATION.0.to_owned();
                config.steward.replication_password = Secret::from(REPLICATION.1.as_bytes());
                change(&mut config.steward);
                let guide = Guide { record: record.subscribe(), lease: lease.subscribe() };
                let tablet = tablet::start_guided(config, Some(guide)).unwrap();
                Node { name, lone, tablet, lease }
            })
            .collect();
        let fleet = Fleet { nodes, record };
        fleet.nodes[0]
            .lone
            .sql(&["CREATE DATABASE w", "CREATE TABLE w.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT)"])
            .unwrap();
        for node in &fleet.nodes {
            node.grant(Duration::from_secs(600));
            node.until("seen", |word| word.is_serving() || word.facts.is_some());
        }
        let mut first = Record::forming("main", lease_ms);
        for node in &fleet.nodes {
            let server_uuid = node.tablet.word().facts.unwrap().server_uuid.clone();
            let address = node.lone.server().address();
            first.members.insert(node.name.clone(), Member { server_uuid, address, weight: 100, ..Member::default() });
        }
        fleet.record.send_replace(Some(Arc::new(first)));
        fleet.says(steady("a"));
        fleet
    }

    fn says(&self, phase: Phase) -> u64 {
        self.turns(phase, |_| {})
    }

    fn promoted(&self, phase: Phase, executed: &GtidSet) -> u64 {
        self.turns(phase, |next| next.promoted_gtid_executed = executed.to_string())
    }

    /// The next record; returns its epoch.
    fn turns(&self, phase: Phase, change: impl FnOnce(&mut Record)) -> u64 {
        let mut next = (*self.record.borrow().clone().unwrap()).clone();
        change(&mut next);
        next.epoch = Epoch::new(next.epoch.number() + 1);
        next.phase = phase;
        next.check().unwrap();
        let epoch = next.epoch.number();
        self.record.send_replace(Some(Arc::new(next)));
        epoch
    }

    fn settles(&self, epoch: u64) {
        self.nodes.iter().for_each(|node| node.settles(epoch));
    }

    fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).unwrap()
    }
}

impl Node {
    fn grant(&self, lasts: Duration) {
        self.lease.send_replace(Lease { until: Some(tokio::time::Instant::now() + lasts), why: String::new() });
    }

    fn until(&self, what: &str, is_so: impl Fn(&Word) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let word = self.tablet.word();
            if is_so(&word) {
                return began.elapsed();
            }
            if began.elapsed() >= LIMIT {
                let threads =
                    self.lone.root().and_then(|mut root| root.rows(THREADS).map_err(|error| error.to_string()));
                panic!("{} is not {what}: {:?} {word:?}\n{threads:#?}", self.name, word.care);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn settles(&self, epoch: u64) {
        self.until("settled", |word| word.care.settled >= epoch);
    }

    /// Of the server itself: read_only, super_read_only.
    fn is_read_only(&self) -> bool {
        let mut root = self.lone.root().unwrap();
        root.cell("SELECT @@GLOBAL.super_read_only").unwrap().as_deref() == Some("1")
    }

    fn cell(&self, sql: &str) -> String {
        self.lone.root().unwrap().cell(sql).unwrap().unwrap_or_default()
    }

    fn executed(&self) -> GtidSet {
        GtidSet::parse(self.cell("SELECT @@GLOBAL.gtid_executed").as_bytes()).unwrap()
    }

    fn client(&self) -> Result<Client, String> {
        self.login(APP)
    }

    /// Of an account without privileges that count.
    fn plain_client(&self) -> Result<Client, String> {
        self.login(REPLICATION)
    }

    fn login(&self, (user, password): (&str, &str)) -> Result<Client, String> {
        let port = self.lone.server().port();
        let options = Options::tcp("127.0.0.1", port).user(user).password(password).timeout(Some(LIMIT));
        Client::connect(&options).map_err(|error| error.to_string())
    }
}

/// Clients that write rows and remember which were acknowledged.
struct Writers {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(u64, Instant)>>>,
}

impl Writers {
    fn start(node: &Node, count: u64) -> Writers {
        let end = Arc::new(AtomicBool::new(false));
        let clients: Vec<Client> = (0..count).map(|_| node.client().unwrap()).collect();
        let write = |(at, mut client): (usize, Client)| {
            let end = end.clone();
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0_u64.. {
                    let value = at as u64 * 1_000_000 + n;
                    if end.load(Ordering::Relaxed)
                        || client.run(format!("INSERT INTO w.t (v) VALUES ({value})")).is_err()
                    {
                        break;
                    }
                    acknowledged.push((value, Instant::now()));
                }
                acknowledged
            })
        };
        let threads = clients.into_iter().enumerate().map(write).collect();
        Writers { end, threads }
    }

    /// What was acknowledged, when all have ended: by their server, or by us.
    fn end(self) -> Vec<u64> {
        self.end_timed().0
    }

    /// And when the last one was.
    fn end_timed(self) -> (Vec<u64>, Instant) {
        self.end.store(true, Ordering::Relaxed);
        let all: Vec<(u64, Instant)> = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let last = all.iter().map(|(_, when)| *when).max().unwrap();
        (all.into_iter().map(|(value, _)| value).collect(), last)
    }
}

/// Every one of these rows is on this server.
fn holds(node: &Node, acknowledged: &[u64]) {
    let mut root = node.lone.root().unwrap();
    let reply = root.query("SELECT v FROM w.t").unwrap();
    let rows: std::collections::BTreeSet<u64> =
        reply.rows().unwrap().texts().into_iter().flatten().flatten().map(|text| text.parse().unwrap()).collect();
    let lost: Vec<&u64> = acknowledged.iter().filter(|value| !rows.contains(value)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged rows are not on '{}': {lost:?}",
        lost.len(),
        acknowledged.len(),
        node.name
    );
}

fn steady(primary: &str) -> Phase {
    Phase::Steady { primary: primary.to_owned() }
}

fn vacant(former: &str) -> Phase {
    Phase::Interregnum { former: former.to_owned(), heir: None }
}

fn semi_sync(config: &mut StewardConfig) {
    config.semi_sync = SemiSyncWish::On;
}

/// S75: the former primary is fenced whatever its clients hold, the new one has all that was acknowledged, the third follows
/// it, and the former one follows when it was killed and comes back: read-only from its first moment.
#[test]
fn a_primary_moves_while_clients_write_and_hold_locks() {
    let fleet = Fleet::start(71, 3, SEMI_SYNC, 60_000, semi_sync);
    let [a, b, c] = ["a", "b", "c"].map(|name| fleet.node(name));
    fleet.settles(2);
    let mut blockers: Vec<Client> = (0..4).map(|_| a.client().unwrap()).collect();
    blockers[0].run("CREATE TABLE w.locked (id INT PRIMARY KEY)").unwrap();
    blockers[0].run("LOCK TABLES w.locked WRITE").unwrap();
    blockers[1].run("BEGIN").unwrap();
    blockers[1].run("INSERT INTO w.t (v) VALUES (-1)").unwrap();
    blockers[2].run("XA START 'x'").unwrap();
    let writers = Writers::start(a, 8);
    std::thread::sleep(Duration::from_millis(500));
    // With the lock that lets nobody commit, too.
    blockers[3].run("FLUSH TABLES w.t WITH READ LOCK").ok();

    let epoch = fleet.says(vacant("a"));
    fleet.settles(epoch);
    let acknowledged = writers.end();
    assert!(acknowledged.len() > 8, "{}", acknowledged.len());
    for node in &fleet.nodes {
        assert!(node.is_read_only(), "{}", node.name);
        let receivers = node
            .cell("SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE SERVICE_STATE<>'OFF'");
        assert_eq!(receivers, "0", "{}", node.name);
    }
    for blocker in &mut blockers {
        assert!(blocker.run("SELECT 1").is_err(), "its connection is cut");
    }
    // The one that has received most follows.
    let has = |node: &Node| {
        let word = node.tablet.word();
        let mut all = (*word.executed).clone();
        word.facts.unwrap().channels.iter().flatten().for_each(|channel| all.merge(&channel.received));
        all
    };
    let (heir, third) = if has(b).contains(&has(c)) { (b, c) } else { (c, b) };
    let promoted = has(heir);
    let epoch = fleet.promoted(steady(&heir.name), &promoted);
    heir.settles(epoch);
    third.settles(epoch);
    assert!(!heir.is_read_only());
    assert_eq!(
        heir.cell("SELECT COUNT(*) FROM performance_schema.replication_connection_configuration WHERE HOST<>''"),
        "0"
    );
    holds(heir, &acknowledged);
    // What the former one had committed alone, nobody was told of: it has diverged then, or it follows.
    let extra = {
        let mut extra = a.executed();
        extra.subtract(&promoted);
        extra
    };
    if extra.is_empty() {
        a.settles(epoch);
    } else {
        a.until("diverged", |word| *word.care.extra == extra);
    }
    let writers = Writers::start(heir, 2);
    std::thread::sleep(Duration::from_millis(300));
    let acknowledged = writers.end();
    assert!(!acknowledged.is_empty());
    third.until("up to date", |word| word.executed.contains(&heir.executed()));
    holds(third, &acknowledged);

    // The new one crashes, and is still named: it comes up read-only, and its steward makes it writable again.
    heir.lone.server().kill9();
    heir.until("stopped", |word| !word.is_serving());
    heir.lone.server().start().unwrap();
    heir.until("a primary again", |word| word.is_serving() && word.role == weir_core::snapshot::Role::Primary);
    assert!(!heir.is_read_only());

    // It crashes, another follows, and it comes back as a replica.
    heir.lone.server().kill9();
    let epoch = fleet.says(vacant(&heir.name));
    third.settles(epoch);
    let promoted = has(third);
    let epoch = fleet.promoted(steady(&third.name), &promoted);
    third.settles(epoch);
    heir.lone.server().start().unwrap();
    assert!(heir.is_read_only(), "it was writable for a moment");
    heir.settles(epoch);
    let mut client = third.client().unwrap();
    client.run("INSERT INTO w.t (v) VALUES (99000000)").unwrap();
    holds(third, &[99_000_000]);
    heir.until("up to date", |word| word.executed.contains(&third.executed()));
    holds(heir, &[99_000_000]);
}

/// A lease that ends: read-only before it is over, by the tablet's own clock, with a client that never stops; and writable
/// again when it is held again.
#[test]
fn a_primary_without_a_lease_is_read_only_in_time() {
    let lease = Duration::from_millis(4_000);
    let fleet = Fleet::start(75, 1, "max-connections=20\n", 4_000, |_| {});
    let a = fleet.node("a");
    fleet.settles(2);
    for round in 0..5 {
        a.until("writable", |word| word.is_serving() && word.care.trouble.is_empty());
        let mut holder = a.client().unwrap();
        match round {
            0 => holder.run("LOCK TABLES w.t WRITE").map(drop).unwrap(),
            1 => holder.run("FLUSH TABLES WITH READ LOCK").map(drop).unwrap(),
            2 => holder.run("BEGIN").and_then(|_| holder.run("UPDATE w.t SET v=v+1")).map(drop).unwrap(),
            _ => {}
        }
        let writers = if round == 3 { Some(Writers::start(a, 8)) } else { None };
        // Clients in all places that there are.
        let full: Vec<Client> =
            if round == 4 { std::iter::from_fn(|| a.plain_client().ok()).take(99).collect() } else { Vec::new() };
        assert!(round != 4 || (1..99).contains(&full.len()), "{}", full.len());
        let began = Instant::now();
        a.grant(lease);
        // Said when a look found it read-only, and nobody waiting to become so.
        a.until("fenced", |word| word.care.trouble == "its lease ends");
        let took = began.elapsed();
        println!("round {round}: read-only {:?} after the fence began", took.saturating_sub(lease * 3 / 4));
        assert!(took >= lease * 3 / 4 - Duration::from_millis(5) && took < lease, "round {round}: {took:?}");
        assert!(a.is_read_only());
        drop(full);
        assert!(holder.run("SELECT 1").is_err(), "its connection is cut");
        if let Some(writers) = writers {
            let (acknowledged, last) = writers.end_timed();
            assert!(last < began + lease, "acknowledged {:?} after the lease", last - began);
            holds(a, &acknowledged);
        }
        a.grant(Duration::from_secs(600));
    }
    a.until("writable", |word| word.care.trouble.is_empty() && !a.is_read_only());
}

/// A server that does not answer is killed before its lease is over, if that is allowed, and comes back as what it is.
#[test]
fn a_frozen_primary_is_killed_when_its_lease_ends() {
    let fleet = Fleet::start(77, 1, "", 2_000, |config| config.fence_kill = true);
    let a = fleet.node("a");
    fleet.settles(2);
    let pid = a.lone.server().pid().unwrap();
    a.lone.server().sigstop();
    let is_stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| text.contains(") T "));
    a.until("stopped", |_| is_stopped());
    let began = Instant::now();
    a.grant(Duration::from_millis(2_000));
    // SIGKILL wakes what SIGSTOP had stopped. How long the kernel then takes to free its memory is not ours, and it runs
    // none of its code meanwhile.
    while is_stopped() {
        assert!(began.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_500) && took < Duration::from_millis(2_000), "{took:?}");
    while a.lone.server().is_running() {
        assert!(began.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(1));
    }
    a.lone.server().start().unwrap();
    assert!(a.is_read_only());
    a.grant(Duration::from_secs(600));
    a.until("writable", |_| !a.is_read_only());
}

/// S77: a frozen primary whose lease is over gets no acknowledgement when it goes on, is fenced at its first answer, and what
/// it committed alone keeps it out.
#[test]
fn a_primary_that_wakes_up_late_gets_no_acknowledgement() {
    let fleet = Fleet::start(80, 3, SEMI_SYNC, 60_000, semi_sync);
    let [a, b, c] = ["a", "b", "c"].map(|name| fleet.node(name));
    fleet.settles(2);
    let writers = Writers::start(a, 8);
    std::thread::sleep(Duration::from_millis(500));
    a.lone.server().sigstop();
    let epoch = fleet.says(vacant("a"));
    b.settles(epoch);
    c.settles(epoch);
    let has = |node: &Node| {
        let facts = node.tablet.word().facts.unwrap();
        facts.channels.as_ref().unwrap()[0].received.clone()
    };
    let (heir, third) = if has(b).contains(&has(c)) { (b, c) } else { (c, b) };
    let mut promoted = has(heir);
    promoted.merge(&heir.tablet.word().executed);
    let epoch = fleet.promoted(steady(&heir.name), &promoted);
    heir.settles(epoch);
    third.settles(epoch);
    a.lone.server().sigcont();
    a.until("fenced", |_| a.is_read_only());
    // Their connections are cut: all that they were told is on the new one.
    let acknowledged = writers.end();
    assert!(acknowledged.len() > 8);
    holds(heir, &acknowledged);
    let mut extra = a.executed();
    extra.subtract(&heir.executed());
    if extra.is_empty() {
        a.settles(epoch);
    } else {
        a.until("diverged", |word| *word.care.extra == extra && word.care.trouble.contains("clone it anew"));
        assert_eq!(
            a.cell("SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE SERVICE_STATE<>'OFF'"),
            "0"
        );
    }
}

/// A transaction whose end was never received keeps nobody from becoming the primary: its applier would wait for that end
/// for a minute when it is stopped.
#[test]
fn half_a_transaction_holds_nobody_up() {
    let fleet = Fleet::start(90, 2, "max-allowed-packet=64M\n", 60_000, |_| {});
    let [a, b] = ["a", "b"].map(|name| fleet.node(name));
    fleet.settles(2);
    a.lone.sql(&["CREATE TABLE w.big (id INT PRIMARY KEY AUTO_INCREMENT, t LONGTEXT)"]).unwrap();
    let begun = || {
        b.cell("SELECT COUNT(*) FROM performance_schema.replication_applier_status_by_worker WHERE APPLYING_TRANSACTION<>''")
    };
    let half = (0..20).any(|_| {
        let mut client = a.client().unwrap();
        let writer = std::thread::spawn(move || {
            // Sent when it is committed: some hundred rows of half a megabyte.
            drop(client.run("BEGIN; INSERT INTO w.big (t) SELECT REPEAT('x', 500000) FROM information_schema.columns LIMIT 200; COMMIT"));
        });
        let began = Instant::now();
        while b.cell("SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE QUEUEING_TRANSACTION<>''") == "0"
            && began.elapsed() < Duration::from_secs(5)
        {}
        fleet.settles(fleet.says(vacant("a")));
        writer.join().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let word = b.tablet.word();
        let received = word.facts.as_ref().unwrap().channels.as_ref().unwrap()[0].received.clone();
        let is_half = word.executed.contains(&received) && begun() != "0";
        if !is_half {
            fleet.settles(fleet.says(steady("a")));
        }
        is_half
    });
    assert!(half, "it never stopped in the middle");
    let began = Instant::now();
    b.settles(fleet.says(steady("b")));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!b.is_read_only());
}

/// A server that was cloned, or whose relay logs are gone, remembers files that are not there: it is set up anew.
#[test]
fn a_replica_without_its_relay_logs_follows_again() {
    let fleet = Fleet::start(96, 2, "", 60_000, |_| {});
    let [a, b] = ["a", "b"].map(|name| fleet.node(name));
    fleet.settles(2);
    b.lone.server().kill9();
    let data = b.lone.server().dir().join("data");
    let mut removed = 0;
    for entry in std::fs::read_dir(data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("relay") {
            std::fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 1, "{removed} relay logs");
    b.lone.server().start().unwrap();
    a.lone.sql(&["CREATE DATABASE after_it"]).unwrap();
    let executed = a.executed();
    b.until("following", |word| {
        word.executed.contains(&executed) && word.facts.as_ref().is_some_and(|facts| facts.is_replicating())
    });
}

/// A transaction of a replica's own keeps it out, until the primary has it too.
#[test]
fn a_server_with_a_transaction_of_its_own_stays_out() {
    let fleet = Fleet::start(84, 2, "", 60_000, |_| {});
    let [a, b] = ["a", "b"].map(|name| fleet.node(name));
    fleet.settles(2);
    b.lone.sql(&["STOP REPLICA", "RESET REPLICA ALL"]).unwrap();
    let epoch = fleet.says(vacant("a"));
    fleet.settles(epoch);
    // Between two looks of its steward.
    b.lone.sql(&["SET GLOBAL read_only=0; CREATE DATABASE errant; SET GLOBAL super_read_only=1"]).unwrap();
    let epoch = fleet.says(steady("a"));
    let own = format!("{}:1", b.cell("SELECT @@server_uuid"));
    b.until("diverged", |word| word.care.extra.to_string() == own && word.care.trouble.contains("clone it anew"));
    b.settles(epoch);
    assert!(b.is_read_only());
    assert_eq!(
        b.cell("SELECT COUNT(*) FROM performance_schema.replication_connection_configuration WHERE HOST<>''"),
        "0"
    );
    a.until("writable", |_| !a.is_read_only());
    a.lone.sql(&[&format!("SET gtid_next='{own}'; BEGIN; COMMIT; SET gtid_next=AUTOMATIC")]).unwrap();
    b.until("following", |word| {
        word.care.extra.is_empty() && word.facts.as_ref().is_some_and(|facts| facts.is_replicating())
    });
}

/// What a record does not name, and what nobody told, is left alone; a missing right is named.
#[test]
fn nothing_is_done_without_a_record() {
    let fleet = Fleet::start(87, 1, "", 60_000, |_| {});
    let a = fleet.node("a");
    fleet.settles(2);
    let stranger = Lone::start(88, "").unwrap();
    let mut config = TabletConfig::local(&stranger.address(), MONITOR.0, MONITOR.1);
    config.name = "stranger".to_owned();
    config.steward.manage = weir_control::config::tablet::Manage::On;
    let lease = watch::channel(Lease::default()).0;
    let silent = watch::channel(None).0;
    let guide = Guide { record: silent.subscribe(), lease: lease.subscribe() };
    let tablet = tablet::start_guided(config, Some(guide)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let writable = || stranger.root().unwrap().cell("SELECT @@GLOBAL.read_only").unwrap().as_deref() == Some("0");
    assert!(writable());
    silent.send_replace(fleet.record.borrow().clone());
    let began = Instant::now();
    while !tablet.word().care.trouble.contains("no member 'stranger'") {
        assert!(began.elapsed() < LIMIT, "{:?}", tablet.word().care);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(writable());
    // A member, whose account may only look and kill.
    let mut record = (**fleet.record.borrow().as_ref().unwrap()).clone();
    let server_uuid = stranger.root().unwrap().cell("SELECT @@server_uuid").unwrap().unwrap();
    let member = Member { server_uuid, address: stranger.server().address(), ..Member::default() };
    record.members.insert("stranger".to_owned(), member);
    record.epoch = Epoch::new(record.epoch.number() + 1);
    silent.send_replace(Some(Arc::new(record)));
    let began = Instant::now();
    while !tablet.word().care.trouble.contains("denied") {
        assert!(began.elapsed() < LIMIT, "{:?}", tablet.word().care);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(writable() && !a.is_read_only());
}

const THREADS: &str = "SELECT PROCESSLIST_ID, NAME, PROCESSLIST_STATE, PROCESSLIST_TIME, PROCESSLIST_INFO \
     FROM performance_schema.threads WHERE PROCESSLIST_ID IS NOT NULL";

const LIMIT: Duration = Duration::from_secs(30);
