//! A chair: one controller. Coordinator, leases, guard and record are the real ones; leadership and swap are modelled.
//!
//! Invariant: it believes to lead until its lease in the store is over by its own clock, counted from before it asked. A
//! coordinator and a book live as long as one leadership.

use super::clock::{Clock, Ms};
use super::plan::Mutation;
use super::store::Swap;
use super::world::{Node, Then, World, name};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use weir_control::controller::epoch::{Admission, Guard};
use weir_control::controller::failover::coordinator::{Coordinator, Move};
use weir_control::controller::failover::order::OrderEnd;
use weir_control::controller::failover::scout::{seen, unseen};
use weir_control::controller::failover::settings::Settings;
use weir_control::controller::failover::sight::{GateSight, MemberSight, Sight};
use weir_control::controller::leases::{Kind, Leases, Presence};
use weir_control::controller::limits;
use weir_control::controller::record::{Phase, Record};
use weir_control::tablet::word::Word;
use weir_net::gtid::GtidSet;

pub struct Chair {
    pub dead: u32,
    pub frozen: u32,
    pub stalled: Vec<Then>,
    life: u64,
    pub clock: Clock,
    pub guard: Guard,
    /// The store was read since the last doubt about it.
    knows_store: bool,
    pub term: Option<Term>,
    /// Who leads, as the store said.
    leader: Option<usize>,
    /// A swap is under way.
    is_changing: bool,
    call: u64,
    is_stepping: bool,
    pub order_began: Option<Ms>,
}

/// One leadership.
pub struct Term {
    number: u64,
    since: Instant,
    until: Instant,
    /// When the store has been read.
    pub begun: Option<(Coordinator, Leases)>,
    seen: BTreeMap<usize, (MemberSight, u64, Ms)>,
}

pub type Given = Result<(u64, Duration, Record), Option<usize>>;

impl Chair {
    pub fn new(_at: usize, clock: Clock) -> Chair {
        Chair {
            dead: 0,
            frozen: 0,
            stalled: Vec::new(),
            life: 1,
            clock,
            guard: Guard::default(),
            knows_store: false,
            term: None,
            leader: None,
            is_changing: false,
            call: 0,
            is_stepping: false,
            order_began: None,
        }
    }

    pub fn leads(&self, now: Ms) -> bool {
        self.dead == 0
            && self.term.as_ref().is_some_and(|term| self.clock.shows(now) < term.until && term.begun.is_some())
    }

    pub fn order_is_open(&self) -> bool {
        self.order_began.is_some()
    }
}

impl World {
    pub fn start_chair_process(&mut self, at: usize) {
        let life = self.chairs[at].life;
        let pause = 1 + at as u64 * 300;
        self.after(pause, move |w| w.on_chair(at, life, move |w| w.campaign(at)));
        self.after(pause, move |w| w.beat_chair(at, life));
    }

    fn on_chair(&mut self, at: usize, life: u64, then: impl FnOnce(&mut World) + 'static) {
        let then = move |w: &mut World| {
            if w.chairs[at].life == life {
                then(w);
            }
        };
        match self.chairs[at].frozen > 0 {
            true => self.chairs[at].stalled.push(Box::new(then)),
            false => then(self),
        }
    }

    fn chair_soon(&mut self, at: usize, pause: Ms, then: impl FnOnce(&mut World) + 'static) {
        let life = self.chairs[at].life;
        self.after(pause, move |w| w.on_chair(at, life, then));
    }

