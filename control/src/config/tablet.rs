//! The tablet's configuration: what was typed in a file or as flags, and what it means.
//!
//! Invariant: as for the gate: a [`TabletConfig`] is right, flags are stronger than the environment, the environment is
//! stronger than the file, and every mistake is reported with its place. All keys stand in one section, `[tablet]`.

use super::controller::{Side, judge_tls};
use super::http::HttpConfig;
use super::mistake::{Given, Mistakes, Place};
use super::section::{Section, Typed};
pub use super::steward::{Manage, SemiSyncWish, StewardConfig};
use super::{CONTROLLERS_MAX, ControllersConfig, LogConfig, LogFormat, MONITOR_USER, address, outside, steward};
use crate::controller::limits;
use crate::grpc::tls::TlsFiles;
use clap::Args;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use weir_core::snapshot::Address;
use weir_net::secret::Secret;

/// Everything that a tablet needs to start.
#[derive(Clone, Debug)]
pub struct TabletConfig {
    pub name: String,
    pub server: Address,
    pub listen: SocketAddr,
    /// Where gates reach the server; None: `server` if that is TCP, else its `report_host`.
    pub advertise: Option<Address>,
    pub user: String,
    pub password: Secret,
    /// Runs admin statements and kills; by default the monitor's account, which may do little.
    pub admin_user: String,
    pub admin_password: Secret,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// The file of table permissions.
    pub permissions: Option<PathBuf>,
    pub steward: StewardConfig,
    /// None: it stands alone.
    pub membership: Option<MembershipConfig>,
    /// For gRPC: as a server, and with an authority towards controllers too.
    pub tls: TlsFiles,
    /// Metrics and health.
    pub http: HttpConfig,
    pub log: LogConfig,
}

/// With which controllers it registers, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipConfig {
    pub controllers: ControllersConfig,
    /// `host:port` where gates and controllers reach it; None: `listen`.
    pub advertise_grpc: Option<String>,
    /// Of a new member, as the weight: later the record's word counts.
    pub zone: String,
    pub weight: u32,
}

#[derive(Args, Clone, Debug, Default)]
pub struct TabletFlags {
    /// The configuration file (TOML, section [tablet]); --print-config shows every key.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The MySQL server: HOST:PORT or unix:PATH. [default: 127.0.0.1:3306]
    #[arg(long, value_name = "ADDR")]
    pub server: Option<String>,
    /// Where gates and controllers ask, over gRPC. [default: 127.0.0.1:7406]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where gates reach the server. [default: --server if that is TCP, else the server's report_host]
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,
    /// What gates and controllers call it. [default: --advertise, else the server's address]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The account that looks at the server. [default: weir]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// A file whose first line is its password; or WEIR_MONITOR_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The account for admin statements and kills. [default: --user]
    #[arg(long, value_name = "USER")]
    pub admin_user: Option<String>,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// The file of table permissions (TOML or JSON).
    #[arg(long, value_name = "FILE")]
    pub permissions: Option<PathBuf>,
    /// The controllers, HOST:PORT,HOST:PORT: it registers with them and follows their topology.
    #[arg(long, value_name = "LIST")]
    pub controller: Option<String>,
    /// A file that keeps their last word, for a start without them.
    #[arg(long, value_name = "FILE")]
    pub controller_cache: Option<PathBuf>,
    /// Where gates reach this agent. [default: --listen, or its port at the server's address]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_grpc: Option<String>,
    /// Its zone, for a new member; later 'weir ctl set' says it.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Its share of reads, for a new member; later 'weir ctl set' says it. [default: 100]
    #[arg(long, value_name = "N")]
    pub weight: Option<String>,
    /// Metrics and health over HTTP; "off" for none. [default: 127.0.0.1:7405]
    #[arg(long, value_name = "ADDR")]
    pub http_listen: Option<String>,
    /// The certificate's file for gRPC (PEM, with its chain).
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
    /// Print the configuration that holds, and end.
    #[arg(long)]
    pub print_config: bool,
}

