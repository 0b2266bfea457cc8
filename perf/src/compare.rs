//! `compare`: the same load through each door in turn, and what it cost there.
//!
//! ```text
//! round 1:  direct relay weir haproxy     with 1 client
//! round 2:  direct relay weir haproxy
//! …                                       then with 8, with 64
//! ```
//! Invariant: doors take turns within a round, and a row is the median over rounds, so that what else the machine does
//! hits all alike. CPU time is that of the door's process and of the backend's while the load was counted. Syscalls are
//! counted after the rounds of each number of clients, as counting them is a load of its own.

mod report;

mod plots;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_control::lab::cache::{self, TemporaryFolder};

use crate::arguments::Arguments;
use crate::backend::Backend;
use crate::door::{Door, GateOptions, Kind};
use crate::error::Fault;
use crate::load::{self, LoadOptions, Question};
use crate::meter;
use crate::sysbench::{Run, Sysbench, Tables};
use crate::syscalls::Counter;

pub use self::report::{Cell, Report, Sample};

/// Who makes the load.
#[derive(Clone, Debug)]
enum Generator {
    /// This program, on so many threads.
    Own {
        question: Question,
        threads: usize,
    },
    Sysbench {
        sysbench: Sysbench,
        test: String,
        prepared: bool,
    },
}

#[derive(Debug)]
struct Plan {
    clients: Vec<usize>,
    doors: Vec<Kind>,
    rounds: usize,
    time: Duration,
    warm_up: Duration,
    rate: Option<f64>,
    tables: Tables,
    generator: Generator,
    syscalls: Syscalls,
}

/// Whether syscalls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syscalls {
    Counted,
    Left,
}

