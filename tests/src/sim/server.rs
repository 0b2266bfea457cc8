//! The model of a MySQL server: connections, their commands one after the other, and what it holds between them.
//!
//! ```text
//!   accept ─► greeting ─► login ⇄ ─► [ command ─► job (service time, row locks) ─► reply flushed ] ─► …
//!                                     ▲                                             │
//!                                     └──────────────── the next packet ◄───────────┘
//! ```
//! Invariant: as in mysqld, a connection works on one command at a time, reads the next when the reply has left, and
//! notices that its client is gone only when it reads or writes.

pub mod command;
pub mod data;
pub mod execute;
mod lexer;
pub mod login;
pub mod prepared;
pub mod reply;
pub mod session;
pub mod sql;
pub mod values;
pub mod variables;

use std::collections::{BTreeMap, BTreeSet};

use weir_net::command::{Command, query_text};
use weir_net::flags::Capabilities;
use weir_net::packet::{HEADER_BYTES, Header};

use crate::sim::agenda::{Event, MS, SECOND};
use crate::sim::cable::{Got, Sock};
use crate::sim::mutation::Mutation;
use crate::sim::scene::Scene;
use crate::sim::server::data::Rows;
use crate::sim::server::execute::Store;
use crate::sim::server::login::LoginPhase;
use crate::sim::server::session::Session;

/// What differs between servers.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Names another plugin than the accounts' in the greeting: every login is switched.
    pub greets_with_other_plugin: bool,
    /// Answers `COM_CHANGE_USER` with a switch and a new nonce.
    pub switches_on_change: bool,
    pub service_ns_max: u64,
    /// How long a replica takes for each transaction, at most.
    pub apply_ns_max: u64,
}

#[derive(Debug)]
pub struct Server {
    pub id: usize,
    pub habits: Habits,
    pub up: bool,
    /// Nothing moves before this moment (SIGSTOP).
    pub frozen_until: u64,
    pub slowness: u64,
    pub applier_stopped: bool,
    /// Every new connection is one too many.
    pub full: bool,
    pub store: Store,
    pub conns: BTreeMap<u32, Conn>,
    /// Users whose password this server has seen since it started: their logins are fast.
    pub cached: BTreeSet<String>,
    conn_last: u32,
    up_since: Start,
    applying: bool,
}

/// When a server was started, and the number of its first connection. Here no number is given again, which is how a kill by one from
/// before the start is seen.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// None: long ago.
    pub at: Option<u64>,
    pub first: u32,
}

#[derive(Debug)]
pub struct Conn {
    pub sock: Sock,
    pub caps: Capabilities,
    pub nonce: [u8; 20],
    pub phase: Phase,
    pub session: Session,
    pub token: Option<String>,
    input: Vec<u8>,
    pub out: Vec<u8>,
    job: Option<Job>,
    killed: bool,
    /// A reply that is to change places with the next.
    held: Option<Vec<u8>>,
    ending: bool,
    broken: bool,
}

#[derive(Debug)]
pub enum Phase {
    Login(LoginPhase),
    Command,
}

/// A command being worked on.
#[derive(Clone, Debug)]
pub struct Job {
    pub payload: Vec<u8>,
    pub seq: u8,
    pub ready_at: u64,
    /// Waits for a row until then.
    pub lock_until: u64,
    /// The oracle knows that it runs.
    pub told: bool,
}

const LOCK_WAIT_NS: u64 = 300 * MS;

impl Server {
    pub fn new(id: usize, accounts: i64, habits: Habits) -> Server {
        Server {
            id,
            habits,
            up: true,
            frozen_until: 0,
            slowness: 1,
            applier_stopped: false,
            full: false,
            store: Store {
                server: id,
                replica: id > 0,
                deposed: false,
                applied: 0,
                rows: Rows::new(accounts),
                user_locks: BTreeMap::new(),
                auto_last: 0,
                unlocked: false,
                kills: Vec::new(),
                threads: BTreeSet::new(),
            },
            conns: BTreeMap::new(),
            cached: BTreeSet::new(),
            conn_last: 10 * id as u32,
            up_since: Start { at: None, first: 0 },
            applying: false,
        }
    }

