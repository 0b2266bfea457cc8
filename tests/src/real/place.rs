//! The place: one real MySQL cluster for the whole test process, a primary and two replicas.
//!
//! Invariant: it is there or the test fails with the reason. It is started once and dies with the process.
//! `WEIR_TEST_CLUSTER=127.0.0.1:P1,127.0.0.1:P2,…` names a running one instead, the primary first, on which `app`
//! (password `app`) may do everything and `local_infile` is on.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use weir_control::lab::mariadb::{self, Edition};
use weir_control::lab::{Cluster, ClusterOptions, Mysql, Progress};
use weir_net::flags::Capabilities;
use weir_net::flavour::Flavour;

use super::bind;
use super::limits;
use super::noise;
use super::reply::{self, Kind, Reply};
use super::wire::{Account, Address, Wire, refusal};

pub struct Place {
    /// The primary first.
    pub backends: Vec<SocketAddr>,
    /// The server's programs.
    pub mysql: Mysql,
    /// Held by every session that runs, for writing by those that must be alone.
    pub stage: RwLock<()>,
    _cluster: Option<Mutex<Cluster>>,
}

/// The account of tests: it may do everything.
pub const USER: &str = "app";
pub const PASSWORD: &str = "app";

/// What the place's servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Server {
    #[default]
    Mysql,
    MariaDb(Edition),
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The place of these servers: each test of a process names the same.
///
/// # Panics
/// If another test of this process has named others, and as [`place`] does.
pub fn place_of(server: Server) -> &'static Place {
    assert_eq!(*SERVER.get_or_init(|| server), server, "one process has one place");
    place()
}

/// The place, started now if this is the first call.
///
/// # Panics
/// If there is no MySQL, with the reason.
pub fn place() -> &'static Place {
    static PLACE: OnceLock<Result<Place, String>> = OnceLock::new();
    match PLACE.get_or_init(Place::start) {
        Ok(place) => place,
        Err(why) => panic!("there is no MySQL to test with: {why}"),
    }
}

impl Place {
    fn start() -> Result<Place, String> {
        let mut said = "";
        let mut report = |progress: Progress| {
            if progress.step != said {
                said = progress.step;
                eprintln!("the laboratory: {progress}");
            }
        };
        let mysql = match SERVER.get().copied().unwrap_or_default() {
            Server::Mysql => Mysql::find(None, &mut report),
            Server::MariaDb(edition) => mariadb::find(edition, &mut report),
        };
        let mysql = mysql.map_err(|error| error.to_string())?;
        let (backends, cluster) = match std::env::var("WEIR_TEST_CLUSTER") {
            Ok(list) => (list.split(',').map(str::to_owned).collect(), None),
            Err(_) => {
                let extra_cnf = EXTRA_CNF.to_owned();
                let options = ClusterOptions { replicas: 2, extra_cnf, ..ClusterOptions::default() };
                let cluster = Cluster::start(&mysql, options, &mut report).map_err(|error| error.to_string())?;
                (cluster.backends(), Some(Mutex::new(cluster)))
            }
        };
        let parse = |text: &String| text.parse().map_err(|_| format!("{text:?} is no address"));
        let backends = backends.iter().map(parse).collect::<Result<Vec<SocketAddr>, String>>()?;
        let place = Place { backends, mysql, stage: RwLock::new(()), _cluster: cluster };
        let mut admin = place.admin()?;
        for statement in noise::SETUP {
            admin.sql(statement)?;
        }
        admin.ensure_replicated()?;
        Ok(place)
    }

    pub fn primary(&self) -> Address {
        Address::Tcp(self.backends[0])
    }

    /// The account of tests, with a usual driver's capabilities.
    pub fn account(&self) -> Account {
        Account {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            schema: None,
            capabilities: USUAL,
            // What each one's own clients say: utf8mb4_0900_ai_ci, which MariaDB does not have, and utf8mb4_general_ci.
            charset: match self.mysql.flavour {
                Flavour::Mysql => 255,
                Flavour::MariaDb => 45,
            },
            compression: None,
            attributes: vec![(b"program_name".to_vec(), b"weir-tests".to_vec())],
            preface: Vec::new(),
        }
    }

