//! `--check-config` of the three programs: a case for each kind of mistake, what is said about it, and that nothing starts.

use crate::place::{WEIR, folder, run, text};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use weir_control::config::Tls;
use weir_control::gate::keys;

/// Kind of mistake, the file's text, what must be said; `DIR` stands for the test's folder.
type Case = (&'static str, &'static str, &'static [&'static str]);

const GATE: &[Case] = &[
    ("form", "[gate\n", &["weir.toml:1:"]),
    ("name of a section", "[gaet]\n", &["weir.toml:1:2: there is no section 'gaet'; did you mean 'gate'?"]),
    ("name of a key", "[gate]\nlisen = \"x\"\n", &["weir.toml:2:1: [gate] has no key 'lisen'; did you mean 'listen'?"]),
    ("section of a key", "[gate]\nwait_ms_max = 1\n", &["weir.toml:2:1: 'wait_ms_max' belongs into [pool]"]),
    ("type", "[pool]\nwait_ms_max = \"1s\"\n", &["weir.toml:2:15: wait_ms_max must be a whole number"]),
    ("limit", "[limits]\nclients_max = 0\n", &["weir.toml:2:15: clients_max must be a whole number from 1 to"]),
    ("word", "[routing]\nconsistency = \"sesion\"\n", &["weir.toml:2:15: ", "did you mean 'session'?"]),
    ("address", "[gate]\nlisten = \"127.0.0.1\"\n", &["weir.toml:2:10: '127.0.0.1' has no port"]),
    (
        "other machine",
        "[gate]\nlisten = \"192.0.2.1:3306\"\n",
        &["weir.toml:2:10: this machine has no address 192.0.2.1"],
    ),
    (
        "other machine, status",
        "[gate]\nadmin_listen = \"192.0.2.1:1\"\n",
        &["weir.toml:2:16: this machine has no address"],
    ),
    (
        "socket's folder",
        "[gate]\nlisten = \"unix:/nowhere/w.sock\"\n",
        &["weir.toml:2:10: there is no folder '/nowhere'"],
    ),
    ("no file", "[monitor]\npassword_file = \"none\"\n", &["weir.toml:2:17: 'DIR/none' cannot be read"]),
    (
        "certificate",
        "[gate]\ntls_cert = \"text\"\ntls_key = \"a/server-key.pem\"\n",
        &["weir.toml:2:12: DIR/text is no usable PEM"],
    ),
    (
        "key of another certificate",
        "[gate]\ntls_cert = \"a/server-cert.pem\"\ntls_key = \"b/server-key.pem\"\n",
        &["weir.toml:2:12: DIR/a/server-cert.pem and DIR/b/server-key.pem don't work together"],
    ),
    (
        "half a folder of keys",
        "[gate]\ntls_dir = \"half\"\n",
        &["weir.toml:2:11: DIR/half/server-key.pem is no usable PEM"],
    ),
    (
        "a folder that can't be made",
        "[gate]\ntls_dir = \"text/keys\"\n",
        &["weir.toml:2:11: there is no folder 'DIR/text'"],
    ),
    (
        "key of gRPC",
        "[gate]\ngrpc_tls_cert = \"a/server-cert.pem\"\ngrpc_tls_key = \"b/server-key.pem\"\n",
        &["weir.toml:2:17: DIR/a/server-cert.pem and DIR/b/server-key.pem don't work together"],
    ),
    (
        "authority of backends",
        "[pool]\nbackend_tls = \"verify_ca\"\nbackend_tls_ca = \"text\"\n",
        &["weir.toml:3:18: ", "it holds no certificate"],
    ),
    (
        "no authority",
        "[pool]\nbackend_tls = \"verify_identity\"\n",
        &["weir.toml:2:15: backend_tls verifies certificates, yet by no authority"],
    ),
    (
        "authority that is not asked",
        "[pool]\nbackend_tls = \"required\"\nbackend_tls_ca = \"a/ca.pem\"\n",
        &["weir.toml:3:18: backend_tls_ca is named, yet backend_tls = \"required\" asks no authority"],
    ),
    ("permissions", "[gate]\npermissions = \"acl.toml\"\n", &["weir.toml:2:15: DIR/acl.toml:1:12: "]),
    ("query log", "[query_log]\nfile = \"none/q.log\"\n", &["weir.toml:2:8: there is no folder 'DIR/none'"]),
    (
        "contradiction",
        "[gate]\ntls = false\ntls_dir = \"a\"\n",
        &["weir.toml:2:7: TLS is switched off, yet a certificate is named"],
    ),
    (
        "sum",
        "[pool]\nconnections_warm_min = 300\n",
        &["weir.toml:2:24: connections_warm_min on", "lower the first or raise the second"],
    ),
    ("two of one", "[[backends]]\naddress = \"127.0.0.1:1\"\n", &["'127.0.0.1:1' is a backend already"]),
    ("level of the log", "[log]\nlevel = \"loud=x=y\"\n", &["weir.toml:2:9: 'loud=x=y' is no log level"]),
];

