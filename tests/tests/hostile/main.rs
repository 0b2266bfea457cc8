//! Hostile peers, on both sides of a gate in a process of its own, while witnesses go on (S32, S44, S50).
//!
//! Each test starts a gate and attacks it in several ways, one after the other. After every attack the witnesses have had
//! right answers in bounded time, memory has stayed below its limit, and at the end the descriptors are those of the start.
//! The tests take turns: what is measured is one attack at a time.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_tests::hostile::limits;
use weir_tests::hostile::tested::{Behind, Tested};
use weir_tests::hostile::watch::Watch;
use weir_tests::hostile::witness::{self, Road, Witnesses};
use weir_tests::real::place::{Place, place};
use weir_tests::real::wire::Account;

mod backends;
mod logged_in;
mod newcomers;
mod slow;

/// A gate with witnesses, for one test.
struct Arena {
    gate: Tested,
    account: Account,
    road: Road,
    _turn: MutexGuard<'static, ()>,
}

impl Arena {
    /// Before the whole cluster.
    fn open(name: &str) -> Arena {
        let place = place();
        let address_of =
            |(at, address): (usize, &std::net::SocketAddr)| Behind { address: *address, is_primary: at == 0 };
        let backends: Vec<Behind> = place.backends.iter().enumerate().map(address_of).collect();
        Arena::before(name, place, &backends, Road::Any)
    }

    fn before(name: &str, place: &Place, backends: &[Behind], road: Road) -> Arena {
        static TURNS: Mutex<()> = Mutex::new(());
        let turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admin = place.admin().unwrap();
        for statement in witness::SETUP {
            admin.sql(statement).unwrap();
        }
        admin.ensure_replicated().unwrap();
        let account = place.account();
        let program = Path::new(env!("CARGO_BIN_EXE_weir-under-test"));
        let gate = Tested::start(program, name, backends, &account).unwrap_or_else(|why| panic!("{why}"));
        Arena { gate, account, road, _turn: turn }
    }

    /// One attack, with witnesses before, during and after it.
    fn attack(&self, name: &str, attack: impl FnOnce()) {
        let began = Instant::now();
        let watch = Watch::start(self.gate.pid());
        let witnesses = Witnesses::start(&self.gate.address(), &place().primary(), &self.account, self.road);
        attack();
        // Some statements after it, in any case.
        std::thread::sleep(Duration::from_millis(200));
        let seen = witnesses.stop();
        let peak = watch.stop();
        self.gate.check_alive().unwrap_or_else(|why| panic!("{name}: {why}"));
        let seen = seen.unwrap_or_else(|why| panic!("{name}: {why}"));
        seen.check(peak.delayed).unwrap_or_else(|why| panic!("{name}: {why}"));
        eprintln!(
            "{name}: {:.1} s; gate at most {} MiB and {} descriptors; {} answers to witnesses, median {:.1} ms, worst {:.0} ms ({:.0} without a gate)",
            began.elapsed().as_secs_f64(),
            peak.rss_bytes >> 20,
            peak.descriptors,
            seen.answers,
            seen.median.as_secs_f64() * 1e3,
            seen.worst.as_secs_f64() * 1e3,
            seen.worst_direct.as_secs_f64() * 1e3,
        );
        assert!(peak.rss_bytes <= limits::RSS_BYTES_MAX, "{name}: the gate took {} MiB", peak.rss_bytes >> 20);
    }

    /// All attackers are gone: nothing of them may be left, and the gate ends in order.
    fn close(self) {
        self.gate.check_calm().unwrap_or_else(|why| panic!("{why}"));
        self.gate.stop().unwrap_or_else(|why| panic!("{why}"));
    }
}
