//! The bind: typed parameters as the binary protocol has them.
//!
//! Invariant: what a script can say, this encodes; a value that doesn't fit its type is a mistake in the script.
//! Rules: MySQL "COM_STMT_EXECUTE", "Binary Protocol Value", "COM_QUERY" (attributes).

use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

use super::text;

/// One parameter: `i32:5`, `str:'x'`, `null:str`, `long:blob`, or an attribute `name=str:'x'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: Vec<u8>,
    /// The type, with 0x8000 for unsigned.
    pub kind: u16,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    /// Sent ahead by `COM_STMT_SEND_LONG_DATA`.
    Long,
    /// As it is sent.
    Bytes(Vec<u8>),
}

impl Param {
    pub fn read(word: &str) -> Result<Param, String> {
        let (name, word) = match word.split_once('=') {
            Some((name, rest)) if !name.contains(':') => (name, rest),
            _ => ("", word),
        };
        let (kind, value) = word.split_once(':').ok_or_else(|| format!("{word:?} wants type:value"))?;
        let param = |kind: u16, value| Param { name: name.as_bytes().to_vec(), kind, value };
        match kind {
            "null" => Ok(param(kind_of(value)?, Value::Null)),
            "long" => Ok(param(kind_of(value)?, Value::Long)),
            _ => Ok(param(kind_of(kind)?, Value::Bytes(encode(kind, value)?))),
        }
    }
}

/// The payload of a query; its attributes go only where they can.
pub fn query(params: &[Param], sql: &[u8], capabilities: Capabilities) -> Vec<u8> {
    let mut out = vec![Command::Query.to_byte()];
    if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
        out.put_lenenc(params.len() as u64);
        out.put_lenenc(1);
        if !params.is_empty() {
            put_params(&mut out, params, true, true);
        }
    }
    out.put_bytes(sql);
    out
}

/// The payload of an execute.
pub fn execute(id: u32, is_cursor: bool, keeps_types: bool, params: &[Param], capabilities: Capabilities) -> Vec<u8> {
    let mut out = vec![Command::StmtExecute.to_byte()];
    out.put_u32(id);
    out.put_u8(u8::from(is_cursor));
    out.put_u32(1);
    if !params.is_empty() {
        let is_named = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        if is_named {
            out.put_lenenc(params.len() as u64);
        }
        put_params(&mut out, params, !keeps_types, is_named);
    }
    out
}

fn put_params(out: &mut Vec<u8>, params: &[Param], with_types: bool, is_named: bool) {
    let mut nulls = vec![0u8; params.len().div_ceil(8)];
    for (at, _) in params.iter().enumerate().filter(|(_, param)| param.value == Value::Null) {
        nulls[at / 8] |= 1 << (at % 8);
    }
    out.put_bytes(&nulls);
    out.put_u8(u8::from(with_types));
    if with_types {
        for param in params {
            out.put_u16(param.kind);
            if is_named {
                out.put_lenenc_bytes(&param.name);
            }
        }
    }
    for param in params {
        if let Value::Bytes(bytes) = &param.value {
            out.put_bytes(bytes);
        }
    }
}

fn kind_of(name: &str) -> Result<u16, String> {
    const UNSIGNED: u16 = 0x8000;
    Ok(match name {
        "i8" => 1,
        "u8" => 1 | UNSIGNED,
        "i16" => 2,
        "u16" => 2 | UNSIGNED,
        "i32" => 3,
        "u32" => 3 | UNSIGNED,
        "f32" => 4,
        "f64" => 5,
        "nothing" => 6,
        "timestamp" => 7,
        "i64" => 8,
        "u64" => 8 | UNSIGNED,
        "date" => 10,
        "time" => 11,
        "datetime" => 12,
        "bit" => 16,
        "json" => 245,
        "dec" => 246,
        "blob" => 252,
        "str" => 253,
        "char" => 254,
        _ => return Err(format!("no type {name:?}")),
    })
}

