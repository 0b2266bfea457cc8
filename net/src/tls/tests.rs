//! The certificate is self-signed for `weir.test` and valid from 2026 to 2126; the clock of these tests stands still.

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, SupportedProtocolVersion};

use super::*;

const CERT: &[u8] = include_bytes!("test-cert.der");
const KEY: &[u8] = include_bytes!("test-key.der");

#[derive(Debug)]
struct StoppedClock;

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(2_000_000_000)))
    }
}

fn pair(version: &'static SupportedProtocolVersion, name: &'static str) -> (Tls, Tls) {
    let cert = CertificateDer::from(CERT);
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let client = ClientConfig::builder_with_details(default_provider().into(), Arc::new(StoppedClock))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_details(default_provider().into(), Arc::new(StoppedClock))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY)))
        .unwrap();
    let name = ServerName::try_from(name).unwrap();
    (Tls::client(client.into(), name).unwrap(), Tls::server(server.into()).unwrap())
}

/// Moves ciphertext in pieces of `piece` bytes until both are quiet.
fn pump(left: &mut Tls, right: &mut Tls, piece: usize) -> Result<(), TlsError> {
    while left.has_cipher() || right.has_cipher() {
        carry(left, right, piece)?;
        carry(right, left, piece)?;
    }
    Ok(())
}

fn carry(from: &mut Tls, to: &mut Tls, piece: usize) -> Result<(), TlsError> {
    let mut cipher = Vec::new();
    from.take_cipher(&mut cipher);
    assert!(!from.has_cipher());
    cipher.chunks(piece).try_for_each(|chunk| to.feed(chunk))
}

fn read_all(tls: &mut Tls, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        let before = tls.plain_len();
        let len = tls.read_plain(&mut buffer);
        assert_eq!(tls.plain_len(), before - len);
        if len == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..len]);
    }
}

fn open(version: &'static SupportedProtocolVersion) -> (Tls, Tls) {
    let (mut client, mut server) = pair(version, "weir.test");
    pump(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!client.is_handshaking() && !server.is_handshaking());
    (client, server)
}

/// Lengths of the records in `cipher`.
fn records(mut cipher: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !cipher.is_empty() {
        let len = 5 + usize::from(u16::from_be_bytes([cipher[3], cipher[4]]));
        lengths.push(len);
        cipher = &cipher[len..];
    }
    lengths
}

/// S46: both versions, in pieces of every size, with bytes written before the handshake is over.
#[test]
fn both_ways() {
    let question = b"select 1".to_vec();
    let answer: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
    for version in [&TLS12, &TLS13] {
        for piece in [1, 2, 7, 1000, usize::MAX] {
            let (mut client, mut server) = pair(version, "weir.test");
            assert!(client.has_cipher() && !server.has_cipher());
            client.write_plain(&question);
            pump(&mut client, &mut server, piece).unwrap();
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert_eq!(read_all(&mut server, 3), question);
            server.write_plain(&answer);
            pump(&mut client, &mut server, piece).unwrap();
            assert!(read_all(&mut client, 4096) == answer);
            assert_eq!((client.plain_len(), client.read_plain(&mut [0; 9])), (0, 0));
        }
    }
}

#[test]
fn one_record_per_flush() {
    let (mut client, mut server) = open(&TLS13);
    for part in [&b"set names utf8mb4"[..], b"use shop", b"select 1"] {
        client.write_plain(part);
    }
    let mut cipher = b"before".to_vec();
    client.take_cipher(&mut cipher);
    let cipher = cipher.strip_prefix(b"before").unwrap();
    assert_eq!(records(cipher).len(), 1);
    server.feed(cipher).unwrap();
    assert_eq!(read_all(&mut server, 100), b"set names utf8mb4use shopselect 1");
    client.write_plain(&vec![0; 40 << 10]);
    let mut cipher = Vec::new();
    client.take_cipher(&mut cipher);
    assert_eq!(records(&cipher).len(), 3);
}

/// What is read between two feeds doesn't come again, and what isn't read is kept.
#[test]
fn partly_read() {
    let (mut client, mut server) = open(&TLS13);
    let mut start = [0; 4];
    client.write_plain(b"12345");
    carry(&mut client, &mut server, 1).unwrap();
    assert_eq!(server.read_plain(&mut start), 4);
    client.write_plain(b"678");
    carry(&mut client, &mut server, 1).unwrap();
    assert_eq!(read_all(&mut server, 10), b"5678");
    server.release_buffers();
    assert_eq!(server.plain_in.capacity() + server.incoming.capacity(), 0);
    client.write_plain(b"9");
    carry(&mut client, &mut server, 1).unwrap();
    assert_eq!(read_all(&mut server, 10), b"9");
}

#[test]
fn close_comes_after_the_last_bytes() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = open(version);
        client.close();
        client.write_plain(b"quit");
        client.close();
        carry(&mut client, &mut server, 1).unwrap();
        assert!(server.is_peer_closed() && !client.is_peer_closed());
        assert_eq!(read_all(&mut server, 10), b"quit");
        client.write_plain(b"too late");
        assert!(!client.has_cipher());
        server.write_plain(b"bye");
        server.close();
        let mut cipher = Vec::new();
        server.take_cipher(&mut cipher);
        for chunk in [&cipher[..], b"and bytes of any kind"] {
            client.feed(chunk).unwrap();
        }
        assert_eq!(client.plain_len(), 0);
        let (mut client, mut server) = open(version);
        server.write_plain(b"bye");
        server.close();
        carry(&mut server, &mut client, 1).unwrap();
        assert!(client.is_peer_closed());
        assert_eq!(read_all(&mut client, 10), b"bye");
    }
}

#[test]
fn wrong_name_is_refused_with_an_alert() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = pair(version, "other.test");
        let error = pump(&mut client, &mut server, usize::MAX).unwrap_err();
        assert!(matches!(error.0, rustls::Error::InvalidCertificate(_)), "{error}");
        assert!(client.has_cipher());
        let mut alert = Vec::new();
        client.take_cipher(&mut alert);
        assert!(matches!(server.feed(&alert).unwrap_err().0, rustls::Error::AlertReceived(_)));
    }
}

#[test]
fn bytes_of_any_kind_end_it() {
    let (_, mut server) = pair(&TLS13, "weir.test");
    let error = server.feed(b"\x4a\0\0\0\x0a9.7.4\0 this is no ClientHello").unwrap_err();
    assert_eq!(server.feed(b""), Err(error));
    let mut alert = Vec::new();
    server.take_cipher(&mut alert);
    assert_eq!(alert.first(), Some(&21));

    for at in [0, 1, 3, 5, 9, 24] {
        let (mut client, mut server) = open(&TLS13);
        client.write_plain(b"select 1");
        let mut cipher = Vec::new();
        client.take_cipher(&mut cipher);
        cipher[at] ^= 0x40;
        // A length that grew only makes the record incomplete; nothing of it may come through either way.
        let _ = server.feed(&cipher);
        assert_eq!(server.plain_len(), 0, "{at}");
        server.write_plain(b"x");
        server.take_cipher(&mut alert);
    }
}
