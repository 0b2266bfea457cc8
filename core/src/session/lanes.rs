//! Lanes: the queues that a session's statement is to pass, and those where it has its turn. Filters with `CONCURRENCY_CONTROL` have one
//! each, and each normal form has one while there is a `digest_running_max`.
//!
//! ```text
//!   pass_filters ─► wanted: a, b ─► decide, with its form's ─► a's turn ─► b's turn ─► the form's turn ─► … ─► rest: all of them end
//!                                                  └─ Waiting(Turn) ─ 3168 ─┘
//! ```
//! Lanes are taken in the order of the filters, which is the same for everybody, the form's last, and behind the account's own turn
//! (`seat.rs`), so that no two wait for each other. A statement of a session that holds a connection never waits: it holds what others
//! may wait for. It counts.
//!
//! Invariant: a turn that was given is ended, whatever becomes of the session: `rest` and `end_session` are the two ends of a command.

use crate::engine::Engine;
use crate::filters::{Counts, Entry};
use crate::session::previous::ABOUT_PREVIOUS;
use crate::session::refuse::Refusal;
use crate::session::seat::in_line;
use crate::session::{Phase, Request, Session, Wait};
use crate::slots::Key;
use crate::tally::usage::{Joined, Usage};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_net::command::Command;
use weir_planner::filter::Action;
use weir_planner::{Kind, Plan};

#[derive(Debug, Default)]
pub struct Lanes {
    wanted: VecDeque<Lane>,
    had: Vec<Arc<Usage>>,
    /// In the first of the wanted ones, by this number.
    awaited: Option<u64>,
    /// Its form's lane is among them, or was.
    knows_form: bool,
}

#[derive(Clone, Debug)]
enum Lane {
    Filter(Arc<Entry>),
    Form(Arc<Usage>),
}

/// What holds in a lane.
#[derive(Clone, Copy)]
struct Terms {
    running_max: u32,
    waiting_max: u32,
    wait_ms_max: u64,
}

impl Lane {
    fn usage(&self) -> &Arc<Usage> {
        match self {
            Lane::Filter(entry) => &entry.usage,
            Lane::Form(usage) => usage,
        }
    }
}

impl Lanes {
    pub(crate) fn wanting(entries: Vec<Arc<Entry>>) -> Lanes {
        Lanes { wanted: entries.into_iter().map(Lane::Filter).collect(), ..Lanes::default() }
    }

    pub(crate) fn awaits(&self, number: u64) -> bool {
        self.awaited == Some(number)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// The turn that was waited for is here.
    pub(crate) fn take_awaited(&mut self) {
        self.awaited = None;
        self.had.extend(self.wanted.pop_front().map(|lane| lane.usage().clone()));
    }
}

/// It asks for no data, so that a limit would only hold up what begins and ends the work of others.
fn is_free(plan: &Plan) -> bool {
    let kinds = [Kind::Set, Kind::Use, Kind::Begin, Kind::Commit, Kind::Rollback, Kind::Savepoint, Kind::Prepare];
    kinds.contains(&plan.kind) || matches!(plan.kind, Kind::Kill | Kind::Diagnostics | Kind::Empty)
}

impl Engine {
    /// The lane of its normal form is wanted, once, behind those of filters.
    pub(crate) fn want_form(&mut self, session: Key<Session>, request: &Request) {
        let limit = self.snapshot.settings.digest_running_max;
        let s = &self.sessions[session];
        let Some(plan) = request.plan.as_ref().filter(|plan| plan.local.is_none() && !is_free(plan)) else { return };
        let counts = matches!(request.command, Command::Query | Command::StmtExecute);
        if !counts || s.lanes.as_ref().is_some_and(|lanes| lanes.knows_form) {
            return;
        }
        let prepared = request.statement.and_then(|id| s.statements.get(&id));
        if let Some(statement) = prepared {
            // It may have been prepared before there was a limit.
            Engine::note_form(plan, &statement.text.sql, &statement.facts);
        }
        let form = plan.memo.form.get();
        if form == 0 {
            return;
        }
        let usage = self.tally.forms().usage(form, limit);
        let lanes = self.sessions[session].lanes.get_or_insert_default();
        lanes.wanted.push_back(Lane::Form(usage));
        lanes.knows_form = true;
    }

