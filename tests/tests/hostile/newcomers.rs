//! Clients that attack before they have logged in: anybody can.

use std::thread;
use std::time::{Duration, Instant};

use weir_net::flags::Capabilities;
use weir_net::login::{Login, put_tls_request};
use weir_net::writer::Put;
use weir_tests::hostile::limits;
use weir_tests::hostile::peer::{Dice, Ended, Peer};

use crate::Arena;

#[test]
fn before_the_login() {
    let arena = Arena::open("newcomers");
    arena.attack("random bytes instead of a login", || random_bytes(&arena));
    arena.attack("lengths of up to 16 MiB before the login", || length_claims(&arena));
    arena.attack("logins whose parts claim a gigabyte", || lying_logins(&arena));
    arena.attack("logins with names of 50 KB, each another", || long_names(&arena));
    arena.attack("wrong sequence numbers in the login", || wrong_numbers(&arena));
    arena.attack("rubbish after the request for TLS", || tls_rubbish(&arena));
    arena.attack("a request for TLS before the greeting", || hasty_tls(&arena));
    arena.attack("who vanishes during the login", || vanishing(&arena));
    arena.attack("half handshakes that hang", || half_handshakes(&arena));
    arena.attack("logins that come byte by byte and never end", || dribble(&arena));
    arena.attack("a thousand half-open connections", || flood(&arena));
    arena.close();
}

fn random_bytes(arena: &Arena) {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut peer = Peer::connect(arena.gate.socket_address()).unwrap();
        if seed % 2 == 0 {
            peer.packet().unwrap();
        }
        let len = [1, 3, 4, 36, 100, 5_000, 200_000][dice.below(7)];
        peer.send(&dice.bytes(len));
        if seed % 3 == 0 {
            peer.drain(Duration::from_millis(50));
        }
    }
}

fn length_claims(arena: &Arena) {
    let zeros = vec![0; 64 << 10];
    let mut peers = Vec::new();
    for head in [[0xff, 0xff, 0xff, 1], [0, 0, 2, 1], [1, 0, 2, 1], [0xff, 0xff, 0x7f, 1]] {
        for _ in 0..10 {
            let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
            peer.send(&head);
            peers.push(peer);
        }
    }
    // As much behind each claim as the gate takes.
    for peer in &mut peers {
        for _ in 0..32 {
            if !peer.send(&zeros) {
                break;
            }
        }
    }
    for peer in &mut peers {
        closed_in_time(peer, "a claim of a length");
    }
}

fn lying_logins(arena: &Arena) {
    const GIGABYTE: [u8; 9] = [0xfe, 0, 0, 0, 0x40, 0, 0, 0, 0];
    let head = |flags: Capabilities| {
        let mut payload = Vec::new();
        put_tls_request(&mut payload, flags, 1 << 30, 255);
        // The flag that makes it a request for TLS is taken off again.
        payload[1] &= !0x08;
        payload.put_nul_bytes(b"app");
        payload
    };
    let usual = Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH;
    let lenenc = Capabilities::PLUGIN_AUTH_LENENC_DATA;
    let auth = [head(usual | lenenc), GIGABYTE.to_vec(), vec![0; 100]].concat();
    let attributes =
        [head(usual | Capabilities::CONNECT_ATTRS), b"\0caching_sha2_password\0".to_vec(), GIGABYTE.to_vec()].concat();
    let mut many = [head(usual | Capabilities::CONNECT_ATTRS), b"\0caching_sha2_password\0".to_vec()].concat();
    many.put_lenenc_bytes(&vec![0; 60_000]);
    let no_end = head(usual | lenenc)[..36].to_vec();
    for payload in [auth, attributes, many, no_end] {
        for _ in 0..10 {
            let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
            peer.send_packet(1, &payload);
            closed_in_time(&mut peer, "a login that lies about its lengths");
        }
    }
}

/// 300 MB of names that the gate could remember.
fn long_names(arena: &Arena) {
    for n in 0..3_000 {
        let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
        let name = format!("{n:050000}");
        let login = Login { schema: Some(name.clone().into_bytes()), user: name.into_bytes(), ..login_of(b"") };
        let mut payload = Vec::new();
        login.encode(&mut payload);
        peer.send_packet(1, &payload);
        if n % 100 == 0 {
            peer.packet().unwrap();
        }
    }
}

fn wrong_numbers(arena: &Arena) {
    let login_as = |seq: &u8| {
        let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
        peer.send_packet(*seq, &login(b"nobody"));
        peer
    };
    for mut peer in [0, 2, 9, 255].iter().map(login_as).collect::<Vec<_>>() {
        closed_in_time(&mut peer, "a login with another number");
    }
}

