//! `Program`: a server or proxy that was started for a measurement, with its log.
//!
//! Invariant: it ends when this is dropped, and with this process in any case. It counts as started when a client has
//! logged in and got an answer through it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use weir_control::lab::child::Child;

use crate::client::{Account, Client};
use crate::error::Fault;
use crate::limits::{DOOR_WAIT, LOOK_PAUSE, STOP_WAIT};

#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its output in a log file in this folder.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self, Fault> {
        let log = folder.join(format!("{name}.log"));
        let failed = |error| Fault::io(format!("starting {name}"), error);
        let output = fs::File::create(&log).map_err(failed)?;
        let copy = output.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        Ok(Self { name: name.to_owned(), child: Child::spawn(command).map_err(failed)?, log })
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until it lets this account in and answers it.
    pub fn wait_ready(&self, account: &Account) -> Result<(), Fault> {
        let deadline = Instant::now() + DOOR_WAIT;
        loop {
            let answer = Client::connect(account).and_then(|mut client| client.query("SELECT 1"));
            let Err(error) = answer else {
                return Ok(());
            };
            if let Some(status) = self.child.ended() {
                return Err(self.failed(&format!("ended at once ({status})")));
            }
            if Instant::now() >= deadline {
                return Err(self.failed(&format!("serves nobody: {error}")));
            }
            thread::sleep(LOOK_PAUSE);
        }
    }

    /// Its end is a fault, with the last lines of its log.
    pub fn check(&self) -> Result<(), Fault> {
        match self.child.ended() {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended ({status})"))),
        }
    }

    fn failed(&self, what: &str) -> Fault {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        Fault::Program(format!("{} {what}\n{}", self.name, last.join("\n")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.stop(STOP_WAIT);
    }
}

const LOG_LINES_SHOWN: usize = 12;
