//! Logging in at the server: `caching_sha2_password` with a warm and a cold cache, switches, refusals, change of user.
//!
//! ```text
//!   Greeted ─► [switch ─► Switched] ─► scramble right and user cached: 01 03, OK
//!                                   └► 01 04 ─► Full: key asked (02) ─► key ─► RSA(password) ─► OK or 1045
//! ```
//! Rules: MySQL "Connection Phase", "Caching_sha2_password information", "COM_CHANGE_USER".

use std::sync::OnceLock;

use weir_net::auth::{CACHING_SHA2, RsaKey, scramble};
use weir_net::command::ChangeUser;
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::packet;
use weir_net::writer::Put;

use crate::sim::scene::Scene;
use crate::sim::server::data::SCHEMAS;
use crate::sim::server::reply::{Finish, Replier};
use crate::sim::server::session::Session;
use crate::sim::server::{Conn, Phase, Server};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginPhase {
    Greeted,
    /// A switch was sent with this nonce.
    Switched(Claim, [u8; 20]),
    /// Full authentication: the password is still to come.
    Full(Claim, [u8; 20]),
}

/// Who a client says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub user: String,
    pub schema: Option<String>,
}

/// One key for all servers of all runs: making one takes long, and its bytes decide about nothing.
pub fn rsa_key() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::generate().expect("the library makes a key"))
}

const OFFERED: Capabilities = Capabilities(
    0xffff_ffff
        & !(Capabilities::SSL.0
            | Capabilities::COMPRESS.0
            | Capabilities::ZSTD_COMPRESSION.0
            | Capabilities::OPTIONAL_RESULTSET_METADATA.0
            | Capabilities::CAPABILITY_EXTENSION.0
            | Capabilities::MULTI_FACTOR_AUTH.0),
);

impl Conn {
    pub fn greet(&mut self, id: u32, plugin: &[u8]) {
        let greeting = Greeting {
            version: b"9.7.4-sim",
            connection_id: id,
            nonce: self.nonce,
            capabilities: OFFERED,
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin,
        };
        let at = packet::begin(&mut self.out, 0);
        greeting.encode(&mut self.out);
        packet::finish(&mut self.out, at);
    }

    fn say(&mut self, seq: u8, payload: &[u8]) -> u8 {
        packet::put(&mut self.out, seq, payload)
    }
}

impl Server {
    pub fn login_packet(&mut self, scene: &mut Scene, id: u32, seq: u8, payload: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let seq = seq.wrapping_add(1);
        let Phase::Login(phase) = std::mem::replace(&mut conn.phase, Phase::Command) else { return };
        match phase {
            LoginPhase::Greeted => {
                let Ok(login) = Login::decode(payload) else {
                    scene.oracle.violate("a login that cannot be read reached a server");
                    return;
                };
                conn.caps = login.capabilities.intersect(OFFERED);
                conn.token = token_in(payload);
                conn.session.multi_statements = conn.caps.contains(Capabilities::MULTI_STATEMENTS);
                let claim = Claim {
                    user: String::from_utf8_lossy(&login.user).into_owned(),
                    schema: login.schema.map(|name| String::from_utf8_lossy(&name).into_owned()),
                };
                let plugin = login.plugin.unwrap_or_default();
                let switches = self.habits.greets_with_other_plugin || plugin != CACHING_SHA2;
                self.claimed(scene, id, seq, claim, &login.auth, switches);
            }
            LoginPhase::Switched(claim, nonce) => self.scrambled(scene, id, seq, claim, nonce, payload),
            LoginPhase::Full(claim, nonce) if payload == [2] => {
                let mut key = vec![1];
                key.put_bytes(rsa_key().public_pem());
                conn.say(seq, &key);
                conn.phase = Phase::Login(LoginPhase::Full(claim, nonce));
            }
            LoginPhase::Full(claim, nonce) => {
                let password = rsa_key().decrypt_oaep(payload).map(|secret| {
                    let mut bytes = secret.as_bytes().to_vec();
                    scramble::mask(&mut bytes, &nonce);
                    bytes
                });
                let right = scene.passwords.get(&claim.user).map(|password| [password.as_bytes(), b"\0"].concat());
                let accepted = password.is_ok_and(|password| Some(password) == right);
                if accepted {
                    self.cached.insert(claim.user.clone());
                }
                self.decided(scene, id, seq, claim, accepted);
            }
        }
    }

