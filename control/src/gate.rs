//! The gate: configuration in, a running proxy out. Everything that is not a query's path lives on its control thread.
//!
//! ```text
//!   keys ─► first look at the backends ─► cores start ─► control loop: monitor, HTTP, gRPC, mail of the cores, orders
//!                                                           └─ drain ─► cores end
//! ```
//! The order has a reason: clients are let in only when somebody can serve them, and a gate that can't start says why
//! before it has taken a port.

pub mod admin_port;
pub mod backend_tls;
pub mod certificates;
pub mod cluster;
pub mod control;
pub mod crew;
pub mod desk;
pub mod events;
pub mod files;
pub mod filters;
pub mod gather;
pub mod inquiries;
pub mod keys;
pub mod kills;
pub mod kin;
pub mod roster;
pub mod upgrade;
pub mod witness;

use crate::config::{Config, Source, address};
use crate::grpc::access::Loopback;
use crate::grpc::server::Renewable;
use crate::grpc::tls::ServerTls;
use crate::monitor::{Sight, Topology};
use crate::{client, grpc, http, notify};
use certificates::Certificates;
use cluster::Cluster;
use control::{Control, Inputs, Order, Succession};
use crew::Crew;
use desk::Desk;
use events::Events;
use files::Files;
use filters::Keeper;
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
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use upgrade::{Legacy, Program};
use weir_core::board::Board;
use weir_core::drive::{self, BatchMode, DriveOptions, Inherited, ListenAddress, OnPanic, Running, Seat, StartError};
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
    /// The gate that is to be followed, or how this process was started.
    Legacy(String),
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
            GateError::Keys(text) | GateError::Files(text) | GateError::Legacy(text) => f.write_str(text),
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

