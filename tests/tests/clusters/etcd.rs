//! Two controllers on three etcd members: whoever is killed, no epoch is lost or forked, and the other takes over.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tonic::Code;
use weir_control::grpc::proto;
use weir_control::lab::etcd::Etcd;
use weir_control::lab::ports;
use weir_control::store::{self, EtcdOptions, Leadership, Revision, Store, Stored, Swap};
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

/// A leader that slept through its lease finds another in its place: by its own clock it does not lead any more, and were
/// that wrong, etcd itself refuses what it writes. It wakes with the write, before it can hear of anything.
#[test]
fn a_leader_that_slept_writes_nothing() {
    let folder = folder("slept");
    let etcd = Etcd::create(&folder, 1, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    etcd.start(0).unwrap();
    let start = |address: &str| {
        // Nothing of it runs while its runtime is not driven.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (endpoints, cluster, address) = (etcd.addresses(), "main".to_owned(), address.to_owned());
        let options = EtcdOptions { endpoints, tls: None, cluster, address, leader_s: 2 };
        let store = runtime.block_on(async { store::Etcd::start(options) });
        (runtime, store)
    };
    let is_ours = |store: &store::Etcd| store.leadership().borrow().is_ours(tokio::time::Instant::now());
    let until_ours = async |store: &store::Etcd| {
        let mut leadership = store.leadership();
        let ours = leadership.wait_for(|now| now.is_ours(tokio::time::Instant::now()));
        tokio::time::timeout(LIMIT, ours).await.expect("it leads").map(drop).unwrap();
    };
    let (first_runtime, first) = start("first:1");
    let one = first_runtime.block_on(async {
        until_ours(&first).await;
        let Ok(Swap::Done(revision)) = first.swap(Revision(0), b"one").await else { panic!("the first swap") };
        assert_eq!(first.swap(Revision(0), b"late").await, Ok(Swap::Lost));
        revision
    });
    let (second_runtime, second) = start("second:1");
    let two = second_runtime.block_on(async {
        until_ours(&second).await;
        assert_eq!(second.load().await, Ok(Some(Stored { revision: one, bytes: b"one".to_vec() })));
        let Ok(Swap::Done(revision)) = second.swap(one, b"two").await else { panic!("the second swap") };
        revision
    });
    assert!(!is_ours(&first));
    assert_eq!(first_runtime.block_on(first.swap(two, b"late")), Ok(Swap::Deposed));
    first_runtime.block_on(async {
        let mut leadership = first.leadership();
        let theirs = leadership.wait_for(|now| *now == Leadership::Theirs(Some("second:1".to_owned())));
        tokio::time::timeout(LIMIT, theirs).await.expect("it follows").map(drop).unwrap();
        assert_eq!(first.load().await, Ok(Some(Stored { revision: two, bytes: b"two".to_vec() })));
        let mut peers = first.peers().await.unwrap();
        peers.sort_by(|a, b| a.address.cmp(&b.address));
        let all: Vec<_> = peers.iter().map(|peer| (peer.address.as_str(), peer.is_leader)).collect();
        assert_eq!(all, [("first:1", false), ("second:1", true)]);
    });
    etcd.kill9(0);
    std::fs::remove_dir_all(&folder).unwrap();
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
    let mut answered_late = 0;
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
            let mut late = Vec::new();
            let began = Instant::now();
            match end {
                End::Killed => controllers[leading].kill9(),
                End::Stopped => assert!(controllers[leading].stop()),
                End::Paused => late = pause(&controllers[leading], round, &ledger).await,
            }
            until_leads(&addresses[other]).await;
            takeovers.push((end, began.elapsed()));
            progress(&ledger).await;
            match end {
                End::Killed | End::Stopped => controllers[leading].start(),
                End::Paused => controllers[leading].signal(signals::CONT),
            }
            for proposal in late {
                // What it acknowledges now, it must have been right to.
                let outcome = tokio::time::timeout(LIMIT, proposal).await.expect("it is answered once it goes on");
                outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                answered_late += 1;
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
            // A write without an answer may still land after the proposers have stopped: both are asked each time.
            loop {
                let (one, other) =
                    (topology(&addresses[leading]).await.ok(), topology(&addresses[1 - leading]).await.ok());
                if one.is_some() && one == other {
                    break;
                }
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
        assert!(answered_late >= 2 * LATE as usize, "a paused leader was asked: {answered_late}");
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

/// Pauses the leader, and sends it proposals that it finds when it goes on: one of them expects the very epoch that it
/// knows. By then another leads.
async fn pause(leader: &Controller, round: usize, ledger: &Shared) -> Vec<JoinHandle<()>> {
    let client = client(&leader.address()).await.unwrap();
    let known = topology(&leader.address()).await.unwrap();
    leader.signal(signals::STOP);
    let propose = |offset: u64| {
        let (mut client, ledger, mut next) = (client.clone(), ledger.clone(), known.clone());
        let expected = known.epoch + offset;
        next.reason = format!("late, round {round}, after {expected}");
        lock(&ledger).propose(&next.reason, expected + 1);
        tokio::spawn(async move {
            let topology = Some(next);
            let request = proto::ProposeTopologyRequest { epoch_expected: expected, topology, former_is_fenced: false };
            match client.propose_topology(request).await {
                Ok(reply) => lock(&ledger).acknowledge(&reply.into_inner().topology.expect("a topology")),
                Err(_) => lock(&ledger).refused += 1,
            }
        })
    };
    (0..LATE).map(propose).collect()
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
pub(super) async fn leads(address: &str) -> bool {
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

/// Epochs that others may make between our look and the pause.
const LATE: u64 = 12;

/// As the kernel numbers them.
mod signals {
    pub const CONT: i32 = 18;
    pub const STOP: i32 = 19;
}

const LOOK: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(30);
