//! The agent on real MySQL: every state of a server, the few rights that it needs, what it may do, and a gate behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_control::config::tablet::TabletConfig;
use weir_control::config::{BackendConfig, Config};
use weir_control::grpc::proto;
use weir_control::lab::template::{MONITOR, REPLICATION};
use weir_control::monitor::Standing;
use weir_control::tablet::{self, TabletHandle};
use weir_control::{ctl, gate};
use weir_core::snapshot::Role;
use weir_net::gtid::GtidSet;
use weir_tests::real::lone::Lone;

const SCHEMA: [&str; 2] = ["CREATE DATABASE weir_agent", "CREATE TABLE weir_agent.t (id INT PRIMARY KEY, v INT)"];

fn beside(lone: &Lone, user: &str, password: &str) -> TabletHandle {
    let config =
        TabletConfig { interval_ms: 50, timeout_ms: 1_000, ..TabletConfig::local(&lone.address(), user, password) };
    tablet::start(config).unwrap()
}

/// Waits until the tablet's word is so, and gives the states that it went through.
fn until(tablet: &TabletHandle, what: &str, is_so: impl Fn(&tablet::word::Word) -> bool) -> Vec<&'static str> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut states: Vec<&'static str> = Vec::new();
    loop {
        let word = tablet.word();
        if states.last() != Some(&word.standing.name()) {
            states.push(word.standing.name());
        }
        if is_so(&word) {
            return states;
        }
        assert!(Instant::now() < deadline, "not {what}, but {states:?}: {word:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn becomes(tablet: &TabletHandle, standing: Standing) -> Vec<&'static str> {
    until(tablet, standing.name(), |word| word.standing == standing)
}

/// Stopped, killed, hanging and restarted: each has its state, and nobody has to help.
#[test]
fn a_server_that_stops_hangs_and_comes_back() {
    let lone = Lone::start(41, "").unwrap();
    lone.sql(&SCHEMA).unwrap();
    let tablet = beside(&lone, MONITOR.0, MONITOR.1);
    becomes(&tablet, Standing::Serving);
    until(&tablet, "a primary with vitals", |word| {
        let is_alive = |facts: &Arc<weir_control::monitor::Facts>| {
            let vitals = &facts.vitals;
            vitals.uptime_s.is_some()
                && vitals.threads_connected > 0
                && vitals.queries_per_second > 0
                && !vitals.disk_full
        };
        word.role == Role::Primary && word.is_serving() && word.facts.as_ref().is_some_and(is_alive)
    });

    lone.server().sigstop();
    becomes(&tablet, Standing::ServerSilent);
    lone.server().sigcont();
    assert!(!becomes(&tablet, Standing::Serving).contains(&"server_restarted"));

    lone.server().stop();
    becomes(&tablet, Standing::ServerStopped);
    assert!(!tablet.word().advice.is_empty());
    lone.server().start().unwrap();
    let states = becomes(&tablet, Standing::Serving);
    assert!(states.contains(&"server_restarted"), "{states:?}");

    // Its starts are told apart by `Uptime`, which counts whole seconds.
    until(&tablet, "up for 3 s", |word| {
        word.facts.as_ref().and_then(|facts| facts.vitals.uptime_s).is_some_and(|uptime| uptime >= 3)
    });
    lone.server().kill9();
    lone.server().start().unwrap();
    let restarts = |word: &tablet::word::Word| word.facts.as_ref().map_or(0, |facts| facts.restarts);
    until(&tablet, "restarted twice", |word| restarts(word) == 2 && word.standing == Standing::Serving);
}

/// An empty server at the same address is writable and replicates from nobody: it is no primary for that.
#[test]
fn a_wiped_server_serves_again_when_it_has_what_it_had() {
    let keeper = Lone::start(42, "").unwrap();
    let mut wiped = Lone::start(43, "").unwrap();
    keeper.sql(&SCHEMA).unwrap();
    replicate(&wiped, &keeper);
    let tablet = beside(&wiped, MONITOR.0, MONITOR.1);
    until(&tablet, "a replica with the tables", |word| word.role == Role::Replica && word.executed.count() >= 2);
    let had = tablet.word().executed;

    wiped.wipe().unwrap();
    becomes(&tablet, Standing::ServerWiped);
    let word = tablet.word();
    assert_eq!((word.role, word.is_serving()), (Role::Unknown, false), "{word:?}");
    assert!(word.why.contains("has lost 2 transactions"), "{}", word.why);

    replicate(&wiped, &keeper);
    until(&tablet, "serving with all that it had", |word| {
        word.is_serving() && word.role == Role::Replica && word.executed.contains(&had)
    });

    // RESET BINARY LOGS AND GTIDS: the same server, the same uuid, another history.
    keeper.sql(&["INSERT INTO weir_agent.t VALUES (1, 1)"]).unwrap();
    let tablet = beside(&keeper, MONITOR.0, MONITOR.1);
    until(&tablet, "a primary", |word| word.is_serving() && word.executed.count() == 3);
    keeper.sql(&["RESET BINARY LOGS AND GTIDS"]).unwrap();
    becomes(&tablet, Standing::ServerWiped);
}

fn replicate(node: &Lone, source: &Lone) {
    let (user, password) = REPLICATION;
    let port = source.server().port();
    node.sql(&[
        &format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='{user}', \
             SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1"
        ),
        "START REPLICA",
        "SET GLOBAL super_read_only=ON",
    ])
    .unwrap();
}

