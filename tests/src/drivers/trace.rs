//! A trace: what a script printed, by steps, and how two of them differ.
//!
//! Invariant: every line counts. `== name` begins a step, `# version 1.2` tells the driver's, and `!` at the start of a line is a
//! script's own word that something went wrong which must not: that fails on MySQL itself too, so no broken script is equal to itself.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::limits;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    pub version: String,
    pub steps: Vec<Step>,
}

impl Trace {
    /// Reads what a script printed to its end.
    pub fn read(text: &str) -> Result<Trace, String> {
        let mut trace = Trace::default();
        for line in text.lines() {
            if let Some(version) = line.strip_prefix("# version ") {
                trace.version = version.trim().to_owned();
            } else if let Some(name) = line.strip_prefix("== ") {
                if trace.steps.iter().any(|step| step.name == name) {
                    return Err(format!("there are two steps called {name}"));
                }
                trace.steps.push(Step { name: name.to_owned(), lines: Vec::new() });
            } else {
                let step = trace.steps.last_mut().ok_or_else(|| format!("before the first step: {line}"))?;
                step.lines.push(line.to_owned());
            }
        }
        if trace.version.is_empty() {
            return Err("it does not say the driver's version".to_owned());
        }
        match trace.steps.pop() {
            Some(end) if end.name == "end" && end.lines.is_empty() => Ok(trace),
            Some(other) => Err(format!("it ended in step {}: {}", other.name, other.lines.join("; "))),
            None => Err("it printed nothing".to_owned()),
        }
    }

    /// What the script itself says went wrong, and steps that saw nothing.
    pub fn faults(&self) -> Vec<String> {
        let said = |step: &Step| match step.lines.iter().find(|line| line.starts_with('!')) {
            Some(line) => Some(format!("{}: {line}", step.name)),
            None if step.lines.is_empty() => Some(format!("{}: it printed nothing", step.name)),
            None => None,
        };
        self.steps.iter().filter_map(said).collect()
    }
}

/// Steps that differ, each with words. A step that one side lacks differs.
pub fn differences(direct: &Trace, gate: &Trace) -> Vec<(String, String)> {
    let find =
        |trace: &Trace, name: &str| trace.steps.iter().find(|step| step.name == name).map(|step| step.lines.clone());
    let mut names: Vec<&str> = direct.steps.iter().map(|step| step.name.as_str()).collect();
    names.extend(gate.steps.iter().map(|step| step.name.as_str()).filter(|name| find(direct, name).is_none()));
    let differ = |name: &&str| {
        let (expected, got) = (find(direct, name), find(gate, name));
        (expected != got).then(|| (name.to_string(), words(&expected.unwrap_or_default(), &got.unwrap_or_default())))
    };
    names.iter().filter_map(differ).collect()
}

fn words(expected: &[String], got: &[String]) -> String {
    let at = expected.iter().zip(got).take_while(|(expected, got)| expected == got).count();
    let cut = |line: &String| line.chars().take(limits::SHOWN_LETTERS_MAX).collect::<String>();
    let show = |lines: &[String]| {
        lines.iter().skip(at).take(limits::SHOWN_LINES_MAX).map(cut).collect::<Vec<_>>().join("\n        ")
    };
    let mut text = String::new();
    let _ = writeln!(text, "    from line {} on ({} directly, {} through the gate)", at + 1, expected.len(), got.len());
    let _ = writeln!(text, "    MySQL: {}", show(expected));
    let _ = write!(text, "    gate:  {}", show(got));
    text
}

/// Steps that may differ: `client | step | reason`.
#[derive(Debug, Default)]
pub struct Accepted(Vec<(String, String)>);

impl Accepted {
    /// # Panics
    /// If the file cannot be read or has a mistake.
    pub fn read(file: &Path) -> Accepted {
        let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let line = |line: &str| {
            let parts: Vec<&str> = line.splitn(3, " | ").collect();
            let [client, step, reason] = parts[..] else { panic!("`{line}` is not `client | step | reason`") };
            assert!(reason.len() > 20, "{client}, {step}: that needs a reason");
            (client.to_owned(), step.to_owned())
        };
        Accepted(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(line).collect())
    }

    pub fn holds(&self, client: &str, step: &str) -> bool {
        self.0.iter().any(|(one, other)| one == client && other == step)
    }

    /// Lines that name no client, or no step of one that ran.
    pub fn stray(&self, clients: &[&str], ran: &[(&str, &Trace)]) -> Vec<String> {
        let is_known = |(client, step): &&(String, String)| match ran.iter().find(|(name, _)| name == client) {
            Some((_, trace)) => trace.steps.iter().any(|one| one.name == *step),
            None => clients.contains(&client.as_str()),
        };
        let stray = self.0.iter().filter(|line| !is_known(line));
        stray.map(|(client, step)| format!("accepted.txt: {client} has no step {step}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(text: &str) -> Trace {
        Trace::read(&format!("# version 1\n{text}\n== end\n")).unwrap()
    }

    #[test]
    fn each_difference_is_found() {
        let one = trace("== a\n1\n2\n== b\n3");
        let check = |other: &str, expected: &[&str]| {
            let found = differences(&one, &trace(other));
            assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected, "{other}");
        };
        check("== a\n1\n2\n== b\n3", &[]);
        check("== a\n1\n3\n== b\n3", &["a"]);
        check("== a\n1\n2\n4\n== b\n", &["a", "b"]);
        check("== a\n1\n2", &["b"]);
        check("== a\n1\n2\n== b\n3\n== c\n1", &["c"]);
    }

    #[test]
    fn a_trace_that_ends_early_or_says_nothing_is_a_fault() {
        for text in ["", "# version 1\n== a\n1\n", "== a\n1\n== end\n", "x\n", "# version 1\n== a\n== a\n== end\n"] {
            assert!(Trace::read(text).is_err(), "{text}");
        }
        assert_eq!(trace("== a\n! boom").faults(), ["a: ! boom"]);
        assert_eq!(trace("== a").faults(), ["a: it printed nothing"]);
        assert!(trace("== a\n1").faults().is_empty());
    }
}
