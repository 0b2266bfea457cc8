//! A gate in a process of its own, with a file: reloads and upgrades, under clients that must not notice.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::options::ClientTls;
use weir_control::client::trust::Trust;
use weir_control::client::{Client, Options};
use weir_control::config::Tls;
use weir_control::ctl;
use weir_control::gate::keys;
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::child::Child;
use weir_control::lab::ports::{self, Port};
use weir_tests::real::logs::whole_lines;
use weir_tests::real::place::{Place, place};

pub const WEIR: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// For whatever has to happen soon.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A gate, and those that took over from it. All are gone when it is dropped.
pub struct Process {
    child: Child,
    pub folder: PathBuf,
    ports: Vec<Port>,
    /// What a service manager hears.
    manager: UnixDatagram,
    pub pids: Vec<u32>,
}

impl Drop for Process {
    fn drop(&mut self) {
        for pid in &self.pids {
            // Only those that are ours: a number may be another's by now.
            if fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe.starts_with(WEIR) || exe.starts_with(&self.folder))
            {
                signal(*pid, "KILL");
            }
        }
        self.child.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "process {pid} takes no {signal}");
}

impl Process {
    pub fn start(name: &str, more: &str, flags: &[&str]) -> Process {
        Process::start_as(name, more, flags, |_| PathBuf::from(WEIR))
    }

    /// Of a program of its own, which another file may take the place of.
    pub fn start_copy(name: &str, more: &str) -> Process {
        Process::start_as(name, more, &[], |folder| {
            let program = folder.join("weir");
            put_program(&program);
            program
        })
    }

