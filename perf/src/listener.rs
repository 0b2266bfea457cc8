//! A listening socket that does not block, with the backlog of a server that many come to at once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use crate::limits::BACKLOG_MAX;

pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // SAFETY: listen has no effects on memory. Called again, it only sets the backlog, which the library lets nobody
    // choose.
    if unsafe { libc::listen(listener.as_raw_fd(), BACKLOG_MAX) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Duration;

    #[test]
    fn more_than_the_librarys_backlog_may_wait() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let second = Duration::from_millis(900);
        let waiting: Result<Vec<TcpStream>, _> =
            (0..200).map(|_| TcpStream::connect_timeout(&address, second)).collect();
        assert_eq!(waiting.unwrap().len(), 200);
    }
}