    /// The id that the next connection gets.
    pub fn conn_next(&self) -> u32 {
        self.conn_last + 1
    }

    /// A client has connected: the greeting goes out, or 1040.
    pub fn accept(&mut self, scene: &mut Scene, sock: Sock) {
        self.conn_last += 1;
        let id = self.conn_last;
        let nonce = std::array::from_fn(|_| b'!' + (scene.random.below(90) as u8));
        let mut conn = Conn {
            sock,
            caps: Capabilities::empty(),
            nonce,
            phase: Phase::Login(LoginPhase::Greeted),
            session: Session::default(),
            token: None,
            input: Vec::new(),
            out: Vec::new(),
            job: None,
            killed: false,
            held: None,
            ending: false,
            broken: false,
        };
        if self.full {
            conn.refuse(0, 1040, "08004", "Too many connections");
            conn.ending = true;
        } else {
            let plugin: &[u8] =
                if self.habits.greets_with_other_plugin { b"sha256_password" } else { weir_net::auth::CACHING_SHA2 };
            conn.greet(id, plugin);
        }
        self.conns.insert(id, conn);
        self.store.threads.insert(id);
        scene.later(0, Event::Server { server: self.id, conn: id });
    }

    /// Goes on with a connection as far as it can.
    pub fn advance(&mut self, scene: &mut Scene, id: u32) {
        if !self.up || scene.now < self.frozen_until {
            return;
        }
        while self.step(scene, id) {}
        self.settle(scene, id);
    }

