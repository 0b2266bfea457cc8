//! Binary logs: any events are read or refused, and a log that was built from transactions is read back as these.
//!
//! ```text
//!   input ─► way ─┬─► pieces, each an event as it stands ─► an answer, never a number that no GTID has
//!                 └─► transactions ─► events, noise between them, some cut ─► the same transactions
//! ```
//! The writer of events here is its own: it is written from MySQL's pages, not from the reader.

use weir_net::binlog::{Transactions, Writer, put_dump_gtid};
use weir_net::gtid::{GNO_MAX, GtidSet, Sid};

use crate::draw::Draw;

type Told = (Sid, u64, Writer);

pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    match draw.below(3) {
        0 => check_noise(&mut draw),
        1 => check_log(&mut draw),
        _ => check_dump(&mut draw),
    }
}

/// Events of any bytes: what is told is a transaction that there can be, and each begun one is told of once.
fn check_noise(draw: &mut Draw<'_>) {
    let mut transactions = Transactions::default();
    let (mut begun, mut told) = (0, 0);
    while !draw.is_empty() {
        let event = draw.piece();
        let is_gtid = matches!(event.get(TYPE_AT), Some(&(GTID | GTID_TAGGED)));
        let outcome = transactions.handle_event(event);
        begun += usize::from(is_gtid && outcome.is_ok());
        let Ok(Some(one)) = outcome else { continue };
        check_told(&one);
        told += 1;
    }
    if let Some(one) = transactions.finish() {
        check_told(&one);
        told += 1;
    }
    assert_eq!(begun, told);
    assert_eq!(transactions.finish(), None);
}

fn check_told((sid, number, _): &Told) {
    assert!((1..=GNO_MAX).contains(number));
    assert!(sid.tag.as_ref().is_none_or(|tag| (1..=TAG_BYTES_MAX).contains(&tag.len())));
}

/// A log of transactions as servers write them.
fn check_log(draw: &mut Draw<'_>) {
    let mut transactions = Transactions::default();
    let (mut expected, mut told) = (Vec::new(), Vec::new());
    while !draw.is_empty() && expected.len() < TRANSACTIONS_MAX {
        let (events, is) = transaction(draw);
        expected.extend(is);
        for event in events {
            check_cuts(draw, &event);
            told.extend(transactions.handle_event(&event).expect("as the pages say"));
        }
    }
    told.extend(transactions.finish());
    assert_eq!(told, expected);
}

/// A cut event is refused when what it lacks is needed; one that is longer (a checksum, a later version's fields) is not.
fn check_cuts(draw: &mut Draw<'_>, event: &[u8]) {
    let needed = match event[TYPE_AT] {
        GTID => HEADER_BYTES + 25,
        QUERY => HEADER_BYTES + 4,
        GTID_TAGGED => return check_cut_tagged(draw, event),
        _ => HEADER_BYTES,
    };
    let len = usize::from(draw.u16()) % (event.len() + 1);
    let outcome = Transactions::default().handle_event(&event[..len]);
    assert_eq!(outcome.is_err(), len < needed, "{len} of {event:?}");
}

/// Its fields are as long as they are: only that it ends, and that its head alone is refused.
fn check_cut_tagged(draw: &mut Draw<'_>, event: &[u8]) {
    let len = usize::from(draw.u16()) % (event.len() + 1);
    let outcome = Transactions::default().handle_event(&event[..len]);
    assert!(outcome.is_err() || len > HEADER_BYTES + 20, "{len} of {event:?}");
}

/// The events of one transaction, and what is to be read from them.
fn transaction(draw: &mut Draw<'_>) -> (Vec<Vec<u8>>, Option<Told>) {
    let at_s = draw.u32();
    let uuid = [draw.u8(); 16];
    let number = 1 + draw.u64() % GNO_MAX;
    let (head, sid) = match draw.below(4) {
        0 => (event(draw, at_s, ANONYMOUS_GTID, &[0; 25]), None),
        1 | 2 => {
            let sid = Sid::of(uuid);
            (event(draw, at_s, GTID, &gtid_body(&uuid, number)), Some(sid))
        }
        _ => {
            let len = draw.below(TAG_BYTES_MAX + 1);
            let tag: String = (0..len).map(|_| char::from(b'a' + draw.u8() % 26)).collect();
            let body = tagged_body(&uuid, number, &tag);
            let sid = Sid { uuid, tag: (!tag.is_empty()).then(|| tag.into()) };
            (event(draw, at_s, GTID_TAGGED, &body), Some(sid))
        }
    };
    let mut events = vec![head];
    noise(draw, &mut events, at_s);
    let mut writer = Writer::Hidden;
    match draw.below(4) {
        0 => {}
        1 => events.push(event(draw, at_s, TRANSACTION_PAYLOAD, &[9; 12])),
        _ => {
            let id = draw.u32();
            events.push(event(draw, at_s, QUERY, &query_body(id)));
            writer = Writer::Thread { id, at_s };
            // Savepoints write further ones, and an applier's may be of another thread.
            if draw.coin() {
                let other = draw.u32();
                events.push(event(draw, at_s, QUERY, &query_body(other)));
            }
        }
    }
    noise(draw, &mut events, at_s);
    (events, sid.map(|sid| (sid, number, writer)))
}

/// Rows, table maps, ends, rotations: whatever says nothing about whose a transaction is.
fn noise(draw: &mut Draw<'_>, events: &mut Vec<Vec<u8>>, at_s: u32) {
    for _ in 0..draw.below(3) {
        let kind = draw.pick(&[4, 15, 16, 19, 30, 31, 32, 35, 41, 250]);
        let body = draw.piece().to_vec();
        events.push(event(draw, at_s, kind, &body));
    }
}

