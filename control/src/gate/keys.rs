//! What the gate greets clients with in secret: a certificate for TLS, an RSA pair for passwords over plain TCP.
//!
//! A folder gets what mysqld puts into its data folder, under the same names: `ca.pem`, `server-cert.pem` and
//! `server-key.pem`. Clients that are given that `ca.pem` can verify the gate. The authority's own key is thrown away:
//! nobody can sign another certificate with it. The RSA pair is made at each start and never stored.

use super::backend_tls;
use crate::client::trust::provider;
use crate::config::address::show_listen;
use crate::config::listeners::TlsUse;
use crate::config::{ClientAuth, ClientTlsPolicy, Config, Tls, TlsVersion, outside};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_core::drive::ListenAddress;
use weir_core::snapshot::{BackendTls, Keys};
use weir_net::auth::RsaKey;

/// One sentence that says what to do.
pub type KeyError = String;

/// Without a policy for clients' TLS.
pub fn make(tls: &Tls, backend_tls: Option<BackendTls>) -> Result<Keys, KeyError> {
    let rsa = RsaKey::generate()
        .map_err(|_| "no RSA key can be generated: the system's source of randomness fails".to_string())?;
    let tls = towards_clients(tls, &ClientTlsPolicy::default())?;
    Ok(Keys { tls, listeners: Arc::default(), backend_tls, rsa: Arc::new(rsa) })
}

/// All that the configuration names.
pub fn of_gate(config: &Config, backend_tls: Option<BackendTls>) -> Result<Keys, KeyError> {
    let mut keys = make(&Tls::Off, backend_tls)?;
    keys.tls = towards_clients(&config.tls, &config.client_tls)?;
    keys.listeners = of_listeners(config, keys.tls.as_ref())?;
    Ok(keys)
}

/// None: clients get no TLS.
pub fn towards_clients(tls: &Tls, policy: &ClientTlsPolicy) -> Result<Option<Arc<ServerConfig>>, KeyError> {
    let config = match tls {
        Tls::Off => return Ok(None),
        Tls::Ephemeral => ephemeral(policy)?,
        Tls::Files { cert, key } => from_files(cert, key, policy)?,
        Tls::Folder(folder) => {
            if !folder.join(CERT).exists() && !folder.join(KEY).exists() {
                fill(folder)?;
            }
            from_files(&folder.join(CERT), &folder.join(KEY), policy)?
        }
    };
    Ok(Some(config))
}

/// The same certificate under another policy: one that was made at the start stays while the gate runs.
pub fn again(former: &ServerConfig, policy: &ClientTlsPolicy) -> Result<Arc<ServerConfig>, KeyError> {
    Ok(Arc::new(builder(policy)?.with_cert_resolver(former.cert_resolver.clone())))
}

/// Of all listeners, in the order of their addresses. `gates`: what was made of the same configuration for all.
pub fn of_listeners(config: &Config, gates: Option<&Arc<ServerConfig>>) -> Result<Arc<[ListenerKey]>, KeyError> {
    if config.listeners.is_empty() {
        return Ok(Arc::default());
    }
    config.listen.iter().map(|address| of_listener(address, config, gates)).collect()
}

/// None: clients get no TLS there.
pub type ListenerKey = Option<Arc<ServerConfig>>;

pub fn of_listener(
    address: &ListenAddress,
    config: &Config,
    gates: Option<&Arc<ServerConfig>>,
) -> Result<ListenerKey, KeyError> {
    let made = match (config.own_keys(address), gates) {
        (None, gates) => Ok(gates.cloned()),
        (Some((Tls::Ephemeral, policy)), Some(gates)) => again(gates, &policy).map(Some),
        (Some((Tls::Off, _)), _) if config.listener(address).is_some_and(|row| row.tls_use(config) != TlsUse::Off) => {
            Err("there is no certificate for its TLS: name one with tls_cert and tls_key".to_string())
        }
        (Some((tls, policy)), _) => towards_clients(&tls, &policy),
    };
    made.map_err(|why| format!("[[listeners]] {}: {why}", show_listen(address)))
}

