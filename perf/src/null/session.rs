//! `Session`: one client of the null backend, from greeting to farewell.
//!
//! ```text
//! Greeted --login--> Ready --COM_QUIT--> gone
//! ```
//! Invariant: the status that replies carry is that of a server: IN_TRANS from BEGIN (or the first statement without
//! autocommit) to COMMIT, AUTOCOMMIT as it was set. Any password is right.

use std::collections::HashMap;

use weir_net::auth::{CACHING_SHA2, FAST_AUTH_OK, nonce_from_random};
use weir_net::column::Form;
use weir_net::command::{ChangeUser, Command, query_text};
use weir_net::error::Malformed;
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::outcome::OkPacket;
use weir_net::statement::statement_id;
use weir_net::track::{Track, put_track};

use super::World;
use super::answer::{put_error, put_framed, put_ok, put_prepared, put_rows, put_texts};
use super::ask::{Ask, placeholders, statements};
use super::variables::{self, SERVER_UUID, VERSION};
use crate::limits::{NULL_ROWS_MAX, NULL_STATEMENTS_MAX};

#[derive(Debug)]
pub struct Session {
    id: u32,
    phase: Phase,
    caps: Capabilities,
    status: Status,
    schema: Vec<u8>,
    tracks_gtids: bool,
    /// A write of the open transaction has to get its GTID.
    has_written: bool,
    statements: HashMap<u32, Ask>,
    statement_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeted,
    Ready,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Stay,
    Leave,
}

impl Session {
    pub fn greet(id: u32, out: &mut Vec<u8>) -> Self {
        let greeting = Greeting {
            version: VERSION.as_bytes(),
            connection_id: id,
            // Nobody checks the scramble, so the nonce need not be a secret; it differs all the same.
            nonce: nonce_from_random(std::array::from_fn(|n| id.rotate_left(n as u32) as u8)),
            capabilities: SPOKEN,
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin: CACHING_SHA2,
        };
        put_framed(out, 0, |out| greeting.encode(out));
        Self {
            id,
            phase: Phase::Greeted,
            caps: SPOKEN,
            status: Status::AUTOCOMMIT,
            schema: Vec::new(),
            tracks_gtids: false,
            has_written: false,
            statements: HashMap::new(),
            statement_id: 0,
        }
    }

