//! Stored routines that the operator vouches for (`reading_routines`, `modifying_routines`) keep no connection, and are not believed
//! where the server says otherwise.

use std::sync::PoisonError;

use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::wire::{Account, Wire};

const SCHEMA: &str = "weir_routines";

fn schema(place: &Place) {
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_routines",
        "CREATE DATABASE weir_routines",
        "CREATE TABLE weir_routines.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
        "CREATE FUNCTION weir_routines.total (x INT) RETURNS INT READS SQL DATA RETURN x + (SELECT COUNT(*) FROM t)",
        "CREATE FUNCTION weir_routines.served () RETURNS INT READS SQL DATA RETURN @@server_id",
        "CREATE PROCEDURE weir_routines.report (x INT) BEGIN SELECT x; SELECT @@server_id; END",
        "CREATE PROCEDURE weir_routines.record (x INT) BEGIN INSERT INTO t (v) VALUES (x); END",
        "CREATE PROCEDURE weir_routines.liar (x INT) BEGIN SET @lie = x; END",
        "CREATE FUNCTION weir_routines.lying (x INT) RETURNS INT NO SQL BEGIN SET @lie = x; RETURN x; END",
        "CREATE PROCEDURE weir_routines.stranger () SELECT 1",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
}

/// One core and one connection to each server: who keeps it, keeps everybody.
fn start(place: &Place) -> Gate {
    let options = GateOptions { connections_per_backend: 1, cores_max: 1, socket: None };
    Gate::start_with(place, options, |config| {
        config.settings.reading_routines = "total, served, REPORT".to_owned();
        config.settings.modifying_routines = "record,l*".to_owned();
        config.settings.wait_ms_max = 400;
    })
    .unwrap_or_else(|why| panic!("{why}"))
}

fn login(place: &Place, gate: &Gate) -> Wire {
    let account = Account { schema: Some(SCHEMA.to_owned()), ..place.account() };
    Wire::login(&gate.address(), &account).unwrap()
}

fn cell(wire: &mut Wire, statement: &str) -> String {
    first_cell(&ask(wire, statement).unwrap().rows())
}

/// What pins anybody, as it is shown.
fn pins(wire: &mut Wire) -> String {
    let rows = ask(wire, "SHOW WEIR PINS").unwrap().rows();
    let words = |row: &Vec<Option<Vec<u8>>>| {
        let cells = row.iter().flatten().map(|cell| String::from_utf8_lossy(cell).into_owned());
        cells.collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// S03, S24: two clients call by turns what one connection could not serve if a call kept it.
#[test]
fn routines_that_are_vouched_for_keep_no_connection() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    schema(place);
    let gate = start(place);
    let (mut one, mut other) = (login(place, &gate), login(place, &gate));
    let primary = cell(&mut one, "SELECT @@server_id FROM t FOR UPDATE");
    assert_eq!(primary, "", "the table is empty, and the primary knows");
    let primary = first_cell(&place.admin().unwrap().sql("SELECT @@server_id").unwrap().rows());
    for n in 1..=3 {
        ask(&mut one, &format!("CALL record({n})")).unwrap();
        assert_eq!(pins(&mut one), "");
        assert_eq!(cell(&mut one, "SELECT total(10)"), (10 + 2 * n - 1).to_string(), "it reads what it wrote");
        ask(&mut other, &format!("CALL record({n})")).unwrap();
        assert_eq!(cell(&mut other, "SELECT total(0)"), (2 * n).to_string());
    }
    assert_ne!(cell(&mut one, "SELECT served()"), primary, "a reading function runs on a replica");
    let reply = ask(&mut one, "CALL report(7)").unwrap();
    let shown: Vec<String> = reply.rows().iter().map(|row| first_cell(std::slice::from_ref(row))).collect();
    assert!(shown.contains(&"7".to_owned()) && !shown.contains(&primary), "a replica's: {shown:?}");
    assert_eq!(pins(&mut one), "");

    // What nobody vouches for keeps the one connection, until its session is reset.
    ask(&mut one, "CALL stranger()").unwrap();
    let refused = ask(&mut other, "CALL record(1)").unwrap_err();
    assert!(refused.contains("1040"), "{refused}");
    drop(one);
    ask(&mut other, "CALL record(1)").unwrap();
}

/// What leaves a user variable behind, though the operator says that it does not, keeps its connection after all: nobody else reads it.
#[test]
fn a_routine_that_leaves_something_is_not_believed() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    schema(place);
    let gate = start(place);
    for lie in ["CALL liar(5)", "SELECT lying(5)"] {
        let (mut one, mut other) = (login(place, &gate), login(place, &gate));
        ask(&mut one, lie).unwrap();
        assert_eq!(cell(&mut one, "SELECT @lie"), "5", "{lie}");
        assert!(pins(&mut one).contains("a user variable"), "{lie}");
        let refused = ask(&mut other, "SELECT @lie").unwrap_err();
        assert!(refused.contains("1040"), "{lie}: {refused}");
        drop(one);
        assert_eq!(cell(&mut other, "SELECT @lie"), "", "{lie}");
    }
}
