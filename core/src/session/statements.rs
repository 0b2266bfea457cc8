//! Commands on prepared statements: the client's ids are translated, types and long data follow their statement (S41, S42).
//!
//! Rules: MySQL "Prepared Statements", "COM_STMT_EXECUTE".

use crate::engine::Engine;
use crate::limits::{PREPARED_TEXT_BYTES_MAX, STATEMENTS_PER_SESSION_MAX};
use crate::link::{Link, Prepared};
use crate::session::pins::Reasons;
use crate::session::prepared::{Busy, Statement, Text};
use crate::session::refuse::Refusal;
use crate::session::{Body, Phase, Progress, Request, Session};
use crate::slots::Key;
use crate::wire::Wire;
use std::rc::Rc;
use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::packet::{self, HEADER_BYTES};
use weir_net::scan::ReplyKind;
use weir_net::statement::{ExecuteHead, PrepareOk};
use weir_planner::{Effects, Local, Plan, Route};

/// Where a statement's id stands in its command: behind the header and the command byte.
const ID_AT: usize = HEADER_BYTES + 1;
/// What MariaDB takes for "the one that was prepared last": its clients send the execute before they know the id.
const LAST_PREPARED: u32 = u32::MAX;
/// Where a command's body begins.
const BODY_AT: usize = ID_AT;

impl Engine {
    /// `COM_STMT_PREPARE`.
    pub(crate) fn prepare(&mut self, session: Key<Session>, request: Box<Request>) {
        self.sessions[session].prepared_last = 0;
        if request.body != Body::Whole || request.len > PREPARED_TEXT_BYTES_MAX {
            let why = Refusal::MalformedCommand("a statement to be prepared may have 256 KiB at most");
            return self.refuse(session, request, &why);
        }
        if self.sessions[session].statements.len() >= STATEMENTS_PER_SESSION_MAX {
            return self.refuse(session, request, &Refusal::TooManyStatements);
        }
        let mut copy = Vec::new();
        let sql = self.command_bytes(session, request.len, &mut copy).to_vec();
        let facts = self.sessions[session].facts;
        let plan = self.plans.plan(&sql, &facts);
        if self.restraint.is_watched {
            let schema = self.sessions[session].schema;
            let schema = (schema, self.states.schema_name(schema));
            Engine::watch(&self.snapshot, &mut self.digests, &plan, &sql, &facts, schema);
        }
        let local = plan.route == Route::Local;
        if let Some(why) = crate::session::decide::unanswerable(&plan).filter(|_| !local) {
            return self.refuse(session, request, &why);
        }
        if self.restraint.is_ruled {
            // What the gate answers in text runs at a server here.
            plan.tables(&sql, &facts);
            if let Some(why) = self.prepare_refused(session, &plan) {
                return self.refuse(session, request, &why);
            }
        }
        if plan.local.as_ref().is_some_and(Local::is_gates_alone) {
            if weir_planner::filter::parameters(&sql, &facts) > 0 {
                return self.refuse(session, request, &Refusal::Parameters);
            }
            return self.prepare_here(session, request, &sql, plan);
        }
        let draft = if self.sampler.is_on() { self.draft_prepare(session, &sql) } else { None };
        let mut request = self.substitute(session, request, &plan);
        // What the gate answers itself in text has no prepared form: the server prepares it, and it is pinned there, as is what
        // reads a user variable.
        let travels = plan.route == Route::Read && !plan.effects.contains(Effects::READS_USER_VARIABLE);
        let route = if travels { Route::Read } else { Route::Primary };
        (request.plan, request.draft) = (Some(plan), draft);
        self.decide(session, request.to(route));
    }

    /// What no server would understand is prepared by its text alone. Its columns come with each execute, as those of a `CALL` do.
    fn prepare_here(&mut self, session: Key<Session>, mut request: Box<Request>, sql: &[u8], plan: Rc<Plan>) {
        let s = &self.sessions[session];
        let text = self.texts.intern(sql, s.schema, s.state, s.class);
        request.plan = Some(plan.clone());
        let statement_id = self.add_statement(session, text, plan, 0);
        self.sessions[session].previous.done();
        let mut payload = Vec::new();
        PrepareOk { statement_id, columns: 0, params: 0, warnings: 0 }.encode(&mut payload);
        self.answer(session, request, &payload);
    }