    /// Answers one packet; `seq` is the number of the reply's first one.
    pub fn handle(&mut self, world: &mut World, seq: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<Next, Malformed> {
        match self.phase {
            Phase::Greeted => self.handle_login(seq, payload, out),
            Phase::Ready => self.handle_command(world, seq, payload, out),
        }
    }

    fn handle_login(&mut self, seq: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<Next, Malformed> {
        let login = Login::decode(payload)?;
        self.caps = login.capabilities.intersect(SPOKEN);
        self.schema = login.schema.unwrap_or_default();
        self.phase = Phase::Ready;
        // An empty password is answered with a bare OK, as a scramble of nothing needs no check.
        let is_fast = login.plugin.as_deref() == Some(CACHING_SHA2) && !login.auth.is_empty();
        let seq = match is_fast {
            true => put_framed(out, seq, |out| out.extend_from_slice(&FAST_AUTH_OK)),
            false => seq,
        };
        self.put_ok(out, seq, 0, &[]);
        Ok(Next::Stay)
    }

    fn handle_command(
        &mut self,
        world: &mut World,
        seq: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Next, Malformed> {
        let Some((&first, body)) = payload.split_first() else {
            return Err(Malformed("an empty command"));
        };
        match Command::from_byte(first) {
            Some(Command::Quit) => return Ok(Next::Leave),
            Some(Command::Query) => {
                let text = query_text(body, self.caps)?.text;
                self.query(world, seq, body.get(text).unwrap_or_default(), out);
            }
            Some(Command::StmtPrepare) => self.prepare(seq, body, out),
            Some(Command::StmtExecute) => {
                // Taken out and put back, because answering changes the session.
                let id = statement_id(body)?;
                match self.statements.remove(&id) {
                    Some(ask) => {
                        self.answer(world, seq, &ask, b"", Form::Binary, out);
                        self.statements.insert(id, ask);
                    }
                    None => {
                        put_error(out, seq, 1243, "Unknown prepared statement handler");
                    }
                }
            }
            Some(Command::StmtClose) => {
                self.statements.remove(&statement_id(body)?);
            }
            Some(Command::StmtSendLongData) => {}
            Some(Command::InitDb) => {
                self.use_schema(seq, body, out);
            }
            Some(Command::ChangeUser) => {
                let schema = ChangeUser::decode(body, self.caps)?.schema;
                self.reset();
                self.schema = schema.to_vec();
                self.put_ok(out, seq, 0, &[]);
            }
            Some(Command::ResetConnection) => {
                self.reset();
                self.put_ok(out, seq, 0, &[]);
            }
            Some(Command::Statistics) => {
                put_framed(out, seq, |out| out.extend_from_slice(b"Uptime: 1  Threads: 1"));
            }
            Some(Command::Ping | Command::StmtReset | Command::SetOption | Command::Debug) => {
                self.put_ok(out, seq, 0, &[]);
            }
            _ => {
                put_error(out, seq, 1047, "Unknown command");
            }
        }
        Ok(Next::Stay)
    }

    /// Answers each statement of a text in turn; an error ends it.
    fn query(&mut self, world: &mut World, seq: u8, text: &[u8], out: &mut Vec<u8>) {
        if !self.caps.contains(Capabilities::MULTI_STATEMENTS) || !text.contains(&b';') {
            self.answer(world, seq, &Ask::of(text), text, Form::Text, out);
            return;
        }
        let mut seq = seq;
        let mut left = statements(text).into_iter().peekable();
        while let Some(text) = left.next() {
            let ask = Ask::of(text);
            self.status = match left.peek() {
                Some(_) => self.status | Status::MORE_RESULTS,
                None => self.status.minus(Status::MORE_RESULTS),
            };
            seq = self.answer(world, seq, &ask, text, Form::Text, out);
            if matches!(ask, Ask::Signal | Ask::Wait) {
                break;
            }
        }
        self.status = self.status.minus(Status::MORE_RESULTS);
    }

    /// Returns the number of the packet that may follow.
    fn answer(&mut self, world: &mut World, seq: u8, ask: &Ask, text: &[u8], form: Form, out: &mut Vec<u8>) -> u8 {
        match ask {
            Ask::Rows(rows) => {
                self.open_if_needed();
                let rows = (*rows).min(NULL_ROWS_MAX);
                match (rows, seq) {
                    (1, 1) => world.canned.put_point(out, self.caps, self.status, form),
                    _ => put_rows(out, seq, self.caps, self.status, form, rows),
                }
            }
            // Prepared, these have one column, too.
            Ask::Variables(_) | Ask::Show | Ask::ShowVariable(_) | Ask::Zero if form == Form::Binary => {
                put_rows(out, seq, self.caps, self.status, form, 0)
            }
            Ask::Variables(names) => {
                let values = (names.iter()).map(|name| variables::value(name, world, self.id, &self.schema)).collect();
                put_texts(out, seq, self.caps, self.status, names, values)
            }
            Ask::Zero => self.put_texts(out, seq, &["COUNT(*)"], vec![Some(b"0".to_vec())]),
            Ask::Show => self.put_texts(out, seq, &["Nothing"], vec![]),
            Ask::ShowVariable(name) => {
                let value = variables::of_name(name, world).into_bytes();
                let row = vec![Some(name.clone().into_bytes()), Some(value)];
                self.put_texts(out, seq, &["Variable_name", "Value"], row)
            }
            Ask::Begin => {
                self.status = self.status | Status::IN_TRANS;
                self.put_ok(out, seq, 0, &[])
            }
            Ask::Commit => self.end_transaction(world, seq, out),
            Ask::Rollback => {
                self.has_written = false;
                self.end_transaction(world, seq, out)
            }
            Ask::Set => self.set(seq, text, out),
            Ask::Use(schema) => self.use_schema(seq, schema, out),
            Ask::Write => self.write(world, seq, out),
            Ask::Signal => put_error(out, seq, 1644, "Unhandled user-defined exception condition"),
            Ask::Wait => put_error(out, seq, 1235, "This server cannot wait for transactions"),
            Ask::Other => self.put_ok(out, seq, 0, &[]),
        }
    }

    fn prepare(&mut self, seq: u8, text: &[u8], out: &mut Vec<u8>) {
        if self.statements.len() >= NULL_STATEMENTS_MAX {
            put_error(out, seq, 1461, "Can't create more prepared statements");
            return;
        }
        self.statement_id = self.statement_id.wrapping_add(1);
        let ask = Ask::of(text);
        let columns = match ask {
            Ask::Rows(_) | Ask::Variables(_) | Ask::Show | Ask::ShowVariable(_) | Ask::Zero => 1,
            _ => 0,
        };
        self.statements.insert(self.statement_id, ask);
        let (id, params) = (self.statement_id, placeholders(text));
        put_prepared(out, seq, self.caps, self.status, id, columns, params);
    }

    fn set(&mut self, seq: u8, text: &[u8], out: &mut Vec<u8>) -> u8 {
        let text: String = (String::from_utf8_lossy(text).to_ascii_lowercase().chars())
            .filter(|letter| !letter.is_whitespace() && *letter != ':')
            .collect();
        let mut track = Vec::new();
        for (word, autocommit) in
            [("autocommit=0", false), ("autocommit=off", false), ("autocommit=1", true), ("autocommit=on", true)]
        {
            if text.contains(word) {
                self.status = match autocommit {
                    true => self.status.minus(Status::IN_TRANS) | Status::AUTOCOMMIT,
                    false => self.status.minus(Status::AUTOCOMMIT),
                };
                let (name, value) = (b"autocommit", if autocommit { &b"ON"[..] } else { b"OFF" });
                put_track(&mut track, &Track::Variable { name, value });
            }
        }
        if let Some((_, value)) = text.split_once("session_track_gtids=") {
            self.tracks_gtids = !value.trim_start_matches(['\'', '"']).starts_with("off");
        }
        self.put_ok(out, seq, 0, &track)
    }

    fn use_schema(&mut self, seq: u8, schema: &[u8], out: &mut Vec<u8>) -> u8 {
        self.schema = schema.to_vec();
        let mut track = Vec::new();
        put_track(&mut track, &Track::Schema(schema));
        self.put_ok(out, seq, 0, &track)
    }

    fn write(&mut self, world: &mut World, seq: u8, out: &mut Vec<u8>) -> u8 {
        self.open_if_needed();
        if self.status.contains(Status::IN_TRANS) {
            self.has_written = true;
            return self.put_ok(out, seq, 1, &[]);
        }
        let track = self.gtid_track(world);
        self.put_ok(out, seq, 1, &track)
    }

    fn end_transaction(&mut self, world: &mut World, seq: u8, out: &mut Vec<u8>) -> u8 {
        self.status = self.status.minus(Status::IN_TRANS);
        let track = match std::mem::take(&mut self.has_written) {
            true => self.gtid_track(world),
            false => Vec::new(),
        };
        self.put_ok(out, seq, 0, &track)
    }

    /// Gives the transaction its GTID, and tells it to those who asked. Its executed set stays empty all the same: a
    /// set that moved would be waited for, and this server answers at once or never.
    fn gtid_track(&self, world: &mut World) -> Vec<u8> {
        world.transactions += 1;
        let mut track = Vec::new();
        if self.tracks_gtids {
            let gtid = format!("{SERVER_UUID}:{}", world.transactions);
            put_track(&mut track, &Track::Gtids(gtid.as_bytes()));
        }
        track
    }

    /// Without autocommit the first statement begins a transaction.
    fn open_if_needed(&mut self) {
        if !self.status.contains(Status::AUTOCOMMIT) {
            self.status = self.status | Status::IN_TRANS;
        }
    }

    fn reset(&mut self) {
        self.status = Status::AUTOCOMMIT;
        self.has_written = false;
        self.tracks_gtids = false;
        self.statements.clear();
    }

    fn put_ok(&self, out: &mut Vec<u8>, seq: u8, affected_rows: u64, track: &[u8]) -> u8 {
        let ok = OkPacket { affected_rows, status: self.status, track, ..OkPacket::default() };
        put_ok(out, seq, self.caps, &ok)
    }

    fn put_texts(&self, out: &mut Vec<u8>, seq: u8, names: &[&str], row: Vec<Option<Vec<u8>>>) -> u8 {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        put_texts(out, seq, self.caps, self.status, &names, row)
    }
}

/// What a MySQL server of today says it can do, without TLS, compression and files.
const SPOKEN: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::FOUND_ROWS.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::NO_SCHEMA.0
        | Capabilities::ODBC.0
        | Capabilities::IGNORE_SPACE.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC_DATA.0
        | Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0
        | Capabilities::QUERY_ATTRIBUTES.0,
);
