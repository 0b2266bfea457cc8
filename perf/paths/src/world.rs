//! One engine with one client and one backend, both in the simplest words that are true: logged in, and ready for commands.
//!
//! Sends complete at once and as a whole. What the engine says is kept while somebody wants to read it, and only counted otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use weir_core::block::Chunk;
use weir_core::engine::{Action, Engine, EngineOptions};
use weir_core::mail::CoreId;
use weir_core::session::{ListenerId, Peer};
use weir_core::snapshot::{Address, BackendId, BackendView, Face, Health, Keys, Role, Settings, Snapshot};
use weir_core::time::Instant;
use weir_core::wire::WireId;
use weir_net::auth::{CACHING_SHA2, FAST_AUTH_OK, RsaKey, scramble};
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::outcome::OkPacket;
use weir_net::packet;

pub struct World {
    engine: Engine,
    now: Instant,
    client: WireId,
    backend: Option<WireId>,
    /// What either side was sent, while `reads` is set.
    reads: bool,
    to_client: Vec<u8>,
    to_backend: Vec<u8>,
    /// Bytes sent altogether.
    pub sent: u64,
}

/// As drivers of today have it.
pub const CAPS: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::DEPRECATE_EOF)
    .union(Capabilities::SESSION_TRACK);

const PASSWORD: &[u8] = b"secret";
const NONCE: [u8; 20] = *b"abcdefghijklmnopqrst";
/// The backend's uuid, and the source of its GTIDs.
pub const UUID: [u8; 16] = [7; 16];

impl World {
    pub fn new() -> World {
        World::with(Settings::default())
    }

    pub fn with(settings: Settings) -> World {
        let options = EngineOptions {
            core: CoreId(0),
            cores: 1,
            blocks: 64,
            block_bytes: 16 << 10,
            seed: 1,
            tag: 7,
            snapshot: snapshot(settings),
            board: Default::default(),
            tally: Default::default(),
        };
        let now = Instant(1_000_000);
        let mut engine = Engine::new(now, options);
        let client = engine.handle_accept(now, Peer::Unix, ListenerId(0));
        let (to_client, to_backend) = (Vec::new(), Vec::new());
        let mut world = World { engine, now, client, backend: None, reads: true, to_client, to_backend, sent: 0 };
        world.log_in();
        world
    }

    /// Client and backend through their handshakes, with the words that the engine waits for.
    fn log_in(&mut self) {
        self.go_on();
        let nonce = {
            let payload = self.heard_by_client();
            Greeting::decode(&payload).expect("the gate greets").nonce
        };
        let login = Login {
            capabilities: CAPS,
            max_packet: 1 << 24,
            charset: 255,
            user: b"app".to_vec(),
            auth: scramble::caching_sha2(PASSWORD, &nonce).to_vec(),
            schema: Some(b"shop".to_vec()),
            plugin: Some(CACHING_SHA2.to_vec()),
            attributes: Vec::new(),
            zstd_level: 0,
        };
        let mut payload = Vec::new();
        login.encode(&mut payload);
        self.from_client(&framed(1, &payload));
        assert_eq!(self.heard_by_client(), [1, 4], "the password itself is asked for");
        self.from_client(&framed(3, b"secret\0"));
        let greeting = Greeting {
            version: b"9.7.4",
            connection_id: 7,
            nonce: NONCE,
            capabilities: Capabilities(0xffff_ffff).minus(Capabilities::SSL),
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin: CACHING_SHA2,
        };
        let mut payload = Vec::new();
        greeting.encode(&mut payload);
        self.from_backend(&framed(0, &payload));
        let mut answer = framed(2, &FAST_AUTH_OK);
        answer.extend(ok(3, &[]));
        self.from_backend(&answer);
        // Its trackers, and whatever else the gate wants first.
        while !self.to_backend.is_empty() && self.to_client.is_empty() {
            self.to_backend.clear();
            self.from_backend(&ok(1, &[]));
        }
        let end = self.heard_by_client();
        assert_eq!(end.first(), Some(&0), "the client is in: {end:?}");
        self.to_backend.clear();
        self.reads = false;
    }

