//! `SET GLOBAL` of the gate's own variables: for the whole gate, on all its cores, until it restarts (S08, S60).
//!
//! ```text
//!   a core ── SetGlobal{user, values} ──► control: the settings, a snapshot to all cores
//!          ◄──────────── GlobalSet ────── behind the snapshot: who has the answer reads the new value
//! ```
//! Invariant: all of a statement's values are checked before anything is set. Sessions that have set a variable themselves keep their
//! value, the others follow at once (in MySQL only new ones do: there a session copies all values when it begins).

use crate::audit::AuditKind;
use crate::engine::{Action, Engine};
use crate::mail::ControlMail;
use crate::session::admin::Deed;
use crate::session::refuse::Refusal;
use crate::session::wishes::{Policy, Wishes};
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use crate::snapshot::Settings;
use weir_net::gtid::GtidSet;
use weir_planner::GateSet;

/// What a statement sets, checked.
pub struct Wanted {
    wishes: Wishes,
    token: Option<GtidSet>,
    /// Name and value.
    global: Vec<(Box<str>, String)>,
}

impl Engine {
    pub(crate) fn set_gate(&mut self, session: Key<Session>, request: Box<Request>, values: &[GateSet]) {
        match self.wanted(session, values) {
            Err(why) => self.refuse(session, request, &why),
            Ok(wanted) if wanted.global.is_empty() => self.gate_is_set(session, request, wanted),
            Ok(wanted) => self.ask_control(session, request, wanted),
        }
    }

    fn wanted(&mut self, session: Key<Session>, values: &[GateSet]) -> Result<Wanted, Refusal> {
        let wishes = self.sessions[session].wishes;
        let mut wanted = Wanted { wishes, token: None, global: Vec::new() };
        for set in values {
            let GateSet { global, name, value } = set;
            let (text, bad) = (bare(value), || bad(name, value));
            match (*global, &**name) {
                (true, _) => wanted.global.push(check(set)?),
                (false, DIGEST_LIMIT) => return Err(Refusal::GlobalVariable(name.to_string())),
                (false, TOKEN) => wanted.token = Some(GtidSet::parse(text.as_bytes()).map_err(|_| bad())?),
                (false, _) => wanted.wishes.set(name, &text).then_some(()).ok_or_else(bad)?,
            }
        }
        if !wanted.global.is_empty() {
            self.check_admin(session, Deed::Set, "SET GLOBAL")?;
        }
        Ok(wanted)
    }

    fn ask_control(&mut self, session: Key<Session>, request: Box<Request>, mut wanted: Wanted) {
        self.settings_next += 1;
        let token = self.settings_next;
        let user = Box::from(&*self.accounts.get(self.sessions[session].account).user);
        let values = std::mem::take(&mut wanted.global);
        for (name, value) in &values {
            self.audit(session, AuditKind::Admin, None, &format!("{name} = {value}"));
        }
        self.actions.push_back(Action::Tell(ControlMail::SetGlobal { token, user, values }));
        self.setters.insert(token, session);
        self.sessions[session].phase = Phase::Setting(request, Box::new(wanted));
    }

    pub(crate) fn global_set(&mut self, token: u64) {
        let Some(session) = self.setters.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Setting(request, wanted) => self.gate_is_set(session, request, *wanted),
            other => s.phase = other,
        }
    }

    fn gate_is_set(&mut self, session: Key<Session>, request: Box<Request>, wanted: Wanted) {
        let s = &mut self.sessions[session];
        s.wishes = wanted.wishes;
        if let Some(set) = wanted.token {
            // A token moves on to another gate: what it says, this session has written.
            s.freshness.needs.merge(&set);
        }
        self.answer_statement(session, request);
    }

    /// The value as `@@name` or `@@GLOBAL.name` shows it.
    pub(crate) fn gate_setting(&self, session: Key<Session>, is_global: bool, name: &str) -> Vec<u8> {
        let s = &self.sessions[session];
        match (name, is_global) {
            (TOKEN, _) => s.freshness.needs.to_string().into_bytes(),
            (_, true) => Wishes::default().show(name, &self.snapshot.settings).into_bytes(),
            (_, false) => s.wishes.show(name, &self.snapshot.settings).into_bytes(),
        }
    }
}

