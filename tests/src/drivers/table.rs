//! TABLE.md: one line for each client, with its driver's version and how many steps are equal.
//!
//! Invariant: it says what was run; the test fails when it says something else. `WEIR_BLESS=1` writes the lines of those that ran and
//! keeps the others'.

use std::collections::BTreeMap;
use std::{env, fs};

use super::client::{CLIENTS, Client, Set};
use super::kit;

pub struct Row {
    pub client: Client,
    pub version: String,
    /// Steps on MySQL itself.
    pub direct: usize,
    /// Of these, how many may differ through the gate.
    pub accepted: usize,
}

/// What in TABLE.md is not so.
pub fn check(rows: &[Row], asked: &str) -> Vec<String> {
    let file = kit::drivers().join("TABLE.md");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut lines: BTreeMap<String, String> =
        text.lines().filter_map(|line| Some((name(line)?, line.to_owned()))).collect();
    if env::var_os("WEIR_BLESS").is_some() {
        lines.extend(rows.iter().map(|row| (row.client.name.to_owned(), line(row))));
        let known = CLIENTS.iter().filter_map(|client| lines.get(client.name));
        let body: String = known.map(|line| format!("{line}\n")).collect();
        let written = fs::write(&file, format!("{HEAD}{body}"));
        return written.err().map(|error| format!("{}: {error}", file.display())).into_iter().collect();
    }
    let differs = |row: &&Row| {
        let told = lines.get(row.client.name).map(|line| without_version(line, row.client));
        told != Some(without_version(&line(row), row.client))
    };
    let mut faults: Vec<String> =
        rows.iter().filter(differs).map(|row| format!("TABLE.md: it should say\n{}", line(row))).collect();
    let strange = lines.keys().filter(|name| CLIENTS.iter().all(|client| client.name != name.as_str()));
    faults.extend(strange.map(|name| format!("TABLE.md: there is no client {name}")));
    if !faults.is_empty() {
        faults
            .push(format!("WEIR_BLESS=1 WEIR_DRIVERS={asked} cargo test -p weir-tests --test drivers writes it anew"));
    }
    faults
}

fn line(row: &Row) -> String {
    let Row { client, version, direct, accepted } = row;
    let when = if client.set == Set::Usual { "always" } else { "`WEIR_DRIVERS=all`" };
    format!("| {} | {version} | {when} | {direct} | {} | {accepted} |", client.name, direct - accepted)
}

fn name(line: &str) -> Option<String> {
    let name = line.strip_prefix("| ")?.split(" | ").next()?.trim();
    (name != "client").then(|| name.to_owned())
}

/// Drivers of the system's or of Debian's mirror have the version of the day.
fn without_version(line: &str, client: Client) -> String {
    if client.kit.is_pinned() {
        return line.to_owned();
    }
    let cells: Vec<&str> = line.split(" | ").collect();
    cells.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, cell)| *cell).collect::<Vec<_>>().join(" | ")
}

const HEAD: &str = "\
# Real clients

Written by `WEIR_BLESS=1 cargo test -p weir-tests --test drivers`. Each client's script (the folders beside this file) runs on MySQL directly and through a gate with
two connections to each backend (eight for mydumper and gh-ost, which hold several at once) and a noisy second session; a step is equal
when every line that the driver's values gave is. What is accepted stands in `accepted.txt` with its reason.

| client | version | run | steps direct | equal through Weir | accepted |
|---|---|---|---|---|---|
";
