//! The world: every part of a run, and the loop that moves time from event to event.
//!
//! Invariant: no thread, no socket, no clock. What happens follows from the plan, and the plan from the seed.

use crate::sim::agenda::{Event, MS, SECOND};
use crate::sim::cable::{Owner, Sock};
use crate::sim::client::script::Script;
use crate::sim::client::{Client, Wish};
use crate::sim::fault::{Fault, Way};
use crate::sim::gate::Gate;
use crate::sim::oracle::Counts;
use crate::sim::plan::{Mode, Plan};
use crate::sim::scene::Scene;
use crate::sim::server::{self, Conn, Server};

/// Everybody must be done this long after the last fault.
const PATIENCE_NS: u64 = 60 * SECOND;
/// Every answer has come, or moved on, this long after the last fault.
const ANSWER_NS: u64 = 30 * SECOND;
/// For threads that lost their connection, once clients are done.
const ORPHANS_NS: u64 = 5 * SECOND;

/// More than any sound run needs.
const EVENTS_MAX: u64 = 20_000_000;

pub struct World {
    pub scene: Scene,
    pub servers: Vec<Server>,
    pub clients: Vec<Client>,
    pub plan: Plan,
    gate: Option<Gate>,
    dials_hang: Vec<bool>,
    log_seen: usize,
    moving: Option<Moving>,
}

/// A move of the primary's role that is under way.
#[derive(Clone, Copy, Debug)]
struct Moving {
    from: usize,
    to: usize,
    stage: Stage,
    /// When the gate hears of it, if that is later than the move.
    heard_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Gates end what is open, until then.
    Draining {
        until: u64,
    },
    CatchingUp,
    /// The heir takes writes, and the gate does not know.
    Telling,
}

impl World {
    pub fn new(plan: Plan) -> World {
        let mut scene = Scene::new(plan.seed, plan.traced);
        scene.mutation = plan.mutation;
        scene.mutation_in = scene.random.below(8);
        scene.passwords = plan.users.iter().cloned().collect();
        scene.oracle.errors_excused = plan.errors_excused;
        scene.oracle.locks_linger = plan.faults.iter().any(|planned| matches!(planned.fault, Fault::Lose { .. }));
        let servers: Vec<Server> =
            plan.servers.iter().enumerate().map(|(id, habits)| Server::new(id, plan.accounts, *habits)).collect();
        let mut clients = Vec::new();
        for (id, (nature, features, steps)) in plan.clients.iter().enumerate() {
            let script = Script::new(id as u32, features.clone(), plan.rules.clone(), *steps);
            let random = scene.random.fork();
            clients.push(Client::new(id as u32, *nature, script, random));
            scene.later(scene.random.clone().below(SECOND / 10), Event::Client(id));
        }
        for (at, planned) in plan.faults.iter().enumerate() {
            scene.later(planned.at, Event::Fault(at));
        }
        let dials_hang = vec![false; servers.len()];
        if let Some(pause) = plan.outside_ns_max {
            scene.later(pause, Event::Outside);
        }
        let gate = (plan.mode != Mode::Direct).then(|| Gate::new(&plan, &mut scene, &servers));
        World { scene, servers, clients, plan, gate, dials_hang, log_seen: 0, moving: None }
    }

    /// Runs to the end. The first thing that must never happen ends it.
    pub fn run(&mut self) -> Result<Counts, String> {
        // With few connections clients wait for each other.
        let crowd = self.plan.clients.len() as u64 / u64::from(self.plan.budget);
        let deadline = self.plan.faults_end_at + PATIENCE_NS * (4 + crowd);
        let mut events = 0;
        while !self.clients.iter().all(Client::is_done) {
            self.turn(&mut events, deadline)?;
        }
        self.come_to_rest(&mut events)?;
        Ok(self.scene.oracle.counts)
    }

    fn turn(&mut self, events: &mut u64, deadline: u64) -> Result<(), String> {
        let Some((at, event)) = self.scene.agenda.take() else {
            return Err(format!("nothing happens any more: {}", self.stuck()));
        };
        assert!(at >= self.scene.now, "time goes forward");
        self.scene.now = at;
        *events += 1;
        if at > deadline || *events > EVENTS_MAX {
            return Err(format!("not done in time: {}", self.stuck()));
        }
        if events.is_multiple_of(4096) {
            self.check_progress()?;
        }
        self.happen(event);
        if self.scene.log.len() > self.log_seen {
            self.log_seen = self.scene.log.len();
            self.servers.iter_mut().for_each(|server| server.follow(&mut self.scene));
        }
        match self.scene.oracle.violation() {
            Some(what) => Err(what.to_string()),
            None => Ok(()),
        }
    }

