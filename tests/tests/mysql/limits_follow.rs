//! Each limit that follows a reload by the reference: what the same gate does before it and after it.
//!
//! A row is a setting, two sections of the file and a look at what the gate does: it must find nothing under the first and the limit under
//! the second. Rows of one table share a gate and come one after the other, so that each limit is taken away again by the next reload.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::{Client, Options};
use weir_control::config::reference;
use weir_tests::real::place::{first_cell, place};

use super::mute::Mute;
use super::reload::{LIMIT, Process, signal};

struct Row {
    setting: (&'static str, &'static str),
    before: &'static str,
    after: &'static str,
    shows: fn(&Bench) -> bool,
}

const fn row(
    setting: (&'static str, &'static str),
    before: &'static str,
    after: &'static str,
    shows: fn(&Bench) -> bool,
) -> Row {
    Row { setting, before, after, shows }
}

/// `PRIMARY`: nobody is. `MUTE`: it lets in only the monitor. One connection for each server makes everybody wait for it.
const POOL: &[Row] = &[
    row(
        ("pool", "connections_per_backend_max"),
        "[pool]\nwait_ms_max = 300",
        "[pool]\nwait_ms_max = 300\nconnections_per_backend_max = 1",
        |bench| bench.beside_a_holder(ms(500)).is_err(),
    ),
    row(
        ("pool", "wait_ms_max"),
        "[pool]\nconnections_per_backend_max = 1\nwait_ms_max = 5000",
        "[pool]\nconnections_per_backend_max = 1\nwait_ms_max = 150",
        |bench| bench.beside_a_holder(ms(500)).is_err(),
    ),
    row(
        ("pool", "waiters_max"),
        "[pool]\nconnections_per_backend_max = 1\nwait_ms_max = 150",
        "[pool]\nconnections_per_backend_max = 1\nwait_ms_max = 150\nwaiters_max = 0",
        |bench| says(bench.beside_a_holder(ms(300)), "(waiters_max)"),
    ),
    row(
        ("pool", "connection_idle_ms_max"),
        "[pool]\nconnections_warm_min = 0",
        "[pool]\nconnections_warm_min = 0\nconnection_idle_ms_max = 100",
        |bench| bench.connections_after(SWEPT).is_empty(),
    ),
    row(
        ("pool", "connections_warm_min"),
        "[pool]\nconnection_idle_ms_max = 100\nconnections_warm_min = 0",
        "[pool]\nconnection_idle_ms_max = 100\nconnections_warm_min = 1",
        |bench| !bench.connections_after(SWEPT).is_empty(),
    ),
    row(("pool", "connection_age_ms_max"), "", "[pool]\nconnection_age_ms_max = 1000", |bench| {
        let first = bench.connections_after(ms(0));
        let second = bench.connections_after(ms(1_100));
        bench.client().run("DO 1").unwrap();
        first.is_disjoint(&second) || first.is_disjoint(&bench.connections_after(SWEPT))
    }),
    row(("pool", "statements_per_connection_max"), "", "[pool]\nstatements_per_connection_max = 1", |bench| {
        let mut client = bench.client();
        for text in ["DO 1", "DO 2", "DO 3", "DO 4"] {
            let statement = client.prepare(text).unwrap();
            client.execute(&statement, &[]).unwrap();
        }
        let kept = "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) n FROM performance_schema.prepared_statements_instances p \
                    JOIN performance_schema.threads t ON t.THREAD_ID = p.OWNER_THREAD_ID WHERE t.PROCESSLIST_USER = 'USER' \
                    GROUP BY t.THREAD_ID) k";
        bench.admin(kept).parse::<u32>().unwrap() < 2
    }),
    row(
        ("pool", "dial_ms_max"),
        "MUTE[limits]\nhandshake_ms_max = 600\n[pool]\nconnections_warm_min = 0\nwait_ms_max = 500\ndial_ms_max = 1000",
        "MUTE[limits]\nhandshake_ms_max = 600\n[pool]\nconnections_warm_min = 0\nwait_ms_max = 500\ndial_ms_max = 50",
        dial_is_short,
    ),
    row(
        ("pool", "enable_buffer"),
        "PRIMARY[pool]\nbuffer_window_ms = 600",
        "PRIMARY[pool]\nbuffer_window_ms = 600\nenable_buffer = false",
        fails_soon,
    ),
    row(
        ("pool", "buffer_window_ms"),
        "PRIMARY[pool]\nbuffer_window_ms = 600",
        "PRIMARY[pool]\nbuffer_window_ms = 50",
        fails_soon,
    ),
    row(
        ("pool", "buffer_size"),
        "PRIMARY[pool]\nbuffer_window_ms = 600",
        "PRIMARY[pool]\nbuffer_window_ms = 600\nbuffer_size = 0",
        fails_soon,
    ),
    row(
        ("pool", "buffer_bytes_max"),
        "PRIMARY[pool]\nbuffer_window_ms = 600",
        "PRIMARY[pool]\nbuffer_window_ms = 600\nbuffer_bytes_max = 0",
        fails_soon,
    ),
    row(
        ("pool", "buffer_max_failover_duration_ms"),
        "PRIMARY[pool]\nbuffer_window_ms = 600",
        "PRIMARY[pool]\nbuffer_window_ms = 600\nbuffer_max_failover_duration_ms = 0",
        fails_soon,
    ),
];

