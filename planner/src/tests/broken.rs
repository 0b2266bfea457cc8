//! Broken texts: prefixes, suffixes and mutations of every case. Nothing panics, and no plan of them is unsound.

use super::cases::cases;
use super::*;
use crate::Route;

/// A deterministic generator (xorshift), so that a failure is the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn check(sql: &[u8], facts: &Facts) {
    let plan = plan(sql, facts);
    assert!(plan.statements >= 1);
    assert_eq!(plan.local.is_some(), plan.route == Route::Local);
    if plan.route == Route::Read || plan.route == Route::Any {
        let harmless = Effects::SET_SESSION | Effects::USE_SCHEMA;
        assert!(plan.effects.without(harmless).is_empty(), "{:?} {plan:?}", String::from_utf8_lossy(sql));
        assert!(plan.asks.without(Asks::TRACKERS).is_empty());
    }
}

#[test]
fn prefixes_and_suffixes_are_planned() {
    for case in cases() {
        for at in 0..=case.sql.len() {
            crate::tree::tables(&case.sql[..at], &case.facts);
            check(&case.sql[..at], &case.facts);
            check(&case.sql[at..], &case.facts);
        }
        crate::tree::tables(&case.sql, &case.facts);
    }
}

#[test]
fn mutations_are_planned() {
    let cases = cases();
    let pieces: [&[u8]; 24] = [
        b"'",
        b"\"",
        b"`",
        b"\\",
        b"/*",
        b"*/",
        b"/*!",
        b"/*!80000 ",
        b"--",
        b"-- ",
        b"#",
        b"\n",
        b"\0",
        b"@",
        b"@@",
        b":=",
        b";",
        b"(",
        b")",
        b".",
        b"\x81",
        b"\xff\x5c",
        b" FOR UPDATE ",
        b"0x",
    ];
    let sets = ["utf8mb4", "latin1", "gbk", "big5", "sjis", "gb18030"];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60_000 {
        let case = &cases[dice.below(cases.len())];
        let mut sql = case.sql.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(sql.len() + 1);
            match dice.below(4) {
                0 => drop(sql.splice(at..at, pieces[dice.below(pieces.len())].iter().copied())),
                1 if at < sql.len() => drop(sql.remove(at)),
                2 if at < sql.len() => sql[at] = dice.below(256) as u8,
                _ => {
                    let other = &cases[dice.below(cases.len())].sql;
                    let from = dice.below(other.len() + 1);
                    sql.splice(at..at, other[from..].iter().copied());
                }
            }
        }
        let facts = Facts {
            charset: Charset::of_name(sets[dice.below(sets.len())]),
            ansi_quotes: dice.below(2) == 0,
            no_backslash_escapes: dice.below(2) == 0,
            multi_statements: dice.below(2) == 0,
            ..case.facts
        };
        check(&sql, &facts);
    }
}

/// S02: a keyword in a string, a name or a comment is none, and one in an executed comment is.
#[test]
fn hidden_keywords() {
    let facts = Facts::default();
    for word in ["FOR UPDATE", "INTO @a", "LOCK IN SHARE MODE", "; DELETE FROM t"] {
        for (before, after) in [
            ("'", "'"),
            ("\"", "\""),
            ("`", "`"),
            ("'it''s \\' ", "'"),
            ("1 /* ", " */"),
            ("1 -- ", "\n"),
            ("1 # ", "\n"),
        ] {
            let sql = format!("SELECT {before}{word}{after} FROM t");
            assert_eq!(plan(sql.as_bytes(), &facts).route, Route::Read, "{sql}");
        }
        for (before, after) in
            [("1 /*!", "*/"), ("1 /*!80000 ", "*/"), ("'\\'' ", ""), ("1 --1\n ", ""), ("1 /* */ ", "")]
        {
            let sql = format!("SELECT * FROM t WHERE a = {before}{word}{after}");
            assert_eq!(plan(sql.as_bytes(), &facts).route, Route::Primary, "{sql}");
        }
    }
}

/// A text of 1 MiB of any kind of nesting is planned in one pass and without deep recursion.
#[test]
fn long_and_deep_texts() {
    let facts = Facts { multi_statements: true, ..Facts::default() };
    for piece in
        ["(", "SELECT (", "/*", "/*!", "WITH a AS (", "'a", "''", "@@", "@", ";", "x.", "SET a=", "CASE ", "IF ", "f("]
    {
        let sql = piece.repeat((1 << 20) / piece.len());
        check(sql.as_bytes(), &facts);
        check(format!("SELECT {sql}").as_bytes(), &facts);
    }
}
