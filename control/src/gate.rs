//! The gate: configuration in, a running proxy out. Everything that is not a query's path lives on its control thread.
//!
//! ```text
//!   keys ─► first look at the backends ─► cores start ─► control loop: monitor, HTTP, gRPC, mail of the cores, orders
//!                                                           └─ drain ─► cores end
//! ```
//! The order has a reason: clients are let in only when somebody can serve them, and a gate that can't start says why
//! before it has taken a port.

pub mod backend_tls;
pub mod cluster;
pub mod control;
pub mod crew;
pub mod desk;
pub mod events;
pub mod files;
pub mod gather;
pub mod inquiries;
pub mod keys;
pub mod kills;
pub mod roster;
pub mod witness;

use crate::admin::{self, Door};
use crate::config::{AdminSql, Config, address};
use crate::grpc::access::Loopback;
use crate::grpc::tls::{ClientTls, ServerTls};
use crate::monitor::{Sight, Topology};
use crate::{audit, client, grpc, http};
use cluster::Cluster;
use control::{Control, Inputs, Order};
use crew::Crew;
use desk::Desk;
use events::Events;
use files::Files;
use inquiries::Inquiries;
use kills::Kills;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as thread_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::server::TcpIncoming;
use weir_core::board::Board;
use weir_core::drive::{self, BatchMode, DriveOptions, ListenAddress, OnPanic, Running, Seat, StartError};
use weir_core::engine::{Engine, EngineOptions};
use weir_core::snapshot::Snapshot;
use weir_core::tally::Tally;

/// Why a gate can't start; each is one sentence (or a short list) that says what to do.
#[derive(Debug)]
pub enum GateError {
    Keys(String),
    /// Table permissions or the query log.
    Files(String),
    /// Every backend with its reason.
    NoBackend(Vec<(String, String)>),
    Start(StartError),
    /// The address of HTTP or gRPC.
    Admin {
        what: &'static str,
        address: SocketAddr,
        error: std::io::Error,
    },
    Machine(std::io::Error),
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GateError::Keys(text) | GateError::Files(text) => f.write_str(text),
            GateError::NoBackend(reasons) => {
                f.write_str("no backend can be reached; correct what keeps each away:")?;
                reasons.iter().try_for_each(|(name, why)| write!(f, "\n  {name}: {why}"))
            }
            GateError::Start(error) => error.fmt(f),
            GateError::Admin { what, address, error } => {
                write!(f, "{what} cannot listen on {address} ({error}): choose another address, or 'off'")
            }
            GateError::Machine(error) => write!(f, "the control thread cannot start: {error}"),
        }
    }
}

impl std::error::Error for GateError {}

/// Where a started gate can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// With the ports that the kernel chose where 0 was asked for.
    pub clients: Vec<ListenAddress>,
    pub admin: Option<SocketAddr>,
    pub grpc: Option<SocketAddr>,
    /// The admin port.
    pub admin_sql: Option<SocketAddr>,
}

/// Runs on this thread until a signal ends it: the first SIGTERM or SIGINT drains, the second ends at once.
pub fn run(config: Config) -> Result<(), GateError> {
    runtime()?.block_on(async {
        let (orders, inbox) = mpsc::unbounded_channel();
        let signals = tokio::spawn(forward_signals(orders));
        let outcome = serve(config, inbox, &mut |addresses| announce(addresses)).await;
        signals.abort();
        outcome
    })
}

/// Starts a gate with its control on a thread of its own; returns when it serves.
pub fn start(config: Config) -> Result<GateHandle, GateError> {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (told, telling) = thread_channel::channel();
    let body = move || {
        let mut tell = |addresses: &Addresses| drop(told.send(addresses.clone()));
        runtime()?.block_on(serve(config, inbox, &mut tell))
    };
    let builder = std::thread::Builder::new().name("weir-control".to_string());
    let thread = builder.spawn(body).map_err(GateError::Machine)?;
    match telling.recv() {
        Ok(addresses) => Ok(GateHandle { addresses, orders, thread: Some(thread) }),
        Err(_) => match thread.join() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Err(GateError::Machine(std::io::Error::other("it ended before the gate served"))),
        },
    }
}

/// A gate inside this process. Dropping it ends the gate at once.
pub struct GateHandle {
    addresses: Addresses,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<Result<(), GateError>>>,
}

