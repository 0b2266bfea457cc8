//! The configuration: what was typed (a file, flags, the environment) and what it means.
//!
//! ```text
//! weir.toml ──► file ──┐                                  ┌──► Config
//! flags ───────────────┼──► Typed (all optional, each ────► meaning
//! environment ─────────┘    with the place it comes from) └──► Mistakes: all of them, each with its place
//! ```
//! Invariant: a [`Config`] is right: addresses are resolved, numbers are in range, nothing contradicts itself.
//! Flags are stronger than the environment, the environment is stronger than the file.

pub mod accounts;
pub mod address;
mod audited;
pub mod controller;
pub mod cores;
pub mod file;
pub mod flags;
pub mod http;
pub mod key;
pub mod keys;
pub mod listeners;
mod meaning;
pub mod mirrors;
pub mod mistake;
pub mod outside;
pub mod print;
pub mod reference;
pub mod reload;
pub mod section;
pub mod steward;
pub mod tablet;
mod traced;
pub mod typed;

pub use flags::GateFlags;
pub use mirrors::MirrorConfig;
pub use mistake::{Mistake, Mistakes, Place};

use crate::controller::record::Wanted;
use crate::grpc::tls::TlsFiles;
use listeners::ListenerConfig;
use std::net::SocketAddr;
use std::path::PathBuf;
use weir_core::audit::{AuditKind, AuditKinds};
use weir_core::drive::ListenAddress;
use weir_core::snapshot::{Address, Role, Settings};
use weir_net::proxy::Networks;
use weir_net::secret::Secret;

/// Everything that a gate needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// All addresses where clients come in, those of `listeners` too, in an order that stays while the gate runs.
    pub listen: Vec<ListenAddress>,
    /// Those that have a policy of their own.
    pub listeners: Vec<ListenerConfig>,
    /// Metrics, health and status over HTTP; None: nowhere.
    pub admin_listen: Option<SocketAddr>,
    pub grpc_listen: Option<SocketAddr>,
    pub admin_sql: AdminSql,
    /// Nobody asked for these two addresses: if another gate has them, this one goes without.
    pub admin_is_optional: bool,
    /// CPU numbers, one core each.
    pub cores: Vec<usize>,
    pub tls: Tls,
    pub client_tls: ClientTlsPolicy,
    /// As named; those of the settings hold where no listener says otherwise, and are none if the gate takes no header.
    pub proxy_networks: Networks,
    pub backend_tls: BackendTlsMode,
    pub backend_tls_ca: Option<PathBuf>,
    pub memory: Memory,
    pub backends: Vec<BackendConfig>,
    /// Servers that run copies of reads.
    pub mirrors: Vec<MirrorConfig>,
    /// Who tells of more of them, and which is primary; None: nobody.
    pub controllers: Option<ControllersConfig>,
    /// gRPC of the other gates, `host:port` each, where no controllers know them: for kills across gates.
    pub peers: Vec<String>,
    /// For gRPC: as a server, and towards tablets and controllers.
    pub grpc_tls: TlsFiles,
    pub monitor: MonitorConfig,
    pub settings: Settings,
    pub log: LogConfig,
    /// The file of table permissions; None: MySQL's grants alone count.
    pub permissions: Option<PathBuf>,
    /// Where a gate without controllers keeps its filters; None: nowhere.
    pub filters_file: Option<PathBuf>,
    pub query_log: QueryLogConfig,
    pub audit_log: AuditLogConfig,
    pub traces: TracesConfig,
    /// After an upgrade: how long sessions of the former process go on before they are drained; 0: for ever.
    pub upgrade_drain_ms_max: u64,
}

/// The admin port.
#[derive(Clone, Debug)]
pub struct AdminSql {
    /// None: there is none.
    pub listen: Option<SocketAddr>,
    /// Of this gate alone.
    pub user: String,
    pub password: Secret,
}

impl AdminSql {
    const USER: &str = "weir";

    fn off() -> AdminSql {
        AdminSql { listen: None, user: AdminSql::USER.to_string(), password: Secret::empty() }
    }
}

