//! The read index: what a server has executed, asked once for all reads that wait for its word at that moment (S60).
//!
//! ```text
//!   read ─► waiting ──► one connection there: SELECT @@GLOBAL.gtid_executed, … ──► asked ──► answer: all of them go on
//!   reads that come while the question is under way wait for the next one: its answer may be older than they are
//! ```
//! The primary is asked for what was committed when a read came (`GLOBAL`), the replica that a session leaves for what it may
//! have shown there.
//! Invariant: a session in `waiting` or `asked` is in `Wait::Index` of that server; there is at most one question under way
//! for each. When it cannot be asked, the reads go to the primary. A primary that says that it is read-only is none: it may be
//! fenced already, and show commits that nobody acknowledged and its heir lacks; the reads wait for the heir.

use crate::allowance::WEIGHT_USUAL;
use crate::engine::{Engine, Waiter};
use crate::link::expect::Purpose;
use crate::link::{Lessee, Link, LinkPhase};
use crate::session::account::AccountId;
use crate::session::previous::ABOUT_PREVIOUS;
use crate::session::trackers::last_row;
use crate::session::{Phase, Request, Session, Wait};
use crate::slots::Key;
use crate::snapshot::{BackendId, Health};
use std::sync::Arc;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::gtid::GtidSet;
use weir_net::scan::ReplyKind;
use weir_planner::Consistency;
use weir_pool::{Grant, SlotId, Want};

#[derive(Debug, Default)]
pub(crate) struct Index {
    waiting: Vec<Key<Session>>,
    asked: Vec<Key<Session>>,
    stage: Stage,
    /// Whose connection is asked.
    account: AccountId,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// A connection is awaited.
    InLine,
    On(Key<Link>),
}

impl Engine {
    /// A session in `Wait::Index` wants to know.
    pub(crate) fn want_index(&mut self, session: Key<Session>, of: BackendId) {
        self.indexes.entry(of).or_default().waiting.push(session);
        self.start_index(of);
    }

    fn start_index(&mut self, of: BackendId) {
        let index = self.indexes.entry(of).or_default();
        if index.stage != Stage::Idle {
            return;
        }
        let sessions = &self.sessions;
        let waits = |key: &Key<Session>| {
            sessions.get(*key).is_some_and(|s| matches!(s.phase, Phase::Waiting(_, Wait::Index(on)) if on == of))
        };
        index.waiting.retain(waits);
        let Some(first) = index.waiting.first() else { return };
        let s = &self.sessions[*first];
        // Any account may ask; the first one's own connection is as good as another's.
        let (account, class) = (s.account, s.class);
        let want = Want {
            account: account.0,
            class: class.0,
            schema: s.schema.0,
            fingerprint: s.state.0,
            prefer: None,
            weight: WEIGHT_USUAL,
        };
        if self.snapshot.backend(of).health != Health::Up {
            return self.index_failed(of);
        }
        match self.pool.acquire(self.now.0, of.0, &want) {
            Grant::Lease { slot, .. } => self.index_granted(of, account, slot),
            Grant::Wait(ticket) => {
                self.index_of(of).stage = Stage::InLine;
                self.waiters.insert(ticket, Waiter::Index(of, account));
            }
            Grant::Refused(_) => self.index_failed(of),
        }
    }

    fn index_of(&mut self, backend: BackendId) -> &mut Index {
        self.indexes.entry(backend).or_default()
    }

    /// The question has a connection.
    pub(crate) fn index_granted(&mut self, of: BackendId, account: AccountId, slot: SlotId) {
        let link = self.slot_links.get(slot.index).expect("a slot that is leased has a link");
        let l = &mut self.links[link];
        l.phase = LinkPhase::Leased;
        l.lessee = Some(Lessee::Index);
        let index = self.index_of(of);
        (index.stage, index.account) = (Stage::On(link), account);
        self.prepare_index(link);
    }

    /// Makes the connection one of the account, or asks on it.
    pub(crate) fn prepare_index(&mut self, link: Key<Link>) {
        let of = self.links[link].backend;
        let account = self.index_of(of).account;
        let schema = self.links[link].schema;
        if self.links[link].account == account || self.accounts.find(account).is_none() {
            return self.ask_index(link);
        }
        if !self.keep_insert_id(link, None) {
            self.change_user(link, account, schema);
        }
    }

    pub(crate) fn ask_index(&mut self, link: Key<Link>) {
        let of = self.links[link].backend;
        let index = self.index_of(of);
        index.asked = std::mem::take(&mut index.waiting);
        self.counters.index_questions += 1;
        self.links[link].captured.clear();
        // A silent primary must not keep the question, and all later ones behind it, for ever.
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        let text = format!("SELECT {}, @@GLOBAL.read_only LIMIT 1", self.links[link].flavour.executed());
        self.inject(link, ReplyKind::Query, Purpose::Index, Command::Query, text.as_bytes());
    }

