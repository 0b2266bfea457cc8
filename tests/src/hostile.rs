//! Hostile peers over real sockets, against a gate in a process of its own in front of a real MySQL.
//!
//! ```text
//!   witnesses (honest, measured) ─┐                                ┌─ the primary, a real one
//!   hostile clients ──────────────┴─► gate: RSS, descriptors, log ─┴─ a backend that turns hostile in the middle
//! ```
//! Invariant: whatever the hostile side does, a witness gets right answers in bounded time, the gate stays below its
//! limit of memory, never panics, and has afterwards the descriptors that it had before.
//! Loops and waits are bounded by `limits`; what is random follows from a number that is fixed.

pub mod limits;

pub mod backend;
pub mod misdeed;
pub mod peer;
pub mod tested;
pub mod watch;
pub mod witness;
