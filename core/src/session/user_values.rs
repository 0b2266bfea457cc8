//! The value of a user variable as a literal, written by the client or read from the server, that makes it again.
//!
//! Invariant: a variable set to the literal has the same type, collation, sign and value. What a user variable remembers
//! beyond these, it does not (its coercibility is always that of a variable; lengths are its type's).

use crate::session::trackers::ONE_ROW;
use crate::state::StateId;
use weir_net::column::{Column, FLAG_UNSIGNED, KIND_LONGLONG, KIND_VAR_STRING, cells};
use weir_net::packet::{HEADER_BYTES, Header};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Of the type; the value too, unless that is NULL.
    text: Box<[u8]>,
    /// NULL, and yet of a type: that of what it was before.
    is_null: bool,
    /// What the text must be understood under, if that matters.
    pub under: Option<StateId>,
}

impl Literal {
    /// As a statement had it, understood under these variables; `before`: what the variable was, if it was.
    pub fn written(text: &[u8], under: StateId, before: Option<&Literal>) -> Literal {
        if text.eq_ignore_ascii_case(b"NULL") {
            let unset = Literal { text: UNSET[..].into(), is_null: true, under: None };
            return Literal { is_null: true, ..before.cloned().unwrap_or(unset) };
        }
        let is_number = text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.'));
        Literal { text: text.into(), is_null: false, under: (!is_number).then_some(under) }
    }

    /// From what the server says of a variable: its column, its value as text, its collation and its bytes in hexadecimal.
    /// None: a kind that is not known.
    fn told(column: &Column<'_>, value: Option<&[u8]>, collation: &[u8], hex: Option<&[u8]>) -> Option<Literal> {
        let is_null = value.is_none();
        // In a character set of two bytes a letter (`character_set_results`) these are not what they look like.
        let ascii = |text: &'_ [u8], fits: fn(&u8) -> bool| {
            text.iter().all(fits).then(|| String::from_utf8_lossy(text).into_owned())
        };
        let number = ascii(value.unwrap_or(b"0"), |b| b.is_ascii_digit() || b"+-.eE".contains(b));
        let text = match column.kind {
            KIND_LONGLONG if column.flags & FLAG_UNSIGNED != 0 => format!("CAST({} AS UNSIGNED)", number?),
            KIND_LONGLONG => format!("CAST({} AS SIGNED)", number?),
            KIND_DOUBLE => format!("CAST('{}' AS DOUBLE)", number?),
            KIND_NEWDECIMAL => decimal(&number?),
            KIND_BLOBS_FIRST..=KIND_STRINGS_LAST => {
                let collation = ascii(collation, |b| b.is_ascii_alphanumeric() || *b == b'_')?;
                let charset = collation.split('_').next()?;
                let hex = ascii(hex.unwrap_or_default(), u8::is_ascii_hexdigit)?;
                match charset {
                    "binary" => format!("_binary x'{hex}'"),
                    charset => format!("_{charset} x'{hex}' COLLATE {collation}"),
                }
            }
            _ => return None,
        };
        Some(Literal { text: text.into_bytes().into(), is_null, under: None })
    }

    /// Behind a comma: the assignment to `name`, as it is written with its at sign.
    pub fn put(&self, name: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(&self.text);
        if self.is_null {
            out.push(b',');
            out.extend_from_slice(name);
            out.extend_from_slice(b"=NULL");
        }
    }

    /// No value, of whatever type it had.
    pub fn null() -> Literal {
        Literal { text: b"NULL"[..].into(), is_null: false, under: None }
    }

    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

/// The literal keeps the digits behind the point; without any it would be a whole number.
fn decimal(number: &str) -> String {
    match number.contains('.') {
        true => number.to_owned(),
        false => format!("CAST({number} AS DECIMAL(65,0))"),
    }
}

