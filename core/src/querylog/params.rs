//! Parameters of an execute as texts, for a log that may show them.
//!
//! Source: MySQL "Binary Protocol Value". Long data is not in the command, and is not shown.

/// One per parameter, NULL as None. `types` is two bytes for each, with names behind each when `named`; what does not
/// fit together is shown as `?` from there on.
pub fn texts(count: u16, nulls: &[u8], types: &[u8], named: bool, values: &[u8]) -> Vec<Option<String>> {
    let (mut types, mut values) = (types, values);
    let mut shown = Vec::new();
    for at in 0..usize::from(count) {
        let Some(kind) = take_type(&mut types, named) else { break };
        let is_null = nulls.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        if is_null || kind.0 == 0x06 {
            shown.push(None);
            continue;
        }
        let Some(text) = value(kind, &mut values) else { break };
        shown.push(Some(text));
    }
    shown.resize(usize::from(count), Some("?".to_string()));
    shown
}

/// The type, and whether it is unsigned.
fn take_type(types: &mut &[u8], named: bool) -> Option<(u8, bool)> {
    let &[kind, flags] = take(types, 2)? else { return None };
    if named {
        let len = take_length(types)?;
        take(types, len)?;
    }
    Some((kind, flags & 0x80 != 0))
}

fn value((kind, unsigned): (u8, bool), values: &mut &[u8]) -> Option<String> {
    let text = match kind {
        0x01 | 0xf4 => integer(take(values, 1)?, unsigned),
        0x02 | 0x0d => integer(take(values, 2)?, unsigned),
        0x03 | 0x09 => integer(take(values, 4)?, unsigned),
        0x08 => integer(take(values, 8)?, unsigned),
        0x04 => f32::from_le_bytes(take(values, 4)?.try_into().ok()?).to_string(),
        0x05 => f64::from_le_bytes(take(values, 8)?.try_into().ok()?).to_string(),
        0x07 | 0x0a | 0x0c => date(values)?,
        0x0b => time(values)?,
        _ => {
            let len = take_length(values)?;
            let bytes = take(values, len)?;
            let cut = bytes.get(..BYTES_MAX).unwrap_or(bytes);
            let mark = if cut.len() < bytes.len() { "…" } else { "" };
            format!("{}{mark}", String::from_utf8_lossy(cut))
        }
    };
    Some(text)
}

fn integer(bytes: &[u8], unsigned: bool) -> String {
    let sign = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut whole = [if sign && !unsigned { 0xff } else { 0 }; 8];
    whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    if unsigned { u64::from_le_bytes(whole).to_string() } else { i64::from_le_bytes(whole).to_string() }
}

fn date(values: &mut &[u8]) -> Option<String> {
    let len = usize::from(*take(values, 1)?.first()?);
    let mut all = [0u8; 11];
    all.get_mut(..len)?.copy_from_slice(take(values, len)?);
    let year = u16::from_le_bytes([all[0], all[1]]);
    let day = format!("{year:04}-{:02}-{:02}", all[2], all[3]);
    Some(if len <= 4 { day } else { format!("{day} {:02}:{:02}:{:02}{}", all[4], all[5], all[6], micros(&all[7..])) })
}

fn time(values: &mut &[u8]) -> Option<String> {
    let len = usize::from(*take(values, 1)?.first()?);
    let mut all = [0u8; 12];
    all.get_mut(..len)?.copy_from_slice(take(values, len)?);
    let sign = if all[0] == 1 { "-" } else { "" };
    let days = u64::from(u32::from_le_bytes([all[1], all[2], all[3], all[4]]));
    let hours = days * 24 + u64::from(all[5]);
    Some(format!("{sign}{hours:02}:{:02}:{:02}{}", all[6], all[7], micros(&all[8..])))
}

fn micros(bytes: &[u8]) -> String {
    match bytes.try_into().map(u32::from_le_bytes) {
        Ok(micros) if micros > 0 => format!(".{micros:06}"),
        _ => String::new(),
    }
}

/// A length-encoded number.
fn take_length(from: &mut &[u8]) -> Option<usize> {
    let first = *take(from, 1)?.first()?;
    let more = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xfb | 0xff => return None,
        short => return Some(usize::from(short)),
    };
    let mut whole = [0u8; 8];
    whole.iter_mut().zip(take(from, more)?).for_each(|(to, from)| *to = *from);
    usize::try_from(u64::from_le_bytes(whole)).ok()
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (front, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(front)
}

/// Of one parameter in the log.
const BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_shown() {
        let cases: [(u8, u8, &[u8], &str); 12] = [
            (0x01, 0, &[0xff], "-1"),
            (0x01, 0x80, &[0xff], "255"),
            (0x02, 0, &[0xfe, 0xff], "-2"),
            (0x03, 0, &[7, 0, 0, 0], "7"),
            (0x08, 0x80, &[0xff; 8], "18446744073709551615"),
            (0x04, 0, &[0, 0, 0xc0, 0x3f], "1.5"),
            (0x05, 0, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5"),
            (0xfd, 0, b"\x05it's!", "it's!"),
            (0x0a, 0, &[4, 0xe8, 7, 2, 29], "2024-02-29"),
            (0x0c, 0, &[11, 0xe8, 7, 2, 29, 1, 2, 3, 4, 0, 0, 0], "2024-02-29 01:02:03.000004"),
            (0x0c, 0, &[0], "0000-00-00"),
            (0x0b, 0, &[8, 1, 1, 0, 0, 0, 2, 3, 4], "-26:03:04"),
        ];
        for (kind, flags, bytes, shown) in cases {
            assert_eq!(texts(1, &[0], &[kind, flags], false, bytes), [Some(shown.to_string())], "{kind:#x}");
            assert_eq!(texts(1, &[0], &[kind, flags, 1, b'n'], true, bytes), [Some(shown.to_string())], "{kind:#x}");
            assert_eq!(texts(1, &[1], &[kind, flags], false, &[]), [None], "{kind:#x}");
            for cut in 0..bytes.len() {
                let broken = texts(2, &[0], &[kind, flags, kind, flags], false, &bytes[..cut]);
                assert_eq!(broken, vec![Some("?".to_string()); 2], "{kind:#x} {cut}");
            }
        }
        assert_eq!(texts(2, &[0], &[1, 0, 1, 0], false, &[5]), [Some("5".to_string()), Some("?".to_string())]);
        let long = [&[0xfc, 0xff, 1][..], &[b'x'; 511]].concat();
        let shown = texts(1, &[0], &[0xfd, 0], false, &long).remove(0).unwrap();
        assert_eq!(shown, format!("{}…", "x".repeat(BYTES_MAX)));
    }
}
