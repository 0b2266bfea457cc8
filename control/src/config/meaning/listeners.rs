//! Where clients come in, and what is wanted of them there: `listen` and the rows of `[[listeners]]`.

use super::Judge;
use crate::config::listeners::{LISTENERS_MAX, ListenerConfig, TlsUse};
use crate::config::mistake::{Given, Place};
use crate::config::typed::{Typed, TypedListener};
use crate::config::{ClientAuth, Tls, TlsVersion, address, outside};
use crate::gate::keys;
use std::path::PathBuf;
use weir_core::drive::ListenAddress;

impl Judge {
    /// All addresses. Says which one each row has; None: it is a mistake, and that is said.
    pub(super) fn listen(&mut self, typed: &Typed) -> Vec<Option<ListenAddress>> {
        let Typed { listen, listeners, .. } = typed;
        if listen.is_none() && listeners.is_empty() {
            return Vec::new();
        }
        self.config.listen.clear();
        for given in listen.iter().flatten() {
            let is_free_port = |address: &ListenAddress| matches!(address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
            self.listen_at(given, is_free_port);
        }
        if listen.as_ref().is_some_and(Vec::is_empty) && listeners.is_empty() {
            let text = "listen is empty: name at least one address, as in \"127.0.0.1:3306\"";
            self.mistakes.add(&Place::Missing, text);
        }
        let mut rows = Vec::new();
        for TypedListener { address, place, .. } in listeners {
            // Even with any free port: an upgrade tells them by their addresses.
            rows.push(match address {
                Some(given) => self.listen_at(given, |_| false),
                None => {
                    self.mistakes.add(place, "this listener has no address: add address = \"host:port\"");
                    None
                }
            });
        }
        if listeners.len() > LISTENERS_MAX {
            let text = format!("there are {} listeners: {LISTENERS_MAX} at most", listeners.len());
            self.mistakes.add(&listeners[LISTENERS_MAX].place, text);
        }
        rows
    }

    fn listen_at(
        &mut self,
        Given { value, place }: &Given<String>,
        may_repeat: fn(&ListenAddress) -> bool,
    ) -> Option<ListenAddress> {
        let address = self.mistakes.keep(place, address::listen(value))?;
        let can_be = match &address {
            ListenAddress::Tcp(tcp) => outside::own_address(*tcp),
            ListenAddress::Unix(path) => outside::writable_file(path),
        };
        self.mistakes.keep(place, can_be);
        if !may_repeat(&address) && self.config.listen.contains(&address) {
            self.mistakes.add(place, format!("'{value}' is listened on twice: remove one"));
        }
        self.config.listen.push(address.clone());
        Some(address)
    }

    /// After the gate's own TLS, its authorities and its networks, which hold for what a row does not say.
    pub(super) fn listeners(&mut self, typed: &Typed, addresses: Vec<Option<ListenAddress>>) {
        for (row, address) in typed.listeners.iter().zip(addresses) {
            // One without an address is looked at all the same, as if it were any.
            let is_known = address.is_some();
            let address = address.unwrap_or(ListenAddress::Tcp(([127, 0, 0, 1], 0).into()));
            let listener = ListenerConfig {
                address,
                tls: self.mistakes.word(row.tls.as_ref(), "tls", &TlsUse::WORDS),
                files: self.listener_files(row),
                auth: self.mistakes.word(row.tls_client_auth.as_ref(), "tls_client_auth", &ClientAuth::WORDS),
                ca: row.tls_ca.as_ref().map(|ca| ca.value.clone()),
                version_min: self.mistakes.word(row.tls_min_version.as_ref(), "tls_min_version", &TlsVersion::WORDS),
                proxy_protocol: self.mistakes.word(row.proxy_protocol.as_ref(), "proxy_protocol", &PROXY_WORDS),
            };
            self.listener_tls(row, &listener);
            self.listener_proxies(row, &listener);
            if is_known {
                self.config.listeners.push(listener);
            }
        }
    }

    fn listener_files(&mut self, row: &TypedListener) -> Option<(PathBuf, PathBuf)> {
        match (&row.tls_cert, &row.tls_key) {
            (Some(cert), Some(key)) => {
                let both = [cert, key].map(|file| self.readable(&file.place, &file.value));
                (!both.contains(&None)).then(|| (cert.value.clone(), key.value.clone()))
            }
            (Some(cert), None) => {
                self.mistakes.add(&cert.place, "a certificate needs its private key: name it with tls_key");
                None
            }
            (None, Some(key)) => {
                self.mistakes.add(&key.place, "a private key needs its certificate: name it with tls_cert");
                None
            }
            (None, None) => None,
        }
    }

    /// What a row says of TLS, one thing beside the other. The first contradiction is told, the others may follow from it.
    fn listener_tls(&mut self, row: &TypedListener, listener: &ListenerConfig) {
        let (tls, policy) = listener.keys(&self.config);
        let used = listener.tls_use(&self.config);
        let place_of = |given: &Option<Given<String>>| given.as_ref().map(|given| given.place.clone());
        let path = |given: &Option<Given<PathBuf>>| given.as_ref().map(|given| given.place.clone());
        let auth = place_of(&row.tls_client_auth).filter(|_| listener.auth != Some(ClientAuth::Off));
        let version = place_of(&row.tls_min_version);
        let said = [path(&row.tls_cert), path(&row.tls_key), auth.clone(), path(&row.tls_ca), version];
        let said = said.into_iter().flatten().next();
        let wanted = place_of(&row.tls).filter(|_| matches!(listener.tls, Some(TlsUse::Optional | TlsUse::Required)));
        let is_unix = matches!(listener.address, ListenAddress::Unix(_));
        let found = match (wanted, said, used) {
            (Some(place), ..) | (_, Some(place), _) if is_unix => {
                Some((place, "a Unix socket has no TLS and is secure without it: leave that out"))
            }
            (Some(place), ..) if tls == Tls::Off => Some((
                place,
                "TLS is wanted here, yet switched off under [gate]: name a certificate with tls_cert and tls_key",
            )),
            (_, Some(place), TlsUse::Off) => Some((
                place,
                "there is no TLS at this listener, yet this is about it: write tls = \"required\", or leave it out",
            )),
            _ => None,
        };
        if let Some((place, text)) = found {
            return self.mistakes.add(&place, text);
        }
        if used == TlsUse::Off {
            return;
        }
        let place = auth.clone().or_else(|| path(&row.tls_ca)).unwrap_or_else(|| row.place.clone());
        let text = match (policy.auth, &policy.ca, &row.tls_ca) {
            (ClientAuth::Off, _, Some(_)) => {
                "tls_ca is named, yet tls_client_auth = \"off\" asks for no certificate: write \"optional\" or \"required\""
            }
            (ClientAuth::Optional | ClientAuth::Required, None, _) => {
                "tls_client_auth wants certificates, yet by no authority: name its PEM file in tls_ca"
            }
            (ClientAuth::Required, ..) if auth.is_some() && used != TlsUse::Required => {
                "a certificate is required here, yet who comes without TLS shows none: write tls = \"required\""
            }
            _ => {
                let read = listener.files.as_ref().map_or(Ok(()), |_| keys::check(&tls));
                self.mistakes.keep(&path(&row.tls_cert).unwrap_or_else(|| row.place.clone()), read);
                self.mistakes.keep(&place, keys::client_verifier(&policy).map(drop));
                return;
            }
        };
        self.mistakes.add(&place, text);
    }

    fn listener_proxies(&mut self, row: &TypedListener, listener: &ListenerConfig) {
        let (Some(Given { place, .. }), Some(true)) = (&row.proxy_protocol, listener.proxy_protocol) else { return };
        let networks = &self.config.proxy_networks;
        let text = match (&listener.address, networks.is_empty()) {
            (_, true) => {
                "proxy_protocol is required here, yet from nobody: name the balancers in proxy_protocol_networks of [gate]"
            }
            (ListenAddress::Unix(_), false) if !networks.has(None) => {
                "proxy_protocol is required at a Unix socket, yet from TCP networks alone: add \"unix\" to proxy_protocol_networks"
            }
            _ => return,
        };
        self.mistakes.add(place, text);
    }
}

const PROXY_WORDS: [(&str, bool); 2] = [("off", false), ("required", true)];
