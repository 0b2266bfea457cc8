//! `sysbench`: sysbench's tests through a gate in front of a real cluster, judged by what the servers say afterwards.
//!
//! For each test, with prepared statements and with texts: no error that the primary did not itself cause (it counts
//! its deadlocks), reads spread over the replicas by weight, and at the end the same rows on all nodes.
//!
//! Invariant: what is judged was asked of the servers directly, not of the gate. Every run is made even when one before
//! it failed.

use std::time::Duration;

use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::template::{APP, MONITOR};
use weir_control::lab::{Cluster, ClusterOptions, Mysql};

use crate::arguments::Arguments;
use crate::backend::SCHEMA;
use crate::client::Account;
use crate::door::{Door, GateOptions};
use crate::error::Fault;
use crate::sysbench::{Run, Summary, Sysbench, Tables};
use crate::table::{Table, number};

/// Runs everything; true if nothing failed.
pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let tests: Vec<String> = arguments.list_or("--tests", TESTS)?;
    let modes: Vec<String> = arguments.list_or("--db-ps-mode", "auto,disable")?;
    let threads = arguments.value_or("--threads", 16)?;
    let time = Duration::from_secs(arguments.value_or("--time", 10)?);
    let tables =
        Tables { count: arguments.value_or("--tables", 4)?, rows: arguments.value_or("--table-size", 50_000)? };
    let replicas = arguments.value_or("--replicas", 2)?;
    let connections: u32 = arguments.value_or("--connections-per-backend", 16)?;
    let program = arguments.value("--weir")?;
    let cores = arguments.text("--cores")?;
    arguments.finish()?;
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let sysbench = Sysbench::find()?;
    let cluster = start_cluster(replicas)?;
    let gate = GateOptions {
        program,
        cores,
        backends: cluster.backends(),
        monitor: (MONITOR.0.to_owned(), MONITOR.1.to_owned()),
        extra: vec!["--connections-per-backend".to_owned(), connections.to_string()],
    };
    let account = Account {
        // Replaced by the gate's own.
        address: ([127, 0, 0, 1], 0).into(),
        user: APP.0.to_owned(),
        password: APP.1.to_owned(),
        schema: Some(SCHEMA.to_owned()),
    };
    let door = Door::open_gate(&gate, &account, folder.path())?;
    eprintln!("filling {} tables of {} rows", tables.count, tables.rows);
    sysbench.prepare(&door.account, &tables)?;
    cluster.ensure_all_caught_up()?;
    let mut rows = Vec::new();
    for mode in &modes {
        for test in &tests {
            eprintln!("[{}/{}] {test}, {mode}", rows.len() + 1, modes.len() * tests.len());
            let run = Run {
                test: test.clone(),
                account: door.account.clone(),
                tables,
                threads,
                time,
                prepared: mode != "disable",
                rate: None,
                goes_on: false,
            };
            rows.push((mode.clone(), judge(&sysbench, &run, &cluster)?));
            door.check()?;
        }
    }
    let sums = checksums(&cluster, &tables)?;
    Ok(print_verdict(&rows, &sums))
}

/// What one run did, and what is wrong with it.
#[derive(Debug)]
struct Verdict {
    test: String,
    summary: Option<Summary>,
    deadlocks: u64,
    /// SELECTs that each node ran.
    selects: Vec<u64>,
    wrong: Vec<String>,
}

fn judge(sysbench: &Sysbench, run: &Run, cluster: &Cluster) -> Result<Verdict, Fault> {
    // What a test before has written must not make replicas too late for this one's reads (S66).
    cluster.ensure_all_caught_up()?;
    let (selects_before, deadlocks_before) = (selects(cluster)?, deadlocks(cluster)?);
    let outcome = sysbench.run(run);
    let selects: Vec<u64> =
        (selects(cluster)?.iter().zip(selects_before)).map(|(after, before)| after.saturating_sub(before)).collect();
    let deadlocks = deadlocks(cluster)?.saturating_sub(deadlocks_before);
    let mut wrong = Vec::new();
    let summary = match outcome {
        Ok(summary) => {
            wrong.extend(wrong_errors(&summary, deadlocks));
            Some(summary)
        }
        Err(error) => {
            wrong.push(error.to_string());
            None
        }
    };
    wrong.extend(wrong_spread(&selects));
    if run.test == "oltp_point_select" {
        wrong.extend(wrong_share(&selects));
    }
    Ok(Verdict { test: run.test.clone(), summary, deadlocks, selects, wrong })
}

/// sysbench passes over deadlocks, as an application would; the server knows how many there were.
fn wrong_errors(summary: &Summary, deadlocks: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    if summary.ignored_errors > deadlocks {
        let errors = summary.ignored_errors;
        wrong.push(format!("{errors} errors, but the primary had {deadlocks} deadlocks"));
    }
    if summary.reconnects > 0 {
        wrong.push(format!("{} reconnects", summary.reconnects));
    }
    wrong
}

/// Replicas have the same weight; with a few reads only, chance weighs more than they do.
fn wrong_spread(selects: &[u64]) -> Option<String> {
    let replicas = selects.get(1..).filter(|replicas| !replicas.is_empty())?;
    let total: u64 = replicas.iter().sum();
    if total < SPREAD_SELECTS_MIN {
        return None;
    }
    let even = total as f64 / replicas.len() as f64;
    let is_off = |count: &u64| (*count as f64 - even).abs() > even * SPREAD_TOLERANCE;
    let off: Vec<String> = replicas.iter().filter(|count| is_off(count)).map(u64::to_string).collect();
    (!off.is_empty()).then(|| format!("a replica ran {} of {total} reads", off.join(" and ")))
}

