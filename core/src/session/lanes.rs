//! Lanes: the queues of filters with `CONCURRENCY_CONTROL` that a session's statement is to pass, and those where it has its turn.
//!
//! ```text
//!   pass_filters ─► wanted: a, b ─► decide: a's turn ─► b's turn ─► … ─► rest: both turns end
//!                              └─ Waiting(Turn) ─ 3168 ─┘
//! ```
//! Lanes are taken in the order of the filters, which is the same for everybody, and behind the account's own turn (`seat.rs`), so that
//! no two wait for each other. A statement of a session that holds a connection never waits: it holds what others may wait for. It counts.
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
use weir_planner::filter::{Action, Concurrency};

#[derive(Debug)]
pub struct Lanes {
    wanted: VecDeque<Arc<Entry>>,
    had: Vec<Arc<Usage>>,
    /// In the first of the wanted ones, by this number.
    awaited: Option<u64>,
}

impl Lanes {
    pub(crate) fn wanting(entries: Vec<Arc<Entry>>) -> Lanes {
        Lanes { wanted: entries.into(), had: Vec::new(), awaited: None }
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
        self.had.extend(self.wanted.pop_front().map(|entry| entry.usage.clone()));
    }
}

impl Engine {
    /// The command may run; None: it waits for its turn, or has been refused.
    pub(crate) fn take_lanes(&mut self, session: Key<Session>, request: Box<Request>) -> Option<Box<Request>> {
        loop {
            let s = &mut self.sessions[session];
            let Some(lanes) = s.lanes.as_mut() else { return Some(request) };
            let Some(entry) = lanes.wanted.front().cloned() else { return Some(request) };
            let Action::Concurrency(limit) = entry.rule.action else { return Some(request) };
            let (core, number) = (self.core, self.restraint.turns.next_number());
            let joined = if s.lease.is_some() || request.asks().intersects(ABOUT_PREVIOUS) {
                entry.usage.force();
                Joined::Runs
            } else if entry.usage.begin() {
                Joined::Runs
            } else {
                entry.usage.join(in_line(core, session, number), limit.waiting_max)
            };
            match joined {
                Joined::Runs => lanes.take_awaited(),
                Joined::Waits => {
                    lanes.awaited = Some(number);
                    Counts::add(&entry.counts.queued);
                    let within = limit.wait_ms_max.unwrap_or(self.snapshot.settings.wait_ms_max);
                    s.phase = Phase::Waiting(request, Wait::Turn);
                    self.arm_session(session, self.now.plus_ms(within));
                    return None;
                }
                Joined::Full => {
                    let why = lane_refusal(&entry, limit, None);
                    self.refuse(session, request, &why);
                    return None;
                }
            }
        }
    }

    /// It has waited for too long.
    pub(crate) fn lane_timed_out(&mut self, session: Key<Session>) -> Option<Refusal> {
        let lanes = self.sessions[session].lanes.as_ref().filter(|lanes| lanes.is_waiting())?;
        let entry = lanes.wanted.front()?.clone();
        let Action::Concurrency(limit) = entry.rule.action else { return None };
        let within = limit.wait_ms_max.unwrap_or(self.snapshot.settings.wait_ms_max);
        Some(lane_refusal(&entry, limit, Some(within)))
    }

    /// The session rests, or is gone.
    #[cold]
    pub(crate) fn leave_lanes(&mut self, session: Key<Session>, lanes: Lanes) {
        let Lanes { wanted, had, awaited } = lanes;
        if let (Some(number), Some(entry)) = (awaited, wanted.front()) {
            // One that is on the way already comes back by `turn_given`.
            entry.usage.leave(in_line(self.core, session, number));
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
}

fn lane_refusal(entry: &Entry, limit: Concurrency, waited_ms: Option<u64>) -> Refusal {
    Counts::add(&entry.counts.rejected);
    let name = entry.rule.filter.name.to_string();
    Refusal::FilterQueue { name, running_max: limit.running_max, waiting_max: limit.waiting_max, waited_ms }
}
