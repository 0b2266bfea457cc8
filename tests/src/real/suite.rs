//! The suite: every session of the corpus, directly and through a target, compared.
//!
//! Invariant: each session has a database of its own, made anew before each of its two runs, so sessions run beside
//! each other; those that touch the whole server run alone. A session's set of capabilities follows from its place in
//! the corpus, so that a failure can be repeated: `WEIR_TEST_ONLY=part-of-a-name`. `WEIR_TEST_TURN=1` to 5 gives each session
//! another one's set: in six runs every session has had all of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::config::{BackendTlsMode, Config};
use weir_net::compress::Agreed;
use weir_net::flags::Capabilities;
use weir_net::flavour::Flavour;

use super::compare::{self, Shown};
use super::gate::{Gate, GateOptions};
use super::limits;
use super::noise::Noise;
use super::place::{Admin, Place, USUAL, place};
use super::run::{self, Outcome, Stage, Trace};
use super::script::{self, Session};
use super::squeeze::Way;
use super::wire::{Account, Address};

/// Against what the direct run is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Itself: what differs is a mistake in the corpus or the comparer.
    Direct,
    /// A gate with connections for everybody.
    Plenty,
    /// The same, with clients that compress: every other one by zlib, the rest by zstd; and backends by zstd within TLS.
    Compressed,
    /// A gate with two connections to each backend, and noise between all steps.
    Worst,
}

/// Runs the corpus in this mode.
///
/// # Panics
/// If a session differs, with all differences; if MySQL or the gate cannot be had.
pub fn check(mode: Mode) {
    let mut sessions = corpus();
    // Those that run alone come last: they wait until everybody else is done.
    sessions.sort_by_key(|session| session.is_alone);
    let place = place();
    let desk = desk(sessions.len());
    let left_out = accepted_as("not-run", place.mysql.flavour, &sessions);
    let only = std::env::var("WEIR_TEST_ONLY").unwrap_or_default();
    let workers = if mode == Mode::Worst { limits::WORKERS / 2 } else { limits::WORKERS };
    let plenty =
        matches!(mode, Mode::Plenty | Mode::Compressed).then(|| start(place, mode, limits::PLENTY_CONNECTIONS));
    let report = Report { accepted: accepted(mode, place.mysql.flavour, &sessions), ..Report::default() };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let worst = (mode == Mode::Worst).then(|| start(place, mode, limits::WORST_CONNECTIONS));
                let gate = worst.as_ref().or(plenty.as_ref());
                let mut worker = Worker {
                    place,
                    mode,
                    admin: place.admin().unwrap_or_else(|why| panic!("{why}")),
                    target: gate.map_or_else(|| place.primary(), Gate::address),
                };
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(session), Some(slot)) = (sessions.get(at), desk.get(at)) else { break };
                    if session.name.contains(&only) && worker.may_run(session) && !left_out.contains(&session.name) {
                        let began = Instant::now();
                        let verdict = worker.check(at, session, slot);
                        report.take(session, verdict, began.elapsed());
                    }
                }
            });
        }
    });
    report.finish(mode);
}

/// The sessions of `tests/accepted.txt` (MariaDB's: `tests/accepted-mariadb.txt`) that may differ in this mode: `name | modes | reason`.
///
/// # Panics
/// If the file has a mistake, or names a session that does not exist.
fn accepted(mode: Mode, flavour: Flavour, sessions: &[Session]) -> Vec<String> {
    match mode {
        Mode::Direct => Vec::new(),
        Mode::Plenty | Mode::Compressed => accepted_as("plenty", flavour, sessions),
        Mode::Worst => accepted_as("worst", flavour, sessions),
    }
}

/// The same for a word in the place of modes: `not-run` is a session that a server of this flavour does not survive.
fn accepted_as(mode: &str, flavour: Flavour, sessions: &[Session]) -> Vec<String> {
    let name = match flavour {
        Flavour::Mysql => "accepted.txt",
        Flavour::MariaDb => "accepted-mariadb.txt",
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let mut names = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, " | ");
        let (Some(name), Some(modes), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
            panic!("accepted.txt: `{line}` is not `name | modes | reason`");
        };
        assert!(reason.len() > 20, "accepted.txt: {name} needs a reason");
        assert!(sessions.iter().any(|session| session.name == name), "accepted.txt: no session is called {name}");
        if modes.split(' ').any(|one| one == mode) {
            names.push(name.to_string());
        }
    }
    names
}

/// A session's place on the desk: what it looked like on MySQL itself, once that is known. Held while the session
/// runs, in whatever mode, since its database is one.
type Slot = Mutex<Option<Vec<Shown>>>;