/// Name, default and meaning of each key.
pub const KEYS: [(&str, &str, &str); 28] = [
    ("server", "\"127.0.0.1:3306\"", "The MySQL server: \"host:port\" or \"unix:/path\"."),
    ("listen", "\"127.0.0.1:7406\"", "Where gates and controllers ask, over gRPC."),
    ("advertise", "\"\"", "Where gates reach the server; by default server if that is TCP, else its report_host."),
    ("name", "\"\"", "What gates and controllers call it; by default advertise, else the server's address."),
    ("user", "\"weir\"", "The account that looks. It needs REPLICATION CLIENT and SELECT on performance_schema."),
    ("password", "\"\"", "Its password. Better in password_file or in the environment (WEIR_MONITOR_PASSWORD)."),
    ("password_file", "\"\"", "A file whose first line is the password."),
    ("admin_user", "\"\"", "The account for admin statements and kills (CONNECTION_ADMIN); by default user."),
    ("admin_password_file", "\"\"", "A file whose first line is its password."),
    ("interval_ms", "250", "Between two looks at the server, 10 to 60000."),
    ("timeout_ms", "2000", "A server that takes longer to answer is silent, 50 to 60000."),
    ("permissions", "\"\"", "The file of table permissions, TOML or JSON."),
    steward::KEYS[0],
    steward::KEYS[1],
    steward::KEYS[2],
    steward::KEYS[3],
    steward::KEYS[4],
    (
        "controllers",
        "\"\"",
        "The controllers, \"host:port,host:port\": it registers with them. Empty: it stands alone.",
    ),
    ("controllers_cache", "\"\"", "A file that keeps the controllers' last word, for a start without them."),
    (
        "advertise_grpc",
        "\"\"",
        "Where gates reach this agent, \"host:port\"; by default listen, or its port at the server's address.",
    ),
    ("zone", "\"\"", "Its zone, for a new member; later 'weir ctl set' says it."),
    ("weight", "100", "Its share of reads, for a new member; later 'weir ctl set' says it."),
    (
        "http_listen",
        "\"127.0.0.1:7405\"",
        "Metrics and health over HTTP (/metrics, /healthz, /readyz); \"off\" for none.",
    ),
    ("tls_cert", "\"\"", "The certificate's file for gRPC (PEM, with its chain). Needs tls_key."),
    ("tls_key", "\"\"", "The file of its private key (PEM)."),
    (
        "tls_ca",
        "\"\"",
        "The authority whose certificates may change things (PEM), also of controllers. Without one only the loopback may.",
    ),
    ("log", "\"info\"", "off, error, warn, info, debug or trace; also per part."),
    ("log_format", "\"text\"", "\"text\" for people, \"json\" for machines."),
];

const PATHS: [&str; 8] = [
    "password_file",
    "admin_password_file",
    "replication_password_file",
    "permissions",
    "controllers_cache",
    "tls_cert",
    "tls_key",
    "tls_ca",
];

const SECTION: Section = Section { name: "tablet", keys: &KEYS, paths: &PATHS };

