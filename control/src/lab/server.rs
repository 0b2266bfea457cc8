//! `Server`: one mysqld process with a folder and a port of its own.
//!
//! Invariant: it listens on 127.0.0.1 only, or on its host's address, and it dies with us. Its folder holds `data`, `my.cnf`, `error.log` and
//! the socket, and can be used again: a second start takes the data as they are. All methods take `&self`, so that a
//! test may kill from one thread what it uses from another.

use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use weir_net::flavour::Flavour;

use super::cache::Lock;
use super::child::Child;
use super::client::{self, Login, Rows};
use super::ports::Port;
use super::{Host, LabError, Mysql, Report, limits, mariadb, template};

#[derive(Debug)]
pub struct ServerOptions {
    /// Made if need be; used again if it holds data.
    pub dir: PathBuf,
    pub port: Port,
    pub server_id: u32,
    /// Lines for `my.cnf`, after and above the laboratory's own.
    pub extra_cnf: String,
    /// None: this machine's loopback.
    pub host: Option<Host>,
}

#[derive(Debug)]
pub struct Server {
    mysql: Arc<Mysql>,
    options: ServerOptions,
    socket: PathBuf,
    is_new: bool,
    process: Mutex<Option<Child>>,
    /// Nobody else starts a server on these data meanwhile.
    _lock: Lock,
}

impl Server {
    /// Prepares its folder. `start` starts it.
    pub fn create(mysql: &Arc<Mysql>, options: ServerOptions, report: Report<'_>) -> Result<Server, LabError> {
        let make = |path: &Path| fs::create_dir_all(path).map_err(|e| LabError::io("making", path, e));
        make(&options.dir)?;
        let dir = options.dir.canonicalize().map_err(|e| LabError::io("finding", &options.dir, e))?;
        let Some(lock) = Lock::attempt(&dir.join("lock"))? else {
            let what = format!("The folder {} is in use by another process", dir.display());
            return Err(LabError::Asked { what });
        };
        make(&dir.join("files"))?;
        let options = ServerOptions { dir, ..options };
        let data = options.dir.join("data");
        let is_new = !data.exists();
        if is_new {
            template::copy(&template::folder(mysql, report)?, &data)?;
        }
        let socket = socket_path(&options.dir, options.port.number());
        let mysql = Arc::clone(mysql);
        let server = Server { mysql, options, socket, is_new, process: Mutex::new(None), _lock: lock };
        let path = server.options.dir.join("my.cnf");
        fs::write(&path, server.my_cnf()).map_err(|e| LabError::io("writing", &path, e))?;
        Ok(server)
    }

    /// Starts it and waits until it answers. Nothing happens if it runs.
    pub fn start(&self) -> Result<(), LabError> {
        let mut process = self.lock();
        if process.as_ref().is_some_and(|child| child.ended().is_none()) {
            return Ok(());
        }
        let log = self.error_log();
        // Appended to: after a crash, the lines before it matter most.
        let open = fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = open.map_err(|e| LabError::io("writing", &log, e))?;
        let before = output.metadata().map_or(0, |meta| meta.len());
        let copy = output.try_clone().map_err(|e| LabError::io("writing", &log, e))?;
        let mut command = Command::new(&self.mysql.mysqld);
        command.arg(format!("--defaults-file={}", self.options.dir.join("my.cnf").display()));
        command.args(self.mysql.own_options()).current_dir(&self.options.dir);
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        if let Some(host) = &self.options.host {
            host.enter(&mut command);
        }
        let child = Child::spawn(command).map_err(|e| LabError::io("starting", &self.mysql.mysqld, e))?;
        let ready = self.wait_ready(&child, before);
        *process = Some(child);
        ready
    }

    /// SIGTERM, then SIGKILL if that takes too long.
    pub fn stop(&self) {
        if let Some(child) = self.lock().take() {
            child.stop(limits::STOP_WAIT);
        }
    }

    /// SIGKILL: what a crash looks like. The data are recovered by the next start.
    pub fn kill9(&self) {
        if let Some(child) = self.lock().take() {
            child.kill();
        }
    }

    pub fn restart(&self) -> Result<(), LabError> {
        self.stop();
        self.start()
    }