/// How connections to backends are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendTlsMode {
    #[default]
    Off,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl BackendTlsMode {
    const ALL: [BackendTlsMode; 5] = [Self::Off, Self::Preferred, Self::Required, Self::VerifyCa, Self::VerifyIdentity];

    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Preferred => "preferred",
            Self::Required => "required",
            Self::VerifyCa => "verify_ca",
            Self::VerifyIdentity => "verify_identity",
        }
    }

    pub fn of_word(word: &str) -> BackendTlsMode {
        Self::ALL.into_iter().find(|mode| mode.word() == word).unwrap_or_default()
    }
}

/// Where the gate's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// Made at each start and kept in memory: encrypts, but no client can tell us from an impostor.
    Ephemeral,
    /// Made at the first start and kept there.
    Folder(PathBuf),
    Files {
        cert: PathBuf,
        key: PathBuf,
    },
}

/// What clients' TLS must be like, where there is TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsPolicy {
    /// The authorities (PEM) that sign clients' certificates.
    pub ca: Option<PathBuf>,
    pub auth: ClientAuth,
    pub version_min: TlsVersion,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    Off,
    Optional,
    Required,
}

impl ClientAuth {
    pub const WORDS: [(&str, ClientAuth); 3] =
        [("off", ClientAuth::Off), ("optional", ClientAuth::Optional), ("required", ClientAuth::Required)];

    pub fn word(self) -> &'static str {
        ClientAuth::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }

    pub fn of_word(word: &str) -> ClientAuth {
        ClientAuth::WORDS.iter().find(|(one, _)| *one == word).map_or(ClientAuth::Off, |(_, one)| *one)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

impl TlsVersion {
    pub const WORDS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

    pub fn word(self) -> &'static str {
        TlsVersion::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }

    pub fn of_word(word: &str) -> TlsVersion {
        TlsVersion::WORDS.iter().find(|(one, _)| *one == word).map_or(TlsVersion::V1_2, |(_, one)| *one)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    pub blocks_per_core: usize,
    pub block_bytes: usize,
    /// Connections that may wait to be accepted, per core.
    pub backlog: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    pub name: String,
    pub address: Address,
    pub weight: u32,
    pub zone: String,
    /// Believed whatever the server says; None: by the server's own evidence.
    pub role: Option<Role>,
    /// The `host:port` of the tablet that tells of it, and where it is; None: the gate looks at it itself.
    pub tablet: Option<String>,
    /// What operators let it become, as controllers tell it.
    pub wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllersConfig {
    /// `host:port` each.
    pub addresses: Vec<String>,
    /// Where the last word is kept for a start without controllers.
    pub cache: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct MonitorConfig {
    pub user: String,
    pub password: Secret,
    /// Between two looks at a backend.
    pub interval_ms: u64,
    /// A backend that takes longer to answer a look is down.
    pub timeout_ms: u64,
    /// How long the start waits for a first backend.
    pub start_ms_max: u64,
    /// Replicas that a backend names become backends.
    pub discover: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// As `--log` takes it: `info`, or `info,weir_control::monitor=debug`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLogConfig {
    /// None: off.
    pub file: Option<PathBuf>,
    /// One of so many statements; 0: none but the slow ones.
    pub sample: u32,
    /// 0: none is slow.
    pub slow_ms: u64,
    pub shows_literals: bool,
    pub bytes_max: u64,
    pub files_kept: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLogConfig {
    /// None: off.
    pub file: Option<PathBuf>,
    pub events: AuditKinds,
    /// No login while it cannot be written.
    pub refuses: bool,
    pub bytes_max: u64,
    pub files_kept: u32,
}

impl Default for AuditLogConfig {
    fn default() -> AuditLogConfig {
        let mut events = AuditKinds::default();
        AuditKind::ALL.into_iter().for_each(|kind| events.add(kind));
        AuditLogConfig { file: None, events, refuses: false, bytes_max: 100 << 20, files_kept: 20 }
    }
}

/// Where traces go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesConfig {
    /// `http://host:port` or `https://host:port` of a collector; empty: traces are off.
    pub endpoint: String,
    /// The authority that signs the collector's certificate.
    pub ca: Option<PathBuf>,
    /// What each export says beside its spans, `name: value` a line.
    pub headers_file: Option<PathBuf>,
    /// Exports are compressed.
    pub gzip: bool,
    /// One of so many statements without a context; 0: none.
    pub sample: u32,
    /// Of each core.
    pub per_s_max: u32,
}

impl TracesConfig {
    /// `host:port`.
    pub fn address(&self) -> Option<&str> {
        traced::SCHEMES.iter().find_map(|scheme| self.endpoint.strip_prefix(scheme))
    }

    pub fn is_secure(&self) -> bool {
        self.endpoint.starts_with(traced::SECURE)
    }
}

impl Default for TracesConfig {
    fn default() -> TracesConfig {
        TracesConfig { endpoint: String::new(), ca: None, headers_file: None, gzip: false, sample: 0, per_s_max: 1_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// What holds for what nobody typed; without backends.
    pub fn defaults(cores: Vec<usize>) -> Config {
        Config {
            listen: vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], address::MYSQL_PORT)))],
            listeners: Vec::new(),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT))),
            grpc_listen: Some(SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT + 1))),
            admin_sql: AdminSql::off(),
            admin_is_optional: true,
            cores,
            tls: Tls::Ephemeral,
            client_tls: ClientTlsPolicy::default(),
            proxy_networks: Networks::default(),
            backend_tls: BackendTlsMode::Off,
            backend_tls_ca: None,
            memory: Memory { blocks_per_core: 4096, block_bytes: 16 << 10, backlog: 4096 },
            backends: Vec::new(),
            mirrors: Vec::new(),
            controllers: None,
            peers: Vec::new(),
            grpc_tls: TlsFiles::default(),
            permissions: None,
            filters_file: None,
            query_log: QueryLogConfig {
                file: None,
                sample: 0,
                slow_ms: 1_000,
                shows_literals: false,
                bytes_max: 100 << 20,
                files_kept: 5,
            },
            monitor: MonitorConfig {
                user: MONITOR_USER.to_string(),
                password: Secret::empty(),
                interval_ms: 250,
                timeout_ms: 2_000,
                start_ms_max: 10_000,
                discover: false,
            },
            audit_log: AuditLogConfig::default(),
            traces: TracesConfig::default(),
            settings: Settings::default(),
            upgrade_drain_ms_max: 3_600_000,
            log: LogConfig { filter: "info".to_string(), format: LogFormat::Text },
        }
    }

    /// For a gate inside another process, such as a test: free ports, no word on standard error about roles.
    pub fn local(backends: &[Address], monitor_user: &str, monitor_password: &str) -> Config {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config::defaults(cores::usual(&cores::allowed()));
        config.listen = vec![ListenAddress::Tcp(free)];
        config.admin_listen = Some(free);
        config.grpc_listen = Some(free);
        config.admin_is_optional = false;
        config.monitor.user = monitor_user.to_string();
        config.monitor.password = Secret::from(monitor_password.as_bytes());
        config.backends = backends.iter().map(BackendConfig::at).collect();
        config
    }
}