impl Settings {
    /// Sets one of the gate's variables as [`Wishes::set`] has found right; `DEFAULT` is what was configured.
    pub fn set_variable(&mut self, name: &str, value: &str, configured: &Settings) {
        let mut wishes = Wishes::default();
        wishes.set(name, value);
        match name {
            "read_after_write_consistency" => {
                self.consistency = wishes.consistency.unwrap_or(configured.consistency);
            }
            "read_after_write_timeout" => {
                self.read_after_write_ms_max = wishes.timeout_ms.unwrap_or(configured.read_after_write_ms_max);
            }
            "read_write_splitting_policy" => match wishes.policy.unwrap_or_else(|| Policy::of_settings(configured)) {
                Policy::Disable => self.read_write_splitting = false,
                Policy::Balance(balance) => (self.read_write_splitting, self.balance) = (true, balance),
            },
            DIGEST_LIMIT => self.digest_running_max = value.parse().unwrap_or(configured.digest_running_max),
            "read_write_splitting_ratio" => {
                self.read_write_splitting_ratio = wishes.ratio.unwrap_or(configured.read_write_splitting_ratio);
            }
            _ => {
                self.split_read_only_transactions =
                    wishes.split_read_only.unwrap_or(configured.split_read_only_transactions);
            }
        }
    }
}

/// One assignment of a `SET GLOBAL`: its name and value, if that can be.
pub fn check(GateSet { name, value, .. }: &GateSet) -> Result<(Box<str>, String), Refusal> {
    if !is_global(name) {
        return Err(Refusal::SessionVariable(name.to_string()));
    }
    let text = bare(value);
    match Wishes::default().set(name, &text) {
        true => Ok((name.clone(), text)),
        false => Err(bad(name, value)),
    }
}

fn bad(name: &str, value: &[u8]) -> Refusal {
    Refusal::BadGateSetting { name: name.to_string(), value: String::from_utf8_lossy(value).into_owned() }
}

/// Without its quotes.
fn bare(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(|c| c == '\'' || c == '"').to_string()
}

/// Whether `SET GLOBAL` may set it; the rest is a session's own.
pub fn is_global(name: &str) -> bool {
    name != TOKEN
}

const TOKEN: &str = "read_after_write_gtid";

/// The gate's alone: a session has none of its own.
pub(crate) const DIGEST_LIMIT: &str = "digest_running_max";

#[cfg(test)]
mod tests {
    use super::*;
    use weir_planner::Consistency;

    #[test]
    fn globals_are_set_and_go_back_to_what_was_configured() {
        let configured = Settings { read_write_splitting_ratio: 70, ..Settings::default() };
        let mut settings = configured.clone();
        for (name, value) in [
            ("read_after_write_consistency", "GLOBAL"),
            ("read_after_write_timeout", "0.5"),
            ("read_write_splitting_policy", "disable"),
            ("read_write_splitting_ratio", "10"),
            ("enable_read_write_splitting_for_read_only_txn", "ON"),
            ("digest_running_max", "7"),
        ] {
            settings.set_variable(name, value, &configured);
            assert_ne!(Wishes::default().show(name, &settings), Wishes::default().show(name, &configured), "{name}");
        }
        assert_eq!((settings.consistency, settings.read_after_write_ms_max), (Consistency::Global, 500));
        for name in weir_planner::gate_variables().filter(|name| *name != TOKEN) {
            settings.set_variable(name, "DEFAULT", &configured);
            assert_eq!(Wishes::default().show(name, &settings), Wishes::default().show(name, &configured), "{name}");
        }
    }
}
