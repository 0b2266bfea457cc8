//! OpenTelemetry traces on real MySQL: whose trace a statement belongs to, what its spans say and don't say, how many there are, and a
//! collector that is away.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::config::TracesConfig;
use weir_control::lab::cache;
use weir_net::flags::Capabilities;
use weir_tests::real::bind::{self, Param};
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::reply::{self, Kind, Reply};
use weir_tests::real::wire::Wire;

#[path = "traces/collector.rs"]
mod collector;

use collector::{Collector, LIMIT, Traced};

/// One core, so that what is said of each core is said of the gate; every statement, unless it is told otherwise.
fn start(place: &Place, endpoint: &str, connections_per_backend: usize, sample: u32, per_s_max: u32) -> Gate {
    let endpoint = endpoint.to_owned();
    start_with(place, connections_per_backend, TracesConfig { endpoint, sample, per_s_max, ..TracesConfig::default() })
}

fn start_with(place: &Place, connections_per_backend: usize, traces: TracesConfig) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 1, socket: None };
    Gate::start_with(place, options, |config| config.traces = traces).unwrap_or_else(|why| panic!("{why}"))
}

fn traced(place: &Place, collector: &Collector, sample: u32) -> Gate {
    start(place, &format!("http://{}", collector.address()), 8, sample, 100_000)
}

/// A client that may send query attributes.
fn client(place: &Place, gate: &Gate) -> Wire {
    let mut account = place.account();
    account.capabilities = account.capabilities | Capabilities::QUERY_ATTRIBUTES;
    let wire = Wire::login(&gate.address(), &account).unwrap();
    assert!(wire.capabilities.contains(Capabilities::QUERY_ATTRIBUTES));
    wire
}

fn figure(place: &Place, gate: &Gate, name: &str) -> u64 {
    let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
    let reply = ask(&mut wire, &format!("SHOW WEIR STATUS LIKE '{name}'")).unwrap();
    first_cell(&reply.rows().into_iter().map(|row| row[1..].to_vec()).collect::<Vec<_>>()).parse().unwrap()
}

fn parent(trace: u64, flags: u8) -> String {
    format!("00-{trace:032x}-00000000000000aa-{flags:02x}")
}

fn attribute(value: &str) -> Param {
    Param::read(&format!("traceparent=str:{value}")).unwrap()
}

fn run(wire: &mut Wire, attributes: &[Param], statement: &str) -> Reply {
    wire.command(&bind::query(attributes, statement.as_bytes(), wire.capabilities)).unwrap();
    reply::read(wire, Kind::Query, false, None).unwrap()
}

fn prepare(wire: &mut Wire, statement: &str) -> u32 {
    wire.command(&[b"\x16", statement.as_bytes()].concat()).unwrap();
    reply::read(wire, Kind::Prepare, false, None).unwrap().prepared().unwrap().0
}

fn execute(wire: &mut Wire, id: u32, params: &[Param]) -> Reply {
    wire.command(&bind::execute(id, false, false, params, wire.capabilities)).unwrap();
    reply::read(wire, Kind::Query, true, None).unwrap()
}

/// Which trace each statement is in, by the number in its id.
fn is_in(number: u64) -> impl Fn(&Traced) -> bool {
    move |traced| traced.own.trace_id == u128::from(number).to_be_bytes()
}

fn texts(collector: &Collector) -> Vec<String> {
    collector.traced().iter().map(|traced| traced.says("db.query.text")).collect()
}

