//! What the kernel does for each wire right now: its socket, the receive, the send, the dial that are in flight.
//!
//! ```text
//!   Vacant ──► Open ──────────► Closing ──► Vacant        receiving:  Idle ─► Armed ─► Cancelling ─► Idle
//!      └─────► Dialing ─► Open      ▲                                  ▲        │ ENOBUFS ─► Starved ─┘
//!                 └─► Undialed ─────┘                                  └────────┘ end or error ─► Over
//! ```
//! Invariant: a slot is vacated only when nothing of its wire is in flight, so what an operation points to (the address,
//! the vector, the world's bytes) outlives it. At most one receive and one send are in flight per wire.

use crate::drive::handle::Handle;
use crate::drive::socket::KernelAddress;
use crate::drive::token::Token;
use crate::drive::world::WireId;
use std::mem::zeroed;

#[derive(Default)]
pub struct Wires {
    slots: Vec<Wire>,
}

pub struct Wire {
    pub id: WireId,
    pub phase: Phase,
    pub receiving: Receiving,
    /// The world wants no more bytes for now.
    pub is_paused: bool,
    pub sending: Sending,
    /// The world was told that it is broken, which is the last word about it.
    pub has_failed: bool,
    /// Some while a dial is in flight; the kernel reads the address.
    pub dial: Option<Box<KernelAddress>>,
    /// Counted in the spread of clients.
    pub is_client: bool,
    /// The window in which bytes arrived last, for counting active wires.
    pub window: u32,
    socket: Option<Handle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Vacant,
    Dialing,
    /// The dial failed; the world was told and will close.
    Undialed,
    Open,
    /// The world has closed it; the last completion is awaited.
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    Idle,
    Armed,
    /// In the kernel, with a cancel behind it.
    Cancelling,
    /// Wanted bytes when no buffer was there; in the line of the starved.
    Starved,
    /// The peer's last word was heard, or the wire is broken.
    Over,
}

pub enum Sending {
    Idle,
    /// In the kernel; the vector when there is more than one piece.
    Busy(Option<Vector>),
}

impl Wires {
    /// Takes a new wire in. Its index is the world's: dense, and reused only after it was closed.
    pub fn put(&mut self, id: WireId, phase: Phase, socket: Option<Handle>, is_client: bool) -> &mut Wire {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Wire::vacant);
        }
        let slot = &mut self.slots[index];
        assert!(matches!(slot.phase, Phase::Vacant | Phase::Undialed), "an index is reused after its wire has closed");
        *slot = Wire { id, phase, is_client, socket, ..Wire::vacant() };
        slot
    }

    pub fn get(&mut self, id: WireId) -> Option<&mut Wire> {
        self.slots.get_mut(id.index as usize).filter(|w| w.id == id && w.phase != Phase::Vacant)
    }

    /// The wire that an operation was started for.
    pub fn of_token(&mut self, token: Token) -> Option<&mut Wire> {
        self.slots.get_mut(token.index()).filter(|w| w.phase != Phase::Vacant && token.fits(w.id.generation))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Wire> {
        self.slots.iter_mut().filter(|w| w.phase != Phase::Vacant)
    }
}

impl Wire {
    fn vacant() -> Wire {
        Wire {
            id: WireId { index: 0, generation: 0 },
            phase: Phase::Vacant,
            receiving: Receiving::Idle,
            is_paused: false,
            sending: Sending::Idle,
            has_failed: false,
            dial: None,
            is_client: false,
            window: 0,
            socket: None,
        }
    }

    /// The socket of a wire that has one: dialing, open, or closing from there.
    pub fn socket(&self) -> &Handle {
        self.socket.as_ref().expect("a wire that is dialing or open has a socket")
    }

    pub fn socket_is_seated(&self) -> bool {
        matches!(self.socket, Some(Handle::Slot(_)))
    }

    pub fn take_socket(&mut self) -> Option<Handle> {
        self.socket.take()
    }

    pub fn replace_socket(&mut self, socket: Handle) {
        self.socket = Some(socket);
    }

    /// Nothing of it is in the kernel.
    pub fn is_quiet(&self) -> bool {
        !matches!(self.receiving, Receiving::Armed | Receiving::Cancelling)
            && !matches!(self.sending, Sending::Busy(_))
            && self.dial.is_none()
    }

    pub fn vacate(&mut self) {
        assert!(self.is_quiet() && self.socket.is_none());
        self.phase = Phase::Vacant;
    }
}

/// The pieces of one send, in the kernel's form. Boxed, so that they stay where they are while the kernel reads them.
pub struct Vector(Box<Pieces>);

struct Pieces {
    header: libc::msghdr,
    pieces: [libc::iovec; PIECES_MAX],
}

impl Default for Vector {
    fn default() -> Vector {
        // SAFETY: null pointers and zero lengths are valid in both.
        Vector(Box::new(unsafe { zeroed() }))
    }
}

impl Vector {
    /// Points at the pieces; the header is good for one send.
    pub fn fill(&mut self, pieces: &[libc::iovec]) -> *const libc::msghdr {
        assert!(pieces.len() <= PIECES_MAX);
        let own = &mut *self.0;
        own.pieces[..pieces.len()].copy_from_slice(pieces);
        own.header.msg_iov = own.pieces.as_mut_ptr();
        own.header.msg_iovlen = pieces.len() as _;
        &raw const own.header
    }
}

/// Pieces per send: 16 blocks of 16 KiB fill a socket's buffer.
pub const PIECES_MAX: usize = 16;
