//! A gate, as far as moves concern it: whom it believes to be primary, what it holds, cuts and forgets.
//!
//! Invariant: a statement is sent again only if it did not run (S70); one that waits is answered within its time (S74).

use super::clock::{Clock, Ms};
use super::plan::Mutation;
use super::server::Outcome;
use super::world::{Node, World, index, name, uuid_bytes};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_control::controller::epoch::{Admission, Guard};
use weir_control::controller::leases::{Kind, Presence};
use weir_control::controller::limits;
use weir_control::controller::outlook::{Outlook, Reach};
use weir_control::controller::record::{Phase, Record};
use weir_control::monitor::topology::Ordained;
use weir_control::tablet::word::Word;
use weir_core::snapshot::Role;
use weir_net::gtid::{GtidSet, Sid};

pub struct Gate {
    clock: Clock,
    guard: Guard,
    pub follows: usize,
    pub heard: Ms,
    words: Vec<Option<Word>>,
    /// Statements that wait: whose, and since when.
    pub buffer: VecDeque<(usize, Ms)>,
    /// On their way: by number.
    open: Vec<Open>,
    sent: u64,
    refused: Option<(usize, Ms)>,
    lease_id: u64,
    asks: usize,
    call: u64,
    /// What its sessions wrote or saw and may wait for (S64).
    pub awaited: GtidSet,
    settles: bool,
    holder: Option<usize>,
    /// What it sees of the holder: how, since when, and when it last got an answer.
    reach: Option<(Reach, Ms)>,
    answered: Option<Ms>,
}

struct Open {
    number: u64,
    writer: usize,
    since: Ms,
    server: usize,
}

/// A client that goes past the gates.
#[derive(Debug, Default)]
pub struct Direct {
    pub at: usize,
}

impl Gate {
    pub fn new(clock: Clock, members: usize) -> Gate {
        Gate {
            clock,
            guard: Guard::default(),
            follows: 0,
            heard: 0,
            words: vec![None; members],
            buffer: VecDeque::new(),
            open: Vec::new(),
            sent: 0,
            refused: None,
            lease_id: 0,
            asks: 0,
            call: 0,
            awaited: GtidSet::new(),
            settles: false,
            holder: Some(0),
            reach: None,
            answered: None,
        }
    }

    pub fn epoch(&self) -> u64 {
        self.guard.epoch().number()
    }

    fn ordained(&self) -> Option<Ordained> {
        let record = self.guard.record()?;
        Some(Ordained {
            epoch: record.epoch.number(),
            primary: record.primary().map(str::to_string),
            is_ending: matches!(record.phase, Phase::Handover { .. }),
            is_planned: record.heir().is_some(),
            promoted: Arc::new(GtidSet::parse(record.promoted_gtid_executed.as_bytes()).unwrap_or_default()),
        })
    }

    /// Who may be sent a write: the record's primary, if its own evidence agrees.
    fn primary(&self, now: Ms) -> Option<usize> {
        let ordained = self.ordained()?;
        let at = index(ordained.primary.as_deref()?);
        let word = self.words[at].as_ref().filter(|word| word.standing.is_sound() && word.role == Role::Primary)?;
        let is_refused = self.refused.is_some_and(|(server, until)| server == at && now < until);
        (ordained.judge(&word.name).0 == Role::Primary && !is_refused).then_some(at)
    }

    /// As the real one tells it with its presence.
    fn outlook(&self, now: Ms) -> Option<Outlook> {
        let (reach, since) = self.reach?;
        let primary = name(self.holder?).to_string();
        let age = |at: Ms| (now - at) as u32;
        Some(Outlook { primary, reach, since_ms: age(since), answered_ms: self.answered.map(age) })
    }

    /// For which epoch nothing is open on the primary any more.
    fn drained(&self) -> u64 {
        let is_ending = self.ordained().is_some_and(|ordained| ordained.is_ending);
        if is_ending && self.open.is_empty() { self.epoch() } else { 0 }
    }
}

impl World {
    pub fn start_gate(&mut self, at: usize) {
        (0..WRITERS).for_each(|writer| self.think(at, writer));
        self.gate_lease(at);
        self.beat_gate(at);
    }

    fn beat_gate(&mut self, at: usize) {
        self.after(1_000, move |w| w.beat_gate(at));
        if self.now >= self.gates[at].heard + limits::SILENT.as_millis() as Ms {
            self.gates[at].follows ^= 1;
            self.gates[at].heard = self.now;
        }
    }

