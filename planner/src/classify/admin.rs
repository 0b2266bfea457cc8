//! Administration: table maintenance, replication, plugins, `FLUSH`, `RESET`, `KILL`.

use super::cursor::Cursor;
use super::scan::{Calls, Until, unquoted};
use crate::effects::Effects;
use crate::lexer::TokenKind;
use crate::plan::{Kind, Local};
use crate::reason::Reason;
use crate::word::{Word, kw};

impl Cursor<'_> {
    /// Behind a first word that no other family has.
    pub(super) fn administrative(&mut self, verb: Word) {
        match verb {
            kw::ANALYZE | kw::OPTIMIZE | kw::REPAIR | kw::CHECK => {
                self.take_unlogged();
                if !self.take_any(&[kw::TABLE, kw::TABLES]) {
                    // MariaDB's `ANALYZE SELECT …`, or an error.
                    self.draft.give_up();
                }
                self.administer(Effects::IMPLICIT_COMMIT);
            }
            kw::CHECKSUM | kw::CLONE | kw::PURGE | kw::RESTART | kw::SHUTDOWN => self.administer(Effects::empty()),
            kw::CACHE | kw::CHANGE | kw::INSTALL | kw::UNINSTALL | kw::IMPORT => {
                self.administer(Effects::IMPLICIT_COMMIT);
            }
            kw::STOP => self.replication(),
            kw::FLUSH => self.flush(),
            kw::RESET => self.reset(),
            kw::BINLOG => {
                // An event of another server's log may set anything in the session.
                self.administer(Effects::UNKNOWN);
            }
            _ => {
                self.draft.give_up();
                self.scan_rest();
            }
        }
    }

    pub(super) fn administer(&mut self, effects: Effects) {
        self.draft.kind = self.draft.kind.or(Some(Kind::Admin));
        self.draft.effects |= effects | Effects::ADMIN | Effects::WRITES;
        self.draft.insist(Reason::Admin);
        self.scan(Until::Statement, Calls::Ignore);
    }

    /// Behind `START` or `STOP`.
    pub(super) fn replication(&mut self) {
        if !self.take_any(&[kw::REPLICA, kw::SLAVE]) {
            let what = self.peek();
            if self.text_is(&what, "group_replication") {
                self.next();
            } else {
                self.draft.give_up();
            }
        }
        self.administer(Effects::IMPLICIT_COMMIT);
    }

    fn take_unlogged(&mut self) {
        let word = self.peek();
        if word.is(kw::LOCAL) || self.text_is(&word, "no_write_to_binlog") {
            self.next();
        }
    }

    /// Behind `FLUSH`: with `TABLES` it may lock, all of them or those named.
    fn flush(&mut self) {
        if self.take(kw::WEIR) {
            let what = self.next();
            if self.text_is(&what, "DIGESTS") && self.at_statement_end() {
                self.draft.local = Some(Local::FlushDigests);
            }
            return self.administer(Effects::empty());
        }
        self.take_unlogged();
        let mut effects = Effects::IMPLICIT_COMMIT;
        if self.take_any(&[kw::TABLES, kw::TABLE]) {
            let named = !self.peek().is(kw::WITH);
            while !self.at_statement_end() {
                if self.take(kw::WITH) && self.take(kw::READ) && self.take(kw::LOCK) {
                    effects |= if named { Effects::LOCK_TABLES } else { Effects::GLOBAL_READ_LOCK };
                } else if self.take(kw::FOR) && self.take(kw::EXPORT) {
                    effects |= Effects::LOCK_TABLES;
                } else if self.next_is_bad() {
                    self.draft.malformed();
                }
            }
        }
        self.administer(effects);
    }

    fn next_is_bad(&mut self) -> bool {
        if self.at_statement_end() {
            return false;
        }
        self.next().kind == TokenKind::Bad
    }

    /// Behind `RESET`.
    fn reset(&mut self) {
        if self.take(kw::PERSIST) {
            self.draft.kind = Some(Kind::Set);
            self.draft.effects |= Effects::SET_GLOBAL;
            self.draft.insist(Reason::GlobalState);
            return self.skip_rest();
        }
        self.administer(Effects::IMPLICIT_COMMIT);
    }

    /// Behind `KILL`: with a number the gate does it, since ids are its own (S30). Anything else stays `Effects::KILL`
    /// for the primary, and it is for the engine to refuse it.
    pub(super) fn kill(&mut self) {
        self.draft.kind = Some(Kind::Kill);
        self.draft.effects |= Effects::KILL;
        self.draft.insist(Reason::Kill);
        let query_only = self.take(kw::QUERY);
        if !query_only {
            self.take(kw::CONNECTION);
        }
        let token = self.peek();
        if token.ends_statement() {
            // A mistake for the server to tell.
            self.draft.effects = Effects::empty();
        } else if matches!(token.kind, TokenKind::Number | TokenKind::Text) {
            let text = unquoted(self.text(&token));
            let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
            let id = std::str::from_utf8(text.get(..digits).unwrap_or_default()).unwrap_or_default().parse::<u64>();
            let is_whole = digits == text.len();
            self.next();
            // A text means the number that it begins with, or 0.
            let id = id.ok().filter(|_| is_whole || token.kind == TokenKind::Text);
            let id = id.or((token.kind == TokenKind::Text && digits == 0).then_some(0));
            if let (Some(id), true) = (id, self.at_statement_end()) {
                self.draft.local = Some(Local::Kill { id, query_only });
            }
        }
        self.scan_rest();
    }
}
