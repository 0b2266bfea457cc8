//! The open primary: on whom statements may begin now, and where servers and their tablets are asked.

use super::{Entry, Topology};
use std::sync::Arc;
use weir_core::snapshot::{Address, BackendId, Keys, Role, Settings};

/// A primary, by whose decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub backend: BackendId,
    /// 0: nobody's.
    pub epoch: u64,
}

impl Topology {
    /// The primary on which statements may begin now.
    pub fn open_primary(&self) -> Option<Open> {
        let mandate = self.mandate();
        let up = |entry: &Entry| entry.role == Role::Primary && entry.is_up() && !entry.is_gone;
        let at = self.entries.iter().position(up).filter(|_| !mandate.is_ending)?;
        Some(Open { backend: BackendId(at as u16), epoch: mandate.epoch })
    }

    /// An admin's `SET GLOBAL`.
    pub fn set_variables(&mut self, values: &[(Box<str>, String)]) {
        let mut settings = (*self.settings).clone();
        values.iter().for_each(|(name, value)| settings.set_variable(name, value, &self.configured));
        self.settings = Arc::new(settings);
        self.is_changed = true;
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configuration was read again: what admins have set since is over.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = Arc::new(settings);
        self.configured = self.settings.clone();
        self.is_changed = true;
    }

    /// As the configuration says, whatever was set since.
    pub fn configured(&self) -> &Settings {
        &self.configured
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Who connects from now on, or is connected to, sees these.
    pub fn equip(&mut self, keys: Keys) {
        (self.keys, self.is_changed) = (keys, true);
    }

    /// The backend of this name that was not taken out.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| !entry.is_gone && entry.config.name == name)
    }

    pub fn name(&self, backend: usize) -> Option<&str> {
        Some(&self.entries.get(backend)?.config.name)
    }

    /// Where its tablet is, if it has one, and where the server is.
    pub fn place(&self, backend: usize) -> Option<(Option<String>, Address)> {
        let config = &self.entries.get(backend)?.config;
        Some((config.tablet.clone(), config.address.clone()))
    }
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Unknown => "unknown",
    }
}
