//! The settings as a table: what each is now, what it is by default, how it is set, what it means.

use super::row;
use crate::config::keys::{KEYS, Key, LISTS};
use crate::config::{Config, cores, print, reference, reload};
use weir_core::show::Shown;

pub fn table(now: &Config) -> Shown {
    let usual = Config::defaults(cores::usual(&cores::allowed()));
    let show = |key: &Key, config: &Config| print::show(key, config).trim_matches('"').to_string();
    let rows = KEYS.iter().filter(|key| !LISTS.contains(&key.section)).map(|key| {
        let global = reference::global(key.section, key.name);
        let set_by = match global {
            Some(global) => format!("SET GLOBAL {global}"),
            None if reload::is_fixed(key.section, key.name) => "configuration, at the start".to_string(),
            None => "configuration, reload".to_string(),
        };
        row([
            &format!("{}.{}", key.section, key.name),
            &show(key, now),
            &show(key, &usual),
            &reference::unit(key.name),
            &if global.is_some() { "yes" } else { "no" },
            &set_by,
            &key.doc,
        ])
    });
    Shown { columns: COLUMNS.to_vec(), rows: rows.collect(), note: None }
}

const COLUMNS: [&str; 7] = ["name", "value", "default_value", "unit", "dynamic", "set_by", "meaning"];
