//! A small world for the driver's tests: echoes, or relays to an address, with backpressure; and checks the contract.

use crate::block::{Blocks, Chunk};
use crate::drive::Seat;
use crate::drive::world::{Action, DialFault, End, ListenerId, Peer, WireId, World};
use crate::mail::{ControlMail, CoreId, KillOutcome, Level, Mail};
use crate::queue::Queue;
use crate::snapshot::Address;
use crate::time::Instant;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Clone)]
pub enum Role {
    Echo,
    /// Echoes, and pauses after each chunk until all of it was sent.
    Flap,
    Relay(Address),
    /// Panics when bytes arrive.
    Bomb,
}

/// What all worlds of a test have seen.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub accepted: usize,
    /// Where each of those has come in.
    pub came_in: Vec<(Peer, ListenerId)>,
    pub closed: usize,
    pub dialed: usize,
    pub pauses: usize,
    pub failed: usize,
    pub faults: Vec<DialFault>,
    /// Blocks away from home though no wire was open.
    pub lost_blocks: usize,
}

#[derive(Default)]
pub struct Tally {
    counts: Mutex<Counts>,
    changed: Condvar,
}

impl Tally {
    pub fn change(&self, by: impl FnOnce(&mut Counts)) {
        by(&mut self.counts.lock().unwrap());
        self.changed.notify_all();
    }

    /// Waits until the counts are so; fails after ten seconds.
    pub fn wait(&self, is_so: impl Fn(&Counts) -> bool) -> Counts {
        let counts = self.counts.lock().unwrap();
        let (counts, timeout) =
            self.changed.wait_timeout_while(counts, Duration::from_secs(10), |counts| !is_so(counts)).unwrap();
        assert!(!timeout.timed_out(), "waited in vain: {counts:?}");
        counts.clone()
    }
}

#[derive(Default)]
struct Stream {
    out: Queue,
    /// Where its bytes go, when not back.
    partner: Option<WireId>,
    is_paused: bool,
    close_when_sent: bool,
    /// It wants to be closed; the driver may not know yet.
    is_closing: bool,
    /// The driver was told to close it.
    is_shut: bool,
    has_ended: bool,
    has_failed: bool,
}

pub struct Play {
    seat: Seat,
    role: Role,
    tally: Arc<Tally>,
    blocks: Blocks,
    slots: Vec<(u32, Option<Stream>)>,
    free: Vec<u32>,
    actions: VecDeque<Action>,
    deadline: Option<Instant>,
}

impl Play {
    pub fn new(seat: Seat, role: Role, tally: Arc<Tally>) -> Play {
        Play {
            seat,
            role,
            tally,
            blocks: Blocks::new(seat.blocks, seat.block_bytes),
            slots: Vec::new(),
            free: Vec::new(),
            actions: VecDeque::new(),
            deadline: None,
        }
    }

    fn open(&mut self, partner: Option<WireId>) -> WireId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.1 = Some(Stream { partner, ..Stream::default() });
        WireId { index, generation: slot.0 }
    }

    fn stream(&mut self, wire: WireId) -> &mut Stream {
        let (generation, stream) = &mut self.slots[wire.index as usize];
        assert_eq!(*generation, wire.generation, "a call for a wire that is dead");
        stream.as_mut().expect("a call for a wire that is dead")
    }

    fn close(&mut self, wire: WireId) {
        if !std::mem::replace(&mut self.stream(wire).is_closing, true) {
            self.actions.push_back(Action::Close { wire });
        }
    }

    /// Closes once everything was sent.
    fn finish(&mut self, wire: WireId) {
        self.stream(wire).close_when_sent = true;
        if self.stream(wire).out.is_empty() {
            self.close(wire);
        }
    }

    /// Whose bytes fill this wire's outbox.
    fn source(&mut self, wire: WireId) -> WireId {
        self.stream(wire).partner.unwrap_or(wire)
    }

    fn set_paused(&mut self, wire: WireId, is_paused: bool) {
        let stream = self.stream(wire);
        if stream.is_closing || std::mem::replace(&mut stream.is_paused, is_paused) == is_paused {
            return;
        }
        if is_paused {
            self.tally.change(|counts| counts.pauses += 1);
        }
        self.actions.push_back(if is_paused { Action::Pause { wire } } else { Action::Resume { wire } });
    }
}

