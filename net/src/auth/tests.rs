use std::sync::LazyLock;

use super::*;
use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::secret::Secret;

const NONCE: Nonce = *b"0123456789abcdefghij";
const CAPS: Capabilities = Capabilities::PLUGIN_AUTH;
static RSA: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate().unwrap());

fn secret(text: &str) -> Secret {
    Secret::from(text.as_bytes())
}

fn hash_of(password: &str) -> Known<'static> {
    Known::NativeHash(scramble::native_hash(&scramble::native_stage(password.as_bytes())))
}

fn claim(password: &str, fast: bool) -> Ask {
    Ask::Claim { password: secret(password), fast }
}

fn claim_native(password: &str) -> Ask {
    Ask::ClaimNative { stage: Secret::from(&scramble::native_stage(password.as_bytes())[..]), known: true }
}

/// Runs the gate's server against the gate's client and returns what the server ends with, and the kinds of packets
/// that it sent: `s` switch to caching_sha2, `n` switch to native, `f` full, `k` key.
fn converse(server: &mut ServerAuth, client: &mut ClientAuth, mut ask: Ask) -> (Ask, String) {
    let mut sent = String::new();
    loop {
        let Ask::Send(payload) = &ask else {
            if let Ask::Claim { fast: true, .. } = ask {
                assert_eq!(client.handle(&FAST_AUTH_OK), Reply::Wait);
            }
            if matches!(ask, Ask::Claim { .. } | Ask::ClaimNative { .. }) {
                assert_eq!(client.handle(&[0, 0, 0, 2, 0, 0, 0]), Reply::Ok);
            }
            assert!(matches!(server.handle(b"more"), Ask::Refuse(_)), "it is over");
            return (ask, sent);
        };
        sent.push(match payload[..] {
            [MORE_DATA, FULL_NEEDED] => 'f',
            [MORE_DATA, b'-', ..] => 'k',
            [SWITCH, b'c', ..] => 's',
            [SWITCH, b'm', ..] => 'n',
            _ => '?',
        });
        match client.handle(payload) {
            Reply::Send(answer) => ask = server.handle(&answer),
            other => panic!("{other:?} after {sent}"),
        }
    }
}

struct Case {
    /// The plugin that the client starts with.
    plugin: &'static [u8],
    channel: Channel,
    rsa: bool,
    password: &'static str,
}

impl Case {
    fn check(&self, known: Known<'_>, expected: Ask, sent: &str) {
        let mut client = ClientAuth::new("ann", secret(self.password), self.channel);
        let response = client.response(self.plugin, &NONCE);
        assert_eq!(client.plugin(), self.plugin);
        let mut server = ServerAuth::new(NONCE, self.channel, self.rsa.then_some(&*RSA));
        let ask = server.start(Some(self.plugin), &response, CAPS, known);
        let name = String::from_utf8_lossy(self.plugin);
        assert_eq!(
            converse(&mut server, &mut client, ask),
            (expected, sent.to_owned()),
            "{name} {:?} {known:?}",
            self.channel
        );
    }
}

const PLAIN: Case = Case { plugin: CACHING_SHA2, channel: Channel::Plain, rsa: true, password: "swordfish" };
const SECURE: Case = Case { channel: Channel::Secure, rsa: false, ..PLAIN };

/// S47: fast, full over TLS, full by RSA, and the password that changed.
#[test]
fn caching_sha2() {
    let (right, old) = (secret("swordfish"), secret("catfish"));
    for case in [PLAIN, SECURE] {
        case.check(Known::Password(&right), claim("swordfish", true), "");
    }
    for known in [Known::Nothing, Known::Password(&old), Known::Password(&Secret::empty())] {
        SECURE.check(known, claim("swordfish", false), "f");
        PLAIN.check(known, claim("swordfish", false), "fk");
    }
    SECURE.check(hash_of("swordfish"), claim("swordfish", false), "f");
    PLAIN.check(hash_of("swordfish"), claim_native("swordfish"), "n");
    let keyless = Case { rsa: false, ..PLAIN };
    keyless.check(Known::Nothing, Ask::Refuse(Refusal::NeedsSecureChannel), "");
    keyless.check(Known::Password(&right), claim("swordfish", true), "");
}

