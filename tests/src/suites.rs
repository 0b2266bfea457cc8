//! The drivers' own test suites: each run on MySQL directly and through a gate, and the lists of what passed compared by name.
//!
//! Invariant: MySQL is the oracle, asked twice: what differs between its two runs is no word about the gate. A test that passes in
//! both and not through the gate, or the other way round, is a fault unless `tests/drivers/suites/accepted.txt` names it with a reason.
//! A suite or tool chain that cannot be had is a failure that says why.
//!
//! ```text
//! tests/drivers/suites/NAME.sh build ──► the cache folder ──► stand: NAME.sh run, directly twice, then the gate with noise ──► table
//! ```
//! Not part of `cargo test`: most suites take minutes. `cargo run -p weir-tests --example suites` runs them.

pub mod limits;

pub mod suite;

pub mod home;

pub mod outcome;

pub mod stand;

pub mod table;
