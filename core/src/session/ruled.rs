//! Rules where commands pass: filters first, then table permissions, of what the filters made of the statement.
//!
//! ```text
//!   COM_QUERY ──► pass_filters ─► (rewrite, planned anew) ─► forbidden? ─► decide, in the lanes that the filters want
//!   COM_STMT_PREPARE ─► pass_filters, refusals only ─► forbidden?            PREPARE name FROM '…': the text inside, refusals only
//!   COM_STMT_EXECUTE ─► pass_filters, of the text that was prepared ─► (another text under the same id) ─► forbidden?
//! ```
//! Invariant: a statement keeps the number of its parameters, whatever a filter makes of it, or it is refused: the client has counted
//! them. What it has prepared keeps its own text beside the rewritten one, and gets it back when no filter rewrites it any more.

use crate::digest::Digests;
use crate::engine::Engine;
use crate::filters::{Counts, Entry};
use crate::session::decide::unanswerable;
use crate::session::filtered::{Deed, Verdict};
use crate::session::prepared::{Busy, Statement, Text, Texts};
use crate::session::refuse::Refusal;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use crate::snapshot::Snapshot;
use crate::state::SchemaId;
use std::rc::Rc;
use std::sync::Arc;
use weir_net::command::query_text;
use weir_net::packet::{HEADER_BYTES, PAYLOAD_MAX};
use weir_planner::filter::parameters;
use weir_planner::{Effects, Facts, Local, Plan, Route};

/// A prepared statement's own text, while another runs in its place.
#[derive(Debug)]
pub struct Origin {
    text: Rc<Text>,
    plan: Rc<Plan>,
    /// Of the filters that made the other one.
    version: u64,
}

impl Engine {
    /// What digests, permissions and filters want to know of a text that was planned.
    #[inline(never)]
    pub(crate) fn watch(
        snapshot: &Snapshot,
        digests: &mut Digests,
        plan: &Plan,
        text: &[u8],
        facts: &Facts,
        schema: (SchemaId, &[u8]),
    ) {
        if snapshot.settings.digests {
            Engine::number_digest(digests, plan, text, facts);
        }
        if snapshot.settings.digest_running_max > 0 {
            Engine::note_form(plan, text, facts);
        }
        if snapshot.permissions.is_some() && plan.local.is_none() {
            plan.tables(text, facts);
        }
        if let Some(filters) = &snapshot.filters {
            Engine::look(filters, plan, text, facts, schema);
        }
    }

    /// A text that streams, by its beginning.
    #[inline(never)]
    pub(crate) fn watch_streamed(
        snapshot: &Snapshot,
        plan: &Plan,
        head: &[u8],
        facts: &Facts,
        schema: (SchemaId, &[u8]),
    ) {
        if snapshot.settings.digest_running_max > 0 {
            Engine::note_form(plan, head, facts);
        }
        if let Some(filters) = &snapshot.filters {
            let of_head = weir_planner::plan(head, facts);
            Engine::look(filters, &of_head, head, facts, schema);
            *plan.memo.found.borrow_mut() = of_head.memo.found.take();
        }
    }

    /// The request that may go on, with its plan. None: it was refused. `home`: of a statement that was prepared by name.
    #[inline(never)]
    pub(crate) fn rule_query(
        &mut self,
        session: Key<Session>,
        request: Box<Request>,
        plan: Rc<Plan>,
        home: Option<SchemaId>,
    ) -> Option<(Box<Request>, Rc<Plan>)> {
        let (mut request, mut plan) = (request, plan);
        match self.pass_filters(session, &plan, Deed::Run) {
            Verdict::Pass => {}
            Verdict::Refuse(why) => {
                self.refuse(session, request, &why);
                return None;
            }
            Verdict::Rewrite(rewriters) => match self.rewrite_query(session, &mut request, &plan, &rewriters) {
                Ok(None) => {}
                Ok(Some(next)) => {
                    request.plan = Some(next.clone());
                    request = request.to(next.route);
                    plan = next;
                }
                Err(why) => {
                    self.refuse(session, request, &why);
                    return None;
                }
            },
        }
        let schema = home.unwrap_or(self.sessions[session].schema);
        match self.forbidden(session, &plan, schema) {
            None if self.restraint.mirrors.is_empty() => Some((request, plan)),
            None => {
                self.mirror_query(session, &request, &plan, home.is_some());
                Some((request, plan))
            }
            Some(why) => {
                self.refuse(session, request, &why);
                None
            }
        }
    }

