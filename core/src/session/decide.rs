//! Deciding where a command goes: the plan, the session's position, the backends' (S01 to S10, S60 to S66).
//!
//! ```text
//!   holds a connection (transaction, pin) ─► there
//!   plan says primary, or anything is in doubt ─► the primary; none: wait (S74)
//!   plan says read, autocommit on ─► a replica that has what this session wrote, by policy; none: the primary (S09)
//! ```

use crate::engine::Engine;
use crate::limits::STREAMED_TEXT_BYTES;
use crate::link::Link;
use crate::querylog::{Begun, Draft};
use crate::session::insert_id::InsertId;
use crate::session::permit::unknown_memo;
use crate::session::pins::Reasons;
use crate::session::previous::{ABOUT_PREVIOUS, Place, keeps_diagnostics};
use crate::session::refuse::Refusal;
use crate::session::replica::Place as To;
use crate::session::traced::context_of_query;
use crate::session::{Body, Phase, Request, Session, Wait};
use crate::slots::Key;
use crate::snapshot::Role;
use std::rc::Rc;
use weir_net::command::{Command, query_text};
use weir_net::flags::{Capabilities, Status};
use weir_net::packet::HEADER_BYTES;
use weir_planner::{Asks, Effects, Kind, Plan, Route, Target};
use weir_pool::SlotId;

/// Whether the connection that knows an answer could be had.
enum Answerer {
    Leased(SlotId),
    /// Others have it, or stand in line for it: what it knew is gone.
    Taken,
    /// Nothing in particular is asked, or any connection can be given the answer.
    Anyone,
}

/// What the server would understand wrongly, since it knows its own connections only (S30).
pub(crate) fn unanswerable(plan: &Plan) -> Option<Refusal> {
    (plan.effects.contains(Effects::KILL)).then_some(Refusal::KillByNumber)
}

impl Engine {
    /// `COM_QUERY`.
    pub(crate) fn query(&mut self, session: Key<Session>, mut request: Box<Request>) {
        let mut copy = Vec::new();
        let planned = self.plan_query(session, &request, &mut copy);
        let (mut plan, draft) = match planned {
            Ok(planned) => planned,
            Err(what) => return self.refuse(session, request, &Refusal::MalformedCommand(what)),
        };
        let mut home = None;
        if plan.effects.contains(Effects::TEXT_EXECUTE) {
            if self.restraint.is_watched {
                self.watch_named(session, &plan);
            }
            if let Some((known, schema)) = self.sessions[session].named.executed(&plan) {
                (plan, home) = (known, Some(schema));
            }
        }
        (request.plan, request.draft) = (Some(plan.clone()), draft);
        let mut request = request.to(plan.route);
        if plan.route == Route::Local {
            return self.answer_locally(session, request, &plan);
        }
        if let Some(why) = unanswerable(&plan) {
            return self.refuse(session, request, &why);
        }
        if self.restraint.is_ruled {
            match self.rule_query(session, request, plan, home) {
                Some(ruled) => (request, plan) = ruled,
                None => return,
            }
        }
        let request = if plan.values.is_empty() { request } else { self.substitute(session, request, &plan) };
        self.decide(session, request);
    }

