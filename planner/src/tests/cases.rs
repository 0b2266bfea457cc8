//! The cases as data.

use super::*;
use crate::plan_with;
use crate::routines::Routines;

/// One line of a case file.
pub(crate) struct Case {
    pub place: String,
    pub sql: Vec<u8>,
    pub facts: Facts,
    pub wanted: String,
}

pub(crate) fn cases() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let mut facts = Facts::default();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let place = format!("cases/{name}:{}", number + 1);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(words) = line.strip_prefix('@').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
                facts = facts_of(words, &place);
                continue;
            }
            let (sql, wanted) = line.rsplit_once(" => ").unwrap_or_else(|| panic!("{place}: no ' => '"));
            cases.push(Case { place, sql: bytes_of(sql), facts, wanted: wanted.trim().into() });
        }
    }
    cases
}

/// What the cases say of stored routines.
fn vouched() -> Routines {
    Routines::parse("vr_*", "vw_*").unwrap()
}

fn facts_of(words: &str, place: &str) -> Facts {
    let mut facts = Facts::default();
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("charset", name)) => facts.charset = Charset::of_name(name),
            Some(("version", version)) => facts.server_version = version.parse().unwrap(),
            None if word == "ansi_quotes" => facts.ansi_quotes = true,
            None if word == "no_backslash_escapes" => facts.no_backslash_escapes = true,
            None if word == "system_schema" => facts.system_schema = true,
            None if word == "multi_statements" => facts.multi_statements = true,
            _ => panic!("{place}: unknown fact {word}"),
        }
    }
    facts
}

fn bytes_of(sql: &str) -> Vec<u8> {
    let Some(escaped) = sql.strip_prefix('~') else { return sql.into() };
    let mut bytes = Vec::new();
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    bytes
}

/// Covers S01 to S10, S20 to S22, S24 to S30 as far as a statement's text tells.
#[test]
fn every_case_is_planned_as_written() {
    let cases = cases();
    let routines = vouched();
    let mut wrong = String::new();
    for case in &cases {
        let plan = plan_with(&case.sql, &case.facts, &routines);
        let (wanted, reason) = match case.wanted.split_once(" reason=") {
            Some((wanted, reason)) => (wanted, Some(reason)),
            None => (&*case.wanted, None),
        };
        let found = shown(&plan);
        let found_reason = format!("{:?}", plan.reason);
        if found != wanted || reason.is_some_and(|reason| reason != found_reason) {
            let sql = String::from_utf8_lossy(&case.sql);
            let _ = write!(
                wrong,
                "{}: {sql}\n  wanted {}\n  found  {found} reason={found_reason}\n",
                case.place, case.wanted
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(cases.len() >= 400, "only {} cases", cases.len());
}

/// The names of every route, flag and reason stand in some case.
#[test]
fn the_cases_cover_every_flag() {
    let plans: Vec<Plan> = cases().iter().map(|case| plan_with(&case.sql, &case.facts, &vouched())).collect();
    // No text alone says it.
    let by_text = |flag: &Effects| *flag != Effects::TEXT_NAMED;
    for (flag, name) in Effects::ALL.iter().filter(|(flag, _)| by_text(flag)) {
        assert!(plans.iter().any(|p| p.effects.contains(*flag)), "no case has {name}");
    }
    for (flag, name) in Asks::ALL {
        assert!(plans.iter().any(|p| p.asks.contains(*flag)), "no case has {name}");
    }
}
