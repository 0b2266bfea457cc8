//! A real Prometheus scrapes gate, tablets and controller, and answers PromQL with numbers that agree with what clients did.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{OnceLock, PoisonError};
use std::time::Duration;

use weir_control::config::ControllersConfig;
use weir_control::lab::child::Child;
use weir_control::lab::ports;
use weir_tests::keep::process::Controller;
use weir_tests::keep::tablet::Tablet;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, ask, place};
use weir_tests::real::wire::Wire;

use super::scene::{WEIR, folder, get, page, run, until};

/// A gate with controllers, a controller, tablets beside the place's servers, and a Prometheus that scrapes them.
pub struct Watched {
    pub gate: Gate,
    pub gate_http: SocketAddr,
    pub tablet_http: SocketAddr,
    pub controller_http: SocketAddr,
    pub prometheus: SocketAddr,
    _tablets: Vec<Tablet>,
    _controller: Controller,
    _prometheus: Child,
}

impl Watched {
    /// One for all tests of this process: it is only looked at.
    pub fn get() -> &'static Watched {
        static WATCHED: OnceLock<Watched> = OnceLock::new();
        WATCHED.get_or_init(|| Watched::start(place()))
    }

    fn start(place: &Place) -> Watched {
        let dir = folder("watched");
        let (controller_http, tablet_http) = (free(), free());
        let store = dir.join("store.db").display().to_string();
        let args = ["--store".to_owned(), store, "--http-listen".to_owned(), controller_http.to_string()];
        let mut controller = Controller::new(WEIR, ports::free(1).expect("a port").remove(0), &args);
        controller.start();
        let address = controller.address();
        let mut tablets = Vec::new();
        for (at, backend) in place.backends.iter().enumerate() {
            let http = if at == 0 { tablet_http.to_string() } else { "off".to_owned() };
            let args = ["--controller", &address, "--http-listen", &http];
            let mut tablet = Tablet::new(WEIR, &format!("db{}", at + 1), &backend.to_string(), &args);
            tablet.start();
            tablets.push(tablet);
        }
        let gate_http = free();
        let options = GateOptions { connections_per_backend: 16, cores_max: 2, socket: None };
        let servers = place.backends.len();
        let gate = Gate::start_with(place, options, |config| {
            config.backends.clear();
            config.controllers = Some(ControllersConfig { addresses: vec![address.clone()], cache: None });
            (config.admin_listen, config.admin_is_optional) = (Some(gate_http), false);
            config.settings.digests = true;
        });
        let gate = gate.unwrap_or_else(|why| panic!("{why}"));
        until("all members", Duration::from_secs(30), || {
            let up = page(gate_http, "/metrics").lines().filter(|line| is_up(line)).count();
            if up == servers { Ok(()) } else { Err(format!("{up} of {servers} are up")) }
        });
        let targets = [("weir-gate", gate_http), ("weir-tablet", tablet_http), ("weir-controller", controller_http)];
        let (prometheus, child) = scrape(&dir, &targets);
        let watched = Watched {
            gate,
            gate_http,
            tablet_http,
            controller_http,
            prometheus,
            _tablets: tablets,
            _controller: controller,
            _prometheus: child,
        };
        until("all are scraped", Duration::from_secs(30), || match watched.number("sum(up) + 0 * sum(weir_ready)") {
            Ok(3.0) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        watched
    }

    /// All that is exported: names of samples of gate, tablet and controller.
    pub fn texts(&self) -> [String; 3] {
        [self.gate_http, self.tablet_http, self.controller_http].map(|address| page(address, "/metrics"))
    }

    /// The samples of an instant query. Err: what Prometheus says of it.
    pub fn query(&self, expression: &str) -> Result<Vec<(serde_json::Value, f64)>, String> {
        let (_, body) = get(self.prometheus, &format!("/api/v1/query?query={}", encoded(expression)))?;
        let answer: serde_json::Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] != "success" {
            return Err(format!("{expression}: {}", answer["error"]));
        }
        let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        // A scalar is one pair, a vector a list of samples.
        if answer["data"]["resultType"] == "scalar" {
            return Ok(vec![(serde_json::Value::Null, number(&rows[1]))]);
        }
        Ok(rows.into_iter().map(|row| (row["metric"].clone(), number(&row["value"][1]))).collect())
    }

    /// Of a query with one sample.
    pub fn number(&self, expression: &str) -> Result<f64, String> {
        match self.query(expression)?.as_slice() {
            [(_, value)] => Ok(*value),
            others => Err(format!("{expression} has {} samples", others.len())),
        }
    }
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn is_up(line: &str) -> bool {
    line.starts_with("weir_backend_up{") && line.ends_with("} 1")
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::free(1).expect("a port")[0].number()))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A Prometheus of these targets, by the jobs that the guide names, with the rules of the package.
fn scrape(dir: &std::path::Path, targets: &[(&str, SocketAddr)]) -> (SocketAddr, Child) {
    let jobs: Vec<String> = targets
        .iter()
        .map(|(job, address)| format!("  - job_name: {job}\n    static_configs:\n      - targets: [\"{address}\"]\n"))
        .collect();
    let text = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files:\n  - {}\nscrape_configs:\n{}",
        super::rules::file().display(),
        jobs.concat()
    );
    let config: PathBuf = dir.join("prometheus.yml");
    std::fs::write(&config, text).expect("a file");
    let address = free();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--log.level=warn", "--storage.tsdb.retention.time=1h"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("prometheus.log")).expect("a file"));
    let child = Child::spawn(command)
        .unwrap_or_else(|error| panic!("prometheus does not run: {error} (.ci/tools installs what is missing)"));
    (address, child)
}

