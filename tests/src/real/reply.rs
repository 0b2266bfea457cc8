//! The reply: all packets that answer one command, each told what it is.
//!
//! Invariant: every packet of the reply is there, in order, with its sequence number; rows and definitions stay raw
//! bytes, since equal replies are equal bytes. Where the reply ends is worked out here from the protocol's manual,
//! not by the gate's own code.
//! Rules: MySQL "COM_QUERY Response", "COM_STMT_PREPARE Response", "Binary Protocol Resultset".

use std::io;

use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::OkPacket;
use weir_net::reader::Reader;

use super::limits;
use super::wire::{Packet, Wire};

/// The shape of a reply, which follows from the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Query,
    Prepare,
    Fetch,
    FieldList,
    /// One OK, EOF or ERR.
    Simple,
    /// One packet of text, or ERR.
    Text,
    /// No reply.
    Nothing,
}

/// What a packet of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Ok,
    Err,
    Infile,
    ColumnCount,
    Column,
    ColumnsEof,
    Row,
    BinaryRow,
    RowsEnd,
    PrepareOk,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub what: What,
    pub seq: u8,
    pub payload: Vec<u8>,
}

/// A reply, and what of it the client needs for later commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub pieces: Vec<Piece>,
    /// Of the connection that it came by: what its OK packets are read with.
    pub capabilities: Capabilities,
}

impl Reply {
    /// Id and number of parameters of a prepared statement.
    pub fn prepared(&self) -> Option<(u32, u16)> {
        let first = self.pieces.first().filter(|piece| piece.what == What::PrepareOk)?;
        let ok = weir_net::statement::PrepareOk::decode(&first.payload).ok()?;
        Some((ok.statement_id, ok.params))
    }

    /// The packets of this sort.
    pub fn all(&self, what: What) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter(move |piece| piece.what == what).map(|piece| piece.payload.as_slice())
    }

    /// The ERR packet, if there is one.
    pub fn error(&self) -> Option<&[u8]> {
        self.all(What::Err).next()
    }

    /// The text rows' cells; NULL is `None`.
    pub fn rows(&self) -> Vec<Vec<Option<Vec<u8>>>> {
        let cells =
            |row| weir_net::column::cells(row).map_while(Result::ok).map(|cell| cell.map(<[u8]>::to_vec)).collect();
        self.all(What::Row).map(cells).collect()
    }
}

/// Reads the whole reply. A request for a local file is answered with `file` in small packets, or, without one, with
/// an empty packet.
pub fn read(wire: &mut Wire, kind: Kind, is_binary: bool, file: Option<&[u8]>) -> io::Result<Reply> {
    let reply = Reply { pieces: Vec::new(), capabilities: wire.capabilities };
    let mut reading = Reading { wire, reply, is_binary };
    match kind {
        Kind::Nothing => {}
        Kind::Simple => {
            reading.take_simple()?;
        }
        Kind::Text => reading.take_text()?,
        Kind::Prepare => reading.take_prepare()?,
        Kind::Fetch => {
            reading.take_rows()?;
        }
        Kind::FieldList => reading.take_field_list()?,
        Kind::Query => while reading.take_result(file)? {},
    }
    Ok(reading.reply)
}

struct Reading<'a> {
    wire: &'a mut Wire,
    reply: Reply,
    is_binary: bool,
}

impl Reading<'_> {
    /// One result of a query; true if another one follows.
    fn take_result(&mut self, file: Option<&[u8]>) -> io::Result<bool> {
        let packet = self.wire.receive()?;
        match packet.payload.first() {
            Some(0x00) => Ok(self.ok(What::Ok, packet)?.contains(Status::MORE_RESULTS)),
            Some(0xff) => {
                self.push(What::Err, packet);
                Ok(false)
            }
            Some(0xfb) => {
                self.push(What::Infile, packet);
                self.send_file(file.unwrap_or_default())?;
                Ok(self.take_simple()?.contains(Status::MORE_RESULTS))
            }
            _ => {
                let count = Reader::new(&packet.payload).lenenc().map_err(broken)?;
                self.push(What::ColumnCount, packet);
                for _ in 0..count {
                    let packet = self.wire.receive()?;
                    self.push(What::Column, packet);
                }
                if !self.is_eof_deprecated() {
                    let packet = self.wire.receive()?;
                    let status = self.ok(What::ColumnsEof, packet)?;
                    if status.contains(Status::CURSOR_EXISTS) {
                        return Ok(false);
                    }
                }
                let status = self.take_rows()?;
                Ok(status.contains(Status::MORE_RESULTS))
            }
        }
    }

    /// Rows and their end. With a cursor the end comes at once.
    fn take_rows(&mut self) -> io::Result<Status> {
        loop {
            let packet = self.wire.receive()?;
            let len = packet.payload.len();
            match packet.payload.first() {
                Some(0xff) => {
                    self.push(What::Err, packet);
                    return Ok(Status::empty());
                }
                Some(0xfe) if self.is_eof_deprecated() && len < 0xff_ffff || len < 9 && packet.payload[0] == 0xfe => {
                    return self.ok(What::RowsEnd, packet);
                }
                _ => {
                    let what = if self.is_binary { What::BinaryRow } else { What::Row };
                    self.push(what, packet);
                }
            }
        }
    }

    fn take_prepare(&mut self) -> io::Result<()> {
        let packet = self.wire.receive()?;
        if packet.payload.first() == Some(&0xff) {
            self.push(What::Err, packet);
            return Ok(());
        }
        let ok = weir_net::statement::PrepareOk::decode(&packet.payload).map_err(broken)?;
        self.push(What::PrepareOk, packet);
        for count in [ok.params, ok.columns] {
            for _ in 0..count {
                let packet = self.wire.receive()?;
                self.push(What::Column, packet);
            }
            if count > 0 && !self.is_eof_deprecated() {
                let packet = self.wire.receive()?;
                self.ok(What::ColumnsEof, packet)?;
            }
        }
        Ok(())
    }

    fn take_field_list(&mut self) -> io::Result<()> {
        loop {
            let packet = self.wire.receive()?;
            match packet.payload.first() {
                Some(0xff) => {
                    self.push(What::Err, packet);
                    return Ok(());
                }
                Some(0xfe) => return self.ok(What::RowsEnd, packet).map(|_| ()),
                _ => self.push(What::Column, packet),
            }
        }
    }

    fn take_simple(&mut self) -> io::Result<Status> {
        let packet = self.wire.receive()?;
        if packet.payload.first() == Some(&0xff) {
            self.push(What::Err, packet);
            return Ok(Status::empty());
        }
        self.ok(What::Ok, packet)
    }

    fn take_text(&mut self) -> io::Result<()> {
        let packet = self.wire.receive()?;
        let what = if packet.payload.first() == Some(&0xff) { What::Err } else { What::Text };
        self.push(what, packet);
        Ok(())
    }

    fn send_file(&mut self, file: &[u8]) -> io::Result<()> {
        for part in file.chunks(limits::FILE_PACKET_BYTES) {
            self.wire.send(part)?;
        }
        self.wire.send(&[])
    }

    fn is_eof_deprecated(&self) -> bool {
        self.wire.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }

    fn ok(&mut self, what: What, packet: Packet) -> io::Result<Status> {
        let status = OkPacket::decode(&packet.payload, self.wire.capabilities).map_err(broken)?.status;
        self.push(what, packet);
        Ok(status)
    }

    fn push(&mut self, what: What, packet: Packet) {
        self.reply.pieces.push(Piece { what, seq: packet.seq, payload: packet.payload });
    }
}

fn broken(malformed: weir_net::error::Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed.0)
}