fn tls_rubbish(arena: &Arena) {
    let mut request = Vec::new();
    put_tls_request(&mut request, Capabilities(0xffff_ffff), 1 << 24, 255);
    let mut dice = Dice::new(7);
    let behind: [Vec<u8>; 7] = [
        dice.bytes(500),
        dice.bytes(50_000),
        // Records: of 16 KiB and a bit, of an unknown kind, a hello that claims 16 MiB, an alert, many empty ones.
        [&[0x16, 3, 1, 0x48, 0x01][..], &[0; 20_000]].concat(),
        b"\x99\x03\x03\0\x01x".to_vec(),
        [b"\x16\x03\x01\x40\0\x01\xff\xff\xff".as_slice(), &[0; 70_000]].concat(),
        b"\x15\x03\x03\0\x02\x02\x28".to_vec(),
        b"\x16\x03\x03\0\0".repeat(20_000),
    ];
    for rubbish in behind {
        for at_once in [false, true] {
            let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
            let mut bytes = [&[32, 0, 0, 1][..], &request].concat();
            if at_once {
                bytes.extend_from_slice(&rubbish);
                peer.send(&bytes);
            } else {
                peer.send(&bytes);
                peer.send(&rubbish);
            }
            closed_in_time(&mut peer, "rubbish instead of TLS");
        }
    }
    // And a login in the clear, after TLS was asked for.
    let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
    peer.send(&[&[32, 0, 0, 1][..], &request].concat());
    peer.send_packet(2, &login(b"app"));
    closed_in_time(&mut peer, "a login in the clear where TLS is due");
}

/// It is sent with the first packet of the connection, so that it often is there before the greeting has left.
fn hasty_tls(arena: &Arena) {
    let mut request = Vec::new();
    put_tls_request(&mut request, Capabilities(0xffff_ffff), 1 << 24, 255);
    let bytes = [&[32, 0, 0, 1][..], &request].concat();
    for _ in 0..200 {
        let mut peer = Peer::connect(arena.gate.socket_address()).unwrap();
        peer.send(&bytes);
    }
}

fn vanishing(arena: &Arena) {
    for turn in 0..200 {
        let mut peer = Peer::connect(arena.gate.socket_address()).unwrap();
        if turn % 4 > 0 {
            peer.packet().unwrap();
        }
        if turn % 4 > 1 {
            let mut dice = Dice::new(turn);
            let payload = login(b"app");
            peer.send(&[&[payload.len() as u8, 0, 0, 1], &payload[..dice.below(payload.len())]].concat());
        }
        if turn % 2 == 0 { peer.reset() } else { drop(peer) }
    }
}

fn half_handshakes(arena: &Arena) {
    let began = Instant::now();
    let mut peers = Vec::new();
    for way in 0..5 {
        for _ in 0..8 {
            let (mut peer, _) = Peer::greeted(arena.gate.socket_address()).unwrap();
            let payload = login(b"app");
            match way {
                0 => {}
                1 => drop(peer.send(&[payload.len() as u8, 0])),
                2 => drop(peer.send(&[&[payload.len() as u8, 0, 0, 1], &payload[..40]].concat())),
                3 => {
                    // The gate asks for the password in full and hears nothing more.
                    peer.send_packet(1, &payload);
                    assert_eq!(peer.packet().unwrap().1, [1, 4]);
                }
                _ => {
                    peer.send_packet(1, &payload);
                    peer.packet().unwrap();
                    peer.send_packet(3, &[2]);
                    assert_eq!(peer.packet().unwrap().1[0], 1, "the public key");
                }
            }
            peers.push(peer);
        }
    }
    for peer in &mut peers {
        closed_in_time(peer, "half a handshake");
    }
    assert!(began.elapsed() >= limits::HANDSHAKE, "they were not given the time that they have");
}

/// More bytes than the gate has blocks, each in a packet of its own.
fn dribble(arena: &Arena) {
    let payload = [&[0, 0, 1, 1][..], &login(b"app"), &[b'x'; 40]].concat();
    let mut peers: Vec<Peer> = (0..50).map(|_| Peer::greeted(arena.gate.socket_address()).unwrap().0).collect();
    assert!(peers.len() * 80 > 2 * limits::BLOCKS_PER_CORE);
    for byte in &payload[..80] {
        for peer in &mut peers {
            peer.send(&[*byte]);
        }
        thread::sleep(Duration::from_millis(5));
    }
    for peer in &mut peers {
        closed_in_time(peer, "a login that never ends");
    }
}

fn flood(arena: &Arena) {
    let address = arena.gate.socket_address();
    let began = Instant::now();
    let mut peers: Vec<Peer> = thread::scope(|scope| {
        let some = || (0..limits::HALF_OPEN / 4).map(|_| Peer::greeted(address).unwrap().0).collect::<Vec<Peer>>();
        let crowd: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
        crowd.into_iter().flat_map(|some| some.join().unwrap()).collect()
    });
    assert_eq!(peers.len(), limits::HALF_OPEN);
    eprintln!("  {} connections were greeted in {:.1} s", peers.len(), began.elapsed().as_secs_f64());
    for peer in &mut peers {
        closed_in_time(peer, "half-open");
    }
}

/// The gate closes it, at the latest when a handshake's time is over.
#[track_caller]
fn closed_in_time(peer: &mut Peer, what: &str) {
    let began = Instant::now();
    let ended = peer.drain(limits::HANDSHAKE + limits::HANDSHAKE_SLACK);
    assert!(matches!(ended, Ended::Closed { .. }), "{what}: still open after {:?}", began.elapsed());
}

/// A login with a scramble that fits no password.
fn login(user: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    login_of(user).encode(&mut payload);
    payload
}

fn login_of(user: &[u8]) -> Login {
    Login {
        capabilities: Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH,
        max_packet: 1 << 24,
        charset: 255,
        user: user.to_vec(),
        auth: vec![9; 32],
        schema: None,
        plugin: Some(b"caching_sha2_password".to_vec()),
        attributes: Vec::new(),
        zstd_level: 0,
    }
}