impl TabletConfig {
    /// For a tablet inside another process: any port, usual intervals.
    pub fn local(server: &Address, user: &str, password: &str) -> TabletConfig {
        TabletConfig {
            name: address::show(server),
            server: server.clone(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: matches!(server, Address::Tcp(_)).then(|| server.clone()),
            user: user.to_string(),
            password: Secret::from(password.as_bytes()),
            admin_user: user.to_string(),
            admin_password: Secret::from(password.as_bytes()),
            interval_ms: 250,
            timeout_ms: 2_000,
            permissions: None,
            steward: StewardConfig::default(),
            membership: None,
            tls: TlsFiles::default(),
            http: HttpConfig::OFF,
            log: LogConfig { filter: "info".to_string(), format: LogFormat::Text },
        }
    }
}

pub fn load(flags: &TabletFlags, environment: &dyn Fn(&str) -> Option<String>) -> Result<TabletConfig, Mistakes> {
    let (mut typed, mut mistakes) = (Typed::new(), Mistakes::default());
    if let Some(path) = &flags.config {
        SECTION.read_file(path, &mut typed, &mut mistakes);
    }
    if let Some(password) = environment(super::typed::PASSWORD_VARIABLE) {
        typed.remove("password_file");
        typed.insert("password", Given::new(password, Place::Variable(super::typed::PASSWORD_VARIABLE)));
    }
    if let Some(filter) = environment(super::typed::LOG_VARIABLE) {
        typed.insert("log", Given::new(filter, Place::Variable(super::typed::LOG_VARIABLE)));
    }
    overlay(flags, &mut typed);
    judge(&typed, mistakes)
}

fn overlay(flags: &TabletFlags, typed: &mut Typed) {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    if flags.password_file.is_some() {
        typed.remove("password");
    }
    let format = flags.log_format.map(|format| if format == LogFormat::Json { "json" } else { "text" }.to_string());
    let given = [
        ("server", "--server", flags.server.clone()),
        ("listen", "--listen", flags.listen.clone()),
        ("advertise", "--advertise", flags.advertise.clone()),
        ("name", "--name", flags.name.clone()),
        ("user", "--user", flags.user.clone()),
        ("password_file", "--password-file", path(&flags.password_file)),
        ("admin_user", "--admin-user", flags.admin_user.clone()),
        ("admin_password_file", "--admin-password-file", path(&flags.admin_password_file)),
        ("permissions", "--permissions", path(&flags.permissions)),
        ("controllers", "--controller", flags.controller.clone()),
        ("controllers_cache", "--controller-cache", path(&flags.controller_cache)),
        ("advertise_grpc", "--advertise-grpc", flags.advertise_grpc.clone()),
        ("zone", "--zone", flags.zone.clone()),
        ("weight", "--weight", flags.weight.clone()),
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

fn judge(typed: &Typed, mut mistakes: Mistakes) -> Result<TabletConfig, Mistakes> {
    let local = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], address::MYSQL_PORT)));
    let mut config = TabletConfig::local(&local, MONITOR_USER, "");
    config.listen = SocketAddr::from(([127, 0, 0, 1], LISTEN_PORT));
    let text = |name: &str| typed.get(name).filter(|given| !given.value.is_empty());
    if let Some(Given { value, place }) = text("server")
        && let Some(server) = mistakes.keep(place, address::backend(value))
    {
        config.name.clone_from(value);
        config.advertise = matches!(server, Address::Tcp(_)).then(|| server.clone());
        config.server = server;
    }
    if let Some(Given { value, place }) = text("listen")
        && let Some(listen) = mistakes.keep(place, address::tablet(value))
    {
        mistakes.keep(place, outside::own_address(listen));
        config.listen = listen;
    }
    if let Some(Given { value, place }) = text("advertise")
        && let Some(advertise) = mistakes.keep(place, address::backend(value))
    {
        config.name.clone_from(value);
        config.advertise = Some(advertise);
    }
    if let Some(Given { value, .. }) = text("name") {
        config.name.clone_from(value);
    }
    judge_accounts(&text, &mut config, &mut mistakes);
    for (name, least, most, to) in
        [("interval_ms", 10, 60_000, &mut config.interval_ms), ("timeout_ms", 50, 60_000, &mut config.timeout_ms)]
    {
        let Some(Given { value, place }) = text(name) else { continue };
        match value.parse().ok().filter(|number| (least..=most).contains(number)) {
            Some(number) => *to = number,
            None => mistakes.add(place, format!("{name} must be a whole number from {least} to {most}")),
        }
    }
    if let Some(Given { value, .. }) = text("permissions") {
        config.permissions = Some(PathBuf::from(value));
        if let Err(found) = crate::acl::file::read(Path::new(value)) {
            mistakes.0.extend(found.0);
        }
    }
    config.steward = steward::judge(&text, &mut mistakes);
    judge_membership(&text, &mut config, &mut mistakes);
    config.http = HttpConfig::judge(text("http_listen"), HTTP_PORT, &mut mistakes);
    config.http.apart_from(config.listen, text("http_listen"), &mut mistakes);
    config.tls = judge_tls(&text, ["tls_cert", "tls_key", "tls_ca"], Side::Server, &mut mistakes);
    judge_log(&text, &mut config.log, &mut mistakes);
    match mistakes.is_empty() {
        true => Ok(config),
        false => Err(mistakes),
    }
}

