//! Tests on real MySQL: the same session on a server directly and through the gate, which must be equal.
//!
//! Invariant: MySQL is the oracle; no expectation is written down here. What is compared is everything that a client
//! can see on the wire, and each thing that is left out of the comparison has its reason in `compare`.
//! Every wait is bounded by `limits`; a missing MySQL or gate is a failure that says why, never a skip.
//!
//! ```text
//! corpus/*.txt ──► script ──► run ──► Trace (direct)   ─┐
//!                              └────► Trace (the gate) ─┴─► compare ──► differences
//! place: a cluster and gates      wire, reply: a client of its own      noise: who else uses the pool
//! ```
//! The client reads replies by itself, without `weir_net::scan`: a test of the scan must not trust it.

pub mod limits;

pub mod place;

pub mod lone;

pub mod gate;

pub mod script;

pub mod text;

pub mod squeeze;

pub mod wire;

pub mod reply;

pub mod bind;

pub mod run;

pub mod noise;

pub mod compare;

pub mod suite;

pub mod logs;

pub mod random;
