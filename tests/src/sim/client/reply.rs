//! Reading replies as a client: packets, their sequence numbers, and results in the shapes that the capabilities ask for.
//!
//! It shares no code with the gate's own scan: the two check each other.
//! Rules: MySQL "Text Resultset", "Binary Protocol Resultset", "COM_STMT_PREPARE Response", "COM_FIELD_LIST Response".

use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{ErrPacket, OkPacket};
use weir_net::packet::{HEADER_BYTES, Header};
use weir_net::reader::Reader;
use weir_net::track::{Track, Tracks};

/// Which reply a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Binary,
    Prepare,
    Fetch,
    FieldList,
    /// One OK, EOF or ERR.
    Simple,
    Statistics,
    Nothing,
}

/// One result of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok(End),
    Rows { columns: usize, rows: Vec<Vec<Option<String>>>, end: End },
    Err { code: u16, message: String },
    Prepared { id: u32, columns: u16, params: u16 },
    Words(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub affected: u64,
    pub insert_id: u64,
    pub status: Status,
    pub warnings: u16,
    pub info: String,
    pub variables: Vec<(String, String)>,
    pub schema: Option<String>,
}

/// What the next packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    Definitions { left: u64, then: After },
    DefinitionsEof { then: After },
    Row,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Rows,
    PreparedColumns(u16),
    Nothing,
}

/// A reply being read.
#[derive(Debug)]
pub struct ReplyReader {
    shape: Shape,
    caps: Capabilities,
    next: Next,
    seq: u8,
    columns: usize,
    rows: Vec<Vec<Option<String>>>,
    outcomes: Vec<Outcome>,
}

/// Takes the packet at the front of `input`: its sequence number and payload.
pub fn take_packet(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let header = Header::at_front(input)?;
    let len = HEADER_BYTES + header.payload_len as usize;
    if input.len() < len {
        return None;
    }
    let packet: Vec<u8> = input.drain(..len).collect();
    Some((header.seq, packet[HEADER_BYTES..].to_vec()))
}

impl ReplyReader {
    pub fn new(shape: Shape, caps: Capabilities) -> ReplyReader {
        let next = if shape == Shape::Fetch { Next::Row } else { Next::Head };
        ReplyReader { shape, caps, next, seq: 1, columns: 0, rows: Vec::new(), outcomes: Vec::new() }
    }

    /// For the columns of a cursor's rows, which only the execute has told.
    pub fn with_columns(mut self, columns: usize) -> ReplyReader {
        self.columns = columns;
        self
    }

    /// Takes a packet in. All results of the reply when it was the last one.
    pub fn packet(&mut self, seq: u8, payload: &[u8]) -> Result<Option<Vec<Outcome>>, String> {
        if seq != self.seq {
            return Err(format!("packet with sequence number {seq} instead of {}", self.seq));
        }
        self.seq = self.seq.wrapping_add(1);
        let done =
            self.step(payload).map_err(|what| format!("{what} ({:?}, {:?}, {payload:?})", self.shape, self.next))?;
        Ok(done.then(|| std::mem::take(&mut self.outcomes)))
    }

    fn step(&mut self, payload: &[u8]) -> Result<bool, String> {
        let first = *payload.first().ok_or("an empty packet")?;
        match self.next {
            Next::Head if self.shape == Shape::Statistics && first != 0xff => {
                self.outcomes.push(Outcome::Words(String::from_utf8_lossy(payload).into_owned()));
                Ok(true)
            }
            Next::Head => self.head(first, payload),
            Next::Definitions { left, then } => {
                if self.shape == Shape::FieldList && (first == 0xff || first == 0xfe && payload.len() < 16) {
                    return self.row_end(first, payload);
                }
                if Reader::new(payload).lenenc_bytes() != Ok(b"def") {
                    return Err("not a column definition".into());
                }
                self.next = match left {
                    1 if self.has_eofs() => Next::DefinitionsEof { then },
                    1 => return self.after(then),
                    _ => Next::Definitions { left: left - 1, then },
                };
                Ok(false)
            }
            Next::DefinitionsEof { then } => {
                if first != 0xfe || payload.len() != 5 {
                    return Err("no EOF behind the definitions".into());
                }
                let status = Status(u16::from_le_bytes([payload[3], payload[4]]));
                if status.contains(Status::CURSOR_EXISTS) {
                    // Without rows: the cursor has them.
                    return self.row_end(first, payload);
                }
                self.after(then)
            }
            Next::Row if first == 0xff || first == 0xfe && payload.len() < 0xff_ffff => self.row_end(first, payload),
            Next::Row => {
                let row = if self.shape == Shape::Text { text_row(payload) } else { binary_row(payload, self.columns) };
                self.rows.push(row.ok_or("a row that cannot be read")?);
                Ok(false)
            }
        }
    }

