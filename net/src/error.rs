//! The one decode error: what was wrong with the bytes.
//!
//! Invariant: it carries no bytes of the peer, so it is safe to log. Whose fault it is follows from the wire that
//! the bytes came from, which this crate does not know.

use std::fmt;

/// Bytes that break the protocol; the text names the rule that they break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed packet: ")?;
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}
