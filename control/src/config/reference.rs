//! The reference of all settings, as a list: what `docs/reference.md`, the man page weir.toml(5) and the tests of the documents
//! are made from.
//!
//! Invariant: a setting's name, default and meaning come from the tables that the readers of files use; what those do
//! not say (ranges and words of tablets and controllers, what changes while running) stands here, and a test
//! gives each border to the reader.

use super::keys::{KEYS, Key, Kind};
use super::{Config, TlsVersion, accounts, controller, mirrors, print, reload, tablet};
use weir_core::audit::AuditKind;

/// One key of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `gate`, `tablet` or `controller`.
    pub program: &'static str,
    pub section: &'static str,
    pub name: &'static str,
    pub kind: &'static str,
    /// Empty for what has none.
    pub unit: &'static str,
    /// As it is typed.
    pub default: String,
    /// Empty for any.
    pub range: String,
    pub changes: String,
    pub meaning: String,
}

/// In the order of the files.
pub fn settings() -> Vec<Setting> {
    // CPU numbers are the machine's; the default is said in words below.
    let usual = Config::defaults(vec![0]);
    let gate = KEYS.iter().map(|key| of_gate(key, &usual));
    let tablet = tablet::KEYS.iter().map(|row| of_section("tablet", row));
    let controller = controller::KEYS.iter().map(|row| of_section("controller", row));
    gate.chain(tablet).chain(controller).collect()
}

fn of_gate(key: &'static Key, usual: &Config) -> Setting {
    let Key { section, name, doc, kind } = key;
    let default = match (*section, *name) {
        ("gate", "cores") => "all that the process may use".to_string(),
        ("mirrors", name) => mirrors::default_of(name).to_string(),
        ("accounts", "require") | ("listeners", "address") => String::new(),
        ("listeners", _) => "as in [gate]".to_string(),
        ("accounts", name) => accounts::described(name).map(|(default, _)| default).unwrap_or_default(),
        ("backends", name) => BACKEND_DEFAULTS.iter().find(|(key, _)| *key == name).map_or("", |(_, v)| v).to_string(),
        _ => print::show(key, usual),
    };
    let (kind, range) = match kind {
        Kind::Number { min, max, .. } => ("whole number", between(*min, *max)),
        Kind::Switch { .. } => ("true or false", String::new()),
        Kind::Word { words, .. } => ("word", listed(words)),
        Kind::Name { .. } => ("text", String::new()),
        Kind::Own => match accounts::described(name).filter(|_| *section == "accounts") {
            Some((_, range)) => ("whole number", range),
            None if *name == "connections_max" => ("whole number", own_range(section, name)),
            None => (kind_of(name, &default), own_range(section, name)),
        },
    };
    setting("gate", section, name, (kind, range), default, doc)
}

fn of_section(program: &'static str, row: &'static (&'static str, &'static str, &'static str)) -> Setting {
    let (name, default, doc) = row;
    let (kind, range) = match (number_range(program, name), words(program, name)) {
        (Some((min, max)), _) => ("whole number", between(min, max)),
        (None, Some(words)) => ("word", listed(words)),
        (None, None) => (kind_of(name, default), String::new()),
    };
    setting(program, program, name, (kind, range), default.to_string(), doc)
}

fn setting(
    program: &'static str,
    section: &'static str,
    name: &'static str,
    (kind, range): (&'static str, String),
    default: String,
    doc: &str,
) -> Setting {
    let (unit, changes) = (unit(name), changes(section, name));
    Setting { program, section, name, kind, unit, default, range, changes, meaning: doc.to_string() }
}

fn between(min: u64, max: u64) -> String {
    format!("{min} to {max}")
}

fn listed(words: &[&str]) -> String {
    words.join(", ")
}

/// By its name and its default.
fn kind_of(name: &str, default: &str) -> &'static str {
    let is_path = PATH_ENDS.iter().any(|end| name.ends_with(end)) && name != "password" || name == "store";
    match default.as_bytes().first() {
        _ if name == "cores" => "number, text or list",
        _ if is_path => "path",
        Some(b'[') => "list of texts",
        Some(b't' | b'f') => "true or false",
        _ if name == "weight" => "whole number",
        _ => "text",
    }
}

/// Units are in the names.
pub fn unit(name: &str) -> &'static str {
    let is = |part: &str| name.split('_').any(|word| word == part);
    match name {
        "leader_s" => "s",
        "read_write_splitting_ratio" => "percent",
        "failovers_per_minute" => "per minute",
        "sample" => "statements",
        _ if is("ms") => "ms",
        _ if is("bytes") => "bytes",
        _ => "",
    }
}

