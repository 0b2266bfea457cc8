//! Limits against overload and guessing, on real MySQL: each refusal's words, what it leaves behind, and that it ends.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::config::Config;
use weir_core::admission::AdmissionSettings;
use weir_core::allowance::{Allowance, Allowances};
use weir_core::session::overtime::TimeLimits;
use weir_core::tally::failures::LoginSettings;
use weir_core::tally::rates::ConnectSettings;
use weir_tests::real::bind;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::logs::whole_lines;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::reply::{self, Kind};
use weir_tests::real::wire::{Account, Wire, refusal};

fn start(place: &Place, connections_per_backend: usize, more: impl FnOnce(&mut Config)) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 2, socket: None };
    Gate::start_with(place, options, more).unwrap_or_else(|why| panic!("{why}"))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A figure of the gate's, by its name.
fn figure(gate: &Gate, place: &Place, name: &str) -> u64 {
    let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
    let reply = ask(&mut wire, &format!("SHOW WEIR STATUS LIKE '{name}'")).unwrap();
    let value = reply.rows()[0][1].clone().unwrap();
    String::from_utf8(value).unwrap().parse().unwrap()
}

fn login(gate: &Gate, account: &Account) -> (Result<Wire, String>, Duration) {
    let began = Instant::now();
    let wire = Wire::login(&gate.address(), account).map_err(|error| error.to_string());
    (wire, began.elapsed())
}

/// Wrong passwords are answered ever later, right ones of that address too, and a login ends that.
#[test]
fn logins_after_failed_ones_are_put_off() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 8, |config| {
        config.settings.logins = LoginSettings { failures_max: 2, delay_ms_min: 400, delay_ms_max: 600 };
    });
    let mut wrong = place.account();
    wrong.password = "guess".to_owned();
    let mut took = Vec::new();
    for _ in 0..4 {
        let (refused, time) = login(&gate, &wrong);
        assert!(refused.err().expect("it is wrong").contains("Access denied"));
        took.push(time);
    }
    assert!(took[2] >= ms(400) && took[3] >= ms(600), "{took:?}");
    let (right, time) = login(&gate, &place.account());
    right.unwrap();
    assert!(time >= ms(600), "{time:?}");
    // Now it is known there, and a stranger's failures are no matter of its.
    let mut stranger = wrong;
    stranger.user = "nobody".to_owned();
    for _ in 0..3 {
        assert!(login(&gate, &stranger).0.is_err());
    }
    let (again, time) = login(&gate, &place.account());
    again.unwrap();
    assert!(time < ms(400), "{time:?}");
    assert_eq!(figure(&gate, place, "logins_put_off"), 4);
}

/// Sixteen of an address wait; more are told to come back, without a look at their password.
#[test]
fn an_address_has_only_so_many_logins_put_off() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 8, |config| {
        config.settings.logins = LoginSettings { failures_max: 1, delay_ms_min: 3_000, delay_ms_max: 3_000 };
    });
    let mut wrong = place.account();
    wrong.password = "guess".to_owned();
    assert!(login(&gate, &wrong).0.is_err());
    let answers: Vec<String> = thread::scope(|scope| {
        let tries: Vec<_> = (0..24).map(|_| scope.spawn(|| login(&gate, &wrong).0.err().unwrap())).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let blocked = answers.iter().filter(|text| text.contains("1129") && text.contains("login_failures_max")).count();
    assert_eq!(blocked, 8, "{answers:?}");
}

/// More connections in a second than may come are refused in the greeting's place, and the next second has room again.
#[test]
fn connections_come_no_faster_than_they_may() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    for (setting, connects) in [
        ("connects_per_s_max", ConnectSettings { per_s_max: 5, per_address_per_s_max: 0 }),
        ("connects_per_address_per_s_max", ConnectSettings { per_s_max: 0, per_address_per_s_max: 5 }),
    ] {
        let gate = start(place, 8, |config| config.settings.connects = connects);
        let began = Instant::now();
        let answers: Vec<_> = (0..40).map(|_| login(&gate, &place.account()).0).collect();
        let most = 5 + began.elapsed().as_millis() as usize / 200 + 1;
        let refused: Vec<&String> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(refused.iter().all(|text| text.contains("1040") && text.contains(setting)), "{refused:?}");
        assert!(!refused.is_empty() && answers.len() - refused.len() <= most, "{} refused", refused.len());
        thread::sleep(ms(1_100));
        login(&gate, &place.account()).0.unwrap();
    }
}

