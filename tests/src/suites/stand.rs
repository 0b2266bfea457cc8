//! The stand: one suite after the other on one cluster, each on MySQL directly, once more, and then through a gate of its own.
//!
//! Invariant: before each run every database but the server's own and the noise's is gone and the suite's seed is laid anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

use weir_control::config::Config;
use weir_control::lab::child;
use weir_control::lab::client::{self as lab_client, Login};
use weir_core::snapshot::Consistency;

use super::home::{self, Home};
use super::limits;
use super::outcome::{self, Outcome, Outcomes};
use super::suite::{SUITES, Sharing, Suite};
use super::table::{self, Row};
use crate::drivers::trace::Accepted;
use crate::real::gate::{Gate, GateOptions};
use crate::real::limits::WORST_CONNECTIONS;
use crate::real::noise::Noise;
use crate::real::place::{Admin, PASSWORD, Place, USER, place};

/// What came of one suite.
struct Verdict {
    version: String,
    direct: Outcomes,
    /// Told differently by MySQL's own two runs.
    fickle: BTreeSet<String>,
    gate: Outcomes,
}

/// Runs the suites that are named, or all; true if nothing differs that may not.
pub fn check(names: &[String]) -> bool {
    let unknown: Vec<&String> = names.iter().filter(|name| SUITES.iter().all(|one| one.name != **name)).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("there is no suite {unknown:?}, only {}", known.join(", "));
        return false;
    }
    let is_meant = |suite: &&Suite| names.is_empty() || names.iter().any(|name| name == suite.name);
    let accepted = Accepted::read(&home::scripts().join("accepted.txt"));
    let (mut rows, mut faults) = (Vec::new(), 0);
    for suite in SUITES.iter().filter(is_meant) {
        let began = Instant::now();
        match run(suite) {
            Ok(verdict) => {
                let (row, found) = judge(suite, &verdict, &accepted);
                faults += found.len();
                eprintln!("{}: {:.0} s, {}", suite.name, began.elapsed().as_secs_f64(), table::line(&row));
                found.iter().take(limits::SHOWN_TESTS_MAX).for_each(|fault| eprintln!("    {fault}"));
                rows.push(row);
            }
            Err(why) => {
                faults += 1;
                eprintln!("{}: FAILED: {why}", suite.name);
            }
        }
    }
    table::note(&rows).iter().for_each(|note| eprintln!("{note}"));
    eprintln!("{faults} faults");
    faults == 0
}

fn judge(suite: &Suite, verdict: &Verdict, accepted: &Accepted) -> (Row, Vec<String>) {
    let Verdict { version, direct, fickle, gate } = verdict;
    let passed = |outcomes: &Outcomes, name: &str| outcomes.get(name) == Some(&Outcome::Passed);
    let names: BTreeSet<&String> = direct.keys().chain(gate.keys()).filter(|name| !fickle.contains(*name)).collect();
    let (mut may, mut faults) = (0, Vec::new());
    for name in &names {
        let (before, behind) = (passed(direct, name), passed(gate, name));
        if before == behind {
            continue;
        }
        if accepted.holds(suite.name, name) {
            may += 1;
        } else {
            let tell = |outcomes: &Outcomes| outcomes.get(*name).map_or("not told of".to_owned(), |o| format!("{o:?}"));
            faults.push(format!("{name}: directly {}, through the gate {}", tell(direct), tell(gate)));
        }
    }
    let count = |outcomes: &Outcomes| names.iter().filter(|name| passed(outcomes, name)).count();
    let row = Row {
        suite: *suite,
        version: version.clone(),
        tests: names.len(),
        direct: count(direct),
        gate: count(gate),
        accepted: may,
        fickle: fickle.len(),
    };
    (row, faults)
}

