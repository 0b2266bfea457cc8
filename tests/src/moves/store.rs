//! The store: one record behind a compare-and-swap, and who leads.

use super::clock::Ms;
use weir_control::controller::record::Record;

pub struct Store {
    pub record: Record,
    /// Who leads, since which term, and until when.
    pub leader: Option<(usize, u64, Ms)>,
    terms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    Done,
    Lost,
    Deposed,
}

impl Store {
    pub fn new(record: Record) -> Store {
        Store { record, leader: None, terms: 0 }
    }

    /// Some: it leads, since that term.
    pub fn campaign(&mut self, now: Ms, who: usize, lasts: Ms) -> Option<u64> {
        match self.leader {
            Some((leader, term, until)) if now < until => (leader == who).then(|| {
                self.leader = Some((leader, term, now + lasts));
                term
            }),
            _ => {
                self.terms += 1;
                self.leader = Some((who, self.terms, now + lasts));
                Some(self.terms)
            }
        }
    }

    pub fn swap(&mut self, now: Ms, term: u64, next: Record) -> Swap {
        match self.leader {
            Some((_, leads, until)) if leads == term && now < until => {}
            _ => return Swap::Deposed,
        }
        if self.record.epoch.next() != Some(next.epoch) {
            return Swap::Lost;
        }
        self.record = next;
        Swap::Done
    }
}