    /// A session on the primary itself, to prepare tests with.
    pub fn admin(&self) -> Result<Admin, String> {
        let open = |backend: &SocketAddr| Wire::login(&Address::Tcp(*backend), &self.account());
        let wires = self.backends.iter().map(open).collect::<Result<Vec<Wire>, _>>();
        let wires = wires.map_err(|error| format!("logging in to {:?}: {error}", self.backends))?;
        Ok(Admin { wires: Mutex::new(wires), flavour: self.mysql.flavour })
    }
}

/// Direct sessions on all servers, the primary's first.
pub struct Admin {
    wires: Mutex<Vec<Wire>>,
    flavour: Flavour,
}

impl Admin {
    /// Runs one statement on the primary.
    pub fn sql(&mut self, statement: &str) -> Result<Reply, String> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut wires[0], statement)
    }

    /// Runs one statement on every replica.
    pub fn on_replicas(&mut self, statement: &str) -> Result<(), String> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.iter_mut().skip(1).try_for_each(|wire| ask(wire, statement).map(|_| ()))
    }

    /// Waits until every replica has applied what the primary has executed by now.
    pub fn ensure_replicated(&mut self) -> Result<(), String> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        let (question, function) = match self.flavour {
            Flavour::Mysql => ("REPLACE(@@GLOBAL.gtid_executed, '\\n', '')", "WAIT_FOR_EXECUTED_GTID_SET"),
            Flavour::MariaDb => ("@@GLOBAL.gtid_binlog_pos", "MASTER_GTID_WAIT"),
        };
        let executed = first_cell(&ask(&mut wires[0], &format!("SELECT {question}"))?.rows());
        let wait = limits::SETUP_WAIT_S.min(limits::WIRE_WAIT.as_secs() as u32 - 1);
        let statement = format!("SELECT {function}('{executed}', {wait})");
        for wire in wires.iter_mut().skip(1) {
            if first_cell(&ask(wire, &statement)?.rows()) != "0" {
                return Err("a replica did not catch up".to_owned());
            }
        }
        Ok(())
    }

    /// Waits a while until nobody holds a user lock on the primary whose name begins so.
    pub fn await_unlocked(&mut self, prefix: &str) {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        let question = format!(
            "SELECT COUNT(*) FROM performance_schema.metadata_locks \
             WHERE OBJECT_TYPE = 'USER LEVEL LOCK' AND LEFT(OBJECT_NAME, {}) = '{prefix}'",
            prefix.len()
        );
        for _ in 0..LOCKS_LOOKED_AT_MAX {
            // A server without that table is not asked again.
            if ask(&mut wires[0], &question).map_or(true, |reply| first_cell(&reply.rows()) == "0") {
                return;
            }
            std::thread::sleep(LOCKS_PAUSE);
        }
    }
}

const LOCKS_LOOKED_AT_MAX: usize = 200;
const LOCKS_PAUSE: Duration = Duration::from_millis(5);

/// Runs one statement; an error of the server's is an error here.
pub fn ask(wire: &mut Wire, statement: &str) -> Result<Reply, String> {
    let reply = wire
        .command(&bind::query(&[], statement.as_bytes(), wire.capabilities))
        .and_then(|()| reply::read(wire, Kind::Query, false, None))
        .map_err(|error| format!("{statement}: {error}"))?;
    match reply.error() {
        Some(payload) => Err(format!("{statement}: {}", refusal(payload))),
        None => Ok(reply),
    }
}

/// The first cell of the first row as text; empty if there is none.
pub fn first_cell(rows: &[Vec<Option<Vec<u8>>>]) -> String {
    let cell = rows.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default();
    String::from_utf8_lossy(&cell).into_owned()
}

/// Local files and large packets for the corpus. No file is synced: a database for every session is a thousand files,
/// and nobody reads these data after a crash. A lock that nobody lets go of is told of before a client's patience ends.
const EXTRA_CNF: &str = "local-infile=ON\nmax-allowed-packet=64M\ninnodb-flush-method=nosync\ninnodb-doublewrite=OFF\n\
    innodb-lock-wait-timeout=3\nlock-wait-timeout=3\n";

/// What a driver of today asks for, query attributes apart.
pub const USUAL: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::LOCAL_FILES)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::PLUGIN_AUTH_LENENC_DATA)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF);
