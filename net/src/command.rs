//! The command: the first byte of what a client asks, and the parts of the few that a proxy must look into.
//!
//! Invariant: a `body` is a command's payload after the command byte; what `encode` and `put_…` write is the whole
//! payload with it.
//!
//! Rules: MySQL "Command Phase", "COM_QUERY", "COM_CHANGE_USER".

use std::ops::Range;

use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::limits::ATTRIBUTES_MAX;
use crate::login::name;
use crate::reader::Reader;
use crate::writer::Put;

/// Rule: MySQL "my_command.h".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    Sleep = 0,
    Quit = 1,
    InitDb,
    Query,
    FieldList,
    CreateDb,
    DropDb,
    Refresh,
    Shutdown,
    Statistics,
    ProcessInfo,
    Connect,
    ProcessKill,
    Debug,
    Ping,
    Time,
    DelayedInsert,
    ChangeUser,
    BinlogDump,
    TableDump,
    ConnectOut,
    RegisterSlave,
    StmtPrepare,
    StmtExecute,
    StmtSendLongData,
    StmtClose,
    StmtReset,
    SetOption,
    StmtFetch,
    Daemon,
    BinlogDumpGtid,
    ResetConnection,
    Clone,
    SubscribeGroupReplicationStream,
}

impl Command {
    /// `None` for a command that MySQL does not have (yet).
    pub fn from_byte(byte: u8) -> Option<Self> {
        COMMANDS.get(usize::from(byte)).copied()
    }

    pub fn to_byte(self) -> u8 {
        self as u8
    }
}

/// Every command at the place of its number.
const COMMANDS: [Command; 34] = [
    Command::Sleep,
    Command::Quit,
    Command::InitDb,
    Command::Query,
    Command::FieldList,
    Command::CreateDb,
    Command::DropDb,
    Command::Refresh,
    Command::Shutdown,
    Command::Statistics,
    Command::ProcessInfo,
    Command::Connect,
    Command::ProcessKill,
    Command::Debug,
    Command::Ping,
    Command::Time,
    Command::DelayedInsert,
    Command::ChangeUser,
    Command::BinlogDump,
    Command::TableDump,
    Command::ConnectOut,
    Command::RegisterSlave,
    Command::StmtPrepare,
    Command::StmtExecute,
    Command::StmtSendLongData,
    Command::StmtClose,
    Command::StmtReset,
    Command::SetOption,
    Command::StmtFetch,
    Command::Daemon,
    Command::BinlogDumpGtid,
    Command::ResetConnection,
    Command::Clone,
    Command::SubscribeGroupReplicationStream,
];

/// Where the text of a `COM_QUERY` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParts {
    /// Bytes of the block of attributes in front of the text; 0 without `QUERY_ATTRIBUTES`.
    pub attributes_len: usize,
    pub attribute_count: u64,
    /// The text, as a part of the body.
    pub text: Range<usize>,
}

/// ```text
/// attribute_count  set_count=1  [null bitmap  bound=1  (type name)*  values]  text
///     lenenc          lenenc                     1      2   lenenc
/// ```
/// `caps` are those of the connection that the body came from; without `QUERY_ATTRIBUTES` it is all text.
#[inline]
pub fn query_text(body: &[u8], caps: Capabilities) -> Result<QueryParts, Malformed> {
    let (mut attribute_count, mut attributes_len) = (0, 0);
    if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
        let mut reader = Reader::new(body);
        attribute_count = skip_attributes(&mut reader)?;
        attributes_len = body.len().saturating_sub(reader.remaining());
    }
    Ok(QueryParts { attributes_len, attribute_count, text: attributes_len..body.len() })
}

/// Starts a `COM_QUERY` without attributes: the text follows.
pub fn put_query_head(out: &mut Vec<u8>, caps: Capabilities) {
    out.put_u8(Command::Query.to_byte());
    if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
        out.put_bytes(&[0, 1]);
    }
}

