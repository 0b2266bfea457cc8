//! `policies`: how each balancing policy spreads reads over three unequal replicas, one slowed down, one restarted.
//!
//! ```text
//! readers ──► gate ─┬────────────────► replica 1  weight 3
//!                   ├──► slow way ───► replica 2  weight 2
//!                   └────────────────► replica 3  weight 1, restarted
//! for each policy:  even (all alike) │ slowed (2 answers late) │ restarted (3 is stopped, started, comes back)
//! ```
//! Invariant: who answered a read, the read itself says; no counter of the gate's is believed.

pub mod policy;

mod slow;

mod readers;

mod outcome;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::template::{APP, MONITOR};
use weir_control::lab::{Cluster, ClusterOptions, LabError, Mysql, Server};

use self::outcome::{Outcome, RESTARTED, SLOWED, WEIGHTS, share};
use self::policy::Policy;
use self::readers::{Part, Readers};
use self::slow::SlowWay;
use crate::arguments::Arguments;
use crate::backend::free_address;
use crate::client::{Account, Client};
use crate::consistency::register::{Layout, SCHEMA};
use crate::consistency::scene::Scene;
use crate::door::{Door, GateOptions};
use crate::error::Fault;
use crate::table::{Table, number};

#[derive(Debug)]
struct Plan {
    policies: Vec<Policy>,
    /// Of the even and of the slowed part.
    time: Duration,
    /// How late the slow replica's answers are.
    late: Duration,
    /// How long a replica is watched after its restart.
    after: Duration,
    sessions: usize,
    /// Reads per second.
    rate: f64,
    /// Sessions say the policy; otherwise gates are configured, and each policy has its own.
    by_session: bool,
    program: Option<std::path::PathBuf>,
    cores: Option<String>,
}

/// Servers, the slow way, and the primary's pulse.
struct Stage {
    cluster: Cluster,
    slow: SlowWay,
    account: Account,
    folder: TemporaryFolder,
}

/// Runs everything; true if nothing was wrong.
pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let plan = Plan::from_arguments(&mut arguments)?;
    arguments.finish()?;
    let stage = Stage::open()?;
    let mut outcomes = Vec::new();
    let mut door = None;
    for policy in &plan.policies {
        let door = match &mut door {
            Some(door) if plan.by_session => door,
            place => place.insert(stage.open_gate(&plan, *policy)?),
        };
        outcomes.push(stage.measure(&plan, *policy, door)?);
        door.check()?;
    }
    Ok(print_outcomes(&outcomes))
}

impl Plan {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, Fault> {
        let policies = match arguments.text("--policies")? {
            None => Policy::ALL.to_vec(),
            Some(names) => {
                let policies = names.split(',').map(str::parse).collect::<Result<_, String>>();
                policies.map_err(Fault::Usage)?
            }
        };
        let by_session = match arguments.text_or("--by", "session")?.as_str() {
            "session" => true,
            "config" => false,
            other => return Err(Fault::Usage(format!("--by {other}: session or config"))),
        };
        Ok(Self {
            policies,
            time: Duration::from_secs_f64(arguments.value_or("--time", 6.0)?),
            late: Duration::from_secs_f64(arguments.value_or("--slow-ms", 10.0)? / 1e3),
            after: Duration::from_secs_f64(arguments.value_or("--after", 12.0)?),
            sessions: arguments.value_or("--sessions", 64)?,
            rate: arguments.value_or("--rate", 1500.0)?,
            by_session,
            program: arguments.value("--weir")?,
            cores: arguments.text("--cores")?,
        })
    }

    /// What a session says first.
    fn preamble(&self, policy: Policy) -> Vec<String> {
        match self.by_session {
            true => vec![format!("SET SESSION read_write_splitting_policy='{policy}'")],
            false => Vec::new(),
        }
    }
}

impl Stage {
    fn open() -> Result<Self, Fault> {
        let mysql = Mysql::find(None, &mut |progress| eprintln!("{progress}"))?;
        let replicas = WEIGHTS.len() - 1;
        let options = ClusterOptions { replicas, ..ClusterOptions::default() };
        let cluster = Cluster::start(&mysql, options, &mut |progress| eprintln!("{progress}"))?;
        let account = |node: &Server| Account {
            address: SocketAddr::from(([127, 0, 0, 1], node.port())),
            user: APP.0.to_owned(),
            password: APP.1.to_owned(),
            schema: Some(SCHEMA.to_owned()),
        };
        let nodes: Vec<Account> = cluster.nodes().iter().map(account).collect();
        let (account, target) = (nodes[0].clone(), nodes[SLOWED].address);
        let layout = Layout { sessions: 1, shared: 1, pairs: 1 };
        Scene { nodes, ways: Vec::new() }.prepare(layout, 1)?;
        let slow = SlowWay::open(free_address()?, target).map_err(|error| Fault::io("opening a slow way", error))?;
        Ok(Self { cluster, slow, account, folder: TemporaryFolder::create(&cache::folder()?)? })
    }

    fn open_gate(&self, plan: &Plan, policy: Policy) -> Result<Door, Fault> {
        let folder = self.folder.path().join(policy.name());
        std::fs::create_dir_all(&folder).map_err(|error| Fault::io("making a folder", error))?;
        let path = folder.join("weir.toml");
        let balance = if plan.by_session { None } else { Some(policy) };
        std::fs::write(&path, self.configuration(balance)).map_err(|error| Fault::io("writing a file", error))?;
        let options = GateOptions {
            program: plan.program.clone(),
            cores: plan.cores.clone(),
            backends: Vec::new(),
            monitor: (MONITOR.0.to_owned(), MONITOR.1.to_owned()),
            extra: vec!["--config".to_owned(), path.display().to_string()],
        };
        let door = Door::open_gate(&options, &self.account, Path::new(&folder))?;
        // Until it has seen all of them.
        thread::sleep(SETTLE_WAIT);
        Ok(door)
    }

