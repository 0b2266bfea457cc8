//! The driver's side of the engine's contract, strictly: what the engine may rely on is given, what it must do is asserted.
//!
//! ```text
//!   cables ─► blocks lent to the "kernel" ─► handle_chunk ─► engine ─► poll_action ─► sends, dials, closes
//!                   ▲ none left: starved, read later                       │
//!                   └──────────────── blocks come home ◄───────────────────┘
//! ```
//! Invariants: one send in flight per wire, whose bytes must not move before it completes; nothing is called for a wire
//! after its `Close` but `handle_sent` and `handle_closed`; at the end of a turn every byte to be sent is on its way.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::engine::{Action, DialFault, End, Engine, EngineOptions};
use weir_core::mail::{ControlMail, Mail};
use weir_core::session::{ListenerId, Peer};
use weir_core::snapshot::Address;
use weir_core::time::Instant;
use weir_core::wire::WireId;

use crate::sim::agenda::{Event, US};
use crate::sim::cable::{Got, Owner, Quality, Sock};
use crate::sim::mutation::Mutation;
use crate::sim::scene::Scene;

mod wire;

use crate::sim::driver::wire::{Sending, Stage, Wire};

/// Actions that one batch of events may lead to: far above what any needs.
const ACTIONS_MAX: usize = 20_000;
/// Slices that one send takes.
const SLICES_MAX: usize = 16;
/// Chunks taken from one wire in a turn.
const BURST_MAX: usize = 4;

pub struct Core {
    pub id: usize,
    engine: Engine,
    wires: BTreeMap<u32, Wire>,
    /// The last generation of each index that is free.
    generations: BTreeMap<u32, u32>,
    /// Blocks that the kernel may write to.
    lent: Vec<u32>,
    lent_max: usize,
    /// Wires with something to look at.
    woken: BTreeSet<u32>,
    /// Wires that found no block to read into.
    starved: BTreeSet<u32>,
    turn_at: Option<u64>,
    pub wishes: Vec<Wish>,
}

/// What a core wants from the rest of the world.
#[derive(Debug)]
pub enum Wish {
    Dial { id: WireId, server: usize },
    Post { core: usize, mail: Mail },
    Tell(ControlMail),
}

impl Core {
    pub fn new(id: usize, options: EngineOptions, lent_max: usize) -> Core {
        Core {
            id,
            engine: Engine::new(Instant(1), options),
            wires: BTreeMap::new(),
            generations: BTreeMap::new(),
            lent: Vec::new(),
            lent_max,
            woken: BTreeSet::new(),
            starved: BTreeSet::new(),
            turn_at: None,
            wishes: Vec::new(),
        }
    }

