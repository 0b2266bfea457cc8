//! `Lag`: how late the replicas are, by the servers' own clock: from a transaction's commit on the primary to its commit
//! on the replica, in microseconds.
//!
//! Invariant: it asks the replicas directly, so the gate's idea of their lag plays no part. A replica whose applier
//! stands still shows the lag of what it applied last: the figure is meant for replicas that nobody delays.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::delay::Over;
use super::scene::Scene;
use crate::error::Fault;
use crate::load::new_histogram;

#[derive(Debug)]
pub struct Lag {
    samples: Mutex<Histogram<u64>>,
}

impl Lag {
    pub fn new() -> Self {
        Self { samples: Mutex::new(new_histogram()) }
    }

    /// Looks at all replicas, again and again, until it is over.
    pub fn watch(&self, scene: &Scene, over: &Over) -> Result<(), Fault> {
        let mut replicas = scene.replicas().map(|number| scene.node(number)).collect::<Result<Vec<_>, _>>()?;
        while !over.is_set() {
            for replica in &mut replicas {
                let rows = replica.query(LAST_APPLIED)?;
                let cell = rows.into_iter().flatten().flatten().next();
                let lag_us = cell.and_then(|text| text.parse::<i64>().ok());
                if let Some(lag_us) = lag_us.and_then(|lag_us| u64::try_from(lag_us).ok()) {
                    let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
                    samples.saturating_record(lag_us);
                }
            }
            over.sleep(PAUSE);
        }
        Ok(())
    }

    /// What was seen since the last call.
    pub fn take(&self) -> Histogram<u64> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *samples, new_histogram())
    }
}

const LAST_APPLIED: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, LAST_APPLIED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP, \
     LAST_APPLIED_TRANSACTION_END_APPLY_TIMESTAMP) FROM performance_schema.replication_applier_status_by_worker \
     WHERE LAST_APPLIED_TRANSACTION <> '' ORDER BY LAST_APPLIED_TRANSACTION_END_APPLY_TIMESTAMP DESC LIMIT 1";

const PAUSE: Duration = Duration::from_millis(40);
