//! What is wanted of clients: certificates, and what each account must show.

use super::Judge;
use crate::config::accounts::TypedAccount;
use crate::config::mistake::{Given, Place};
use crate::config::typed::Typed;
use crate::config::{ClientAuth, Tls};
use crate::gate::keys;
use std::path::PathBuf;
use weir_core::snapshot::{AccountRule, Require};

impl Judge {
    pub(super) fn client_ca(&mut self, typed: &Typed) {
        self.config.client_tls.ca = named_ca(typed).map(|ca| ca.value.clone());
    }

    /// After the plain keys, of which the mode is one, after the certificate, and after the listeners, which may ask that authority.
    pub(super) fn client_tls(&mut self, typed: &Typed) {
        let place = named_ca(typed).map_or(Place::Missing, |ca| ca.place.clone());
        let policy = &self.config.client_tls;
        let has_tls = self.config.tls != Tls::Off;
        let is_asked =
            self.config.listeners.iter().any(|row| row.ca.is_none() && row.keys(&self.config).1.ca.is_some());
        let text = match (policy.auth, &policy.ca) {
            (ClientAuth::Off, Some(_)) if !is_asked => {
                "tls_ca is named, yet tls_client_auth = \"off\" asks for no certificate: write \"optional\" or \"required\""
            }
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                "tls_client_auth wants certificates, yet by no authority: name its PEM file in tls_ca"
            }
            (ClientAuth::Optional | ClientAuth::Required, Some(_)) if !has_tls => {
                "tls_client_auth wants certificates, yet TLS is switched off: remove one of the two"
            }
            _ => {
                let outcome = keys::client_verifier(policy).map(drop);
                self.mistakes.keep(&place, outcome);
                return;
            }
        };
        self.mistakes.add(&place, text);
    }

    pub(super) fn accounts(&mut self, typed: &[TypedAccount]) {
        let mut rules = Vec::new();
        for TypedAccount { place, user, require, .. } in typed {
            let (Some(user), Some(require)) = (user, require) else { continue };
            if user.value == "*" {
                let text =
                    "require is one user's: require_secure_transport or tls_client_auth under [gate] are for all";
                self.mistakes.add(place, text);
                continue;
            }
            if require.is_empty() {
                continue;
            }
            if let Some(require) = self.require(place, require) {
                rules.push(AccountRule { user: user.value.clone().into_bytes(), require });
            }
        }
        if rules.len() > ACCOUNTS_MAX {
            self.mistakes.add(&Place::Missing, format!("there are {} accounts: {ACCOUNTS_MAX} at most", rules.len()));
        }
        self.config.settings.accounts = rules.into();
    }

    /// All of a list together.
    fn require(&mut self, place: &Place, list: &[Given<String>]) -> Option<Require> {
        let mut all = Require::Ssl;
        for Given { value, place } in list {
            let name = |name: &str| Some(name.to_string()).filter(|name| name.starts_with('/'));
            let (subject, issuer) = match value.split_once(':') {
                None if value == "ssl" => continue,
                None if value == "x509" => (None, None),
                Some(("subject", text)) if text.starts_with('/') => (name(text), None),
                Some(("issuer", text)) if text.starts_with('/') => (None, name(text)),
                _ => {
                    let help = "write \"ssl\", \"x509\", \"subject:/C=SE/CN=app\" or \"issuer:/CN=ca\"";
                    self.mistakes.add(place, format!("require cannot be '{value}': {help}"));
                    return None;
                }
            };
            all = match (all, subject, issuer) {
                (Require::Ssl, None, None) => Require::X509,
                (Require::Names { subject, issuer }, s, i) => {
                    Require::Names { subject: s.or(subject), issuer: i.or(issuer) }
                }
                (Require::X509, None, None) => Require::X509,
                (Require::Ssl | Require::X509, subject, issuer) => Require::Names { subject, issuer },
            };
        }
        if all != Require::Ssl && !self.config.asks_for_certificates() {
            let text = "this account needs a certificate, yet tls_client_auth = \"off\" asks for none: write \"optional\" or \"required\"";
            self.mistakes.add(place, text);
        }
        Some(all)
    }
}

/// An empty name is none.
fn named_ca(typed: &Typed) -> Option<&Given<PathBuf>> {
    typed.tls_ca.as_ref().filter(|ca| !ca.value.as_os_str().is_empty())
}

/// Rules for accounts: each login looks through them.
const ACCOUNTS_MAX: usize = 1_024;