/// For each variable the columns that `answer` reads.
pub fn question<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for name in names {
        text.extend_from_slice(if text.is_empty() { b"SELECT " } else { b"," });
        for part in [&b""[..], name, b",COLLATION(", name, b"),HEX(", name, b")"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(ONE_ROW);
    text
}

/// The variables of the answer, in the order of the question; None within: it does not exist. None: not an answer.
pub fn answer(bytes: &[u8]) -> Option<Vec<Option<Literal>>> {
    let mut rest = bytes;
    let mut next = || {
        let header = Header::at_front(rest)?;
        let end = HEADER_BYTES + header.payload_len as usize;
        let payload = rest.get(HEADER_BYTES..end)?;
        rest = rest.get(end..)?;
        Some(payload)
    };
    // Fewer than 251: one byte.
    let count = *next()?.first()?;
    let columns: Vec<Column<'_>> = (0..count).map(|_| Column::decode(next()?).ok()).collect::<Option<_>>()?;
    let row: Vec<Option<&[u8]>> = cells(std::iter::from_fn(next).last()?).collect::<Result<_, _>>().ok()?;
    if row.len() != columns.len() {
        return None;
    }
    (columns.chunks_exact(3).zip(row.chunks_exact(3)))
        .map(|(columns, row)| match (&columns[0], row) {
            // So a server describes a variable that was never set (seen on 9.7); a NULL string has a longer type.
            (Column { kind: KIND_VAR_STRING, .. }, [None, ..]) => Some(None),
            (column, [value, collation, hex]) => {
                Literal::told(column, *value, collation.unwrap_or_default(), *hex).map(Some)
            }
            _ => None,
        })
        .collect()
}

/// What `SET @a=NULL` makes of a variable that did not exist.
const UNSET: &[u8] = b"_binary''";

const KIND_DOUBLE: u8 = 5;
const KIND_NEWDECIMAL: u8 = 246;
/// `TINY_BLOB`, `MEDIUM_BLOB`, `LONG_BLOB`, `BLOB`, `VAR_STRING`, `STRING`.
const KIND_BLOBS_FIRST: u8 = 249;
const KIND_STRINGS_LAST: u8 = 254;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(literal: &Literal) -> String {
        let mut text = Vec::new();
        literal.put(b"@a", &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn null_keeps_the_type_of_what_was_before() {
        let five = Literal::written(b"5", StateId(1), None);
        assert_eq!((put(&five), five.under), ("@a=5".to_owned(), None));
        assert_eq!(put(&Literal::written(b"null", StateId(1), Some(&five))), "@a=5,@a=NULL");
        assert_eq!(put(&Literal::written(b"NULL", StateId(1), None)), "@a=_binary'',@a=NULL");
        assert_eq!(Literal::written(b"'x'", StateId(1), None).under, Some(StateId(1)));
    }

    #[test]
    fn each_type_has_its_literal() {
        let check = |kind: u8, flags: u16, value: Option<&str>, collation: &str, hex: &str, expected: &str| {
            let column = Column { kind, flags, ..Column::default() };
            let value = value.map(str::as_bytes);
            let told = Literal::told(&column, value, collation.as_bytes(), Some(hex.as_bytes())).unwrap();
            assert_eq!(put(&told), expected);
        };
        check(8, 128, Some("-5"), "binary", "", "@a=CAST(-5 AS SIGNED)");
        check(8, 160, Some("18446744073709551615"), "binary", "", "@a=CAST(18446744073709551615 AS UNSIGNED)");
        check(5, 128, Some("1e30"), "binary", "", "@a=CAST('1e30' AS DOUBLE)");
        check(246, 128, Some("1.50"), "binary", "", "@a=1.50");
        check(246, 128, Some("15"), "binary", "", "@a=CAST(15 AS DECIMAL(65,0))");
        check(250, 0, Some("x"), "latin1_german1_ci", "E4", "@a=_latin1 x'E4' COLLATE latin1_german1_ci");
        check(250, 128, Some("x"), "binary", "00FF", "@a=_binary x'00FF'");
        check(251, 0, None, "utf8mb4_bin", "", "@a=_utf8mb4 x'' COLLATE utf8mb4_bin,@a=NULL");
        check(8, 128, None, "binary", "", "@a=CAST(0 AS SIGNED),@a=NULL");
        assert!(Literal::told(&Column { kind: 12, ..Column::default() }, None, b"", None).is_none());
    }

    #[test]
    fn the_question_has_three_columns_for_each() {
        let text = question([&b"@a"[..], b"@`b c`"].into_iter());
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "SELECT @a,COLLATION(@a),HEX(@a),@`b c`,COLLATION(@`b c`),HEX(@`b c`) LIMIT 1"
        );
        assert!(answer(b"").is_none() && answer(b"\x01\x00\x00\x01\x03").is_none());
    }
}
