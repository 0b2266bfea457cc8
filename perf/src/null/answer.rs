//! The replies of the null backend, written as packets.
//!
//! Invariant: each function appends one whole reply, numbered from `seq` on, as the client's capabilities want it, and
//! returns the next number.
//! A point select's reply is what sysbench's would be: one column `c` of `sbtest1`, 120 bytes.
//! Rules: MySQL "Text Resultset", "Binary Protocol Resultset", "COM_STMT_PREPARE Response".

use weir_net::column::{CHARSET_BINARY, CHARSET_UTF8MB4, Column, Form, put_column, put_result};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet;
use weir_net::statement::PrepareOk;
use weir_net::writer::Put;

/// Replies of one row that were written before. There are as many as combinations of status, form and one capability:
/// a handful.
#[derive(Debug, Default)]
pub struct Canned {
    replies: Vec<(bool, Form, Status, Vec<u8>)>,
}

impl Canned {
    /// Appends a reply of one row to a command, so numbered from 1 on.
    pub fn put_point(&mut self, out: &mut Vec<u8>, caps: Capabilities, status: Status, form: Form) -> u8 {
        let short = caps.contains(Capabilities::DEPRECATE_EOF);
        let found =
            (self.replies.iter()).find(|(s, f, t, _)| (*s, *f, *t) == (short, form, status)).map(|(.., reply)| reply);
        match found {
            Some(reply) => out.extend_from_slice(reply),
            None => {
                let mut reply = Vec::new();
                put_rows(&mut reply, 1, caps, status, form, 1);
                out.extend_from_slice(&reply);
                self.replies.push((short, form, status, reply));
            }
        }
        // Count, definition, row and end; between the latter two EOF, if it is not left out.
        if short { 5 } else { 6 }
    }
}

pub fn put_rows(out: &mut Vec<u8>, seq: u8, caps: Capabilities, status: Status, form: Form, rows: u64) -> u8 {
    let mut seq = put_framed(out, seq, |out| out.put_lenenc(1));
    seq = put_framed(out, seq, |out| put_column(out, &POINT_COLUMN));
    seq = put_column_end(out, seq, caps, status);
    for _ in 0..rows {
        seq = put_framed(out, seq, |out| {
            if form == Form::Binary {
                // The header, and the bitmap of NULLs for one column.
                out.put_bytes(&[0, 0]);
            }
            out.put_lenenc_bytes(POINT_VALUE);
        });
    }
    put_framed(out, seq, |out| end(status).encode(out, caps))
}

/// A row of texts under these names; no row if `values` is empty.
pub fn put_texts(
    out: &mut Vec<u8>,
    seq: u8,
    caps: Capabilities,
    status: Status,
    names: &[String],
    values: Vec<Option<Vec<u8>>>,
) -> u8 {
    let columns: Vec<Column<'_>> = (names.iter()).map(|name| Column::text(name.as_bytes(), 1024)).collect();
    let rows = if values.is_empty() { vec![] } else { vec![values] };
    put_result(out, seq, caps, EofPacket { warnings: 0, status }, &columns, &rows, Form::Text)
}

pub fn put_ok(out: &mut Vec<u8>, seq: u8, caps: Capabilities, ok: &OkPacket<'_>) -> u8 {
    put_framed(out, seq, |out| ok.encode(out, caps))
}

pub fn put_error(out: &mut Vec<u8>, seq: u8, code: u16, message: &str) -> u8 {
    let error = ErrPacket { code, state: *b"HY000", message: message.as_bytes() };
    put_framed(out, seq, |out| error.encode(out))
}

/// ```text
/// prepare-OK | definition per parameter | [EOF] | definition per column | [EOF]
/// ```
pub fn put_prepared(
    out: &mut Vec<u8>,
    seq: u8,
    caps: Capabilities,
    status: Status,
    id: u32,
    columns: u16,
    params: u16,
) {
    let ok = PrepareOk { statement_id: id, columns, params, warnings: 0 };
    let mut seq = put_framed(out, seq, |out| ok.encode(out));
    for (count, column) in [(params, &PARAMETER), (columns, &POINT_COLUMN)] {
        for _ in 0..count {
            seq = put_framed(out, seq, |out| put_column(out, column));
        }
        if count > 0 {
            seq = put_column_end(out, seq, caps, status);
        }
    }
}

fn put_column_end(out: &mut Vec<u8>, seq: u8, caps: Capabilities, status: Status) -> u8 {
    match caps.contains(Capabilities::DEPRECATE_EOF) {
        true => seq,
        false => put_framed(out, seq, |out| end(status).encode(out, caps)),
    }
}

fn end(status: Status) -> EofPacket {
    EofPacket { warnings: 0, status }
}

pub fn put_framed(out: &mut Vec<u8>, seq: u8, write: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let at = packet::begin(out, seq);
    write(out);
    packet::finish(out, at)
}

const KIND_STRING: u8 = 254;

const POINT_COLUMN: Column<'static> = Column {
    schema: b"sbtest",
    table: b"sbtest1",
    org_table: b"sbtest1",
    name: b"c",
    org_name: b"c",
    charset: CHARSET_UTF8MB4,
    length: 480,
    kind: KIND_STRING,
    flags: 1,
    decimals: 0,
};

const PARAMETER: Column<'static> = Column {
    schema: b"",
    table: b"",
    org_table: b"",
    name: b"?",
    org_name: b"",
    charset: CHARSET_BINARY,
    length: 0,
    kind: weir_net::column::KIND_VAR_STRING,
    flags: 128,
    decimals: 0,
};

/// Ten groups of eleven digits, as sysbench fills its column `c`.
const POINT_VALUE: &[u8] = b"68487932199-96439406143-93774651418-41631865787-96406072701-\
20604855487-25459966574-28203206787-41238978918-19503783441 ";
