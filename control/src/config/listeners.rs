//! `[[listeners]]`: addresses with a policy of their own, beside those in `listen`, which have the gate's. What a row means, and how it
//! is shown.
//!
//! Invariant: a row's address is one of [`Config::listen`], and of no other row. What a row does not say is the gate's.

use super::keys::{KEYS, Key};
use super::{ClientAuth, ClientTlsPolicy, Config, Tls, TlsVersion, address};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use weir_core::drive::ListenAddress;
use weir_core::snapshot::ListenerSettings;
use weir_net::proxy::Networks;

/// None, wherever: as the gate has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    pub address: ListenAddress,
    pub tls: Option<TlsUse>,
    /// The certificate and its key.
    pub files: Option<(PathBuf, PathBuf)>,
    pub auth: Option<ClientAuth>,
    pub ca: Option<PathBuf>,
    pub version_min: Option<TlsVersion>,
    pub proxy_protocol: Option<bool>,
}

/// Whether clients speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    Off,
    Optional,
    Required,
}

impl TlsUse {
    pub const WORDS: [(&str, TlsUse); 3] =
        [("off", TlsUse::Off), ("optional", TlsUse::Optional), ("required", TlsUse::Required)];

    pub fn word(self) -> &'static str {
        TlsUse::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}

impl ListenerConfig {
    /// As the gate, in all.
    pub fn at(address: ListenAddress) -> ListenerConfig {
        ListenerConfig {
            address,
            tls: None,
            files: None,
            auth: None,
            ca: None,
            version_min: None,
            proxy_protocol: None,
        }
    }

    /// A Unix socket has no TLS, and is secure without it.
    pub fn tls_use(&self, config: &Config) -> TlsUse {
        let usual = match (&config.tls, &self.files) {
            (Tls::Off, None) => TlsUse::Off,
            _ if config.settings.require_secure_transport => TlsUse::Required,
            _ => TlsUse::Optional,
        };
        match self.address {
            ListenAddress::Tcp(_) => self.tls.unwrap_or(usual),
            ListenAddress::Unix(_) => TlsUse::Off,
        }
    }

    /// The certificate that is shown, and what is wanted of clients' TLS.
    pub fn keys(&self, config: &Config) -> (Tls, ClientTlsPolicy) {
        let tls = match (self.tls_use(config), &self.files) {
            (TlsUse::Off, _) => return (Tls::Off, ClientTlsPolicy::default()),
            (_, Some((cert, key))) => Tls::Files { cert: cert.clone(), key: key.clone() },
            (_, None) => config.tls.clone(),
        };
        let auth = self.auth.unwrap_or(config.client_tls.auth);
        let ca = self.ca.as_ref().or(config.client_tls.ca.as_ref()).filter(|_| auth != ClientAuth::Off).cloned();
        let version_min = self.version_min.unwrap_or(config.client_tls.version_min);
        (tls, ClientTlsPolicy { ca, auth, version_min })
    }

    /// Its keys where they are as typed: `tls = "off"`; empty for none.
    pub fn terms(&self) -> String {
        let typed = KEYS.iter().filter(|key| key.section == "listeners" && key.name != "address");
        let typed = typed.filter_map(|key| Some(format!("{} = {}", key.name, self.show(key.name)?)));
        typed.collect::<Vec<_>>().join(", ")
    }

    /// None: it was not typed.
    fn show(&self, name: &str) -> Option<String> {
        let text = |value: &str| toml::Value::String(value.to_string()).to_string();
        let path = |path: &PathBuf| text(&path.display().to_string());
        match name {
            "address" => Some(text(&address::show_listen(&self.address))),
            "tls" => self.tls.map(|tls| text(tls.word())),
            "tls_cert" => self.files.as_ref().map(|(cert, _)| path(cert)),
            "tls_key" => self.files.as_ref().map(|(_, key)| path(key)),
            "tls_client_auth" => self.auth.map(|auth| text(auth.word())),
            "tls_ca" => self.ca.as_ref().map(path),
            "tls_min_version" => self.version_min.map(|version| text(version.word())),
            "proxy_protocol" => self.proxy_protocol.map(|on| text(if on { "required" } else { "off" })),
            _ => unreachable!("every key of a listener has a line here: {name}"),
        }
    }
}

impl Config {
    pub fn listener(&self, address: &ListenAddress) -> Option<&ListenerConfig> {
        self.listeners.iter().find(|row| row.address == *address)
    }

    /// What the listener has of its own; None: its clients' TLS is the gate's.
    pub fn own_keys(&self, address: &ListenAddress) -> Option<(Tls, ClientTlsPolicy)> {
        let own = self.listener(address)?.keys(self);
        (own != (self.tls.clone(), self.client_tls.clone())).then_some(own)
    }

    /// Whether clients can show a certificate anywhere.
    pub fn asks_for_certificates(&self) -> bool {
        let asks = |(tls, policy): (Tls, ClientTlsPolicy)| tls != Tls::Off && policy.auth != ClientAuth::Off;
        let gates = || (self.tls.clone(), self.client_tls.clone());
        self.listen.iter().any(|address| asks(self.listener(address).map_or_else(gates, |row| row.keys(self))))
    }
}

/// What the cores are to know of each listener; nothing where all are alike.
pub fn wanted(config: &Config) -> Arc<[ListenerSettings]> {
    if config.listeners.is_empty() {
        return Arc::default();
    }
    let settings = &config.settings;
    let wanted = |address: &ListenAddress| {
        let row = config.listener(address);
        let proxy_networks = match row.and_then(|row| row.proxy_protocol) {
            None => settings.proxy_networks.clone(),
            Some(true) => config.proxy_networks.clone(),
            Some(false) => Networks::default(),
        };
        let requires_tls = row.map_or(settings.require_secure_transport, |row| row.tls_use(config) == TlsUse::Required);
        ListenerSettings { requires_tls, proxy_networks }
    };
    config.listen.iter().map(wanted).collect()
}

/// As a file has them, what is the gate's in comments.
pub fn put(out: &mut String, config: &Config) {
    for row in &config.listeners {
        out.push_str("\n[[listeners]]\n");
        for Key { name, doc, .. } in KEYS.iter().filter(|key| key.section == "listeners") {
            let (mark, value) = match row.show(name) {
                Some(value) => ("", value),
                None => ("# ", "\"\"".to_string()),
            };
            let _ = writeln!(out, "# {doc}\n{mark}{name} = {value}");
        }
    }
}

/// More than anyone has ports for.
pub const LISTENERS_MAX: usize = 64;
