//! What the control thread tells the cores: backends as last seen, settings, keys; immutable, replaced whole.
//!
//! Invariant: `backends[i].id == BackendId(i)`, and a backend's index never changes while the gate runs
//! (a removed one stays with `Health::Gone`), so that cores may keep indices.

use crate::admission::AdmissionSettings;
use crate::allowance::Allowances;
use crate::audit::AuditSettings;
use crate::filters::Filters;
use crate::permissions::Permissions;
use crate::querylog::QueryLogSettings;
pub use crate::session::ListenerId;
use crate::session::overtime::TimeLimits;
pub use crate::session::secure::{AccountRule, Require};
use crate::tally::failures::LoginSettings;
use crate::tally::rates::ConnectSettings;
use crate::trace::TraceSettings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use weir_net::auth::RsaKey;
use weir_net::compress::{Agreed, Allowed};
use weir_net::gtid::GtidSet;
use weir_net::proxy::Networks;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u16);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
    /// No positive evidence of either: gets no traffic.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    Down,
    /// Taken out by an operator or the topology: idle connections close, leased ones end with their transaction.
    Gone,
}

/// One backend as last seen by the control thread.
#[derive(Clone, Debug)]
pub struct BackendView {
    pub id: BackendId,
    /// What people call it: `host:port` unless the configuration names it.
    pub name: String,
    /// Under which its own transactions are numbered; None: not known, or not its own (a group's).
    pub uuid: Option<[u8; 16]>,
    pub address: Address,
    pub role: Role,
    pub health: Health,
    /// Replication delay in ms; None when unknown or when the applier is stopped: then it gets no reads (S66).
    pub lag_ms: Option<u32>,
    /// Its executed set as of the last word.
    pub executed: Arc<GtidSet>,
    /// Share of reads relative to the other replicas; 0 takes it out of reads.
    pub weight: u32,
    /// As in the handshake, for example `9.7.4-2`.
    pub version: String,
    /// For example 90704; 0 while unknown.
    pub version_number: u32,
    /// `super_read_only`/`read_only` seen at the last look.
    pub read_only: bool,
    /// Where it stands, for gates that prefer their own zone; empty: nobody said.
    pub zone: String,
    /// The server's own figures at the last look, about a second old.
    pub queries_per_second: u32,
    pub threads_connected: u32,
    pub threads_running: u32,
}

/// What the gate shows of the backends in its greeting: the lowest of what they have (S49).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    pub version: String,
    pub charset: u8,
    /// The native authentication plugin exists on the backends (8.x, MariaDB): such clients may be switched to it.
    pub native_password: bool,
}

/// How a replica is chosen for a read. All but `Random` draw two by weight and take the one with less of something, so that
/// with figures that are old by a second the reads still spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    Random,
    /// Requests under way on this core, for its weight.
    LeastOutstanding,
    /// Commands per second that this core sent there, for its weight.
    LeastQps,
    /// Statements per second that the server counts, for its weight.
    LeastGlobalQps,
    /// The time that this core's requests took there.
    LeastRt,
    LeastBehindPrimary,
    /// Connections that the server has, for its weight.
    LeastMysqlConnectedConnections,
    /// Connections that run a statement there, for its weight.
    LeastMysqlRunningConnections,
}

impl Balance {
    pub const ALL: [(Balance, &'static str); 8] = [
        (Balance::Random, "random"),
        (Balance::LeastOutstanding, "least_outstanding"),
        (Balance::LeastQps, "least_qps"),
        (Balance::LeastGlobalQps, "least_global_qps"),
        (Balance::LeastRt, "least_rt"),
        (Balance::LeastBehindPrimary, "least_behind_primary"),
        (Balance::LeastMysqlConnectedConnections, "least_mysql_connected_connections"),
        (Balance::LeastMysqlRunningConnections, "least_mysql_running_connections"),
    ];

    pub fn name(self) -> &'static str {
        Balance::ALL.iter().find(|(balance, _)| *balance == self).map_or("", |(_, name)| name)
    }

    pub fn of_name(name: &str) -> Option<Balance> {
        Balance::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(balance, _)| *balance)
    }
}

/// Read-after-write levels (S60).
pub use weir_planner::Consistency;

