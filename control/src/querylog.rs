//! The query log and the slow log: JSON lines about statements, on a thread of its own.
//!
//! ```text
//!   cores ── QueryEvent (mail) ──► control thread: QueryLog::offer ──► bounded queue ──► thread: lines ─► file, rotated
//!   sampled, or slow; only so many wait                        full: dropped, counted
//! ```
//! Invariant: whoever offers never waits for a disk; what does not fit is dropped, counted, and the count stands in the
//! next line. Literals and parameters are written only if
//! [`Literals::Shown`] says so, and never those of a statement that may hold a password; otherwise they never reach the
//! queue.

pub mod redact;

pub mod line;

pub mod file;
pub mod writer;

pub use writer::{QueryLog, QueryLogOptions};
