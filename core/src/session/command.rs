//! Commands: where one begins and ends in the client's bytes, and what each of them wants (S40, S44, S48).
//!
//! ```text
//!   inbound:  [len len len 0][cmd …payload…][len len len 0][cmd …      pipelined commands wait in line
//!              └───────── request.len ─────┘
//! ```
//! A command up to `COMMAND_BYTES_BUFFERED_MAX` is looked at when all of it is here; a longer one streams through.
//! Rules: MySQL "Command Phase".

use crate::engine::Engine;
use crate::limits::{COMMAND_BYTES_BUFFERED_MAX, QUEUE_BYTES_HIGH, REQUESTS_SPARE_MAX, STREAMED_TEXT_BYTES};
use crate::queue::Queue;
use crate::session::farewell::Parting;
use crate::session::refuse::Refusal;
use crate::session::trackers::News;
use crate::session::{Body, Phase, Progress, Request, Session};
use crate::slots::Key;
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EofPacket, OkPacket};
use weir_net::packet::{HEADER_BYTES, Header, PAYLOAD_MAX};
use weir_planner::Route;

impl Engine {
    pub(crate) fn client_chunk(&mut self, session: Key<Session>, chunk: crate::block::Chunk) {
        self.counters.bytes_from_clients += chunk.len() as u64;
        self.sessions[session].inbound.push(&mut self.blocks, chunk);
        self.run(session);
        self.balance_inbound(session);
    }

    /// Goes on with a session as far as its bytes and its phase allow: the one place where phases follow each other.
    pub(crate) fn run(&mut self, session: Key<Session>) {
        let Some(s) = self.sessions.get(session) else { return };
        match &s.phase {
            Phase::Greet(_) => self.run_greet(session),
            Phase::Ready => self.run_ready(session),
            Phase::Waiting(_, crate::session::Wait::Primary) => self.decide_anew(session),
            Phase::Verify(verify) if verify.ticket.is_none() && s.lease.is_none() => self.decide_anew(session),
            Phase::Relaying(request) if request.body != Body::Whole => self.stream_more(session),
            Phase::Feeding(..) => self.feed_more(session),
            Phase::Verify(_)
            | Phase::Waiting(..)
            | Phase::Aligning(_)
            | Phase::Relaying(_)
            | Phase::Killing(..)
            | Phase::Setting(..)
            | Phase::Showing(_)
            | Phase::Unresolved(..)
            | Phase::Asking
            | Phase::Farewell => {}
        }
    }

    fn run_ready(&mut self, session: Key<Session>) {
        let s = &self.sessions[session];
        // Who does not read answers gets no more of them: the next command waits until some have left.
        if self.wires[s.wire].queued_bytes() > QUEUE_BYTES_HIGH {
            return;
        }
        let Some((header, command)) = self.front(&s.inbound) else { return };
        let has_lost = s.lost.is_some();
        if s.leaving && s.lease.is_none() {
            return self.part_with(session, 0, &Refusal::Draining);
        }
        if header.seq != 0 {
            self.counters.client_errors += 1;
            return self.part_with(session, header.seq.wrapping_add(1), &Refusal::OutOfOrder);
        }
        let have = s.inbound.len();
        let whole = HEADER_BYTES + header.payload_len as usize;
        let streams = header.is_continued() || whole > COMMAND_BYTES_BUFFERED_MAX;
        let enough = match Command::from_byte(command) {
            _ if !streams => whole,
            // In front of its values stand a bit and a type for each of up to 65,535 parameters.
            Some(Command::StmtExecute) => COMMAND_BYTES_BUFFERED_MAX,
            _ => HEADER_BYTES + STREAMED_TEXT_BYTES,
        };
        if have < enough {
            return;
        }
        self.counters.commands += 1;
        let body = if streams {
            Body::Streaming {
                left: PAYLOAD_MAX.min(header.payload_len as usize),
                continued: header.is_continued(),
                seq: 0,
            }
        } else {
            Body::Whole
        };
        let kind = Command::from_byte(command);
        let len = if streams { HEADER_BYTES } else { whole };
        let request = self.take_in(Request::new(kind.unwrap_or(Command::Query), len, body, self.now));
        if kind.is_some() && !has_lost {
            return self.dispatch(session, request);
        }
        match (kind, self.sessions[session].lost.take()) {
            (None, None) => self.refuse(session, request, &Refusal::UnknownCommand),
            (Some(Command::Quit), _) | (Some(_), None) => self.dispatch(session, request),
            // It has no reply that could tell.
            (Some(Command::StmtClose), lost) => {
                self.sessions[session].lost = lost;
                self.dispatch(session, request);
            }
            (_, Some(why)) => {
                let statement = self.statement_of(session, &request).map(|(id, _)| id);
                self.refuse(session, request.on(statement), &why);
            }
        }
    }

