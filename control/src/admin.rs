//! The admin port: MySQL's protocol on the control thread, for who runs the gate. It answers when no backend does and no core can.
//!
//! ```text
//!   admin_sql_listen ─► door: at most CLIENTS_MAX ─► login: the one account ─► answer: SHOW WEIR, EXPLAIN ROUTE, KILL, SET GLOBAL
//!                                                                               └─ desk ─► control ─► the cores
//! ```
//! Invariant: it touches no backend and no client's session but by the desk. Its account is the gate's own, not one of MySQL's: whoever
//! has its password sees all clients, may kill any of them and set the gate's variables.
//! Limits: [`CLIENTS_MAX`] clients, [`LOGIN_LIMIT`] for a login, [`IDLE_LIMIT`] between statements, [`COMMAND_BYTES_MAX`] for one.

mod answer;
mod chatter;
mod login;
mod prepared;
mod words;

use crate::client::error::ClientError;
use crate::client::frames::Inbound;
use crate::client::wire::Wire;
use crate::gate::desk::Desk;
use answer::{Answer, Conversation};
use prepared::Prepared;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use weir_net::column::Form;
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{ErrPacket, OkPacket};
use weir_net::secret::Secret;

/// Who may come in, and what they reach.
pub struct Door {
    pub user: String,
    pub password: Secret,
    /// None: without TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the greeting says: the gate's version.
    pub version: String,
    pub desk: Desk,
    pub ids: AtomicU32,
}

impl Door {
    pub fn new(user: &str, password: &Secret, tls: Option<Arc<ServerConfig>>, desk: Desk) -> Door {
        let version = format!("8.4.0-Weir-admin-{}", env!("CARGO_PKG_VERSION"));
        Door { user: user.to_string(), password: password.clone(), tls, version, desk, ids: AtomicU32::new(0) }
    }

    /// Of this port alone: `KILL` ends clients of the gate.
    fn next_id(&self) -> u32 {
        self.ids.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// Until the gate ends.
pub async fn serve(listener: TcpListener, door: Arc<Door>) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // No file is left, say: the next attempt may find one.
                tracing::warn!(event = "admin_accept_failed", %error, "the admin port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (door, room) = (door.clone(), room.clone());
        tokio::spawn(async move {
            let Ok(_permit) = room.try_acquire_owned() else { return turn_away(stream).await };
            if let Err(error) = attend(stream, peer, &door).await {
                tracing::debug!(event = "admin_client_lost", %peer, %error, "a client of the admin port is gone");
            }
        });
    }
}

async fn turn_away(stream: TcpStream) {
    let text = format!("Too many connections: the admin port serves {CLIENTS_MAX} clients at once; close one of them");
    let mut wire = Wire::new(Box::new(stream), COMMAND_BYTES_MAX);
    // Who is turned away may be gone.
    let _ = wire.say(&mut Inbound::default(), &words::error(1040, *b"08004", &text)).await;
}

async fn attend(stream: TcpStream, peer: SocketAddr, door: &Door) -> Result<(), ClientError> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(Box::new(stream), login::LOGIN_BYTES_MAX);
    let mut inbound = Inbound::default();
    let id = door.next_id();
    let login = login::greet(&mut wire, &mut inbound, door, id, peer);
    let Some(caps) = tokio::time::timeout(LOGIN_LIMIT, login).await.map_err(|_| ClientError::Closed)?? else {
        return Ok(());
    };
    tracing::info!(event = "admin_login", user = door.user, %peer, tls = wire.is_encrypted(), "an admin has logged in");
    let mut talk = Talk { caps, conversation: Conversation::new(door, id), prepared: Prepared::default() };
    loop {
        inbound.expect_seq(0);
        wire.allowance = COMMAND_BYTES_MAX;
        let packet = tokio::time::timeout(IDLE_LIMIT, wire.packet(&mut inbound)).await;
        let packet = packet.map_err(|_| ClientError::Closed)??;
        let Some(bytes) = talk.handle(&packet.payload).await else { return Ok(()) };
        wire.send(&bytes).await?;
    }
}

/// One client that is in.
struct Talk<'a> {
    caps: Capabilities,
    conversation: Conversation<'a>,
    prepared: Prepared,
}

impl Talk<'_> {
    /// A command's whole answer, framed; None: the client says good-bye.
    async fn handle(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let (byte, body) = payload.split_first()?;
        let caps = self.caps;
        let command = Command::from_byte(*byte);
        let answer = match command {
            Some(Command::Quit) => return None,
            Some(Command::Ping | Command::InitDb) => Answer::Done,
            Some(Command::ResetConnection) => {
                self.prepared.forget();
                Answer::Done
            }
            Some(Command::SetOption) => return Some(words::framed(&words::eof(caps))),
            Some(Command::Statistics) => return Some(words::framed(b"Weir's admin port: say SHOW WEIR STATUS")),
            Some(Command::Query) => match words::text(caps, body) {
                Some(sql) => self.conversation.answer(sql).await,
                None => Answer::error(1105, "the statement's packet is malformed"),
            },
            Some(Command::StmtPrepare) => match self.prepared.prepare(body) {
                Ok(payload) => return Some(words::framed(&payload)),
                Err(why) => why,
            },
            Some(Command::StmtExecute) => match self.prepared.text(body) {
                Ok(sql) => self.conversation.answer(sql).await,
                Err(why) => why,
            },
            Some(Command::StmtReset) => self.prepared.text(body).map_or_else(|why| why, |_| Answer::Done),
            Some(Command::StmtClose) => {
                self.prepared.close(body);
                return Some(Vec::new());
            }
            // It has no reply, whatever it is about.
            Some(Command::StmtSendLongData) => return Some(Vec::new()),
            _ => Answer::error(1047, "the admin port has no such command: it answers statements"),
        };
        let form = if command == Some(Command::StmtExecute) { Form::Binary } else { Form::Text };
        Some(words::encode(caps, &answer, form))
    }
}

/// At once: people and dashboards, not applications.
pub const CLIENTS_MAX: usize = 32;

/// From the greeting to the end of the login.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// As MySQL's `wait_timeout`.
const IDLE_LIMIT: Duration = Duration::from_secs(8 * 3_600);

/// Of one command.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const STATUS: Status = Status::AUTOCOMMIT;

fn ok() -> OkPacket<'static> {
    OkPacket { status: STATUS, ..OkPacket::default() }
}

fn err(code: u16, state: [u8; 5], message: &str) -> ErrPacket<'_> {
    ErrPacket { code, state, message: message.as_bytes() }
}

#[cfg(test)]
mod tests;
