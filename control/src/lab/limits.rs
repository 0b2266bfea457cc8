//! The limits of the laboratory, each with its unit and its reason.

use std::time::Duration;

/// How long one mysqld may take until it answers. A cold copy on a busy two-core machine took 4 s; crash recovery of a
/// test's data takes a few more.
pub const READY_WAIT: Duration = Duration::from_secs(60);
/// How long a mysqld may take to stop by SIGTERM before it is killed. It flushes its pages: a second for test data.
pub const STOP_WAIT: Duration = Duration::from_secs(20);
/// How long a killed process may take to be gone: the kernel frees its memory first.
pub const KILL_WAIT: Duration = Duration::from_secs(10);
/// How long initialising the template may take. Five seconds is usual.
pub const INITIALISE_WAIT: Duration = Duration::from_secs(180);
/// How long the replicas may take to connect to the primary, or to catch up with it.
pub const REPLICATION_WAIT: Duration = Duration::from_secs(30);
/// How long one statement of the laboratory's own may take.
pub const STATEMENT_WAIT: Duration = Duration::from_secs(120);
/// How long `mysqld --version` may take: it loads 80 MB from a cold disk.
pub const VERSION_WAIT: Duration = Duration::from_secs(30);
/// Pause between two looks at a process or socket. Short beside the tenths of a second that are waited for.
pub const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// How long a node may take to join a replication group again: the others forget its former self first, which takes some 12 s,
/// and it has to apply what was written meanwhile, while more is written.
pub const GROUP_WAIT: Duration = Duration::from_secs(90);
/// Pause between two attempts to join a replication group.
pub const GROUP_PAUSE: Duration = Duration::from_millis(500);
/// Pause between two reports of progress.
pub const REPORT_PAUSE: Duration = Duration::from_millis(250);
/// Bytes that must be free before a fetch: 75 MB of packages and 450 MB unpacked, and as much again for the lists and
/// a first data folder.
pub const FETCH_FREE_BYTES_MIN: u64 = 1 << 30;
/// Lines of the error log that an error quotes: enough for the reason and what led to it.
pub const LOG_LINES_SHOWN: usize = 12;
/// Lowest TCP port for servers: below live the well-known services.
pub const PORT_MIN: u16 = 18_000;
/// Highest TCP port for servers: from 32768 on the kernel gives ports to outgoing connections, and a load test would
/// take a server's port while that server is down.
pub const PORT_MAX: u16 = 32_000;
/// Ports that are tried before giving up; every one of them was taken.
pub const PORT_TRIES_MAX: u32 = 4_000;
/// Replicas of one cluster. Each server takes 400 MB of memory and 100 MB of disk.
pub const REPLICAS_MAX: usize = 15;
/// Length of a Unix socket's path in bytes that the kernel takes (`sun_path` less its NUL).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