fn run(suite: &Suite) -> Result<Verdict, String> {
    let place = place();
    let home = Home::ready(suite, &place.mysql)?;
    let mut stage = Stage { place, admin: place.admin()?, suite, home };
    let port = place.backends[0].port();
    let (version, direct) = stage.run(port, "direct").map_err(|why| format!("directly: {why}"))?;
    let (_, again) = stage.run(port, "again").map_err(|why| format!("directly, the second time: {why}"))?;
    let differs = |name: &&String| direct.get(*name) != again.get(*name);
    let fickle = direct.keys().chain(again.keys()).filter(differs).cloned().collect();
    let (connections, is_noisy) = match suite.sharing {
        Sharing::Worst => (WORST_CONNECTIONS, true),
        Sharing::Noisy(connections, _) => (connections, true),
        Sharing::Alone(connections, _) => (connections, false),
    };
    let options = GateOptions { connections_per_backend: connections, cores_max: 1, socket: None };
    // One suite's connections see each other's writes: the level is for more than one session.
    let level = |config: &mut Config| config.settings.consistency = Consistency::Instance;
    let gate = Gate::start_with(place, options, level)?;
    let over = AtomicBool::new(!is_noisy);
    let (told, answered) = thread::scope(|scope| {
        let noise = scope.spawn(|| noise(&gate, place, &over));
        let told = stage.run(gate.port(), "gate");
        over.store(true, Ordering::Relaxed);
        (told, noise.join().unwrap_or(0))
    });
    let (_, gate) = told.map_err(|why| format!("through the gate: {why}"))?;
    if is_noisy && answered == 0 {
        return Err("there was no noise".to_owned());
    }
    Ok(Verdict { version, direct, fickle, gate })
}

fn noise(gate: &Gate, place: &Place, over: &AtomicBool) -> usize {
    let mut noise = Noise::new(gate.address(), place.account(), 0);
    while !over.load(Ordering::Relaxed) {
        noise.turn();
        thread::sleep(limits::NOISE_PAUSE);
    }
    noise.answered
}

struct Stage<'a> {
    place: &'static Place,
    admin: Admin,
    suite: &'a Suite,
    home: Home,
}

impl Stage<'_> {
    fn run(&mut self, port: u16, way: &str) -> Result<(String, Outcomes), String> {
        self.seed()?;
        let scratch = env::temp_dir().join(format!("weir-suites-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let mut command = self.home.command(self.suite, "run");
        let values = [("HOST", "127.0.0.1"), ("USER", USER), ("PASSWORD", PASSWORD), ("PORT", &port.to_string())];
        command.envs(values.map(|(name, value)| (format!("WEIR_{name}"), value)));
        command.env("WEIR_SCRATCH", &scratch);
        let began = Instant::now();
        let output = child::output(command, b"", limits::RUN_WAIT);
        let _ = fs::remove_dir_all(&scratch);
        let output = output.map_err(|error| format!("it does not run: {error}"))?;
        keep(self.suite, way, &output);
        let text = format!("{}{}", output.stdout, output.stderr);
        let told = outcome::read(self.suite.format, &text);
        let seconds = began.elapsed().as_secs_f64();
        // How it ended says nothing: a suite with a test that fails ends with an error.
        eprintln!("{}, {way}: {seconds:.0} s, {}", self.suite.name, output.status);
        told.map_err(|why| {
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(limits::SHOWN_LINES_MAX)..).unwrap_or_default();
            format!("{why}; it ended so:\n    {}", last.join("\n    "))
        })
    }

    fn seed(&mut self) -> Result<(), String> {
        let rows = self.sql("SHOW DATABASES")?;
        let keeps = ["information_schema", "mysql", "performance_schema", "sys", "weir_noise", "weir_noise_2"];
        let names = rows.iter().filter_map(|row| row.first()).filter(|name| !keeps.contains(&name.as_str()));
        let text: String = names.map(|name| format!("DROP DATABASE `{}`;\n", name.replace('`', "``"))).collect();
        self.sql(&format!("{text}{}", self.suite.seed))?;
        self.admin.ensure_replicated()
    }

    fn sql(&self, text: &str) -> Result<lab_client::Rows, String> {
        let port = self.place.backends[0].port();
        let login = Login::Account { port, user: USER.to_owned(), password: PASSWORD.to_owned() };
        lab_client::run(&self.place.mysql, &login, text).map_err(|error| error.to_string())
    }
}

/// `WEIR_SUITES_KEEP=FOLDER` keeps what was printed, to look at.
fn keep(suite: &Suite, way: &str, output: &child::Output) {
    if let Some(folder) = env::var_os("WEIR_SUITES_KEEP").map(PathBuf::from) {
        let _ = fs::create_dir_all(&folder);
        let write = |end: &str, text: &str| {
            let _ = fs::write(Path::new(&folder).join(format!("{}-{way}{end}", home::word(suite.name))), text);
        };
        write("", &output.stdout);
        write(".err", &output.stderr);
    }
}