/// Runs the comparison, prints its table and writes its file.
pub fn run(mut arguments: Arguments) -> Result<(), Fault> {
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let plan = Plan::from_arguments(&mut arguments)?;
    let json = PathBuf::from(arguments.text_or("--json", "weir-perf-compare.json")?);
    let plots: Option<PathBuf> = arguments.text("--plots")?.map(PathBuf::from);
    let program = arguments.value("--weir")?;
    let cores = arguments.text_or("--cores", "1")?;
    let backend = Backend::from_arguments(arguments, folder.path())?;
    if let Some(plots) = &plots {
        // Before the measurements, which would be for nothing.
        fs::create_dir_all(plots).map_err(|error| Fault::io(format!("making {}", plots.display()), error))?;
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
    let report = plan.run(&doors, &backend, folder.path())?;
    print!("{report}");
    let written = fs::write(&json, format!("{}\n", report.to_json()));
    written.map_err(|error| Fault::io(format!("writing {}", json.display()), error))?;
    println!("written to {}", json.display());
    let Some(plots) = plots else {
        return Ok(());
    };
    for drawn in plots::write(&report, &plots)? {
        println!("{drawn}");
    }
    if matches!(plan.generator, Generator::Sysbench { .. }) {
        println!("sysbench tells no histogram: latency by percentile can be plotted with --load own");
    }
    Ok(())
}

impl Plan {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, Fault> {
        let tables = Tables {
            count: arguments.value_or("--tables", Tables::default().count)?,
            rows: arguments.value_or("--table-size", Tables::default().rows)?,
        };
        let doors = match arguments.text("--doors")? {
            None => Kind::present(),
            Some(text) => {
                let kinds = text.split(',').map(|name| name.trim().parse::<Kind>());
                kinds.collect::<Result<_, _>>().map_err(Fault::Usage)?
            }
        };
        let clients: Vec<usize> = arguments.list_or("--threads", "1,8,64")?;
        let rounds = arguments.value_or("--rounds", 3)?;
        if rounds == 0 || clients.contains(&0) {
            return Err(Fault::Usage("--rounds and --threads are numbers above 0".to_owned()));
        }
        let generator = Generator::from_arguments(arguments, tables)?;
        let syscalls = Syscalls::from_arguments(arguments)?;
        if syscalls == Syscalls::Counted && matches!(generator, Generator::Sysbench { .. }) {
            let what = "--syscalls yes counts beside the own load: leave --load sysbench out";
            return Err(Fault::Usage(what.to_owned()));
        }
        Ok(Self {
            clients,
            doors,
            rounds,
            time: Duration::from_secs_f64(arguments.value_or("--time", 6.0)?),
            warm_up: Duration::from_secs_f64(arguments.value_or("--warm-up", 0.5)?),
            rate: arguments.value("--rate")?,
            generator,
            syscalls,
            tables,
        })
    }

    fn run(&self, doors: &[Door], backend: &Backend, folder: &Path) -> Result<Report, Fault> {
        let mut cells = Vec::new();
        let mut notes = Vec::new();
        let counter = self.counter(&mut notes);
        let total = self.clients.len() * self.rounds * doors.len();
        let mut done = 0;
        for &clients in &self.clients {
            let first = cells.len();
            cells.extend(doors.iter().map(|door| Cell::new(door.kind, clients)));
            for round in 1..=self.rounds {
                for (cell, door) in cells[first..].iter_mut().zip(doors) {
                    done += 1;
                    let name = door.kind.name();
                    eprintln!("[{done}/{total}] {name}, {clients} clients, round {round}");
                    let sample = self.measure(door, backend, clients)?;
                    door.check()?;
                    cell.samples.push(sample);
                }
            }
            if let Some(counter) = &counter {
                self.count_syscalls(counter, doors, &mut cells[first..], folder, &mut notes)?;
            }
        }
        Ok(Report { title: self.title(backend), cells, notes })
    }

    /// Who counts syscalls, if they are to be counted and somebody can.
    fn counter(&self, notes: &mut Vec<String>) -> Option<Counter> {
        if self.syscalls == Syscalls::Left {
            return None;
        }
        match Counter::find() {
            Ok(counter) => {
                notes.push(format!("syscalls: {}", counter.describe()));
                Some(counter)
            }
            Err(missing) => {
                notes.push(format!("syscalls were not counted: {missing}"));
                None
            }
        }
    }

    /// A load of its own for each proxy. A tool that fails costs the column, not the report.
    fn count_syscalls(
        &self,
        counter: &Counter,
        doors: &[Door],
        cells: &mut [Cell],
        folder: &Path,
        notes: &mut Vec<String>,
    ) -> Result<(), Fault> {
        let Generator::Own { question, threads } = &self.generator else {
            return Ok(());
        };
        for (cell, door) in cells.iter_mut().zip(doors) {
            let Some(pid) = door.pid() else {
                continue;
            };
            let (name, clients) = (door.kind.name(), cell.clients);
            eprintln!("{name}, {clients} clients: counting syscalls");
            let options = LoadOptions { time: SYSCALLS_TIME, ..self.load(door, question, *threads, clients) };
            match counter.per_query(pid, &options, folder) {
                Ok(count) => cell.syscalls = Some(count),
                Err(error) => notes.push(format!("{name}, {clients} clients: syscalls were not counted: {error}")),
            }
            door.check()?;
        }
        Ok(())
    }

    fn load(&self, door: &Door, question: &Question, threads: usize, clients: usize) -> LoadOptions {
        LoadOptions {
            account: door.account.clone(),
            question: question.clone(),
            connections: clients,
            threads,
            rate: self.rate,
            warm_up: self.warm_up,
            time: self.time,
        }
    }

    fn measure(&self, door: &Door, backend: &Backend, clients: usize) -> Result<Sample, Fault> {
        let watched: Vec<u32> = door.pid().into_iter().chain(backend.pid).collect();
        match &self.generator {
            Generator::Own { question, threads } => {
                let outcome = load::run(&self.load(door, question, *threads, clients), &watched)?;
                if let Some(error) = &outcome.first_error {
                    eprintln!("    {} errors, the first: {error}", outcome.errors);
                }
                Ok(Sample::of_own(&outcome, door.pid(), backend.pid))
            }
            Generator::Sysbench { sysbench, test, prepared } => {
                let run = Run {
                    test: test.clone(),
                    account: door.account.clone(),
                    tables: self.tables,
                    threads: clients,
                    time: self.time,
                    prepared: *prepared,
                    rate: self.rate,
                    goes_on: false,
                };
                let before: Vec<u64> = watched.iter().map(|pid| meter::cpu_ns_of_all(&[*pid])).collect();
                let summary = sysbench.run(&run)?;
                let cpu_ns: Vec<u64> = (watched.iter().zip(before))
                    .map(|(pid, before)| meter::cpu_ns_of_all(&[*pid]).saturating_sub(before))
                    .collect();
                Ok(Sample::of_sysbench(&summary, &cpu_ns, door.pid(), backend.pid))
            }
        }
    }

    fn title(&self, backend: &Backend) -> String {
        let what = match &self.generator {
            Generator::Own { question, .. } => format!("own load, {}", question.name()),
            Generator::Sysbench { test, prepared, .. } => {
                let way = if *prepared { "prepared" } else { "text" };
                format!("sysbench {test}, {way}")
            }
        };
        let rate = match self.rate {
            Some(rate) => format!("{rate}/s"),
            None => "closed loop".to_owned(),
        };
        let (time, rounds) = (self.time.as_secs_f64(), self.rounds);
        format!("{what}, {rate}, backend {}, {rounds} rounds of {time} s", backend.name)
    }
}

impl Syscalls {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, Fault> {
        Ok(if arguments.yes_or_no("--syscalls", false)? { Self::Counted } else { Self::Left })
    }
}

impl Generator {
    fn from_arguments(arguments: &mut Arguments, tables: Tables) -> Result<Self, Fault> {
        let prepared = match arguments.text_or("--db-ps-mode", "auto")?.as_str() {
            "auto" => true,
            "disable" => false,
            other => return Err(Fault::Usage(format!("--db-ps-mode {other}: auto or disable"))),
        };
        match arguments.text_or("--load", "own")?.as_str() {
            "own" => {
                let statement = arguments.text("--statement")?;
                let threads = arguments.value_or("--load-threads", 1)?;
                let question = match (statement, prepared) {
                    (Some(text), _) => Question::Text(text),
                    (None, true) => Question::PreparedPoint { rows: tables.rows },
                    (None, false) => Question::TextPoint { tables: tables.count, rows: tables.rows },
                };
                Ok(Self::Own { question, threads })
            }
            "sysbench" => Ok(Self::Sysbench {
                test: arguments.text_or("--test", "oltp_point_select")?,
                sysbench: Sysbench::find()?,
                prepared,
            }),
            other => Err(Fault::Usage(format!("--load {other}: own or sysbench"))),
        }
    }
}

/// How long syscalls are counted for a cell: some ten thousand queries.
const SYSCALLS_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, Fault> {
        Plan::from_arguments(&mut Arguments::new(line.split_whitespace().map(str::to_owned)))
    }

    #[test]
    fn what_was_typed_wrong_is_named() {
        for (line, expected) in [
            ("--syscalls maybe", "--syscalls maybe: yes or no"),
            ("--rounds 0", "--rounds and --threads are numbers above 0"),
            ("--threads 8,0", "--rounds and --threads are numbers above 0"),
            ("--load siege", "--load siege: own or sysbench"),
        ] {
            assert_eq!(plan(line).unwrap_err().to_string(), expected);
        }
        assert_eq!(plan("--doors weir").unwrap().syscalls, Syscalls::Left);
        assert_eq!(plan("--doors weir --syscalls yes").unwrap().syscalls, Syscalls::Counted);
    }
}