/// Who looks at the server, and who may change it.
fn judge_accounts<'a>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    config: &mut TabletConfig,
    mistakes: &mut Mistakes,
) {
    if let Some(Given { value, .. }) = text("user") {
        config.user.clone_from(value);
    }
    if let (Some(password), Some(_)) = (text("password"), text("password_file")) {
        mistakes.add(&password.place, "password and password_file contradict each other: keep one of the two");
    } else if let Some(Given { value, .. }) = text("password") {
        config.password = Secret::from(value.as_bytes());
    } else if let Some(file) = text("password_file") {
        config.password = first_line(Path::new(&file.value), &file.place, mistakes);
    }
    (config.admin_user, config.admin_password) = (config.user.clone(), config.password.clone());
    if let Some(Given { value, .. }) = text("admin_user") {
        (config.admin_user, config.admin_password) = (value.clone(), Secret::empty());
    }
    if let Some(file) = text("admin_password_file") {
        if text("admin_user").is_none() {
            mistakes.add(&file.place, "admin_password_file is of no use without admin_user: name the account");
        }
        config.admin_password = first_line(Path::new(&file.value), &file.place, mistakes);
    }
}

fn judge_membership<'a>(
    text: &dyn Fn(&str) -> Option<&'a Given<String>>,
    config: &mut TabletConfig,
    mistakes: &mut Mistakes,
) {
    let Some(controllers) = text("controllers") else {
        for name in ["controllers_cache", "advertise_grpc", "zone", "weight"] {
            // Its default may be written down.
            let given = text(name).filter(|given| name != "weight" || given.value != WEIGHT.to_string());
            if let Some(Given { place, .. }) = given {
                mistakes.add(place, format!("{name} is for controllers, and there are none: name them in controllers"));
            }
        }
        return;
    };
    let addresses = mistakes.keep(&controllers.place, address::list(&controllers.value, CONTROLLERS_MAX));
    let cache = text("controllers_cache").map(|given| PathBuf::from(&given.value));
    if let (Some(cache), Some(given)) = (&cache, text("controllers_cache")) {
        mistakes.keep(&given.place, outside::writable_file(cache));
    }
    let mut membership = MembershipConfig {
        controllers: ControllersConfig { addresses: addresses.unwrap_or_default(), cache },
        advertise_grpc: None,
        zone: text("zone").map(|given| given.value.clone()).unwrap_or_default(),
        weight: WEIGHT,
    };
    if let Some(Given { value, place }) = text("advertise_grpc")
        && mistakes.keep(place, address::host_and_port(value)).is_some()
    {
        membership.advertise_grpc = Some(value.clone());
    }
    if let Some(Given { value, place }) = text("weight") {
        match value.parse().ok().filter(|weight| (0..=limits::WEIGHT_MAX).contains(weight)) {
            Some(weight) => membership.weight = weight,
            None => mistakes.add(place, format!("weight must be a whole number from 0 to {}", limits::WEIGHT_MAX)),
        }
    }
    for (name, value) in [("name", &config.name), ("zone", &membership.zone)] {
        if value.len() > limits::NAME_BYTES_MAX || value.contains(char::is_control) {
            let place = text(name).map_or(Place::Missing, |given| given.place.clone());
            let most = limits::NAME_BYTES_MAX;
            mistakes.add(&place, format!("{name} must have {most} bytes at most, and no control characters"));
        }
    }
    config.membership = Some(membership);
}

