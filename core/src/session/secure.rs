//! Whether a client may log in the way that it has come: by TLS, with a certificate, as the gate's settings want it of everybody, at its listener, or of
//! its account. Rules: MySQL's `require_secure_transport` and `REQUIRE SSL | X509 | SUBJECT | ISSUER` of an account.
//!
//! Invariant: who is refused has proved no password, and no backend was asked. A Unix socket is secure for `require_secure_transport`,
//! and no TLS for an account, as in MySQL.

use crate::engine::Engine;
use crate::session::refuse::Refusal;
use crate::session::{Peer, Session};
use crate::slots::Key;
use weir_net::certificate::Certificate;

/// What the clients of one user must show, beside what MySQL wants of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRule {
    pub user: Vec<u8>,
    pub require: Require,
}

/// Each is more than the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Require {
    #[default]
    Ssl,
    /// A certificate that the gate's `tls_ca` has signed.
    X509,
    /// One of this subject, of this issuer, or both; as `/C=SE/CN=app`.
    Names { subject: Option<String>, issuer: Option<String> },
}

impl Require {
    /// `certificate`: None without TLS; Some(None): TLS without one. It was verified.
    fn is_met(&self, certificate: Option<Option<&[u8]>>) -> bool {
        match (self, certificate) {
            (_, None) => false,
            (Require::Ssl, Some(_)) => true,
            (Require::X509, Some(certificate)) => certificate.is_some(),
            (Require::Names { subject, issuer }, Some(certificate)) => {
                let Some(read) = certificate.and_then(Certificate::read) else { return false };
                subject.as_ref().is_none_or(|subject| *subject == read.subject)
                    && issuer.as_ref().is_none_or(|issuer| *issuer == read.issuer)
            }
        }
    }
}

impl Engine {
    /// Why this user may not log in over this connection.
    pub(crate) fn transport_refusal(&self, session: Key<Session>, user: &[u8], password: Password) -> Option<Refusal> {
        let settings = &self.snapshot.settings;
        let Session { wire, peer, listener, .. } = self.sessions[session];
        let requires_tls = settings.requires_tls_at(listener);
        if !requires_tls && settings.accounts.is_empty() {
            return None;
        }
        let wire = &self.wires[wire];
        if requires_tls && peer != Peer::Unix && !wire.is_encrypted() {
            return Some(Refusal::SecureTransportRequired);
        }
        let certificate = wire.is_encrypted().then(|| wire.peer_certificate());
        let mut rules = settings.accounts.iter().filter(|rule| rule.user == user);
        match rules.all(|rule| rule.require.is_met(certificate)) {
            true => None,
            false => Some(Refusal::AccessDenied {
                user: String::from_utf8_lossy(user).into_owned(),
                peer,
                with_password: password == Password::Given,
            }),
        }
    }
}

/// For the words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    Given,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_wants_more_than_the_one_before() {
        let der = include_bytes!("../../../net/src/tls/test-cert.der");
        let read = Certificate::read(der).unwrap();
        let names = |subject: &str, issuer: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
            Require::Names { subject: some(subject), issuer: some(issuer) }
        };
        let (plain, bare, proven) = (None, Some(None), Some(Some(&der[..])));
        for (require, met) in [
            (Require::Ssl, [false, true, true]),
            (Require::X509, [false, false, true]),
            (names(&read.subject, ""), [false, false, true]),
            (names("", &read.issuer), [false, false, true]),
            (names(&read.subject, &read.issuer), [false, false, true]),
            (names("/CN=another", &read.issuer), [false, false, false]),
            (names(&read.subject, "/CN=another"), [false, false, false]),
        ] {
            assert_eq!([plain, bare, proven].map(|way| require.is_met(way)), met, "{require:?}");
        }
        assert!(!names("", "").is_met(Some(Some(b"no certificate"))));
    }
}