/// A statement that waits for a lock is ended at its limit, though every connection of the pool is taken; its session goes on.
#[test]
fn a_statement_that_runs_for_too_long_is_ended() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let options = GateOptions { connections_per_backend: 2, cores_max: 1, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.settings.times = TimeLimits { statement_ms_max: 400, ..TimeLimits::default() };
    })
    .unwrap();
    let mut admin = place.admin().unwrap();
    admin.sql("CREATE DATABASE IF NOT EXISTS weir_overload").unwrap();
    admin.sql("CREATE TABLE IF NOT EXISTS weir_overload.statements (id INT PRIMARY KEY, n INT)").unwrap();
    admin.sql("REPLACE INTO weir_overload.statements VALUES (1, 0)").unwrap();
    let mut holder = Wire::login(&gate.address(), &place.account()).unwrap();
    let mut waiter = Wire::login(&gate.address(), &place.account()).unwrap();
    ask(&mut holder, "BEGIN").unwrap();
    ask(&mut holder, "UPDATE weir_overload.statements SET n = 1 WHERE id = 1").unwrap();
    let update = "UPDATE weir_overload.statements SET n = n + 10 WHERE id = 1";
    for _ in 0..3 {
        let began = Instant::now();
        let why = ask(&mut waiter, update).expect_err("another holds the row");
        assert!(why.contains("3024") && why.contains("statement_ms_max"), "{why}");
        assert!(began.elapsed() >= ms(400) && began.elapsed() < ms(5_000), "{:?}", began.elapsed());
        // Nothing that comes behind it is hit by the kill.
        for _ in 0..20 {
            ask(&mut waiter, "DO 1").unwrap();
        }
    }
    let id = prepare(&mut waiter, update);
    let why = execute(&mut waiter, id).unwrap_err();
    assert!(why.contains("3024"), "{why}");
    ask(&mut holder, "COMMIT").unwrap();
    execute(&mut waiter, id).unwrap();
    let rows = ask(&mut waiter, "SELECT n FROM weir_overload.statements WHERE id = 1").unwrap().rows();
    assert_eq!(first_cell(&rows), "11");
    assert_eq!(figure(&gate, place, "statements_timed_out"), 4);
}

fn prepare(wire: &mut Wire, text: &str) -> u32 {
    let mut command = vec![weir_net::command::Command::StmtPrepare as u8];
    command.extend_from_slice(text.as_bytes());
    wire.command(&command).unwrap();
    reply::read(wire, Kind::Prepare, false, None).unwrap().prepared().unwrap().0
}

fn execute(wire: &mut Wire, id: u32) -> Result<(), String> {
    let bytes = bind::execute(id, false, false, &[], wire.capabilities);
    wire.command(&bytes).unwrap();
    let reply = reply::read(wire, Kind::Query, true, None).unwrap();
    reply.error().map_or(Ok(()), |payload| Err(refusal(payload)))
}

