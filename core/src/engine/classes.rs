//! Classes of backend connections: what a login fixes for the life of a connection (S45).
//!
//! `FOUND_ROWS`, `IGNORE_SPACE`, `INTERACTIVE`, `NO_SCHEMA`, `LOCAL_FILES`, `QUERY_ATTRIBUTES`, the multi-statement and
//! multi-result flags and the handshake's character set choose the pool. `QUERY_ATTRIBUTES` is among them since
//! translating it would shift every long command by two bytes; `DEPRECATE_EOF` and `SESSION_TRACK` are always on
//! towards the backend and translated for clients that lack them.

use crate::session::ClassId;
use rustc_hash::FxHashMap;
use weir_net::flags::Capabilities;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub caps: Capabilities,
    pub charset: u8,
}

#[derive(Debug, Default)]
pub struct Classes {
    all: Vec<Class>,
    ids: FxHashMap<Class, ClassId>,
}

/// Flags of the client that its backend connections must share.
const CHOOSING: Capabilities = Capabilities(
    Capabilities::FOUND_ROWS.0
        | Capabilities::NO_SCHEMA.0
        | Capabilities::ODBC.0
        | Capabilities::LOCAL_FILES.0
        | Capabilities::IGNORE_SPACE.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS.0
        | Capabilities::QUERY_ATTRIBUTES.0,
);

/// Flags that every backend connection has.
const ALWAYS: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC_DATA.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0,
);

/// What the gate offers to clients.
pub const OFFERED: Capabilities = Capabilities(CHOOSING.0 | ALWAYS.0);

impl Class {
    pub fn of_client(caps: Capabilities, charset: u8) -> Class {
        Class { caps: caps.intersect(CHOOSING), charset }
    }

    /// The flags for a login to a backend of these capabilities.
    pub fn login_caps(&self, server: Capabilities) -> Capabilities {
        self.caps.union(ALWAYS).intersect(server)
    }
}

impl Classes {
    pub fn intern(&mut self, class: Class) -> ClassId {
        *self.ids.entry(class).or_insert_with(|| {
            self.all.push(class);
            ClassId(self.all.len() as u32 - 1)
        })
    }

    pub fn get(&self, id: ClassId) -> Class {
        self.all[id.0 as usize]
    }
}
