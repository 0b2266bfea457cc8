//! The handshake from the client's side: greeting, TLS if wanted, login, authentication. Payloads in, payloads out.

use super::error::{ClientError, ServerError};
use super::options::{ClientTls, Options, Target};
use weir_net::auth::{Channel, ClientAuth, NATIVE, NONCE_BYTES, Reply};
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::login::{Login, put_tls_request};
use weir_net::outcome::{ERR_HEADER, OkPacket};

/// What both sides agreed upon.
#[derive(Clone, Debug)]
pub struct Session {
    /// As in the greeting.
    pub version: String,
    pub connection_id: u32,
    pub server_capabilities: Capabilities,
    /// What holds for this connection.
    pub capabilities: Capabilities,
    /// The server's default collation.
    pub charset: u8,
    /// Of the OK that ended the login.
    pub status: Status,
    /// The plugin that the greeting named.
    pub plugin: Vec<u8>,
    pub nonce: [u8; NONCE_BYTES],
}

pub enum Step {
    Send(Vec<u8>),
    /// Send this, start TLS, then call [`Handshake::login`].
    StartTls(Vec<u8>),
    /// Another packet comes.
    Wait,
    Done(Session),
}

pub struct Handshake<'a> {
    options: &'a Options,
    auth: ClientAuth,
    session: Option<Session>,
}

impl<'a> Handshake<'a> {
    pub fn new(options: &'a Options) -> Handshake<'a> {
        let is_secure = matches!(options.target, Target::Unix(_)) || !matches!(options.tls, ClientTls::Off);
        let channel = if is_secure { Channel::Secure } else { Channel::Plain };
        let auth = ClientAuth::new(options.user.as_bytes(), options.password.clone(), channel);
        Handshake { options, auth, session: None }
    }

    pub fn handle(&mut self, payload: &[u8]) -> Result<Step, ClientError> {
        if self.session.is_none() {
            return self.handle_greeting(payload);
        }
        match self.auth.handle(payload) {
            Reply::Send(answer) => Ok(Step::Send(answer)),
            Reply::Wait => Ok(Step::Wait),
            Reply::Ok => self.handle_ok(payload),
            Reply::Err => Err(ServerError::decode(payload)?.into()),
            Reply::Unsupported(plugin) => {
                let plugin = String::from_utf8_lossy(&plugin).into_owned();
                Err(ClientError::Unsupported(format!("the authentication plugin {plugin} on this channel")))
            }
            Reply::Broken(malformed) => Err(malformed.into()),
        }
    }

    fn handle_greeting(&mut self, payload: &[u8]) -> Result<Step, ClientError> {
        if payload.first() == Some(&ERR_HEADER) {
            return Err(ServerError::decode(payload)?.into());
        }
        let greeting = Greeting::decode(payload)?;
        let mut capabilities = self.options.capabilities.minus(NOT_SPOKEN) | NEEDED;
        if !matches!(self.options.tls, ClientTls::Off) {
            capabilities = capabilities | Capabilities::SSL;
        }
        capabilities = capabilities.intersect(greeting.capabilities);
        self.session = Some(Session {
            version: String::from_utf8_lossy(greeting.version).into_owned(),
            connection_id: greeting.connection_id,
            server_capabilities: greeting.capabilities,
            capabilities,
            charset: greeting.charset,
            status: greeting.status,
            plugin: greeting.plugin.to_vec(),
            nonce: greeting.nonce,
        });
        if matches!(self.options.tls, ClientTls::Off) {
            return self.login().map(Step::Send);
        }
        if !capabilities.contains(Capabilities::SSL) {
            return Err(ClientError::Tls("the server does not offer it".to_string()));
        }
        let mut request = Vec::new();
        put_tls_request(&mut request, capabilities, MAX_PACKET_BYTES, self.options.charset);
        Ok(Step::StartTls(request))
    }

    /// The payload of the login, which follows the greeting, or TLS.
    pub fn login(&mut self) -> Result<Vec<u8>, ClientError> {
        let session = self.session.as_mut().ok_or(ClientError::Shape("login before the greeting"))?;
        let names_plugin = session.capabilities.contains(Capabilities::PLUGIN_AUTH);
        // A client that cannot name a plugin is taken for one that knows this only.
        let plugin = if names_plugin { session.plugin.as_slice() } else { NATIVE };
        let response = self.auth.response(plugin, &session.nonce);
        let login = Login {
            capabilities: session.capabilities,
            max_packet: MAX_PACKET_BYTES,
            charset: self.options.charset,
            user: self.options.user.clone().into_bytes(),
            auth: response,
            schema: self.options.schema.clone().map(String::into_bytes),
            plugin: names_plugin.then(|| self.auth.plugin().to_vec()),
            attributes: attributes(self.options),
            zstd_level: 0,
        };
        session.capabilities = login.capabilities_sent();
        let mut payload = Vec::new();
        login.encode(&mut payload);
        Ok(payload)
    }

    fn handle_ok(&mut self, payload: &[u8]) -> Result<Step, ClientError> {
        let mut session = self.session.take().ok_or(ClientError::Shape("OK before the greeting"))?;
        session.status = OkPacket::decode(payload, session.capabilities)?.status;
        Ok(Step::Done(session))
    }
}

fn attributes(options: &Options) -> Vec<(Vec<u8>, Vec<u8>)> {
    options.attributes.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect()
}

/// Without these there is no login that is spoken here.
const NEEDED: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::SECURE_CONNECTION);

const NOT_SPOKEN: Capabilities = Capabilities::COMPRESS
    .union(Capabilities::ZSTD_COMPRESSION)
    .union(Capabilities::MULTI_FACTOR_AUTH)
    .union(Capabilities::SSL)
    // These follow from what the login holds.
    .union(Capabilities::CONNECT_WITH_DB);

/// What libmysqlclient says: 16 MiB. Servers don't heed it.
const MAX_PACKET_BYTES: u32 = 1 << 24;
