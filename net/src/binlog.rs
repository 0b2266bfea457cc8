//! A binary log as a source sends it: which connection ran which transaction, and nothing else of it.
//!
//! ```text
//! event   [timestamp 4][type 1][server id 4][size 4][position 4][flags 2] body …            (checksum 4, not looked at)
//! GTID    [flags 1][uuid 16][number 8] …
//! TAGGED  version, size, last field; then [field 0] flags  [1] uuid  [2] number  [3] tag …  all of variable length
//! QUERY   [thread id 4][time 4][length of the schema 1][error 2][length of the variables 2] …
//! ```
//! A transaction is a GTID event and what follows it up to the next one; its first query event (`BEGIN`, or the whole of a DDL)
//! carries the thread id of the connection that ran it. That holds in the log of its first server alone: a replica writes the
//! GTID on unchanged, but rows under whatever thread id its applier had last (seen on 9.7; MariaDB has mended that, MDEV-7850).
//! Of other events only the type is looked at.
//! Invariant: a transaction is [`Writer::Thread`] only when its query event was read; one that is compressed, or has none, is
//! [`Writer::Hidden`], never somebody's.
//! Rules: MySQL "Binlog Event", "Gtid_event", "Query_event"; "mysql::serialization" for tagged ones (8.3 and later).

use crate::command::Command;
use crate::error::Malformed;
use crate::gtid::{GNO_MAX, GtidSet, Sid};
use crate::limits::GTID_TAG_BYTES_MAX;
use crate::reader::Reader;
use crate::writer::Put;

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A connection's own id on the server whose log this is, and when by that server's clock.
    Thread { id: u32, at_s: u32 },
    /// The log does not show it.
    Hidden,
}

/// Reads events in their order. Tells of each transaction once its writer is known.
#[derive(Debug, Default)]
pub struct Transactions {
    current: Option<(Sid, u64)>,
}

impl Transactions {
    /// The next event. Returns a transaction whose writer has just become known.
    pub fn handle_event(&mut self, event: &[u8]) -> Result<Option<(Sid, u64, Writer)>, Malformed> {
        let mut reader = Reader::new(event);
        let at_s = reader.u32()?;
        let kind = reader.u8()?;
        reader.take(HEADER_BYTES.saturating_sub(TYPE_AT).saturating_sub(1))?;
        match kind {
            GTID => self.begin(Some(gtid(&mut reader)?)),
            GTID_TAGGED => self.begin(Some(tagged_gtid(&mut reader)?)),
            ANONYMOUS_GTID => self.begin(None),
            QUERY => {
                let id = reader.u32()?;
                Ok(self.current.take().map(|(sid, number)| (sid, number, Writer::Thread { id, at_s })))
            }
            TRANSACTION_PAYLOAD => Ok(self.finish()),
            _ => Ok(None),
        }
    }

    /// After the last event.
    pub fn finish(&mut self) -> Option<(Sid, u64, Writer)> {
        self.current.take().map(|(sid, number)| (sid, number, Writer::Hidden))
    }

    fn begin(&mut self, next: Option<(Sid, u64)>) -> Result<Option<(Sid, u64, Writer)>, Malformed> {
        let before = self.finish();
        self.current = next;
        Ok(before)
    }
}

/// `COM_BINLOG_DUMP_GTID`, command byte included: all that the server's log has and `known` has not, to its present end. A client
/// that gives the server id 0 is nobody's replica.
pub fn put_dump_gtid(out: &mut impl Put, known: &GtidSet) {
    let mut set = Vec::new();
    encode_set(&mut set, known);
    out.put_u8(Command::BinlogDumpGtid as u8);
    out.put_u16(DUMP_NON_BLOCK);
    out.put_u32(0);
    // No file: the server finds it by the set. A position before the first event's would be refused.
    out.put_u32(0);
    out.put_u64(4);
    out.put_u32(u32::try_from(set.len()).unwrap_or(u32::MAX));
    out.put_bytes(&set);
}

