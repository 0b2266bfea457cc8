//! The gate under test: a real one inside this process, with cores, listeners and control of its own.
//!
//! Invariant: it serves when `start` returns, listens on the loopback only, and ends when it is dropped.

use std::net::SocketAddr;
use std::path::Path;

use weir_control::config::Config;
use weir_control::gate::{self, GateHandle};
use weir_core::drive::ListenAddress;
use weir_core::snapshot;

use super::place::Place;
use super::wire::Address;

pub struct Gate {
    handle: GateHandle,
    address: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
pub struct GateOptions<'a> {
    pub connections_per_backend: usize,
    /// At most; a machine with fewer has fewer.
    pub cores_max: usize,
    /// A Unix socket to listen on beside TCP.
    pub socket: Option<&'a Path>,
}

impl Gate {
    /// Starts one for the place's cluster.
    pub fn start(place: &Place, options: GateOptions<'_>) -> Result<Gate, String> {
        Gate::start_with(place, options, |_| {})
    }

    /// One for these servers, each `host:port`.
    pub fn start_at(backends: &[String], options: GateOptions<'_>) -> Result<Gate, String> {
        let parse = |text: &String| text.parse().map_err(|_| format!("{text:?} is no address"));
        let backends = backends.iter().map(parse).collect::<Result<Vec<SocketAddr>, String>>()?;
        Gate::start_for(&backends, options, |_| {})
    }

    /// The same, with more of its configuration said.
    pub fn start_with(place: &Place, options: GateOptions<'_>, more: impl FnOnce(&mut Config)) -> Result<Gate, String> {
        Gate::start_for(&place.backends, options, more)
    }

    pub fn start_for(
        backends: &[SocketAddr],
        options: GateOptions<'_>,
        more: impl FnOnce(&mut Config),
    ) -> Result<Gate, String> {
        let backends: Vec<_> = backends.iter().map(|backend| snapshot::Address::Tcp(*backend)).collect();
        let mut config = Config::local(&backends, "weir_monitor", "weir_monitor");
        config.settings.connections_per_backend_max = options.connections_per_backend as u32;
        config.cores.truncate(options.cores_max);
        if let Some(path) = options.socket {
            config.listen.push(ListenAddress::Unix(path.to_owned()));
        }
        more(&mut config);
        let handle = gate::start(config).map_err(|error| format!("the gate does not start: {error}"))?;
        let address = handle.address().ok_or("the gate listens on no TCP port")?;
        Ok(Gate { handle, address })
    }

    pub fn address(&self) -> Address {
        Address::Tcp(self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Of the admin port, if there is one.
    pub fn admin_sql_port(&self) -> Option<u16> {
        self.handle.admin_sql_address().map(|address| address.port())
    }

    /// Where it shows its page and its metrics.
    pub fn http(&self) -> Option<SocketAddr> {
        self.handle.admin_address()
    }

    /// No new clients; open transactions may end. What a SIGTERM does.
    pub fn drain(&self) {
        self.handle.drain();
    }

    /// Waits until a drain has ended.
    pub fn stop(self) {
        self.handle.stop();
    }
}
