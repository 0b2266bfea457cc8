//! `Cluster`: a primary and its replicas, with GTIDs and asynchronous replication, or a replication group, on this machine.
//!
//! Invariant: node 0 was the primary when it started, the others its replicas and read-only, unless their folder holds data of which
//! another node has more: then that one; who is what later is the test's affair. When `start` returns, every replica's receiver is connected.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use weir_net::flavour::Flavour;
use weir_net::gtid::GtidSet;

use super::cache::{self, TemporaryFolder};
use super::client::{Login, Rows};
use super::group::{self, Membership};
use super::ports::{self, Port};
use super::template::{APP, REPLICATION};
use super::{Host, LabError, Mysql, Progress, Report, Server, ServerOptions, limits, mariadb};

#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub replicas: usize,
    /// A folder that stays, or `None` for one that goes with the cluster. One that holds data is started again.
    pub dir: Option<PathBuf>,
    /// The nodes' ports, or empty for free ones.
    pub ports: Vec<u16>,
    /// Lines for every node's `my.cnf`.
    pub extra_cnf: String,
    /// Statements for the primary once it runs, when its data are new.
    pub extra_sql: String,
    pub connections_max: u32,
    pub kind: Kind,
    /// One for each node, or empty: all on this machine's loopback.
    pub hosts: Vec<Host>,
}

/// How the nodes replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each replica from node 0.
    Source,
    /// A single-primary group, with a member's usual patience before it puts another one out set to nothing.
    Group,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            replicas: 2,
            dir: None,
            ports: Vec::new(),
            extra_cnf: String::new(),
            extra_sql: String::new(),
            connections_max: 500,
            kind: Kind::Source,
            hosts: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub struct Cluster {
    /// Before the folder: it is dropped, and so stopped, first.
    nodes: Vec<Server>,
    primary: usize,
    mysql: Arc<Mysql>,
    dir: PathBuf,
    temporary: Option<TemporaryFolder>,
    _group: Option<Membership>,
}

impl Cluster {
    pub fn start(mysql: &Mysql, options: ClusterOptions, report: Report<'_>) -> Result<Cluster, LabError> {
        let asked = |what: String| Err(LabError::Asked { what });
        if options.replicas > limits::REPLICAS_MAX {
            return asked(format!("A cluster has at most {} replicas", limits::REPLICAS_MAX));
        }
        let count = options.replicas + 1;
        if !options.ports.is_empty() && options.ports.len() != count {
            return asked(format!("{count} servers need {count} ports, and {} were given", options.ports.len()));
        }
        if !options.hosts.is_empty() && options.hosts.len() != count {
            return asked(format!("{count} servers need {count} hosts, and {} were given", options.hosts.len()));
        }
        let group = match options.kind {
            Kind::Source => None,
            // Its members would listen for each other on the loopback.
            Kind::Group if !options.hosts.is_empty() => return asked("A replication group has no hosts".to_owned()),
            Kind::Group => Some(Membership::new(count)?),
        };
        let ports = match options.ports.as_slice() {
            [] => ports::free(count)?,
            fixed => fixed.iter().map(|number| Port::fixed(*number)).collect::<Result<_, _>>()?,
        };
        let (dir, temporary) = match &options.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let folder = TemporaryFolder::create(&cache::folder()?)?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let mysql = Arc::new(mysql.clone());
        // The template is made before the nodes want it all at once, so that its progress can be told.
        super::template::folder(&mysql, report)?;
        report(Progress::step("starting the servers"));
        let nodes = start_nodes(&mysql, &options, &dir, (ports, group.as_ref()))?;
        let mut cluster = Cluster { nodes, primary: 0, mysql, dir, temporary, _group: group };
        match options.kind {
            Kind::Source => {
                report(Progress::step("connecting the replicas"));
                cluster.find_primary()?;
                cluster.connect_replicas()?;
            }
            Kind::Group => {
                report(Progress::step("forming the group"));
                group::form(cluster.nodes())?;
            }
        }
        if cluster.nodes.first().is_some_and(Server::is_new) && !options.extra_sql.is_empty() {
            cluster.sql(0, &options.extra_sql)?;
        }
        Ok(cluster)
    }

    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// # Panics
    /// If there is no such node: a mistake of the caller's.
    pub fn node(&self, node: usize) -> &Server {
        &self.nodes[node]
    }

    /// The node that was the primary at the start.
    pub fn primary(&self) -> &Server {
        self.node(self.primary)
    }

