//! S31: an account whose password has expired gets in if its client can handle that, and may do one thing: give itself another.

use std::sync::PoisonError;

use weir_control::config::Config;
use weir_core::snapshot::Consistency;
use weir_net::flags::Capabilities;
use weir_tests::real::bind;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Admin, Place, ask, first_cell, place};
use weir_tests::real::reply::{self, Kind};
use weir_tests::real::wire::{Account, Address, Admission, Wire, refusal};

const USER: &str = "weir_expired";
const PING: &[u8] = b"\x0e";
const RESET: &[u8] = b"\x1f";

/// Its password is `old`, and has expired.
fn expire(admin: &mut Admin) {
    for statement in [
        "CREATE DATABASE IF NOT EXISTS weir_expired",
        "CREATE TABLE IF NOT EXISTS weir_expired.t (id INT PRIMARY KEY)",
        "TRUNCATE weir_expired.t",
        "DROP USER IF EXISTS weir_expired",
        "CREATE USER weir_expired IDENTIFIED BY 'old' PASSWORD EXPIRE",
        "GRANT ALL ON weir_expired.* TO weir_expired",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
}

fn account(place: &Place, password: &str, handles: bool) -> Account {
    let base = place.account();
    let can = Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS;
    Account {
        user: USER.to_owned(),
        password: password.to_owned(),
        schema: Some(USER.to_owned()),
        capabilities: if handles { base.capabilities | can } else { base.capabilities.minus(can) },
        ..base
    }
}

/// What a whole session sees, line by line.
fn story(place: &Place, address: &Address, is_reset: bool) -> Vec<String> {
    let mut admin = place.admin().unwrap();
    expire(&mut admin);
    let mut told = Vec::new();
    let tell = |account: &Account| match Wire::open(address, account).unwrap() {
        Admission::In(..) => "in".to_owned(),
        Admission::Refused(payload) => refusal(&payload),
    };
    told.push(tell(&account(place, "old", false)));
    told.push(tell(&account(place, "wrong", true)));
    let mut wire = Wire::login(address, &account(place, "old", true)).unwrap();
    let mut command = |bytes: &[u8]| {
        wire.command(bytes).unwrap();
        let kind = if bytes[0] == 3 { Kind::Query } else { Kind::Simple };
        let reply = reply::read(&mut wire, kind, false, None).unwrap();
        match reply.error() {
            Some(error) => told.push(refusal(error)),
            None => told.push(format!("{:?}", reply.rows())),
        }
    };
    let query = |sql: &str| [b"\x03", sql.as_bytes()].concat();
    if is_reset {
        command(RESET);
    }
    for sql in ["SELECT 1", "SET NAMES utf8mb4", "INSERT INTO t VALUES (1)", "SHOW WARNINGS", "BEGIN"] {
        command(&query(sql));
    }
    command(PING);
    for sql in [
        "ALTER USER USER() IDENTIFIED BY ''",
        "ALTER USER USER() IDENTIFIED BY 'new'",
        "SELECT DATABASE(), CURRENT_USER()",
        "INSERT INTO t VALUES (1)",
        "SET sql_mode='ANSI_QUOTES', @a=5",
        "SELECT @a, 1 AS \"one\"",
        "SELECT 'a' + 1",
        "SHOW WARNINGS",
        "BEGIN",
        "INSERT INTO t VALUES (2)",
        "COMMIT",
        "SELECT id FROM t ORDER BY id",
    ] {
        command(&query(sql));
    }
    told.push(tell(&account(place, "old", true)));
    told.push(tell(&account(place, "new", false)));
    told
}

fn start(place: &Place, connections_per_backend: usize) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 1, socket: None };
    let level = |config: &mut Config| config.settings.consistency = Consistency::Instance;
    Gate::start_with(place, options, level).unwrap_or_else(|why| panic!("{why}"))
}

