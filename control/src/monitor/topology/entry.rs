//! An entry: one backend with its last word, and what that alone says of it.

use super::{Event, role_name};
use crate::config::BackendConfig;
use crate::controller::record::Wanted;
use crate::monitor::evidence;
use crate::monitor::facts::Facts;
use crate::monitor::fault::Fault;
use crate::monitor::trail::Trail;
use std::sync::Arc;
use weir_core::snapshot::{Address, BackendId, BackendView, Health, Role, Settings};
use weir_net::flavour::Flavour;
use weir_net::gtid::GtidSet;

pub(super) struct Entry {
    pub(super) config: BackendConfig,
    pub(super) facts: Option<Box<Facts>>,
    /// Why it is down.
    pub(super) fault: Option<Fault>,
    pub(super) is_looked_at: bool,
    /// Nobody tells of it any more: the last word holds, but says not how late it is by now.
    pub(super) is_stale: bool,
    /// Taken out for good; its index stays.
    pub(super) is_gone: bool,
    /// It takes itself for the primary of its group, and a newer view has another.
    pub(super) is_outdated: bool,
    /// Of one that was discovered: the server there must be this one.
    pub(super) uuid: Option<String>,
    pub(super) role: Role,
    /// What keeps it from its role or from reads; empty when all is well.
    pub(super) note: String,
    pub(super) lag_ms: Option<u32>,
}

/// The part of a view that cores act on.
#[derive(PartialEq)]
pub(super) struct Told {
    pub(super) role: Role,
    pub(super) health: Health,
    pub(super) address: Address,
    pub(super) takes_reads: bool,
    pub(super) weight: u32,
    pub(super) zone: String,
    pub(super) executed: Arc<GtidSet>,
    pub(super) read_only: bool,
    pub(super) version: String,
    pub(super) figures: [u32; 3],
    pub(super) lag_log: Option<u32>,
}

impl Entry {
    pub(super) fn new(config: BackendConfig, uuid: Option<String>) -> Entry {
        Entry {
            config,
            facts: None,
            fault: None,
            is_looked_at: false,
            is_stale: false,
            is_gone: false,
            is_outdated: false,
            uuid,
            role: Role::Unknown,
            note: "not looked at yet".to_string(),
            lag_ms: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.facts.is_some()
    }

    pub(super) fn version(&self) -> &str {
        self.facts.as_ref().map_or("unknown", |facts| &facts.version)
    }

    /// The uuid of what it writes as primary: its own, or its group's.
    pub(super) fn writer_bytes(&self) -> Option<[u8; 16]> {
        let group = self.facts.as_ref().filter(|facts| facts.group.is_some());
        group.map_or_else(|| self.uuid_bytes(), |facts| facts.next_source())
    }

    /// Of the server that is there, or of the one that should be.
    pub(super) fn uuid_bytes(&self) -> Option<[u8; 16]> {
        let text = self.facts.as_ref().map(|facts| &facts.server_uuid).or(self.uuid.as_ref())?;
        Some(GtidSet::parse(format!("{text}:1").as_bytes()).ok()?.iter().next()?.0.uuid)
    }

    /// What the server says by itself, and what is odd about it.
    pub(super) fn evidence(&self) -> (Role, String) {
        let Some(facts) = &self.facts else { return (Role::Unknown, String::new()) };
        if self.uuid.as_ref().is_some_and(|uuid| *uuid != facts.server_uuid) {
            return (Role::Unknown, "is another server than the one that was discovered there".to_string());
        }
        if self.is_outdated {
            return (
                Role::Unknown,
                "was its group's primary in an older view, and another has followed it".to_string(),
            );
        }
        evidence::role(facts)
    }

    pub(super) fn is_out_of_group(&self) -> bool {
        let group = self.facts.as_ref().and_then(|facts| facts.group.as_ref());
        self.is_outdated || group.is_some_and(|group| !group.is_sound())
    }

    pub(super) fn is_candidate(&self) -> bool {
        self.config.wanted == Wanted::Any && self.evidence().0 == Role::Primary
    }

    pub(super) fn pinned_note(&self, role: Role) -> String {
        let Some(facts) = &self.facts else { return String::new() };
        match role {
            Role::Primary if facts.read_only => "is pinned as primary, but read-only".to_string(),
            Role::Primary if facts.is_replicating() => "is pinned as primary, but replicates from another".to_string(),
            Role::Replica if !facts.is_replicating() => "is pinned as replica, but does not replicate".to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn told(&self, settings: &Settings) -> Told {
        let view = self.view(BackendId(0));
        Told {
            takes_reads: view.lag_ms.is_some_and(|lag| lag <= settings.replica_lag_ms_max),
            weight: view.weight,
            zone: view.zone,
            role: view.role,
            health: view.health,
            address: view.address,
            executed: view.executed,
            read_only: view.read_only,
            version: view.version,
            figures: [view.queries_per_second, view.threads_connected, view.threads_running],
            // Exact enough for a choice: in powers of two.
            lag_log: view.lag_ms.map(|lag| u32::BITS - lag.leading_zeros()),
        }
    }

    pub(super) fn view(&self, id: BackendId) -> BackendView {
        let facts = self.facts.as_deref();
        BackendView {
            id,
            name: self.config.name.clone(),
            // A group's transactions have the group's name, and a MariaDB server's are not looked up.
            uuid: self.uuid_bytes().filter(|_| facts.is_none_or(has_own_uuid)),
            address: self.config.address.clone(),
            role: self.role,
            health: match (self.is_gone, self.is_up()) {
                (true, _) => Health::Gone,
                (false, true) => Health::Up,
                (false, false) => Health::Down,
            },
            lag_ms: self.lag_ms,
            executed: facts.map(|facts| facts.executed.clone()).unwrap_or_default(),
            weight: self.config.weight,
            version: facts.map(|facts| facts.version.clone()).unwrap_or_default(),
            version_number: facts.map_or(0, |facts| facts.version_number),
            read_only: facts.is_some_and(|facts| facts.read_only),
            zone: self.config.zone.clone(),
            queries_per_second: facts.map_or(0, |facts| facts.vitals.queries_per_second),
            threads_connected: facts.map_or(0, |facts| facts.vitals.threads_connected),
            threads_running: facts.map_or(0, |facts| facts.vitals.threads_running),
        }
    }

    pub(super) fn news(&self, before: &(Role, String)) -> Option<Event> {
        if !self.is_up() || (self.role == before.0 && self.note == before.1) {
            return None;
        }
        let role = role_name(self.role);
        if self.note.is_empty() {
            return Some(self.event(false, format!("is {role}")));
        }
        Some(self.event(true, format!("is taken for {role}; {}", self.note)))
    }

    pub(super) fn event(&self, is_trouble: bool, text: String) -> Event {
        Event { is_trouble, backend: self.config.name.clone(), text }
    }
}

fn has_own_uuid(facts: &Facts) -> bool {
    facts.group.is_none() && Flavour::of(facts.version.as_bytes()) == Flavour::Mysql
}

/// None: unknown, so it gets no reads (S66).
pub(super) fn lag_ms(facts: &Facts, trail: Option<&Trail>, now_ms: u64) -> Option<u32> {
    let own = match (&facts.group, facts.channels.as_ref()) {
        (Some(_), _) => evidence::lag_ms(facts)?,
        (None, Ok(channels)) if !channels.is_empty() => evidence::lag_ms(facts)?,
        (None, _) => return None,
    };
    let behind = trail.map_or(0, |trail| trail.behind_ms(now_ms, &facts.executed));
    Some(u32::try_from(own.max(behind)).unwrap_or(u32::MAX))
}
