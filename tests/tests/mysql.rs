//! Weir on real MySQL: the same sessions directly and through the gate, logins, crowds, the client program, stopping.
//!
//! The cluster is started once, by the first test that needs it, and ends with the process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::request::{self, Cursor, Execute, Types};
use weir_control::client::value::Value;
use weir_control::client::{Client, Options};
use weir_control::config::Config;
use weir_control::lab::{child, ports};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::scan::ReplyKind;
use weir_tests::real::bind::{self, Param};
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::place::{Admin, Place, ask, first_cell, place};
use weir_tests::real::reply::{self, Kind};
use weir_tests::real::suite::{self, Mode};
use weir_tests::real::wire::{Account, Admission, Wire, refusal};

#[path = "mysql/admin_port.rs"]
mod admin_port;
#[path = "mysql/compression.rs"]
mod compression;
#[path = "mysql/expired.rs"]
mod expired;
#[path = "mysql/filters.rs"]
mod filters;
#[path = "mysql/forms.rs"]
mod forms;
#[path = "mysql/limits_follow.rs"]
mod limits_follow;
#[path = "mysql/listeners.rs"]
mod listeners;
#[path = "mysql/mirrors.rs"]
mod mirrors;
#[path = "mysql/mute.rs"]
mod mute;
#[path = "mysql/one_connection.rs"]
mod one_connection;
#[path = "mysql/operators.rs"]
mod operators;
#[path = "mysql/orphans.rs"]
mod orphans;
#[path = "mysql/overload.rs"]
mod overload;

#[path = "mysql/prepared_admin.rs"]
mod prepared_admin;
#[path = "mysql/reload.rs"]
mod reload;

#[path = "mysql/routines.rs"]
mod routines;

#[path = "mysql/secure.rs"]
mod secure;

#[path = "mysql/traces.rs"]
mod traces;

#[path = "mysql/upgrade.rs"]
mod upgrade;

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

/// S49: what a client sees before its login is what the server says: the version, the character set; nothing more is offered.
#[test]
fn the_greeting_is_the_servers() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 4, None);
    let greeting = |port: u16| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(limits::WIRE_WAIT)).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[0])];
        stream.read_exact(&mut payload).unwrap();
        let greeting = Greeting::decode(&payload).unwrap();
        (greeting.version.to_vec(), greeting.charset, greeting.plugin.to_vec(), greeting.capabilities)
    };
    let (direct, shown) = (greeting(place.backends[0].port()), greeting(gate.port()));
    assert_eq!((&direct.0, direct.1, &direct.2), (&shown.0, shown.1, &shown.2));
    let more = shown.3.minus(direct.3);
    assert!(more == Capabilities::default(), "offered beyond the server's: {more:?}");
}

/// S50: a client that vanishes in the middle of a query has it killed; one that vanishes in a transaction has it rolled back.
#[test]
fn who_vanishes_leaves_nothing_running() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_vanish",
        "CREATE DATABASE weir_vanish",
        "CREATE TABLE weir_vanish.t (id INT PRIMARY KEY)",
        "INSERT INTO weir_vanish.t VALUES (1)",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, 4, None);
    let query = |sql: &str| [&b"\x03"[..], sql.as_bytes()].concat();
    let mut sleeper = Wire::login(&gate.address(), &place.account()).unwrap();
    sleeper.command(&query("SELECT SLEEP(60), 'weir_vanish' FROM weir_vanish.t FOR UPDATE")).unwrap();
    let running =
        "SELECT COUNT(*) FROM performance_schema.processlist WHERE info LIKE 'SELECT SLEEP(60), _weir_vanish%'";
    let wait_for = |admin: &mut Admin, sql: &str, wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while first_cell(&admin.sql(sql).unwrap().rows()) != wanted {
            assert!(Instant::now() < deadline, "{sql} does not become {wanted}");
            thread::sleep(limits::LOOK_PAUSE);
        }
    };
    wait_for(&mut admin, running, "1");
    drop(sleeper);
    wait_for(&mut admin, running, "0");
    let mut writer = Wire::login(&gate.address(), &place.account()).unwrap();
    ask(&mut writer, "BEGIN").unwrap();
    ask(&mut writer, "DELETE FROM weir_vanish.t").unwrap();
    drop(writer);
    admin.sql("SET innodb_lock_wait_timeout=10").unwrap();
    assert_eq!(first_cell(&admin.sql("SELECT id FROM weir_vanish.t FOR UPDATE").unwrap().rows()), "1");
}

