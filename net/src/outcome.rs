//! The outcome: the OK, ERR and EOF packets that results end with.
//!
//! Invariant: what `encode` writes, `decode` reads back under the same capabilities. Protocol 4.1 is taken for
//! granted, as no connection without it gets past the handshake. Trackers stay raw here; [`crate::track`] reads them.
//!
//! Rules: MySQL "OK_Packet", "ERR_Packet", "EOF_Packet".

use crate::error::Malformed;
use crate::flags::{Capabilities, Status};
use crate::reader::Reader;
use crate::writer::Put;

pub const OK_HEADER: u8 = 0x00;
pub const EOF_HEADER: u8 = 0xfe;
pub const ERR_HEADER: u8 = 0xff;

/// An EOF has 5 bytes, an OK at least 7.
const EOF_BYTES: usize = 5;

/// ```text
/// header  affected_rows  last_insert_id  status  warnings  [info  [track]]
///   1        lenenc          lenenc         2       2      lenenc  lenenc
/// ```
/// The manual lets the info run to the end of the packet without `SESSION_TRACK`; servers and clients write and
/// read a length all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OkPacket<'a> {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: Status,
    pub warnings: u16,
    pub info: &'a [u8],
    /// The session-state block as it came; empty if there is none.
    pub track: &'a [u8],
    /// [`OK_HEADER`], or [`EOF_HEADER`] at the end of rows.
    pub header: u8,
}

impl<'a> OkPacket<'a> {
    /// Also reads an EOF packet, as an OK that has nothing but a status and warnings: the ends of rows differ only
    /// by capabilities, and callers treat them alike.
    pub fn decode(payload: &'a [u8], caps: Capabilities) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let header = reader.u8()?;
        if header == EOF_HEADER && payload.len() == EOF_BYTES {
            let EofPacket { warnings, status } = EofPacket::decode(payload)?;
            return Ok(Self { header, warnings, status, ..Self::default() });
        }
        if header != OK_HEADER && header != EOF_HEADER {
            return Err(Malformed("not an OK packet"));
        }
        let affected_rows = reader.lenenc()?;
        let last_insert_id = reader.lenenc()?;
        let status = Status(reader.u16()?);
        let warnings = reader.u16()?;
        let mut packet = Self { affected_rows, last_insert_id, status, warnings, header, ..Self::default() };
        // The server leaves the info out when it is empty and no tracker follows.
        if !reader.is_empty() {
            packet.info = reader.lenenc_bytes()?;
        }
        let may_track = caps.contains(Capabilities::SESSION_TRACK) && status.contains(Status::SESSION_STATE_CHANGED);
        if may_track && !reader.is_empty() {
            packet.track = reader.lenenc_bytes()?;
        }
        if !reader.is_empty() {
            return Err(Malformed("bytes after an OK packet"));
        }
        Ok(packet)
    }

    /// Appends the payload. For a client without `SESSION_TRACK` the trackers and their status flag are left out. The
    /// flag may stand without a tracker: so does the server after `COMMIT AND CHAIN`.
    pub fn encode(&self, out: &mut Vec<u8>, caps: Capabilities) {
        let changed = !self.track.is_empty() || self.status.contains(Status::SESSION_STATE_CHANGED);
        let has_track = caps.contains(Capabilities::SESSION_TRACK) && changed;
        let status = self.status.minus(Status::SESSION_STATE_CHANGED);
        let status = if has_track { status | Status::SESSION_STATE_CHANGED } else { status };
        out.put_u8(self.header);
        out.put_lenenc(self.affected_rows);
        out.put_lenenc(self.last_insert_id);
        out.put_u16(status.0);
        out.put_u16(self.warnings);
        if has_track || !self.info.is_empty() {
            out.put_lenenc_bytes(self.info);
        }
        if has_track {
            out.put_lenenc_bytes(self.track);
        }
    }
}

impl Default for OkPacket<'_> {
    fn default() -> Self {
        Self {
            affected_rows: 0,
            last_insert_id: 0,
            status: Status::empty(),
            warnings: 0,
            info: &[],
            track: &[],
            header: OK_HEADER,
        }
    }
}

/// ```text
/// 0xff  code  '#'  state  message
///   1    2     1     5    to the end
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    pub code: u16,
    pub state: [u8; 5],
    pub message: &'a [u8],
}

impl<'a> ErrPacket<'a> {
    /// Errors before the end of the handshake have no state: they get the general one.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != ERR_HEADER {
            return Err(Malformed("not an ERR packet"));
        }
        let code = reader.u16()?;
        let mut state = STATE_GENERAL;
        if reader.peek() == Some(b'#') {
            reader.u8()?;
            state = reader.array()?;
        }
        Ok(Self { code, state, message: reader.rest() })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(ERR_HEADER);
        out.put_u16(self.code);
        out.put_u8(b'#');
        out.put_bytes(&self.state);
        out.put_bytes(self.message);
    }
}

/// SQLSTATE "general error".
pub const STATE_GENERAL: [u8; 5] = *b"HY000";

/// ```text
/// 0xfe  warnings  status
///   1      2        2
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EofPacket {
    pub warnings: u16,
    pub status: Status,
}

