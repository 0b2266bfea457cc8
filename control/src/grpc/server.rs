//! A gRPC server as every process of ours runs it: TLS if there is, the access table in front of all services.

use super::access::{AccessLayer, Loopback};
use super::tls::{ServerTls, root};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
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

/// A server whose certificate can be replaced: another one takes the same socket, and the former one's connections go on.
pub struct Renewable {
    listener: std::net::TcpListener,
    address: SocketAddr,
    calls_max: usize,
    run: Run,
    /// Accepts. A connection that is accepted has a task of its own.
    task: AbortHandle,
}

type Run = Box<dyn Fn(Guarded, TcpIncoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

impl Renewable {
    /// `run` serves until its future is dropped.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        tls: Option<&ServerTls>,
        calls_max: usize,
        run: impl Fn(Guarded, TcpIncoming) -> F + Send + 'static,
    ) -> Result<Renewable, String> {
        let failed = |error: std::io::Error| format!("gRPC cannot listen: {error}");
        let (address, listener) = (listener.local_addr().map_err(failed)?, listener.into_std().map_err(failed)?);
        let run: Run = Box::new(move |server, incoming| Box::pin(run(server, incoming)));
        let task = accept(&listener, tls, calls_max, &run)?;
        Ok(Renewable { listener, address, calls_max, run, task })
    }

    /// Who connects from now on sees this certificate. On failure the former one stays.
    pub fn renew(&mut self, tls: Option<&ServerTls>) -> Result<(), String> {
        let next = accept(&self.listener, tls, self.calls_max, &self.run)?;
        // Who is in the middle of a handshake with the former one connects again.
        std::mem::replace(&mut self.task, next).abort();
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn listener(&self) -> &std::net::TcpListener {
        &self.listener
    }
}

impl Drop for Renewable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn accept(
    listener: &std::net::TcpListener,
    tls: Option<&ServerTls>,
    calls_max: usize,
    run: &Run,
) -> Result<AbortHandle, String> {
    let server = builder(tls, Loopback::Trusted, calls_max)?;
    let shared = listener.try_clone().and_then(TcpListener::from_std);
    let shared = shared.map_err(|error| format!("gRPC cannot listen: {error}"))?;
    let incoming = TcpIncoming::from(shared).with_nodelay(Some(true));
    Ok(tokio::spawn(run(server, incoming)).abort_handle())
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
