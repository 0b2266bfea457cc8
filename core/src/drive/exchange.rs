//! What the cores and the control thread share: each core's letter box, the control thread's, the latest snapshot.
//!
//! Invariant: none of it lies on a query's path. A core looks at one counter per turn and at its box when its bell rang;
//! everything else here happens when a client comes, a password is learnt, the world changes.

use crate::drive::accept::Arrival;
use crate::drive::bell::{Bell, Wait};
use crate::drive::spread::Spread;
use crate::mail::{ControlMail, Mail};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crossbeam::queue::SegQueue;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How far the gate's life has come, for its cores. It grows, and goes back to `Serving` only from where the listeners are still ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Serving = 0,
    /// Another process has the same sockets and may accept beside us.
    Shared = 1,
    /// Another process accepts from the same sockets: no new clients here, and nobody is taken out of their queues. The sockets stay open,
    /// so that nobody is refused should that process die.
    HandedOver = 2,
    /// The same for good: our sockets are closed.
    Left = 3,
    /// No new clients.
    Closing = 4,
    /// Everything ends now.
    Ending = 5,
}

pub struct Exchange {
    started: std::time::Instant,
    boxes: Vec<LetterBox>,
    pub spread: Spread,
    /// Number of the latest snapshot that was published; 0 for none.
    published: AtomicU64,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    stage: AtomicU8,
    /// Cores that may still accept.
    doors_open: AtomicUsize,
    control: SegQueue<(usize, ControlMail)>,
    statements: Share,
    spans: Share,
    control_bell: Bell,
}

/// One core's.
pub struct LetterBox {
    pub bell: Bell,
    pub mail: SegQueue<Mail>,
    /// Clients that another core has accepted and this one shall serve: counted in the spread already.
    pub arrivals: SegQueue<Arrival>,
}

impl Exchange {
    pub fn new(cores: usize) -> io::Result<Exchange> {
        let mut boxes = Vec::new();
        for _ in 0..cores {
            boxes.push(LetterBox { bell: Bell::new(Wait::Ring)?, mail: SegQueue::new(), arrivals: SegQueue::new() });
        }
        Ok(Exchange {
            started: std::time::Instant::now(),
            boxes,
            spread: Spread::new(cores),
            published: AtomicU64::new(0),
            snapshot: Mutex::new(None),
            stage: AtomicU8::new(Stage::Serving as u8),
            doors_open: AtomicUsize::new(cores),
            control: SegQueue::new(),
            statements: Share::default(),
            spans: Share::default(),
            control_bell: Bell::new(Wait::Poll)?,
        })
    }

    /// The clock of all cores: the kernel's monotonic one, from the gate's start.
    pub fn now(&self) -> Instant {
        Instant(self.started.elapsed().as_nanos() as u64)
    }

    pub fn cores(&self) -> usize {
        self.boxes.len()
    }

    pub fn letter_box(&self, core: usize) -> &LetterBox {
        &self.boxes[core]
    }

    pub fn post(&self, core: usize, mail: Mail) {
        self.boxes[core].mail.push(mail);
        self.boxes[core].bell.ring();
    }