pub fn judge_log<'a>(text: &dyn Fn(&str) -> Option<&'a Given<String>>, log: &mut LogConfig, mistakes: &mut Mistakes) {
    if let Some(Given { value, place }) = text("log") {
        log.filter.clone_from(value);
        mistakes.keep(place, crate::log::check(value));
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = mistakes.word(text("log_format"), "log_format", &formats) {
        log.format = format;
    }
}

/// The password that a file holds.
pub fn first_line(file: &Path, place: &Place, mistakes: &mut Mistakes) -> Secret {
    let why = match std::fs::read_to_string(file) {
        Ok(text) => match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => return Secret::from(line.as_bytes()),
            // An account without a password needs no file. This one is being written, or the wrong one.
            None => "has an empty first line".to_string(),
        },
        Err(error) => format!("cannot be read ({error})"),
    };
    mistakes.add(place, format!("'{}' {why}: put the password into its first line", file.display()));
    Secret::empty()
}

/// As a file that could be read again. Passwords are never shown.
pub fn print(config: &TabletConfig) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let file =
        |path: &Option<PathBuf>| quoted(&path.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    let mut out = String::from(
        "# The configuration of this tablet. Lines that begin with '#' and a key show defaults.\n\n[tablet]\n",
    );
    let member = config.membership.as_ref();
    for (name, default, doc) in KEYS {
        let value = match name {
            "server" => quoted(&address::show(&config.server)),
            "listen" => quoted(&config.listen.to_string()),
            "advertise" => quoted(&config.advertise.as_ref().map(address::show).unwrap_or_default()),
            "name" => quoted(&config.name),
            "user" => quoted(&config.user),
            "admin_user" => quoted(&config.admin_user),
            "interval_ms" => config.interval_ms.to_string(),
            "timeout_ms" => config.timeout_ms.to_string(),
            "permissions" => file(&config.permissions),
            "controllers" => quoted(&member.map(|member| member.controllers.addresses.join(",")).unwrap_or_default()),
            "controllers_cache" => file(&member.and_then(|member| member.controllers.cache.clone())),
            "advertise_grpc" => quoted(&member.and_then(|member| member.advertise_grpc.clone()).unwrap_or_default()),
            "zone" => quoted(member.map(|member| member.zone.as_str()).unwrap_or_default()),
            "weight" => member.map_or(WEIGHT, |member| member.weight).to_string(),
            "http_listen" => config.http.print(),
            "tls_cert" => file(&config.tls.cert),
            "tls_key" => file(&config.tls.key),
            "tls_ca" => file(&config.tls.ca),
            "log" => quoted(&config.log.filter),
            "log_format" => quoted(if config.log.format == LogFormat::Json { "json" } else { "text" }),
            _ => steward::print(&config.steward, name).unwrap_or_else(|| default.to_string()),
        };
        let mark = if value == default { "# " } else { "" };
        let _ = writeln!(out, "# {doc}\n{mark}{name} = {value}");
    }
    out
}

/// gRPC of a tablet; a gate's own is 7307.
const LISTEN_PORT: u16 = 7406;

/// Metrics and health of a tablet; a gate's are at 7306, a controller's at 7505.
const HTTP_PORT: u16 = 7405;

