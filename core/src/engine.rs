//! The engine: one core's whole world as a value. What happened goes in by `handle_*`, what is wanted comes out by `poll_*`.
//!
//! ```text
//!   handle_accept ─► handle_chunk / handle_sent … ─► handle_end ─► Action::Close ─► handle_closed
//!   Action::Dial  ─► handle_dialed ─► (the same)
//! ```
//! Call `poll_action` until it is empty after each batch of `handle_*` calls: that is when records are sealed and
//! connections change hands. `Action::Send` says that a wire's outbox has grown; with a send in flight the driver goes on
//! by itself. Bytes in an outbox stay where they are until `handle_sent` or `handle_closed`.
//! It knows no socket, clock, thread or entropy: time and the seed are arguments.

use crate::block::{Blocks, Chunk};
use crate::board::{Board, Glance};
use crate::digest::Digests;
use crate::link::Link;
use crate::link::of_slots::OfSlots;
use crate::mail::{ControlMail, CoreId, Mail};
use crate::querylog::Sampler;
use crate::session::account::{AccountId, Accounts};
use crate::session::ids::Ids;
use crate::session::pin_ledger::PinLedger;
use crate::session::prepared::Texts;
use crate::session::{ListenerId, Peer, Request, Session};
use crate::slots::{Key, Slots};
use crate::snapshot::{Address, BackendId, Snapshot};
use crate::state::States;
use crate::stats::{Counters, latency_histogram};
use crate::tally::Tally;
use crate::time::Instant;
use crate::timers::{Deadline, Owner as TimerOwner, Timers};
use crate::traffic::Traffic;
use crate::wire::{Owner, Wire, WireId};
use hdrhistogram::Histogram;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use weir_net::compress::Codecs;
use weir_net::scan::{ReplyKind, ReplyScan};
use weir_planner::PlanCache;
use weir_pool::{Candidate, Pool, Ticket};

mod backends;
mod classes;
mod index;
mod layers;
pub(crate) mod moves;
mod post;
mod report;
mod restraint;
mod turn;

pub use classes::{Class, OFFERED};
use restraint::Restraint;

pub struct EngineOptions {
    pub core: CoreId,
    pub cores: u16,
    /// Blocks of memory for bytes under way, and their size.
    pub blocks: usize,
    pub block_bytes: usize,
    /// Every random choice follows from it.
    pub seed: u64,
    /// How this gate's connection ids begin (S30); 0 is for the servers' own.
    pub tag: u8,
    pub snapshot: Arc<Snapshot>,
    /// One for all cores of the gate.
    pub board: Arc<Board>,
    /// One for all cores of the gate.
    pub tally: Arc<Tally>,
}

/// How a wire ended at its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFault {
    Refused,
    TimedOut,
    Unreachable,
    Other,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Action {
    Dial { wire: WireId, address: Address },
    Send { wire: WireId },
    Pause { wire: WireId },
    Resume { wire: WireId },
    Close { wire: WireId },
    Post { core: CoreId, mail: Mail },
    Tell(ControlMail),
}

/// Who stands in a pool's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    Session(Key<Session>),
    /// The read index of this backend, asked with this account.
    Index(BackendId, AccountId),
}

