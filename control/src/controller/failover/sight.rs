//! The sight: all that the leading controller knows at one moment, for the coordinator to judge.
//!
//! Invariant: it is a value. What a tablet has not said since its stream broke is its last word, and `is_live` says so.

use crate::controller::leases::{Holder, Presence};
use crate::controller::outlook::{Outlook, Reach};
use crate::controller::record::{Member, Record};
use crate::monitor::Standing;
use crate::monitor::group::Group;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug)]
pub struct Sight {
    pub record: Arc<Record>,
    pub members: BTreeMap<String, MemberSight>,
    pub gates: Vec<GateSight>,
}

/// One member as its tablet tells of it.
#[derive(Clone, Debug)]
pub struct MemberSight {
    /// Its tablet's stream is alive.
    pub is_live: bool,
    pub standing: Standing,
    /// Since when it has stood so, or the stream has been dead; by our clock.
    pub since: Instant,
    /// How long its tablet's lease must still be taken as held.
    pub lease_left: Duration,
    /// The server takes writes, by its own evidence.
    pub is_writable: bool,
    /// It is a primary, by its own evidence.
    pub is_primary: bool,
    /// What it last said of its replication group, if it has one.
    pub group: Option<Group>,
    /// The server's uuid at the last look.
    pub server_uuid: String,
    /// Its tablet brings it to what the record says.
    pub is_managed: bool,
    /// The highest epoch that its tablet has heard of.
    pub heard: u64,
    /// The highest epoch whose demands its steward has seen fulfilled.
    pub settled: u64,
    /// What its steward failed to do; empty when all is well.
    pub trouble: String,
    pub executed: Arc<GtidSet>,
    /// Of all its sources, executed or not.
    pub received: Arc<GtidSet>,
    /// When `received` last grew.
    pub received_at: Instant,
    pub receiver: Receiving,
    pub applier_runs: bool,
    pub version_number: u32,
    pub disk_full: bool,
    /// Its commits wait for an acknowledgement.
    pub semi_sync_on: bool,
    /// Replicas that acknowledge to it.
    pub semi_sync_clients: u32,
    /// What it has executed and the primary never had.
    pub extra: Arc<GtidSet>,
}

/// Where a member receives from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// From nobody.
    Nothing,
    /// Connected to the server with this uuid.
    From(String),
    /// It tries to reach it.
    Seeking(String),
    /// It was told to stop.
    Stopped(String),
}

/// One gate as it tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSight {
    pub name: String,
    pub epoch_seen: u64,
    /// The highest epoch of a handover for which nothing is open on the primary any more.
    pub drained: u64,
    /// What it sees of the primary by itself.
    pub view: Option<GateView>,
}

/// An [`Outlook`] by our clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateView {
    pub primary: String,
    pub reach: Reach,
    pub since: Instant,
    pub answered: Option<Instant>,
}

impl GateSight {
    pub fn of(name: &str, holder: &Holder) -> GateSight {
        let Presence { epoch_seen, drained, primary, .. } = &holder.presence;
        let ago = |ms: u32| {
            let told = holder.told;
            told.checked_sub(Duration::from_millis(ms.into())).unwrap_or(told)
        };
        let view = primary.as_ref().map(|outlook: &Outlook| GateView {
            primary: outlook.primary.clone(),
            reach: outlook.reach,
            since: ago(outlook.since_ms),
            answered: outlook.answered_ms.map(ago),
        });
        GateSight { name: name.to_string(), epoch_seen: *epoch_seen, drained: *drained, view }
    }

    /// Of this primary.
    pub fn view(&self, primary: &str) -> Option<&GateView> {
        self.view.as_ref().filter(|view| view.primary == primary)
    }
}

impl Sight {
    pub fn epoch(&self) -> u64 {
        self.record.epoch.number()
    }

    pub fn member(&self, name: &str) -> Option<&MemberSight> {
        self.members.get(name)
    }

    /// Tablets are seen, and none of them does anything to its server: others move the role.
    pub fn is_unmanaged(&self) -> bool {
        let mut live = self.members.values().filter(|seen| seen.is_live).peekable();
        live.peek().is_some() && live.all(|seen| !seen.is_managed)
    }

    /// The other members that can be seen and stand well.
    pub fn others<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Member, &'a MemberSight)> {
        let all = self.record.members.iter().filter(move |(other, _)| *other != name);
        all.filter_map(|(other, member)| Some((other.as_str(), member, self.members.get(other)?)))
            .filter(|(_, _, sight)| sight.is_sound())
    }
}

impl MemberSight {
    /// It is seen, and its server works.
    pub fn is_sound(&self) -> bool {
        self.is_live && self.standing.is_sound()
    }

    pub fn receives_from(&self, uuid: &str) -> bool {
        matches!(&self.receiver, Receiving::From(from) if from == uuid)
    }

    /// It follows this server, connected or not.
    pub fn follows(&self, uuid: &str) -> bool {
        match &self.receiver {
            Receiving::From(of) | Receiving::Seeking(of) | Receiving::Stopped(of) => of == uuid,
            Receiving::Nothing => false,
        }
    }

    /// All that it will have when it has applied what it received.
    pub fn has(&self) -> GtidSet {
        let mut has = (*self.executed).clone();
        has.merge(&self.received);
        has
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A member that is well: a replica of `source`, with transactions 1 to `last` of uuid 1.
    pub fn replica(now: Instant, source: u64, last: u64) -> MemberSight {
        MemberSight {
            is_live: true,
            standing: Standing::Serving,
            since: now,
            lease_left: Duration::from_millis(5_000),
            is_writable: false,
            is_primary: false,
            group: None,
            server_uuid: String::new(),
            is_managed: true,
            heard: 0,
            settled: 0,
            trouble: String::new(),
            executed: Arc::new(set(1, last)),
            received: Arc::new(set(1, last)),
            received_at: now,
            receiver: Receiving::From(uuid(source)),
            applier_runs: true,
            version_number: 90_704,
            disk_full: false,
            semi_sync_on: false,
            semi_sync_clients: 0,
            extra: Arc::default(),
        }
    }

    pub fn primary(now: Instant, last: u64) -> MemberSight {
        MemberSight { is_writable: true, is_primary: true, receiver: Receiving::Nothing, ..replica(now, 1, last) }
    }

    pub fn uuid(number: u64) -> String {
        format!("uuid-{number}")
    }

    /// Transactions 1 to `last` of one source.
    pub fn set(source: u64, last: u64) -> GtidSet {
        match last {
            0 => GtidSet::default(),
            last => GtidSet::parse(format!("3aecbfe0-e779-11f1-be4c-02fc0000000{source}:1-{last}").as_bytes()).unwrap(),
        }
    }
}
