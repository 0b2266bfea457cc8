//! `weir demo`: a whole cluster on this machine, a gate before it, some traffic, and a screen that shows who answers.
//!
//! Invariant: everything that it starts ends with it, also when it is killed. Servers are real mysqld processes; controller,
//! tablets and gate are this same program in processes of their own, so that each can be killed; what the screen shows of the
//! servers was asked of the servers themselves, not of the gate.

mod process;

mod fleet;
mod gate;
mod screen;
mod servers;
mod session;
mod shop;
mod signal;
mod traffic;
mod watch;

use std::fmt;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lab::client::Login;
use crate::lab::{Cluster, ClusterOptions, LabError, Mysql, Progress, cache, client, fault, fetch, ports};
use fleet::Fleet;
use gate::Gate;
use screen::Screen;
use servers::Servers;
use traffic::Traffic;
use watch::Watch;

#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The server program, or `None` to find or fetch one.
    pub mysqld: Option<PathBuf>,
    /// The program of gate, controller and tablets, or `None` for this very one.
    pub gate: Option<PathBuf>,
    /// Where the gate listens on 127.0.0.1.
    pub port: u16,
    /// The data's folder, which stays; `None` for one that goes.
    pub dir: Option<PathBuf>,
    /// Keeps the data without a folder named: in the cache.
    pub keep: bool,
    pub replicas: usize,
    /// Ends by itself after so long, counted from the first traffic.
    pub seconds: Option<u64>,
    /// Statements per second of all sessions together, at most; 0 for a demo without traffic.
    pub rate_max: u32,
}

impl Default for DemoOptions {
    fn default() -> DemoOptions {
        DemoOptions {
            mysqld: None,
            gate: None,
            port: 15_306,
            dir: None,
            keep: false,
            replicas: 2,
            seconds: None,
            rate_max: 200,
        }
    }
}

/// Why there was no demo, or why it ended.
#[derive(Debug)]
pub enum DemoError {
    Lab(LabError),
    /// Gate, controller or tablet did not start, or ended, with the last lines that it wrote.
    Process {
        what: String,
        log: PathBuf,
        lines: Vec<String>,
    },
}

impl From<LabError> for DemoError {
    fn from(error: LabError) -> DemoError {
        DemoError::Lab(error)
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::Lab(error) => error.fmt(f),
            DemoError::Process { what, log, lines } => fault::write_with_log(f, what, log, lines),
        }
    }
}

impl std::error::Error for DemoError {}

/// Runs the demo until its time is over or SIGINT or SIGTERM comes.
pub fn run(options: &DemoOptions) -> Result<(), DemoError> {
    let mut news = News::new();
    let port = ports::Port::fixed(options.port)?;
    let mysql = Mysql::find(options.mysqld.as_deref(), &mut |progress| news.tell(progress))?;
    news.say(&format!("MySQL {} at {}", mysql.version, mysql.mysqld.display()));
    // Until here a signal ends us at once, as it should: a download needs no order to end.
    signal::listen();
    let dir = match (&options.dir, options.keep) {
        (None, true) => Some(cache::folder()?.join("demo")),
        (dir, _) => dir.clone(),
    };
    let cluster = ClusterOptions {
        replicas: options.replicas,
        dir,
        extra_cnf: format!("max-binlog-size=16M\nbinlog-expire-logs-seconds=3600\n{SEMI_SYNC}"),
        extra_sql: shop::account(),
        ..ClusterOptions::default()
    };
    let cluster = Arc::new(Cluster::start(&mysql, cluster, &mut |progress| news.tell(progress))?);
    if signal::came() {
        return Ok(());
    }
    let program = process::program(options.gate.as_deref())?;
    news.tell(Progress::step("starting the controller and the tablets"));
    let mut fleet = Fleet::start(&program, &cluster)?;
    news.tell(Progress::step("starting the gate"));
    let gate = Gate::start(&program, cluster.dir(), fleet.address(), port)?;
    let login = shop::login(gate.port());
    news.tell(Progress::step("loading the shop through the gate"));
    shop::load(&mysql, &login)?;
    cluster.ensure_all_caught_up()?;
    news.end();
    print!("{}{}", connection_help(&cluster, &gate, &login), fleet_help(&program, &fleet, &gate));
    show(options, &cluster, &mut fleet, &gate, &login)
}

