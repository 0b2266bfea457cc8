//! The driver over loopback, with a world that echoes or relays. Every wait is for an event and ends after ten seconds.

use super::*;
use crate::drive::world::{DialFault, ListenerId, Peer};
use crate::mail::KillOutcome;
use crate::snapshot::Address;
use play::{FORWARD, Play, Role, Tally};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

pub mod play;

struct Gate {
    running: Running,
    tally: Arc<Tally>,
}

struct Shape {
    cores: usize,
    blocks: usize,
    role: Role,
    listen: Vec<ListenAddress>,
    inherited: Vec<Inherited>,
    on_panic: OnPanic,
}

impl Default for Shape {
    fn default() -> Shape {
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        Shape {
            cores: 2,
            blocks: 1024,
            role: Role::Echo,
            listen: vec![any],
            inherited: Vec::new(),
            on_panic: OnPanic::ExitGate,
        }
    }
}

impl Shape {
    fn start(self) -> Gate {
        let cpus = available_cpus().unwrap();
        let tally = Arc::new(Tally::default());
        let (role, counts) = (self.role, tally.clone());
        let running = start(DriveOptions {
            // On a machine with one CPU both cores share it.
            cores: (0..self.cores).map(|core| cpus[core % cpus.len()]).collect(),
            listen: self.listen,
            inherited: self.inherited,
            blocks_per_core: self.blocks,
            block_bytes: 16 << 10,
            backlog: 4096,
            batch: BatchMode::Adaptive,
            on_panic: self.on_panic,
            make: Arc::new(move |seat| Play::new(seat, role.clone(), counts.clone())),
        })
        .unwrap_or_else(|error| panic!("{error}"));
        Gate { running, tally }
    }
}

impl Gate {
    fn address(&self) -> SocketAddr {
        match &self.running.addresses()[0] {
            ListenAddress::Tcp(address) => *address,
            ListenAddress::Unix(_) => panic!("no TCP here"),
        }
    }

    fn connect(&self) -> TcpStream {
        limited(TcpStream::connect(self.address()).unwrap())
    }

    /// Waits until all wires of so many clients have closed, checks that all blocks are home, and ends the gate.
    fn finish(self, wires: usize) {
        let counts = self.tally.wait(|counts| counts.closed == wires);
        assert_eq!(counts.lost_blocks, 0);
        assert_eq!((0..self.running.cores()).map(|core| self.running.clients(core)).sum::<usize>(), 0);
        self.running.join();
    }
}

fn limited(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Bytes that tell their place.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| ((i.wrapping_mul(31) >> 3) + i + seed) as u8).collect()
}

/// Sends and receives at the same time, then compares.
fn check_echo(stream: &(impl Read + Write + Duplex), bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| stream.writer().write_all(bytes).unwrap());
        let mut back = vec![0; bytes.len()];
        stream.reader().read_exact(&mut back).unwrap();
        assert!(back == bytes, "the bytes came back changed");
    });
}

trait Duplex: Sync {
    fn reader(&self) -> impl Read;
    fn writer(&self) -> impl Write;
}

impl Duplex for TcpStream {
    fn reader(&self) -> impl Read {
        self
    }
    fn writer(&self) -> impl Write {
        self
    }
}

impl Duplex for UnixStream {
    fn reader(&self) -> impl Read {
        self
    }
    fn writer(&self) -> impl Write {
        self
    }
}

/// A socket that is bound and does not listen: it keeps the port from other tests, and dials to it are refused.
fn hold(address: &str) -> (OwnedFd, SocketAddr) {
    let socket = super::socket::stream(libc::AF_INET).unwrap();
    super::socket::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).unwrap();
    super::socket::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).unwrap();
    let name = super::socket::KernelAddress::tcp(address.parse().unwrap());
    // SAFETY: a live address of the length given.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), name.as_ptr(), name.len()) };
    assert_eq!(bound, 0);
    let address = super::socket::local_address(&socket).unwrap().unwrap();
    (socket, address)
}

