//! Statements and commands that the gate answers itself: its own settings, `KILL`, `CONNECTION_ID()`, resets.
//!
//! Everything else reaches MySQL. A local answer has the columns and flags that MySQL would show.

use crate::engine::Engine;
use crate::link::LinkPhase;
use crate::session::claim::Claim;
use crate::session::insert_id::InsertId;
use crate::session::previous::Place;
use crate::session::refuse::Refusal;
use crate::session::secure::Password;
use crate::session::{Phase, Request, Session, VerifyCause, Wrote};
use crate::slots::Key;
use crate::state::{NAMES_COLLATION, StateId};
use std::rc::Rc;
use weir_net::auth::{Ask, Known, ServerAuth};
use weir_net::column::{
    CHARSET_BINARY, CHARSET_UTF8MB4, Column, FLAG_BINARY, FLAG_NOT_NULL, FLAG_UNSIGNED, Form, KIND_LONG,
    KIND_VAR_STRING, put_result,
};
use weir_net::command::{ChangeUser, Command};
use weir_net::flavour::Flavour;
use weir_net::outcome::EofPacket;
use weir_planner::{Kind, Local, Plan};

/// A result set of the gate's own: column names, and rows of optional text.
pub(crate) struct Table {
    pub columns: Vec<(Vec<u8>, Shape)>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    pub warnings: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    /// As MySQL shows `ROW_COUNT()`.
    Signed,
    Is(Column<'static>),
}

impl Engine {
    pub(crate) fn answer_locally(&mut self, session: Key<Session>, request: Box<Request>, plan: &Rc<Plan>) {
        let Some(local) = plan.local.clone() else {
            return self.refuse(session, request, &Refusal::UnknownCommand);
        };
        if self.has_expired(session) {
            return self.refuse(session, request, &Refusal::PasswordExpired);
        }
        if self.restraint.is_ruled
            && let Some(why) = self.local_refused(session, plan)
        {
            return self.refuse(session, request, &why);
        }
        match local {
            Local::ExplainRoute(sql) => {
                let table = self.explain(session, &sql);
                self.answer_table(session, request, table);
            }
            Local::ShowWeir(words) => self.show_weir(session, request, &words),
            Local::FlushDigests => self.flush_digests(session, request),
            Local::Filter(read) => self.filter_statement(session, request, *read),
            Local::ExplainFilter(sql) => self.explain_filter(session, request, &sql),
            // The answer tells the state of a transaction, which the server alone knows.
            Local::ConnectionId { .. } if self.transaction_unsure(session) => {
                let request = self.substitute(session, request, plan);
                self.decide(session, request.to(weir_planner::Route::Primary));
            }
            Local::ConnectionId { column } => {
                let id = self.sessions[session].id.to_string().into_bytes();
                let shape = Shape::Is(match self.sessions[session].facts.is_mariadb() {
                    true => Column { length: 10, kind: KIND_LONG, ..id_column() },
                    false => id_column(),
                });
                let table = Table { columns: vec![(column.to_vec(), shape)], rows: vec![vec![Some(id)]], warnings: 0 };
                self.answer_table(session, request, table);
            }
            Local::RowCount { .. } | Local::FoundRows { .. } if self.transaction_unsure(session) => {
                self.decide(session, request.to(weir_planner::Route::Primary));
            }
            Local::RowCount { column } => {
                let count = self.sessions[session].previous.row_count.to_string().into_bytes();
                let table = Table {
                    columns: vec![(column.to_vec(), Shape::Signed)],
                    rows: vec![vec![Some(count)]],
                    warnings: 0,
                };
                self.answer_table(session, request, table);
            }
            Local::FoundRows { column } => self.found_rows(session, request, &column),
            Local::ShowConditions { errors_only } => self.show_conditions(session, request, errors_only),
            Local::Kill { id, query_only } => self.kill_asked(session, request, id, query_only),
            Local::SetGate(values) => self.set_gate(session, request, &values),
            Local::ShowGate(shown) => {
                let columns = shown.iter().map(|one| (one.column.to_vec(), Shape::Text)).collect();
                let value = |one: &weir_planner::GateShow| Some(self.gate_setting(session, one.global, &one.name));
                let row = shown.iter().map(value).collect();
                let table = Table { columns, rows: vec![row], warnings: 0 };
                self.answer_table(session, request, table);
            }
            Local::UseRole { schema, role } => {
                self.sessions[session].target = Some(role);
                self.use_schema(session, request, &schema);
            }
        }
    }