/// Who verifies clients' certificates; None: they are not asked for any.
pub fn client_verifier(policy: &ClientTlsPolicy) -> Result<Option<Arc<dyn ClientCertVerifier>>, KeyError> {
    let ca = match (policy.auth, &policy.ca) {
        (ClientAuth::Optional | ClientAuth::Required, Some(ca)) => ca,
        (ClientAuth::Optional | ClientAuth::Required, None) => {
            return Err(
                "tls_client_auth wants certificates, yet by no authority: name its PEM file in tls_ca".to_string()
            );
        }
        (ClientAuth::Off, _) => return Ok(None),
    };
    let roots = backend_tls::roots("tls_ca", ca)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = match policy.auth {
        ClientAuth::Optional => verifier.allow_unauthenticated(),
        ClientAuth::Off | ClientAuth::Required => verifier,
    };
    let verifier = verifier.build().map_err(|error| format!("tls_ca {} cannot be used ({error})", ca.display()))?;
    Ok(Some(verifier))
}

/// The files that [`towards_clients`] reads.
pub fn files(tls: &Tls, policy: &ClientTlsPolicy) -> Vec<PathBuf> {
    let mut files = match tls {
        Tls::Off | Tls::Ephemeral => Vec::new(),
        Tls::Files { cert, key } => vec![cert.clone(), key.clone()],
        Tls::Folder(folder) => vec![folder.join(CERT), folder.join(KEY)],
    };
    files.extend(policy.ca.clone());
    files
}

/// What [`make`] would stumble over, without making anything.
pub fn check(tls: &Tls) -> Result<(), KeyError> {
    let policy = &ClientTlsPolicy::default();
    match tls {
        Tls::Off | Tls::Ephemeral => Ok(()),
        Tls::Files { cert, key } => from_files(cert, key, policy).map(drop),
        Tls::Folder(folder) => {
            let (cert, key) = (folder.join(CERT), folder.join(KEY));
            match cert.exists() || key.exists() {
                true => from_files(&cert, &key, policy).map(drop),
                false => outside::folder_to_be(folder),
            }
        }
    }
}

fn from_files(cert: &Path, key: &Path, policy: &ClientTlsPolicy) -> Result<Arc<ServerConfig>, KeyError> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        format!(
            "{} is no usable PEM file ({error}): name one with a certificate chain or a private key",
            path.display()
        )
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).map_err(|error| bad(cert, &error))?.collect();
    let chain = chain.map_err(|error| bad(cert, &error))?;
    if chain.is_empty() {
        return Err(bad(cert, &"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    config(chain, private, policy)?.map_err(|error| {
        format!(
            "{} and {} don't work together ({error}): name a certificate and its own key",
            cert.display(),
            key.display()
        )
    })
}

fn ephemeral(policy: &ClientTlsPolicy) -> Result<Arc<ServerConfig>, KeyError> {
    let pair = Pair::generate().map_err(failed)?;
    let chain = vec![pair.cert_der, pair.ca_der];
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(failed)?;
    config(chain, key, policy)?.map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> KeyError {
    format!("no certificate can be generated ({error}): name one with --tls-cert and --tls-key, or use --no-tls")
}

/// The outer error is the policy's, the inner one the certificate's.
fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    policy: &ClientTlsPolicy,
) -> Result<Result<Arc<ServerConfig>, rustls::Error>, KeyError> {
    Ok(builder(policy)?.with_single_cert(chain, key).map(Arc::new))
}

fn builder(policy: &ClientTlsPolicy) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, KeyError> {
    let verifier = client_verifier(policy)?;
    let versions: &[&SupportedProtocolVersion] = match policy.version_min {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).map_err(failed)?;
    Ok(match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    })
}

