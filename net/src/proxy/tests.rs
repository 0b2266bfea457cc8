use super::*;

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [V2_SIGNATURE, &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn ipv4() -> Vec<u8> {
    [&[192, 0, 2, 1, 198, 51, 100, 7][..], &40_000u16.to_be_bytes(), &3306u16.to_be_bytes()].concat()
}

/// With a checksum between other values.
fn checked(command: u8, sum_is_right: bool) -> Vec<u8> {
    let body = |sum: u32| {
        let sum = sum.to_be_bytes();
        [&ipv4()[..], &[4, 0, 2, 7, 7], &[TLV_CRC32C, 0, 4], &sum, &[1, 0, 1, b'x']].concat()
    };
    let sum = crc32c::of([&binary(command, TCP_OVER_IPV4, &body(0))]);
    binary(command, TCP_OVER_IPV4, &body(if sum_is_right { sum } else { sum ^ 1 }))
}

fn good() -> Vec<(Vec<u8>, Told)> {
    let tcp = |text: &str| Told::Tcp(text.parse().unwrap());
    let ipv6: Vec<u8> =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 16], &[1, 0, 0, 9]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306\r\n".to_vec(), tcp("192.0.2.1:40000")),
        (b"PROXY TCP6 2001:db8::9 ::1 256 9\r\n".to_vec(), tcp("[2001:db8::9]:256")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Told::Nothing),
        (b"PROXY UNKNOWN ffff:: what ever\r\n".to_vec(), Told::Nothing),
        (binary(PROXY, TCP_OVER_IPV4, &ipv4()), tcp("192.0.2.1:40000")),
        (binary(PROXY, TCP_OVER_IPV6, &ipv6), tcp("[2001:db8::9]:256")),
        (binary(PROXY, UNIX_STREAM, &[b'/'; UNIX_BYTES]), Told::Unix),
        (binary(PROXY, UNSPEC, b"?"), Told::Nothing),
        (binary(LOCAL, UNSPEC, b""), Told::Nothing),
        (checked(PROXY, true), tcp("192.0.2.1:40000")),
        (checked(LOCAL, true), Told::Nothing),
    ]
}

/// S46: both versions, in pieces of any size, with something behind them or not.
#[test]
fn headers() {
    for (header, told) in good() {
        for len in 0..header.len() {
            assert_eq!(decode(&header[..len]), Ok(None), "{len} of {header:?}");
        }
        for behind in [&b""[..], b"\n", b"PROXY UNKNOWN\r\n", &[0; 300]] {
            let bytes = [&header[..], behind].concat();
            assert_eq!(decode(&bytes), Ok(Some((told, header.len()))), "{header:?}");
        }
    }
}

/// S46: what is no header, or a broken one, is refused, and however it comes it never is a good one.
#[test]
fn broken_headers() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let too_long_already = format!("PROXY UNKNOWN {}", "x".repeat(93));
    let mut cases: Vec<Vec<u8>> = vec![
        long.into(),
        too_long_already.into(),
        checked(PROXY, false),
        checked(LOCAL, false),
        binary(0x11, TCP_OVER_IPV4, &ipv4()),
        binary(0x22, TCP_OVER_IPV4, &ipv4()),
        binary(PROXY, 0x41, &ipv4()),
        binary(PROXY, TCP_OVER_IPV4, &ipv4()[..11]),
        binary(PROXY, TCP_OVER_IPV6, &ipv4()),
        binary(PROXY, UNIX_STREAM, &[0; 215]),
        binary(PROXY, TCP_OVER_IPV4, &[&ipv4()[..], &[4, 0, 2, 7]].concat()),
        binary(PROXY, TCP_OVER_IPV4, &[&ipv4()[..], &[TLV_CRC32C, 0, 3, 0, 0, 0]].concat()),
        binary(PROXY, TCP_OVER_IPV4, &[0; 17 << 10]),
        b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
    ];
    for line in [
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "PROXY  TCP4 192.0.2.1 198.51.100.7 40000 3306\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 040000 3306\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +4000 3306\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 3306\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.7 40000 3306\r\n",
        "PROXY TCP4 ::1 ::1 40000 3306\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 40000 3306\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 40000 3306\r\n",
        "PROXY \r\n",
        "\u{4a}\0\0\0\n9.7",
    ] {
        cases.push(line.into());
    }
    for case in cases {
        assert!(decode(&case).is_err(), "{:?}", String::from_utf8_lossy(&case));
        for len in 0..case.len() {
            assert!(!matches!(decode(&case[..len]), Ok(Some(_))), "{len} of {:?}", String::from_utf8_lossy(&case));
        }
    }
}