#[test]
fn native() {
    let (right, old) = (secret("swordfish"), secret("catfish"));
    let (plain, secure) = (Case { plugin: NATIVE, ..PLAIN }, Case { plugin: NATIVE, ..SECURE });
    for case in [&plain, &secure] {
        case.check(Known::Password(&right), claim("swordfish", false), "");
        case.check(hash_of("swordfish"), claim_native("swordfish"), "");
    }
    for known in [Known::Nothing, Known::Password(&old), hash_of("catfish")] {
        secure.check(known, claim("swordfish", false), "sf");
        plain.check(known, claim("swordfish", false), "sfk");
    }
}

#[test]
fn other_plugins_are_switched_and_clear_needs_a_secure_channel() {
    let right = secret("swordfish");
    let sha256 = |case| Case { plugin: SHA256, ..case };
    sha256(PLAIN).check(Known::Password(&right), claim("swordfish", true), "s");
    sha256(SECURE).check(Known::Nothing, claim("swordfish", false), "sf");
    sha256(PLAIN).check(hash_of("swordfish"), claim_native("swordfish"), "n");
    Case { plugin: CLEAR, ..SECURE }.check(Known::Nothing, claim("swordfish", false), "");
    let mut plain = ServerAuth::new(NONCE, Channel::Plain, None);
    let ask = plain.start(Some(CLEAR), b"swordfish\0", CAPS, Known::Password(&right));
    assert!(matches!(ask, Ask::Send(switch) if switch[0] == SWITCH));
}

#[test]
fn empty_password() {
    let known = secret("swordfish");
    for case in [PLAIN, SECURE, Case { rsa: false, ..PLAIN }] {
        for known in [Known::Nothing, Known::Password(&known), Known::Password(&Secret::empty()), hash_of("x")] {
            Case { password: "", ..case }.check(known, claim("", false), "");
        }
    }
    Case { plugin: NATIVE, password: "", ..PLAIN }.check(Known::Nothing, claim("", false), "s");
    Case { plugin: NATIVE, password: "", ..PLAIN }.check(hash_of("x"), claim("", false), "n");
    Case { plugin: CLEAR, password: "", ..SECURE }.check(Known::Nothing, claim("", false), "");
    let mut server = ServerAuth::new(NONCE, Channel::Plain, None);
    assert_eq!(server.start(Some(CACHING_SHA2), &[0], CAPS, Known::Nothing), claim("", false));
}

/// A client that prefers native sends nothing until it has a nonce for it; that is no empty password.
#[test]
fn empty_response_to_another_plugins_greeting() {
    let right = secret("swordfish");
    for known in [Known::Nothing, Known::Password(&right)] {
        let mut server = ServerAuth::new(NONCE, Channel::Secure, None);
        let mut client = ClientAuth::new("ann", secret("swordfish"), Channel::Secure);
        let ask = server.start(Some(NATIVE), b"", CAPS, known);
        let (ask, _) = converse(&mut server, &mut client, ask);
        assert!(matches!(ask, Ask::Claim { password, .. } if password == right));
    }
}

/// S28, S47: in `COM_CHANGE_USER` an empty response asks for a nonce, a scramble counts.
#[test]
fn change_user() {
    let right = secret("swordfish");
    for (response, sent) in [(&b""[..], "s"), (&scramble::caching_sha2(b"swordfish", &NONCE)[..], "")] {
        let mut server = ServerAuth::new(NONCE, Channel::Plain, None);
        let mut client = ClientAuth::new("ann", secret("swordfish"), Channel::Plain);
        client.response(CACHING_SHA2, &NONCE);
        let ask = server.start_change_user(Some(CACHING_SHA2), response, CAPS, Known::Password(&right));
        assert_eq!(converse(&mut server, &mut client, ask), (claim("swordfish", true), sent.to_owned()));
    }
}

