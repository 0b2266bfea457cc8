//! The limits of the controller, each with its unit and its reason.

use std::time::Duration;

/// Members of one record: as many backends as a gate takes.
pub const MEMBERS_MAX: usize = 256;
/// Bytes of a record as it is stored: etcd takes 1.5 MiB for one value, and gRPC 4 MiB for one message.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Tags of one member: for people and for placement, not for storage.
pub const TAGS_MAX: usize = 16;
/// Bytes of a tag's name and of its value.
pub const TAG_BYTES_MAX: usize = 64;
/// Bytes of a member's name: it stands in every metric and table, and is a backend's name in gates.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of an address: a host name has 253.
pub const ADDRESS_BYTES_MAX: usize = 300;
/// Bytes of texts for people.
pub const NOTE_BYTES_MAX: usize = 1_024;
/// Bytes of a GTID set in the record: a hundred servers with their intervals.
pub const GTID_BYTES_MAX: usize = 64 << 10;
/// Filters of one cluster: each new statement is held against all of them.
pub const FILTERS_MAX: usize = weir_core::filters::FILTERS_MAX;
/// Bytes of one filter as a statement; all of them share the record's room.
pub const FILTER_BYTES_MAX: usize = 64 << 10;
/// A replica's share of reads, as in a gate's configuration.
pub const WEIGHT_MAX: u32 = 10_000;
/// How long a lease may last. Shorter ones end in the pauses of a busy machine; longer ones delay a failover.
pub const LEASE_MS_MIN: u32 = 500;
pub const LEASE_MS_MAX: u32 = 600_000;
/// A lease counts as over only so much later than its holder thinks, in thousandths of its length: clocks of two
/// machines tick apart by far less.
pub const LEASE_GRACE_PERMILLE: u32 = 50;
/// Gates that may be announced: far more than anyone runs, so that a confused one can't fill our memory.
pub const GATES_MAX: usize = 1_024;
/// How long a lease's holder is still listed after it has ended.
pub const LISTED_AFTER: Duration = Duration::from_secs(3_600);
/// Between two words of a topology stream.
pub const BEAT: Duration = Duration::from_secs(1);
/// A stream that is silent for longer hangs or is cut off: three beats.
pub const SILENT: Duration = Duration::from_secs(3);
/// Words on their way to one reader; each is made when there is room, so one is enough.
pub const WORDS_MAX: usize = 1;
/// Calls at once on one connection.
pub const CALLS_MAX: usize = 64;
/// How long a client waits for one answer: a write to a slow disk takes a second, an election of etcd two.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long a client waits for a connection before it asks the next controller.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Between two rounds over all controllers, when none was of use; grows from the first to the second.
pub const PAUSE_MIN: Duration = Duration::from_millis(50);
pub const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The same for who wants a lease and never had one: a primary whose tablet has just been started is fenced after a quarter of a
/// lease. Who had one asks at least every tenth of it.
pub const FIRST_LEASE_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Redirections to a leader that one call follows: two happen when the leader moves meanwhile.
pub const REDIRECTS_MAX: usize = 3;
/// Kills of clients that one gate has under way at other gates: a program that ends its slow statements has few; a gate that
/// hangs must not fill our memory with them.
pub const KILLS_MAX: usize = 64;
/// How long a gate waits for what came of a kill: a gate answers in a millisecond, a program waits for a `KILL` without patience.
pub const KILL_LIMIT: Duration = Duration::from_secs(3);
/// How long the clients of a gate that has left are taken for living: it may be cut off for a moment, and is back after two pauses.
pub const GATE_KEPT: Duration = Duration::from_secs(10);
/// Letters on their way to one gate; a gate that reads none is as one that does not answer.
pub const LETTERS_MAX: usize = 128;