impl World for Play {
    fn blocks(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn handle_accept(&mut self, _: Instant, peer: Peer, listener: ListenerId) -> WireId {
        assert!(matches!(peer, Peer::Unix) || matches!(peer, Peer::Tcp(address) if address.ip().is_loopback()));
        let client = self.open(None);
        self.tally.change(|counts| {
            counts.accepted += 1;
            counts.came_in.push((peer, listener));
        });
        if let Role::Relay(address) = self.role.clone() {
            let backend = self.open(Some(client));
            self.stream(client).partner = Some(backend);
            self.actions.push_back(Action::Dial { wire: backend, address });
        }
        client
    }

    fn handle_dialed(&mut self, _: Instant, wire: WireId, outcome: Result<(), DialFault>) {
        assert!(!self.stream(wire).is_shut, "dialed after close");
        match outcome {
            _ if self.stream(wire).is_closing => (),
            Ok(()) => {
                self.tally.change(|counts| counts.dialed += 1);
                self.actions.push_back(Action::Send { wire });
            }
            Err(fault) => {
                self.tally.change(|counts| counts.faults.push(fault));
                let client = self.source(wire);
                self.close(wire);
                self.close(client);
            }
        }
    }

    fn handle_chunk(&mut self, _: Instant, wire: WireId, chunk: Chunk) {
        assert!(!self.stream(wire).is_shut && !self.stream(wire).has_ended, "a chunk after the end");
        if self.stream(wire).is_closing {
            return self.blocks.release(chunk);
        }
        assert!(!matches!(self.role, Role::Bomb), "the bomb goes off");
        let to = self.source(wire);
        let Some((_, Some(target))) = self.slots.get_mut(to.index as usize).filter(|slot| slot.0 == to.generation)
        else {
            return self.blocks.release(chunk);
        };
        target.out.push(&mut self.blocks, chunk);
        let is_full = target.out.len() > OUT_BYTES_HIGH;
        self.actions.push_back(Action::Send { wire: to });
        if is_full || matches!(self.role, Role::Flap) {
            self.set_paused(wire, true);
        }
    }

    fn handle_sent(&mut self, _: Instant, wire: WireId, n: usize) {
        let (_, Some(stream)) = &mut self.slots[wire.index as usize] else { panic!("sent for a dead wire") };
        stream.out.consume(&mut self.blocks, n);
        if stream.is_closing {
            return;
        }
        let left = stream.out.len();
        if left == 0 && stream.close_when_sent {
            return self.close(wire);
        }
        let is_low = if matches!(self.role, Role::Flap) { left == 0 } else { left < OUT_BYTES_LOW };
        let source = self.source(wire);
        if is_low && self.slots[source.index as usize].0 == source.generation {
            self.set_paused(source, false);
        }
    }

    fn handle_end(&mut self, _: Instant, wire: WireId, end: End) {
        let stream = self.stream(wire);
        assert!(!stream.is_shut && !stream.has_failed, "no word after the last");
        assert!(!(stream.has_ended && end == End::Closed), "closed twice");
        stream.has_ended = true;
        stream.has_failed = end == End::Failed;
        if stream.is_closing {
            return;
        }
        if end == End::Failed {
            self.tally.change(|counts| counts.failed += 1);
            self.close(wire);
        } else if self.stream(wire).partner.is_none() {
            self.finish(wire);
        } else {
            self.close(wire);
        }
        let partner = self.stream(wire).partner.take();
        if let Some(partner) = partner {
            self.stream(partner).partner = None;
            self.finish(partner);
        }
    }

    fn handle_closed(&mut self, _: Instant, wire: WireId) {
        assert!(self.stream(wire).is_shut, "closed without a wish");
        if let Some(partner) = self.stream(wire).partner.take() {
            self.stream(partner).partner = None;
        }
        let (generation, stream) = &mut self.slots[wire.index as usize];
        *generation += 1;
        stream.take().unwrap().out.clear(&mut self.blocks);
        self.free.push(wire.index);
        let away = match self.free.len() == self.slots.len() {
            true => self.blocks.count() - self.blocks.free_count() - self.blocks.lent_count(),
            false => 0,
        };
        self.tally.change(|counts| {
            counts.closed += 1;
            counts.lost_blocks += away;
        });
    }

    fn handle_mail(&mut self, now: Instant, mail: Mail) {
        match mail {
            Mail::Drain { within_ms } => self.deadline = Some(now.plus_ms(within_ms)),
            Mail::Killed { token, .. } if token >= FORWARD => {
                let core = CoreId((self.seat.core.0 + 1) % self.seat.cores);
                let mail = Mail::Killed { token: token - FORWARD, outcome: KillOutcome::Done };
                self.actions.push_back(Action::Post { core, mail });
            }
            Mail::Killed { token, .. } => {
                let detail = token.to_string();
                self.actions.push_back(Action::Tell(ControlMail::Log { level: Level::Info, event: "killed", detail }));
            }
            _ => (),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        assert!(self.deadline.take().expect("a timeout that was asked for") <= now);
        self.actions.push_back(Action::Tell(ControlMail::Drained));
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if let Some(Action::Close { wire }) = action {
            self.stream(wire).is_shut = true;
        }
        action
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn outbox(&self, wire: WireId) -> impl Iterator<Item = &[u8]> {
        let (_, stream) = &self.slots[wire.index as usize];
        stream.iter().flat_map(|stream| stream.out.slices(&self.blocks))
    }

    fn outstanding(&self) -> usize {
        0
    }

    fn outbox_len(&self, wire: WireId) -> usize {
        self.slots[wire.index as usize].1.as_ref().map_or(0, |stream| stream.out.len())
    }
}

/// A token from here on is passed on to the next core.
pub const FORWARD: u64 = 1 << 32;

const OUT_BYTES_HIGH: usize = 128 << 10;
const OUT_BYTES_LOW: usize = 32 << 10;