    /// Nobody may wait for an answer for ever.
    fn check_progress(&self) -> Result<(), String> {
        let longest = self.clients.iter().filter_map(Client::waits_since).min();
        let since = longest.unwrap_or(self.scene.now).max(self.plan.faults_end_at);
        if self.scene.now.saturating_sub(since) > ANSWER_NS {
            return Err(format!("no answer for {} s: {}", ANSWER_NS / SECOND, self.stuck()));
        }
        Ok(())
    }

    fn stuck(&self) -> String {
        let stuck: Vec<String> = self.clients.iter().filter(|c| !c.is_done()).map(Client::waits_for).collect();
        let left = self.gate.as_ref().map(Gate::left).unwrap_or_default();
        format!("{} {left}", stuck.join("; "))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(sock) | Event::Room(sock) => self.socket(sock),
            Event::Server { server, conn } => self.servers[server].advance(&mut self.scene, conn),
            Event::Replicate(server) => self.servers[server].replicate(&mut self.scene),
            Event::Client(client) => self.client(client),
            Event::Fault(at) => self.fault(at),
            Event::Mend(at) => self.mend(at),
            Event::Move => self.go_on_moving(),
            Event::Outside => self.write_outside(),
            event => self.happen_at_gate(event),
        }
    }

    /// A write that passes the gate by: another gate's, or an operator's.
    fn write_outside(&mut self) {
        let Some(pause) = self.plan.outside_ns_max.filter(|_| !self.clients.iter().all(Client::is_done)) else {
            return;
        };
        let scene = &mut self.scene;
        let is_open = |server: &&mut Server| !server.store.replica && server.up && scene.now >= server.frozen_until;
        if let Some(primary) = self.servers.iter_mut().find(is_open) {
            primary.store.write_outside(scene);
        }
        let pause = 1 + scene.random.below(pause);
        scene.later(pause, Event::Outside);
    }

    fn happen_at_gate(&mut self, event: Event) {
        let Some(gate) = &mut self.gate else { return };
        let scene = &mut self.scene;
        match event {
            Event::Core(core) => gate.turn(scene, core),
            Event::Letter(core) => gate.letter(scene, core),
            Event::Closed { core, index, .. } => gate.closed(scene, core, index),
            Event::Control => gate.look(scene, &self.servers),
            Event::Dialed { core, index, generation, server } => {
                let how = (self.dials_hang[server], &self.plan);
                gate.dialed(scene, core, (index, generation), &mut self.servers[server], how);
            }
            _ => {}
        }
    }

    fn socket(&mut self, sock: Sock) {
        self.scene.cables.settle(self.scene.now, sock);
        match self.scene.cables.owner(sock) {
            Owner::Client(client) => self.client(client),
            Owner::Server { server, conn } => self.servers[server].advance(&mut self.scene, conn),
            Owner::Core { core, index, .. } => {
                if let Some(gate) = &mut self.gate {
                    gate.wake(&mut self.scene, core, index);
                }
            }
            Owner::Nobody => {}
        }
    }

    fn client(&mut self, at: usize) {
        if self.clients[at].advance(&mut self.scene) == Wish::Nothing {
            return;
        }
        match &mut self.gate {
            None => self.connect_directly(at),
            Some(gate) => {
                let sock = gate.accept(&mut self.scene, at, &self.plan);
                self.clients[at].connected(&mut self.scene, sock);
            }
        }
    }

    fn connect_directly(&mut self, at: usize) {
        if !self.servers[0].up {
            return self.clients[at].not_connected(&mut self.scene);
        }
        let sock = self.connect_server(Owner::Client(at), 0);
        self.clients[at].connected(&mut self.scene, sock);
    }

    /// A connection to a server that is up: the caller's end.
    pub fn connect_server(&mut self, owner: Owner, server: usize) -> Sock {
        let conn = self.servers[server].conn_next();
        let quality = self.plan.back;
        let (near, far) = self.scene.cables.connect(owner, Owner::Server { server, conn }, quality);
        self.servers[server].accept(&mut self.scene, far);
        near
    }

    fn fault(&mut self, at: usize) {
        let planned = self.plan.faults[at];
        self.scene.tell(|| format!("FAULT {:?} for {} ms", planned.fault, planned.lasts_ns / 1_000_000));
        let until = self.scene.now + planned.lasts_ns;
        match planned.fault {
            Fault::KillConnection { server } => {
                if let Some(conn) = self.some_connection(server) {
                    self.servers[server].disconnect(&mut self.scene, conn, true);
                }
            }
            Fault::Lose { server } => self.lose_connection(server),
            Fault::Crash { server, dials_hang } => {
                self.servers[server].crash(&mut self.scene);
                self.servers[server].up = false;
                self.dials_hang[server] = dials_hang;
            }
            Fault::Freeze { server } => self.servers[server].frozen_until = until,
            Fault::Slow { server, times } => self.servers[server].slowness = times,
            Fault::Vanish { client, reset } => self.clients[client].vanish(&mut self.scene, reset),
            Fault::AdminKill { server, query_only } => {
                if let Some(conn) = self.some_connection(server) {
                    self.servers[server].kill(&mut self.scene, conn, query_only);
                }
            }
            Fault::StopApplier { server } => self.servers[server].applier_stopped = true,
            Fault::Full { server } => self.servers[server].full = true,
            Fault::NewPassword { user } => {
                let (user, _) = &self.plan.users[user];
                let password = format!("changed {}", self.scene.random.below(1000));
                self.scene.passwords.insert(user.clone(), password);
                for server in &mut self.servers {
                    server.cached.remove(user);
                }
            }
            Fault::FalseAlarm { server } => {
                if let Some(gate) = &mut self.gate {
                    gate.alarm(server, until);
                }
            }
            Fault::Move { to, way } => self.begin_moving(to, way, until),
        }
        self.scene.later(planned.lasts_ns, Event::Mend(at));
    }

    fn begin_moving(&mut self, to: usize, way: Way, until: u64) {
        let from = self.servers.iter().position(|server| !server.store.replica);
        let (Some(from), Some(gate), None) = (from.filter(|from| *from != to), &mut self.gate, self.moving) else {
            return;
        };
        let stage = match way {
            Way::Planned => {
                gate.mandate(&mut self.scene, Some(from), true, true);
                Stage::Draining { until }
            }
            Way::Lost => {
                // Whoever it was primary for, it is not heard of until it is fenced.
                self.servers[from].frozen_until = self.servers[from].frozen_until.max(until);
                self.servers[from].store.replica = true;
                self.servers[from].store.deposed = true;
                self.servers[from].store.applied = self.scene.log.len();
                gate.mandate(&mut self.scene, None, false, false);
                Stage::CatchingUp
            }
            Way::Unheard => {
                self.servers[from].fence(&mut self.scene);
                gate.hears_nothing_of(Some([from, to]));
                Stage::CatchingUp
            }
        };
        self.moving = Some(Moving { from, to, stage, heard_at: (way == Way::Unheard).then_some(until) });
        self.scene.later(MS, Event::Move);
    }

    fn go_on_moving(&mut self) {
        let (Some(moving), Some(gate)) = (&mut self.moving, &mut self.gate) else { return };
        let scene = &mut self.scene;
        let (from, to) = (moving.from, moving.to);
        match moving.stage {
            Stage::Draining { until } => {
                if gate.is_handed_over() || scene.now >= until {
                    gate.mandate(scene, None, false, true);
                    self.servers[from].fence(scene);
                    moving.stage = Stage::CatchingUp;
                }
            }
            Stage::CatchingUp => {
                let heir = &self.servers[to];
                if heir.up && scene.now >= heir.frozen_until && heir.store.applied == scene.log.len() {
                    let auto_last = self.servers[from].store.auto_last;
                    self.servers[to].promote(auto_last);
                    moving.stage = Stage::Telling;
                }
            }
            Stage::Telling => {
                if moving.heard_at.is_none_or(|at| scene.now >= at) {
                    gate.hears_nothing_of(None);
                    gate.mandate(scene, Some(to), false, false);
                    self.moving = None;
                    return;
                }
            }
        }
        scene.later(MS, Event::Move);
    }

    fn mend(&mut self, at: usize) {
        let planned = self.plan.faults[at];
        match planned.fault {
            Fault::Crash { server, .. } => {
                self.servers[server].restart(self.scene.now);
                self.dials_hang[server] = false;
            }
            Fault::Freeze { server } => self.servers[server].wake_all(&mut self.scene),
            Fault::Move { .. } => {
                // What it was doing when it stopped it does not finish: it is fenced before it goes on.
                for server in self.servers.iter_mut().filter(|server| server.store.deposed) {
                    server.crash(&mut self.scene);
                }
            }
            Fault::Slow { server, .. } => self.servers[server].slowness = 1,
            Fault::StopApplier { server } => self.servers[server].applier_stopped = false,
            Fault::Full { server } => self.servers[server].full = false,
            _ => {}
        }
    }

    /// After a move was begun and not ended: the server that has it all.
    fn primary(&self) -> usize {
        let all = |server: &&Server| !server.store.replica || server.store.applied == self.scene.log.len();
        self.servers.iter().find(all).map_or(0, |server| server.id)
    }

    /// Of those that are logged in.
    fn lose_connection(&mut self, server: usize) {
        let is_in = |conn: &&Conn| matches!(conn.phase, server::Phase::Command);
        let all: Vec<Sock> = self.servers[server].conns.values().filter(is_in).map(|conn| conn.sock).collect();
        // What breaks when clients are done, nobody would wait for.
        if !all.is_empty() && !self.clients.iter().all(Client::is_done) {
            let sock = *self.scene.random.pick(&all);
            self.scene.lose(sock);
        }
    }

    /// The gate ends what is left of connections that were lost, as soon as their server is there.
    fn await_orphans(&mut self, events: &mut u64) -> Result<(), String> {
        let deadline = self.scene.now + ORPHANS_NS;
        let orphans = |world: &World, all: bool| -> Vec<(usize, u32)> {
            let of = |server: &Server| server.orphans(&world.scene, all).map(|id| (server.id, id)).collect::<Vec<_>>();
            world.servers.iter().flat_map(of).collect()
        };
        // Whose password was changed is let in no more.
        let is_excused = self.plan.faults.iter().any(|planned| matches!(planned.fault, Fault::NewPassword { .. }));
        while !is_excused && self.gate.is_some() && !orphans(self, false).is_empty() {
            self.turn(events, deadline)
                .map_err(|why| format!("orphans {:?} are not ended: {why}", orphans(self, false)))?;
        }
        for (server, id) in orphans(self, true) {
            self.servers[server].disconnect(&mut self.scene, id, false);
        }
        Ok(())
    }

    fn some_connection(&mut self, server: usize) -> Option<u32> {
        let all: Vec<u32> = self.servers[server].conns.keys().copied().collect();
        if all.is_empty() { None } else { Some(*self.scene.random.pick(&all)) }
    }

    /// Clients are done: what they left behind comes to rest, and the books are balanced.
    fn come_to_rest(&mut self, events: &mut u64) -> Result<(), String> {
        self.await_orphans(events)?;
        let deadline = self.scene.now + PATIENCE_NS;
        if let Some(gate) = &mut self.gate {
            gate.end(&mut self.scene, &self.servers);
        }
        while self.gate.as_ref().is_some_and(|gate| !gate.is_empty()) {
            self.turn(events, deadline)?;
        }
        if let Some(gate) = &mut self.gate {
            gate.check_blocks(&mut self.scene);
        }
        while self.servers.iter().any(|server| !server.conns.is_empty()) {
            self.turn(events, deadline)?;
        }
        self.scene.oracle.check_ledger();
        let sum: i64 = self.servers[self.primary()]
            .store
            .rows
            .scan(None, "db1", "acct")
            .values()
            .map(|n| n.parse::<i64>().unwrap_or(0))
            .sum();
        if sum != self.plan.accounts * 1000 {
            self.scene.oracle.violate(format!("the accounts add up to {sum}"));
        }
        match self.scene.oracle.violation() {
            Some(what) => Err(what.to_string()),
            None => Ok(()),
        }
    }
}