    fn start_as(name: &str, more: &str, flags: &[&str], program: impl FnOnce(&Path) -> PathBuf) -> Process {
        let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let manager = UnixDatagram::bind(folder.join("manager")).unwrap();
        manager.set_read_timeout(Some(LIMIT)).unwrap();
        let ports = ports::free(3).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program(&folder));
        command.arg("gate").arg("--config").arg(folder.join("gate.toml")).args(flags);
        command.env("NOTIFY_SOCKET", folder.join("manager")).env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        write(&folder, &ports, more);
        let child = Child::spawn(command).unwrap();
        let pids = vec![child.pid()];
        let process = Process { child, folder, ports, manager, pids };
        process.hear("READY=1");
        process
    }

    /// Other settings from the next reload or upgrade on.
    pub fn write(&self, more: &str) {
        write(&self.folder, &self.ports, more);
    }

    /// The next word that begins so, at the latest after the limit.
    pub fn hear(&self, word: &str) -> String {
        let mut bytes = [0; 512];
        loop {
            let len = self.manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{word}: {error}\n{}", self.log()));
            let said = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if said.starts_with(word) {
                return said;
            }
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn options(&self) -> Options {
        Options::tcp("127.0.0.1", self.ports[0].number()).user("app").password("app").timeout(Some(LIMIT))
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.options()).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub fn port(&self) -> u16 {
        self.ports[0].number()
    }

    pub fn admin_port(&self) -> u16 {
        self.ports[1].number()
    }

    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2].number())
    }

    pub fn reload(&self) -> Result<String, String> {
        ctl::reload(&self.grpc(), &TlsFiles::default())
    }

    /// By a signal to the process that serves now; says which one serves then.
    pub fn upgrade(&mut self) -> u32 {
        signal(*self.pids.last().unwrap(), "USR2");
        let pid = self.hear("MAINPID=").trim_start_matches("MAINPID=").parse().unwrap();
        self.pids.push(pid);
        self.hear("READY=1");
        pid
    }

    pub fn wait_for_end(&self, pid: u32) {
        let began = Instant::now();
        // A child that nobody has waited for is dead too.
        let lives = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while lives() {
            assert!(began.elapsed() < LIMIT, "process {pid} does not end\n{}", self.log());
            self.child.ended();
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Our program at this path, whatever is there.
pub fn put_program(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(WEIR, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
}

/// Sections after `[gate]`; lines before the first section belong to it.
fn write(folder: &Path, ports: &[Port], more: &str) {
    let [clients, admin, grpc] = [0, 1, 2].map(|at| ports[at].number());
    let backends: String = match more.contains("[[backends]]") {
        true => String::new(),
        false => backends(place(), 2),
    };
    let text = format!(
        "[gate]\nlisten = \"127.0.0.1:{clients}\"\nadmin_listen = \"127.0.0.1:{admin}\"\ngrpc_listen = \"127.0.0.1:{grpc}\"\n\
         cores = 2\nadmin_users = \"app\"\n{more}\n{backends}[monitor]\nuser = \"weir_monitor\"\npassword = \"weir_monitor\"\n"
    );
    fs::write(folder.join("gate.toml"), text).unwrap();
}

fn backends(place: &Place, count: usize) -> String {
    let one = |address: &std::net::SocketAddr| format!("[[backends]]\naddress = \"{address}\"\n");
    place.backends.iter().take(count).map(one).collect()
}

pub fn cell(client: &mut Client, statement: &str) -> String {
    client.cell(statement).unwrap_or_else(|error| panic!("{statement}: {error}")).unwrap_or_default()
}

/// Every client of every core sees what was read again; what cannot change is told; with a mistake nothing changes.
#[test]
fn a_reload_changes_all_or_nothing() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = Process::start("reload", "[limits]\nclients_max = 1000", &["--balance", "random"]);
    let mut clients: Vec<Client> = (0..4).map(|_| gate.client()).collect();
    clients[0].run("BEGIN").unwrap();
    let ratio = "SELECT @@GLOBAL.read_write_splitting_ratio";
    assert_eq!(cell(&mut clients[1], ratio), "100");
    clients[1].run("SET GLOBAL read_write_splitting_ratio = 10").unwrap();

    gate.write(
        "backlog = 77\n[routing]\nread_write_splitting_ratio = 60\nbalance = \"least_qps\"\n[limits]\nclients_max = 1000\n\
         [pool]\nwait_ms_max = 7000\nconnections_per_backend_max = 8\n[log]\nlevel = \"debug\"",
    );
    let said = gate.reload().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "[pool] connections_per_backend_max: was 200, now 8",
            "[pool] wait_ms_max: was 10000, now 7000",
            "[routing] read_write_splitting_ratio: 10 by SET GLOBAL, now 60 by the configuration",
            "[log] level: was \"info\", now \"debug\"",
            "[gate] backlog: needs a restart or an upgrade; still 4096",
        ]
    );
    for client in &mut clients {
        assert_eq!(cell(client, ratio), "60");
    }
    let shown = clients[2].rows("SHOW WEIR VARIABLES LIKE 'pool.wait_ms_max'").unwrap();
    assert_eq!(shown[0][1].as_deref(), Some("7000"), "{shown:?}");
    clients[0].run("COMMIT").unwrap();
    gate.hear("RELOADING=1");
    gate.hear("READY=1");

    gate.write("[routing]\nread_write_splitting_ratio = 101\n[pool]\nwait_ms = 5");
    let why = gate.reload().unwrap_err();
    assert!(why.contains("gate.toml:8:30: read_write_splitting_ratio must be a whole number from 0 to 100"), "{why}");
    assert!(why.contains("gate.toml:10:1: [pool] has no key 'wait_ms'"), "{why}");
    assert_eq!(cell(&mut clients[3], ratio), "60");
    let events = clients[3].rows("SHOW WEIR EVENTS").unwrap();
    let kinds: Vec<&str> =
        events.iter().filter_map(|row| row.iter().flatten().find(|c| c.contains("reload"))).map(|c| &**c).collect();
    assert_eq!(kinds, ["reload", "reload_refused"], "{events:?}");
}

