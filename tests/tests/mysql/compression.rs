//! Compression on real MySQL (S46): the corpus, big packets, broken frames, and what the server says to each of them directly.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;

use weir_control::config::Config;
use weir_control::gate::{self, GateHandle};
use weir_control::lab::child;
use weir_control::lab::template::MONITOR;
use weir_core::drive::ListenAddress;
use weir_core::snapshot;
use weir_net::command::ChangeUser;
use weir_net::compress::{Agreed, Allowed};
use weir_net::packet;
use weir_tests::real::bind;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::lone::Lone;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::reply::{self, Kind};
use weir_tests::real::squeeze::{Way, frame_head};
use weir_tests::real::suite::{self, Mode};
use weir_tests::real::wire::{Account, Address, Admission, Wire, refusal};

const WAYS: [Way; 4] = [Way::Zlib, Way::Zstd(1), Way::Zstd(3), Way::Zstd(22)];

/// S46: the corpus with clients that compress, against the same sessions on MySQL without.
#[test]
fn sessions_are_equal_when_they_are_compressed() {
    suite::check(Mode::Compressed);
}

/// How long an answer may take before there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// Towards its backends it compresses by zlib.
fn start(place: &Place) -> Gate {
    start_as(place, GateOptions { connections_per_backend: 16, cores_max: 2, socket: None })
}

fn start_as(place: &Place, options: GateOptions) -> Gate {
    let more = |config: &mut Config| config.settings.backend_compression = Some(Agreed::Zlib);
    Gate::start_with(place, options, more).unwrap_or_else(|why| panic!("{why}"))
}

fn account(place: &Place, way: Way) -> Account {
    Account { compression: Some(way), ..place.account() }
}

/// What compresses well, and what does not.
fn mixed(len: u32) -> String {
    let noise = |n: u32| char::from(b'a' + (n.wrapping_mul(n) >> 7) as u8 % 26);
    (0..len).map(|n| if n % 64 < 32 { 'x' } else { noise(n) }).collect()
}

/// S44, S46: commands and results above 16 MiB, in frames of every kind of size.
#[test]
fn big_packets_go_through_frames_of_any_size() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    for way in [Way::Zlib, Way::Zstd(3)] {
        let mut wire = Wire::login(&gate.address(), &account(place, way)).unwrap();
        for (len, piece_bytes) in [(100, 1), (100_000, 7), (20 << 20, 0xff_ffff), (17 << 20, 30_000), (300_000, 100)] {
            wire.squeeze.as_mut().unwrap().piece_bytes = piece_bytes;
            let text = mixed(len);
            let reply = ask(&mut wire, &format!("SELECT '{text}', 1, CONCAT('{}')", &text[..text.len().min(7)]))
                .unwrap_or_else(|why| panic!("{way:?} {len} {piece_bytes}: {}", &why[why.len() - 60..]));
            let rows = reply.rows();
            assert!(rows[0][0].as_deref() == Some(text.as_bytes()), "{way:?} {len}");
            assert_eq!(rows[0][2].as_deref(), Some(&text.as_bytes()[..7]), "what stands behind it in the command");
        }
        let squeeze = wire.squeeze.as_ref().unwrap();
        let (all, squeezed) = squeeze.received;
        assert!(squeezed > 10, "{squeezed} of {all}");
        // Shorter than 50 bytes.
        ask(&mut wire, "DO 1").unwrap();
        assert_eq!(wire.squeeze.as_ref().unwrap().received, (all + 1, squeezed));
    }
}

/// S44, S46: a command that streams behind statements of the gate's own, which are answered meanwhile: its frames go on to count
/// from its own first one.
#[test]
fn a_long_command_behind_statements_of_the_gate() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start_as(place, GateOptions { connections_per_backend: 1, cores_max: 1, socket: None });
    let login = || Wire::login(&gate.address(), &account(place, Way::Zstd(1))).unwrap();
    let mut other = login();
    ask(&mut other, "CREATE DATABASE IF NOT EXISTS long_commands").unwrap();
    ask(&mut other, "CREATE TABLE IF NOT EXISTS long_commands.t (id INT PRIMARY KEY AUTO_INCREMENT)").unwrap();
    let text = mixed(5 << 20);
    for _ in 0..5 {
        let mut wire = login();
        let insert = ask(&mut wire, "INSERT INTO long_commands.t VALUES ()").unwrap();
        ask(&mut other, "INSERT INTO long_commands.t VALUES ()").unwrap();
        wire.squeeze.as_mut().unwrap().piece_bytes = 50_000;
        // In front of it the connection is told what the INSERT gave.
        let reply = ask(&mut wire, &format!("SELECT LAST_INSERT_ID() > 0, LENGTH('{text}')"));
        let reply = reply.unwrap_or_else(|why| panic!("{insert:?}: {}", &why[why.len() - 60..]));
        assert_eq!(first_cell(&reply.rows()), "1");
    }
}

