//! What one core counts, and the histograms of where time goes. Plain numbers: one owner, no atomics.

use hdrhistogram::Histogram;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// Counters since the start of the gate (gauges are named so in their docs).
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $doc] pub $name: u64),* }
        impl Counters {
            /// Name, value and explanation of each, in declaration order; names are what metrics show.
            pub fn each(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, $doc)),*]
            }
            pub fn add(&mut self, other: &Counters) { $(self.$name += other.$name;)* }
        }
    };
}

counters! {
    #[doc = "Client connections accepted."] clients_accepted,
    #[doc = "Client connections open now (gauge)."] clients_open,
    #[doc = "Client connections refused by a limit."] clients_refused,
    #[doc = "Logins that a backend refused, or the gate for it: a wrong password, an unknown or locked account."] logins_refused,
    #[doc = "Client connections refused while the gate drains."] clients_refused_draining,
    #[doc = "Logins that did not come in time."] logins_timed_out,
    #[doc = "Logins that broke the protocol or its rules: no MySQL client, a PROXY header missing or uncalled for."] logins_broken,
    #[doc = "Logins that no backend could be asked about: none is up, or none had a connection in time."] logins_unserved,
    #[doc = "Client connections refused by connects_per_s_max."] clients_too_fast,
    #[doc = "Client connections refused by connects_per_address_per_s_max."] clients_too_fast_of_address,
    #[doc = "Logins refused since their account has connections_max clients."] account_connections_refused,
    #[doc = "Statements that waited since running_max of their account ran."] turns_waited,
    #[doc = "Statements refused since waiting_max of their account waited."] turns_refused,
    #[doc = "Statements refused since running_max of their account ran for all of wait_ms_max."] turns_timed_out,
    #[doc = "Statements that waited since digest_running_max of their normal form ran."] digest_turns_waited,
    #[doc = "Statements refused since digest_running_max of their normal form ran: they waited for wait_ms_max, or found the line full."] digest_turns_refused,
    #[doc = "Logins put off after failed ones (login_failures_max)."] logins_put_off,
    #[doc = "Logins refused since as many of their address were put off already."] logins_put_off_refused,
    #[doc = "Commands received from clients."] commands,
    #[doc = "Commands sent to the primary."] commands_primary,
    #[doc = "Commands sent to a replica."] commands_replica,
    #[doc = "Commands answered by the gate itself."] commands_local,
    #[doc = "Commands answered with an error made by the gate."] commands_refused,
    #[doc = "Commands refused by table permissions."] commands_denied,
    #[doc = "Events told to the audit log."] audit_events,
    #[doc = "Statements told to the query log, as slow or as a sample."] statements_logged,
    #[doc = "Statements told to the collector of traces."] statements_traced,
    #[doc = "Statements that were to be traced, beyond per_s_max."] traces_limited,
    #[doc = "Trace contexts (traceparent) that are none; their statements count as without one."] trace_contexts_wrong,
    #[doc = "Statements refused since everybody waited for a connection for too long (admission)."] statements_shed,
    #[doc = "Statements ended since they ran for statement_ms_max."] statements_timed_out,
    #[doc = "Transactions rolled back since they were open for transaction_ms_max."] transactions_timed_out,
    #[doc = "Transactions rolled back since they were idle for transaction_idle_ms_max."] transactions_idle_ended,
    #[doc = "Statements planned from the cache."] plans_cached,
    #[doc = "Statements planned by the lexer."] plans_made,
    #[doc = "Commands that waited in line for a connection."] waits,
    #[doc = "Waits that ended in an error."] waits_failed,
    #[doc = "Sessions waiting for a connection now (gauge)."] waiting,
    #[doc = "Statements that waited for a primary, each as often as it did."] buffered,
    #[doc = "Statements that were refused while there was no primary: they waited too long, or found no room."] buffer_failed,
    #[doc = "Statements and logins waiting for a primary now (gauge)."] buffering,
    #[doc = "Bytes of the statements that wait for a primary now (gauge)."] buffer_bytes,
    #[doc = "Statements sent again since the server refused them as read-only."] writes_resent,
    #[doc = "Commits and writes whose answer was lost, and that were found on the primary."] outcomes_found,
    #[doc = "Commits and writes whose answer was lost, and that the primary does not have."] outcomes_absent,
    #[doc = "Writes sent again, of those that the primary does not have."] outcomes_resent,
    #[doc = "Commits and writes whose outcome stayed unknown."] outcomes_unknown,
    #[doc = "Backend connections given up without a word of their server, which may keep the thread and its locks."] orphans,
    #[doc = "Threads of such connections ended with KILL."] orphans_killed,
    #[doc = "Such connections beyond what a core remembers; their threads are left to the server."] orphans_forgotten,
    #[doc = "Such connections whose server is not asked yet, since it cannot be reached or its thread commits (gauge)."] orphans_waiting,
    #[doc = "Connections cut since their backend is primary no longer."] connections_cut,
    #[doc = "Resting connections given up since others of their backend had died."] connections_shed,
    #[doc = "Backend connections dialed."] dials,
    #[doc = "Backend connections that failed to open."] dials_failed,
    #[doc = "Backend connections open now (gauge)."] connections_open,
    #[doc = "Backend connections leased to a session now (gauge)."] connections_leased,
    #[doc = "Leases given."] leases,
    #[doc = "Leases that needed the connection's state changed first."] leases_aligned,
    #[doc = "Leases that changed the connection's user."] leases_user_changed,
    #[doc = "Sessions that hold their connection for a stated reason now (gauge)."] sessions_pinned,
    #[doc = "Statements prepared again on another connection."] statements_reprepared,
    #[doc = "Reads re-sent because their connection died before a byte of the result."] reads_resent,
    #[doc = "Reads sent to the primary because no replica had what the session wrote."] reads_too_fresh,
    #[doc = "Reads that waited for a replica to catch up."] reads_waited,
    #[doc = "Questions to the primary about what it has executed, each for all reads that waited."] index_questions,
    #[doc = "Questions to the primary whether it takes writes, each for one connection."] writable_questions,
    #[doc = "Replicas taken out of reads for a while, since they were out of line with the others."] ejections,
    #[doc = "Bytes from clients."] bytes_from_clients,
    #[doc = "Bytes to clients."] bytes_to_clients,
    #[doc = "Protocol errors by clients."] client_errors,
    #[doc = "Protocol errors by backends."] backend_errors,
    #[doc = "Errors with which backends answered clients' commands."] errors_answered,
}

