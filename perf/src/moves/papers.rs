//! What hosts show each other: one certificate for all of their addresses, and the authority that signed it. Between machines
//! nothing may be changed without.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::Host;

use crate::error::Fault;

/// Writes them into this folder. The authority's own key is thrown away.
pub fn write(folder: &Path, hosts: &[Host]) -> Result<TlsFiles, Fault> {
    let addresses = hosts.iter().map(|host| host.address.to_string()).collect();
    let (authority, certificate, key) =
        make(addresses).map_err(|error| Fault::Program(format!("no certificate can be made: {error}")))?;
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Fault::io("writing a file", error))?;
        Ok::<_, Fault>(Some(path))
    };
    Ok(TlsFiles {
        cert: file("hosts.pem", certificate)?,
        key: file("hosts.key", key)?,
        ca: file("hosts-ca.pem", authority)?,
    })
}

fn make(addresses: Vec<String>) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(addresses)?.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}