    fn has_eofs(&self) -> bool {
        !self.caps.contains(Capabilities::DEPRECATE_EOF)
    }

    fn after(&mut self, then: After) -> Result<bool, String> {
        self.next = match then {
            After::Rows => Next::Row,
            After::PreparedColumns(0) | After::Nothing => return Ok(true),
            After::PreparedColumns(n) => Next::Definitions { left: u64::from(n), then: After::Nothing },
        };
        Ok(false)
    }

    fn head(&mut self, first: u8, payload: &[u8]) -> Result<bool, String> {
        if first == 0xff {
            return self.error(payload);
        }
        match self.shape {
            Shape::Prepare => {
                let ok = weir_net::statement::PrepareOk::decode(payload).map_err(|e| e.0.to_string())?;
                self.outcomes.push(Outcome::Prepared { id: ok.statement_id, columns: ok.columns, params: ok.params });
                if ok.params > 0 {
                    let then = After::PreparedColumns(ok.columns);
                    self.next = Next::Definitions { left: u64::from(ok.params), then };
                    return Ok(false);
                }
                self.after(After::PreparedColumns(ok.columns))
            }
            Shape::FieldList => {
                self.next = Next::Definitions { left: u64::MAX, then: After::Nothing };
                self.step(payload)
            }
            Shape::Simple => {
                self.outcomes.push(Outcome::Ok(self.end(payload)?));
                Ok(true)
            }
            _ if first == 0 => {
                let end = self.end(payload)?;
                let more = end.status.contains(Status::MORE_RESULTS);
                self.outcomes.push(Outcome::Ok(end));
                Ok(!more)
            }
            _ => {
                let count = Reader::new(payload).lenenc().map_err(|e| e.0.to_string())?;
                self.columns = count as usize;
                self.next = Next::Definitions { left: count, then: After::Rows };
                Ok(false)
            }
        }
    }

    fn row_end(&mut self, first: u8, payload: &[u8]) -> Result<bool, String> {
        if first == 0xff {
            return self.error(payload);
        }
        let end = self.end(payload)?;
        let more = end.status.contains(Status::MORE_RESULTS);
        self.outcomes.push(Outcome::Rows { columns: self.columns, rows: std::mem::take(&mut self.rows), end });
        self.next = Next::Head;
        Ok(!more)
    }

    fn error(&mut self, payload: &[u8]) -> Result<bool, String> {
        let err = ErrPacket::decode(payload).map_err(|e| e.0.to_string())?;
        let message = String::from_utf8_lossy(err.message).into_owned();
        self.outcomes.push(Outcome::Err { code: err.code, message });
        Ok(true)
    }

    fn end(&self, payload: &[u8]) -> Result<End, String> {
        let is_eof = payload.first() == Some(&0xfe);
        if is_eof && (payload.len() == 5) != self.has_eofs() {
            return Err("an EOF where an OK belongs, or the other way round".into());
        }
        let ok = OkPacket::decode(payload, self.caps).map_err(|e| e.0.to_string())?;
        let mut end = End {
            affected: ok.affected_rows,
            insert_id: ok.last_insert_id,
            status: ok.status,
            warnings: ok.warnings,
            info: String::from_utf8_lossy(ok.info).into_owned(),
            ..End::default()
        };
        for track in Tracks::new(ok.track) {
            match track.map_err(|e| e.0.to_string())? {
                Track::Variable { name, value } => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    end.variables.push((text(name), text(value)));
                }
                Track::Schema(name) => end.schema = Some(String::from_utf8_lossy(name).into_owned()),
                _ => {}
            }
        }
        Ok(end)
    }
}

fn text_row(payload: &[u8]) -> Option<Vec<Option<String>>> {
    let mut reader = Reader::new(payload);
    let mut cells = Vec::new();
    while !reader.is_empty() {
        cells.push(reader.cell().ok()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Some(cells)
}

fn binary_row(payload: &[u8], columns: usize) -> Option<Vec<Option<String>>> {
    let mut reader = Reader::new(payload);
    reader.u8().ok()?;
    let nulls = reader.take((columns + 9) / 8).ok()?;
    let mut cells = Vec::new();
    for at in 0..columns {
        let is_null = nulls[(at + 2) / 8] & (1 << ((at + 2) % 8)) != 0;
        cells.push(if is_null {
            None
        } else {
            Some(String::from_utf8_lossy(reader.lenenc_bytes().ok()?).into_owned())
        });
    }
    reader.is_empty().then_some(cells)
}
