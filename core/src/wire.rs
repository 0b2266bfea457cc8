//! One TCP stream or Unix socket as the engine knows it: who owns it, what waits to be sent, TLS when it is on.
//!
//! ```text
//!   out:  plain bytes, what the owner said          (with TLS: until the flush at the end of the turn)
//!   sent: what the driver may take                  (with TLS: records)
//! ```
//! Invariant: while `closing`, nothing is added to `out`, and the wire lives until the driver says that it is closed.

use crate::block::{Blocks, Chunk};
use crate::link::Link;
use crate::queue::Queue;
use crate::session::Session;
use crate::slots::Key;
use weir_net::tls::{Tls, TlsError};
use weir_pool::SlotId;

/// The driver's name for a wire. Indices are dense and reused with the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireId {
    pub index: u32,
    pub generation: u32,
}

impl From<Key<Wire>> for WireId {
    fn from(key: Key<Wire>) -> WireId {
        WireId { index: key.index, generation: key.generation }
    }
}

impl From<WireId> for Key<Wire> {
    fn from(id: WireId) -> Key<Wire> {
        Key::new(id.index, id.generation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client(Key<Session>),
    Backend(Key<Link>),
    /// The owner is gone; what is left is to be closed.
    Nobody,
}

pub struct Wire {
    pub owner: Owner,
    pub out: Queue,
    /// TLS state; `records` is then what is sent.
    pub tls: Option<Box<Tls>>,
    pub records: Queue,
    /// A `Send` action for this wire stands in the queue of actions.
    pub woken: bool,
    pub paused: bool,
    /// Close as soon as everything queued has left.
    pub close_when_sent: bool,
    pub closing: bool,
    /// The peer has said its last word.
    pub ended: bool,
    /// The driver has it: it was accepted, or its dial went out.
    pub known: bool,
    /// The pool's slot of a backend connection: free again when the wire is closed, so that the budget holds.
    pub slot: Option<SlotId>,
}

impl Wire {
    pub fn new(owner: Owner) -> Wire {
        Wire {
            owner,
            out: Queue::default(),
            tls: None,
            records: Queue::default(),
            woken: false,
            paused: false,
            close_when_sent: false,
            closing: false,
            ended: false,
            known: true,
            slot: None,
        }
    }

    /// What the driver sends from.
    pub fn outbox(&self) -> &Queue {
        if self.tls.is_some() { &self.records } else { &self.out }
    }

    pub fn outbox_mut(&mut self) -> &mut Queue {
        if self.tls.is_some() { &mut self.records } else { &mut self.out }
    }

    pub fn queued_bytes(&self) -> usize {
        self.out.len() + self.records.len()
    }

    /// Turns plain bytes into records, once per flush.
    pub fn seal(&mut self, blocks: &mut Blocks) {
        let Some(tls) = self.tls.as_deref_mut() else { return };
        if tls.is_handshaking() {
            // A last word that TLS will never carry: the wire would wait for it for ever.
            if self.close_when_sent {
                self.out.clear(blocks);
            }
        } else if !self.out.is_empty() {
            for slice in self.out.slices(blocks) {
                tls.write_plain(slice);
            }
            self.out.clear(blocks);
        }
        if tls.has_cipher() {
            let mut records = Vec::new();
            tls.take_cipher(&mut records);
            let chunk = blocks.adopt(records);
            self.records.push(blocks, chunk);
        }
    }

    /// Takes records in; plain bytes come out in chunks.
    pub fn open(&mut self, blocks: &mut Blocks, chunk: Chunk, plain: &mut Vec<Chunk>) -> Result<(), TlsError> {
        let tls = self.tls.as_deref_mut().expect("only a wire with TLS has records");
        let fed = tls.feed(blocks.bytes(&chunk));
        blocks.release(chunk);
        fed?;
        let mut buffer = [0u8; 16 << 10];
        loop {
            let n = tls.read_plain(&mut buffer);
            if n == 0 {
                return Ok(());
            }
            for part in buffer[..n].chunks(blocks.block_bytes()) {
                plain.push(blocks.write(part));
            }
        }
    }

    pub fn release(&mut self, blocks: &mut Blocks) {
        self.out.clear(blocks);
        self.records.clear(blocks);
    }
}