/// Of a new member, as of a gate's backend.
const WEIGHT: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<TabletConfig, Mistakes> {
        let (mut typed, mut mistakes) = (Typed::new(), Mistakes::default());
        SECTION.read(Path::new("t.toml"), text, &mut typed, &mut mistakes);
        judge(&typed, mistakes)
    }

    #[test]
    fn a_file_is_understood_and_printed_so_that_it_can_be_read_again() {
        let text = "[tablet]\nserver = \"unix:/run/m.sock\"\nadvertise = \"10.0.0.7\"\ninterval_ms = 1_000\nlog_format = \"json\"\n";
        let config = judged(text).unwrap();
        assert_eq!((config.server.clone(), config.interval_ms), (Address::Unix("/run/m.sock".into()), 1_000));
        let printed = print(&config);
        let again = judged(&printed).unwrap();
        assert_eq!(print(&again), printed);
        assert_eq!(again.advertise, Some(Address::Tcp("10.0.0.7:3306".parse().unwrap())));
        assert_eq!((again.name.as_str(), &again.membership), ("10.0.0.7", &None));
        // Only the server knows where it is.
        assert_eq!(judged("[tablet]\nserver = \"unix:/run/m.sock\"\n").unwrap().advertise, None);
    }

    #[test]
    fn a_member_is_understood_and_printed_so_that_it_can_be_read_again() {
        let text = "[tablet]\nadvertise = \"10.0.0.7\"\nname = \"db1\"\ncontrollers = \"c1:7506, c2:7506\"\n\
                    controllers_cache = \"word\"\nadvertise_grpc = \"db1:7406\"\nzone = \"a\"\nweight = 50\n";
        let config = judged(text).unwrap();
        let member = config.membership.clone().unwrap();
        assert_eq!(member.controllers.addresses, ["c1:7506", "c2:7506"]);
        assert_eq!(
            (member.advertise_grpc.as_deref(), member.zone.as_str(), member.weight),
            (Some("db1:7406"), "a", 50)
        );
        let again = judged(&print(&config)).unwrap();
        assert_eq!((again.membership, again.name.as_str()), (Some(member), "db1"));
        let flags = TabletFlags {
            controller: Some("c1:7506".to_string()),
            weight: Some("0".to_string()),
            ..TabletFlags::default()
        };
        let member = load(&flags, &|_| None).unwrap().membership.unwrap();
        assert_eq!((member.weight, member.zone.as_str(), member.controllers.cache), (0, "", None));
    }

    #[test]
    fn what_controllers_would_refuse_is_said_at_the_start() {
        let long = "x".repeat(65);
        for (text, expected) in [
            ("zone = \"a\"\n", "t.toml:2:8: zone is for controllers"),
            ("weight = 7\n", "t.toml:2:10: weight is for controllers"),
            ("controllers = \"c1\"\n", "t.toml:2:15: 'c1' is no address"),
            ("weight = 10_001\ncontrollers = \"c1:1\"\n", "t.toml:2:10: weight must be a whole number from 0"),
            ("advertise_grpc = \"db1\"\ncontrollers = \"c1:1\"\n", "t.toml:2:18: 'db1' is no address"),
            (&format!("name = \"{long}\"\ncontrollers = \"c1:1\"\n"), "t.toml:2:8: name must have 64 bytes at most"),
        ] {
            let found = judged(&format!("[tablet]\n{text}")).unwrap_err().0;
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].to_string().starts_with(expected), "{}\n{expected}", found[0]);
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "[tabelt]\n[tablet]\nserver = \"a b\"\nlisten = \"host\"\ninterval_ms = 5\ntimeout_ms = \"1s\"\n\
                    lisen = 1\npassword = \"x\"\npassword_file = \"y\"\npermissions = \"none.toml\"\nlog = \"weir=loud\"\nlog_format = \"xml\"\n";
        let found: Vec<String> = judged(text).unwrap_err().0.iter().map(ToString::to_string).collect();
        let expected = [
            "t.toml:1:2: there is no section 'tabelt'",
            "t.toml:6:14: timeout_ms must be a whole number",
            "t.toml:7:1: [tablet] has no key 'lisen'; did you mean 'listen'?",
            "t.toml:3:10: 'a b' is no address",
            "t.toml:4:10: 'host' has no port",
            "t.toml:8:12: password and password_file contradict",
            "t.toml:5:15: interval_ms must be a whole number from 10",
            "none.toml: cannot be read",
            "t.toml:11:7: ",
            "t.toml:12:14: log_format cannot be 'xml'",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for expected in expected {
            assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}\n{found:#?}");
        }
    }
}
