//! The gate as a server: which password does the client claim?
//!
//! ```text
//! start --> Claim                      scramble of the known password, or an empty password
//!   |-----> Full --> [KeySent] ------> Claim     the client sends the password itself
//!   `-----> Switched --> as start, but without a second switch
//! ```
//! Invariant: at most one `AuthSwitchRequest` per authentication, because clients give up at a second one. After a
//! `Claim`, `ClaimNative` or `Refuse` it is over.
//!
//! It does not decide whether the claim is right. A scramble that doesn't match what is known is not wrong either:
//! the password may have changed, so the client is asked for it in full, and the backend judges.
//!
//! Which way is taken for which client:
//! - `caching_sha2_password`: fast if the password is known, else full. If only the native hash is known and the
//!   channel is plain, a switch to native, because most clients refuse the full way there unless told otherwise.
//! - `mysql_native_password`: the response counts if it was made for the greeting's nonce and matches, else a switch
//!   to `caching_sha2_password`.
//! - `mysql_clear_password` on a secure channel: taken. All else is switched.
//!
//! An empty response is an empty password only where the client had the nonce of its plugin: a client that prefers
//! another plugin than the greeting's, and many in `COM_CHANGE_USER`, send an empty one to be given a nonce.
//! Rule: MySQL "Caching_sha2_password information", "Protocol::AuthSwitchRequest".

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::auth::rsa::RsaKey;
use crate::auth::scramble::{self, NATIVE_BYTES};
use crate::auth::{CACHING_SHA2, CLEAR, Channel, FULL_NEEDED, KEY_REQUEST, MORE_DATA, NATIVE, Nonce, SWITCH};
use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::secret::Secret;

/// What the gate knows about the account beforehand.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    Nothing,
    /// The password that a backend accepted last.
    Password(&'a Secret),
    /// SHA1(SHA1(password)), as `mysql.user` holds it for `mysql_native_password`.
    NativeHash([u8; NATIVE_BYTES]),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send this payload, then give the client's next one to [`ServerAuth::handle`].
    Send(Vec<u8>),
    /// Log in to the backend with this. With `fast`, [`crate::auth::FAST_AUTH_OK`] goes to the client
    /// before the OK packet.
    Claim { password: Secret, fast: bool },
    /// Log in to the backend with SHA1(password), see [`crate::auth::ClientAuth::with_native_stage`]. Without `known`
    /// the stage doesn't belong to the hash that was known: the backend will refuse it and count the failure.
    ClaimNative { stage: Secret, known: bool },
    /// The client can't be authenticated.
    Refuse(Refusal),
}

/// Why not. All are the client's fault or its settings'; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(Malformed),
    /// Above [`PASSWORD_BYTES_MAX`].
    PasswordTooLong,
    /// The password is needed, and there is neither TLS nor an RSA key to send it by.
    NeedsSecureChannel,
    /// A client without `PLUGIN_AUTH` knows only native scrambles, which don't tell the password (1251).
    ClientTooOld,
    /// The native scramble of a client without `PLUGIN_AUTH` is not that of the known password (1045).
    WrongPassword,
}

#[derive(Debug)]
pub struct ServerAuth {
    nonce: Nonce,
    channel: Channel,
    rsa: Option<RsaKey>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// `mysql_native_password` was asked for, because this hash is known.
    SwitchedNative([u8; NATIVE_BYTES]),
    /// `caching_sha2_password` was asked for; the password if it is known.
    SwitchedSha2(Option<Secret>),
    /// The password in full was asked for.
    Full,
    /// So it was, and the client has the public key.
    KeySent,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Login,
    ChangeUser,
}

impl ServerAuth {
    /// `nonce` is the greeting's, from [`crate::auth::nonce_from_random`]; switches use it too, so that it stays the
    /// one that the client knows for a later `COM_CHANGE_USER`.
    pub fn new(nonce: Nonce, channel: Channel, rsa: Option<&RsaKey>) -> Self {
        Self { nonce, channel, rsa: rsa.cloned(), state: State::Start }
    }

    /// The client's login, after a greeting that announced `caching_sha2_password`.
    pub fn start(&mut self, plugin: Option<&[u8]>, response: &[u8], caps: Capabilities, known: Known<'_>) -> Ask {
        let ask = self.open(Occasion::Login, plugin, response, caps, known);
        self.settle(ask)
    }

