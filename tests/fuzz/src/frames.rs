//! Frames: packets, the reader, and every decoder of a command's or reply's payload.
//!
//! What holds: no bytes make a decoder panic or read behind the end; what decodes is written back and decodes to the
//! same; a packet that is patched changes where it should and nowhere else.

use weir_net::column::{self, Column};
use weir_net::command::{ChangeUser, Command, query_text};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket, status_of};
use weir_net::packet::{self, HEADER_BYTES, Header};
use weir_net::reader::Reader;
use weir_net::statement::{self, ExecuteHead, PrepareOk, rebuild_execute};
use weir_net::track::{Track, Tracks, put_track};
use weir_net::writer::Put;

use crate::draw::Draw;

/// One input: capabilities of both sides, a number of parameters, moves of the reader, and a payload for all decoders.
pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    let (caps, other_caps) = (capabilities(&mut draw), capabilities(&mut draw));
    let params = u16::from(draw.u8() % 40);
    let moves = draw.piece();
    let payload = draw.rest();
    check_packets(payload);
    check_reader(moves, payload);
    check_query(payload, caps);
    check_change_user(payload, caps);
    check_execute(payload, params, caps, other_caps);
    check_ok(payload, caps);
    check_err_and_eof(payload);
    check_column(payload);
    check_prepared(payload);
}

/// What a decoder looks at, from two bytes; protocol 4.1 always.
pub fn capabilities(draw: &mut Draw<'_>) -> Capabilities {
    const FLAGS: [Capabilities; 12] = [
        Capabilities::QUERY_ATTRIBUTES,
        Capabilities::DEPRECATE_EOF,
        Capabilities::SESSION_TRACK,
        Capabilities::PLUGIN_AUTH,
        Capabilities::CONNECT_ATTRS,
        Capabilities::SECURE_CONNECTION,
        Capabilities::PLUGIN_AUTH_LENENC_DATA,
        Capabilities::CONNECT_WITH_DB,
        Capabilities::ZSTD_COMPRESSION,
        Capabilities::MULTI_STATEMENTS,
        Capabilities::LOCAL_FILES,
        Capabilities::SSL,
    ];
    let bits = draw.u16();
    let chosen = FLAGS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
    chosen.fold(Capabilities::PROTOCOL_41, |caps, (_, flag)| caps | *flag)
}

fn check_packets(payload: &[u8]) {
    let mut framed = vec![7];
    let next = packet::put(&mut framed, 255, payload);
    let mut in_place = vec![7];
    let at = packet::begin(&mut in_place, 255);
    in_place.extend_from_slice(payload);
    assert_eq!(packet::finish(&mut in_place, at), next);
    assert_eq!(framed, in_place);
    let header = Header::at_front(&framed[1..]);
    assert_eq!(header, Some(Header { payload_len: payload.len() as u32, seq: 255 }));
    if let Some(header) = Header::at_front(payload) {
        assert_eq!(header.encode(), payload[..HEADER_BYTES]);
    }
}

/// Any walk takes from the front, never more than there is, and nothing when it fails.
fn check_reader(moves: &[u8], payload: &[u8]) {
    let mut reader = Reader::new(payload);
    for step in moves {
        let before = reader.remaining();
        let (took, failed) = match step % 12 {
            0 => (1, reader.u8().is_err()),
            1 => (2, reader.u16().is_err()),
            2 => (3, reader.u24().is_err()),
            3 => (4, reader.u32().is_err()),
            4 => (8, reader.u64().is_err()),
            5 => (0, reader.lenenc().is_err()),
            6 => (0, reader.lenenc_bytes().is_err()),
            7 => (0, reader.cell().is_err()),
            8 => (0, reader.nul_bytes().is_err()),
            9 => (usize::from(*step), reader.take(usize::from(*step)).is_err()),
            10 => (5, reader.array::<5>().is_err()),
            _ => (0, reader.peek().is_none()),
        };
        let taken = before - reader.remaining();
        assert!(!failed || taken == 0, "what fails takes nothing");
        assert!(failed || took == 0 || taken == took, "a fixed width is taken whole");
    }
    assert!(payload.ends_with(reader.rest()));
}

