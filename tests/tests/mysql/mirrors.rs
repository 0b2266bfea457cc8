//! Mirrors on real MySQL: which statements a server beside the cluster is asked, and that clients notice nothing of it, whatever it does.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::value::Value;
use weir_control::client::{Client, ClientError, Options};
use weir_control::config::{BackendTlsMode, MirrorConfig};
use weir_core::snapshot::Address;
use weir_net::secret::Secret;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::lone::Lone;
use weir_tests::real::place::{Place, place};

use super::reload::Process;

/// A gate, and a server of nobody's cluster that it has as a mirror: same tables, other rows.
struct Mirrored<M = Lone> {
    gate: Gate,
    mirror: M,
    file: PathBuf,
}

impl Mirrored {
    fn start() -> (RwLockReadGuard<'static, ()>, Mirrored) {
        let place = place();
        let others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
        let mirror = servers(place);
        let address = mirror.address();
        (others, Mirrored::before(place, mirror, address))
    }

    /// What the mirror was asked by the gate, but for what its connections begin with, in no particular order.
    fn arrived(&self) -> Vec<String> {
        // As it came: what is no UTF-8 is another client's latin1.
        let asked = "SELECT IFNULL(CONVERT(argument USING utf8mb4), CONVERT(argument USING latin1)) FROM mysql.general_log WHERE user_host LIKE '%copies%' \
                     AND command_type IN ('Query', 'Execute') AND argument NOT LIKE 'SET %' ORDER BY 1";
        let rows = self.mirror.root().unwrap().rows(asked).unwrap();
        rows.into_iter().filter_map(|row| row[0].clone()).collect()
    }
}

