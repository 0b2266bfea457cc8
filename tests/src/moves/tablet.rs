//! A tablet: the real mind, word, memory and guard, with the model of hands, watcher and registrar around them.

use super::clock::{Clock, Ms};
use super::hands::{Work, refused, too_late};
use super::plan::{Mutation, Plan};
use super::world::{Node, Then, World, name};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use weir_control::controller::client::Lease;
use weir_control::controller::epoch::{Admission, Guard};
use weir_control::controller::limits;
use weir_control::controller::record::{Phase, Record};
use weir_control::monitor::Fault;
use weir_control::monitor::memory::Memory;
use weir_control::monitor::vitals::Vitals;
use weir_control::tablet::hands::Obstacle;
use weir_control::tablet::membership::Membership;
use weir_control::tablet::steward::LOOK_PAUSE;
use weir_control::tablet::steward::mind::{Mind, Nature, shows};
use weir_control::tablet::steward::verdict::{Deed, Verdict};
use weir_control::tablet::word::{Mark, Word};

/// Where its steward is.
#[derive(Clone, Debug, PartialEq)]
pub enum Doing {
    Looking,
    Work(u64),
    Resting(Mark),
}

pub struct Tablet {
    pub dead: u32,
    pub frozen: u32,
    pub stalled: Vec<Then>,
    pub life: u64,
    pub clock: Clock,
    pub mind: Mind,
    pub guard: Guard,
    pub lease: Lease,
    pub lease_id: u64,
    pub word: Word,
    pub doing: Doing,
    /// Grows with every step of the steward.
    turn: u64,
    pub works: u64,
    pub began: Ms,
    deed: Option<(Deed, Arc<Record>)>,
    /// When which deed began, for the oracle.
    pub deeds: VecDeque<(Ms, &'static str)>,
    pub knows_process: bool,
    pub memory: Memory,
    pub vitals: Vitals,
    pub vitals_at: Ms,
    pub looks: u64,
    is_pushing: bool,
    pub is_streaming: bool,
    pub follows: usize,
    pub heard: Ms,
    pub asks: usize,
    pub pause: Ms,
    pub call: u64,
}

impl Tablet {
    pub fn new(at: usize, clock: Clock, plan: &Plan) -> Tablet {
        let nature = Nature {
            name: name(at).to_string(),
            semi_sync: if plan.semi_sync {
                weir_control::config::tablet::SemiSyncWish::On
            } else {
                weir_control::config::tablet::SemiSyncWish::Keep
            },
            can_replicate: true,
        };
        let mut word = Word::new(name(at), None);
        word.address = format!("db{at}:3306");
        Tablet {
            dead: 0,
            frozen: 0,
            stalled: Vec::new(),
            life: 1,
            clock,
            mind: Mind::new(nature),
            guard: Guard::default(),
            lease: Lease::default(),
            lease_id: 0,
            word,
            doing: Doing::Looking,
            turn: 0,
            works: 0,
            began: 0,
            deed: None,
            deeds: VecDeque::new(),
            knows_process: false,
            memory: Memory::default(),
            vitals: Vitals::default(),
            vitals_at: 0,
            looks: 0,
            is_pushing: false,
            is_streaming: false,
            follows: at % 2,
            heard: 0,
            asks: at % 2,
            pause: 50,
            call: 0,
        }
    }
}

impl World {
    pub fn start_tablet_process(&mut self, at: usize) {
        let life = self.tablets[at].life;
        self.after(1, move |w| w.on_tablet(at, life, move |w| w.turn(at)));
        self.after(2, move |w| w.on_tablet(at, life, move |w| w.watch(at)));
        self.after(30, move |w| w.on_tablet(at, life, move |w| w.ask_lease(at)));
        self.after(1_000, move |w| w.beat_tablet(at, life));
    }

    /// In that life of the tablet, when it is not frozen.
    pub fn on_tablet(&mut self, at: usize, life: u64, then: impl FnOnce(&mut World) + 'static) {
        let then = move |w: &mut World| {
            if w.tablets[at].life == life {
                then(w);
            }
        };
        match self.tablets[at].frozen > 0 {
            true => self.tablets[at].stalled.push(Box::new(then)),
            false => then(self),
        }
    }

