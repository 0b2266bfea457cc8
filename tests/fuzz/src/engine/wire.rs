//! One wire as the driver knows it, with the peer at its other end.

use weir_core::wire::WireId;

use super::client::Client;
use super::server::Server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Dialing,
    Open,
    /// Its dial has failed: the engine is to close it.
    Failed,
    /// Between `Close` and `handle_closed`.
    Closing,
}

pub enum Peer {
    Client(Client),
    Server(Server),
}

pub struct Wire {
    pub id: WireId,
    pub stage: Stage,
    pub peer: Peer,
    pub paused: bool,
    /// `handle_end` was called.
    pub ended: bool,
    /// The bytes of the send in flight, as they were when it began.
    pub sending: Option<Vec<u8>>,
}

impl Wire {
    pub fn new(id: WireId, stage: Stage, peer: Peer) -> Wire {
        Wire { id, stage, peer, paused: false, ended: false, sending: None }
    }

    /// The backend that it leads to.
    pub fn backend(&self) -> Option<usize> {
        match &self.peer {
            Peer::Server(server) => Some(server.backend),
            Peer::Client(_) => None,
        }
    }

    /// Whether bytes of its peer may come in.
    pub fn may_receive(&self) -> bool {
        self.stage == Stage::Open && !self.ended && !self.paused
    }
}

/// Takes the first whole packet off the front: its sequence number and payload.
pub fn take_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let header = weir_net::packet::Header::at_front(bytes)?;
    let end = weir_net::packet::HEADER_BYTES + header.payload_len as usize;
    let payload = bytes.get(weir_net::packet::HEADER_BYTES..end)?.to_vec();
    bytes.drain(..end);
    Some((header.seq, payload))
}
