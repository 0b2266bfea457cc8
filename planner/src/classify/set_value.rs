//! The right sides of `SET`: literals, and the character set forms that stand for several assignments.

use super::cursor::Cursor;
use crate::lexer::TokenKind;
use crate::limits::ASSIGNED_VALUE_BYTES_MAX;
use crate::plan::Scope;
use crate::word::kw;

impl Cursor<'_> {
    /// Takes a value that is a single literal, `DEFAULT` or a bare word, up to a comma or the end. None: nothing is taken.
    pub(super) fn literal(&mut self) -> Option<Box<[u8]>> {
        let mark = self.mark();
        let first = self.next();
        let mut end = first.end;
        let single = match first.kind {
            TokenKind::Number | TokenKind::Text | TokenKind::Bits | TokenKind::Word | TokenKind::Name => true,
            TokenKind::Punct(b'-' | b'+') => {
                let digits = self.peek();
                end = digits.end;
                digits.kind == TokenKind::Number && {
                    self.next();
                    true
                }
            }
            _ => false,
        };
        let fits = end.saturating_sub(first.start) <= ASSIGNED_VALUE_BYTES_MAX;
        if single && fits && (self.at_statement_end() || self.peek().is_punct(b',')) {
            return Some(self.span(first.start, end).into());
        }
        self.go_back(mark);
        None
    }

    /// Behind `NAMES`: `utf8mb4`, `'utf8mb4' COLLATE x`, `DEFAULT`.
    pub(super) fn set_names(&mut self) -> bool {
        let Some(charset) = self.charset_name() else { return false };
        let mut collation = None;
        if self.take(kw::COLLATE) {
            collation = self.charset_name();
            if collation.is_none() {
                return false;
            }
        }
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            self.assign(Scope::Session, name.into(), Some(charset.clone()));
        }
        self.assign(Scope::Session, "collation_connection".into(), collation);
        true
    }

    /// Behind `CHARACTER SET` or `CHARSET`: the connection's set becomes the schema's.
    pub(super) fn set_character_set(&mut self) -> bool {
        let Some(charset) = self.charset_name() else { return false };
        for name in ["character_set_client", "character_set_results"] {
            self.assign(Scope::Session, name.into(), Some(charset.clone()));
        }
        for name in ["character_set_connection", "collation_connection"] {
            self.assign(Scope::Session, name.into(), None);
        }
        true
    }

    fn charset_name(&mut self) -> Option<Box<[u8]>> {
        let token = self.peek();
        if !token.is_name() && token.kind != TokenKind::Text {
            return None;
        }
        self.next();
        Some(self.text(&token).into())
    }
}
