//! Reads: whether a replica may serve one, which one, and what to wait for when none may yet (S60 to S66).
//!
//! ```text
//!   level EVENTUAL ─► any usable replica
//!   SESSION        ─► one that has executed what the session wrote and saw
//!   INSTANCE       ─► … and what any client of this gate wrote
//!   GLOBAL         ─► … and what the primary had executed when the read came (the read index)
//!   none has: wait for the stream, at most read_after_write_timeout; then the primary, never an error
//! ```
//! Monotonic reads, at every level above EVENTUAL: what a session saw once it goes on seeing. A replica, or the primary, may
//! have shown more than is known of it outside. So a session reads on one replica for a while, and before it reads on
//! another it asks the one it leaves what that has executed, and before it reads on one after the primary, the primary.

use crate::engine::{Engine, split_mix};
use crate::limits::SAME_REPLICA_MS;
use crate::session::wishes::Policy;
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use crate::snapshot::{BackendId, BackendView, Balance, Health, Role};
use std::rc::Rc;
use weir_planner::{Consistency, Effects, Kind, Plan, Reason, Route, Target};
use weir_pool::{Candidate, Measure, soft_choice, two_choices, weighted_random};

/// Where a request of a session without a connection goes, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Backend(BackendId),
    NoPrimary,
    /// A replica that is almost there.
    Stream,
    /// A server's word on what it has executed.
    Index(BackendId),
}

impl Engine {
    pub(crate) fn place_for(&mut self, session: Key<Session>, request: &Request) -> Place {
        let elsewhere = self.knows_replicas && !request.primary_only && !self.sessions[session].has_role;
        if let Some(balance) = elsewhere.then(|| self.may_read_elsewhere(session, request)).flatten() {
            let level = self.level_of(session, request);
            let s = &self.sessions[session];
            let needs_index =
                level == Consistency::Global || (level != Consistency::Eventual && s.freshness.saw_primary);
            if needs_index && request.index.is_none() && self.has_replicas() {
                // While there is no primary nobody can say what a replica lacks.
                return self.snapshot.primary().map_or(Place::NoPrimary, Place::Index);
            }
            match self.replica_for(session, request, level, balance) {
                Found::Replica(backend) => return Place::Backend(backend),
                Found::Late => return Place::Stream,
                Found::Unsure(of) => return Place::Index(of),
                Found::Nobody => {}
            }
        }
        self.open_primary().map_or(Place::NoPrimary, Place::Backend)
    }

    fn has_replicas(&self) -> bool {
        self.snapshot.backends.iter().any(|view| self.is_usable(view))
    }

    pub(crate) fn level_of(&self, session: Key<Session>, request: &Request) -> Consistency {
        let hint = request.plan.as_ref().and_then(|p| p.hint.as_ref()).and_then(|h| h.consistency);
        hint.or(self.sessions[session].wishes.consistency).unwrap_or(self.snapshot.settings.consistency)
    }

    /// Until when a read may wait for a replica.
    pub(crate) fn stream_deadline(&self, session: Key<Session>, request: &Request) -> crate::time::Instant {
        let wished = self.sessions[session].wishes.timeout_ms;
        request.since.plus_ms(wished.unwrap_or(self.snapshot.settings.read_after_write_ms_max))
    }

    /// Whether anything speaks against a replica for this request; if not, by what policy one is chosen.
    fn may_read_elsewhere(&mut self, session: Key<Session>, request: &Request) -> Option<Balance> {
        let s = &self.sessions[session];
        let settings = &self.snapshot.settings;
        let hint = request.plan.as_ref().and_then(|p| p.hint.as_ref()).and_then(|h| h.target);
        let split = s.wishes.split_read_only.unwrap_or(settings.split_read_only_transactions);
        let read_only_begin =
            request.plan.as_ref().is_some_and(|p| p.effects.contains(Effects::BEGIN_READ_ONLY) && split);
        let is_read = request.route == Route::Read || read_only_begin;
        if !is_read || !s.status.contains(weir_net::flags::Status::AUTOCOMMIT) {
            return None;
        }
        let policy = s.wishes.policy.unwrap_or_else(|| Policy::of_settings(settings));
        let ratio = s.wishes.ratio.unwrap_or(settings.read_write_splitting_ratio);
        let (balance, default) = match policy {
            Policy::Disable => (settings.balance, Target::Primary),
            Policy::Balance(balance) => (balance, Target::Replica),
        };
        match hint.or(s.target) {
            Some(Target::Replica) => Some(balance),
            Some(Target::Primary) => None,
            None if default == Target::Primary => None,
            None if ratio < 100 && self.draw(session, request, 1) % 100 >= u64::from(ratio) => None,
            None => Some(balance),
        }
    }

