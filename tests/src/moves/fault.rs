//! Faults: what goes wrong in a run, and when; and what operators do.

use super::clock::Ms;
use super::world::{Node, World};
use crate::sim::random::Random;

#[derive(Clone, Debug)]
pub struct Planned {
    pub at: Ms,
    pub lasts: Ms,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    KillServer(usize),
    FreezeServer(usize),
    KillTablet(usize),
    FreezeTablet(usize),
    /// Server and tablet at once, by the same cause.
    KillMachine(usize),
    /// Nobody reaches it, and it reaches nobody.
    Isolate(usize),
    /// Its tablet and the controllers do not reach each other.
    CutTablet(usize),
    Cut(Node, Node),
    KillController(usize),
    FreezeController(usize),
    /// No controller reaches it.
    CutStore,
    /// A gate hears nothing of controllers.
    DeafGate(usize),
    DiskFull(usize),
    SlowApplier(usize),
    /// An operator moves the role, if it can be.
    Switchover {
        heir: usize,
        drain: Ms,
    },
    AcceptLoss,
    Drain(usize),
}

pub fn faults(random: &mut Random, members: usize, is_calm: bool, until: Ms) -> Vec<Planned> {
    let count = random.between(2, 8);
    // Runs differ in kind: each has a few kinds of faults only.
    let mut kinds: Vec<u64> = (0..17).collect();
    random.shuffle(&mut kinds);
    kinds.truncate(random.between(2, 6) as usize);
    let mut planned: Vec<Planned> = (0..count)
        .map(|_| {
            let at = random.between(2_500, until - 2_000);
            let most = (until - at).min(8_000);
            let short = random.chance(25);
            let lasts = if short { random.between(20, most.min(1_200)) } else { random.between(most / 3, most) };
            let kind = if is_calm { 14 } else { *random.pick(&kinds) };
            Planned { at, lasts, fault: fault(random, kind, members) }
        })
        .collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn fault(random: &mut Random, kind: u64, members: usize) -> Fault {
    // The first one is primary at first, so it is hit more often.
    let member = if random.chance(60) { 0 } else { random.below(members as u64) as usize };
    let other = (member + 1 + random.below(members as u64 - 1) as usize) % members;
    let gate = random.below(2) as usize;
    match kind {
        0 => Fault::KillServer(member),
        1 => Fault::FreezeServer(member),
        2 => Fault::KillTablet(member),
        3 => Fault::FreezeTablet(member),
        4 => Fault::KillMachine(member),
        5 => Fault::Isolate(member),
        6 => Fault::CutTablet(member),
        7 => Fault::Cut(Node::Server(member), Node::Server(other)),
        8 => Fault::Cut(Node::Gate(gate), Node::Server(member)),
        9 => Fault::Cut(Node::Gate(gate), Node::Tablet(member)),
        10 => Fault::KillController(gate),
        11 => Fault::FreezeController(gate),
        12 => Fault::CutStore,
        13 => Fault::DeafGate(gate),
        14 => Fault::Switchover { heir: other, drain: random.between(50, 1_500) },
        15 => Fault::DiskFull(member),
        _ => match random.below(4) {
            0 => Fault::AcceptLoss,
            1 => Fault::Drain(member),
            2 => Fault::Cut(Node::Store, Node::Controller(gate)),
            _ => Fault::SlowApplier(member),
        },
    }
}

impl World {
    pub fn begin_fault(&mut self, planned: &Planned) {
        self.log(|| format!("fault {:?} for {} ms", planned.fault, planned.lasts));
        match planned.fault {
            Fault::KillServer(at) => self.kill_server(at),
            Fault::FreezeServer(at) => {
                self.servers[at].frozen += 1;
                self.oracle.unguarded(at);
            }
            Fault::KillTablet(at) => self.kill_tablet(at),
            Fault::FreezeTablet(at) => self.freeze_tablet(at),
            Fault::KillMachine(at) => {
                self.kill_server(at);
                self.kill_tablet(at);
            }
            Fault::KillController(at) => self.kill_chair(at),
            Fault::FreezeController(at) => self.chairs[at].frozen += 1,
            Fault::DiskFull(at) => self.servers[at].disk_full += 1,
            Fault::SlowApplier(at) => self.servers[at].slow += 1,
            Fault::Switchover { heir, drain } => self.order(heir, drain),
            Fault::AcceptLoss => self.accept_loss(),
            Fault::Drain(at) => self.drain_member(at),
            _ => self.each_cut(&planned.fault, true),
        }
    }

    pub fn end_fault(&mut self, planned: &Planned) {
        self.log(|| format!("end of {:?}", planned.fault));
        match planned.fault {
            Fault::KillServer(at) => self.start_server(at),
            Fault::FreezeServer(at) => self.thaw_server(at),
            Fault::KillTablet(at) => self.start_tablet(at),
            Fault::FreezeTablet(at) => self.thaw_tablet(at),
            Fault::KillMachine(at) => {
                self.start_server(at);
                self.start_tablet(at);
            }
            Fault::KillController(at) => self.start_chair(at),
            Fault::FreezeController(at) => self.thaw_chair(at),
            Fault::DiskFull(at) => self.free_disk(at),
            Fault::SlowApplier(at) => self.servers[at].slow -= 1,
            Fault::Switchover { .. } | Fault::AcceptLoss | Fault::Drain(_) => {}
            _ => self.each_cut(&planned.fault, false),
        }
    }

    fn each_cut(&mut self, fault: &Fault, begins: bool) {
        let members = self.servers.len();
        let mut pairs = Vec::new();
        match *fault {
            Fault::Isolate(at) => {
                let others = |other: &usize| *other != at;
                for inner in [Node::Server(at), Node::Tablet(at)] {
                    pairs.extend((0..members).filter(others).map(|other| (inner, Node::Server(other))));
                    pairs.extend((0..2).flat_map(|n| [(inner, Node::Gate(n)), (inner, Node::Controller(n))]));
                }
            }
            Fault::CutTablet(at) => pairs.extend((0..2).map(|n| (Node::Tablet(at), Node::Controller(n)))),
            Fault::Cut(one, other) => pairs.push((one, other)),
            Fault::CutStore => pairs.extend((0..2).map(|n| (Node::Store, Node::Controller(n)))),
            Fault::DeafGate(at) => pairs.extend((0..2).map(|n| (Node::Gate(at), Node::Controller(n)))),
            _ => {}
        }
        for (one, other) in pairs {
            self.cut(one, other, begins);
        }
    }
}