#[test]
fn a_changed_password_is_told_and_the_right_one_is_enough() {
    let lone = Lone::start(44, "").unwrap();
    let tablet = beside(&lone, MONITOR.0, MONITOR.1);
    becomes(&tablet, Standing::Serving);
    let (user, password) = MONITOR;
    // Connections that are open stay open: they must be cut to ask for the password again.
    let cut = |password: &str| {
        lone.sql(&[&format!("ALTER USER {user} IDENTIFIED BY '{password}'")]).unwrap();
        let mut root = lone.root().unwrap();
        let ids = root.rows(format!("SELECT ID FROM performance_schema.processlist WHERE USER='{user}'")).unwrap();
        for id in ids.into_iter().flatten().flatten() {
            // It may have ended by itself.
            let _ = root.query(format!("KILL {id}"));
        }
    };
    cut("another");
    becomes(&tablet, Standing::BadCredentials);
    let word = tablet.word();
    assert!(word.is_lasting && word.advice.contains("GRANT REPLICATION CLIENT"), "{word:?}");
    cut(password);
    becomes(&tablet, Standing::Serving);
    lone.sql(&[&format!("ALTER USER {user} ACCOUNT LOCK")]).unwrap();
    cut(password);
    becomes(&tablet, Standing::BadCredentials);
}

/// The grants in the README are enough for all that an agent looks at; without REPLICATION CLIENT it says what is missing.
#[test]
fn the_documented_grants_are_enough() {
    let source = Lone::start(45, "").unwrap();
    let lone = Lone::start(46, "").unwrap();
    source.sql(&SCHEMA).unwrap();
    replicate(&lone, &source);
    lone.sql(&["SET GLOBAL super_read_only=OFF, GLOBAL read_only=ON"]).unwrap();
    let account = |name: &str, grants: &[&str]| {
        let mut statements = vec!["SET sql_log_bin=0".to_string(), format!("CREATE USER {name} IDENTIFIED BY 'few'")];
        statements.extend(grants.iter().map(|grant| format!("GRANT {grant} TO {name}")));
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        lone.sql(&statements).unwrap();
        beside(&lone, name, "few")
    };
    let few = account("few", &["REPLICATION CLIENT ON *.*", "SELECT ON performance_schema.*"]);
    until(&few, "a replica with a known delay", |word| {
        let knows = |facts: &weir_control::monitor::Facts| {
            let channels = facts.channels.as_deref().unwrap_or_default();
            weir_control::monitor::evidence::lag_ms(facts) == Some(0)
                && facts.vitals.threads_connected > 0
                && channels.iter().all(|channel| channel.applier_runs && !channel.source_uuid.is_empty())
        };
        word.is_serving() && word.role == Role::Replica && word.facts.as_deref().is_some_and(knows)
    });
    // Between the looks the stream tells of each transaction.
    let before = few.word().executed;
    source.sql(&["INSERT INTO weir_agent.t VALUES (1, 1)"]).unwrap();
    until(&few, "further", |word| word.executed.count() == before.count() + 1);

    let blind = account("blind", &["SELECT ON performance_schema.*"]);
    becomes(&blind, Standing::Serving);
    assert_eq!(blind.word().role, Role::Unknown);
    assert!(blind.word().why.contains("REPLICATION CLIENT"), "{}", blind.word().why);
}

