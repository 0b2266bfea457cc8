//! The sizes that a peer cannot exceed, each with its unit and the reason for the number.

/// Bytes of payload of one OK, ERR, EOF, prepare-OK, column-count, local-infile or statistics packet. The longest of
/// them, an OK with session trackers, carries the variables that a session changed; a mebibyte is far above what
/// a server sends and bounds what [`crate::scan`] may have to hold.
pub const SPECIAL_PACKET_MAX: usize = 1 << 20;

/// Columns in one result set and parameters of one statement: the protocol counts both in two bytes where it
/// matters (`COM_STMT_PREPARE_OK`), and the server's own limit is 4096 columns per table and 65535 parameters.
pub const COLUMNS_MAX: u64 = 0xffff;

/// Query attributes in one command. The server accepts 65535 parameters of a statement, attributes included.
pub const ATTRIBUTES_MAX: u64 = 0xffff;

/// Bytes of a user's or a schema's name in a login that are kept. The server keeps 96 and 192 of them, 32 and 64 characters, and cuts
/// the rest off; a character has four bytes at most. What is longer is nobody's name, and would be remembered for it.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of a password, in the clear. The server's plugins stop at 256; twice that costs nothing and leaves the
/// refusal to the server.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Bytes of all connect attributes of a login. The server refuses a login with one byte more (9.7: 1043).
pub const CONNECT_ATTRIBUTES_BYTES_MAX: usize = 0xffff;

/// Connect attributes of a login that are kept. Drivers send about ten; a hostile login may hold thousands of empty
/// ones, each an allocation, and the server too drops what is too much for it.
pub const CONNECT_ATTRIBUTES_MAX: usize = 256;

/// `AuthSwitchRequest`s that a backend may send in one authentication. The server sends one; without a limit a broken
/// backend could keep a login going for ever.
pub const AUTH_SWITCHES_MAX: u8 = 4;

/// Intervals in the text of one GTID set, tags counted too. A server in good order has one or two per source; a text
/// of nothing but tags, the worst that a peer can send, parses to less than 8 MiB.
pub const GTID_INTERVALS_MAX: usize = 1 << 16;

/// Bytes of a GTID tag: the server's own limit.
pub const GTID_TAG_BYTES_MAX: usize = 32;

/// Plain bytes in one compressed frame that the gate sends. The protocol allows 16 MiB, but a frame is made in one go, and
/// 64 KiB at 40 MB/s (zstd at [`ZSTD_LEVEL_MAX`]) keep a core busy for under two milliseconds; zlib looks back 32 KiB anyway.
pub const COMPRESSED_PLAIN_BYTES_MAX: usize = 64 << 10;

/// The highest level of zstd that the gate uses, whatever a client asks for: above it a client would buy a few percent with
/// ten times the CPU of a core that others share. Levels differ in size only, so no client can tell otherwise.
pub const ZSTD_LEVEL_MAX: u8 = 9;

/// Bytes of a compressed wire's buffer that are kept while nothing waits in it.
pub const COMPRESSED_BUFFER_KEPT_BYTES: usize = 1 << 10;

/// Bytes of a PROXY header of version 2. Addresses take 232 at most; the rest are values that a balancer adds, of which a client's
/// certificate is the longest. The protocol's own limit would be 64 KiB, kept for clients that nobody knows yet.
pub const PROXY_V2_BYTES_MAX: usize = 16 << 10;
