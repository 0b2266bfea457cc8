//! Stores: where a cluster's record lies, changed by compare-and-swap and nothing else.
//!
//! ```text
//!   Embedded   one file, one controller                       it leads while it runs
//!   Etcd       shared by several controllers                  who holds the leader's key and its lease leads
//!   Memory     tests
//! ```
//! Invariant: a swap that was acknowledged is never lost, and of two swaps that expect the same revision one is lost. A
//! store knows bytes and revisions; what is in the bytes it does not know.

pub mod embedded;
pub mod etcd;
pub mod memory;

pub use embedded::Embedded;
pub use etcd::{Etcd, EtcdOptions};
pub use memory::Memory;

use std::fmt;
use tokio::sync::watch;
use tokio::time::Instant;

/// Of what is stored; greater after each swap. Zero is that of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub revision: Revision,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    Done(Revision),
    /// What is stored has another revision than the expected one.
    Lost,
    /// Another controller leads by now; nothing was changed.
    Deposed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Nothing was done.
    Failed(String),
    /// A swap was sent, and nobody said whether it was done.
    Unknown(String),
}

/// Who leads, as this controller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// We do: from `since` on, and until `until` for certain. `until` moves on while we do.
    Ours { since: Instant, until: Instant },
    /// The leader's address, if there is one.
    Theirs(Option<String>),
    /// The store cannot be reached: nobody knows, and news is missed.
    Cut(String),
}

/// A controller that shares the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: String,
    pub is_leader: bool,
}

#[tonic::async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is stored now: never less than what any swap before this call has made of it.
    async fn load(&self) -> Result<Option<Stored>, StoreError>;

    /// Replaces what has this revision, if we lead.
    async fn swap(&self, expected: Revision, next: &[u8]) -> Result<Swap, StoreError>;

    /// What others have stored, as far as it is heard; the newest counts.
    fn heard(&self) -> watch::Receiver<Option<Stored>>;

    fn leadership(&self) -> watch::Receiver<Leadership>;

    async fn peers(&self) -> Result<Vec<Peer>, StoreError>;

    /// At the end: lets another lead at once.
    async fn resign(&self);
}

impl Leadership {
    pub fn is_ours(&self, now: Instant) -> bool {
        matches!(self, Leadership::Ours { until, .. } if now < *until)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Failed(why) => write!(f, "the store failed: {why}"),
            StoreError::Unknown(why) => write!(f, "the store did not say whether the change was made: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
