//! One server's machine: its tablet, and the ways to it and from it if it has no host of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::Cluster;
use weir_control::lab::template::{APP, MONITOR, REPLICATION};

use super::Durability;
use crate::backend::free_address;
use crate::error::Fault;
use crate::moves::ground::{Ground, SERVERS, options};
use crate::moves::way::Way;
use crate::program::Program;

pub struct Member {
    pub name: String,
    /// None: it was stopped.
    pub tablet: Option<Program>,
    config: String,
    options: Vec<String>,
    /// To its server, to its tablet, and from there to the controller; none on a host.
    pub ways: Vec<Way>,
}

impl Member {
    pub fn start(
        at: usize,
        (ground, cluster, papers, controller): (&Ground, &Cluster, &TlsFiles, SocketAddr),
        durability: Durability,
        program: &Path,
        folder: &Path,
    ) -> Result<Member, Fault> {
        let (name, server) = (SERVERS[at].to_owned(), cluster.node(at));
        let mysqld = SocketAddr::from((server.ip(), server.port()));
        let listen = ground.address(&name, 7406)?;
        let ways = match ground {
            Ground::Loopback => vec![
                Way::open(free_address()?, mysqld)?,
                Way::open(free_address()?, listen)?,
                Way::open(free_address()?, controller)?,
            ],
            Ground::Hosts(_) => Vec::new(),
        };
        // Each tablet has its own: it reads them while the next one's are written.
        let file = |name: &str, text: &str| {
            let path = folder.join(format!("{name}{at}"));
            fs::write(&path, text).map_err(|error| Fault::io("writing a file", error))?;
            Ok::<String, Fault>(path.display().to_string())
        };
        let (admin, replication) =
            (file(&format!("admin{at}"), APP.1)?, file(&format!("replication{at}"), REPLICATION.1)?);
        let semi_sync = if durability == Durability::SemiSync { "on" } else { "off" };
        let told = |at: usize, past: SocketAddr| ways.get(at).map_or(past, Way::address);
        let (to_server, to_tablet, to_controller) = (told(0, mysqld), told(1, listen), told(2, controller));
        let text = format!(
            "[tablet]\nname = \"{name}\"\nserver = \"{mysqld}\"\nadvertise = \"{to_server}\"\nlisten = \"{listen}\"\n\
             advertise_grpc = \"{to_tablet}\"\nuser = \"{}\"\ncontrollers = \"{to_controller}\"\nadmin_user = \"{}\"\n\
             admin_password_file = \"{admin}\"\nreplication_user = \"{}\"\nreplication_password_file = \"{replication}\"\n\
             interval_ms = 100\ntimeout_ms = 1000\nsemi_sync = \"{semi_sync}\"\n",
            MONITOR.0, APP.0, REPLICATION.0
        );
        let config = file("tablet.toml.", &text)?;
        let mut member = Member { name, tablet: None, config, options: options("--tls", papers), ways };
        member.start_tablet(ground, program, folder)?;
        Ok(member)
    }

    pub fn start_tablet(&mut self, ground: &Ground, program: &Path, folder: &Path) -> Result<(), Fault> {
        let mut command = Command::new(program);
        command.args(["tablet", "--config", &self.config]).args(&self.options).env("WEIR_MONITOR_PASSWORD", MONITOR.1);
        ground.enter(&self.name, &mut command);
        self.tablet = Some(Program::start(&format!("tablet-{}", self.name), command, folder)?);
        Ok(())
    }
}
