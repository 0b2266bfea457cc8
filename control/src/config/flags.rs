//! The flags of `weir gate`: enough for a start without a file, and stronger than the file.

use crate::config::mistake::Given;
use crate::config::typed::{Plain, Typed, TypedBackend, TypedCores};
use crate::config::{LogFormat, Place};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Clone, Debug, Default)]
pub struct GateFlags {
    /// The configuration file (TOML); --print-config shows every key.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients come in: HOST:PORT or unix:PATH. Repeatable. [default: 127.0.0.1:3306]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// A MySQL server: HOST:PORT or unix:PATH. Repeatable; replaces the file's backends.
    #[arg(long, value_name = "ADDR")]
    pub backend: Vec<String>,
    /// The tablet beside a MySQL server: HOST:PORT. Repeatable, beside --backend; it tells where its server is.
    #[arg(long, value_name = "ADDR")]
    pub tablet: Vec<String>,
    /// The controllers, HOST:PORT,HOST:PORT: they tell of the members and the primary.
    #[arg(long, value_name = "LIST")]
    pub controller: Option<String>,
    /// A file for their last word, for a start without them.
    #[arg(long, value_name = "FILE")]
    pub controller_cache: Option<PathBuf>,
    /// A file of table permissions: who may read, write and change which tables; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub permissions: Option<PathBuf>,
    /// A file for slow and sampled statements, one JSON line each; see [query_log].
    #[arg(long, value_name = "FILE")]
    pub query_log: Option<PathBuf>,
    /// Replicas that a backend names (SHOW REPLICAS) become backends.
    #[arg(long)]
    pub discover: bool,
    /// CPUs to run on: a number of them, a list 2,3 or a range 0-3. [default: all that the process may use]
    #[arg(long, value_name = "N|LIST")]
    pub cores: Option<String>,
    /// The account that looks at the backends. [default: weir]
    #[arg(long, value_name = "USER")]
    pub monitor_user: Option<String>,
    /// Its password, which everybody on this machine can see here; better --monitor-password-file or WEIR_MONITOR_PASSWORD.
    #[arg(long, value_name = "PASSWORD", conflicts_with = "monitor_password_file")]
    pub monitor_password: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub monitor_password_file: Option<PathBuf>,
    /// Metrics, health and status over HTTP; 'off' for none. [default: 127.0.0.1:7306]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// Status over gRPC, for 'weir ctl'; 'off' for none. [default: the port after --admin-listen]
    #[arg(long, value_name = "ADDR")]
    pub grpc_listen: Option<String>,
    /// Connections to each backend, for the whole gate. [default: 200]
    #[arg(long, value_name = "N")]
    pub connections_per_backend: Option<String>,
    /// How a replica is chosen: random or least_outstanding. [default: least_outstanding]
    #[arg(long, value_name = "HOW")]
    pub balance: Option<String>,
    /// Everything goes to the primary.
    #[arg(long)]
    pub no_split: bool,
    /// No TLS for clients.
    #[arg(long)]
    pub no_tls: bool,
    /// The certificate's file (PEM, with its chain).
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The file of its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A folder for certificate and key, which are made there at the first start.
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// The certificate for gRPC, as a server and towards tablets and controllers (PEM).
    #[arg(long, value_name = "FILE")]
    pub grpc_tls_cert: Option<PathBuf>,
    /// The file of its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub grpc_tls_key: Option<PathBuf>,
    /// The authority that signs the others' certificates for gRPC (PEM).
    #[arg(long, value_name = "FILE")]
    pub grpc_tls_ca: Option<PathBuf>,
    /// What is logged: off, error, warn, info, debug or trace, also per part. [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// How it is logged. [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Read the configuration, say what is wrong with it, and end.
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration that holds, with every default in a comment, and end.
    #[arg(long)]
    pub print_config: bool,
}

impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [LogFormat] {
        &[LogFormat::Text, LogFormat::Json]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }))
    }
}

