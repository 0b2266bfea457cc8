//! The world around one engine: its driver, and the peers at its wires.
//!
//! The driver keeps its side of the contract to the letter (one send in flight, nothing after a close, no chunk for a
//! paused wire) and asserts the engine's. What comes over the wires is another matter.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use weir_core::engine::{Action, DialFault, End, Engine, EngineOptions};
use weir_core::limits::QUEUE_BYTES_HIGH;
use weir_core::mail::{ControlMail, CoreId, KillOutcome, Mail};
use weir_core::session::{ListenerId, Peer as ClientPeer};
use weir_core::show::{Detail, Shown};
use weir_core::snapshot::Address;
use weir_core::time::Instant;
use weir_core::wire::WireId;
use weir_net::packet::{self, PAYLOAD_MAX};
use weir_net::secret::Secret;

use super::client::Client;
use super::outside::{BUDGET, LISTENERS, Outside};
use super::server::{self, Server};
use super::spoil::spoil;
use super::wire::{Peer, Stage, Wire};
use crate::draw::Draw;

/// Actions that one event may lead to: far above what any needs.
const ACTIONS_MAX: usize = 10_000;
/// Timers that may be due at one moment.
const TIMERS_MAX: usize = 1_000;
/// Rounds of letting everybody go on until nobody has anything to say: above what floods of small commands take.
const ROUNDS_MAX: usize = 200_000;
/// Seconds that the end may take.
const END_S_MAX: usize = 40;
/// What a queue may hold: the mark at which reading stops, and what one chunk and the gate's own words add.
const QUEUE_BYTES_MAX: usize = QUEUE_BYTES_HIGH + (128 << 10);
/// Bytes of one flood of small things, and of one of rows: above every mark.
const FLOOD_BYTES: usize = 96 << 10;
const ROWS_BYTES: usize = 512 << 10;
const SLICES_MAX: usize = 64;

pub struct World {
    engine: Engine,
    now: Instant,
    outside: Outside,
    wires: BTreeMap<u32, Wire>,
    /// Clients that have come so far: they take the listeners in turn.
    accepted: u16,
    /// `WEIR_FUZZ_TRACE` is set: tell what happens, to understand an input.
    tells: bool,
}

impl World {
    pub fn new(flags: u8) -> World {
        let mut outside = Outside::new(flags);
        let (blocks, block_bytes) = [(64, 512), (512, 64), (24, 4096), (8, 16 << 10)][usize::from(flags >> 6)];
        let options = EngineOptions {
            core: CoreId(0),
            cores: 1,
            blocks,
            block_bytes,
            seed: u64::from(flags),
            tag: 7,
            snapshot: outside.snapshot(),
            board: Default::default(),
            tally: Default::default(),
        };
        let now = Instant(1);
        let tells = std::env::var_os("WEIR_FUZZ_TRACE").is_some();
        World { engine: Engine::new(now, options), now, outside, wires: BTreeMap::new(), accepted: 0, tells }
    }

    pub fn accept(&mut self, is_local: bool) {
        let peer = match is_local {
            true => ClientPeer::Unix,
            false => ClientPeer::Tcp(SocketAddr::from(([127, 0, 0, 1], 40_000))),
        };
        let listener = ListenerId(self.accepted % LISTENERS);
        self.accepted = self.accepted.wrapping_add(1);
        let id = self.engine.handle_accept(self.now, peer, listener);
        self.admit(Wire::new(id, Stage::Open, Peer::Client(Client::default())));
        self.drain();
    }

    pub fn client_says(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.client(draw) else { return };
        let bytes = draw.piece().to_vec();
        self.from_client(index, bytes);
    }

    pub fn client_logs_in(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.client(draw) else { return };
        let Some(Peer::Client(client)) = self.peer(index) else { return };
        let bytes = spoil(&client.login(draw), draw);
        // It is sealed already.
        self.deliver(index, &bytes);
    }

    pub fn client_commands(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.client(draw) else { return };
        let Some(Peer::Client(client)) = self.peer(index) else { return };
        let bytes = spoil(&client.command(draw), draw);
        self.from_client(index, bytes);
    }

    pub fn client_proves(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.client(draw) else { return };
        let Some(Peer::Client(client)) = self.peer(index) else { return };
        let bytes = spoil(&client.proof().unwrap_or_default(), draw);
        self.from_client(index, bytes);
    }

    pub fn server_answers(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.server(draw) else { return };
        let Some(Peer::Server(server)) = self.peer(index) else { return };
        let bytes = spoil(&server.answers.pop_front().unwrap_or_default(), draw);
        self.deliver(index, &bytes);
    }

