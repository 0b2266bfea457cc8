//! The oracles: what must hold at every moment, and at the end.
//!
//! - **One primary.** When a server has answered a write under the record of epoch *e*, no other server answers one under an older
//!   record, but for one that the newer primary had when it opened: that answer is late, and true. Excluded, without semi-sync only: a server whose tablet is dead or frozen, or which is frozen itself, and three
//!   seconds after that. Nobody can fence it then; what it answers is told as diverged when it is back.
//! - **Nothing lost.** With semi-sync a new primary has all that any client was told to be done, when it opens and at the end,
//!   unless an operator has accepted a loss. Without it, all that is missing at the end was told, by an event.
//! - **A planned move loses nothing**, in either mode. In runs without faults no client of a gate sees an error, unless the
//!   drain's time was over.
//! - **Epochs only grow**, for each who hears of them, and the coordinator wants no record that may not follow.
//! - **No deed is repeated endlessly**: not more than so many in ten seconds, and none when all is well.
//! - **It ends well**: when faults have ended, there is one primary before long, everybody follows it, and nothing waits.
//! - **Nothing is forgotten that can arrive** (S64): by gates, when a new primary opens.

use super::clock::Ms;
use super::server::Gtid;
use super::world::{Node, name};
use std::collections::BTreeMap;
use weir_control::controller::failover::events::{Event, Kind};
use weir_control::controller::record::{Phase, Record};
use weir_control::tablet::word::Word;
use weir_net::gtid::GtidSet;

pub struct Oracle {
    pub failure: Option<String>,
    pub counts: Counts,
    pub loss_is_accepted: bool,
    /// Faults are over: clients write seldom.
    pub is_quiet: bool,
    semi_sync: bool,
    is_calm: bool,
    /// The newest record under which a write was answered, by whom, and since when.
    reign: (u64, usize),
    /// What the last one had when it opened.
    opened_with: GtidSet,
    epochs: BTreeMap<Node, u64>,
    /// By server: since when nobody can fence it (how many causes), and until when that counts.
    unguarded: Vec<(u32, Ms)>,
    acknowledged: GtidSet,
    told: GtidSet,
    former: Option<Phase>,
    excused_until: Ms,
}

/// How much has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: u64,
    pub failed: u64,
    pub failovers: u64,
    pub orders: u64,
    pub switchovers: u64,
    pub given_up: u64,
    pub diverged: u64,
    pub lost: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        let Counts { acknowledged, failed, failovers, orders, switchovers, given_up, diverged, lost } = other;
        self.acknowledged += acknowledged;
        self.failed += failed;
        self.failovers += failovers;
        self.orders += orders;
        self.switchovers += switchovers;
        self.given_up += given_up;
        self.diverged += diverged;
        self.lost += lost;
    }
}

/// Everybody starts at once, and a tablet that has no lease yet fences its primary after a quarter of one.
const ALL_STARTED: Ms = 4_000;

impl Oracle {
    pub fn new(members: usize, semi_sync: bool, is_calm: bool) -> Oracle {
        Oracle {
            failure: None,
            counts: Counts::default(),
            loss_is_accepted: false,
            is_quiet: false,
            semi_sync,
            is_calm,
            reign: (1, 0),
            opened_with: GtidSet::new(),
            epochs: BTreeMap::new(),
            unguarded: vec![(0, 0); members],
            acknowledged: GtidSet::new(),
            told: GtidSet::new(),
            former: None,
            excused_until: ALL_STARTED,
        }
    }

    pub fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// A server has answered a write of a record's time.
    pub fn answered(&mut self, now: Ms, server: usize, reign: u64, gtid: Gtid) {
        let (newest, holder) = self.reign;
        if reign >= newest && (reign > newest || server == holder) {
            self.reign = (reign, server);
            return;
        }
        let (causes, until) = self.unguarded[server];
        let is_excluded = !self.semi_sync && (causes > 0 || now < until);
        let is_late = self.opened_with.contains(&gtid.set());
        if !is_excluded && !is_late {
            self.fail(format!(
                "two primaries: '{}' answers {gtid:?} under epoch {reign}, after '{}' did under {newest}",
                name(server),
                name(holder)
            ));
        }
    }

    /// A client knows that it is done.
    pub fn acknowledged(&mut self, gtid: Gtid) {
        self.counts.acknowledged += 1;
        self.acknowledged.merge(&gtid.set());
    }

