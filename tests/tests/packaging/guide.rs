//! The guide and SECURITY.md: every setting that they name exists, every file that they point to is there, every command line is one,
//! and every error that the gate itself says stands on the page for troubles, by number and by words.

use crate::place::{WEIR, root, run, text};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use weir_control::config::reference::settings;
use weir_core::stats::Counters;

fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("SECURITY.md"), root().join("packaging/container/README.md")];
    paths.extend(fs::read_dir(root().join("docs/guide")).expect("docs/guide").flatten().map(|entry| entry.path()));
    assert!(paths.len() > 8, "the guide is not there");
    let name = |path: &std::path::Path| path.strip_prefix(root()).expect("inside").display().to_string();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("a page"))).collect()
}

/// What stands between backticks, outside of blocks. Of tables on the page for moving, the first column is others' words.
fn quoted(page: &str, text: &str) -> Vec<String> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
            continue;
        }
        if is_block || line.starts_with("    ") {
            continue;
        }
        let ours = match page.ends_with("migrate.md") && line.starts_with('|') {
            true => line.splitn(3, '|').nth(2).unwrap_or_default(),
            false => line,
        };
        found.extend(ours.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    found
}

#[test]
fn every_setting_that_is_named_exists() {
    let known: BTreeSet<&str> = settings().iter().map(|setting| setting.name).collect();
    let counters: BTreeSet<&str> = Counters::default().each().into_iter().map(|(name, ..)| name).collect();
    let mut named = 0;
    for (page, text) in pages() {
        for word in quoted(&page, &text) {
            let key = word.split(" = ").next().unwrap_or_default();
            let is_assigned = word.contains(" = ") && !word.starts_with("SET ");
            let is_name = key.contains('_') && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if (is_name && !OTHERS.contains(&key) && !counters.contains(key)) || is_assigned {
                assert!(known.contains(key), "{page} names `{word}`, which is no setting (others' words: OTHERS)");
                named += 1;
            }
        }
        let mut section = "";
        for line in
            text.split("```toml").skip(1).flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        {
            if let Some(name) = line.strip_prefix('[') {
                section = settings()
                    .iter()
                    .find(|one| one.section == name.trim_matches(['[', ']']))
                    .map_or("", |one| one.section);
                assert!(!section.is_empty(), "{page}: there is no section {line}");
            } else if let Some((key, _)) = line.split_once(" = ") {
                let is_there = settings().iter().any(|one| (one.section, one.name) == (section, key));
                assert!(is_there, "{page}: [{section}] has no {key}");
                named += 1;
            }
        }
    }
    assert!(named > 80, "only {named} settings are named: the pages are not read as they are written");
    for word in OTHERS {
        assert!(!known.contains(word), "{word} is a setting of ours");
    }
}

#[test]
fn every_file_that_is_pointed_to_is_there() {
    for (page, text) in pages() {
        let folder = root().join(&page).parent().expect("a folder").to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(folder.join(target).exists(), "{page} points to {target}");
        }
        for word in quoted(&page, &text) {
            let is_ours =
                ["packaging/", "tests/", "docs/", ".ci/", "perf/"].iter().any(|start| word.starts_with(start));
            let path = word.split_whitespace().next().unwrap_or_default();
            assert!(!is_ours || root().join(path).exists(), "{page} names {word}");
        }
    }
}

/// Commands in indented blocks: `weir PROGRAM` with these flags is known to the program.
#[test]
fn every_command_line_is_one() {
    let mut seen = 0;
    for (page, text) in pages() {
        for line in text.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with("weir ")) {
            let line = line.split("  ").next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            let commands =
                words.iter().take_while(|word| !word.starts_with('-')).take(if words[0] == "ctl" { 2 } else { 1 });
            let help = run(Command::new(WEIR).args(commands).arg("--help"));
            assert!(help.status.success(), "{page}: {line}");
            let help = self::text(&help.stdout);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag), "{page}: {line}: {flag} is no flag");
            }
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}

/// The rows of `refuse.rs`: code, and the message up to its first changing part.
fn refusals() -> Vec<(String, String)> {
    let source = fs::read_to_string(root().join("core/src/session/refuse.rs")).expect("the source");
    let words = source.split("fn words").nth(1).and_then(|rest| rest.split("fn payload").next()).expect("the table");
    // A state is `b"08S01"`; the code stands before it, the message after it.
    let parts: Vec<&str> = words.split("b\"").collect();
    let mut found = Vec::new();
    for (before, after) in parts.iter().zip(&parts[1..]) {
        let number: String =
            before.trim_end().trim_end_matches(',').chars().rev().take_while(char::is_ascii_digit).collect();
        let code: String = number.chars().rev().collect();
        let message = after.split_once("\",").map_or("", |(_, rest)| rest).split('"').nth(1).unwrap_or_default();
        let fixed = message.split(['{', '\\']).next().unwrap_or_default().trim_end_matches([' ', '(', ':', '\'', '.']);
        let code = if code.is_empty() { "1142".to_owned() } else { code };
        found.push((code, fixed.to_owned()));
    }
    found
}

#[test]
fn every_error_of_the_gate_is_explained() {
    let page = fs::read_to_string(root().join("docs/guide/troubleshoot.md")).expect("the page");
    let all = refusals();
    let codes: BTreeSet<&str> = all.iter().map(|(code, _)| code.as_str()).collect();
    assert!(all.len() > 35 && codes.len() > 25, "the table is not read as it is written: {all:?}");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let mut faults = Vec::new();
    for (code, message) in &all {
        let is_it = |row: &&&str| row.starts_with(&format!("| {code} |")) && row.contains(message.as_str());
        if !rows.iter().any(|row| is_it(&row)) {
            faults.push(format!("no row '| {code} | … {message} …'"));
        }
    }
    assert!(faults.is_empty(), "docs/guide/troubleshoot.md:\n{}", faults.join("\n"));
    let is_code =
        |row: &str| row.split('|').nth(1).map(str::trim).filter(|cell| cell.parse::<u32>().is_ok()).map(str::to_owned);
    for code in rows.iter().filter_map(|row| is_code(row)) {
        assert!(codes.contains(code.as_str()), "the gate no longer says {code}");
    }
}

/// Words with underscores that are not ours: MySQL's, the kernel's, Weir's variables for sessions.
const OTHERS: &[&str] = &[
    "max_connections",
    "session_track_state_change",
    "fully_qualified_table_names",
    "query_regex",
    "query_template",
    "request_ip_regex",
    "user_regex",
    "leading_comment_regex",
    "trailing_comment_regex",
    "bind_var_conds",
    "action_args",
    "max_concurrency",
    "max_queue_size",
    "max_wait_ms",
    "max_ms",
    "certificate_renewed",
    "digest_text",
    "mirror_unfit",
    "mirror_dropped",
    "mirror_failed",
    "mirror_hostgroup",
    "mirror_ms",
    "performance_schema",
    "weir_filter_matched_total",
    "connection_id",
    "audit_log_lines",
    "audit_log_lost",
    "traces_exported",
    "traces_dropped",
    "traces_failed",
    "max_execution_time",
    "max_prepared_stmt_count",
    "caching_sha2_password",
    "mysql_native_password",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "super_read_only",
    "read_after_write_timeout",
    "wait_timeout",
    "verify_ca",
    "verify_identity",
    "weir_certificate_expiry_timestamp_seconds",
];
