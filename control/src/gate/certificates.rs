//! The gate's certificates: towards clients, backends and over gRPC, while the gate runs.
//!
//! Invariant: what is in use was read whole and fits together; a file that does not leaves what was there before. The RSA pair stays
//! for the gate's life, since clients may keep its public half. Connections that stand keep what they began with.

use super::{backend_tls, keys};
use crate::config::{Config, Tls, address};
use crate::expiry::{self, Expiry};
use crate::grpc::server::{self, Renewable};
use crate::grpc::tls::{ClientTls, ServerTls, TlsFiles};
use crate::grpc::{CALLS_MAX, access::Loopback};
use crate::renewal::{LOOK_PAUSE, Renewal};
use std::path::PathBuf;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use weir_core::drive::ListenAddress;
use weir_core::snapshot::Keys;

pub struct Certificates {
    clients: Renewal,
    /// Of those that have files of their own, by their place.
    listeners: Vec<(usize, Renewal)>,
    backends: Renewal,
    grpc: Renewal,
    looks: Interval,
    ends: Vec<Expiry>,
    warn_at: Instant,
    server: Option<Renewable>,
    /// Towards tablets and controllers; all who ask them share it.
    client: Option<ClientTls>,
}

/// What a configuration names, read and fit to be used.
pub struct Read {
    keys: Keys,
    server: Option<ServerTls>,
    client: Option<ClientTls>,
}

impl Certificates {
    pub fn new(config: &Config, server: Option<Renewable>, client: Option<ClientTls>) -> Certificates {
        let mut looks = interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let [clients, backends, grpc] = files(config).map(Renewal::of);
        let (ends, warn_at) = (ends(config), Instant::now());
        let listeners = of_listeners(config);
        Certificates { clients, listeners, backends, grpc, looks, ends, warn_at, server, client }
    }

    /// It is time for [`Certificates::look`].
    pub async fn due(&mut self) {
        self.looks.tick().await;
    }

    /// Reads what `next` names. `keys`: those that hold, of which all stays that `next` does not change.
    pub fn prepare(&self, running: &Config, next: &Config, keys: &Keys) -> Result<Read, String> {
        let mut keys = keys.clone();
        let is_same = next.tls == running.tls && next.client_tls == running.client_tls;
        if !is_same || !keys::files(&next.tls, &next.client_tls).is_empty() {
            keys.tls = match (&running.tls, &next.tls, &keys.tls) {
                (Tls::Ephemeral, Tls::Ephemeral, Some(tls)) => Some(keys::again(tls, &next.client_tls)?),
                _ => keys::towards_clients(&next.tls, &next.client_tls)?,
            };
        }
        keys.listeners = keys::of_listeners(next, keys.tls.as_ref())?;
        if next.backend_tls != running.backend_tls || next.backend_tls_ca.is_some() {
            keys.backend_tls = backend_tls::make(next.backend_tls, next.backend_tls_ca.as_deref())?;
        }
        let (server, client) = grpc_tls(&next.grpc_tls)?;
        server::builder(server.as_ref(), Loopback::Trusted, CALLS_MAX)?;
        Ok(Read { keys, server, client })
    }

    /// Uses it from now on, and says with which keys the cores are to be equipped.
    pub fn adopt(&mut self, config: &Config, read: Read) -> Keys {
        self.use_for_grpc(read.server, read.client);
        [self.clients, self.backends, self.grpc] = files(config).map(Renewal::of);
        self.listeners = of_listeners(config);
        (self.ends, self.warn_at) = (ends(config), Instant::now());
        read.keys
    }

    /// Reads what has changed. Keys are returned when the cores need others; each line says what was renewed.
    pub fn look(&mut self, config: &Config, keys: &Keys) -> (Option<Keys>, Vec<String>) {
        let (mut next, mut told) = (None, Vec::new());
        if self.clients.is_due() {
            let read = keys::towards_clients(&config.tls, &config.client_tls);
            if let Some(tls) = take(&mut self.clients, "clients' TLS", read, &mut told) {
                next.get_or_insert_with(|| keys.clone()).tls = tls;
            }
        }
        self.look_at_listeners(config, keys, &mut next, &mut told);
        if self.backends.is_due() {
            let read = backend_tls::make(config.backend_tls, config.backend_tls_ca.as_deref());
            if let Some(tls) = take(&mut self.backends, "the backends' authority", read, &mut told) {
                next.get_or_insert_with(|| keys.clone()).backend_tls = tls;
            }
        }
        if self.grpc.is_due() {
            let read = grpc_tls(&config.grpc_tls);
            if let Some((server, client)) = take(&mut self.grpc, "gRPC", read, &mut told) {
                self.use_for_grpc(server, client);
            }
        }
        if !told.is_empty() {
            (self.ends, self.warn_at) = (ends(config), Instant::now());
        }
        if self.warn_at <= Instant::now() {
            self.warn_at = Instant::now() + expiry::WARN_PAUSE;
            expiry::warn(&self.ends);
        }
        (next, told)
    }

