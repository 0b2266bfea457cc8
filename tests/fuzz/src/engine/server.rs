//! A backend: greets, lets everybody in, and has an answer for every command, to be sent when the input says so.
//!
//! It is honest about the protocol and knows no SQL beyond first words: enough for each road through the gate to be
//! walked to its end.

use std::collections::VecDeque;

use weir_net::auth::FAST_AUTH_OK;
use weir_net::column::{Column, Form, put_result};
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet;
use weir_net::track::{Track, put_track};
use weir_net::writer::Put;

use super::wire::take_packet;

/// What every connection of the gate's to a backend has.
const CAPS: Capabilities =
    Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF).union(Capabilities::SESSION_TRACK);
const GTID: &[u8] = b"07070707-0707-0707-0707-070707070707:";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeted,
    /// A switch was sent, as 9.x does in a change of user.
    Switched,
    Ready,
    /// The client's file is on its way.
    File,
}

#[derive(Debug)]
pub struct Server {
    pub backend: usize,
    phase: Phase,
    heard: Vec<u8>,
    /// What is to be sent, one entry for each reply.
    pub answers: VecDeque<Vec<u8>>,
    status: Status,
    statements: u32,
    transactions: u64,
    has_attributes: bool,
}

impl Server {
    pub fn new(backend: usize) -> Server {
        let mut server = Server {
            backend,
            phase: Phase::Greeted,
            heard: Vec::new(),
            answers: VecDeque::new(),
            status: Status::AUTOCOMMIT,
            statements: 0,
            transactions: 3,
            has_attributes: false,
        };
        let greeting = Greeting {
            version: b"9.7.4",
            connection_id: 7,
            nonce: *b"abcdefghijklmnopqrst",
            capabilities: Capabilities(0xffff_ffff).minus(Capabilities::SSL),
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin: b"caching_sha2_password",
        };
        let mut payload = Vec::new();
        greeting.encode(&mut payload);
        server.answer(0, &payload);
        server
    }

