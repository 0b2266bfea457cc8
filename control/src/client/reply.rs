//! Replies: packet by packet into results.
//!
//! ```text
//!   Start ─ count ─► Defs ─► (DefsEof) ─► Rows ─ end ─┬─ MORE_RESULTS ─► Start
//!     └──── OK, ERR, file name, text ─────────────────┴────────────────► Done
//! ```
//! Invariant: everything that a client could see is kept, so that two replies are equal when no client could tell them
//! apart.

use super::error::{ClientError, ServerError};
use super::value::{Value, decode_binary_row, decode_text_row};
use weir_net::column::Column;
use weir_net::error::Malformed;
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EOF_HEADER, ERR_HEADER, OK_HEADER, OkPacket};
use weir_net::packet::PAYLOAD_MAX;
use weir_net::reader::Reader;
use weir_net::scan::ReplyKind;
use weir_net::statement::PrepareOk;
use weir_net::track::{Track, Tracks};

/// Everything that a command was answered with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// One per result; an error is the last.
    pub outcomes: Vec<Outcome>,
    /// Of `COM_STMT_PREPARE`: what the two blocks of definitions belong to.
    pub prepared: Option<Prepared>,
    /// Of `COM_STATISTICS`.
    pub text: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Ok(Done),
    Rows(Rows),
    Err(ServerError),
}

/// An OK or EOF packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: Status,
    pub warnings: u16,
    pub info: Vec<u8>,
    /// The session-state block as it came.
    pub track: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub columns: Vec<ColumnDef>,
    pub rows: Vec<Vec<Value>>,
    pub end: Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnDef {
    pub schema: String,
    pub table: String,
    pub org_table: String,
    pub name: String,
    pub org_name: String,
    pub charset: u16,
    pub length: u32,
    pub kind: u8,
    pub flags: u16,
    pub decimals: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    pub ok: PrepareOk,
    pub params: Vec<ColumnDef>,
    pub columns: Vec<ColumnDef>,
}

impl Reply {
    pub fn error(&self) -> Option<&ServerError> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Err(error) => Some(error),
            _ => None,
        })
    }

    /// The reply, unless it holds an error.
    pub fn success(self) -> Result<Reply, ClientError> {
        match self.error() {
            Some(error) => Err(error.clone().into()),
            None => Ok(self),
        }
    }

    /// The first result's rows.
    pub fn rows(&self) -> Option<&Rows> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Rows(rows) => Some(rows),
            _ => None,
        })
    }

    /// The OK or the end of the last result that did not fail.
    pub fn done(&self) -> Option<&Done> {
        self.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Ok(done) => Some(done),
            Outcome::Rows(rows) => Some(&rows.end),
            Outcome::Err(_) => None,
        })
    }
}

impl Rows {
    /// NULL as None, everything else as text.
    pub fn texts(&self) -> Vec<Vec<Option<String>>> {
        self.rows.iter().map(|row| row.iter().map(Value::as_text).collect()).collect()
    }

    /// A row's value by the column's name, as text.
    pub fn text(&self, row: usize, name: &str) -> Option<String> {
        let column = self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))?;
        self.rows.get(row)?.get(column)?.as_text()
    }
}

impl Done {
    fn decode(payload: &[u8], capabilities: Capabilities) -> Result<Done, Malformed> {
        let ok = OkPacket::decode(payload, capabilities)?;
        Ok(Done {
            affected_rows: ok.affected_rows,
            last_insert_id: ok.last_insert_id,
            status: ok.status,
            warnings: ok.warnings,
            info: ok.info.to_vec(),
            track: ok.track.to_vec(),
        })
    }

