//! What a core tells about one statement: the mail of the query log.

use weir_planner::Facts;

/// One statement that has ended. Times are microseconds.
#[derive(Clone, Debug)]
pub struct QueryEvent {
    pub core: u16,
    /// As the client knows it.
    pub connection_id: u32,
    pub user: String,
    pub schema: String,
    /// As the client sent it, or as it was prepared; cut by the core to its limit.
    pub statement: Vec<u8>,
    /// The statement was longer.
    pub is_cut: bool,
    /// Of an execute: each parameter as text, NULL as None.
    pub params: Vec<Option<String>>,
    /// Of the session: they say what in the text is a literal.
    pub facts: Facts,
    /// The backend that ran it; empty if none did.
    pub backend: String,
    /// Where it went and why, as `EXPLAIN ROUTE` says.
    pub route: &'static str,
    /// From the command to the first byte towards a backend.
    pub wait_us: u64,
    /// From there to the end of its reply.
    pub backend_us: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The error's number, if it ended in one.
    pub error: Option<u16>,
    /// It was in a transaction.
    pub in_transaction: bool,
}

impl QueryEvent {
    pub fn total_us(&self) -> u64 {
        self.wait_us.saturating_add(self.backend_us)
    }
}
