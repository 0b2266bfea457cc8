//! The outcome of a run: each test by name, passed, failed or left out, read from what a suite's own runner prints.
//!
//! Invariant: a name is told once; the same name again counts as failed if any of its turns failed. A run that told of no test that
//! passed is an error, so a suite that cannot run is not equal to itself.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Passed,
    /// Left out by the suite itself: it asks the server for something that it has not.
    Skipped,
    Failed,
}

/// Who prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `--- PASS: TestName/sub (0.00s)`: Go, with `-test.v`.
    Go,
    /// `PASSED path::name`: pytest, with `-v`.
    Pytest,
    /// `name (module.Class.name) ... ok`: Python's unittest, with `-v`.
    Unittest,
    /// `test path::name ... ok`: cargo's tests.
    Libtest,
    /// `PASS name`: one line for each test, of runners that we wrote or that print so.
    Lines,
}

pub type Outcomes = BTreeMap<String, Outcome>;

/// Reads a run's output. `# version 1.2` tells the driver's version.
pub fn read(format: Format, text: &str) -> Result<(String, Outcomes), String> {
    let mut outcomes = Outcomes::new();
    let mut version = String::new();
    let mut before = "";
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("# version ") {
            version = told.trim().to_owned();
        }
        if let Some((name, outcome)) = one(format, before, line) {
            outcomes.entry(name).and_modify(|known| *known = outcome.max(*known)).or_insert(outcome);
        }
        before = line;
    }
    if version.is_empty() {
        return Err("it does not say the driver's version".to_owned());
    }
    if !outcomes.values().any(|outcome| *outcome == Outcome::Passed) {
        return Err("it told of no test that passed".to_owned());
    }
    Ok((version, outcomes))
}

fn one(format: Format, before: &str, line: &str) -> Option<(String, Outcome)> {
    match format {
        Format::Go => {
            let (word, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
            Some((rest.rsplit_once(" (")?.0.to_owned(), of_word(word)?))
        }
        Format::Pytest => {
            // Without a terminal: `path::name PASSED [ 3%]`; a reason may stand between.
            let (name, rest) = line.split_once(' ').filter(|(name, _)| name.contains("::"))?;
            let word = rest.split_whitespace().next()?;
            // Parametrised names have spaces: the word is then the last one before the per cent.
            let known = of_word(word).map(|outcome| (name.to_owned(), outcome));
            known.or_else(|| {
                let front = rest.rsplit_once(" [").map_or(rest, |(front, _)| front);
                let (more, word) = front.trim_end().rsplit_once(' ')?;
                Some((format!("{name} {more}"), of_word(word)?))
            })
        }
        Format::Unittest => {
            let (head, word) = line.rsplit_once(" ... ")?;
            let name = head.rsplit_once('(').or_else(|| before.rsplit_once('('))?.1.split(')').next()?;
            let word = word.split(|c: char| !c.is_ascii_alphabetic()).next()?;
            Some((name.to_owned(), of_word(word)?))
        }
        Format::Libtest => {
            let (name, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
            Some((name.to_owned(), of_word(word.split(',').next()?)?))
        }
        Format::Lines => {
            let (word, name) = line.split_once(' ')?;
            Some((name.to_owned(), of_word(word).filter(|_| word.chars().all(|c| c.is_ascii_uppercase()))?))
        }
    }
}

fn of_word(word: &str) -> Option<Outcome> {
    match word {
        "PASS" | "PASSED" | "XPASS" | "ok" => Some(Outcome::Passed),
        "SKIP" | "SKIPPED" | "skipped" | "ignored" => Some(Outcome::Skipped),
        "FAIL" | "FAILED" | "ERROR" | "XFAIL" | "expected" | "unexpected" => Some(Outcome::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runner_is_understood() {
        let check = |format, text: &str, expected: &[(&str, Outcome)]| {
            let (version, outcomes) = read(format, &format!("# version 1\n{text}")).unwrap();
            let expected: Outcomes = expected.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect();
            assert_eq!((version.as_str(), outcomes), ("1", expected), "{text}");
        };
        use Outcome::{Failed, Passed, Skipped};
        check(
            Format::Go,
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestA/x (1.00s)\n--- SKIP: TestB (0.00s)",
            &[("TestA", Passed), ("TestA/x", Failed), ("TestB", Skipped)],
        );
        check(
            Format::Pytest,
            "t/a.py::T::test_x PASSED  [  1%]\nt/a.py::test_y[a b] FAILED [ 2%]\nt/a.py::z SKIPPED (no) [ 3%]",
            &[("t/a.py::T::test_x", Passed), ("t/a.py::test_y[a b]", Failed), ("t/a.py::z", Skipped)],
        );
        check(
            Format::Unittest,
            "test_a (m.T.test_a)\nWhat it is. ... ok\ntest_b (m.T.test_b) ... skipped 'no'\ntest_c (m.T.test_c) ... ERROR",
            &[("m.T.test_a", Passed), ("m.T.test_b", Skipped), ("m.T.test_c", Failed)],
        );
        check(
            Format::Libtest,
            "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, slow",
            &[("a::b", Passed), ("c", Failed), ("d", Skipped)],
        );
        check(Format::Lines, "PASS a b\nFAIL c\nok d\nPASS c", &[("a b", Passed), ("c", Failed)]);
    }

    #[test]
    fn a_run_that_says_nothing_is_an_error() {
        for text in ["", "# version 1\n", "# version 1\nFAIL a", "PASS a"] {
            assert!(read(Format::Lines, text).is_err(), "{text}");
        }
    }
}
