//! Several processes of one gate: kills find the clients of each, and an heir that dies leaves nobody standing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use weir_control::client::{Client, ClientError};
use weir_control::ctl;
use weir_control::grpc::tls::TlsFiles;
use weir_tests::real::place::place;

use super::reload::{LIMIT, Process, WEIR, cell, put_program, signal};

fn id(client: &mut Client) -> String {
    cell(client, "SELECT CONNECTION_ID()")
}

pub fn code(error: &ClientError) -> u16 {
    match error {
        ClientError::Server(error) => error.code,
        other => panic!("{other}"),
    }
}

/// S30: without controllers, in every direction, through the newest of three processes; ids of all are different.
#[test]
fn a_kill_finds_clients_of_all_processes() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut gate = Process::start("kin", "", &[]);
    // Two clients of each process: one asks, the others' ask for its neighbour.
    let mut clients: Vec<Vec<Client>> = Vec::new();
    for process in 0..3 {
        if process > 0 {
            gate.upgrade();
        }
        clients.push((0..4).map(|_| gate.client()).collect());
    }
    let mut ids: Vec<String> = clients.iter_mut().flatten().map(id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12, "{ids:?}");
    for (from, to) in [(2, 0), (0, 2), (0, 1), (1, 0), (2, 1), (1, 2)] {
        let mut victim = clients[to].pop().unwrap();
        let victim_id = id(&mut victim);
        let asker = &mut clients[from][0];
        let slow = thread::spawn(move || {
            let cell = victim.cell("SELECT SLEEP(15) = 1").map(Option::unwrap_or_default);
            (victim, cell)
        });
        // When it has begun, which takes a moment, it is interrupted.
        let began = Instant::now();
        while !slow.is_finished() {
            assert!(began.elapsed() < LIMIT, "{from} to {to}: nobody interrupts it\n{}", gate.log());
            asker.run(format!("KILL QUERY {victim_id}")).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
            thread::sleep(Duration::from_millis(20));
        }
        let (mut victim, cell) = slow.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "it has slept to its end");
        assert!(cell.is_err() || cell.unwrap() == "1");
        asker.run(format!("KILL {victim_id}")).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        assert!(victim.run("DO 1").is_err(), "{from} to {to}: it lives on");
        assert_eq!(code(&asker.run(format!("KILL {victim_id}")).unwrap_err()), 1094);
    }
    // A process that has ended takes its ids with it: they are no server's.
    let last = id(&mut clients[0][0]);
    clients.remove(0);
    gate.wait_for_end(gate.pids[0]);
    assert_eq!(code(&clients[1][0].run(format!("KILL {last}")).unwrap_err()), 1094);
    assert_eq!(code(&clients[0][0].run(format!("KILL {last}")).unwrap_err()), 1094);
}

/// `upgrade_drain_ms_max` as it was read last: the sessions of a former process go on for that long, and then it ends.
#[test]
fn a_former_process_has_its_time() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut gate = Process::start("former", "", &[]);
    let mut first = gate.client();
    gate.upgrade();
    let mut second = gate.client();
    gate.write("[limits]\nupgrade_drain_ms_max = 300\n");
    let told = gate.reload().unwrap();
    assert!(told.contains("[limits] upgrade_drain_ms_max: was"), "{told}");
    let began = Instant::now();
    gate.upgrade();
    gate.wait_for_end(gate.pids[1]);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}\n{}", began.elapsed(), gate.log());
    assert!(second.run("DO 1").is_err());
    // One that left before the reload has the hour that was the limit then.
    first.run("DO 1").unwrap();
}

/// In the place of the next gate: takes what the running one leaves, goes as far as `step` says, and is killed there.
const HEIR: &str = r#"#!/usr/bin/env python3
import array, os, signal, socket, subprocess, sys, time
here = os.path.dirname(os.path.abspath(__file__))
step, real = open(here + "/step").read().split()
line = socket.socket(fileno=0)
def end():
    os.kill(os.getpid(), signal.SIGKILL)
def hear():
    data, control, flags, _ = line.recvmsg(65536, socket.CMSG_SPACE(4 * 200))
    fds = array.array("i")
    for level, kind, bytes_ in control:
        fds.frombytes(bytes_[:len(bytes_) - len(bytes_) % 4])
    return data.decode(), list(fds)
if step == "started": end()
listeners, addresses, said = [], [], []
while True:
    word, fds = hear()
    said.append((word, fds))
    if word.startswith("listen "):
        addresses.append(word[7:])
        listeners += [socket.socket(fileno=fd) for fd in fds]
    if word == "end": break
if step == "heard": end()
if step == "failed":
    line.send(b"failed for a reason"); time.sleep(60)
# A real gate, which accepts and is then held: whom the kernel wakes it for stands in the queue.
if step == "accepting":
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = subprocess.Popen([real] + sys.argv[1:], stdin=theirs)
    for word, fds in said:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        ours.sendmsg([word.encode()], rights)
    while ours.recv(65536) != b"ready": pass
    os.kill(child.pid, signal.SIGSTOP)
    open(here + "/arming", "w").write(str(child.pid))
    os.rename(here + "/arming", here + "/armed")
    time.sleep(60)
