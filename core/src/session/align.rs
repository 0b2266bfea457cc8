//! Aligning: making the leased connection look like the client's session, by difference, then sending the command.
//!
//! ```text
//!   step.rs:  change of user ─► schema ─► variables ─► prepare ─► insert id, trackers, … ─► the command
//!                 awaited         awaited    pipelined*   awaited    pipelined
//! ```
//! \* A change of variables that this backend has accepted before cannot fail, so it travels in front of the command in
//! the same write. A schema may have been dropped since: if `USE` failed with the command already behind it, the command
//! would run in the wrong schema, so it is awaited. The pool prefers connections that are in the right schema.

use crate::engine::Engine;
use crate::limits::COMMAND_BYTES_BUFFERED_MAX;
use crate::link::expect::{Expect, Purpose};
use crate::link::{Link, LinkPhase, Tracking};
use crate::session::previous::{ABOUT_PREVIOUS, ASK_ONE_ROW, CLEARS, Place, Way};
use crate::session::refuse::Refusal;
use crate::session::statements::reply_kind;
use crate::session::step::Next;
use crate::session::{Body, Phase, Progress, Request, Session};
use crate::slots::Key;
use crate::state::StateId;
use weir_net::command::Command;
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::ReplyKind;
use weir_planner::Asks;

impl Engine {
    /// Does the next steps for a session in `Aligning`, until one has to be awaited or the command is sent.
    // Never inlined: what a lease costs is counted without it, by its name.
    #[inline(never)]
    pub(crate) fn proceed(&mut self, session: Key<Session>) {
        loop {
            let Some(s) = self.sessions.get(session) else { return };
            let (Phase::Aligning(_), Some(link)) = (&s.phase, s.lease) else { return };
            // Between a change of user and its end nothing is expected, and nothing may be said.
            if !matches!(self.links[link].phase, LinkPhase::Leased) {
                return;
            }
            if !self.links[link].expects.is_empty() && self.awaits(link) {
                return;
            }
            if s.account != self.links[link].account && self.keep_insert_id(link, Some(session)) {
                return;
            }
            self.keep_insert_id(link, Some(session));
            let Some(s) = self.sessions.get(session) else { return };
            let (Phase::Aligning(request), Some(link)) = (&s.phase, s.lease) else { return };
            let asks = request.asks();
            if self.links[link].tracking == Tracking::Refused {
                // Whatever it lacks would be refused as well.
                self.pin_if_expired(session, link);
                return self.send(session, link);
            }
            let Some(next) = self.next_step(session, link) else { return };
            if next.runs_before() && !self.previous_can_be_left(session, asks) {
                return self.refuse_request(session, &Refusal::DiagnosticsGone);
            }
            if !self.take_step(session, link, next) {
                return;
            }
        }
    }

    /// Takes a step. False: it is to be awaited, or it was the last one.
    #[inline]
    fn take_step(&mut self, session: Key<Session>, link: Key<Link>, next: Next) -> bool {
        match next {
            // What is under way would be taken for the server's side of the login.
            Next::ChangeUser(_) if !self.links[link].expects.is_empty() => return false,
            Next::ChangeUser(_) if self.takes_insert_id_along(session, link) => return false,
            Next::ChangeUser(schema) => self.change_user(link, self.sessions[session].account, schema),
            Next::Schema(schema) => {
                let name = self.states.schema_name(schema).to_vec();
                self.inject(link, ReplyKind::Simple, Purpose::Schema(schema), Command::InitDb, &name);
            }
            Next::Variables { wants, may_fail } => {
                self.say_difference(link, wants);
                if !may_fail {
                    self.links[link].state = wants;
                }
                return !may_fail;
            }
            Next::Role(state) => {
                let wants = self.states.role_as(self.links[link].state, state);
                self.say_difference(link, wants);
            }
            Next::Prepare(text) => {
                let sql = text.sql.clone();
                let (kind, command) = match text.name {
                    None => (ReplyKind::Prepare, Command::StmtPrepare),
                    Some(_) => (ReplyKind::Query, Command::Query),
                };
                self.counters.statements_reprepared += 1;
                self.inject(link, kind, Purpose::Prepare(text), command, &sql);
            }
            Next::UserVariables => {
                let text = self.give_user_variables(session, link);
                self.inject(link, ReplyKind::Query, Purpose::Given, Command::Query, &text);
                return true;
            }
            Next::DropNamed(name) => {
                self.drop_named(link, &name);
                return true;
            }
            Next::InsertId(number) => {
                self.give_insert_id(session, link, number);
                return true;
            }
            Next::Trackers => {
                self.give_trackers(session, link);
                return true;
            }
            Next::Lead(way) => {
                self.lead(session, link, &way);
                return true;
            }
            Next::Clear => {
                self.links[link].has_conditions = false;
                self.inject(link, ReplyKind::Query, Purpose::Lead, Command::Query, CLEARS);
                return true;
            }
            Next::Uncount => {
                self.links[link].has_count = false;
                self.inject(link, ReplyKind::Query, Purpose::Lead, Command::Query, ASK_ONE_ROW);
                return true;
            }
            Next::Await(on) => return !self.fetch_insert_id(session, on),
            Next::Lost => self.refuse_request(session, &Refusal::InsertIdGone),
            Next::AskWritable => self.ask_writable(link),
            Next::Send => self.send(session, link),
        }
        false
    }

