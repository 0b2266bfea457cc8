//! Redaction: a statement without its literals, for logs.
//!
//! Invariant: no byte of a literal, of a comment or of anything behind a place where the lexer is not sure gets through.

use crate::facts::Facts;
use crate::lexer::{Lexer, TokenKind};

/// The text with `?` for each literal, one space for each gap (comments included), at most `bytes_max` bytes, and `…` where
/// it was cut. The facts are those of the session that runs it: they say what is a literal.
pub fn redact(statement: &[u8], facts: &Facts, bytes_max: usize) -> String {
    let mut lexer = Lexer::new(statement, facts);
    let mut out = String::new();
    let mut end = 0;
    loop {
        let token = lexer.next();
        match token.kind {
            TokenKind::End => return out,
            TokenKind::Bad => break,
            _ => {}
        }
        if lexer.doubt || out.len() >= bytes_max {
            break;
        }
        if token.start > end && !out.is_empty() {
            out.push(' ');
        }
        end = token.end;
        match token.kind {
            TokenKind::Number | TokenKind::Text | TokenKind::Bits => out.push('?'),
            _ => out.push_str(&String::from_utf8_lossy(lexer.text(&token))),
        }
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_literal_gets_through() {
        let cases = [
            ("SELECT * FROM t WHERE a=5 AND b = 'it''s' -- secret", "SELECT * FROM t WHERE a=? AND b = ?"),
            ("INSERT INTO `t x` VALUES (1,-2.5,x'ff',N'u',0x1f, NULL)", "INSERT INTO `t x` VALUES (?,-?,?,?,?, NULL)"),
            ("SET PASSWORD FOR u = 'p\\'w'", "SET PASSWORD FOR u = ?"),
            ("CREATE USER u IDENTIFIED BY \"secret\"", "CREATE USER u IDENTIFIED BY ?"),
            ("/* secret */ SELECT /* secret */ 1", "SELECT ?"),
            ("SELECT 'secret", "SELECT…"),
            ("", ""),
        ];
        for (statement, expected) in cases {
            assert_eq!(redact(statement.as_bytes(), &Facts::default(), 1_000), expected, "{statement}");
        }
        assert_eq!(redact(b"SELECT a, b, c", &Facts::default(), 8), "SELECT a…");
        let ansi = Facts { ansi_quotes: true, ..Facts::default() };
        assert_eq!(redact(b"SELECT \"name\", 'secret'", &ansi, 100), "SELECT \"name\", ?");
    }
}
