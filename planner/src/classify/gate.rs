//! What the gate answers itself: its own variables, `SELECT CONNECTION_ID()` and its like, `USE db@replica`.
//!
//! Invariant: only a text of exactly one of these shapes is local. Anything near to them goes to the server, which fails
//! it as a whole when it names a variable of the gate: a mixed `SET` is all or nothing (S22).

use super::Class;
use super::cursor::Cursor;
use super::scan::unquoted;
use super::set::lower;
use crate::effects::Effects;
use crate::functions::Call;
use crate::hint::Target;
use crate::lexer::{Token, TokenKind};
use crate::limits::ASSIGNS_MAX;
use crate::plan::{GateSet, GateShow, Kind, Local, Scope};
use crate::word::kw;

/// The variables that are the gate's own.
pub(crate) const GATE_VARIABLES: [&str; 7] = [
    "digest_running_max",
    "enable_read_write_splitting_for_read_only_txn",
    "read_after_write_consistency",
    "read_after_write_gtid",
    "read_after_write_timeout",
    "read_write_splitting_policy",
    "read_write_splitting_ratio",
];

impl Cursor<'_> {
    /// Behind `SELECT`, with a shape of the gate's possible. Takes nothing.
    pub(super) fn gate_select(&mut self) {
        let mark = self.mark();
        let local = if self.peek().kind == TokenKind::AtAt { self.show_gate() } else { self.known_call() };
        if self.at_statement_end() {
            self.draft.local = local;
        }
        self.go_back(mark);
    }

    /// `CONNECTION_ID() [[AS] alias]`, and the same of `ROW_COUNT()` and `FOUND_ROWS()`. The column's name is the alias, or
    /// the text of the call as it was written.
    fn known_call(&mut self) -> Option<Local> {
        let name = self.next();
        let start = name.start;
        let call = Call::of(name.word, self.text(&name), self.facts.server_version);
        let local: fn(Box<[u8]>) -> Local = match call {
            Call::ConnectionId => |column| Local::ConnectionId { column },
            Call::RowCount => |column| Local::RowCount { column },
            Call::FoundRows => |column| Local::FoundRows { column },
            _ => return None,
        };
        if !self.take_punct(b'(') || !self.peek().is_punct(b')') {
            return None;
        }
        let end = self.next().end;
        let written = self.span(start, end);
        let plain = written.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'(' | b')' | b' '));
        let alias = self.alias()?;
        match alias {
            Some(column) => Some(local(column)),
            None if plain => Some(local(written.into())),
            None => None,
        }
    }

    /// `[[AS] alias]`. None: something else follows; `Some(None)`: nothing does.
    #[allow(clippy::option_option)]
    fn alias(&mut self) -> Option<Option<Box<[u8]>>> {
        let explicit = self.take(kw::AS);
        let token = self.peek();
        let ends = self.at_statement_end() || token.is_punct(b',');
        if ends {
            return (!explicit).then_some(None);
        }
        if !token.is_name() && token.kind != TokenKind::Text {
            return None;
        }
        // Reserved words are no aliases.
        if !explicit && matches!(token.word, kw::FROM | kw::INTO | kw::WHERE | kw::FOR) {
            return None;
        }
        self.next();
        let text = unquoted(self.text(&token));
        let simple = !text.iter().any(|b| matches!(b, b'\\' | b'\'' | b'"' | b'`' | 0x80..));
        simple.then(|| Some(text.into()))
    }

    /// `@@[scope.]name [[AS] alias], …` of the gate's variables.
    fn show_gate(&mut self) -> Option<Local> {
        let mut shows = Vec::new();
        loop {
            let start = self.next();
            if start.kind != TokenKind::AtAt || shows.len() >= ASSIGNS_MAX {
                return None;
            }
            let (global, name) = self.gate_variable()?;
            let written = self.span(start.start, name.end);
            let column = self.alias()?.unwrap_or_else(|| written.into());
            shows.push(GateShow { global, name: lower(unquoted(self.text(&name))), column });
            if !self.take_punct(b',') {
                return Some(Local::ShowGate(shows.into()));
            }
        }
    }

    /// Behind `@@`.
    fn gate_variable(&mut self) -> Option<(bool, Token)> {
        let (scope, name) = self.take_variable_name()?;
        let known = GATE_VARIABLES.contains(&&*lower(unquoted(self.text(&name))));
        known.then_some((scope.is_some_and(|scope| scope != Scope::Session), name))
    }

    /// Behind `CREATE`, `ALTER`, `DROP` or `SHOW`: `FILTER`, `FILTERS`, `CREATE FILTER`. MySQL has no such objects. Takes nothing.
    pub(super) fn is_about_filters(&mut self) -> bool {
        let mark = self.mark();
        self.take(kw::CREATE);
        let found = self.take_any(&[kw::FILTER, kw::FILTERS]);
        self.go_back(mark);
        found
    }

    /// The statement that begins at `start`, up to its end.
    pub(super) fn filter(&mut self, start: usize) {
        self.skip_rest();
        let end = self.peek().start;
        let read = crate::filter::read(self.span(start, end), &self.facts);
        (self.draft.kind, self.draft.local) = (Some(Kind::Admin), Some(Local::Filter(Box::new(read))));
    }

    /// Behind a whole `SET`: keeps it for the gate when it assigns the gate's variables only, to literal values.
    pub(super) fn keep_for_gate(&mut self) {
        let assigns = &self.draft.assigns;
        if assigns.is_empty() || self.draft.effects.contains(Effects::UNKNOWN) {
            return;
        }
        let sets: Option<Vec<GateSet>> = assigns
            .iter()
            .map(|a| {
                let known = GATE_VARIABLES.contains(&&*a.name);
                let global = match a.scope {
                    Scope::Session => false,
                    Scope::Global => true,
                    _ => return None,
                };
                let value = a.value.clone().filter(|_| known)?;
                Some(GateSet { global, name: a.name.clone(), value })
            })
            .collect();
        if let Some(sets) = sets {
            self.draft.local = Some(Local::SetGate(sets.into()));
        }
    }

    /// Behind `USE`: `db`, or `db@replica` in any quotes.
    pub(super) fn use_schema(&mut self) {
        self.draft.kind = Some(Kind::Use);
        self.draft.class = Class::SessionState;
        self.draft.effects |= Effects::USE_SCHEMA;
        let token = self.peek();
        let (schema, role) = if token.kind == TokenKind::UserVariable {
            self.next();
            (&b""[..], self.text(&token).get(1..))
        } else if self.take_name() {
            let name = self.text(&token);
            let host = self.peek();
            if host.kind == TokenKind::UserVariable && host.start == token.end {
                self.next();
                (unquoted(name), self.text(&host).get(1..))
            } else {
                let inside = unquoted(name);
                match inside.iter().rposition(|b| *b == b'@') {
                    Some(at) => (inside.get(..at).unwrap_or_default(), inside.get(at.saturating_add(1)..)),
                    None => (inside, None),
                }
            }
        } else {
            return self.draft.give_up();
        };
        if let Some(role) = role.and_then(Target::of_name).filter(|_| !schema.contains(&b'`')) {
            self.draft.local = Some(Local::UseRole { schema: schema.into(), role });
        }
    }
}
