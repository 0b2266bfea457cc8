//! The server's SQL: a tiny part of MySQL's, read into a tree.
//!
//! Invariant: every text that is understood here is valid MySQL with the same meaning; the rest is error 1064.

use crate::sim::server::lexer::{Token, tokens};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Text(String),
    Number(i64),
    Null,
    Default,
    /// A bare word: a column, or a name such as `utf8mb4`.
    Word(String),
    System(String),
    /// A global variable, which has its default here.
    Global(String),
    User(String),
    Call(String, Vec<Expr>),
    /// The parameter of this number.
    Param(usize),
    /// `column + n`
    Plus(String, i64),
    /// `1/0`
    DivideByZero,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    pub schema: Option<String>,
    pub table: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    Session,
    User,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Select {
        items: Vec<Expr>,
        from: Option<TableName>,
        key: Option<Expr>,
        limit: Option<Expr>,
        locking: bool,
    },
    Insert {
        into: TableName,
        values: Vec<Expr>,
        replace: bool,
    },
    Update {
        table: TableName,
        value: Expr,
        key: Expr,
    },
    Set(Vec<(SetScope, String, Expr)>),
    Use(String),
    Begin {
        read_only: bool,
    },
    Commit,
    Rollback,
    CreateTemporary(String),
    DropTemporary(String),
    Kill {
        query_only: bool,
        id: u32,
    },
    ShowWarnings,
    Do,
    /// `SIGNAL` with this code and message.
    Signal(u16, String),
    Call(String),
}

/// The statements of a text, in order.
pub fn parse(text: &str) -> Result<Vec<Statement>, String> {
    let all = tokens(text)?;
    let mut statements = Vec::new();
    let mut params = 0;
    for part in all.split(|token| *token == Token::Symbol(';')) {
        if part.is_empty() {
            continue;
        }
        let mut parser = Parser { left: part, params };
        statements.push(parser.statement()?);
        if !parser.left.is_empty() {
            return Err(format!("near {:?}", parser.left));
        }
        params = parser.params;
    }
    Ok(statements)
}

