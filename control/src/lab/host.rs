//! `Host`: a machine of its own as far as the network goes: a network namespace with one address.
//!
//! Invariant: a namespace has no name and no file. It lives as long as somebody holds it open or a process runs in it, so
//! nothing of it is left when we are gone, also after kill -9. Files, and with them Unix sockets, are those of this machine.
//!
//! It knows nothing of cables: whoever makes hosts connects them.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;

#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub address: Ipv4Addr,
    namespace: Arc<File>,
}

impl Host {
    /// A host without any network yet; `address` is what it will have. `PermissionDenied`: namespaces are not allowed here.
    pub fn create(name: &str, address: Ipv4Addr) -> io::Result<Host> {
        // A namespace belongs to a thread; what it was made for is to be held open here.
        let made = thread::spawn(|| {
            unshare(libc::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let namespace = made.join().map_err(|_| io::Error::other("the thread that makes a namespace fell"))??;
        Ok(Host { name: name.to_owned(), address, namespace: Arc::new(namespace) })
    }

    /// Has a command run on this host.
    pub fn enter(&self, command: &mut Command) {
        let namespace = self.namespace.clone();
        // SAFETY: between fork and exec only setns is called, which is async-signal-safe; the error carries no heap.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
    }

    /// For programs that want a namespace by its path, as long as this process lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd()))
    }
}

/// Has a command run in a fresh network namespace of which it is root, without being root if need be.
pub fn enter_fresh(command: &mut Command) {
    // SAFETY: geteuid and getegid only return numbers.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {user} 1")),
        (c"/proc/self/gid_map", format!("0 {group} 1")),
    ];
    // SAFETY: between fork and exec only async-signal-safe calls are made (unshare, open, write, close), on memory that
    // was made before; errors carry no heap.
    unsafe {
        command.pre_exec(move || {
            if user == 0 && unshare(libc::CLONE_NEWNET).is_ok() {
                return Ok(());
            }
            unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
            maps.iter().try_for_each(|(path, text)| write(path, text))
        });
    }
}

fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: unshare takes a number and changes this thread's view of the kernel alone.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// In one write, as the files below /proc want it.
fn write(path: &std::ffi::CStr, text: &str) -> io::Result<()> {
    // SAFETY: the path ends with NUL, the text is as long as is said, and the file is closed once.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(file, text.as_ptr().cast(), text.len());
        let error = io::Error::last_os_error();
        libc::close(file);
        if written == text.len() as isize { Ok(()) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{child, limits};
    use super::*;

    /// A fresh namespace has a loopback and nothing else, and its user is root there.
    #[test]
    fn a_fresh_namespace_is_empty_and_ours() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "id -u; grep -c : /proc/net/dev"]);
        enter_fresh(&mut command);
        let output = child::output(command, b"", limits::STOP_WAIT).expect("namespaces are allowed");
        assert_eq!(output.stdout, "0\n1\n", "{}", output.stderr);
    }
}
