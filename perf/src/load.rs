//! `Load`: many clients that ask the same kind of question, and how long the answers take.
//!
//! ```text
//! connect, log in, prepare │ warm up │ ═══ counted ═══ │ drain
//!                          start    meters          meters
//! ```
//! Closed loop: each client asks again as soon as it has its answer. Open loop: questions are due at intended times, a
//! rate apart, and wait for a free client; a latency is counted from the intended time, so that a server which stalls
//! pays for all whom it kept waiting (no coordinated omission).
//!
//! Invariant: a closed loop counts what was answered while the counted part lasted, an open one also what was due in it
//! and came late. The meters of the watched processes are read at its two edges.

mod question;

mod asker;

mod worker;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::{Account, Client};
use crate::error::Fault;
use crate::limits::{CONNECTIONS_MAX, LATENCY_DIGITS, LATENCY_NS_MAX};
use crate::meter;

pub use self::asker::{Answer, Asker};
pub use self::question::{Dice, Question};

/// What the thread that made a load does while it lasts: it sleeps, unless it has more to do.
pub trait Company {
    /// In the warm-up, which lasts until this returns.
    fn warm_up(&mut self, time: Duration) -> Result<(), Fault> {
        thread::sleep(time);
        Ok(())
    }

    /// In the counted part, which lasts until this returns.
    fn count(&mut self, time: Duration) -> Result<(), Fault> {
        thread::sleep(time);
        Ok(())
    }
}

#[derive(Debug)]
struct Nobody;

impl Company for Nobody {}

#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub account: Account,
    pub question: Question,
    pub connections: usize,
    /// Threads that share the connections.
    pub threads: usize,
    /// Questions per second over all connections; `None` is a closed loop.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    pub time: Duration,
}

/// What a load saw.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub queries: u64,
    pub errors: u64,
    /// The first error that a server sent.
    pub first_error: Option<String>,
    /// Of an open loop: questions that were due and never answered.
    pub unanswered: u64,
    pub seconds: f64,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// CPU time of each watched process in the counted part, in nanoseconds.
    pub cpu_ns: Vec<u64>,
}

/// Runs a load to its end.
pub fn run(options: &LoadOptions, watched: &[u32]) -> Result<Outcome, Fault> {
    run_beside(options, watched, &mut Nobody)
}

/// The same in company.
pub fn run_beside(options: &LoadOptions, watched: &[u32], company: &mut impl Company) -> Result<Outcome, Fault> {
    if options.connections == 0 || options.connections > CONNECTIONS_MAX {
        return Err(Fault::Usage(format!("a load has 1 to {CONNECTIONS_MAX} connections")));
    }
    let threads = options.threads.clamp(1, options.connections);
    let stage = AtomicU8::new(Stage::WarmUp as u8);
    // The workers and this thread: they begin when the last client has logged in.
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let share = worker::Share::of(options, number, threads);
                let (stage, barrier) = (&stage, &barrier);
                scope.spawn(move || worker::run(options, share, stage, barrier))
            })
            .collect();
        barrier.wait();
        let warmed = company.warm_up(options.warm_up);
        let before: Vec<u64> = read_meters(watched);
        let start = Instant::now();
        stage.store(Stage::Counted as u8, Ordering::Relaxed);
        // The workers end in any case: this thread waits for them before it complains.
        let counted = warmed.and_then(|()| company.count(options.time));
        stage.store(Stage::Over as u8, Ordering::Relaxed);
        let seconds = start.elapsed().as_secs_f64();
        let after = read_meters(watched);
        let mut outcome = Outcome {
            queries: 0,
            errors: 0,
            first_error: None,
            unanswered: 0,
            seconds,
            latency: new_histogram(),
            cpu_ns: after.iter().zip(&before).map(|(a, b)| a.saturating_sub(*b)).collect(),
        };
        for worker in workers {
            let tally = match worker.join() {
                Ok(tally) => tally?,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            outcome.add(tally);
        }
        counted.map(|()| outcome)
    })
}

/// Where a load is, told to its workers by one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    WarmUp = 0,
    Counted = 1,
    Over = 2,
}

impl Stage {
    fn read(stage: &AtomicU8) -> Self {
        match stage.load(Ordering::Relaxed) {
            0 => Self::WarmUp,
            1 => Self::Counted,
            _ => Self::Over,
        }
    }
}

/// What one worker saw.
#[derive(Debug)]
struct Tally {
    latency: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
    unanswered: u64,
}

impl Tally {
    fn new() -> Self {
        Self { latency: new_histogram(), errors: 0, first_error: None, unanswered: 0 }
    }
}

impl Outcome {
    fn add(&mut self, tally: Tally) {
        self.queries += tally.latency.len();
        self.errors += tally.errors;
        self.unanswered += tally.unanswered;
        self.first_error = self.first_error.take().or(tally.first_error);
        // Both have the same bounds, so nothing can be out of them.
        let added = self.latency.add(&tally.latency);
        debug_assert!(added.is_ok());
    }

    pub fn per_second(&self) -> f64 {
        self.queries as f64 / self.seconds
    }

    /// The latency, in microseconds, that this share of the queries did not exceed.
    pub fn latency_us(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e3
    }

    /// CPU microseconds per query of a watched process.
    pub fn cpu_us(&self, watched: usize) -> f64 {
        let cpu_ns = self.cpu_ns.get(watched).copied().unwrap_or(0);
        cpu_ns as f64 / 1e3 / self.queries.max(1) as f64
    }
}

fn read_meters(watched: &[u32]) -> Vec<u64> {
    (watched.iter()).map(|pid| meter::cpu_ns(*pid).unwrap_or(0)).collect()
}

/// Logs in and prepares; blocking, as it happens before the clock starts.
fn open(options: &LoadOptions) -> Result<(Client, Option<u32>), Fault> {
    let mut client = Client::connect(&options.account)?;
    let statement = match options.question.to_prepare() {
        Some(text) => Some(client.prepare(text)?.statement_id),
        None => None,
    };
    Ok((client, statement))
}

/// An empty one for latencies in nanoseconds.
pub fn new_histogram() -> Histogram<u64> {
    // The bounds are constants that the library takes.
    match Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}

#[cfg(test)]
mod tests;
