//! The whole engine with anything at all on its wires: clients and backends that are honest, sloppy or hostile, in any
//! order, with sends, closes and time as the input says.
//!
//! ```text
//!   input ─► moves ─┬─► a client says (a login, a command, bytes)  ─► spoil ─► World ─► Engine
//!                   ├─► a backend answers (what is due, bytes)     ─► spoil ──┘   │
//!                   └─► dials, sends, ends, time, snapshots, mail  ───────────────┘
//! ```
//! What holds: nothing panics; the budget of connections is kept; queues stay bounded while pauses are heeded; bytes of
//! a running send don't move; no byte waits without a send; timers that were served are not due; and at the end
//! nothing is left: no session, link or wire, every block at home.
//! The simulator of `weir-tests` says whether answers are right; this says that nothing breaks whatever comes.

mod client;
mod outside;
mod server;
mod spoil;
mod wire;
mod world;

use crate::draw::Draw;
use world::World;

/// Moves of one input: an input of only settling would take long and show nothing.
const MOVES_MAX: usize = 300;

pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    let mut world = World::new(draw.u8());
    for _ in 0..MOVES_MAX {
        if draw.is_empty() {
            break;
        }
        step(&mut world, &mut draw);
        world.check();
    }
    world.end();
}

/// One move, chosen by one byte.
fn step(world: &mut World, draw: &mut Draw<'_>) {
    match draw.below(20) {
        0 => world.accept(draw.coin()),
        1 | 2 => world.client_says(draw),
        3 => world.client_logs_in(draw),
        4 | 5 => world.client_commands(draw),
        6 => world.client_proves(draw),
        7 => world.dialed(draw),
        8 | 9 => world.server_answers(draw),
        10 => world.server_says(draw),
        11 => world.sent(draw),
        12 => world.pass_ms(1 << draw.below(20)),
        13 => world.peer_ends(draw),
        14 => world.closed(draw),
        15 => world.snapshot(draw),
        16 => world.mail(draw),
        17 => world.flood(draw),
        _ => world.settle(),
    }
}

/// Whole lives of a session, honest and less so; fuzzing cuts and joins them.
pub fn seeds() -> Vec<Vec<u8>> {
    const SETTLE: u8 = 19;
    const LOGIN: u8 = 3;
    const COMMAND: u8 = 4;
    let mut seeds = Vec::new();
    // A login of each kind, then each command in turn; the last byte of a move is how it is spoiled.
    for kind in 0..client::LOGINS as u8 {
        for first in (0..client::COMMANDS as u8).step_by(4) {
            let mut seed = vec![kind, 0, kind % 2, SETTLE, LOGIN, 0, kind, 0, SETTLE, 6, 0, 0, SETTLE, SETTLE];
            for command in first..(first + 4).min(client::COMMANDS as u8) {
                seed.extend_from_slice(&[COMMAND, 0, command, 0, SETTLE]);
            }
            seeds.push(seed);
        }
    }
    // The same command, its answer spoiled in each way.
    for spoil in 0..spoil::WAYS as u8 {
        for command in [0, 4, 12, 20] {
            let mut seed = vec![1, 0, 1, SETTLE, LOGIN, 0, 0, 0, SETTLE, SETTLE];
            seed.extend_from_slice(&[COMMAND, 0, command, 0, 11, 0, 0xff, 8, 0, spoil, 7, 1, SETTLE]);
            seed.extend_from_slice(&[COMMAND, 0, 1, spoil, 9, 9, SETTLE, 12, 14, SETTLE]);
            seeds.push(seed);
        }
    }
    seeds
}
