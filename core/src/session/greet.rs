//! Greeting a client: the handshake until it has claimed a password (S47). Whether the claim is true, a backend says.
//!
//! ```text
//!   [PROXY header ─►] gate: greeting ─► client: [TLS request ─► TLS] login ─► gate: asks ⇄ client: proof ─► claim ─► Verify
//! ```
//! Rules: MySQL "Connection Phase", "caching_sha2_password".

use crate::engine::{Action, Engine};
use crate::limits::LOGIN_PACKET_BYTES_MAX;
use crate::mail::{ControlMail, Level};
use crate::session::claim::Claim;
use crate::session::refuse::Refusal;
use crate::session::secure::Password;
use crate::session::{Freshness, Greet, ListenerId, Peer, Phase, Session, VerifyCause};
use crate::slots::Key;
use crate::time::Instant;
use crate::timers::Owner as TimerOwner;
use crate::wire::{Owner, Wire};
use std::rc::Rc;
use weir_net::auth::{Ask, Channel, Known, ServerAuth};
use weir_net::flags::{Capabilities, Status};
use weir_net::flavour::{self, Flavour};
use weir_net::greeting::Greeting;
use weir_net::login::{Login, is_tls_request};
use weir_net::packet;
use weir_net::tls::Tls;
use weir_planner::Facts;

impl Engine {
    /// A new client: its session, and the greeting.
    pub(crate) fn greet(&mut self, wire: Key<Wire>, peer: Peer, listener: ListenerId) {
        self.counters.clients_accepted += 1;
        let mut nonce = [0u8; 20];
        for byte in &mut nonce {
            *byte = self.random() as u8;
        }
        let nonce = weir_net::auth::nonce_from_random(nonce);
        let id = self.ids.next(self.tag);
        let mut fresh = new_session(wire, id, (peer, listener), nonce);
        fresh.times = self.snapshot.settings.times;
        fresh.facts.server_version = self.server_version();
        let session = self.sessions.insert(fresh);
        self.ids.begin(id, session);
        self.wires[wire].owner = Owner::Client(session);
        self.counters.clients_open += 1;
        let limit = self.snapshot.settings.clients_max / u32::from(self.cores).max(1);
        if self.sessions.len() > limit.max(1) as usize {
            self.counters.clients_refused += 1;
            return self.part_with(session, 0, &Refusal::TooManyClients { limit: self.snapshot.settings.clients_max });
        }
        if self.draining {
            return self.part_with(session, 0, &Refusal::Draining);
        }
        if self.is_proxied(peer, listener) {
            self.sessions[session].phase = Phase::Greet(Greet::Proxy);
        } else if let Err(why) = self.comes_too_fast(peer) {
            return self.part_with(session, 0, &why);
        } else {
            self.say_greeting(session);
        }
        let within = self.snapshot.settings.handshake_ms_max;
        self.arm_session(session, self.now.plus_ms(within));
    }

    pub(crate) fn say_greeting(&mut self, session: Key<Session>) {
        let Session { wire, peer, listener, id, nonce, .. } = self.sessions[session];
        let mut offered = self.offered() | self.snapshot.settings.compression.offered();
        if self.snapshot.keys.tls_at(listener).is_some() && matches!(peer, Peer::Tcp(_)) {
            offered = offered.union(Capabilities::SSL);
        }
        let snapshot = self.snapshot.clone();
        let greeting = Greeting {
            version: snapshot.face.version.as_bytes(),
            connection_id: id,
            nonce,
            capabilities: offered,
            charset: snapshot.face.charset,
            status: Status::AUTOCOMMIT,
            plugin: b"caching_sha2_password",
        };
        let mut bytes = Vec::with_capacity(128);
        let at = packet::begin(&mut bytes, 0);
        greeting.encode(&mut bytes);
        packet::finish(&mut bytes, at);
        self.say(wire, &bytes);
    }

