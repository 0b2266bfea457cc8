use super::*;
use crate::client::{Account, Client};
use std::thread;
use weir_net::flags::Capabilities;
use weir_net::login::Login;
use weir_net::outcome::OkPacket;
use weir_net::packet::{HEADER_BYTES, Header};
use weir_net::scan::{ReplyKind, ReplyScan, Step, What};
use weir_net::track::{Track, Tracks};

fn account() -> Account {
    let mut backend = NullBackend::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = backend.address().unwrap();
    thread::spawn(move || backend.run());
    Account { address, user: "anybody".to_owned(), password: "anything".to_owned(), schema: Some("shop".to_owned()) }
}

fn texts(rows: Vec<Vec<Option<String>>>) -> Vec<Vec<String>> {
    let text = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
    (rows.into_iter()).map(|row| row.into_iter().map(text).collect()).collect()
}

#[test]
fn everybody_comes_in_and_gets_rows() {
    let account = account();
    let mut client = Client::connect(&account).unwrap();
    let point = texts(client.query("SELECT c FROM sbtest1 WHERE id=1").unwrap());
    assert_eq!((point.len(), point[0][0].len()), (1, 120));
    // Twice: the second reply is the canned one.
    assert_eq!(texts(client.query("SELECT c FROM sbtest1 WHERE id=1").unwrap()), point);
    assert_eq!(client.query("SELECT c FROM t LIMIT 9000").unwrap().len(), 9000);
    let facts = texts(client.query("SELECT DATABASE(), @@read_only, CONNECTION_ID()").unwrap());
    assert_eq!(facts, [["shop".to_owned(), "0".to_owned(), client.connection_id().to_string()]]);
    assert!(client.query("SHOW REPLICA STATUS").unwrap().is_empty());
    let shown = texts(client.query("SHOW VARIABLES LIKE 'server_id'").unwrap());
    assert_eq!(shown, [["server_id", "1"]]);
    let wait = client.query("SELECT WAIT_FOR_EXECUTED_GTID_SET('00000000-0000-4000-8000-000000000001:1', 1.000)");
    assert!(wait.unwrap_err().to_string().ends_with("(1235)"));
    let empty = Account { password: String::new(), schema: None, ..account };
    let mut other = Client::connect(&empty).unwrap();
    assert_ne!(other.connection_id(), client.connection_id());
    assert_eq!(texts(other.query("SELECT DATABASE()").unwrap()), [["NULL"]]);
}

/// A monitor's look, as the gate takes it: several statements, results of every kind.
#[test]
fn several_statements_in_one() {
    let account = account();
    let mut stream = Client::connect(&account).unwrap();
    // This client asks for no several statements: the semicolon is a part of the one.
    assert_eq!(stream.query("SELECT @@read_only; SELECT 1").unwrap().len(), 1);
    let mut session = session(Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS);
    let text = "SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_executed;\
        SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name='x;y';\
        SHOW REPLICA STATUS; SET a = 1; SELECT c FROM t";
    let reply = ask(&mut session, text);
    let mut scan = ReplyScan::new(ReplyKind::Query, Capabilities::PROTOCOL_41);
    let (mut reply, mut seen) = (&mut reply.clone()[..], Vec::new());
    while !reply.is_empty() {
        let len = match scan.advance(reply) {
            Step::Pass(len) => len,
            Step::Packet { what, len, .. } => {
                seen.push((what, scan.rows()));
                len
            }
            other => panic!("{other:?}"),
        };
        reply = &mut reply[len..];
    }
    assert!(scan.is_done());
    let ends: Vec<_> = seen.iter().filter(|(what, _)| *what != What::ColumnsEof).collect();
    let rows = |count| (What::RowsEnd, count);
    assert_eq!(ends, [&rows(1), &rows(1), &rows(0), &(What::Ok, 0), &rows(1)]);
    // An error ends the rest.
    let reply = ask(&mut session, "SIGNAL SQLSTATE '45000'; SELECT 1");
    assert_eq!(reply[HEADER_BYTES], 0xff);
    assert_eq!(packets(&reply), 1);
}