/// A transaction that is idle, or open, for too long is rolled back, and its client told before anything else runs.
#[test]
fn transactions_that_take_too_long_are_rolled_back() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("CREATE DATABASE IF NOT EXISTS weir_overload").unwrap();
    admin.sql("DROP TABLE IF EXISTS weir_overload.transactions").unwrap();
    admin.sql("CREATE TABLE weir_overload.transactions (id INT PRIMARY KEY)").unwrap();
    admin.sql("INSERT INTO weir_overload.transactions VALUES (99)").unwrap();
    let gate = start(place, 8, |config| {
        config.settings.times =
            TimeLimits { statement_ms_max: 0, transaction_ms_max: 1_500, transaction_idle_ms_max: 400 };
    });
    let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
    let count = |wire: &mut Wire| {
        first_cell(
            &ask(wire, "SELECT COUNT(*) FROM weir_overload.transactions WHERE id < 99 FOR SHARE").unwrap().rows(),
        )
    };
    // Idle: the next command is told, whatever it is.
    ask(&mut wire, "BEGIN").unwrap();
    ask(&mut wire, "INSERT INTO weir_overload.transactions VALUES (1)").unwrap();
    thread::sleep(ms(900));
    let why = ask(&mut wire, "COMMIT").expect_err("there is nothing to commit");
    assert!(why.contains("1213") && why.contains("transaction_idle_ms_max"), "{why}");
    assert_eq!(count(&mut wire), "0");
    // Open, though never idle for long.
    ask(&mut wire, "SET autocommit = 0").unwrap();
    let began = Instant::now();
    let why = loop {
        match ask(&mut wire, "INSERT IGNORE INTO weir_overload.transactions VALUES (2)") {
            Ok(_) => thread::sleep(ms(100)),
            Err(why) => break why,
        }
        assert!(began.elapsed() < ms(10_000));
    };
    assert!(why.contains("1213") && why.contains("transaction_ms_max") && began.elapsed() >= ms(1_400), "{why}");
    assert_eq!(count(&mut wire), "0");
    ask(&mut wire, "COMMIT").unwrap();
    ask(&mut wire, "SET autocommit = 1").unwrap();
    // One that is committed in time is none of this.
    ask(&mut wire, "BEGIN").unwrap();
    ask(&mut wire, "INSERT INTO weir_overload.transactions VALUES (3)").unwrap();
    ask(&mut wire, "COMMIT").unwrap();
    thread::sleep(ms(700));
    assert_eq!(count(&mut wire), "1");
    // While a statement of it runs: that is ended with it, and told once.
    let mut holder = place.admin().unwrap();
    holder.sql("BEGIN").unwrap();
    holder.sql("DELETE FROM weir_overload.transactions WHERE id = 99").unwrap();
    ask(&mut wire, "BEGIN").unwrap();
    ask(&mut wire, "INSERT INTO weir_overload.transactions VALUES (4)").unwrap();
    let why = ask(&mut wire, "DELETE FROM weir_overload.transactions WHERE id = 99").expect_err("it is locked");
    assert!(why.contains("1213") && why.contains("transaction_ms_max"), "{why}");
    assert_eq!(count(&mut wire), "1");
    holder.sql("ROLLBACK").unwrap();
    // What nobody can make again ends with the connection, as when a server closes it.
    ask(&mut wire, "CREATE TEMPORARY TABLE weir_overload.held (id INT)").unwrap();
    ask(&mut wire, "BEGIN").unwrap();
    ask(&mut wire, "INSERT INTO weir_overload.transactions VALUES (5)").unwrap();
    thread::sleep(ms(900));
    let told = wire.receive().unwrap();
    assert!(refusal(&told.payload).contains("transaction_idle_ms_max"), "{}", refusal(&told.payload));
    let mut other = Wire::login(&gate.address(), &place.account()).unwrap();
    assert_eq!(count(&mut other), "1");
}

fn with_row(config: &mut Config, allowance: Allowance) {
    let mut all = Allowances::default();
    all.by_user.insert(b"app"[..].into(), allowance.into());
    config.settings.allowances = all.into();
}

/// An account has as many clients as it may, on all cores together.
#[test]
fn an_account_has_only_so_many_clients() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, 8, |config| with_row(config, Allowance { connections_max: 3, ..Allowance::default() }));
    let mut wires: Vec<Wire> = (0..3).map(|_| login(&gate, &place.account()).0.unwrap()).collect();
    let why = login(&gate, &place.account()).0.err().expect("there are three");
    assert!(why.contains("1226") && why.contains("'connections_max' resource (current value: 3)"), "{why}");
    wires.pop();
    let began = Instant::now();
    while let Err(why) = login(&gate, &place.account()).0 {
        assert!(why.contains("1226") && began.elapsed() < ms(5_000), "{why}");
    }
}

