//! Proofs of a password: the gate as a server, as a client, and both against each other.
//!
//! What holds against any peer: an authentication ends; a password is claimed only if it was sent in a way that the
//! channel allows, or is the known one; as a client the password never leaves in the clear on a plain channel.
//! Between two honest ends: what is claimed is the password.

use std::sync::OnceLock;

use weir_net::auth::{
    Ask, CACHING_SHA2, CLEAR, Channel, ClientAuth, Known, NATIVE, Nonce, Reply, RsaKey, SHA256, ServerAuth,
    nonce_from_random, scramble,
};
use weir_net::flags::Capabilities;
use weir_net::limits::{AUTH_SWITCHES_MAX, PASSWORD_BYTES_MAX};
use weir_net::secret::Secret;

use crate::draw::Draw;

/// Found by no chance in what is sent.
const PASSWORD: &[u8] = b"never in the clear";
/// A switch, the request for the password, the key.
const SERVER_SENDS_MAX: usize = 3;
/// Each plugin answers at most a scramble, the wish for the key, and the password.
const CLIENT_SENDS_MAX: usize = 3 * (AUTH_SWITCHES_MAX as usize + 1);

/// The gate as a server against a hostile client.
pub fn check_server(input: &[u8]) {
    let mut draw = Draw::new(input);
    let channel = channel(&mut draw);
    let rsa = draw.coin().then(rsa_key);
    let nonce = nonce(&mut draw);
    let secret = Secret::from(PASSWORD);
    let known = known(&mut draw, &secret);
    let caps = if draw.coin() { Capabilities::PLUGIN_AUTH } else { Capabilities::empty() };
    let plugin = plugin(&mut draw);
    let mut auth = ServerAuth::new(nonce, channel, rsa);
    let response = draw.piece();
    let mut ask = match draw.coin() {
        true => auth.start(plugin, response, caps, known),
        false => auth.start_change_user(plugin, response, caps, known),
    };
    let (mut sends, mut switches) = (0, 0);
    while let Ask::Send(payload) = &ask {
        sends += 1;
        switches += usize::from(payload.first() == Some(&0xfe));
        assert!(sends <= SERVER_SENDS_MAX && switches <= 1, "it ends");
        ask = auth.handle(draw.piece());
    }
    match &ask {
        Ask::Claim { password, fast } => {
            let is_known = matches!(known, Known::Password(_)) && *password == secret;
            assert!(password.as_bytes().len() <= PASSWORD_BYTES_MAX);
            assert!(!fast || is_known, "fast only with what is known");
            // Nothing here can encrypt, so on a plain channel a password cannot have come.
            assert!(channel == Channel::Secure || is_known || password.is_empty());
        }
        Ask::ClaimNative { .. } => assert!(matches!(known, Known::NativeHash(_))),
        Ask::Refuse(_) => {}
        Ask::Send(_) => unreachable!("the loop goes on"),
    }
    assert!(matches!(auth.handle(draw.piece()), Ask::Refuse(_)), "what is over stays over");
}

/// The gate as a client of a hostile server.
pub fn check_client(input: &[u8]) {
    let mut draw = Draw::new(input);
    let channel = channel(&mut draw);
    let native_only = draw.coin();
    let stage = Secret::from(&scramble::native_stage(PASSWORD)[..]);
    let mut auth = match native_only {
        true => ClientAuth::with_native_stage("app", &stage, channel),
        false => ClientAuth::new("app", Secret::from(PASSWORD), channel),
    };
    let plugin = plugin(&mut draw).unwrap_or_default();
    let first = auth.response(plugin, draw.piece());
    check_hidden(channel, &first, &stage);
    let mut sends = 0;
    for _ in 0..64 {
        if draw.is_empty() {
            return;
        }
        match auth.handle(draw.piece()) {
            Reply::Send(payload) => {
                sends += 1;
                assert!(sends <= CLIENT_SENDS_MAX, "it ends");
                check_hidden(channel, &payload, &stage);
            }
            Reply::Wait => {}
            Reply::Ok | Reply::Err | Reply::Unsupported(_) | Reply::Broken(_) => return,
        }
    }
}

/// Neither the password nor what is as good as it.
fn check_hidden(channel: Channel, payload: &[u8], stage: &Secret) {
    let shows = |secret: &[u8]| payload.windows(secret.len()).any(|window| window == secret);
    assert!(channel == Channel::Secure || !shows(PASSWORD), "the password in the clear");
    assert!(!shows(stage.as_bytes()), "the stage in the clear");
}

