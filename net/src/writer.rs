//! The writer: what [`crate::reader`] reads, appended to a `Vec<u8>`.
//!
//! Invariant: it only appends. It frames nothing; that is [`crate::packet`].
//! Rule: MySQL "Protocol Basics: Integer Types, String Types".

/// The protocol's integers and strings, appended.
pub trait Put {
    fn put_bytes(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put_bytes(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// The low 24 bits of `value`.
    fn put_u24(&mut self, value: u32) {
        let [a, b, c, _] = value.to_le_bytes();
        self.put_bytes(&[a, b, c]);
    }

    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// A length-encoded integer in its shortest form.
    fn put_lenenc(&mut self, value: u64) {
        let [a, b, c, ..] = value.to_le_bytes();
        match value {
            0..=0xfa => self.put_bytes(&[a]),
            0xfb..=0xffff => self.put_bytes(&[0xfc, a, b]),
            0x1_0000..=0xff_ffff => self.put_bytes(&[0xfd, a, b, c]),
            _ => {
                self.put_u8(0xfe);
                self.put_u64(value);
            }
        }
    }

    /// A length-encoded string.
    fn put_lenenc_bytes(&mut self, bytes: &[u8]) {
        self.put_lenenc(bytes.len() as u64);
        self.put_bytes(bytes);
    }

    /// A string and its NUL. A NUL inside `bytes` would end it early: it is cut there.
    fn put_nul_bytes(&mut self, bytes: &[u8]) {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        self.put_bytes(text);
        self.put_u8(0);
    }

    /// A cell of a text row: a length-encoded string, or NULL as 0xfb.
    fn put_cell(&mut self, cell: Option<&[u8]>) {
        match cell {
            Some(bytes) => self.put_lenenc_bytes(bytes),
            None => self.put_u8(0xfb),
        }
    }
}

impl Put for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    #[test]
    fn lengths_come_back_from_the_reader() {
        for value in [0, 1, 0xfa, 0xfb, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut out = Vec::new();
            out.put_lenenc(value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.lenenc(), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn layout() {
        let mut out = Vec::new();
        out.put_u8(1);
        out.put_u16(0x0203);
        out.put_u24(0x04_0506);
        out.put_u32(0x0708_090a);
        out.put_u64(0x0b0c_0d0e_0f10_1112);
        out.put_nul_bytes(b"a\0b");
        out.put_cell(Some(b"xy"));
        out.put_cell(None);
        let expected =
            [1, 3, 2, 6, 5, 4, 10, 9, 8, 7, 0x12, 0x11, 0x10, 15, 14, 13, 12, 11, b'a', 0, 2, b'x', b'y', 0xfb];
        assert_eq!(out, expected);
    }
}
