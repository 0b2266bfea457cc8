//! Filters where statements pass: which of them a statement matches, and what that means for it.
//!
//! ```text
//!   a text is planned ─► look: the rules that its text fits (once per plan, schema and version) ─► memo
//!   it is to run ─► pass_filters: of those the ones that fit its client, in their order ─► pass │ refuse │ rewrite, lanes to wait in, mirrors
//! ```
//! Invariant: who passes here passed every active filter of the one set that its core has. Rules see what the client sent, not what
//! a rewriting made of it; of a text that streams its beginning.
//! Cost: without filters, the branch that permissions have anyway. With some, a look at the memo, and an expression for those that
//! name users or addresses.

use crate::engine::Engine;
use crate::filters::{Counts, Entry, Filters};
use crate::session::Session;
use crate::session::lanes::Lanes;
use crate::session::refuse::Refusal;
use crate::slots::Key;
use crate::state::SchemaId;
use std::sync::Arc;
use weir_planner::filter::{Action, Packet, Status};
use weir_planner::tables::Found;
use weir_planner::{Facts, Plan};

/// What is about to be done with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Run,
    /// It does not run now, or the gate answers itself: it is refused or not.
    Ask,
}

pub(crate) enum Verdict {
    Pass,
    Refuse(Refusal),
    /// By these, in their order.
    Rewrite(Vec<Arc<Entry>>),
}

impl Engine {
    /// Notes on the plan which rules its text fits.
    pub(crate) fn look(filters: &Filters, plan: &Plan, text: &[u8], facts: &Facts, (id, schema): (SchemaId, &[u8])) {
        let is_it = |found: &Found| found.version == filters.version && found.schema == id.0;
        if plan.memo.found.borrow().as_ref().is_some_and(is_it) {
            return;
        }
        let packet = Packet::new(text, facts, plan, schema);
        let fits = |entry: &Arc<Entry>| entry.rule.status != Status::Inactive && packet.fits(&entry.rule);
        let places = filters.entries.iter().enumerate().filter(|(_, entry)| fits(entry)).map(|(at, _)| at as u16);
        let found = Found { version: filters.version, schema: id.0, places: places.collect() };
        *plan.memo.found.borrow_mut() = Some(found);
    }

    /// What the filters say of a statement that was looked at.
    pub(crate) fn pass_filters(&mut self, session: Key<Session>, plan: &Plan, deed: Deed) -> Verdict {
        self.restraint.mirrors.clear();
        let snapshot = self.snapshot.clone();
        let Some(filters) = &snapshot.filters else { return Verdict::Pass };
        let found = plan.memo.found.borrow().clone();
        let Some(found) = found.filter(|found| found.version == filters.version) else { return Verdict::Pass };
        let (mut lanes, mut rewriters) = (Vec::new(), Vec::new());
        for entry in found.places.iter().filter_map(|at| filters.entries.get(usize::from(*at))) {
            if !self.fits_client(session, entry) {
                continue;
            }
            let is_fail = matches!(entry.rule.action, Action::Fail);
            if deed == Deed::Ask && !is_fail {
                continue;
            }
            Counts::add(&entry.counts.matched);
            match &entry.rule.action {
                _ if entry.rule.status == Status::DryRun => {}
                Action::Continue => {}
                Action::Fail => {
                    Counts::add(&entry.counts.failed);
                    let filter = &entry.rule.filter;
                    self.restraint.mirrors.clear();
                    let (name, desc) = (filter.name.to_string(), filter.value("desc").to_string());
                    return Verdict::Refuse(Refusal::FilterFailed { name, desc });
                }
                Action::Concurrency(_) => lanes.push(entry.clone()),
                Action::Rewrite(_) => rewriters.push(entry.clone()),
                Action::Mirror(_) => self.restraint.mirrors.push(entry.clone()),
            }
        }
        if !lanes.is_empty() {
            self.sessions[session].lanes = Some(Box::new(Lanes::wanting(lanes)));
        }
        if rewriters.is_empty() { Verdict::Pass } else { Verdict::Rewrite(rewriters) }
    }

    pub(crate) fn fits_client(&self, session: Key<Session>, entry: &Entry) -> bool {
        let s = &self.sessions[session];
        entry.rule.fits_client(&self.accounts.get(s.account).user, &s.peer.host())
    }

    /// What the rewriters make of a text, each of what the one before has made. None: nothing in it is another.
    pub(crate) fn rewritten(rewriters: &[Arc<Entry>], text: &[u8], facts: &Facts, schema: &[u8]) -> Option<Vec<u8>> {
        let mut made: Option<Vec<u8>> = None;
        for entry in rewriters {
            let now = made.as_deref().unwrap_or(text);
            let plan = weir_planner::plan(now, facts);
            let next = Packet::new(now, facts, &plan, schema).rewritten(&entry.rule);
            if next.is_some() {
                Counts::add(&entry.counts.rewritten);
                made = next;
            }
        }
        made
    }
}