    /// One step; false when there is nothing to do now.
    fn step(&mut self, scene: &mut Scene, id: u32) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        if !conn.flush(scene) {
            return false;
        }
        if conn.broken || conn.ending {
            self.disconnect(scene, id, false);
            return false;
        }
        if let Some(job) = conn.job.take_if(|job| job.ready_at <= scene.now) {
            self.work(scene, id, job);
            return true;
        }
        if conn.job.is_some() {
            return false;
        }
        if conn.front().is_none() {
            match conn.receive(scene) {
                Got::Bytes(bytes) => conn.input.extend(bytes),
                Got::Nothing => return false,
                Got::End | Got::Reset => {
                    self.disconnect(scene, id, false);
                    return false;
                }
            }
        }
        let Some((seq, payload)) = conn.take_packet() else { return true };
        if let Phase::Login(_) = conn.phase {
            self.login_packet(scene, id, seq, &payload);
            return true;
        }
        let service = 1 + scene.random.below(self.habits.service_ns_max) * self.slowness;
        conn.killed = false;
        conn.job = Some(Job { payload, seq, ready_at: scene.now + service, lock_until: 0, told: false });
        scene.later(service, Event::Server { server: self.id, conn: id });
        true
    }

    fn work(&mut self, scene: &mut Scene, id: u32, mut job: Job) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if std::mem::take(&mut conn.killed) && can_be_killed(&job.payload, conn.caps) {
            conn.refuse(job.seq.wrapping_add(1), 1317, "70100", "Query execution was interrupted");
            return;
        }
        let timed_out = job.lock_until > 0 && scene.now >= job.lock_until;
        if self.command(scene, id, &mut job, timed_out) {
            return;
        }
        // A row is locked: again when a transaction has ended, at the latest when the time is up.
        if job.lock_until == 0 {
            job.lock_until = scene.now + LOCK_WAIT_NS;
            scene.later(LOCK_WAIT_NS, Event::Server { server: self.id, conn: id });
        }
        job.ready_at = job.lock_until;
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.job = Some(job);
        }
    }

    /// What others are told after this connection's work: row locks are free, threads are killed.
    fn settle(&mut self, scene: &mut Scene, id: u32) {
        if std::mem::take(&mut self.store.unlocked) {
            for (other, conn) in &mut self.conns {
                if let Some(job) = conn.job.as_mut().filter(|job| job.lock_until > 0 && *other != id) {
                    job.ready_at = scene.now;
                    scene.later(1, Event::Server { server: self.id, conn: *other });
                }
            }
        }
        for (victim, query_only) in std::mem::take(&mut self.store.kills) {
            scene.tell(|| format!("server {}: connection {victim} is killed (query only: {query_only})", self.id));
            if !query_only {
                self.disconnect(scene, victim, true);
            } else if let Some(conn) = self.conns.get_mut(&victim)
                && let Some(job) = &mut conn.job
            {
                conn.killed = true;
                job.ready_at = scene.now;
                scene.later(1, Event::Server { server: self.id, conn: victim });
            }
        }
    }

    /// An operator's `KILL`.
    pub fn kill(&mut self, scene: &mut Scene, id: u32, query_only: bool) {
        self.store.kills.push((id, query_only));
        self.settle(scene, 0);
    }

    /// The connection ends; what it had begun is undone. `reset`: its client is told so at once.
    pub fn disconnect(&mut self, scene: &mut Scene, id: u32, reset: bool) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        scene.tell(|| format!("server {}: connection {id} ends (reset: {reset})", self.id));
        self.store.threads.remove(&id);
        let keeps = conn.session.transaction.as_ref().is_some_and(|open| !open.changes.is_empty())
            && scene.mistake(Mutation::KeptTransaction);
        self.undo(scene, id, &mut conn.session, keeps);
        if reset {
            scene.abort(conn.sock)
        } else {
            scene.close(conn.sock)
        }
        self.settle(scene, id);
    }

    /// Ends the transaction and frees what a session holds.
    pub fn undo(&mut self, scene: &mut Scene, id: u32, session: &mut Session, commit: bool) {
        let mut work = execute::Work { scene, store: &mut self.store, session, conn: id, params: &[], tag: None };
        if commit {
            work.commit()
        } else {
            work.rollback()
        }
        session.locks.clear();
        self.store.user_locks.retain(|_, holder| *holder != id);
    }

    /// It takes writes no more, and cuts its clients off.
    pub fn fence(&mut self, scene: &mut Scene) {
        self.store.replica = true;
        self.store.deposed = true;
        self.store.applied = scene.log.len();
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.disconnect(scene, id, true);
        }
    }

    /// It takes writes: it has applied the whole log.
    pub fn promote(&mut self, auto_last: u64) {
        self.store.replica = false;
        self.store.auto_last = self.store.auto_last.max(auto_last);
    }

    /// All connections die at once.
    pub fn crash(&mut self, scene: &mut Scene) {
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.disconnect(scene, id, true);
        }
        self.cached.clear();
    }

    /// It is there again after a crash.
    pub fn restart(&mut self, now: u64) {
        // Two crashes at a time are one.
        if std::mem::replace(&mut self.up, true) {
            return;
        }
        self.up_since = Start { at: Some(now), first: self.conn_next() };
    }

    pub fn uptime_s(&self, now: u64) -> u64 {
        self.up_since.at.map_or(1_000_000 + now / SECOND, |at| (now - at) / SECOND)
    }

    /// The gate may end threads that have nobody, and no others.
    pub fn judge_kill(&self, scene: &mut Scene, id: u32) {
        if id < self.up_since.first {
            scene.oracle.violate(format!("server {}: {id} is killed, a number of before its start", self.id));
        }
        if self.conns.get(&id).is_some_and(|conn| !scene.cables.is_lost(conn.sock)) {
            scene.oracle.violate(format!("server {}: {id} is killed, and somebody has it", self.id));
        }
    }

    /// What a connection does, as the process list says it, and its token, if this server keeps attributes.
    pub fn shown(&self, id: u32) -> Option<Vec<Option<String>>> {
        let conn = self.conns.get(&id)?;
        let [command, state] = if conn.job.is_some() { ["Query", "executing"] } else { ["Sleep", ""] };
        let token = conn.token.clone().filter(|_| self.keeps_attributes());
        Some(vec![Some(command.to_owned()), Some(state.to_owned()), token])
    }

    /// Without `performance_schema` it does not.
    pub fn keeps_attributes(&self) -> bool {
        !self.habits.greets_with_other_plugin
    }

    /// Connections that have nobody at the other end: all, or those that hold something and that a gate can know for sure. A server without
    /// attributes that was started lately is not sure.
    pub fn orphans<'a>(&'a self, scene: &'a Scene, all: bool) -> impl Iterator<Item = u32> + 'a {
        let holds = |id: u32, conn: &Conn| {
            conn.job.is_some()
                || conn.session.transaction.is_some()
                || self.store.user_locks.values().any(|holder| *holder == id)
        };
        let is_sure = self.keeps_attributes() || self.up_since.at.is_none();
        let is_one =
            move |(id, conn): &(&u32, &Conn)| scene.cables.is_lost(conn.sock) && (all || is_sure && holds(**id, conn));
        self.conns.iter().filter(is_one).map(|(id, _)| *id)
    }

    /// After a pause: every connection may have something to do.
    pub fn wake_all(&self, scene: &mut Scene) {
        for id in self.conns.keys() {
            scene.later(1, Event::Server { server: self.id, conn: *id });
        }
    }

    /// A replica that is behind begins to catch up, unless it is at it.
    pub fn follow(&mut self, scene: &mut Scene) {
        if self.store.replica && self.store.applied < scene.log.len() && !std::mem::replace(&mut self.applying, true) {
            let pause = 1 + scene.random.below(self.habits.apply_ns_max);
            scene.later(pause, Event::Replicate(self.id));
        }
    }

    /// A replica applies the next transaction of the log.
    pub fn replicate(&mut self, scene: &mut Scene) {
        self.applying = false;
        if !self.up || self.applier_stopped || scene.now < self.frozen_until {
            self.applying = true;
            return scene.later(MS, Event::Replicate(self.id));
        }
        if let Some(logged) = scene.log.get(self.store.applied) {
            self.store.rows.apply(&logged.changes);
            self.store.applied += 1;
        }
        self.follow(scene);
    }
}

