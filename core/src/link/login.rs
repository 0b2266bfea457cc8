//! Logging in to a backend as the client's own account, and changing the user of a connection (S31).
//!
//! ```text
//!  Greeting: server's greeting ─► our login ─► Login: auth ⇄ ─► OK ─► Setup: trackers ─► ready
//!  change user: COM_CHANGE_USER ─────────────► Login: auth ⇄ ─► OK ─► Setup ─► ready
//! ```
//! Rules: MySQL "Connection Phase", "COM_CHANGE_USER".

use crate::engine::{DialFault, Engine, Waiter};
use crate::limits::LOGIN_PACKET_BYTES_MAX;
use crate::link::errands::{TOKEN_ATTRIBUTE, token_text};
use crate::link::expect::{Expect, Purpose};
use crate::link::{Lessee, Link, LinkPhase, LoginCause, Tracking};
use crate::mail::Sign;
use crate::session::account::AccountId;
use crate::session::greet::take_packet;
use crate::session::user_variables::OnLink;
use crate::session::{Phase, Session, Wait};
use crate::slots::Key;
use crate::snapshot::{Address, BackendId};
use crate::state::{Defaults, SchemaId, StateId, login_collation};
use crate::wire::Wire;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use weir_net::auth::{Channel, ClientAuth, Reply};
use weir_net::command::{ChangeUser, Command};
use weir_net::compress::{Agreed, Compressed};
use weir_net::flags::Capabilities;
use weir_net::flavour::Flavour;
use weir_net::greeting::Greeting;
use weir_net::limits::CONNECT_ATTRIBUTES_BYTES_MAX;
use weir_net::login::{Login, put_tls_request};
use weir_net::outcome::{ErrPacket, OkPacket};
use weir_net::packet;
use weir_net::scan::ReplyKind;
use weir_net::tls::Tls;
use weir_net::writer::Put;

impl Engine {
    pub(crate) fn link_dialed(&mut self, link: Key<Link>) {
        self.links[link].phase = LinkPhase::Greeting;
        self.counters.connections_open += 1;
    }

    pub(crate) fn link_dial_failed(&mut self, link: Key<Link>, fault: DialFault) {
        let backend = self.links[link].backend;
        self.counters.dials_failed += 1;
        self.traffic[backend.0 as usize].broke();
        self.backend_suspect(
            backend,
            match fault {
                DialFault::Refused => "connection refused",
                DialFault::TimedOut => "connecting timed out",
                DialFault::Unreachable => "unreachable",
                DialFault::Other => "connecting failed",
            },
            Sign::Silent,
        );
        self.drop_link(link);
    }

    /// Packets of the login, as far as they have come.
    pub(crate) fn run_login(&mut self, link: Key<Link>) {
        loop {
            let Some(l) = self.links.get_mut(link) else { return };
            if !matches!(l.phase, LinkPhase::Greeting | LinkPhase::Login { .. }) {
                if !l.inbound.is_empty() {
                    return self.link_lost(link, "bytes behind the end of a login");
                }
                return;
            }
            match take_packet(&mut l.inbound, &mut self.blocks) {
                Ok(None) => return,
                Err(_) => return self.link_lost(link, "a login packet of the backend is too long"),
                Ok(Some((seq, payload))) => self.login_packet_came(link, seq, &payload),
            }
        }
    }

    fn login_packet_came(&mut self, link: Key<Link>, seq: u8, payload: &[u8]) {
        if matches!(self.links[link].phase, LinkPhase::Greeting) {
            if payload.first() == Some(&0xff) {
                return self.login_refused(link, payload);
            }
            return self.greeting_came(link, seq, payload);
        }
        let LinkPhase::Login { auth, .. } = &mut self.links[link].phase else { return };
        match auth.handle(payload) {
            Reply::Send(answer) => {
                let wire = self.links[link].wire;
                let mut bytes = Vec::new();
                packet::put(&mut bytes, seq.wrapping_add(1), &answer);
                self.follow_reply(wire);
                self.say(wire, &bytes);
            }
            Reply::Wait => {}
            Reply::Ok => self.logged_in(link, payload),
            Reply::Err => self.login_refused(link, payload),
            Reply::Broken(what) => self.link_lost(link, what.0),
            Reply::Unsupported(plugin) => {
                let why =
                    crate::session::refuse::Refusal::AuthUnsupported(String::from_utf8_lossy(&plugin).into_owned());
                self.login_refused(link, &why.payload());
            }
        }
    }

