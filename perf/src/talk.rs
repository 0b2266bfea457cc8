//! `Talker`: one client on a non-blocking socket that asks for numbers and reads what it is answered.
//!
//! Invariant: at most one statement is out. Replies are read by code of its own ([`reply`]), without `weir_net::scan`,
//! which the gate itself relies on: who judges must not trust what is judged.

mod reply;

use std::io;
use std::net::TcpStream;

use weir_net::command::Command;
use weir_net::packet;
use weir_net::writer::Put;

use crate::client::Client;
use crate::limits::READ_BYTES;
use crate::wire::{Received, Wire};

use self::reply::{Encoding, Reading};

pub use self::reply::{Answer, Row};

#[derive(Debug)]
pub struct Talker {
    wire: Wire,
    reading: Option<Reading>,
}

impl Talker {
    /// Goes on with the socket of a client that has logged in.
    pub fn new(client: Client) -> io::Result<Self> {
        Ok(Self { wire: Wire::new(client.into_stream())?, reading: None })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.wire.stream
    }

    /// Sends a text.
    pub fn ask(&mut self, text: &str) -> io::Result<()> {
        let at = packet::begin(&mut self.wire.output, 0);
        self.wire.output.put_u8(Command::Query.to_byte());
        self.wire.output.put_bytes(text.as_bytes());
        packet::finish(&mut self.wire.output, at);
        self.send(Encoding::Text)
    }

    /// Executes a prepared statement whose only parameter is a number. `is_first` sends its type, as drivers do once.
    pub fn execute(&mut self, statement: u32, number: u64, is_first: bool) -> io::Result<()> {
        let out = &mut self.wire.output;
        let at = packet::begin(out, 0);
        out.put_u8(Command::StmtExecute.to_byte());
        out.put_u32(statement);
        // No cursor, one iteration, nothing is NULL.
        out.put_u8(0);
        out.put_u32(1);
        out.put_u8(0);
        out.put_u8(u8::from(is_first));
        if is_first {
            out.put_u16(TYPE_LONGLONG);
        }
        out.put_u64(number);
        packet::finish(out, at);
        self.send(Encoding::Binary)
    }

    /// Reads; `Some` when the answer has come to its end. `room` is shared by all talkers of a loop.
    pub fn listen(&mut self, room: &mut [u8; READ_BYTES]) -> io::Result<Option<Answer>> {
        match self.wire.receive(room)? {
            Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            Received::Nothing => return Ok(None),
            Received::Bytes => {}
        }
        while let Some(packet) = self.wire.next_packet()? {
            let Some(reading) = &mut self.reading else {
                return Err(io::Error::other("an answer to nothing"));
            };
            let payload = &self.wire.input[packet.payload];
            let answer = reading.advance(payload).map_err(|malformed| io::Error::other(malformed.0))?;
            if answer.is_some() {
                self.reading = None;
                self.wire.tidy();
                return match self.wire.untaken().is_empty() {
                    true => Ok(answer),
                    false => Err(io::Error::other("bytes behind the end of an answer")),
                };
            }
        }
        self.wire.tidy();
        Ok(None)
    }

    /// Statements are small: a socket that does not take one at once is broken.
    fn send(&mut self, encoding: Encoding) -> io::Result<()> {
        debug_assert!(self.reading.is_none(), "one statement at a time");
        self.reading = Some(Reading::new(encoding));
        match self.wire.flush()? {
            true => Ok(()),
            false => Err(io::Error::other("a socket takes no statement")),
        }
    }
}

const TYPE_LONGLONG: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Account;
    use crate::null::NullBackend;

    /// The null backend answers everything that it does not know with OK, and complains when told to.
    #[test]
    fn answers_come_whole() {
        let mut backend = NullBackend::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = backend.address().unwrap();
        std::thread::spawn(move || backend.run());
        let account = Account { address, user: "app".to_owned(), password: "app".to_owned(), schema: None };
        let mut talker = Talker::new(Client::connect(&account).unwrap()).unwrap();
        let mut room = Box::new([0; READ_BYTES]);
        let mut answer = |talker: &mut Talker| {
            loop {
                if let Some(answer) = talker.listen(&mut room).unwrap() {
                    return answer;
                }
            }
        };
        talker.ask("BEGIN").unwrap();
        assert_eq!(answer(&mut talker), Answer::Done);
        talker.ask("SIGNAL SQLSTATE '45000'").unwrap();
        assert!(matches!(answer(&mut talker), Answer::Refused { code: 1644, .. }));
    }
}