    pub(crate) fn answer_table(&mut self, session: Key<Session>, mut request: Box<Request>, mut table: Table) {
        self.counters.commands_local += 1;
        self.use_up(session, &request);
        let is_select = request.plan.as_ref().is_some_and(|plan| plan.kind == Kind::Select);
        if is_select && self.states.variable(self.sessions[session].state, "sql_select_limit") == Some(b"0") {
            table.rows.clear();
        }
        let s = &mut self.sessions[session];
        let warnings = table.warnings;
        s.previous.answered(table.rows.len(), warnings);
        let (caps, status, wire) = (s.caps, s.lasting_status(), s.wire);
        let mut bytes = Vec::new();
        let columns = table.columns.iter().map(|(name, shape)| match shape {
            Shape::Text => Column::text(name, 1024),
            Shape::Signed => Column::signed(name),
            Shape::Is(column) => Column { name, ..*column },
        });
        let (columns, end) = (columns.collect::<Vec<_>>(), EofPacket { warnings, status });
        let form = if request.command == Command::StmtExecute { Form::Binary } else { Form::Text };
        put_result(&mut bytes, 1, caps, end, &columns, &table.rows, form);
        self.log_rows(session, &mut request, table.rows.len(), bytes.len());
        self.say(wire, &bytes);
        self.rest(session);
    }

    /// `SELECT FOUND_ROWS()`, with the warning that MySQL gives for it.
    fn found_rows(&mut self, session: Key<Session>, request: Box<Request>, column: &[u8]) {
        let Some(rows) = self.sessions[session].previous.found_rows else {
            return self.decide(session, request.to(weir_planner::Route::Primary));
        };
        let row = vec![Some(rows.to_string().into_bytes())];
        let columns = vec![(column.to_vec(), Shape::Signed)];
        let s = &self.sessions[session];
        let keeps_none = self.states.variable(s.state, "max_error_count").is_some_and(|count| count == b"0");
        let warnings = u16::from(!s.facts.is_mariadb() && !keeps_none);
        self.answer_table(session, request, Table { columns, rows: vec![row], warnings });
    }

    /// `SHOW WARNINGS` or `SHOW ERRORS`: the server shows them, on any connection when there are none.
    fn show_conditions(&mut self, session: Key<Session>, request: Box<Request>, errors_only: bool) {
        let previous = self.sessions[session].previous.clone();
        if previous.warnings == 0 && previous.found_rows.is_some() {
            // The area is as empty behind anything else that brings no warning.
            self.sessions[session].previous.place = Place::AfterOk;
        }
        let is_own = previous.warnings > 0 && previous.place == Place::AfterRows;
        if !is_own || self.transaction_unsure(session) || !self.shows_utf8mb4(session) {
            return self.decide(session, request.to(weir_planner::Route::Primary));
        }
        // The gate has given one warning of its own, which is no error.
        let warning = match &previous.note {
            Some(note) => [b"Warning", &b"1105"[..], note.as_bytes()],
            None => DEPRECATED,
        };
        let warning = warning.map(|cell| Some(cell.to_vec())).to_vec();
        let rows = if errors_only { Vec::new() } else { vec![warning] };
        let columns = [LEVEL, CODE, MESSAGE].map(|column| (column.name.to_vec(), Shape::Is(column)));
        self.answer_table(session, request, Table { columns: columns.to_vec(), rows, warnings: 0 });
        let shown = &mut self.sessions[session].previous;
        (shown.warnings, shown.found_rows, shown.note) = (previous.warnings, previous.found_rows, previous.note);
    }

