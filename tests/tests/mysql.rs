//! Weir on real MySQL: the same sessions directly and through the gate, logins, crowds, the client program, stopping.
//!
//! The cluster is started once, by the first test that needs it, and ends with the process.

use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::request::{self, Cursor, Execute, Types};
use weir_control::client::value::Value;
use weir_control::client::{Client, Options};
use weir_control::lab::child;
use weir_net::scan::ReplyKind;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::suite::{self, Mode};
use weir_tests::real::wire::{Account, Admission, Wire};

/// The oracle agrees with itself: what would differ here is a mistake in the corpus or the comparer, not the gate's.
#[test]
fn sessions_are_equal_on_mysql_itself() {
    suite::check(Mode::Direct);
}

/// S20 to S51: with connections for everybody.
#[test]
fn sessions_are_equal_through_a_gate() {
    suite::check(Mode::Plenty);
}

/// S20 to S51: with two connections to each backend, and noise between all steps.
#[test]
fn sessions_are_equal_under_the_worst_sharing() {
    suite::check(Mode::Worst);
}

/// S46, S47: the `mysql` program by TCP, TLS of both versions and a Unix socket says what it says directly.
#[test]
fn the_client_program_sees_no_difference() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let socket = std::env::temp_dir().join(format!("weir-tests-{}.sock", std::process::id()));
    let gate = start(place, 16, Some(&socket));
    place.admin().unwrap().sql("CREATE DATABASE IF NOT EXISTS weir_program").unwrap();
    let expected = client_program(place, &tcp(place.backends[0].port()));
    let ways = [
        tcp(gate.port()),
        [tcp(gate.port()), vec!["--ssl-mode=REQUIRED".to_owned()]].concat(),
        [tcp(gate.port()), vec!["--ssl-mode=REQUIRED".to_owned(), "--tls-version=TLSv1.2".to_owned()]].concat(),
        [tcp(gate.port()), vec!["--ssl-mode=DISABLED".to_owned(), "--get-server-public-key".to_owned()]].concat(),
        vec![format!("--socket={}", socket.display()), "--protocol=SOCKET".to_owned()],
    ];
    for way in ways {
        assert_eq!(client_program(place, &way), expected, "{way:?}");
    }
}

fn tcp(port: u16) -> Vec<String> {
    vec!["--host=127.0.0.1".to_owned(), "--protocol=TCP".to_owned(), format!("--port={port}")]
}

/// What the program prints for a script with tables, warnings, errors, other delimiters and several results.
fn client_program(place: &Place, way: &[String]) -> (String, String) {
    const SCRIPT: &str = "DROP DATABASE IF EXISTS weir_program; CREATE DATABASE weir_program; USE weir_program;\n\
        CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20));\n\
        INSERT INTO t (v) VALUES ('one'),(NULL),('drei \u{fc}');\n\
        SELECT * FROM t; SELECT * FROM t WHERE id > 100; SELECT 'x' + 1; SELECT * FROM no_such; UPDATE t SET v='y';\n\
        DELIMITER //\nCREATE PROCEDURE p () BEGIN SELECT 1; SELECT 2, 3; END//\nDELIMITER ;\n\
        CALL p(); BEGIN; DELETE FROM t; ROLLBACK; SELECT COUNT(*) FROM t; SELECT DATABASE(), USER();\n";
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--user=app", "--password=app", "--default-character-set=utf8mb4"]);
    command.args(["--table", "--column-type-info", "--show-warnings", "--force", "--connect-timeout=10"]).args(way);
    let output = child::output(command, SCRIPT.as_bytes(), limits::CLIENT_PROGRAM_WAIT).unwrap();
    assert!(!output.stdout.is_empty(), "{}", output.stderr);
    (output.stdout, output.stderr)
}

/// A thousand idle clients and fifty busy ones on eight connections: everybody is served, nobody sees another's rows,
/// and the server never sees more.
#[test]
fn a_crowd_shares_a_few_connections() {
    const BUDGET: usize = 8;
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP USER IF EXISTS weir_crowd",
        "CREATE USER weir_crowd IDENTIFIED BY 'crowd'",
        "GRANT ALL ON weir_crowd.* TO weir_crowd",
        "DROP DATABASE IF EXISTS weir_crowd",
        "CREATE DATABASE weir_crowd",
        "CREATE TABLE weir_crowd.t (who INT, n INT, PRIMARY KEY (who, n))",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, BUDGET, None);
    let account = Account {
        user: "weir_crowd".to_owned(),
        password: "crowd".to_owned(),
        schema: Some("weir_crowd".to_owned()),
        ..place.account()
    };
    let mut idle: Vec<Wire> = thread::scope(|scope| {
        let login = || (0..125).map(|_| Wire::login(&gate.address(), &account).unwrap()).collect::<Vec<_>>();
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(login)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    thread::scope(|scope| {
        for who in 0..50 {
            let (gate, account) = (&gate, &account);
            scope.spawn(move || be_busy(gate, account, who));
        }
        for _ in 0..20 {
            let seen =
                admin.sql("SELECT COUNT(*) FROM performance_schema.processlist WHERE user='weir_crowd'").unwrap();
            let seen: usize = first_cell(&seen.rows()).parse().unwrap();
            assert!(seen <= BUDGET, "{seen} connections");
            thread::sleep(limits::LOOK_PAUSE);
        }
    });
    admin.ensure_replicated().unwrap();
    for wire in idle.iter_mut().step_by(50) {
        assert_eq!(first_cell(&ask(wire, "SELECT COUNT(*) FROM t").unwrap().rows()), "500");
    }
}

fn be_busy(gate: &Gate, account: &Account, who: u32) {
    let mut wire = Wire::login(&gate.address(), account).unwrap();
    for n in 0..10 {
        ask(&mut wire, &format!("INSERT INTO t VALUES ({who}, {n})")).unwrap();
        let count = ask(&mut wire, &format!("SELECT COUNT(*), MAX(who) FROM t WHERE who={who}")).unwrap().rows();
        let expected = [(n + 1).to_string(), who.to_string()].map(|cell| Some(cell.into_bytes()));
        assert_eq!(count, [expected], "client {who}");
    }
}

/// S61, S63: replicas that apply nothing are not read from by those who have written, at once and without an error.
#[test]
fn a_replica_that_stands_still_shows_nobody_the_past() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_still",
        "CREATE DATABASE weir_still",
        "CREATE TABLE weir_still.t (id INT PRIMARY KEY, v INT)",
        "INSERT INTO weir_still.t VALUES (1, 0)",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, 16, None);
    let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
    admin.on_replicas("STOP REPLICA SQL_THREAD").unwrap();
    for n in 1..=20 {
        ask(&mut wire, "UPDATE weir_still.t SET v=v+1").unwrap();
        let seen = ask(&mut wire, "SELECT v FROM weir_still.t").map(|reply| first_cell(&reply.rows()));
        if seen != Ok(n.to_string()) {
            admin.on_replicas("START REPLICA SQL_THREAD").unwrap();
            panic!("update {n} is read as {seen:?}");
        }
    }
    admin.on_replicas("START REPLICA SQL_THREAD").unwrap();
    admin.ensure_replicated().unwrap();
}