    fn say_difference(&mut self, link: Key<Link>, wants: StateId) {
        let mut text = Vec::new();
        self.states.difference(self.links[link].state, wants, self.defaults_of(link), &mut text);
        self.inject(link, ReplyKind::Query, Purpose::Variables(wants), Command::Query, &text);
    }

    /// The gate's own statement goes in front of a command that may ask about the previous one. False: what that one left
    /// can be had nowhere else, and its connection stays as it is.
    fn previous_can_be_left(&mut self, session: Key<Session>, asks: Asks) -> bool {
        let previous = &mut self.sessions[session].previous;
        let is_here = asks.intersects(ABOUT_PREVIOUS) && matches!(previous.place, Place::On { .. });
        if is_here && !previous.leave(asks) {
            self.settle_unsent(session);
            return false;
        }
        true
    }

    fn lead(&mut self, session: Key<Session>, link: Key<Link>, way: &[Way]) {
        for (command, text) in way {
            self.inject(link, reply_kind(*command), Purpose::Lead, *command, text);
        }
        let slot = self.links[link].slot;
        let previous = &mut self.sessions[session].previous;
        let rows = !matches!(previous.place, Place::On { rows: false, .. });
        (previous.place, previous.count_is_older) = (Place::On { slot, rows }, false);
    }

    /// True when a reply is under way that decides about what may be sent next.
    fn awaits(&self, link: Key<Link>) -> bool {
        self.links[link].expects.iter().any(|e| match e.purpose {
            Purpose::Schema(_)
            | Purpose::Prepare(_)
            | Purpose::Setup
            | Purpose::Writable
            | Purpose::UserVariables(_) => true,
            Purpose::Variables(wants) => self.links[link].state != wants,
            _ => false,
        })
    }

    /// Sends the client's command as it came.
    fn send(&mut self, session: Key<Session>, link: Key<Link>) {
        let s = &mut self.sessions[session];
        let Phase::Aligning(mut request) = std::mem::replace(&mut s.phase, Phase::Ready) else { return };
        let (kind, patched) = match self.fit_to_link(session, link, &mut request) {
            Ok(fitted) => fitted,
            Err(why) => {
                self.settle_unsent(session);
                return self.refuse(session, request, &why);
            }
        };
        let wire = self.links[link].wire;
        self.begin_command(wire);
        let s = &mut self.sessions[session];
        let mut out = std::mem::take(&mut self.wires[wire].out);
        if request.progress == Progress::Unsent {
            if let Some(front) = patched {
                self.move_patched(session, &mut request, &mut out, front);
            } else {
                let resendable = request.body == Body::Whole && request.len <= COMMAND_BYTES_BUFFERED_MAX;
                if resendable {
                    s.inbound.share_front_to(&mut self.blocks, request.len, &mut request.kept);
                }
                s.inbound.move_to(&mut self.blocks, request.len, &mut out);
            }
        } else {
            request.kept.share_to(&mut self.blocks, 0, &mut out);
        }
        self.wires[wire].out = out;
        self.touch(wire);
        if request.may_commit() {
            let view = self.snapshot.backend(self.links[link].backend);
            self.links[link].trail.send(view.uuid, &view.executed);
        }
        request.progress = Progress::Sent;
        request.sent_at = self.now;
        if request.resends == 0 {
            self.gate_ns.saturating_record(self.now.since_ns(request.since));
        }
        self.count_sent(link);
        self.expect(link, Expect { kind, purpose: Purpose::Client });
        let l = &mut self.links[link];
        l.goes_on = l.is_as_left_by(session);
        l.undisturbed = true;
        l.forwarded = 0;
        l.last_session = Some(session);
        let eof_wanted = !self.sessions[session].caps.contains(weir_net::flags::Capabilities::DEPRECATE_EOF);
        if l.expects.len() == 1 {
            l.scan.mark_columns_end(eof_wanted);
        }
        self.sessions[session].phase = Phase::Relaying(request);
        self.arm_overtime(session, link);
        self.stream_more(session);
    }

