//! A server: what of MySQL matters when the primary's role moves.
//!
//! ```text
//!   write ─► binlog ─► [semi-sync: waiting, until a replica has it] ─► executed ─► answer
//!               └─► link ─► relay log (received) ─► applier ─► executed, binlog
//! ```
//! Invariant: what is in the binlog outlives a crash: recovery executes it, though nobody was told. A frozen server takes
//! statements, and runs them when it thaws.

use super::clock::Ms;
use super::plan::{Mutation, Plan};
use super::world::{Node, Then, World, uuid_bytes};
use std::collections::VecDeque;
use weir_control::monitor::facts::Receiver;
use weir_net::gtid::{GtidSet, Sid};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gtid {
    pub server: usize,
    pub number: u64,
}

impl Gtid {
    pub fn set(self) -> GtidSet {
        let mut set = GtidSet::new();
        set.add(Sid::of(uuid_bytes(self.server)), self.number, self.number);
        set
    }
}

/// What a client hears of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Gtid),
    ReadOnly,
    /// Nobody listens: it did not run.
    Down,
    /// The connection died.
    Unknown,
}

pub type Answer = Box<dyn FnOnce(&mut World, Outcome)>;

pub struct Waiting {
    pub gtid: Gtid,
    cuts: u64,
    reign: u64,
    answer: Answer,
}

pub struct Server {
    /// How many faults keep it down.
    pub dead: u32,
    pub frozen: u32,
    pub disk_full: u32,
    pub full_since: Ms,
    pub slow: u32,
    pub life: u64,
    pub is_read_only: bool,
    /// A fence waits for commits: nothing new begins to write.
    pub is_setting: bool,
    pub is_persisted: bool,
    pub semi_source: bool,
    pub semi_replica: bool,
    pub executed: GtidSet,
    pub binlog: Vec<Gtid>,
    last: u64,
    pub waiting: Vec<Waiting>,
    pub channel: Option<Channel>,
    /// Grows when client connections are cut.
    pub cuts: u64,
    /// Statements that wait for the thaw, and writes that wait for space.
    stalled: Vec<Then>,
    hung: Vec<Then>,
    /// Statements of works up to this one are killed.
    pub ended_works: u64,
    /// The epoch of the record by which it was made writable.
    pub reign: u64,
}

pub struct Channel {
    pub source: usize,
    pub io: bool,
    pub sql: bool,
    /// Connected to that life of the source.
    link: Option<u64>,
    acks: bool,
    cursor: usize,
    silent_since: Option<Ms>,
    retry_at: Ms,
    relay: VecDeque<Gtid>,
    pub received: GtidSet,
    pub error: String,
}

impl Channel {
    pub fn new(source: usize) -> Channel {
        Channel {
            source,
            io: false,
            sql: false,
            link: None,
            acks: false,
            cursor: 0,
            silent_since: None,
            retry_at: 0,
            relay: VecDeque::new(),
            received: GtidSet::new(),
            error: String::new(),
        }
    }

    pub fn receiver(&self) -> Receiver {
        match (self.io, self.link) {
            (false, _) => Receiver::Stopped,
            (true, Some(_)) => Receiver::Connected,
            (true, None) => Receiver::Connecting,
        }
    }

    pub fn stop_io(&mut self) {
        (self.io, self.link) = (false, None);
    }

    pub fn start(&mut self) {
        (self.io, self.sql, self.retry_at) = (true, true, 0);
    }
}

impl Server {
    pub fn new(at: usize, plan: &Plan) -> Server {
        let channel = (at > 0).then(|| {
            let mut channel = Channel::new(0);
            channel.start();
            channel
        });
        Server {
            dead: 0,
            frozen: 0,
            disk_full: 0,
            full_since: 0,
            slow: 0,
            life: 1,
            is_read_only: at > 0,
            is_setting: false,
            is_persisted: false,
            semi_source: at == 0 && plan.semi_sync,
            semi_replica: at > 0 && plan.semi_sync,
            executed: GtidSet::new(),
            binlog: Vec::new(),
            last: 0,
            waiting: Vec::new(),
            channel,
            cuts: 0,
            stalled: Vec::new(),
            hung: Vec::new(),
            ended_works: 0,
            reign: 1,
        }
    }

    pub fn is_up(&self) -> bool {
        self.dead == 0
    }

    pub fn runs(&self) -> bool {
        self.dead == 0 && self.frozen == 0
    }

    /// Without what waits for a replica.
    pub fn executed_binlog(&self) -> Vec<Gtid> {
        self.binlog.iter().copied().filter(|gtid| self.executed.contains(&gtid.set())).collect()
    }

    pub fn takes_writes(&self) -> bool {
        self.is_up() && !self.is_read_only && !self.is_setting
    }

    fn has(&self, gtid: Gtid) -> bool {
        let set = gtid.set();
        self.executed.contains(&set) || self.channel.as_ref().is_some_and(|channel| channel.received.contains(&set))
    }
}

