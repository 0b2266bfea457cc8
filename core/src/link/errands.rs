//! Errands: what the gate has a server end by another connection than the one that it is about, each as the account whose thread it is.
//!
//! ```text
//!   hunt    KILL QUERY: overtime, or a client's KILL QUERY              the victim's connection is there, and nobody else's meanwhile
//!   orphan  KILL CONNECTION: a thread whose connection is gone          the server may not know: a lost client, a partition, a cut NAT
//!
//!   errand ─► a free connection, or else a messenger beyond the pool's share ─► [orphan: the server's word] ─► KILL ─► the next one there
//! ```
//! A server notices that the other end is gone when it reads or writes, or by its host's keepalive, two hours by default. Until then
//! it keeps a transaction with all its row locks, and a statement that runs.
//!
//! An orphan waits until its server is up, so it may come late, and ids of threads begin anew with a server. So the server is asked
//! first whether the thread has the token that this very connection was opened with, or, where the server keeps no attributes
//! (`performance_schema` off), whether it has been up for longer than the connection was old (`COM_STATISTICS`); and what the thread does. One
//! that is about to commit is left alone for now: killed while it waits for a semi-synchronous replica, its commit would be seen
//! before it is safe.
//!
//! Invariant: a hunt whose statement has ended never leaves (S30). An orphan that may be another's thread is never killed. Its
//! account, with the password, is kept for it.
//! Limits: a core keeps [`ORPHANS_MAX`] of them, each for [`ORPHAN_MS_MAX`]; one messenger for each backend and core.

use crate::allowance::WEIGHT_USUAL;
use crate::engine::{Engine, next_random, split_mix};
use crate::limits::{ORPHAN_MS_MAX, ORPHANS_MAX, SWEEP_MS};
use crate::link::expect::Purpose;
use crate::link::{Lessee, Link, LinkPhase};
use crate::mail::{CoreId, Level};
use crate::session::account::AccountId;
use crate::session::overtime::HuntStage;
use crate::session::trackers::last_row;
use crate::session::{ClassId, Phase, Request, Session};
use crate::slots::Key;
use crate::snapshot::{BackendId, Health};
use crate::state::SchemaId;
use crate::time::Instant;
use std::collections::VecDeque;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;
use weir_planner::Effects;
use weir_pool::{Grant, SlotId, Want};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand {
    pub backend: BackendId,
    pub thread_id: u32,
    /// On whose behalf: nobody may kill more than the server lets this account kill.
    pub account: AccountId,
    pub class: ClassId,
    pub aim: Aim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The statement on this connection, and nothing once that has ended.
    Statement(Key<Link>),
    /// The thread.
    Orphan(Orphan),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its server was up then.
    opened_at: Instant,
    lost_at: Instant,
    /// It was committing a moment ago.
    not_before: Instant,
    /// Of its server, if it was known.
    uuid: Option<[u8; 16]>,
    /// It ran what only ends a transaction.
    ends: bool,
    token: u64,
    /// The server has been up for longer than the connection was old.
    is_outlived: bool,
}

/// A core's errands that wait for a connection, and the connections that were opened for such ones.
#[derive(Debug, Default)]
pub struct Errands {
    hunts: VecDeque<Errand>,
    orphans: VecDeque<Errand>,
    messengers: Vec<Key<Link>>,
    token_last: u64,
}

impl Errands {
    /// Tokens are a row of random numbers for each core of each gate.
    pub fn new(seed: u64, core: CoreId) -> Errands {
        Errands { token_last: split_mix(seed ^ u64::from(core.0) << 32 ^ 0x6c69_6e6b), ..Errands::default() }
    }

    /// Of a connection that is opened.
    pub fn next_token(&mut self) -> u64 {
        next_random(&mut self.token_last)
    }

    /// Threads that may have lost their connection.
    pub fn orphans(&self) -> usize {
        self.orphans.len()
    }
}

impl Errand {
    fn want(&self) -> Want {
        Want {
            account: self.account.0,
            class: self.class.0,
            schema: 0,
            fingerprint: 0,
            prefer: None,
            weight: WEIGHT_USUAL,
        }
    }
}

impl Engine {
    /// The connection is about to be given up, and its server may not notice: its thread is to be ended.
    pub(crate) fn orphan(&mut self, link: Key<Link>) {
        let l = &self.links[link];
        let ends = match l.lessee {
            Some(Lessee::Session(session)) => self.sessions.get(session).is_some_and(runs_an_end),
            _ => false,
        };
        self.orphan_of(link, ends);
    }

