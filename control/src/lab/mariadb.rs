//! MariaDB as a server of the laboratory: fetched like MySQL, and what it wants said in other words.
//!
//! Invariant: the system's own MariaDB is never used, so that a test always knows which one it has.
//! A server without `gtid_strict_mode` could have two transactions of one number; the laboratory's have it on.

use std::path::Path;
use std::process::Command;

use weir_net::flavour::Flavour;

use super::apt::Suite;
use super::fetch::{Version, root_of, share};
use super::unpack::{self, Product};
use super::{LabError, Mysql, Report, child, limits};

/// Which MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// Debian 12's own: 10.11.
    Own,
    /// Debian 13's: 11.8.
    Later,
}

/// Fetched earlier or now.
pub fn find(edition: Edition, report: Report<'_>) -> Result<Mysql, LabError> {
    let root = unpack::root(&product(edition), report)?;
    let mysqld = root.join("usr/sbin/mariadbd");
    let failed = |detail: String| LabError::Unpack { what: mysqld.display().to_string(), detail };
    let mut command = Command::new(&mysqld);
    command.args(["--no-defaults", "--version"]);
    let output = child::output(command, b"", limits::VERSION_WAIT).map_err(|e| failed(e.to_string()))?;
    let line = output.stdout.lines().next().unwrap_or_default();
    let version = Version::said(line).ok_or_else(|| failed(format!("it does not say its version: {line:?}")))?;
    let client = root.join("usr/bin/mariadb");
    Ok(Mysql { root: root_of(&mysqld), mysqld, client, version, flavour: Flavour::MariaDb })
}

/// Lines of my.cnf for what MySQL's would call by other names. The server's defaults stand for the rest: its performance
/// schema is off, for one.
pub fn own_cnf() -> &'static str {
    "log-slave-updates=ON\ngtid-strict-mode=ON\ninnodb-log-file-size=64M\n"
}

/// Standard input of `--bootstrap`: the system's tables, then the laboratory's accounts.
pub fn bootstrap(mysql: &Mysql, accounts: &str) -> Result<String, LabError> {
    let share = share(mysql.root.as_deref().unwrap_or(Path::new("/")));
    // root may come in by the socket without a password, and nobody else may.
    let mut text =
        "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL, @skip_auth_anonymous=1;\n".to_owned();
    for script in SCRIPTS {
        // Called after MariaDB since 11.
        let path = [script.replace("mysql", "mariadb").as_str(), script].map(|name| share.join(name));
        let path = path.iter().find(|path| path.exists()).unwrap_or(&path[1]);
        text += &std::fs::read_to_string(path).map_err(|e| LabError::io("reading", path, e))?;
        text.push('\n');
    }
    text += "FLUSH PRIVILEGES;\n";
    text += accounts;
    Ok(text)
}

/// Makes a server a replica that asks for what comes behind its own position.
pub fn follow(ip: impl std::fmt::Display, port: u16, (user, password): (&str, &str)) -> String {
    format!(
        "STOP SLAVE;\n\
         CHANGE MASTER TO MASTER_HOST='{ip}', MASTER_PORT={port}, MASTER_USER='{user}', MASTER_PASSWORD='{password}', \
         MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1;\n\
         START SLAVE;"
    )
}

fn product(edition: Edition) -> Product {
    let (name, suite) = match edition {
        Edition::Own => ("MariaDB", Suite::Own),
        Edition::Later => ("MariaDB-later", Suite::Later("trixie")),
    };
    Product {
        name,
        suite,
        packages: &["mariadb-server-core", "mariadb-client-core"],
        programs: &["usr/sbin/mariadbd", "usr/bin/mariadb"],
        libraries: &["usr/lib/mysql/plugin"],
    }
}

/// In the order of `mariadb-install-db`.
const SCRIPTS: [&str; 5] = [
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
];