    /// The client's `COM_CHANGE_USER`.
    pub fn start_change_user(
        &mut self,
        plugin: Option<&[u8]>,
        response: &[u8],
        caps: Capabilities,
        known: Known<'_>,
    ) -> Ask {
        let ask = self.open(Occasion::ChangeUser, plugin, response, caps, known);
        self.settle(ask)
    }

    /// The client's answer to the last [`Ask::Send`].
    pub fn handle(&mut self, payload: &[u8]) -> Ask {
        let ask = match std::mem::replace(&mut self.state, State::Done) {
            State::SwitchedNative(hash) => self.answer_native_switched(payload, hash),
            State::SwitchedSha2(password) => self.answer_sha2(payload, password.as_ref()),
            State::Full => self.answer_full(payload),
            State::KeySent => self.answer_encrypted(payload),
            State::Start | State::Done => refuse("authentication packet out of turn"),
        };
        self.settle(ask)
    }

    fn settle(&mut self, ask: Ask) -> Ask {
        if !matches!(ask, Ask::Send(_)) {
            self.state = State::Done;
        }
        ask
    }

    fn open(
        &mut self,
        occasion: Occasion,
        plugin: Option<&[u8]>,
        response: &[u8],
        caps: Capabilities,
        known: Known<'_>,
    ) -> Ask {
        let Some(plugin) = plugin.filter(|_| caps.contains(Capabilities::PLUGIN_AUTH)) else {
            return self.answer_old_client(response, known);
        };
        if plugin == CACHING_SHA2 && !(occasion == Occasion::ChangeUser && response.is_empty()) {
            return match known {
                Known::NativeHash(hash) if self.channel == Channel::Plain && !is_empty_password(response) => {
                    self.switch_to_native(hash)
                }
                Known::Password(password) => self.answer_sha2(response, Some(password)),
                Known::Nothing | Known::NativeHash(_) => self.answer_sha2(response, None),
            };
        }
        if plugin == NATIVE && !response.is_empty() {
            return self.answer_native(response, known);
        }
        if plugin == CLEAR && self.channel == Channel::Secure && !response.is_empty() {
            return claim_in_full(response.into());
        }
        match known {
            Known::NativeHash(hash) if self.channel == Channel::Plain => self.switch_to_native(hash),
            Known::Password(password) => self.switch_to_sha2(Some(password)),
            Known::Nothing | Known::NativeHash(_) => self.switch_to_sha2(None),
        }
    }

    /// It can't be switched, so what it sent has to do.
    fn answer_old_client(&self, response: &[u8], known: Known<'_>) -> Ask {
        if response.is_empty() {
            return Ask::Claim { password: Secret::empty(), fast: false };
        }
        if let Some(claim) = claim_native(response, &self.nonce, known) {
            return claim;
        }
        match known {
            Known::Nothing => Ask::Refuse(Refusal::ClientTooOld),
            Known::Password(_) => Ask::Refuse(Refusal::WrongPassword),
            Known::NativeHash(hash) => claim_unknown_stage(response, &self.nonce, &hash),
        }
    }

    /// A native response to the greeting's nonce.
    fn answer_native(&mut self, response: &[u8], known: Known<'_>) -> Ask {
        if let Some(claim) = claim_native(response, &self.nonce, known) {
            return claim;
        }
        match known {
            // Asking for the password would end in NeedsSecureChannel; better let the backend say that it is wrong.
            Known::NativeHash(hash) if !self.can_take_password() => claim_unknown_stage(response, &self.nonce, &hash),
            Known::Password(password) => self.switch_to_sha2(Some(password)),
            Known::Nothing | Known::NativeHash(_) => self.switch_to_sha2(None),
        }
    }

    fn answer_native_switched(&self, response: &[u8], hash: [u8; NATIVE_BYTES]) -> Ask {
        if response.is_empty() {
            return Ask::Claim { password: Secret::empty(), fast: false };
        }
        claim_native(response, &self.nonce, Known::NativeHash(hash))
            .unwrap_or_else(|| claim_unknown_stage(response, &self.nonce, &hash))
    }

    fn answer_sha2(&mut self, response: &[u8], known: Option<&Secret>) -> Ask {
        if is_empty_password(response) {
            return Ask::Claim { password: Secret::empty(), fast: false };
        }
        if let Some(password) = known.filter(|password| !password.is_empty()) {
            let expected = scramble::caching_sha2(password.as_bytes(), &self.nonce);
            if verify_slices_are_equal(&expected, response).is_ok() {
                return Ask::Claim { password: password.clone(), fast: true };
            }
        }
        if !self.can_take_password() {
            return Ask::Refuse(Refusal::NeedsSecureChannel);
        }
        self.state = State::Full;
        Ask::Send(vec![MORE_DATA, FULL_NEEDED])
    }