impl Conn {
    /// Sends what is queued; false when the cable is full.
    fn flush(&mut self, scene: &mut Scene) -> bool {
        while !self.out.is_empty() {
            match scene.write(self.sock, &self.out) {
                None => {
                    self.broken = true;
                    self.out.clear();
                }
                Some(0) => return false,
                Some(n) => {
                    self.out.drain(..n);
                }
            }
        }
        true
    }

    fn receive(&mut self, scene: &mut Scene) -> Got {
        let max = scene.random.between(1, 4096) as usize;
        scene.read(self.sock, max)
    }

    fn front(&self) -> Option<usize> {
        let header = Header::at_front(&self.input)?;
        let len = HEADER_BYTES + header.payload_len as usize;
        (self.input.len() >= len).then_some(len)
    }

    fn take_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let len = self.front()?;
        let packet: Vec<u8> = self.input.drain(..len).collect();
        Some((packet[3], packet[HEADER_BYTES..].to_vec()))
    }

    pub fn refuse(&mut self, seq: u8, code: u16, state: &str, message: &str) {
        let mut replier = reply::Replier::new(seq, self.caps);
        replier.err(code, state, message);
        self.out.extend(replier.out);
    }

    pub fn end(&mut self) {
        self.ending = true;
    }

    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }
}

/// A command without a reply is over before a KILL could be told. A `SET` of constants never notices one: MySQL 9.7 refused
/// none of 123,579 while it was sent 278,585 `KILL QUERY` for their connection.
fn can_be_killed(payload: &[u8], caps: Capabilities) -> bool {
    let Some((kind, rest)) = payload.split_first() else { return true };
    match Command::from_byte(*kind) {
        Some(Command::StmtSendLongData | Command::StmtClose) => false,
        Some(Command::Query) => !query_text(rest, caps).is_ok_and(|parts| rest[parts.text].starts_with(b"SET ")),
        _ => true,
    }
}
