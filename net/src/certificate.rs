//! A certificate, as far as a gate reads it itself: who it is of, who has signed it, when it ends. RFC 5280, section 4.1; X.690.
//!
//! ```text
//!   Certificate ── TBSCertificate ── [0] version? │ serial │ algorithm │ issuer │ validity │ subject │ key …
//!                                                                       Name     notAfter   Name
//! ```
//! Nothing is verified here: rustls has done that. A name is written as MySQL compares it in `REQUIRE SUBJECT`, which is what OpenSSL's
//! `X509_NAME_oneline` writes: `/C=SE/O=Weir/CN=app`, with `\xHH` for bytes that are no printable ASCII.

/// What stands in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// None: it is no certificate.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut whole = Der(der).enter(SEQUENCE)?;
        let mut tbs = whole.enter(SEQUENCE)?;
        if tbs.peek()? == VERSION {
            tbs.next()?;
        }
        tbs.next()?;
        tbs.next()?;
        let issuer = name(tbs.enter(SEQUENCE)?)?;
        let mut validity = tbs.enter(SEQUENCE)?;
        validity.next()?;
        let (kind, not_after) = validity.next()?;
        let subject = name(tbs.enter(SEQUENCE)?)?;
        Some(Certificate { subject, issuer, not_after: time(kind, not_after)? })
    }
}

/// What is left of some elements: each a tag, a length, its content.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // Up to four bytes of length: more than any certificate has.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let len =
                    bytes.iter().try_fold(0_usize, |len, byte| len.checked_mul(256)?.checked_add((*byte).into()))?;
                (len, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn enter(&mut self, wanted: u8) -> Option<Der<'a>> {
        let (tag, content) = self.next()?;
        (tag == wanted).then_some(Der(content))
    }
}

fn name(mut parts: Der<'_>) -> Option<String> {
    let mut text = String::new();
    while parts.peek().is_some() {
        let mut set = parts.enter(SET)?;
        while set.peek().is_some() {
            let mut attribute = set.enter(SEQUENCE)?;
            let (tag, oid) = attribute.next()?;
            let (_, value) = attribute.next().filter(|_| tag == OBJECT_IDENTIFIER)?;
            text.push('/');
            match NAMES.iter().find(|(known, _)| *known == oid) {
                Some((_, name)) => text.push_str(name),
                None => text.push_str(&dotted(oid)),
            }
            text.push('=');
            for byte in value {
                match byte {
                    b' '..=b'~' => text.push(char::from(*byte)),
                    _ => text.push_str(&format!("\\x{byte:02X}")),
                }
            }
        }
    }
    Some(text)
}

/// An object identifier of a kind that has no short name.
fn dotted(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (number / 40).min(2);
            text = format!("{first}.{}", number.saturating_sub(first.saturating_mul(40)));
        } else {
            text.push_str(&format!(".{number}"));
        }
        number = 0;
    }
    text
}

/// `YYMMDDHHMMSSZ` or, from 2050 on, `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (year.checked_add(if year < 50 { 2_000 } else { 1_900 })?, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at.checked_add(2)?)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)?.checked_mul(3_600)?.checked_add(part(6)?.checked_mul(60)?)?.checked_add(part(8)?)?;
    days(year, month, day)?.checked_mul(86_400)?.checked_add(seconds)
}

/// Days from 1970-01-01 in the Gregorian calendar, by counting years from March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = month.checked_add(if month > 2 { -3 } else { 9 })?;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = month.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let leaps = of_era.checked_div(4)?.checked_sub(of_era.checked_div(100)?)?;
    let of_era = of_era.checked_mul(365)?.checked_add(leaps)?.checked_add(of_year)?;
    era.checked_mul(146_097)?.checked_add(of_era)?.checked_sub(719_468)
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, which only version 1 leaves out.
const VERSION: u8 = 0xa0;

/// OpenSSL's short names.
const NAMES: [(&[u8], &str); 14] = [
    (&[85, 4, 3], "CN"),
    (&[85, 4, 4], "SN"),
    (&[85, 4, 5], "serialNumber"),
    (&[85, 4, 6], "C"),
    (&[85, 4, 7], "L"),
    (&[85, 4, 8], "ST"),
    (&[85, 4, 9], "street"),
    (&[85, 4, 10], "O"),
    (&[85, 4, 11], "OU"),
    (&[85, 4, 12], "title"),
    (&[85, 4, 42], "GN"),
    (&[42, 134, 72, 134, 247, 13, 1, 9, 1], "emailAddress"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 1], "UID"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 25], "DC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (kind, text, seconds) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "7001Z", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            assert_eq!(time(kind, text.as_bytes()), seconds, "{text}");
        }
    }

    #[test]
    fn names_are_written_as_openssl_does() {
        let attribute = |oid: &[u8], value: &[u8]| {
            let of = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
            of(SET, &of(SEQUENCE, &[of(OBJECT_IDENTIFIER, oid), of(0x0c, value)].concat()))
        };
        let all = [
            attribute(&[85, 4, 6], b"SE"),
            attribute(&[85, 4, 3], "M\u{fc}ller/x".as_bytes()),
            attribute(&[42, 134, 72, 134, 247, 13, 1, 9, 1], b"a@b"),
            attribute(&[43, 6, 1, 4, 1, 130, 55], b"?"),
        ]
        .concat();
        let text = name(Der(&all)).unwrap();
        assert_eq!(text, "/C=SE/CN=M\\xC3\\xBCller/x/emailAddress=a@b/1.3.6.1.4.1.311=?");
        for end in 1..all.len() {
            assert!(name(Der(&all[..end])).is_none_or(|part| text.starts_with(&part)), "{end}");
        }
        assert_eq!(Certificate::read(&all), None);
        assert_eq!(Certificate::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    /// One that was made for the tests of TLS.
    #[test]
    fn a_whole_certificate_is_read_and_no_piece_of_it() {
        let der = include_bytes!("tls/test-cert.der");
        let read = Certificate::read(der).unwrap();
        assert!(read.subject.starts_with('/') && read.issuer.starts_with('/'), "{read:?}");
        assert!(read.not_after > 1_700_000_000, "{read:?}");
        assert!((0..der.len()).all(|end| Certificate::read(&der[..end]).is_none()));
    }
}
