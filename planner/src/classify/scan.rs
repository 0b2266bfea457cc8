//! The scan: every token of an expression or of a statement's rest, watched for what matters wherever it stands.
//!
//! Watched are locking clauses (S01), `INTO`, `:=` and calls (S03), names of system schemas and `@@` variables (S04),
//! and questions about the previous statement (S20, S21).

use super::cursor::Cursor;
use crate::effects::{Asks, Effects};
use crate::facts::schema_is_system;
use crate::functions::Call;
use crate::lexer::{Token, TokenKind};
use crate::limits::{LOCKS_MAX, VALUES_MAX};
use crate::plan::{Kind, Scope, SessionValue, ValueSpan};
use crate::reason::Reason;
use crate::routines::Data;
use crate::word::{Word, kw};

/// Where a scan ends. The token that ends it is taken only when it is the closing parenthesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Statement,
    /// The parenthesis that closes the one that was taken before the scan.
    Close,
    /// A comma outside of parentheses.
    Comma,
}

/// Whether `name (` is a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    Judge,
    /// Definitions: `KEY k (a)`. MySQL's own functions are still seen.
    Ignore,
    /// From this keyword on: `CREATE TABLE t (a INT) SELECT f(1)`.
    JudgeAfter(Word),
}

impl Cursor<'_> {
    /// To the end of the statement, with calls judged.
    pub(super) fn scan_rest(&mut self) {
        self.scan(Until::Statement, Calls::Judge);
    }

    pub(super) fn scan(&mut self, until: Until, mut calls: Calls) {
        let mut before = NO_TOKEN;
        let mut last = NO_TOKEN;
        let mut depth = 0u32;
        let mut list = true;
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Word => {
                    if calls != Calls::Judge && calls == Calls::JudgeAfter(token.word) {
                        calls = Calls::Judge;
                    }
                    if depth == 0 {
                        list = (list && token.word != kw::FROM) || matches!(token.word, kw::SELECT | kw::UNION);
                    }
                    self.watch_word(&token, &last);
                }
                TokenKind::Punct(b'(') => {
                    if last.is_name() {
                        self.watch_call(&before, &last, &token, calls, list && depth == 0);
                    }
                    depth = depth.saturating_add(1);
                }
                TokenKind::Punct(b')') => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None if until == Until::Close => return,
                    None => self.draft.give_up(),
                },
                TokenKind::Punct(b',') if depth == 0 && until == Until::Comma => return self.put_back(token),
                TokenKind::Punct(b'.') if last.is_name() => self.watch_schema(&last),
                TokenKind::Assign => {
                    self.draft.effects |= Effects::SET_USER_VARIABLE;
                    self.draft.insist(Reason::AssignsVariable);
                }
                TokenKind::UserVariable => self.watch_user_variable(),
                TokenKind::AtAt => self.watch_system_variable(&last, &token, list && depth == 0),
                TokenKind::Semicolon | TokenKind::End => {
                    if until == Until::Close {
                        self.draft.give_up();
                    }
                    return self.put_back(token);
                }
                TokenKind::Bad => self.draft.malformed(),
                _ => (),
            }
            before = last;
            last = token;
        }
    }

    #[inline]
    fn watch_word(&mut self, token: &Token, last: &Token) {
        match token.word {
            kw::FOR => {
                // `USE INDEX FOR JOIN`, `SUBSTRING(a FROM 1 FOR 2)` and `FOR SYSTEM_TIME` lock nothing.
                if matches!(self.peek().word, kw::UPDATE | kw::SHARE) {
                    self.lock_found();
                } else if last.is(kw::VALUE) {
                    // MariaDB's `NEXT VALUE FOR s` moves a sequence, and `PREVIOUS VALUE FOR s` is about its connection.
                    self.draft.effects |= Effects::WRITES | Effects::UNKNOWN_FUNCTION;
                    self.draft.insist(Reason::Write);
                }
            }
            kw::LOCK if self.peek().is(kw::IN) => self.lock_found(),
            kw::INTO => self.watch_into(),
            kw::SELECT => self.draft.selects = true,
            0 if self.text_is(token, "sql_calc_found_rows") => {
                self.draft.effects |= Effects::CALC_FOUND_ROWS;
                self.draft.insist(Reason::FoundRows);
            }
            0 if self.lists_session_variables(token) => {
                self.draft.asks |= Asks::TRACKERS | Asks::LAST_INSERT_ID;
            }
            _ => (),
        }
    }

    fn lock_found(&mut self) {
        self.draft.effects |= Effects::LOCKING_READ;
        self.draft.insist(Reason::Locking);
    }

    /// `INTO @v, …`, `INTO OUTFILE`, `INTO DUMPFILE`; elsewhere `INTO` names a table, and the family has said what it does.
    fn watch_into(&mut self) {
        let next = self.peek();
        if next.kind == TokenKind::UserVariable {
            self.draft.effects |= Effects::SET_USER_VARIABLE;
            self.draft.insist(Reason::IntoVariable);
            while self.peek().kind == TokenKind::UserVariable {
                self.next();
                if !self.take_punct(b',') {
                    break;
                }
            }
        } else if next.is(kw::OUTFILE) || next.is(kw::DUMPFILE) {
            self.draft.effects |= Effects::INTO_FILE;
            self.draft.insist(Reason::IntoFile);
        } else {
            self.draft.insist(Reason::IntoVariable);
        }
    }

    /// `last (`: a call, or a keyword or an alias before a parenthesis.
    fn watch_call(&mut self, before: &Token, last: &Token, parenthesis: &Token, calls: Calls, list: bool) {
        let call = match last.kind {
            TokenKind::Word => Call::of(last.word, self.text(last), self.facts.server_version),
            _ => Call::Unknown,
        };
        match call {
            Call::Keyword | Call::Free => (),
            Call::FreeWhenAdjacent if last.end == parenthesis.start => (),
            Call::FreeWhenAdjacent | Call::Unknown => {
                if calls == Calls::Judge && !names_columns(before) {
                    self.unknown_call(before, last);
                }
            }
            Call::Server => {
                self.draft.about_server |= matches!(last.word, kw::IS_USED_LOCK | kw::PS_THREAD_ID);
                self.draft.insist(Reason::ServerFunction);
            }
            Call::GetLock => {
                let name = self.peek();
                let fits = self.draft.locks.len() < LOCKS_MAX;
                match name.kind {
                    TokenKind::Text if fits => self.draft.locks.push(self.text(&name).into()),
                    _ => self.draft.nameless_lock = true,
                }
                self.lock_call(Effects::GET_LOCK);
            }
            Call::ReleaseLock => self.lock_call(Effects::RELEASE_LOCK),
            Call::ReleaseAllLocks => self.lock_call(Effects::RELEASE_ALL_LOCKS),
            Call::LastInsertId if self.peek().is_punct(b')') => self.question(Asks::LAST_INSERT_ID),
            Call::LastInsertId => {
                self.draft.effects |= Effects::SETS_LAST_INSERT_ID;
                self.draft.insist(Reason::PinnedState);
            }
            Call::RowCount => {
                self.question(Asks::ROW_COUNT);
                self.note_call(before, last, list, SessionValue::RowCount);
            }
            Call::FoundRows => self.question(Asks::FOUND_ROWS),
            Call::ConnectionId => {
                self.question(Asks::CONNECTION_ID);
                self.note_call(before, last, list, SessionValue::ConnectionId);
            }
        }
    }

    /// Behind `name (`.
    fn note_call(&mut self, before: &Token, name: &Token, list: bool, value: SessionValue) {
        if self.peek().is_punct(b')') {
            let mark = self.mark();
            let end = self.next().end;
            self.note_value(before, name.start, end, list, value);
            self.go_back(mark);
        } else {
            self.draft.needs_row_count = true;
        }
    }

    /// The session's value is asked for at `start..end`, and what follows it is the next token.
    fn note_value(&mut self, before: &Token, start: usize, end: usize, list: bool, value: SessionValue) {
        let has_room = self.draft.values.len() < VALUES_MAX;
        if !has_room && value == SessionValue::ConnectionId {
            return self.draft.give_up();
        }
        let after = self.peek();
        let ends = after.ends_statement()
            || after.is_punct(b',')
            || matches!(after.word, kw::FROM | kw::INTO | kw::UNION | kw::WHERE | kw::LIMIT | kw::ORDER | kw::FOR);
        let begins = before.kind == NO_TOKEN.kind && before.end == 0 || before.is_punct(b',') || before.is(kw::SELECT);
        let names_column = list && begins && ends && self.draft.kind == Some(Kind::Select);
        // Texts are far below 4 GiB: the protocol's packets are.
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else { return self.draft.give_up() };
        // Within a column's expression it is a part of that column's name, and a connection can tell it as well.
        let changes_no_name = match self.draft.kind {
            Some(Kind::Select) => names_column,
            Some(Kind::Set | Kind::Do | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Call) => {
                true
            }
            _ => false,
        };
        if value == SessionValue::RowCount && !(has_room && changes_no_name) {
            self.draft.needs_row_count = true;
            return;
        }
        self.draft.values.push(ValueSpan { start, end, names_column, value });
    }

    fn unknown_call(&mut self, before: &Token, last: &Token) {
        // `= ANY (SELECT …)`: not reserved, but no call behind an operator and before a subquery.
        let subquery = (self.text_is(last, "any") || self.text_is(last, "some"))
            && matches!(before.kind, TokenKind::Punct(b'=' | b'<' | b'>'))
            && (self.peek().is(kw::SELECT) || self.peek().is(kw::TABLE) || self.peek().is(kw::VALUES));
        if subquery {
            return;
        }
        match self.routines.data(unquoted(self.text(last))) {
            Some(Data::Reads) => self.draft.effects |= Effects::VOUCHED_FUNCTION,
            Some(Data::Modifies) => {
                self.draft.effects |= Effects::VOUCHED_FUNCTION | Effects::WRITES;
                self.draft.insist(Reason::Write);
            }
            None => {
                self.draft.effects |= Effects::UNKNOWN_FUNCTION | Effects::WRITES;
                self.draft.insist(Reason::UnknownFunction);
            }
        }
    }

    fn lock_call(&mut self, effect: Effects) {
        self.draft.effects |= effect;
        self.draft.insist(Reason::Lock);
    }

    pub(super) fn question(&mut self, asks: Asks) {
        self.draft.asks |= asks;
        self.draft.insist(Reason::AsksPrevious);
    }

    /// `name.`: a system schema's name leads to the primary.
    fn watch_schema(&mut self, name: &Token) {
        if schema_is_system(unquoted(self.text(name))) {
            self.draft.about_server = true;
            self.draft.insist(Reason::SystemSchema);
            let table = self.peek();
            if self.lists_session_variables(&table) {
                self.draft.asks |= Asks::TRACKERS | Asks::LAST_INSERT_ID;
            }
        }
    }

    fn lists_session_variables(&self, table: &Token) -> bool {
        self.text_is(table, "session_variables") || self.text_is(table, "variables_by_thread")
    }

    fn watch_user_variable(&mut self) {
        if self.peek().kind != TokenKind::Assign {
            self.draft.effects |= Effects::READS_USER_VARIABLE;
            self.draft.insist(Reason::ReadsUserVariable);
        }
    }

    /// Behind `@@`: `name`, `session.name`, `global.name`.
    fn watch_system_variable(&mut self, before: &Token, at: &Token, list: bool) {
        let Some(name) = self.take_variable_name().map(|(_, name)| name) else { return self.draft.give_up() };
        let text = unquoted(self.text(&name));
        let is = |known: &str| text.eq_ignore_ascii_case(known.as_bytes());
        match text {
            _ if is("last_insert_id") || is("identity") => self.question(Asks::LAST_INSERT_ID),
            _ if is("warning_count") || is("error_count") => self.question(Asks::DIAGNOSTICS),
            _ if is("pseudo_thread_id") => {
                self.question(Asks::CONNECTION_ID);
                self.note_value(before, at.start, name.end, list, SessionValue::ConnectionId);
            }
            _ if starts_without_case(text, b"session_track_") => {
                self.draft.asks |= Asks::TRACKERS;
                self.draft.insist(Reason::SystemVariable);
            }
            _ => self.draft.insist(Reason::SystemVariable),
        }
    }

    /// Behind `@@`: takes `[scope.]name`; None: no name follows.
    pub(super) fn take_variable_name(&mut self) -> Option<(Option<Scope>, Token)> {
        let first = self.peek();
        if !self.take_name() {
            return None;
        }
        let scope = Scope::of_keyword(self.text(&first)).filter(|_| self.peek().is_punct(b'.'));
        if scope.is_none() {
            return Some((None, first));
        }
        self.next();
        let name = self.peek();
        self.take_name().then_some((scope, name))
    }
}