    /// The payload of the last packet that the client was sent.
    fn heard_by_client(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.to_client);
        let mut rest = &bytes[..];
        let mut last = Vec::new();
        while let [a, b, c, _, behind @ ..] = rest {
            let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
            last = behind[..len].to_vec();
            rest = &behind[len..];
        }
        last
    }

    /// Says it, hears it out, and says what came to either side.
    pub fn exchange(&mut self, command: &[u8], reply: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.reads = true;
        self.from_client(command);
        self.from_backend(reply);
        self.reads = false;
        (std::mem::take(&mut self.to_backend), std::mem::take(&mut self.to_client))
    }

    pub fn from_client(&mut self, bytes: &[u8]) {
        let chunk = self.chunk(bytes);
        self.client_chunk(chunk);
    }

    pub fn from_backend(&mut self, bytes: &[u8]) {
        let chunk = self.chunk(bytes);
        self.backend_chunk(chunk);
    }

    /// Bytes in a block, as a driver hands them over.
    pub fn chunk(&mut self, bytes: &[u8]) -> Chunk {
        let blocks = self.engine.blocks();
        let size = blocks.block_bytes();
        assert!(bytes.len() <= size, "one chunk each");
        let block = blocks.lend().expect("there are enough blocks");
        // SAFETY: the block was just lent to us, so nobody else reads or writes it, and the bytes fit.
        unsafe {
            let to = blocks.start_of(block);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        blocks.landed(block, bytes.len())
    }

    pub fn client_chunk(&mut self, chunk: Chunk) {
        self.hand_in(chunk);
        self.go_on();
    }

    /// The chunk alone, without what the driver does at the end of the turn.
    pub fn hand_in(&mut self, chunk: Chunk) {
        self.engine.handle_chunk(self.now, self.client, chunk);
    }

    pub fn backend_chunk(&mut self, chunk: Chunk) {
        let backend = self.backend.expect("there is a backend connection");
        self.engine.handle_chunk(self.now, backend, chunk);
        self.go_on();
    }

    /// Does what the engine wants.
    pub fn go_on(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Send { wire } => self.send(wire),
                Action::Dial { wire, .. } => {
                    self.backend = Some(wire);
                    self.engine.handle_dialed(self.now, wire, Ok(()));
                }
                Action::Tell(_) => {}
                other => panic!("nobody should want {other:?} here"),
            }
        }
    }

    fn send(&mut self, wire: WireId) {
        let len = self.engine.outbox_len(wire);
        if self.reads {
            let heard = if wire == self.client { &mut self.to_client } else { &mut self.to_backend };
            self.engine.outbox(wire).for_each(|piece| heard.extend_from_slice(piece));
        }
        self.sent += len as u64;
        self.engine.handle_sent(self.now, wire, len);
    }
}

pub fn framed(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet::put(&mut bytes, seq, payload);
    bytes
}

/// An OK of a server that takes commands.
pub fn ok(seq: u8, track: &[u8]) -> Vec<u8> {
    let changed = if track.is_empty() { Status::default() } else { Status::SESSION_STATE_CHANGED };
    let mut payload = Vec::new();
    let affected_rows = u64::from(!track.is_empty());
    OkPacket { status: Status::AUTOCOMMIT | changed, track, affected_rows, ..OkPacket::default() }
        .encode(&mut payload, CAPS);
    framed(seq, &payload)
}

fn snapshot(settings: Settings) -> Arc<Snapshot> {
    let primary = BackendView {
        id: BackendId(0),
        name: "db1".to_owned(),
        uuid: Some(UUID),
        address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 3306))),
        role: Role::Primary,
        health: Health::Up,
        lag_ms: Some(0),
        executed: Arc::default(),
        weight: 1,
        version: "9.7.4".to_owned(),
        version_number: 90_704,
        read_only: false,
        zone: String::new(),
        queries_per_second: 0,
        threads_connected: 0,
        threads_running: 0,
    };
    let rsa = RsaKey::generate().expect("the library makes a key");
    Arc::new(Snapshot {
        generation: 1,
        backends: vec![primary],
        settings: Arc::new(settings),
        keys: Keys { tls: None, listeners: Arc::default(), backend_tls: None, rsa: Arc::new(rsa) },
        permissions: None,
        filters: None,
        face: Face { version: "9.7.4-weir".to_owned(), charset: 255, native_password: false },
        mandate: Default::default(),
    })
}
