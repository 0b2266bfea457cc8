//! What the admin port says, as packets; and the text of a `COM_QUERY`.

use super::answer::Answer;
use super::{STATUS, err, ok};
use weir_net::column::{Column, Form, put_result};
use weir_net::command::query_text;
use weir_net::flags::Capabilities;
use weir_net::outcome::EofPacket;
use weir_net::packet;

pub fn error(code: u16, state: [u8; 5], message: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    err(code, state, message).encode(&mut payload);
    payload
}

pub fn eof(caps: Capabilities) -> Vec<u8> {
    let mut payload = Vec::new();
    EofPacket { warnings: 0, status: STATUS }.encode(&mut payload, caps.minus(Capabilities::DEPRECATE_EOF));
    payload
}

/// As the first packet behind a command.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + packet::HEADER_BYTES);
    packet::put(&mut bytes, 1, payload);
    bytes
}

/// The whole answer, framed.
pub fn encode(caps: Capabilities, answer: &Answer, form: Form) -> Vec<u8> {
    match answer {
        Answer::Done => {
            let mut payload = Vec::new();
            ok().encode(&mut payload, caps);
            framed(&payload)
        }
        Answer::Refused { code, state, text } => framed(&error(*code, *state, text)),
        Answer::Rows { columns, rows, warnings } => {
            let mut bytes = Vec::new();
            let columns: Vec<_> = columns.iter().map(|name| Column::text(name.as_bytes(), CELL_CHARS)).collect();
            put_result(&mut bytes, 1, caps, EofPacket { warnings: *warnings, status: STATUS }, &columns, rows, form);
            bytes
        }
    }
}

/// The statement, without query attributes. None: malformed.
pub fn text(caps: Capabilities, body: &[u8]) -> Option<&[u8]> {
    let parts = query_text(body, caps).ok()?;
    body.get(parts.text)
}

/// Characters that a column says to hold.
const CELL_CHARS: u32 = 1_024;
