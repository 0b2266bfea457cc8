//! A hostile client: bytes as it likes, and an honest login where it needs one to get further.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;
use weir_net::packet::{self, HEADER_BYTES, Header};

use super::limits;
use super::witness::log_in;
use crate::real::limits::CONNECT_WAIT;
use crate::real::wire::{Account, Address};

pub struct Peer {
    stream: TcpStream,
}

/// How a connection ended, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The gate closed it, after so many bytes.
    Closed { bytes: usize },
    /// It was still open when the time was over.
    Open,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> io::Result<Peer> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_WAIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limits::READ_WAIT))?;
        stream.set_write_timeout(Some(limits::READ_WAIT))?;
        Ok(Peer { stream })
    }

    /// Connects and waits for the greeting, whose payload comes back.
    pub fn greeted(address: SocketAddr) -> io::Result<(Peer, Vec<u8>)> {
        let mut peer = Peer::connect(address)?;
        let (_, greeting) = peer.packet()?;
        Ok((peer, greeting))
    }

    /// An honest login, and then this.
    pub fn logged_in(address: SocketAddr, account: &Account) -> io::Result<Peer> {
        let wire = log_in(&Address::Tcp(address), account).map_err(io::Error::other)?;
        let stream = wire.into_tcp().ok_or_else(|| io::Error::other("no TCP"))?;
        stream.set_read_timeout(Some(limits::READ_WAIT))?;
        stream.set_write_timeout(Some(limits::READ_WAIT))?;
        Ok(Peer { stream })
    }

    /// A small window: what is not read soon stops the gate's writing.
    pub fn narrow(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_recv_buffer_size(4 << 10)
    }

    /// How long it waits for its bytes to be taken.
    pub fn patience(&self, wait: Duration) {
        let _ = self.stream.set_write_timeout(Some(wait));
    }

    /// False when the gate takes no more: it has closed, or it does not read.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// One payload with this sequence number.
    pub fn send_packet(&mut self, seq: u8, payload: &[u8]) -> bool {
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_BYTES);
        packet::put(&mut bytes, seq, payload);
        self.send(&bytes)
    }

    /// The next packet: its sequence number and payload.
    pub fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; HEADER_BYTES];
        self.stream.read_exact(&mut head)?;
        let header = Header::decode(head);
        let mut payload = vec![0; header.payload_len as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((header.seq, payload))
    }

    /// Reads and throws away until the gate closes or the time is over.
    pub fn drain(&mut self, wait: Duration) -> Ended {
        let deadline = Instant::now() + wait;
        let (mut bytes, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ended::Open;
            }
            let _ = self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ended::Closed { bytes },
                Ok(n) => bytes += n,
                Err(error) if crate::real::wire::is_late(&error) => {}
                Err(_) => return Ended::Closed { bytes },
            }
        }
    }

    /// Vanishes with a reset instead of an end.
    pub fn reset(self) {
        reset(&self.stream);
    }
}

/// The socket's end is a reset: what is under way is lost.
pub fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Random numbers that are the same each time (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