    /// A command without a reply ends with its last byte, once the replies to statements in front of it are here.
    fn end_without_reply(&mut self, session: Key<Session>, link: Key<Link>) {
        let Phase::Relaying(request) = &self.sessions[session].phase else { return };
        let expects = &self.links[link].expects;
        let unanswered = expects.len() == 1 && expects.front().is_some_and(|e| e.kind == ReplyKind::Nothing);
        if request.body == Body::Whole && unanswered {
            self.reply_ended(link);
        }
    }

    /// The front of the command is replaced (types inserted), the rest moves as it is.
    fn move_patched(
        &mut self,
        session: Key<Session>,
        request: &mut Request,
        out: &mut crate::queue::Queue,
        (front, skip): (Vec<u8>, usize),
    ) {
        let s = &mut self.sessions[session];
        let mut command = crate::queue::Queue::default();
        command.push_bytes(&mut self.blocks, &front);
        s.inbound.consume(&mut self.blocks, skip);
        s.inbound.move_to(&mut self.blocks, request.len - skip, &mut command);
        // Types were inserted for one connection: sent again, it is built again from what is kept, so nothing is kept.
        let len = command.len();
        command.move_to(&mut self.blocks, len, out);
    }

    fn count_sent(&mut self, link: Key<Link>) {
        let backend = self.links[link].backend;
        self.commands_by_backend[backend.0 as usize] += 1;
        self.traffic[backend.0 as usize].sent();
        if self.snapshot.backend(backend).role == crate::snapshot::Role::Replica {
            self.counters.commands_replica += 1;
        } else {
            self.counters.commands_primary += 1;
        }
    }

    /// More of a long command has come from the client, or its connection has room again.
    pub(crate) fn stream_more(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        let Phase::Relaying(request) = &mut s.phase else { return };
        let Some(link) = s.lease else { return };
        let wire = self.links[link].wire;
        while let Body::Streaming { left, continued, seq } = request.body {
            if left > 0 {
                let n = left.min(s.inbound.len());
                if n == 0 {
                    break;
                }
                s.inbound.move_to(&mut self.blocks, n, &mut self.wires[wire].out);
                request.body = Body::Streaming { left: left - n, continued, seq };
                continue;
            }
            if !continued {
                request.body = Body::Whole;
                self.links[link].scan.expect_seq(seq.wrapping_add(1));
                break;
            }
            if s.inbound.len() < HEADER_BYTES {
                break;
            }
            let mut head = Vec::with_capacity(4);
            s.inbound.copy_to(&self.blocks, 0, HEADER_BYTES, &mut head);
            let header = weir_net::packet::Header::decode([head[0], head[1], head[2], head[3]]);
            s.inbound.move_to(&mut self.blocks, HEADER_BYTES, &mut self.wires[wire].out);
            request.body = Body::Streaming {
                left: header.payload_len as usize,
                continued: header.is_continued(),
                seq: header.seq,
            };
        }
        let client = s.wire;
        self.touch(wire);
        self.balance_inbound(session);
        self.hold_back(wire, client);
        self.end_without_reply(session, link);
    }

    /// A step of the alignment was refused by the backend: the command is answered with that error, unsent.
    pub(crate) fn alignment_failed(&mut self, link: Key<Link>, err: &[u8]) {
        let Some(crate::link::Lessee::Session(session)) = self.links[link].lessee else { return };
        let Phase::Aligning(mut request) = std::mem::replace(&mut self.sessions[session].phase, Phase::Ready) else {
            return;
        };
        let decoded = weir_net::outcome::ErrPacket::decode(err).ok();
        let code = decoded.as_ref().map_or(0, |e| e.code);
        if code == 1049 && request.schemaless.is_none() && request.body == Body::Whole {
            request.schemaless = Some(err.into());
            self.sessions[session].phase = Phase::Aligning(request);
            return self.proceed(session);
        }
        self.settle_unsent(session);
        if request.body != Body::Whole {
            self.say_packet(session, 1, err);
            return self.end_session(session, crate::session::farewell::Parting::AfterSending);
        }
        if let Some(e) = decoded {
            // The connection that knows the error may run others' statements by now.
            self.sessions[session].previous.failed(e.code, &e.state, &String::from_utf8_lossy(e.message));
        }
        self.answer(session, request, err);
    }

    /// Gives the lease back after nothing of the client's was sent.
    pub(crate) fn settle_unsent(&mut self, session: Key<Session>) {
        let s = &self.sessions[session];
        let Some(link) = s.lease else { return };
        let held = !s.pins.is_empty() || self.links[link].status.contains(weir_net::flags::Status::IN_TRANS);
        if !held && self.links[link].expects.is_empty() && matches!(self.links[link].phase, LinkPhase::Leased) {
            self.give_back(session);
        }
    }
}
