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
    const COMMANDS: u8 = client::COMMANDS as u8;
    let mut seeds = Vec::new();
    // A login of each kind, then a few commands.
    for kind in 0..client::LOGINS as u8 {
        for first in (0..COMMANDS).step_by(4) {
            let commands = (first..(first + 4).min(COMMANDS)).map(|number| command(number, 0));
            seeds.push([life(kind, kind), commands.collect::<Vec<_>>().concat()].concat());
        }
    }
    // A command whose answer is spoiled in each way, then one that is spoiled itself; time, and a close.
    for way in 0..spoil::WAYS as u8 {
        for number in [0, 3, 12, 19, 20, 21, 31, 32] {
            let answered = [SENT, 0, 0xff, ANSWER, 0, way, 7, 1, SETTLE];
            let rest = [command(number, 0)[..5].to_vec(), answered.to_vec(), command(number, way)];
            seeds.push([life(1, 0), rest.concat(), vec![TIME, 9, SETTLE, TIME, 14, SETTLE]].concat());
        }
    }
    // Bytes without end from either side, in the middle of a transaction and outside of one.
    for (side, kind) in [(0, 1), (1, 0), (1, 3)] {
        for byte in [3, 12, 14, 22, 23, 25, 0xfe] {
            for number in [19, 21] {
                let flood = [FLOOD, side, 0, 0, kind, byte, SETTLE, FLOOD, side, 0, 0, kind, byte, SETTLE];
                seeds.push([life(2, 0), command(number, 0), flood.to_vec()].concat());
            }
        }
    }
    // A file without end, and a command, for a backend that takes nothing.
    for flags in [0x00, 0x42, 0x81, 0xc0] {
        let file = [command(31, 0), vec![FLOOD, 0, 0, 1, 1, 9, FLOOD, 0, 0, 1, 1, 9, SETTLE]].concat();
        let long = [FLOOD, 0, 0, 0, 1, 3, FLOOD, 0, 0, 0, 1, 3, SETTLE];
        seeds.push([life(flags, 0), file].concat());
        seeds.push([life(flags, 0), long.to_vec()].concat());
    }
    // Rows without end for a client that reads nothing, and for one that reads.
    for flags in [0x00, 0x42, 0x81, 0xc0] {
        let asked = [&command(30, 0)[..5], &[SENT, 0, 0xff]].concat();
        let rows = [FLOOD, 1, 0, 0, 4, 1, 0, SENT, 0, 9, SETTLE, FLOOD, 1, 0, 0, 4, 0, TIME, 12, SETTLE];
        seeds.push([life(flags, 0), asked, rows.to_vec()].concat());
    }
    seeds
}

/// A client comes, and logs in honestly.
fn life(flags: u8, login: u8) -> Vec<u8> {
    // The password itself is asked for by a Unix socket.
    let is_local = u8::from(matches!(login, 1 | 3 | 4));
    vec![flags, ACCEPT, is_local, SETTLE, LOGIN, 0, login, 0, SETTLE, PROOF, 0, 0, SETTLE, PROOF, 0, 0, SETTLE]
}

/// The first client says this one, and everybody goes on.
fn command(number: u8, spoil: u8) -> Vec<u8> {
    vec![COMMAND, 0, 0, number, spoil, SETTLE]
}

/// The moves as [`step`] numbers them.
const ACCEPT: u8 = 0;
const LOGIN: u8 = 3;
const COMMAND: u8 = 4;
const PROOF: u8 = 6;
const ANSWER: u8 = 8;
const SENT: u8 = 11;
const TIME: u8 = 12;
const FLOOD: u8 = 17;
const SETTLE: u8 = 19;
