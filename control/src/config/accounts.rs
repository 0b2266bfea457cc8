//! `[[accounts]]`: what single users may use of the gate. Their keys, how they are typed, what they mean, how they are shown.
//!
//! Invariant: a user has one row; `"*"` stands for every user without one.

use super::keys::Key;
use super::mistake::{Given, Mistakes, Place};
use super::{Config, keys, print};
use std::fmt::Write;
use std::sync::Arc;
use weir_core::allowance::{Allowance, Allowances};

/// A row as it was typed; numbers by their keys.
pub struct TypedAccount {
    pub place: Place,
    pub user: Option<Given<String>>,
    pub require: Option<Vec<Given<String>>>,
    pub numbers: Vec<(&'static str, Given<u64>)>,
}

/// A key that is a number.
pub struct Number {
    pub name: &'static str,
    pub min: u64,
    pub max: u64,
    /// As the reference says it.
    pub default: &'static str,
    /// None: not set, and something else holds.
    read: fn(&Allowance) -> Option<u64>,
    write: fn(&mut Allowance, u64),
}

pub fn number(name: &str) -> Option<&'static Number> {
    NUMBERS.iter().find(|number| number.name == name)
}

/// What holds: each row is right, or a mistake says why not.
pub fn judge(typed: &[TypedAccount], mistakes: &mut Mistakes) -> Arc<Allowances> {
    let mut all = Allowances::default();
    for row in typed {
        let Some(Given { value: user, place }) = &row.user else {
            mistakes.add(&row.place, "this account has no user: add user = \"name\", or \"*\" for all without a row");
            continue;
        };
        if user.is_empty() || user.len() > USER_BYTES_MAX || user.contains(char::is_control) {
            let text = format!("a user has 1 to {USER_BYTES_MAX} bytes and no control characters");
            mistakes.add(place, text);
        }
        let mut allowance = Allowance::default();
        for (name, given) in &row.numbers {
            let number = number(name).expect("the file's reader knows the keys");
            match (number.min..=number.max).contains(&given.value) {
                true => (number.write)(&mut allowance, given.value),
                false => mistakes
                    .add(&given.place, format!("{name} must be a whole number from {} to {}", number.min, number.max)),
            }
        }
        let allowance = Arc::new(allowance);
        let before = match user.as_str() {
            "*" => all.others.replace(allowance),
            user => all.by_user.insert(user.as_bytes().into(), allowance),
        };
        if before.is_some() {
            mistakes.add(place, format!("user '{user}' has a row already: keep one of the two"));
        }
    }
    Arc::new(all)
}

/// As a file has them, what is usual in comments.
pub fn put(out: &mut String, config: &Config) {
    let allowances = &config.settings.allowances;
    let named = allowances.by_user.iter().map(|(user, row)| (String::from_utf8_lossy(user).into_owned(), row));
    let required = |user: &str| config.settings.accounts.iter().find(|rule| *rule.user == *user.as_bytes());
    for (user, row) in named.chain(allowances.others.iter().map(|row| ("*".to_string(), row))) {
        out.push_str("\n[[accounts]]\n");
        for Key { name, doc, .. } in keys::KEYS.iter().filter(|key| key.section == "accounts") {
            let (mark, value) = match number(name) {
                None if *name == "require" => match required(&user) {
                    Some(rule) => ("", print::show_require(&rule.require)),
                    None => ("# ", "[]".to_string()),
                },
                None => ("", toml::Value::String(user.clone()).to_string()),
                Some(number) => match (number.read)(row).map(|value| value.to_string()) {
                    Some(value) => (if value == number.default { "# " } else { "" }, value),
                    None => ("# ", number.default.to_string()),
                },
            };
            let _ = writeln!(out, "# {doc}\n{mark}{name} = {value}");
        }
    }
}

/// Default and range, as the reference has them.
pub fn described(name: &str) -> Option<(String, String)> {
    number(name).map(|number| (number.default.to_string(), format!("{} to {}", number.min, number.max)))
}

macro_rules! number {
    ($name:ident, $min:expr, $max:expr, $default:literal, $int:ty) => {
        Number {
            name: stringify!($name),
            min: $min,
            max: $max,
            default: $default,
            read: |row| Some(u64::from(row.$name)),
            write: |row, value| row.$name = value as $int,
        }
    };
    ($name:ident, $max:expr, $default:literal) => {
        Number {
            name: stringify!($name),
            min: 0,
            max: $max,
            default: $default,
            read: |row| row.$name,
            write: |row, value| row.$name = Some(value),
        }
    };
}

const MS_MAX: u64 = 86_400_000_000;
const HOUR_MS: u64 = 3_600_000;

const NUMBERS: [Number; 8] = [
    number!(connections_max, 0, 10_000_000, "0", u32),
    number!(running_max, 0, 1_000_000, "0", u32),
    number!(waiting_max, 0, 1_000_000, "1000", u32),
    number!(wait_ms_max, HOUR_MS, "wait_ms_max of [pool]"),
    number!(weight, 1, 10_000, "100", u32),
    number!(statement_ms_max, MS_MAX, "that of [limits]"),
    number!(transaction_ms_max, MS_MAX, "that of [limits]"),
    number!(transaction_idle_ms_max, MS_MAX, "that of [limits]"),
];

/// MySQL's own names have 32 letters.
const USER_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::beside_a_server;

    #[test]
    fn rows_mean_what_they_say_and_are_printed_so_that_they_can_be_read_again() {
        let rows = "[[accounts]]\nuser = \"app\"\nrunning_max = 4\nwait_ms_max = 50\nweight = 300\n\
                    [[accounts]]\nuser = \"*\"\nconnections_max = 7\nstatement_ms_max = 0\n";
        let config = beside_a_server(rows).unwrap();
        let all = &config.settings.allowances;
        let usual = Allowance::default();
        let app = Allowance { running_max: 4, wait_ms_max: Some(50), weight: 300, ..usual.clone() };
        let others = Allowance { connections_max: 7, statement_ms_max: Some(0), ..usual };
        assert_eq!((&**all.of(b"app").unwrap(), &**all.of(b"x").unwrap()), (&app, &others));
        let mut printed = String::new();
        put(&mut printed, &config);
        assert_eq!(beside_a_server(&printed).unwrap().settings.allowances, *all);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (name, rows, says) in [
            ("nobody", "[[accounts]]\nrunning_max = 4\n", "this account has no user"),
            ("twice", "[[accounts]]\nuser = \"a\"\n[[accounts]]\nuser = \"a\"\n", "has a row already"),
            ("unknown", "[[accounts]]\nuser = \"a\"\nrunning_maxx = 1\n", "running_max"),
            ("range", "[[accounts]]\nuser = \"a\"\nweight = 0\n", "weight must be a whole number from 1"),
            ("table", "[accounts]\nuser = \"a\"\n", "write [[accounts]]"),
            ("type", "[[accounts]]\nuser = \"a\"\nweight = \"b\"\n", "weight must be a whole number"),
        ] {
            let found = beside_a_server(rows).unwrap_err();
            assert!(found.contains(says), "{name}: {found}");
        }
    }
}
