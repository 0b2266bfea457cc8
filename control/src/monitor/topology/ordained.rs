//! The ordained primary: the controllers' word about who may be primary, over a server's own evidence.
//!
//! Invariant: it only takes away. Nobody becomes primary by it who does not look like one.

use std::sync::Arc;
use weir_core::snapshot::{BackendId, Mandate, Role};
use weir_net::gtid::GtidSet;

/// The controllers' word about the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordained {
    pub epoch: u64,
    /// None: nobody, on purpose.
    pub primary: Option<String>,
    /// Another is about to follow it.
    pub is_ending: bool,
    /// Nobody is primary since the role is being moved, and not since the primary was lost.
    pub is_planned: bool,
    /// What the primary was promoted with.
    pub promoted: Arc<GtidSet>,
}

impl Ordained {
    /// In the cores' terms; `holder`: the primary's backend and its server.
    pub fn mandate(&self, holder: Option<(BackendId, Option<[u8; 16]>)>) -> Mandate {
        Mandate {
            epoch: self.epoch,
            holder: holder.map(|(backend, _)| backend),
            uuid: holder.and_then(|(_, uuid)| uuid),
            is_ending: self.is_ending,
            is_planned: self.is_planned,
            promoted: self.promoted.clone(),
        }
    }

    /// Of a server that is a primary by its own evidence.
    pub fn judge(&self, name: &str) -> (Role, String) {
        let epoch = self.epoch;
        match &self.primary {
            Some(primary) if primary == name => (Role::Primary, String::new()),
            Some(primary) => {
                (Role::Unknown, format!("is writable, but in epoch {epoch} the controllers name {primary} as primary"))
            }
            None => (Role::Unknown, format!("is writable, but in epoch {epoch} nobody is primary")),
        }
    }
}