const LIMITS: &[Row] = &[
    row(("limits", "clients_max"), "", "[limits]\nclients_max = 1", |bench| {
        let _first = bench.client();
        bench.login().is_err_and(|why| why.contains("(clients_max)"))
    }),
    row(("limits", "handshake_ms_max"), "", "[limits]\nhandshake_ms_max = 100", |bench| {
        let mut silent = TcpStream::connect(("127.0.0.1", bench.gate.port())).unwrap();
        silent.set_read_timeout(Some(ms(600))).unwrap();
        // The greeting comes at once; then an end, or silence.
        let mut bytes = [0; 512];
        assert!(silent.read(&mut bytes).unwrap() > 5);
        silent.read(&mut bytes).is_ok()
    }),
    row(("limits", "client_idle_ms_max"), "", "[limits]\nclient_idle_ms_max = 200", |bench| {
        let mut client = bench.client();
        client.run("DO 1").unwrap();
        thread::sleep(ms(600));
        client.run("DO 1").is_err()
    }),
    row(
        ("limits", "digest_running_max"),
        "[pool]\nwait_ms_max = 100",
        "[pool]\nwait_ms_max = 100\n[limits]\ndigest_running_max = 1",
        |bench| says(bench.beside_a_runner_with("DO SLEEP(0)"), "(digest_running_max)"),
    ),
    row(("limits", "statement_ms_max"), "", "[limits]\nstatement_ms_max = 200", statement_is_ended),
    row(("limits", "transaction_ms_max"), "", "[limits]\ntransaction_ms_max = 200", busy_transaction_is_ended),
    row(
        ("limits", "transaction_idle_ms_max"),
        "",
        "[limits]\ntransaction_idle_ms_max = 200",
        idle_transaction_is_ended,
    ),
    row(("limits", "connects_per_s_max"), "", "[limits]\nconnects_per_s_max = 1", |bench| {
        (0..8).any(|_| bench.login().is_err_and(|why| why.contains("connects_per_s_max")))
    }),
    row(("limits", "connects_per_address_per_s_max"), "", "[limits]\nconnects_per_address_per_s_max = 1", |bench| {
        (0..8).any(|_| bench.login().is_err_and(|why| why.contains("connects_per_address_per_s_max")))
    }),
    // First this one: what is refused already is so less and less, not at once.
    row(
        ("limits", "admission_target_ms"),
        "[limits]\nadmission_target_ms = 60000\nadmission = \"latency\"\n[pool]\nconnections_per_backend_max = 1",
        "[limits]\nadmission_target_ms = 1\nadmission = \"latency\"\n[pool]\nconnections_per_backend_max = 1",
        |bench| bench.flood(&["USER"])[0].1 > 0,
    ),
    row(
        ("limits", "admission"),
        "[limits]\nadmission_target_ms = 1\n[pool]\nconnections_per_backend_max = 1",
        "[limits]\nadmission_target_ms = 1\nadmission = \"latency\"\n[pool]\nconnections_per_backend_max = 1",
        |bench| bench.flood(&["USER"])[0].1 > 0,
    ),
    row(
        ("limits", "login_failures_max"),
        "[limits]\nlogin_delay_ms_min = 400\nlogin_delay_ms_max = 400",
        "[limits]\nlogin_delay_ms_min = 400\nlogin_delay_ms_max = 400\nlogin_failures_max = 1",
        login_is_put_off,
    ),
    row(
        ("limits", "login_delay_ms_min"),
        "[limits]\nlogin_failures_max = 1\nlogin_delay_ms_min = 1",
        "[limits]\nlogin_failures_max = 1\nlogin_delay_ms_min = 400",
        login_is_put_off,
    ),
    row(
        ("limits", "login_delay_ms_max"),
        "[limits]\nlogin_failures_max = 1\nlogin_delay_ms_min = 400\nlogin_delay_ms_max = 1",
        "[limits]\nlogin_failures_max = 1\nlogin_delay_ms_min = 400\nlogin_delay_ms_max = 400",
        login_is_put_off,
    ),
];