    pub fn server_says(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.server(draw) else { return };
        let bytes = draw.piece().to_vec();
        self.deliver(index, &bytes);
    }

    /// One sort of bytes without end, as far as they are taken: rows, a command of 16 MiB, zeros.
    pub fn flood(&mut self, draw: &mut Draw<'_>) {
        let from_server = draw.coin();
        let found = if from_server { self.server(draw) } else { self.client(draw) };
        let Some(index) = found else { return };
        let seq = draw.u8();
        let kind = draw.below(5);
        if kind == 4 {
            return self.deliver(index, &server::many_rows(seq.wrapping_add(1), draw.piece(), ROWS_BYTES));
        }
        let mut piece = Vec::new();
        match kind {
            0 => drop(packet::put(&mut piece, seq, draw.piece())),
            1 => {
                let [a, b, c, _] = (PAYLOAD_MAX as u32).to_le_bytes();
                piece.extend_from_slice(&[a, b, c, seq, draw.u8()]);
                piece.resize(8192, b'x');
            }
            2 => piece.extend_from_slice(&[0; 64]),
            _ => piece.extend_from_slice(draw.piece()),
        }
        // A long command or file goes on as it came: enough of it to fill whatever it is for.
        let bytes_max = if kind == 1 { ROWS_BYTES } else { FLOOD_BYTES };
        let bytes: Vec<u8> = piece.iter().cycle().take(bytes_max.min(piece.len() * FLOOD_BYTES)).copied().collect();
        if from_server { self.deliver(index, &bytes) } else { self.from_client(index, bytes) }
    }

    pub fn dialed(&mut self, draw: &mut Draw<'_>) {
        let found = self.choose(draw, |wire| wire.stage == Stage::Dialing);
        let fault = draw.pick(&[DialFault::Refused, DialFault::TimedOut, DialFault::Unreachable, DialFault::Other]);
        let outcome = if draw.coin() { Err(fault) } else { Ok(()) };
        if let Some(index) = found {
            self.outcome(index, outcome);
        }
    }