fn desk(len: usize) -> &'static [Slot] {
    static DESK: OnceLock<Vec<Slot>> = OnceLock::new();
    DESK.get_or_init(|| (0..len).map(|_| Mutex::new(None)).collect())
}

/// All sessions, in the order of files and lines.
///
/// # Panics
/// If a script has a mistake.
pub fn corpus() -> Vec<Session> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut sessions: Vec<Session> = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "txt")) {
        let content = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sessions.extend(script::read(&name, &content).unwrap_or_else(|why| panic!("{why}")));
    }
    sessions
}

fn start(place: &Place, mode: Mode, connections_per_backend: usize) -> Gate {
    // The worst sharing is on one core; how cores share a budget has a test of its own.
    let cores_max = if connections_per_backend == limits::WORST_CONNECTIONS { 1 } else { 2 };
    let options = GateOptions { connections_per_backend, cores_max, socket: None };
    let more = |config: &mut Config| {
        if mode == Mode::Worst {
            config.settings.wait_ms_max = limits::WORST_WAIT_MS;
        }
        if mode == Mode::Compressed {
            config.backend_tls = BackendTlsMode::Required;
            config.settings.backend_compression = Some(Agreed::Zstd { level: 3 });
        }
    };
    Gate::start_with(place, options, more).unwrap_or_else(|why| panic!("{why}"))
}

struct Worker {
    place: &'static Place,
    mode: Mode,
    admin: Admin,
    target: Address,
}

/// What came of one session.
struct Verdict {
    differences: Vec<String>,
    /// Statements of the noise that were answered.
    noise: usize,
}

impl Worker {
    /// More pins than connections would only wait for each other.
    fn may_run(&self, session: &Session) -> bool {
        self.mode != Mode::Worst || session.needs <= limits::WORST_CONNECTIONS
    }

    fn check(&mut self, at: usize, session: &Session, slot: &Slot) -> Result<Verdict, String> {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (_shared, _alone);
        if session.is_alone {
            _alone = self.place.stage.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = self.place.stage.read().unwrap_or_else(PoisonError::into_inner);
        }
        let database = format!("w{at}");
        let account = Account {
            schema: Some(database.clone()),
            capabilities: self.capabilities(at, session),
            ..self.place.account()
        };
        let direct = match &*slot {
            Some(known) => known.clone(),
            None => {
                let trace = self.run(session, &database, &account, &self.place.primary(), None)?;
                slot.insert(compare::shown(&trace)).clone()
            }
        };
        let mut noise = match self.mode {
            Mode::Worst => Some(Noise::new(self.target.clone(), account.clone(), at)),
            Mode::Direct | Mode::Plenty | Mode::Compressed => None,
        };
        let target = self.target.clone();
        let account = Account { compression: compression(self.mode, at), ..account };
        let trace = self.run(session, &database, &account, &target, noise.as_mut())?;
        self.clear(session, &database)?;
        let differences = compare::differences(&direct, &compare::shown(&trace));
        Ok(Verdict { differences, noise: noise.map_or(0, |noise| noise.answered) })
    }

    /// Without an order of its own a session gets one of several kinds of client, as far as the server can serve it.
    fn capabilities(&self, turn: usize, session: &Session) -> Capabilities {
        match session.capabilities {
            Some(change) => change.apply(USUAL),
            None => CLIENTS[(turn + further_turn()) % CLIENTS.len()].minus(self.place.mysql.flavour.lacks()),
        }
    }

    fn run(
        &mut self,
        session: &Session,
        database: &str,
        account: &Account,
        address: &Address,
        noise: Option<&mut Noise>,
    ) -> Result<Trace, String> {
        self.clear(session, database)?;
        self.admin.sql(&format!("CREATE DATABASE {database}"))?;
        for statement in &session.root {
            self.admin.sql(&statement.replace("${db}", database))?;
        }
        self.admin.ensure_replicated()?;
        // A session reads its own writes by the gate's care alone; what another session wrote it need not see at once,
        // and MySQL would show it: between two sessions the replicas catch up.
        let admin = (self.mode != Mode::Direct).then_some(&mut self.admin);
        let (account, patience) = (account.clone(), session.patience);
        let mut stage = Stage { address, account, database, patience, noise, admin, locksmith: None };
        let trace = run::run(session, &mut stage);
        // Two traces that both end there would be equal, and say nothing of what was to follow.
        match trace.iter().find(|event| patience.is_none() && event.outcome == Outcome::Late) {
            Some(event) => {
                Err(format!("no reply within {:?} to line {}: {}", limits::WIRE_WAIT, event.line, event.source))
            }
            None => Ok(trace),
        }
    }

