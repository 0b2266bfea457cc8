//! Faults: what goes wrong, when, and when it is over.
//!
//! Invariant: after `Plan::faults_end_at` nothing new goes wrong and everything that was broken works again.

use crate::sim::agenda::{MS, SECOND};
use crate::sim::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection of a server is reset, mid-anything.
    KillConnection {
        server: usize,
    },
    /// A connection of a server breaks, and the server hears nothing of it.
    Lose {
        server: usize,
    },
    /// A server dies with all its connections and is back later; meanwhile dials are refused, or hang.
    Crash {
        server: usize,
        dials_hang: bool,
    },
    /// A server stops moving (SIGSTOP) and goes on later.
    Freeze {
        server: usize,
    },
    /// Everything takes a server this many times as long.
    Slow {
        server: usize,
        times: u64,
    },
    Vanish {
        client: usize,
        reset: bool,
    },
    /// An operator's `KILL` of some connection.
    AdminKill {
        server: usize,
        query_only: bool,
    },
    StopApplier {
        server: usize,
    },
    /// A server refuses every new connection with 1040.
    Full {
        server: usize,
    },
    /// An account gets another password.
    NewPassword {
        user: usize,
    },
    /// The control thread takes a server for down that is not.
    FalseAlarm {
        server: usize,
    },
    /// The primary's role goes to this server.
    Move {
        to: usize,
        way: Way,
    },
}

/// How the primary's role goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Gates drain first.
    Planned,
    /// The primary stops moving without a word.
    Lost,
    /// It is fenced and followed, and the gate, whose clients still reach it, hears of that late.
    Unheard,
}

/// One fault and its time.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: u64,
    pub lasts_ns: u64,
    pub fault: Fault,
}

/// Kinds that a seed switches on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    KillConnection,
    Crash,
    Freeze,
    Slow,
    Vanish,
    AdminKill,
    StopApplier,
    Full,
    NewPassword,
    FalseAlarm,
    Move,
}

pub const KINDS: &[Kind] = &[
    Kind::KillConnection,
    Kind::Crash,
    Kind::Freeze,
    Kind::Slow,
    Kind::Vanish,
    Kind::AdminKill,
    Kind::StopApplier,
    Kind::Full,
    Kind::NewPassword,
    Kind::FalseAlarm,
    Kind::Move,
];

/// Draws faults of these kinds within a span of time.
pub fn plan(
    random: &mut Random,
    kinds: &[Kind],
    servers: usize,
    clients: usize,
    users: usize,
    until: u64,
) -> Vec<Planned> {
    let mut all = Vec::new();
    if kinds.is_empty() {
        return all;
    }
    for _ in 0..random.between(1, 12) {
        let at = random.below(until);
        let lasts_ns = random.between(MS, SECOND).min(until.saturating_sub(at).max(1));
        let server = random.below(servers as u64) as usize;
        let fault = match random.pick(kinds) {
            Kind::KillConnection => Fault::KillConnection { server },
            Kind::Crash => Fault::Crash { server, dials_hang: random.chance(40) },
            Kind::Freeze => Fault::Freeze { server },
            Kind::Slow => Fault::Slow { server, times: random.between(2, 50) },
            Kind::Vanish => Fault::Vanish { client: random.below(clients as u64) as usize, reset: random.chance(50) },
            Kind::AdminKill => Fault::AdminKill { server, query_only: random.chance(50) },
            Kind::StopApplier => Fault::StopApplier { server },
            Kind::Full => Fault::Full { server },
            Kind::NewPassword => Fault::NewPassword { user: random.below(users as u64) as usize },
            Kind::FalseAlarm => Fault::FalseAlarm { server },
            Kind::Move => Fault::Move {
                to: server,
                way: match (random.chance(50), lasts_ns.is_multiple_of(2)) {
                    (true, _) => Way::Planned,
                    (false, true) => Way::Lost,
                    (false, false) => Way::Unheard,
                },
            },
        };
        all.push(Planned { at, lasts_ns, fault });
    }
    all
}

/// Connections that break without their server's knowing: draws of their own, so that a seed's world is otherwise the same.
pub fn losses(random: &mut Random, servers: usize, until: u64) -> Vec<Planned> {
    if !random.chance(30) {
        return Vec::new();
    }
    let lose = |random: &mut Random| Planned {
        at: random.below(until),
        lasts_ns: 1,
        fault: Fault::Lose { server: random.below(servers as u64) as usize },
    };
    (0..random.between(1, 12)).map(|_| lose(random)).collect()
}

/// True for what clients never notice as an error.
pub fn is_silent(kind: Kind) -> bool {
    matches!(kind, Kind::StopApplier)
}
