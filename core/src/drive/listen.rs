//! Listeners: where clients come in. Each core has its own socket on a TCP address; a Unix path has one, on core 0.
//!
//! A gate that takes over from another one takes its sockets, with everybody who waits in their queues. With as many cores as there,
//! each gets one; what is missing is opened beside them, what is too much is shared out.
//!
//! With `SO_REUSEPORT` the kernel deals connections to the cores' sockets, so that accepting needs no lock; what it deals
//! unevenly, [`crate::drive::spread`] evens out.

use crate::drive::error::StartError;
use crate::drive::socket::{self, KernelAddress};
use crate::drive::world::ListenerId;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Port 0: the kernel chooses one, the same for all cores.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A listener of the gate before this one, or of this one for the next.
#[derive(Debug)]
pub struct Inherited {
    /// As configured: port 0 stays 0.
    pub address: ListenAddress,
    pub socket: OwnedFd,
}

/// Everything that is listened on, before the cores take it.
pub struct Listeners {
    /// As bound: with the port that the kernel chose.
    pub addresses: Vec<ListenAddress>,
    /// Per core, with the address that each listens on.
    pub sockets: Vec<Vec<(ListenerId, OwnedFd)>>,
    /// All of them once more, for the next gate.
    pub shared: Vec<Inherited>,
}

impl Listeners {
    /// `inherited` are used where their address is listened on, the others are closed.
    pub fn bind(
        addresses: &[ListenAddress],
        cores: usize,
        backlog: i32,
        inherited: Vec<Inherited>,
    ) -> Result<Listeners, StartError> {
        let mut listeners = Listeners { addresses: Vec::new(), sockets: Vec::new(), shared: Vec::new() };
        let mut inherited: Vec<Option<Inherited>> = inherited.into_iter().map(Some).collect();
        listeners.sockets.resize_with(cores, Vec::new);
        for address in addresses {
            let failed = |error: io::Error| match error.raw_os_error() {
                Some(libc::EADDRINUSE) => StartError::PortTaken { address: address.clone() },
                _ => StartError::Listen { address: address.clone(), error },
            };
            let is_ours = |one: &mut Option<Inherited>| one.take_if(|one| one.address == *address);
            let taken = inherited.iter_mut().filter_map(is_ours).map(|one| one.socket).collect();
            match address {
                ListenAddress::Tcp(at) => listeners.bind_tcp(*at, backlog, taken).map_err(failed)?,
                ListenAddress::Unix(path) => listeners.bind_unix(path, backlog, taken).map_err(failed)?,
            }
        }
        Ok(listeners)
    }

    fn bind_tcp(&mut self, address: SocketAddr, backlog: i32, taken: Vec<OwnedFd>) -> io::Result<()> {
        let configured = ListenAddress::Tcp(address);
        let mut address = address;
        let mut taken = taken.into_iter();
        for core in 0..self.sockets.len() {
            let listener = match taken.next() {
                Some(listener) => listener,
                None => open_tcp(address, backlog)?,
            };
            address = socket::local_address(&listener)?.unwrap_or(address);
            self.put(core, &configured, listener)?;
        }
        for (at, listener) in taken.enumerate() {
            self.put(at % self.sockets.len(), &configured, listener)?;
        }
        self.addresses.push(ListenAddress::Tcp(address));
        Ok(())
    }

    fn bind_unix(&mut self, path: &Path, backlog: i32, taken: Vec<OwnedFd>) -> io::Result<()> {
        let listener = match taken.into_iter().next() {
            Some(listener) => listener,
            None => open_unix(path, backlog)?,
        };
        self.put(0, &ListenAddress::Unix(path.to_path_buf()), listener)?;
        self.addresses.push(ListenAddress::Unix(path.to_path_buf()));
        Ok(())
    }

    /// Of the address that is being bound: its place among those that were named.
    fn next_id(&self) -> ListenerId {
        ListenerId(u16::try_from(self.addresses.len()).expect("far fewer addresses than numbers"))
    }

    fn put(&mut self, core: usize, configured: &ListenAddress, listener: OwnedFd) -> io::Result<()> {
        self.shared.push(Inherited { address: configured.clone(), socket: listener.try_clone()? });
        let id = self.next_id();
        self.sockets[core].push((id, listener));
        Ok(())
    }
}