#[test]
fn client_without_plugins() {
    let none = Capabilities::empty();
    let response = scramble::native(&scramble::native_stage(b"swordfish"), &NONCE);
    let (right, old) = (secret("swordfish"), secret("catfish"));
    let start = |response: &[u8], known| {
        ServerAuth::new(NONCE, Channel::Secure, None).start(Some(CACHING_SHA2), response, none, known)
    };
    assert_eq!(start(b"", Known::Nothing), claim("", false));
    assert_eq!(start(&response, Known::Password(&right)), claim("swordfish", false));
    assert_eq!(start(&response, hash_of("swordfish")), claim_native("swordfish"));
    assert_eq!(start(&response, Known::Nothing), Ask::Refuse(Refusal::ClientTooOld));
    assert_eq!(start(&response, Known::Password(&old)), Ask::Refuse(Refusal::WrongPassword));
    assert!(matches!(start(&response, hash_of("catfish")), Ask::ClaimNative { known: false, .. }));
    assert!(matches!(start(b"short", hash_of("catfish")), Ask::Refuse(Refusal::Malformed(_))));
}

/// Nothing more may be asked after a switch, so the backend gets a stage that it will refuse.
#[test]
fn wrong_password_after_the_switch_to_native() {
    let mut client = ClientAuth::new("ann", secret("catfish"), Channel::Plain);
    let response = client.response(CACHING_SHA2, &NONCE);
    let mut server = ServerAuth::new(NONCE, Channel::Plain, Some(&RSA));
    let ask = server.start(Some(CACHING_SHA2), &response, CAPS, hash_of("swordfish"));
    let (ask, sent) = converse(&mut server, &mut client, ask);
    assert!(matches!(ask, Ask::ClaimNative { known: false, .. }));
    assert_eq!(sent, "n");
}

/// The stage that a hash reveals logs in to a backend with native, and with nothing else.
#[test]
fn native_stage_towards_the_backend() {
    let Ask::ClaimNative { stage, .. } = claim_native("swordfish") else { unreachable!() };
    let mut client = ClientAuth::with_native_stage("ann", &stage, Channel::Secure);
    let response = client.response(CACHING_SHA2, &NONCE);
    assert_eq!(client.plugin(), NATIVE);
    assert_eq!(response, scramble::native(&scramble::native_stage(b"swordfish"), &NONCE));
    let other: Nonce = *b"jihgfedcba9876543210";
    let switch = |plugin: &[u8]| [&[SWITCH], plugin, &[0], &other, &[0]].concat();
    let expected = scramble::native(&scramble::native_stage(b"swordfish"), &other);
    assert_eq!(client.handle(&switch(NATIVE)), Reply::Send(expected.to_vec()));
    for plugin in [CACHING_SHA2, CLEAR] {
        assert_eq!(client.handle(&switch(plugin)), Reply::Unsupported(plugin.to_vec()));
    }
}

/// A client that has the public key already sends the encrypted password at once; one on TLS may ask for it too.
#[test]
fn key_beforehand_and_key_over_tls() {
    let mut masked = b"swordfish\0".to_vec();
    scramble::mask(&mut masked, &NONCE);
    let cipher = rsa::encrypt_oaep(RSA.public_pem(), &masked).unwrap();
    let mut plain = ServerAuth::new(NONCE, Channel::Plain, Some(&RSA));
    assert!(matches!(plain.start(Some(CACHING_SHA2), &[1; 32], CAPS, Known::Nothing), Ask::Send(_)));
    assert_eq!(plain.handle(&cipher), claim("swordfish", false));
    let mut secure = ServerAuth::new(NONCE, Channel::Secure, Some(&RSA));
    assert!(matches!(secure.start(Some(CACHING_SHA2), &[1; 32], CAPS, Known::Nothing), Ask::Send(_)));
    assert!(matches!(secure.handle(&[KEY_REQUEST]), Ask::Send(_)));
    assert_eq!(secure.handle(&cipher), claim("swordfish", false));
}

#[test]
fn full_passwords_that_are_refused() {
    let full = |channel, payload: &[u8]| {
        let mut server = ServerAuth::new(NONCE, channel, Some(&RSA));
        assert!(matches!(server.start(Some(CACHING_SHA2), &[1; 32], CAPS, Known::Nothing), Ask::Send(_)));
        server.handle(payload)
    };
    let mut longest = vec![b'x'; crate::limits::PASSWORD_BYTES_MAX];
    longest.push(0);
    assert!(matches!(full(Channel::Secure, &longest), Ask::Claim { .. }));
    longest.insert(0, b'x');
    assert_eq!(full(Channel::Secure, &longest), Ask::Refuse(Refusal::PasswordTooLong));
    assert!(matches!(full(Channel::Secure, b"a\0b\0"), Ask::Refuse(Refusal::Malformed(_))));
    assert_eq!(full(Channel::Secure, b"\0"), claim("", false));
    for payload in [&b"swordfish\0"[..], &[], &[3; 256]] {
        assert!(matches!(full(Channel::Plain, payload), Ask::Refuse(Refusal::Malformed(_))));
    }
}

