//! The way of bytes through a wire's layers: TLS, then compression, then whoever owns the wire; and back.
//!
//! ```text
//!   handle_chunk ─► TLS ─► frames wait in the wire ─► unpack: one frame at a time ─► session or link
//!                                  ▲                        │
//!                                  └── until it is resumed ─┘ when its reader has enough (it is paused)
//! ```
//! Invariant: no frame of a paused wire is opened, so that small frames of much plain fill no more memory than one of them has.
//! Wires without layers never come here.

use super::Engine;
use crate::block::Chunk;
use crate::session::Session;
use crate::session::refuse::Refusal;
use crate::slots::Key;
use crate::wire::{Owner, Wire};
use weir_net::compress::{Agreed, Compressed, Fault};

impl Engine {
    pub(super) fn chunk_through_layers(&mut self, key: Key<Wire>, chunk: Chunk) {
        let mut plain = Vec::new();
        let opened = self.wires[key].open(&mut self.blocks, chunk, &mut plain);
        self.touch(key);
        for chunk in plain {
            match self.owner(key.into()) {
                Some(owner) => self.decrypted_chunk(key, owner, chunk),
                None => self.blocks.release(chunk),
            }
        }
        // A peer may say that nothing more comes and wait for our word before it closes the socket.
        let said_end = self.wires.get(key).is_some_and(Wire::has_peer_said_end);
        match self.owner(key.into()) {
            Some(Owner::Client(session)) if opened.is_err() => self.client_broke_protocol(session, "TLS"),
            Some(Owner::Backend(link)) if opened.is_err() => self.link_lost(link, "TLS failed"),
            Some(Owner::Client(session)) if said_end => self.client_gone(session),
            Some(Owner::Backend(link)) if said_end => self.link_lost(link, "the backend closed the connection"),
            _ => {}
        }
    }

    fn decrypted_chunk(&mut self, key: Key<Wire>, owner: Owner, chunk: Chunk) {
        let Some(compressed) = self.wires[key].compressed() else { return self.plain_chunk(owner, chunk) };
        compressed.feed(self.blocks.bytes(&chunk));
        self.blocks.release(chunk);
        self.seal_before_next(key);
        self.unpack(key);
    }

    /// Opens frames as long as their reader takes more.
    pub(super) fn unpack(&mut self, key: Key<Wire>) {
        while let Some(wire) = self.wires.get_mut(key).filter(|wire| !wire.closing && !wire.paused) {
            let owner = wire.owner;
            let Some(compressed) = wire.compressed() else { return };
            let mut plain = Vec::new();
            match compressed.next_plain(&mut self.codecs, &mut plain) {
                Ok(true) if plain.is_empty() => {}
                Ok(true) => {
                    let is_small = plain.len() <= self.blocks.block_bytes();
                    let chunk = if is_small { self.blocks.write(&plain) } else { self.blocks.adopt(plain) };
                    self.plain_chunk(owner, chunk);
                }
                Ok(false) => return,
                Err(fault) => return self.frame_broken(owner, fault),
            }
        }
    }

    /// As the server does: it says so, and that is the end.
    fn frame_broken(&mut self, owner: Owner, fault: Fault) {
        match owner {
            Owner::Client(session) => {
                self.counters.client_errors += 1;
                let why = match fault {
                    Fault::OutOfOrder => Refusal::OutOfOrder,
                    Fault::Broken => Refusal::Uncompress,
                };
                self.part_with(session, 1, &why);
            }
            Owner::Backend(link) => {
                self.counters.backend_errors += 1;
                self.link_lost(link, "a compressed frame of the backend is broken");
            }
            Owner::Nobody => {}
        }
    }

    /// The next command may be about to begin: what was said so far answers others, whose frames it counts by.
    pub(crate) fn seal_before_next(&mut self, key: Key<Wire>) {
        if self.wires[key].compressed().is_some() {
            self.seal(key);
        }
    }

    /// Whether the wire has layers is for the caller to ask, since most have none.
    pub(super) fn seal(&mut self, key: Key<Wire>) {
        let unread = match self.wires[key].owner {
            Owner::Client(session) => self.sessions.get(session).map_or(0, |s| s.inbound.len()),
            Owner::Backend(_) | Owner::Nobody => 0,
        };
        self.wires[key].seal(&mut self.blocks, &mut self.codecs, unread);
    }

    /// The login's OK has been said: what comes and goes from here on is compressed, also what has come already.
    pub(crate) fn compress_client(&mut self, session: Key<Session>, agreed: Agreed) {
        let s = &mut self.sessions[session];
        let key = s.wire;
        let mut early = Vec::new();
        s.inbound.copy_to(&self.blocks, 0, s.inbound.len(), &mut early);
        s.inbound.clear(&mut self.blocks);
        let wire = &mut self.wires[key];
        wire.compress(&mut self.blocks, &mut self.codecs, Compressed::new(agreed));
        if let Some(compressed) = wire.compressed().filter(|_| !early.is_empty()) {
            compressed.feed(&early);
            self.unpacking.push(key);
        }
        self.touch(key);
    }
}
