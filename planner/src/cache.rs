//! The plan cache: exact text and facts to a shared plan, bounded in entries and bytes.
//!
//! ```text
//!   hash ─► row of 4 ways   │ (hash, facts, text, plan, recent) │ … │ … │ … │      a miss takes the way that is not recent
//! ```
//! A comment behind a text that says which trace it belongs to is no part of the text here (`comment.rs`), or no such text would be found again.
//! Invariant: `bytes` is the sum of the texts held and never above `bytes_max`; a hit has equal text and equal facts, so a
//! collision of hashes costs a compare, never a wrong plan. A row has four ways whatever clients send: nobody can make a
//! lookup slow. Rows were chosen over an LRU list: a hit writes one flag.

use crate::classify::plan_with;
use crate::comment::without_trace;
use crate::facts::Facts;
use crate::limits::CACHED_TEXT_BYTES_MAX;
use crate::plan::Plan;
use crate::routines::Routines;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// One core's cache of plans.
#[derive(Debug)]
pub struct PlanCache {
    rows: Box<[Row]>,
    bytes: usize,
    bytes_max: usize,
    /// The row where the next search for bytes begins.
    hand: usize,
    hits: u64,
    misses: u64,
    routines: Routines,
}

type Row = [Option<Entry>; WAYS];

#[derive(Debug)]
struct Entry {
    hash: u64,
    facts: Facts,
    text: Box<[u8]>,
    plan: Rc<Plan>,
    recent: bool,
}

impl PlanCache {
    /// A cache of at most `entries_max` plans (at least four, rounded down to a power of two) for texts of `bytes_max` bytes.
    pub fn new(entries_max: usize, bytes_max: usize) -> PlanCache {
        let rows = (entries_max / WAYS).max(1);
        let rows = if rows.is_power_of_two() { rows } else { rows.next_power_of_two() / 2 };
        PlanCache {
            rows: (0..rows).map(|_| Row::default()).collect(),
            bytes: 0,
            bytes_max,
            hand: 0,
            hits: 0,
            misses: 0,
            routines: Routines::default(),
        }
    }

    /// The plan of a text: from the cache, or made now and kept.
    pub fn plan(&mut self, sql: &[u8], facts: &Facts) -> Rc<Plan> {
        let sql = without_trace(sql);
        if sql.len() > CACHED_TEXT_BYTES_MAX || sql.len() > self.bytes_max {
            self.misses = self.misses.wrapping_add(1);
            return Rc::new(plan_with(sql, facts, &self.routines));
        }
        let hash = hash(sql, facts);
        if let Some(row) = row_of(&mut self.rows, hash) {
            for entry in row.iter_mut().flatten() {
                if entry.hash == hash && *entry.text == *sql && entry.facts == *facts {
                    entry.recent = true;
                    self.hits = self.hits.wrapping_add(1);
                    return entry.plan.clone();
                }
            }
        }
        self.misses = self.misses.wrapping_add(1);
        let plan = Rc::new(plan_with(sql, facts, &self.routines));
        self.keep(Entry { hash, facts: *facts, text: sql.into(), plan: plan.clone(), recent: false });
        plan
    }

    /// Others are vouched for from now on: no plan is kept.
    pub fn vouch(&mut self, routines: Routines) {
        self.rows.iter_mut().for_each(|row| *row = Row::default());
        (self.bytes, self.routines) = (0, routines);
    }

    pub fn hits(&self) -> u64 {
        self.hits
    }

    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// Plans held.
    pub fn len(&self) -> usize {
        self.rows.iter().flatten().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the texts held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn keep(&mut self, entry: Entry) {
        let len = entry.text.len();
        while self.bytes.saturating_add(len) > self.bytes_max && self.bytes > 0 {
            self.sweep();
        }
        let Some(row) = row_of(&mut self.rows, entry.hash) else { return };
        let free = row.iter().position(|way| way.is_none());
        let way = free.or_else(|| row.iter().position(|way| way.as_ref().is_some_and(|e| !e.recent)));
        if way.is_none() {
            row.iter_mut().flatten().for_each(|entry| entry.recent = false);
        }
        if let Some(place) = row.get_mut(way.unwrap_or_default()) {
            let old = place.replace(entry).map_or(0, |old| old.text.len());
            self.bytes = self.bytes.saturating_sub(old).saturating_add(len);
        }
        assert!(self.bytes <= self.bytes_max, "the cache holds more bytes than it may");
    }

    /// Empties the next row.
    fn sweep(&mut self) {
        if let Some(row) = self.rows.get_mut(self.hand) {
            let freed: usize = row.iter().flatten().map(|entry| entry.text.len()).sum();
            *row = Row::default();
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.hand = self.hand.wrapping_add(1) & self.rows.len().wrapping_sub(1);
    }
}

/// The row of a hash; the number of rows is a power of two.
fn row_of(rows: &mut [Row], hash: u64) -> Option<&mut Row> {
    let mask = rows.len().wrapping_sub(1);
    rows.get_mut((hash as usize) & mask)
}

fn hash(sql: &[u8], facts: &Facts) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(sql);
    facts.hash(&mut hasher);
    hasher.finish()
}

const WAYS: usize = 4;

#[cfg(test)]
mod tests;
