//! The systemd units: systemd finds no fault in them, its own score of their sandbox, and that a gate which starts, serves and
//! drains under such restrictions needs nothing that they take away.
//!
//! Under a running systemd (252, of Debian 12) the package's units were tried by hand: start, reload, upgrade, kill, a file with mistakes,
//! stop. There is none where tests run, so the restrictions are made here: a root that is read-only but for the
//! state's folder, another user, no capability, no new privileges. System calls, socket families and writable code are
//! held against the unit from a trace of the gate.

use crate::place::{WEIR, root, run, text};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use weir_tests::real::place::{PASSWORD, USER, place};
use weir_tests::real::wire::{Address, Wire};

const UNITS: [&str; 3] = ["weir-gate", "weir-tablet", "weir-controller"];

pub fn unit(name: &str) -> String {
    let path = root().join(format!("packaging/systemd/{name}.service"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All values of a key, in their order.
fn values(unit: &str, key: &str) -> Vec<String> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
}

fn analyze(args: &[&str]) -> (bool, String) {
    let output = run(Command::new("systemd-analyze").args(args));
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Unknown keys and wrong values are warnings to systemd, so nothing at all may be said. A slip is seen.
#[test]
fn systemd_understands_every_line() {
    let dir = crate::place::folder("units");
    let verify = |name: &str, text: &str| {
        let path = dir.join(format!("{name}.service"));
        fs::write(&path, text.replace("/usr/bin/weir", WEIR)).expect("a file");
        analyze(&["verify", "--man=no", &path.display().to_string()])
    };
    for name in UNITS {
        assert_eq!(verify(name, &unit(name)), (true, String::new()), "{name} (systemd-analyze is needed)");
    }
    let (_, said) = verify("slip", &unit("weir-gate").replace("ProtectHome", "ProtectHoem"));
    assert!(said.contains("ProtectHoem"), "{said}");
}

/// Of 10, where 10 is no sandbox at all. What is left is the network, and the limits that the gate raises for itself.
#[test]
fn systemd_scores_the_sandbox_well() {
    for name in UNITS {
        let path = root().join(format!("packaging/systemd/{name}.service"));
        let (is_good, said) = analyze(&["security", "--offline=true", "--threshold=15", &path.display().to_string()]);
        assert!(is_good, "more than 1.5:\n{said}");
        println!("{}", said.lines().last().unwrap_or_default());
    }
}

/// The command lines are ones that the program takes: the check, the start, and a signal that is heeded.
#[test]
fn units_start_what_exists() {
    let dir = crate::place::folder("wrong");
    for (name, program) in UNITS.iter().zip(["gate", "tablet", "controller"]) {
        let unit = unit(name);
        let config = root().join(format!("packaging/config/{program}.toml")).display().to_string();
        let told = format!("/etc/weir/{program}.toml");
        assert_eq!(values(&unit, "ExecStart"), [format!("/usr/bin/weir {program} --config {told}")]);
        let check = format!("{WEIR} {program} --check-config --config {config}");
        // The shipped files name folders that the unit's StateDirectory makes.
        let output = run(Command::new("sh").args(["-c", &format!("cd / && {check}")]));
        let said = text(&output.stdout) + &text(&output.stderr);
        let only_folders =
            said.lines().all(|line| line.contains("/var/lib/weir") && line.contains("there is no folder"));
        assert!(output.status.success() || only_folders, "{check}\n{said}");
        // systemd heeds the exit code of the main process alone: a check in front of it would be tried again each second.
        assert_eq!(values(&unit, "ExecStartPre"), [""; 0]);
        assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2"]);
        let wrong = dir.join("wrong.toml");
        fs::write(&wrong, format!("[{program}]\nunheard_of = 1\n")).expect("a file");
        let output = run(Command::new(WEIR).arg(program).arg("--config").arg(&wrong));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("has no key 'unheard_of'"), "{said}");
        let reloads = values(&unit, "ExecReload");
        assert_eq!(reloads, ["/bin/kill -HUP $MAINPID"], "all of them read their file again");
        assert_eq!(values(&unit, "Type"), ["notify"], "all of them say when they serve");
    }
}

/// A traced gate behind the restrictions; killed when dropped.
struct Confined {
    child: Child,
    dir: PathBuf,
    pid: Option<String>,
}

impl Drop for Confined {
    fn drop(&mut self) {
        if let Some(pid) = &self.pid {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Confined {
    fn start(listen: &str) -> Confined {
        let dir = std::env::temp_dir().join(format!("weir-unit-{}", std::process::id()));
        let state = dir.join("state");
        fs::create_dir_all(&state).expect("a folder");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("a mode");
        chown(&state, Some(NOBODY), Some(NOBODY)).expect("these tests run as root, which gives files away");
        fs::copy(WEIR, dir.join("weir")).expect("a copy");
        let backends: String =
            place().backends.iter().map(|backend| format!("[[backends]]\naddress = \"{backend}\"\n")).collect();
        let config = format!(
            "[gate]\nlisten = [\"{listen}\", \"unix:{state}/w.sock\"]\nadmin_listen = \"127.0.0.1:0\"\n\
             tls_dir = \"{state}/tls\"\n{backends}[monitor]\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
             [query_log]\nfile = \"{state}/q.log\"\nsample = 1\n",
            state = state.display()
        );
        fs::write(dir.join("gate.toml"), config).expect("a file");
        let confine = format!(
            "set -e; mount --make-rprivate /; mount --bind {0}/state {0}/state; mount -o remount,bind,ro /; \
             exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs \
             --bounding-set=-all --inh-caps=-all {0}/weir gate --config {0}/gate.toml",
            dir.display()
        );
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-o"]).arg(dir.join("trace")).args(["unshare", "-m", "sh", "-c", &confine]);
        traced.env_remove("WEIR_LOG").stdout(Stdio::null()).stderr(fs::File::create(dir.join("said")).expect("a file"));
        let child = traced.spawn().expect("strace (the package strace is needed)");
        Confined { child, dir, pid: None }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// What the gate itself did, from its own first call on.
    fn trace(&self) -> Vec<String> {
        let trace = self.read("trace");
        let program = format!("execve(\"{}/weir\"", self.dir.display());
        let at = trace.lines().position(|line| line.contains(&program));
        let at = at.unwrap_or_else(|| panic!("the gate was not started:\n{}", self.read("said")));
        let lines: Vec<String> = trace.lines().skip(at).map(str::to_owned).collect();
        lines
    }
}

#[test]
fn a_gate_runs_within_its_units_restrictions() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    let mut gate = Confined::start(&port.to_string());
    let until = Instant::now() + LIMIT;
    let mut wire = loop {
        match Wire::login(&Address::Tcp(port), &place().account()) {
            Ok(wire) => break wire,
            Err(error) => assert!(Instant::now() < until, "{error}: {}", gate.read("said")),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    wire.command(b"\x03SELECT 1").expect("a statement");
    assert_eq!(wire.receive().expect("an answer").payload, [1], "one column");
    drop(wire);
    let pid = gate.trace()[0].split_whitespace().next().expect("strace names it first").to_owned();
    gate.pid = Some(pid.clone());
    assert!(run(Command::new("kill").args(["-TERM", &pid])).status.success());
    while gate.child.try_wait().expect("our child").is_none() {
        assert!(Instant::now() < until + LIMIT, "it does not drain: {}", gate.read("said"));
        std::thread::sleep(Duration::from_millis(50));
    }
    // It has ended: its number may be somebody else's by now.
    gate.pid = None;
    assert!(gate.dir.join("state/tls/ca.pem").exists() && gate.dir.join("state/q.log").exists());

    let (trace, unit) = (gate.trace(), unit("weir-gate"));
    let allowed = allowed(&unit);
    let used: BTreeSet<String> = trace.iter().filter_map(|line| call(line)).collect();
    assert!(used.contains("io_uring_setup") && used.len() > 30, "that is no gate's trace: {used:?}");
    let forbidden: Vec<&String> = used.iter().filter(|name| !allowed.contains(*name)).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
    let families = values(&unit, "RestrictAddressFamilies").join(" ");
    for line in &trace {
        let family = line.split_once(" socket(").and_then(|(_, rest)| rest.split(',').next());
        assert!(family.is_none_or(|family| families.split(' ').any(|one| one == family)), "the unit forbids {line}");
        assert!(!(line.contains("PROT_WRITE") && line.contains("PROT_EXEC")), "MemoryDenyWriteExecute forbids {line}");
    }
}

/// The name of the call in a line of strace's.
fn call(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(' ')?;
    let name: String = rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty() && rest.trim_start()[name.len()..].starts_with('(')).then_some(name)
}

/// What `SystemCallFilter` lets through, groups opened as this machine's systemd knows them.
pub fn allowed(unit: &str) -> BTreeSet<String> {
    // What starting a process needs, whatever is listed.
    let mut allowed = members("@default");
    for list in values(unit, "SystemCallFilter") {
        let (is_taken_away, list) = list.strip_prefix('~').map_or((false, list.as_str()), |rest| (true, rest));
        for name in list.split_whitespace().flat_map(members) {
            if is_taken_away {
                allowed.remove(&name)
            } else {
                allowed.insert(name)
            };
        }
    }
    allowed
}

fn members(name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_owned()]);
    }
    let (is_known, said) = analyze(&["syscall-filter", name]);
    assert!(is_known, "{said}");
    let lines = said.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(members).collect()
}

const NOBODY: u32 = 65_534;
const LIMIT: Duration = Duration::from_secs(60);