/// S30: programs kill by the id that they were given, the statement or the client, at whichever gate they are (here: without controllers,
/// by `peers`); a late one is told that there is no such id, and hits nobody, also not who uses the connection now.
#[test]
fn programs_kill_by_the_ids_of_their_gates() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let (own, other) = two_gates(place);
    let mut bystander = Wire::login(&other.address(), &place.account()).unwrap();
    let kill = |gate: &Gate, what: &str, id: &str| {
        let mut command = program(place, &tcp(gate.port()));
        command.args(["-e", &format!("{what} {id}")]);
        child::output(command, b"", limits::CLIENT_PROGRAM_WAIT).unwrap().stderr
    };
    for (what, said) in [("KILL QUERY", "1\nlives"), ("KILL", "ERROR 2013")] {
        for at in [&own, &other] {
            let mut victim = Sleeper::start(place, &own);
            assert_eq!(kill(at, what, &victim.id), "", "{what}");
            let all = victim.ended();
            assert!(all.contains(said), "{what}: {all}");
            let mut next = Wire::login(&own.address(), &place.account()).unwrap();
            let stderr = kill(at, what, &victim.id);
            assert!(stderr.contains("ERROR 1094 (HY000)") && stderr.contains(&victim.id), "{what}, late: {stderr}");
            assert_eq!(first_cell(&ask(&mut next, "SELECT 'well'").unwrap().rows()), "well");
        }
    }
    assert_eq!(first_cell(&ask(&mut bystander, "SELECT 'well'").unwrap().rows()), "well");
    // A gate that is not there any more: its client may have been cut off, or not.
    let id = first_cell(&ask(&mut bystander, "SELECT CONNECTION_ID()").unwrap().rows());
    drop((bystander, other));
    let stderr = kill(&own, "KILL", &id);
    assert!(stderr.contains("ERROR 1105 (HY000)") && stderr.contains("does not answer"), "{stderr}");
}

/// Two gates that know each other: the second one takes another tag than the first.
fn two_gates(place: &Place) -> (Gate, Gate) {
    let ports = ports::free(2).unwrap();
    let at = |port: usize| format!("127.0.0.1:{}", ports[port].number());
    let start = |mine: usize| {
        let options = GateOptions { connections_per_backend: 4, cores_max: 2, socket: None };
        let more = |config: &mut Config| {
            (config.grpc_listen, config.peers) = (Some(at(mine).parse().unwrap()), vec![at(1 - mine)]);
        };
        Gate::start_with(place, options, more).unwrap_or_else(|why| panic!("{why}"))
    };
    let gates = (start(0), start(1));
    let tag = |gate: &Gate| {
        let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
        first_cell(&ask(&mut wire, "SELECT CONNECTION_ID() >> 24").unwrap().rows())
    };
    assert_ne!(tag(&gates.0), tag(&gates.1));
    gates
}

fn program(place: &Place, way: &[String]) -> Command {
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--user=app", "--get-server-public-key", "-N", "-n"]).args(way);
    command.env("MYSQL_PWD", "app");
    command
}

/// The `mysql` program in a long statement.
struct Sleeper {
    child: std::process::Child,
    stdout: BufReader<std::process::ChildStdout>,
    id: String,
}

