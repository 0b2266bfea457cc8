//! The column: a result set's definition of one, and the small text results that the gate answers by itself.
//!
//! Invariant: what is written here is complete and in sequence; nothing is read back from a relayed result, whose
//! rows are never decoded.
//!
//! Rules: MySQL "Column Definition", "Text Resultset".

use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::outcome::EofPacket;
use crate::packet;
use crate::reader::Reader;
use crate::writer::Put;

pub const KIND_LONG: u8 = 3;
pub const KIND_LONGLONG: u8 = 8;
pub const KIND_VAR_STRING: u8 = 253;

pub const CHARSET_BINARY: u16 = 63;
/// `utf8mb4_0900_ai_ci`.
pub const CHARSET_UTF8MB4: u16 = 255;

pub const FLAG_NOT_NULL: u16 = 1;
pub const FLAG_UNSIGNED: u16 = 32;
pub const FLAG_BINARY: u16 = 128;

/// ```text
/// catalog  schema  table  org_table  name  org_name   12     charset  length  kind  flags  decimals  filler
/// lenenc   lenenc  lenenc  lenenc   lenenc  lenenc  lenenc      2       4      1      2       1        2
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column<'a> {
    pub schema: &'a [u8],
    pub table: &'a [u8],
    pub org_table: &'a [u8],
    pub name: &'a [u8],
    pub org_name: &'a [u8],
    pub charset: u16,
    /// Bytes of the longest value.
    pub length: u32,
    pub kind: u8,
    pub flags: u16,
    pub decimals: u8,
}

impl<'a> Column<'a> {
    /// A text of at most `chars_max` characters.
    pub fn text(name: &'a [u8], chars_max: u32) -> Self {
        Self {
            name,
            charset: CHARSET_UTF8MB4,
            length: chars_max.saturating_mul(4),
            kind: KIND_VAR_STRING,
            decimals: 31,
            ..Self::default()
        }
    }

    /// A whole number of 64 bits, unsigned.
    pub fn number(name: &'a [u8]) -> Self {
        Self {
            name,
            charset: CHARSET_BINARY,
            length: 20,
            kind: KIND_LONGLONG,
            flags: FLAG_UNSIGNED | FLAG_BINARY,
            ..Self::default()
        }
    }

    /// A whole number of 64 bits with a sign.
    pub fn signed(name: &'a [u8]) -> Self {
        Self { length: 21, flags: FLAG_NOT_NULL | FLAG_BINARY, ..Self::number(name) }
    }

    /// For the gate's own questions to a backend.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        reader.lenenc_bytes()?;
        let column = Self {
            schema: reader.lenenc_bytes()?,
            table: reader.lenenc_bytes()?,
            org_table: reader.lenenc_bytes()?,
            name: reader.lenenc_bytes()?,
            org_name: reader.lenenc_bytes()?,
            ..Self::default()
        };
        let mut fixed = Reader::new(reader.lenenc_bytes()?);
        Ok(Self {
            charset: fixed.u16()?,
            length: fixed.u32()?,
            kind: fixed.u8()?,
            flags: fixed.u16()?,
            decimals: fixed.u8()?,
            ..column
        })
    }
}

/// Appends the payload of a definition.
pub fn put_column(out: &mut Vec<u8>, column: &Column<'_>) {
    out.put_lenenc_bytes(b"def");
    for name in [column.schema, column.table, column.org_table, column.name, column.org_name] {
        out.put_lenenc_bytes(name);
    }
    out.put_lenenc(FIXED_BYTES);
    out.put_u16(column.charset);
    out.put_u32(column.length);
    out.put_u8(column.kind);
    out.put_u16(column.flags);
    out.put_u8(column.decimals);
    out.put_u16(0);
}

const FIXED_BYTES: u64 = 12;

/// Appends the payload of a row.
pub fn put_text_row(out: &mut Vec<u8>, cells: &[Option<&[u8]>]) {
    for cell in cells {
        out.put_cell(*cell);
    }
}

/// The cells of a text row, for the gate's own questions to a backend. After an error it ends.
pub fn cells(payload: &[u8]) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
    let mut reader = Reader::new(payload);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let cell = reader.cell();
        if cell.is_err() {
            reader.rest();
        }
        Some(cell)
    })
}

/// How rows are sent: a statement's as texts, an execute's in their binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Binary,
}

