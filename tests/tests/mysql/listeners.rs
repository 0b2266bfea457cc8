//! Addresses with policies of their own, with the `mysql` program: who comes in where, and which certificate is shown.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::options::ClientTls;
use weir_control::client::trust::Trust;
use weir_control::client::{Client, Options};
use weir_control::config::Tls;
use weir_control::gate::{backend_tls, keys};
use weir_control::lab::child;
use weir_control::lab::ports::{self, Port};
use weir_tests::real::limits;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::wire::Wire;

use super::reload::{LIMIT, Process};

/// What the program says for one statement: its result, or the error.
fn said(place: &Place, address: SocketAddr, flags: &[&str]) -> String {
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--protocol=TCP", "-N", "--user=app", "-e", "SELECT 'in'"]);
    command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
    command.args(flags).env("MYSQL_PWD", "app");
    let output = child::output(command, b"", limits::CLIENT_PROGRAM_WAIT).unwrap();
    output.stdout + &output.stderr
}

const IN: &str = "in\n";
const REFUSED: &str =
    "ERROR 3159 (HY000): Connections using insecure transport are prohibited while --require_secure_transport=ON.\n";
const PLAIN: [&str; 2] = ["--ssl-mode=DISABLED", "--get-server-public-key"];
const TLS: [&str; 1] = ["--ssl-mode=REQUIRED"];

/// Ways to come in, and what is said for each.
struct Ways<'a> {
    place: &'a Place,
    /// A certificate that the server's authority has signed.
    proven: [String; 3],
}

impl Ways<'_> {
    fn new(place: &Place) -> Ways<'_> {
        let mut direct = Wire::login(&place.primary(), &place.account()).unwrap();
        let data = first_cell(&ask(&mut direct, "SELECT @@datadir").unwrap().rows());
        let key = |name: &str| format!("--ssl-{name}={data}client-{name}.pem");
        Ways { place, proven: ["--ssl-mode=REQUIRED".to_owned(), key("cert"), key("key")] }
    }

    fn ca(&self) -> String {
        self.proven[1].trim_start_matches("--ssl-cert=").replace("client-cert.pem", "ca.pem")
    }

    /// Plain, by TLS, by TLS with a certificate; each answer as it must begin.
    fn check(&self, gate: &Process, address: SocketAddr, expected: [&str; 3]) {
        let proven: Vec<&str> = self.proven.iter().map(String::as_str).collect();
        for (way, expected) in [&PLAIN[..], &TLS[..], &proven[..]].into_iter().zip(expected) {
            let said = said(self.place, address, way);
            assert!(said.starts_with(expected), "{address} {way:?}: {said}, not {expected}\n{}", gate.log());
        }
    }
}

fn at(last: u8, port: &Port) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port.number()))
}

/// A pair in a folder, with its authority.
fn pair(folder: &Path) -> String {
    keys::make(&Tls::Folder(folder.to_owned()), None).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    format!("tls_cert = \"{}\"\ntls_key = \"{}\"\n", file("server-cert.pem"), file("server-key.pem"))
}

/// A login that believes this authority, over and over with one memory of sessions.
fn trusting(ca: &Path) -> impl Fn(SocketAddr) -> Result<Client, String> + use<> {
    let config = Trust::Authority(backend_tls::trusting(ca).unwrap()).config().unwrap();
    move |address| {
        let options = Options::tcp(&address.ip().to_string(), address.port()).user("app").password("app");
        let tls = ClientTls::Verified(config.clone(), "localhost".try_into().unwrap());
        Client::connect(&options.timeout(Some(LIMIT)).tls(tls)).map_err(|error| error.to_string())
    }
}

fn row(address: SocketAddr, keys: &str) -> String {
    format!("[[listeners]]\naddress = \"{address}\"\n{keys}\n")
}

