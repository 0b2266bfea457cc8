//! Threads that a server keeps when their connection is gone and it does not know (S50): the gate ends them, and nobody else's.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use weir_control::client::{Client, Options};
use weir_core::snapshot::Address;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::lone::Lone;

/// Far below `innodb_lock_wait_timeout` (50 s): nobody has waited for a lock in vain.
const SOON: Duration = Duration::from_secs(10);

/// A way to a server that loses its connections when it is told to: the gate's ends are reset, the server's stay open and hear no more.
struct Way {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What is open is lost.
    loses: AtomicBool,
    /// New connections end at once.
    is_closed: AtomicBool,
    has_ended: AtomicBool,
    lost: Mutex<Vec<TcpStream>>,
}

impl Way {
    fn to(server: SocketAddr) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&way.state);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if state.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(far) = TcpStream::connect(server) else { continue };
                if !state.is_closed.load(Ordering::SeqCst) {
                    let state = Arc::clone(&state);
                    thread::spawn(move || state.pass(near, far));
                }
            }
        });
        way
    }

    fn lose(&self) {
        self.state.loses.store(true, Ordering::SeqCst);
        thread::sleep(4 * LOOK);
        self.state.loses.store(false, Ordering::SeqCst);
    }
}

const LOOK: Duration = Duration::from_millis(50);

impl State {
    fn pass(&self, mut near: TcpStream, mut far: TcpStream) {
        for stream in [&near, &far] {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
        }
        while !self.has_ended.load(Ordering::SeqCst) {
            if self.loses.load(Ordering::SeqCst) {
                SockRef::from(&near).set_linger(Some(Duration::ZERO)).unwrap();
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(far);
                return;
            }
            match (carry(&mut near, &mut far), carry(&mut far, &mut near)) {
                (Ok(0), Ok(0)) => thread::sleep(Duration::from_millis(1)),
                (Ok(_), Ok(_)) => {}
                _ => return,
            }
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::SeqCst);
        // The listener ends with the next one that it takes.
        let _ = TcpStream::connect(self.address);
    }
}