/// S46, S48: commands sent ahead in frames of their own and in one frame are answered in order, each from frame 1 on.
#[test]
fn commands_sent_ahead_are_answered_in_order() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    for way in WAYS {
        let mut wire = Wire::login(&gate.address(), &account(place, way)).unwrap();
        for n in 0..50 {
            let text = format!("SELECT {n}, REPEAT('y', {})", n * 400);
            wire.command(&bind::query(&[], text.as_bytes(), wire.capabilities)).unwrap();
        }
        let mut together = Vec::new();
        for n in 50..100 {
            let text = format!("SELECT {n}");
            packet::put(&mut together, 0, &bind::query(&[], text.as_bytes(), wire.capabilities));
        }
        wire.squeeze.as_mut().unwrap().begin_command();
        wire.send_raw(&together).unwrap();
        for n in 0..100 {
            let reply = reply::read(&mut wire, Kind::Query, false, None).unwrap();
            assert_eq!(first_cell(&reply.rows()), n.to_string());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Refusal {
        seq: u8,
        frame_seq: u8,
        text: String,
        closes: bool,
    },
    Rows(String),
    Closed,
    /// It waits for more.
    Nothing,
}

/// What an end says to these bytes behind a login.
fn said(address: &Address, account: &Account, bytes: &[u8]) -> Said {
    let mut wire = Wire::login(address, account).unwrap();
    wire.squeeze.as_mut().unwrap().is_strict = false;
    wire.send_bare(bytes).unwrap();
    if let Ok(false) = wire.is_readable(PATIENCE) {
        return Said::Nothing;
    }
    let first = match wire.receive() {
        Ok(packet) => packet,
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return Said::Closed;
        }
        Err(error) => panic!("{error}"),
    };
    if first.payload[0] != 0xff {
        return Said::Rows(format!("{:?}", first.payload));
    }
    let frame_seq = wire.squeeze.as_ref().unwrap().last_seq;
    let closes = wire.receive().is_err();
    Said::Refusal { seq: first.seq, frame_seq, text: refusal(&first.payload), closes }
}

/// S46: frames that lie, are cut, or come out of order end as they end on MySQL.
#[test]
fn broken_frames_end_as_on_mysql() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    for way in [Way::Zlib, Way::Zstd(3)] {
        let account = account(place, way);
        let squeeze = weir_tests::real::squeeze::Squeeze::new(way);
        let mut plain = Vec::new();
        let text = format!("SELECT '{}'", "z".repeat(500));
        packet::put(&mut plain, 0, &bind::query(&[], text.as_bytes(), account.capabilities));
        let body = squeeze.shrink(&plain);
        let framed =
            |len: usize, seq: u8, plain_len: usize, body: &[u8]| [&frame_head(len, seq, plain_len)[..], body].concat();
        let cases: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
            ("good", framed(body.len(), 0, plain.len(), &body)),
            ("claims less", framed(body.len(), 0, plain.len() - 1, &body)),
            ("claims much less", framed(body.len(), 0, 1, &body)),
            ("claims more", framed(body.len(), 0, plain.len() + 1, &body)),
            ("claims 16 MiB", framed(body.len(), 0, 0xff_ffff, &body)),
            ("trailing bytes", framed(body.len() + 3, 0, plain.len(), &[&body[..], b"xyz"].concat())),
            ("cut", framed(body.len() - 3, 0, plain.len(), &body[..body.len() - 3])),
            ("noise", framed(plain.len(), 0, plain.len(), &plain)),
            ("empty body", framed(0, 0, plain.len(), &[])),
            ("begins at 1", framed(body.len(), 1, plain.len(), &body)),
            ("begins at 200", framed(plain.len(), 200, 0, &plain)),
            ("packet out of order", {
                let mut other = plain.clone();
                other[3] = 9;
                framed(other.len(), 0, 0, &other)
            }),
            ("second frame out of order", {
                let (one, two) = plain.split_at(20);
                [framed(one.len(), 0, 0, one), framed(two.len(), 5, 0, two)].concat()
            }),
            ("second frame at 0", {
                let (one, two) = plain.split_at(20);
                [framed(one.len(), 0, 0, one), framed(two.len(), 0, 0, two)].concat()
            }),
            ("an empty frame first", [framed(0, 0, 0, &[]), framed(plain.len(), 1, 0, &plain)].concat()),
        ]);
        for (what, bytes) in cases {
            let direct = said(&place.primary(), &account, &bytes);
            let through = said(&gate.address(), &account, &bytes);
            judge(what, way, &direct, &through);
        }
    }
}

