//! `Backend`: the MySQL server at the far end of a measurement: the null backend, a real mysqld of the laboratory's, or
//! one that somebody else runs.
//!
//! Invariant: it answers sysbench's point selects on `sbtest`, and has the account of the load and one for monitoring.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use weir_control::lab::template::{APP, MONITOR};
use weir_control::lab::{Cluster, ClusterOptions, Mysql, ports};

use crate::arguments::{Arguments, resolve};
use crate::client::{Account, Client};
use crate::error::Fault;
use crate::program::Program;
use crate::sysbench::{self, Sysbench};

#[derive(Debug)]
pub struct Backend {
    pub account: Account,
    /// One with the same rights and no password, if there is one: MySQL Router shares only connections of clients whose
    /// password it knows, and without TLS it knows none but the empty one.
    pub bare: Option<Account>,
    /// User and password of the account that looks at it.
    pub monitor: (String, String),
    /// The process, if it is known.
    pub pid: Option<u32>,
    pub name: String,
    _owned: Owned,
}

/// What of the backend ends with it.
#[derive(Debug)]
enum Owned {
    Nothing,
    Null(#[expect(dead_code, reason = "held for its end")] Program),
    Mysqld(#[expect(dead_code, reason = "held for its end")] Box<Cluster>),
}

const BARE: &str = "bare";

impl Backend {
    /// `--backend null|mysqld|HOST:PORT [--user U --password P --monitor-user U --monitor-password P --mysqld-pid N]`
    ///
    /// These are the last arguments of a command: what else is there is refused before anything is started.
    pub fn from_arguments(mut arguments: Arguments, folder: &Path) -> Result<Self, Fault> {
        let kind = arguments.text_or("--backend", "null")?;
        let user = arguments.text_or("--user", APP.0)?;
        let password = arguments.text_or("--password", APP.1)?;
        let monitor_user = arguments.text_or("--monitor-user", MONITOR.0)?;
        let monitor_password = arguments.text_or("--monitor-password", MONITOR.1)?;
        let pid = arguments.value("--mysqld-pid")?;
        arguments.finish()?;
        let account = |address| Account {
            address,
            user: user.clone(),
            password: password.clone(),
            schema: Some(SCHEMA.to_owned()),
        };
        let backend = match kind.as_str() {
            "null" => Self::start_null(folder)?,
            "mysqld" => Self::start_mysqld()?,
            address => Self {
                account: account(resolve(address)?),
                bare: None,
                monitor: (monitor_user, monitor_password),
                pid,
                name: address.to_owned(),
                _owned: Owned::Nothing,
            },
        };
        // The first login by RSA puts the password into the server's cache, so that every later one is a fast one.
        Client::connect(&backend.account)?;
        Ok(backend)
    }

    /// The null backend in a process of its own.
    pub fn start_null(folder: &Path) -> Result<Self, Fault> {
        let address = free_address()?;
        let mut command = own_program()?;
        command.args(["null", "--listen", &address.to_string()]);
        let program = Program::start("null", command, folder)?;
        let account =
            Account { address, user: APP.0.to_owned(), password: APP.1.to_owned(), schema: Some(SCHEMA.to_owned()) };
        program.wait_ready(&account)?;
        Ok(Self {
            account,
            bare: None,
            monitor: (MONITOR.0.to_owned(), MONITOR.1.to_owned()),
            pid: Some(program.pid()),
            name: "null".to_owned(),
            _owned: Owned::Null(program),
        })
    }

    /// One mysqld with sysbench's tables.
    fn start_mysqld() -> Result<Self, Fault> {
        let mysql = Mysql::find(None, &mut |progress| eprintln!("{progress}"))?;
        let options = ClusterOptions {
            replicas: 0,
            connections_max: 2000,
            extra_cnf: "performance-schema=OFF\n".to_owned(),
            extra_sql: format!(
                "CREATE DATABASE IF NOT EXISTS {SCHEMA}; CREATE USER {BARE}@'%' IDENTIFIED BY ''; \
                 GRANT ALL ON {SCHEMA}.* TO {BARE}@'%'"
            ),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&mysql, options, &mut |progress| eprintln!("{progress}"))?;
        let account = Account {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.primary().port())),
            user: APP.0.to_owned(),
            password: APP.1.to_owned(),
            schema: Some(SCHEMA.to_owned()),
        };
        Client::connect(&account)?;
        let tables = sysbench::Tables::default();
        Sysbench::find()?.prepare(&account, &tables)?;
        Ok(Self {
            bare: Some(Account { user: BARE.to_owned(), password: String::new(), ..account.clone() }),
            account,
            monitor: (MONITOR.0.to_owned(), MONITOR.1.to_owned()),
            pid: cluster.primary().pid(),
            name: "mysqld".to_owned(),
            _owned: Owned::Mysqld(Box::new(cluster)),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.account.address
    }
}

/// An address of the loopback that nobody listens at, for a process that is started at once.
pub fn free_address() -> Result<SocketAddr, Fault> {
    let port = ports::free(1)?.first().map_or(0, ports::Port::number);
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// This very program.
pub fn own_program() -> Result<Command, Fault> {
    let path = std::env::current_exe();
    Ok(Command::new(path.map_err(|error| Fault::io("finding this program's own file", error))?))
}

pub const SCHEMA: &str = "sbtest";
