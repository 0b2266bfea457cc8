//! The query log and the traces where commands pass: a draft when a statement begins, an event when it ends sampled or slow, a span when
//! it ends traced.
//!
//! These are `COM_QUERY`, `COM_STMT_PREPARE` and `COM_STMT_EXECUTE`, whoever answers them. Off, both together cost one branch when a
//! statement begins and one when it ends.

use crate::engine::{Action, Engine};
use crate::limits::STREAMED_TEXT_BYTES;
use crate::link::Link;
use crate::mail::ControlMail;
use crate::querylog::{Begun, Draft, QueryEvent, params};
use crate::session::prepared::Busy;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use crate::snapshot::{BackendId, BackendView, Role};
use crate::trace::{Context, Span};
use weir_net::command::query_text;
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::ErrPacket;
use weir_net::packet::HEADER_BYTES;
use weir_net::statement::ExecuteHead;
use weir_planner::Facts;

/// How a statement ended.
#[derive(Clone, Copy, Default)]
pub(super) struct Ended {
    pub backend: Option<BackendId>,
    pub rows: u64,
    pub bytes: u64,
    pub error: Option<u16>,
}

impl Engine {
    /// Of one that streams: as much as is here of its text.
    pub(crate) fn draft_streamed(&mut self, session: Key<Session>, len: usize) -> Option<Box<Draft>> {
        let (mut copy, caps) = (Vec::new(), self.sessions[session].caps);
        let body = self.command_bytes(session, len, &mut copy);
        let body = body.get(..STREAMED_TEXT_BYTES).unwrap_or(body).to_vec();
        // Attributes that fill all of it leave nothing to be shown.
        let text = query_text(&body, caps).ok().and_then(|parts| body.get(parts.text)).unwrap_or_default();
        let context = self.context_of_text(&body, caps, text);
        self.draft(session, "query", text, None, context)
    }

    pub(crate) fn draft_prepare(&mut self, session: Key<Session>, text: &[u8]) -> Option<Box<Draft>> {
        let context = self.context_of_text(&[], Capabilities::empty(), text);
        self.draft(session, "prepare", text, None, context)
    }

    pub(crate) fn draft_execute(&mut self, session: Key<Session>, request: &Request, id: u32) -> Option<Box<Draft>> {
        let context = self.context_of_execute(session, request, id);
        let statement = self.sessions[session].statements.get(&id)?;
        let (text, facts) = (statement.text.clone(), statement.facts);
        let mut draft = self.draft(session, "execute", &text.sql, Some(facts), context)?;
        let statement = self.sessions[session].statements.get(&id)?;
        draft.param_count = statement.params;
        let is_shown = self.snapshot.settings.query_log.shows_literals;
        if is_shown && request.body == Body::Whole && statement.busy != Busy::LongData {
            draft.params = self.params_of(session, request, id).unwrap_or_default();
        }
        Some(draft)
    }

    /// `facts`: those of the text, if they are not the session's own now.
    fn draft(
        &mut self,
        session: Key<Session>,
        command: &'static str,
        text: &[u8],
        facts: Option<Facts>,
        context: Context,
    ) -> Option<Box<Draft>> {
        let s = &self.sessions[session];
        let (facts, in_transaction) = (facts.unwrap_or(s.facts), s.status.contains(Status::IN_TRANS));
        let begun = Begun { at: self.now, command, text, facts: &facts, in_transaction, context };
        self.sampler.begin(&self.snapshot.settings, begun, &mut self.random, &mut self.counters)
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
    pub(crate) fn log_answered(&mut self, session: Key<Session>, request: &mut Request, payload: &[u8]) {
        if payload.first() == Some(&0xff) {
            self.digest_failed(self.sessions[session].schema, request);
        }
        if request.draft.is_some() {
            let error = ErrPacket::decode(payload).ok().filter(|_| payload.first() == Some(&0xff)).map(|err| err.code);
            let bytes = (HEADER_BYTES + payload.len()) as u64;
            self.log_ended(session, request, Ended { bytes, error, ..Ended::default() });
        }
    }

    /// The gate has answered it with rows of its own.
    pub(crate) fn log_rows(&mut self, session: Key<Session>, request: &mut Request, rows: usize, bytes: usize) {
        if request.draft.is_some() {
            self.log_ended(session, request, Ended { rows: rows as u64, bytes: bytes as u64, ..Ended::default() });
        }
    }

    /// Its reply has come to its end.
    pub(crate) fn log_relayed(&mut self, session: Key<Session>, link: Key<Link>, request: &mut Request) {
        if request.draft.is_some() {
            let (backend, bytes) = (Some(self.links[link].backend), self.links[link].forwarded);
            let (rows, error) = (request.outcome.all_rows, request.outcome.error);
            self.log_ended(session, request, Ended { backend, rows, bytes, error });
        }
    }

    fn log_ended(&mut self, session: Key<Session>, request: &mut Request, ended: Ended) {
        let Some(draft) = request.draft.take() else { return };
        let s = &self.sessions[session];
        let (event, span) = (self.event_of(s, request, &draft, ended), self.span_of(s, request, draft, ended));
        self.tell_ended(event, span);
    }

    /// Its session ends without an end of its reply.
    pub(crate) fn log_cut_off(&mut self, gone: &Session, request: &mut Request) {
        self.digest_failed(gone.schema, request);
        if let Some(draft) = request.draft.take() {
            let link = gone.lease.and_then(|link| self.links.get(link));
            let (backend, bytes) = (link.map(|l| l.backend), link.map_or(0, |l| l.forwarded));
            let ended = Ended { backend, rows: request.outcome.all_rows, bytes, error: Some(2013) };
            let (event, span) =
                (self.event_of(gone, request, &draft, ended), self.span_of(gone, request, draft, ended));
            self.tell_ended(event, span);
        }
    }

    fn tell_ended(&mut self, event: Option<QueryEvent>, span: Option<Span>) {
        if let Some(event) = event {
            self.counters.statements_logged += 1;
            self.actions.push_back(Action::Tell(ControlMail::Statement(Box::new(event))));
        }
        if let Some(span) = span {
            self.counters.statements_traced += 1;
            self.actions.push_back(Action::Tell(ControlMail::Span(Box::new(span))));
        }
    }

    /// None: it was neither sampled nor slow.
    fn event_of(&self, s: &Session, request: &Request, draft: &Draft, ended: Ended) -> Option<QueryEvent> {
        let slow_us = self.snapshot.settings.query_log.slow_ms.saturating_mul(1_000);
        let total_us = self.now.since_ns(draft.began) / 1_000;
        let is_slow = slow_us > 0 && total_us >= slow_us;
        if !is_slow && !draft.is_sampled {
            return None;
        }
        let backend = ended.backend.map(|id| self.snapshot.backend(id));
        let backend_us = if backend.is_some() { self.now.since_ns(request.sent_at) / 1_000 } else { 0 };
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
            route: route_word(backend),
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

pub(super) fn route_word(backend: Option<&BackendView>) -> &'static str {
    match backend.map(|view| view.role) {
        None => "gate",
        Some(Role::Replica) => "replica",
        Some(Role::Primary | Role::Unknown) => "primary",
    }
}