impl EofPacket {
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if payload.len() != EOF_BYTES || reader.u8()? != EOF_HEADER {
            return Err(Malformed("not an EOF packet"));
        }
        Ok(Self { warnings: reader.u16()?, status: Status(reader.u16()?) })
    }

    /// Appends the payload: with `DEPRECATE_EOF` an OK with the header 0xfe.
    pub fn encode(&self, out: &mut Vec<u8>, caps: Capabilities) {
        let Self { warnings, status } = *self;
        if caps.contains(Capabilities::DEPRECATE_EOF) {
            let end = OkPacket { warnings, status, header: EOF_HEADER, ..OkPacket::default() };
            return end.encode(out, caps);
        }
        out.put_u8(EOF_HEADER);
        out.put_u16(warnings);
        out.put_u16(status.minus(Status::SESSION_STATE_CHANGED).0);
    }
}

/// The status in an OK or EOF packet, without reading the rest.
pub fn status_of(payload: &[u8]) -> Result<Status, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.u8()? {
        EOF_HEADER if payload.len() == EOF_BYTES => {
            reader.u16()?;
        }
        OK_HEADER | EOF_HEADER => {
            reader.lenenc()?;
            reader.lenenc()?;
        }
        _ => return Err(Malformed("neither OK nor EOF")),
    }
    Ok(Status(reader.u16()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
    const TRACKING: Capabilities =
        Capabilities::PROTOCOL_41.union(Capabilities::SESSION_TRACK).union(Capabilities::DEPRECATE_EOF);

    fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    /// S45: what goes in comes out, under each capability as far as it reaches.
    #[test]
    fn ok_comes_back() {
        let full = OkPacket {
            affected_rows: 300,
            last_insert_id: u64::MAX,
            status: Status::AUTOCOMMIT | Status::SESSION_STATE_CHANGED,
            warnings: 7,
            info: b"Rows matched: 1",
            track: b"\x01\x03\x02db",
            header: OK_HEADER,
        };
        let bytes = encoded(|out| full.encode(out, TRACKING));
        assert_eq!(OkPacket::decode(&bytes, TRACKING), Ok(full));
        assert_eq!(status_of(&bytes), Ok(full.status));

        let bytes = encoded(|out| full.encode(out, PLAIN));
        let untracked = OkPacket { track: &[], status: Status::AUTOCOMMIT, ..full };
        assert_eq!(OkPacket::decode(&bytes, PLAIN), Ok(untracked));
        assert_eq!(bytes.get(bytes.len() - 16..), Some(&b"\x0fRows matched: 1"[..]));

        // The flag without a tracker: an empty block stands behind an empty info.
        let flagged = OkPacket { track: &[], info: &[], ..full };
        let bytes = encoded(|out| flagged.encode(out, TRACKING));
        assert_eq!(OkPacket::decode(&bytes, TRACKING), Ok(flagged));
        assert_eq!(bytes.get(bytes.len() - 2..), Some(&b"\0\0"[..]));
        // An empty info stands in front of trackers nevertheless.
        let bytes = encoded(|out| OkPacket { info: &[], ..full }.encode(out, TRACKING));
        assert_eq!(OkPacket::decode(&bytes, TRACKING), Ok(OkPacket { info: &[], ..full }));
    }

    #[test]
    fn eof_in_both_shapes() {
        let end = EofPacket { warnings: 2, status: Status::AUTOCOMMIT | Status::MORE_RESULTS };
        let eof = encoded(|out| end.encode(out, PLAIN));
        assert_eq!(eof, [0xfe, 2, 0, 10, 0]);
        assert_eq!(EofPacket::decode(&eof), Ok(end));
        assert_eq!(status_of(&eof), Ok(end.status));
        let ok = encoded(|out| end.encode(out, TRACKING));
        assert_eq!(ok, [0xfe, 0, 0, 10, 0, 2, 0]);
        assert_eq!(status_of(&ok), Ok(end.status));
        assert!(EofPacket::decode(&ok).is_err());
        assert_eq!(OkPacket::decode(&eof, TRACKING), OkPacket::decode(&ok, TRACKING));
    }

    #[test]
    fn err_with_and_without_state() {
        let err = ErrPacket { code: 1290, state: *b"HY000", message: b"read-only" };
        let bytes = encoded(|out| err.encode(out));
        assert_eq!(bytes, b"\xff\x0a\x05#HY000read-only");
        assert_eq!(ErrPacket::decode(&bytes), Ok(err));
        let early = ErrPacket::decode(b"\xff\x10\x04Too many").unwrap();
        assert_eq!((early.code, early.state, early.message), (1040, STATE_GENERAL, &b"Too many"[..]));
    }

    #[test]
    fn cut_packets_are_refused() {
        let full = OkPacket { track: b"xy", info: b"i", ..OkPacket::default() };
        let bytes = encoded(|out| full.encode(out, TRACKING));
        for len in 0..bytes.len() {
            let cut = OkPacket::decode(&bytes[..len], TRACKING);
            // After the warnings, and after the info, a packet may end.
            assert_eq!(cut.is_ok(), len == 7 || len == 9, "{len}");
        }
        let err = encoded(|out| ErrPacket { code: 1, state: *b"HY000", message: b"" }.encode(out));
        for len in 0..err.len() {
            assert_eq!(ErrPacket::decode(&err[..len]).is_ok(), len == 3, "{len}");
        }
        assert!(OkPacket::decode(&err, PLAIN).is_err());
        assert!(ErrPacket::decode(&bytes).is_err());
        assert!(status_of(&err).is_err());
        assert!(OkPacket::decode(&[bytes, vec![0]].concat(), TRACKING).is_err());
    }
}
