//! What a session must see when it reads, and what of that a failover has lost: sets of GTIDs, and nothing else.

use crate::board::lost;
use crate::snapshot::BackendId;
use crate::time::Instant;
use std::sync::Arc;
use weir_net::gtid::GtidSet;

/// What this session must see when it reads (S60 to S63).
#[derive(Debug, Default)]
pub struct Freshness {
    pub needs: GtidSet,
    /// What the replica that it read from last had, or what the primary said: it is not to see less.
    pub seen: Option<Arc<GtidSet>>,
    /// The replica that it read from last, and since when it reads there. It may have shown more than was known of it.
    pub reads_on: Option<(BackendId, Instant)>,
    /// It has read on the primary since, or on one that was: what the primary has executed is to be asked before a replica may serve.
    pub saw_primary: bool,
    /// A write without a GTID went by: only the primary is known to have it, until a later GTID covers it (S62).
    pub primary_only: bool,
}

impl Freshness {
    pub fn is_met_by(&self, executed: &Arc<GtidSet>) -> bool {
        let saw_it = self.seen.as_ref().is_none_or(|seen| Arc::ptr_eq(seen, executed) || executed.contains(seen));
        saw_it && (self.needs.is_empty() || executed.contains(&self.needs))
    }

    /// Gives up what a new primary, whose uuid is `own`, does not have and did not write: it can never arrive (S64).
    /// Returns it.
    pub fn forget_lost(&mut self, executed: &GtidSet, own: [u8; 16]) -> GtidSet {
        let mut all = lost(&self.needs, executed, own);
        self.needs.subtract(&all);
        if let Some(seen) = &self.seen {
            let lost = lost(seen, executed, own);
            if !lost.is_empty() {
                let mut left = (**seen).clone();
                left.subtract(&lost);
                self.seen = Some(Arc::new(left));
                all.merge(&lost);
            }
        }
        all
    }

    /// A read goes to this replica, which has this much at least.
    pub fn saw(&mut self, now: Instant, replica: BackendId, executed: &Arc<GtidSet>) {
        if self.reads_on.is_none_or(|(on, _)| on != replica) {
            self.reads_on = Some((replica, now));
        }
        if !self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, executed)) {
            self.seen = Some(executed.clone());
        }
    }
}
