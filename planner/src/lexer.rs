//! The lexer: statement bytes to tokens, as MySQL's own lexer would cut them.
//!
//! ```text
//!   SELECT a.`b`, 'it''s', @v:=1 /*!80000 FOR UPDATE */
//!   └Word┘ W.Name , Text , UserVariable Assign Number   Word Word        (the executed comment is no token, its inside is)
//! ```
//! Invariant: every call moves forward or returns `End`; the whole is linear in the bytes; nothing is copied.
//! It knows the session's `sql_mode` and character set from `Facts` (S02), and no grammar.
//! Where two servers may cut differently it says so in `doubt`, and the plan is then UNKNOWN.
//!
//! Source of the rules: MySQL's reference manual, "Language Structure" (literals, identifiers, comments), and for what it
//! leaves open (`1e5into`, `.5into`, `/*!NNNNNN`) the answers of a server.

use crate::facts::{Charset, Facts};
use crate::hint::Hint;
use crate::word::{WORD_BYTES_MAX, Word, push};

mod chars;
mod comments;
mod numbers;
#[cfg(test)]
mod tests;

use chars::{CLASS, Class, char_bytes, is_space};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An unquoted word that may be a keyword; `word` has it when it fits.
    Word,
    /// A name that cannot be a keyword: quoted, next to a dot, or with a digit first.
    Name,
    Number,
    /// A string in quotes, `N'…'` included.
    Text,
    /// `x'…'`, `b'…'`, `0x…`, `0b…`.
    Bits,
    /// `@name`, with the name in any quotes. Behind `db` it is the host of an account.
    UserVariable,
    /// `@@`; the scope and name follow as tokens.
    AtAt,
    /// `:=`
    Assign,
    Semicolon,
    Punct(u8),
    /// Ends in a quote or a comment, or is a byte that no statement has.
    Bad,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
    /// The packed keyword when `kind` is `Word`, else 0.
    pub word: Word,
}

impl Token {
    pub(crate) fn is(&self, word: Word) -> bool {
        self.word == word
    }

    pub(crate) fn is_punct(&self, byte: u8) -> bool {
        self.kind == TokenKind::Punct(byte)
    }

