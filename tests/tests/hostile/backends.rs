//! A backend that turns hostile, beside one that is honest.

use std::thread;
use std::time::{Duration, Instant};

use weir_tests::hostile::backend::{Backend, MARK};
use weir_tests::hostile::limits;
use weir_tests::hostile::misdeed::{MISDEEDS, Misdeed, WELCOMES};
use weir_tests::hostile::peer::{Ended, Peer};
use weir_tests::hostile::tested::Behind;
use weir_tests::hostile::witness::{Road, log_in};
use weir_tests::real::place::{ask, first_cell, place};

use crate::Arena;

/// Clients that meet the misdeed at the same time.
const VICTIMS: usize = 6;

#[test]
fn instead_of_a_reply() {
    let backend = Backend::start(place().backends[1]).unwrap();
    let arena = arena("misdeeds", &backend);
    for deed in MISDEEDS {
        backend.intend(deed);
        let before = backend.committed();
        arena.attack(&format!("a backend's {deed:?}"), || {
            thread::scope(|scope| {
                for victim in 0..VICTIMS {
                    let arena = &arena;
                    scope.spawn(move || meet(arena, deed, victim));
                }
            });
            read_honestly(&arena);
        });
        assert!(backend.committed() > before, "{deed:?} was never committed: nobody was sent to that backend");
    }
    used_again(&arena, &backend);
    arena.close();
}

#[test]
fn instead_of_a_greeting() {
    let backend = Backend::start(place().backends[1]).unwrap();
    let arena = arena("welcomes", &backend);
    for kind in WELCOMES {
        used_again(&arena, &backend);
        backend.welcome(Some(kind));
        // Idle connections end, so that new ones are needed.
        thread::sleep(2 * limits::BACKEND_IDLE);
        let before = backend.committed();
        arena.attack(&format!("a backend's {kind:?}"), || {
            // Nothing was sent there, so the other one can answer, or the client is told.
            thread::scope(|scope| {
                for _ in 0..VICTIMS {
                    scope.spawn(|| read_honestly(&arena));
                }
            });
        });
        assert!(backend.committed() > before, "{kind:?} met nobody");
        backend.welcome(None);
    }
    used_again(&arena, &backend);
    arena.close();
}

/// The control thread asks too: it may not drown in what it hears.
#[test]
fn instead_of_an_answer_to_the_monitor() {
    let backend = Backend::start(place().backends[1]).unwrap();
    let arena = arena("monitor", &backend);
    for deed in MISDEEDS {
        used_again(&arena, &backend);
        backend.intend(deed);
        let before = backend.committed();
        backend.spare_nobody(true);
        arena.attack(&format!("a backend's {deed:?} for the monitor"), || {
            thread::sleep(limits::ATTACK / 2);
            read_honestly(&arena);
        });
        backend.spare_nobody(false);
        assert!(backend.committed() > before, "{deed:?} met nobody");
    }
    used_again(&arena, &backend);
    arena.close();
}

/// It repents, and reads reach it again.
fn used_again(arena: &Arena, backend: &Backend) {
    let before = backend.served();
    let deadline = Instant::now() + limits::CALM_WAIT;
    while backend.served() == before {
        assert!(Instant::now() < deadline, "the backend is not used again");
        read_honestly(arena);
        thread::sleep(limits::SAMPLE_PAUSE);
    }
}

/// Reads that the hostile backend may get: each has its own answer, in time, or an error; what others left behind on a
/// connection is nobody's answer (S32).
fn read_honestly(arena: &Arena) {
    let mut wire = log_in(&arena.gate.address(), &arena.account).unwrap();
    for n in 0..5 {
        let began = Instant::now();
        let answer = ask(&mut wire, &format!("SELECT {n} * 3 /*vt+ ROLE=REPLICA */"));
        assert!(began.elapsed() < limits::READ_WAIT, "{:?} for an answer", began.elapsed());
        match answer {
            Ok(reply) => assert_eq!(first_cell(&reply.rows()), (n * 3).to_string()),
            // Its connection may have ended with the error.
            Err(_) => wire = log_in(&arena.gate.address(), &arena.account).unwrap(),
        }
    }
}

/// One client sends a read to the hostile backend, and leaves when it has seen enough.
fn meet(arena: &Arena, deed: Misdeed, victim: usize) {
    let Ok(mut peer) = Peer::logged_in(arena.gate.socket_address(), &arena.account) else {
        panic!("{deed:?}: a client cannot log in");
    };
    if victim == 0 {
        peer.narrow().unwrap();
    }
    let sql = format!("\x03/*vt+ ROLE=REPLICA */ SELECT '{MARK}', {victim}");
    assert!(peer.send_packet(0, sql.as_bytes()));
    match victim % 3 {
        // Does not read for a while.
        0 => thread::sleep(Duration::from_millis(700)),
        // Leaves at once.
        1 => return peer.reset(),
        _ => {}
    }
    let ended = peer.drain(limits::ATTACK / 2);
    // What the client gets is an error or an end, in time, where the misdeed is seen as one.
    let is_seen = matches!(
        deed,
        Misdeed::RandomBytes
            | Misdeed::WrongSequence
            | Misdeed::HalfAndGone
            | Misdeed::HalfAndReset
            | Misdeed::HugeOk
            | Misdeed::AbsurdCount
            | Misdeed::LyingLengths
            | Misdeed::EmptyPackets
    );
    if is_seen && ended == (Ended::Closed { bytes: 0 }) {
        panic!("{deed:?}: the client was told nothing");
    }
}

fn arena(name: &str, backend: &Backend) -> Arena {
    let place = place();
    let backends = [
        Behind { address: place.backends[0], is_primary: true },
        Behind { address: backend.address, is_primary: false },
    ];
    Arena::before(name, place, &backends, Road::Primary)
}