/// The same words as on MySQL, before the password is changed and after it, with two connections to each server.
#[test]
fn an_expired_password_is_changed_and_the_session_goes_on() {
    let place = place();
    let _others = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 2);
    for is_reset in [false, true] {
        let direct = story(place, &place.primary(), is_reset);
        assert!(direct[2 + usize::from(is_reset)].contains("1820"), "{direct:#?}");
        assert_eq!(story(place, &gate.address(), is_reset), direct, "reset: {is_reset}");
    }
    // The connection that was for a new password alone is nobody else's.
    let mut wire = Wire::login(&gate.address(), &account(place, "new", true)).unwrap();
    assert_eq!(first_cell(&ask(&mut wire, "SELECT @@sql_mode LIKE '%ANSI%'").unwrap().rows()), "0");
}

/// S62: what such a session writes later, others at `INSTANCE` read at once: its connection has the gate's trackers again.
#[test]
fn what_is_written_behind_a_new_password_is_read_by_others() {
    let place = place();
    let _others = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    expire(&mut admin);
    let gate = start(place, 8);
    let mut writer = Wire::login(&gate.address(), &account(place, "old", true)).unwrap();
    ask(&mut writer, "ALTER USER USER() IDENTIFIED BY 'new'").unwrap();
    let mut reader = Wire::login(&gate.address(), &place.account()).unwrap();
    admin.on_replicas("STOP REPLICA SQL_THREAD").unwrap();
    let outcome = (1..=20).try_for_each(|n| {
        ask(&mut writer, &format!("INSERT INTO t VALUES ({n})"))?;
        let count = first_cell(&ask(&mut reader, "SELECT COUNT(*) FROM weir_expired.t")?.rows());
        if count == n.to_string() { Ok(()) } else { Err(format!("{n} written, {count} read")) }
    });
    admin.on_replicas("START REPLICA SQL_THREAD").unwrap();
    outcome.unwrap();
    let pins = ask(&mut writer, "SHOW WEIR PINS").unwrap().rows().concat();
    let pins: Vec<_> = pins.iter().flatten().map(|cell| String::from_utf8_lossy(cell)).collect();
    assert!(pins.iter().any(|cell| cell.contains("an expired password")), "{pins:?}");
}

/// Under a session that is logged in the password expires, and its connection is another's by then: it is told so, also of what it has
/// prepared, and goes on where it changes it.
#[test]
fn a_password_expires_under_a_session() {
    let place = place();
    let _others = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    expire(&mut admin);
    admin.sql("ALTER USER weir_expired IDENTIFIED BY 'old' PASSWORD EXPIRE NEVER").unwrap();
    admin.ensure_replicated().unwrap();
    let gate = start(place, 1);
    let mut wire = Wire::login(&gate.address(), &account(place, "old", true)).unwrap();
    wire.command(b"\x16INSERT INTO t VALUES (1 + (SELECT COUNT(*) FROM t AS other))").unwrap();
    let (id, _) = reply::read(&mut wire, Kind::Prepare, false, None).unwrap().prepared().unwrap();
    let execute = bind::execute(id, false, false, &[], wire.capabilities);
    let run = |wire: &mut Wire| {
        wire.command(&execute).unwrap();
        let reply = reply::read(wire, Kind::Query, true, None).unwrap();
        reply.error().map(refusal)
    };
    assert_eq!(run(&mut wire), None);
    admin.sql("ALTER USER weir_expired PASSWORD EXPIRE").unwrap();
    admin.ensure_replicated().unwrap();
    let mut other = Wire::login(&gate.address(), &place.account()).unwrap();
    ask(&mut other, "INSERT INTO weir_expired.t VALUES (100)").unwrap();
    let why = run(&mut wire).expect("it has expired");
    assert!(why.starts_with("1820 "), "{why}");
    let why = ask(&mut wire, "INSERT INTO t VALUES (50)").err().unwrap();
    assert!(why.contains("1820 "), "{why}");
    ask(&mut wire, "ALTER USER USER() IDENTIFIED BY 'new'").unwrap();
    assert_eq!(run(&mut wire), None);
    assert_eq!(first_cell(&ask(&mut wire, "SELECT COUNT(*) FROM t").unwrap().rows()), "3");
}
