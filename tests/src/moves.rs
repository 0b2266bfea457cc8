//! The simulator of moves: how the primary's role moves while servers, tablets, controllers and networks fail.
//!
//! ```text
//!   Coordinator, Leases, Guard, Record ─ Chair ─ swap ─► Store            real code: what decides
//!        ▲ words      │ records                                           model: what it decides about
//!        │            ├──► Gate ── writes ──► Server ◄── Direct
//!   Mind, Memory, Word ─ Tablet ── deeds ───────┘ ◄─► replication
//! ```
//! Invariant: one thread, virtual time in ms, and a seed: a run depends on nothing else. Each process has a clock of its own,
//! all within 5 % of each other. The pure code of the failover is the product's own: `Coordinator::step`, `Leases`,
//! `Guard`, `Record::check_next`, the steward's `Mind`, the watcher's `Memory`, `Word`, and the scouts' `seen`.
//!
//! What is modelled and not real: MySQL, connections (a stream is a state whose newest copy wins, and beats), the head's
//! compare-and-swap, the registrar's calls, the hands' statements, and gates.
//! Limits: a server's disk survives; relay logs do too. Semi-sync waits without limit for one replica, `AFTER_SYNC`.

pub mod plan;

pub mod clock;
pub mod world;

pub mod server;
pub mod store;

pub mod hands;
pub mod tablet;

pub mod registrar;
pub mod watcher;

pub mod chair;

pub mod client;
pub mod gate;

pub mod fault;
pub mod operator;

pub mod oracle;
pub mod run;
