//! Filters on real MySQL: each action, on each path that a statement can take, while filters come, change and go.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::value::Value;
use weir_control::client::{Client, ClientError, Options, Rows, Statement};
use weir_control::config::Config;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, ask, place};
use weir_tests::real::wire::{Account, Wire};

/// A gate whose filters are kept in a file, and where `app` may change them.
struct Filtered {
    gate: Option<Gate>,
    file: PathBuf,
}

impl Filtered {
    /// Behind who has all servers for himself; its tables are there.
    fn open() -> (RwLockReadGuard<'static, ()>, Filtered) {
        let place = place();
        let others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
        schema(place);
        (others, Filtered::start(place))
    }

    fn start(place: &Place) -> Filtered {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-filters-{}-{}.sql", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut filtered = Filtered { gate: None, file: std::env::temp_dir().join(name) };
        let _ = std::fs::remove_file(&filtered.file);
        filtered.restart(place, |_| {});
        filtered
    }

    fn restart(&mut self, place: &Place, more: impl Fn(&mut Config)) {
        self.gate = None;
        let options = GateOptions { connections_per_backend: 24, cores_max: 2, socket: None };
        let gate = Gate::start_with(place, options, |config| {
            config.settings.admin_users = "app".to_owned();
            config.filters_file = Some(self.file.clone());
            more(config);
        });
        self.gate = Some(gate.unwrap_or_else(|why| panic!("{why}")));
    }

    fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("it was started")
    }

    fn connect(&self) -> Client {
        self.connect_as("app", "app")
    }

    fn connect_as(&self, user: &str, password: &str) -> Client {
        let options =
            Options::tcp("127.0.0.1", self.gate().port()).user(user).password(password).schema("weir_filters");
        Client::connect(&options).unwrap()
    }

    /// One figure of a filter.
    fn figure(&self, name: &str, column: &str) -> u64 {
        let mut client = self.connect();
        let reply = client.query(format!("SHOW WEIR FILTERS LIKE '{name}'")).unwrap();
        reply
            .rows()
            .and_then(|rows| rows.text(0, column))
            .unwrap_or_else(|| panic!("{name} has no {column}"))
            .parse()
            .unwrap()
    }

    fn until(&self, name: &str, column: &str, wanted: u64) {
        let began = Instant::now();
        while self.figure(name, column) != wanted {
            assert!(began.elapsed() < Duration::from_secs(10), "{column} of {name} is not {wanted}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Filtered {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn schema(place: &Place) {
    let mut admin = place.admin().unwrap();
    for statement in [
        "CREATE DATABASE IF NOT EXISTS weir_filters",
        "CREATE TABLE IF NOT EXISTS weir_filters.t1 (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE IF NOT EXISTS weir_filters.t2 (id INT PRIMARY KEY, n INT)",
        "REPLACE INTO weir_filters.t1 VALUES (1, 10), (2, 20)",
        "REPLACE INTO weir_filters.t2 VALUES (1, 100)",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
}

/// `weir_filtered`, who may read.
fn another_user() {
    let mut direct = place().admin().unwrap();
    direct.sql("CREATE USER IF NOT EXISTS weir_filtered IDENTIFIED BY 'app'").unwrap();
    direct.sql("GRANT SELECT ON weir_filters.* TO weir_filtered").unwrap();
    direct.ensure_replicated().unwrap();
}

fn create(name: &str, priority: u32, pattern: &str, execute: &str) -> String {
    format!(
        "CREATE FILTER {name} (desc='about {name}', priority='{priority}') WITH_PATTERN ({pattern}) EXECUTE ({execute})"
    )
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Err(ClientError::Server(error)) => (error.code, error.message.clone()),
        other => panic!("no error of a server: {other:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>, name: &str) {
    let (code, text) = code(outcome);
    assert!(code == 1105 && text.contains(&format!("The filter '{name}' refuses this statement")), "{code} {text}");
}

fn execute(client: &mut Client, statement: &Statement, params: &[Value]) -> Result<String, ClientError> {
    let reply = client.execute(statement, params)?.success()?;
    Ok(reply
        .rows()
        .map(Rows::texts)
        .unwrap_or_default()
        .first()
        .and_then(|row| row.first().cloned().flatten())
        .unwrap_or_default())
}

/// Texts, packets of several statements, prepared ones of both kinds, texts that stream, and what the gate answers itself.
#[test]
fn what_a_filter_refuses_comes_through_on_no_path() {
    let (_others, filtered) = Filtered::open();
    let (mut admin, mut client) = (filtered.connect(), filtered.connect());
    let before = client.prepare("SELECT n FROM t1 WHERE id = ?").unwrap();
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "10");
    client.run("PREPARE named FROM 'SELECT n FROM t1 WHERE id = 1'").unwrap();
    client.run("SET @text = 'SELECT n FROM weir_filters.t1'").unwrap();
    client.run("PREPARE variable FROM @text").unwrap();
    assert_eq!(client.cell("EXECUTE named").unwrap().as_deref(), Some("10"));
    client.query("EXECUTE variable").unwrap().success().unwrap();

    admin
        .run(create("closed", 1000, "plans='Select', fully_qualified_table_names='weir_filters.t1'", "action='FAIL'"))
        .unwrap();
    refused(client.rows("SELECT n FROM t1"), "closed");
    refused(client.rows("select n from `weir_filters`.t2, t1"), "closed");
    refused(client.rows("/* x */ WITH a AS (SELECT * FROM t1) SELECT * FROM a"), "closed");
    refused(client.query("SELECT 1; SELECT n FROM t1; SELECT 2").and_then(|reply| reply.success()), "closed");
    refused(client.prepare("SELECT n FROM t1"), "closed");
    refused(execute(&mut client, &before, &[Value::Int(1)]), "closed");
    refused(client.rows("EXECUTE named"), "closed");
    refused(client.rows("EXECUTE variable"), "closed");
    refused(client.run(r"PREPARE again FROM 'SELECT n FROM t1 WHERE n > \'5\''").map(drop), "closed");
    let long = format!("SELECT n FROM t1 WHERE id IN ({}1)", "1234567,".repeat(50_000));
    assert!(long.len() > 300 << 10);
    let mut streams = filtered.connect();
    let outcome = streams.rows(&long);
    assert!(outcome.is_err_and(|error| error.to_string().contains("'closed' refuses")), "a text that streams");
    // What is none of it goes on, in a transaction too, and a refusal leaves it as it was.
    client.run("BEGIN").unwrap();
    client.run("UPDATE t1 SET n = 11 WHERE id = 1").unwrap();
    refused(client.rows("SELECT n FROM t1"), "closed");
    client.run("COMMIT").unwrap();
    assert_eq!(client.cell("SELECT n FROM t2").unwrap().as_deref(), Some("100"));
    assert_eq!(filtered.figure("closed", "failed"), filtered.figure("closed", "matched"));

    admin
        .run("ALTER FILTER closed (desc='', priority='5') WITH_PATTERN (plans='Update') EXECUTE (action='FAIL')")
        .unwrap();
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "11");
    refused(client.run("UPDATE t1 SET n = 10 WHERE id = 1"), "closed");
    admin.run("DROP FILTER closed").unwrap();
    client.run("UPDATE t1 SET n = 10 WHERE id = 1").unwrap();
    assert_eq!(client.cell("EXECUTE named").unwrap().as_deref(), Some("10"));

    admin.run(create("ids", 1, "query_regex='(?i)select connection_id\\(\\)'", "action='FAIL'")).unwrap();
    refused(client.cell("SELECT CONNECTION_ID()"), "ids");
    assert_eq!(client.cell("SELECT connection_id() + 0").unwrap(), Some(client.connection_id().to_string()));
}

/// Priorities, states, who sends it, comments, and what is told of it all.
#[test]
fn filters_are_told_in_the_order_in_which_they_are_looked_at() {
    let (_others, filtered) = Filtered::open();
    another_user();
    let mut admin = filtered.connect();
    let mut other = filtered.connect_as("weir_filtered", "app");
    let fail = "action='FAIL'";
    for statement in [
        create("last", 3000, "plans='Select'", fail),
        create("counts", 10, "plans='Select'", "action='CONTINUE'"),
        create("user", 20, "user_regex='weir_.*', request_ip_regex='127\\.0\\.0\\.1'", fail),
        create("comment", 30, "leading_comment_regex='.*job=night.*'", fail),
        create("elsewhere", 40, "request_ip_regex='10\\..*'", fail),
        create("template", 50, "query_template='select n from t2 where id = :id'", fail),
    ] {
        admin.run(&statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let explained = |client: &mut Client, sql: &str| -> Vec<String> {
        let rows = client.rows(format!("/*explain filter*/ {sql}")).unwrap();
        rows.into_iter().map(|row| format!("{} {}", row[0].clone().unwrap(), row[5].clone().unwrap())).collect()
    };
    let over = "nothing: one before it has refused the statement";
    assert_eq!(explained(&mut admin, "SELECT 1"), ["counts counts it", "last refuses it"]);
    assert_eq!(
        explained(&mut other, "SELECT n FROM t2 WHERE id=7"),
        [
            "counts counts it".to_owned(),
            "user refuses it".to_owned(),
            format!("template {over}"),
            format!("last {over}")
        ]
    );
    assert_eq!(explained(&mut admin, "UPDATE t2 SET n=1"), Vec::<String>::new());
    refused(admin.rows("SELECT 1"), "last");
    refused(other.rows("SELECT 1"), "user");
    refused(admin.rows("SELECT n FROM t2 WHERE id=7"), "template");
    admin.run("ALTER FILTER last (status='DRY_RUN')").unwrap();
    assert_eq!(explained(&mut admin, "SELECT 1")[1], "last counts it (DRY_RUN)");
    admin.rows("SELECT 1").unwrap();
    admin.run("ALTER FILTER last (status='INACTIVE')").unwrap();
    assert_eq!(explained(&mut admin, "SELECT 1"), ["counts counts it"]);
    admin.rows("SELECT 1").unwrap();
    refused(admin.run("/* job=night */ UPDATE t2 SET n=n"), "comment");
    assert_eq!((filtered.figure("last", "matched"), filtered.figure("last", "failed")), (2, 1));
    assert!(filtered.figure("counts", "matched") >= 5);

    // Shown, and made again from what is shown.
    let shown = admin.query("SHOW FILTER template").unwrap();
    let cell = |name: &str| shown.rows().unwrap().text(0, name).unwrap();
    assert_eq!((cell("query_template"), cell("action")), ("select n from t2 where id = :id".into(), "FAIL".into()));
    let again = admin.rows("SHOW CREATE FILTER template").unwrap()[0][1].clone().unwrap();
    admin.run("DROP FILTER template").unwrap();
    admin.rows("SELECT n FROM t2 WHERE id=7").unwrap();
    admin.run(&again).unwrap();
    refused(admin.rows("SELECT n FROM t2 WHERE id=7"), "template");
    let names: Vec<String> =
        admin.rows("SHOW FILTERS").unwrap().into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(names, ["counts", "user", "comment", "elsewhere", "template", "last"]);

    // Mistakes, and who may not.
    for (sql, number, expected) in [
        ("CREATE FILTER x () WITH_PATTERN (plans='Selekt') EXECUTE (action='FAIL')", 1064, "use some of Select"),
        ("CREATE FILTER x () WITH_PATTERN (query_regex='(') EXECUTE (action='FAIL')", 1064, "no regular expression"),
        ("CREATE FILTER x () WITH_PATTERN () EXECUTE (action='MIRROR')", 1064, "target is missing"),
        (&again, 1105, "exists already"),
        ("DROP FILTER nobody", 1105, "there is no filter 'nobody'"),
        ("SHOW FILTER nobody", 1105, "there is no filter 'nobody'"),
        ("ALTER FILTER user (priority='soon')", 1105, "no whole number"),
    ] {
        let (code, text) = code(admin.query(sql).and_then(|reply| reply.success()));
        assert!(code == number && text.contains(expected), "{sql}: {code} {text}");
    }
    admin.run("DROP FILTER user").unwrap();
    let (denied, text) = code(other.run("DROP FILTER last"));
    assert!(denied == 1227 && text.contains("admin_users"), "{denied} {text}");
    assert_eq!(other.rows("SHOW FILTERS").unwrap().len(), 5);
}

/// Who sends a statement is who the session's user is now, and comes from where a balancer says.
#[test]
fn filters_mean_the_user_of_now_and_the_address_behind_a_balancer() {
    let (_others, mut filtered) = Filtered::open();
    another_user();
    let mut client = filtered.connect_as("weir_filtered", "app");
    let mut admin = filtered.connect();
    admin.run(create("guests", 1, "user_regex='weir_.*'", "action='FAIL'")).unwrap();
    refused(client.cell("SELECT n FROM t2"), "guests");
    client.change_user("app", "app", "weir_filters").unwrap();
    assert_eq!(client.cell("SELECT n FROM t2").unwrap().as_deref(), Some("100"));
    client.change_user("weir_filtered", "app", "weir_filters").unwrap();
    refused(client.cell("SELECT n FROM t2"), "guests");
    refused(client.prepare("SELECT n FROM t2"), "guests");
    admin.run("DROP FILTER guests").unwrap();
    admin.run(create("office", 1, r"request_ip_regex='192\.0\.2\..*'", "action='FAIL'")).unwrap();
    assert_eq!(client.cell("SELECT n FROM t2").unwrap().as_deref(), Some("100"), "it comes from the loopback");
    drop((client, admin));

    filtered.restart(place(), |config| config.settings.proxy_networks.add("127.0.0.0/8").unwrap());
    for (from, is_refused) in [("192.0.2.7", true), ("198.51.100.7", false), ("127.0.0.1", false)] {
        let preface = format!("PROXY TCP4 {from} 203.0.113.1 40000 3306\r\n").into_bytes();
        let account = Account { preface, ..place().account() };
        let mut wire = Wire::login(&filtered.gate().address(), &account).unwrap();
        let reply = ask(&mut wire, "SELECT n FROM weir_filters.t2");
        assert_eq!(reply.as_ref().is_err_and(|why| why.contains("'office' refuses")), is_refused, "{from}: {reply:?}");
        assert_eq!(reply.is_ok(), !is_refused, "{from}");
    }
}

/// A change of the file by hand is obeyed within seconds; the next process begins with what the last one had.
#[test]
fn filters_outlive_their_gate_in_a_file() {
    let (_others, mut filtered) = Filtered::open();
    filtered.connect().run(create("kept", 1, "plans='Delete'", "action='FAIL'")).unwrap();
    filtered.restart(place(), |_| {});
    let mut client = filtered.connect();
    refused(client.run("DELETE FROM t2 WHERE id = 99"), "kept");
    std::fs::write(&filtered.file, format!("{};\n", create("other", 1, "plans='Insert'", "action='FAIL'"))).unwrap();
    let began = Instant::now();
    while client.run("DELETE FROM t2 WHERE id = 99").is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the file is not looked at");
        thread::sleep(Duration::from_millis(50));
    }
    refused(client.run("INSERT INTO t2 VALUES (99, 0)"), "other");
    // With a mistake in it, what holds goes on to hold.
    std::fs::write(&filtered.file, "create filter nonsense").unwrap();
    thread::sleep(Duration::from_millis(1_500));
    refused(client.run("INSERT INTO t2 VALUES (99, 0)"), "other");
}

/// As many run as may, on all cores together, in order; the rest waits, is refused, or goes on when the filter changes or goes.
#[test]
fn a_filter_lets_only_so_many_statements_run() {
    let (_others, filtered) = Filtered::open();
    let mut admin = filtered.connect();
    let limit = |running: u32, queue: u32, wait: u32| {
        format!(
            "action='CONCURRENCY_CONTROL', \
             action_args='max_concurrency={running}; max_queue_size={queue}; max_wait_ms={wait}'"
        )
    };
    admin.run(create("slow", 1, "query_regex='(?i)do sleep.*'", &limit(2, 6, 10_000))).unwrap();
    let run = |count: usize, seconds: &'static str| -> Vec<Result<(), ClientError>> {
        let mut clients: Vec<Client> = (0..count).map(|_| filtered.connect()).collect();
        thread::scope(|scope| {
            let all = clients.iter_mut().enumerate().map(|(at, client)| {
                scope.spawn(move || match at % 2 {
                    0 => client.run(format!("DO SLEEP({seconds})")).map(drop),
                    _ => {
                        let statement = client.prepare("DO SLEEP(?)").unwrap();
                        execute(client, &statement, &[Value::Bytes(seconds.into())]).map(drop)
                    }
                })
            });
            let all: Vec<_> = all.collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let began = Instant::now();
    assert!(run(6, "0.4").iter().all(Result::is_ok));
    assert!(began.elapsed() >= Duration::from_millis(1_200), "three times two: {:?}", began.elapsed());
    assert_eq!(filtered.figure("slow", "queued"), 4);
    let full: Vec<_> = run(8, "0.5").into_iter().filter_map(Result::err).map(|error| code::<()>(Err(error))).collect();
    assert_eq!(full.len(), 2, "{full:?}");
    assert!(full.iter().all(|(code, text)| *code == 3168 && text.contains("(max_queue_size)")), "{full:?}");
    admin.run(format!("ALTER FILTER slow EXECUTE ({})", limit(2, 6, 700))).unwrap();
    let late: Vec<_> = run(4, "1.5").into_iter().filter_map(Result::err).map(|error| code::<()>(Err(error))).collect();
    assert_eq!(late.len(), 2, "{late:?}");
    assert!(late.iter().all(|(code, text)| *code == 3168 && text.contains("(max_wait_ms)")), "{late:?}");
    assert_eq!(filtered.figure("slow", "rejected"), 4);

    // Who waits goes on when more may run, and when nobody is held back any more; who leaves the line is forgotten.
    for change in [format!("ALTER FILTER slow EXECUTE ({})", limit(9, 20, 20_000)), "DROP FILTER slow".to_owned()] {
        admin.run(format!("ALTER FILTER slow EXECUTE ({})", limit(1, 20, 20_000))).unwrap();
        let (mut first, mut second, mut third) = (filtered.connect(), filtered.connect(), filtered.connect());
        thread::scope(|scope| {
            let holder = scope.spawn(move || first.run("DO SLEEP(6)").map(drop));
            filtered.until("slow", "running", 1);
            let waiter = scope.spawn(move || second.run("DO SLEEP(0)").map(drop));
            filtered.until("slow", "waiting", 1);
            third.send_command(weir_net::command::Command::Query, b"DO SLEEP(0)").unwrap();
            filtered.until("slow", "waiting", 2);
            drop(third);
            filtered.until("slow", "waiting", 1);
            let began = Instant::now();
            admin.run(&change).unwrap();
            waiter.join().unwrap().unwrap();
            assert!(began.elapsed() < Duration::from_secs(4), "{change}: {:?}", began.elapsed());
            holder.join().unwrap().unwrap();
        });
        if !change.starts_with("DROP") {
            filtered.until("slow", "running", 0);
        }
    }
    assert!(run(6, "0").iter().all(Result::is_ok));
}

/// Who holds locks in a transaction does not wait for those that wait for them. It counts all the same.
#[test]
fn a_transaction_passes_the_queue_of_a_filter() {
    let (_others, filtered) = Filtered::open();
    let (mut holder, mut waiter) = (filtered.connect(), filtered.connect());
    let one = "action='CONCURRENCY_CONTROL', action_args='max_concurrency=1; max_queue_size=10'";
    holder.run(create("rows", 1, "plans='Update', fully_qualified_table_names='weir_filters.t1'", one)).unwrap();
    holder.run("BEGIN").unwrap();
    holder.run("UPDATE t1 SET n = n + 1 WHERE id = 2").unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(move || waiter.run("UPDATE t1 SET n = n + 1 WHERE id = 2").map(drop));
        filtered.until("rows", "running", 1);
        holder.run("UPDATE t1 SET n = n + 1 WHERE id = 1").unwrap();
        holder.run("COMMIT").unwrap();
        waits.join().unwrap().unwrap();
    });
    filtered.until("rows", "running", 0);
    assert_eq!(filtered.figure("rows", "rejected"), 0);
}

/// The server gets another text, of queries, of packets and of prepared statements, and its own back when the filter is gone.
#[test]
fn statements_are_rewritten() {
    let (_others, filtered) = Filtered::open();
    let (mut admin, mut client) = (filtered.connect(), filtered.connect());
    let before = client.prepare("SELECT n FROM t1 WHERE id = ?").unwrap();
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "10");
    client.run("PREPARE named FROM 'SELECT n FROM t1 WHERE id = 1'").unwrap();
    let args = r#"pattern="(?i)from t1\b"; replacement="FROM t2""#;
    let rewrite = |args: &str| format!("action='REWRITE', action_args='{args}'");
    admin.run(create("moved", 1, "plans='Select', query_regex='(?i).* from t1 .*'", &rewrite(args))).unwrap();
    assert_eq!(client.cell("SELECT n FROM t1 WHERE id = 1").unwrap().as_deref(), Some("100"));
    let reply = client.query("DO 1; SELECT n FROM t1 WHERE id = 1; SELECT 5").unwrap();
    assert!(reply.success().is_ok());
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "100");
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "100");
    let after = client.prepare("SELECT n FROM t1 WHERE id = ?").unwrap();
    assert_eq!(execute(&mut client, &after, &[Value::Int(1)]).unwrap(), "100");
    let (number, text) = code(client.rows("EXECUTE named"));
    assert!(number == 1105 && text.contains("'moved' cannot rewrite") && text.contains("by name"), "{number} {text}");
    let rows = client.rows("/*explain filter*/ SELECT n FROM t1 WHERE id = 1").unwrap();
    assert_eq!(rows[0][5].as_deref(), Some("rewrites it: SELECT n FROM t2 WHERE id = 1"));
    // In a transaction, and for the writer of the session itself.
    client.run("BEGIN").unwrap();
    client.run("UPDATE t2 SET n = 101 WHERE id = 1").unwrap();
    assert_eq!(client.cell("SELECT n FROM t1 WHERE id = 1").unwrap().as_deref(), Some("101"));
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "101");
    client.run("ROLLBACK").unwrap();
    assert_eq!(filtered.figure("moved", "rewritten"), 7);

    // Another number of parameters cannot be; another text of the same filter can.
    let args = r#"pattern="id = \\?"; replacement="id = ? AND n = ?""#;
    admin.run(format!("ALTER FILTER moved EXECUTE ({})", rewrite(args))).unwrap();
    let (number, text) = code(execute(&mut client, &before, &[Value::Int(1)]));
    assert!(number == 1105 && text.contains("another number of parameters"), "{number} {text}");
    let args = r#"pattern="SELECT n"; replacement="SELECT n + 7""#;
    admin.run(format!("ALTER FILTER moved EXECUTE ({})", rewrite(args))).unwrap();
    assert_eq!(execute(&mut client, &before, &[Value::Int(1)]).unwrap(), "17");
    let args = r#"pattern="^.*$"; replacement="SHOW WEIR STATUS""#;
    admin.run(format!("ALTER FILTER moved EXECUTE ({})", rewrite(args))).unwrap();
    let (number, text) = code(client.rows("SELECT n FROM t1 WHERE id = 1"));
    assert!(number == 1105 && text.contains("for the gate, not for MySQL"), "{number} {text}");
    admin.run("DROP FILTER moved").unwrap();
    for statement in [&before, &after] {
        assert_eq!(execute(&mut client, statement, &[Value::Int(1)]).unwrap(), "10");
    }
    assert_eq!(client.cell("EXECUTE named").unwrap().as_deref(), Some("10"));
    assert_eq!(client.cell("SELECT n FROM t1 WHERE id = 1").unwrap().as_deref(), Some("10"));
}
