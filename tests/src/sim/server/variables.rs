//! The session's system variables: what they may be, what depends on what, what the trackers say.
//!
//! Invariant: a failing `SET` changes nothing. Values are kept as the server shows them (`ON`, not `1`).

use std::collections::BTreeMap;

/// Error code, SQLSTATE and message.
pub type Fault = (u16, &'static str, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Bool,
    OneOf(&'static [&'static str]),
    Charset,
    Collation,
    /// Words of a list, each known.
    Modes,
    Text,
}

/// Name, the server's default, what it takes.
const VARIABLES: &[(&str, &str, Kind)] = &[
    ("autocommit", "ON", Kind::Bool),
    ("character_set_client", "utf8mb4", Kind::Charset),
    ("character_set_connection", "utf8mb4", Kind::Charset),
    ("character_set_results", "utf8mb4", Kind::Charset),
    ("collation_connection", "utf8mb4_0900_ai_ci", Kind::Collation),
    ("foreign_key_checks", "ON", Kind::Bool),
    ("group_concat_max_len", "1024", Kind::Number),
    ("lock_wait_timeout", "31536000", Kind::Number),
    ("max_execution_time", "0", Kind::Number),
    ("session_track_gtids", "OFF", Kind::OneOf(&["OFF", "OWN_GTID", "ALL_GTIDS"])),
    ("session_track_schema", "ON", Kind::Bool),
    ("session_track_state_change", "OFF", Kind::Bool),
    ("session_track_system_variables", TRACKED_BY_DEFAULT, Kind::Text),
    ("session_track_transaction_info", "OFF", Kind::OneOf(&["OFF", "STATE", "CHARACTERISTICS"])),
    ("sort_buffer_size", "262144", Kind::Number),
    ("sql_mode", "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES", Kind::Modes),
    ("time_zone", "SYSTEM", Kind::OneOf(&["SYSTEM", "+00:00", "+01:00", "-05:30"])),
    ("timestamp", "0", Kind::Number),
    (
        "transaction_isolation",
        "REPEATABLE-READ",
        Kind::OneOf(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]),
    ),
    ("unique_checks", "ON", Kind::Bool),
    ("wait_timeout", "28800", Kind::Number),
];

const TRACKED_BY_DEFAULT: &str =
    "time_zone,autocommit,character_set_client,character_set_results,character_set_connection";

const MODES: &[&str] = &[
    "ANSI_QUOTES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "NO_ENGINE_SUBSTITUTION",
    "STRICT_TRANS_TABLES",
];

const CHARSETS: &[(&str, &str)] =
    &[("utf8mb4", "utf8mb4_0900_ai_ci"), ("latin1", "latin1_swedish_ci"), ("ascii", "ascii_general_ci")];

/// What a `SET` gives a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Text(String),
    Number(i64),
    Null,
    Default,
}

/// The values of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<&'static str, String>,
}

impl Default for Variables {
    fn default() -> Variables {
        Variables { values: VARIABLES.iter().map(|(name, value, _)| (*name, (*value).to_string())).collect() }
    }
}

impl Variables {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some("ON")
    }

    /// Sets all or nothing. Returns the names that trackers would tell of, in order.
    pub fn set(&mut self, wanted: &[(String, Given)]) -> Result<Vec<&'static str>, Fault> {
        let mut changed = self.values.clone();
        let mut told = Vec::new();
        for (name, given) in wanted {
            if name == "names" {
                set_names(&mut changed, &mut told, given)?;
                continue;
            }
            let Some((name, default, kind)) = VARIABLES.iter().find(|(known, _, _)| known == name) else {
                return Err((1193, "HY000", format!("Unknown system variable '{name}'")));
            };
            let value = match given {
                Given::Default => (*default).to_string(),
                given => kind.accept(name, given)?,
            };
            put(&mut changed, &mut told, name, value);
        }
        self.values = changed;
        Ok(told)
    }

    pub fn tracks(&self, name: &str) -> bool {
        let list = self.value("session_track_system_variables").unwrap_or_default();
        list == "*" || list.split(',').any(|tracked| tracked == name)
    }

    /// All but the trackers' own settings: those are not the client's.
    pub fn comparable(&self) -> BTreeMap<&'static str, String> {
        let mut values = self.values.clone();
        values.retain(|name, _| !name.starts_with("session_track_"));
        values
    }
}