    pub fn mysql(&self) -> &Mysql {
        &self.mysql
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `127.0.0.1:PORT` (or its host's address) of every node, for `--backend`.
    pub fn backends(&self) -> Vec<String> {
        self.nodes.iter().map(Server::address).collect()
    }

    /// Runs statements as root on one node.
    pub fn sql(&self, node: usize, text: &str) -> Result<Rows, LabError> {
        self.node(node).sql(text)
    }

    /// How the account of tests logs in to a node.
    pub fn app_login(&self, node: usize) -> Login {
        Login::Account { port: self.node(node).port(), user: APP.0.to_owned(), password: APP.1.to_owned() }
    }

    /// Waits until every running replica has applied all that the first primary has executed by now.
    pub fn ensure_all_caught_up(&self) -> Result<(), LabError> {
        let (question, function) = match self.mysql.flavour {
            Flavour::Mysql => ("REPLACE(@@GLOBAL.gtid_executed, '\\n', '')", "WAIT_FOR_EXECUTED_GTID_SET"),
            Flavour::MariaDb => ("@@GLOBAL.gtid_binlog_pos", "MASTER_GTID_WAIT"),
        };
        let rows = self.primary().sql(&format!("SELECT {question}"))?;
        let executed = rows.first().and_then(|row| row.first()).cloned().unwrap_or_default();
        let seconds = limits::REPLICATION_WAIT.as_secs();
        let statement = format!("SELECT {function}('{executed}', {seconds})");
        each(self.replicas().filter(|node| node.is_running()), |node| {
            match node.sql(&statement)?.first().and_then(|row| row.first()).map(String::as_str) {
                Some("0") => Ok(()),
                _ => Err(not_replicating(node, "did not catch up")),
            }
        })
    }

    /// Has a node that was restarted join its group again, and waits until it is in it.
    pub fn join(&self, node: usize) -> Result<(), LabError> {
        group::join(self.node(node))
    }

    /// Makes a node replicate from another, whatever it did before.
    pub fn replicate(&self, node: usize, source: usize) -> Result<(), LabError> {
        connect(self.node(node), self.node(source), self.mysql.flavour)
    }

    /// Stops all nodes in order: replicas' data stay whole in any case, so all at once.
    pub fn stop(&self) {
        thread::scope(|scope| {
            for node in &self.nodes {
                scope.spawn(|| node.stop());
            }
        });
    }

    fn replicas(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.server_id() != self.primary().server_id())
    }

    /// Data that were used before may have been led by another node, and remember that.
    fn find_primary(&mut self) -> Result<(), LabError> {
        if self.nodes.iter().all(Server::is_new) {
            return Ok(());
        }
        let mut counts = Vec::new();
        for node in &self.nodes {
            let executed = node.sql("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')")?.concat().concat();
            counts.push(GtidSet::parse(executed.as_bytes()).map_or(0, |set| set.count()));
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        self.primary = counts.iter().position(|count| *count == most).unwrap_or(0);
        let lead = "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only=OFF; SET GLOBAL read_only=OFF";
        self.primary().sql(lead).map(drop)
    }

    fn connect_replicas(&self) -> Result<(), LabError> {
        each(self.replicas(), |node| {
            if self.mysql.flavour == Flavour::Mysql {
                node.sql("SET GLOBAL super_read_only=ON")?;
            }
            connect(node, self.primary(), self.mysql.flavour)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.temporary.is_some() {
            // Nobody will read these data again: a second less.
            self.nodes.iter().for_each(Server::kill9);
        } else {
            self.stop();
        }
    }
}

fn start_nodes(
    mysql: &Arc<Mysql>,
    options: &ClusterOptions,
    dir: &Path,
    (ports, group): (Vec<Port>, Option<&Membership>),
) -> Result<Vec<Server>, LabError> {
    let started: Mutex<Vec<Result<Server, LabError>>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (number, port) in (1..).zip(ports) {
            let started = &started;
            scope.spawn(move || {
                let extra_cnf = match group {
                    None => extra_cnf(options, number > 1, mysql.flavour),
                    Some(group) => group.extra_cnf(number as usize - 1) + &extra_cnf(options, false, mysql.flavour),
                };
                let dir = dir.join(format!("node{number}"));
                let host = options.hosts.get(number as usize - 1).cloned();
                let server = ServerOptions { dir, port, server_id: number, extra_cnf, host };
                let result = Server::create(mysql, server, &mut |_| {}).and_then(|server| {
                    server.start()?;
                    Ok(server)
                });
                started.lock().unwrap_or_else(|error| error.into_inner()).push(result);
            });
        }
    });
    let started = started.into_inner().unwrap_or_else(|error| error.into_inner());
    let mut nodes = started.into_iter().collect::<Result<Vec<Server>, LabError>>()?;
    nodes.sort_by_key(Server::server_id);
    Ok(nodes)
}

fn extra_cnf(options: &ClusterOptions, is_replica: bool, flavour: Flavour) -> String {
    let (timeout, read_only) = match flavour {
        Flavour::Mysql => ("replica-net-timeout", "read-only=ON\nsuper-read-only=ON\n"),
        Flavour::MariaDb => ("slave-net-timeout", "read-only=ON\n"),
    };
    let mut text = format!("max-connections={}\n{timeout}=10\n", options.connections_max);
    if is_replica {
        text.push_str(read_only);
    }
    let _ = write!(text, "{}", options.extra_cnf);
    text
}

fn connect(node: &Server, source: &Server, flavour: Flavour) -> Result<(), LabError> {
    if flavour == Flavour::MariaDb {
        node.sql(&mariadb::follow(source.ip(), source.port(), REPLICATION))?;
        return wait_connected(
            node,
            "SELECT IF(VARIABLE_VALUE='ON' AND (SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE COMMAND='Slave_IO' AND STATE LIKE 'Waiting for master to send%'), 'ON', 'OFF') \
             FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='Slave_running'",
        );
    }
    let (user, password) = REPLICATION;
    let (ip, port) = (source.ip(), source.port());
    // By default a receiver that finds its source down tries again after a minute; a test can't wait that long.
    node.sql(&format!(
        "STOP REPLICA;\n\
         CHANGE REPLICATION SOURCE TO SOURCE_HOST='{ip}', SOURCE_PORT={port}, SOURCE_USER='{user}', \
         SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, \
         SOURCE_RETRY_COUNT=86400, SOURCE_HEARTBEAT_PERIOD=1;\n\
         START REPLICA;"
    ))?;
    wait_connected(node, "SELECT SERVICE_STATE FROM performance_schema.replication_connection_status")
}

fn wait_connected(node: &Server, look: &str) -> Result<(), LabError> {
    let deadline = Instant::now() + limits::REPLICATION_WAIT;
    while Instant::now() < deadline {
        let rows = node.sql(look)?;
        if rows.first().and_then(|row| row.first()).is_some_and(|state| state == "ON") {
            return Ok(());
        }
        thread::sleep(limits::LOOK_PAUSE);
    }
    Err(not_replicating(node, "did not connect to its source"))
}

fn not_replicating(node: &Server, what: &str) -> LabError {
    let look = "SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_connection_status \
                WHERE LAST_ERROR_MESSAGE <> '' \
                UNION ALL SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_worker \
                WHERE LAST_ERROR_MESSAGE <> ''";
    let reasons: Vec<String> = node.sql(look).unwrap_or_default().into_iter().flatten().collect();
    let what = format!("The replica at {} {what}: {}", node.address(), reasons.join("; "));
    LabError::Server { what, log: node.error_log(), lines: node.last_log_lines() }
}

/// Does the same for all at once; the first error counts.
pub(super) fn each<'a>(
    nodes: impl Iterator<Item = &'a Server>,
    work: impl Fn(&Server) -> Result<(), LabError> + Sync,
) -> Result<(), LabError> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = nodes.map(|node| scope.spawn(move || work(node))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_read_only_and_the_callers_lines_come_last() {
        let options = ClusterOptions { extra_cnf: "max-connections=7\n".to_owned(), ..ClusterOptions::default() };
        let (primary, replica) =
            (extra_cnf(&options, false, Flavour::Mysql), extra_cnf(&options, true, Flavour::Mysql));
        assert!(!primary.contains("read-only") && replica.contains("super-read-only=ON"));
        assert!(replica.ends_with("max-connections=7\n"));
    }

    #[test]
    fn impossible_clusters_are_refused() {
        let mysql = Mysql {
            mysqld: "/nowhere".into(),
            client: "/nowhere".into(),
            version: super::super::fetch::Version::OLDEST,
            flavour: Default::default(),
            root: None,
        };
        let check = |options: ClusterOptions, expected: &str| {
            let error = Cluster::start(&mysql, options, &mut |_| {}).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(ClusterOptions { replicas: 99, ..ClusterOptions::default() }, "at most 15 replicas");
        check(ClusterOptions { ports: vec![1], ..ClusterOptions::default() }, "3 servers need 3 ports");
    }
}
