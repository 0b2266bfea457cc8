//! The query attribute: a named value that a client sends beside a statement.
//!
//! ```text
//!   COM_QUERY            count  1  [nulls  bound=1  (type name)*  values]  text
//!   COM_STMT_EXECUTE     … count   nulls  bound    [(type name)*] values          parameters first, then attributes
//! ```
//! Invariant: nothing is copied, and what does not fit together has no attribute.
//!
//! Rules: MySQL "COM_QUERY", "COM_STMT_EXECUTE".

use crate::command::{is_null, skip_value};
use crate::flags::Capabilities;
use crate::limits::ATTRIBUTES_MAX;
use crate::reader::Reader;
use crate::statement::ExecuteHead;

/// The value of a `COM_QUERY`'s attribute, if it is a text. `body` begins behind the command byte.
pub fn of_query<'a>(body: &'a [u8], caps: Capabilities, name: &[u8]) -> Option<&'a [u8]> {
    // No attributes: what most statements have.
    if !caps.contains(Capabilities::QUERY_ATTRIBUTES) || body.first() == Some(&0) {
        return None;
    }
    let mut reader = Reader::new(body);
    let (count, sets) = (reader.lenenc().ok()?, reader.lenenc().ok()?);
    if count == 0 || count > ATTRIBUTES_MAX || sets != 1 {
        return None;
    }
    let nulls = reader.take(count.div_ceil(8) as usize).ok()?;
    if reader.u8().ok()? != 1 {
        return None;
    }
    find(reader.rest(), None, nulls, count, name)
}

/// The same of an execute. `types` is the block that it brings, or the one that it relies on; `params` those of its statement, none of
/// which was sent as long data.
pub fn of_execute<'a>(head: &ExecuteHead<'a>, types: &[u8], params: u16, name: &[u8]) -> Option<&'a [u8]> {
    // Parameters alone: what most have.
    if head.count <= u64::from(params) {
        return None;
    }
    find(head.values, Some(types), head.nulls, head.count, name)
}

/// Types stand before the values, unless they are given.
fn find<'a>(body: &'a [u8], types: Option<&[u8]>, nulls: &[u8], count: u64, name: &[u8]) -> Option<&'a [u8]> {
    let mut values = Reader::new(body);
    let mut kinds = Reader::new(types.unwrap_or(body));
    if types.is_none() {
        for _ in 0..count {
            values.u16().ok()?;
            values.lenenc_bytes().ok()?;
        }
    }
    for index in 0..count {
        let kind = kinds.u16().ok()?;
        let is_it = kinds.lenenc_bytes().ok()? == name;
        match (is_null(nulls, index), is_it) {
            (true, true) => return None,
            (true, false) => {}
            (false, true) => return TEXTS.contains(&(kind & 0xff)).then(|| values.lenenc_bytes().ok()).flatten(),
            (false, false) => skip_value(&mut values, kind).ok()?,
        }
    }
    None
}

/// `VARCHAR`, the blobs, `VAR_STRING`, `STRING`.
const TEXTS: [u16; 7] = [0x0f, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe];

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::QUERY_ATTRIBUTES);

    /// A NULL, a number, and the text that is looked for.
    const TYPES: &[u8] = b"\xfd\x00\x01n\x03\x00\x01i\xfe\x00\x0btraceparent";
    const VALUES: &[u8] = b"\x07\x00\x00\x00\x05value";

    #[test]
    fn a_text_is_found_behind_others() {
        let body = [b"\x03\x01\x01\x01", TYPES, VALUES, b"SELECT 1"].concat();
        assert_eq!(of_query(&body, CAPS, b"traceparent"), Some(&b"value"[..]));
        assert_eq!(of_query(&body, CAPS, b"n"), None, "a NULL");
        assert_eq!(of_query(&body, CAPS, b"i"), None, "a number");
        assert_eq!(of_query(&body, CAPS, b"other"), None);
        assert_eq!(of_query(&body, Capabilities::PROTOCOL_41, b"traceparent"), None);
        assert_eq!(of_query(b"\x00\x01SELECT 1", CAPS, b"traceparent"), None);
        for len in 0..body.len() - b"SELECT 1".len() {
            assert_eq!(of_query(&body[..len], CAPS, b"traceparent"), None, "{len}");
        }
    }

    #[test]
    fn an_execute_has_them_behind_its_parameters() {
        let front = b"\x07\x00\x00\x00\x08\x01\x00\x00\x00\x03\x01";
        let (with, without) = ([&front[..], b"\x01", TYPES, VALUES].concat(), [&front[..], b"\x00", VALUES].concat());
        let find = |body: &[u8], params, name: &[u8]| {
            let head = ExecuteHead::decode(body, params, CAPS).unwrap();
            of_execute(&head, head.types.unwrap_or(TYPES), params, name).map(<[u8]>::to_vec)
        };
        for body in [&with, &without] {
            assert_eq!(find(body, 2, b"traceparent"), Some(b"value".to_vec()));
            assert_eq!(find(body, 3, b"traceparent"), None, "all of them are parameters");
        }
    }
}
