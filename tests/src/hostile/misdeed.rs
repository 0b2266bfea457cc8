//! What a hostile backend does instead of answering, and how each is written.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_net::flags::{Capabilities, Status};
use weir_net::greeting::Greeting;
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet::{self, PAYLOAD_MAX};
use weir_net::writer::Put;

use super::limits;
use super::peer::Dice;

/// Instead of a reply to a query, on a connection that was honest so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    RandomBytes,
    WrongSequence,
    /// Half of a result, then nothing more.
    HalfAndSilent,
    /// Half of a result, then the end.
    HalfAndGone,
    /// A reset in the middle of a row.
    HalfAndReset,
    Silent,
    /// The claim of an OK of 16 MiB, byte by byte as far as it is taken.
    HugeOk,
    /// 65,535 columns, each with a name of 16 KiB.
    ManyColumns,
    /// A column count of four gigabytes.
    AbsurdCount,
    EndlessRows,
    /// One row that never ends: full packet after full packet.
    EndlessRow,
    /// OK after OK, each with the flag that more results follow.
    EndlessResults,
    /// The wish for a file that nobody has offered.
    UnaskedFile,
    /// A right reply, and another one that nobody has asked for.
    TwoReplies,
    /// An OK whose length-encoded parts claim a gigabyte.
    LyingLengths,
    EmptyPackets,
    /// A right reply, one byte at a time.
    Slow,
}

pub const MISDEEDS: [Misdeed; 17] = [
    Misdeed::RandomBytes,
    Misdeed::WrongSequence,
    Misdeed::HalfAndSilent,
    Misdeed::HalfAndGone,
    Misdeed::HalfAndReset,
    Misdeed::Silent,
    Misdeed::HugeOk,
    Misdeed::ManyColumns,
    Misdeed::AbsurdCount,
    Misdeed::EndlessRows,
    Misdeed::EndlessRow,
    Misdeed::EndlessResults,
    Misdeed::UnaskedFile,
    Misdeed::TwoReplies,
    Misdeed::LyingLengths,
    Misdeed::EmptyPackets,
    Misdeed::Slow,
];

/// Instead of a greeting or in the middle of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    RandomBytes,
    Silent,
    Gone,
    /// "Too many connections".
    Full,
    HalfGreeting,
    HugeGreeting,
    OldProtocol,
    /// A greeting, and silence after the login.
    DeafAfterLogin,
    RandomAfterLogin,
    /// One switch of plugin after the other.
    EndlessSwitches,
    /// "More data" again and again.
    EndlessData,
    UnknownPlugin,
    /// An OK, and then rubbish behind it.
    OkAndMore,
}

pub const WELCOMES: [Welcome; 13] = [
    Welcome::RandomBytes,
    Welcome::Silent,
    Welcome::Gone,
    Welcome::Full,
    Welcome::HalfGreeting,
    Welcome::HugeGreeting,
    Welcome::OldProtocol,
    Welcome::DeafAfterLogin,
    Welcome::RandomAfterLogin,
    Welcome::EndlessSwitches,
    Welcome::EndlessData,
    Welcome::UnknownPlugin,
    Welcome::OkAndMore,
];

/// What a query's misdeed leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection goes on, honestly.
    GoOn,
    /// Nothing more is said; the connection stays open until the gate closes it.
    Silence,
    Close,
    Reset,
}

