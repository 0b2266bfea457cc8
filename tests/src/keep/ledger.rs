//! The ledger: every epoch that was acknowledged or seen, with the mark of the proposal that made it.
//!
//! Invariant: an epoch has one mark for ever. What was acknowledged is never missing from what is seen later. A proposal
//! whose outcome nobody told may appear, but only as the epoch after the one that it expected.

use std::collections::{BTreeMap, HashMap};

use weir_control::grpc::proto;

#[derive(Default)]
pub struct Ledger {
    /// Mark by epoch.
    seen: BTreeMap<u64, String>,
    acknowledged_last: u64,
    /// The epoch that a proposal of this mark would make.
    proposed: HashMap<String, u64>,
    pub acknowledged: usize,
    pub unanswered: usize,
    pub refused: usize,
}

impl Ledger {
    /// It is about to be sent.
    pub fn propose(&mut self, mark: &str, epoch: u64) {
        let before = self.proposed.insert(mark.to_owned(), epoch);
        assert!(before.is_none(), "the mark {mark} is used twice");
    }

    /// # Panics
    /// If the epoch was given to another proposal.
    pub fn acknowledge(&mut self, topology: &proto::Topology) {
        self.acknowledged += 1;
        assert_eq!(self.proposed.get(&topology.reason), Some(&topology.epoch), "an answer to another question");
        self.note(topology);
        self.acknowledged_last = self.acknowledged_last.max(topology.epoch);
    }

    /// What a controller tells after everything that was acknowledged before it was asked.
    ///
    /// # Panics
    /// If something that was acknowledged is lost, or an epoch has two histories.
    pub fn see(&mut self, topology: &proto::Topology) {
        let last = self.acknowledged_last;
        assert!(topology.epoch >= last, "epoch {last} was acknowledged, and {} is the newest now", topology.epoch);
        self.see_late(topology);
    }

    /// What a controller tells that may be behind.
    ///
    /// # Panics
    /// If an epoch has two histories.
    pub fn see_late(&mut self, topology: &proto::Topology) {
        if let Some(epoch) = self.proposed.get(&topology.reason) {
            assert_eq!(*epoch, topology.epoch, "'{}' was proposed as another epoch", topology.reason);
        }
        self.note(topology);
    }

    pub fn acknowledged_last(&self) -> u64 {
        self.acknowledged_last
    }

    fn note(&mut self, topology: &proto::Topology) {
        let mark = self.seen.entry(topology.epoch).or_insert_with(|| topology.reason.clone());
        assert_eq!(*mark, topology.reason, "epoch {} has two histories", topology.epoch);
    }
}