    /// Whether the server would send texts in utf8mb4 and its own collation to this session.
    fn shows_utf8mb4(&self, session: Key<Session>) -> bool {
        let s = &self.sessions[session];
        if self.states.variable(s.state, NAMES_COLLATION).is_some() {
            return false;
        }
        match self.states.variable(s.state, "character_set_results") {
            Some(name) => name.eq_ignore_ascii_case(b"'utf8mb4'") || name.eq_ignore_ascii_case(b"utf8mb4"),
            // 0 wants the server's own.
            None => matches!(u16::from(s.charset), 0 | CHARSET_UTF8MB4),
        }
    }

    /// `USE schema@replica`: the role is the gate's, the schema the server's. The client's bytes become a plain `USE`.
    fn use_schema(&mut self, session: Key<Session>, mut request: Box<Request>, schema: &[u8]) {
        if schema.is_empty() {
            return self.answer_statement(session, request);
        }
        self.use_up(session, &request);
        let mut payload = vec![weir_net::command::Command::InitDb as u8];
        payload.extend_from_slice(schema);
        let mut bytes = Vec::new();
        weir_net::packet::put(&mut bytes, 0, &payload);
        let len = bytes.len();
        let s = &mut self.sessions[session];
        let mut front = crate::queue::Queue::default();
        front.push_bytes(&mut self.blocks, &bytes);
        let behind = s.inbound.len();
        s.inbound.move_to(&mut self.blocks, behind, &mut front);
        s.inbound = front;
        let command = weir_net::command::Command::InitDb;
        let route = weir_planner::Route::Any;
        (request.command, request.len, request.plan) = (command, len, None);
        self.decide(session, request.to(route));
    }

    /// `COM_RESET_CONNECTION` (S28).
    pub(crate) fn reset_session(&mut self, session: Key<Session>, request: Box<Request>) {
        if self.has_expired(session) {
            return self.refuse(session, request, &Refusal::PasswordExpired);
        }
        self.forget_session_state(session);
        self.answer_ok(session, request);
    }

    /// Back to how the session was after its login: the connection that it holds is cleaned for the next user.
    fn forget_session_state(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        if let InsertId::OnLink { link, .. } = s.insert_id
            && let Some(l) = self.links.get_mut(link).filter(|l| l.last_session == Some(session))
        {
            // The number there is nobody's from here on.
            l.last_session = None;
        }
        let pinned = !s.pins.is_empty();
        s.pins.clear();
        s.held = Default::default();
        s.user_variables.forget();
        s.named = Default::default();
        s.statements.clear();
        // The roles stay active (seen on 9.7).
        s.state = self.states.role_as(StateId(0), s.state);
        let flavour = if s.facts.is_mariadb() { Flavour::MariaDb } else { Flavour::Mysql };
        s.charset = flavour.charset_after_reset(s.charset, self.snapshot.face.charset);
        s.insert_id = InsertId::Never;
        s.trackers = Default::default();
        s.previous.reset();
        s.wrote = Wrote::Nothing;
        s.lost = None;
        s.target = None;
        s.wishes = Default::default();
        s.facts = weir_planner::Facts {
            multi_statements: s.facts.multi_statements,
            system_schema: s.facts.system_schema,
            server_version: s.facts.server_version,
            charset: weir_planner::Charset::of_collation(s.charset),
            no_backslash_escapes: s.escapes_off_by_default,
            ..Default::default()
        };
        s.status = weir_net::flags::Status::AUTOCOMMIT;
        let class = s.class_wanted();
        s.class = self.classes.intern(class);
        if pinned {
            self.counters.sessions_pinned -= 1;
        }
        if let Some(link) = self.sessions[session].lease.take() {
            let l = &mut self.links[link];
            debug_assert!(matches!(l.phase, LinkPhase::Leased));
            l.lessee = None;
            l.last_session = None;
            self.clean(link);
        }
    }