/// What has come, if anything has. These tests say little enough for any socket's buffer.
fn carry(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<usize> {
    let mut bytes = [0; 16_384];
    match from.read(&mut bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => to.write_all(&bytes[..n]).map(|()| n),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

struct Stand {
    server: Lone,
    way: Way,
    gate: Gate,
}

impl Stand {
    fn start(server_id: u32, extra_cnf: &str) -> Stand {
        let server = Lone::start(server_id, extra_cnf).unwrap();
        server.sql(&["CREATE DATABASE IF NOT EXISTS weir_orphans"]).unwrap();
        server.sql(&["CREATE TABLE weir_orphans.t (id INT PRIMARY KEY, v INT)"]).unwrap();
        server.sql(&["INSERT INTO weir_orphans.t VALUES (1, 0), (2, 0)"]).unwrap();
        let Address::Tcp(address) = server.address() else { panic!("it has a port") };
        let way = Way::to(address);
        let options = GateOptions { connections_per_backend: 4, cores_max: 1, socket: None };
        let gate = Gate::start_for(&[way.address], options, |config| {
            config.settings.admin_users = "app".to_owned();
        });
        Stand { server, way, gate: gate.unwrap() }
    }

    fn client(&self) -> Client {
        login(self.gate.port())
    }

    fn counter(&self, name: &str) -> u64 {
        let rows = self.client().rows(format!("SHOW WEIR STATUS LIKE '{name}'")).unwrap();
        rows[0][1].as_ref().unwrap().parse().unwrap()
    }

    /// In the transaction that keeps the row's lock.
    fn holder(&self) -> (Client, String) {
        let mut holder = self.client();
        holder.run("BEGIN").unwrap();
        holder.run("UPDATE t SET v = v + 1 WHERE id = 1").unwrap();
        let text = "SELECT ID FROM information_schema.PROCESSLIST \
                    WHERE ID IN (SELECT TRX_MYSQL_THREAD_ID FROM information_schema.INNODB_TRX)";
        let thread = self.server.root().unwrap().cell(text).unwrap().unwrap();
        (holder, thread)
    }

    fn is_there(&self, thread: &str) -> bool {
        let text = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {thread}");
        self.server.root().unwrap().cell(text).unwrap().as_deref() == Some("1")
    }
}

fn login(port: u16) -> Client {
    let options = Options::tcp("127.0.0.1", port).user("app").password("app").schema("weir_orphans");
    Client::connect(&options).unwrap()
}

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        thread::sleep(limits::LOOK_PAUSE);
    }
}

fn a_lost_connection_keeps_no_lock(server_id: u32, extra_cnf: &str) {
    let stand = Stand::start(server_id, extra_cnf);
    // Without attributes only a connection counts that is clearly younger than its server.
    thread::sleep(Duration::from_secs(3));
    let (mut holder, thread) = stand.holder();
    stand.way.lose();
    assert!(stand.is_there(&thread), "the server has heard of it");
    let began = Instant::now();
    let mut other = stand.client();
    other.run("UPDATE t SET v = v + 10 WHERE id = 1").unwrap();
    assert!(began.elapsed() < SOON, "the lock was there for {:?}", began.elapsed());
    assert!(!stand.is_there(&thread));
    let error = holder.run("COMMIT").unwrap_err().to_string();
    assert!(error.contains("restart the transaction"), "{error}");
    assert_eq!(other.cell("SELECT v FROM t WHERE id = 1").unwrap().as_deref(), Some("10"));
    assert!(stand.counter("orphans_killed") >= 1);
}

#[test]
fn a_lost_connection_keeps_no_lock_and_is_known_by_its_token() {
    a_lost_connection_keeps_no_lock(71, "performance_schema = ON\n");
}

#[test]
fn a_lost_connection_keeps_no_lock_and_is_known_by_its_age() {
    a_lost_connection_keeps_no_lock(72, "performance_schema = OFF\n");
}

/// Ids of threads begin anew with a server.
#[test]
fn a_number_from_before_a_restart_hits_nobody() {
    let stand = Stand::start(73, "");
    let (mut holder, thread) = stand.holder();
    stand.way.state.is_closed.store(true, Ordering::SeqCst);
    stand.way.lose();
    let server = stand.server.server();
    server.kill9();
    server.restart().unwrap();
    // Who has that number now is of the same account.
    let port = server.port();
    let mut heir = loop {
        let mut client = login(port);
        let id: u64 = client.cell("SELECT CONNECTION_ID()").unwrap().unwrap().parse().unwrap();
        assert!(id <= thread.parse().unwrap(), "nobody has got {thread}");
        if id.to_string() == thread {
            break client;
        }
    };
    heir.run("BEGIN").unwrap();
    heir.run("UPDATE t SET v = v + 100 WHERE id = 2").unwrap();
    stand.way.state.is_closed.store(false, Ordering::SeqCst);
    soon("the gate has asked for its thread", || {
        stand.counter("orphans") >= 1 && stand.counter("orphans_waiting") == 0
    });
    heir.run("COMMIT").unwrap();
    assert_eq!(stand.counter("orphans_killed"), 0);
    assert!(holder.run("COMMIT").is_err());
}

/// Killed while it waits for a replica's word, a commit would be seen, and lost with its primary all the same.
#[test]
fn a_commit_that_waits_for_a_replica_is_not_killed() {
    let stand = Stand::start(74, "plugin-load-add = semisync_source.so\nrpl_semi_sync_source_timeout = 3600000\n");
    stand.server.sql(&["SET GLOBAL rpl_semi_sync_source_enabled = ON"]).unwrap();
    let mut root = stand.server.root().unwrap();
    let mut state = |text: &str| root.cell(text).unwrap();
    // The second one behind the first: they commit in order.
    let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                   WHERE STATE LIKE 'Waiting for semi-sync%' OR STATE = 'waiting for handler commit'";
    for text in ["INSERT INTO t VALUES (3, 0)", "COMMIT"] {
        let mut client = stand.client();
        if text == "COMMIT" {
            client.run("BEGIN").unwrap();
            client.run("INSERT INTO t VALUES (4, 0)").unwrap();
        }
        let before = state(waiting);
        client.set_timeout(Some(Duration::from_millis(100))).unwrap();
        client.run(text).unwrap_err();
        soon("it waits", || state(waiting) != before);
        drop(client);
    }
    // The gate asks for them again each second.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(state("SELECT COUNT(*) FROM weir_orphans.t WHERE id > 2").as_deref(), Some("0"));
    assert_eq!(state(waiting).as_deref(), Some("2"));
    assert_eq!(stand.counter("orphans_killed"), 0);
    stand.server.sql(&["SET GLOBAL rpl_semi_sync_source_enabled = OFF"]).unwrap();
    soon("it is committed", || state("SELECT COUNT(*) FROM weir_orphans.t WHERE id > 2").as_deref() == Some("2"));
    soon("nothing is left of them", || stand.counter("orphans_waiting") == 0);
}
