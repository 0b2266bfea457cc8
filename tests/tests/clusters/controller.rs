//! Controllers as processes: killed at any moment, they lose nothing that they acknowledged and tell one history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_control::controller::client::{Controllers, Lease, Told, follow, register};
use weir_control::controller::leases::{Kind, Presence};
use weir_control::controller::record::{Phase, Record};
use weir_control::controller::roll::Registration;
use weir_control::lab::ports;
use weir_tests::keep::process::{Controller, folder, text, topology};
use weir_tests::keep::propose::{Proposers, Shared, lock};
use weir_tests::sim::random::Random;

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

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
        let proposers = Proposers::start(3, std::slice::from_ref(&address), &ledger);
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
        proposers.stop().await;
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

/// S78: who follows goes on with the last word, finds it again in its file, and believes nothing older afterwards, not even
/// from a controller whose store was put back. A tablet's lease runs out by itself.
#[test]
fn the_last_word_holds_when_all_controllers_are_gone() {
    let folder = folder("gone");
    let (store, copy, kept) = (folder.join("store.db"), folder.join("copy.db"), folder.join("kept"));
    let args = ["--store".to_owned(), text(&store), "--lease-ms".to_owned(), "1000".to_owned()];
    let mut controller = Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &args);
    runtime().block_on(async {
        controller.start();
        controller.wait(WAIT).await;
        assert!(controller.stop());
        std::fs::copy(&store, &copy).unwrap();
        controller.start();
        let nobody = ["127.0.0.1:1".to_owned(), controller.address()];
        let told = Told::open(Some(&kept)).unwrap();
        let follower = tokio::spawn(follow::follow(Controllers::new(&nobody, None), told.clone()));
        let (registration, lease) = (watch::channel(tablet("db1", "replica")).0, watch::channel(Lease::default()).0);
        let mut held = lease.subscribe();
        let controllers = Controllers::new(&nobody, None);
        let registrar = tokio::spawn(register(controllers, registration.subscribe(), told.clone(), lease));
        until(&told, |record| record.members.contains_key("db1")).await;
        held.wait_for(|lease| lease.is_held(tokio::time::Instant::now())).await.unwrap();
        // What a tablet says is told at once, and makes the first primary.
        registration.send_modify(|registration| registration.presence.role = "primary".to_owned());
        let steady = Phase::Steady { primary: "db1".to_owned() };
        let last = until(&told, |record| record.phase == steady).await;

        controller.kill9();
        held.wait_for(|lease| !lease.why.is_empty()).await.unwrap();
        let until_over = held.borrow().until.unwrap();
        tokio::time::sleep_until(until_over).await;
        assert!(!held.borrow().is_held(tokio::time::Instant::now()));
        assert_eq!(told.record(), Some(last.clone()));
        assert_eq!(Told::open(Some(&kept)).unwrap().record(), Some(last.clone()));

        // Back with its store: the lease is held again, nothing has changed.
        controller.start();
        held.wait_for(|lease| lease.is_held(tokio::time::Instant::now())).await.unwrap();
        assert_eq!(told.record(), Some(last.clone()));

        // Back with an old copy of it: neither topology nor lease of it is believed.
        controller.kill9();
        std::fs::copy(&copy, &store).unwrap();
        controller.start();
        let (behind, _) = controller.wait(WAIT).await;
        assert!(behind.epoch < last.epoch.number());
        let is_refused = |lease: &Lease| lease.why.contains("another past");
        tokio::time::timeout(WAIT, held.wait_for(is_refused)).await.expect("a lease of the past is refused").unwrap();
        assert_eq!(told.record(), Some(last));
        follower.abort();
        registrar.abort();
    });
    controller.kill9();
    std::fs::remove_dir_all(&folder).unwrap();
}

fn tablet(name: &str, role: &str) -> Registration {
    let presence = Presence { role: role.to_owned(), is_serving: true, ..Presence::default() };
    Registration {
        kind: Kind::Tablet,
        name: name.to_owned(),
        address: format!("{name}:3306"),
        grpc: format!("{name}:7406"),
        zone: String::new(),
        tags: [].into(),
        weight: None,
        presence,
    }
}

async fn until(told: &Told, holds: impl Fn(&Record) -> bool) -> Arc<Record> {
    let mut news = told.news();
    let holds = |record: &Option<Arc<Record>>| record.as_ref().is_some_and(|record| holds(record));
    let found = tokio::time::timeout(WAIT, news.wait_for(holds)).await.expect("it is told in time");
    found.expect("it lives").clone().expect("it holds for a record")
}

const WAIT: Duration = Duration::from_secs(10);
