//! Failover: how the primary's role moves, planned or not. Runs in the controller that leads.
//!
//! ```text
//!   tablets' streams ─► scouts ─┐
//!   gates' and tablets' leases ─┼─► Sight ─► Coordinator::step ─► Move ─► head.change (compare-and-swap) ─► everybody
//!   weir ctl switchover ────────┘            (pure; its state is the record's phase and how long it has lasted)
//!
//!   failover     Steady ─ dead ─────────────────────► Interregnum ─ fenced, chosen ─► Steady{chosen}
//!   switchover   Steady ─► Handover ─ gates drained ─► Interregnum{heir} ─ caught up ─► Steady{heir}
//!   a group      Steady ─ another elected, or nobody ─► Interregnum ─ elected ───────► Steady{elected}
//!   others move  Steady ─ read-only, or dead ────────► Interregnum ─ alone writable ─► Steady{writable}
//! ```
//! Invariant: the record is what is wanted, and the tablets' stewards bring their servers there; nothing is ordered that the
//! record does not say. So a controller that dies in the middle is followed by one that finds all it needs in the
//! record. A new primary is named only when the former one is fenced, and is sure to have stopped taking writes.

pub mod settings;

pub mod sight;

pub mod choice;
pub mod order;
pub mod verdict;
pub mod witness;

pub mod group;

pub mod coordinator;

pub mod events;

pub mod scout;
pub mod shell;

pub use settings::Settings;
pub use shell::Shell;