/// Each wrong by one thing.
const LISTENERS: &[Case] = &[
    ("listener without an address", "[[listeners]]\ntls = \"off\"\n", &["weir.toml:1:1: this listener has no address"]),
    (
        "key of a listener",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntsl = \"off\"\n",
        &["weir.toml:3:1: [listeners] has no key 'tsl'; did you mean 'tls'?"],
    ),
    (
        "word of a listener",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"on\"\n",
        &["weir.toml:3:7: tls cannot be 'on'; "],
    ),
    (
        "listener of another machine",
        "[[listeners]]\naddress = \"192.0.2.1:1\"\n",
        &["weir.toml:2:11: this machine has no address"],
    ),
    (
        "two policies for one address",
        "[gate]\nlisten = \"127.0.0.1:4406\"\n[[listeners]]\naddress = \"127.0.0.1:4406\"\n",
        &["weir.toml:4:11: '127.0.0.1:4406' is listened on twice"],
    ),
    (
        "two policies for any free port",
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n",
        &["weir.toml:4:11: '127.0.0.1:0' is listened on twice"],
    ),
    (
        "no TLS, yet a certificate",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"off\"\ntls_cert = \"a/server-cert.pem\"\ntls_key = \"a/server-key.pem\"\n",
        &["weir.toml:4:12: there is no TLS at this listener, yet this is about it"],
    ),
    (
        "TLS without any certificate",
        "[gate]\ntls = false\n[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"required\"\n",
        &["weir.toml:5:7: TLS is wanted here, yet switched off under [gate]"],
    ),
    (
        "half of a listener's pair",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls_key = \"a/server-key.pem\"\n",
        &["weir.toml:3:11: a private key needs its certificate"],
    ),
    (
        "a listener's mixed pair",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls_cert = \"a/server-cert.pem\"\ntls_key = \"b/server-key.pem\"\n",
        &["weir.toml:3:12: DIR/a/server-cert.pem and DIR/b/server-key.pem don't work together"],
    ),
    (
        "certificates by no authority",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"required\"\ntls_client_auth = \"required\"\n",
        &["weir.toml:4:19: tls_client_auth wants certificates, yet by no authority"],
    ),
    (
        "an authority that no listener asks",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls_ca = \"a/ca.pem\"\n",
        &["weir.toml:3:10: tls_ca is named, yet tls_client_auth = \"off\" asks for no certificate"],
    ),
    (
        "a listener's unusable authority",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"required\"\ntls_client_auth = \"required\"\ntls_ca = \"text\"\n",
        &["weir.toml:4:19: ", "it holds no certificate"],
    ),
    (
        "certificates, yet plain text",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls_client_auth = \"required\"\ntls_ca = \"a/ca.pem\"\n",
        &["weir.toml:3:19: a certificate is required here, yet who comes without TLS shows none"],
    ),
    (
        "TLS at a socket",
        "[[listeners]]\naddress = \"unix:DIR/w.sock\"\ntls = \"required\"\n",
        &["weir.toml:3:7: a Unix socket has no TLS and is secure without it"],
    ),
    (
        "balancers of nobody",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\nproxy_protocol = \"required\"\n",
        &["weir.toml:3:18: proxy_protocol is required here, yet from nobody"],
    ),
    (
        "balancers elsewhere",
        "[gate]\nproxy_protocol_networks = \"10.0.0.0/8\"\n[[listeners]]\naddress = \"unix:DIR/w.sock\"\nproxy_protocol = \"required\"\n",
        &["weir.toml:5:18: proxy_protocol is required at a Unix socket, yet from TCP networks alone"],
    ),
    (
        "an account's certificate that nobody asks for",
        "[[listeners]]\naddress = \"127.0.0.1:4406\"\ntls = \"required\"\n[[accounts]]\nuser = \"a\"\nrequire = \"x509\"\n",
        &["this account needs a certificate"],
    ),
];

