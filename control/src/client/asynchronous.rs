//! The client over tokio: connect and ask, each within a time limit, for the monitor.
//!
//! Invariant: after an error, a time-out or a dropped call the connection is of no use; the owner drops it.

use super::error::ClientError;
use super::frames::Inbound;
use super::handshake::{Handshake, Session, Step};
use super::options::{Options, Target};
use super::reply::{Reply, ReplyReader, Turn};
use super::request;
use super::wire::{Socket, Wire};
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use weir_net::error::Malformed;
use weir_net::scan::ReplyKind;
use weir_net::tls::Tls;

pub struct AsyncClient {
    wire: Wire,
    inbound: Inbound,
    session: Session,
    timeout: Option<Duration>,
}

/// Of a stream's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    Wanted,
    Enough,
}

impl AsyncClient {
    pub async fn connect(options: &Options) -> Result<AsyncClient, ClientError> {
        within(options.timeout, connect(options)).await
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A server's error is an outcome of the reply, not an `Err`.
    pub async fn query(&mut self, sql: &str) -> Result<Reply, ClientError> {
        within(self.timeout, self.ask(sql)).await
    }

    /// With another limit than the connection's own.
    pub async fn query_within(&mut self, timeout: Duration, sql: &str) -> Result<Reply, ClientError> {
        within(Some(timeout), self.ask(sql)).await
    }

    /// Sends a command whose answer goes on until `take` has had enough: it is given every packet, and says whether there are
    /// to be more. At most so many bytes may come.
    pub async fn stream(
        &mut self,
        timeout: Duration,
        command: &[u8],
        bytes_max: usize,
        mut take: impl FnMut(&[u8]) -> Result<More, ClientError>,
    ) -> Result<(), ClientError> {
        within(Some(timeout), async {
            self.inbound.expect_seq(0);
            self.wire.allowance = bytes_max;
            self.wire.say(&mut self.inbound, command).await?;
            while take(&self.wire.packet(&mut self.inbound).await?.payload)? == More::Wanted {}
            Ok(())
        })
        .await
    }

    /// Sends a command that has no answer.
    pub async fn tell(&mut self, timeout: Duration, command: &[u8]) -> Result<(), ClientError> {
        within(Some(timeout), async {
            self.inbound.expect_seq(0);
            self.wire.say(&mut self.inbound, command).await
        })
        .await
    }

    async fn ask(&mut self, sql: &str) -> Result<Reply, ClientError> {
        let capabilities = self.session.capabilities;
        self.inbound.expect_seq(0);
        self.wire.allowance = REPLY_BYTES_MAX;
        self.wire.say(&mut self.inbound, &request::query(capabilities, sql.as_bytes(), &[])).await?;
        let mut reader = ReplyReader::new(ReplyKind::Query, capabilities, &[]);
        let mut packets_left = REPLY_PACKETS_MAX;
        while !reader.is_done() {
            packets_left = packets_left.checked_sub(1).ok_or(Malformed("a reply of too many packets"))?;
            let packet = self.wire.packet(&mut self.inbound).await?;
            if let Turn::Infile(_) = reader.handle(&packet.payload)? {
                return Err(ClientError::Unsupported("a file".to_string()));
            }
        }
        Ok(reader.into_reply())
    }
}

async fn within<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match timeout {
        None => work.await,
        Some(timeout) => match tokio::time::timeout(timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", timeout.as_millis()))
                    .into())
            }
        },
    }
}

async fn connect(options: &Options) -> Result<AsyncClient, ClientError> {
    let socket: Box<dyn Socket> = match &options.target {
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Target::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    let mut wire = Wire::new(socket, REPLY_BYTES_MAX);
    let mut inbound = Inbound::default();
    let mut handshake = Handshake::new(options);
    let session = loop {
        let packet = wire.packet(&mut inbound).await?;
        match handshake.handle(&packet.payload)? {
            Step::Send(payload) => wire.say(&mut inbound, &payload).await?,
            Step::StartTls(payload) => {
                wire.say(&mut inbound, &payload).await?;
                let (config, name) = options.tls_config();
                let tls = Tls::client(config, name).map_err(|error| ClientError::Tls(error.to_string()))?;
                wire.start_tls(tls).await?;
                wire.say(&mut inbound, &handshake.login()?).await?;
            }
            Step::Wait => {}
            Step::Done(session) => break session,
        }
    };
    Ok(AsyncClient { wire, inbound, session, timeout: options.timeout })
}

/// Bytes of one reply, or of a login. What the control thread asks for has some kilobytes, the most torn GTID set that is
/// read two megabytes; a server that talks without end must not fill the memory of a gate.
const REPLY_BYTES_MAX: usize = 4 << 20;

/// Packets of one reply: each is a row or a result here, which takes some hundred bytes however short it was on the wire.
const REPLY_PACKETS_MAX: usize = 1 << 16;