impl GateHandle {
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The first TCP address for clients.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.clients.iter().find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        })
    }

    pub fn admin_sql_address(&self) -> Option<SocketAddr> {
        self.addresses.admin_sql
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.addresses.admin
    }

    /// Connect here as this user; more is set on the result.
    pub fn client_options(&self, user: &str, password: &str) -> Option<client::Options> {
        let address = self.address()?;
        Some(client::Options::tcp(&address.ip().to_string(), address.port()).user(user).password(password))
    }

    /// No new clients; open transactions may end. [`GateHandle::stop`] waits for it.
    pub fn drain(&self) {
        // A gate that has ended has drained.
        let _ = self.orders.send(Order::Drain);
    }

    /// Reads the permissions now and opens the query log anew. What a SIGHUP does.
    pub fn reload(&self) {
        let _ = self.orders.send(Order::Reload);
    }

    /// Waits until a drain has ended, or ends the gate if none was asked for.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.orders.send(Order::StopUnlessDraining);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for GateHandle {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        self.end();
    }
}

async fn serve(
    mut config: Config,
    orders: mpsc::UnboundedReceiver<Order>,
    started: &mut dyn FnMut(&Addresses),
) -> Result<(), GateError> {
    let towards_backends =
        backend_tls::make(config.backend_tls, config.backend_tls_ca.as_deref()).map_err(GateError::Keys)?;
    let keys = keys::make(&config.tls, towards_backends).map_err(GateError::Keys)?;
    let admin = bind(config.admin_listen, "admin_listen (HTTP)", config.admin_is_optional).await?;
    let admin_sql = bind(config.admin_sql.listen, "admin_sql_listen", false).await?;
    let grpc = bind(config.grpc_listen, "grpc_listen", config.admin_is_optional).await?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let tally = Arc::<Tally>::default();
    let files = Files::open(&config, tally.clone(), &mut tasks).map_err(GateError::Files)?;
    config.settings.query_log = files::wanted(&config);
    config.settings.audit = audit::wanted(&config.audit_log);
    let mut topology = Topology::new(&config, keys);
    topology.permit(files.held());
    let (server_tls, client_tls) = grpc_tls(&config).map_err(GateError::Keys)?;
    let (mut crew, mut sights) = Crew::start(&config, client_tls.clone());
    let inquiries = Inquiries::new(config.monitor.clone(), client_tls.clone());
    // Ids without a tag are the servers' own: a KILL of one of those must not find a client of ours.
    let (tag, life) = (random(b"tag")[0].max(1), u64::from_le_bytes(random(b"life")));
    let mut kills = Kills::start(&config, client_tls.clone(), tag, life, &mut tasks);
    let mut cluster = Cluster::start(&config, client_tls, &mut tasks).map_err(GateError::Keys)?;
    let mut events = Events::default();
    let mut seen = (&mut topology, &mut events);
    first_look(&config, &mut seen, &mut sights, (&mut crew, &mut cluster), began).await?;

    let (desk, asks, peers) = Desk::new();
    let mut addresses = Addresses {
        clients: Vec::new(),
        admin: local(admin.as_ref()),
        grpc: local(grpc.as_ref()),
        admin_sql: local(admin_sql.as_ref()),
    };
    if let Some(listener) = admin {
        tasks.spawn(http::serve(listener, desk.clone()));
    }
    if let Some(listener) = admin_sql {
        let AdminSql { user, password, .. } = &config.admin_sql;
        let door = Door::new(user, password, topology.keys().tls.clone(), desk.clone());
        tasks.spawn(admin::serve(listener, Arc::new(door)));
    }
    if let Some(listener) = grpc {
        let tls = server_tls.as_ref();
        config.grpc_listen.iter().for_each(|listen| grpc::server::warn_about("grpc_listen", *listen, tls));
        let server = grpc::server::builder(tls, Loopback::Trusted, grpc::CALLS_MAX).map_err(GateError::Keys)?;
        tasks.spawn(grpc::serve(server, TcpIncoming::from(listener).with_nodelay(Some(true)), desk.clone()));
    }
    topology.news();
    let board = Arc::<Board>::default();
    let tag = kills.settle_tag().await;
    let running = start_cores(&config, &topology.snapshot(), (&board, &tally, tag)).map_err(GateError::Start)?;
    addresses.clients = running.addresses().to_vec();
    started(&addresses);
    if let Some(cluster) = &mut cluster {
        let clients = addresses.clients.first().map(address::show_listen).unwrap_or_default();
        let grpc = addresses.grpc.map(|grpc| grpc.to_string()).unwrap_or_default();
        cluster.announce(clients, grpc, desk.clone(), board, &mut tasks);
    }
    let control =
        Control::new(&config, running, topology, desk, (crew, cluster, inquiries, kills), (files, events), began);
    control.run(Inputs { sights, asks, kills: peers, orders }).await.map_err(GateError::Machine)
}

/// The same files as a server and as a client of tablets and controllers.
fn grpc_tls(config: &Config) -> Result<(Option<ServerTls>, Option<ClientTls>), String> {
    // Who verifies nobody speaks no TLS to others, and may still be asked by TLS.
    let client = if config.grpc_tls.ca.is_some() { ClientTls::load(&config.grpc_tls)? } else { None };
    let server = if config.grpc_tls.cert.is_some() { ServerTls::load(&config.grpc_tls)? } else { None };
    Ok((server, client))
}

