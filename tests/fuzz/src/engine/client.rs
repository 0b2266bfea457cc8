//! A client: what it has heard, how it logs in, and the commands that it knows.
//!
//! It is honest as far as it goes; what is spoiled is spoiled behind it. It reads no reply: only the greeting's nonce
//! and what the gate asks for during a login.

use weir_net::auth::{CACHING_SHA2, CLEAR, NATIVE, scramble};
use weir_net::command::{ChangeUser, Command};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::login::{Login, put_tls_request};
use weir_net::packet;
use weir_net::tls::Tls;
use weir_net::writer::Put;

use super::wire::take_packet;
use crate::draw::Draw;
use crate::tls;

/// How many ways of logging in there are.
pub const LOGINS: usize = 6;
/// How many commands [`Client::command`] knows: those of the protocol, then the statements.
pub const COMMANDS: usize = 19 + STATEMENTS.len();

const PASSWORD: &[u8] = b"pw";
/// Bytes of the gate's that a client keeps: a login's packets fit, replies are thrown away.
const HEARD_BYTES_MAX: usize = 4 << 10;

#[derive(Default)]
pub struct Client {
    tls: Option<Box<Tls>>,
    /// From the gate, decrypted, no packet of which has been looked at.
    heard: Vec<u8>,
    nonce: [u8; 20],
    caps: Capabilities,
    greeted: bool,
}

impl Client {
    /// Bytes from the gate.
    pub fn receive(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => {
                let mut buffer = [0; 1024];
                if tls.feed(bytes).is_ok() {
                    while let n @ 1.. = tls.read_plain(&mut buffer) {
                        self.heard.extend_from_slice(&buffer[..n]);
                    }
                }
            }
            None => self.heard.extend_from_slice(bytes),
        }
        if !self.greeted
            && let Some((_, payload)) = take_packet(&mut self.heard)
            && let Ok(greeting) = Greeting::decode(&payload)
        {
            self.greeted = true;
            self.nonce = greeting.nonce;
        }
        let spare = self.heard.len().saturating_sub(HEARD_BYTES_MAX);
        self.heard.drain(..spare);
    }

    /// Bytes as they go onto the wire.
    pub fn seal(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(tls) = &mut self.tls else { return bytes };
        tls.write_plain(&bytes);
        self.pending()
    }

    /// What TLS has to say of its own accord.
    pub fn pending(&mut self) -> Vec<u8> {
        let mut cipher = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.take_cipher(&mut cipher);
        }
        cipher
    }

    /// A login of the kind that is drawn; TLS first for some.
    pub fn login(&mut self, draw: &mut Draw<'_>) -> Vec<u8> {
        let kind = draw.below(LOGINS);
        self.caps = capabilities(kind);
        let scrambled = scramble::caching_sha2(PASSWORD, &self.nonce).to_vec();
        let (plugin, auth) = match kind {
            0 => (CACHING_SHA2, Vec::new()),
            1 | 5 => (CACHING_SHA2, scrambled),
            2 => (NATIVE, scramble::native(&scramble::native_stage(PASSWORD), &self.nonce).to_vec()),
            3 => (CLEAR, b"pw\0".to_vec()),
            _ => (CACHING_SHA2, vec![7; 20]),
        };
        let login = Login {
            capabilities: self.caps,
            max_packet: 1 << 24,
            charset: [255, 8, 28][kind % 3],
            user: vec![b'a' + kind as u8 / 2],
            auth,
            schema: (kind % 2 == 1).then(|| b"shop".to_vec()),
            plugin: Some(plugin.to_vec()),
            attributes: vec![(b"_pid".to_vec(), b"1".to_vec())],
            zstd_level: 0,
        };
        let mut payload = Vec::new();
        login.encode(&mut payload);
        if kind == 5 && self.tls.is_none() {
            return self.begin_tls(&payload);
        }
        self.seal(framed(1, &payload))
    }

    /// The request, and behind it at once the first flight; the login waits inside until the handshake is over.
    fn begin_tls(&mut self, login: &[u8]) -> Vec<u8> {
        let mut request = Vec::new();
        put_tls_request(&mut request, self.caps, 1 << 24, 255);
        let mut out = framed(1, &request);
        let mut tls = tls::client();
        tls.write_plain(&framed(2, login));
        tls.take_cipher(&mut out);
        self.tls = Some(Box::new(tls));
        out
    }

    /// The answer to what the gate has asked last during a login: the password, or a scramble for another plugin.
    pub fn proof(&mut self) -> Option<Vec<u8>> {
        let mut last = None;
        while let Some(packet) = take_packet(&mut self.heard) {
            last = Some(packet);
        }
        let (seq, payload) = last?;
        let answer = match payload.as_slice() {
            [1, 4, ..] => [PASSWORD, &[0]].concat(),
            [0xfe, rest @ ..] if rest.starts_with(CACHING_SHA2) => {
                scramble::caching_sha2(PASSWORD, &self.nonce).to_vec()
            }
            [0xfe, ..] => scramble::native(&scramble::native_stage(PASSWORD), &self.nonce).to_vec(),
            _ => return None,
        };
        Some(framed(seq.wrapping_add(1), &answer))
    }

    pub fn command(&self, draw: &mut Draw<'_>) -> Vec<u8> {
        let statement = u32::from(draw.u8() >> 6) + 1;
        // The choice is one byte for a statement's sake; its upper bits choose among statements prepared.
        let number = draw.below(COMMANDS);
        let mut payload = Vec::new();
        match number {
            0..19 => self.put_command(&mut payload, number, statement),
            _ => {
                payload.put_u8(Command::Query.to_byte());
                if self.caps.contains(Capabilities::QUERY_ATTRIBUTES) {
                    payload.put_bytes(&[0, 1]);
                }
                payload.put_bytes(STATEMENTS[number - 19]);
            }
        }
        framed(0, &payload)
    }

    fn put_command(&self, out: &mut Vec<u8>, number: usize, statement: u32) {
        let of_statement = |out: &mut Vec<u8>, command: Command, rest: &[u8]| {
            out.put_u8(command.to_byte());
            out.put_u32(statement);
            out.put_bytes(rest);
        };
        match number {
            0 => out.put_bytes(b"\x16SELECT a FROM t WHERE b = ?"),
            1 => of_statement(out, Command::StmtExecute, b"\0\x01\0\0\0\0\x01\x08\0\x01\0\0\0\0\0\0\0"),
            2 => of_statement(out, Command::StmtExecute, b"\x01\x01\0\0\0\x01\x01\x01\x08\0\0\x01\0\0\0\0\0\0\0"),
            3 => of_statement(out, Command::StmtFetch, b"\x05\0\0\0"),
            4 => of_statement(out, Command::StmtReset, b""),
            5 => of_statement(out, Command::StmtClose, b""),
            6 => of_statement(out, Command::StmtSendLongData, b"\0\0long"),
            7 => out.put_u8(Command::Ping.to_byte()),
            8 => out.put_u8(Command::ResetConnection.to_byte()),
            9 => out.put_bytes(b"\x02shop"),
            10 => out.put_bytes(b"\x04t\0%"),
            11 => out.put_u8(Command::Statistics.to_byte()),
            12 => out.put_bytes(&[Command::SetOption.to_byte(), 0, 0]),
            13 => out.put_bytes(&[Command::ProcessKill.to_byte(), 1, 0, 0, 7]),
            14 => out.put_u8(Command::Quit.to_byte()),
            15 => out.put_bytes(b"\x12\x04\0\0\0\0\0\0\0\0\0"),
            16 => out.put_bytes(b"\x16INSERT INTO t VALUES (?)"),
            17 => out.put_bytes(&[Command::SetOption.to_byte(), 1, 0]),
            _ => {
                let auth = scramble::caching_sha2(PASSWORD, &self.nonce);
                let request = ChangeUser {
                    user: b"b",
                    auth: &auth,
                    schema: b"",
                    charset: 255,
                    plugin: Some(CACHING_SHA2),
                    attributes: b"",
                };
                let caps = Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
                request.encode(out, caps).expect("a scramble is short");
            }
        }
    }
}

