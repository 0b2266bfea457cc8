//! Closing: what is in flight is ended, its completion awaited, the socket closed; then the world may forget the wire.

use super::Driver;
use crate::drive::socket;
use crate::drive::token::{Kind, Token};
use crate::drive::wires::{Phase, Receiving};
use crate::drive::world::{WireId, World};
use io_uring::{opcode, types};
use std::os::fd::{BorrowedFd, IntoRawFd};

impl<W: World> Driver<W> {
    pub(super) fn close(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.phase == Phase::Closing {
            return;
        }
        wire.phase = Phase::Closing;
        if wire.dial.is_none() && !wire.is_quiet() {
            // The cancel below is enough for a receive, as far as is known; this ends it in any case, and the send.
            // SAFETY: the wire's own socket, which is open.
            socket::shut_down(unsafe { BorrowedFd::borrow_raw(wire.fd()) });
        }
        let (is_armed, is_dialing) = (wire.receiving == Receiving::Armed, wire.dial.is_some());
        if is_armed {
            wire.receiving = Receiving::Cancelling;
            self.cancel(Token::of_wire(Kind::Receive, id));
        }
        if is_dialing {
            self.cancel(Token::of_wire(Kind::Dial, id));
        }
        self.finish_close(id);
    }

    fn cancel(&mut self, token: Token) {
        // SAFETY: no pointers.
        unsafe { self.ring.push_silent(opcode::AsyncCancel::new(token.0).build()) };
    }

    /// Closes the socket of a closing wire once nothing of it is in flight.
    pub(super) fn finish_close(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.phase != Phase::Closing || !wire.is_quiet() {
            return;
        }
        if let Some(socket) = wire.take_socket() {
            let close = opcode::Close::new(types::Fd(socket.into_raw_fd())).build();
            // SAFETY: no pointers. The descriptor is the kernel's to close from here on.
            unsafe { self.ring.push_silent(close) };
        }
        if wire.is_client {
            self.exchange.spread.leave(self.core);
        }
        wire.vacate();
        self.lists.closed.push(id);
    }
}
