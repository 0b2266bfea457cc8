//! `accept`: how long a door takes until so many clients are logged in and answered, and what that costs it.
//!
//! ```text
//! each round:  weir │ quiet │ haproxy │ quiet │ relay │ quiet
//!              all come, ask once, stay to the last one, and leave
//! ```
//! A time is from a client's connect to the end of its first answer, so that a door which lets clients in and has no
//! backend for them gains nothing.
//!
//! Invariant: doors take turns within a round, and a row is the median over rounds. The door and the backend have come
//! to rest before the next rush, or the report says so. CPU time is that of the door's process from the first connect to the last answer.

mod entrant;

mod rush;

mod report;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::lab::cache::{self, TemporaryFolder};

use crate::arguments::Arguments;
use crate::backend::Backend;
use crate::door::{Door, GateOptions, Kind};
use crate::error::Fault;
use crate::limits::{ACCEPT_CLIENTS_MAX, CONNECTIONS_MAX, LOOK_PAUSE};
use crate::load::Question;
use crate::meter;
use crate::sysbench::Tables;

use self::report::{Report, Row, Sample};
use self::rush::{Rush, RushOptions};

#[derive(Debug)]
struct Plan {
    clients: usize,
    at_once: usize,
    doors: Vec<Kind>,
    rounds: usize,
}

/// True if every client was served.
pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let plan = Plan::from_arguments(&mut arguments)?;
    let json: Option<PathBuf> = arguments.text("--json")?.map(PathBuf::from);
    let program = arguments.value("--weir")?;
    let cores = arguments.text_or("--cores", "1")?;
    let per_source = plan.per_source(ports()?)?;
    // Before anything is started, as programs inherit it.
    let files_max = meter::raise_files_to(plan.files()).map_err(|error| Fault::io("raising a limit", error))?;
    plan.check_files(files_max)?;
    let backend = Backend::from_arguments(arguments, folder.path())?;
    if plan.clients > per_source && plan.doors.contains(&Kind::Direct) && !backend.address().ip().is_loopback() {
        let what = format!("more than {per_source} clients need several addresses, which only the loopback has");
        return Err(Fault::Usage(what));
    }
    let gate = GateOptions { cores: Some(cores), ..GateOptions::for_backend(&backend, program) };
    let mut doors = Vec::new();
    for kind in &plan.doors {
        match Door::open(*kind, &backend, &gate, folder.path()) {
            Ok(door) => doors.push(door),
            Err(error) if kind.is_peer() => eprintln!("{} is left out: {error}", kind.name()),
            Err(error) => return Err(error),
        }
    }
    let report = plan.run(&doors, &backend, per_source)?;
    print!("{report}");
    if let Some(json) = json {
        let written = fs::write(&json, format!("{}\n", report.to_json()));
        written.map_err(|error| Fault::io(format!("writing {}", json.display()), error))?;
        println!("written to {}", json.display());
    }
    Ok(report.is_whole())
}

impl Plan {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, Fault> {
        let plan = Self {
            clients: arguments.value_or("--clients", 10_000)?,
            at_once: arguments.value_or("--at-once", 256)?,
            doors: arguments.list_or("--doors", "weir,haproxy,relay")?,
            rounds: arguments.value_or("--rounds", 3)?,
        };
        if plan.clients == 0 || plan.clients > ACCEPT_CLIENTS_MAX {
            return Err(Fault::Usage(format!("--clients {}: 1 to {ACCEPT_CLIENTS_MAX}", plan.clients)));
        }
        if plan.at_once == 0 || plan.rounds == 0 {
            return Err(Fault::Usage("--at-once and --rounds are numbers above 0".to_owned()));
        }
        Ok(plan)
    }

    /// The first door with a connection of its own to the backend for each client.
    fn copier(&self) -> Option<Kind> {
        let is_copier = |kind: &Kind| matches!(kind, Kind::Relay | Kind::RingRelay | Kind::HaProxy | Kind::Router);
        self.doors.iter().copied().find(is_copier)
    }

