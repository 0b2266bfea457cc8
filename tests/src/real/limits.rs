//! The limits of the tests on real MySQL, each with its unit and its reason.

use std::time::Duration;

/// How long a read or write may take. Nothing in the corpus takes a second; a lock wait or a gate that
/// waits for a connection shows as this error and not as a hang.
pub const WIRE_WAIT: Duration = Duration::from_secs(60);
/// How long connecting to a listening port of this machine may take.
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long the interfering session waits for its reply before it lets the tested session go on: long enough for a
/// statement, short enough to lose when all connections are pinned.
pub const NOISE_WAIT: Duration = Duration::from_millis(50);
/// How long the replicas may take to apply what prepares a session. Not a wait within a session.
pub const SETUP_WAIT_S: u32 = 30;
/// How long the `mysql` client program may take for a short script.
pub const CLIENT_PROGRAM_WAIT: Duration = Duration::from_secs(60);
/// Bytes of a value that a difference shows: the start tells what it is.
pub const SHOWN_BYTES_MAX: usize = 160;
/// Differences that are shown for one session: later ones mostly follow from the first.
pub const SHOWN_DIFFERENCES_MAX: usize = 5;
/// Sessions that run at the same time. More than the cores, since each mostly waits for MySQL.
pub const WORKERS: usize = 4;
/// Connections to each backend when there are plenty.
pub const PLENTY_CONNECTIONS: usize = 64;
/// Connections to each backend under the worst sharing: one to be pinned, one for everybody else.
pub const WORST_CONNECTIONS: usize = 2;
/// Packets of one `LOAD DATA LOCAL` file in bytes: small, so that there are several.
pub const FILE_PACKET_BYTES: usize = 1 << 10;
/// How long a statement waits for a connection under the worst sharing: longer than statements of the noise take, which wait for locks, since
/// noise that waits for one while its session has pinned both is refused then, and all stand still until that.
pub const WORST_WAIT_MS: u64 = 5_000;
/// Pause between two looks at what changes by itself.
pub const LOOK_PAUSE: Duration = Duration::from_millis(10);