    /// Bytes from the gate.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        while let Some((seq, payload)) = take_packet(&mut self.heard) {
            self.handle(seq.wrapping_add(1), &payload);
        }
    }

    fn handle(&mut self, seq: u8, payload: &[u8]) {
        match self.phase {
            Phase::Greeted => {
                let caps = payload.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                self.has_attributes = Capabilities(u64::from(caps)).contains(Capabilities::QUERY_ATTRIBUTES);
                self.let_in(seq);
            }
            Phase::Switched => self.let_in(seq),
            Phase::File if payload.is_empty() => {
                self.phase = Phase::Ready;
                self.ok(seq, &[]);
            }
            Phase::File => {}
            Phase::Ready => self.command(seq, payload),
        }
    }

    fn let_in(&mut self, seq: u8) {
        self.phase = Phase::Ready;
        self.status = Status::AUTOCOMMIT;
        self.answer(seq, &FAST_AUTH_OK);
        self.ok(seq.wrapping_add(1), &[]);
    }

    fn command(&mut self, seq: u8, payload: &[u8]) {
        let Some((kind, body)) = payload.split_first() else { return };
        match Command::from_byte(*kind) {
            Some(Command::Query) => {
                let skip = if self.has_attributes { 2 } else { 0 };
                self.query(seq, body.get(skip..).unwrap_or_default());
            }
            Some(Command::ChangeUser) => {
                self.phase = Phase::Switched;
                self.answer(seq, b"\xfecaching_sha2_password\0abcdefghijklmnopqrsu\0");
            }
            Some(Command::StmtPrepare) => self.prepare(seq, body),
            Some(Command::StmtExecute) if body.get(4) == Some(&1) => self.cursor(seq),
            Some(Command::StmtExecute) => self.result(seq, self.status),
            Some(Command::StmtFetch) => self.end(seq, self.status | Status::LAST_ROW_SENT),
            Some(Command::StmtClose | Command::StmtSendLongData | Command::Quit) => {}
            Some(Command::Statistics) => self.answer(seq, b"Uptime: 1"),
            Some(Command::FieldList | Command::SetOption | Command::BinlogDump) => self.end(seq, self.status),
            Some(Command::InitDb) => self.ok(seq, &[Track::Schema(body)]),
            Some(Command::ResetConnection) => {
                self.status = Status::AUTOCOMMIT;
                self.ok(seq, &[]);
            }
            _ => self.ok(seq, &[]),
        }
    }

    fn query(&mut self, seq: u8, text: &[u8]) {
        let word = text.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
        match word {
            _ if text.ends_with(b"fail") => self.err(seq, 1064),
            b"BEGIN" | b"START" => {
                self.status = self.status | Status::IN_TRANS;
                self.ok(seq, &[]);
            }
            b"COMMIT" | b"ROLLBACK" => {
                self.status = self.status.minus(Status::IN_TRANS);
                self.ok(seq, &[]);
            }
            b"SET" => self.set(seq, text.get(4..).unwrap_or_default()),
            b"USE" => self.ok(seq, &[Track::Schema(text.get(4..).unwrap_or_default())]),
            b"LOAD" => {
                self.phase = Phase::File;
                self.answer(seq, b"\xfb/f");
            }
            b"CALL" => self.two_results(seq),
            _ if text.contains(&b';') => self.two_results(seq),
            b"SELECT" | b"SHOW" => self.result(seq, self.status),
            b"KILL" => self.err(seq, 1094),
            b"INSERT" | b"CREATE" | b"DROP" => {
                self.transactions += 1;
                let gtid = [GTID, self.transactions.to_string().as_bytes()].concat();
                self.ok(seq, &[Track::Gtids(&gtid), Track::StateChanged(true)]);
            }
            _ => self.ok(seq, &[]),
        }
    }

    /// Every assignment is reported as it was written, without quotes.
    fn set(&mut self, seq: u8, text: &[u8]) {
        let mut tracks = Vec::new();
        for assignment in text.split(|byte| *byte == b',') {
            let mut parts = assignment.splitn(2, |byte| *byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                let inside = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'"));
                tracks.push(Track::Variable { name, value: inside.unwrap_or(value) });
            }
        }
        if text == b"autocommit=0" {
            self.status = self.status.minus(Status::AUTOCOMMIT);
        } else if text == b"autocommit=1" {
            self.status = self.status | Status::AUTOCOMMIT;
        }
        self.ok(seq, &tracks);
    }

    fn prepare(&mut self, seq: u8, text: &[u8]) {
        self.statements += 1;
        let params = text.iter().filter(|byte| **byte == b'?').count() as u16;
        let columns = u16::from(text.starts_with(b"SELECT"));
        let mut payload = vec![0];
        payload.put_u32(self.statements);
        payload.put_u16(columns);
        payload.put_u16(params);
        payload.put_bytes(&[0, 0, 0]);
        let mut bytes = Vec::new();
        let mut next = packet::put(&mut bytes, seq, &payload);
        for _ in 0..params + columns {
            next = packet::put(&mut bytes, next, COLUMN);
        }
        self.answers.push_back(bytes);
    }

    fn cursor(&mut self, seq: u8) {
        let mut bytes = Vec::new();
        let next = packet::put(&mut bytes, seq, &[1]);
        let next = packet::put(&mut bytes, next, COLUMN);
        let mut end = Vec::new();
        EofPacket { warnings: 0, status: self.status | Status::CURSOR_EXISTS }.encode(&mut end, CAPS);
        packet::put(&mut bytes, next, &end);
        self.answers.push_back(bytes);
    }

    fn result(&mut self, seq: u8, status: Status) {
        let mut bytes = Vec::new();
        let end = EofPacket { warnings: 0, status };
        put_result(&mut bytes, seq, CAPS, end, &[Column::text(b"a", 5)], &[vec![Some(b"1".to_vec())]], Form::Text);
        self.answers.push_back(bytes);
    }

    fn two_results(&mut self, seq: u8) {
        let mut bytes = Vec::new();
        let columns = [Column::text(b"a", 5)];
        let more = EofPacket { warnings: 1, status: self.status | Status::MORE_RESULTS };
        let next =
            put_result(&mut bytes, seq, CAPS, more, &columns, &[vec![Some(b"1".to_vec())], vec![None]], Form::Text);
        packet::put(&mut bytes, next, &ok_payload(self.status, &[]));
        self.answers.push_back(bytes);
    }

    fn ok(&mut self, seq: u8, tracks: &[Track<'_>]) {
        self.answer(seq, &ok_payload(self.status, tracks));
    }

    fn end(&mut self, seq: u8, status: Status) {
        let mut payload = Vec::new();
        EofPacket { warnings: 0, status }.encode(&mut payload, CAPS);
        self.answer(seq, &payload);
    }

    fn err(&mut self, seq: u8, code: u16) {
        let mut payload = Vec::new();
        ErrPacket { code, state: *b"42000", message: b"no" }.encode(&mut payload);
        self.answer(seq, &payload);
    }

    fn answer(&mut self, seq: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        packet::put(&mut bytes, seq, payload);
        self.answers.push_back(bytes);
    }
}

/// A result of one column whose rows hold this cell and more, and whose end does not come; with right numbers.
pub fn many_rows(seq: u8, cell: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let seq = packet::put(&mut bytes, seq, &[1]);
    let mut seq = packet::put(&mut bytes, seq, COLUMN);
    let mut row = Vec::new();
    row.put_lenenc_bytes(&[cell, &[b'r'; 500]].concat());
    while bytes.len() < bytes_max {
        seq = packet::put(&mut bytes, seq, &row);
    }
    bytes
}

fn ok_payload(status: Status, tracks: &[Track<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    tracks.iter().for_each(|track| put_track(&mut block, track));
    let ok = OkPacket { affected_rows: 1, last_insert_id: 5, status, track: &block, ..OkPacket::default() };
    let mut payload = Vec::new();
    ok.encode(&mut payload, CAPS);
    payload
}

const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x14\0\0\0\x08\0\0\0\0\0";
