//! A doorbell: an eventfd that wakes who sleeps in `io_uring_enter` or in a poll, written once however often it is rung.
//!
//! ```text
//!   ringer:  put the letter in the box ──► rung? ── no ──► write(eventfd)
//!   owner:   woken ──► rung = false ──► empty the box     (a letter put later rings again)
//! ```
//! Invariant: after a letter was put and the bell rung, the owner looks into the box at least once more.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
    rung: AtomicBool,
}

/// How the owner waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// By a read in a ring. The descriptor must block, or the ring's read answers EAGAIN at once instead of waiting.
    Ring,
    /// By a poll for readability (tokio's `AsyncFd`), then [`Bell::hush`].
    Poll,
}

impl Bell {
    pub fn new(wait: Wait) -> io::Result<Bell> {
        let flags = match wait {
            Wait::Ring => libc::EFD_CLOEXEC,
            Wait::Poll => libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
        };
        // SAFETY: no pointers.
        let fd = unsafe { libc::eventfd(0, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Bell { fd, rung: AtomicBool::new(false) })
    }

    /// Call it after the letter is in the box.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if !self.rung.swap(true, Ordering::SeqCst) {
            let one = 1u64;
            // SAFETY: eight bytes of a live integer. The counter is at most one, so this can't block.
            let n = unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
            assert!(n == 8, "an eventfd takes a write of one");
        }
    }

    /// Call it when woken, before the box is emptied. (The ring's read has taken the count.)
    pub fn heard(&self) {
        self.rung.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// As [`Bell::heard`] for an owner that polls: takes the count itself.
    pub fn hush(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes of a live integer; the descriptor does not block. EAGAIN means that nobody rang.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
        self.heard();
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(bell: &Bell) -> bool {
        let mut poll = libc::pollfd { fd: bell.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn rung_often_it_sounds_once_until_it_is_heard() {
        let bell = Bell::new(Wait::Poll).unwrap();
        assert!(!is_readable(&bell));
        bell.ring();
        bell.ring();
        assert!(is_readable(&bell));
        bell.hush();
        assert!(!is_readable(&bell));
        bell.hush();
        bell.ring();
        assert!(is_readable(&bell));
    }
}
