//! One TCP stream or Unix socket as the engine knows it: who owns it, what waits to be sent, and the layers between, if any.
//!
//! ```text
//!   out:     plain bytes, what the owner said       (with layers: until the flush at the end of the turn)
//!               │ compression: frames, from a login's OK on
//!               │ TLS: records
//!   records: what the driver may take               (without layers: `out` itself)
//! ```
//! Invariant: a wire without TLS and compression has no layers, costs nothing for them, and what it sends is never copied. While `closing`, nothing is added to `out`, and the wire lives until the driver says that it is closed.

use crate::block::{Blocks, Chunk};
use crate::link::Link;
use crate::queue::Queue;
use crate::session::Session;
use crate::slots::Key;
use weir_net::compress::{Codecs, Compressed};
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

/// What lies between the owner's bytes and the socket's.
#[derive(Default)]
pub struct Layers {
    pub tls: Option<Tls>,
    pub compressed: Option<Compressed>,
}

pub struct Wire {
    pub owner: Owner,
    pub out: Queue,
    /// `records` is then what is sent.
    pub layers: Option<Box<Layers>>,
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
            layers: None,
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
        if self.layers.is_some() { &self.records } else { &self.out }
    }

    pub fn outbox_mut(&mut self) -> &mut Queue {
        if self.layers.is_some() { &mut self.records } else { &mut self.out }
    }

    pub fn queued_bytes(&self) -> usize {
        self.out.len() + self.records.len()
    }

    pub fn is_encrypted(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.tls.is_some())
    }

    /// Within TLS: the peer's certificate, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.layers.as_ref()?.tls.as_ref()?.peer_certificate()
    }

    /// Within TLS: nothing more comes from there.
    pub fn has_peer_said_end(&self) -> bool {
        self.layers.as_ref().and_then(|layers| layers.tls.as_ref()).is_some_and(Tls::is_peer_closed)
    }

    pub fn compressed(&mut self) -> Option<&mut Compressed> {
        self.layers.as_mut()?.compressed.as_mut()
    }

    /// From here on TLS; what was said before goes out as it is.
    pub fn encrypt(&mut self, tls: Tls) {
        if self.layers.is_none() {
            // The driver may be sending from it: its bytes stay where they are.
            std::mem::swap(&mut self.out, &mut self.records);
        }
        self.layers.get_or_insert_default().tls = Some(tls);
    }

    /// From here on frames: what was said before goes out as it is.
    pub fn compress(&mut self, blocks: &mut Blocks, codecs: &mut Codecs, compressed: Compressed) {
        if self.layers.is_some() {
            self.seal(blocks, codecs, 0);
        } else {
            // The driver may be sending from it: its bytes stay where they are.
            std::mem::swap(&mut self.out, &mut self.records);
        }
        self.layers.get_or_insert_default().compressed = Some(compressed);
    }

    /// What is said next is a command to a server: its frames count from 0.
    pub fn begin_command(&mut self) {
        let at = self.out.len();
        if let Some(compressed) = self.compressed() {
            compressed.begin_command(at);
        }
    }

    /// Turns plain bytes into frames and records, once per flush. `unread` bytes that came are still before the owner's reader.
    pub fn seal(&mut self, blocks: &mut Blocks, codecs: &mut Codecs, unread: usize) {
        let Some(layers) = self.layers.as_deref_mut() else { return };
        if layers.tls.as_ref().is_some_and(Tls::is_handshaking) {
            // A last word that TLS will never carry: the wire would wait for it for ever.
            if self.close_when_sent {
                self.out.clear(blocks);
            }
        } else if !self.out.is_empty() {
            match (&mut layers.compressed, &mut layers.tls) {
                (Some(compressed), tls) => {
                    let (mut plain, mut frames) = (Vec::with_capacity(self.out.len()), Vec::new());
                    self.out.copy_to(blocks, 0, self.out.len(), &mut plain);
                    compressed.handle_read(unread);
                    compressed.seal(codecs, &plain, &mut frames);
                    match tls {
                        Some(tls) => tls.write_plain(&frames),
                        None => push_all(blocks, &mut self.records, frames),
                    }
                }
                (None, Some(tls)) => self.out.slices(blocks).for_each(|slice| tls.write_plain(slice)),
                (None, None) => unreachable!("layers are made for one of the two"),
            }
            self.out.clear(blocks);
        }
        if let Some(tls) = layers.tls.as_mut().filter(|tls| tls.has_cipher()) {
            let mut records = Vec::new();
            tls.take_cipher(&mut records);
            push_all(blocks, &mut self.records, records);
        }
    }

    /// Takes records in; decrypted bytes come out in chunks. Without TLS they are what came.
    pub fn open(&mut self, blocks: &mut Blocks, chunk: Chunk, plain: &mut Vec<Chunk>) -> Result<(), TlsError> {
        let Some(tls) = self.layers.as_mut().and_then(|layers| layers.tls.as_mut()) else {
            plain.push(chunk);
            return Ok(());
        };
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

/// Behind what waits already; the bytes are not copied.
fn push_all(blocks: &mut Blocks, queue: &mut Queue, bytes: Vec<u8>) {
    let chunk = blocks.adopt(bytes);
    queue.push(blocks, chunk);
}
