//! What the admin port says, as packets; and the text of a `COM_QUERY`.

use super::answer::Answer;
use super::{STATUS, err, ok};
use weir_net::column::{Column, put_binary_result, put_result};
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

/// How rows are sent: a statement's as texts, an execute's in their binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Binary,
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
            let end = EofPacket { warnings: *warnings, status: STATUS };
            match form {
                Form::Text => put_result(&mut bytes, 1, caps, end, &columns, rows),
                Form::Binary => put_binary_result(&mut bytes, 1, caps, end, &columns, rows),
            };
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
