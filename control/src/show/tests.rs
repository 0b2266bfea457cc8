//! Each word's table from one picture of a gate.

use super::{Scene, answer};
use crate::config::Config;
use crate::gate::events::Events;
use crate::status::tests::picture;
use weir_core::show::{Show, Shown};
use weir_core::snapshot::ListenerId;
use weir_core::stats::SessionReport;

fn ask(words: &str) -> Shown {
    let mut picture = picture();
    for report in &mut picture.reports {
        report.pins_ever = vec![("app".to_string(), "lock", 3)];
        report.sessions = vec![SessionReport {
            connection_id: 7,
            user: "app".to_string(),
            peer: "unix".to_string(),
            schema: "shop".to_string(),
            phase: "ready",
            backend: "b0".to_string(),
            pins: "lock".to_string(),
            listener: ListenerId(0),
        }];
        report.sessions_untold = 2;
    }
    let mut events = Events::default();
    events.note("setting_changed", "ratio", "ops has set it to 5");
    let mut config = Config::local(&[], "monitor", "secret");
    config.settings.read_write_splitting_ratio = 5;
    let scene = Scene { picture: &picture, events: &events, config: &config, tablets: vec![Some("t:1".to_string())] };
    answer(&Show::parse(words).unwrap(), &scene).unwrap()
}

fn rows(words: &str) -> Vec<String> {
    ask(words).rows.iter().map(|row| row.join("|")).collect()
}

#[test]
fn figures_are_summed_and_shown_by_core() {
    assert_eq!(rows("STATUS LIKE 'commands'"), ["commands|20|10 10"]);
    assert_eq!(rows("STATUS LIKE 'query%lines'"), ["query_log_lines|5|"]);
    assert_eq!(rows("POOLS"), ["b0|5|2|1|1|0|0|0", "b0|5|2|1|1|0|0|2"]);
    assert_eq!(rows("PINS LIMIT 1"), ["77|app|b0|lock|SELECT GET_LOCK|1234|0"]);
    assert_eq!(rows("PINS BY ACCOUNT"), ["app|lock|2|6"]);
    assert_eq!(rows("SESSIONS ORDER BY core LIMIT 1"), ["7|app|unix|shop|ready|b0|lock|127.0.0.1:3306|2"]);
    assert_eq!(rows("BACKENDS LIKE 'b1'")[0].split('|').next(), Some("b1"));
}

#[test]
fn what_is_missing_is_said() {
    let note = ask("SESSIONS").note.unwrap();
    assert!(note.contains("core 0 has 2 sessions more") && note.contains("core 1 did not answer"), "{note}");
    assert!(ask("VARIABLES").note.is_none(), "it asks no core");
}

#[test]
fn what_control_knows_is_shown() {
    let places = ask("TOPOLOGY LIKE 'b0'");
    assert_eq!(places.rows.len(), 1);
    let cell = |name: &str| {
        let at = places.columns.iter().position(|column| *column == name).unwrap();
        places.rows[0][at].as_str()
    };
    assert_eq!((cell("role"), cell("learnt_from"), cell("looked_at_by")), ("primary", "discovery", "tablet t:1"));
    assert!(rows("EVENTS")[0].ends_with("|setting_changed|ratio|ops has set it to 5"));
    let ratio = rows("VARIABLES LIKE '%ratio'");
    assert_eq!(ratio.len(), 1);
    assert!(ratio[0].starts_with("routing.read_write_splitting_ratio|5|100|percent|yes|SET GLOBAL"), "{ratio:?}");
    assert!(rows("VARIABLES").iter().all(|row| !row.contains("secret")));
    assert!(rows("VARIABLES LIKE '%block_bytes'")[0].contains("|bytes|no|configuration, at the start|"));
}
