//! The one place where what went wrong becomes what the client sees: code, SQLSTATE and a sentence that says what to do.

use crate::engine::moves::Unbuffered;
use crate::permissions::Denied;
use crate::session::Peer;
use crate::session::admin::Deed;
use weir_net::compress::NotAgreed;
use weir_net::outcome::ErrPacket;
use weir_net::statement::PARAMETERS_MISCOUNTED;

/// Why the gate itself answers with an error. What a backend says is passed on instead, untouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooManyClients {
        limit: u32,
    },
    /// Of connections in a second.
    TooFast {
        setting: &'static str,
        limit: u32,
    },
    /// As many of its logins as may be put off are so already.
    HostHeld {
        host: String,
        ms: u64,
    },
    /// Everybody waits for a connection for longer than this.
    Overloaded {
        target_ms: u64,
    },
    /// Nobody comes in while it cannot be written down.
    AuditStuck,
    AccountConnections {
        user: String,
        limit: u32,
    },
    /// By the filter of this name.
    FilterFailed {
        name: String,
        desc: String,
    },
    /// None: it may not even wait.
    FilterQueue {
        name: String,
        running_max: u32,
        waiting_max: u32,
        waited_ms: Option<u64>,
    },
    /// Of one normal form. None: it may not even wait.
    DigestRunning {
        limit: u32,
        waiting_max: u32,
        waited_ms: Option<u64>,
    },
    FilterRewrite {
        name: String,
        why: &'static str,
    },
    /// Not to be read.
    BadFilter(String),
    FilterNotChanged(String),
    /// None: it may not even wait.
    AccountRunning {
        user: String,
        limit: u32,
        waiting_max: u32,
        waited_ms: Option<u64>,
    },
    StatementTimeout {
        ms: u64,
    },
    TransactionTimeout {
        ms: u64,
        setting: &'static str,
    },
    Draining,
    HandshakeTimeout,
    BadHandshake(&'static str),
    AccessDenied {
        user: String,
        peer: Peer,
        with_password: bool,
    },
    AuthUnsupported(String),
    SecureTransportRequired,
    LineFull {
        backend: String,
        limit: u32,
    },
    WaitTimeout {
        backend: String,
        waited_ms: u64,
        quota: u32,
        waiting: u32,
    },
    NoPrimary {
        waited_ms: u64,
    },
    /// There is none, and this statement may not wait for one (S74).
    Unbuffered {
        why: Unbuffered,
        waited_ms: u64,
    },
    BackendLost {
        backend: String,
    },
    /// The connection died after a write was sent (S72).
    UnknownOutcome {
        backend: String,
        /// Why it cannot be known.
        why: String,
    },
    /// Its answer was lost, and it is on the primary (S72).
    Committed {
        backend: String,
        gtids: String,
        /// That is all of it.
        is_whole: bool,
    },
    /// Its answer was lost, and it is not on the primary (S72).
    Absent {
        backend: String,
    },
    TransactionLost {
        backend: String,
    },
    UnknownCommand,
    CloneRefused,
    UnknownStatement {
        id: u32,
    },
    NoOpenCursor {
        id: u32,
    },
    /// The session's own statement or connection was killed by itself.
    Interrupted,
    TooManyStatements,
    MalformedCommand(&'static str),
    OutOfOrder,
    /// A compressed frame does not open.
    Uncompress,
    /// The client wants another compression than the gate allows, or none.
    WrongCompression(NotAgreed),
    DiagnosticsGone,
    InsertIdGone,
    ReplicaHintInTransaction,
    PasswordExpired,
    HeldByReplica,
    KillByNumber,
    /// In a prepared statement of the gate's own.
    Parameters,
    NoSuchThread(u64),
    NotOwner(u64),
    /// Of a client of another gate.
    KillUnanswered {
        id: u64,
        why: String,
    },
    BadGateSetting {
        name: String,
        value: String,
    },
    /// Of a variable that a gate as a whole has not.
    SessionVariable(String),
    /// The other way round.
    GlobalVariable(String),
    NotAdmin {
        user: String,
        deed: Deed,
    },
    /// What is wrong with it, as a sentence.
    BadShow(String),
    /// By table permissions, in the server's words.
    TableDenied(String),
    SchemaDenied {
        user: String,
        schema: String,
    },
    TablesUnknown {
        user: String,
        host: String,
        why: &'static str,
    },
}

impl Refusal {
    /// Code, SQLSTATE, message.
    pub fn words(&self) -> (u16, &'static [u8; 5], String) {
        use Refusal as R;
        match self {
            R::TooManyClients { limit } => {
                (1040, b"08004", format!("Too many connections: the gate's limit is {limit} clients (clients_max)"))
            }
            R::TooFast { setting, limit } => (
                1040,
                b"08004",
                format!("Too many connections: more than {limit} came within a second ({setting}); connect again later"),
            ),
            R::HostHeld { host, ms } => (
                1129,
                b"HY000",
                format!(
                    "Host '{host}' is blocked because of many failed logins: as many as may wait do so already \
                     (login_failures_max); try again in {ms} ms"
                ),
            ),
            R::Overloaded { target_ms } => (
                3168,
                b"HY000",
                format!(
                    "Server isn't available: overloaded, all wait for connections for more than {target_ms} ms (admission); \
                     nothing was sent, so it is safe to retry later"
                ),
            ),
            R::AuditStuck => (
                3168,
                b"HY000",
                "Server isn't available: the gate's audit log cannot be written (on_full), so nobody may log in; try again".into(),
            ),
            R::AccountConnections { user, limit } => (
                1226,
                b"42000",
                format!("User '{user}' has exceeded the 'connections_max' resource (current value: {limit}): close connections"),
            ),
            R::AccountRunning { user, limit, waiting_max, waited_ms } => {
                let why = why_not_its_turn(*waited_ms, *waiting_max, ("wait_ms_max", "waiting_max"));
                let what = "nothing was sent, so it is safe to retry";
                let exceeded = format!("User '{user}' has exceeded the 'running_max' resource (current value: {limit})");
                (1226, b"42000", format!("{exceeded}: {why}; {what}"))
            }
            R::FilterFailed { name, desc } => {
                let desc = if desc.is_empty() { String::new() } else { format!(": {desc}") };
                let what = "/*explain filter*/ in front of it tells which filters match";
                (1105, b"HY000", format!("The filter '{name}' refuses this statement (FAIL){desc}; {what}"))
            }
            R::FilterQueue { name, running_max, waiting_max, waited_ms } => {
                let why = why_not_its_turn(*waited_ms, *waiting_max, ("max_wait_ms", "max_queue_size"));
                let what = "nothing was sent, so it is safe to retry";
                let limit = format!("the filter '{name}' lets {running_max} such statements run at once (max_concurrency)");
                (3168, b"HY000", format!("Server isn't available: {limit}, and this one {why}; {what}"))
            }
            R::DigestRunning { limit, waiting_max, waited_ms } => {
                let why = why_not_its_turn(*waited_ms, *waiting_max, ("wait_ms_max", "waiters_max"));
                let what = "nothing was sent, so it is safe to retry later";
                let limit = format!("{limit} statements of its form run at once (digest_running_max)");
                (3168, b"HY000", format!("Server isn't available: {limit}, and this one {why}; {what}"))
            }
            R::FilterRewrite { name, why } => (
                1105,
                b"HY000",
                format!("The filter '{name}' cannot rewrite this statement (REWRITE): {why}; nothing was sent"),
            ),
            R::BadFilter(why) => (1064, b"42000", why.clone()),
            R::FilterNotChanged(why) => (1105, b"HY000", format!("The filters stay as they are: {why}")),
            R::StatementTimeout { ms } => (
                3024,
                b"HY000",
                format!("Query execution was interrupted, maximum statement execution time exceeded: {ms} ms (statement_ms_max)"),
            ),
            R::TransactionTimeout { ms, setting } => (
                1213,
                b"40001",
                format!("The transaction was rolled back: it took more than {ms} ms ({setting}); restart the transaction"),
            ),
            R::Draining => (1053, b"08S01", "Server shutdown in progress: this gate is draining, connect again".into()),
            R::HandshakeTimeout => (1159, b"08S01", "Got timeout reading communication packets: login took too long".into()),
            R::BadHandshake(what) => (1043, b"08S01", format!("Bad handshake: {what}")),
            R::AccessDenied { user, peer, with_password } => {
                let using = if *with_password { "YES" } else { "NO" };
                let host = peer.host();
                (1045, b"28000", format!("Access denied for user '{user}'@'{host}' (using password: {using})"))
            }
            R::SecureTransportRequired => (
                3159,
                b"HY000",
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.".into(),
            ),
            R::AuthUnsupported(plugin) => {
                (1251, b"08004", format!("The backend wants authentication plugin '{plugin}', which the gate does not support"))
            }
            R::LineFull { backend, limit } => (
                1040,
                b"08004",
                format!("Too many connections: {limit} sessions already wait for {backend} (waiters_max)"),
            ),
            R::WaitTimeout { backend, waited_ms, quota, waiting } => (
                1040,
                b"08004",
                format!(
                    "Too many connections: no connection to {backend} became free within {waited_ms} ms \
                     ({quota} allowed on this core, {waiting} sessions waiting); nothing was sent, so it is safe to retry"
                ),
            ),
            R::NoPrimary { waited_ms } => (
                1290,
                b"HY000",
                format!("No primary is up: waited {waited_ms} ms; nothing was sent, so it is safe to retry (--read-only)"),
            ),
            R::Unbuffered { why, waited_ms } => {
                let why = match why {
                    Unbuffered::Off => "statements don't wait for one here (enable_buffer)".to_string(),
                    Unbuffered::Full => "too many statements wait for one already (buffer_size, buffer_bytes_max)".to_string(),
                    Unbuffered::TooLong => {
                        format!("there has been none for too long (buffer_max_failover_duration_ms), waited {waited_ms} ms")
                    }
                };
                let what = "nothing was sent, so it is safe to retry (--read-only)";
                (1290, b"HY000", format!("No primary is up, and {why}; {what}"))
            }
            R::BackendLost { backend } => {
                (2013, b"HY000", format!("Lost connection to {backend} during a query that changes nothing; retry it"))
            }
            R::UnknownOutcome { backend, why } => (
                2013,
                b"HY000",
                format!("Lost connection to {backend} after the statement was sent: whether it ran is unknown ({why})"),
            ),
            R::Committed { backend, gtids, is_whole: false } => (
                2013,
                b"HY000",
                format!(
                    "Lost connection to {backend} after the statement was sent. It committed {gtids}; whether all of it \
                     ran is unknown"
                ),
            ),
            R::Committed { backend, gtids, is_whole: true } => (
                2013,
                b"HY000",
                format!(
                    "Lost connection to {backend} after the statement was sent. It committed as {gtids}, and only its \
                     answer is lost: don't repeat it"
                ),
            ),
            R::Absent { backend } => (
                2013,
                b"HY000",
                format!(
                    "Lost connection to {backend} after the statement was sent. Nothing of it is on the primary: \
                     it is safe to repeat it"
                ),
            ),
            R::TransactionLost { backend } => (
                1213,
                b"40001",
                format!("The connection to {backend} was lost and with it the open transaction; restart the transaction"),
            ),
            R::UnknownCommand => (1047, b"08S01", "Unknown command".into()),
            R::CloneRefused => (1047, b"08S01", "COM_CLONE does not pass through the gate: clone from the backend directly".into()),
            R::UnknownStatement { id } => {
                (1243, b"HY000", format!("Unknown prepared statement handler ({id}) given to mysql_stmt_precheck"))
            }
            R::NoOpenCursor { id } => (1421, b"HY000", format!("The statement ({id}) has no open cursor.")),
            R::Interrupted => (1317, b"70100", "Query execution was interrupted".into()),
            R::TooManyStatements => (
                1461,
                b"42000",
                "Can't create more than max_prepared_stmt_count statements: this session's limit at the gate is reached".into(),
            ),
            R::MalformedCommand("") => (1835, b"HY000", "Malformed communication packet.".into()),
            R::MalformedCommand(PARAMETERS_MISCOUNTED) => {
                (1210, b"HY000", "Incorrect arguments to COM_STMT_EXECUTE".into())
            }
            R::MalformedCommand(what) => (1835, b"HY000", format!("Malformed communication packet: {what}")),
            R::OutOfOrder => (1156, b"08S01", "Got packets out of order".into()),
            R::Uncompress => (1157, b"08S01", "Couldn't uncompress communication packet".into()),
            R::WrongCompression(NotAgreed::Algorithm(name)) => {
                (3922, b"HY000", format!("Invalid compression algorithm '{name}'."))
            }
            R::WrongCompression(NotAgreed::Level) => {
                (3923, b"HY000", "Invalid zstd compression level for algorithm 'zstd'.".into())
            }
            R::InsertIdGone => (
                1105,
                b"HY000",
                "This session's LAST_INSERT_ID() is not known: what the last LOAD DATA gave was on a connection that is \
                 gone. Set it (SET last_insert_id = ...) or insert again"
                    .into(),
            ),
            R::DiagnosticsGone => (
                1105,
                b"HY000",
                "What the server knew about this session's previous statement is gone: its connection was needed by \
                 others. Ask in the same transaction as the statement"
                    .into(),
            ),
            R::ReplicaHintInTransaction => {
                (1290, b"HY000", "ROLE=REPLICA cannot be obeyed inside a read-write transaction".into())
            }
            // MySQL's words.
            R::PasswordExpired => (
                1820,
                b"HY000",
                "You must reset your password using ALTER USER statement before executing this statement.".into(),
            ),
            R::HeldByReplica => (
                1290,
                b"HY000",
                "This session's state (SHOW WEIR PINS) lives on a replica since a read-only transaction there; reset the \
                 connection before writing"
                    .into(),
            ),
            R::KillByNumber => (1235, b"42000", "This gate needs the connection id of KILL as a number".into()),
            R::Parameters => (1295, b"HY000", PARAMETERS.into()),
            R::NoSuchThread(id) => (1094, b"HY000", format!("Unknown thread id: {id}")),
            R::NotOwner(id) => (1095, b"HY000", format!("You are not owner of thread {id}")),
            R::KillUnanswered { id, why } => (
                1105,
                b"HY000",
                format!("Whether thread {id} was killed is unknown: {why}; it is safe to try again"),
            ),
            R::BadGateSetting { name, value } => {
                (1231, b"42000", format!("Variable '{name}' can't be set to the value of '{value}'"))
            }
            R::SessionVariable(name) => (1228, b"HY000", format!("Variable '{name}' is a SESSION variable and can't be used with SET GLOBAL")),
            R::GlobalVariable(name) => (1229, b"HY000", format!("Variable '{name}' is a GLOBAL variable and should be set with SET GLOBAL")),
            R::NotAdmin { user, deed } => {
                (1227, b"42000", format!("Access denied; '{user}' must be among the gate's admin_users {}", deed.words()))
            }
            R::BadShow(why) => (1064, b"42000", why.clone()),
            R::TableDenied(message) => (Denied::CODE, b"42000", message.clone()),
            // The server names the account's host here, which only it knows; this is the usual one.
            R::SchemaDenied { user, schema } => {
                (1044, b"42000", format!("Access denied for user '{user}'@'%' to database '{schema}'"))
            }
            R::TablesUnknown { user, host, why } => (
                1227,
                b"42000",
                format!(
                    "Access denied; the gate's table permissions let user '{user}'@'{host}' run only statements whose \
                     tables can be known, and of this one they cannot: {why}. Send its parts as plain statements, or \
                     name the user under 'exempt' in the file of permissions"
                ),
            ),
        }
    }

    /// The ERR packet's payload.
    pub fn payload(&self) -> Vec<u8> {
        let (code, state, message) = self.words();
        let mut out = Vec::with_capacity(message.len() + 16);
        ErrPacket { code, state: *state, message: message.as_bytes() }.encode(&mut out);
        out
    }
}

/// `settings`: what limits the time of waiting, and the length of the line.
fn why_not_its_turn(waited_ms: Option<u64>, waiting_max: u32, settings: (&str, &str)) -> String {
    match waited_ms {
        Some(ms) => format!("waited {ms} ms ({})", settings.0),
        None => format!("{waiting_max} others wait already ({})", settings.1),
    }
}

/// The driver's ways to write the values into the text.
const PARAMETERS: &str = "This command is not supported in the prepared statement protocol yet: what Weir answers itself has no \
                          parameters; write the values into the text (Go: interpolateParams=true, Node: query instead of execute)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_something_and_has_a_state() {
        let text = || "db1:3306".to_string();
        let all = [
            Refusal::TooManyClients { limit: 1 },
            Refusal::TooFast { setting: "connects_per_s_max", limit: 1 },
            Refusal::HostHeld { host: text(), ms: 5 },
            Refusal::Overloaded { target_ms: 5 },
            Refusal::AuditStuck,
            Refusal::AccountConnections { user: text(), limit: 5 },
            Refusal::AccountRunning { user: text(), limit: 5, waiting_max: 6, waited_ms: None },
            Refusal::AccountRunning { user: text(), limit: 5, waiting_max: 6, waited_ms: Some(7) },
            Refusal::FilterFailed { name: text(), desc: text() },
            Refusal::FilterQueue { name: text(), running_max: 5, waiting_max: 6, waited_ms: None },
            Refusal::FilterQueue { name: text(), running_max: 5, waiting_max: 6, waited_ms: Some(7) },
            Refusal::DigestRunning { limit: 5, waiting_max: 6, waited_ms: None },
            Refusal::DigestRunning { limit: 5, waiting_max: 6, waited_ms: Some(7) },
            Refusal::FilterRewrite { name: text(), why: "w" },
            Refusal::BadFilter("it is not understood".into()),
            Refusal::FilterNotChanged(text()),
            Refusal::StatementTimeout { ms: 5 },
            Refusal::TransactionTimeout { ms: 5, setting: "transaction_ms_max" },
            Refusal::Draining,
            Refusal::HandshakeTimeout,
            Refusal::BadHandshake("x"),
            Refusal::AccessDenied { user: "u".into(), peer: Peer::Unix, with_password: true },
            Refusal::AuthUnsupported("p".into()),
            Refusal::LineFull { backend: text(), limit: 2 },
            Refusal::WaitTimeout { backend: text(), waited_ms: 3, quota: 4, waiting: 5 },
            Refusal::NoPrimary { waited_ms: 6 },
            Refusal::Unbuffered { why: Unbuffered::TooLong, waited_ms: 6 },
            Refusal::BackendLost { backend: text() },
            Refusal::UnknownOutcome { backend: text(), why: "w".into() },
            Refusal::Committed { backend: text(), gtids: "g".into(), is_whole: true },
            Refusal::Absent { backend: text() },
            Refusal::TransactionLost { backend: text() },
            Refusal::UnknownCommand,
            Refusal::CloneRefused,
            Refusal::UnknownStatement { id: 7 },
            Refusal::NoOpenCursor { id: 7 },
            Refusal::Interrupted,
            Refusal::TooManyStatements,
            Refusal::MalformedCommand("y"),
            Refusal::OutOfOrder,
            Refusal::Uncompress,
            Refusal::WrongCompression(NotAgreed::Algorithm("zlib")),
            Refusal::WrongCompression(NotAgreed::Level),
            Refusal::DiagnosticsGone,
            Refusal::InsertIdGone,
            Refusal::ReplicaHintInTransaction,
            Refusal::PasswordExpired,
            Refusal::HeldByReplica,
            Refusal::KillByNumber,
            Refusal::Parameters,
            Refusal::NoSuchThread(8),
            Refusal::NotOwner(9),
            Refusal::KillUnanswered { id: 9, why: "w".into() },
            Refusal::BadGateSetting { name: "n".into(), value: "v".into() },
            Refusal::SessionVariable("n".into()),
            Refusal::GlobalVariable("n".into()),
            Refusal::NotAdmin { user: "u".into(), deed: Deed::Set },
            Refusal::BadShow("Z is not known".into()),
            Refusal::TableDenied("SELECT command denied".into()),
            Refusal::SchemaDenied { user: "u".into(), schema: "s".into() },
            Refusal::TablesUnknown { user: "u".into(), host: "h".into(), why: "it is odd" },
        ];
        for refusal in all {
            let (code, state, message) = refusal.words();
            assert!(code >= 1000 && message.len() > 10, "{refusal:?}");
            assert!(state.iter().all(|b| b.is_ascii_alphanumeric()));
            assert_eq!(refusal.payload()[0], 0xff);
        }
    }
}
