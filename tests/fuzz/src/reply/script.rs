//! Replies that are right, built from an input's choices by the protocol's manual and not by the scan's own rules.
//!
//! Rules: MySQL "COM_QUERY Response", "COM_STMT_PREPARE Response", "Binary Protocol Resultset".

use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet::{self, HEADER_BYTES, Header};
use weir_net::scan::{ReplyKind, What};
use weir_net::track::{Track, put_track};
use weir_net::writer::Put;

use super::Setting;
use crate::draw::Draw;

/// Results of one reply, and rows of one result: enough to meet each other in any order.
const RESULTS_MAX: usize = 4;
const ROWS_MAX: usize = 12;

/// A whole reply and what a scan must say of it.
#[derive(Debug)]
pub struct Script {
    pub bytes: Vec<u8>,
    pub specials: Vec<What>,
    /// Ends of column definitions that no EOF marks.
    pub marks: usize,
    /// Rows of the last result that had columns.
    pub rows: u64,
    caps: Capabilities,
    seq: u8,
}

impl Script {
    pub fn drawn(setting: Setting, draw: &mut Draw<'_>) -> Script {
        let mut script =
            Script { bytes: Vec::new(), specials: Vec::new(), marks: 0, rows: 0, caps: setting.caps, seq: 1 };
        match setting.kind {
            ReplyKind::Query | ReplyKind::Execute => script.results(setting.kind, draw),
            ReplyKind::Prepare => script.prepared(draw),
            ReplyKind::Fetch | ReplyKind::FieldList | ReplyKind::Endless => script.rows_and_end(draw, Status::empty()),
            ReplyKind::Simple => match draw.below(3) {
                0 => script.err(draw),
                1 => script.end(What::Ok, Status(draw.u16())),
                _ => {
                    let status = Status(draw.u16());
                    script.ok(draw, status);
                }
            },
            ReplyKind::Statistics => match draw.below(4) {
                0 => script.err(draw),
                _ => script.special(What::Text, &[b"Uptime: 1 ", draw.piece()].concat()),
            },
            ReplyKind::Nothing => {}
        }
        script
    }

    /// The bytes as the client gets them.
    pub fn shifted(&self, shift: u8) -> Vec<u8> {
        let mut out = self.bytes.clone();
        let mut at = 0;
        while let Some(header) = Header::at_front(&out[at..]) {
            out[at + 3] = header.seq.wrapping_add(shift);
            at += HEADER_BYTES + header.payload_len as usize;
        }
        out
    }

    fn results(&mut self, kind: ReplyKind, draw: &mut Draw<'_>) {
        for result in 1..=RESULTS_MAX {
            let last = result == RESULTS_MAX || draw.coin();
            let more = if last { Status::empty() } else { Status::MORE_RESULTS };
            match draw.below(8) {
                0 => return self.err(draw),
                1 => self.ok(draw, more),
                2 => {
                    self.special(What::Infile, &[b"\xfb", draw.piece()].concat());
                    // The numbers of the file's packets lie between.
                    self.seq = self.seq.wrapping_add(draw.u8());
                    if draw.coin() {
                        return self.err(draw);
                    }
                    self.ok(draw, more);
                }
                3 if kind == ReplyKind::Execute => return self.cursor(draw),
                4 if kind == ReplyKind::Execute && !last => self.out_parameters(draw),
                _ => {
                    if !self.result_set(draw, more) {
                        return;
                    }
                }
            }
            if last {
                return;
            }
        }
    }

    /// False when an error ended it, and the reply with it.
    fn result_set(&mut self, draw: &mut Draw<'_>, more: Status) -> bool {
        let columns = self.count(draw);
        if draw.below(16) == 0 {
            // In the middle of the definitions.
            self.columns(columns - 1);
            self.err(draw);
            return false;
        }
        self.columns(columns);
        self.columns_end(more);
        self.rows(draw);
        if draw.below(8) == 0 {
            self.err(draw);
            return false;
        }
        self.end(What::RowsEnd, more);
        true
    }

    /// Rows that stay at the server: one end, behind the definitions.
    fn cursor(&mut self, draw: &mut Draw<'_>) {
        let columns = self.count(draw);
        self.columns(columns);
        let status = Status::CURSOR_EXISTS.union(if draw.coin() { Status::MORE_RESULTS } else { Status::empty() });
        self.end(What::RowsEnd, status);
    }