    /// The same for a session that exists no more, whose last statement was an end of its transaction, or not.
    pub(crate) fn orphan_of(&mut self, link: Key<Link>, ends: bool) {
        let l = &self.links[link];
        // What never got in holds nothing, and has little time at the server.
        if l.thread_id == 0 || l.proved_at == Instant::default() || self.accounts.find(l.account).is_none() {
            return;
        }
        self.counters.orphans += 1;
        if self.restraint.errands.orphans.len() >= ORPHANS_MAX {
            return self.counters.orphans_forgotten += 1;
        }
        let uuid = self.snapshot.backend(l.backend).uuid;
        let opened_at = if l.opened_at == Instant::default() { l.proved_at } else { l.opened_at };
        let orphan = Orphan {
            opened_at,
            lost_at: self.now,
            not_before: self.now,
            uuid,
            ends,
            token: l.token,
            is_outlived: false,
        };
        let errand = Errand {
            backend: l.backend,
            thread_id: l.thread_id,
            account: l.account,
            class: l.class,
            aim: Aim::Orphan(orphan),
        };
        self.accounts.hold(errand.account);
        self.restraint.errands.orphans.push_back(errand);
    }

    /// A statement is to be ended now.
    pub(crate) fn send_hunt(&mut self, errand: Errand) {
        if self.send_by_pool(errand) {
            return;
        }
        if !self.restraint.errands.hunts.contains(&errand) {
            self.restraint.errands.hunts.push_back(errand);
        }
        self.send_errands(errand.backend);
    }

    /// Once a second: what waits for a server that is there.
    pub(crate) fn errands_due(&mut self) {
        if self.restraint.errands.hunts.is_empty() && self.restraint.errands.orphans.is_empty() {
            return;
        }
        for backend in 0..self.commands_by_backend.len() as u16 {
            self.send_errands(BackendId(backend));
        }
    }

    /// The next errand there goes by a free connection, or by a messenger if none is on its way.
    pub(crate) fn send_errands(&mut self, backend: BackendId) {
        let links = &self.links;
        self.restraint.errands.messengers.retain(|link| links.get(*link).is_some());
        if self.restraint.errands.messengers.iter().any(|link| self.links[*link].backend == backend) {
            return;
        }
        let Some(errand) = self.next_errand(backend) else { return };
        if self.send_by_pool(errand) {
            return;
        }
        let link = self.dial(SlotId::NOWHERE, backend, &errand.want());
        self.links[link].lessee = Some(Lessee::Kill(errand));
        self.restraint.errands.messengers.push(link);
    }

    fn send_by_pool(&mut self, errand: Errand) -> bool {
        match self.pool.acquire(self.now.0, errand.backend.0, &errand.want()) {
            Grant::Lease { slot, .. } => {
                let link = self.slot_links.get(slot.index).expect("a slot that is leased has a link");
                let l = &mut self.links[link];
                l.phase = LinkPhase::Leased;
                l.lessee = Some(Lessee::Kill(errand));
                self.prepare_errand(link, errand);
                true
            }
            // In the line it would stand behind those that wait for what it is to end.
            Grant::Wait(ticket) => {
                self.pool.cancel(ticket);
                false
            }
            Grant::Refused(_) => false,
        }
    }

    /// One there that is still wanted.
    fn next_errand(&mut self, backend: BackendId) -> Option<Errand> {
        while let Some(at) = self.restraint.errands.hunts.iter().position(|errand| errand.backend == backend) {
            let errand = self.restraint.errands.hunts.remove(at)?;
            if let Aim::Statement(victim) = errand.aim
                && self.is_hunted(victim, HuntStage::Coming)
            {
                return Some(errand);
            }
        }
        if self.snapshot.backend(backend).health != Health::Up {
            return None;
        }
        let now = self.now;
        let is_due = |aim| matches!(aim, Aim::Orphan(Orphan { not_before, .. }) if not_before <= now);
        let is_next = |errand: &Errand| errand.backend == backend && is_due(errand.aim);
        while let Some(at) = self.restraint.errands.orphans.iter().position(is_next) {
            let errand = self.restraint.errands.orphans.remove(at)?;
            let Aim::Orphan(orphan) = errand.aim else { continue };
            if self.now.since_ms(orphan.lost_at) < ORPHAN_MS_MAX {
                return Some(errand);
            }
            self.leave_orphan(&errand, "its server was not there for too long");
        }
        None
    }

