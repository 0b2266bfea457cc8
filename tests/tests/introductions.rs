//! Who a client is, as others see it: PROXY headers of a balancer and TLS to backends (S46), connect attributes (S51), on real MySQL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use weir_control::config::{BackendTlsMode, Config};
use weir_control::gate::{self, GateHandle};
use weir_control::lab::template::MONITOR;
use weir_core::drive::ListenAddress;
use weir_core::snapshot;
use weir_net::limits::CONNECT_ATTRIBUTES_BYTES_MAX;
use weir_tests::real::place::{Place, ask, place};
use weir_tests::real::squeeze::Way;
use weir_tests::real::wire::{Account, Address, Admission, Wire, refusal};

fn start(place: &Place, change: impl FnOnce(&mut Config)) -> GateHandle {
    let backends: Vec<_> = place.backends.iter().map(|backend| snapshot::Address::Tcp(*backend)).collect();
    let mut config = Config::local(&backends, MONITOR.0, MONITOR.1);
    change(&mut config);
    gate::start(config).unwrap()
}

/// As `SHOW WEIR SESSIONS` says it of the session that asks.
fn peer_of(wire: &mut Wire) -> String {
    let id = wire.connection_id.to_string();
    let rows = ask(wire, "SHOW WEIR SESSIONS").unwrap().rows();
    let own = rows.iter().find(|row| row[0].as_deref() == Some(id.as_bytes())).expect("it is there itself");
    String::from_utf8(own[2].clone().unwrap()).unwrap()
}

fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

const IPV4: &[u8] = &[192, 0, 2, 9, 198, 51, 100, 7, 0x9c, 0x40, 0x0c, 0xea];

/// S46: whoever comes through a balancer is who the balancer says, also where the login is compressed.
#[test]
fn balancers_say_who_their_clients_are() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let socket = std::env::temp_dir().join(format!("weir-proxied-{}.sock", std::process::id()));
    let gate = start(place, |config| {
        config.listen.push(ListenAddress::Unix(socket.clone()));
        ["127.0.0.0/8", "unix"].iter().for_each(|text| config.settings.proxy_networks.add(text).unwrap());
    });
    let addresses = [Address::Tcp(gate.address().unwrap()), Address::Unix(socket.clone())];
    let with_values = [IPV4, &[4, 0, 1, 0, 0x20, 0, 2, 1, 2]].concat();
    let cases: [(&[u8], Option<&str>); 6] = [
        (b"PROXY TCP4 192.0.2.9 198.51.100.7 40000 3306\r\n", Some("192.0.2.9:40000")),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 3306\r\n", Some("[2001:db8::9]:40000")),
        (b"PROXY UNKNOWN\r\n", None),
        (&version_2(0x21, 0x11, &with_values), Some("192.0.2.9:40000")),
        (&version_2(0x20, 0, b""), None),
        (&version_2(0x21, 0x31, &[0; 216]), Some("unix")),
    ];
    for address in addresses {
        for (preface, wanted) in cases {
            let account = Account { preface: preface.to_vec(), compression: Some(Way::Zstd(3)), ..place.account() };
            // By a socket a client's password goes in the clear, and by TCP it does not: as the last hop is.
            let mut wire = match (Wire::open(&address, &account), &address, wanted) {
                (Ok(Admission::In(wire, _)), ..) => wire,
                (_, Address::Unix(_), Some(told)) if told != "unix" => continue,
                (_, Address::Tcp(_), Some("unix")) => continue,
                (Ok(Admission::Refused(payload)), ..) => panic!("{preface:?}: {}", refusal(&payload)),
                (Err(why), ..) => panic!("{preface:?}: {why}"),
            };
            let own = if address == Address::Unix(socket.clone()) { "unix" } else { "127.0.0.1:" };
            let seen = peer_of(&mut wire);
            assert!(seen.contains(wanted.unwrap_or(own)), "{seen} after {:?}", String::from_utf8_lossy(preface));
        }
    }
}

