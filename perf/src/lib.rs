//! What Weir costs: null backend, bare relay, load generator and comparisons.
//!
//! Every measurement is a ratio taken in one run: the ways to the backend take turns (A B C A B C …), because two
//! numbers of two runs on a shared machine say little about each other. What is measured runs in processes of its own,
//! whose CPU time the kernel counts.
//!
//! Invariant: no process is signalled that this one did not start, and everything started ends with it.

pub mod limits;

pub mod error;

pub mod arguments;

pub mod command;

pub mod compare;

pub mod accept;

pub mod hold;
pub mod holders;
pub mod memory;

pub mod spread;

pub mod consistency;

pub mod policies;

pub mod moves;

pub mod correctness;

pub mod door;

pub mod backend;

pub mod program;

pub mod sysbench;

pub mod crowd;

pub mod scrape;

pub mod load;

pub mod syscalls;

pub mod client;

pub mod talk;

pub mod null;

pub mod relay;
pub mod ring_relay;

pub mod wire;

pub mod dial;

pub mod listener;

pub mod poll;

pub mod meter;

pub mod median;

pub mod table;

pub mod json;

pub mod plot;
