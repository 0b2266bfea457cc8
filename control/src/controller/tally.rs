//! The tally: what a controller counts, from its start on, whoever leads meanwhile.
//!
//! Invariant: a move that this controller has seen begin is done, given up, or under way: `begun = done + given_up`, and one
//! more while one is under way. Only one that another leader has begun is done without (kind "inherited").

use super::failover::events::{Event, Kind, Parts};
use crate::http::exposition::Times;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub struct Tally {
    elections: AtomicU64,
    store_errors: AtomicU64,
    moves: Mutex<Moves>,
}

/// Kind and cause of a move, as labels.
pub type Nature = (&'static str, &'static str);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    under_way: Option<Nature>,
    pub begun: BTreeMap<Nature, u64>,
    pub done: BTreeMap<Nature, u64>,
    pub given_up: BTreeMap<Nature, u64>,
    /// In the order of [`PARTS`].
    pub parts: [Times; PARTS.len()],
    /// Transactions that no new primary had.
    pub lost: u64,
    pub diverged: u64,
    /// Reasons why nothing moved.
    pub waits: u64,
}

impl Tally {
    /// This controller was elected.
    pub fn elected(&self) {
        self.elections.fetch_add(1, Ordering::Relaxed);
    }

    pub fn store_failed(&self) {
        self.store_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub fn elections(&self) -> u64 {
        self.elections.load(Ordering::Relaxed)
    }

    pub fn store_errors(&self) -> u64 {
        self.store_errors.load(Ordering::Relaxed)
    }

    pub fn moves(&self) -> Moves {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn handle_event(&self, event: &Event) {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).handle(event);
    }

    /// This controller leads no longer: what was under way is another's.
    pub fn end_term(&self) {
        let mut moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nature) = moves.under_way.take() {
            *moves.given_up.entry(nature).or_default() += 1;
        }
    }
}

impl Moves {
    fn handle(&mut self, event: &Event) {
        match event.kind {
            Kind::Waits => self.waits += 1,
            Kind::FailoverBegan(cause) => self.begin(("failover", cause.name())),
            Kind::SwitchoverBegan => self.begin(("switchover", "ordered")),
            Kind::Fenced | Kind::Chosen => {}
            Kind::Lost(count) => self.lost += count,
            Kind::Opened => {
                let nature = self.under_way.take().unwrap_or(("inherited", "another_leader"));
                *self.done.entry(nature).or_default() += 1;
                if let Some(Parts { detect_ms, fence_ms, choose_ms, open_ms }) = event.parts {
                    let all = [detect_ms, fence_ms, choose_ms, open_ms];
                    self.parts.iter_mut().zip(all).for_each(|(times, ms)| times.add(ms));
                }
            }
            Kind::GivenUp => self.give_up(),
            Kind::Diverged => self.diverged += 1,
        }
    }

    /// One that begins before the last one has ended takes its place.
    fn begin(&mut self, nature: Nature) {
        self.give_up();
        self.under_way = Some(nature);
        *self.begun.entry(nature).or_default() += 1;
    }

    fn give_up(&mut self) {
        if let Some(nature) = self.under_way.take() {
            *self.given_up.entry(nature).or_default() += 1;
        }
    }
}

/// Of a move, as labels.
pub const PARTS: [&str; 4] = ["detect", "fence", "choose", "open"];

#[cfg(test)]
mod tests {
    use super::super::failover::verdict::Cause;
    use super::*;

    #[test]
    fn what_has_begun_has_one_end() {
        let tally = Tally::default();
        let tell = |kind: Kind| {
            let parts = (kind == Kind::Opened).then(|| Parts { detect_ms: 500, ..Parts::default() });
            tally.handle_event(&Event { kind, epoch: 7, text: String::new(), parts });
        };
        let failover = ("failover", "stopped");
        tell(Kind::Opened);
        tell(Kind::FailoverBegan(Cause::Stopped));
        assert_eq!(tally.moves().begun.get(&failover), Some(&1));
        // The next primary dies before it has opened.
        tell(Kind::FailoverBegan(Cause::Silent));
        tell(Kind::Lost(3));
        tell(Kind::Opened);
        tell(Kind::SwitchoverBegan);
        tell(Kind::GivenUp);
        tell(Kind::FailoverBegan(Cause::Stopped));
        tally.end_term();
        let moves = tally.moves();
        assert_eq!(moves.given_up, [(failover, 2), (("switchover", "ordered"), 1)].into());
        assert_eq!(moves.done, [(("failover", "silent"), 1), (("inherited", "another_leader"), 1)].into());
        assert_eq!((moves.lost, moves.under_way), (3, None));
        let mut twice = Times::default();
        [500, 500].into_iter().for_each(|ms| twice.add(ms));
        assert_eq!(moves.parts[0], twice);
    }
}
