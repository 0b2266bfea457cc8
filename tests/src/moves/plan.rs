//! A plan: all of a run that its seed decides beforehand, and the mistake that is made in it.

use super::clock::Ms;
use super::fault::{Fault, Planned, faults};
use super::world::Node;
use crate::sim::random::Random;

/// A deliberate mistake: each must be caught, or an oracle is blind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The leader takes every lease as over.
    NoLeases,
    /// A new leader knows nothing of leases that were given before.
    NewLeaderForgets,
    /// A fence says that it is done, and nothing was done.
    FenceSkipped,
    /// A steward calls an epoch settled when it hears of it.
    SettledEarly,
    /// Replicas go on receiving while there is no primary.
    ReceiversRun,
    /// Tablets and gates believe older epochs.
    OlderEpochs,
    /// A server acknowledges what no replica has.
    EarlyAck,
    /// What is lost is told to nobody.
    Untold,
    /// A leader that finds no primary does nothing.
    Asleep,
    /// A deed that failed is tried again at once, for ever.
    Restless,
    /// A gate forgets transactions that the new primary has.
    Forgetful,
    /// A gate sends on while the role is handed over, and its clients hear of the end.
    Undrained,
    /// A gate takes an old word of the new primary for what it has.
    StaleSettle,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub mutation: Option<Mutation>,
    pub members: usize,
    pub semi_sync: bool,
    pub fence_kill: bool,
    pub lease_ms: u32,
    pub faults: Vec<Planned>,
    /// Nothing but switchovers: then no write through a gate may fail.
    pub is_calm: bool,
    /// Until when faults may last.
    pub until: Ms,
}

impl Plan {
    pub fn of_seed(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let members = if random.chance(80) { 3 } else { 2 };
        let semi_sync = random.chance(60);
        let fence_kill = random.chance(50);
        let lease_ms = *random.pick(&[2_000, 2_000, 3_000, 5_000]);
        let is_calm = random.chance(12);
        let until = random.between(10_000, 20_000);
        let faults = faults(&mut random, members, is_calm, until);
        Plan { seed, mutation: None, members, semi_sync, fence_kill, lease_ms, faults, is_calm, until }
    }

    pub fn of_mutation(seed: u64, mutation: Mutation) -> Plan {
        let plan = Plan { mutation: Some(mutation), ..Plan::of_seed(seed) };
        let mut random = Random::new(seed);
        let mut planned = |at: Ms, lasts: Ms, fault: Fault| Planned { at: at + random.below(700), lasts, fault };
        let server = Node::Server;
        let order = |heir| Fault::Switchover { heir, drain: 1_500 };
        let (faults, semi_sync) = match mutation {
            Mutation::NoLeases => (vec![planned(4_000, 16_000, Fault::Isolate(0))], false),
            Mutation::NewLeaderForgets => {
                let killed = planned(5_000, 8_000, Fault::KillController(0));
                (vec![planned(4_000, 16_000, Fault::Isolate(0)), killed], false)
            }
            Mutation::Undrained => (vec![planned(4_000, 1, order(1)), planned(7_000, 1, order(0))], false),
            Mutation::StaleSettle => {
                let deaf = planned(3_000, 9_000, Fault::Cut(Node::Gate(0), Node::Tablet(0)));
                (vec![deaf, planned(4_000, 1, order(1)), planned(7_000, 1, order(0))], true)
            }
            Mutation::OlderEpochs => {
                let old = planned(2_500, 9_000, Fault::Cut(Node::Store, Node::Controller(1)));
                (vec![old, planned(4_000, 1, order(1))], true)
            }
            Mutation::Restless => {
                let apart = planned(3_000, 12_000, Fault::Cut(server(1), server(2)));
                (vec![apart, planned(4_000, 9_000, Fault::KillServer(0))], true)
            }
            Mutation::ReceiversRun | Mutation::SettledEarly => {
                (vec![planned(4_000, 6_000, Fault::FreezeServer(0)), planned(4_000, 6_000, Fault::Isolate(0))], true)
            }
            _ => return plan,
        };
        let is_calm = mutation == Mutation::Undrained;
        let is_late = matches!(mutation, Mutation::NoLeases | Mutation::NewLeaderForgets);
        let (lease_ms, until) = if is_late { (30_000, 22_000) } else { (5_000, 16_000) };
        Plan { faults, semi_sync, is_calm, until, lease_ms, members: 3, ..plan }
    }

    pub fn makes(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}
