//! The command `weir-perf consistency`: a cluster and gates of its own, the check, the table and the exit code.
//!
//! Invariant: everything that it started ends with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::template::{APP, MONITOR};
use weir_control::lab::{Cluster, ClusterOptions, Mysql};

use super::delay::Delay;
use super::level::Level;
use super::register::SCHEMA;
use super::scene::{Gate, Scene, Way};
use super::{Options, check};
use crate::arguments::Arguments;
use crate::client::Account;
use crate::door::{Door, GateOptions};
use crate::error::Fault;
use crate::meter;

/// What was asked for beside the check itself.
#[derive(Debug)]
struct Asked {
    levels: Vec<Level>,
    gates: usize,
    replicas: usize,
    /// Of `read_after_write_timeout`, in seconds.
    timeout: Option<f64>,
    by: By,
    gate: GateOptions,
    json: Option<PathBuf>,
}

/// Who tells a gate which level is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Each session; all levels share the gates.
    Session,
    /// The gate's configuration; each level has gates of its own.
    Config,
}

/// Runs it; true if nothing was wrong.
pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let options = options(&mut arguments)?;
    let mut asked = Asked::from_arguments(&mut arguments)?;
    arguments.finish()?;
    meter::raise_files_max().map_err(|error| Fault::io("raising a limit", error))?;
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let cluster = start_cluster(asked.replicas)?;
    asked.gate.backends = cluster.backends();
    let nodes: Vec<Account> = cluster.nodes().iter().map(|node| account(node.port())).collect();
    let mut doors = Vec::new();
    let ways = asked.ways(&nodes[0], folder.path(), &mut doors)?;
    let scene = Scene { nodes, ways };
    let findings = check(&scene, &options, &mut |text| eprintln!("{text}"))?;
    doors.iter().try_for_each(Door::check)?;
    print!("{findings}");
    let wrong = findings.wrong();
    for what in &wrong {
        println!("WRONG: {what}");
    }
    if let Some(path) = &asked.json {
        let written = std::fs::write(path, format!("{}\n", findings.to_json()));
        written.map_err(|error| Fault::io(format!("writing {}", path.display()), error))?;
    }
    Ok(wrong.is_empty())
}

fn options(arguments: &mut Arguments) -> Result<Options, Fault> {
    let usual = Options::default();
    let delays = match arguments.text_or("--delay", "all")?.as_str() {
        "all" => Delay::ALL.to_vec(),
        names => names.split(',').map(str::parse).collect::<Result<_, String>>().map_err(Fault::Usage)?,
    };
    let options = Options {
        delays,
        reads: arguments.value_or("--reads", usual.reads)?,
        calm_rate: arguments.value_or("--calm-rate", usual.calm_rate)?,
        calm_time: Duration::from_secs_f64(arguments.value_or("--calm-time", usual.calm_time.as_secs_f64())?),
        rate: arguments.value_or("--rate", usual.rate)?,
        writes_percent: arguments.value_or("--writes", usual.writes_percent)?,
        rounds: arguments.value_or("--rounds", usual.rounds)?,
        sessions: arguments.value_or("--sessions", usual.sessions)?,
        direct: arguments.value_or("--direct", usual.direct)?,
        threads: arguments.value_or("--load-threads", usual.threads)?,
        side_rows: arguments.value_or("--side-rows", usual.side_rows)?,
        time_max: Duration::from_secs(arguments.value_or("--time-max", usual.time_max.as_secs())?),
        tokens: arguments.value_or("--tokens", usual.tokens)?,
    };
    let is_possible = options.sessions >= 2 && options.rounds >= 1 && options.reads >= 1;
    match is_possible && (1..=90).contains(&options.writes_percent) {
        true => Ok(options),
        false => {
            let what = "a check has at least 2 sessions, 1 round and 1 read, and 1 to 90 % of writes";
            Err(Fault::Usage(what.to_owned()))
        }
    }
}

