//! `Worker`: one thread of a load with its share of the clients.
//!
//! Invariant: in a closed loop every client has a question out; in an open loop a question that is due goes to a free
//! client at once, and otherwise waits its turn with its intended time.

use std::collections::VecDeque;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::AtomicU8;
use std::time::{Duration, Instant};

use super::asker::Asker;
use super::{LoadOptions, Stage, Tally, open};
use crate::error::Fault;
use crate::limits::{DRAIN_WAIT, LATENCY_NS_MAX, READ_BYTES};
use crate::poll::{Event, Interest, Poll};
use crate::wire::Wire;

/// What of the load is one worker's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    pub first: usize,
    pub count: usize,
    /// Time between two questions of this worker in an open loop.
    pub interval: Option<Duration>,
}

impl Share {
    pub fn of(options: &LoadOptions, number: usize, threads: usize) -> Self {
        let first = options.connections * number / threads;
        let count = options.connections * (number + 1) / threads - first;
        let interval = options.rate.map(|rate| {
            let share = rate * count as f64 / options.connections as f64;
            Duration::from_secs_f64(1.0 / share.max(0.001))
        });
        Self { first, count, interval }
    }
}

pub fn run(options: &LoadOptions, share: Share, stage: &AtomicU8, barrier: &Barrier) -> Result<Tally, Fault> {
    let opened = Worker::open(options, share);
    // Also after an error: the others wait for everybody.
    barrier.wait();
    let mut worker = opened?;
    (worker.ask_until_over(stage)).map_err(|error| Fault::io("asking the server", error))?;
    Ok(worker.tally)
}

struct Worker<'a> {
    options: &'a LoadOptions,
    askers: Vec<Asker>,
    free: Vec<usize>,
    poll: Poll,
    pace: Option<Pace>,
    tally: Tally,
    room: Box<[u8; READ_BYTES]>,
}

/// When questions of an open loop are due.
struct Pace {
    interval: Duration,
    next: Instant,
    /// Intended times of questions that found no free client.
    late: VecDeque<Instant>,
}

impl<'a> Worker<'a> {
    fn open(options: &'a LoadOptions, share: Share) -> Result<Self, Fault> {
        let io = |error| Fault::io("preparing a client", error);
        let poll = Poll::new().map_err(io)?;
        let mut askers = Vec::with_capacity(share.count);
        for number in 0..share.count {
            let (client, statement) = open(options)?;
            let seed = (share.first + number + 1) as u64;
            let caps = client.capabilities();
            let wire = Wire::new(client.into_stream()).map_err(io)?;
            let asker = Asker::new(wire, caps, statement, seed);
            let token = number as u64;
            poll.add(&asker.wire.stream, token, Interest::Read).map_err(io)?;
            askers.push(asker);
        }
        Ok(Self {
            options,
            free: (0..askers.len()).collect(),
            askers,
            poll,
            pace: share.interval.map(|interval| Pace { interval, next: Instant::now(), late: VecDeque::new() }),
            tally: Tally::new(),
            room: Box::new([0; READ_BYTES]),
        })
    }

    fn ask_until_over(&mut self, stage: &AtomicU8) -> io::Result<()> {
        let mut events = Vec::new();
        let begin = Instant::now();
        if let Some(pace) = &mut self.pace {
            pace.next = begin;
        }
        let mut deadline = None;
        loop {
            let at = Stage::read(stage);
            let now = Instant::now();
            match at {
                Stage::WarmUp | Stage::Counted => self.ask_what_is_due(now)?,
                Stage::Over => {
                    let deadline = *deadline.get_or_insert(now + DRAIN_WAIT);
                    if self.is_drained() || now >= deadline {
                        break;
                    }
                    self.ask_late_ones()?;
                }
            }
            self.poll.wait(Some(self.pause(at, now)), &mut events)?;
            for event in &events {
                self.handle(event, stage)?;
            }
        }
        let waiting = self.askers.iter().filter(|asker| asker.is_waiting()).count();
        let late = self.pace.as_ref().map_or(0, |pace| pace.late.len());
        self.tally.unanswered = (waiting + late) as u64;
        Ok(())
    }

    fn handle(&mut self, event: &Event, stage: &AtomicU8) -> io::Result<()> {
        let number = event.token as usize;
        let Some(answer) = self.askers[number].listen(&mut self.room)? else {
            return Ok(());
        };
        let now = Instant::now();
        let stage = Stage::read(stage);
        if let Some(error) = answer.error {
            self.tally.errors += 1;
            self.tally.first_error.get_or_insert(error);
        } else if stage == Stage::Counted || stage == Stage::Over && self.pace.is_some() {
            // In an open loop, what was due in time and came late counts: it is what the measurement is about.
            let latency_ns = now.duration_since(answer.since).as_nanos() as u64;
            self.tally.latency.saturating_record(latency_ns.min(LATENCY_NS_MAX));
        }
        if stage != Stage::Over && self.pace.is_none() {
            return self.askers[number].ask(&self.options.question, now);
        }
        self.free.push(number);
        Ok(())
    }

    /// A closed loop keeps everybody busy; an open one asks what is due.
    fn ask_what_is_due(&mut self, now: Instant) -> io::Result<()> {
        let Some(pace) = &mut self.pace else {
            while let Some(number) = self.free.pop() {
                self.askers[number].ask(&self.options.question, now)?;
            }
            return Ok(());
        };
        while pace.next <= now {
            pace.late.push_back(pace.next);
            pace.next += pace.interval;
        }
        self.ask_late_ones()
    }

    fn ask_late_ones(&mut self) -> io::Result<()> {
        let Some(pace) = &mut self.pace else {
            return Ok(());
        };
        while !pace.late.is_empty()
            && let Some(number) = self.free.pop()
        {
            if let Some(intended) = pace.late.pop_front() {
                self.askers[number].ask(&self.options.question, intended)?;
            }
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        let nobody_late = self.pace.as_ref().is_none_or(|pace| pace.late.is_empty());
        nobody_late && self.free.len() == self.askers.len()
    }

    /// At most this long without a look at the stage.
    fn pause(&self, stage: Stage, now: Instant) -> Duration {
        match &self.pace {
            Some(pace) if stage != Stage::Over => pace.next.saturating_duration_since(now).min(STAGE_PAUSE),
            Some(_) | None => STAGE_PAUSE,
        }
    }
}

const STAGE_PAUSE: Duration = Duration::from_millis(20);