    /// The version that judges version comments: the primary's.
    pub(crate) fn server_version(&self) -> u32 {
        let primary = self.snapshot.primary().map(|id| self.snapshot.backend(id).version_number);
        primary.filter(|v| *v > 0).unwrap_or_else(|| Facts::default().server_version)
    }

    pub(crate) fn server_flavour(&self) -> Flavour {
        Flavour::of(self.snapshot.face.version.as_bytes())
    }

    /// What the gate can, without what its backends cannot (S49).
    fn offered(&self) -> Capabilities {
        crate::engine::OFFERED.minus(flavour::lacks(&self.snapshot.face.version))
    }

    pub(crate) fn arm_session(&mut self, session: Key<Session>, at: Instant) {
        let owner = TimerOwner::Session { index: session.index, generation: session.generation };
        if let Some(s) = self.sessions.get_mut(session) {
            self.timers.set(&mut s.deadline, at, owner);
        }
    }

    /// The next whole packet of the client's login, if it is there: its sequence number and payload.
    pub(crate) fn login_packet(&mut self, session: Key<Session>) -> Result<Option<(u8, Vec<u8>)>, &'static str> {
        let s = self.sessions.get_mut(session).expect("called for a live session");
        take_packet(&mut s.inbound, &mut self.blocks)
    }

    /// Goes on with the handshake as far as bytes reach.
    pub(crate) fn run_greet(&mut self, session: Key<Session>) {
        match self.sessions[session].phase {
            Phase::Greet(Greet::Proxy) => return self.run_proxy_header(session),
            // What it says meanwhile waits for the verdict.
            Phase::Greet(Greet::Held(_)) => return,
            _ => {}
        }
        if self.tls_request_due(session) {
            return;
        }
        let (seq, payload) = match self.login_packet(session) {
            Ok(Some(packet)) => packet,
            Ok(None) => return,
            Err(_) if self.is_uncalled_for_header(session) => {
                return self.proxy_header_refused(session, "none is taken from there (proxy_protocol_networks)");
            }
            Err(what) => return self.client_broke_protocol(session, what),
        };
        let seq = seq.wrapping_add(1);
        let greet = match std::mem::replace(&mut self.sessions[session].phase, Phase::Farewell) {
            Phase::Greet(greet) => greet,
            other => {
                self.sessions[session].phase = other;
                return;
            }
        };
        match greet {
            Greet::Login | Greet::TlsHandshake => self.login_came(session, seq, &payload),
            Greet::Proxy | Greet::Held(_) => unreachable!("it reads no packet: see above"),
            Greet::NewUser { user, auth } => self.new_user_proof(session, seq, user, auth, &payload),
            Greet::Proof { login, mut auth } => {
                let ask = auth.handle(&payload);
                self.login_asks(session, seq, login, auth, ask);
            }
        }
    }

    /// True when the front of the input is a TLS request: exactly its 36 bytes are taken, the ClientHello is behind.
    fn tls_request_due(&mut self, session: Key<Session>) -> bool {
        let s = &mut self.sessions[session];
        if !matches!(s.phase, Phase::Greet(Greet::Login)) || s.inbound.len() < 36 {
            return false;
        }
        let (wire, listener) = (s.wire, s.listener);
        if self.wires[wire].is_encrypted() {
            return false;
        }
        let mut head = Vec::with_capacity(36);
        s.inbound.copy_to(&self.blocks, 0, 36, &mut head);
        if head[..3] != [32, 0, 0] || is_tls_request(&head[4..]).is_none() {
            return false;
        }
        // A client that does not wait for the greeting: records may leave only when all of it has.
        if !self.wires[wire].out.is_empty() {
            return true;
        }
        let Some(config) = self.snapshot.keys.tls_at(listener).cloned() else { return false };
        s.inbound.consume(&mut self.blocks, 36);
        s.phase = Phase::Greet(Greet::TlsHandshake);
        let mut hello = Vec::new();
        s.inbound.copy_to(&self.blocks, 0, s.inbound.len(), &mut hello);
        s.inbound.clear(&mut self.blocks);
        let Ok(tls) = Tls::server(config) else {
            self.client_broke_protocol(session, "TLS is not to be had");
            return true;
        };
        self.wires[wire].encrypt(tls);
        if !hello.is_empty() {
            let chunk = self.blocks.adopt(hello);
            self.handle_chunk(self.now, wire.into(), chunk);
        }
        true
    }

    fn login_came(&mut self, session: Key<Session>, seq: u8, payload: &[u8]) {
        let login = match Login::decode(payload) {
            Ok(login) => login,
            Err(what) => return self.client_broke_protocol(session, what.0),
        };
        if !login.capabilities.contains(Capabilities::PROTOCOL_41) {
            return self.part_with(session, seq, &Refusal::BadHandshake("the client is older than MySQL 4.1"));
        }
        let password = if login.auth.is_empty() { Password::None } else { Password::Given };
        if let Some(why) = self.transport_refusal(session, &login.user, password) {
            self.counters.logins_refused += 1;
            return self.part_with(session, seq, &why);
        }
        let compression = match self.snapshot.settings.compression.agree(&login) {
            Ok(compression) => compression,
            Err(why) => return self.part_with(session, seq, &Refusal::WrongCompression(why)),
        };
        let offered = self.offered();
        let s = &mut self.sessions[session];
        s.compression = compression;
        s.caps = login.capabilities.intersect(offered | Capabilities::SSL);
        s.charset = login.charset;
        s.facts.charset = weir_planner::Charset::of_collation(login.charset);
        s.attributes = attributes_of(&login, s.peer);
        s.schema = self.states.schema(login.schema.as_deref().unwrap_or(b""));
        s.facts.multi_statements = s.caps.contains(Capabilities::MULTI_STATEMENTS);
        s.class = self.classes.intern(s.class_wanted());
        let channel = self.channel(session);
        let keys = self.snapshot.keys.clone();
        let mut auth = Box::new(ServerAuth::new(self.sessions[session].nonce, channel, Some(&keys.rsa)));
        let known = match self.accounts.proven(&login.user) {
            Some(password) => Known::Password(password),
            None => Known::Nothing,
        };
        let plugin = login.plugin.as_deref();
        let ask = auth.start(plugin, &login.auth, login.capabilities, known);
        self.login_asks(session, seq, Box::new(login), auth, ask);
    }

    pub(crate) fn channel(&self, session: Key<Session>) -> Channel {
        let s = &self.sessions[session];
        let secure = self.wires[s.wire].is_encrypted() || s.peer == Peer::Unix;
        if secure { Channel::Secure } else { Channel::Plain }
    }

    fn login_asks(&mut self, session: Key<Session>, seq: u8, login: Box<Login>, auth: Box<ServerAuth>, ask: Ask) {
        match ask {
            Ask::Send(payload) => {
                self.say_packet(session, seq, &payload);
                self.sessions[session].phase = Phase::Greet(Greet::Proof { login, auth });
                self.runnable.push_back(session);
            }
            Ask::Claim { password, fast } => {
                let account = self.accounts.claim(self.now, &login.user, password);
                self.accounts.hold(account);
                self.sessions[session].account = account;
                self.claim(session, Claim { seq, fast, cause: VerifyCause::Login });
            }
            Ask::ClaimNative { .. } => {
                self.part_with(session, seq, &Refusal::BadHandshake("a native proof without a known hash"))
            }
            Ask::Refuse(why) => {
                self.counters.logins_refused += 1;
                let refusal = Refusal::AccessDenied {
                    user: String::from_utf8_lossy(&login.user).into_owned(),
                    peer: self.sessions[session].peer,
                    with_password: !login.auth.is_empty(),
                };
                self.log(Level::Info, "login refused before a backend was asked", format!("{why:?}"));
                self.login_failed(session, &login.user);
                self.audit_unclaimed(session, &login.user);
                self.part_with(session, seq, &refusal);
            }
        }
    }

    /// One packet of the gate's own for the client.
    pub(crate) fn say_packet(&mut self, session: Key<Session>, seq: u8, payload: &[u8]) -> u8 {
        let wire = self.sessions[session].wire;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let next = packet::put(&mut bytes, seq, payload);
        self.say(wire, &bytes);
        self.scratch = bytes;
        next
    }

    pub(crate) fn client_broke_protocol(&mut self, session: Key<Session>, what: &'static str) {
        self.counters.client_errors += 1;
        self.actions.push_back(Action::Tell(ControlMail::Log {
            level: Level::Info,
            event: "a client broke the protocol",
            detail: what.to_string(),
        }));
        self.part_with(session, 1, &Refusal::MalformedCommand(what));
    }
}

