use super::*;

const BOTH: [Agreed; 2] = [Agreed::Zlib, Agreed::Zstd { level: 3 }];

fn text(len: usize) -> Vec<u8> {
    b"a row of a table, ".iter().copied().cycle().take(len).collect()
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn heads(mut frames: &[u8]) -> Vec<(usize, u8, usize)> {
    let mut seen = Vec::new();
    while let Some(head) = frames.first_chunk() {
        let head = Head::decode(*head);
        frames = &frames[HEADER_BYTES + head.len..];
        seen.push((head.len, head.seq, head.plain_len));
    }
    seen
}

fn sealed(agreed: Agreed, plain: &[u8]) -> Vec<u8> {
    let (mut wire, mut codecs, mut out) = (Compressed::new(agreed), Codecs::default(), Vec::new());
    wire.begin_command(0);
    wire.seal(&mut codecs, plain, &mut out);
    out
}

fn open_all(wire: &mut Compressed, codecs: &mut Codecs) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    while wire.next_plain(codecs, &mut plain)? {}
    Ok(plain)
}

/// S46: whatever the pieces in which frames come, the same bytes come out.
#[test]
fn what_goes_in_comes_out() {
    for agreed in BOTH {
        for plain in [text(10), text(49), text(50), text(1000), noise(1000), text(200_000), noise(70_000)] {
            let frames = sealed(agreed, &plain);
            for step in [1, 2, 6, 7, 8, 100, 5000, frames.len()] {
                let (mut wire, mut codecs) = (Compressed::new(agreed), Codecs::default());
                let mut got = Vec::new();
                for piece in frames.chunks(step) {
                    wire.feed(piece);
                    assert_eq!(wire.is_due(), wire.front().is_some_and(|h| wire.incoming.len() >= 7 + h.len));
                    got.extend(open_all(&mut wire, &mut codecs).unwrap());
                }
                assert!(got == plain, "{agreed:?}, {} bytes in steps of {step}", plain.len());
            }
        }
    }
}

/// S46: below 50 bytes nothing is compressed, nor what would not become smaller; long runs are many frames.
#[test]
fn frames() {
    for agreed in BOTH {
        assert_eq!(heads(&sealed(agreed, &text(49))), [(49, 0, 0)]);
        let [(len, 0, 500)] = heads(&sealed(agreed, &text(500)))[..] else { panic!("one frame of 500 bytes") };
        assert!(len < 100);
        assert_eq!(heads(&sealed(agreed, &noise(5000))), [(5000, 0, 0)]);
        let long = heads(&sealed(agreed, &text((64 << 10) * 2 + 10)));
        assert_eq!(long.iter().map(|h| (h.1, h.2)).collect::<Vec<_>>(), [(0, 65536), (1, 65536), (2, 0)]);
    }
}

/// S46: a reply's frames go on from the frame that held the end of its command, also when commands came in advance.
#[test]
fn numbers_of_replies() {
    let frames = |parts: &[(u8, &[u8])]| {
        let mut out = Vec::new();
        for (seq, part) in parts {
            out.extend_from_slice(&Head { len: part.len(), seq: *seq, plain_len: 0 }.encode());
            out.extend_from_slice(part);
        }
        out
    };
    let (mut wire, mut codecs, mut out) = (Compressed::new(Agreed::Zlib), Codecs::default(), Vec::new());
    // A command in three frames, one in one, and half of one.
    wire.feed(&frames(&[(0, b"12"), (1, b"34"), (2, b"5"), (0, b"abc"), (0, b"half")]));
    assert_eq!(open_all(&mut wire, &mut codecs).unwrap(), b"12345abchalf");
    wire.handle_read(7);
    wire.seal(&mut codecs, b"reply", &mut out);
    wire.seal(&mut codecs, b"more", &mut out);
    wire.handle_read(4);
    wire.seal(&mut codecs, b"second", &mut out);
    assert_eq!(heads(&out).iter().map(|h| h.1).collect::<Vec<_>>(), [3, 4, 1]);
    // What the peer sends next follows what was sent, or begins anew.
    wire.feed(&frames(&[(2, b"more of it"), (0, b"next")]));
    assert_eq!(open_all(&mut wire, &mut codecs).unwrap(), b"more of itnext");
    wire.feed(&frames(&[(7, b"?")]));
    assert_eq!(open_all(&mut wire, &mut codecs), Err(Fault::OutOfOrder));
    assert_eq!(open_all(&mut wire, &mut codecs), Err(Fault::OutOfOrder));
}

/// S46: commands that leave together each begin at 0.
#[test]
fn numbers_of_commands() {
    let (mut wire, mut codecs, mut out) = (Compressed::new(Agreed::Zlib), Codecs::default(), Vec::new());
    wire.begin_command(0);
    wire.begin_command(3);
    wire.seal(&mut codecs, b"onetwo", &mut out);
    wire.seal(&mut codecs, b" goes on", &mut out);
    assert_eq!(heads(&out), [(3, 0, 0), (3, 0, 0), (8, 1, 0)]);
}

