//! The cables: every connection of the world, with latency, bandwidth, small buffers and bytes cut anywhere.
//!
//! ```text
//!   write ─► [ in flight: pieces with their arrival times ] ─► [ ready ] ─► read
//!            └────────────── never more than `capacity` bytes ─────────┘
//! ```
//! Invariant: bytes of one direction arrive in order; an end (FIN) arrives behind all bytes; a reset throws away what
//! was not read yet. Whoever writes to an end that is closed is reset.

use std::collections::VecDeque;

use crate::sim::agenda::{Agenda, Event};
use crate::sim::random::Random;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sock(pub u32);

/// Who holds an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client(usize),
    Server { server: usize, conn: u32 },
    Core { core: usize, index: u32, generation: u32 },
    Nobody,
}

/// The quality of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    pub latency_ns: u64,
    pub jitter_ns: u64,
    pub ns_per_byte: u64,
    /// Bytes under way and unread, per direction.
    pub capacity: usize,
    pub cut: Cut,
}

/// Where a write is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Nowhere,
    /// Pieces of up to this many bytes.
    Pieces(u64),
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Reset,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

#[derive(Debug)]
struct Side {
    owner: Owner,
    closed: bool,
    /// What it says does not arrive any more, not even its end.
    lost: bool,
    flight: VecDeque<(u64, Piece)>,
    ready: VecDeque<u8>,
    held_bytes: usize,
    last_at: u64,
    end: bool,
    reset: bool,
    writer_waits: bool,
    quality: Quality,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Cables {
    sides: Vec<Side>,
}

impl Cables {
    /// A new connection: its two ends.
    pub fn connect(&mut self, one: Owner, other: Owner, quality: Quality) -> (Sock, Sock) {
        let at = self.sides.len() as u32;
        for owner in [one, other] {
            self.sides.push(Side {
                owner,
                closed: false,
                lost: false,
                flight: VecDeque::new(),
                ready: VecDeque::new(),
                held_bytes: 0,
                last_at: 0,
                end: false,
                reset: false,
                writer_waits: false,
                quality,
            });
        }
        (Sock(at), Sock(at + 1))
    }

    pub fn owner(&self, sock: Sock) -> Owner {
        let side = &self.sides[sock.0 as usize];
        if side.closed { Owner::Nobody } else { side.owner }
    }

    /// Bytes that a read would give now.
    pub fn readable(&self, sock: Sock) -> bool {
        let side = &self.sides[sock.0 as usize];
        !side.ready.is_empty() || side.end || side.reset
    }

    /// Takes as many bytes as there is room for. None: the connection is reset.
    pub fn write(
        &mut self,
        now: u64,
        agenda: &mut Agenda,
        random: &mut Random,
        sock: Sock,
        bytes: &[u8],
    ) -> Option<usize> {
        if self.sides[sock.0 as usize].reset {
            return None;
        }
        if self.sides[sock.0 as usize].lost {
            return Some(bytes.len());
        }
        let peer = peer_of(sock);
        let to = &mut self.sides[peer.0 as usize];
        if to.closed {
            let at = now + to.quality.latency_ns;
            self.deliver(now, agenda, sock, at, Piece::Reset);
            return Some(bytes.len());
        }
        let room = to.quality.capacity.saturating_sub(to.held_bytes);
        let taken = room.min(bytes.len());
        to.writer_waits = taken < bytes.len();
        let quality = to.quality;
        let mut left = &bytes[..taken];
        while !left.is_empty() {
            let len = match quality.cut {
                Cut::Nowhere => left.len(),
                Cut::Pieces(max) => (random.between(1, max) as usize).min(left.len()),
            };
            let (piece, rest) = left.split_at(len);
            left = rest;
            let jitter = if quality.jitter_ns > 0 { random.below(quality.jitter_ns) } else { 0 };
            let at = now + quality.latency_ns + jitter + quality.ns_per_byte * len as u64;
            self.deliver(now, agenda, peer, at, Piece::Bytes(piece.to_vec()));
        }
        Some(taken)
    }

    fn deliver(&mut self, now: u64, agenda: &mut Agenda, sock: Sock, at: u64, piece: Piece) {
        let side = &mut self.sides[sock.0 as usize];
        if side.closed {
            return;
        }
        let at = at.max(side.last_at);
        side.last_at = at;
        if let Piece::Bytes(bytes) = &piece {
            side.held_bytes += bytes.len();
        }
        // Who looks at that moment finds all that has arrived by then: once is enough.
        let is_known = at > now && side.flight.back().is_some_and(|(last, _)| *last == at);
        side.flight.push_back((at, piece));
        if !is_known {
            agenda.put(at, Event::Arrive(sock));
        }
    }

    /// Moves what has arrived by now to where it can be read.
    pub fn settle(&mut self, now: u64, sock: Sock) {
        let side = &mut self.sides[sock.0 as usize];
        while side.flight.front().is_some_and(|(at, _)| *at <= now) {
            match side.flight.pop_front().map(|(_, piece)| piece) {
                Some(Piece::Bytes(bytes)) => side.ready.extend(bytes),
                Some(Piece::End) => side.end = true,
                Some(Piece::Reset) => {
                    side.reset = true;
                    side.ready.clear();
                    side.flight.clear();
                }
                None => break,
            }
        }
    }