pub struct Engine {
    pub(crate) now: Instant,
    pub(crate) core: CoreId,
    pub(crate) cores: u16,
    pub(crate) tag: u8,
    pub(crate) ids: Ids,
    pub(crate) random: u64,
    /// Shared with other threads; counted here once, so that a hold on it is a plain increment.
    #[allow(clippy::redundant_allocation)]
    pub(crate) snapshot: Rc<Arc<Snapshot>>,
    /// The snapshot has a replica, in whatever state.
    pub(crate) knows_replicas: bool,
    pub(crate) blocks: Blocks,
    /// For the wires that are compressed.
    pub(crate) codecs: Codecs,
    /// Wires that may have whole frames waiting, now that they are read again.
    pub(crate) unpacking: Vec<Key<Wire>>,
    pub(crate) wires: Slots<Wire>,
    pub(crate) sessions: Slots<Session>,
    pub(crate) links: Slots<Link>,
    pub(crate) pool: Pool,
    pub(crate) slot_links: OfSlots,
    pub(crate) waiters: FxHashMap<Ticket, Waiter>,
    /// Sessions that wait until there is a primary.
    pub(crate) buffer: moves::Buffer,
    pub(crate) moves: moves::Moves,
    /// Sessions that wait for a replica to catch up; stale entries are passed over.
    pub(crate) streamers: VecDeque<Key<Session>>,
    pub(crate) indexes: FxHashMap<BackendId, index::Index>,
    pub(crate) board: Arc<Board>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) glance: Glance,
    /// By backend.
    pub(crate) traffic: Vec<Traffic>,
    pub(crate) plans: PlanCache,
    pub(crate) states: States,
    pub(crate) texts: Texts,
    pub(crate) digests: Digests,
    pub(crate) accounts: Accounts,
    pub(crate) classes: classes::Classes,
    /// Changes of variables that a backend has accepted once: they cannot fail there, so they need not be awaited.
    pub(crate) accepted: FxHashSet<(BackendId, u32, u32)>,
    pub(crate) kills: FxHashMap<u64, Key<Session>>,
    pub(crate) kill_next: u64,
    /// Sessions that wait for [`Mail::GlobalSet`], [`Mail::Shown`] or [`Mail::Filtered`], by token.
    pub(crate) setters: FxHashMap<u64, Key<Session>>,
    pub(crate) settings_next: u64,
    /// Sessions that wait to hear what became of their command.
    pub(crate) unresolved: FxHashMap<u64, Key<Session>>,
    pub(crate) unresolved_next: u64,
    pub(crate) actions: VecDeque<Action>,
    /// Wires with bytes queued in this turn.
    pub(crate) touched: Vec<Key<Wire>>,
    pub(crate) restraint: Restraint,
    /// Sessions to go on with in this turn.
    pub(crate) runnable: VecDeque<Key<Session>>,
    pub(crate) sampler: Sampler,
    pub(crate) timers: Timers,
    pub(crate) sweep: Deadline,
    pub(crate) dial_pause: FxHashMap<BackendId, Instant>,
    /// Cores that asked for a share of a backend's budget when there was none to spare.
    pub(crate) quota_debts: VecDeque<(CoreId, BackendId)>,
    /// Share of a budget that other cores know already and this one does not: backend, connections, version.
    pub(crate) quota_early: Vec<(BackendId, u32, u32)>,
    /// Sessions that rest on a connection for nothing but questions, oldest first; stale entries are passed over.
    pub(crate) questioners: VecDeque<(Instant, Key<Session>)>,
    pub(crate) pin_ledger: PinLedger,
    /// Wires that only have something to send before they close, oldest first; closed ones are passed over.
    pub(crate) partings: VecDeque<(Instant, Key<Wire>)>,
    pub(crate) draining: bool,
    pub(crate) drained_told: bool,
    pub(crate) counters: Counters,
    pub(crate) commands_by_backend: Vec<u64>,
    pub(crate) wait_ns: Histogram<u64>,
    /// Leases had at once: zeroes that are still to be recorded in `wait_ns`.
    pub(crate) waits_none: u64,
    pub(crate) backend_ns: Histogram<u64>,
    pub(crate) gate_ns: Histogram<u64>,
    /// Requests that have ended, for the next ones: moved about as pointers, and none is allocated for a command.
    #[allow(clippy::vec_box)]
    pub(crate) spare: Vec<Box<Request>>,
    /// Reused for the choice of a replica.
    pub(crate) candidates: Vec<Candidate>,
    /// Reused for packets that the gate makes, and for the one that is being judged.
    pub(crate) scratch: Vec<u8>,
    /// The statement that every new connection is given first.
    pub(crate) setup: crate::session::trackers::Setup,
    pub(crate) packet: Vec<u8>,
}