    /// Those with files of their own, each by itself; the others have the gate's, which may be another one now.
    fn look_at_listeners(&mut self, config: &Config, keys: &Keys, next: &mut Option<Keys>, told: &mut Vec<String>) {
        let gates = next.as_ref().map_or(&keys.tls, |next| &next.tls).clone();
        let mut listeners = keys.listeners.to_vec();
        for (address, key) in config.listen.iter().zip(&mut listeners) {
            if config.own_keys(address).is_none() {
                key.clone_from(&gates);
            }
        }
        let mut is_changed = next.is_some();
        for (at, renewal) in &mut self.listeners {
            if !renewal.is_due() {
                continue;
            }
            let address = &config.listen[*at];
            let read = keys::of_listener(address, config, gates.as_ref());
            let what = format!("clients' TLS at {}", address::show_listen(address));
            if let Some(tls) = take(renewal, &what, read, told) {
                (listeners[*at], is_changed) = (tls, true);
            }
        }
        if is_changed {
            next.get_or_insert_with(|| keys.clone()).listeners = listeners.into();
        }
    }

    /// When they end, file by file.
    pub fn ends(&self) -> &[Expiry] {
        &self.ends
    }

    /// gRPC's socket, for the next gate.
    pub fn grpc_listener(&self) -> Option<&std::net::TcpListener> {
        self.server.as_ref().map(Renewable::listener)
    }

    /// The next gate has the socket: ours is closed, and calls that are under way go on.
    pub fn give_way(&mut self) {
        self.server = None;
    }

    /// gRPC again, when the next gate is gone.
    pub fn serve(&mut self, server: Renewable) {
        self.server = Some(server);
    }

    fn use_for_grpc(&mut self, server: Option<ServerTls>, client: Option<ClientTls>) {
        if let Some(running) = &mut self.server
            && let Err(why) = running.renew(server.as_ref())
        {
            tracing::error!(event = "certificate_not_renewed", "gRPC goes on with its former certificate: {why}");
        }
        if let (Some(running), Some(client)) = (&self.client, &client) {
            running.replace(client);
        }
    }
}

fn take<T>(renewal: &mut Renewal, what: &str, read: Result<T, String>, told: &mut Vec<String>) -> Option<T> {
    let tells = renewal.handle(read.is_ok());
    match read {
        Ok(value) => {
            told.push(format!("{what}: the files have changed and are in use"));
            Some(value)
        }
        Err(why) => {
            if tells {
                tracing::error!(event = "certificate_not_renewed", "{what} goes on with its former certificate: {why}");
            }
            None
        }
    }
}

/// Of clients' TLS, of backends' authority and of gRPC.
fn files(config: &Config) -> [Vec<PathBuf>; 3] {
    let TlsFiles { cert, key, ca } = config.grpc_tls.clone();
    let backends = config.backend_tls_ca.iter().cloned().collect();
    [keys::files(&config.tls, &config.client_tls), backends, [cert, key, ca].into_iter().flatten().collect()]
}

fn of_listeners(config: &Config) -> Vec<(usize, Renewal)> {
    let own = |address| Some(listener_files(config, address)).filter(|files| !files.is_empty());
    let all = config.listen.iter().enumerate();
    all.filter_map(|(at, address)| Some((at, Renewal::of(own(address)?)))).collect()
}

/// Empty: the listener's are the gate's.
fn listener_files(config: &Config, address: &ListenAddress) -> Vec<PathBuf> {
    config.own_keys(address).map(|(tls, policy)| keys::files(&tls, &policy)).unwrap_or_default()
}

/// Each file once.
fn ends(config: &Config) -> Vec<Expiry> {
    let [mut clients, backends, grpc] = files(config);
    for file in config.listen.iter().flat_map(|address| listener_files(config, address)) {
        if !clients.contains(&file) {
            clients.push(file);
        }
    }
    let uses = [("clients", clients), ("backends", backends), ("grpc", grpc)];
    uses.into_iter().flat_map(|(used_for, files)| Expiry::of(used_for, &files)).collect()
}

/// The same files as a server and as a client of tablets and controllers.
pub fn grpc_tls(files: &TlsFiles) -> Result<(Option<ServerTls>, Option<ClientTls>), String> {
    // Who verifies nobody speaks no TLS to others, and may still be asked by TLS.
    let client = if files.ca.is_some() { ClientTls::load(files)? } else { None };
    let server = if files.cert.is_some() { ServerTls::load(files)? } else { None };
    Ok((server, client))
}
