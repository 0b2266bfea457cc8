//! Dialing: a socket, a connect in the ring, and its outcome for the world.

use super::Driver;
use crate::drive::handle::Handle;
use crate::drive::ring::Completion;
use crate::drive::socket::{self, KernelAddress};
use crate::drive::token::{Kind, Token};
use crate::drive::wires::Phase;
use crate::drive::world::{WireId, World};
use crate::snapshot::Address;
use io_uring::opcode;

impl<W: World> Driver<W> {
    pub(super) fn dial(&mut self, id: WireId, address: &Address) {
        let opened = KernelAddress::of(address).and_then(|name| Ok((socket::to_backend(name.family())?, name)));
        match opened {
            Err(error) => {
                self.wires.put(id, Phase::Undialed, None, false);
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                self.lists.undialed.push((id, socket::dial_fault(errno)));
            }
            Ok((socket, name)) => {
                let wire = self.wires.put(id, Phase::Dialing, Some(Handle::File(socket)), false);
                let name = wire.dial.insert(Box::new(name));
                let (at, len) = (name.as_ptr(), name.len());
                let connect = opcode::Connect::new(wire.socket().fd(), at, len).build();
                // SAFETY: the wire keeps the boxed address until the completion.
                unsafe { self.ring.push(connect, Token::of_wire(Kind::Dial, id)) };
            }
        }
    }

    pub(super) fn handle_dial(&mut self, done: Completion) {
        let Some(wire) = self.wires.of_token(done.token) else {
            return;
        };
        let id = wire.id;
        wire.dial = None;
        if wire.phase == Phase::Closing {
            return self.finish_close(id);
        }
        if done.result == 0 {
            wire.phase = Phase::Open;
            self.seat(id);
            self.lists.unsettled.push(id);
            self.world.handle_dialed(self.now, id, Ok(()));
            return;
        }
        wire.phase = Phase::Undialed;
        drop(wire.take_socket());
        self.world.handle_dialed(self.now, id, Err(socket::dial_fault(-done.result)));
    }

    /// Tells the world what was decided since it was last asked for actions: dials that could not even begin, wires
    /// that have closed.
    pub(super) fn tell_the_outcome(&mut self) {
        for (id, fault) in std::mem::take(&mut self.lists.undialed) {
            if self.wires.get(id).is_some_and(|wire| wire.phase == Phase::Undialed) {
                self.world.handle_dialed(self.now, id, Err(fault));
            }
        }
        for id in std::mem::take(&mut self.lists.closed) {
            self.world.handle_closed(self.now, id);
        }
    }
}
