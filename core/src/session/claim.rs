//! Claims at the door: a connection that comes too soon after others, a password after too many wrong ones.
//!
//! ```text
//!   accept, PROXY header ─► comes_too_fast ─► greeting … ─► claim ─┬───────────────────────► Verify
//!                              └─ 1040                             ├─ Greet::Held ── time ──►
//!                                                                  └─ 1129: too many of this address are held
//! ```
//! Invariant: a claim that is held has no account's connection, no place in a line and no timer but its session's.

use crate::audit::AuditKind;
use crate::engine::Engine;
use crate::mail::Level;
use crate::session::refuse::Refusal;
use crate::session::{Greet, Peer, Phase, Session, VerifyCause};
use crate::slots::Key;
use crate::tally::failures::Admission;
use crate::tally::rates::TooFast;

/// A password that was claimed, and how its client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub seq: u8,
    /// As in [`crate::session::Verify`].
    pub fast: bool,
    pub cause: VerifyCause,
}

impl Engine {
    /// As soon as it is known who the client is: whether more have come than may.
    pub(crate) fn comes_too_fast(&mut self, peer: Peer) -> Result<(), Refusal> {
        let settings = self.snapshot.settings.connects;
        if settings == Default::default() {
            return Ok(());
        }
        let come = self.tally.rates().come(self.now, peer.origin(), settings);
        match come {
            Ok(()) => return Ok(()),
            Err(TooFast::Gate) => self.counters.clients_too_fast += 1,
            Err(TooFast::Address) => self.counters.clients_too_fast_of_address += 1,
        }
        self.counters.clients_refused += 1;
        let (setting, limit) = match come {
            Err(TooFast::Address) => ("connects_per_address_per_s_max", settings.per_address_per_s_max),
            _ => ("connects_per_s_max", settings.per_s_max),
        };
        Err(Refusal::TooFast { setting, limit })
    }

    /// Puts a claim to a backend, at once or later.
    pub(crate) fn claim(&mut self, session: Key<Session>, claim: Claim) {
        let settings = self.snapshot.settings.logins;
        let Claim { seq, fast, cause } = claim;
        if settings.failures_max == 0 {
            return self.verify(session, seq, fast, cause);
        }
        let s = &self.sessions[session];
        let (peer, user) = (s.peer, self.accounts.get(s.account).user.clone());
        let admission = self.tally.failures().admit(self.now, &user, peer.origin(), &settings);
        match admission {
            Admission::Now => self.verify(session, seq, fast, cause),
            Admission::After { ms, failures, is_first } => {
                self.counters.logins_put_off += 1;
                if is_first {
                    let user = String::from_utf8_lossy(&user).into_owned();
                    let detail =
                        format!("'{user}'@'{}': {failures} in a row failed, this one waits {ms} ms", peer.host());
                    self.log(Level::Warn, "logins are put off", detail);
                }
                self.sessions[session].phase = Phase::Greet(Greet::Held(claim));
                self.arm_session(session, self.now.plus_ms(ms));
            }
            Admission::Refused { ms } => {
                self.counters.logins_put_off_refused += 1;
                self.audit(session, AuditKind::LoginFailed, Some(1129), cause.word());
                self.part_with(session, seq, &Refusal::HostHeld { host: peer.host(), ms });
            }
        }
    }

    /// It has been held for long enough.
    pub(crate) fn claim_due(&mut self, session: Key<Session>) {
        let s = &self.sessions[session];
        let Phase::Greet(Greet::Held(Claim { seq, fast, cause })) = s.phase else { return };
        self.tally.failures().released(s.peer.origin());
        self.arm_session(session, self.now.plus_ms(self.snapshot.settings.handshake_ms_max));
        self.verify(session, seq, fast, cause);
    }

    pub(crate) fn login_failed(&mut self, session: Key<Session>, user: &[u8]) {
        if self.snapshot.settings.logins.failures_max > 0 {
            self.tally.failures().failed(self.now, user, self.sessions[session].peer.origin());
        }
    }

    pub(crate) fn login_succeeded(&mut self, session: Key<Session>) {
        if self.snapshot.settings.logins.failures_max > 0 {
            let s = &self.sessions[session];
            self.tally.failures().succeeded(self.now, &self.accounts.get(s.account).user, s.peer.origin());
        }
    }
}