/// S46: a header that is wrong, late, missing or not to be believed.
#[test]
fn headers_that_are_refused() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let strict = start(place, |config| {
        config.settings.proxy_networks.add("127.0.0.1").unwrap();
        config.settings.handshake_ms_max = 700;
    });
    let open = start(place, |config| config.settings.proxy_networks.add("10.0.0.0/8").unwrap());
    let said = |gate: &GateHandle, bytes: &[u8]| {
        let mut stream = TcpStream::connect(gate.address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let (mut all, began) = (Vec::new(), Instant::now());
        // A reset is an end too.
        let _ = stream.read_to_end(&mut all);
        (String::from_utf8_lossy(&all).into_owned(), began.elapsed())
    };
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "no PROXY header"),
        (b"PROXY TCP4 nonsense\r\n", "not as it must be"),
        (&[b'P', b'R', b'O', b'X', b'Y', b' '].into_iter().chain([b'x'; 200]).collect::<Vec<u8>>(), "above 107 bytes"),
        (&version_2(0x21, 0x11, &[0; 20_000]), "above 16 KiB"),
        (&version_2(0x21, 0x11, &[IPV4, &[3, 0, 4, 1, 2, 3, 4]].concat()), "checksum is wrong"),
    ] {
        let (text, took) = said(&strict, bytes);
        assert!(text.contains(why) && !text.contains("caching_sha2"), "{text:?}, not: {why}");
        assert!(took < Duration::from_millis(600), "{why}: {took:?}");
    }
    // A client without a header, and one whose header does not end.
    for bytes in [&b""[..], b"PROXY TCP4 192.0.2.9"] {
        let (text, took) = said(&strict, bytes);
        assert!(text.contains("did not come in time") && !text.contains("caching_sha2"), "{text:?}");
        assert!(took >= Duration::from_millis(600), "{took:?}");
    }
    // From elsewhere nobody may say who he is; clients of the usual kind may come.
    for bytes in [&b"PROXY TCP4 192.0.2.9 198.51.100.7 40000 3306\r\n"[..], &version_2(0x21, 0x11, IPV4)] {
        let (text, _) = said(&open, bytes);
        assert!(text.contains("none is taken from there"), "{text:?}");
    }
    let mut wire = Wire::login(&Address::Tcp(open.address().unwrap()), &place.account()).unwrap();
    assert!(peer_of(&mut wire).starts_with("127.0.0.1:"));
}

/// The attributes of the connection on which a statement runs: `name=value`, in their order.
fn attributes(wire: &mut Wire) -> Vec<String> {
    // In a transaction it is one connection, whose own id it is.
    ask(wire, "BEGIN").unwrap();
    let rows = ask(
        wire,
        "SELECT CONCAT(ATTR_NAME, '=', LEFT(IFNULL(ATTR_VALUE, ''), 100)) FROM performance_schema.session_connect_attrs \
         WHERE PROCESSLIST_ID=(SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE THREAD_ID=PS_CURRENT_THREAD_ID()) \
         ORDER BY ORDINAL_POSITION",
    );
    ask(wire, "ROLLBACK").unwrap();
    rows.unwrap().rows().into_iter().map(|row| String::from_utf8(row[0].clone().unwrap()).unwrap()).collect()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// S51: a client's attributes stand on the connection that was opened for it, with the gate's own behind them; what only the gate may
/// say is not taken from clients; a change of user brings its own.
#[test]
fn attributes_reach_the_server() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, |config| {
        config.settings.proxy_networks.add("127.0.0.1").unwrap();
        // Every login is a connection of its own or a change of user, never one that another client left behind.
        config.cores.truncate(1);
    });
    let address = Address::Tcp(gate.address().unwrap());
    let mut admin = place.admin().unwrap();
    for statement in [
        "DROP USER IF EXISTS weir_named",
        "CREATE USER weir_named IDENTIFIED BY 'named'",
        "GRANT SELECT ON performance_schema.* TO weir_named",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let account = Account {
        user: "weir_named".to_owned(),
        password: "named".to_owned(),
        attributes: named(&[("program_name", "shop"), ("_weir_client", "a lie"), ("empty", "")]),
        preface: b"PROXY TCP4 192.0.2.9 198.51.100.7 40000 3306\r\n".to_vec(),
        ..place.account()
    };
    let mut wire = Wire::login(&address, &account).unwrap();
    let version = format!("_weir_version={}", env!("CARGO_PKG_VERSION"));
    let wanted = ["program_name=shop", "empty=", "_weir_client=192.0.2.9:40000", &version];
    let (told, link) = without_link(attributes(&mut wire));
    assert_eq!(told, wanted);
    // The next client of the account gets its login on that connection, by a change of user.
    drop(wire);
    let other = Account { attributes: named(&[("program_name", "bank")]), ..account.clone() };
    let other = Account { preface: b"PROXY TCP4 192.0.2.10 198.51.100.7 5 3306\r\n".to_vec(), ..other };
    let mut wire = Wire::login(&address, &other).unwrap();
    let (told, other) = without_link(attributes(&mut wire));
    assert_eq!(told, ["program_name=bank", "_weir_client=192.0.2.10:5", &version]);
    assert_eq!(link, other, "the connection is the same");
}