    /// A client of a gate was told an error.
    pub fn failed(&mut self, now: Ms) {
        self.counts.failed += 1;
        if self.is_calm && now >= self.excused_until {
            self.fail("a write failed though nothing but switchovers happened".to_string());
        }
    }

    /// A new primary takes writes.
    pub fn check_open(&mut self, executed: &GtidSet, server: usize, epoch: u64) {
        self.opened_with = executed.clone();
        let mut missing = self.acknowledged.clone();
        missing.subtract(executed);
        if self.semi_sync && !self.loss_is_accepted && !missing.is_empty() {
            self.fail(format!(
                "lost: '{}' opens in epoch {epoch} without {missing}, which clients know to be done",
                name(server)
            ));
        }
    }

    pub fn check_end(&mut self, executed: &GtidSet) {
        let mut missing = self.acknowledged.clone();
        missing.subtract(executed);
        self.counts.lost = missing.count();
        if self.semi_sync && !self.loss_is_accepted && !missing.is_empty() {
            self.fail(format!("lost: {missing} at the end, under semi-sync"));
        }
        missing.subtract(&self.told);
        if !missing.is_empty() {
            self.fail(format!("hidden: {missing} is lost, and nobody was told"));
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event.kind {
            Kind::FailoverBegan(_) => self.counts.failovers += 1,
            Kind::GivenUp => self.counts.given_up += 1,
            Kind::Diverged => self.counts.diverged += 1,
            _ => {}
        }
        if matches!(event.kind, Kind::Lost(_) | Kind::Diverged)
            && let Some((_, set)) = event.text.rsplit_once(": ")
        {
            match GtidSet::parse(set.as_bytes()) {
                Ok(set) => self.told.merge(&set),
                Err(_) => self.fail(format!("an event tells no set: {}", event.text)),
            }
        }
    }

    /// A record is in the store.
    pub fn record(&mut self, now: Ms, record: &Record, promoted: &GtidSet) {
        let is_planned = matches!(&self.former, Some(Phase::Interregnum { former, heir: Some(_) })
            if record.primary().is_some_and(|primary| primary != former));
        self.former = Some(record.phase.clone());
        if record.reason.contains("drain's time is over") || record.reason.contains("given up") {
            self.excused_until = now + 8_000;
        }
        let mut missing = self.acknowledged.clone();
        missing.subtract(promoted);
        if is_planned && self.semi_sync_or_guarded() && !missing.is_empty() {
            self.fail(format!("a switchover loses {missing}"));
        }
    }

    /// Without semi-sync a former failover may have lost some, and a server that nobody can fence may answer.
    fn semi_sync_or_guarded(&self) -> bool {
        self.is_calm || (self.semi_sync && !self.loss_is_accepted)
    }

    pub fn heard(&mut self, who: Node, epoch: u64) {
        let before = self.epochs.insert(who, epoch).unwrap_or(0);
        if epoch < before {
            self.fail(format!("{who:?} goes back from epoch {before} to {epoch}"));
        }
    }

    /// It was started anew without what it knew.
    pub fn forgets(&mut self, who: Node) {
        self.epochs.remove(&who);
    }

    pub fn check_word(&mut self, word: &Word) {
        if word.care.settled > word.epoch {
            self.fail(format!("'{}' is settled for {} and has heard of {}", word.name, word.care.settled, word.epoch));
        }
    }

    pub fn unguarded(&mut self, server: usize) {
        self.unguarded[server].0 += 1;
    }

    pub fn guarded(&mut self, now: Ms, server: usize) {
        let (causes, until) = &mut self.unguarded[server];
        *causes = causes.saturating_sub(1);
        *until = now + UNGUARDED_MS;
    }

    pub fn check_deeds(&mut self, server: usize, deed: &str, count: usize) {
        let most = if deed == "fence" { FENCES_MAX } else { DEEDS_MAX };
        if count > most {
            self.fail(format!("'{}' does {deed} {count} times in 10 s", name(server)));
        }
    }
}

/// A fence that begins as soon as it can is done by then, or the server is killed.
const UNGUARDED_MS: Ms = 3_000;

/// In ten seconds: a fence that fails is tried ten times a second, other deeds four times at most.
const FENCES_MAX: usize = 130;
const DEEDS_MAX: usize = 70;