const TABLET: &[Case] = &[
    ("key", "[tablet]\nserfer = \"x\"\n", &["weir.toml:2:1: [tablet] has no key 'serfer'; did you mean 'server'?"]),
    ("section", "[gate]\n", &["weir.toml:1:2: there is no section 'gate'; a tablet's keys stand in [tablet]"]),
    ("limit", "[tablet]\ninterval_ms = 1\n", &["weir.toml:2:15: interval_ms must be a whole number from 10 to 60000"]),
    ("other machine", "[tablet]\nlisten = \"192.0.2.1:1\"\n", &["weir.toml:2:10: this machine has no address"]),
    ("no file", "[tablet]\npassword_file = \"none\"\n", &["weir.toml:2:17: 'DIR/none' cannot be read"]),
    (
        "account",
        "[tablet]\nadmin_password_file = \"text\"\n",
        &["weir.toml:2:23: admin_password_file is of no use without admin_user"],
    ),
    ("alone", "[tablet]\nzone = \"a\"\n", &["weir.toml:2:8: zone is for controllers, and there are none"]),
    ("steward", "[tablet]\nmanage = \"on\"\n", &["weir.toml:2:10: manage = \"on\" needs a topology to follow"]),
    (
        "one port",
        "[tablet]\nlisten = \"127.0.0.1:7406\"\nhttp_listen = \"127.0.0.1:7406\"\n",
        &["weir.toml:3:15: http_listen and listen are the same"],
    ),
    (
        "cache",
        "[tablet]\ncontrollers = \"c:1\"\ncontrollers_cache = \"none/c\"\n",
        &["weir.toml:3:21: there is no folder 'DIR/none'"],
    ),
    (
        "key of a certificate",
        "[tablet]\ntls_cert = \"a/server-cert.pem\"\ntls_key = \"b/server-key.pem\"\n",
        &["weir.toml:2:12: ", "don't work together"],
    ),
];

const CONTROLLER: &[Case] = &[
    (
        "key",
        "[controller]\nstroe = \"x\"\n",
        &["weir.toml:2:1: [controller] has no key 'stroe'; did you mean 'store'?"],
    ),
    ("limit", "[controller]\nlease_ms = 5\n", &["weir.toml:2:12: lease_ms must be a whole number from 500"]),
    ("unreachable", "[controller]\nlisten = \"0.0.0.0:1\"\n", &["weir.toml:2:10: others can't reach that address"]),
    (
        "two stores",
        "[controller]\nstore = \"s\"\netcd = \"e:1\"\n",
        &["weir.toml:3:8: a store of its own and etcd contradict"],
    ),
    ("store", "[controller]\nstore = \"none/s.db\"\n", &["weir.toml:2:9: there is no folder 'DIR/none'"]),
    (
        "one port",
        "[controller]\nlisten = \"127.0.0.1:7\"\nhttp_listen = \"127.0.0.1:7\"\n",
        &["weir.toml:3:15: http_listen and listen are the same"],
    ),
    (
        "authority alone",
        "[controller]\ntls_ca = \"a/ca.pem\"\n",
        &["weir.toml:2:10: DIR/a/ca.pem needs a certificate and its key beside it"],
    ),
];

/// A folder with what the cases name.
fn laid_out(name: &str) -> PathBuf {
    let dir = folder(name);
    for pair in ["a", "b", "half"] {
        keys::make(&Tls::Folder(dir.join(pair)), None).expect("a certificate");
    }
    std::fs::remove_file(dir.join("half/server-key.pem")).expect("it is there");
    std::fs::write(dir.join("text"), "no certificate\n").expect("a file");
    std::fs::write(dir.join("acl.toml"), "unlisted = \"perhaps\"\n").expect("a file");
    dir
}