fn starts_without_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|front| front.eq_ignore_ascii_case(start))
}

/// True when what follows this token and stands before a parenthesis is a name given to a table, with its columns:
/// `AS t (a)`, `WITH t (a) AS`, `(SELECT 1) t (a)`, and `'path' COLUMNS (…)`.
fn names_columns(before: &Token) -> bool {
    matches!(before.word, kw::AS | kw::WITH | kw::RECURSIVE) || before.is_punct(b')') || before.kind == TokenKind::Text
}

impl Scope {
    /// The scope that a word before a variable's name means.
    pub(super) fn of_keyword(text: &[u8]) -> Option<Scope> {
        let is = |keyword: &str| text.eq_ignore_ascii_case(keyword.as_bytes());
        match text {
            _ if is("session") || is("local") => Some(Scope::Session),
            _ if is("global") => Some(Scope::Global),
            _ if is("persist") => Some(Scope::Persist),
            _ if is("persist_only") => Some(Scope::PersistOnly),
            _ => None,
        }
    }
}

/// A name without its quotes. A doubled quote inside stays doubled, which no name that matters has.
pub(super) fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'`', inside @ .., b'`'] | [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
        _ => text,
    }
}

const NO_TOKEN: Token = Token { kind: TokenKind::Punct(0), start: 0, end: 0, word: 0 };
