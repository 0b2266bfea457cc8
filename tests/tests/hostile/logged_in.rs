//! Clients that have logged in and then turn hostile, or vanish.

use std::thread;
use std::time::{Duration, Instant};

use weir_net::command::Command;
use weir_net::packet::PAYLOAD_MAX;
use weir_tests::hostile::limits;
use weir_tests::hostile::peer::{Dice, Ended, Peer};
use weir_tests::hostile::witness::log_in;
use weir_tests::real::limits::LOOK_PAUSE;
use weir_tests::real::place::{Admin, ask, first_cell, place};
use weir_tests::real::wire::Wire;

use crate::Arena;

#[test]
fn after_the_login() {
    let arena = Arena::open("logged-in");
    arena.attack("random bytes instead of a command", || random_bytes(&arena));
    arena.attack("random commands", || random_commands(&arena));
    arena.attack("wrong sequence numbers", || wrong_numbers(&arena));
    arena.attack("empty packets", || empty_packets(&arena));
    arena.attack("commands that claim 16 MiB", || length_claims(&arena));
    arena.attack("a command of a gigabyte, really sent", || a_gigabyte(&arena));
    arena.attack("parts that claim a gigabyte", || lying_parts(&arena));
    arena.attack("long commands that the gate answers itself", || long_local_commands(&arena));
    arena.attack("pings whose answers nobody reads", || unread_answers(&arena));
    arena.close();
}

#[test]
fn who_vanishes() {
    let arena = Arena::open("vanishing");
    let mut admin = place().admin().unwrap();
    for statement in [
        "CREATE DATABASE IF NOT EXISTS weir_vanish",
        "DROP TABLE IF EXISTS weir_vanish.t",
        "CREATE TABLE weir_vanish.t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO weir_vanish.t VALUES (1, 'one')",
    ] {
        admin.sql(statement).unwrap();
    }
    admin.ensure_replicated().unwrap();
    arena.attack("who vanishes in the middle of a result", || {
        for turn in 0..20 {
            let mut peer = arena.peer();
            peer.query(BIG_RESULT);
            peer.packet().unwrap();
            vanish(peer, turn);
        }
        nothing_runs(&mut admin);
    });
    arena.attack("who vanishes while a statement runs", || {
        for turn in 0..10 {
            let mut peer = arena.peer();
            peer.query("SELECT SLEEP(60), 'weir_vanish'");
            thread::sleep(Duration::from_millis(30));
            vanish(peer, turn);
        }
        nothing_runs(&mut admin);
    });
    arena.attack("who vanishes in the middle of a file", || vanish_in_a_file(&arena, &mut admin));
    arena.attack("who vanishes in a transaction", || vanish_in_a_transaction(&arena));
    arena.attack("who vanishes in the middle of a command", || {
        for turn in 0..40 {
            let mut peer = arena.peer();
            peer.send(&[0xff, 0xff, 0xff, 0, Command::Query as u8]);
            peer.send(&vec![b' '; 1 + 40_000 * (turn % 4)]);
            vanish(peer, turn);
        }
    });
    arena.close();
}

impl Arena {
    fn peer(&self) -> Peer {
        Peer::logged_in(self.gate.socket_address(), &self.account).unwrap()
    }

    fn wire(&self) -> Wire {
        log_in(&self.gate.address(), &self.account).unwrap()
    }
}

trait Ask {
    fn query(&mut self, sql: &str);
}

impl Ask for Peer {
    fn query(&mut self, sql: &str) {
        assert!(self.send_packet(0, &[&[Command::Query as u8], sql.as_bytes()].concat()), "the gate takes a query");
    }
}

fn random_bytes(arena: &Arena) {
    for seed in 0..40 {
        let mut dice = Dice::new(seed + 100);
        let mut peer = arena.peer();
        let len = [1, 4, 5, 300, 20_000, 500_000][dice.below(6)];
        peer.send(&dice.bytes(len));
        peer.drain(Duration::from_millis(20));
        vanish(peer, seed as usize);
    }
}

