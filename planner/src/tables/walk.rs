//! The walk over a statement's rest: what stands where a table may stand, on every level of parentheses.
//!
//! ```text
//!   FROM │ a x, ( b JOIN c ) , ( SELECT … FROM d ) y, LATERAL (…) z, JSON_TABLE(…) │ WHERE …
//!         expects^   ^expects     ^a level that selects                             ^ends the list: a reserved word
//! ```
//! Invariant: a table stands only where one is expected (behind `FROM`, `JOIN`, `TABLE`, a comma of a list, or a
//! parenthesis in such a place); a parenthesis elsewhere holds tables only behind its own `SELECT` or `TABLE`.

use super::reader::{Level, NOT_UNDERSTOOD, ROUTINE, Reader, Step, With};
use super::{Access, Unknown};
use crate::functions::Call;
use crate::lexer::{Token, TokenKind};
use crate::word::kw;

impl Reader<'_> {
    /// From here to the end of the statement.
    pub(super) fn walk(&mut self) -> Step {
        let (mut before, mut last) = (NO_TOKEN, NO_TOKEN);
        while !self.at_end() {
            let token = self.next()?;
            if self.judges_calls && token.is_punct(b'(') {
                self.judge_call(&before, &last, &token)?;
            }
            match token.kind {
                TokenKind::Punct(b'(') => self.open_parenthesis()?,
                TokenKind::Punct(b')') => self.close_parenthesis()?,
                TokenKind::Punct(b',') => self.comma()?,
                _ if self.top()?.expects => self.expected(token)?,
                TokenKind::Word => self.word(&token, &last, &before)?,
                _ => (),
            }
            (before, last) = (last, token);
        }
        if self.levels.len() == 1 && !self.top()?.expects { Ok(()) } else { Err(NOT_UNDERSTOOD) }
    }

    fn open_parenthesis(&mut self) -> Step {
        let outside = self.expressions.len();
        let top = self.top()?;
        let is_nested = std::mem::take(&mut top.expects);
        top.with = None;
        let access = top.access;
        let level = Level::new(outside);
        self.open(if is_nested { Level { lists: true, expects: true, access, ..level } } else { level })
    }

    fn close_parenthesis(&mut self) -> Step {
        let closed = self.levels.pop().ok_or(NOT_UNDERSTOOD)?;
        if closed.expects {
            return Err(NOT_UNDERSTOOD);
        }
        self.expressions.truncate(closed.outside);
        self.expressions.extend(closed.names);
        self.top().map(|_| ())
    }

    fn comma(&mut self) -> Step {
        let top = self.top()?;
        if let Some(with) = top.with {
            return self.common_table_expression(with);
        }
        top.expects = top.lists;
        Ok(())
    }

    /// A word where no table is expected.
    fn word(&mut self, token: &Token, last: &Token, before: &Token) -> Step {
        let has_windows = self.facts.server_version >= 80_000;
        let top = self.top()?;
        match token.word {
            kw::SELECT => self.begin_select()?,
            kw::FROM if top.selects => (top.lists, top.expects, top.access) = (true, true, Access::SELECT),
            kw::JOIN if !last.is(kw::FOR) => top.expects = true,
            kw::STRAIGHT_JOIN if top.lists => top.expects = true,
            kw::WHERE | kw::GROUP | kw::HAVING | kw::ORDER | kw::LIMIT | kw::SET => top.lists = false,
            kw::WINDOW if has_windows => top.lists = false,
            kw::OF if before.is(kw::FOR) && matches!(last.word, kw::UPDATE | kw::SHARE) => top.lists = false,
            kw::UPDATE if last.is(kw::KEY) || last.is(kw::FOR) => {
                // What a `WITH` in front of an inserted query named may not be seen by this part of it.
                top.lists = false;
                let outside = top.outside;
                if last.is(kw::KEY) {
                    self.expressions.truncate(outside);
                }
            }
            kw::TABLE => self.begin_table()?,
            kw::VALUES => {
                top.with = None;
                let row = self.peek();
                self.queries |= self.text_is(&row, "row");
            }
            kw::WITH => self.with()?,
            kw::REFERENCES => self.table(Access::REFERENCES)?,
            kw::UNION => self.union()?,
            _ if top.with.is_some() => self.behind_expressions(token)?,
            _ => (),
        }
        Ok(())
    }

    fn begin_select(&mut self) -> Step {
        self.queries = true;
        let top = self.top()?;
        (top.selects, top.lists, top.expects, top.with) = (true, false, false, None);
        Ok(())
    }

    /// Behind `TABLE` in a place where it begins a query, or names what the statement is about.
    fn begin_table(&mut self) -> Step {
        self.queries = true;
        let access = self.table_access;
        let top = self.top()?;
        (top.lists, top.expects, top.access, top.with) = (false, true, access, None);
        Ok(())
    }

    /// `UNION=(t, u)` of a table definition makes one table of several.
    fn union(&mut self) -> Step {
        if !matches!(self.peek().kind, TokenKind::Punct(b'(' | b'=')) {
            return Ok(());
        }
        let mark = self.mark();
        while self.take_punct(b'(') {}
        let is_query = self.take_any(&[kw::SELECT, kw::TABLE, kw::VALUES, kw::WITH]);
        self.go_back(mark);
        if is_query { Ok(()) } else { Err(Unknown("it makes one table of several")) }
    }

    /// A token where a table is expected.
    fn expected(&mut self, token: Token) -> Step {
        match token.word {
            kw::SELECT => return self.begin_select(),
            kw::TABLE => return self.begin_table(),
            kw::VALUES => {
                let top = self.top()?;
                (top.lists, top.expects) = (false, false);
                return Ok(());
            }
            kw::WITH => {
                let top = self.top()?;
                (top.lists, top.expects) = (false, false);
                return self.with();
            }
            kw::LATERAL if self.peek().is_punct(b'(') => return Ok(()),
            _ => (),
        }
        if token.is_punct(b'{') {
            // `{ OJ a LEFT JOIN b … }`: the word says nothing.
            return self.name().map(|_| ());
        }
        let is_word = token.kind == TokenKind::Word;
        let is_dual = is_word && self.text_is(&token, "dual");
        let is_json = is_word && self.text_is(&token, "json_table") && self.peek().is_punct(b'(');
        let (schema, name, is_qualified) = self.qualified(token)?;
        let is_expression = !is_qualified && self.expressions.contains(&name);
        let top = self.top()?;
        top.expects = false;
        let access = top.access;
        if is_expression || (!is_qualified && (is_dual || is_json)) {
            return Ok(());
        }
        self.note(schema, name, access)
    }

    /// Behind `WITH`: common table expressions, or one of its other uses.
    fn with(&mut self) -> Step {
        let mark = self.mark();
        let with = if self.take(kw::RECURSIVE) { With::Recursive } else { With::Plain };
        if !self.peek().is_name() {
            self.go_back(mark);
            return Ok(());
        }
        let read = self.common_table_expression(with);
        if read.is_err() {
            // `WITH ROLLUP`, `WITH CHECK OPTION`, … Their words are read as any others.
            self.go_back(mark);
        }
        Ok(())
    }

    /// `name [(columns)] AS (`, up to behind the parenthesis.
    fn common_table_expression(&mut self, with: With) -> Step {
        let name = self.name()?;
        if self.take_punct(b'(') {
            while !self.take_punct(b')') {
                if self.at_end() {
                    return Err(NOT_UNDERSTOOD);
                }
                self.next()?;
            }
        }
        if !(self.take(kw::AS) && self.take_punct(b'(')) {
            return Err(NOT_UNDERSTOOD);
        }
        self.top()?.with = Some(with);
        let outside = self.expressions.len();
        let level = Level::new(outside);
        if with == With::Recursive {
            self.expressions.push(name);
            // It is visible behind its body too.
            return self.open(Level { outside: outside.saturating_add(1), ..level });
        }
        self.open(Level { names: Some(name), ..level })
    }

    /// The statement's own verb behind its common table expressions.
    fn behind_expressions(&mut self, token: &Token) -> Step {
        self.top()?.with = None;
        match token.word {
            kw::UPDATE => self.update(),
            kw::DELETE => self.delete(),
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    /// `last (`, when it calls somebody's own function.
    fn judge_call(&self, before: &Token, last: &Token, parenthesis: &Token) -> Step {
        let call = match last.kind {
            TokenKind::Word => Call::of(last.word, self.text(last), self.facts.server_version),
            TokenKind::Name => Call::Unknown,
            _ => return Ok(()),
        };
        let names_columns = matches!(before.word, kw::AS | kw::WITH | kw::RECURSIVE | kw::VIEW)
            || before.is_punct(b')')
            || matches!(before.kind, TokenKind::Text);
        match call {
            Call::FreeWhenAdjacent if last.end == parenthesis.start => Ok(()),
            Call::FreeWhenAdjacent | Call::Unknown if !names_columns => Err(ROUTINE),
            _ => Ok(()),
        }
    }
}

const NO_TOKEN: Token = Token { kind: TokenKind::Punct(0), start: 0, end: 0, word: 0 };
