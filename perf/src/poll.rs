//! `Poll`: the kernel's epoll, level-triggered, as far as a loop on one thread needs it.
//!
//! Invariant: a token comes back exactly as it was given; whose it is, is the caller's affair. It owns no socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::limits::EVENTS_MAX;

#[derive(Debug)]
pub struct Poll {
    fd: OwnedFd,
    raw: Vec<libc::epoll_event>,
}

/// What a socket is watched for. Its end and its errors are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Nothing,
    Read,
    Write,
    Both,
}

impl Interest {
    pub fn of(read: bool, write: bool) -> Self {
        match (read, write) {
            (false, false) => Self::Nothing,
            (true, false) => Self::Read,
            (false, true) => Self::Write,
            (true, true) => Self::Both,
        }
    }

    fn bits(self) -> u32 {
        (match self {
            Self::Nothing => 0,
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        }) as u32
    }
}

/// A socket has something to do. Its end counts as readable and writable: the call that follows finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes a number and gives a new descriptor or -1.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, raw: Vec::with_capacity(EVENTS_MAX) })
    }

    pub fn add(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, interest)
    }

    pub fn change(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    pub fn remove(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket, 0, Interest::Nothing)
    }

    /// Waits for events, at most so long, and puts them in place of what is in `events`, whose room is used again and
    /// again. `None` waits for ever. An interruption by a signal is no event.
    pub fn wait(&mut self, limit: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(limit.subsec_nanos() as i32),
        });
        let limit_at = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        self.raw.clear();
        // SAFETY: the buffer has room for EVENTS_MAX events and lives through the call, as does the time.
        // epoll_pwait2 is called by number, because it alone takes nanoseconds and not every C library has it.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.raw.as_mut_ptr(),
                EVENTS_MAX as libc::c_int,
                limit_at,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // SAFETY: the kernel has filled in so many events.
        unsafe { self.raw.set_len(count.max(0) as usize) };
        events.clear();
        events.extend(self.raw.iter().map(Event::decode));
        Ok(())
    }

    fn control(&self, operation: libc::c_int, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: the event lives through the call, and the kernel checks both descriptors.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, socket.as_raw_fd(), &mut event) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl Event {
    fn decode(raw: &libc::epoll_event) -> Self {
        let bits = raw.events as libc::c_int;
        let over = bits & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
        Self {
            token: raw.u64,
            readable: over || bits & libc::EPOLLIN != 0,
            writable: over || bits & libc::EPOLLOUT != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn waited(poll: &mut Poll, limit: Option<Duration>) -> Vec<Event> {
        let mut events = Vec::new();
        poll.wait(limit, &mut events).unwrap();
        events
    }

    #[test]
    fn tells_what_is_asked_and_who() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let mut poll = Poll::new().unwrap();
        let token = u64::MAX - 1;
        poll.add(&there, token, Interest::Read).unwrap();
        assert_eq!(waited(&mut poll, Some(Duration::ZERO)), []);
        here.write_all(b"x").unwrap();
        let read = Event { token, readable: true, writable: false };
        assert_eq!(waited(&mut poll, None), [read]);
        poll.change(&there, token, Interest::Both).unwrap();
        let both = Event { writable: true, ..read };
        assert_eq!(waited(&mut poll, None), [both]);
        poll.change(&there, token, Interest::Nothing).unwrap();
        assert_eq!(waited(&mut poll, Some(Duration::from_micros(50))), []);
        drop(here);
        assert_eq!(waited(&mut poll, None), [both]);
        poll.remove(&there).unwrap();
        assert_eq!(waited(&mut poll, Some(Duration::ZERO)), []);
    }

    #[test]
    fn interests() {
        for (read, write, bits) in [(false, false, 0), (true, false, 1), (false, true, 4), (true, true, 5)] {
            assert_eq!(Interest::of(read, write).bits(), bits);
        }
    }
}
