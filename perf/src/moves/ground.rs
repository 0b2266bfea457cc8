//! The ground that the stage stands on: where its parts listen, and how they are cut off from each other.
//!
//! On one machine's loopback each server's machine is behind ways (`way`), which can all be cut at once. On hosts
//! (`hosts`) each part has its own, and any two can be cut off from each other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::Host;

use super::hosts::Hosts;
use super::papers;
use crate::backend::free_address;
use crate::error::Fault;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terrain {
    #[default]
    Ways,
    Namespaces,
}

impl FromStr for Terrain {
    type Err = String;

    fn from_str(text: &str) -> Result<Terrain, String> {
        match text {
            "ways" => Ok(Terrain::Ways),
            "namespaces" => Ok(Terrain::Namespaces),
            other => Err(format!("there are no hosts of the kind {other}: ways or namespaces")),
        }
    }
}

/// The options that name these files; `prefix` is the gate's `--grpc-tls`, or `--tls`.
pub fn options(prefix: &str, papers: &TlsFiles) -> Vec<String> {
    let files = [("cert", &papers.cert), ("key", &papers.key), ("ca", &papers.ca)];
    files.iter().filter_map(|(name, file)| Some(format!("{prefix}-{name}={}", file.as_ref()?.display()))).collect()
}

pub enum Ground {
    Loopback,
    Hosts(Hosts),
}

impl Ground {
    pub fn open(terrain: Terrain) -> Result<Ground, Fault> {
        Ok(match terrain {
            Terrain::Ways => Ground::Loopback,
            Terrain::Namespaces => Ground::Hosts(Hosts::open(&[SERVERS.as_slice(), &[CONTROLLER, GATE]].concat())?),
        })
    }

    /// One for each server; none on the loopback.
    pub fn servers(&self) -> Vec<Host> {
        match self {
            Ground::Loopback => Vec::new(),
            Ground::Hosts(hosts) => SERVERS.map(|name| hosts.host(name).clone()).to_vec(),
        }
    }

    /// What parts prove themselves to each other with. On the loopback nobody need.
    pub fn papers(&self, folder: &Path) -> Result<TlsFiles, Fault> {
        match self {
            Ground::Loopback => Ok(TlsFiles::default()),
            Ground::Hosts(hosts) => papers::write(folder, hosts.hosts()),
        }
    }

    /// Where a part on this host may listen; on a host, nobody else does.
    pub fn address(&self, host: &str, port: u16) -> Result<SocketAddr, Fault> {
        match self {
            Ground::Loopback => free_address(),
            Ground::Hosts(hosts) => Ok(SocketAddr::from((hosts.host(host).address, port))),
        }
    }

    /// Has a command run on this host.
    pub fn enter(&self, host: &str, command: &mut Command) {
        match self {
            Ground::Loopback => {}
            Ground::Hosts(hosts) => hosts.host(host).enter(command),
        }
    }

    /// Nothing passes from these to those any more, and nothing back either unless it is cut in one direction.
    pub fn lose(&mut self, from: &[String], to: &[String], is_one_way: bool) -> Result<(), Fault> {
        let Ground::Hosts(hosts) = self else {
            return Err(Fault::Program("partitions of pairs need --hosts namespaces".to_owned()));
        };
        let at = |name: &String| hosts.hosts().iter().position(|host| host.name == *name);
        let mut pairs = Vec::new();
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))).filter(|(a, b)| a != b) {
            if let (Some(from), Some(to)) = (at(from), at(to)) {
                pairs.push((from, to));
                pairs.extend((!is_one_way).then_some((to, from)));
            }
        }
        hosts.lose(&pairs)
    }

    pub fn mend(&mut self) -> Result<(), Fault> {
        match self {
            Ground::Loopback => Ok(()),
            Ground::Hosts(hosts) => hosts.mend(),
        }
    }
}

/// Also their names in the cluster.
pub const SERVERS: [&str; 3] = ["db1", "db2", "db3"];
pub const CONTROLLER: &str = "ctl";
pub const GATE: &str = "gate";
