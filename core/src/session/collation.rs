//! Collations, as far as statements say them and trackers do not (S22).
//!
//! `SET NAMES x COLLATE y` is reported as three character sets. MariaDB since 11 may also report a character set where a
//! collation was set, and the other way round: it keeps both in one place, and names the one that it named first on that
//! connection (seen on 11.8).

use crate::engine::Engine;
use crate::link::Link;
use crate::session::pins::Reasons;
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::state::{BY_NAMES, CHOSEN, NAMES_COLLATION};
use weir_planner::{Assign, Scope};

impl Engine {
    /// `SET NAMES x COLLATE y`: the server reports the character sets and not the collation, so the statement says it.
    pub(crate) fn absorb_collation(&mut self, session: Key<Session>, link: Key<Link>) {
        let Phase::Relaying(request) = &self.sessions[session].phase else { return };
        let Some(plan) = request.plan.clone() else { return };
        let last_charset = plan.assigns.iter().rposition(|assign| is(assign, "character_set_connection"));
        let chosen = self.sessions[session].facts.chooses_collations().then_some(CHOSEN);
        if last_charset.is_none() && chosen.is_none() {
            return;
        }
        let mut state = self.links[link].state;
        let is_names = |assigns: &[Assign]| assigns.iter().map(|assign| &*assign.name).eq(BY_NAMES);
        for (at, assign) in plan.assigns.iter().enumerate().filter(|(_, assign)| is(assign, "collation_connection")) {
            let collation = said(assign);
            let before = &plan.assigns[at.saturating_sub(BY_NAMES.len())..at];
            if is_names(before) {
                state = self.states.with_or_without(state, NAMES_COLLATION, collation.or(chosen));
            } else if chosen.is_some() && !assign.literal {
                // Computed, or the database's (`SET CHARACTER SET`): such a server may name the character set in its place.
                self.pin(session, Reasons::VARIABLE);
            }
            // A character set behind it brings its own along.
            if last_charset.is_none_or(|last| last < at) {
                state = self.states.with_or_without(state, "collation_connection", collation);
            }
        }
        let of_server = plan.assigns.iter().rfind(|assign| chosen.is_some() && is(assign, "collation_server"));
        if let Some(assign) = of_server {
            state = self.states.with_or_without(state, "collation_server", said(assign));
            if !assign.literal {
                self.pin(session, Reasons::VARIABLE);
            }
        }
        self.links[link].state = state;
        self.sessions[session].state = state;
    }
}

fn is(assign: &Assign, name: &str) -> bool {
    &*assign.name == name && assign.scope == Scope::Session
}

/// None: the default.
fn said(assign: &Assign) -> Option<&[u8]> {
    assign.value.as_deref().map(unquoted).filter(|name| !name.eq_ignore_ascii_case(b"default"))
}

/// Of a literal.
pub(super) fn unquoted(value: &[u8]) -> &[u8] {
    let bare = value.trim_ascii();
    match bare {
        [b'\'' | b'"', inner @ .., _] => inner,
        _ => bare,
    }
}