/// Rule: MySQL "Binlog Event Header". With a checksum behind it, or without.
fn event(draw: &mut Draw<'_>, at_s: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = at_s.to_le_bytes().to_vec();
    event.push(kind);
    event.extend_from_slice(&7u32.to_le_bytes());
    event.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_le_bytes());
    event.extend_from_slice(&[0; 6]);
    event.extend_from_slice(body);
    if draw.coin() {
        event.extend_from_slice(&[0xaa; 4]);
    }
    event
}

/// Rule: MySQL "Gtid_event": flags, source, number, and the logical clock's type, which may be missing.
fn gtid_body(uuid: &[u8; 16], number: u64) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(uuid);
    body.extend_from_slice(&number.to_le_bytes());
    body
}

fn query_body(id: u32) -> Vec<u8> {
    let mut body = id.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 0, 3, 0, 0, 5, 0]);
    body.extend_from_slice(b"db1\0BEGIN");
    body
}

/// Rule: "mysql::serialization": version, size, the last field that must be known, and each field behind its number.
fn tagged_body(uuid: &[u8; 16], number: u64, tag: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    put_varlen(&mut fields, 0);
    put_varlen(&mut fields, 1);
    put_varlen(&mut fields, 1);
    uuid.iter().for_each(|byte| put_varlen(&mut fields, u64::from(*byte)));
    put_varlen(&mut fields, 2);
    // Signed: the sign is the lowest bit.
    put_varlen(&mut fields, number << 1);
    put_varlen(&mut fields, 3);
    put_varlen(&mut fields, tag.len() as u64);
    fields.extend_from_slice(tag.as_bytes());
    let mut body = Vec::new();
    put_varlen(&mut body, 1);
    put_varlen(&mut body, fields.len() as u64);
    put_varlen(&mut body, 4);
    body.extend(fields);
    body
}

/// As few bytes as hold it: each further one is announced by a one at the low end of the first.
fn put_varlen(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - value.leading_zeros().min(63);
    let more = (bits.div_ceil(7) - 1).min(8);
    if more == 8 {
        out.push(0xff);
        return out.extend_from_slice(&value.to_le_bytes());
    }
    let all = (value << (more + 1)) | ((1 << more) - 1);
    out.extend_from_slice(&all.to_le_bytes()[..more as usize + 1]);
}

/// A dump asks for a set: the command says how long it is, and each interval is in it.
fn check_dump(draw: &mut Draw<'_>) {
    let known = GtidSet::parse(draw.rest()).unwrap_or_default();
    let mut out = Vec::new();
    put_dump_gtid(&mut out, &known);
    let (head, set) = out.split_at(DUMP_HEAD_BYTES);
    assert_eq!(head[DUMP_HEAD_BYTES - 4..], (set.len() as u32).to_le_bytes());
    assert_eq!(read_set(set), known);
}

/// Rule: MySQL "Gtid_set::encode", and its form with tags: how many sources, and of each its intervals, ends not included.
fn read_set(bytes: &[u8]) -> GtidSet {
    let mut draw = Draw::new(bytes);
    let head = draw.u64();
    let (has_tags, count) = if head >> 56 == 1 { (true, head << 8 >> 16) } else { (false, head) };
    let mut set = GtidSet::new();
    for _ in 0..count {
        let uuid = draw.take(16).try_into().expect("a source");
        let tag = if has_tags {
            let len = usize::from(draw.u8() >> 1);
            Some(String::from_utf8(draw.take(len).to_vec()).expect("a tag")).filter(|tag| !tag.is_empty())
        } else {
            None
        };
        let sid = Sid { uuid, tag: tag.map(Into::into) };
        for _ in 0..draw.u64() {
            let (first, end) = (draw.u64(), draw.u64());
            set.add(sid.clone(), first, end - 1);
        }
    }
    assert!(draw.is_empty());
    set
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut draw = Draw::new(&[]);
    let uuid = [0xfe; 16];
    let mut log = vec![0];
    let events = [
        event(&mut draw, 1, GTID, &gtid_body(&uuid, 5)),
        event(&mut draw, 1, QUERY, &query_body(11)),
        event(&mut draw, 1, GTID_TAGGED, &tagged_body(&uuid, GNO_MAX, "blue")),
        event(&mut draw, 1, TRANSACTION_PAYLOAD, &[9; 12]),
        event(&mut draw, 1, ANONYMOUS_GTID, &[0; 25]),
        event(&mut draw, 1, GTID_TAGGED, &tagged_body(&uuid, 300, "")),
    ];
    for event in &events {
        log.push(event.len() as u8);
        log.extend_from_slice(event);
    }
    let cut: Vec<u8> = log.iter().take(log.len() / 2).copied().collect();
    let built = |salt: u8| {
        let noise = (0..250u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ salt);
        std::iter::once(1).chain(noise).collect::<Vec<u8>>()
    };
    let sets = [
        "\u{2}3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:9",
        "\u{2}3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:tag:7,4e11fa47-71ca-11e1-9e33-c80aa9429562:3",
        "\u{2}3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9223372036854775806",
    ];
    let mut all = vec![log, cut, built(0), built(0x55), built(0xa3)];
    all.extend(sets.map(|set| set.as_bytes().to_vec()));
    all
}

const TYPE_AT: usize = 4;
const HEADER_BYTES: usize = 19;
const DUMP_HEAD_BYTES: usize = 1 + 2 + 4 + 4 + 8 + 4;
const TAG_BYTES_MAX: usize = 32;
/// More shows nothing that fewer do not.
const TRANSACTIONS_MAX: usize = 64;

const QUERY: u8 = 2;
const GTID: u8 = 33;
const ANONYMOUS_GTID: u8 = 34;
const TRANSACTION_PAYLOAD: u8 = 40;
const GTID_TAGGED: u8 = 42;
