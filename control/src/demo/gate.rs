//! The demo's gate: `weir gate` in a process of its own.
//!
//! Invariant: it dies with us. It counts as started when it greets a client, which it can only do with a backend.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::DemoError;
use crate::lab::child::Child;
use crate::lab::ports::Port;
use crate::lab::{Cluster, LabError, limits, template};

#[derive(Debug)]
pub struct Gate {
    child: Child,
    port: Port,
    log: PathBuf,
}

impl Gate {
    pub fn start(program: Option<&Path>, cluster: &Cluster, port: Port) -> Result<Gate, DemoError> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().map_err(|source| LabError::Io {
                doing: "finding this program's own file".to_owned(),
                path: PathBuf::from("/proc/self/exe"),
                source,
            })?,
        };
        let log = cluster.dir().join("gate.log");
        let io = |path: &Path, source| LabError::Io { doing: "starting the gate".into(), path: path.into(), source };
        let output = fs::File::create(&log).map_err(|e| io(&log, e))?;
        let copy = output.try_clone().map_err(|e| io(&log, e))?;
        let mut command = Command::new(&program);
        command.args(arguments(port.number(), &cluster.backends()));
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        let child = Child::spawn(command).map_err(|e| io(&program, e))?;
        let gate = Gate { child, port, log };
        gate.wait_ready()?;
        Ok(gate)
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn stop(&self) {
        self.child.stop(STOP_WAIT);
    }

    /// An error once it has ended.
    pub fn check(&self) -> Result<(), DemoError> {
        match self.child.ended() {
            None => Ok(()),
            Some(status) => Err(self.failed(format!("The gate ended ({status})"))),
        }
    }

    fn wait_ready(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_WAIT;
        while Instant::now() < deadline {
            self.check()?;
            if is_greeting(self.port()) {
                return Ok(());
            }
            thread::sleep(limits::LOOK_PAUSE);
        }
        Err(self.failed(format!("The gate greeted nobody within {} s", READY_WAIT.as_secs())))
    }

    fn failed(&self, what: String) -> DemoError {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let from = lines.len().saturating_sub(limits::LOG_LINES_SHOWN);
        DemoError::Gate { what, log: self.log.clone(), lines: lines.into_iter().skip(from).collect() }
    }
}

fn arguments(port: u16, backends: &[String]) -> Vec<String> {
    let (user, password) = template::MONITOR;
    let mut arguments = vec!["gate".to_owned(), "--listen".to_owned(), format!("127.0.0.1:{port}")];
    for backend in backends {
        arguments.extend(["--backend".to_owned(), backend.clone()]);
    }
    let monitor = ["--monitor-user", user, "--monitor-password", password];
    arguments.extend(monitor.map(str::to_owned));
    arguments
}

/// Protocol version 10 in the first packet, see "Protocol::HandshakeV10". An error packet there means: not yet.
fn is_greeting(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut first = [0; 5];
    let limited = stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok();
    limited && stream.read_exact(&mut first).is_ok() && matches!(first, [.., 10])
}

/// How long the gate may take until it greets: it looks at each backend first.
const READY_WAIT: Duration = Duration::from_secs(20);
/// How long the gate may take to end: it lets open transactions finish.
const STOP_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_told_of_every_backend_and_its_monitor() {
        let backends = ["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let expected = "gate --listen 127.0.0.1:15306 --backend 127.0.0.1:1 --backend 127.0.0.1:2 \
                        --monitor-user weir_monitor --monitor-password weir_monitor";
        assert_eq!(arguments(15_306, &backends).join(" "), expected);
    }
}
