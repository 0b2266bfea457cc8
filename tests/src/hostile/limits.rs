//! The limits of the tests with hostile peers, each with its unit and its reason.

use std::time::Duration;

/// Resident memory that the gate may reach, in bytes. A debug build comes to some 60 MiB under these attacks: 35 at rest,
/// its blocks, 64 KiB or so for each of a thousand greeted clients; what is not bounded takes hundreds.
pub const RSS_BYTES_MAX: u64 = 128 << 20;
/// Blocks of 16 KiB per core: far fewer than the default, so that what is not bounded shows.
pub const BLOCKS_PER_CORE: usize = 512;
/// From accept to the end of a login, as the gate under test is told.
pub const HANDSHAKE: Duration = Duration::from_millis(2_000);
/// How much later than its limit a half handshake may end: timers, and a machine that others use too.
pub const HANDSHAKE_SLACK: Duration = Duration::from_millis(2_000);
/// How much longer than one without a gate, and than the gate was kept from running, a witness may wait for its worst
/// answer. Alone it takes a millisecond; two cores are shared by gate, servers, attack and others, and a disk that others
/// write to makes everybody wait for seconds.
pub const WITNESS_WORST: Duration = Duration::from_secs(2);
/// How long an honest client goes on trying to log in.
pub const LOGIN_WAIT: Duration = Duration::from_secs(20);
/// Half of a witness's answers come within this.
pub const WITNESS_MEDIAN: Duration = Duration::from_millis(250);
/// Between two statements of a witness.
pub const WITNESS_PAUSE: Duration = Duration::from_millis(3);
/// Turns after which a witness logs in anew.
pub const WITNESS_TURNS_PER_LOGIN: u32 = 20;
/// Witnesses at a time: they are spread over the cores.
pub const WITNESSES: u32 = 4;
/// How long an idle connection to a backend lives here: short, so that descriptors come back soon.
pub const BACKEND_IDLE: Duration = Duration::from_millis(400);
/// How long opening a connection to a backend may take.
pub const DIAL: Duration = Duration::from_millis(1_000);
/// Connections to each backend: fewer than the hostile clients of most attacks, more than one attack can pin.
pub const CONNECTIONS: usize = 24;
/// How long the gate may take until descriptors are what they were: idle limits, kills, closes.
pub const CALM_WAIT: Duration = Duration::from_secs(20);
/// Descriptors that have not changed for so long are those of a gate at rest: above the idle limit and the second between
/// two sweeps.
pub const SETTLED: Duration = Duration::from_millis(1_800);
/// How long the gate may take to start and to serve.
pub const START_WAIT: Duration = Duration::from_secs(20);
/// How long a drained gate may take to end.
pub const STOP_WAIT: Duration = Duration::from_secs(15);
/// How long a hostile client reads at most before it thinks that nothing more comes.
pub const READ_WAIT: Duration = Duration::from_secs(10);
/// How long an attack goes on whose harm grows with time (floods, slow readers).
pub const ATTACK: Duration = Duration::from_secs(2);
/// Pause between two samples of memory and descriptors.
pub const SAMPLE_PAUSE: Duration = Duration::from_millis(20);
/// Half-open connections of the flood.
pub const HALF_OPEN: usize = 1_000;
/// Bytes that a flooding peer sends at most: far above every limit of the gate, and soon done.
pub const FLOOD_BYTES_MAX: usize = 192 << 20;