/// S51: as many bytes of attributes as the server takes (one more, and it refuses the login). The gate's own have room in any case.
#[test]
fn attributes_have_the_servers_limit() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, |_| {});
    let through = Address::Tcp(gate.address().unwrap());
    // A name of 4 bytes and its length, a value and 3 bytes of length. The server shows 512 bytes (performance_schema_session_connect_attrs_size).
    let long = "x".repeat(CONNECT_ATTRIBUTES_BYTES_MAX - 5 - 3);
    let account = Account { attributes: named(&[("long", &long)]), ..place.account() };
    assert_eq!(named_once(&mut Wire::login(&place.primary(), &account).unwrap()), ["_truncated"]);
    assert_eq!(
        named_once(&mut Wire::login(&through, &account).unwrap()),
        ["_weir_client", "_weir_version", "_weir_link"]
    );
}

/// The last one is the connection's own: 16 hexadecimal digits.
fn without_link(mut told: Vec<String>) -> (Vec<String>, String) {
    let link = told.pop().unwrap();
    let digits = link.strip_prefix("_weir_link=").unwrap();
    assert!(digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{link}");
    (told, link)
}

fn named_once(wire: &mut Wire) -> Vec<String> {
    attributes(wire).iter().filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

/// The authorities of all servers, as each of them made one for itself.
fn authorities(place: &Place) -> String {
    let read = |backend: &std::net::SocketAddr| {
        let mut wire = Wire::login(&Address::Tcp(*backend), &place.account()).unwrap();
        let rows = ask(&mut wire, "SELECT @@datadir, @@ssl_ca").unwrap().rows();
        let cell = |at: usize| String::from_utf8(rows[0][at].clone().unwrap()).unwrap();
        std::fs::read_to_string(Path::new(&cell(0)).join(cell(1))).unwrap()
    };
    place.backends.iter().map(read).collect()
}

/// S46: within TLS to the backends, whose authority is believed or not; accounts that want it get in.
#[test]
fn backends_are_reached_within_tls() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let folder = tempdir("backend-tls");
    let (ours, foreign) = (folder.join("ours.pem"), folder.join("foreign.pem"));
    std::fs::write(&ours, authorities(place)).unwrap();
    weir_control::gate::keys::make(&weir_control::config::Tls::Folder(folder.clone()), None).unwrap();
    std::fs::rename(folder.join("ca.pem"), &foreign).unwrap();
    let mut admin = place.admin().unwrap();
    for statement in
        ["DROP USER IF EXISTS 'weir_wants_tls'@'%'", "CREATE USER 'weir_wants_tls'@'%' IDENTIFIED BY 'pw' REQUIRE SSL"]
    {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let wants = Account { user: "weir_wants_tls".into(), password: "pw".into(), ..place.account() };
    let check = |mode: BackendTlsMode, ca: Option<&Path>, is_encrypted: bool| {
        let gate = start(place, |config| {
            (config.backend_tls, config.backend_tls_ca) = (mode, ca.map(Path::to_owned));
        });
        let address = Address::Tcp(gate.address().unwrap());
        let mut wire = Wire::login(&address, &place.account()).unwrap_or_else(|why| panic!("{mode:?}: {why}"));
        let rows = ask(&mut wire, "SHOW SESSION STATUS LIKE 'Ssl_cipher'").unwrap().rows();
        let cipher = rows[0][1].clone().unwrap_or_default();
        assert_eq!(!cipher.is_empty(), is_encrypted, "{mode:?}");
        // A change of user goes on within it.
        ask(&mut wire, "SELECT GET_LOCK('weir_tls', 0)").unwrap();
        drop(wire);
        let admitted = matches!(Wire::open(&address, &wants).unwrap(), Admission::In(..));
        assert_eq!(admitted, is_encrypted, "{mode:?}: an account that wants TLS");
    };
    check(BackendTlsMode::Off, None, false);
    check(BackendTlsMode::Preferred, None, true);
    check(BackendTlsMode::Required, None, true);
    check(BackendTlsMode::VerifyCa, Some(&ours), true);
    let gate = start(place, |config| {
        (config.backend_tls, config.backend_tls_ca) = (BackendTlsMode::VerifyCa, Some(foreign.clone()));
        config.settings.wait_ms_max = 1_000;
    });
    let refused = Wire::open(&Address::Tcp(gate.address().unwrap()), &place.account());
    assert!(!matches!(refused, Ok(Admission::In(..))), "a backend whose authority is not believed was logged in to");
    std::fs::remove_dir_all(folder).unwrap();
}

fn tempdir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