    /// A word or a name.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Name)
    }

    pub(crate) fn ends_statement(&self) -> bool {
        matches!(self.kind, TokenKind::Semicolon | TokenKind::End)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    facts: Facts,
    /// Inside of `/*! … */` whose content counts.
    executing: bool,
    /// The byte before was a dot: what follows without a space is a name.
    name_next: bool,
    /// From the comments passed so far.
    pub(crate) hint: Option<Hint>,
    /// Servers may differ in how they cut this text.
    pub(crate) doubt: bool,
    /// A byte beyond ASCII outside of quotes in a single-byte character set.
    pub(crate) odd_bytes: bool,
    /// A comment names a version later than 8.0: of several servers some may run it.
    pub(crate) dated: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(bytes: &'a [u8], facts: &Facts) -> Lexer<'a> {
        Lexer {
            bytes,
            at: 0,
            facts: *facts,
            executing: false,
            name_next: false,
            hint: None,
            doubt: false,
            odd_bytes: false,
            dated: false,
        }
    }

    /// The raw bytes of a token, quotes included.
    pub(crate) fn text(&self, token: &Token) -> &'a [u8] {
        self.bytes.get(token.start..token.end).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline(always)]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at.wrapping_add(ahead)).copied()
    }

    #[inline(always)]
    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token { kind, start, end: self.at, word: 0 }
    }

    /// The next token; `End` again and again at the end.
    pub(crate) fn next(&mut self) -> Token {
        loop {
            let start = self.at;
            let Some(byte) = self.peek(0) else {
                let open = std::mem::take(&mut self.executing);
                return self.token(if open { TokenKind::Bad } else { TokenKind::End }, start);
            };
            let name_next = std::mem::take(&mut self.name_next);
            match CLASS[byte as usize] {
                Class::Letter => return self.word_or_prefixed(byte, name_next),
                Class::Space => self.skip(1),
                Class::Digit if name_next => return self.name(start),
                Class::Digit => return self.number(),
                Class::High => return self.high(name_next),
                Class::Punct => {
                    if let Some(token) = self.punctuation(byte) {
                        return token;
                    }
                }
                Class::Control => {
                    self.skip(1);
                    return self.token(TokenKind::Bad, start);
                }
            }
        }
    }

    /// A word, or a string with a letter in front of its quote.
    #[inline]
    fn word_or_prefixed(&mut self, first: u8, name_next: bool) -> Token {
        let start = self.at;
        if self.peek(1) == Some(b'\'') && !name_next {
            match first | 0x20 {
                b'n' => {
                    self.skip(1);
                    let kind = self.quoted(b'\'');
                    return self.token(kind, start);
                }
                b'x' | b'b' => return self.bits_in_quotes(start),
                _ => (),
            }
        }
        let mut packed: Word = 0;
        let mut plain = true;
        while let Some(byte) = self.peek(0) {
            match CLASS[byte as usize] {
                Class::Letter | Class::Digit => {
                    packed = push(packed, byte);
                    self.skip(1);
                }
                Class::High if self.is_name_byte(byte) => {
                    plain = false;
                    self.skip_char(byte);
                }
                _ => break,
            }
        }
        let before_dot = self.peek(0) == Some(b'.') && self.peek(1).is_some_and(chars::may_be_in_name);
        let mut token = self.token(TokenKind::Word, start);
        if name_next || before_dot {
            token.kind = TokenKind::Name;
        } else if plain && self.at.wrapping_sub(start) <= WORD_BYTES_MAX {
            token.word = packed;
        }
        self.name_next = before_dot;
        token
    }

    /// The rest of a name that is no keyword.
    fn name(&mut self, start: usize) -> Token {
        while let Some(byte) = self.peek(0) {
            match CLASS[byte as usize] {
                Class::Letter | Class::Digit => self.skip(1),
                Class::High if self.is_name_byte(byte) => self.skip_char(byte),
                _ => break,
            }
        }
        self.name_next = self.peek(0) == Some(b'.') && self.peek(1).is_some_and(chars::may_be_in_name);
        self.token(TokenKind::Name, start)
    }

    /// A byte beyond ASCII outside of quotes.
    fn high(&mut self, name_next: bool) -> Token {
        let start = self.at;
        let byte = self.peek(0).unwrap_or_default();
        if self.is_name_byte(byte) {
            self.skip_char(byte);
            let mut token = self.name(start);
            if !name_next && !self.name_next {
                token.kind = TokenKind::Word;
            }
            return token;
        }
        self.skip(1);
        self.doubt = true;
        self.token(TokenKind::Bad, start)
    }

    /// True for a byte beyond ASCII that is part of a name. In most single-byte sets 0xa0 is a space, in a few 0xff is.
    fn is_name_byte(&mut self, byte: u8) -> bool {
        if self.facts.charset == Charset::Single {
            self.odd_bytes = true;
            return !matches!(byte, 0xa0 | 0xff);
        }
        true
    }

    #[inline]
    fn skip_char(&mut self, first: u8) {
        let len = match self.facts.charset {
            Charset::Utf8 | Charset::Euc | Charset::Single => 1,
            set => char_bytes(set, first, self.peek(1), self.peek(2), self.peek(3)),
        };
        self.skip(len);
    }

    /// Punctuation, quotes and comments. None: it was a comment, passed.
    fn punctuation(&mut self, byte: u8) -> Option<Token> {
        let start = self.at;
        let kind = match byte {
            b'\'' => self.quoted(b'\''),
            b'"' if self.facts.ansi_quotes => self.quoted_name(b'"'),
            b'"' => self.quoted(b'"'),
            b'`' => self.quoted_name(b'`'),
            b'@' => self.at_sign(),
            b'#' => {
                self.line_comment(1);
                return None;
            }
            b'-' if self.peek(1) == Some(b'-') && self.peek(2).is_none_or(|b| is_space(b) || b.is_ascii_control()) => {
                self.line_comment(2);
                return None;
            }
            b'/' if self.peek(1) == Some(b'*') => match self.block_comment() {
                Ok(()) => return None,
                Err(()) => TokenKind::Bad,
            },
            b'*' if self.executing && self.peek(1) == Some(b'/') => {
                self.executing = false;
                self.skip(2);
                return None;
            }
            b'.' => return Some(self.dot()),
            b';' => {
                self.skip(1);
                TokenKind::Semicolon
            }
            b':' if self.peek(1) == Some(b'=') => {
                self.skip(2);
                TokenKind::Assign
            }
            // `\N` is NULL up to MySQL 8.0.
            b'\\' if self.peek(1) == Some(b'N') => {
                self.skip(2);
                TokenKind::Number
            }
            _ => {
                self.skip(1);
                TokenKind::Punct(byte)
            }
        };
        Some(self.token(kind, start))
    }

    fn dot(&mut self) -> Token {
        let start = self.at;
        let after_name = start > 0 && self.bytes.get(start.wrapping_sub(1)).is_some_and(|b| chars::may_be_in_name(*b));
        self.skip(1);
        match self.peek(0) {
            Some(b'0'..=b'9') if !after_name => self.fraction(start),
            next => {
                self.name_next = next.is_some_and(chars::may_be_in_name);
                self.token(TokenKind::Punct(b'.'), start)
            }
        }
    }

    /// `@@`, `@name`, `@'name'`.
    fn at_sign(&mut self) -> TokenKind {
        self.skip(1);
        let quoted = match self.peek(0) {
            Some(b'@') => {
                self.skip(1);
                return TokenKind::AtAt;
            }
            Some(b'`') => Some(self.quoted_name(b'`')),
            Some(b'"') if self.facts.ansi_quotes => Some(self.quoted_name(b'"')),
            Some(quote @ (b'\'' | b'"')) => Some(self.quoted(quote)),
            _ => None,
        };
        match quoted {
            Some(TokenKind::Bad) => return TokenKind::Bad,
            Some(_) => return TokenKind::UserVariable,
            None => (),
        }
        while let Some(byte) = self.peek(0) {
            match CLASS[byte as usize] {
                Class::Letter | Class::Digit => self.skip(1),
                Class::High if self.is_name_byte(byte) => self.skip_char(byte),
                _ if byte == b'.' => self.skip(1),
                _ => break,
            }
        }
        TokenKind::UserVariable
    }

    /// A string, from its opening quote on.
    fn quoted(&mut self, quote: u8) -> TokenKind {
        self.skip(1);
        let escapes = !self.facts.no_backslash_escapes;
        let grouped = !matches!(self.facts.charset, Charset::Utf8 | Charset::Euc | Charset::Single);
        while let Some(byte) = self.peek(0) {
            if byte == quote {
                self.skip(1);
                if self.peek(0) != Some(quote) {
                    return TokenKind::Text;
                }
                self.skip(1);
            } else if byte == b'\\' && escapes {
                self.skip(2);
            } else if grouped && byte >= 0x80 {
                self.skip_char(byte);
            } else {
                self.skip(1);
            }
        }
        self.at = self.bytes.len();
        TokenKind::Bad
    }

    /// A name in quotes: no escapes but the doubled quote.
    fn quoted_name(&mut self, quote: u8) -> TokenKind {
        self.skip(1);
        while let Some(byte) = self.peek(0) {
            if byte == quote {
                self.skip(1);
                if self.peek(0) != Some(quote) {
                    return TokenKind::Name;
                }
                self.skip(1);
            } else if byte == 0 {
                break;
            } else if byte >= 0x80 {
                self.skip_char(byte);
            } else {
                self.skip(1);
            }
        }
        self.at = self.bytes.len();
        TokenKind::Bad
    }
}
