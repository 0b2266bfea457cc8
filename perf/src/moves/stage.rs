//! The stage: three servers with a tablet each, a controller, a gate; every part a process of its own, on one machine or on
//! hosts (`ground`).
//!
//! ```text
//!   gate, other servers ──► way ──► mysqld      controllers, gates ──► way ──► tablet ──► way ──► controller
//! ```
//! On hosts there are no ways; each server and its tablet have one, and so have the controller and the gate.

pub mod member;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::Options;
use weir_control::ctl::cluster::{self, Ask};
use weir_control::ctl::failover;
use weir_control::ctl::tablets;
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::template::APP;
use weir_control::lab::{Cluster, ClusterOptions, Kind, Mysql, Server};

use self::member::Member;
use super::Plan;
use super::gating::Gating;
use super::ground::{CONTROLLER, GATE, Ground, SERVERS, options};
use super::part::Party;
use super::way::Way;
use crate::client::Account;
use crate::door::weir_program;
use crate::error::Fault;
use crate::program::Program;

pub const SCHEMA: &str = "weir_moves";
pub const ACCOUNTS: u64 = 20;
pub const CLOCK: &str = "SELECT v FROM clock WHERE id=1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Async,
    SemiSync,
    /// A replication group, which elects its primary itself.
    Group,
}

impl Durability {
    /// Nothing that was acknowledged may be lost.
    pub fn is_strict(self) -> bool {
        self != Durability::Async
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Durability, String> {
        match text {
            "async" => Ok(Durability::Async),
            "semi-sync" => Ok(Durability::SemiSync),
            "group" => Ok(Durability::Group),
            other => Err(format!("there is no durability {other}: async, semi-sync or group")),
        }
    }
}

pub struct Stage {
    pub members: Vec<Member>,
    pub durability: Durability,
    /// The primary that the harm was done to.
    pub harmed: Option<usize>,
    /// Members that had diverged and were given a copy.
    pub cloned: u64,
    /// What was waited for, last, before all was whole.
    pub lacked: String,
    pub(super) ground: Ground,
    papers: TlsFiles,
    controller: SocketAddr,
    // In the order in which they end.
    pub gating: Gating,
    _controller: Program,
    cluster: Cluster,
    folder: TemporaryFolder,
    program: PathBuf,
}

impl Stage {
    pub fn open(plan: &Plan, tell: &mut dyn FnMut(&str)) -> Result<Stage, Fault> {
        let mysql = Mysql::find(None, &mut |progress| eprintln!("{progress}"))?;
        let ground = Ground::open(plan.terrain)?;
        let folder = TemporaryFolder::create(&cache::folder()?)?;
        let papers = ground.papers(folder.path())?;
        let program = plan.program.clone().map_or_else(weir_program, Ok)?;
        let cluster = start_cluster(&mysql, plan, &ground)?;
        prepare(&cluster)?;
        tell("the servers are up");
        let controller = ground.address(CONTROLLER, 7506)?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "[controller]\nstore = \"{}\"\nlisten = \"{controller}\"\nlease_ms = {LEASE_MS}\nfailovers_per_minute = 60\n",
            path("store.db")
        );
        fs::write(path("controller.toml"), text).map_err(|error| Fault::io("writing a file", error))?;
        let mut command = Command::new(&program);
        command.args(["controller", "--config", &path("controller.toml")]).args(options("--tls", &papers));
        ground.enter(CONTROLLER, &mut command);
        let controlling = Program::start("controller", command, folder.path())?;
        let mut members = Vec::new();
        for at in 0..cluster.nodes().len() {
            let setting = (&ground, &cluster, &papers, controller);
            members.push(Member::start(at, setting, plan.durability, &program, folder.path())?);
        }
        let gating = Gating::start((&ground, &papers, controller), &program, plan.cores, folder.path())?;
        let (user, password) = APP;
        let (user, password, schema) = (user.to_owned(), password.to_owned(), Some(SCHEMA.to_owned()));
        gating.program.wait_ready(&Account { address: gating.address, user, password, schema })?;
        let mut stage = Stage {
            members,
            durability: plan.durability,
            harmed: None,
            cloned: 0,
            lacked: String::new(),
            ground,
            papers,
            controller,
            gating,
            _controller: controlling,
            cluster,
            folder,
            program,
        };
        stage.ensure_whole()?;
        tell("gate, controller and tablets are up");
        Ok(stage)
    }

