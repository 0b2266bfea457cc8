//! Closing: what is in flight is ended, its completion awaited, the socket closed; then the world may forget the wire.

use super::Driver;
use crate::drive::handle::Handle;
use crate::drive::socket;
use crate::drive::token::{Kind, Token};
use crate::drive::wires::{Phase, Receiving, Sending};
use crate::drive::world::{WireId, World};
use io_uring::{opcode, types};
use std::os::fd::IntoRawFd;

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
            // The cancels below are enough, as far as is known; this ends both in any case. A shutdown in the ring would run in a
            // worker, which looks the slot up when another may sit there.
            if let Some(file) = wire.socket().file() {
                socket::shut_down(file);
            }
        }
        let (is_armed, is_dialing) = (wire.receiving == Receiving::Armed, wire.dial.is_some());
        let is_sending = wire.socket_is_seated() && matches!(wire.sending, Sending::Busy(_));
        if is_armed {
            wire.receiving = Receiving::Cancelling;
            self.cancel(Token::of_wire(Kind::Receive, id));
        }
        if is_sending {
            self.cancel(Token::of_wire(Kind::Send, id));
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
            let close = match socket {
                Handle::File(file) => opcode::Close::new(types::Fd(file.into_raw_fd())).build(),
                Handle::Slot(slot) => {
                    self.ring.note_closing(slot);
                    opcode::Close::new(types::Fixed(slot)).build()
                }
            };
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