    /// What the server said about the session, piece by piece.
    pub fn tracks(&self) -> impl Iterator<Item = Track<'_>> {
        Tracks::new(&self.track).filter_map(Result::ok)
    }

    /// The statement's GTIDs, when `session_track_gtids` asks for them.
    pub fn gtids(&self) -> Option<String> {
        self.tracks().find_map(|track| match track {
            Track::Gtids(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    }
}

impl ColumnDef {
    pub fn decode(payload: &[u8]) -> Result<ColumnDef, Malformed> {
        let column = Column::decode(payload)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(ColumnDef {
            schema: text(column.schema),
            table: text(column.table),
            org_table: text(column.org_table),
            name: text(column.name),
            org_name: text(column.org_name),
            charset: column.charset,
            length: column.length,
            kind: column.kind,
            flags: column.flags,
            decimals: column.decimals,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    More,
    /// The server asks for this file; its final packet comes after the content.
    Infile(Vec<u8>),
    Done,
}

enum At {
    Start,
    Defs { left: u64, block: Block },
    DefsEof(Block),
    Rows,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Params,
    Columns,
}

/// Reads one reply.
pub struct ReplyReader {
    kind: ReplyKind,
    capabilities: Capabilities,
    at: At,
    /// The result that is being read.
    rows: Rows,
    reply: Reply,
}

impl ReplyReader {
    /// `columns`: of the statement whose cursor is fetched from; otherwise empty.
    pub fn new(kind: ReplyKind, capabilities: Capabilities, columns: &[ColumnDef]) -> ReplyReader {
        let at = match kind {
            ReplyKind::Nothing => At::Done,
            ReplyKind::Fetch => At::Rows,
            ReplyKind::FieldList => At::Defs { left: u64::MAX, block: Block::Columns },
            _ => At::Start,
        };
        let rows = Rows { columns: columns.to_vec(), ..Rows::default() };
        ReplyReader { kind, capabilities, at, rows, reply: Reply::default() }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    pub fn into_reply(self) -> Reply {
        self.reply
    }

    pub fn handle(&mut self, payload: &[u8]) -> Result<Turn, ClientError> {
        let first = payload.first().copied().ok_or(Malformed("empty packet"))?;
        match self.at {
            At::Done => return Err(Malformed("packet after the end of the reply").into()),
            _ if first == ERR_HEADER && payload.len() < PAYLOAD_MAX => {
                self.reply.outcomes.push(Outcome::Err(ServerError::decode(payload)?));
                self.at = At::Done;
            }
            At::Start => return self.handle_start(first, payload),
            At::Defs { left, block } => self.handle_def(left, block, first, payload)?,
            At::DefsEof(block) => {
                let end = self.end_of_rows(first, payload)?.ok_or(Malformed("no EOF after the definitions"))?;
                self.after_defs(block, Some(end))?;
            }
            At::Rows => match self.end_of_rows(first, payload)? {
                Some(end) => self.end_result(end),
                None => {
                    let row = match self.kind {
                        ReplyKind::Query => decode_text_row(payload, self.rows.columns.len())?,
                        _ => decode_binary_row(payload, &self.rows.columns)?,
                    };
                    self.rows.rows.push(row);
                }
            },
        }
        Ok(if self.is_done() { Turn::Done } else { Turn::More })
    }

    fn handle_start(&mut self, first: u8, payload: &[u8]) -> Result<Turn, ClientError> {
        match (self.kind, first) {
            (ReplyKind::Statistics, _) => {
                self.reply.text = Some(payload.to_vec());
                self.at = At::Done;
            }
            (ReplyKind::Prepare, OK_HEADER) => {
                let ok = PrepareOk::decode(payload)?;
                self.reply.prepared = Some(Prepared { ok, params: Vec::new(), columns: Vec::new() });
                self.at = At::Defs { left: u64::from(ok.params), block: Block::Params };
                if ok.params == 0 {
                    self.after_defs(Block::Params, None)?;
                }
            }
            (ReplyKind::Query, 0xfb) => {
                // The reply goes on at its start once the file has been sent.
                return Ok(Turn::Infile(payload[1..].to_vec()));
            }
            (_, OK_HEADER) => self.handle_ok(payload)?,
            (ReplyKind::Simple, EOF_HEADER) => self.handle_ok(payload)?,
            (ReplyKind::Query | ReplyKind::Execute, _) => {
                let mut reader = Reader::new(payload);
                let left = reader.lenenc()?;
                // The manual has the flag in front of the count; servers write it behind.
                if self.capabilities.contains(Capabilities::OPTIONAL_RESULTSET_METADATA) && reader.u8()? != 1 {
                    return Err(ClientError::Unsupported("results without metadata".to_string()));
                }
                if left == 0 || !reader.is_empty() {
                    return Err(Malformed("not a number of columns").into());
                }
                self.at = At::Defs { left, block: Block::Columns };
            }
            _ => return Err(Malformed("unexpected first packet of a reply").into()),
        }
        Ok(if self.is_done() { Turn::Done } else { Turn::More })
    }

    fn handle_ok(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let done = Done::decode(payload, self.capabilities)?;
        self.at = if done.status.contains(Status::MORE_RESULTS) { At::Start } else { At::Done };
        self.reply.outcomes.push(Outcome::Ok(done));
        Ok(())
    }

    fn handle_def(&mut self, left: u64, block: Block, first: u8, payload: &[u8]) -> Result<(), ClientError> {
        if self.kind == ReplyKind::FieldList
            && let Some(end) = self.end_of_rows(first, payload)?
        {
            self.end_result(end);
            return Ok(());
        }
        let column = ColumnDef::decode(payload)?;
        match (&mut self.reply.prepared, block) {
            (Some(prepared), Block::Params) => prepared.params.push(column),
            (Some(prepared), Block::Columns) => prepared.columns.push(column),
            (None, _) => self.rows.columns.push(column),
        }
        self.at = At::Defs { left: left - 1, block };
        if left == 1 {
            match self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
                true => self.after_defs(block, None)?,
                false => self.at = At::DefsEof(block),
            }
        }
        Ok(())
    }

    /// `end`: the EOF behind the definitions, where there is one.
    fn after_defs(&mut self, block: Block, end: Option<Done>) -> Result<(), ClientError> {
        let Some(prepared) = &self.reply.prepared else {
            // With a cursor the rows come by fetching.
            match end.filter(|end| end.status.contains(Status::CURSOR_EXISTS)) {
                Some(end) => self.end_result(end),
                None => self.at = At::Rows,
            }
            return Ok(());
        };
        self.at = match block {
            Block::Params if prepared.ok.columns > 0 => {
                At::Defs { left: u64::from(prepared.ok.columns), block: Block::Columns }
            }
            _ => At::Done,
        };
        Ok(())
    }

    /// The packet as the end of rows, if it is one: its form depends on capabilities, and a row may begin alike.
    fn end_of_rows(&self, first: u8, payload: &[u8]) -> Result<Option<Done>, Malformed> {
        let limit = if self.capabilities.contains(Capabilities::DEPRECATE_EOF) { PAYLOAD_MAX } else { 9 };
        if first != EOF_HEADER || payload.len() >= limit {
            return Ok(None);
        }
        Done::decode(payload, self.capabilities).map(Some)
    }

    fn end_result(&mut self, end: Done) {
        self.at = if end.status.contains(Status::MORE_RESULTS) { At::Start } else { At::Done };
        let rows = std::mem::take(&mut self.rows);
        self.reply.outcomes.push(Outcome::Rows(Rows { end, ..rows }));
    }
}

#[cfg(test)]
mod tests;