/// Everything an operator can set that the cores act on. Units are in the names.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Connections per backend for the whole gate: the sum over cores never exceeds it.
    pub connections_per_backend_max: u32,
    /// Grows whenever that budget shrinks: then it is shared out anew, and share of a former one, which may still be in the mail, is void.
    pub budget_version: u32,
    /// Idle connections each core keeps per backend and account whatever their idle time.
    pub connections_warm_min: u32,
    pub connection_idle_ms_max: u64,
    pub connection_age_ms_max: u64,
    /// Sessions that may wait for a connection, per core.
    pub waiters_max: u32,
    /// How long one may wait before it gets an error of the 1040 family.
    pub wait_ms_max: u64,
    pub clients_max: u32,
    /// From accept to the end of authentication.
    pub handshake_ms_max: u64,
    /// What comes new is refused while lines stand.
    pub admission: AdmissionSettings,
    /// What accounts may use.
    pub allowances: Arc<Allowances>,
    /// How long statements and transactions may take.
    pub times: TimeLimits,
    /// Logins after failed ones.
    pub logins: LoginSettings,
    /// How many may connect in a second.
    pub connects: ConnectSettings,
    /// From where a PROXY header is wanted (S46); none: from nowhere.
    pub proxy_networks: Networks,
    /// Between clients and the gate (S46).
    pub compression: Allowed,
    /// Between the gate and backends that offer it (S46).
    pub backend_compression: Option<Agreed>,
    /// A client that says nothing for this long is closed; 0 switches it off (its pinned connection obeys the server's wait_timeout).
    pub client_idle_ms_max: u64,
    pub dial_ms_max: u64,
    pub balance: Balance,
    pub read_write_splitting: bool,
    /// Percent of the reads that may go to replicas; the rest stays on the primary.
    pub read_write_splitting_ratio: u8,
    /// The gate's own zone: replicas there are preferred. Empty: all are alike.
    pub zone: String,
    /// How long a replica that comes back takes to get its full share; 0: at once.
    pub slow_start_ms: u64,
    /// `START TRANSACTION READ ONLY` may run on a replica.
    pub split_read_only_transactions: bool,
    pub consistency: Consistency,
    /// A replica behind by more gets no reads.
    pub replica_lag_ms_max: u32,
    /// Prepared statements kept per backend connection before the least recently used is closed.
    pub statements_per_connection_max: u32,
    /// At a drain: how long open transactions may go on.
    pub drain_ms_max: u64,
    /// Statements for the primary wait while there is none (S74).
    pub buffer: bool,
    /// Statements that may wait so, per core, and their bytes.
    pub buffer_size: u32,
    pub buffer_bytes_max: usize,
    /// How long one may wait.
    pub buffer_window_ms: u64,
    /// How long they may wait after the primary was lost: then they fail at once.
    pub buffer_failover_ms_max: u64,
    /// Waiting time of reads for a replica to reach what the session needs; then the primary answers.
    pub read_after_write_ms_max: u64,
    pub query_log: QueryLogSettings,
    pub audit: AuditSettings,
    pub traces: TraceSettings,
    /// Statements are counted by their normal forms.
    pub digests: bool,
    /// Statements of one normal form that run at a time, at this gate; 0: any number.
    pub digest_running_max: u32,
    /// Logins by plain TCP are refused.
    pub require_secure_transport: bool,
    /// What holds at each listener instead of that and of `proxy_networks`; beyond their end, those hold.
    pub listeners: Arc<[ListenerSettings]>,
    /// What clients of these users must show, all that stands there of one.
    pub accounts: Arc<[AccountRule]>,
    /// Stored routines that leave nothing in the session that calls them, and only read: names, with commas between.
    pub reading_routines: String,
    /// The same of those that write.
    pub modifying_routines: String,
    /// Users that may set the gate's variables for all: names, with commas between.
    pub admin_users: String,
    /// Every lease takes the connection unused for the longest time. No operator wants that: tests alone set it.
    pub scatter: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connections_per_backend_max: 200,
            budget_version: 0,
            connections_warm_min: 1,
            connection_idle_ms_max: 60_000,
            connection_age_ms_max: 3_600_000,
            waiters_max: 50_000,
            wait_ms_max: 10_000,
            clients_max: 100_000,
            handshake_ms_max: 10_000,
            admission: AdmissionSettings::default(),
            allowances: Arc::default(),
            times: TimeLimits::default(),
            logins: LoginSettings::default(),
            connects: ConnectSettings::default(),
            proxy_networks: Networks::default(),
            compression: Allowed::ALL,
            backend_compression: None,
            client_idle_ms_max: 28_800_000,
            dial_ms_max: 3_000,
            balance: Balance::LeastOutstanding,
            read_write_splitting: true,
            read_write_splitting_ratio: 100,
            zone: String::new(),
            slow_start_ms: 10_000,
            split_read_only_transactions: false,
            consistency: Consistency::Session,
            replica_lag_ms_max: 10_000,
            statements_per_connection_max: 512,
            drain_ms_max: 10_000,
            buffer: true,
            buffer_size: 10_000,
            buffer_bytes_max: 64 << 20,
            buffer_window_ms: 10_000,
            buffer_failover_ms_max: 20_000,
            read_after_write_ms_max: 20,
            query_log: QueryLogSettings::default(),
            audit: AuditSettings::default(),
            traces: TraceSettings::default(),
            digests: false,
            digest_running_max: 0,
            require_secure_transport: false,
            listeners: Arc::from([]),
            accounts: Arc::from([]),
            reading_routines: String::new(),
            modifying_routines: String::new(),
            admin_users: String::new(),
            scatter: false,
        }
    }
}

