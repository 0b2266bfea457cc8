//! The keys of the configuration file: one table that reading, `--print-config` and the suggestions for mistyped names
//! share.
//!
//! Invariant: a key with a number, a switch or a word is read, checked and printed by its row alone. Those marked
//! [`Kind::Own`] have code in `file`, `meaning` and `print`.

use crate::config::{BackendTlsMode, ClientAuth, LogFormat, TlsVersion};
use weir_core::snapshot::{Balance, Consistency};
use weir_net::compress::Agreed;

pub use crate::config::key::{Key, Kind};
use crate::config::key::{name, number, own, switch};

pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

pub fn names(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// In the order in which they are printed. `backends`, `mirrors`, `listeners` and `accounts` are lists of tables.
pub const SECTIONS: [&str; 13] = [
    "gate",
    "backends",
    "mirrors",
    "listeners",
    "monitor",
    "pool",
    "routing",
    "limits",
    "accounts",
    "log",
    "query_log",
    "audit_log",
    "traces",
];

/// Sections that are lists of tables.
pub const LISTS: [&str; 4] = ["backends", "mirrors", "listeners", "accounts"];

/// As it stands above a section's keys.
pub fn heading(section: &str) -> String {
    if LISTS.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") }
}

/// A thousand days: above it a number is a slip.
const MS_MAX: u64 = 86_400_000_000;
const HOUR_MS: u64 = 3_600_000;

pub const KEYS: &[Key] = &[
    own!(
        "gate",
        "listen",
        "Where clients come in: \"host:port\" or \"unix:/path\". Every core listens on each. Ports with a policy of their own: [[listeners]]."
    ),
    own!(
        "gate",
        "admin_listen",
        "Metrics, health and status over HTTP (/metrics, /healthz, /readyz, /status); \"off\" for none."
    ),
    own!(
        "gate",
        "admin_sql_listen",
        "The admin port, \"host:port\": SHOW WEIR, EXPLAIN ROUTE, KILL and SET GLOBAL with any MySQL client, whatever the backends do. Or \"off\"."
    ),
    name!("gate", "admin_sql_user", admin_sql.user, "Who logs in there: an account of this gate alone, not of MySQL."),
    own!("gate", "admin_sql_password_file", "A file whose first line is its password. Needed with admin_sql_listen."),
    own!("gate", "grpc_listen", "The same over gRPC, for 'weir ctl'; by default the next port after admin_listen."),
    own!(
        "gate",
        "cores",
        "CPUs to run on: a number of them, a list \"2,3\" or a range \"0-3\". By default all that the process may use."
    ),
    own!(
        "gate",
        "compression",
        "What clients may use, as mysqld's protocol_compression_algorithms: \"zlib\", \"zstd\", \"uncompressed\"."
    ),
    own!(
        "gate",
        "proxy_protocol",
        "\"required\": balancers in proxy_protocol_networks say first who their client is (PROXY protocol 1 or 2). Or \"off\"."
    ),
    own!(
        "gate",
        "proxy_protocol_networks",
        "From where: [\"10.0.0.0/8\", \"::1\", \"unix\"], or \"*\" for all. Who is in none of them is a client like any other."
    ),
    own!("gate", "tls", "Whether clients may use TLS. Without the keys below the certificate is made at each start."),
    own!("gate", "tls_cert", "The certificate's file (PEM, with its chain). Needs tls_key."),
    own!("gate", "tls_key", "The file of its private key (PEM)."),
    own!(
        "gate",
        "tls_dir",
        "A folder for ca.pem, server-cert.pem and server-key.pem, which are made there at the first start."
    ),
    own!("gate", "tls_ca", "The authorities that sign clients' certificates (PEM), for tls_client_auth."),
    Key {
        section: "gate",
        name: "tls_client_auth",
        doc: "Whether clients that use TLS show a certificate of tls_ca: \"off\", \"optional\" (a wrong one is refused), \"required\".",
        kind: Kind::Word {
            words: &["off", "optional", "required"],
            read: |config| config.client_tls.auth.word(),
            write: |config, word| config.client_tls.auth = ClientAuth::of_word(word),
        },
    },
    Key {
        section: "gate",
        name: "tls_min_version",
        doc: "The oldest version of TLS that clients may use: \"1.2\" or \"1.3\".",
        kind: Kind::Word {
            words: &["1.2", "1.3"],
            read: |config| config.client_tls.version_min.word(),
            write: |config, word| config.client_tls.version_min = TlsVersion::of_word(word),
        },
    },
    switch!(
        "gate",
        "require_secure_transport",
        settings.require_secure_transport,
        "As MySQL's: logins by plain TCP are refused (3159); TLS and Unix sockets are fine."
    ),
    own!(
        "gate",
        "controllers",
        "\"host:port,host:port\": who tells of the cluster's members and its primary; then no backend need be named."
    ),
    own!(
        "gate",
        "controllers_cache",
        "A file for their last word: with it the gate starts when no controller is there."
    ),
    own!(
        "gate",
        "peers",
        "\"host:port,host:port\": gRPC of the other gates of a cluster without controllers: KILL reaches their clients."
    ),
    own!("gate", "grpc_tls_cert", "The certificate for gRPC, as a server and towards tablets and controllers (PEM)."),
    own!("gate", "grpc_tls_key", "The file of its private key (PEM)."),
    own!(
        "gate",
        "grpc_tls_ca",
        "The authority that signs the others' certificates (PEM); with it tablets and controllers are asked by TLS."
    ),
    own!(
        "gate",
        "permissions",
        "A file of table permissions (TOML or JSON), read again when it changes: who may read, write and change which tables, beside MySQL's own grants."
    ),
    own!(
        "gate",
        "filters_file",
        "A file that keeps the filters (CREATE FILTER) of a gate without controllers; read again when it changes. Controllers keep them for all gates."
    ),
    name!(
        "gate",
        "admin_users",
        settings.admin_users,
        "Users (\"ops,root\") who see and end sessions of all users, see digests and events, SET GLOBAL the gate's own variables and change its filters."
    ),
    switch!(
        "gate",
        "digests",
        settings.digests,
        "Statements are counted by their normal forms, for SHOW WEIR DIGESTS. Costs time where texts are new."
    ),
    number!("gate", "blocks_per_core", 64, 1 << 20, memory.blocks_per_core: usize, "Blocks of memory for bytes under way, per core."),
    number!("gate", "block_bytes", 4 << 10, 1 << 20, memory.block_bytes: usize, "Bytes of each."),
    number!("gate", "backlog", 1, 1 << 16, memory.backlog: i32, "Connections that may wait to be accepted, per core. The kernel cuts it to net.core.somaxconn."),
    own!("backends", "address", "\"host:port\" or \"unix:/path\"."),
    own!("backends", "name", "What messages and metrics call it; by default its address."),
    own!("backends", "weight", "Its share of reads relative to the other replicas; 0 takes it out of reads."),
    own!("backends", "zone", "Where it stands (a data centre, say); see zone in [routing]."),
    own!(
        "backends",
        "role",
        "\"primary\" or \"replica\": believed whatever the server says. By default the server's own evidence decides."
    ),
    own!(
        "backends",
        "tablet",
        "\"host:port\" of the tablet that tells of this server, and where it is: then it needs no address."
    ),
    own!("mirrors", "name", "What filters call it: action='MIRROR', action_args='target=name'."),
    own!("mirrors", "address", "\"host:port\" or \"unix:/path\" of a server that runs copies of reads."),
    own!("mirrors", "user", "The account that runs them there. Give it SELECT on what is mirrored, and nothing else."),
    own!("mirrors", "password_file", "A file whose first line is its password."),
    own!(
        "mirrors",
        "connections_max",
        "Connections to it, beside those of the pools: as many copies run there at a time."
    ),
    own!("mirrors", "tls", "As backend_tls in [pool], without \"preferred\"."),
    own!(
        "mirrors",
        "tls_ca",
        "The PEM file of the authorities that sign its certificate, for verify_ca and verify_identity."
    ),
    own!(
        "listeners",
        "address",
        "\"host:port\" or \"unix:/path\": where clients come in by the rules below. It stands here and not in listen, which may then be empty."
    ),
    own!(
        "listeners",
        "tls",
        "\"off\", \"optional\" or \"required\" (plain TCP is refused, 3159); it counts more than require_secure_transport. Not for Unix sockets."
    ),
    own!("listeners", "tls_cert", "The certificate that is shown here (PEM, with its chain). Needs tls_key."),
    own!("listeners", "tls_key", "The file of its private key (PEM)."),
    own!("listeners", "tls_client_auth", "As in [gate]; \"required\" needs tls = \"required\"."),
    own!("listeners", "tls_ca", "The authorities that sign clients' certificates here (PEM)."),
    own!("listeners", "tls_min_version", "The oldest version of TLS that clients may use here."),
    own!("listeners", "proxy_protocol", "As in [gate], for this address; the networks are those named there."),
    own!(
        "monitor",
        "user",
        "The account that looks at the backends. It needs REPLICATION CLIENT and SELECT on performance_schema."
    ),
    own!("monitor", "password", "Its password. Better in password_file or in the environment (WEIR_MONITOR_PASSWORD)."),
    own!("monitor", "password_file", "A file whose first line is the password."),
    number!("monitor", "interval_ms", 10, 60_000, monitor.interval_ms: u64, "Between two looks at a backend."),
    number!("monitor", "timeout_ms", 50, 60_000, monitor.timeout_ms: u64, "A backend that takes longer to answer a look is down."),
    number!("monitor", "start_ms_max", 0, HOUR_MS, monitor.start_ms_max: u64, "How long the start waits for a first backend."),
    switch!(
        "monitor",
        "discover",
        monitor.discover,
        "Replicas that a backend names (SHOW REPLICAS) become backends. Needs REPLICATION SLAVE, and report_host on replicas."
    ),
    number!("monitor", "lag_ms_max", 1, u32::MAX as u64, settings.replica_lag_ms_max: u32, "A replica behind by more gets no reads."),
    number!("pool", "connections_per_backend_max", 1, 100_000, settings.connections_per_backend_max: u32, "Connections to each backend, for the whole gate. Keep it below the server's max_connections."),
    number!("pool", "connections_warm_min", 0, 10_000, settings.connections_warm_min: u32, "Idle connections that each core keeps per backend and account, however long they idle."),
    number!("pool", "connection_idle_ms_max", 100, MS_MAX, settings.connection_idle_ms_max: u64, "An idle connection is closed after this. Keep it below the server's wait_timeout."),
    number!("pool", "connection_age_ms_max", 1_000, MS_MAX, settings.connection_age_ms_max: u64, "A connection is replaced after this, once it is free."),
    number!("pool", "waiters_max", 0, 10_000_000, settings.waiters_max: u32, "Sessions that may wait for a connection, per core."),
    Key {
        section: "pool",
        name: "backend_tls",
        doc: "TLS to backends over TCP, as MySQL's --ssl-mode: \"off\", \"preferred\" or \"required\" (any certificate), \
              \"verify_ca\", \"verify_identity\" (made out to the backend's IP address).",
        kind: Kind::Word {
            words: &["off", "preferred", "required", "verify_ca", "verify_identity"],
            read: |config| config.backend_tls.word(),
            write: |config, word| config.backend_tls = BackendTlsMode::of_word(word),
        },
    },
    own!(
        "pool",
        "backend_tls_ca",
        "The PEM file of the authorities that sign the backends' certificates, for verify_ca and verify_identity."
    ),
    Key {
        section: "pool",
        name: "backend_compression",
        doc: "Compression with backends that offer it: \"off\", \"zlib\", \"zstd\" (level 3). Costs CPU time on both ends.",
        kind: Kind::Word {
            words: &["off", "zlib", "zstd"],
            read: |config| match config.settings.backend_compression {
                None => "off",
                Some(Agreed::Zlib) => "zlib",
                Some(Agreed::Zstd { .. }) => "zstd",
            },
            write: |config, word| {
                config.settings.backend_compression = match word {
                    "zlib" => Some(Agreed::Zlib),
                    "zstd" => Some(Agreed::Zstd { level: 3 }),
                    _ => None,
                }
            },
        },
    },
    switch!("pool", "enable_buffer", settings.buffer, "Whether statements for the primary wait while there is none."),
    number!("pool", "buffer_size", 0, 10_000_000, settings.buffer_size: u32, "Statements that may wait for a primary, per core."),
    number!("pool", "buffer_bytes_max", 0, 64 << 30, settings.buffer_bytes_max: usize, "Bytes of those, per core."),
    number!("pool", "buffer_window_ms", 0, HOUR_MS, settings.buffer_window_ms: u64, "How long one may wait for a primary before it gets an error."),
    number!("pool", "buffer_max_failover_duration_ms", 0, HOUR_MS, settings.buffer_failover_ms_max: u64, "How long statements may wait after the primary was lost; then they fail at once."),
    number!("pool", "wait_ms_max", 0, HOUR_MS, settings.wait_ms_max: u64, "How long one may wait before it gets an error."),
    number!("pool", "dial_ms_max", 10, HOUR_MS, settings.dial_ms_max: u64, "How long opening a connection may take, login included."),
    number!("pool", "statements_per_connection_max", 1, 1_000_000, settings.statements_per_connection_max: u32, "Prepared statements kept per connection. All connections together must stay below the server's max_prepared_stmt_count."),
    Key {
        section: "routing",
        name: "balance",
        doc: "How a replica is chosen: \"random\" by weight, or two by weight and then the one with the least of something \
              (least_outstanding: requests under way; least_rt: time to answer; …).",
        kind: Kind::Word {
            words: &[
                "random",
                "least_outstanding",
                "least_qps",
                "least_global_qps",
                "least_rt",
                "least_behind_primary",
                "least_mysql_connected_connections",
                "least_mysql_running_connections",
            ],
            read: |config| config.settings.balance.name(),
            write: |config, word| config.settings.balance = Balance::of_name(word).unwrap_or(config.settings.balance),
        },
    },
    switch!(
        "routing",
        "read_write_splitting",
        settings.read_write_splitting,
        "Send reads to replicas. Otherwise everything goes to the primary."
    ),
    switch!(
        "routing",
        "split_read_only_transactions",
        settings.split_read_only_transactions,
        "START TRANSACTION READ ONLY may run on a replica."
    ),
    Key {
        section: "routing",
        name: "consistency",
        doc: "What a read sees at least: \"eventual\" nothing in particular, \"session\" what its session wrote and saw, \
              \"instance\" what any client of this gate wrote, \"global\" all that was committed when it came.",
        kind: Kind::Word {
            words: &["session", "eventual", "instance", "global"],
            read: |config| match config.settings.consistency {
                Consistency::Eventual => "eventual",
                Consistency::Session => "session",
                Consistency::Instance => "instance",
                Consistency::Global => "global",
            },
            write: |config, word| {
                config.settings.consistency =
                    Consistency::of_name(word.as_bytes()).unwrap_or(config.settings.consistency);
            },
        },
    },
    name!(
        "routing",
        "reading_routines",
        settings.reading_routines,
        "Stored functions and procedures (\"f_total, report_*\"; in any schema) that only read and leave nothing in the session: they run on replicas and keep no connection."
    ),
    name!(
        "routing",
        "modifying_routines",
        settings.modifying_routines,
        "The same of those that write: they run on the primary and keep no connection."
    ),
    number!("routing", "read_after_write_ms_max", 0, HOUR_MS, settings.read_after_write_ms_max: u64, "How long a read waits for a replica to have what its session wrote; then the primary answers."),
    number!("routing", "read_write_splitting_ratio", 0, 100, settings.read_write_splitting_ratio: u8, "Percent of the reads that may go to replicas; the rest stays on the primary."),
    number!("routing", "slow_start_ms", 0, HOUR_MS, settings.slow_start_ms: u64, "How long a replica that comes back takes to get its full share of reads."),
    name!(
        "routing",
        "zone",
        settings.zone,
        "Where this gate stands: replicas of the same zone are preferred while one of them can serve."
    ),
    number!("limits", "clients_max", 1, 10_000_000, settings.clients_max: u32, "Client connections, for the whole gate."),
    number!("limits", "handshake_ms_max", 100, HOUR_MS, settings.handshake_ms_max: u64, "From accept to the end of the login."),
    number!("limits", "client_idle_ms_max", 0, MS_MAX, settings.client_idle_ms_max: u64, "A client that says nothing for this long is closed; 0: never."),
    number!("limits", "statement_ms_max", 0, MS_MAX, settings.times.statement_ms_max: u64, "A statement that runs for longer is ended (KILL QUERY) and gets error 3024; 0: no limit."),
    number!("limits", "transaction_ms_max", 0, MS_MAX, settings.times.transaction_ms_max: u64, "A transaction that is open for longer is rolled back, and its client told (1213); 0: no limit."),
    number!("limits", "transaction_idle_ms_max", 0, MS_MAX, settings.times.transaction_idle_ms_max: u64, "The same where nothing is asked within an open transaction for longer; 0: no limit."),
    number!("limits", "connects_per_s_max", 0, 1_000_000, settings.connects.per_s_max: u32, "Client connections in a second, for the whole gate; more get error 1040; 0: no limit."),
    number!("limits", "connects_per_address_per_s_max", 0, 1_000_000, settings.connects.per_address_per_s_max: u32, "The same from one address (IPv6: one /64 network); not for Unix sockets."),
    Key {
        section: "limits",
        name: "admission",
        doc: "\"latency\": while all wait for connections for too long, a part of what comes is refused (3168), lowest weights first.",
        kind: Kind::Word {
            words: &["off", "latency"],
            read: |config| if config.settings.admission.is_on { "latency" } else { "off" },
            write: |config, word| config.settings.admission.is_on = word == "latency",
        },
    },
    number!("limits", "admission_target_ms", 1, HOUR_MS, settings.admission.target_ms: u64, "How long the shortest wait may be meanwhile."),
    number!("limits", "login_failures_max", 0, 1_000_000, settings.logins.failures_max: u32, "After so many failed logins in a row, of an address or of an account, the next ones are put off; 0: never."),
    number!("limits", "login_delay_ms_min", 0, HOUR_MS, settings.logins.delay_ms_min: u64, "The first such delay; each further failure doubles it."),
    number!("limits", "login_delay_ms_max", 0, HOUR_MS, settings.logins.delay_ms_max: u64, "The longest one. Keep it below the connect timeout of clients."),
    number!("limits", "digest_running_max", 0, 1_000_000, settings.digest_running_max: u32, "Statements of one normal form (SHOW WEIR DIGESTS) that run at a time, for the whole gate; more wait in line. 0: no limit."),
    number!("limits", "drain_ms_max", 0, HOUR_MS, settings.drain_ms_max: u64, "At the end: how long open transactions may go on."),
    number!("limits", "upgrade_drain_ms_max", 0, MS_MAX, upgrade_drain_ms_max: u64, "After an upgrade: how long the former process's sessions go on there before they are drained; 0: for ever."),
    own!("accounts", "user", "Whose row it is, whatever password and address; \"*\": of each user that has none."),
    own!(
        "accounts",
        "require",
        "As MySQL's REQUIRE: \"ssl\", \"x509\", \"subject:/C=SE/CN=app\", \"issuer:/CN=ca\", or a list of them. Who does not show it gets 1045."
    ),
    own!(
        "accounts",
        "connections_max",
        "Clients of it at a time, for the whole gate; more get error 1226. 0: no limit."
    ),
    own!(
        "accounts",
        "running_max",
        "Statements of it that run at a time, for the whole gate; more wait in line. 0: no limit."
    ),
    own!("accounts", "waiting_max", "Statements that may wait so; more get error 1226. 0: none waits."),
    own!("accounts", "wait_ms_max", "How long one may wait so before it gets error 1226."),
    own!(
        "accounts",
        "weight",
        "Its turns where sessions wait for connections, relative to other accounts waiting there."
    ),
    own!("accounts", "statement_ms_max", "As in [limits], for this user; 0: no limit."),
    own!("accounts", "transaction_ms_max", "As in [limits], for this user; 0: no limit."),
    own!("accounts", "transaction_idle_ms_max", "As in [limits], for this user; 0: no limit."),
    own!(
        "log",
        "level",
        "off, error, warn, info, debug or trace; also per part, as in \"info,weir_control::monitor=debug\"."
    ),
    Key {
        section: "log",
        name: "format",
        doc: "\"text\" for people, \"json\" for machines. Both go to standard error.",
        kind: Kind::Word {
            words: &["text", "json"],
            read: |config| match config.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
            write: |config, word| {
                config.log.format = if word == "json" { LogFormat::Json } else { LogFormat::Text };
            },
        },
    },
    own!("query_log", "file", "A file for statements, one JSON line each; without it there is no query log."),
    number!("query_log", "sample", 0, u32::MAX as u64, query_log.sample: u32, "One of so many statements is logged; 0: none but the slow ones."),
    number!("query_log", "slow_ms", 0, MS_MAX, query_log.slow_ms: u64, "A statement that takes so long is always logged; 0: none is slow."),
    Key {
        section: "query_log",
        name: "literals",
        doc: "\"redacted\": '?' for each literal and no parameters; \"shown\": as they are, but never in statements about passwords.",
        kind: Kind::Word {
            words: &["redacted", "shown"],
            read: |config| if config.query_log.shows_literals { "shown" } else { "redacted" },
            write: |config, word| config.query_log.shows_literals = word == "shown",
        },
    },
    number!("query_log", "bytes_max", 64 << 10, 1 << 40, query_log.bytes_max: u64, "The file is rotated before it grows beyond this."),
    number!("query_log", "files_kept", 0, 1_000, query_log.files_kept: u32, "Rotated files that are kept: file.1, file.2, …"),
    own!(
        "audit_log",
        "file",
        "A file for logins, kills, refusals and changes, one JSON line each; without it there is no audit log."
    ),
    own!("audit_log", "events", "What it is told of; by default all."),
    Key {
        section: "audit_log",
        name: "on_full",
        doc: "While its disk is full, or it is behind: \"drop\" counts what is lost, \"refuse\" lets nobody log in, too.",
        kind: Kind::Word {
            words: &["drop", "refuse"],
            read: |config| if config.audit_log.refuses { "refuse" } else { "drop" },
            write: |config, word| config.audit_log.refuses = word == "refuse",
        },
    },
    number!("audit_log", "bytes_max", 64 << 10, 1 << 40, audit_log.bytes_max: u64, "The file is rotated before it grows beyond this."),
    number!("audit_log", "files_kept", 0, 1_000, audit_log.files_kept: u32, "Rotated files that are kept: file.1, file.2, …"),
    name!(
        "traces",
        "endpoint",
        traces.endpoint,
        "Where a collector takes OpenTelemetry traces (OTLP over gRPC), \"http://host:4317\" or \"https://…\"; without it there are no traces."
    ),
    own!("traces", "tls_ca", "The PEM file of the authority that signs the collector's certificate, for https://."),
    own!(
        "traces",
        "headers_file",
        "A file of headers that each export has, `name: value` a line: a collector's credentials. It is read again for each export."
    ),
    Key {
        section: "traces",
        name: "compression",
        doc: "Of exports: \"none\" or \"gzip\".",
        kind: Kind::Word {
            words: &["none", "gzip"],
            read: |config| if config.traces.gzip { "gzip" } else { "none" },
            write: |config, word| config.traces.gzip = word == "gzip",
        },
    },
    number!("traces", "sample", 0, u32::MAX as u64, traces.sample: u32, "One of so many statements without a context is traced, by a draw; 0: only those that their clients have sampled."),
    number!("traces", "per_s_max", 1, 100_000, traces.per_s_max: u32, "Statements traced in a second, on each core; more are counted."),
];
