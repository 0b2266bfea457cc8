//! The one io_uring of a core: what is to be submitted, one system call per turn, what has completed.
//!
//! ```text
//!   push ─► submission queue ─┐
//!      └─► backlog (when full)│ enter: submit all, wait ─► completion queue ─► take
//! ```
//! Invariant: `in_flight` counts the operations whose last completion has not been taken. An entry that was pushed is
//! submitted in order, at the latest with the next turn.

use crate::drive::handle::Handle;
use crate::drive::token::Token;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

pub struct Ring {
    ring: IoUring,
    backlog: VecDeque<Entry>,
    in_flight: usize,
    /// The kernel can wait for several completions and yet give up early (6.12).
    has_min_wait: bool,
    /// The kernel can sleep without being counted as waiting for a disk (6.15).
    no_iowait: EnterFlags,
    /// Slots of the table of files, all of them for wires.
    slots: u32,
    /// Slots whose close is pushed and not yet submitted: who sat there now would be closed by it.
    closing: Vec<u32>,
}

/// How long a turn may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// Completions to wait for; 0 takes what there is.
    pub wanted: usize,
    /// With `wanted` above 1: after this long one completion is enough.
    pub min_wait_us: u32,
    pub within: Option<Duration>,
}

/// A completion, copied out of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub token: Token,
    pub result: i32,
    flags: u32,
}

impl Completion {
    /// One that comes with a provided buffer and ends its operation.
    #[cfg(test)]
    pub fn with_buffer(token: Token, result: i32, buffer: u16) -> Completion {
        // IORING_CQE_F_BUFFER, and the id in the upper half (io_uring_enter(2)).
        Completion { token, result, flags: u32::from(buffer) << 16 | 1 }
    }

    /// More will come from the same (multishot) operation.
    pub fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that came with it.
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

impl Ring {
    /// Must be called on the thread that will take the turns: the kernel holds us to the promise of a single issuer.
    pub fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let has_min_wait = ring.params().is_feature_min_timeout();
        let no_iowait = if ring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        Ok(Ring {
            ring,
            backlog: VecDeque::new(),
            in_flight: 0,
            has_min_wait,
            no_iowait,
            slots: 0,
            closing: Vec::new(),
        })
    }

    /// Makes the table of files. Without it every socket keeps its descriptor: before Linux 6.13 a file that has left the
    /// table stays open until older operations end, receives that wait for hours among them.
    pub fn make_table(&mut self, slots: u32) {
        let empties_slots_at_once = self.ring.params().is_feature_no_iowait();
        if empties_slots_at_once && self.ring.submitter().register_files_sparse(slots).is_ok() {
            self.slots = slots;
        }
    }

    /// Closes all that is in the table, now: the ring itself is torn down later, by the kernel.
    pub fn close_table(&mut self) {
        if std::mem::take(&mut self.slots) > 0 {
            // It fails when there is no table.
            let _ = self.ring.submitter().unregister_files();
        }
    }

    /// A close of the slot's file is about to be pushed.
    pub fn note_closing(&mut self, slot: u32) {
        self.closing.push(slot);
    }

    /// Moves a socket into the slot, when there is one and the close of the last who sat there is done.
    pub fn seat(&mut self, file: OwnedFd, slot: u32) -> Handle {
        if slot >= self.slots || self.closing.contains(&slot) {
            return Handle::File(file);
        }
        match self.ring.submitter().register_files_update(slot, &[file.as_raw_fd()]) {
            Ok(1) => Handle::Slot(slot),
            _ => Handle::File(file),
        }
    }

    pub fn has_min_wait(&self) -> bool {
        self.has_min_wait
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Queues an operation that will complete.
    ///
    /// # Safety
    /// The memory that the entry points to lives, and is not written to, until its last completion was taken.
    pub unsafe fn push(&mut self, entry: Entry, token: Token) {
        self.in_flight += 1;
        self.enqueue(entry.user_data(token.0));
    }

    /// Queues an operation whose success interests nobody. It points to no memory.
    ///
    /// # Safety
    /// As said: the entry has no pointers.
    pub unsafe fn push_silent(&mut self, entry: Entry) {
        self.enqueue(entry.user_data(Token::SILENT.0).flags(Flags::SKIP_SUCCESS));
    }

    fn enqueue(&mut self, entry: Entry) {
        // SAFETY: our callers vouch for the entry's memory.
        if self.backlog.is_empty() && unsafe { self.ring.submission().push(&entry) }.is_ok() {
            return;
        }
        self.backlog.push_back(entry);
        // The kernel takes the whole queue without waiting; if it can't now, the next turn tries again.
        if self.enter(0, EnterFlags::empty(), &SubmitArgs::new()).is_ok() {
            self.refill();
        }
    }

    fn refill(&mut self) {
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever called `push` vouched for the entry's memory.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Submits everything and sleeps until there is something to take: the one system call of a turn.
    pub fn turn(&mut self, sleep: Sleep) -> io::Result<()> {
        self.refill();
        let within = sleep.within.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(within) = &within {
            args = args.timespec(within);
        }
        if sleep.wanted > 1 && self.has_min_wait {
            args = args.min_wait_usec(sleep.min_wait_us);
        }
        let wanted = if self.backlog.is_empty() { sleep.wanted } else { 0 };
        let outcome = self.enter(wanted, EnterFlags::GETEVENTS | self.no_iowait, &args);
        if self.backlog.is_empty() && self.ring.submission().is_empty() {
            self.closing.clear();
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The time is over; a signal; completions must be taken first; no memory for a request just now.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn enter(&mut self, wanted: usize, flags: EnterFlags, args: &SubmitArgs<'_, '_>) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        let flags = (flags | EnterFlags::EXT_ARG).bits();
        // SAFETY: EXT_ARG goes with a live `SubmitArgs`, which is the kernel's `io_uring_getevents_arg`; the entries
        // in the queue were vouched for when they were pushed.
        unsafe { self.ring.submitter().enter(queued, wanted as u32, flags, Some(args)) }.map(drop)
    }

    /// Moves what has completed to `taken`.
    pub fn take(&mut self, taken: &mut Vec<Completion>) {
        for entry in self.ring.completion() {
            let done = Completion { token: Token(entry.user_data()), result: entry.result(), flags: entry.flags() };
            if done.token != Token::SILENT && !done.has_more() {
                self.in_flight -= 1;
            }
            taken.push(done);
        }
    }

    /// For the registration of provided buffers.
    pub fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }
}

/// Entries of the submission queue. When a turn wants more, it costs one more system call, nothing else.
const SUBMISSIONS: u32 = 1024;

/// Entries of the completion queue (16 bytes each). When more complete at once, the kernel keeps them aside and ends
/// the multishots among them, which are armed again: slower, never wrong. Sized for a burst of 10,000 clients.
const COMPLETIONS: u32 = 16_384;
