//! Words to the service manager: what state this process is in, as sd_notify(3) has them.
//!
//! A datagram to the socket that `$NOTIFY_SOCKET` names; without that variable nobody asked. The protocol is those lines and the
//! socket alone, so that no library is needed. Nothing here fails: a manager that can't be told must not stop a gate.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// It serves.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}"));
}

/// It reads its configuration again; [`ready`] ends that.
pub fn reloading() {
    // Beside it the manager wants the time, by which it tells this reload's end from an earlier one's.
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
}

/// Another process is the service from now on.
pub fn main_process(pid: u32) {
    tell(&format!("MAINPID={pid}"));
}

/// It drains and ends.
pub fn stopping() {
    tell("STOPPING=1");
}

fn tell(words: &str) {
    if let Ok(socket) = std::env::var(VARIABLE)
        && let Err(error) = tell_at(&socket, words)
    {
        tracing::debug!(event = "notify_failed", socket, %error);
    }
}

/// A path, or a name in the abstract space behind an '@'.
fn tell_at(socket: &str, words: &str) -> std::io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(words.as_bytes(), &address).map(drop)
}

fn monotonic_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

const VARIABLE: &str = "NOTIFY_SOCKET";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_both_kinds_of_sockets() {
        let name = format!("weir-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (manager, socket) in [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
        ] {
            tell_at(&socket, "READY=1\nSTATUS=here").unwrap();
            let mut bytes = [0; 64];
            let len = manager.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], b"READY=1\nSTATUS=here");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(tell_at(&path.display().to_string(), "READY=1").is_err());
        assert!(monotonic_us() > 0);
    }
}
