//! A gRPC server as every process of ours runs it: TLS if there is, the access table in front of all services.

use super::access::{AccessLayer, Loopback};
use super::tls::{ServerTls, root};
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Server;
use tower_layer::{Identity, Stack};

pub type Guarded = Server<Stack<AccessLayer, Identity>>;

/// `calls_max`: at once on one connection.
pub fn builder(tls: Option<&ServerTls>, loopback: Loopback, calls_max: usize) -> Result<Guarded, String> {
    let server = Server::builder()
        .concurrency_limit_per_connection(calls_max)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_LIMIT));
    let server = match tls {
        Some(tls) => {
            server.tls_config(tls.config()).map_err(|error| format!("TLS for gRPC cannot be used: {}", root(&error)))?
        }
        None => server,
    };
    Ok(server.layer(AccessLayer { loopback }))
}

/// What an operator who listens for other machines should know.
pub fn warn_about(what: &str, listen: SocketAddr, tls: Option<&ServerTls>) {
    if listen.ip().is_loopback() {
        return;
    }
    match tls {
        None => tracing::warn!(
            event = "grpc_is_plain",
            "{what} listens on {listen} without TLS: other machines may read there, and change nothing; name a \
             certificate, its key and the authority of those who may"
        ),
        Some(tls) if !tls.verifies_clients() => tracing::warn!(
            event = "grpc_reads_only",
            "{what} listens on {listen} without an authority for clients: other machines may change nothing"
        ),
        Some(_) => {}
    }
}

/// A peer that vanished without a word is noticed after their sum.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(5);
