//! Mishaps on real servers: all of them down, a disk that gets full, primaries that take turns in dying. Clients keep their
//! connections, see allowed errors alone, and nothing that they were told of is lost; and metrics tell what happened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_control::ctl::cluster;
use weir_control::ctl::failover::EventView;
use weir_perf::scrape::{Metric, metrics};
use weir_tests::keep::fleet::{Fleet, NAMES};
use weir_tests::keep::writers::Writers;

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// A transaction that must be begun anew, and an outcome that nobody knows.
const ALLOWED: [&str; 2] = ["1213", "2013"];

/// Longer than any move takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);

#[test]
fn a_fleet_lives_through_mishaps() {
    let keys = "failovers_per_minute = 2\nfailover_disk_full_ms = 1_000\n";
    let fleet = Fleet::start(PROGRAM, keys).unwrap_or_else(|why| panic!("{why}"));
    let writers = Writers::start(&fleet.options(), 4);
    for (what, part) in PARTS {
        let began = Instant::now();
        part(&fleet, &writers).unwrap_or_else(|why| panic!("{what}: {why}\n{}", fleet.describe()));
        println!("{what}: {:?}", began.elapsed());
    }
    let primary = fleet.whole().unwrap_or_else(|why| panic!("{why}"));
    let (acknowledged, errors) = writers.end();
    let rows = fleet.rows(primary).unwrap();
    let lost: Vec<&u64> = acknowledged.difference(&rows).collect();
    println!("{} writes, errors: {errors:?}", acknowledged.len());
    assert!(lost.is_empty(), "{} acknowledged writes are lost: {lost:?}\n{}", lost.len(), fleet.describe());
    let strange: BTreeMap<_, _> = errors.iter().filter(|(code, _)| !ALLOWED.contains(&code.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

type Part = fn(&Fleet, &Writers) -> Result<(), String>;

const PARTS: [(&str, Part); 3] =
    [("a full disk", disk_full), ("primaries that take turns in dying", flapping), ("all down and back", all_down)];

/// The primary hangs at its commits: another follows it, and it rejoins when there is space.
fn disk_full(fleet: &Fleet, writers: &Writers) -> Result<(), String> {
    assert_eq!(fleet.named(), Some(0));
    writers.progress(50, PATIENCE)?;
    fleet.until("the gate tells of answers", || {
        cluster::gates(&fleet.ask()).is_ok_and(|gates| cluster::gates_table(&gates).contains(" a answers, "))
    })?;
    fleet.disk.fill()?;
    fleet.until("another primary", || fleet.named().is_some_and(|at| at != 0))?;
    let took = writers.progress(50, PATIENCE)?;
    println!("writes went on {took:?} after the new primary was named");
    let began = fleet.events().into_iter().find(|event| event.kind() == "failover_began").ok_or("no failover began")?;
    assert!(began.text().contains("'a' is dead (disk_full)"), "{}", began.text());
    fleet.disk.free()?;
    if !fleet.servers[0].is_running() {
        fleet.servers[0].start().map_err(|error| error.to_string())?;
    }
    fleet.whole()?;
    let seen = metrics(fleet.controller_http).map_err(|fault| fault.to_string())?;
    for name in ["weir_controller_moves_begun_total", "weir_controller_moves_done_total"] {
        assert_eq!(value(&seen, name, &[("kind", "failover"), ("cause", "disk_full")]), Some(1.0), "{name}");
    }
    assert_eq!(value(&seen, "weir_controller_transactions_lost_total", &[]), Some(0.0));
    Ok(())
}

/// After the second failover within a minute nobody follows, and it is told why. The one that died last comes back itself, or
/// another follows it when the minute is over.
fn flapping(fleet: &Fleet, writers: &Writers) -> Result<(), String> {
    let is_told = |event: &&EventView| event.kind() == "waits" && event.text().contains("in a minute");
    let told = || fleet.events().iter().filter(is_told).count();
    let mut is_seen = false;
    for _ in 0..8 {
        let (primary, before) = (fleet.whole()?, told());
        writers.hold();
        fleet.servers[primary].kill9();
        writers.release();
        fleet.until("another primary, or a reason", || {
            told() > before || fleet.named().is_some_and(|at| at != primary)
        })?;
        is_seen = told() > before;
        if !is_seen {
            writers.progress(20, PATIENCE)?;
        }
        fleet.servers[primary].start().map_err(|error| error.to_string())?;
        if is_seen {
            break;
        }
    }
    assert!(is_seen, "nothing waited\n{}", fleet.describe());
    writers.progress(20, PATIENCE)?;
    let primary = fleet.whole()?;
    let json = cluster::json(&fleet.events())?;
    let events: Vec<serde_json::Value> = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    let began = events.iter().filter(|event| event["kind"] == "failover_began");
    let times: Vec<u64> = began.filter_map(|event| event["unix_ms"].as_u64()).collect();
    assert!(times.len() >= 2 && times.windows(3).all(|three| three[2] - three[0] > 59_500), "{times:?}");
    let seen = metrics(fleet.controller_http).map_err(|fault| fault.to_string())?;
    let [begun, done, given_up] =
        ["begun", "done", "given_up"].map(|what| sum(&seen, &format!("weir_controller_moves_{what}_total")));
    assert_eq!((begun, begun), (times.len() as f64, done + given_up));
    assert_eq!(value(&seen, "weir_controller_move_seconds_count", &[("part", "open")]), Some(done));
    assert!(value(&seen, "weir_controller_waits_total", &[]) >= Some(1.0));
    leads(fleet.tablets_http[primary]).map_err(|why| format!("'{}': {why}", NAMES[primary]))
}

/// A tablet tells of its server and of what it did to it.
fn leads(tablet: SocketAddr) -> Result<(), String> {
    let seen = metrics(tablet).map_err(|fault| fault.to_string())?;
    let is = |name: &str, label: (&str, &str)| value(&seen, name, &[label]) == Some(1.0);
    // "Restarted" until the next look that finds anything new.
    let stands = ["serving", "server_restarted"].map(|standing| is("weir_tablet_standing", ("standing", standing)));
    if !is("weir_tablet_role", ("role", "primary")) || !stands.contains(&true) {
        return Err(format!("it does not serve as primary: {seen:?}"));
    }
    let led = value(&seen, "weir_tablet_deed_seconds_count", &[("deed", "lead"), ("outcome", "done")]);
    assert!(led >= Some(1.0), "{led:?}");
    assert!(value(&seen, "weir_tablet_lease_left_seconds", &[]) > Some(0.0));
    assert_eq!(value(&seen, "weir_ready", &[]), Some(1.0));
    Ok(())
}

/// Nobody can follow, so nobody is made to; when they are back, in another order, statements that waited go on.
fn all_down(fleet: &Fleet, writers: &Writers) -> Result<(), String> {
    let primary = fleet.whole()?;
    writers.hold();
    // Replicas first: a primary without them acknowledges nothing.
    let replicas = (0..NAMES.len()).filter(|at| *at != primary);
    replicas.chain([primary]).for_each(|at| fleet.servers[at].kill9());
    writers.release();
    let is_told = || fleet.events().iter().any(|event| event.text().contains("nobody is seen who could follow it"));
    fleet.until("the reason why nobody follows", is_told)?;
    assert_eq!(fleet.named(), Some(primary));
    for at in [2, 0, 1] {
        fleet.servers[at].start().map_err(|error| error.to_string())?;
    }
    fleet.whole()?;
    writers.progress(50, PATIENCE).map(drop)
}

fn value(all: &[Metric], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |metric: &&Metric| {
        metric.name == name
            && labels.iter().all(|(label, text)| metric.labels.iter().any(|(l, t)| l == label && t == text))
    };
    all.iter().find(has).map(|metric| metric.value)
}

fn sum(all: &[Metric], name: &str) -> f64 {
    all.iter().filter(|metric| metric.name == name).map(|metric| metric.value).sum()
}
