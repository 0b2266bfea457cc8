//! Aligning: making the leased connection look like the client's session, by difference, then sending the command.
//!
//! ```text
//!   step_next:  change of user ─► schema ─► variables ─► prepare ─► insert id, trackers, … ─► the command
//!                 awaited         awaited    pipelined*   awaited    pipelined
//! ```
//! \* A change of variables that this backend has accepted before cannot fail, so it travels in front of the command in
//! the same write. A schema may have been dropped since: if `USE` failed with the command already behind it, the command
//! would run in the wrong schema, so it is awaited. The pool prefers connections that are in the right schema.

use crate::engine::Engine;
use crate::limits::COMMAND_BYTES_BUFFERED_MAX;
use crate::link::expect::{Expect, Purpose};
use crate::link::{Link, LinkPhase};
use crate::session::prepared::Text;
use crate::session::previous::{ABOUT_PREVIOUS, Place};
use crate::session::refuse::Refusal;
use crate::session::{Body, InsertId, Phase, Progress, Request, Session, UNSEEN};
use crate::slots::Key;
use crate::state::{SchemaId, StateId};
use std::rc::Rc;
use weir_net::command::Command;
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::ReplyKind;
use weir_planner::{Asks, Effects};

enum Next {
    ChangeUser(SchemaId),
    Schema(SchemaId),
    Variables {
        wants: StateId,
        may_fail: bool,
    },
    Prepare(Rc<Text>),
    GiveInsertId(u64),
    /// The server's own number stands unless it is 0.
    MendInsertId(u64),
    Trackers,
    UserVariables,
    Lead(Vec<Rc<[u8]>>),
    AskWritable,
    Send,
}

/// It asks about the previous statement, and about no user variable.
fn keeps_previous(request: &Request) -> bool {
    const MAY_READ: Effects = Effects::READS_USER_VARIABLE.union(UNSEEN);
    request.asks().intersects(ABOUT_PREVIOUS)
        && request.plan.as_ref().is_none_or(|plan| !plan.effects.intersects(MAY_READ))
}

impl Engine {
    /// Does the next steps for a session in `Aligning`, until one has to be awaited or the command is sent.
    // Never inlined: what a lease costs is counted without it, by its name.
    #[inline(never)]
    pub(crate) fn proceed(&mut self, session: Key<Session>) {
        loop {
            let Some(s) = self.sessions.get(session) else { return };
            let (Phase::Aligning(_), Some(link)) = (&s.phase, s.lease) else { return };
            if !self.links[link].expects.is_empty() && self.awaits(link) {
                return;
            }
            if s.account != self.links[link].account && self.keep_insert_id(link, Some(session)) {
                return;
            }
            self.keep_insert_id(link, Some(session));
            let Some(s) = self.sessions.get(session) else { return };
            let (Phase::Aligning(request), Some(link)) = (&s.phase, s.lease) else { return };
            let missing = self.missing_statement(session, request, link);
            let home = missing.map(|text| (self.states.understood_as(self.sessions[session].state, text.state), text));
            let Some(Phase::Aligning(request)) = self.sessions.get(session).map(|s| &s.phase) else { return };
            match self.step_next(session, request, link, home) {
                // What is under way would be taken for the server's side of the login.
                Next::ChangeUser(_) if !self.links[link].expects.is_empty() => return,
                Next::ChangeUser(schema) => {
                    let account = s.account;
                    return self.change_user(link, account, schema);
                }
                Next::Schema(schema) => {
                    let name = self.states.schema_name(schema).to_vec();
                    return self.inject(link, ReplyKind::Simple, Purpose::Schema(schema), Command::InitDb, &name);
                }
                Next::Variables { wants, may_fail } => {
                    let mut text = Vec::new();
                    self.states.difference(self.links[link].state, wants, &mut text);
                    self.inject(link, ReplyKind::Query, Purpose::Variables(wants), Command::Query, &text);
                    if may_fail {
                        return;
                    }
                    self.links[link].state = wants;
                }
                Next::Prepare(text) => {
                    self.counters.statements_reprepared += 1;
                    let sql = text.sql.clone();
                    return self.inject(link, ReplyKind::Prepare, Purpose::Prepare(text), Command::StmtPrepare, &sql);
                }
                Next::GiveInsertId(id) => {
                    let text = format!("SET last_insert_id={id}");
                    self.inject(link, ReplyKind::Query, Purpose::GiveInsertId, Command::Query, text.as_bytes());
                    self.sessions[session].insert_id = InsertId::OnLink { link, said: id, before: 0 };
                }
                Next::MendInsertId(before) => {
                    let text =
                        format!("SET last_insert_id=CAST(COALESCE(NULLIF(LAST_INSERT_ID(),0),{before}) AS UNSIGNED)");
                    self.inject(link, ReplyKind::Query, Purpose::GiveInsertId, Command::Query, text.as_bytes());
                    let said = self.sessions[session].insert_id.known();
                    self.sessions[session].insert_id = InsertId::OnLink { link, said, before: 0 };
                }
                Next::Trackers => self.give_trackers(session, link),
                Next::UserVariables => {
                    let asks = request.asks();
                    match self.give_user_variables(session, asks) {
                        Some(text) => self.inject(link, ReplyKind::Query, Purpose::GiveInsertId, Command::Query, &text),
                        None => return self.refuse_request(session, &Refusal::DiagnosticsGone),
                    }
                }
                Next::Lead(way) => self.lead(session, link, &way),
                Next::AskWritable => return self.ask_writable(link),
                Next::Send => return self.send(session, link),
            }
        }
    }

