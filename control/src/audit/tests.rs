use super::*;
use std::path::{Path, PathBuf};
use weir_core::audit::AuditKind;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("weir-audit-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Place(folder)
    }

    fn config(&self) -> AuditLogConfig {
        AuditLogConfig { file: Some(self.0.join("audit.log")), ..AuditLogConfig::default() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn event(kind: AuditKind, error: Option<u16>) -> AuditEvent {
    AuditEvent {
        kind,
        core: 1,
        connection_id: 7,
        user: "web\n\"x\"".to_string(),
        peer: Peer::Unix,
        tls: false,
        schema: String::new(),
        error,
        detail: String::new(),
    }
}

fn until(what: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_says_who_and_what() {
    let place = Place::new("line");
    let tally = Arc::<Tally>::default();
    let log = AuditLog::start(&place.config(), "g1".to_string(), tally).unwrap().unwrap();
    log.note(UNIX_EPOCH + Duration::from_millis(1_500), &event(AuditKind::LoginFailed, Some(1045)));
    log.note(SystemTime::now(), &AuditEvent { detail: "query 9".to_string(), ..event(AuditKind::Kill, None) });
    drop(log);
    let lines = lines(&place.0.join("audit.log"));
    let expected = serde_json::json!({
        "time": 1.5, "gate": "g1", "core": 1, "event": "login_failed", "connection_id": 7, "user": "web\n\"x\"",
        "client": "unix", "tls": false, "schema": "", "outcome": "error", "error": 1045,
    });
    assert_eq!(lines[0], expected);
    assert_eq!(
        (&lines[1]["event"], &lines[1]["outcome"], &lines[1]["detail"]),
        (&"kill".into(), &"ok".into(), &"query 9".into())
    );
}

/// The file can't be written for a while: what comes is kept, the log says that it is stuck, and nothing is missing afterwards.
#[test]
fn what_the_file_does_not_take_is_tried_again() {
    let place = Place::new("again");
    let tally = Arc::<Tally>::default();
    let log = AuditLog::start(&place.config(), "g1".to_string(), tally.clone()).unwrap().unwrap();
    log.note(SystemTime::now(), &event(AuditKind::Login, None));
    until(|| log.written() == 1);
    let (folder, aside) = (place.0.clone(), place.0.with_extension("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    log.reopen();
    for _ in 0..10 {
        log.note(SystemTime::now(), &event(AuditKind::Logout, None));
    }
    until(|| tally.is_audit_stuck());
    std::fs::rename(&aside, &folder).unwrap();
    until(|| log.written() == 11);
    assert!(!tally.is_audit_stuck() && log.lost() == 0);
    drop(log);
    assert_eq!(lines(&place.0.join("audit.log")).len(), 11);
}

/// More than may wait: counted, told in the next line, and stuck until one is written again.
#[test]
fn what_finds_no_room_is_counted() {
    let place = Place::new("room");
    let tally = Arc::<Tally>::default();
    let log = AuditLog::start(&place.config(), "g1".to_string(), tally.clone()).unwrap().unwrap();
    let (folder, aside) = (place.0.clone(), place.0.with_extension("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    log.reopen();
    let mut sent = 0;
    while log.lost() == 0 {
        log.note(SystemTime::now(), &event(AuditKind::Login, None));
        sent += 1;
        assert!(sent < 1_000_000, "it takes them all");
    }
    assert!(tally.is_audit_stuck());
    std::fs::rename(&aside, &folder).unwrap();
    until(|| log.written() + log.lost() == sent);
    log.note(SystemTime::now(), &event(AuditKind::Logout, None));
    until(|| !tally.is_audit_stuck());
    let lost = log.lost();
    drop(log);
    let last = lines(&place.0.join("audit.log")).pop().unwrap();
    assert_eq!((&last["event"], &last["lost"]), (&"logout".into(), &lost.into()));
}

/// An operator moves it to a disk with room: what the full one has not taken goes there too, nothing is lost, and lines stay whole.
#[test]
fn another_file_takes_what_the_former_one_did_not() {
    let place = Place::new("turn");
    let tally = Arc::<Tally>::default();
    let config = place.config();
    let log = AuditLog::start(&config, "g1".to_string(), tally.clone()).unwrap().unwrap();
    log.note(SystemTime::now(), &event(AuditKind::Login, None));
    until(|| log.written() == 1);
    let (first, aside, next) = (place.0.join("audit.log"), place.0.join("aside.log"), place.0.join("next.log"));
    std::fs::rename(&first, &aside).unwrap();
    // A folder in its place: nothing can be written there.
    std::fs::create_dir(&first).unwrap();
    log.reopen();
    for _ in 0..10 {
        log.note(SystemTime::now(), &event(AuditKind::Logout, None));
    }
    until(|| tally.is_audit_stuck());
    log.follow(open(&AuditLogConfig { file: Some(next.clone()), ..config.clone() }).unwrap().unwrap());
    until(|| log.written() == 11);
    assert!(!tally.is_audit_stuck());
    assert_eq!((lines(&aside).len(), lines(&next).len()), (1, 10));

    // The same file under other limits: it goes on where it is, and obeys them.
    let smaller = AuditLogConfig { file: Some(next.clone()), bytes_max: 64 << 10, files_kept: 3, ..config };
    log.follow(open(&smaller).unwrap().unwrap());
    for _ in 0..1_000 {
        log.note(SystemTime::now(), &event(AuditKind::Logout, None));
    }
    until(|| log.written() == 1_011);
    let parts = [next.clone(), place.0.join("next.log.1"), place.0.join("next.log.2"), place.0.join("next.log.3")];
    assert!(parts[1].exists() && parts.iter().all(|part| part.metadata().map_or(0, |data| data.len()) <= 64 << 10));
    assert_eq!(parts.iter().map(|part| lines(part).len()).sum::<usize>(), 1_010);
    assert_eq!(log.end(), (1_011, 0));
}