/// Whole packets with any command byte and any body. `COM_SHUTDOWN` is left out: the account may do that.
fn random_commands(arena: &Arena) {
    let mut dice = Dice::new(5);
    for _ in 0..40 {
        let mut peer = arena.peer();
        for _ in 0..30 {
            let command = dice.below(40) as u8;
            if command == Command::Shutdown as u8 {
                continue;
            }
            let len = [0, 1, 4, 9, 40, 3_000][dice.below(6)];
            let body = dice.bytes(len);
            if !peer.send_packet(0, &[&[command], body.as_slice()].concat()) {
                break;
            }
        }
        peer.drain(Duration::from_millis(30));
    }
}

fn wrong_numbers(arena: &Arena) {
    for seq in [1, 7, 255] {
        let mut peer = arena.peer();
        peer.send_packet(seq, b"\x03SELECT 1");
        let ended = peer.drain(limits::READ_WAIT);
        assert!(matches!(ended, Ended::Closed { .. }), "a command with number {seq} is served");
    }
    // The continuation of a long command with a number out of order is the server's to refuse, or to serve.
    let mut peer = arena.peer();
    peer.send(&[0xff, 0xff, 0xff, 0, 3]);
    peer.send(&vec![b' '; PAYLOAD_MAX - 1]);
    peer.send(&[8, 0, 0, 77]);
    peer.send(b"SELECT 1");
    peer.drain(Duration::from_secs(2));
}

fn empty_packets(arena: &Arena) {
    for count in [1, 3, 1_000] {
        let mut peer = arena.peer();
        peer.send(&[0, 0, 0, 0].repeat(count));
        for _ in 0..count {
            let (_, answer) = peer.packet().expect("an empty packet is a command that the server does not know");
            assert_eq!(answer[..3], [0xff, 0x17, 0x04], "1047");
        }
        peer.query("SELECT 7");
        assert_eq!(peer.packet().unwrap().1, [1], "the session lives on");
    }
}

fn length_claims(arena: &Arena) {
    let mut peers = Vec::new();
    for command in
        [Command::Query, Command::StmtPrepare, Command::StmtSendLongData, Command::InitDb, Command::ChangeUser]
    {
        for len in [[0xff, 0xff, 0xff], [0xfe, 0xff, 0xff], [0, 0, 0x10]] {
            for filler in [0, 10_000, 100_000] {
                let mut peer = arena.peer();
                peer.send(&[&len[..], &[0, command as u8]].concat());
                peer.send(&vec![b' '; filler]);
                peers.push(peer);
                // Each may hold a connection to the primary, of which there are some for witnesses, too.
                if peers.len() == 8 {
                    peers.clear();
                }
            }
        }
    }
}

/// Full packet after full packet, until the server has had enough (64 MiB) or a gigabyte is through.
fn a_gigabyte(arena: &Arena) {
    let part = vec![b' '; PAYLOAD_MAX];
    for command in [Command::Query, Command::StmtSendLongData] {
        let mut peer = arena.peer();
        let mut sent = 0usize;
        for seq in 0..64u8 {
            let head = [0xff, 0xff, 0xff, seq];
            let first = if seq == 0 { &[command as u8][..] } else { &[] };
            if !peer.send(&head) || !peer.send(first) || !peer.send(&part[first.len()..]) {
                break;
            }
            sent += part.len();
        }
        eprintln!("  {} MiB of a command were taken", sent >> 20);
        peer.drain(Duration::from_millis(300));
    }
}

fn lying_parts(arena: &Arena) {
    const GIGABYTE: [u8; 9] = [0xfe, 0, 0, 0, 0x40, 0, 0, 0, 0];
    let statement = [1, 0, 0, 0, 0, 1, 0, 0, 0];
    let bodies: [(Command, Vec<u8>); 5] = [
        (Command::StmtExecute, [&statement[..], &GIGABYTE].concat()),
        (Command::StmtExecute, [&statement[..], &[0, 1, 0xfd, 0], &GIGABYTE].concat()),
        (Command::ChangeUser, [b"app\0\0\0\xff\0caching_sha2_password\0".as_slice(), &GIGABYTE].concat()),
        (Command::StmtFetch, [&[1, 0, 0, 0][..], &[0xff; 4]].concat()),
        (Command::StmtSendLongData, vec![1]),
    ];
    for (command, body) in bodies {
        let mut peer = arena.peer();
        peer.send_packet(0, b"\x16SELECT ?");
        peer.drain(Duration::from_millis(50));
        peer.send_packet(0, &[&[command as u8], body.as_slice()].concat());
        peer.drain(Duration::from_millis(100));
    }
}

