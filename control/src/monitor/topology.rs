//! The topology: what all looks together say about who is what.
//!
//! Invariant: at most one backend is up and primary in any snapshot. Generations grow; a snapshot is made only when it
//! says something that cores must know (roles, health, executed sets, eligibility for reads, the face).

mod entry;
pub mod open;
pub mod ordained;
pub mod reign;
pub mod views;

pub use open::{Open, role_name};
pub use ordained::Ordained;

use super::facts::Facts;
use super::fault::Fault;
use super::standing::Standing;
use super::trail::Trail;
use crate::config::{BackendConfig, Config};
use crate::controller::record::Wanted;
use entry::{Entry, Told, lag_ms};
use reign::Reign;
use std::sync::Arc;
use views::Views;
use weir_core::filters::Filters;
use weir_core::permissions::Permissions;
use weir_core::snapshot::{Address, BackendId, BackendView, Face, Keys, Mandate, Role, Settings, Snapshot};
use weir_net::gtid::GtidSet;

pub struct Topology {
    generation: u64,
    entries: Vec<Entry>,
    /// The primary that the trail belongs to.
    trail_of: Option<usize>,
    trail: Trail,
    settings: Arc<Settings>,
    /// As the configuration says, whatever was set since.
    configured: Arc<Settings>,
    keys: Keys,
    face: Face,
    /// Who may be primary, if somebody decides that.
    ordained: Option<Ordained>,
    /// Where nobody decides it: who was believed last. None: controllers will decide.
    reign: Option<Reign>,
    /// The newest views of replication groups.
    views: Views,
    permissions: Option<Permissions>,
    filters: Option<Filters>,
    /// Something else than a backend has changed.
    is_changed: bool,
    /// What the last snapshot said.
    told: Vec<Told>,
    told_mandate: Mandate,
}

/// Something that an operator should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub is_trouble: bool,
    pub backend: String,
    pub text: String,
}