fn show(
    options: &DemoOptions,
    cluster: &Arc<Cluster>,
    fleet: &mut Fleet,
    gate: &Gate,
    login: &Login,
) -> Result<(), DemoError> {
    let started = Instant::now();
    let deadline = options.seconds.map(|seconds| started + Duration::from_secs(seconds));
    let traffic = Traffic::start(cluster.mysql(), login, options.rate_max);
    let mut watch = Watch::start(cluster);
    let servers = Servers::tend(cluster);
    let mut screen = Screen::new(std::io::stdout().is_terminal());
    let mut next = started + Duration::from_secs(1);
    loop {
        while Instant::now() < next {
            if signal::came() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                drop((traffic, servers));
                println!("\nStopping the gate, the tablets, the controller and the servers.");
                gate.stop();
                fleet.stop();
                return Ok(());
            }
            gate.check()?;
            fleet.tend(Instant::now())?;
            std::thread::sleep(Duration::from_millis(50));
        }
        next += Duration::from_secs(1);
        let control = fleet.line(Instant::now());
        let control = servers.line(Instant::now()).map_or(control.clone(), |away| format!("{away}; {control}"));
        screen.draw(started.elapsed(), &watch.look(cluster), &traffic.tally(), &control);
    }
}

/// Commits wait for a replica, so that what a client was told is not lost with a server.
const SEMI_SYNC: &str = "plugin-load-add=semisync_source.so;semisync_replica.so\n";

fn connection_help(cluster: &Cluster, gate: &Gate, login: &Login) -> String {
    let mysql = cluster.mysql();
    let is_on_path = fetch::on_path("mysql").first() == Some(&mysql.client);
    let program = if is_on_path { Path::new("mysql") } else { &mysql.client };
    let command = client::command(mysql, login);
    let arguments: Vec<String> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut text = format!(
        "\nThe gate listens on 127.0.0.1:{}; user {}, password {}, database {}:\n\n    {} {} {}\n\n",
        gate.port(),
        shop::USER,
        shop::PASSWORD,
        shop::DATABASE,
        program.display(),
        arguments.join(" "),
        shop::DATABASE,
    );
    for (number, node) in (1..).zip(cluster.nodes()) {
        text += &format!("Behind it: db{number} {} (process {}, ", node.address(), node.pid().unwrap_or(0));
        text += &format!("root by --socket={}, log {})\n", node.socket().display(), node.error_log().display());
    }
    text + &format!("The gate's log is {}.\n", gate.log().display())
}

fn fleet_help(program: &Path, fleet: &Fleet, gate: &Gate) -> String {
    let mut text = String::new();
    for (name, pid, log) in fleet.members() {
        text += &format!("Beside them: {name} (process {pid}, log {})\n", log.display());
    }
    let (controller, grpc, http) = (fleet.address(), gate.grpc(), gate.http());
    let weir = shown(program);
    text + &format!(
        "Kill servers, tablets or the controller with kill -9: clients stay, another server leads after a second, and who was killed is back \
         after ten. What they say, and how to move the primary's role in order:\n\n    \
         {weir} ctl switchover --controller {controller}\n    \
         {weir} ctl events --controller {controller}\n    \
         {weir} ctl topology --controller {controller}\n    \
         {weir} ctl tablets --controller {controller}\n    \
         {weir} ctl status --addr {grpc}                  # and http://127.0.0.1:{http}/metrics\n\n"
    )
}

/// As short as a shell takes it from here.
fn shown(program: &Path) -> String {
    if fetch::on_path("weir").first().is_some_and(|found| found == program) {
        return "weir".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(here).unwrap_or(program).display().to_string()
}

/// Tells what goes on before there is a screen: a line that is written over at a terminal, lines elsewhere.
struct News {
    is_terminal: bool,
    last: String,
}

impl News {
    fn new() -> News {
        News { is_terminal: std::io::stderr().is_terminal(), last: String::new() }
    }

    fn tell(&mut self, progress: Progress) {
        if self.is_terminal {
            eprint!("\r\x1b[K{progress}");
        } else if self.last != progress.step {
            // Elsewhere a line per step is enough.
            eprintln!("{}", progress.step);
            self.last = progress.step.to_owned();
        }
    }

    fn say(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    fn end(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
