//! The statements about filters: `CREATE|ALTER|DROP|SHOW FILTER`, read by recursive descent over the planner's lexer.
//!
//! ```text
//!   CREATE FILTER [IF NOT EXISTS] name ( key='…', … ) WITH_PATTERN ( key='…', … ) EXECUTE ( key='…', … )
//!   ALTER FILTER name ( … ) [WITH_PATTERN ( … )] [EXECUTE ( … )]       what is not given stays as it is
//!   DROP FILTER [IF EXISTS] name     SHOW FILTERS     SHOW FILTER name     SHOW CREATE FILTER name
//! ```
//! In a value `\\` and a backslash before the quote that opened it are undone, and other backslashes stay, unlike in MySQL's strings:
//! expressions are full of them.

use super::{Filter, KEYS, Part, put_definition};
use crate::facts::Facts;
use crate::lexer::{Lexer, Token, TokenKind};
use crate::limits::{FILTER_NAME_BYTES_MAX, FILTER_VALUE_BYTES_MAX};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Create {
        filter: Filter,
        if_not_exists: bool,
    },
    /// Keys with their new values.
    Alter {
        name: Box<str>,
        values: Vec<(&'static str, Box<str>)>,
    },
    Drop {
        name: Box<str>,
        if_exists: bool,
    },
    ShowAll,
    Show(Box<str>),
    ShowCreate(Box<str>),
}

impl Statement {
    /// Of a text by itself, as it is printed. Err: what is wrong with it.
    pub fn read(text: &str) -> Result<Statement, String> {
        read(text.as_bytes(), &Facts::default())
    }

    /// It changes what holds.
    pub fn is_change(&self) -> bool {
        matches!(self, Statement::Create { .. } | Statement::Alter { .. } | Statement::Drop { .. })
    }

    /// What holds behind it. Err: one sentence on why it cannot be done.
    pub fn apply(&self, filters: &[Filter]) -> Result<Vec<Filter>, String> {
        let mut next = filters.to_vec();
        let at = |name: &str| filters.iter().position(|filter| *filter.name == *name);
        let unknown = |name: &str| format!("there is no filter '{name}': SHOW FILTERS lists them");
        match self {
            Statement::Create { filter, if_not_exists } => match at(&filter.name) {
                Some(_) if *if_not_exists => {}
                Some(_) => {
                    return Err(format!("the filter '{}' exists already: ALTER FILTER changes it", filter.name));
                }
                None => next.push(filter.clone()),
            },
            Statement::Alter { name, values } => {
                let filter = at(name).and_then(|at| next.get_mut(at)).ok_or_else(|| unknown(name))?;
                values.iter().for_each(|(key, value)| filter.set(key, value));
                super::Rule::of(filter)?;
            }
            Statement::Drop { name, if_exists } => match at(name) {
                Some(at) => drop(next.remove(at)),
                None if *if_exists => {}
                None => return Err(unknown(name)),
            },
            Statement::ShowAll | Statement::Show(_) | Statement::ShowCreate(_) => {}
        }
        Ok(next)
    }
}

/// It reads back as the same.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Create { filter, if_not_exists: false } => filter.fmt(f),
            Statement::Create { filter, if_not_exists: true } => {
                write!(f, "create filter if not exists `{}`", filter.name)?;
                put_definition(f, &|key| Some(filter.value(key)))
            }
            Statement::Alter { name, values } => {
                write!(f, "alter filter `{name}`")?;
                put_definition(f, &|key| values.iter().find(|(known, _)| *known == key).map(|(_, value)| &**value))
            }
            Statement::Drop { name, if_exists } => {
                write!(f, "drop filter {}`{name}`", if *if_exists { "if exists " } else { "" })
            }
            Statement::ShowAll => f.write_str("show filters"),
            Statement::Show(name) => write!(f, "show filter `{name}`"),
            Statement::ShowCreate(name) => write!(f, "show create filter `{name}`"),
        }
    }
}

