//! The limits of the etcd store, each with its unit and its reason.

use std::time::Duration;

/// How long an etcd member may take to let us connect; the next one is near.
pub const CONNECT_LIMIT: Duration = Duration::from_millis(400);
/// How long one call may take. An etcd that elects a leader answers nobody for one to two seconds; then the call is
/// repeated. Two calls that fail fit into the shortest leadership.
pub const CALL_LIMIT: Duration = Duration::from_millis(900);
/// How long a leadership lasts without renewal, in seconds; etcd gives 2 at least. Who takes over waits for so long.
pub const LEADER_S_MIN: u32 = 2;
pub const LEADER_S_MAX: u32 = 60;
/// Between two attempts when no etcd member answers.
pub const PAUSE: Duration = Duration::from_millis(200);
/// A watch stream that has said nothing for so long is opened anew, and everything is read again: a bound on how long a
/// member that is cut off from the others may keep news from us. (It is also asked to end the stream when it knows.)
pub const WATCH_QUIET: Duration = Duration::from_secs(10);
/// Members of etcd: seven are the most that anyone runs.
pub const ENDPOINTS_MAX: usize = 16;