/// Too long to be kept, so they would stream; but the gate answers these itself.
fn long_local_commands(arena: &Arena) {
    for in_transaction in [false, true] {
        for command in
            [Command::Ping, Command::ProcessKill, Command::SetOption, Command::ResetConnection, Command::Clone]
        {
            let mut peer = arena.peer();
            if in_transaction {
                peer.query("BEGIN");
                peer.packet().unwrap();
            }
            peer.send_packet(0, &[&[command as u8], vec![0; 400 << 10].as_slice()].concat());
            // One answer, and the end; or the server's own answer. Never answers without end.
            let ended = peer.drain(Duration::from_millis(300));
            if let Ended::Closed { bytes } = ended {
                assert!(bytes < 1 << 10, "{command:?}: {bytes} bytes of answers");
            }
        }
    }
}

/// Small commands without end, and no answer is read: the gate stops reading.
fn unread_answers(arena: &Arena) {
    let pings = [1, 0, 0, 0, Command::Ping as u8].repeat(4_000);
    let mut shows = Vec::new();
    for _ in 0..200 {
        weir_net::packet::put(&mut shows, 0, b"\x03SHOW WEIR SESSIONS");
    }
    thread::scope(|scope| {
        for bytes in [&pings, &shows, &pings, &shows, &pings, &shows] {
            scope.spawn(move || {
                let mut peer = arena.peer();
                peer.narrow().unwrap();
                peer.patience(Duration::from_millis(500));
                let until = Instant::now() + limits::ATTACK;
                let mut sent = 0;
                while Instant::now() < until && sent < limits::FLOOD_BYTES_MAX {
                    if !peer.send(bytes) {
                        break;
                    }
                    sent += bytes.len();
                }
                thread::sleep(until.saturating_duration_since(Instant::now()));
            });
        }
    });
}

fn vanish_in_a_file(arena: &Arena, admin: &mut Admin) {
    for turn in 0..12 {
        let mut peer = arena.peer();
        peer.query("LOAD DATA LOCAL INFILE '/f' INTO TABLE weir_vanish.t");
        assert_eq!(peer.packet().unwrap().1[0], 0xfb, "the server wants the file");
        let id = 1_000 + turn;
        peer.send_packet(2, format!("{id}\tx\n").as_bytes());
        // Half a packet.
        peer.send(&[200, 0, 0, 3, b'9']);
        thread::sleep(Duration::from_millis(20));
        vanish(peer, turn);
    }
    nothing_runs(admin);
}

fn vanish_in_a_transaction(arena: &Arena) {
    for turn in 0..30 {
        let mut peer = arena.peer();
        peer.query("BEGIN");
        peer.packet().unwrap();
        peer.query("UPDATE weir_vanish.t SET v = 'lost' WHERE id = 1");
        assert_eq!(peer.packet().unwrap().1[0], 0, "the row is locked by this one");
        vanish(peer, turn);
        // Its lock is gone with it, and so is its change.
        let mut next = arena.wire();
        let rows = ask(&mut next, "SELECT v FROM weir_vanish.t WHERE id = 1 FOR UPDATE").unwrap().rows();
        assert_eq!(first_cell(&rows), "one");
    }
}

/// By a reset, or by an end.
fn vanish(peer: Peer, turn: usize) {
    if turn.is_multiple_of(2) { peer.reset() } else { drop(peer) }
}

/// The servers run nothing of the account's any more.
fn nothing_runs(admin: &mut Admin) {
    const RUNNING: &str = "SELECT COUNT(*) FROM performance_schema.processlist WHERE user = 'app' AND command = 'Query' \
        AND (info LIKE '%weir_vanish%' OR info LIKE '%weir_big%') AND id <> CONNECTION_ID()";
    let deadline = Instant::now() + limits::CALM_WAIT;
    loop {
        let count = first_cell(&admin.sql(RUNNING).unwrap().rows());
        if count == "0" {
            return;
        }
        assert!(Instant::now() < deadline, "{count} statements run on though nobody waits for them");
        thread::sleep(LOOK_PAUSE);
    }
}

/// Some 400 MiB of rows, without a table.
pub const BIG_RESULT: &str = "WITH RECURSIVE weir_big (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM weir_big WHERE n < 900) \
    SELECT a.n, REPEAT('x', 8000) FROM weir_big a, weir_big b";