/// The variable by which admins set it while the gate runs.
pub fn global(section: &str, name: &str) -> Option<&'static str> {
    GLOBALS.iter().find(|(of, key, ..)| (*of, *key) == (section, name)).map(|(.., variable, _)| *variable)
}

fn own_range(section: &str, name: &str) -> String {
    match (section, name) {
        ("backends", "weight") => between(0, 10_000),
        ("mirrors", "connections_max") => between(1, mirrors::CONNECTIONS_MAX),
        ("mirrors", "tls") => listed(&mirrors::TLS_WORDS),
        ("backends", "role") => listed(&["primary", "replica"]),
        ("accounts", "require") => "ssl, x509, subject:…, issuer:…; 1,024 accounts at most".to_string(),
        ("listeners", "tls" | "tls_client_auth") => listed(&["off", "optional", "required"]),
        ("listeners", "tls_min_version") => listed(&TlsVersion::WORDS.map(|(word, _)| word)),
        ("gate" | "listeners", "proxy_protocol") => listed(&["off", "required"]),
        ("gate", "compression") => listed(&["zlib", "zstd", "uncompressed"]),
        ("audit_log", "events") => listed(&AuditKind::ALL.map(AuditKind::word)),
        ("gate", "controllers") => "16 addresses at most".to_string(),
        _ => String::new(),
    }
}

/// What a key of a tablet or a controller may be.
pub fn number_range(section: &str, name: &str) -> Option<(u64, u64)> {
    NUMBERS.iter().find(|(of, key, ..)| (*of, *key) == (section, name)).map(|(_, _, min, max)| (*min, *max))
}

pub fn words(section: &str, name: &str) -> Option<&'static [&'static str]> {
    WORDS.iter().find(|(of, key, _)| (*of, *key) == (section, name)).map(|(_, _, words)| *words)
}

fn changes(section: &str, name: &str) -> String {
    if let Some((.., variable, value)) = GLOBALS.iter().find(|(of, key, ..)| (*of, *key) == (section, name)) {
        return format!("reload; SET [GLOBAL] {variable}{value}");
    }
    let known = CHANGES.iter().find(|(of, key, _)| (*of, *key) == (section, name)).map(|(_, _, how)| *how);
    let usual = match matches!(section, "tablet" | "controller") || reload::is_fixed(section, name) {
        true => "at the start",
        false => "reload",
    };
    known.unwrap_or(usual).to_string()
}

const PATH_ENDS: [&str; 8] = ["_file", "_cert", "_key", "_ca", "_dir", "_cache", "file", "permissions"];

const BACKEND_DEFAULTS: [(&str, &str); 6] =
    [("address", ""), ("name", "its address"), ("weight", "100"), ("zone", "\"\""), ("role", ""), ("tablet", "")];

const NUMBERS: [(&str, &str, u64, u64); 11] = [
    ("tablet", "interval_ms", 10, 60_000),
    ("tablet", "timeout_ms", 50, 60_000),
    ("tablet", "weight", 0, 10_000),
    ("controller", "leader_s", 2, 60),
    ("controller", "lease_ms", 500, 600_000),
    ("controller", "failover_detect_ms", 0, 600_000),
    ("controller", "failover_disk_full_ms", 0, 600_000),
    ("controller", "failover_settle_ms", 0, 600_000),
    ("controller", "failover_fence_ms", 0, 600_000),
    ("controller", "failover_catch_up_ms", 0, 600_000),
    ("controller", "failovers_per_minute", 1, 60),
];