fn check_query(body: &[u8], caps: Capabilities) {
    let Ok(parts) = query_text(body, caps) else { return };
    assert_eq!(parts.text.end, body.len());
    assert_eq!(parts.text.start, parts.attributes_len);
    assert!(caps.contains(Capabilities::QUERY_ATTRIBUTES) || parts.attributes_len == 0);
    if let Some(command) = body.first().and_then(|byte| Command::from_byte(*byte)) {
        assert_eq!(command.to_byte(), body[0]);
    }
}

fn check_change_user(body: &[u8], caps: Capabilities) {
    let Ok(asked) = ChangeUser::decode(body, caps) else { return };
    let mut again = Vec::new();
    if asked.encode(&mut again, caps).is_err() {
        assert!(asked.auth.len() > 255);
        return;
    }
    let plugin = caps.contains(Capabilities::PLUGIN_AUTH).then(|| asked.plugin.unwrap_or_default());
    assert_eq!(again[0], Command::ChangeUser.to_byte());
    assert_eq!(ChangeUser::decode(&again[1..], caps), Ok(ChangeUser { plugin, ..asked }));
}

fn check_execute(body: &[u8], params: u16, client: Capabilities, backend: Capabilities) {
    const BACKEND_ID: u32 = 0xfeed_beef;
    let Ok(head) = ExecuteHead::decode(body, params, client) else { return };
    assert!(head.bound_at <= body.len() && body.ends_with(head.values));
    let mut rebuilt = Vec::new();
    if rebuild_execute(&mut rebuilt, body, params, client, backend, BACKEND_ID, None).is_err() {
        return;
    }
    let again = ExecuteHead::decode(&rebuilt[1..], params, backend).expect("what is rebuilt can be read");
    assert_eq!((again.statement_id, again.iterations), (BACKEND_ID, head.iterations));
    assert_eq!(again.types.is_some(), head.types.is_some() && again.count > 0);
    assert!(head.nulls.starts_with(again.nulls));
    let counts = client.intersect(backend).contains(Capabilities::QUERY_ATTRIBUTES);
    assert!(counts || again.flags & statement::PARAMETER_COUNT_AVAILABLE == 0, "a count is announced and not there");
    assert!(again.count <= head.count && again.count >= u64::from(params));
    if again.count > 0 {
        assert_eq!(again.values, head.values, "values are copied");
    }
    // A block of types that an earlier execute brought is another's: it may be short, never dangerous.
    let earlier = Draw::new(body).take(usize::from(params));
    let _ = rebuild_execute(&mut rebuilt, body, params, client, backend, BACKEND_ID, Some(earlier));
}

fn check_ok(payload: &[u8], caps: Capabilities) {
    let Ok(ok) = OkPacket::decode(payload, caps) else { return };
    assert_eq!(status_of(payload), Ok(ok.status));
    let mut again = Vec::new();
    ok.encode(&mut again, caps);
    // Who has not asked for trackers is not told that there are any.
    let tracks = caps.contains(Capabilities::SESSION_TRACK);
    let status = if tracks { ok.status } else { ok.status.minus(Status::SESSION_STATE_CHANGED) };
    assert_eq!(OkPacket::decode(&again, caps), Ok(OkPacket { status, ..ok }));
    check_tracks(ok.track);
}

fn check_tracks(block: &[u8]) {
    let read: Vec<_> = Tracks::new(block).collect();
    assert!(read.iter().rev().skip(1).all(Result::is_ok), "an error is the last");
    let whole: Vec<Track<'_>> = read.into_iter().flatten().collect();
    let mut again = Vec::new();
    whole.iter().for_each(|track| put_track(&mut again, track));
    let reread: Result<Vec<_>, _> = Tracks::new(&again).collect();
    assert_eq!(reread.expect("what is written can be read"), whole);
}

