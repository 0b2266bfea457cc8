//! A packet: the statements that a client sends at once, each of which a rule looks at by itself.
//!
//! Invariant: a rule fits a packet when it fits one of its statements, never a mixture of two. `USE` in front of another statement
//! names that one's schema.

use super::{Action, Rule, Seen};
use crate::classify::plan;
use crate::facts::Facts;
use crate::lexer::{Lexer, TokenKind};
use crate::plan::{Kind, Plan};

#[derive(Debug)]
pub struct Packet<'a> {
    sql: &'a [u8],
    facts: &'a Facts,
    /// Where each begins and ends.
    statements: Vec<(Seen<'a>, usize, usize)>,
    /// Texts of `PREPARE name FROM '…'`, with the schemas that they are read in: refused there, if at all.
    insides: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Packet<'a> {
    /// `of`: the plan of the whole; `schema`: the current one.
    pub fn new(sql: &'a [u8], facts: &'a Facts, of: &Plan, schema: &[u8]) -> Packet<'a> {
        let mut packet = Packet { sql, facts, statements: Vec::new(), insides: Vec::new() };
        if of.statements <= 1 {
            packet.add((0, sql.len()), of.kind, schema);
            return packet;
        }
        let mut schema = schema.to_vec();
        for (start, end) in spans(sql, facts) {
            let part = sql.get(start..end).unwrap_or_default();
            let kind = plan(part, facts).kind;
            if kind == Kind::Use {
                schema = used(part, facts).unwrap_or(schema);
            }
            packet.add((start, end), kind, &schema);
        }
        packet
    }

    fn add(&mut self, (start, end): (usize, usize), kind: Kind, schema: &[u8]) {
        let part = self.sql.get(start..end).unwrap_or_default();
        if kind == Kind::Prepare
            && let Some(inside) = inside(part, self.facts)
        {
            self.insides.push((inside, schema.to_vec()));
        }
        self.statements.push((Seen::new(part, self.facts, kind, schema), start, end));
    }

    pub fn fits(&self, rule: &Rule) -> bool {
        let is_inside = |(text, schema): &(Vec<u8>, Vec<u8>)| {
            rule.fits_text(&Seen::new(text, self.facts, plan(text, self.facts).kind, schema))
        };
        self.statements.iter().any(|(seen, _, _)| rule.fits_text(seen))
            || matches!(rule.action, Action::Fail) && self.insides.iter().any(is_inside)
    }

    /// With the statements that the rule fits rewritten. None: nothing in it is another.
    pub fn rewritten(&self, rule: &Rule) -> Option<Vec<u8>> {
        let Action::Rewrite(rewrite) = &rule.action else { return None };
        let (mut text, mut copied, mut is_other) = (Vec::with_capacity(self.sql.len()), 0, false);
        for (seen, start, end) in self.statements.iter().filter(|(seen, _, _)| rule.fits_text(seen)) {
            let Some(part) = rewrite.apply(seen.sql) else { continue };
            text.extend_from_slice(self.sql.get(copied..*start).unwrap_or_default());
            text.extend_from_slice(&part);
            (copied, is_other) = (*end, true);
        }
        text.extend_from_slice(self.sql.get(copied..).unwrap_or_default());
        is_other.then_some(text)
    }
}

/// The statements of a text, without the semicolons between; those that are empty are left out.
pub(super) fn parts<'a>(sql: &'a [u8], facts: &Facts) -> Vec<&'a [u8]> {
    spans(sql, facts).into_iter().filter_map(|(start, end)| sql.get(start..end)).collect()
}

fn spans(sql: &[u8], facts: &Facts) -> Vec<(usize, usize)> {
    let mut lexer = Lexer::new(sql, facts);
    let (mut spans, mut start, mut is_empty) = (Vec::new(), 0, true);
    loop {
        let token = lexer.next();
        match token.kind {
            TokenKind::Semicolon | TokenKind::End => {
                let is_last = token.kind == TokenKind::End;
                if !is_empty {
                    spans.push((start, if is_last { sql.len() } else { token.start }));
                }
                if is_last {
                    return spans;
                }
                (start, is_empty) = (token.end, true);
            }
            _ => is_empty = false,
        }
    }
}

/// The text within `PREPARE name FROM '…'`, as the server reads it. None: it comes out of a variable.
fn inside(sql: &[u8], facts: &Facts) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(sql, facts);
    let tokens = [lexer.next(), lexer.next(), lexer.next(), lexer.next()];
    let [verb, _, from, text] = &tokens;
    let is_it = lexer.text(verb).eq_ignore_ascii_case(b"prepare") && lexer.text(from).eq_ignore_ascii_case(b"from");
    let [open @ (b'\'' | b'"'), inside @ .., _] = lexer.text(text) else { return None };
    if !is_it || text.kind != TokenKind::Text {
        return None;
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if !facts.no_backslash_escapes => out.push(match bytes.next() {
                Some(b'n' | b'r' | b't' | b'0' | b'b' | b'Z') => b' ',
                Some(other) => other,
                None => break,
            }),
            // Doubled, or it would have ended there.
            byte if byte == *open => {
                bytes.next();
                out.push(byte);
            }
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// Of `USE schema`.
fn used(sql: &[u8], facts: &Facts) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(sql, facts);
    lexer.next();
    let name = lexer.next();
    let text = lexer.text(&name);
    let inside = text.strip_prefix(b"`").and_then(|text| text.strip_suffix(b"`")).unwrap_or(text);
    name.is_name().then(|| inside.to_vec())
}

/// Bare parameters: the `?` of a statement to be prepared.
pub fn parameters(sql: &[u8], facts: &Facts) -> usize {
    let mut lexer = Lexer::new(sql, facts);
    let mut count: usize = 0;
    loop {
        match lexer.next().kind {
            TokenKind::End => return count,
            TokenKind::Punct(b'?') => count = count.saturating_add(1),
            _ => {}
        }
    }
}