impl Topology {
    pub fn new(config: &Config, keys: Keys) -> Topology {
        Topology {
            generation: 0,
            entries: config.backends.iter().map(|config| Entry::new(config.clone(), None)).collect(),
            trail_of: None,
            trail: Trail::default(),
            settings: Arc::new(config.settings.clone()),
            configured: Arc::new(config.settings.clone()),
            keys,
            face: Face { version: String::new(), charset: DEFAULT_CHARSET, native_password: false },
            ordained: None,
            reign: config.controllers.is_none().then(Reign::default),
            views: Views::default(),
            permissions: None,
            filters: None,
            is_changed: false,
            told: Vec::new(),
            told_mandate: Mandate::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// From now on only this one is believed to be primary, and only by its own evidence too.
    pub fn ordain(&mut self, ordained: Ordained) {
        self.ordained = Some(ordained);
        self.judge_roles();
    }

    /// What the gate's users may do from the next snapshot on.
    pub fn permit(&mut self, permissions: Option<Permissions>) {
        (self.permissions, self.is_changed) = (permissions, true);
    }

    /// What statements pass from the next snapshot on.
    pub fn filter(&mut self, filters: Option<Filters>) {
        (self.filters, self.is_changed) = (filters, true);
    }

    pub fn filters(&self) -> Option<&Filters> {
        self.filters.as_ref()
    }

    /// Weight, zone, role and what it may become are from now on those of `config`.
    pub fn set_terms(&mut self, backend: usize, config: &BackendConfig) {
        if let Some(entry) = self.entries.get_mut(backend) {
            (entry.config.weight, entry.config.wanted) = (config.weight, config.wanted);
            entry.config.role = config.role;
            entry.config.zone.clone_from(&config.zone);
            self.judge_roles();
        }
    }

    /// Another backend, found while the gate runs. Its index is the next one, and stays.
    pub fn add(&mut self, config: BackendConfig, uuid: Option<String>) -> usize {
        self.entries.push(Entry::new(config, uuid));
        self.entries.len() - 1
    }

    /// Takes a backend out for good: idle connections close, leased ones end with their transaction.
    pub fn remove(&mut self, backend: usize) {
        if let Some(entry) = self.entries.get_mut(backend) {
            (entry.is_gone, entry.facts) = (true, None);
            entry.note = "was taken out".to_string();
            self.judge_roles();
        }
    }

    /// Its tablet says where gates find it.
    pub fn handle_found(&mut self, backend: usize, address: Address) {
        if let Some(entry) = self.entries.get_mut(backend) {
            entry.config.address = address;
        }
    }

    /// Its tablet is silent: the last word holds (S78), but a replica's delay is unknown now (S66).
    pub fn handle_stale(&mut self, now_ms: u64, backend: usize) -> Vec<Event> {
        let Some(entry) = self.entries.get_mut(backend) else { return Vec::new() };
        entry.is_looked_at = true;
        if std::mem::replace(&mut entry.is_stale, true) || entry.is_gone {
            return Vec::new();
        }
        let event = entry.event(true, "is told of by nobody: its tablet is silent; the last word holds".to_string());
        self.judge_lags(now_ms);
        vec![event]
    }

    /// A backend of this address, or the server of this uuid.
    pub fn is_known(&self, address: &Address, uuid: &str) -> bool {
        let is_it = |entry: &Entry| {
            entry.config.address == *address
                || entry.facts.as_ref().is_some_and(|facts| facts.server_uuid == uuid)
                || entry.uuid.as_deref() == Some(uuid)
        };
        self.entries.iter().any(is_it)
    }

    /// A look, or why there was none. Returns what has changed.
    pub fn handle_look(&mut self, now_ms: u64, backend: usize, outcome: Result<Box<Facts>, Fault>) -> Vec<Event> {
        if self.entries.get(backend).is_none_or(|entry| entry.is_gone) {
            return Vec::new();
        }
        let before: Vec<(Role, String)> = self.entries.iter().map(|entry| (entry.role, entry.note.clone())).collect();
        let entry = &mut self.entries[backend];
        let was_up = entry.is_up();
        let was_looked_at = std::mem::replace(&mut entry.is_looked_at, true);
        entry.is_stale = false;
        match outcome {
            Ok(facts) => (entry.facts, entry.fault) = (Some(facts), None),
            Err(fault) => (entry.facts, entry.fault) = (None, Some(fault)),
        }
        let mut events = Vec::new();
        let entry = &self.entries[backend];
        match (&entry.fault, was_up || !was_looked_at) {
            (Some(fault), true) => events.push(entry.event(true, format!("is down: {fault}"))),
            (None, _) if !was_up => events.push(entry.event(false, format!("is up, version {}", entry.version()))),
            _ => {}
        }
        if entry.facts.as_ref().is_some_and(|facts| facts.standing == Standing::ServerRestarted) {
            events.push(entry.event(false, "was restarted".to_string()));
        }
        self.judge_roles();
        self.judge_reign(now_ms);
        self.judge_lags(now_ms);
        events.extend(self.entries.iter().zip(before).filter_map(|(entry, before)| entry.news(&before)));
        events
    }

    /// Only its executed set, from between two looks.
    pub fn handle_executed(&mut self, now_ms: u64, backend: usize, executed: Arc<GtidSet>) {
        if let Some(facts) = self.entries.get_mut(backend).and_then(|entry| entry.facts.as_mut()) {
            facts.executed = executed;
            self.judge_lags(now_ms);
        }
    }

    fn judge_roles(&mut self) {
        for group in self.entries.iter().filter_map(|entry| entry.facts.as_ref()?.group.as_ref()) {
            self.views.handle(group);
        }
        for entry in &mut self.entries {
            entry.is_outdated = entry
                .facts
                .as_ref()
                .and_then(|facts| facts.group.as_ref())
                .is_some_and(|group| self.views.is_outdated(group));
        }
        let is_pinned = |entry: &Entry| !entry.is_gone && entry.config.role == Some(Role::Primary);
        let pinned = self.entries.iter().position(is_pinned);
        let candidates: Vec<usize> = (0..self.entries.len()).filter(|at| self.entries[*at].is_candidate()).collect();
        let ordained = self.ordained.clone();
        let names: Vec<String> = candidates.iter().map(|at| self.entries[*at].config.name.clone()).collect();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if !entry.is_up() {
                // What it was: shown, but nobody is sent to a backend that is down.
                entry.note = entry.fault.as_ref().map_or(String::new(), |fault| fault.why.clone());
                continue;
            }
            let (role, note) = entry.evidence();
            (entry.role, entry.note) = match (entry.config.role, role) {
                // No pin makes a group commit.
                (Some(_), Role::Unknown) if entry.is_out_of_group() => (role, note),
                (Some(role), _) => (role, entry.pinned_note(role)),
                (None, Role::Primary) if pinned.is_some_and(|pinned| pinned != at) => {
                    (Role::Unknown, "is writable, but another backend is pinned as primary".to_string())
                }
                (None, Role::Primary) if entry.config.wanted == Wanted::Replica => {
                    (Role::Unknown, "is writable, but wanted as replica only: make it read-only".to_string())
                }
                (None, Role::Primary) if ordained.is_some() => {
                    ordained.as_ref().map_or((role, note), |ordained| ordained.judge(&entry.config.name))
                }
                (None, Role::Primary) if candidates.len() > 1 => (Role::Unknown, conflict(&names)),
                (None, role) => (role, note),
            };
        }
    }

    /// Without controllers the evidence alone says who follows whom (S75).
    fn judge_reign(&mut self, now_ms: u64) {
        let primary = self.entries.iter().position(|entry| entry.is_up() && entry.role == Role::Primary);
        let uuid = primary.and_then(|at| self.entries[at].writer_bytes());
        if let Some(reign) = self.reign.as_mut() {
            let entries = &self.entries;
            reign.handle(now_ms, primary.map(|at| (BackendId(at as u16), uuid)), |at| {
                entries[usize::from(at.0)].is_up()
            });
        }
    }

    fn judge_lags(&mut self, now_ms: u64) {
        let primary = self.entries.iter().position(|entry| entry.is_up() && entry.role == Role::Primary);
        if let Some(at) = primary
            && let Some(facts) = &self.entries[at].facts
        {
            if self.trail_of != Some(at) {
                self.trail.clear();
                self.trail_of = Some(at);
            }
            self.trail.handle_primary(now_ms, &facts.executed);
        }
        // Without a primary nobody gets later than they were: reads go on.
        let trail = primary.is_some().then_some(&self.trail);
        for entry in &mut self.entries {
            entry.lag_ms = match (&entry.facts, entry.role) {
                (Some(_), Role::Replica) if entry.is_stale => None,
                (Some(facts), Role::Replica) => lag_ms(facts, trail, now_ms),
                (Some(_), Role::Primary) => Some(0),
                _ => None,
            };
        }
    }

    /// The next snapshot, if it would say something new.
    pub fn news(&mut self) -> Option<Arc<Snapshot>> {
        let told: Vec<Told> = self.entries.iter().map(|entry| entry.told(&self.settings)).collect();
        let (face, mandate) = (self.face_now(), self.mandate());
        let is_same = told == self.told && face == self.face && mandate == self.told_mandate;
        let is_changed = std::mem::take(&mut self.is_changed) || !is_same;
        if self.generation > 0 && !is_changed {
            return None;
        }
        (self.told, self.face, self.told_mandate) = (told, face, mandate);
        self.generation += 1;
        Some(Arc::new(self.snapshot()))
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            generation: self.generation,
            backends: self.views(),
            settings: self.settings.clone(),
            keys: self.keys.clone(),
            face: self.face.clone(),
            permissions: self.permissions.clone(),
            filters: self.filters.clone(),
            mandate: self.mandate(),
        }
    }

