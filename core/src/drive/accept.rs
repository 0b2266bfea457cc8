//! A core's door: its listeners, each with one multishot accept in the ring.
//!
//! ```text
//!   Serving ─► Shared: beside another process ─► HandedOver: at rest ─► Left: closed
//!      ▲ accepts are begun anew for a while ◄────────┴── the other process has died
//! ```
//! Invariant: a listener is idle, armed, or being cancelled. While the process has no descriptor left, accepting pauses
//! for a while instead of failing in a loop; who knocks meanwhile waits in the kernel's backlog.

use crate::drive::exchange::Stage;
use crate::drive::ring::{Completion, Ring};
use crate::drive::token::{Kind, Token};
use crate::drive::world::ListenerId;
use crate::time::Instant;
use io_uring::{opcode, types};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub struct Door {
    listeners: Vec<Listener>,
    /// When accepting is tried again after it failed; NEVER when it has not.
    retry_at: Instant,
    /// Before this moment a failure is no news.
    quiet_until: Instant,
    /// When accepts that stand are begun anew; NEVER when nobody else accepts from the same sockets.
    renew_at: Instant,
    renewals_left: u32,
    /// When last looked at; after `HandedOver` that or `Left`, until it serves again.
    stage: Stage,
    /// It was said that the door is shut.
    is_shut_told: bool,
}

struct Listener {
    id: ListenerId,
    socket: Option<OwnedFd>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Armed,
    Cancelling,
}

/// A client whose connection stands, and where it came in.
pub struct Arrival {
    pub socket: OwnedFd,
    pub listener: ListenerId,
}

pub enum Knock {
    Client(Arrival),
    /// It could not be accepted; news when that was not said a moment ago.
    Refused {
        errno: i32,
        is_news: bool,
    },
    Nobody,
}

impl Door {
    pub fn new(listeners: Vec<(ListenerId, OwnedFd)>) -> Door {
        let idle = |(id, socket)| Listener { id, socket: Some(socket), state: State::Idle };
        Door {
            listeners: listeners.into_iter().map(idle).collect(),
            retry_at: Instant::NEVER,
            quiet_until: Instant::ZERO,
            renew_at: Instant::NEVER,
            renewals_left: RENEWALS,
            stage: Stage::Serving,
            is_shut_told: false,
        }
    }

    /// Another process accepts from the same sockets, for a while.
    pub fn share(&mut self) {
        (self.renew_at, self.renewals_left) = (Instant::ZERO, RENEWALS);
    }

