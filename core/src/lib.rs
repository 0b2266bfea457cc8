//! One core's world: the engine, and behind the feature "uring" the driver that gives it sockets.
//!
//! Reading order: `engine` says what goes in and out, `session` follows one client, `link` one backend connection.
#![cfg_attr(not(feature = "uring"), deny(unsafe_op_in_unsafe_fn))]

pub mod engine;
pub mod session;
pub mod link;
pub mod wire;
pub mod queue;
pub mod block;
pub mod state;
pub mod slots;
pub mod timers;
pub mod time;
pub mod snapshot;
pub mod mail;
pub mod stats;
pub mod limits;

#[cfg(feature = "uring")]
pub mod drive;