    /// A client connects: its end of the cable.
    pub fn accept(&mut self, scene: &mut Scene, client: usize, quality: Quality) -> Sock {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 40_000 + client as u16));
        let id = self.engine.handle_accept(now(scene), Peer::Tcp(address), ListenerId(0));
        let owner = Owner::Core { core: self.id, index: id.index, generation: id.generation };
        let (far, near) = scene.cables.connect(Owner::Client(client), owner, quality);
        self.admit(Wire::new(id, Stage::Open, Some(near), None));
        scene.tell(|| format!("core {}: wire {id:?} is client {client}", self.id));
        self.drain(scene);
        self.finish(scene);
        far
    }

    fn admit(&mut self, wire: Wire) {
        let WireId { index, generation } = wire.id;
        if let Some(before) = self.generations.insert(index, generation) {
            assert!(generation != before, "an index is used again with another generation: {:?}", wire.id);
        }
        assert!(self.wires.insert(index, wire).is_none(), "an index is used again after handle_closed");
    }

    /// True while this dial is still wanted.
    pub fn still_dials(&self, index: u32, generation: u32) -> bool {
        let wire = self.wires.get(&index).filter(|wire| wire.id.generation == generation);
        wire.is_some_and(|wire| wire.stage == Stage::Dialing)
    }

    pub fn dialed(&mut self, scene: &mut Scene, index: u32, outcome: Result<Sock, DialFault>) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        let id = wire.id;
        scene.tell(|| format!("core {}: dialed {id:?}: {outcome:?}", self.id));
        let told = match outcome {
            Ok(sock) => {
                wire.sock = Some(sock);
                wire.stage = Stage::Open;
                Ok(())
            }
            Err(fault) => {
                wire.ended = true;
                wire.stage = Stage::Failed;
                Err(fault)
            }
        };
        self.engine.handle_dialed(now(scene), id, told);
        self.woken.insert(index);
        self.drain(scene);
        self.finish(scene);
    }

    pub fn closed(&mut self, scene: &mut Scene, index: u32) {
        if scene.mistake(Mutation::LostClose) {
            return;
        }
        let wire = self.wires.remove(&index).expect("a wire is closed once");
        assert!(wire.stage == Stage::Closing);
        self.engine.handle_closed(now(scene), wire.id);
        self.drain(scene);
        self.finish(scene);
    }

    pub fn mail(&mut self, scene: &mut Scene, mail: Mail) {
        self.engine.handle_mail(now(scene), mail);
        self.drain(scene);
        self.finish(scene);
    }

    /// Something happened on a cable.
    pub fn wake(&mut self, scene: &mut Scene, index: u32) {
        self.woken.insert(index);
        let batch = scene.random.below(30 * US);
        self.turn_by(scene, scene.now + batch);
    }

    fn turn_by(&mut self, scene: &mut Scene, at: u64) {
        if self.turn_at.is_none_or(|planned| at < planned) {
            self.turn_at = Some(at);
            scene.agenda.put(at.max(scene.now), Event::Core(self.id));
        }
    }

    /// One turn of the driver's loop: completions in any order, actions, timers.
    pub fn turn(&mut self, scene: &mut Scene) {
        if self.turn_at.is_none_or(|at| at > scene.now) {
            return;
        }
        self.turn_at = None;
        self.lend();
        let mut order: Vec<u32> = std::mem::take(&mut self.woken).into_iter().collect();
        order.extend(std::mem::take(&mut self.starved));
        scene.random.shuffle(&mut order);
        let at_once = scene.random.chance(50);
        for index in order {
            self.look_at(scene, index);
            if at_once {
                self.drain(scene);
            }
        }
        self.drain(scene);
        self.tick(scene);
        self.finish(scene);
    }

    fn lend(&mut self) {
        while self.lent.len() < self.lent_max {
            let Some(block) = self.engine.blocks().lend() else { break };
            self.lent.push(block);
        }
    }

    /// Timers that are due. A timer that stays due after it was served would spin for ever.
    fn tick(&mut self, scene: &mut Scene) {
        for _ in 0..100 {
            match self.engine.poll_timeout() {
                Some(at) if at.0 <= scene.now => {
                    self.engine.handle_timeout(now(scene));
                    self.drain(scene);
                }
                _ => return,
            }
        }
        scene.oracle.violate(format!("core {}: a timer stays due: {:?}", self.id, self.engine.poll_timeout()));
    }

    /// The end of a turn: nothing may be left undone without something that will wake the core.
    fn finish(&mut self, scene: &mut Scene) {
        let mut forgotten = None;
        for (index, wire) in &self.wires {
            let waiting = self.engine.outbox_len(wire.id);
            if wire.stage == Stage::Open && !wire.ended && waiting > 0 && wire.send.is_none() {
                forgotten = Some((*index, waiting));
            }
        }
        if let Some((index, waiting)) = forgotten {
            let id = self.id;
            scene.oracle.violate(format!("core {id}: {waiting} bytes wait on wire {index} and no Send was asked for"));
        }
        if self.lent.len() < self.lent_max && !self.starved.is_empty() && self.engine.blocks().free_count() > 0 {
            self.turn_by(scene, scene.now + US);
        }
        if !self.woken.is_empty() {
            let at = scene.now + US + scene.random.below(20 * US);
            self.turn_by(scene, at);
        }
        if let Some(at) = self.engine.poll_timeout()
            && at.0 != u64::MAX
        {
            // The kernel wakes a sleeper when the time has passed, not before.
            let late = scene.random.below(50 * US);
            self.turn_by(scene, at.0.max(scene.now) + late);
        }
    }

    fn look_at(&mut self, scene: &mut Scene, index: u32) {
        self.complete_send(scene, index);
        self.receive(scene, index);
    }

    fn complete_send(&mut self, scene: &mut Scene, index: u32) {
        let Some(wire) = self.wires.get(&index).filter(|wire| wire.stage == Stage::Open) else { return };
        let (Some(sending), Some(sock)) = (&wire.send, wire.sock) else { return };
        let limit = if scene.random.chance(20) { 1 + scene.random.below(100) as usize } else { usize::MAX };
        let part = &sending.bytes[..sending.bytes.len().min(limit)];
        let id = wire.id;
        let others = || self.wires.values().filter(|other| other.server.is_none() && other.id != id);
        let to = match others().find_map(|other| other.sock.filter(|_| other.stage == Stage::Open)) {
            Some(other) if self.wires[&index].server.is_none() && scene.mistake(Mutation::WrongOutbox) => other,
            _ => sock,
        };
        match scene.write(to, part) {
            Some(0) => {}
            Some(n) => {
                self.check_unmoved(scene, index, n);
                if let Some(wire) = self.wires.get_mut(&index) {
                    wire.send = None;
                }
                self.engine.handle_sent(now(scene), id, n);
                if self.engine.outbox_len(id) > 0 {
                    self.start_send(scene, index);
                }
            }
            None => {
                if let Some(wire) = self.wires.get_mut(&index) {
                    wire.send = None;
                }
                self.end(scene, index, End::Failed);
            }
        }
    }

    /// The engine promises that the bytes of a send stay where they are until it completes.
    fn check_unmoved(&self, scene: &mut Scene, index: u32, n: usize) {
        let wire = &self.wires[&index];
        let Some(sending) = &wire.send else { return };
        let still: Vec<u8> = self.engine.outbox(wire.id).flatten().take(n).copied().collect();
        if still != sending.bytes[..n] {
            scene.oracle.violate(format!("core {}: bytes of a running send have changed on wire {index}", self.id));
        }
    }

    fn start_send(&mut self, scene: &mut Scene, index: u32) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        if wire.stage != Stage::Open || wire.ended_by_failure() {
            return;
        }
        assert!(wire.send.is_none(), "one send in flight");
        let count = if scene.random.chance(50) { 1 } else { SLICES_MAX };
        let mut bytes: Vec<u8> = self.engine.outbox(wire.id).take(count).flatten().copied().collect();
        assert!(!bytes.is_empty(), "an outbox with a length has bytes");
        if scene.mistake(Mutation::MovedBytes) {
            bytes[0] ^= 1;
        }
        wire.send = Some(Sending { bytes });
        self.woken.insert(index);
    }

    fn receive(&mut self, scene: &mut Scene, index: u32) {
        for _ in 0..BURST_MAX {
            let Some(wire) = self.wires.get_mut(&index) else { return };
            let (Some(sock), true) = (wire.sock, wire.may_receive(&mut scene.random)) else { return };
            scene.cables.settle(scene.now, sock);
            if !scene.cables.readable(sock) {
                return;
            }
            let id = wire.id;
            let Some(block) = self.lent.pop() else {
                // ENOBUFS: the receive ends and is armed again when blocks have come home.
                self.starved.insert(index);
                return;
            };
            let size = self.engine.blocks().block_bytes();
            let max = if scene.random.chance(30) { scene.random.between(1, size as u64) as usize } else { size };
            match scene.read(sock, max) {
                Got::Bytes(bytes) => {
                    if scene.mistake(Mutation::LostBlock) {
                        let _ = self.engine.blocks().lend();
                    }
                    let chunk = self.land(block, &bytes);
                    self.engine.handle_chunk(now(scene), id, chunk);
                }
                other => {
                    self.engine.blocks().give_back(block);
                    match other {
                        Got::End => self.end(scene, index, End::Closed),
                        Got::Reset => self.end(scene, index, End::Failed),
                        Got::Nothing | Got::Bytes(_) => {}
                    }
                    return;
                }
            }
        }
        self.woken.insert(index);
    }

    fn land(&mut self, block: u32, bytes: &[u8]) -> weir_core::block::Chunk {
        let blocks = self.engine.blocks();
        assert!(bytes.len() <= blocks.block_bytes());
        // SAFETY: the block was lent to this driver, so nobody else reads or writes it, and the bytes fit.
        unsafe {
            let to = blocks.start_of(block);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        blocks.landed(block, bytes.len())
    }

    fn end(&mut self, scene: &mut Scene, index: u32, end: End) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        wire.failed |= end == End::Failed;
        if std::mem::replace(&mut wire.ended, true) {
            return;
        }
        let id = wire.id;
        scene.tell(|| format!("core {}: wire {id:?} ended: {end:?}", self.id));
        self.engine.handle_end(now(scene), id, end);
    }

    /// Takes actions until there are none.
    fn drain(&mut self, scene: &mut Scene) {
        for _ in 0..ACTIONS_MAX {
            let Some(action) = self.engine.poll_action() else { return };
            self.act(scene, action);
        }
        scene.oracle.violate(format!("core {}: actions without end", self.id));
    }

    fn act(&mut self, scene: &mut Scene, action: Action) {
        match action {
            Action::Dial { wire, address } => self.dial(scene, wire, &address),
            Action::Send { wire } => {
                let state = self.known(wire, "Send");
                let (idle, failed) = (state.send.is_none(), state.ended_by_failure());
                if idle && !failed && self.engine.outbox_len(wire) > 0 && !scene.mistake(Mutation::ForgottenSend) {
                    self.start_send(scene, wire.index);
                }
            }
            Action::Pause { wire } => {
                scene.tell(|| format!("core {}: pauses {wire:?}", self.id));
                let state = self.known(wire, "Pause");
                assert!(!state.paused, "{wire:?} is paused twice");
                state.paused = true;
                // What the kernel had taken already still comes in.
                state.late_chunks = scene.random.below(2);
            }
            Action::Resume { wire } => {
                scene.tell(|| format!("core {}: resumes {wire:?}", self.id));
                let state = self.known(wire, "Resume");
                assert!(state.paused, "{wire:?} is resumed without a pause");
                state.paused = false;
                self.woken.insert(wire.index);
            }
            Action::Close { wire } => self.close(scene, wire),
            Action::Post { core, mail } => {
                assert!(usize::from(core.0) != self.id, "a core writes to itself");
                self.wishes.push(Wish::Post { core: usize::from(core.0), mail });
            }
            Action::Tell(mail) => self.wishes.push(Wish::Tell(mail)),
        }
    }

    fn known(&mut self, id: WireId, what: &str) -> &mut Wire {
        let wire = self.wires.get_mut(&id.index).unwrap_or_else(|| panic!("{what} for {id:?}, which nobody knows"));
        assert_eq!(wire.id, id, "{what} for a generation that is over");
        assert!(wire.stage != Stage::Closing, "{what} for {id:?} after its Close");
        assert!(what == "Close" || wire.stage == Stage::Open, "{what} for {id:?}, which is not connected");
        wire
    }

    fn dial(&mut self, scene: &mut Scene, id: WireId, address: &Address) {
        let Address::Tcp(address) = address else { panic!("every server here has a TCP address") };
        let server = usize::from(address.port() - 10_000);
        scene.tell(|| format!("core {}: dials server {server} on {id:?}", self.id));
        let mut wire = Wire::new(id, Stage::Dialing, None, Some(server));
        wire.is_messenger = self.engine.is_messenger(id);
        if wire.is_messenger {
            scene.oracle.messenger_sent(self.id, server);
        } else {
            scene.oracle.connected(server);
        }
        self.admit(wire);
        if scene.mistake(Mutation::OverBudget) {
            (0..100).for_each(|_| scene.oracle.connected(server));
        }
        self.wishes.push(Wish::Dial { id, server });
    }

    fn close(&mut self, scene: &mut Scene, id: WireId) {
        let wire = self.known(id, "Close");
        wire.stage = Stage::Closing;
        let (sending, sock, server, is_messenger) = (wire.send.take(), wire.sock, wire.server, wire.is_messenger);
        scene.tell(|| format!("core {}: closes {id:?}", self.id));
        match server {
            Some(server) if is_messenger => scene.oracle.messenger_back(self.id, server),
            Some(server) => scene.oracle.disconnected(server),
            None => {}
        }
        if let Some(sock) = sock {
            // The send in flight may still have taken something.
            if let Some(sending) = sending
                && scene.random.chance(30)
                && let Some(n @ 1..) = scene.write(sock, &sending.bytes)
            {
                self.engine.handle_sent(now(scene), id, n);
            }
            scene.close(sock);
        }
        let pause = 1 + scene.random.below(100 * US);
        scene.later(pause, Event::Closed { core: self.id, index: id.index, generation: id.generation });
    }

    /// Sessions, links and wires left.
    pub fn census(&self) -> (usize, usize, usize) {
        self.engine.census()
    }

    /// After the end: every block must be at home.
    pub fn check_blocks(&mut self, scene: &mut Scene) {
        let blocks = self.engine.blocks();
        for block in self.lent.drain(..) {
            blocks.give_back(block);
        }
        blocks.drop_pen();
        let (free, all, lent, heap) = (blocks.free_count(), blocks.count(), blocks.lent_count(), blocks.heap_bytes());
        if (free, lent, heap) != (all, 0, 0) {
            let id = self.id;
            scene
                .oracle
                .violate(format!("core {id}: {free} of {all} blocks at home, {lent} lent, {heap} bytes on the heap"));
        }
    }
}

fn now(scene: &Scene) -> Instant {
    Instant(scene.now.max(1))
}
