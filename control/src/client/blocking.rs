//! The client over std::net: typed calls on top, single packets below, for tests, demo and perf.
//!
//! Invariant: a call that returns `Ok` has read its reply to the end, unless it is one of the raw ones
//! ([`Client::send_command`], [`Client::read_packet`] …), whose caller keeps count.

mod statement;
mod wire;

pub use statement::Statement;
pub use wire::{Connection, Stream};

use super::error::ClientError;
use super::frames::{Inbound, Packet};
use super::handshake::{Handshake, Session, Step};
use super::options::{ClientTls, Options};
use super::reply::{Done, Outcome, Reply, ReplyReader, Turn};
use super::request;
use super::value::Value;
use std::time::Duration;
use weir_net::auth::{CACHING_SHA2, Channel, ClientAuth, Reply as Auth};
use weir_net::command::{ChangeUser, Command};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::OkPacket;
use weir_net::packet;
use weir_net::scan::ReplyKind;
use weir_net::secret::Secret;

pub struct Client {
    connection: Connection,
    inbound: Inbound,
    session: Session,
    channel: Channel,
    /// Of the last OK or EOF.
    status: Status,
}

impl Client {
    pub fn connect(options: &Options) -> Result<Client, ClientError> {
        let mut connection = Connection::open(options)?;
        let mut inbound = Inbound::default();
        let mut handshake = Handshake::new(options);
        let session = loop {
            let packet = read_packet(&mut connection, &mut inbound)?;
            match handshake.handle(&packet.payload)? {
                Step::Send(payload) => send(&mut connection, &mut inbound, &payload)?,
                Step::StartTls(payload) => {
                    send(&mut connection, &mut inbound, &payload)?;
                    let (config, name) = options.tls_config();
                    connection = connection.start_tls(config, name)?;
                    send(&mut connection, &mut inbound, &handshake.login()?)?;
                }
                Step::Wait => {}
                Step::Done(session) => break session,
            }
        };
        let is_secure = connection.is_unix() || !matches!(options.tls, ClientTls::Off);
        let channel = if is_secure { Channel::Secure } else { Channel::Plain };
        Ok(Client { connection, inbound, status: session.status, session, channel })
    }

    /// What the handshake has agreed upon.
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub fn capabilities(&self) -> Capabilities {
        self.session.capabilities
    }

    pub fn connection_id(&self) -> u32 {
        self.session.connection_id
    }

    /// The status flags of the last OK or EOF.
    pub fn status(&self) -> Status {
        self.status
    }

