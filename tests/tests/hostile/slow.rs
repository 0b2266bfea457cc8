//! Clients that are slow, in either direction: not hostile by what they say, and yet nobody may pay for them.

use std::thread;
use std::time::{Duration, Instant};

use weir_net::command::Command;
use weir_net::packet;
use weir_tests::hostile::limits;
use weir_tests::hostile::peer::Peer;

use crate::Arena;
use crate::logged_in::BIG_RESULT;

/// S44: a split packet is a packet.
#[test]
fn split_at_every_boundary() {
    let arena = Arena::open("split");
    arena.attack("commands split at every byte boundary", || {
        let mut bytes = Vec::new();
        packet::put(&mut bytes, 0, b"\x03SELECT 20 + 22");
        let mut peer = Peer::logged_in(arena.gate.socket_address(), &arena.account).unwrap();
        for at in 1..bytes.len() {
            peer.send(&bytes[..at]);
            thread::sleep(Duration::from_millis(2));
            peer.send(&bytes[at..]);
            check_42(&mut peer);
        }
        // Two commands in one piece, split anywhere.
        let both = [bytes.as_slice(), &bytes].concat();
        for at in 1..both.len() {
            peer.send(&both[..at]);
            thread::sleep(Duration::from_millis(2));
            peer.send(&both[at..]);
            check_42(&mut peer);
            check_42(&mut peer);
        }
    });
    arena.attack("logins byte by byte", || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| login_byte_by_byte(&arena));
            }
        });
    });
    arena.close();
}

#[test]
fn slow_writers_and_readers() {
    let arena = Arena::open("slow");
    arena.attack("fifty clients that write a byte at a time", || {
        let mut bytes = Vec::new();
        packet::put(&mut bytes, 0, b"\x03SELECT 20 + 22 -- and this takes a while to be said");
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let mut peer = Peer::logged_in(arena.gate.socket_address(), &arena.account).unwrap();
                    for byte in &bytes {
                        peer.send(&[*byte]);
                        thread::sleep(Duration::from_millis(30));
                    }
                    check_42(&mut peer);
                });
            }
        });
    });
    // Twelve of the connections to each backend are held by those who don't read; the others are for the witnesses.
    arena.attack("a dozen clients that never read a result of 400 MiB", || {
        let peers: Vec<Peer> = (0..12)
            .map(|_| {
                let mut peer = Peer::logged_in(arena.gate.socket_address(), &arena.account).unwrap();
                peer.narrow().unwrap();
                peer.send_packet(0, &[&[Command::Query as u8], BIG_RESULT.as_bytes()].concat());
                peer
            })
            .collect();
        thread::sleep(limits::ATTACK);
        for (turn, peer) in peers.into_iter().enumerate() {
            if turn % 2 == 0 { peer.reset() } else { drop(peer) }
        }
    });
    arena.attack("clients that read it slowly", || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut peer = Peer::logged_in(arena.gate.socket_address(), &arena.account).unwrap();
                    peer.send_packet(0, &[&[Command::Query as u8], BIG_RESULT.as_bytes()].concat());
                    let until = Instant::now() + limits::ATTACK;
                    while Instant::now() < until {
                        let (_, row) = peer.packet().unwrap();
                        assert!(row.first() != Some(&0xff), "an error instead of a row");
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            }
        });
    });
    arena.attack("a command that comes slowly and is long", || {
        let mut peer = Peer::logged_in(arena.gate.socket_address(), &arena.account).unwrap();
        let text = [b"\x03SELECT LENGTH('".as_slice(), &[b'x'; 600_000], b"')"].concat();
        let mut bytes = Vec::new();
        packet::put(&mut bytes, 0, &text);
        for piece in bytes.chunks(6_000) {
            peer.send(piece);
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(result(&mut peer), b"\x06600000");
    });
    arena.close();
}

/// The whole dialogue by hand, each byte in a packet of its own; the password is asked for by key.
fn login_byte_by_byte(arena: &Arena) {
    use weir_net::auth::{Channel, ClientAuth, Reply};
    use weir_net::greeting::Greeting;
    use weir_net::login::Login;
    use weir_net::secret::Secret;
    let (mut peer, payload) = Peer::greeted(arena.gate.socket_address()).unwrap();
    let greeting = Greeting::decode(&payload).unwrap();
    let password = Secret::from(arena.account.password.as_bytes());
    let mut auth = ClientAuth::new(arena.account.user.as_bytes(), password, Channel::Plain);
    let login = Login {
        capabilities: arena.account.capabilities.intersect(greeting.capabilities),
        max_packet: 1 << 24,
        charset: 255,
        user: arena.account.user.clone().into_bytes(),
        auth: auth.response(greeting.plugin, &greeting.nonce),
        schema: None,
        plugin: Some(auth.plugin().to_vec()),
        attributes: Vec::new(),
        zstd_level: 0,
    };
    let mut answer = Vec::new();
    login.encode(&mut answer);
    let mut seq = 1;
    loop {
        let mut bytes = Vec::new();
        packet::put(&mut bytes, seq, &answer);
        for byte in bytes {
            peer.send(&[byte]);
        }
        let payload = loop {
            let (number, payload) = peer.packet().unwrap();
            seq = number.wrapping_add(1);
            match auth.handle(&payload) {
                Reply::Wait => {}
                Reply::Send(next) => break Some(next),
                Reply::Ok => break None,
                other => panic!("{other:?}"),
            }
        };
        match payload {
            Some(next) => answer = next,
            None => break,
        }
    }
    peer.send_packet(0, b"\x03SELECT 20 + 22");
    check_42(&mut peer);
}

fn check_42(peer: &mut Peer) {
    assert_eq!(result(peer), b"\x0242");
}

/// The row of a result of one column and one row: count, definition, row, end.
fn result(peer: &mut Peer) -> Vec<u8> {
    let (_, count) = peer.packet().unwrap();
    assert_eq!(count, [1], "{:?}", String::from_utf8_lossy(&count));
    peer.packet().unwrap();
    let (_, row) = peer.packet().unwrap();
    assert_eq!(peer.packet().unwrap().1[0], 0xfe);
    row
}
