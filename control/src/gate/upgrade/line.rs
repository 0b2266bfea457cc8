//! The line between two gates: whole messages of text, each with some descriptors.
//!
//! Invariant: a message is there whole or not at all (SOCK_SEQPACKET), and descriptors that come are closed on exec.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub struct Line {
    socket: OwnedFd,
}

/// A word and what came with it.
#[derive(Debug)]
pub struct Message {
    pub text: String,
    pub sockets: Vec<OwnedFd>,
}

impl Line {
    /// Our end, and the other's.
    pub fn pair() -> io::Result<(Line, OwnedFd)> {
        let mut ends: [RawFd; 2] = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: room for two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        let [ours, theirs] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok((Line { socket: ours }, theirs))
    }

    pub fn new(socket: OwnedFd) -> Line {
        Line { socket }
    }

    /// For who waits for words beside other things.
    pub fn polled(self) -> io::Result<AsyncFd<Line>> {
        // SAFETY: the line owns its socket, which never changes and is closed when the line is dropped.
        let polled = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        polled.map_err(io::Error::from)
    }

    /// A receive that waits longer fails.
    pub fn set_limit(&self, limit: Duration) -> io::Result<()> {
        socket2::SockRef::from(&self.socket).set_read_timeout(Some(limit))
    }

    /// At most [`SOCKETS_MAX`] sockets. Fails rather than waits when the other does not read.
    pub fn send(&self, text: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(sockets.len() <= SOCKETS_MAX, "more than a message holds");
        let fds: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let mut control = Control::default();
        let mut piece = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
        let mut header = header(&mut piece);
        if !fds.is_empty() {
            let bytes = size_of::<RawFd>() * fds.len();
            header.msg_control = control.0.as_mut_ptr().cast();
            // SAFETY: arithmetic only.
            header.msg_controllen = unsafe { libc::CMSG_SPACE(bytes as u32) } as _;
            // SAFETY: the control buffer is aligned and holds SOCKETS_MAX descriptors; fds has `bytes` bytes.
            unsafe {
                let first = libc::CMSG_FIRSTHDR(&raw const header);
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
                std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(first), bytes);
            }
        }
        // SAFETY: header, text and control buffer live through the call.
        let sent = unsafe {
            libc::sendmsg(self.socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// None: the other end is closed.
    pub fn receive(&self, patience: Patience) -> io::Result<Option<Message>> {
        let mut text = vec![0; TEXT_BYTES_MAX];
        let mut control = Control::default();
        let mut piece = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
        let mut header = header(&mut piece);
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>() as _;
        let flags = match patience {
            Patience::Waits => libc::MSG_CMSG_CLOEXEC,
            Patience::None => libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT,
        };
        // SAFETY: header, text and control buffer live through the call and have the lengths that are given.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, flags) };
        if received < 0 {
            return Err(io::Error::last_os_error());
        }
        let sockets = taken(&header);
        if received == 0 {
            return Ok(None);
        }
        if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than a word may be"));
        }
        text.truncate(received as usize);
        let text = String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Message { text, sockets }))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Line {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What a receive does when there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as [`Line::set_limit`] says.
    Waits,
    None,
}

fn header(piece: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all zeroes is a header without anything.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = piece;
    header.msg_iovlen = 1;
    header
}

/// The descriptors of a message that was received, ours from here on.
fn taken(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut sockets = Vec::new();
    // SAFETY: the kernel has filled the control buffer up to msg_controllen; the macros stay within it.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            if (*at).cmsg_level == libc::SOL_SOCKET && (*at).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*at).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / size_of::<RawFd>() {
                    let fd = libc::CMSG_DATA(at).cast::<RawFd>().add(index).read_unaligned();
                    sockets.push(OwnedFd::from_raw_fd(fd));
                }
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    sockets
}

/// Room for the descriptors of a message, aligned as their header wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Default for Control {
    fn default() -> Control {
        Control([0; CONTROL_BYTES])
    }
}

/// Descriptors in a message; the kernel takes 253.
pub const SOCKETS_MAX: usize = 200;

/// A header, padding and the descriptors.
const CONTROL_BYTES: usize = 64 + 4 * SOCKETS_MAX;

/// A word: an address, or all mistakes of a configuration.
pub const TEXT_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn words_come_whole_and_sockets_with_them() {
        let (ours, theirs) = Line::pair().unwrap();
        let theirs = Line::new(theirs);
        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let sockets: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
        ours.send("listen here", &sockets).unwrap();
        ours.send("end", &[]).unwrap();
        let Message { text, sockets } = theirs.receive(Patience::Waits).unwrap().unwrap();
        assert_eq!(text, "listen here");
        let ports = sockets.into_iter().map(|socket| TcpListener::from(socket).local_addr().unwrap());
        assert!(ports.eq(listeners.iter().map(|listener| listener.local_addr().unwrap())));
        assert_eq!(theirs.receive(Patience::None).unwrap().unwrap().text, "end");
        assert_eq!(theirs.receive(Patience::None).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.set_limit(Duration::from_millis(1)).unwrap();
        assert_eq!(theirs.receive(Patience::Waits).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        ours.send(&"x".repeat(TEXT_BYTES_MAX + 1), &[]).unwrap();
        assert_eq!(theirs.receive(Patience::None).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(ours);
        assert!(theirs.receive(Patience::Waits).unwrap().is_none());
        assert!(theirs.send("nobody", &[]).is_err());
    }
}
