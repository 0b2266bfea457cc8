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

pub mod filters;

pub mod relay;

pub mod attendance;

pub mod failover;

pub mod metrics;
pub mod service;

pub mod client;

use crate::again::Again;
use crate::config::Mistakes;
use crate::config::controller::{ControllerConfig, StoreConfig};
use crate::grpc::proto::controller_server::ControllerServer;
use crate::grpc::secured::Secured;
use crate::grpc::server::Guarded;
use crate::grpc::tls::ClientTls;
use crate::store::{Embedded, Etcd, EtcdOptions, Store};
use crate::{http, notify};
use head::Head;
use service::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;

/// Runs on this thread until SIGTERM or SIGINT. SIGHUP follows what `read` gives.
pub fn run(
    config: ControllerConfig,
    read: impl Fn() -> Result<ControllerConfig, Mistakes> + 'static,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the controller's thread cannot start: {error}"))?;
    runtime.block_on(async { serve(config, Again::new(read)).await })
}

async fn serve(mut config: ControllerConfig, mut again: Option<Again<ControllerConfig>>) -> Result<(), String> {
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
    let client = ClientTls::load(&config.tls)?;
    let (shell, desk) = failover::Shell::new(head.clone(), config.failover.clone(), client.clone());
    tasks.spawn(shell.run());
    let http = config.http.bind().await?;
    let service = service::server(head.clone(), desk);
    let run = move |server, incoming| serve_grpc(server, service.clone(), incoming);
    let mut secured = Secured::start(listener, (&config.tls, client), limits::CALLS_MAX, "the controller", run)?;
    if let Some(listener) = http {
        tasks.spawn(http::serve(listener, metrics::Window::new(head, secured.ends())));
    }
    announce(address, &config);
    let mut end = std::pin::pin!(ended());
    loop {
        tokio::select! {
            () = secured.due() => secured.look(),
            () = Again::asked(&mut again) => {
                if let Some(again) = &again {
                    again.reload(&mut config, &mut secured);
                }
            }
            () = &mut end => break,
        }
    }
    store.resign().await;
    tracing::info!(event = "controller_ended", "the controller has ended");
    Ok(())
}

async fn serve_grpc(server: Guarded, service: ControllerServer<Service>, incoming: TcpIncoming) {
    if let Err(error) = server.serve_with_incoming(service, incoming).await {
        tracing::error!(event = "grpc_failed", %error);
    }
}

fn announce(address: SocketAddr, config: &ControllerConfig) {
    tracing::info!(event = "controller_started", %address, cluster = config.cluster, store = config.store.show());
    notify::ready("serving");
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
