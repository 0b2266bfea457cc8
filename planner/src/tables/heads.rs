//! Heads: what a statement's first words say of the table that it is about.
//!
//! Source: MySQL's reference manual, "SQL Statements", and for the rights each needs the errors of a server.

use super::reader::{NOT_UNDERSTOOD, ROUTINE, Reader, Step, TEXT};
use super::{Access, Unknown};
use crate::lexer::{Token, TokenKind};
use crate::word::kw;

impl Reader<'_> {
    /// One statement, up to its end, which stays the next token.
    pub(super) fn statement(&mut self) -> Step {
        let first = self.peek();
        if first.ends_statement() {
            return Ok(());
        }
        if first.is_punct(b'(') || matches!(first.word, kw::SELECT | kw::WITH | kw::TABLE | kw::VALUES) {
            return self.walk();
        }
        self.next()?;
        match first.word {
            kw::INSERT => self.insert(Access::INSERT),
            kw::REPLACE => self.insert(Access::INSERT | Access::DELETE),
            kw::UPDATE => self.update().and_then(|()| self.walk()),
            kw::DELETE => self.delete().and_then(|()| self.walk()),
            kw::LOAD => self.load(),
            kw::HANDLER => self.handler(),
            kw::LOCK => self.lock(),
            kw::CREATE => self.create(),
            kw::ALTER => self.alter(),
            kw::DROP => self.drop_object(),
            kw::TRUNCATE => {
                self.take(kw::TABLE);
                self.table(Access::DROP)
            }
            kw::RENAME => self.rename(),
            kw::ANALYZE | kw::OPTIMIZE | kw::REPAIR => self.maintain(Access::SELECT | Access::INSERT),
            kw::CHECK | kw::CHECKSUM => self.maintain(Access::SELECT),
            kw::FLUSH => self.flush(),
            kw::CACHE => self.cache(),
            kw::SHOW => self.show(),
            kw::EXPLAIN | kw::DESCRIBE | kw::DESC => self.explain(),
            kw::USE => self.use_schema(),
            kw::CALL => Err(ROUTINE),
            kw::PREPARE | kw::EXECUTE => Err(TEXT),
            kw::BINLOG | kw::CLONE | kw::IMPORT => Err(Unknown("it is about all tables of a server")),
            kw::GRANT | kw::REVOKE => self.skip_rest(),
            kw::SET | kw::DO | kw::SIGNAL | kw::RESIGNAL | kw::GET => self.walk(),
            kw::BEGIN | kw::START | kw::COMMIT | kw::ROLLBACK | kw::SAVEPOINT | kw::RELEASE | kw::XA => self.walk(),
            kw::UNLOCK | kw::KILL | kw::HELP | kw::STOP | kw::RESET | kw::PURGE | kw::CHANGE | kw::SHUTDOWN => {
                self.walk()
            }
            kw::RESTART | kw::INSTALL | kw::UNINSTALL | kw::DEALLOCATE => self.walk(),
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    fn insert(&mut self, access: Access) -> Step {
        while self.take_any(&[kw::LOW_PRIORITY, kw::DELAYED, kw::HIGH_PRIORITY, kw::IGNORE]) {}
        self.take(kw::INTO);
        self.table(access)?;
        let at = self.uses.tables.len().saturating_sub(1);
        let updates = self.updates_duplicates();
        if let Some(target) = self.uses.tables.get_mut(at).filter(|_| updates) {
            target.access |= Access::UPDATE;
        }
        self.walk()
    }

    /// `ON DUPLICATE KEY UPDATE` stands in the rest of the statement.
    fn updates_duplicates(&mut self) -> bool {
        let mark = self.mark();
        let (mut last, mut found) = (0, false);
        while !self.at_end() {
            let Ok(token) = self.next() else { break };
            found |= last == kw::KEY && token.is(kw::UPDATE);
            last = token.word;
        }
        self.go_back(mark);
        found
    }

    /// Behind `UPDATE`: a list of tables follows, all of which count as changed.
    pub(super) fn update(&mut self) -> Step {
        while self.take_any(&[kw::LOW_PRIORITY, kw::IGNORE]) {}
        let top = self.top()?;
        (top.lists, top.expects, top.access) = (true, true, Access::UPDATE);
        Ok(())
    }

    /// Behind `DELETE`: one table, or a list of tables, all of which count as changed.
    pub(super) fn delete(&mut self) -> Step {
        while self.take_any(&[kw::LOW_PRIORITY, kw::IGNORE]) || self.take_word("quick") {}
        let is_from = self.take(kw::FROM);
        let begin = self.uses.tables.len();
        // Behind `FROM` it is a table, whatever a common table expression is called, unless `USING` follows.
        loop {
            let first = self.next()?;
            self.target(first)?;
            if !self.take_punct(b',') {
                break;
            }
        }
        if if is_from { self.take(kw::USING) } else { self.take(kw::FROM) } {
            // The names were tables or aliases of the list that follows.
            self.uses.tables.truncate(begin);
            let top = self.top()?;
            (top.lists, top.expects, top.access) = (true, true, Access::DELETE);
            return Ok(());
        }
        if is_from { Ok(()) } else { Err(NOT_UNDERSTOOD) }
    }

    /// `t`, `db.t`, `t.*`, `db.t.*`
    fn target(&mut self, first: Token) -> Step {
        let mut names = vec![self.name_of(&first)?];
        while self.take_punct(b'.') {
            if self.take_punct(b'*') {
                break;
            }
            names.push(self.name()?);
        }
        match <[Box<str>; 2]>::try_from(names) {
            Ok([schema, name]) => self.note(Some(schema), name, Access::DELETE),
            Err(mut names) => match (names.pop(), names.is_empty()) {
                (Some(name), true) => self.note(None, name, Access::DELETE),
                _ => Err(NOT_UNDERSTOOD),
            },
        }
    }

    fn load(&mut self) -> Step {
        if self.take(kw::INDEX) {
            // `INTO CACHE t …`
            self.next()?;
            self.next()?;
            return self.table_list(Access::INDEX).and_then(|()| self.only_end());
        }
        let mut access = Access::INSERT;
        while !self.take(kw::INTO) {
            if self.at_end() {
                return Err(NOT_UNDERSTOOD);
            }
            if self.next()?.is(kw::REPLACE) {
                access |= Access::DELETE;
            }
        }
        if !self.take(kw::TABLE) {
            return Err(NOT_UNDERSTOOD);
        }
        self.table(access)?;
        self.walk()
    }

    /// What `READ` and `CLOSE` name has been opened, under whatever name.
    fn handler(&mut self) -> Step {
        let first = self.next()?;
        let (schema, name, _) = self.qualified(first)?;
        if self.take(kw::OPEN) {
            self.note(schema, name, Access::SELECT)?;
        }
        self.walk()
    }

    fn lock(&mut self) -> Step {
        if self.take(kw::INSTANCE) {
            return self.skip_rest();
        }
        if !self.take_any(&[kw::TABLES, kw::TABLE]) {
            return Err(NOT_UNDERSTOOD);
        }
        loop {
            let first = self.next()?;
            let (schema, name, _) = self.qualified(first)?;
            let mut access = Access::SELECT;
            while !self.at_end() && !self.peek().is_punct(b',') {
                if self.next()?.is(kw::WRITE) {
                    access = Access::SELECT | Access::LOCK_TABLES;
                }
            }
            self.note(schema, name, access)?;
            if !self.take_punct(b',') {
                return Ok(());
            }
        }
    }

    fn create(&mut self) -> Step {
        loop {
            let token = self.next()?;
            match token.word {
                kw::TABLE => return self.create_table(),
                kw::VIEW => return self.view(),
                kw::INDEX => return self.index(),
                kw::DATABASE | kw::SCHEMA => return self.schema(),
                kw::TRIGGER | kw::PROCEDURE | kw::FUNCTION | kw::EVENT | kw::LIBRARY => return Err(ROUTINE),
                kw::SPATIAL if self.take_word("reference") => return self.skip_rest(),
                kw::USER | kw::ROLE | kw::SERVER | kw::TABLESPACE | kw::LOGFILE | kw::RESOURCE => {
                    return self.skip_rest();
                }
                kw::DEFINER => self.definer()?,
                _ if token.ends_statement() => return Err(NOT_UNDERSTOOD),
                _ => (),
            }
        }
    }

    /// Behind `DEFINER`: an account, whose name may be any word, unless it is `SQL SECURITY`'s.
    fn definer(&mut self) -> Step {
        if self.take_punct(b'=') {
            self.next()?;
        }
        Ok(())
    }

    fn create_table(&mut self) -> Step {
        self.if_exists()?;
        self.table(Access::CREATE)?;
        let at = self.uses.tables.len().saturating_sub(1);
        let mark = self.mark();
        self.take_punct(b'(');
        if self.take(kw::LIKE) {
            self.table(Access::SELECT)?;
            self.take_punct(b')');
            return self.only_end();
        }
        self.go_back(mark);
        self.walk()?;
        let queries = self.queries;
        if let Some(target) = self.uses.tables.get_mut(at).filter(|_| queries) {
            target.access |= Access::INSERT;
        }
        Ok(())
    }

    /// One that is replaced is named for nothing else.
    fn view(&mut self) -> Step {
        self.if_exists()?;
        let first = self.next()?;
        let (schema, name, _) = self.qualified(first)?;
        self.note(schema, name, Access::CREATE_VIEW)?;
        if self.take_punct(b'(') {
            while !self.take_punct(b')') {
                if self.at_end() {
                    return Err(NOT_UNDERSTOOD);
                }
                self.next()?;
            }
        }
        // Whoever reads the view runs its functions.
        self.judges_calls = true;
        self.walk()
    }

    /// Behind `INDEX`: `i … ON t`.
    fn index(&mut self) -> Step {
        while !self.take(kw::ON) {
            if self.at_end() {
                return Err(NOT_UNDERSTOOD);
            }
            self.next()?;
        }
        self.table(Access::INDEX)?;
        self.walk()
    }

    /// Behind `DATABASE`: its name, or what is to become of the current one.
    fn schema(&mut self) -> Step {
        self.if_exists()?;
        let token = self.peek();
        let options = ["default", "character", "charset", "collate", "encryption", "read"];
        let is_current = !token.is_name()
            || (token.kind == TokenKind::Word && options.iter().any(|option| self.text_is(&token, option)));
        if is_current {
            self.note_schema(None);
        }
        // A schema may be called like an option: then both readings count.
        if token.is_name() {
            let name = self.name()?;
            self.note_schema(Some(name));
        }
        self.skip_rest()
    }

    /// `IF EXISTS`, `IF NOT EXISTS`
    fn if_exists(&mut self) -> Step {
        if self.take(kw::IF) {
            self.take(kw::NOT);
            if !self.take_word("exists") {
                return Err(NOT_UNDERSTOOD);
            }
        }
        Ok(())
    }

    fn alter(&mut self) -> Step {
        loop {
            let token = self.next()?;
            match token.word {
                kw::TABLE => return self.alter_table(),
                kw::VIEW => return self.view(),
                kw::DATABASE | kw::SCHEMA => return self.schema(),
                kw::PROCEDURE | kw::FUNCTION | kw::EVENT | kw::LIBRARY => return Err(ROUTINE),
                kw::USER | kw::INSTANCE | kw::SERVER | kw::TABLESPACE | kw::LOGFILE | kw::RESOURCE => {
                    return self.skip_rest();
                }
                kw::DEFINER => self.definer()?,
                _ if token.ends_statement() => return Err(NOT_UNDERSTOOD),
                _ => (),
            }
        }
    }

    /// Changes separated by commas; `RENAME [TO|AS|=] u` and `EXCHANGE PARTITION p WITH TABLE u` name another table.
    fn alter_table(&mut self) -> Step {
        self.table(Access::ALTER)?;
        let at = self.uses.tables.len().saturating_sub(1);
        let mark = self.mark();
        while !self.at_end() {
            let token = self.next()?;
            let is_other = |reader: &mut Self| {
                let next = reader.peek();
                matches!(next.word, kw::INDEX | kw::KEY) || reader.text_is(&next, "column")
            };
            if token.is(kw::RENAME) && !is_other(self) {
                let _ = self.take_any(&[kw::TO, kw::AS]) || self.take_punct(b'=');
                self.table(Access::CREATE | Access::INSERT)?;
                if let Some(renamed) = self.uses.tables.get_mut(at) {
                    renamed.access |= Access::DROP;
                }
            }
        }
        self.go_back(mark);
        self.table_access = Access::ALTER | Access::INSERT | Access::CREATE | Access::DROP;
        self.walk()
    }

    fn drop_object(&mut self) -> Step {
        self.take(kw::TEMPORARY);
        let _ = self.take_word("undo");
        let object = self.next()?;
        match object.word {
            kw::TABLE | kw::TABLES | kw::VIEW => {
                self.if_exists()?;
                self.table_list(Access::DROP)?;
                // `RESTRICT` and `CASCADE` say nothing.
                self.skip_rest()
            }
            kw::INDEX => self.index(),
            kw::DATABASE | kw::SCHEMA => self.schema(),
            kw::TRIGGER => Err(Unknown("a trigger's name does not say which table it is on")),
            kw::PROCEDURE | kw::FUNCTION | kw::EVENT | kw::LIBRARY | kw::PREPARE => self.skip_rest(),
            kw::USER | kw::ROLE | kw::SERVER | kw::TABLESPACE | kw::LOGFILE | kw::RESOURCE | kw::SPATIAL => {
                self.skip_rest()
            }
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    fn rename(&mut self) -> Step {
        if self.take(kw::USER) {
            return self.skip_rest();
        }
        if !self.take_any(&[kw::TABLE, kw::TABLES]) {
            return Err(NOT_UNDERSTOOD);
        }
        loop {
            self.table(Access::ALTER | Access::DROP)?;
            if !self.take(kw::TO) {
                return Err(NOT_UNDERSTOOD);
            }
            self.table(Access::CREATE | Access::INSERT)?;
            if !self.take_punct(b',') {
                return self.only_end();
            }
        }
    }

    fn maintain(&mut self, access: Access) -> Step {
        let _ = self.take(kw::LOCAL) || self.take_word("no_write_to_binlog");
        if !self.take_any(&[kw::TABLE, kw::TABLES]) {
            return Err(NOT_UNDERSTOOD);
        }
        self.table_list(access)?;
        self.skip_rest()
    }

    fn flush(&mut self) -> Step {
        let _ = self.take(kw::LOCAL) || self.take_word("no_write_to_binlog");
        if self.take_any(&[kw::TABLE, kw::TABLES]) && !self.at_end() && !self.peek().is(kw::WITH) {
            self.table_list(Access::SELECT)?;
        }
        self.skip_rest()
    }

    /// `CACHE INDEX t, u IN k`; with indexes or partitions it is not read.
    fn cache(&mut self) -> Step {
        self.next()?;
        self.table_list(Access::INDEX)?;
        if self.take(kw::IN) { self.skip_rest() } else { Err(NOT_UNDERSTOOD) }
    }

    fn show(&mut self) -> Step {
        let _ = self.take_word("extended");
        let _ = self.take_word("full");
        let what = self.next()?;
        let is = |reader: &Self, names: &[&str]| names.iter().any(|name| reader.text_is(&what, name));
        if is(self, &["columns", "fields", "index", "indexes", "keys"]) {
            return self.show_of_table();
        }
        if is(self, &["binlog", "relaylog"]) {
            return Err(Unknown("it is about all tables of a server"));
        }
        if what.is(kw::CREATE) && matches!(self.peek().word, kw::TABLE | kw::VIEW) {
            let is_view = self.next()?.is(kw::VIEW);
            return self.table(if is_view { Access::SELECT } else { Access::SHOW }).and_then(|()| self.only_end());
        }
        if what.ends_statement() {
            return Err(NOT_UNDERSTOOD);
        }
        if what.is(kw::CREATE) {
            return self.skip_rest();
        }
        self.walk()
    }

    /// `FROM t [FROM db] [LIKE …|WHERE …]`
    fn show_of_table(&mut self) -> Step {
        if !self.take_any(&[kw::FROM, kw::IN]) {
            return Err(NOT_UNDERSTOOD);
        }
        let first = self.next()?;
        let (mut schema, name, _) = self.qualified(first)?;
        if self.take_any(&[kw::FROM, kw::IN]) {
            schema = Some(self.name()?);
        }
        self.note(schema, name, Access::SELECT)?;
        self.walk()
    }

    /// The plan of a statement, for which the server wants the statement's own rights, or the columns of a table.
    fn explain(&mut self) -> Step {
        loop {
            let mark = self.mark();
            let option = self.next()?;
            match option.word {
                kw::ANALYZE | kw::EXTENDED | kw::PARTITIONS => (),
                kw::FORMAT if self.take_punct(b'=') => self.next().map(|_| ())?,
                kw::INTO if self.peek().kind == TokenKind::UserVariable => self.next().map(|_| ())?,
                kw::FOR if self.take(kw::CONNECTION) => return self.skip_rest(),
                kw::FOR => return Err(Unknown("its schema is named in its middle")),
                kw::SELECT | kw::WITH | kw::TABLE | kw::VALUES | kw::INSERT | kw::REPLACE | kw::UPDATE | kw::DELETE => {
                    self.go_back(mark);
                    self.judges_calls = true;
                    return self.statement();
                }
                _ if option.is_punct(b'(') => {
                    self.go_back(mark);
                    self.judges_calls = true;
                    return self.walk();
                }
                _ => {
                    let (schema, name, _) = self.qualified(option)?;
                    self.note(schema, name, Access::SELECT)?;
                    return self.skip_rest();
                }
            }
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let next = self.peek();
        let found = next.kind == TokenKind::Word && self.text_is(&next, word);
        if found {
            let _ = self.next();
        }
        found
    }

    /// What is left over was not understood.
    fn only_end(&mut self) -> Step {
        if self.at_end() { Ok(()) } else { Err(NOT_UNDERSTOOD) }
    }
}
