//! `SHOW WEIR …`: what was asked for, and the table that answers it.
//!
//! ```text
//!   SHOW WEIR word [LIKE 'pattern'] [ORDER BY column [ASC|DESC]] [LIMIT n]
//!   a core ── ControlMail::Show ──► control: asks all cores, makes the table ── Mail::Shown ──► the core: rows
//! ```
//! Invariant: a [`Shown`] has as many cells in each row as it has columns, and no more rows than its [`Show`] allows. It knows
//! nothing of who makes the rows.

pub mod backends;
pub mod filters;

use std::sync::Arc;

/// What may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Status,
    Backends,
    Pools,
    Sessions,
    Pins,
    PinsByAccount,
    Digests,
    Topology,
    Events,
    Variables,
    Filters,
    /// `FLUSH WEIR DIGESTS`: no table, an OK when all cores have forgotten.
    FlushDigests,
}

impl What {
    /// With the word, and the column that `LIKE` looks at.
    pub const ALL: [(What, &'static str, &'static str); 11] = [
        (What::Status, "STATUS", "name"),
        (What::Backends, "BACKENDS", "backend"),
        (What::Pools, "POOLS", "backend"),
        (What::Sessions, "SESSIONS", "user"),
        (What::PinsByAccount, "PINS BY ACCOUNT", "user"),
        (What::Pins, "PINS", "user"),
        (What::Digests, "DIGESTS", "digest_text"),
        (What::Topology, "TOPOLOGY", "server"),
        (What::Events, "EVENTS", "kind"),
        (What::Variables, "VARIABLES", "name"),
        (What::Filters, "FILTERS", "name"),
    ];

    /// Who is no admin sees there what is its own: others' addresses, schemas and statements are none of its business. As
    /// MySQL's `SHOW PROCESSLIST` without the privilege PROCESS.
    pub fn is_by_user(self) -> bool {
        matches!(self, What::Sessions | What::Pins | What::PinsByAccount)
    }

    /// For admins alone: it tells of everybody together, and whose a row is cannot be said.
    pub fn is_for_admins(self) -> bool {
        matches!(self, What::Digests | What::Events | What::FlushDigests)
    }

    pub fn word(self) -> &'static str {
        What::ALL.iter().find(|(what, ..)| *what == self).map_or("", |(_, word, _)| word)
    }

    fn like_column(self) -> &'static str {
        What::ALL.iter().find(|(what, ..)| *what == self).map_or("", |(_, _, column)| column)
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    pub what: What,
    /// Only what is this user's. None: of all users.
    pub of: Option<Arc<[u8]>>,
    like: Option<Box<str>>,
    order: Option<Order>,
    /// None: nobody said, and [`ROWS_USUAL`] holds.
    limit: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    /// In lower case.
    column: Box<str>,
    /// None: the largest numbers first, texts from a to z.
    is_descending: Option<bool>,
}

/// What a core is to put into a report for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Sessions and pins of this user only. None: of all users.
    pub of: Option<Arc<[u8]>>,
    pub sessions: bool,
    pub pins: bool,
    pub digests: bool,
    /// Behind the report: what was counted by digest is forgotten.
    pub forgets_digests: bool,
}

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    /// What is missing, for `SHOW WARNINGS`.
    pub note: Option<String>,
}

impl Show {
    /// All rows of one word.
    pub fn of(what: What) -> Show {
        Show { what, of: None, like: None, order: None, limit: Some(ROWS_MAX) }
    }

