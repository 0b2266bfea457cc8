//! Random sessions: written from a seed, run on MySQL and through a gate, compared; what differs is shortened by itself.
//!
//! ```text
//!   seed ─► author (grammar) ─► case, a script of the corpus ─► duel: MySQL │ gate ─► compare
//!                                        ▲                                     │ differs
//!                                        └──────────── shrink ◄────────────────┘
//! ```
//! Invariant: a case follows from its seed alone, and one step is under way at a time, so MySQL and the gate meet the
//! same schedule. What is written is deterministic on one MySQL: no clock, no chance, no thread's number, no statement
//! that waits for another session's lock.
//! Left out by construction, for the reasons in `tests/accepted.txt`: metadata of a bare `?`, an execute behind the reset of
//! an open cursor, schemas that another session drops. Let pass, and counted: questions about the previous statement that
//! the gate refuses because others needed the connection.

pub mod author;

pub mod case;

pub mod duel;

pub mod grammar;

pub mod shrink;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use author::author;
use duel::{Arena, Ending};

use super::place::{Place, place};
use super::script;

/// How the gate is made to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Two connections to each backend, and noise between all steps.
    Worst,
    /// Each statement finds another connection than the one before, wherever one may, and noise between all steps.
    Scatter,
}

#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub sharing: Sharing,
    pub seed: u64,
    /// At least so many in all.
    pub steps: usize,
    /// After so many cases that differ it ends.
    pub failures_max: usize,
}

#[derive(Debug, Default)]
pub struct Report {
    pub cases: usize,
    pub steps: usize,
    /// Steps whose comparison counted: those before the first refusal that is let pass.
    pub compared: usize,
    pub let_pass: usize,
    pub failures: Vec<String>,
}

impl Report {
    /// The numbers in words.
    pub fn words(&self) -> String {
        let Report { cases, steps, compared, let_pass, failures } = self;
        let differ = failures.len();
        format!("{cases} cases with {steps} steps, {compared} compared, {let_pass} cases cut short, {differ} differ")
    }
}

/// Runs cases until there are enough steps or failures.
///
/// # Panics
/// If MySQL or a gate cannot be had.
pub fn check(order: Order) -> Report {
    let place = place();
    prepare(place).unwrap_or_else(|why| panic!("{why}"));
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for at in 0..WORKERS {
            let (next, report) = (&next, &report);
            scope.spawn(move || {
                let mut arena = Arena::open(place, order.sharing, at).unwrap_or_else(|why| panic!("{why}"));
                loop {
                    let is_enough =
                        |report: &Report| report.compared >= order.steps || report.failures.len() >= order.failures_max;
                    if is_enough(&lock(report)) {
                        return;
                    }
                    let seed = order.seed + next.fetch_add(1, Ordering::Relaxed) as u64;
                    play(&mut arena, order, seed, report);
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the sessions of a corpus file, and prints what came of each step on both sides.
///
/// # Panics
/// If the file has a mistake, or MySQL or a gate cannot be had.
pub fn play_script(sharing: Sharing, script: &str) {
    let sessions = script::read("script", script).unwrap_or_else(|why| panic!("{why}"));
    let place = place();
    prepare(place).unwrap_or_else(|why| panic!("{why}"));
    let mut arena = Arena::open(place, sharing, 0).unwrap_or_else(|why| panic!("{why}"));
    for session in sessions {
        let [direct, gate] = arena.both(&session).unwrap_or_else(|why| panic!("{}: {why}", session.name));
        eprintln!("=== {}", session.name);
        for (direct, gate) in direct.iter().zip(&gate) {
            eprintln!("{}", direct.text());
            if direct != gate {
                eprintln!("    *** the gate: {}", gate.text());
            }
        }
    }
}

fn play(arena: &mut Arena, order: Order, seed: u64, report: &Mutex<Report>) {
    let case = author(order.sharing, seed);
    let ending = arena.duel(&case);
    let mut shared = lock(report);
    shared.cases += 1;
    shared.steps += case.steps.len();
    if shared.cases.is_multiple_of(PROGRESS_CASES) {
        eprintln!("so far {}", shared.words());
    }
    match ending {
        Ending::Equal { compared, is_cut } => {
            shared.compared += compared;
            shared.let_pass += usize::from(is_cut);
        }
        Ending::Differs { at, why, .. } => {
            shared.compared += at;
            drop(shared);
            let words = format!("{why}\n{}", shrink::report(arena, order.sharing, seed, case));
            eprintln!("{words}");
            lock(report).failures.push(words);
        }
        Ending::Unready(why) => {
            let mut words = format!("seed {seed}: could not be prepared: {why}\n");
            let _ = write!(words, "{}", case.text());
            eprintln!("{words}");
            shared.failures.push(words);
        }
    }
}

/// What the cases find there: an account with few rights, and a role.
fn prepare(place: &Place) -> Result<(), String> {
    let mut admin = place.admin()?;
    for statement in [
        "CREATE USER IF NOT EXISTS weir_random IDENTIFIED BY 'random'",
        "GRANT SELECT, INSERT, EXECUTE, CREATE TEMPORARY TABLES ON *.* TO weir_random",
        "CREATE ROLE IF NOT EXISTS weir_role",
        "GRANT weir_role TO app",
    ] {
        admin.sql(statement)?;
    }
    admin.ensure_replicated()
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a long run says how far it is.
const PROGRESS_CASES: usize = 100;

/// Each mostly waits for MySQL.
const WORKERS: usize = 3;
