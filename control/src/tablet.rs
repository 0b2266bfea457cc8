//! The tablet: the agent beside one MySQL server, and its gRPC service.
//!
//! ```text
//!   mysqld ◄── Watcher (look, stream) ── Sight ──► Hub: the one Word ──► Watch streams of gates and controllers
//!      ▲                                                   Service: Execute, Kill, ReloadPermissions ─┐
//!      ├──────────────────────── Admin, an account of its own ◄── Caller who may ─────────────────────┘
//!      └── Hands ◄── Steward ◄── lease, topology ─┐
//!   controllers ◄────────────────────────── Registrar ──► Membership ──► Hub
//! ```
//! Invariant: it starts whether or not its server can be reached, and lives on through all that happens to it; what it
//! finds is a state on the stream, never an end of the process. It is one thread.

pub mod membership;
pub mod word;

pub mod hub;
pub mod registrar;
pub mod wire;

pub mod tally;

pub mod hands;
pub mod steward;

pub mod admin;
pub mod find;
pub mod metrics;
pub mod service;

pub mod follower;
pub mod keepalive;

use crate::acl::Permissions;
use crate::again::Again;
use crate::client::Options;
use crate::config::Mistakes;
use crate::config::tablet::{Manage, StewardConfig, TabletConfig};
use crate::controller::client::Lease;
use crate::controller::record::Record;
use crate::grpc::secured::Secured;
use crate::grpc::server::Guarded;
use crate::monitor::{Sight, Watcher, lookup};
use crate::{http, notify};
use admin::Admin;
use hands::fence::LastResort;
use hands::{Account, Hands};
use hub::Hub;
use registrar::Registrar;
use service::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as thread_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use steward::{Setup, Steward};
use tally::Tally;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::server::TcpIncoming;
use weir_core::snapshot::Address;
use weir_net::secret::Secret;

/// Runs on this thread until SIGTERM or SIGINT. SIGHUP follows what `read` gives.
pub fn run(config: TabletConfig, read: impl Fn() -> Result<TabletConfig, Mistakes> + 'static) -> Result<(), String> {
    runtime()?.block_on(async {
        let end = async {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve(config, (None, Again::new(read)), end, &mut |_, _| notify::ready("serving")).await
    })
}

/// What a steward goes by: the record as it was told, and this tablet's lease.
pub struct Guide {
    pub record: watch::Receiver<Option<Arc<Record>>>,
    pub lease: watch::Receiver<Lease>,
}

/// A tablet inside this process, on a thread of its own. Dropping it ends it.
pub struct TabletHandle {
    address: SocketAddr,
    hub: Hub,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

/// Returns when it serves.
pub fn start(config: TabletConfig) -> Result<TabletHandle, String> {
    start_guided(config, None)
}

/// As if controllers had said what the guide says.
pub fn start_guided(config: TabletConfig, guide: Option<Guide>) -> Result<TabletHandle, String> {
    let (end, ended) = oneshot::channel::<()>();
    let (told, telling) = thread_channel::channel();
    let body = move || {
        let mut tell = |address, hub: &Hub| drop(told.send((address, hub.clone())));
        let end = async {
            // Whoever held the tablet has dropped it.
            let _ = ended.await;
        };
        runtime()?.block_on(serve(config, (guide, None), end, &mut tell))
    };
    let thread = std::thread::Builder::new().name("weir-tablet".to_string()).spawn(body);
    let thread = thread.map_err(|error| format!("the tablet's thread cannot start: {error}"))?;
    match telling.recv() {
        Ok((address, hub)) => Ok(TabletHandle { address, hub, end: Some(end), thread: Some(thread) }),
        Err(_) => match thread.join() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Err("the tablet ended before it served".to_string()),
        },
    }
}

impl TabletHandle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The word that holds now.
    pub fn word(&self) -> word::Word {
        self.hub.word()
    }
}

