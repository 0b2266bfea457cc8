//! `Client`: a blocking MySQL client for what a scenario asks before, between and after its measurements, and for the
//! logins of a load.
//!
//! Invariant: after each call the whole reply has been read, so that the socket can be handed on
//! ([`Client::into_stream`]) with nothing in flight. It speaks no TLS: everything measured here is on the loopback.

mod handshake;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use weir_net::column::cells;
use weir_net::command::Command;
use weir_net::error::Malformed;
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{ERR_HEADER, ErrPacket, status_of};
use weir_net::packet::{self, HEADER_BYTES, Header};
use weir_net::reader::Reader;
use weir_net::statement::PrepareOk;

use crate::error::Fault;
use crate::limits::REPLY_WAIT;

pub use self::handshake::{Handshake, Step};

/// Who logs in, and where to.
#[derive(Clone, Debug)]
pub struct Account {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
    pub schema: Option<String>,
}

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    caps: Capabilities,
    connection_id: u32,
}

/// The rows of a result, as texts. NULL is `None`.
pub type Rows = Vec<Vec<Option<String>>>;

impl Client {
    pub fn connect(account: &Account) -> Result<Self, Fault> {
        let stream = TcpStream::connect(account.address)
            .map_err(|error| Fault::io(format!("connecting to {}", account.address), error))?;
        let prepared = (stream.set_nodelay(true))
            .and_then(|()| stream.set_read_timeout(Some(REPLY_WAIT)))
            .and_then(|()| stream.set_write_timeout(Some(REPLY_WAIT)));
        prepared.map_err(|error| Fault::io("preparing a socket", error))?;
        let mut client = Self { stream, caps: Capabilities(0), connection_id: 0 };
        client.login(account)?;
        Ok(client)
    }

    /// What both sides can do.
    pub fn capabilities(&self) -> Capabilities {
        self.caps
    }

    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// The socket, with nothing to be read from it.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Runs one statement; of several results the rows follow each other.
    pub fn query(&mut self, text: &str) -> Result<Rows, Fault> {
        self.send(Command::Query, text.as_bytes())?;
        let mut rows = Vec::new();
        loop {
            let (_, payload) = self.packet()?;
            let status = match payload.first() {
                Some(0) => status_of(&payload)?,
                Some(_) => self.result(&payload, &mut rows)?,
                None => return Err(Malformed("an empty reply").into()),
            };
            if !status.contains(Status::MORE_RESULTS) {
                return Ok(rows);
            }
        }
    }

    /// Prepares a statement and returns its id and how many parameters it has.
    pub fn prepare(&mut self, text: &str) -> Result<PrepareOk, Fault> {
        self.send(Command::StmtPrepare, text.as_bytes())?;
        let (_, payload) = self.packet()?;
        let prepared = PrepareOk::decode(&payload)?;
        for count in [prepared.params, prepared.columns] {
            for _ in 0..count {
                self.packet()?;
            }
            if count > 0 && !self.caps.contains(Capabilities::DEPRECATE_EOF) {
                self.packet()?;
            }
        }
        Ok(prepared)
    }

    fn login(&mut self, account: &Account) -> Result<(), Fault> {
        let mut handshake = Handshake::new(account);
        loop {
            let (seq, payload) = self.packet()?;
            match handshake.handle(seq, &payload)? {
                Step::Send { seq, payload } => self.write(seq, &payload)?,
                Step::Wait => {}
                Step::Done => {
                    self.caps = handshake.capabilities();
                    self.connection_id = handshake.connection_id();
                    return Ok(());
                }
            }
        }
    }

    /// The rest of a result whose first packet says how many columns it has.
    fn result(&mut self, count: &[u8], rows: &mut Rows) -> Result<Status, Fault> {
        let short = self.caps.contains(Capabilities::DEPRECATE_EOF);
        let columns = Reader::new(count).lenenc()?;
        for _ in 0..columns + u64::from(!short) {
            self.packet()?;
        }
        loop {
            let (_, payload) = self.packet()?;
            if payload.first() == Some(&0xfe) && payload.len() < packet::PAYLOAD_MAX {
                return Ok(status_of(&payload)?);
            }
            let row: Result<Vec<_>, Malformed> =
                cells(&payload).map(|cell| Ok(cell?.map(|text| String::from_utf8_lossy(text).into_owned()))).collect();
            rows.push(row?);
        }
    }

    fn send(&mut self, command: Command, body: &[u8]) -> Result<(), Fault> {
        self.write(0, &[&[command.to_byte()], body].concat())
    }

    fn write(&mut self, seq: u8, payload: &[u8]) -> Result<(), Fault> {
        let mut out = Vec::new();
        packet::put(&mut out, seq, payload);
        (self.stream.write_all(&out)).map_err(|error| Fault::io("writing to the server", error))
    }

    /// One packet, joined if it came in parts, with the number of its last part. An ERR packet is an error.
    fn packet(&mut self) -> Result<(u8, Vec<u8>), Fault> {
        let mut payload = Vec::new();
        loop {
            let mut head = [0; HEADER_BYTES];
            self.read(&mut head)?;
            let header = Header::decode(head);
            let at = payload.len();
            payload.resize(at + header.payload_len as usize, 0);
            self.read(&mut payload[at..])?;
            if !header.is_continued() {
                return match payload.first() {
                    Some(&ERR_HEADER) => Err(refused(&payload)?),
                    _ => Ok((header.seq, payload)),
                };
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        (self.stream.read_exact(bytes)).map_err(|error| Fault::io("reading from the server", error))
    }
}

fn refused(payload: &[u8]) -> Result<Fault, Fault> {
    let error = ErrPacket::decode(payload)?;
    Ok(Fault::Refused { code: error.code, message: String::from_utf8_lossy(error.message).into_owned() })
}