    /// For each read and write from here on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        Ok(self.connection.set_timeout(timeout)?)
    }

    /// A second handle on the socket, to shut it down from elsewhere.
    pub fn socket(&self) -> Result<Stream, ClientError> {
        Ok(self.connection.socket().try_clone()?)
    }

    // Typed calls.

    /// A server's error is an outcome of the reply, not an `Err`. A file that the server asks for is refused.
    pub fn query(&mut self, sql: impl AsRef<[u8]>) -> Result<Reply, ClientError> {
        self.query_full(sql.as_ref(), &[], None)
    }

    /// With query attributes, on a connection that has `QUERY_ATTRIBUTES`.
    pub fn query_with(&mut self, sql: impl AsRef<[u8]>, attributes: &[(&str, Value)]) -> Result<Reply, ClientError> {
        self.query_full(sql.as_ref(), attributes, None)
    }

    /// `LOAD DATA LOCAL INFILE`: whatever name the server asks for, it gets this content.
    pub fn query_with_file(&mut self, sql: impl AsRef<[u8]>, content: &[u8]) -> Result<Reply, ClientError> {
        self.query_full(sql.as_ref(), &[], Some(content))
    }

    fn query_full(
        &mut self,
        sql: &[u8],
        attributes: &[(&str, Value)],
        file: Option<&[u8]>,
    ) -> Result<Reply, ClientError> {
        self.send_payload(&request::query(self.capabilities(), sql, attributes))?;
        self.read_reply(ReplyKind::Query, file)
    }

    /// The first result's rows as text; an error of the server is an `Err`.
    pub fn rows(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<Vec<Option<String>>>, ClientError> {
        let reply = self.query(sql)?.success()?;
        Ok(reply.rows().ok_or(ClientError::Shape("the statement gave no rows"))?.texts())
    }

    /// The first cell of the first row as text.
    pub fn cell(&mut self, sql: impl AsRef<[u8]>) -> Result<Option<String>, ClientError> {
        let rows = self.rows(sql)?;
        rows.into_iter().flatten().next().ok_or(ClientError::Shape("the statement gave no row"))
    }

    /// The last OK; an error of the server is an `Err`.
    pub fn run(&mut self, sql: impl AsRef<[u8]>) -> Result<Done, ClientError> {
        let reply = self.query(sql)?.success()?;
        reply.done().cloned().ok_or(ClientError::Shape("the statement gave no OK"))
    }

    pub fn ping(&mut self) -> Result<Done, ClientError> {
        self.simple(Command::Ping, b"")
    }

    pub fn init_db(&mut self, schema: &str) -> Result<Done, ClientError> {
        self.simple(Command::InitDb, schema.as_bytes())
    }

    pub fn reset_connection(&mut self) -> Result<Done, ClientError> {
        self.simple(Command::ResetConnection, b"")
    }

    /// Multi-statements on (0) or off (1).
    pub fn set_option(&mut self, option: u16) -> Result<Done, ClientError> {
        self.simple(Command::SetOption, &option.to_le_bytes())
    }

    pub fn process_kill(&mut self, connection_id: u32) -> Result<Done, ClientError> {
        self.simple(Command::ProcessKill, &connection_id.to_le_bytes())
    }

    pub fn statistics(&mut self) -> Result<String, ClientError> {
        let reply = self.command(Command::Statistics, b"", ReplyKind::Statistics)?;
        Ok(String::from_utf8_lossy(&reply.text.unwrap_or_default()).into_owned())
    }

    /// `COM_FIELD_LIST`: the columns of a table whose names match the pattern.
    pub fn field_list(&mut self, table: &str, wildcard: &str) -> Result<Reply, ClientError> {
        let body = [table.as_bytes(), &[0], wildcard.as_bytes()].concat();
        self.command(Command::FieldList, &body, ReplyKind::FieldList)
    }

    /// `COM_CHANGE_USER`, with the plugin and nonce of the handshake first, as libmysqlclient does.
    pub fn change_user(&mut self, user: &str, password: &str, schema: &str) -> Result<Done, ClientError> {
        let mut auth = ClientAuth::new(user.as_bytes(), Secret::from(password.as_bytes()), self.channel);
        let response = auth.response(CACHING_SHA2, &self.session.nonce);
        let request = ChangeUser {
            user: user.as_bytes(),
            auth: &response,
            schema: schema.as_bytes(),
            charset: u16::from(super::options::UTF8MB4_0900_AI_CI),
            plugin: Some(auth.plugin()),
            attributes: b"",
        };
        let mut payload = Vec::new();
        request.encode(&mut payload, self.capabilities())?;
        self.send_payload(&payload)?;
        loop {
            let packet = self.read_packet()?;
            match auth.handle(&packet.payload) {
                Auth::Send(answer) => self.answer(&answer)?,
                Auth::Wait => {}
                Auth::Ok => return self.done_of(&packet.payload),
                Auth::Err => return Err(super::error::ServerError::decode(&packet.payload)?.into()),
                Auth::Unsupported(plugin) => {
                    return Err(ClientError::Unsupported(String::from_utf8_lossy(&plugin).into_owned()));
                }
                Auth::Broken(malformed) => return Err(malformed.into()),
            }
        }
    }

    /// Says goodbye and closes.
    pub fn quit(mut self) -> Result<(), ClientError> {
        self.send_command(Command::Quit, b"")
    }

    /// A command whose reply is one OK.
    pub fn simple(&mut self, command: Command, body: &[u8]) -> Result<Done, ClientError> {
        let reply = self.command(command, body, ReplyKind::Simple)?.success()?;
        reply.done().cloned().ok_or(ClientError::Shape("the command gave no OK"))
    }

    /// Any command, and its reply of the given kind.
    pub fn command(&mut self, command: Command, body: &[u8], kind: ReplyKind) -> Result<Reply, ClientError> {
        self.send_command(command, body)?;
        self.read_reply(kind, None)
    }

    // Raw calls. To pipeline, send several and read as many replies.

    pub fn send_command(&mut self, command: Command, body: &[u8]) -> Result<(), ClientError> {
        self.send_payload(&request::command(command, body))
    }

    /// A command's whole payload, as packets from sequence number 0.
    pub fn send_payload(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let mut bytes = Vec::with_capacity(payload.len() + packet::HEADER_BYTES);
        let next = packet::put(&mut bytes, 0, payload);
        self.inbound.expect_seq(next);
        self.send_bytes(&bytes)
    }

    /// Bytes as they are, headers included: for hostile tests.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.connection.send(bytes)?)
    }

    /// Says which sequence number the next packet must carry; after a command of one packet it is 1.
    pub fn expect_seq(&mut self, seq: u8) {
        self.inbound.expect_seq(seq);
    }

    /// An answer in the middle of an exchange: goes on with the sequence.
    pub fn answer(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        send(&mut self.connection, &mut self.inbound, payload)
    }

    /// The next payload.
    pub fn read_packet(&mut self) -> Result<Packet, ClientError> {
        read_packet(&mut self.connection, &mut self.inbound)
    }

    /// The whole reply as packets, each as it came.
    pub fn read_packets(&mut self, kind: ReplyKind) -> Result<Vec<Packet>, ClientError> {
        let mut packets = Vec::new();
        self.read_reply_into(ReplyReader::new(kind, self.capabilities(), &[]), None, &mut |packet| {
            packets.push(packet.clone());
        })?;
        Ok(packets)
    }

    /// `file`: the content of whatever the server asks for; None refuses by sending an empty file.
    pub fn read_reply(&mut self, kind: ReplyKind, file: Option<&[u8]>) -> Result<Reply, ClientError> {
        self.read_reply_into(ReplyReader::new(kind, self.capabilities(), &[]), file, &mut |_| {})
    }

    fn read_reply_into(
        &mut self,
        mut reader: ReplyReader,
        file: Option<&[u8]>,
        seen: &mut dyn FnMut(&Packet),
    ) -> Result<Reply, ClientError> {
        while !reader.is_done() {
            let packet = self.read_packet()?;
            seen(&packet);
            if let Turn::Infile(_) = reader.handle(&packet.payload)? {
                self.send_file(file.unwrap_or_default())?;
            }
        }
        let reply = reader.into_reply();
        if let Some(done) = reply.outcomes.last().and_then(|last| match last {
            Outcome::Ok(done) => Some(done),
            Outcome::Rows(rows) => Some(&rows.end),
            Outcome::Err(_) => None,
        }) {
            self.status = done.status;
        }
        Ok(reply)
    }

    fn send_file(&mut self, content: &[u8]) -> Result<(), ClientError> {
        for piece in content.chunks(FILE_PIECE_BYTES) {
            self.answer(piece)?;
        }
        self.answer(b"")
    }

    /// True when the server has closed, or sent something that nobody asked for. Does not wait.
    pub fn is_ended(&mut self) -> bool {
        !self.inbound.is_empty() || self.connection.is_ended()
    }

    fn done_of(&mut self, payload: &[u8]) -> Result<Done, ClientError> {
        let ok = OkPacket::decode(payload, self.capabilities())?;
        self.status = ok.status;
        Ok(Done {
            affected_rows: ok.affected_rows,
            last_insert_id: ok.last_insert_id,
            status: ok.status,
            warnings: ok.warnings,
            info: ok.info.to_vec(),
            track: ok.track.to_vec(),
        })
    }
}

/// Sends a payload that goes on with the sequence.
fn send(connection: &mut Connection, inbound: &mut Inbound, payload: &[u8]) -> Result<(), ClientError> {
    let mut bytes = Vec::with_capacity(payload.len() + packet::HEADER_BYTES);
    let next = packet::put(&mut bytes, inbound.seq(), payload);
    inbound.expect_seq(next);
    Ok(connection.send(&bytes)?)
}

fn read_packet(connection: &mut Connection, inbound: &mut Inbound) -> Result<Packet, ClientError> {
    let mut buffer = [0; READ_BYTES];
    loop {
        if let Some(packet) = inbound.take()? {
            return Ok(packet);
        }
        let n = connection.receive(&mut buffer)?;
        if n == 0 {
            return Err(ClientError::Closed);
        }
        inbound.feed(&buffer[..n]);
    }
}

const READ_BYTES: usize = 16 << 10;
const FILE_PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
