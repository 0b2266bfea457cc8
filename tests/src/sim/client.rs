//! The model of a client: it logs in, sends what its script says, and holds every answer against its own model.
//!
//! ```text
//!   Away ─► Login ⇄ ─► Ready: [ think ─► send one or more commands ─► read their answers in order ] ─► Done
//!     ▲                  │ the connection is lost, or an answer leaves the session's state open
//!     └──────────────────┘
//! ```
//! Invariant: `outstanding` holds the commands sent whose answers have not ended, in order.

pub mod ask;
pub mod login;
pub mod mind;
pub mod reply;
pub mod script;
mod verdict;

use std::collections::VecDeque;

use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::packet;

use crate::sim::agenda::{Event, MS, US};
use crate::sim::cable::{Got, Sock};
use crate::sim::client::ask::Ask;
use crate::sim::client::login::{Said, Talk};
use crate::sim::client::mind::{Effect, Mind};
use crate::sim::client::reply::{ReplyReader, Shape, take_packet};
use crate::sim::client::script::Script;
use crate::sim::client::script::levels::name;
use crate::sim::mutation::Mutation;
use crate::sim::oracle::Fate;
use crate::sim::oracle::horizon::Promise;
use crate::sim::random::Random;
use crate::sim::scene::Scene;
use crate::sim::server::command;

/// How a client is built.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub caps: Capabilities,
    pub think_ns_max: u64,
    /// Bytes that it reads at once, and how long it rests then.
    pub read_max: usize,
    pub read_pause_ns: u64,
    /// Leaves with `COM_QUIT`.
    pub is_polite: bool,
    /// Says that it will write no more, and closes when the other side does.
    pub half_closes: bool,
}

#[derive(Debug)]
pub enum State {
    /// Connects at this time.
    Away(u64),
    Login(Talk),
    Ready,
    /// Half-closed: waits for the other side's end.
    Leaving,
    Done,
}

#[derive(Debug)]
pub struct Client {
    pub id: u32,
    pub nature: Nature,
    pub state: State,
    pub mind: Mind,
    pub script: Script,
    sock: Option<Sock>,
    input: Vec<u8>,
    out: Vec<u8>,
    outstanding: VecDeque<Ask>,
    reader: Option<ReplyReader>,
    change: Option<Talk>,
    nonce: [u8; 20],
    columns_fetched: usize,
    next_at: u64,
    /// When it last sent, or got a packet.
    heard_at: u64,
    read_at: u64,
    random: Random,
}

/// What a client wants from the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    Connect,
}

