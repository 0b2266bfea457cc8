//! A laboratory of real MySQL servers on this machine: found or fetched, started, wired up, stopped.
//!
//! Invariant: nothing outside the cache folder and a cluster's own folder is changed, no process outlives the one that
//! started it, and every server listens on the loopback only,
//! or on a host of its own (`host`) that nobody else can reach. The system's own packages are never touched; no step
//! needs root, and every step works as root too.
//!
//! ```text
//! fetch ──► apt ──► unpack          Mysql: where mysqld and its client are (mariadb: the same of MariaDB)
//!   │
//! template ──► server ──► cluster   one prepared data folder, copied for every server
//!                │
//!        child, ports, cache        processes that die with us, ports that nobody else takes, locks
//!        host                       network namespaces, for servers that are to be cut off from each other
//! ```
//! Used by `weir demo` and by the tests. It knows nothing of the gate.

pub mod apt;
pub mod cache;
pub mod child;
pub mod client;
pub mod cluster;
pub mod etcd;
pub mod fault;
pub mod fetch;
pub mod group;
pub mod host;
pub mod limits;
pub mod mariadb;
pub mod ports;
pub mod server;
pub mod template;
pub mod tool;
pub mod unpack;

pub use client::Rows;
pub use cluster::{Cluster, ClusterOptions, Kind};
pub use fault::LabError;
pub use fetch::Mysql;
pub use host::Host;
pub use server::{Server, ServerOptions};

/// Something that takes long has moved on. `total` is 0 while nobody knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub step: &'static str,
    pub done: u64,
    pub total: u64,
    pub unit: Unit,
}

/// What `Progress` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Step,
    Bytes,
    Packages,
}

/// Who wants to hear of progress; `&mut |_| {}` for nobody.
pub type Report<'a> = &'a mut dyn FnMut(Progress);

impl Progress {
    pub(crate) fn step(step: &'static str) -> Progress {
        Progress { step, done: 0, total: 0, unit: Unit::Step }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, total) = (self.done, self.total);
        match self.unit {
            Unit::Step => write!(f, "{}", self.step),
            Unit::Packages => write!(f, "{}: {done} of {total}", self.step),
            Unit::Bytes => write!(f, "{}: {:.1} of {:.1} MB", self.step, done as f64 / 1e6, total as f64 / 1e6),
        }
    }
}
