//! Traces where commands pass: the context that comes with a statement, and the span when it has ended.
//!
//! A context is the attributes' `traceparent` with `tracestate`, else the comment's. A prepared text has one comment for all of its executes: it is the first
//! one's, since who prepares for each statement anew says it there, and who keeps statements would lead all of them into one old trace.

use super::logged::{Ended, route_word};
use crate::engine::Engine;
use crate::querylog::Draft;
use crate::session::prepared::Busy;
use crate::session::{Body, Progress, Request, Session};
use crate::slots::Key;
use crate::trace::{Context, Server, Span, Times, TraceSettings, state};
use weir_net::attribute;
use weir_net::flags::Capabilities;
use weir_net::statement::ExecuteHead;
use weir_planner::Kind;

/// `body`: the command's, with its attributes in front of the text.
pub(crate) fn context_of_query(settings: &TraceSettings, body: &[u8], caps: Capabilities, text: &[u8]) -> Context {
    if !settings.is_on {
        return Context::None;
    }
    let said = |name| attribute::of_query(body, caps, name);
    match Context::of(said(TRACE_PARENT)) {
        Context::None => context_of_comment(text),
        context => context.with_state(|| state::of_text(said(TRACE_STATE)?)),
    }
}

fn context_of_comment(text: &[u8]) -> Context {
    let said = weir_planner::trace_comment(text);
    Context::of(said.map(|said| said.parent)).with_state(|| state::of_comment(said?.state?))
}

impl Engine {
    pub(super) fn context_of_text(&self, body: &[u8], caps: Capabilities, text: &[u8]) -> Context {
        context_of_query(&self.snapshot.settings.traces, body, caps, text)
    }

    pub(super) fn context_of_execute(&mut self, session: Key<Session>, request: &Request, id: u32) -> Context {
        if !self.snapshot.settings.traces.is_on {
            return Context::None;
        }
        let said = self.context_by_attribute(session, request, id);
        let Some(statement) = self.sessions[session].statements.get_mut(&id) else { return said };
        let is_first = !std::mem::replace(&mut statement.was_traced, true);
        match said {
            Context::None if is_first => context_of_comment(&statement.text.sql),
            said => said,
        }
    }

    fn context_by_attribute(&self, session: Key<Session>, request: &Request, id: u32) -> Context {
        let s = &self.sessions[session];
        let Some(statement) = s.statements.get(&id) else { return Context::None };
        let is_whole = request.body == Body::Whole && statement.busy != Busy::LongData;
        if !is_whole || !s.caps.contains(Capabilities::QUERY_ATTRIBUTES) {
            return Context::None;
        }
        let mut copy = Vec::new();
        let body = self.command_bytes(session, request.len, &mut copy);
        let Ok(head) = ExecuteHead::decode(body, statement.params, s.caps) else { return Context::None };
        let types = head.types.or(statement.types.as_deref()).unwrap_or_default();
        let said = |name| attribute::of_execute(&head, types, statement.params, name);
        Context::of(said(TRACE_PARENT)).with_state(|| state::of_text(said(TRACE_STATE)?))
    }

    /// None: it is not traced.
    pub(super) fn span_of(&self, s: &Session, request: &Request, draft: Box<Draft>, ended: Ended) -> Option<Span> {
        let ids = draft.trace?;
        let backend = ended.backend.map(|id| self.snapshot.backend(id));
        let plan = request.plan.as_ref();
        let is_plain = |kind| !matches!(kind, Kind::Multi | Kind::Empty | Kind::Other);
        // A command of its own text may have been decided anew since it came: its wait counts from there.
        let (wait_from, wait_ns) = (request.since, request.waited_ns);
        Some(Span {
            ids,
            core: self.core.0,
            connection_id: s.id,
            schema: String::from_utf8_lossy(self.states.schema_name(s.schema)).into_owned(),
            is_plain: plan.is_some_and(|plan| is_plain(plan.kind)),
            backend: backend.map(|view| Server { name: view.name.clone(), address: view.address.clone() }),
            route: route_word(backend),
            reason: plan.map_or("", |plan| plan.reason.as_str()),
            times: Times {
                began: draft.began,
                wait_from,
                wait_ns,
                sent: (request.progress != Progress::Unsent).then_some(request.sent_at).filter(|_| backend.is_some()),
                ended: self.now,
            },
            rows: ended.rows,
            error: ended.error,
            draft,
        })
    }
}

const TRACE_PARENT: &[u8] = b"traceparent";
const TRACE_STATE: &[u8] = b"tracestate";
