//! A regular expression of a filter: it matches a whole text, takes linear time, and its size has a limit.
//!
//! Differences to the grammar's home: `.` matches a line's end too, or a statement on two lines would pass; and `a|b` is whole on both
//! sides. Upper and lower case differ unless it says `(?i)`.

use crate::limits::EXPRESSION_BYTES_MAX;
use regex::bytes::{Regex, RegexBuilder};

#[derive(Clone, Debug)]
pub(super) struct Expression(Regex);

impl Expression {
    /// None: it was left empty, and matches all. Err: what is wrong with it.
    pub fn whole(key: &str, text: &str) -> Result<Option<Expression>, String> {
        match text.is_empty() {
            true => Ok(None),
            false => Expression::of(key, text, &format!("^(?:{text})$")).map(Some),
        }
    }

    /// One that may match anywhere.
    pub fn part(key: &str, text: &str) -> Result<Expression, String> {
        Expression::of(key, text, text)
    }

    fn of(key: &str, typed: &str, text: &str) -> Result<Expression, String> {
        // By itself it may be wrong where the frame around it makes it right: `a)(b`.
        let build = |text: &str| {
            RegexBuilder::new(text).dot_matches_new_line(true).size_limit(EXPRESSION_BYTES_MAX).build().map_err(
                |error| {
                    let error = error.to_string();
                    let reason = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
                    format!("{key}='{typed}' is no regular expression: {}", reason.trim_start_matches("error: "))
                },
            )
        };
        build(typed)?;
        build(text).map(Expression)
    }

    pub fn fits(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// All its matches replaced; `$1` and `${name}` are its groups. None: there is none.
    pub fn replaced(&self, text: &[u8], by: &str) -> Option<Vec<u8>> {
        match self.0.replace_all(text, by.as_bytes()) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(text) => Some(text),
        }
    }
}
