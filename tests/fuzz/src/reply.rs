//! The reply scan against noise, and against replies that are right.
//!
//! What holds for any bytes: what is passed, held and judged does not depend on how they were cut; every call moves on;
//! never more is held than a front or one special packet. For a reply that is right: its end is found at its last
//! byte, whatever follows; its special packets, rows and sequence numbers are what was written.
//!
//! ```text
//!   kind, capabilities, shift, cuts ─┬─► noise: the rest as it is
//!                                    └─► script: a reply built from the rest, then rubbish
//! ```

mod relay;
mod script;

use weir_net::flags::Capabilities;
use weir_net::scan::ReplyKind;

use crate::draw::Draw;
use relay::{Cuts, Event, Seen, relay};
use script::Script;

const KINDS: [ReplyKind; 8] = [
    ReplyKind::Query,
    ReplyKind::Execute,
    ReplyKind::Prepare,
    ReplyKind::Fetch,
    ReplyKind::FieldList,
    ReplyKind::Simple,
    ReplyKind::Statistics,
    ReplyKind::Endless,
];

/// How a reply is scanned.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub kind: ReplyKind,
    pub caps: Capabilities,
    pub shift: u8,
    pub marks: bool,
}

pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    let flags = draw.u8();
    let no_eof = if flags & 1 == 1 { Capabilities::DEPRECATE_EOF } else { Capabilities::empty() };
    let tracks = if flags & 2 == 2 { Capabilities::SESSION_TRACK } else { Capabilities::empty() };
    let setting = Setting {
        kind: draw.pick(&KINDS),
        caps: Capabilities::PROTOCOL_41 | no_eof | tracks,
        marks: flags & 4 == 4,
        shift: draw.u8(),
    };
    let cuts = draw.take(8);
    if flags & 8 == 8 {
        check_noise(setting, cuts, draw.rest());
    } else {
        check_script(setting, cuts, &mut draw);
    }
}

fn check_noise(setting: Setting, cuts: &[u8], bytes: &[u8]) {
    let whole = relay(setting, bytes, Cuts::none());
    let cut = relay(setting, bytes, Cuts::of(cuts));
    let single = relay(setting, bytes, Cuts::of(&[0]));
    assert_eq!(cut.events, whole.events, "cut by {cuts:?}");
    assert_eq!(single.events, whole.events, "byte by byte");
    assert_eq!((cut.done, cut.consumed), (whole.done, whole.consumed));
}

fn check_script(setting: Setting, cuts: &[u8], draw: &mut Draw<'_>) {
    let script = Script::drawn(setting, draw);
    let mut bytes = script.bytes.clone();
    bytes.extend_from_slice(draw.rest());
    let whole = relay(setting, &bytes, Cuts::none());
    check_against(setting, &script, &whole);
    for cuts in [cuts, &[0]] {
        let cut = relay(setting, &bytes, Cuts::of(cuts));
        assert_eq!(cut.events, whole.events, "cut by {cuts:?}");
        check_against(setting, &script, &cut);
    }
}

fn check_against(setting: Setting, script: &Script, seen: &Seen) {
    assert!(seen.done, "the end is not found: {:?}", seen.events);
    assert_eq!(seen.consumed, script.bytes.len(), "the end is found elsewhere");
    assert_eq!(seen.rows, script.rows, "rows of the last result");
    let mut forwarded = Vec::new();
    let mut specials = Vec::new();
    let mut marks = 0;
    for event in &seen.events {
        match event {
            Event::Passed(bytes) => forwarded.extend_from_slice(bytes),
            Event::Packet(what, bytes) => {
                forwarded.extend_from_slice(bytes);
                specials.push(*what);
            }
            Event::ColumnsEnd => marks += 1,
            Event::Broken(why) => panic!("a right reply is called broken: {why}"),
        }
    }
    assert_eq!(specials, script.specials);
    assert_eq!(marks, if setting.marks { script.marks } else { 0 }, "marks at the ends of columns");
    assert_eq!(forwarded, script.shifted(setting.shift), "bytes on their way to the client");
}

/// Every kind under every flag, with enough rubbish to draw a reply from.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in 0..KINDS.len() as u8 {
        for flags in 0..16u8 {
            let mut seed = vec![flags, kind, flags % 3];
            seed.extend_from_slice(&[0, 3, 1, 200, 2, 9, 4, 30]);
            let filler = (0..60u8).map(|n| n.wrapping_mul(flags | 1).wrapping_add(kind) % 11);
            seed.extend(filler);
            seeds.push(seed);
        }
    }
    for (kind, bytes) in [
        (0u8, b"\x01\0\0\x01\x01\x04\0\0\x02\x03def\x02\0\0\x03\x01a\x05\0\0\x04\xfe\0\0\x02\0".as_slice()),
        (1, b"\x01\0\0\x01\x01\x04\0\0\x02\x03def\x07\0\0\x03\xfe\0\0\x42\0\0\0"),
        (0, b"\x03\0\0\x01\xfb/f\x07\0\0\x03\0\0\0\x0a\0\0\0\xff\xff\xff\x04"),
        (2, b"\x0c\0\0\x01\0\x01\0\0\0\x01\0\x01\0\0\0\0\x04\0\0\x02\x03def"),
        (3, b"\xff\xff\xff\x01\xfe\x01\0\0\x02\0"),
    ] {
        for flags in [8u8, 9, 12, 13] {
            seeds.push([&[flags, kind, 1, 2, 1, 5, 3, 9, 2, 7, 1], bytes].concat());
        }
    }
    seeds
}