    pub fn open(&mut self, ring: &mut Ring) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(socket) = &listener.socket else {
                continue;
            };
            if listener.state == State::Idle {
                listener.state = State::Armed;
                let fd = types::Fd(socket.as_raw_fd());
                let accept = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build();
                // SAFETY: without an address it points to no memory.
                unsafe { ring.push(accept, Token::of(Kind::Accept, index)) };
            }
        }
    }

    pub fn retry_at(&self) -> Instant {
        self.retry_at.min(self.renew_at)
    }

    pub fn handle_accept(&mut self, now: Instant, done: Completion) -> Knock {
        let listener = &mut self.listeners[done.token.index()];
        if !done.has_more() {
            listener.state = State::Idle;
            self.retry_at = self.retry_at.min(now);
        }
        match -done.result {
            errno if errno <= 0 => {
                // SAFETY: just accepted, owned by nobody else.
                let socket = unsafe { OwnedFd::from_raw_fd(done.result) };
                Knock::Client(Arrival { socket, listener: listener.id })
            }
            // Cancelled; or the client was gone before it was accepted.
            libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN => Knock::Nobody,
            errno => {
                self.retry_at = now.plus_ms(RETRY_MS);
                let is_news = now >= self.quiet_until;
                if is_news {
                    self.quiet_until = now.plus_ms(QUIET_MS);
                }
                Knock::Refused { errno, is_news }
            }
        }
    }

    /// Arms what should be armed; once the gate takes no new clients, ends it and returns the last who knocked.
    pub fn advance(&mut self, now: Instant, stage: Stage, ring: &mut Ring) -> Vec<Arrival> {
        if stage != self.stage || stage >= Stage::Shared {
            match stage {
                // The other process is gone: its end may have come between who knocked and us.
                Stage::Serving => self.reopen(now),
                Stage::Shared if self.stage != Stage::Shared || self.renewals_left == 0 => self.reopen(now),
                Stage::Shared => {}
                Stage::HandedOver => self.rest(ring),
                Stage::Left => return self.close(ring, Queue::Left),
                Stage::Closing | Stage::Ending => {
                    let is_others = matches!(self.stage, Stage::HandedOver | Stage::Left);
                    return self.close(ring, if is_others { Queue::Left } else { Queue::Emptied });
                }
            }
            self.stage = stage;
        }
        if now >= self.renew_at {
            self.renew(now, ring);
        }
        if now >= self.retry_at {
            self.retry_at = Instant::NEVER;
            self.open(ring);
        }
        Vec::new()
    }

    /// Of two processes that wait at one socket the kernel wakes one. If that is the one that is leaving, who has knocked stands there until
    /// somebody else does: an accept that is begun anew looks first who is there.
    fn renew(&mut self, now: Instant, ring: &mut Ring) {
        self.renewals_left = self.renewals_left.saturating_sub(1);
        self.renew_at = if self.renewals_left == 0 { Instant::NEVER } else { now.plus_ms(RENEW_MS) };
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if listener.state == State::Armed {
                cancel(listener, index, ring);
            }
        }
    }

    fn reopen(&mut self, now: Instant) {
        self.share();
        self.retry_at = now;
    }

    /// Accepts nobody, and keeps the listeners.
    fn rest(&mut self, ring: &mut Ring) {
        (self.retry_at, self.renew_at) = (Instant::NEVER, Instant::NEVER);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if listener.state == State::Armed {
                cancel(listener, index, ring);
            }
        }
    }

    /// True once, when no listener accepts any more.
    pub fn is_shut_now(&mut self) -> bool {
        let is_shut = self.listeners.iter().all(|listener| listener.state == State::Idle);
        is_shut && !std::mem::replace(&mut self.is_shut_told, true)
    }

    /// It was said that it is.
    pub fn is_shut(&self) -> bool {
        self.is_shut_told
    }

    /// True once, when that no longer is so.
    pub fn is_open_now(&mut self) -> bool {
        std::mem::take(&mut self.is_shut_told)
    }

    /// Closes the listeners, each when its accept has ended. A client whose connection stands already is not cut off:
    /// it is returned, unless another process has the queue.
    pub fn close(&mut self, ring: &mut Ring, queue: Queue) -> Vec<Arrival> {
        let mut last = Vec::new();
        self.retry_at = Instant::NEVER;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            match listener.state {
                State::Armed => cancel(listener, index, ring),
                State::Idle => {
                    let socket = listener.socket.take().filter(|_| queue == Queue::Emptied);
                    let arrival = |socket| Arrival { socket, listener: listener.id };
                    last.extend(socket.into_iter().flat_map(last_clients).map(arrival));
                }
                State::Cancelling => (),
            }
        }
        last
    }
}

/// It is idle when the last word of its accept has come.
fn cancel(listener: &mut Listener, index: usize, ring: &mut Ring) {
    listener.state = State::Cancelling;
    let cancel = opcode::AsyncCancel::new(Token::of(Kind::Accept, index).0).build();
    // SAFETY: no pointers.
    unsafe { ring.push_silent(cancel) };
}

/// What becomes of those who stand in a listener's backlog when it is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// They are served by us.
    Emptied,
    /// They are another's. The socket is shared: nothing is set on it, since a mode of not blocking would be its mode too.
    Left,
}

/// Who stands in a listener's backlog. Takes the listener and closes it; who comes between the last look and the close is
/// reset by the kernel, which nothing in user space can prevent (`net.ipv4.tcp_migrate_req` can).
fn last_clients(listener: OwnedFd) -> Vec<OwnedFd> {
    let mut clients = Vec::new();
    // SAFETY: no pointers. Nothing is in flight on the listener, so it may stop blocking.
    if unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
        return clients;
    }
    loop {
        let none = std::ptr::null_mut();
        // SAFETY: no address is asked for.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), none, none.cast(), libc::SOCK_CLOEXEC) };
        if fd < 0 {
            return clients;
        }
        // SAFETY: just accepted, owned by nobody else.
        clients.push(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// Pause after a failed accept, in ms: long enough not to spin, short enough that nobody minds.
const RETRY_MS: u64 = 100;

/// A gate that takes over begins its accepts anew so often and so many times: for ten seconds, while the former one leaves within some
/// milliseconds.
const RENEW_MS: u64 = 50;
const RENEWALS: u32 = 200;

/// A failure within this time after one that was told is not told again, in ms.
const QUIET_MS: u64 = 10_000;