/// By attribute and by comment, of texts and of prepared statements; who does not want to be traced is not, and what is no context is counted.
#[test]
fn a_statement_is_in_its_callers_trace() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let collector = Collector::start();
    let gate = traced(place, &collector, 0);
    let mut wire = client(place, &gate);
    let number = Param::read("i64:5").unwrap();

    let state = |value: &str| Param::read(&format!("tracestate=str:{value}")).unwrap();
    run(&mut wire, &[number.clone(), state("of=attribute"), attribute(&parent(1, 1))], "SELECT 'by attribute'");
    let comment = format!("action='a%2Fb',traceparent='{}',tracestate='of%3Dcomment%2Cb%3D2'", parent(2, 1));
    run(&mut wire, &[], &format!("SELECT 'behind' /*{comment}*/"));
    run(&mut wire, &[], &format!("/*traceparent='{}'*/ SELECT 'in front'", parent(3, 1)));
    // The attribute is the nearer word.
    let comment = format!("traceparent='{}',tracestate='of%3Danother'", parent(99, 1));
    run(&mut wire, &[attribute(&parent(4, 1))], &format!("SELECT 'both' /*{comment}*/"));
    let id = prepare(&mut wire, "SELECT ? + 5");
    execute(&mut wire, id, &[number.clone(), attribute(&parent(5, 1)), state("of=execute")]);
    execute(&mut wire, id, std::slice::from_ref(&number));
    // A prepared text's comment leads its first execute, not all of them.
    let id = prepare(&mut wire, &format!("SELECT ? + 6 /*traceparent='{}',tracestate='of=first'*/", parent(6, 1)));
    (0..3).for_each(|_| drop(execute(&mut wire, id, std::slice::from_ref(&number))));
    // In a batch that is long enough to stream, as in any other.
    let long = format!("SELECT 'streamed{}'", "x".repeat(300 << 10));
    run(&mut wire, &[attribute(&parent(7, 1)), state("no state")], &long);

    run(&mut wire, &[attribute(&parent(8, 0))], "SELECT 'not sampled'");
    run(&mut wire, &[attribute("00-xyz")], "SELECT 'wrong'");
    run(&mut wire, &[], "SELECT 'wrong' /*traceparent='00-0-0-01'*/");
    run(&mut wire, &[], "SELECT 'none'");
    run(&mut wire, &[attribute(&parent(9, 1))], "SELECT 'last'");

    collector.find("the last one", is_in(9));
    let all = collector.traced();
    let expected = [
        (1, "query"),
        (2, "query"),
        (3, "query"),
        (4, "query"),
        (5, "execute"),
        (6, "prepare"),
        (6, "execute"),
        (7, "query"),
        (9, "query"),
    ];
    let found: Vec<_> = all.iter().map(|traced| (traced.own.trace_id.clone(), traced.says("weir.command"))).collect();
    let expected =
        expected.map(|(trace, command)| (u128::from(trace as u64).to_be_bytes().to_vec(), command.to_owned()));
    assert_eq!(found, expected, "{all:#?}");
    let states: Vec<&str> = all.iter().map(|traced| traced.own.trace_state.as_str()).collect();
    assert_eq!(states, ["of=attribute", "of=comment,b=2", "", "", "of=execute", "of=first", "of=first", "", ""]);
    for traced in &all {
        assert!(traced.backend.as_ref().is_some_and(|below| below.trace_state == traced.own.trace_state), "{traced:?}");
        traced.check();
        assert_eq!(traced.own.parent_span_id, 0xaa_u64.to_be_bytes(), "{traced:?}");
        assert!(traced.own.flags & 0x301 == 0x301 && traced.backend.is_some(), "{traced:?}");
    }
    assert_eq!(figure(place, &gate, "trace_contexts_wrong"), 2);
    assert_eq!(figure(place, &gate, "statements_traced"), 9);
}

/// The wait for a connection and the time at the backend lie in the statement's, and are as long as they were.
#[test]
fn times_nest_and_add_up() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let collector = Collector::start();
    let gate = start(place, &format!("http://{}", collector.address()), 1, 0, 100);
    let (mut holder, mut waiter) = (client(place, &gate), client(place, &gate));
    // The one connection of the primary.
    run(&mut holder, &[], "BEGIN");
    run(&mut holder, &[], "SELECT 1 FROM mysql.user LIMIT 1 FOR SHARE");
    let before = std::time::SystemTime::now();
    let took = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let began = Instant::now();
            assert!(
                run(&mut waiter, &[attribute(&parent(1, 1))], "SELECT SLEEP(0.3) FROM mysql.user LIMIT 1 FOR SHARE")
                    .error()
                    .is_none()
            );
            began.elapsed()
        });
        thread::sleep(Duration::from_millis(400));
        run(&mut holder, &[], "COMMIT");
        waits.join().unwrap()
    });
    let one = collector.find("the one that waited", is_in(1));
    one.check();
    let (wait, backend) = (one.wait.as_ref().expect("it waited"), one.backend.as_ref().expect("it ran"));
    let [all, wait_ns, backend_ns] = [&one.own, wait, backend].map(Traced::took_ns);
    assert!(wait_ns > 300_000_000 && wait_ns < 2_000_000_000, "{one:?}");
    assert!((300_000_000..2_000_000_000).contains(&backend_ns), "{one:?}");
    // What is neither is the gate's own, and the client waited for no less than all of it.
    let own_ns = all - wait_ns - backend_ns;
    assert!(own_ns < 200_000_000 && Duration::from_nanos(all) <= took, "{own_ns} {all} {took:?}");
    assert_eq!(one.says("weir.wait_us"), (wait_ns / 1_000).to_string());
    let began = before.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let apart = one.own.start_time_unix_nano.abs_diff(began);
    assert!(apart < 1_000_000_000, "the world's clock says another time: {apart} ns");
}

