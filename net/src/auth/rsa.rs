//! RSA for passwords on a channel that is not secure: the gate's own key pair, and the backend's public key.
//!
//! Invariant: every failure to decrypt looks the same to the peer.
//! Cost: decrypting takes about a millisecond of the core; only full authentication without TLS needs it.
//! Rule: MySQL "Caching_sha2_password information": RSAES-OAEP with SHA-1 and MGF1, the public key as PEM
//! (`SubjectPublicKeyInfo`).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use crate::error::Malformed;
use crate::secret::Secret;

/// A key pair; clones share it.
#[derive(Clone)]
pub struct RsaKey {
    pair: Arc<Pair>,
}

struct Pair {
    private: OaepPrivateDecryptingKey,
    public_pem: Vec<u8>,
}

impl RsaKey {
    /// A new key of 2048 bits, as the server's own. Takes tens to hundreds of milliseconds: once per process.
    pub fn generate() -> Result<Self, Unspecified> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
        let der: PublicKeyX509Der<'_> = private.public_key().as_der()?;
        let public_pem = pem(der.as_ref());
        let private = OaepPrivateDecryptingKey::new(private)?;
        Ok(Self { pair: Arc::new(Pair { private, public_pem }) })
    }

    /// The public key as the client gets it.
    pub fn public_pem(&self) -> &[u8] {
        &self.pair.public_pem
    }

    pub fn decrypt_oaep(&self, cipher: &[u8]) -> Result<Secret, Malformed> {
        const BAD: Malformed = Malformed("password that is not encrypted with the public key");
        let private = &self.pair.private;
        if cipher.len() != private.key_size_bytes() {
            return Err(BAD);
        }
        let mut buffer = vec![0; private.min_output_size()];
        let len = private.decrypt(&OAEP_SHA1_MGF1SHA1, cipher, &mut buffer, None).map_err(|_| BAD)?.len();
        // The secret takes over the whole buffer, so that all of it is wiped.
        buffer.truncate(len);
        Ok(Secret::new(buffer))
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(..)")
    }
}

/// Encrypts with the public key that a server has sent.
pub fn encrypt_oaep(public_pem: &[u8], plain: &[u8]) -> Result<Vec<u8>, Malformed> {
    const BAD_KEY: Malformed = Malformed("public key that is not an RSA key in PEM");
    let der = SubjectPublicKeyInfoDer::from_pem_slice(public_pem).map_err(|_| BAD_KEY)?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| BAD_KEY)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| BAD_KEY)?;
    if plain.len() > key.max_plaintext_size(&OAEP_SHA1_MGF1SHA1) {
        return Err(Malformed("password that is too long for the server's RSA key"));
    }
    let mut cipher = vec![0; key.ciphertext_size()];
    let len = key.encrypt(&OAEP_SHA1_MGF1SHA1, plain, &mut cipher, None).map_err(|_| BAD_KEY)?.len();
    cipher.truncate(len);
    Ok(cipher)
}

fn pem(der: &[u8]) -> Vec<u8> {
    let mut out = b"-----BEGIN PUBLIC KEY-----\n".to_vec();
    for line in base64(der).chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(b"-----END PUBLIC KEY-----\n");
    out
}

/// RFC 4648, with its padding: a public key and a page's hash per process don't earn a dependency.
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let at = |index| chunk.get(index).copied().unwrap_or(0);
        let bits = u32::from_be_bytes([0, at(0), at(1), at(2)]);
        for (digit, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let value = (bits >> shift) & 0x3f;
            let symbol = DIGITS.get(value as usize).copied().unwrap_or(b'=');
            out.push(if digit <= chunk.len() { symbol } else { b'=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_tail() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded.as_bytes());
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), b"+/+/");
    }

    #[test]
    fn there_and_back() {
        let key = RsaKey::generate().unwrap();
        let pem = String::from_utf8(key.public_pem().to_vec()).unwrap();
        assert!(pem.lines().all(|line| line.len() <= 64));
        for len in [0, 1, 20, 214] {
            let plain = vec![b'x'; len];
            let cipher = encrypt_oaep(key.public_pem(), &plain).unwrap();
            assert_eq!(cipher.len(), 256);
            assert_eq!(key.decrypt_oaep(&cipher).unwrap().as_bytes(), plain);
        }
        assert!(encrypt_oaep(key.public_pem(), &[b'x'; 215]).is_err());
        assert!(encrypt_oaep(b"no key", b"x").is_err());
        assert!(encrypt_oaep(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"x").is_err());
        let mut cipher = encrypt_oaep(key.public_pem(), b"x").unwrap();
        cipher[9] ^= 1;
        let failures = [key.decrypt_oaep(&cipher), key.decrypt_oaep(&cipher[1..]), key.decrypt_oaep(b"")];
        assert!(failures.into_iter().all(|failure| failure == failures_alike()));
    }

    fn failures_alike() -> Result<Secret, Malformed> {
        Err(Malformed("password that is not encrypted with the public key"))
    }
}