/// Two honest ends, whatever each begins with.
pub fn check_pair(input: &[u8]) {
    let mut draw = Draw::new(input);
    let channel = channel(&mut draw);
    let rsa = draw.coin().then(rsa_key);
    let nonce = nonce(&mut draw);
    let secret = Secret::from(PASSWORD);
    let known = known(&mut draw, &secret);
    let mut client = ClientAuth::new("app", secret.clone(), channel);
    let mut server = ServerAuth::new(nonce, channel, rsa);
    // The client's choice, which need not be the greeting's.
    let response = client.response(draw.pick(&[CACHING_SHA2, NATIVE, SHA256, CLEAR]), &nonce);
    let stage = Secret::from(&scramble::native_stage(PASSWORD)[..]);
    check_hidden(channel, &response, &stage);
    let mut ask = server.start(Some(client.plugin()), &response, Capabilities::PLUGIN_AUTH, known);
    for _ in 0..SERVER_SENDS_MAX {
        let Ask::Send(payload) = &ask else { break };
        match client.handle(payload) {
            Reply::Send(answer) => {
                check_hidden(channel, &answer, &stage);
                ask = server.handle(&answer);
            }
            other => panic!("an honest client says {other:?} to {payload:?}"),
        }
    }
    match ask {
        Ask::Claim { password, .. } => assert!(password == secret, "another password is claimed"),
        Ask::ClaimNative { known, .. } => assert!(known, "the stage is the hash's"),
        Ask::Refuse(why) => {
            let can_ask = channel == Channel::Secure || rsa.is_some();
            assert!(!can_ask, "{why:?} though the password could be asked for");
        }
        Ask::Send(payload) => panic!("no end: {payload:?}"),
    }
}

fn channel(draw: &mut Draw<'_>) -> Channel {
    if draw.coin() { Channel::Secure } else { Channel::Plain }
}

fn nonce(draw: &mut Draw<'_>) -> Nonce {
    let mut random = [0; 20];
    random.iter_mut().zip(draw.take(20)).for_each(|(to, from)| *to = *from);
    nonce_from_random(random)
}

fn known<'a>(draw: &mut Draw<'_>, secret: &'a Secret) -> Known<'a> {
    match draw.below(3) {
        0 => Known::Nothing,
        1 => Known::Password(secret),
        _ => Known::NativeHash(scramble::native_hash(&scramble::native_stage(PASSWORD))),
    }
}

fn plugin<'a>(draw: &mut Draw<'a>) -> Option<&'a [u8]> {
    match draw.below(6) {
        0 => None,
        1 => Some(CACHING_SHA2),
        2 => Some(NATIVE),
        3 => Some(SHA256),
        4 => Some(CLEAR),
        _ => Some(draw.piece()),
    }
}

/// One for all inputs: making one takes long.
pub fn rsa_key() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::generate().expect("the library makes a key"))
}

pub fn server_seeds() -> Vec<Vec<u8>> {
    let head =
        |secure: u8, rsa: u8, known: u8, plugin: u8| [&[secure, rsa][..], &[9; 20], &[known, 1, plugin]].concat();
    let piece = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
    let mut seeds = Vec::new();
    for plugin in 0..5 {
        for known in 0..3 {
            let mut seed = head(plugin % 2, known % 2, known, plugin);
            seed.extend(piece(&[3; 20]));
            seed.push(1);
            seed.extend(piece(&[2]));
            seed.extend(piece(b"password\0"));
            seeds.push(seed);
        }
    }
    seeds
}

pub fn client_seeds() -> Vec<Vec<u8>> {
    let piece = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
    let switch = [b"\xfemysql_native_password\0".as_slice(), &[7; 20], &[0]].concat();
    let mut key = b"\x01".to_vec();
    key.extend_from_slice(KEY_PEM);
    let head = |secure: u8| [vec![secure, 0, 1], piece(&[9; 20])].concat();
    vec![
        [head(0), piece(b"\x01\x04"), piece(&key), piece(b"\0\0\0\x02\0\0\0")].concat(),
        [head(1), piece(b"\x01\x04"), piece(b"\0\0\0\x02\0\0\0")].concat(),
        [head(0), piece(b"\x01\x03"), piece(&switch), piece(b"\xff\x15\x04#28000no")].concat(),
        [head(1), piece(b"\xfemysql_clear_password\0"), piece(b"\x02next_factor\0")].concat(),
        [head(0), piece(b"\xfemysql_clear_password\0")].concat(),
    ]
}

pub fn pair_seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| [&[n & 1, n >> 1 & 1][..], &[9; 20], &[n >> 2 & 3, n >> 4]].concat();
    (0..64).map(seed).collect()
}

/// The public key of nobody, of 1024 bits so that it fits a piece.
const KEY_PEM: &[u8] = b"-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7\n-----END PUBLIC KEY-----\n";