impl Settings {
    /// Logins by plain TCP are refused there.
    pub fn requires_tls_at(&self, listener: ListenerId) -> bool {
        let own = self.listeners.get(usize::from(listener.0));
        own.map_or(self.require_secure_transport, |own| own.requires_tls)
    }

    /// From where a PROXY header is wanted there.
    pub fn proxy_networks_at(&self, listener: ListenerId) -> &Networks {
        let own = self.listeners.get(usize::from(listener.0));
        own.map_or(&self.proxy_networks, |own| &own.proxy_networks)
    }
}

/// What one listener wants of those who come in there; its certificate is with the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Logins by plain TCP are refused.
    pub requires_tls: bool,
    /// From where a PROXY header is wanted; none: from nowhere.
    pub proxy_networks: Networks,
}

/// Towards backends over TCP (S46).
#[derive(Clone)]
pub struct BackendTls {
    pub config: Arc<rustls::ClientConfig>,
    /// A backend without TLS is not logged in to.
    pub is_required: bool,
}

/// What the cores need to greet clients in secret, and backends.
#[derive(Clone)]
pub struct Keys {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Of each listener instead, None for no TLS; beyond their end, that one holds. Each has a memory of sessions of its own, so that what
    /// one has let in is resumed at no other.
    pub listeners: Arc<[Option<Arc<rustls::ServerConfig>>]>,
    /// None: backends are spoken to in plain.
    pub backend_tls: Option<BackendTls>,
    pub rsa: Arc<RsaKey>,
}

impl Keys {
    /// None: clients get no TLS there.
    pub fn tls_at(&self, listener: ListenerId) -> Option<&Arc<rustls::ServerConfig>> {
        let own = self.listeners.get(usize::from(listener.0));
        own.map_or(self.tls.as_ref(), Option::as_ref)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys(tls: {})", self.tls.is_some())
    }
}

/// Who is to be primary, by somebody's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mandate {
    /// Of the topology; 0: nobody decides, and the servers' own evidence alone counts.
    pub epoch: u64,
    pub holder: Option<BackendId>,
    /// The holder's server; None while it is not known.
    pub uuid: Option<[u8; 16]>,
    /// Another is about to follow the holder: nothing new is to begin there.
    pub is_ending: bool,
    /// Without a holder: the move is planned, and what still runs on the former one ends by itself.
    pub is_planned: bool,
    /// What the holder was promoted with; empty for one that was found. A word of it that shows less is older than that.
    pub promoted: Arc<GtidSet>,
}

/// One state of the world. Later ones have a larger `generation`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub generation: u64,
    pub backends: Vec<BackendView>,
    pub settings: Arc<Settings>,
    pub keys: Keys,
    pub face: Face,
    pub mandate: Mandate,
    /// None: MySQL's own grants alone count.
    pub permissions: Option<Permissions>,
    /// None: there never were any since the gate's start.
    pub filters: Option<Filters>,
}

impl Snapshot {
    pub fn backend(&self, id: BackendId) -> &BackendView {
        &self.backends[id.0 as usize]
    }

    /// The one backend that takes writes, if it is up.
    pub fn primary(&self) -> Option<BackendId> {
        self.backends.iter().find(|b| b.role == Role::Primary && b.health == Health::Up).map(|b| b.id)
    }
}
