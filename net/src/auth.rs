//! Authentication: how a password is proved, seen from both ends.
//!
//! The gate decides about no account. Towards the client it is a [`ServerAuth`], which finds out the password that
//! the client claims; towards the backend it is a [`ClientAuth`], which claims it; the backend decides.
//! Neither knows frames or sequence numbers: payloads in, payloads out. Entropy is an argument, except for RSA, whose
//! padding and keys take the library's own.
//! Rule: MySQL "Authentication Methods", "Protocol::AuthSwitchRequest", "Protocol::AuthMoreData".

pub use crate::auth::client::{ClientAuth, Reply};
pub use crate::auth::rsa::RsaKey;
pub use crate::auth::server::{Ask, Known, Refusal, ServerAuth};

pub mod scramble;

pub mod rsa;

pub mod server;

pub mod client;

pub const NATIVE: &[u8] = b"mysql_native_password";
pub const CACHING_SHA2: &[u8] = b"caching_sha2_password";
pub const SHA256: &[u8] = b"sha256_password";
pub const CLEAR: &[u8] = b"mysql_clear_password";

pub const NONCE_BYTES: usize = 20;

/// The server's part of a scramble. On the wire a NUL follows it.
pub type Nonce = [u8; NONCE_BYTES];

/// Who can listen to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// TCP without TLS: no password in the clear.
    Plain,
    /// TLS or a Unix socket.
    Secure,
}

/// Makes random bytes fit for a nonce. Clients read it as text up to a NUL, and the server also leaves out `$`, which
/// separates fields where it stores hashes.
pub fn nonce_from_random(random: [u8; NONCE_BYTES]) -> Nonce {
    random.map(|byte| match byte & 0x7f {
        0 => 1,
        b'$' => b'%',
        other => other,
    })
}

/// The payload that tells a client of `caching_sha2_password` that its scramble did; the OK packet follows it.
pub const FAST_AUTH_OK: [u8; 2] = [MORE_DATA, FAST_OK];

/// Lead bytes of authentication packets.
const SWITCH: u8 = 0xfe;
const MORE_DATA: u8 = 0x01;
/// What `caching_sha2_password` says in its `MORE_DATA`.
const FAST_OK: u8 = 0x03;
const FULL_NEEDED: u8 = 0x04;
/// What a client of it sends to get the public key.
const KEY_REQUEST: u8 = 0x02;

#[cfg(test)]
mod tests;
