//! The steward's configuration: whether a tablet manages its server, and with what. A part of `[tablet]`.

use super::mistake::{Given, Mistakes, Place};
use super::tablet::first_line;
use std::path::Path;
use weir_net::secret::Secret;

#[derive(Clone, Debug)]
pub struct StewardConfig {
    pub manage: Manage,
    /// Replicas log in to their source with it; empty: this server cannot be made to follow.
    pub replication_user: String,
    pub replication_password: Secret,
    /// A server that does not become read-only in time is killed.
    pub fence_kill: bool,
    pub semi_sync: SemiSyncWish,
}

impl Default for StewardConfig {
    fn default() -> StewardConfig {
        let (manage, semi_sync) = (Manage::default(), SemiSyncWish::default());
        let (replication_user, replication_password) = (String::new(), Secret::empty());
        StewardConfig { manage, replication_user, replication_password, fence_kill: false, semi_sync }
    }
}

/// Who brings the server to what the topology says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manage {
    /// The tablet, when it has controllers and an admin account of its own.
    #[default]
    Auto,
    On,
    /// Nobody here: an operator, or another tool.
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SemiSyncWish {
    /// As it is found.
    #[default]
    Keep,
    On,
    Off,
}

pub const KEYS: [(&str, &str, &str); 5] = [
    (
        "manage",
        "\"auto\"",
        "\"on\": make the server what the topology says (primary, replica, read-only); \"off\": only look; \"auto\": on with controllers and an admin_user.",
    ),
    (
        "replication_user",
        "\"\"",
        "The account that replicas log in to the primary with (REPLICATION SLAVE). Needed to follow another primary.",
    ),
    ("replication_password_file", "\"\"", "A file whose first line is its password."),
    (
        "fence_kill",
        "\"off\"",
        "\"on\": a server that must not take writes and does not become read-only in time is killed (SIGKILL), if it is on this machine.",
    ),
    (
        "semi_sync",
        "\"keep\"",
        "\"on\": the primary's commits wait for a replica, as long as rpl_semi_sync_source_timeout says; \"off\": they don't; \"keep\": as it is found.",
    ),
];

pub fn judge<'a>(text: &dyn Fn(&str) -> Option<&'a Given<String>>, mistakes: &mut Mistakes) -> StewardConfig {
    let mut config = StewardConfig::default();
    choose(text, "manage", &MANAGE, &mut config.manage, mistakes);
    choose(text, "fence_kill", &FENCE_KILL, &mut config.fence_kill, mistakes);
    choose(text, "semi_sync", &SEMI_SYNC, &mut config.semi_sync, mistakes);
    if let (Manage::On, None, Some(Given { place, .. })) = (config.manage, text("controllers"), text("manage")) {
        mistakes.add(place, "manage = \"on\" needs a topology to follow: name the controllers");
    }
    if let Some(Given { value, .. }) = text("replication_user") {
        config.replication_user.clone_from(value);
    }
    match text("replication_password_file") {
        Some(file) if config.replication_user.is_empty() => {
            mistakes
                .add(&file.place, "replication_password_file is of no use without replication_user: name the account");
        }
        Some(file) => config.replication_password = first_line(Path::new(&file.value), &file.place, mistakes),
        None => {}
    }
    // MySQL's own limit.
    if config.replication_password.as_bytes().len() > PASSWORD_BYTES_MAX {
        let place = text("replication_password_file").map_or(Place::Missing, |given| given.place.clone());
        mistakes.add(
            &place,
            format!("a replication password has {PASSWORD_BYTES_MAX} bytes at most: change the account's"),
        );
    }
    config
}

/// As it would be typed; None: no key of the steward's, or one that is not shown.
pub fn print(config: &StewardConfig, name: &str) -> Option<String> {
    let word = match name {
        "manage" => word(&MANAGE, config.manage),
        "fence_kill" => word(&FENCE_KILL, config.fence_kill),
        "semi_sync" => word(&SEMI_SYNC, config.semi_sync),
        "replication_user" => &config.replication_user,
        _ => return None,
    };
    Some(toml::Value::String(word.to_string()).to_string())
}

fn choose<'a, T: Copy>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    name: &str,
    words: &[(&'static str, T)],
    to: &mut T,
    mistakes: &mut Mistakes,
) {
    if let Some(meaning) = mistakes.word(text(name), name, words) {
        *to = meaning;
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: T) -> &'static str {
    words.iter().find(|(_, is)| *is == meaning).map_or("", |(word, _)| word)
}

const MANAGE: [(&str, Manage); 3] = [("auto", Manage::Auto), ("on", Manage::On), ("off", Manage::Off)];
const FENCE_KILL: [(&str, bool); 2] = [("off", false), ("on", true)];
const SEMI_SYNC: [(&str, SemiSyncWish); 3] =
    [("keep", SemiSyncWish::Keep), ("on", SemiSyncWish::On), ("off", SemiSyncWish::Off)];

/// `SOURCE_PASSWORD`.
const PASSWORD_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn judged(given: &[(&'static str, &str)]) -> (StewardConfig, Vec<String>) {
        let place = Place::WholeFile("t.toml".into());
        let typed: BTreeMap<&str, Given<String>> =
            given.iter().map(|(name, value)| (*name, Given::new((*value).to_string(), place.clone()))).collect();
        let mut mistakes = Mistakes::default();
        let config = judge(&|name| typed.get(name).filter(|given| !given.value.is_empty()), &mut mistakes);
        (config, mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn words_are_understood_and_printed() {
        let given = [
            ("manage", "on"),
            ("controllers", "c:1"),
            ("fence_kill", "on"),
            ("semi_sync", "off"),
            ("replication_user", "r"),
        ];
        let (config, mistakes) = judged(&given);
        assert_eq!((config.manage, config.fence_kill, config.semi_sync), (Manage::On, true, SemiSyncWish::Off));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        for (name, value) in given.iter().filter(|(name, _)| *name != "controllers") {
            assert_eq!(print(&config, name), Some(format!("\"{value}\"")));
        }
        for (name, default, _) in KEYS.iter().filter(|(name, ..)| *name != "replication_password_file") {
            assert_eq!(print(&StewardConfig::default(), name).as_deref(), Some(*default));
        }
    }

    #[test]
    fn mistakes_say_what_to_do() {
        let check = |given: &[(&'static str, &str)], expected: &str| {
            let (_, mistakes) = judged(given);
            assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{mistakes:?}, not {expected}");
        };
        check(&[("manage", "yes")], "manage cannot be 'yes'");
        check(&[("manage", "on")], "name the controllers");
        check(&[("semi_sync", "of")], "did you mean 'off'");
        check(&[("replication_password_file", "x")], "without replication_user");
        check(&[("replication_user", "r"), ("replication_password_file", "/none/such")], "cannot be read");
    }
}
