//! Every limit of the engine that is not a setting, with its unit and reason.

/// Bytes of one packet during login: a user name, a schema, a password and connect attributes (64 KiB at most) fit.
pub const LOGIN_PACKET_BYTES_MAX: usize = 128 << 10;

/// A command up to this many bytes is taken in whole before it is planned and sent, so that it can be sent again
/// when a connection turns out to be dead. A longer one streams: it goes to the primary and is never sent again.
pub const COMMAND_BYTES_BUFFERED_MAX: usize = 256 << 10;

/// Bytes of a streamed statement that the planner sees. Longer texts are planned as "not understood".
pub const STREAMED_TEXT_BYTES: usize = 16 << 10;

/// Bytes waiting to be sent on one wire above which its peer is no longer read, and below which it is read again.
pub const QUEUE_BYTES_HIGH: usize = 256 << 10;
pub const QUEUE_BYTES_LOW: usize = 64 << 10;

/// Bytes that a client may send ahead of its replies before it is no longer read.
pub const INBOUND_BYTES_HIGH: usize = 512 << 10;

/// Bytes of an injected statement's reply that are kept (one small row).
pub const INJECTED_REPLY_BYTES_MAX: usize = 64 << 10;

/// Bytes of a prepared statement's text, which is kept for preparing it elsewhere; a longer one is refused. What is buffered
/// whole can be kept, and holds the most parameters that the protocol can count: `SELECT ?,?,…` with 65,535 has 128 KiB.
pub const PREPARED_TEXT_BYTES_MAX: usize = COMMAND_BYTES_BUFFERED_MAX;

/// Prepared statements that one session may hold; then 1461, as the server's own limit would say.
pub const STATEMENTS_PER_SESSION_MAX: usize = 16_382;

/// Statement texts in the plan cache, and their bytes together, per core.
pub const PLANS_MAX: usize = 8_192;
pub const PLANS_BYTES_MAX: usize = 8 << 20;

/// Accounts (user, password) remembered per core; unused ones beyond it are forgotten, oldest first.
pub const ACCOUNTS_MAX: usize = 10_000;

/// Different session states (schemas, variables) interned per core before unused ones are swept. A login names a schema
/// before it has proved anything, and a session may set a variable to a new value with each statement. Few in a debug
/// build, so that every test sweeps.
pub const STATES_MAX: usize = if cfg!(debug_assertions) { 64 } else { 50_000 };

/// How often a statement is sent again on another connection when the one it was given turned out to be dead.
pub const RESENDS_MAX: u32 = 3;

/// Requests that have ended and are kept for the next ones, per core (a few hundred bytes each).
pub const REQUESTS_SPARE_MAX: usize = 256;

/// Between two dials to a backend that has just refused one, in ms: a refused dial must not become a loop.
pub const DIAL_PAUSE_MS: u64 = 200;

/// How long a connection is kept for questions about its last statement (warnings, an error) while others wait, in ms.
/// Without anybody waiting it is kept until the next statement.
pub const QUESTIONS_MS: u64 = 100;

/// How long a wire whose session or link is gone may take to send its last words, in ms. A peer that reads nothing would
/// keep it for ever, and no limit of clients counts it.
pub const FAREWELL_MS: u64 = 5_000;

/// How long a session reads on one replica before it chooses anew, in ms. A change of replicas costs a question to the
/// primary (shared by all that wait), since what the last one showed cannot be known from outside.
pub const SAME_REPLICA_MS: u64 = 1_000;

/// Rows of failed logins that a gate remembers (accounts, addresses, and both together: some 100 bytes each), and how long after the last
/// failure a row ends by itself, in ms. MySQL's `connection_control` remembers them until a restart.
pub const LOGIN_ENTRIES_MAX: usize = 16_384;
pub const LOGIN_FAILURES_KEPT_MS: u64 = 900_000;

/// Bytes of a user's name by which failed logins are told apart: MySQL's own have 32 letters of 4 bytes at most.
pub const LOGIN_NAME_BYTES_MAX: usize = 128;

/// Logins of one address that are put off at a time; more are refused at once, or delays would only want more connections.
pub const LOGINS_HELD_PER_ADDRESS_MAX: u32 = 16;

/// Addresses whose rate of connections is known, in the gate (some 50 bytes each).
pub const RATE_ADDRESSES_MAX: usize = 16_384;

/// Between two tries to have a statement ended that has run for too long, in ms: the connection for the kill may have failed.
pub const HUNT_AGAIN_MS: u64 = 1_000;

/// Threads of servers that lost their connections and are still to be ended, for each core (100 bytes each). Those beyond are left
/// to their servers.
pub const ORPHANS_MAX: usize = 10_000;

/// For how long one is remembered, in ms: by then its server's host has probed it (`tcp_keepalive_time`, 2 h by default).
pub const ORPHAN_MS_MAX: u64 = 3 * 3_600 * 1_000;

/// Pause before a housekeeping sweep of idle clients and connections, in ms.
pub const SWEEP_MS: u64 = 1_000;

/// Characters of a statement shown in `SHOW WEIR PINS`: its first words, never its values.
pub const STATEMENT_SHOWN_CHARS: usize = 40;
