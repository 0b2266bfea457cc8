//! MariaDB behind the gate: the same corpus as MySQL's, and what MariaDB alone has.
//!
//! Statements that MariaDB does not have give equal errors on both ways; what may differ otherwise stands in
//! tests/accepted-mariadb.txt.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::lab::mariadb::{self, Edition};
use weir_control::lab::{Cluster, ClusterOptions};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_tests::real::bind;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::place::{Admin, Place, Server, ask, first_cell, place_of};
use weir_tests::real::reply::{self, Kind, What};
use weir_tests::real::suite::{self, Mode};
use weir_tests::real::wire::{Account, Address, Admission, Wire, refusal};

/// 10.11; 11.8 in `mariadb_later.rs`.
fn edition() -> Edition {
    if env!("CARGO_CRATE_NAME") == "mariadb_later" { Edition::Later } else { Edition::Own }
}

fn place() -> &'static Place {
    place_of(Server::MariaDb(edition()))
}

/// S01 to S51 as far as MariaDB has them, with connections for everybody.
#[test]
fn the_corpus_with_plenty_of_connections() {
    place();
    suite::check(Mode::Plenty);
}

/// The same with two connections to each backend and noise between all steps.
#[test]
fn the_corpus_under_the_worst_sharing() {
    place();
    suite::check(Mode::Worst);
}

/// S49: nothing is offered that MariaDB lacks, and no extended capabilities of its own: `CLIENT_MYSQL` says so.
#[test]
fn the_greeting_promises_what_mariadb_can() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 2);
    let greeting = |port: u16| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut header = [0; 4];
        std::io::Read::read_exact(&mut stream, &mut header).unwrap();
        let mut payload = vec![0; usize::from(header[0])];
        std::io::Read::read_exact(&mut stream, &mut payload).unwrap();
        let greeting = Greeting::decode(&payload).unwrap();
        (greeting.version.to_vec(), greeting.charset, greeting.capabilities)
    };
    let (direct, shown) = (greeting(place.backends[0].port()), greeting(gate.port()));
    assert_eq!((&direct.0, direct.1), (&shown.0, shown.1));
    let begins = match edition() {
        Edition::Own => "5.5.5-10.11.",
        Edition::Later => "11.8.",
    };
    assert!(String::from_utf8_lossy(&shown.0).starts_with(begins), "{:?}", shown.0);
    let own = Capabilities::LONG_PASSWORD | Capabilities::SSL | Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION;
    let more = shown.2.minus(direct.2).minus(own);
    assert!(more.is_empty(), "offered beyond the server's: {more:?}");
    assert!(shown.2.contains(Capabilities::LONG_PASSWORD) && !direct.2.contains(Capabilities::LONG_PASSWORD));
}

/// S31, S47: accounts of MariaDB's own kinds log in, or hear why not.
#[test]
fn accounts_log_in_or_hear_why_not() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for statement in [
        "CREATE OR REPLACE USER weir_native IDENTIFIED VIA mysql_native_password USING PASSWORD('pw')",
        "CREATE OR REPLACE USER weir_empty",
        "CREATE OR REPLACE USER weir_socket IDENTIFIED VIA unix_socket",
        "CREATE OR REPLACE USER weir_two IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('pw')",
        "CREATE OR REPLACE USER weir_locked IDENTIFIED BY 'pw' ACCOUNT LOCK",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let gate = start(place, 2);
    let attempt = |address: &Address, user: &str, password: &str| {
        let account = Account { user: user.to_owned(), password: password.to_owned(), ..place.account() };
        match Wire::open(address, &account).unwrap() {
            Admission::In(mut wire, _) => Ok(first_cell(&ask(&mut wire, "SELECT CURRENT_USER()").unwrap().rows())),
            Admission::Refused(payload) => Err(refusal(&payload)),
        }
    };
    let check = |user: &str, password: &str, is_in: bool| {
        let direct = attempt(&place.primary(), user, password);
        assert_eq!(attempt(&gate.address(), user, password), direct, "{user} with {password:?}");
        assert_eq!(direct.is_ok(), is_in, "{direct:?}");
    };
    check("weir_native", "pw", true);
    check("weir_native", "no", false);
    check("weir_native", "", false);
    check("weir_empty", "", true);
    check("weir_empty", "pw", false);
    check("weir_two", "pw", true);
    check("weir_two", "no", false);
    check("weir_locked", "pw", false);
    check("weir_nobody", "pw", false);
    let refused = attempt(&gate.address(), "weir_socket", "pw").unwrap_err();
    assert!(refused.contains("weir_socket") || refused.contains("unix_socket"), "{refused}");
}

