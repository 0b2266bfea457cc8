//! The gate as a whole: its cores, the letters between them, and the control thread.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_core::board::Board;
use weir_core::engine::{DialFault, EngineOptions};
use weir_core::mail::{CoreId, Mail};
use weir_core::tally::Tally;

use crate::sim::agenda::{Event, MS, US};
use crate::sim::cable::{Owner, Sock};
use crate::sim::control::Control;
use crate::sim::driver::{Core, Wish};
use crate::sim::mutation::Mutation;
use crate::sim::plan::Plan;
use crate::sim::random::Random;
use crate::sim::scene::Scene;
use crate::sim::server::Server;

pub struct Gate {
    cores: Vec<Core>,
    letters: Vec<VecDeque<Mail>>,
    control: Control,
    look_ns_max: u64,
    hears_ns_max: u64,
    /// Set while a look was asked for out of turn.
    hurried: bool,
}

impl Gate {
    pub fn new(plan: &Plan, scene: &mut Scene, servers: &[Server]) -> Gate {
        let mut random = Random::new(plan.seed ^ 0x9a7e);
        let mut control = Control::new(plan, &mut random);
        let snapshot = control.look(scene, servers);
        let (board, tally) = (Arc::<Board>::default(), Arc::<Tally>::default());
        let core = |id: u16| {
            let board = if scene.errs(Mutation::SplitBoard) { Arc::default() } else { board.clone() };
            let options = EngineOptions {
                core: CoreId(id),
                cores: plan.cores,
                blocks: plan.blocks,
                block_bytes: plan.block_bytes,
                seed: plan.seed ^ u64::from(id),
                tag: 7,
                snapshot: snapshot.clone(),
                board,
                tally: tally.clone(),
            };
            Core::new(usize::from(id), options, plan.lent_max)
        };
        let cores: Vec<Core> = (0..plan.cores).map(core).collect();
        let letters = cores.iter().map(|_| VecDeque::new()).collect();
        scene.oracle.budget = Some(plan.budget);
        scene.later(MS, Event::Control);
        Gate { cores, letters, control, look_ns_max: plan.look_ns_max, hears_ns_max: plan.hears_ns_max, hurried: false }
    }

    /// A client connects to some core.
    pub fn accept(&mut self, scene: &mut Scene, client: usize, plan: &Plan) -> Sock {
        let core = scene.random.below(self.cores.len() as u64) as usize;
        let sock = self.cores[core].accept(scene, client, plan.front);
        self.carry(scene, core);
        sock
    }

    pub fn wake(&mut self, scene: &mut Scene, core: usize, index: u32) {
        self.cores[core].wake(scene, index);
    }

    pub fn turn(&mut self, scene: &mut Scene, core: usize) {
        self.cores[core].turn(scene);
        self.carry(scene, core);
    }

    pub fn closed(&mut self, scene: &mut Scene, core: usize, index: u32) {
        self.cores[core].closed(scene, index);
        self.carry(scene, core);
    }

    pub fn letter(&mut self, scene: &mut Scene, core: usize) {
        let Some(mail) = self.letters[core].pop_front() else { return };
        self.cores[core].mail(scene, mail);
        self.carry(scene, core);
    }

    /// The outcome of a dial. `hang`: a server that is down does not even refuse.
    pub fn dialed(
        &mut self,
        scene: &mut Scene,
        core: usize,
        (index, generation): (u32, u32),
        server: &mut Server,
        (hang, plan): (bool, &Plan),
    ) {
        if !self.cores[core].still_dials(index, generation) {
            return;
        }
        let outcome = if server.up {
            let near = Owner::Core { core, index, generation };
            let far = Owner::Server { server: server.id, conn: server.conn_next() };
            let (near, far) = scene.cables.connect(near, far, plan.back);
            server.accept(scene, far);
            Ok(near)
        } else if hang {
            return;
        } else {
            Err(DialFault::Refused)
        };
        self.cores[core].dialed(scene, index, outcome);
        self.carry(scene, core);
    }

