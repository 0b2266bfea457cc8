//! A reload: the configuration is read again, and what may change while the gate runs changes, on all cores, for no client's harm.
//!
//! ```text
//!   read ─► weigh ─► open files, read certificates ─► adopt ─► one snapshot
//!     └────────┴──── a mistake: nothing has changed ◄┘
//! ```
//! Invariant: all or nothing. Whatever can fail is done before the first change.

use super::Control;
use crate::config::reload::{Reload, Step, weigh};
use crate::config::{Config, Mistakes};
use crate::gate::files;
use crate::{log, notify};

/// What came of a reload, a line for each setting or mistake. With mistakes nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub changed: Vec<String>,
    pub kept: Vec<String>,
    pub mistakes: Vec<String>,
}

impl Control {
    pub(super) fn reload(&mut self) -> Reloaded {
        notify::reloading();
        let outcome = self.read_again().and_then(|read| self.adopt(read));
        let reloaded = outcome.unwrap_or_else(|mistakes| Reloaded { mistakes, ..Reloaded::default() });
        self.tell_reloaded(&reloaded);
        notify::ready(if self.is_draining() { "draining" } else { "serving" });
        reloaded
    }

    fn read_again(&self) -> Result<Config, Vec<String>> {
        match &self.source {
            Some(source) => source.read().map_err(|Mistakes(all)| all.iter().map(ToString::to_string).collect()),
            // Nobody typed it: what holds is what there is.
            None => Ok(self.running_config()),
        }
    }

    /// With what admins have set.
    fn running_config(&self) -> Config {
        Config { settings: self.topology.settings().clone(), ..self.config.clone() }
    }

    fn adopt(&mut self, read: Config) -> Result<Reloaded, Vec<String>> {
        let running = self.running_config();
        let mut reload = weigh(&running, self.topology.configured(), read);
        let Reload { config, backends, .. } = &mut reload;
        files::spell_out(config);
        let news = backends.iter().filter(|step| matches!(step, Step::Add(_))).count();
        if self.topology.len() + news > INDICES_MAX {
            return Err(vec![format!(
                "[[backends]]: more than {INDICES_MAX} have been named since the gate's start: restart it, or upgrade it"
            )]);
        }
        let opened = self.files.prepare(config).map_err(|why| vec![why])?;
        let certificates =
            self.certificates.prepare(&running, config, self.topology.keys()).map_err(|why| vec![why])?;
        log::change(&config.log.filter).map_err(|why| vec![why])?;

        let Reload { config, backends, changed, kept } = reload;
        self.files.adopt(opened);
        self.files.reload();
        self.topology.permit(self.files.held());
        self.filters.reload();
        self.topology.filter(self.filters.held());
        let keys = self.certificates.adopt(&config, certificates);
        self.topology.equip(keys);
        self.topology.configure(config.settings.clone());
        backends.into_iter().for_each(|step| self.take_step(step));
        let (was, is) = (&running.monitor, &config.monitor);
        let is_same = (&was.user, &was.password, was.interval_ms, was.timeout_ms, was.discover)
            == (&is.user, &is.password, is.interval_ms, is.timeout_ms, is.discover);
        if !is_same {
            self.crew.adopt(is);
            self.inquiries.adopt(is);
        }
        self.config = config;
        self.publish();
        Ok(Reloaded { changed, kept, mistakes: Vec::new() })
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Add(config) => {
                self.crew.watch(&config);
                self.topology.add(config, None);
            }
            Step::Remove { name } => {
                if let Some(at) = self.topology.find(&name) {
                    self.crew.dismiss(at);
                    self.topology.remove(at);
                }
            }
            Step::Terms(config) => {
                if let Some(at) = self.topology.find(&config.name) {
                    self.topology.set_terms(at, &config);
                }
            }
        }
    }

    fn tell_reloaded(&mut self, reloaded: &Reloaded) {
        let Reloaded { changed, kept, mistakes } = reloaded;
        changed.iter().for_each(|line| tracing::info!(event = "setting_changed", "{line}"));
        kept.iter().for_each(|line| tracing::warn!(event = "setting_kept", "{line}"));
        mistakes.iter().for_each(|line| tracing::error!(event = "reload_refused", "{line}"));
        if !mistakes.is_empty() {
            let text = format!("nothing has changed, since the configuration has mistakes: {}", mistakes.join("; "));
            self.events.note("reload_refused", "gate", text);
            return;
        }
        let text = match (changed.is_empty(), kept.is_empty()) {
            (true, true) => "no setting is another one; certificates and permissions are read again".to_string(),
            _ => changed.iter().chain(kept).cloned().collect::<Vec<_>>().join("; "),
        };
        tracing::info!(
            event = "reloaded",
            changed = changed.len(),
            kept = kept.len(),
            "the configuration is read again"
        );
        self.events.note("reload", "gate", text);
    }

    /// Certificates whose files were replaced.
    pub(super) fn renew_certificates(&mut self) {
        let (keys, told) = self.certificates.look(&self.config, self.topology.keys());
        for line in told {
            tracing::info!(event = "certificate_renewed", "{line}");
            self.events.note("certificate_renewed", "gate", line);
        }
        if let Some(keys) = keys {
            self.topology.equip(keys);
            self.publish();
        }
    }
}

/// Backends' numbers, which are never given twice: each costs every core a pool.
const INDICES_MAX: usize = 1_024;
