//! `SET` in all its forms (S22, S24, S26).
//!
//! ```text
//!   SET @a = 1, GLOBAL x = 2, y = 3, @@session.z = 4, NAMES utf8mb4
//!       User    Global        Global (the keyword stays)  Session    four assignments
//! ```
//! Source: MySQL's reference manual, "SET Syntax for Variable Assignment", and a server's answers about the keyword.

use super::cursor::Cursor;
use super::scan::{Calls, Until, is_scope, unquoted};
use super::Class;
use crate::effects::Effects;
use crate::lexer::{Token, TokenKind};
use crate::limits::ASSIGNS_MAX;
use crate::plan::{Assign, Kind, Scope};
use crate::reason::Reason;
use crate::variables::variable_is_replayable;
use crate::word::kw;

impl Cursor<'_> {
    /// Behind `SET`.
    pub(super) fn set(&mut self) {
        self.draft.kind = Some(Kind::Set);
        self.draft.class = Class::SessionState;
        if !self.set_special() {
            self.set_list();
        }
        self.keep_for_gate();
    }

    /// The forms that are no list of assignments.
    fn set_special(&mut self) -> bool {
        let mark = self.mark();
        let word = self.next();
        let assigns = self.peek().is_punct(b'=') || self.peek().kind == TokenKind::Assign;
        match word.word {
            kw::PASSWORD => {
                self.draft.effects |= Effects::SET_PASSWORD;
                self.account_rest();
            }
            kw::DEFAULT if self.peek().is(kw::ROLE) => self.account_rest(),
            kw::ROLE if !assigns => {
                self.draft.effects |= Effects::SET_ROLE;
                self.draft.insist(Reason::PinnedState);
                self.skip_rest();
            }
            kw::RESOURCE if !assigns => {
                // `SET RESOURCE GROUP g`: a state of the server's thread, listed so that it pins.
                self.assign(Scope::Session, "resource group".into(), None);
                self.skip_rest();
            }
            kw::STATEMENT if !assigns => {
                // MariaDB's `SET STATEMENT x=1 FOR …`.
                self.draft.give_up();
                self.scan_rest();
            }
            kw::TRANSACTION if !assigns => self.characteristics(Scope::Once),
            kw::GLOBAL if self.take(kw::TRANSACTION) => self.characteristics(Scope::Global),
            kw::SESSION | kw::LOCAL if self.take(kw::TRANSACTION) => self.characteristics(Scope::Session),
            _ => {
                self.go_back(mark);
                return false;
            }
        }
        true
    }

    /// Behind `TRANSACTION`: `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, once each.
    fn characteristics(&mut self, scope: Scope) {
        while !self.at_statement_end() {
            if self.take(kw::ISOLATION) && self.take(kw::LEVEL) {
                let from = self.peek().start;
                let mut end = from;
                while !self.at_statement_end() && !self.peek().is_punct(b',') {
                    end = self.next().end;
                }
                let level = self.span(from, end).into();
                self.assign(scope, "transaction_isolation".into(), Some(level));
            } else if self.take(kw::READ) && self.peek().kind == TokenKind::Word {
                let mode = self.next();
                let text = self.text(&mode).into();
                if !(mode.is(kw::ONLY) || mode.is(kw::WRITE)) {
                    self.draft.give_up();
                }
                self.assign(scope, "transaction_read_only".into(), Some(text));
            } else {
                self.draft.give_up();
                return self.scan_rest();
            }
            self.take_punct(b',');
        }
    }

    fn set_list(&mut self) {
        // A keyword holds for the assignments behind it that have none.
        let mut scope = Scope::Session;
        loop {
            let understood = self.set_one(&mut scope);
            if !understood {
                self.draft.give_up();
                return self.scan_rest();
            }
            if !self.take_punct(b',') {
                return;
            }
        }
    }

    /// One assignment of a list.
    fn set_one(&mut self, sticky: &mut Scope) -> bool {
        let first = self.next();
        match first.kind {
            TokenKind::UserVariable => {
                let name = lower(unquoted(self.text(&first).get(1..).unwrap_or_default()));
                self.set_value(Scope::User, name)
            }
            TokenKind::AtAt => self.set_at_at(),
            TokenKind::Word | TokenKind::Name => {
                let assigns = self.peek().is_punct(b'=') || self.peek().kind == TokenKind::Assign;
                match first.word {
                    kw::NAMES if !assigns => return self.set_names(),
                    kw::CHARSET if !assigns => return self.set_character_set(),
                    kw::CHARACTER | kw::CHAR if self.take(kw::SET) => return self.set_character_set(),
                    _ => (),
                }
                if !assigns && first.kind == TokenKind::Word && is_scope(self.text(&first)) {
                    *sticky = scope_of(self.text(&first));
                    let name = self.next();
                    return name.is_name() && self.set_named(*sticky, &name);
                }
                self.set_named(*sticky, &first)
            }
            _ => {
                if first.ends_statement() {
                    self.put_back(first);
                }
                false
            }
        }
    }

    /// Behind `@@`. Without a scope, transaction characteristics hold for the next transaction only.
    fn set_at_at(&mut self) -> bool {
        let mut name = self.next();
        let mut scope = None;
        if self.peek().is_punct(b'.') && is_scope(self.text(&name)) {
            scope = Some(scope_of(self.text(&name)));
            self.next();
            name = self.next();
        }
        if !name.is_name() {
            if name.ends_statement() {
                self.put_back(name);
            }
            return false;
        }
        let bare = unquoted(self.text(&name));
        let once = scope.is_none() && TRANSACTION_VARIABLES.iter().any(|v| bare.eq_ignore_ascii_case(v.as_bytes()));
        self.set_named(if once { Scope::Once } else { scope.unwrap_or(Scope::Session) }, &name)
    }

    /// `name = value`, `name.part = value`.
    fn set_named(&mut self, scope: Scope, name: &Token) -> bool {
        let mut full = lower(unquoted(self.text(name)));
        if self.take_punct(b'.') {
            let part = self.next();
            full = format!("{full}.{}", lower(unquoted(self.text(&part)))).into();
        }
        self.set_value(scope, full)
    }

    /// `= value`.
    fn set_value(&mut self, scope: Scope, name: Box<str>) -> bool {
        if !(self.take_punct(b'=') || self.take_assign()) {
            return false;
        }
        let value = self.literal();
        if value.is_none() {
            if self.at_statement_end() || self.peek().is_punct(b',') {
                return false;
            }
            self.scan(Until::Comma, Calls::Judge);
        }
        self.assign(scope, name, value);
        true
    }

    fn take_assign(&mut self) -> bool {
        let found = self.peek().kind == TokenKind::Assign;
        if found {
            self.next();
        }
        found
    }

    /// Notes one assignment and what follows from it.
    pub(super) fn assign(&mut self, scope: Scope, name: Box<str>, value: Option<Box<[u8]>>) {
        match scope {
            Scope::User => {
                self.draft.effects |= Effects::SET_USER_VARIABLE;
                self.draft.insist(Reason::AssignsVariable);
            }
            Scope::Global | Scope::Persist | Scope::PersistOnly => {
                self.draft.effects |= Effects::SET_GLOBAL;
                self.draft.insist(Reason::GlobalState);
            }
            Scope::Once => {
                self.draft.effects |= Effects::SET_TRANSACTION_ONCE;
                self.draft.insist(Reason::PinnedState);
            }
            Scope::Session => self.assign_session(&name),
        }
        if self.draft.assigns.len() >= ASSIGNS_MAX {
            return self.draft.give_up();
        }
        self.draft.assigns.push(Assign { scope, name, literal: value.is_some(), value });
    }

    fn assign_session(&mut self, name: &str) {
        self.draft.effects |= Effects::SET_SESSION;
        match name {
            "autocommit" => {
                self.draft.effects |= Effects::SET_AUTOCOMMIT;
                self.draft.insist(Reason::Transaction);
            }
            "last_insert_id" | "identity" | "insert_id" => {
                self.draft.effects |= Effects::SETS_LAST_INSERT_ID;
                self.draft.insist(Reason::PinnedState);
            }
            _ if variable_is_replayable(name).is_none() => self.draft.insist(Reason::PinnedState),
            _ => (),
        }
    }
}

pub(super) fn scope_of(text: &[u8]) -> Scope {
    match text {
        _ if text.eq_ignore_ascii_case(b"global") => Scope::Global,
        _ if text.eq_ignore_ascii_case(b"persist") => Scope::Persist,
        _ if text.eq_ignore_ascii_case(b"persist_only") => Scope::PersistOnly,
        _ => Scope::Session,
    }
}

pub(super) fn lower(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name).to_lowercase().into()
}

/// Characteristics of a transaction, under their names of today and of before 5.7.20.
const TRANSACTION_VARIABLES: [&str; 4] =
    ["transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only"];
