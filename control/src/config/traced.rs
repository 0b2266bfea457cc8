//! `[traces]`: what was typed into what it means.

use super::TracesConfig;
use super::mistake::{Given, Mistakes};
use super::typed::Typed;
use crate::grpc::tls::{ClientTls, TlsFiles};
use crate::traces::headers::Headers;

pub const SECURE: &str = "https://";
pub const SCHEMES: [&str; 2] = ["http://", SECURE];

/// After the plain keys; an empty file is none.
pub fn judge(typed: &Typed, config: &mut TracesConfig, mistakes: &mut Mistakes) {
    let ca = typed.traces_ca.as_ref().filter(|file| !file.value.as_os_str().is_empty());
    if let Some(Given { value, place }) = ca {
        config.ca = Some(value.clone());
        mistakes.keep(place, ClientTls::load(&TlsFiles { ca: config.ca.clone(), ..TlsFiles::default() }));
    }
    let headers = typed.traces_headers.as_ref().filter(|file| !file.value.as_os_str().is_empty());
    if let Some(Given { value, place }) = headers {
        config.headers_file = Some(value.clone());
        mistakes.keep(place, Headers::open(Some(value)));
    }
    let said = |name: &str| typed.plain.iter().rev().find(|(key, _)| (key.section, key.name) == ("traces", name));
    if let Some((_, given)) = said("endpoint").filter(|_| !config.endpoint.is_empty()) {
        if let Err(why) = check(&config.endpoint) {
            mistakes.add(&given.place, why);
        } else if config.is_secure() && config.ca.is_none() {
            let why =
                "an https:// endpoint needs tls_ca: the file of the authority that signs the collector's certificate";
            mistakes.add(&given.place, why);
        }
    }
    if let Some(Given { place, .. }) = ca.filter(|_| !config.is_secure()) {
        mistakes.add(place, "tls_ca is for an endpoint that begins with https://");
    }
    if let Some(Given { place, .. }) = headers.filter(|_| config.endpoint.is_empty()) {
        mistakes.add(place, "there is no collector to be sent headers: name its endpoint in [traces]");
    }
    if let (true, Some((_, given))) = (config.endpoint.is_empty(), said("sample").filter(|_| config.sample > 0)) {
        mistakes.add(&given.place, "there is no collector to be told: name its endpoint in [traces]");
    }
}

fn check(endpoint: &str) -> Result<(), String> {
    let form = || {
        format!("endpoint cannot be '{endpoint}'; write \"http://host:4317\", where a collector takes OTLP over gRPC")
    };
    let address = SCHEMES.iter().find_map(|scheme| endpoint.strip_prefix(scheme)).ok_or_else(form)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
    let is_right =
        !host.is_empty() && !host.contains(['/', '@', '?', '#']) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_right { Ok(()) } else { Err(form()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_a_host_and_a_port() {
        for right in ["http://127.0.0.1:4317", "https://collector.example:4317", "http://[::1]:4317"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in [
            "collector:4317",
            "grpc://collector:4317",
            "http://collector",
            "http://:4317",
            "http://collector:0",
            "http://collector:4317/v1/traces",
            "http://user@collector:4317",
        ] {
            assert!(check(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
