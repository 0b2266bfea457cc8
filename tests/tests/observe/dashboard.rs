//! The Grafana dashboard: whole, without overlaps, and every expression is understood by a real Prometheus and finds something.
//! Grafana itself is not among Debian's packages, so nobody draws it here.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::lists::{exported, named};
use super::prometheus::Watched;
use super::scene::{root, until};

fn dashboard() -> Value {
    let text = std::fs::read_to_string(root().join("packaging/grafana/weir.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name}"))
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36) && dashboard["id"].is_null());
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&Value::from("weir"), &Value::from("Weir")));
    let variables: Vec<&str> =
        list(&dashboard["templating"], "list").iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "gate", "backend"]);
    let panels = list(&dashboard, "panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert!(ids.len() == panels.len() && panels.len() > 30, "two panels have one id");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{panel} has no place"));
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{panel} is out of the grid");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} lies over another panel", panel["title"]);
        }
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{} says nothing", panel["title"]);
        let units = [&panel["fieldConfig"]["defaults"]["unit"], &panel["datasource"]["uid"]];
        assert!(units[0].is_string() && units[1] == "${datasource}", "{}", panel["title"]);
        let references: BTreeSet<&str> =
            list(panel, "targets").iter().filter_map(|target| target["refId"].as_str()).collect();
        assert_eq!(references.len(), list(panel, "targets").len(), "{}", panel["title"]);
    }
}

/// As Grafana asks when all is chosen.
fn filled(expression: &str) -> String {
    expression.replace("$gate", ".*").replace("$backend", ".*").replace("$__rate_interval", "1m")
}

#[test]
fn each_expression_is_understood_and_finds_what_is_exported() {
    let (watched, dashboard) = (Watched::get(), dashboard());
    let exported = exported(watched);
    let targets = list(&dashboard, "panels").iter().filter(|panel| panel["type"] != "row").flat_map(|panel| {
        list(panel, "targets")
            .iter()
            .map(move |target| (&panel["title"], target["expr"].as_str().expect("an expression")))
    });
    let mut seen = 0;
    for (title, expression) in targets {
        assert!(!filled(expression).contains('$'), "{title}: {expression} uses a variable that there is not");
        let names = named(expression, &exported);
        for name in &names {
            assert!(exported.contains_key(name), "{title}: nobody exports {name}");
        }
        assert!(!names.is_empty() || expression.starts_with("sum(up{"), "{title}: {expression} names nothing of ours");
        let may_be_empty = EVENTFUL.iter().any(|name| names.contains(*name));
        // A rate needs two scrapes.
        until(expression, Duration::from_secs(20), || match watched.query(&filled(expression)) {
            Ok(rows) if rows.is_empty() && !may_be_empty => Err(format!("{title}: it finds nothing")),
            Ok(_) => Ok(()),
            Err(why) => panic!("{title}: {why}"),
        });
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
    for variable in &list(&dashboard["templating"], "list")[1..] {
        let query = variable["query"]["query"].as_str().expect("a query");
        for name in named(query, &exported) {
            assert!(exported.contains_key(&name), "a variable asks for {name}");
        }
    }
    let annotation = list(&dashboard["annotations"], "list")[1]["expr"].as_str().expect("an expression");
    assert!(watched.query(&filled(annotation)).is_ok(), "{annotation}");
    assert!(watched.query("sum(rate(weir_commands_total[").is_err(), "nonsense is understood");
}

/// They have samples only when something has happened.
const EVENTFUL: [&str; 3] = ["weir_controller_moves_done_total", "weir_pinned_sessions", "weir_pins_total"];