/// Takes one packet off the front of a queue when all of it has come: its sequence number and payload.
pub(crate) fn take_packet(
    inbound: &mut crate::queue::Queue,
    blocks: &mut crate::block::Blocks,
) -> Result<Option<(u8, Vec<u8>)>, &'static str> {
    if inbound.len() < packet::HEADER_BYTES {
        return Ok(None);
    }
    let mut head = Vec::with_capacity(4);
    inbound.copy_to(blocks, 0, 4, &mut head);
    let header = packet::Header::decode([head[0], head[1], head[2], head[3]]);
    let len = header.payload_len as usize;
    if len > LOGIN_PACKET_BYTES_MAX {
        return Err("a packet of the login is too long");
    }
    if inbound.len() < packet::HEADER_BYTES + len {
        return Ok(None);
    }
    let mut payload = Vec::with_capacity(len);
    inbound.copy_to(blocks, packet::HEADER_BYTES, len, &mut payload);
    inbound.consume(blocks, packet::HEADER_BYTES + len);
    Ok(Some((header.seq, payload)))
}

/// The client's connect attributes, and where it is; what only the gate may say is not believed (S51).
fn attributes_of(login: &Login, peer: Peer) -> Rc<[(Vec<u8>, Vec<u8>)]> {
    let clients_own = login.attributes.iter().filter(|(name, _)| !name.starts_with(OWN_ATTRIBUTES));
    let address = (CLIENT_ATTRIBUTE.to_vec(), peer.to_string().into_bytes());
    clients_own.cloned().chain([address]).collect()
}