/// Commits it on a connection whose gate waits for the reply to a query.
pub fn commit(deed: Misdeed, to: &mut TcpStream, over: &AtomicBool) -> io::Result<Then> {
    let mut dice = Dice::new(deed as u64 + 1);
    match deed {
        Misdeed::RandomBytes => to.write_all(&dice.bytes(5_000)).map(|()| Then::Silence),
        Misdeed::WrongSequence => to.write_all(&result(3)).map(|()| Then::Silence),
        Misdeed::HalfAndSilent => half(to).map(|()| Then::Silence),
        Misdeed::HalfAndGone => half(to).map(|()| Then::Close),
        Misdeed::HalfAndReset => half(to).map(|()| Then::Reset),
        Misdeed::Silent => Ok(Then::Silence),
        Misdeed::HugeOk => {
            to.write_all(&[0xff, 0xff, 0xff, 1, 0])?;
            flood(to, &[0; 8192], over)
        }
        Misdeed::ManyColumns => {
            let mut bytes = Vec::new();
            let mut seq = packet::put(&mut bytes, 1, &[0xfc, 0xff, 0xff]);
            for _ in 0..64 {
                seq = packet::put(&mut bytes, seq, &column(16 << 10));
            }
            to.write_all(&bytes)?;
            numbered(to, seq, &column(16 << 10), over)
        }
        Misdeed::AbsurdCount => framed(to, 1, &[0xfe, 0, 0, 0, 0, 1, 0, 0, 0]).map(|()| Then::Silence),
        Misdeed::EndlessRows => {
            to.write_all(&head())?;
            numbered(to, 3, &row(8_000), over)
        }
        Misdeed::EndlessRow => {
            to.write_all(&head())?;
            endless_row(to, over)
        }
        Misdeed::EndlessResults => numbered(to, 1, &ok(Status::MORE_RESULTS), over),
        Misdeed::UnaskedFile => framed(to, 1, b"\xfb/etc/hostname").map(|()| Then::Silence),
        Misdeed::TwoReplies => to.write_all(&[result(1), result(1)].concat()).map(|()| Then::GoOn),
        Misdeed::LyingLengths => {
            let lie = [0xfe, 0, 0, 0, 0x40, 0, 0, 0, 0];
            framed(to, 1, &[&[0], &lie[..], &lie, &[2, 0, 0, 0], &lie, b"x"].concat()).map(|()| Then::Silence)
        }
        Misdeed::EmptyPackets => numbered(to, 1, b"", over),
        Misdeed::Slow => {
            for byte in result(1) {
                to.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(2));
            }
            Ok(Then::GoOn)
        }
    }
}

/// Greets as badly as that. The connection is closed afterwards, at the latest when the tests are over.
pub fn welcome(kind: Welcome, to: &mut TcpStream, over: &AtomicBool) -> io::Result<Then> {
    let mut dice = Dice::new(kind as u64 + 1);
    let read = |to: &mut TcpStream| io::Read::read(to, &mut [0; 4096]).map(|_| ());
    match kind {
        Welcome::RandomBytes => to.write_all(&dice.bytes(3_000)).map(|()| Then::Silence),
        Welcome::Silent => Ok(Then::Silence),
        Welcome::Gone => Ok(Then::Close),
        Welcome::Full => framed(to, 0, &err(1040, b"Too many connections")).map(|()| Then::Close),
        Welcome::HalfGreeting => to.write_all(&greeting(b"caching_sha2_password")[..30]).map(|()| Then::Silence),
        Welcome::HugeGreeting => {
            to.write_all(&[0xff, 0xff, 0xff, 0, 10])?;
            flood(to, &[b'9'; 8192], over)
        }
        Welcome::OldProtocol => framed(to, 0, b"\x093.23\0aaaa").map(|()| Then::Silence),
        _ => {
            let plugin = if kind == Welcome::UnknownPlugin { &b"no_such_plugin"[..] } else { b"caching_sha2_password" };
            to.write_all(&greeting(plugin))?;
            read(to)?;
            after_login(kind, to, &mut dice, over)
        }
    }
}

fn after_login(kind: Welcome, to: &mut TcpStream, dice: &mut Dice, over: &AtomicBool) -> io::Result<Then> {
    match kind {
        Welcome::RandomAfterLogin => to.write_all(&dice.bytes(3_000)).map(|()| Then::Silence),
        Welcome::EndlessSwitches => {
            let switch = [b"\xfemysql_native_password\0".as_slice(), &[7; 20], &[0]].concat();
            numbered(to, 2, &switch, over)
        }
        Welcome::EndlessData => numbered(to, 2, b"\x01\x03", over),
        Welcome::UnknownPlugin => framed(to, 2, b"\xfeno_such_plugin\0aaaaaaaaaaaaaaaaaaaa\0").map(|()| Then::Silence),
        Welcome::OkAndMore => {
            framed(to, 2, &ok(Status::AUTOCOMMIT))?;
            to.write_all(&dice.bytes(500)).map(|()| Then::Silence)
        }
        _ => Ok(Then::Silence),
    }
}