/// The next mail for the control thread, waited for at its descriptor.
fn next_mail(inbox: &ControlInbox) -> (usize, ControlMail) {
    loop {
        if let Some(mail) = inbox.try_recv() {
            return mail;
        }
        let mut poll = libc::pollfd { fd: inbox.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live pollfd.
        let n = unsafe { libc::poll(&raw mut poll, 1, LIMIT.as_millis() as i32) };
        assert_eq!(n, 1, "no mail came");
    }
}

fn is_over(client: &mut TcpStream) -> bool {
    loop {
        match client.read(&mut [0]) {
            Ok(n) => return n == 0,
            // A read with a time limit is not begun again by the kernel.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Whichever core accepts a client, and whichever serves it, it is told with the listener that it came in at.
#[test]
fn each_client_is_told_with_its_listener() {
    let at = |last: u8| ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, last], 0)));
    let path = std::env::temp_dir().join(format!("weir-drive-listener-{}", std::process::id()));
    let gate = Shape { listen: vec![at(1), at(2), ListenAddress::Unix(path)], ..Shape::default() }.start();
    let addresses = gate.running.addresses().to_vec();
    let mut expected = Vec::new();
    let mut tcp = Vec::new();
    for round in 0..24u16 {
        let ListenAddress::Tcp(address) = addresses[usize::from(round % 2)] else { unreachable!() };
        tcp.push(limited(TcpStream::connect(address).unwrap()));
        expected.push((Peer::Tcp(tcp.last().unwrap().local_addr().unwrap()), ListenerId(round % 2)));
    }
    let ListenAddress::Unix(path) = &addresses[2] else { unreachable!() };
    let unix: Vec<UnixStream> = (0..4).map(|_| UnixStream::connect(path).unwrap()).collect();
    expected.extend(unix.iter().map(|_| (Peer::Unix, ListenerId(2))));
    let counts = gate.tally.wait(|counts| counts.accepted == expected.len());
    let seen = |one: &(Peer, ListenerId)| counts.came_in.iter().filter(|other| *other == one).count();
    assert!(expected[..24].iter().all(|one| seen(one) == 1) && seen(&expected[27]) == 4, "{:?}", counts.came_in);
    let wires = expected.len();
    drop((tcp, unix));
    gate.finish(wires);
}

#[test]
fn many_clients_get_their_own_bytes_back() {
    let gate = Shape::default().start();
    std::thread::scope(|scope| {
        for client in 0..32 {
            let stream = gate.connect();
            scope.spawn(move || {
                for round in 0..50 {
                    let len = 1 + (client * 7919 + round * 104_729) % 40_000;
                    check_echo(&stream, &pattern(len, client + round));
                }
            });
        }
    });
    gate.finish(32);
}

#[test]
fn a_slow_reader_holds_back_its_own_bytes_and_gets_them_all() {
    let gate = Shape::default().start();
    let slow = gate.connect();
    super::socket::set_option(&slow, libc::SOL_SOCKET, libc::SO_RCVBUF, 16 << 10).unwrap();
    let bytes = pattern(16 << 20, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| (&slow).write_all(&bytes).unwrap());
        gate.tally.wait(|counts| counts.pauses > 0);
        // Meanwhile others are served.
        let other = gate.connect();
        check_echo(&other, &pattern(1 << 20, 2));
        let mut back = vec![0; bytes.len()];
        (&slow).read_exact(&mut back).unwrap();
        assert!(back == bytes);
    });
    drop(slow);
    gate.finish(2);
}

#[test]
fn pausing_after_each_chunk_keeps_the_order() {
    let gate = Shape { role: Role::Flap, ..Shape::default() }.start();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let stream = gate.connect();
            scope.spawn(move || check_echo(&stream, &pattern(2 << 20, client)));
        }
    });
    gate.finish(4);
}

#[test]
fn after_a_half_close_the_rest_still_comes() {
    let gate = Shape::default().start();
    let mut stream = gate.connect();
    let bytes = pattern(1 << 20, 3);
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut back).unwrap();
    });
    assert!(back == bytes);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    gate.finish(1);
}

/// Makes the next close of this socket a reset.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (at, len) = ((&raw const linger).cast(), size_of::<libc::linger>() as u32);
    // SAFETY: a live option of the length given.
    let result = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, len) };
    assert_eq!(result, 0);
}

#[test]
fn a_reset_in_the_middle_of_a_send_loses_nothing_of_ours() {
    let gate = Shape::default().start();
    for round in 1..=8 {
        let stream = gate.connect();
        super::socket::set_option(&stream, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 10).unwrap();
        std::thread::scope(|scope| {
            let writer = stream.try_clone().unwrap();
            // Until the gate holds it back, then until the reset.
            scope.spawn(move || (&writer).write_all(&pattern(64 << 20, round)).unwrap_err());
            gate.tally.wait(|counts| counts.pauses >= round);
            // A shutdown wakes the writer; the reset follows when the last handle closes.
            stream.shutdown(Shutdown::Write).unwrap();
            reset(stream);
        });
        gate.tally.wait(|counts| counts.closed == round);
    }
    gate.finish(8);
}