    pub fn soon(&mut self, at: usize, pause: Ms, then: impl FnOnce(&mut World) + 'static) {
        let life = self.tablets[at].life;
        self.after(pause, move |w| w.on_tablet(at, life, then));
    }

    /// Unless the steward has gone on meanwhile.
    fn if_still(&mut self, at: usize, pause: Ms, then: impl FnOnce(&mut World) + 'static) {
        let turn = self.tablets[at].turn;
        self.soon(at, pause, move |w| {
            if w.tablets[at].turn == turn {
                then(w);
            }
        });
    }

    /// From the top.
    fn turn(&mut self, at: usize) {
        let tablet = &mut self.tablets[at];
        tablet.turn += 1;
        tablet.doing = Doing::Looking;
        let now = tablet.clock.shows(self.now);
        let record = tablet.guard.record().cloned();
        tablet.mind.begin_turn(now, record.as_deref());
        let Some(record) = record else { return self.rest(at, None, None) };
        let Some(limit) = tablet.mind.look_limit(now, &record, &tablet.lease, TIMEOUT) else {
            return self.judge(at, &record);
        };
        let late = record.clone();
        self.if_still(at, limit.as_millis() as Ms, move |w| w.blind(at, &late, too_late()));
        let (life, turn) = (self.tablets[at].life, self.tablets[at].turn);
        let pause = self.random.between(1, 3);
        self.after(pause, move |w| {
            if !w.servers[at].is_up() {
                return w.if_still(at, 0, move |w| w.blind(at, &record, refused()));
            }
            w.on_server(at, move |w| {
                // The connection was given up, and ended with that.
                if w.tablets[at].life != life || w.tablets[at].turn != turn {
                    return;
                }
                if w.tablets[at].mind.is_unsure() {
                    w.end_works(at);
                    w.tablets[at].mind.handle_sure();
                }
                let view = w.view(at);
                let view = if record.former().is_some() { w.lie(view) } else { view };
                w.tablets[at].knows_process = true;
                w.if_still(at, 1, move |w| {
                    w.tablets[at].mind.handle_view(view);
                    w.judge(at, &record);
                });
            });
        });
    }

    fn blind(&mut self, at: usize, record: &Arc<Record>, why: Obstacle) {
        if let Obstacle::Client(error) = why {
            self.tablets[at].mind.handle_fault(Fault::of(error));
        }
        self.judge(at, record);
    }

    fn judge(&mut self, at: usize, record: &Arc<Record>) {
        let early = self.makes(Mutation::SettledEarly);
        let tablet = &mut self.tablets[at];
        let now = tablet.clock.shows(self.now);
        let word = tablet.word.clone();
        let verdict = tablet.mind.judge(now, record, &tablet.lease, &word);
        let mut care = tablet.mind.care(record, &verdict, &word);
        if early {
            care.settled = record.epoch.number();
        }
        let is_news = tablet.word.handle_care(care);
        if is_news {
            self.push(at);
        }
        match verdict {
            Verdict::Due(deed) => self.perform(at, record, deed),
            Verdict::Resting { deed, .. } if self.makes(Mutation::Restless) => self.perform(at, record, deed),
            Verdict::Resting { until, .. } => self.rest(at, Some(record), Some(until)),
            Verdict::Idle(_) | Verdict::Stuck(_) | Verdict::Settled(_) => self.rest(at, Some(record), None),
        }
    }

    fn rest(&mut self, at: usize, record: Option<&Record>, until: Option<tokio::time::Instant>) {
        let tablet = &mut self.tablets[at];
        tablet.turn += 1;
        tablet.doing = Doing::Resting(tablet.word.mark());
        let now = tablet.clock.shows(self.now);
        let mut wake = now + LOOK_PAUSE;
        if let Some(until) = until {
            wake = wake.min(until);
        }
        if let Some(record) = record {
            let fence_at = tablet.mind.fence_at(now, record, &tablet.lease);
            if fence_at > now {
                wake = wake.min(fence_at);
            }
        }
        let pause = tablet.clock.when(wake).saturating_sub(self.now).max(1);
        self.if_still(at, pause, move |w| w.turn(at));
    }

