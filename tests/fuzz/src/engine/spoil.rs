//! Spoiling: what a sloppy or hostile peer makes of bytes that were right.

use weir_net::outcome::ErrPacket;
use weir_net::packet;

use crate::draw::Draw;

/// How many ways there are; 0 leaves the bytes alone.
pub const WAYS: usize = 12;

/// Errors that a gate looks at.
const CODES: [u16; 10] = [1064, 1040, 1045, 1053, 1213, 1290, 1615, 1836, 4031, 1129];

/// Bytes that were right, as they are sent.
pub fn spoil(bytes: &[u8], draw: &mut Draw<'_>) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let way = draw.below(WAYS);
    if way == 0 || out.is_empty() {
        return out;
    }
    let at = usize::from(draw.u8()) % out.len();
    match way {
        1 => out[at] ^= draw.u8() | 1,
        2 => out.truncate(at),
        3 => out.extend_from_slice(bytes),
        4 => out.extend_from_slice(draw.piece()),
        // The sequence number.
        5 => out[3.min(bytes.len() - 1)] = draw.u8(),
        // A length of 16 MiB.
        6 => out.iter_mut().take(3).for_each(|byte| *byte = 0xff),
        // An empty packet in front.
        7 => drop(out.splice(0..0, [0, 0, 0, draw.u8()])),
        8 => drop(out.splice(at..at, draw.piece().iter().copied())),
        9 => drop(out.drain(..at)),
        10 => {
            let mut payload = Vec::new();
            ErrPacket { code: draw.pick(&CODES), state: *b"HY000", message: b"--read-only" }.encode(&mut payload);
            let seq = out.get(3).copied().unwrap_or(1);
            out.clear();
            packet::put(&mut out, seq, &payload);
        }
        _ => out.fill(draw.u8()),
    }
    out
}