/// S43, S46: a command goes on by its own numbers while the one before it is answered; a file goes on by those of its request.
#[test]
fn numbers_of_a_command_behind_another() {
    let (mut wire, mut codecs) = (Compressed::to_server(Agreed::Zlib), Codecs::default());
    let mut send = |wire: &mut Compressed, plain: &[u8]| {
        let mut out = Vec::new();
        wire.handle_read(0);
        wire.seal(&mut codecs, plain, &mut out);
        heads(&out).iter().map(|head| head.1).collect::<Vec<_>>()
    };
    wire.begin_command(0);
    wire.begin_command(3);
    assert_eq!(send(&mut wire, b"one, the second"), [0, 0]);
    let reply = |seq| [&Head { len: 2, seq, plain_len: 0 }.encode()[..], b"ok"].concat();
    wire.feed(&reply(5));
    assert_eq!(open_all(&mut wire, &mut Codecs::default()).unwrap(), b"ok");
    assert_eq!(send(&mut wire, b" goes on"), [1]);
    wire.feed(&reply(2));
    assert_eq!(open_all(&mut wire, &mut Codecs::default()).unwrap(), b"ok");
    wire.follow();
    assert_eq!([send(&mut wire, b"the file"), send(&mut wire, b"and its end")], [[3], [4]]);
    wire.begin_command(0);
    assert_eq!(send(&mut wire, b"three"), [0]);
}

/// S46: a frame that lies about its size, is cut, or is no such frame at all.
#[test]
fn broken_frames() {
    for agreed in BOTH {
        let good = sealed(agreed, &text(5000));
        let lie = |plain_len: usize| {
            let mut frame = good.clone();
            frame[4..7].copy_from_slice(&(plain_len as u32).to_le_bytes()[..3]);
            frame
        };
        let mut wire = Compressed::new(agreed);
        wire.feed(&lie(5001));
        let outcome = open_all(&mut wire, &mut Codecs::default());
        let wanted = if agreed == Agreed::Zlib { Ok(text(5000)) } else { Err(Fault::Broken) };
        assert_eq!(outcome, wanted, "{agreed:?}: too little");
        let mut noisy = noise(600);
        noisy[..7].copy_from_slice(&Head { len: 593, seq: 0, plain_len: 600 }.encode());
        let mut cut = good.clone();
        cut.truncate(good.len() - 3);
        let len = cut.len() as u32 - 7;
        cut[..3].copy_from_slice(&len.to_le_bytes()[..3]);
        for (what, frame) in [("too much", lie(4999)), ("far too much", lie(1)), ("noise", noisy), ("cut", cut)] {
            let (mut wire, mut codecs) = (Compressed::new(agreed), Codecs::default());
            wire.feed(&frame);
            assert_eq!(open_all(&mut wire, &mut codecs), Err(Fault::Broken), "{agreed:?} {what}");
            // The core's state serves others as before.
            let mut other = Compressed::new(agreed);
            other.feed(&good);
            assert_eq!(open_all(&mut other, &mut codecs).unwrap(), text(5000), "{agreed:?} {what}");
        }
    }
}

/// S46: a bomb costs 16 MiB at a time, and only when it is asked for; then its memory is given back.
#[test]
fn bombs() {
    for agreed in BOTH {
        let (mut codecs, mut body) = (Codecs::default(), Vec::new());
        assert!(codecs.shrink(agreed, &vec![0; PAYLOAD_MAX], &mut body));
        assert!(body.len() < 20_000, "{}", body.len());
        let mut frame = Head { len: body.len(), seq: 0, plain_len: PAYLOAD_MAX }.encode().to_vec();
        frame.extend_from_slice(&body);
        let mut wire = Compressed::new(agreed);
        wire.feed(&frame.repeat(10));
        for left in (0..10).rev() {
            let mut plain = Vec::new();
            assert_eq!(wire.next_plain(&mut codecs, &mut plain), Ok(true));
            assert_eq!((plain.len(), wire.is_due()), (PAYLOAD_MAX, left > 0));
        }
        assert!(wire.incoming.capacity() <= COMPRESSED_BUFFER_KEPT_BYTES);
    }
}

#[test]
fn what_is_agreed_on() {
    let login = |capabilities| Login { capabilities, zstd_level: 7, ..Login::default() };
    let (zlib, zstd) = (Capabilities::COMPRESS, Capabilities::ZSTD_COMPRESSION);
    let only = |zlib, zstd, uncompressed| Allowed { zlib, zstd, uncompressed };
    let cases = [
        (Allowed::ALL, Capabilities::empty(), Ok(None)),
        (Allowed::ALL, zlib, Ok(Some(Agreed::Zlib))),
        (Allowed::ALL, zstd, Ok(Some(Agreed::Zstd { level: 7 }))),
        (Allowed::ALL, zlib | zstd, Ok(Some(Agreed::Zlib))),
        (only(false, true, true), zlib | zstd, Ok(Some(Agreed::Zstd { level: 7 }))),
        (only(true, true, false), Capabilities::empty(), Err(NotAgreed::Algorithm("uncompressed"))),
        (only(true, false, false), zstd, Err(NotAgreed::Algorithm("uncompressed"))),
        (Allowed::NONE, zlib, Err(NotAgreed::Algorithm("zlib"))),
        (Allowed::NONE, zstd, Err(NotAgreed::Algorithm("zstd"))),
    ];
    for (allowed, wanted, outcome) in cases {
        assert_eq!(allowed.agree(&login(wanted)), outcome, "{allowed:?} {wanted:?}");
    }
    assert_eq!(Allowed::ALL.offered(), zlib | zstd);
    assert_eq!(Allowed::NONE.offered(), Capabilities::empty());
    for zstd_level in [0, 23] {
        let login = Login { capabilities: zstd, zstd_level, ..Login::default() };
        assert_eq!(Allowed::ALL.agree(&login), Err(NotAgreed::Level));
    }
    assert_eq!([0, 1, 9, 22, 255].map(zstd_level), [1, 1, 9, 9, 9]);
}