    /// How many clients may come from one address, so that the kernel finds ports for them quickly.
    fn per_source(&self, ports: usize) -> Result<usize, Fault> {
        let free = ports * 9 / 10;
        let per_source = free.min(CONNECTIONS_MAX);
        let Some(kind) = self.copier().filter(|_| self.clients > per_source) else {
            return Ok(per_source);
        };
        let widen = match free < CONNECTIONS_MAX {
            true => "widen the range (sysctl -w net.ipv4.ip_local_port_range='10000 60999'), ",
            false => "",
        };
        Err(Fault::Usage(format!(
            "{} opens a connection to the backend for each client, all from one address, which is good for \
             {per_source} clients ({ports} ports in net.ipv4.ip_local_port_range): {widen}ask fewer clients (--clients \
             {per_source}), or leave it out (--doors weir)",
            kind.name()
        )))
    }

    /// Files that one process opens for each client.
    fn files_each(&self) -> u64 {
        if self.copier().is_some() { 2 } else { 1 }
    }

    /// Files that one process needs at least.
    fn files(&self) -> u64 {
        self.clients as u64 * self.files_each() + FILES_SPARE
    }

    fn check_files(&self, files_max: u64) -> Result<(), Fault> {
        let (needed, clients) = (self.files(), self.clients);
        if files_max >= needed {
            return Ok(());
        }
        let fewer = files_max.saturating_sub(FILES_SPARE) / self.files_each();
        let other = match self.copier() {
            Some(kind) => format!(", or leave out {} with two files for each client (--doors weir)", kind.name()),
            None => String::new(),
        };
        Err(Fault::Usage(format!(
            "{clients} clients need {needed} open files in one process, and {files_max} are allowed: raise the limit \
             (ulimit -Hn {needed}, LimitNOFILE={needed}, docker run --ulimit nofile={needed}), ask fewer clients \
             (--clients {fewer}){other}"
        )))
    }

    fn run(&self, doors: &[Door], backend: &Backend, per_source: usize) -> Result<Report, Fault> {
        let question = Question::TextPoint { tables: Tables::default().count, rows: Tables::default().rows };
        let options = RushOptions { clients: self.clients, at_once: self.at_once, question, per_source };
        let warm = RushOptions { clients: WARM_CLIENTS.min(self.clients), ..options.clone() };
        let mut rows: Vec<Row> = doors.iter().map(|door| Row { kind: door.kind, samples: Vec::new() }).collect();
        for door in doors {
            // What it makes once is not what a login costs.
            drop(Rush::run(&door.account, &warm)?);
        }
        let mut notes = Vec::new();
        let total = self.rounds * doors.len();
        let mut done = 0;
        for round in 1..=self.rounds {
            for (row, door) in rows.iter_mut().zip(doors) {
                done += 1;
                eprintln!("[{done}/{total}] {}, {} clients, round {round}", door.kind.name(), self.clients);
                if !has_come_to_rest(door, backend) {
                    let (name, seconds) = (door.kind.name(), REST_WAIT.as_secs());
                    let note = format!("{name} or the backend was busy {seconds} s after those before had left");
                    eprintln!("    {note}");
                    notes.push(format!("round {round}: {note}"));
                }
                row.samples.push(measure(door, &options)?);
                door.check()?;
            }
        }
        let (clients, at_once, rounds) = (self.clients, self.at_once, self.rounds);
        let title = format!(
            "{clients} clients log in and ask once, {at_once} at once, backend {}, {rounds} rounds",
            backend.name
        );
        Ok(Report { title, clients, rows, notes })
    }
}

fn measure(door: &Door, options: &RushOptions) -> Result<Sample, Fault> {
    let cpu_ns = || {
        let read = door.pid().map(meter::cpu_ns).transpose();
        read.map_err(|error| Fault::io("reading a door's CPU time", error))
    };
    let before = cpu_ns()?;
    let rush = Rush::run(&door.account, options)?;
    let after = cpu_ns()?;
    let outcome = rush.outcome.clone();
    if let Some(error) = &outcome.first_error {
        eprintln!("    {} errors, the first: {error}", outcome.errors);
    }
    Ok(Sample { outcome, cpu_ns: after.zip(before).map(|(after, before)| after.saturating_sub(before)) })
}

