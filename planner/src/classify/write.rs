//! Writes of rows, and statements that run something whose effects only the server knows: `CALL`, `DO`, `EXECUTE`.

use super::Class;
use super::cursor::Cursor;
use super::scan::{Calls, Until};
use crate::effects::{Asks, Effects};
use crate::lexer::TokenKind;
use crate::named::{Named, NamedSource, literal};
use crate::plan::Kind;
use crate::reason::Reason;
use crate::routines::Data;
use crate::user_variables::plain;
use crate::word::{Word, kw};

impl Cursor<'_> {
    /// Behind `INSERT` or `REPLACE`. The name of the table is taken here, so that `t (a, b)` is no call.
    pub(super) fn insert(&mut self, kind: Kind) {
        while self.take_any(&[kw::LOW_PRIORITY, kw::DELAYED, kw::HIGH_PRIORITY, kw::IGNORE]) {}
        self.take(kw::INTO);
        let named = self.take_qualified_name();
        // As good as `VALUES`, but not reserved: elsewhere a function may be called so.
        self.take(kw::VALUE);
        self.write_rest(kind);
        if !named {
            self.draft.give_up();
        }
    }

    pub(super) fn write_rest(&mut self, kind: Kind) {
        self.draft.kind = Some(kind);
        self.draft.effects |= Effects::WRITES;
        self.draft.insist(Reason::Write);
        self.scan_rest();
    }

    /// Behind `LOAD`.
    pub(super) fn load(&mut self) {
        self.draft.kind = Some(Kind::Load);
        if self.take(kw::INDEX) {
            return self.administer(Effects::IMPLICIT_COMMIT);
        }
        if !self.take_any(&[kw::DATA, kw::XML]) {
            self.draft.give_up();
            return self.scan_rest();
        }
        self.draft.effects |= Effects::WRITES;
        self.draft.insist(Reason::Write);
        while self.take_any(&[kw::LOW_PRIORITY, kw::CONCURRENT, kw::FROM]) {}
        if self.take(kw::LOCAL) {
            self.draft.effects |= Effects::LOAD_LOCAL;
        }
        self.scan(Until::Statement, Calls::JudgeAfter(kw::SET));
        self.variables_are_written();
    }

    /// Behind `CALL`: user variables among the arguments may be written.
    pub(super) fn call(&mut self) {
        self.draft.kind = Some(Kind::Call);
        self.draft.effects |= Effects::CALL;
        let mut data = None;
        match self.take_last_name() {
            Some(name) => {
                let name = super::scan::unquoted(self.text(&name));
                data = self.routines.data(name);
                self.draft.called = Some(name.into());
            }
            None => self.draft.give_up(),
        }
        match data {
            Some(Data::Reads) => {
                self.draft.effects |= Effects::VOUCHED_CALL;
                self.draft.class = Class::Read;
            }
            Some(Data::Modifies) => {
                self.draft.effects |= Effects::VOUCHED_CALL | Effects::WRITES;
                self.draft.insist(Reason::Write);
            }
            None => {
                self.draft.effects |= Effects::WRITES;
                self.draft.insist(Reason::Routine);
            }
        }
        self.scan_rest();
        self.variables_are_written();
    }

    /// Behind `DO`.
    pub(super) fn evaluate(&mut self) {
        self.draft.kind = Some(Kind::Do);
        self.scan_rest();
        self.draft.insist(Reason::Routine);
    }

    /// Behind `PREPARE`, `EXECUTE`, `DEALLOCATE`. What `EXECUTE` runs is not known here: it may write.
    pub(super) fn text_prepare(&mut self, verb: Word) {
        self.draft.kind = Some(Kind::Prepare);
        self.draft.insist(Reason::TextPrepare);
        self.draft.effects |= match verb {
            kw::PREPARE => Effects::TEXT_PREPARE,
            kw::EXECUTE => Effects::TEXT_EXECUTE | Effects::WRITES,
            _ => Effects::TEXT_DEALLOCATE,
        };
        if verb == kw::DEALLOCATE && !self.take(kw::PREPARE) {
            self.draft.give_up();
        }
        let name = self.peek();
        if !self.take_name() {
            self.draft.give_up();
        }
        let source = if verb == kw::PREPARE { self.prepared_source() } else { NamedSource::Earlier };
        self.draft.named = plain(self.text(&name)).map(|name| Box::new(Named { name, source }));
        self.scan_rest();
    }

    /// Behind `PREPARE name`, looked at only.
    fn prepared_source(&mut self) -> NamedSource {
        let mark = self.mark();
        let has_source = self.take(kw::FROM);
        let token = self.next();
        let read = match token.kind {
            TokenKind::Text => literal(self.text(&token)).map(NamedSource::Literal),
            TokenKind::UserVariable => self.text(&token).get(1..).and_then(plain).map(NamedSource::Variable),
            _ => None,
        };
        self.go_back(mark);
        read.filter(|_| has_source).unwrap_or(NamedSource::Unread)
    }

    /// Behind `GET`, `SIGNAL`, `RESIGNAL`.
    pub(super) fn diagnostics(&mut self, verb: Word) {
        self.draft.kind = Some(Kind::Diagnostics);
        if verb != kw::GET {
            self.draft.insist(Reason::Routine);
            return self.scan_rest();
        }
        self.take_any(&[kw::CURRENT, kw::STACKED]);
        if !self.take(kw::DIAGNOSTICS) {
            self.draft.give_up();
        }
        self.question(Asks::DIAGNOSTICS);
        let mark = self.mark();
        while !self.at_statement_end() {
            let token = self.next();
            if self.text_is(&token, "row_count") {
                self.question(Asks::ROW_COUNT);
                self.draft.needs_row_count = true;
            }
        }
        self.go_back(mark);
        self.scan_rest();
        self.variables_are_written();
    }

    /// User variables that the scan took for read may be written in this place.
    fn variables_are_written(&mut self) {
        if self.draft.effects.contains(Effects::READS_USER_VARIABLE) {
            self.draft.effects |= Effects::SET_USER_VARIABLE;
        }
    }
}
