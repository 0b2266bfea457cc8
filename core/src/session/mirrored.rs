//! Mirrors where statements pass: which statement is copied, and what a copy takes along.
//!
//! ```text
//!   filters and permissions let it pass ─► plain read, by itself, outside of a transaction? ─► Copied ─► control ─► the mirror
//!                                              └─ no: counted as unfit
//! ```
//! A copy is of what is about to run, behind rewritings, and is sent off before the statement waits for anything. Copied is only what means
//! the same elsewhere: a read that may run on any replica, of a session that holds no connection (an open transaction, temporary tables,
//! user variables), has chosen no roles, and asks for nothing that a session or a server knows alone. So no copy changes anything.
//!
//! Cost: without a filter that mirrors, nothing.

use crate::engine::{Action as Act, Engine};
use crate::filters::Entry;
use crate::mail::ControlMail;
use crate::mirror::{COPY_BYTES_MAX, Copied, Home};
use crate::session::prepared::{Busy, Statement};
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use crate::state::{Defaults, SchemaId, StateId};
use std::sync::Arc;
use weir_net::command::query_text;
use weir_net::flags::{Capabilities, Status};
use weir_net::statement::{CURSOR_FLAGS, ExecuteHead, rebuild_execute};
use weir_planner::filter::Action;
use weir_planner::{Kind, Plan, Route};

/// What is to be run elsewhere, and where its names are understood.
struct Original {
    text: Box<[u8]>,
    execute: Option<Box<[u8]>>,
    schema: SchemaId,
    state: StateId,
}

impl Engine {
    /// A text is about to run, which these filters mirror. `is_named`: it is an `EXECUTE name`.
    #[cold]
    pub(crate) fn mirror_query(&mut self, session: Key<Session>, request: &Request, plan: &Plan, is_named: bool) {
        let drawn = self.drawn();
        if drawn.is_empty() {
            return;
        }
        let s = &self.sessions[session];
        let is_fit = !is_named && request.body == Body::Whole && request.len <= COPY_BYTES_MAX && self.is_fit(s, plan);
        let text = is_fit.then(|| {
            let mut copy = Vec::new();
            let body = self.command_bytes(session, request.len, &mut copy);
            let at = query_text(body, s.caps).ok()?.text;
            body.get(at).map(Box::from)
        });
        let original = text.flatten().map(|text| Original { text, execute: None, schema: s.schema, state: s.state });
        self.mirror(session, &drawn, original);
    }

    /// The same of a prepared statement, with the parameters of this execute. `id`: the client's.
    pub(crate) fn mirror_execute(&mut self, session: Key<Session>, request: &Request, id: u32) {
        if self.restraint.mirrors.is_empty() {
            return;
        }
        let drawn = self.drawn();
        let Some(statement) = self.sessions[session].statements.get(&id).filter(|_| !drawn.is_empty()) else { return };
        let len = request.len + statement.text.sql.len();
        let is_fit = statement.busy == Busy::No && request.body == Body::Whole && len <= COPY_BYTES_MAX;
        let is_fit = is_fit && self.is_fit(&self.sessions[session], &statement.plan);
        let execute = if is_fit { self.plain_execute(session, request, statement) } else { None };
        let (text, own) = (statement.text.clone(), self.sessions[session].state);
        let original = execute.map(|execute| Original {
            text: text.sql.clone(),
            execute: Some(execute),
            schema: text.schema,
            state: self.states.understood_as(own, text.state),
        });
        self.mirror(session, &drawn, original);
    }

    /// Those of the filters that mirror whose draw has come for this statement.
    fn drawn(&mut self) -> Vec<Arc<Entry>> {
        let mut drawn = std::mem::take(&mut self.restraint.mirrors);
        drawn.retain(|entry| {
            let Action::Mirror(mirror) = &entry.rule.action else { return false };
            mirror.percent >= 100 || self.random() % 100 < u64::from(mirror.percent)
        });
        drawn
    }

    /// It means the same elsewhere, and changes nothing there.
    fn is_fit(&self, s: &Session, plan: &Plan) -> bool {
        let is_plain = plan.kind == Kind::Select && plan.route == Route::Read && plan.statements == 1;
        let is_closed = plan.effects.is_empty() && plan.asks.is_empty() && plan.values.is_empty();
        let is_alone =
            s.lease.is_none() && s.status.contains(Status::AUTOCOMMIT) && !s.status.contains(Status::IN_TRANS);
        is_plain && is_closed && is_alone && self.states.role(s.state).is_none()
    }

    /// None: its parameters are not all here, or it opens a cursor.
    fn plain_execute(&self, session: Key<Session>, request: &Request, statement: &Statement) -> Option<Box<[u8]>> {
        let (mut copy, mut payload) = (Vec::new(), Vec::new());
        let caps = self.sessions[session].caps;
        let body = self.command_bytes(session, request.len, &mut copy);
        let (params, types) = (statement.params, statement.types.as_deref());
        let head = ExecuteHead::decode(body, params, caps).ok()?;
        if head.flags & CURSOR_FLAGS != 0 || (params > 0 && head.types.is_none() && types.is_none()) {
            return None;
        }
        rebuild_execute(&mut payload, body, params, caps, Capabilities::empty(), 0, types).ok()?;
        Some(payload.into())
    }

    fn mirror(&mut self, session: Key<Session>, entries: &[Arc<Entry>], original: Option<Original>) {
        let Some(Original { text, execute, schema, state }) = original else {
            return entries.iter().for_each(|entry| entry.copies.note_unfit());
        };
        let class = self.classes.get(self.sessions[session].class);
        let mut variables = Vec::new();
        self.states.difference(StateId(0), state, Defaults::default(), &mut variables);
        let home = Home {
            charset: class.charset,
            ignores_space: class.caps.contains(Capabilities::IGNORE_SPACE),
            schema: self.states.schema_name(schema).into(),
            variables: variables.into(),
        };
        for entry in entries {
            if let Some(copied) = Copied::new(entry, home.clone(), text.clone(), execute.clone()) {
                self.actions.push_back(Act::Tell(ControlMail::Copied(Box::new(copied))));
            }
        }
    }
}
