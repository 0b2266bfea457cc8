//! Answers that nobody wants: read to their end, packet by packet, and forgotten.
//!
//! ```text
//!   Head ─► OK, ERR: the end      Head ─► Columns ─► (EOF) ─► Rows ─► OK or EOF, ERR: the end
//!   Head of a prepare ─► Definitions: the end
//! ```
//! One statement has one result here, since the connections ask for no more. Source: MySQL "Text Resultset", "COM_STMT_PREPARE Response".

use crate::client::asynchronous::More;
use crate::client::{AsyncClient, ClientError, ServerError};
use std::time::Duration;
use weir_net::error::Malformed;
use weir_net::flags::Capabilities;
use weir_net::reader::Reader;
use weir_net::statement::PrepareOk;

/// Runs a command. Its statement, if it was a prepare that succeeded.
pub async fn run(
    client: &mut AsyncClient,
    limit: Duration,
    command: &[u8],
    kind: Kind,
) -> Result<Option<PrepareOk>, ClientError> {
    let has_eof = !client.session().capabilities.contains(Capabilities::DEPRECATE_EOF);
    let mut drain = Drain { kind, has_eof, stage: Stage::Head, outcome: Ok(None) };
    client.stream(limit, command, ANSWER_BYTES_MAX, |payload| drain.take(payload)).await?;
    drain.outcome.map_err(ClientError::Server)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Result,
    Prepare,
}

struct Drain {
    kind: Kind,
    has_eof: bool,
    stage: Stage,
    outcome: Result<Option<PrepareOk>, ServerError>,
}

#[derive(Clone, Copy)]
enum Stage {
    Head,
    /// So many packets are left of it.
    Columns(u64),
    Definitions(u64),
    Rows,
}

impl Drain {
    fn take(&mut self, payload: &[u8]) -> Result<More, ClientError> {
        let first = *payload.first().ok_or(Malformed("an empty packet in an answer"))?;
        if first == 0xff && matches!(self.stage, Stage::Head | Stage::Rows) {
            self.outcome = Err(ServerError::decode(payload)?);
            return Ok(More::Enough);
        }
        let eof = u64::from(self.has_eof);
        self.stage = match (self.stage, self.kind) {
            (Stage::Head, Kind::Prepare) => {
                let ok = PrepareOk::decode(payload)?;
                self.outcome = Ok(Some(ok));
                let part = |count: u16| if count == 0 { 0 } else { u64::from(count) + eof };
                Stage::Definitions(part(ok.params) + part(ok.columns))
            }
            (Stage::Head, Kind::Result) => match first {
                0x00 => return Ok(More::Enough),
                0xfb => return Err(ClientError::Unsupported("a file".to_string())),
                _ => Stage::Columns(Reader::new(payload).lenenc()? + eof),
            },
            (Stage::Columns(left), _) => Stage::Columns(left.saturating_sub(1)),
            (Stage::Definitions(left), _) => Stage::Definitions(left.saturating_sub(1)),
            (Stage::Rows, _) if first == 0xfe && payload.len() < END_BYTES_MAX => return Ok(More::Enough),
            (Stage::Rows, _) => Stage::Rows,
        };
        Ok(match self.stage {
            Stage::Definitions(0) => More::Enough,
            Stage::Columns(0) => {
                self.stage = Stage::Rows;
                More::Wanted
            }
            _ => More::Wanted,
        })
    }
}

/// A row that begins with this byte has a value of 16 MiB: it is longer than any end.
const END_BYTES_MAX: usize = 0xff_ffff;

/// Of one answer; a longer one fails, and its connection is closed.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many packets are taken, and what comes out.
    fn drained(kind: Kind, has_eof: bool, packets: &[&[u8]]) -> (usize, Result<Option<PrepareOk>, u16>) {
        let mut drain = Drain { kind, has_eof, stage: Stage::Head, outcome: Ok(None) };
        let end = packets.iter().position(|packet| drain.take(packet).unwrap() == More::Enough);
        (end.map_or(usize::MAX, |at| at + 1), drain.outcome.map_err(|error| error.code))
    }

    #[test]
    fn answers_are_taken_to_their_end() {
        let err: &[u8] = b"\xff\x7a\x04#42S02No such table";
        let (ok, eof): (&[u8], &[u8]) = (&[0, 0, 0, 2, 0, 0, 0], &[0xfe, 0, 0, 2, 0]);
        assert_eq!(drained(Kind::Result, false, &[ok]), (1, Ok(None)));
        assert_eq!(drained(Kind::Result, false, &[err]), (1, Err(1146)));
        let binary: &[u8] = &[0, 0, 5];
        assert_eq!(drained(Kind::Result, false, &[&[2], b"a", b"b", binary, b"\x01x", eof]), (6, Ok(None)));
        assert_eq!(drained(Kind::Result, true, &[&[1], b"a", eof, b"\x01x", eof]), (5, Ok(None)));
        assert_eq!(drained(Kind::Result, true, &[&[1], b"a", eof, b"\x01x", err]), (5, Err(1146)));
        let prepared = PrepareOk { statement_id: 7, columns: 1, params: 2, warnings: 0 };
        let head: &[u8] = &[0, 7, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        assert_eq!(drained(Kind::Prepare, false, &[head, b"p", b"p", b"c"]), (4, Ok(Some(prepared))));
        assert_eq!(drained(Kind::Prepare, true, &[head, b"p", b"p", eof, b"c", eof]), (6, Ok(Some(prepared))));
        let bare: &[u8] = &[0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(drained(Kind::Prepare, true, &[bare]).0, 1);
    }
}