fn encode(kind: &str, value: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{value:?} is no {kind}");
    macro_rules! number {
        ($int:ty) => {
            value.parse::<$int>().map_err(|_| wrong())?.to_le_bytes().to_vec()
        };
    }
    Ok(match kind {
        "i8" => number!(i8),
        "u8" => number!(u8),
        "i16" => number!(i16),
        "u16" => number!(u16),
        "i32" => number!(i32),
        "u32" => number!(u32),
        "i64" => number!(i64),
        "u64" => number!(u64),
        "f32" => number!(f32),
        "f64" => number!(f64),
        "date" | "datetime" | "timestamp" => date(value).ok_or_else(wrong)?,
        "time" => time(value).ok_or_else(wrong)?,
        _ => {
            let mut out = Vec::new();
            out.put_lenenc_bytes(&text::unescape(value)?);
            out
        }
    })
}

/// `2024-02-29`, `2024-02-29 01:02:03`, with a fraction or not; the shorter ones are shorter on the wire too. An empty
/// text is the zero date.
fn date(value: &str) -> Option<Vec<u8>> {
    if value.is_empty() {
        return Some(vec![0]);
    }
    let (day, clock) = value.split_once(' ').unwrap_or((value, ""));
    let mut parts = day.split('-');
    let mut out = parts.next()?.parse::<u16>().ok()?.to_le_bytes().to_vec();
    out.push(parts.next()?.parse().ok()?);
    out.push(parts.next()?.parse().ok()?);
    if !clock.is_empty() {
        out.extend(clock_bytes(clock)?);
    }
    out.insert(0, out.len() as u8);
    Some(out)
}

/// `-34 22:59:59.123456`: days may be left out, and the sign, and the fraction.
fn time(value: &str) -> Option<Vec<u8>> {
    if value.is_empty() {
        return Some(vec![0]);
    }
    let (sign, rest) = value.strip_prefix('-').map_or((0, value), |rest| (1, rest));
    let (days, clock) = rest.split_once(' ').unwrap_or(("0", rest));
    let mut out = vec![sign];
    out.extend_from_slice(&days.parse::<u32>().ok()?.to_le_bytes());
    out.extend(clock_bytes(clock)?);
    out.insert(0, out.len() as u8);
    Some(out)
}

fn clock_bytes(clock: &str) -> Option<Vec<u8>> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut out = whole.split(':').map(|part| part.parse().ok()).collect::<Option<Vec<u8>>>()?;
    if !fraction.is_empty() {
        out.extend_from_slice(&format!("{fraction:0<6}").parse::<u32>().ok()?.to_le_bytes());
    }
    (out.len() == 3 || out.len() == 7).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_protocols_bytes() {
        let check = |word: &str, kind: u16, bytes: &[u8]| {
            let param = Param::read(word).unwrap();
            assert_eq!((param.kind, param.value), (kind, Value::Bytes(bytes.to_vec())), "{word}");
        };
        check("i16:-2", 2, &[0xfe, 0xff]);
        check("u8:200", 0x8001, &[200]);
        check("str:ab", 253, &[2, b'a', b'b']);
        check("date:2024-02-29", 10, &[4, 0xe8, 7, 2, 29]);
        check("datetime:2024-02-29 01:02:03.5", 12, &[11, 0xe8, 7, 2, 29, 1, 2, 3, 0x20, 0xa1, 7, 0]);
        check("time:-1 02:03:04", 11, &[8, 1, 1, 0, 0, 0, 2, 3, 4]);
        check("date:", 10, &[0]);
        assert_eq!(Param::read("null:str").unwrap().value, Value::Null);
        assert_eq!(Param::read("n=i8:1").unwrap().name, b"n");
        for wrong in ["5", "i8:300", "date:x", "foo:1"] {
            assert!(Param::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_execute_is_laid_out() {
        let params = [Param::read("null:i8").unwrap(), Param::read("i8:5").unwrap()];
        let payload = execute(1, true, false, &params, Capabilities::empty());
        assert_eq!(payload, [0x17, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 5]);
        let payload = execute(1, false, true, &params, Capabilities::QUERY_ATTRIBUTES);
        assert_eq!(payload, [0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 5]);
    }
}
