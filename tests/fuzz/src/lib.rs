//! Properties that hold for any bytes, each a function of bytes: fuzzing calls them, `cargo test` replays them.
//!
//! ```text
//!   seeds/NAME.hex, seeds made by code ─┐                       ┌─ targets/ (libFuzzer, a workspace of its own)
//!   regressions/NAME/*  ────────────────┴─► target.run(bytes) ◄─┴─ tests/replay.rs
//! ```
//! Invariant: a property depends on its bytes alone (the handshakes' entropy apart), returns when it holds and panics
//! when it does not; it takes no more memory than its target says. A crash that fuzzing finds becomes a file in
//! `regressions/NAME`, and is then a test of `cargo test`.
//! It knows no socket and no clock; `weir-core` is built without its runtime.

pub mod draw;
pub mod meter;
pub mod seeds;
pub mod target;

pub mod frames;
pub mod login;
pub mod proof;
pub mod tls;

pub mod compress;
pub mod proxy;

pub mod reply;

pub mod binlog;
pub mod gtid;
pub mod sql;

pub mod engine;
