//! House rules as a test: module docs, sizes of files and functions, arrows between crates, banned calls.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: &[&str] = &["net", "planner", "pool", "core", "control", "perf", "tests"];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Tables of data, which no wall makes shorter.
const TABLES: &[&str] = &["planner/src/functions/names.rs", "core/src/session/refuse.rs"];

/// What may not be called where, and what to do instead.
const BANNED: &[(&[&str], &str, &str)] = &[
    (&["net", "planner", "pool"], "Instant::now", "time is an argument"),
    (&["net", "planner", "pool"], "SystemTime", "time is an argument"),
    (&["net", "planner", "pool"], "std::thread", "leaves have no threads"),
    (&["net", "planner", "pool"], "std::env", "leaves have no environment"),
    (&["net", "planner", "pool", "core", "control", "perf"], "todo!(", "finish it, or leave it out and say so"),
    (
        &["net", "planner", "pool", "core", "control", "perf"],
        "unimplemented!(",
        "finish it, or leave it out and say so",
    ),
    (&["net", "planner", "pool", "core"], "println!(", "the control thread logs; a core posts"),
    (&["net", "planner", "pool", "core", "control", "perf", "tests"], "#[ignore", "a test runs or does not exist"),
];

/// Which crates each crate may name.
const ARROWS: &[(&str, &[&str])] =
    &[("net", &[]), ("planner", &[]), ("pool", &[]), ("core", &["weir-net", "weir-planner", "weir-pool"])];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn each_source(mut check: impl FnMut(&str, &Path, &str)) {
    for name in CRATES {
        let mut found = Vec::new();
        sources(&root().join(name), &mut found);
        for path in found {
            let text = fs::read_to_string(&path).expect("a readable source");
            check(name, path.strip_prefix(root()).expect("inside"), &text);
        }
    }
}

/// True when a line has this call, and not one whose name only ends like it (`eprintln!`, the last word of a core that falls).
fn calls(line: &str, call: &str) -> bool {
    line.match_indices(call)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests") || path.components().any(|c| c.as_os_str() == "tests")
}

/// Lines before the unit tests.
fn body(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

#[test]
fn every_file_says_what_it_owns() {
    let mut faults = Vec::new();
    each_source(|_, path, text| {
        if !is_test_file(path) && !text.starts_with("//! ") {
            faults.push(format!("{}: opens with no module doc", path.display()));
        }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_and_functions_have_a_wall() {
    let mut faults = Vec::new();
    each_source(|_, path, text| {
        if is_test_file(path) || TABLES.iter().any(|table| path == Path::new(table)) {
            return;
        }
        let body = body(text);
        let lines = body.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, the wall is {FILE_LINES_MAX}", path.display()));
        }
        let mut open: Option<(usize, usize, &str)> = None;
        for (n, line) in body.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "const fn ",
                "pub const fn ",
            ]
            .iter()
            .any(|start| head.starts_with(start));
            if open.is_none() && starts && !head.ends_with(';') {
                open = Some((n, indent, head));
            }
            let Some((from, depth, head)) = open else { continue };
            if line.trim_end() == format!("{}}}", " ".repeat(depth)) || (n == from && head.ends_with('}')) {
                if n - from + 1 > FUNCTION_LINES_MAX {
                    faults.push(format!("{}:{}: {} lines: {head}", path.display(), from + 1, n - from + 1));
                }
                open = None;
            }
        }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_banned_is_called() {
    let mut faults = Vec::new();
    each_source(|name, path, text| {
        if path.ends_with("tests/tests/tidy.rs") {
            return;
        }
        for (crates, call, instead) in BANNED {
            // A test's child process tells its parent by its output.
            let is_childs_voice = *call == "println!(" && is_test_file(path);
            if crates.contains(&name) && !is_childs_voice {
                for (n, line) in text.lines().enumerate() {
                    if calls(line, call) && !line.trim_start().starts_with("//") {
                        faults.push(format!("{}:{}: {call}: {instead}", path.display(), n + 1));
                    }
                }
            }
        }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn arrows_point_where_they_may() {
    for (name, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        for line in manifest.lines().filter(|l| l.starts_with("weir-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&dependency), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn sockets_live_in_the_driver_alone() {
    let mut faults = Vec::new();
    each_source(|name, path, text| {
        let driver = path.starts_with("core/src/drive") || path.ends_with("core/src/drive.rs");
        if name == "core"
            && !driver
            && (text.contains("io_uring::") || text.contains("glommio::") || text.contains("libc::"))
        {
            faults.push(path.display().to_string());
        }
    });
    assert!(faults.is_empty(), "sockets outside of core/src/drive: {faults:?}");
}

/// Each rule has a test on real MySQL, and the table that says so is the one that is checked in.
#[test]
fn the_table_of_rules_is_true() {
    let table = weir_tests::rules::table().unwrap_or_else(|why| panic!("{why}"));
    let file = root().join("tests/RULES.md");
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&file, &table).expect("the file can be written");
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    assert!(known == table, "{} is not what the tests say: WEIR_BLESS=1 writes it", file.display());
}
