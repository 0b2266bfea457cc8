//! The cursor: a lexer with one token of look-ahead and the draft of the statement it stands in.

use super::Draft;
use crate::facts::Facts;
use crate::lexer::{Lexer, Token, TokenKind};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::routines::Routines;
use crate::word::Word;

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    pub(super) facts: Facts,
    pub(super) routines: &'a Routines,
    pub(super) draft: Draft,
}

/// A place to come back to.
#[derive(Debug)]
pub(super) struct Mark<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a [u8], facts: &Facts, routines: &'a Routines) -> Cursor<'a> {
        Cursor { lexer: Lexer::new(sql, facts), ahead: None, facts: *facts, routines, draft: Draft::default() }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Token {
        match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next(),
        }
    }

    #[inline]
    pub(super) fn peek(&mut self) -> Token {
        match self.ahead {
            Some(token) => token,
            None => {
                let token = self.lexer.next();
                self.ahead = Some(token);
                token
            }
        }
    }

    /// Gives back the token that was taken last.
    pub(super) fn put_back(&mut self, token: Token) {
        debug_assert!(self.ahead.is_none(), "one token of look-ahead");
        self.ahead = Some(token);
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.peek().kind == TokenKind::End
    }

    pub(super) fn at_statement_end(&mut self) -> bool {
        self.peek().ends_statement()
    }

    /// Takes the next token when it is this keyword.
    pub(super) fn take(&mut self, word: Word) -> bool {
        let found = self.peek().is(word);
        if found {
            self.ahead = None;
        }
        found
    }

    /// Takes the next token when it is one of these keywords.
    pub(super) fn take_any(&mut self, words: &[Word]) -> bool {
        let word = self.peek().word;
        let found = word != 0 && words.contains(&word);
        if found {
            self.ahead = None;
        }
        found
    }

    pub(super) fn take_punct(&mut self, byte: u8) -> bool {
        let found = self.peek().is_punct(byte);
        if found {
            self.ahead = None;
        }
        found
    }

    /// Takes a word or a name, quoted or not.
    pub(super) fn take_name(&mut self) -> bool {
        let found = self.peek().is_name();
        if found {
            self.ahead = None;
        }
        found
    }

    /// Takes `name`, `name.name`, `.name`.
    pub(super) fn take_qualified_name(&mut self) -> bool {
        self.take_last_name().is_some()
    }

    /// The same: its last part.
    pub(super) fn take_last_name(&mut self) -> Option<Token> {
        let dotted = self.take_punct(b'.');
        let mut name = self.peek();
        if !self.take_name() {
            return None;
        }
        if !dotted && self.take_punct(b'.') {
            name = self.peek();
            return self.take_name().then_some(name);
        }
        Some(name)
    }

    pub(super) fn mark(&self) -> Mark<'a> {
        Mark { lexer: self.lexer.clone(), ahead: self.ahead }
    }

    pub(super) fn go_back(&mut self, mark: Mark<'a>) {
        self.lexer = mark.lexer;
        self.ahead = mark.ahead;
    }

    /// The raw bytes of a token, quotes included.
    pub(super) fn text(&self, token: &Token) -> &'a [u8] {
        self.lexer.text(token)
    }

    pub(super) fn text_is(&self, token: &Token, name: &str) -> bool {
        self.text(token).eq_ignore_ascii_case(name.as_bytes())
    }

    /// The bytes from `start` to `end`.
    pub(super) fn span(&self, start: usize, end: usize) -> &'a [u8] {
        self.lexer.bytes().get(start..end).unwrap_or_default()
    }

    /// To the end of the statement, unwatched: definitions and accounts hold no expressions that run now.
    pub(super) fn skip_rest(&mut self) {
        while !self.peek().ends_statement() {
            if self.next().kind == TokenKind::Bad {
                self.draft.malformed();
            }
        }
    }

    /// The plan, with what the lexer noticed on the way.
    pub(super) fn finish(self, mut draft: Draft, statements: u16) -> Plan {
        if self.lexer.odd_bytes {
            // In a single-byte set a byte beyond ASCII may be a letter or not; a local answer could be wrong then.
            draft.insist(Reason::OddBytes);
            draft.local = None;
        }
        if self.lexer.doubt {
            draft.give_up();
        }
        draft.into_plan(self.lexer.hint, statements)
    }
}