/// The text of a refusal is the server's own, for each kind of access that one statement shows.
#[test]
fn refusals_are_worded_as_by_the_server() {
    use weir_control::acl::file;
    use weir_core::permissions::{Denied, Table};
    use weir_planner::Access;
    let lone = Lone::start(53, "log-bin-trust-function-creators=ON\n").unwrap();
    lone.sql(&SCHEMA).unwrap();
    // A right on another table: without any on the schema the server says 1044 to some of these.
    lone.sql(&[
        "CREATE TABLE weir_agent.other (id INT)",
        "CREATE USER poor IDENTIFIED BY 'poor'",
        "GRANT SELECT ON weir_agent.other TO poor",
        "GRANT CREATE ON weir_agent.other2 TO poor",
    ])
    .unwrap();
    let options = weir_control::client::Options::address(&lone.address()).user("poor").password("poor");
    let mut poor = weir_control::client::Client::connect(&options).unwrap();
    let current = poor.cell("SELECT CURRENT_USER()").unwrap().unwrap();
    let (user, _) = current.split_once('@').unwrap();
    let rules = "unlisted = \"deny\"";
    let rules = file::read_text(std::path::Path::new("acl.toml"), rules).unwrap();
    let cases = [
        (Access::SELECT, "SELECT * FROM weir_agent.t"),
        (Access::INSERT, "INSERT INTO weir_agent.t VALUES (9, 9)"),
        (Access::UPDATE, "UPDATE weir_agent.t SET v=1"),
        (Access::DELETE, "DELETE FROM weir_agent.t"),
        (Access::CREATE, "CREATE TABLE weir_agent.t2 (id INT)"),
        (Access::ALTER, "ALTER TABLE weir_agent.t ADD COLUMN w INT"),
        (Access::DROP, "DROP TABLE weir_agent.t"),
        (Access::INDEX, "CREATE INDEX i ON weir_agent.t (v)"),
        (Access::CREATE_VIEW, "CREATE VIEW weir_agent.w AS SELECT * FROM weir_agent.other"),
        (Access::REFERENCES, "CREATE TABLE weir_agent.other2 (id INT, FOREIGN KEY (id) REFERENCES weir_agent.t (id))"),
        (Access::TRIGGER, "CREATE TRIGGER weir_agent.g BEFORE INSERT ON weir_agent.t FOR EACH ROW SET @x=1"),
    ];
    for (access, statement) in cases {
        let said = poor.run(statement).unwrap_err();
        let name = match access {
            Access::CREATE => "t2",
            Access::CREATE_VIEW => "w",
            _ => "t",
        };
        let ours = rules.check(user, "localhost", &Table { schema: "weir_agent", name }, access).unwrap_err();
        let weir_control::client::ClientError::Server(said) = said else { panic!("{statement}: {said}") };
        assert_eq!((said.code, said.state.as_str()), (Denied::CODE, Denied::STATE), "{statement}: {said}");
        assert_eq!(said.message, ours.message, "{statement}");
    }
}

/// Each kind of call over gRPC, as a caller on the loopback; and the stream's first word and what follows.
#[test]
fn calls_and_the_watch_stream() {
    let lone = Lone::start(47, "").unwrap();
    let tablet = beside(&lone, "app", "app");
    becomes(&tablet, Standing::Serving);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", tablet.address())).unwrap();
        let mut client = proto::tablet_client::TabletClient::new(channel.connect().await.unwrap());
        let mut words = client.watch(proto::TabletWatchRequest {}).await.unwrap().into_inner();
        let first = words.message().await.unwrap().unwrap();
        assert_eq!(
            (first.state(), first.role(), first.serving),
            (proto::TabletState::Serving, proto::TabletRole::Primary, true)
        );
        assert!(matches!(first.executed, Some(proto::tablet_word::Executed::ExecutedFull(_))));
        let facts = first.facts.unwrap();
        assert!(facts.version.starts_with(|digit: char| digit.is_ascii_digit()) && facts.server_uuid.len() == 36);

        let run = |statement: &str| proto::TabletExecuteRequest { statement: statement.to_string(), within_ms: 0 };
        for statement in SCHEMA {
            assert_eq!(client.execute(run(statement)).await.unwrap().into_inner().error, None);
        }
        let mut executed = GtidSet::new();
        while executed.count() < 2 {
            let word = words.message().await.unwrap().unwrap();
            if let Some(proto::tablet_word::Executed::ExecutedAdded(added)) = word.executed {
                executed.merge(&GtidSet::parse(added.as_bytes()).unwrap());
            }
        }
        let reply = client.execute(run("SELECT 1 AS a, NULL AS b UNION SELECT 2, 'x'")).await.unwrap().into_inner();
        assert_eq!(reply.columns, ["a", "b"]);
        let cells: Vec<Option<&str>> =
            reply.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.text.as_deref()).collect();
        assert_eq!(cells, [Some("1"), None, Some("2"), Some("x")]);
        let refused = client.execute(run("SELECT * FROM no.such")).await.unwrap().into_inner().error.unwrap();
        assert_eq!(refused.code, 1049);
        let late = proto::TabletExecuteRequest { statement: "DO SLEEP(5)".to_string(), within_ms: 50 };
        assert_eq!(client.execute(late).await.unwrap_err().code(), tonic::Code::DeadlineExceeded);

        let mut victim = lone.root().unwrap();
        let kill = proto::TabletKillRequest { connection_id: u64::from(victim.connection_id()), connection: false };
        let sleeping = std::thread::spawn(move || victim.cell("SELECT SLEEP(20)").unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !sleeping.is_finished() {
            assert!(Instant::now() < deadline, "KILL QUERY did not end it");
            assert_eq!(client.kill(kill).await.unwrap().into_inner().error, None);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(sleeping.join().unwrap().as_deref(), Some("1"), "interrupted");
        let nobody = proto::TabletKillRequest { connection_id: 4_000_000_000, connection: true };
        assert_eq!(client.kill(nobody).await.unwrap().into_inner().error.map(|error| error.code), Some(1094));
        let reply = client.reload_permissions(proto::TabletReloadRequest {}).await.unwrap().into_inner();
        assert_eq!(reply.mistakes, ["no file of permissions is configured"]);
    });
}

