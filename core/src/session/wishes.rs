//! What a session wishes for its reads: the gate's own variables, as it has set them (S08, S60).
//!
//! Order of precedence: a hint in the statement, the session's variable, the gate's setting.

use crate::session::global::DIGEST_LIMIT;
use crate::snapshot::{Balance, Settings};
use weir_planner::Consistency;

/// None: as the gate is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub consistency: Option<Consistency>,
    pub timeout_ms: Option<u64>,
    pub policy: Option<Policy>,
    /// Percent of the reads that may go to replicas.
    pub ratio: Option<u8>,
    pub split_read_only: Option<bool>,
}

/// `read_write_splitting_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Disable,
    Balance(Balance),
}

impl Policy {
    pub fn of_settings(settings: &Settings) -> Policy {
        if settings.read_write_splitting { Policy::Balance(settings.balance) } else { Policy::Disable }
    }

    pub fn name(self) -> &'static str {
        match self {
            Policy::Disable => "disable",
            Policy::Balance(balance) => balance.name(),
        }
    }

    pub fn of_name(name: &str) -> Option<Policy> {
        if name.eq_ignore_ascii_case("disable") {
            return Some(Policy::Disable);
        }
        Balance::of_name(name).map(Policy::Balance)
    }
}

impl Wishes {
    /// Takes one assignment; false: the value is no such thing. `DEFAULT` is the gate's setting again.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        if value.eq_ignore_ascii_case("default") {
            match name {
                "read_after_write_consistency" => self.consistency = None,
                "read_after_write_timeout" => self.timeout_ms = None,
                "read_write_splitting_policy" => self.policy = None,
                "read_write_splitting_ratio" => self.ratio = None,
                DIGEST_LIMIT => {}
                _ => self.split_read_only = None,
            }
            return true;
        }
        match name {
            "read_after_write_consistency" => {
                self.consistency = Consistency::of_name(value.as_bytes()).or(self.consistency);
                Consistency::of_name(value.as_bytes()).is_some()
            }
            "read_after_write_timeout" => {
                let seconds = value.parse::<f64>().ok().filter(|s| (0.0..=TIMEOUT_S_MAX).contains(s));
                self.timeout_ms = seconds.map(|s| (s * 1_000.0) as u64).or(self.timeout_ms);
                seconds.is_some()
            }
            "read_write_splitting_policy" => {
                self.policy = Policy::of_name(value).or(self.policy);
                Policy::of_name(value).is_some()
            }
            "read_write_splitting_ratio" => {
                let percent = value.parse::<u8>().ok().filter(|percent| *percent <= 100);
                self.ratio = percent.or(self.ratio);
                percent.is_some()
            }
            // No session wishes for it: it is only judged here.
            DIGEST_LIMIT => value.parse::<u32>().is_ok_and(|limit| limit <= RUNNING_MAX),
            _ => {
                let on = match value {
                    "1" => Some(true),
                    "0" => Some(false),
                    _ if value.eq_ignore_ascii_case("on") || value.eq_ignore_ascii_case("true") => Some(true),
                    _ if value.eq_ignore_ascii_case("off") || value.eq_ignore_ascii_case("false") => Some(false),
                    _ => None,
                };
                self.split_read_only = on.or(self.split_read_only);
                on.is_some()
            }
        }
    }

    /// The value as `SELECT @@name` shows it.
    pub fn show(&self, name: &str, settings: &Settings) -> String {
        match name {
            "read_after_write_consistency" => {
                format!("{:?}", self.consistency.unwrap_or(settings.consistency)).to_uppercase()
            }
            "read_after_write_timeout" => {
                let ms = self.timeout_ms.unwrap_or(settings.read_after_write_ms_max);
                format!("{}.{:03}", ms / 1_000, ms % 1_000)
            }
            "read_write_splitting_policy" => {
                self.policy.unwrap_or_else(|| Policy::of_settings(settings)).name().to_uppercase()
            }
            "read_write_splitting_ratio" => self.ratio.unwrap_or(settings.read_write_splitting_ratio).to_string(),
            DIGEST_LIMIT => settings.digest_running_max.to_string(),
            _ => u8::from(self.split_read_only.unwrap_or(settings.split_read_only_transactions)).to_string(),
        }
    }
}

/// Longest wait for a replica in seconds: more would only be a hanging client.
const TIMEOUT_S_MAX: f64 = 3_600.0;

/// Statements of one form at once: as the configuration has it.
const RUNNING_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_shown_and_refused() {
        let settings = Settings::default();
        let mut wishes = Wishes::default();
        for (name, value, shown) in [
            ("read_after_write_consistency", "global", "GLOBAL"),
            ("read_after_write_timeout", "1.5", "1.500"),
            ("read_write_splitting_policy", "least_rt", "LEAST_RT"),
            ("read_write_splitting_policy", "DISABLE", "DISABLE"),
            ("read_write_splitting_ratio", "70", "70"),
            ("enable_read_write_splitting_for_read_only_txn", "ON", "1"),
        ] {
            assert!(wishes.set(name, value), "{name}");
            assert_eq!(wishes.show(name, &settings), shown);
            assert!(!wishes.set(name, "nonsense"), "{name}");
            assert_eq!(wishes.show(name, &settings), shown, "a bad value changes nothing");
        }
        for name in ["read_after_write_consistency", "read_write_splitting_ratio"] {
            assert!(wishes.set(name, "DEFAULT"));
        }
        assert_eq!(wishes.show("read_after_write_consistency", &settings), "SESSION");
        assert_eq!(wishes.show("read_write_splitting_ratio", &settings), "100");
        assert!(!wishes.set("read_write_splitting_ratio", "101") && !wishes.set("read_after_write_timeout", "-1"));
    }
}