/// As many statements run as may, prepared ones too; more wait in order, until their time or the line's room is over.
#[test]
fn an_account_runs_only_so_many_statements() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let row = Allowance { running_max: 2, waiting_max: 4, wait_ms_max: Some(3_000), ..Allowance::default() };
    let gate = start(place, 16, |config| with_row(config, row));
    let run = |count: usize, seconds: &'static str| -> Vec<Result<(), String>> {
        let mut wires: Vec<Wire> = (0..count).map(|_| login(&gate, &place.account()).0.unwrap()).collect();
        let ids: Vec<u32> = wires.iter_mut().map(|wire| prepare(wire, &format!("DO SLEEP({seconds})"))).collect();
        thread::scope(|scope| {
            let all = wires.iter_mut().zip(ids).enumerate().map(|(at, (wire, id))| {
                scope.spawn(move || match at % 2 {
                    0 => ask(wire, &format!("DO SLEEP({seconds})")).map(drop),
                    _ => execute(wire, id),
                })
            });
            let all: Vec<_> = all.collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let began = Instant::now();
    assert!(run(6, "0.3").iter().all(Result::is_ok));
    assert!(began.elapsed() >= ms(900), "three times two: {:?}", began.elapsed());
    let refused: Vec<String> = run(8, "0.5").into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|why| why.contains("1226") && why.contains("(waiting_max)")), "{refused:?}");
    let late: Vec<String> = run(4, "3.5").into_iter().filter_map(Result::err).collect();
    assert_eq!(late.len(), 2, "{late:?}");
    assert!(late.iter().all(|why| why.contains("1226") && why.contains("(wait_ms_max)")), "{late:?}");
    assert!(run(2, "0").iter().all(Result::is_ok), "nobody kept a turn");
}

/// Who holds a connection in a transaction does not wait for those that wait for its locks.
#[test]
fn a_transaction_goes_on_while_its_accounts_turns_are_taken() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("CREATE DATABASE IF NOT EXISTS weir_overload").unwrap();
    admin.sql("CREATE TABLE IF NOT EXISTS weir_overload.turns (id INT PRIMARY KEY, n INT)").unwrap();
    admin.sql("REPLACE INTO weir_overload.turns VALUES (1, 0)").unwrap();
    let gate = start(place, 8, |config| with_row(config, Allowance { running_max: 1, ..Allowance::default() }));
    let mut holder = login(&gate, &place.account()).0.unwrap();
    let mut waiter = login(&gate, &place.account()).0.unwrap();
    ask(&mut holder, "BEGIN").unwrap();
    ask(&mut holder, "UPDATE weir_overload.turns SET n = 1 WHERE id = 1").unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&mut waiter, "UPDATE weir_overload.turns SET n = n + 10 WHERE id = 1"));
        let waiting = "SELECT COUNT(*) FROM performance_schema.data_lock_waits";
        let began = Instant::now();
        while first_cell(&admin.sql(waiting).unwrap().rows()) == "0" {
            assert!(began.elapsed() < ms(5_000), "nobody waits for the row");
        }
        ask(&mut holder, "COMMIT").unwrap();
        waits.join().unwrap().unwrap();
    });
    let rows = ask(&mut holder, "SELECT n FROM weir_overload.turns WHERE id = 1 FOR SHARE").unwrap().rows();
    assert_eq!(first_cell(&rows), "11");
}

/// A small account beside one that floods the pool: it takes turns with it, and does not wait behind all of it.
#[test]
fn a_small_account_is_served_beside_a_flood() {
    const FLOOD: usize = 40;
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("DROP USER IF EXISTS small").unwrap();
    admin.sql("CREATE USER small IDENTIFIED BY 'small'").unwrap();
    admin.ensure_replicated().unwrap();
    let options = GateOptions { connections_per_backend: 2, cores_max: 1, socket: None };
    let gate = Gate::start_with(place, options, |config| config.settings.read_write_splitting = false).unwrap();
    let mut small = place.account();
    (small.user, small.password) = ("small".to_owned(), "small".to_owned());
    let mut small = login(&gate, &small).0.unwrap();
    let mut flood: Vec<Wire> = (0..FLOOD).map(|_| login(&gate, &place.account()).0.unwrap()).collect();
    let until = Instant::now() + ms(4_000);
    let (mut waits, served) = thread::scope(|scope| {
        let work = |wire: &mut Wire| {
            let mut served = 0;
            while Instant::now() < until {
                ask(wire, "DO SLEEP(0.02)").unwrap();
                served += 1;
            }
            served
        };
        let flood: Vec<_> = flood.iter_mut().map(|wire| scope.spawn(move || work(wire))).collect();
        thread::sleep(ms(300));
        let mut waits = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            ask(&mut small, "DO SLEEP(0.02)").unwrap();
            waits.push(began.elapsed());
        }
        (waits, flood.into_iter().map(|one| one.join().unwrap()).sum::<usize>())
    });
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    // In order of arrival it would have waited for half of the flood: FLOOD / 2 times 20 ms and more.
    let alone = ms(4_000) * FLOOD as u32 / served as u32;
    eprintln!(
        "small: {} served, median {:?}, p99 {p99:?}; one of the flood: {alone:?}",
        waits.len(),
        waits[waits.len() / 2]
    );
    assert!(p99 < alone / 2, "{p99:?} beside {alone:?}");
    assert!(served > waits.len(), "the flood goes on, too");
}

