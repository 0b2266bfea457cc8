//! Compressed frames: the same comes out however they are cut, what is sealed opens to what it was, and nothing opens to more than
//! it says.

use weir_net::compress::{Agreed, Codecs, Compressed, Fault, HEADER_BYTES};

use crate::draw::Draw;

pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    let agreed = draw.pick(&[Agreed::Zlib, Agreed::Zstd { level: 1 }, Agreed::Zstd { level: 22 }]);
    let (is_noise, step) = (draw.coin(), 1 + usize::from(draw.u8()));
    if is_noise {
        check_noise(agreed, step, draw.rest());
    } else {
        check_pair(agreed, step, draw);
    }
}

/// Any bytes, at once and in pieces.
fn check_noise(agreed: Agreed, step: usize, bytes: &[u8]) {
    let mut codecs = Codecs::default();
    let whole = open(agreed, &mut codecs, [bytes].into_iter());
    let claimed = bytes.first_chunk::<HEADER_BYTES>().map(|head| u32::from_le_bytes([head[4], head[5], head[6], 0]));
    if let (Some(first), Some(claimed)) = (whole.0.first(), claimed) {
        assert!(claimed == 0 || first.len() <= claimed as usize);
    }
    assert!(whole == open(agreed, &mut codecs, bytes.chunks(step)), "pieces of {step} bytes");
}

/// What one end seals, the other opens, whatever was broken before with the same codecs.
fn check_pair(agreed: Agreed, step: usize, mut draw: Draw<'_>) {
    let (mut codecs, mut from, mut frames, mut plain) =
        (Codecs::default(), Compressed::new(agreed), Vec::new(), Vec::new());
    let repeats = 1 + usize::from(draw.u8()) * 8;
    while !draw.is_empty() {
        let part = draw.piece().repeat(repeats);
        if draw.coin() {
            from.begin_command(0);
        }
        from.seal(&mut codecs, &part, &mut frames);
        plain.extend_from_slice(&part);
        // As long as an input may make it.
        if plain.len() > PLAIN_BYTES_MAX {
            break;
        }
    }
    let (opened, fault) = open(agreed, &mut codecs, frames.chunks(step));
    assert_eq!(fault, None);
    assert!(opened.concat() == plain);
}

fn open<'a>(
    agreed: Agreed,
    codecs: &mut Codecs,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, Option<Fault>) {
    let (mut wire, mut opened) = (Compressed::new(agreed), Vec::new());
    for piece in pieces {
        wire.feed(piece);
        loop {
            let mut plain = Vec::new();
            let is_due = wire.is_due();
            match wire.next_plain(codecs, &mut plain) {
                Ok(true) if opened.iter().map(Vec::len).sum::<usize>() > PLAIN_BYTES_MAX => return (Vec::new(), None),
                Ok(true) => opened.push(plain),
                Ok(false) => break assert!(!is_due),
                Err(fault) => {
                    assert!(plain.is_empty(), "nothing of a bad frame is given on");
                    assert_eq!(wire.next_plain(codecs, &mut plain), Err(fault));
                    return (opened, Some(fault));
                }
            }
        }
    }
    (opened, None)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for way in 0..3u8 {
        let agreed = [Agreed::Zlib, Agreed::Zstd { level: 1 }, Agreed::Zstd { level: 22 }][usize::from(way)];
        let (mut codecs, mut frames) = (Codecs::default(), Vec::new());
        let mut wire = Compressed::new(agreed);
        for part in [&b"short"[..], &[7; 300], b"SELECT a, b, a, b, a, b, a, b FROM t WHERE a = b AND b = a AND a = a"]
        {
            wire.seal(&mut codecs, part, &mut frames);
        }
        all.push([&[way, 1, 9], &frames[..]].concat());
        all.push([&[way, 1, 9], &frames[..12], &[0, 0, 0, 1, 0, 0, 0]].concat());
        all.push([&[way, 0, 40, 30], &b"\x20a piece of a long text, and more\x01\x03abc\x00"[..]].concat());
    }
    all
}

/// Bytes in one run of the property.
const PLAIN_BYTES_MAX: usize = 1 << 20;