    pub fn think(&mut self, at: usize, writer: usize) {
        let pause = if self.oracle.is_quiet { 400 } else { self.random.between(60, 240) };
        self.after(pause, move |w| {
            let now = w.now;
            w.gates[at].buffer.push_back((writer, now));
            w.after(BUFFER_MS, move |w| w.expire(at, writer, now));
            w.release(at);
        });
    }

    fn expire(&mut self, at: usize, writer: usize, since: Ms) {
        let buffer = &mut self.gates[at].buffer;
        let before = buffer.len();
        buffer.retain(|waiting| *waiting != (writer, since));
        if buffer.len() < before {
            self.answered(at, writer, since, Outcome::ReadOnly);
        }
    }

    /// Sends what waits, if there is somebody to send it to.
    fn release(&mut self, at: usize) {
        let undrained = self.makes(Mutation::Undrained);
        let gate = &self.gates[at];
        let is_ending = gate.ordained().is_none_or(|ordained| ordained.is_ending) && !undrained;
        let Some(server) = gate.primary(self.now).filter(|_| !is_ending) else { return };
        for (writer, since) in std::mem::take(&mut self.gates[at].buffer) {
            let gate = &mut self.gates[at];
            gate.sent += 1;
            let number = gate.sent;
            gate.open.push(Open { number, writer, since, server });
            self.after(STATEMENT_MS, move |w| w.ended(at, number, Outcome::Unknown));
            self.send(Node::Gate(at), Node::Server(server), move |w| {
                let answer = move |w: &mut World, outcome| {
                    w.send(Node::Server(server), Node::Gate(at), move |w| w.ended(at, number, outcome));
                };
                // What was cut before it arrived does not run.
                if w.gates[at].open.iter().any(|open| open.number == number) {
                    w.write(server, Box::new(answer));
                }
            });
        }
    }

    fn ended(&mut self, at: usize, number: u64, outcome: Outcome) {
        let gate = &mut self.gates[at];
        let Some(place) = gate.open.iter().position(|open| open.number == number) else { return };
        let Open { writer, since, server, .. } = gate.open.swap_remove(place);
        self.gate_lease_if_drained(at);
        self.gate_sees(at, server, &outcome);
        let gate = &mut self.gates[at];
        match outcome {
            Outcome::ReadOnly | Outcome::Down if self.now < since + BUFFER_MS => {
                gate.refused = Some((server, self.now + REFUSED_MS));
                gate.buffer.push_back((writer, since));
                self.after(REFUSED_MS, move |w| w.release(at));
            }
            _ => self.answered(at, writer, since, outcome),
        }
    }

    /// What becomes of a statement tells of the primary; another reach is told at once.
    fn gate_sees(&mut self, at: usize, server: usize, outcome: &Outcome) {
        let now = self.now;
        let gate = &mut self.gates[at];
        if gate.holder != Some(server) {
            return;
        }
        let reach = match outcome {
            Outcome::Done(_) => Reach::Answers,
            Outcome::ReadOnly => Reach::ReadOnly,
            _ => Reach::Silent,
        };
        if reach == Reach::Answers {
            gate.answered = Some(now);
        }
        let is_new = gate.reach.is_none_or(|(before, _)| before != reach);
        if is_new || reach == Reach::ReadOnly {
            gate.reach = Some((reach, now));
        }
        if is_new {
            gate.call += 1;
            self.gate_lease(at);
        }
    }

    fn answered(&mut self, at: usize, writer: usize, _since: Ms, outcome: Outcome) {
        match outcome {
            Outcome::Done(gtid) => {
                self.gates[at].awaited.merge(&gtid.set());
                self.oracle.acknowledged(gtid);
            }
            other => {
                self.log(|| format!("gate {at}, writer {writer}: {other:?}"));
                self.oracle.failed(self.now);
            }
        }
        self.think(at, writer);
    }

    pub fn gate_hears(&mut self, at: usize, tablet: usize, life: u64, word: Word) {
        if self.tablets[tablet].life != life {
            return;
        }
        self.gates[at].words[tablet] = Some(word);
        self.settle(at);
        self.release(at);
    }

    pub fn tell_gate(&mut self, at: usize, record: Record) -> bool {
        let is_mad = self.makes(Mutation::OlderEpochs);
        let gate = &mut self.gates[at];
        if is_mad && record.epoch < gate.guard.epoch() {
            gate.guard = Guard::default();
        }
        match gate.guard.admit(record) {
            Admission::Known => true,
            Admission::Refused(_) => false,
            Admission::News(record) => {
                self.oracle.heard(Node::Gate(at), record.epoch.number());
                self.adopt(at, &record);
                true
            }
        }
    }

