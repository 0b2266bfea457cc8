//! Requests: the payloads of commands.
//!
//! Rules: MySQL "COM_QUERY", "COM_STMT_EXECUTE", "COM_CHANGE_USER".

use super::value::Value;
use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

/// The command byte and its body.
pub fn command(command: Command, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(body.len() + 1);
    payload.put_u8(command.to_byte());
    payload.put_bytes(body);
    payload
}

/// `COM_QUERY`. Attributes go out only on a connection with `QUERY_ATTRIBUTES`.
pub fn query(capabilities: Capabilities, sql: &[u8], attributes: &[(&str, Value)]) -> Vec<u8> {
    let mut payload = vec![Command::Query.to_byte()];
    if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
        payload.put_lenenc(attributes.len() as u64);
        payload.put_lenenc(1);
        if !attributes.is_empty() {
            let values: Vec<&Value> = attributes.iter().map(|(_, value)| value).collect();
            put_nulls(&mut payload, &values);
            payload.put_u8(1);
            for (name, value) in attributes {
                payload.put_u16(value.bound_kind());
                payload.put_lenenc_bytes(name.as_bytes());
            }
            values.iter().for_each(|value| value.encode(&mut payload));
        }
    }
    payload.put_bytes(sql);
    payload
}

/// What `COM_STMT_EXECUTE` takes.
#[derive(Clone, Copy, Debug)]
pub struct Execute<'a> {
    pub statement_id: u32,
    pub params: &'a [Value],
    /// Sent ahead by `COM_STMT_SEND_LONG_DATA`: those parameters have no value here. Same length as `params`, or empty.
    pub long_data: &'a [bool],
    pub types: Types,
    pub cursor: Cursor,
}

/// A client sends the types with the first execute, and leaves them out later if they stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    Send,
    AsBefore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    None = 0,
    ReadOnly = 1,
}

/// ```text
/// id  flags  iterations  [count]  [nulls  bound  [types]  values]
///  4    1        4       lenenc
/// ```
pub fn execute(capabilities: Capabilities, execute: &Execute<'_>) -> Vec<u8> {
    let named = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
    let params = execute.params;
    let mut payload = vec![Command::StmtExecute.to_byte()];
    payload.put_u32(execute.statement_id);
    payload.put_u8(execute.cursor as u8 | if named { PARAMETER_COUNT_AVAILABLE } else { 0 });
    payload.put_u32(1);
    if named {
        payload.put_lenenc(params.len() as u64);
    }
    if params.is_empty() {
        return payload;
    }
    put_nulls(&mut payload, &params.iter().collect::<Vec<_>>());
    match execute.types {
        Types::AsBefore => payload.put_u8(0),
        Types::Send => {
            payload.put_u8(1);
            for param in params {
                payload.put_u16(param.bound_kind());
                if named {
                    payload.put_lenenc_bytes(b"");
                }
            }
        }
    }
    for (at, param) in params.iter().enumerate() {
        if !execute.long_data.get(at).copied().unwrap_or(false) {
            param.encode(&mut payload);
        }
    }
    payload
}

fn put_nulls(payload: &mut Vec<u8>, values: &[&Value]) {
    let mut nulls = vec![0u8; values.len().div_ceil(8)];
    for (at, value) in values.iter().enumerate() {
        if matches!(value, Value::Null) {
            nulls[at / 8] |= 1 << (at % 8);
        }
    }
    payload.put_bytes(&nulls);
}

const PARAMETER_COUNT_AVAILABLE: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use weir_net::command::query_text;
    use weir_net::statement::ExecuteHead;

    #[test]
    fn what_is_written_is_read_by_the_wire_crate() {
        for capabilities in [Capabilities::PROTOCOL_41, Capabilities::PROTOCOL_41 | Capabilities::QUERY_ATTRIBUTES] {
            let named = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
            let attributes = [("a", Value::Null), ("b", Value::Int(1)), ("c", Value::text("x"))];
            let payload = query(capabilities, b"SELECT 1", &attributes);
            let parts = query_text(&payload[1..], capabilities).unwrap();
            assert_eq!(&payload[1..][parts.text], b"SELECT 1");
            assert_eq!(parts.attribute_count, if named { 3 } else { 0 });

            let params = [Value::Null, Value::Int(7)];
            let request = Execute {
                statement_id: 9,
                params: &params,
                long_data: &[],
                types: Types::Send,
                cursor: Cursor::ReadOnly,
            };
            let payload = execute(capabilities, &request);
            let head = ExecuteHead::decode(&payload[1..], 2, capabilities).unwrap();
            assert_eq!((head.statement_id, head.flags & 1), (9, 1));
            assert!(head.types.is_some());
            let payload = execute(capabilities, &Execute { types: Types::AsBefore, ..request });
            assert!(ExecuteHead::decode(&payload[1..], 2, capabilities).unwrap().types.is_none());
        }
    }
}