#[test]
fn two_thousand_clients_spread_evenly() {
    let gate = Shape::default().start();
    let mut clients: Vec<TcpStream> = (0..2_000).map(|_| gate.connect()).collect();
    gate.tally.wait(|counts| counts.accepted == 2_000);
    assert!(gate.running.clients(0).abs_diff(gate.running.clients(1)) <= 1);
    for (i, client) in clients.iter_mut().enumerate() {
        client.write_all(&[i as u8]).unwrap();
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], i as u8);
    }
    drop(clients);
    gate.finish(2_000);
}

#[test]
fn a_relay_dials_and_passes_everything_on() {
    let echo = Shape::default().start();
    let relay = Shape { role: Role::Relay(Address::Tcp(echo.address())), ..Shape::default() }.start();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let stream = relay.connect();
            scope.spawn(move || check_echo(&stream, &pattern(1 << 20, client)));
        }
    });
    assert_eq!(relay.tally.wait(|counts| counts.closed == 16).dialed, 8);
    relay.finish(16);
    echo.finish(8);
}

#[test]
fn a_refused_dial_is_told_and_closed() {
    let (_held, port) = hold("127.0.0.1:0");
    let missing = std::env::temp_dir().join(format!("weir-drive-none-{}", std::process::id()));
    let too_long = std::path::PathBuf::from("x".repeat(200));
    for (address, fault) in [
        (Address::Tcp(port), DialFault::Refused),
        (Address::Unix(missing), DialFault::Refused),
        (Address::Unix(too_long), DialFault::Other),
    ] {
        let gate = Shape { role: Role::Relay(address), cores: 1, ..Shape::default() }.start();
        let mut client = gate.connect();
        assert!(is_over(&mut client));
        assert_eq!(gate.tally.wait(|counts| counts.closed == 2).faults, [fault]);
        gate.finish(2);
    }
}

#[test]
fn closing_while_a_dial_hangs_ends_the_dial() {
    // A listener whose backlog is full lets the next dial wait for ever.
    let (full, address) = hold("127.0.0.1:0");
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::listen(full.as_raw_fd(), 0) }, 0);
    let _filler = TcpStream::connect(address).unwrap();
    let gate = Shape { role: Role::Relay(Address::Tcp(address)), cores: 1, ..Shape::default() }.start();
    let client = gate.connect();
    gate.tally.wait(|counts| counts.accepted == 1);
    client.shutdown(Shutdown::Write).unwrap();
    let counts = gate.tally.wait(|counts| counts.closed == 2);
    assert_eq!((counts.dialed, counts.faults.len()), (0, 0));
    gate.finish(2);
}

#[test]
fn four_blocks_are_enough_for_many_streams() {
    let gate = Shape { cores: 1, blocks: 4, ..Shape::default() }.start();
    std::thread::scope(|scope| {
        for client in 0..16 {
            let stream = gate.connect();
            scope.spawn(move || check_echo(&stream, &pattern(512 << 10, client)));
        }
    });
    gate.finish(16);
}

#[test]
fn what_a_unix_listener_accepts_is_handed_over() {
    let path = std::env::temp_dir().join(format!("weir-drive-{}.sock", std::process::id()));
    // A socket's file that somebody has left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let gate = Shape { listen: vec![ListenAddress::Unix(path.clone())], ..Shape::default() }.start();
    let clients: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(&path).unwrap()).collect();
    gate.tally.wait(|counts| counts.accepted == 16);
    assert_eq!((gate.running.clients(0), gate.running.clients(1)), (8, 8));
    for (i, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(LIMIT)).unwrap();
        check_echo(client, &pattern(100_000, i));
    }
    drop(clients);
    gate.finish(16);
    assert!(!path.exists());
}

#[test]
fn mail_arrives_from_control_and_from_another_core_without_delay() {
    let gate = Shape::default().start();
    let inbox = gate.running.inbox();
    let mut delays = Vec::new();
    for token in 0..200 {
        let posted = std::time::Instant::now();
        let through = if token % 2 == 0 { token } else { token + FORWARD };
        gate.running.post(0, Mail::Killed { token: through, outcome: KillOutcome::Done });
        match next_mail(&inbox) {
            (core, ControlMail::Log { detail, .. }) => {
                assert_eq!((core, detail), ((token % 2) as usize, token.to_string()))
            }
            other => panic!("{other:?}"),
        }
        delays.push(posted.elapsed());
    }
    delays.sort();
    assert!(delays[100] < Duration::from_millis(5), "half of the mail took longer than {:?}", delays[100]);
    gate.finish(0);
}

