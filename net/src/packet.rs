//! The packet: a header of four bytes and at most 16 MiB - 1 bytes of payload.
//!
//! ```text
//!  0      1      2      3      4 ..
//! +------+------+------+------+---------------
//! | payload_len, low first | seq | payload
//! +------+------+------+------+---------------
//! ```
//! Invariant: a payload of [`PAYLOAD_MAX`] bytes is always followed by another packet, be it empty.
//! Rule: MySQL "Protocol Basics: MySQL Packets".

pub const HEADER_BYTES: usize = 4;
pub const PAYLOAD_MAX: usize = 0xff_ffff;

/// The first four bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub payload_len: u32,
    pub seq: u8,
}

impl Header {
    pub fn decode([a, b, c, seq]: [u8; HEADER_BYTES]) -> Self {
        Self { payload_len: u32::from_le_bytes([a, b, c, 0]), seq }
    }

    /// The header at the front of `bytes`, or `None` when fewer than four have come.
    pub fn at_front(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|head| Self::decode(*head))
    }

    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, _] = self.payload_len.to_le_bytes();
        [a, b, c, self.seq]
    }

    /// True when the payload goes on in the next packet.
    pub fn is_continued(self) -> bool {
        self.payload_len as usize == PAYLOAD_MAX
    }
}

/// Appends `payload` as packets, split where the length field ends. Returns the next sequence number.
pub fn put(out: &mut Vec<u8>, seq: u8, payload: &[u8]) -> u8 {
    let mut seq = seq;
    let mut left = payload;
    loop {
        let (head, tail) = left.split_at(left.len().min(PAYLOAD_MAX));
        out.extend_from_slice(&Header { payload_len: head.len() as u32, seq }.encode());
        out.extend_from_slice(head);
        seq = seq.wrapping_add(1);
        if head.len() < PAYLOAD_MAX {
            return seq;
        }
        left = tail;
    }
}

/// Starts a packet whose payload is written in place; [`finish`] with the returned position patches its length.
pub fn begin(out: &mut Vec<u8>, seq: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&Header { payload_len: 0, seq }.encode());
    at
}

/// Ends the packet that [`begin`] started at `at`. The usual payload fits in one packet; a larger one is split, at
/// the cost of a copy. Returns the next sequence number.
pub fn finish(out: &mut Vec<u8>, at: usize) -> u8 {
    let Some(Header { seq, .. }) = out.get(at..).and_then(Header::at_front) else {
        debug_assert!(false, "finish() without begin()");
        return 0;
    };
    let payload_at = at.saturating_add(HEADER_BYTES);
    let len = out.len().saturating_sub(payload_at);
    if len >= PAYLOAD_MAX {
        let payload = out.split_off(payload_at);
        out.truncate(at);
        return put(out, seq, &payload);
    }
    if let Some(head) = out.get_mut(at..payload_at) {
        head.copy_from_slice(&Header { payload_len: len as u32, seq }.encode());
    }
    seq.wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u8]) -> Vec<(u32, u8)> {
        let mut left = bytes;
        let mut seen = Vec::new();
        while let Some(header) = Header::at_front(left) {
            seen.push((header.payload_len, header.seq));
            left = &left[HEADER_BYTES + header.payload_len as usize..];
        }
        assert!(left.is_empty());
        seen
    }

    #[test]
    fn header_comes_back() {
        let header = Header { payload_len: 0x01_0203, seq: 9 };
        assert_eq!(header.encode(), [3, 2, 1, 9]);
        assert_eq!(Header::decode(header.encode()), header);
        assert_eq!(Header::at_front(&[1, 2, 3]), None);
    }

    /// S44: both ways of writing split alike, and an exact multiple gets its empty trailer.
    #[test]
    fn split_at_16_mib() {
        let max = PAYLOAD_MAX as u32;
        let cases = [
            (0, vec![(0, 255)], 0),
            (5, vec![(5, 255)], 0),
            (PAYLOAD_MAX - 1, vec![(max - 1, 255)], 0),
            (PAYLOAD_MAX, vec![(max, 255), (0, 0)], 1),
            (PAYLOAD_MAX + 7, vec![(max, 255), (7, 0)], 1),
            (2 * PAYLOAD_MAX, vec![(max, 255), (max, 0), (0, 1)], 2),
        ];
        for (len, packets, next) in cases {
            let payload = vec![7; len];
            let mut out = b"before".to_vec();
            assert_eq!(put(&mut out, 255, &payload), next);
            assert_eq!(lengths(&out[6..]), packets);

            let mut in_place = b"before".to_vec();
            let at = begin(&mut in_place, 255);
            in_place.extend_from_slice(&payload);
            assert_eq!(finish(&mut in_place, at), next);
            assert!(in_place == out);
        }
    }
}