/// One that is taken out gets no statement more, one that is named serves, whoever is connected.
#[test]
fn a_reload_brings_and_takes_backends() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = Process::start("backends", &backends(place, 1), &[]);
    let mut client = gate.client();
    let names = |client: &mut Client| -> Vec<(String, String)> {
        let rows = client.rows("SHOW WEIR BACKENDS").unwrap();
        rows.into_iter()
            .map(|row| (row[0].clone().unwrap(), row.iter().flatten().cloned().collect::<Vec<_>>().join(" ")))
            .collect()
    };
    assert_eq!(names(&mut client).len(), 1);
    gate.write(&backends(place, 2));
    signal(gate.pids[0], "HUP");
    gate.hear("RELOADING=1");
    gate.hear("READY=1");
    let replica = place.backends[1].to_string();
    let began = Instant::now();
    while !names(&mut client).iter().any(|(_, row)| row.contains(&replica) && row.contains(" Up ")) {
        assert!(began.elapsed() < LIMIT, "{:?}\n{}", names(&mut client), gate.log());
        thread::sleep(Duration::from_millis(20));
    }
    gate.write(&backends(place, 1));
    let said = gate.reload().unwrap();
    assert_eq!(said, format!("[[backends]] {replica}: is taken out"));
    assert!(
        names(&mut client).iter().any(|(_, row)| row.contains(&replica) && row.contains(" Gone ")),
        "{:?}",
        names(&mut client)
    );
    assert_eq!(cell(&mut client, "SELECT 1"), "1");
}

/// Renewed by somebody else, as by certbot: no signal is needed, and nobody is cut off.
#[test]
fn a_certificate_is_renewed_while_clients_stay() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = Process::start("renewal", "tls_dir = \"tls\"", &[]);
    let tls = gate.folder.join("tls");
    let login = |ca: &Path| {
        let verifier = weir_control::gate::backend_tls::trusting(ca).unwrap();
        let config = Trust::Authority(verifier).config().unwrap();
        Client::connect(&gate.options().tls(ClientTls::Verified(config, "localhost".try_into().unwrap())))
    };
    let mut client = login(&tls.join("ca.pem")).unwrap();
    let next = gate.folder.join("next");
    keys::make(&Tls::Folder(next.clone()), None).unwrap();
    assert!(login(&next.join("ca.pem")).is_err(), "another authority's");
    for name in ["server-cert.pem", "server-key.pem"] {
        fs::rename(next.join(name), tls.join(name)).unwrap();
    }
    let began = Instant::now();
    while login(&next.join("ca.pem")).is_err() {
        assert!(began.elapsed() < LIMIT, "{}", gate.log());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(cell(&mut client, "SELECT 1"), "1");
    fs::write(tls.join("server-key.pem"), "no key").unwrap();
    assert!(gate.reload().unwrap_err().contains("server-key.pem"));
    login(&next.join("ca.pem")).unwrap();
}

