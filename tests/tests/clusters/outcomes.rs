//! S72 on real MySQL: what a binary log shows of who committed what, as `mysqlbinlog` reads it too; and what a look-up makes of it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use weir_control::client::asynchronous::{AsyncClient, More};
use weir_control::client::{Client, Options};
use weir_control::lab::Mysql;
use weir_control::lab::template::{APP, MONITOR, REPLICATION};
use weir_control::monitor::lookup::{Accounts, Answer, Question, Sought, look_up};
use weir_core::mail::Finding;
use weir_net::binlog::{Transactions, Writer, put_dump_gtid};
use weir_net::gtid::{GtidSet, Sid};
use weir_tests::real::lone::Lone;

/// A source and a server that has followed it.
struct Pair {
    old: Lone,
    new: Lone,
}

impl Pair {
    fn start(first_id: u32, cnf: &str) -> Pair {
        let (old, new) = (Lone::start(first_id, cnf).unwrap(), Lone::start(first_id + 1, cnf).unwrap());
        old.sql(&["CREATE DATABASE w", "CREATE TABLE w.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT UNIQUE)"]).unwrap();
        let source = format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={}, SOURCE_USER='{}', SOURCE_PASSWORD='{}', \
             SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
            old.server().port(),
            REPLICATION.0,
            REPLICATION.1
        );
        new.sql(&[&source, "START REPLICA"]).unwrap();
        // One that has just begun may have given the same ids in a life before, in which nothing here was sent.
        while cell(&old, "SELECT VARIABLE_VALUE > 2 FROM performance_schema.global_status WHERE VARIABLE_NAME='Uptime'")
            != "1"
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        Pair { old, new }
    }

    /// The new one has all of the old one's, and is a primary now.
    fn promote(&self) {
        let executed = executed(&self.old);
        let until = Instant::now() + LIMIT;
        while !self::executed(&self.new).contains(&executed) {
            assert!(Instant::now() < until, "the replica does not catch up");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.new.sql(&["STOP REPLICA", "RESET REPLICA ALL"]).unwrap();
    }

    fn client(&self) -> (Client, u32) {
        let mut client = Client::connect(&options(&self.old, APP)).unwrap();
        let id = client.cell("SELECT CONNECTION_ID()").unwrap().unwrap().parse().unwrap();
        (client, id)
    }

    /// As a gate finds it: the primary is asked, and the old one when that is not enough.
    fn find(&self, at: &Lone, thread_id: u32, others: &GtidSet) -> Result<Finding, String> {
        match ask(at, uuid(&self.old), thread_id, others, None, REPLICATION)? {
            Answer::Found(finding) => Ok(finding),
            Answer::Among(set) => {
                let among = Some(set);
                match ask(&self.old, uuid(&self.old), thread_id, others, among, REPLICATION)? {
                    Answer::Found(finding) => Ok(finding),
                    Answer::Among(_) => Err("the source itself knows".to_owned()),
                }
            }
        }
    }
}

fn ask(
    at: &Lone,
    source: [u8; 16],
    thread_id: u32,
    others: &GtidSet,
    among: Option<GtidSet>,
    dump: (&str, &str),
) -> Result<Answer, String> {
    let accounts = Accounts { look: options(at, APP), dump: options(at, dump) };
    let sought = vec![Sought { thread_id, others: others.clone(), sent_ms: 0, among }];
    let question = Question { source, sought };
    runtime().block_on(look_up(&accounts, &question)).map(|mut answers| answers.remove(0))
}

