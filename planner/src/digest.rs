//! Digests: the normal form of a statement, by which statements are counted together.
//!
//! ```text
//!   select  * from T where id in (1, 2)   ─►   SELECT * FROM `T` WHERE `id` IN (...)
//! ```
//! Invariant: no byte of a literal, of a comment or of anything behind a place where the lexer is not sure gets through, but for the
//! column numbers of `ORDER BY 1`, at most two digits. Two texts that differ in literals, in the length of lists of literals, in
//! spaces, comments and the case of keywords have one digest.
//!
//! The rules are those of MySQL's `DIGEST_TEXT` (seen on 9.7), so that an operator finds the same lines here and there. What differs:
//! optimizer hints are left out, and few synonyms are led to one word.

use crate::facts::Facts;
use crate::lexer::{Lexer, Token, TokenKind};

#[cfg(test)]
mod tests;
mod words;

/// What stands in a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// `?`
    Value,
    /// `?, ...`
    Values,
    /// `(?)`
    Single,
    /// `(?) /* , ... */`
    Singles,
    /// `(...)`
    Row,
    /// `(...) /* , ... */`
    Rows,
    /// `IN (...)`
    In,
    Keyword(&'static str),
    Punct(u8),
    /// Something else, as it is to be shown: a name, an operator of two bytes.
    Shown(String),
}

/// The digest's text, at most about `bytes_max` bytes long: `…` stands where it was cut, and longer statements with one beginning are
/// then one. The facts are those of the session that runs it.
pub fn digest(statement: &[u8], facts: &Facts, bytes_max: usize) -> String {
    let mut lexer = Lexer::new(statement, facts);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut is_cut = false;
    let mut bytes: usize = 0;
    let mut token = lexer.next();
    while token.kind != TokenKind::End {
        let shown = bytes.saturating_add(pieces.len().saturating_mul(2));
        if token.kind == TokenKind::Bad || lexer.doubt || shown >= bytes_max || token.start >= TEXT_BYTES_READ {
            is_cut = !ends_in_list(&mut pieces);
            break;
        }
        let next = lexer.next();
        bytes = bytes.saturating_add(put(&mut pieces, &lexer, &token, &next));
        token = next;
    }
    // MySQL takes these off before it looks.
    while pieces.last() == Some(&Piece::Punct(b';')) {
        pieces.pop();
    }
    show(&pieces, is_cut)
}

/// Puts a token behind the pieces; returns the bytes that it shows at most.
fn put(pieces: &mut Vec<Piece>, lexer: &Lexer<'_>, token: &Token, next: &Token) -> usize {
    let text = lexer.text(token);
    match token.kind {
        TokenKind::Number if stays(pieces, text) => {
            pieces.push(Piece::Shown(String::from_utf8_lossy(text).into_owned()));
        }
        TokenKind::Number | TokenKind::Bits => {
            take_signs(pieces);
            put_value(pieces);
        }
        TokenKind::Text => put_value(pieces),
        TokenKind::Punct(b'?') => put_value(pieces),
        TokenKind::Punct(b')') => close(pieces),
        TokenKind::Punct(byte) => put_punct(pieces, byte, is_joined(token, next)),
        TokenKind::Word => {
            let is_call = next.is_punct(b'(') && is_joined(token, next);
            match words::keyword(text, is_call) {
                Some("NULL") if is_literal_next(pieces) => put_value(pieces),
                Some(word) => pieces.push(Piece::Keyword(word)),
                None => pieces.push(Piece::Shown(name(text))),
            }
        }
        TokenKind::Name => pieces.push(Piece::Shown(name(text))),
        // MySQL takes its name as a value.
        TokenKind::UserVariable => pieces.push(Piece::Shown("@?".to_string())),
        TokenKind::AtAt => pieces.push(Piece::Shown("@@".to_string())),
        TokenKind::Assign => pieces.push(Piece::Shown(":=".to_string())),
        TokenKind::Semicolon => pieces.push(Piece::Punct(b';')),
        TokenKind::Bad | TokenKind::End => {}
    }
    match token.kind {
        TokenKind::Word | TokenKind::Name => text.len().saturating_add(3),
        _ => 0,
    }
}

/// Cut inside of a long list of rows: what it was is known, whatever follows.
fn ends_in_list(pieces: &mut Vec<Piece>) -> bool {
    let is_list = |piece: &Piece| matches!(piece, Piece::Rows | Piece::Singles);
    let Some(at) = pieces.iter().rposition(is_list).filter(|at| pieces.len().saturating_sub(*at) <= ROW_PIECES_MAX)
    else {
        return false;
    };
    pieces.truncate(at.saturating_add(1));
    true
}

/// `ORDER BY 1, 2`: MySQL keeps the number of a column.
fn stays(pieces: &[Piece], text: &[u8]) -> bool {
    let mut before = pieces.iter().rev();
    let is_number = |piece: &Piece| matches!(piece, Piece::Shown(text) if text.bytes().all(|b| b.is_ascii_digit()));
    loop {
        match before.next() {
            Some(Piece::Keyword("BY")) => {
                return text.len() <= COLUMN_DIGITS_MAX && text.iter().all(u8::is_ascii_digit);
            }
            Some(Piece::Punct(b',') | Piece::Keyword("ASC" | "DESC")) => {}
            Some(piece) if is_number(piece) => {}
            _ => return false,
        }
    }
}

