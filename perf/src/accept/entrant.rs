//! `Entrant`: one client from its connect to its first answer.
//!
//! ```text
//! Entering --logged in--> Asking --answered--> Served
//! ```
//! Invariant: a served one is silent: whatever is heard from its socket means that the door has let go of it.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use weir_net::packet;

use crate::client::{Account, Handshake, Step};
use crate::dial;
use crate::error::Fault;
use crate::limits::READ_BYTES;
use crate::load::{Asker, Question};
use crate::wire::{Received, Wire};

pub struct Entrant<'a> {
    begun: Instant,
    phase: Phase<'a>,
}

enum Phase<'a> {
    Entering { wire: Wire, handshake: Handshake<'a> },
    Asking(Box<Asker>),
    Served(TcpStream),
}

/// What a turn has come to.
pub enum Turn<'a> {
    Waits(Entrant<'a>),
    /// Answered, so long after its connect was begun.
    Served(Entrant<'a>, Duration),
}

impl<'a> Entrant<'a> {
    pub fn begin(account: &'a Account, source: Option<Ipv4Addr>) -> io::Result<Self> {
        let begun = Instant::now();
        let wire = Wire::new(dial::begin(account.address, source)?)?;
        Ok(Self { begun, phase: Phase::Entering { wire, handshake: Handshake::new(account) } })
    }

    pub fn stream(&self) -> &TcpStream {
        match &self.phase {
            Phase::Entering { wire, .. } => &wire.stream,
            Phase::Asking(asker) => &asker.wire.stream,
            Phase::Served(stream) => stream,
        }
    }

    pub fn is_served(&self) -> bool {
        matches!(self.phase, Phase::Served(_))
    }

    /// Its socket has something to read. An error ends it.
    pub fn advance(self, question: &Question, room: &mut [u8; READ_BYTES]) -> Result<Turn<'a>, Fault> {
        let begun = self.begun;
        let phase = match self.phase {
            Phase::Entering { wire, handshake } => enter(wire, handshake, question, room)?,
            Phase::Asking(mut asker) => {
                let answer = asker.listen(room).map_err(|error| Fault::io("waiting for the answer", error))?;
                match answer {
                    None => Phase::Asking(asker),
                    Some(answer) => {
                        if let Some(error) = answer.error {
                            return Err(Fault::Program(format!("the answer is an error: {error}")));
                        }
                        let served = Phase::Served(asker.wire.stream);
                        return Ok(Turn::Served(Self { begun, phase: served }, begun.elapsed()));
                    }
                }
            }
            Phase::Served(_) => {
                return Err(Fault::Program("a client was served, and then its connection was ended".to_owned()));
            }
        };
        Ok(Turn::Waits(Self { begun, phase }))
    }
}

/// Reads what the login brings; asks when it is over.
fn enter<'a>(
    mut wire: Wire,
    mut handshake: Handshake<'a>,
    question: &Question,
    room: &mut [u8; READ_BYTES],
) -> Result<Phase<'a>, Fault> {
    let failed = |error| Fault::io("logging in", error);
    match wire.receive(room).map_err(failed)? {
        Received::End => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
        Received::Nothing => return Ok(Phase::Entering { wire, handshake }),
        Received::Bytes => {}
    }
    while let Some(packet) = wire.next_packet().map_err(failed)? {
        match handshake.handle(packet.seq, &wire.input[packet.payload])? {
            Step::Send { seq, payload } => {
                packet::put(&mut wire.output, seq, &payload);
                // Logins are small: a socket that does not take one at once is broken.
                if !wire.flush().map_err(failed)? {
                    return Err(failed(io::Error::other("a socket takes no login")));
                }
            }
            Step::Wait => {}
            Step::Done => {
                wire.tidy();
                let mut asker = Box::new(Asker::new(wire, handshake.capabilities(), None, 1));
                asker.ask(question, Instant::now()).map_err(|error| Fault::io("asking", error))?;
                return Ok(Phase::Asking(asker));
            }
        }
    }
    wire.tidy();
    Ok(Phase::Entering { wire, handshake })
}