/// What MySQL answers, the gate answers; where MySQL 9.7 says 1156, or falls silent for good after a frame that does not open, the gate
/// says 1156 or 1157 and closes. Two things it judges otherwise: packets' own numbers must begin at 0, and a frame in the middle
/// of a command may.
fn judge(what: &str, way: Way, direct: &Said, through: &Said) {
    let refused_with =
        |code: &str| matches!(through, Said::Refusal { text, closes: true, .. } if text.starts_with(code));
    let is_as_wanted = match (what, direct) {
        ("packet out of order", _) => refused_with("1156 "),
        ("second frame at 0", Said::Refusal { .. }) => matches!(through, Said::Rows(_)),
        (_, Said::Rows(_)) => through == direct,
        (_, Said::Refusal { text, .. }) => text.starts_with("1156 ") && refused_with("1156 "),
        (_, Said::Nothing | Said::Closed) => refused_with("1157 "),
    };
    assert!(is_as_wanted, "{way:?} {what}: {direct:?} directly, {through:?} through the gate");
}

/// S46: who may log in with which compression, and what others are told.
#[test]
fn logins_with_what_is_not_allowed() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let server = Lone::start(77, "").unwrap();
    let snapshot::Address::Tcp(direct) = server.address() else { panic!("it listens on TCP") };
    let mut root = server.root().unwrap();
    let ways =
        [None, Some(Way::Zlib), Some(Way::Zstd(3)), Some(Way::Zstd(22)), Some(Way::Zstd(23)), Some(Way::Zstd(0))];
    for list in ["zlib", "zstd", "uncompressed", "zlib,zstd", "zstd,uncompressed", "uncompressed,zlib,zstd"] {
        root.run(format!("SET GLOBAL protocol_compression_algorithms='{list}'")).unwrap();
        let mut allowed = Allowed { zlib: false, zstd: false, uncompressed: false };
        list.split(',').for_each(|name| *allowed.by_name(name).unwrap() = true);
        let gate = start_with(place, |config| config.settings.compression = allowed);
        let through = gate.address().unwrap();
        for way in ways {
            let account = Account { compression: way, ..place.account() };
            let [direct, through] = [direct, through].map(|address| admitted(&Address::Tcp(address), &account));
            let is_offered = match way {
                None => allowed.uncompressed,
                Some(Way::Zlib) => allowed.zlib,
                Some(Way::Zstd(_)) => allowed.zstd,
            };
            // MySQL lets a client have what it did not offer, once it takes bytes as they are; the gate keeps to its word.
            if is_offered || !allowed.uncompressed {
                assert_eq!(through, direct, "{list}, {way:?}");
            } else {
                assert!(through.starts_with("3922 "), "{list}, {way:?}: {through}");
            }
        }
    }
}

fn admitted(address: &Address, account: &Account) -> String {
    match Wire::open(address, account) {
        Ok(Admission::Refused(payload)) => refusal(&payload),
        Ok(Admission::In(mut wire, _)) => match ask(&mut wire, "SELECT REPEAT('x', 100)") {
            Ok(reply) => first_cell(&reply.rows()),
            Err(why) => why,
        },
        Err(error) => error.to_string(),
    }
}

fn start_with(place: &Place, change: impl FnOnce(&mut Config)) -> GateHandle {
    let backends: Vec<_> = place.backends.iter().map(|backend| snapshot::Address::Tcp(*backend)).collect();
    let mut config = Config::local(&backends, MONITOR.0, MONITOR.1);
    change(&mut config);
    gate::start(config).unwrap()
}

