//! The gate under attack: the program `weir` in a process of its own, so that its memory and descriptors are its own.
//!
//! Invariant: it serves when `start` returns, and it is gone when it is dropped. Its log is a file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use weir_control::lab::child::Child;
use weir_control::lab::ports::{self, Port};

use super::limits;
use super::watch;
use crate::real::wire::{Account, Address, Wire};

/// A backend and whether it is the primary, which the gate is told and need not find out.
#[derive(Clone, Copy, Debug)]
pub struct Behind {
    pub address: SocketAddr,
    pub is_primary: bool,
}

pub struct Tested {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    /// Descriptors when it served and had no client yet.
    descriptors: usize,
    _port: Port,
}

impl Tested {
    /// Starts `program` before these backends; it serves when `account` has logged in.
    pub fn start(program: &Path, name: &str, backends: &[Behind], account: &Account) -> Result<Tested, String> {
        let port = ports::free(1).map_err(|error| error.to_string())?.pop().ok_or("no port")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let folder = std::env::temp_dir().join(format!("weir-hostile-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let config = folder.join("weir.toml");
        fs::write(&config, configuration(address, backends)).map_err(|error| error.to_string())?;
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("gate").arg("--config").arg(&config).env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = Child::spawn(command).map_err(|error| format!("{}: {error}", program.display()))?;
        let mut tested = Tested { child, folder, address, descriptors: 0, _port: port };
        tested.wait_ready(account)?;
        tested.descriptors = tested.settled_descriptors();
        Ok(tested)
    }

    pub fn address(&self) -> Address {
        Address::Tcp(self.address)
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// After an attack: the process lives, nothing in it has panicked, and its descriptors are what they were.
    pub fn check_calm(&self) -> Result<(), String> {
        let deadline = Instant::now() + limits::CALM_WAIT;
        loop {
            self.check_alive()?;
            let open = watch::descriptors(self.pid());
            if open <= self.descriptors {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "{open} descriptors are open, there were {}:\n{}",
                    self.descriptors,
                    self.sockets()
                ));
            }
            thread::sleep(limits::SAMPLE_PAUSE);
        }
    }

    pub fn check_alive(&self) -> Result<(), String> {
        if let Some(status) = self.child.ended() {
            return Err(format!("the gate has ended ({status}):\n{}", self.log_end()));
        }
        if self.log().contains("panicked") {
            return Err(format!("something in the gate has panicked:\n{}", self.log_end()));
        }
        Ok(())
    }

    /// A drain, as a SIGTERM asks for one: it ends in order.
    pub fn stop(self) -> Result<(), String> {
        self.check_alive()?;
        match self.child.stop(limits::STOP_WAIT) {
            true => Ok(()),
            false => Err(format!("the gate does not end:\n{}", self.log_end())),
        }
    }

    fn wait_ready(&self, account: &Account) -> Result<(), String> {
        let deadline = Instant::now() + limits::START_WAIT;
        loop {
            self.check_alive()?;
            match Wire::login(&self.address(), account) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(format!("the gate serves nobody: {error}\n{}", self.log_end()));
                }
                Err(_) => thread::sleep(limits::SAMPLE_PAUSE),
            }
        }
    }

    /// The fewest over a second, in which the connections of the first login have idled out.
    fn settled_descriptors(&self) -> usize {
        let until = Instant::now() + 2 * limits::BACKEND_IDLE + std::time::Duration::from_secs(2);
        let mut fewest = usize::MAX;
        while Instant::now() < until {
            fewest = fewest.min(watch::descriptors(self.pid()));
            thread::sleep(limits::SAMPLE_PAUSE);
        }
        fewest
    }

    /// Its TCP connections, for a message: local and remote port, state, bytes to be sent and to be read, as the kernel
    /// writes them in `/proc/net/tcp`.
    fn sockets(&self) -> String {
        let folder = format!("/proc/{}/fd", self.pid());
        let links = fs::read_dir(folder).into_iter().flatten().flatten();
        let names: Vec<String> =
            links.filter_map(|link| Some(fs::read_link(link.path()).ok()?.display().to_string())).collect();
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid())).unwrap_or_default();
        let port = |address: &str| address.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        let describe = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let own = names.contains(&format!("socket:[{}]", words.get(9)?));
            let (local, remote) = (port(words.get(1)?)?, port(words.get(2)?)?);
            own.then(|| format!("{local} -> {remote} state {} queues {}", words[3], words[4]))
        };
        table.lines().filter_map(describe).collect::<Vec<String>>().join("\n")
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        self.child.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(listen: SocketAddr, backends: &[Behind]) -> String {
    let mut text = format!(
        "[gate]\nlisten = [\"{listen}\"]\nadmin_listen = \"off\"\ngrpc_listen = \"off\"\nblocks_per_core = {}\n",
        limits::BLOCKS_PER_CORE
    );
    for backend in backends {
        let role = if backend.is_primary { "primary" } else { "replica" };
        text += &format!("[[backends]]\naddress = \"{}\"\nrole = \"{role}\"\n", backend.address);
    }
    text += "[monitor]\nuser = \"weir_monitor\"\npassword = \"weir_monitor\"\n";
    text += &format!(
        "[pool]\nconnections_per_backend_max = {}\nconnections_warm_min = 0\nconnection_idle_ms_max = {}\ndial_ms_max = {}\n",
        limits::CONNECTIONS,
        limits::BACKEND_IDLE.as_millis(),
        limits::DIAL.as_millis()
    );
    text += &format!("[limits]\nhandshake_ms_max = {}\ndrain_ms_max = 1000\n", limits::HANDSHAKE.as_millis());
    text
}

const LOG_LINES_SHOWN: usize = 30;
