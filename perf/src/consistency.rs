//! `consistency`: whether reads are as fresh as their level promises, while replication is late on purpose.
//!
//! ```text
//!  sessions ─┬─► gate 0 ─┬─► primary ──► replica 1   their appliers are stopped, delayed, held up
//!            ├─► gate 1 ─┘         └───► replica 2
//!            └─► primary itself (writes that bypass the gates)
//!  for each delay: (round: EVENTUAL SESSION INSTANCE GLOBAL) × rounds
//! ```
//! Every read is judged by what was acknowledged before it was sent, and tells by a row of its own which server answered.
//! Levels take turns, so that their costs are those of one run.
//!
//! Invariant: the judge uses nothing that the gates say of themselves.

pub mod level;

pub mod delay;

pub mod scene;

pub mod register;

mod ledger;

mod judge;

pub mod tally;

mod session;

mod crew;

mod lag;

mod carry;

pub mod findings;

mod command;

use std::thread;
use std::time::{Duration, Instant};

pub use self::command::run;

use self::carry::Carried;
use self::crew::{Crew, Work};
use self::delay::{Delay, Over};
use self::findings::{Finding, Findings};
use self::lag::Lag;
use self::ledger::Ledger;
use self::register::{Layout, SCHEMA};
use self::scene::{Scene, Way};
use self::session::Member;
use crate::error::Fault;
use crate::limits::PROGRESS_PAUSE;
use crate::meter;

#[derive(Clone, Debug)]
pub struct Options {
    pub delays: Vec<Delay>,
    /// Of each level, over all delays and rounds, calm apart.
    pub reads: u64,
    /// Turns per second while it is calm, and how long that lasts for a level, over all rounds.
    pub calm_rate: f64,
    pub calm_time: Duration,
    /// Turns per second while replicas are late on purpose: fewer than make them late for ever.
    pub rate: f64,
    /// Of a hundred turns of a session, those that are writes.
    pub writes_percent: u32,
    pub rounds: u64,
    /// Sessions of each level, over all its gates.
    pub sessions: usize,
    /// Sessions on the primary itself.
    pub direct: usize,
    pub threads: usize,
    /// Rows of the table that slow changes of schema copy.
    pub side_rows: u64,
    /// Of one level in one round under one delay; then it ends with fewer reads.
    pub time_max: Duration,
    /// Tokens that are carried to another gate, under each delay.
    pub tokens: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delays: Delay::ALL.to_vec(),
            reads: 100_000,
            calm_rate: 1_000.0,
            calm_time: Duration::from_secs(20),
            rate: 2_500.0,
            writes_percent: 5,
            rounds: 2,
            sessions: 64,
            direct: 2,
            threads: 2,
            side_rows: 60_000,
            time_max: Duration::from_secs(600),
            tokens: 50,
        }
    }
}

impl Options {
    /// Of one level in one round.
    fn work(&self, delay: Delay) -> Work {
        if delay == Delay::Calm {
            let time_max = self.calm_time.div_f64(self.rounds.max(1) as f64);
            return Work { reads: u64::MAX, time_max, rate: Some(self.calm_rate) };
        }
        let busy = self.delays.iter().filter(|delay| **delay != Delay::Calm).count() as u64;
        let reads = (self.reads / (busy * self.rounds).max(1)).max(1);
        Work { reads, time_max: self.time_max, rate: delay.is_made().then_some(self.rate) }
    }
}

/// A check under way.
struct Check<'a> {
    scene: &'a Scene,
    options: &'a Options,
    ledger: Ledger,
    /// One per way.
    crews: Vec<Crew>,
    findings: Findings,
    say: &'a mut dyn FnMut(String),
}

/// Prepares the scene, runs everything, and returns what was found. `say` is told how far it is.
pub fn check(scene: &Scene, options: &Options, say: &mut dyn FnMut(String)) -> Result<Findings, Fault> {
    let layout = Layout { sessions: options.sessions + options.direct, shared: SHARED, pairs: PAIRS };
    say("preparing tables".to_owned());
    scene.prepare(layout, options.side_rows)?;
    let crews = scene.ways.iter().map(|way| open_crew(scene, way, options, layout)).collect::<Result<_, _>>()?;
    let findings = Findings { rows: Vec::new(), carried: Carried::default(), miscounted: Vec::new() };
    let ledger = Ledger::new(layout, scene.gates());
    let mut check = Check { scene, options, ledger, crews, findings, say };
    for delay in &options.delays {
        check.under(*delay)?;
    }
    check.compare_versions()?;
    Ok(check.findings)
}