    /// OUT parameters of a CALL, which an OK follows: with an EOF behind the definitions only that says so.
    fn out_parameters(&mut self, draw: &mut Draw<'_>) {
        let status = Status::PS_OUT_PARAMS | Status::MORE_RESULTS;
        let columns = self.count(draw);
        self.columns(columns);
        self.columns_end(status);
        self.row(b"\0\0row");
        self.rows += 1;
        let at_end = if self.is_eof_deprecated() { status } else { Status::empty() };
        self.end(What::RowsEnd, at_end);
    }

    fn prepared(&mut self, draw: &mut Draw<'_>) {
        if draw.below(6) == 0 {
            return self.err(draw);
        }
        let (columns, params) = (draw.below(4) as u16, draw.below(4) as u16);
        let mut payload = vec![0];
        payload.put_u32(draw.u32());
        payload.put_u16(columns);
        payload.put_u16(params);
        payload.put_bytes(&[0, 0, 0]);
        self.special(What::PrepareOk, &payload);
        for count in [params, columns].into_iter().filter(|count| *count > 0) {
            self.columns(u64::from(count));
            self.columns_end(Status::empty());
        }
    }

    fn rows_and_end(&mut self, draw: &mut Draw<'_>, status: Status) {
        self.rows(draw);
        match draw.below(4) {
            0 => self.err(draw),
            _ => self.end(What::RowsEnd, status),
        }
    }

    fn count(&mut self, draw: &mut Draw<'_>) -> u64 {
        let columns = if draw.below(32) == 0 { 251 + draw.below(10) } else { 1 + draw.below(4) };
        let mut payload = Vec::new();
        payload.put_lenenc(columns as u64);
        self.packet(&payload);
        self.rows = 0;
        columns as u64
    }

    fn columns(&mut self, count: u64) {
        for _ in 0..count {
            self.packet(b"\x03def\x01s\x01t\x01t\x01c\x01c\x0c");
        }
    }

    fn columns_end(&mut self, status: Status) {
        if self.is_eof_deprecated() {
            self.marks += 1;
        } else {
            self.end(What::ColumnsEof, status);
        }
    }

    /// A row begins with anything but the first bytes of an end and an error, NULL (0xfb) among it.
    fn rows(&mut self, draw: &mut Draw<'_>) {
        for _ in 0..draw.below(ROWS_MAX) {
            let first = draw.u8() % 0xfe;
            let rest = draw.piece();
            self.row(&[&[first], rest].concat());
            self.rows += 1;
        }
    }

    fn row(&mut self, payload: &[u8]) {
        self.packet(payload);
    }

    fn ok(&mut self, draw: &mut Draw<'_>, status: Status) {
        let mut track = Vec::new();
        if draw.coin() {
            put_track(&mut track, &Track::Variable { name: b"sql_mode", value: draw.piece() });
        }
        let (affected_rows, last_insert_id) = (draw.u64() >> (draw.u8() % 64), draw.u64() >> (draw.u8() % 64));
        let ok = OkPacket {
            affected_rows,
            last_insert_id,
            status,
            info: draw.piece(),
            track: &track,
            ..OkPacket::default()
        };
        let mut payload = Vec::new();
        ok.encode(&mut payload, self.caps);
        self.special(What::Ok, &payload);
    }

    fn err(&mut self, draw: &mut Draw<'_>) {
        let mut payload = Vec::new();
        ErrPacket { code: draw.u16(), state: *b"42000", message: draw.piece() }.encode(&mut payload);
        self.special(What::Err, &payload);
    }

    fn end(&mut self, what: What, status: Status) {
        let mut payload = Vec::new();
        EofPacket { warnings: 1, status }.encode(&mut payload, self.caps);
        self.special(what, &payload);
    }

    fn special(&mut self, what: What, payload: &[u8]) {
        self.packet(payload);
        self.specials.push(what);
    }

    fn packet(&mut self, payload: &[u8]) {
        self.seq = packet::put(&mut self.bytes, self.seq, payload);
    }

    fn is_eof_deprecated(&self) -> bool {
        self.caps.contains(Capabilities::DEPRECATE_EOF)
    }
}
