//! SUITES.md: one line for each suite, with its version and how many of its tests pass directly and through the gate.
//!
//! Invariant: it says what was run. `WEIR_BLESS=1` writes the lines of those that ran and keeps the others'. Another number than the
//! table's is told and is no fault: what counts are the differences, and suites have tests that depend on the day.

use std::collections::BTreeMap;
use std::{env, fs};

use super::suite::{SUITES, Sharing, Suite};
use crate::drivers::kit;

pub struct Row {
    pub suite: Suite,
    pub version: String,
    /// Those that the two runs on MySQL told alike.
    pub tests: usize,
    pub direct: usize,
    pub gate: usize,
    pub accepted: usize,
    pub fickle: usize,
}

/// Writes the table when asked to, or tells where it says something else.
pub fn note(rows: &[Row]) -> Vec<String> {
    let file = kit::drivers().join("SUITES.md");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut lines: BTreeMap<String, String> =
        text.lines().filter_map(|line| Some((name(line)?, line.to_owned()))).collect();
    if env::var_os("WEIR_BLESS").is_some() {
        lines.extend(rows.iter().map(|row| (row.suite.name.to_owned(), line(row))));
        let body: String = SUITES.iter().filter_map(|suite| lines.get(suite.name)).map(|l| format!("{l}\n")).collect();
        let written = fs::write(&file, format!("{HEAD}{body}"));
        return written.err().map(|error| format!("{}: {error}", file.display())).into_iter().collect();
    }
    let others = rows.iter().filter(|row| lines.get(row.suite.name) != Some(&line(row)));
    others.map(|row| format!("SUITES.md says otherwise (WEIR_BLESS=1 writes it anew):\n{}", line(row))).collect()
}

pub fn line(row: &Row) -> String {
    let Row { suite, version, tests, direct, gate, accepted, fickle } = row;
    let sharing = match suite.sharing {
        Sharing::Worst => "2 connections, noise".to_owned(),
        Sharing::Noisy(connections, why) => format!("{connections} connections, noise: {why}"),
        Sharing::Alone(connections, why) => format!("{connections} connections, no noise: {why}"),
    };
    format!("| {} | {version} | {tests} | {direct} | {gate} | {accepted} | {fickle} | {sharing} |", suite.name)
}

fn name(line: &str) -> Option<String> {
    let name = line.strip_prefix("| ")?.split(" | ").next()?.trim();
    (name != "suite").then(|| name.to_owned())
}

const HEAD: &str = "\
# The drivers' own test suites

Written by `WEIR_BLESS=1 cargo run -p weir-tests --example suites` (with names: those only). Each suite runs on MySQL directly, twice, and through a gate; tests are
compared by name. *Fickle* tests ended differently in the two direct runs and are not judged. Tests that fail directly too mostly want another server, another
configuration or another account; they count as tests. What may differ stands in `suites/accepted.txt`, with its reason.

| suite | version | tests | pass directly | pass through Weir | accepted | fickle | sharing |
|---|---|---|---|---|---|---|---|
";
