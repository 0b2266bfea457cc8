//! The PROXY header: a client that comes through a balancer, and who it is by that balancer's word (S46).
//!
//! ```text
//!   accept ─► from a network of balancers? ─yes─► Greet::Proxy: header ─► greeting ─► Greet::Login
//!                        └────────no─────────────────────────────────────────┘
//! ```
//! Invariant: from such a network no session begins without a header, and from elsewhere none with one, so that nobody can pass for
//! somebody else. What is wrong with a header is logged with the address that it came from. The time for it is the login's.

use crate::engine::Engine;
use crate::mail::Level;
use crate::session::refuse::Refusal;
use crate::session::{Greet, ListenerId, Peer, Phase, Session};
use crate::slots::Key;
use weir_net::limits::PROXY_V2_BYTES_MAX;
use weir_net::proxy::{self, Told};

impl Engine {
    pub(crate) fn is_proxied(&self, peer: Peer, listener: ListenerId) -> bool {
        let networks = self.snapshot.settings.proxy_networks_at(listener);
        !networks.is_empty()
            && networks.has(match peer {
                Peer::Tcp(address) => Some(address.ip()),
                Peer::Unix => None,
            })
    }

    /// The header as far as it has come.
    pub(crate) fn run_proxy_header(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        let mut bytes = Vec::new();
        s.inbound.copy_to(&self.blocks, 0, s.inbound.len().min(PROXY_V2_BYTES_MAX), &mut bytes);
        let (told, len) = match proxy::decode(&bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return,
            Err(why) => return self.proxy_header_refused(session, why.0),
        };
        s.inbound.consume(&mut self.blocks, len);
        match told {
            Told::Nothing => {}
            Told::Tcp(address) => s.peer = Peer::Tcp(address),
            Told::Unix => s.peer = Peer::Unix,
        }
        s.phase = Phase::Greet(Greet::Login);
        if !s.inbound.is_empty() {
            self.runnable.push_back(session);
        }
        match self.comes_too_fast(self.sessions[session].peer) {
            Ok(()) => self.say_greeting(session),
            Err(why) => self.part_with(session, 0, &why),
        }
    }

    pub(crate) fn proxy_header_refused(&mut self, session: Key<Session>, why: &'static str) {
        self.counters.client_errors += 1;
        let detail = format!("{}: {why}", self.sessions[session].peer);
        self.log(Level::Warn, "a PROXY header was refused", detail);
        self.part_with(session, 0, &Refusal::BadHandshake(why));
    }

    /// Why bytes that are no login came from where no header is taken, if it is that.
    pub(crate) fn is_uncalled_for_header(&self, session: Key<Session>) -> bool {
        let inbound = &self.sessions[session].inbound;
        let mut bytes = Vec::new();
        inbound.copy_to(&self.blocks, 0, inbound.len().min(PROXY_V2_BYTES_MAX), &mut bytes);
        proxy::decode(&bytes).is_ok()
    }
}
