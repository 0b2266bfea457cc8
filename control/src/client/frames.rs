//! Bytes into packets: whole payloads, continuations joined, sequence numbers checked.

use super::error::ClientError;
use weir_net::packet::{HEADER_BYTES, Header};

/// A payload and the sequence number of its first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub seq: u8,
    pub payload: Vec<u8>,
}

/// What has come and is not a whole packet yet.
#[derive(Debug, Default)]
pub struct Inbound {
    bytes: Vec<u8>,
    /// The first so many bytes have been taken.
    taken: usize,
    /// The number that the next packet must carry.
    seq: u8,
}

impl Inbound {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next payload, if all of it has come.
    pub fn take(&mut self) -> Result<Option<Packet>, ClientError> {
        let mut at = self.taken;
        let mut packet = Packet { seq: self.seq, payload: Vec::new() };
        let mut seq = self.seq;
        loop {
            let left = &self.bytes[at..];
            let Some(header) = Header::at_front(left) else { return Ok(None) };
            if header.seq != seq {
                return Err(ClientError::Sequence { expected: seq, found: header.seq });
            }
            let end = HEADER_BYTES + header.payload_len as usize;
            let Some(whole) = left.get(HEADER_BYTES..end) else { return Ok(None) };
            packet.payload.extend_from_slice(whole);
            seq = seq.wrapping_add(1);
            at += end;
            if !header.is_continued() {
                (self.taken, self.seq) = (at, seq);
                return Ok(Some(packet));
            }
        }
    }

    /// What has come behind the last packet that was taken, which is of another protocol (TLS).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.taken);
        (self.bytes, self.taken) = (Vec::new(), 0);
        rest
    }

    /// The next packet of either side carries this number.
    pub fn seq(&self) -> u8 {
        self.seq
    }

    pub fn expect_seq(&mut self, seq: u8) {
        self.seq = seq;
    }

    /// True when nothing has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_net::packet;

    #[test]
    fn packets_come_whole_however_they_are_split() {
        let large = vec![7u8; packet::PAYLOAD_MAX + 3];
        let mut bytes = Vec::new();
        let mut seq = 254;
        for payload in [&b"one"[..], &large, b""] {
            seq = packet::put(&mut bytes, seq, payload);
        }
        for piece in [bytes.len(), 1 << 20, 65_537] {
            let mut inbound = Inbound::default();
            inbound.expect_seq(254);
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                inbound.feed(part);
                while let Some(packet) = inbound.take().unwrap() {
                    found.push((packet.seq, packet.payload.len()));
                }
            }
            assert_eq!(found, [(254, 3), (255, large.len()), (1, 0)]);
            assert_eq!((inbound.seq(), inbound.is_empty()), (2, true));
        }
    }

    #[test]
    fn a_wrong_sequence_number_is_an_error() {
        let mut inbound = Inbound::default();
        inbound.feed(&[0, 0, 0, 1]);
        assert!(matches!(inbound.take(), Err(ClientError::Sequence { expected: 0, found: 1 })));
    }
}
