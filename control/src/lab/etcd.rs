//! Etcd members on this machine, for tests: found or fetched like MySQL, each killed and started at will.
//!
//! Invariant: they listen on the loopback only, and die with us; a member that is started again has its data.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use super::child::Child;
use super::ports::{self, Port};
use super::tool::Tool;
use super::{LabError, Report, limits};

/// Members of one etcd.
#[derive(Debug)]
pub struct Etcd {
    tool: Tool,
    dir: PathBuf,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: Port,
    peer: Port,
    child: Mutex<Option<Child>>,
}

impl Etcd {
    /// Prepares so many members below `dir`; `start` starts each.
    pub fn create(dir: &Path, members: usize, report: Report<'_>) -> Result<Etcd, LabError> {
        let tool = Tool::find("etcd", report)?;
        fs::create_dir_all(dir).map_err(|e| LabError::io("making", dir, e))?;
        let mut all = ports::free(members * 2)?;
        let mut member = |at: usize| {
            let (client, peer) = (all.pop()?, all.pop()?);
            Some(Member { name: format!("m{at}"), client, peer, child: Mutex::default() })
        };
        let members = (0..members).map_while(&mut member).collect();
        Ok(Etcd { tool, dir: dir.to_owned(), members })
    }

    /// `host:port` of each, for clients.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("127.0.0.1:{}", member.client.number())).collect()
    }

    pub fn start(&self, at: usize) -> Result<(), LabError> {
        let member = &self.members[at];
        let url = |port: &Port| format!("http://127.0.0.1:{}", port.number());
        let cluster: Vec<String> =
            self.members.iter().map(|member| format!("{}={}", member.name, url(&member.peer))).collect();
        let path = self.dir.join(format!("{}.log", member.name));
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|e| LabError::io("writing", &path, e))?;
        let mut command = self.tool.command();
        command.args(["--name", &member.name]);
        command.arg("--data-dir").arg(self.dir.join(&member.name));
        command.args(["--listen-client-urls", &url(&member.client), "--advertise-client-urls", &url(&member.client)]);
        command.args(["--listen-peer-urls", &url(&member.peer), "--initial-advertise-peer-urls", &url(&member.peer)]);
        command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"]);
        command.args(["--initial-cluster-token", "weir-lab", "--logger", "zap", "--log-level", "warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = Child::spawn(command).map_err(|e| LabError::io("starting", &self.tool.program, e))?;
        *member.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill9(&self, at: usize) {
        drop(self.take(at));
    }

    /// SIGTERM, then SIGKILL if that takes too long.
    pub fn stop(&self, at: usize) {
        if let Some(child) = self.take(at) {
            child.stop(limits::STOP_WAIT);
        }
    }

    fn take(&self, at: usize) -> Option<Child> {
        self.members[at].child.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
