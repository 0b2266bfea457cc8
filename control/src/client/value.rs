//! A value of a row or a parameter, and how the binary protocol writes it.
//!
//! Rule: MySQL "Binary Protocol Value", "Binary Protocol Resultset Row".

use super::reply::ColumnDef;
use weir_net::error::Malformed;
use weir_net::reader::Reader;
use weir_net::writer::Put;

/// Text rows have only NULL and bytes; the other kinds come from and go into the binary protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
    /// DATE, DATETIME, TIMESTAMP.
    Date(Date),
    /// TIME.
    Time(Time),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub negative: bool,
    pub days: u32,
    pub hours: u8,
    pub minutes: u8,
    pub seconds: u8,
    pub micros: u32,
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Bytes(text.as_ref().as_bytes().to_vec())
    }

    /// None for NULL; numbers and bytes as text.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Int(value) => Some(value.to_string()),
            Value::UInt(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Double(value) => Some(value.to_string()),
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Date(value) => Some(format!("{value:?}")),
            Value::Time(value) => Some(format!("{value:?}")),
        }
    }

    /// The type that a parameter is bound as: low byte the type, high byte 0x80 for unsigned.
    pub fn bound_kind(&self) -> u16 {
        match self {
            Value::Null => KIND_NULL,
            Value::Int(_) => KIND_LONGLONG,
            Value::UInt(_) => KIND_LONGLONG | UNSIGNED,
            Value::Float(_) => KIND_FLOAT,
            Value::Double(_) => KIND_DOUBLE,
            Value::Bytes(_) => KIND_VAR_STRING,
            Value::Date(_) => KIND_DATETIME,
            Value::Time(_) => KIND_TIME,
        }
    }

    /// Appends what follows the types; NULL is in the bitmap and takes nothing.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Int(value) => out.put_u64(*value as u64),
            Value::UInt(value) => out.put_u64(*value),
            Value::Float(value) => out.put_bytes(&value.to_le_bytes()),
            Value::Double(value) => out.put_bytes(&value.to_le_bytes()),
            Value::Bytes(bytes) => out.put_lenenc_bytes(bytes),
            Value::Date(value) => value.encode(out),
            Value::Time(value) => value.encode(out),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::text(value)
    }
}

impl Date {
    fn decode(bytes: &[u8]) -> Result<Date, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut date = Date::default();
        if bytes.is_empty() {
            return Ok(date);
        }
        (date.year, date.month, date.day) = (reader.u16()?, reader.u8()?, reader.u8()?);
        if !reader.is_empty() {
            (date.hour, date.minute, date.second) = (reader.u8()?, reader.u8()?, reader.u8()?);
        }
        if !reader.is_empty() {
            date.micros = reader.u32()?;
        }
        end(&reader).map(|()| date)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(11);
        out.put_u16(self.year);
        out.put_bytes(&[self.month, self.day, self.hour, self.minute, self.second]);
        out.put_u32(self.micros);
    }
}

impl Time {
    fn decode(bytes: &[u8]) -> Result<Time, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut time = Time::default();
        if bytes.is_empty() {
            return Ok(time);
        }
        (time.negative, time.days) = (reader.u8()? != 0, reader.u32()?);
        (time.hours, time.minutes, time.seconds) = (reader.u8()?, reader.u8()?, reader.u8()?);
        if !reader.is_empty() {
            time.micros = reader.u32()?;
        }
        end(&reader).map(|()| time)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&[12, u8::from(self.negative)]);
        out.put_u32(self.days);
        out.put_bytes(&[self.hours, self.minutes, self.seconds]);
        out.put_u32(self.micros);
    }
}

pub fn decode_text_row(payload: &[u8], columns: usize) -> Result<Vec<Value>, Malformed> {
    let mut reader = Reader::new(payload);
    let mut row = Vec::with_capacity(columns);
    for _ in 0..columns {
        row.push(reader.cell()?.map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec())));
    }
    end(&reader).map(|()| row)
}

/// ```text
/// 0x00  null bitmap, two bits in  values
/// ```
pub fn decode_binary_row(payload: &[u8], columns: &[ColumnDef]) -> Result<Vec<Value>, Malformed> {
    let mut reader = Reader::new(payload);
    if reader.u8()? != 0 {
        return Err(Malformed("binary row without its 0x00"));
    }
    let nulls = reader.take((columns.len() + 2).div_ceil(8))?;
    let mut row = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let bit = at + 2;
        let is_null = nulls[bit / 8] & (1 << (bit % 8)) != 0;
        row.push(if is_null { Value::Null } else { decode(&mut reader, column)? });
    }
    end(&reader).map(|()| row)
}

