//! The reader: tokens, names, and the levels of parentheses.

use super::{Access, TableUse, Unknown, Uses};
use crate::facts::{Charset, Facts};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::limits::{TABLE_LEVELS_MAX, TABLES_MAX};
use crate::word::Word;

pub(super) struct Reader<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    pub(super) facts: Facts,
    pub(super) uses: Uses,
    /// What `USE` in front has made the current schema.
    schema: Option<Box<str>>,
    pub(super) levels: Vec<Level>,
    /// Common table expressions that are visible now, the innermost last.
    pub(super) expressions: Vec<Box<str>>,
    /// What `TABLE t` in the rest of the statement does to it.
    pub(super) table_access: Access,
    /// `SELECT`, `TABLE` or `VALUES` has stood in it.
    pub(super) queries: bool,
    /// Calls of somebody's own functions are looked for here, since the planner does not.
    pub(super) judges_calls: bool,
}

/// One level of parentheses, the statement itself the first.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// `SELECT` has stood here, so that a `FROM` names tables and is not a function's.
    pub selects: bool,
    /// In a list of tables: a comma leads to the next.
    pub lists: bool,
    /// The next token begins a table.
    pub expects: bool,
    /// What the statement does to the tables of the list.
    pub access: Access,
    /// Common table expressions that were visible outside.
    pub outside: usize,
    /// The body of this common table expression, to be visible behind it.
    pub names: Option<Box<str>>,
    /// Behind the body of a common table expression, where another may follow.
    pub with: Option<With>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    Plain,
    Recursive,
}

impl Level {
    pub(super) fn new(outside: usize) -> Level {
        let (access, names, with) = (Access::SELECT, None, None);
        Level { selects: false, lists: false, expects: false, access, outside, names, with }
    }
}

pub(super) type Step<T = ()> = Result<T, Unknown>;

impl<'a> Reader<'a> {
    pub(super) fn new(sql: &'a [u8], facts: &Facts) -> Reader<'a> {
        Reader {
            lexer: Lexer::new(sql, facts),
            ahead: None,
            facts: *facts,
            uses: Uses::default(),
            schema: None,
            levels: Vec::new(),
            expressions: Vec::new(),
            table_access: Access::SELECT,
            queries: false,
            judges_calls: false,
        }
    }

    /// All statements.
    pub(super) fn read(mut self) -> Result<Uses, Unknown> {
        self.read_through().map(|()| self.uses)
    }

    /// The same as far as it goes.
    pub(super) fn read_named(mut self) -> Uses {
        // What comes behind is not looked at, and nobody is guarded by it.
        let _ = self.read_through();
        self.uses
    }

    fn read_through(&mut self) -> Step {
        loop {
            self.levels.clear();
            self.levels.push(Level::new(0));
            self.expressions.clear();
            (self.table_access, self.queries, self.judges_calls) = (Access::SELECT, false, false);
            self.statement()?;
            let end = self.next()?;
            if end.kind == TokenKind::Semicolon {
                continue;
            }
            if end.kind != TokenKind::End {
                return Err(NOT_UNDERSTOOD);
            }
            if self.lexer.doubt || self.lexer.dated {
                return Err(VERSIONS);
            }
            return Ok(());
        }
    }

    pub(super) fn next(&mut self) -> Step<Token> {
        let token = self.ahead.take().unwrap_or_else(|| self.lexer.next());
        match token.kind {
            TokenKind::Bad => Err(NOT_UNDERSTOOD),
            // With `ANSI_QUOTES`, which may be the server's default, it would end elsewhere.
            TokenKind::Text if is_cut_by_mode(self.text(&token)) => Err(QUOTES),
            _ => Ok(token),
        }
    }

    pub(super) fn peek(&mut self) -> Token {
        let token = self.ahead.take().unwrap_or_else(|| self.lexer.next());
        self.ahead = Some(token);
        token
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.peek().ends_statement()
    }

    pub(super) fn take(&mut self, word: Word) -> bool {
        let found = self.peek().is(word);
        if found {
            self.ahead = None;
        }
        found
    }

    pub(super) fn take_any(&mut self, words: &[Word]) -> bool {
        let word = self.peek().word;
        let found = word != 0 && words.contains(&word);
        if found {
            self.ahead = None;
        }
        found
    }

    pub(super) fn take_punct(&mut self, byte: u8) -> bool {
        let found = self.peek().is_punct(byte);
        if found {
            self.ahead = None;
        }
        found
    }

    pub(super) fn text(&self, token: &Token) -> &'a [u8] {
        self.lexer.text(token)
    }