    fn plan_query(
        &mut self,
        session: Key<Session>,
        request: &Request,
        copy: &mut Vec<u8>,
    ) -> Result<(Rc<Plan>, Option<Box<Draft>>), &'static str> {
        if request.body != Body::Whole {
            // The planner sees the beginning only, and says so by not understanding it.
            let len = HEADER_BYTES + STREAMED_TEXT_BYTES;
            let text = self.command_bytes(session, len, copy);
            let mut plan = weir_planner::plan(&text[..text.len().min(64)], &self.sessions[session].facts);
            plan.route = Route::Primary;
            plan.local = None;
            plan.effects = plan.effects | Effects::UNKNOWN | Effects::WRITES;
            plan.memo = unknown_memo();
            let schema = self.sessions[session].schema;
            if self.restraint.is_watched {
                let (facts, schema) = (self.sessions[session].facts, (schema, self.states.schema_name(schema)));
                Engine::watch_streamed(&self.snapshot, &plan, text, &facts, schema);
            }
            let draft = if self.sampler.is_on() { self.draft_streamed(session, len) } else { None };
            return Ok((Rc::new(plan), draft));
        }
        let caps = self.sessions[session].caps;
        let facts = self.sessions[session].facts;
        let in_transaction = self.sessions[session].status.contains(Status::IN_TRANS);
        // Borrows: the text lies in the blocks, the cache is another field.
        let inbound = &self.sessions[session].inbound;
        let first = inbound.first().map(|chunk| self.blocks.bytes(chunk)).unwrap_or_default();
        let payload = if first.len() >= request.len {
            &first[HEADER_BYTES + 1..request.len]
        } else {
            inbound.copy_to(&self.blocks, HEADER_BYTES + 1, request.len - HEADER_BYTES - 1, copy);
            &copy[..]
        };
        let text = if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
            let parts = query_text(payload, caps).map_err(|m| m.0)?;
            &payload[parts.text]
        } else {
            payload
        };
        let plan = self.plans.plan(text, &facts);
        if self.restraint.is_watched {
            let schema = self.sessions[session].schema;
            let schema = (schema, self.states.schema_name(schema));
            Engine::watch(&self.snapshot, &mut self.digests, &plan, text, &facts, schema);
        }
        let draft = match self.sampler.is_on() {
            false => None,
            true => {
                let settings = &self.snapshot.settings;
                let context = context_of_query(&settings.traces, payload, caps, text);
                let (at, command) = (self.now, "query");
                let begun = Begun { at, command, text, facts: &facts, in_transaction, context };
                self.sampler.begin(settings, begun, &mut self.random, &mut self.counters)
            }
        };
        Ok((plan, draft))
    }

    /// Sends the request on its way: on the connection that the session holds, or to the backend that fits.
    pub(crate) fn decide(&mut self, session: Key<Session>, request: Box<Request>) {
        if let Err(why) = self.make_room_for_questions(session, &request) {
            return self.refuse(session, request, &why);
        }
        let s = &self.sessions[session];
        let is_restrained =
            s.seat.is_some() | s.lanes.is_some() | self.restraint.admission.is_on | self.restraint.limits_forms;
        let request = match is_restrained {
            false => request,
            true => match self.restrain(session, request) {
                Some(request) => request,
                None => return,
            },
        };
        self.leave_ending_primary(session, &request);
        if let Some(link) = self.sessions[session].lease {
            let in_transaction = self.sessions[session].status.contains(Status::IN_TRANS);
            let on_replica = self.snapshot.backend(self.links[link].backend).role == Role::Replica;
            let state = self.sessions[session].pins.reasons().without(Reasons::SOFT);
            let asks_previous = request.asks().intersects(ABOUT_PREVIOUS);
            let s = &self.sessions[session];
            let is_bad_place = || on_replica || s.meets_leftovers(&self.links[link], request.plan.as_deref());
            if !asks_previous && s.is_held_by_untold() && is_bad_place() {
                // `GET DIAGNOSTICS` of what failed here: what it has set goes along.
                self.sessions[session].phase = Phase::Aligning(request);
                return self.ask_user_variables(session, link);
            }
            if on_replica && !in_transaction && !state.is_empty() && !asks_previous && request.route == Route::Primary {
                return self.refuse(session, request, &Refusal::HeldByReplica);
            }
            if self.replica_hint(&request) && in_transaction && !on_replica {
                return self.refuse(session, request, &Refusal::ReplicaHintInTransaction);
            }
            self.sessions[session].phase = Phase::Aligning(request);
            return self.proceed(session);
        }
        match self.one_with_the_answer(session, &request) {
            Answerer::Leased(slot) => self.lease_at_once(session, slot, weir_pool::Fit::Same, request),
            Answerer::Taken => self.refuse(session, request, &Refusal::DiagnosticsGone),
            Answerer::Anyone => self.find_backend(session, request),
        }
    }

    /// Leases a connection to a backend that fits, or stands the session in its line, or among those without a primary.
    fn find_backend(&mut self, session: Key<Session>, request: Box<Request>) {
        let place = self.place_for(session, &request);
        if let To::Backend(backend) = place {
            return self.acquire_for(session, backend, request);
        }
        let stream_deadline = self.stream_deadline(session, &request);
        let (since, len) = (request.since, request.len);
        let index_deadline = request.since.plus_ms(self.snapshot.settings.wait_ms_max);
        self.sessions[session].phase = Phase::Waiting(request, Wait::Primary);
        match place {
            To::Backend(_) => unreachable!("served above"),
            To::NoPrimary => match self.may_buffer(since, len) {
                Ok(deadline) => {
                    self.waits_for_primary(session);
                    self.arm_session(session, deadline);
                }
                Err(why) => {
                    let waited_ms = self.now.since_ms(since);
                    self.counters.buffer_failed += 1;
                    self.refuse_request(session, &Refusal::Unbuffered { why, waited_ms });
                }
            },
            To::Stream => {
                self.counters.reads_waited += 1;
                self.wait_for(session, Wait::Stream, stream_deadline);
                self.streamers.push_back(session);
            }
            To::Index(of) => {
                self.wait_for(session, Wait::Index(of), index_deadline);
                self.want_index(session, of);
            }
        }
    }

    fn wait_for(&mut self, session: Key<Session>, what: Wait, until: crate::time::Instant) {
        if let Phase::Waiting(_, wait) = &mut self.sessions[session].phase {
            *wait = what;
        }
        self.arm_session(session, until);
    }

    /// The time to wait for a replica is over: the primary serves the read.
    pub(crate) fn read_on_primary(&mut self, session: Key<Session>) {
        if let Phase::Waiting(request, _) = &mut self.sessions[session].phase {
            request.primary_only = true;
        }
        self.decide_anew(session);
    }

    /// After a change of topology or a lost line: a session that waits looks again.
    pub(crate) fn decide_anew(&mut self, session: Key<Session>) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Waiting(request, _) => self.find_backend(session, request),
            Phase::Verify(verify) => {
                let (seq, fast, cause) = (verify.seq, verify.fast, verify.cause);
                self.verify(session, seq, fast, cause);
            }
            other => self.sessions[session].phase = other,
        }
    }

    /// Questions about the previous statement are answered where it ran; other statements end the wait for them.
    fn make_room_for_questions(&mut self, session: Key<Session>, request: &Request) -> Result<(), Refusal> {
        let asks = request.plan.as_ref().map(|p| p.asks).unwrap_or_default();
        if asks.intersects(ABOUT_PREVIOUS) {
            return self.previous_statement_is_known(session, request);
        }
        // Long data is of no use where its execute may not run: what a replica knew of the previous statement is given up.
        let on_replica = self.sessions[session]
            .lease
            .is_some_and(|link| self.snapshot.backend(self.links[link].backend).role == Role::Replica);
        if keeps_diagnostics(request.command) && !(request.command == Command::StmtSendLongData && on_replica) {
            return Ok(());
        }
        let s = &mut self.sessions[session];
        if s.pins.reasons().intersects(Reasons::SOFT) {
            s.pins.drop(Reasons::SOFT);
            if s.pins.is_empty() {
                self.counters.sessions_pinned -= 1;
                if !s.status.contains(Status::IN_TRANS) {
                    self.give_back(session);
                }
            }
        }
        Ok(())
    }

    /// Ok when a connection can answer: the one that ran the session's previous statement, held or idle, with nothing
    /// else run on it since, or any that is brought into the state that the gate's own answer would have left behind.
    fn previous_statement_is_known(&mut self, session: Key<Session>, request: &Request) -> Result<(), Refusal> {
        let plan = request.plan.as_ref();
        let asks = plan.map(|p| p.asks).unwrap_or_default();
        // What does more than ask must not go where a read was answered.
        const ASSIGNS: Effects = Effects::SET_USER_VARIABLE.union(Effects::READS_USER_VARIABLE);
        let anywhere = plan.is_some_and(|p| {
            p.effects.is_empty() || (p.kind == Kind::Diagnostics && p.effects.without(ASSIGNS).is_empty())
        });
        let primary = self.snapshot.primary();
        let s = &self.sessions[session];
        let Place::On { slot, rows } = s.previous.place else {
            return s.previous.way(asks, self.server_flavour()).map(|_| ()).ok_or(Refusal::DiagnosticsGone);
        };
        let link = self.slot_links.get(slot.index).and_then(|link| Some((link, self.links.get(link)?)));
        let free = |key, l: &Link| l.lessee.is_none() || s.lease == Some(key);
        match link {
            Some((key, l))
                if l.slot == slot
                    && l.is_as_left_by(session)
                    && free(key, l)
                    && (anywhere || Some(l.backend) == primary)
                    && (rows || !asks.contains(Asks::FOUND_ROWS)) =>
            {
                Ok(())
            }
            // Where no warning was, and no rows were changed, another connection can be led into the same state.
            _ if self.sessions[session].previous.leave(asks) => Ok(()),
            _ => Err(Refusal::DiagnosticsGone),
        }
    }

    /// Takes the very connection that knows the answer, when the request asks for it and it is idle.
    fn one_with_the_answer(&mut self, session: Key<Session>, request: &Request) -> Answerer {
        let asks = request.plan.as_ref().map(|p| p.asks).unwrap_or_default();
        let echoes = self.sessions[session].previous.row_count > 0 && request.echoes_count();
        if asks.is_empty() && !echoes {
            return Answerer::Anyone;
        }
        let primary = self.snapshot.primary();
        let s = &self.sessions[session];
        let about_previous = asks.intersects(ABOUT_PREVIOUS);
        let slot = if let (true, Place::On { slot, .. }) = (about_previous, &s.previous.place) {
            Some(*slot)
        } else if let (true, Place::On { slot, .. }) = (echoes, &s.previous.place) {
            // If it is free: nothing else brings the count back.
            let l = self.slot_links.get(slot.index).and_then(|link| self.links.get(link));
            l.filter(|l| l.slot == *slot && Some(l.backend) == primary && l.class == s.class).map(|l| l.slot)
        } else if let (true, InsertId::OnLink { link, .. }) = (asks.contains(Asks::LAST_INSERT_ID), s.insert_id) {
            // One of another class takes other statements: several at once, or one.
            self.links.get(link).filter(|l| Some(l.backend) == primary && l.class == s.class).map(|l| l.slot)
        } else {
            None
        };
        match slot {
            Some(slot) if self.pool.acquire_exactly(slot) => Answerer::Leased(slot),
            Some(_) if about_previous => Answerer::Taken,
            _ => Answerer::Anyone,
        }
    }

    fn replica_hint(&self, request: &Request) -> bool {
        let hint = request.plan.as_ref().and_then(|p| p.hint.as_ref());
        hint.is_some_and(|h| h.target == Some(Target::Replica))
    }
}
