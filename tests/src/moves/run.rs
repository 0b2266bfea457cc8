//! A run: a plan from its beginning to the time when all must be well again.

use super::clock::Ms;
use super::fault::faults;
use super::oracle::Counts;
use super::plan::Plan;
use super::server::Channel;
use super::world::{World, index, name};
use crate::sim::random::Random;
use weir_control::controller::record::{MemberState, Phase};
use weir_control::monitor::facts::Receiver;
use weir_control::tablet::word::Word;

const HOUR: Ms = 3_600_000;

/// What happened; Err: what an oracle has found.
pub fn run(plan: &Plan) -> Result<Counts, String> {
    let mut world = World::new(plan.clone());
    world.begin();
    world.operate();
    world.run_until(plan.until);
    world.get_well();
    world.rest_well();
    world.outcome()
}

/// One world that lives for so long: faults for some time, then it must get well and rest, then other faults. It ends at the first
/// thing that an oracle finds, with the time of it; `each_hour` hears how far it is.
pub fn run_long(plan: &Plan, lasts: Ms, mut each_hour: impl FnMut(Ms, &Counts)) -> Result<Counts, String> {
    let mut world = World::new(Plan { faults: Vec::new(), is_calm: false, ..plan.clone() });
    world.begin();
    world.operate();
    let mut random = Random::new(plan.seed ^ 0x10_06);
    while world.now < lasts && world.oracle.failure.is_none() {
        let (begins, span) = (world.now, random.between(10_000, 20_000));
        for mut planned in faults(&mut random, plan.members, false, span) {
            planned.at += begins;
            world.plan_fault(planned);
        }
        world.run_until(begins + span);
        world.get_well();
        world.rest_well();
        world.oracle.is_quiet = false;
        world.purge_binlogs();
        if begins / HOUR < world.now / HOUR {
            each_hour(world.now, &world.oracle.counts);
        }
    }
    let now = world.now;
    world.outcome().map_err(|why| format!("after {} s: {why}", now / 1_000))
}

/// The same, with all that is needed to see it again.
pub fn check(plan: &Plan) -> Result<Counts, String> {
    run(plan).map_err(|why| {
        let Plan { seed, .. } = plan;
        format!("seed {seed}: {why}\nagain: WEIR_SEED={seed} WEIR_STORY=1 cargo test -p weir-tests --test moves one_seed\n{plan:#?}")
    })
}

impl World {
    fn get_well(&mut self) {
        let began = self.now;
        while self.now < began + WELL_WITHIN && self.oracle.failure.is_none() {
            self.run_until(self.now + 500);
            if self.unwell().is_none() {
                break;
            }
        }
        if let Some(why) = self.unwell() {
            self.oracle.fail(format!("not well {WELL_WITHIN} ms after the last fault: {why}"));
        }
    }

    fn outcome(mut self) -> Result<Counts, String> {
        match self.oracle.failure.take() {
            None => Ok(self.oracle.counts),
            Some(why) => Err(why),
        }
    }

    /// Nothing happens any more, and nothing is missing.
    fn rest_well(&mut self) {
        if self.oracle.failure.is_some() {
            return;
        }
        self.oracle.is_quiet = true;
        self.run_until(self.now + 2_000);
        let epoch = self.store.record.epoch;
        let works: Vec<u64> = self.tablets.iter().map(|tablet| tablet.works).collect();
        let before = self.oracle.counts.acknowledged;
        self.run_until(self.now + 4_000);
        let now: Vec<u64> = self.tablets.iter().map(|tablet| tablet.works).collect();
        if self.store.record.epoch != epoch || works != now {
            let why = format!("epoch {epoch}, {}; deeds {works:?}, {now:?}", self.store.record.epoch);
            self.oracle.fail(format!("it does not come to rest: {why}"));
        }
        if self.oracle.counts.acknowledged < before + 8 {
            self.oracle.fail("nobody writes though all is well".to_string());
        }
        if let Some(primary) = self.store.record.primary() {
            let executed = self.servers[index(primary)].executed.clone();
            self.oracle.check_end(&executed);
        }
    }

    /// What a tablet calls settled is so: nobody writes who must not, and nothing is received while there is no primary.
    pub fn check_settled(&mut self, at: usize, word: &Word) {
        let (record, server) = (&self.store.record, &self.servers[at]);
        if word.care.settled != record.epoch.number() || !server.is_up() {
            return;
        }
        let is_open = record.primary() != Some(name(at)) && !server.is_read_only;
        let is_vacant = matches!(record.phase, Phase::Interregnum { heir: None, .. });
        let receives = is_vacant && server.channel.as_ref().is_some_and(|channel| channel.io);
        if is_open || receives {
            let epoch = record.epoch;
            self.oracle.fail(format!("'{}' calls epoch {epoch} settled, and is not", name(at)));
        }
    }

    /// What is not as it should be without faults.
    fn unwell(&self) -> Option<String> {
        let record = &self.store.record;
        let Phase::Steady { primary } = &record.phase else { return Some(format!("it is {:?}", record.phase)) };
        let primary = index(primary);
        for (at, server) in self.servers.iter().enumerate() {
            let follows = |channel: &Channel| {
                channel.source == primary && channel.receiver() == Receiver::Connected && channel.sql
            };
            let is_well = match at == primary {
                true => server.takes_writes(),
                false => server.is_up() && server.is_read_only && server.channel.as_ref().is_some_and(follows),
            };
            let tablet = &self.tablets[at];
            if !is_well || tablet.dead > 0 || tablet.word.care.settled != record.epoch.number() {
                let (own, care) = (self.view(at), &tablet.word.care);
                return Some(format!("'{}' is {own:?}, {care:?}, epoch {}", name(at), record.epoch));
            }
            if record.members[name(at)].state == MemberState::Diverged {
                return Some(format!("'{}' has diverged", name(at)));
            }
        }
        (0..self.gates.len())
            .find(|at| !self.gate_is_well(*at, record))
            .map(|at| {
                format!("gate {at} is in epoch {}, and {} wait", self.gates[at].epoch(), self.gates[at].buffer.len())
            })
            .or_else(|| self.chairs.iter().any(|chair| chair.order_is_open()).then(|| "an order is open".to_string()))
    }

    /// An operator comes every few seconds, and clones anew who has diverged.
    fn operate(&mut self) {
        self.after(OPERATOR_MS, |w| {
            w.operate();
            let record = w.store.record.clone();
            let Some(primary) = record.primary().map(index).filter(|at| w.servers[*at].runs()) else { return };
            if !w.servers[primary].takes_writes() {
                return;
            }
            for (name, _) in record.members.iter().filter(|(_, member)| member.state == MemberState::Diverged) {
                let at = index(name);
                if w.servers[at].runs() && w.tablets[at].dead == 0 && w.tablets[at].frozen == 0 {
                    w.clone_anew(at, primary);
                }
            }
        });
    }

    fn clone_anew(&mut self, at: usize, of: usize) {
        self.log(|| format!("{} is cloned anew from {}", name(at), name(of)));
        self.kill_tablet(at);
        self.kill_server(at);
        let (executed, binlog) = (self.servers[of].executed.clone(), self.servers[of].executed_binlog());
        let server = &mut self.servers[at];
        (server.executed, server.binlog, server.channel) = (executed, binlog, None);
        server.is_persisted = true;
        self.start_server(at);
        self.after(500, move |w| w.start_tablet(at));
    }
}

/// Longer than the minute over which failovers are counted.
const WELL_WITHIN: Ms = 100_000;

const OPERATOR_MS: Ms = 3_000;
