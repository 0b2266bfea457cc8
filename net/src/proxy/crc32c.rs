//! CRC-32C, the checksum of PROXY headers: a header has some hundred bytes and a client one header, so a bit at a time will do.
//!
//! Rule: RFC 4960, appendix B (polynomial 0x1edc6f41, reflected).

/// Of these pieces one after the other.
pub fn of<const N: usize>(pieces: [&[u8]; N]) -> u32 {
    let bytes = pieces.iter().flat_map(|piece| piece.iter());
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

fn shift(crc: u32) -> u32 {
    if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL_REFLECTED } else { crc >> 1 }
}

const POLYNOMIAL_REFLECTED: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(of([b"123456789"]), 0xe306_9283);
        assert_eq!(of([b"123", b"", b"456789"]), 0xe306_9283);
        assert_eq!(of([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(of([b""]), 0);
    }
}