fn skip_attributes(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let count = reader.lenenc()?;
    if reader.lenenc()? != 1 {
        return Err(Malformed("more than one set of query attributes"));
    }
    if count == 0 {
        return Ok(0);
    }
    if count > ATTRIBUTES_MAX {
        return Err(Malformed("too many query attributes"));
    }
    let nulls = reader.take(count.div_ceil(8) as usize)?;
    if reader.u8()? != 1 {
        return Err(Malformed("query attributes without types"));
    }
    let mut types = *reader;
    for _ in 0..count {
        reader.u16()?;
        reader.lenenc_bytes()?;
    }
    for index in 0..count {
        let kind = types.u16()?;
        types.lenenc_bytes()?;
        if !is_null(nulls, index) {
            skip_value(reader, kind)?;
        }
    }
    Ok(count)
}

pub(crate) fn is_null(bitmap: &[u8], index: u64) -> bool {
    let byte = bitmap.get((index / 8) as usize).copied().unwrap_or(0);
    byte & (1 << (index % 8)) != 0
}

/// The low byte is the type, the high one says unsigned. Everything that is not listed carries its length.
/// Rule: MySQL "Binary Protocol Value".
pub(crate) fn skip_value(reader: &mut Reader<'_>, kind: u16) -> Result<(), Malformed> {
    let len = match kind & 0xff {
        TYPE_TINY => 1,
        TYPE_SHORT => 2,
        TYPE_LONG | TYPE_FLOAT => 4,
        TYPE_LONGLONG | TYPE_DOUBLE => 8,
        _ => return reader.lenenc_bytes().map(|_| ()),
    };
    reader.take(len).map(|_| ())
}

const TYPE_TINY: u16 = 1;
const TYPE_SHORT: u16 = 2;
const TYPE_LONG: u16 = 3;
const TYPE_FLOAT: u16 = 4;
const TYPE_DOUBLE: u16 = 5;
const TYPE_LONGLONG: u16 = 8;

/// ```text
/// user  auth_len  auth  schema  charset  plugin  attributes_len  attributes
/// NUL      1             NUL       2      NUL       lenenc
/// ```
/// Old clients end after the schema or the charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    pub user: &'a [u8],
    pub auth: &'a [u8],
    /// Empty: no default schema.
    pub schema: &'a [u8],
    /// 0 when the client named none.
    pub charset: u16,
    pub plugin: Option<&'a [u8]>,
    /// Connect attributes: pairs of length-encoded strings, without the length of the whole.
    pub attributes: &'a [u8],
}

impl<'a> ChangeUser<'a> {
    pub fn decode(body: &'a [u8], caps: Capabilities) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let user = name(reader.nul_bytes()?);
        let auth = if caps.contains(Capabilities::SECURE_CONNECTION) {
            let len = reader.u8()?;
            reader.take(usize::from(len))?
        } else {
            reader.nul_bytes()?
        };
        let schema = name(reader.nul_bytes()?);
        let mut request = Self { user, auth, schema, charset: 0, plugin: None, attributes: &[] };
        if !reader.is_empty() {
            request.charset = reader.u16()?;
        }
        if caps.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty() {
            request.plugin = Some(reader.nul_bytes()?);
        }
        if caps.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            request.attributes = reader.lenenc_bytes()?;
        }
        Ok(request)
    }

    /// Appends the whole payload. An `auth` above 255 bytes cannot be said in this command and is refused.
    pub fn encode(&self, out: &mut Vec<u8>, caps: Capabilities) -> Result<(), Malformed> {
        out.put_u8(Command::ChangeUser.to_byte());
        out.put_nul_bytes(self.user);
        if caps.contains(Capabilities::SECURE_CONNECTION) {
            let len = u8::try_from(self.auth.len()).map_err(|_| Malformed("authentication data above 255 bytes"))?;
            out.put_u8(len);
            out.put_bytes(self.auth);
        } else {
            out.put_nul_bytes(self.auth);
        }
        out.put_nul_bytes(self.schema);
        out.put_u16(self.charset);
        if caps.contains(Capabilities::PLUGIN_AUTH) {
            out.put_nul_bytes(self.plugin.unwrap_or_default());
        }
        if caps.contains(Capabilities::CONNECT_ATTRS) {
            out.put_lenenc_bytes(self.attributes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