const WORDS: [(&str, &str, &[&str]); 6] = [
    ("tablet", "manage", &["auto", "on", "off"]),
    ("tablet", "fence_kill", &["off", "on"]),
    ("tablet", "semi_sync", &["keep", "on", "off"]),
    ("tablet", "log_format", &["text", "json"]),
    ("controller", "failover", &["on", "off"]),
    ("controller", "log_format", &["text", "json"]),
];

/// Keys of `[routing]`, the variable that sets each, and what its value is. `SET GLOBAL` is for `admin_users`, and lasts until the gate
/// restarts.
const GLOBALS: [(&str, &str, &str, &str); 7] = [
    ("routing", "consistency", "read_after_write_consistency", ""),
    ("routing", "read_after_write_ms_max", "read_after_write_timeout", " (seconds)"),
    ("routing", "balance", "read_write_splitting_policy", ""),
    ("routing", "read_write_splitting", "read_write_splitting_policy", " = 'DISABLE'"),
    ("routing", "read_write_splitting_ratio", "read_write_splitting_ratio", ""),
    ("routing", "split_read_only_transactions", "enable_read_write_splitting_for_read_only_txn", ""),
    ("limits", "digest_running_max", "digest_running_max", ""),
];

/// Of certificates of tablets and controllers.
const AGENT_TLS: &str = "the file: at once; another: SIGHUP; on and off: at the start";