    pub fn server(&self, at: usize) -> &Server {
        self.cluster.node(at)
    }

    pub fn client_options(&self) -> Options {
        Options::tcp(&self.gate().ip().to_string(), self.gate().port())
            .user(APP.0)
            .password(APP.1)
            .schema(SCHEMA)
            .timeout(Some(CLIENT_LIMIT))
    }

    pub fn gate(&self) -> SocketAddr {
        self.gating.address
    }

    pub fn run_on_primary(&self, text: &str) -> Result<(), Fault> {
        let primary = self.primary().ok_or_else(|| Fault::Program("nobody is primary".to_owned()))?;
        self.server(primary).sql(text)?;
        Ok(())
    }

    /// That all servers have counted since they started.
    pub fn deadlocks(&self) -> u64 {
        let text = "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME='lock_deadlocks'";
        (0..self.members.len()).filter_map(|at| self.cell(at, text)?.parse::<u64>().ok()).sum()
    }

    pub fn ask(&self) -> Ask {
        Ask { controllers: vec![self.controller.to_string()], tls: self.papers.clone() }
    }

    /// The hosts of these, while this one is primary.
    pub fn party(&self, party: Party, primary: usize) -> Vec<String> {
        let name = |at: usize| SERVERS[at].to_owned();
        let mut replicas = (0..self.members.len()).filter(|at| *at != primary).map(name);
        match party {
            Party::Primary => vec![name(primary)],
            Party::Replicas => replicas.collect(),
            Party::OneReplica => replicas.next().into_iter().collect(),
            Party::Controller => vec![CONTROLLER.to_owned()],
            Party::Cluster => replicas.chain([CONTROLLER.to_owned()]).collect(),
            Party::Gate => vec![GATE.to_owned()],
        }
    }

    /// Cuts a server's machine off from all the others.
    pub fn cut_off(&mut self, at: usize) -> Result<(), Fault> {
        if matches!(self.ground, Ground::Loopback) {
            self.members[at].ways.iter().for_each(Way::cut);
            return Ok(());
        }
        let all = [SERVERS.as_slice(), &[CONTROLLER, GATE]]
            .concat()
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        self.ground.lose(&[SERVERS[at].to_owned()], &all, false)
    }

    /// Nobody is cut off any more.
    pub fn mend(&mut self) -> Result<(), Fault> {
        self.members.iter().flat_map(|member| &member.ways).for_each(Way::mend);
        self.ground.mend()
    }

    /// The one that takes writes, by the servers' own word.
    pub fn primary(&self) -> Option<usize> {
        (0..self.members.len()).find(|at| self.is_writable(*at))
    }

    fn is_writable(&self, at: usize) -> bool {
        let text = match self.durability {
            Durability::Async | Durability::SemiSync => "SELECT @@GLOBAL.read_only",
            Durability::Group => GROUPS_PRIMARY,
        };
        self.cell(at, text).as_deref() == Some("0")
    }

    /// One that was killed, or put out, does not join its group by itself.
    pub fn join(&self, at: usize) -> Result<(), Fault> {
        match self.durability {
            Durability::Async | Durability::SemiSync => Ok(()),
            Durability::Group => Ok(self.cluster.join(at)?),
        }
    }

    /// None: it does not answer.
    pub fn cell(&self, at: usize, text: &str) -> Option<String> {
        let rows = self.server(at).sql(text).ok()?;
        rows.first().and_then(|row| row.first()).cloned()
    }

