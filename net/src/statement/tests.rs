//! Statements in the shapes that capabilities give them.

use super::*;
use crate::packet;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const NAMED: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::QUERY_ATTRIBUTES);

#[test]
fn prepare_ok_and_its_id() {
    let payload = [0, 7, 0, 0, 0, 2, 0, 1, 0, 0, 5, 0];
    let expected = PrepareOk { statement_id: 7, columns: 2, params: 1, warnings: 5 };
    assert_eq!(PrepareOk::decode(&payload), Ok(expected));
    let old = PrepareOk { warnings: 0, ..expected };
    assert_eq!(PrepareOk::decode(&payload[..10]), Ok(old));
    for len in (0..10).chain([11]) {
        assert!(PrepareOk::decode(&payload[..len]).is_err());
    }
    assert!(PrepareOk::decode(&[1; 12]).is_err());

    let mut framed = Vec::new();
    packet::put(&mut framed, 1, &payload);
    patch_statement_id(&mut framed, 0x0403_0201);
    assert_eq!(framed[4..10], [0, 1, 2, 3, 4, 2]);
    let mut short = [1; 8];
    patch_statement_id(&mut short, 0);
    assert_eq!(short, [1; 8]);

    let mut close = Vec::new();
    put_statement_command(&mut close, Command::StmtClose, 9);
    assert_eq!(close, [0x19, 9, 0, 0, 0]);
    assert_eq!(statement_id(&close[1..]), Ok(9));
    assert!(statement_id(&[0; 3]).is_err());
}

fn body(flags: u8, tail: &[u8]) -> Vec<u8> {
    [&[7, 0, 0, 0, flags, 1, 0, 0, 0], tail].concat()
}

fn rebuilt(
    body: &[u8],
    params: u16,
    from: Capabilities,
    to: Capabilities,
    types: Option<&[u8]>,
) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    rebuild_execute(&mut out, body, params, from, to, 0x99, types)?;
    assert_eq!(out[..5], [0x17, 0x99, 0, 0, 0]);
    assert_eq!(out[6..10], [1, 0, 0, 0]);
    // What is written is read back with the same values.
    let before = ExecuteHead::decode(body, params, from).unwrap();
    let after = ExecuteHead::decode(&out[1..], params, to).unwrap();
    assert_eq!(before.values, after.values);
    Ok([&out[5..6], &out[10..]].concat())
}

#[test]
fn execute_is_taken_apart() {
    let bytes = body(1, b"\x02\x01\x03\x00\xfd\x00VALUES");
    let head = ExecuteHead::decode(&bytes, 2, PLAIN).unwrap();
    assert_eq!((head.statement_id, head.flags & CURSOR_FLAGS, head.count), (7, 1, 2));
    assert_eq!((head.nulls, head.bound_at), (&b"\x02"[..], 10));
    assert_eq!((head.types, head.values), (Some(&b"\x03\x00\xfd\x00"[..]), &b"VALUES"[..]));
    assert_eq!(bytes[head.bound_at], 1);
    for len in 0..15 {
        assert!(ExecuteHead::decode(&bytes[..len], 2, PLAIN).is_err());
    }

    let named = body(8, b"\x02\x00\x01\x03\x00\x00\xfd\x00\x02idVALUES");
    let head = ExecuteHead::decode(&named, 1, NAMED).unwrap();
    assert_eq!((head.count, head.bound_at), (2, 11));
    assert_eq!(head.types, Some(&b"\x03\x00\x00\xfd\x00\x02id"[..]));

    let bare = body(0, b"");
    let none = ExecuteHead::decode(&bare, 0, NAMED).unwrap();
    assert_eq!((none.bound_at, none.types, none.count), (0, None, 0));
    assert_eq!(ExecuteHead::decode(&body(8, b"\0"), 0, NAMED).unwrap().count, 0);
    assert!(ExecuteHead::decode(&body(8, b""), 0, NAMED).is_err());
    assert!(ExecuteHead::decode(&body(0, b"\x01"), 2, NAMED).is_err(), "fewer than prepared");
}

/// S41: types are kept and sent again.
#[test]
fn types_are_put_in() {
    let bytes = body(0, b"\x00\x00VALUES");
    let saved: &[u8] = b"\x03\x00\xfd\x00";
    let with = rebuilt(&bytes, 2, PLAIN, PLAIN, Some(saved)).unwrap();
    assert_eq!(with, b"\0\x00\x01\x03\x00\xfd\x00VALUES");
    let without = rebuilt(&bytes, 2, PLAIN, PLAIN, None).unwrap();
    assert_eq!(without, b"\0\x00\x00VALUES");
    let own = body(0, b"\x00\x01\x08\x00\x08\x00VALUES");
    let kept = rebuilt(&own, 2, PLAIN, PLAIN, Some(saved)).unwrap();
    assert_eq!(kept, b"\0\x00\x01\x08\x00\x08\x00VALUES");
    assert!(rebuilt(&bytes, 2, PLAIN, PLAIN, Some(b"\x03\x00\xfd")).is_err());
}

/// S45: with and without query attributes on either side.
#[test]
fn shapes_are_translated() {
    let plain = body(0, b"\x01\x01\x03\x00\xfd\x00VALUES");
    let named = rebuilt(&plain, 2, PLAIN, NAMED, None).unwrap();
    assert_eq!(named, b"\0\x02\x01\x01\x03\x00\x00\xfd\x00\x00VALUES");
    // One parameter and eight attributes: a byte of the bitmap goes too.
    let types = [&b"\x03\x00\x00"[..], &b"\xfd\x00\x01a".repeat(8)].concat();
    let many = body(9, &[b"\x09\x01\x01\x01", &types[..], b"VALUES"].concat());
    let fewer = rebuilt(&many, 1, NAMED, PLAIN, None).unwrap();
    assert_eq!(fewer, b"\x01\x01\x01\x03\x00VALUES");
    let same = rebuilt(&many, 1, NAMED, NAMED, None).unwrap();
    assert_eq!(same, [b"\x09", &many[9..]].concat());
    // Saved types have the client's shape.
    let again = body(8, b"\x01\x00\x00VALUES");
    let saved: &[u8] = b"\x03\x00\x00";
    let restored = rebuilt(&again, 1, NAMED, PLAIN, Some(saved)).unwrap();
    assert_eq!(restored, b"\0\x00\x01\x03\x00VALUES");
    let restored = rebuilt(&again, 1, NAMED, NAMED, Some(saved)).unwrap();
    assert_eq!(restored, b"\x08\x01\x00\x01\x03\x00\x00VALUES");
    // No parameters: the count exists only where it is announced.
    let empty = body(8, b"\0");
    assert_eq!(rebuilt(&empty, 0, NAMED, NAMED, None).unwrap(), b"\x08\0");
    assert_eq!(rebuilt(&empty, 0, NAMED, PLAIN, None).unwrap(), b"\0");
    assert_eq!(rebuilt(&body(8, b""), 0, PLAIN, NAMED, None).unwrap(), b"\0");
}