    fn greeting_came(&mut self, link: Key<Link>, seq: u8, payload: &[u8]) {
        let Ok(greeting) = Greeting::decode(payload) else {
            return self.link_lost(link, "the backend's greeting is not MySQL's");
        };
        let l = &mut self.links[link];
        let class = self.classes.get(l.class);
        l.caps = class.login_caps(greeting.capabilities);
        let address = self.snapshot.backend(l.backend).address.clone();
        let offers = |flag| greeting.capabilities.contains(flag);
        let tls = match (&self.snapshot.keys.backend_tls, &address) {
            (Some(tls), Address::Tcp(address)) if offers(Capabilities::SSL) => Some((tls.config.clone(), *address)),
            (Some(tls), Address::Tcp(_)) if tls.is_required => {
                return self.link_lost(link, "the backend offers no TLS, which backend_tls wants");
            }
            _ => None,
        };
        let compression = self.snapshot.settings.backend_compression.filter(|agreed| offers(agreed.flag()));
        l.caps = l.caps | compression.map_or(Capabilities::empty(), Agreed::flag);
        l.compression = compression;
        l.caps = l.caps | if tls.is_some() { Capabilities::SSL } else { Capabilities::empty() };
        l.thread_id = greeting.connection_id;
        l.nonce = greeting.nonce;
        l.charset = greeting.charset;
        l.flavour = Flavour::of(greeting.version);
        let account = self.accounts.get(l.account);
        let channel = if tls.is_some() { Channel::Secure } else { channel_of(&address) };
        let mut auth = Box::new(ClientAuth::new(&*account.user, account.password.clone(), channel));
        let schema = self.states.schema_name(l.schema);
        if schema.is_empty() {
            l.caps = l.caps.minus(Capabilities::CONNECT_WITH_DB);
        }
        let login = Login {
            capabilities: l.caps,
            max_packet: 1 << 30,
            charset: class.charset,
            user: account.user.to_vec(),
            auth: auth.response(greeting.plugin, &greeting.nonce),
            schema: (!schema.is_empty()).then(|| schema.to_vec()),
            plugin: Some(greeting.plugin.to_vec()),
            attributes: with_own(&account.attributes, l.token),
            zstd_level: match compression {
                Some(Agreed::Zstd { level }) => level,
                _ => 0,
            },
        };
        l.phase = LinkPhase::Login { auth, cause: LoginCause::Open };
        let wire = l.wire;
        let mut seq = seq;
        if let Some((config, address)) = tls {
            seq = seq.wrapping_add(1);
            if !self.encrypt_link(wire, seq, &login, config, address) {
                return self.link_lost(link, "TLS with the backend could not begin");
            }
        }
        let mut bytes = Vec::with_capacity(256);
        let at = packet::begin(&mut bytes, seq.wrapping_add(1));
        login.encode(&mut bytes);
        packet::finish(&mut bytes, at);
        self.say(wire, &bytes);
    }

