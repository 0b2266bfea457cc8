//! `Readers`: sessions behind the gate that read at a steady rate and note who answered, and when.
//!
//! Invariant: one thread; a question that is due goes to a free session, in turn, and is left out when none is free: the
//! rate is what the sessions can have at most.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::{Account, Client};
use crate::consistency::register::Register;
use crate::error::Fault;
use crate::limits::{LATENCY_NS_MAX, NODES_MAX, READ_BYTES, REPLY_WAIT, SAMPLES_MAX};
use crate::load::new_histogram;
use crate::poll::{Interest, Poll};
use crate::talk::{Answer, Talker};

#[derive(Debug)]
pub struct Readers {
    talkers: Vec<(Talker, Option<Instant>)>,
    free: VecDeque<usize>,
    poll: Poll,
    text: String,
    rate: f64,
    room: Box<[u8; READ_BYTES]>,
}

/// What was read in one part of a measurement.
#[derive(Clone, Debug)]
pub struct Part {
    /// Reads that each node answered, in each [`BIN`] since the begin.
    pub bins: Vec<[u64; NODES_MAX]>,
    pub time: Duration,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    pub errors: u64,
    pub samples: Vec<String>,
}

impl Readers {
    /// Each session says this first.
    pub fn open(account: &Account, preamble: &[String], count: usize, rate: f64) -> Result<Self, Fault> {
        let io = |error| Fault::io("preparing a session", error);
        let poll = Poll::new().map_err(io)?;
        let mut talkers = Vec::new();
        for number in 0..count {
            let mut client = Client::connect(account)?;
            preamble.iter().try_for_each(|statement| client.query(statement).map(drop))?;
            let talker = Talker::new(client).map_err(io)?;
            poll.add(talker.stream(), number as u64, Interest::Read).map_err(io)?;
            talkers.push((talker, None));
        }
        let text = Register::Shared(0).read();
        Ok(Self { free: (0..count).collect(), talkers, poll, text, rate, room: Box::new([0; READ_BYTES]) })
    }

    /// Reads until `is_over` says so, and waits for what is still out.
    pub fn run(&mut self, is_over: &dyn Fn(Duration) -> bool) -> Result<Part, Fault> {
        let begin = Instant::now();
        let mut part =
            Part { bins: Vec::new(), time: Duration::ZERO, latency: new_histogram(), errors: 0, samples: Vec::new() };
        let interval = Duration::from_secs_f64(1.0 / self.rate.max(1.0));
        let (mut next, mut events, mut end) = (begin, Vec::new(), None);
        loop {
            let now = Instant::now();
            if end.is_none() && is_over(now - begin) {
                end = Some(now);
                part.time = now - begin;
            }
            if let Some(end) = end {
                if self.free.len() == self.talkers.len() {
                    return Ok(part);
                }
                if now - end > REPLY_WAIT {
                    return Err(Fault::Program("a read has no answer".to_owned()));
                }
            }
            // Who fell behind does not catch up in a burst.
            next = next.max(now.checked_sub(PAUSE).unwrap_or(now));
            while end.is_none() && next <= now {
                next += interval;
                if let Some(number) = self.free.pop_front() {
                    self.ask(number)?;
                }
            }
            let pause = if end.is_none() { next.saturating_duration_since(now).min(PAUSE) } else { PAUSE };
            let waited = self.poll.wait(Some(pause), &mut events);
            waited.map_err(|error| Fault::io("waiting for answers", error))?;
            for event in &events {
                self.hear(event.token as usize, begin, &mut part)?;
            }
        }
    }

    fn ask(&mut self, number: usize) -> Result<(), Fault> {
        let (talker, since) = &mut self.talkers[number];
        *since = Some(Instant::now());
        talker.ask(&self.text).map_err(broken)
    }

    fn hear(&mut self, number: usize, begin: Instant, part: &mut Part) -> Result<(), Fault> {
        let (talker, since) = &mut self.talkers[number];
        let Some(answer) = talker.listen(&mut self.room).map_err(broken)? else {
            return Ok(());
        };
        let now = Instant::now();
        let since = since.take().unwrap_or(now);
        match answer {
            Answer::Rows(rows) if rows.len() == 1 => {
                let bin = ((now - begin).as_nanos() / BIN.as_nanos()) as usize;
                if part.bins.len() <= bin {
                    part.bins.resize(bin + 1, [0; NODES_MAX]);
                }
                part.bins[bin][(rows[0].node as usize).min(NODES_MAX - 1)] += 1;
                part.latency.saturating_record(((now - since).as_nanos() as u64).min(LATENCY_NS_MAX));
            }
            other => {
                part.errors += 1;
                if part.samples.len() < SAMPLES_MAX {
                    part.samples.push(format!("after {:.1} s: {other:?}", (now - begin).as_secs_f64()));
                }
            }
        }
        self.free.push_back(number);
        Ok(())
    }
}

impl Part {
    /// Reads that each node answered.
    pub fn by_node(&self) -> [u64; NODES_MAX] {
        sum(&self.bins)
    }

    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(share) as f64 / 1e6)
    }

    pub fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.time.as_secs_f64()
    }
}

pub fn sum(bins: &[[u64; NODES_MAX]]) -> [u64; NODES_MAX] {
    let mut sums = [0; NODES_MAX];
    for bin in bins {
        sums.iter_mut().zip(bin).for_each(|(sum, count)| *sum += count);
    }
    sums
}

fn broken(error: io::Error) -> Fault {
    Fault::io("a session of the gate's", error)
}

/// Long enough for a few hundred reads, short beside the second or so that figures of a server are old at most.
pub const BIN: Duration = Duration::from_millis(250);

const PAUSE: Duration = Duration::from_millis(20);