    fn lead(&mut self, session: Key<Session>, link: Key<Link>, way: &[Rc<[u8]>]) {
        for text in way {
            self.inject(link, ReplyKind::Query, Purpose::Lead, Command::Query, text);
        }
        let slot = self.links[link].slot;
        self.sessions[session].previous.place = Place::On { slot, rows: true };
    }

    /// Asks for the insert id of the session that used this connection last, if it is known here alone and the
    /// connection now goes to another, or to the gate itself. True when the question is under way.
    pub(crate) fn keep_insert_id(&mut self, link: Key<Link>, next: Option<Key<Session>>) -> bool {
        let asked = |e: &Expect| matches!(e.purpose, Purpose::InsertId(_));
        let l = &self.links[link];
        if !l.expects.is_empty() && l.expects.iter().any(asked) {
            return true;
        }
        let Some(owner) = l.last_session.filter(|owner| Some(*owner) != next) else { return false };
        let known_here = |s: &Session| matches!(s.insert_id, InsertId::OnLink { link: on, .. } if on == link);
        if !self.sessions.get(owner).is_some_and(known_here) {
            return false;
        }
        self.links[link].captured.clear();
        // The second call leaves 0 for the next user: what that user's statements make of it tells whose it is.
        let ask = b"SELECT LAST_INSERT_ID(),LAST_INSERT_ID(0)";
        self.inject(link, ReplyKind::Query, Purpose::InsertId(owner), Command::Query, ask);
        self.links[link].last_session = None;
        true
    }

    /// True when a reply is under way that decides about what may be sent next.
    fn awaits(&self, link: Key<Link>) -> bool {
        self.links[link].expects.iter().any(|e| match e.purpose {
            Purpose::Schema(_) | Purpose::Prepare(_) | Purpose::Setup | Purpose::Reset | Purpose::Writable => true,
            Purpose::Variables(wants) => self.links[link].state != wants,
            _ => false,
        })
    }

    /// The text of the request's statement, if its connection has not prepared it.
    fn missing_statement(&self, session: Key<Session>, request: &Request, link: Key<Link>) -> Option<Rc<Text>> {
        let uses = matches!(request.command, Command::StmtExecute | Command::StmtSendLongData);
        let statement = self.sessions[session].statements.get(&request.statement.filter(|_| uses)?)?;
        let is_there = self.links[link].statements.contains_key(&statement.text.id);
        (!is_there).then(|| statement.text.clone())
    }

    /// `home`: a statement to be prepared first, and the state in which it is understood as it was.
    fn step_next(
        &self,
        session: Key<Session>,
        request: &Request,
        link: Key<Link>,
        home: Option<(StateId, Rc<Text>)>,
    ) -> Next {
        let s = &self.sessions[session];
        let l = &self.links[link];
        if l.account != s.account {
            return Next::ChangeUser(s.schema);
        }
        // A statement is prepared where its names meant what they meant when the client prepared it.
        // Without a schema it can only have qualified names, which mean the same in any.
        let (schema, state) = match &home {
            None if request.schemaless.is_some() => (SchemaId(0), s.state),
            None => (s.schema, s.state),
            Some((state, text)) if text.schema == SchemaId(0) => (l.schema, *state),
            Some((state, text)) => (text.schema, *state),
        };
        if l.schema != schema && schema != SchemaId(0) {
            return Next::Schema(schema);
        }
        if l.schema != schema {
            // "No schema" cannot be selected: only a fresh login has none.
            return Next::ChangeUser(schema);
        }
        if l.state != state {
            let may_fail = !self.accepted.contains(&(l.backend, l.state.0, state.0));
            return Next::Variables { wants: state, may_fail };
        }
        if let Some((_, text)) = home {
            return Next::Prepare(text);
        }
        let asks = request.asks();
        match s.insert_id {
            InsertId::Never if asks.contains(Asks::LAST_INSERT_ID) && l.last_session != Some(session) => {
                Next::GiveInsertId(0)
            }
            InsertId::Known(id) if asks.contains(Asks::LAST_INSERT_ID) => Next::GiveInsertId(id),
            InsertId::OnLink { link: on, said, .. } if on != link && asks.contains(Asks::LAST_INSERT_ID) => {
                Next::GiveInsertId(said)
            }
            InsertId::OnLink { before, .. } if before != 0 && asks.contains(Asks::LAST_INSERT_ID) => {
                Next::MendInsertId(before)
            }
            _ if self.must_ask_writable(session, request, link) => Next::AskWritable,
            // A statement that could read one goes to the primary.
            _ if s.user_variables.is_lost
                && request.route == weir_planner::Route::Primary
                && !keeps_previous(request) =>
            {
                Next::UserVariables
            }
            _ if self.wants_own_trackers(request) && !l.bare => Next::Trackers,
            _ if asks.intersects(ABOUT_PREVIOUS) && !matches!(s.previous.place, Place::On { .. }) => {
                s.previous.way(asks).map_or(Next::Send, Next::Lead)
            }
            _ => Next::Send,
        }
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
        l.goes_on = l.undisturbed && l.last_session == Some(session);
        l.undisturbed = true;
        l.forwarded = 0;
        l.last_session = Some(session);
        let eof_wanted = !self.sessions[session].caps.contains(weir_net::flags::Capabilities::DEPRECATE_EOF);
        if l.expects.len() == 1 {
            l.scan.mark_columns_end(eof_wanted);
        }
        self.sessions[session].phase = Phase::Relaying(request);
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
        let code = weir_net::outcome::ErrPacket::decode(err).map_or(0, |e| e.code);
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