fn options(at: &Lone, (user, password): (&str, &str)) -> Options {
    Options::tcp("127.0.0.1", at.server().port()).user(user).password(password).timeout(Some(LIMIT))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn cell(at: &Lone, sql: &str) -> String {
    at.root().unwrap().cell(sql).unwrap().unwrap_or_default()
}

fn executed(at: &Lone) -> GtidSet {
    GtidSet::parse(cell(at, "SELECT @@GLOBAL.gtid_executed").as_bytes()).unwrap()
}

fn uuid(at: &Lone) -> [u8; 16] {
    let set = GtidSet::parse(format!("{}:1", cell(at, "SELECT @@server_uuid")).as_bytes()).unwrap();
    set.iter().next().unwrap().0.uuid
}

fn is_unknown(finding: Result<Finding, String>) -> bool {
    matches!(finding, Ok(Finding::Unknown(_)))
}

/// Everything that the server's log has, by our own reading.
fn read_all(at: &Lone) -> BTreeMap<(Sid, u64), u32> {
    let (mut all, mut transactions) = (BTreeMap::new(), Transactions::default());
    let mut command = Vec::new();
    put_dump_gtid(&mut command, &GtidSet::new());
    runtime().block_on(async {
        let mut client = AsyncClient::connect(&options(at, REPLICATION)).await.unwrap();
        client.query("SET @source_binlog_checksum=@@GLOBAL.binlog_checksum").await.unwrap().success().unwrap();
        let take = |packet: &[u8]| {
            if packet[0] != 0 {
                assert_eq!(packet[0], 0xfe, "{}", String::from_utf8_lossy(packet));
                return Ok(More::Enough);
            }
            if let Some((sid, number, Writer::Thread { id, .. })) = transactions.handle_event(&packet[1..])? {
                all.insert((sid, number), id);
            }
            Ok(More::Wanted)
        };
        client.stream(LIMIT, &command, 64 << 20, take).await.unwrap();
    });
    assert_eq!(transactions.finish(), None);
    all
}

/// The same by MySQL's own tool: the first thread id behind each GTID.
fn read_with_mysqlbinlog(at: &Lone) -> BTreeMap<(Sid, u64), u32> {
    let mysql = Mysql::find(None, &mut |_| {}).unwrap();
    let program = mysql.mysqld.parent().unwrap().parent().unwrap().join("bin/mysqlbinlog");
    let logs = at.root().unwrap().rows("SHOW BINARY LOGS").unwrap();
    let mut all = BTreeMap::new();
    for log in logs {
        let file = log[0].clone().unwrap();
        let mut command = Command::new(&program);
        command.args(["--no-defaults", "--read-from-remote-server", "--host=127.0.0.1", "--base64-output=DECODE-ROWS"]);
        command.args([&format!("--port={}", at.server().port()), &format!("--user={}", REPLICATION.0)]);
        command.args([&format!("--password={}", REPLICATION.1), "--get-server-public-key", &file]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut current: Option<(Sid, u64)> = None;
        for line in text.lines() {
            if let Some(gtid) = line.strip_prefix("SET @@SESSION.GTID_NEXT= '").and_then(|rest| rest.split('\'').next())
            {
                let set = GtidSet::parse(gtid.as_bytes()).unwrap_or_default();
                current = set.iter().next().map(|(sid, number, _)| (sid.clone(), number));
            }
            if let Some((_, rest)) = line.split_once("thread_id=")
                && let Some(gtid) = current.take()
            {
                let thread: String = rest.chars().take_while(char::is_ascii_digit).collect();
                all.insert(gtid, thread.parse().unwrap());
            }
        }
    }
    all
}

/// With and without checksums; DDL, transactions, tags; on the source and on its replica, which has them from their first writer.
#[test]
fn thread_ids_are_read_as_mysqlbinlog_reads_them() {
    for (first_id, cnf) in [(910, "binlog-checksum=CRC32\n"), (920, "binlog-checksum=NONE\n")] {
        let pair = Pair::start(first_id, cnf);
        let (mut one, id) = pair.client();
        one.run("USE w").unwrap();
        one.run("INSERT INTO t (v) VALUES (1)").unwrap();
        let before = executed(&pair.old);
        for sql in ["BEGIN", "INSERT INTO t (v) VALUES (2)", "SAVEPOINT s", "UPDATE t SET v=v+10", "COMMIT"] {
            one.run(sql).unwrap();
        }
        let (mut other, other_id) = pair.client();
        other.run("CREATE TABLE w.u (a LONGTEXT)").unwrap();
        other.run("INSERT INTO w.u VALUES (REPEAT('x', 20000000))").unwrap();
        other.run("FLUSH BINARY LOGS").unwrap();
        other.run("SET gtid_next='AUTOMATIC:a_tag'").unwrap();
        other.run("DROP TABLE w.u").unwrap();
        other.run("SET gtid_next='AUTOMATIC'").unwrap();
        pair.promote();
        for server in [&pair.old, &pair.new] {
            let (ours, theirs) = (read_all(server), read_with_mysqlbinlog(server));
            assert_eq!(ours, theirs);
            assert_eq!(ours.len() as u64, executed(server).count());
            assert!(ours.keys().any(|(sid, _)| sid.tag.as_deref() == Some("a_tag")));
        }
        let ours = read_all(&pair.old);
        let by = |thread| ours.values().filter(|writer| **writer == thread).count();
        assert_eq!((by(id), by(other_id)), (2, 3));
        // Why the new one's own log is not asked: rows are there under an applier's id.
        assert!(!read_all(&pair.new).values().any(|writer| *writer == id));
        let Ok(Finding::Committed(found)) = pair.find(&pair.new, id, &before) else {
            panic!("the transaction is there")
        };
        assert_eq!(found.count(), 1);
        assert!(!before.contains(&found) && executed(&pair.old).contains(&found));
        // The tagged one is known of too, and read past the large one.
        let Ok(Finding::Committed(found)) = pair.find(&pair.new, other_id, &before) else { panic!("they are there") };
        assert_eq!(found.count(), 3);
        assert_eq!(pair.find(&pair.new, id + 1000, &before), Ok(Finding::Absent));
    }
}

/// What was not replicated is absent; what hides a transaction makes it unknown.
#[test]
fn a_primary_says_what_it_has_and_the_source_who_wrote_it() {
    let pair = Pair::start(930, "");
    let (mut one, id) = pair.client();
    one.run("USE w").unwrap();
    let before = executed(&pair.old);
    let source = uuid(&pair.old);
    assert_eq!(pair.find(&pair.old, id + 500, &before), Ok(Finding::Absent), "the source itself");
    assert!(pair.find(&pair.new, id, &before).is_err(), "it still follows another");
    // The connection is open: what it does may still come.
    assert!(pair.find(&pair.old, id, &before).is_err());
    one.run("INSERT INTO t (v) VALUES (1)").unwrap();
    let first = executed(&pair.old);
    one.run("SET SESSION binlog_transaction_compression=ON").unwrap();
    one.run("INSERT INTO t (v) VALUES (2)").unwrap();
    one.run("SET SESSION binlog_transaction_compression=OFF").unwrap();
    pair.promote();
    let all = executed(&pair.new);
    // Only the old one has this.
    one.run("INSERT INTO t (v) VALUES (3)").unwrap();
    drop(one);
    assert!(matches!(pair.find(&pair.new, id, &before), Ok(Finding::Committed(set)) if set.count() == 1));
    assert!(is_unknown(pair.find(&pair.new, id, &first)), "compressed");
    assert_eq!(pair.find(&pair.new, id, &all), Ok(Finding::Absent), "only the old one has it");
    assert!(ask(&pair.new, source, id, &before, Some(first.clone()), REPLICATION).is_err(), "another server");
    // Who may not read a log says so.
    let refused = ask(&pair.old, source, id, &before, Some(minus(&first, &before)), MONITOR);
    let says = |why: &str| why.contains("REPLICATION SLAVE");
    assert!(matches!(&refused, Ok(Answer::Found(Finding::Unknown(why))) if says(why)), "{refused:?}");
    // After a restart ids are given anew. What was written before it is told apart by when it was.
    std::thread::sleep(Duration::from_millis(3_500));
    pair.old.server().kill9();
    pair.old.server().start().unwrap();
    for _ in 0..id {
        drop(pair.client());
    }
    assert!(matches!(pair.find(&pair.new, id, &before), Ok(Finding::Committed(set)) if set.count() == 1));
    pair.old.sql(&["FLUSH BINARY LOGS"]).unwrap();
    let log = cell(&pair.old, "SHOW BINARY LOG STATUS");
    pair.old.sql(&[&format!("PURGE BINARY LOGS TO '{log}'")]).unwrap();
    assert!(is_unknown(pair.find(&pair.new, id, &before)), "purged");
}

fn minus(set: &GtidSet, other: &GtidSet) -> GtidSet {
    let mut left = set.clone();
    left.subtract(other);
    left
}

/// The gate gives a connection whose user has changed these to others only after a reset: then they are as at the login.
#[test]
fn a_reset_takes_a_disguise_off() {
    let lone = Lone::start(940, "").unwrap();
    let mut client = Client::connect(&options(&lone, APP)).unwrap();
    let id = client.cell("SELECT CONNECTION_ID()").unwrap().unwrap();
    client.run("SET pseudo_thread_id=7, sql_log_bin=0, gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:5'").unwrap();
    client.run("ROLLBACK").unwrap();
    client.reset_connection().unwrap();
    let now = client.rows("SELECT @@pseudo_thread_id, @@sql_log_bin, @@gtid_next").unwrap().remove(0);
    assert_eq!(now.into_iter().map(Option::unwrap).collect::<Vec<_>>(), [&id, "1", "AUTOMATIC"]);
}

const LIMIT: Duration = Duration::from_secs(20);