    fn clear(&mut self, session: &Session, database: &str) -> Result<(), String> {
        self.admin.sql(&format!("DROP DATABASE IF EXISTS {database}"))?;
        if session.has_second {
            self.admin.sql(&format!("DROP DATABASE IF EXISTS {database}_2"))?;
        }
        Ok(())
    }
}

/// # Panics
/// If `WEIR_TEST_TURN` is no number.
fn further_turn() -> usize {
    let word = std::env::var("WEIR_TEST_TURN").unwrap_or_else(|_| "0".to_owned());
    word.parse().unwrap_or_else(|_| panic!("WEIR_TEST_TURN={word}: a number from 0 to {}", CLIENTS.len() - 1))
}

fn compression(mode: Mode, turn: usize) -> Option<Way> {
    match mode {
        Mode::Compressed if turn.is_multiple_of(2) => Some(Way::Zlib),
        Mode::Compressed => Some(Way::Zstd(3)),
        Mode::Direct | Mode::Plenty | Mode::Worst => None,
    }
}

/// A driver of today; one that knows no `DEPRECATE_EOF` and no trackers; the `mysql` program; one in between; one that counts the rows
/// it found, for people; one of long ago, without several results.
const CLIENTS: [Capabilities; 6] = [
    USUAL,
    USUAL.minus(Capabilities::DEPRECATE_EOF).minus(Capabilities::SESSION_TRACK),
    USUAL.union(Capabilities::QUERY_ATTRIBUTES),
    USUAL.minus(Capabilities::DEPRECATE_EOF),
    USUAL.union(Capabilities::FOUND_ROWS).union(Capabilities::IGNORE_SPACE).union(Capabilities::INTERACTIVE),
    USUAL
        .minus(Capabilities::DEPRECATE_EOF)
        .minus(Capabilities::SESSION_TRACK)
        .minus(Capabilities::MULTI_STATEMENTS)
        .minus(Capabilities::MULTI_RESULTS)
        .minus(Capabilities::PS_MULTI_RESULTS)
        .minus(Capabilities::CONNECT_ATTRS)
        .minus(Capabilities::PLUGIN_AUTH_LENENC_DATA),
];

#[derive(Default)]
struct Report {
    ran: AtomicUsize,
    noise: AtomicUsize,
    failures: Mutex<Vec<String>>,
    times: Mutex<Vec<(Duration, String)>>,
    /// Sessions that may differ (tests/accepted.txt): shown, and not counted against the run.
    accepted: Vec<String>,
    differing: Mutex<Vec<String>>,
}

impl Report {
    fn take(&self, session: &Session, verdict: Result<Verdict, String>, time: Duration) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).push((time, session.name.clone()));
        self.ran.fetch_add(1, Ordering::Relaxed);
        let lines = match verdict {
            Ok(verdict) => {
                self.noise.fetch_add(verdict.noise, Ordering::Relaxed);
                verdict.differences
            }
            Err(why) => vec![format!("could not be run: {why}")],
        };
        if lines.is_empty() {
            return;
        }
        self.differing.lock().unwrap_or_else(PoisonError::into_inner).push(session.name.clone());
        if self.accepted.contains(&session.name) {
            return;
        }
        let mut text =
            format!("{} ({}, {}): {} differences\n", session.name, session.place, session.rules.join(" "), lines.len());
        for line in lines.iter().take(limits::SHOWN_DIFFERENCES_MAX) {
            let _ = writeln!(text, "  {line}");
        }
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn finish(self, mode: Mode) {
        let mut failures = self.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort();
        let mut times = self.times.into_inner().unwrap_or_else(PoisonError::into_inner);
        times.sort();
        let slowest: Vec<String> =
            times.iter().rev().take(8).map(|(time, name)| format!("{name} {time:.1?}")).collect();
        let ran = self.ran.into_inner();
        let mut differing = self.differing.into_inner().unwrap_or_else(PoisonError::into_inner);
        differing.sort();
        eprintln!("{mode:?}: {ran} sessions, {} differ; the slowest: {}", differing.len(), slowest.join(", "));
        eprintln!("{mode:?}: differing: {}", differing.join(" "));
        let equal: Vec<&String> = self.accepted.iter().filter(|name| !differing.contains(name)).collect();
        eprintln!(
            "{mode:?}: {} sessions may differ (tests/accepted.txt), of which equal this time: {equal:?}",
            self.accepted.len()
        );
        assert!(ran > 0, "no session was run");
        assert!(mode != Mode::Worst || self.noise.into_inner() > 0, "there was no noise");
        assert!(failures.is_empty(), "{mode:?}: {} of {ran} sessions differ\n{}", failures.len(), failures.join("\n"));
    }
}