/// Under a row of the user's.
const ACCOUNTS: &[Row] = &[
    row(("accounts", "connections_max"), "ROW", "ROWconnections_max = 1", |bench| {
        let _first = bench.client();
        bench.login().is_err_and(|why| why.contains("'connections_max' resource"))
    }),
    row(("accounts", "running_max"), "ROWwaiting_max = 0", "ROWwaiting_max = 0\nrunning_max = 1", |bench| {
        bench.beside_a_runner().is_err()
    }),
    row(("accounts", "waiting_max"), "ROWrunning_max = 1", "ROWrunning_max = 1\nwaiting_max = 0", |bench| {
        says(bench.beside_a_runner(), "(waiting_max)")
    }),
    row(
        ("accounts", "wait_ms_max"),
        "ROWrunning_max = 1\nwait_ms_max = 5000",
        "ROWrunning_max = 1\nwait_ms_max = 50",
        |bench| says(bench.beside_a_runner(), "(wait_ms_max)"),
    ),
    row(
        ("accounts", "weight"),
        "ROW[pool]\nconnections_per_backend_max = 1",
        "ROWweight = 10000\n[pool]\nconnections_per_backend_max = 1",
        |bench| {
            let served = bench.flood(&["USER", "app"]);
            served[0].0 > 4 * served[1].0
        },
    ),
    row(("accounts", "statement_ms_max"), "ROW", "ROWstatement_ms_max = 200", statement_is_ended),
    row(("accounts", "transaction_ms_max"), "ROW", "ROWtransaction_ms_max = 200", busy_transaction_is_ended),
    row(("accounts", "transaction_idle_ms_max"), "ROW", "ROWtransaction_idle_ms_max = 200", idle_transaction_is_ended),
];

/// Numbers without a row, and why.
const ELSEWHERE: [(&str, &str, &str); 2] = [
    ("limits", "drain_ms_max", "ends the gate: below"),
    ("limits", "upgrade_drain_ms_max", "is about the process that leaves: upgrade::a_former_process_has_its_time"),
];

/// SLEEP that is killed is no error for the server; it only ends.
fn statement_is_ended(bench: &Bench) -> bool {
    let mut client = bench.client();
    let began = Instant::now();
    let _ = client.run("DO SLEEP(1)");
    began.elapsed() < ms(800)
}

/// Never idle for long.
fn busy_transaction_is_ended(bench: &Bench) -> bool {
    let mut client = bench.client();
    client.run("BEGIN").unwrap();
    let began = Instant::now();
    while began.elapsed() < ms(600) {
        if says(client.run("DO SLEEP(0.02)"), "transaction_ms_max") {
            return true;
        }
    }
    client.run("COMMIT").unwrap();
    false
}

fn idle_transaction_is_ended(bench: &Bench) -> bool {
    let mut client = bench.client();
    client.run("BEGIN").unwrap();
    client.run("DO 1").unwrap();
    thread::sleep(ms(500));
    says(client.run("COMMIT"), "transaction_idle_ms_max")
}

/// The second wrong password, which a right one follows, so that nothing of it is left.
fn login_is_put_off(bench: &Bench) -> bool {
    let wrong = || Client::connect(&bench.options("USER").password("guess")).is_err();
    assert!(wrong());
    let began = Instant::now();
    assert!(wrong());
    let is_late = began.elapsed() >= ms(350);
    drop(bench.client());
    is_late
}

