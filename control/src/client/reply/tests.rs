use super::*;
use weir_net::column::{Column as Def, put_column, put_text_row};
use weir_net::outcome::{EofPacket, ErrPacket};

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NEW: Capabilities =
    Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF).union(Capabilities::SESSION_TRACK);

fn read(kind: ReplyKind, capabilities: Capabilities, packets: &[Vec<u8>]) -> Result<Reply, ClientError> {
    let mut reader = ReplyReader::new(kind, capabilities, &[]);
    for (at, packet) in packets.iter().enumerate() {
        let turn = reader.handle(packet)?;
        assert_eq!(turn == Turn::Done, at + 1 == packets.len(), "packet {at}");
    }
    assert!(reader.is_done());
    Ok(reader.into_reply())
}

fn def(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_column(&mut out, &Def::text(name.as_bytes(), 10));
    out
}

fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_text_row(&mut out, cells);
    out
}

fn eof(capabilities: Capabilities, status: Status) -> Vec<u8> {
    let mut out = Vec::new();
    EofPacket { warnings: 1, status }.encode(&mut out, capabilities);
    out
}

fn ok(status: Status) -> Vec<u8> {
    let mut out = Vec::new();
    OkPacket { affected_rows: 3, status, ..OkPacket::default() }.encode(&mut out, NEW);
    out
}

fn err() -> Vec<u8> {
    let mut out = Vec::new();
    ErrPacket { code: 1064, state: *b"42000", message: b"syntax" }.encode(&mut out);
    out
}

/// S44, S45: the same result in both forms.
#[test]
fn rows_with_and_without_eof_packets() {
    let mut replies = Vec::new();
    for capabilities in [OLD, NEW] {
        let mut packets = vec![vec![2], def("a"), def("b")];
        if capabilities == OLD {
            packets.push(eof(capabilities, Status::AUTOCOMMIT));
        }
        packets.push(row(&[Some(b"1"), None]));
        // A first cell above 16 MiB begins with 0xfe too; it is told by the length.
        packets.push(row(&[Some(&vec![b'x'; PAYLOAD_MAX]), Some(b"")]));
        packets.push(eof(capabilities, Status::AUTOCOMMIT));
        replies.push(read(ReplyKind::Query, capabilities, &packets).unwrap());
    }
    assert_eq!(replies[0], replies[1]);
    let rows = replies[0].rows().unwrap();
    assert_eq!((rows.rows.len(), rows.text(0, "A"), rows.text(0, "b")), (2, Some("1".to_string()), None));
    assert_eq!(rows.end.warnings, 1);
}

#[test]
fn several_results_end_with_the_last_or_an_error() {
    let more = Status::AUTOCOMMIT | Status::MORE_RESULTS;
    let packets = [ok(more), vec![1], def("a"), eof(NEW, more), err()];
    let reply = read(ReplyKind::Query, NEW, &packets).unwrap();
    assert_eq!(reply.outcomes.len(), 3);
    assert_eq!(reply.error().map(|error| error.code), Some(1064));
    assert_eq!(reply.clone().success().unwrap_err().code(), Some(1064));
    assert_eq!(reply.done().unwrap().warnings, 1);
}

#[test]
fn prepare_has_two_blocks_of_definitions() {
    let head = |columns: u8, params: u8| vec![0, 9, 0, 0, 0, columns, 0, params, 0, 0, 0, 0];
    for capabilities in [OLD, NEW] {
        for (columns, params) in [(0, 0), (2, 0), (0, 1), (1, 2)] {
            let mut packets = vec![head(columns, params)];
            for count in [params, columns] {
                packets.extend((0..count).map(|_| def("x")));
                if count > 0 && capabilities == OLD {
                    packets.push(eof(OLD, Status::AUTOCOMMIT));
                }
            }
            let prepared = read(ReplyKind::Prepare, capabilities, &packets).unwrap().prepared.unwrap();
            assert_eq!(
                (prepared.ok.statement_id, prepared.columns.len(), prepared.params.len()),
                (9, columns.into(), params.into())
            );
        }
    }
}

#[test]
fn a_cursor_leaves_the_rows_to_fetch() {
    let status = Status::AUTOCOMMIT | Status::CURSOR_EXISTS;
    for capabilities in [OLD, NEW] {
        let packets = [vec![1], def("a"), eof(capabilities, status)];
        let reply = read(ReplyKind::Execute, capabilities, &packets).unwrap();
        let columns = &reply.rows().unwrap().columns;
        let mut fetch = ReplyReader::new(ReplyKind::Fetch, capabilities, columns);
        assert_eq!(fetch.handle(&[0, 0, 1, b'z']).unwrap(), Turn::More);
        assert_eq!(fetch.handle(&eof(capabilities, status)).unwrap(), Turn::Done);
        assert_eq!(fetch.into_reply().rows().unwrap().rows, [[Value::text("z")]]);
    }
}

#[test]
fn files_fields_and_texts() {
    let mut reader = ReplyReader::new(ReplyKind::Query, NEW, &[]);
    assert_eq!(reader.handle(b"\xfbname").unwrap(), Turn::Infile(b"name".to_vec()));
    assert_eq!(reader.handle(&ok(Status::AUTOCOMMIT)).unwrap(), Turn::Done);
    assert!(reader.handle(&ok(Status::AUTOCOMMIT)).is_err());

    let fields = read(ReplyKind::FieldList, OLD, &[def("a"), def("b"), eof(OLD, Status::AUTOCOMMIT)]).unwrap();
    assert_eq!(fields.rows().unwrap().columns.len(), 2);
    assert_eq!(read(ReplyKind::Statistics, OLD, &[b"Uptime: 1".to_vec()]).unwrap().text.unwrap(), b"Uptime: 1");
    assert!(read(ReplyKind::Simple, OLD, &[eof(OLD, Status::AUTOCOMMIT)]).unwrap().done().is_some());
    assert!(ReplyReader::new(ReplyKind::Nothing, OLD, &[]).is_done());
}
