//! `compare`: the same load through each door in turn, and what it cost there.
//!
//! ```text
//! round 1:  direct relay weir haproxy     with 1 client
//! round 2:  direct relay weir haproxy
//! …                                       then with 8, with 64
//! ```
//! Invariant: doors take turns within a round, and a row is the median over rounds, so that what else the machine does
//! hits all alike. CPU time is that of the door's process and of the backend's while the load was counted.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use weir_control::lab::cache::{self, TemporaryFolder};

use crate::arguments::Arguments;
use crate::backend::Backend;
use crate::door::{Door, GateOptions, Kind};
use crate::error::Fault;
use crate::load::{self, LoadOptions, Question};
use crate::meter;
use crate::sysbench::{Run, Sysbench, Tables};

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
}

/// Runs the comparison, prints its table and writes its file.
pub fn run(mut arguments: Arguments) -> Result<(), Fault> {
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let plan = Plan::from_arguments(&mut arguments)?;
    let json = PathBuf::from(arguments.text_or("--json", "weir-perf-compare.json")?);
    let program = arguments.value("--weir")?;
    let cores = arguments.text_or("--cores", "1")?;
    let backend = Backend::from_arguments(arguments, folder.path())?;
    let gate = GateOptions { cores: Some(cores), ..GateOptions::for_backend(&backend, program) };
    let mut doors = Vec::new();
    for kind in &plan.doors {
        match Door::open(*kind, &backend, &gate, folder.path()) {
            Ok(door) => doors.push(door),
            Err(error) if kind.is_peer() => eprintln!("{} is left out: {error}", kind.name()),
            Err(error) => return Err(error),
        }
    }
    let report = plan.run(&doors, &backend)?;
    print!("{report}");
    let written = std::fs::write(&json, format!("{}\n", report.to_json()));
    written.map_err(|error| Fault::io(format!("writing {}", json.display()), error))?;
    println!("written to {}", json.display());
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
        Ok(Self {
            clients: arguments.list_or("--threads", "1,8,64")?,
            doors,
            rounds: arguments.value_or("--rounds", 3)?,
            time: Duration::from_secs_f64(arguments.value_or("--time", 6.0)?),
            warm_up: Duration::from_secs_f64(arguments.value_or("--warm-up", 0.5)?),
            rate: arguments.value("--rate")?,
            generator: Generator::from_arguments(arguments, tables)?,
            tables,
        })
    }

    fn run(&self, doors: &[Door], backend: &Backend) -> Result<Report, Fault> {
        let mut cells = Vec::new();
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
        }
        Ok(Report { title: self.title(backend), cells })
    }

    fn measure(&self, door: &Door, backend: &Backend, clients: usize) -> Result<Sample, Fault> {
        let watched: Vec<u32> = door.pid().into_iter().chain(backend.pid).collect();
        match &self.generator {
            Generator::Own { question, threads } => {
                let options = LoadOptions {
                    account: door.account.clone(),
                    question: question.clone(),
                    connections: clients,
                    threads: *threads,
                    rate: self.rate,
                    warm_up: self.warm_up,
                    time: self.time,
                };
                let outcome = load::run(&options, &watched)?;
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