impl World {
    /// Runs on the server in its present life, when it is not frozen. A server that dies first never runs it.
    pub fn on_server(&mut self, at: usize, then: impl FnOnce(&mut World) + 'static) {
        let life = self.servers[at].life;
        let then = move |w: &mut World| {
            if w.servers[at].life == life {
                then(w);
            }
        };
        match self.servers[at].frozen > 0 {
            true => self.servers[at].stalled.push(Box::new(then)),
            false => then(self),
        }
    }

    /// A client's write has arrived.
    pub fn write(&mut self, at: usize, answer: Answer) {
        if !self.servers[at].is_up() {
            return answer(self, Outcome::Down);
        }
        let cuts = self.servers[at].cuts;
        self.on_server(at, move |w| w.run_write(at, cuts, answer));
    }

    fn run_write(&mut self, at: usize, cuts: u64, answer: Answer) {
        let server = &mut self.servers[at];
        if server.cuts != cuts {
            return answer(self, Outcome::Unknown);
        }
        if server.is_read_only || server.is_setting {
            return answer(self, Outcome::ReadOnly);
        }
        if server.disk_full > 0 {
            if server.hung.is_empty() {
                server.full_since = self.now;
            }
            let life = server.life;
            let again = move |w: &mut World| match w.servers[at].life == life {
                true => w.run_write(at, cuts, answer),
                false => answer(w, Outcome::Unknown),
            };
            return self.servers[at].hung.push(Box::new(again));
        }
        server.last += 1;
        let gtid = Gtid { server: at, number: server.last };
        server.binlog.push(gtid);
        let waiting = Waiting { gtid, cuts, reign: server.reign, answer };
        let waits = server.semi_source && !self.plan.makes(Mutation::EarlyAck);
        match waits {
            true => server.waiting.push(waiting),
            false => self.commit(at, waiting),
        }
    }

    fn commit(&mut self, at: usize, waiting: Waiting) {
        let Waiting { gtid, cuts, reign, answer } = waiting;
        self.servers[at].executed.merge(&gtid.set());
        self.shown(at);
        if self.servers[at].cuts != cuts {
            return answer(self, Outcome::Unknown);
        }
        self.oracle.answered(self.now, at, reign, gtid);
        answer(self, Outcome::Done(gtid));
    }

    /// Commits that wait for a replica end, and nobody hears of it: all connections were cut.
    pub fn let_commits_go(&mut self, at: usize) {
        for waiting in std::mem::take(&mut self.servers[at].waiting) {
            self.commit(at, waiting);
        }
    }

    fn acknowledged(&mut self, at: usize, gtid: Gtid) {
        // Transactions end in the order of the binlog: whoever has this one has those before.
        let of = &mut self.servers[at].waiting;
        let count = of.iter().take_while(|waiting| waiting.gtid <= gtid).count();
        let done: Vec<Waiting> = of.drain(..count).collect();
        done.into_iter().for_each(|waiting| self.commit(at, waiting));
    }

    pub fn start_replication(&mut self, at: usize) {
        let pause = match self.servers[at].slow {
            0 => self.random.between(4, 12),
            _ => self.random.between(100, 400),
        };
        self.after(pause, move |w| {
            if w.servers[at].runs() {
                w.connect(at);
                w.receive(at);
                w.apply(at);
            }
            w.start_replication(at);
        });
    }

    /// The link comes and goes.
    fn connect(&mut self, at: usize) {
        let Some(channel) = &self.servers[at].channel else { return };
        let source = &self.servers[channel.source];
        let (of, now) = (channel.source, self.now);
        let is_mute = self.is_cut(Node::Server(at), Node::Server(of)) || source.frozen > 0;
        let (is_up, life, length) = (source.is_up(), source.life, source.binlog.len());
        // What it has written itself, executed or about to be.
        let own_last = source.last;
        let acks = self.servers[at].semi_replica;
        let server = &mut self.servers[at];
        let Some(channel) = &mut server.channel else { return };
        if let Some(linked) = channel.link {
            let silent_since = *channel.silent_since.get_or_insert(now);
            if !is_mute {
                channel.silent_since = None;
            }
            let is_lost = linked != life || (is_mute && now >= silent_since + NET_TIMEOUT);
            if is_lost || !channel.io {
                (channel.link, channel.silent_since, channel.retry_at) = (None, None, now);
                return;
            }
            assert!(channel.cursor <= length, "a binlog is shorter than it was");
            return;
        }
        if !channel.io || is_mute || !is_up || now < channel.retry_at {
            return;
        }
        channel.retry_at = now + CONNECT_RETRY;
        let mut all = server.executed.clone();
        all.merge(&channel.received);
        let strange = all.iter().any(|(sid, _, last)| sid.uuid == uuid_bytes(of) && last > own_last);
        if strange {
            channel.stop_io();
            channel.error = "it has more of the source's own transactions than the source has".to_string();
            return;
        }
        (channel.link, channel.cursor, channel.acks) = (Some(life), 0, acks);
    }

