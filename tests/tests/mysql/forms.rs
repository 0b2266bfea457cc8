//! `digest_running_max` on real MySQL: so many statements of one normal form run at once, on all cores together.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::value::Value;
use weir_control::client::{Client, ClientError, Options};
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, place};

fn start(place: &Place, limit: u32, wait_ms_max: u64) -> Gate {
    let options = GateOptions { connections_per_backend: 32, cores_max: 2, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.settings.admin_users = "app".to_owned();
        config.settings.digests = true;
        config.settings.digest_running_max = limit;
        config.settings.wait_ms_max = wait_ms_max;
    });
    gate.unwrap_or_else(|why| panic!("{why}"))
}

fn connect(gate: &Gate) -> Client {
    Client::connect(&Options::tcp("127.0.0.1", gate.port()).user("app").password("app")).unwrap()
}

/// As many clients at once, every second by a prepared statement, with the same form.
fn sleep(gate: &Gate, count: usize, seconds: &'static str) -> Vec<Result<(), ClientError>> {
    let mut clients: Vec<Client> = (0..count).map(|_| connect(gate)).collect();
    thread::scope(|scope| {
        let all = clients.iter_mut().enumerate().map(|(at, client)| {
            scope.spawn(move || match at % 2 {
                0 => client.cell(format!("SELECT SLEEP({seconds})")).map(drop),
                _ => {
                    let statement = client.prepare("SELECT SLEEP(?)").unwrap();
                    client.execute(&statement, &[Value::text(seconds)])?.success().map(drop)
                }
            })
        });
        let all: Vec<_> = all.collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn figure(gate: &Gate, name: &str) -> u64 {
    let rows = connect(gate).rows(format!("SHOW WEIR STATUS LIKE '{name}'")).unwrap();
    rows[0][1].as_deref().unwrap().parse().unwrap()
}

/// Who runs and who waits, as the table of digests tells it.
fn running(gate: &Gate) -> (u64, u64) {
    let reply = connect(gate).query("SHOW WEIR DIGESTS LIKE '%SLEEP%(?)'").unwrap();
    let cell = |name: &str| reply.rows().and_then(|rows| rows.text(0, name)).map_or(0, |text| text.parse().unwrap());
    (cell("running"), cell("waiting"))
}

fn until(gate: &Gate, wanted: (u64, u64)) {
    let began = Instant::now();
    while running(gate) != wanted {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?} is not {wanted:?}", running(gate));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn statements_of_one_form_run_only_so_many_at_once() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 2, 10_000);
    let began = Instant::now();
    assert!(sleep(&gate, 6, "0.4").iter().all(Result::is_ok));
    assert!(began.elapsed() >= Duration::from_millis(1_200), "three times two: {:?}", began.elapsed());
    assert_eq!(figure(&gate, "digest_turns_waited"), 4);
    thread::scope(|scope| {
        let slow = scope.spawn(|| sleep(&gate, 5, "1.5"));
        until(&gate, (2, 3));
        // Another form is another line, and what holds a connection never waits, and counts.
        let (mut client, began) = (connect(&gate), Instant::now());
        assert_eq!(client.cell("SELECT 1 + 1").unwrap().as_deref(), Some("2"));
        assert_eq!(client.cell("SELECT SLEEP(0), 1").unwrap().as_deref(), Some("0"));
        client.run("BEGIN").unwrap();
        client.run("SELECT 5").unwrap();
        assert_eq!(client.cell("SELECT SLEEP(0)").unwrap().as_deref(), Some("0"));
        client.run("COMMIT").unwrap();
        assert!(began.elapsed() < Duration::from_millis(1_200), "{:?}", began.elapsed());
        // Who leaves the line is forgotten.
        let mut leaves = connect(&gate);
        leaves.send_command(weir_net::command::Command::Query, b"SELECT SLEEP(1.25)").unwrap();
        until(&gate, (2, 4));
        drop(leaves);
        until(&gate, (2, 3));
        assert!(slow.join().unwrap().iter().all(Result::is_ok));
    });
    until(&gate, (0, 0));

    // All pass once there is no limit, and the next limit holds for what was prepared before it.
    let mut admin = connect(&gate);
    admin.run("SET GLOBAL digest_running_max = 1").unwrap();
    assert_eq!(admin.cell("SELECT @@digest_running_max").unwrap().as_deref(), Some("1"));
    thread::scope(|scope| {
        let held = scope.spawn(|| sleep(&gate, 4, "2"));
        until(&gate, (1, 3));
        let began = Instant::now();
        admin.run("SET GLOBAL digest_running_max = 0").unwrap();
        assert!(held.join().unwrap().iter().all(Result::is_ok));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    let refused = |outcome: Result<_, ClientError>| match outcome {
        Err(ClientError::Server(error)) => error.code,
        other => panic!("it is refused: {other:?}"),
    };
    assert_eq!(refused(admin.run("SET digest_running_max = 4")), 1229);
    assert_eq!(refused(admin.run("SET GLOBAL digest_running_max = 'many'")), 1231);
    let mut before = connect(&gate);
    let statement = before.prepare("SELECT SLEEP(?)").unwrap();
    admin.run("SET GLOBAL digest_running_max = 1").unwrap();
    thread::scope(|scope| {
        let held = scope.spawn(|| sleep(&gate, 1, "1"));
        until(&gate, (1, 0));
        let began = Instant::now();
        before.execute(&statement, &[Value::Int(0)]).unwrap().success().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
        assert!(held.join().unwrap().iter().all(Result::is_ok));
    });
}

#[test]
fn a_statement_waits_only_so_long_for_its_form() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 2, 600);
    let late: Vec<ClientError> = sleep(&gate, 4, "1.6").into_iter().filter_map(Result::err).collect();
    assert_eq!(late.len(), 2, "{late:?}");
    for error in late {
        let ClientError::Server(error) = error else { panic!("{error}") };
        let says =
            "2 statements of its form run at once (digest_running_max), and this one waited 600 ms (wait_ms_max)";
        assert!(error.code == 3168 && error.message.contains(says), "{error}");
    }
    assert_eq!(figure(&gate, "digest_turns_refused"), 2);
    // A client that was refused goes on.
    let mut client = connect(&gate);
    assert_eq!(client.cell("SELECT SLEEP(0)").unwrap().as_deref(), Some("0"));
}
