//! `Ask`: what a statement wants of a server that has no data.
//!
//! Invariant: every text has an answer; what is not known is answered with a plain OK, as most of what a driver's
//! preamble says.

/// ```text
/// SELECT … LIMIT 100   Rows(100)        SET …                Set
/// SELECT @@a, @@b      Variables        BEGIN, START …       Begin
/// SHOW …               Show             INSERT, CREATE, …    Write
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// So many rows of one column.
    Rows(u64),
    /// One row: the value of each expression, and its text as the column's name.
    Variables(Vec<String>),
    /// One row that counts something: nothing is there.
    Zero,
    /// No rows.
    Show,
    /// `SHOW [GLOBAL | SESSION] VARIABLES LIKE '…'`
    ShowVariable(String),
    Begin,
    Commit,
    Rollback,
    Set,
    Use(Vec<u8>),
    Write,
    /// `SIGNAL …`: an error.
    Signal,
    /// `SELECT WAIT_FOR_EXECUTED_GTID_SET(…)`: one, too, as this server cannot wait. An answer at once would be asked
    /// for again at once, thousands of times a second, by who follows what a server has executed.
    Wait,
    Other,
}

impl Ask {
    pub fn of(text: &[u8]) -> Self {
        let text = without_comment(text);
        let word_len = (text.iter()).position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
        let (word, rest) = text.split_at(word_len);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("SELECT") {
            return Self::of_select(rest);
        }
        if is("SHOW") {
            return Self::of_show(rest);
        }
        if is("BEGIN") || is("START") && starts_with_word(rest, "TRANSACTION") {
            return Self::Begin;
        }
        let known = [
            ("COMMIT", Self::Commit),
            ("ROLLBACK", Self::Rollback),
            ("SET", Self::Set),
            ("SIGNAL", Self::Signal),
            ("WITH", Self::Rows(1)),
            ("TABLE", Self::Rows(1)),
            ("EXPLAIN", Self::Show),
            ("DESCRIBE", Self::Show),
        ];
        if let Some((_, ask)) = known.into_iter().find(|(name, _)| is(name)) {
            return ask;
        }
        if is("USE") {
            let name = rest.trim_ascii().trim_ascii_end();
            let name = name.strip_suffix(b";").unwrap_or(name);
            return Self::Use(name.iter().copied().filter(|byte| *byte != b'`').collect());
        }
        let writes = ["INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "TRUNCATE", "GRANT"];
        match writes.into_iter().any(is) {
            true => Self::Write,
            false => Self::Other,
        }
    }

    fn of_select(rest: &[u8]) -> Self {
        let list = rest.trim_ascii_start();
        if starts_with_name(list, "WAIT_FOR_EXECUTED_GTID_SET(") {
            return Self::Wait;
        }
        if list.starts_with(b"@@") || starts_with_function(list) {
            let list = String::from_utf8_lossy(list);
            let list = list.trim_end_matches(';').trim();
            // A tail behind the variables is of no interest: there is one row anyhow.
            let list = list.split(" LIMIT ").next().unwrap_or(list);
            return Self::Variables(split_list(list));
        }
        // A server without replication, groups and plugins.
        if mentions(rest, b"performance_schema.") {
            return Self::Show;
        }
        if mentions(rest, b"information_schema.") {
            return Self::Zero;
        }
        Self::Rows(limit_of(rest).unwrap_or(1))
    }

    fn of_show(rest: &[u8]) -> Self {
        let text = String::from_utf8_lossy(rest);
        let upper = text.to_ascii_uppercase();
        let quoted = text.split('\'').nth(1);
        match quoted {
            Some(name) if upper.contains("VARIABLES") => Self::ShowVariable(name.to_owned()),
            _ => Self::Show,
        }
    }
}

/// The number behind the last `LIMIT`, if the text ends there. Of `LIMIT 5, 100` it is the last one.
fn limit_of(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    let (before, number) = split_digits(text);
    let before = before.trim_ascii_end();
    let before = match before.strip_suffix(b",") {
        Some(offset) => split_digits(offset.trim_ascii_end()).0.trim_ascii_end(),
        None => before,
    };
    let at = before.len().checked_sub(5)?;
    before[at..].eq_ignore_ascii_case(b"LIMIT").then_some(())?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The text before the digits that it ends with, and the digits.
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = (text.iter().rev()).take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(text.len() - digits)
}

/// Functions that drivers and monitors ask for beside variables.
fn starts_with_function(list: &[u8]) -> bool {
    let names = ["CONNECTION_ID(", "VERSION(", "DATABASE(", "USER(", "CURRENT_USER(", "SCHEMA("];
    names.iter().any(|name| starts_with_name(list, name))
}

fn starts_with_name(list: &[u8], name: &str) -> bool {
    (list.get(..name.len())).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
}

/// In lower case, as monitors write it.
fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.len() >= MENTION_BYTES_MIN && text.windows(word.len()).any(|part| part == word)
}

