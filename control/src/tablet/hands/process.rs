//! The process: which one the server is, proven while it is well, so that it can be killed when it no longer answers.
//!
//! Invariant: a signal goes only to a process that was proven to be this server, and that is still the same one: a pid is
//! another's after the process has ended, its start time is not. Proven means: it is called `mysqld`, and it holds the socket
//! that is listening at the server's address on this machine. Everything else is no proof, and nothing is killed.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;
use weir_core::snapshot::Address;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pid: i32,
    /// Clock ticks from the machine's start to the process's.
    started: u64,
}

impl Identity {
    /// Err: why it is not known. `pid_file`: what the server says where its pid stands.
    pub async fn prove(server: &Address, pid_file: &Path) -> Result<Identity, String> {
        let pid = match server {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                let peer = stream.peer_cred().map_err(|error| error.to_string())?;
                peer.pid().ok_or("the kernel does not tell who listens at its socket")?
            }
            Address::Tcp(address) => {
                let text = fs::read_to_string(pid_file).map_err(|error| format!("{}: {error}", pid_file.display()))?;
                let pid = text.trim().parse().map_err(|_| format!("{} holds no pid", pid_file.display()))?;
                holds_listener(pid, *address)?;
                pid
            }
        };
        let (name, started) = stat(pid)?;
        match name.as_str() {
            NAME => Ok(Identity { pid, started }),
            _ => Err(format!("process {pid} is '{name}', not {NAME}")),
        }
    }

    pub fn pid(self) -> i32 {
        self.pid
    }

    /// SIGKILL, and waits until it is gone. Gone already is gone.
    pub async fn kill(self, limit: Duration) -> Result<(), String> {
        let Some(handle) = self.open()? else { return Ok(()) };
        // SAFETY: the descriptor is ours and open; the call takes no memory of ours.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), libc::SIGKILL, 0, 0) };
        if sent != 0 {
            let error = std::io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(()),
                _ => {
                    Err(format!("process {} cannot be killed: {error}; run the tablet as the server's user", self.pid))
                }
            };
        }
        let deadline = Instant::now() + limit;
        while !self.is_gone() {
            if Instant::now() >= deadline {
                return Err(format!("process {} was killed and is not gone yet", self.pid));
            }
            tokio::time::sleep(GONE_PAUSE).await;
        }
        Ok(())
    }

    /// Its sockets are closed then, also when nobody has reaped it yet.
    pub fn is_gone(self) -> bool {
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => {
                read_stat(&text).is_none_or(|(_, state, started)| started != self.started || matches!(state, 'Z' | 'X'))
            }
            Err(_) => true,
        }
    }

    /// A handle of this very process: the pid may be another's tomorrow, the handle not. None: it is gone.
    fn open(self) -> Result<Option<OwnedFd>, String> {
        // SAFETY: pidfd_open takes two numbers and gives a new descriptor, or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if fd < 0 {
            let error = std::io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(None),
                _ => Err(format!("process {} cannot be reached: {error}", self.pid)),
            };
        }
        // SAFETY: it was just given to us, and nobody else has it.
        let handle = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // After it was opened: were it another's by now, its start would be.
        Ok((!self.is_gone()).then_some(handle))
    }
}

/// Err: the process does not listen at this address of this machine, or we may not see it.
fn holds_listener(pid: i32, address: SocketAddr) -> Result<(), String> {
    if UdpSocket::bind((address.ip(), 0)).is_err() {
        return Err(format!("{} is not on this machine", address.ip()));
    }
    let table = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    let listeners = [listeners(&table("tcp"), address.port()), listeners(&table("tcp6"), address.port())].concat();
    let folder = format!("/proc/{pid}/fd");
    let open =
        fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}; run the tablet as the server's user"))?;
    let is_listener = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).unwrap_or_default();
        listeners.iter().any(|inode| link.as_os_str() == format!("socket:[{inode}]").as_str())
    };
    match open.flatten().any(is_listener) {
        true => Ok(()),
        false => Err(format!("process {pid} does not listen at port {}", address.port())),
    }
}

/// Inodes of the sockets that listen at a port: column 10 of `/proc/net/tcp`, state 0A.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = columns.as_slice()
            && local.rsplit_once(':').is_some_and(|(_, text)| u16::from_str_radix(text, 16) == Ok(port))
        {
            found.push(inode.to_string());
        }
    }
    found
}

fn stat(pid: i32) -> Result<(String, u64), String> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let (name, _, started) = read_stat(&text).ok_or_else(|| format!("{path} has another form"))?;
    Ok((name, started))
}

/// Name, state and start. The name stands in parentheses and may hold some itself (proc_pid_stat(5)).
fn read_stat(text: &str) -> Option<(String, char, u64)> {
    let (front, rest) = text.rsplit_once(')')?;
    let name = front.split_once('(')?.1.to_string();
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22; the state is field 3.
    Some((name, state, fields.nth(18)?.parse().ok()?))
}

const NAME: &str = "mysqld";

const GONE_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::child::Child;
    use std::process::Command;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let text = "7 (my (s)qld) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 40 0 12345 99 1 18446744073709551615 0";
        assert_eq!(read_stat(text), Some(("my (s)qld".to_string(), 'S', 12_345)));
        assert_eq!(read_stat("7 (x) S 1"), None);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:0CEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
            2: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        assert_eq!(listeners(table, 3306), ["4711"]);
        assert!(listeners("", 3306).is_empty());
    }

    #[tokio::test]
    async fn only_the_very_process_is_killed() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec sleep 100"]);
        let child = Child::spawn(command).unwrap();
        let pid = child.pid() as i32;
        let (_, started) = stat(pid).unwrap();
        // Another one of this pid, from before: gone, and so is nothing done.
        Identity { pid, started: started - 1 }.kill(Duration::ZERO).await.unwrap();
        assert!(child.ended().is_none());
        let identity = Identity { pid, started };
        assert!(!identity.is_gone());
        identity.kill(Duration::from_secs(5)).await.unwrap();
        // Nobody has reaped it yet, and it is gone all the same.
        assert!(identity.is_gone());
        identity.kill(Duration::ZERO).await.unwrap();
        assert!(child.ended().is_some());
    }

    #[tokio::test]
    async fn what_is_no_mysqld_at_the_address_is_no_proof() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = std::env::temp_dir().join(format!("weir-pid-{}", std::process::id()));
        let check = async |text: &str, address: SocketAddr, expected: &str| {
            fs::write(&path, text).unwrap();
            let why = Identity::prove(&Address::Tcp(address), &path).await.unwrap_err();
            assert!(why.contains(expected), "{why}, not {expected}");
        };
        // This process listens there, and has another name.
        check(&std::process::id().to_string(), address, "not mysqld").await;
        check("1\n", address, "1").await;
        check("none", address, "holds no pid").await;
        check(&std::process::id().to_string(), "127.0.0.1:1".parse().unwrap(), "does not listen at port 1").await;
        check(&std::process::id().to_string(), "192.0.2.1:3306".parse().unwrap(), "is not on this machine").await;
        fs::remove_file(&path).unwrap();
    }
}
