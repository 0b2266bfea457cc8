//! A small MySQL client: the monitor asks backends with it, the tests compare servers with it.
//!
//! ```text
//!   options ─► handshake ─┐                                  ┌─► Client   (std::net, for tests, demo and perf)
//!   request ─► frames ────┼─ sans-IO: payloads in and out ───┤
//!   frames ─► reply ──────┘                                  └─► AsyncClient (tokio, for the monitor)
//! ```
//! Invariant: it is strict. A sequence number out of order, bytes after a packet's end, a reply that does not end as the
//! protocol says are errors here, so that what the gate sends is checked by everybody who talks to it. It decodes replies
//! by itself and not with `weir_net::scan`, because an oracle must not share the code that it judges.
//! It knows no compression and no second factor.

pub mod error;
pub mod options;

pub mod frames;
pub mod handshake;
pub mod request;
pub mod trust;
pub mod wire;

pub mod reply;
pub mod value;

pub mod asynchronous;
pub mod blocking;

#[cfg(test)]
pub mod fake;

pub use asynchronous::AsyncClient;
pub use blocking::{Client, Statement};
pub use error::{ClientError, ServerError};
pub use handshake::Session;
pub use options::{ClientTls, Options, Target};
pub use reply::{ColumnDef, Done, Outcome, Reply, Rows};
pub use value::Value;