/// While all wait for too long, some of what comes is refused at once; nobody in a transaction is.
#[test]
fn a_line_that_stands_refuses_some_of_what_comes() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let options = GateOptions { connections_per_backend: 2, cores_max: 1, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.settings.read_write_splitting = false;
        config.settings.admission = AdmissionSettings { is_on: true, target_ms: 40 };
    })
    .unwrap();
    let mut holder = login(&gate, &place.account()).0.unwrap();
    ask(&mut holder, "BEGIN").unwrap();
    let mut wires: Vec<Wire> = (0..24).map(|_| login(&gate, &place.account()).0.unwrap()).collect();
    let until = Instant::now() + ms(3_000);
    let (served, refused) = thread::scope(|scope| {
        let work = |wire: &mut Wire| {
            let (mut served, mut refused) = (0, 0);
            while Instant::now() < until {
                match ask(wire, "DO SLEEP(0.02)") {
                    Ok(_) => served += 1,
                    Err(why) => {
                        assert!(why.contains("3168") && why.contains("(admission)"), "{why}");
                        refused += 1;
                        thread::sleep(ms(20));
                    }
                }
            }
            (served, refused)
        };
        let all: Vec<_> = wires.iter_mut().map(|wire| scope.spawn(move || work(wire))).collect();
        while Instant::now() < until {
            ask(&mut holder, "DO 1").unwrap();
            thread::sleep(ms(5));
        }
        all.into_iter().map(|one| one.join().unwrap()).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    });
    assert!(served > 50 && refused > 20, "{served} served, {refused} refused");
    ask(&mut holder, "COMMIT").unwrap();
    thread::sleep(ms(1_500));
    (0..20).for_each(|_| drop(ask(&mut wires[0], "DO 1").unwrap()));
}

/// Who came, failed, changed something, was killed and went stands in the audit log, and no statement does.
#[test]
fn the_audit_log_has_a_line_for_each() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let folder = std::env::temp_dir().join(format!("weir-audit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("audit.log");
    let gate = start(place, 8, |config| {
        config.audit_log.file = Some(path.clone());
        config.settings.admin_users = "nobody".to_owned();
    });
    let mut wrong = place.account();
    wrong.password = "guess".to_owned();
    assert!(login(&gate, &wrong).0.is_err());
    let mut wire = login(&gate, &place.account()).0.unwrap();
    let victim = login(&gate, &place.account()).0.unwrap();
    ask(&mut wire, "CREATE DATABASE IF NOT EXISTS weir_overload").unwrap();
    ask(&mut wire, "DROP TABLE weir_overload.secret_table").unwrap_err();
    ask(&mut wire, "SELECT 'secret'").unwrap();
    ask(&mut wire, &format!("KILL {}", victim.connection_id)).unwrap();
    ask(&mut wire, "SET GLOBAL read_write_splitting_ratio = 40").unwrap_err();
    let id = wire.connection_id;
    drop(wire);
    let read = || whole_lines(&path);
    let began = Instant::now();
    while !read().iter().any(|line| line["event"] == "logout" && line["connection_id"] == id) {
        assert!(began.elapsed() < ms(10_000), "{:?}", read());
    }
    let lines = read();
    let of = |event: &str| -> Vec<&serde_json::Value> { lines.iter().filter(|line| line["event"] == event).collect() };
    assert_eq!((of("login").len(), of("login_failed").len(), of("logout").len()), (2, 1, 2), "{lines:?}");
    assert_eq!((&of("login_failed")[0]["error"], &of("login_failed")[0]["user"]), (&1045.into(), &"app".into()));
    assert!(of("login")[0]["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(of("ddl").iter().map(|line| line["outcome"].as_str().unwrap()).collect::<Vec<_>>(), ["ok", "error"]);
    assert_eq!(of("kill")[0]["detail"], format!("connection {}", victim.connection_id));
    assert_eq!(of("denied")[0]["error"], 1227);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("secret"));
    drop(gate);
    std::fs::remove_dir_all(folder).unwrap();
}