    fn outcome(&mut self, index: u32, outcome: Result<(), DialFault>) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        let shown = format!("wire {index} dialed: {outcome:?}");
        wire.stage = if outcome.is_ok() { Stage::Open } else { Stage::Failed };
        let id = wire.id;
        self.tell(|| shown);
        self.engine.handle_dialed(self.now, id, outcome);
        self.drain();
    }

    /// A send completes, as a whole or in part.
    pub fn sent(&mut self, draw: &mut Draw<'_>) {
        let found = self.choose(draw, |wire| wire.sending.is_some());
        let bytes_max = 1 + usize::from(draw.u8());
        if let Some(index) = found {
            self.complete(index, bytes_max);
        }
    }

    fn complete(&mut self, index: u32, bytes_max: usize) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        let Some(bytes) = wire.sending.take() else { return };
        let id = wire.id;
        let sent = &bytes[..bytes.len().min(bytes_max)];
        self.tell(|| format!("wire {index} has sent {}: {}", sent.len(), sent[..sent.len().min(60)].escape_ascii()));
        let Some(wire) = self.wires.get_mut(&index) else { return };
        let still: Vec<u8> = self.engine.outbox(id).flatten().take(sent.len()).copied().collect();
        assert!(still == sent, "bytes of a running send have moved");
        match &mut wire.peer {
            Peer::Client(client) => client.receive(sent),
            Peer::Server(server) => server.receive(sent),
        }
        self.engine.handle_sent(self.now, id, sent.len());
        if self.engine.outbox_len(id) > 0 {
            self.start_send(index);
        }
        self.drain();
    }

    pub fn peer_ends(&mut self, draw: &mut Draw<'_>) {
        let found = self.choose(draw, |wire| wire.stage == Stage::Open && !wire.ended);
        let end = if draw.coin() { End::Closed } else { End::Failed };
        if let Some(index) = found {
            self.end_of(index, end);
        }
    }

    fn end_of(&mut self, index: u32, end: End) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        wire.ended = true;
        if end == End::Failed {
            wire.sending = None;
        }
        let id = wire.id;
        self.tell(|| format!("wire {index} ends: {end:?}"));
        self.engine.handle_end(self.now, id, end);
        self.drain();
    }

    pub fn closed(&mut self, draw: &mut Draw<'_>) {
        let Some(index) = self.choose(draw, |wire| wire.stage == Stage::Closing) else { return };
        self.close(index);
    }

    fn close(&mut self, index: u32) {
        let Some(wire) = self.wires.remove(&index) else { return };
        self.tell(|| format!("wire {index} is closed"));
        self.engine.handle_closed(self.now, wire.id);
        self.drain();
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for _ in 0..TIMERS_MAX {
            match self.engine.poll_timeout() {
                Some(at) if at <= self.now => {
                    self.engine.handle_timeout(self.now);
                    self.drain();
                }
                _ => return,
            }
        }
        panic!("a timer that was served stays due");
    }

    pub fn snapshot(&mut self, draw: &mut Draw<'_>) {
        self.outside.change(draw);
        let snapshot = self.outside.snapshot();
        self.engine.handle_mail(self.now, Mail::Snapshot(snapshot));
        self.drain();
    }

    pub fn mail(&mut self, draw: &mut Draw<'_>) {
        let user = vec![b'a' + draw.u8() % 3].into_boxed_slice();
        let mail = match draw.below(4) {
            0 => Mail::Report { token: 1, detail: Detail::default() },
            1 => Mail::Credential { user, password: Some(Secret::from(&b"pw"[..])) },
            2 => Mail::Credential { user, password: None },
            _ if draw.u8() == 0xff => Mail::Drain { within_ms: 100 },
            _ => Mail::Report {
                token: 2,
                detail: Detail { of: None, sessions: true, pins: true, digests: true, forgets_digests: true },
            },
        };
        self.engine.handle_mail(self.now, mail);
        self.drain();
    }

    /// Everybody honestly goes on until nobody has anything to say.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for index in self.wires.keys().copied().collect::<Vec<u32>>() {
                moved |= self.go_on(index);
            }
            if !moved {
                return self.check_owners();
            }
        }
        panic!("nobody says anything new, and yet it goes on and on");
    }

    /// When everything has been sent, each wire has somebody who still wants it: nobody waits on one for ever.
    fn check_owners(&self) {
        let (sessions, links, wires) = self.engine.census();
        assert_eq!(wires, sessions + links, "wires; {sessions} sessions and {links} links");
    }

    fn go_on(&mut self, index: u32) -> bool {
        let Some(wire) = self.wires.get_mut(&index) else { return false };
        match wire.stage {
            Stage::Dialing => self.outcome(index, Ok(())),
            Stage::Closing => self.close(index),
            Stage::Open if wire.sending.is_some() => self.complete(index, usize::MAX),
            Stage::Open => {
                let bytes = match &mut wire.peer {
                    Peer::Client(client) => client.pending(),
                    Peer::Server(server) => server.answers.pop_front().unwrap_or_default(),
                };
                if bytes.is_empty() {
                    return false;
                }
                self.deliver(index, &bytes);
            }
            Stage::Failed => return false,
        }
        true
    }

    /// What must hold after every move.
    pub fn check(&self) {
        let mut connections = [0; super::outside::BACKENDS];
        for wire in self.wires.values() {
            let waiting = self.engine.outbox_len(wire.id);
            let is_live = wire.stage == Stage::Open && !wire.ended;
            assert!(
                !is_live || waiting == 0 || wire.sending.is_some(),
                "{waiting} bytes wait and no send was asked for"
            );
            assert!(waiting <= QUEUE_BYTES_MAX, "{waiting} bytes wait on one wire");
            // A connection that died idle is replaced at once, before its own close has come back.
            if let Some(backend) = wire.backend().filter(|_| wire.stage != Stage::Closing) {
                connections[backend] += 1;
            }
        }
        assert!(
            connections.iter().all(|count| *count <= BUDGET + self.outside.beyond),
            "{connections:?} connections, the budget is {BUDGET}"
        );
    }

    /// The gate drains. No peer reads, writes or goes any more, and yet nothing may be left.
    pub fn end(mut self) {
        self.engine.handle_mail(self.now, Mail::Drain { within_ms: 100 });
        self.outside.close();
        let snapshot = self.outside.snapshot();
        self.engine.handle_mail(self.now, Mail::Snapshot(snapshot));
        self.drain();
        for _ in 0..END_S_MAX {
            for index in self.wires.keys().copied().collect::<Vec<u32>>() {
                if self.wires.get(&index).is_some_and(|wire| wire.stage == Stage::Closing) {
                    self.close(index);
                }
            }
            if self.engine.census() == (0, 0, 0) {
                break;
            }
            self.pass_ms(1_000);
        }
        assert_eq!(self.engine.census(), (0, 0, 0), "sessions, links and wires left");
        assert!(self.wires.is_empty());
        let blocks = self.engine.blocks();
        blocks.drop_pen();
        let home = (blocks.free_count(), blocks.lent_count(), blocks.heap_bytes());
        assert_eq!(home, (blocks.count(), 0, 0), "blocks at home, lent, bytes on the heap");
    }

    fn drain(&mut self) {
        for _ in 0..ACTIONS_MAX {
            let Some(action) = self.engine.poll_action() else { return };
            self.act(action);
        }
        panic!("actions without end");
    }

    fn act(&mut self, action: Action) {
        self.tell(|| format!("  {action:?}"));
        match action {
            Action::Dial { wire, address } => {
                let Address::Tcp(address) = address else { panic!("every backend here has a TCP address") };
                let server = Server::new(usize::from(address.port() - 10_000));
                self.admit(Wire::new(wire, Stage::Dialing, Peer::Server(server)));
            }
            Action::Send { wire } => {
                self.known(wire);
                self.start_send(wire.index);
            }
            Action::Pause { wire } => assert!(!std::mem::replace(&mut self.known(wire).paused, true), "paused twice"),
            Action::Resume { wire } => assert!(std::mem::replace(&mut self.known(wire).paused, false), "not paused"),
            Action::Close { wire } => {
                let known = self.known(wire);
                known.stage = Stage::Closing;
                known.sending = None;
            }
            Action::Post { .. } => panic!("there is no other core"),
            Action::Tell(ControlMail::Show { token, show }) => {
                let answer = show.finish(Shown { columns: vec!["core"], ..Shown::default() });
                self.engine.handle_mail(self.now, Mail::Shown { token, answer });
            }
            // There is no other gate.
            Action::Tell(ControlMail::Kill { token, .. }) => {
                let outcome = KillOutcome::NoSuchThread;
                self.engine.handle_mail(self.now, Mail::Killed { token, outcome });
            }
            Action::Tell(_) => {}
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            eprintln!("{} ms: {}", self.now.0 / 1_000_000, what());
        }
    }

    fn known(&mut self, id: WireId) -> &mut Wire {
        let wire = self.wires.get_mut(&id.index).filter(|wire| wire.id == id);
        wire.filter(|wire| wire.stage != Stage::Closing).expect("an action for a wire that is open")
    }

    fn admit(&mut self, wire: Wire) {
        assert!(self.wires.insert(wire.id.index, wire).is_none(), "an index is free after handle_closed only");
    }

    fn start_send(&mut self, index: u32) {
        let Some(wire) = self.wires.get_mut(&index) else { return };
        if wire.stage != Stage::Open || wire.sending.is_some() || self.engine.outbox_len(wire.id) == 0 {
            return;
        }
        wire.sending = Some(self.engine.outbox(wire.id).take(SLICES_MAX).flatten().copied().collect());
    }

    fn from_client(&mut self, index: u32, bytes: Vec<u8>) {
        let Some(Peer::Client(client)) = self.peer(index) else { return };
        let sealed = client.seal(bytes);
        self.deliver(index, &sealed);
    }

    /// Lands bytes in blocks, as long as the wire takes them and there are blocks. The rest is lost, as it is when a
    /// peer stops in the middle.
    fn deliver(&mut self, index: u32, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(60)];
        self.tell(|| format!("{} bytes on wire {index}: {}", bytes.len(), shown.escape_ascii()));
        let size = self.engine.blocks().block_bytes();
        for piece in bytes.chunks(size) {
            let Some(wire) = self.wires.get(&index).filter(|wire| wire.may_receive()) else { return };
            let id = wire.id;
            let blocks = self.engine.blocks();
            let Some(block) = blocks.lend() else { return };
            // SAFETY: the block was just lent to this driver, so nobody else reads or writes it, and the piece fits.
            unsafe {
                let to = blocks.start_of(block);
                std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len());
            }
            let chunk = blocks.landed(block, piece.len());
            self.engine.handle_chunk(self.now, id, chunk);
            self.drain();
        }
    }

    fn peer(&mut self, index: u32) -> Option<&mut Peer> {
        self.wires.get_mut(&index).map(|wire| &mut wire.peer)
    }

    fn client(&self, draw: &mut Draw<'_>) -> Option<u32> {
        self.choose(draw, |wire| wire.backend().is_none() && wire.stage == Stage::Open)
    }

    fn server(&self, draw: &mut Draw<'_>) -> Option<u32> {
        self.choose(draw, |wire| wire.backend().is_some() && wire.stage == Stage::Open)
    }

    /// One of the wires that fit, by one byte.
    fn choose(&self, draw: &mut Draw<'_>, fits: impl Fn(&Wire) -> bool) -> Option<u32> {
        let fitting: Vec<u32> = self.wires.iter().filter(|(_, wire)| fits(wire)).map(|(index, _)| *index).collect();
        let chosen = draw.u8();
        (!fitting.is_empty()).then(|| fitting[usize::from(chosen) % fitting.len()])
    }
}
