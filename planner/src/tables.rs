//! The tables that a command text uses, and for what: for table permissions.
//!
//! ```text
//!   heads.rs: the first word ─► what it does to the table that it names     walk.rs: the rest ─► FROM, JOIN, `,`, TABLE, …
//! ```
//! Invariant: an answer is complete. Everything that stands where MySQL's grammar has a table is reported, rather too
//! much than too little; what is not understood, and what runs texts that are not here (routines, `EXECUTE`), gives
//! [`Unknown`] with the reason. Names of common table expressions are no tables where they are visible, and only there.
//! The words that end a list of tables are reserved ones alone, so no alias can end one.
//!
//! It reads with the planner's own lexer, the server's as far as is known, and with one token of look-ahead: one pass, no
//! recursion, 1 to 2 times the cost of a plan, and every statement that MySQL has. `sqlparser` (`tree.rs`) was left: it
//! cuts some texts otherwise than the server (`--` before a no-break space begins a comment for it alone), which here
//! opens a table; a third of MySQL's statements it does not know. It is the second opinion in tests.
//!
//! What it does not know: which rows and columns, grants, whether a table is a view (a view is its own name), and the
//! letter case that a server with `lower_case_table_names` ignores.

use crate::facts::Facts;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

mod heads;
mod reader;
#[cfg(test)]
mod tests;
mod walk;

flags! {
    /// What a statement does to a table, in the words and the order of MySQL's error 1142.
    Access(u16);
    SELECT = 0;
    INSERT = 1;
    UPDATE = 2;
    DELETE = 3;
    CREATE = 4;
    DROP = 5;
    REFERENCES = 6;
    INDEX = 7;
    ALTER = 8;
    /// `LOCK TABLES t WRITE`; for `READ` the server wants `SELECT` alone, beside its right on the schema.
    LOCK_TABLES = 9;
    CREATE_VIEW = 10;
    TRIGGER = 11;
    /// `SHOW CREATE TABLE`.
    SHOW = 12;
}

/// One table that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUse {
    /// None: the current schema.
    pub schema: Option<Box<str>>,
    pub name: Box<str>,
    pub access: Access,
}

/// A text's tables in the order of the text, as often as they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub tables: Vec<TableUse>,
    /// Schemas that are created, changed or dropped with all that is in them; None: the current one.
    pub schemas: Vec<Option<Box<str>>>,
}

/// Why a text's tables cannot be known, as a sentence's end: "…, because it calls a routine".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub &'static str);

/// The tables of all statements of a text.
pub fn tables(sql: &[u8], facts: &Facts) -> Result<Uses, Unknown> {
    reader::Reader::new(sql, facts).read()
}

/// What a text names, as far as it is understood: for who looks at traffic, never for who guards tables.
pub fn named(sql: &[u8], facts: &Facts) -> Uses {
    reader::Reader::new(sql, facts).read_named()
}

/// What a plan remembers of its text: its tables, read when somebody asks for them first, and who counts it.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    uses: OnceCell<Result<Uses, Unknown>>,
    /// A mark for whoever judges them: account, schema and version of the rules that let it pass last.
    pub passed: Cell<Option<(u32, u32, u64)>>,
    /// A number for whoever counts statements by their digest; 0: it has none yet.
    pub digest: Cell<u32>,
    /// The same for whoever counts statements of one digest on several cores; 0: it has none yet.
    pub form: Cell<u64>,
    /// Which filters its text matches.
    pub found: RefCell<Option<Found>>,
}

/// Filters that a text matches, of one version of them and one current schema.
#[derive(Clone, Debug)]
pub struct Found {
    pub version: u64,
    pub schema: u32,
    /// Their places, in the order in which they are looked at.
    pub places: Arc<[u16]>,
}

impl Memo {
    pub fn of(uses: Result<Uses, Unknown>) -> Memo {
        Memo { uses: OnceCell::from(uses), ..Memo::default() }
    }

    pub fn uses(&self, read: impl FnOnce() -> Result<Uses, Unknown>) -> &Result<Uses, Unknown> {
        self.uses.get_or_init(read)
    }
}

/// What was remembered changes no plan.
impl PartialEq for Memo {
    fn eq(&self, _: &Memo) -> bool {
        true
    }
}

impl Eq for Memo {}