fn half(to: &mut TcpStream) -> io::Result<()> {
    let bytes = result(1);
    to.write_all(&bytes[..bytes.len() - 14])
}

/// The same bytes again and again, as long as they are taken.
fn flood(to: &mut TcpStream, bytes: &[u8], over: &AtomicBool) -> io::Result<Then> {
    let until = Instant::now() + limits::ATTACK;
    let mut sent = 0;
    while sent < limits::FLOOD_BYTES_MAX && Instant::now() < until && !over.load(Ordering::Relaxed) {
        to.write_all(bytes)?;
        sent += bytes.len();
    }
    Ok(Then::Silence)
}

/// The same packet again and again, with right sequence numbers.
fn numbered(to: &mut TcpStream, seq: u8, payload: &[u8], over: &AtomicBool) -> io::Result<Then> {
    let until = Instant::now() + limits::ATTACK;
    let (mut seq, mut sent) = (seq, 0);
    while sent < limits::FLOOD_BYTES_MAX && Instant::now() < until && !over.load(Ordering::Relaxed) {
        let mut bytes = Vec::new();
        for _ in 0..16 {
            seq = packet::put(&mut bytes, seq, payload);
        }
        to.write_all(&bytes)?;
        sent += bytes.len();
    }
    Ok(Then::Silence)
}

fn endless_row(to: &mut TcpStream, over: &AtomicBool) -> io::Result<Then> {
    let until = Instant::now() + limits::ATTACK;
    let part = vec![b'r'; PAYLOAD_MAX];
    let mut seq = 3u8;
    for _ in 0..limits::FLOOD_BYTES_MAX / PAYLOAD_MAX {
        if Instant::now() >= until || over.load(Ordering::Relaxed) {
            break;
        }
        to.write_all(&[0xff, 0xff, 0xff, seq])?;
        to.write_all(&part)?;
        seq = seq.wrapping_add(1);
    }
    Ok(Then::Silence)
}

fn framed(to: &mut TcpStream, seq: u8, payload: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::new();
    packet::put(&mut bytes, seq, payload);
    to.write_all(&bytes)
}

/// One column and one row that says `hostile`, as the gate's connections have it.
fn result(seq: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let seq = packet::put(&mut bytes, seq, &[1]);
    let seq = packet::put(&mut bytes, seq, &column(1));
    let seq = packet::put(&mut bytes, seq, &row_of(b"hostile"));
    let mut end = Vec::new();
    EofPacket { warnings: 0, status: Status::AUTOCOMMIT }.encode(&mut end, Capabilities::DEPRECATE_EOF);
    packet::put(&mut bytes, seq, &end);
    bytes
}

/// Count and definition: rows follow with number 3.
fn head() -> Vec<u8> {
    let mut bytes = Vec::new();
    let seq = packet::put(&mut bytes, 1, &[1]);
    packet::put(&mut bytes, seq, &column(1));
    bytes
}

fn column(name_bytes: usize) -> Vec<u8> {
    let mut payload = b"\x03def\0\0\0".to_vec();
    payload.put_lenenc_bytes(&vec![b'c'; name_bytes]);
    payload.extend_from_slice(b"\0\x0c\xff\0\x14\0\0\0\xfd\0\0\0\0\0");
    payload
}

fn row(bytes: usize) -> Vec<u8> {
    row_of(&vec![b'r'; bytes])
}

fn row_of(cell: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_lenenc_bytes(cell);
    payload
}

fn ok(status: Status) -> Vec<u8> {
    let mut payload = Vec::new();
    OkPacket { status, ..OkPacket::default() }.encode(&mut payload, Capabilities::empty());
    payload
}

fn err(code: u16, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    ErrPacket { code, state: *b"08004", message }.encode(&mut payload);
    payload
}

fn greeting(plugin: &[u8]) -> Vec<u8> {
    let greeting = Greeting {
        version: b"9.7.4",
        connection_id: 7,
        nonce: *b"abcdefghijklmnopqrst",
        capabilities: Capabilities(0xffff_ffff).minus(Capabilities::SSL),
        charset: 255,
        status: Status::AUTOCOMMIT,
        plugin,
    };
    let mut payload = Vec::new();
    greeting.encode(&mut payload);
    let mut bytes = Vec::new();
    packet::put(&mut bytes, 0, &payload);
    bytes
}