#[test]
fn a_timeout_comes_when_it_is_due() {
    let gate = Shape { cores: 1, ..Shape::default() }.start();
    let asked = std::time::Instant::now();
    gate.running.post(0, Mail::Drain { within_ms: 30 });
    assert!(matches!(next_mail(&gate.running.inbox()), (0, ControlMail::Drained)));
    assert!(asked.elapsed() >= Duration::from_millis(30));
    gate.finish(0);
}

#[test]
fn after_stop_accepting_clients_stay_and_none_come() {
    let mut gate = Shape::default().start();
    let _held = hold(&gate.address().to_string());
    let old = gate.connect();
    check_echo(&old, b"before");
    gate.running.stop_accepting();
    // The listeners close within a turn of their cores. Who slips in before is served; who comes in the very moment may
    // be reset by the kernel, and was then never accepted.
    let mut slipped = 0;
    let started = std::time::Instant::now();
    while let Ok(client) = TcpStream::connect(gate.address()) {
        assert!(started.elapsed() < LIMIT, "still accepting");
        let mut client = limited(client);
        let mut byte = [0];
        let served = client.write_all(&[7]).and_then(|()| client.read_exact(&mut byte));
        match served {
            Ok(()) => slipped += 1,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
        }
    }
    check_echo(&old, b"after");
    drop(old);
    gate.finish(1 + slipped);
}

/// Nobody is refused, reset or left waiting while the sockets change hands; who is with the old one stays there.
#[test]
fn the_next_gate_takes_the_sockets_over() {
    let old = Shape::default().start();
    let address = old.address();
    let kept = old.connect();
    check_echo(&kept, b"here");
    let over = std::sync::atomic::AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let connect = || {
            let mut served = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                check_echo(&limited(TcpStream::connect(address).expect("nobody is refused")), b"hello");
                served += 1;
            }
            served
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        std::thread::sleep(Duration::from_millis(50));
        let share =
            |one: &Inherited| Inherited { address: one.address.clone(), socket: one.socket.try_clone().unwrap() };
        let inherited = old.running.listeners().iter().map(share).collect();
        let new = Shape { inherited, ..Shape::default() }.start();
        assert_eq!(new.address(), address);
        old.running.hand_over();
        std::thread::sleep(Duration::from_millis(50));
        check_echo(&kept, b"still here");
        assert!(!old.running.is_deserted());
        drop(kept);
        let started = std::time::Instant::now();
        while !old.running.is_deserted() {
            assert!(started.elapsed() < LIMIT, "somebody is still there");
            std::thread::sleep(Duration::from_millis(1));
        }
        old.running.join();
        check_echo(&new.connect(), b"there");
        std::thread::sleep(Duration::from_millis(50));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        new.running.join();
        served
    });
    assert!(served > 20, "{served}");
}

/// The process that had taken over is gone: who stood in a queue meanwhile is served, and so is who comes then; the same once more.
#[test]
fn listeners_that_were_handed_over_are_taken_up_again() {
    let old = Shape::default().start();
    let address = old.address();
    let share = |one: &Inherited| Inherited { address: one.address.clone(), socket: one.socket.try_clone().unwrap() };
    for _ in 0..2 {
        old.running.share();
        let inherited = old.running.listeners().iter().map(share).collect();
        let new = Shape { inherited, ..Shape::default() }.start();
        old.running.hand_over();
        let started = std::time::Instant::now();
        while !old.running.is_deserted() {
            assert!(started.elapsed() < LIMIT, "a door stays open");
            std::thread::sleep(Duration::from_millis(1));
        }
        check_echo(&new.connect(), b"there");
        new.running.join();
        let waiting: Vec<TcpStream> =
            (0..16).map(|_| limited(TcpStream::connect(address).expect("nobody is refused"))).collect();
        assert!(old.running.serve_again());
        waiting.iter().for_each(|client| check_echo(client, b"waited"));
        check_echo(&old.connect(), b"here again");
        drop(waiting);
    }
    let mut old = old;
    old.running.hand_over();
    old.running.leave();
    let started = std::time::Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed() < LIMIT, "a listener stays open");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!old.running.serve_again(), "there is nothing left to listen on");
    old.running.join();
}