/// How long a dial lasts that begins now. One that began before has the time that it had.
fn dial_is_short(bench: &Bench) -> bool {
    let began = Instant::now();
    loop {
        // Whoever waits, for a login or for a statement.
        let outcome = bench.login().and_then(|mut client| client.run("DO 1").map(drop).map_err(|why| why.to_string()));
        assert!(outcome.is_err());
        assert!(began.elapsed() < LIMIT, "nobody dials\n{}", bench.gate.log());
        if let Some(lasted) = bench.mute.held_since(began) {
            return lasted < ms(500);
        }
    }
}

fn fails_soon(bench: &Bench) -> bool {
    let mut client = bench.client();
    let began = Instant::now();
    client.run("DO 1").unwrap_err();
    began.elapsed() < ms(400)
}

fn says<T, E: ToString>(outcome: Result<T, E>, words: &str) -> bool {
    outcome.is_err_and(|why| why.to_string().contains(words))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// By then the pools have been looked through once more.
const SWEPT: Duration = Duration::from_millis(1_300);

/// A gate, and a user of its own, by whom its connections are told from others'.
struct Bench {
    gate: Process,
    user: &'static str,
    mute: Mute,
}

impl Bench {
    fn start(user: &'static str) -> Bench {
        let mut admin = place().admin().unwrap();
        admin.sql(&format!("DROP USER IF EXISTS {user}")).unwrap();
        admin.sql(&format!("CREATE USER {user} IDENTIFIED BY 'app'")).unwrap();
        admin.ensure_replicated().unwrap();
        let mute = Mute::before(place().backends[0]);
        Bench { gate: Process::start(user, "", &["--cores", "1"]), user, mute }
    }

    /// The rows of one table, one after the other.
    fn check(&self, rows: &[Row]) {
        for Row { setting: (section, name), before, after, shows } in rows {
            let began = Instant::now();
            self.reload(before);
            assert!(!shows(self), "{name} holds before it is set\n{}", self.gate.log());
            let told = self.reload(after);
            let line = if *section == "accounts" {
                "[[accounts]]: other rows".to_owned()
            } else {
                format!("[{section}] {name}: was")
            };
            assert!(told.contains(&line), "{name}: {told}");
            assert!(shows(self), "{name} does not follow\n{}", self.gate.log());
            eprintln!("{section}.{name}: {} ms", began.elapsed().as_millis());
        }
    }

    fn reload(&self, more: &str) -> String {
        let replicas = place().backends.iter().take(2);
        let nobody: String =
            replicas.map(|address| format!("[[backends]]\naddress = \"{address}\"\nrole = \"replica\"\n")).collect();
        let mute = format!("[[backends]]\naddress = \"{}\"\nrole = \"primary\"\n{nobody}", self.mute.address);
        let row = format!("[[accounts]]\nuser = \"{}\"\n", self.user);
        self.gate.write(&more.replace("PRIMARY", &nobody).replace("MUTE", &mute).replace("ROW", &row));
        self.gate.reload().unwrap()
    }

    fn options(&self, user: &str) -> Options {
        self.gate.options().user(&user.replace("USER", self.user))
    }

    fn login(&self) -> Result<Client, String> {
        Client::connect(&self.options("USER")).map_err(|error| error.to_string())
    }

    /// Who was there before may still be leaving, and what was too many a moment ago may still count.
    fn client(&self) -> Client {
        let began = Instant::now();
        loop {
            match self.login() {
                Ok(client) => return client,
                Err(why) => assert!(began.elapsed() < LIMIT, "{why}\n{}", self.gate.log()),
            }
            thread::sleep(ms(20));
        }
    }

    /// What comes of a statement while a transaction holds a connection to the primary for so long.
    fn beside_a_holder(&self, held: Duration) -> Result<(), String> {
        let (mut holder, mut other) = (self.client(), self.client());
        holder.run("BEGIN").unwrap();
        holder.run("DO 1").unwrap();
        thread::scope(|scope| {
            let other = scope.spawn(move || other.run("DO 1").map(drop).map_err(|error| error.to_string()));
            thread::sleep(held);
            holder.run("COMMIT").unwrap();
            other.join().unwrap()
        })
    }

    /// The same while another one of the user's runs.
    fn beside_a_runner(&self) -> Result<(), String> {
        self.beside_a_runner_with("DO 1")
    }

    fn beside_a_runner_with(&self, statement: &'static str) -> Result<(), String> {
        let (mut runner, mut other) = (self.client(), self.client());
        thread::scope(|scope| {
            let runner = scope.spawn(move || runner.run("DO SLEEP(0.4)").map(drop).map_err(|error| error.to_string()));
            thread::sleep(ms(100));
            let outcome = other.run(statement).map(drop).map_err(|error| error.to_string());
            runner.join().unwrap().unwrap();
            outcome
        })
    }

    /// The primary's connections for this user, so long after a statement.
    fn connections_after(&self, after: Duration) -> BTreeSet<String> {
        self.client().run("DO 1").unwrap();
        thread::sleep(after);
        let all =
            self.admin("SELECT COALESCE(GROUP_CONCAT(ID), '') FROM performance_schema.processlist WHERE USER = 'USER'");
        all.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    /// Asks the primary itself.
    fn admin(&self, statement: &str) -> String {
        let mut admin = place().admin().unwrap();
        first_cell(&admin.sql(&statement.replace("USER = 'USER'", &format!("USER = '{}'", self.user))).unwrap().rows())
    }

    /// Five clients of each user for a while: what was served, and refused for waiting too long.
    fn flood(&self, users: &[&str]) -> Vec<(usize, usize)> {
        let over = AtomicBool::new(false);
        let work = |user: &str| {
            let mut client = Client::connect(&self.options(user)).unwrap();
            let (mut served, mut refused) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                match client.run("DO SLEEP(0.005)") {
                    Ok(_) => served += 1,
                    Err(error) => {
                        assert!(error.to_string().contains("(admission)"), "{error}");
                        refused += 1;
                    }
                }
            }
            (served, refused)
        };
        thread::scope(|scope| {
            let (work, scope) = (&work, scope);
            let start = |user| (0..5).map(|_| scope.spawn(move || work(user))).collect::<Vec<_>>();
            let all: Vec<_> = users.iter().map(|user| start(*user)).collect();
            thread::sleep(ms(800));
            over.store(true, Ordering::Relaxed);
            let sum = |(a, b): (usize, usize), (c, d)| (a + c, b + d);
            all.into_iter()
                .map(|clients| clients.into_iter().map(|client| client.join().unwrap()).fold((0, 0), sum))
                .collect()
        })
    }
}

#[test]
fn limits_of_pools_follow_a_reload() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    Bench::start("weir_pool_limits").check(POOL);
}

