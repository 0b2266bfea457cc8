use super::*;
use crate::controller::head::Head;
use crate::controller::{failover, service};
use crate::grpc::server;
use crate::grpc::tls::{ClientTls, ServerTls, TlsFiles, connect};
use crate::store::Memory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;

/// Every method of every service, as build.rs found them in the protobuf files.
const ALL: &[&str] = &include!(concat!(env!("OUT_DIR"), "/methods.rs"));

#[test]
fn the_table_is_complete() {
    let table: Vec<&str> = METHODS.iter().map(|(path, _)| *path).collect();
    for path in ALL {
        assert!(table.contains(path), "{path} is in no class: add it to METHODS");
    }
    for path in &table {
        assert!(ALL.contains(path), "{path} is no method of ours");
        assert_eq!(table.iter().filter(|other| *other == path).count(), 1, "{path} stands twice");
    }
    assert!(ALL.len() >= 13, "{ALL:?}");
    assert_eq!(class("/weir.v1.Controller/NoSuch"), Class::Change);
}

#[test]
fn only_reading_and_the_loopback_need_no_certificate() {
    let caller = |address: &str, certificate: Option<&str>| Caller {
        address: address.parse().ok(),
        certificate: certificate.map(str::to_string),
    };
    let cases = [
        ("127.0.0.1:1", None, true),
        ("127.9.9.9:1", None, true),
        ("[::1]:1", None, true),
        ("[::ffff:127.0.0.1]:1", None, true),
        ("10.0.0.1:1", None, false),
        ("[::ffff:10.0.0.1]:1", None, false),
        ("10.0.0.1:1", Some("sha256:00"), true),
        ("nowhere", None, false),
    ];
    for (address, certificate, may) in cases {
        let caller = caller(address, certificate);
        assert_eq!(caller.may_change(), may, "{address}");
        assert!(caller.may(Class::Read, Loopback::Untrusted), "{address}");
    }
    assert!(!caller("127.0.0.1:1", None).may(Class::Change, Loopback::Untrusted));
}

/// An authority in a folder: `ca.pem`, and for each name `NAME.pem` and `NAME.key`.
fn authority(folder: &Path, names: &[&str]) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    std::fs::create_dir_all(folder).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for name in names {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        let cert = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn files(folder: &Path, name: Option<&str>) -> TlsFiles {
    let file = |ending: &str| name.map(|name| folder.join(format!("{name}.{ending}")));
    TlsFiles { cert: file("pem"), key: file("key"), ca: Some(folder.join("ca.pem")) }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-access-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// A controller's server, for which the loopback proves nothing.
async fn serve(tls: Option<&ServerTls>, loopback: Loopback) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let head = Head::new(Arc::new(Memory::new()), "main", 5_000);
    tokio::spawn(head.clone().run());
    let server = server::builder(tls, loopback, 64).unwrap();
    let (_, desk) = failover::Shell::new(head.clone(), failover::Settings::default(), None);
    tokio::spawn(server.serve_with_incoming(service::server(head, desk), TcpIncoming::from(listener)));
    address
}

/// What the server says to an empty message; a service that is not there answers with UNIMPLEMENTED.
async fn call(channel: Channel, path: &'static str) -> Code {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<(), ()> = tonic_prost::ProstCodec::default();
    let answer = client.server_streaming(tonic::Request::new(()), PathAndQuery::from_static(path), codec).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Every method of every service, without a certificate and with one.
#[tokio::test]
async fn without_a_certificate_nothing_is_changed() {
    let folder = scratch("all");
    authority(&folder, &["server", "client"]);
    let tls = ServerTls::load(&files(&folder, Some("server"))).unwrap();
    let address = serve(tls.as_ref(), Loopback::Untrusted).await;
    let bare = ClientTls::load(&files(&folder, None)).unwrap();
    let proven = ClientTls::load(&files(&folder, Some("client"))).unwrap();
    for path in ALL {
        let channel = connect(&address, bare.as_ref(), LIMIT).await.unwrap();
        let code = call(channel, path).await;
        assert_eq!(code == Code::PermissionDenied, class(path) == Class::Change, "{path}: {code:?}");
        let channel = connect(&address, proven.as_ref(), LIMIT).await.unwrap();
        assert_ne!(call(channel, path).await, Code::PermissionDenied, "{path}");
    }
    let plain = serve(None, Loopback::Trusted).await;
    for path in ALL {
        let code = call(connect(&plain, None, LIMIT).await.unwrap(), path).await;
        assert_ne!(code, Code::PermissionDenied, "{path}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn strangers_and_plain_text_are_turned_away() {
    let (ours, theirs) = (scratch("ours"), scratch("theirs"));
    authority(&ours, &["server"]);
    authority(&theirs, &["client"]);
    let tls = ServerTls::load(&files(&ours, Some("server"))).unwrap();
    let address = serve(tls.as_ref(), Loopback::Trusted).await;
    // A certificate of another authority: the handshake fails, at the latest when the first answer is read.
    let mixed = TlsFiles { ca: Some(ours.join("ca.pem")), ..files(&theirs, Some("client")) };
    let stranger = ClientTls::load(&mixed).unwrap();
    if let Ok(channel) = connect(&address, stranger.as_ref(), LIMIT).await {
        let mut client = crate::controller::client::Client::new(channel);
        assert!(client.get_topology(crate::grpc::proto::GetTopologyRequest {}).await.is_err());
    }
    // A server that is not of the authority we trust.
    let distrustful = ClientTls::load(&files(&theirs, None)).unwrap();
    let why = connect(&address, distrustful.as_ref(), LIMIT).await.err().unwrap();
    assert!(why.contains("certificate"), "{why}");
    // No TLS at all.
    if let Ok(channel) = connect(&address, None, LIMIT).await {
        let mut client = crate::controller::client::Client::new(channel);
        assert!(client.get_topology(crate::grpc::proto::GetTopologyRequest {}).await.is_err());
    }
    for folder in [ours, theirs] {
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn files_that_cannot_work_are_told() {
    let folder = scratch("files");
    authority(&folder, &["a", "b"]);
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    let path = |name: &str| Some(folder.join(name));
    let check = |cert: Option<PathBuf>, key: Option<PathBuf>, ca: Option<PathBuf>, expected: &str| {
        let why = ServerTls::load(&TlsFiles { cert, key, ca }).err().unwrap_or_else(|| panic!("no error: {expected}"));
        assert!(why.contains(expected), "{why}, not {expected}");
    };
    check(path("a.pem"), None, None, "a.pem needs its private key");
    check(None, path("a.key"), None, "a.key needs its certificate");
    check(None, None, path("ca.pem"), "ca.pem needs a certificate and its key");
    check(path("a.pem"), path("b.key"), None, "don't work together");
    check(path("none.pem"), path("a.key"), None, "none.pem cannot be read");
    check(path("a.key"), path("a.key"), None, "a.key holds no usable certificate");
    check(path("a.pem"), path("a.pem"), None, "a.pem holds no usable private key");
    check(path("a.pem"), path("a.key"), path("empty.pem"), "empty.pem holds no usable certificate");
    let alone = TlsFiles { cert: path("a.pem"), key: path("a.key"), ca: None };
    assert!(ServerTls::load(&alone).unwrap().is_some_and(|tls| !tls.verifies_clients()));
    assert!(ClientTls::load(&alone).err().unwrap().contains("needs the authority's file"));
    assert!(ClientTls::load(&TlsFiles::default()).unwrap().is_none());
    std::fs::remove_dir_all(&folder).unwrap();
}

const LIMIT: Duration = Duration::from_secs(10);
