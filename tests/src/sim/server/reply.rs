//! Replies as the server writes them: packets with sequence numbers, in the shapes that the client's capabilities ask for.
//!
//! Rules: MySQL "Text Resultset", "Binary Protocol Resultset", "OK_Packet".

use weir_net::column::{Column, put_column};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EOF_HEADER, ErrPacket, OK_HEADER, OkPacket};
use weir_net::packet;
use weir_net::writer::Put;

pub type Cell = Option<String>;

/// The end of a result: what its OK says.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    pub affected: u64,
    pub insert_id: u64,
    pub status: Status,
    pub warnings: u16,
    pub info: String,
    pub track: Vec<u8>,
}

/// Packets of one reply.
#[derive(Debug)]
pub struct Replier {
    pub out: Vec<u8>,
    pub seq: u8,
    pub caps: Capabilities,
}

impl Replier {
    pub fn new(seq: u8, caps: Capabilities) -> Replier {
        Replier { out: Vec::new(), seq, caps }
    }

    pub fn packet(&mut self, payload: &[u8]) {
        self.seq = packet::put(&mut self.out, self.seq, payload);
    }

    pub fn ok(&mut self, finish: &Finish) {
        self.end(finish, OK_HEADER);
    }

    fn end(&mut self, finish: &Finish, header: u8) {
        let mut payload = Vec::new();
        OkPacket {
            affected_rows: finish.affected,
            last_insert_id: finish.insert_id,
            status: finish.status,
            warnings: finish.warnings,
            info: finish.info.as_bytes(),
            track: &finish.track,
            header,
        }
        .encode(&mut payload, self.caps);
        self.packet(&payload);
    }

    pub fn err(&mut self, code: u16, state: &str, message: &str) {
        let mut payload = Vec::new();
        let state = state.as_bytes().try_into().unwrap_or(*b"HY000");
        ErrPacket { code, state, message: message.as_bytes() }.encode(&mut payload);
        self.packet(&payload);
    }

    /// The EOF behind definitions, for those who still get one.
    pub fn definitions_end(&mut self, status: Status) {
        if !self.caps.contains(Capabilities::DEPRECATE_EOF) {
            self.eof(status, 0);
        }
    }

    fn eof(&mut self, status: Status, warnings: u16) {
        let mut payload = vec![EOF_HEADER];
        payload.put_u16(warnings);
        payload.put_u16(status.minus(Status::SESSION_STATE_CHANGED).0);
        self.packet(&payload);
    }

    /// The end of rows, or of definitions alone: an OK with another header, or an EOF.
    pub fn rows_end(&mut self, finish: &Finish) {
        if self.caps.contains(Capabilities::DEPRECATE_EOF) {
            let finish = Finish { affected: 0, insert_id: 0, info: String::new(), ..finish.clone() };
            return self.end(&finish, EOF_HEADER);
        }
        self.eof(finish.status, finish.warnings);
    }

    pub fn definitions(&mut self, names: &[String]) {
        for name in names {
            let mut payload = Vec::new();
            put_column(&mut payload, &Column::text(name.as_bytes(), 255));
            self.packet(&payload);
        }
    }

    /// Column count and definitions.
    pub fn columns(&mut self, names: &[String]) {
        let mut payload = Vec::new();
        payload.put_lenenc(names.len() as u64);
        self.packet(&payload);
        self.definitions(names);
    }

    pub fn text_row(&mut self, cells: &[Cell]) {
        let mut payload = Vec::new();
        for cell in cells {
            payload.put_cell(cell.as_ref().map(String::as_bytes));
        }
        self.packet(&payload);
    }

    /// Every value is a string, so the binary form is the same but for its head.
    pub fn binary_row(&mut self, cells: &[Cell]) {
        let mut payload = vec![0];
        let mut nulls = vec![0u8; (cells.len() + 9) / 8];
        for (at, cell) in cells.iter().enumerate() {
            if cell.is_none() {
                nulls[(at + 2) / 8] |= 1 << ((at + 2) % 8);
            }
        }
        payload.put_bytes(&nulls);
        for cell in cells.iter().flatten() {
            payload.put_lenenc_bytes(cell.as_bytes());
        }
        self.packet(&payload);
    }
}