#[test]
fn stopping_closes_everything_at_once() {
    let gate = Shape::default().start();
    let mut clients: Vec<TcpStream> = (0..100).map(|_| gate.connect()).collect();
    gate.tally.wait(|counts| counts.accepted == 100);
    let address = gate.address();
    let _held = hold(&address.to_string());
    // Some are idle, some are in the middle of a send that nobody reads.
    for client in &clients[..10] {
        client.set_nonblocking(true).unwrap();
        while { client }.write(&[7; 65_536]).is_ok() {}
        client.set_nonblocking(false).unwrap();
    }
    let asked = std::time::Instant::now();
    gate.running.join();
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    for client in &mut clients[10..] {
        assert!(is_over(client));
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ListenAddress::Tcp(taken.local_addr().unwrap());
    let options = DriveOptions {
        cores: available_cpus().unwrap(),
        listen: vec![address.clone()],
        inherited: Vec::new(),
        blocks_per_core: 4,
        block_bytes: 4096,
        backlog: 16,
        batch: BatchMode::Off,
        on_panic: OnPanic::ExitGate,
        make: Arc::new(|seat| Play::new(seat, Role::Echo, Arc::default())),
    };
    let Err(error) = start(options) else { panic!("the port was taken") };
    assert!(matches!(error, StartError::PortTaken { .. }));
    assert!(error.to_string().starts_with(&format!("{address} is taken")));
}

#[test]
fn a_panic_in_a_world_is_told_and_closes_its_sockets() {
    let gate = Shape { role: Role::Bomb, cores: 1, on_panic: OnPanic::EndCore, ..Shape::default() }.start();
    let mut client = gate.connect();
    client.write_all(b"tick").unwrap();
    match next_mail(&gate.running.inbox()) {
        (0, ControlMail::Log { level: Level::Error, event: "core_panicked", detail }) => {
            assert_eq!(detail, "the bomb goes off")
        }
        other => panic!("{other:?}"),
    }
    assert!(is_over(&mut client));
    gate.running.join();
}

/// A test that runs in a process of its own.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs this test again in a process of its own, which prints its address first.
fn child(name: &str) -> (Child, SocketAddr, impl BufRead) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{}::{name}", module_path!().split_once("::").unwrap().1), "--nocapture"])
        .env("WEIR_DRIVE_CHILD", name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Child(child.unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the child says nothing");
        if let Some((_, address)) = line.trim_end().split_once("listens on ") {
            return (child, address.parse().unwrap(), lines);
        }
    }
}

fn is_child(name: &str) -> bool {
    std::env::var("WEIR_DRIVE_CHILD").is_ok_and(|child| child == name)
}

#[test]
fn a_panic_ends_the_whole_gate_with_a_message() {
    if is_child("a_panic_ends_the_whole_gate_with_a_message") {
        let gate = Shape { role: Role::Bomb, ..Shape::default() }.start();
        println!("listens on {}", gate.address());
        gate.tally.wait(|_| false);
    }
    let (mut child, address, _lines) = child("a_panic_ends_the_whole_gate_with_a_message");
    TcpStream::connect(address).unwrap().write_all(b"tick").unwrap();
    let mut message = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert!(!child.0.wait().unwrap().success());
    assert!(message.contains("has failed (core_panicked: the bomb goes off)"), "{message}");
}

#[test]
fn without_descriptors_it_says_so_and_waits() {
    if is_child("without_descriptors_it_says_so_and_waits") {
        limit_files(64);
        let gate = Shape { cores: 1, ..Shape::default() }.start();
        println!("listens on {}", gate.address());
        match next_mail(&gate.running.inbox()) {
            (0, ControlMail::Log { event, .. }) => println!("told {event}"),
            other => panic!("{other:?}"),
        }
        gate.tally.wait(|counts| counts.closed == 200);
        return gate.finish(200);
    }
    let (mut child, address, mut lines) = child("without_descriptors_it_says_so_and_waits");
    // More than descriptors and slots of the ring's table together.
    let clients: Vec<TcpStream> = (0..200).map(|_| limited(TcpStream::connect(address).unwrap())).collect();
    let mut line = String::new();
    while !line.contains("told accept_failed") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the child was to tell of it");
    }
    // Each is served once those before it have gone.
    for client in clients {
        check_echo(&client, b"patience");
    }
    assert!(child.0.wait().unwrap().success());
}

/// Sockets lie in the ring's table of files, where the kernel has a good one: before Linux 6.15 this fails, and that is the truth.
#[test]
fn a_client_costs_no_descriptor() {
    if is_child("a_client_costs_no_descriptor") {
        limit_files(64);
        let gate = Shape { cores: 1, ..Shape::default() }.start();
        println!("listens on {}", gate.address());
        gate.tally.wait(|counts| counts.closed == 60);
        return gate.finish(60);
    }
    let (mut child, address, _lines) = child("a_client_costs_no_descriptor");
    let clients: Vec<TcpStream> = (0..60).map(|_| limited(TcpStream::connect(address).unwrap())).collect();
    for client in &clients {
        check_echo(client, b"and all of them at once");
    }
    drop(clients);
    assert!(child.0.wait().unwrap().success());
}

fn limit_files(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a live rlimit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
}

const LIMIT: Duration = Duration::from_secs(10);