/// As logrotate does it: the file is moved, the reload makes another, and each login has its line in one of them, whole. Another path, fewer
/// events and off and on again follow as well.
#[test]
fn the_audit_log_follows_a_reload() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let section = |lines: &str| format!("[audit_log]\n{lines}");
    let gate = Process::start("audit", &section("file = \"audit.log\"\nevents = [\"login\"]"), &[]);
    let logins = |file: &str| -> Vec<u64> {
        let lines = whole_lines(&gate.folder.join(file)).into_iter();
        lines.filter(|line| line["event"] == "login").map(|line| line["connection_id"].as_u64().unwrap()).collect()
    };
    let login = || cell(&mut gate.client(), "SELECT CONNECTION_ID()").parse::<u64>().unwrap();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < LIMIT, "{what}\n{}", gate.log());
            thread::sleep(Duration::from_millis(5));
        }
    };
    let stop = AtomicBool::new(false);
    let ids: Vec<u64> = thread::scope(|scope| {
        let busy = || {
            let mut ids = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                ids.push(login());
            }
            ids
        };
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(busy)).collect();
        until("lines", &|| logins("audit.log").len() > 20);
        fs::rename(gate.folder.join("audit.log"), gate.folder.join("audit.log.old")).unwrap();
        assert_eq!(gate.reload().unwrap(), "read again; no setting is another one");
        until("lines in a new file", &|| logins("audit.log").len() > 20);
        gate.write(&section("file = \"other.log\"\nevents = [\"login\", \"logout\"]\nbytes_max = 70000"));
        assert_eq!(gate.reload().unwrap().lines().count(), 3);
        until("lines elsewhere", &|| logins("other.log").len() > 20);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let written = || {
        let files = ["audit.log.old", "audit.log", "other.log", "other.log.1", "other.log.2", "other.log.3"];
        let mut all: Vec<u64> = files.into_iter().flat_map(logins).collect();
        all.sort_unstable();
        all
    };
    let mut expected = ids;
    expected.sort_unstable();
    until("a line for each", &|| written().len() >= expected.len());
    assert_eq!(written(), expected);
    let others = fs::read_to_string(gate.folder.join("other.log")).unwrap();
    assert!(others.contains("\"logout\"") && others.lines().count() > 20, "{others}");

    gate.write("");
    assert!(gate.reload().unwrap().contains("[audit_log] file: was"));
    login();
    gate.write(&section("file = \"again.log\"\nevents = [\"login\"]"));
    gate.reload().unwrap();
    let last = login();
    until("a line of the last one", &|| logins("again.log") == [last]);
    assert_eq!(written(), expected);
    let lines = "SHOW WEIR STATUS LIKE 'audit_log_lines'";
    let counted = gate.client().rows(lines).unwrap()[0][1].clone().unwrap().parse::<usize>().unwrap();
    assert!(counted > expected.len(), "{counted}, and {} at least", expected.len() + 1);
}

/// Five upgrades under clients that connect all the time: nobody is refused or dropped, and a transaction that was open commits where it is.
#[test]
fn upgrades_refuse_and_drop_nobody() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("DROP DATABASE IF EXISTS weir_upgrade").unwrap();
    admin.sql("CREATE DATABASE weir_upgrade").unwrap();
    admin.sql("CREATE TABLE weir_upgrade.t (id INT PRIMARY KEY)").unwrap();
    let mut gate = Process::start("upgrade", "", &[]);
    let first = gate.pids[0];
    let mut writer = gate.client();
    writer.run("BEGIN").unwrap();
    writer.run("INSERT INTO weir_upgrade.t VALUES (1)").unwrap();
    let mut idle = gate.client();
    let over = AtomicBool::new(false);
    let (options, over) = (gate.options(), &over);
    let served: usize = thread::scope(|scope| {
        let busy = || -> Result<usize, String> {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                let mut client = Client::connect(&options).map_err(|error| format!("login {served}: {error}"))?;
                let cell = client.cell("SELECT 41 + 1").map_err(|error| format!("query {served}: {error}"))?;
                assert_eq!(cell.as_deref(), Some("42"));
                client.quit().map_err(|error| error.to_string())?;
                served += 1;
            }
            Ok(served)
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(busy)).collect();
        let pids: Vec<u32> = (0..5).map(|_| gate.upgrade()).collect();
        over.store(true, Ordering::Relaxed);
        for pid in &pids[..4] {
            gate.wait_for_end(*pid);
        }
        clients
            .into_iter()
            .map(|client| client.join().unwrap().unwrap_or_else(|why| panic!("{why}\n{}", gate.log())))
            .sum()
    });
    assert!(served > 100, "{served}");
    println!("{served} clients during five upgrades");
    assert_eq!(cell(&mut idle, "SELECT 1"), "1");
    writer.run("INSERT INTO weir_upgrade.t VALUES (2)").unwrap();
    writer.run("COMMIT").unwrap();
    assert_eq!(cell(&mut gate.client(), "SELECT COUNT(*) FROM weir_upgrade.t FOR SHARE"), "2", "on the primary");
    assert!(fs::metadata(format!("/proc/{first}")).is_ok(), "it waits for its sessions");
    drop((writer, idle));
    gate.wait_for_end(first);
    let last = *gate.pids.last().unwrap();
    signal(last, "TERM");
    gate.wait_for_end(last);
}

