//! The login to the admin port: one account, `caching_sha2_password`, whose password never crosses the wire in the clear.
//!
//! Invariant: a wrong user and a wrong password take the same time and say the same; each failure costs [`FAILURE_PAUSE`].

use super::{Door, STATUS, ok, words};
use crate::client::error::ClientError;
use crate::client::frames::Inbound;
use crate::client::wire::Wire;
use std::net::SocketAddr;
use std::time::Duration;
use weir_net::auth::{self, Ask, Channel, FAST_AUTH_OK, Known, NONCE_BYTES, Nonce, ServerAuth};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::login::{Login, is_tls_request};
use weir_net::secret::Secret;
use weir_net::tls::Tls;

/// What both sides can; None: it was refused, and told so.
pub async fn greet(
    wire: &mut Wire,
    inbound: &mut Inbound,
    door: &Door,
    id: u32,
    peer: SocketAddr,
) -> Result<Option<Capabilities>, ClientError> {
    let (nonce, offered) = (nonce(), offered(door));
    wire.say(inbound, &greeting(door, id, nonce, offered)).await?;
    let mut packet = wire.packet(inbound).await?;
    if let (Some(_), Some(config)) = (is_tls_request(&packet.payload), &door.tls) {
        let tls = |error: weir_net::tls::TlsError| ClientError::Tls(error.to_string());
        let mut secured = Tls::server(config.clone()).map_err(tls)?;
        secured.feed(&inbound.take_rest()).map_err(tls)?;
        wire.start_tls(secured).await?;
        packet = wire.packet(inbound).await?;
    }
    let login = Login::decode(&packet.payload)?;
    let caps = login.capabilities.intersect(offered);
    // Nothing is sent in the clear here: a secure channel is none of its business.
    let channel = if wire.is_encrypted() { Channel::Secure } else { Channel::Plain };
    let mut judge = ServerAuth::new(nonce, channel, None);
    let mut ask =
        judge.start(login.plugin.as_deref(), &login.auth, login.capabilities, Known::Password(&door.password));
    let claimed = loop {
        match ask {
            Ask::Send(payload) => {
                wire.say(inbound, &payload).await?;
                ask = judge.handle(&wire.packet(inbound).await?.payload);
            }
            Ask::Claim { password, fast } => break Some((password, fast)),
            Ask::ClaimNative { .. } | Ask::Refuse(_) => break None,
        }
    };
    let is_user = Secret::from(&*login.user) == Secret::from(door.user.as_bytes());
    match claimed.filter(|(password, _)| (*password == door.password) & is_user) {
        Some((_, fast)) => {
            if fast {
                wire.say(inbound, &FAST_AUTH_OK).await?;
            }
            let mut payload = Vec::new();
            ok().encode(&mut payload, caps);
            wire.say(inbound, &payload).await?;
            Ok(Some(caps))
        }
        None => {
            tokio::time::sleep(FAILURE_PAUSE).await;
            tracing::warn!(event = "admin_login_failed", %peer, "a login to the admin port was refused");
            let user = String::from_utf8_lossy(&login.user);
            let text = format!(
                "Access denied for user '{user}'@'{}': the admin port knows admin_sql_user alone, with the password of \
                 admin_sql_password_file",
                peer.ip()
            );
            wire.say(inbound, &words::error(1045, *b"28000", &text)).await?;
            Ok(None)
        }
    }
}

fn greeting(door: &Door, id: u32, nonce: Nonce, capabilities: Capabilities) -> Vec<u8> {
    let mut payload = Vec::with_capacity(128);
    Greeting {
        version: door.version.as_bytes(),
        connection_id: id,
        nonce,
        capabilities,
        charset: 255,
        status: STATUS,
        plugin: auth::CACHING_SHA2,
    }
    .encode(&mut payload);
    payload
}

fn offered(door: &Door) -> Capabilities {
    let tls = if door.tls.is_some() { Capabilities::SSL } else { Capabilities::empty() };
    OFFERED.into_iter().fold(tls, Capabilities::union)
}

fn nonce() -> Nonce {
    let mut random = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut random).expect("the system's source of randomness has just made the gate's keys");
    auth::nonce_from_random(random)
}

const OFFERED: [Capabilities; 13] = [
    Capabilities::LONG_PASSWORD,
    Capabilities::FOUND_ROWS,
    Capabilities::LONG_FLAG,
    Capabilities::CONNECT_WITH_DB,
    Capabilities::PROTOCOL_41,
    Capabilities::TRANSACTIONS,
    Capabilities::SECURE_CONNECTION,
    Capabilities::MULTI_RESULTS,
    Capabilities::PLUGIN_AUTH,
    Capabilities::CONNECT_ATTRS,
    Capabilities::PLUGIN_AUTH_LENENC_DATA,
    Capabilities::DEPRECATE_EOF,
    Capabilities::QUERY_ATTRIBUTES,
];

/// Of a login's packets, certificates included.
pub const LOGIN_BYTES_MAX: usize = 64 << 10;

/// A guess costs that much.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