    fn configuration(&self, policy: Option<Policy>) -> String {
        let balance = policy.map(|policy| format!("balance = \"{}\"\n", policy.name().to_lowercase()));
        let mut text = format!("[routing]\n{}", balance.unwrap_or_default());
        for (number, node) in self.cluster.nodes().iter().enumerate() {
            let address = if number == SLOWED { self.slow.address().to_string() } else { node.address() };
            // The primary's weight plays no part.
            let weight = WEIGHTS[number].max(1) * 100;
            text.push_str(&format!(
                "[[backends]]\nname = \"node{number}\"\naddress = \"{address}\"\nweight = {weight}\n"
            ));
        }
        text
    }

    fn measure(&self, plan: &Plan, policy: Policy, door: &Door) -> Result<Outcome, Fault> {
        let account = Account { schema: self.account.schema.clone(), ..door.account.clone() };
        let mut readers = Readers::open(&account, &plan.preamble(policy), plan.sessions, plan.rate)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let pulse = scope.spawn(|| self.pulse(&over));
            let done = self.measure_parts(plan, policy, &mut readers);
            over.store(true, Ordering::Relaxed);
            match pulse.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            done
        })
    }

    fn measure_parts(&self, plan: &Plan, policy: Policy, readers: &mut Readers) -> Result<Outcome, Fault> {
        // Figures that a policy goes by are of the last seconds.
        readers.run(&|elapsed| elapsed >= SETTLE_WAIT)?;
        eprintln!("{policy}: even");
        let even = readers.run(&|elapsed| elapsed >= plan.time)?;
        eprintln!("{policy}: one slowed down");
        self.slow.set_delay(plan.late);
        readers.run(&|elapsed| elapsed >= SETTLE_WAIT)?;
        let slowed = readers.run(&|elapsed| elapsed >= plan.time)?;
        self.slow.set_delay(Duration::ZERO);
        readers.run(&|elapsed| elapsed >= SETTLE_WAIT)?;
        eprintln!("{policy}: one restarted");
        let restarted = self.restart(plan, readers)?;
        Ok(Outcome { policy, even, slowed, restarted })
    }

    /// Reads go on while a replica is stopped and started, and for a while after that.
    fn restart(&self, plan: &Plan, readers: &mut Readers) -> Result<Part, Fault> {
        let restarted: Mutex<Option<(Instant, Result<(), LabError>)>> = Mutex::new(None);
        let part = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_secs(1));
                let done = self.cluster.node(RESTARTED).restart();
                *restarted.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), done));
            });
            readers.run(&|_| {
                let restarted = restarted.lock().unwrap_or_else(PoisonError::into_inner);
                restarted.as_ref().is_some_and(|(since, _)| since.elapsed() >= plan.after)
            })
        })?;
        match restarted.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, Err(error))) => Err(error.into()),
            Some((_, Ok(()))) | None => Ok(part),
        }
    }

    /// A few writes per second, so that positions and figures move.
    fn pulse(&self, over: &AtomicBool) -> Result<(), Fault> {
        let mut client = Client::connect(&self.account)?;
        while !over.load(Ordering::Relaxed) {
            client.query("UPDATE reg SET v=v+1 WHERE id=1")?;
            thread::sleep(PULSE_PAUSE);
        }
        Ok(())
    }
}

/// True if nothing was wrong.
fn print_outcomes(outcomes: &[Outcome]) -> bool {
    let mut table = Table::new(&[
        "policy",
        "part",
        "1 (w 3) %",
        "2 (w 2) %",
        "3 (w 1) %",
        "primary %",
        "peak",
        "reads/s",
        "p50 ms",
        "p99 ms",
        "errors",
    ]);
    let mut returns = Table::new(&["policy", "share of 3 beside its fair one, in each second since its return"]);
    let mut wrong = Vec::new();
    for outcome in outcomes {
        for ((name, part), healthy) in outcome.parts().into_iter().zip([&[1, 2, 3][..], &[1, 3], &[1, 2]]) {
            let by_node = part.by_node();
            let percent = |node| number(Some(share(&by_node, node, &[0, 1, 2, 3]) * 100.0), 1);
            table.add(vec![
                outcome.policy.to_string(),
                name.to_owned(),
                percent(1),
                percent(2),
                percent(3),
                percent(0),
                number(Outcome::peak(part, healthy).filter(|_| by_node[1] > 0), 2),
                number(Some(part.per_second()), 0),
                number(part.latency_ms(0.5), 2),
                number(part.latency_ms(0.99), 2),
                part.errors.to_string(),
            ]);
            let samples = part.samples.iter().map(|sample| format!("{}, {name}: {sample}", outcome.policy));
            samples.for_each(|sample| eprintln!("{sample}"));
        }
        let seconds: Vec<String> = outcome.seconds_since_return().iter().map(|share| format!("{share:.2}")).collect();
        returns.add(vec![outcome.policy.to_string(), seconds.join(" ")]);
        wrong.extend(outcome.wrong().into_iter().map(|what| format!("{}, {what}", outcome.policy)));
    }
    print!("{table}\n{returns}");
    for what in &wrong {
        println!("WRONG: {what}");
    }
    wrong.is_empty()
}

/// For figures of the servers to become those of the part that is measured, and for old ones to be forgotten.
const SETTLE_WAIT: Duration = Duration::from_secs(2);

const PULSE_PAUSE: Duration = Duration::from_millis(20);
