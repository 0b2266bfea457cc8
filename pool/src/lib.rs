//! One core's backend connections: slots, waiting lines, choice policies and the shared budget.
//!
//! Invariant: numbers in, numbers out. This crate knows no socket, protocol, clock, thread or entropy: time and
//! randomness are arguments, accounts, schemas and states are numbers whose meaning belongs to the caller.
//!
//! Cost of one lease and its return, when nobody waits: no allocation, no hashing when the preferred slot is idle
//! (two look-ups otherwise), and five list entries moved each way.

#![forbid(unsafe_code)]

mod backend;
pub mod choice;
pub mod limits;
mod line;
mod list;
mod marks;
mod pool;
mod shelf;
mod slot;
mod turns;

pub use choice::{Candidate, Measure, soft_choice, two_choices, weighted_random};
pub use limits::Limits;
pub use line::{LineFull, Ticket};
pub use pool::{Fit, Grant, Pool, Want};
pub use slot::{SlotId, SlotState, SlotView};