    /// Makes a leased connection the session's own account's: everything that was left on it is gone afterwards.
    pub(crate) fn change_user(&mut self, link: Key<Link>, account_id: AccountId, schema: SchemaId) {
        self.accounts.hold(account_id);
        let l = &mut self.links[link];
        self.accounts.let_go(std::mem::replace(&mut l.account, account_id));
        let account = self.accounts.get(account_id);
        let channel = match self.wires[l.wire].is_encrypted() {
            true => Channel::Secure,
            false => channel_of(&self.snapshot.backend(l.backend).address),
        };
        let plugin = l.flavour.plugin();
        let mut auth = Box::new(ClientAuth::new(&*account.user, account.password.clone(), channel));
        let proof = auth.response(plugin, &l.nonce);
        let mut block = Vec::new();
        // It is this client's now; one that is opened is for whoever of its account logged in last.
        let of_lessee = match l.lessee {
            Some(Lessee::Session(session)) => self.sessions.get(session).map(|s| s.attributes.clone()),
            _ => None,
        };
        for (name, value) in with_own(&of_lessee.unwrap_or_else(|| account.attributes.clone()), l.token) {
            block.put_lenenc_bytes(&name);
            block.put_lenenc_bytes(&value);
        }
        let request = ChangeUser {
            user: &account.user,
            auth: &proof,
            schema: self.states.schema_name(schema),
            charset: u16::from(self.classes.get(l.class).charset),
            plugin: Some(plugin),
            attributes: &block,
        };
        let mut payload = Vec::new();
        if request.encode(&mut payload, l.caps).is_err() {
            return self.link_lost(link, "a change of user that does not fit the protocol");
        }
        l.phase = LinkPhase::Login { auth, cause: LoginCause::Change };
        l.schema = schema;
        l.state = StateId(0);
        l.user_variables = OnLink::default();
        l.named = Default::default();
        l.statements.clear();
        l.undisturbed = false;
        let wire = l.wire;
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        packet::put(&mut bytes, 0, &payload);
        self.begin_command(wire);
        self.say(wire, &bytes);
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
    }

    /// What the connection has where nothing was set.
    pub(crate) fn defaults_of(&self, link: Key<Link>) -> Defaults {
        let l = &self.links[link];
        let collation = login_collation(self.classes.get(l.class).charset, l.charset);
        let charset = l.flavour.charset_of_login(self.classes.get(l.class).charset);
        Defaults { collation, charset, ignores_space: l.caps.contains(Capabilities::IGNORE_SPACE) }
    }

    fn logged_in(&mut self, link: Key<Link>, payload: &[u8]) {
        let l = &mut self.links[link];
        let Ok(ok) = OkPacket::decode(payload, l.caps) else {
            return self.link_lost(link, "the backend's OK is malformed");
        };
        l.status = ok.status;
        l.proved_at = self.now;
        if let (LinkPhase::Login { cause: LoginCause::Open, .. }, Some(agreed)) = (&l.phase, l.compression) {
            let wire = l.wire;
            self.wires[wire].compress(&mut self.blocks, &mut self.codecs, Compressed::to_server(agreed));
        }
        self.begin_setup(link);
    }

    /// Asks for TLS and begins it; the login waits behind the handshake.
    fn encrypt_link(
        &mut self,
        wire: Key<Wire>,
        seq: u8,
        login: &Login,
        config: Arc<rustls::ClientConfig>,
        address: SocketAddr,
    ) -> bool {
        let Ok(tls) = Tls::client(config, ServerName::IpAddress(address.ip().into())) else { return false };
        let mut bytes = Vec::with_capacity(36);
        let at = packet::begin(&mut bytes, seq);
        put_tls_request(&mut bytes, login.capabilities, login.max_packet, login.charset);
        packet::finish(&mut bytes, at);
        self.say(wire, &bytes);
        self.wires[wire].encrypt(tls);
        self.touch(wire);
        true
    }

    /// After a login, a change of user or a reset: the trackers again.
    pub(crate) fn begin_setup(&mut self, link: Key<Link>) {
        let l = &mut self.links[link];
        let cause = match l.phase {
            LinkPhase::Login { cause, .. } => cause,
            // Cleaned: it goes back to the pool, which knows it already.
            _ => LoginCause::Change,
        };
        l.phase = LinkPhase::Setup { cause };
        l.tracking = Tracking::Gates;
        let flavour = l.flavour;
        let text = std::mem::take(&mut self.setup);
        self.inject(link, ReplyKind::Query, Purpose::Setup, Command::Query, text.of(flavour));
        self.setup = text;
    }

