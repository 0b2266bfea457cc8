//! The greeting: the server's first packet, protocol version 10.
//!
//! ```text
//! 10 | version NUL | connection id 4 | nonce 8 | 0 | caps 0-15 | charset | status 2 | caps 16-31 | nonce len
//!    | 10 zeros | nonce 12 NUL | plugin NUL
//! ```
//! Invariant: the nonce is the 20 bytes that scrambles are made of; its NUL on the wire is not part of it.
//! It does not know ERR packets: a server that refuses before it greets (1040, 1129) sends 0xff first, which the
//! caller tells apart.
//! Rule: MySQL "Protocol::HandshakeV10".

use crate::auth::{NONCE_BYTES, Nonce};
use crate::error::Malformed;
use crate::flags::{Capabilities, Status};
use crate::reader::Reader;
use crate::writer::Put;

const PROTOCOL_VERSION: u8 = 10;
const NONCE_HEAD_BYTES: usize = 8;
const NONCE_TAIL_BYTES: usize = NONCE_BYTES - NONCE_HEAD_BYTES;
/// With its NUL.
const NONCE_BYTES_SENT: u8 = NONCE_BYTES as u8 + 1;
const RESERVED_BYTES: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    pub version: &'a [u8],
    pub connection_id: u32,
    pub nonce: Nonce,
    pub capabilities: Capabilities,
    pub charset: u8,
    pub status: Status,
    /// The plugin that the server would like the first response for. Empty without `PLUGIN_AUTH`.
    pub plugin: &'a [u8],
}

impl<'a> Greeting<'a> {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (head, tail) = self.nonce.split_at(NONCE_HEAD_BYTES);
        let [caps_0, caps_1, caps_2, caps_3, ..] = self.capabilities.0.to_le_bytes();
        out.put_u8(PROTOCOL_VERSION);
        out.put_nul_bytes(self.version);
        out.put_u32(self.connection_id);
        out.put_bytes(head);
        out.put_u8(0);
        out.put_bytes(&[caps_0, caps_1]);
        out.put_u8(self.charset);
        out.put_u16(self.status.0);
        out.put_bytes(&[caps_2, caps_3]);
        let with_plugin = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        out.put_u8(if with_plugin { NONCE_BYTES_SENT } else { 0 });
        out.put_bytes(&[0; RESERVED_BYTES]);
        out.put_bytes(tail);
        out.put_u8(0);
        if with_plugin {
            out.put_nul_bytes(self.plugin);
        }
    }

    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != PROTOCOL_VERSION {
            return Err(Malformed("greeting of another protocol version than 10"));
        }
        let version = reader.nul_bytes()?;
        let connection_id = reader.u32()?;
        let head: [u8; NONCE_HEAD_BYTES] = reader.array()?;
        reader.u8()?;
        let caps_low = reader.u16()?;
        let charset = reader.u8()?;
        let status = Status(reader.u16()?);
        let caps_high = reader.u16()?;
        let capabilities = Capabilities(u64::from(caps_low) | (u64::from(caps_high) << 16));
        // The length of the nonce: fixed to 21 by every server that the scrambles of today work with.
        reader.u8()?;
        reader.take(RESERVED_BYTES)?;
        let tail: [u8; NONCE_TAIL_BYTES] = reader.array()?;
        let mut nonce = [0; NONCE_BYTES];
        for (to, from) in nonce.iter_mut().zip(head.iter().chain(&tail)) {
            *to = *from;
        }
        let plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            reader.u8()?;
            // Servers before 5.5.10 forgot the NUL.
            reader.nul_bytes().unwrap_or_else(|_| reader.rest())
        } else {
            b""
        };
        Ok(Self { version, connection_id, nonce, capabilities, charset, status, plugin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting() -> Greeting<'static> {
        Greeting {
            version: b"9.7.4-weir",
            connection_id: 0x0102_0304,
            nonce: *b"abcdefghijklmnopqrst",
            capabilities: Capabilities::PROTOCOL_41
                | Capabilities::PLUGIN_AUTH
                | Capabilities::SECURE_CONNECTION
                | Capabilities::DEPRECATE_EOF,
            charset: 255,
            status: Status::AUTOCOMMIT,
            plugin: b"caching_sha2_password",
        }
    }

    #[test]
    fn layout() {
        let mut out = Vec::new();
        greeting().encode(&mut out);
        let expected = b"\x0a9.7.4-weir\0\x04\x03\x02\x01abcdefgh\0\x00\x82\xff\x02\x00\x08\x01\x15\
            \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0";
        assert_eq!(out, expected);
        assert_eq!(Greeting::decode(&out), Ok(greeting()));
    }

    #[test]
    fn without_plugin_and_cut_short() {
        let plain = Greeting { capabilities: Capabilities::PROTOCOL_41, plugin: b"", ..greeting() };
        let mut out = Vec::new();
        plain.encode(&mut out);
        assert_eq!(Greeting::decode(&out), Ok(plain));

        out.clear();
        greeting().encode(&mut out);
        let without_nul = &out[..out.len() - 1];
        assert_eq!(Greeting::decode(without_nul), Ok(greeting()));
        for len in 0..out.len() - 22 {
            assert!(Greeting::decode(&out[..len]).is_err(), "{len}");
        }
        out[0] = 9;
        assert!(Greeting::decode(&out).is_err());
    }
}
