//! A secret: bytes of a password, or of what is as good as one.
//!
//! Invariant: the bytes are wiped when it is dropped, are never formatted, and are compared in a time that does
//! not depend on where they differ. What is copied out of it through [`Secret::as_bytes`] is no longer guarded.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// Password bytes, as the account's owner typed them: no NUL at the end.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the buffer. It is wiped as a whole, its spare capacity included.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn empty() -> Self {
        Self::new(Vec::new())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_and_does_not_show() {
        let secret = Secret::from(&b"swordfish"[..]);
        assert_eq!(secret, Secret::new(b"swordfish".to_vec()));
        assert_ne!(secret, Secret::new(b"swordfisH".to_vec()));
        assert_ne!(secret, Secret::new(b"swordfish\0".to_vec()));
        assert_ne!(secret, Secret::empty());
        assert_eq!(Secret::empty(), Secret::from(&[][..]));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
