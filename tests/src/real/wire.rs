//! The wire: a blocking client's connection, raw packets in and out.
//!
//! Invariant: a packet's payload is whole (continuations joined), its sequence number is the one of its first part and
//! is handed on as it came. A read that takes too long is an error.
//! Rule: MySQL "Connection Phase".

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use weir_net::auth::{Channel, ClientAuth, Reply};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::outcome::ErrPacket;
use weir_net::packet::{self, HEADER_BYTES, Header, PAYLOAD_MAX};
use weir_net::secret::Secret;

use super::limits;
use super::squeeze::{Squeeze, Way};

/// Where a server or gate listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Who logs in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub password: String,
    pub schema: Option<String>,
    pub capabilities: Capabilities,
    /// The number of a collation.
    pub charset: u8,
    pub compression: Option<Way>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// What a balancer sends before anything else.
    pub preface: Vec<u8>,
}

/// A packet with all its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub seq: u8,
    pub payload: Vec<u8>,
}

pub struct Wire {
    stream: Stream,
    /// How long a read may take.
    patience: Duration,
    /// From the login's end on, if both ends want it.
    pub squeeze: Option<Squeeze>,
    received: Vec<u8>,
    received_at: usize,
    /// What both ends have agreed on.
    pub capabilities: Capabilities,
    /// The thread id in the greeting.
    pub connection_id: u32,
    plugin: Vec<u8>,
    nonce: [u8; 20],
    /// The sequence number of the next packet to send.
    pub seq: u8,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a login ended.
pub enum Admission {
    /// The payload of the OK packet.
    In(Box<Wire>, Vec<u8>),
    /// The payload of the ERR packet.
    Refused(Vec<u8>),
}

impl Account {
    /// What is asked for whether the server offers it or not.
    fn insisted_on(&self) -> Capabilities {
        match self.compression {
            None => Capabilities::empty(),
            Some(Way::Zlib) => Capabilities::COMPRESS,
            Some(Way::Zstd(_)) => Capabilities::ZSTD_COMPRESSION,
        }
    }
}

impl Wire {
    /// Connects and logs in. An error is the network's or a broken protocol, never the server's refusal.
    pub fn open(address: &Address, account: &Account) -> io::Result<Admission> {
        let stream = Stream::connect(address)?;
        let mut wire = Wire {
            stream,
            patience: limits::WIRE_WAIT,
            squeeze: None,
            received: Vec::new(),
            received_at: 0,
            capabilities: Capabilities::empty(),
            connection_id: 0,
            plugin: Vec::new(),
            nonce: [0; 20],
            seq: 0,
        };
        wire.send_bare(&account.preface)?;
        let first = wire.receive()?.payload;
        if first.first() == Some(&0xff) {
            return Ok(Admission::Refused(first));
        }
        let greeting = Greeting::decode(&first).map_err(broken)?;
        wire.connection_id = greeting.connection_id;
        wire.plugin = greeting.plugin.to_vec();
        wire.nonce = greeting.nonce;
        let schema = account.schema.clone().map(String::into_bytes);
        let mut auth = wire.auth(account);
        let response = auth.response(&wire.plugin, &wire.nonce);
        let login = Login {
            capabilities: account.capabilities.intersect(greeting.capabilities) | account.insisted_on(),
            max_packet: 1 << 30,
            charset: account.charset,
            user: account.user.clone().into_bytes(),
            auth: response,
            schema,
            plugin: Some(auth.plugin().to_vec()),
            attributes: account.attributes.clone(),
            zstd_level: if let Some(Way::Zstd(level)) = account.compression { level } else { 0 },
        };
        wire.capabilities = login.capabilities_sent();
        let mut payload = Vec::new();
        login.encode(&mut payload);
        wire.send(&payload)?;
        let last = wire.authenticate(&mut auth)?;
        Ok(match last.first() {
            Some(0xff) => Admission::Refused(last),
            _ => {
                wire.squeeze = account.compression.map(Squeeze::new);
                Admission::In(Box::new(wire), last)
            }
        })
    }

    /// As [`Wire::open`], where a refusal is an error too.
    pub fn login(address: &Address, account: &Account) -> io::Result<Wire> {
        match Wire::open(address, account)? {
            Admission::In(wire, _) => Ok(*wire),
            Admission::Refused(payload) => Err(io::Error::other(refusal(&payload))),
        }
    }

    /// The machine that proves this account's password on this wire.
    pub fn auth(&self, account: &Account) -> ClientAuth {
        let channel = match self.stream {
            Stream::Tcp(_) => Channel::Plain,
            Stream::Unix(_) => Channel::Secure,
        };
        let password = Secret::new(account.password.clone().into_bytes());
        ClientAuth::new(account.user.clone(), password, channel)
    }