    pub fn hand_over(&self, core: usize, client: Arrival) {
        self.boxes[core].arrivals.push(client);
        self.boxes[core].bell.ring();
    }

    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        {
            let mut latest = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = Some(snapshot);
            // Under the lock, so that the number and the snapshot agree; the cores compare without it.
            self.published.fetch_add(1, Ordering::Release);
        }
        self.ring_all();
    }

    /// The latest snapshot, unless it is number `seen`, which is then brought up to date.
    pub fn news(&self, seen: &mut u64) -> Option<Arc<Snapshot>> {
        if self.published.load(Ordering::Acquire) == *seen {
            return None;
        }
        let latest = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = self.published.load(Ordering::Acquire);
        latest.clone()
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Shared,
            2 => Stage::HandedOver,
            3 => Stage::Left,
            4 => Stage::Closing,
            _ => Stage::Ending,
        }
    }

    pub fn enter_stage(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        self.ring_all();
    }

    /// The listeners are ours alone again. False: they are not ours any more.
    pub fn serve_again(&self) -> bool {
        let back = |stage| (stage <= Stage::HandedOver as u8).then_some(Stage::Serving as u8);
        let is_back = self.stage.fetch_update(Ordering::AcqRel, Ordering::Acquire, back).is_ok();
        self.ring_all();
        is_back
    }

    /// A core accepts nobody any more.
    pub fn door_shut(&self) {
        self.doors_open.fetch_sub(1, Ordering::AcqRel);
    }

    /// One that had said so accepts again.
    pub fn door_opened(&self) {
        self.doors_open.fetch_add(1, Ordering::AcqRel);
    }

    /// Nobody is accepted, and nobody who was is still here or under way to a core.
    pub fn is_deserted(&self) -> bool {
        self.doors_open.load(Ordering::Acquire) == 0 && (0..self.cores()).all(|core| self.spread.count(core) == 0)
    }

    fn ring_all(&self) {
        for letter_box in &self.boxes {
            letter_box.bell.ring();
        }
    }

    /// From a core to the control thread. Of what the query log and the traces want only so many wait there; the others are counted.
    pub fn tell(&self, core: usize, mail: ControlMail) {
        if self.share(&mail).is_some_and(|share| !share.enter()) {
            return;
        }
        self.control.push((core, mail));
        self.control_bell.ring();
    }

    fn share(&self, mail: &ControlMail) -> Option<&Share> {
        match mail {
            ControlMail::Statement(_) => Some(&self.statements),
            ControlMail::Span(_) => Some(&self.spans),
            _ => None,
        }
    }
}

/// Mail of one kind that waits for the control thread, and how many found no room.
#[derive(Default)]
struct Share {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Share {
    fn enter(&self) -> bool {
        let has_room = self.waiting.load(Ordering::Relaxed) < STATEMENTS_MAX;
        match has_room {
            true => drop(self.waiting.fetch_add(1, Ordering::Relaxed)),
            false => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
        has_room
    }
}

/// The control thread's end: what the cores tell, and a descriptor that is readable when there may be something.
#[derive(Clone)]
pub struct ControlInbox {
    exchange: Arc<Exchange>,
}

impl ControlInbox {
    pub fn new(exchange: Arc<Exchange>) -> ControlInbox {
        ControlInbox { exchange }
    }

    /// The next mail and the core that it comes from. None also makes the descriptor unreadable until there is more:
    /// call it until None after each wake-up.
    pub fn try_recv(&self) -> Option<(usize, ControlMail)> {
        self.pop().or_else(|| {
            self.exchange.control_bell.hush();
            self.pop()
        })
    }

    fn pop(&self) -> Option<(usize, ControlMail)> {
        let (core, mail) = self.exchange.control.pop()?;
        if let Some(share) = self.exchange.share(&mail) {
            share.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        Some((core, mail))
    }

    /// Events of the query log that found no room since the start.
    pub fn statements_dropped(&self) -> u64 {
        self.exchange.statements.dropped.load(Ordering::Relaxed)
    }

    /// Traced statements that did.
    pub fn spans_dropped(&self) -> u64 {
        self.exchange.spans.dropped.load(Ordering::Relaxed)
    }

    /// The clock of what cores tell.
    pub fn now(&self) -> Instant {
        self.exchange.now()
    }
}

impl AsRawFd for ControlInbox {
    fn as_raw_fd(&self) -> RawFd {
        self.exchange.control_bell.as_raw_fd()
    }
}

/// Events of one kind that wait for the control thread, about 5 KiB each at most. Cores may pass it by one each.
const STATEMENTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    /// A control thread that takes nothing costs events, not memory; other mail always comes through.
    #[test]
    fn only_so_many_events_wait() {
        let exchange = Arc::new(Exchange::new(1).unwrap());
        let inbox = ControlInbox::new(exchange.clone());
        let tell = || exchange.tell(0, ControlMail::Statement(Box::default()));
        (0..STATEMENTS_MAX + 3).for_each(|_| tell());
        exchange.tell(0, ControlMail::Drained);
        assert_eq!(inbox.statements_dropped(), 3);
        assert!(matches!(inbox.try_recv(), Some((0, ControlMail::Statement(_)))));
        tell();
        tell();
        assert_eq!(inbox.statements_dropped(), 4);
        let mut left = 0;
        while inbox.try_recv().is_some() {
            left += 1;
        }
        assert_eq!(left, STATEMENTS_MAX + 1);
        tell();
        assert_eq!(inbox.statements_dropped(), 4);
    }
}