impl Engine {
    pub fn new(now: Instant, options: EngineOptions) -> Engine {
        let mut engine = Engine {
            now,
            core: options.core,
            cores: options.cores.max(1),
            tag: options.tag,
            ids: Ids::new(options.core, options.cores, options.seed),
            random: options.seed ^ 0x9e37_79b9_7f4a_7c15,
            blocks: Blocks::new(options.blocks, options.block_bytes),
            codecs: Codecs::default(),
            unpacking: Vec::new(),
            wires: Slots::default(),
            sessions: Slots::default(),
            links: Slots::default(),
            pool: Pool::new(0, backends::pool_limits(&options.snapshot.settings)),
            slot_links: OfSlots::default(),
            waiters: FxHashMap::default(),
            buffer: Default::default(),
            moves: Default::default(),
            streamers: VecDeque::new(),
            indexes: FxHashMap::default(),
            board: options.board,
            tally: options.tally,
            glance: Glance::default(),
            traffic: Vec::new(),
            plans: PlanCache::new(crate::limits::PLANS_MAX, crate::limits::PLANS_BYTES_MAX),
            states: States::default(),
            texts: Texts::default(),
            digests: Digests::default(),
            accounts: Accounts::default(),
            classes: classes::Classes::default(),
            accepted: FxHashSet::default(),
            kills: FxHashMap::default(),
            kill_next: 0,
            setters: FxHashMap::default(),
            settings_next: 0,
            unresolved: FxHashMap::default(),
            unresolved_next: 0,
            actions: VecDeque::new(),
            touched: Vec::new(),
            restraint: Restraint::new(options.seed, options.core),
            runnable: VecDeque::new(),
            sampler: Sampler::default(),
            timers: Timers::default(),
            sweep: Deadline::default(),
            dial_pause: FxHashMap::default(),
            quota_debts: VecDeque::new(),
            quota_early: Vec::new(),
            questioners: VecDeque::new(),
            pin_ledger: PinLedger::default(),
            partings: VecDeque::new(),
            draining: false,
            drained_told: false,
            counters: Counters::default(),
            commands_by_backend: Vec::new(),
            wait_ns: latency_histogram(),
            waits_none: 0,
            backend_ns: latency_histogram(),
            gate_ns: latency_histogram(),
            scratch: Vec::new(),
            setup: crate::session::trackers::Setup::new(),
            spare: Vec::new(),
            candidates: Vec::new(),
            packet: Vec::new(),
            snapshot: Rc::new(options.snapshot),
            knows_replicas: false,
        };
        engine.adopt_snapshot((*engine.snapshot).clone());
        engine
    }

