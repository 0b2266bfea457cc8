//! `SlowWay`: a relay in front of a server, that keeps the server's answers back for a while.
//!
//! ```text
//! client ──► at once ──────────────► server
//! client ◄── queue: (due, bytes) … ◄── server
//! ```
//! Invariant: bytes keep their order; a change of the delay holds for what comes after it. It ends when it is dropped.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::READ_BYTES;
use crate::poll::{Interest, Poll};
use crate::wire::is_later;

#[derive(Debug)]
pub struct SlowWay {
    address: SocketAddr,
    delay_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowWay {
    /// Without a delay until one is set.
    pub fn open(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (delay_us, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let poll = Poll::new()?;
        poll.add(&listener, LISTENER, Interest::Read)?;
        let mut copier = Copier { listener, target, poll, pairs: Vec::new(), room: Box::new([0; READ_BYTES]) };
        let (delay, is_over) = (Arc::clone(&delay_us), Arc::clone(&over));
        let thread = thread::Builder::new().name("slow-way".to_owned()).spawn(move || {
            let mut events = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let delay = Duration::from_micros(delay.load(Ordering::Relaxed));
                if copier.turn(delay, &mut events).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { address, delay_us, over, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set_delay(&self, delay: Duration) {
        self.delay_us.store(delay.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Copier {
    listener: TcpListener,
    target: SocketAddr,
    poll: Poll,
    /// Pair number `n` has the tokens `2n` (client) and `2n + 1` (server). A closed one's place stays empty: there are
    /// as many as the gate dials in one measurement.
    pairs: Vec<Option<[Side; 2]>>,
    room: Box<[u8; READ_BYTES]>,
}

#[derive(Debug)]
struct Side {
    stream: TcpStream,
    /// For this side, each from this moment on.
    queue: VecDeque<(Instant, Vec<u8>)>,
}

impl Copier {
    fn turn(&mut self, delay: Duration, events: &mut Vec<crate::poll::Event>) -> io::Result<()> {
        let now = Instant::now();
        let pause = self.next_due().map_or(PAUSE, |due| due.saturating_duration_since(now).clamp(RETRY, PAUSE));
        self.poll.wait(Some(pause), events)?;
        for event in &*events {
            match event.token {
                LISTENER => self.accept()?,
                token => self.receive((token / 2) as usize, (token % 2) as usize, delay),
            }
        }
        let now = Instant::now();
        for pair in &mut self.pairs {
            if pair.as_mut().is_some_and(|sides| sides.iter_mut().any(|side| side.send(now).is_err())) {
                *pair = None;
            }
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Instant> {
        let fronts = self.pairs.iter().flatten().flatten().filter_map(|side| side.queue.front());
        fronts.map(|(due, _)| *due).min()
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            // On the loopback a connect is answered at once; without a server the client is dropped.
            let Ok(server) = TcpStream::connect(self.target) else {
                continue;
            };
            let number = self.pairs.len() as u64;
            for (side, stream) in [&client, &server].into_iter().enumerate() {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                self.poll.add(stream, number * 2 + side as u64, Interest::Read)?;
            }
            let side = |stream| Side { stream, queue: VecDeque::new() };
            self.pairs.push(Some([side(client), side(server)]));
        }
    }

    /// Reads once; either side's end is the pair's.
    fn receive(&mut self, number: usize, from: usize, delay: Duration) {
        let Some(Some(sides)) = self.pairs.get_mut(number) else {
            return;
        };
        match sides[from].stream.read(&mut self.room[..]) {
            Ok(len) if len > 0 => {
                let delay = if from == SERVER { delay } else { Duration::ZERO };
                sides[1 - from].queue.push_back((Instant::now() + delay, self.room[..len].to_vec()));
            }
            Err(error) if is_later(&error) => {}
            Ok(_) | Err(_) => self.pairs[number] = None,
        }
    }
}

impl Side {
    /// Sends what is due, as much as the socket takes. What comes first goes first, even when it is due later.
    fn send(&mut self, now: Instant) -> io::Result<()> {
        while let Some((due, bytes)) = self.queue.front_mut()
            && *due <= now
        {
            match self.stream.write(bytes) {
                Ok(len) => drop(bytes.drain(..len)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if bytes.is_empty() {
                self.queue.pop_front();
            }
        }
        Ok(())
    }
}

const LISTENER: u64 = u64::MAX;
const SERVER: usize = 1;
/// At most this long without a look at the end.
const PAUSE: Duration = Duration::from_millis(20);
/// A socket that was full, or bytes that are due in less, are tried again after this.
const RETRY: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_late_and_in_order() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = SlowWay::open("127.0.0.1:0".parse().unwrap(), server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(way.address()).unwrap();
        let (mut there, _) = server.accept().unwrap();
        let mut echo = move |count: usize| {
            let mut bytes = vec![0; count];
            there.read_exact(&mut bytes).unwrap();
            there.write_all(&bytes).unwrap();
        };
        let mut round = |bytes: &[u8]| {
            let begin = Instant::now();
            client.write_all(bytes).unwrap();
            echo(bytes.len());
            let mut got = vec![0; bytes.len()];
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, bytes);
            begin.elapsed()
        };
        round(b"at once");
        way.set_delay(Duration::from_millis(30));
        let long: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
        assert!(round(&long) >= Duration::from_millis(30));
        drop(way);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
}
