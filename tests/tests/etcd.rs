//! Two controllers on three etcd members: whoever is killed, no epoch is lost or forked, and the other takes over.

use std::time::{Duration, Instant};

use tonic::Code;
use weir_control::grpc::proto;
use weir_control::lab::etcd::Etcd;
use weir_control::lab::ports;
use weir_tests::keep::process::{Controller, client, folder, topology};
use weir_tests::keep::propose::{Proposers, Shared, lock};

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// What happens to the leading controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
    /// SIGSTOP, until another leads; then it goes on as if nothing had happened.
    Paused,
}

#[test]
fn no_epoch_is_lost_whoever_is_killed() {
    let folder = folder("etcd");
    let etcd = Etcd::create(&folder, 3, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    (0..3).for_each(|at| etcd.start(at).unwrap());
    let args = ["--etcd".to_owned(), etcd.addresses().join(",")];
    let ports = ports::free(2).unwrap();
    let mut controllers: Vec<_> = ports.into_iter().map(|port| Controller::new(PROGRAM, port, &args)).collect();
    let addresses: Vec<String> = controllers.iter().map(Controller::address).collect();
    let ledger = Shared::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut takeovers: Vec<(End, Duration)> = Vec::new();
    let mut outages: Vec<Duration> = Vec::new();
    runtime.block_on(async {
        controllers.iter_mut().for_each(Controller::start);
        leader(&addresses).await;
        let proposers = Proposers::start(3, &addresses, &ledger);
        for round in 0..6 {
            let member = round % 3;
            let began = Instant::now();
            etcd.kill9(member);
            progress(&ledger).await;
            outages.push(began.elapsed());
            let end = [End::Killed, End::Stopped, End::Paused][round % 3];
            let leading = leader(&addresses).await;
            let other = 1 - leading;
            let began = Instant::now();
            match end {
                End::Killed => controllers[leading].kill9(),
                End::Stopped => assert!(controllers[leading].stop()),
                End::Paused => controllers[leading].signal(19),
            }
            until_leads(&addresses[other]).await;
            takeovers.push((end, began.elapsed()));
            progress(&ledger).await;
            match end {
                End::Killed | End::Stopped => controllers[leading].start(),
                End::Paused => controllers[leading].signal(18),
            }
            progress(&ledger).await;
            etcd.start(member).unwrap();
            // Both know the same before the next blow.
            controllers[leading].wait(LIMIT).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        proposers.stop().await;
        let leading = leader(&addresses).await;
        let last = topology(&addresses[leading]).await.unwrap();
        lock(&ledger).see(&last);
        let caught_up = async {
            while topology(&addresses[1 - leading]).await.ok().as_ref() != Some(&last) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LIMIT, caught_up).await.expect("the follower tells the same");
        let ledger = lock(&ledger);
        eprintln!(
            "{} epochs acknowledged, {} unanswered, {} refused; epoch {} at the end",
            ledger.acknowledged, ledger.unanswered, ledger.refused, last.epoch
        );
        eprintln!("takeovers: {}", show(takeovers.iter().map(|(end, took)| (format!("{end:?}"), *took))));
        eprintln!("an etcd member killed: {}", show(outages.iter().map(|took| ("next change".to_owned(), *took))));
        assert!(ledger.acknowledged > 100, "too little was written for a test: {}", ledger.acknowledged);
    });
    for (end, took) in takeovers {
        // Three seconds of a leadership, what etcd takes to notice, and perhaps an election of etcd's own.
        assert!(took < Duration::from_secs(10), "{end:?}: {took:?}");
    }
    controllers.iter_mut().for_each(Controller::kill9);
    (0..3).for_each(|at| etcd.kill9(at));
    std::fs::remove_dir_all(&folder).unwrap();
}

fn show(all: impl Iterator<Item = (String, Duration)>) -> String {
    all.map(|(what, took)| format!("{what} {:.1} s", took.as_secs_f64())).collect::<Vec<_>>().join(", ")
}

/// A change that was proposed from now on is acknowledged.
async fn progress(ledger: &Shared) {
    // The next one may have been proposed before.
    let wanted = lock(ledger).acknowledged_last() + 6;
    let wait = async {
        while lock(ledger).acknowledged_last() < wanted {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("changes go on");
}

async fn leader(addresses: &[String]) -> usize {
    let wait = async {
        loop {
            for (at, address) in addresses.iter().enumerate() {
                if leads(address).await {
                    return at;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("somebody leads")
}

async fn until_leads(address: &str) {
    let wait = async {
        while !leads(address).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the other takes over");
}

/// Only a leader that has read the store lists tablets; another one names the leader.
async fn leads(address: &str) -> bool {
    let Ok(mut client) = client(address).await else { return false };
    match client.list_tablets(proto::ListTabletsRequest {}).await {
        Ok(_) => true,
        Err(status) => {
            assert!(
                matches!(status.code(), Code::FailedPrecondition | Code::Unavailable | Code::Unknown),
                "{status:?}"
            );
            false
        }
    }
}

const LOOK: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(30);
