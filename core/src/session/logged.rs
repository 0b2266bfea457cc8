//! The query log where commands pass: a draft when a statement begins, an event when it ends sampled or slow.
//!
//! Logged are `COM_QUERY`, `COM_STMT_PREPARE` and `COM_STMT_EXECUTE`, whoever answers them. Off, it costs one branch when a
//! statement begins and one when it ends.

use crate::engine::{Action, Engine};
use crate::link::Link;
use crate::mail::ControlMail;
use crate::querylog::{Draft, QueryEvent, params};
use crate::session::prepared::Busy;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use crate::snapshot::{BackendId, Role};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::ErrPacket;
use weir_net::packet::HEADER_BYTES;
use weir_net::statement::ExecuteHead;

/// How a statement ended.
#[derive(Default)]
struct Ended {
    backend: Option<BackendId>,
    rows: u64,
    bytes: u64,
    error: Option<u16>,
}

impl Engine {
    pub(crate) fn log_prepare(&mut self, session: Key<Session>, text: &[u8]) -> Option<Box<Draft>> {
        let s = &self.sessions[session];
        let (facts, in_transaction) = (s.facts, s.status.contains(Status::IN_TRANS));
        self.sampler.begin(&self.snapshot.settings.query_log, self.now, "prepare", text, &facts, in_transaction)
    }

    pub(crate) fn log_execute(&mut self, session: Key<Session>, request: &Request, id: u32) -> Option<Box<Draft>> {
        let settings = self.snapshot.settings.query_log;
        let s = &self.sessions[session];
        let statement = s.statements.get(&id)?;
        let in_transaction = s.status.contains(Status::IN_TRANS);
        let (text, facts) = (&statement.text.sql, &statement.facts);
        let mut draft = self.sampler.begin(&settings, self.now, "execute", text, facts, in_transaction)?;
        draft.param_count = statement.params;
        if settings.shows_literals && request.body == Body::Whole && statement.busy != Busy::LongData {
            draft.params = self.params_of(session, request, id).unwrap_or_default();
        }
        Some(draft)
    }

    fn params_of(&self, session: Key<Session>, request: &Request, id: u32) -> Option<Vec<Option<String>>> {
        let mut copy = Vec::new();
        let s = &self.sessions[session];
        let statement = s.statements.get(&id)?;
        let body = self.command_bytes(session, request.len, &mut copy);
        let head = ExecuteHead::decode(body, statement.params, s.caps).ok()?;
        let types = head.types.or(statement.types.as_deref())?;
        let named = s.caps.contains(Capabilities::QUERY_ATTRIBUTES);
        Some(params::texts(statement.params, head.nulls, types, named, head.values))
    }

    /// The gate has answered it with this packet.
    pub(crate) fn log_answered(&mut self, session: Key<Session>, request: &Request, payload: &[u8]) {
        if payload.first() == Some(&0xff) {
            self.digest_failed(self.sessions[session].schema, request);
        }
        if request.log.is_some() {
            let error = ErrPacket::decode(payload).ok().filter(|_| payload.first() == Some(&0xff)).map(|err| err.code);
            let bytes = (HEADER_BYTES + payload.len()) as u64;
            self.log_ended(session, request, Ended { bytes, error, ..Ended::default() });
        }
    }

    /// The gate has answered it with rows of its own.
    pub(crate) fn log_rows(&mut self, session: Key<Session>, request: &Request, rows: usize, bytes: usize) {
        if request.log.is_some() {
            self.log_ended(session, request, Ended { rows: rows as u64, bytes: bytes as u64, ..Ended::default() });
        }
    }

    /// Its reply has come to its end.
    pub(crate) fn log_relayed(&mut self, session: Key<Session>, link: Key<Link>, request: &Request) {
        if request.log.is_some() {
            let (backend, bytes) = (Some(self.links[link].backend), self.links[link].forwarded);
            let (rows, error) = (request.outcome.all_rows, request.outcome.error);
            self.log_ended(session, request, Ended { backend, rows, bytes, error });
        }
    }

    fn log_ended(&mut self, session: Key<Session>, request: &Request, ended: Ended) {
        if let Some(event) = self.event_of(&self.sessions[session], request, ended) {
            self.tell_event(event);
        }
    }

    /// Its session ends without an end of its reply.
    pub(crate) fn log_cut_off(&mut self, gone: &Session, request: &Request) {
        self.digest_failed(gone.schema, request);
        if request.log.is_some() {
            let link = gone.lease.and_then(|link| self.links.get(link));
            let (backend, bytes) = (link.map(|l| l.backend), link.map_or(0, |l| l.forwarded));
            let ended = Ended { backend, rows: request.outcome.all_rows, bytes, error: Some(2013) };
            if let Some(event) = self.event_of(gone, request, ended) {
                self.tell_event(event);
            }
        }
    }

    fn tell_event(&mut self, event: QueryEvent) {
        self.counters.statements_logged += 1;
        self.actions.push_back(Action::Tell(ControlMail::Statement(Box::new(event))));
    }

    /// None: it was neither sampled nor slow.
    fn event_of(&self, s: &Session, request: &Request, ended: Ended) -> Option<QueryEvent> {
        let draft = request.log.as_deref()?;
        let slow_us = self.snapshot.settings.query_log.slow_ms.saturating_mul(1_000);
        let total_us = self.now.since_ns(draft.began) / 1_000;
        let is_slow = slow_us > 0 && total_us >= slow_us;
        if !is_slow && !draft.is_sampled {
            return None;
        }
        let backend = ended.backend.map(|id| self.snapshot.backend(id));
        let backend_us = if backend.is_some() { self.now.since_ns(request.sent_at) / 1_000 } else { 0 };
        let route = match backend.map(|view| view.role) {
            None => "gate",
            Some(Role::Replica) => "replica",
            Some(Role::Primary | Role::Unknown) => "primary",
        };
        Some(QueryEvent {
            core: self.core.0,
            connection_id: s.id,
            user: self.user_of(s),
            schema: String::from_utf8_lossy(self.states.schema_name(s.schema)).into_owned(),
            command: draft.command,
            statement: draft.statement.clone(),
            is_cut: draft.is_cut,
            params: draft.params.clone(),
            param_count: draft.param_count,
            facts: draft.facts,
            backend: backend.map(|view| view.name.clone()).unwrap_or_default(),
            route,
            reason: request.plan.as_ref().map_or("", |plan| plan.reason.as_str()),
            wait_us: total_us.saturating_sub(backend_us),
            backend_us: backend_us.min(total_us),
            rows: ended.rows,
            bytes: ended.bytes,
            error: ended.error,
            in_transaction: draft.in_transaction || s.status.contains(Status::IN_TRANS),
            is_slow,
        })
    }
}
