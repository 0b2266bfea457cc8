//! Commands of clients as they are written, and cut everywhere.

use super::*;

const QUERY_ATTRIBUTES: Capabilities = Capabilities::QUERY_ATTRIBUTES;

#[test]
fn every_command_has_its_number() {
    for byte in 0..=255 {
        match Command::from_byte(byte) {
            Some(command) => assert_eq!(command.to_byte(), byte),
            None => assert!(byte > 33),
        }
    }
    assert_eq!(Command::ResetConnection.to_byte(), 0x1f);
    assert_eq!(Command::StmtExecute.to_byte(), 0x17);
    assert_eq!(Command::SubscribeGroupReplicationStream.to_byte(), 33);
}

#[test]
fn query_without_attributes() {
    let body = b"\x00\x01select 1";
    let text = query_text(body, Capabilities::empty()).unwrap();
    assert_eq!(text, QueryParts { attributes_len: 0, attribute_count: 0, text: 0..10 });
    let text = query_text(body, QUERY_ATTRIBUTES).unwrap();
    assert_eq!(text, QueryParts { attributes_len: 2, attribute_count: 0, text: 2..10 });
    for caps in [Capabilities::empty(), QUERY_ATTRIBUTES] {
        let mut payload = Vec::new();
        put_query_head(&mut payload, caps);
        payload.extend_from_slice(b"select 1");
        let parts = query_text(&payload[1..], caps).unwrap();
        assert_eq!(&payload[1..][parts.text], b"select 1");
    }
}

/// S45: attributes of every width in front of the text.
#[test]
fn query_with_attributes() {
    let values: [(u8, &[u8]); 11] = [
        (1, b"\x07"),
        (2, b"\x07\0"),
        (3, b"\x07\0\0\0"),
        (4, b"\0\0\0\0"),
        (5, b"\0\0\0\0\0\0\0\0"),
        (8, b"\0\0\0\0\0\0\0\0"),
        (7, b"\x04\xe8\x07\x01\x01"),
        (12, b"\0"),
        (246, b"\x031.5"),
        (253, b"\x05value"),
        (254, b"\0"),
    ];
    let mut body = vec![values.len() as u8 + 1, 1];
    // The last attribute is NULL and has no value.
    let nulls: u16 = 1 << values.len();
    body.extend_from_slice(&nulls.to_le_bytes());
    body.push(1);
    for (kind, _) in values.iter().chain([&(253, &b""[..])]) {
        body.extend_from_slice(&[*kind, 0x80, 1, b'n']);
    }
    for (_, value) in values {
        body.extend_from_slice(value);
    }
    let attributes_len = body.len();
    body.extend_from_slice(b"select 1");
    let parts = query_text(&body, QUERY_ATTRIBUTES).unwrap();
    assert_eq!(parts.attributes_len, attributes_len);
    assert_eq!(parts.attribute_count, 12);
    assert_eq!(&body[parts.text], b"select 1");
    for len in 0..attributes_len {
        assert!(query_text(&body[..len], QUERY_ATTRIBUTES).is_err(), "{len}");
    }
}

#[test]
fn attributes_that_are_refused() {
    for body in [&b"\x00\x02select 1"[..], b"\x01\x01\0\0select 1", b"\xfd\0\0\x01\x01select 1"] {
        assert!(query_text(body, QUERY_ATTRIBUTES).is_err());
    }
}

#[test]
fn change_user_comes_back() {
    let caps = Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
    let request = ChangeUser {
        user: b"app",
        auth: b"\0scramble\xff",
        schema: b"shop",
        charset: 255,
        plugin: Some(b"caching_sha2_password"),
        attributes: b"\x01k\x01v",
    };
    let mut payload = Vec::new();
    request.encode(&mut payload, caps).unwrap();
    assert_eq!(payload[0], 0x11);
    let body = &payload[1..];
    assert_eq!(ChangeUser::decode(body, caps), Ok(request));
    // A body may end after the schema, the charset and the plugin.
    let ends: Vec<_> = (0..body.len()).filter(|len| ChangeUser::decode(&body[..*len], caps).is_ok()).collect();
    assert_eq!(ends, [20, 22, 44]);
    let short = ChangeUser::decode(&body[..20], caps).unwrap();
    assert_eq!(short, ChangeUser { charset: 0, plugin: None, attributes: b"", ..request });

    let old = ChangeUser::decode(b"app\0pass\0shop\0", Capabilities::empty()).unwrap();
    assert_eq!((old.auth, old.schema), (&b"pass"[..], &b"shop"[..]));

    let long = ChangeUser { auth: &[1; 256], ..request };
    assert!(long.encode(&mut Vec::new(), caps).is_err());
}