/// The password leaves only where nobody listens, and a backend can't spin the login.
#[test]
fn backend_that_misbehaves() {
    let new = |channel| {
        let mut client = ClientAuth::new("ann", secret("swordfish"), channel);
        client.response(CACHING_SHA2, &NONCE);
        client
    };
    let switch = |plugin: &[u8]| [&[SWITCH], plugin, &[0], &NONCE, &[0]].concat();
    let mut plain = new(Channel::Plain);
    assert_eq!(plain.handle(&switch(CLEAR)), Reply::Unsupported(CLEAR.to_vec()));
    assert_eq!(plain.handle(&switch(b"dialog")), Reply::Unsupported(b"dialog".to_vec()));
    assert_eq!(plain.handle(&[SWITCH]), Reply::Unsupported(b"mysql_old_password".to_vec()));
    assert_eq!(plain.handle(b"\x02webauthn\0data"), Reply::Unsupported(b"webauthn".to_vec()));
    for payload in [&b""[..], b"\x03", b"\xfecaching_sha2_password\0short", b"\x01\x05", b"\x01", b"\x01-----BEGIN"] {
        assert!(matches!(new(Channel::Plain).handle(payload), Reply::Broken(_)), "{payload:?}");
    }
    assert_eq!(new(Channel::Plain).handle(b"\xff\x15\x04#28000no"), Reply::Err);
    let mut asked = new(Channel::Plain);
    assert_eq!(asked.handle(&[MORE_DATA, FULL_NEEDED]), Reply::Send(vec![KEY_REQUEST]));
    assert!(matches!(asked.handle(&[MORE_DATA, FULL_NEEDED]), Reply::Broken(_)));
    let mut twice = new(Channel::Secure);
    assert_eq!(twice.handle(&[MORE_DATA, FULL_NEEDED]), Reply::Send(b"swordfish\0".to_vec()));
    assert!(matches!(twice.handle(&[MORE_DATA, FULL_NEEDED]), Reply::Broken(_)));
    let mut spun = new(Channel::Secure);
    for _ in 0..crate::limits::AUTH_SWITCHES_MAX {
        assert!(matches!(spun.handle(&switch(NATIVE)), Reply::Send(_)));
    }
    assert_eq!(spun.handle(&switch(NATIVE)), Reply::Broken(Malformed("authentication switched too often")));
}

/// The server side of `sha256_password` isn't ours, so its bytes are played here.
#[test]
fn sha256_towards_the_backend() {
    let mut client = ClientAuth::new("ann", secret("swordfish"), Channel::Plain);
    assert_eq!(client.response(SHA256, &NONCE), [1]);
    let mut key = vec![MORE_DATA];
    key.extend_from_slice(RSA.public_pem());
    let Reply::Send(cipher) = client.handle(&key) else { panic!("no cipher") };
    let mut password = RSA.decrypt_oaep(&cipher).unwrap().as_bytes().to_vec();
    scramble::mask(&mut password, &NONCE);
    assert_eq!(password, b"swordfish\0");
    assert_eq!(ClientAuth::new("ann", secret("swordfish"), Channel::Secure).response(SHA256, &NONCE), b"swordfish\0");
    assert_eq!(ClientAuth::new("ann", Secret::empty(), Channel::Plain).response(SHA256, &NONCE), [0]);
    let mut unknown = ClientAuth::new("ann", secret("swordfish"), Channel::Plain);
    assert_eq!(unknown.response(b"dialog", &NONCE), scramble::caching_sha2(b"swordfish", &NONCE));
    assert_eq!(unknown.plugin(), CACHING_SHA2);
}

#[test]
fn nonces_are_text() {
    for byte in 0..=255 {
        let nonce = nonce_from_random([byte; NONCE_BYTES]);
        assert!(nonce.iter().all(|&byte| byte != 0 && byte != b'$' && byte < 0x80));
    }
}
