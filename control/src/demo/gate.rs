//! The demo's gate: `weir gate` in a process of its own, which finds its backends through the controller.
//!
//! Invariant: it counts as started when it greets a client, which it can only do with a backend.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::DemoError;
use super::process::{Process, Recipe};
use crate::config::ADMIN_PORT;
use crate::lab::limits;
use crate::lab::ports::Port;

#[derive(Debug)]
pub struct Gate {
    process: Process,
    port: Port,
    http: Port,
    grpc: Port,
    log: PathBuf,
}

impl Gate {
    /// `controller`: where the demo's one is asked.
    pub fn start(program: &Path, dir: &Path, controller: &str, port: Port) -> Result<Gate, DemoError> {
        let (http, grpc) = (Port::preferred(ADMIN_PORT)?, Port::preferred(ADMIN_PORT + 1)?);
        let log = dir.join("gate.log");
        // Of an earlier demo in the same folder; one that can't be removed is written to.
        let _ = std::fs::remove_file(&log);
        let recipe = Recipe {
            name: "The gate".to_owned(),
            program: program.to_owned(),
            arguments: arguments([&port, &http, &grpc].map(Port::number), controller),
            environment: Vec::new(),
            log: log.clone(),
        };
        let gate = Gate { process: Process::start(&recipe)?, port, http, grpc, log };
        gate.wait_ready()?;
        Ok(gate)
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Metrics and status.
    pub fn http(&self) -> u16 {
        self.http.number()
    }

    /// For `weir ctl`.
    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc.number())
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn stop(&self) {
        self.process.stop(STOP_WAIT);
    }

    /// An error once it has ended.
    pub fn check(&self) -> Result<(), DemoError> {
        self.process.check()
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
        Err(self.process.failed(&format!("greeted nobody within {} s", READY_WAIT.as_secs())))
    }
}

fn arguments([port, http, grpc]: [u16; 3], controller: &str) -> Vec<String> {
    let local = |port: u16| format!("127.0.0.1:{port}");
    let [listen, admin, grpc] = [port, http, grpc].map(local);
    let arguments = ["gate", "--listen", &listen, "--admin-listen", &admin, "--grpc-listen", &grpc];
    let controller = ["--controller", controller];
    arguments.into_iter().chain(controller).map(str::to_owned).collect()
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
    fn the_gate_is_told_of_the_controller_and_of_nothing_behind_it() {
        let expected = "gate --listen 127.0.0.1:15306 --admin-listen 127.0.0.1:7306 --grpc-listen 127.0.0.1:7307 \
                        --controller 127.0.0.1:7506";
        assert_eq!(arguments([15_306, 7306, 7307], "127.0.0.1:7506").join(" "), expected);
    }
}