    fn take_in(&mut self, request: Request) -> Box<Request> {
        match self.spare.pop() {
            Some(mut spare) => {
                *spare = request;
                spare
            }
            None => Box::new(request),
        }
    }

    /// It has ended. What else it holds is let go when it is used again.
    pub(crate) fn lay_aside(&mut self, request: Box<Request>) {
        debug_assert!(request.kept.is_empty(), "its blocks have gone home");
        if self.spare.len() < REQUESTS_SPARE_MAX {
            self.spare.push(request);
        }
    }

    /// Header and command byte at the front of the client's bytes. An empty packet has no such byte: it is taken for a
    /// `COM_SLEEP`, as the server takes it, and the byte behind it belongs to the next packet.
    fn front(&self, inbound: &Queue) -> Option<(Header, u8)> {
        let first = self.blocks.bytes(inbound.first()?);
        if first.len() > HEADER_BYTES {
            return front_of(first);
        }
        let mut copy = Vec::new();
        inbound.copy_to(&self.blocks, 0, HEADER_BYTES + 1, &mut copy);
        front_of(&copy)
    }

    /// What each command wants.
    fn dispatch(&mut self, session: Key<Session>, request: Box<Request>) {
        match request.command {
            Command::Query => self.query(session, request),
            Command::StmtPrepare => self.prepare(session, request),
            Command::StmtExecute => self.execute(session, request),
            Command::StmtFetch | Command::StmtReset | Command::StmtSendLongData | Command::StmtClose => {
                self.on_statement(session, request)
            }
            Command::Quit => self.client_gone(session),
            Command::Ping => self.ping(session, request),
            Command::ResetConnection => self.reset_session(session, request),
            Command::ChangeUser => self.change_user_asked(session, request),
            Command::SetOption => self.set_option(session, request),
            Command::InitDb => self.route_to(session, request, Route::Any),
            Command::ProcessKill => self.kill_command(session, request),
            Command::Statistics | Command::ProcessInfo | Command::Debug | Command::Refresh => {
                self.route_to(session, request, Route::Primary)
            }
            Command::FieldList
            | Command::CreateDb
            | Command::DropDb
            | Command::RegisterSlave
            | Command::BinlogDump
            | Command::BinlogDumpGtid => match self.command_forbidden(session, &request) {
                Some(why) => self.refuse(session, request, &why),
                None => self.route_to(session, request, Route::Primary),
            },
            Command::Clone => self.refuse(session, request, &Refusal::CloneRefused),
            _ => self.refuse(session, request, &Refusal::UnknownCommand),
        }
    }

    fn route_to(&mut self, session: Key<Session>, request: Box<Request>, route: Route) {
        self.decide(session, request.to(route));
    }