/// `promtool check metrics`: names, units, help and types are as Prometheus wants them.
#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let watched = Watched::get();
    let dir = folder("promtool");
    for (name, text) in ["gate", "tablet", "controller"].into_iter().zip(watched.texts()) {
        let path = dir.join(name);
        std::fs::write(&path, &text).expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", "promtool check metrics < \"$0\""]).arg(&path);
        let output = run(command, Duration::from_secs(30));
        let said = output.stdout + &output.stderr;
        assert!(output.status.success() && said.trim().is_empty(), "{name}: {said}");
        // What it must not like is told.
        std::fs::write(&path, "# TYPE x_milliseconds counter\nx_milliseconds 1\n").expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", "promtool check metrics < \"$0\""]).arg(&path);
        assert!(!run(command, Duration::from_secs(30)).status.success());
    }
}

/// What clients did is what PromQL says, to the statement.
#[test]
fn prometheus_counts_what_clients_did() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let watched = Watched::get();
    let mut client = Wire::login(&watched.gate.address(), &place.account()).expect("a login");
    let counted = |what: &str| watched.number(&format!("sum({what})")).unwrap_or(0.0);
    let settled = |what: &str, wanted: f64| {
        until(what, Duration::from_secs(20), || {
            let found = counted(what);
            if found == wanted { Ok(()) } else { Err(format!("{found}, not {wanted}")) }
        });
    };
    // Until the login is counted everywhere.
    until("a client", Duration::from_secs(20), || match counted("weir_clients_open") {
        1.0 => Ok(()),
        others => Err(format!("{others} clients")),
    });
    let names =
        ["weir_commands_total", "weir_backend_seconds_count", "weir_errors_answered_total", "weir_pool_commands_total"];
    let before = names.map(counted);
    for _ in 0..READS {
        ask(&mut client, "SELECT COUNT(*) FROM mysql.user").expect("a read");
    }
    for _ in 0..WRONG {
        assert!(ask(&mut client, "SELECT * FROM no_such.table_at_all").is_err());
    }
    ask(&mut client, "SELECT GET_LOCK('weir_observe', 1)").expect("a lock");
    let done = [READS + WRONG + 1; 2].map(f64::from);
    settled("weir_commands_total", before[0] + done[0]);
    settled("weir_backend_seconds_count", before[1] + done[1]);
    settled("weir_errors_answered_total", before[2] + f64::from(WRONG));
    assert!(counted("weir_pool_commands_total") >= before[3] + done[0]);
    settled("weir_pinned_sessions{reason=\"GET_LOCK\"}", 1.0);

    let mut stranger = place.account();
    stranger.password = "wrong".to_owned();
    assert!(Wire::login(&watched.gate.address(), &stranger).is_err());
    settled("weir_logins_refused_total{reason=\"denied\"}", 1.0);
    // Roles, connections, times, the others' own words.
    let servers = place.backends.len() as f64;
    for (expression, low, high) in [
        ("sum(weir_backend_role{role=\"primary\"})", 1.0, 1.0),
        ("count(weir_backend_lag_seconds)", servers - 1.0, servers),
        ("sum(weir_pool_quota) by (backend) == 16 and on () vector(1)", 16.0, 16.0),
        ("histogram_quantile(0.99, sum by (le) (weir_backend_seconds_bucket))", 1e-6, 10.0),
        ("weir_primary_available", 1.0, 1.0),
        ("weir_clients_max", 1.0, 1e7),
        ("weir_controller_leading", 1.0, 1.0),
        ("sum(weir_controller_registered{kind=\"tablet\"})", servers, servers),
        ("weir_tablet_standing{standing=\"serving\"}", 1.0, 1.0),
        ("count(process_resident_memory_bytes > 1e6)", 3.0, 3.0),
        ("count(weir_build_info)", 3.0, 3.0),
    ] {
        let rows = watched.query(expression).unwrap_or_else(|why| panic!("{why}"));
        assert!(!rows.is_empty(), "{expression} has no sample");
        assert!(rows.iter().all(|(_, value)| (low..=high).contains(value)), "{expression}: {rows:?}");
    }
}

const READS: u32 = 100;
const WRONG: u32 = 7;
