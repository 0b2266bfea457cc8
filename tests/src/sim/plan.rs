//! The plan of one run: everything that a seed decides before the first event.

use weir_core::snapshot::Consistency;
use weir_net::flags::Capabilities;

use crate::sim::agenda::{MS, SECOND, US};
use crate::sim::cable::{Cut, Quality};
use crate::sim::client::Nature;
use crate::sim::client::script::levels::LEVELS;
use crate::sim::client::script::{Feature, Rules};
use crate::sim::fault::{self, KINDS, Kind, Planned};
use crate::sim::mutation::Mutation;
use crate::sim::random::Random;
use crate::sim::server::Habits;

/// Where clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To the primary: what the world says of itself.
    Direct,
    Gate,
    /// To a gate, reading at every level, while somebody writes who passes it by.
    Levels,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub mode: Mode,
    pub mutation: Option<Mutation>,
    /// Traces are kept for a second run of a seed that failed.
    pub traced: bool,
    pub cores: u16,
    pub budget: u32,
    pub blocks: usize,
    pub block_bytes: usize,
    /// Blocks lent to the model of the kernel.
    pub lent_max: usize,
    pub wait_ms_max: u64,
    pub accounts: i64,
    pub users: Vec<(String, String)>,
    pub servers: Vec<Habits>,
    pub clients: Vec<(Nature, Vec<Feature>, u32)>,
    pub rules: Rules,
    pub faults: Vec<Planned>,
    pub faults_end_at: u64,
    pub errors_excused: bool,
    pub front: Quality,
    pub back: Quality,
    pub look_ns_max: u64,
    /// How long a read waits for a replica.
    pub read_after_write_ms_max: u64,
    /// The longest pause between writes that pass the gate by, if there are any.
    pub outside_ns_max: Option<u64>,
    /// How late the gate hears of a move, at most.
    pub hears_ns_max: u64,
}

impl Plan {
    pub fn of_seed(seed: u64, mode: Mode) -> Plan {
        let mut random = Random::new(seed ^ 0x5eed);
        let r = &mut random;
        let cores = *r.pick(&[1, 1, 2, 3, 4]);
        let servers: Vec<Habits> = (0..r.between(1, 4)).map(|_| habits(r)).collect();
        let clients_count = r.between(1, 10) as usize;
        let users: Vec<(String, String)> =
            (0..r.between(1, 3)).map(|n| (format!("user{n}"), format!("secret {n} {}", r.below(1000)))).collect();
        let kinds = kinds(r);
        let faults_end_at = r.between(1, 6) * SECOND / 2;
        let faults = fault::plan(r, &kinds, servers.len(), clients_count, users.len(), faults_end_at);
        // A budget below the number of cores leaves some without a connection until one is ceded.
        let budget = *r.pick(&[1, 2, 3, 4, 8, 32]);
        let is_tight = usize::try_from(budget).is_ok_and(|budget| budget < clients_count);
        let (blocks, block_bytes, lent_max) =
            *r.pick(&[(64, 512, 4), (256, 256, 16), (256, 4096, 32), (1024, 16384, 64), (48, 1024, 3)]);
        let small = blocks * block_bytes < 100_000;
        let rules = Rules {
            accounts: r.between(3, 8) as i64,
            level: if r.chance(20) { Consistency::Eventual } else { Consistency::Session },
            users: users.iter().map(|(user, _)| user.clone()).collect(),
            rows_max: if small { 30 } else { *r.pick(&[30, 200, 1500]) },
        };
        let features = features(r);
        let clients = (0..clients_count).map(|_| client(r, &features)).collect();
        let errors_excused = kinds.iter().any(|kind| !fault::is_silent(*kind)) || is_tight;
        let mut plan = Plan {
            seed,
            mode,
            mutation: None,
            traced: false,
            cores,
            budget,
            blocks,
            block_bytes,
            lent_max,
            wait_ms_max: *r.pick(&[200, 2_000, 10_000]),
            accounts: rules.accounts,
            users,
            servers,
            clients,
            rules,
            faults,
            faults_end_at,
            errors_excused,
            front: quality(r),
            back: quality(r),
            look_ns_max: *r.pick(&[2 * MS, 20 * MS, 200 * MS]),
            read_after_write_ms_max: 20,
            outside_ns_max: None,
            hears_ns_max: 1,
        };
        if !plan.errors_excused {
            // A result of a thousand rows takes a second on the slowest wire, and a form that runs once at a time makes a client wait for
            // all others': who waits longer than that waits for something that was forgotten.
            plan.wait_ms_max = 30_000;
        }
        if mode != Mode::Direct && plan.errors_excused {
            plan.faults.extend(fault::losses(&mut Random::new(seed ^ 0x1057), plan.servers.len(), faults_end_at));
        }
        if mode == Mode::Levels {
            plan.add_levels(&mut Random::new(seed ^ 0x1e7e1));
        }
        plan
    }

