//! One core's turn: sleep in the ring, hand the world what has happened, do what it wants; again.
//!
//! ```text
//!   enter ─► completions ─► letters ─► time ─► actions ─► sends, receives, buffers ─► enter
//! ```
//! Cost of a turn: one system call, one look at the clock, no allocation once its lists have grown. What one turn brings
//! goes out with the next enter, all of it together.
//!
//! Invariant: the world is called from here only, by one thread, and never from within one of its own calls.

use crate::drive::accept::{Door, Queue};
use crate::drive::batch::{Batch, BatchMode, MIN_WAIT_US};
use crate::drive::berths::Berths;
use crate::drive::exchange::{Exchange, LetterBox, Stage};
use crate::drive::machine;
use crate::drive::ring::{Completion, Ring, Sleep};
use crate::drive::token::{Kind, Token};
use crate::drive::wires::{Phase, Vector, Wires};
use crate::drive::world::{Action, DialFault, ListenerId, WireId, World};
use crate::mail::Mail;
use crate::time::Instant;
use io_uring::{opcode, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

mod admit;
mod close;
mod dial;
mod receive;
mod send;

pub struct Driver<W> {
    core: usize,
    exchange: Arc<Exchange>,
    now: Instant,
    ring: Ring,
    wires: Wires,
    door: Door,
    batch: Batch,
    taken: Vec<Completion>,
    /// Snapshots seen.
    seen: u64,
    lists: Lists,
    /// Vectors that no send uses now.
    vectors: Vec<Vector>,
    /// Sends that go out with the next enter.
    sends: usize,
    // What the kernel writes to, freed last, behind the ring.
    bell_count: Box<u64>,
    world: W,
    berths: Berths,
}

/// What is to be done at the end of this turn or in the next. A wire may stand in a list twice, or be gone meanwhile:
/// whoever takes it out looks at the wire's state first.
#[derive(Default)]
struct Lists {
    /// There are new bytes in the outbox, or room for more.
    unsent: Vec<WireId>,
    /// Whether it should receive and whether it does may differ.
    unsettled: Vec<WireId>,
    /// Waiting for a buffer, first come, first served.
    starved: VecDeque<WireId>,
    /// Closed for good; the world is not yet told.
    closed: Vec<WireId>,
    undialed: Vec<(WireId, DialFault)>,
}

impl<W: World> Driver<W> {
    /// The listeners are another process's too, which is about to leave them.
    pub fn share_door(&mut self) {
        self.door.share();
    }

    /// Call it on the thread that will serve.
    pub fn new(
        core: usize,
        exchange: Arc<Exchange>,
        mut world: W,
        listeners: Vec<(ListenerId, OwnedFd)>,
        batch: BatchMode,
    ) -> io::Result<Driver<W>> {
        let mut ring = Ring::new()?;
        ring.make_table(machine::files_max().min(SLOTS_MAX));
        let berths = Berths::new(world.blocks().count());
        // SAFETY: the ring is dropped before the berths and the world with its blocks, after a last wait for everything
        // in flight; when that fails, they are leaked (see `end`).
        unsafe { berths.register(&ring.submitter())? };
        let batch = if ring.has_min_wait() { batch } else { BatchMode::Off };
        Ok(Driver {
            core,
            now: exchange.now(),
            exchange,
            ring,
            wires: Wires::default(),
            door: Door::new(listeners),
            batch: Batch::new(batch),
            taken: Vec::new(),
            seen: 0,
            lists: Lists::default(),
            vectors: Vec::new(),
            sends: 0,
            bell_count: Box::new(0),
            world,
            berths,
        })
    }

    /// Serves until the gate ends. `ready` is called once clients can come.
    pub fn serve(&mut self, ready: impl FnOnce()) -> io::Result<()> {
        self.listen_to_bell();
        self.door.open(&mut self.ring);
        self.settle();
        self.ring.turn(Sleep { wanted: 0, min_wait_us: 0, within: None })?;
        ready();
        while self.exchange.stage() != Stage::Ending {
            self.advance();
            let sleep = self.sleep();
            self.sends = 0;
            self.ring.turn(sleep)?;
        }
        Ok(())
    }

    /// Everything of a turn but the sleep.
    fn advance(&mut self) {
        self.now = self.exchange.now();
        self.take_completions();
        self.take_letters();
        self.tell_the_outcome();
        if self.world.poll_timeout().is_some_and(|at| at <= self.now) {
            self.world.handle_timeout(self.now);
        }
        let stage = self.exchange.stage();
        for client in self.door.advance(self.now, stage, &mut self.ring) {
            self.place(client);
        }
        if stage != Stage::Serving || self.door.is_shut() {
            self.tell_of_door(stage);
        }
        self.obey();
        self.settle();
    }

    #[cold]
    fn tell_of_door(&mut self, stage: Stage) {
        match stage {
            Stage::Serving | Stage::Shared if self.door.is_open_now() => self.exchange.door_opened(),
            Stage::Serving | Stage::Shared => {}
            _ if self.door.is_shut_now() => self.exchange.door_shut(),
            _ => {}
        }
    }

    fn take_completions(&mut self) {
        let mut taken = std::mem::take(&mut self.taken);
        self.ring.take(&mut taken);
        for done in taken.drain(..) {
            match done.token.kind() {
                Kind::Receive => self.handle_receive(done),
                Kind::Send => self.handle_send(done),
                Kind::Dial => self.handle_dial(done),
                Kind::Accept => self.handle_accept(done),
                Kind::Bell => {
                    self.letter_box().bell.heard();
                    self.listen_to_bell();
                }
                // A cancel that found nothing any more, or a close that failed: the socket is gone in any case.
                Kind::Silent => (),
            }
        }
        self.taken = taken;
        self.batch.observe(self.now);
    }

    fn letter_box(&self) -> &LetterBox {
        self.exchange.letter_box(self.core)
    }

    fn listen_to_bell(&mut self) {
        let fd = types::Fd(self.letter_box().bell.as_raw_fd());
        let read = opcode::Read::new(fd, (&raw mut *self.bell_count).cast(), 8).build();
        // SAFETY: the count is boxed and freed after the ring; the bell lives as long as the exchange, which we share.
        unsafe { self.ring.push(read, Token::of(Kind::Bell, 0)) };
    }

    /// Mail, clients from other cores, the latest snapshot. Looked at in every turn: a busy core needs no bell.
    fn take_letters(&mut self) {
        if let Some(snapshot) = self.exchange.news(&mut self.seen) {
            self.world.handle_mail(self.now, Mail::Snapshot(snapshot));
        }
        while let Some(mail) = self.letter_box().mail.pop() {
            self.world.handle_mail(self.now, mail);
        }
        while let Some(client) = self.letter_box().arrivals.pop() {
            self.admit(client);
        }
    }

    /// Does what the world wants.
    fn obey(&mut self) {
        while let Some(action) = self.world.poll_action() {
            match action {
                Action::Dial { wire, address } => self.dial(wire, &address),
                Action::Send { wire } => self.lists.unsent.push(wire),
                Action::Pause { wire } => self.set_paused(wire, true),
                Action::Resume { wire } => self.set_paused(wire, false),
                Action::Close { wire } => self.close(wire),
                Action::Post { core, mail } => self.exchange.post(usize::from(core.0), mail),
                Action::Tell(mail) => self.exchange.tell(self.core, mail),
            }
        }
    }

    /// Starts the sends and receives that this turn has made possible, with the buffers that came home.
    fn settle(&mut self) {
        self.berths.refill(self.world.blocks());
        let mut unsent = std::mem::take(&mut self.lists.unsent);
        unsent.drain(..).for_each(|wire| self.send(wire));
        self.lists.unsent = unsent;
        self.feed_starved();
        let mut unsettled = std::mem::take(&mut self.lists.unsettled);
        unsettled.drain(..).for_each(|wire| self.settle_receive(wire));
        self.lists.unsettled = unsettled;
    }

    fn sleep(&self) -> Sleep {
        let is_urgent = !self.lists.closed.is_empty()
            || !self.lists.undialed.is_empty()
            || !self.lists.starved.is_empty() && self.berths.afloat() > 0;
        let until = self.world.poll_timeout().unwrap_or(Instant::NEVER).min(self.door.retry_at());
        let within = match until {
            Instant::NEVER => None,
            until => Some(Duration::from_nanos(until.since_ns(self.now))),
        };
        // A send completes at once as a rule, within this very enter, and would be taken for the company that is
        // waited for: so each counts on top.
        let wanted = match self.batch.wanted(self.world.outstanding()) {
            _ if is_urgent => 0,
            1 => 1,
            receives => receives + self.sends,
        };
        Sleep { wanted, min_wait_us: MIN_WAIT_US, within }
    }

    /// The end: every socket is closed, and everything in flight comes back, so that memory may go. Does not touch the
    /// world, which may be broken.
    pub fn end(mut self, world_is_sound: bool) {
        drop(self.door.close(&mut self.ring, Queue::Left));
        for wire in self.wires.iter_mut() {
            if wire.is_client {
                self.exchange.spread.leave(self.core);
            }
            wire.phase = Phase::Closing;
        }
        let everything = opcode::AsyncCancel2::new(types::CancelBuilder::any().all()).build();
        let deadline = Instant(self.exchange.now().0 + END_NS_MAX);
        let within = Some(Duration::from_nanos(END_NS_MAX / 20));
        while self.ring.in_flight() > 0 && self.exchange.now() < deadline {
            // Again each time: what was in the submission queue behind it, or in a worker, is met by the next.
            // SAFETY: a cancel of everything has no pointers.
            unsafe { self.ring.push_silent(everything.clone()) };
            if self.ring.turn(Sleep { wanted: 1, min_wait_us: 0, within }).is_err() {
                break;
            }
            self.taken.clear();
            self.ring.take(&mut self.taken);
        }
        let is_quiet = self.ring.in_flight() == 0;
        while self.letter_box().arrivals.pop().is_some() {
            self.exchange.spread.leave(self.core);
        }
        self.ring.close_table();
        let Driver { ring, wires, world, berths, bell_count, vectors, .. } = self;
        drop(ring);
        if is_quiet {
            drop((wires, vectors, bell_count));
        } else {
            // The kernel may still write there: better lost than overwritten.
            std::mem::forget((wires, vectors, bell_count));
        }
        if is_quiet && world_is_sound {
            drop((world, berths));
        } else {
            std::mem::forget((world, berths));
        }
    }
}

/// Most slots of a core's table of files (8 bytes each). Wires beyond keep their descriptors.
const SLOTS_MAX: u32 = 1 << 18;

/// How long the end may wait for operations in flight.
const END_NS_MAX: u64 = 2_000_000_000;

#[cfg(test)]
mod tests;
