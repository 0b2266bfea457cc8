//! A fleet: three servers with tablets that manage them, a controller and a gate; every part a process of its own.
//!
//! Invariant: commits wait for a replica, so nothing that was acknowledged may ever be missing. The first server is the first
//! primary; its binary log may lie on a small disk.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::{Client, Options};
use weir_control::ctl::cluster::{self, Ask};
use weir_control::ctl::failover::{self, EventView};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::child::Child;
use weir_control::lab::ports;
use weir_control::lab::template::{APP, REPLICATION};
use weir_control::lab::{Mysql, Server, ServerOptions};

use super::disk::Disk;
use super::process::Controller;
use super::tablet::Tablet;
use crate::real::lone;

pub const NAMES: [&str; 3] = ["a", "b", "c"];

pub struct Fleet {
    pub servers: Vec<Server>,
    /// The first server's.
    pub disk: Disk,
    /// HTTP of the controller, and of each tablet.
    pub controller_http: SocketAddr,
    pub tablets_http: Vec<SocketAddr>,
    controller: Controller,
    gate: SocketAddr,
    _gate: Child,
    _tablets: Vec<Tablet>,
    _folder: TemporaryFolder,
}

impl Fleet {
    /// `program`: the `weir` under test; `keys`: lines for the controller.
    pub fn start(program: &str, keys: &str) -> Result<Fleet, String> {
        let mysql = Mysql::find(None, &mut |_| {}).map_err(said)?;
        let folder = cache::folder().and_then(|cache| TemporaryFolder::create(&cache)).map_err(said)?;
        let dir = folder.path().to_owned();
        let disk = Disk::mount(&dir, &mysql, DISK_MIB)?;
        let servers = servers(&dir, &mysql, &disk)?;
        let http = || free().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let controller_http = http()?;
        let text = format!(
            "[controller]\nstore = \"{}\"\nlease_ms = 5_000\nhttp_listen = \"{controller_http}\"\n{keys}",
            dir.join("store.db").display()
        );
        let config = file(&dir, "controller.toml", &text)?;
        let port = ports::free(1).map_err(said)?.remove(0);
        let mut controller = Controller::new(program, port, &["--config".to_owned(), config]);
        controller.start();
        let (mut tablets, mut tablets_http) = (Vec::new(), Vec::new());
        for (name, server) in NAMES.iter().zip(&servers) {
            let listen = http()?;
            tablets.push(tablet(program, &dir, name, server, (&controller.address(), listen))?);
            tablets_http.push(listen);
        }
        let gate = http()?;
        let text = format!(
            "[gate]\nlisten = \"{gate}\"\ncontrollers = \"{}\"\ncores = 1\nadmin_listen = \"off\"\ngrpc_listen = \"off\"\n\
             [pool]\nbuffer_window_ms = 60000\nbuffer_max_failover_duration_ms = 60000\n",
            controller.address()
        );
        let config = file(&dir, "gate.toml", &text)?;
        let log = fs::File::create(dir.join("gate.log")).map_err(said)?;
        let mut command = Command::new(program);
        command.args(["gate", "--config", &config]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let gating = Child::spawn(command).map_err(said)?;
        let fleet = Fleet {
            servers,
            disk,
            controller_http,
            tablets_http,
            controller,
            gate,
            _gate: gating,
            _tablets: tablets,
            _folder: folder,
        };
        fleet.whole()?;
        fleet.until("the gate serves", || Client::connect(&fleet.options()).is_ok())?;
        Ok(fleet)
    }

    pub fn ask(&self) -> Ask {
        Ask { controllers: vec![self.controller.address()], tls: TlsFiles::default() }
    }

    pub fn options(&self) -> Options {
        Options::tcp("127.0.0.1", self.gate.port()).user(APP.0).password(APP.1).timeout(Some(CLIENT_LIMIT))
    }

    pub fn events(&self) -> Vec<EventView> {
        failover::events(&self.ask()).unwrap_or_default()
    }

    /// Whom the topology names; its place in [`NAMES`].
    pub fn named(&self) -> Option<usize> {
        let table = cluster::topology(&self.ask()).ok()?.table();
        let rest = table.split_once(", primary ")?.1;
        NAMES.iter().position(|name| rest.starts_with(&format!("{name},")))
    }

    pub fn cell(&self, at: usize, sql: &str) -> Option<String> {
        lone::root(&self.servers[at]).ok()?.cell(sql).ok().flatten()
    }

    /// Waits until one is named and writable, and the others follow it and have what it had.
    pub fn whole(&self) -> Result<usize, String> {
        self.until("one primary and two replicas of it", || self.is_whole())?;
        self.named().ok_or_else(|| "nobody is primary".to_owned())
    }

    fn is_whole(&self) -> bool {
        let Some(primary) = self.named().filter(|at| self.cell(*at, "SELECT @@read_only").as_deref() == Some("0"))
        else {
            return false;
        };
        let Some((uuid, executed)) = self
            .cell(primary, "SELECT @@server_uuid")
            .zip(self.cell(primary, "SELECT REPLACE(@@gtid_executed, '\n', '')"))
        else {
            return false;
        };
        let source =
            "SELECT MAX(CONCAT(SOURCE_UUID, SERVICE_STATE)) FROM performance_schema.replication_connection_status";
        let has = format!("SELECT @@super_read_only AND GTID_SUBSET('{executed}', @@gtid_executed)");
        (0..self.servers.len()).filter(|at| *at != primary).all(|at| {
            self.cell(at, source).as_deref() == Some(&format!("{uuid}ON"))
                && self.cell(at, &has).as_deref() == Some("1")
        })
    }

    /// Waits, and tells what everybody says when that takes too long.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result<Duration, String> {
        let began = Instant::now();
        while !is_so() {
            if began.elapsed() > LIMIT {
                return Err(format!("not within {} s: {what}\n{}", LIMIT.as_secs(), self.describe()));
            }
            thread::sleep(Duration::from_millis(25));
        }
        Ok(began.elapsed())
    }

