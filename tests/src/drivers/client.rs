//! The clients: which driver in which language, and how its script is started.
//!
//! Invariant: a name is one line of TABLE.md and one name in accepted.txt.

use super::kit::Kit;
use super::limits;
use crate::real::limits::WORST_CONNECTIONS;

#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub name: &'static str,
    pub kit: Kit,
    /// What the kit's program is given: a script below the kit's folder, or a class, and its arguments.
    pub args: &'static [&'static str],
    pub set: Set,
    /// Connections that the gate may have to each backend.
    pub connections: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Runs with `cargo test`.
    Usual,
    /// Runs with `WEIR_DRIVERS=all`: it takes minutes to install.
    Rest,
}

/// The slowest first, so that they don't run alone at the end.
pub const CLIENTS: &[Client] = &[
    usual("PyMySQL", Kit::Python, &["run_pymysql.py"]),
    usual("Connector/J", Kit::Java, &["Jdbc", "mysql"]),
    usual("Connector/J, server-side", Kit::Java, &["Jdbc", "mysql", "server"]),
    usual("MariaDB Connector/J", Kit::Java, &["Jdbc", "mariadb"]),
    usual("Hibernate", Kit::Java, &["Hibernate"]),
    usual("mysqlclient", Kit::Python, &["run_mysqlclient.py"]),
    usual("Connector/Python, pure", Kit::Python, &["run_connector.py", "pure"]),
    usual("Connector/Python, C", Kit::Python, &["run_connector.py", "c"]),
    usual("asyncmy", Kit::Python, &["run_asyncmy.py"]),
    usual("aiomysql", Kit::Python, &["run_aiomysql.py"]),
    usual("changes of user", Kit::Python, &["run_change_user.py"]),
    usual("SQLAlchemy on PyMySQL", Kit::Python, &["run_sqlalchemy.py", "pymysql"]),
    usual("SQLAlchemy on mysqlclient", Kit::Python, &["run_sqlalchemy.py", "mysqldb"]),
    usual("Django", Kit::Python, &["run_django.py"]),
    usual("mysql2 (Node)", Kit::Node, &["run_mysql2.mjs"]),
    usual("mariadb (Node)", Kit::Node, &["run_mariadb.mjs"]),
    usual("Sequelize", Kit::Node, &["run_sequelize.mjs"]),
    usual("TypeORM", Kit::Node, &["run_typeorm.mjs"]),
    usual("go-sql-driver", Kit::Go, &["sql"]),
    usual("GORM", Kit::Go, &["gorm"]),
    usual("PHP mysqli", Kit::Php, &["mysqli.php"]),
    usual("PHP PDO", Kit::Php, &["pdo.php"]),
    usual("DBD::mysql", Kit::Perl, &["dbi.pl", "mysql"]),
    usual("DBD::MariaDB", Kit::Perl, &["dbi.pl", "MariaDB"]),
    usual("mysql2 (Ruby)", Kit::Ruby, &["mysql2.rb"]),
    usual("ActiveRecord", Kit::Ruby, &["active_record.rb"]),
    usual("ActiveRecord, prepared", Kit::Ruby, &["active_record.rb", "prepared"]),
    usual("mariadb (C)", Kit::Mariadb, &["cli.sh"]),
    usual("mysql (C)", Kit::Mysql, &["cli.sh"]),
    usual("mysqlbinlog", Kit::Mysql, &["binlog.sh"]),
    roomy(usual("mydumper", Kit::Mydumper, &["dump.sh"])),
    rest("pt-online-schema-change", Kit::Percona, &["osc.sh"]),
    roomy(rest("gh-ost", Kit::Ghost, &["ghost.sh"])),
    rest("mysql_async", Kit::Rust, &["mysql_async"]),
    rest("sqlx", Kit::Rust, &["sqlx"]),
    rest("diesel", Kit::Rust, &["diesel"]),
];

const fn usual(name: &'static str, kit: Kit, args: &'static [&'static str]) -> Client {
    Client { name, kit, args, set: Set::Usual, connections: WORST_CONNECTIONS }
}

const fn rest(name: &'static str, kit: Kit, args: &'static [&'static str]) -> Client {
    Client { set: Set::Rest, ..usual(name, kit, args) }
}

/// One whose own sessions hold more connections at the same time than the worst sharing has.
const fn roomy(client: Client) -> Client {
    Client { connections: limits::ROOMY_CONNECTIONS, ..client }
}