    /// As the engine does with a new mandate.
    fn adopt(&mut self, at: usize, record: &Record) {
        let gate = &mut self.gates[at];
        gate.refused = None;
        let holder = record.primary().map(index);
        let spares_running = holder.is_none() && record.heir().is_some();
        if holder != gate.holder {
            gate.settles = true;
            (gate.reach, gate.answered) = (None, None);
        }
        gate.holder = holder;
        if !spares_running {
            let cut: Vec<u64> =
                gate.open.iter().filter(|open| Some(open.server) != holder).map(|open| open.number).collect();
            cut.into_iter().for_each(|number| self.ended(at, number, Outcome::Unknown));
        }
        self.settle(at);
        self.gate_lease_if_drained(at);
        self.release(at);
    }

    /// What the new primary lacks when it opens can never arrive (S64).
    fn settle(&mut self, at: usize) {
        let now = self.now;
        let is_blind = self.makes(Mutation::StaleSettle);
        let gate = &mut self.gates[at];
        let Some(primary) = gate.primary(now).filter(|_| gate.settles) else { return };
        let Some((word, ordained)) = gate.words[primary].as_ref().zip(gate.ordained()) else { return };
        if !word.executed.contains(&ordained.promoted) && !is_blind {
            return;
        }
        gate.settles = false;
        let mut lost = gate.awaited.clone();
        lost.subtract(&word.executed);
        lost = lost.without_server(uuid_bytes(primary));
        if self.plan.makes(Mutation::Forgetful) {
            lost = self.gates[at].awaited.clone();
        }
        self.gates[at].awaited.subtract(&lost);
        let executed = &self.servers[primary].executed;
        let has = lost.iter().any(|(sid, first, last)| {
            let mut one = GtidSet::new();
            one.add(Sid::clone(sid), first, last);
            let before = one.count();
            one.subtract(executed);
            one.count() < before
        });
        if has {
            self.oracle.fail(format!("gate {at} forgets what '{}' has: {lost}", name(primary)));
        }
    }

    fn gate_lease_if_drained(&mut self, at: usize) {
        if self.gates[at].drained() > 0 {
            // A change of the presence is told at once.
            self.gates[at].call += 1;
            self.gate_lease(at);
        }
    }

    fn gate_lease(&mut self, at: usize) {
        let gate = &mut self.gates[at];
        gate.call += 1;
        let (call, to, id) = (gate.call, gate.asks, gate.lease_id);
        let drained = gate.drained();
        let primary = gate.outlook(self.now);
        let presence = Presence { epoch_seen: gate.epoch(), drained, is_serving: true, primary, ..Presence::default() };
        let gate_name = format!("gate{at}:3306");
        self.send(Node::Gate(at), Node::Controller(to), move |w| {
            let given = w.give(to, Kind::Gate, &gate_name, (&gate_name, ""), presence, id);
            w.send(Node::Controller(to), Node::Gate(at), move |w| {
                if w.gates[at].call == call {
                    w.gates[at].call += 1;
                    let pause = match given {
                        Ok((id, lasts, record)) => {
                            w.gates[at].lease_id = id;
                            w.tell_gate(at, record);
                            lasts.as_millis() as Ms / 3
                        }
                        Err(leader) => {
                            w.gates[at].asks = leader.unwrap_or(to ^ 1);
                            50
                        }
                    };
                    w.gate_lease_later(at, pause);
                }
            });
        });
        self.after(600, move |w| {
            if w.gates[at].call == call {
                w.gates[at].asks ^= 1;
                w.gate_lease(at);
            }
        });
    }

    fn gate_lease_later(&mut self, at: usize, pause: Ms) {
        let call = self.gates[at].call;
        self.after(pause, move |w| {
            if w.gates[at].call == call {
                w.gate_lease(at);
            }
        });
    }

    /// Whether it follows this record and nothing waits.
    pub fn gate_is_well(&self, at: usize, record: &Record) -> bool {
        let gate = &self.gates[at];
        let _ = gate.clock;
        gate.guard.epoch() == record.epoch && gate.buffer.is_empty() && gate.primary(self.now).is_some()
    }
}

/// Clients of one gate.
const WRITERS: usize = 2;

/// How long a statement waits for a primary.
const BUFFER_MS: Ms = 10_000;

/// After this a client gives a statement up.
const STATEMENT_MS: Ms = 4_000;

/// As in the engine.
const REFUSED_MS: Ms = 100;