/// The binary form of a set. Tags have a form of their own, which older servers do not know and have no use for.
fn encode_set(out: &mut Vec<u8>, set: &GtidSet) {
    let mut sources: Vec<(&Sid, Vec<(u64, u64)>)> = Vec::new();
    for (sid, first, last) in set.iter() {
        match sources.last_mut() {
            Some((known, intervals)) if *known == sid => intervals.push((first, last)),
            _ => sources.push((sid, vec![(first, last)])),
        }
    }
    let count = sources.len() as u64;
    let has_tags = sources.iter().any(|(sid, _)| sid.tag.is_some());
    let head = if has_tags { (1 << 56) | (count << 8) | 1 } else { count };
    out.extend_from_slice(&head.to_le_bytes());
    for (sid, intervals) in sources {
        out.extend_from_slice(&sid.uuid);
        if has_tags {
            let tag = sid.tag.as_deref().unwrap_or_default();
            // At most 32 bytes: one byte of variable length.
            out.push(u8::try_from(tag.len()).unwrap_or(0).wrapping_shl(1));
            out.extend_from_slice(tag.as_bytes());
        }
        out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
        for (first, last) in intervals {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.saturating_add(1).to_le_bytes());
        }
    }
}

fn gtid(reader: &mut Reader<'_>) -> Result<(Sid, u64), Malformed> {
    reader.take(1)?;
    let uuid = reader.array()?;
    Ok((Sid::of(uuid), number(reader.u64()?)?))
}

fn tagged_gtid(reader: &mut Reader<'_>) -> Result<(Sid, u64), Malformed> {
    if varlen(reader)? != 1 {
        return Err(Malformed("tagged GTID of an unknown version"));
    }
    let (_size, _last) = (varlen(reader)?, varlen(reader)?);
    field(reader, 0)?;
    varlen(reader)?;
    field(reader, 1)?;
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = u8::try_from(varlen(reader)?).map_err(|_| Malformed("GTID source that is not a uuid"))?;
    }
    field(reader, 2)?;
    // A signed one: the sign is the lowest bit.
    let value = varlen(reader)?;
    if value & 1 == 1 {
        return Err(Malformed("GTID number out of range"));
    }
    field(reader, 3)?;
    Ok((Sid { uuid, tag: tag(reader)? }, number(value >> 1)?))
}

fn field(reader: &mut Reader<'_>, wanted: u64) -> Result<(), Malformed> {
    if varlen(reader)? == wanted { Ok(()) } else { Err(Malformed("tagged GTID without its fields")) }
}

fn tag(reader: &mut Reader<'_>) -> Result<Option<Box<str>>, Malformed> {
    let len = usize::try_from(varlen(reader)?).unwrap_or(usize::MAX);
    if len > GTID_TAG_BYTES_MAX {
        return Err(Malformed("GTID tag that is too long"));
    }
    let text = std::str::from_utf8(reader.take(len)?).map_err(|_| Malformed("GTID tag that is none"))?;
    Ok((!text.is_empty()).then(|| text.into()))
}

fn number(number: u64) -> Result<u64, Malformed> {
    if (1..=GNO_MAX).contains(&number) { Ok(number) } else { Err(Malformed("GTID number out of range")) }
}

/// As many bytes as the first one has ones at its low end, and one more; the value stands above them.
fn varlen(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let first = reader.u8()?;
    let more = first.trailing_ones();
    let mut bytes = [0; 16];
    bytes[0] = first;
    for byte in bytes.iter_mut().skip(1).take(more as usize) {
        *byte = reader.u8()?;
    }
    let all = u128::from_le_bytes(bytes);
    // Of nine bytes the first is all ones, and none of it is value.
    let value = all.checked_shr(more.saturating_add(1).min(8)).unwrap_or(0);
    u64::try_from(value).map_err(|_| Malformed("integer of variable length that is too large"))
}

const TYPE_AT: usize = 4;
const HEADER_BYTES: usize = 19;

const QUERY: u8 = 2;
const GTID: u8 = 33;
const ANONYMOUS_GTID: u8 = 34;
const TRANSACTION_PAYLOAD: u8 = 40;
const GTID_TAGGED: u8 = 42;

