//! Replies of every kind, cut at every boundary: the events and the forwarded bytes must not depend on the cuts.

use super::*;
use crate::limits::SPECIAL_PACKET_MAX;
use crate::outcome::{EofPacket, ErrPacket, OkPacket};
use crate::packet::{self, Header};
use crate::writer::Put;

const EOF: Capabilities = Capabilities::PROTOCOL_41;
const NO_EOF: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF);

/// A reply under construction.
#[derive(Clone)]
struct Script {
    bytes: Vec<u8>,
    seq: u8,
    caps: Capabilities,
}

impl Script {
    fn new(caps: Capabilities) -> Self {
        Self { bytes: Vec::new(), seq: 1, caps }
    }

    fn raw(mut self, payload: &[u8]) -> Self {
        self.seq = packet::put(&mut self.bytes, self.seq, payload);
        self
    }

    fn count(self, columns: u64) -> Self {
        let mut payload = Vec::new();
        payload.put_lenenc(columns);
        self.raw(&payload)
    }

    fn column(self) -> Self {
        self.raw(b"\x03def\x01s\x01t\x01t\x01c\x01c\x0c")
    }

    fn row(self, text: &[u8]) -> Self {
        let mut payload = Vec::new();
        payload.put_lenenc_bytes(text);
        self.raw(&payload)
    }

    fn ok(self, status: Status) -> Self {
        let mut payload = Vec::new();
        let ok = OkPacket { affected_rows: 300, status, info: b"done", ..OkPacket::default() };
        ok.encode(&mut payload, self.caps);
        self.raw(&payload)
    }

    /// The end of rows, as the capabilities have it.
    fn end(self, status: Status) -> Self {
        let mut payload = Vec::new();
        EofPacket { warnings: 0, status }.encode(&mut payload, self.caps);
        self.raw(&payload)
    }

    /// The end of definitions: nothing with `DEPRECATE_EOF`.
    fn defs_end(self, status: Status) -> Self {
        if self.caps.contains(Capabilities::DEPRECATE_EOF) { self } else { self.end(status) }
    }

    fn err(self) -> Self {
        let mut payload = Vec::new();
        ErrPacket { code: 1064, state: *b"42000", message: b"syntax" }.encode(&mut payload);
        self.raw(&payload)
    }

    fn prepare_ok(self, columns: u16, params: u16) -> Self {
        let mut payload = vec![0];
        payload.put_u32(77);
        payload.put_u16(columns);
        payload.put_u16(params);
        payload.put_bytes(&[0, 0, 0]);
        self.raw(&payload)
    }

