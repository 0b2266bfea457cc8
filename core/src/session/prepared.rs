//! Prepared statements: the client's ids, the texts behind them, and which connection has prepared what (S41).
//!
//! ```text
//!   client id 7 ──► Statement ──► Text (shared by all sessions of this core with the same text and home)
//!                                   │ id
//!   link ──► statements[text.id] = Prepared { id 3 on this connection, types bound last }
//! ```
//! Invariant: two statements have the same `Text` only if the server would resolve their names alike:
//! same bytes, same schema, same variables when prepared.

use crate::session::ClassId;
use crate::state::{SchemaId, StateId};
use rustc_hash::FxHashMap;
use std::rc::Rc;
use weir_planner::{Facts, Plan};

/// One of a session's statements.
pub struct Statement {
    pub text: Rc<Text>,
    pub plan: Rc<Plan>,
    /// Those that it was planned with.
    pub facts: Facts,
    pub params: u16,
    /// The parameter types of the first execute: later ones leave them out.
    pub types: Option<Rc<[u8]>>,
    /// Long data was sent and not used up by an execute, or a cursor is open, on the leased link.
    pub busy: Busy,
    /// No other statement has its `Text`.
    pub alone: bool,
    /// Its long data could not be sent: the next execute says so.
    pub failed: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    #[default]
    No,
    LongData,
    Cursor,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Text {
    pub id: u64,
    pub sql: Box<[u8]>,
    pub schema: SchemaId,
    pub state: StateId,
    pub class: ClassId,
}

/// The texts of one core, shared while anybody uses them.
#[derive(Debug, Default)]
pub struct Texts {
    by_home: FxHashMap<(Box<[u8]>, SchemaId, StateId, ClassId), Rc<Text>>,
    next: u64,
    sweep_at: usize,
}

impl Texts {
    pub fn intern(&mut self, sql: &[u8], schema: SchemaId, state: StateId, class: ClassId) -> Rc<Text> {
        let home = (Box::from(sql), schema, state, class);
        if let Some(text) = self.by_home.get(&home) {
            return text.clone();
        }
        if self.by_home.len() >= self.sweep_at.max(1024) {
            self.by_home.retain(|_, text| Rc::strong_count(text) > 1);
            self.sweep_at = self.by_home.len() * 2;
        }
        self.next += 1;
        let text = Rc::new(Text { id: self.next, sql: home.0.clone(), schema, state, class });
        self.by_home.insert(home, text.clone());
        text
    }

    /// The same text for one statement alone: what it keeps at the server (long data, a cursor) must meet no other's.
    pub fn own(&mut self, text: &Text) -> Rc<Text> {
        self.next += 1;
        Rc::new(Text {
            id: self.next,
            sql: text.sql.clone(),
            schema: text.schema,
            state: text.state,
            class: text.class,
        })
    }
}

impl Texts {
    /// The homes of all texts that are in use; the others are forgotten.
    pub fn homes(&mut self) -> impl Iterator<Item = (SchemaId, StateId)> {
        self.by_home.retain(|_, text| Rc::strong_count(text) > 1);
        self.by_home.values().map(|text| (text.schema, text.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_home_and_unused_ones_go() {
        let mut texts = Texts::default();
        let home = |texts: &mut Texts, sql: &str, schema| {
            texts.intern(sql.as_bytes(), SchemaId(schema), StateId(0), ClassId(0))
        };
        let a = home(&mut texts, "SELECT ?", 1);
        assert!(Rc::ptr_eq(&a, &home(&mut texts, "SELECT ?", 1)));
        assert!(!Rc::ptr_eq(&a, &home(&mut texts, "SELECT ?", 2)));
        for n in 0..3000 {
            home(&mut texts, &format!("SELECT {n}"), 1);
        }
        assert!(texts.by_home.len() < 2100);
        assert!(Rc::ptr_eq(&a, &home(&mut texts, "SELECT ?", 1)));
    }
}
