//! PROXY headers: once the bytes that have come say something, more of them say the same.

use weir_net::limits::PROXY_V2_BYTES_MAX;
use weir_net::proxy::decode;

pub fn check(input: &[u8]) {
    let mut verdict = Ok(None);
    for len in 0..=input.len() {
        let now = decode(&input[..len]);
        match verdict {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => assert_eq!(now, verdict, "{len} bytes"),
        }
        if let Ok(Some((_, header_len))) = now {
            assert!(header_len <= len && header_len <= PROXY_V2_BYTES_MAX);
            // Not before its last byte was there.
            assert!(verdict != Ok(None) || header_len == len);
        }
        verdict = now;
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let binary = |command: u8, family: u8, body: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &(body.len() as u16).to_be_bytes(), body].concat()
    };
    vec![
        b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 3306\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::9 ::1 256 9\r\nmore".to_vec(),
        b"PROXY UNKNOWN what ever\r\n".to_vec(),
        binary(0x20, 0, b""),
        binary(0x21, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 4, 0, 1, 7, 3, 0, 4, 1, 2, 3, 4]),
        binary(0x21, 0x21, &[9; 36]),
        binary(0x21, 0x31, &[b'/'; 216]),
    ]
}
