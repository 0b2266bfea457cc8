//! The compressed protocol as a client speaks it, written for the tests: an oracle for `weir_net::compress`, which it does not use.
//!
//! Invariant: like MySQL's own client it takes no frame out of order, where order begins anew with each command.
//! Rule: MySQL "Compressed Packet"; `net_serv.cc`.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// How a client wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Zlib,
    Zstd(u8),
}

#[derive(Debug)]
pub struct Squeeze {
    way: Way,
    seq: u8,
    /// Plain bytes of one frame at most: what MySQL's client does, or a test's own choice.
    pub piece_bytes: usize,
    frames: Vec<u8>,
    /// What comes out of order is an error.
    pub is_strict: bool,
    /// The number of the last frame that came.
    pub last_seq: u8,
    /// Frames that came, and those that were compressed.
    pub received: (usize, usize),
}

const HEADER_BYTES: usize = 7;
const FRAME_BYTES_MAX: usize = 0xff_ffff;
/// Shorter ones go as they are.
const SQUEEZED_BYTES_MIN: usize = 50;

impl Squeeze {
    pub fn new(way: Way) -> Squeeze {
        Squeeze {
            way,
            seq: 0,
            piece_bytes: FRAME_BYTES_MAX,
            frames: Vec::new(),
            is_strict: true,
            last_seq: 0,
            received: (0, 0),
        }
    }

    pub fn begin_command(&mut self) {
        self.seq = 0;
    }

    /// The frames of these bytes.
    pub fn pack(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in plain.chunks(self.piece_bytes.max(1)) {
            let packed = if piece.len() < SQUEEZED_BYTES_MIN { Vec::new() } else { self.shrink(piece) };
            let (body, plain_len) =
                if packed.is_empty() || packed.len() >= piece.len() { (piece, 0) } else { (&packed[..], piece.len()) };
            out.extend_from_slice(&frame_head(body.len(), self.seq, plain_len));
            out.extend_from_slice(body);
            self.seq = self.seq.wrapping_add(1);
        }
        out
    }

    /// Takes bytes from the wire, and appends what they open to.
    pub fn unpack(&mut self, raw: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        self.frames.extend_from_slice(raw);
        let mut at = 0;
        while let Some(head) = self.frames.get(at..at + HEADER_BYTES) {
            let len = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            let plain_len = u32::from_le_bytes([head[4], head[5], head[6], 0]) as usize;
            let seq = head[3];
            let Some(body) = self.frames.get(at + HEADER_BYTES..at + HEADER_BYTES + len) else { break };
            // Commands that were sent ahead count by themselves: their replies begin with 1 again.
            self.last_seq = seq;
            if self.is_strict && seq != self.seq && seq != 1 {
                return Err(io::Error::other(format!("frame {seq} instead of {}", self.seq)));
            }
            self.seq = seq.wrapping_add(1);
            self.received.0 += 1;
            if plain_len == 0 {
                plain.extend_from_slice(body);
            } else {
                self.received.1 += 1;
                let opened = expand(self.way, body, plain_len)?;
                if opened.len() != plain_len {
                    return Err(io::Error::other(format!("{} bytes instead of {plain_len}", opened.len())));
                }
                plain.extend_from_slice(&opened);
            }
            at += HEADER_BYTES + len;
        }
        self.frames.drain(..at);
        Ok(())
    }

    pub fn shrink(&self, plain: &[u8]) -> Vec<u8> {
        match self.way {
            Way::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default()
            }
            Way::Zstd(level) => {
                let mut out = vec![0; zstd_safe::compress_bound(plain.len())];
                let len = zstd_safe::compress(&mut out[..], plain, i32::from(level)).unwrap_or(0);
                out.truncate(len);
                out
            }
        }
    }
}

pub fn frame_head(len: usize, seq: u8, plain_len: usize) -> [u8; HEADER_BYTES] {
    let [a, b, c, _] = (len as u32).to_le_bytes();
    let [x, y, z, _] = (plain_len as u32).to_le_bytes();
    [a, b, c, seq, x, y, z]
}

fn expand(way: Way, body: &[u8], plain_len: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match way {
        Way::Zlib => {
            ZlibDecoder::new(body).read_to_end(&mut out)?;
        }
        Way::Zstd(_) => {
            out.resize(plain_len, 0);
            let len =
                zstd_safe::decompress(&mut out[..], body).map_err(|code| io::Error::other(format!("zstd {code}")))?;
            out.truncate(len);
        }
    }
    Ok(out)
}