fn runtime() -> Result<tokio::runtime::Runtime, GateError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(GateError::Machine)
}

async fn bind(
    address: Option<SocketAddr>,
    what: &'static str,
    is_optional: bool,
) -> Result<Option<TcpListener>, GateError> {
    let Some(address) = address else { return Ok(None) };
    http::bind(address, what, is_optional).await.map_err(|error| GateError::Admin { what, address, error })
}

fn local(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

/// Until every backend has been looked at and one is up; or, late, until one is up at all.
async fn first_look(
    config: &Config,
    (topology, events): &mut (&mut Topology, &mut Events),
    sights: &mut mpsc::Receiver<Sight>,
    (crew, cluster): (&mut Crew, &mut Option<Cluster>),
    began: Instant,
) -> Result<(), GateError> {
    let limit = began + Duration::from_millis(config.monitor.start_ms_max);
    let mut patience = limit;
    loop {
        // The controllers' first word may still come.
        let is_hopeless = topology.is_hopeless() && (cluster.is_none() || !topology.is_empty());
        if topology.is_all_looked_at() && (topology.is_any_up() || is_hopeless) {
            break;
        }
        tokio::select! {
            sight = sights.recv() => {
                let Some(sight) = sight else { break };
                // Who else there is can be added when it runs.
                control::fold(topology, events, sight, began);
                crew.tell_source(topology.source());
                if topology.is_usable() {
                    patience = patience.min(Instant::now() + STRAGGLERS_LIMIT);
                }
            }
            () = Cluster::changed(cluster) => {
                if let Some(cluster) = cluster {
                    cluster.handle_news(topology, crew);
                }
            }
            () = tokio::time::sleep_until(patience) => break,
        }
    }
    match topology.is_any_up() {
        true => Ok(()),
        false if topology.is_empty() => {
            let why = "no controller has told of any member: start tablets, or correct the controllers' addresses";
            Err(GateError::NoBackend(vec![("controllers".to_string(), why.to_string())]))
        }
        false => Err(GateError::NoBackend(topology.faults())),
    }
}

fn start_cores(
    config: &Config,
    snapshot: &Snapshot,
    (board, tally, tag): (&Arc<Board>, &Arc<Tally>, u8),
) -> Result<Running, StartError> {
    let snapshot = Arc::new(snapshot.clone());
    let (board, tally) = (board.clone(), tally.clone());
    let make = move |seat: Seat| {
        let options = EngineOptions {
            board: board.clone(),
            tally: tally.clone(),
            core: seat.core,
            cores: seat.cores,
            blocks: seat.blocks,
            block_bytes: seat.block_bytes,
            seed: u64::from_le_bytes(random(b"seed")),
            tag,
            snapshot: snapshot.clone(),
        };
        Engine::new(seat.now, options)
    };
    drive::start(DriveOptions {
        cores: config.cores.clone(),
        listen: config.listen.clone(),
        blocks_per_core: config.memory.blocks_per_core,
        block_bytes: config.memory.block_bytes,
        backlog: config.memory.backlog,
        batch: BatchMode::default(),
        on_panic: OnPanic::ExitGate,
        make: Arc::new(make),
    })
}

/// The kernel's randomness: nonces follow from the seed, so nobody may guess it.
fn random(what: &[u8]) -> [u8; 8] {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    assert!(read.is_ok(), "no {} without /dev/urandom: mount /dev", String::from_utf8_lossy(what));
    bytes
}

fn announce(addresses: &Addresses) {
    let clients: Vec<String> = addresses.clients.iter().map(address::show_listen).collect();
    let show = |address: Option<SocketAddr>| address.map_or("off".to_string(), |address| address.to_string());
    tracing::info!(
        event = "gate_started",
        clients = clients.join(" "),
        admin = show(addresses.admin),
        grpc = show(addresses.grpc),
        "weir is open for clients"
    );
}

async fn forward_signals(orders: mpsc::UnboundedSender<Order>) {
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
        tracing::error!(event = "signals_failed", "signals can't be caught: SIGTERM will end the gate without a drain");
        return;
    };
    let mut ends = [Order::Drain, Order::Stop].into_iter();
    loop {
        let order = tokio::select! {
            _ = terminate.recv() => ends.next(),
            _ = interrupt.recv() => ends.next(),
            _ = hangup.recv() => Some(Order::Reload),
        };
        match order {
            Some(order) if orders.send(order).is_ok() => {}
            _ => return,
        }
    }
}

/// At the start, when somebody can serve already: how long the other backends may take to answer.
const STRAGGLERS_LIMIT: Duration = Duration::from_millis(1_000);

#[cfg(test)]
mod tests;