    /// Asks the store, and hears its answer, unless the way is cut.
    fn ask_store<T: 'static>(
        &mut self,
        at: usize,
        ask: impl FnOnce(&mut World) -> T + 'static,
        then: impl FnOnce(&mut World, T) + 'static,
    ) {
        let life = self.chairs[at].life;
        self.send(Node::Controller(at), Node::Store, move |w| {
            let answer = ask(w);
            w.send(Node::Store, Node::Controller(at), move |w| {
                if w.chairs[at].life == life {
                    then(w, answer);
                }
            });
        });
    }

    fn campaign(&mut self, at: usize) {
        let asked = self.chairs[at].clock.shows(self.now);
        let ask = move |w: &mut World| {
            let term = w.store.campaign(w.now, at, LEADER_MS);
            (term, w.store.leader.map(|(leader, ..)| leader))
        };
        self.ask_store(at, ask, move |w, (term, leader)| {
            w.chairs[at].leader = leader;
            let until = asked + Duration::from_millis(LEADER_MS);
            match term {
                Some(number) => w.leads(at, number, until),
                None => (w.chairs[at].term, w.chairs[at].order_began) = (None, None),
            }
        });
        let pause = self.random.between(LEADER_MS / 4, LEADER_MS / 3);
        self.chair_soon(at, pause, move |w| w.campaign(at));
    }

    fn leads(&mut self, at: usize, number: u64, until: Instant) {
        let chair = &mut self.chairs[at];
        match &mut chair.term {
            Some(term) if term.number == number => term.until = term.until.max(until),
            _ => {
                let since = chair.clock.shows(self.now);
                chair.term = Some(Term { number, since, until, begun: None, seen: BTreeMap::new() });
                (chair.knows_store, chair.is_changing) = (false, false);
                // An order belongs to a coordinator.
                chair.order_began = None;
                self.log(|| format!("controller {at} leads, term {number}"));
            }
        }
        if self.chairs[at].term.as_ref().is_some_and(|term| term.begun.is_none()) {
            self.reload(at);
        }
    }

    fn reload(&mut self, at: usize) {
        self.ask_store(
            at,
            |w| w.store.record.clone(),
            move |w, record| {
                w.chair_admits(at, record);
                w.chairs[at].knows_store = true;
                let lease_ms = w.plan.lease_ms;
                let chair = &mut w.chairs[at];
                if let Some(term) = chair.term.as_mut().filter(|term| term.begun.is_none()) {
                    let leases = Leases::new(term.since, lease_ms, term.number * 1_000);
                    term.begun = Some((Coordinator::new(Settings::default()), leases));
                    // The scouts connect, and hear each tablet's word.
                    for tablet in 0..w.tablets.len() {
                        w.hail(at, tablet);
                    }
                }
                w.step_soon(at);
            },
        );
    }

    /// A stream is opened: its first word comes at once, or it cannot be opened.
    fn hail(&mut self, at: usize, tablet: usize) {
        self.chair_soon(at, HAIL_MS, move |w| {
            let now = w.chairs[at].clock.shows(w.now);
            if let Some(term) = &mut w.chairs[at].term {
                term.seen.entry(tablet).or_insert_with(|| (unseen(now), 0, 0));
                w.step_soon(at);
            }
        });
        self.send(Node::Controller(at), Node::Tablet(tablet), move |w| {
            if w.tablets[tablet].dead == 0 {
                let (word, life) = (w.tablets[tablet].word.clone(), w.tablets[tablet].life);
                w.send(Node::Tablet(tablet), Node::Controller(at), move |w| w.chair_hears(at, tablet, life, word));
            }
        });
    }

    fn chair_admits(&mut self, at: usize, record: Record) {
        if let Admission::News(record) = self.chairs[at].guard.admit(record) {
            self.oracle.heard(Node::Controller(at), record.epoch.number());
            self.tell_followers(at);
            self.step_soon(at);
        }
    }

    fn tell_followers(&mut self, at: usize) {
        let Some(record) = self.chairs[at].guard.record().cloned() else { return };
        for tablet in 0..self.tablets.len() {
            let record = (*record).clone();
            self.send(Node::Controller(at), Node::Tablet(tablet), move |w| {
                if w.tablets[tablet].dead == 0 && w.tablets[tablet].follows == at {
                    w.tablets[tablet].heard = w.now;
                    w.tell_tablet(tablet, record);
                }
            });
        }
        for gate in 0..self.gates.len() {
            let record = (*record).clone();
            self.send(Node::Controller(at), Node::Gate(gate), move |w| {
                if w.gates[gate].follows == at {
                    w.gates[gate].heard = w.now;
                    w.tell_gate(gate, record);
                }
            });
        }
    }

    /// Twice a second: the record for followers, the store for who does not lead, streams that are silent.
    fn beat_chair(&mut self, at: usize, life: u64) {
        if self.chairs[at].life != life {
            return;
        }
        self.after(500, move |w| w.beat_chair(at, life));
        self.on_chair(at, life, move |w| {
            w.tell_followers(at);
            if !w.chairs[at].leads(w.now) || !w.chairs[at].knows_store {
                w.reload(at);
            }
            let (now, clock) = (w.now, w.chairs[at].clock);
            let Some(term) = &mut w.chairs[at].term else { return };
            for (seen, _, heard) in term.seen.values_mut() {
                if seen.is_live && now >= *heard + limits::SILENT.as_millis() as Ms {
                    (seen.is_live, seen.since) = (false, clock.shows(now));
                }
            }
        });
    }

    pub fn chair_hears(&mut self, at: usize, tablet: usize, life: u64, word: Word) {
        let now = self.now;
        let clock = self.chairs[at].clock;
        if self.chairs[at].dead > 0 || self.tablets[tablet].life != life {
            return;
        }
        let Some(term) = &mut self.chairs[at].term else { return };
        let before = term.seen.remove(&tablet);
        if let Some((seen, sequence, _)) = &before
            && *sequence > word.sequence
            && seen.is_live
        {
            term.seen.extend(before.map(|before| (tablet, before)));
            return;
        }
        let sight = seen(clock.shows(now), before.map(|(seen, ..)| seen), &word);
        term.seen.insert(tablet, (sight, word.sequence, now));
        self.step_soon(at);
    }

    pub fn chair_loses(&mut self, at: usize, tablet: usize) {
        let now = self.chairs[at].clock.shows(self.now);
        if let Some(term) = &mut self.chairs[at].term
            && let Some((seen, ..)) = term.seen.get_mut(&tablet)
            && seen.is_live
        {
            (seen.is_live, seen.since) = (false, now);
            self.step_soon(at);
        }
    }

    pub fn give_tablet_lease(&mut self, at: usize, tablet: usize, id: u64) -> Given {
        let (place, grpc) = (format!("db{tablet}:3306"), format!("db{tablet}:7406"));
        self.give(at, Kind::Tablet, name(tablet), (&place, &grpc), Presence::default(), id)
    }

    pub fn give(
        &mut self,
        at: usize,
        kind: Kind,
        name: &str,
        place: (&str, &str),
        presence: Presence,
        id: u64,
    ) -> Given {
        let now = self.now;
        let chair = &mut self.chairs[at];
        let shown = chair.clock.shows(now);
        if !chair.leads(now) {
            return Err(chair.leader.filter(|leader| *leader != at));
        }
        let record = chair.guard.record().cloned().ok_or(None)?;
        let leases = &mut chair.term.as_mut().and_then(|term| term.begun.as_mut()).ok_or(None)?.1;
        let lasts = Duration::from_millis(u64::from(record.lease_ms));
        let renewed = leases.renew(shown, kind, name, id, presence.clone());
        let id = match renewed {
            Ok(()) => id,
            Err(_) => leases.register(shown, (kind, name), place, presence, id).map_err(|_| None)?.id,
        };
        Ok((id, lasts, (*record).clone()))
    }

    pub fn step_soon(&mut self, at: usize) {
        if !std::mem::replace(&mut self.chairs[at].is_stepping, true) {
            self.chair_soon(at, 1, move |w| {
                w.chairs[at].is_stepping = false;
                w.step(at);
            });
        }
    }

    pub fn sight(&self, at: usize) -> Option<Sight> {
        let chair = &self.chairs[at];
        if !chair.leads(self.now) {
            return None;
        }
        let now = chair.clock.shows(self.now);
        let record = chair.guard.record()?.clone();
        let term = chair.term.as_ref()?;
        let leases = &term.begun.as_ref()?.1;
        let left = |tablet: usize| match self.plan.mutation {
            Some(Mutation::NoLeases) => Duration::ZERO,
            Some(Mutation::NewLeaderForgets) if !leases.knows(Kind::Tablet, name(tablet)) => Duration::ZERO,
            _ => leases.left(now, Kind::Tablet, name(tablet)),
        };
        let member = |(tablet, (seen, ..)): (&usize, &(MemberSight, u64, Ms))| {
            let seen = MemberSight { lease_left: left(*tablet), ..seen.clone() };
            (name(*tablet).to_string(), seen)
        };
        let gates = leases.held(now, Kind::Gate).map(|(name, holder, _)| GateSight::of(name, holder)).collect();
        let members = term.seen.iter().map(member).collect();
        Some(Sight { record: record.clone(), members, gates })
    }

    /// Looks, judges, changes.
    fn step(&mut self, at: usize) {
        let Some(sight) = self.sight(at) else { return };
        let now = self.chairs[at].clock.shows(self.now);
        if self.makes(Mutation::Asleep) && sight.record.former().is_some() {
            return;
        }
        let untold = self.makes(Mutation::Untold);
        let Some((coordinator, _)) = self.chairs[at].term.as_mut().and_then(|term| term.begun.as_mut()) else {
            return;
        };
        let next = coordinator.step(now, &sight);
        let due = coordinator.due();
        let end = coordinator.take_order_end();
        let mut events = Vec::new();
        while let Some(event) = coordinator.poll_event() {
            events.push(event);
        }
        for event in events {
            self.log(|| format!("controller {at}: {} {}", event.kind.name(), event.text));
            if !untold {
                self.oracle.event(&event);
            }
        }
        if let Some(end) = end {
            self.log(|| format!("order: {end:?}"));
            self.oracle.counts.switchovers += u64::from(end == OrderEnd::Done);
            self.chairs[at].order_began = None;
        }
        let pause = due.map_or(200, |due| self.chairs[at].clock.when(due).saturating_sub(self.now)).clamp(1, 200);
        let busy = matches!(sight.record.phase, Phase::Handover { .. });
        let pause = if busy { pause.min(5) } else { pause };
        let term = self.chairs[at].term.as_ref().map(|term| term.number);
        self.chairs[at].call += 1;
        let call = self.chairs[at].call;
        self.chair_soon(at, pause, move |w| {
            if w.chairs[at].call == call && w.chairs[at].term.as_ref().map(|term| term.number) == term {
                w.step(at);
            }
        });
        if let Some(next) = next {
            self.change(at, next);
        }
    }

    pub fn change(&mut self, at: usize, next: Move) {
        let chair = &mut self.chairs[at];
        let (Some(record), Some(term)) = (chair.guard.record().cloned(), &chair.term) else { return };
        if chair.is_changing || !chair.knows_store {
            return;
        }
        let number = term.number;
        let mut next = next.edit(&record);
        next.epoch = record.epoch.next().expect("few epochs");
        if let Err(why) = record.check_next(&next) {
            return self.oracle.fail(format!("the coordinator wants what may not follow: {why}"));
        }
        chair.is_changing = true;
        let life = chair.life;
        let wanted = next.clone();
        let ask = move |w: &mut World| {
            let swap = w.store.swap(w.now, number, next.clone());
            if swap == Swap::Done {
                w.stored(&next);
            }
            swap
        };
        self.ask_store(at, ask, move |w, swap| {
            w.chairs[at].is_changing = false;
            match swap {
                Swap::Done => w.chair_admits(at, wanted),
                Swap::Lost | Swap::Deposed => {
                    w.chairs[at].knows_store = false;
                    w.reload(at);
                }
            }
        });
        // Without an answer nobody knows what came of it: the store is asked.
        self.after(1_500, move |w| {
            let is_same = w.chairs[at].term.as_ref().is_some_and(|term| term.number == number);
            if w.chairs[at].life == life && is_same && w.chairs[at].is_changing {
                (w.chairs[at].is_changing, w.chairs[at].knows_store) = (false, false);
                w.reload(at);
            }
        });
    }

    /// A new record holds.
    fn stored(&mut self, record: &Record) {
        self.log(|| format!("epoch {}: {:?}: {}", record.epoch, record.phase, record.reason));
        let promoted = GtidSet::parse(record.promoted_gtid_executed.as_bytes()).unwrap_or_default();
        self.oracle.record(self.now, record, &promoted);
        for to in 0..self.chairs.len() {
            let record = record.clone();
            self.send(Node::Store, Node::Controller(to), move |w| {
                if w.chairs[to].dead == 0 {
                    w.chair_admits(to, record);
                }
            });
        }
    }

    pub fn kill_chair(&mut self, at: usize) {
        let chair = &mut self.chairs[at];
        chair.dead += 1;
        chair.life += 1;
        chair.stalled.clear();
        chair.term = None;
    }

    pub fn start_chair(&mut self, at: usize) {
        self.chairs[at].dead -= 1;
        if self.chairs[at].dead == 0 {
            let before = &self.chairs[at];
            let next = Chair { life: before.life, frozen: before.frozen, ..Chair::new(at, before.clock) };
            self.chairs[at] = next;
            self.oracle.forgets(Node::Controller(at));
            self.start_chair_process(at);
        }
    }

    pub fn thaw_chair(&mut self, at: usize) {
        self.chairs[at].frozen -= 1;
        if self.chairs[at].frozen == 0 {
            for then in std::mem::take(&mut self.chairs[at].stalled) {
                self.after(0, then);
            }
        }
    }
}

/// After this a scout takes a tablet for one that it cannot reach.
const HAIL_MS: Ms = 1_000;

/// Of a leadership in the store.
const LEADER_MS: Ms = 2_000;