    pub(super) fn text_is(&self, token: &Token, text: &str) -> bool {
        self.text(token).eq_ignore_ascii_case(text.as_bytes())
    }

    pub(super) fn mark(&self) -> (Lexer<'a>, Option<Token>) {
        (self.lexer.clone(), self.ahead)
    }

    pub(super) fn go_back(&mut self, mark: (Lexer<'a>, Option<Token>)) {
        (self.lexer, self.ahead) = mark;
    }

    /// To the end of the statement, where nothing names a table.
    pub(super) fn skip_rest(&mut self) -> Step {
        while !self.at_end() {
            self.next()?;
        }
        Ok(())
    }

    /// A name: `t`, `` `t` ``, and `"t"` where that is one.
    pub(super) fn name(&mut self) -> Step<Box<str>> {
        let token = self.next()?;
        self.name_of(&token)
    }

    pub(super) fn name_of(&self, token: &Token) -> Step<Box<str>> {
        if !token.is_name() {
            return Err(NOT_UNDERSTOOD);
        }
        let raw = self.text(token);
        if !raw.is_ascii() && self.facts.charset != Charset::Utf8 {
            return Err(NAME_BEYOND_ASCII);
        }
        let raw = std::str::from_utf8(raw).map_err(|_| NAME_BEYOND_ASCII)?;
        for (quote, doubled) in [("`", "``"), ("\"", "\"\"")] {
            if let Some(inside) = raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote)) {
                return Ok(inside.replace(doubled, quote).into());
            }
        }
        Ok(raw.into())
    }

    /// `t`, `db.t` or `.t`, which begins with `first`. True beside it: there is a schema, or a dot where one may stand.
    pub(super) fn qualified(&mut self, first: Token) -> Step<(Option<Box<str>>, Box<str>, bool)> {
        if first.is_punct(b'.') {
            return Ok((None, self.name()?, true));
        }
        let name = self.name_of(&first)?;
        if !self.take_punct(b'.') {
            return Ok((None, name, false));
        }
        let table = self.name()?;
        if self.peek().is_punct(b'.') {
            return Err(NOT_UNDERSTOOD);
        }
        Ok((Some(name), table, true))
    }

    /// A table that is named here, never a common table expression.
    pub(super) fn table(&mut self, access: Access) -> Step {
        let first = self.next()?;
        let (schema, name, _) = self.qualified(first)?;
        self.note(schema, name, access)
    }

    /// `t, u, …`
    pub(super) fn table_list(&mut self, access: Access) -> Step {
        loop {
            self.table(access)?;
            if !self.take_punct(b',') {
                return Ok(());
            }
        }
    }

    pub(super) fn note(&mut self, schema: Option<Box<str>>, name: Box<str>, access: Access) -> Step {
        if self.uses.tables.len() >= TABLES_MAX {
            return Err(Unknown("it names too many tables"));
        }
        let schema = schema.or_else(|| self.schema.clone());
        self.uses.tables.push(TableUse { schema, name, access });
        Ok(())
    }

    pub(super) fn note_schema(&mut self, schema: Option<Box<str>>) {
        let schema = schema.or_else(|| self.schema.clone());
        self.uses.schemas.push(schema);
    }

    /// `USE db` in front of other statements.
    pub(super) fn use_schema(&mut self) -> Step {
        self.schema = Some(self.name()?);
        self.skip_rest()
    }

    pub(super) fn top(&mut self) -> Step<&mut Level> {
        self.levels.last_mut().ok_or(NOT_UNDERSTOOD)
    }

    pub(super) fn open(&mut self, level: Level) -> Step {
        if self.levels.len() >= TABLE_LEVELS_MAX {
            return Err(Unknown("its parentheses are nested too deeply"));
        }
        self.levels.push(level);
        Ok(())
    }
}

fn is_cut_by_mode(text: &[u8]) -> bool {
    text.first() == Some(&b'"') && text.contains(&b'\\')
}

pub(super) const NOT_UNDERSTOOD: Unknown = Unknown("the gate does not understand it");
pub(super) const ROUTINE: Unknown = Unknown("it is about a routine, which may use any table");
pub(super) const TEXT: Unknown = Unknown("it runs a text that is not part of it");
const VERSIONS: Unknown = Unknown("it has a comment that some servers run and others do not");
const QUOTES: Unknown = Unknown("a text in double quotes has a backslash, which sql_mode decides about");
const NAME_BEYOND_ASCII: Unknown =
    Unknown("a name in it has letters beyond ASCII in a character set other than utf8mb4");