/// Appends a whole result, framed. Returns the next sequence number. The cells are texts in either form: a whole number's are its digits.
pub fn put_result(
    out: &mut Vec<u8>,
    seq: u8,
    caps: Capabilities,
    end: EofPacket,
    columns: &[Column<'_>],
    rows: &[Vec<Option<Vec<u8>>>],
    form: Form,
) -> u8 {
    let mut seq = put_framed(out, seq, |out| out.put_lenenc(columns.len() as u64));
    for column in columns {
        seq = put_framed(out, seq, |out| put_column(out, column));
    }
    if !caps.contains(Capabilities::DEPRECATE_EOF) {
        seq = put_framed(out, seq, |out| end.encode(out, caps));
    }
    for row in rows {
        seq = put_framed(out, seq, |out| match form {
            Form::Text => row.iter().for_each(|cell| out.put_cell(cell.as_deref())),
            Form::Binary => put_binary_row(out, columns, row),
        });
    }
    put_framed(out, seq, |out| end.encode(out, caps))
}

fn put_binary_row(out: &mut Vec<u8>, columns: &[Column<'_>], row: &[Option<Vec<u8>>]) {
    // Two bits of the map of NULLs are the protocol's own.
    let marks: Vec<bool> = [false; 2].into_iter().chain(row.iter().map(Option::is_none)).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
    let nulls: Vec<u8> = marks.chunks(8).map(byte).collect();
    out.put_u8(0);
    out.extend_from_slice(&nulls);
    for (column, cell) in columns.iter().zip(row) {
        let Some(cell) = cell else { continue };
        match column.kind {
            KIND_LONGLONG => out.extend_from_slice(&whole_number(cell).to_le_bytes()),
            _ => out.put_lenenc_bytes(cell),
        }
    }
}

/// Its 64 bits, with a sign or without.
fn whole_number(digits: &[u8]) -> u64 {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse::<i64>().map(i64::cast_unsigned).or_else(|_| text.parse()).unwrap_or(0)
}

fn put_framed(out: &mut Vec<u8>, seq: u8, write: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let at = packet::begin(out, seq);
    write(out);
    packet::finish(out, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Status;
    use crate::packet::{HEADER_BYTES, Header};
    use crate::scan::{ReplyKind, ReplyScan, Step, What};

    /// Of nine cells the first, the seventh and the last are NULL: the bits 2, 8 and 10.
    #[test]
    fn a_binary_row_marks_its_nulls() {
        let columns: Vec<_> =
            (0..9).map(|at| if at == 1 { Column::signed(b"n") } else { Column::text(b"t", 5) }).collect();
        let cell = |at| match at {
            0 | 6 | 8 => None,
            1 => Some(b"-2".to_vec()),
            _ => Some(b"x".to_vec()),
        };
        let mut out = Vec::new();
        put_binary_row(&mut out, &columns, &(0..9).map(cell).collect::<Vec<_>>());
        let mut expected = vec![0, 0b0000_0100, 0b0000_0101, 0xfe];
        expected.extend_from_slice(&[0xff; 7]);
        expected.extend_from_slice(b"\x01x\x01x\x01x\x01x\x01x");
        assert_eq!(out, expected);
    }

    #[test]
    fn definitions_come_back() {
        let column = Column {
            schema: b"shop",
            table: b"t",
            org_table: b"items",
            name: b"n",
            org_name: b"name",
            ..Column::text(b"n", 64)
        };
        let mut payload = Vec::new();
        put_column(&mut payload, &column);
        assert_eq!(Column::decode(&payload), Ok(column));
        for len in 0..payload.len() {
            assert!(Column::decode(&payload[..len]).is_err());
        }
    }

    #[test]
    fn rows_come_back() {
        let row = [Some(&b"a"[..]), None, Some(b"")];
        let mut payload = Vec::new();
        put_text_row(&mut payload, &row);
        let read: Result<Vec<_>, _> = cells(&payload).collect();
        assert_eq!(read.unwrap(), row);
        assert_eq!(cells(b"\x05ab").collect::<Vec<_>>().len(), 1);
        assert!(cells(b"\x05ab").all(|cell| cell.is_err()));
    }

    /// S45: the scan finds the end where the capabilities put it.
    #[test]
    fn results_are_whole() {
        let columns = [Column::text(b"name", 64), Column::number(b"n")];
        let rows = vec![vec![Some(b"a".to_vec()), None], vec![Some(vec![b'x'; 300]), Some(b"7".to_vec())]];
        for (caps, packets) in [(Capabilities::empty(), 7), (Capabilities::DEPRECATE_EOF, 6)] {
            let mut out = Vec::new();
            let next = put_result(
                &mut out,
                1,
                caps,
                EofPacket { warnings: 0, status: Status::AUTOCOMMIT },
                &columns,
                &rows,
                Form::Text,
            );
            assert_eq!(next, packets + 1);
            let mut scan = ReplyScan::new(ReplyKind::Query, caps);
            let mut input = &mut out[..];
            let mut last = None;
            while !input.is_empty() {
                let len = match scan.advance(input) {
                    Step::Pass(len) => len,
                    Step::Packet { what, len, .. } => {
                        let status = crate::outcome::status_of(&input[HEADER_BYTES..len]);
                        assert_eq!(status, Ok(Status::AUTOCOMMIT));
                        last = Some((what, Header::at_front(input).unwrap().seq));
                        len
                    }
                    Step::ColumnsEnd => 0,
                    other => panic!("{other:?}"),
                };
                input = &mut input[len..];
            }
            assert!(scan.is_done());
            assert_eq!(scan.rows(), 2);
            assert_eq!(last, Some((What::RowsEnd, packets)));
        }
    }
}