/// A file with a mistake, or none to serve: the running gate goes on, and says why.
#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut gate = Process::start("refused", "", &[]);
    let mut client = gate.client();
    let upgrade = |gate: &Process| ctl::upgrade(&gate.grpc(), &TlsFiles::default());
    gate.write("[pool]\nwait_ms_max = \"long\"");
    let why = upgrade(&gate).unwrap_err();
    assert!(why.contains("gate.toml:8:15: wait_ms_max must be a whole number"), "{why}");
    gate.write("[[backends]]\naddress = \"127.0.0.1:1\"");
    let why = upgrade(&gate).unwrap_err();
    assert!(why.contains("it ended before it served (exit status: 1)"), "{why}");
    assert_eq!(cell(&mut client, "SELECT 1"), "1");
    gate.client();
    // With another setting that waits for a start.
    gate.write("backlog = 77");
    let said = upgrade(&gate).unwrap();
    let pid: u32 = said.split(' ').nth(1).unwrap().parse().unwrap();
    gate.pids.push(pid);
    let shown = gate.client().rows("SHOW WEIR VARIABLES LIKE 'gate.backlog'").unwrap();
    assert_eq!(shown[0][1].as_deref(), Some("77"), "{shown:?}");
    assert_eq!(cell(&mut client, "SELECT 1"), "1");
    drop(client);
    gate.wait_for_end(gate.pids[0]);
    signal(pid, "TERM");
    gate.wait_for_end(pid);
    let why = Client::connect(&gate.options()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(why.contains("refused"), "{why}");
}

/// Neither dies of SIGHUP: both read their file again, follow the log's level and say what waits.
#[test]
fn tablets_and_controllers_read_their_file_again() {
    for (program, place_of_it) in [("tablet", "server = \"127.0.0.1:1\""), ("controller", "store = \"store.db\"")] {
        let folder = std::env::temp_dir().join(format!("weir-again-{program}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let manager = UnixDatagram::bind(folder.join("manager")).unwrap();
        manager.set_read_timeout(Some(LIMIT)).unwrap();
        let file = folder.join("weir.toml");
        let write = |more: &str| {
            let text = format!(
                "[{program}]\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n{place_of_it}\n{more}\n"
            );
            fs::write(&file, text).unwrap();
        };
        write("");
        let mut command = Command::new(WEIR);
        command.arg(program).arg("--config").arg(&file).env("NOTIFY_SOCKET", folder.join("manager"));
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(folder.join("log")).unwrap());
        let child = Child::spawn(command).unwrap();
        let hear = |word: &str| {
            let mut bytes = [0; 256];
            let len = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{word}: {error}\n{}", log()));
            assert!(bytes[..len].starts_with(word.as_bytes()), "{}", String::from_utf8_lossy(&bytes[..len]));
        };
        hear("READY=1");
        for (more, expected) in [
            ("log = \"debug\"\nlog_format = \"json\"", "log: was \"info\", now \"debug\""),
            ("log = \"weir=loud\"", "nothing changes: "),
        ] {
            write(more);
            signal(child.pid(), "HUP");
            hear("RELOADING=1");
            hear("READY=1");
            assert!(log().contains(expected), "{program}: {expected}\n{}", log());
        }
        assert!(log().contains("log_format: needs a restart; still \"text\""), "{}", log());
        assert!(child.ended().is_none() && child.stop(LIMIT), "{}", log());
        fs::remove_dir_all(&folder).unwrap();
    }
}
