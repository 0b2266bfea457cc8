//! S60 to S66: reads are as fresh as their level promises while replication is late on purpose, through two gates and
//! beside writes that bypass them. The large run of the same checker is `weir-perf consistency`.

use std::net::SocketAddr;
use std::time::Duration;

use weir_control::config::Config;
use weir_control::gate::{self, GateHandle};
use weir_control::lab::template::MONITOR;
use weir_core::snapshot::Address;
use weir_perf::client::Account;
use weir_perf::consistency::delay::Delay;
use weir_perf::consistency::level::Level;
use weir_perf::consistency::register::SCHEMA;
use weir_perf::consistency::scene::{Gate, Scene, Way};
use weir_perf::consistency::{Options, check};
use weir_tests::real::place::{PASSWORD, USER, place};

/// Of each level. Enough for tens of thousands of stale reads at `EVENTUAL`, few enough for a minute.
const READS: u64 = 20_000;

/// How long a read may wait for a replica, in seconds.
const TIMEOUT: f64 = 0.02;

#[test]
fn reads_are_as_fresh_as_their_level_promises() {
    let place = place();
    let account = |address: SocketAddr| Account {
        address,
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        schema: Some(SCHEMA.to_owned()),
    };
    let handles = [start_gate(&place.backends), start_gate(&place.backends)];
    let gates: Vec<Gate> = (handles.iter().enumerate())
        .map(|(number, handle)| Gate { number, account: account(handle.address().unwrap()), pid: None })
        .collect();
    let scene = Scene {
        nodes: place.backends.iter().map(|backend| account(*backend)).collect(),
        ways: Level::ALL.map(|level| Way::by_session(level, gates.clone(), Some(TIMEOUT))).into(),
    };
    let options = Options {
        delays: vec![Delay::Applier, Delay::SourceDelay],
        reads: READS,
        rounds: 1,
        sessions: 48,
        side_rows: 1,
        tokens: 10,
        time_max: Duration::from_secs(15),
        ..Options::default()
    };
    let findings = check(&scene, &options, &mut |text| eprintln!("{text}")).unwrap();
    println!("{findings}");
    // That EVENTUAL shows stale reads is a part of this: a checker that finds none says so there.
    assert_eq!(findings.wrong(), Vec::<String>::new());
    for level in Level::ALL {
        let rows = findings.rows.iter().filter(|row| row.level == level);
        let reads: u64 = rows.map(|row| row.tally.reads).sum();
        assert!(reads >= READS, "{level}: {reads} reads");
    }
    assert!(findings.carried.times > 0);
}

fn start_gate(backends: &[SocketAddr]) -> GateHandle {
    let backends: Vec<_> = backends.iter().map(|backend| Address::Tcp(*backend)).collect();
    let mut config = Config::local(&backends, MONITOR.0, MONITOR.1);
    config.cores.truncate(2);
    gate::start(config).unwrap()
}