    /// Its connections stay open and its port still accepts (the kernel does), but nothing answers.
    pub fn sigstop(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn sigcont(&self) {
        self.signal(libc::SIGCONT);
    }

    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(|child| child.ended().is_none())
    }

    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::pid)
    }

    /// Runs statements as root, by the socket.
    pub fn sql(&self, text: &str) -> Result<Rows, LabError> {
        client::run(&self.mysql, &self.root_login(), text)
    }

    pub fn root_login(&self) -> Login {
        Login::Root { socket: self.socket.clone() }
    }

    pub fn port(&self) -> u16 {
        self.options.port.number()
    }

    /// Where it listens.
    pub fn ip(&self) -> Ipv4Addr {
        self.options.host.as_ref().map_or(Ipv4Addr::LOCALHOST, |host| host.address)
    }

    /// `127.0.0.1:PORT`, or its host's address.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip(), self.port())
    }

    pub fn server_id(&self) -> u32 {
        self.options.server_id
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// True if `create` found no data in its folder.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The server's log, of all its starts.
    pub fn error_log(&self) -> PathBuf {
        self.options.dir.join("error.log")
    }

    pub fn last_log_lines(&self) -> Vec<String> {
        last_lines(&self.error_log())
    }

    fn signal(&self, signal: i32) {
        if let Some(child) = self.lock().as_ref() {
            child.signal(signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_ready(&self, child: &Child, log_start: u64) -> Result<(), LabError> {
        let deadline = Instant::now() + limits::READY_WAIT;
        let name = format!("The server at {}", self.address());
        let failed = |what| LabError::Server { what, log: self.error_log(), lines: self.last_log_lines() };
        while Instant::now() < deadline {
            if let Some(status) = child.ended() {
                let log = fs::read(self.error_log()).unwrap_or_default();
                let text = String::from_utf8_lossy(log.get(log_start as usize..).unwrap_or_default());
                if text.contains("Address already in use") {
                    return Err(LabError::PortTaken { port: self.port() });
                }
                let full = disk_fault(&text, &self.options.dir);
                return Err(full.unwrap_or_else(|| failed(format!("{name} ended at once ({status})"))));
            }
            if is_greeting(&self.socket) {
                return Ok(());
            }
            thread::sleep(limits::LOOK_PAUSE);
        }
        child.kill();
        Err(failed(format!("{name} did not answer within {} s", limits::READY_WAIT.as_secs())))
    }

    fn my_cnf(&self) -> String {
        let ServerOptions { dir, server_id, extra_cnf, .. } = &self.options;
        let (ip, port) = (self.ip(), self.port());
        let user = if is_root() { "user=root\n" } else { "" };
        let own = match self.mysql.flavour {
            Flavour::Mysql => "mysqlx=OFF\ngtid-mode=ON\nenforce-gtid-consistency=ON\ninnodb-redo-log-capacity=64M\n",
            Flavour::MariaDb => mariadb::own_cnf(),
        };
        let (dir, socket) = (dir.display(), self.socket.display());
        // The log is standard error, which also gets what the loader says. The server's own default stands for
        // session-track-gtids: whoever wants GTIDs asks for them in the session.
        format!(
            "[mysqld]\n{user}\
             datadir={dir}/data\n\
             socket={socket}\n\
             pid-file={dir}/pid\n\
             secure-file-priv={dir}/files\n\
             bind-address={ip}\n\
             port={port}\n\
             report-host={ip}\n\
             report-port={port}\n\
             server-id={server_id}\n\
             log-bin={dir}/data/bin\n\
             relay-log={dir}/data/relay\n\
             sync-binlog=0\n\
             innodb-flush-log-at-trx-commit=2\n\
             innodb-buffer-pool-size=128M\n\
             {own}{extra_cnf}\n"
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Runs as root, which mysqld wants to be told that it is meant.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid only returns a number.
    unsafe { libc::geteuid() == 0 }
}

pub(crate) fn last_lines(log: &Path) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(limits::LOG_LINES_SHOWN)).map(|line| (*line).to_owned()).collect()
}

/// A server's log that tells of a full disk.
pub(crate) fn disk_fault(log: &str, dir: &Path) -> Option<LabError> {
    let is_full = log.contains("No space left on device") || log.contains("Disk quota exceeded");
    is_full.then(|| LabError::DiskFull { path: dir.to_owned(), free_bytes: 0, wanted_bytes: 0 })
}

/// The server sends the first packet of a connection: four bytes of header, then protocol version 10 or 0xff (an
/// error: too many connections, say), see "Protocol::HandshakeV10". The Unix socket is asked, because hosts that
/// break off too often are locked out on TCP.
fn is_greeting(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let mut first = [0; 5];
    // The server accepts before it is ready, and then says nothing.
    let limited = stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok();
    limited && stream.read_exact(&mut first).is_ok() && matches!(first, [.., 10 | 0xff])
}

/// In the server's folder, unless that makes a path too long for the kernel.
fn socket_path(dir: &Path, port: u16) -> PathBuf {
    let path = dir.join("mysqld.sock");
    if path.as_os_str().len() <= limits::SOCKET_PATH_BYTES_MAX {
        return path;
    }
    // SAFETY: geteuid only returns a number.
    let user = unsafe { libc::geteuid() };
    PathBuf::from(format!("/tmp/weir-{user}-{port}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_folder_gets_a_short_socket() {
        assert_eq!(socket_path(Path::new("/a/b"), 1), Path::new("/a/b/mysqld.sock"));
        let deep = "/d".repeat(60);
        let path = socket_path(Path::new(&deep), 18_001);
        assert!(path.as_os_str().len() <= limits::SOCKET_PATH_BYTES_MAX, "{path:?}");
        assert!(path.to_string_lossy().contains("18001"));
    }

    #[test]
    fn the_log_is_quoted_from_its_end() {
        let path = std::env::temp_dir().join(format!("weir-log-test-{}", std::process::id()));
        let lines: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let shown = last_lines(&path);
        assert_eq!(shown.len(), limits::LOG_LINES_SHOWN);
        assert_eq!(shown.last().unwrap(), "line 49");
        assert!(disk_fault("[ERROR] Table is full", &path).is_none());
        let full = disk_fault("[ERROR] write failed: No space left on device", &path);
        assert!(matches!(full, Some(LabError::DiskFull { .. })));
        fs::remove_file(&path).unwrap();
        assert!(last_lines(&path).is_empty());
    }

    #[test]
    fn only_a_greeting_is_ready() {
        use std::io::Write;
        let path = std::env::temp_dir().join(format!("weir-greet-{}.sock", std::process::id()));
        for (bytes, expected) in [(&[74, 0, 0, 0, 10, 57][..], true), (&[9, 0, 0, 0, 0xff], true), (&[1, 2], false)] {
            let _ = fs::remove_file(&path);
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let greeter = thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
            assert_eq!(is_greeting(&path), expected, "{bytes:?}");
            greeter.join().unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert!(!is_greeting(&path));
    }
}
