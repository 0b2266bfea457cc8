//! Scrambles: what a client sends in place of its password.
//!
//! ```text
//! native:        SHA1(pw)   xor SHA1(nonce + SHA1(SHA1(pw)))
//! caching_sha2:  SHA256(pw) xor SHA256(SHA256(SHA256(pw)) + nonce)
//! ```
//! Invariant: an empty password has no scramble: what is sent for it is empty, which the callers see to.
//! Rule: MySQL "Native Authentication", "Caching_sha2_password information".

use aws_lc_rs::digest::{self, Context};
use zeroize::Zeroizing;

use crate::auth::Nonce;

pub const NATIVE_BYTES: usize = 20;
pub const SHA2_BYTES: usize = 32;

/// SHA1(password): enough to log in with `mysql_native_password`, so it is a secret like the password.
pub fn native_stage(password: &[u8]) -> Zeroizing<[u8; NATIVE_BYTES]> {
    Zeroizing::new(sha1(&[password]))
}

/// SHA1(SHA1(password)): what the server keeps in `mysql.user`.
pub fn native_hash(stage: &[u8; NATIVE_BYTES]) -> [u8; NATIVE_BYTES] {
    sha1(&[stage])
}

pub fn native(stage: &[u8; NATIVE_BYTES], nonce: &Nonce) -> [u8; NATIVE_BYTES] {
    xor(*stage, sha1(&[nonce, &native_hash(stage)]))
}

/// The stage that a response was made of, given the server's hash. It belongs to that hash only if
/// [`native_hash`] of it says so.
pub fn native_stage_of(
    response: [u8; NATIVE_BYTES],
    nonce: &Nonce,
    hash: &[u8; NATIVE_BYTES],
) -> Zeroizing<[u8; NATIVE_BYTES]> {
    Zeroizing::new(xor(response, sha1(&[nonce, hash])))
}

pub fn caching_sha2(password: &[u8], nonce: &Nonce) -> [u8; SHA2_BYTES] {
    let stage = Zeroizing::new(sha256(&[password]));
    let hash = sha256(&[stage.as_slice()]);
    xor(*stage, sha256(&[&hash, nonce]))
}

/// What goes into RSA: password and NUL, xored with the nonce over and over. The same again takes it off.
pub fn mask(bytes: &mut [u8], nonce: &Nonce) {
    for (byte, mask) in bytes.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
}

fn xor<const N: usize>(mut left: [u8; N], right: [u8; N]) -> [u8; N] {
    for (to, from) in left.iter_mut().zip(right) {
        *to ^= from;
    }
    left
}

fn sha1(parts: &[&[u8]]) -> [u8; NATIVE_BYTES] {
    hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts)
}

fn sha256(parts: &[&[u8]]) -> [u8; SHA2_BYTES] {
    hash(&digest::SHA256, parts)
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    debug_assert_eq!(algorithm.output_len(), N);
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = [10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 23, 2, 21];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed with another library.
    #[test]
    fn known_vectors() {
        assert_eq!(hex(&native_hash(&native_stage(b"password"))), "2470c0c06dee42fd1618bb99005adca2ec9d1e19");
        assert_eq!(hex(&native(&native_stage(b"secret"), &NONCE)), "a2e3310bce8c6212279701b4c9d25cbc03b67931");
        assert_eq!(hex(&native(&native_stage(b"password"), &NONCE)), "250c710af97058830958b74f8982d9d7897c14df");
        assert_eq!(
            hex(&caching_sha2(b"secret", &NONCE)),
            "6fc17502c059de9ffc5d6d7b533d7618d047077209685ccc9a3cb930bc60f58f"
        );
        assert_eq!(
            hex(&caching_sha2(b"secret2", &NONCE)),
            "bc3f6dd9e9828d5a96ea3f67c1ad4bc8678d0e5b34bf8688a36fbc7dea9083aa"
        );
    }

    #[test]
    fn the_hash_reveals_the_stage() {
        let stage = native_stage(b"secret");
        let response = native(&stage, &NONCE);
        assert_eq!(native_stage_of(response, &NONCE, &native_hash(&stage)), stage);
        let other = native_hash(&native_stage(b"other"));
        assert_ne!(native_stage_of(response, &NONCE, &other), stage);
    }

    #[test]
    fn mask_is_its_own_inverse_and_repeats() {
        let mut bytes = [0; 45];
        mask(&mut bytes, &NONCE);
        assert_eq!(bytes[..20], NONCE);
        assert_eq!(bytes[40..], NONCE[..5]);
        mask(&mut bytes, &NONCE);
        assert_eq!(bytes, [0; 45]);
    }
}