    /// The answer: all that were asked for go on with it.
    pub(crate) fn index_answered(&mut self, link: Key<Link>) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        let set = values.first().and_then(|text| GtidSet::parse(text).ok());
        // Without GTIDs nobody can say what a replica lacks.
        let set = set.filter(|set| !set.is_empty()).map(Arc::new);
        let of = self.links[link].backend;
        let index = self.index_of(of);
        index.stage = Stage::Idle;
        let asked = std::mem::take(&mut index.asked);
        self.links[link].lessee = None;
        self.arm_link(link, crate::time::Instant::NEVER);
        self.to_pool(link);
        let is_fenced = self.is_fenced(of, values.get(1).map(Vec::as_slice));
        if is_fenced {
            self.primary_refused(of);
        }
        let set = set.filter(|_| !is_fenced);
        for session in asked {
            self.index_told(session, of, set.clone());
        }
        self.start_index(of);
    }

    /// Whether it has been made read-only since it was last looked at.
    fn is_fenced(&self, of: BackendId, read_only: Option<&[u8]>) -> bool {
        self.snapshot.primary() == Some(of) && read_only == Some(b"1") && !self.snapshot.backend(of).read_only
    }

    /// A read at `GLOBAL` that the primary itself serves asks it nothing, unless its connection may be younger than a fence that
    /// this gate has not heard of. A fence ends all connections that were there before it (`control`, `tablet/hands/fence.rs`), so one
    /// that has seen the server take writes, once, needs to ask no more.
    pub(crate) fn must_ask_writable(&self, session: Key<Session>, request: &Request, link: Key<Link>) -> bool {
        let l = &self.links[link];
        !l.saw_writable
            && request.plan.is_some()
            && matches!(request.command, Command::Query | Command::StmtExecute)
            && self.snapshot.primary() == Some(l.backend)
            && !self.snapshot.backend(l.backend).read_only
            && !l.status.contains(Status::IN_TRANS)
            && !request.asks().intersects(ABOUT_PREVIOUS)
            && self.level_of(session, request) == Consistency::Global
    }

    pub(crate) fn ask_writable(&mut self, link: Key<Link>) {
        self.counters.writable_questions += 1;
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, Purpose::Writable, Command::Query, b"SELECT @@GLOBAL.read_only LIMIT 1");
    }

    pub(crate) fn writable_told(&mut self, link: Key<Link>) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        let l = &mut self.links[link];
        let (backend, lessee) = (l.backend, l.lessee);
        l.saw_writable = values.first().is_some_and(|value| value == b"0");
        let Some(Lessee::Session(session)) = lessee else { return };
        if l.saw_writable {
            return self.proceed(session);
        }
        self.primary_refused(backend);
        self.lease_lost(session, link);
        self.drop_link(link);
    }

    fn index_told(&mut self, session: Key<Session>, of: BackendId, set: Option<Arc<GtidSet>>) {
        let is_primary = self.snapshot.primary() == Some(of);
        let Some(s) = self.sessions.get_mut(session) else { return };
        let Phase::Waiting(request, Wait::Index(on)) = &mut s.phase else { return };
        if *on != of {
            return;
        }
        match set {
            Some(set) => {
                // With semi-synchronous replication a replica may show what the primary does not yet.
                s.freshness.seen = Some(match s.freshness.seen.take() {
                    Some(seen) if !set.contains(&seen) => {
                        let mut both = (*set).clone();
                        both.merge(&seen);
                        Arc::new(both)
                    }
                    _ => set.clone(),
                });
                if is_primary {
                    request.index = Some(set);
                    s.freshness.saw_primary = false;
                } else {
                    request.left = Some(of);
                }
            }
            None => request.primary_only = true,
        }
        self.decide_anew(session);
    }

    /// The question cannot be answered: the primary serves the reads, or they wait for one with everybody else.
    fn index_failed(&mut self, of: BackendId) {
        let index = self.index_of(of);
        index.stage = Stage::Idle;
        let mut all = std::mem::take(&mut index.asked);
        all.append(&mut index.waiting);
        for session in all {
            self.index_told(session, of, None);
        }
    }

    /// A link has gone: perhaps one with a question.
    pub(crate) fn index_link_gone(&mut self, link: Key<Link>, backend: BackendId) {
        if self.indexes.get(&backend).is_some_and(|index| index.stage == Stage::On(link)) {
            self.index_failed(backend);
        }
    }

    /// Its place in line is gone with the backend.
    pub(crate) fn index_line_failed(&mut self, backend: BackendId) {
        if self.indexes.get(&backend).is_some_and(|index| index.stage == Stage::InLine) {
            self.index_failed(backend);
        }
    }
}