    /// A replica that takes reads, whatever they need.
    fn is_usable(&self, view: &BackendView) -> bool {
        let refuses =
            || self.dial_pause.get(&view.id).is_some_and(|until| *until > self.now) && self.pool.idle(view.id.0) == 0;
        view.role == Role::Replica
            && view.health == Health::Up
            && view.weight > 0
            && view.lag_ms.is_some_and(|lag| lag <= self.snapshot.settings.replica_lag_ms_max)
            && !refuses()
    }

    /// A replica that may serve this read now, by policy.
    fn replica_for(&mut self, session: Key<Session>, request: &Request, level: Consistency, balance: Balance) -> Found {
        let random = self.draw(session, request, 2);
        let snapshot = self.snapshot.clone();
        let strict = level != Consistency::Eventual;
        if strict && self.sessions[session].freshness.primary_only {
            self.counters.reads_too_fresh += 1;
            return Found::Nobody;
        }
        let instance = (level == Consistency::Instance).then(|| self.board.written(&mut self.glance));
        let freshness = &self.sessions[session].freshness;
        let wait_ms = self.stream_deadline(session, request).since_ms(self.now);
        let (mut late, mut hopeful) = (false, false);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for view in snapshot.backends.iter().filter(|view| self.is_usable(view)) {
            let fresh = !strict
                || (freshness.is_met_by(&view.executed)
                    && instance.as_ref().is_none_or(|set| view.executed.contains(set))
                    && request.index.as_ref().is_none_or(|set| view.executed.contains(set)));
            if !fresh {
                late = true;
                hopeful |= view.lag_ms.is_some_and(|lag| u64::from(lag) <= wait_ms.max(1));
                continue;
            }
            candidates.push(self.candidate(view, balance));
        }
        let reads_on = freshness.reads_on.filter(|_| strict);
        let fit = self.preferred(&mut candidates, request);
        let stays = reads_on.filter(|(on, since)| {
            (self.now.since_ms(*since) < SAME_REPLICA_MS || snapshot.primary().is_none())
                && fit.iter().any(|candidate| candidate.backend == on.0)
        });
        let chosen = stays.map(|(on, _)| on.0).or_else(|| choose(balance, fit, random));
        self.candidates = candidates;
        match chosen {
            Some(backend) => {
                let view = snapshot.backend(BackendId(backend));
                let moves = reads_on.is_some_and(|(on, _)| on != view.id);
                if moves && let Some(found) = self.leaves(session, request) {
                    return found;
                }
                let now = self.now;
                if strict {
                    let freshness = &mut self.sessions[session].freshness;
                    if !moves && stays.is_none() {
                        freshness.reads_on = None;
                    }
                    freshness.saw(now, view.id, &view.executed);
                }
                Found::Replica(view.id)
            }
            None if late && hopeful && wait_ms > 0 => Found::Late,
            None => {
                self.counters.reads_too_fresh += u64::from(late);
                Found::Nobody
            }
        }
    }

    /// Before a session reads on another replica than before: that one is asked what it may have shown, or, when it is gone,
    /// the primary, which has all that was acknowledged. None: that is done.
    fn leaves(&self, session: Key<Session>, request: &Request) -> Option<Found> {
        let (on, _) = self.sessions[session].freshness.reads_on?;
        if request.left == Some(on) {
            return None;
        }
        let view = self.snapshot.backend(on);
        if view.health == Health::Up && view.role == Role::Replica && !request.has_failed_on(on) {
            return Some(Found::Unsure(on));
        }
        match self.snapshot.primary() {
            _ if request.index.is_some() => None,
            Some(primary) => Some(Found::Unsure(primary)),
            None => Some(Found::Nobody),
        }
    }