fn check_err_and_eof(payload: &[u8]) {
    if let Ok(err) = ErrPacket::decode(payload) {
        let mut again = Vec::new();
        err.encode(&mut again);
        assert_eq!(ErrPacket::decode(&again), Ok(err));
    }
    if let Ok(eof) = EofPacket::decode(payload) {
        let mut again = Vec::new();
        eof.encode(&mut again, Capabilities::PROTOCOL_41);
        // An EOF has no trackers, so it may not announce any.
        let status = eof.status.minus(Status::SESSION_STATE_CHANGED);
        assert_eq!(EofPacket::decode(&again), Ok(EofPacket { status, ..eof }));
    }
}

fn check_column(payload: &[u8]) {
    if let Ok(column) = Column::decode(payload) {
        let mut again = Vec::new();
        column::put_column(&mut again, &column);
        assert_eq!(Column::decode(&again), Ok(column));
    }
    let cells: Result<Vec<_>, _> = column::cells(payload).collect();
    if let Ok(cells) = cells {
        let mut again = Vec::new();
        column::put_text_row(&mut again, &cells);
        let reread: Result<Vec<_>, _> = column::cells(&again).collect();
        assert_eq!(reread.expect("what is written can be read"), cells);
    }
    check_tracks(payload);
}

fn check_prepared(payload: &[u8]) {
    let _ = PrepareOk::decode(payload);
    let mut framed = Vec::new();
    packet::put(&mut framed, 1, payload);
    let before = framed.clone();
    statement::patch_statement_id(&mut framed, 0x0403_0201);
    if payload.len() >= 5 {
        assert_eq!(statement::statement_id(&framed[HEADER_BYTES + 1..]), Ok(0x0403_0201));
        assert_eq!(framed[..HEADER_BYTES + 1], before[..HEADER_BYTES + 1]);
        assert_eq!(framed[HEADER_BYTES + 5..], before[HEADER_BYTES + 5..]);
    } else {
        assert_eq!(framed, before, "a short packet is left alone");
    }
}

/// One payload of each sort.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut track = Vec::new();
    put_track(&mut track, &Track::Variable { name: b"sql_mode", value: b"ANSI" });
    put_track(&mut track, &Track::Gtids(b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"));
    let ok = OkPacket { affected_rows: 300, info: b"done", track: &track, ..OkPacket::default() };
    let all = Capabilities(u64::MAX);
    let mut payloads = vec![Vec::new(); 5];
    ok.encode(&mut payloads[0], all);
    ErrPacket { code: 1064, state: *b"42000", message: b"syntax" }.encode(&mut payloads[1]);
    EofPacket { warnings: 1, status: Status::AUTOCOMMIT }.encode(&mut payloads[2], Capabilities::PROTOCOL_41);
    column::put_column(&mut payloads[3], &Column::text(b"name", 20));
    column::put_text_row(&mut payloads[4], &[Some(b"a"), None, Some(b"")]);
    payloads.push(b"\0\x07\0\0\0\x02\0\x01\0\0\0\0".to_vec());
    payloads.push(b"app\0\x14aaaaaaaaaaaaaaaaaaaashop\0\xff\0caching_sha2_password\0\x04\x01a\x01b".to_vec());
    payloads.push(b"\x01\x01\0\x01\xfd\0\x01q\x02xySELECT 1".to_vec());
    // Two parameters of an execute, without and with their names.
    payloads.push(b"\x01\0\0\0\0\x01\0\0\0\0\x01\x08\0\xfd\0\x05\0\0\0\0\0\0\0\x01x".to_vec());
    payloads.push(b"\x01\0\0\0\x08\x01\0\0\0\x02\0\x01\x08\0\x01a\xfd\0\0\x05\0\0\0\0\0\0\0\x01x".to_vec());
    let mut long = Vec::new();
    long.put_lenenc_bytes(&[7; 300]);
    payloads.push(long);
    let with_head = |payload: Vec<u8>| [b"\xff\xff\xfe\xff\x02\x03\x05\x06\x08".to_vec(), payload].concat();
    payloads.into_iter().map(with_head).collect()
}