    /// Waits until one server is primary and both others follow it, as near as can be.
    pub fn ensure_whole(&mut self) -> Result<(), Fault> {
        let mut until = Instant::now() + WHOLE_LIMIT;
        loop {
            self.members.iter().filter_map(|member| member.tablet.as_ref()).try_for_each(Program::check)?;
            let cloned = self.cloned;
            self.clone_diverged()?;
            if self.cloned > cloned {
                // With both others diverged nobody acknowledges, and MySQL's CLONE waits two minutes for the commits that hang.
                until = Instant::now() + WHOLE_LIMIT;
            }
            match self.check_whole() {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() > until => {
                    return Err(Fault::Program(format!(
                        "not whole after {} s: {why}\n{}",
                        WHOLE_LIMIT.as_secs(),
                        self.describe()
                    )));
                }
                Err(why) => {
                    self.lacked = why;
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// A former primary may hold what nobody acknowledged: it stays out, and an operator gives it a copy of the primary's
    /// data. Here that is us.
    fn clone_diverged(&mut self) -> Result<(), Fault> {
        let Ok(topology) = cluster::topology(&self.ask()) else { return Ok(()) };
        let table = topology.table();
        let is_diverged = |name: &str| table.lines().any(|line| line.starts_with(name) && line.contains(" diverged "));
        let Some(at) = self.members.iter().position(|member| is_diverged(&member.name)) else { return Ok(()) };
        let Some(primary) = self.primary().filter(|primary| *primary != at) else { return Ok(()) };
        let (ip, port) = (self.server(primary).ip(), self.server(primary).port());
        // It would make a server that takes writes read-only again.
        self.members[at].tablet = None;
        let server = self.server(at);
        server.sql(&format!("SET GLOBAL clone_valid_donor_list='{ip}:{port}'"))?;
        // It ends with the server, which nobody restarts but us.
        let (user, password) = APP;
        let clone = format!(
            "SET GLOBAL super_read_only=OFF; CLONE INSTANCE FROM '{user}'@'{ip}':{port} IDENTIFIED BY '{password}'"
        );
        let outcome = server.sql(&clone).err().map(|error| error.to_string()).unwrap_or_default();
        if !outcome.contains("Restart server failed") {
            // It will be tried again.
            eprintln!("cloning {}: {outcome}", self.members[at].name);
        }
        server.stop();
        server.start()?;
        let program = self.program.clone();
        self.members[at].start_tablet(&self.ground, &program, self.folder.path())?;
        self.cloned += 1;
        // The new data are told as in service when its steward has seen them.
        let until = Instant::now() + WHOLE_LIMIT;
        while cluster::topology(&self.ask()).is_ok_and(|topology| {
            topology.table().lines().any(|line| line.starts_with(&self.members[at].name) && line.contains(" diverged "))
        }) {
            if Instant::now() > until {
                return Err(Fault::Program(format!("a clone stays diverged\n{}", self.describe())));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<(), String> {
        let primary = self.primary().ok_or("nobody takes writes")?;
        let uuid = self.cell(primary, "SELECT @@GLOBAL.server_uuid").ok_or("the primary does not answer")?;
        let executed = self.cell(primary, EXECUTED).ok_or("the primary does not answer")?;
        if self.durability == Durability::Group {
            return self.check_group(primary, &executed);
        }
        for at in (0..self.members.len()).filter(|at| *at != primary) {
            let name = &self.members[at].name;
            let one = |text: &str| self.cell(at, text).ok_or_else(|| format!("{name} does not answer"));
            if one("SELECT @@GLOBAL.super_read_only")? != "1" {
                return Err(format!("{name} takes writes too"));
            }
            let source = one("SELECT IFNULL(MAX(CONCAT(SOURCE_UUID, SERVICE_STATE)), '') \
                              FROM performance_schema.replication_connection_status")?;
            if source != format!("{uuid}ON") {
                return Err(format!("{name} does not receive from {}: {source}", self.members[primary].name));
            }
            // Under load a replica is always a little behind what the primary has at this moment.
            if one(&format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', {BEHIND_S})"))? != "0" {
                return Err(format!("{name} is behind by more than {BEHIND_S} s"));
            }
        }
        if self.durability == Durability::SemiSync
            && self.cell(primary, "SHOW STATUS LIKE 'Rpl_semi_sync_source_clients'").is_none()
        {
            return Err("the primary has no semi-synchronous replication".to_owned());
        }
        let events = failover::events(&self.ask()).map_err(|why| format!("the controller: {why}"))?;
        drop(events);
        Ok(())
    }

    fn check_group(&self, primary: usize, executed: &str) -> Result<(), String> {
        for at in 0..self.members.len() {
            let name = &self.members[at].name;
            let one = |text: &str| self.cell(at, text).ok_or_else(|| format!("{name} does not answer"));
            if one(ONLINE)? != self.members.len().to_string() {
                return Err(format!("{name} does not see all members online"));
            }
            if one(&format!("SELECT GTID_SUBSET('{executed}', @@GLOBAL.gtid_executed)"))? != "1" {
                return Err(format!("{name} is behind"));
            }
        }
        let table = cluster::topology(&self.ask())?.table();
        match table.contains(&format!("primary {}", self.members[primary].name)) {
            true => Ok(()),
            false => Err(format!("the topology does not name {}: {table}", self.members[primary].name)),
        }
    }

    /// What the controller has told since it started.
    pub fn events(&self) -> Vec<String> {
        let events = failover::events(&self.ask()).unwrap_or_default();
        events.iter().map(|event| format!("{}: {}", event.kind(), event.text())).collect()
    }

    /// Of the move that ended last.
    pub fn last_parts(&self) -> Option<[u64; 4]> {
        // It is told a moment after the first write.
        thread::sleep(Duration::from_millis(300));
        let events = failover::events(&self.ask()).ok()?;
        let parts = events.iter().rev().find(|event| event.kind() == "opened")?.parts()?;
        Some([parts.detect, parts.fence, parts.choose, parts.open])
    }

    /// For a report that something went wrong.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        match failover::events(&self.ask()) {
            Ok(events) => {
                let from = events.len().saturating_sub(12);
                out += &failover::events_table(&events[from..]);
            }
            Err(why) => out += &why,
        }
        match tablets::tablets(&self.ask()) {
            Ok(all) => out += &cluster::json(&all).unwrap_or_default(),
            Err(why) => out += &why,
        }
        for name in ["controller", "gate", "tablet-db1", "tablet-db2", "tablet-db3"] {
            let text = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            out += &format!("\n--- {name}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        for at in 0..self.members.len() {
            out += &format!("\n--- the sessions of {}\n", self.members[at].name);
            match self.server(at).sql("SHOW FULL PROCESSLIST") {
                Ok(rows) => rows.iter().for_each(|row| out += &format!("{}\n", row.join(" | "))),
                Err(error) => out += &format!("{error}\n"),
            }
        }
        out
    }
}

fn start_cluster(mysql: &Mysql, plan: &Plan, ground: &Ground) -> Result<Cluster, Fault> {
    let semi_sync = "plugin-load-add=semisync_source.so;semisync_replica.so\nrpl-semi-sync-source-timeout=600000\n";
    let clone = "plugin-load-add=mysql_clone.so\n";
    let hosts = ground.servers();
    // On hosts nobody answers questions for names.
    let names = if hosts.is_empty() { "" } else { "skip-name-resolve=ON\n" };
    let options = ClusterOptions {
        extra_cnf: match plan.durability {
            Durability::SemiSync => format!("{clone}{semi_sync}{names}"),
            Durability::Async | Durability::Group => format!("{clone}{names}"),
        },
        kind: if plan.durability == Durability::Group { Kind::Group } else { Kind::Source },
        hosts,
        ..ClusterOptions::default()
    };
    Ok(Cluster::start(mysql, options, &mut |progress| eprintln!("{progress}"))?)
}

fn prepare(cluster: &Cluster) -> Result<(), Fault> {
    cluster.sql(0, &format!(
        "CREATE DATABASE {SCHEMA};\
         CREATE TABLE {SCHEMA}.ledger (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, n BIGINT NOT NULL, KEY (client, n));\
         CREATE TABLE {SCHEMA}.accounts (id INT PRIMARY KEY, n BIGINT NOT NULL);\
         CREATE TABLE {SCHEMA}.clock (id INT PRIMARY KEY, v BIGINT NOT NULL);\
         INSERT INTO {SCHEMA}.clock VALUES (1, 0)"
    ))?;
    for id in 0..ACCOUNTS {
        cluster.sql(0, &format!("INSERT INTO {SCHEMA}.accounts VALUES ({id}, 1000)"))?;
    }
    cluster.ensure_all_caught_up()?;
    Ok(())
}

/// 0: it is.
const GROUPS_PRIMARY: &str = "SELECT @@GLOBAL.read_only OR NOT EXISTS (SELECT 1 FROM performance_schema.replication_group_members \
     WHERE MEMBER_ID=@@GLOBAL.server_uuid AND MEMBER_STATE='ONLINE' AND MEMBER_ROLE='PRIMARY')";

const ONLINE: &str = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_STATE='ONLINE'";

pub const EXECUTED: &str = "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')";

/// A replica that is whole has in this time what the primary had before.
const BEHIND_S: u64 = 1;

/// Of the cluster's leases.
const LEASE_MS: u32 = 2_000;

/// Longer than any statement may wait.
const CLIENT_LIMIT: Duration = Duration::from_secs(60);

const WHOLE_LIMIT: Duration = Duration::from_secs(90);
