//! The stand: clients side by side, each on MySQL directly and then through a gate of its own with noise.
//!
//! Invariant: each client has a schema of its own, made anew from `seed.sql` before each of its two runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use std::{env, fs};

use weir_control::config::Config;
use weir_control::lab::child;
use weir_control::lab::client::{self as lab_client, Login};
use weir_core::snapshot::Consistency;

use super::client::{CLIENTS, Client, Set};
use super::kit::{self, Kit, Ready};
use super::limits;
use super::table::{self, Row};
use super::trace::{Accepted, Trace, differences};
use crate::real::gate::{Gate, GateOptions};
use crate::real::limits::WORST_CONNECTIONS;
use crate::real::noise::Noise;
use crate::real::place::{Admin, PASSWORD, Place, USER, place};

/// What came of one client.
struct Verdict {
    trace: Trace,
    differences: Vec<(String, String)>,
}

/// Runs the clients that are meant: `WEIR_DRIVERS=all`, a part of a name, or nothing for the usual ones.
///
/// # Panics
/// If a client differs where it may not, fails, or cannot be had; if TABLE.md is not up to date.
pub fn check() {
    let asked = env::var("WEIR_DRIVERS").unwrap_or_default();
    let is_meant = |client: &&Client| match asked.as_str() {
        "" => client.set == Set::Usual,
        "all" => true,
        part => client.name.contains(part),
    };
    let clients: Vec<&Client> = CLIENTS.iter().filter(is_meant).collect();
    assert!(!clients.is_empty(), "no client has {asked:?} in its name");
    let place = place();
    prepare_accounts(place);
    let kits: Mutex<BTreeMap<Kit, Result<Ready, String>>> = Mutex::new(BTreeMap::new());
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..limits::WORKERS.min(clients.len()) {
            scope.spawn(|| {
                let mut worker = Worker::new(place);
                while let Some(client) = clients.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let ready = ready(&kits, client.kit, place);
                    let verdict = ready.and_then(|ready| worker.check(client, &ready));
                    eprintln!("{}: {:.1} s, {}", client.name, began.elapsed().as_secs_f64(), word(&verdict));
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((*client, verdict));
                }
            });
        }
    });
    judge(&asked, verdicts.into_inner().unwrap_or_else(PoisonError::into_inner));
}

