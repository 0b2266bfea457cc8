//! Compression as a filter: frames and plain bytes in, plain bytes and frames out, no socket.
//!
//! ```text
//!  0        3     4         7
//! +--------+-----+---------+------------------------------------------
//! | length | seq | plain   | `length` bytes: zlib or zstd of `plain` bytes, or bytes as they are when `plain` is 0
//! +--------+-----+---------+------------------------------------------
//! wire --feed--> [incoming] --next_plain--> engine          wire <-seal-- engine
//! ```
//! What is inside of the frames is one stream of packets: a packet may lie in many frames, and a frame hold many packets.
//!
//! Invariant: each frame is a whole of its own, so that one core's [`Codecs`] serve all of its wires, and a wire without
//! compression has nothing of this. A frame is opened only when it is asked for: who has enough plain bytes asks no more, and
//! a small frame that opens to 16 MiB is the most that can come on top of that. Frames count by themselves: the reply's
//! numbers follow the frame that held the end of its command, whatever the packets' numbers are.
//! Cost: one copy in, one out, and the codec. Rule: MySQL "Compression", "Compressed Packet"; numbers as `net_serv.cc` has them.

mod codec;

use std::collections::VecDeque;

use crate::limits::{COMPRESSED_BUFFER_KEPT_BYTES, COMPRESSED_PLAIN_BYTES_MAX, ZSTD_LEVEL_MAX};
use crate::login::Login;
use crate::{flags::Capabilities, packet::PAYLOAD_MAX};
pub use codec::Codecs;

/// Length, sequence number, plain length.
pub const HEADER_BYTES: usize = 7;

/// Shorter runs go as they are. Rule: `MIN_COMPRESS_LENGTH`.
const PLAIN_BYTES_MIN: usize = 50;

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    Zlib,
    Zstd { level: u8 },
}

impl Agreed {
    /// What a login says to have it.
    pub fn flag(self) -> Capabilities {
        match self {
            Agreed::Zlib => Capabilities::COMPRESS,
            Agreed::Zstd { .. } => Capabilities::ZSTD_COMPRESSION,
        }
    }
}

/// What one end allows. Rule: `protocol_compression_algorithms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub zlib: bool,
    pub zstd: bool,
    pub uncompressed: bool,
}

/// The client wants what is not allowed. The server says 3922 and 3923 then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAgreed {
    Algorithm(&'static str),
    /// Of zstd: 1 to 22 are levels.
    Level,
}

impl Allowed {
    pub const ALL: Allowed = Allowed { zlib: true, zstd: true, uncompressed: true };
    pub const NONE: Allowed = Allowed { zlib: false, zstd: false, uncompressed: true };

    pub const NAMES: [&str; 3] = ["zlib", "zstd", "uncompressed"];

    /// The flag of this name, as the server names them.
    pub fn by_name(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "zlib" => Some(&mut self.zlib),
            "zstd" => Some(&mut self.zstd),
            "uncompressed" => Some(&mut self.uncompressed),
            _ => None,
        }
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [self.zlib, self.zstd, self.uncompressed];
        Self::NAMES.into_iter().zip(all).filter(|(_, is_on)| *is_on).map(|(name, _)| name)
    }

    /// What a greeting offers.
    pub fn offered(self) -> Capabilities {
        let zlib = if self.zlib { Capabilities::COMPRESS } else { Capabilities::empty() };
        let zstd = if self.zstd { Capabilities::ZSTD_COMPRESSION } else { Capabilities::empty() };
        zlib | zstd
    }

    /// What this end and a login make of it: zlib before zstd, as the server does. Where bytes as they are may go, the server lets a
    /// client have what was not offered; here it is refused.
    pub fn agree(self, login: &Login) -> Result<Option<Agreed>, NotAgreed> {
        let wants = |flag| login.capabilities.contains(flag);
        let (zlib, zstd) = (wants(Capabilities::COMPRESS), wants(Capabilities::ZSTD_COMPRESSION));
        match login.zstd_level {
            _ if zlib && self.zlib => Ok(Some(Agreed::Zlib)),
            level @ 1..=22 if zstd && self.zstd => Ok(Some(Agreed::Zstd { level })),
            _ if zstd && self.zstd => Err(NotAgreed::Level),
            _ if !self.uncompressed => Err(NotAgreed::Algorithm("uncompressed")),
            _ if zlib => Err(NotAgreed::Algorithm("zlib")),
            _ if zstd => Err(NotAgreed::Algorithm("zstd")),
            _ => Ok(None),
        }
    }
}

/// Why a stream of frames ended. Nothing behind the bad frame can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    OutOfOrder,
    /// It does not open, or not to what its header says.
    Broken,
}

/// One wire's end of the compressed protocol.
#[derive(Debug)]
pub struct Compressed {
    agreed: Agreed,
    incoming: Vec<u8>,
    /// The first so many bytes of `incoming` have been opened.
    opened: usize,
    /// The next frame that is sent.
    seq: u8,
    /// The next frame that comes, unless a new command begins with it: behind the last one in either direction.
    expected: u8,
    /// Plain bytes that have come out so far.
    received: u64,
    /// Where each frame's plain bytes begin, and its number, for those that the reader has not come to. Of commands only.
    marks: VecDeque<(u64, u8)>,
    /// Where commands begin in what is to be sent: bytes from the front.
    begins: Vec<usize>,
    failed: Option<Fault>,
    /// It sends commands, some before the reply to the one before: their frames count by themselves, and what comes is not held
    /// to an order.
    sends_commands: bool,
}

