//! How the gate's connections to backends are encrypted: the words of MySQL's `--ssl-mode`, and what each of them believes.
//!
//! | `backend_tls` | without TLS at the server | the server's certificate |
//! |---|---|---|
//! | `off` | plain | |
//! | `preferred` | plain | any |
//! | `required` | no connection | any |
//! | `verify_ca` | no connection | signed by an authority of `backend_tls_ca` |
//! | `verify_identity` | no connection | and made out to the backend's address |

use crate::client::trust::{Trust, provider};
use crate::config::BackendTlsMode;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use weir_core::snapshot::BackendTls;

/// One sentence on failure, that says what to do.
pub fn make(mode: BackendTlsMode, ca: Option<&Path>) -> Result<Option<BackendTls>, String> {
    let trust = match (mode, ca) {
        (BackendTlsMode::Off, _) => return Ok(None),
        (BackendTlsMode::Preferred | BackendTlsMode::Required, _) => Trust::Anyone,
        (BackendTlsMode::VerifyCa, Some(ca)) => Trust::Authority(trusting(ca)?),
        (BackendTlsMode::VerifyIdentity, Some(ca)) => Trust::Identity(trusting(ca)?),
        (BackendTlsMode::VerifyCa | BackendTlsMode::VerifyIdentity, None) => {
            return Err(
                "backend_tls verifies certificates, yet by no authority: name its PEM file in backend_tls_ca".into()
            );
        }
    };
    let config = trust.config().map_err(|error| format!("TLS towards backends cannot be set up: {error}"))?;
    Ok(Some(BackendTls { config, is_required: mode != BackendTlsMode::Preferred }))
}

/// Trusts certificates that these authorities (PEM) have signed.
pub fn trusting(ca: &Path) -> Result<Arc<WebPkiServerVerifier>, String> {
    let bad = |error: &dyn std::fmt::Display| format!("backend_tls_ca {} cannot be used ({error})", ca.display());
    let roots = roots("backend_tls_ca", ca)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(|error| bad(&error))
}

/// The authorities in a PEM file, which the setting `name` names.
pub fn roots(name: &str, ca: &Path) -> Result<RootCertStore, String> {
    let bad = |error: &dyn std::fmt::Display| {
        format!("{name} {} is no usable PEM file of authorities ({error})", ca.display())
    };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(ca).map_err(|error| bad(&error))? {
        roots.add(cert.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"it holds no certificate"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_says_what_it_lacks() {
        assert!(make(BackendTlsMode::Off, None).unwrap().is_none());
        assert!(!make(BackendTlsMode::Preferred, None).unwrap().unwrap().is_required);
        assert!(make(BackendTlsMode::Required, None).unwrap().unwrap().is_required);
        let error = |ca: Option<&Path>| match make(BackendTlsMode::VerifyCa, ca) {
            Err(text) => text,
            Ok(_) => panic!("it was taken"),
        };
        assert!(error(None).contains("name its PEM file in backend_tls_ca"));
        assert!(error(Some(Path::new("/nowhere"))).contains("/nowhere is no usable PEM file"));
        assert!(error(Some(Path::new("/dev/null"))).contains("it holds no certificate"));
    }
}