    /// Makes the connection one of the account, or goes on with it.
    pub(crate) fn prepare_errand(&mut self, link: Key<Link>, errand: Errand) {
        let l = &mut self.links[link];
        if l.account == errand.account {
            return self.run_errand(link, errand);
        }
        if self.accounts.find(errand.account).is_none() {
            l.lessee = None;
            return self.to_pool(link);
        }
        if !self.keep_insert_id(link, None) {
            self.change_user(link, errand.account, SchemaId(0));
        }
    }

    /// The connection is the account's.
    pub(crate) fn run_errand(&mut self, link: Key<Link>, errand: Errand) {
        match errand.aim {
            Aim::Statement(victim) if !self.hunt_leaves(victim) => self.errand_done(link),
            Aim::Statement(_) => self.kill(link, "QUERY", errand.thread_id),
            Aim::Orphan(_) => {
                self.links[link].captured.clear();
                self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
                self.inject(link, ReplyKind::Statistics, Purpose::Uptime, Command::Statistics, b"");
                let text = question(errand.thread_id);
                self.inject(link, ReplyKind::Query, Purpose::OrphanAsked, Command::Query, text.as_bytes());
            }
        }
    }

    fn kill(&mut self, link: Key<Link>, what: &str, thread_id: u32) {
        // Nobody waits for it who could lose patience, and a backend that is silent may be why it was sent.
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        let text = format!("KILL {what} {thread_id}");
        self.inject(link, ReplyKind::Query, Purpose::Kill, Command::Query, text.as_bytes());
    }

    /// How long the server has been up.
    pub(crate) fn uptime_told(&mut self, link: Key<Link>) {
        let up_s = uptime_s(&std::mem::take(&mut self.links[link].captured));
        if let Some(Lessee::Kill(Errand { aim: Aim::Orphan(orphan), .. })) = &mut self.links[link].lessee {
            // To the second, and both ends of it were cut off.
            let age_ms = self.now.since_ms(orphan.opened_at);
            orphan.is_outlived = up_s.is_some_and(|up_s| up_s.saturating_mul(1000) > age_ms + 1000);
        }
    }

    /// Whose the thread is, and what it does.
    pub(crate) fn orphan_told(&mut self, link: Key<Link>) {
        let cells = last_row(&std::mem::take(&mut self.links[link].captured));
        let Some(Lessee::Kill(errand @ Errand { aim: Aim::Orphan(orphan), .. })) = self.links[link].lessee else {
            return self.errand_done(link);
        };
        let [command, state, token, ..] = cells.as_slice() else { return self.errand_done(link) };
        if command.is_empty() {
            // Its server has noticed.
            return self.errand_done(link);
        }
        let uuid = self.snapshot.backend(errand.backend).uuid;
        let is_another_server = uuid.is_some() && orphan.uuid.is_some() && uuid != orphan.uuid;
        let is_it = match token.as_slice() {
            b"" => orphan.is_outlived && !is_another_server,
            token => token == token_text(orphan.token).as_bytes(),
        };
        if !is_it {
            self.links[link].lessee = None;
            self.leave_orphan(&errand, "its number may be another thread's since");
            return self.errand_done(link);
        }
        if is_committing(command, state, orphan.ends) {
            let orphan = Orphan { not_before: self.now.plus_ms(SWEEP_MS / 2), ..orphan };
            self.restraint.errands.orphans.push_back(Errand { aim: Aim::Orphan(orphan), ..errand });
            self.links[link].lessee = None;
            return self.errand_done(link);
        }
        self.counters.orphans_killed += 1;
        self.kill(link, "CONNECTION", errand.thread_id);
    }

    /// The connection is free for the next one there.
    pub(crate) fn errand_done(&mut self, link: Key<Link>) {
        let l = &mut self.links[link];
        let (lessee, backend) = (l.lessee.take(), l.backend);
        self.arm_link(link, Instant::NEVER);
        match lessee {
            Some(Lessee::Kill(Errand { aim: Aim::Statement(victim), .. })) => self.hunt_over(victim),
            Some(Lessee::Kill(Errand { account, .. })) => self.accounts.let_go(account),
            _ => {}
        }
        match self.next_errand(backend) {
            Some(next) => {
                self.links[link].lessee = Some(Lessee::Kill(next));
                self.prepare_errand(link, next);
            }
            None => self.to_pool(link),
        }
    }