/// Exit code and what was said.
fn checked(program: &str, dir: &Path, file: &str) -> (Option<i32>, String) {
    let path = dir.join("weir.toml");
    std::fs::write(&path, file).expect("a file");
    let output = run(Command::new(WEIR).arg(program).args(["--check-config", "--config"]).arg(&path));
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn check_all(program: &str, cases: &[Case], around: &str) {
    let dir = laid_out(&format!("{program}-{}", cases.len()));
    let mut faults = Vec::new();
    for (kind, file, says) in cases {
        let file = file.replace("DIR", &dir.display().to_string());
        let (code, said) = checked(program, &dir, &format!("{file}{around}"));
        let wanted = says.iter().map(|one| one.replace("DIR", &dir.display().to_string()));
        if code != Some(2) || !wanted.clone().all(|one| said.contains(&one)) {
            faults.push(format!("{kind}: exit code {code:?}, wanted {:?}\n  {said}", wanted.collect::<Vec<_>>()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let before: Vec<_> =
        std::fs::read_dir(&dir).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(before.len(), 6, "a check has made a file: {before:?}");
}

const BACKEND: &str = "[[backends]]\naddress = \"127.0.0.1:1\"\n";

#[test]
fn each_kind_of_mistake_in_a_gates_file_is_told_with_its_place() {
    check_all("gate", GATE, BACKEND);
}

#[test]
fn each_kind_of_mistake_in_a_listeners_rows_is_told_with_its_place() {
    check_all("gate", LISTENERS, BACKEND);
}

#[test]
fn each_kind_of_mistake_in_a_tablets_file_is_told_with_its_place() {
    check_all("tablet", TABLET, "");
}

#[test]
fn each_kind_of_mistake_in_a_controllers_file_is_told_with_its_place() {
    check_all("controller", CONTROLLER, "");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let dir = laid_out("all");
    let file = "[gate]\ncores = \"0-99999\"\ntls_cert = \"text\"\ntls_key = \"text\"\nlisten = \"nowhere\"\n[pool]\nwait_ms_max = -1\n";
    let (code, said) = checked("gate", &dir, file);
    let lines = ["weir.toml:2:9: ", "weir.toml:3:12: ", "weir.toml:5:10: ", "weir.toml:7:15: ", "no backend is named"];
    assert_eq!((code, said.lines().count()), (Some(2), lines.len()), "{said}");
    for line in lines {
        assert!(said.contains(line), "{line} not in\n{said}");
    }
}

/// Also beside a program that runs with the very same configuration: the check takes none of its ports.
#[test]
fn a_right_configuration_is_told_so_and_nothing_is_started() {
    let dir = laid_out("right");
    let [clients, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [clients, admin] = [&clients, &admin].map(|port| port.local_addr().expect("bound"));
    let gate = format!(
        "[gate]\nlisten = \"{clients}\"\nadmin_listen = \"{admin}\"\ntls_cert = \"a/server-cert.pem\"\n\
         tls_key = \"a/server-key.pem\"\n[pool]\nbackend_tls = \"verify_ca\"\nbackend_tls_ca = \"a/ca.pem\"\n\
         [query_log]\nfile = \"q.log\"\n{BACKEND}"
    );
    let tablet = format!("[tablet]\nlisten = \"{clients}\"\nhttp_listen = \"{admin}\"\n");
    let controller = format!("[controller]\nlisten = \"{clients}\"\nhttp_listen = \"{admin}\"\nstore = \"c.db\"\n");
    for (program, file) in [("gate", gate), ("tablet", tablet), ("controller", controller)] {
        let (code, said) = checked(program, &dir, &file);
        assert_eq!((code, said.as_str()), (Some(0), "the configuration is right\n"), "{program}");
    }
    for made in ["q.log", "c.db"] {
        assert!(!dir.join(made).exists(), "the check has made {made}");
    }
}

/// A password file that is not there, told as a flag's mistake.
#[test]
fn flags_are_checked_as_files_are() {
    let flags = ["--backend", "127.0.0.1:1", "--monitor-password-file", "/nowhere/pw", "--tls-cert", "/nowhere/cert"];
    let output = run(Command::new(WEIR).args(["gate", "--check-config"]).args(flags));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for line in
        ["--monitor-password-file: '/nowhere/pw' cannot be read", "--tls-cert: a certificate needs its private key"]
    {
        assert!(said.contains(line), "{line} not in\n{said}");
    }
}

/// Root may write anywhere, so a check by root is followed by one as nobody, with a copy of the program that nobody can reach.
#[test]
fn files_that_the_user_may_not_write_are_told() {
    let dir = std::env::temp_dir().join(format!("weir-check-{}", std::process::id()));
    let locked = dir.join("locked");
    std::fs::create_dir_all(&locked).expect("a folder");
    std::fs::write(locked.join("old.log"), "").expect("a file");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    mode(&locked.join("old.log"), 0o444);
    mode(&locked, 0o555);
    mode(&dir, 0o755);
    let program = dir.join("weir");
    std::fs::copy(WEIR, &program).expect("a copy");
    mode(&program, 0o755);
    let said = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).arg("--check-config").current_dir(&dir);
        if std::fs::metadata("/proc/self").expect("proc").uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        text(&run(&mut command).stderr)
    };
    let gate = ["gate", "--backend", "127.0.0.1:1"];
    let old = said(&[&gate[..], &["--query-log", "locked/old.log"]].concat());
    let new = said(&[&gate[..], &["--query-log", "locked/new.log"]].concat());
    let keys = said(&[&gate[..], &["--tls-dir", "locked/a/b"]].concat());
    let store = said(&["controller", "--store", "locked/c.db"]);
    mode(&locked, 0o755);
    std::fs::remove_dir_all(&dir).expect("it was ours");
    assert!(old.contains("--query-log: 'locked/old.log' cannot be written"), "{old}");
    assert!(new.contains("--query-log: nothing can be made in 'locked'"), "{new}");
    assert!(keys.contains("--tls-dir: nothing can be made in 'locked'"), "{keys}");
    assert!(store.contains("--store: nothing can be made in 'locked'"), "{store}");
}

const NOBODY: u32 = 65_534;
