//! The controller's configuration: what was typed in a file or as flags, and what it means.
//!
//! Invariant: as for the gate: a [`ControllerConfig`] is right, flags are stronger than the environment, the environment is
//! stronger than the file, and every mistake is reported with its place. All keys stand in one section, `[controller]`.

use super::http::HttpConfig;
use super::mistake::{Given, Mistakes, Place};
use super::section::{Keys, Section, Typed};
use super::{LogConfig, LogFormat, address, outside};
use crate::controller::{failover, limits};
use crate::grpc::tls::{ClientTls, ServerTls, TlsFiles};
use crate::store::etcd::limits as etcd;
use clap::Args;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that a controller needs to start.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    pub cluster: String,
    pub listen: SocketAddr,
    /// How other controllers' callers reach it, `host:port`; None: `listen`.
    pub advertise: Option<String>,
    pub store: StoreConfig,
    /// Of a new cluster.
    pub lease_ms: u32,
    pub failover: failover::Settings,
    pub tls: TlsFiles,
    /// Metrics and health.
    pub http: HttpConfig,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    File(PathBuf),
    /// Shared with other controllers.
    Etcd {
        endpoints: Vec<String>,
        tls: TlsFiles,
        leader_s: u32,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub struct ControllerFlags {
    /// The configuration file (TOML, section [controller]); --print-config shows every key.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster's name. [default: main]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Where tablets, gates and 'weir ctl' ask, over gRPC. [default: 127.0.0.1:7506]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// How they reach it from elsewhere. [default: --listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// The store's file. [default: weir-controller.db]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// etcd's members, for two or more controllers: HOST:PORT,HOST:PORT,…; replaces the file.
    #[arg(long, value_name = "LIST", conflicts_with = "store")]
    pub etcd: Option<String>,
    /// The certificate's file for etcd (PEM).
    #[arg(long, value_name = "FILE")]
    pub etcd_tls_cert: Option<PathBuf>,
    /// The file of its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub etcd_tls_key: Option<PathBuf>,
    /// The authority that signs etcd's certificates (PEM).
    #[arg(long, value_name = "FILE")]
    pub etcd_tls_ca: Option<PathBuf>,
    /// With etcd: how long a leadership lasts without renewal; the next leader takes over after that. [default: 3]
    #[arg(long, value_name = "SECONDS")]
    pub leader_s: Option<String>,
    /// How long a lease lasts, in a new cluster. [default: 5000]
    #[arg(long, value_name = "MS")]
    pub lease_ms: Option<String>,
    /// Whether this controller moves the primary's role: on, or off where somebody else does. [default: on]
    #[arg(long, value_name = "ON|OFF")]
    pub failover: Option<String>,
    /// How long a primary must be seen dead before another follows it. [default: 500]
    #[arg(long, value_name = "MS")]
    pub failover_detect_ms: Option<String>,
    /// Metrics and health over HTTP; "off" for none. [default: 127.0.0.1:7505]
    #[arg(long, value_name = "ADDR")]
    pub http_listen: Option<String>,
    /// The certificate's file (PEM, with its chain).
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The file of its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The authority whose certificates may change things (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
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

const SECTION: Section = Section {
    name: "controller",
    keys: KEYS,
    paths: &["store", "etcd_tls_cert", "etcd_tls_key", "etcd_tls_ca", "tls_cert", "tls_key", "tls_ca"],
};

pub const KEYS: &Keys = &[
    ("cluster", "\"main\"", "The cluster's name."),
    ("listen", "\"127.0.0.1:7506\"", "Where tablets, gates and 'weir ctl' ask, over gRPC."),
    ("advertise", "\"\"", "How they reach it from elsewhere, \"host:port\"; by default listen."),
    ("store", "\"weir-controller.db\"", "The store's file; one controller alone uses it."),
    ("etcd", "\"\"", "etcd's members, for two or more controllers: \"host:port,host:port,…\"; instead of store."),
    ("etcd_tls_cert", "\"\"", "The certificate's file for etcd (PEM)."),
    ("etcd_tls_key", "\"\"", "The file of its private key (PEM)."),
    ("etcd_tls_ca", "\"\"", "The authority that signs etcd's certificates (PEM)."),
    (
        "leader_s",
        "3",
        "With etcd: how long a leadership lasts without renewal, 2 to 60; the next leader takes over after that.",
    ),
    ("lease_ms", "5000", "How long a lease lasts, 500 to 600000; for a new cluster, an old one keeps its own."),
    ("failover", "\"on\"", "Whether this controller moves the primary's role; \"off\" where somebody else does."),
    ("failover_detect_ms", "500", "How long a primary must be seen dead, 0 to 600000."),
    ("failover_disk_full_ms", "5000", "How long a primary whose disk is full may hang, 0 to 600000."),
    (
        "failover_settle_ms",
        "2000",
        "How long replicas that are seen are waited for before one of the others is chosen.",
    ),
    (
        "failover_fence_ms",
        "3000",
        "How long a primary that answers nobody is tried to be fenced, while its tablet lives.",
    ),
    ("failovers_per_minute", "3", "Further ones wait: servers that take turns in dying are no failover's case."),
    ("failover_catch_up_ms", "10000", "Of a switchover: how long the next primary may take to get everything."),
    (
        "http_listen",
        "\"127.0.0.1:7505\"",
        "Metrics and health over HTTP (/metrics, /healthz, /readyz); \"off\" for none.",
    ),
    ("tls_cert", "\"\"", "The certificate's file (PEM, with its chain). Needs tls_key."),
    ("tls_key", "\"\"", "The file of its private key (PEM)."),
    ("tls_ca", "\"\"", "The authority whose certificates may change things (PEM). Without one only the loopback may."),
    ("log", "\"info\"", "off, error, warn, info, debug or trace; also per part."),
    ("log_format", "\"text\"", "\"text\" for people, \"json\" for machines."),
];

pub fn load(
    flags: &ControllerFlags,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ControllerConfig, Mistakes> {
    let (mut typed, mut mistakes) = (Typed::new(), Mistakes::default());
    if let Some(path) = &flags.config {
        SECTION.read_file(path, &mut typed, &mut mistakes);
    }
    if let Some(filter) = environment(super::typed::LOG_VARIABLE) {
        typed.insert("log", Given::new(filter, Place::Variable(super::typed::LOG_VARIABLE)));
    }
    overlay(flags, &mut typed);
    judge(&typed, mistakes)
}

fn overlay(flags: &ControllerFlags, typed: &mut Typed) {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let format = flags.log_format.map(|format| if format == LogFormat::Json { "json" } else { "text" }.to_string());
    // One flag about the store replaces what the file says about it.
    if flags.store.is_some() {
        typed.remove("etcd");
    }
    if flags.etcd.is_some() {
        typed.remove("store");
    }
    let given = [
        ("cluster", "--cluster", flags.cluster.clone()),
        ("listen", "--listen", flags.listen.clone()),
        ("advertise", "--advertise", flags.advertise.clone()),
        ("store", "--store", path(&flags.store)),
        ("etcd", "--etcd", flags.etcd.clone()),
        ("etcd_tls_cert", "--etcd-tls-cert", path(&flags.etcd_tls_cert)),
        ("etcd_tls_key", "--etcd-tls-key", path(&flags.etcd_tls_key)),
        ("etcd_tls_ca", "--etcd-tls-ca", path(&flags.etcd_tls_ca)),
        ("leader_s", "--leader-s", flags.leader_s.clone()),
        ("lease_ms", "--lease-ms", flags.lease_ms.clone()),
        ("failover", "--failover", flags.failover.clone()),
        ("failover_detect_ms", "--failover-detect-ms", flags.failover_detect_ms.clone()),
        ("http_listen", "--http-listen", flags.http_listen.clone()),
        ("tls_cert", "--tls-cert", path(&flags.tls_cert)),
        ("tls_key", "--tls-key", path(&flags.tls_key)),
        ("tls_ca", "--tls-ca", path(&flags.tls_ca)),
        ("log", "--log", flags.log.clone()),
        ("log_format", "--log-format", format),
    ];
    for (name, flag, value) in given {
        if let Some(value) = value {
            typed.insert(name, Given::by_flag(value, flag));
        }
    }
}

fn judge(typed: &Typed, mut mistakes: Mistakes) -> Result<ControllerConfig, Mistakes> {
    let mut config = ControllerConfig {
        cluster: "main".to_string(),
        listen: SocketAddr::from(([127, 0, 0, 1], LISTEN_PORT)),
        advertise: None,
        store: StoreConfig::File(PathBuf::from("weir-controller.db")),
        lease_ms: 5_000,
        failover: failover::Settings::default(),
        tls: TlsFiles::default(),
        http: HttpConfig::OFF,
        log: LogConfig { filter: "info".to_string(), format: LogFormat::Text },
    };
    let text = |name: &str| typed.get(name).filter(|given| !given.value.is_empty());
    if let Some(Given { value, place }) = text("cluster") {
        config.cluster.clone_from(value);
        let is_good = value.len() <= limits::NAME_BYTES_MAX
            && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !is_good {
            let most = limits::NAME_BYTES_MAX;
            mistakes.add(place, format!("a cluster's name has 1 to {most} letters, digits, '-', '_' and '.'"));
        }
    }
    if let Some(Given { value, place }) = text("listen")
        && let Some(listen) = mistakes.keep(place, address::tablet(value))
    {
        mistakes.keep(place, outside::own_address(listen));
        config.listen = listen;
    }
    if let Some(Given { value, place }) = text("advertise") {
        mistakes.keep(place, address::host_and_port(value));
        config.advertise = Some(value.clone());
    } else if config.listen.ip().is_unspecified() {
        let place = typed.get("listen").map_or(Place::Missing, |given| given.place.clone());
        mistakes.add(&place, "others can't reach that address: name one with advertise = \"host:port\"");
    }
    judge_store(&text, &mut config, &mut mistakes);
    if let Some(Given { value, place }) = text("lease_ms") {
        let (least, most) = (limits::LEASE_MS_MIN, limits::LEASE_MS_MAX);
        match value.parse().ok().filter(|number| (least..=most).contains(number)) {
            Some(number) => config.lease_ms = number,
            None => mistakes.add(place, format!("lease_ms must be a whole number from {least} to {most}")),
        }
    }
    judge_failover(&text, &mut config.failover, &mut mistakes);
    config.http = HttpConfig::judge(text("http_listen"), HTTP_PORT, &mut mistakes);
    config.http.apart_from(config.listen, text("http_listen"), &mut mistakes);
    config.tls = judge_tls(&text, ["tls_cert", "tls_key", "tls_ca"], Side::Server, &mut mistakes);
    super::tablet::judge_log(&text, &mut config.log, &mut mistakes);
    match mistakes.is_empty() {
        true => Ok(config),
        false => Err(mistakes),
    }
}

fn judge_failover<'a>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    settings: &mut failover::Settings,
    mistakes: &mut Mistakes,
) {
    match text("failover").map(|given| (given.value.as_str(), &given.place)) {
        None | Some(("on", _)) => {}
        Some(("off", _)) => settings.is_on = false,
        Some((_, place)) => mistakes.add(place, "failover must be \"on\" or \"off\""),
    }
    if let Some(Given { value, place }) = text("failovers_per_minute") {
        match value.parse().ok().filter(|number| (1..=FAILOVERS_MAX).contains(number)) {
            Some(number) => settings.most = number,
            None => {
                mistakes.add(place, format!("failovers_per_minute must be a whole number from 1 to {FAILOVERS_MAX}"))
            }
        }
    }
    for (name, time) in settings.times() {
        let Some(Given { value, place }) = text(name) else { continue };
        match value.parse().ok().filter(|ms| *ms <= TIME_MS_MAX) {
            Some(ms) => *time = Duration::from_millis(ms),
            None => mistakes.add(place, format!("{name} must be a whole number of ms, from 0 to {TIME_MS_MAX}")),
        }
    }
}

fn judge_store<'a>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    config: &mut ControllerConfig,
    mistakes: &mut Mistakes,
) {
    let leader_s = match text("leader_s") {
        None => Some(LEADER_S),
        Some(Given { value, place }) => {
            let (least, most) = (etcd::LEADER_S_MIN, etcd::LEADER_S_MAX);
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            if number.is_none() {
                mistakes.add(place, format!("leader_s must be a whole number from {least} to {most}"));
            }
            number
        }
    };
    let tls = judge_tls(text, ["etcd_tls_cert", "etcd_tls_key", "etcd_tls_ca"], Side::Client, mistakes);
    match (text("store"), text("etcd")) {
        (None, None) => {}
        (Some(Given { value, place }), None) => {
            mistakes.keep(place, outside::writable_file(Path::new(value)));
            config.store = StoreConfig::File(PathBuf::from(value));
        }
        (None, Some(Given { value, place })) => {
            let endpoints = mistakes.keep(place, address::list(value, etcd::ENDPOINTS_MAX)).unwrap_or_default();
            config.store = StoreConfig::Etcd { endpoints, tls, leader_s: leader_s.unwrap_or(LEADER_S) };
        }
        (Some(_), Some(Given { place, .. })) => {
            mistakes.add(place, "a store of its own and etcd contradict each other: keep one of the two");
        }
    }
}

/// Which end of a connection the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// The files of these three keys (certificate, key, authority), read once to see that they work.
pub fn judge_tls<'a>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    names: [&str; 3],
    side: Side,
    mistakes: &mut Mistakes,
) -> TlsFiles {
    let given = names.map(text);
    let [cert, key, ca] = given.map(|given| given.map(|given| PathBuf::from(&given.value)));
    let files = TlsFiles { cert, key, ca };
    let outcome = match side {
        Side::Server => ServerTls::load(&files).map(drop),
        Side::Client => ClientTls::load(&files).map(drop),
    };
    let place = given.into_iter().flatten().next().map_or(Place::Missing, |given| given.place.clone());
    mistakes.keep(&place, outcome);
    files
}

/// As a file that could be read again.
pub fn print(config: &ControllerConfig) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let file =
        |path: &Option<PathBuf>| quoted(&path.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    let mut out = String::from(
        "# The configuration of this controller. Lines that begin with '#' and a key show defaults.\n\n[controller]\n",
    );
    for (name, default, doc) in KEYS {
        let value = match *name {
            "cluster" => quoted(&config.cluster),
            "listen" => quoted(&config.listen.to_string()),
            "advertise" => quoted(config.advertise.as_deref().unwrap_or_default()),
            "store" | "etcd" | "leader_s" | "etcd_tls_cert" | "etcd_tls_key" | "etcd_tls_ca" => {
                print_store(name, default, &config.store)
            }
            "lease_ms" => config.lease_ms.to_string(),
            "failover" => quoted(if config.failover.is_on { "on" } else { "off" }),
            "failovers_per_minute" => config.failover.most.to_string(),
            name if name.starts_with("failover_") => {
                let mut settings = config.failover.clone();
                let time = settings.times().into_iter().find(|(known, _)| *known == name);
                time.map_or(String::new(), |(_, time)| time.as_millis().to_string())
            }
            "http_listen" => config.http.print(),
            "tls_cert" => file(&config.tls.cert),
            "tls_key" => file(&config.tls.key),
            "tls_ca" => file(&config.tls.ca),
            "log" => quoted(&config.log.filter),
            "log_format" => quoted(if config.log.format == LogFormat::Json { "json" } else { "text" }),
            _ => (*default).to_string(),
        };
        let mark = if value == *default { "# " } else { "" };
        let _ = writeln!(out, "# {doc}\n{mark}{name} = {value}");
    }
    out
}

fn print_store(name: &str, default: &str, store: &StoreConfig) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let file =
        |path: &Option<PathBuf>| quoted(&path.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    match (store, name) {
        (StoreConfig::File(path), "store") => quoted(&path.display().to_string()),
        (StoreConfig::Etcd { endpoints, .. }, "etcd") => quoted(&endpoints.join(",")),
        (StoreConfig::Etcd { leader_s, .. }, "leader_s") => leader_s.to_string(),
        (StoreConfig::Etcd { tls, .. }, "etcd_tls_cert") => file(&tls.cert),
        (StoreConfig::Etcd { tls, .. }, "etcd_tls_key") => file(&tls.key),
        (StoreConfig::Etcd { tls, .. }, "etcd_tls_ca") => file(&tls.ca),
        _ => default.to_string(),
    }
}

impl StoreConfig {
    /// For people.
    pub fn show(&self) -> String {
        match self {
            StoreConfig::File(path) => path.display().to_string(),
            StoreConfig::Etcd { endpoints, .. } => format!("etcd {}", endpoints.join(",")),
        }
    }
}

/// The shortest one that survives a busy machine and a lost packet; etcd itself takes about a second to notice its end.
const LEADER_S: u32 = 3;

/// One a second, for tests.
const FAILOVERS_MAX: usize = 60;

/// Ten minutes: whoever wants to wait longer moves roles by hand.
const TIME_MS_MAX: u64 = 600_000;

/// gRPC of a controller; a gate's own is 7307, a tablet's 7406.
pub const LISTEN_PORT: u16 = 7506;

/// Metrics and health of a controller; a gate's are at 7306, a tablet's at 7405.
const HTTP_PORT: u16 = 7505;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<ControllerConfig, Mistakes> {
        let (mut typed, mut mistakes) = (Typed::new(), Mistakes::default());
        SECTION.read(Path::new("c.toml"), text, &mut typed, &mut mistakes);
        judge(&typed, mistakes)
    }

    #[test]
    fn a_file_is_understood_and_printed_so_that_it_can_be_read_again() {
        let text =
            "[controller]\ncluster = \"shop\"\nlisten = \"0.0.0.0:7506\"\nadvertise = \"c1:7506\"\nlease_ms = 2_000\n";
        let config = judged(text).unwrap();
        assert_eq!((config.cluster.as_str(), config.lease_ms), ("shop", 2_000));
        assert_eq!(config.store, StoreConfig::File("weir-controller.db".into()));
        let printed = print(&config);
        assert_eq!(print(&judged(&printed).unwrap()), printed);
        assert!(printed.contains("\nlease_ms = 2000\n") && printed.contains("\n# log = \"info\"\n"), "{printed}");
    }

    #[test]
    fn etcd_takes_the_place_of_the_file() {
        let text = "[controller]\netcd = \"e1:2379, e2:2379\"\nleader_s = 5\n";
        let config = judged(text).unwrap();
        let endpoints = vec!["e1:2379".to_string(), "e2:2379".to_string()];
        assert_eq!(config.store, StoreConfig::Etcd { endpoints, tls: TlsFiles::default(), leader_s: 5 });
        assert_eq!(print(&judged(&print(&config)).unwrap()), print(&config));
        let both = judged("[controller]\netcd = \"e1:2379\"\nstore = \"x\"\nleader_s = 1\n").unwrap_err().to_string();
        assert!(both.contains("c.toml:2:8: a store of its own and etcd contradict"), "{both}");
        assert!(both.contains("c.toml:4:12: leader_s must be a whole number from 2"), "{both}");
        let bad = judged("[controller]\netcd = \"e1\"\n").unwrap_err().to_string();
        assert!(bad.contains("'e1' is no address"), "{bad}");
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "[controler]\n[controller]\ncluster = \"a/b\"\nlisten = \"0.0.0.0:1\"\nlease_ms = 5\nstroe = \"x\"\n\
                    tls_cert = \"none.pem\"\nlog = \"weir=loud\"\nstore = 7\n";
        let found: Vec<String> = judged(text).unwrap_err().0.iter().map(ToString::to_string).collect();
        let expected = [
            "c.toml:1:2: there is no section 'controler'",
            "c.toml:6:1: [controller] has no key 'stroe'; did you mean 'store'?",
            "c.toml:9:9: store must be a text in quotes",
            "c.toml:3:11: a cluster's name has",
            "c.toml:4:10: others can't reach that address",
            "c.toml:5:12: lease_ms must be a whole number from 500",
            "c.toml:7:12: none.pem needs its private key",
            "c.toml:8:7: ",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for expected in expected {
            assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}\n{found:#?}");
        }
    }
}
