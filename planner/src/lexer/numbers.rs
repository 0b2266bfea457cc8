//! Numbers and bit strings, and the names that begin like numbers.

use super::chars::may_be_in_name;
use super::{Lexer, Token, TokenKind};

impl Lexer<'_> {
    /// `12`, `1.5`, `1e5`, `0x1f`, and names like `1st`. `1e5into` is a number and a keyword, `1into` a name.
    pub(super) fn number(&mut self) -> Token {
        let start = self.at;
        if self.peek(0) == Some(b'0') {
            let is_digit: fn(u8) -> bool = match self.peek(1) {
                Some(b'x') => |b| b.is_ascii_hexdigit(),
                Some(b'b') => |b| matches!(b, b'0' | b'1'),
                _ => |_| false,
            };
            let digits = self.bytes.iter().skip(start.saturating_add(2)).take_while(|b| is_digit(**b)).count();
            let after = digits.saturating_add(2);
            if digits > 0 && !self.peek(after).is_some_and(may_be_in_name) {
                self.skip(after);
                return self.token(TokenKind::Bits, start);
            }
        }
        self.digits();
        match self.peek(0) {
            Some(b'.') => {
                self.skip(1);
                return self.fraction(start);
            }
            Some(b'e' | b'E') if self.exponent() => return self.token(TokenKind::Number, start),
            Some(byte) if may_be_in_name(byte) => return self.name(start),
            _ => (),
        }
        self.token(TokenKind::Number, start)
    }

    /// Behind the point of a number.
    pub(super) fn fraction(&mut self, start: usize) -> Token {
        self.digits();
        if matches!(self.peek(0), Some(b'e' | b'E')) && !self.exponent() {
            // `1.e` without digits ends MySQL's parse.
            self.skip(1);
            return self.token(TokenKind::Bad, start);
        }
        self.token(TokenKind::Number, start)
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
            self.skip(1);
        }
    }

    /// Takes `e5`, `e+5` when digits follow.
    fn exponent(&mut self) -> bool {
        let signed = matches!(self.peek(1), Some(b'+' | b'-'));
        let digits_at = if signed { 2 } else { 1 };
        let found = self.peek(digits_at).is_some_and(|b| b.is_ascii_digit());
        if found {
            self.skip(digits_at);
            self.digits();
        }
        found
    }

    /// `x'1f'`, `b'01'`.
    pub(super) fn bits_in_quotes(&mut self, start: usize) -> Token {
        self.skip(2);
        while self.peek(0).is_some_and(|b| b.is_ascii_hexdigit()) {
            self.skip(1);
        }
        let closed = self.peek(0) == Some(b'\'');
        self.skip(usize::from(closed));
        self.token(if closed { TokenKind::Bits } else { TokenKind::Bad }, start)
    }
}
