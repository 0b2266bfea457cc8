//! A mistake in what was typed: where it stands, and one sentence that says what to do.
//!
//! Invariant: reading goes on after a mistake, so that one run shows all of them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where something was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Line and column count from 1; the column counts characters.
    File {
        path: Arc<Path>,
        line: usize,
        column: usize,
    },
    WholeFile(PathBuf),
    /// A flag with its dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// What was not typed at all.
    Missing,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}: ", path.display()),
            Place::WholeFile(path) => write!(f, "{}: ", path.display()),
            Place::Flag(name) | Place::Variable(name) => write!(f, "{name}: "),
            Place::Missing => Ok(()),
        }
    }
}

/// A value and where it was typed.
#[derive(Clone, Debug)]
pub struct Given<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Given<T> {
    pub fn new(value: T, place: Place) -> Given<T> {
        Given { value, place }
    }

    pub fn by_flag(value: T, flag: &'static str) -> Given<T> {
        Given { value, place: Place::Flag(flag) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.text)
    }
}

/// All mistakes of one configuration, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub fn add(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(Mistake { place: place.clone(), text: text.into() });
    }

    /// Keeps the mistake and gives None, for a value that goes without.
    pub fn keep<T>(&mut self, place: &Place, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|text| self.add(place, text)).ok()
    }

    /// The meaning of a word that was given; None: there is none, or it is no such word.
    pub fn word<T: Copy>(
        &mut self,
        given: Option<&Given<String>>,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let Given { value, place } = given?;
        let found = words.iter().find(|(word, _)| word == value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let near = suggestion(value, words.iter().map(|(word, _)| *word));
            self.add(place, format!("{name} cannot be '{value}'; {near}"));
        }
        found
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One per line.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The text of a file, for telling lines and columns.
pub struct Lines<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl<'a> Lines<'a> {
    pub fn new(path: &Path, text: &'a str) -> Lines<'a> {
        Lines { path: path.into(), text }
    }

    /// The place where the span of bytes begins.
    pub fn place(&self, span: Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_at = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_at..].chars().count() + 1,
        }
    }
}

/// What was meant, if one of the known names is near: "; did you mean 'x'?", otherwise all of them.
pub fn suggestion<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(typed, known.iter().copied()) {
        Some((_, name)) => format!("did you mean '{name}'?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known name that was likely meant, with how far off it is.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    let far = known.into_iter().map(|name| (distance(typed, name), name));
    far.filter(|(distance, name)| *distance <= name.len().max(typed.len()) / 3 + 1).min()
}

/// Edits (insert, delete, replace, swap of neighbours) between two names, without regard to case.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().replace('-', "_").chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(row[j] + 1).min(rows[i][j + 1] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["listen", "cores", "admin_listen"];
        for (typed, meant) in
            [("lisen", "listen"), ("Core", "cores"), ("admin-listen", "admin_listen"), ("coers", "cores")]
        {
            assert_eq!(suggestion(typed, known), format!("did you mean '{meant}'?"));
        }
        assert_eq!(suggestion("xyzzy", known), "known here: listen, cores, admin_listen");
    }

    #[test]
    fn lines_and_columns_count_from_one_and_by_characters() {
        let lines = Lines::new(Path::new("w.toml"), "a = 1\nü = 2\n");
        let at = |start| lines.place(start..start).to_string();
        assert_eq!(at(0), "w.toml:1:1: ");
        assert_eq!(at(4), "w.toml:1:5: ");
        assert_eq!(at(6), "w.toml:2:1: ");
        assert_eq!(at(9), "w.toml:2:3: ");
        assert_eq!(at(99), "w.toml:3:1: ");
    }
}