    /// Draws of their own, so that a seed's world is otherwise the same without them.
    fn add_levels(&mut self, random: &mut Random) {
        self.rules.level = *random.pick(LEVELS);
        self.read_after_write_ms_max = *random.pick(&[0, 1, 20, 300]);
        self.outside_ns_max = random.chance(80).then(|| *random.pick(&[2 * MS, 10 * MS, 50 * MS]));
        self.hears_ns_max = *random.pick(&[1, 2 * MS, 100 * MS]);
        // Without replicas all levels are one.
        let count = self.servers.len().max(2);
        self.servers.resize_with(count, || habits(random));
        let share = *random.pick(&[2, 6, 12]);
        for (_, features, _) in &mut self.clients {
            features.extend(vec![Feature::Levels; share]);
        }
    }

    /// A world in which a mistake has every chance to show: no faults, busy clients with all features.
    pub fn of_mutation(seed: u64, mode: Mode, mutation: Mutation) -> Plan {
        let mut plan = Plan::of_seed(seed, mode);
        let mut random = Random::new(seed);
        plan.mutation = Some(mutation);
        plan.faults.clear();
        // Errors must not hide a mistake, but one of them needs clients that vanish.
        plan.errors_excused = false;
        plan.budget = 32;
        plan.cores = 1;
        plan.wait_ms_max = 10_000;
        if plan.rules.level == Consistency::Eventual && mode != Mode::Levels {
            plan.rules.level = Consistency::Session;
        }
        let all = if mode == Mode::Levels {
            plan.give_replicas(&mut random);
            vec![Feature::Levels, Feature::Levels, Feature::Levels, Feature::Values]
        } else {
            Feature::ALL.to_vec()
        };
        plan.clients = (0..8).map(|_| (client(&mut random, &all).0, all.clone(), 60)).collect();
        if mutation == Mutation::WrongFinding {
            plan.errors_excused = true;
            // What is lost on its way has not run.
            plan.back.latency_ns = 4 * MS;
            plan.clients = (0..32).map(|_| (client(&mut random, &all).0, all.clone(), 60)).collect();
            let kill = |n: u64| Planned {
                at: (n + 8) * 5 * MS,
                lasts_ns: 1,
                fault: fault::Fault::KillConnection { server: 0 },
            };
            plan.faults = (0..300).map(kill).collect();
        }
        if mutation == Mutation::HiddenFence {
            plan.errors_excused = true;
            let moves = |n: u64| Planned {
                at: (n + 1) * 40 * MS,
                lasts_ns: 30 * MS,
                fault: fault::Fault::Move { to: (n % 3 + 1) as usize, way: fault::Way::Unheard },
            };
            plan.faults = (0..12).map(moves).collect();
        }
        if matches!(mutation, Mutation::WrongThread | Mutation::DeafToKills) {
            plan.errors_excused = true;
            let lose = |n: u64| Planned { at: (n + 1) * 5 * MS, lasts_ns: 1, fault: fault::Fault::Lose { server: 0 } };
            plan.faults = (0..100).map(lose).collect();
        }
        if mutation == Mutation::KeptTransaction {
            plan.errors_excused = true;
            let vanish = |n: u64| Planned {
                at: (n + 1) * 10 * MS,
                lasts_ns: 1,
                fault: fault::Fault::Vanish { client: (n % 8) as usize, reset: true },
            };
            plan.faults = (0..60).map(vanish).collect();
        }
        plan
    }
}

impl Plan {
    /// Clients that only read, and a server that loses all its connections at once, again and again, and is back in no time: no read
    /// may fail, however many of the connections that rest are dead (S71).
    pub fn of_bursts(seed: u64) -> Plan {
        let mut plan = Plan::of_seed(seed, Mode::Gate);
        let mut random = Random::new(seed);
        let reads = [Feature::Big];
        (plan.cores, plan.budget, plan.wait_ms_max) = (1, 96, 10_000);
        (plan.rules.rows_max, plan.errors_excused) = (1, true);
        plan.servers.truncate(1);
        plan.clients = (0..64).map(|_| (client(&mut random, &reads).0, reads.to_vec(), 40)).collect();
        for (nature, ..) in &mut plan.clients {
            nature.think_ns_max = 400 * MS;
        }
        // Their ends arrive at different times.
        plan.back =
            Quality { latency_ns: MS, jitter_ns: 30 * MS, ns_per_byte: 0, capacity: 1 << 20, cut: Cut::Nowhere };
        let crash = |n: u64| Planned {
            at: (n + 1) * 1_500 * MS,
            lasts_ns: 1,
            fault: fault::Fault::Crash { server: 0, dials_hang: false },
        };
        plan.faults = (0..8).map(crash).collect();
        plan
    }