#[test]
fn limits_of_clients_follow_a_reload() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let bench = Bench::start("weir_client_limits");
    bench.check(LIMITS);
    // And at the end: an open transaction has less time than the usual ten seconds.
    bench.reload("[limits]\ndrain_ms_max = 100");
    let mut client = bench.client();
    client.run("BEGIN").unwrap();
    client.run("DO 1").unwrap();
    let began = Instant::now();
    signal(bench.gate.pids[0], "TERM");
    while client.run("DO 1").is_ok() {
        assert!(began.elapsed() < ms(5_000), "drain_ms_max does not follow\n{}", bench.gate.log());
        thread::sleep(ms(20));
    }
}

#[test]
fn limits_of_accounts_follow_a_reload() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    Bench::start("weir_account_limits").check(ACCOUNTS);
}

/// A limit that is new in the reference wants a row here.
#[test]
fn each_limit_that_follows_is_looked_at() {
    let rows = || POOL.iter().chain(LIMITS).chain(ACCOUNTS).map(|row| row.setting);
    let known: BTreeSet<_> = rows().chain(ELSEWHERE.iter().map(|(section, name, _)| (*section, *name))).collect();
    assert_eq!(known.len(), rows().count() + ELSEWHERE.len(), "twice");
    let settings = reference::settings();
    let is_limit =
        |one: &&reference::Setting| ["pool", "limits", "accounts"].contains(&one.section) && one.kind == "whole number";
    for one in settings.iter().filter(is_limit) {
        assert!(known.contains(&(one.section, one.name)), "[{}] {} has no row", one.section, one.name);
    }
    for (section, name) in rows() {
        let of = settings.iter().find(|one| (one.section, one.name) == (section, name));
        let by_admins = reference::global(section, name).map(|variable| format!("reload; SET [GLOBAL] {variable}"));
        let expected = by_admins.unwrap_or_else(|| "reload".to_owned());
        assert_eq!(of.map(|one| &*one.changes), Some(&*expected), "[{section}] {name}");
    }
}
