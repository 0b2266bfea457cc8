//! Roles that a session has chosen travel with it: `SET ROLE` is said again in front, by itself, before anything else (S22, S31).
//!
//! Invariant: no connection is shared with roles that its user has not chosen: the way back is a new login, since a reset
//! leaves roles active. Who has chosen some reads from the primary: a grant may not have reached the replicas.

use crate::engine::Engine;
use crate::link::Link;
use crate::session::Session;
use crate::slots::Key;
use crate::state::{NAMES_COLLATION, StateId};
use weir_planner::{Plan, Scope};

/// Variables that everybody may set, with whatever roles (MySQL 9.7, "System Variable Privileges"). Another one may have been
/// set by the power of roles that are gone now, and could not be set again.
const FREE: [&str; 20] = [
    NAMES_COLLATION,
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "foreign_key_checks",
    "group_concat_max_len",
    "innodb_lock_wait_timeout",
    "lc_time_names",
    "lock_wait_timeout",
    "max_execution_time",
    "net_read_timeout",
    "net_write_timeout",
    "role",
    "sql_mode",
    "time_zone",
    "transaction_isolation",
    "transaction_read_only",
    "wait_timeout",
];

impl Engine {
    /// `SET ROLE` has succeeded. False: it cannot be said again elsewhere.
    pub(crate) fn settle_role(&mut self, session: Key<Session>, link: Key<Link>, plan: &Plan) -> bool {
        let said = plan.assigns.iter().rfind(|assign| assign.scope == Scope::Role).filter(|_| plan.statements == 1);
        let role = said.and_then(|assign| assign.value.clone());
        let before = self.links[link].state;
        // Where it cannot be said again, its connection is kept; after a reset the session then has no roles.
        let state = self.states.with_role(before, Some(role.as_deref().unwrap_or(b"NONE")));
        self.links[link].state = state;
        let s = &mut self.sessions[session];
        (s.state, s.has_role) = (state, true);
        role.is_some() && self.has_free_variables_only(before)
    }

    /// Roles can be changed in this state without anything becoming unchangeable.
    pub(crate) fn has_free_variables_only(&self, state: StateId) -> bool {
        self.states.variables(state).iter().all(|(name, _)| FREE.contains(&&**name))
    }
}