fn framed(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    packet::put(&mut out, seq, payload);
    out
}

/// Old clients, new ones, and those with their own wishes.
fn capabilities(kind: usize) -> Capabilities {
    let usual = Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | Capabilities::CONNECT_ATTRS
        | Capabilities::TRANSACTIONS
        | Capabilities::MULTI_RESULTS
        | Capabilities::PS_MULTI_RESULTS;
    match kind {
        0 => usual | Capabilities::DEPRECATE_EOF | Capabilities::MULTI_STATEMENTS | Capabilities::LOCAL_FILES,
        1 => usual | Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK | Capabilities::QUERY_ATTRIBUTES,
        2 => usual | Capabilities::MULTI_STATEMENTS | Capabilities::FOUND_ROWS,
        _ => usual | Capabilities::LOCAL_FILES | Capabilities::PLUGIN_AUTH_LENENC_DATA,
    }
}

/// One of each road through the gate.
const STATEMENTS: [&[u8]; 36] = [
    b"SELECT a FROM t",
    b"INSERT INTO t VALUES (1)",
    b"BEGIN",
    b"COMMIT",
    b"ROLLBACK",
    b"SET sql_mode='ANSI'",
    b"SET NAMES latin1",
    b"SET autocommit=0",
    b"SET autocommit=1",
    b"USE shop",
    b"USE other",
    b"SELECT * FROM t FOR UPDATE",
    b"LOAD DATA LOCAL INFILE '/f' INTO TABLE t",
    b"CALL p()",
    b"SELECT 1; INSERT INTO t VALUES (2)",
    b"CREATE TEMPORARY TABLE x (a INT)",
    b"DROP TEMPORARY TABLE x",
    b"SELECT GET_LOCK('a', 1)",
    b"SET @a = 1",
    b"SELECT @a",
    b"SELECT LAST_INSERT_ID()",
    b"SHOW WARNINGS",
    b"SELECT CONNECTION_ID()",
    b"KILL QUERY 7",
    b"KILL 1",
    b"EXPLAIN ROUTE SELECT 1",
    b"SHOW WEIR POOLS",
    b"SHOW WEIR PINS",
    b"SHOW WEIR PINS BY ACCOUNT",
    b"SHOW WEIR BACKENDS LIKE '%1' LIMIT 1",
    b"SHOW WEIR DIGESTS ORDER BY count",
    b"START TRANSACTION READ ONLY",
    b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    b"XA START 'a'",
    b"SELECT fail",
    b"",
];