    /// The first response for `COM_CHANGE_USER`, made with the greeting's nonce.
    pub fn first_response(&self, auth: &mut ClientAuth) -> Vec<u8> {
        auth.response(&self.plugin, &self.nonce)
    }

    /// Goes on until the server's verdict, an OK or ERR packet, whose payload comes back.
    pub fn authenticate(&mut self, auth: &mut ClientAuth) -> io::Result<Vec<u8>> {
        loop {
            let payload = self.receive()?.payload;
            match auth.handle(&payload) {
                Reply::Ok | Reply::Err => return Ok(payload),
                Reply::Wait => {}
                Reply::Send(answer) => self.send(&answer)?,
                other => return Err(broken(format!("authentication: {other:?}"))),
            }
        }
    }

    /// Sends a command: the sequence begins anew.
    pub fn command(&mut self, payload: &[u8]) -> io::Result<()> {
        self.seq = 0;
        if let Some(squeeze) = &mut self.squeeze {
            squeeze.begin_command();
        }
        self.send(payload)
    }

    /// Sends one payload with the next sequence numbers.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_BYTES);
        self.seq = packet::put(&mut bytes, self.seq, payload);
        self.send_raw(&bytes)
    }

    /// Sends bytes that are framed already.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.squeeze {
            Some(squeeze) => {
                let frames = squeeze.pack(bytes);
                self.send_bare(&frames)
            }
            None => self.send_bare(bytes),
        }
    }

    /// Sends bytes as they are, whatever was agreed on.
    pub fn send_bare(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// The bare stream, for who goes on without rules. `None` for a Unix socket.
    pub fn into_tcp(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Tcp(stream) => Some(stream),
            Stream::Unix(_) => None,
        }
    }

    /// Waits for one packet.
    pub fn receive(&mut self) -> io::Result<Packet> {
        let mut whole = self.receive_part()?;
        let mut part_len = whole.payload.len();
        let mut seq = whole.seq;
        while part_len == PAYLOAD_MAX {
            let part = self.receive_part()?;
            if part.seq != seq.wrapping_add(1) {
                return Err(broken("a continuation out of sequence"));
            }
            (seq, part_len) = (part.seq, part.payload.len());
            whole.payload.extend_from_slice(&part.payload);
        }
        self.seq = seq.wrapping_add(1);
        Ok(whole)
    }

    pub fn wait_at_most(&mut self, patience: Duration) -> io::Result<()> {
        self.patience = patience;
        self.stream.limit_read(patience)
    }

    /// True when a byte of a reply is there within `wait`, or the end.
    pub fn is_readable(&mut self, wait: Duration) -> io::Result<bool> {
        if self.received_at < self.received.len() {
            return Ok(true);
        }
        self.stream.limit_read(wait)?;
        let filled = self.fill();
        self.stream.limit_read(self.patience)?;
        match filled {
            Ok(()) => Ok(true),
            Err(error) if is_late(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn receive_part(&mut self) -> io::Result<Packet> {
        self.want(HEADER_BYTES)?;
        let header =
            Header::at_front(&self.received[self.received_at..]).unwrap_or_else(|| unreachable!("wanted above"));
        self.received_at += HEADER_BYTES;
        let len = header.payload_len as usize;
        self.want(len)?;
        let payload = self.received[self.received_at..self.received_at + len].to_vec();
        self.received_at += len;
        Ok(Packet { seq: header.seq, payload })
    }

    fn want(&mut self, len: usize) -> io::Result<()> {
        while self.received.len() - self.received_at < len {
            self.fill()?;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        self.received.drain(..self.received_at);
        self.received_at = 0;
        let mut chunk = [0; 64 << 10];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut chunk)?,
            Stream::Unix(stream) => stream.read(&mut chunk)?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.squeeze {
            Some(squeeze) => squeeze.unpack(&chunk[..read], &mut self.received),
            None => {
                self.received.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Stream> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, limits::CONNECT_WAIT)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(limits::WIRE_WAIT))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(limits::WIRE_WAIT))?;
                Stream::Unix(stream)
            }
        };
        stream.limit_read(limits::WIRE_WAIT)?;
        Ok(stream)
    }

    fn limit_read(&self, wait: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(wait)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(wait)),
        }
    }
}

/// True for the error of a read that took too long, which Linux calls `EAGAIN`.
pub fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// An ERR packet in words.
pub fn refusal(payload: &[u8]) -> String {
    match ErrPacket::decode(payload) {
        Ok(err) => {
            format!("{} ({}) {}", err.code, String::from_utf8_lossy(&err.state), String::from_utf8_lossy(err.message))
        }
        Err(malformed) => format!("a malformed ERR packet: {}", malformed.0),
    }
}

fn broken(what: impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what:?}"))
}
