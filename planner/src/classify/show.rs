//! `SHOW`, `EXPLAIN`, `DESCRIBE`, `HELP`: about one server, so for the primary (S04).

use super::cursor::Cursor;
use super::scan::{Calls, Until, unquoted};
use crate::effects::{Asks, Effects};
use crate::lexer::TokenKind;
use crate::limits::PATTERN_BYTES_MAX;
use crate::plan::{Kind, Local};
use crate::reason::Reason;
use crate::word::{Word, kw};

impl Cursor<'_> {
    /// Behind `SHOW`.
    pub(super) fn show(&mut self) {
        let what = self.peek();
        self.draft.uncounted = UNCOUNTED.iter().any(|word| self.text_is(&what, word));
        match what.word {
            kw::WEIR => {
                self.next();
                self.show_weir();
            }
            kw::WARNINGS | kw::ERRORS => {
                self.question(Asks::DIAGNOSTICS);
                let errors_only = self.next().is(kw::ERRORS);
                if self.at_statement_end() {
                    self.draft.local = Some(Local::ShowConditions { errors_only });
                }
            }
            kw::SESSION | kw::LOCAL => {
                self.next();
                self.show_variables();
            }
            kw::VARIABLES => self.show_variables(),
            kw::COUNT => {
                // `SHOW COUNT(*) WARNINGS`; there is nothing else that SHOW counts.
                self.question(Asks::DIAGNOSTICS);
                self.next();
            }
            kw::GRANTS | kw::CREATE => {
                self.next();
                self.draft.insist(Reason::Show);
                self.skip_rest();
            }
            _ => (),
        }
        self.show_rest(Kind::Show);
    }

    /// `VARIABLES [LIKE 'pattern']`, when the pattern may match the trackers.
    fn show_variables(&mut self) {
        if !self.take(kw::VARIABLES) {
            return;
        }
        if !self.take(kw::LIKE) {
            if self.at_statement_end() {
                self.draft.listing = Some(b"%"[..].into());
            }
            return self.draft.asks |= Asks::TRACKERS | Asks::LAST_INSERT_ID;
        }
        let pattern = self.peek();
        let text = unquoted(self.text(&pattern));
        if pattern.kind == TokenKind::Text && text.len() <= PATTERN_BYTES_MAX {
            self.draft.listing = Some(text.into());
        }
        let fixed = text.iter().take_while(|b| !matches!(b, b'%' | b'_' | b'\\')).count();
        let fixed = text.get(..fixed).unwrap_or_default();
        let may_show = |name: &[u8]| {
            let same = fixed.iter().zip(name).all(|(a, b)| a.eq_ignore_ascii_case(b));
            pattern.kind != TokenKind::Text || same
        };
        if may_show(b"session_track_") {
            self.draft.asks |= Asks::TRACKERS;
        }
        if may_show(b"last_insert_id") || may_show(b"identity") {
            self.draft.asks |= Asks::LAST_INSERT_ID;
        }
    }

    /// Behind `HELP`.
    pub(super) fn help(&mut self) {
        self.draft.uncounted = true;
        self.show_rest(Kind::Explain);
    }

    pub(super) fn show_rest(&mut self, kind: Kind) {
        self.draft.kind = Some(kind);
        self.draft.insist(Reason::Show);
        self.scan_rest();
    }

    /// Behind `SHOW WEIR`: the words, for the gate.
    fn show_weir(&mut self) {
        let mut words = String::new();
        while !self.at_statement_end() {
            let token = self.next();
            if token.kind == TokenKind::Bad {
                return self.draft.malformed();
            }
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(&String::from_utf8_lossy(self.text(&token)).to_uppercase());
        }
        self.draft.local = Some(Local::ShowWeir(words.into()));
    }

    /// Behind `EXPLAIN`, `DESCRIBE` or `DESC`: the plan of a statement, or the columns of a table.
    pub(super) fn explain(&mut self, verb: Word) {
        self.draft.kind = Some(Kind::Explain);
        self.draft.insist(Reason::Explain);
        if verb == kw::EXPLAIN && self.explain_route() {
            return;
        }
        let mut analyzes = false;
        loop {
            if self.take(kw::ANALYZE) {
                analyzes = true;
            } else if self.take(kw::FORMAT) {
                self.take_punct(b'=');
                self.next_in_statement();
            } else if self.take(kw::FOR) {
                self.next_in_statement();
                self.next_in_statement();
            } else if self.take(kw::INTO) {
                self.draft.effects |= Effects::SET_USER_VARIABLE;
                self.next_in_statement();
            } else if !self.take_any(&[kw::EXTENDED, kw::PARTITIONS]) {
                break;
            }
        }
        let inner = self.peek();
        // `DESCRIBE t` is a read of the list of columns, and counted as one.
        self.draft.uncounted = FIRST_WORDS.contains(&inner.word) || inner.is_punct(b'(');
        let reads = matches!(inner.word, kw::SELECT | kw::TABLE | kw::VALUES | kw::WITH) || inner.is_punct(b'(');
        let writes = matches!(inner.word, kw::INSERT | kw::REPLACE | kw::UPDATE | kw::DELETE | kw::WITH);
        if analyzes && writes {
            self.draft.effects |= Effects::WRITES;
        }
        self.scan(Until::Statement, if reads { Calls::Judge } else { Calls::Ignore });
    }

    pub(super) fn next_in_statement(&mut self) {
        if !self.at_statement_end() {
            self.next();
        }
    }

    /// `EXPLAIN ROUTE <sql>`. A table may be called `route`, so a statement's first word must follow.
    fn explain_route(&mut self) -> bool {
        let mark = self.mark();
        if self.take(kw::ROUTE) {
            let inner = self.peek();
            if inner.is_punct(b'(') || FIRST_WORDS.contains(&inner.word) {
                let mut end = inner.end;
                while !self.at_statement_end() {
                    end = self.next().end;
                }
                // Several statements may be explained too: the text goes to its end.
                while !self.at_end() {
                    let token = self.next();
                    end = if token.kind == TokenKind::Semicolon { end } else { token.end };
                }
                self.draft.local = Some(Local::ExplainRoute(self.span(inner.start, end).into()));
                return true;
            }
        }
        self.go_back(mark);
        false
    }
}

