//! The controller: keeps a cluster's one record, tells it to gates and tablets, and gives out leases.
//!
//! ```text
//!   tablets, gates ── Register, Renew ──► roll, leases ─┐
//!   weir ctl ──────── ProposeTopology ──────────────────┼─► head ── compare-and-swap ──► store (one file, or etcd)
//!   tablets, gates ◄─ WatchTopology ◄───────────────────┤
//!   tablets ───────── Watch ──────► failover ── moves ──┘
//!   gates ◄────────── Attend ─────► attendance ── relay: kills of clients of other gates
//! ```
//! Invariant: what is acknowledged is in the store. Of several controllers one leads, and it alone changes the record and
//! gives leases; all of them tell it. Gates and tablets go on with their last word when no controller is there (S78).

pub mod limits;

pub mod epoch;

pub mod record;
pub mod wire;

pub mod outlook;

pub mod leases;

pub mod tally;

pub mod head;
pub mod roll;

pub mod relay;

pub mod attendance;

pub mod failover;

pub mod metrics;
pub mod service;

pub mod client;

use crate::config::controller::{ControllerConfig, StoreConfig};
use crate::grpc::access::Loopback;
use crate::grpc::server;
use crate::grpc::tls::{ClientTls, ServerTls};
use crate::http;
use crate::store::{Embedded, Etcd, EtcdOptions, Store};
use head::Head;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;

/// Runs on this thread until SIGTERM or SIGINT.
pub fn run(config: ControllerConfig) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the controller's thread cannot start: {error}"))?;
    runtime.block_on(serve(config))
}

async fn serve(config: ControllerConfig) -> Result<(), String> {
    let cannot = |error| format!("listen: cannot listen on {} ({error}): choose another address", config.listen);
    let listener = TcpListener::bind(config.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let advertise = config.advertise.clone().unwrap_or_else(|| address.to_string());
    let store: Arc<dyn Store> = match &config.store {
        StoreConfig::File(path) => Arc::new(Embedded::open(path, &advertise)?),
        StoreConfig::Etcd { endpoints, tls, leader_s } => Arc::new(Etcd::start(EtcdOptions {
            endpoints: endpoints.clone(),
            tls: ClientTls::load(tls)?,
            cluster: config.cluster.clone(),
            address: advertise,
            leader_s: *leader_s,
        })),
    };
    let head = Head::new(store.clone(), &config.cluster, config.lease_ms);
    let mut tasks = JoinSet::new();
    tasks.spawn(head.clone().run());
    let (shell, desk) = failover::Shell::new(head.clone(), config.failover.clone(), ClientTls::load(&config.tls)?);
    tasks.spawn(shell.run());
    if let Some(listener) = config.http.bind().await? {
        tasks.spawn(http::serve(listener, metrics::Window::new(head.clone())));
    }
    let tls = ServerTls::load(&config.tls)?;
    server::warn_about("the controller", address, tls.as_ref());
    let server = server::builder(tls.as_ref(), Loopback::Trusted, limits::CALLS_MAX)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    announce(address, &config);
    tokio::select! {
        outcome = server.serve_with_incoming(service::server(head, desk), incoming) => {
            outcome.map_err(|error| format!("gRPC failed: {error}"))?;
        }
        () = ended() => {}
    }
    store.resign().await;
    tracing::info!(event = "controller_ended", "the controller has ended");
    Ok(())
}

fn announce(address: SocketAddr, config: &ControllerConfig) {
    tracing::info!(event = "controller_started", %address, cluster = config.cluster, store = config.store.show());
}

async fn ended() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
