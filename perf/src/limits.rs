//! The sizes and times of measurements, each with its unit and the reason for the number.

use std::time::Duration;

/// Bytes that one read takes from a socket: what the ring's buffers have too, so that the ways compared do alike.
pub const READ_BYTES: usize = 64 << 10;

/// Rows of one reply of the null backend. At 120 bytes each that is 12 MiB, far more than any scenario asks for.
pub const NULL_ROWS_MAX: u64 = 100_000;

/// Statements that one session may prepare at the null backend: the server's own default for all sessions.
pub const NULL_STATEMENTS_MAX: usize = 16_382;

/// Bytes of one command that the null backend and the load generator take: the server's default `max_allowed_packet`.
pub const PACKET_BYTES_MAX: usize = 64 << 20;

/// Events taken from the kernel at once; a batch of more than this many ready sockets is taken in two turns.
pub const EVENTS_MAX: usize = 256;

/// Connections of one load: above it, a second address of the loopback would be needed for their ports.
pub const CONNECTIONS_MAX: usize = 20_000;

/// Connections that may wait to be accepted by a relay or null backend: the gate's number and the kernel's own limit. The
/// standard library's 128 overflow when hundreds log in at once, and a client that is dropped there comes again after a
/// whole second.
pub const BACKLOG_MAX: i32 = 4096;

/// Clients of one `accept`: the gate's own default limit.
pub const ACCEPT_CLIENTS_MAX: usize = 100_000;

/// The longest latency that a histogram tells apart, in nanoseconds. What took longer counts as this.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Significant digits of a histogram: a thousandth is below the noise of any machine.
pub const LATENCY_DIGITS: u8 = 3;

/// How long a load waits for replies that are still out when its time is over.
pub const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// How long one login or one statement of a blocking client may take; a gate may hold a client while it looks for
/// its primary.
pub const REPLY_WAIT: Duration = Duration::from_secs(60);

/// How long a proxy may take from its start to the first answered query.
pub const DOOR_WAIT: Duration = Duration::from_secs(30);

/// Pause between two looks at something that others change.
pub const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How long a started program may take to end after SIGTERM.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

/// How often a run that takes long says that it lives.
pub const PROGRESS_PAUSE: Duration = Duration::from_secs(10);

/// Servers of a checked cluster, the primary included.
pub const NODES_MAX: usize = 8;

/// Sentences that are kept about one kind of what went wrong: enough to see a pattern.
pub const SAMPLES_MAX: usize = 5;

/// Connections that a checker's thread opens again before it gives up: a gate that drops sessions is broken.
pub const RECONNECTS_MAX: u32 = 100;

/// Statements through gates per write past them: about one write in five.
pub const DIRECT_WRITE_EVERY: u64 = 40;
