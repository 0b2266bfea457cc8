//! The world: all processes of one cluster, the ways between them, and what happens next.
//!
//! Invariant: what happens at one moment happens in the order in which it was planned.

use super::chair::Chair;
use super::clock::{Clock, Ms, PPM_MAX};
use super::fault::Planned;
use super::gate::{Direct, Gate};
use super::oracle::Oracle;
use super::plan::{Mutation, Plan};
use super::server::Server;
use super::store::Store;
use super::tablet::Tablet;
use crate::sim::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;
use tokio::time::Instant;
use weir_control::controller::epoch::Epoch;
use weir_control::controller::record::{Member, Phase, Record};

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Server(usize),
    Tablet(usize),
    Controller(usize),
    Gate(usize),
    Store,
    /// Clients that go past the gates.
    Client,
}

/// What happens at some time.
pub type Then = Box<dyn FnOnce(&mut World)>;

pub struct World {
    pub now: Ms,
    pub plan: Plan,
    pub random: Random,
    pub servers: Vec<Server>,
    pub tablets: Vec<Tablet>,
    pub chairs: Vec<Chair>,
    pub gates: Vec<Gate>,
    pub directs: Vec<Direct>,
    pub store: Store,
    pub oracle: Oracle,
    /// By pair, how many faults cut it.
    cuts: BTreeMap<(Node, Node), u32>,
    agenda: BinaryHeap<Reverse<(Ms, u64)>>,
    planned: BTreeMap<u64, Then>,
    count: u64,
    /// Where the story goes, if anybody wants it.
    is_told: bool,
}

impl World {
    pub fn new(plan: Plan) -> World {
        let mut random = Random::new(plan.seed ^ 0x6d6f_7665);
        // Far from the beginning of time: leases end before they begin.
        let base = Instant::now() + Duration::from_secs(1_000);
        let mut clock = || Clock::new(base, random.between(0, 2 * PPM_MAX as u64) as i64 - PPM_MAX);
        let record = first_record(&plan);
        let clocks: Vec<Clock> = (0..plan.members).map(|_| clock()).collect();
        let chairs = (0..2).map(|at| Chair::new(at, clock())).collect();
        let gates = (0..2).map(|_| Gate::new(clock(), plan.members)).collect();
        let servers = (0..plan.members).map(|at| Server::new(at, &plan)).collect();
        let tablets = (0..plan.members).map(|at| Tablet::new(at, clocks[at], &plan)).collect();
        World {
            now: 0,
            random,
            servers,
            tablets,
            chairs,
            gates,
            directs: vec![Direct::default()],
            store: Store::new(record),
            oracle: Oracle::new(plan.members, plan.semi_sync, plan.is_calm),
            cuts: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            planned: BTreeMap::new(),
            count: 0,
            is_told: std::env::var("WEIR_STORY").is_ok(),
            plan,
        }
    }

    /// Everybody starts, and every fault is planned.
    pub fn begin(&mut self) {
        for at in 0..self.servers.len() {
            self.start_replication(at);
            self.start_tablet_process(at);
        }
        (0..2).for_each(|at| self.start_chair_process(at));
        (0..2).for_each(|at| self.start_gate(at));
        self.start_directs();
        for planned in self.plan.faults.clone() {
            self.plan_fault(planned);
        }
    }

    pub fn plan_fault(&mut self, planned: Planned) {
        let end = planned.clone();
        self.at(planned.at, move |w| w.begin_fault(&planned));
        self.at(end.at + end.lasts, move |w| w.end_fault(&end));
    }

    /// Until then, or until an oracle has found something.
    pub fn run_until(&mut self, end: Ms) {
        while let Some(Reverse((at, _))) = self.agenda.peek()
            && *at <= end
            && self.oracle.failure.is_none()
        {
            let Some(Reverse((at, count))) = self.agenda.pop() else { return };
            self.now = at;
            if let Some(then) = self.planned.remove(&count) {
                then(self);
            }
        }
        self.now = self.now.max(end);
    }

    pub fn at(&mut self, at: Ms, then: impl FnOnce(&mut World) + 'static) {
        self.count += 1;
        self.agenda.push(Reverse((at.max(self.now), self.count)));
        self.planned.insert(self.count, Box::new(then));
    }

    pub fn after(&mut self, pause: Ms, then: impl FnOnce(&mut World) + 'static) {
        self.at(self.now + pause, then);
    }

    /// A packet. It is lost when the way is cut as it leaves or as it arrives.
    pub fn send(&mut self, from: Node, to: Node, then: impl FnOnce(&mut World) + 'static) {
        if self.is_cut(from, to) {
            return;
        }
        let pause = self.latency();
        self.after(pause, move |w| {
            if !w.is_cut(from, to) {
                w.deliver(to, Box::new(then));
            }
        });
    }

    /// Who is frozen gets it later, who is down never.
    fn deliver(&mut self, to: Node, then: Then) {
        let queue = match to {
            Node::Tablet(at) if self.tablets[at].frozen > 0 => &mut self.tablets[at].stalled,
            Node::Controller(at) if self.chairs[at].frozen > 0 => &mut self.chairs[at].stalled,
            _ => return then(self),
        };
        queue.push(then);
    }

    fn latency(&mut self) -> Ms {
        match self.random.below(100) {
            0 => self.random.between(20, 400),
            _ => self.random.between(1, 4),
        }
    }

    pub fn is_cut(&self, one: Node, other: Node) -> bool {
        self.cuts.contains_key(&(one.min(other), one.max(other)))
    }

    pub fn cut(&mut self, one: Node, other: Node, begins: bool) {
        let pair = (one.min(other), one.max(other));
        let count = self.cuts.entry(pair).or_default();
        *count = if begins { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.cuts.remove(&pair);
        }
    }

    pub fn makes(&self, mutation: Mutation) -> bool {
        self.plan.makes(mutation)
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{:>7} {}", self.now, text());
        }
    }
}

/// The first member is primary.
fn first_record(plan: &Plan) -> Record {
    let member = |at: usize| {
        let member = Member {
            server_uuid: uuid(at),
            address: format!("db{at}:3306"),
            tablet: format!("db{at}:7406"),
            weight: 100,
            ..Member::default()
        };
        (name(at).to_string(), member)
    };
    Record {
        epoch: Epoch::new(1),
        phase: Phase::Steady { primary: name(0).to_string() },
        members: (0..plan.members).map(member).collect(),
        ..Record::forming("sim", plan.lease_ms)
    }
}

pub fn name(at: usize) -> &'static str {
    ["a", "b", "c"][at]
}

pub fn index(name: &str) -> usize {
    (name.as_bytes()[0] - b'a') as usize
}

pub fn uuid(at: usize) -> String {
    format!("3aecbfe0-e779-11f1-be4c-02fc0000000{}", at + 1)
}

pub fn uuid_bytes(at: usize) -> [u8; 16] {
    [0x3a, 0xec, 0xbf, 0xe0, 0xe7, 0x79, 0x11, 0xf1, 0xbe, 0x4c, 0x02, 0xfc, 0, 0, 0, at as u8 + 1]
}