    /// For the driver, which lends blocks to the kernel and lands chunks.
    pub fn blocks(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    /// A client has connected.
    pub fn handle_accept(&mut self, now: Instant, peer: Peer, listener: ListenerId) -> WireId {
        self.now = now;
        let wire = self.wires.insert(Wire::new(Owner::Nobody));
        self.greet(wire, peer, listener);
        wire.into()
    }

    pub fn handle_dialed(&mut self, now: Instant, wire: WireId, outcome: Result<(), DialFault>) {
        self.now = now;
        let Some(Owner::Backend(link)) = self.owner(wire) else { return };
        match outcome {
            Ok(()) => self.link_dialed(link),
            Err(fault) => self.link_dial_failed(link, fault),
        }
    }

    pub fn handle_chunk(&mut self, now: Instant, wire: WireId, chunk: Chunk) {
        self.now = now;
        let key: Key<Wire> = wire.into();
        let open = self.wires.get(key).filter(|w| !w.closing);
        match open.map(|w| (w.owner, w.layers.is_some())) {
            Some((_, true)) => self.chunk_through_layers(key, chunk),
            Some((owner, false)) => self.plain_chunk(owner, chunk),
            None => self.blocks.release(chunk),
        }
    }

    /// The first `n` bytes of its outbox have left.
    pub fn handle_sent(&mut self, now: Instant, wire: WireId, n: usize) {
        self.now = now;
        let key: Key<Wire> = wire.into();
        let Some(entry) = self.wires.get_mut(key) else { return };
        entry.outbox_mut().consume(&mut self.blocks, n);
        if matches!(entry.owner, Owner::Client(_)) {
            self.counters.bytes_to_clients += n as u64;
        }
        self.wire_drained(key);
    }

    pub fn handle_end(&mut self, now: Instant, wire: WireId, end: End) {
        self.now = now;
        let key: Key<Wire> = wire.into();
        let Some(owner) = self.owner(wire) else { return };
        self.wires[key].ended = true;
        match owner {
            Owner::Client(session) => self.client_gone(session),
            Owner::Backend(link) if end == End::Failed => self.link_silent(link, "the connection to the backend broke"),
            Owner::Backend(link) => self.link_lost(link, "the backend closed the connection"),
            Owner::Nobody => self.close_wire(key),
        }
    }

    /// After `Action::Close`: nothing is in flight on it any more.
    pub fn handle_closed(&mut self, now: Instant, wire: WireId) {
        self.now = now;
        if let Some(mut gone) = self.wires.remove(wire.into()) {
            assert!(gone.closing, "a wire is closed by the engine's wish only");
            gone.release(&mut self.blocks);
            if let Some(slot) = gone.slot {
                self.pool.closed(self.now.0, slot);
            }
        }
    }

    pub fn handle_mail(&mut self, now: Instant, mail: Mail) {
        self.now = now;
        match mail {
            Mail::Snapshot(snapshot) => self.adopt_snapshot(snapshot),
            Mail::Drain { within_ms } => self.drain(within_ms),
            Mail::Report { token, detail } => self.report(token, detail),
            Mail::QuotaWanted { from, backend } => self.quota_wanted(from, backend),
            Mail::QuotaGranted { backend, count, budget } => self.quota_granted(backend, count, budget),
            Mail::Turn { session, number, usage } => self.turn_given(session, number, &usage),
            Mail::Credential { user, password } => self.credential(&user, password),
            Mail::Kill { from, token, kill } => self.kill_for(from, token, &kill),
            Mail::Killed { token, outcome } => self.killed(token, outcome),
            Mail::Tag(tag) => self.tag = tag,
            Mail::GlobalSet { token } => self.global_set(token),
            Mail::Shown { token, answer } => self.shown(token, answer),
            Mail::Filtered { token, outcome } => self.filters_changed(token, outcome),
            Mail::Found { token, finding } => self.outcome_found(token, finding),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(owner) = self.timers.pop_due(now) {
            match owner {
                TimerOwner::Core => self.sweep_due(),
                TimerOwner::Session { index, generation } => self.session_due(Key::new(index, generation), owner),
                TimerOwner::Link { index, generation } => self.link_due(Key::new(index, generation), owner),
            }
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.finish_turn();
        }
        self.actions.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What is to be sent on a wire, in order.
    pub fn outbox(&self, wire: WireId) -> impl Iterator<Item = &[u8]> {
        self.wires.get(wire.into()).map(|w| w.outbox().slices(&self.blocks)).into_iter().flatten()
    }

    pub fn outbox_len(&self, wire: WireId) -> usize {
        self.wires.get(wire.into()).map_or(0, |w| w.outbox().len())
    }

    /// Backend connections that are leased: commands under way, and sessions that rest on one.
    pub fn outstanding(&self) -> usize {
        self.snapshot.backends.iter().map(|view| self.pool.outstanding(view.id.0) as usize).sum()
    }

    /// It leads to a server, beyond `connections_per_backend_max` (`link/errands.rs`).
    pub fn is_messenger(&self, wire: WireId) -> bool {
        let of_link = |link| self.links.get(link).is_some_and(|l| l.slot == weir_pool::SlotId::NOWHERE);
        matches!(self.owner(wire), Some(Owner::Backend(link)) if of_link(link))
    }

    /// Sessions, links and wires that exist: all zero after the end, which tests check.
    pub fn census(&self) -> (usize, usize, usize) {
        (self.sessions.len(), self.links.len(), self.wires.len())
    }

    fn owner(&self, wire: WireId) -> Option<Owner> {
        self.wires.get(wire.into()).filter(|w| !w.closing).map(|w| w.owner)
    }

    fn plain_chunk(&mut self, owner: Owner, chunk: Chunk) {
        match owner {
            Owner::Client(session) => self.client_chunk(session, chunk),
            Owner::Backend(link) => self.link_chunk(link, chunk),
            Owner::Nobody => self.blocks.release(chunk),
        }
    }

    pub(crate) fn scan() -> ReplyScan {
        ReplyScan::new(ReplyKind::Nothing, weir_net::flags::Capabilities::empty())
    }

    /// The next random number.
    pub(crate) fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }
}

/// The next number of a row.
pub(crate) fn next_random(last: &mut u64) -> u64 {
    *last = last.wrapping_add(1);
    split_mix(*last)
}

/// SplitMix64: neighbours become strangers.
pub(crate) fn split_mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
