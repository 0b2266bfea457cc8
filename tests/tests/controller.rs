//! Controllers as processes: killed at any moment, they lose nothing that they acknowledged and tell one history.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Code;
use weir_control::grpc::proto;
use weir_control::lab::ports;
use weir_tests::keep::ledger::Ledger;
use weir_tests::keep::process::{Controller, client, folder, text, topology};
use weir_tests::sim::random::Random;

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

type Shared = Arc<Mutex<Ledger>>;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Killed 200 times while three clients change the topology as fast as they can.
#[test]
fn a_controller_that_is_killed_loses_nothing() {
    const KILLS: usize = 200;
    let seed = 0x5eed_c0de;
    let folder = folder("kill9");
    let port = ports::free(1).unwrap().remove(0);
    let store = folder.join("store.db");
    let mut controller = Controller::new(PROGRAM, port, &["--store".to_owned(), text(&store)]);
    let ledger = Shared::default();
    let mut random = Random::new(seed);
    runtime().block_on(async {
        let address = controller.address();
        let proposers: Vec<_> =
            (0..3).map(|who| tokio::spawn(propose_for_ever(vec![address.clone()], who, ledger.clone()))).collect();
        let (mut opened, began) = (Vec::new(), Instant::now());
        for _ in 0..KILLS {
            let started = Instant::now();
            controller.start();
            // What was acknowledged before we ask must be there; what is acknowledged meanwhile may be.
            let (seen, _) = controller.wait(Duration::from_secs(10)).await;
            opened.push(started.elapsed());
            lock(&ledger).see_late(&seen);
            let last = lock(&ledger).acknowledged_last();
            let now = topology(&address).await.expect("it answered a moment ago");
            assert!(now.epoch >= last, "epoch {last} was acknowledged, and {} is the newest now", now.epoch);
            tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
            controller.kill9();
        }
        controller.start();
        controller.wait(Duration::from_secs(10)).await;
        for proposer in proposers {
            proposer.abort();
            // A proposer that found a fork has panicked.
            assert!(proposer.await.is_err_and(|error| error.is_cancelled()));
        }
        let now = topology(&address).await.unwrap();
        let mut ledger = lock(&ledger);
        ledger.see(&now);
        opened.sort();
        eprintln!(
            "{KILLS} kills in {:.1} s: {} epochs acknowledged, {} proposals unanswered, {} refused; epoch {} at the end; \
             from start to an answer: median {} ms, most {} ms",
            began.elapsed().as_secs_f64(),
            ledger.acknowledged,
            ledger.unanswered,
            ledger.refused,
            now.epoch,
            opened[opened.len() / 2].as_millis(),
            opened[opened.len() - 1].as_millis(),
        );
        assert!(ledger.acknowledged > KILLS, "too little was written for a test: {}", ledger.acknowledged);
        assert!(ledger.unanswered > KILLS / 20, "no kill hit a change under way: {}", ledger.unanswered);
        assert!(now.epoch >= ledger.acknowledged as u64);
    });
    assert!(controller.stop());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Proposes one change after the other to whichever controller takes it.
async fn propose_for_ever(addresses: Vec<String>, who: usize, ledger: Shared) {
    for turn in 0_usize.. {
        let address = &addresses[(turn + who) % addresses.len()];
        if propose(address, &format!("proposer {who}, turn {turn}"), &ledger).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn propose(address: &str, mark: &str, ledger: &Shared) -> Result<(), tonic::Status> {
    let mut client = client(address).await?;
    loop {
        let known = client.get_topology(proto::GetTopologyRequest {}).await?.into_inner();
        let mut next = known.topology.expect("a topology");
        lock(ledger).see_late(&next);
        let expected = next.epoch;
        let mark = format!("{mark}, after {expected}");
        next.reason.clone_from(&mark);
        lock(ledger).propose(&mark, expected + 1);
        let request = proto::ProposeTopologyRequest {
            epoch_expected: expected,
            topology: Some(next),
            former_is_fenced: false,
        };
        match client.propose_topology(request).await {
            Ok(reply) => lock(ledger).acknowledge(&reply.into_inner().topology.expect("a topology")),
            Err(status) if status.code() == Code::Aborted => {
                lock(ledger).refused += 1;
                // Another proposer was faster; the mark is used up.
                return Ok(());
            }
            Err(status) => {
                lock(ledger).unanswered += 1;
                return Err(status);
            }
        }
    }
}

fn lock(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