/// Everything a core reports: counters, histograms (nanoseconds) and the state of its pools and sessions.
#[derive(Clone, Debug)]
pub struct Report {
    pub core: u16,
    pub counters: Counters,
    /// From wanting a connection to having it.
    pub wait_ns: Histogram<u64>,
    /// From the command's last byte sent to the reply's last byte received.
    pub backend_ns: Histogram<u64>,
    /// From a command complete to its sending when no waiting was needed: the gate's own time.
    pub gate_ns: Histogram<u64>,
    pub pools: Vec<PoolReport>,
    pub pins: Vec<PinReport>,
    /// How often each user was pinned for each reason; empty unless it was wanted.
    pub pins_ever: Vec<(String, &'static str, u64)>,
    /// Empty unless they were wanted.
    pub digests: Vec<crate::digest::DigestReport>,
    /// Empty unless they were wanted; at most `show::SESSIONS_TOLD_MAX`.
    pub sessions: Vec<SessionReport>,
    /// Sessions that found no room there.
    pub sessions_untold: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReport {
    pub connection_id: u32,
    pub user: String,
    pub peer: String,
    pub listener: crate::session::ListenerId,
    pub schema: String,
    pub phase: &'static str,
    /// The one whose connection it holds; empty for none.
    pub backend: String,
    /// Why it keeps that connection; empty when it does not.
    pub pins: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolReport {
    pub backend: String,
    pub quota: u32,
    pub open: u32,
    pub idle: u32,
    pub leased: u32,
    pub waiting: u32,
    pub commands: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinReport {
    pub connection_id: u32,
    pub user: String,
    pub backend: String,
    pub reason: &'static str,
    /// The first words of the statement that pinned it: never a parameter or a literal.
    pub statement: String,
    pub age_ms: u64,
}

/// A histogram of nanoseconds up to a minute with two significant digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 60_000_000_000, 2).expect("fixed bounds are valid")
}