/// How the names of the gate's own attributes begin.
const OWN_ATTRIBUTES: &[u8] = b"_weir_";
const CLIENT_ATTRIBUTE: &[u8] = b"_weir_client";

fn new_session(wire: Key<Wire>, id: u32, (peer, listener): (Peer, ListenerId), nonce: [u8; 20]) -> Session {
    Session {
        wire,
        id,
        peer,
        listener,
        nonce,
        caps: Capabilities::PROTOCOL_41,
        charset: 0,
        attributes: Rc::from([]),
        compression: None,
        account: Default::default(),
        class: Default::default(),
        schema: Default::default(),
        state: Default::default(),
        status: Status::AUTOCOMMIT,
        facts: Facts::default(),
        escapes_off_by_default: false,
        inbound: Default::default(),
        phase: Phase::Greet(Greet::Login),
        lease: None,
        pins: Default::default(),
        held: Default::default(),
        user_variables: Default::default(),
        named: Default::default(),
        has_role: false,
        statements: Default::default(),
        statement_next: 0,
        prepared_last: 0,
        freshness: Freshness::default(),
        wishes: Default::default(),
        wrote: Default::default(),
        target: None,
        last_link: None,
        seat: None,
        lanes: None,
        has_logged_in: false,
        times: Default::default(),
        transaction_since: Instant::NEVER,
        insert_id: Default::default(),
        trackers: Default::default(),
        previous: Default::default(),
        transaction_unsure: false,
        lost: None,
        deadline: Default::default(),
        rested_at: Default::default(),
        leaving: false,
    }
}