/// The text behind `/*explain filter*/` at the very beginning.
pub(crate) fn explained(sql: &[u8]) -> Option<&[u8]> {
    let inside = sql.trim_ascii_start().strip_prefix(b"/*")?;
    let end = inside.windows(2).position(|pair| pair == b"*/")?;
    let (words, rest) = inside.split_at_checked(end)?;
    let mut words = words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut is_next = |wanted: &[u8]| words.next().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
    (is_next(b"explain") && is_next(b"filter") && words.next().is_none()).then(|| rest.get(2..).unwrap_or_default())
}

/// One statement whose second or third word is `FILTER` or `FILTERS`. Err: what is wrong and what there is.
pub(crate) fn read(sql: &[u8], facts: &Facts) -> Result<Statement, String> {
    let statement = parse(sql, facts)?;
    if let Statement::Create { filter, .. } = &statement {
        super::Rule::of(filter)?;
    }
    Ok(statement)
}

/// The same, and what a filter's values mean is not looked at: its expressions take long to compile.
pub(super) fn parse(sql: &[u8], facts: &Facts) -> Result<Statement, String> {
    let mut reader = Reader { lexer: Lexer::new(sql, facts), ahead: None, escapes: !facts.no_backslash_escapes };
    let statement = reader.statement()?;
    let end = reader.next();
    match end.kind {
        TokenKind::Semicolon | TokenKind::End => Ok(statement),
        _ => Err(format!("'{}' is not understood there: {FORM}", reader.shown(&end))),
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    escapes: bool,
}

type Values = Vec<(&'static str, Box<str>)>;

impl Reader<'_> {
    fn statement(&mut self) -> Result<Statement, String> {
        let verb = self.next();
        if self.is(&verb, "SHOW") {
            return self.show();
        }
        self.word("FILTER")?;
        if self.is(&verb, "CREATE") {
            return self.create();
        }
        if self.is(&verb, "ALTER") {
            let name = self.name()?;
            let values = self.definition(|_| true)?;
            return match values.is_empty() {
                true => Err(format!("ALTER FILTER says nothing that is to change: {FORM}")),
                false => Ok(Statement::Alter { name, values }),
            };
        }
        if self.is(&verb, "DROP") {
            let if_exists = self.takes("IF");
            if if_exists {
                self.word("EXISTS")?;
            }
            return Ok(Statement::Drop { name: self.name()?, if_exists });
        }
        Err(format!("'{}' is not understood there: {FORM}", self.shown(&verb)))
    }

    fn show(&mut self) -> Result<Statement, String> {
        if self.takes("FILTERS") {
            return Ok(Statement::ShowAll);
        }
        let is_create = self.takes("CREATE");
        self.word("FILTER")?;
        let name = self.name()?;
        Ok(if is_create { Statement::ShowCreate(name) } else { Statement::Show(name) })
    }

    fn create(&mut self) -> Result<Statement, String> {
        let if_not_exists = self.takes("IF");
        if if_not_exists {
            self.word("NOT")?;
            self.word("EXISTS")?;
        }
        let mut filter = Filter::new(&self.name()?);
        let values = self.definition(|part| part == Part::Head)?;
        values.iter().for_each(|(key, value)| filter.set(key, value));
        Ok(Statement::Create { filter, if_not_exists })
    }

    /// `( … ) WITH_PATTERN ( … ) EXECUTE ( … )`, of which those that `may_lack` may be left out.
    fn definition(&mut self, may_lack: impl Fn(Part) -> bool) -> Result<Values, String> {
        let mut values = Values::new();
        for (part, word) in [(Part::Head, ""), (Part::Pattern, "WITH_PATTERN"), (Part::Execute, "EXECUTE")] {
            let is_there = if word.is_empty() { self.peek().is_punct(b'(') } else { self.takes(word) };
            match is_there {
                true => self.values(part, &mut values)?,
                false if may_lack(part) => {}
                false => return Err(format!("{word}(…) is missing: {FORM}")),
            }
        }
        Ok(values)
    }

    /// `( key='…', … )`
    fn values(&mut self, part: Part, values: &mut Values) -> Result<(), String> {
        self.punct(b'(')?;
        while !self.peek().is_punct(b')') {
            let token = self.next();
            let typed = self.shown(&token).to_ascii_lowercase();
            let keys = || KEYS.iter().filter(|(of, _, _)| *of == part).map(|(_, key, _)| *key);
            let Some(key) = keys().find(|key| *key == typed) else {
                return Err(refused_key(&typed, &keys().collect::<Vec<_>>().join(", ")));
            };
            if values.iter().any(|(known, _)| *known == key) {
                return Err(format!("{key} is said twice: remove one of the two"));
            }
            self.punct(b'=')?;
            values.push((key, self.text(key)?));
            if !self.peek().is_punct(b')') {
                self.punct(b',')?;
            }
        }
        self.punct(b')')
    }

    fn text(&mut self, key: &str) -> Result<Box<str>, String> {
        let token = self.next();
        let raw = self.lexer.text(&token);
        let ([open @ (b'\'' | b'"'), inside @ .., _], TokenKind::Text) = (raw, token.kind) else {
            return Err(format!("the value of {key} is no text in quotes: write {key}='…'"));
        };
        let inside = std::str::from_utf8(inside).map_err(|_| format!("the value of {key} is not UTF-8"))?;
        if inside.len() > FILTER_VALUE_BYTES_MAX {
            return Err(format!("the value of {key} has {} bytes: {FILTER_VALUE_BYTES_MAX} at most", inside.len()));
        }
        Ok(undone(inside, char::from(*open), self.escapes))
    }

    fn name(&mut self) -> Result<Box<str>, String> {
        let token = self.next();
        let raw = self.shown(&token);
        let name = raw.trim_matches('`');
        let is_plain = !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '`' || c == '\u{fffd}');
        match token.is_name() && is_plain && name.len() <= FILTER_NAME_BYTES_MAX {
            true => Ok(name.into()),
            false => {
                Err(format!("'{raw}' is no name of a filter: it has 1 to {FILTER_NAME_BYTES_MAX} bytes and no quotes"))
            }
        }
    }

    fn next(&mut self) -> Token {
        self.ahead.take().unwrap_or_else(|| self.lexer.next())
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.ahead = Some(token);
        token
    }

    fn is(&self, token: &Token, word: &str) -> bool {
        token.kind == TokenKind::Word && self.lexer.text(token).eq_ignore_ascii_case(word.as_bytes())
    }

    fn takes(&mut self, word: &str) -> bool {
        let token = self.peek();
        let found = self.is(&token, word);
        if found {
            self.ahead = None;
        }
        found
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        match self.takes(word) {
            true => Ok(()),
            false => {
                let token = self.peek();
                Err(format!("{word} is missing before '{}': {FORM}", self.shown(&token)))
            }
        }
    }

    fn punct(&mut self, byte: u8) -> Result<(), String> {
        let token = self.next();
        match token.is_punct(byte) {
            true => Ok(()),
            false => Err(format!("'{}' is missing before '{}': {FORM}", char::from(byte), self.shown(&token))),
        }
    }

    fn shown(&self, token: &Token) -> String {
        String::from_utf8_lossy(self.lexer.text(token)).chars().take(SHOWN_CHARS_MAX).collect()
    }
}

fn refused_key(typed: &str, keys: &str) -> String {
    format!("'{typed}' is no key there: use one of {keys}")
}

/// Without what stands for a quote or a backslash.
fn undone(inside: &str, quote: char, escapes: bool) -> Box<str> {
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    while let Some(one) = chars.next() {
        let next = chars.peek().copied();
        let stands_for = match one {
            '\\' if escapes => next.filter(|next| *next == '\\' || *next == quote),
            _ if one == quote => next,
            _ => None,
        };
        text.push(stands_for.unwrap_or(one));
        if stands_for.is_some() {
            chars.next();
        }
    }
    text.into()
}

const FORM: &str = "CREATE FILTER name ( desc='…', … ) WITH_PATTERN ( plans='Select', … ) EXECUTE ( action='FAIL' ), ALTER FILTER \
                    name (…), DROP FILTER name, SHOW FILTERS, SHOW CREATE FILTER name";

/// Of a token, in a message.
const SHOWN_CHARS_MAX: usize = 64;
