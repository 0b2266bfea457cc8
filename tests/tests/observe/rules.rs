//! The alert rules: right, explained, and each shown to fire and to rest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::lists::{exported, named};
use super::prometheus::Watched;
use super::scene::{folder, root, run, until};

pub fn file() -> PathBuf {
    root().join("packaging/prometheus/weir.rules.yml")
}

/// Of each alert: what stands behind these words, in the file's order.
fn each(text: &str, words: &str) -> Vec<String> {
    let begins =
        |line: &str| line.trim_start().strip_prefix(words).map(|rest| rest.trim().trim_matches('\'').to_owned());
    text.lines().filter_map(begins).collect()
}

fn promtool(args: &[&str]) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(file().parent().expect("a folder"));
    let output = run(command, Duration::from_secs(120));
    (output.status.success(), output.stdout + &output.stderr)
}

#[test]
fn promtool_takes_the_rules_and_sees_each_fire_and_rest() {
    let (is_right, said) = promtool(&["check", "rules", "weir.rules.yml"]);
    assert!(is_right && said.contains("SUCCESS"), "{said}");
    let (is_right, said) = promtool(&["test", "rules", "weir.test.yml"]);
    assert!(is_right, "{said}");
    // A rule that never fires is found by the same test.
    let dir = folder("rules");
    let rules = std::fs::read_to_string(file()).expect("the rules");
    let broken = rules.replace("weir_primary_available == 0", "weir_primary_available == 2");
    assert!(broken != rules);
    std::fs::write(dir.join("weir.rules.yml"), broken).expect("a file");
    let tests = file().with_file_name("weir.test.yml");
    std::fs::copy(&tests, dir.join("weir.test.yml")).expect("a file");
    let (is_right, said) = promtool(&["test", "rules", &dir.join("weir.test.yml").display().to_string()]);
    assert!(!is_right && said.contains("WeirNoPrimary"), "{said}");

    let tests = std::fs::read_to_string(tests).expect("the tests");
    let cases: BTreeSet<String> = each(&tests, "- name: ").into_iter().collect();
    for alert in each(&rules, "- alert: ") {
        for kind in ["fires", "rests"] {
            assert!(cases.contains(&format!("{alert} {kind}")), "nobody shows that {alert} {kind}");
        }
    }
}

#[test]
fn each_alert_is_explained_and_names_what_is_exported() {
    let rules = std::fs::read_to_string(file()).expect("the rules");
    let alerts = each(&rules, "- alert: ");
    assert!(alerts.len() > 30, "{alerts:?}");
    let exported = exported(Watched::get());
    for expression in each(&rules, "expr: ") {
        for name in named(&expression, &exported) {
            assert!(exported.contains_key(&name), "nobody exports {name} of {expression}");
        }
    }
    let guide = std::fs::read_to_string(root().join("docs/guide/troubleshoot.md")).expect("the page");
    for words in ["summary: ", "description: ", "severity: ", "expr: "] {
        let texts = each(&rules, words);
        assert_eq!((texts.len(), texts.iter().all(|text| !text.is_empty())), (alerts.len(), true), "{words}");
    }
    for (alert, runbook) in alerts.iter().zip(each(&rules, "runbook: ")) {
        assert_eq!(runbook, format!("docs/guide/troubleshoot.md, {alert}"));
        assert!(guide.lines().any(|line| line.starts_with(&format!("| {alert} |"))), "{alert} is not in the guide");
    }
}

/// The Prometheus of these tests has loaded the rules, and nothing is wrong with a cluster that is well.
#[test]
fn nothing_is_alarmed_while_all_is_well() {
    let watched = Watched::get();
    until("the rules are evaluated", Duration::from_secs(20), || watched.number("count(weir_ready)").map(drop));
    let critical =
        watched.query("ALERTS{severity=\"critical\", alertstate=\"firing\"}").unwrap_or_else(|why| panic!("{why}"));
    assert!(critical.is_empty(), "{critical:?}");
}