    fn perform(&mut self, at: usize, record: &Arc<Record>, deed: Deed) {
        // A record that came during the look ends the deed before it begins.
        if !matches!(deed, Deed::Fence { .. }) && self.tablets[at].guard.epoch() != record.epoch {
            return self.give_up(at);
        }
        self.log(|| format!("{}: {} in epoch {}", name(at), deed.name(), record.epoch));
        let now = self.now;
        let tablet = &mut self.tablets[at];
        tablet.turn += 1;
        tablet.works += 1;
        tablet.began = now;
        tablet.doing = Doing::Work(tablet.works);
        tablet.deed = Some((deed.clone(), record.clone()));
        tablet.deeds.push_back((now, deed.name()));
        tablet.deeds.retain(|(began, _)| now < began + 10_000);
        let count = tablet.deeds.iter().filter(|(_, name)| *name == deed.name()).count();
        self.oracle.check_deeds(at, deed.name(), count);
        let tablet = &mut self.tablets[at];
        let work = Work { tablet: at, life: tablet.life, number: tablet.works, deed };
        if !matches!(work.deed, Deed::Fence { .. }) {
            let shown = tablet.clock.shows(now);
            let until = tablet.mind.deed_until(shown, record, &tablet.lease);
            if let Some(until) = until.map(|until| tablet.clock.when(until)) {
                self.if_still(at, until.saturating_sub(now), move |w| w.give_up(at));
            }
            let late = work.clone();
            self.after(TIMEOUT.as_millis() as Ms, move |w| w.finish(&late, Err(too_late())));
        }
        self.carry_out(work);
    }

    fn give_up(&mut self, at: usize) {
        self.tablets[at].mind.handle_given_up();
        self.tablets[at].deed = None;
        self.turn(at);
    }

    /// A deed has ended, if it has not been given up.
    pub fn finish(&mut self, work: &Work, outcome: Result<(), Obstacle>) {
        let (at, work) = (work.tablet, work.clone());
        self.on_tablet(at, work.life, move |w| {
            if !w.is_at(&work) {
                return;
            }
            let tablet = &mut w.tablets[at];
            let Some((deed, record)) = tablet.deed.take() else { return };
            let now = tablet.clock.shows(w.now);
            match outcome {
                Ok(()) => tablet.mind.handle_done(now, &record, &deed),
                Err(obstacle) => tablet.mind.handle_obstacle(now, &deed, obstacle),
            }
            w.look(at);
            w.turn(at);
        });
    }

    /// The record or the lease is another one.
    pub fn wake(&mut self, at: usize, is_record: bool) {
        let is_fence = matches!(&self.tablets[at].deed, Some((Deed::Fence { .. }, _)));
        match self.tablets[at].doing {
            Doing::Resting(_) => self.if_still(at, 0, move |w| w.turn(at)),
            Doing::Work(_) if is_record && !is_fence => self.if_still(at, 0, move |w| w.give_up(at)),
            Doing::Work(_) | Doing::Looking => {}
        }
    }

    /// The word is another one.
    pub fn changed(&mut self, at: usize) {
        let tablet = &self.tablets[at];
        let is_shown = tablet.mind.awaited().is_some_and(|view| shows(&tablet.word, view));
        if matches!(&tablet.doing, Doing::Resting(mark) if *mark != tablet.word.mark() || is_shown) {
            self.if_still(at, 0, move |w| w.turn(at));
        }
        self.push(at);
    }

    /// The word goes to all who listen.
    fn push(&mut self, at: usize) {
        if !std::mem::replace(&mut self.tablets[at].is_pushing, true) {
            self.soon(at, 1, move |w| w.push_now(at));
        }
    }

