//! `moves`: the primary's role moves under load, planned and not, on real servers; and what clients saw of it.
//!
//! ```text
//! writers, transfers, prepared reads, GLOBAL reads ──► gate ──► 3 servers ◄── tablets ◄── controller
//!                 │                                                ▲
//!               Books: what was begun, acknowledged, refused       │ each round: kill -9 │ stop │ cut off │ switchover
//!                 └──► judge, when all is whole again: every row of every server
//! ```
//! Invariant: what is judged is read from the servers themselves, past the gate; no counter of the gate's is believed. A
//! client that lost its connection, or got an error that it should not have got, is a fault whatever the data say.

pub mod books;
pub mod crowd;
pub mod deed;
pub mod gating;
pub mod ground;
pub mod harm;
pub mod hosts;
pub mod judge;
pub mod papers;
pub mod part;
pub mod stage;
pub mod visitor;
pub mod way;
pub mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::books::Books;
use self::crowd::Crowd;
use self::ground::Terrain;
use self::harm::Harm;
use self::stage::{Durability, Stage};
use crate::arguments::Arguments;
use crate::backend::own_program;
use crate::error::Fault;
use crate::table::{Table, number};

/// What is done, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: usize,
    /// One after the other, again and again.
    pub harms: Vec<Harm>,
    pub durability: Durability,
    pub terrain: Terrain,
    /// How long a partition lasts.
    pub hold: Duration,
    /// Of each kind of worker.
    pub workers: usize,
    /// Between the end of one round and the next harm.
    pub pause: Duration,
    pub program: Option<PathBuf>,
    pub cores: usize,
    /// Of `oltp_read_write` beside the workers; 0: none.
    pub sysbench_threads: usize,
    /// Its transactions per second; None: as many as it can.
    pub sysbench_rate: Option<f64>,
    /// Between two things that a worker does. A load that replicas cannot follow makes each round wait for them.
    pub think: Duration,
    /// No further round begins after this time.
    pub limit: Option<Duration>,
    /// Clients that connect for one read each, over and over.
    pub visitors: usize,
    /// After so many steps every other worker makes a new connection of its own will.
    pub renews_after: Option<u64>,
}

/// What one round was.
#[derive(Clone, Debug)]
pub struct Round {
    pub harm: Harm,
    /// The longest time without an acknowledged write.
    pub gap: Duration,
    /// The controller's own timeline: detect, fence, choose, open, in ms.
    pub parts: Option<[u64; 4]>,
    /// Until all servers were whole and alike again, and what was waited for last.
    pub whole: Duration,
    pub lacked: String,
    /// Who took writes at the end of the harm, before it was undone.
    pub fate: Fate,
    /// From the end of a partition to the first write that was begun after it.
    pub mended: Option<Duration>,
    /// Errors that clients saw from the harm until all was whole again.
    pub errors: BTreeMap<String, u64>,
    /// What the controller told from the harm until all was whole again.
    pub events: Vec<String>,
    /// Of each gate process that lives at the end: what it has in memory, in KiB.
    pub memory: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The one that was primary before.
    Stayed,
    /// Another one.
    Moved,
    /// Nobody.
    Vacant,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub rounds: Vec<Round>,
    /// What must never happen, in words.
    pub wrong: Vec<String>,
    /// Errors that clients saw, by code and first words, with how often.
    pub errors: BTreeMap<String, u64>,
    /// Writes acknowledged, transfers committed, prepared and GLOBAL reads answered.
    pub done: [u64; 4],
    /// Acknowledged writes that the new primary lacks; allowed without semi-synchronous replication alone.
    pub lost: u64,
    /// What sysbench says, if it ran.
    pub crowd: Option<String>,
    /// Writes and commits that were told to be committed without their answer, and those whose outcome nobody knew.
    pub unresolved: [u64; 2],
    /// Former primaries that held what nobody acknowledged, and were given a copy of the new one.
    pub cloned: u64,
    /// Of visitors.
    pub visits: u64,
}

pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let durability = arguments.value_or("--durability", Durability::SemiSync)?;
    let usual = if durability == Durability::Group { "kill,switchover,stop" } else { "kill,switchover,stop,cut" };
    let harms = arguments.text_or("--harms", usual)?;
    let harms: Result<Vec<Harm>, String> = harms.split(',').map(str::parse).collect();
    let plan = Plan {
        rounds: arguments.value_or("--rounds", 12)?,
        harms: harms.map_err(Fault::Usage)?,
        durability,
        terrain: arguments.value_or("--hosts", Terrain::Ways)?,
        hold: Duration::from_secs_f64(arguments.value_or("--hold", 6.0)?),
        workers: arguments.value_or("--workers", 4)?,
        pause: Duration::from_secs_f64(arguments.value_or("--pause", 1.0)?),
        program: arguments.value("--weir")?,
        cores: arguments.value_or("--cores", 1)?,
        sysbench_threads: arguments.value_or("--sysbench-threads", 0)?,
        sysbench_rate: arguments.value("--sysbench-rate")?,
        think: Duration::from_millis(arguments.value_or("--think-ms", 3)?),
        limit: arguments.value("--minutes")?.map(|minutes: f64| Duration::from_secs_f64(minutes * 60.0)),
        visitors: arguments.value_or("--visitors", 0)?,
        renews_after: arguments.value("--renews-after")?,
    };
    arguments.finish()?;
    if let Some(why) = plan.harms.iter().find_map(|harm| harm.unfit(durability, plan.terrain)) {
        return Err(Fault::Usage(why.to_owned()));
    }
    if plan.terrain == Terrain::Namespaces && !hosts::is_inside() {
        let mut again = own_program()?;
        again.args(std::env::args_os().skip(1));
        return Ok(hosts::run_inside(again)?.success());
    }
    let report = play(&plan, &mut |line| eprintln!("{line}"))?;
    print!("{}", report.show());
    Ok(report.wrong.is_empty())
}

/// Plays it all; progress is told.
pub fn play(plan: &Plan, tell: &mut dyn FnMut(&str)) -> Result<Report, Fault> {
    let mut stage = Stage::open(plan, tell)?;
    let books = Arc::new(Books::default());
    let over = Arc::new(AtomicBool::new(false));
    let mut workers = worker::start(&stage, plan, &books, &over);
    workers.extend(visitor::start(&stage, plan.visitors, &books, &over));
    let crowd = (plan.sysbench_threads > 0).then(|| Crowd::start(&stage, plan, &over)).transpose()?;
    let mut report = Report::default();
    let outcome = rounds(plan, &mut stage, &books, &mut report, tell);
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        let _ = worker.join();
    }
    if let Some(crowd) = crowd {
        crowd.end(&stage, &mut report)?;
    }
    outcome?;
    stage.ensure_whole()?;
    judge::judge(&stage, &books, &mut report)?;
    report.cloned = stage.cloned;
    Ok(report)
}

fn rounds(
    plan: &Plan,
    stage: &mut Stage,
    books: &Arc<Books>,
    report: &mut Report,
    tell: &mut dyn FnMut(&str),
) -> Result<(), Fault> {
    books.wait_progress(PROGRESS_WAIT).map_err(Fault::Program)?;
    // The laboratory connected the replicas past the ways.
    make(Harm::Switchover, stage, books)?;
    stage.ensure_whole()?;
    let began = Instant::now();
    for number in 1..=plan.rounds {
        thread::sleep(plan.pause);
        if plan.limit.is_some_and(|limit| began.elapsed() > limit) {
            break;
        }
        let harm = plan.harms[(number - 1) % plan.harms.len()];
        let round = round(plan, harm, stage, books)
            .map_err(|fault| Fault::Program(format!("round {number}, {harm}: {fault}")))?;
        tell(&format!("round {number} of {}: {}", plan.rounds, round.show()));
        report.rounds.push(round);
    }
    Ok(())
}

fn round(plan: &Plan, harm: Harm, stage: &mut Stage, books: &Books) -> Result<Round, Fault> {
    let (began, before, errors_before, events_before) =
        (Instant::now(), stage.primary(), books.errors(), stage.events());
    books.windows_may_end(harm.keeps_primary_away(plan.terrain));
    books.harm_begins(began);
    make(harm, stage, books)?;
    match harm {
        Harm::Part(_) => thread::sleep(plan.hold),
        _ => wait_write(stage, books)?,
    }
    let (mut gap, fate) = (books.longest_gap(), fate(before, stage.primary()));
    let parts = if fate == Fate::Moved { stage.last_parts() } else { None };
    harm.undo(stage)?;
    let mut mended = None;
    if matches!(harm, Harm::Part(_)) {
        let since = Instant::now();
        books.harm_is_done();
        wait_write(stage, books)?;
        (mended, gap) = (Some(since.elapsed()), books.longest_gap());
    }
    stage.ensure_whole()?;
    let mut errors = books.errors();
    errors.iter_mut().for_each(|(error, times)| *times -= errors_before.get(error).copied().unwrap_or(0));
    errors.retain(|_, times| *times > 0);
    let events = stage.events().into_iter().skip(events_before.len()).collect();
    let (whole, lacked, memory) = (began.elapsed(), stage.lacked.clone(), stage.gating.memory());
    Ok(Round { harm, gap, parts, whole, lacked, fate, mended, errors, events, memory })
}

fn fate(before: Option<usize>, now: Option<usize>) -> Fate {
    match now {
        None => Fate::Vacant,
        Some(_) if now == before => Fate::Stayed,
        Some(_) => Fate::Moved,
    }
}

