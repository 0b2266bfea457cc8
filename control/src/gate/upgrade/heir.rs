//! The heir: the next gate, as the running one sees it, from its start until it serves.
//!
//! Invariant: one that does not come to serve, or is dead when its word is heard, is ended, and has changed nothing.

use super::line::{Line, Patience, SOCKETS_MAX};
use super::{RELAYS, START_LIMIT, VARIABLE, WORDS_VERSION};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout_at};
use weir_core::drive::Inherited;

use crate::config::address;

/// How this process was started, so that another one can be.
#[derive(Clone, Debug)]
pub struct Program {
    /// As it was at the start: later there may be another file at that path, which is the point.
    path: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// Call it early: once the file is replaced, the kernel tells another name.
    pub fn of_this_process() -> io::Result<Program> {
        Ok(Program { path: std::env::current_exe()?, args: std::env::args_os().skip(1).collect() })
    }
}

/// What the next gate gets. Addresses are as configured: a port 0 stays 0.
pub struct Sockets<'a> {
    pub clients: &'a [Inherited],
    pub admin: Option<(String, BorrowedFd<'a>)>,
    pub grpc: Option<(String, BorrowedFd<'a>)>,
    /// How ids of connections of gates before it begin.
    pub tags: &'a [u8],
    /// Lines to processes before this one, which relay kills.
    pub kin: Vec<BorrowedFd<'a>>,
}

pub struct Heir {
    child: Child,
    line: Arc<AsyncFd<Line>>,
    until: Instant,
    /// It answers questions about its clients.
    relays: bool,
    /// Addresses of clients that it listens on with our sockets.
    holds: Vec<String>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It serves.
    Ready,
    /// It will not; why.
    Failed(String),
}

impl Heir {
    /// `start_ms_max`: of the configuration, which the next one's may differ from.
    pub fn start(program: &Program, sockets: &Sockets<'_>, start_ms_max: u64) -> io::Result<Heir> {
        let (line, theirs) = Line::pair()?;
        let mut command = Command::new(&program.path);
        command.args(&program.args).env(VARIABLE, WORDS_VERSION).stdin(Stdio::from(theirs));
        let mut child = command.spawn()?;
        drop(command);
        match hand_over(&line, sockets) {
            // Whoever ends at once has not read all of it: `heard` tells.
            Err(error) if !is_end(&error) => {
                end(&mut child);
                return Err(error);
            }
            _ => {}
        }
        let line = Arc::new(line.polled()?);
        let until = Instant::now() + Duration::from_millis(start_ms_max) + START_LIMIT;
        Ok(Heir { child, line, until, relays: false, holds: Vec::new() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its word, within its time. Cancelling it loses nothing.
    pub async fn heard(&mut self) -> Heard {
        loop {
            let Ok(ready) = timeout_at(self.until, self.line.readable()).await else {
                return Heard::Failed("it does not serve in time".to_string());
            };
            let Ok(mut ready) = ready else { return Heard::Failed("its line broke".to_string()) };
            match ready.get_inner().receive(Patience::None) {
                Ok(Some(message)) => match message.text.split_once(' ') {
                    None if message.text == "ready" => return self.is_there().await,
                    None if message.text == RELAYS => self.relays = true,
                    Some(("holds", address)) => self.holds.push(address.to_string()),
                    Some(("failed", why)) => return Heard::Failed(why.to_string()),
                    // A word of a newer version.
                    _ => {}
                },
                Ok(None) => return Heard::Failed(self.last_words().await),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if is_end(&error) => return Heard::Failed(self.last_words().await),
                Err(error) => return Heard::Failed(format!("its line broke ({error})")),
            }
        }
    }

    /// It has said that it is ready: is it still?
    async fn is_there(&mut self) -> Heard {
        let is_silent = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        match (self.child.try_wait(), self.line.get_ref().receive(Patience::None)) {
            (Ok(None), Err(error)) if is_silent(&error) => Heard::Ready,
            (Ok(None), Ok(Some(_))) => Heard::Ready,
            _ => Heard::Failed(self.last_words().await),
        }
    }

    async fn last_words(&mut self) -> String {
        for _ in 0..END_LOOKS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("it ended before it served ({status}); what it logged says why");
            }
            sleep(END_PAUSE).await;
        }
        "it closed its line before it served".to_string()
    }

    /// It has the clients from here on.
    pub fn give_way(&self) -> io::Result<()> {
        self.line.get_ref().send("yours", &[])
    }

    /// For what is said after the hand-over.
    pub fn line(&self) -> (Arc<AsyncFd<Line>>, bool) {
        (self.line.clone(), self.relays)
    }

    /// It listens wherever this gate does, so that our sockets are of use to nobody else.
    pub fn holds_all(&self, clients: &[Inherited]) -> bool {
        clients.iter().all(|one| self.holds.contains(&address::show_listen(&one.address)))
    }

    /// It is not to serve.
    pub fn end(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// The other side is gone.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

pub(super) fn hand_over(line: &Line, sockets: &Sockets<'_>) -> io::Result<()> {
    let mut by_address: BTreeMap<String, Vec<BorrowedFd<'_>>> = BTreeMap::new();
    for Inherited { address, socket } in sockets.clients {
        by_address.entry(address::show_listen(address)).or_default().push(socket.as_fd());
    }
    for (address, fds) in &by_address {
        for some in fds.chunks(SOCKETS_MAX) {
            line.send(&format!("listen {address}"), some)?;
        }
    }
    for (what, socket) in [("admin", &sockets.admin), ("grpc", &sockets.grpc)] {
        if let Some((address, socket)) = socket {
            line.send(&format!("{what} {address}"), &[*socket])?;
        }
    }
    let tags: Vec<String> = sockets.tags.iter().map(u8::to_string).collect();
    line.send(&format!("tags {}", tags.join(" ")), &[])?;
    for some in sockets.kin.chunks(SOCKETS_MAX) {
        line.send("kin", some)?;
    }
    line.send(RELAYS, &[])?;
    line.send("end", &[])
}

/// After the line has ended, how often and with what pause it is looked whether the process has.
const END_LOOKS: u32 = 100;
const END_PAUSE: Duration = Duration::from_millis(10);
