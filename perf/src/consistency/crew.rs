//! `Crew`: all sessions of one level, on a few threads, and a run of reads by them.
//!
//! Invariant: between runs every session is idle and nothing is under way. In a run every session of a gate is busy;
//! those on the primary itself write once per so many statements of the others, so that they need no clock.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::session::{Member, Session};
use super::tally::Tally;
use crate::error::Fault;
use crate::limits::{DIRECT_WRITE_EVERY, LOOK_PAUSE, READ_BYTES, RECONNECTS_MAX, REPLY_WAIT};
use crate::poll::{Interest, Poll};

#[derive(Debug)]
pub struct Crew {
    workers: Vec<Worker>,
}

/// One run of reads, as all workers see it.
#[derive(Debug)]
struct Run<'a> {
    ledger: &'a Ledger,
    /// Reads that are still to be made. Those under way when it falls to 0 are made, too.
    left: AtomicI64,
    done: AtomicU64,
    deadline: Instant,
    /// Between two turns of one worker; `None` is a closed loop.
    interval: Option<Duration>,
}

/// How much a run is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    pub reads: u64,
    /// Then it ends with fewer reads.
    pub time_max: Duration,
    /// Turns per second over all sessions; `None` is a closed loop.
    pub rate: Option<f64>,
}

impl Crew {
    pub fn open(members: Vec<Member>, registers: usize, threads: usize) -> Result<Self, Fault> {
        let threads = threads.clamp(1, members.len().max(1));
        let mut shares: Vec<Vec<Session>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, member) in members.into_iter().enumerate() {
            shares[at % threads].push(Session::open(member, registers)?);
        }
        let workers = shares.into_iter().map(Worker::new).collect::<io::Result<_>>();
        Ok(Self { workers: workers.map_err(|error| Fault::io("preparing sessions", error))? })
    }

    /// Does this work; `watch` is told from time to time how many reads were made.
    pub fn run(&mut self, ledger: &Ledger, work: Work, watch: &mut dyn FnMut(u64)) -> Result<(Tally, Duration), Fault> {
        let begin = Instant::now();
        let workers = self.workers.len() as f64;
        let run = Run {
            ledger,
            left: AtomicI64::new(i64::try_from(work.reads).unwrap_or(i64::MAX)),
            done: AtomicU64::new(0),
            deadline: begin + work.time_max,
            interval: work.rate.map(|rate| Duration::from_secs_f64(workers / rate)),
        };
        let tallies: Result<Vec<Tally>, Fault> = thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = self.workers.iter_mut().map(|worker| scope.spawn(move || worker.run(run))).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                thread::sleep(LOOK_PAUSE);
                watch(run.done.load(Ordering::Relaxed));
            }
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        });
        let mut sum = Tally::default();
        tallies?.iter().for_each(|tally| sum.add(tally));
        Ok((sum, begin.elapsed()))
    }
}

#[derive(Debug)]
struct Worker {
    sessions: Vec<Session>,
    poll: Poll,
    /// Idle ones by number, those on the primary itself apart.
    free: VecDeque<usize>,
    free_direct: VecDeque<usize>,
    reconnects: u32,
    room: Box<[u8; READ_BYTES]>,
}

/// What of a run is due at a worker.
#[derive(Debug)]
struct Pace {
    next: Instant,
    written_direct: u64,
}

