//! The simulator: a whole gate with its servers and clients in one process, in virtual time, from one seed.
//!
//! ```text
//!   clients ══cables══ cores (the real engine, a model of its driver) ══cables══ servers (a model of mysqld)
//!      └──────────────────────────── oracle: sees both ends ───────────────────────────┘
//! ```
//! Invariant: a run depends on its seed alone. A failing seed is run again with a trace, so the trace costs nothing
//! otherwise, and a seed that does not fail twice is a bug of the simulator.

pub mod agenda;
pub mod cable;
pub mod client;
pub mod control;
pub mod driver;
pub mod fault;
pub mod gate;
pub mod mutation;
pub mod oracle;
pub mod plan;
pub mod random;
pub mod scene;
pub mod server;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sim::oracle::Counts;
use crate::sim::plan::Plan;
use crate::sim::world::World;

/// Runs a plan; a panic anywhere in it is a failure like any other.
pub fn run(plan: &Plan) -> Result<Counts, String> {
    let plan = plan.clone();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        let result = world.run();
        result.map_err(|what| format!("at {:.6} s: {what}", world.scene.now as f64 / 1e9))
    }));
    result.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        Err(format!("panic: {words}"))
    })
}

/// Runs a plan, and when it fails once more with a trace: the report.
pub fn check(plan: &Plan) -> Result<Counts, String> {
    let what = match run(plan) {
        Ok(counts) => return Ok(counts),
        Err(what) => what,
    };
    let mut traced = plan.clone();
    traced.traced = true;
    scene::take_trace();
    let again = run(&traced);
    let mut report = format!("seed {} ({:?}): {what}\n", plan.seed, plan.mode);
    if again.as_ref().err() != Some(&what) {
        report += &format!("NOT REPRODUCIBLE: the second run gave {again:?}\n");
    }
    for (at, words) in scene::take_trace() {
        report += &format!("{:>14.6} {words}\n", at as f64 / 1e9);
    }
    let mode = format!("{:?}", plan.mode).to_lowercase();
    report +=
        &format!("again: WEIR_MODE={mode} WEIR_SEED={} cargo test -p weir-tests --test sim one_seed\n", plan.seed);
    Err(report)
}