/// Shorter texts are those of a load, and not searched.
const MENTION_BYTES_MIN: usize = 50;

/// The statements of a text, which semicolons outside quotes part.
pub fn statements(text: &[u8]) -> Vec<&[u8]> {
    let mut quote = None;
    let parts = text.split(|&byte| {
        match (quote, byte) {
            (None, b';') => return true,
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        false
    });
    let parts: Vec<&[u8]> = parts.filter(|part| !part.trim_ascii().is_empty()).collect();
    // Nothing at all is a statement, too: the server answers it.
    if parts.is_empty() { vec![text] } else { parts }
}

fn starts_with_word(text: &[u8], word: &str) -> bool {
    let text = text.trim_ascii_start();
    (text.get(..word.len())).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
}

/// Expressions between commas that stand in no parentheses and no quotes.
fn split_list(list: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut parts) = (0u32, false, vec![String::new()]);
    for letter in list.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn without_comment(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    while let Some(comment) = text.strip_prefix(b"/*") {
        let Some(end) = comment.windows(2).position(|pair| pair == b"*/") else {
            return text;
        };
        text = comment[end + 2..].trim_ascii_start();
    }
    text
}

/// Placeholders of a statement that is to be prepared: question marks outside quotes.
pub fn placeholders(text: &[u8]) -> u16 {
    let (mut count, mut quote) = (0u16, None);
    for &byte in text {
        match (quote, byte) {
            (None, b'?') => count = count.saturating_add(1),
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks() {
        let names = |list: &[&str]| Ask::Variables(list.iter().map(|s| (*s).to_owned()).collect());
        let cases: &[(&str, Ask)] = &[
            ("SELECT c FROM sbtest1 WHERE id=5", Ask::Rows(1)),
            ("  /* a */ /*+ b */ select 1 limit 100 ; ", Ask::Rows(100)),
            ("SELECT c FROM t LIMIT 5 , 20", Ask::Rows(20)),
            ("SELECT c FROM t WHERE n = 20", Ask::Rows(1)),
            ("SELECT 1 FROM t WHERE LIMIT12 = 12", Ask::Rows(1)),
            ("select @@version, @@GLOBAL.read_only as r", names(&["@@version", "@@GLOBAL.read_only as r"])),
            ("SELECT CONNECTION_ID()", names(&["CONNECTION_ID()"])),
            ("SELECT @@a, REPLACE(@@b, ',', '')", names(&["@@a", "REPLACE(@@b, ',', '')"])),
            ("SELECT COUNT(*) FROM information_schema.plugins WHERE a='b'", Ask::Zero),
            ("SELECT MEMBER_STATE FROM performance_schema.replication_group_members", Ask::Show),
            ("SHOW REPLICA STATUS", Ask::Show),
            ("show variables like 'read_only'", Ask::ShowVariable("read_only".to_owned())),
            ("begin", Ask::Begin),
            ("START TRANSACTION READ ONLY", Ask::Begin),
            ("START REPLICA", Ask::Other),
            ("COMMIT", Ask::Commit),
            ("rollback", Ask::Rollback),
            ("SET NAMES utf8mb4", Ask::Set),
            ("USE `shop`;", Ask::Use(b"shop".to_vec())),
            ("DELETE FROM t", Ask::Write),
            ("SIGNAL SQLSTATE '45000'", Ask::Signal),
            ("SELECT WAIT_FOR_EXECUTED_GTID_SET('a:1', 1.000)", Ask::Wait),
            ("/* unfinished", Ask::Other),
            ("", Ask::Other),
        ];
        for (text, ask) in cases {
            assert_eq!(Ask::of(text.as_bytes()), *ask, "{text}");
        }
    }

    #[test]
    fn texts_fall_into_statements() {
        let cases: &[(&str, &[&str])] = &[
            ("SELECT 1", &["SELECT 1"]),
            ("a; b ;", &["a", " b "]),
            ("SELECT ';', `;` ; b", &["SELECT ';', `;` ", " b"]),
            (" ; ", &[" ; "]),
        ];
        for (text, expected) in cases {
            let got = statements(text.as_bytes());
            let expected: Vec<&[u8]> = expected.iter().map(|part| part.as_bytes()).collect();
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn placeholders_are_not_in_quotes() {
        assert_eq!(placeholders(b"SELECT '?', \"?\", `?`, ? FROM t WHERE a=? AND b='it''s ?'"), 2);
        assert_eq!(placeholders(b""), 0);
    }
}