for address in addresses: line.send(b"holds " + address.encode())
line.send(b"ready")
if step == "ready": end()
while hear()[0] != "yours": pass
if step == "yours": end()
if step == "later":
    time.sleep(1)
    end()
if step == "over":
    line.send(b"over")
    for listener in listeners: listener.close()
    time.sleep(60)
"#;

fn put_heir(gate: &Process, step: &str) {
    let (program, copy) = (gate.folder.join("weir"), gate.folder.join("heir"));
    fs::write(gate.folder.join("step"), format!("{step} {WEIR}")).unwrap();
    let _ = fs::remove_file(gate.folder.join("armed"));
    fs::write(&copy, HEIR).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&copy, program).unwrap();
}

/// Nobody is refused, and nobody waits for long: several at once, so that each core's queue is met.
fn check_served(gate: &Process, step: &str) {
    thread::scope(|scope| {
        let serve = || {
            let began = Instant::now();
            let mut client =
                Client::connect(&gate.options()).unwrap_or_else(|error| panic!("{step}: {error}\n{}", gate.log()));
            assert_eq!(cell(&mut client, "SELECT 1"), "1");
            assert!(began.elapsed() < Duration::from_secs(5), "{step}: {:?}\n{}", began.elapsed(), gate.log());
        };
        (0..8).for_each(|_| drop(scope.spawn(serve)));
    });
}

fn http(gate: &Process) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", gate.admin_port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn wait_for(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(error) => assert!(began.elapsed() < LIMIT, "{}: {error}", path.display()),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// An heir that is killed, at each step of the hand-over: the running gate serves, by all its doors, and can be followed later.
#[test]
fn an_heir_that_dies_leaves_nobody_standing() {
    let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut gate = Process::start_copy("heirs", "");
    let mut kept = gate.client();
    let upgrade = |gate: &Process| ctl::upgrade(&gate.grpc(), &TlsFiles::default());
    for step in ["started", "heard", "failed", "accepting", "ready", "yours", "later"] {
        put_heir(&gate, step);
        let told = if step == "accepting" {
            let grpc = gate.grpc();
            let told = thread::spawn(move || ctl::upgrade(&grpc, &TlsFiles::default()));
            let real: u32 = wait_for(&gate.folder.join("armed")).parse().unwrap();
            gate.pids.push(real);
            check_served(&gate, "beside one that is held");
            signal(real, "KILL");
            signal(heir_of(&gate), "KILL");
            check_served(&gate, step);
            told.join().unwrap()
        } else {
            upgrade(&gate)
        };
        match step {
            "failed" => assert!(told.as_ref().is_err_and(|why| why.contains("for a reason")), "{told:?}"),
            "started" | "heard" | "accepting" => {
                let is_told = |why: &String| why.contains("it ended before");
                assert!(told.as_ref().is_err_and(is_told), "{step}: {told:?}");
            }
            // Whether it was seen to be dead before or after it was believed: it is the same for clients.
            "ready" => {}
            _ => assert!(told.is_ok(), "{step}: {told:?}"),
        }
        check_served(&gate, step);
        assert_eq!(cell(&mut kept, "SELECT 1"), "1", "{step}");
        let began = Instant::now();
        let is_up =
            || TcpStream::connect(gate.grpc()).is_ok() && TcpStream::connect(("127.0.0.1", gate.admin_port())).is_ok();
        while !is_up() {
            assert!(began.elapsed() < LIMIT, "{step}: gRPC or HTTP is gone\n{}", gate.log());
            thread::sleep(Duration::from_millis(10));
        }
        assert!(http(&gate).starts_with("HTTP/1.1 200"), "{step}: {}", http(&gate));
    }
    let events = kept.rows("SHOW WEIR EVENTS LIKE 'upgrade_undone'").unwrap();
    assert!((2..=3).contains(&events.len()), "{events:?}");

    // A real one, later; and then one that ends in order: nobody takes up what it leaves.
    put_program(&gate.folder.join("weir"));
    let told = upgrade(&gate).unwrap();
    let pid: u32 = told.split(' ').nth(1).unwrap().parse().unwrap();
    gate.pids.push(pid);
    check_served(&gate, "a real one");
    signal(pid, "TERM");
    gate.wait_for_end(pid);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", gate.port())).is_ok() {
        assert!(began.elapsed() < LIMIT, "somebody still listens\n{}", gate.log());
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(cell(&mut kept, "SELECT 1"), "1", "who is there stays");
    drop(kept);
    gate.wait_for_end(gate.pids[0]);
}

/// The process that it has started last.
fn heir_of(gate: &Process) -> u32 {
    let children = format!("/proc/{}/task", gate.pids[0]);
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let all: String = fs::read_dir(children).unwrap().flatten().map(of_thread).collect::<Vec<_>>().join(" ");
    let pids: Vec<u32> = all.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    *pids.last().unwrap_or_else(|| panic!("it has no child\n{}", gate.log()))
}