fn open_tcp(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let name = KernelAddress::tcp(address);
    let listener = socket::stream(name.family())?;
    socket::set_option(&listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    socket::set_option(&listener, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    bind(&listener, &name, backlog)?;
    Ok(listener)
}

fn open_unix(path: &Path, backlog: i32) -> io::Result<OwnedFd> {
    let name = KernelAddress::unix(path)?;
    remove_left_over(path)?;
    let listener = socket::stream(libc::AF_UNIX)?;
    bind(&listener, &name, backlog)?;
    // As mysqld does: whoever can reach the directory may try to log in; passwords decide.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    Ok(listener)
}

/// Removes the file of a listener that has gone without removing it. One that still answers stays, and so does anything
/// that is no socket: then binding fails.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_dead = || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if metadata.file_type().is_socket() && is_dead() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn bind(listener: &OwnedFd, name: &KernelAddress, backlog: i32) -> io::Result<()> {
    // SAFETY: a live address of the length given.
    if unsafe { libc::bind(listener.as_raw_fd(), name.as_ptr(), name.len()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no pointers.
    if unsafe { libc::listen(listener.as_raw_fd(), backlog) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn option(socket: &TcpStream, level: i32, option: i32) -> i32 {
        let (mut value, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
        let at = (&raw mut value).cast();
        // SAFETY: a live integer of the size given.
        let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, at, &raw mut len) };
        assert_eq!(result, 0);
        value
    }

    #[test]
    fn an_accepted_client_has_the_listeners_options() {
        let any = ListenAddress::Tcp("[::1]:0".parse().unwrap());
        let mut listeners = Listeners::bind(&[any], 1, 16, Vec::new()).unwrap();
        let ListenAddress::Tcp(address) = listeners.addresses[0] else { unreachable!() };
        let listener = TcpListener::from(listeners.sockets[0].pop().unwrap().1);
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_ne!(option(&accepted, libc::IPPROTO_TCP, libc::TCP_NODELAY), 0);
        assert_ne!(option(&accepted, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    }

    #[test]
    fn all_cores_share_one_port_and_nobody_else_gets_it() {
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let listeners = Listeners::bind(&[any], 3, 16, Vec::new()).unwrap();
        let ListenAddress::Tcp(address) = listeners.addresses[0] else { unreachable!() };
        for sockets in &listeners.sockets {
            assert_eq!(socket::local_address(&sockets[0].1).unwrap(), Some(address));
        }
        assert!(TcpListener::bind(address).is_err());
    }

    /// A client that has connected before the next gate is there is served by it, and the sockets of fewer or more cores do.
    #[test]
    fn queues_are_inherited_whatever_the_number_of_cores() {
        let any = [ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())];
        for (before, after) in [(2, 2), (2, 1), (1, 3)] {
            let old = Listeners::bind(&any, before, 16, Vec::new()).unwrap();
            let ListenAddress::Tcp(address) = old.addresses[0] else { unreachable!() };
            let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
            let new = Listeners::bind(&any, after, 16, old.shared).unwrap();
            assert_eq!((&new.addresses, new.shared.len()), (&old.addresses, before.max(after)));
            drop(old.sockets);
            let mut served = 0;
            for (_, socket) in new.sockets.into_iter().flatten() {
                let listener = TcpListener::from(socket);
                listener.set_nonblocking(true).unwrap();
                served += listener.incoming().map_while(Result::ok).count();
            }
            assert_eq!(served, clients.len(), "{before} to {after} cores");
        }
    }

    /// A gate that takes over may name its addresses in another order, and more of them: each socket is the one of its address.
    #[test]
    fn an_inherited_socket_has_the_number_of_its_address() {
        let free = |last: u8| ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, last], 0)));
        let bound = |listeners: &Listeners, address: &ListenAddress| {
            let at = listeners.addresses.iter().position(|one| one == address).unwrap();
            let ids = listeners.sockets.iter().flatten().filter_map(|(id, socket)| {
                let local = socket::local_address(socket).unwrap().map(ListenAddress::Tcp);
                (local.as_ref() == Some(address)).then_some(*id)
            });
            let ids: Vec<ListenerId> = ids.collect();
            assert!(!ids.is_empty() && ids.iter().all(|id| usize::from(id.0) == at), "{ids:?}, not {at}");
        };
        let old = Listeners::bind(&[free(1), free(2)], 2, 16, Vec::new()).unwrap();
        let before = old.addresses.clone();
        before.iter().for_each(|address| bound(&old, address));
        let new = Listeners::bind(&[free(3), free(2), free(1)], 3, 16, old.shared).unwrap();
        assert_eq!((&new.addresses[1], &new.addresses[2]), (&before[1], &before[0]));
        new.addresses.iter().for_each(|address| bound(&new, address));
    }

    #[test]
    fn a_living_listener_and_other_files_are_not_removed() {
        let path = std::env::temp_dir().join(format!("weir-listen-{}", std::process::id()));
        let address = [ListenAddress::Unix(path.clone())];
        std::fs::write(&path, "something precious").unwrap();
        assert!(matches!(Listeners::bind(&address, 1, 16, Vec::new()), Err(StartError::PortTaken { .. })));
        std::fs::remove_file(&path).unwrap();
        let alive = Listeners::bind(&address, 2, 16, Vec::new()).unwrap();
        assert_eq!((alive.sockets[0].len(), alive.sockets[1].len()), (1, 0));
        assert!(matches!(Listeners::bind(&address, 1, 16, Vec::new()), Err(StartError::PortTaken { .. })));
        drop(alive);
        Listeners::bind(&address, 1, 16, Vec::new()).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
