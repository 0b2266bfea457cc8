//! `NullBackend`: a MySQL server that does nothing, so that what is measured is what stands in front of it.
//!
//! One thread, one epoll. It lets everybody in, answers each command with bytes that are ready or nearly so, and keeps
//! of a session what its replies show: status flags, schema, prepared statements, GTIDs.
//!
//! Invariant: commands are answered in the order in which they came, pipelined or not, and the replies to all that a
//! read brought go out in one write. It knows no SQL beyond [`ask`], and no TLS.

pub mod ask;

mod variables;

mod answer;

mod session;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::limits::READ_BYTES;
use crate::listener;
use crate::poll::{Event, Interest, Poll};
use crate::wire::{Received, Wire, is_later};

use self::session::{Next, Session};

#[derive(Debug)]
pub struct NullBackend {
    listener: TcpListener,
    poll: Poll,
    world: World,
    guests: Vec<Option<Guest>>,
    free: Vec<usize>,
    room: Box<[u8; READ_BYTES]>,
}

/// What all sessions share: the numbers that a server gives out.
#[derive(Debug)]
pub struct World {
    connection_id: u32,
    /// Transactions that have been committed: the last one's GTID.
    pub transactions: u64,
    pub port: u16,
    /// Replies that were sent before, found again by what shapes them.
    pub canned: answer::Canned,
}

#[derive(Debug)]
struct Guest {
    wire: Wire,
    session: Session,
    interest: Interest,
}

impl NullBackend {
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = listener::bind(listen)?;
        let poll = Poll::new()?;
        poll.add(&listener, LISTENER, Interest::Read)?;
        let world = World {
            connection_id: 0,
            transactions: 0,
            port: listener.local_addr()?.port(),
            canned: answer::Canned::default(),
        };
        Ok(Self { listener, poll, world, guests: Vec::new(), free: Vec::new(), room: Box::new([0; READ_BYTES]) })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
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
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream)?,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream) -> io::Result<()> {
        self.world.connection_id = self.world.connection_id.wrapping_add(1);
        let mut wire = Wire::new(stream)?;
        let session = Session::greet(self.world.connection_id, &mut wire.output);
        let number = self.free.pop().unwrap_or(self.guests.len());
        self.poll.add(&wire.stream, number as u64, Interest::Read)?;
        let mut guest = Guest { wire, session, interest: Interest::Read };
        // A peer that is gone already is found by its event.
        let _ = guest.wire.flush();
        match self.guests.get_mut(number) {
            Some(place) => *place = Some(guest),
            None => self.guests.push(Some(guest)),
        }
        Ok(())
    }

    fn turn(&mut self, event: Event) {
        let number = event.token as usize;
        let Some(Some(guest)) = self.guests.get_mut(number) else {
            return;
        };
        match guest.turn(event, &mut self.world, &mut self.room, &self.poll) {
            Ok(Next::Stay) => {}
            Ok(Next::Leave) | Err(_) => {
                self.guests[number] = None;
                self.free.push(number);
            }
        }
    }
}

impl Guest {
    fn turn(&mut self, event: Event, world: &mut World, room: &mut [u8; READ_BYTES], poll: &Poll) -> io::Result<Next> {
        // While replies wait for the client to read, no more commands are taken.
        if event.readable && self.interest == Interest::Read {
            match self.wire.receive(room)? {
                Received::End => return Ok(Next::Leave),
                Received::Nothing => {}
                Received::Bytes => {
                    if self.answer(world)? == Next::Leave {
                        return Ok(Next::Leave);
                    }
                }
            }
        }
        let interest = match self.wire.flush()? {
            true => Interest::Read,
            false => Interest::Write,
        };
        if interest != self.interest {
            poll.change(&self.wire.stream, event.token, interest)?;
            self.interest = interest;
        }
        Ok(Next::Stay)
    }

    fn answer(&mut self, world: &mut World) -> io::Result<Next> {
        while let Some(packet) = self.wire.next_packet()? {
            let payload = &self.wire.input[packet.payload];
            let seq = packet.seq.wrapping_add(1);
            match self.session.handle(world, seq, payload, &mut self.wire.output) {
                Ok(Next::Stay) => {}
                Ok(Next::Leave) => return Ok(Next::Leave),
                Err(malformed) => return Err(io::Error::other(malformed.0)),
            }
        }
        self.wire.tidy();
        Ok(Next::Stay)
    }
}

const LISTENER: u64 = u64::MAX;

#[cfg(test)]
mod tests;
