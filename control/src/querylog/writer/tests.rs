use super::*;
use std::path::Path;
use std::time::Duration;
use weir_planner::Facts;

fn event(statement: &str, total_us: u64) -> QueryEvent {
    QueryEvent {
        core: 1,
        connection_id: 7,
        user: "web".to_string(),
        schema: "shop".to_string(),
        command: "query",
        statement: statement.as_bytes().to_vec(),
        is_cut: false,
        params: vec![Some("secret".to_string()), None],
        param_count: 2,
        facts: Facts::default(),
        backend: "db1".to_string(),
        route: "replica",
        reason: "a plain read",
        wait_us: 0,
        backend_us: total_us,
        rows: 1,
        bytes: 20,
        error: None,
        in_transaction: false,
        is_slow: total_us >= 100_000,
    }
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("weir-querylog-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Place(folder)
    }

    fn options(&self) -> QueryLogOptions {
        QueryLogOptions {
            path: self.0.join("q.log"),
            sample: 1,
            literals: Literals::Redacted,
            bytes_max: 1 << 20,
            files_kept: 2,
            queue_max: 64,
        }
    }

    fn lines(&self, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn literals_and_parameters_are_not_written_unless_asked_for() {
    let place = Place::new("literals");
    for (literals, statement, params) in [
        (Literals::Redacted, "SELECT ?", serde_json::Value::Null),
        (Literals::Shown, "SELECT 'secret'", serde_json::json!(["secret", null])),
    ] {
        let log = QueryLog::start(QueryLogOptions { literals, ..place.options() }).unwrap();
        log.offer(at(), &event("SELECT 'secret'", 5));
        drop(log);
        let lines = place.lines("q.log");
        let line = lines.last().unwrap();
        assert_eq!((line["statement"].as_str(), &line["params"]), (Some(statement), &params));
        assert_eq!((line["time"].as_f64(), line["param_count"].as_u64()), (Some(1.5), Some(2)));
    }
    let log = std::fs::read_to_string(place.0.join("q.log")).unwrap();
    assert_eq!(log.lines().next().map(|line| line.contains("secret")), Some(false));
}

/// Whatever may be shown, and whatever a double quote means to the session.
#[test]
fn passwords_are_never_written() {
    let place = Place::new("passwords");
    let log = QueryLog::start(QueryLogOptions { literals: Literals::Shown, ..place.options() }).unwrap();
    let statements = [
        "CREATE USER u IDENTIFIED BY 'secret'",
        "ALTER USER u identified WITH caching_sha2_password AS \"secret\"",
        "SET PASSWORD = 'secret'",
        "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='secret'",
        "PREPARE p FROM 'CREATE USER u IDENTIFIED BY \\'secret\\''",
        "/* IDENTIFIED BY secret */ SELECT 1",
        "CREATE USER u IDENTIFIED BY 'secret",
    ];
    for ansi_quotes in [false, true] {
        let facts = Facts { ansi_quotes, ..Facts::default() };
        statements.iter().for_each(|statement| log.offer(at(), &QueryEvent { facts, ..event(statement, 5) }));
    }
    log.offer(at(), &QueryEvent { is_cut: true, ..event("SELECT 'shown', 'cut", 5) });
    drop(log);
    let lines = place.lines("q.log");
    assert_eq!(lines.len(), 15);
    for line in &lines[..14] {
        assert!(!line.to_string().contains("secret"), "{line}");
    }
    assert_eq!(lines[14]["statement"], "SELECT 'shown', 'cut…");
}

#[test]
fn a_sample_stands_for_many_and_a_slow_one_for_itself() {
    let place = Place::new("sample");
    let log = QueryLog::start(QueryLogOptions { sample: 10, ..place.options() }).unwrap();
    [99_999, 100_000].iter().for_each(|total_us| log.offer(at(), &event("SELECT 1", *total_us)));
    drop(log);
    let seen: Vec<_> =
        place.lines("q.log").iter().map(|line| (line["slow"] == true, line["sampled_from"].as_u64())).collect();
    assert_eq!(seen, [(false, Some(10)), (true, Some(1))]);
}

#[test]
fn a_full_queue_drops_and_says_so() {
    let place = Place::new("full");
    let log = QueryLog::start(QueryLogOptions { queue_max: 4, ..place.options() }).unwrap();
    let (release, hold) = std::sync::mpsc::channel();
    log.queue.as_ref().unwrap().send(Order::Hold(hold)).unwrap();
    // Until the thread holds it, it has one place of the queue.
    (0..50).for_each(|_| log.offer(at(), &event("SELECT 1", 5)));
    let dropped = log.dropped();
    assert!((46..=47).contains(&dropped), "{dropped}");
    drop(release);
    while log.written() == 0 {
        std::thread::yield_now();
    }
    log.offer(at(), &event("SELECT 2", 5));
    drop(log);
    assert_eq!(place.lines("q.log").last().unwrap()["dropped"], dropped);
}

#[test]
fn it_is_rotated_by_size_and_opened_again_when_moved() {
    let place = Place::new("rotate");
    let log = QueryLog::start(QueryLogOptions { bytes_max: 1, ..place.options() }).unwrap();
    for n in 1..=5 {
        log.offer(at(), &event("SELECT 1", n));
        // One line per write, so that each is a file.
        while log.written() < n {
            std::thread::yield_now();
        }
    }
    assert_eq!(names(&place.0), ["q.log", "q.log.1", "q.log.2"]);
    let times: Vec<u64> =
        ["q.log.2", "q.log.1", "q.log"].map(|name| place.lines(name)[0]["total_us"].as_u64().unwrap()).to_vec();
    assert_eq!(times, [3, 4, 5]);

    std::fs::rename(place.0.join("q.log"), place.0.join("away")).unwrap();
    log.reopen();
    log.offer(at(), &event("SELECT 1", 6));
    drop(log);
    assert_eq!((place.lines("away").len(), place.lines("q.log").len()), (1, 1));
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_the_start() {
    let place = Place::new("cannot");
    let path = place.0.join("no/such/folder/q.log");
    let error = QueryLog::start(QueryLogOptions { path, ..place.options() }).err().unwrap();
    assert!(error.contains("cannot be written"), "{error}");
}