/// Reads outside transactions in sessions that write nothing have no reason to go to the primary.
fn wrong_share(selects: &[u64]) -> Option<String> {
    let (primary, replicas) = selects.split_first()?;
    let on_replicas: u64 = replicas.iter().sum();
    let share = on_replicas as f64 / (primary + on_replicas).max(1) as f64;
    let is_wrong = !replicas.is_empty() && share < REPLICA_SHARE_MIN;
    is_wrong.then(|| format!("only {:.0} % of the reads ran on replicas", share * 100.0))
}

fn print_verdict(rows: &[(String, Verdict)], sums: &[Vec<String>]) -> bool {
    let mut table = Table::new(&[
        "test",
        "ps-mode",
        "queries/s",
        "p99 ms",
        "errors",
        "deadlocks",
        "reconnects",
        "selects per node",
        "verdict",
    ]);
    let mut wrong = Vec::new();
    for (mode, verdict) in rows {
        let summary = verdict.summary.as_ref();
        let count = |field: fn(&Summary) -> u64| match summary {
            Some(summary) => field(summary).to_string(),
            None => "-".to_owned(),
        };
        let selects: Vec<String> = verdict.selects.iter().map(u64::to_string).collect();
        table.add(vec![
            verdict.test.clone(),
            mode.clone(),
            number(summary.map(|summary| summary.queries_per_second), 0),
            number(summary.map(|summary| summary.latency_ms_p99), 2),
            count(|summary| summary.ignored_errors),
            verdict.deadlocks.to_string(),
            count(|summary| summary.reconnects),
            selects.join(" "),
            if verdict.wrong.is_empty() { "good" } else { "WRONG" }.to_owned(),
        ]);
        wrong.extend((verdict.wrong.iter()).map(|what| format!("{} ({mode}): {what}", verdict.test)));
    }
    print!("{table}");
    match sums.first() {
        Some(first) if sums.iter().all(|sum| sum == first) => {
            println!("{} tables are equal on {} nodes", first.len(), sums.len());
        }
        _ => wrong.push(format!("the nodes' tables differ: {sums:?}")),
    }
    for what in &wrong {
        println!("WRONG: {what}");
    }
    wrong.is_empty()
}

fn start_cluster(replicas: usize) -> Result<Cluster, Fault> {
    let mysql = Mysql::find(None, &mut |progress| eprintln!("{progress}"))?;
    let options = ClusterOptions {
        replicas,
        extra_sql: format!("CREATE DATABASE IF NOT EXISTS {SCHEMA}"),
        ..ClusterOptions::default()
    };
    Ok(Cluster::start(&mysql, options, &mut |progress| eprintln!("{progress}"))?)
}

fn selects(cluster: &Cluster) -> Result<Vec<u64>, Fault> {
    let nodes = 0..cluster.nodes().len();
    nodes.map(|node| number_of(cluster, node, "SHOW GLOBAL STATUS LIKE 'Com_select'")).collect()
}

fn deadlocks(cluster: &Cluster) -> Result<u64, Fault> {
    let text = "SELECT NAME, COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'";
    number_of(cluster, 0, text)
}

/// The number in the second column of the first row.
fn number_of(cluster: &Cluster, node: usize, text: &str) -> Result<u64, Fault> {
    let rows = cluster.sql(node, text)?;
    let cell = rows.first().and_then(|row| row.get(1));
    let number = cell.and_then(|cell| cell.parse().ok());
    number.ok_or_else(|| Fault::Program(format!("no number from a server: {text}")))
}

/// The checksum of each table, per node, once the replicas have applied everything.
fn checksums(cluster: &Cluster, tables: &Tables) -> Result<Vec<Vec<String>>, Fault> {
    cluster.ensure_all_caught_up()?;
    let names: Vec<String> = (1..=tables.count).map(|n| format!("{SCHEMA}.sbtest{n}")).collect();
    let text = format!("CHECKSUM TABLE {}", names.join(", "));
    let of_node = |node| {
        let rows = cluster.sql(node, &text)?;
        let sums: Option<Vec<String>> = rows.into_iter().map(|row| row.into_iter().nth(1)).collect();
        let sums = sums.filter(|sums| !sums.iter().any(|sum| sum == "NULL"));
        sums.ok_or_else(|| Fault::Program("a table has no checksum".to_owned()))
    };
    (0..cluster.nodes().len()).map(of_node).collect()
}

const TESTS: &str = "oltp_read_write,oltp_point_select,oltp_read_only,oltp_write_only";
const SPREAD_TOLERANCE: f64 = 0.1;
const SPREAD_SELECTS_MIN: u64 = 1000;
const REPLICA_SHARE_MIN: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        for (selects, is_wrong) in [
            (vec![5, 1000, 1050], false),
            (vec![5, 1000, 1300], true),
            (vec![5000, 10, 300], false),
            (vec![5000], false),
            (vec![], false),
        ] {
            assert_eq!(wrong_spread(&selects).is_some(), is_wrong, "{selects:?}");
        }
        assert!(wrong_share(&[100, 40, 40]).is_some());
        assert!(wrong_share(&[1, 40, 40]).is_none());
        assert!(wrong_share(&[100]).is_none());
    }

    #[test]
    fn only_the_servers_own_deadlocks_are_excused() {
        let summary = Summary { ignored_errors: 3, ..Summary::default() };
        assert!(wrong_errors(&summary, 3).is_empty());
        assert_eq!(wrong_errors(&summary, 2).len(), 1);
        let summary = Summary { reconnects: 1, ..summary };
        assert_eq!(wrong_errors(&summary, 0).len(), 2);
    }
}