    /// Several cores, and replicas that are late enough to be caught.
    fn give_replicas(&mut self, random: &mut Random) {
        self.cores = 3;
        self.servers.resize_with(4, || habits(random));
        // Late by a few ms, and no later: what is far behind is never read from.
        self.servers.iter_mut().for_each(|habits| habits.apply_ns_max = 4 * MS);
        self.outside_ns_max = Some(8 * MS);
        self.look_ns_max = 4 * MS;
        self.read_after_write_ms_max = 20;
        for quality in [&mut self.front, &mut self.back] {
            quality.latency_ns = 100 * US;
            quality.ns_per_byte = 0;
            quality.cut = Cut::Nowhere;
        }
    }
}

/// A third of the seeds has no fault at all, a third one kind, the rest many.
fn kinds(random: &mut Random) -> Vec<Kind> {
    match random.below(3) {
        0 => Vec::new(),
        1 => vec![*random.pick(KINDS)],
        _ => KINDS.iter().copied().filter(|_| random.chance(50)).collect(),
    }
}

fn habits(random: &mut Random) -> Habits {
    let greets_with_other_plugin = random.chance(20);
    Habits {
        greets_with_other_plugin,
        // Which nonce would hold after a switch is nowhere written.
        switches_on_change: greets_with_other_plugin || random.chance(50),
        service_ns_max: *random.pick(&[50 * US, 200 * US, 2 * MS]),
        apply_ns_max: *random.pick(&[US, MS, 50 * MS]),
    }
}

fn quality(random: &mut Random) -> Quality {
    Quality {
        latency_ns: *random.pick(&[5 * US, 100 * US, 2 * MS]),
        jitter_ns: *random.pick(&[0, 20 * US, MS]),
        ns_per_byte: *random.pick(&[0, 1, 100]),
        capacity: *random.pick(&[256, 4096, 65536, 1 << 20]),
        cut: *random.pick(&[Cut::Nowhere, Cut::Pieces(1), Cut::Pieces(3), Cut::Pieces(40), Cut::Pieces(2000)]),
    }
}

/// The features of a whole seed; each client has most of them.
fn features(random: &mut Random) -> Vec<Feature> {
    let mut all: Vec<Feature> = Feature::ALL.iter().copied().filter(|_| random.chance(45)).collect();
    if all.is_empty() {
        all.push(Feature::Values);
    }
    all
}

fn client(random: &mut Random, features: &[Feature]) -> (Nature, Vec<Feature>, u32) {
    let mut caps = Capabilities::LONG_PASSWORD
        | Capabilities::PROTOCOL_41
        | Capabilities::TRANSACTIONS
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | Capabilities::CONNECT_WITH_DB
        | Capabilities::MULTI_RESULTS
        | Capabilities::PS_MULTI_RESULTS;
    let optional = [
        Capabilities::DEPRECATE_EOF,
        Capabilities::SESSION_TRACK,
        Capabilities::QUERY_ATTRIBUTES,
        Capabilities::MULTI_STATEMENTS,
        Capabilities::CONNECT_ATTRS,
        Capabilities::PLUGIN_AUTH_LENENC_DATA,
    ];
    for flag in optional {
        if random.chance(60) {
            caps = caps | flag;
        }
    }
    let is_slow = random.chance(10);
    let nature = Nature {
        caps,
        think_ns_max: *random.pick(&[US, 100 * US, 2 * MS, 20 * MS]),
        read_max: if is_slow { 500 } else { *random.pick(&[7, 300, 65536]) },
        read_pause_ns: if is_slow { 2 * MS } else { 0 },
        is_polite: random.chance(50),
        half_closes: random.chance(20),
    };
    let own: Vec<Feature> = features.iter().copied().filter(|_| random.chance(80)).collect();
    let own = if own.is_empty() { features.to_vec() } else { own };
    (nature, own, random.between(5, 50) as u32)
}