    /// The words behind `SHOW WEIR`, in upper case, one space between. Err: what is wrong, and what there is.
    pub fn parse(words: &str) -> Result<Show, String> {
        let mut left = words.trim();
        let begins = |(_, word, _): &&(What, &str, &str)| {
            left.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let Some((what, word, _)) = What::ALL.iter().find(begins) else {
            let known: Vec<&str> = What::ALL.iter().map(|(_, word, _)| *word).collect();
            return Err(format!("SHOW WEIR {words} is not known: use one of {}", known.join(", ")));
        };
        left = left[word.len()..].trim_start();
        let mut show = Show { limit: None, ..Show::of(*what) };
        if let Some(rest) = left.strip_prefix("LIKE ") {
            let (pattern, rest) = quoted(rest).ok_or_else(|| wrong(words))?;
            (show.like, left) = (Some(pattern.into()), rest);
        }
        let mut tokens = left.split_whitespace().peekable();
        if tokens.next_if_eq(&"ORDER").is_some() {
            tokens.next_if_eq(&"BY").ok_or_else(|| wrong(words))?;
            let column = tokens.next().ok_or_else(|| wrong(words))?.trim_matches('`').to_lowercase().into();
            let is_descending = tokens.next_if(|word| matches!(*word, "ASC" | "DESC")).map(|word| word == "DESC");
            show.order = Some(Order { column, is_descending });
        }
        if tokens.next_if_eq(&"LIMIT").is_some() {
            let number = tokens.next().and_then(|number| number.parse().ok());
            show.limit = Some(number.ok_or_else(|| wrong(words))?);
        }
        if tokens.next().is_some() { Err(wrong(words)) } else { Ok(show) }
    }

    pub fn detail(&self) -> Detail {
        Detail {
            of: self.of.clone(),
            sessions: self.what == What::Sessions,
            pins: matches!(self.what, What::Pins | What::PinsByAccount),
            digests: self.what == What::Digests,
            forgets_digests: self.what == What::FlushDigests,
        }
    }

    /// The rows that were asked for, in their order. Err: there is no such column.
    pub fn finish(&self, mut shown: Shown) -> Result<Shown, String> {
        if let Some(pattern) = &self.like {
            let at = shown.columns.iter().position(|column| *column == self.what.like_column()).unwrap_or(0);
            shown.rows.retain(|row| row.get(at).is_some_and(|cell| is_like(cell.as_bytes(), pattern.as_bytes())));
        }
        if let Some(order) = &self.order {
            order.sort(&mut shown)?;
        }
        let (all, limit) = (shown.rows.len(), self.limit.unwrap_or(ROWS_USUAL).min(ROWS_MAX));
        shown.rows.truncate(limit);
        if self.limit.is_none_or(|wanted| wanted > ROWS_MAX) && all > limit {
            shown.note(format!("{limit} of {all} rows are shown: say LIMIT n (at most {ROWS_MAX}), or LIKE 'pattern'"));
        }
        Ok(shown)
    }
}

impl Shown {
    pub fn note(&mut self, text: String) {
        self.note = Some(match self.note.take() {
            Some(before) => format!("{before}; {text}"),
            None => text,
        });
    }
}

impl Order {
    fn sort(&self, shown: &mut Shown) -> Result<(), String> {
        // `total_time` is `total_time_us`: who asks need not know the unit.
        let is_it = |column: &&str| **column == *self.column || column.strip_suffix("_us") == Some(&self.column);
        let Some(at) = shown.columns.iter().position(is_it) else {
            return Err(format!(
                "there is no column {} to order by: use one of {}",
                self.column,
                shown.columns.join(", ")
            ));
        };
        let number = |row: &Vec<String>| row.get(at).and_then(|cell| cell.parse::<f64>().ok());
        let is_numbers = shown.rows.iter().any(|row| number(row).is_some());
        let descending = self.is_descending.unwrap_or(is_numbers);
        shown.rows.sort_by(|a, b| {
            let order = match is_numbers {
                true => number(a).unwrap_or(f64::MIN).total_cmp(&number(b).unwrap_or(f64::MIN)),
                false => a.get(at).cmp(&b.get(at)),
            };
            if descending { order.reverse() } else { order }
        });
        Ok(())
    }
}

fn wrong(words: &str) -> String {
    format!(
        "SHOW WEIR {words} is not understood: SHOW WEIR word [LIKE 'pattern'] [ORDER BY column [ASC|DESC]] [LIMIT n]"
    )
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (pattern, rest) = text[1..].split_once(quote)?;
    (pattern.len() <= PATTERN_BYTES_MAX).then_some((pattern, rest))
}

/// MySQL's `LIKE`, without regard to case: `%` any text, `_` any letter, `\` takes the next one as it is. Goes back to the last `%`
/// only, so that no pattern takes longer than the product of both lengths.
pub fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let (mut t, mut p) = (0, 0);
    // Behind the last `%`, and where the text stood there.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let is_escaped = pattern.get(p) == Some(&b'\\') && p + 1 < pattern.len();
        let at = p + usize::from(is_escaped);
        match pattern.get(at) {
            Some(b'%') if !is_escaped => {
                p += 1;
                back = Some((p, t));
            }
            Some(letter) if (*letter == b'_' && !is_escaped) || letter.eq_ignore_ascii_case(&text[t]) => {
                (t, p) = (t + 1, at + 1);
            }
            _ => match back {
                Some((behind, from)) => {
                    back = Some((behind, from + 1));
                    (t, p) = (from + 1, behind);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| *letter == b'%')
}

/// Rows of an answer when nobody says `LIMIT`: what a person can look through.
pub const ROWS_USUAL: usize = 1_000;

/// Rows of any answer: about 10 MB of text, which a core says in one turn.
pub const ROWS_MAX: usize = 20_000;

/// Sessions that one core tells of in a report: formatting one takes about half a microsecond, and the core's clients wait meanwhile.
pub const SESSIONS_TOLD_MAX: usize = 4_000;

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
