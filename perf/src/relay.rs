//! `Relay`: the bare relay, the least that a process between client and server can do.
//!
//! One thread, one level-triggered epoll, a blind copier with TCP_NODELAY: per direction of a round trip one read, one
//! write and a share of one wait. It knows no packet, so what a proxy costs beyond it is what the proxy does about
//! MySQL. `RingRelay` is the same on io_uring.
//!
//! Invariant: bytes that came from one side are in the other side's socket or in `held`, in order; while `held` is not
//! empty nothing is read from the side that they came from.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::limits::READ_BYTES;
use crate::listener;
use crate::poll::{Event, Interest, Poll};
use crate::wire::is_later;

#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    target: SocketAddr,
    poll: Poll,
    /// Pair number `n` has the tokens `2n` and `2n + 1`.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    room: Box<[u8; READ_BYTES]>,
}

impl Relay {
    pub fn bind(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = listener::bind(listen)?;
        let poll = Poll::new()?;
        poll.add(&listener, LISTENER, Interest::Read)?;
        Ok(Self { listener, target, poll, pairs: Vec::new(), free: Vec::new(), room: Box::new([0; READ_BYTES]) })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Copies until the process ends.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.poll.wait(None, &mut events)?;
            for event in &events {
                match event.token {
                    LISTENER => self.accept()?,
                    _ => self.turn(*event),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            // On the loopback a connect is answered at once, so it may block; without a server the client is dropped.
            let Ok(pair) = Pair::connect(client, self.target) else {
                continue;
            };
            let number = self.free.pop().unwrap_or(self.pairs.len());
            for side in [0, 1] {
                let token = number as u64 * 2 + side;
                self.poll.add(&pair.sides[side as usize].stream, token, Interest::Read)?;
            }
            match self.pairs.get_mut(number) {
                Some(place) => *place = Some(pair),
                None => self.pairs.push(Some(pair)),
            }
        }
    }

    fn turn(&mut self, event: Event) {
        let (number, side) = ((event.token / 2) as usize, (event.token % 2) as usize);
        let Some(Some(pair)) = self.pairs.get_mut(number) else {
            // Closed by an event of the same batch.
            return;
        };
        if pair.turn(side, event, &mut self.room, &self.poll).is_err() {
            self.pairs[number] = None;
            self.free.push(number);
        }
    }
}

#[derive(Debug)]
struct Pair {
    sides: [Side; 2],
}

#[derive(Debug)]
struct Side {
    stream: TcpStream,
    token_interest: Interest,
    /// Bytes for this side that its socket did not take.
    held: Vec<u8>,
}

impl Pair {
    fn connect(client: TcpStream, target: SocketAddr) -> io::Result<Self> {
        let server = TcpStream::connect(target)?;
        Ok(Self { sides: [Side::new(client)?, Side::new(server)?] })
    }

    /// An error ends the pair; so does either side's end, as MySQL knows no half-open connection.
    fn turn(&mut self, side: usize, event: Event, room: &mut [u8; READ_BYTES], poll: &Poll) -> io::Result<()> {
        let [a, b] = &mut self.sides;
        let (here, there) = if side == 0 { (a, b) } else { (b, a) };
        if event.writable && !here.held.is_empty() {
            here.send(&[])?;
        }
        if event.readable && there.held.is_empty() {
            match here.stream.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => there.send(&room[..len])?,
                Err(error) if is_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
        for side in [0, 1] {
            self.watch(side, event.token & !1, poll)?;
        }
        Ok(())
    }

    fn watch(&mut self, side: usize, token: u64, poll: &Poll) -> io::Result<()> {
        let wanted = Interest::of(self.sides[1 - side].held.is_empty(), !self.sides[side].held.is_empty());
        let here = &mut self.sides[side];
        if here.token_interest != wanted {
            poll.change(&here.stream, token + side as u64, wanted)?;
            here.token_interest = wanted;
        }
        Ok(())
    }
}

impl Side {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token_interest: Interest::Read, held: Vec::new() })
    }

    /// Sends what is held and then these bytes; what the socket does not take is held.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.held.is_empty() {
            let sent = write_some(&mut self.stream, &self.held)?;
            self.held.drain(..sent);
        }
        let sent = match self.held.is_empty() && !bytes.is_empty() {
            true => write_some(&mut self.stream, bytes)?,
            false => 0,
        };
        self.held.extend_from_slice(&bytes[sent..]);
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = Vec::new();
        }
        Ok(())
    }
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if is_later(&error) => Ok(0),
        other => other,
    }
}

const LISTENER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring_relay::RingRelay;
    use std::sync::mpsc;
    use std::thread;

    fn with_epoll(target: SocketAddr, tell: &dyn Fn(SocketAddr)) -> io::Result<()> {
        let mut relay = Relay::bind("127.0.0.1:0".parse().unwrap(), target)?;
        tell(relay.address()?);
        relay.run()
    }

    fn with_ring(target: SocketAddr, tell: &dyn Fn(SocketAddr)) -> io::Result<()> {
        let mut relay = RingRelay::bind("127.0.0.1:0".parse().unwrap(), target)?;
        tell(relay.address()?);
        relay.run()
    }

    /// Either runs until the test's process ends, having told its address.
    type Run = fn(SocketAddr, &dyn Fn(SocketAddr)) -> io::Result<()>;
    const BOTH: [Run; 2] = [with_epoll, with_ring];

    /// A client of a relay in front of a server that sends back what it gets.
    fn echo_through(relay: Run) -> TcpStream {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        let (told, address) = mpsc::channel();
        thread::spawn(move || relay(target, &|address| told.send(address).unwrap()));
        let client = TcpStream::connect(address.recv().unwrap()).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut copy = stream.try_clone().unwrap();
            io::copy(&mut copy, &mut stream)
        });
        client
    }

    #[test]
    fn both_copy_more_than_sockets_hold_in_order() {
        BOTH.into_iter().for_each(copies_more_than_sockets_hold);
    }

    fn copies_more_than_sockets_hold(relay: Run) {
        let mut client = echo_through(relay);
        let bytes: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
        let mut writer = client.try_clone().unwrap();
        let sent = bytes.clone();
        // Everything is written before anything is read: the relay has to hold back both directions.
        let writing = thread::spawn(move || writer.write_all(&sent));
        let mut got = vec![0; bytes.len()];
        client.read_exact(&mut got).unwrap();
        writing.join().unwrap().unwrap();
        assert!(got == bytes);
    }

    #[test]
    fn an_end_reaches_the_other_side_of_both() {
        BOTH.into_iter().for_each(ends_with_its_client);
    }

    fn ends_with_its_client(relay: Run) {
        let mut client = echo_through(relay);
        client.write_all(b"x").unwrap();
        let mut got = [0];
        client.read_exact(&mut got).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut got).unwrap(), 0);
    }
}