    fn receive(&mut self, at: usize) {
        let Some((of, mut cursor, acks)) = self.servers[at]
            .channel
            .as_ref()
            .filter(|channel| channel.io && channel.link.is_some())
            .map(|channel| (channel.source, channel.cursor, channel.acks))
        else {
            return;
        };
        let source = &self.servers[of];
        if !source.runs() || self.is_cut(Node::Server(at), Node::Server(of)) {
            return;
        }
        let news: Vec<Gtid> = source.binlog[cursor..].to_vec();
        cursor += news.len();
        for gtid in news {
            if !self.servers[at].has(gtid)
                && let Some(channel) = &mut self.servers[at].channel
            {
                channel.relay.push_back(gtid);
                channel.received.merge(&gtid.set());
            }
            if acks && gtid.server == of {
                let life = source_life(self, of);
                self.send(Node::Server(at), Node::Server(of), move |w| {
                    if w.servers[of].life == life {
                        w.on_server(of, move |w| w.acknowledged(of, gtid));
                    }
                });
            }
        }
        if let Some(channel) = &mut self.servers[at].channel {
            channel.cursor = cursor;
        }
    }

    fn apply(&mut self, at: usize) {
        let most = if self.servers[at].slow > 0 { 1 } else { 20 };
        let server = &mut self.servers[at];
        if server.disk_full > 0 {
            return;
        }
        let Some(channel) = server.channel.as_mut().filter(|channel| channel.sql) else { return };
        let count = channel.relay.len().min(most);
        let news: Vec<Gtid> = channel.relay.drain(..count).collect();
        for gtid in &news {
            server.executed.merge(&gtid.set());
            server.binlog.push(*gtid);
        }
        if !news.is_empty() {
            self.shown(at);
        }
    }

    pub fn kill_server(&mut self, at: usize) {
        let server = &mut self.servers[at];
        server.dead += 1;
        server.life += 1;
        server.cuts += 1;
        server.is_setting = false;
        server.stalled.clear();
        let hung = std::mem::take(&mut server.hung);
        let waiting = std::mem::take(&mut server.waiting);
        // Recovery commits what is in the binlog.
        waiting.iter().for_each(|waiting| server.executed.merge(&waiting.gtid.set()));
        if let Some(channel) = &mut server.channel {
            channel.link = None;
        }
        waiting.into_iter().for_each(|waiting| (waiting.answer)(self, Outcome::Unknown));
        hung.into_iter().for_each(|then| then(self));
    }

    pub fn start_server(&mut self, at: usize) {
        let recovery = self.random.between(300, 1_500);
        self.after(recovery, move |w| {
            let server = &mut w.servers[at];
            server.dead -= 1;
            if server.dead > 0 {
                return;
            }
            server.is_read_only = server.is_persisted || server.channel.is_some();
            (server.semi_source, server.semi_replica) = (false, false);
            if let (Some(channel), true) = (&mut server.channel, server.is_persisted) {
                (channel.io, channel.sql) = (false, false);
            }
        });
    }

    pub fn thaw_server(&mut self, at: usize) {
        self.servers[at].frozen -= 1;
        let now = self.now;
        self.oracle.guarded(now, at);
        if self.servers[at].frozen == 0 {
            // They come from many connections, and run in any order.
            let mut stalled = std::mem::take(&mut self.servers[at].stalled);
            self.random.shuffle(&mut stalled);
            stalled.into_iter().for_each(|then| self.after(0, then));
        }
    }

    pub fn free_disk(&mut self, at: usize) {
        self.servers[at].disk_full -= 1;
        if self.servers[at].disk_full == 0 {
            let hung = std::mem::take(&mut self.servers[at].hung);
            hung.into_iter().for_each(|then| self.on_server(at, then));
        }
    }

    /// A thread says that it waits for space.
    pub fn says_disk_full(&self, at: usize) -> bool {
        let server = &self.servers[at];
        server.disk_full > 0 && !server.hung.is_empty() && self.now >= server.full_since + 2_000
    }

    /// What every server has executed leaves the binlogs, for long runs.
    pub fn purge_binlogs(&mut self) {
        let shared = |gtid: &Gtid| self.servers.iter().all(|server| server.executed.contains(&gtid.set()));
        let kept: Vec<Vec<bool>> =
            self.servers.iter().map(|server| server.binlog.iter().map(|gtid| !shared(gtid)).collect()).collect();
        for server in &mut self.servers {
            if let Some(channel) = &mut server.channel {
                channel.cursor = kept[channel.source][..channel.cursor.min(kept[channel.source].len())]
                    .iter()
                    .filter(|kept| **kept)
                    .count();
            }
        }
        for (server, kept) in self.servers.iter_mut().zip(kept) {
            let mut kept = kept.into_iter();
            server.binlog.retain(|_| kept.next().unwrap_or(true));
        }
    }

    pub fn semi_sync_clients(&self, of: usize) -> u32 {
        let acknowledges = |server: &&Server| {
            let channel = server.channel.as_ref();
            channel.is_some_and(|channel| channel.source == of && channel.acks && channel.link.is_some())
        };
        self.servers.iter().filter(acknowledges).count() as u32
    }
}

fn source_life(world: &World, of: usize) -> u64 {
    world.servers[of].life
}

/// Of the receiver, in ms.
const CONNECT_RETRY: Ms = 1_000;
const NET_TIMEOUT: Ms = 10_000;
