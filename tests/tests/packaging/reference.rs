//! `docs/reference.md` and `docs/man`: made from the program's tables, and held against them here. `WEIR_BLESS=1` writes both.

use crate::place::{WEIR, folder, root, run, text};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use weir_control::cli::pages;
use weir_control::config::keys::heading;
use weir_control::config::reference::{Setting, settings};

#[test]
fn the_reference_is_what_the_program_knows() {
    hold(&root().join("docs/reference.md"), &reference());
}

#[test]
fn the_manual_pages_are_what_the_program_knows() {
    let dir = root().join("docs/man");
    for (name, page) in pages::all() {
        hold(&dir.join(name), &page);
    }
    let known: BTreeSet<String> = pages::all().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(&dir).expect("docs/man").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(known.contains(&name), "docs/man/{name} is of a command that is gone: delete it");
    }
}

/// `man` itself finds no fault in them, and shows what they say.
#[test]
fn the_manual_pages_are_good_pages() {
    let dir = folder("man");
    let output = run(Command::new(WEIR).args(["man", "--dir"]).arg(&dir));
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (name, says) in [
        ("weir.1", "Exit codes"),
        ("weir-gate.1", "--check-config"),
        ("weir-ctl-switchover.1", "--drain-timeout"),
        ("weir.toml.5", "connections_per_backend_max"),
    ] {
        let shown = run(Command::new("man")
            .args(["--warnings", "-l", "-P", "cat"])
            .arg(dir.join(name))
            .env("MANROFFOPT", "-rHY=0")
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "160"));
        let (page, faults) = (text(&shown.stdout), text(&shown.stderr));
        // Overstrikes and the hyphens that a terminal shows as other characters.
        let page: String = page.replace(['\u{2010}', '\u{2212}'], "-");
        assert!(shown.status.success() && faults.is_empty(), "{name}: {faults} (man-db and groff-base are needed)");
        assert!(page.contains(says), "{name} does not say {says}:\n{page}");
    }
    let unknown = run(Command::new(WEIR).args(["man", "weir-gaet"]));
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("there is no page weir-gaet, only weir.1"), "{}", text(&unknown.stderr));
}

/// bash completes a command and a flag; the others' scripts name them.
#[test]
fn shells_complete_commands_and_flags() {
    let dir = folder("completion");
    for (shell, says) in [("zsh", "--check-config"), ("fish", "check-config"), ("bash", "--check-config")] {
        let output = run(Command::new(WEIR).args(["completion", shell]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(says), "{shell} does not know {says}");
        fs::write(dir.join(shell), &output.stdout).expect("a file");
    }
    let asks = |words: &str, at: usize| {
        let script = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD={at}; _weir weir \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at}-1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            dir.join("bash").display()
        );
        text(&run(Command::new("bash").args(["--norc", "-c", &script])).stdout)
    };
    assert_eq!(asks("weir ga", 1).trim(), "gate");
    assert_eq!(asks("weir gate --check", 2).trim(), "--check-config");
    assert!(asks("weir ctl swi", 2).trim() == "switchover", "{}", asks("weir ctl swi", 2));
}

fn hold(path: &Path, wanted: &str) {
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(path, wanted).expect("the file");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let bless = "WEIR_BLESS=1 cargo test -p weir-tests --test packaging reference";
    assert!(found == wanted, "{} is stale; write it with\n  {bless}", path.display());
}

fn reference() -> String {
    let mut out = String::from(
        "# Settings\n\nMade from the program's own tables (`WEIR_BLESS=1 cargo test -p weir-tests --test packaging reference` writes it). \
         One TOML file for each\nprogram, named with `--config`; relative paths in it are relative to the file. Flags (`weir gate --help`, \
         `docs/man`) are stronger than the\nenvironment, the environment is stronger than the file. `--check-config` tells every mistake \
         with its line and starts nothing;\n`--print-config` shows what holds.\n\n| variable | program | what it is |\n|---|---|---|\n\
         | `WEIR_MONITOR_PASSWORD` | gate, tablet | the password of the account that looks at servers |\n\
         | `WEIR_LOG` | all | as `level` in `[log]` and `log` of tablet and controller |\n\n\
         \"Changes\" says what holds without a restart; `SET GLOBAL` is for `admin_users` and lasts until the gate restarts.\n",
    );
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            let brackets = heading(section);
            let program = setting.program;
            let _ = write!(
                out,
                "\n## `{brackets}` of `weir {program}`\n\n| setting | type | unit | default | range | changes | meaning |\n\
                 |---|---|---|---|---|---|---|\n"
            );
        }
        let Setting { name, kind, unit, default, range, changes, meaning, .. } = setting;
        let default =
            if default.starts_with(|c: char| "\"[0123456789tf".contains(c)) { format!("`{default}`") } else { default };
        let cells =
            [format!("`{name}`"), kind.to_string(), unit.to_string(), default, range, changes.to_string(), meaning];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}
