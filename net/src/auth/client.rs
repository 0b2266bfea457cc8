//! The gate as a client of a backend: it proves the password that its own client has claimed.
//!
//! ```text
//! Scrambled --0x04, plain--> KeyAsked --key--> Sent
//!     |-------0x04, secure-------------------> Sent
//!     `-------0x03 --------------------------> Sent      (any state: OK, ERR, another plugin)
//! ```
//! Invariant: the password leaves in the clear only on a secure channel, and encrypted only with a key that the
//! backend sent after it was asked for one. A backend can switch plugins a few times, not for ever.
//! It knows nothing of multiple factors and of `mysql_old_password`.
//! Rule: MySQL "Authentication Methods".

use crate::auth::scramble::{self, NATIVE_BYTES};
use crate::auth::{
    CACHING_SHA2, CLEAR, Channel, FAST_OK, FULL_NEEDED, KEY_REQUEST, MORE_DATA, NATIVE, NONCE_BYTES, Nonce, SHA256,
    SWITCH, rsa,
};
use crate::error::Malformed;
use crate::limits::AUTH_SWITCHES_MAX;
use crate::reader::Reader;
use crate::secret::Secret;

/// What a packet of the backend means.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answer with this payload.
    Send(Vec<u8>),
    /// Nothing to answer; another packet comes.
    Wait,
    /// The payload is the OK packet: authenticated.
    Ok,
    /// The payload is the ERR packet: refused.
    Err,
    /// The backend wants a plugin that isn't spoken here, or not on this channel: its name.
    Unsupported(Vec<u8>),
    /// The backend broke the protocol, or the password can't be sent to it.
    Broken(Malformed),
}

#[derive(Debug)]
pub struct ClientAuth {
    user: Vec<u8>,
    credential: Credential,
    channel: Channel,
    plugin: Plugin,
    nonce: Nonce,
    state: State,
    switches_left: u8,
}

#[derive(Debug)]
enum Credential {
    Password(Secret),
    /// SHA1(password): it does for `mysql_native_password` only.
    NativeStage([u8; NATIVE_BYTES]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    CachingSha2,
    Native,
    Sha256,
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Scrambled,
    KeyAsked,
    Sent,
}

impl ClientAuth {
    pub fn new(user: impl Into<Vec<u8>>, password: Secret, channel: Channel) -> Self {
        Self::with(user.into(), Credential::Password(password), channel)
    }

    /// With what [`crate::auth::Ask::ClaimNative`] brought. A stage of another length than 20 bytes fails at the
    /// backend.
    pub fn with_native_stage(user: impl Into<Vec<u8>>, stage: &Secret, channel: Channel) -> Self {
        let stage = <[u8; NATIVE_BYTES]>::try_from(stage.as_bytes()).unwrap_or_default();
        Self::with(user.into(), Credential::NativeStage(stage), channel)
    }

    fn with(user: Vec<u8>, credential: Credential, channel: Channel) -> Self {
        Self {
            user,
            credential,
            channel,
            plugin: Plugin::CachingSha2,
            nonce: [0; NONCE_BYTES],
            state: State::Scrambled,
            switches_left: AUTH_SWITCHES_MAX,
        }
    }

    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The first response, for the login or `COM_CHANGE_USER`, given the plugin and nonce of the greeting. It is made
    /// for [`ClientAuth::plugin`], which is the greeting's if that is spoken here, and must be sent with that name.
    pub fn response(&mut self, plugin: &[u8], nonce: &[u8]) -> Vec<u8> {
        self.plugin = match &self.credential {
            Credential::NativeStage(_) => Plugin::Native,
            Credential::Password(_) => Plugin::of(plugin, self.channel).unwrap_or(Plugin::CachingSha2),
        };
        self.nonce = [0; NONCE_BYTES];
        for (to, from) in self.nonce.iter_mut().zip(nonce) {
            *to = *from;
        }
        self.switches_left = AUTH_SWITCHES_MAX;
        self.first_response()
    }

    /// The name of the plugin that the last response was made for.
    pub fn plugin(&self) -> &'static [u8] {
        self.plugin.name()
    }

    /// A payload of the backend, until it is [`Reply::Ok`] or [`Reply::Err`].
    pub fn handle(&mut self, payload: &[u8]) -> Reply {
        match payload.split_first() {
            Some((0x00, _)) => Reply::Ok,
            Some((0xff, _)) => Reply::Err,
            Some((&SWITCH, [])) => Reply::Unsupported(b"mysql_old_password".to_vec()),
            Some((&SWITCH, body)) => self.handle_switch(body),
            Some((&MORE_DATA, data)) => self.handle_more(data),
            Some((0x02, body)) => Reply::Unsupported(Reader::new(body).nul_bytes().unwrap_or(body).to_vec()),
            Some(_) | None => Reply::Broken(Malformed("neither an authentication packet nor its end")),
        }
    }