    /// The command may run; None: it waits for its turn, or has been refused.
    pub(crate) fn take_lanes(&mut self, session: Key<Session>, request: Box<Request>) -> Option<Box<Request>> {
        loop {
            let Some(lane) = self.sessions[session].lanes.as_ref().and_then(|lanes| lanes.wanted.front().cloned())
            else {
                return Some(request);
            };
            let Some(terms) = self.terms_of(&lane) else { return Some(request) };
            let (core, number) = (self.core, self.restraint.turns.next_number());
            let s = &mut self.sessions[session];
            let Some(lanes) = s.lanes.as_mut() else { return Some(request) };
            let usage = lane.usage();
            let joined = if s.lease.is_some() || request.asks().intersects(ABOUT_PREVIOUS) {
                usage.force();
                Joined::Runs
            } else if usage.begin() {
                Joined::Runs
            } else {
                usage.join(in_line(core, session, number), terms.waiting_max)
            };
            match joined {
                Joined::Runs => lanes.take_awaited(),
                Joined::Waits => {
                    lanes.awaited = Some(number);
                    s.phase = Phase::Waiting(request, Wait::Turn);
                    match &lane {
                        Lane::Filter(entry) => Counts::add(&entry.counts.queued),
                        Lane::Form(_) => self.counters.digest_turns_waited += 1,
                    }
                    self.arm_session(session, self.now.plus_ms(terms.wait_ms_max));
                    return None;
                }
                Joined::Full => {
                    let why = self.lane_refusal(&lane, terms, None);
                    self.refuse(session, request, &why);
                    return None;
                }
            }
        }
    }

    /// None: nobody is held back there.
    fn terms_of(&self, lane: &Lane) -> Option<Terms> {
        let settings = &self.snapshot.settings;
        match lane {
            Lane::Form(_) => Some(Terms {
                running_max: settings.digest_running_max,
                waiting_max: settings.waiters_max,
                wait_ms_max: settings.wait_ms_max,
            }),
            Lane::Filter(entry) => {
                let Action::Concurrency(limit) = entry.rule.action else { return None };
                let wait_ms_max = limit.wait_ms_max.unwrap_or(settings.wait_ms_max);
                Some(Terms { running_max: limit.running_max, waiting_max: limit.waiting_max, wait_ms_max })
            }
        }
    }

    /// It has waited for too long.
    pub(crate) fn lane_timed_out(&mut self, session: Key<Session>) -> Option<Refusal> {
        let lanes = self.sessions[session].lanes.as_ref().filter(|lanes| lanes.is_waiting())?;
        let lane = lanes.wanted.front()?.clone();
        let terms = self.terms_of(&lane)?;
        Some(self.lane_refusal(&lane, terms, Some(terms.wait_ms_max)))
    }

    fn lane_refusal(&mut self, lane: &Lane, terms: Terms, waited_ms: Option<u64>) -> Refusal {
        let Terms { running_max, waiting_max, .. } = terms;
        match lane {
            Lane::Form(_) => {
                self.counters.digest_turns_refused += 1;
                Refusal::DigestRunning { limit: running_max, waiting_max, waited_ms }
            }
            Lane::Filter(entry) => {
                Counts::add(&entry.counts.rejected);
                let name = entry.rule.filter.name.to_string();
                Refusal::FilterQueue { name, running_max, waiting_max, waited_ms }
            }
        }
    }

    /// The session rests, or is gone.
    #[cold]
    pub(crate) fn leave_lanes(&mut self, session: Key<Session>, lanes: Lanes) {
        let Lanes { wanted, had, awaited, .. } = lanes;
        if let (Some(number), Some(lane)) = (awaited, wanted.front()) {
            // One that is on the way already comes back by `turn_given`.
            lane.usage().leave(in_line(self.core, session, number));
        }
        for usage in had {
            usage.end();
            self.pass_turns_on(&usage);
        }
    }

    /// Other filters hold: who waits where more may run, or where nobody has to wait any more, goes on.
    pub(crate) fn adopt_filters(&mut self, before: Option<&crate::filters::Filters>) {
        let now = self.snapshot.filters.clone();
        let entries = before.into_iter().chain(now.as_ref()).flat_map(|filters| filters.entries.iter().cloned());
        for entry in entries.collect::<Vec<_>>() {
            self.pass_turns_on(&entry.usage);
        }
    }

    /// The same of another `digest_running_max`.
    pub(crate) fn adopt_form_limit(&mut self) {
        let all = self.tally.forms().limit(self.snapshot.settings.digest_running_max);
        for usage in all {
            self.pass_turns_on(&usage);
        }
    }
}