/// S41, S73: a client sends the types of parameters once, with whatever execute comes first; also when that one is only told that its
/// transaction is lost.
#[test]
fn types_outlive_an_execute_that_was_refused() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_types",
        "CREATE DATABASE weir_types",
        "CREATE TABLE weir_types.t (id INT PRIMARY KEY)",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, 4, None);
    let account = place.account();
    let options = Options::tcp("127.0.0.1", gate.port()).user(&account.user).password(&account.password);
    let mut client = Client::connect(&options).unwrap();
    let prepare = b"SELECT ? + 1";
    let reply = client.command(weir_net::command::Command::StmtPrepare, prepare, ReplyKind::Prepare).unwrap();
    let statement_id = reply.success().unwrap().prepared.unwrap().ok.statement_id;
    let execute = |client: &mut Client, types: Types| {
        let (params, long_data) = (&[Value::Int(41)], &[]);
        let execute = Execute { statement_id, params, long_data, types, cursor: Cursor::None };
        client.send_payload(&request::execute(client.capabilities(), &execute)).unwrap();
        client.read_reply(ReplyKind::Execute, None).unwrap()
    };
    client.run("BEGIN").unwrap();
    client.run("INSERT INTO weir_types.t VALUES (1)").unwrap();
    let open =
        "SELECT IFNULL(MAX(trx_mysql_thread_id), 0) FROM information_schema.innodb_trx WHERE trx_rows_modified>0";
    let id = first_cell(&admin.sql(open).unwrap().rows());
    admin.sql(&format!("KILL {id}")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while first_cell(&admin.sql(open).unwrap().rows()) != "0" {
        let all = "SELECT trx_state, trx_mysql_thread_id, trx_query FROM information_schema.innodb_trx";
        assert!(Instant::now() < deadline, "{id} does not end: {:?}", admin.sql(all).unwrap().rows());
        // Asked more often, InnoDB shows an old copy.
        thread::sleep(Duration::from_millis(150));
    }
    // The gate hears of it before the client's next command.
    thread::sleep(Duration::from_millis(100));
    let lost = execute(&mut client, Types::Send);
    assert_eq!(lost.error().map(|error| error.code), Some(1213), "the transaction is lost");
    let reply = execute(&mut client, Types::AsBefore).success().unwrap();
    assert_eq!(reply.rows().unwrap().texts(), [[Some("42".to_owned())]]);
}

/// At a drain an open transaction may end, and new clients are turned away.
#[test]
fn a_drain_lets_transactions_end() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_drain",
        "CREATE DATABASE weir_drain",
        "CREATE TABLE weir_drain.t (id INT PRIMARY KEY)",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, 16, None);
    let (address, account) = (gate.address(), place.account());
    let mut wire = Wire::login(&address, &account).unwrap();
    ask(&mut wire, "BEGIN").unwrap();
    ask(&mut wire, "INSERT INTO weir_drain.t VALUES (1)").unwrap();
    gate.drain();
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Ok(Admission::In(..)) = Wire::open(&address, &account) {
        assert!(Instant::now() < deadline, "new clients are still let in");
        thread::sleep(limits::LOOK_PAUSE);
    }
    ask(&mut wire, "INSERT INTO weir_drain.t VALUES (2)").unwrap();
    ask(&mut wire, "COMMIT").unwrap();
    drop(wire);
    let began = Instant::now();
    gate.stop();
    assert!(began.elapsed() < Duration::from_secs(15), "the drain took {:?}", began.elapsed());
    let rows = admin.sql("SELECT COUNT(*) FROM weir_drain.t").unwrap().rows();
    assert_eq!(first_cell(&rows), "2");
}

fn start(place: &Place, connections_per_backend: usize, socket: Option<&Path>) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 2, socket };
    Gate::start(place, options).unwrap_or_else(|why| panic!("{why}"))
}
