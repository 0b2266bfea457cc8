//! The monitor: what each backend is, as it says itself, over two connections each: one looks, one streams.
//!
//! ```text
//!   Watcher (a task per backend) ── Sight ──► Topology ──► Snapshot, when it says something new
//!    ├─ look: facts, vitals, Memory ─► Standing  (pure: facts and the time go in, views and events come out)
//!    └─ Stream: Follow ─► executed sets
//!        ▲ nudge: a core suspects it
//! ```
//! This is the agent. `weir tablet` runs one beside its server and sends its sights over gRPC; a gate without tablets runs
//! one per backend in its control thread.
//! Rules of belief:
//! - A server that is writable (`read_only` and `super_read_only` off) and replicates from nobody is a primary. If two
//!   are so at once, neither is believed: somebody made a mistake, and writing to the wrong one loses data.
//! - A server whose receiver or applier runs is a replica, even a writable one. So are read-only ones with stopped
//!   replication, but they get no reads.
//! - In a replication group its own word counts, while it hears a majority of its view: its primary, and secondaries whose
//!   applier runs. Who has left, is joining, in error or in a minority gets nothing, also one that is pinned. A word of an older
//!   view than one that was seen is not believed.
//! - All else is unknown and gets no traffic. `role = "primary"` or `"replica"` in the configuration overrides all this.
//! - `Seconds_Behind_Source` alone is never believed: a replica has no lag when it has executed what it received and what
//!   the primary is known to have; otherwise its lag counts from the commit of the transaction that it applies, or from
//!   the moment when the primary first showed what it lacks, whichever is more. A stopped applier has no lag: no reads.
//!
//! Limits of this: GTIDs are needed for more than routing by `Seconds_Behind_Source`; commit times are the primary's clock
//! and compared with the replica's, so the clocks should agree.

pub mod dialect;
pub mod facts;
pub mod group;

pub mod fault;
pub mod standing;
pub mod vitals;

pub mod evidence;
pub mod memory;
pub mod trail;

pub mod topology;

pub mod follow;
pub mod stream;

pub mod discover;

pub mod lookup;

pub mod watch;

pub use facts::Facts;
pub use fault::Fault;
pub use standing::Standing;
pub use topology::Topology;
pub use watch::{Sight, Watcher};
