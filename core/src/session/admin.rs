//! Admins: who is one (`admin_users`), what only they may do, and what they see that others don't.
//!
//! As MySQL does with its privileges PROCESS and CONNECTION_ADMIN: everybody sees and ends sessions of its own user, an admin those of
//! all. MySQL's own rights are not asked: they say nothing of a gate. Without `admin_users` there is no admin here; the admin port, whose
//! account is the gate's own, may do all of it.
//!
//! Invariant: whoever is refused is told which setting would let it, and the audit log is.

use crate::audit::AuditKind;
use crate::engine::Engine;
use crate::session::Session;
use crate::session::refuse::Refusal;
use crate::show::{Show, What};
use crate::slots::Key;
use crate::snapshot::Settings;
use std::sync::Arc;

/// What is for admins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `SET GLOBAL` of the gate's variables.
    Set,
    /// `CREATE`, `ALTER`, `DROP FILTER`.
    Filters,
    /// `SHOW WEIR` of what is everybody's.
    Show(What),
    /// `FLUSH WEIR DIGESTS`.
    Flush,
}

impl Deed {
    /// The end of the sentence "… must be among the gate's admin_users".
    pub fn words(self) -> String {
        match self {
            Deed::Set => "for this operation; SET SESSION sets it for yourself".to_string(),
            Deed::Filters => "to change its filters; SHOW FILTERS shows them".to_string(),
            Deed::Show(what) => format!(
                "to see what all users do (SHOW WEIR {}); SHOW WEIR SESSIONS and PINS show your own, and the admin port shows all",
                what.word()
            ),
            Deed::Flush => "to have the digests of all users forgotten (FLUSH WEIR DIGESTS)".to_string(),
        }
    }
}

impl Engine {
    pub(crate) fn is_admin(&self, session: Key<Session>) -> bool {
        self.snapshot.settings.is_admin(&self.accounts.get(self.sessions[session].account).user)
    }

    /// Err: it is no admin's session, which the audit log has heard. `what`: for that log.
    pub(crate) fn check_admin(&mut self, session: Key<Session>, deed: Deed, what: &str) -> Result<(), Refusal> {
        if self.is_admin(session) {
            return Ok(());
        }
        let why = Refusal::NotAdmin { user: self.user_of(&self.sessions[session]), deed };
        self.audit(session, AuditKind::Denied, Some(why.words().0), what);
        Err(why)
    }

    /// The part of a table that this session may see.
    pub(crate) fn confine(&mut self, session: Key<Session>, mut show: Show) -> Result<Show, Refusal> {
        let what = show.what;
        if what.is_for_admins() {
            return self.check_admin(session, Deed::Show(what), &format!("SHOW WEIR {}", what.word())).map(|()| show);
        }
        if what.is_by_user() && !self.is_admin(session) {
            show.of = Some(Arc::from(&*self.accounts.get(self.sessions[session].account).user));
        }
        Ok(show)
    }
}

impl Settings {
    pub fn is_admin(&self, user: &[u8]) -> bool {
        self.admin_users.split(',').any(|admin| !admin.trim().is_empty() && admin.trim().as_bytes() == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_are_named() {
        let settings = Settings { admin_users: "ops, root".to_string(), ..Settings::default() };
        assert!(settings.is_admin(b"ops") && settings.is_admin(b"root"));
        assert!(!settings.is_admin(b"oops") && !settings.is_admin(b"") && !Settings::default().is_admin(b""));
    }

    /// What is neither everybody's nor by user is for admins: a new table has to be one of them.
    #[test]
    fn each_table_is_for_somebody() {
        for (what, word, _) in What::ALL {
            let is_for_all = matches!(
                what,
                What::Status | What::Backends | What::Pools | What::Topology | What::Variables | What::Filters
            );
            let kinds = [is_for_all, what.is_by_user(), what.is_for_admins()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{word}");
        }
    }
}