    /// Its rows came from a server whose word was not asked for them. A primary that is thought to be down is not the snapshot's, and
    /// a transaction there goes on reading; one that was begun on a replica at `EVENTUAL` may be read in at a level above.
    pub(crate) fn shows_more(&self, session: Key<Session>, backend: BackendId) -> bool {
        let s = &self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return false };
        let shows = |plan: &Rc<Plan>| request.outcome.rows.is_some() && shows_data(plan.kind, plan.reason);
        let is_asked_for = || {
            self.snapshot.backend(backend).role == Role::Replica
                && (s.freshness.reads_on.is_some_and(|(on, _)| on == backend)
                    || self.level_of(session, request) == Consistency::Eventual)
        };
        request.plan.as_ref().is_some_and(shows) && !is_asked_for()
    }

    /// A random number that stays the same while the request looks again: when it was asked about the replica that it leaves, another draw
    /// would favour that one, and with it whoever has the largest share already.
    fn draw(&self, session: Key<Session>, request: &Request, salt: u64) -> u64 {
        split_mix(request.since.0 ^ (u64::from(session.index) << 40) ^ (salt << 32))
    }

    fn candidate(&self, view: &BackendView, balance: Balance) -> Candidate {
        let traffic = self.traffic[view.id.0 as usize];
        let load = match balance {
            Balance::Random => 0,
            Balance::LeastOutstanding => self.pool.outstanding(view.id.0) + self.pool.waiting(view.id.0),
            Balance::LeastQps => traffic.per_second,
            Balance::LeastGlobalQps => view.queries_per_second,
            Balance::LeastRt => traffic.answer_us,
            Balance::LeastBehindPrimary => view.lag_ms.unwrap_or(u32::MAX),
            Balance::LeastMysqlConnectedConnections => view.threads_connected,
            Balance::LeastMysqlRunningConnections => view.threads_running,
        };
        let share = traffic.share_percent(self.now, self.snapshot.settings.slow_start_ms);
        // In percent, so that a slow start is seen with small weights too.
        Candidate { backend: view.id.0, weight: view.weight.saturating_mul(share), load }
    }

    /// Those of the gate's own zone if there are any, without outliers and one that has just failed, unless there is nobody else.
    fn preferred<'a>(&self, candidates: &'a mut [Candidate], request: &Request) -> &'a [Candidate] {
        let snapshot = &self.snapshot;
        let zone = &snapshot.settings.zone;
        let here = |c: &Candidate| zone.is_empty() || snapshot.backend(BackendId(c.backend)).zone == *zone;
        let sound = |c: &Candidate| self.traffic[c.backend as usize].ejected_until <= self.now;
        let rank = |c: &Candidate| (!request.has_failed_on(BackendId(c.backend)), sound(c), here(c));
        let best = candidates.iter().map(rank).max();
        let mut kept = 0;
        for at in 0..candidates.len() {
            if Some(rank(&candidates[at])) == best {
                candidates.swap(kept, at);
                kept += 1;
            }
        }
        &candidates[..kept]
    }
}

/// One of those that may serve the read, by policy.
fn choose(balance: Balance, fit: &[Candidate], random: u64) -> Option<u16> {
    match balance {
        Balance::Random => weighted_random(fit, random),
        // Known to the request.
        Balance::LeastOutstanding => two_choices(fit, Measure::PerWeight, random),
        // As of the last second, or the last report.
        Balance::LeastQps
        | Balance::LeastGlobalQps
        | Balance::LeastMysqlConnectedConnections
        | Balance::LeastMysqlRunningConnections => soft_choice(fit, Measure::PerWeight, random),
        Balance::LeastRt | Balance::LeastBehindPrimary => soft_choice(fit, Measure::Alone, random),
    }
}

/// Whether a statement's rows tell of data as the primary has it, so that later reads must not show less.
fn shows_data(kind: Kind, reason: Reason) -> bool {
    let asks = matches!(
        reason,
        Reason::SystemVariable | Reason::AsksPrevious | Reason::ServerFunction | Reason::SystemSchema | Reason::Show
    );
    matches!(kind, Kind::Select | Kind::Multi | Kind::Call | Kind::Handler | Kind::Other) && !asks
}

enum Found {
    Replica(BackendId),
    /// One is likely to have it before the time is up.
    Late,
    /// Another than the one that the session read from: this server's word is needed first.
    Unsure(BackendId),
    Nobody,
}
