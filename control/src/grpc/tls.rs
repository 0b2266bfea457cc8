//! TLS between gates, tablets, controllers and `weir ctl`: files into what tonic takes, and connections.
//!
//! Invariant: what [`ServerTls`] and [`ClientTls`] hold was read and checked: certificate and key belong together and the
//! authority's file holds certificates. One crypto library does all of it (rustls with aws-lc-rs).
//!
//! A server with an authority lets in clients without a certificate too, for reading; one with a certificate of
//! another authority is turned away. What each may do is `access`'s matter.

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// PEM files. Each may be left out where [`ServerTls::load`] or [`ClientTls::load`] says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Of this process, with its chain.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Of the authority that signs the others' certificates.
    pub ca: Option<PathBuf>,
}

#[derive(Clone)]
pub struct ServerTls {
    config: ServerTlsConfig,
    verifies_clients: bool,
}

/// Clones are one: what replaces one is used by all of them for their next connections.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<Mutex<ClientTlsConfig>>,
}

impl ServerTls {
    /// None: no TLS. Certificate and key come together; without an authority no client can prove who it is.
    pub fn load(files: &TlsFiles) -> Result<Option<ServerTls>, String> {
        let Some(identity) = identity(files)? else {
            return match &files.ca {
                Some(ca) => Err(format!("{} needs a certificate and its key beside it", ca.display())),
                None => Ok(None),
            };
        };
        let mut config = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_LIMIT);
        if let Some(ca) = &files.ca {
            config = config.client_ca_root(authority(ca)?).client_auth_optional(true);
        }
        Ok(Some(ServerTls { config, verifies_clients: files.ca.is_some() }))
    }

    pub fn config(&self) -> ServerTlsConfig {
        self.config.clone()
    }

    pub fn verifies_clients(&self) -> bool {
        self.verifies_clients
    }
}

impl ClientTls {
    /// None: no TLS. With an authority the server is verified by it; a certificate says who we are.
    pub fn load(files: &TlsFiles) -> Result<Option<ClientTls>, String> {
        let identity = identity(files)?;
        let Some(ca) = &files.ca else {
            return match &files.cert {
                Some(cert) => {
                    Err(format!("{} needs the authority's file beside it, to verify the other side", cert.display()))
                }
                None => Ok(None),
            };
        };
        let mut config = ClientTlsConfig::new().ca_certificate(authority(ca)?);
        if let Some(identity) = identity {
            config = config.identity(identity);
        }
        Ok(Some(ClientTls { config: Arc::new(Mutex::new(config)) }))
    }

    /// Connections from now on are made with the other's files; those that stand go on.
    pub fn replace(&self, other: &ClientTls) {
        let config = other.config();
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn config(&self) -> ClientTlsConfig {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// To `host:port`; the certificate there must be of that host.
pub async fn connect(address: &str, tls: Option<&ClientTls>, limit: Duration) -> Result<Channel, String> {
    let endpoint = endpoint(address, tls)?.connect_timeout(limit);
    // The limit of the endpoint's own is for TCP alone.
    match tokio::time::timeout(limit, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(format!("{address}: {}", root(&error))),
        Err(_) => Err(format!("{address}: no connection within {} ms", limit.as_millis())),
    }
}

/// How `host:port` is spoken to.
pub fn endpoint(address: &str, tls: Option<&ClientTls>) -> Result<Endpoint, String> {
    let endpoint = quiet_endpoint(address, tls)?;
    Ok(endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE_LIMIT))
}

/// The same without pings: some servers hang up on who sends them more often than every five minutes.
pub fn quiet_endpoint(address: &str, tls: Option<&ClientTls>) -> Result<Endpoint, String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"));
    let endpoint = endpoint.map_err(|error| format!("{address}: {error}"))?;
    let endpoint = endpoint.tcp_nodelay(true);
    match tls {
        Some(tls) => endpoint.tls_config(tls.config()).map_err(|error| format!("{address}: {}", root(&error))),
        None => Ok(endpoint),
    }
}

/// The innermost reason: the outer ones say "transport error".
pub fn root(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => root(source),
        None => error.to_string(),
    }
}

fn identity(files: &TlsFiles) -> Result<Option<Identity>, String> {
    let (cert, key) = match (&files.cert, &files.key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(cert), None) => return Err(format!("{} needs its private key beside it", cert.display())),
        (None, Some(key)) => return Err(format!("{} needs its certificate beside it", key.display())),
    };
    let (chain_pem, key_pem) = (read(cert)?, read(key)?);
    let chain = certificates(cert, &chain_pem)?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| bad(key, "private key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    builder.with_no_client_auth().with_single_cert(chain, private).map_err(|error| {
        format!(
            "{} and {} don't work together ({error}): name a certificate and its own key",
            cert.display(),
            key.display()
        )
    })?;
    Ok(Some(Identity::from_pem(chain_pem, key_pem)))
}

fn authority(ca: &Path) -> Result<Certificate, String> {
    let pem = read(ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, &pem)? {
        roots.add(certificate).map_err(|error| bad(ca, "authority's certificate", &error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| bad(ca, "authority's certificate", &error))?;
    Ok(Certificate::from_pem(pem))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| bad(path, "certificate", &error))?;
    match all.is_empty() {
        true => Err(bad(path, "certificate", &"there is none in it")),
        false => Ok(all),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{} cannot be read ({error}): correct the path or the file's mode", path.display()))
}

fn bad(path: &Path, what: &str, error: &dyn std::fmt::Display) -> String {
    format!("{} holds no usable {what} ({error}): name a PEM file with one", path.display())
}

/// A client that begins a handshake and stops is dropped.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// A peer that vanished without a word is noticed after their sum.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(3);