    /// Why a `COM_STMT_PREPARE` of this text is refused.
    #[inline(never)]
    pub(crate) fn prepare_refused(&mut self, session: Key<Session>, plan: &Plan) -> Option<Refusal> {
        match self.pass_filters(session, plan, Deed::Ask) {
            Verdict::Refuse(why) => Some(why),
            Verdict::Pass | Verdict::Rewrite(_) => {
                let schema = self.sessions[session].schema;
                self.forbidden(session, plan, schema)
            }
        }
    }

    /// Why the gate does not answer this itself, though it could: it is a statement of MySQL's, and a filter refuses it.
    pub(crate) fn local_refused(&mut self, session: Key<Session>, plan: &Plan) -> Option<Refusal> {
        let is_mysqls = matches!(
            plan.local,
            Some(
                Local::ConnectionId { .. }
                    | Local::RowCount { .. }
                    | Local::FoundRows { .. }
                    | Local::ShowConditions { .. }
            )
        );
        match is_mysqls.then(|| self.pass_filters(session, plan, Deed::Ask)) {
            Some(Verdict::Refuse(why)) => Some(why),
            _ => None,
        }
    }

    /// An `EXECUTE name` is about to take its text's plan: that one is looked at, and counted by its own digest. A text that is not known
    /// is counted as the `EXECUTE` that it is.
    #[cold]
    pub(crate) fn watch_named(&mut self, session: Key<Session>, execute: &Plan) {
        let Some(known) = self.sessions[session].named.behind(execute) else { return };
        let schema = (known.schema(), self.states.schema_name(known.schema()));
        Engine::watch(&self.snapshot, &mut self.digests, known.plan(), known.sql(), known.facts(), schema);
    }

    /// Puts another text in the place of the client's. None: no filter makes another of it.
    fn rewrite_query(
        &mut self,
        session: Key<Session>,
        request: &mut Request,
        plan: &Plan,
        rewriters: &[Arc<Entry>],
    ) -> Result<Option<Rc<Plan>>, Refusal> {
        let cannot = |why: &'static str| cannot_rewrite(rewriters, why);
        if request.body != Body::Whole {
            return Err(cannot("it is longer than 256 KiB"));
        }
        if plan.effects.contains(Effects::TEXT_NAMED) {
            return Err(cannot("it was prepared by name (PREPARE … FROM): send the text itself"));
        }
        let s = &self.sessions[session];
        let mut body = Vec::with_capacity(request.len);
        s.inbound.copy_to(&self.blocks, HEADER_BYTES + 1, request.len - HEADER_BYTES - 1, &mut body);
        let text_at = query_text(&body, s.caps).map_or(0, |parts| parts.text.start);
        let (facts, schema) = (s.facts, s.schema);
        let name = self.states.schema_name(schema);
        let Some(text) = Engine::rewritten(rewriters, &body[text_at..], &facts, name) else { return Ok(None) };
        if body.len() + text.len() >= PAYLOAD_MAX {
            return Err(cannot("what it makes of it is longer than a packet"));
        }
        let next = self.plans.plan(&text, &facts);
        if next.route == Route::Local || unanswerable(&next).is_some() {
            return Err(cannot("what it makes of it is for the gate, not for MySQL"));
        }
        let schema = (schema, self.states.schema_name(schema));
        Engine::watch(&self.snapshot, &mut self.digests, &next, &text, &facts, schema);
        let mut payload = vec![request.command as u8];
        payload.extend_from_slice(&body[..text_at]);
        payload.extend_from_slice(&text);
        request.len = self.put_in_front(session, request.len, &payload);
        Ok(Some(next))
    }

