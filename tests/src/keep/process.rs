//! A controller as a process of its own.
//!
//! Invariant: it dies with us, listens on the loopback only, and a restart takes the same port and store.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tonic::Status;
use weir_control::controller::client::Client;
use weir_control::grpc::proto;
use weir_control::grpc::tls::connect;
use weir_control::lab::child::Child;
use weir_control::lab::ports::Port;

pub struct Controller {
    program: String,
    args: Vec<String>,
    port: Port,
    child: Option<Child>,
}

impl Controller {
    /// `program`: the `weir` under test. Not started yet.
    pub fn new(program: &str, port: Port, args: &[String]) -> Controller {
        Controller { program: program.to_owned(), args: args.to_vec(), port, child: None }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// # Panics
    /// If the program cannot be started.
    pub fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("controller").args(["--listen", &self.address()]).args(&self.args);
        command.env("WEIR_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        self.child = Some(Child::spawn(command).unwrap_or_else(|error| panic!("{}: {error}", self.program)));
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        drop(self.child.take());
    }

    /// SIGTERM; false if it had to be killed.
    pub fn stop(&mut self) -> bool {
        self.child.take().is_none_or(|child| child.stop(STOP_WAIT))
    }

    pub fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            child.signal(signal);
        }
    }

    /// Waits until it tells a topology; says how long that took.
    ///
    /// # Panics
    /// If it takes longer than `limit`.
    pub async fn wait(&self, limit: Duration) -> (proto::Topology, Duration) {
        let began = Instant::now();
        loop {
            let why = match topology(&self.address()).await {
                Ok(topology) => return (topology, began.elapsed()),
                Err(status) => status,
            };
            assert!(began.elapsed() < limit, "no topology from {}: {why}", self.address());
            tokio::time::sleep(LOOK).await;
        }
    }
}

pub async fn client(address: &str) -> Result<Client, Status> {
    let channel = connect(address, None, CONNECT_LIMIT).await.map_err(Status::unavailable)?;
    Ok(Client::new(channel))
}

pub async fn topology(address: &str) -> Result<proto::Topology, Status> {
    let reply = client(address).await?.get_topology(proto::GetTopologyRequest {}).await?;
    reply.into_inner().topology.ok_or_else(|| Status::internal("a reply without a topology"))
}

/// Below a new folder for one test's files.
pub fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

pub fn text(path: &Path) -> String {
    path.display().to_string()
}

const LOOK: Duration = Duration::from_millis(2);
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const STOP_WAIT: Duration = Duration::from_secs(10);
