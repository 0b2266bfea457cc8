//! Moves of the primary's role: what a core does while nobody is primary, or soon another (S64, S73 to S76).
//!
//! ```text
//!   mandate ends ──► nothing new begins on its holder: statements wait in the buffer
//!                    ─► told once, when nothing of this core's is open there any more
//!   holder changes ► connections to the old one are cut: all of them when it was lost; in a planned move first those that
//!                    rest, since what still runs ends by itself, and the rest with the next holder
//!   next holder up ► GTIDs that it lacks and nobody will ever bring are forgotten; the buffer is released in order
//! ```
//! Invariant: mandates have epochs, and an older one changes nothing (S75).

use super::Engine;
use crate::link::{Lessee, Link, LinkPhase};
use crate::mail::{ControlMail, Level, Sign};
use crate::session::{Phase, Progress, Request, Session};
use crate::slots::Key;
use crate::snapshot::{BackendId, Mandate};
use crate::time::Instant;
use std::collections::VecDeque;
use weir_net::flags::Status;
use weir_net::gtid::GtidSet;

/// What this core knows of the last moves.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The holder before the one that holds now, until its last connection is cut.
    deposed: Option<BackendId>,
    /// The epoch of the last mandate whose end was told as done.
    handed_over: u64,
    /// A new holder is not up yet, whose executed set will say what is lost.
    settles: bool,
    /// A primary that refused a write as read-only: it is taken for none until then.
    refused: Option<(BackendId, Instant)>,
}

/// Statements (and logins) that wait for a primary, first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    line: VecDeque<(Key<Session>, usize)>,
    bytes: usize,
    /// Since when there is no primary.
    since: Option<Instant>,
}

impl Buffer {
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Bytes of the statements that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// False: it stands there already.
    fn push(&mut self, now: Instant, session: Key<Session>, bytes: usize) {
        self.since.get_or_insert(now);
        if !self.line.iter().any(|(other, _)| *other == session) {
            self.line.push_back((session, bytes));
            self.bytes += bytes;
        }
    }

    pub fn remove(&mut self, session: Key<Session>) {
        if let Some(at) = self.line.iter().position(|(other, _)| *other == session) {
            let (_, bytes) = self.line.remove(at).expect("found a moment ago");
            self.bytes -= bytes;
        }
    }

    /// All, in order.
    fn release(&mut self) -> impl Iterator<Item = Key<Session>> {
        self.bytes = 0;
        self.since = None;
        self.line.drain(..).map(|(session, _)| session)
    }
}

/// Why a statement does not wait for a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbuffered {
    Off,
    Full,
    /// There has been none for too long.
    TooLong,
}

impl Engine {
    /// The primary, if statements may begin on it now.
    pub(crate) fn open_primary(&self) -> Option<BackendId> {
        let primary = self.snapshot.primary()?;
        let refused = self.moves.refused.is_some_and(|(backend, until)| backend == primary && self.now < until);
        (!self.snapshot.mandate.is_ending && !refused).then_some(primary)
    }

    /// It is the primary, or nobody is and it was the last one: what was sent there was sent to the primary.
    pub(crate) fn was_taken_for_primary(&self, backend: BackendId) -> bool {
        let last = self.snapshot.mandate.holder.or(self.moves.deposed);
        self.snapshot.primary().or(last) == Some(backend)
    }

    /// Until when a statement that has waited since `since` may wait for a primary; Err: not at all.
    pub(crate) fn may_buffer(&self, since: Instant, bytes: usize) -> Result<Instant, Unbuffered> {
        let settings = &self.snapshot.settings;
        let begun = self.buffer.since.unwrap_or(self.now);
        let last = begun.plus_ms(settings.buffer_failover_ms_max);
        if !settings.buffer {
            return Err(Unbuffered::Off);
        }
        if self.buffer.len() >= settings.buffer_size as usize || self.buffer.bytes() + bytes > settings.buffer_bytes_max
        {
            return Err(Unbuffered::Full);
        }
        if self.now >= last {
            return Err(Unbuffered::TooLong);
        }
        Ok(since.plus_ms(settings.buffer_window_ms).min(last))
    }

    pub(crate) fn waits_for_primary(&mut self, session: Key<Session>) {
        let bytes = match &self.sessions[session].phase {
            Phase::Waiting(request, _) => request.len,
            _ => 0,
        };
        self.counters.buffered += 1;
        self.buffer.push(self.now, session, bytes);
    }

    pub(crate) fn release_buffer(&mut self) {
        if self.open_primary().is_some() {
            self.runnable.extend(self.buffer.release());
        }
    }

    /// The server has said that it is read-only: it is no primary, whatever we thought. Nobody is sent there until
    /// it was looked at.
    pub(crate) fn primary_refused(&mut self, backend: BackendId) {
        if self.snapshot.primary() == Some(backend) {
            let until = self.now.plus_ms(REFUSED_MS);
            self.moves.refused = Some((backend, until));
            let suspect = ControlMail::Suspect { backend, why: "it is read-only", sign: Sign::ReadOnly };
            self.actions.push_back(super::Action::Tell(suspect));
            self.timers.set(&mut self.sweep, until, crate::timers::Owner::Core);
        }
    }