    /// `COM_SET_OPTION`: 0 switches multi-statements on, 1 off, for the connection that it reaches.
    fn set_option(&mut self, session: Key<Session>, request: Box<Request>) {
        let mut copy = Vec::new();
        let on = match self.command_bytes(session, request.len, &mut copy) {
            [0, 0, ..] => Some(true),
            [1, 0, ..] => Some(false),
            _ => None,
        };
        let Some(on) = on else { return self.route_to(session, request, Route::Any) };
        let s = &mut self.sessions[session];
        s.facts.multi_statements = on;
        s.class = self.classes.intern(s.class_wanted());
        if let Some(link) = s.lease {
            // Held for a transaction or a pin: the connection learns of it too, and is not shared afterwards, since
            // a reset does not undo the option.
            self.links[link].spoiled = true;
            return self.route_to(session, request, Route::Any);
        }
        let mut payload = Vec::with_capacity(8);
        EofPacket { warnings: s.previous.told, status: s.lasting_status() }.encode(&mut payload, s.caps);
        self.answer(session, request, &payload);
        if let Some(s) = self.sessions.get_mut(session) {
            s.previous.commanded(Command::SetOption, false, None);
        }
    }

    fn ping(&mut self, session: Key<Session>, request: Box<Request>) {
        let s = &self.sessions[session];
        if self.transaction_unsure(session) || s.lease.is_some() && s.previous.warnings > 0 {
            // The server knows what the gate does not, or is asked next what a ping was the last to change (`ROW_COUNT`).
            return self.route_to(session, request, Route::Any);
        }
        // Ping resets nothing and asks nothing about data: the gate itself is alive.
        self.answer_ok(session, request);
        if let Some(s) = self.sessions.get_mut(session) {
            s.previous.commanded(Command::Ping, false, None);
        }
    }

    /// Only the server, on the connection that the session holds, knows whether it is in a transaction.
    pub(crate) fn transaction_unsure(&self, session: Key<Session>) -> bool {
        self.sessions[session].transaction_unsure && self.sessions[session].lease.is_some()
    }

    /// An OK of the gate's own for a statement: the next questions are about it.
    pub(crate) fn answer_statement(&mut self, session: Key<Session>, request: Box<Request>) {
        self.sessions[session].previous.done();
        self.answer_ok(session, request);
    }

    /// Uses up a command that the gate answers itself, with an OK.
    pub(crate) fn answer_ok(&mut self, session: Key<Session>, request: Box<Request>) {
        let s = &mut self.sessions[session];
        let mut payload = Vec::with_capacity(16);
        // MariaDB counts none with what is no statement.
        let warnings = if s.facts.is_mariadb() { 0 } else { s.previous.told };
        let news = s.trackers.tell(News::default(), false);
        let changed = if news.flagged { Status::SESSION_STATE_CHANGED } else { Status::default() };
        let status = s.lasting_status() | changed;
        OkPacket { status, warnings, track: &news.tracks, ..OkPacket::default() }.encode(&mut payload, s.caps);
        self.answer(session, request, &payload);
    }

    pub(crate) fn answer(&mut self, session: Key<Session>, mut request: Box<Request>, payload: &[u8]) {
        if self.without_reply(session, &request, payload) {
            return;
        }
        self.counters.commands_local += 1;
        self.log_answered(session, &mut request, payload);
        if request.body != Body::Whole {
            // Its bytes are still to come, and would be taken for the next command: it ends here.
            self.say_packet(session, 1, payload);
            return self.end_session(session, Parting::AfterSending);
        }
        self.use_up(session, &request);
        self.say_packet(session, 1, payload);
        self.rest(session);
    }

    /// Takes the bytes of a whole command off the client's input without sending them.
    pub(crate) fn use_up(&mut self, session: Key<Session>, request: &Request) {
        debug_assert!(request.body == Body::Whole, "a command that streams cannot be skipped");
        if request.command == Command::StmtExecute {
            self.keep_types(session, request);
        }
        self.sessions[session].inbound.consume(&mut self.blocks, request.len);
    }