/// Waits until the farewells of those before cost nobody anything any more. False if somebody works on: for others,
/// say.
fn has_come_to_rest(door: &Door, backend: &Backend) -> bool {
    let pids: Vec<u32> = door.pid().into_iter().chain(backend.pid).collect();
    let deadline = Instant::now() + REST_WAIT;
    let mut before = meter::cpu_ns_of_all(&pids);
    let mut quiet = 0;
    while quiet < QUIET_LOOKS {
        thread::sleep(LOOK_PAUSE);
        let now = meter::cpu_ns_of_all(&pids);
        quiet = match now.saturating_sub(before) < QUIET_NS {
            true => quiet + 1,
            false => 0,
        };
        before = now;
        if Instant::now() >= deadline {
            return false;
        }
    }
    true
}

/// How many ports the kernel has for connections from one address.
fn ports() -> Result<usize, Fault> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = fs::read_to_string(path).map_err(|error| Fault::io(format!("reading {path}"), error))?;
    ports_in(&text).ok_or_else(|| Fault::Program(format!("{path} holds no range: {}", text.trim())))
}

fn ports_in(text: &str) -> Option<usize> {
    let (low, high) = text.trim().split_once(char::is_whitespace)?;
    let (low, high): (usize, usize) = (low.parse().ok()?, high.trim().parse().ok()?);
    (high + 1).checked_sub(low)
}

/// Clients that come and go before anything is measured.
const WARM_CLIENTS: usize = 64;
/// Descriptors that a process needs besides its clients, HAProxy's reserve included.
const FILES_SPARE: u64 = 200;
/// How long farewells may take.
const REST_WAIT: Duration = Duration::from_secs(10);
/// So many looks in a row found nothing going on.
const QUIET_LOOKS: u32 = 4;
/// CPU time between two looks that timers and health checks take anyway.
const QUIET_NS: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, Fault> {
        Plan::from_arguments(&mut Arguments::new(line.split_whitespace().map(str::to_owned)))
    }

    #[test]
    fn what_was_typed_wrong_is_named() {
        for (line, expected) in [
            ("--clients 0", "--clients 0: 1 to 100000"),
            ("--clients 100001", "--clients 100001: 1 to 100000"),
            ("--at-once 0", "--at-once and --rounds are numbers above 0"),
            ("--rounds 0", "--at-once and --rounds are numbers above 0"),
            (
                "--doors barn",
                "--doors barn: known are direct, relay, weir, haproxy, proxysql, mysqlrouter, maxscale, ring-relay",
            ),
        ] {
            assert_eq!(plan(line).unwrap_err().to_string(), expected);
        }
        let plan = plan("").unwrap();
        assert_eq!((plan.clients, plan.at_once, plan.rounds), (10_000, 256, 3));
        assert_eq!(plan.doors, [Kind::Weir, Kind::HaProxy, Kind::Relay]);
    }

    #[test]
    fn ports_and_files_that_do_not_suffice() {
        assert_eq!(ports_in("32768\t60999\n"), Some(28_232));
        assert_eq!(ports_in("x y"), None);
        let copied = plan("--clients 20001").unwrap();
        let error = copied.per_source(28_232).unwrap_err().to_string();
        assert!(
            error.starts_with("haproxy opens a connection") && error.contains("good for 20000 clients (28232 ports"),
            "{error}"
        );
        assert!(!error.contains("widen"));
        let error = copied.per_source(10_000).unwrap_err().to_string();
        assert!(error.contains("widen the range (sysctl") && error.contains("--clients 9000"), "{error}");
        let pooled = plan("--clients 60000 --doors weir,direct").unwrap();
        assert_eq!(pooled.per_source(28_232).unwrap(), 20_000);
        assert_eq!(pooled.per_source(10_000).unwrap(), 9_000);
        assert_eq!((copied.files(), pooled.files()), (40_202, 60_200));
        let error = pooled.check_files(1024).unwrap_err().to_string();
        assert!(
            error.starts_with("60000 clients need 60200 open files in one process, and 1024 are allowed"),
            "{error}"
        );
        assert!(error.ends_with("(--clients 824)"), "{error}");
        assert!(pooled.check_files(60_200).is_ok());
        let error = plan("").unwrap().check_files(20_000).unwrap_err().to_string();
        let hint = "(--clients 9900), or leave out haproxy with two files for each client (--doors weir)";
        assert!(error.ends_with(hint), "{error}");
    }
}
