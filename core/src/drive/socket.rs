//! Sockets as the kernel wants them: addresses, options, what an errno means. Nothing here waits.

use crate::drive::world::{DialFault, Peer};
use crate::snapshot::Address;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// An address in the kernel's form, with room for each family.
pub struct KernelAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl KernelAddress {
    pub fn of(address: &Address) -> io::Result<KernelAddress> {
        match address {
            Address::Tcp(address) => Ok(KernelAddress::tcp(*address)),
            Address::Unix(path) => KernelAddress::unix(path),
        }
    }

    pub fn tcp(address: SocketAddr) -> KernelAddress {
        let mut kernel = KernelAddress::empty();
        match address {
            SocketAddr::V4(v4) => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as _,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage has the size and alignment of every sockaddr.
                unsafe { (&raw mut kernel.storage).cast::<libc::sockaddr_in>().write(name) };
                kernel.len = size_of::<libc::sockaddr_in>() as _;
            }
            SocketAddr::V6(v6) => {
                let name = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as _,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut kernel.storage).cast::<libc::sockaddr_in6>().write(name) };
                kernel.len = size_of::<libc::sockaddr_in6>() as _;
            }
        }
        kernel
    }

    pub fn unix(path: &Path) -> io::Result<KernelAddress> {
        let mut kernel = KernelAddress::empty();
        let bytes = path.as_os_str().as_bytes();
        // SAFETY: the storage has the size and alignment of every sockaddr, and all zeroes is a valid one.
        let name = unsafe { &mut *(&raw mut kernel.storage).cast::<libc::sockaddr_un>() };
        if bytes.is_empty() || bytes.len() >= name.sun_path.len() || bytes.contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket's path has 1 to 107 bytes"));
        }
        name.sun_family = libc::AF_UNIX as _;
        for (to, from) in name.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        kernel.len = size_of::<libc::sockaddr_un>() as _;
        Ok(kernel)
    }

    fn empty() -> KernelAddress {
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let storage = unsafe { zeroed() };
        KernelAddress { storage, len: size_of::<libc::sockaddr_storage>() as _ }
    }

    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub fn len(&self) -> libc::socklen_t {
        self.len
    }

    pub fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// None for a Unix socket's name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says that it is one.
                let name = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(name.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that it is one.
                let name = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
                let port = u16::from_be(name.sin6_port);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, name.sin6_flowinfo, name.sin6_scope_id)))
            }
            _ => None,
        }
    }
}

/// A stream socket. It blocks: in a ring, a socket with O_NONBLOCK would answer EAGAIN instead of waiting.
pub fn stream(family: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if family != libc::AF_UNIX {
        make_prompt(&socket)?;
    }
    Ok(socket)
}

/// One that will be connected to a backend.
pub fn to_backend(family: i32) -> io::Result<OwnedFd> {
    let socket = stream(family)?;
    if family != libc::AF_UNIX {
        make_impatient(&socket)?;
    }
    Ok(socket)
}

/// No delay for small packets, and a peer that has vanished without a word is noticed within two minutes (the kernel's
/// default is two hours). All of it is inherited by what a listener accepts, so a client costs no call for it.
fn make_prompt(socket: &OwnedFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_IDLE_S)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, KEEPALIVE_PAUSE_S)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEPALIVE_PROBES)
}

/// To a backend the kernel sends again every second at least, so that a way that was mended is found at once, and gives up a machine
/// that acknowledges nothing after some 14 s. By default it waits ever longer, up to two minutes, and a quarter of an hour in all.
/// `TCP_USER_TIMEOUT` would not do: it also ends connections to a server that is there and reads nothing for a while, as in a
/// LOAD DATA that waits for a lock.
fn make_impatient(socket: &OwnedFd) -> io::Result<()> {
    match set_option(socket, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, RESEND_PAUSE_MS) {
        // Linux before 6.15.
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
        outcome => outcome?,
    }
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, BACKEND_IDLE_S)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, BACKEND_PAUSE_S)
}

pub fn set_option(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: a live integer of the size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Who is at the other end. Fails when the peer has gone already.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut name = KernelAddress::empty();
    // SAFETY: storage of the length given.
    let result = unsafe { libc::getpeername(socket.as_raw_fd(), (&raw mut name.storage).cast(), &raw mut name.len) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(name.socket_addr().map_or(Peer::Unix, Peer::Tcp))
}

pub fn local_address(socket: &OwnedFd) -> io::Result<Option<SocketAddr>> {
    let mut name = KernelAddress::empty();
    // SAFETY: storage of the length given.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut name.storage).cast(), &raw mut name.len) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(name.socket_addr())
}

/// Ends both directions: a send that waits for room fails, a receive that waits for bytes ends.
pub fn shut_down(socket: BorrowedFd<'_>) {
    // SAFETY: no pointers. It fails when the peer was faster, which is as good.
    let _ = unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

pub fn dial_fault(errno: i32) -> DialFault {
    match errno {
        // A Unix socket without a file or without a listener is a refusal too.
        libc::ECONNREFUSED | libc::ENOENT | libc::ECONNRESET => DialFault::Refused,
        libc::ETIMEDOUT => DialFault::TimedOut,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => DialFault::Unreachable,
        _ => DialFault::Other,
    }
}

/// Silence before a peer is probed, the pause between probes (both in seconds), and how many go unanswered.
const KEEPALIVE_IDLE_S: i32 = 60;
const KEEPALIVE_PAUSE_S: i32 = 15;
const KEEPALIVE_PROBES: i32 = 4;

/// The number from the kernel's headers, which libc does not have yet.
const TCP_RTO_MAX_MS: i32 = 44;
/// The longest pause between two attempts, in ms: the least that the kernel takes.
const RESEND_PAUSE_MS: i32 = 1_000;
/// When a backend that says nothing is probed, and how often, in seconds: one that vanished without a word while a statement ran
/// is noticed after 25 s.
const BACKEND_IDLE_S: i32 = 5;
const BACKEND_PAUSE_S: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in ["127.0.0.1:3306", "[::1]:1", "[fe80::1%3]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(KernelAddress::tcp(address).socket_addr(), Some(address));
        }
        let unix = KernelAddress::unix(Path::new("/run/weir.sock")).unwrap();
        assert_eq!((unix.family(), unix.socket_addr()), (libc::AF_UNIX, None));
        assert!(KernelAddress::unix(Path::new(&"x".repeat(108))).is_err());
        assert!(KernelAddress::unix(Path::new("")).is_err());
    }
}
