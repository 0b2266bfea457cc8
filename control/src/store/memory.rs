//! A store in memory, for tests: it forgets with the process, and can be told to fail.

use super::{Leadership, Peer, Revision, Store, StoreError, Stored, Swap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

pub struct Memory {
    stored: watch::Sender<Option<Stored>>,
    leadership: watch::Sender<Leadership>,
    /// What the next swap does instead of swapping.
    fault: Mutex<Option<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Failed,
    /// It is done, and nobody says so.
    UnknownDone,
    UnknownNotDone,
}

impl Memory {
    pub fn new() -> Memory {
        let now = Instant::now();
        let ours = Leadership::Ours { since: now, until: now + FOR_EVER };
        let (stored, leadership) = (watch::channel(None).0, watch::channel(ours).0);
        Memory { stored, leadership, fault: Mutex::default() }
    }

    pub fn fail_next(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    pub fn lead(&self, leadership: Leadership) {
        self.leadership.send_replace(leadership);
    }

    /// Past all rules, as a restored backup would.
    pub fn overwrite(&self, stored: Option<Stored>) {
        self.stored.send_replace(stored);
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

#[tonic::async_trait]
impl Store for Memory {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.stored.borrow().clone())
    }

    async fn swap(&self, expected: Revision, next: &[u8]) -> Result<Swap, StoreError> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            Some(Fault::Failed) => return Err(StoreError::Failed("as it was told".to_string())),
            Some(Fault::UnknownNotDone) => return Err(StoreError::Unknown("as it was told".to_string())),
            Some(Fault::UnknownDone) | None => {}
        }
        if !self.leadership.borrow().is_ours(Instant::now()) {
            return Ok(Swap::Deposed);
        }
        let mut outcome = Swap::Lost;
        self.stored.send_if_modified(|stored| {
            let revision = stored.as_ref().map_or(Revision::default(), |stored| stored.revision);
            if revision == expected {
                let revision = Revision(revision.0 + 1);
                *stored = Some(Stored { revision, bytes: next.to_vec() });
                outcome = Swap::Done(revision);
            }
            matches!(outcome, Swap::Done(_))
        });
        match fault {
            Some(_) => Err(StoreError::Unknown("as it was told".to_string())),
            None => Ok(outcome),
        }
    }

    fn heard(&self) -> watch::Receiver<Option<Stored>> {
        self.stored.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        Ok(Vec::new())
    }

    async fn resign(&self) {
        self.lead(Leadership::Theirs(None));
    }
}

/// Ten years.
const FOR_EVER: Duration = Duration::from_secs(315_360_000);