/// The route, the server, the error, and nothing of what is in the statements.
#[test]
fn spans_say_where_and_how_and_no_literal() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("CREATE DATABASE IF NOT EXISTS weir_traces").unwrap();
    admin.sql("CREATE TABLE IF NOT EXISTS weir_traces.orders (id INT PRIMARY KEY, note VARCHAR(40))").unwrap();
    admin.sql("DELETE FROM weir_traces.orders").unwrap();
    admin.sql("DROP USER IF EXISTS weir_traced").unwrap();
    admin.ensure_replicated().unwrap();
    let collector = Collector::start();
    let gate = traced(place, &collector, 1);
    let mut wire = client(place, &gate);
    run(&mut wire, &[], "USE weir_traces");
    run(&mut wire, &[], "INSERT INTO orders VALUES (1, 'secret')");
    let twice = run(&mut wire, &[], "INSERT INTO orders VALUES (1, 'secret')");
    assert!(twice.error().is_some());
    admin.ensure_replicated().unwrap();
    run(&mut wire, &[], "SELECT id, note FROM orders WHERE note <> 'secret2' /*action='secret'*/");
    let id = prepare(&mut wire, "SELECT note FROM orders WHERE id = ? AND note <> 'secret'");
    execute(&mut wire, id, &[Param::read("str:secret").unwrap()]);
    run(&mut wire, &[Param::read("secret=str:secret").unwrap()], "SELECT 'secret', x'5ec7e7', 0x5ec7 FROM orders");
    run(&mut wire, &[], "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')");
    run(&mut wire, &[], "CREATE USER weir_traced IDENTIFIED BY \"secret\"");
    run(&mut wire, &[], "SELECT \"note\" FROM orders; SELECT 'secret'");
    run(&mut wire, &[], "SELECT 'secret");
    run(&mut wire, &[], "SHOW WEIR POOLS");
    run(&mut wire, &[], "DROP USER IF EXISTS weir_traced");
    collector.find("the last one", |traced| traced.says("db.operation.name") == "DROP");

    let of = |text: &str| {
        collector.find(text, |traced| traced.says("db.query.text") == text && traced.says("weir.command") != "prepare")
    };
    let read = of("SELECT `id` , `note` FROM `orders` WHERE `note` != ?");
    assert_eq!((read.own.name.as_str(), read.says("db.namespace").as_str()), ("SELECT orders", "weir_traces"));
    assert_eq!(
        (read.says("weir.route"), read.says("db.response.returned_rows")),
        ("replica".to_owned(), "1".to_owned())
    );
    let port: u16 = read.backend_says("server.port").parse().unwrap();
    assert!(place.backends[1..].iter().any(|replica| replica.port() == port), "{read:?}");
    assert_eq!(read.backend_says("server.address"), "127.0.0.1");
    let executed = of("SELECT `note` FROM `orders` WHERE `id` = ? AND `note` != ?");
    assert_eq!(
        (executed.says("weir.command"), executed.says("db.query.summary")),
        ("execute".to_owned(), "SELECT orders".to_owned())
    );

    let failed = collector.find("the second insert", |traced| !traced.says("error.type").is_empty());
    assert_eq!(failed.says("db.response.status_code"), "1062");
    assert_eq!((failed.own.name.as_str(), failed.says("weir.route").as_str()), ("INSERT orders", "primary"));
    assert_eq!(failed.backend_says("server.port"), place.backends[0].port().to_string());
    assert_eq!(failed.own.status.as_ref().map(|status| status.code), Some(2), "{failed:?}");
    assert!(read.own.status.is_none(), "{read:?}");
    let local = collector.find("what the gate answers", |traced| traced.says("weir.route") == "gate");
    assert!(local.backend.is_none() && local.says("db.query.text").starts_with("SHOW"), "{local:?}");

    let all = collector.traced();
    all.iter().for_each(Traced::check);
    let roots: std::collections::BTreeSet<_> = all.iter().map(|traced| traced.own.trace_id.clone()).collect();
    assert!(roots.len() == all.len() && all.iter().all(|traced| traced.own.parent_span_id.is_empty()));
    let said = format!("{:?}", collector.requests());
    assert!(!said.to_lowercase().contains("secret") && !said.contains("5ec7"), "{:#?}", texts(&collector));
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let keys: Vec<&str> = resource.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, ["service.name", "service.version", "service.instance.id", "host.name"]);
}

