//! Reads: `SELECT`, `TABLE`, `VALUES`, parenthesised and behind `WITH`.
//!
//! A read is a plain one until the scan finds something that insists on the primary (S01 to S04).

use super::Class;
use super::cursor::Cursor;
use super::scan::{Calls, Until};
use crate::lexer::TokenKind;
use crate::plan::Kind;
use crate::reason::Reason;
use crate::word::kw;

impl Cursor<'_> {
    /// Behind `SELECT`.
    pub(super) fn select(&mut self) {
        let next = self.peek();
        if next.kind == TokenKind::AtAt || matches!(next.word, kw::CONNECTION_ID | kw::ROW_COUNT | kw::FOUND_ROWS) {
            self.gate_select();
        }
        self.read_rest();
    }

    /// The rest of a read.
    pub(super) fn read_rest(&mut self) {
        self.draft.kind = Some(Kind::Select);
        self.draft.class = Class::Read;
        self.scan_rest();
        if self.facts.system_schema {
            self.draft.about_server = true;
            self.draft.insist(Reason::SystemSchema);
        }
    }

    /// From the first of any number of parentheses on.
    pub(super) fn parenthesised(&mut self) {
        let mark = self.mark();
        while self.take_punct(b'(') {}
        let reads = self.take_any(&[kw::SELECT, kw::TABLE, kw::VALUES, kw::WITH]);
        self.go_back(mark);
        if !reads {
            self.draft.give_up();
        }
        self.read_rest();
    }

    /// Behind `WITH`: names, columns and bodies, then the statement that they belong to.
    pub(super) fn with(&mut self) {
        self.take(kw::RECURSIVE);
        loop {
            let named = self.take_name();
            if self.take_punct(b'(') {
                self.scan(Until::Close, Calls::Ignore);
            }
            if !(named && self.take(kw::AS) && self.take_punct(b'(')) {
                self.draft.give_up();
                return self.scan_rest();
            }
            self.scan(Until::Close, Calls::Judge);
            if !self.take_punct(b',') {
                break;
            }
        }
        let verb = self.peek();
        match verb.word {
            kw::SELECT | kw::TABLE | kw::VALUES => self.read_rest(),
            kw::UPDATE => self.write_rest(Kind::Update),
            kw::DELETE => self.write_rest(Kind::Delete),
            _ if verb.is_punct(b'(') => self.parenthesised(),
            _ => {
                self.draft.give_up();
                self.scan_rest();
            }
        }
    }
}
