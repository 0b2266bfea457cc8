//! Until when a certificate holds, read from its file as it is now: a file that was replaced is taken up by who uses it.
//!
//! ```text
//!   Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity SEQUENCE { notBefore, notAfter }, … } … }
//! ```
//! Rule: RFC 5280, 4.1. It verifies nothing.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;

/// Seconds since 1970 of the first certificate in a PEM file. None: it is none, or cannot be read.
pub fn expiry(file: &Path) -> Option<i64> {
    let first = CertificateDer::pem_file_iter(file).ok()?.next()?.ok()?;
    not_after(&first)
}

fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        (_, _, rest) = element(rest)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows. Longer forms of length than four bytes are of no certificate.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (years from 1950) or `YYYYMMDDHHMMSSZ`.
fn moment(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i64>().ok();
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (number(0..2).map(|year| if year < 50 { 2_000 + year } else { 1_900 + year })?, 2),
        (GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let part = |at: usize| number(rest + 2 * at..rest + 2 * at + 2);
    let (month, day) = (part(0)?, part(1)?);
    Some(days(year, month, day) * 86_400 + part(2)? * 3_600 + part(3)? * 60 + part(4)?)
}

/// Since 1970-01-01. Years begin in March here, so that a leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn ends_of_certificates_are_read() {
        for (year, month, day, wanted) in [
            (2026, 11, 26, 1_795_651_200),
            (2049, 12, 31, 2_524_521_600),
            // From 2050 on the time has another form.
            (2051, 2, 28, 2_561_155_200),
            (4096, 2, 29, 67_095_216_000),
        ] {
            let mut params = CertificateParams::new(vec!["gate.example".to_string()]).unwrap();
            params.not_after = date_time_ymd(year, month, day);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()), Some(wanted), "{year}-{month}-{day}");
            // Nothing that is cut off is read beyond its end.
            for length in 0..certificate.der().len().min(300) {
                let _ = not_after(&certificate.der()[..length]);
            }
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        assert_eq!(moment(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(moment(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        for (tag, text) in
            [(UTC_TIME, "700101000000"), (UTC_TIME, "7001010000Z"), (2, "700101000000Z"), (UTC_TIME, "7é0101000000Z")]
        {
            assert_eq!(moment(tag, text), None, "{text}");
        }
        assert_eq!(expiry(Path::new("/nowhere/cert.pem")), None);
    }
}