/// S28, S46, S47: a change of user, with its whole proof, is compressed too, and so is what follows.
#[test]
fn a_change_of_user_keeps_compression() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let mut admin = place.admin().unwrap();
    for way in WAYS {
        for statement in [
            "DROP USER IF EXISTS weir_squeezed",
            "CREATE USER weir_squeezed IDENTIFIED BY 'never seen before'",
            "GRANT SELECT ON *.* TO weir_squeezed",
        ] {
            admin.sql(statement).unwrap();
        }
        admin.ensure_replicated().unwrap();
        let mut wire = Wire::login(&gate.address(), &account(place, way)).unwrap();
        let other = Account {
            user: "weir_squeezed".to_owned(),
            password: "never seen before".to_owned(),
            ..account(place, way)
        };
        let mut auth = wire.auth(&other);
        let proof = wire.first_response(&mut auth);
        let request = ChangeUser {
            user: other.user.as_bytes(),
            auth: &proof,
            schema: b"",
            charset: 255,
            plugin: Some(auth.plugin()),
            attributes: b"",
        };
        let mut payload = Vec::new();
        request.encode(&mut payload, wire.capabilities).unwrap();
        wire.command(&payload).unwrap();
        let verdict = wire.authenticate(&mut auth).unwrap();
        assert_eq!(verdict[0], 0, "{}", refusal(&verdict));
        let before = wire.squeeze.as_ref().unwrap().received.1;
        let said = first_cell(&ask(&mut wire, "SELECT CONCAT(CURRENT_USER(), REPEAT(' ', 100))").unwrap().rows());
        assert_eq!(said.trim_end(), "weir_squeezed@%");
        assert!(wire.squeeze.as_ref().unwrap().received.1 > before);
    }
}

/// S43, S46: the packets of a client's file are numbered by frames, as MySQL's client has them when results came before.
#[test]
fn files_of_clients_that_count_by_frames() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let mut admin = place.admin().unwrap();
    for statement in ["DROP DATABASE IF EXISTS weir_files", "CREATE DATABASE weir_files"] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    for address in [place.primary(), gate.address()] {
        for way in WAYS {
            let mut wire = Wire::login(&address, &account(place, way)).unwrap();
            ask(&mut wire, "CREATE TABLE weir_files.t (v VARCHAR(100))").unwrap();
            let text = "SELECT REPEAT('long', 100000); LOAD DATA LOCAL INFILE 'x' INTO TABLE weir_files.t";
            wire.command(&bind::query(&[], text.as_bytes(), wire.capabilities)).unwrap();
            while wire.receive().unwrap().payload != b"\xfbx" {}
            wire.seq = wire.squeeze.as_ref().unwrap().last_seq.wrapping_add(1);
            for part in [&b"one\n"[..], b"two\nthree\n", b""] {
                wire.send(part).unwrap();
            }
            let last = wire.receive().unwrap().payload;
            assert_eq!(last[0], 0, "{}", refusal(&last));
            let count = ask(&mut wire, "SELECT COUNT(*) FROM weir_files.t").unwrap().rows();
            assert_eq!(first_cell(&count), "3", "{way:?} {address:?}");
            ask(&mut wire, "DROP TABLE weir_files.t").unwrap();
        }
    }
}

/// S46: the `mysql` program, with and without TLS, by TCP and by a socket.
#[test]
fn the_client_program_compresses() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let socket = std::env::temp_dir().join(format!("weir-squeeze-{}.sock", std::process::id()));
    let gate = start_with(place, |config| config.listen.push(ListenAddress::Unix(socket.clone())));
    let port = gate.address().unwrap().port();
    let tcp = |port: u16| format!("--host=127.0.0.1 --protocol=TCP --port={port}");
    let squeezed = ["--compression-algorithms=zlib", "--compression-algorithms=zstd --zstd-compression-level=22"];
    let expected = client_program(place, &format!("{} {}", tcp(place.backends[0].port()), squeezed[0]));
    assert!(expected.contains("zzzzzzzzzz"), "{expected}");
    for how in squeezed {
        for way in [
            format!("{} --ssl-mode=DISABLED --get-server-public-key", tcp(port)),
            format!("{} --ssl-mode=REQUIRED", tcp(port)),
            format!("--socket={} --protocol=SOCKET", socket.display()),
        ] {
            assert_eq!(client_program(place, &format!("{way} {how}")), expected, "{way} {how}");
        }
    }
}

fn client_program(place: &Place, options: &str) -> String {
    const SCRIPT: &str = "SELECT REPEAT('z', 1000000); SELECT 1 FROM nothing; SELECT 1; DO 1; SELECT USER(), 'end';\n";
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--user=app", "--password=app", "--table", "--force", "--connect-timeout=10"]);
    command.args(options.split(' '));
    let output = child::output(command, SCRIPT.as_bytes(), limits::CLIENT_PROGRAM_WAIT).unwrap();
    assert!(output.stdout.contains("end"), "{options}: {}", output.stderr);
    format!("{}\n{}", output.stdout, output.stderr)
}
