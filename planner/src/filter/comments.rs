//! The comments in front of a statement and behind it, and what is between.
//!
//! ```text
//!   /* app=web */ -- x⏎ SELECT 1 /* trace=7 */ ;
//!   └─── leading ────┘  └ body ┘ └ trailing ┘
//! ```
//! Comments that a server runs (`/*! … */`, MariaDB's `/*M! … */`) and hints (`/*+ … */`) belong to the body.

use crate::facts::Facts;
use crate::lexer::{Lexer, TokenKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub leading: &'a [u8],
    pub body: &'a [u8],
    pub trailing: &'a [u8],
}

/// Cuts one statement, without what ends it.
pub(super) fn cut<'a>(sql: &'a [u8], facts: &Facts) -> Cut<'a> {
    let mut lexer = Lexer::new(sql, facts);
    let (mut first, mut last) = (None, 0);
    loop {
        let token = lexer.next();
        match token.kind {
            TokenKind::End => break,
            TokenKind::Semicolon => continue,
            _ => {}
        }
        first.get_or_insert(token.start);
        last = token.end;
    }
    let (Some(first), true) = (first, last <= sql.len()) else {
        return Cut { leading: sql.trim_ascii(), body: b"", trailing: b"" };
    };
    let (leading, rest) = sql.split_at_checked(first).unwrap_or((b"", sql));
    let (body, trailing) = rest.split_at_checked(last.saturating_sub(first)).unwrap_or((rest, b""));
    let from = run_comment(leading).unwrap_or(leading.len());
    let to = executed_end(trailing);
    let (leading, _) = leading.split_at_checked(from).unwrap_or((leading, b""));
    let (_, trailing) = trailing.split_at_checked(to).unwrap_or((b"", trailing));
    let start = from.min(first);
    let end = last.saturating_add(to).min(sql.len());
    let body = sql.get(start..end).unwrap_or(body);
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let end = trailing.iter().rposition(|byte| !is_blank(byte)).map_or(0, |at| at.saturating_add(1));
    let trailing = trailing.get(..end).unwrap_or_default();
    let begin = trailing.iter().position(|byte| !is_blank(byte)).unwrap_or(trailing.len());
    Cut { leading: leading.trim_ascii(), body: body.trim_ascii(), trailing: trailing.get(begin..).unwrap_or_default() }
}

/// Where a comment that is run opens, in what stands before the first token.
fn run_comment(leading: &[u8]) -> Option<usize> {
    let opens = |four: &[u8]| four.starts_with(b"/*!") || four == b"/*M!";
    leading.windows(4).position(opens)
}

/// Where a comment that was run ends, in what stands behind the last token.
fn executed_end(trailing: &[u8]) -> usize {
    let blank = trailing.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match trailing.get(blank..) {
        Some([b'*', b'/', ..]) => blank.saturating_add(2),
        _ => 0,
    }
}
