//! A MySQL server of a few lines, for tests without one.
//!
//! It lets in who has the password, echoes statements as one row, knows a few by heart, and answers the monitor as a
//! primary without replication would.

use super::error::ClientError;
use super::frames::Inbound;
use crate::config::Tls as TlsKind;
use crate::gate::keys;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use weir_net::auth::{Ask, CACHING_SHA2, Channel, Known, ServerAuth};
use weir_net::column::{Column, Form, put_result};
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::login::{Login, is_tls_request};
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet;
use weir_net::tls::Tls;

struct Fake {
    socket: TcpStream,
    tls: Option<Tls>,
    inbound: Inbound,
    is_in: bool,
}

pub const PASSWORD: &str = "swordfish";
const UUID: &[u8] = b"3aecbfe0-e779-11f1-be4c-02fc00000001";
const NONCE: [u8; 20] = *b"abcdefghijklmnopqrst";

impl Fake {
    fn serve(socket: TcpStream, keys: &weir_core::snapshot::Keys) -> Result<(), ClientError> {
        let mut fake = Fake { socket, tls: None, inbound: Inbound::default(), is_in: false };
        let capabilities = super::options::USUAL | Capabilities::SSL | Capabilities::QUERY_ATTRIBUTES;
        let mut greeting = Vec::new();
        Greeting {
            version: b"9.7.4",
            connection_id: 42,
            nonce: NONCE,
            capabilities,
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin: CACHING_SHA2,
        }
        .encode(&mut greeting);
        fake.say(&greeting)?;
        let mut login = fake.hear()?;
        let mut channel = Channel::Plain;
        if is_tls_request(&login).is_some() {
            fake.tls = Some(Tls::server(keys.tls.clone().unwrap()).unwrap());
            channel = Channel::Secure;
            login = fake.hear()?;
        }
        let login = Login::decode(&login)?;
        let mut auth = ServerAuth::new(NONCE, channel, Some(&keys.rsa));
        let mut ask = auth.start(login.plugin.as_deref(), &login.auth, login.capabilities, Known::Nothing);
        loop {
            ask = match ask {
                Ask::Send(payload) => {
                    fake.say(&payload)?;
                    auth.handle(&fake.hear()?)
                }
                Ask::Claim { password, .. } if password.as_bytes() == PASSWORD.as_bytes() => break,
                _ => return fake.say(&err(1045)),
            };
        }
        fake.say(&ok())?;
        fake.is_in = true;
        fake.command_loop(login.capabilities)
    }

    fn command_loop(&mut self, capabilities: Capabilities) -> Result<(), ClientError> {
        loop {
            self.inbound.expect_seq(0);
            let command = self.hear()?;
            let (kind, body) = command.split_first().unwrap();
            match Command::from_byte(*kind) {
                Some(Command::Query) if body == b"fail" => self.say(&err(1064))?,
                Some(Command::Query) if body == b"skip" => {
                    self.inbound.expect_seq(self.inbound.seq().wrapping_add(1));
                    self.say(&ok())?;
                }
                Some(Command::Query) if body == b"hang" => std::thread::sleep(Duration::from_secs(60)),
                Some(Command::Query) if body == b"load" => {
                    self.say(b"\xfbname")?;
                    let mut len = 0;
                    loop {
                        match self.hear()?.len() {
                            0 => break,
                            n => len += n,
                        }
                    }
                    self.say_row(capabilities, len.to_string().as_bytes())?;
                }
                Some(Command::Query) if body.starts_with(b"SET SESSION") => self.say(&ok())?,
                Some(Command::Query) if body.starts_with(b"SELECT @@GLOBAL.read_only") => {
                    self.say_look(capabilities)?
                }
                Some(Command::Query) if body == b"SELECT @@GLOBAL.gtid_executed" => self.say_row(capabilities, b"")?,
                Some(Command::Query) => self.say_row(capabilities, body)?,
                Some(Command::StmtExecute) => self.say(&ok())?,
                Some(Command::Quit) => return Ok(()),
                _ => self.say(&ok())?,
            }
        }
    }

    /// Writable, no plugin, no replication, no group, no ages.
    fn say_look(&mut self, capabilities: Capabilities) -> Result<(), ClientError> {
        let more = Status::AUTOCOMMIT | Status::MORE_RESULTS;
        let cell = |text: &[u8]| Some(text.to_vec());
        self.say_rows(capabilities, more, &[vec![cell(b"0"), cell(b"0"), cell(b""), cell(UUID)]])?;
        self.say_rows(capabilities, more, &[vec![cell(b"0")]])?;
        self.say_rows(capabilities, more, &[])?;
        self.say_rows(capabilities, more, &[])?;
        self.say_rows(capabilities, Status::AUTOCOMMIT, &[vec![None, None]])
    }

    fn say_row(&mut self, capabilities: Capabilities, cell: &[u8]) -> Result<(), ClientError> {
        self.say_rows(capabilities, Status::AUTOCOMMIT, &[vec![Some(cell.to_vec())]])
    }

    fn say_rows(
        &mut self,
        capabilities: Capabilities,
        status: Status,
        rows: &[Vec<Option<Vec<u8>>>],
    ) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let columns = vec![Column::text(b"echo", 10); rows.first().map_or(1, Vec::len)];
        let next = put_result(
            &mut bytes,
            self.inbound.seq(),
            capabilities,
            EofPacket { warnings: 0, status },
            &columns,
            rows,
            Form::Text,
        );
        self.inbound.expect_seq(next);
        self.send(&bytes)
    }

    fn say(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let next = packet::put(&mut bytes, self.inbound.seq(), payload);
        self.inbound.expect_seq(next);
        self.send(&bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let Some(tls) = &mut self.tls else { return Ok(self.socket.write_all(bytes)?) };
        tls.write_plain(bytes);
        let mut cipher = Vec::new();
        tls.take_cipher(&mut cipher);
        Ok(self.socket.write_all(&cipher)?)
    }

    fn hear(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(packet) = self.inbound.take()? {
                return Ok(packet.payload);
            }
            if let Some(tls) = &mut self.tls {
                let n = tls.read_plain(&mut buffer);
                if n > 0 {
                    self.inbound.feed(&buffer[..n]);
                    continue;
                }
            }
            // Byte by byte before TLS: what follows a TLS request belongs to TLS.
            let wanted = if self.tls.is_some() || self.is_in { buffer.len() } else { 1 };
            let n = self.socket.read(&mut buffer[..wanted])?;
            if n == 0 {
                return Err(ClientError::Closed);
            }
            match &mut self.tls {
                None => self.inbound.feed(&buffer[..n]),
                Some(tls) => {
                    tls.feed(&buffer[..n]).map_err(|error| ClientError::Tls(error.to_string()))?;
                    let mut cipher = Vec::new();
                    tls.take_cipher(&mut cipher);
                    self.socket.write_all(&cipher)?;
                }
            }
        }
    }
}

fn ok() -> Vec<u8> {
    let mut out = Vec::new();
    OkPacket { status: Status::AUTOCOMMIT, ..OkPacket::default() }.encode(&mut out, super::options::USUAL);
    out
}

fn err(code: u16) -> Vec<u8> {
    let mut out = Vec::new();
    ErrPacket { code, state: *b"HY000", message: b"no" }.encode(&mut out);
    out
}

/// Serves connections until the test ends.
pub fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let keys = keys::make(&TlsKind::Ephemeral, None).unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let keys = keys.clone();
            // A client that leaves in the middle is a test's own business.
            std::thread::spawn(move || drop(Fake::serve(socket, &keys)));
        }
    });
    port
}