/// S66, S78: a gate behind tablets serves as one with backends of its own, and goes on when a tablet has gone.
#[test]
fn a_gate_behind_tablets_goes_on_without_them() {
    let (source, replica) = (Lone::start(48, "").unwrap(), Lone::start(49, "").unwrap());
    source.sql(&SCHEMA).unwrap();
    replicate(&replica, &source);
    let tablets = [&source, &replica].map(|lone| beside(lone, MONITOR.0, MONITOR.1));
    until(&tablets[1], "a replica", |word| word.is_serving() && word.executed.count() >= 2);
    let mut config = Config::local(&[], "nobody", "nothing");
    config.backends = tablets.iter().map(|tablet| BackendConfig::behind(&tablet.address().to_string())).collect();
    config.cores.truncate(1);
    let gate = gate::start(config).unwrap();
    let grpc = gate.addresses().grpc.unwrap().to_string();
    let shown = |what: &str, is_so: &dyn Fn(&weir_control::status::GateStatus) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = ctl::status(&grpc).unwrap();
            if is_so(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "not {what}: {:?}", status.backends);
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    shown("two backends by role", &|status| {
        let roles: Vec<&str> = status.backends.iter().map(|backend| backend.role.as_str()).collect();
        roles == ["primary", "replica"] && status.backends[1].lag_ms == Some(0)
    });
    let mut client = weir_control::client::Client::connect(&gate.client_options("app", "app").unwrap()).unwrap();
    client.run("INSERT INTO weir_agent.t VALUES (1, 10)").unwrap();
    assert_eq!(client.cell("SELECT v FROM weir_agent.t").unwrap().as_deref(), Some("10"));

    drop(tablets);
    shown("stale", &|status| {
        let [primary, replica] = status.backends.as_slice() else { return false };
        primary.role == "primary" && replica.role == "replica" && replica.lag_ms.is_none() && replica.health == "up"
    });
    client.run("UPDATE weir_agent.t SET v=11").unwrap();
    assert_eq!(client.cell("SELECT v FROM weir_agent.t").unwrap().as_deref(), Some("11"));
}

/// Replicas that the primary names are found, looked at and read from; one without `report_host` too, when it is alone.
#[test]
fn replicas_are_discovered_from_the_primary() {
    let (source, first) = (Lone::start(50, "").unwrap(), Lone::start(51, "").unwrap());
    let second = Lone::start(52, "report-host=\n").unwrap();
    source.sql(&SCHEMA).unwrap();
    // Exactly the documented rights.
    source
        .sql(&[
            "CREATE USER finder IDENTIFIED BY 'finder'",
            "GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO finder",
            "GRANT SELECT ON performance_schema.* TO finder",
        ])
        .unwrap();
    replicate(&first, &source);
    let mut config = Config::local(&[source.address()], "finder", "finder");
    config.monitor.discover = true;
    config.cores.truncate(1);
    let gate = gate::start(config).unwrap();
    let grpc = gate.addresses().grpc.unwrap().to_string();
    let backends = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let backends = ctl::status(&grpc).unwrap().backends;
            let replicas = backends.iter().filter(|backend| backend.role == "replica" && backend.lag_ms == Some(0));
            if replicas.count() == count - 1 {
                return backends.into_iter().map(|backend| backend.address).collect::<Vec<_>>();
            }
            assert!(Instant::now() < deadline, "{backends:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let at = |lone: &Lone| lone.server().address();
    assert_eq!(backends(2), [at(&source), at(&first)]);
    replicate(&second, &source);
    assert_eq!(backends(3), [at(&source), at(&first), at(&second)]);
}