fn word(verdict: &Result<Verdict, String>) -> String {
    match verdict {
        Ok(verdict) => format!("{} steps, {} differ", verdict.trace.steps.len(), verdict.differences.len()),
        Err(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
    }
}

/// A kit is installed once; who needs the same waits, others need not.
fn ready(kits: &Mutex<BTreeMap<Kit, Result<Ready, String>>>, kit: Kit, place: &Place) -> Result<Ready, String> {
    if let Some(known) = kits.lock().unwrap_or_else(PoisonError::into_inner).get(&kit) {
        return known.clone();
    }
    let ready = kit.ready(&place.mysql);
    kits.lock().unwrap_or_else(PoisonError::into_inner).insert(kit, ready.clone());
    ready
}

fn judge(asked: &str, mut verdicts: Vec<(&Client, Result<Verdict, String>)>) {
    let accepted = Accepted::read(&kit::drivers().join("accepted.txt"));
    let order = |client: &Client| CLIENTS.iter().position(|one| one.name == client.name);
    verdicts.sort_by_key(|(client, _)| order(client));
    let (mut faults, mut rows, mut ran) = (Vec::new(), Vec::new(), Vec::new());
    for (client, verdict) in &verdicts {
        match verdict {
            Err(why) => faults.push(format!("{}: {why}", client.name)),
            Ok(Verdict { trace, differences }) => {
                ran.push((client.name, trace));
                let is_accepted = |step: &str| accepted.holds(client.name, step);
                for (step, words) in differences.iter().filter(|(step, _)| !is_accepted(step)) {
                    faults.push(format!("{}, step {step}:\n{words}", client.name));
                }
                let accepted = trace.steps.iter().filter(|step| is_accepted(&step.name)).count();
                rows.push(Row {
                    client: **client,
                    version: trace.version.clone(),
                    direct: trace.steps.len(),
                    accepted,
                });
            }
        }
    }
    let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
    faults.extend(accepted.stray(&names, &ran));
    if faults.is_empty() {
        faults.extend(table::check(&rows, asked));
    }
    assert!(faults.is_empty(), "{} faults with {} clients\n{}", faults.len(), verdicts.len(), faults.join("\n"));
}

struct Worker {
    place: &'static Place,
    admin: Admin,
    gate: Gate,
}

impl Worker {
    fn new(place: &'static Place) -> Worker {
        let gate = start(place, WORST_CONNECTIONS);
        Worker { place, admin: place.admin().unwrap_or_else(|why| panic!("{why}")), gate }
    }

    fn check(&mut self, client: &Client, ready: &Ready) -> Result<Verdict, String> {
        let schema = schema(client.name);
        self.seed(&schema)?;
        let direct =
            run(client, ready, self.place.backends[0].port(), &schema).map_err(|why| format!("directly: {why}"))?;
        let faults = direct.faults();
        if !faults.is_empty() {
            return Err(format!("directly:\n    {}", faults.join("\n    ")));
        }
        self.seed(&schema)?;
        let over = AtomicBool::new(false);
        let roomy = (client.connections > WORST_CONNECTIONS).then(|| start(self.place, client.connections));
        let gate = roomy.as_ref().unwrap_or(&self.gate);
        let (gate, answered) = thread::scope(|scope| {
            let noise = scope.spawn(|| self.noise(gate, &over));
            let gate = run(client, ready, gate.port(), &schema);
            over.store(true, Ordering::Relaxed);
            (gate, noise.join().unwrap_or(0))
        });
        let gate = gate.map_err(|why| format!("through the gate: {why}"))?;
        if answered == 0 {
            return Err("there was no noise".to_owned());
        }
        let differences = differences(&direct, &gate);
        Ok(Verdict { trace: direct, differences })
    }

    fn noise(&self, gate: &Gate, over: &AtomicBool) -> usize {
        let mut noise = Noise::new(gate.address(), self.place.account(), 0);
        while !over.load(Ordering::Relaxed) {
            noise.turn();
            thread::sleep(limits::NOISE_PAUSE);
        }
        noise.answered
    }

    fn seed(&mut self, schema: &str) -> Result<(), String> {
        let path = kit::drivers().join("seed.sql");
        let seed = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut text = String::new();
        for name in [schema.to_owned(), format!("{schema}_2")] {
            let _ = writeln!(text, "DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name};");
        }
        let _ = writeln!(text, "USE {schema};\n{seed}");
        sql(self.place, &text)?;
        self.admin.ensure_replicated()
    }
}

fn start(place: &Place, connections_per_backend: usize) -> Gate {
    let options = GateOptions { connections_per_backend, cores_max: 1, socket: None };
    // One application's connections see each other's writes: the level is for more than one session.
    let level = |config: &mut Config| config.settings.consistency = Consistency::Instance;
    let gate = Gate::start_with(place, options, level).unwrap_or_else(|why| panic!("{why}"));
    // The gate knows no user before its first login, which some drivers can only do with TLS; the server knows this one.
    let other = Login::Account { port: gate.port(), user: "other".to_owned(), password: "other".to_owned() };
    lab_client::run(&place.mysql, &other, "DO 0").unwrap_or_else(|why| panic!("{why}"));
    gate
}

/// `mysql (C)` → `d_mysql_c`.
fn schema(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("d_{}", words.collect::<Vec<_>>().join("_").to_lowercase())
}

fn sql(place: &Place, text: &str) -> Result<(), String> {
    sql_as(place, USER, text)
}

/// The accounts' names are their passwords.
fn sql_as(place: &Place, user: &str, text: &str) -> Result<(), String> {
    let login = Login::Account { port: place.backends[0].port(), user: user.to_owned(), password: user.to_owned() };
    lab_client::run(&place.mysql, &login, text).map(drop).map_err(|error| error.to_string())
}

/// The account that clients change to.
fn prepare_accounts(place: &Place) {
    let text = "CREATE USER IF NOT EXISTS 'other'@'%' IDENTIFIED BY 'other'; GRANT ALL ON *.* TO 'other'@'%';";
    // Its login is remembered by the server from here on: not every driver can do a first one without TLS.
    sql(place, text).and_then(|()| sql_as(place, "other", "DO 0")).unwrap_or_else(|why| panic!("{why}"));
}

fn run(client: &Client, ready: &Ready, port: u16, schema: &str) -> Result<Trace, String> {
    let scratch = env::temp_dir().join(format!("weir-drivers-{}-{schema}", std::process::id()));
    let io = |error: std::io::Error| format!("{}: {error}", scratch.display());
    fs::create_dir_all(&scratch).map_err(io)?;
    fs::write(scratch.join("rows.csv"), ROWS).map_err(io)?;
    let mut command = Command::new(&ready.program[0]);
    command.args(&ready.program[1..]).args(client.args).current_dir(&ready.folder);
    command.envs(ready.env.iter().map(|(name, value)| (name, value)));
    let values = [
        ("HOST", "127.0.0.1"),
        ("USER", USER),
        ("PASSWORD", PASSWORD),
        ("SCHEMA", schema),
        ("PORT", &port.to_string()),
    ];
    command.envs(values.map(|(name, value)| (format!("WEIR_{name}"), value)));
    command.env("WEIR_SCRATCH", &scratch).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    let output = child::output(command, b"", limits::RUN_WAIT).map_err(|error| format!("it does not run: {error}"))?;
    keep(client, port, &output);
    let _ = fs::remove_dir_all(&scratch);
    if !output.status.success() {
        let lines: Vec<&str> = output.stdout.lines().chain(output.stderr.lines()).collect();
        return Err(format!("{}:\n    {}", output.status, lines[lines.len().saturating_sub(15)..].join("\n    ")));
    }
    Trace::read(&output.stdout)
}

/// `WEIR_DRIVERS_KEEP=FOLDER` keeps what was printed, to look at.
fn keep(client: &Client, port: u16, output: &child::Output) {
    if let Some(folder) = env::var_os("WEIR_DRIVERS_KEEP").map(PathBuf::from) {
        let _ = fs::create_dir_all(&folder);
        let name =
            format!("{}-{}", schema(client.name), if port == place().backends[0].port() { "direct" } else { "gate" });
        let _ = fs::write(folder.join(&name), &output.stdout);
        let _ = fs::write(folder.join(format!("{name}.err")), &output.stderr);
    }
}

/// What `LOAD DATA LOCAL` loads into `loaded`: a good row, one with escapes, one too short, one with a number that is none.
const ROWS: &str = "1,one,1.5\n2,\"two, quoted 😀\",2.25\n3,three\nx,four,4.75\n5,\\N,\\N\n";