    /// On a secure channel the password itself; on a plain one the request for the public key, or the encrypted
    /// password of a client that has the key already. A password ends with NUL, so it can't be taken for a request.
    fn answer_full(&mut self, payload: &[u8]) -> Ask {
        if payload == [KEY_REQUEST] {
            let Some(rsa) = &self.rsa else {
                return Ask::Refuse(Refusal::NeedsSecureChannel);
            };
            self.state = State::KeySent;
            let mut key = vec![MORE_DATA];
            key.extend_from_slice(rsa.public_pem());
            return Ask::Send(key);
        }
        match self.channel {
            Channel::Secure => claim_in_full(payload.into()),
            Channel::Plain => self.answer_encrypted(payload),
        }
    }

    fn answer_encrypted(&self, cipher: &[u8]) -> Ask {
        let Some(rsa) = &self.rsa else {
            return Ask::Refuse(Refusal::NeedsSecureChannel);
        };
        match rsa.decrypt_oaep(cipher) {
            Ok(masked) => {
                let mut password = masked.as_bytes().to_vec();
                scramble::mask(&mut password, &self.nonce);
                claim_in_full(Secret::new(password))
            }
            Err(malformed) => Ask::Refuse(Refusal::Malformed(malformed)),
        }
    }

    fn can_take_password(&self) -> bool {
        self.channel == Channel::Secure || self.rsa.is_some()
    }

    fn switch_to_native(&mut self, hash: [u8; NATIVE_BYTES]) -> Ask {
        self.state = State::SwitchedNative(hash);
        self.switch_request(NATIVE)
    }

    fn switch_to_sha2(&mut self, password: Option<&Secret>) -> Ask {
        self.state = State::SwitchedSha2(password.cloned());
        self.switch_request(CACHING_SHA2)
    }

    fn switch_request(&self, plugin: &[u8]) -> Ask {
        Ask::Send([&[SWITCH], plugin, &[0], &self.nonce, &[0]].concat())
    }
}

/// `caching_sha2_password` says "no password" with nothing or with one NUL.
fn is_empty_password(response: &[u8]) -> bool {
    response.is_empty() || response == [0]
}

/// A password in the clear, with its NUL or without.
fn claim_in_full(sent: Secret) -> Ask {
    let bytes = sent.as_bytes();
    let password = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if password.len() > PASSWORD_BYTES_MAX {
        return Ask::Refuse(Refusal::PasswordTooLong);
    }
    if password.contains(&0) {
        return refuse("password with a NUL in it");
    }
    Ask::Claim { password: password.into(), fast: false }
}

/// The claim if the response was made of what is known.
fn claim_native(response: &[u8], nonce: &Nonce, known: Known<'_>) -> Option<Ask> {
    let response: [u8; NATIVE_BYTES] = response.try_into().ok()?;
    match known {
        Known::Nothing => None,
        Known::Password(password) => {
            let expected = scramble::native(&scramble::native_stage(password.as_bytes()), nonce);
            let matches = !password.is_empty() && verify_slices_are_equal(&expected, &response).is_ok();
            matches.then(|| Ask::Claim { password: password.clone(), fast: false })
        }
        Known::NativeHash(hash) => {
            let stage = scramble::native_stage_of(response, nonce, &hash);
            let matches = verify_slices_are_equal(&scramble::native_hash(&stage), &hash).is_ok();
            matches.then(|| Ask::ClaimNative { stage: stage.as_slice().into(), known: true })
        }
    }
}

/// The last resort when nothing matches and nothing more may be asked: the backend hears a stage that fails.
fn claim_unknown_stage(response: &[u8], nonce: &Nonce, hash: &[u8; NATIVE_BYTES]) -> Ask {
    match <[u8; NATIVE_BYTES]>::try_from(response) {
        Ok(response) => {
            let stage = scramble::native_stage_of(response, nonce, hash);
            Ask::ClaimNative { stage: stage.as_slice().into(), known: false }
        }
        Err(_) => refuse("native response that is not 20 bytes"),
    }
}

fn refuse(why: &'static str) -> Ask {
    Ask::Refuse(Refusal::Malformed(Malformed(why)))
}
