//! The trace state: what tracing systems say beside a trace's context, handed on as it came.
//!
//! ```text
//!   congo=t61rcWkgMzE,rojo@tenant=00f067aa0ba902b7        newest first; only its system understands an entry
//! ```
//! Invariant: what is no list of such entries is dropped as a whole, and the context beside it stands. Nothing is taken out or put in: the
//! gate is no tracing system.
//!
//! Source: W3C "Trace Context" (level 2), `tracestate`; sqlcommenter's specification: values in a comment are URL-encoded.

/// Of an attribute.
pub fn of_text(text: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    is_state(text).then(|| text.into())
}

/// Of a comment.
pub fn of_comment(encoded: &[u8]) -> Option<Box<str>> {
    let mut text = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        text.push(match byte {
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            byte => *byte,
        });
    }
    of_text(&text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

fn is_state(text: &str) -> bool {
    let entries = || text.split(',').map(|entry| entry.trim_matches([' ', '\t'])).filter(|entry| !entry.is_empty());
    let count = entries().count();
    text.len() <= STATE_BYTES_MAX && (1..=ENTRIES_MAX).contains(&count) && entries().all(is_entry)
}

fn is_entry(entry: &str) -> bool {
    let Some((key, value)) = entry.split_once('=') else { return false };
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let begins = key.as_bytes().first().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_value = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    let is_right = begins && key.len() <= PART_BYTES_MAX && key.bytes().all(is_key);
    is_right && (1..=PART_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_value)
}

/// As long as everybody has to hand on.
const STATE_BYTES_MAX: usize = 512;
const ENTRIES_MAX: usize = 32;
/// A key, or a value.
const PART_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_strictly() {
        let of = |text: &str| of_text(text.as_bytes());
        let (longest, more) = (format!("k={}", "v".repeat(256)), format!("k={}", "v".repeat(257)));
        let (many, too_many) = (vec!["a=1"; 32].join(","), vec!["a=1"; 33].join(","));
        let rights = [
            "congo=t61rcWkgMzE",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "a=1 , b=2",
            "a=1,,b=2,",
            "tenant@system=x y~!",
            "0a_-*/=1",
            &longest,
            &many,
        ];
        for right in rights {
            assert_eq!(of(right).as_deref(), Some(right));
        }
        assert_eq!(of(" a=1 ").as_deref(), Some("a=1"));
        let key = format!("{}=1", "k".repeat(257));
        let long = [longest.as_str(), longest.as_str()].join(",");
        let wrongs = [
            "", ",", "a", "a=", "=1", "A=1", "_a=1", "a =1", "a=1=2", "a=\u{e9}", "a=\t1", "a=1,b", &key, &more, &long,
            &too_many,
        ];
        for wrong in wrongs {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(of_text(b"a=\xff"), None);
    }

    #[test]
    fn a_comments_is_encoded() {
        let of = |text: &str| of_comment(text.as_bytes());
        assert_eq!(
            of("congo%3Dt61rcWkgMzE%2Crojo%3d00f067aa0ba902b7").as_deref(),
            Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
        );
        assert_eq!(of("a=1").as_deref(), Some("a=1"));
        for wrong in ["a%3", "a%", "a%3D%0a1", "a%3D%g1", "a%3D%2", ""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
