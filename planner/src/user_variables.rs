//! The user variables that a text mentions: what a statement may have set, whatever its grammar.
//!
//! Invariant: all of them or none; a name that might be another's in the server's comparison (which knows neither case nor
//! accents) makes it none.

use crate::facts::Facts;
use crate::lexer::{Lexer, TokenKind};
use crate::limits::USER_VARIABLES_MAX;

/// Their names in lower case, sorted; empty when there are none, too many, or odd ones.
pub(crate) fn mentioned(sql: &[u8], facts: &Facts) -> Box<[Box<str>]> {
    let mut lexer = Lexer::new(sql, facts);
    let mut names: Vec<Box<str>> = Vec::new();
    loop {
        let token = lexer.next();
        match token.kind {
            TokenKind::End | TokenKind::Bad => break,
            TokenKind::UserVariable => (),
            _ => continue,
        }
        let Some(name) = sql.get(token.start.saturating_add(1)..token.end).and_then(plain) else {
            return Box::default();
        };
        if let Err(at) = names.binary_search(&name) {
            if names.len() >= USER_VARIABLES_MAX {
                return Box::default();
            }
            names.insert(at, name);
        }
    }
    names.into()
}

/// Without its quotes. None: it has escapes, or letters whose case is not ours to know.
pub(crate) fn plain(text: &[u8]) -> Option<Box<str>> {
    let inside = match text {
        [open @ (b'`' | b'"' | b'\''), inside @ .., close] if open == close => inside,
        _ => text,
    };
    let is_odd = |byte: &u8| matches!(byte, b'`' | b'"' | b'\'' | b'\\');
    if !inside.is_ascii() || inside.iter().any(is_odd) {
        return None;
    }
    Some(std::str::from_utf8(inside).ok()?.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let check = |sql: &str, expected: &[&str]| {
            let found = mentioned(sql.as_bytes(), &Facts::default());
            assert_eq!(found.iter().map(|name| &**name).collect::<Vec<_>>(), expected, "{sql}");
        };
        check("SELECT a, b INTO @B, @`c d` FROM t WHERE x=@a AND '@no'='' -- @neither", &["a", "b", "c d"]);
        check("GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT", &["m"]);
        check("SELECT @@sql_mode, 1", &[]);
        check("LOAD DATA LOCAL INFILE 'f' INTO TABLE t (@x, b) SET a=@x+1; SET @y:=2", &["x", "y"]);
        check("SELECT @a, @ü", &[]);
        check("SELECT @`a``b`", &[]);
        let many: Vec<String> = (0..=USER_VARIABLES_MAX).map(|n| format!("@v{n}")).collect();
        check(&format!("SELECT {}", many.join(",")), &[]);
    }
}
