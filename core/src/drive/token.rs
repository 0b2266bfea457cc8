//! The name of an operation in the kernel: what it was and for which wire, in the 64 bits that come back with it.
//!
//! ```text
//!   63    56 55              32 31               0
//!   │ kind  │ generation (low) │ index            │
//! ```
//! Invariant: the driver keeps a wire's slot until its last operation has completed, so a token whose generation does
//! not fit is a bug or a stray; it is dropped, but the buffer that came with it goes home.

use crate::drive::world::WireId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody waits for it: cancels and closes. It completes only when it failed, and then there is nothing to do.
    Silent,
    Receive,
    Send,
    Dial,
    /// The index is a listener's.
    Accept,
    Bell,
}

impl Token {
    pub const SILENT: Token = Token(0);

    pub fn of_wire(kind: Kind, wire: WireId) -> Token {
        let generation = wire.generation & GENERATION_MASK;
        Token((kind as u64) << 56 | u64::from(generation) << 32 | u64::from(wire.index))
    }

    pub fn of(kind: Kind, index: usize) -> Token {
        Token((kind as u64) << 56 | index as u64 & 0xffff_ffff)
    }

    pub fn kind(self) -> Kind {
        match self.0 >> 56 {
            1 => Kind::Receive,
            2 => Kind::Send,
            3 => Kind::Dial,
            4 => Kind::Accept,
            5 => Kind::Bell,
            _ => Kind::Silent,
        }
    }

    pub fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    /// Whether this token was made for that generation, as far as its bits tell.
    pub fn fits(self, generation: u32) -> bool {
        (self.0 >> 32) as u32 & GENERATION_MASK == generation & GENERATION_MASK
    }
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_what_it_was_made_of() {
        for kind in [Kind::Receive, Kind::Send, Kind::Dial] {
            let wire = WireId { index: 0xffff_fffe, generation: 0x1234_5678 };
            let token = Token::of_wire(kind, wire);
            assert_eq!((token.kind(), token.index()), (kind, 0xffff_fffe));
            assert!(token.fits(0x1234_5678));
            assert!(!token.fits(0x1234_5679));
        }
        assert_eq!(Token::of(Kind::Accept, 3).kind(), Kind::Accept);
        assert_eq!(Token::of(Kind::Bell, 0).kind(), Kind::Bell);
        assert_eq!(Token::SILENT.kind(), Kind::Silent);
    }
}