    /// The controllers' word, in the cores' terms.
    fn mandate(&self) -> Mandate {
        let Some(ordained) = &self.ordained else {
            return self.reign.as_ref().map(Reign::mandate).unwrap_or_default();
        };
        let name = ordained.primary.as_deref();
        let at = self.entries.iter().position(|entry| !entry.is_gone && Some(&*entry.config.name) == name);
        ordained.mandate(at.map(|at| (BackendId(at as u16), self.entries[at].writer_bytes())))
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn views(&self) -> Vec<BackendView> {
        self.entries.iter().enumerate().map(|(at, entry)| entry.view(BackendId(at as u16))).collect()
    }

    pub fn note(&self, backend: usize) -> &str {
        &self.entries[backend].note
    }

    /// The primary's uuid; while there is none, that of the last one.
    pub fn source(&self) -> Option<[u8; 16]> {
        let facts = self.entries.get(self.trail_of?)?.facts.as_ref()?;
        facts.next_source().filter(|_| !facts.server_uuid.is_empty())
    }

    /// There was a primary, and there is none.
    pub fn seeks_primary(&self) -> bool {
        self.trail_of.is_some() && !self.entries.iter().any(|entry| entry.is_up() && entry.role == Role::Primary)
    }

    /// The one that the controllers call primary can be seen, and says that it is read-only.
    pub fn is_holder_read_only(&self) -> bool {
        let name = self.ordained.as_ref().and_then(|ordained| ordained.primary.as_deref());
        let is_it = |entry: &&Entry| entry.is_up() && Some(&*entry.config.name) == name;
        let facts = self.entries.iter().find(is_it).and_then(|entry| entry.facts.as_ref());
        facts.is_some_and(|facts| facts.read_only)
    }

    /// Somebody can be sent somewhere.
    pub fn is_usable(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_up() && entry.role != Role::Unknown)
    }

    pub fn is_any_up(&self) -> bool {
        self.entries.iter().any(Entry::is_up)
    }

    pub fn is_all_looked_at(&self) -> bool {
        self.entries.iter().all(|entry| entry.is_looked_at)
    }

    /// Every backend is down, and waiting will not help.
    pub fn is_hopeless(&self) -> bool {
        self.entries.iter().all(|entry| entry.fault.as_ref().is_some_and(|fault| fault.is_lasting))
    }

    /// Those that are down, each with its reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let reason = |entry: &Entry| match &entry.fault {
            Some(fault) => Some((entry.config.name.clone(), fault.to_string())),
            None if entry.is_looked_at => None,
            None => Some((entry.config.name.clone(), "no answer yet".to_string())),
        };
        self.entries.iter().filter_map(reason).collect()
    }

    /// The lowest of what the backends are (S49). While all are down it stays what it was.
    fn face_now(&self) -> Face {
        let up = || self.entries.iter().filter_map(|entry| entry.facts.as_deref());
        match up().min_by_key(|facts| facts.version_number) {
            None => self.face.clone(),
            Some(lowest) => Face {
                version: lowest.version.clone(),
                charset: lowest.charset,
                native_password: up().all(|facts| facts.native_password),
            },
        }
    }
}

fn conflict(names: &[String]) -> String {
    format!(
        "is writable and replicates from nobody, and so are others ({}): make all but one read-only, or set role = \
         \"primary\" for the right one",
        names.join(", ")
    )
}

/// `utf8mb4_0900_ai_ci`, until a backend has said its own.
const DEFAULT_CHARSET: u8 = 255;

#[cfg(test)]
mod tests;