/// S22, S24: what travels with its session pins nobody, MariaDB's own variables included; nobody has another's warnings.
#[test]
fn sessions_with_state_share_one_connection() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 1);
    let mut wires: Vec<Wire> = (0..6).map(|_| login(place, &gate)).collect();
    for (n, wire) in wires.iter_mut().enumerate() {
        let sets = [
            format!(
                "SET NAMES utf8mb4, @literal={n}, sql_mode='ANSI', time_zone='+0{n}:00', max_statement_time={n}+10"
            ),
            format!("SELECT {n}*10, 'text {n}' INTO @computed, @text"),
            format!("SELECT LAST_INSERT_ID({n}+1)"),
        ];
        sets.iter().for_each(|sql| drop(ask(wire, sql).unwrap()));
    }
    for round in 0..3 {
        for (n, wire) in wires.iter_mut().enumerate() {
            let sql = "SELECT CONCAT_WS(' ', @literal, @computed, @text, @@time_zone, LAST_INSERT_ID(), @@max_statement_time)";
            let seen = first_cell(&ask(wire, sql).unwrap().rows());
            assert_eq!(seen, format!("{n} {} text {n} +0{n}:00 {} {}.000000", n * 10, n + 1, n + 10), "round {round}");
        }
    }
    ask(&mut wires[0], "SELECT 'secret' + 1").unwrap();
    for wire in &mut wires[1..] {
        ask(wire, "SELECT 2").unwrap();
        let shown = ask(wire, "SHOW WARNINGS").unwrap().rows();
        assert!(shown.is_empty(), "another session's: {shown:?}");
    }
    // A variable that MariaDB does not report pins.
    ask(&mut wires[1], "SET @@div_precision_increment=9").unwrap();
    let pins = ask(&mut wires[1], "SHOW WEIR PINS BY ACCOUNT").unwrap().rows();
    let held = pins.iter().filter(|row| row[2].as_deref() != Some(b"0")).count();
    assert_eq!(held, 1, "{pins:?}");
}

/// S41: -1 is the statement that was prepared last, which MariaDB's clients execute before they know its id.
#[test]
fn the_statement_prepared_last_is_called_minus_one() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 2);
    for address in [place.primary(), gate.address()] {
        let mut wire = Wire::login(&address, &place.account()).unwrap();
        let execute = bind::execute(u32::MAX, false, false, &[], wire.capabilities);
        let mut prepare_and_execute = |sql: &str| {
            wire.command(&[b"\x16", sql.as_bytes()].concat()).unwrap();
            wire.command(&execute).unwrap();
            let prepared = reply::read(&mut wire, Kind::Prepare, false, None).unwrap();
            let executed = reply::read(&mut wire, Kind::Query, true, None).unwrap();
            let error = |reply: &reply::Reply| reply.error().map(|payload| refusal(payload)[..4].to_owned());
            (error(&prepared), error(&executed), executed.all(What::BinaryRow).count())
        };
        assert_eq!(prepare_and_execute("SELECT 7"), (None, None, 1));
        assert_eq!(prepare_and_execute("SELECT 8 UNION SELECT 9"), (None, None, 2));
        assert_eq!(prepare_and_execute("SELEC"), (Some("1064".to_owned()), Some("1243".to_owned()), 0));
    }
}

