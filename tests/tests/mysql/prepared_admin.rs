//! What only the gate understands, prepared: by drivers that prepare every statement. At both ports it is what the text is.

use std::sync::PoisonError;

use weir_control::client::reply::Reply;
use weir_control::client::{Client, Options};
use weir_net::secret::Secret;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::place;

use super::upgrade::code;

/// They answer with rows that do not change in a moment.
const STEADY: [&str; 6] = [
    "SHOW WEIR BACKENDS",
    "SHOW WEIR VARIABLES LIKE '%splitting%'",
    "SHOW WEIR EVENTS LIKE 'nothing'",
    "SHOW FILTERS",
    "SELECT @@read_write_splitting_ratio",
    "EXPLAIN ROUTE SELECT * FROM t",
];

fn texts(reply: &Reply) -> (Vec<String>, Vec<Vec<Option<String>>>) {
    let rows = reply.rows().unwrap_or_else(|| panic!("no rows: {reply:?}"));
    (rows.columns.iter().map(|column| column.name.clone()).collect(), rows.texts())
}

/// Rows, OKs and errors, more than once, and a statement that is closed.
fn check(client: &mut Client) {
    for sql in STEADY {
        let statement = client.prepare(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        assert_eq!((statement.params.len(), statement.columns.len()), (0, 0), "{sql}");
        let by_text = texts(&client.query(sql).unwrap());
        for _ in 0..2 {
            assert_eq!(texts(&client.execute(&statement, &[]).unwrap()), by_text, "{sql}");
        }
        client.close_statement(&statement).unwrap();
        assert_eq!(code(&client.execute(&statement, &[]).unwrap().success().unwrap_err()), 1243, "{sql}");
    }
    let set = client.prepare("SET GLOBAL read_write_splitting_ratio = 45").unwrap();
    client.execute(&set, &[]).unwrap().success().unwrap();
    assert_eq!(client.cell("SELECT @@GLOBAL.read_write_splitting_ratio").unwrap().unwrap(), "45");
    assert_eq!(code(&client.prepare("SHOW WEIR STATUS LIKE ?").unwrap_err()), 1295);
    let wrong = client.prepare("SHOW WEIR NONSENSE").unwrap();
    let (by_text, by_execute) = (client.query("SHOW WEIR NONSENSE").unwrap(), client.execute(&wrong, &[]).unwrap());
    assert_eq!(by_execute.success().unwrap_err().to_string(), by_text.success().unwrap_err().to_string());
}

fn start() -> Gate {
    let options = GateOptions { connections_per_backend: 8, cores_max: 2, socket: None };
    Gate::start_with(place(), options, |config| {
        config.settings.admin_users = "app".to_owned();
        config.admin_sql.listen = Some("127.0.0.1:0".parse().expect("an address"));
        config.admin_sql.password = Secret::from(&b"door"[..]);
    })
    .unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn statements_of_the_gate_are_prepared() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start();
    let options = Options::tcp("127.0.0.1", gate.port()).user("app").password("app");
    let mut client = Client::connect(&options).unwrap();
    check(&mut client);
    // In a transaction, too, which stays open; the session's own variables follow.
    client.run("BEGIN").unwrap();
    let level = client.prepare("SET read_after_write_consistency = 'GLOBAL'").unwrap();
    client.execute(&level, &[]).unwrap().success().unwrap();
    let shown = client.prepare("SELECT @@read_after_write_consistency").unwrap();
    let reply = client.execute(&shown, &[]).unwrap();
    assert_eq!(texts(&reply).1, [[Some("GLOBAL".to_owned())]]);
    assert!(client.run("DO 1").unwrap().status.contains(weir_net::flags::Status::IN_TRANS));
    // An id is the gate's: a server's own connection of that number is never meant.
    let mut victim = Client::connect(&options).unwrap();
    let id = victim.cell("SELECT CONNECTION_ID()").unwrap().unwrap();
    let kill = client.prepare(format!("KILL {id}")).unwrap();
    client.execute(&kill, &[]).unwrap().success().unwrap();
    assert!(victim.run("DO 1").is_err());
    assert_eq!(code(&client.execute(&kill, &[]).unwrap().success().unwrap_err()), 1094);
    client.run("COMMIT").unwrap();
}

#[test]
fn they_are_prepared_at_the_admin_port() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start();
    let port = gate.admin_sql_port().expect("it was asked for");
    let mut client = Client::connect(&Options::tcp("127.0.0.1", port).user("weir").password("door")).unwrap();
    check(&mut client);
    let all: Result<Vec<_>, _> = (0..257).map(|_| client.prepare("SHOW WEIR STATUS")).collect();
    assert_eq!(code(&all.unwrap_err()), 1461);
}
