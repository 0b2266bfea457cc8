//! `Wire`: one non-blocking TCP stream with what has come and what is to go, and packets in the former.
//!
//! ```text
//! input:   | eaten | packets, the last one perhaps not whole |
//!          0     taken                                      len
//! output:  | gone  | to go |
//!          0      sent    len
//! ```
//! Invariant: `taken <= input.len()`, `sent <= output.len()`; both fall to 0 when everything is done.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use weir_net::packet::{HEADER_BYTES, Header};

use crate::limits::{PACKET_BYTES_MAX, READ_BYTES};

#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
    pub input: Vec<u8>,
    taken: usize,
    pub output: Vec<u8>,
    sent: usize,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Bytes,
    Nothing,
    End,
}

/// A logical packet: the number of its last part, and its payload as a part of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub seq: u8,
    pub payload: Range<usize>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new(), taken: 0, output: Vec::new(), sent: 0 })
    }

    /// Reads once. `room` is a buffer that all wires of a loop share, so that an idle wire holds none.
    pub fn receive(&mut self, room: &mut [u8; READ_BYTES]) -> io::Result<Received> {
        match self.stream.read(room) {
            Ok(0) => Ok(Received::End),
            Ok(len) => {
                let bytes = room.get(..len).unwrap_or_default();
                self.input.extend_from_slice(bytes);
                Ok(Received::Bytes)
            }
            Err(error) if is_later(&error) => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Everything that has come and is not taken.
    pub fn untaken(&mut self) -> &mut [u8] {
        self.input.get_mut(self.taken..).unwrap_or_default()
    }

    /// Takes so many bytes of it.
    pub fn take(&mut self, len: usize) {
        self.taken = (self.taken + len).min(self.input.len());
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
    }

    /// Takes the next packet if it is whole. The parts of one above 16 MiB - 1 are joined. Its bytes stay where they
    /// are until [`Wire::tidy`].
    pub fn next_packet(&mut self) -> io::Result<Option<Packet>> {
        let start = self.taken;
        let mut seams = Vec::new();
        let mut at = start;
        let seq = loop {
            let Some(header) = self.input.get(at..).and_then(Header::at_front) else {
                return Ok(None);
            };
            at += HEADER_BYTES + header.payload_len as usize;
            if at - start > PACKET_BYTES_MAX {
                let what = "a packet above 64 MiB";
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            if self.input.len() < at {
                return Ok(None);
            }
            if !header.is_continued() {
                break header.seq;
            }
            seams.push(at);
        };
        // From the last seam on, so that the places of those before it stay.
        for seam in seams.into_iter().rev() {
            self.input.drain(seam..seam + HEADER_BYTES);
            at -= HEADER_BYTES;
        }
        self.taken = at;
        Ok(Some(Packet { seq, payload: start + HEADER_BYTES..at }))
    }

    /// Lets go of what was taken, and of a buffer that was large once.
    pub fn tidy(&mut self) {
        self.input.drain(..self.taken);
        self.taken = 0;
        if self.input.is_empty() && self.input.capacity() > READ_BYTES {
            self.input = Vec::new();
        }
    }

    /// Writes as much as the peer takes. True when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(left) = self.output.get(self.sent..).filter(|left| !left.is_empty()) {
            match self.stream.write(left) {
                Ok(len) => self.sent += len,
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        if self.output.capacity() > READ_BYTES {
            self.output = Vec::new();
        }
        Ok(true)
    }
}

/// True when a call has to be made again later, which is no error.
pub fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use weir_net::packet::{PAYLOAD_MAX, put};

    fn wire() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Wire::new(listener.accept().unwrap().0).unwrap(), there)
    }

    #[test]
    fn packets_come_whole_and_joined() {
        let (mut wire, _there) = wire();
        let mut bytes = Vec::new();
        put(&mut bytes, 0, b"first");
        let large = vec![7; 2 * PAYLOAD_MAX + 3];
        put(&mut bytes, 5, &large);
        put(&mut bytes, 0, b"");
        // Split in the large one's last part: it waits, and is not touched until it is whole.
        let (head, tail) = bytes.split_at(bytes.len() - 6);
        wire.input.extend_from_slice(head);
        let first = wire.next_packet().unwrap().unwrap();
        assert_eq!((first.seq, &wire.input[first.payload]), (0, &b"first"[..]));
        assert_eq!(wire.next_packet().unwrap(), None);
        wire.input.extend_from_slice(tail);
        let joined = wire.next_packet().unwrap().unwrap();
        assert_eq!(joined.seq, 7);
        assert!(wire.input[joined.payload] == large);
        let empty = wire.next_packet().unwrap().unwrap();
        assert!(empty.payload.is_empty());
        assert_eq!(wire.next_packet().unwrap(), None);
        wire.tidy();
        assert!(wire.input.is_empty() && wire.input.capacity() == 0);
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_seen() {
        let (mut wire, mut there) = wire();
        let mut room = [0; READ_BYTES];
        assert_eq!(wire.receive(&mut room).unwrap(), Received::Nothing);
        wire.output.extend_from_slice(b"hello");
        assert!(wire.flush().unwrap());
        let mut got = [0; 5];
        there.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        there.write_all(b"abc").unwrap();
        while wire.receive(&mut room).unwrap() == Received::Nothing {}
        assert_eq!(wire.untaken(), b"abc");
        wire.take(3);
        assert!(wire.untaken().is_empty());
        drop(there);
        while wire.receive(&mut room).unwrap() != Received::End {}
    }
}