/// S50: a client that vanishes gets its statement ended. Without `performance_schema`, by the server's age.
#[test]
fn who_vanishes_leaves_no_statement_behind() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    assert_eq!(first_cell(&admin.sql("SELECT @@performance_schema").unwrap().rows()), "0");
    let gate = start(place, 2);
    let mut sleeper = login(place, &gate);
    sleeper.command(&[&b"\x03"[..], b"DO SLEEP(60), 'weir_vanish'"].concat()).unwrap();
    let running = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP(60), _weir_vanish%'";
    let mut wait_for = |wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while first_cell(&admin.sql(running).unwrap().rows()) != wanted {
            assert!(Instant::now() < deadline, "it does not become {wanted}");
            thread::sleep(limits::LOOK_PAUSE);
        }
    };
    wait_for("1");
    drop(sleeper);
    wait_for("0");
}

/// S03, S25: a sequence's last value belongs to its connection.
#[test]
fn sequences_keep_their_connection() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    database(&mut admin, "weir_sequence", &["CREATE SEQUENCE weir_sequence.s"]);
    let gate = start(place, 2);
    let mut wires = [login(place, &gate), login(place, &gate)];
    let value = |wire: &mut Wire, sql: &str| first_cell(&ask(wire, sql).unwrap().rows());
    assert_eq!(value(&mut wires[0], "SELECT NEXT VALUE FOR weir_sequence.s"), "1");
    assert_eq!(value(&mut wires[1], "SELECT NEXTVAL(weir_sequence.s)"), "2");
    assert_eq!(value(&mut wires[0], "SELECT LASTVAL(weir_sequence.s)"), "1");
    assert_eq!(value(&mut wires[1], "SELECT PREVIOUS VALUE FOR weir_sequence.s"), "2");
}

/// S60 to S63: replicas serve reads, and nobody reads less than the level promises, by MariaDB's GTIDs.
#[test]
fn reads_are_as_fresh_as_their_level_promises() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    let table = ["CREATE TABLE weir_fresh.t (id INT PRIMARY KEY, v INT)", "INSERT INTO weir_fresh.t VALUES (1, 0)"];
    database(&mut admin, "weir_fresh", &table);
    let gate = start(place, 16);
    let selects = || {
        let of_one = |backend| {
            let mut wire = Wire::login(&Address::Tcp(backend), &place.account()).unwrap();
            let rows = ask(&mut wire, "SHOW GLOBAL STATUS LIKE 'Com_select'").unwrap().rows();
            String::from_utf8_lossy(rows[0][1].as_deref().unwrap()).parse::<u64>().unwrap()
        };
        place.backends[1..].iter().copied().map(of_one).sum::<u64>()
    };
    // Others than the gate's own looks, which are some hundred at most.
    let before = selects();
    let (mut writer, mut reader) = (login(place, &gate), login(place, &gate));
    ask(&mut reader, "SET read_after_write_consistency='GLOBAL'").unwrap();
    let read = |wire: &mut Wire| first_cell(&ask(wire, "SELECT v FROM weir_fresh.t").unwrap().rows());
    for n in 1..=150 {
        ask(&mut writer, &format!("UPDATE weir_fresh.t SET v={n}")).unwrap();
        assert_eq!((read(&mut writer), read(&mut reader)), (n.to_string(), n.to_string()));
        (0..10).for_each(|_| drop(read(&mut writer)));
    }
    let served = selects() - before;
    assert!(served > 800, "replicas served {served} of 1800 reads");
    // Replicas that stand still: EVENTUAL shows the past, so the test can fail; the other levels do not.
    admin.on_replicas("STOP SLAVE").unwrap();
    admin.on_replicas("CHANGE MASTER TO MASTER_DELAY=3").unwrap();
    admin.on_replicas("START SLAVE").unwrap();
    let outcome = late(&mut writer, &mut reader, &mut login(place, &gate));
    admin.on_replicas("STOP SLAVE").unwrap();
    admin.on_replicas("CHANGE MASTER TO MASTER_DELAY=0").unwrap();
    admin.on_replicas("START SLAVE").unwrap();
    admin.ensure_replicated().unwrap();
    outcome.unwrap();
}