impl Worker {
    fn new(sessions: Vec<Session>) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (number, session) in sessions.iter().enumerate() {
            poll.add(session.stream(), number as u64, Interest::Read)?;
        }
        let (free_direct, free) = (0..sessions.len()).partition(|number| sessions[*number].is_direct());
        Ok(Self { sessions, poll, free, free_direct, reconnects: 0, room: Box::new([0; READ_BYTES]) })
    }

    fn run(&mut self, run: &Run<'_>) -> Result<Tally, Fault> {
        let mut tally = Tally::default();
        let mut events = Vec::new();
        let mut pace = Pace { next: Instant::now(), written_direct: 0 };
        let mut drain_deadline = None;
        loop {
            let now = Instant::now();
            let reads_before = tally.reads;
            let mut pause = POLL_PAUSE;
            if now < run.deadline && run.left.load(Ordering::Relaxed) > 0 {
                pause = self.begin_turns(run, &mut tally, &mut pace, now)?;
            } else {
                let is_idle = self.free.len() + self.free_direct.len() == self.sessions.len();
                if is_idle {
                    return Ok(tally);
                }
                if now >= *drain_deadline.get_or_insert(now + REPLY_WAIT) {
                    let waiting = self.sessions.iter().find(|session| !session.is_idle());
                    return Err(Fault::Program(format!("no answer for {} s: {waiting:?}", REPLY_WAIT.as_secs())));
                }
            }
            let waited = self.poll.wait(Some(pause), &mut events);
            waited.map_err(|error| Fault::io("waiting for answers", error))?;
            for event in &events {
                self.handle(event.token as usize, run, &mut tally)?;
            }
            let reads = tally.reads - reads_before;
            run.left.fetch_sub(reads as i64, Ordering::Relaxed);
            run.done.fetch_add(reads, Ordering::Relaxed);
        }
    }

    /// Begins what is due, and returns how long nothing more will be.
    fn begin_turns(
        &mut self,
        run: &Run<'_>,
        tally: &mut Tally,
        pace: &mut Pace,
        now: Instant,
    ) -> Result<Duration, Fault> {
        // Who fell behind does not catch up in a burst.
        pace.next = pace.next.max(now.checked_sub(POLL_PAUSE).unwrap_or(now));
        while run.interval.is_none() || pace.next <= now {
            let Some(number) = self.free.pop_front() else {
                break;
            };
            pace.next += run.interval.unwrap_or_default();
            self.begin(number, run, tally)?;
        }
        while pace.written_direct < tally.statements / DIRECT_WRITE_EVERY
            && let Some(number) = self.free_direct.pop_front()
        {
            pace.written_direct += 1;
            self.begin(number, run, tally)?;
        }
        let is_waiting_for_time = run.interval.is_some() && !self.free.is_empty();
        Ok(if is_waiting_for_time { pace.next.saturating_duration_since(now).min(POLL_PAUSE) } else { POLL_PAUSE })
    }

    fn begin(&mut self, number: usize, run: &Run<'_>, tally: &mut Tally) -> Result<(), Fault> {
        match self.sessions[number].begin(run.ledger) {
            Ok(()) => Ok(()),
            Err(error) => self.reopen(number, tally, &error),
        }
    }

    fn handle(&mut self, number: usize, run: &Run<'_>, tally: &mut Tally) -> Result<(), Fault> {
        let was_idle = self.sessions[number].is_idle();
        if let Err(error) = self.sessions[number].handle(&mut self.room, run.ledger, tally) {
            if was_idle {
                self.free.retain(|free| *free != number);
                self.free_direct.retain(|free| *free != number);
            }
            return self.reopen(number, tally, &error);
        }
        if !was_idle && self.sessions[number].is_idle() {
            self.set_free(number);
        }
        Ok(())
    }

    /// A lost connection is an error that is counted; what it had under way has an unknown outcome.
    fn reopen(&mut self, number: usize, tally: &mut Tally, error: &io::Error) -> Result<(), Fault> {
        tally.count_error(|| format!("a connection broke: {error}"));
        tally.reconnects += 1;
        self.reconnects += 1;
        if self.reconnects > RECONNECTS_MAX {
            return Err(Fault::Program(format!("{RECONNECTS_MAX} connections broke, the last one: {error}")));
        }
        let session = self.sessions[number].reopen()?;
        let added = self.poll.add(session.stream(), number as u64, Interest::Read);
        added.map_err(|error| Fault::io("preparing a session", error))?;
        self.sessions[number] = session;
        self.set_free(number);
        Ok(())
    }

    fn set_free(&mut self, number: usize) {
        match self.sessions[number].is_direct() {
            true => self.free_direct.push_back(number),
            false => self.free.push_back(number),
        }
    }
}

/// At most this long without a look at whether the run is over.
const POLL_PAUSE: Duration = Duration::from_millis(20);
