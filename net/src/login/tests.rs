use super::*;

fn login() -> Login {
    Login {
        capabilities: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::CONNECT_WITH_DB
            | Capabilities::PLUGIN_AUTH
            | Capabilities::CONNECT_ATTRS
            | Capabilities::PLUGIN_AUTH_LENENC_DATA
            | Capabilities::ZSTD_COMPRESSION,
        max_packet: 1 << 24,
        charset: 255,
        user: b"ann".to_vec(),
        auth: vec![7; 32],
        schema: Some(b"shop".to_vec()),
        plugin: Some(b"caching_sha2_password".to_vec()),
        attributes: vec![(b"_os".to_vec(), b"Linux".to_vec()), (b"program_name".to_vec(), b"".to_vec())],
        zstd_level: 3,
    }
}

fn encoded(login: &Login) -> Vec<u8> {
    let mut out = Vec::new();
    login.encode(&mut out);
    out
}

#[test]
fn layout() {
    let mut expected = b"\x08\x82\x38\x04\0\0\0\x01\xff".to_vec();
    expected.extend_from_slice(&[0; 23]);
    expected.extend_from_slice(b"ann\0\x20");
    expected.extend_from_slice(&[7; 32]);
    expected.extend_from_slice(b"shop\0caching_sha2_password\0\x18\x03_os\x05Linux\x0cprogram_name\0\x03");
    assert_eq!(encoded(&login()), expected);
}

#[test]
fn comes_back_with_and_without_each_optional_part() {
    let optional = [
        Capabilities::CONNECT_WITH_DB,
        Capabilities::PLUGIN_AUTH,
        Capabilities::CONNECT_ATTRS,
        Capabilities::ZSTD_COMPRESSION,
        Capabilities::PLUGIN_AUTH_LENENC_DATA,
    ];
    for mask in 0..1u32 << optional.len() {
        let mut login = login();
        for (bit, flag) in optional.into_iter().enumerate() {
            if mask & (1 << bit) == 0 {
                login.capabilities = login.capabilities.minus(flag);
            }
        }
        let has = |flag| login.capabilities.contains(flag);
        let (schema, plugin) = (has(Capabilities::CONNECT_WITH_DB), has(Capabilities::PLUGIN_AUTH));
        let (attributes, zstd) = (has(Capabilities::CONNECT_ATTRS), has(Capabilities::ZSTD_COMPRESSION));
        login.schema = login.schema.filter(|_| schema);
        login.plugin = login.plugin.filter(|_| plugin);
        login.attributes.retain(|_| attributes);
        login.zstd_level = if zstd { login.zstd_level } else { 0 };
        assert_eq!(Login::decode(&encoded(&login)), Ok(login));
    }
}

#[test]
fn flags_follow_from_the_parts() {
    let bare = Login { schema: None, plugin: None, ..login() };
    let read = Login::decode(&encoded(&bare)).unwrap();
    assert_eq!(read.capabilities, bare.capabilities_sent());
    assert!(!read.capabilities.intersects(Capabilities::CONNECT_WITH_DB | Capabilities::PLUGIN_AUTH));
    assert_eq!((read.schema, read.plugin), (None, None));
    let empty_schema = Login { schema: Some(Vec::new()), ..login() };
    assert_eq!(Login::decode(&encoded(&empty_schema)).unwrap().schema, None);
}

/// Cut anywhere: an error, or a login whose last parts are missing, as the server takes it.
#[test]
fn cut_short() {
    let whole = encoded(&login());
    let plugin_at = whole.windows(7).position(|bytes| bytes == b"caching").unwrap();
    for len in 0..whole.len() {
        let read = Login::decode(&whole[..len]);
        assert_eq!(
            read.is_ok(),
            len == whole.len() - 1 || (plugin_at..=plugin_at + 22).contains(&len),
            "{len}: {read:?}"
        );
    }
    let ends_before_plugin = Login::decode(&whole[..plugin_at]).unwrap();
    assert_eq!(ends_before_plugin.plugin, Some(Vec::new()));
    assert!(Login::decode(b"\x05\x00\0\0\x01ann\0xxxxxxxx\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").is_err());
}

#[test]
fn auth_forms() {
    let mut head = Vec::new();
    put_head(&mut head, Capabilities::PROTOCOL_41, 0, 8);
    head.extend_from_slice(b"ann\0secret\0");
    assert_eq!(Login::decode(&head).unwrap().auth, b"secret");
    let long = Login { auth: vec![1; 400], ..login() };
    assert_eq!(Login::decode(&encoded(&long)).unwrap().auth.len(), 400);
    let one_byte_len = long.capabilities.minus(Capabilities::PLUGIN_AUTH_LENENC_DATA);
    let short = Login { capabilities: one_byte_len, ..long };
    assert_eq!(Login::decode(&encoded(&short)).unwrap().auth.len(), 255);
}

#[test]
fn attributes_have_limits() {
    let many = Login { attributes: vec![(Vec::new(), Vec::new()); 1000], ..login() };
    assert_eq!(Login::decode(&encoded(&many)).unwrap().attributes.len(), CONNECT_ATTRIBUTES_MAX);
    let large = Login { attributes: vec![(vec![b'n'; 100], vec![b'v'; 1000]); 100], ..login() };
    let read = Login::decode(&encoded(&large)).unwrap();
    assert_eq!(read.attributes.len(), CONNECT_ATTRIBUTES_BYTES_MAX / 1104);
    let mut over = Vec::new();
    put_head(&mut over, Capabilities::PROTOCOL_41 | Capabilities::CONNECT_ATTRS, 0, 8);
    over.extend_from_slice(b"\0\0");
    over.put_lenenc_bytes(&vec![0; CONNECT_ATTRIBUTES_BYTES_MAX + 1]);
    assert!(Login::decode(&over).is_err());
}

#[test]
fn tls_request() {
    let mut out = Vec::new();
    put_tls_request(&mut out, login().capabilities, 1 << 24, 255);
    assert_eq!(out.len(), TLS_REQUEST_BYTES);
    assert_eq!(is_tls_request(&out), Some(login().capabilities | Capabilities::SSL));
    assert_eq!(is_tls_request(&out[..31]), None);
    let over_tls = Login { capabilities: login().capabilities | Capabilities::SSL, ..login() };
    assert_eq!(is_tls_request(&encoded(&over_tls)), None);
    out[1] &= !0x08;
    assert_eq!(is_tls_request(&out), None);
}

/// A name of a hundred kilobytes is nobody's: the server cuts it off, and the gate would remember it.
#[test]
fn long_names_are_cut_off() {
    let long = Login {
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION,
        user: vec![b'u'; 100_000],
        schema: Some(vec![b's'; 100_000]),
        ..Login::default()
    };
    let mut payload = Vec::new();
    long.encode(&mut payload);
    let login = Login::decode(&payload).unwrap();
    assert_eq!(login.user, vec![b'u'; NAME_BYTES_MAX]);
    assert_eq!(login.schema, Some(vec![b's'; NAME_BYTES_MAX]));
    let mut asked = vec![b'u'; 100_000];
    asked.extend_from_slice(b"\0\0");
    asked.extend_from_slice(&[b's'; 100_000]);
    asked.push(0);
    let asked = crate::command::ChangeUser::decode(&asked, long.capabilities).unwrap();
    assert_eq!((asked.user.len(), asked.schema.len()), (NAME_BYTES_MAX, NAME_BYTES_MAX));
}