    /// Its connection is gone before it was done: it goes by another one.
    pub(crate) fn errand_lost(&mut self, errand: Errand) {
        match errand.aim {
            Aim::Statement(victim) if self.is_hunted(victim, HuntStage::Coming) => {
                self.restraint.errands.hunts.push_back(errand)
            }
            Aim::Statement(_) => {}
            Aim::Orphan(_) => self.restraint.errands.orphans.push_back(errand),
        }
    }

    /// Its account is let in no more.
    pub(crate) fn errand_refused(&mut self, errand: &Errand) {
        if matches!(errand.aim, Aim::Orphan(_)) {
            self.leave_orphan(errand, "its account is let in no more");
        }
    }

    fn leave_orphan(&mut self, errand: &Errand, why: &str) {
        self.accounts.let_go(errand.account);
        let name = &self.snapshot.backend(errand.backend).name;
        let detail = format!("thread {} of {name}: {why}", errand.thread_id);
        self.log(Level::Info, "a thread that lost its connection was not ended", detail);
    }
}

/// What it has sent ends a transaction, and does nothing else.
pub(crate) fn runs_an_end(session: &Session) -> bool {
    let is_an_end = |request: &Request| request.plan.as_ref().is_some_and(|plan| plan.effects.intersects(ENDS));
    matches!(&session.phase, Phase::Relaying(request) if is_an_end(request))
}

/// Not DDL, which commits too and may run for long before: its thread's state says when.
const ENDS: Effects = Effects::COMMIT.union(Effects::ROLLBACK).union(Effects::SET_AUTOCOMMIT);

/// It waits for what makes its commit safe, or may do so in a moment.
/// Rule: MySQL "General Thread States" ("waiting for handler commit"), "Replication Source Thread States" ("Waiting for semi-sync ACK").
fn is_committing(command: &[u8], state: &[u8], ends: bool) -> bool {
    let state = state.to_ascii_lowercase();
    let says = |word: &[u8]| state.windows(word.len()).any(|part| part == word);
    command != b"Sleep" && (ends || says(b"commit") || says(b"semi-sync") || says(b"binlog"))
}

/// Of every connection of a gate, beside its client's (`performance_schema.session_account_connect_attrs`).
pub(crate) const TOKEN_ATTRIBUTE: &str = "_weir_link";

pub(crate) fn token_text(token: u64) -> String {
    format!("{token:016x}")
}

/// One row in any case, of nothing when there is no such thread, and in no character set of a session's.
/// `session_account_connect_attrs` shows an account its own threads, without a privilege; it is empty where `performance_schema` is off.
fn question(thread_id: u32) -> String {
    format!(
        "SELECT CAST(MAX(COMMAND) AS BINARY),CAST(MAX(STATE) AS BINARY),\
         (SELECT CAST(MAX(ATTR_VALUE) AS BINARY) FROM performance_schema.session_account_connect_attrs \
         WHERE PROCESSLIST_ID={thread_id} AND ATTR_NAME='{TOKEN_ATTRIBUTE}' LIMIT 1) \
         FROM information_schema.PROCESSLIST WHERE ID={thread_id} LIMIT 1"
    )
}

/// Rule: MySQL "COM_STATISTICS": a text that begins with `Uptime: 12  Threads: …`, in seconds.
fn uptime_s(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_once("Uptime:")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_uptime_is_read() {
        assert_eq!(uptime_s(b"Uptime: 4839  Threads: 2  Questions: 17  Slow queries: 0"), Some(4839));
        assert_eq!(uptime_s(b"Uptime: "), None);
        assert_eq!(uptime_s(b"\xff"), None);
        assert_eq!(uptime_s(b""), None);
    }

    #[test]
    fn who_commits_is_left_alone_and_who_sleeps_is_not() {
        for (command, state, ends, expected) in [
            ("Sleep", "", true, false),
            ("Query", "updating", false, false),
            ("Query", "User sleep", false, false),
            ("Query", "waiting for handler commit", false, true),
            ("Query", "Waiting for semi-sync ACK from replica", false, true),
            ("Execute", "Writing to binlog", false, true),
            ("Query", "starting", true, true),
        ] {
            assert_eq!(is_committing(command.as_bytes(), state.as_bytes(), ends), expected, "{command} {state}");
        }
    }
}
