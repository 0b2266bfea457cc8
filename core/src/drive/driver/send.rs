//! Sending: one send per wire in the kernel, from where the bytes lie; what did not go goes with the next one.

use super::Driver;
use crate::drive::ring::Completion;
use crate::drive::token::{Kind, Token};
use crate::drive::wires::{PIECES_MAX, Phase, Sending};
use crate::drive::world::{End, WireId, World};
use io_uring::opcode;

impl<W: World> Driver<W> {
    /// Starts a send of what stands first in the outbox, unless one is under way.
    pub(super) fn send(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.phase != Phase::Open || wire.has_failed || !matches!(wire.sending, Sending::Idle) {
            return;
        }
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PIECES_MAX];
        let mut count = 0;
        for slice in self.world.outbox(id).filter(|slice| !slice.is_empty()).take(PIECES_MAX) {
            pieces[count] = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
            count += 1;
        }
        let (fd, token) = (wire.socket().fd(), Token::of_wire(Kind::Send, id));
        let entry = match &pieces[..count] {
            [] => return,
            [only] => {
                wire.sending = Sending::Busy(None);
                let len = only.iov_len.min(SEND_BYTES_MAX) as u32;
                opcode::Send::new(fd, only.iov_base.cast(), len).flags(libc::MSG_NOSIGNAL).build()
            }
            several => {
                let mut vector = self.vectors.pop().unwrap_or_default();
                let header = vector.fill(several);
                wire.sending = Sending::Busy(Some(vector));
                opcode::SendMsg::new(fd, header).flags(libc::MSG_NOSIGNAL as u32).build()
            }
        };
        let entry = wire.socket().aim(entry);
        // SAFETY: the world keeps the outbox's bytes where they are until `handle_sent` or `handle_closed`, and the wire
        // keeps the boxed vector until the completion.
        unsafe { self.ring.push(entry, token) };
        self.sends += 1;
    }

    pub(super) fn handle_send(&mut self, done: Completion) {
        let Some(wire) = self.wires.of_token(done.token) else {
            return;
        };
        let id = wire.id;
        let Sending::Busy(vector) = std::mem::replace(&mut wire.sending, Sending::Idle) else {
            unreachable!("a send completes once")
        };
        self.vectors.extend(vector);
        match done.result {
            1.. => {
                self.world.handle_sent(self.now, id, done.result as usize);
                self.lists.unsent.push(id);
            }
            result if matches!(-result, libc::EAGAIN | libc::EINTR) => self.lists.unsent.push(id),
            _ if wire.phase != Phase::Open => (),
            // Zero bytes of some can't be: it is taken for a failure, or it would be tried for ever.
            _ => {
                if self.mark_failed(id) {
                    self.world.handle_end(self.now, id, End::Failed);
                }
            }
        }
        self.finish_close(id);
    }

    /// Notes that the wire is broken. False when that was known.
    pub(super) fn mark_failed(&mut self, id: WireId) -> bool {
        self.wires.get(id).is_some_and(|wire| !std::mem::replace(&mut wire.has_failed, true))
    }
}

/// One send's length, where the kernel counts in 31 bits.
const SEND_BYTES_MAX: usize = 1 << 30;
