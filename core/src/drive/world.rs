//! What the driver asks of a core's world: the engine's contract as a trait, so that tests drive an echo through the same code.
//!
//! Order: accept or dial + dialed → any number of chunk and sent → (end) → `Action::Close` → closed.
//! `handle_end` may come twice for a wire: `Closed` when the peer said its last word, later `Failed` when what is still
//! to be sent can't be; never twice the same, and nothing but `Failed` after `Closed`. The driver learns of a close when it
//! polls: until then, within the same turn, a wire that the world has given up may still get chunks, an end, an outcome.

use crate::block::{Blocks, Chunk};
use crate::engine::Engine;
use crate::mail::Mail;
use crate::time::Instant;

pub use crate::engine::{Action, DialFault, End};
pub use crate::session::{ListenerId, Peer};
pub use crate::wire::WireId;

pub trait World {
    fn blocks(&mut self) -> &mut Blocks;
    fn handle_accept(&mut self, now: Instant, peer: Peer, listener: ListenerId) -> WireId;
    fn handle_dialed(&mut self, now: Instant, wire: WireId, outcome: Result<(), DialFault>);
    fn handle_chunk(&mut self, now: Instant, wire: WireId, chunk: Chunk);
    fn handle_sent(&mut self, now: Instant, wire: WireId, n: usize);
    fn handle_end(&mut self, now: Instant, wire: WireId, end: End);
    fn handle_closed(&mut self, now: Instant, wire: WireId);
    fn handle_mail(&mut self, now: Instant, mail: Mail);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_action(&mut self) -> Option<Action>;
    fn poll_timeout(&self) -> Option<Instant>;
    /// The bytes stay where they are until `handle_sent` or `handle_closed`.
    fn outbox(&self, wire: WireId) -> impl Iterator<Item = &[u8]>;
    fn outbox_len(&self, wire: WireId) -> usize;
    /// Commands that are with backends now, or somewhat more.
    fn outstanding(&self) -> usize;
}

impl World for Engine {
    fn blocks(&mut self) -> &mut Blocks {
        self.blocks()
    }

    fn handle_accept(&mut self, now: Instant, peer: Peer, listener: ListenerId) -> WireId {
        self.handle_accept(now, peer, listener)
    }

    fn handle_dialed(&mut self, now: Instant, wire: WireId, outcome: Result<(), DialFault>) {
        self.handle_dialed(now, wire, outcome);
    }

    fn handle_chunk(&mut self, now: Instant, wire: WireId, chunk: Chunk) {
        self.handle_chunk(now, wire, chunk);
    }

    fn handle_sent(&mut self, now: Instant, wire: WireId, n: usize) {
        self.handle_sent(now, wire, n);
    }

    fn handle_end(&mut self, now: Instant, wire: WireId, end: End) {
        self.handle_end(now, wire, end);
    }

    fn handle_closed(&mut self, now: Instant, wire: WireId) {
        self.handle_closed(now, wire);
    }

    fn handle_mail(&mut self, now: Instant, mail: Mail) {
        self.handle_mail(now, mail);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn outbox(&self, wire: WireId) -> impl Iterator<Item = &[u8]> {
        self.outbox(wire)
    }

    fn outbox_len(&self, wire: WireId) -> usize {
        self.outbox_len(wire)
    }

    fn outstanding(&self) -> usize {
        self.outstanding()
    }
}