    /// `COM_CHANGE_USER`: everything of the session ends, whatever comes of the claim.
    pub fn change_user(&mut self, scene: &mut Scene, id: u32, seq: u8, body: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let caps = conn.caps;
        conn.token = token_in(body);
        let Ok(request) = ChangeUser::decode(body, caps) else {
            scene.oracle.violate("a change of user that cannot be read reached a server");
            return;
        };
        let mut session = std::mem::take(&mut conn.session);
        let (multi_statements, statement_last) = (session.multi_statements, session.statement_last);
        self.undo(scene, id, &mut session, false);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.session = Session { multi_statements, statement_last, ..Session::default() };
        let schema = String::from_utf8_lossy(request.schema).into_owned();
        let claim = Claim {
            user: String::from_utf8_lossy(request.user).into_owned(),
            schema: Some(schema).filter(|schema| !schema.is_empty()),
        };
        let switches = self.habits.switches_on_change || request.plugin != Some(CACHING_SHA2);
        self.claimed(scene, id, seq.wrapping_add(1), claim, request.auth, switches);
    }

    fn claimed(&mut self, scene: &mut Scene, id: u32, seq: u8, claim: Claim, auth: &[u8], switches: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !switches {
            let nonce = conn.nonce;
            return self.scrambled(scene, id, seq, claim, nonce, auth);
        }
        let nonce: [u8; 20] = std::array::from_fn(|_| b'!' + (scene.random.below(90) as u8));
        let mut switch = vec![0xfe];
        switch.put_nul_bytes(CACHING_SHA2);
        switch.put_nul_bytes(&nonce);
        conn.say(seq, &switch);
        conn.phase = Phase::Login(LoginPhase::Switched(claim, nonce));
    }

    fn scrambled(&mut self, scene: &mut Scene, id: u32, seq: u8, claim: Claim, nonce: [u8; 20], auth: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if auth.is_empty() || !scene.passwords.contains_key(&claim.user) {
            return self.decided(scene, id, seq, claim, false);
        }
        let password = &scene.passwords[&claim.user];
        if self.cached.contains(&claim.user) && auth == scramble::caching_sha2(password.as_bytes(), &nonce) {
            let seq = conn.say(seq, &[1, 3]);
            return self.decided(scene, id, seq, claim, true);
        }
        conn.say(seq, &[1, 4]);
        conn.phase = Phase::Login(LoginPhase::Full(claim, nonce));
    }

    fn decided(&mut self, scene: &mut Scene, id: u32, seq: u8, claim: Claim, accepted: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        scene.tell(|| format!("server {}: connection {id} is {claim:?}: {accepted}", self.id));
        if !accepted {
            let words = format!("Access denied for user '{}'@'gate' (using password: YES)", claim.user);
            conn.refuse(seq, 1045, "28000", &words);
            return conn.end();
        }
        if let Some(schema) = claim.schema.as_ref().filter(|name| !SCHEMAS.contains(&name.as_str())) {
            conn.refuse(seq, 1049, "42000", &format!("Unknown database '{schema}'"));
            return conn.end();
        }
        conn.session.user = claim.user;
        conn.session.news.schema = claim.schema.is_some();
        conn.session.schema = claim.schema;
        conn.phase = Phase::Command;
        let track = conn.session.take_tracks(conn.caps);
        let mut replier = Replier::new(seq, conn.caps);
        replier.ok(&Finish { status: conn.session.status(), track, ..Finish::default() });
        conn.out.extend(replier.out);
    }
}

/// The attribute by which a gate knows its connection again.
fn token_in(payload: &[u8]) -> Option<String> {
    let name = b"\x0a_weir_link\x10";
    let at = payload.windows(name.len()).position(|part| part == name)? + name.len();
    payload.get(at..at + 16).map(|value| String::from_utf8_lossy(value).into_owned())
}
