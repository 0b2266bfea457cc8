//! One core's world: the engine, and behind the feature "uring" the driver that gives it sockets.
//!
//! Reading order: `engine` says what goes in and out, `session` follows one client, `link` one backend connection.
#![cfg_attr(not(feature = "uring"), deny(unsafe_op_in_unsafe_fn))]

pub mod admission;
pub mod allowance;
pub mod audit;
pub mod block;
pub mod board;
pub mod digest;
pub mod engine;
pub mod filters;
pub mod limits;
pub mod link;
pub mod mail;
pub mod mirror;
pub mod permissions;
pub mod querylog;
pub mod queue;
pub mod session;
pub mod show;
pub mod slots;
pub mod snapshot;
pub mod state;
pub mod stats;
pub mod tally;
pub mod time;
pub mod timers;
pub mod trace;
pub mod traffic;
pub mod wire;

#[cfg(feature = "uring")]
pub mod drive;
