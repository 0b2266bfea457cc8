//! The reader: a walk over the bytes of one payload that cannot panic.
//!
//! Invariant: a method that fails takes nothing, and no method looks behind the end.
//! Rule: MySQL "Protocol Basics: Integer Types, String Types".

use crate::error::Malformed;

/// A cursor over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

const SHORT: Malformed = Malformed("packet ends too early");

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u24(&mut self) -> Result<u32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A fixed number of bytes by value.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, left) = self.left.split_first_chunk::<N>().ok_or(SHORT)?;
        self.left = left;
        Ok(*head)
    }

    /// A length-encoded integer. NULL (0xfb) and 0xff are not integers and fail.
    pub fn lenenc(&mut self) -> Result<u64, Malformed> {
        let mut ahead = *self;
        let value = match ahead.u8()? {
            small @ 0..=0xfa => u64::from(small),
            0xfc => u64::from(ahead.u16()?),
            0xfd => u64::from(ahead.u24()?),
            0xfe => ahead.u64()?,
            0xfb | 0xff => return Err(Malformed("not a length-encoded integer")),
        };
        *self = ahead;
        Ok(value)
    }

    /// A length-encoded string.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let mut ahead = *self;
        let len = usize::try_from(ahead.lenenc()?).map_err(|_| SHORT)?;
        let bytes = ahead.take(len)?;
        *self = ahead;
        Ok(bytes)
    }

    /// A cell of a text row: a length-encoded string, or NULL written as 0xfb.
    pub fn cell(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if let Some((0xfb, left)) = self.left.split_first() {
            self.left = left;
            return Ok(None);
        }
        self.lenenc_bytes().map(Some)
    }

    /// A string that ends with a NUL, which is taken and not returned.
    pub fn nul_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.left.iter().position(|&byte| byte == 0).ok_or(Malformed("string without its NUL"))?;
        let bytes = self.take(len)?;
        self.take(1)?;
        Ok(bytes)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, left) = self.left.split_at_checked(len).ok_or(SHORT)?;
        self.left = left;
        Ok(head)
    }

    /// Everything that is left; the reader is empty afterwards.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// The next byte, not taken.
    pub fn peek(&self) -> Option<u8> {
        self.left.first().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Number of bytes left.
    pub fn remaining(&self) -> usize {
        self.left.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_little_endian() {
        let mut reader = Reader::new(&[1, 2, 0, 3, 0, 1, 4, 0, 0, 0x80, 5, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u24(), Ok(0x1_0003));
        assert_eq!(reader.u32(), Ok(0x8000_0004));
        assert_eq!(reader.u64(), Ok(0x0100_0000_0000_0005));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(SHORT));
    }

    #[test]
    fn lengths_of_every_width() {
        let cases: [(&[u8], u64); 5] = [
            (&[0xfa], 0xfa),
            (&[0xfc, 0xfb, 0], 0xfb),
            (&[0xfd, 0, 0, 1], 0x1_0000),
            (&[0xfe, 0, 0, 0, 1, 0, 0, 0, 0], 0x100_0000),
            (&[0], 0),
        ];
        for (bytes, value) in cases {
            assert_eq!(Reader::new(bytes).lenenc(), Ok(value));
            let short = bytes.get(..bytes.len() - 1).unwrap();
            assert!(Reader::new(short).lenenc().is_err());
        }
        assert!(Reader::new(&[0xfb]).lenenc().is_err());
        assert!(Reader::new(&[0xff]).lenenc().is_err());
    }

    #[test]
    fn strings_and_what_fails_takes_nothing() {
        let mut reader = Reader::new(b"\x02abc\0\xfb\x09x");
        assert_eq!(reader.lenenc_bytes(), Ok(&b"ab"[..]));
        assert_eq!(reader.nul_bytes(), Ok(&b"c"[..]));
        assert_eq!(reader.cell(), Ok(None));
        assert_eq!(reader.lenenc_bytes(), Err(SHORT));
        assert_eq!(reader.remaining(), 2);
        assert!(reader.nul_bytes().is_err());
        assert_eq!(reader.peek(), Some(9));
        assert_eq!(reader.rest(), b"\x09x");
        assert_eq!(reader.take(0), Ok(&b""[..]));
        let mut huge = Reader::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(huge.lenenc_bytes(), Err(SHORT));
    }
}