    fn scan(&self, kind: ReplyKind) -> ReplyScan {
        ReplyScan::new(kind, self.caps)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Passed(Vec<u8>),
    Packet(What, Vec<u8>),
    ColumnsEnd,
    Broken(&'static str),
}

/// Feeds chunks that end at `cuts` and records what a relay would do. The file of a local infile is relayed at once.
fn run(scan: &mut ReplyScan, bytes: &[u8], cuts: &mut dyn Iterator<Item = usize>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut from = 0;
    assert!(scan.is_at_start());
    while from < bytes.len() {
        let to = cuts.next().unwrap_or(bytes.len()).min(bytes.len());
        let mut chunk = bytes[from..to].to_vec();
        let mut input = &mut chunk[..];
        let mut idle_steps = 0;
        while (!input.is_empty() || scan.is_due()) && !scan.is_done() {
            let seq_before = scan.seq_next();
            let seq_checked = scan.seq_rule == SeqRule::Check;
            let step = scan.advance(input);
            let consumed = match step {
                Step::Pass(len) => {
                    pass(&mut events, &input[..len]);
                    len
                }
                Step::Hold(len) => {
                    assert_eq!(len, input.len(), "holds everything");
                    len
                }
                Step::Release => {
                    pass(&mut events, scan.held());
                    0
                }
                Step::Packet { what, len, held } => {
                    let whole = if held { scan.held() } else { &input[..len] };
                    assert!(whole[3] == seq_before || !seq_checked);
                    events.push(Event::Packet(what, whole.to_vec()));
                    if what == What::Infile {
                        assert!(!scan.is_done());
                        scan.resume_after_infile();
                    }
                    len
                }
                Step::ColumnsEnd => {
                    events.push(Event::ColumnsEnd);
                    0
                }
                Step::Broken(Malformed(why)) => {
                    assert_eq!(scan.advance(input), step, "stays broken");
                    events.push(Event::Broken(why));
                    return events;
                }
            };
            idle_steps = if consumed == 0 { idle_steps + 1 } else { 0 };
            assert!(idle_steps < 4, "no progress: {step:?}");
            assert!(!scan.is_at_start());
            input = &mut input[consumed..];
        }
        from = to - input.len();
        if scan.is_done() {
            break;
        }
    }
    if scan.is_done() && from < bytes.len() {
        events.push(Event::Broken("more than the reply"));
    }
    events
}

fn pass(events: &mut Vec<Event>, bytes: &[u8]) {
    match events.last_mut() {
        Some(Event::Passed(passed)) => passed.extend_from_slice(bytes),
        _ if bytes.is_empty() => {}
        _ => events.push(Event::Passed(bytes.to_vec())),
    }
}

/// The events in words: `3` for three packets passed, `|` for the end of columns.
fn words(events: &[Event]) -> String {
    let word = |event: &Event| match event {
        Event::Passed(bytes) => {
            let (mut packets, mut left) = (0, &bytes[..]);
            while let Some(header) = Header::at_front(left) {
                left = &left[HEADER_BYTES + header.payload_len as usize..];
                packets += 1;
            }
            assert!(left.is_empty());
            packets.to_string()
        }
        Event::Packet(what, _) => format!("{what:?}"),
        Event::ColumnsEnd => "|".to_string(),
        Event::Broken(why) => format!("broken: {why}"),
    };
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Runs the reply whole, cut in two everywhere, and in small chunks; with and without a shift.
#[track_caller]
fn check(kind: ReplyKind, script: Script, expected: &str) {
    for shift in [0, 1, 255] {
        let run_cut = |cuts: &mut dyn Iterator<Item = usize>| {
            let mut scan = script.scan(kind);
            scan.add_shift(shift);
            let events = run(&mut scan, &script.bytes, cuts);
            let broken = matches!(events.last(), Some(Event::Broken(_)));
            assert!(scan.is_done() != broken, "{events:?}");
            events
        };
        let whole = run_cut(&mut std::iter::empty());
        assert_eq!(words(&whole), expected);
        if !matches!(whole.last(), Some(Event::Broken(_))) {
            assert_eq!(forwarded(&whole), shifted(&script.bytes, shift));
        }
        for cut in 1..script.bytes.len() {
            let events = run_cut(&mut std::iter::once(cut));
            assert_eq!(events, whole, "cut at {cut}, shift {shift}");
        }
        for size in [1, 2, 3, 5, 7] {
            let events = run_cut(&mut (1..).map(|n| n * size));
            assert_eq!(events, whole, "chunks of {size}, shift {shift}");
        }
    }
}

fn forwarded(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        if let Event::Passed(part) | Event::Packet(_, part) = event {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

fn shifted(bytes: &[u8], shift: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = Header::at_front(&out[at..]) {
        out[at + 3] = header.seq.wrapping_add(shift);
        at += HEADER_BYTES + header.payload_len as usize;
    }
    out
}

const NONE: Status = Status::empty();

#[test]
fn single_packets() {
    for caps in [EOF, NO_EOF] {
        let ok = Script::new(caps).ok(Status::AUTOCOMMIT);
        check(ReplyKind::Query, ok.clone(), "Ok");
        check(ReplyKind::Simple, ok.clone(), "Ok");
        check(ReplyKind::Execute, ok, "Ok");
        let err = Script::new(caps).err();
        for kind in KINDS {
            if kind != ReplyKind::Nothing {
                check(kind, err.clone(), "Err");
            }
        }
        check(ReplyKind::Simple, Script::new(caps).end(NONE), "Ok");
        check(ReplyKind::Query, Script::new(caps).end(NONE), "Ok");
        // The flag of an earlier statement does not make a simple reply go on.
        check(ReplyKind::Simple, Script::new(caps).ok(Status::MORE_RESULTS), "Ok");
        check(ReplyKind::Statistics, Script::new(caps).raw(b"Uptime: 1"), "Text");
    }
}

#[test]
fn result_sets() {
    let rows = |caps, rows: usize| {
        let mut script = Script::new(caps).count(2).column().column().defs_end(NONE);
        for row in 0..rows {
            script = script.row(&vec![b'x'; row * 3]);
        }
        script.end(NONE)
    };
    check(ReplyKind::Query, rows(NO_EOF, 0), "3 | RowsEnd");
    check(ReplyKind::Query, rows(NO_EOF, 4), "3 | 4 RowsEnd");
    check(ReplyKind::Execute, rows(NO_EOF, 4), "3 | 4 RowsEnd");
    check(ReplyKind::Execute, rows(NO_EOF, 0), "3 | RowsEnd");
    check(ReplyKind::Query, rows(EOF, 0), "3 ColumnsEof RowsEnd");
    check(ReplyKind::Query, rows(EOF, 4), "3 ColumnsEof 4 RowsEnd");
    check(ReplyKind::Execute, rows(EOF, 4), "3 ColumnsEof 4 RowsEnd");
    // NULL first, and a count of more than one byte.
    let wide = |script: Script| (0..251).fold(script.count(251), |script, _| script.column());
    let script = wide(Script::new(NO_EOF)).raw(b"\xfb\xfb").end(NONE);
    check(ReplyKind::Query, script, "252 | 1 RowsEnd");
}

/// S44: numbers wrap, at either width of a step.
#[test]
fn sequence_numbers_wrap() {
    let script = Script::new(NO_EOF).count(1).column();
    let script = (0..600).fold(script, |script, _| script.row(b"r")).end(NONE);
    check(ReplyKind::Query, script, "2 | 600 RowsEnd");
}

#[test]
fn errors_end_a_reply_anywhere() {
    for caps in [EOF, NO_EOF] {
        check(ReplyKind::Query, Script::new(caps).count(2).column().err(), "2 Err");
    }
    let head = |caps| Script::new(caps).count(1).column();
    check(ReplyKind::Query, head(EOF).err(), "2 Err");
    check(ReplyKind::Query, head(NO_EOF).err(), "2 | Err");
    check(ReplyKind::Execute, head(NO_EOF).err(), "2 | Err");
    check(ReplyKind::Query, head(NO_EOF).row(b"r").err(), "2 | 1 Err");
    check(ReplyKind::Query, head(EOF).end(NONE).row(b"r").err(), "2 ColumnsEof 1 Err");
}

#[test]
fn many_results() {
    const MORE: Status = Status::MORE_RESULTS;
    let script = |caps| {
        let script = Script::new(caps).ok(MORE).count(1).column().defs_end(MORE).row(b"a").end(MORE);
        let script = script.ok(MORE).count(2).column().column().defs_end(MORE).end(MORE);
        script.ok(NONE)
    };
    let ends = "Ok 2 | 1 RowsEnd Ok 3 | RowsEnd Ok";
    check(ReplyKind::Query, script(NO_EOF), ends);
    check(ReplyKind::Execute, script(NO_EOF), ends);
    check(ReplyKind::Query, script(EOF), "Ok 2 ColumnsEof 1 RowsEnd Ok 3 ColumnsEof RowsEnd Ok");
    let failed = Script::new(EOF).ok(MORE).err();
    check(ReplyKind::Query, failed, "Ok Err");
}

#[test]
fn prepares() {
    for (params, columns, with_eof, without) in [
        (0, 0, "PrepareOk", "PrepareOk"),
        (2, 0, "PrepareOk 2 ColumnsEof", "PrepareOk 2 |"),
        (0, 1, "PrepareOk 1 ColumnsEof", "PrepareOk 1 |"),
        (1, 3, "PrepareOk 1 ColumnsEof 3 ColumnsEof", "PrepareOk 1 | 3 |"),
    ] {
        for (caps, expected) in [(EOF, with_eof), (NO_EOF, without)] {
            let mut script = Script::new(caps).prepare_ok(columns, params);
            for count in [params, columns] {
                if count > 0 {
                    script = (0..count).fold(script, |script, _| script.column()).defs_end(NONE);
                }
            }
            check(ReplyKind::Prepare, script, expected);
        }
    }
}

/// S42: rows in a cursor. There is one end after the definitions, whichever way it is written.
#[test]
fn cursors() {
    const CURSOR: Status = Status::CURSOR_EXISTS;
    let script = Script::new(NO_EOF).count(1).column().end(CURSOR);
    check(ReplyKind::Execute, script, "2 RowsEnd");
    let script = Script::new(EOF).count(1).column().end(CURSOR);
    check(ReplyKind::Execute, script, "2 RowsEnd");
    let mut long_end = vec![0xfe];
    long_end.put_lenenc(u64::MAX);
    long_end.put_lenenc(u64::MAX);
    long_end.put_u16(CURSOR.0);
    long_end.put_bytes(b"\0\0\x04info");
    check(ReplyKind::Execute, Script::new(NO_EOF).count(1).column().raw(&long_end), "2 RowsEnd");
    for caps in [EOF, NO_EOF] {
        let script = Script::new(caps).row(b"").row(b"r").end(CURSOR);
        check(ReplyKind::Fetch, script, "2 RowsEnd");
        check(ReplyKind::Fetch, Script::new(caps).end(Status::LAST_ROW_SENT), "RowsEnd");
    }
}

/// The OUT parameters of a prepared CALL: with an EOF behind the definitions the flags stand only there.
#[test]
fn out_parameters() {
    const OUT: Status = Status::PS_OUT_PARAMS.union(Status::MORE_RESULTS);
    let script = Script::new(NO_EOF).count(1).column().row(b"r").end(OUT).ok(NONE);
    check(ReplyKind::Execute, script, "2 | 1 RowsEnd Ok");
    let script = Script::new(EOF).count(1).column().end(OUT).row(b"r").end(NONE);
    let mut scan = script.scan(ReplyKind::Execute);
    run(&mut scan, &script.bytes, &mut std::iter::empty());
    assert_eq!(scan.carried_status(), OUT);
    check(ReplyKind::Execute, script.ok(NONE), "2 ColumnsEof 1 RowsEnd Ok");
    // Elsewhere the last word counts.
    let more = Script::new(EOF).count(1).column().end(Status::MORE_RESULTS).row(b"r").end(NONE);
    check(ReplyKind::Execute, more, "2 ColumnsEof 1 RowsEnd");
}

#[test]
fn field_lists_and_dumps() {
    for caps in [EOF, NO_EOF] {
        let script = Script::new(caps).column().column().end(NONE);
        check(ReplyKind::FieldList, script, "2 RowsEnd");
        let mut script = Script::new(caps).raw(b"\0event").raw(b"\0event");
        // A source may begin again at any number.
        script.seq = 77;
        check(ReplyKind::Endless, script.raw(b"\0event").end(NONE), "3 RowsEnd");
    }
}

/// S43: the final OK's number depends on the file, and results may follow it.
#[test]
fn local_infile() {
    let mut script = Script::new(NO_EOF).raw(b"\xfb/a/file");
    script.seq = 9;
    let loaded = script.clone().ok(NONE);
    check(ReplyKind::Query, loaded.clone(), "Infile Ok");
    check(ReplyKind::Query, script.clone().err(), "Infile Err");
    let more = script.clone().ok(Status::MORE_RESULTS).ok(NONE);
    check(ReplyKind::Query, more, "Infile Ok Ok");
    check(ReplyKind::Query, script.count(1), "Infile broken: neither OK nor ERR after a file");

    let mut bytes = loaded.bytes;
    let mut scan = ReplyScan::new(ReplyKind::Query, NO_EOF);
    let Step::Packet { len, .. } = scan.advance(&mut bytes) else { panic!("no packet") };
    let mut early = ReplyScan::new(ReplyKind::Query, NO_EOF);
    early.advance(&mut bytes);
    assert!(matches!(early.advance(&mut bytes[len..]), Step::Broken(_)), "the file is not over");
    scan.resume_after_infile();
    scan.expect_seq(8);
    let out_of_order = Step::Broken(Malformed("packets out of order"));
    assert_eq!(scan.advance(&mut bytes[len..]), out_of_order);
}

/// S44: a row of 16 MiB has continuations without a type byte, and may begin with 0xfe.
#[test]
fn rows_above_16_mib() {
    // The fill stands where a type byte would be looked for.
    for (len, fill, packets) in [(PAYLOAD_MAX - 9, 0, 2), (PAYLOAD_MAX + 500, 0xff, 2), (2 * PAYLOAD_MAX - 9, 0xfe, 3)]
    {
        let mut row = vec![0xfe];
        row.put_u64(len as u64);
        row.resize(9 + len, fill);
        let script = Script::new(NO_EOF).count(1).column().raw(&row).row(b"r").end(NONE);
        let mut scan = script.scan(ReplyKind::Query);
        let whole = run(&mut scan, &script.bytes, &mut std::iter::empty());
        assert_eq!(words(&whole), format!("2 | {} RowsEnd", packets + 1));
        assert_eq!(scan.rows(), 2);
        let sent = shifted(&script.bytes, 3);
        // Around the header of the row's last packet.
        let head_len = script.bytes.len() - row.len() - packets * HEADER_BYTES - 17;
        let boundary = head_len + (packets - 1) * (HEADER_BYTES + PAYLOAD_MAX);
        for cut in boundary - 1..boundary + 7 {
            let mut scan = script.scan(ReplyKind::Query);
            scan.add_shift(3);
            let events = run(&mut scan, &script.bytes, &mut [cut, cut + 1].into_iter());
            assert!(forwarded(&events) == sent, "cut at {cut}");
            assert_eq!(words(&events), words(&whole));
        }
    }
}

#[test]
fn what_breaks_the_protocol() {
    let script = || Script::new(EOF);
    let cases = [
        (ReplyKind::Query, script().raw(b""), "broken: empty packet in a reply"),
        (ReplyKind::Query, script().count(0x1_0000), "broken: not a column count"),
        (ReplyKind::Query, script().raw(b"\x01\x02"), "broken: not a column count"),
        (ReplyKind::Query, script().raw(b"\x01234567890"), UNEXPECTED_FIRST),
        (ReplyKind::Query, script().raw(b"\x00"), "broken: packet ends too early"),
        (ReplyKind::Prepare, script().raw(b"\x01"), UNEXPECTED_KIND),
        (ReplyKind::Prepare, script().raw(b"\x00\x00"), "broken: packet ends too early"),
        (ReplyKind::Simple, script().raw(b"\x03def"), UNEXPECTED_KIND),
        (ReplyKind::Query, script().count(1).column().column(), UNEXPECTED_COLUMN),
        (ReplyKind::Query, script().count(1).raw(b"\xfe"), "1 broken: neither column definition nor EOF"),
        (ReplyKind::Fetch, script().raw(b"\xfe12345678"), "broken: an EOF packet that is too long"),
        (ReplyKind::Simple, script().ok(NONE).ok(NONE), "Ok broken: more than the reply"),
    ];
    for (kind, script, expected) in cases {
        let mut scan = script.scan(kind);
        let events = run(&mut scan, &script.bytes, &mut std::iter::empty());
        assert_eq!(words(&events), expected);
        let mut scan = script.scan(kind);
        let events = run(&mut scan, &script.bytes, &mut (1..));
        assert_eq!(words(&events), expected);
    }
    let mut nothing = ReplyScan::new(ReplyKind::Nothing, EOF);
    assert!(nothing.is_done());
    assert_eq!(nothing.advance(&mut []), Step::Pass(0));
    assert!(matches!(nothing.advance(&mut [0]), Step::Broken(_)));
}

const UNEXPECTED_FIRST: &str = "broken: unexpected first packet of a result";
const UNEXPECTED_KIND: &str = "broken: unexpected first byte of a reply";
const UNEXPECTED_COLUMN: &str = "2 broken: neither column definition nor EOF";

#[test]
fn special_packets_have_a_limit() {
    let info = vec![b'x'; SPECIAL_PACKET_MAX - 7];
    let ok = |extra: &[u8]| [b"\0\0\0\0\0\0\0", &info[..], extra].concat();
    check_cut(Script::new(EOF).raw(&ok(b"")), 70_000, "Ok");
    check_cut(Script::new(EOF).raw(&ok(b"y")), 5, "broken: OK, EOF or ERR packet above the limit");
}

fn check_cut(script: Script, cut: usize, expected: &str) {
    let mut scan = script.scan(ReplyKind::Query);
    let events = run(&mut scan, &script.bytes, &mut std::iter::once(cut));
    assert_eq!(words(&events), expected);
    assert!(scan.held().len() <= SPECIAL_PACKET_MAX + HEADER_BYTES);
}

#[test]
fn order_is_checked() {
    let mut script = Script::new(NO_EOF).count(1).column().row(b"r");
    script.seq = 9;
    let script = script.row(b"s");
    let mut scan = script.scan(ReplyKind::Query);
    let events = run(&mut scan, &script.bytes, &mut std::iter::empty());
    assert_eq!(words(&events), "2 | 1 broken: packets out of order");

    let mut scan = ReplyScan::new(ReplyKind::Simple, EOF);
    scan.expect_seq(4);
    let mut late = Script::new(EOF);
    late.seq = 4;
    let mut bytes = late.ok(NONE).bytes;
    let len = bytes.len();
    assert_eq!(scan.advance(&mut bytes), Step::Packet { what: What::Ok, len, held: false });
}

/// S70: a server that closes an idle connection says why as packet 0; the client gets the number that it expects.
#[test]
fn farewell_as_packet_zero() {
    let mut script = Script::new(EOF);
    script.seq = 0;
    let farewell = script.err();
    for cut in 1..=farewell.bytes.len() {
        let mut scan = farewell.scan(ReplyKind::Query);
        let events = run(&mut scan, &farewell.bytes, &mut std::iter::once(cut));
        assert_eq!(words(&events), "Err");
        assert_eq!(forwarded(&events)[3], 1);
    }
    let mut script = Script::new(EOF);
    script.seq = 0;
    let mut scan = script.scan(ReplyKind::Query);
    let events = run(&mut scan, &script.ok(NONE).bytes, &mut std::iter::empty());
    assert_eq!(words(&events), "broken: packets out of order");
}

/// S45: a relay inserts an EOF at the mark and takes one out of the numbers afterwards.
#[test]
fn shift_changes_on_the_way() {
    let script = Script::new(NO_EOF).count(1).column().row(b"r").end(NONE);
    for cut in 1..=script.bytes.len() {
        let mut scan = script.scan(ReplyKind::Query);
        let mut seqs = Vec::new();
        let mut sent = Vec::new();
        let (front, back) = script.bytes.split_at(cut);
        for part in [front, back] {
            let mut chunk = part.to_vec();
            let mut input = &mut chunk[..];
            while !input.is_empty() {
                let consumed = match scan.advance(input) {
                    Step::ColumnsEnd => {
                        assert_eq!(scan.seq_next(), 3);
                        packet::put(&mut sent, scan.seq_next(), b"\xfe\0\0\0\0");
                        scan.add_shift(1);
                        assert_eq!(scan.shift(), 1);
                        0
                    }
                    Step::Release => {
                        sent.extend_from_slice(scan.held());
                        0
                    }
                    Step::Packet { len, held, .. } => {
                        sent.extend_from_slice(if held { scan.held() } else { &input[..len] });
                        len
                    }
                    Step::Hold(len) => len,
                    Step::Pass(len) => {
                        sent.extend_from_slice(&input[..len]);
                        len
                    }
                    Step::Broken(why) => panic!("{why}"),
                };
                input = &mut input[consumed..];
            }
        }
        let mut left = &sent[..];
        while let Some(header) = Header::at_front(left) {
            seqs.push(header.seq);
            left = &left[HEADER_BYTES + header.payload_len as usize..];
        }
        assert_eq!(seqs, [1, 2, 3, 4, 5], "cut at {cut}");
    }
}

/// Without marks a whole result takes two steps, and nothing is due at the end of a prepare.
#[test]
fn without_marks() {
    let mut script = Script::new(NO_EOF).count(1).column().row(b"r").end(NONE);
    let mut scan = script.scan(ReplyKind::Execute);
    scan.mark_columns_end(false);
    let Step::Pass(len) = scan.advance(&mut script.bytes) else { panic!("nothing passed") };
    let end = scan.advance(&mut script.bytes[len..]);
    assert_eq!(end, Step::Packet { what: What::RowsEnd, len: script.bytes.len() - len, held: false });
    assert!(scan.is_done());
    assert_eq!(scan.held.capacity(), 0, "nothing was allocated");

    let script = Script::new(NO_EOF).prepare_ok(1, 1).column().column();
    let mut scan = script.scan(ReplyKind::Prepare);
    scan.mark_columns_end(false);
    let events = run(&mut scan, &script.bytes, &mut (1..));
    assert_eq!(words(&events), "PrepareOk 2");
    assert!(scan.is_done());

    scan.restart(ReplyKind::Simple, NO_EOF);
    assert!(scan.is_at_start() && scan.held().is_empty());
}

const KINDS: [ReplyKind; 9] = [
    ReplyKind::Query,
    ReplyKind::Prepare,
    ReplyKind::Execute,
    ReplyKind::Fetch,
    ReplyKind::FieldList,
    ReplyKind::Simple,
    ReplyKind::Statistics,
    ReplyKind::Nothing,
    ReplyKind::Endless,
];

/// A tiny generator of reproducible noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// Hostile bytes: no panic, no step without progress, and the same events however the bytes are cut.
#[test]
fn noise() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for round in 0..30_000 {
        let caps = [EOF, NO_EOF][noise.next(2)];
        let kind = KINDS[noise.next(KINDS.len())];
        if kind == ReplyKind::Nothing {
            continue;
        }
        let mut script = Script::new(caps);
        for _ in 0..noise.next(9) {
            script = match noise.next(9) {
                0 => script.ok(Status(noise.next(0x1_0000) as u16)),
                1 => script.end(Status(noise.next(0x1_0000) as u16)),
                2 => script.err(),
                3 => script.count(noise.next(5) as u64),
                4 => script.prepare_ok(noise.next(3) as u16, noise.next(3) as u16),
                5 => script.row(b"row"),
                6 => script.raw(&[0xfb]),
                _ => script.column(),
            };
        }
        for _ in 0..noise.next(4) {
            let len = script.bytes.len();
            if len > 0 {
                script.bytes[noise.next(len)] = noise.next(256) as u8;
            }
        }
        let whole = run(&mut script.scan(kind), &script.bytes, &mut std::iter::empty());
        let mut at = 0;
        let mut cuts = std::iter::from_fn(|| {
            at += 1 + noise.next(6);
            Some(at)
        });
        let cut = run(&mut script.scan(kind), &script.bytes, &mut cuts);
        // What follows a reply is refused by the next scan, whose affair the cuts after it are.
        assert_eq!(cut, whole, "round {round}, {kind:?}, {:?}", script.bytes);
    }
}