impl Drop for TabletHandle {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    mut config: TabletConfig,
    (guide, mut again): (Option<Guide>, Option<Again<TabletConfig>>),
    end: impl Future<Output = ()>,
    started: &mut dyn FnMut(SocketAddr, &Hub),
) -> Result<(), String> {
    let cannot = |error| format!("listen: cannot listen on {} ({error}): choose another address", config.listen);
    let listener = TcpListener::bind(config.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let permissions = Permissions::open(config.permissions.as_deref())?;
    let hub = Hub::new(word::Word::new(&config.name, config.advertise.as_ref()));
    let mut registrar = Registrar::start(&config, address)?;
    let mut tasks = JoinSet::new();
    let (sender, mut sights) = mpsc::channel(SIGHTS_MAX);
    let watcher = watcher(&config, sender);
    let guide = guide.or_else(|| registrar.as_ref().map(Registrar::guide));
    let (tally, lease) = (Arc::default(), guide.as_ref().map(|guide| guide.lease.clone()));
    if let Some(steward) = guide.and_then(|guide| steward(&config, &hub, &watcher, guide, &tally)) {
        tasks.spawn(steward.run());
    }
    let http = config.http.bind().await?;
    tasks.spawn(watcher.run());
    tasks.spawn(permissions.clone().watch());
    let admin = Admin { options: options(&config, &config.admin_user, &config.admin_password, "weir-tablet-admin") };
    let accounts = accounts(&config, &admin);
    let service = Service { hub: hub.clone(), admin, permissions: permissions.clone(), accounts };
    let files = (&config.tls, registrar.as_ref().and_then(Registrar::tls));
    let run = move |server, incoming| serve_grpc(server, service.clone(), incoming);
    let mut secured = Secured::start(listener, files, CALLS_MAX, "the tablet", run)?;
    if let Some(listener) = http {
        let (hub, ends, began) = (hub.clone(), secured.ends(), Instant::now());
        tasks.spawn(http::serve(listener, metrics::Window { hub, tally, lease, ends, began }));
    }
    keepalive::warn_about_silence();
    tracing::info!(event = "tablet_started", %address, server = crate::config::address::show(&config.server));
    started(address, &hub);
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = secured.due() => secured.look(),
            () = Again::asked(&mut again) => {
                permissions.reload();
                if let Some(again) = &again {
                    again.reload(&mut config, &mut secured);
                }
            }
            Some(sight) = sights.recv() => {
                let is_look = matches!(sight, Sight::Look { .. });
                hub.handle_sight(sight);
                // Executed sets come by the thousand, and are nothing to announce.
                if let Some(registrar) = registrar.as_mut().filter(|_| is_look) {
                    registrar.handle_word(&hub.word());
                    advance(registrar, &hub);
                }
            }
            () = Registrar::changed(&mut registrar) => {
                if let Some(registrar) = &mut registrar {
                    advance(registrar, &hub);
                }
            }
        }
    }
    tracing::info!(event = "tablet_ended", "the tablet has ended");
    Ok(())
}

/// Here lease, topology and role are known together.
fn advance(registrar: &mut Registrar, hub: &Hub) {
    let now = Instant::now();
    hub.handle_membership(now, registrar.advance(now));
}

async fn serve_grpc(server: Guarded, service: Service, incoming: TcpIncoming) {
    if let Err(error) = server.serve_with_incoming(service::server(service), incoming).await {
        tracing::error!(event = "grpc_failed", %error);
    }
}

/// With what a look-up of transactions asks.
fn accounts(config: &TabletConfig, admin: &Admin) -> lookup::Accounts {
    let StewardConfig { replication_user, replication_password, .. } = &config.steward;
    let dump = match replication_user.is_empty() {
        true => admin.options.clone(),
        false => options(config, replication_user, replication_password, "weir-tablet-lookup"),
    };
    lookup::Accounts { look: admin.options.clone(), dump }
}

/// None: nobody manages the server.
fn steward(config: &TabletConfig, hub: &Hub, watcher: &Watcher, guide: Guide, tally: &Arc<Tally>) -> Option<Steward> {
    let StewardConfig { manage, semi_sync, fence_kill, .. } = config.steward;
    let is_on = match manage {
        Manage::On => true,
        Manage::Off => false,
        Manage::Auto => config.admin_user != config.user,
    };
    if !is_on {
        tracing::info!(event = "not_managed", "the server is only looked at: its role is moved by others (see manage)");
        return None;
    }
    let account = Account {
        user: config.steward.replication_user.clone(),
        password: config.steward.replication_password.clone(),
    };
    let admin = plain_options(config, &config.admin_user, &config.admin_password);
    let replication = Some(account).filter(|account| !account.user.is_empty());
    Some(Steward::new(Setup {
        name: config.name.clone(),
        hands: Hands::new(&config.server, admin, &config.user, replication, tally),
        record: guide.record,
        lease: guide.lease,
        hub: hub.clone(),
        nudge: watcher.nudge.clone(),
        semi_sync,
        last_resort: if fence_kill { LastResort::KillProcess } else { LastResort::None },
        timeout: Duration::from_millis(config.timeout_ms),
    }))
}

fn watcher(config: &TabletConfig, sights: mpsc::Sender<Sight>) -> Watcher {
    // Nobody knows better than the server whom it follows.
    let (_, source) = watch::channel(None);
    Watcher {
        backend: 0,
        options: options(config, &config.user, &config.password, hands::WATCHER),
        interval: Duration::from_millis(config.interval_ms),
        sights,
        nudge: Arc::new(Notify::new()),
        last_nudge: None,
        source,
        discovers: false,
        memory: Arc::default(),
        began: Instant::now(),
    }
}

fn options(config: &TabletConfig, user: &str, password: &Secret, program: &str) -> Options {
    plain_options(config, user, password).attribute("program_name", program)
}

fn plain_options(config: &TabletConfig, user: &str, password: &Secret) -> Options {
    let server: &Address = &config.server;
    let mut options = Options::address(server).user(user).timeout(Some(Duration::from_millis(config.timeout_ms)));
    options.password = password.clone();
    options
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("the tablet's thread cannot start: {error}"))
}

/// News of the watcher that has not been taken yet.
const SIGHTS_MAX: usize = 256;

/// Calls at once over one connection.
const CALLS_MAX: usize = 64;