/// What is read of replicas that are late by three seconds.
fn late(writer: &mut Wire, global: &mut Wire, eventual: &mut Wire) -> Result<(), String> {
    ask(eventual, "SET read_after_write_consistency='EVENTUAL'")?;
    let mut stale = 0;
    for n in 1..=60 {
        let returning = format!("INSERT INTO weir_fresh.t VALUES ({n}+1, {n}) RETURNING id");
        ask(writer, &returning)?;
        let count = first_cell(&ask(writer, "SELECT COUNT(*) FROM weir_fresh.t")?.rows());
        if count != (n + 1).to_string() {
            return Err(format!("after {returning} its session counts {count}"));
        }
        ask(writer, &format!("UPDATE weir_fresh.t SET v={n}+1000 WHERE id=1"))?;
        let one =
            |wire: &mut Wire| ask(wire, "SELECT v FROM weir_fresh.t WHERE id=1").map(|reply| first_cell(&reply.rows()));
        let (own, others, any) = (one(writer)?, one(global)?, one(eventual)?);
        let now = (n + 1000).to_string();
        if own != now || others != now {
            return Err(format!("written {now}, read {own} by its session and {others} at GLOBAL"));
        }
        stale += u32::from(any != now);
    }
    if stale == 0 { Err("EVENTUAL never showed the past: no replica was read".to_owned()) } else { Ok(()) }
}

/// S75 without controllers: who moves the primary's role with `read_only` and `CHANGE MASTER` is followed.
#[test]
fn a_role_that_others_move_is_followed() {
    let mariadb = mariadb::find(edition(), &mut |_| {}).unwrap();
    let options = ClusterOptions { replicas: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start(&mariadb, options, &mut |_| {}).unwrap();
    cluster.sql(0, "CREATE DATABASE moved; CREATE TABLE moved.t (id INT PRIMARY KEY)").unwrap();
    cluster.ensure_all_caught_up().unwrap();
    let gate =
        Gate::start_at(&cluster.backends(), GateOptions { connections_per_backend: 4, cores_max: 1, socket: None });
    let gate = gate.unwrap_or_else(|why| panic!("{why}"));
    let mut wire = login(place(), &gate);
    ask(&mut wire, "INSERT INTO moved.t VALUES (1)").unwrap();
    assert_eq!(first_cell(&ask(&mut wire, "SELECT @@server_id").unwrap().rows()), "1");
    // As a person would do it: no new writes, all applied, the other opened, the former one its replica.
    cluster.sql(0, "SET GLOBAL read_only=ON").unwrap();
    cluster.ensure_all_caught_up().unwrap();
    cluster.sql(1, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=OFF").unwrap();
    // Its own writes are not in gtid_slave_pos, which a replica's receiver begins at.
    cluster.sql(0, "SET GLOBAL gtid_slave_pos=@@GLOBAL.gtid_binlog_pos").unwrap();
    cluster.replicate(0, 1).unwrap();
    ask(&mut wire, "INSERT INTO moved.t VALUES (2)").unwrap();
    assert_eq!(first_cell(&ask(&mut wire, "SELECT COUNT(*) FROM moved.t").unwrap().rows()), "2");
    assert_eq!(first_cell(&ask(&mut wire, "SELECT @@server_id").unwrap().rows()), "2");
    let deadline = Instant::now() + Duration::from_secs(10);
    let count = || cluster.sql(0, "SELECT COUNT(*) FROM moved.t").unwrap().concat().concat();
    while count() != "2" {
        assert!(Instant::now() < deadline, "the former primary does not follow");
        thread::sleep(Duration::from_millis(20));
    }
}

fn database(admin: &mut Admin, name: &str, statements: &[&str]) {
    admin.sql(&format!("DROP DATABASE IF EXISTS {name}")).unwrap();
    admin.sql(&format!("CREATE DATABASE {name}")).unwrap();
    statements.iter().for_each(|statement| drop(admin.sql(statement).unwrap()));
    admin.ensure_replicated().unwrap();
}

fn login(place: &Place, gate: &Gate) -> Wire {
    Wire::login(&gate.address(), &place.account()).unwrap()
}

fn start(place: &Place, connections_per_backend: usize) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 1, socket: None };
    Gate::start(place, options).unwrap_or_else(|why| panic!("{why}"))
}
