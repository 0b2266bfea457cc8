//! `Asker`: one client of a load, logged in: free, or waiting for the answer to its question.
//!
//! Invariant: at most one question is out. An answer's end is told by [`ReplyScan`], as everything that reads MySQL's
//! replies here tells it.

use std::io;
use std::time::Instant;

use weir_net::flags::Capabilities;
use weir_net::outcome::ErrPacket;
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::{ReplyKind, ReplyScan, Step, What};

use super::question::{Dice, Question};
use crate::limits::READ_BYTES;
use crate::wire::{Received, Wire};

pub struct Asker {
    pub wire: Wire,
    caps: Capabilities,
    statement: Option<u32>,
    has_asked: bool,
    dice: Dice,
    scan: ReplyScan,
    /// From when on the latency of the question that is out counts.
    since: Option<Instant>,
    error: Option<String>,
}

/// A question was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub since: Instant,
    pub error: Option<String>,
}

impl Asker {
    /// For a client that has logged in with these capabilities.
    pub fn new(wire: Wire, caps: Capabilities, statement: Option<u32>, seed: u64) -> Self {
        Self {
            wire,
            caps,
            statement,
            has_asked: false,
            dice: Dice::new(seed),
            scan: ReplyScan::new(ReplyKind::Query, caps),
            since: None,
            error: None,
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Sends the next question. Questions are small: a socket that does not take one at once is broken.
    pub fn ask(&mut self, question: &Question, since: Instant) -> io::Result<()> {
        let kind = match self.statement {
            Some(_) => ReplyKind::Execute,
            None => ReplyKind::Query,
        };
        let is_first = !std::mem::replace(&mut self.has_asked, true);
        self.scan.restart(kind, self.caps);
        question.put(&mut self.wire.output, &mut self.dice, self.statement, is_first);
        self.since = Some(since);
        match self.wire.flush()? {
            true => Ok(()),
            false => Err(io::Error::other("a socket takes no question")),
        }
    }

    /// Reads; `Some` when the answer has come to its end.
    pub fn listen(&mut self, room: &mut [u8; READ_BYTES]) -> io::Result<Option<Answer>> {
        match self.wire.receive(room)? {
            Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            Received::Nothing => return Ok(None),
            Received::Bytes => {}
        }
        while !self.wire.untaken().is_empty() && !self.scan.is_done() {
            let input = self.wire.untaken();
            let taken = match self.scan.advance(input) {
                Step::Pass(len) | Step::Hold(len) => len,
                Step::Release | Step::ColumnsEnd => 0,
                Step::Packet { what, len, held } => {
                    if what == What::Err {
                        let packet = match held {
                            true => self.scan.held(),
                            false => &input[..len],
                        };
                        self.error = Some(read_error(packet));
                    }
                    len
                }
                Step::Broken(malformed) => return Err(io::Error::other(malformed.0)),
            };
            self.wire.take(taken);
        }
        if !self.scan.is_done() {
            return Ok(None);
        }
        let error = self.error.take();
        Ok(self.since.take().map(|since| Answer { since, error }))
    }
}

fn read_error(packet: &[u8]) -> String {
    match ErrPacket::decode(packet.get(HEADER_BYTES..).unwrap_or_default()) {
        Ok(error) => {
            let message = String::from_utf8_lossy(error.message);
            format!("{message} ({})", error.code)
        }
        Err(malformed) => malformed.0.to_owned(),
    }
}
