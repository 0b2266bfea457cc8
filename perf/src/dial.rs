//! Connections that are begun without waiting for them, from a source address of one's choice.
//!
//! Invariant: an error of the connection itself comes from the first read, as the socket does not block.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Begins to connect. With a source, the port is still chosen when the target is known, so that a port can serve for
/// several targets at once.
pub fn begin(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let family = match target {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: socket takes numbers and gives a new descriptor or -1.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if let Some(source) = source {
        let on: libc::c_int = 1;
        // SAFETY: the option's value is a number that lives through the call.
        let set = unsafe {
            let (at, len) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
            libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, at, len)
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        let name = Name::of(SocketAddr::new(IpAddr::V4(source), 0));
        // SAFETY: the name is an address of this length and lives through the call.
        if unsafe { libc::bind(socket.as_raw_fd(), name.at(), name.len()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let name = Name::of(target);
    // SAFETY: the name is an address of this length and lives through the call.
    if unsafe { libc::connect(socket.as_raw_fd(), name.at(), name.len()) } != 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINPROGRESS) {
            return Err(error);
        }
    }
    Ok(TcpStream::from(socket))
}

/// An address as the kernel reads it.
enum Name {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Name {
    fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }

    fn at(&self) -> *const libc::sockaddr {
        match self {
            Self::V4(name) => std::ptr::from_ref(name).cast(),
            Self::V6(name) => std::ptr::from_ref(name).cast(),
        }
    }

    fn len(&self) -> libc::socklen_t {
        (match self {
            Self::V4(name) => size_of_val(name),
            Self::V6(name) => size_of_val(name),
        }) as libc::socklen_t
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn from_any_address_of_the_loopback() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        for (source, expected) in [(None, "127.0.0.1"), (Some(Ipv4Addr::new(127, 0, 0, 7)), "127.0.0.7")] {
            let _stream = begin(target, source).unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), expected);
        }
    }

    #[test]
    fn nobody_there_is_told_by_the_first_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        // The loopback refuses at once, which either call may be the one to tell.
        let told = begin(target, None).and_then(|mut stream| {
            stream.set_nonblocking(false)?;
            stream.read(&mut [0; 1])
        });
        assert!(told.is_err());
    }

    #[test]
    fn of_the_other_family() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            // A machine without it.
            return;
        };
        let _stream = begin(listener.local_addr().unwrap(), None).unwrap();
        assert!(listener.accept().unwrap().1.is_ipv6());
    }
}