fn fill(folder: &Path) -> Result<(), KeyError> {
    let pair = Pair::generate().map_err(failed)?;
    let files = [(CA, &pair.ca_pem, 0o644), (CERT, &pair.cert_pem, 0o644), (KEY, &pair.key_pem, 0o600)];
    let write = |folder: &Path| -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for (name, text, mode) in files {
            // `create_new`: a key that is there already is never overwritten, nor a link followed.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(folder.join(name))?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    };
    write(folder).map_err(|error| {
        format!(
            "the certificate cannot be stored in {} ({error}): name an empty folder that we may write to, or one that \
             holds {CERT} and {KEY}",
            folder.display()
        )
    })
}

/// An authority and the certificate that it has signed.
struct Pair {
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    cert_pem: String,
    cert_der: CertificateDer<'static>,
    key_pem: String,
}

impl Pair {
    fn generate() -> Result<Pair, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "Weir auto-generated CA");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        lasting(&mut authority);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(names())?;
        server.distinguished_name.push(DnType::CommonName, "Weir auto-generated server certificate");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        lasting(&mut server);
        let key = KeyPair::generate()?;
        let cert = server.signed_by(&key, &authority)?;
        Ok(Pair {
            ca_pem: authority.pem(),
            ca_der: authority.der().clone(),
            cert_pem: cert.pem(),
            cert_der: cert.der().clone(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// A gate is not stopped by a date that nobody thinks of: mysqld's own certificates last ten years; ours so long too,
/// counted from a fixed day, since every start of the ephemeral kind makes a new one anyway.
fn lasting(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2044, 1, 1);
}

fn names() -> Vec<String> {
    let mut names = vec!["localhost".to_string(), "127.0.0.1".to_string(), "::1".to_string()];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string();
    let is_dns_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    if is_dns_name && !names.contains(&host) {
        names.push(host);
    }
    names
}

pub const CA: &str = "ca.pem";
pub const CERT: &str = "server-cert.pem";
pub const KEY: &str = "server-key.pem";

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls_pki_types::ServerName;
    use std::os::unix::fs::PermissionsExt;
    use weir_net::tls::Tls as Filter;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("weir-keys-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    /// S46: a client that trusts the generated authority verifies the gate by name and by address.
    #[test]
    fn a_folder_is_filled_once_and_its_authority_verifies_the_gate() {
        let folder = folder("fill");
        let keys = make(&Tls::Folder(folder.clone()), None).unwrap();
        let key = fs::read(folder.join(KEY)).unwrap();
        assert_eq!(fs::metadata(folder.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        make(&Tls::Folder(folder.clone()), None).unwrap();
        assert_eq!(fs::read(folder.join(KEY)).unwrap(), key);

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join(CA)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        for (name, is_trusted) in [("localhost", true), ("127.0.0.1", true), ("elsewhere", false)] {
            let name = ServerName::try_from(name).unwrap();
            let outcome = handshake(Filter::client(client.clone(), name).unwrap(), keys.tls.clone().unwrap());
            assert_eq!(outcome.is_ok(), is_trusted);
        }
        fs::remove_file(folder.join(CERT)).unwrap();
        assert!(make(&Tls::Folder(folder.clone()), None).unwrap_err().contains(CERT));
        fs::remove_dir_all(&folder).unwrap();
    }

    fn handshake(mut client: Filter, config: Arc<ServerConfig>) -> Result<(), String> {
        let mut server = Filter::server(config).unwrap();
        for _ in 0..10 {
            let mut bytes = Vec::new();
            client.take_cipher(&mut bytes);
            server.feed(&bytes).map_err(|error| error.to_string())?;
            bytes.clear();
            server.take_cipher(&mut bytes);
            client.feed(&bytes).map_err(|error| error.to_string())?;
            if !client.is_handshaking() && !server.is_handshaking() {
                return Ok(());
            }
        }
        Err("no end".to_string())
    }

    #[test]
    fn unusable_files_are_named() {
        let folder = folder("bad");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x.pem"), "nothing").unwrap();
        let files = Tls::Files { cert: folder.join("x.pem"), key: folder.join("x.pem") };
        assert!(make(&files, None).unwrap_err().contains("x.pem"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(make(&Tls::Off, None).unwrap().tls.is_none());
        assert!(make(&Tls::Ephemeral, None).unwrap().tls.is_some());
    }
}