    pub(crate) fn setup_done(&mut self, link: Key<Link>) {
        let l = &mut self.links[link];
        let LinkPhase::Setup { cause } = l.phase else { return };
        self.arm_link(link, crate::time::Instant::NEVER);
        let l = &mut self.links[link];
        match (cause, l.lessee) {
            (LoginCause::Change, Some(Lessee::Session(session))) => {
                l.phase = LinkPhase::Leased;
                match self.sessions[session].phase {
                    Phase::Verify(_) => self.verified(session),
                    Phase::Asking => self.conclude(link),
                    _ => self.proceed(session),
                }
            }
            (LoginCause::Change, Some(Lessee::Index)) => {
                l.phase = LinkPhase::Leased;
                self.ask_index(link);
            }
            (LoginCause::Change, Some(Lessee::Kill(errand))) => {
                l.phase = LinkPhase::Leased;
                self.run_errand(link, errand);
            }
            (LoginCause::Change, None) => self.to_pool(link),
            (LoginCause::Open, Some(Lessee::Kill(errand))) => {
                l.phase = LinkPhase::Leased;
                (l.opened_at, l.rested_at) = (self.now, self.now);
                self.prepare_errand(link, errand);
            }
            (LoginCause::Open, _) => {
                l.phase = LinkPhase::Idle;
                (l.opened_at, l.rested_at) = (self.now, self.now);
                let slot = l.slot;
                self.pool.opened(self.now.0, slot);
            }
        }
    }

    /// Questions of the gate's own that wait for a connection of an account that is let in no more: nobody would end their
    /// dials, one after the other, each refused.
    fn give_up_questions(&mut self, account: AccountId, backend: BackendId) {
        let here = |ticket| self.pool.backend_of(ticket) == Some(backend.0);
        let is_hopeless = |waiter: &Waiter| match waiter {
            Waiter::Index(_, asker) => *asker == account,
            Waiter::Session(_) => false,
        };
        let all = self.waiters.iter().map(|(ticket, waiter)| (*ticket, *waiter));
        let hopeless: Vec<_> = all.filter(|(ticket, waiter)| is_hopeless(waiter) && here(*ticket)).collect();
        for (ticket, waiter) in hopeless {
            self.pool.cancel(ticket);
            self.waiters.remove(&ticket);
            if let Waiter::Index(of, _) = waiter {
                self.index_line_failed(of);
            }
        }
    }

    /// The backend said no, in its own words: whoever waits for this very login hears them.
    fn login_refused(&mut self, link: Key<Link>, err: &[u8]) {
        self.counters.dials_failed += 1;
        let l = &self.links[link];
        let (account, backend, schema) = (l.account, l.backend, l.schema);
        let code = ErrPacket::decode(err).map_or(0, |e| e.code);
        // Too many connections there, or host blocked: not the client's fault; its waiters stay in line.
        if matches!(code, 1040 | 1129 | 1130 | 1158..=1161) {
            self.backend_suspect(backend, "the backend accepts no more connections", Sign::Refuses);
            return self.drop_link(link);
        }
        match self.links[link].lessee.take() {
            Some(Lessee::Session(session)) => {
                self.sessions[session].lease = None;
                self.login_refused_for(session, err);
            }
            // It has as many connections as it may: not for ever.
            Some(Lessee::Kill(errand)) if matches!(code, 1203 | 1226) => self.errand_lost(errand),
            Some(Lessee::Kill(errand)) => self.errand_refused(&errand),
            Some(Lessee::Index) | None => {}
        }
        self.drop_link(link);
        if !matches!(code, 1044 | 1049) {
            self.give_up_questions(account, backend);
        }
        let waiting: Vec<Key<Session>> = self
            .waiters
            .iter()
            .filter_map(|(ticket, waiter)| match waiter {
                Waiter::Session(s) if self.pool.backend_of(*ticket) == Some(backend.0) => Some(*s),
                _ => None,
            })
            .filter(|s| self.sessions[*s].account == account)
            // "Unknown database" and "access denied to database" are about this schema.
            .filter(|s| !matches!(code, 1044 | 1049) || self.wants_schema(*s, schema))
            .collect();
        for session in waiting {
            match code {
                1044 | 1049 => self.schema_refused_for(session, err),
                _ => self.login_refused_for(session, err),
            }
        }
    }

    fn wants_schema(&self, session: Key<Session>, schema: SchemaId) -> bool {
        let s = &self.sessions[session];
        s.schema == schema && !matches!(&s.phase, Phase::Waiting(request, _) if request.schemaless.is_some())
    }