/// Runs on this thread until a signal ends it: the first SIGTERM or SIGINT drains, the second ends at once. SIGHUP reads `source`
/// again, SIGUSR2 has another process take over. `legacy`: what the gate before this one has left.
pub fn run(config: Config, source: Source, legacy: Option<Legacy>) -> Result<(), GateError> {
    let program = Program::of_this_process().map_err(GateError::Machine)?;
    let origin = Origin { source: Some(source), program: Some(program), legacy };
    runtime()?.block_on(async {
        let (orders, inbox) = mpsc::unbounded_channel();
        let signals = tokio::spawn(forward_signals(orders));
        let outcome = serve(config, origin, inbox, &mut |addresses| announce(addresses)).await;
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
        runtime()?.block_on(serve(config, Origin::default(), inbox, &mut tell))
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

    /// Reads certificates and permissions now and opens the query log anew. What a SIGHUP does, but for the configuration, which
    /// nobody typed.
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

/// Where a gate comes from. Nothing of it: it is a part of another process.
#[derive(Default)]
struct Origin {
    source: Option<Source>,
    program: Option<Program>,
    legacy: Option<Legacy>,
}

async fn serve(
    mut config: Config,
    mut origin: Origin,
    orders: mpsc::UnboundedReceiver<Order>,
    started: &mut dyn FnMut(&Addresses),
) -> Result<(), GateError> {
    let towards_backends =
        backend_tls::make(config.backend_tls, config.backend_tls_ca.as_deref()).map_err(GateError::Keys)?;
    let keys = keys::of_gate(&config, towards_backends).map_err(GateError::Keys)?;
    let (admin, grpc) = bind_own(&config, &mut origin.legacy).await?;
    let admin_sql = admin_port::bind(&config, origin.legacy.is_some()).await?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let tally = Arc::<Tally>::default();
    let mut files = Files::open(&config, tally.clone()).map_err(GateError::Files)?;
    files::spell_out(&mut config);
    let mut topology = Topology::new(&config, keys);
    topology.permit(files.held());
    let (server_tls, client_tls) = certificates::grpc_tls(&config.grpc_tls).map_err(GateError::Keys)?;
    grpc::server::builder(server_tls.as_ref(), Loopback::Trusted, grpc::CALLS_MAX).map_err(GateError::Keys)?;
    let (mut crew, mut sights) = Crew::start(&config, client_tls.clone());
    let inquiries = Inquiries::new(config.monitor.clone(), client_tls.clone());
    let life = u64::from_le_bytes(random(b"life"));
    let tag = draw_tag(origin.legacy.as_ref().map_or(&[], |legacy| &legacy.tags));
    let mut kills = Kills::start(&config, client_tls.clone(), tag, life, &mut tasks);
    let mut cluster = Cluster::start(&config, client_tls.clone(), &mut tasks).map_err(GateError::Keys)?;
    let mut filters = Keeper::open(&config, client_tls.clone()).map_err(GateError::Files)?;
    let mut events = Events::default();
    let mut seen = (&mut topology, &mut events);
    first_look(&config, &mut seen, &mut sights, (&mut crew, &mut cluster), began).await?;
    filters.begin(cluster.as_ref(), &mut topology);
    let (desk, asks, peers) = Desk::new();
    let mut addresses = Addresses {
        clients: Vec::new(),
        admin: local(admin.as_ref()),
        grpc: local(grpc.as_ref()),
        admin_sql: local(admin_sql.as_ref()),
    };
    let door = admin_port::door(&config, topology.keys(), desk.clone());
    let admin_sql = admin_port::open(&config, admin_sql, door);
    topology.news();
    let board = Arc::<Board>::default();
    let former = origin.legacy.as_ref().map(|legacy| legacy.tags.clone()).unwrap_or_default();
    let tag = kills.settle_tag(&former).await;
    let inherited = origin.legacy.as_mut().map(|legacy| std::mem::take(&mut legacy.clients)).unwrap_or_default();
    let running =
        start_cores(&config, &topology.snapshot(), inherited, (&board, &tally, tag)).map_err(GateError::Start)?;
    addresses.clients = running.addresses().to_vec();
    if let Some(legacy) = origin.legacy {
        follow(legacy, &config, &mut kills).await?;
    }
    // Not before: until then the former gate answers, who can.
    let admin = admin.map(|listener| serve_http(listener, &desk)).transpose()?;
    let grpc = grpc.map(|listener| serve_grpc(listener, &config, server_tls.as_ref(), &desk)).transpose()?;
    let certificates = Certificates::new(&config, grpc, client_tls);
    started(&addresses);
    if let Some(cluster) = &mut cluster {
        let clients = addresses.clients.first().map(address::show_listen).unwrap_or_default();
        let grpc = addresses.grpc.map(|grpc| grpc.to_string()).unwrap_or_default();
        cluster.announce(clients, grpc, desk.clone(), board, &mut tasks);
    }
    let parts = (crew, cluster, inquiries, kills);
    let succession = Succession::new(origin.program, admin, admin_sql, former);
    let files = (files, filters, certificates, succession, events);
    let control = Control::new((&config, origin.source), running, topology, desk, parts, files, began);
    control.run(Inputs { sights, asks, kills: peers, orders }).await.map_err(GateError::Machine)
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

/// HTTP and gRPC, on the former gate's sockets where there are such.
async fn bind_own(
    config: &Config,
    legacy: &mut Option<Legacy>,
) -> Result<(Option<TcpListener>, Option<TcpListener>), GateError> {
    let inherit = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(GateError::Machine)
    };
    let admin = legacy.as_mut().and_then(|legacy| legacy.admin(config.admin_listen));
    let admin = match admin {
        Some(listener) => Some(inherit(listener)?),
        None => bind(config.admin_listen, "admin_listen (HTTP)", config.admin_is_optional).await?,
    };
    let grpc = legacy.as_mut().and_then(|legacy| legacy.grpc(config.grpc_listen));
    let grpc = match grpc {
        Some(listener) => Some(inherit(listener)?),
        None => bind(config.grpc_listen, "grpc_listen", config.admin_is_optional).await?,
    };
    Ok((admin, grpc))
}

/// The socket once more, for the next gate, and who accepts.
fn serve_http(listener: TcpListener, desk: &Desk) -> Result<(std::net::TcpListener, AbortHandle), GateError> {
    let own = listener.into_std().map_err(GateError::Machine)?;
    let shared = own.try_clone().and_then(TcpListener::from_std).map_err(GateError::Machine)?;
    Ok((own, tokio::spawn(http::serve(shared, desk.clone())).abort_handle()))
}

fn serve_grpc(
    listener: TcpListener,
    config: &Config,
    tls: Option<&ServerTls>,
    desk: &Desk,
) -> Result<Renewable, GateError> {
    config.grpc_listen.iter().for_each(|listen| grpc::server::warn_about("grpc_listen", *listen, tls));
    let desk = desk.clone();
    let run = move |server, incoming| grpc::serve(server, incoming, desk.clone());
    Renewable::start(listener, tls, grpc::CALLS_MAX, run).map_err(GateError::Keys)
}

/// Says that this process serves. From here on it knows those before it.
async fn follow(legacy: Legacy, config: &Config, kills: &mut Kills) -> Result<(), GateError> {
    let gone = |error| GateError::Legacy(format!("the gate that was to be followed is gone ({error})"));
    let tags = legacy.tags.clone();
    let following = legacy.succeed(&config.listen).await.map_err(gone)?;
    tracing::info!(event = "taken_over", "this process has taken over; the former one finishes its sessions");
    kills.follow(following, &tags);
    Ok(())
}

/// How connection ids begin. Ids without a tag are the servers' own: a KILL of one of those must not find a client of ours. Those of former
/// processes may still have clients.
fn draw_tag(former: &[u8]) -> u8 {
    let drawn = random(b"tag")[0];
    let is_free = |tag: &u8| !former.contains(tag);
    (0..u8::MAX).map(|step| drawn.wrapping_add(step).max(1)).find(is_free).unwrap_or(drawn.max(1))
}

fn start_cores(
    config: &Config,
    snapshot: &Snapshot,
    inherited: Vec<Inherited>,
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
        inherited,
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
    notify::ready("serving");
}

async fn forward_signals(orders: mpsc::UnboundedSender<Order>) {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::user_defined2()];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup), Ok(mut upgrade)] = kinds.map(signal) else {
        tracing::error!(event = "signals_failed", "signals can't be caught: SIGTERM will end the gate without a drain");
        return;
    };
    let mut ends = [Order::Drain, Order::Stop].into_iter();
    loop {
        let order = tokio::select! {
            _ = terminate.recv() => ends.next(),
            _ = interrupt.recv() => ends.next(),
            _ = hangup.recv() => Some(Order::Reload),
            _ = upgrade.recv() => Some(Order::Upgrade),
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