impl Client {
    pub fn new(id: u32, nature: Nature, script: Script, random: Random) -> Client {
        Client {
            id,
            nature,
            state: State::Away(0),
            mind: Mind::default(),
            script,
            sock: None,
            input: Vec::new(),
            out: Vec::new(),
            outstanding: VecDeque::new(),
            reader: None,
            change: None,
            nonce: [0; 20],
            columns_fetched: 2,
            next_at: 0,
            heard_at: 0,
            read_at: 0,
            random,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// What it waits for, for the report of a hang.
    pub fn waits_for(&self) -> String {
        let ask = self.outstanding.front().map(|ask| (ask.shape, ask.tag, command::named(&ask.payload)));
        format!("client {} in {:?} waits for {ask:?}", self.id, self.state)
    }

    /// Since when it has been waiting for an answer, or for a login to go on.
    pub fn waits_since(&self) -> Option<u64> {
        let waits = matches!(self.state, State::Login(_)) || !self.outstanding.is_empty();
        waits.then_some(self.heard_at)
    }

    /// The world has connected it.
    pub fn connected(&mut self, scene: &mut Scene, sock: Sock) {
        let user = self.random.pick(&self.script.rules.users).clone();
        let password = scene.passwords[&user].clone();
        let schema = ["db1", "db2"].get(self.random.below(3) as usize).copied();
        scene.tell(|| format!("client {} connects as {user}", self.id));
        self.state = State::Login(Talk::new(&user, &password, schema, self.nature.caps));
        self.sock = Some(sock);
        self.heard_at = scene.now;
        self.input.clear();
        self.out.clear();
        self.script.begin_session();
    }

    /// Nobody listens there: later again.
    pub fn not_connected(&mut self, scene: &mut Scene) {
        self.go_away(scene, 20 * MS);
    }

    fn go_away(&mut self, scene: &mut Scene, for_ns: u64) {
        let pause = 1 + self.random.below(for_ns);
        self.state = State::Away(scene.now + pause);
        scene.later(pause, Event::Client(self.id as usize));
    }

    /// Goes on as far as it can.
    pub fn advance(&mut self, scene: &mut Scene) -> Wish {
        match self.state {
            State::Away(at) if scene.now >= at => return Wish::Connect,
            State::Away(_) | State::Done => return Wish::Nothing,
            State::Login(_) | State::Ready | State::Leaving => {}
        }
        self.flush(scene);
        self.receive(scene);
        if self.sock.is_none() {
            return Wish::Nothing;
        }
        if matches!(self.state, State::Ready) && self.outstanding.is_empty() && self.change.is_none() {
            if scene.now >= self.next_at {
                self.act(scene);
            }
            self.flush(scene);
        }
        Wish::Nothing
    }

    fn flush(&mut self, scene: &mut Scene) {
        let Some(sock) = self.sock else { return };
        while !self.out.is_empty() {
            match scene.write(sock, &self.out) {
                None | Some(0) => return,
                Some(n) => {
                    self.out.drain(..n);
                }
            }
        }
    }

    fn receive(&mut self, scene: &mut Scene) {
        if scene.now < self.read_at {
            return;
        }
        while let Some(sock) = self.sock {
            match scene.read(sock, self.nature.read_max) {
                Got::Nothing => return,
                Got::End | Got::Reset if matches!(self.state, State::Leaving) => {
                    scene.close(sock);
                    self.sock = None;
                    self.state = State::Done;
                    return;
                }
                Got::End | Got::Reset => return self.lost(scene, "the connection ended"),
                Got::Bytes(bytes) => self.input.extend(bytes),
            }
            while let Some((seq, payload)) = take_packet(&mut self.input) {
                self.packet(scene, seq, &payload);
                if self.sock.is_none() {
                    return;
                }
            }
            if self.nature.read_pause_ns > 0 {
                self.read_at = scene.now + self.nature.read_pause_ns;
                return scene.later(self.nature.read_pause_ns, Event::Client(self.id as usize));
            }
        }
    }

    fn packet(&mut self, scene: &mut Scene, seq: u8, payload: &[u8]) {
        if matches!(self.state, State::Login(_)) || self.change.is_some() {
            self.heard_at = scene.now;
            return self.login_packet(scene, seq, payload);
        }
        self.heard_at = scene.now;
        if seq == 0 && self.reader.is_none() && payload.first() == Some(&0xff) && scene.oracle.errors_excused {
            // As when the server's idle time-out crosses a command: the words are about the connection.
            return self.lost(scene, "told to go");
        }
        let Some(ask) = self.outstanding.front() else {
            return scene
                .oracle
                .violate(format!("client {} gets a packet that it did not ask for: {payload:?}", self.id));
        };
        let reader = self
            .reader
            .get_or_insert_with(|| ReplyReader::new(ask.shape, self.nature.caps).with_columns(self.columns_fetched));
        match reader.packet(seq, payload) {
            Err(what) => scene.oracle.violate(format!("client {}: {:?}: {what}", self.id, ask.tag)),
            Ok(None) => {}
            Ok(Some(outcomes)) => {
                self.reader = None;
                let Some(ask) = self.outstanding.pop_front() else { return };
                self.answered(scene, ask, &outcomes);
                self.expect_change(scene);
                self.rest(scene);
            }
        }
    }

    fn login_packet(&mut self, scene: &mut Scene, seq: u8, payload: &[u8]) {
        let talk = match (&mut self.change, &mut self.state) {
            (Some(talk), _) | (None, State::Login(talk)) => talk,
            _ => return,
        };
        if payload.first() == Some(&0xff) && seq != talk.seq() && scene.oracle.errors_excused {
            // Words about the connection that cross the exchange.
            return self.lost(scene, "told to go during a login");
        }
        match talk.packet(seq, payload, &mut self.mind.connection_id) {
            Err(what) => scene.oracle.violate(format!("client {}: {what}", self.id)),
            Ok(Said::Wait) => {}
            Ok(Said::Send(seq, payload)) => {
                packet::put(&mut self.out, seq, &payload);
                self.flush(scene);
            }
            Ok(Said::Refused(code, words)) => {
                scene.tell(|| format!("client {}: login refused: {code} {words}", self.id));
                if !scene.oracle.errors_excused {
                    scene.oracle.violate(format!("client {} cannot log in: {code} {words}", self.id));
                }
                self.lost(scene, "the login was refused");
            }
            Ok(Said::In) => self.logged_in(scene),
        }
    }

    fn logged_in(&mut self, scene: &mut Scene) {
        scene.oracle.counts.logins += 1;
        if let Some(ask) = self.change.take().and_then(|_| self.outstanding.pop_front()) {
            self.mind.apply(&mut scene.oracle, &ask.effect);
            return self.rest(scene);
        }
        let State::Login(talk) = std::mem::replace(&mut self.state, State::Ready) else { return };
        scene.tell(|| format!("client {} is in as {} (connection id {})", self.id, talk.user, self.mind.connection_id));
        self.nonce = talk.nonce();
        self.mind = Mind {
            user: talk.user.clone(),
            schema: talk.schema().map(str::to_string),
            connection_id: self.mind.connection_id,
            multi_statements: self.nature.caps.contains(Capabilities::MULTI_STATEMENTS),
            ..Mind::default()
        };
        self.rest(scene);
    }

    /// Thinks before the next step.
    fn rest(&mut self, scene: &mut Scene) {
        if !self.outstanding.is_empty() || !matches!(self.state, State::Ready) {
            return;
        }
        let long = if self.random.chance(3) { 200 * MS } else { self.nature.think_ns_max };
        let pause = self.random.below(long.max(US));
        self.next_at = scene.now + pause;
        scene.later(pause, Event::Client(self.id as usize));
    }

    /// The next step, or the end.
    fn act(&mut self, scene: &mut Scene) {
        if self.script.is_over(&self.mind) {
            return self.finish(scene);
        }
        let asks = self.script.next(&mut self.random, &self.mind, self.nature.caps);
        self.heard_at = scene.now;
        for ask in asks {
            self.send(scene, ask);
        }
        self.expect_change(scene);
        self.rest(scene);
    }

    fn finish(&mut self, scene: &mut Scene) {
        let Some(sock) = self.sock else { return };
        scene.tell(|| format!("client {} is done", self.id));
        if self.nature.half_closes {
            scene.half_close(sock);
            self.state = State::Leaving;
            return;
        }
        self.sock = None;
        if self.nature.is_polite {
            let mut quit = Vec::new();
            packet::put(&mut quit, 0, &[Command::Quit.to_byte()]);
            scene.write(sock, &quit);
        }
        scene.close(sock);
        self.state = State::Done;
    }

    fn send(&mut self, scene: &mut Scene, mut ask: Ask) {
        if let Effect::ChangeUser { user, schema } = &ask.effect {
            let password = &scene.passwords[user];
            let (talk, payload) = Talk::change(user, password, schema.as_deref(), self.nature.caps, self.nonce);
            ask.payload = payload;
            self.change = Some(talk);
        }
        if let Some(id) = ask.ledger {
            scene.oracle.fate(id, Fate::Unknown);
        }
        if let Some(tag) = ask.tag {
            let transaction = match (&self.mind.transaction, &ask.effect) {
                (Some(open), _) => Some(open.number),
                (None, Effect::Begin { number, .. }) => Some(*number),
                (None, _) => (ask.touches && !self.mind.autocommit()).then_some(ask.number),
            };
            // A transaction that was begun and never told of is none.
            let is_light = ask.is_read || matches!(ask.effect, Effect::Begin { .. });
            let repeatable = is_light && !self.mind.in_transaction();
            scene.oracle.sends(tag, self.mind.expected(repeatable, transaction));
        }
        ask.promise = self.promise(scene, &ask);
        scene.tell(|| format!("client {} asks {}", self.id, command::named(&ask.payload)));
        if let Some(mutation) = scene.mutation {
            alter_wish(&mut ask, mutation);
        }
        for payload in ask.before.iter().chain([&ask.payload]) {
            packet::put(&mut self.out, 0, payload);
        }
        if ask.shape == Shape::Nothing {
            return self.mind.apply(&mut scene.oracle, &ask.effect);
        }
        // A statement that has been executed knows its types.
        if ask.shape == Shape::Binary
            && let Some(id) = ask.payload.get(1..5).and_then(|bytes| bytes.first_chunk())
        {
            let id = u32::from_le_bytes(*id);
            self.mind.statements.iter_mut().filter(|slot| slot.id == id).for_each(|slot| slot.bound = true);
        }
        self.outstanding.push_back(ask);
    }

    /// What an answer must show, if this is a read that is sent now.
    fn promise(&self, scene: &Scene, ask: &Ask) -> Promise {
        if let Some(open) = &self.mind.transaction {
            return open.promise;
        }
        let floors = scene.oracle.horizons.floors(self.mind.horizon, scene.log.len());
        Promise { level: self.script.level(&self.mind, ask.wish), floors }
    }

    /// A change of user is never sent ahead of others, so its talk begins at once.
    fn expect_change(&mut self, scene: &mut Scene) {
        if self.change.is_some() && self.outstanding.len() > 1 {
            scene.oracle.violate("the simulator sends a change of user in a batch");
        }
    }

    /// Leaves without a word, mid-anything.
    pub fn vanish(&mut self, scene: &mut Scene, reset: bool) {
        let Some(sock) = self.sock else { return };
        scene.tell(|| format!("client {} vanishes (reset: {reset})", self.id));
        if reset {
            scene.abort(sock);
        }
        self.leave(scene);
    }
}

/// The mistake on the way: another level is wished than the client believes.
fn alter_wish(ask: &mut Ask, mutation: Mutation) {
    let set = if let Effect::Level(level) = ask.effect { level } else { None };
    let Some(level) = ask.wish.or(set).filter(|level| mutation.altered(*level) != *level) else { return };
    let words = name(level);
    let found = ask.payload.windows(words.len()).position(|window| window == words.as_bytes());
    let at = found.expect("a wish stands in its text");
    ask.payload.splice(at..at + words.len(), name(mutation.altered(level)).into_bytes());
}
