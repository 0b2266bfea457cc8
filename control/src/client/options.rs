//! How a client connects: where to, as whom, able to do what.

use crate::client::trust::Trust;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_core::snapshot::Address;
use weir_net::flags::Capabilities;
use weir_net::secret::Secret;

#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub user: String,
    pub password: Secret,
    pub schema: Option<String>,
    /// Wanted; what the server offers of them is what the connection has. `SSL` follows from `tls`.
    pub capabilities: Capabilities,
    /// Number of the collation.
    pub charset: u8,
    pub tls: ClientTls,
    /// Connect attributes.
    pub attributes: Vec<(String, String)>,
    /// For connecting and for each read and write; None: for ever.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Host name or address, and port.
    Tcp(String, u16),
    Unix(PathBuf),
}

#[derive(Clone, Debug)]
pub enum ClientTls {
    Off,
    /// Encrypts and believes any certificate.
    Unverified,
    Verified(Arc<ClientConfig>, ServerName<'static>),
}

impl Options {
    pub fn tcp(host: &str, port: u16) -> Options {
        Options::to(Target::Tcp(host.to_string(), port))
    }

    pub fn unix(path: impl Into<PathBuf>) -> Options {
        Options::to(Target::Unix(path.into()))
    }

    pub fn address(address: &Address) -> Options {
        match address {
            Address::Tcp(address) => Options::tcp(&address.ip().to_string(), address.port()),
            Address::Unix(path) => Options::unix(path),
        }
    }

    fn to(target: Target) -> Options {
        Options {
            target,
            user: "root".to_string(),
            password: Secret::empty(),
            schema: None,
            capabilities: USUAL,
            charset: UTF8MB4_0900_AI_CI,
            tls: ClientTls::Off,
            attributes: vec![("_client_name".to_string(), "weir".to_string())],
            timeout: Some(Duration::from_secs(30)),
        }
    }

    #[must_use]
    pub fn user(mut self, user: &str) -> Options {
        self.user = user.to_string();
        self
    }

    #[must_use]
    pub fn password(mut self, password: &str) -> Options {
        self.password = Secret::from(password.as_bytes());
        self
    }

    #[must_use]
    pub fn schema(mut self, schema: &str) -> Options {
        self.schema = Some(schema.to_string());
        self
    }

    /// Exactly these are wanted, beside what the login cannot do without.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Options {
        self.capabilities = capabilities;
        self
    }

    #[must_use]
    pub fn with(mut self, capabilities: Capabilities) -> Options {
        self.capabilities = self.capabilities | capabilities;
        self
    }

    #[must_use]
    pub fn without(mut self, capabilities: Capabilities) -> Options {
        self.capabilities = self.capabilities.minus(capabilities);
        self
    }

    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Options {
        self.tls = tls;
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Options {
        self.timeout = timeout;
        self
    }

    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Options {
        self.attributes.push((name.to_string(), value.to_string()));
        self
    }

    pub(crate) fn tls_config(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        match &self.tls {
            ClientTls::Verified(config, name) => (config.clone(), name.clone()),
            ClientTls::Off | ClientTls::Unverified => {
                // A name that nobody checks.
                let somebody = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
                (Trust::Anyone.config().expect("the provider has the default versions"), somebody)
            }
        }
    }
}

/// What drivers of today ask for.
pub const USUAL: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_DATA)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF);

pub const UTF8MB4_0900_AI_CI: u8 = 255;