    /// Carries out what a core wants from the rest of the world.
    fn carry(&mut self, scene: &mut Scene, core: usize) {
        for wish in std::mem::take(&mut self.cores[core].wishes) {
            match wish {
                Wish::Dial { id, server } => {
                    let pause = 1 + scene.random.below(200 * US);
                    let event = Event::Dialed { core, index: id.index, generation: id.generation, server };
                    scene.later(pause, event);
                }
                Wish::Post { core, mail } => self.post(scene, core, mail),
                Wish::Tell(mail) => {
                    if self.control.told(scene, core, mail) && !std::mem::replace(&mut self.hurried, true) {
                        scene.later(MS, Event::Control);
                    }
                }
            }
        }
    }

    fn post(&mut self, scene: &mut Scene, core: usize, mail: Mail) {
        self.letters[core].push_back(mail);
        let pause = 1 + scene.random.below(50 * US);
        scene.later(pause, Event::Letter(core));
    }

    /// The control thread looks, and now and then asks for reports.
    pub fn look(&mut self, scene: &mut Scene, servers: &[Server]) {
        scene.looked_at = scene.log.len();
        let snapshot = self.control.look(scene, servers);
        for core in 0..self.cores.len() {
            self.post(scene, core, Mail::Snapshot(snapshot.clone()));
            if scene.random.chance(2) {
                let mail = self.control.ask_report();
                self.post(scene, core, mail);
            }
        }
        for (core, mail) in self.control.findings(scene, servers) {
            self.post(scene, core, mail);
        }
        // A look out of turn does not begin a second rhythm.
        if !std::mem::take(&mut self.hurried) {
            let pause = 1 + scene.random.below(self.look_ns_max);
            scene.later(pause, Event::Control);
        }
    }

    pub fn alarm(&mut self, server: usize, until: u64) {
        self.control.alarm(server, until);
    }

    /// The controllers decide about the primary, and the gate hears of it, at once or late.
    pub fn mandate(&mut self, scene: &mut Scene, holder: Option<usize>, is_ending: bool, is_planned: bool) {
        self.control.mandate(holder, is_ending, is_planned);
        if !std::mem::replace(&mut self.hurried, true) {
            let late = if self.hears_ns_max > 1 { scene.random.below(self.hears_ns_max) } else { 0 };
            scene.later(1 + late, Event::Control);
        }
    }

    pub fn hears_nothing_of(&mut self, moved: Option<[usize; 2]>) {
        self.control.unheard = moved;
    }

    pub fn is_handed_over(&self) -> bool {
        self.control.is_handed_over()
    }

    /// All clients are gone: drain, and let go of every connection.
    pub fn end(&mut self, scene: &mut Scene, servers: &[Server]) {
        let gone = scene.random.chance(50);
        self.control.end(gone);
        let snapshot = self.control.look(scene, servers);
        for core in 0..self.cores.len() {
            self.post(scene, core, Mail::Snapshot(snapshot.clone()));
            self.post(scene, core, Mail::Drain { within_ms: 1_000 });
        }
    }

    pub fn is_empty(&self) -> bool {
        let drained = self.control.drained >= self.cores.len();
        let answered = self.control.reports_seen == self.control.reports_asked;
        drained && answered && self.cores.iter().all(|core| core.census() == (0, 0, 0))
    }

    /// What is left, for the report.
    pub fn left(&self) -> String {
        let census: Vec<_> = self.cores.iter().map(Core::census).collect();
        let control = &self.control;
        format!(
            "sessions, links and wires by core: {census:?}; drained {}; reports {} of {}",
            control.drained, control.reports_seen, control.reports_asked
        )
    }

    pub fn check_blocks(&mut self, scene: &mut Scene) {
        self.cores.iter_mut().for_each(|core| core.check_blocks(scene));
    }
}
