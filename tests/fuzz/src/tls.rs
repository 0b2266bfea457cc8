//! The TLS filter against noise, and two honest ends with a tampered wire between them.
//!
//! What holds: no bytes make it panic, an end that has failed stays failed, and what one end reads is a prefix of what
//! the other has written, whatever happens to the bytes on the way.
//! The handshake's entropy is the library's own, so a run is not the same twice; the property is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use weir_net::tls::{Tls, TlsError};

use crate::draw::Draw;

/// Bytes that an end sends to a peer that has said nothing sensible: alerts and a handshake's records.
const NOISE_ANSWER_BYTES_MAX: usize = 16 << 10;
/// Turns of the wire; a handshake and a message take six.
const TURNS_MAX: usize = 16;

pub fn check_noise(input: &[u8]) {
    let mut draw = Draw::new(input);
    let mut tls = if draw.coin() { client() } else { server() };
    let mut failed: Option<TlsError> = None;
    let mut plain = [0; 256];
    while !draw.is_empty() {
        let fed = tls.feed(draw.piece());
        if let Some(before) = &failed {
            assert_eq!(fed.as_ref(), Err(before), "what has failed stays failed");
        }
        failed = failed.or(fed.err());
        assert_eq!(tls.read_plain(&mut plain), 0, "nothing is read before the handshake");
        tls.write_plain(b"kept until the handshake is over");
    }
    let mut cipher = Vec::new();
    tls.close();
    tls.take_cipher(&mut cipher);
    tls.take_cipher(&mut cipher);
    assert!(cipher.len() <= NOISE_ANSWER_BYTES_MAX, "{} bytes", cipher.len());
    assert!(!cipher.windows(4).any(|window| window == b"kept"));
    tls.release_buffers();
}

pub fn check_tampered(input: &[u8]) {
    let mut draw = Draw::new(input);
    let (mut left, mut right) = (client(), server());
    let message: Vec<u8> = draw.piece().iter().cycle().take(draw.below(256) * 64).copied().collect();
    left.write_plain(&message);
    right.write_plain(b"from the server");
    let (mut to_left, mut to_right) = (Vec::new(), Vec::new());
    for turn in 0..TURNS_MAX {
        if turn == usize::from(draw.u8()) {
            left.close();
        }
        let left_down = carry(&mut left, &mut right, &mut draw).is_err();
        let right_down = carry(&mut right, &mut left, &mut draw).is_err();
        read_all(&mut left, &mut to_left);
        read_all(&mut right, &mut to_right);
        if left_down && right_down {
            break;
        }
    }
    assert!(message.starts_with(&to_right), "the server reads what was not written");
    assert!(b"from the server".starts_with(&to_left), "the client reads what was not written");
}

/// Moves ciphertext in pieces, some of it changed, doubled or lost.
fn carry(from: &mut Tls, to: &mut Tls, draw: &mut Draw<'_>) -> Result<(), TlsError> {
    let mut cipher = Vec::new();
    from.take_cipher(&mut cipher);
    if cipher.is_empty() {
        return Ok(());
    }
    let at = usize::from(draw.u16()) % cipher.len();
    match draw.below(8) {
        0 => cipher[at] ^= draw.u8(),
        1 => cipher.truncate(at),
        2 => cipher.extend_from_within(at..),
        3 => drop(cipher.remove(at)),
        4 => cipher.insert(at, draw.u8()),
        _ => {}
    }
    let size = 1 + usize::from(draw.u16()) % 4096;
    cipher.chunks(size).try_for_each(|piece| to.feed(piece))
}

fn read_all(tls: &mut Tls, all: &mut Vec<u8>) {
    let mut buffer = [0; 1000];
    loop {
        let before = tls.plain_len();
        let len = tls.read_plain(&mut buffer);
        assert_eq!(tls.plain_len(), before - len);
        if len == 0 {
            return;
        }
        all.extend_from_slice(&buffer[..len]);
    }
}

#[derive(Debug)]
struct StoppedClock;

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(2_000_000_000)))
    }
}

/// The certificate of the tests of `weir_net::tls`: self-signed for `weir.test`, valid until 2126.
const CERT: &[u8] = include_bytes!("../../../net/src/tls/test-cert.der");
const KEY: &[u8] = include_bytes!("../../../net/src/tls/test-key.der");

pub fn server_config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
        let config = ServerConfig::builder_with_details(default_provider().into(), Arc::new(StoppedClock))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![CertificateDer::from(CERT)], key));
        Arc::new(config.expect("the test's certificate is good"))
    };
    CONFIG.get_or_init(make).clone()
}

fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(CERT)).expect("the test's certificate is good");
        let config = ClientConfig::builder_with_details(default_provider().into(), Arc::new(StoppedClock))
            .with_safe_default_protocol_versions()
            .expect("the library has versions");
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    };
    CONFIG.get_or_init(make).clone()
}

pub fn server() -> Tls {
    Tls::server(server_config()).expect("a server's end")
}

pub fn client() -> Tls {
    let name = ServerName::try_from("weir.test").expect("a name");
    Tls::client(client_config(), name).expect("a client's end")
}

/// The first flight of a true client, whole and in pieces, and an alert.
pub fn noise_seeds() -> Vec<Vec<u8>> {
    let mut hello = Vec::new();
    client().take_cipher(&mut hello);
    let pieces = |size: usize| {
        let mut seed = vec![0];
        for piece in hello.chunks(size) {
            seed.push(piece.len() as u8);
            seed.extend_from_slice(piece);
        }
        seed
    };
    vec![
        pieces(255),
        pieces(40),
        b"\0\x07\x15\x03\x03\0\x02\x02\x28".to_vec(),
        b"\x01\x05\x16\x03\x03\x40\x01".to_vec(),
    ]
}

/// One of each kind of tampering, early and late.
pub fn tampered_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in 0..8 {
        for calm_turns in [0, 1, 2] {
            let mut seed = b"\x05hello\x10".to_vec();
            for _ in 0..calm_turns {
                seed.extend_from_slice(b"\xff\0\0\x07\xff\xff\0\0\x07\xff\xff");
            }
            seed.extend_from_slice(&[0xff, 40, 0, kind, 1, 0xff, 0xff, 9, 0, kind, 1, 0xff]);
            seeds.push(seed);
        }
    }
    seeds
}
