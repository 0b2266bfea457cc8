//! Admitting: an accepted client goes to the core that has the fewest, and becomes a wire there.

use super::Driver;
use crate::drive::accept::{Arrival, Knock};
use crate::drive::handle::Handle;
use crate::drive::ring::Completion;
use crate::drive::socket;
use crate::drive::wires::Phase;
use crate::drive::world::{WireId, World};
use crate::mail::{ControlMail, Level};
use std::io;
use std::os::fd::AsFd;

impl<W: World> Driver<W> {
    pub(super) fn handle_accept(&mut self, done: Completion) {
        match self.door.handle_accept(self.now, done) {
            Knock::Client(client) => self.place(client),
            Knock::Refused { errno, is_news: true } => {
                let error = io::Error::from_raw_os_error(errno);
                let detail = format!("{error}; clients wait outside meanwhile (is the limit of open files too low?)");
                let mail = ControlMail::Log { level: Level::Warn, event: "accept_failed", detail };
                self.exchange.tell(self.core, mail);
            }
            Knock::Refused { .. } | Knock::Nobody => (),
        }
    }

    /// Finds a core for a client.
    pub(super) fn place(&mut self, client: Arrival) {
        match self.exchange.spread.choose(self.core) {
            core if core == self.core => self.admit(client),
            core => self.exchange.hand_over(core, client),
        }
    }

    /// Takes in a client that is counted here already.
    pub(super) fn admit(&mut self, client: Arrival) {
        let Arrival { socket, listener } = client;
        match socket::peer(socket.as_fd()) {
            Ok(peer) => {
                let id = self.world.handle_accept(self.now, peer, listener);
                self.wires.put(id, Phase::Open, Some(Handle::File(socket)), true);
                self.seat(id);
                self.lists.unsettled.push(id);
            }
            // It has gone already.
            Err(_) => self.exchange.spread.leave(self.core),
        }
    }

    /// Moves an open wire's socket into the ring's table, when it has a slot for it.
    pub(super) fn seat(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if let Some(Handle::File(file)) = wire.take_socket() {
            wire.replace_socket(self.ring.seat(file, id.index));
        }
    }
}
