//! An upgrade: a new process takes the listening sockets over, the former one finishes its sessions and ends.
//!
//! ```text
//!   SIGUSR2, weir ctl upgrade                      the program at the same path, with the same arguments
//!   old ── starts ──────────────────────────────► new
//!       ── sockets of clients, HTTP, gRPC; tags ─►  reads the configuration, looks at backends, starts its cores
//!       ◄──────────────────────── ready (or why not) ──
//!   stops accepting, leaves its name ── yours ───►  registers with controllers
//!   … sessions go on, until upgrade_drain_ms_max; then they are drained
//!   ◄──────────────── kills of each other's clients, both ways ──►
//!   ◄────────────────────────────────────── over ──  ends in order, or is followed itself
//! ```
//! The sockets themselves travel (SCM_RIGHTS), so that whoever waits in a queue is served by whichever process accepts first: nobody is
//! refused and nothing is lost between the two. A second set of listeners (SO_REUSEPORT alone) would lose those in the old queues.
//! The running gate starts the new one, as nginx does, since then it stays in its unit, with its user and its rights; the line
//! between the two is the new one's standard input, a socket pair that nobody else can reach, where a path would need a guarded folder.
//! The new one is not ready: it is killed, and nothing has changed. While it starts, the former one begins its accepts anew all the time,
//! so that nobody stands in a queue for whom the kernel has woken a process that died.
//! The new one dies later, without "over", while the former one is still there: that one takes up again. It keeps the sockets of clients for
//! that, unless the new one has no use for some of them: those have to refuse.
//!
//! Each process has a tag of its own, so that ids of connections stay apart, and a line to each other one, so that `KILL` finds all clients
//! (`gate/kin.rs`). What is not shared: INSTANCE consistency is one process's.

mod heir;
mod legacy;
mod line;
mod word;

pub use heir::{Heard, Heir, Program, Sockets};
pub use legacy::{Following, Legacy};
pub use line::{Line, Patience};
pub use word::Word;

use std::time::Duration;

/// Says to a process that it is the next gate, and in which words the two speak.
const VARIABLE: &str = "WEIR_TAKE_OVER";

/// Of the words below. Another one's cannot be understood: restart instead.
const WORDS_VERSION: &str = "1";

/// How long the new process may take until it serves, beside `start_ms_max`.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Says that its process relays kills; an older program's passes it over.
const RELAYS: &str = "relays";

/// How long one side waits for a word that the other has no reason to hold back.
const WORD_LIMIT: Duration = Duration::from_secs(5);
