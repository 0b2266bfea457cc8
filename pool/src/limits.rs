//! Every limit of a pool, with its unit and reason.

/// Settings of a pool; tests use tiny ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions that may wait in all lines of this core together: a line that never ends only hides an overload.
    pub waiters_max: usize,
    /// Idle connections per backend, account and class that are neither closed for their idle time nor given to
    /// another account while there is room for a new connection.
    pub warm_min: usize,
    /// Nanoseconds that a connection beyond `warm_min` stays open unused; `u64::MAX` is for ever.
    pub idle_ns_max: u64,
    /// Nanoseconds that a connection lives, less up to an eighth of it so that what was opened together is not closed
    /// together; `u64::MAX` is for ever. A leased one is closed when it comes back.
    pub age_ns_max: u64,
    /// Logins under way per backend: a server that has just come back must not be met by a stampede.
    pub dials_max: u32,
    /// Nanoseconds that a session may be overtaken by later ones of another class, whose connections it cannot use,
    /// before one of those connections is closed for it.
    pub overtaken_ns_max: u64,
    /// Nanoseconds that a connection within the fair share must have been idle before it is closed for another core:
    /// below it, two busy cores would close and open connections for each other without end.
    pub cede_idle_ns_min: u64,
    /// The reverse of what is fast, for tests: a session gets the connection of its account that was used longest ago,
    /// and the one that it used last only where there is no room for another.
    pub scatter: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            waiters_max: 50_000,
            warm_min: 1,
            idle_ns_max: 60_000_000_000,
            age_ns_max: 3_600_000_000_000,
            dials_max: 64,
            overtaken_ns_max: 100_000_000,
            cede_idle_ns_min: 20_000_000,
            scatter: false,
        }
    }
}

/// Idle connections looked at, least recently used first, for one that its account can spare. Beyond it a new
/// connection is opened: looking through 2,000 would cost more than the search can win.
pub(crate) const SPARE_SCAN_MAX: usize = 16;
