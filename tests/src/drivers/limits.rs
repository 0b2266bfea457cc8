//! The limits of the tests with real clients, each with its unit and its reason.

use std::time::Duration;

/// How long one run of one client may take. The slowest takes some ten seconds, a few of them waits for locks.
pub const RUN_WAIT: Duration = Duration::from_secs(120);
/// How long installing one tool chain's packages may take: a cold cache and a slow mirror, and compilers at work.
pub const INSTALL_WAIT: Duration = Duration::from_secs(900);
/// Clients that run at the same time. They mostly wait for MySQL, but each language's start takes a core.
pub const WORKERS: usize = 3;
/// Pause between two turns of the noise: some hundred changes of a connection's state in a second.
pub const NOISE_PAUSE: Duration = Duration::from_millis(4);
/// Lines of a step that a difference shows: later ones mostly follow from the first.
pub const SHOWN_LINES_MAX: usize = 6;
/// Letters of a line that a difference shows.
pub const SHOWN_LETTERS_MAX: usize = 300;
/// Connections to each backend for tools that hold several at once by their nature (locks, snapshots, a dump of the log): the
/// most that one of ours holds is five.
pub const ROOMY_CONNECTIONS: usize = 8;
