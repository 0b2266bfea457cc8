//! An expired password (S31): the server lets the client in, if it says that it can handle that, and takes nothing of it but another password.
//!
//! ```text
//!   login, 1820 for the trackers ──► the session keeps this connection ── each command as it is, 1820 ──┐
//!                                          ▲────────────────────────────────────────────────────────────┘
//!                                          └─ one that succeeds ──► the trackers once more: 1820, or a connection like others
//! ```
//! Invariant: the connection is nobody else's, and its session keeps it to the end: another one would be asked for with the
//! former password, which is all that the gate knows. On a replica no password can be changed: there the session stays free.

use crate::engine::Engine;
use crate::link::{Lessee, Link, Tracking};
use crate::session::pins::Reasons;
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::snapshot::Role;

/// `ER_MUST_CHANGE_PASSWORD`.
pub const MUST_CHANGE_PASSWORD: u16 = 1820;

impl Engine {
    /// The gate's first statement on a connection was refused for it.
    pub(crate) fn password_expired(&mut self, link: Key<Link>) {
        let l = &mut self.links[link];
        (l.spoiled, l.tracking) = (true, Tracking::Refused);
        if let Some(Lessee::Session(session)) = l.lessee {
            self.pin_if_expired(session, link);
        }
    }

    #[cold]
    pub(crate) fn pin_if_expired(&mut self, session: Key<Session>, link: Key<Link>) {
        let l = &mut self.links[link];
        if l.tracking == Tracking::Refused && self.snapshot.backend(l.backend).role == Role::Primary {
            l.last_session = Some(session);
            self.pin(session, Reasons::EXPIRED);
        }
    }

    /// Behind a command on a connection that has not the gate's trackers: it gets them, if it can have them. True: the server is asked.
    pub(crate) fn ask_bare(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        if self.links[link].tracking != Tracking::Refused {
            self.take_trackers_back(session, link);
            return true;
        }
        let Phase::Relaying(request) = &self.sessions[session].phase else { return false };
        // It may have been the new password.
        let has_succeeded = request.outcome.error.is_none();
        let asks = has_succeeded && self.sessions[session].pins.reasons().contains(Reasons::EXPIRED);
        if asks {
            self.begin_setup(link);
        }
        asks
    }

    /// Nothing of the session's is taken but another password, not even a reset.
    pub(crate) fn has_expired(&self, session: Key<Session>) -> bool {
        self.sessions[session].lease.is_some_and(|link| self.links[link].tracking == Tracking::Refused)
    }
}
