//! Greeting and login: what decodes is written back and decodes to the same.

use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::limits::CONNECT_ATTRIBUTES_MAX;
use weir_net::login::{Login, TLS_REQUEST_BYTES, is_tls_request, put_tls_request};

pub fn check_greeting(payload: &[u8]) {
    let Ok(greeting) = Greeting::decode(payload) else { return };
    let mut again = Vec::new();
    greeting.encode(&mut again);
    assert_eq!(Greeting::decode(&again), Ok(greeting));
}

pub fn check_login(payload: &[u8]) {
    if let Some(capabilities) = is_tls_request(payload) {
        assert!(payload.len() == TLS_REQUEST_BYTES && capabilities.contains(Capabilities::SSL));
    }
    let Ok(login) = Login::decode(payload) else { return };
    assert!(login.attributes.len() <= CONNECT_ATTRIBUTES_MAX);
    let mut again = Vec::new();
    login.encode(&mut again);
    let reread = Login::decode(&again).expect("what is written can be read");
    let capabilities = login.capabilities_sent();
    // One byte of length says no more; only a login without any such length field is longer.
    let has_room = login.auth.len() <= 255 || capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_DATA);
    let auth = if has_room { login.auth.clone() } else { login.auth[..255].to_vec() };
    assert_eq!(reread, Login { capabilities, auth, ..login });
}

pub fn greeting_seeds() -> Vec<Vec<u8>> {
    let greeting = Greeting {
        version: b"9.7.4-weir",
        connection_id: 7,
        nonce: *b"abcdefghijklmnopqrst",
        capabilities: Capabilities(0xffff_ffff),
        charset: 255,
        status: Status::AUTOCOMMIT,
        plugin: b"caching_sha2_password",
    };
    let mut with_plugin = Vec::new();
    greeting.encode(&mut with_plugin);
    let mut without = Vec::new();
    Greeting { capabilities: Capabilities::PROTOCOL_41, plugin: b"", ..greeting }.encode(&mut without);
    vec![with_plugin, without]
}

pub fn login_seeds() -> Vec<Vec<u8>> {
    let login = Login {
        capabilities: Capabilities(0xffff_ffff),
        max_packet: 1 << 24,
        charset: 255,
        user: b"app".to_vec(),
        auth: vec![7; 20],
        schema: Some(b"shop".to_vec()),
        plugin: Some(b"mysql_native_password".to_vec()),
        attributes: vec![(b"_pid".to_vec(), b"1".to_vec())],
        zstd_level: 3,
    };
    let mut full = Vec::new();
    login.encode(&mut full);
    let mut bare = Vec::new();
    let none = Login { capabilities: Capabilities::PROTOCOL_41, schema: None, plugin: None, ..login };
    none.encode(&mut bare);
    let mut tls = Vec::new();
    put_tls_request(&mut tls, Capabilities(0xffff_ffff), 1 << 24, 255);
    vec![full, bare, tls]
}
