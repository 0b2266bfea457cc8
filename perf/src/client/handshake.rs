//! `Handshake`: a login as payloads in and payloads out, for sockets that block and for those that don't.
//!
//! ```text
//! Greeted? --greeting--> Proving --OK--> done
//! ```
//! Invariant: each payload of the server is answered once, with the number that follows its own. It speaks no TLS.
//! Rule: MySQL "Connection Phase".

use weir_net::auth::{Channel, ClientAuth, Reply};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::outcome::ERR_HEADER;
use weir_net::secret::Secret;

use super::{Account, refused};
use crate::error::Fault;

#[derive(Debug)]
pub struct Handshake<'a> {
    account: &'a Account,
    caps: Capabilities,
    connection_id: u32,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The server speaks first.
    Expecting,
    Proving(Box<ClientAuth>),
}

/// What follows a payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Send { seq: u8, payload: Vec<u8> },
    Wait,
    Done,
}

impl<'a> Handshake<'a> {
    pub fn new(account: &'a Account) -> Self {
        Self { account, caps: SPOKEN, connection_id: 0, phase: Phase::Expecting }
    }

    /// What both sides can do, as far as the server has said.
    pub fn capabilities(&self) -> Capabilities {
        self.caps
    }

    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    pub fn handle(&mut self, seq: u8, payload: &[u8]) -> Result<Step, Fault> {
        let seq = seq.wrapping_add(1);
        let auth = match &mut self.phase {
            Phase::Expecting if payload.first() == Some(&ERR_HEADER) => return Err(refused(payload)?),
            Phase::Expecting => return Ok(Step::Send { seq, payload: self.answer_greeting(payload)? }),
            Phase::Proving(auth) => auth,
        };
        match auth.handle(payload) {
            Reply::Ok => Ok(Step::Done),
            Reply::Wait => Ok(Step::Wait),
            Reply::Send(payload) => Ok(Step::Send { seq, payload }),
            Reply::Err => Err(refused(payload)?),
            Reply::Unsupported(plugin) => {
                let plugin = String::from_utf8_lossy(&plugin).into_owned();
                Err(Fault::Program(format!("the server wants the authentication plugin {plugin}")))
            }
            Reply::Broken(malformed) => Err(malformed.into()),
        }
    }

    fn answer_greeting(&mut self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let greeting = Greeting::decode(payload)?;
        let account = self.account;
        self.caps = SPOKEN.intersect(greeting.capabilities);
        self.connection_id = greeting.connection_id;
        let password = Secret::from(account.password.as_bytes());
        let mut auth = ClientAuth::new(account.user.as_bytes(), password, Channel::Plain);
        let response = auth.response(greeting.plugin, &greeting.nonce);
        let login = Login {
            capabilities: self.caps,
            max_packet: 1 << 24,
            charset: 255,
            user: account.user.clone().into_bytes(),
            auth: response,
            schema: account.schema.clone().map(String::into_bytes),
            plugin: Some(auth.plugin().to_vec()),
            attributes: vec![(b"program_name".to_vec(), b"weir-perf".to_vec())],
            zstd_level: 0,
        };
        let mut payload = Vec::new();
        login.encode(&mut payload);
        self.phase = Phase::Proving(Box::new(auth));
        Ok(payload)
    }
}

/// As a driver of today without anything special: no attributes of queries, no trackers.
const SPOKEN: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC_DATA.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::DEPRECATE_EOF.0,
);