/// S46: plain text at one port, TLS alone at another, certificates at a third, each with its own certificate; one port may differ by address.
#[test]
fn each_listener_has_its_own_policy() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let (ways, ports) = (Ways::new(place), ports::free(5).unwrap());
    let folder = std::env::temp_dir().join(format!("weir-listener-keys-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let [own, other] = ["own", "other"].map(|name| folder.join(name));
    let [own_files, other_files] = [&own, &other].map(|folder| pair(folder));
    let [side, open, mutual, newest] = [0, 1, 2, 4].map(|port| at(1, &ports[port]));
    let (local, anywhere) = (at(1, &ports[3]), at(2, &ports[3]));
    let everywhere = SocketAddr::from(([0, 0, 0, 0], ports[3].number()));
    let mutual_keys =
        format!("tls = \"required\"\ntls_client_auth = \"required\"\ntls_ca = \"{}\"\n{own_files}", ways.ca());
    let rows = [
        row(side, "tls = \"off\""),
        row(open, &format!("tls = \"required\"\n{own_files}")),
        row(mutual, &mutual_keys),
        row(local, "tls = \"off\""),
        row(everywhere, "tls = \"required\""),
        row(newest, "tls_min_version = \"1.3\""),
    ];
    let gate = Process::start("listeners", &format!("{other_files}{}", rows.concat()), &[]);
    let gates = SocketAddr::from(([127, 0, 0, 1], gate.port()));
    let (no_tls, unproven) = ("ERROR 2026 (HY000): SSL connection error: SSL is required", "ERROR 2");
    for (address, expected) in [
        (gates, [IN, IN, IN]),
        (side, [IN, no_tls, no_tls]),
        (open, [REFUSED, IN, IN]),
        (mutual, [REFUSED, unproven, IN]),
        (local, [IN, no_tls, no_tls]),
        (anywhere, [REFUSED, IN, IN]),
    ] {
        ways.check(&gate, address, expected);
    }
    let mut door = Client::connect(&Options::tcp("127.0.0.1", side.port()).user("app").password("app")).unwrap();
    let id = door.cell("SELECT CONNECTION_ID()").unwrap();
    let sessions = door.rows("SHOW WEIR SESSIONS").unwrap();
    let mine = sessions.iter().find(|row| row[0] == id).unwrap();
    assert_eq!(mine[7].as_deref(), Some(&*side.to_string()), "{sessions:?}");
    // A client of TLS 1.2 comes in where the gate's own version holds.
    for (address, expected) in [(open, IN), (newest, "ERROR 2026 (HY000): SSL connection error")] {
        let said = said(place, address, &["--ssl-mode=REQUIRED", "--tls-version=TLSv1.2"]);
        assert!(said.starts_with(expected), "{address}: {said}");
    }
    assert_eq!(said(place, newest, &["--ssl-mode=REQUIRED", "--tls-version=TLSv1.3"]), IN);
    // Each shows its own certificate, or else the gate's.
    let [by_own, by_other] = [&own, &other].map(|folder| trusting(&folder.join("ca.pem")));
    for (address, is_own) in [(gates, false), (open, true), (anywhere, false)] {
        assert_eq!((by_own(address).is_ok(), by_other(address).is_ok()), (is_own, !is_own), "{address}");
    }
    // What was let in without a certificate is not resumed where one is wanted.
    by_own(open).unwrap();
    assert!(by_own(mutual).is_err());
    drop(gate);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Policies and certificates follow a reload and a renewed file, addresses wait for an upgrade, and the sockets keep what their address has
/// in whatever order the next file names them.
#[test]
fn policies_follow_a_reload_and_an_upgrade() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let (ways, ports) = (Ways::new(place), ports::free(3).unwrap());
    let [one, two, three] = [0, 1, 2].map(|port| at(1, &ports[port]));
    let (off, required) = ("tls = \"off\"", "tls = \"required\"");
    let mut gate = Process::start("policies", &(row(one, off) + &row(two, required)), &[]);
    let no_tls = "ERROR 2026";
    ways.check(&gate, one, [IN, no_tls, no_tls]);
    ways.check(&gate, two, [REFUSED, IN, IN]);
    let plain = Options::tcp("127.0.0.1", one.port()).user("app").password("app").timeout(Some(LIMIT));
    let mut kept = Client::connect(&plain).unwrap();

    let folder = gate.folder.join("pair");
    let own = format!("{required}\n{}", pair(&folder));
    gate.write(&(row(three, required) + &row(two, "proxy_protocol = \"off\"") + &row(one, &own)));
    let told = gate.reload().unwrap();
    let expected = [
        format!("[[listeners]] {one}: was tls = \"off\", now tls = \"required\", tls_cert = "),
        format!("[[listeners]] {two}: was tls = \"required\", now proxy_protocol = \"off\""),
        format!("[[listeners]] {three}: needs a restart or an upgrade; not yet listened on"),
    ];
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 3 && lines.iter().zip(&expected).all(|(line, wanted)| line.starts_with(wanted)), "{told}");
    ways.check(&gate, one, [REFUSED, IN, IN]);
    ways.check(&gate, two, [IN, IN, IN]);
    assert_eq!(kept.cell("SELECT 1").unwrap().as_deref(), Some("1"), "who is here stays");
    ways.check(&gate, three, ["ERROR 2003", "ERROR 2003", "ERROR 2003"]);

    // Its files are renewed by somebody else.
    let next = gate.folder.join("next");
    pair(&next);
    let (before, after) = (trusting(&folder.join("ca.pem")), trusting(&next.join("ca.pem")));
    assert!(before(one).is_ok() && after(one).is_err());
    for name in ["server-cert.pem", "server-key.pem"] {
        std::fs::rename(next.join(name), folder.join(name)).unwrap();
    }
    let began = Instant::now();
    while after(one).is_err() {
        assert!(began.elapsed() < LIMIT, "{}", gate.log());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(gate.log().contains(&format!("clients' TLS at {one}: the files have changed")), "{}", gate.log());

    gate.upgrade();
    ways.check(&gate, one, [REFUSED, IN, IN]);
    ways.check(&gate, two, [IN, IN, IN]);
    ways.check(&gate, three, [REFUSED, IN, IN]);
    assert_eq!(kept.cell("SELECT 1").unwrap().as_deref(), Some("1"), "who is there stays");

    let mistake = row(one, "tls = \"off\"\ntls_client_auth = \"required\"");
    gate.write(&mistake);
    let why = gate.reload().unwrap_err();
    assert!(why.contains("gate.toml:10:19: there is no TLS at this listener"), "{why}");
    ways.check(&gate, one, [REFUSED, IN, IN]);
}

/// S46: a header is wanted at the balancers' port alone.
#[test]
fn a_proxy_header_is_wanted_at_its_listener() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let ports = ports::free(1).unwrap();
    let balanced = at(1, &ports[0]);
    let rows = row(balanced, "proxy_protocol = \"required\"");
    let gate = Process::start("proxied", &format!("proxy_protocol_networks = \"127.0.0.0/8\"\n{rows}"), &[]);
    // The greeting's first bytes: none within the time is an error.
    let greeted = |address: SocketAddr, header: &[u8]| -> bool {
        let mut stream = TcpStream::connect(address).unwrap();
        let limit = if header.is_empty() && address == balanced { Duration::from_millis(300) } else { LIMIT };
        stream.set_read_timeout(Some(limit)).unwrap();
        stream.write_all(header).unwrap();
        let mut head = [0; 5];
        // The protocol's version, 10; a refusal begins with 255.
        stream.read_exact(&mut head).is_ok() && head[4] == 10
    };
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 3306\r\n";
    let gates = SocketAddr::from(([127, 0, 0, 1], gate.port()));
    assert!(greeted(gates, b"") && !greeted(balanced, b"") && greeted(balanced, header));
    let mut client = gate.client();
    assert_eq!(client.cell("SELECT 1").unwrap().as_deref(), Some("1"));
}
