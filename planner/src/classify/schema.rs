//! Changes of the schema: `CREATE`, `ALTER`, `DROP`, `RENAME`, `TRUNCATE`, and the bodies of routines.
//!
//! Between the verb and the object stand words of many kinds (`OR REPLACE DEFINER = u@h SQL SECURITY …`); the first word
//! that names an object decides.

use super::cursor::Cursor;
use super::scan::{Calls, Until};
use crate::effects::Effects;
use crate::lexer::TokenKind;
use crate::plan::Kind;
use crate::reason::Reason;
use crate::word::{Word, kw};

/// What a schema statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Table,
    /// Its body may hold semicolons.
    Routine,
    Account,
    Instance,
    /// A text of `PREPARE`.
    Prepared,
    Other,
}

impl Cursor<'_> {
    /// Behind `CREATE`.
    pub(super) fn create(&mut self) {
        let (temporary, object) = self.object();
        match object {
            Some(Object::Table) if temporary => {
                self.change(Effects::TEMP_TABLE_CREATE);
                self.scan(Until::Statement, Calls::JudgeAfter(kw::SELECT));
            }
            Some(Object::Table) => {
                self.change(Effects::IMPLICIT_COMMIT);
                self.scan(Until::Statement, Calls::JudgeAfter(kw::SELECT));
            }
            Some(Object::Routine) => {
                self.change(Effects::IMPLICIT_COMMIT);
                self.body();
            }
            Some(Object::Account) => self.account_rest(),
            Some(Object::Other) => self.schema_change(Effects::IMPLICIT_COMMIT),
            Some(Object::Instance | Object::Prepared) | None => self.not_understood(),
        }
    }

    /// Behind `ALTER`.
    pub(super) fn alter(&mut self) {
        match self.object().1 {
            Some(Object::Table | Object::Other) => self.schema_change(Effects::IMPLICIT_COMMIT),
            Some(Object::Routine) => {
                self.change(Effects::IMPLICIT_COMMIT);
                self.body();
            }
            Some(Object::Account) => self.account_rest(),
            Some(Object::Instance) => self.administer(Effects::IMPLICIT_COMMIT),
            Some(Object::Prepared) | None => self.not_understood(),
        }
    }

    /// Behind `DROP`.
    pub(super) fn drop_object(&mut self) {
        let (temporary, object) = self.object();
        match object {
            Some(Object::Table) if temporary => self.drop_temporary(),
            Some(Object::Table) => self.schema_change(Effects::TABLE_DROP | Effects::IMPLICIT_COMMIT),
            Some(Object::Routine | Object::Other) => self.schema_change(Effects::IMPLICIT_COMMIT),
            Some(Object::Account) => self.account_rest(),
            Some(Object::Prepared) => self.text_prepare(0),
            Some(Object::Instance) | None => self.not_understood(),
        }
    }

    /// Behind `DROP TEMPORARY TABLE`: `[IF EXISTS] t, db.u`.
    fn drop_temporary(&mut self) {
        self.change(Effects::TEMP_TABLE_DROP);
        if self.take(kw::IF) {
            self.next_in_statement();
        }
        while self.take_qualified_name() {
            self.draft.dropped = self.draft.dropped.saturating_add(1);
            if !self.take_punct(b',') {
                break;
            }
        }
        self.scan(Until::Statement, Calls::Ignore);
    }

    /// Behind `RENAME`.
    pub(super) fn rename(&mut self) {
        match self.object().1 {
            Some(Object::Table) => self.schema_change(Effects::IMPLICIT_COMMIT),
            Some(Object::Account) => self.account_rest(),
            _ => self.not_understood(),
        }
    }

    /// The rest of a change that holds no expression worth judging.
    pub(super) fn schema_change(&mut self, effects: Effects) {
        self.change(effects);
        self.scan(Until::Statement, Calls::Ignore);
    }

    fn change(&mut self, effects: Effects) {
        self.draft.kind = Some(Kind::Ddl);
        self.draft.effects |= effects | Effects::WRITES;
        self.draft.insist(Reason::Schema);
    }

    fn not_understood(&mut self) {
        self.draft.give_up();
        self.scan_rest();
    }

    /// Takes words up to the one that names the object; says whether `TEMPORARY` was among them.
    fn object(&mut self) -> (bool, Option<Object>) {
        let mut temporary = false;
        while !self.at_statement_end() {
            let token = self.next();
            let object = match token.word {
                kw::TABLE | kw::TABLES => Object::Table,
                kw::PROCEDURE | kw::FUNCTION | kw::TRIGGER | kw::EVENT | kw::LIBRARY => Object::Routine,
                kw::USER | kw::ROLE => Object::Account,
                kw::INSTANCE => Object::Instance,
                kw::PREPARE => Object::Prepared,
                kw::VIEW | kw::INDEX | kw::DATABASE | kw::SCHEMA | kw::SERVER | kw::TABLESPACE | kw::SPATIAL => {
                    if token.is(kw::SPATIAL) && self.peek().is(kw::INDEX) {
                        continue;
                    }
                    Object::Other
                }
                kw::LOGFILE | kw::RESOURCE => Object::Other,
                kw::DEFINER if self.take_punct(b'=') => {
                    // `DEFINER = user@host`, `DEFINER = CURRENT_USER()`: the name may be any word.
                    self.next();
                    continue;
                }
                kw::TEMPORARY => {
                    temporary = true;
                    continue;
                }
                _ => continue,
            };
            return (temporary, Some(object));
        }
        (temporary, None)
    }

    /// The rest of a statement that may hold a compound body. With `BEGIN … END` or the like in it, everything to the
    /// end of the text is the body; a statement that seems to follow behind it makes the whole not understood.
    fn body(&mut self) {
        let mut compound = false;
        // Behind a semicolon that stands behind the last `END`, or behind the first one when there is no `END`.
        let (mut outside, mut follows) = (false, false);
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::End => break,
                TokenKind::Semicolon if !compound => return,
                TokenKind::Semicolon => outside = true,
                // The body of a routine in another language stands between `$$`: its text is no SQL.
                TokenKind::Word if self.text(&token).first() == Some(&b'$') => return self.skip_to_end(),
                TokenKind::Word if token.is(kw::END) => (outside, follows) = (false, false),
                TokenKind::Bad => self.draft.malformed(),
                _ => follows |= outside,
            }
            compound |= COMPOUND.contains(&token.word);
            self.next();
        }
        if compound && follows {
            self.draft.give_up();
        }
    }

    fn skip_to_end(&mut self) {
        while !self.at_end() {
            self.next();
        }
    }
}

/// Words that open a compound statement, which ends with `END`.
const COMPOUND: &[Word] = &[kw::BEGIN, kw::CASE, kw::IF, kw::LOOP, kw::WHILE, kw::REPEAT];
