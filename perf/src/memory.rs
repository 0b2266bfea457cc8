//! `memory`: what an idle client costs a proxy, in resident memory and in time to log in; with `--busy`, while others work.
//!
//! Invariant: the memory before is that of a proxy which has served a few clients already, so that what it makes once
//! is in neither of the differences. The kernel's own memory for sockets is in no process and so in no number here.

use std::thread;
use std::time::Duration;

use weir_control::lab::cache::{self, TemporaryFolder};

use crate::arguments::Arguments;
use crate::backend::Backend;
use crate::door::{Door, GateOptions, Kind};
use crate::error::Fault;
use crate::holders::Holders;
use crate::load::{self, LoadOptions, Question};
use crate::meter;
use crate::table::{Table, number};

/// Clients that ask one question after the other while the rest is idle.
struct Busy {
    clients: usize,
    time: Duration,
}

/// Clients that say nothing.
struct Idle {
    count: usize,
    with_tls: bool,
    /// For how long the proxy's CPU time is watched while they do.
    watch: Duration,
}

/// True if no question was answered with an error.
pub fn run(mut arguments: Arguments) -> Result<bool, Fault> {
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let idle = Idle {
        count: arguments.value_or("--clients", 5000)?,
        with_tls: arguments.yes_or_no("--tls", false)?,
        watch: Duration::from_secs_f64(arguments.value_or("--idle", 10.0)?),
    };
    let doors: Vec<Kind> = arguments.list_or("--doors", "weir")?;
    let busy = Busy {
        clients: arguments.value_or("--busy", 0)?,
        time: Duration::from_secs_f64(arguments.value_or("--time", 10.0)?),
    };
    let budget: Option<usize> = arguments.value("--connections-per-backend")?;
    let program = arguments.value("--weir")?;
    let cores = arguments.text_or("--cores", "1")?;
    let backend = Backend::from_arguments(arguments, folder.path())?;
    let mut errors = 0;
    let mut gate = GateOptions { cores: Some(cores), ..GateOptions::for_backend(&backend, program) };
    if let Some(budget) = budget {
        gate.extra = vec!["--connections-per-backend".to_owned(), budget.to_string()];
    }
    let mut table = Table::new(&[
        "door",
        "clients",
        "tls",
        "logins/s",
        "p50 ms",
        "p99 ms",
        "before MiB",
        "after MiB",
        "KiB/client",
        "gone MiB",
        "idle cpu %",
        "busy",
        "queries/s",
        "cpu µs/q",
        "p99 ms",
        "errors",
    ]);
    for kind in doors {
        eprintln!("{}: {} clients log in", kind.name(), idle.count);
        let door = Door::open(kind, &backend, &gate, folder.path())?;
        let (row, failed) = measure(&door, &idle, &busy)?;
        table.add(row);
        errors += failed;
        door.check()?;
    }
    print!("{table}");
    Ok(errors == 0)
}

fn measure(door: &Door, idle: &Idle, busy: &Busy) -> Result<(Vec<String>, u64), Fault> {
    let pid = door.pid().ok_or_else(|| Fault::Usage(format!("{} is no process of its own", door.kind.name())))?;
    let rss = || {
        thread::sleep(SETTLE_PAUSE);
        let bytes = meter::rss_bytes(pid).map_err(|error| Fault::io("reading memory", error));
        bytes.map(|bytes| bytes as f64)
    };
    drop(Holders::gather(&door.account, WARM_CLIENTS, idle.with_tls)?);
    let before = rss()?;
    let crowd = Holders::gather(&door.account, idle.count, idle.with_tls)?;
    let after = rss()?;
    // What is due once after a login is over by then.
    thread::sleep(if idle.watch.is_zero() { idle.watch } else { LOGIN_LIMIT });
    let cpu_before = meter::cpu_ns_of_all(&[pid]);
    thread::sleep(idle.watch);
    let idle_cpu = (meter::cpu_ns_of_all(&[pid]) - cpu_before) as f64 / idle.watch.as_nanos().max(1) as f64;
    let outcome = match busy.clients {
        0 => None,
        connections => Some(load::run(&load_of(door, connections, busy.time), &[pid])?),
    };
    if let Some(error) = outcome.as_ref().and_then(|outcome| outcome.first_error.as_ref()) {
        eprintln!("the first error: {error}");
    }
    let (p50, p99) = (crowd.login_p50_ns as f64 / 1e6, crowd.login_p99_ns as f64 / 1e6);
    let count = crowd.count;
    let per_second = count as f64 / crowd.time.as_secs_f64();
    drop(crowd);
    let gone = rss()?;
    let row = vec![
        door.kind.name().to_owned(),
        count.to_string(),
        if idle.with_tls { "yes" } else { "no" }.to_owned(),
        number(Some(per_second), 0),
        number(Some(p50), 2),
        number(Some(p99), 2),
        number(Some(before / MIB), 1),
        number(Some(after / MIB), 1),
        number(Some((after - before) / KIB / count.max(1) as f64), 2),
        number(Some(gone / MIB), 1),
        number(Some(idle_cpu * 100.0), 2),
        busy.clients.to_string(),
        number(outcome.as_ref().map(|outcome| outcome.per_second()), 0),
        number(outcome.as_ref().map(|outcome| outcome.cpu_us(0)), 2),
        number(outcome.as_ref().map(|outcome| outcome.latency_us(0.99) / 1e3), 2),
        outcome.as_ref().map_or("-".to_owned(), |outcome| (outcome.errors + outcome.unanswered).to_string()),
    ];
    Ok((row, outcome.map_or(0, |outcome| outcome.errors + outcome.unanswered)))
}

fn load_of(door: &Door, connections: usize, time: Duration) -> LoadOptions {
    LoadOptions {
        account: door.account.clone(),
        question: Question::TextPoint { tables: 4, rows: 20_000 },
        connections,
        threads: 1,
        rate: None,
        warm_up: Duration::from_millis(500),
        time,
    }
}

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * 1024.0;
/// Clients that come and go before anything is measured.
const WARM_CLIENTS: usize = 64;
/// A login's time limit, which each session is looked at for once.
const LOGIN_LIMIT: Duration = Duration::from_secs(11);
/// The proxy's own end of a login or a farewell may lie a little behind the client's.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);
