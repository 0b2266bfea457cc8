//! The manual pages: one for each command, made from its flags, and weir.toml(5), made from the table of settings.
//!
//! Invariant: nothing in a page is written twice; `docs/man` holds them as they are made here, and a test compares.

use crate::config::keys::heading;
use crate::config::reference::{Setting, settings};
use clap_mangen::Man;
use std::fmt::Write;
use std::path::Path;

/// File name and text of every page.
pub fn all() -> Vec<(String, String)> {
    let mut command = super::command();
    command.build();
    let mut pages = Vec::new();
    of_command(&command, "weir", &mut pages);
    pages.push(("weir.toml.5".to_string(), of_settings()));
    pages
}

/// Prints one page (`weir-gate`, with or without its section), or writes all of them into a folder.
pub fn show(page: &str, dir: Option<&Path>) -> Result<(), String> {
    let pages = all();
    if let Some(dir) = dir {
        std::fs::create_dir_all(dir).map_err(|error| format!("{} cannot be made: {error}", dir.display()))?;
        for (name, text) in pages {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        return Ok(());
    }
    let is_it = |name: &str| name == page || name.rsplit_once('.').is_some_and(|(bare, _)| bare == page);
    match pages.iter().find(|(name, _)| is_it(name)) {
        Some((_, text)) => {
            print!("{text}");
            Ok(())
        }
        None => {
            let known: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!("there is no page {page}, only {}", known.join(", ")))
        }
    }
}

fn of_command(command: &clap::Command, name: &str, pages: &mut Vec<(String, String)>) {
    let mut out = Vec::new();
    // Into memory: nothing can fail.
    let _ = Man::new(command.clone()).title(name.to_string()).manual("Weir").render(&mut out);
    pages.push((format!("{name}.1"), String::from_utf8_lossy(&out).into_owned()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        of_command(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

fn of_settings() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        ".TH weir.toml 5 \"\" \"weir {version}\" \"Weir\"\n.SH NAME\nweir.toml \\- configuration of weir gate, weir tablet and \
         weir controller\n.SH DESCRIPTION\nTOML, one file for each program, named with \\fB\\-\\-config\\fR. Flags are stronger than \
         the environment (WEIR_LOG, WEIR_MONITOR_PASSWORD), the environment is stronger than the file. Relative paths are \
         relative to the file. \\fB\\-\\-check\\-config\\fR tells every mistake with its line and starts nothing.\n"
    );
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            let _ = writeln!(out, ".SH \"{} ({})\"", heading(section), setting.program);
        }
        put_setting(&mut out, &setting);
    }
    out.push_str(".SH SEE ALSO\n.BR weir\\-gate (1),\n.BR weir\\-tablet (1),\n.BR weir\\-controller (1)\n");
    out
}

fn put_setting(out: &mut String, setting: &Setting) {
    let Setting { name, kind, unit, default, range, changes, meaning, .. } = setting;
    let mut facts = kind.to_string();
    for (word, fact) in [("", range.as_str()), ("", unit), ("default ", default)] {
        if !fact.is_empty() {
            let _ = write!(facts, "; {word}{fact}");
        }
    }
    if *changes != "at the start" {
        let _ = write!(facts, "; while running: {changes}");
    }
    let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}\n.br\n{}.", escaped(name), escaped(meaning), escaped(&facts));
}

/// A text's own backslashes, hyphens, and a dot or quote that would begin a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