    /// For a report of what went wrong.
    pub fn describe(&self) -> String {
        let topology = cluster::topology(&self.ask()).map_or_else(|why| why, |topology| topology.table());
        let gates = cluster::gates(&self.ask()).map_or_else(|why| why, |gates| cluster::gates_table(&gates));
        let mut out = format!("{topology}{gates}{}", failover::events_table(&self.events()));
        for (server, http) in self.servers.iter().zip(&self.tablets_http) {
            let log: Vec<String> = server.last_log_lines();
            out += &format!("--- server {http} runs: {}\n{}\n", server.is_running(), log.join("\n"));
        }
        out
    }

    /// The rows of `w.t` on a server.
    pub fn rows(&self, at: usize) -> Result<BTreeSet<u64>, String> {
        let rows = lone::root(&self.servers[at])?.rows("SELECT v FROM w.t").map_err(said)?;
        Ok(rows.into_iter().flatten().flatten().filter_map(|text| text.parse().ok()).collect())
    }
}

fn servers(dir: &Path, mysql: &Mysql, disk: &Disk) -> Result<Vec<Server>, String> {
    let semi_sync = "plugin-load-add=semisync_source.so;semisync_replica.so\nrpl-semi-sync-source-timeout=600000\n";
    let mut servers = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let (mysql, own) = match at {
            0 => (disk.mysql(mysql), disk.cnf()),
            _ => (mysql.clone(), "super-read-only=ON\n".to_owned()),
        };
        let port = ports::free(1).map_err(said)?.remove(0);
        let extra_cnf = format!("{semi_sync}{own}");
        let options = ServerOptions { dir: dir.join(name), port, server_id: 301 + at as u32, extra_cnf, host: None };
        let server = Server::create(&Arc::new(mysql), options, &mut |_| {}).map_err(said)?;
        server.start().map_err(said)?;
        servers.push(server);
    }
    let table = "CREATE TABLE w.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT, filler TEXT)";
    lone::sql(&servers[0], &["CREATE DATABASE w", table])?;
    Ok(servers)
}

fn tablet(
    program: &str,
    dir: &Path,
    name: &str,
    server: &Server,
    (controller, http): (&str, SocketAddr),
) -> Result<Tablet, String> {
    let admin = file(dir, &format!("admin-{name}"), APP.1)?;
    let replication = file(dir, &format!("replication-{name}"), REPLICATION.1)?;
    let text = format!(
        "[tablet]\nadmin_user = \"{}\"\nadmin_password_file = \"{admin}\"\nreplication_user = \"{}\"\n\
         replication_password_file = \"{replication}\"\ninterval_ms = 100\ntimeout_ms = 1000\nsemi_sync = \"on\"\n\
         http_listen = \"{http}\"\n",
        APP.0, REPLICATION.0
    );
    let config = file(dir, &format!("tablet-{name}.toml"), &text)?;
    let args = ["--config", &config, "--controller", controller];
    let mut tablet = Tablet::new(program, name, &server.address(), &args);
    tablet.start();
    Ok(tablet)
}

fn file(dir: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(said)?;
    Ok(path.display().to_string())
}

fn free() -> Result<u16, String> {
    ports::free(1).map(|ports| ports[0].number()).map_err(said)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// For a few binary logs.
const DISK_MIB: u32 = 48;

/// Longer than any statement waits.
const CLIENT_LIMIT: Duration = Duration::from_secs(90);

/// For each thing that is waited for.
const LIMIT: Duration = Duration::from_secs(60);