    /// A schema that was dropped or forbidden since the session chose it: an error for its statement, no end.
    fn schema_refused_for(&mut self, session: Key<Session>, err: &[u8]) {
        match std::mem::replace(&mut self.sessions[session].phase, Phase::Ready) {
            Phase::Waiting(mut request, Wait::Line(ticket)) => {
                self.pool.cancel(ticket);
                self.waiters.remove(&ticket);
                let code = ErrPacket::decode(err).map_or(0, |e| e.code);
                if code != 1049 || request.schemaless.is_some() {
                    return self.answer(session, request, err);
                }
                request.schemaless = Some(err.into());
                self.sessions[session].phase = Phase::Waiting(request, Wait::Primary);
                self.decide_anew(session);
            }
            other => {
                self.sessions[session].phase = other;
                self.login_refused_for(session, err);
            }
        }
    }

    fn login_refused_for(&mut self, session: Key<Session>, err: &[u8]) {
        match &self.sessions[session].phase {
            Phase::Verify(_) => self.verify_refused(session, err),
            _ => {
                // The account was changed or locked while the session lived: MySQL would let the session go on with
                // its connection, but there is none any more.
                let seq = 1;
                self.say_packet(session, seq, err);
                self.end_session(session, crate::session::farewell::Parting::AfterSending);
            }
        }
    }

    /// Sends a command of the gate's own.
    pub(crate) fn inject(&mut self, link: Key<Link>, kind: ReplyKind, purpose: Purpose, command: Command, rest: &[u8]) {
        debug_assert!(rest.len() < LOGIN_PACKET_BYTES_MAX || command == Command::StmtPrepare);
        let l = &mut self.links[link];
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let at = packet::begin(&mut bytes, 0);
        bytes.put_u8(command as u8);
        if command == Command::Query && l.caps.contains(Capabilities::QUERY_ATTRIBUTES) {
            bytes.put_bytes(&[0, 1]);
        }
        bytes.put_bytes(rest);
        packet::finish(&mut bytes, at);
        l.undisturbed = false;
        let wire = l.wire;
        self.begin_command(wire);
        self.expect(link, Expect { kind, purpose });
        self.say(wire, &bytes);
        self.scratch = bytes;
    }

    /// What is said next to a backend is a command.
    pub(crate) fn begin_command(&mut self, wire: Key<Wire>) {
        let wire = &mut self.wires[wire];
        if wire.layers.is_some() {
            wire.begin_command();
        }
    }

    /// What is said next to a backend goes on with what it has just said.
    pub(crate) fn follow_reply(&mut self, wire: Key<Wire>) {
        if let Some(compressed) = self.wires[wire].compressed() {
            compressed.follow();
        }
    }

    pub(crate) fn expect(&mut self, link: Key<Link>, expect: Expect) {
        let l = &mut self.links[link];
        if l.expects.is_empty() {
            l.scan.restart(expect.kind, l.caps);
        }
        l.expects.push_back(expect);
    }
}

fn channel_of(address: &Address) -> Channel {
    match address {
        Address::Tcp(_) => Channel::Plain,
        Address::Unix(_) => Channel::Secure,
    }
}

/// The client's attributes and Weir's own (S51), which stand last and have their place in any case: the server refuses a login
/// with more than 64 KiB of them.
fn with_own(client: &[(Vec<u8>, Vec<u8>)], token: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let own = [
        (b"_weir_version".to_vec(), env!("CARGO_PKG_VERSION").as_bytes().to_vec()),
        (TOKEN_ATTRIBUTE.as_bytes().to_vec(), token_text(token).into_bytes()),
    ];
    let mut left = CONNECT_ATTRIBUTES_BYTES_MAX - own.iter().map(attribute_bytes).sum::<usize>();
    let fits = |pair: &&(Vec<u8>, Vec<u8>)| {
        let rest = left.checked_sub(attribute_bytes(pair));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let mut all: Vec<_> = client.iter().filter(fits).cloned().collect();
    all.extend(own);
    all
}

fn attribute_bytes((name, value): &(Vec<u8>, Vec<u8>)) -> usize {
    let mut encoded = Vec::new();
    encoded.put_lenenc_bytes(name);
    encoded.put_lenenc_bytes(value);
    encoded.len()
}