fn open_crew(scene: &Scene, way: &Way, options: &Options, layout: Layout) -> Result<Crew, Fault> {
    let behind_gates = (0..options.sessions).map(|number| {
        let gate = &way.gates[number % way.gates.len()];
        let (gate, account) = (Some(gate.number), gate.account.clone());
        let (preamble, writes_percent) = (way.preamble.clone(), options.writes_percent);
        Member { number, gate, account, preamble, writes_percent }
    });
    let direct = (options.sessions..layout.sessions).map(|number| {
        let account = scene.nodes[0].clone();
        Member { number, gate: None, account, preamble: Vec::new(), writes_percent: 100 }
    });
    Crew::open(behind_gates.chain(direct).collect(), layout.count(), options.threads)
}

impl Check<'_> {
    /// All rounds and levels under one delay, which ends with them.
    fn under(&mut self, delay: Delay) -> Result<(), Fault> {
        let (scene, over, lag) = (self.scene, Over::default(), Lag::new());
        let done = thread::scope(|scope| {
            let making = scope.spawn(|| delay.make(scene, &over));
            let watching = scope.spawn(|| lag.watch(scene, &over));
            let done = self.rounds(delay, &lag);
            over.set();
            for thread in [making, watching] {
                match thread.join() {
                    Ok(result) => result?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done?;
        delay::undo(self.scene)?;
        self.scene.wait_until_caught_up()
    }

    fn rounds(&mut self, delay: Delay, lag: &Lag) -> Result<(), Fault> {
        let work = self.options.work(delay);
        for round in 1..=self.options.rounds {
            for at in 0..self.scene.ways.len() {
                let finding = self.run(at, delay, work, round, lag)?;
                let is_same = |row: &&mut Finding| (row.level, row.delay) == (finding.level, finding.delay);
                match self.findings.rows.iter_mut().find(is_same) {
                    Some(row) => row.add(&finding),
                    None => self.findings.rows.push(finding),
                }
            }
        }
        carry::carry(self.scene, self.options.tokens, &mut self.findings.carried)
    }

    /// The sessions of one level, for one round.
    fn run(&mut self, at: usize, delay: Delay, work: Work, round: u64, lag: &Lag) -> Result<Finding, Fault> {
        let way = &self.scene.ways[at];
        let (level, rounds) = (way.level, self.options.rounds);
        let head = format!("{level}, {delay}, round {round} of {rounds}");
        let pids: Option<Vec<u32>> = way.gates.iter().map(|gate| gate.pid).collect();
        let cpu = || pids.as_ref().map(|pids| meter::cpu_ns_of_all(pids));
        let mut told = Instant::now();
        let say = &mut self.say;
        let mut watch = |done: u64| {
            if told.elapsed() >= PROGRESS_PAUSE {
                told = Instant::now();
                say(format!("{head}: {done} reads"));
            }
        };
        lag.take();
        let cpu_before = cpu();
        let (tally, time) = self.crews[at].run(&self.ledger, work, &mut watch)?;
        let cpu_ns = cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
        let finding = Finding { level, delay, tally, time, cpu_ns, lag_us: lag.take() };
        (self.say)(format!("{head}: {}", finding.summary()));
        Ok(finding)
    }

    /// What all nodes hold at the end is what was acknowledged; where an outcome is unknown, it may be more.
    fn compare_versions(&mut self) -> Result<(), Fault> {
        let layout = self.ledger.layout();
        for number in 0..self.scene.nodes.len() {
            let mut node = self.scene.node(number)?;
            node.query(&format!("USE {SCHEMA}"))?;
            for index in 0..layout.count() {
                let register = layout.register(index);
                let rows = node.query(&register.read())?;
                let (acked, begun) = (self.ledger.acked(index), self.ledger.begun(index));
                let versions = || rows.iter().map(|row| row.first()?.as_ref()?.parse::<u64>().ok());
                let is_right = |version: Option<u64>| version.is_some_and(|v| (acked..=begun).contains(&v));
                if rows.len() != register.rows() || !versions().all(is_right) {
                    let found: Vec<_> = versions().collect();
                    let what = format!("{register} on node {number}: {found:?}, and {acked} to {begun} were written");
                    self.findings.miscounted.push(what);
                }
            }
        }
        Ok(())
    }
}

/// Registers that everybody writes: few, so that there is always a fresh version of each.
const SHARED: usize = 8;
const PAIRS: usize = 8;
