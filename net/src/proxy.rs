//! The PROXY header: what a balancer in front of the gate says about the client, before anything else.
//!
//! ```text
//! v1  PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306 CR LF            at most 107 bytes, one space between words
//! v2  signature 12 | version, command | family | length 2 | addresses | TLVs: type, length 2, value
//! ```
//! Invariant: how the header was cut into pieces changes nothing: either more bytes are wanted, or so many of them are the header.
//! What can't become a header is refused at the first byte that says so. Names of TLVs are not looked at but for the checksum,
//! which must be right if it is there. It does not know who may send a header: [`Networks`] does.
//! Rule: "The PROXY protocol, versions 1 & 2" (HAProxy, 2020-03-05), sections 2.1 and 2.2.

mod crc32c;
mod networks;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Malformed;
use crate::limits::PROXY_V2_BYTES_MAX;
use crate::reader::Reader;
pub use networks::Networks;

/// Who the client is, by the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing: the balancer speaks for itself (a health check), or does not know.
    Nothing,
    Tcp(SocketAddr),
    /// It came by a Unix socket.
    Unix,
}

/// Reads a header at the front of `bytes`: what it says and its length, or `None` when more bytes are wanted.
pub fn decode(bytes: &[u8]) -> Result<Option<(Told, usize)>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => text(bytes),
        Some(b'\r') => binary(bytes),
        Some(_) => Err(Malformed("what came first is no PROXY header")),
    }
}

/// True for the beginning of either.
fn begins_as(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.iter().zip(wanted).all(|(have, want)| have == want)
}

fn text(bytes: &[u8]) -> Result<Option<(Told, usize)>, Malformed> {
    if !begins_as(bytes, V1_BEGIN) {
        return Err(Malformed("what came first is no PROXY header"));
    }
    let Some(end) = bytes.iter().take(V1_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_BYTES_MAX { Ok(None) } else { Err(Malformed("a PROXY header above 107 bytes")) };
    };
    let line = bytes.get(V1_BEGIN.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).ok_or(BAD_LINE)?;
    let mut words = line.split(' ');
    let told = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => return Ok(Some((Told::Nothing, end.saturating_add(1)))),
        Some("TCP4") => address_of(&mut words, |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4))?,
        Some("TCP6") => address_of(&mut words, |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?,
        _ => return Err(BAD_LINE),
    };
    Ok(Some((Told::Tcp(told), end.saturating_add(1))))
}

/// Source, destination, and their ports; the destination is the gate itself and of no use.
fn address_of<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    ip: fn(&str) -> Option<IpAddr>,
) -> Result<SocketAddr, Malformed> {
    let mut next = || words.next().ok_or(BAD_LINE);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    let address = ip(source).filter(|_| ip(destination).is_some()).ok_or(BAD_LINE)?;
    let port = port(source_port).filter(|_| port(destination_port).is_some()).ok_or(BAD_LINE)?;
    match words.next() {
        None => Ok(SocketAddr::new(address, port)),
        Some(_) => Err(BAD_LINE),
    }
}

fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}

fn binary(bytes: &[u8]) -> Result<Option<(Told, usize)>, Malformed> {
    if !begins_as(bytes, V2_SIGNATURE) {
        return Err(Malformed("what came first is no PROXY header"));
    }
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD_BYTES) else { return Ok(None) };
    let mut reader = Reader::new(head);
    reader.take(V2_SIGNATURE.len())?;
    let (command, family) = (reader.u8()?, reader.u8()?);
    let len = usize::from(u16::from_be_bytes(reader.array()?));
    if !matches!(command, LOCAL | PROXY) {
        return Err(Malformed("a PROXY header of another version or command"));
    }
    let whole = V2_HEAD_BYTES.saturating_add(len);
    if whole > PROXY_V2_BYTES_MAX {
        return Err(Malformed("a PROXY header above 16 KiB"));
    }
    let Some(body) = rest.get(..len) else { return Ok(None) };
    let mut reader = Reader::new(body);
    let told = match family {
        // A receiver is to take it that nobody can say.
        UNSPEC => Told::Nothing,
        TCP_OVER_IPV4 | UDP_OVER_IPV4 => {
            let ([source, _], port) = (ends::<4>(&mut reader)?, ports(&mut reader)?);
            Told::Tcp(SocketAddr::new(IpAddr::from(source), port))
        }
        TCP_OVER_IPV6 | UDP_OVER_IPV6 => {
            let ([source, _], port) = (ends::<16>(&mut reader)?, ports(&mut reader)?);
            Told::Tcp(SocketAddr::new(IpAddr::from(source), port))
        }
        UNIX_STREAM | UNIX_DATAGRAM => {
            reader.take(UNIX_BYTES)?;
            Told::Unix
        }
        _ => return Err(Malformed("a PROXY header of an unknown address family")),
    };
    // Where addresses are of no known form, what follows is not known either.
    if family != UNSPEC {
        check_values(bytes.get(..whole).unwrap_or_default(), reader.rest())?;
    }
    Ok(Some((if command == LOCAL { Told::Nothing } else { told }, whole)))
}

fn ends<const N: usize>(reader: &mut Reader<'_>) -> Result<[[u8; N]; 2], Malformed> {
    Ok([reader.array()?, reader.array()?])
}

fn ports(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let source = u16::from_be_bytes(reader.array()?);
    reader.array::<2>()?;
    Ok(source)
}

/// Steps over the TLVs at the end of `whole`, and verifies the checksum if one of them is that.
fn check_values(whole: &[u8], values: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(values);
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let len = u16::from_be_bytes(reader.array()?);
        let value = reader.take(usize::from(len))?;
        if kind == TLV_CRC32C {
            let told = value
                .try_into()
                .map(u32::from_be_bytes)
                .map_err(|_| Malformed("a PROXY checksum of another length"))?;
            // Its own four bytes count as zero.
            let behind = reader.remaining();
            let at = whole.len().saturating_sub(behind).saturating_sub(value.len());
            let (before, rest) = whole.split_at_checked(at).unwrap_or_default();
            let after = rest.get(value.len()..).unwrap_or_default();
            if crc32c::of([before, &[0; 4], after]) != told {
                return Err(Malformed("the PROXY header's checksum is wrong"));
            }
        }
    }
    Ok(())
}

const V1_BEGIN: &[u8] = b"PROXY ";
const V1_BYTES_MAX: usize = 107;
const BAD_LINE: Malformed = Malformed("a PROXY header whose line is not as it must be");

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD_BYTES: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPEC: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const UDP_OVER_IPV4: u8 = 0x12;
const TCP_OVER_IPV6: u8 = 0x21;
const UDP_OVER_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
/// Two paths of 108 bytes.
const UNIX_BYTES: usize = 216;
const TLV_CRC32C: u8 = 0x03;

#[cfg(test)]
mod tests;