    pub fn read(&mut self, now: u64, agenda: &mut Agenda, sock: Sock, max: usize) -> Got {
        self.settle(now, sock);
        let side = &mut self.sides[sock.0 as usize];
        if side.reset {
            return Got::Reset;
        }
        let len = side.ready.len().min(max);
        if len == 0 {
            return if side.end { Got::End } else { Got::Nothing };
        }
        let bytes: Vec<u8> = side.ready.drain(..len).collect();
        side.held_bytes -= len;
        if std::mem::take(&mut side.writer_waits) {
            agenda.put(now + side.quality.latency_ns, Event::Room(peer_of(sock)));
        }
        Got::Bytes(bytes)
    }

    /// An orderly close: the peer reads everything that was written and then the end.
    pub fn close(&mut self, now: u64, agenda: &mut Agenda, sock: Sock) {
        self.part(now, agenda, sock, Piece::End);
    }

    /// The peer is reset.
    pub fn abort(&mut self, now: u64, agenda: &mut Agenda, sock: Sock) {
        self.part(now, agenda, sock, Piece::Reset);
    }

    /// Says that nothing more will be written; reading goes on.
    pub fn half_close(&mut self, now: u64, agenda: &mut Agenda, sock: Sock) {
        let latency = self.sides[sock.0 as usize].quality.latency_ns;
        self.deliver(now, agenda, peer_of(sock), now + latency, Piece::End);
    }

    /// The other end is reset, and this one hears nothing of it, until it writes.
    pub fn lose(&mut self, now: u64, agenda: &mut Agenda, sock: Sock) {
        let other = peer_of(sock);
        let latency = self.sides[other.0 as usize].quality.latency_ns;
        self.sides[other.0 as usize].lost = true;
        self.deliver(now, agenda, other, now + latency, Piece::Reset);
    }

    /// Nobody reads any more what is written here.
    pub fn is_lost(&self, sock: Sock) -> bool {
        let other = &self.sides[peer_of(sock).0 as usize];
        other.lost || other.closed
    }

    fn part(&mut self, now: u64, agenda: &mut Agenda, sock: Sock, last: Piece) {
        let side = &mut self.sides[sock.0 as usize];
        if std::mem::replace(&mut side.closed, true) {
            return;
        }
        side.flight.clear();
        side.ready.clear();
        let (latency, waited, was_reset) = (side.quality.latency_ns, side.writer_waits, side.reset || side.lost);
        let peer = peer_of(sock);
        if waited {
            agenda.put(now + latency, Event::Room(peer));
        }
        if !was_reset {
            // Ends of many at once do not all come at once.
            let late =
                u64::from(peer.0).wrapping_mul(2_654_435_761) % (self.sides[peer.0 as usize].quality.jitter_ns + 1);
            self.deliver(now, agenda, peer, now + latency + late, last);
        }
    }
}

fn peer_of(sock: Sock) -> Sock {
    Sock(sock.0 ^ 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUALITY: Quality = Quality { latency_ns: 10, jitter_ns: 5, ns_per_byte: 1, capacity: 8, cut: Cut::Pieces(3) };

    fn read_all(cables: &mut Cables, agenda: &mut Agenda, sock: Sock, now: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Got::Bytes(bytes) = cables.read(now, agenda, sock, 2) {
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn bytes_come_in_order_and_a_full_cable_takes_no_more() {
        let (mut cables, mut agenda, mut random) = (Cables::default(), Agenda::default(), Random::new(1));
        let (a, b) = cables.connect(Owner::Client(0), Owner::Client(1), QUALITY);
        assert_eq!(cables.write(0, &mut agenda, &mut random, a, b"0123456789"), Some(8));
        assert_eq!(cables.read(5, &mut agenda, b, 9), Got::Nothing);
        assert_eq!(read_all(&mut cables, &mut agenda, b, 100), b"01234567");
        let told = std::iter::from_fn(|| agenda.take()).any(|(_, event)| event == Event::Room(a));
        assert!(told, "the writer is told that there is room");
        cables.write(100, &mut agenda, &mut random, a, b"89");
        cables.close(100, &mut agenda, a);
        assert_eq!(cables.owner(a), Owner::Nobody);
        assert_eq!(read_all(&mut cables, &mut agenda, b, 200), b"89");
        assert_eq!(cables.read(200, &mut agenda, b, 1), Got::End);
        cables.write(200, &mut agenda, &mut random, b, b"too late");
        assert_eq!(cables.read(300, &mut agenda, b, 1), Got::Reset);
    }

    #[test]
    fn a_reset_loses_what_was_not_read() {
        let (mut cables, mut agenda, mut random) = (Cables::default(), Agenda::default(), Random::new(1));
        let (a, b) = cables.connect(Owner::Client(0), Owner::Client(1), QUALITY);
        cables.write(0, &mut agenda, &mut random, a, b"lost");
        cables.abort(0, &mut agenda, a);
        assert_eq!(cables.read(100, &mut agenda, b, 9), Got::Reset);
        assert_eq!(cables.write(100, &mut agenda, &mut random, b, b"x"), None);
    }
}