/// What else holds without a restart, and by what.
const CHANGES: [(&str, &str, &str); 30] = [
    ("gate", "filters_file", "another: at the start; the file's text: at once"),
    ("audit_log", "file", "reload, which opens it anew"),
    ("gate", "permissions", "reload; the file's text: at once"),
    ("gate", "tls_cert", "reload; the file: at once"),
    ("gate", "tls_key", "reload; the file: at once"),
    ("gate", "tls_dir", "reload; the files: at once"),
    ("gate", "tls_ca", "reload; the file: at once"),
    ("listeners", "tls_cert", "reload; the file: at once"),
    ("listeners", "tls_key", "reload; the file: at once"),
    ("listeners", "tls_ca", "reload; the file: at once"),
    ("gate", "grpc_tls_cert", "the file: at once; another: reload; on and off: at the start"),
    ("gate", "grpc_tls_key", "the file: at once; another: reload; on and off: at the start"),
    ("gate", "grpc_tls_ca", "the file: at once; another: reload; on and off: at the start"),
    ("pool", "backend_tls_ca", "reload; the file: at once"),
    ("query_log", "file", "reload, which opens it anew"),
    ("backends", "address", "reload, without controllers"),
    ("backends", "tablet", "reload, without controllers"),
    ("backends", "name", "reload, without controllers"),
    ("tablet", "permissions", "the file's text: at once"),
    ("tablet", "tls_cert", AGENT_TLS),
    ("tablet", "tls_key", AGENT_TLS),
    ("tablet", "tls_ca", AGENT_TLS),
    ("tablet", "log", "SIGHUP"),
    ("controller", "tls_cert", AGENT_TLS),
    ("controller", "tls_key", AGENT_TLS),
    ("controller", "tls_ca", AGENT_TLS),
    ("controller", "log", "SIGHUP"),
    ("tablet", "zone", "weir ctl set NAME --zone"),
    ("tablet", "weight", "weir ctl set NAME --weight"),
    ("controller", "lease_ms", "of a new cluster only"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GateFlags;
    use crate::config::controller::ControllerFlags;
    use crate::config::tablet::TabletFlags;
    use std::collections::BTreeSet;

    /// The mistakes in a file with these lines.
    fn mistakes(program: &str, text: &str) -> String {
        let name = format!(
            "weir-reference-{}-{:x}.toml",
            std::process::id(),
            text.len() * 31 + text.bytes().map(usize::from).sum::<usize>()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let config = Some(path.clone());
        let found = match program {
            "gate" => crate::config::load(&GateFlags { config, ..GateFlags::default() }, &|_| None).err(),
            "tablet" => tablet::load(&TabletFlags { config, ..TabletFlags::default() }, &|_| None).err(),
            _ => controller::load(&ControllerFlags { config, ..ControllerFlags::default() }, &|_| None).err(),
        };
        std::fs::remove_file(path).unwrap();
        found.map(|found| found.to_string()).unwrap_or_default()
    }

    /// A file with one key beside what every file needs.
    fn file(setting: &Setting, value: &str) -> String {
        let Setting { program, section, name, .. } = setting;
        match *program {
            "gate" if *section == "backends" => format!("[[backends]]\naddress = \"127.0.0.1:1\"\n{name} = {value}\n"),
            "gate" if *section == "listeners" => format!(
                "[[backends]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{name} = {value}\n"
            ),
            "gate" if *section == "accounts" => {
                format!("[[backends]]\naddress = \"127.0.0.1:1\"\n[[accounts]]\nuser = \"app\"\n{name} = {value}\n")
            }
            "gate" if *section == "mirrors" => {
                let others = "name = \"next\"\naddress = \"127.0.0.1:7\"\nuser = \"copies\"\n";
                format!("[[backends]]\naddress = \"127.0.0.1:1\"\n[[mirrors]]\n{others}{name} = {value}\n")
            }
            "gate" => format!("[[backends]]\naddress = \"127.0.0.1:1\"\n[{section}]\n{name} = {value}\n"),
            "tablet" => format!("[tablet]\ncontrollers = \"c:1\"\n{name} = {value}\n"),
            _ => format!("[controller]\n{name} = {value}\n"),
        }
    }

    /// A mistake that is about this key's own range, and not about what it means beside others.
    fn is_refused(setting: &Setting, value: &str) -> bool {
        let said = mistakes(setting.program, &file(setting, value));
        said.contains(&format!("{} must be", setting.name)) || said.contains(&format!("{} cannot be", setting.name))
    }

    #[test]
    fn every_border_is_the_readers() {
        let (mut numbers, mut choices) = (0, 0);
        for setting in settings() {
            if setting.kind == "whole number" {
                let (min, max) = setting.range.split_once(" to ").expect("a number has a range");
                let (min, max): (u64, u64) = (min.parse().unwrap(), max.parse().unwrap());
                let (below, above) = (min.checked_sub(1).map_or("-1".to_string(), |n| n.to_string()), max + 1);
                for (value, is_out) in
                    [(min.to_string(), false), (max.to_string(), false), (below, true), (above.to_string(), true)]
                {
                    let said = mistakes(setting.program, &file(&setting, &value));
                    let out = is_refused(&setting, &value) || said.contains("must be a whole number");
                    assert_eq!(out, is_out, "{} {} = {value}: {said}", setting.program, setting.name);
                }
                numbers += 1;
            }
            if setting.kind == "word" {
                for word in setting.range.split(", ") {
                    assert!(!is_refused(&setting, &format!("\"{word}\"")), "{} = {word}", setting.name);
                }
                assert!(is_refused(&setting, "\"otherwise\""), "{}", setting.name);
                choices += 1;
            }
        }
        assert!(numbers > 40 && choices > 10, "{numbers} numbers, {choices} choices");
    }

    #[test]
    fn what_stands_here_by_hand_is_about_keys_that_exist() {
        let all: BTreeSet<(&str, &str)> = settings().iter().map(|one| (one.section, one.name)).collect();
        let by_hand = CHANGES.iter().map(|(section, name, _)| (*section, *name));
        let by_hand = by_hand.chain(GLOBALS.iter().map(|(section, name, ..)| (*section, *name)));
        let by_hand = by_hand.chain(WORDS.iter().map(|(section, name, _)| (*section, *name)));
        let by_hand = by_hand.chain(NUMBERS.iter().map(|(section, name, ..)| (*section, *name)));
        for key in by_hand {
            assert!(all.contains(&key), "{key:?} is no key");
        }
    }
}