/// `a = -1` is `a = ?`, and `a - 1` is `a - ?`: a sign at the beginning of an expression belongs to its number.
fn take_signs(pieces: &mut Vec<Piece>) {
    while let [.., before, Piece::Punct(b'-' | b'+')] = pieces.as_slice()
        && begins_expression(before)
    {
        pieces.pop();
    }
}

fn begins_expression(before: &Piece) -> bool {
    match before {
        Piece::Punct(byte) => *byte != b')',
        Piece::Keyword(word) => {
            !matches!(*word, "END" | "NULL" | "TRUE" | "FALSE" | "NAME" | "STATUS" | "VALUE" | "TYPE")
        }
        Piece::Shown(text) => matches!(text.as_str(), ":=" | "!=" | "<=" | ">=" | "&&" | "||" | "<<" | ">>" | "<=>"),
        _ => false,
    }
}

/// Where `NULL` is a value, not a part of `IS NULL` or of a column's definition.
fn is_literal_next(pieces: &[Piece]) -> bool {
    match pieces.last() {
        Some(Piece::Punct(byte)) => *byte != b')',
        Some(Piece::Keyword(word)) => {
            matches!(
                *word,
                "SELECT"
                    | "THEN"
                    | "ELSE"
                    | "WHEN"
                    | "DEFAULT"
                    | "WHERE"
                    | "AND"
                    | "OR"
                    | "BETWEEN"
                    | "DISTINCT"
                    | "ALL"
                    | "DO"
            )
        }
        Some(piece @ Piece::Shown(_)) => begins_expression(piece),
        _ => false,
    }
}

fn put_value(pieces: &mut Vec<Piece>) {
    if let [.., Piece::Value | Piece::Values, Piece::Punct(b',')] = pieces.as_slice() {
        pieces.pop();
        pieces.pop();
        pieces.push(Piece::Values);
    } else {
        pieces.push(Piece::Value);
    }
}

/// A `)`: a list of literals in parentheses is one piece, and so is a list of those.
fn close(pieces: &mut Vec<Piece>) {
    let (piece, many) = match pieces.as_slice() {
        [.., Piece::Punct(b'('), Piece::Value] => (Piece::Single, Piece::Singles),
        [.., Piece::Punct(b'('), Piece::Values] => (Piece::Row, Piece::Rows),
        _ => return pieces.push(Piece::Punct(b')')),
    };
    pieces.pop();
    pieces.pop();
    match pieces.as_slice() {
        [.., Piece::Keyword("IN")] => {
            pieces.pop();
            pieces.push(Piece::In);
        }
        [.., before, Piece::Punct(b',')] if *before == piece || *before == many => {
            pieces.pop();
            pieces.pop();
            pieces.push(many);
        }
        _ => pieces.push(piece),
    }
}

/// Operators of two and three bytes are one piece.
fn put_punct(pieces: &mut Vec<Piece>, byte: u8, is_joined: bool) {
    let joined = match (pieces.last(), byte) {
        (Some(Piece::Shown(open)), _) if open.ends_with(JOINED) => {
            let mut text = open.trim_end_matches(JOINED).to_string();
            pieces.pop();
            text.push(char::from(byte));
            Some(if text == "<>" { "!=".to_string() } else { text })
        }
        _ if is_joined => Some(char::from(byte).to_string()),
        _ => None,
    };
    match joined {
        Some(text) if is_joined => pieces.push(Piece::Shown(format!("{text}{JOINED}"))),
        Some(text) if text.len() > 1 => pieces.push(Piece::Shown(text)),
        _ => pieces.push(Piece::Punct(byte)),
    }
}

/// No byte is between the two, and both are of an operator, or the second opens a call.
fn is_joined(token: &Token, next: &Token) -> bool {
    let operator =
        |token: &Token| matches!(token.kind, TokenKind::Punct(b'<' | b'>' | b'=' | b'!' | b'&' | b'|' | b':'));
    token.end == next.start
        && (next.is_punct(b'(') && token.kind == TokenKind::Word || operator(token) && operator(next))
}

/// In backquotes, whatever it was in.
fn name(text: &[u8]) -> String {
    let inside = match text {
        [b'`', inside @ .., b'`'] | [b'"', inside @ .., b'"'] => inside,
        _ => text,
    };
    format!("`{}`", String::from_utf8_lossy(inside))
}

fn show(pieces: &[Piece], is_cut: bool) -> String {
    let mut out = String::new();
    for piece in pieces {
        if !out.is_empty() && !out.ends_with("@@") {
            out.push(' ');
        }
        match piece {
            Piece::Value => out.push('?'),
            Piece::Values => out.push_str("?, ..."),
            Piece::Single => out.push_str("(?)"),
            Piece::Singles => out.push_str("(?) /* , ... */"),
            Piece::Row => out.push_str("(...)"),
            Piece::Rows => out.push_str("(...) /* , ... */"),
            Piece::In => out.push_str("IN (...)"),
            Piece::Keyword(word) => out.push_str(word),
            Piece::Punct(byte) => out.push(char::from(*byte)),
            Piece::Shown(text) => out.push_str(text.trim_end_matches(JOINED)),
        }
    }
    if is_cut {
        out.push('…');
    }
    out
}

/// Digits of a column's number in `ORDER BY`.
const COLUMN_DIGITS_MAX: usize = 2;

/// Bytes of a statement that are read: the rest of a longer one is a list of rows as a rule.
const TEXT_BYTES_READ: usize = 16 << 10;

/// Pieces of a list and of a row that was begun behind it: `(...) /* , ... */ , ( ?, ... ,`.
const ROW_PIECES_MAX: usize = 5;

/// Marks an operator that goes on.
const JOINED: char = '\u{1}';
