//! Proving a claim: a backend logs the client's account in, with the password that the client gave (S31, S47).
//!
//! There is no user list to keep in step: each login is confirmed by a fresh login or a change of user on a connection
//! of the pool, so a changed or locked account counts at once. It costs one round trip of the gate, not of the client.

use crate::audit::AuditKind;
use crate::engine::Engine;
use crate::link::Link;
use crate::mail::{CoreId, Mail};
use crate::session::farewell::Parting;
use crate::session::pins::Reasons;
use crate::session::{Phase, Session, Verify, VerifyCause};
use crate::slots::Key;
use crate::snapshot::{BackendId, BackendView, Health, Role};
use crate::state::{SchemaId, StateId};
use weir_net::flags::Status;
use weir_net::outcome::{ErrPacket, OkPacket};
use weir_net::track::{Track, put_track};

impl Engine {
    pub(crate) fn verify(&mut self, session: Key<Session>, seq: u8, fast: bool, cause: VerifyCause) {
        let attributes = self.sessions[session].attributes.clone();
        self.accounts.describe(self.sessions[session].account, attributes);
        let claimed_at = self.now;
        self.sessions[session].phase = Phase::Verify(Box::new(Verify { seq, fast, cause, claimed_at, ticket: None }));
        let Some(backend) = self.judge() else {
            // Nobody can say: the login waits, as statements do (S74), as long as a login may take.
            self.waits_for_primary(session);
            return;
        };
        self.acquire_to_verify(session, backend);
    }

    /// The backend that is asked whether a login is right: the primary, else any that is up.
    fn judge(&self) -> Option<BackendId> {
        let up = |b: &&BackendView| b.health == Health::Up;
        let find = |fits: &dyn Fn(&&BackendView) -> bool| self.snapshot.backends.iter().find(|b| up(b) && fits(b));
        let other = || find(&|b| b.role != Role::Unknown).or_else(|| find(&|_| true)).map(|b| b.id);
        self.open_primary().or_else(other)
    }

    /// The session that verifies has a connection: fresh for this claim, or to be made so.
    pub(crate) fn verify_on(&mut self, session: Key<Session>, link: Key<Link>) {
        let Phase::Verify(verify) = &mut self.sessions[session].phase else { return };
        verify.ticket = None;
        let claimed_at = verify.claimed_at;
        let (account, schema) = (self.sessions[session].account, self.sessions[session].schema);
        if self.keep_insert_id(link, Some(session)) {
            return;
        }
        let l = &self.links[link];
        // Another may have had it since it was opened: its status tells of the server's defaults only while nothing is set on it.
        let is_new = l.state == StateId(0);
        if l.account == account && l.proved_at >= claimed_at && l.schema == schema && is_new {
            return self.verified(session);
        }
        self.change_user(link, account, schema);
    }

    /// A backend has accepted the claim.
    pub(crate) fn verified(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        let Phase::Verify(verify) = std::mem::replace(&mut s.phase, Phase::Ready) else { return };
        let (account, compression) = (s.account, s.compression);
        self.login_succeeded(session);
        if let Err(why) = self.may_be_audited().and_then(|()| self.take_seat(session)) {
            self.audit(session, AuditKind::LoginFailed, Some(why.words().0), "");
            return self.part_with(session, verify.seq, &why);
        }
        self.sessions[session].has_logged_in = true;
        self.audit(session, AuditKind::Login, None, verify.cause.word());
        if self.accounts.prove(self.now, account) {
            self.spread_credential(account);
        }
        let link = self.sessions[session].lease.expect("verified on a leased link");
        let status = self.links[link].status.intersect(Status::AUTOCOMMIT);
        let escapes_off = self.links[link].status.contains(Status::NO_BACKSLASH_ESCAPES);
        let s = &mut self.sessions[session];
        s.status = status;
        (s.facts.no_backslash_escapes, s.escapes_off_by_default) = (escapes_off, escapes_off);
        let mut seq = verify.seq;
        if verify.fast {
            seq = self.say_packet(session, seq, &[0x01, 0x03]);
        }
        let s = &self.sessions[session];
        let mut track = Vec::new();
        if s.schema != SchemaId(0) {
            put_track(&mut track, &Track::Schema(self.states.schema_name(s.schema)));
        }
        let mut ok = Vec::new();
        OkPacket { status, track: &track, ..OkPacket::default() }.encode(&mut ok, s.caps);
        self.say_packet(session, seq, &ok);
        if let (VerifyCause::Login, Some(agreed)) = (verify.cause, compression) {
            self.compress_client(session, agreed);
        }
        self.pin_if_expired(session, link);
        if !self.sessions[session].pins.reasons().contains(Reasons::EXPIRED) {
            self.give_back(session);
        }
        self.rest(session);
    }

    /// A backend has refused the claim, in its own words (S47).
    pub(crate) fn verify_refused(&mut self, session: Key<Session>, err: &[u8]) {
        let s = &self.sessions[session];
        let (seq, account) = match &s.phase {
            Phase::Verify(verify) => (verify.seq, s.account),
            _ => return,
        };
        self.counters.logins_refused += 1;
        let code = ErrPacket::decode(err).map_or(0, |e| e.code);
        let cause = verify_cause(&self.sessions[session].phase);
        self.audit(session, AuditKind::LoginFailed, Some(code), cause);
        if !ErrPacket::decode(err).is_ok_and(|e| BESIDE_THE_PASSWORD.contains(&e.code)) {
            self.accounts.refute(account);
            let user = self.accounts.get(account).user.clone();
            self.login_failed(session, &user);
        }
        self.say_packet(session, seq, err);
        self.end_session(session, Parting::AfterSending);
    }

    fn spread_credential(&mut self, account: crate::session::account::AccountId) {
        let account = self.accounts.get(account);
        let (user, password) = (Box::<[u8]>::from(&*account.user), account.password.clone());
        let this = self.core.0;
        for core in (0..self.cores).filter(|c| *c != this) {
            let mail = Mail::Credential { user: user.clone(), password: Some(password.clone()) };
            self.post(CoreId(core), mail);
        }
    }

    /// Another core's backend has accepted this password.
    pub(crate) fn credential(&mut self, user: &[u8], password: Option<weir_net::secret::Secret>) {
        if let Some(password) = password {
            let account = self.accounts.claim(self.now, user, password);
            self.accounts.prove(self.now, account);
        }
    }
}

fn verify_cause(phase: &Phase) -> &'static str {
    if let Phase::Verify(verify) = phase { verify.cause.word() } else { "" }
}

/// What a backend says of a schema, or of too many connections: nothing of the password, which it has taken before.
const BESIDE_THE_PASSWORD: [u16; 5] = [1040, 1044, 1049, 1203, 1226];