/// One of so many by a draw, and never more in a second than may be.
#[test]
fn as_many_are_traced_as_were_asked_for() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let collector = Collector::start();
    let gate = traced(place, &collector, 10);
    let mut wire = client(place, &gate);
    (0..3_000).for_each(|_| drop(run(&mut wire, &[], "DO 1")));
    let count = figure(place, &gate, "statements_traced");
    assert!((210..400).contains(&count), "{count} of 3,000");
    let began = Instant::now();
    while figure(place, &gate, "traces_exported") < count {
        assert!(began.elapsed() < LIMIT);
    }
    // Those figures were asked for by statements, too.
    assert!(collector.traced().len() as u64 >= count);

    let gate = start(place, &format!("http://{}", collector.address()), 8, 0, 20);
    let mut wire = client(place, &gate);
    let began = Instant::now();
    (0..500).for_each(|n| drop(run(&mut wire, &[attribute(&parent(1_000 + n, 1))], "DO 2")));
    let most = 20.0 * (began.elapsed().as_secs_f64() + 1.0) + 1.0;
    let (traced, limited) = (figure(place, &gate, "statements_traced"), figure(place, &gate, "traces_limited"));
    assert!(traced >= 20 && traced as f64 <= most, "{traced} of 500, {most} may be");
    assert_eq!(traced + limited, 500);
}

