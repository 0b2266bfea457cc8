//! One reply, packet by packet: OK, an error, or rows of one or two numbers.
//!
//! ```text
//! Head ── OK or ERR ─────────────────────────────► answer
//!   └── n columns ─► Columns(n) ─► Rows ── 0xfe ─► answer     (ERR may come instead of any row)
//! ```
//! Invariant: what is no number, or NULL, breaks the reply: a judge does not guess.
//! Rules: MySQL "Text Resultset", "Binary Protocol Resultset", both with `CLIENT_DEPRECATE_EOF`.

use weir_net::column::cells;
use weir_net::error::Malformed;
use weir_net::flags::Status;
use weir_net::outcome::{EOF_HEADER, ERR_HEADER, ErrPacket, OK_HEADER, status_of};
use weir_net::packet::PAYLOAD_MAX;
use weir_net::reader::Reader;

/// What a statement was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Rows(Vec<Row>),
    Refused { code: u16, message: String },
}

/// A version, and the number of the node that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub version: u64,
    pub node: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Text,
    Binary,
}

#[derive(Debug)]
pub struct Reading {
    encoding: Encoding,
    stage: Stage,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Stage {
    Head,
    Columns(u64),
    Rows,
}

impl Reading {
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, stage: Stage::Head, rows: Vec::new() }
    }

    /// Takes the next packet's payload; `Some` is the end of the reply.
    pub fn advance(&mut self, payload: &[u8]) -> Result<Option<Answer>, Malformed> {
        let first = *payload.first().ok_or(Malformed("an empty packet in a reply"))?;
        match (&mut self.stage, first) {
            (Stage::Head | Stage::Rows, ERR_HEADER) => {
                let error = ErrPacket::decode(payload)?;
                let message = String::from_utf8_lossy(error.message).into_owned();
                Ok(Some(Answer::Refused { code: error.code, message }))
            }
            (Stage::Head, OK_HEADER) => self.end(payload, Answer::Done),
            (Stage::Head, _) => {
                self.stage = Stage::Columns(Reader::new(payload).lenenc()?);
                Ok(None)
            }
            (Stage::Columns(left), _) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.stage = Stage::Rows;
                }
                Ok(None)
            }
            (Stage::Rows, EOF_HEADER) if payload.len() < PAYLOAD_MAX => {
                let rows = std::mem::take(&mut self.rows);
                self.end(payload, Answer::Rows(rows))
            }
            (Stage::Rows, _) => {
                let row = match self.encoding {
                    Encoding::Text => text_row(payload)?,
                    Encoding::Binary => binary_row(payload)?,
                };
                self.rows.push(row);
                Ok(None)
            }
        }
    }

    fn end(&self, payload: &[u8], answer: Answer) -> Result<Option<Answer>, Malformed> {
        match status_of(payload)?.contains(Status::MORE_RESULTS) {
            true => Err(Malformed("one statement, several results")),
            false => Ok(Some(answer)),
        }
    }
}

fn text_row(payload: &[u8]) -> Result<Row, Malformed> {
    let mut numbers = cells(payload).map(|cell| {
        let text = std::str::from_utf8(cell?.ok_or(NOT_A_NUMBER)?);
        text.ok().and_then(|text| text.parse().ok()).ok_or(NOT_A_NUMBER)
    });
    let mut next = || numbers.next().ok_or(Malformed("a row without its two numbers"))?;
    Ok(Row { version: next()?, node: next()? })
}

/// ```text
/// 0x00  bitmap of NULLs  BIGINT  INT
///   1          1            8     4
/// ```
fn binary_row(payload: &[u8]) -> Result<Row, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.array()? {
        [OK_HEADER, 0] if payload.len() == 14 => Ok(Row { version: reader.u64()?, node: u64::from(reader.u32()?) }),
        _ => Err(Malformed("a binary row that is no BIGINT and INT")),
    }
}

const NOT_A_NUMBER: Malformed = Malformed("a cell that is no number");

#[cfg(test)]
mod tests {
    use super::*;

    fn run(encoding: Encoding, packets: &[&[u8]]) -> Result<Option<Answer>, Malformed> {
        let mut reading = Reading::new(encoding);
        let mut answer = None;
        for packet in packets {
            assert_eq!(answer, None, "packets behind the end");
            answer = reading.advance(packet)?;
        }
        Ok(answer)
    }

    const END: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];

    #[test]
    fn rows_are_numbers_in_both_encodings() {
        let rows = Some(Answer::Rows(vec![Row { version: 17, node: 2 }]));
        let text = run(Encoding::Text, &[&[2], b"column", b"column", b"\x0217\x012", END]).unwrap();
        assert_eq!(text, rows);
        let row = [0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        let binary = run(Encoding::Binary, &[&[2], b"column", b"column", &row, END]).unwrap();
        assert_eq!(binary, rows);
        let none = run(Encoding::Text, &[&[2], b"column", b"column", END]).unwrap();
        assert_eq!(none, Some(Answer::Rows(Vec::new())));
    }

    #[test]
    fn ok_and_errors_end_a_reply() {
        assert_eq!(run(Encoding::Text, &[&[0, 0, 0, 2, 0, 0, 0]]).unwrap(), Some(Answer::Done));
        let refused = Some(Answer::Refused { code: 1213, message: "no".to_owned() });
        let error = b"\xff\xbd\x04#40001no";
        assert_eq!(run(Encoding::Text, &[error]).unwrap(), refused);
        assert_eq!(run(Encoding::Text, &[&[1], b"column", error]).unwrap(), refused);
    }

    #[test]
    fn what_is_no_number_breaks_it() {
        for row in [&b"\x02ab\x012"[..], b"\xfb\x012", b"\x0217", b"\x05"] {
            assert!(run(Encoding::Text, &[&[2], b"column", b"column", row]).is_err(), "{row:?}");
        }
        assert!(run(Encoding::Binary, &[&[1], b"column", &[0, 0, 1]]).is_err());
        // MORE_RESULTS_EXISTS is 8.
        assert!(run(Encoding::Text, &[&[0, 0, 0, 8, 0, 0, 0]]).is_err());
        assert!(run(Encoding::Text, &[b""]).is_err());
    }
}