    /// Once a second, and when a refusal is over.
    pub(crate) fn moves_due(&mut self) {
        if self.moves.refused.is_some_and(|(_, until)| until <= self.now) {
            self.moves.refused = None;
            self.release_buffer();
        }
    }

    /// A session that only holds what can be made again elsewhere begins nothing more on a primary that is about to be
    /// followed: it lets its connection go, and waits with the others.
    pub(crate) fn leave_ending_primary(&mut self, session: Key<Session>, request: &Request) {
        let mandate = &self.snapshot.mandate;
        let s = &self.sessions[session];
        let Some(link) = s.lease.filter(|_| mandate.is_ending && request.progress == Progress::Unsent) else { return };
        let l = &self.links[link];
        let is_open =
            l.status.contains(Status::IN_TRANS) || s.status.contains(Status::IN_TRANS) || !l.expects.is_empty();
        if Some(l.backend) != mandate.holder || is_open || !s.pins_for_good().is_empty() {
            return;
        }
        self.sessions[session].lease = None;
        self.links[link].lessee = None;
        self.forget_server_state(session);
        self.drop_link(link);
    }

    /// A new snapshot has come; `before` is what held.
    pub(crate) fn adopt_mandate(&mut self, before: &Mandate) {
        let now = self.snapshot.mandate.clone();
        if now.epoch > before.epoch {
            self.moves.refused = None;
            if now.holder != before.holder {
                self.moves.deposed = before.holder.or(self.moves.deposed);
                self.moves.settles = true;
            }
            if let Some(old) = self.moves.deposed {
                let spares_running = now.holder.is_none() && now.is_planned;
                if now.holder != Some(old) {
                    self.cut(old, spares_running);
                }
                if !spares_running {
                    self.moves.deposed = None;
                }
            }
            if now.is_ending
                && let Some(holder) = now.holder
            {
                // Nothing of theirs has been sent.
                self.fail_line(holder);
            }
        }
        // A word from before the move would call lost what has come since.
        let is_fresh = |holder| self.snapshot.backend(holder).executed.contains(&now.promoted);
        let is_settled = now.holder == self.snapshot.primary() && now.holder.is_some_and(is_fresh);
        if self.moves.settles && is_settled {
            self.moves.settles = false;
            self.forget_lost_gtids(&now);
        }
    }

    /// Ends the connections to a backend that is primary no longer.
    fn cut(&mut self, backend: BackendId, spares_running: bool) {
        self.fail_line(backend);
        let links: Vec<Key<Link>> =
            self.links.iter().filter(|(_, l)| l.backend == backend).map(|(key, _)| key).collect();
        for link in links {
            let Some(l) = self.links.get(link) else { continue };
            match (&l.phase, l.lessee) {
                (LinkPhase::Idle, _) => self.drop_link(link),
                (LinkPhase::Closing, _) => {}
                (LinkPhase::Leased, Some(Lessee::Session(session))) => {
                    let runs = !l.expects.is_empty() || self.is_under_way(session);
                    if !(runs && spares_running) {
                        self.counters.connections_cut += 1;
                        self.cut_lease(session, link);
                    }
                }
                (_, Some(Lessee::Session(session))) if !spares_running => {
                    self.cut_lease(session, link);
                }
                _ if !spares_running => self.drop_link(link),
                _ => {}
            }
        }
    }

    /// Something of this session's has been sent, or is being sent, on the connection that it has.
    fn is_under_way(&self, session: Key<Session>) -> bool {
        self.sessions.get(session).is_some_and(|s| !matches!(s.phase, Phase::Ready | Phase::Waiting(..)))
    }

    /// Tells, once for each epoch, that nothing is open any more on the primary that is about to be followed.
    pub(crate) fn tell_handed_over(&mut self) {
        let mandate = &self.snapshot.mandate;
        let Some(holder) = mandate.holder.filter(|_| mandate.is_ending && self.moves.handed_over < mandate.epoch)
        else {
            return;
        };
        let is_open = |l: &Link| match l.lessee {
            Some(Lessee::Session(session)) => {
                l.backend == holder
                    && (!l.expects.is_empty() || l.status.contains(Status::IN_TRANS) || self.is_under_way(session))
            }
            _ => false,
        };
        if !self.links.iter().any(|(_, l)| is_open(l)) {
            self.moves.handed_over = mandate.epoch;
            self.actions.push_back(super::Action::Tell(ControlMail::HandedOver { epoch: mandate.epoch }));
        }
    }

    /// What the new primary has not executed when it opens, and did not write itself, can never arrive (S64).
    fn forget_lost_gtids(&mut self, mandate: &Mandate) {
        let (Some(holder), Some(own)) = (mandate.holder, mandate.uuid) else { return };
        let executed = self.snapshot.backend(holder).executed.clone();
        let mut lost = GtidSet::default();
        for session in self.sessions.keys() {
            lost.merge(&self.sessions[session].freshness.forget_lost(&executed, own));
        }
        self.board.forget_lost(&executed, own);
        if !lost.is_empty() {
            let detail = format!(
                "sessions saw or wrote {} transactions that the new primary does not have: {lost}",
                lost.count()
            );
            self.log(Level::Error, "transactions_lost", detail);
        }
    }
}

/// How long a primary that says it is read-only is taken for none, in ms: looks at it take less.
const REFUSED_MS: u64 = 100;
