//! S60 to S63, S66: every way to write is seen by who wrote, hints and settings choose the level, and replicas that stand
//! still or are too late get no reads. What many sessions do at once is `consistency`'s.
//!
//! Replicas are late by [`LATE_S`] seconds on purpose, so what a read of a replica shows is old for certain; a row that
//! differs on each node tells who answered.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use weir_control::client::value::Value;
use weir_control::client::{Client, Options};
use weir_control::config::Config;
use weir_control::gate::{self, GateHandle};
use weir_control::lab::template::MONITOR;
use weir_core::snapshot::Address;
use weir_net::flags::Capabilities;
use weir_tests::real::place::{PASSWORD, Place, USER, place};

/// Of each replica behind its source. A test's write and its read are a few milliseconds apart.
const LATE_S: u32 = 3;

/// Sessions that see something new.
const ROUNDS: u64 = 60;

/// Sessions that read what only a replica shows.
const SESSIONS: usize = 16;

/// One thing that a session does; `{n}` is the new version.
enum Step {
    Sql(&'static str),
    /// Prepared and executed, with the version as the parameter.
    Prepared(&'static str),
    /// `LOAD DATA LOCAL`, with this file.
    File(&'static str, &'static str),
    /// Fails, after it has written.
    Fails(&'static str),
    ResetConnection,
    ChangeUser,
}

use Step::{ChangeUser, Fails, File, Prepared, ResetConnection, Sql};

/// A way to write.
struct Form {
    name: &'static str,
    steps: &'static [Step],
    /// Whether the gate learns a GTID of it, so that other sessions can be told to wait for it.
    has_gtid: bool,
}

const fn form(name: &'static str, steps: &'static [Step]) -> Form {
    Form { name, steps, has_gtid: true }
}

const fn without_gtid(name: &'static str, steps: &'static [Step]) -> Form {
    Form { name, steps, has_gtid: false }
}

const FORMS: &[Form] = &[
    form("a text", &[Sql("UPDATE t SET v={n}")]),
    form("a version comment", &[Sql("/*!80000 UPDATE t SET v={n} */")]),
    form("a prepared statement", &[Prepared("UPDATE t SET v=?")]),
    form("a prepared text", &[Sql("PREPARE p FROM 'UPDATE t SET v={n}'"), Sql("EXECUTE p")]),
    form("a transaction", &[Sql("BEGIN"), Sql("UPDATE t SET v={n}"), Sql("COMMIT")]),
    form(
        "a transaction with a savepoint",
        &[
            Sql("BEGIN"),
            Sql("UPDATE t SET v={n}"),
            Sql("SAVEPOINT s"),
            Sql("UPDATE t SET v=0"),
            Sql("ROLLBACK TO s"),
            Sql("COMMIT"),
        ],
    ),
    form(
        "autocommit off",
        &[Sql("SET autocommit=0"), Sql("UPDATE t SET v={n}"), Sql("COMMIT"), Sql("SET autocommit=1")],
    ),
    form("autocommit on again", &[Sql("SET autocommit=0"), Sql("UPDATE t SET v={n}"), Sql("SET autocommit=1")]),
    form("a second begin", &[Sql("BEGIN"), Sql("UPDATE t SET v={n}"), Sql("BEGIN"), Sql("COMMIT")]),
    form(
        "a change of schema in a transaction",
        &[Sql("BEGIN"), Sql("UPDATE t SET v={n}"), Sql("CREATE OR REPLACE VIEW other AS SELECT 1 AS v")],
    ),
    form("commit and chain", &[Sql("BEGIN"), Sql("UPDATE t SET v={n}"), Sql("COMMIT AND CHAIN"), Sql("COMMIT")]),
    form(
        "completion_type",
        &[
            Sql("SET completion_type=1"),
            Sql("BEGIN"),
            Sql("UPDATE t SET v={n}"),
            Sql("COMMIT"),
            Sql("COMMIT AND NO CHAIN"),
        ],
    ),
    form("two statements, the first writes", &[Sql("UPDATE t SET v={n}; SELECT 1")]),
    form("two statements, the second writes", &[Sql("SELECT 1; UPDATE t SET v={n}")]),
    form("three statements, two write", &[Sql("UPDATE t SET v={n}; UPDATE aside SET v={n}; SELECT 1")]),
    without_gtid("two statements, the second fails", &[Fails("UPDATE t SET v={n}; SELECT * FROM nowhere")]),
    // What pins a connection to the primary is tried once more with the pin taken away.
    form("a procedure", &[Sql("CALL raise_to({n})")]),
    form("a procedure, then a reset", &[Sql("CALL raise_to({n})"), ResetConnection]),
    form("a procedure with a result", &[Sql("CALL raise_and_show({n})")]),
    without_gtid("a procedure that fails", &[Fails("CALL raise_and_fail({n})")]),
    without_gtid("a procedure that fails, then a reset", &[Fails("CALL raise_and_fail({n})"), ResetConnection]),
    form("a function", &[Sql("SELECT raised({n})")]),
    form("a function, then a reset", &[Sql("SELECT raised({n})"), ResetConnection]),
    form("replace", &[Sql("REPLACE INTO t VALUES (1, {n})")]),
    form("insert or update", &[Sql("INSERT INTO t VALUES (1, 0) ON DUPLICATE KEY UPDATE v={n}")]),
    form("several tables", &[Sql("UPDATE t, aside SET t.v={n}, aside.v={n}")]),
    form("with", &[Sql("WITH x AS (SELECT {n} AS n) UPDATE t, x SET t.v=x.n")]),
    form("delete and insert", &[Sql("DELETE FROM t"), Sql("INSERT INTO t VALUES (1, {n})")]),
    form("insert select", &[Sql("DELETE FROM t"), Sql("INSERT INTO t SELECT 1, {n}")]),
    form("truncate", &[Sql("TRUNCATE TABLE t"), Sql("INSERT INTO t VALUES (1, {n})")]),
    form("load data", &[File("LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE t", "1\t{n}\n")]),
    form("lock tables", &[Sql("LOCK TABLES t WRITE"), Sql("UPDATE t SET v={n}"), Sql("UNLOCK TABLES")]),
    form(
        "xa",
        &[
            Sql("XA START 'x'"),
            Sql("UPDATE t SET v={n}"),
            Sql("XA END 'x'"),
            Sql("XA PREPARE 'x'"),
            Sql("XA COMMIT 'x'"),
        ],
    ),
    form(
        "xa in one phase",
        &[Sql("XA START 'x'"), Sql("UPDATE t SET v={n}"), Sql("XA END 'x'"), Sql("XA COMMIT 'x' ONE PHASE")],
    ),
    form("a hint for the primary", &[Sql("/*vt+ ROLE=PRIMARY */ UPDATE t SET v={n}")]),
    form("a reset connection", &[Sql("UPDATE t SET v={n}"), ResetConnection]),
    form("a changed user", &[Sql("UPDATE t SET v={n}"), ChangeUser]),
    form("trackers that the client switches off", &[Sql("SET session_track_gtids=OFF"), Sql("UPDATE t SET v={n}")]),
    form("a warning", &[Sql("UPDATE t SET v={n}"), Sql("DROP TABLE IF EXISTS nowhere")]),
    form(
        "a temporary table beside it",
        &[Sql("CREATE TEMPORARY TABLE mine (v INT)"), Sql("UPDATE t SET v={n}"), Sql("DROP TEMPORARY TABLE mine")],
    ),
    // Last: the replicas never get it, and their row is behind for good.
    without_gtid(
        "no binlog",
        &[Sql("SET sql_log_bin=0"), Sql("UPDATE t SET v={n}"), Sql("SET sql_log_bin=1"), ResetConnection],
    ),
];

const SETUP: &[&str] = &[
    "DROP DATABASE IF EXISTS weir_fresh",
    "CREATE DATABASE weir_fresh",
    "CREATE TABLE weir_fresh.t (id INT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)",
    "CREATE TABLE weir_fresh.aside (id INT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)",
    "CREATE TABLE weir_fresh.who (id INT NOT NULL PRIMARY KEY, node INT NOT NULL)",
    "INSERT INTO weir_fresh.t VALUES (1, 0)",
    "INSERT INTO weir_fresh.aside VALUES (1, 0)",
    "INSERT INTO weir_fresh.who VALUES (1, 0)",
    "CREATE PROCEDURE weir_fresh.raise_to (n BIGINT) UPDATE t SET v=n",
    "CREATE PROCEDURE weir_fresh.raise_and_show (n BIGINT) BEGIN UPDATE t SET v=n; SELECT v FROM t; END",
    "CREATE PROCEDURE weir_fresh.raise_and_fail (n BIGINT) \
     BEGIN UPDATE t SET v=n; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT='so it is'; END",
    "CREATE FUNCTION weir_fresh.raised (n BIGINT) RETURNS BIGINT DETERMINISTIC MODIFIES SQL DATA BEGIN UPDATE t SET v=n; RETURN n; END",
];

const READ: &str = "SELECT t.v, who.node FROM t, who WHERE t.id=1 AND who.id=1";

/// Late replicas and a gate in front of them. What was done to the replicas is undone at the end.
struct Stage<'a> {
    place: &'a Place,
    gate: GateHandle,
    version: u64,
}

impl<'a> Stage<'a> {
    fn open(place: &'a Place, change: &dyn Fn(&mut Config)) -> Stage<'a> {
        let backends: Vec<_> = place.backends.iter().map(|backend| Address::Tcp(*backend)).collect();
        let mut config = Config::local(&backends, MONITOR.0, MONITOR.1);
        config.cores.truncate(1);
        change(&mut config);
        let mut stage = Stage { place, gate: gate::start(config).unwrap(), version: 0 };
        stage.delay(0);
        for statement in SETUP {
            stage.node(0).run(statement).unwrap();
        }
        if let Err(why) = stage.place.admin().unwrap().ensure_replicated() {
            let errors = "SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_worker";
            panic!("{why}: {:?}", stage.node(1).rows(errors).unwrap());
        }
        for node in 1..place.backends.len() {
            let mut client = stage.node(node);
            for statement in ["SET sql_log_bin=0", &format!("UPDATE weir_fresh.who SET node={node}")] {
                // The account may write where others may only read; nobody may where `super_read_only` is on.
                client.run("SET GLOBAL super_read_only=OFF").unwrap();
                client.run(statement).unwrap();
                client.run("SET GLOBAL super_read_only=ON").unwrap();
            }
        }
        stage
    }

    fn node(&self, number: usize) -> Client {
        let address = Address::Tcp(self.place.backends[number]);
        Client::connect(&Options::address(&address).user(USER).password(PASSWORD)).unwrap()
    }

    fn replicas(&self, statements: &[&str]) {
        for node in 1..self.place.backends.len() {
            let mut client = self.node(node);
            statements.iter().for_each(|statement| drop(client.run(statement).unwrap()));
        }
    }

    fn delay(&mut self, seconds: u32) {
        (1..self.place.backends.len()).for_each(|node| self.delay_one(node, seconds));
    }

    fn delay_one(&self, node: usize, seconds: u32) {
        let mut client = self.node(node);
        let change = format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY={seconds}");
        for statement in ["STOP REPLICA SQL_THREAD", &change, "START REPLICA SQL_THREAD"] {
            client.run(statement).unwrap();
        }
    }

    /// A session of the gate's at this level, which waits for no replica.
    fn session(&self, level: &str) -> Client {
        let options = self.gate.client_options(USER, PASSWORD).unwrap();
        let options = options.schema("weir_fresh").with(Capabilities::LOCAL_FILES);
        let mut client = Client::connect(&options).unwrap();
        set_level(&mut client, level);
        client
    }

    fn write(&mut self, client: &mut Client, level: &str, form: &Form) -> u64 {
        self.version += 1;
        let with_version = |text: &str| text.replace("{n}", &self.version.to_string());
        for step in form.steps {
            match step {
                Sql(text) => drop(client.query(with_version(text)).unwrap().success().unwrap()),
                Prepared(text) => {
                    let statement = client.prepare(text).unwrap();
                    let version = Value::UInt(self.version);
                    client.execute(&statement, &[version]).unwrap().success().unwrap();
                }
                File(text, content) => {
                    let reply = client.query_with_file(text, with_version(content).as_bytes()).unwrap();
                    reply.success().unwrap();
                }
                Fails(text) => {
                    let reply = client.query(with_version(text)).unwrap();
                    assert!(reply.error().is_some(), "{}: {text}", form.name);
                }
                ResetConnection => {
                    client.reset_connection().unwrap();
                    client.run("USE weir_fresh").unwrap();
                }
                ChangeUser => drop(client.change_user(USER, PASSWORD, "weir_fresh").unwrap()),
            }
        }
        // Some of them set it back.
        set_level(client, level);
        self.version
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.delay(0);
    }
}

fn set_level(client: &mut Client, level: &str) {
    client.run(format!("SET SESSION read_after_write_consistency='{level}'")).unwrap();
    client.run("SET read_after_write_timeout=0").unwrap();
}

/// The version and the node.
fn read(client: &mut Client, text: &str) -> (u64, usize) {
    let rows = client.rows(text).unwrap();
    let row = rows.first().unwrap();
    (row[0].as_deref().unwrap().parse().unwrap(), row[1].as_deref().unwrap().parse().unwrap())
}

/// S61, S62: what was written in whatever way is read by the session itself, and by others at `INSTANCE`. At `EVENTUAL`
/// the same read shows the past, which proves that each way was tried on late replicas.
#[test]
fn every_way_to_write_is_seen_by_who_wrote() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::open(place, &|_| {});
    stage.delay(LATE_S);
    let mut witness = stage.session("INSTANCE");
    let (mut stale, mut untried) = (Vec::new(), Vec::new());
    for form in FORMS {
        let mut client = stage.session("EVENTUAL");
        let written = stage.write(&mut client, "EVENTUAL", form);
        match read(&mut client, READ) {
            (_, 0) => untried.push(form.name),
            (seen, node) => assert_ne!(seen, written, "{}: node {node} is not late", form.name),
        }
        drop(client);
        let mut client = stage.session("SESSION");
        let written = stage.write(&mut client, "SESSION", form);
        for _ in 0..3 {
            let (seen, node) = read(&mut client, READ);
            if seen != written {
                stale.push(format!("{}: its session reads {seen} on node {node}, not {written}", form.name));
                break;
            }
        }
        let (seen, node) = read(&mut witness, READ);
        if form.has_gtid && seen != written {
            stale.push(format!("{}: at INSTANCE another reads {seen} on node {node}, not {written}", form.name));
        }
    }
    println!("at EVENTUAL the primary answered behind: {untried:?}");
    assert!(stale.is_empty(), "{}", stale.join("\n"));
    assert!(untried.len() <= FORMS.len() / 4, "too few ways were tried on late replicas: {untried:?}");
}

/// S60: what a session has seen once, it keeps seeing. One replica is in time, the other is not, and what is seen was
/// written by somebody else: the session's own writes tell it nothing.
///
/// The trap: a replica may show more than the gate knew of it when it chose it.
#[test]
fn what_was_seen_once_is_seen_again() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::open(place, &|_| {});
    let mut direct = stage.node(0);
    let mut lost = Vec::new();
    let mut late_reads = 0;
    for round in 1..=ROUNDS {
        let level = ["SESSION", "INSTANCE", "GLOBAL"][round as usize % 3];
        stage.delay(0);
        stage.place.admin().unwrap().ensure_replicated().unwrap();
        stage.delay_one(2, LATE_S);
        let mut client = stage.session(level);
        direct.run(format!("UPDATE weir_fresh.t SET v={round}")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while read(&mut client, READ).0 < round {
            late_reads += 1;
            assert!(Instant::now() < deadline, "nobody shows version {round}");
        }
        for _ in 0..20 {
            let (seen, node) = read(&mut client, READ);
            if seen < round {
                lost.push(format!("{level}, round {round}: {seen} on node {node}"));
                break;
            }
        }
    }
    assert!(lost.is_empty(), "{} of {ROUNDS} sessions went back:\n{}", lost.len(), lost.join("\n"));
    assert!(late_reads > 0, "no read was early enough to matter");
}

/// S60: a replica may show what its primary does not show yet: with semi-synchronous replication the primary's rows wait
/// for an acknowledgement, the replicas' don't. Who has seen such a row does not lose it, at `GLOBAL` neither, where the
/// primary's word is asked for.
#[test]
fn what_only_a_replica_shows_is_not_lost_again() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::open(place, &|_| {});
    let mut primary = stage.node(0);
    primary.run("SET sql_log_bin=0").unwrap();
    // It is there already when this is not the first test of a cluster that somebody keeps.
    let _ = primary.query("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'").unwrap();
    primary.run("SET GLOBAL rpl_semi_sync_source_timeout=60000").unwrap();
    primary.run("SET GLOBAL rpl_semi_sync_source_wait_no_replica=ON").unwrap();
    let mut lost = Vec::new();
    for (round, level) in (1..).zip(["SESSION", "INSTANCE", "GLOBAL"]) {
        stage.delay(0);
        stage.place.admin().unwrap().ensure_replicated().unwrap();
        stage.delay_one(2, LATE_S);
        // A session reads on one replica for a while: of so many some meet the one that is not late.
        let mut clients: Vec<_> = (0..SESSIONS).map(|_| (stage.session(level), 0)).collect();
        primary.run("SET GLOBAL rpl_semi_sync_source_enabled=ON").unwrap();
        let mut writer = stage.node(0);
        std::thread::scope(|scope| {
            // Nobody acknowledges: it returns when that is no longer wanted.
            scope.spawn(move || writer.run(format!("UPDATE weir_fresh.t SET v={round}")).unwrap());
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(u64::from(LATE_S) * 1_000 / 2) {
                for (client, highest) in &mut clients {
                    let (seen, node) = read(client, READ);
                    if seen < *highest {
                        lost.push(format!("{level}: {seen} on node {node} after {highest}"));
                    }
                    *highest = seen.max(*highest);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            primary.run("SET GLOBAL rpl_semi_sync_source_enabled=OFF").unwrap();
            let shown = clients.iter().filter(|(_, highest)| *highest == round).count();
            assert!(shown > 0, "{level}: no replica showed what the primary held back");
        });
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// S60: hints in a statement, settings for all, and what `SHOW` and `SELECT` say of them.
#[test]
fn hints_and_settings_choose_the_level() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::open(place, &|_| {});
    stage.delay(LATE_S);
    let mut direct = stage.node(0);
    let mut write_directly = |version: u64| drop(direct.run(format!("UPDATE weir_fresh.t SET v={version}")).unwrap());
    let hinted = |level: &str| READ.replace("SELECT", &format!("SELECT /*vt+ READ_AFTER_WRITE_CONSISTENCY={level} */"));
    let mut eventual = stage.session("EVENTUAL");
    write_directly(1_001);
    assert_ne!(read(&mut eventual, READ).0, 1_001, "the replicas are not late");
    assert_eq!(read(&mut eventual, &hinted("GLOBAL")).0, 1_001);
    let mut global = stage.session("GLOBAL");
    write_directly(1_002);
    let (seen, node) = read(&mut global, &hinted("EVENTUAL"));
    assert!(seen != 1_002 && node > 0, "{seen} on node {node}");
    assert_eq!(read(&mut global, READ).0, 1_002);
    // A hint for replicas is no leave to be stale.
    write_directly(1_003);
    let replica = READ.replace("SELECT", "SELECT /*vt+ ROLE=REPLICA */");
    assert_eq!(read(&mut global, &replica).0, 1_003);
    for (name, value) in [
        ("read_after_write_consistency", "INSTANCE"),
        ("read_after_write_timeout", "0.250"),
        ("read_write_splitting_policy", "LEAST_RT"),
        ("read_write_splitting_ratio", "50"),
    ] {
        eventual.run(format!("SET SESSION {name}='{value}'")).unwrap();
        assert_eq!(eventual.cell(format!("SELECT @@{name}")).unwrap().as_deref(), Some(value));
        let shown = eventual.rows(format!("SHOW VARIABLES LIKE '{name}'")).unwrap();
        assert_eq!(shown, [[Some(name.to_owned()), Some(value.to_owned())]]);
        let wrong = eventual.query(format!("SET SESSION {name}='nonsense'")).unwrap();
        assert!(wrong.error().is_some(), "{name} takes nonsense");
        assert_eq!(eventual.cell(format!("SELECT @@{name}")).unwrap().as_deref(), Some(value));
    }
}

/// S60: an admin sets them for the whole gate; sessions follow, but for what they have set themselves.
#[test]
fn admins_set_the_level_for_all() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::open(place, &|config| config.settings.admin_users = format!("somebody, {USER}"));
    let mut admin = stage.session("EVENTUAL");
    let mut other = Client::connect(&stage.gate.client_options(USER, PASSWORD).unwrap()).unwrap();
    let show = |client: &mut Client, name: &str| client.cell(format!("SELECT {name}")).unwrap().unwrap();
    for (name, value, configured) in [
        ("read_after_write_consistency", "INSTANCE", "SESSION"),
        ("read_after_write_timeout", "0.250", "0.020"),
        ("read_write_splitting_policy", "DISABLE", "LEAST_OUTSTANDING"),
        ("read_write_splitting_ratio", "50", "100"),
        ("enable_read_write_splitting_for_read_only_txn", "1", "0"),
    ] {
        let (global, session) = (format!("@@GLOBAL.{name}"), format!("@@{name}"));
        let own = show(&mut admin, &session);
        admin.run(format!("SET GLOBAL {name}='{value}'")).unwrap();
        assert_eq!((show(&mut admin, &global), show(&mut other, &session)), (value.to_owned(), value.to_owned()));
        if name == "read_after_write_consistency" {
            assert_eq!(show(&mut admin, &session), own, "it has set it itself");
        }
        let wrong = admin.query(format!("SET GLOBAL {name}='nonsense'")).unwrap();
        assert_eq!(wrong.error().map(|error| error.code), Some(1231));
        assert_eq!(show(&mut other, &global), value);
        admin.run(format!("SET GLOBAL {name}=DEFAULT")).unwrap();
        assert_eq!(show(&mut other, &session), configured);
    }
    let token = admin.query("SET GLOBAL read_after_write_gtid=''").unwrap();
    assert_eq!(token.error().map(|error| error.code), Some(1228));
    // It does what it says: without splitting the primary answers.
    admin.run("SET GLOBAL read_write_splitting_policy=DISABLE").unwrap();
    other.run("USE weir_fresh").unwrap();
    assert!((0..20).all(|_| read(&mut other, READ).1 == 0), "a replica has answered");
}

#[test]
fn who_is_no_admin_sets_nothing_for_others() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::open(place, &|_| {});
    let mut client = stage.session("EVENTUAL");
    let refused = client.query("SET GLOBAL read_write_splitting_ratio=0").unwrap();
    let error = refused.error().expect("it is refused");
    assert!(error.code == 1227 && error.message.contains("admin_users"), "{}", error.message);
    assert_eq!(client.cell("SELECT @@GLOBAL.read_write_splitting_ratio").unwrap().as_deref(), Some("100"));
}

/// S09, S66: a replica whose applier stands still, or that is later than the limit, answers nothing, at any level; the
/// primary does.
#[test]
fn replicas_that_stand_still_or_are_too_late_get_no_reads() {
    let place = place();
    let _alone = place.stage.write().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::open(place, &|config| config.settings.replica_lag_ms_max = 1_000);
    let mut direct = stage.node(0);
    let mut client = stage.session("EVENTUAL");
    let until_nodes = |client: &mut Client, what: &str, wanted: &dyn Fn(usize) -> bool, pulse: &mut dyn FnMut()| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut since = None;
        // A second long none but the wanted ones answer.
        while since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
            assert!(Instant::now() < deadline, "{what}");
            pulse();
            match wanted(read(client, READ).1) {
                true => since = since.or(Some(Instant::now())),
                false => since = None,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut pulse = || drop(direct.run("UPDATE weir_fresh.t SET v=v+1").unwrap());
    until_nodes(&mut client, "replicas in time get no reads", &|node| node > 0, &mut pulse);
    stage.replicas(&["STOP REPLICA SQL_THREAD"]);
    until_nodes(&mut client, "replicas that stand still get reads", &|node| node == 0, &mut pulse);
    stage.replicas(&["START REPLICA SQL_THREAD"]);
    until_nodes(&mut client, "replicas that go on get no reads", &|node| node > 0, &mut pulse);
    stage.delay(LATE_S);
    until_nodes(&mut client, "replicas that are too late get reads", &|node| node == 0, &mut pulse);
}