/// What `SHOW` shows without reading a table: `FOUND_ROWS()` stays (seen on 9.7).
const UNCOUNTED: &[&str] = &[
    "warnings",
    "errors",
    "create",
    "grants",
    "privileges",
    "processlist",
    "full",
    "binary",
    "master",
    "binlog",
    "relaylog",
    "replica",
    "replicas",
    "slave",
    "engine",
    "profile",
    "profiles",
];

const FIRST_WORDS: &[Word] = &[
    kw::SELECT,
    kw::TABLE,
    kw::VALUES,
    kw::WITH,
    kw::INSERT,
    kw::REPLACE,
    kw::UPDATE,
    kw::DELETE,
    kw::SET,
    kw::USE,
    kw::BEGIN,
    kw::START,
    kw::COMMIT,
    kw::ROLLBACK,
    kw::SAVEPOINT,
    kw::RELEASE,
    kw::XA,
    kw::LOCK,
    kw::UNLOCK,
    kw::HANDLER,
    kw::CALL,
    kw::DO,
    kw::LOAD,
    kw::PREPARE,
    kw::EXECUTE,
    kw::DEALLOCATE,
    kw::SHOW,
    kw::EXPLAIN,
    kw::DESCRIBE,
    kw::DESC,
    kw::KILL,
    kw::CREATE,
    kw::ALTER,
    kw::DROP,
    kw::RENAME,
    kw::TRUNCATE,
    kw::GRANT,
    kw::REVOKE,
    kw::ANALYZE,
    kw::FLUSH,
    kw::RESET,
    kw::GET,
];
