//! The admin port as operators use it: with the `mysql` program, while the servers answer and while they don't.

use std::process::Command;
use std::sync::PoisonError;

use weir_control::lab::child;
use weir_net::secret::Secret;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::wire::Wire;

use super::tcp;

/// What the program prints, and its errors.
fn said(place: &Place, port: u16, password: &str, statement: &str) -> (String, String) {
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--user=weir", "-N", "--batch", "--force", "--show-warnings"]).args(tcp(port));
    command.args(["-e", statement]).env("MYSQL_PWD", password);
    let output = child::output(command, b"", limits::CLIENT_PROGRAM_WAIT).unwrap();
    (output.stdout, output.stderr)
}

/// Tables, kills of any user's clients, settings for all, and what is refused.
#[test]
fn operators_come_in_by_a_door_of_their_own() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let options = GateOptions { connections_per_backend: 8, cores_max: 2, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.admin_sql.listen = Some("127.0.0.1:0".parse().expect("an address"));
        config.admin_sql.password = Secret::from(&b"door"[..]);
    })
    .unwrap_or_else(|why| panic!("{why}"));
    let port = gate.admin_sql_port().expect("it was asked for");
    let mut victim = Wire::login(&gate.address(), &place.account()).unwrap();
    let mut other = Wire::login(&gate.address(), &place.account()).unwrap();
    ask(&mut victim, "DO 1").unwrap();

    let (out, err) =
        said(place, port, "door", "SHOW WEIR SESSIONS; SHOW WEIR BACKENDS; SHOW WEIR STATUS LIKE 'commands'");
    assert_eq!(err, "");
    assert!(out.lines().any(|line| line.split('\t').any(|cell| cell == victim.connection_id.to_string())), "{out}");
    assert!(out.lines().any(|line| line.contains("\tPrimary\tUp\t")), "{out}");

    let (out, err) = said(place, port, "door", "EXPLAIN ROUTE SELECT * FROM t; EXPLAIN ROUTE UPDATE t SET a=1");
    assert!(err.is_empty() && out.lines().next().unwrap().starts_with("Read\ta replica"), "{out} {err}");
    assert!(out.lines().nth(1).unwrap().starts_with("Primary\t"), "{out}");

    assert_eq!(said(place, port, "door", &format!("KILL {}", victim.connection_id)), (String::new(), String::new()));
    assert!(ask(&mut victim, "DO 1").is_err(), "the killed client still runs statements");
    let (_, err) = said(place, port, "door", &format!("KILL {}", victim.connection_id));
    assert!(err.contains("ERROR 1094"), "{err}");

    let (_, err) = said(place, port, "door", "SET GLOBAL read_write_splitting_ratio = 35");
    assert_eq!(err, "");
    assert_eq!(first_cell(&ask(&mut other, "SELECT @@GLOBAL.read_write_splitting_ratio").unwrap().rows()), "35");
    let (out, _) = said(place, port, "door", "SELECT @@read_write_splitting_ratio");
    assert_eq!(out.trim(), "35");
    let (_, err) = said(place, port, "door", "SELECT * FROM mysql.user");
    assert!(err.contains("ERROR 1064") && err.contains("go to the gate's own port"), "{err}");
    let (_, err) = said(place, port, "window", "SHOW WEIR STATUS");
    assert!(err.contains("ERROR 1045 (28000)"), "{err}");
}
