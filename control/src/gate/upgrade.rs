//! An upgrade: a new process takes the listening sockets over, the former one finishes its sessions and ends.
//!
//! ```text
//!   SIGUSR2, weir ctl upgrade                      the program at the same path, with the same arguments
//!   old ── starts ──────────────────────────────► new
//!       ── sockets of clients, HTTP, gRPC; tags ─►  reads the configuration, looks at backends, starts its cores
//!       ◄──────────────────────── ready (or why not) ──
//!   stops accepting, leaves its name ── yours ───►  registers with controllers
//!   … sessions go on, until upgrade_drain_ms_max; then they are drained
//! ```
//! The sockets themselves travel (SCM_RIGHTS), so that whoever waits in a queue is served by whichever process accepts first: nobody is
//! refused and nothing is lost between the two. A second set of listeners (SO_REUSEPORT alone) would lose those in the old queues.
//! The running gate starts the new one, as nginx does, since then it stays in its unit, with its user and its rights; the line
//! between the two is the new one's standard input, a socket pair that nobody else can reach, where a path would need a guarded folder.
//! The new one is not ready: it is killed, and nothing has changed.
//!
//! Each process has a tag of its own, so that ids of connections stay apart. What is not shared: INSTANCE consistency is one process's,
//! and without controllers or peers a KILL finds clients of the own process only.

mod heir;
mod legacy;
mod line;

pub use heir::{Heard, Heir, Program, Sockets};
pub use legacy::{Legacy, Tail};

use std::time::Duration;

/// Says to a process that it is the next gate, and in which words the two speak.
const VARIABLE: &str = "WEIR_TAKE_OVER";

/// Of the words below. Another one's cannot be understood: restart instead.
const WORDS_VERSION: &str = "1";

/// How long the new process may take until it serves, beside `start_ms_max`.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long one side waits for a word that the other has no reason to hold back.
const WORD_LIMIT: Duration = Duration::from_secs(5);