impl BackendConfig {
    pub fn at(address: &Address) -> BackendConfig {
        BackendConfig {
            name: address::show(address),
            address: address.clone(),
            weight: 100,
            zone: String::new(),
            role: None,
            tablet: None,
            wanted: Wanted::Any,
        }
    }

    /// Where it is, its tablet will say.
    pub fn behind(tablet: &str) -> BackendConfig {
        let nowhere = Address::Tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
        BackendConfig { name: tablet.to_string(), tablet: Some(tablet.to_string()), ..BackendConfig::at(&nowhere) }
    }
}

/// Where a gate's configuration comes from, to be read again: the flags and the environment of its start, and the file as it is now.
#[derive(Clone, Debug)]
pub struct Source {
    pub flags: GateFlags,
}

impl Source {
    pub fn read(&self) -> Result<Config, Mistakes> {
        load(&self.flags, &|name| std::env::var(name).ok())
    }
}

/// Reads the file if there is one, lays environment and flags over it, and says what it all means.
pub fn load(flags: &GateFlags, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut typed = typed::Typed::default();
    if let Some(path) = &flags.config {
        file::read(path, &mut typed, &mut mistakes);
    }
    typed::overlay_environment(&mut typed, environment);
    flags.overlay(&mut typed);
    meaning::judge(typed, mistakes)
}

/// HTTP; gRPC is on the next one.
pub const ADMIN_PORT: u16 = 7306;

/// More than anyone runs.
pub const CONTROLLERS_MAX: usize = 16;

/// Gates that one may name: each is asked for each client that is not found.
pub const PEERS_MAX: usize = 64;

/// The account that looks at the backends, unless another is named.
pub const MONITOR_USER: &str = "weir";

#[cfg(test)]
mod tests;
