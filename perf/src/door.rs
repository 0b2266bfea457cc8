//! `Door`: one of the ways from a client to the backend: straight, through Weir, through a peer.
//!
//! Invariant: a door that is open has answered a query. All doors of a comparison lead to the same backend and are open
//! at the same time; who is not asked only idles. Every proxy gets one thread for its data path, as far as it can be
//! told, so that CPU per query and throughput are comparable.

mod configuration;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_control::lab::fetch::on_path;
use weir_control::lab::tool::Tool;

use crate::backend::{Backend, free_address, own_program};
use crate::client::Account;
use crate::error::Fault;
use crate::program::Program;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Direct,
    Relay,
    RingRelay,
    Weir,
    HaProxy,
    ProxySql,
    Router,
    MaxScale,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Direct,
        Self::Relay,
        Self::Weir,
        Self::HaProxy,
        Self::ProxySql,
        Self::Router,
        Self::MaxScale,
        Self::RingRelay,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::RingRelay => "ring-relay",
            Self::Weir => "weir",
            Self::HaProxy => "haproxy",
            Self::ProxySql => "proxysql",
            Self::Router => "mysqlrouter",
            Self::MaxScale => "maxscale",
        }
    }

    /// Peers may be missing; ours may not.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Direct | Self::Relay | Self::RingRelay | Self::Weir)
    }

    /// Those that are compared if nobody says which: ours but for the relay on io_uring, HAProxy, which is fetched if need
    /// be, and the peers that this machine has.
    pub fn present() -> Vec<Self> {
        let is_there = |kind: &Self| match kind {
            Self::HaProxy => true,
            Self::RingRelay => false,
            kind => !kind.is_peer() || !on_path(kind.name()).is_empty(),
        };
        Self::ALL.into_iter().filter(is_there).collect()
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("known are {}", names.join(", "))
        })
    }
}

#[derive(Debug)]
pub struct Door {
    pub kind: Kind,
    /// Who logs in, at the door's address.
    pub account: Account,
    /// Where a gate shows its metrics.
    pub admin: Option<SocketAddr>,
    program: Option<Program>,
}

/// How a gate is started.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// The program; `None` finds or builds it.
    pub program: Option<PathBuf>,
    /// Its `--cores`; `None` leaves it to the gate.
    pub cores: Option<String>,
    pub backends: Vec<String>,
    pub monitor: (String, String),
    /// Further arguments.
    pub extra: Vec<String>,
}

impl GateOptions {
    pub fn for_backend(backend: &Backend, program: Option<PathBuf>) -> Self {
        Self {
            program,
            cores: Some("1".to_owned()),
            backends: vec![backend.address().to_string()],
            monitor: backend.monitor.clone(),
            extra: Vec::new(),
        }
    }
}

impl Door {
    /// Opens one, with its files in this folder.
    pub fn open(kind: Kind, backend: &Backend, gate: &GateOptions, folder: &Path) -> Result<Self, Fault> {
        if kind == Kind::Weir {
            return Self::open_gate(gate, &backend.account, folder);
        }
        if kind == Kind::Direct {
            return Ok(Self { kind, account: backend.account.clone(), admin: None, program: None });
        }
        let listen = free_address()?;
        let command = match kind {
            Kind::Relay | Kind::RingRelay => {
                let mut command = own_program()?;
                let (listen, target) = (listen.to_string(), backend.address().to_string());
                command.args([kind.name(), "--listen", &listen, "--to", &target]);
                command
            }
            _ => peer(kind, listen, backend, folder)?,
        };
        let account = match (kind, &backend.bare) {
            (Kind::Router, Some(bare)) => bare,
            _ => &backend.account,
        };
        Self::start(kind, command, listen, None, account, folder)
    }

    pub fn open_gate(gate: &GateOptions, account: &Account, folder: &Path) -> Result<Self, Fault> {
        let (listen, admin) = (free_address()?, free_address()?);
        let program = match &gate.program {
            Some(program) => program.clone(),
            None => weir_program()?,
        };
        let mut command = Command::new(program);
        command.args(["gate", "--listen", &listen.to_string()]);
        for backend in &gate.backends {
            command.args(["--backend", backend]);
        }
        if let Some(cores) = &gate.cores {
            command.args(["--cores", cores]);
        }
        let (user, password) = &gate.monitor;
        command.args(["--monitor-user", user, "--monitor-password", password]);
        command.args(["--admin-listen", &admin.to_string(), "--grpc-listen", "off"]);
        command.args(&gate.extra);
        Self::start(Kind::Weir, command, listen, Some(admin), account, folder)
    }

    /// The processes whose CPU time is the door's.
    pub fn pid(&self) -> Option<u32> {
        self.program.as_ref().map(Program::pid)
    }

    pub fn check(&self) -> Result<(), Fault> {
        self.program.as_ref().map_or(Ok(()), Program::check)
    }

    fn start(
        kind: Kind,
        command: Command,
        listen: SocketAddr,
        admin: Option<SocketAddr>,
        account: &Account,
        folder: &Path,
    ) -> Result<Self, Fault> {
        let account = Account { address: listen, ..account.clone() };
        let program = Program::start(kind.name(), command, folder)?;
        program.wait_ready(&account)?;
        Ok(Self { kind, account, admin, program: Some(program) })
    }
}

/// A peer's command, after its configuration was written.
fn peer(kind: Kind, listen: SocketAddr, backend: &Backend, folder: &Path) -> Result<Command, Fault> {
    let mut root = None;
    // The laboratory fetches what Debian has; the others must be there.
    let mut command = match kind {
        Kind::HaProxy | Kind::Router => {
            let tool = Tool::find(kind.name(), &mut |progress| eprintln!("{progress}"))?;
            root.clone_from(&tool.root);
            tool.command()
        }
        _ => {
            let program = on_path(kind.name()).into_iter().next();
            Command::new(program.ok_or_else(|| Fault::Program(format!("{} is not on the PATH", kind.name())))?)
        }
    };
    let path = folder.join(format!("{}.cnf", kind.name()));
    let text = configuration::of(kind, listen, backend, folder, root.as_deref())?;
    fs::write(&path, text).map_err(|error| Fault::io("writing a configuration", error))?;
    command.current_dir(folder);
    command.args(configuration::arguments(kind, &path, folder));
    Ok(command)
}

/// The gate's program: beside this one, or built there.
pub fn weir_program() -> Result<PathBuf, Fault> {
    let own = std::env::current_exe().map_err(|error| Fault::io("finding this program", error))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let program = folder.join("weir");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("building weir");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-p", "weir-control", "--bin", "weir"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // This program lies in TARGET/PROFILE.
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let status = cargo.status().map_err(|error| Fault::io("running cargo", error))?;
    let built = folder.parent().unwrap_or(folder).join("release/weir");
    match status.success() && built.is_file() {
        true => Ok(built),
        false => Err(Fault::Program("weir could not be built".to_owned())),
    }
}
