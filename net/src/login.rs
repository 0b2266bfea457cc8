//! The login: the client's answer to the greeting, and the short form of it that asks for TLS first.
//!
//! ```text
//! caps 4 | max packet 4 | charset 1 | 23 zeros |                                  <- 32 bytes: a TLS request ends here
//! user NUL | len, auth response | [schema NUL] | [plugin NUL] | [len, attributes] | [zstd level]
//! ```
//! Invariant: what [`Login::encode`] writes has exactly the optional parts that the capabilities in it promise.
//! The form of before 4.1 (no `PROTOCOL_41`) is refused.
//! Rule: MySQL "Protocol::HandshakeResponse41", "Protocol::SSLRequest".

use crate::error::Malformed;
use crate::flags::Capabilities;
use crate::limits::{CONNECT_ATTRIBUTES_BYTES_MAX, CONNECT_ATTRIBUTES_MAX, NAME_BYTES_MAX};
use crate::reader::Reader;
use crate::writer::Put;

/// Payload bytes of a TLS request; the packet has 36.
pub const TLS_REQUEST_BYTES: usize = 32;
const FILLER_BYTES: usize = 23;

/// Name and value of each connect attribute, in the client's order.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    pub capabilities: Capabilities,
    /// The longest packet that the client takes, in bytes. Servers don't heed it.
    pub max_packet: u32,
    /// The number of the collation; the protocol has one byte for it.
    pub charset: u8,
    pub user: Vec<u8>,
    pub auth: Vec<u8>,
    pub schema: Option<Vec<u8>>,
    /// The plugin that `auth` was made for. `None` means `mysql_native_password`.
    pub plugin: Option<Vec<u8>>,
    pub attributes: Attributes,
    pub zstd_level: u8,
}

impl Login {
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let capabilities = Capabilities(u64::from(reader.u32()?));
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(Malformed("login of before protocol 4.1"));
        }
        let max_packet = reader.u32()?;
        let charset = reader.u8()?;
        reader.take(FILLER_BYTES)?;
        let user = name(reader.nul_bytes()?).to_vec();
        let auth = read_auth(&mut reader, capabilities)?.to_vec();
        let schema = if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            // An empty name is no name: the server too selects no schema then.
            Some(name(reader.nul_bytes()?).to_vec()).filter(|name| !name.is_empty())
        } else {
            None
        };
        let plugin = capabilities.contains(Capabilities::PLUGIN_AUTH).then(|| {
            // The server takes a login that ends here, or whose last name lacks its NUL.
            reader.nul_bytes().unwrap_or_else(|_| reader.rest()).to_vec()
        });
        let attributes = if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            read_attributes(reader.lenenc_bytes()?)?
        } else {
            Vec::new()
        };
        let zstd_level =
            if capabilities.contains(Capabilities::ZSTD_COMPRESSION) && !reader.is_empty() { reader.u8()? } else { 0 };
        Ok(Self { capabilities, max_packet, charset, user, auth, schema, plugin, attributes, zstd_level })
    }

    /// Appends the payload. The flags for the optional parts follow from what there is to say.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let capabilities = self.capabilities_sent();
        put_head(out, capabilities, self.max_packet, self.charset);
        out.put_nul_bytes(&self.user);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
            out.put_lenenc_bytes(&self.auth);
        } else {
            let (auth, _) = self.auth.split_at(self.auth.len().min(0xff));
            out.put_u8(auth.len() as u8);
            out.put_bytes(auth);
        }
        if let Some(schema) = &self.schema {
            out.put_nul_bytes(schema);
        }
        if let Some(plugin) = &self.plugin {
            out.put_nul_bytes(plugin);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_attributes(out, &self.attributes);
        }
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION) {
            out.put_u8(self.zstd_level);
        }
    }

    /// The capabilities as [`Login::encode`] writes them: what the connection has negotiated.
    pub fn capabilities_sent(&self) -> Capabilities {
        let optional = Capabilities::CONNECT_WITH_DB | Capabilities::PLUGIN_AUTH;
        let mut sent = self.capabilities.minus(optional);
        sent = sent | Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
        if self.schema.is_some() {
            sent = sent | Capabilities::CONNECT_WITH_DB;
        }
        if self.plugin.is_some() {
            sent = sent | Capabilities::PLUGIN_AUTH;
        }
        sent
    }
}

/// The capabilities of a TLS request, or `None` when the payload is not one. What follows its packet on the wire is
/// TLS already.
pub fn is_tls_request(payload: &[u8]) -> Option<Capabilities> {
    let capabilities = Capabilities(u64::from(Reader::new(payload).u32().ok()?));
    let wanted = Capabilities::SSL | Capabilities::PROTOCOL_41;
    (payload.len() == TLS_REQUEST_BYTES && capabilities.contains(wanted)).then_some(capabilities)
}

/// Appends the payload of a TLS request; the login that follows over TLS repeats these three.
pub fn put_tls_request(out: &mut Vec<u8>, capabilities: Capabilities, max_packet: u32, charset: u8) {
    put_head(out, capabilities | Capabilities::SSL | Capabilities::PROTOCOL_41, max_packet, charset);
}

fn put_head(out: &mut Vec<u8>, capabilities: Capabilities, max_packet: u32, charset: u8) {
    let [a, b, c, d, ..] = capabilities.0.to_le_bytes();
    out.put_bytes(&[a, b, c, d]);
    out.put_u32(max_packet);
    out.put_u8(charset);
    out.put_bytes(&[0; FILLER_BYTES]);
}

/// As much of a name as can be one.
pub(crate) fn name(sent: &[u8]) -> &[u8] {
    sent.get(..NAME_BYTES_MAX).unwrap_or(sent)
}

fn read_auth<'a>(reader: &mut Reader<'a>, capabilities: Capabilities) -> Result<&'a [u8], Malformed> {
    if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
        reader.lenenc_bytes()
    } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
        let len = reader.u8()?;
        reader.take(usize::from(len))
    } else {
        reader.nul_bytes()
    }
}

fn read_attributes(block: &[u8]) -> Result<Attributes, Malformed> {
    if block.len() > CONNECT_ATTRIBUTES_BYTES_MAX {
        return Err(Malformed("connect attributes above 64 KiB"));
    }
    let mut reader = Reader::new(block);
    let mut attributes = Vec::new();
    while !reader.is_empty() && attributes.len() < CONNECT_ATTRIBUTES_MAX {
        let name = reader.lenenc_bytes()?;
        let value = reader.lenenc_bytes()?;
        attributes.push((name.to_vec(), value.to_vec()));
    }
    Ok(attributes)
}

/// Attributes that would lift the block above its limit are left out, from the first such one on.
fn put_attributes(out: &mut Vec<u8>, attributes: &[(Vec<u8>, Vec<u8>)]) {
    let mut block = Vec::new();
    for (name, value) in attributes {
        let len_before = block.len();
        block.put_lenenc_bytes(name);
        block.put_lenenc_bytes(value);
        if block.len() > CONNECT_ATTRIBUTES_BYTES_MAX {
            block.truncate(len_before);
            break;
        }
    }
    out.put_lenenc_bytes(&block);
}

#[cfg(test)]
mod tests;
