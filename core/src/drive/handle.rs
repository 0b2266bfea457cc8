//! How the ring finds a wire's socket: by a file descriptor, or by a slot of the ring's own table of files.
//!
//! With a slot, no operation looks a descriptor up and counts its users, and the process's limit of open files does not
//! count the socket: each core's table has as many slots as that limit allows files. The other side of it: such a socket is
//! not listed under the process by `ss -p` or `lsof`.
//!
//! Invariant: slot n of the table is wire n's or empty. A slot is emptied by a close in the ring, and by nothing else.

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub enum Handle {
    File(OwnedFd),
    Slot(u32),
}

impl Handle {
    /// What an operation's builder is given; [`Handle::aim`] must be asked too.
    pub fn fd(&self) -> Fd {
        match self {
            Handle::File(file) => Fd(file.as_raw_fd()),
            Handle::Slot(slot) => Fd(*slot as i32),
        }
    }

    /// Makes an operation that was built with `fd()` mean this socket.
    pub fn aim(&self, entry: Entry) -> Entry {
        match self {
            Handle::File(_) => entry,
            Handle::Slot(_) => entry.flags(Flags::FIXED_FILE),
        }
    }

    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Handle::File(file) => Some(std::os::fd::AsFd::as_fd(file)),
            Handle::Slot(_) => None,
        }
    }
}