/// A character set brings its collation along, and the other way round.
fn put(values: &mut BTreeMap<&'static str, String>, told: &mut Vec<&'static str>, name: &'static str, value: String) {
    let mut tell = |name: &'static str, value: String| {
        values.insert(name, value);
        told.retain(|known| *known != name);
        told.push(name);
    };
    match name {
        "character_set_connection" => {
            let collation = CHARSETS.iter().find(|(charset, _)| *charset == value).map(|(_, collation)| *collation);
            tell("collation_connection", collation.unwrap_or_default().to_string());
        }
        "collation_connection" => {
            let charset = CHARSETS.iter().find(|(_, collation)| *collation == value).map(|(charset, _)| *charset);
            tell("character_set_connection", charset.unwrap_or_default().to_string());
        }
        _ => {}
    }
    tell(name, value);
}

fn set_names(
    values: &mut BTreeMap<&'static str, String>,
    told: &mut Vec<&'static str>,
    given: &Given,
) -> Result<(), Fault> {
    let charset = match given {
        Given::Default => "utf8mb4".to_string(),
        given => Kind::Charset.accept("names", given)?,
    };
    for name in ["character_set_client", "character_set_connection", "character_set_results"] {
        put(values, told, name, charset.clone());
    }
    Ok(())
}

impl Kind {
    fn accept(self, name: &str, given: &Given) -> Result<String, Fault> {
        let wrong_type = || (1232, "42000", format!("Incorrect argument type to variable '{name}'"));
        let wrong_value =
            |value: &str| (1231, "42000", format!("Variable '{name}' can't be set to the value of '{value}'"));
        match (self, given) {
            (Kind::Number, Given::Number(n)) => Ok(n.to_string()),
            (Kind::Number, _) => Err(wrong_type()),
            (Kind::Bool, Given::Number(n @ 0..=1)) => Ok(if *n == 1 { "ON" } else { "OFF" }.to_string()),
            (Kind::Bool, Given::Text(text)) => match text.to_ascii_uppercase().as_str() {
                "ON" | "TRUE" => Ok("ON".to_string()),
                "OFF" | "FALSE" => Ok("OFF".to_string()),
                _ => Err(wrong_value(text)),
            },
            (Kind::OneOf(all), Given::Text(text)) => {
                let found = all.iter().find(|known| known.eq_ignore_ascii_case(text));
                found.map(|known| (*known).to_string()).ok_or_else(|| wrong_value(text))
            }
            (Kind::Charset, Given::Text(text)) => match CHARSETS.iter().find(|(charset, _)| charset == text) {
                Some((charset, _)) => Ok((*charset).to_string()),
                None => Err((1115, "42000", format!("Unknown character set: '{text}'"))),
            },
            (Kind::Collation, Given::Text(text)) => match CHARSETS.iter().find(|(_, collation)| collation == text) {
                Some((_, collation)) => Ok((*collation).to_string()),
                None => Err((1273, "HY000", format!("Unknown collation: '{text}'"))),
            },
            (Kind::Modes, Given::Text(text)) => {
                let mut words: Vec<&str> = text.split(',').filter(|word| !word.is_empty()).collect();
                if let Some(word) = words.iter().find(|word| !MODES.contains(word)) {
                    return Err(wrong_value(word));
                }
                words.sort_unstable();
                words.dedup();
                Ok(words.join(","))
            }
            (Kind::Text, Given::Text(text)) => Ok(text.clone()),
            _ => Err(wrong_type()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Given {
        Given::Text(value.to_string())
    }

    #[test]
    fn all_or_nothing_and_what_follows_what() {
        let mut variables = Variables::default();
        let before = variables.clone();
        let mixed = [("time_zone".to_string(), text("+01:00")), ("wait_timeout".to_string(), text("x"))];
        assert_eq!(variables.set(&mixed).unwrap_err().0, 1232);
        assert_eq!(variables, before);
        let told = variables.set(&[("names".to_string(), text("latin1"))]).unwrap();
        assert_eq!(told.len(), 4);
        assert_eq!(variables.value("collation_connection"), Some("latin1_swedish_ci"));
        variables.set(&[("collation_connection".to_string(), Given::Default)]).unwrap();
        assert_eq!(variables.value("character_set_connection"), Some("utf8mb4"));
        variables.set(&[("autocommit".to_string(), Given::Number(0))]).unwrap();
        assert_eq!(variables.value("autocommit"), Some("OFF"));
        assert_eq!(variables.set(&[("nonsense".to_string(), Given::Null)]).unwrap_err().0, 1193);
        assert!(variables.tracks("autocommit") && !variables.tracks("sql_mode"));
        variables.set(&[("session_track_system_variables".to_string(), text("*"))]).unwrap();
        assert!(variables.tracks("sql_mode"));
    }

    #[test]
    fn every_default_is_a_value_that_can_be_set() {
        for (name, default, kind) in VARIABLES {
            let given = match kind {
                Kind::Number => Given::Number(default.parse().unwrap()),
                _ => text(default),
            };
            assert_eq!(kind.accept(name, &given).as_deref(), Ok(*default));
        }
    }
}