/// S61 as the null backend tells it: each transaction that wrote has a GTID, others have none.
#[test]
fn writes_have_gtids() {
    let caps = Capabilities::PROTOCOL_41 | Capabilities::SESSION_TRACK;
    let mut session = session(caps);
    let mut gtid = |text: &str| {
        let reply = ask(&mut session, text);
        let ok = OkPacket::decode(&reply[HEADER_BYTES..], caps).unwrap();
        let track = Tracks::new(ok.track).next().map(Result::unwrap);
        match track {
            Some(Track::Gtids(text)) => String::from_utf8_lossy(text).rsplit(':').next().map(str::to_owned),
            Some(_) | None => None,
        }
    };
    let script: &[(&str, Option<&str>)] = &[
        ("INSERT INTO t VALUES (1)", None),
        ("SET session_track_gtids=OWN_GTID", None),
        ("INSERT INTO t VALUES (1)", Some("2")),
        ("BEGIN", None),
        ("DELETE FROM t", None),
        ("ROLLBACK", None),
        ("BEGIN", None),
        ("COMMIT", None),
        ("BEGIN", None),
        ("UPDATE t SET a = 1", None),
        ("COMMIT", Some("3")),
    ];
    for (text, expected) in script {
        assert_eq!(gtid(text).as_deref(), *expected, "{text}");
    }
}

/// A session that has logged in with these capabilities, and its world.
fn session(caps: Capabilities) -> (Session, World) {
    let mut world = World { connection_id: 1, transactions: 0, port: 3306, canned: answer::Canned::default() };
    let mut session = Session::greet(1, &mut Vec::new());
    let mut login = Vec::new();
    let request = Login { capabilities: caps, ..Login::default() };
    request.encode(&mut login);
    session.handle(&mut world, 2, &login, &mut Vec::new()).unwrap();
    (session, world)
}

fn ask((session, world): &mut (Session, World), text: &str) -> Vec<u8> {
    let mut reply = Vec::new();
    let payload = [b"\x03", text.as_bytes()].concat();
    assert_eq!(session.handle(world, 1, &payload, &mut reply), Ok(Next::Stay));
    reply
}

/// Packets in a reply.
fn packets(mut reply: &[u8]) -> usize {
    let mut count = 0;
    while let Some(header) = Header::at_front(reply) {
        reply = &reply[HEADER_BYTES + header.payload_len as usize..];
        count += 1;
    }
    count
}

#[test]
fn prepares_with_parameters() {
    let mut client = Client::connect(&account()).unwrap();
    let first = client.prepare("SELECT c FROM sbtest1 WHERE id BETWEEN ? AND ?").unwrap();
    assert_eq!((first.params, first.columns), (2, 1));
    let second = client.prepare("COMMIT").unwrap();
    assert_eq!((second.params, second.columns), (0, 0));
    assert_ne!(first.statement_id, second.statement_id);
}

/// S48 at the null backend: what comes in one read is answered in order, with flags that follow each other.
#[test]
fn pipelined_commands_and_status() {
    use std::io::{Read, Write};
    use weir_net::outcome::status_of;
    use weir_net::packet::put;
    let mut stream = Client::connect(&account()).unwrap().into_stream();
    let mut out = Vec::new();
    let texts = ["BEGIN", "COMMIT", "SET autocommit=0", "DELETE FROM t", "SET autocommit = 1", "nothing known"];
    for text in texts {
        put(&mut out, 0, format!("\x03{text}").as_bytes());
    }
    put(&mut out, 0, &[0x1f]);
    put(&mut out, 0, &[0x1e]);
    stream.write_all(&out).unwrap();
    let mut reply = || {
        let mut head = [0; HEADER_BYTES];
        stream.read_exact(&mut head).unwrap();
        let header = Header::decode(head);
        assert_eq!(header.seq, 1);
        let mut payload = vec![0; header.payload_len as usize];
        stream.read_exact(&mut payload).unwrap();
        payload
    };
    let statuses: Vec<u16> = texts.iter().map(|_| status_of(&reply()).unwrap().0).collect();
    assert_eq!(statuses, [3, 2, 0, 1, 2, 2]);
    assert_eq!(reply(), [0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(reply()[..3], [0xff, 0x17, 0x04]);
}
