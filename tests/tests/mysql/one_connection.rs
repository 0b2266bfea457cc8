//! What sessions that share the one connection of a server must not learn of each other, or lose to each other, when nothing else runs:
//! each statement is on the connection that the other session has just left.

use std::sync::PoisonError;

use weir_control::client::value::{Date, Value};
use weir_control::client::{Client, Options};
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, place};

const SCHEMA: &str = "weir_one";

fn start(place: &Place) -> Gate {
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS weir_one",
        "CREATE DATABASE weir_one",
        "CREATE TABLE weir_one.numbers (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(60))",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let options = GateOptions { connections_per_backend: 1, cores_max: 1, socket: None };
    Gate::start_with(place, options, |_| {}).unwrap_or_else(|why| panic!("{why}"))
}

fn login(gate: &Gate) -> Client {
    let options = Options::tcp("127.0.0.1", gate.port()).user("app").password("app").schema(SCHEMA);
    Client::connect(&options).unwrap()
}

/// S20, S24: a connection that is cleaned for a variable that its session never set does not take the session's number along.
#[test]
fn a_number_outlives_the_cleaning_of_its_connection() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let (mut other, mut own) = (login(&gate), login(&gate));
    let steps = [
        ("SET @one = 1.5", "INSERT INTO numbers (v) VALUES ('x')", "SELECT COALESCE(@one, 1000), @one", "1"),
        ("SET @two = 1.5", "UPDATE numbers SET id = LAST_INSERT_ID(id + 6)", "SELECT COALESCE(@two, 1000), @two", "7"),
        ("SET @three = 1.5", "DO 1", "SELECT @three := 5", "7"),
    ];
    for (of_other, of_own, reads, number) in steps {
        other.run(of_other).unwrap();
        own.run(of_own).unwrap();
        let read = own.rows(format!("{reads} FROM numbers LIMIT 1")).unwrap();
        assert!(!read[0][0].as_ref().is_some_and(|cell| cell.contains('.')), "another's type: {read:?}");
        assert_eq!(own.cell("SELECT LAST_INSERT_ID()").unwrap().as_deref(), Some(number), "behind {reads}");
    }
}

/// S24, S25, S26: who is pinned begins on a connection without another's variables.
#[test]
fn who_is_pinned_meets_no_variable_of_another() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    for pins in
        ["SET @@transaction_read_only = 0", "SELECT GET_LOCK('weir_one', 1)", "CREATE TEMPORARY TABLE tmp (i INT)"]
    {
        let mut other = login(&gate);
        other.run("SET @left = 1.5").unwrap();
        assert!(other.rows("SELECT @left FROM numbers FOR UPDATE").unwrap().is_empty());
        let mut own = login(&gate);
        own.query(pins).unwrap().success().unwrap();
        let read = own.cell("SELECT COALESCE(@left, 1000)").unwrap();
        assert_eq!(read.as_deref(), Some("1000"), "behind {pins}");
        own.reset_connection().unwrap();
    }
}

/// S21: parameters that do not fit are refused by the server before it clears the conditions of the statement before, whosever it was.
#[test]
fn an_execute_that_is_refused_shows_no_condition_of_another() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let (mut other, mut own) = (login(&gate), login(&gate));
    let statement = own.prepare("SELECT id FROM numbers ORDER BY id LIMIT ? FOR UPDATE").unwrap();
    let date = Value::Date(Date { year: 2024, month: 2, day: 29, ..Date::default() });
    // As it is behind a statement of its own: its one error.
    own.run("DO 1").unwrap();
    let refused = own.execute(&statement, std::slice::from_ref(&date)).unwrap();
    assert_eq!(refused.error().map(|error| error.code), Some(1210));
    assert_eq!(own.rows("SHOW WARNINGS").unwrap().len(), 1);
    // And behind another's, which was warned of what it said.
    own.run("DO 1").unwrap();
    assert_eq!(other.run("DO CAST('a secret' AS DATE)").unwrap().warnings, 1);
    assert!(own.execute(&statement, &[date]).unwrap().error().is_some());
    let shown = own.rows("SHOW WARNINGS").unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0][1].as_deref(), Some("1210"), "{shown:?}");
}
