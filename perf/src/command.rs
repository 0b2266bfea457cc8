//! The commands of `weir-perf`, from what was typed to the exit code.
//!
//! Invariant: each command asks for its arguments by name and refuses the rest; results go to standard output, progress
//! and complaints to standard error.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::client::Account;
use crate::error::Fault;
use crate::load::{self, LoadOptions, Question};
use crate::null::NullBackend;
use crate::relay::Relay;
use crate::ring_relay::RingRelay;
use crate::table::{Table, number};
use crate::{accept, compare, consistency, correctness, hold, memory, meter, moves, policies, spread};

pub fn run(mut arguments: Arguments) -> ExitCode {
    let done = match arguments.command().as_deref() {
        Some("null") => null(arguments).map(|()| true),
        Some("relay") => relay(arguments, copy_with_epoll).map(|()| true),
        Some("ring-relay") => relay(arguments, copy_with_ring).map(|()| true),
        Some("load") => load(arguments),
        Some("compare") => compare::run(arguments).map(|()| true),
        Some("accept") => accept::run(arguments),
        Some("hold") => hold::run(arguments).map(|()| true),
        Some("memory") => memory::run(arguments),
        Some("spread") => spread::run(arguments).map(|()| true),
        Some("sysbench") => correctness::run(arguments),
        Some("consistency") => consistency::run(arguments),
        Some("policies") => policies::run(arguments),
        Some("moves") => moves::run(arguments),
        Some("help") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(Fault::Usage(format!("there is no command {other}"))),
        None => Err(Fault::Usage("a command is missing".to_owned())),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Fault::Usage(what)) => {
            eprintln!("weir-perf: {what}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(fault) => {
            eprintln!("weir-perf: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn null(mut arguments: Arguments) -> Result<(), Fault> {
    let listen = listen(&mut arguments, 13306)?;
    arguments.finish()?;
    let _ = meter::raise_files_max();
    let serving = NullBackend::bind(listen).and_then(|mut backend| {
        println!("null backend at {}", backend.address()?);
        backend.run()
    });
    serving.map_err(|error| Fault::io(format!("serving at {listen}"), error))
}

fn relay(mut arguments: Arguments, copy: fn(SocketAddr, SocketAddr) -> io::Result<()>) -> Result<(), Fault> {
    let listen = listen(&mut arguments, 13307)?;
    let target = arguments.address("--to")?;
    arguments.finish()?;
    let target = target.ok_or_else(|| Fault::Usage("--to is missing".to_owned()))?;
    let _ = meter::raise_files_max();
    copy(listen, target).map_err(|error| Fault::io(format!("relaying at {listen}"), error))
}

fn copy_with_epoll(listen: SocketAddr, target: SocketAddr) -> io::Result<()> {
    let mut relay = Relay::bind(listen, target)?;
    println!("relay at {} to {target}", relay.address()?);
    relay.run()
}

fn copy_with_ring(listen: SocketAddr, target: SocketAddr) -> io::Result<()> {
    let mut relay = RingRelay::bind(listen, target)?;
    println!("relay on io_uring at {} to {target}", relay.address()?);
    relay.run()
}

/// True if no question was answered with an error.
fn load(mut arguments: Arguments) -> Result<bool, Fault> {
    let (rows, tables) = (arguments.value_or("--table-size", 20_000)?, arguments.value_or("--tables", 4)?);
    let question = match (arguments.text("--statement")?, arguments.flag("--text")) {
        (Some(text), _) => Question::Text(text),
        (None, true) => Question::TextPoint { tables, rows },
        (None, false) => Question::PreparedPoint { rows },
    };
    let address = arguments.address("--to")?;
    let options = LoadOptions {
        account: Account {
            address: address.ok_or_else(|| Fault::Usage("--to is missing".to_owned()))?,
            user: arguments.text_or("--user", "app")?,
            password: arguments.text_or("--password", "app")?,
            schema: Some(arguments.text_or("--schema", "sbtest")?),
        },
        question,
        connections: arguments.value_or("--connections", 8)?,
        threads: arguments.value_or("--load-threads", 1)?,
        rate: arguments.value("--rate")?,
        warm_up: Duration::from_secs_f64(arguments.value_or("--warm-up", 0.5)?),
        time: Duration::from_secs_f64(arguments.value_or("--time", 10.0)?),
    };
    let watched: Vec<u32> = arguments.value("--pid")?.into_iter().collect();
    arguments.finish()?;
    let _ = meter::raise_files_max();
    let outcome = load::run(&options, &watched)?;
    let mut table =
        Table::new(&["queries/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "errors", "unanswered", "cpu µs/q"]);
    let latency = |share: f64| number(Some(outcome.latency_us(share)), 1);
    table.add(vec![
        number(Some(outcome.per_second()), 0),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        latency(1.0),
        outcome.errors.to_string(),
        outcome.unanswered.to_string(),
        number((!watched.is_empty()).then(|| outcome.cpu_us(0)), 2),
    ]);
    print!("{table}");
    if let Some(error) = &outcome.first_error {
        println!("the first error: {error}");
    }
    Ok(outcome.errors == 0)
}

fn listen(arguments: &mut Arguments, port: u16) -> Result<SocketAddr, Fault> {
    let given = arguments.address("--listen")?;
    Ok(given.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port))))
}

const USAGE: &str = "\
usage: weir-perf COMMAND [--name value …]

  null      [--listen ADDR]                 a MySQL server that does nothing
  relay     [--listen ADDR] --to ADDR       a blind copier of bytes
  ring-relay [--listen ADDR] --to ADDR      the same on io_uring
  load      --to ADDR [--connections N] [--rate N] [--time S] [--text | --statement SQL] [--load-threads N]
            [--user U --password P --schema S] [--warm-up S] [--pid N]
  compare   [--backend null|mysqld|ADDR] [--doors direct,relay,weir,haproxy,…] [--threads 1,8,64] [--time S]
            [--rounds N] [--rate N] [--load own|sysbench] [--test NAME] [--db-ps-mode auto|disable]
            [--statement SQL] [--load-threads N] [--warm-up S] [--cores N] [--weir FILE] [--json FILE]
            [--plots DIR] [--syscalls yes|no]
  accept    [--clients N] [--at-once N] [--doors weir,haproxy,relay,…] [--backend …] [--rounds N] [--cores N]
            [--weir FILE] [--json FILE]
  memory    [--clients N] [--tls yes|no] [--idle S] [--doors weir,…] [--backend …] [--cores N] [--weir FILE]
            [--busy N] [--time S] [--connections-per-backend N]
  spread    [--clients 16,64,1000] [--backend …] [--cores N] [--weir FILE]
  sysbench  [--time S] [--threads N] [--tests …] [--db-ps-mode auto,disable] [--replicas N]
            [--connections-per-backend N] [--tables N] [--table-size N] [--cores N] [--weir FILE]
  consistency [--reads N] [--levels EVENTUAL,SESSION,INSTANCE,GLOBAL] [--delay all|calm,busy,applier,source-delay,ddl]
            [--gates N] [--sessions N] [--direct N] [--writes PERCENT] [--rate N] [--rounds N] [--timeout S]
            [--calm-rate N] [--calm-time S] [--time-max S] [--tokens N] [--by session|config] [--replicas N]
            [--side-rows N] [--load-threads N] [--connections-per-backend N] [--cores N] [--weir FILE] [--json FILE]
  policies  [--policies RANDOM,LEAST_RT,…] [--time S] [--after S] [--slow-ms N] [--rate N] [--sessions N]
            [--by session|config] [--cores N] [--weir FILE]
  moves     [--rounds N] [--harms kill,switchover,stop,cut,kill-twice,reload,drain,upgrade,part:A/B,part:A>B] [--durability semi-sync|async|group]
            [--hosts ways|namespaces] [--hold S]
            [--workers N] [--think-ms N] [--pause S] [--sysbench-threads N] [--sysbench-rate N] [--cores N]
            [--minutes N] [--visitors N] [--renews-after STEPS] [--weir FILE]

With --plots DIR `compare` writes latency by percentile for each number of clients, CPU per query and throughput as SVG.
With --syscalls yes it counts each proxy's syscalls per query after the measured rounds, with perf or else strace.
`accept` measures how long a door takes until N clients (10000) are logged in and answered, N (256) logins under way at
once; all stay until the last one is served.

With --hosts namespaces each part has a host of its own (a network namespace; made without root where users may), and any
two can be cut off from each other for --hold seconds: part:primary/gate in both directions, part:primary>gate for what the
primary sends alone. Parties: primary, replicas, one-replica, controller, cluster (replicas and controller), gate.

A backend of somebody else's (ADDR) also takes --user, --password, --monitor-user, --monitor-password, --mysqld-pid.
";