struct Parser<'a> {
    left: &'a [Token],
    params: usize,
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<Statement, String> {
        match self.word()?.as_str() {
            "SELECT" => self.select(),
            "INSERT" => self.insert(false),
            "REPLACE" => self.insert(true),
            "UPDATE" => self.update(),
            "SET" => self.set(),
            "USE" => Ok(Statement::Use(self.name()?)),
            "BEGIN" => Ok(Statement::Begin { read_only: false }),
            "START" => {
                self.expect("TRANSACTION")?;
                let read_only = self.take("READ") && self.take("ONLY");
                if self.take("WITH") {
                    self.expect("CONSISTENT")?;
                    self.expect("SNAPSHOT")?;
                }
                Ok(Statement::Begin { read_only })
            }
            "COMMIT" => Ok(Statement::Commit),
            "ROLLBACK" => Ok(Statement::Rollback),
            "CREATE" => {
                self.expect("TEMPORARY")?;
                self.expect("TABLE")?;
                let name = self.name()?;
                self.left = &[];
                Ok(Statement::CreateTemporary(name))
            }
            "DROP" => {
                self.expect("TEMPORARY")?;
                self.expect("TABLE")?;
                Ok(Statement::DropTemporary(self.name()?))
            }
            "KILL" => {
                let query_only = self.take("QUERY");
                self.take("CONNECTION");
                Ok(Statement::Kill { query_only, id: self.number()? as u32 })
            }
            "DO" => self.expr().map(|_| Statement::Do),
            "SIGNAL" => {
                self.expect("SQLSTATE")?;
                self.expr()?;
                self.expect("SET")?;
                self.expect("MYSQL_ERRNO")?;
                self.symbol('=')?;
                let code = self.number()? as u16;
                self.symbol(',')?;
                self.expect("MESSAGE_TEXT")?;
                self.symbol('=')?;
                match self.expr()? {
                    Expr::Text(text) => Ok(Statement::Signal(code, text)),
                    other => Err(format!("near {other:?}")),
                }
            }
            "SHOW" => self.expect("WARNINGS").map(|()| Statement::ShowWarnings),
            "CALL" => {
                let name = self.name()?;
                self.symbol('(')?;
                self.symbol(')')?;
                Ok(Statement::Call(name))
            }
            other => Err(format!("near {other}")),
        }
    }

    fn select(&mut self) -> Result<Statement, String> {
        let mut items = vec![self.item()?];
        while self.take_symbol(',') {
            items.push(self.item()?);
        }
        let from = if self.take("FROM") { Some(self.table()?) } else { None };
        let mut key = None;
        if self.take("WHERE") {
            self.name()?;
            self.symbol('=')?;
            key = Some(self.expr()?);
        }
        let limit = if self.take("LIMIT") { Some(self.expr()?) } else { None };
        let locking = self.take("FOR");
        if locking {
            self.expect("UPDATE")?;
        }
        Ok(Statement::Select { items, from, key, limit, locking })
    }

    /// `expr` or `expr=expr`, and a quoted alias, which nothing here shows.
    fn item(&mut self) -> Result<Expr, String> {
        let mut item = self.expr()?;
        if self.take_symbol('=') {
            item = Expr::Call("=".to_string(), vec![item, self.expr()?]);
        }
        if self.take("AS") {
            self.symbol('`')?;
            while !self.take_symbol('`') {
                self.left = self.left.get(1..).ok_or("an alias without an end")?;
            }
        }
        Ok(item)
    }

    fn insert(&mut self, replace: bool) -> Result<Statement, String> {
        self.expect("INTO")?;
        let into = self.table()?;
        if self.take_symbol('(') {
            self.name()?;
            while self.take_symbol(',') {
                self.name()?;
            }
            self.symbol(')')?;
        }
        self.expect("VALUES")?;
        self.symbol('(')?;
        let mut values = vec![self.expr()?];
        while self.take_symbol(',') {
            values.push(self.expr()?);
        }
        self.symbol(')')?;
        Ok(Statement::Insert { into, values, replace })
    }

    fn update(&mut self) -> Result<Statement, String> {
        let table = self.table()?;
        self.expect("SET")?;
        self.name()?;
        self.symbol('=')?;
        let value = self.expr()?;
        self.expect("WHERE")?;
        self.name()?;
        self.symbol('=')?;
        Ok(Statement::Update { table, value, key: self.expr()? })
    }

    fn set(&mut self) -> Result<Statement, String> {
        if self.take("NAMES") {
            let value = self.expr()?;
            return Ok(Statement::Set(vec![(SetScope::Session, "names".into(), value)]));
        }
        let session = self.take("SESSION");
        if self.take("TRANSACTION") {
            if !session {
                return Err("SET TRANSACTION without SESSION".into());
            }
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            let mut words = vec![self.word()?];
            while !self.left.is_empty() {
                words.push(self.word()?);
            }
            let value = Expr::Text(words.join("-"));
            return Ok(Statement::Set(vec![(SetScope::Session, "transaction_isolation".into(), value)]));
        }
        let mut all = vec![self.assignment()?];
        while self.take_symbol(',') {
            self.take("SESSION");
            all.push(self.assignment()?);
        }
        Ok(Statement::Set(all))
    }

    fn assignment(&mut self) -> Result<(SetScope, String, Expr), String> {
        let target = match self.left.first() {
            Some(Token::User(name)) => (SetScope::User, name.clone()),
            Some(Token::System(name) | Token::Word(name)) => (SetScope::Session, name.to_ascii_lowercase()),
            other => return Err(format!("near {other:?}")),
        };
        self.left = &self.left[1..];
        self.symbol('=')?;
        Ok((target.0, target.1, self.expr()?))
    }

    fn table(&mut self) -> Result<TableName, String> {
        let first = self.name()?;
        if self.take_symbol('.') {
            return Ok(TableName { schema: Some(first), table: self.name()? });
        }
        Ok(TableName { schema: None, table: first })
    }

    fn expr(&mut self) -> Result<Expr, String> {
        let (token, left) = self.left.split_first().ok_or("at the end")?;
        self.left = left;
        Ok(match token {
            Token::Text(text) => Expr::Text(text.clone()),
            Token::Number(number) if self.take_symbol('/') => {
                self.number()?;
                assert_eq!(*number, 1, "only 1/0 is known");
                Expr::DivideByZero
            }
            Token::Number(number) => Expr::Number(*number),
            Token::System(name) => Expr::System(name.to_ascii_lowercase()),
            Token::Global(name) => Expr::Global(name.to_ascii_lowercase()),
            Token::User(name) => Expr::User(name.clone()),
            Token::Symbol('?') => {
                self.params += 1;
                Expr::Param(self.params - 1)
            }
            Token::Symbol('-') => Expr::Number(-self.number()?),
            Token::Word(word) => return self.word_expr(&word.clone()),
            Token::Symbol(symbol) => return Err(format!("near {symbol}")),
        })
    }

    fn word_expr(&mut self, word: &str) -> Result<Expr, String> {
        if word.eq_ignore_ascii_case("CAST") && self.take_symbol('(') {
            let inner = self.expr()?;
            self.expect("AS")?;
            if !self.take("SIGNED") {
                self.expect("UNSIGNED")?;
            }
            self.symbol(')')?;
            return Ok(inner);
        }
        if word.starts_with('_') {
            return self.introduced();
        }
        if self.take_symbol('(') {
            let mut arguments = Vec::new();
            while !self.take_symbol(')') {
                arguments.push(self.expr()?);
                self.take_symbol(',');
            }
            return Ok(Expr::Call(word.to_ascii_uppercase(), arguments));
        }
        if self.take_symbol('+') {
            return Ok(Expr::Plus(word.into(), self.number()?));
        }
        if self.take_symbol('-') {
            return Ok(Expr::Plus(word.into(), -self.number()?));
        }
        Ok(match word.to_ascii_uppercase().as_str() {
            "NULL" => Expr::Null,
            "DEFAULT" => Expr::Default,
            _ => Expr::Word(word.into()),
        })
    }

    /// `_utf8mb4 x'616263' COLLATE utf8mb4_0900_ai_ci`, behind its first word.
    fn introduced(&mut self) -> Result<Expr, String> {
        self.expect("x")?;
        let Expr::Text(hex) = self.expr()? else { return Err("no text behind x".into()) };
        self.expect("COLLATE")?;
        self.name()?;
        let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16).map_err(|_| hex.clone());
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect::<Result<_, _>>()?;
        String::from_utf8(bytes).map(Expr::Text).map_err(|_| hex)
    }

    fn number(&mut self) -> Result<i64, String> {
        match self.left.split_first() {
            Some((Token::Number(number), left)) => {
                self.left = left;
                Ok(*number)
            }
            other => Err(format!("no number at {other:?}")),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.left.split_first() {
            Some((Token::Word(word), left)) => {
                self.left = left;
                Ok(word.clone())
            }
            other => Err(format!("no name at {other:?}")),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        self.name().map(|name| name.to_ascii_uppercase())
    }

    fn take(&mut self, keyword: &str) -> bool {
        let found = matches!(self.left.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        if found {
            self.left = &self.left[1..];
        }
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<(), String> {
        if self.take(keyword) { Ok(()) } else { Err(format!("{keyword} missing at {:?}", self.left.first())) }
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        let found = self.left.first() == Some(&Token::Symbol(symbol));
        if found {
            self.left = &self.left[1..];
        }
        found
    }

    fn symbol(&mut self, symbol: char) -> Result<(), String> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(format!("{symbol} missing at {:?}", self.left.first())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_language() {
        let good = [
            "SELECT 'w1x2', v FROM kv WHERE k=5",
            "SELECT /* w1x2 */ n FROM db1.acct WHERE id=3 FOR UPDATE",
            "SELECT @@sql_mode, @@session.time_zone, @x, LAST_INSERT_ID(), GET_LOCK('a',0), 1/0",
            "SELECT ?, v FROM kv WHERE k=?",
            "SELECT 'w1x2', REPEAT('x',200) FROM big LIMIT 50",
            "INSERT INTO ledger VALUES (17,'w1x2')",
            "INSERT INTO auto (who) VALUES ('w1x2')",
            "REPLACE INTO kv VALUES (5,'it''s')",
            "UPDATE acct SET n=n-5 WHERE id=3",
            "UPDATE kv SET v='b' WHERE k=5 ; SELECT 1;",
            "SET sql_mode='ANSI_QUOTES',time_zone=DEFAULT, @x = 'y', @@session.wait_timeout=5",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET NAMES latin1",
            "START TRANSACTION READ ONLY",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
            "CREATE TEMPORARY TABLE t1 (a INT)",
            "DROP TEMPORARY TABLE t1",
            "KILL QUERY 5",
            "SHOW WARNINGS",
            "CALL two()",
            "SET a=_utf8mb4 0x6162, b=@@GLOBAL.b",
        ];
        for text in good {
            assert!(parse(text).is_ok_and(|statements| !statements.is_empty()), "{text}: {:?}", parse(text));
        }
        for text in ["SELEKT 1", "SELECT", "SELECT 1 2", "SET", "UPDATE acct SET n=n-5", "'", "KILL"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
