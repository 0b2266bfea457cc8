//! Real clients: programs that use each a driver of MySQL as applications do, directly on MySQL and through the gate.
//!
//! Invariant: MySQL is the oracle. A script prints what its driver gives it, step by step; both traces must be equal, but for what
//! `tests/drivers/accepted.txt` names with a reason. A driver or tool chain that cannot be had is a failure that says why.
//!
//! ```text
//! tests/drivers/LANGUAGE/… ──► kit (installed into the cache) ──► stand: direct, then the gate with noise ──► trace ──► table
//! ```
//! The gate has two connections to each backend, one core, and a noisy second session, as the corpus' worst mode.

pub mod limits;

pub mod client;

pub mod kit;

pub mod unpacked;

pub mod stand;

pub mod trace;

pub mod table;