impl GateFlags {
    pub fn overlay(&self, typed: &mut Typed) {
        if !self.listen.is_empty() {
            typed.listen = Some(self.listen.iter().map(|text| Given::by_flag(text.clone(), "--listen")).collect());
        }
        if !self.backend.is_empty() || !self.tablet.is_empty() {
            let tablets = self.tablet.iter().map(|text| behind(text));
            typed.backends = self.backend.iter().map(|text| backend(text)).chain(tablets).collect();
        }
        put(&mut typed.cores, &self.cores.clone().map(TypedCores::Text), "--cores");
        put(&mut typed.admin_listen, &self.admin_listen, "--admin-listen");
        put(&mut typed.grpc_listen, &self.grpc_listen, "--grpc-listen");
        put(&mut typed.user, &self.monitor_user, "--monitor-user");
        if self.monitor_password.is_some() || self.monitor_password_file.is_some() {
            (typed.password, typed.password_file) = (None, None);
        }
        put(&mut typed.password, &self.monitor_password, "--monitor-password");
        put(&mut typed.password_file, &self.monitor_password_file, "--monitor-password-file");
        put(&mut typed.log, &self.log, "--log");
        put(&mut typed.controllers, &self.controller, "--controller");
        put(&mut typed.controllers_cache, &self.controller_cache, "--controller-cache");
        put(&mut typed.permissions, &self.permissions, "--permissions");
        put(&mut typed.query_log, &self.query_log, "--query-log");
        put(&mut typed.grpc_tls_cert, &self.grpc_tls_cert, "--grpc-tls-cert");
        put(&mut typed.grpc_tls_key, &self.grpc_tls_key, "--grpc-tls-key");
        put(&mut typed.grpc_tls_ca, &self.grpc_tls_ca, "--grpc-tls-ca");
        self.overlay_tls(typed);
        self.overlay_plain(typed);
    }

    /// One flag about TLS replaces all that the file says about where the certificate is.
    fn overlay_tls(&self, typed: &mut Typed) {
        if self.no_tls || self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_dir.is_some() {
            (typed.tls, typed.tls_cert, typed.tls_key, typed.tls_dir) = (None, None, None, None);
        }
        if self.no_tls {
            typed.tls = Some(Given::by_flag(false, "--no-tls"));
        }
        put(&mut typed.tls_cert, &self.tls_cert, "--tls-cert");
        put(&mut typed.tls_key, &self.tls_key, "--tls-key");
        put(&mut typed.tls_dir, &self.tls_dir, "--tls-dir");
    }

    fn overlay_plain(&self, typed: &mut Typed) {
        if let Some(text) = &self.connections_per_backend {
            let given = Given::by_flag(Plain::Text(text.clone()), "--connections-per-backend");
            typed.set("pool", "connections_per_backend_max", given);
        }
        if let Some(text) = &self.balance {
            typed.set("routing", "balance", Given::by_flag(Plain::Text(text.clone()), "--balance"));
        }
        if self.discover {
            typed.set("monitor", "discover", Given::by_flag(Plain::Switch(true), "--discover"));
        }
        if self.no_split {
            typed.set("routing", "read_write_splitting", Given::by_flag(Plain::Switch(false), "--no-split"));
        }
        if let Some(format) = self.log_format {
            let word = if format == LogFormat::Json { "json" } else { "text" };
            typed.set("log", "format", Given::by_flag(Plain::Text(word.to_string()), "--log-format"));
        }
    }
}

fn put<T: Clone>(to: &mut Option<Given<T>>, value: &Option<T>, flag: &'static str) {
    if let Some(value) = value {
        *to = Some(Given::by_flag(value.clone(), flag));
    }
}

fn backend(text: &str) -> TypedBackend {
    TypedBackend {
        place: Place::Flag("--backend"),
        address: Some(Given::by_flag(text.to_string(), "--backend")),
        name: None,
        weight: None,
        zone: None,
        role: None,
        tablet: None,
    }
}

fn behind(text: &str) -> TypedBackend {
    let tablet = Some(Given::by_flag(text.to_string(), "--tablet"));
    TypedBackend {
        place: Place::Flag("--tablet"),
        address: None,
        name: None,
        weight: None,
        zone: None,
        role: None,
        tablet,
    }
}