fn wait_write(stage: &Stage, books: &Books) -> Result<(), Fault> {
    match books.wait_first_write(GAP_MAX) {
        true => Ok(()),
        false => Err(Fault::Program(format!("no write for {} s\n{}", GAP_MAX.as_secs(), stage.describe()))),
    }
}

/// Does it; what fails is told with what everybody says of it.
fn make(harm: Harm, stage: &mut Stage, books: &Books) -> Result<(), Fault> {
    harm.make(stage, books).map_err(|fault| Fault::Program(format!("{fault}\n{}", stage.describe())))
}

impl Round {
    fn show(&self) -> String {
        let parts = self.parts.map_or(String::new(), |[detect, fence, choose, open]| {
            format!(" (detect {detect}, fence {fence}, choose {choose}, open {open} ms)")
        });
        let (gap, whole) = (self.gap.as_millis(), self.whole.as_millis());
        let fate = match self.fate {
            Fate::Stayed => "the role stayed",
            Fate::Moved => "the role moved",
            Fate::Vacant => "nobody took writes",
        };
        let mended =
            self.mended.map_or(String::new(), |after| format!(", {} ms after it was mended", after.as_millis()));
        let harm = self.harm;
        let mut out = format!(
            "{harm}: {fate}; no write for {gap} ms{mended}{parts}, whole after {whole} ms, last: {}",
            self.lacked
        );
        let memory: Vec<String> = self.memory.iter().map(|(pid, kib)| format!("{pid} {} MiB", kib >> 10)).collect();
        out += &format!("\n    gates: {}", memory.join(", "));
        self.events.iter().for_each(|event| out += &format!("\n    {event}"));
        self.errors.iter().for_each(|(error, times)| out += &format!("\n    {times} times: {error}"));
        out
    }
}

impl Report {
    pub fn show(&self) -> String {
        let mut table =
            Table::new(&["harm", "rounds", "gap min ms", "median", "p90", "max", "detect", "fence", "choose", "open"]);
        let mut kinds: Vec<Harm> = self.rounds.iter().map(|round| round.harm).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let rounds: Vec<&Round> = self.rounds.iter().filter(|round| round.harm == kind).collect();
            let mut gaps: Vec<f64> = rounds.iter().map(|round| round.gap.as_secs_f64() * 1e3).collect();
            gaps.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| gaps.get(((gaps.len() - 1) as f64 * share) as usize).copied();
            let mut row = vec![kind.to_string(), rounds.len().to_string()];
            row.extend([0.0, 0.5, 0.9, 1.0].map(|share| number(at(share), 0)));
            row.extend((0..4).map(|part| {
                let mut all: Vec<u64> = rounds.iter().filter_map(|round| Some(round.parts?[part])).collect();
                all.sort_unstable();
                number(all.get(all.len() / 2).map(|ms| *ms as f64), 0)
            }));
            table.add(row);
        }
        let [writes, transfers, prepared, global] = self.done;
        let mut out = format!(
            "{table}acknowledged: {writes} writes, {transfers} transfers; answered: {prepared} prepared reads, {global} GLOBAL reads\n"
        );
        if self.visits > 0 {
            out += &format!("{} visits\n", self.visits);
        }
        out += &self.memory();
        if let Some(crowd) = &self.crowd {
            out += &format!("{crowd}\n");
        }
        let [found, unknown] = self.unresolved;
        out += &format!("answers lost: {found} were told to be committed, {unknown} to be unknown\n");
        for (error, times) in &self.errors {
            out += &format!("{times} times: {error}\n");
        }
        if self.cloned > 0 {
            out += &format!("{} times a former primary had diverged and was cloned anew\n", self.cloned);
        }
        if self.lost > 0 {
            out += &format!("{} acknowledged writes are lost\n", self.lost);
        }
        match self.wrong.is_empty() {
            true => out += "nothing that must not happen did\n",
            false => self.wrong.iter().for_each(|wrong| out += &format!("WRONG: {wrong}\n")),
        }
        out
    }
}

impl Report {
    /// Of each gate process, what it had in memory after its first quarter, at most and at last.
    fn memory(&self) -> String {
        let mut all: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        self.rounds
            .iter()
            .flat_map(|round| &round.memory)
            .for_each(|(pid, kib)| all.entry(*pid).or_default().push(*kib));
        let line = |(pid, seen): (&u32, &Vec<u64>)| {
            let [early, last] = [seen.get(seen.len() / 4), seen.last()].map(|kib| kib.map_or(0, |kib| kib >> 10));
            let most = seen.iter().max().map_or(0, |kib| kib >> 10);
            format!(
                "gate {pid}: {} rounds, {early} MiB after a quarter of them, {most} at most, {last} at last\n",
                seen.len()
            )
        };
        all.iter().map(line).collect()
    }
}

/// From the start to the first acknowledged writes.
const PROGRESS_WAIT: Duration = Duration::from_secs(20);

/// Longer than any move may take.
const GAP_MAX: Duration = Duration::from_secs(60);
