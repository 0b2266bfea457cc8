//! SQL bytes and session facts in, a plan out: where a statement may run and what it does to the session.
//!
//! ```text
//!   bytes ─► Lexer ─► tokens ─► classify ─► Plan { route, effects, asks, … }      PlanCache: text + facts ─► Rc<Plan>
//! ```
//! The planner predicts; the server's flags and trackers say what happened. What it does not understand is
//! `Route::Primary` with `Effects::UNKNOWN`. It knows nothing of connections, backends, time or the network, never
//! re-prints SQL, and cannot panic on any input: the lints below see to it.
//!
//! Cost of a point select: one pass over its bytes, no allocation; a cache hit is one hash and one compare of the text.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod cache;
mod classify;
mod comment;
mod digest;
#[macro_use]
mod effects;
mod facts;
pub mod filter;
mod functions;
mod hint;
mod lexer;
pub mod limits;
pub mod named;
mod plan;
mod reason;
mod redact;
pub mod routines;
pub mod tables;
pub mod tree;
mod user_variables;
pub mod variables;
mod word;

pub use cache::PlanCache;
pub use classify::{gate_variables, plan, plan_with};
pub use comment::{TraceComment, trace_comment};
pub use digest::digest;
pub use effects::{Asks, Effects};
pub use facts::{Charset, Facts, schema_is_system};
pub use hint::{Consistency, Hint, Target};
pub use plan::{Assign, FoundRows, GateSet, GateShow, Kind, Local, Plan, Route, Scope, SessionValue, ValueSpan};
pub use reason::Reason;
pub use redact::redact;
pub use tables::{Access, TableUse, Unknown, Uses, tables};
pub use variables::{Carry, VariableKind, carry, variable_has_wrong_default, variable_is_replayable};

#[cfg(test)]
mod tests;