impl Asked {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, Fault> {
        let mut levels: Vec<Level> = arguments.list_or("--levels", "EVENTUAL,SESSION,INSTANCE,GLOBAL")?;
        levels.dedup();
        let gates = arguments.value_or("--gates", 1)?;
        if !(1..=GATES_MAX).contains(&gates) {
            return Err(Fault::Usage(format!("1 to {GATES_MAX} gates")));
        }
        let by = match arguments.text_or("--by", "session")?.as_str() {
            "session" => By::Session,
            "config" => By::Config,
            other => return Err(Fault::Usage(format!("--by {other}: session or config"))),
        };
        let connections: u32 = arguments.value_or("--connections-per-backend", 64)?;
        Ok(Self {
            levels,
            gates,
            replicas: arguments.value_or("--replicas", 2)?,
            timeout: arguments.value("--timeout")?,
            by,
            gate: GateOptions {
                program: arguments.value("--weir")?,
                cores: arguments.text("--cores")?,
                backends: Vec::new(),
                monitor: (MONITOR.0.to_owned(), MONITOR.1.to_owned()),
                extra: vec!["--connections-per-backend".to_owned(), connections.to_string()],
            },
            json: arguments.value("--json")?,
        })
    }

    /// Opens the gates.
    fn ways(&self, account: &Account, folder: &Path, doors: &mut Vec<Door>) -> Result<Vec<Way>, Fault> {
        if self.by == By::Session {
            let gates = self.open_gates(account, folder, &self.gate, doors)?;
            let way = |level: &Level| Way::by_session(*level, gates.clone(), self.timeout);
            return Ok(self.levels.iter().map(way).collect());
        }
        let ways = self.levels.iter().map(|level| {
            let path = folder.join(format!("{level}.toml"));
            let written = std::fs::write(&path, configuration(*level, self.timeout));
            written.map_err(|error| Fault::io("writing a configuration", error))?;
            let mut options = self.gate.clone();
            options.extra.extend(["--config".to_owned(), path.display().to_string()]);
            let gates = self.open_gates(account, folder, &options, doors)?;
            Ok(Way { level: *level, gates, preamble: Vec::new() })
        });
        ways.collect()
    }

    fn open_gates(
        &self,
        account: &Account,
        folder: &Path,
        options: &GateOptions,
        doors: &mut Vec<Door>,
    ) -> Result<Vec<Gate>, Fault> {
        let mut gates = Vec::new();
        for _ in 0..self.gates {
            let number = doors.len();
            let folder = folder.join(format!("gate{number}"));
            std::fs::create_dir(&folder).map_err(|error| Fault::io("making a folder", error))?;
            let door = Door::open_gate(options, &Account { schema: None, ..account.clone() }, &folder)?;
            let account = Account { address: door.account.address, ..account.clone() };
            gates.push(Gate { number, account, pid: door.pid() });
            doors.push(door);
        }
        Ok(gates)
    }
}

fn configuration(level: Level, timeout: Option<f64>) -> String {
    let timeout = timeout.map_or(String::new(), |seconds| format!("read_after_write_ms_max = {}\n", seconds * 1e3));
    format!("[routing]\nconsistency = \"{}\"\n{timeout}", level.name().to_lowercase())
}

fn account(port: u16) -> Account {
    Account {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        user: APP.0.to_owned(),
        password: APP.1.to_owned(),
        schema: Some(SCHEMA.to_owned()),
    }
}

/// Several appliers per replica, as the server's default is, named because the check means them. The disk is not what is
/// measured here.
fn start_cluster(replicas: usize) -> Result<Cluster, Fault> {
    let mysql = Mysql::find(None, &mut |progress| eprintln!("{progress}"))?;
    let options = ClusterOptions {
        replicas,
        extra_cnf: "replica-parallel-workers=4\ninnodb-flush-log-at-trx-commit=0\n".to_owned(),
        extra_sql: format!("CREATE DATABASE {SCHEMA}"),
        ..ClusterOptions::default()
    };
    Ok(Cluster::start(&mysql, options, &mut |progress| eprintln!("{progress}"))?)
}

const GATES_MAX: usize = 4;