    fn push_now(&mut self, at: usize) {
        self.tablets[at].is_pushing = false;
        let word = self.tablets[at].word.clone();
        self.oracle.check_word(&word);
        self.check_settled(at, &word);
        let life = self.tablets[at].life;
        for to in 0..2 {
            let (one, other) = (word.clone(), word.clone());
            self.send(Node::Tablet(at), Node::Controller(to), move |w| w.chair_hears(to, at, life, one));
            self.send(Node::Tablet(at), Node::Gate(to), move |w| w.gate_hears(to, at, life, other));
        }
    }

    /// Once a second: a word for those who listen, and another controller if this one is silent.
    fn beat_tablet(&mut self, at: usize, life: u64) {
        if self.tablets[at].life != life {
            return;
        }
        self.on_tablet(at, life, move |w| {
            if w.now >= w.tablets[at].heard + limits::SILENT.as_millis() as Ms {
                w.tablets[at].follows ^= 1;
                w.tablets[at].heard = w.now;
            }
            w.push(at);
        });
        self.after(1_000, move |w| w.beat_tablet(at, life));
    }

    /// False: it is not believed.
    pub fn tell_tablet(&mut self, at: usize, record: Record) -> bool {
        let is_mad = self.makes(Mutation::OlderEpochs);
        let tablet = &mut self.tablets[at];
        if is_mad && record.epoch < tablet.guard.epoch() {
            tablet.guard = Guard::default();
        }
        match tablet.guard.admit(record) {
            Admission::Known => true,
            Admission::Refused(_) => false,
            Admission::News(record) => {
                let forming = record.phase == Phase::Forming;
                assert!(!forming, "it never forms again");
                let membership = Membership {
                    lease: Some(tablet.lease.clone()),
                    record: Some(record.clone()),
                    ..Membership::new(name(at))
                };
                let now = tablet.clock.shows(self.now);
                if record.epoch.number() >= tablet.word.epoch {
                    tablet.word.enrol(now, &membership);
                }
                self.oracle.heard(Node::Tablet(at), record.epoch.number());
                self.push(at);
                self.wake(at, true);
                true
            }
        }
    }

    pub fn kill_tablet(&mut self, at: usize) {
        let tablet = &mut self.tablets[at];
        tablet.dead += 1;
        tablet.life += 1;
        tablet.stalled.clear();
        self.servers[at].is_setting = false;
        self.oracle.unguarded(at);
        for to in 0..2 {
            // Its streams end.
            self.send(Node::Tablet(at), Node::Controller(to), move |w| w.chair_loses(to, at));
        }
    }

    pub fn start_tablet(&mut self, at: usize) {
        self.tablets[at].dead -= 1;
        let now = self.now;
        self.oracle.guarded(now, at);
        if self.tablets[at].dead > 0 {
            return;
        }
        let plan = self.plan.clone();
        let before = &mut self.tablets[at];
        let mut next = Tablet::new(at, before.clock, &plan);
        (next.life, next.works, next.turn, next.frozen) = (before.life, before.works, before.turn, before.frozen);
        next.deeds = std::mem::take(&mut before.deeds);
        next.heard = self.now;
        // Some keep what they were told.
        if self.random.chance(50) {
            next.guard = before.guard.clone();
        }
        *before = next;
        self.start_tablet_process(at);
        if let Some(record) = self.tablets[at].guard.record().cloned() {
            self.tablets[at].guard = Guard::default();
            self.tell_tablet(at, (*record).clone());
        } else {
            self.oracle.forgets(Node::Tablet(at));
        }
    }

    pub fn freeze_tablet(&mut self, at: usize) {
        self.tablets[at].frozen += 1;
        self.oracle.unguarded(at);
    }

    pub fn thaw_tablet(&mut self, at: usize) {
        self.tablets[at].frozen -= 1;
        let now = self.now;
        self.oracle.guarded(now, at);
        if self.tablets[at].frozen == 0 {
            for then in std::mem::take(&mut self.tablets[at].stalled) {
                self.after(0, then);
            }
        }
    }
}

/// For one look.
pub const TIMEOUT: Duration = Duration::from_millis(1_000);