    /// `COM_CHANGE_USER` from the client: a new login on the same wire (S28).
    pub(crate) fn change_user_asked(&mut self, session: Key<Session>, request: Box<Request>) {
        let mut copy = Vec::new();
        let payload = self.command_bytes(session, request.len, &mut copy).to_vec();
        let caps = self.sessions[session].caps;
        let asked = match ChangeUser::decode(&payload, caps) {
            Ok(asked) => asked,
            Err(what) => return self.refuse(session, request, &Refusal::MalformedCommand(what.0)),
        };
        let refusal = self.transport_refusal(session, asked.user, Password::Given);
        self.forget_session_state(session);
        self.use_up(session, &request);
        if let Some(why) = refusal {
            self.counters.logins_refused += 1;
            return self.part_with(session, 1, &why);
        }
        let schema = self.states.schema(asked.schema);
        (self.sessions[session].state, self.sessions[session].has_role) = (StateId(0), false);
        let channel = self.channel(session);
        let rsa = self.snapshot.keys.rsa.clone();
        let s = &mut self.sessions[session];
        // What it has written it goes on seeing: to whoever uses the connection it is one session.
        s.schema = schema;
        s.facts.system_schema = weir_planner::schema_is_system(asked.schema);
        if asked.charset != 0 {
            s.charset = asked.charset as u8;
            s.facts.charset = weir_planner::Charset::of_collation(s.charset);
        }
        s.class = self.classes.intern(s.class_wanted());
        let mut auth = Box::new(ServerAuth::new(s.nonce, channel, Some(&rsa)));
        let known = match self.accounts.proven(asked.user) {
            Some(password) => Known::Password(password),
            None => Known::Nothing,
        };
        let ask = auth.start_change_user(asked.plugin, asked.auth, caps, known);
        self.change_user_asks(session, asked.user.to_vec(), auth, 1, ask);
    }

    fn change_user_asks(&mut self, session: Key<Session>, user: Vec<u8>, auth: Box<ServerAuth>, seq: u8, ask: Ask) {
        match ask {
            Ask::Send(payload) => {
                self.say_packet(session, seq, &payload);
                self.sessions[session].phase = Phase::Greet(crate::session::Greet::NewUser { user, auth });
                self.runnable.push_back(session);
            }
            Ask::Claim { password, fast } => {
                let account = self.accounts.claim(self.now, &user, password);
                self.accounts.hold(account);
                let old = std::mem::replace(&mut self.sessions[session].account, account);
                self.accounts.let_go(old);
                self.claim(session, Claim { seq, fast, cause: VerifyCause::ChangeUser });
            }
            Ask::ClaimNative { .. } | Ask::Refuse(_) => {
                self.login_failed(session, &user);
                self.audit_unclaimed(session, &user);
                let user = String::from_utf8_lossy(&user).into_owned();
                let peer = self.sessions[session].peer;
                self.part_with(session, seq, &Refusal::AccessDenied { user, peer, with_password: true });
            }
        }
    }

    /// The client's next packet of a change of user.
    pub(crate) fn new_user_proof(
        &mut self,
        session: Key<Session>,
        seq: u8,
        user: Vec<u8>,
        mut auth: Box<ServerAuth>,
        payload: &[u8],
    ) {
        let ask = auth.handle(payload);
        self.change_user_asks(session, user, auth, seq, ask);
    }
}

/// What `CONNECTION_ID()` is.
fn id_column() -> Column<'static> {
    Column { flags: FLAG_NOT_NULL | FLAG_UNSIGNED | FLAG_BINARY, ..Column::signed(b"") }
}

/// The columns of `SHOW WARNINGS`, and what 8.0.17 and later say of `FOUND_ROWS()`.
const LEVEL: Column<'static> = condition_text(b"Level", 7);
const MESSAGE: Column<'static> = condition_text(b"Message", 512);
const CODE: Column<'static> = Column {
    name: b"Code",
    charset: CHARSET_BINARY,
    length: 5,
    decimals: 0,
    kind: KIND_LONG,
    flags: FLAG_NOT_NULL | FLAG_UNSIGNED | FLAG_BINARY,
    ..condition_text(b"", 0)
};
const DEPRECATED: [&[u8]; 3] = [
    b"Warning",
    b"1287",
    b"FOUND_ROWS() is deprecated and will be removed in a future release. Consider using COUNT(*) instead.",
];

const fn condition_text(name: &'static [u8], chars: u32) -> Column<'static> {
    Column {
        schema: b"",
        table: b"",
        org_table: b"",
        name,
        org_name: b"",
        charset: CHARSET_UTF8MB4,
        length: chars * 4,
        kind: KIND_VAR_STRING,
        flags: FLAG_NOT_NULL,
        decimals: 31,
    }
}