impl Sleeper {
    fn start(place: &Place, gate: &Gate) -> Sleeper {
        let mut command = program(place, &tcp(gate.port()));
        command.args(["-e", "SELECT CONNECTION_ID(); SELECT SLEEP(30); SELECT 'lives'"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut id = String::new();
        stdout.read_line(&mut id).unwrap();
        Sleeper { child, stdout, id: id.trim().to_owned() }
    }

    /// What it said to its end. It ends by itself when nobody kills it, and then says something else.
    fn ended(&mut self) -> String {
        let mut all = String::new();
        self.stdout.read_to_string(&mut all).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut all).unwrap();
        self.child.wait().unwrap();
        all
    }
}

/// S23, S24: what travels with its session pins nobody, on one connection among many sessions; what pins is counted by account.
#[test]
fn sessions_with_state_share_one_connection() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let options = GateOptions { connections_per_backend: 1, cores_max: 1, socket: None };
    let gate = Gate::start(place, options).unwrap_or_else(|why| panic!("{why}"));
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::login(&gate.address(), &place.account()).unwrap()).collect();
    for (n, wire) in wires.iter_mut().enumerate() {
        let sets = [
            format!("SET NAMES utf8mb4, @literal={n}, sql_mode='ANSI', time_zone='+0{n}:00'"),
            format!("SELECT {n}*10, 'text {n}' INTO @computed, @text"),
            format!("SELECT LAST_INSERT_ID({n}+1)"),
            format!("PREPARE of_a_text FROM 'SELECT {n}'"),
            format!("SET @sql=CONCAT('SELECT {n}', '+1')"),
            "PREPARE of_a_variable FROM @sql".to_owned(),
        ];
        sets.iter().for_each(|sql| drop(ask(wire, sql).unwrap()));
    }
    for round in 0..3 {
        for (n, wire) in wires.iter_mut().enumerate() {
            let sql = "SELECT CONCAT_WS(' ', @literal, @computed, @text, @@time_zone, LAST_INSERT_ID())";
            let seen = first_cell(&ask(wire, sql).unwrap().rows());
            assert_eq!(seen, format!("{n} {} text {n} +0{n}:00 {}", n * 10, n + 1), "round {round}");
            assert_eq!(first_cell(&ask(wire, "EXECUTE of_a_text").unwrap().rows()), n.to_string());
            assert_eq!(first_cell(&ask(wire, "EXECUTE of_a_variable").unwrap().rows()), (n + 1).to_string());
        }
    }
    let report = |wire: &mut Wire| {
        let rows = ask(wire, "SHOW WEIR PINS BY ACCOUNT").unwrap().rows();
        let text = |cell: &Option<Vec<u8>>| String::from_utf8_lossy(cell.as_deref().unwrap_or_default()).into_owned();
        rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let is_held = |row: &Vec<String>| row[2] != "0";
    let held: Vec<_> = report(&mut wires[0]).into_iter().filter(is_held).collect();
    assert!(held.is_empty(), "these are still pinned: {held:?}");
    ask(&mut wires[1], "SELECT GET_LOCK('weir_shared', 1)").unwrap();
    let held: Vec<_> = report(&mut wires[1]).into_iter().filter(is_held).collect();
    assert_eq!(held, [["app", "GET_LOCK", "1", "1"]]);
    ask(&mut wires[1], "DO RELEASE_LOCK('weir_shared')").unwrap();
    assert_eq!(first_cell(&ask(&mut wires[2], "SELECT @literal").unwrap().rows()), "2");
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

/// S41, S44: an execute that streams has its types far behind its first bytes.
#[test]
fn executes_of_many_parameters_are_sent() {
    const PARAMS: usize = 60_000;
    const PAUSE: Duration = Duration::from_millis(200);
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 16, None);
    let params: Vec<Param> = (0..PARAMS).map(|n| Param::read(&format!("i32:{n}")).unwrap()).collect();
    for address in [place.primary(), gate.address()] {
        let mut wire = Wire::login(&address, &place.account()).unwrap();
        let mut prepare = vec![weir_net::command::Command::StmtPrepare as u8];
        prepare.extend_from_slice(format!("SELECT 59999 IN ({})", vec!["?"; PARAMS].join(",")).as_bytes());
        wire.command(&prepare).unwrap();
        let (id, count) = reply::read(&mut wire, Kind::Prepare, false, None).unwrap().prepared().unwrap();
        assert_eq!(usize::from(count), PARAMS);
        for keeps_types in [false, true] {
            let mut bytes = Vec::new();
            weir_net::packet::put(&mut bytes, 0, &bind::execute(id, false, keeps_types, &params, wire.capabilities));
            // More than the beginning of a streamed command, and less than the types.
            let (first, rest) = bytes.split_at(40_000);
            wire.send_raw(first).unwrap();
            thread::sleep(PAUSE);
            wire.send_raw(rest).unwrap();
            let reply = reply::read(&mut wire, Kind::Query, true, None).unwrap();
            assert!(reply.error().is_none(), "{address:?}: {:?}", reply.error().map(refusal));
            assert_eq!(reply.all(reply::What::ColumnCount).count(), 1, "a result");
        }
    }
}

fn start(place: &Place, connections_per_backend: usize, socket: Option<&Path>) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 2, socket };
    Gate::start(place, options).unwrap_or_else(|why| panic!("{why}"))
}