const DUMP_NON_BLOCK: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [7; 16];

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0; HEADER_BYTES];
        event[TYPE_AT] = kind;
        event.extend_from_slice(body);
        event
    }

    fn gtid_event(number: u64) -> Vec<u8> {
        let mut body = vec![1];
        body.extend_from_slice(&UUID);
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&[2; 17]);
        event(GTID, &body)
    }

    fn query_event(thread: u32) -> Vec<u8> {
        let mut body = thread.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 9]);
        event(QUERY, &body)
    }

    fn read(events: &[Vec<u8>]) -> Vec<(u64, Writer)> {
        let mut transactions = Transactions::default();
        let mut all = Vec::new();
        for event in events {
            all.extend(transactions.handle_event(event).unwrap());
        }
        all.extend(transactions.finish());
        all.into_iter().map(|(sid, number, writer)| (if sid.uuid == UUID { number } else { 0 }, writer)).collect()
    }

    #[test]
    fn the_first_query_of_a_transaction_says_whose_it_is() {
        let events = [
            event(15, &[4; 90]),
            gtid_event(5),
            query_event(11),
            // A second query of the same transaction, as savepoints write them.
            query_event(12),
            event(16, &[0; 8]),
            gtid_event(6),
            event(TRANSACTION_PAYLOAD, &[9; 40]),
            event(ANONYMOUS_GTID, &[0; 25]),
            query_event(13),
            gtid_event(7),
            gtid_event(8),
        ];
        let (a, b) = ((5, Writer::Thread { id: 11, at_s: 0 }), (6, Writer::Hidden));
        assert_eq!(read(&events), [a, b, (7, Writer::Hidden), (8, Writer::Hidden)]);
    }

    #[test]
    fn short_and_odd_events_are_refused_or_passed_over() {
        let mut transactions = Transactions::default();
        for whole in [gtid_event(5), query_event(5), event(GTID_TAGGED, &[2, 40, 10, 0, 2, 2])] {
            for len in 0..whole.len().min(HEADER_BYTES + 4) {
                assert!(transactions.handle_event(&whole[..len]).is_err(), "{len}");
            }
        }
        assert!(transactions.handle_event(&gtid_event(0)).is_err());
        assert!(transactions.handle_event(&gtid_event(u64::MAX)).is_err());
        assert_eq!(transactions.handle_event(&event(255, &[])), Ok(None));
        // Any bytes: an answer, not a panic.
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = (seed >> 58) as usize;
            let mut bytes: Vec<u8> = (0..len).map(|at| (seed.rotate_left(at as u32 * 7) >> 9) as u8).collect();
            if let Some(kind) = bytes.get_mut(TYPE_AT) {
                *kind = [GTID, GTID_TAGGED, QUERY, TRANSACTION_PAYLOAD][seed as usize >> 3 & 3];
            }
            let _ = transactions.handle_event(&bytes);
        }
    }

    /// From "mysql::serialization": 1, 127, 128, 2^56 and the largest.
    #[test]
    fn integers_of_variable_length() {
        let cases: [(&[u8], u64); 5] = [
            (&[0b10], 1),
            (&[0b1111_1110], 127),
            (&[0b01, 0b10], 128),
            (&[0xff, 0, 0, 0, 0, 0, 0, 0, 1], 1 << 56),
            (&[0xff; 9], u64::MAX),
        ];
        for (bytes, value) in cases {
            assert_eq!(varlen(&mut Reader::new(bytes)), Ok(value), "{bytes:?}");
            assert!(varlen(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
        }
    }

    #[test]
    fn a_dump_asks_for_what_is_not_known() {
        let mut out = Vec::new();
        put_dump_gtid(&mut out, &GtidSet::parse(b"07070707-0707-0707-0707-070707070707:1-5:9").unwrap());
        let (head, set) = out.split_at(1 + 2 + 4 + 4 + 8 + 4);
        assert_eq!((head[0], head[1], head[19]), (0x1e, 1, set.len() as u8));
        let numbers: Vec<u64> =
            set[24..].chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect();
        assert_eq!((set[0], numbers), (1, vec![2, 1, 6, 9, 10]));
        let mut out = Vec::new();
        put_dump_gtid(&mut out, &GtidSet::parse(b"07070707-0707-0707-0707-070707070707:tag:1").unwrap());
        let set = &out[23..];
        assert_eq!((&set[..8], &set[24..28]), (&[1, 1, 0, 0, 0, 0, 0, 1][..], &[6, b't', b'a', b'g'][..]));
    }
}