    fn handle_switch(&mut self, body: &[u8]) -> Reply {
        let Some(switches_left) = self.switches_left.checked_sub(1) else {
            return Reply::Broken(Malformed("authentication switched too often"));
        };
        self.switches_left = switches_left;
        let mut reader = Reader::new(body);
        let name = reader.nul_bytes().unwrap_or_else(|_| reader.rest());
        let native_only = matches!(self.credential, Credential::NativeStage(_));
        let plugin = match Plugin::of(name, self.channel) {
            Some(plugin) if !native_only || plugin == Plugin::Native => plugin,
            Some(_) | None => return Reply::Unsupported(name.to_vec()),
        };
        if plugin != Plugin::Clear {
            match reader.array() {
                Ok(nonce) => self.nonce = nonce,
                Err(_) => {
                    return Reply::Broken(Malformed("authentication switched without a nonce"));
                }
            }
        }
        self.plugin = plugin;
        Reply::Send(self.first_response())
    }

    fn handle_more(&mut self, data: &[u8]) -> Reply {
        match (self.state, self.plugin, data) {
            (State::Scrambled, Plugin::CachingSha2, [FAST_OK]) => {
                self.state = State::Sent;
                Reply::Wait
            }
            (State::Scrambled, Plugin::CachingSha2, [FULL_NEEDED]) => match self.channel {
                Channel::Secure => {
                    self.state = State::Sent;
                    Reply::Send(self.password_and_nul())
                }
                Channel::Plain => {
                    self.state = State::KeyAsked;
                    Reply::Send(vec![KEY_REQUEST])
                }
            },
            (State::KeyAsked, _, public_pem) => {
                self.state = State::Sent;
                let masked = Secret::new({
                    let mut bytes = self.password_and_nul();
                    scramble::mask(&mut bytes, &self.nonce);
                    bytes
                });
                match rsa::encrypt_oaep(public_pem, masked.as_bytes()) {
                    Ok(cipher) => Reply::Send(cipher),
                    Err(malformed) => Reply::Broken(malformed),
                }
            }
            _ => Reply::Broken(Malformed("authentication data out of turn")),
        }
    }

    /// The first payload of the chosen plugin. An empty password is sent as nothing where a scramble is due, and as a
    /// single NUL where the password is.
    fn first_response(&mut self) -> Vec<u8> {
        self.state = State::Scrambled;
        match (self.plugin, &self.credential) {
            (Plugin::Native, Credential::NativeStage(stage)) => scramble::native(stage, &self.nonce).to_vec(),
            (Plugin::Native | Plugin::CachingSha2, Credential::Password(password)) if password.is_empty() => Vec::new(),
            (Plugin::Native, Credential::Password(password)) => {
                scramble::native(&scramble::native_stage(password.as_bytes()), &self.nonce).to_vec()
            }
            (Plugin::CachingSha2, Credential::Password(password)) => {
                scramble::caching_sha2(password.as_bytes(), &self.nonce).to_vec()
            }
            (Plugin::Sha256, Credential::Password(password))
                if self.channel == Channel::Plain && !password.is_empty() =>
            {
                self.state = State::KeyAsked;
                vec![SHA256_KEY_REQUEST]
            }
            (Plugin::Sha256 | Plugin::Clear, Credential::Password(_)) => {
                self.state = State::Sent;
                self.password_and_nul()
            }
            // A stage answers for native only, which response() and handle_switch() see to.
            (_, Credential::NativeStage(_)) => Vec::new(),
        }
    }

    fn password_and_nul(&self) -> Vec<u8> {
        match &self.credential {
            Credential::Password(password) => [password.as_bytes(), &[0]].concat(),
            Credential::NativeStage(_) => vec![0],
        }
    }
}

/// `sha256_password` asks for the key with another byte than `caching_sha2_password`.
const SHA256_KEY_REQUEST: u8 = 0x01;

impl Plugin {
    /// The plugin of this name, if it is spoken on this channel.
    fn of(name: &[u8], channel: Channel) -> Option<Self> {
        match name {
            CACHING_SHA2 => Some(Self::CachingSha2),
            NATIVE => Some(Self::Native),
            SHA256 => Some(Self::Sha256),
            CLEAR if channel == Channel::Secure => Some(Self::Clear),
            _ => None,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::CachingSha2 => CACHING_SHA2,
            Self::Native => NATIVE,
            Self::Sha256 => SHA256,
            Self::Clear => CLEAR,
        }
    }
}
