//! The table of rules: which tests on real MySQL cover each, and whether its sessions share their connections or pin them.
//!
//! ```text
//!   rules.txt ─► titles     corpus/*.txt ─► sessions, what their statements pin     tests/*.rs ─► named tests     ─► RULES.md
//! ```
//! Invariant: nothing in the table is written by hand; a rule without a test on real MySQL is a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use weir_core::session::pins::{Reasons, of_plan};
use weir_planner::Facts;

use crate::real::script::{Command, Session};
use crate::real::suite;

/// What is known of one rule.
#[derive(Debug, Default)]
struct Rule {
    title: String,
    sessions: Vec<String>,
    shared: usize,
    /// By what their statements pin: how many sessions.
    pinned: BTreeMap<&'static str, usize>,
    /// Sessions that may differ, and why.
    accepted: Vec<(String, String)>,
    tests: BTreeSet<String>,
}

/// Files of tests that need no MySQL.
const WITHOUT_SERVER: [&str; 4] = ["sim.rs", "moves.rs", "tidy.rs", "instructions.rs"];

/// The table as Markdown.
///
/// # Errors
/// If a rule has no test, or a test names a rule that does not exist.
pub fn table() -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rules = titles(&read(&root.join("rules.txt"))?);
    let accepted = accepted(&read(&root.join("accepted.txt"))?);
    for session in suite::corpus() {
        count(&mut rules, &session, &accepted);
    }
    let mut files = Vec::new();
    rust_files(&root.join("tests"), &mut files);
    for path in files {
        let name = path.strip_prefix(root.join("tests")).unwrap_or(&path).display().to_string();
        if !WITHOUT_SERVER.contains(&name.as_str()) {
            named_tests(&mut rules, &name, &read(&path)?);
        }
    }
    let bare: Vec<&str> = (rules.iter())
        .filter(|(_, rule)| rule.sessions.is_empty() && rule.tests.is_empty())
        .map(|(number, _)| number.as_str())
        .collect();
    if !bare.is_empty() {
        return Err(format!("no test on real MySQL names {}", bare.join(", ")));
    }
    Ok(shown(&rules))
}

fn titles(text: &str) -> BTreeMap<String, Rule> {
    let lines = text.lines().filter_map(|line| line.split_once(" | ").filter(|_| !line.starts_with('#')));
    lines.map(|(number, title)| (number.to_owned(), Rule { title: title.to_owned(), ..Rule::default() })).collect()
}

fn accepted(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut parts = line.splitn(3, " | ");
            let (name, _modes, reason) = (parts.next()?, parts.next()?, parts.next()?);
            Some((name.to_owned(), reason.to_owned()))
        })
        .collect()
}

fn count(rules: &mut BTreeMap<String, Rule>, session: &Session, accepted: &BTreeMap<String, String>) {
    let pins = pins_of(session);
    for number in &session.rules {
        let Some(rule) = rules.get_mut(number) else { continue };
        rule.sessions.push(session.name.clone());
        rule.shared += usize::from(pins.is_empty());
        pins.words().for_each(|word| *rule.pinned.entry(word).or_default() += 1);
        if let Some(reason) = accepted.get(&session.name) {
            rule.accepted.push((session.name.clone(), reason.clone()));
        }
    }
}

/// What its statements pin until it is gone: what ends with the next statement, or travels when others wait, is not in it.
fn pins_of(session: &Session) -> Reasons {
    const TRAVELS: Reasons = Reasons(Reasons::SOFT.0 | Reasons::USER_VARIABLE.0);
    let texts = session.steps.iter().filter_map(|step| match &step.command {
        Command::Query(text) | Command::With(_, text) => Some(text),
        _ => None,
    });
    // What is filled in when it runs: the database's name and ids.
    let filled = texts.map(|text| String::from_utf8_lossy(text).replace("${db}", "w1").replace("${id}", "1"));
    let plans = filled.map(|text| weir_planner::plan(text.as_bytes(), &Facts::default()));
    let all = plans.fold(Reasons::default(), |all, plan| Reasons(all.0 | of_plan(&plan).0));
    all.without(TRAVELS)
}

/// Tests whose comment names rules by number, one by one.
fn named_tests(rules: &mut BTreeMap<String, Rule>, file: &str, text: &str) {
    let mut comment = String::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = rest.split('(').next().unwrap_or_default();
            for number in numbers(&comment) {
                if let Some(rule) = rules.get_mut(number) {
                    rule.tests.insert(format!("{}: {name}", file.trim_end_matches(".rs")));
                }
            }
            (comment, is_test) = (String::new(), false);
        } else {
            (comment, is_test) = (String::new(), false);
        }
    }
}

/// `S20, S21:` but not the ends of `S20 to S51`, which say nothing of any.
fn numbers(comment: &str) -> impl Iterator<Item = &str> {
    let words: Vec<&str> = comment.split_whitespace().collect();
    let is_range = |at: usize| words.get(at + 1) == Some(&"to") || (at > 0 && words.get(at - 1) == Some(&"to"));
    let kept: Vec<&str> = (0..words.len()).filter(|at| !is_range(*at)).map(|at| words[at]).collect();
    kept.into_iter().map(|word| word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()))
}

fn shown(rules: &BTreeMap<String, Rule>) -> String {
    let mut text = String::from(
        "# Rules, and what covers them on real MySQL\n\n\
         Made by `WEIR_BLESS=1 cargo test -p weir-tests --test tidy`; CI compares it. Sessions are those of `tests/corpus`: each runs directly and\n\
         through a gate, with connections for all, with two connections and noise between all steps, and every packet is compared. \"Shared\" are\n\
         sessions none of whose statements pins their connection beyond the next statement; the others pin it for the reasons named. What may differ is in\n\
         `tests/accepted.txt`.\n\n\
         | rule | | sessions | shared | pinned by | may differ | tests of their own |\n|---|---|---|---|---|---|---|\n",
    );
    for (number, rule) in rules {
        let pinned: Vec<String> = rule.pinned.iter().map(|(word, count)| format!("{word} ({count})")).collect();
        let accepted: Vec<&str> = rule.accepted.iter().map(|(name, _)| name.as_str()).collect();
        let tests: Vec<&str> = rule.tests.iter().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "| {number} | {} | {} | {} | {} | {} | {} |",
            rule.title,
            rule.sessions.len(),
            rule.shared,
            pinned.join("; "),
            accepted.join(", "),
            tests.join("; ")
        );
    }
    text
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_name_no_rule() {
        assert!(numbers("S20 to S51: with connections").all(|word| !word.starts_with('S')));
        let named: Vec<&str> = numbers("S41, S73: a client").filter(|word| word.starts_with('S')).collect();
        assert_eq!(named, ["S41", "S73"]);
    }

    #[test]
    fn tests_are_found_by_their_comments() {
        let mut rules = titles("S08 | hints\nS09 | none\n");
        let text = "/// S08: a hint.\n#[test]\nfn hints() {}\n/// S09\nfn helper() {}\n";
        named_tests(&mut rules, "x.rs", text);
        assert!(rules["S08"].tests.contains("x: hints") && rules["S09"].tests.is_empty());
    }
}
