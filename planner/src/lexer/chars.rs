//! Bytes: which class each has outside of quotes, and how many make one character.

use crate::facts::Charset;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Space,
    /// Letters, `_` and `$`.
    Letter,
    Digit,
    /// Above 0x7f.
    High,
    Punct,
    /// No statement has it.
    Control,
}

/// The class of every byte. Indexing it by a byte is always in range.
pub(super) static CLASS: Table = Table(classes());

pub(super) struct Table([Class; 256]);

impl std::ops::Index<usize> for Table {
    type Output = Class;

    #[inline(always)]
    fn index(&self, byte: usize) -> &Class {
        self.0.get(byte & 0xff).unwrap_or(&Class::Control)
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // At compile time, where a panic is an error.
const fn classes() -> [Class; 256] {
    let mut table = [Class::Control; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t'..=b'\r' => Class::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            0x80..=0xff => Class::High,
            b'!'..=b'~' => Class::Punct,
            _ => Class::Control,
        };
        byte += 1;
    }
    table
}

pub(super) fn is_space(byte: u8) -> bool {
    CLASS[byte as usize] == Class::Space
}

pub(super) fn may_be_in_name(byte: u8) -> bool {
    matches!(CLASS[byte as usize], Class::Letter | Class::Digit | Class::High)
}

/// Bytes of the character that begins with `first`; 1 when the bytes are no valid character of the set, as the server
/// takes them then one by one.
pub(super) fn char_bytes(set: Charset, first: u8, second: Option<u8>, third: Option<u8>, fourth: Option<u8>) -> usize {
    let Some(second) = second else { return 1 };
    let two = match set {
        Charset::Utf8 | Charset::Euc | Charset::Single => false,
        Charset::Gbk => matches!(first, 0x81..=0xfe) && matches!(second, 0x40..=0x7e | 0x80..=0xfe),
        Charset::Big5 => matches!(first, 0xa1..=0xf9) && matches!(second, 0x40..=0x7e | 0xa1..=0xfe),
        Charset::Sjis => matches!(first, 0x81..=0x9f | 0xe0..=0xfc) && matches!(second, 0x40..=0x7e | 0x80..=0xfc),
        Charset::Gb18030 => {
            let lead = matches!(first, 0x81..=0xfe);
            if lead && matches!((second, third, fourth), (0x30..=0x39, Some(0x81..=0xfe), Some(0x30..=0x39))) {
                return 4;
            }
            lead && matches!(second, 0x40..=0x7e | 0x80..=0xfe)
        }
    };
    if two { 2 } else { 1 }
}
