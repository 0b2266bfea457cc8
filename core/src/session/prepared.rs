//! Prepared statements: the client's ids, the texts behind them, and which connection has prepared what (S41).
//!
//! ```text
//!   client id 7 ──► Statement ──► Text (shared by all sessions of this core with the same text, home and first types)
//!                                   │ id
//!   link ──► statements[text.id] = Prepared { id 3 on this connection, types bound last }
//! ```
//! Invariant: two statements have the same `Text` only if the server would resolve their names alike:
//! same bytes, same schema, same variables when prepared. What a bare `?` is, its first execute decides for good
//! (seen on 9.7), so that who began with other types has another `Text`.

use crate::link::Prepared;
use crate::session::pins::Reasons;
use crate::session::ruled::Origin;
use crate::session::{ClassId, Session};
use crate::state::{SchemaId, StateId};
use rustc_hash::FxHashMap;
use std::rc::Rc;
use weir_planner::{Effects, Facts, Plan};

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
    /// A filter has put another text in the place of its own.
    pub origin: Option<Box<Origin>>,
    /// The trace context in its text was its first execute's.
    pub was_traced: bool,
}

impl Statement {
    /// Why its connection is kept for it.
    pub fn pins(&self) -> Reasons {
        let mut reasons = match self.busy {
            Busy::No => Reasons::default(),
            Busy::LongData => Reasons::LONG_DATA,
            Busy::Cursor => Reasons::CURSOR,
        };
        if self.plan.effects.contains(Effects::READS_USER_VARIABLE) {
            reasons.0 |= Reasons::PREPARED_READS.0;
        }
        reasons
    }
}

impl Session {
    pub(crate) fn held_by_statements(&self) -> Reasons {
        self.statements.values().fold(Reasons::default(), |all, statement| Reasons(all.0 | statement.pins().0))
    }
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
    /// `Texts::epoch` when it was prepared first.
    pub epoch: u32,
    /// It is a whole `PREPARE name FROM '…'`, said as a query; else the text of a `COM_STMT_PREPARE`.
    pub name: Option<Box<str>>,
    /// The parameter types of the first execute; none before it.
    pub types: Option<Rc<[u8]>>,
    /// What it was before its first execute.
    pub untyped: Option<Rc<Text>>,
}

impl Text {
    /// One of these that was prepared for this text and never executed: it takes the types of whoever does so first.
    pub(crate) fn untouched(&self, there: &FxHashMap<u64, Prepared>) -> Option<u64> {
        let untyped = self.untyped.as_ref()?.id;
        there.get(&untyped).is_some_and(|prepared| prepared.types.is_none()).then_some(untyped)
    }
}

/// What makes a text another one: bytes, schema, state, class, epoch, whether it is a named one, first types.
type Home = (Box<[u8]>, SchemaId, StateId, ClassId, u32, bool, Option<Rc<[u8]>>);

/// The texts of one core, shared while anybody uses them.
#[derive(Debug, Default)]
pub struct Texts {
    by_home: FxHashMap<Home, Rc<Text>>,
    /// Definitions that this core has seen change. A server prepares what it finds changed anew, with the parameters that came last, and
    /// not as for who prepares now (seen on 9.7: other warnings): these do not share.
    epoch: u32,
    next: u64,
    sweep_at: usize,
}

impl Texts {
    /// Tables are not any more what they were.
    pub fn definitions_changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    pub fn intern(&mut self, sql: &[u8], schema: SchemaId, state: StateId, class: ClassId) -> Rc<Text> {
        self.intern_any(sql, None, schema, state, class)
    }

    /// A `PREPARE` of this name.
    pub fn intern_named(
        &mut self,
        sql: &[u8],
        name: &str,
        schema: SchemaId,
        state: StateId,
        class: ClassId,
    ) -> Rc<Text> {
        self.intern_any(sql, Some(name), schema, state, class)
    }

    fn intern_any(
        &mut self,
        sql: &[u8],
        name: Option<&str>,
        schema: SchemaId,
        state: StateId,
        class: ClassId,
    ) -> Rc<Text> {
        let home = (Box::from(sql), schema, state, class, self.epoch, name.is_some(), None);
        self.at_home(home, name, None)
    }

    /// The same text for statements whose first execute has these types.
    pub fn typed(&mut self, text: &Rc<Text>, types: Rc<[u8]>) -> Rc<Text> {
        let is_named = text.name.is_some();
        let home = (text.sql.clone(), text.schema, text.state, text.class, text.epoch, is_named, Some(types));
        self.at_home(home, text.name.as_deref(), Some(text.clone()))
    }

    fn at_home(&mut self, home: Home, name: Option<&str>, untyped: Option<Rc<Text>>) -> Rc<Text> {
        if let Some(text) = self.by_home.get(&home) {
            return text.clone();
        }
        if self.by_home.len() >= self.sweep_at.max(1024) {
            self.by_home.retain(|_, text| Rc::strong_count(text) > 1);
            self.sweep_at = self.by_home.len() * 2;
        }
        self.next += 1;
        let (ref sql, schema, state, class, epoch, _, ref types) = home;
        let (sql, types, name) = (sql.clone(), types.clone(), name.map(Box::from));
        let text = Rc::new(Text { id: self.next, sql, schema, state, class, epoch, name, types, untyped });
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
            epoch: text.epoch,
            name: text.name.clone(),
            types: None,
            untyped: None,
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
        let [int, text] = [3, 253].map(|kind| texts.typed(&a, Rc::from([kind, 0])));
        assert!(!Rc::ptr_eq(&int, &text) && int.untyped == text.untyped);
        assert_eq!(int.untyped.as_ref().map(|text| text.id), Some(a.id));
        assert!(Rc::ptr_eq(&int, &texts.typed(&a, Rc::from([3, 0]))));
        for n in 0..3000 {
            home(&mut texts, &format!("SELECT {n}"), 1);
        }
        assert!(texts.by_home.len() < 2100);
        assert!(Rc::ptr_eq(&a, &home(&mut texts, "SELECT ?", 1)));
    }
}