/// No statement suffers while nobody takes the spans, what is lost is counted, and what comes when the collector is back is there.
#[test]
fn a_collector_that_is_away_costs_no_statement() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let first = Collector::start();
    let address = first.address();
    let gate = traced(place, &first, 1);
    let mut wire = client(place, &gate);
    run(&mut wire, &[attribute(&parent(1, 1))], "DO 1");
    first.find("the first one", is_in(1));
    drop(first);
    let away = Instant::now();

    // More than the queues hold: four thousand in each, and a batch.
    let mut longest = Duration::ZERO;
    for _ in 0..12_000 {
        let began = Instant::now();
        assert!(run(&mut wire, &[], "SHOW WEIR VARIABLES LIKE 'none'").error().is_none());
        longest = longest.max(began.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let lost = figure(place, &gate, "traces_dropped");
    assert!(lost > 2_000, "{lost}");

    let second = Collector::start_at(address);
    let began = Instant::now();
    while figure(place, &gate, "traces_exported") < 4_000 {
        assert!(began.elapsed() < LIMIT, "{}", figure(place, &gate, "traces_exported"));
        thread::sleep(Duration::from_millis(100));
    }
    run(&mut wire, &[attribute(&parent(2, 1))], "DO 1");
    second.find("one that came behind", is_in(2));
    let [told, exported, dropped, failed] = ["statements_traced", "traces_exported", "traces_dropped", "traces_failed"]
        .map(|name| figure(place, &gate, name));
    // A batch that nobody takes for a minute is given up.
    let batches = 1 + away.elapsed().as_secs() / 60;
    assert!(failed <= 512 * batches && exported + dropped + failed <= told + 3, "{told} {exported} {dropped} {failed}");
    assert!(exported + dropped + failed + 20 >= told, "{told} {exported} {dropped} {failed}");
}

/// What the gate sends is OTLP to its authors' own library: the gRPC server and the reader are not ours. Compressed, and with a header.
#[test]
fn the_authors_own_library_reads_the_traces() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp");
    let mut collector = Command::new(python(&folder))
        .arg(folder.join("collector.py"))
        .arg("Bearer 1f9c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines(collector.stdout.take().unwrap());
    let port: u16 = lines.recv_timeout(LIMIT).expect("it says where it listens").parse().unwrap();
    let file = std::env::temp_dir().join(format!("weir-otlp-headers-{}", std::process::id()));
    std::fs::write(&file, "authorization: Bearer 1f9c\n").unwrap();
    let (endpoint, headers_file) = (format!("http://127.0.0.1:{port}"), Some(file.clone()));
    let gate = start_with(place, 8, TracesConfig { endpoint, headers_file, gzip: true, ..TracesConfig::default() });
    let mut wire = client(place, &gate);
    let failed = run(&mut wire, &[attribute(&parent(0xabc, 1))], "SELECT * FROM weir_no_such.orders WHERE id = 5");
    assert!(failed.error().is_some());
    let said: serde_json::Value = serde_json::from_str(&lines.recv_timeout(LIMIT).expect("an export")).unwrap();
    // Its JSON has bytes in base64.
    let spans = &said["resourceSpans"][0]["scopeSpans"][0]["spans"];
    // Another between them, when there was no connection yet.
    let all = spans.as_array().unwrap();
    let (own, backend) = (&all[0], all.last().unwrap());
    assert_eq!(own["traceId"], "AAAAAAAAAAAAAAAAAAAKvA==", "{said:#}");
    assert_eq!(own["parentSpanId"], "AAAAAAAAAKo=");
    assert_eq!((&own["kind"], &backend["kind"]), (&"SPAN_KIND_SERVER".into(), &"SPAN_KIND_CLIENT".into()));
    assert_eq!((&own["name"], &backend["parentSpanId"]), (&"SELECT weir_no_such.orders".into(), &own["spanId"]));
    assert_eq!(own["status"]["code"], "STATUS_CODE_ERROR");
    let text = |span: &serde_json::Value, key: &str| {
        let all = span["attributes"].as_array().unwrap();
        let value =
            &all.iter().find(|pair| pair["key"] == key).unwrap_or_else(|| panic!("no {key}: {span:#}"))["value"];
        value.as_object().unwrap().values().next().unwrap().as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(text(own, "db.query.text"), "SELECT * FROM `weir_no_such` . `orders` WHERE `id` = ?");
    assert_eq!(text(backend, "server.address"), "127.0.0.1");
    let at = |key: &str| own[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(at("endTimeUnixNano") > at("startTimeUnixNano"));
    std::fs::remove_file(file).unwrap();
    drop(collector.stdin.take());
    assert!(collector.wait().unwrap().success());
}

fn lines(from: ChildStdout) -> Receiver<String> {
    let (tell, lines) = channel();
    thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    lines
}

/// Python with what `requirements.txt` names, from a folder of the cache that is filled once.
fn python(folder: &Path) -> PathBuf {
    let pins = std::fs::read_to_string(folder.join("requirements.txt")).unwrap();
    let version = pins.lines().find_map(|line| line.strip_prefix("opentelemetry-proto==")).unwrap();
    let home = cache::folder().unwrap().join("packages").join(format!("otlp-{version}"));
    let _lock = cache::Lock::wait(&home.with_extension("lock")).unwrap();
    let (program, mark) = (home.join("bin/python"), home.join("complete"));
    if !mark.exists() {
        let steps = [
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).output(),
            Command::new(&program)
                .args(["-m", "pip", "install", "-q", "-r"])
                .arg(folder.join("requirements.txt"))
                .output(),
        ];
        for step in steps {
            let step = step.unwrap();
            assert!(step.status.success(), "{}", String::from_utf8_lossy(&step.stderr));
        }
        std::fs::write(&mark, "").unwrap();
    }
    program
}