    /// Answers a command that was not sent anywhere with an error of the gate's own.
    pub(crate) fn refuse(&mut self, session: Key<Session>, mut request: Box<Request>, why: &Refusal) {
        self.counters.commands_refused += 1;
        let payload = why.payload();
        self.log_answered(session, &mut request, &payload);
        if request.body != Body::Whole {
            return self.part_with(session, 1, why);
        }
        request.kept.clear(&mut self.blocks);
        if self.without_reply(session, &request, &payload) {
            return;
        }
        if request.progress == Progress::Unsent {
            self.use_up(session, &request);
        }
        let (code, state, message) = why.words();
        let previous = &mut self.sessions[session].previous;
        let before = previous.told;
        previous.failed(code, state, &message);
        if matches!(why, Refusal::UnknownCommand) {
            previous.failed_also(before);
        }
        self.say_packet(session, 1, &payload);
        self.rest(session);
    }

    /// A command without a reply is never answered: its error waits for the statement's execute, as at the server.
    fn without_reply(&mut self, session: Key<Session>, request: &Request, err: &[u8]) -> bool {
        if !matches!(request.command, Command::StmtSendLongData | Command::StmtClose) {
            return false;
        }
        if request.progress == Progress::Unsent {
            if request.body != Body::Whole {
                self.client_gone(session);
                return true;
            }
            self.use_up(session, request);
        }
        let statement = request.statement.and_then(|id| self.sessions[session].statements.get_mut(&id));
        if let (Some(statement), Some(0xff)) = (statement, err.first()) {
            statement.failed = Some(err.into());
        }
        self.rest(session);
        true
    }

    /// The bytes of the command after its command byte, as far as they are here; none of one that streams.
    pub(crate) fn command_bytes<'a>(&'a self, session: Key<Session>, len: usize, copy: &'a mut Vec<u8>) -> &'a [u8] {
        let inbound = &self.sessions[session].inbound;
        let Some(first) = inbound.first() else { return &[] };
        let first = self.blocks.bytes(first);
        if first.len() >= len {
            return first.get(HEADER_BYTES + 1..len).unwrap_or_default();
        }
        copy.clear();
        inbound.copy_to(&self.blocks, HEADER_BYTES + 1, len.saturating_sub(HEADER_BYTES + 1), copy);
        copy
    }

    /// Overwrites four bytes of the command at `offset` (a statement's id) in place.
    pub(crate) fn patch_command(&mut self, session: Key<Session>, offset: usize, value: u32) {
        let inbound = &mut self.sessions[session].inbound;
        inbound.patch(&mut self.blocks, offset, &value.to_le_bytes());
    }

    /// A resting session: nothing in hand. The next command may be here already.
    pub(crate) fn rest(&mut self, session: Key<Session>) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.phase = Phase::Ready;
        s.rested_at = self.now;
        if s.seat.is_some() | s.lanes.is_some() {
            self.end_turn(session);
        }
        let s = &self.sessions[session];
        if s.leaving && s.lease.is_none() {
            return self.part_with(session, 0, &Refusal::Draining);
        }
        if s.could_give_up(self.now) {
            self.questioners.push_back((self.now, session));
        }
        let idle = self.snapshot.settings.client_idle_ms_max;
        let at = if idle == 0 { crate::time::Instant::NEVER } else { self.now.plus_ms(idle) };
        let at = at.min(self.transaction_ends_at(session));
        self.arm_session(session, at);
        if !self.sessions[session].inbound.is_empty() {
            self.seal_before_next(self.sessions[session].wire);
            self.runnable.push_back(session);
        }
        self.balance_inbound(session);
    }

    /// The status word of an EOF for clients that still get one after column definitions.
    pub(crate) fn eof_payload(&self, session: Key<Session>, status: Status) -> Vec<u8> {
        let mut payload = Vec::with_capacity(8);
        let caps = self.sessions[session].caps.minus(Capabilities::DEPRECATE_EOF);
        EofPacket { warnings: 0, status }.encode(&mut payload, caps);
        payload
    }
}

fn front_of(head: &[u8]) -> Option<(Header, u8)> {
    let header = Header::at_front(head)?;
    let command = if header.payload_len == 0 { Command::Sleep as u8 } else { *head.get(HEADER_BYTES)? };
    Some((header, command))
}
