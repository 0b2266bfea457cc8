//! The trackers: what the server says about the session's state inside an OK packet.
//!
//! Invariant: an unknown tracker, or an unknown form of a known one, is [`Track::Unknown`] and not an error, so a newer
//! server does not break a connection.
//!
//! ```text
//! track block of an OK:  ( type  len     data )*
//!                           1   lenenc
//! ```
//! Rule: MySQL "OK_Packet: Session State Information".

use crate::error::Malformed;
use crate::reader::Reader;
use crate::writer::Put;

/// One piece of news about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track<'a> {
    /// A system variable of the session has this value now.
    Variable {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The default schema has changed.
    Schema(&'a [u8]),
    /// Some state that could not be carried to another connection has changed.
    StateChanged(bool),
    /// GTIDs in text: the statement's own, or all executed ones, as `session_track_gtids` says.
    Gtids(&'a [u8]),
    /// Statements that would begin the open transaction anew; empty when there is none.
    TransactionCharacteristics(&'a [u8]),
    /// Eight letters: kind of transaction, reads, writes, unsafe statement, result sent, locked tables.
    TransactionState(&'a [u8]),
    Unknown(u8, &'a [u8]),
}

/// Reads the block [`crate::outcome::OkPacket::track`]. After an error it ends.
#[derive(Clone, Copy, Debug)]
pub struct Tracks<'a> {
    reader: Reader<'a>,
}

impl<'a> Tracks<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        Self { reader: Reader::new(block) }
    }

    fn decode(&mut self) -> Result<Track<'a>, Malformed> {
        let kind = self.reader.u8()?;
        let data = self.reader.lenenc_bytes()?;
        let mut inner = Reader::new(data);
        let track = match kind {
            VARIABLE => Track::Variable { name: inner.lenenc_bytes()?, value: inner.lenenc_bytes()? },
            SCHEMA => Track::Schema(inner.lenenc_bytes()?),
            // The one tracker whose data is bare: a single letter (seen on 9.7).
            STATE_CHANGE => Track::StateChanged(data == b"1"),
            GTIDS => {
                // The first byte says how the set is written; only text exists.
                if inner.u8()? != GTIDS_AS_TEXT {
                    return Ok(Track::Unknown(kind, data));
                }
                Track::Gtids(inner.lenenc_bytes()?)
            }
            TRANSACTION_CHARACTERISTICS => Track::TransactionCharacteristics(inner.lenenc_bytes()?),
            TRANSACTION_STATE => Track::TransactionState(inner.lenenc_bytes()?),
            _ => return Ok(Track::Unknown(kind, data)),
        };
        Ok(track)
    }
}

impl<'a> Iterator for Tracks<'a> {
    type Item = Result<Track<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let track = self.decode();
        if track.is_err() {
            self.reader.rest();
        }
        Some(track)
    }
}

/// Appends one tracker to a block.
pub fn put_track(out: &mut Vec<u8>, track: &Track<'_>) {
    let (kind, data) = match *track {
        Track::Variable { name, value } => {
            let mut data = Vec::new();
            data.put_lenenc_bytes(name);
            data.put_lenenc_bytes(value);
            (VARIABLE, data)
        }
        Track::Schema(name) => (SCHEMA, lenenc(name)),
        Track::StateChanged(changed) => (STATE_CHANGE, if changed { b"1".to_vec() } else { b"0".to_vec() }),
        Track::Gtids(text) => {
            let mut data = vec![GTIDS_AS_TEXT];
            data.put_lenenc_bytes(text);
            (GTIDS, data)
        }
        Track::TransactionCharacteristics(text) => (TRANSACTION_CHARACTERISTICS, lenenc(text)),
        Track::TransactionState(state) => (TRANSACTION_STATE, lenenc(state)),
        Track::Unknown(kind, data) => (kind, data.to_vec()),
    };
    out.put_u8(kind);
    out.put_lenenc_bytes(&data);
}

fn lenenc(bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    data.put_lenenc_bytes(bytes);
    data
}

const VARIABLE: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;
const GTIDS_AS_TEXT: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    /// S61: every tracker, also one of a later server, comes back.
    #[test]
    fn tracks_come_back() {
        let long = vec![b'g'; 70_000];
        let tracks = [
            Track::Variable { name: b"time_zone", value: b"+00:00" },
            Track::Variable { name: b"sql_mode", value: b"" },
            Track::Schema(b"shop"),
            Track::StateChanged(true),
            Track::StateChanged(false),
            Track::Gtids(&long),
            Track::TransactionCharacteristics(b"START TRANSACTION READ ONLY;"),
            Track::TransactionState(b"T_______"),
            Track::Unknown(9, b"later"),
        ];
        let mut block = Vec::new();
        for track in &tracks {
            put_track(&mut block, track);
        }
        let read: Result<Vec<_>, _> = Tracks::new(&block).collect();
        assert_eq!(read.unwrap(), tracks);
        assert_eq!(Tracks::new(&[]).next(), None);
    }

    #[test]
    fn bytes_as_the_server_writes_them() {
        let block = b"\x00\x0f\x0aautocommit\x03OFF\x01\x03\x02db\x03\x05\x00\x03u:1\x03\x02\x01x\x02\x011";
        let read: Result<Vec<_>, _> = Tracks::new(block).collect();
        let expected = [
            Track::Variable { name: b"autocommit", value: b"OFF" },
            Track::Schema(b"db"),
            Track::Gtids(b"u:1"),
            Track::Unknown(GTIDS, b"\x01x"),
            Track::StateChanged(true),
        ];
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn cut_blocks_end_with_an_error() {
        let mut block = Vec::new();
        put_track(&mut block, &Track::Variable { name: b"n", value: b"v" });
        for len in 1..block.len() {
            let read: Vec<_> = Tracks::new(&block[..len]).collect();
            assert_eq!(read.len(), 1);
            assert!(read[0].is_err());
        }
        // The inner string is longer than the tracker.
        let read: Vec<_> = Tracks::new(b"\x01\x02\x05d\x01\x02\x01d").collect();
        assert!(read.len() == 1 && read[0].is_err());
    }
}