    /// The backend has prepared the client's statement: from here on it has the client's id.
    pub(crate) fn client_prepared(&mut self, session: Key<Session>, link: Key<Link>, ok: &PrepareOk) -> u32 {
        let s = &self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return ok.statement_id };
        let Some(plan) = request.plan.clone() else { return ok.statement_id };
        let mut payload = Vec::new();
        let len = request.kept.len();
        request.kept.copy_to(&self.blocks, HEADER_BYTES + 1, len.saturating_sub(HEADER_BYTES + 1), &mut payload);
        let (schema, state, class) = (s.schema, s.state, s.class);
        let text = self.texts.intern(&payload, schema, state, class);
        self.remember_prepared(link, &text, ok.statement_id);
        self.add_statement(session, text, plan, ok.params)
    }

    /// The client's own number for it.
    fn add_statement(&mut self, session: Key<Session>, text: Rc<Text>, plan: Rc<Plan>, params: u16) -> u32 {
        let s = &mut self.sessions[session];
        s.statement_next = s.statement_next.wrapping_add(1).max(1);
        let id = s.statement_next;
        s.prepared_last = id;
        s.statements.insert(
            id,
            Statement {
                text,
                plan,
                facts: s.facts,
                params,
                types: None,
                busy: Busy::No,
                alone: false,
                failed: None,
                origin: None,
                was_traced: false,
            },
        );
        id
    }

    /// Notes what this connection has prepared; the least recently used goes when there are too many.
    pub(crate) fn remember_prepared(&mut self, link: Key<Link>, text: &Rc<Text>, id: u32) {
        let max = self.snapshot.settings.statements_per_connection_max.max(1) as usize;
        let l = &mut self.links[link];
        let mut close = Vec::new();
        if let Some(old) = l.statements.insert(text.id, Prepared { id, used_at: self.now, types: None }) {
            close.push(old.id);
        }
        while l.statements.len() > max {
            let oldest = l.statements.iter().filter(|(t, _)| **t != text.id).min_by_key(|(_, p)| p.used_at);
            let Some((&oldest, _)) = oldest else { break };
            if let Some(old) = l.statements.remove(&oldest) {
                close.push(old.id);
            }
        }
        let wire = l.wire;
        for id in close {
            self.say_close(wire, id);
        }
    }

    /// `COM_STMT_CLOSE`, which has no reply.
    fn say_close(&mut self, wire: Key<Wire>, id: u32) {
        let mut bytes = Vec::with_capacity(9);
        let mut payload = vec![Command::StmtClose as u8];
        payload.extend_from_slice(&id.to_le_bytes());
        packet::put(&mut bytes, 0, &payload);
        self.begin_command(wire);
        self.say(wire, &bytes);
    }

    /// `COM_STMT_EXECUTE`: routed as its text would be.
    pub(crate) fn execute(&mut self, session: Key<Session>, mut request: Box<Request>) {
        let Some((id, statement)) = self.statement_of(session, &request) else {
            return self.unknown_statement(session, request);
        };
        let is_first = statement.types.is_none() && statement.params > 0;
        let is_gates = statement.plan.local.as_ref().is_some_and(Local::is_gates_alone);
        if let Some(err) = statement.failed.clone() {
            let (text, busy) = (statement.text.id, statement.busy);
            if let Some(statement) = self.sessions[session].statements.get_mut(&id) {
                (statement.failed, statement.busy) = (None, Busy::No);
            }
            if busy != Busy::No {
                // Pieces that did arrive are not to be found by the next execute.
                self.close_at_backend(session, text);
            }
            return self.answer(session, request, &err);
        }
        if self.restraint.is_ruled {
            if let Some(why) = self.execute_refused(session, id) {
                return self.refuse(session, request, &why);
            }
            self.mirror_execute(session, &request, id);
        }
        if is_gates && request.body == Body::Whole {
            let plan = self.sessions[session].statements[&id].plan.clone();
            request.plan = Some(plan.clone());
            return self.answer_locally(session, request.on(Some(id)), &plan);
        }
        let draft = if self.sampler.is_on() { self.draft_execute(session, &request, id) } else { None };
        if request.body == Body::Whole && self.opens_cursor(session) {
            self.set_apart(session, id);
        }
        if is_first {
            self.give_first_types(session, &request, id);
        }
        let statement = &self.sessions[session].statements[&id];
        // A filter may have made it another.
        let plan = statement.plan.clone();
        let route = match plan.route {
            // A cursor stays on its connection while the client may write on it.
            Route::Read if statement.busy == Busy::No && request.body == Body::Whole && !self.opens_cursor(session) => {
                Route::Read
            }
            Route::Any => Route::Any,
            _ => Route::Primary,
        };
        (request.plan, request.draft) = (Some(plan), draft);
        self.decide(session, request.on(Some(id)).to(route));
    }

    /// The first execute of a statement decides what its bare parameters are: it shares connections' statements only with
    /// those that began alike. A NULL decides nothing yet, whatever its type is said to be: such a statement stays with those that have none.
    fn give_first_types(&mut self, session: Key<Session>, request: &Request, id: u32) {
        let statement = &self.sessions[session].statements[&id];
        if statement.alone || request.body != Body::Whole {
            return;
        }
        let (text, params) = (statement.text.clone(), statement.params);
        let mut copy = Vec::new();
        let body = self.command_bytes(session, request.len, &mut copy);
        let head = ExecuteHead::decode(body, params, self.sessions[session].caps);
        if let Ok(ExecuteHead { types: Some(types), nulls, .. }) = head
            && nulls.iter().all(|byte| *byte == 0)
        {
            let text = self.texts.typed(&text, Rc::from(types));
            self.sessions[session].statements.get_mut(&id).expect("found above").text = text;
        }
    }

    fn opens_cursor(&self, session: Key<Session>) -> bool {
        let flags = self.sessions[session].inbound.read::<1>(&self.blocks, ID_AT + 4);
        flags.is_some_and(|[flags]| flags & weir_net::statement::CURSOR_FLAGS != 0)
    }

    /// Fetch, reset, long data, close.
    pub(crate) fn on_statement(&mut self, session: Key<Session>, request: Box<Request>) {
        let Some((id, statement)) = self.statement_of(session, &request) else {
            return match request.command {
                // These have no reply, not even when the statement is unknown.
                Command::StmtClose | Command::StmtSendLongData => self.swallow(session, request),
                _ => self.unknown_statement(session, request),
            };
        };
        let (busy, has_failed) = (statement.busy, statement.failed.is_some());
        if request.command == Command::StmtSendLongData {
            if has_failed && request.body == Body::Whole {
                // A piece before it is missing: the execute says so.
                return self.swallow(session, request);
            }
            self.set_apart(session, id);
        }
        if request.command == Command::StmtReset
            && let Some(statement) = self.sessions[session].statements.get_mut(&id)
        {
            statement.failed = None;
        }
        let request = request.on(Some(id));
        match request.command {
            Command::StmtClose => self.close_statement(session, request, id),
            Command::StmtReset if busy == Busy::No => {
                // It brings no warning, and leaves those of the last statement.
                let previous = &mut self.sessions[session].previous;
                previous.commanded(Command::StmtReset, false, None);
                previous.told = 0;
                self.answer_ok(session, request);
            }
            Command::StmtFetch if busy != Busy::Cursor => self.refuse(session, request, &Refusal::NoOpenCursor { id }),
            _ => self.decide(session, request.to(Route::Primary)),
        }
    }

    /// Gives a statement a backend statement of its own.
    fn set_apart(&mut self, session: Key<Session>, id: u32) {
        let Some(statement) = self.sessions[session].statements.get_mut(&id).filter(|st| !st.alone) else { return };
        statement.alone = true;
        statement.text = self.texts.own(&statement.text);
    }

    fn close_statement(&mut self, session: Key<Session>, request: Box<Request>, id: u32) {
        let gone = self.sessions[session].statements.remove(&id);
        if let Some(gone) = gone.filter(|statement| !statement.pins().is_empty()) {
            self.close_at_backend(session, gone.text.id);
        }
        self.swallow(session, request);
    }

    /// A cursor or long data must not meet the next user of the connection's statement: it is closed there too.
    pub(super) fn close_at_backend(&mut self, session: Key<Session>, text: u64) {
        if let Some(link) = self.sessions[session].lease {
            if let Some(prepared) = self.links[link].statements.remove(&text) {
                self.say_close(self.links[link].wire, prepared.id);
            }
            self.unpin(session, Reasons::OF_STATEMENTS.without(self.sessions[session].held_by_statements()));
            let s = &self.sessions[session];
            if s.pins.is_empty() && !self.links[link].status.contains(weir_net::flags::Status::IN_TRANS) {
                self.give_back(session);
            }
        }
    }

    /// Uses up a command that has no reply.
    fn swallow(&mut self, session: Key<Session>, request: Box<Request>) {
        if request.body != Body::Whole {
            return self.part_with(session, 1, &Refusal::MalformedCommand("long data for an unknown statement"));
        }
        self.use_up(session, &request);
        self.rest(session);
    }

    fn unknown_statement(&mut self, session: Key<Session>, request: Box<Request>) {
        let why = match self.statement_id(session).filter(|_| request.len >= ID_AT + 4) {
            Some(id) => Refusal::UnknownStatement { id },
            None => Refusal::MalformedCommand(""),
        };
        self.refuse(session, request, &why);
    }

    fn statement_id(&self, session: Key<Session>) -> Option<u32> {
        let s = &self.sessions[session];
        let id = s.inbound.read(&self.blocks, ID_AT).map(u32::from_le_bytes)?;
        Some(if id == LAST_PREPARED && s.facts.is_mariadb() { s.prepared_last } else { id })
    }

    pub(crate) fn statement_of(&self, session: Key<Session>, request: &Request) -> Option<(u32, &Statement)> {
        if request.body == Body::Whole && request.len < ID_AT + 4 {
            return None;
        }
        let id = self.statement_id(session)?;
        Some((id, self.sessions[session].statements.get(&id)?))
    }

    /// Makes the command fit the connection it goes to: the reply's kind, and new front bytes when ids and types alone
    /// cannot be patched in place.
    #[allow(clippy::type_complexity)]
    pub(crate) fn fit_to_link(
        &mut self,
        session: Key<Session>,
        link: Key<Link>,
        request: &mut Request,
    ) -> Result<(ReplyKind, Option<(Vec<u8>, usize)>), Refusal> {
        let kind = reply_kind(request.command);
        let Some(id) = request.statement else { return Ok((kind, None)) };
        let s = &self.sessions[session];
        let Some(statement) = s.statements.get(&id) else { return Ok((kind, None)) };
        let (text, params, saved) = (statement.text.id, statement.params, statement.types.clone());
        let there = &mut self.links[link].statements;
        if !there.contains_key(&text)
            && let Some(untouched) = statement.text.untouched(there).and_then(|id| there.remove(&id))
        {
            there.insert(text, untouched);
        }
        let Some(prepared) = self.links[link].statements.get_mut(&text) else {
            // Long data before the first execute on this connection, or a fetch without its cursor.
            let has_expired = self.has_expired(session);
            return Err(if has_expired { Refusal::PasswordExpired } else { Refusal::UnknownStatement { id } });
        };
        prepared.used_at = self.now;
        let (backend_id, bound) = (prepared.id, prepared.types.clone());
        self.patch_request(session, request, backend_id);
        if request.command != Command::StmtExecute || params == 0 {
            return Ok((kind, None));
        }
        let (types, bound_at) = self.execute_types(session, request, params, saved.as_ref())?;
        let inserted = match types {
            Some(types) => {
                let text = match saved.is_some_and(|saved| saved != types) {
                    true => self.change_types(session, link, id),
                    false => text,
                };
                self.sessions[session].statements.get_mut(&id).expect("found above").types = Some(types.clone());
                self.links[link].statements.get_mut(&text).expect("found above").types = Some(types);
                return Ok((kind, None));
            }
            None if bound == saved => None,
            None => saved,
        };
        let Some(types) = inserted else { return Ok((kind, None)) };
        self.links[link].statements.get_mut(&text).expect("found above").types = Some(types.clone());
        Ok((kind, Some(self.front_with_types(session, request, bound_at, &types))))
    }

    /// Other types than before: what the server makes of its parameters follows from all of its executes, so that it shares nothing
    /// any more. Its statement on this connection has seen those so far. Returns its text's number.
    fn change_types(&mut self, session: Key<Session>, link: Key<Link>, id: u32) -> u64 {
        let Some(statement) = self.sessions[session].statements.get_mut(&id) else { return 0 };
        if statement.alone {
            return statement.text.id;
        }
        let before = statement.text.id;
        statement.alone = true;
        statement.text = self.texts.own(&statement.text);
        let text = statement.text.id;
        let there = &mut self.links[link].statements;
        if let Some(prepared) = there.remove(&before) {
            there.insert(text, prepared);
        }
        text
    }

    /// An execute that goes nowhere has bound its types all the same: a client sends them once, whatever is answered.
    pub(crate) fn keep_types(&mut self, session: Key<Session>, request: &Request) {
        let Some((id, params)) = self.statement_of(session, request).map(|(id, statement)| (id, statement.params))
        else {
            return;
        };
        if params > 0
            && let Ok((Some(types), _)) = self.execute_types(session, request, params, None)
            && let Some(statement) = self.sessions[session].statements.get_mut(&id)
        {
            statement.types = Some(types);
        }
    }

    /// Writes the backend's statement id into the command, wherever its bytes are.
    fn patch_request(&mut self, session: Key<Session>, request: &mut Request, id: u32) {
        if request.progress == Progress::Unsent {
            self.patch_command(session, ID_AT, id);
        } else {
            request.kept.patch(&mut self.blocks, ID_AT, &id.to_le_bytes());
        }
    }

    /// The types that an execute brings (None: it relies on earlier ones), and where its "types follow" byte stands in the command. Most
    /// drivers send the same ones again and again: then they are those that are known.
    #[allow(clippy::type_complexity)]
    fn execute_types(
        &mut self,
        session: Key<Session>,
        request: &Request,
        params: u16,
        known: Option<&Rc<[u8]>>,
    ) -> Result<(Option<Rc<[u8]>>, usize), Refusal> {
        let s = &self.sessions[session];
        let source = if request.progress == Progress::Unsent { &s.inbound } else { &request.kept };
        let end = match request.body {
            Body::Whole => request.len,
            Body::Streaming { .. } => source.len(),
        };
        let mut copy = Vec::new();
        let first = source.first().map(|chunk| self.blocks.bytes(chunk)).unwrap_or_default();
        let body = if first.len() >= end {
            &first[BODY_AT..end]
        } else {
            source.copy_to(&self.blocks, BODY_AT, end - BODY_AT, &mut copy);
            &copy[..]
        };
        let head = ExecuteHead::decode(body, params, s.caps).map_err(|m| Refusal::MalformedCommand(m.0))?;
        let types = head.types.map(|types| match known.filter(|known| known[..] == *types) {
            Some(known) => known.clone(),
            None => Rc::from(types),
        });
        Ok((types, BODY_AT + head.bound_at))
    }

    /// The execute's bytes up to the types, with "types follow" set and the types behind, and how many bytes of the
    /// client's that replaces. The header's length grows with them.
    fn front_with_types(
        &mut self,
        session: Key<Session>,
        request: &mut Request,
        bound_at: usize,
        types: &[u8],
    ) -> (Vec<u8>, usize) {
        if request.progress != Progress::Unsent {
            // Sent again: what is kept is the command as it came, so it becomes the client's input once more.
            let s = &mut self.sessions[session];
            let mut again = std::mem::take(&mut request.kept);
            let len = s.inbound.len();
            s.inbound.move_to(&mut self.blocks, len, &mut again);
            s.inbound = again;
            request.progress = Progress::Unsent;
        }
        let s = &self.sessions[session];
        let skip = bound_at + 1;
        let mut front = Vec::with_capacity(skip + types.len());
        s.inbound.copy_to(&self.blocks, 0, skip, &mut front);
        let len = u32::from_le_bytes([front[0], front[1], front[2], 0]) + types.len() as u32;
        front[..3].copy_from_slice(&len.to_le_bytes()[..3]);
        if let Some(flag) = front.last_mut() {
            *flag = 1;
        }
        front.extend_from_slice(types);
        (front, skip)
    }
}

pub(crate) fn reply_kind(command: Command) -> ReplyKind {
    match command {
        Command::Query | Command::ProcessInfo => ReplyKind::Query,
        Command::StmtPrepare => ReplyKind::Prepare,
        Command::StmtExecute => ReplyKind::Execute,
        Command::StmtFetch => ReplyKind::Fetch,
        Command::FieldList => ReplyKind::FieldList,
        Command::Statistics => ReplyKind::Statistics,
        Command::StmtSendLongData | Command::StmtClose | Command::Quit => ReplyKind::Nothing,
        Command::BinlogDump | Command::BinlogDumpGtid => ReplyKind::Endless,
        _ => ReplyKind::Simple,
    }
}

/// Capabilities that change a command's bytes are the same on both sides by class.
pub const SAME_BY_CLASS: Capabilities = Capabilities::QUERY_ATTRIBUTES;
