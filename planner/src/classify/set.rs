//! `SET` in all its forms (S22, S24, S26).
//!
//! ```text
//!   SET @a = 1, GLOBAL x = 2, y = 3, @@session.z = 4, NAMES utf8mb4
//!       User    Global        Global (the keyword stays)  Session    four assignments
//! ```
//! Source: MySQL's reference manual, "SET Syntax for Variable Assignment", and a server's answers about the keyword.

use super::Class;
use super::cursor::Cursor;
use super::gate::GATE_VARIABLES;
use super::scan::{Calls, Until, unquoted};
use crate::effects::{Asks, Effects};
use crate::lexer::{Token, TokenKind};
use crate::limits::ASSIGNS_MAX;
use crate::named::is_plain;
use crate::plan::{Assign, Kind, Scope};
use crate::reason::Reason;
use crate::variables::{Carry, carry};
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
                let start = self.peek().start;
                let mut end = start;
                while !self.peek().ends_statement() {
                    let token = self.next();
                    end = token.end;
                    if token.kind == TokenKind::Bad {
                        self.draft.malformed();
                    }
                }
                let roles = self.span(start, end);
                let value = is_plain(roles).then(|| roles.into());
                self.assign(Scope::Role, "role".into(), value);
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

    /// Behind `TRANSACTION`: `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, listed as the variables that they set.
    fn characteristics(&mut self, scope: Scope) {
        loop {
            let understood = if self.take(kw::ISOLATION) && self.take(kw::LEVEL) {
                self.isolation_level().map(|level| ("transaction_isolation", level))
            } else if self.take(kw::READ) {
                self.access_mode().map(|mode| ("transaction_read_only", mode))
            } else {
                None
            };
            let Some((name, value)) = understood else {
                self.draft.give_up();
                return self.scan_rest();
            };
            self.assign(scope, name.into(), Some(value.as_bytes().into()));
            if !self.take_punct(b',') {
                return;
            }
        }
    }

    fn isolation_level(&mut self) -> Option<&'static str> {
        if self.take(kw::SERIALIZABLE) {
            return Some("'SERIALIZABLE'");
        }
        if self.take(kw::REPEATABLE) {
            return self.take(kw::READ).then_some("'REPEATABLE-READ'");
        }
        if !self.take(kw::READ) {
            return None;
        }
        if self.take(kw::COMMITTED) {
            return Some("'READ-COMMITTED'");
        }
        self.take(kw::UNCOMMITTED).then_some("'READ-UNCOMMITTED'")
    }

    fn access_mode(&mut self) -> Option<&'static str> {
        if self.take(kw::ONLY) {
            return Some("ON");
        }
        self.take(kw::WRITE).then_some("OFF")
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
                let keyword =
                    Scope::of_keyword(self.text(&first)).filter(|_| !assigns && first.kind == TokenKind::Word);
                let Some(scope) = keyword else { return self.set_named(*sticky, &first) };
                *sticky = scope;
                let name = self.peek();
                self.take_name() && self.set_named(scope, &name)
            }
            _ => {
                if first.ends_statement() {
                    self.put_back(first);
                }
                false
            }
        }
    }

    /// Behind `@@`. Without a scope, transaction characteristics hold for the next transaction only. What is set without one,
    /// MariaDB does not report (seen on 10.11).
    fn set_at_at(&mut self) -> bool {
        let Some((scope, name)) = self.take_variable_name() else { return false };
        let bare = unquoted(self.text(&name));
        let once = scope.is_none() && TRANSACTION_VARIABLES.iter().any(|v| bare.eq_ignore_ascii_case(v.as_bytes()));
        let is_gates = GATE_VARIABLES.iter().any(|v| bare.eq_ignore_ascii_case(v.as_bytes()));
        let untold = scope.is_none() && !once && self.facts.is_mariadb() && !is_gates;
        let set = self.set_named(if once { Scope::Once } else { scope.unwrap_or(Scope::Session) }, &name);
        if untold {
            self.draft.give_up();
        }
        set
    }

    /// `name = value`, `name.part = value`.
    fn set_named(&mut self, scope: Scope, name: &Token) -> bool {
        let mut full = lower(unquoted(self.text(name)));
        if self.take_punct(b'.') {
            let part = self.peek();
            if !self.take_name() {
                return false;
            }
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
            Scope::Role => {
                self.draft.effects |= Effects::SET_ROLE;
                self.draft.insist(Reason::PinnedState);
            }
            Scope::Session => self.assign_session(&name, value.as_deref()),
        }
        if self.draft.assigns.len() >= ASSIGNS_MAX {
            return self.draft.give_up();
        }
        self.draft.assigns.push(Assign { scope, name, literal: value.is_some(), value });
    }

    fn assign_session(&mut self, name: &str, value: Option<&[u8]>) {
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
            _ if name.starts_with("session_track_") => self.draft.asks |= Asks::TRACKERS,
            _ if carry(name, value.unwrap_or_default()) == Carry::Pin => {
                self.draft.insist(Reason::PinnedState);
                if name == "sql_auto_is_null" {
                    // From here on `IS NULL` asks for it, on this connection.
                    self.draft.asks |= Asks::LAST_INSERT_ID;
                }
            }
            _ => (),
        }
    }
}

pub(super) fn lower(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name).to_lowercase().into()
}

/// Characteristics of a transaction, under their names of today and of before 5.7.20.
const TRANSACTION_VARIABLES: [&str; 4] =
    ["transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only"];