    /// Why an execute may not go on. `id`: the client's.
    #[inline(never)]
    pub(crate) fn execute_refused(&mut self, session: Key<Session>, id: u32) -> Option<Refusal> {
        if self.snapshot.filters.is_some()
            && let Some(why) = self.filter_execute(session, id)
        {
            return Some(why);
        }
        self.execute_forbidden(session, id)
    }

    fn filter_execute(&mut self, session: Key<Session>, id: u32) -> Option<Refusal> {
        let snapshot = self.snapshot.clone();
        let filters = snapshot.filters.as_ref()?;
        let statement = self.sessions[session].statements.get(&id)?;
        let facts = statement.facts;
        let (text, plan) = match &statement.origin {
            Some(origin) => (origin.text.clone(), origin.plan.clone()),
            None => (statement.text.clone(), statement.plan.clone()),
        };
        Engine::look(filters, &plan, &text.sql, &facts, (text.schema, self.states.schema_name(text.schema)));
        match self.pass_filters(session, &plan, Deed::Run) {
            Verdict::Refuse(why) => Some(why),
            Verdict::Pass => {
                let statement = self.sessions[session].statements.get_mut(&id)?;
                if statement.busy == Busy::No
                    && let Some(origin) = statement.origin.take()
                {
                    let text = fitted(&mut self.texts, origin.text, statement);
                    (statement.text, statement.plan) = (text, origin.plan);
                }
                None
            }
            Verdict::Rewrite(rewriters) => self.rewrite_execute(session, id, (text, plan), &rewriters),
        }
    }

    fn rewrite_execute(
        &mut self,
        session: Key<Session>,
        id: u32,
        (text, plan): (Rc<Text>, Rc<Plan>),
        rewriters: &[Arc<Entry>],
    ) -> Option<Refusal> {
        let version = self.snapshot.filters.as_ref().map_or(0, |filters| filters.version);
        let statement = self.sessions[session].statements.get(&id)?;
        let facts = statement.facts;
        if statement.origin.as_ref().is_some_and(|origin| origin.version == version) {
            rewriters.iter().for_each(|entry| Counts::add(&entry.counts.rewritten));
            return None;
        }
        if statement.busy != Busy::No {
            return Some(cannot_rewrite(rewriters, "long data was sent for it, or its cursor is open"));
        }
        let schema = self.states.schema_name(text.schema);
        let sql = Engine::rewritten(rewriters, &text.sql, &facts, schema)?;
        if parameters(&sql, &facts) != parameters(&text.sql, &facts) {
            return Some(cannot_rewrite(rewriters, "what it makes of it has another number of parameters"));
        }
        let next = self.plans.plan(&sql, &facts);
        if next.route == Route::Local || unanswerable(&next).is_some() {
            return Some(cannot_rewrite(rewriters, "what it makes of it is for the gate, not for MySQL"));
        }
        let schema = (text.schema, self.states.schema_name(text.schema));
        Engine::watch(&self.snapshot, &mut self.digests, &next, &sql, &facts, schema);
        let other = self.texts.intern(&sql, text.schema, text.state, text.class);
        let statement = self.sessions[session].statements.get_mut(&id)?;
        let other = fitted(&mut self.texts, other, statement);
        (statement.text, statement.plan) = (other, next);
        statement.origin = Some(Box::new(Origin { text, plan, version }));
        None
    }
}

/// A text that is to take the place of a statement's: with the same first types, and as much alone.
fn fitted(texts: &mut Texts, text: Rc<Text>, statement: &Statement) -> Rc<Text> {
    match &statement.text.types {
        _ if statement.alone => texts.own(&text),
        Some(types) if text.types.is_none() => texts.typed(&text, types.clone()),
        _ => text,
    }
}

fn cannot_rewrite(rewriters: &[Arc<Entry>], why: &'static str) -> Refusal {
    rewriters.iter().for_each(|entry| Counts::add(&entry.counts.failed));
    let names: Vec<&str> = rewriters.iter().map(|entry| &*entry.rule.filter.name).collect();
    Refusal::FilterRewrite { name: names.join(", "), why }
}