fn decode(reader: &mut Reader<'_>, column: &ColumnDef) -> Result<Value, Malformed> {
    let is_unsigned = column.flags & weir_net::column::FLAG_UNSIGNED != 0;
    let integer = |signed: i64, unsigned: u64| if is_unsigned { Value::UInt(unsigned) } else { Value::Int(signed) };
    Ok(match u16::from(column.kind) {
        KIND_NULL => Value::Null,
        KIND_TINY => reader.u8().map(|value| integer(i64::from(value as i8), u64::from(value)))?,
        KIND_SHORT | KIND_YEAR => reader.u16().map(|value| integer(i64::from(value as i16), u64::from(value)))?,
        KIND_LONG | KIND_INT24 => reader.u32().map(|value| integer(i64::from(value as i32), u64::from(value)))?,
        KIND_LONGLONG => reader.u64().map(|value| integer(value as i64, value))?,
        KIND_FLOAT => Value::Float(f32::from_le_bytes(reader.array()?)),
        KIND_DOUBLE => Value::Double(f64::from_le_bytes(reader.array()?)),
        KIND_DATE | KIND_DATETIME | KIND_TIMESTAMP => Value::Date(Date::decode(short(reader)?)?),
        KIND_TIME => Value::Time(Time::decode(short(reader)?)?),
        _ => Value::Bytes(reader.lenenc_bytes()?.to_vec()),
    })
}

/// The one-byte length of dates and times, and so many bytes.
fn short<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = reader.u8()?;
    reader.take(usize::from(len))
}

fn end(reader: &Reader<'_>) -> Result<(), Malformed> {
    if reader.is_empty() { Ok(()) } else { Err(Malformed("bytes after the last value")) }
}

const UNSIGNED: u16 = 0x8000;
const KIND_TINY: u16 = 1;
const KIND_SHORT: u16 = 2;
const KIND_LONG: u16 = 3;
const KIND_FLOAT: u16 = 4;
const KIND_DOUBLE: u16 = 5;
const KIND_NULL: u16 = 6;
const KIND_TIMESTAMP: u16 = 7;
const KIND_LONGLONG: u16 = 8;
const KIND_INT24: u16 = 9;
const KIND_DATE: u16 = 10;
const KIND_TIME: u16 = 11;
const KIND_DATETIME: u16 = 12;
const KIND_YEAR: u16 = 13;
const KIND_VAR_STRING: u16 = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: u16) -> ColumnDef {
        let flags = if kind & UNSIGNED == 0 { 0 } else { weir_net::column::FLAG_UNSIGNED };
        ColumnDef { kind: kind as u8, flags, ..ColumnDef::default() }
    }

    #[test]
    fn what_is_bound_comes_back_from_a_binary_row() {
        let values = [
            Value::Int(-5),
            Value::Null,
            Value::UInt(u64::MAX),
            Value::Float(1.5),
            Value::Double(-2.25),
            Value::text("naïve"),
            Value::Date(Date { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 1, micros: 7 }),
            Value::Time(Time { negative: true, days: 34, hours: 22, minutes: 1, seconds: 2, micros: 3 }),
            Value::Null,
        ];
        let columns: Vec<ColumnDef> = values.iter().map(|value| column(value.bound_kind())).collect();
        // Bits 2 and up: columns 1 and 8 are NULL.
        let mut row = vec![0, 0b0000_1000, 0b0000_0100];
        for value in &values {
            value.encode(&mut row);
        }
        assert_eq!(decode_binary_row(&row, &columns).unwrap(), values);
        row.push(0);
        assert!(decode_binary_row(&row, &columns).is_err());
    }

    #[test]
    fn short_dates_and_narrow_integers() {
        let columns =
            [column(KIND_DATE), column(KIND_TIMESTAMP), column(KIND_TIME), column(KIND_TINY), column(KIND_SHORT)];
        let row = [0, 0, 4, 0xe8, 7, 1, 2, 0, 0, 0xff, 0xfe, 0xff];
        let date = Date { year: 2024, month: 1, day: 2, ..Date::default() };
        let expected = [
            Value::Date(date),
            Value::Date(Date::default()),
            Value::Time(Time::default()),
            Value::Int(-1),
            Value::Int(-2),
        ];
        assert_eq!(decode_binary_row(&row, &columns).unwrap(), expected);
        let mut text = Vec::new();
        weir_net::column::put_text_row(&mut text, &[Some(b"a"), None]);
        assert_eq!(decode_text_row(&text, 2).unwrap(), [Value::text("a"), Value::Null]);
        assert!(decode_text_row(&text, 1).is_err());
    }
}
