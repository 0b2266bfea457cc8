//! The statement: the binary protocol as far as a proxy must look into it.
//!
//! Invariant: values of parameters are copied, never read. A `body` is a command's payload after the command byte.
//!
//! Rules: MySQL "COM_STMT_PREPARE Response", "COM_STMT_EXECUTE".

use crate::command::Command;
use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::limits::ATTRIBUTES_MAX;
use crate::packet::HEADER_BYTES;
use crate::reader::Reader;
use crate::writer::Put;

/// What is wrong with an execute that brings fewer values than its statement has parameters; MySQL has words of its own for it.
pub const PARAMETERS_MISCOUNTED: &str = "wrong number of parameters";

/// The bits of [`ExecuteHead::flags`] that ask for a cursor.
pub const CURSOR_FLAGS: u8 = 0x07;
/// A parameter count is there even when the statement has no parameters.
pub const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;

/// ```text
/// 0x00  statement_id  columns  params  filler  warnings
///   1        4           2       2       1        2
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOk {
    pub statement_id: u32,
    pub columns: u16,
    pub params: u16,
    pub warnings: u16,
}

impl PrepareOk {
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 0 {
            return Err(Malformed("not a prepare-OK packet"));
        }
        let (statement_id, columns, params) = (reader.u32()?, reader.u16()?, reader.u16()?);
        reader.u8()?;
        // Servers before 5.0 ended here.
        let warnings = if reader.is_empty() { 0 } else { reader.u16()? };
        Ok(Self { statement_id, columns, params, warnings })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(0);
        out.put_u32(self.statement_id);
        out.put_u16(self.columns);
        out.put_u16(self.params);
        out.put_u8(0);
        out.put_u16(self.warnings);
    }
}

/// Writes another id into a whole packet (header included) whose payload has it after the first byte: a prepare-OK,
/// and the commands execute, fetch, reset, close, send long data. A packet that is too short is left alone.
pub fn patch_statement_id(packet: &mut [u8], id: u32) {
    let at = HEADER_BYTES.wrapping_add(1);
    if let Some(bytes) = packet.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<4>()) {
        *bytes = id.to_le_bytes();
    }
}

/// The id that a statement command's body begins with.
pub fn statement_id(body: &[u8]) -> Result<u32, Malformed> {
    Reader::new(body).u32()
}

/// Appends the payload of a close or reset.
pub fn put_statement_command(out: &mut Vec<u8>, command: Command, id: u32) {
    out.put_u8(command.to_byte());
    out.put_u32(id);
}

/// ```text
/// statement_id  flags  iterations  [count]  null bitmap  bound  [(type [name])*]  values
///      4          1        4        lenenc                 1        2   lenenc
/// ```
/// Count and names exist with `QUERY_ATTRIBUTES`. Everything after `iterations` is missing when the statement has no
/// parameters, unless the flags say that a count is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecuteHead<'a> {
    pub statement_id: u32,
    /// Cursor bits and [`PARAMETER_COUNT_AVAILABLE`].
    pub flags: u8,
    pub iterations: u32,
    /// Parameters and query attributes together.
    pub count: u64,
    pub nulls: &'a [u8],
    /// Offset in the body of the byte that says whether types follow; 0 when there are no parameters.
    pub bound_at: usize,
    /// The block of types as it came, with names under `QUERY_ATTRIBUTES`.
    pub types: Option<&'a [u8]>,
    pub values: &'a [u8],
}

impl<'a> ExecuteHead<'a> {
    /// `params` is what the prepare said, `caps` are those of the connection that the body came from.
    pub fn decode(body: &'a [u8], params: u16, caps: Capabilities) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let (statement_id, flags, iterations) = (reader.u32()?, reader.u8()?, reader.u32()?);
        let mut head =
            Self { statement_id, flags, iterations, count: 0, nulls: &[], bound_at: 0, types: None, values: &[] };
        let named = caps.contains(Capabilities::QUERY_ATTRIBUTES);
        if params == 0 && !(named && flags & PARAMETER_COUNT_AVAILABLE != 0) {
            return Ok(head);
        }
        head.count = if named { reader.lenenc()? } else { u64::from(params) };
        if head.count < u64::from(params) || head.count > ATTRIBUTES_MAX {
            return Err(Malformed(PARAMETERS_MISCOUNTED));
        }
        if head.count == 0 {
            return Ok(head);
        }
        head.nulls = reader.take(head.count.div_ceil(8) as usize)?;
        head.bound_at = body.len().saturating_sub(reader.remaining());
        if reader.u8()? != 0 {
            let mut ahead = reader;
            skip_types(&mut ahead, head.count, named)?;
            let len = reader.remaining().saturating_sub(ahead.remaining());
            head.types = Some(reader.take(len)?);
        }
        head.values = reader.rest();
        Ok(head)
    }
}

/// Writes the payload (with the command byte) of an execute for the backend's connection from the client's `body`.
///
/// `types` is a block of an earlier execute of the same client, kept as it came; it goes in where this one has none,
/// because the backend's connection may not have seen it. A backend without `QUERY_ATTRIBUTES` gets the parameters
/// only: the attributes' values stay at the end, where servers look no more, as only they know whether a value was
/// sent ahead as long data.
pub fn rebuild_execute(
    out: &mut Vec<u8>,
    body: &[u8],
    params: u16,
    client_caps: Capabilities,
    backend_caps: Capabilities,
    backend_id: u32,
    types: Option<&[u8]>,
) -> Result<(), Malformed> {
    let head = ExecuteHead::decode(body, params, client_caps)?;
    let named_before = client_caps.contains(Capabilities::QUERY_ATTRIBUTES);
    let named = backend_caps.contains(Capabilities::QUERY_ATTRIBUTES);
    let keeps_attributes = named_before && named;
    // Without a count from the client the flag would announce what is not there.
    let flags = if keeps_attributes { head.flags } else { head.flags & !PARAMETER_COUNT_AVAILABLE };
    out.put_u8(Command::StmtExecute.to_byte());
    out.put_u32(backend_id);
    out.put_u8(flags);
    out.put_u32(head.iterations);
    let count = if keeps_attributes { head.count } else { u64::from(params) };
    if named && (params > 0 || flags & PARAMETER_COUNT_AVAILABLE != 0) {
        out.put_lenenc(count);
    }
    if count == 0 {
        return Ok(());
    }
    let nulls = head.nulls.get(..count.div_ceil(8) as usize).unwrap_or(head.nulls);
    out.put_bytes(nulls);
    match head.types.or(types) {
        None => out.put_u8(0),
        Some(types) => {
            out.put_u8(1);
            put_types(out, types, count, named_before, named)?;
        }
    }
    out.put_bytes(head.values);
    Ok(())
}

/// Copies `count` types, and adds or leaves out their names.
fn put_types(out: &mut Vec<u8>, types: &[u8], count: u64, named_before: bool, named: bool) -> Result<(), Malformed> {
    let mut reader = Reader::new(types);
    for _ in 0..count {
        out.put_u16(reader.u16()?);
        let name = if named_before { reader.lenenc_bytes()? } else { &[] };
        if named {
            out.put_lenenc_bytes(name);
        }
    }
    Ok(())
}

fn skip_types(reader: &mut Reader<'_>, count: u64, named: bool) -> Result<(), Malformed> {
    for _ in 0..count {
        reader.u16()?;
        if named {
            reader.lenenc_bytes()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
