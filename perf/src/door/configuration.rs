//! What the peers are told: one listener, one thread, the one backend, no checks that would cost anything.
//!
//! Invariant: every path in them lies in the folder of this run. Those of ProxySQL and MaxScale follow their manuals.

use std::net::SocketAddr;
use std::path::Path;

use super::Kind;
use crate::backend::{Backend, SCHEMA, free_address};
use crate::error::Fault;
use crate::limits::CONNECTIONS_MAX;
use crate::meter;

/// `root`: where the peer was unpacked to, if it is not the system's own.
pub fn of(
    kind: Kind,
    listen: SocketAddr,
    backend: &Backend,
    folder: &Path,
    root: Option<&Path>,
) -> Result<String, Fault> {
    Ok(match kind {
        Kind::HaProxy => {
            let files_max = meter::raise_files_max().map_err(|error| Fault::io("raising a limit", error))?;
            haproxy(listen, backend.address(), files_max)
        }
        Kind::Router => router(listen, backend.address(), folder, root),
        Kind::ProxySql => proxysql(listen, free_address()?, backend, folder),
        Kind::MaxScale => maxscale(listen, backend),
        Kind::Direct | Kind::Relay | Kind::RingRelay | Kind::Weir => String::new(),
    })
}

pub fn arguments(kind: Kind, path: &Path, folder: &Path) -> Vec<String> {
    let (path, folder) = (path.display().to_string(), folder.display().to_string());
    let words: &[&str] = match kind {
        Kind::HaProxy => &["-db", "-f", &path],
        Kind::Router => &["-c", &path],
        Kind::ProxySql => &["-f", "--initial", "-c", &path, "-D", &folder],
        Kind::MaxScale => &["-d", "-f", &path, "-A", &folder, "-D", &folder, "-B", &folder],
        Kind::Direct | Kind::Relay | Kind::RingRelay | Kind::Weir => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// HAProxy refuses to start with a limit of connections that its files do not suffice for: two each, and some.
fn haproxy(listen: SocketAddr, backend: SocketAddr, files_max: u64) -> String {
    let clients_max = (files_max / 2).saturating_sub(FILES_SPARE).min(CONNECTIONS_MAX as u64);
    format!(
        "global\n  nbthread 1\n  maxconn {clients_max}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         frontend mysql\n  bind {listen}\n  default_backend mysql\n\
         backend mysql\n  server one {backend}\n"
    )
}

/// With sharing, since that is what a pooling proxy is compared with, and without TLS, as all others here.
fn router(listen: SocketAddr, backend: SocketAddr, folder: &Path, root: Option<&Path>) -> String {
    let folder = folder.display();
    let plugins = root.map(|root| format!("plugin_folder={}\n", root.join("usr/lib/mysqlrouter/plugin").display()));
    format!(
        "[DEFAULT]\nlogging_folder={folder}\nruntime_folder={folder}\ndata_folder={folder}\n{}\
         [io]\nthreads=1\n\
         [connection_pool]\nmax_idle_server_connections=64\n\
         [routing:one]\nbind_address={}\nbind_port={}\ndestinations={backend}\n\
         routing_strategy=first-available\nprotocol=classic\nmax_connections=20000\n\
         client_ssl_mode=DISABLED\nserver_ssl_mode=DISABLED\nconnection_sharing=1\nconnection_sharing_delay=0\n",
        plugins.unwrap_or_default(),
        listen.ip(),
        listen.port()
    )
}

fn proxysql(listen: SocketAddr, admin: SocketAddr, backend: &Backend, folder: &Path) -> String {
    let account = &backend.account;
    let (user, password) = &backend.monitor;
    format!(
        "datadir=\"{}\"\n\
         admin_variables={{ admin_credentials=\"admin:admin\" mysql_ifaces=\"{admin}\" }}\n\
         mysql_variables={{ threads=1 max_connections=20000 interfaces=\"{listen}\" \
         default_schema=\"{SCHEMA}\" monitor_username=\"{user}\" monitor_password=\"{password}\" }}\n\
         mysql_servers=( {{ address=\"{}\" port={} hostgroup=0 max_connections=1000 }} )\n\
         mysql_users=( {{ username=\"{}\" password=\"{}\" default_hostgroup=0 max_connections=20000 }} )\n",
        folder.display(),
        account.address.ip(),
        account.address.port(),
        account.user,
        account.password
    )
}

fn maxscale(listen: SocketAddr, backend: &Backend) -> String {
    let address = backend.address();
    let (user, password) = &backend.monitor;
    format!(
        "[maxscale]\nthreads=1\nadmin_enabled=false\n\
         [one]\ntype=server\naddress={}\nport={}\n\
         [watch]\ntype=monitor\nmodule=mariadbmon\nservers=one\nuser={user}\npassword={password}\n\
         [service]\ntype=service\nrouter=readconnroute\nservers=one\nuser={user}\npassword={password}\n\
         [listener]\ntype=listener\nservice=service\naddress={}\nport={}\n",
        address.ip(),
        address.port(),
        listen.ip(),
        listen.port()
    )
}

const FILES_SPARE: u64 = 100;
