//! `RingRelay`: the bare relay once more, on io_uring: what the data path costs where nothing is known of MySQL.
//!
//! One thread, one system call per turn, which submits all and waits for the next completions. A side's receive is
//! followed by one linked pair: send to the other side, receive again. What Weir costs beyond it on the same machine is
//! parsing, pooling and routing; what it costs itself is the kernel's, and no proxy that copies is below it.
//!
//! Invariant: each side has one receive in flight until it ends, alone or behind its send; a pair's memory and sockets
//! live until both sides have ended.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

use crate::limits::READ_BYTES;
use crate::listener;

pub struct RingRelay {
    listener: TcpListener,
    target: SocketAddr,
    ring: IoUring,
    /// Pair number `n` has the tokens `2n` and `2n + 1`.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
}

struct Pair {
    sides: [Side; 2],
}

struct Side {
    stream: TcpStream,
    room: Box<[u8; READ_BYTES]>,
    has_ended: bool,
}

impl RingRelay {
    /// To be called on the thread that runs it.
    pub fn bind(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = listener::bind(listen)?;
        // The ring waits for who comes; a listener that does not block would answer at once that nobody has.
        listener.set_nonblocking(false)?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let mut relay = Self { listener, target, ring, pairs: Vec::new(), free: Vec::new() };
        relay.await_client()?;
        Ok(relay)
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Copies until the process ends.
    pub fn run(&mut self) -> io::Result<()> {
        let mut done = Vec::new();
        loop {
            self.ring.submit_and_wait(1)?;
            done.extend(self.ring.completion().map(|entry| (entry.user_data(), entry.result())));
            for (token, result) in done.drain(..) {
                match token {
                    LISTENER => self.accept(result)?,
                    // Its receive was linked to it and ends with it.
                    SEND => {}
                    _ => self.turn((token / 2) as usize, (token % 2) as usize, result)?,
                }
            }
        }
    }

    fn accept(&mut self, result: i32) -> io::Result<()> {
        self.await_client()?;
        if result < 0 {
            return Ok(());
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let client = unsafe { <TcpStream as std::os::fd::FromRawFd>::from_raw_fd(result) };
        // On the loopback a connect is answered at once, so it may block; without a server the client is dropped.
        let Ok(pair) = Pair::connect(client, self.target) else {
            return Ok(());
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        self.pairs[number] = Some(pair);
        self.receive(number, 0)?;
        self.receive(number, 1)
    }

    fn turn(&mut self, number: usize, side: usize, result: i32) -> io::Result<()> {
        let Some(Some(pair)) = self.pairs.get_mut(number) else {
            return Ok(());
        };
        if result <= 0 {
            // MySQL knows no half-open connection: one side's end is both's.
            pair.sides[side].has_ended = true;
            for side in &pair.sides {
                let _ = side.stream.shutdown(Shutdown::Both);
            }
            if pair.sides.iter().all(|side| side.has_ended) {
                self.pairs[number] = None;
                self.free.push(number);
            }
            return Ok(());
        }
        let [a, b] = &pair.sides;
        let (here, there) = if side == 0 { (a, b) } else { (b, a) };
        let send = opcode::Send::new(Fd(there.stream.as_raw_fd()), here.room.as_ptr(), result as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
            .user_data(SEND);
        // A link holds within one submission only, so both have to fit into what is left of the queue.
        let queue = self.ring.submission();
        let room = queue.capacity() - queue.len();
        drop(queue);
        if room < 2 {
            self.ring.submit()?;
        }
        self.push(send)?;
        self.receive(number, side)
    }

    fn receive(&mut self, number: usize, side: usize) -> io::Result<()> {
        let Some(Some(pair)) = self.pairs.get_mut(number) else {
            return Ok(());
        };
        let here = &mut pair.sides[side];
        let entry = opcode::Recv::new(Fd(here.stream.as_raw_fd()), here.room.as_mut_ptr(), READ_BYTES as u32).build();
        self.push(entry.user_data(number as u64 * 2 + side as u64))
    }

    fn await_client(&mut self) -> io::Result<()> {
        let entry = opcode::Accept::new(Fd(self.listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
        self.push(entry.build().user_data(LISTENER))
    }

    fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.ring.submission().is_full() {
            self.ring.submit()?;
        }
        // SAFETY: what an entry points to is a pair's room, on the heap, which lives until both sides' receives are
        // done; a send is done before the receive that is linked to it.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(io::Error::other)
    }
}

impl Pair {
    fn connect(client: TcpStream, target: SocketAddr) -> io::Result<Self> {
        let server = TcpStream::connect(target)?;
        Ok(Self { sides: [Side::new(client)?, Side::new(server)?] })
    }
}

impl Side {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, room: Box::new([0; READ_BYTES]), has_ended: false })
    }
}

/// Two entries for each of two sides of a thousand pairs, before the queue is handed over early.
const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 16_384;

const LISTENER: u64 = u64::MAX;
const SEND: u64 = u64::MAX - 1;
