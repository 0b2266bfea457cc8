//! Hiding: a text in quotes or in a comment is a value, a name or nothing, however it looks.
//!
//! What is hidden is escaped here by the manual's rules, not by the lexer's, so the two must agree on them.

use weir_planner::{Charset, Facts, Route, plan};

pub fn check(text: &[u8], facts: &Facts) {
    // In a system schema every read goes to the primary, hidden or not.
    let facts = &Facts { system_schema: false, ..*facts };
    // In sets whose second bytes may be punctuation, cutting a text's end would make another character of it.
    let is_plain = text.is_ascii() || matches!(facts.charset, Charset::Utf8 | Charset::Euc | Charset::Single);
    if !is_plain {
        return;
    }
    check_read(b"SELECT a FROM t WHERE b = '", &in_string(text, b'\'', facts), b"' LIMIT 1", facts);
    if !facts.ansi_quotes {
        check_read(b"SELECT \"", &in_string(text, b'"', facts), b"\" FROM t", facts);
    }
    if !text.contains(&0) && !text.is_empty() {
        check_read(b"SELECT `", &doubled(text, b'`'), b"` FROM t", facts);
        if facts.ansi_quotes {
            check_read(b"SELECT 1 AS \"", &doubled(text, b'"'), b"\" FROM t", facts);
        }
    }
    check_read(b"SELECT /* ", &in_comment(text), b" */ a FROM t", facts);
    check_read(b"SELECT a -- ", &in_line(text), b"\nFROM t", facts);
    check_read(b"SELECT a # ", &in_line(text), b"\nFROM t", facts);
}

fn check_read(before: &[u8], hidden: &[u8], behind: &[u8], facts: &Facts) {
    let sql = [before, hidden, behind].concat();
    let plan = plan(&sql, facts);
    assert_eq!(plan.route, Route::Read, "{:?}: {plan:?}", String::from_utf8_lossy(&sql));
    assert_eq!(plan.statements, 1);
}

/// A quote is doubled, a backslash too where it escapes.
fn in_string(text: &[u8], quote: u8, facts: &Facts) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    for byte in text {
        if *byte == quote || (*byte == b'\\' && !facts.no_backslash_escapes) {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out
}

fn doubled(text: &[u8], quote: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    for byte in text {
        out.push(*byte);
        if *byte == quote {
            out.push(*byte);
        }
    }
    out
}

/// Nothing that ends a comment.
fn in_comment(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'*' { b'+' } else { *byte }).collect()
}

fn in_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect()
}