impl Compressed {
    pub fn new(agreed: Agreed) -> Compressed {
        Compressed {
            agreed,
            incoming: Vec::new(),
            opened: 0,
            seq: 0,
            expected: 0,
            received: 0,
            marks: VecDeque::new(),
            begins: Vec::new(),
            failed: None,
            sends_commands: false,
        }
    }

    /// The end that sends commands, several before a reply if it likes.
    pub fn to_server(agreed: Agreed) -> Compressed {
        Compressed { sends_commands: true, ..Compressed::new(agreed) }
    }

    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Takes what came from the wire, all of it.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.incoming.drain(..self.opened);
        self.opened = 0;
        self.incoming.extend_from_slice(bytes);
    }

    /// Opens the next frame, if all of it is here, and appends its plain bytes. Says whether there was one. After a fault it
    /// says the same for ever.
    pub fn next_plain(&mut self, codecs: &mut Codecs, plain: &mut Vec<u8>) -> Result<bool, Fault> {
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        let Some(head) = self.front() else { return Ok(false) };
        let from = self.opened.saturating_add(HEADER_BYTES);
        let to = from.saturating_add(head.len);
        let Some(body) = self.incoming.get(from..to) else { return Ok(false) };
        let before = plain.len();
        let outcome = if head.seq != 0 && head.seq != self.expected && !self.sends_commands {
            Err(Fault::OutOfOrder)
        } else if head.plain_len == 0 {
            plain.extend_from_slice(body);
            Ok(())
        } else {
            codecs.open(self.agreed, body, head.plain_len, plain)
        };
        self.expected = head.seq.wrapping_add(1);
        self.opened = to;
        if self.opened == self.incoming.len() {
            self.incoming.clear();
            self.incoming.shrink_to(COMPRESSED_BUFFER_KEPT_BYTES);
            self.opened = 0;
        }
        if !self.sends_commands {
            self.marks.push_back((self.received, head.seq));
        }
        if let Err(fault) = outcome {
            // The last word is about this frame.
            self.received = self.received.saturating_add(1);
            self.failed = Some(fault);
            return Err(fault);
        }
        self.received = self.received.saturating_add(plain.len().saturating_sub(before) as u64);
        Ok(true)
    }

    /// True when [`Compressed::next_plain`] has something to say.
    pub fn is_due(&self) -> bool {
        let waiting = self.incoming.len().saturating_sub(self.opened);
        self.front().is_some_and(|head| head.len.saturating_add(HEADER_BYTES) <= waiting)
    }

    /// The peer's reader has come so far that `unread` plain bytes are left: what is sent from here on answers what it has read.
    pub fn handle_read(&mut self, unread: usize) {
        let read = self.received.saturating_sub(unread as u64);
        while let Some((_, seq)) = self.marks.front().copied().filter(|(begins, _)| *begins < read) {
            self.marks.pop_front();
            self.seq = seq.wrapping_add(1);
        }
    }

    /// What is sent from here on answers what came last, and is no command: the file that a server asked for, more for
    /// a change of user.
    pub fn follow(&mut self) {
        self.seq = self.expected;
    }

    /// A command begins `at` bytes from the front of what is to be sealed next: its frames count from 0.
    pub fn begin_command(&mut self, at: usize) {
        if self.begins.last() != Some(&at) {
            self.begins.push(at);
        }
    }

    /// Appends the frames of `plain`.
    pub fn seal(&mut self, codecs: &mut Codecs, plain: &[u8], out: &mut Vec<u8>) {
        let begins = std::mem::take(&mut self.begins);
        let mut at = 0usize;
        let ends = begins.iter().skip_while(|begin| **begin == 0).copied().chain([plain.len()]);
        let mut is_begin = begins.first() == Some(&0);
        for end in ends {
            if is_begin {
                self.seq = 0;
            }
            for part in plain.get(at..end).unwrap_or_default().chunks(COMPRESSED_PLAIN_BYTES_MAX) {
                self.put_frame(codecs, part, out);
            }
            (at, is_begin) = (end, true);
        }
    }

    fn put_frame(&mut self, codecs: &mut Codecs, part: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let body_at = out.len();
        let is_smaller = part.len() >= PLAIN_BYTES_MIN && codecs.shrink(self.agreed, part, out);
        if !is_smaller {
            out.extend_from_slice(part);
        }
        let head = Head {
            len: out.len().saturating_sub(body_at),
            seq: self.seq,
            plain_len: if is_smaller { part.len() } else { 0 },
        };
        if let Some(place) = out.get_mut(at..body_at) {
            place.copy_from_slice(&head.encode());
        }
        self.seq = self.seq.wrapping_add(1);
        self.expected = self.seq;
    }

    fn front(&self) -> Option<Head> {
        self.incoming.get(self.opened..)?.first_chunk().map(|bytes| Head::decode(*bytes))
    }
}

struct Head {
    len: usize,
    seq: u8,
    plain_len: usize,
}

impl Head {
    fn decode([a, b, c, seq, x, y, z]: [u8; HEADER_BYTES]) -> Head {
        let number = |bytes| u32::from_le_bytes(bytes) as usize;
        Head { len: number([a, b, c, 0]), seq, plain_len: number([x, y, z, 0]) }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.len <= PAYLOAD_MAX && self.plain_len <= PAYLOAD_MAX);
        let [a, b, c, ..] = (self.len as u32).to_le_bytes();
        let [x, y, z, ..] = (self.plain_len as u32).to_le_bytes();
        [a, b, c, self.seq, x, y, z]
    }
}

/// The level that is used for what a client asked for.
fn zstd_level(asked: u8) -> i32 {
    i32::from(asked.clamp(1, ZSTD_LEVEL_MAX))
}

#[cfg(test)]
mod tests;
