//! A statement without its literals, for logs that have no session to ask.

use weir_planner::Facts;

/// By the usual mode. `ANSI_QUOTES` changes only what a text in double quotes is, not where it ends: a name is redacted
/// then, too. `NO_BACKSLASH_ESCAPES` changes the ends: where the two readings differ, only the first word is shown.
pub fn sql(statement: &str) -> String {
    let read = |no_backslash_escapes| {
        let facts = Facts { no_backslash_escapes, ..Facts::default() };
        weir_planner::redact(statement.as_bytes(), &facts, BYTES_MAX)
    };
    let usual = read(false);
    if !statement.contains('\\') || usual == read(true) {
        return usual;
    }
    let word: String = statement.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    format!("{word}…")
}

/// Of one statement in a log.
pub const BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_two_modes_cut_differently_is_not_shown() {
        let cases = [
            ("SELECT 'a\\b', 5", "SELECT ?, ?"),
            ("SELECT 'a\\', secret FROM t WHERE x='", "SELECT…"),
            ("KILL QUERY 5", "KILL QUERY ?"),
        ];
        for (statement, shown) in cases {
            assert_eq!(sql(statement), shown, "{statement}");
        }
    }
}
