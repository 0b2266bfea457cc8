//! The audit log where sessions pass: logins, ends, kills, refusals, changes of what there is.
//!
//! Cost: off, a branch at each such place, and one behind a statement; none of them is on the way of a plain read or write.

use crate::audit::{AuditEvent, AuditKind};
use crate::engine::{Action, Engine};
use crate::mail::ControlMail;
use crate::session::refuse::Refusal;
use crate::session::{Request, Session};
use crate::slots::Key;
use weir_net::command::Command;
use weir_planner::{Effects, Kind};

impl Engine {
    pub(crate) fn is_audited(&self, kind: AuditKind) -> bool {
        self.snapshot.settings.audit.events.has(kind)
    }

    /// Tells of something about this session, if operators want it.
    pub(crate) fn audit(&mut self, session: Key<Session>, kind: AuditKind, error: Option<u16>, detail: &str) {
        if self.is_audited(kind) {
            let event = self.audit_event(&self.sessions[session], kind, error, detail);
            self.tell_audit(event);
        }
    }

    /// A login that no backend was asked about, so that no account was claimed.
    pub(crate) fn audit_unclaimed(&mut self, session: Key<Session>, user: &[u8]) {
        if self.is_audited(AuditKind::LoginFailed) {
            let mut event = self.audit_event(&self.sessions[session], AuditKind::LoginFailed, Some(1045), "");
            event.user = String::from_utf8_lossy(user).into_owned();
            self.tell_audit(event);
        }
    }

    /// As [`Engine::audit`], of one that is gone.
    pub(crate) fn audit_logout(&mut self, gone: &Session) {
        if gone.has_logged_in && self.is_audited(AuditKind::Logout) {
            let event = self.audit_event(gone, AuditKind::Logout, None, "");
            self.tell_audit(event);
        }
    }

    /// Who may not come in while nothing can be written down.
    pub(crate) fn may_be_audited(&self) -> Result<(), Refusal> {
        let settings = &self.snapshot.settings.audit;
        match settings.refuses && self.tally.is_audit_stuck() {
            true => Err(Refusal::AuditStuck),
            false => Ok(()),
        }
    }

    /// A reply has ended: whether its statement changed what there is.
    pub(crate) fn audit_relayed(&mut self, session: Key<Session>, request: &Request) {
        if !self.is_audited(AuditKind::Ddl) {
            return;
        }
        let Some(plan) = request.plan.as_ref().filter(|_| request.command != Command::StmtPrepare) else { return };
        let sort = match plan.kind {
            Kind::Ddl => "schema",
            Kind::Account => "account",
            Kind::Admin => "server",
            Kind::Multi if plan.effects.contains(Effects::IMPLICIT_COMMIT) => "several",
            _ => return,
        };
        let text = self.digests.text(plan.memo.digest.get()).map(|text| format!("{sort}: {text}"));
        self.audit(session, AuditKind::Ddl, request.outcome.error, text.as_deref().unwrap_or(sort));
    }

    fn audit_event(&self, s: &Session, kind: AuditKind, error: Option<u16>, detail: &str) -> AuditEvent {
        let user = self.accounts.find(s.account).map(|account| String::from_utf8_lossy(&account.user).into_owned());
        AuditEvent {
            kind,
            core: self.core.0,
            connection_id: s.id,
            user: user.unwrap_or_default(),
            peer: s.peer,
            tls: self.wires.get(s.wire).is_some_and(|wire| wire.is_encrypted()),
            schema: String::from_utf8_lossy(self.states.schema_name(s.schema)).into_owned(),
            error,
            detail: detail.to_owned(),
        }
    }

    pub(crate) fn tell_audit(&mut self, event: AuditEvent) {
        self.counters.audit_events += 1;
        self.actions.push_back(Action::Tell(ControlMail::Audit(Box::new(event))));
    }
}
