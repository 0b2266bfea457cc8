//! One of the demo's own programs: this very `weir` again, in a process that a user may kill.
//!
//! Invariant: it dies with us. What it writes is kept, also over its restarts, and an error quotes the end of it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::DemoError;
use crate::lab::child::Child;
use crate::lab::{LabError, limits};

/// How to start it.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
}

#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    pub fn start(recipe: &Recipe) -> Result<Process, DemoError> {
        let Recipe { name, program, arguments, environment, log } = recipe;
        let io = |path: &Path, source| LabError::Io { doing: format!("starting {name}"), path: path.into(), source };
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(|e| io(log, e))?;
        let copy = output.try_clone().map_err(|e| io(log, e))?;
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        let child = Child::spawn(command).map_err(|e| io(program, e))?;
        Ok(Process { name: name.clone(), log: log.clone(), child })
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.ended()
    }

    pub fn stop(&self, limit: Duration) {
        self.child.stop(limit);
    }

    /// An error once it has ended.
    pub fn check(&self) -> Result<(), DemoError> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended ({status})"))),
        }
    }

    /// With the last lines that it wrote.
    pub fn failed(&self, what: &str) -> DemoError {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let from = lines.len().saturating_sub(limits::LOG_LINES_SHOWN);
        let lines = lines.into_iter().skip(from).collect();
        DemoError::Process { what: format!("{} {what}", self.name), log: self.log.clone(), lines }
    }
}

/// This program's own file, unless another is named.
pub fn program(named: Option<&Path>) -> Result<PathBuf, DemoError> {
    if let Some(program) = named {
        return Ok(program.to_owned());
    }
    let doing = "finding this program's own file".to_owned();
    let failed = |source| LabError::Io { doing, path: PathBuf::from("/proc/self/exe"), source };
    Ok(std::env::current_exe().map_err(failed)?)
}