impl<M> Mirrored<M> {
    fn before(place: &Place, mirror: M, address: Address) -> Mirrored<M> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-mirrors-{}-{}.sql", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&file);
        let options = GateOptions { connections_per_backend: 8, cores_max: 2, socket: None };
        let gate = Gate::start_with(place, options, |config| {
            config.settings.admin_users = "app".to_owned();
            config.filters_file = Some(file.clone());
            config.mirrors = vec![MirrorConfig {
                name: "next".to_owned(),
                address: address.clone(),
                user: "copies".to_owned(),
                password: Secret::from(&b"copies"[..]),
                password_file: None,
                connections_max: 3,
                tls: BackendTlsMode::Off,
                ca: None,
            }];
        });
        Mirrored { gate: gate.unwrap_or_else(|why| panic!("{why}")), mirror, file }
    }

    fn connect(&self) -> Client {
        let options = Options::tcp("127.0.0.1", self.gate.port()).user("app").password("app").schema("weir_mirrors");
        Client::connect(&options).unwrap()
    }

    /// One figure of the filter.
    fn figure(&self, column: &str) -> u64 {
        let reply = self.connect().query("SHOW WEIR FILTERS LIKE 'copies'").unwrap();
        reply.rows().and_then(|rows| rows.text(0, column)).expect(column).parse().unwrap()
    }

    fn until(&self, column: &str, is_it: impl Fn(u64) -> bool) {
        let began = Instant::now();
        while !is_it(self.figure(column)) {
            assert!(began.elapsed() < Duration::from_secs(20), "{column} stays {}", self.figure(column));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The tables at the cluster; the mirror, with its own.
fn servers(place: &Place) -> Lone {
    let mut admin = place.admin().unwrap();
    let table = "CREATE TABLE IF NOT EXISTS weir_mirrors.t (id INT PRIMARY KEY, n INT, s VARCHAR(20))";
    let both = ["CREATE DATABASE IF NOT EXISTS weir_mirrors", table];
    let own = ["REPLACE INTO weir_mirrors.t VALUES (1, 10, 'it''s'), (2, 20, 'b')"];
    let only = ["CREATE TABLE IF NOT EXISTS weir_mirrors.only_here (id INT)"];
    both.iter().chain(&own).chain(&only).for_each(|statement| drop(admin.sql(statement).unwrap()));
    admin.ensure_replicated().unwrap();
    let mirror = Lone::start(88, "").unwrap();
    mirror.sql(&both).unwrap();
    let rest = [
        "INSERT INTO weir_mirrors.t VALUES (1, 999, 'other')",
        "CREATE USER copies IDENTIFIED BY 'copies'",
        "GRANT ALL ON *.* TO copies",
        "SET GLOBAL log_output = 'TABLE'",
        "SET GLOBAL general_log = ON",
    ];
    mirror.sql(&rest).unwrap();
    mirror
}

impl<M> Drop for Mirrored<M> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn create(args: &str) -> String {
    format!("CREATE FILTER copies () WITH_PATTERN () EXECUTE (action='MIRROR', action_args='target=next{args}')")
}

/// Texts and prepared statements with their parameters, in their session's schema and state. What writes, locks, is within a transaction
/// or depends on its session stays here.
#[test]
fn plain_reads_are_copied_and_nothing_else() {
    let (_others, mirrored) = Mirrored::start();
    let mut client = mirrored.connect();
    let select = client.prepare("SELECT n FROM t WHERE id = ? AND s = ?").unwrap();
    client.run(create("")).unwrap();
    assert_eq!(client.cell("SELECT n FROM t WHERE id = 1").unwrap().as_deref(), Some("10"));
    for _ in 0..2 {
        let reply = client.execute(&select, &[Value::Int(1), Value::text("it's")]).unwrap().success().unwrap();
        assert_eq!(reply.rows().unwrap().texts()[0][0].as_deref(), Some("10"));
    }
    client.run("SET sql_mode = 'ANSI_QUOTES'").unwrap();
    assert_eq!(client.cell("SELECT \"n\" FROM \"t\" WHERE id = 2").unwrap().as_deref(), Some("20"));
    let mut latin = Client::connect(&{
        let mut options = Options::tcp("127.0.0.1", mirrored.gate.port()).user("app").password("app");
        options.charset = 8;
        options
    })
    .unwrap();
    assert_eq!(latin.cell(&b"SELECT COUNT(*) FROM weir_mirrors.t WHERE s = '\xfc'"[..]).unwrap().as_deref(), Some("0"));
    mirrored.until("mirrored", |n| n == 5);
    let mut expected = vec![
        "SELECT COUNT(*) FROM weir_mirrors.t WHERE s = 'ü'".to_owned(),
        "SELECT \"n\" FROM \"t\" WHERE id = 2".to_owned(),
        "SELECT n FROM t WHERE id = 1".to_owned(),
        "SELECT n FROM t WHERE id = 1 AND s = 'it\\'s'".to_owned(),
        "SELECT n FROM t WHERE id = 1 AND s = 'it\\'s'".to_owned(),
    ];
    let sorted = |mut all: Vec<String>| {
        all.sort_unstable();
        all
    };
    expected.sort_unstable();
    assert_eq!(sorted(mirrored.arrived()), expected);
    assert_eq!(mirrored.figure("mirror_unfit"), 1, "SET");

    let mut other = mirrored.connect();
    for statement in [
        "INSERT INTO t VALUES (7, 7, 'x')",
        "UPDATE t SET n = 8 WHERE id = 7",
        "SELECT n FROM t WHERE id = 7 FOR UPDATE",
        "DELETE FROM t WHERE id = 7",
        "DO 1",
        "SELECT LAST_INSERT_ID() FROM t",
        "SELECT CONNECTION_ID() + 0",
        "SELECT n INTO @n FROM t WHERE id = 1",
        "SELECT @n FROM t",
    ] {
        other.query(statement).unwrap().success().unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let mut third = mirrored.connect();
    for statement in ["BEGIN", "SELECT n FROM t WHERE id = 1", "COMMIT", "SELECT 1; SELECT n FROM t"] {
        third.query(statement).unwrap().success().unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    third.run("PREPARE named FROM 'SELECT n FROM t WHERE id = 1'").unwrap();
    third.cell("EXECUTE named").unwrap();
    mirrored.until("mirror_unfit", |n| n == 16);
    assert_eq!(sorted(mirrored.arrived()), expected);

    // What the mirror refuses, the client does not hear of; what its account might write there, it may not.
    client.query("SELECT * FROM only_here").unwrap().success().unwrap();
    mirrored.until("mirror_failed", |n| n == 1);
    client.run("DROP FILTER copies").unwrap();
    client.cell("SELECT n FROM t WHERE id = 1").unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(mirrored.arrived().len(), expected.len() + 1);
    let rows = mirrored.mirror.root().unwrap().cell("SELECT COUNT(*) FROM weir_mirrors.t").unwrap();
    assert_eq!(rows.as_deref(), Some("1"));
}

/// A sample, and who may be a target.
#[test]
fn a_part_is_copied_and_targets_are_known() {
    let (_others, mirrored) = Mirrored::start();
    let mut client = mirrored.connect();
    let refused = |outcome: Result<_, ClientError>| match outcome {
        Err(ClientError::Server(error)) => (error.code, error.message),
        other => panic!("it is refused: {other:?}"),
    };
    let unknown = create("").replace("target=next", "target=nobody");
    let (code, text) = refused(client.run(unknown));
    assert!(code == 1105 && text.contains("this gate knows no mirror 'nobody'"), "{code} {text}");
    let (code, text) = refused(client.run(create("; writes=allow")));
    assert!(code == 1064 && text.contains("writes are never mirrored"), "{code} {text}");
    client.run(create("; percent=10")).unwrap();
    let explained = client.rows("/*explain filter*/ SELECT 1").unwrap();
    assert_eq!(explained[0][5].as_deref(), Some("sends a copy of 10 % of them to next, of plain reads"));
    (0..300).for_each(|_| drop(client.cell("SELECT n FROM t WHERE id = 1").unwrap()));
    mirrored.until("mirroring", |n| n == 0);
    let copied = mirrored.figure("mirrored") + mirrored.figure("mirror_dropped") + mirrored.figure("mirror_failed");
    assert!((5..90).contains(&copied), "{copied} of 300");
    let (code, text) = refused(client.run("ALTER FILTER copies EXECUTE (action_args='target=nobody')"));
    assert!(code == 1105 && text.contains("knows no mirror"), "{code} {text}");
}

/// A target that hangs, is gone, and comes back: no client waits, what finds no room is dropped, and everything is counted.
#[test]
fn no_client_waits_for_a_mirror() {
    let (_others, mirrored) = Mirrored::start();
    let mut client = mirrored.connect();
    // Long enough that the round is over before the mirror counts as away, when copies fail at once and none is dropped.
    client.run(create("; max_queue_size=5; max_ms=2000")).unwrap();
    client.cell("SELECT n FROM t WHERE id = 1").unwrap();
    mirrored.until("mirrored", |n| n == 1);
    let round = |client: &mut Client| {
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(client.cell("SELECT n FROM t WHERE id = 1").unwrap().as_deref(), Some("10"));
        }
        began.elapsed()
    };
    let all = || ["mirrored", "mirror_failed", "mirror_dropped"].map(|column| mirrored.figure(column));
    mirrored.mirror.server().sigstop();
    let hung = round(&mut client);
    let [_, _, dropped] = all();
    assert!(dropped >= 40, "{:?}", all());
    mirrored.mirror.server().sigcont();
    mirrored.until("mirroring", |n| n == 0);
    assert_eq!(all().iter().sum::<u64>(), 101, "{:?}", all());

    mirrored.mirror.server().kill9();
    let dead = round(&mut client);
    mirrored.until("mirroring", |n| n == 0);
    assert_eq!(all().iter().sum::<u64>(), 201, "{:?}", all());
    mirrored.mirror.server().start().unwrap();
    let began = Instant::now();
    let before = mirrored.figure("mirrored");
    while mirrored.figure("mirrored") == before {
        assert!(began.elapsed() < Duration::from_secs(20), "it is back, and gets no copies: {:?}", all());
        client.cell("SELECT n FROM t WHERE id = 1").unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    // Generous: what is excluded are waits for the mirror, of 2 s each.
    assert!(hung.max(dead) < Duration::from_secs(10), "{hung:?} {dead:?}");
}

/// A target that takes connections and says nothing: it is left alone after the first copies, and the others need not wait for it.
#[test]
fn a_mirror_that_hangs_in_the_handshake_is_left_alone() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("CREATE DATABASE IF NOT EXISTS weir_mirrors").unwrap();
    admin.ensure_replicated().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(silent.local_addr().unwrap());
    let mirrored = Mirrored::before(place, silent, address);
    let mut client = mirrored.connect();
    client.run(create("; max_ms=4000")).unwrap();
    (0..60).for_each(|_| drop(client.cell("SELECT 1 + 1").unwrap()));
    // Three at a time for four seconds each would take eighty.
    mirrored.until("mirror_failed", |n| n == 60);
}

/// Rows of the configuration, with TLS and a file for the password: they come and go by a reload.
#[test]
fn mirrors_follow_a_reload() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mirror = servers(place);
    let name = format!("weir-mirrors-{}.password", std::process::id());
    let password = std::env::temp_dir().join(name);
    std::fs::write(&password, "copies\n").unwrap();
    let without = "filters_file = \"filters.sql\"\n";
    let gate = Process::start("mirrors", without, &[]);
    let mut client = gate.client();
    assert!(client.run(create("")).is_err_and(|error| error.to_string().contains("knows no mirror 'next'")));
    gate.write(&format!(
        "{without}[[mirrors]]\nname = \"next\"\naddress = \"127.0.0.1:{}\"\nuser = \"copies\"\n\
         password_file = \"{}\"\ntls = \"required\"\n",
        mirror.server().port(),
        password.display()
    ));
    assert_eq!(gate.reload().unwrap(), "[[mirrors]]: other rows");
    client.run(create("; max_ms=5000")).unwrap();
    let mut figure = |column: &str, wanted: u64| {
        let began = Instant::now();
        loop {
            client.cell("SELECT n FROM weir_mirrors.t WHERE id = 1").unwrap();
            let reply = client.query("SHOW WEIR FILTERS LIKE 'copies'").unwrap();
            let found: u64 = reply.rows().and_then(|rows| rows.text(0, column)).expect(column).parse().unwrap();
            if found >= wanted {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{column} stays {found}\n{}", gate.log());
            thread::sleep(Duration::from_millis(50));
        }
    };
    figure("mirrored", 2);
    let ciphers = "SELECT COUNT(*) FROM performance_schema.status_by_thread s JOIN performance_schema.threads t USING (thread_id) \
                   WHERE s.variable_name = 'Ssl_cipher' AND s.variable_value <> '' AND t.processlist_user = 'copies'";
    let encrypted: u64 = mirror.root().unwrap().cell(ciphers).unwrap().unwrap().parse().unwrap();
    assert!(encrypted > 0, "its connections are in plain");
    gate.write(without);
    assert_eq!(gate.reload().unwrap(), "[[mirrors]]: other rows");
    figure("mirror_failed", 2);
    let _ = std::fs::remove_file(&password);
}
